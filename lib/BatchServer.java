///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Serve the OpenAI-compatible Files and Batches API on this machine
//JAVA 17+
// SQLite is native code, of which Java 24 and later would warn
//RUNTIME_OPTIONS --enable-native-access=ALL-UNNAMED
// JSON; first, because the parent POMs below manage other versions of it
//DEPS com.fasterxml.jackson.core:jackson-databind:2.22.4
// HTTP; its multipart parser streams an upload of any size to disk
//DEPS org.eclipse.jetty:jetty-server:12.1.14
// files and batches that outlive the process
//DEPS org.xerial:sqlite-jdbc:3.54.1.0
// the command line of main
//DEPS info.picocli:picocli:4.7.7
// keeps Jetty silent
//DEPS org.slf4j:slf4j-nop:2.0.20
// the page at /; a server without the page needs neither this line nor the file
//FILES sheaf/BatchServer.html=BatchServer.html

package sheaf;

import static java.nio.charset.StandardCharsets.UTF_8;
import static java.util.concurrent.TimeUnit.MILLISECONDS;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.json.JsonWriteFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.cfg.JsonNodeFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.ByteArrayOutputStream;
import java.io.Closeable;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.BitSet;
import java.util.Comparator;
import java.util.Deque;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.StringJoiner;
import java.util.StringTokenizer;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Flow;
import java.util.concurrent.Semaphore;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.UnaryOperator;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.eclipse.jetty.http.HttpHeader;
import org.eclipse.jetty.http.MultiPart;
import org.eclipse.jetty.http.MultiPartConfig;
import org.eclipse.jetty.http.MultiPartFormData;
import org.eclipse.jetty.http.UriCompliance;
import org.eclipse.jetty.io.Content;
import org.eclipse.jetty.server.Handler;
import org.eclipse.jetty.server.HttpConfiguration;
import org.eclipse.jetty.server.HttpConnectionFactory;
import org.eclipse.jetty.server.Request;
import org.eclipse.jetty.server.Response;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.server.handler.ErrorHandler;
import org.eclipse.jetty.util.Callback;
import org.eclipse.jetty.util.URIUtil;
import org.eclipse.jetty.util.thread.QueuedThreadPool;
import org.eclipse.jetty.util.thread.ScheduledExecutorScheduler;
import org.sqlite.SQLiteConfig;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/**
 * A batch inference server that speaks OpenAI's Files, Batches and Models API, on this machine.
 *
 * <pre>{@code
 * try (BatchServer server = BatchServer.start("http://localhost:11434/v1")) {
 *     System.out.println(server.baseUrl());      // where any OpenAI client can send its batches
 * }
 * }</pre>
 *
 * An uploaded file goes to disk, a batch over it is validated, and its requests go to an engine, some at a time.
 * The engine is any OpenAI-compatible URL, or {@code echo}, which answers with the user's own words.
 * Each answer is appended to the batch's output or error file at once, and these two files are the only record of
 * what has run: after a crash the next server on the same store goes on with the requests that they lack.
 *
 * @see <a href="https://platform.openai.com/docs/api-reference/batch">Batch API</a>
 * @see <a href="https://platform.openai.com/docs/api-reference/files">Files API</a>
 */
public final class BatchServer implements AutoCloseable {
    private static final String ECHO = "echo";
    private static final String LOOPBACK = "127.0.0.1";

    private final String baseUrl;
    private final Service service;   // null if the server runs in another process

    private BatchServer(String baseUrl, Service service) {
        this.baseUrl = baseUrl;
        this.service = service;
    }

    /** Starts a server for a test: the echo engine, a free port, and a temporary store that {@link #close} deletes. */
    public static BatchServer start() {
        return options().start();
    }

    /** Starts a server in front of an engine, on a free port, with a temporary store that {@link #close} deletes. */
    public static BatchServer start(String engine) {
        return options().engine(engine).start();
    }

    /**
     * Starts this user's own server, whose batches outlive the process: its store is {@code server} under
     * {@code SHEAF_HOME}, or under {@code ~/.sheaf}. If another process runs it already, returns a handle to that one,
     * with the engine that it has; closing the handle leaves it running.
     */
    public static BatchServer local(String engine) {
        Options options = options().engine(engine).store(localStore());
        return Store.open(options.store)
            .map(options::start)
            .orElseGet(() -> new BatchServer(Store.awaitUrl(options.store), null));
    }

    /** Returns the options of a server that is not yet started. */
    public static Options options() {
        return new Options();
    }

    /** Returns the URL that an OpenAI client needs, such as {@code http://127.0.0.1:49152/v1}. */
    public String baseUrl() {
        return baseUrl;
    }

    /** Makes the echo engine answer with a function of the last user text. */
    public BatchServer reply(UnaryOperator<String> reply) {
        scripted().reply(reply);
        return this;
    }

    /** Makes the echo engine answer with a function of the request body, called by several threads at once. */
    public BatchServer answer(Function<JsonNode, Reply> answer) {
        scripted().answer(answer);
        return this;
    }

    /** Writes the lines of output and error files in the reverse order of the input, from the next batch to finish. */
    public BatchServer shuffleOutput() {
        service().runner.shuffled = true;
        return this;
    }

    /** Leaves the line of this request out of its output or error file, as servers sometimes do. */
    public BatchServer loseLine(String customId) {
        service().runner.lost.add(customId);
        return this;
    }

    /** Starts no further request of any batch until {@link #resume}; those running end. */
    public BatchServer pause() {
        service().runner.pause(true);
        return this;
    }

    /** Undoes {@link #pause}. */
    public BatchServer resume() {
        service().runner.pause(false);
        return this;
    }

    /** Gives batches created from now on this time instead of their completion window. */
    public BatchServer expireAfter(Duration window) {
        service().runner.window = window;
        return this;
    }

    /** Returns the last 10,000 HTTP requests, oldest first, each as {@code POST /v1/batches}. */
    public List<String> requests() {
        return service().api.requests();
    }

    /** Stops the server; unfinished batches of a store that is kept go on when it is next started. */
    @Override
    public void close() {
        if (service != null)
            service.close();
    }

    @Override
    public String toString() {
        return "BatchServer[" + baseUrl + "]";
    }

    private Service service() {
        if (service == null)
            throw new IllegalStateException(baseUrl + " runs in another process; only the server's own can steer it");
        return service;
    }

    private Echo scripted() {
        if (service().engine instanceof Echo echo)
            return echo;
        throw new IllegalStateException("this server asks " + service().engine
            + "; only the echo engine can be scripted");
    }

    private static Path localStore() {
        String home = System.getProperty("SHEAF_HOME", System.getenv("SHEAF_HOME"));
        return (home != null ? Path.of(home) : Path.of(System.getProperty("user.home"), ".sheaf")).resolve("server");
    }

    // ---- Options: a server not yet started ----

    /** The settings of a server; each method returns a copy. */
    public static final class Options implements Cloneable {
        private static final Set<String> LOOPBACKS = Set.of(LOOPBACK, "localhost", "::1");

        private String host = LOOPBACK;
        private int port;                                // 0 is any free one
        private String engine = ECHO;
        private Path store;                              // null is a temporary one
        private String apiKey;                           // null lets everybody in
        private int concurrency = 8;
        private int maxRequests = 50_000;                // https://platform.openai.com/docs/api-reference/batch/create
        private long maxBytes = 200L * 1024 * 1024;      // the same

        private Options() {
        }

        /** Returns options with this address to listen on. If not called, 127.0.0.1; any other needs an API key. */
        public Options host(String host) {
            return with(copy -> copy.host = required("host", host));
        }

        /** Returns options with this port. If not called, or 0, a free one. */
        public Options port(int port) {
            return with(copy -> copy.port = within("port", port, 0, 65_535));
        }

        /** Returns options with this engine: {@code echo}, or the base URL of an OpenAI-compatible server. */
        public Options engine(String engine) {
            if (!required("engine", engine).matches("echo|https?://.+"))
                throw new IllegalArgumentException("engine: " + engine + " is neither echo nor an http URL");
            return with(copy -> copy.engine = engine);
        }

        /** Returns options with this folder for files and batches. If not called, a temporary one. */
        public Options store(Path store) {
            return with(copy -> copy.store = required("store", store));
        }

        /** Returns options with this key, which every request must then bear. */
        public Options apiKey(String apiKey) {
            return with(copy -> copy.apiKey = required("apiKey", apiKey));
        }

        /** Returns options with this many requests at the engine at once. If not called, 8. */
        public Options concurrency(int concurrency) {
            return with(copy -> copy.concurrency = within("concurrency", concurrency, 1, 1_000));
        }

        /** Returns options with this limit to the requests of a batch. If not called, 50,000. */
        public Options maxRequests(int maxRequests) {
            return with(copy -> copy.maxRequests = within("maxRequests", maxRequests, 1, Integer.MAX_VALUE));
        }

        /** Returns options with this limit to the size of a file. If not called, 200 MB. */
        public Options maxBytes(long maxBytes) {
            return with(copy -> copy.maxBytes = maxBytes);
        }

        /**
         * Starts the server and returns once it listens.
         * @throws IllegalStateException if another server uses the store, or others could reach it without an API key
         * @throws UncheckedIOException if the port is taken or the store cannot be written
         */
        public BatchServer start() {
            if (apiKey == null && !LOOPBACKS.contains(host))
                throw new IllegalStateException("start: others can reach " + host + "; set an API key too");
            return start(store == null ? Store.temporary() : Store.open(store).orElseThrow(this::storeInUse));
        }

        private BatchServer start(Store opened) {
            Service service = new Service(this, opened);
            return new BatchServer(service.start(), service);
        }

        private IllegalStateException storeInUse() {
            return new IllegalStateException("start: " + store + " is in use by another server at "
                + Store.awaitUrl(store) + "; use that one or choose another store");
        }

        private Options with(Consumer<Options> change) {
            try {
                Options copy = (Options) clone();
                change.accept(copy);
                return copy;
            } catch (CloneNotSupportedException impossible) {
                throw new AssertionError(impossible);
            }
        }

        private static <T> T required(String name, T value) {
            if (value == null || "".equals(value))
                throw new IllegalArgumentException(name + ": no value given");
            return value;
        }

        private static int within(String name, int value, int least, int most) {
            if (value < least || value > most)
                throw new IllegalArgumentException(name + ": " + value + " is not within " + least + " and " + most);
            return value;
        }
    }

    // ---- Reply: what a scripted engine says ----

    /** What the echo engine says to one request, when a test writes its lines. */
    public static final class Reply {
        private final String text;
        private final String finishReason;
        private final String refusal;
        private final Answer error;      // null if there is none

        private Reply(String text, String finishReason, String refusal, Answer error) {
            this.text = text;
            this.finishReason = finishReason;
            this.refusal = refusal;
            this.error = error;
        }

        /** Returns a reply with this text and the finish reason {@code stop}. */
        public static Reply text(String text) {
            return new Reply(text, "stop", null, null);
        }

        /** Returns a failure with this HTTP status; 0 is a request that got no HTTP answer at all. */
        public static Reply error(int status, String code, String message) {
            Answer error = status == 0 ? Answer.none(code, message) : Answer.error(status, code, message);
            return new Reply(null, null, null, error);
        }

        /** Returns the same reply with another finish reason, such as {@code length}. */
        public Reply finishReason(String finishReason) {
            return new Reply(text, finishReason, refusal, error);
        }

        /** Returns the same reply with a refusal in the place of its text. */
        public Reply refusal(String refusal) {
            return new Reply(text, finishReason, refusal, error);
        }
    }

    // ---- Service: what runs while the server is open ----

    private static final JsonMapper JSON = JsonMapper.builder()
        .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS, DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS)
        .disable(JsonNodeFeature.STRIP_TRAILING_BIGDECIMAL_ZEROES)
        .enable(JsonWriteFeature.ESCAPE_NON_ASCII)       // no U+2028 to split a line, no lone surrogate to break one
        .build();

    private static ObjectNode object() {
        return JSON.createObjectNode();
    }

    private static long now() {
        return Instant.now().getEpochSecond();
    }

    private static String newId(String prefix) {
        return prefix + UUID.randomUUID().toString().replace("-", "");
    }

    private static final class Service {
        private static final int MAX_THREADS = 64;

        private final Options options;
        private final Store store;
        private final Engine engine;
        private final Runner runner;
        private final Api api;
        private final Server jetty;
        private final Thread atExit = new Thread(this::stop, "sheaf-server-exit");

        private Service(Options options, Store store) {
            this.options = options;
            this.store = store;
            this.engine = options.engine.equals(ECHO) ? new Echo() : new Upstream(options.engine);
            this.runner = new Runner(options, store, engine);
            this.api = new Api(options, store, engine, runner);
            this.jetty = jetty(options, api);
        }

        private String start() {
            try {
                jetty.start();
            } catch (Exception e) {   // the signature of Jetty's LifeCycle
                stop();
                throw new UncheckedIOException("start: " + options.host + ":" + options.port + " cannot be used ("
                    + e.getMessage() + "); choose another port", new IOException(e));
            }
            Runtime.getRuntime().addShutdownHook(atExit);
            runner.continueUnfinished();
            return store.announce("http://" + bracketed(options.host) + ":" + port() + "/v1");
        }

        private int port() {
            return ((ServerConnector) jetty.getConnectors()[0]).getLocalPort();
        }

        private static String bracketed(String host) {
            return host.contains(":") ? "[" + host + "]" : host;
        }

        private void close() {
            if (isOpen())
                stop();
        }

        /** Returns whether nobody has closed the server, and takes that task upon the caller. */
        private boolean isOpen() {
            try {
                return Runtime.getRuntime().removeShutdownHook(atExit);
            } catch (IllegalStateException exiting) {   // and the hook closes it
                return false;
            }
        }

        private synchronized void stop() {
            try {
                jetty.stop();
            } catch (Exception e) {   // the signature of Jetty's LifeCycle
                throw new IllegalStateException("close: the HTTP server does not stop", e);
            } finally {
                runner.close();
                store.close();
            }
        }

        private static Server jetty(Options options, Api api) {
            QueuedThreadPool threads = new QueuedThreadPool(MAX_THREADS);
            threads.setName("sheaf-http");
            threads.setDaemon(true);
            Server server = new Server(threads, new ScheduledExecutorScheduler("sheaf-http-timer", true), null);
            server.setStopTimeout(0);
            server.setHandler(api);
            server.setErrorHandler(Api::unhandled);
            server.addConnector(connector(server, options));
            return server;
        }

        private static ServerConnector connector(Server server, Options options) {
            HttpConfiguration http = new HttpConfiguration();
            http.setSendServerVersion(false);
            http.setUriCompliance(UriCompliance.DEFAULT.with("slashes in model names",
                UriCompliance.Violation.AMBIGUOUS_PATH_SEPARATOR));
            ServerConnector connector = new ServerConnector(server, 1, 1, new HttpConnectionFactory(http));
            connector.setHost(options.host);
            connector.setPort(options.port);
            connector.setIdleTimeout(Upstream.DEADLINE.plusMinutes(1).toMillis());
            return connector;
        }
    }

    // ---- Api: one method per endpoint ----

    /** A request that is refused, and how: an HTTP status and OpenAI's error object. */
    private static final class Refusal extends RuntimeException {
        private final int status;
        private final String param;
        private final String code;

        private Refusal(int status, String message, String param, String code) {
            super(message, null, false, false);
            this.status = status;
            this.param = param;
            this.code = code;
        }

        private static Refusal invalid(String param, String code, String message) {
            return new Refusal(400, message, param, code);
        }

        private static Refusal busy(String message) {
            return new Refusal(429, message, null, "rate_limit_exceeded");
        }

        private static Refusal missing(String param) {
            return invalid(param, "missing_required_parameter", "Missing required parameter: '" + param + "'.");
        }

        private static Refusal unsupported(String param, String value, List<String> supported) {
            return invalid(param, "invalid_value", "Invalid value: '" + value + "'. Supported values are: "
                + supported.stream().map(each -> "'" + each + "'").collect(Collectors.joining(", ")) + ".");
        }

        private ObjectNode body() {
            return envelope(status, getMessage(), param, code);
        }

        private static ObjectNode envelope(int status, String message, String param, String code) {
            ObjectNode body = object();
            body.putObject("error").put("message", message)
                .put("type", status < 500 ? "invalid_request_error" : "server_error")
                .put("param", param).put("code", code);
            return body;
        }
    }

    private static final class Api extends Handler.Abstract {
        private static final List<String> PURPOSES =
            List.of("assistants", "batch", "fine-tune", "vision", "user_data", "evals");
        private static final List<String> ENDPOINTS =
            List.of("/v1/chat/completions", "/v1/embeddings", "/v1/completions", "/v1/responses");
        private static final Map<String, Duration> WINDOWS = Map.of("1h", Duration.ofHours(1),
            "24h", Duration.ofHours(24), "48h", Duration.ofHours(48), "72h", Duration.ofHours(72));
        private static final int MIN_EXPIRY = 3_600;      // https://platform.openai.com/docs/api-reference/files/create
        private static final int MAX_EXPIRY = 2_592_000;
        private static final int MAX_BODY = 1024 * 1024;
        private static final int MAX_FIELD = 1024;
        private static final int MAX_PASSED = 32;         // of the HTTP threads, so that the other routes stay free
        private static final int MAX_RECORDED = 10_000;

        private interface Endpoint {
            void serve(Call call) throws IOException, InterruptedException;
        }

        private record Route(String method, Pattern path, Endpoint endpoint) {
        }

        private final List<Route> routes = List.of(
            route("GET", "/", this::webPage),
            route("POST", "/v1/files", this::createFile),
            route("GET", "/v1/files", this::listFiles),
            route("GET", "/v1/files/{id}", this::retrieveFile),
            route("DELETE", "/v1/files/{id}", this::deleteFile),
            route("GET", "/v1/files/{id}/content", this::fileContent),
            route("POST", "/v1/batches", this::createBatch),
            route("GET", "/v1/batches", this::listBatches),
            route("GET", "/v1/batches/{id}", this::retrieveBatch),
            route("POST", "/v1/batches/{id}/cancel", this::cancelBatch),
            route("GET", "/v1/models", this::listModels),
            route("GET", "/v1/models/{model}", this::retrieveModel),
            route("POST", "/v1/chat/completions", this::pass),
            route("POST", "/v1/embeddings", this::pass),
            route("POST", "/v1/completions", this::pass),
            route("POST", "/v1/responses", this::pass));
        private final Deque<String> recorded = new ArrayDeque<>();
        private final Semaphore passing = new Semaphore(MAX_PASSED);
        private final Optional<WebPage> webPage = WebPage.read();
        private final Options options;
        private final Store store;
        private final Engine engine;
        private final Runner runner;

        private Api(Options options, Store store, Engine engine, Runner runner) {
            this.options = options;
            this.store = store;
            this.engine = engine;
            this.runner = runner;
        }

        private static Route route(String method, String path, Endpoint endpoint) {
            String regex = path.replace("{id}", "([^/]+)").replace("{model}", "(.+?)") + "/?";
            return new Route(method, Pattern.compile(regex), endpoint);
        }

        @Override
        public boolean handle(Request request, Response response, Callback callback) throws Exception {
            Call call = new Call(request, response, callback);
            response.getHeaders().put("x-request-id", newId("req_"));
            Browsers.protect(response);
            record(call);
            try {
                Browsers.refuseStrangers(call, options);
                authorize(call);
                dispatch(call);
            } catch (Refusal refusal) {
                if (refusal.status == 413)       // the rest of the body is unread, so no other request can follow
                    response.getHeaders().put("Connection", "close");
                call.send(refusal.status, refusal.body());
            }
            return true;
        }

        private void record(Call call) {
            synchronized (recorded) {
                if (recorded.size() == MAX_RECORDED)
                    recorded.removeFirst();
                recorded.addLast(call.method() + " " + call.path().replaceFirst("(?<=.)/$", ""));
            }
        }

        private List<String> requests() {
            synchronized (recorded) {
                return List.copyOf(recorded);
            }
        }

        private void authorize(Call call) {
            String given = call.header("Authorization");
            if (options.apiKey == null || Browsers.isPage(call))
                return;
            if (given == null)
                throw new Refusal(401, "You didn't provide an API key.", null, null);
            byte[] expected = ("Bearer " + options.apiKey).getBytes(UTF_8);
            if (!MessageDigest.isEqual(expected, given.getBytes(UTF_8)))
                throw new Refusal(401, "Incorrect API key provided.", null, "invalid_api_key");
        }

        private void dispatch(Call call) throws IOException, InterruptedException {
            StringJoiner allowed = new StringJoiner(", ");
            for (Route route : routes) {
                Matcher path = route.path.matcher(call.path());
                if (!path.matches())
                    continue;
                if (route.method.equals(call.method())) {
                    route.endpoint.serve(path.groupCount() == 0 ? call : call.on(path.group(1)));
                    return;
                }
                allowed.add(route.method);
            }
            throw allowed.length() == 0 ? unknownRoute(call) : wrongMethod(call, allowed.toString());
        }

        private static Refusal unknownRoute(Call call) {
            String message = "Unknown request URL: " + call.method() + " " + call.path() + ".";
            return new Refusal(404, message, null, "unknown_url");
        }

        private static Refusal wrongMethod(Call call, String allowed) {
            call.response.getHeaders().put(HttpHeader.ALLOW, allowed);
            String message = "Not allowed to " + call.method() + " on " + call.path() + ".";
            return new Refusal(405, message, null, "method_not_supported");
        }

        /** Answers what Jetty itself refuses or what broke, in the shape of every other error. */
        private static boolean unhandled(Request request, Response response, Callback callback) {
            int status = response.getStatus();
            Object message = request.getAttribute(ErrorHandler.ERROR_MESSAGE);
            response.getHeaders().put("x-request-id", newId("req_"));
            Browsers.protect(response);
            new Call(request, response, callback)
                .send(status, Refusal.envelope(status, String.valueOf(message), null, null));
            return true;
        }

        private void webPage(Call call) {
            call.send(webPage.orElseThrow(() -> unknownRoute(call)));
        }

        private void createFile(Call call) throws IOException {
            store.deleteExpiredFiles();
            try (MultiPartFormData.Parts parts = parts(call)) {
                MultiPart.Part content = parts.getFirst("file");
                if (content == null)
                    throw Refusal.missing("file");
                String purpose = purpose(parts);
                Long seconds = seconds(field(parts, "expires_after[anchor]"), field(parts, "expires_after[seconds]"));
                if (seconds == null && purpose.equals("batch"))
                    seconds = Store.BATCH_FILE_SECONDS;
                call.send(keep(content, purpose, seconds));
            }
        }

        private MultiPartFormData.Parts parts(Call call) {
            String type = call.header("Content-Type");
            if (type == null || !type.toLowerCase(Locale.ROOT).startsWith("multipart/form-data"))
                throw Refusal.invalid(null, null, "Invalid Content-Type header; expected multipart/form-data.");
            if (call.request.getLength() > options.maxBytes + MAX_BODY)
                throw tooLarge();
            try {
                return MultiPartFormData.getParts(call.request, call.request, type, new MultiPartConfig.Builder()
                    .location(store.uploads()).maxParts(16).maxMemoryPartSize(MAX_FIELD).maxPartSize(options.maxBytes)
                    .maxSize(options.maxBytes + MAX_BODY).useFilesForPartsWithoutFileName(true).build());
            } catch (RuntimeException malformed) {   // Jetty has no narrower type for it
                throw malformed(malformed);
            }
        }

        private Refusal malformed(RuntimeException e) {
            String why = String.valueOf(e.getCause() == null ? e.getMessage() : e.getCause().getMessage());
            return why.contains("exceeded") ? tooLarge()
                : Refusal.invalid(null, null, "Could not parse multipart form: " + why + ".");
        }

        private Refusal tooLarge() {
            return new Refusal(413, "File is too large: at most " + options.maxBytes + " bytes.", "file", null);
        }

        private static String purpose(MultiPartFormData.Parts parts) {
            String purpose = field(parts, "purpose");
            if (purpose == null)
                throw Refusal.missing("purpose");
            if (!PURPOSES.contains(purpose))
                throw Refusal.unsupported("purpose", purpose, PURPOSES);
            return purpose;
        }

        private static String field(MultiPartFormData.Parts parts, String name) {
            MultiPart.Part part = parts.getFirst(name);
            if (part != null && part.getLength() > MAX_FIELD)
                throw Refusal.invalid(name, "invalid_value", "Value of '" + name + "' is too long.");
            return part == null ? null : part.getContentAsString(UTF_8);
        }

        /** Returns the seconds of an {@code expires_after}, or null if there is none. */
        private static Long seconds(String anchor, String seconds) {
            if (anchor == null && seconds == null)
                return null;
            if (!"created_at".equals(anchor))
                throw Refusal.unsupported("expires_after.anchor", anchor, List.of("created_at"));
            return integer("expires_after.seconds", seconds, MIN_EXPIRY, MAX_EXPIRY);
        }

        private ObjectNode keep(MultiPart.Part content, String purpose, Long seconds) throws IOException {
            String id = newId("file-");
            Path path = store.file(id);
            content.writeTo(path);
            if (purpose.equals("batch") && !startsWithJson(path)) {
                Files.delete(path);
                throw Refusal.invalid("file", null, "Invalid file format for Batch API. Must be .jsonl");
            }
            ObjectNode file = Store.fileObject(id, Files.size(path), baseName(content.getFileName()), purpose, seconds);
            store.insertFile(file);
            return file;
        }

        private static boolean startsWithJson(Path path) throws IOException {
            try (Lines lines = new Lines(path, Lines.MAX_BYTES)) {
                byte[] first = lines.next();
                return first != null && (Lines.isBlank(first) || JSON.readTree(first).isContainerNode());
            } catch (JsonProcessingException notJson) {
                return false;
            }
        }

        private static String baseName(String fileName) {
            return fileName == null ? "upload.jsonl" : fileName.replaceFirst("(?s).*[/\\\\]", "");
        }

        private void listFiles(Call call) {
            String order = call.query("order", "desc");
            if (!List.of("asc", "desc").contains(order))
                throw Refusal.unsupported("order", order, List.of("asc", "desc"));
            int limit = (int) integer("limit", call.query("limit", "10000"), 1, 10_000);
            String after = call.query("after", null);
            call.send(page(store.files(call.query("purpose", null), after, order, limit + 1), limit));
        }

        private static long integer(String param, String value, long least, long most) {
            if (value == null)
                throw Refusal.missing(param);
            if (value.matches("-?\\d{1,18}") && Long.parseLong(value) >= least && Long.parseLong(value) <= most)
                return Long.parseLong(value);
            throw Refusal.invalid(param, "invalid_value", "Invalid '" + param + "': expected an integer from " + least
                + " to " + most + ", but got '" + value + "' instead.");
        }

        /** Returns a list of at most {@code limit} resources; one more was asked for, to know if there is more. */
        private static ObjectNode page(List<ObjectNode> found, int limit) {
            List<ObjectNode> shown = found.subList(0, Math.min(limit, found.size()));
            ObjectNode page = object().put("object", "list");
            page.putArray("data").addAll(shown);
            page.set("first_id", shown.isEmpty() ? null : shown.get(0).get("id"));
            page.set("last_id", shown.isEmpty() ? null : shown.get(shown.size() - 1).get("id"));
            return page.put("has_more", found.size() > limit);
        }

        private void retrieveFile(Call call) {
            call.send(file(call.id));
        }

        private ObjectNode file(String id) {
            return store.find("file", id)
                .orElseThrow(() -> new Refusal(404, "No such File object: " + id, "id", null));
        }

        private void deleteFile(Call call) {
            store.deleteFile(file(call.id).get("id").textValue());
            call.send(object().put("id", call.id).put("object", "file").put("deleted", true));
        }

        private void fileContent(Call call) throws IOException {
            ObjectNode file = file(call.id);
            call.response.getHeaders().put("Content-Disposition", Browsers.attachment(file.get("filename").asText()));
            call.sendFile(store.file(file.get("id").textValue()));
        }

        private void createBatch(Call call) throws IOException {
            byte[] body = call.body(MAX_BODY);
            ObjectNode asked = call.object(body);
            requireStrings(asked, "input_file_id", "endpoint", "completion_window");
            String endpoint = asked.get("endpoint").textValue();
            if (!ENDPOINTS.contains(endpoint))
                throw Refusal.unsupported("endpoint", endpoint, ENDPOINTS);
            String window = asked.get("completion_window").textValue();
            if (!WINDOWS.containsKey(window))
                throw Refusal.unsupported("completion_window", window, WINDOWS.keySet().stream().sorted().toList());
            checkMetadata(asked.path("metadata"));
            checkOutputExpiry(asked.path("output_expires_after"));
            call.send(runner.create(asked, WINDOWS.get(window), call.header("Idempotency-Key"), body));
        }

        private static void requireStrings(ObjectNode asked, String... params) {
            for (String param : params) {
                if (!asked.hasNonNull(param))
                    throw Refusal.missing(param);
                requireString(param, asked.get(param));
            }
        }

        private static void requireString(String param, JsonNode value) {
            if (!value.isTextual())
                throw Refusal.invalid(param, "invalid_type", BatchError.wrongType(param, "a string", value));
        }

        private static void checkMetadata(JsonNode metadata) {
            if (metadata.isMissingNode() || metadata.isNull())
                return;
            if (!metadata.isObject())
                throw Refusal.invalid("metadata", "invalid_type",
                    BatchError.wrongType("metadata", "an object", metadata));
            if (metadata.size() > 16)
                throw Refusal.invalid("metadata", "object_above_max_properties",
                    "Invalid 'metadata': too many properties. Expected an object with at most 16 properties, but got "
                    + metadata.size() + " instead.");
            metadata.properties().forEach(pair -> checkPair(pair.getKey(), pair.getValue()));
        }

        private static void checkPair(String key, JsonNode value) {
            String param = "metadata." + key;
            if (key.length() > 64)
                throw Refusal.invalid("metadata", "string_above_max_length", "Invalid 'metadata': key '" + key
                    + "' is too long. Expected at most 64 characters, but got " + key.length() + " instead.");
            requireString(param, value);
            int length = value.textValue().length();
            if (length > 512)
                throw Refusal.invalid(param, "string_above_max_length", "Invalid '" + param
                    + "': string too long. Expected a string with maximum length 512, but got a string with length "
                    + length + " instead.");
        }

        private static void checkOutputExpiry(JsonNode expiry) {
            if (expiry.isObject())
                seconds(expiry.path("anchor").textValue(), expiry.path("seconds").asText(null));
        }

        private void listBatches(Call call) {
            int limit = (int) integer("limit", call.query("limit", "20"), 1, 100);
            call.send(page(runner.list(call.query("after", null), limit + 1), limit));
        }

        private void retrieveBatch(Call call) {
            call.send(runner.find(call.id));
        }

        private void cancelBatch(Call call) {
            try {
                call.send(runner.cancel(call.id));
            } catch (Refusal refusal) {
                call.response.getHeaders().put("x-should-retry", "false");   // OpenAI's clients would repeat a 409
                throw refusal;
            }
        }

        private void listModels(Call call) throws InterruptedException {
            call.send(engine.models());
        }

        private void retrieveModel(Call call) throws InterruptedException {
            Answer models = engine.models();
            for (JsonNode model : models.body().path("data"))
                if (model.path("id").asText().equals(call.id)) {
                    call.send(200, model);
                    return;
                }
            if (!models.succeeded())
                call.send(models);
            else
                throw new Refusal(404, "The model '" + call.id + "' does not exist", "model", "model_not_found");
        }

        private void pass(Call call) throws IOException, InterruptedException {
            ObjectNode body = call.object(call.body(Lines.MAX_BYTES));
            if (body.path("stream").asBoolean())
                throw Refusal.invalid("stream", "streaming_unsupported", "Streaming is not supported by this server.");
            if (!passing.tryAcquire())
                throw Refusal.busy("Too many requests at once: at most " + MAX_PASSED + ".");
            try {
                call.send(engine.answer(call.path().replaceFirst("/$", ""), body));
            } finally {
                passing.release();
            }
        }
    }

    /** One HTTP request and its response; {@code id} is what the path names, if it names something. */
    private record Call(Request request, Response response, Callback callback, String id) {
        private static final Pattern RANGE = Pattern.compile("bytes=(\\d{1,18})-(\\d{0,18})");

        private Call(Request request, Response response, Callback callback) {
            this(request, response, callback, null);
        }

        private Call on(String rawId) {
            return new Call(request, response, callback, URIUtil.decodePath(rawId));
        }

        private String method() {
            return request.getMethod();
        }

        private String path() {
            return Optional.ofNullable(request.getHttpURI().getPath()).orElse("/");
        }

        private String header(String name) {
            return request.getHeaders().get(name);
        }

        private String query(String name, String otherwise) {
            String value = Request.extractQueryParameters(request).getValue(name);
            return value == null || value.isEmpty() ? otherwise : value;
        }

        private byte[] body(int limit) throws IOException {
            byte[] body = Content.Source.asInputStream(request).readNBytes(limit + 1);
            if (body.length > limit)
                throw new Refusal(413, "Request body is too large: at most " + limit + " bytes.", null, null);
            return body;
        }

        private ObjectNode object(byte[] body) throws IOException {
            try {
                if (JSON.readTree(body) instanceof ObjectNode object)
                    return object;
            } catch (JsonProcessingException notJson) {
                // the same refusal as for JSON that is no object
            }
            throw Refusal.invalid(null, null, "We could not parse the JSON body of your request.");
        }

        private void send(JsonNode body) {
            send(200, body);
        }

        private void send(Answer answer) {
            send(answer.status() == 0 ? 502 : answer.status(), answer.status() == 0
                ? Refusal.envelope(502, answer.message(), null, answer.code()) : answer.body());
        }

        private void send(int status, JsonNode body) {
            byte[] bytes = bytes(body);
            response.setStatus(status);
            response.getHeaders().put(HttpHeader.CONTENT_TYPE, "application/json");
            response.getHeaders().put(HttpHeader.CONTENT_LENGTH, bytes.length);
            response.write(true, ByteBuffer.wrap(bytes), callback);
        }

        private void send(WebPage page) {
            response.getHeaders().put("Content-Security-Policy", page.policy);
            response.getHeaders().put("Cross-Origin-Opener-Policy", "same-origin");
            response.getHeaders().put(HttpHeader.CONTENT_TYPE, "text/html; charset=utf-8");
            response.getHeaders().put(HttpHeader.CONTENT_LENGTH, page.html.length);
            response.write(true, ByteBuffer.wrap(page.html), callback);
        }

        private void sendFile(Path path) throws IOException {
            long size = Files.size(path);
            Matcher range = RANGE.matcher(Optional.ofNullable(header("Range")).orElse(""));
            boolean partial = range.matches() && Long.parseLong(range.group(1)) < size;
            long first = partial ? Long.parseLong(range.group(1)) : 0;
            boolean cut = partial && !range.group(2).isEmpty();
            long last = cut ? Math.min(Long.parseLong(range.group(2)), size - 1) : size - 1;
            if (partial)
                response.getHeaders().put(HttpHeader.CONTENT_RANGE, "bytes " + first + "-" + last + "/" + size);
            response.setStatus(partial ? 206 : 200);
            response.getHeaders().put(HttpHeader.ACCEPT_RANGES, "bytes");
            response.getHeaders().put(HttpHeader.CONTENT_TYPE, "application/octet-stream");
            response.getHeaders().put(HttpHeader.CONTENT_LENGTH, last - first + 1);
            Content.copy(Content.Source.from(path, first, last - first + 1), response, callback);
        }

        private static byte[] bytes(JsonNode body) {
            try {
                return JSON.writeValueAsBytes(body);
            } catch (JsonProcessingException impossible) {
                throw new UncheckedIOException(impossible);
            }
        }
    }

    // ---- Browsers: a page to look at, and what other pages may not do ----

    /** The page at {@code /}: a file beside this one, which may be missing, and the policy that lets only it run. */
    private record WebPage(byte[] html, String policy) {
        private static final String POLICY = "default-src 'none'; connect-src 'self'; img-src data:; style-src %s;"
            + " script-src %s; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
            + " require-trusted-types-for 'script'; trusted-types 'none'";

        private static Optional<WebPage> read() {
            try (InputStream file = BatchServer.class.getResourceAsStream("BatchServer.html")) {
                return Optional.ofNullable(file == null ? null : of(new String(file.readAllBytes(), UTF_8)));
            } catch (IOException e) {
                throw new UncheckedIOException("start: BatchServer.html cannot be read (" + e.getMessage() + ")", e);
            }
        }

        private static WebPage of(String text) {
            String html = text.replace("\r\n", "\n");       // as browsers do before they hash a part of it
            return new WebPage(html.getBytes(UTF_8),
                String.format(POLICY, hash(html, "style"), hash(html, "script")));
        }

        /** Returns the hash by which a policy names the one element of this name. */
        private static String hash(String html, String element) {
            int start = html.indexOf("<" + element + ">") + element.length() + 2;
            String content = html.substring(start, html.indexOf("</" + element + ">", start));
            try {
                byte[] digest = MessageDigest.getInstance("SHA-256").digest(content.getBytes(UTF_8));
                return "'sha256-" + Base64.getEncoder().encodeToString(digest) + "'";
            } catch (NoSuchAlgorithmException impossible) {   // every JVM has it
                throw new AssertionError(impossible);
            }
        }
    }

    /**
     * Keeps the pages of other sites out: any of them can make a browser on this machine send requests here, and, once
     * its host name resolves to 127.0.0.1, read the answers. Programs send neither Origin nor Sec-Fetch-Site.
     *
     * @see <a href="https://fetch.spec.whatwg.org/#origin-header">Origin</a>
     * @see <a href="https://www.w3.org/TR/fetch-metadata/">Sec-Fetch-Site</a>
     */
    private static final class Browsers {
        private static final Pattern LOOPBACK_HOST =
            Pattern.compile("(?i)(localhost|127(\\.\\d{1,3}){3}|\\[::1])(:\\d{1,5})?");
        private static final Pattern UNSAFE_IN_NAMES = Pattern.compile("[\\p{Cc}\\p{Cf}\\p{Cs}\"*/:<>?\\\\|]+");
        private static final int MAX_NAME = 100;          // code points, so that the header stays within Jetty's 8 KB

        private Browsers() {
        }

        /** Says of any answer that it is what its type says, is for this origin, and may differ the next time. */
        private static void protect(Response response) {
            response.getHeaders().put("X-Content-Type-Options", "nosniff");
            response.getHeaders().put("Referrer-Policy", "no-referrer");
            response.getHeaders().put("Cross-Origin-Resource-Policy", "same-origin");
            response.getHeaders().put(HttpHeader.CACHE_CONTROL, "no-store");
        }

        private static boolean isPage(Call call) {
            return call.method().equals("GET") && call.path().equals("/");
        }

        private static void refuseStrangers(Call call, Options options) {
            String host = Optional.ofNullable(call.header("Host")).orElse("");
            if (options.apiKey == null && !isOwn(host, options))
                throw forbidden("host_not_allowed", "Host '" + host + "' is not a name of this machine; call the"
                    + " server as localhost or 127.0.0.1, or start it with an API key.");
            String origin = call.header("Origin");
            if (origin != null && !isOrigin(origin, host))
                throw forbidden("origin_not_allowed", "Origin '" + origin + "' is another site; only the server's own"
                    + " page and programs may call it.");
            if ("cross-site".equals(call.header("Sec-Fetch-Site")) && !isVisit(call))
                throw forbidden("origin_not_allowed", "A page of another site made this request; only the server's own"
                    + " page and programs may call it.");
        }

        private static Refusal forbidden(String code, String message) {
            return new Refusal(403, message, null, code);
        }

        private static boolean isOwn(String host, Options options) {
            String name = host.replaceFirst(":\\d{1,5}$", "");
            return LOOPBACK_HOST.matcher(host).matches()
                || name.equalsIgnoreCase(Service.bracketed(options.host));
        }

        /** Returns whether an origin is that of a host; https is a proxy's in front of this server. */
        private static boolean isOrigin(String origin, String host) {
            return origin.equalsIgnoreCase("http://" + host) || origin.equalsIgnoreCase("https://" + host);
        }

        /** Returns whether somebody followed a link to the page, which holds no data and shows in no frame. */
        private static boolean isVisit(Call call) {
            return isPage(call) && "navigate".equals(call.header("Sec-Fetch-Mode"))
                && "document".equals(call.header("Sec-Fetch-Dest"));
        }

        /** Returns a Content-Disposition (RFC 6266) that makes a browser save a file, under a name that is safe. */
        private static String attachment(String fileName) {
            String name = safe(fileName);
            String ascii = name.replaceAll("[^\\x20-\\x7e]|[%;]", "_");
            return "attachment; filename=\"" + ascii + "\"; filename*=UTF-8''"
                + URLEncoder.encode(name, UTF_8).replace("+", "%20");
        }

        /** Returns a name without what a header, a file system or a reader could take for something else. */
        private static String safe(String fileName) {
            String name = UNSAFE_IN_NAMES.matcher(fileName).replaceAll("_").strip();
            int[] points = name.codePoints().toArray();
            String end = name.replaceFirst("(?s).*?(\\.\\w{1,10})?$", "$1");
            String cut = points.length <= MAX_NAME ? name
                : new String(points, 0, MAX_NAME - end.length()) + end;
            return cut.matches("\\.*") ? "file" : cut;
        }
    }

    // ---- Lines: the input file ----

    /** The lines of a file, split on 0x0A only, one in memory at a time. */
    private static final class Lines implements Closeable {
        private static final int MAX_BYTES = 16 * 1024 * 1024;   // of one request

        private final InputStream in;
        private final ByteArrayOutputStream line = new ByteArrayOutputStream();
        private final byte[] buffer = new byte[64 * 1024];
        private final int maxBytes;
        private int position;
        private int end;
        private int number;          // of the line returned last, from 1
        private long offset;         // where that line ends
        private boolean terminated;  // whether it ends in 0x0A

        /** Opens a file of which no more than {@code maxBytes + 1} bytes of each line matter. */
        private Lines(Path path, int maxBytes) throws IOException {
            this.in = Files.newInputStream(path);
            this.maxBytes = maxBytes;
        }

        /** Returns the next line without its CR and LF, or null after the last one. */
        private byte[] next() throws IOException {
            if (!filled())
                return null;
            line.reset();
            number++;
            do take(); while (!terminated && filled());
            return withoutReturn(line.toByteArray());
        }

        private boolean filled() throws IOException {
            if (position < end)
                return true;
            position = 0;
            end = in.read(buffer);
            return end > 0;
        }

        private void take() {
            int stop = position;
            while (stop < end && buffer[stop] != '\n')
                stop++;
            line.write(buffer, position, Math.min(stop - position, maxBytes + 1 - line.size()));
            terminated = stop < end;
            int next = terminated ? stop + 1 : stop;
            offset += next - position;
            position = next;
        }

        private static byte[] withoutReturn(byte[] line) {
            boolean crlf = line.length > 0 && line[line.length - 1] == '\r';
            return crlf ? Arrays.copyOf(line, line.length - 1) : line;
        }

        private static boolean isBlank(byte[] line) {
            for (byte each : line)
                if (each != ' ' && each != '\t' && each != '\r')
                    return false;
            return true;
        }

        @Override
        public void close() throws IOException {
            in.close();
        }
    }

    /** One request of an input file; {@code number} is its physical line. */
    private record Line(int number, String customId, JsonNode body) {
        private static Line read(int number, byte[] bytes) throws IOException {
            JsonNode line = JSON.readTree(bytes);
            return new Line(number, line.get("custom_id").textValue(), line.get("body"));
        }
    }

    /** Why an input file is refused: OpenAI's BatchError; {@code line} is null if it concerns the whole file. */
    private record BatchError(String code, String message, String param, Integer line) {
        private static BatchError of(String code, String param, String message) {
            return new BatchError(code, message, param, null);
        }

        private static BatchError missing(String param) {
            return of("missing_required_parameter", param, "Missing required parameter: '" + param + "'.");
        }

        private static BatchError invalid(String param, String message) {
            return of("invalid_request", param, message);
        }

        private static BatchError notJson(String message) {
            return of("invalid_json_line", null, message);
        }

        private static String wrongType(String param, String expected, JsonNode value) {
            String given = value.getNodeType().name().toLowerCase(Locale.ROOT);
            String article = given.matches("[aeiou].*") ? "an " : "a ";
            return "Invalid type for '" + param + "': expected " + expected + ", but got " + article + given
                + " instead.";
        }

        private BatchError at(int number) {
            return new BatchError(code, message, param, number);
        }

        private ObjectNode json() {
            return object().put("code", code).put("message", message).put("param", param).put("line", line);
        }
    }

    /** Reads an input file once, and keeps what is wrong with it and what its requests have in common. */
    private static final class Validation {
        private static final int MAX_FAULTS = 100;
        private static final byte[] BOM = {(byte) 0xEF, (byte) 0xBB, (byte) 0xBF};
        private static final Map<String, String> CONTENT = Map.of("/v1/chat/completions", "messages",
            "/v1/completions", "prompt", "/v1/embeddings", "input", "/v1/responses", "input");

        private final String endpoint;
        private final List<BatchError> faults = new ArrayList<>();
        private final Set<UUID> customIds = new HashSet<>();   // digests, because ids may be of any length
        private final Set<String> models = new HashSet<>();    // no more than two: it matters only if it is one
        private int total;

        private Validation(String endpoint) {
            this.endpoint = endpoint;
        }

        private static Validation of(Path input, String endpoint, int maxRequests) throws IOException {
            Validation validation = new Validation(endpoint);
            try (Lines lines = new Lines(input, Lines.MAX_BYTES)) {
                validation.readAll(lines, maxRequests);
            }
            return validation;
        }

        private void readAll(Lines lines, int maxRequests) throws IOException {
            for (byte[] line; (line = lines.next()) != null && faults.size() < MAX_FAULTS && total <= maxRequests; )
                if (!Lines.isBlank(line))
                    read(line, lines.number);
            if (total == 0)
                faults.add(BatchError.of("empty_file", null, "The input file has no requests."));
            if (total > maxRequests)
                faults.add(BatchError.of("too_many_tasks", null,
                    "The input file has more than " + maxRequests + " requests."));
        }

        private void read(byte[] line, int number) {
            total++;
            BatchError fault = textFault(line, number);
            if (fault == null)
                fault = jsonFault(line);
            if (fault != null)
                faults.add(fault.at(number));
        }

        private static BatchError textFault(byte[] line, int number) {
            if (line.length > Lines.MAX_BYTES)
                return BatchError.invalid(null, "This line is longer than " + Lines.MAX_BYTES + " bytes.");
            if (number == 1 && Arrays.mismatch(line, BOM) == BOM.length)
                return BatchError.notJson("The file starts with a byte order mark (BOM); save it as UTF-8 without "
                    + "one.");
            ByteBuffer bytes = ByteBuffer.wrap(line);
            try {
                UTF_8.newDecoder().decode(bytes);
                return null;
            } catch (CharacterCodingException e) {
                return BatchError.notJson("This line is not valid UTF-8 (byte " + (bytes.position() + 1) + ").");
            }
        }

        private BatchError jsonFault(byte[] line) {
            try {
                JsonNode request = JSON.readTree(line);
                return request.isObject() ? requestFault(request)
                    : BatchError.notJson("This line is not a JSON object.");
            } catch (IOException notJson) {
                return BatchError.notJson("This line is not parseable as valid JSON.");
            }
        }

        private BatchError requestFault(JsonNode request) {
            for (String param : List.of("custom_id", "method", "url", "body"))
                if (!request.hasNonNull(param) || "".equals(request.get(param).textValue()))
                    return BatchError.missing(param);
            JsonNode customId = request.get("custom_id");
            String method = request.get("method").asText();
            if (!customId.isTextual())
                return BatchError.of("invalid_type", "custom_id",
                    BatchError.wrongType("custom_id", "a string", customId));
            if (!customIds.add(UUID.nameUUIDFromBytes(customId.textValue().getBytes(UTF_8))))
                return BatchError.of("duplicate_custom_id", "custom_id",
                    "The custom_id '" + customId.textValue() + "' is used by another request of this file.");
            if (!method.equals("POST"))
                return BatchError.of("invalid_value", "method",
                    "Invalid value: '" + method + "'. Supported values are: 'POST'.");
            if (!request.get("url").asText().equals(endpoint))
                return BatchError.of("invalid_url", "url",
                    "The URL provided for this request does not match the batch endpoint.");
            return bodyFault(request.get("body"));
        }

        private BatchError bodyFault(JsonNode body) {
            String content = CONTENT.get(endpoint);
            if (!body.isObject())
                return BatchError.of("invalid_type", "body", BatchError.wrongType("body", "an object", body));
            if (body.path("model").asText("").isEmpty())
                return BatchError.invalid("body.model", "Model parameter is required.");
            if (!body.hasNonNull(content))
                return BatchError.invalid("body." + content, capitalized(content) + " parameter is required.");
            if (body.path("stream").asBoolean())
                return BatchError.of("streaming_unsupported", "body.stream",
                    "Streaming is not supported in the Batch API.");
            if (models.size() < 2)
                models.add(body.get("model").asText());
            return null;
        }

        private static String capitalized(String word) {
            return word.substring(0, 1).toUpperCase(Locale.ROOT) + word.substring(1);
        }

        /** Returns the model of every request, or null if they differ. */
        private String model() {
            return models.size() == 1 ? models.iterator().next() : null;
        }
    }

    // ---- Runner: batches at work ----

    /** Runs batches: a thread leads each one, and together they have no more requests at the engine than allowed. */
    private static final class Runner {
        private static final int MAX_ACTIVE = 256;
        private static final int VALIDATIONS = 2;       // at once: each holds the custom ids of its file
        private static final Duration LAST_WORDS = Duration.ofMillis(500);

        private final Map<String, ActiveBatch> active = new ConcurrentHashMap<>();
        private final ExecutorService leaders = Executors.newCachedThreadPool(daemon("sheaf-batch"));
        private final ExecutorService workers;
        private final Semaphore validations = new Semaphore(VALIDATIONS, true);
        private final Set<String> lost = ConcurrentHashMap.newKeySet();
        private final Options options;
        private final Store store;
        private final Engine engine;
        private int free;                                // turns that nobody has taken
        private boolean paused;
        private volatile boolean shuffled;
        private volatile boolean closing;
        private volatile Duration window;                // null unless a test sets it

        private Runner(Options options, Store store, Engine engine) {
            this.options = options;
            this.store = store;
            this.engine = engine;
            this.free = options.concurrency;
            this.workers = Executors.newFixedThreadPool(options.concurrency, daemon("sheaf-request"));
        }

        private static ThreadFactory daemon(String name) {
            return task -> {
                Thread thread = new Thread(task, name);
                thread.setDaemon(true);
                return thread;
            };
        }

        private void continueUnfinished() {
            for (ObjectNode batch : store.unfinishedBatches())
                lead(new ActiveBatch(this, batch, batch.get("expires_at").longValue() * 1000));
        }

        private void lead(ActiveBatch batch) {
            active.put(batch.id(), batch);
            leaders.execute(() -> {
                batch.lead();
                active.remove(batch.id());
            });
        }

        private synchronized ObjectNode create(ObjectNode asked, Duration complete, String key, byte[] body) {
            String digest = UUID.nameUUIDFromBytes(body).toString();
            Optional<Store.Intent> earlier = store.intent(key);
            if (earlier.isPresent())
                return find(earlier.get().batch(digest));
            if (active.size() >= MAX_ACTIVE)
                throw Refusal.busy("Too many batches in progress: at most " + MAX_ACTIVE + ".");
            Duration left = window != null ? window : complete;
            ObjectNode batch = ActiveBatch.object(asked, left);
            store.insertBatch(batch, key, digest);
            lead(new ActiveBatch(this, batch, System.currentTimeMillis() + left.toMillis()));
            return batch;
        }

        private ObjectNode find(String id) {
            ActiveBatch running = active.get(id);
            return running != null ? running.view() : store.find("batch", id).orElseThrow(() -> unknown(id));
        }

        private static Refusal unknown(String id) {
            return new Refusal(404, "No batch found with id '" + id + "'.", null, null);
        }

        private List<ObjectNode> list(String after, int limit) {
            Map<String, ActiveBatch> running = Map.copyOf(active);   // first: those that end meanwhile are still views
            return store.batches(after, limit).stream()
                .map(batch -> running.containsKey(idOf(batch)) ? running.get(idOf(batch)).view() : batch)
                .toList();
        }

        private static String idOf(ObjectNode resource) {
            return resource.get("id").textValue();
        }

        private ObjectNode cancel(String id) {
            ActiveBatch running = active.get(id);
            ObjectNode batch = running != null ? running.cancel() : find(id);
            wake();
            String status = batch.get("status").textValue();
            if (!status.equals("cancelling") && !status.equals("cancelled"))
                throw new Refusal(409, "Cannot cancel a batch with status '" + status + "'.", null, null);
            return batch;
        }

        /** Waits until one more request may run, and returns whether the batch still wants one to. */
        private synchronized boolean takeTurn(ActiveBatch batch) throws InterruptedException {
            while (batch.isOpen() && (paused || free == 0))
                wait(batch.millisLeft());
            if (!batch.isOpen())
                return false;
            free--;
            return true;
        }

        private synchronized void returnTurn() {
            free++;
            notifyAll();
        }

        private synchronized void pause(boolean paused) {
            this.paused = paused;
            notifyAll();
        }

        private synchronized void wake() {
            notifyAll();
        }

        private void close() {
            closing = true;
            stop(leaders);
            workers.shutdown();
            await(workers);
            stop(workers);
        }

        private static void stop(ExecutorService threads) {
            threads.shutdownNow();
            await(threads);
        }

        private static void await(ExecutorService threads) {
            try {
                threads.awaitTermination(LAST_WORDS.toMillis(), MILLISECONDS);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }
    }

    /**
     * A batch that is not yet over. Its state is the object that clients see. What has run stands only in the output
     * and error files: an id in them ends in the line of its request, and a torn last line counts as not written.
     */
    private static final class ActiveBatch {
        private static final List<String> LATER = List.of("in_progress", "finalizing", "completed", "failed", "expired",
            "cancelling", "cancelled");
        private static final Answer EXPIRED = Answer.none("batch_expired",
            "This request could not be executed before the completion window expired.");
        private static final Answer CANCELLED = Answer.none("batch_cancelled",
            "This request could not be executed because the batch was cancelled.");

        private final Runner runner;
        private final ObjectNode state;                  // guarded by this, as is all below
        private final long deadline;                     // milliseconds since 1970
        private final BitSet finished = new BitSet();    // by physical line
        private FileChannel output;
        private FileChannel errors;
        private int running;
        private boolean expired;
        private IOException broken;                      // why no line can be written any more

        private ActiveBatch(Runner runner, ObjectNode state, long deadline) {
            this.runner = runner;
            this.state = state.deepCopy();
            this.deadline = deadline;
        }

        /** Returns the batch object at its creation. */
        private static ObjectNode object(ObjectNode asked, Duration window) {
            ObjectNode batch = BatchServer.object().put("id", newId("batch_")).put("object", "batch");
            batch.set("endpoint", asked.get("endpoint"));
            batch.putNull("model").putNull("errors");
            batch.set("input_file_id", asked.get("input_file_id"));
            batch.set("completion_window", asked.get("completion_window"));
            batch.put("status", "validating").putNull("output_file_id").putNull("error_file_id");
            batch.put("created_at", now());
            LATER.forEach(status -> batch.putNull(status + "_at"));
            batch.put("expires_at", now() + window.toSeconds());
            batch.putObject("request_counts").put("total", 0).put("completed", 0).put("failed", 0);
            batch.putNull("usage").set("metadata", asked.get("metadata"));
            if (asked.hasNonNull("output_expires_after"))
                batch.set("output_expires_after", asked.get("output_expires_after"));
            return batch;
        }

        private void lead() {
            try {
                if (count("total") > 0 || isAdmitted()) {
                    openFiles();
                    runLines();
                    finish();
                }
            } catch (InterruptedException closing) {
                Thread.currentThread().interrupt();
            } catch (IOException | RuntimeException e) {   // nobody above could tell the batch's owner
                if (!runner.closing)
                    fail(List.of(BatchError.of("server_error", null, "The server could not go on: " + e + ".")));
            } finally {
                closeFiles();
            }
        }

        private boolean isAdmitted() throws IOException, InterruptedException {
            Optional<ObjectNode> input = runner.store.find("file", text("input_file_id"));
            if (input.isEmpty() || !input.get().path("purpose").asText().equals("batch")) {
                fail(List.of(noInputFile()));
                return false;
            }
            runner.validations.acquire();
            try {
                return admit(Validation.of(input(), text("endpoint"), runner.options.maxRequests));
            } finally {
                runner.validations.release();
            }
        }

        private BatchError noInputFile() {
            return BatchError.invalid("file_id", "Cannot find file " + text("input_file_id")
                + ", or the organization does not have access to it.");
        }

        private synchronized boolean admit(Validation validation) {
            if (!validation.faults.isEmpty()) {
                fail(validation.faults);
                return false;
            }
            counts().put("total", validation.total);
            state.put("model", validation.model());
            if (is("validating"))
                enter("in_progress");
            runner.store.updateBatch(state);
            return true;
        }

        private Path input() {
            return runner.store.file(text("input_file_id"));
        }

        private synchronized void openFiles() throws IOException {
            counts().put("completed", 0).put("failed", 0);
            state.putNull("usage");
            output = reopened(path("output"));
            errors = reopened(path("error"));
        }

        private Path path(String kind) {
            return runner.store.file(fileId(kind));
        }

        private String fileId(String kind) {
            return id().replaceFirst("batch_", "file-" + kind + "-");
        }

        /** Opens an output or error file behind its last whole line, and takes note of the lines that it has. */
        private FileChannel reopened(Path path) throws IOException {
            FileChannel file = FileChannel.open(path, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
            long whole = 0;
            try (Lines lines = new Lines(path, Integer.MAX_VALUE - 1)) {
                for (byte[] line; (line = lines.next()) != null && lines.terminated; whole = lines.offset)
                    tally(JSON.readTree(line));
            }
            return file.truncate(whole).position(whole);
        }

        private void runLines() throws IOException, InterruptedException {
            try (Lines lines = new Lines(input(), Lines.MAX_BYTES)) {
                for (byte[] line; (line = lines.next()) != null; )
                    if (!Lines.isBlank(line) && !isFinished(lines.number))
                        run(Line.read(lines.number, line));
            }
            awaitRunning();
        }

        private synchronized boolean isFinished(int number) {
            return finished.get(number);
        }

        private void run(Line line) throws IOException, InterruptedException {
            if (runner.takeTurn(this)) {
                began();
                runner.workers.execute(() -> answer(line));
            } else {
                write(line, is("cancelling") ? CANCELLED : EXPIRED);
            }
        }

        private void answer(Line line) {
            try {
                write(line, runner.engine.answer(text("endpoint"), line.body));
            } catch (InterruptedException closing) {
                Thread.currentThread().interrupt();
            } catch (IOException | RuntimeException e) {   // of any kind: a request must not vanish
                breakOff(new IOException(e));
            } finally {
                runner.returnTurn();
                ended();
            }
        }

        private void write(Line line, Answer answer) throws IOException {
            String id = id().replaceFirst("batch_", "batch_req_") + "_" + line.number;
            ObjectNode written = answer.line(id, line.customId);
            append(line(written), written, answer.succeeded());
        }

        private static ByteBuffer line(JsonNode json) {
            byte[] bytes = Call.bytes(json);
            return ByteBuffer.wrap(Arrays.copyOf(bytes, bytes.length + 1)).put(bytes.length, (byte) '\n');
        }

        private synchronized void append(ByteBuffer line, ObjectNode written, boolean succeeded) throws IOException {
            if (broken != null)
                throw broken;
            while (line.hasRemaining())
                (succeeded ? output : errors).write(line);
            tally(written);
        }

        private static int lineOf(JsonNode written) {
            String id = written.get("id").textValue();
            return Integer.parseInt(id.substring(id.lastIndexOf('_') + 1));
        }

        private void tally(JsonNode written) {
            finished.set(lineOf(written));
            int status = written.at("/response/status_code").asInt();
            String outcome = status >= 200 && status < 300 ? "completed" : "failed";
            counts().put(outcome, count(outcome) + 1);
            expired |= written.at("/error/code").asText().equals("batch_expired");
            JsonNode usage = written.at("/response/body/usage");
            if (usage.isObject())
                add(usage);
        }

        private void add(JsonNode usage) {
            ObjectNode sum = state.get("usage") instanceof ObjectNode earlier ? earlier : state.putObject("usage");
            add(sum, "input_tokens", usage.path("input_tokens").asLong() + usage.path("prompt_tokens").asLong());
            add(sum.withObject("/input_tokens_details"), "cached_tokens", detail(usage, "cached_tokens"));
            add(sum, "output_tokens", usage.path("output_tokens").asLong() + usage.path("completion_tokens").asLong());
            add(sum.withObject("/output_tokens_details"), "reasoning_tokens", detail(usage, "reasoning_tokens"));
            add(sum, "total_tokens", usage.path("total_tokens").asLong());
        }

        private static void add(ObjectNode sum, String field, long more) {
            sum.put(field, sum.path(field).asLong() + more);
        }

        private static long detail(JsonNode usage, String field) {
            return usage.findPath(field).asLong();
        }

        private synchronized void began() {
            running++;
        }

        private synchronized void ended() {
            running--;
            notifyAll();
        }

        private synchronized void breakOff(IOException e) {
            broken = e;
        }

        private synchronized void awaitRunning() throws IOException, InterruptedException {
            while (running > 0)
                wait();
            if (broken != null)
                throw broken;
            if (finished.cardinality() != count("total"))
                throw new IOException("answers were lost");
        }

        private synchronized void finish() throws IOException {
            String end = is("cancelling") ? "cancelled" : expired ? "expired" : "completed";
            if (end.equals("completed"))
                enter("finalizing");
            runner.store.updateBatch(state);
            state.put("output_file_id", publish("output", output));
            state.put("error_file_id", publish("error", errors));
            enter(end);
            runner.store.updateBatch(state);
        }

        /** Makes an output or error file readable, and returns its id, or null if it has no lines. */
        private String publish(String kind, FileChannel lines) throws IOException {
            if (runner.shuffled || !runner.lost.isEmpty())
                rearrange(path(kind), lines);
            runner.store.force(lines);
            if (lines.size() == 0) {
                Files.delete(path(kind));
                return null;
            }
            long seconds = state.at("/output_expires_after/seconds").asLong(Store.BATCH_FILE_SECONDS);
            runner.store.insertFile(Store.fileObject(fileId(kind), lines.size(), id() + "_" + kind + ".jsonl",
                "batch_output", seconds));
            return fileId(kind);
        }

        private void rearrange(Path path, FileChannel file) throws IOException {
            List<JsonNode> kept = new ArrayList<>();
            try (Lines lines = new Lines(path, Integer.MAX_VALUE - 1)) {
                for (byte[] line; (line = lines.next()) != null; )
                    kept.add(JSON.readTree(line));
            }
            kept.removeIf(line -> runner.lost.contains(line.get("custom_id").textValue()));
            if (runner.shuffled)
                kept.sort(Comparator.comparingInt(ActiveBatch::lineOf).reversed());
            file.truncate(0);
            file.position(0);
            for (JsonNode line : kept)
                file.write(line(line));
        }

        private synchronized void fail(List<BatchError> faults) {
            ObjectNode errors = BatchServer.object().put("object", "list");
            faults.forEach(fault -> errors.withArray("data").add(fault.json()));
            state.set("errors", errors);
            enter("failed");
            runner.store.updateBatch(state);
        }

        private synchronized ObjectNode cancel() {
            if (is("validating") || is("in_progress")) {
                enter("cancelling");
                runner.store.updateBatch(state);
            }
            return view();
        }

        private void enter(String status) {
            state.put("status", status);
            if (state.get(status + "_at").isNull())
                state.put(status + "_at", now());
        }

        private synchronized boolean isOpen() {
            return broken == null && is("in_progress") && System.currentTimeMillis() < deadline;
        }

        private long millisLeft() {
            return Math.max(1, deadline - System.currentTimeMillis());
        }

        private synchronized ObjectNode view() {
            return state.deepCopy();
        }

        private synchronized boolean is(String status) {
            return text("status").equals(status);
        }

        private synchronized String text(String field) {
            return state.get(field).textValue();
        }

        private String id() {
            return text("id");
        }

        private ObjectNode counts() {
            return (ObjectNode) state.get("request_counts");
        }

        private synchronized int count(String outcome) {
            return counts().get(outcome).intValue();
        }

        private synchronized void closeFiles() {
            try (FileChannel first = output; FileChannel second = errors) {
                output = null;
                errors = null;
            } catch (IOException e) {
                breakOff(e);
            }
        }
    }

    // ---- Engine: who answers ----

    private interface Engine {
        Answer answer(String endpoint, JsonNode body) throws InterruptedException;

        Answer models() throws InterruptedException;
    }

    /** What an engine said to a request; if the status is 0, there was no HTTP answer, and code and message say why. */
    private record Answer(int status, JsonNode body, String code, String message) {
        private static Answer ok(JsonNode body) {
            return new Answer(200, body, null, null);
        }

        private static Answer error(int status, String code, String message) {
            return new Answer(status, Refusal.envelope(status, message, null, code), null, null);
        }

        private static Answer none(String code, String message) {
            return new Answer(0, null, code, message);
        }

        private boolean succeeded() {
            return status >= 200 && status < 300;
        }

        /** Returns the line of an output or error file. */
        private ObjectNode line(String id, String customId) {
            ObjectNode line = object().put("id", id).put("custom_id", customId);
            if (status == 0)
                line.putNull("response").putObject("error").put("code", code).put("message", message);
            else
                line.putNull("error").putObject("response").put("status_code", status).put("request_id", newId("req_"))
                    .set("body", body);
            return line;
        }
    }

    /** An engine that needs no model: it says what the user said, or what a test makes it say. */
    private static final class Echo implements Engine {
        private volatile Function<JsonNode, Reply> answer;

        private Echo() {
            reply(UnaryOperator.identity());
        }

        private void reply(UnaryOperator<String> reply) {
            answer = body -> cut(reply.apply(lastUserText(body)), body);
        }

        private void answer(Function<JsonNode, Reply> answer) {
            this.answer = answer;
        }

        @Override
        public Answer models() {
            ObjectNode models = object().put("object", "list");
            models.putArray("data").addObject().put("id", ECHO).put("object", "model").put("created", 0)
                .put("owned_by", "sheaf");
            return Answer.ok(models);
        }

        @Override
        public Answer answer(String endpoint, JsonNode body) {
            try {
                Reply reply = answer.apply(body);
                return reply.error != null ? reply.error : Answer.ok(body(endpoint, body, reply));
            } catch (RuntimeException e) {   // the test's own code; its batch shall show what broke
                return Answer.error(500, "engine_error", e.toString());
            }
        }

        private static ObjectNode body(String endpoint, JsonNode asked, Reply reply) {
            return switch (endpoint) {
                case "/v1/embeddings" -> embeddings(asked);
                case "/v1/completions" -> completion(asked, reply);
                case "/v1/responses" -> response(asked, reply);
                default -> chatCompletion(asked, reply);
            };
        }

        private static ObjectNode chatCompletion(JsonNode asked, Reply reply) {
            ObjectNode body = head("chatcmpl-", "chat.completion", "created", asked);
            ObjectNode choice = body.putArray("choices").addObject().put("index", 0);
            choice.putObject("message").put("role", "assistant")
                .put("content", reply.refusal == null ? reply.text : null).put("refusal", reply.refusal);
            choice.putNull("logprobs").put("finish_reason", reply.finishReason);
            return body.set("usage", usage(asked, reply, "prompt_tokens", "completion_tokens"));
        }

        private static ObjectNode completion(JsonNode asked, Reply reply) {
            ObjectNode body = head("cmpl-", "text_completion", "created", asked);
            body.putArray("choices").addObject().put("index", 0).put("text", reply.text).putNull("logprobs")
                .put("finish_reason", reply.finishReason);
            return body.set("usage", usage(asked, reply, "prompt_tokens", "completion_tokens"));
        }

        private static ObjectNode response(JsonNode asked, Reply reply) {
            boolean whole = "stop".equals(reply.finishReason);
            ObjectNode body = head("resp_", "response", "created_at", asked)
                .put("status", whole ? "completed" : "incomplete").putNull("error").putNull("incomplete_details");
            if (!whole)
                body.putObject("incomplete_details").put("reason", "max_output_tokens");
            ObjectNode message = body.putArray("output").addObject().put("type", "message")
                .put("id", id("msg_", asked)).put("status", "completed").put("role", "assistant");
            ObjectNode part = message.putArray("content").addObject();
            if (reply.refusal != null)
                part.put("type", "refusal").put("refusal", reply.refusal);
            else
                part.put("type", "output_text").put("text", reply.text).putArray("annotations");
            return body.set("usage", usage(asked, reply, "input_tokens", "output_tokens"));
        }

        private static ObjectNode embeddings(JsonNode asked) {
            JsonNode input = asked.path("input");
            ObjectNode body = object().put("object", "list");
            ArrayNode data = body.putArray("data");
            for (JsonNode text : input.isArray() ? input : List.of(input))
                data.addObject().put("object", "embedding").put("index", data.size() - 1)
                    .set("embedding", vector(text));
            body.set("model", asked.get("model"));
            int words = words(text(input));
            body.putObject("usage").put("prompt_tokens", words).put("total_tokens", words);
            return body;
        }

        private static ArrayNode vector(JsonNode text) {
            ArrayNode vector = JSON.createArrayNode();
            new Random(text.toString().hashCode()).doubles(8, -1, 1).forEach(vector::add);
            return vector;
        }

        private static ObjectNode head(String prefix, String kind, String created, JsonNode asked) {
            ObjectNode head = object().put("id", id(prefix, asked)).put("object", kind).put(created, now());
            return head.set("model", asked.get("model"));
        }

        private static String id(String prefix, JsonNode asked) {
            return prefix + Integer.toHexString(asked.hashCode());
        }

        private static ObjectNode usage(JsonNode asked, Reply reply, String input, String output) {
            int asking = words(text(said(asked)));
            int answering = words(reply.refusal != null ? reply.refusal : reply.text);
            return object().put(input, asking).put(output, answering).put("total_tokens", asking + answering);
        }

        private static int words(String text) {
            return new StringTokenizer(text).countTokens();
        }

        /** Returns messages, input or prompt, whichever the request has. */
        private static JsonNode said(JsonNode asked) {
            return Stream.of("messages", "input", "prompt").filter(asked::has).findFirst().map(asked::get)
                .orElse(object());
        }

        private static String lastUserText(JsonNode asked) {
            JsonNode last = object();
            JsonNode said = said(asked);
            for (JsonNode each : said)
                if (each.path("role").asText("user").equals("user"))
                    last = each;
            return text(said.isTextual() ? said : last);
        }

        /** Returns the text of a string, of a message, of a content part, or of a list of any of them. */
        private static String text(JsonNode said) {
            if (said.isArray())
                return said.valueStream().map(Echo::text).filter(text -> !text.isEmpty())
                    .collect(Collectors.joining("\n"));
            if (said.isObject())
                return text(said.has("content") ? said.get("content") : said.path("text"));
            return said.asText("");
        }

        private static Reply cut(String text, JsonNode asked) {
            int limit = Stream.of("max_completion_tokens", "max_tokens", "max_output_tokens")
                .filter(asked::hasNonNull).findFirst().map(field -> asked.get(field).asInt()).orElse(Integer.MAX_VALUE);
            if (words(text) <= limit)
                return Reply.text(text);
            String kept = Stream.of(text.strip().split("\\s+")).limit(limit).collect(Collectors.joining(" "));
            return Reply.text(kept).finishReason("length");
        }

        @Override
        public String toString() {
            return ECHO;
        }
    }

    /** An engine behind an OpenAI-compatible URL. */
    private static final class Upstream implements Engine {
        private static final Duration DEADLINE = Duration.ofMinutes(10);   // of one request, with all its tries
        private static final int TRIES = 5;
        private static final long FIRST_PAUSE = 200;                       // milliseconds; doubles with each try
        private static final long LONGEST_PAUSE = 30_000;
        private static final Set<Integer> BUSY = Set.of(408, 409, 429, 502, 503, 504);

        /** One try, and how long the engine asks to wait before the next; -1 if it does not say. */
        private record Try(Answer answer, long retryAfterMillis) {
            private boolean mayRepeat() {
                return BUSY.contains(answer.status) || "connection_error".equals(answer.code);
            }

            private long pause(int tries) {
                long growing = FIRST_PAUSE << (tries - 1);
                long jittered = growing - ThreadLocalRandom.current().nextLong(growing / 4);
                return Math.min(LONGEST_PAUSE, Math.max(jittered, retryAfterMillis));
            }
        }

        private final HttpClient http = HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)        // small servers stumble over an upgrade to HTTP/2
            .connectTimeout(Duration.ofSeconds(10)).build();
        private final String base;

        private Upstream(String base) {
            this.base = base.replaceFirst("/+$", "");
        }

        @Override
        public Answer models() throws InterruptedException {
            return ask(request("/models").GET().build());
        }

        @Override
        public Answer answer(String endpoint, JsonNode body) throws InterruptedException {
            return ask(request(endpoint.substring("/v1".length())).header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofByteArray(Call.bytes(withBothLimits(body)))).build());
        }

        private HttpRequest.Builder request(String path) {
            return HttpRequest.newBuilder(URI.create(base + path));
        }

        /** Says the limit of a chat completion in both of its words: each of them is unknown to some engine. */
        private static JsonNode withBothLimits(JsonNode body) {
            boolean newWord = body.hasNonNull("max_completion_tokens");
            JsonNode limit = body.path(newWord ? "max_completion_tokens" : "max_tokens");
            if (!limit.isNumber() || !body.has("messages"))
                return body;
            ObjectNode both = body.deepCopy();
            both.set("max_completion_tokens", limit);
            return both.set("max_tokens", limit);
        }

        private Answer ask(HttpRequest request) throws InterruptedException {
            long end = System.nanoTime() + DEADLINE.toNanos();
            for (int tries = 1; ; tries++) {
                Try last = send(request, millisUntil(end));
                long pause = last.pause(tries);
                if (!last.mayRepeat() || tries == TRIES || pause >= millisUntil(end))
                    return last.answer;
                Thread.sleep(pause);
            }
        }

        private static long millisUntil(long nanoTime) {
            return Math.max(0, (nanoTime - System.nanoTime()) / 1_000_000);
        }

        private Try send(HttpRequest request, long millis) throws InterruptedException {
            CompletableFuture<HttpResponse<byte[]>> sent = http.sendAsync(request, answer -> new Bounded());
            try {
                HttpResponse<byte[]> response = sent.get(millis, MILLISECONDS);
                return new Try(read(response), retryAfter(response));
            } catch (TimeoutException e) {
                return new Try(Answer.none("request_timeout", "The engine did not answer within " + DEADLINE.toMinutes()
                    + " minutes."), -1);
            } catch (ExecutionException e) {
                return new Try(Answer.none("connection_error", "The engine at " + base + " could not be reached: "
                    + e.getCause() + "."), -1);
            } finally {
                sent.cancel(true);
            }
        }

        private static long retryAfter(HttpResponse<?> response) {
            String seconds = response.headers().firstValue("Retry-After").orElse("");
            return seconds.matches("\\d{1,9}") ? Long.parseLong(seconds) * 1000 : -1;
        }

        private static Answer read(HttpResponse<byte[]> response) {
            boolean good = response.statusCode() >= 200 && response.statusCode() < 300;
            JsonNode body = json(response.body());
            if (good && body.isObject())
                return new Answer(response.statusCode(), body, null, null);
            if (good)
                return Answer.error(502, "bad_engine_answer", "The engine's answer is not a JSON object.");
            ObjectNode error = normalized(response.statusCode(), body, response.body());
            return new Answer(response.statusCode(), error, null, null);
        }

        private static JsonNode json(byte[] bytes) {
            try {
                return JSON.readTree(bytes);
            } catch (IOException notJson) {
                return object();
            }
        }

        /** Returns an error body in OpenAI's shape, whatever the engine's own: nested, flat, a string or plain text. */
        private static ObjectNode normalized(int status, JsonNode body, byte[] raw) {
            JsonNode error = body.path("error").isObject() ? body.get("error") : body;
            String message = Stream.of(error.path("message"), body.path("error"), body.path("detail"))
                .filter(JsonNode::isTextual).findFirst().map(JsonNode::textValue)
                .orElseGet(() -> "The engine answered " + status + ": " + beginning(raw));
            ObjectNode shaped =
                Refusal.envelope(status, message, error.path("param").textValue(), error.path("code").asText(null));
            if (error.path("type").isTextual())
                shaped.withObject("/error").set("type", error.get("type"));
            return shaped;
        }

        private static String beginning(byte[] raw) {
            return new String(raw, 0, Math.min(raw.length, 1_000), UTF_8);
        }

        @Override
        public String toString() {
            return base;
        }
    }

    /** Collects a response body, and breaks off one that no request could need. */
    private static final class Bounded implements HttpResponse.BodySubscriber<byte[]> {
        private final HttpResponse.BodySubscriber<byte[]> all = HttpResponse.BodySubscribers.ofByteArray();
        private Flow.Subscription subscription;
        private long left = Lines.MAX_BYTES;

        @Override
        public CompletionStage<byte[]> getBody() {
            return all.getBody();
        }

        @Override
        public void onSubscribe(Flow.Subscription subscription) {
            this.subscription = subscription;
            all.onSubscribe(subscription);
        }

        @Override
        public void onNext(List<ByteBuffer> buffers) {
            left -= buffers.stream().mapToLong(ByteBuffer::remaining).sum();
            if (left >= 0) {
                all.onNext(buffers);
                return;
            }
            subscription.cancel();
            all.onError(new IOException("its answer is longer than " + Lines.MAX_BYTES + " bytes"));
        }

        @Override
        public void onError(Throwable e) {
            all.onError(e);
        }

        @Override
        public void onComplete() {
            all.onComplete();
        }
    }

    // ---- Store: files and batches on disk ----

    /**
     * A folder that one server at a time holds. Files lie under their ids in it; a SQLite table has one row for each
     * file and batch, with the object that clients see. A deleted one stays as an empty row, so that a list can go on
     * after it.
     */
    private static final class Store {
        private static final Set<Path> HELD = ConcurrentHashMap.newKeySet();  // a file lock lets its own JVM in
        private static final long BATCH_FILE_SECONDS = Duration.ofDays(30).toSeconds();   // as at OpenAI
        private static final Duration PATIENCE = Duration.ofSeconds(5);
        private static final String SCHEMA = """
            CREATE TABLE IF NOT EXISTS resource (
                seq INTEGER PRIMARY KEY AUTOINCREMENT,
                id TEXT NOT NULL UNIQUE,
                kind TEXT NOT NULL,      -- file, batch, deleted
                label TEXT NOT NULL,     -- the purpose of a file, the status of a batch
                gone_at INTEGER,         -- when a file expires
                json TEXT NOT NULL)""";
        private static final String INTENTS =
            "CREATE TABLE IF NOT EXISTS intent (key TEXT PRIMARY KEY, digest TEXT NOT NULL, batch TEXT NOT NULL)";
        private static final String LIVE = "(gone_at IS NULL OR gone_at > unixepoch())";

        /** A batch that was created under an idempotency key. */
        private record Intent(String digest, String batch) {
            private String batch(String digest) {
                if (!this.digest.equals(digest))
                    throw new Refusal(409, "This Idempotency-Key was used with another request body.", null,
                        "idempotency_key_reused");
                return batch;
            }
        }

        private final Path folder;
        private final FileChannel lock;
        private final boolean temporary;
        private final Connection database;

        private Store(Path folder, FileChannel lock, boolean temporary) throws IOException {
            this.folder = folder;
            this.lock = lock;
            this.temporary = temporary;
            Files.deleteIfExists(folder.resolve("url"));
            Files.createDirectories(folder.resolve("files"));
            deleteTree(uploads());
            Files.createDirectories(uploads());
            this.database = connect(folder.resolve("state.db"), temporary);
            execute(SCHEMA);
            execute(INTENTS);
            deleteExpiredFiles();
        }

        private static Connection connect(Path file, boolean temporary) {
            SQLiteConfig config = new SQLiteConfig();
            config.setJournalMode(SQLiteConfig.JournalMode.WAL);
            config.setSynchronous(temporary ? SQLiteConfig.SynchronousMode.OFF : SQLiteConfig.SynchronousMode.NORMAL);
            try {
                return config.createConnection("jdbc:sqlite:" + file);
            } catch (SQLException e) {
                throw unusable(e);
            }
        }

        /** Opens a store, or returns nothing if another server holds it. */
        private static Optional<Store> open(Path folder) {
            try {
                createPrivate(folder);
                return open(folder.toRealPath(), false);
            } catch (IOException e) {
                throw unusable(e);
            }
        }

        private static Store temporary() {
            try {
                return open(Files.createTempDirectory("sheaf-server").toRealPath(), true).orElseThrow();
            } catch (IOException e) {
                throw unusable(e);
            }
        }

        private static Optional<Store> open(Path folder, boolean temporary) throws IOException {
            if (!HELD.add(folder))
                return Optional.empty();
            FileChannel lock =
                FileChannel.open(folder.resolve("lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
            if (lock.tryLock() != null)
                return Optional.of(new Store(folder, lock, temporary));
            lock.close();
            HELD.remove(folder);
            return Optional.empty();
        }

        private static void createPrivate(Path folder) throws IOException {
            if (Files.exists(folder))
                return;
            Files.createDirectories(folder);
            if (folder.getFileSystem().supportedFileAttributeViews().contains("posix"))
                Files.setPosixFilePermissions(folder, PosixFilePermissions.fromString("rwx------"));
        }

        /** Writes where the server listens, for other processes that want this store. */
        private String announce(String url) {
            try {
                Path draft = Files.writeString(folder.resolve("url.new"), url);
                Files.move(draft, folder.resolve("url"), StandardCopyOption.ATOMIC_MOVE);
                return url;
            } catch (IOException e) {
                throw unusable(e);
            }
        }

        /** Returns where the server that holds a store listens; it may be about to start. */
        private static String awaitUrl(Path folder) {
            long end = System.nanoTime() + PATIENCE.toNanos();
            while (true) {
                try {
                    return Files.readString(folder.resolve("url"));
                } catch (IOException notYet) {
                    if (System.nanoTime() > end)
                        throw new IllegalStateException("start: the server that holds " + folder
                            + " does not say where it listens; end its process");
                    LockSupport.parkNanos(PATIENCE.toNanos() / 100);
                }
            }
        }

        private Path uploads() {
            return folder.resolve("uploads");
        }

        private Path file(String id) {
            return folder.resolve("files").resolve(id);
        }

        private void force(FileChannel file) throws IOException {
            if (!temporary)
                file.force(false);
        }

        private static ObjectNode fileObject(String id, long bytes, String name, String purpose, Long seconds) {
            long created = now();
            return object().put("id", id).put("object", "file").put("bytes", bytes).put("created_at", created)
                .put("expires_at", seconds == null ? null : created + seconds)
                .put("filename", name).put("purpose", purpose).put("status", "processed").putNull("status_details");
        }

        private void insertFile(ObjectNode file) {
            JsonNode expiry = file.get("expires_at");
            execute("INSERT OR REPLACE INTO resource (id, kind, label, gone_at, json) VALUES (?, 'file', ?, ?, ?)",
                file.get("id").textValue(), file.get("purpose").textValue(),
                expiry.isNull() ? null : expiry.longValue(), file.toString());
        }

        private synchronized void insertBatch(ObjectNode batch, String key, String digest) {
            execute("INSERT INTO resource (id, kind, label, json) VALUES (?, 'batch', ?, ?)",
                batch.get("id").textValue(), batch.get("status").textValue(), batch.toString());
            if (key != null)
                execute("INSERT INTO intent VALUES (?, ?, ?)", key, digest, batch.get("id").textValue());
        }

        private void updateBatch(ObjectNode batch) {
            execute("UPDATE resource SET label = ?, json = ? WHERE id = ?",
                batch.get("status").textValue(), batch.toString(), batch.get("id").textValue());
        }

        private Optional<ObjectNode> find(String kind, String id) {
            return objects("SELECT json FROM resource WHERE kind = ? AND id = ? AND " + LIVE, kind, id)
                .stream().findFirst();
        }

        private List<ObjectNode> files(String purpose, String after, String order, int limit) {
            return objects("SELECT json FROM resource WHERE kind = 'file' AND label = coalesce(?, label) AND " + LIVE
                + beyond(after, order) + " LIMIT ?", purpose, limit);
        }

        private List<ObjectNode> batches(String after, int limit) {
            return objects("SELECT json FROM resource WHERE kind = 'batch'" + beyond(after, "desc") + " LIMIT ?",
                limit);
        }

        private List<ObjectNode> unfinishedBatches() {
            return objects("SELECT json FROM resource WHERE kind = 'batch'"
                + " AND label NOT IN ('completed', 'failed', 'expired', 'cancelled') ORDER BY seq");
        }

        /** Returns the end of a query for what comes after a resource, or for all if it is null. */
        private String beyond(String after, String order) {
            String from = after == null ? "" : " AND seq " + (order.equals("asc") ? "> " : "< ") + sequence(after);
            return from + " ORDER BY seq " + order;
        }

        private long sequence(String id) {
            return select("SELECT seq FROM resource WHERE id = ?", row -> row.getLong(1), id).stream().findFirst()
                .orElseThrow(() ->
                    Refusal.invalid("after", "invalid_value", "Invalid 'after': no such id '" + id + "'."));
        }

        private Optional<Intent> intent(String key) {
            return select("SELECT digest, batch FROM intent WHERE key = ?",
                row -> new Intent(row.getString(1), row.getString(2)), key).stream().findFirst();
        }

        private void deleteFile(String id) {
            execute("UPDATE resource SET kind = 'deleted', json = '' WHERE id = ?", id);
            try {
                Files.deleteIfExists(file(id));
            } catch (IOException e) {
                throw unusable(e);
            }
        }

        private void deleteExpiredFiles() {
            select("SELECT id FROM resource WHERE kind = 'file' AND NOT " + LIVE, row -> row.getString(1))
                .forEach(this::deleteFile);
        }

        private interface Row<T> {
            T read(ResultSet row) throws SQLException, IOException;
        }

        private List<ObjectNode> objects(String sql, Object... values) {
            return select(sql, row -> (ObjectNode) JSON.readTree(row.getString(1)), values);
        }

        private synchronized <T> List<T> select(String sql, Row<T> row, Object... values) {
            try (PreparedStatement query = prepared(sql, values); ResultSet found = query.executeQuery()) {
                List<T> all = new ArrayList<>();
                while (found.next())
                    all.add(row.read(found));
                return all;
            } catch (SQLException | IOException e) {
                throw unusable(e);
            }
        }

        private synchronized void execute(String sql, Object... values) {
            try (PreparedStatement change = prepared(sql, values)) {
                change.execute();
            } catch (SQLException e) {
                throw unusable(e);
            }
        }

        private PreparedStatement prepared(String sql, Object... values) throws SQLException {
            PreparedStatement statement = database.prepareStatement(sql);
            for (int i = 0; i < values.length; i++)
                statement.setObject(i + 1, values[i]);
            return statement;
        }

        private static UncheckedIOException unusable(Exception e) {
            return new UncheckedIOException("store: cannot be used (" + e.getMessage() + ")", new IOException(e));
        }

        private synchronized void close() {
            try (FileChannel held = lock; Connection open = database) {
                Files.deleteIfExists(folder.resolve("url"));
            } catch (IOException | SQLException e) {
                throw unusable(e);
            }
            if (temporary)
                deleteTree(folder);
            HELD.remove(folder);
        }

        private static void deleteTree(Path folder) {
            if (!Files.exists(folder))
                return;
            try (Stream<Path> tree = Files.walk(folder)) {
                for (Path path : tree.sorted(Comparator.reverseOrder()).toList())
                    Files.deleteIfExists(path);
            } catch (IOException e) {
                throw unusable(e);
            }
        }
    }

    // ---- main: a server from the command line ----

    /** Runs a server until Ctrl-C; see {@code --help}. */
    public static void main(String... args) {
        System.exit(new CommandLine(new Serve()).setExecutionExceptionHandler(Serve::explain).execute(args));
    }

    @Command(name = "serve", sortOptions = false,
        description = "Serves OpenAI's Files and Batches API on this machine.")
    private static final class Serve implements Callable<Integer> {
        @Option(names = {"-h", "--help"}, usageHelp = true, description = "shows this text")
        private boolean help;

        @Option(names = "--port", defaultValue = "0", description = "where to listen (default: a free port)")
        private int port;

        @Option(names = "--host", defaultValue = LOOPBACK,
            description = "address to listen on (default: ${DEFAULT-VALUE})")
        private String host;

        @Option(names = "--engine", defaultValue = ECHO,
            description = "base URL of the OpenAI-compatible server that answers, or ${DEFAULT-VALUE} (the default)")
        private String engine;

        @Option(names = "--store", description = "folder for files and batches (default: ~/.sheaf/server)")
        private Path store;

        @Option(names = "--api-key", description = "key that clients must send (default: none)")
        private String apiKey;

        @Option(names = "--concurrency", defaultValue = "8",
            description = "requests at the engine at once (default: ${DEFAULT-VALUE})")
        private int concurrency;

        @Override
        public Integer call() throws InterruptedException {
            BatchServer server = asOptions().start();
            System.out.println("OPENAI_BASE_URL=" + server.baseUrl());
            System.err.println("page: " + server.baseUrl().replaceFirst("v1$", ""));
            System.err.println("engine: " + engine + "; Ctrl-C stops the server, and its next start goes on with"
                + " its batches");
            new CountDownLatch(1).await();
            return 0;
        }

        private Options asOptions() {
            Options options = options().port(port).host(host).engine(engine).concurrency(concurrency)
                .store(store != null ? store : localStore());
            return apiKey != null ? options.apiKey(apiKey) : options;
        }

        private static int explain(Exception e, CommandLine command, CommandLine.ParseResult parsed) {
            command.getErr().println(e.getMessage());
            return 1;
        }
    }
}
