package sheaf;

import static sheaf.Messages.cannot;
import static sheaf.Messages.reason;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.MissingNode;
import com.openai.client.OpenAIClient;
import com.openai.core.http.Headers;
import com.openai.core.http.HttpResponse;
import com.openai.errors.OpenAIIoException;
import com.openai.errors.OpenAIServiceException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.ConnectException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import java.util.function.Supplier;
import sheaf.Certificates.Distrust;
import sheaf.Vocabulary.BatchException;
import sheaf.Vocabulary.Dialect;
import sheaf.Vocabulary.Limits;

/**
 * Who runs a batch, as the rooms see a provider: address, limits, manners, who it says that it is, and the key, read
 * once when it is first needed. It makes calls by openai-java and brings JSON, or a sentence that says what went wrong;
 * it knows no route.
 */
final class Connection {
    /** HTTP's status for a request that came to a server which cannot answer it: 421 Misdirected Request. */
    static final int STRANGER = 421;
    private static final int SHORT_SECRET = 8;             // characters; a shorter one may be a word of a message
    private final String name;
    private final String mark;                             // by which its batches are told from others'
    private final String baseUrl;
    private final String keyVariable;
    private final Limits limits;
    private final Dialect dialect;
    private final Map<String, String> headers;             // the user's; never written down
    private final Connection elsewhere;                    // where the same server may listen by now; null: nowhere
    private volatile Identity expected;                    // null: whoever answers
    private volatile Identity told;                        // by the last answer; null: none came yet
    private boolean isQuiet;                               // that a server is started is not said
    private String key;                                    // null: not yet needed
    private ProviderClient client;                         // null: not yet needed

    /** @param mark by which the batches of this URL are told from others', if no server there says who it is */
    Connection(String name, String mark, String baseUrl, String keyVariable, Limits limits, Dialect dialect,
               Map<String, String> headers) {
        this(name, mark, baseUrl, keyVariable, limits, dialect, headers, null, null);
    }

    private Connection(String name, String mark, String baseUrl, String keyVariable, Limits limits, Dialect dialect,
                       Map<String, String> headers, Identity expected, Connection elsewhere) {
        this.name = name;
        this.mark = mark;
        this.baseUrl = baseUrl;
        this.keyVariable = keyVariable;
        this.limits = limits;
        this.dialect = dialect;
        this.headers = headers;
        this.expected = expected;
        this.elsewhere = elsewhere;
    }

    /**
     * Returns one to a server that was met before: whoever else answers has none of its batches.
     * @param elsewhere where it may listen by now; null: nowhere
     */
    Connection expecting(Identity identity, Connection elsewhere) {
        return new Connection(name, mark, baseUrl, keyVariable, limits, dialect, headers,
            identity.isTold() ? identity : null, elsewhere);
    }

    String name() { return name; }

    String baseUrl() { return baseUrl; }

    /** Returns where it is, as messages say it: of an engine what the user knows it by. */
    String shownUrl() { return BaseUrl.engine(baseUrl); }

    String keyVariable() { return keyVariable; }

    /** @throws IllegalArgumentException if the provider takes no such line, with the where that made it */
    byte[] fitting(byte[] line, Supplier<String> where) {
        if (line.length > limits.bytes())
            throw new IllegalArgumentException(String.format(Locale.ROOT,
                "%s makes a request of %,d bytes; %s takes %,d in one file; shorten the row", where.get(),
                line.length, name, limits.bytes()));
        return line;
    }

    Limits limits() { return limits; }

    Dialect dialect() { return dialect; }

    /** Whether these are Azure's older paths, whose batches name the endpoint of chats without a version. */
    boolean hasOlderPaths() { return !dialect.apiVersion().isEmpty() && !baseUrl.endsWith("/v1"); }

    /** Returns the key; where it is not set, it is asked for, or fails. */
    synchronized String key() {
        if (key == null)
            key = Keys.key(name, keyVariable, isLocal() || ExtraHeaders.authorize(sentHeaders()));
        return key;
    }

    private Map<String, String> sentHeaders() { return ExtraHeaders.sent(headers, baseUrl, keyVariable); }

    /** Returns what messages call it: one on this machine by its URL, for there may be several. */
    String label() { return isLocal() ? shownUrl() : name; }

    Optional<Connection> elsewhere() { return Optional.ofNullable(elsewhere); }

    /** Returns who it is, as far as it has said; it is asked by {@link BatchApi#meet}. */
    Identity identity() {
        if (expected != null) return expected;
        return told == null ? Identity.UNTOLD : told;
    }

    /** Whether an answer of this connection has said who it is. */
    boolean hasTold() { return told != null && told.isTold(); }

    /** Holds it to what it said, or to saying nothing: another one behind its URL is a stranger. */
    void hold(Identity identity) { expected = identity; }

    /** Whether it may be a server of ours: those are on this machine, or without TLS in a network of one's own. */
    boolean mayTell() { return isLocal() || URI.create(baseUrl).getScheme().equals("http"); }

    /** Returns what tells its batches from others': who it says that it is, else its name or URL. */
    String mark() { return identity().isTold() ? identity().store() + " " + identity().engine() : mark; }

    /** Whether it is on this machine, where asking often costs nothing and no key is needed. */
    boolean isLocal() { return BaseUrl.isLoopback(URI.create(baseUrl)); }

    /** Whether what it answers costs nothing. */
    boolean isFree() { return BaseUrl.isFree(baseUrl); }

    void hush() { isQuiet = true; }

    /** Whether its server would have to be started for a call. */
    boolean isMissing() { return BaseUrl.isStarted(baseUrl) && ChildServer.isMissing(baseUrl); }

    OpenAIClient client() { return providerClient().client(); }

    private synchronized ProviderClient providerClient() {
        if (client != null) return client;
        var url = BaseUrl.isStarted(baseUrl) ? ChildServer.urlOf(baseUrl, isQuiet) : baseUrl;
        client = ProviderClient.of(url, key(), dialect, sentHeaders());
        return client;
    }

    /** Reads what a provider answered. */
    interface Reading<T> {
        T from(HttpResponse response) throws IOException;
    }

    /**
     * Makes a call whose answer is JSON.
     * @param step the word of the DSL that it is for, with which a message begins
     */
    JsonNode call(String step, String method, String path, Supplier<? extends HttpResponse> call) {
        return call(step, method, path, call, response -> {
            var body = Json.lenient(new String(response.body().readAllBytes(), StandardCharsets.UTF_8));
            if (body.isContainerNode()) return body;
            int status = response.statusCode();
            throw new BatchException(step + ": " + method + " " + shownUrl() + path + ": " + status
                + " but no JSON; is this the base URL of an OpenAI-compatible API?", status, "", "");
        });
    }

    /** What a provider answered at once: an answer or a refusal. */
    record Said(int status, JsonNode body, Duration retryAfter) {}

    /**
     * Posts a body as it stands, and once.
     * @throws UncheckedIOException if no answer came, whatever became of the request
     */
    Said post(String step, String path, byte[] body) {
        try (var response = providerClient().post(path, body)) {
            var headers = Headers.builder();
            response.headers().toMultimap().forEach(headers::put);
            hear(step, response.code(), headers.build());
            return new Said(response.code(), Json.lenient(response.body().string()),
                retryAfter(response::headers));
        } catch (IOException e) {
            throw unreachable(step, e);
        }
    }

    /** Returns the refusal in a call that was answered at once. */
    BatchException refusal(String step, String path, Said said) {
        var fault = Fault.ofRefusal(said.body);
        var message = withoutKey(fault.message());
        return new BatchException(sentence(step, "POST", path, said.status, message), said.status, fault.code(),
            fault.param(), said.retryAfter, fault.isExplained(), null);
    }

    /** Makes a call whose answer is read as it comes. */
    <T> T call(String step, String method, String path, Supplier<? extends HttpResponse> call, Reading<T> reading) {
        try (var response = call.get()) {
            hear(step, response.statusCode(), response.headers());
            return reading.from(response);
        } catch (OpenAIServiceException e) {
            hear(step, e.statusCode(), e.headers());
            throw refused(step, method, path, e);
        } catch (OpenAIIoException e) {
            throw unreachable(step, e.getCause() instanceof IOException cause ? cause : new IOException(e));
        } catch (IOException e) {
            throw unreachable(step, e);
        }
    }

    /** A stranger's answer is none: what it lacks may be at the server that was asked. A proxy's 5xx says nothing. */
    private void hear(String step, int status, Headers headers) {
        var now = Identity.of(headers);
        if (!mayTell() || !now.isTold() && (status >= 500 || status == 429)) return;
        told = now;
        if (expected == null || now.hasStoreOf(expected)) return;
        var answering = now.isTold() ? "another server (" + now + ")" : "one that does not say who it is";
        var asked = expected.isTold() ? "the server that was asked before (" + expected + "); start that one"
            : "the one that was asked before, which said nothing of itself; start that one";
        throw new BatchException(step + ": " + baseUrl + " is answered by " + answering + ", and not by " + asked
            + ", or " + Wording.OTHER_PLACE, STRANGER, "", "");
    }

    /** Returns what answers behind its server now, if that is not what it was. */
    Optional<String> otherEngine() {
        boolean isKnown = expected != null && told != null && !told.isHalfTold();
        return isKnown && !told.engine().equals(expected.engine()) ? Optional.of(told.engine()) : Optional.empty();
    }

    /** Fails if what answers behind its server is not what it was: those who wait for its answers would get others. */
    void checkEngine() {
        otherEngine().ifPresent(other -> {
            throw new BatchException("submit: " + other + " answers at " + baseUrl + " now, and this batch was begun "
                + "with " + expected.engine() + "; start the server with that, or run the script anew", "", "");
        });
    }

    private BatchException refused(String step, String method, String path, OpenAIServiceException e) {
        JsonNode body = e.body().isMissing() ? MissingNode.getInstance() : Json.MAPPER.valueToTree(e.body());
        var fault = Fault.ofRefusal(body);
        var message = withoutKey(fault.message());
        boolean saysKey = !message.equals(fault.message());
        return new BatchException(sentence(step, method, path, e.statusCode(), message), e.statusCode(), fault.code(),
            fault.param(), retryAfter(e.headers()::values), fault.isExplained(), saysKey ? null : e);
    }

    /** Returns how a call was refused, in the provider's own words, and what helps. */
    private String sentence(String step, String method, String path, int status, String message) {
        return step + ": " + method + " " + shownUrl() + path + ": " + status
            + (message.isEmpty() ? "" : " " + message.replaceFirst("\\.$", "")) + advice(status, path);
    }

    String withoutKey(String said) {
        var hidden = said;
        for (var header : sentHeaders().entrySet()) {
            var value = header.getValue().replaceFirst("(?i)^(bearer|basic) +", "");      // servers repeat but this
            if (isSecret(value) && !header.getKey().startsWith("OpenAI-"))
                hidden = hidden.replace(value, "(the header " + header.getKey() + ")");
        }
        return isSecret(key()) ? hidden.replace(key(), "(the key)") : hidden;
    }

    private static boolean isSecret(String text) { return text.length() >= SHORT_SECRET; }

    private String advice(int status, String path) {
        if (status == 401) return BaseUrl.isEngine(baseUrl) ? BaseUrl.keyRemedy(baseUrl) : "; check " + keyVariable;
        if (status == 407) return "; check the user and the password in HTTP_PROXY";
        if (status != 404 || !path.matches("/\\w+")) return "";
        if (hasOlderPaths()) return "; does it know the api-version " + dialect.apiVersion() + "?";
        return baseUrl.endsWith("/v1") || BaseUrl.isEngine(baseUrl) ? "" : "; does the base URL end in /v1?";
    }

    /** Fails where only a model that is started for it would answer, which to look after files is too much. */
    void checkRuns(String step) {
        if (baseUrl.equals(BaseUrl.LOCAL) && isMissing())
            throw unreachable(step, new ConnectException("connection refused"));
    }

    /** A server that was started for a run may have been killed: the next call starts another, which goes on. */
    private synchronized void forget() {
        client = null;
        ChildServer.forget(baseUrl);
    }

    private UncheckedIOException unreachable(String step, IOException e) {
        if (e instanceof ConnectException && ChildServer.isOurs(baseUrl)) forget();
        if (e instanceof FileSystemException || String.valueOf(e.getMessage()).contains("No space left"))
            return cannot(step, "write to " + Environment.home(), e);
        var distrust = Certificates.distrust(e);
        var proxy = Proxies.of(URI.create(baseUrl));
        var by = proxy.map(named -> " by the proxy " + named.address()).orElse("");
        return new UncheckedIOException(step + ": cannot reach " + shownUrl() + by + " ("
            + distrust.map(Distrust::reason).orElseGet(() -> reason(e)) + "); "
            + distrust.map(Distrust::remedy).orElseGet(() -> remedy(proxy.isPresent())), e);
    }

    private String remedy(boolean isProxied) {
        if (isProxied) return "check the proxy, or name the host in NO_PROXY, and run again";
        if (BaseUrl.isEngine(baseUrl)) return "run again; what was answered is kept";
        if (expected != null && expected.isTold())
            return "start the server with the " + expected + " again, or " + Wording.OTHER_PLACE;
        if (baseUrl.equals(BaseUrl.LOCAL)) return "start one with ./jbang serve or ./jbang local";
        return isLocal() ? "start a server or " + Wording.OTHER_SERVER : "check the network and run again";
    }

    /** Reads them as OpenAI's own clients do. */
    private static Duration retryAfter(Function<String, List<String>> headers) {
        return headers.apply("x-should-retry").contains("false") ? Retry.NEVER
            : Retry.after(headers.apply("retry-after-ms"), headers.apply("retry-after"));
    }
}
