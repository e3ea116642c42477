package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.net.URI;
import java.net.URISyntaxException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import java.util.stream.Collectors;

/**
 * What a server is told before it starts, checked: an immutable value, with a record for each part of the server. It
 * knows nothing of what those do with it.
 */
record Settings(Listening listening, Answering answering, Limits limits, Path store, Webhook webhook) {
    static final String ECHO = "echo";
    static final String LOOPBACK = "127.0.0.1";
    static final Settings DEFAULTS = new Settings(new Listening(LOOPBACK, 0, null),
        new Answering(ECHO, null, Map.of(), Duration.ofMinutes(10), 0, Map.of()),
        new Limits(Dialects.OPENAI, false, 0, 0, false),
        null, null);     // a temporary store, and nobody to tell

    /** Where the server listens: port 0 is any free one, and without an API key (null) it serves everybody. */
    record Listening(String host, int port, String apiKey) {
        private static final Set<String> LOOPBACKS = Set.of(LOOPBACK, "localhost", "::1");

        boolean isOpenToOthers() { return apiKey == null && !LOOPBACKS.contains(host); }

        /** Returns the host as a URL has it. */
        String bracketed() { return bracketed(host); }

        /** Returns a host by which this machine can reach the server: an address that stands for all is none. */
        String reachable() {
            if (host.equals("0.0.0.0")) return LOOPBACK;
            return bracketed(host.equals("::") ? "::1" : host);
        }

        private static String bracketed(String host) { return host.contains(":") ? "[" + host + "]" : host; }
    }

    /**
     * Who answers: echo or a URL, its key or null, its model names by clients' names, its time, and requests at once; 0
     * are as many as turn out to be worth it. The others are the keys of further engines by their URLs, "" for none.
     */
    record Answering(String engine, String key, Map<String, String> models, Duration timeout, int concurrency,
            Map<String, String> others) {
        private static final int FIRST = 4;            // as many as Ollama, LM Studio and llama-server take at most
        private static final int MOST = 32;
        private static final int ECHOED = 8;

        private boolean isOpen() { return concurrency == 0 && !engine.equals(ECHO); }

        /** Returns how many requests there are at once as long as nothing is known of the engine. */
        int first() { return isOpen() ? FIRST : most(); }

        /** Returns how many at most, at all engines. */
        int most() { return (1 + others.size()) * (concurrency != 0 ? concurrency : usualMost()); }

        private int usualMost() { return isOpen() ? MOST : ECHOED; }

        /** Returns each engine by itself. */
        List<Answering> each() {
            var each = new ArrayList<Answering>();
            each.add(new Answering(engine, key, models, timeout, concurrency, Map.of()));
            others.forEach((url, its) ->
                each.add(new Answering(url, its.isEmpty() ? null : its, models, timeout, concurrency, Map.of())));
            return each;
        }
    }

    /** What batches and files may be; where nothing is given (0, false), the dialect decides. */
    record Limits(Manners dialect, boolean givenMixed, int givenRequests, long givenBytes, boolean givenEndless) {
        boolean expires() { return !givenEndless && dialect.expires(); }

        boolean mixesModels() { return givenMixed || dialect.mixesModels(); }

        int maxRequests() { return givenRequests != 0 ? givenRequests : dialect.maxRequests(); }

        long maxBytes() { return givenBytes != 0 ? givenBytes : dialect.maxBytes(); }
    }

    /** Who is told when a batch is over, and the key that signs what it is told. */
    record Webhook(URI url, byte[] key) {
        private static final String PREFIX = "whsec_";

        private static byte[] key(String secret) {
            try {
                var key = Base64.getDecoder().decode(secret.replaceFirst("^" + PREFIX, ""));
                if (secret.startsWith(PREFIX) && key.length > 0) return key;
            } catch (IllegalArgumentException notBase64) {
                // it is refused below, in a sentence without the secret
            }
            throw new IllegalArgumentException("webhook: the secret is not " + PREFIX
                + " and then Base64; make one with: echo " + PREFIX + "$(openssl rand -base64 32)");
        }
    }

    Settings host(String host) { return with(new Listening(required("host", host), listening.port, listening.apiKey)); }

    Settings port(int port) {
        return with(new Listening(listening.host, within("port", port, 0, 65_535), listening.apiKey));
    }

    Settings apiKey(String apiKey) {
        return with(new Listening(listening.host, listening.port, header("apiKey", apiKey)));
    }

    /** Returns settings with this engine: echo, one that is known by its name, or a URL. */
    Settings engine(String nameOrUrl) {
        var engine = url(required("engine", nameOrUrl));
        if (!engine.equals(ECHO)) checkUrl(engine);
        return with(new Answering(engine, answering.key, answering.models, answering.timeout, answering.concurrency,
            answering.others));
    }

    /** Returns settings with one more engine; its key is the one given (null: none), unless it has one of its own. */
    Settings anotherEngine(String nameOrUrl, String key) {
        var one = DEFAULTS.engine(nameOrUrl);
        var url = one.answering.engine;
        if (url.equals(ECHO) || answering.engine.equals(ECHO))
            throw new IllegalArgumentException("engine: the echo answers all; no other engine stands beside it");
        var its = key == null || KnownEngine.at(url).filter(KnownEngine::isHosted).isPresent() ? one.keyOf(nameOrUrl)
            : one.engineKey(key);
        var others = new LinkedHashMap<>(answering.others);
        if (url.equals(answering.engine)
            || others.put(url, Optional.ofNullable(its.answering.key).orElse("")) != null)
            throw new IllegalArgumentException("engine: " + url + " is given twice");
        return with(new Answering(answering.engine, answering.key, answering.models, answering.timeout,
            answering.concurrency, others));
    }

    /** Returns the URL of an engine, without the slashes that it may end in. */
    private static String url(String nameOrUrl) {
        return KnownEngine.named(nameOrUrl).map(known -> known.url).orElse(nameOrUrl)
            .replaceFirst("(?<=[^/:])/+$", "");
    }

    /**
     * Returns settings with the key that the environment has for this engine, and for no other: a key goes to the host
     * that it was made for.
     */
    Settings keyOf(String nameOrUrl) {
        var known = KnownEngine.named(nameOrUrl).filter(KnownEngine::isHosted);
        var own = known.or(() -> KnownEngine.at(nameOrUrl)).filter(KnownEngine::isHosted)
            .flatMap(engine -> variable(engine.keyVariable));
        if (known.isPresent() && own.isEmpty())
            throw new IllegalArgumentException("engine: no key for " + known.get() + "; set "
                + known.get().keyVariable);
        boolean isOthers = variable("SHEAF_ENGINE").filter(other -> !url(other).equals(url(nameOrUrl))).isPresent();
        return own.or(() -> isOthers ? Optional.empty() : variable("SHEAF_ENGINE_KEY")).map(this::engineKey)
            .orElse(this);
    }

    /**
     * Returns settings whose store is kept for this engine alone, under {@code SHEAF_HOME}. Its batches never expire:
     * they wait for a next run, which may be another day's.
     */
    Settings ownStore() {
        var all = answering.each().stream().map(Answering::engine).sorted().collect(Collectors.joining(" "));
        var digest = UUID.nameUUIDFromBytes(all.getBytes(UTF_8)).toString().substring(0, 8);
        var readable = answering.engine.replaceFirst("^https?://", "").replaceFirst("/v1$", "")
            .replaceAll("[^A-Za-z0-9.]+", "-");
        return with(new Limits(limits.dialect, limits.givenMixed, limits.givenRequests, limits.givenBytes, true))
            .store(localStore().resolveSibling("engines").resolve(readable + "-" + digest));
    }

    Settings engineKey(String key) {
        return with(new Answering(answering.engine, header("engineKey", key), answering.models, answering.timeout,
            answering.concurrency, answering.others));
    }

    Settings model(String name, String engineName) {
        var models = new LinkedHashMap<String, String>(answering.models);
        models.put(required("modelName", name), required("modelName", engineName));
        return with(new Answering(answering.engine, answering.key, models, answering.timeout, answering.concurrency,
            answering.others));
    }

    Settings timeout(Duration timeout) {
        if (required("timeout", timeout).toMillis() < 1)
            throw new IllegalArgumentException("timeout: " + timeout + " is no time at all");
        return with(new Answering(answering.engine, answering.key, answering.models, timeout, answering.concurrency,
            answering.others));
    }

    Settings concurrency(int concurrency) {
        return with(new Answering(answering.engine, answering.key, answering.models, answering.timeout,
            within("concurrency", concurrency, 1, 1_000), answering.others));
    }

    Settings dialect(Manners dialect) {
        return with(new Limits(dialect, limits.givenMixed, limits.givenRequests, limits.givenBytes,
            limits.givenEndless));
    }

    Settings mixedModels() {
        return with(new Limits(limits.dialect, true, limits.givenRequests, limits.givenBytes, limits.givenEndless));
    }

    Settings maxRequests(int most) {
        return with(new Limits(limits.dialect, limits.givenMixed, within("maxRequests", most, 1, Integer.MAX_VALUE),
            limits.givenBytes, limits.givenEndless));
    }

    Settings maxBytes(long most) {
        if (most < 1) throw new IllegalArgumentException("maxBytes: " + most + " is less than 1");
        return with(new Limits(limits.dialect, limits.givenMixed, limits.givenRequests, most,
            limits.givenEndless));
    }

    Settings store(Path store) { return new Settings(listening, answering, limits, required("store", store), webhook); }

    Settings webhook(URI url, String secret) {
        if (!String.valueOf(required("webhook", url).getScheme()).matches("(?i)https?") || url.getHost() == null)
            throw new IllegalArgumentException("webhook: " + url + " is no http URL");
        var webhook = new Webhook(url, Webhook.key(required("webhook secret", secret)));
        return new Settings(listening, answering, limits, store, webhook);
    }

    private Settings with(Listening listening) { return new Settings(listening, answering, limits, store, webhook); }

    private Settings with(Answering answering) { return new Settings(listening, answering, limits, store, webhook); }

    private Settings with(Limits limits) { return new Settings(listening, answering, limits, store, webhook); }

    private static void checkUrl(String engine) {
        try {
            var url = new URI(engine);
            if (url.getRawUserInfo() != null)
                throw new IllegalArgumentException("engine: a URL with a password in it; say it as the engine key");
            if (url.getHost() != null && url.getPort() <= 65_535 && engine.matches("https?://[^?#]+")) return;
        } catch (URISyntaxException noUrl) {
            // it is refused below, like a URL that is not http
        }
        throw new IllegalArgumentException("engine: " + engine
            + " is neither an http URL such as http://localhost:11434/v1 nor one of echo, " + KnownEngine.names()
            + NearName.of(engine, List.of(("echo, " + KnownEngine.names()).split(", "))));
    }

    /** Requires a value that a header can bear. */
    private static String header(String name, String value) {
        if (required(name, value).matches("[!-~]+")) return value;
        throw new IllegalArgumentException(name + ": holds a blank or another character that no header may");
    }

    static <T> T required(String name, T value) {
        if (value == null || "".equals(value)) throw new IllegalArgumentException(name + ": no value given");
        return value;
    }

    private static int within(String name, int value, int least, int most) {
        if (value < least || value > most)
            throw new IllegalArgumentException(name + ": " + value + " is not within " + least + " and " + most);
        return value;
    }

    /** Returns the folder of this user's own server. */
    static Path localStore() {
        return variable("SHEAF_HOME").map(Path::of).orElse(Path.of(System.getProperty("user.home"), ".sheaf"))
            .resolve("server");
    }

    /** Returns a system property or, without one, an environment variable; an empty one counts as not set. */
    static Optional<String> variable(String name) {
        return Optional.ofNullable(System.getProperty(name, System.getenv(name))).filter(value -> !value.isBlank());
    }
}
