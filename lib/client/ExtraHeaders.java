package sheaf;

import static sheaf.Messages.clip;
import static sheaf.Messages.given;

import java.net.URI;
import java.util.Collections;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/** The headers that a user has each call bear, beside those that make it: given in a script, or by the environment. */
final class ExtraHeaders {
    /** Those that OpenAI's clients take from this variable, a line for each: "name: value". */
    private static final String VARIABLE = "OPENAI_CUSTOM_HEADERS";
    private static final String AUTHORIZATION = "authorization";
    /** What each call says of itself. */
    private static final Set<String> OWN = Set.of("accept", "accept-encoding", "connection", "content-encoding",
        "content-length", "content-type", "expect", "host", "idempotency-key", "proxy-authorization", "range", "te",
        "transfer-encoding", "upgrade");

    private ExtraHeaders() {}

    /** Returns these headers and one more, in the place of one of the same name. */
    static Map<String, String> with(Map<String, String> headers, String name, String value) {
        if (!given("header", name).matches("[!#$%&'*+.^_`|~0-9A-Za-z-]+"))
            throw new IllegalArgumentException("header: \"" + clip(name, 40)
                + "\" is no name of a header, such as X-Team");
        if (OWN.contains(name.toLowerCase(Locale.ROOT)))
            throw new IllegalArgumentException("header: " + name + " is set by each call itself; leave it out");
        if (!given("header", value).strip().matches("[\\x20-\\x7e]+"))
            throw new IllegalArgumentException("header: the value of " + name + (value.isBlank() ? " is empty"
                : " holds a character that no header has; ASCII can be sent"));
        var all = new TreeMap<String, String>(String.CASE_INSENSITIVE_ORDER);
        all.putAll(headers);
        all.put(name, value.strip());
        return Collections.unmodifiableMap(all);
    }

    /** Returns a copy of these that nobody changes. */
    static Map<String, String> checked(Map<String, String> headers) {
        Map<String, String> all = Map.of();
        for (var header : given("header", headers).entrySet()) all = with(all, header.getKey(), header.getValue());
        return all;
    }

    /**
     * Returns those of a script, and under them what the environment says: to OpenAI, whose the organization and the
     * project are, and to who has OpenAI's key the further ones. Nobody else gets them.
     */
    static Map<String, String> sent(Map<String, String> given, String baseUrl, String keyVariable) {
        Map<String, String> sent = Map.of();
        if (BaseUrl.isOpenAi(URI.create(baseUrl))) {
            sent = fromVariable(sent, "OpenAI-Organization", "OPENAI_ORG_ID");
            sent = fromVariable(sent, "OpenAI-Project", "OPENAI_PROJECT_ID");
        }
        if (keyVariable.equals("OPENAI_API_KEY"))
            for (var line : Environment.get(VARIABLE).lines().filter(line -> !line.isBlank()).toList())
                sent = with(sent, name(line), line.substring(line.indexOf(':') + 1));
        for (var header : given.entrySet()) sent = with(sent, header.getKey(), header.getValue());
        return sent;
    }

    private static Map<String, String> fromVariable(Map<String, String> headers, String name, String variable) {
        var value = Environment.get(variable);
        return value.isEmpty() ? headers : with(headers, name, value);
    }

    /** It may be a value that ran on, so it is not shown. */
    private static String name(String line) {
        if (line.indexOf(':') > 0) return line.substring(0, line.indexOf(':')).strip();
        throw new IllegalArgumentException("header: a line of " + VARIABLE + " is no \"name: value\"");
    }

    /** Whether they say who asks, so that no key is needed. */
    static boolean authorize(Map<String, String> headers) {
        return headers.keySet().stream().anyMatch(AUTHORIZATION::equalsIgnoreCase);
    }
}
