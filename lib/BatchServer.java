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

package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;
import static java.util.concurrent.TimeUnit.MILLISECONDS;

import com.fasterxml.jackson.core.JsonParseException;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.json.JsonWriteFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.cfg.JsonNodeFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.NullNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.databind.node.TextNode;
import java.io.BufferedWriter;
import java.io.ByteArrayOutputStream;
import java.io.Closeable;
import java.io.EOFException;
import java.io.FilterInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.io.Writer;
import java.net.BindException;
import java.net.ConnectException;
import java.net.URI;
import java.net.URISyntaxException;
import java.net.URLEncoder;
import java.net.UnknownHostException;
import java.net.http.HttpClient;
import java.net.http.HttpConnectTimeoutException;
import java.net.http.HttpHeaders;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.Channels;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.FileChannel;
import java.nio.channels.UnresolvedAddressException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.AccessDeniedException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.time.format.DateTimeParseException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.BitSet;
import java.util.Collections;
import java.util.Comparator;
import java.util.Deque;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
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
import java.util.concurrent.ConcurrentLinkedDeque;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Flow;
import java.util.concurrent.Semaphore;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.UnaryOperator;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import javax.net.ssl.SSLException;
import org.eclipse.jetty.http.HttpHeader;
import org.eclipse.jetty.http.MultiPart;
import org.eclipse.jetty.http.MultiPartConfig;
import org.eclipse.jetty.http.MultiPartFormData;
import org.eclipse.jetty.http.UriCompliance;
import org.eclipse.jetty.io.ByteBufferPool;
import org.eclipse.jetty.io.Content;
import org.eclipse.jetty.server.Handler;
import org.eclipse.jetty.server.HttpConfiguration;
import org.eclipse.jetty.server.HttpConnectionFactory;
import org.eclipse.jetty.server.Request;
import org.eclipse.jetty.server.Response;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.server.handler.ErrorHandler;
import org.eclipse.jetty.util.BufferUtil;
import org.eclipse.jetty.util.Callback;
import org.eclipse.jetty.util.URIUtil;
import org.eclipse.jetty.util.thread.QueuedThreadPool;
import org.eclipse.jetty.util.thread.ScheduledExecutorScheduler;
import org.sqlite.SQLiteConfig;
import picocli.CommandLine;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.TypeConversionException;

/**
 * A batch inference server that speaks OpenAI's Files, Uploads, Batches and Models API, on this machine.
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

    /** Makes the echo engine know only these models, so that a batch that names another one fails. */
    public BatchServer models(String... models) {
        scripted();
        service().script.models = List.of(models);
        return this;
    }

    /** Lets the next requests such as {@code GET /v1/files/*} go wrong, one fault each; a star stands for an id. */
    public BatchServer on(String request, Fault... faults) {
        service().script.on(request, faults);
        return this;
    }

    /** Lets any request go wrong by a function of {@code GET /v1/files}, which returns null where nothing shall. */
    public BatchServer onEvery(Function<String, Fault> faults) {
        service().script.every = faults;
        return this;
    }

    /** Rewrites the lines of each output and error file, from the next batch to finish. */
    public BatchServer rewrite(UnaryOperator<List<String>> rewrite) {
        service().script.rewrite(rewrite);
        return this;
    }

    /** Writes the lines of output and error files in the reverse order, from the next batch to finish. */
    public BatchServer shuffleOutput() {
        return rewrite(Script::reversed);
    }

    /** Leaves the line of this request out of its output or error file, as servers sometimes do. */
    public BatchServer loseLine(String customId) {
        return rewrite(lines -> lines.stream().filter(line -> !Script.isOf(customId, line)).toList());
    }

    /** Writes the line of this request twice, as servers sometimes do. */
    public BatchServer repeatLine(String customId) {
        return rewrite(lines -> lines.stream()
            .flatMap(line -> Script.isOf(customId, line) ? Stream.of(line, line) : Stream.of(line)).toList());
    }

    /** Shows these request counts on every batch, whatever the truth. */
    public BatchServer claimCounts(int total, int completed, int failed) {
        service().script.counts = object().put("total", total).put("completed", completed).put("failed", failed);
        return this;
    }

    /** Shows {@code ""} where a batch has no output or error file, as OpenAI itself has done. */
    public BatchServer blankIds() {
        service().script.blankIds = true;
        return this;
    }

    /** Answers every list with its first page and the claim that there is more. */
    public BatchServer ignoreAfter() {
        service().script.ignoresAfter = true;
        return this;
    }

    /** Drops the metadata of batches. */
    public BatchServer forgetMetadata() {
        service().script.forgetsMetadata = true;
        return this;
    }

    /** Knows nothing of a file until this time after its upload. */
    public BatchServer showFilesAfter(Duration delay) {
        service().script.invisible = delay;
        return this;
    }

    /** Fails a batch whose prompts would bring those of all batches since then that run above so many tokens. */
    public BatchServer failOver(long tokens) {
        service().script.queue = new Script.Queue(tokens, false);
        return this;
    }

    /** Refuses a batch whose prompts would bring those of all batches since then that run above so many tokens. */
    public BatchServer refuseOver(long tokens) {
        service().script.queue = new Script.Queue(tokens, true);
        return this;
    }

    /** Keeps batches in this status, such as {@code finalizing}, and in no other, until {@link #resume}. */
    public BatchServer stayIn(String status) {
        if (!List.of("validating", "in_progress", "finalizing", "cancelling").contains(status))
            throw new IllegalArgumentException("stayIn: no batch is " + status + " and then goes on");
        service().script.stay = status;
        service().runner.wake();
        return this;
    }

    /** Starts no further request of any batch until {@link #resume}; those running end. */
    public BatchServer pause() {
        service().runner.pause(true);
        return this;
    }

    /** Undoes {@link #pause} and {@link #stayIn}. */
    public BatchServer resume() {
        service().script.stay = null;
        service().runner.pause(false);
        return this;
    }

    /** Gives batches created from now on this time instead of their completion window. */
    public BatchServer expireAfter(Duration window) {
        service().runner.window = window;
        return this;
    }

    /** Puts the server's clock forward. */
    public BatchServer advance(Duration time) {
        service().store.ahead.addAndGet(time.toMillis());
        service().runner.wake();
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
        return setting("SHEAF_HOME").map(Path::of).orElse(Path.of(System.getProperty("user.home"), ".sheaf"))
            .resolve("server");
    }

    private static Optional<String> setting(String name) {
        return Optional.ofNullable(System.getProperty(name, System.getenv(name))).filter(value -> !value.isBlank());
    }

    // ---- Options: a server not yet started ----

    /** The settings of a server; each method returns a copy. */
    public static final class Options implements Cloneable {
        private static final Set<String> LOOPBACKS = Set.of(LOOPBACK, "localhost", "::1");

        private String host = LOOPBACK;
        private int port;                                // 0 is any free one
        private String engine = ECHO;
        private Path store;                              // null is a temporary one
        private String engineKey;                        // null if the engine asks for none
        private Map<String, String> models = Map.of();   // what the engine calls them, by our own names
        private Duration timeout = Duration.ofMinutes(10);
        private String apiKey;                           // null lets everybody in
        private int concurrency = 8;
        private Dialect dialect = Dialect.OPENAI;
        private boolean mixesModels;                     // whatever the dialect says
        private int maxRequests;                         // 0 is what the dialect says
        private long maxBytes;                           // the same
        private URI webhook;                             // null tells nobody
        private byte[] webhookKey;

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
            if (!required("engine", engine).equals(ECHO))
                checkUrl(engine);
            return with(copy -> copy.engine = engine);
        }

        private static void checkUrl(String engine) {
            try {
                URI url = new URI(engine);
                if (url.getRawUserInfo() != null)
                    throw new IllegalArgumentException("engine: a URL with a password in it; say it as the engine key");
                if (url.getHost() != null && url.getPort() <= 65_535 && engine.matches("https?://[^?#]+"))
                    return;
            } catch (URISyntaxException noUrl) {
                // the same sentence as for one that is not http
            }
            throw new IllegalArgumentException("engine: " + engine
                + " is neither echo nor an http URL such as http://localhost:11434/v1");
        }

        /** Returns options with this key, which is sent to the engine and to nobody else. If not called, none is. */
        public Options engineKey(String engineKey) {
            if (!required("engineKey", engineKey).matches("[!-~]+"))
                throw new IllegalArgumentException("engineKey: holds a blank or another character that no header may");
            return with(copy -> copy.engineKey = engineKey);
        }

        /**
         * Returns options by which requests for a model go to the engine under the name that it has there; call it
         * once for each. Other models keep their names, and echo takes any.
         */
        public Options model(String name, String engineName) {
            Map<String, String> more = new LinkedHashMap<>(models);
            more.put(required("modelName", name), required("modelName", engineName));
            return with(copy -> copy.models = more);
        }

        /**
         * Returns options with this time for the engine to answer a request, with all tries. A batch's request that
         * finds the engine down or overloaded is tried again until then. If not called, 10 minutes.
         */
        public Options timeout(Duration timeout) {
            if (required("timeout", timeout).toMillis() < 1)
                throw new IllegalArgumentException("timeout: " + timeout + " is no time at all");
            return with(copy -> copy.timeout = timeout);
        }

        /** Returns options with this folder for files and batches. If not called, a temporary one. */
        public Options store(Path store) {
            return with(copy -> copy.store = required("store", store));
        }

        /** Returns options with this key, which every request must then bear. */
        public Options apiKey(String apiKey) {
            if (!required("apiKey", apiKey).matches("[!-~]+"))
                throw new IllegalArgumentException("apiKey: holds a blank or another character that no header may");
            return with(copy -> copy.apiKey = apiKey);
        }

        /** Returns options with this many requests at the engine at once. If not called, 8. */
        public Options concurrency(int concurrency) {
            return with(copy -> copy.concurrency = within("concurrency", concurrency, 1, 1_000));
        }

        /** Returns options with the manners of this provider. If not called, OpenAI's. */
        public Options dialect(Dialect dialect) {
            return with(copy -> copy.dialect = required("dialect", dialect));
        }

        /** Returns options that let the requests of a batch name different models. If not called, as the dialect. */
        public Options mixedModels() {
            return with(copy -> copy.mixesModels = true);
        }

        /** Returns options with this limit to the requests of a batch. If not called, the dialect's. */
        public Options maxRequests(int maxRequests) {
            return with(copy -> copy.maxRequests = within("maxRequests", maxRequests, 1, Integer.MAX_VALUE));
        }

        /** Returns options with this limit to a file, and to an upload for a batch. If not called, the dialect's. */
        public Options maxBytes(long maxBytes) {
            if (maxBytes < 1)
                throw new IllegalArgumentException("maxBytes: " + maxBytes + " is less than 1");
            return with(copy -> copy.maxBytes = maxBytes);
        }

        private boolean mixesModels() {
            return mixesModels || dialect.mixesModels();
        }

        private int maxRequests() {
            return maxRequests != 0 ? maxRequests : dialect.maxRequests();
        }

        private long maxBytes() {
            return maxBytes != 0 ? maxBytes : dialect.maxBytes();
        }

        /**
         * Returns options with this URL, which is told when a batch is over, in the way of OpenAI's webhooks; the
         * secret, {@code whsec_} and then Base64, signs what it is told. If not called, nobody is told.
         */
        public Options webhook(URI url, String secret) {
            if (!String.valueOf(required("webhook", url).getScheme()).matches("(?i)https?") || url.getHost() == null)
                throw new IllegalArgumentException("webhook: " + url + " is no http URL");
            byte[] key = Webhooks.key(required("webhook secret", secret));
            return with(copy -> {
                copy.webhook = url;
                copy.webhookKey = key;
            });
        }

        /**
         * Starts the server and returns once it listens.
         * @throws IllegalStateException if another server uses the store, or others could reach it without an API key
         * @throws UncheckedIOException if the port is taken or the store cannot be written
         */
        public BatchServer start() {
            if (apiKey == null && !LOOPBACKS.contains(host))
                throw new IllegalStateException("start: others can reach " + host
                    + "; set an API key too (--api-key, SHEAF_SERVER_KEY)");
            return start(store == null ? Store.temporary() : Store.open(store).orElseThrow(this::storeInUse));
        }

        private BatchServer start(Store opened) {
            try {
                Service service = new Service(this, opened);
                return new BatchServer(service.start(), service);
            } catch (RuntimeException e) {
                opened.close();
                throw e;
            }
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
            if (text == null)
                throw new IllegalArgumentException("reply: no text given");
            return new Reply(text, "stop", null, null);
        }

        /** Returns a failure with this HTTP status; 0 is a request that got no HTTP answer at all. */
        public static Reply error(int status, String code, String message) {
            Answer error = status == 0 ? Answer.none(code, message) : Answer.error(status, code, message);
            return new Reply(null, null, null, error);
        }

        /** Returns what OpenAI writes for a request that it lost: a response with status code 0 and nothing else. */
        public static Reply lost() {
            return new Reply(null, null, null, new Answer(0, object(), null, null));
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

    // ---- Fault: how an HTTP request goes wrong ----

    /** How one HTTP request goes wrong. */
    public static final class Fault implements Cloneable {
        private boolean acts = true;            // whether the server does what it is asked
        private int status;                     // of its answer if not; 0 for none
        private String retryAfter;
        private String body;
        private Duration delay = Duration.ZERO;
        private long length = Long.MAX_VALUE;   // bytes of the answer's body that arrive
        private boolean admitted;               // whether its headers say that length
        private int rate;                       // bytes a second; 0 for all at once

        private Fault() {
        }

        /** Refuses the request with this HTTP status. */
        public static Fault status(int status) {
            return new Fault().with(fault -> {
                fault.acts = false;
                fault.status = status;
            });
        }

        /** Closes the connection before anything is done. */
        public static Fault dropped() {
            return new Fault().with(fault -> fault.acts = false);
        }

        /** Does what is asked, and closes the connection instead of answering. */
        public static Fault lost() {
            return new Fault().with(fault -> fault.length = -1);
        }

        /** Does what is asked, and closes the connection after so many bytes of the answer's body. */
        public static Fault truncated(long bytes) {
            return new Fault().with(fault -> fault.length = bytes);
        }

        /** Does what is asked, and answers with the first bytes of the answer as if that was all. */
        public static Fault shortened(long bytes) {
            return truncated(bytes).with(fault -> fault.admitted = true);
        }

        /** Does what is asked, and answers after this time. */
        public static Fault late(Duration delay) {
            return new Fault().with(fault -> fault.delay = delay);
        }

        /** Does what is asked, and answers at this speed. */
        public static Fault slow(int bytesPerSecond) {
            return new Fault().with(fault -> fault.rate = bytesPerSecond);
        }

        /** Returns the same fault with a Retry-After header: seconds or a date. */
        public Fault retryAfter(String retryAfter) {
            return with(fault -> fault.retryAfter = retryAfter);
        }

        /** Returns the same fault with this body, which need not be JSON. */
        public Fault body(String body) {
            return with(fault -> fault.body = body);
        }

        private Fault with(Consumer<Fault> change) {
            try {
                Fault copy = (Fault) clone();
                change.accept(copy);
                return copy;
            } catch (CloneNotSupportedException impossible) {
                throw new AssertionError(impossible);
            }
        }

        private void refuse(Call call) {
            if (retryAfter != null)
                call.response.getHeaders().put(HttpHeader.RETRY_AFTER, retryAfter);
            if (status == 0) {
                call.hangUp();
                return;
            }
            call.skipBody(Api.MAX_SKIPPED);
            if (body == null)
                call.send(status, Refusal.envelope(status, "A test wants status " + status + ".", null, null));
            else
                call.send(status, "text/html", body.getBytes(UTF_8));
        }
    }

    /** A response that suffers a fault on its way out. */
    private static final class Faulty extends Response.Wrapper {
        private static final int STEPS = 20;     // a second, at a slow rate

        private final Fault fault;
        private final Call call;
        private long left;
        private boolean begun;

        private Faulty(Call call, Fault fault) {
            super(call.request, call.response);
            this.call = call;
            this.fault = fault;
            this.left = fault.length;
        }

        @Override
        public void write(boolean last, ByteBuffer bytes, Callback callback) {
            try {
                begin();
                ByteBuffer kept = bytes == null ? BufferUtil.EMPTY_BUFFER : bytes.slice();
                boolean cut = kept.remaining() > left || left < 0;
                kept.limit((int) Math.max(0, Math.min(kept.remaining(), left)));
                left -= kept.remaining();
                send(last || cut && fault.admitted, kept, cut);
                if (bytes != null)
                    bytes.position(bytes.limit());
                callback.succeeded();
            } catch (IOException | InterruptedException e) {
                callback.failed(e);
            }
        }

        private void begin() throws InterruptedException {
            if (begun)
                return;
            begun = true;
            Thread.sleep(fault.delay.toMillis());
            long full = getHeaders().getLongField(HttpHeader.CONTENT_LENGTH);
            if (fault.admitted)
                getHeaders().put(HttpHeader.CONTENT_LENGTH, Math.min(full, fault.length));
        }

        private void send(boolean last, ByteBuffer bytes, boolean cut) throws IOException, InterruptedException {
            while (fault.rate > 0 && bytes.hasRemaining()) {
                int step = Math.min(bytes.remaining(), Math.max(1, fault.rate / STEPS));
                Content.Sink.write(getWrapped(), false, bytes.slice(bytes.position(), step));
                bytes.position(bytes.position() + step);
                Thread.sleep(1_000L * step / fault.rate);
            }
            if (!cut || fault.admitted) {
                Content.Sink.write(getWrapped(), last, bytes);
                return;
            }
            if (fault.length >= 0)
                Content.Sink.write(getWrapped(), false, bytes);
            call.hangUp();
            throw new IOException("cut off, as a test wants it");
        }
    }

    /** What a test has told the server to do wrong. */
    private static final class Script {
        private record Rule(Pattern request, Deque<Fault> faults) {
        }

        /** How many tokens may be queued, and whether more are refused at once or fail the batch. */
        private record Queue(long tokens, boolean refuses) {
            private static final Queue ENDLESS = new Queue(Long.MAX_VALUE, false);

            private String message(String model) {
                return "Enqueued token limit reached for " + model + " in organization org-sheaf. Limit: "
                    + String.format(Locale.ROOT, "%,d", tokens) + " enqueued tokens. Please try again once some"
                    + " in_progress batches have been completed.";
            }
        }

        private final List<Rule> rules = new CopyOnWriteArrayList<>();
        private volatile Function<String, Fault> every = request -> null;
        private volatile UnaryOperator<List<String>> rewrite;   // null if nothing is rewritten
        private volatile List<String> models = List.of();       // none is any
        private volatile ObjectNode counts;                     // null shows the true ones
        private volatile Duration invisible = Duration.ZERO;
        private final Map<String, Long> uploaded = new ConcurrentHashMap<>();   // when, if files are shown later
        private volatile Queue queue = Queue.ENDLESS;
        private volatile String stay;                           // null lets batches go on
        private volatile boolean blankIds;
        private volatile boolean ignoresAfter;
        private volatile boolean forgetsMetadata;

        private void on(String request, Fault... faults) {
            String regex = Stream.of(request.split("\\*", -1)).map(Pattern::quote).collect(Collectors.joining("[^/]+"));
            rules.add(new Rule(Pattern.compile(regex), new ConcurrentLinkedDeque<>(List.of(faults))));
        }

        /** Returns how this request goes wrong, or null if it does not. */
        private Fault next(String request) {
            for (Rule rule : rules) {
                Fault fault = rule.request.matcher(request).matches() ? rule.faults.poll() : null;
                if (fault != null)
                    return fault;
            }
            return every.apply(request);
        }

        private void uploaded(String file, long millis) {
            if (!invisible.isZero())
                uploaded.put(file, millis);
        }

        private boolean isVisible(ObjectNode file, long millis) {
            Long since = uploaded.get(file.get("id").textValue());
            return since == null || millis - since > invisible.toMillis();
        }

        private List<String> rewritten(List<String> lines) {
            return rewrite == null ? lines : rewrite.apply(lines);
        }

        private synchronized void rewrite(UnaryOperator<List<String>> next) {
            UnaryOperator<List<String>> before = rewrite;
            rewrite = before == null ? next : lines -> next.apply(before.apply(lines));
        }

        private static List<String> reversed(List<String> lines) {
            List<String> reversed = new ArrayList<>(lines);
            Collections.reverse(reversed);
            return reversed;
        }

        private static boolean isOf(String customId, String line) {
            return customId.equals(json(line).path("custom_id").textValue());
        }

        private static JsonNode json(String line) {
            try {
                return JSON.readTree(line);
            } catch (JsonProcessingException | NumberFormatException rewritten) {
                return object();
            }
        }

        /** Returns a batch object as clients shall see it. */
        private ObjectNode batch(ObjectNode batch) {
            if (counts != null)
                batch.set("request_counts", counts.deepCopy());
            for (String id : List.of("output_file_id", "error_file_id"))
                if (blankIds && batch.get(id).isNull())
                    batch.put(id, "");
            return batch;
        }
    }

    // ---- Dialect: the manners of a provider ----

    /**
     * The manners of a provider, wherever its answers differ from OpenAI's, so that a client can be tried on them.
     * Its methods take the server's own objects, which are OpenAI's, and may change them.
     */
    public enum Dialect {
        /** As the API reference says. */
        OPENAI,

        /** The service of the batch guide: timestamps as strings except at creation, mixed models, few routes. */
        KLUSTER {
            @Override boolean has(String method, String path) {
                return method.equals("POST") || !path.matches("/v1/files(/[^/]+)?/?");
            }

            @Override boolean mixesModels() {
                return true;
            }

            @Override List<String> endpoints() {
                return List.of("/v1/chat/completions");
            }

            @Override List<String> windows() {
                return List.of("1h", "24h", "48h", "72h");
            }

            @Override int maxRequests() {
                return 999;                       // "fewer than 1000" for the free tier
            }

            @Override long maxBytes() {
                return 100L * 1024 * 1024;
            }

            @Override String newBatchId() {
                return newId("").substring(0, 24);
            }

            @Override JsonNode file(ObjectNode file) {
                return times(file.without(List.of("status", "status_details", "expires_at")), Dialect::asText);
            }

            @Override JsonNode created(ObjectNode batch) {
                batch.remove(List.of("model", "usage"));
                return batch.get("metadata").isNull() ? batch.set("metadata", object()) : batch;
            }

            @Override JsonNode batch(ObjectNode batch) {
                return times((ObjectNode) created(batch), Dialect::asText);
            }

            @Override JsonNode page(ObjectNode page) {
                return page.put("count", page.get("data").size()).put("page", 1).put("page_count", -1)
                    .put("items_per_page", Long.MAX_VALUE);
            }

            @Override ObjectNode line(ObjectNode line) {
                if (line.get("error").isNull())
                    line.remove("error");
                for (JsonNode choice : line.at("/response/body/choices")) {
                    if (choice instanceof ObjectNode object)
                        object.putIfAbsent("stop_reason", NullNode.getInstance());
                    if (choice.get("message") instanceof ObjectNode message)
                        message.putIfAbsent("tool_calls", JSON.createArrayNode());
                }
                if (line.at("/response/body") instanceof ObjectNode body && body.has("choices"))
                    body.putIfAbsent("prompt_logprobs", NullNode.getInstance());
                return line;
            }
        },

        /** Azure OpenAI: blank ids, nulls and an empty error file; jobs never expire. */
        AZURE {
            @Override String prefix() {
                return "/openai/v1";
            }

            @Override List<String> endpoints() {
                return List.of("/chat/completions", "/v1/chat/completions", "/v1/responses", "/v1/embeddings");
            }

            @Override boolean refusesWindows() {
                return false;                    // the job fails instead
            }

            @Override int maxRequests() {
                return 100_000;
            }

            @Override int minExpiry() {
                return 14 * 86_400;
            }

            @Override boolean expires() {
                return false;
            }

            @Override boolean hasEmptyErrorFile() {
                return true;
            }

            @Override BatchError fault(BatchError fault) {
                if (fault.message().equals(Validation.HAS_BOM))
                    return new BatchError("invalid_request", "A valid model deployment name couldn't be extracted from"
                        + " the input file.", null, null);
                String code = Map.of("invalid_url", "url_mismatch", "mismatched_model", "model_mismatch",
                    "empty_file", "empty_batch").getOrDefault(fault.code(), fault.code());
                return new BatchError(code, fault.message(), fault.param(), fault.line());
            }

            @Override JsonNode batch(ObjectNode batch) {
                batch.putNull("endpoint").remove("usage");
                if (batch.get("errors").isNull())
                    batch.putArray("errors");
                for (String id : List.of("output_file_id", "error_file_id"))
                    if (batch.get(id).isNull())
                        batch.put(id, "");
                if (batch.get("status").asText().equals("validating"))
                    batch.withObject("/request_counts").putNull("completed").putNull("failed");
                return batch;
            }

            @Override JsonNode page(ObjectNode page) {
                return page.without("object");
            }

            @Override ObjectNode line(ObjectNode line) {
                return line.without("id");
            }
        },

        /** Groq: a list without pages, files without a status. */
        GROQ {
            @Override String prefix() {
                return "/openai/v1";
            }

            @Override List<String> endpoints() {
                return List.of("/v1/chat/completions");
            }

            @Override List<String> windows() {
                return List.of("24h", "48h", "72h", "96h", "120h", "144h", "168h", "7d");
            }

            @Override JsonNode file(ObjectNode file) {
                return file.without(List.of("status", "status_details", "expires_at"));
            }

            @Override boolean hasPages() {
                return false;
            }

            @Override JsonNode page(ObjectNode page) {
                return page.retain("object", "data");
            }
        },

        /** Together: a job in a wrapper, statuses in capitals, ISO times, another route and purpose for uploads. */
        TOGETHER {
            @Override String uploads() {
                return "/v1/files/upload";
            }

            @Override String purpose() {
                return "batch-api";
            }

            @Override List<String> endpoints() {
                return List.of("/v1/chat/completions");
            }

            @Override long maxBytes() {
                return 100L * 1024 * 1024;
            }

            @Override List<String> lineParams() {
                return List.of("custom_id", "body");
            }

            @Override boolean refusesUnknownFiles() {
                return true;
            }

            @Override int createdStatus() {
                return 201;
            }

            @Override JsonNode file(ObjectNode file) {
                file.remove(List.of("status", "status_details", "expires_at"));
                return file.put("FileType", "jsonl").put("Processed", true);
            }

            @Override JsonNode created(ObjectNode batch) {
                return object().<ObjectNode>set("job", batch(batch)).put("warning", "");
            }

            @Override JsonNode batch(ObjectNode batch) {
                JsonNode counts = batch.get("request_counts");
                int done = counts.get("completed").asInt() + counts.get("failed").asInt();
                ObjectNode job = object();
                for (String field : List.of("id", "input_file_id", "output_file_id", "error_file_id", "endpoint"))
                    job.set(field, batch.get(field));
                job.set("model_id", batch.get("model"));
                job.put("status", status(batch.get("status").asText()));
                job.put("progress", 100.0 * done / Math.max(1, counts.get("total").asInt()));
                job.put("created_at", iso(batch.get("created_at"))).put("completed_at", iso(batch.get("completed_at")));
                job.put("job_deadline", iso(batch.get("expires_at")));
                return job.put("error", String.join("; ", batch.get("errors").findValuesAsText("message")));
            }

            private String status(String status) {
                boolean running = status.equals("finalizing") || status.equals("cancelling");
                return running ? "IN_PROGRESS" : status.toUpperCase(Locale.ROOT);
            }

            @Override boolean hasPages() {
                return false;
            }

            @Override JsonNode page(ObjectNode page) {
                return page.get("data");
            }
        },

        /** Voyage: ISO times with microseconds, output lines with other names, no expiry. */
        VOYAGE {
            @Override List<String> windows() {
                return List.of("12h");
            }

            @Override int maxRequests() {
                return 100_000;
            }

            @Override long maxBytes() {
                return 1024L * 1024 * 1024;
            }

            @Override boolean refusesUnknownFiles() {
                return true;
            }

            @Override boolean expires() {
                return false;
            }

            @Override JsonNode file(ObjectNode file) {
                return times(file, Dialect::iso);
            }

            @Override JsonNode batch(ObjectNode batch) {
                batch.set("expected_completion_at", batch.remove("expires_at"));
                batch.remove("expired_at");
                return times(batch, Dialect::iso);
            }

            @Override ObjectNode line(ObjectNode line) {
                line.set("batch_id", line.remove("id"));
                JsonNode message = line.at("/response/body/error/message");
                if (!message.isMissingNode())
                    line.set("response", object().put("status_code", line.at("/response/status_code").asInt())
                        .set("message", message));
                return line;
            }
        };

        // What follows is package-private only because a constant cannot override a private method.

        /** Returns what stands before the path of every route. */
        String prefix() {
            return "/v1";
        }

        boolean has(String method, String path) {
            return true;
        }

        String uploads() {
            return "/v1/files";
        }

        /** Returns the purpose of an input file. */
        String purpose() {
            return "batch";
        }

        List<String> endpoints() {
            return List.of("/v1/chat/completions", "/v1/embeddings", "/v1/completions", "/v1/responses");
        }

        /** Returns the completion windows: a number with h or d each. */
        List<String> windows() {
            return List.of("24h");
        }

        /** Returns whether another window is refused at once, rather than failing the batch. */
        boolean refusesWindows() {
            return true;
        }

        /** Returns whether a batch over an unknown file is refused at once, rather than failing. */
        boolean refusesUnknownFiles() {
            return false;
        }

        boolean mixesModels() {
            return false;
        }

        int maxRequests() {
            return 50_000;                       // https://platform.openai.com/docs/api-reference/batch/create
        }

        long maxBytes() {
            return 200L * 1024 * 1024;           // the same
        }

        /** Returns the least number of seconds after which an output file may expire. */
        int minExpiry() {
            return 3_600;                        // https://platform.openai.com/docs/api-reference/files/create
        }

        /** Returns whether a batch ends when its window does. */
        boolean expires() {
            return true;
        }

        /** Returns whether a batch without failed requests has an error file, with nothing in it. */
        boolean hasEmptyErrorFile() {
            return false;
        }

        /** Returns what every line of an input file must have. */
        List<String> lineParams() {
            return List.of("custom_id", "method", "url", "body");
        }

        String newBatchId() {
            return newId("batch_");
        }

        int createdStatus() {
            return 200;
        }

        BatchError fault(BatchError fault) {
            return fault;
        }

        JsonNode file(ObjectNode file) {
            return file;
        }

        JsonNode created(ObjectNode batch) {
            return batch(batch);
        }

        JsonNode batch(ObjectNode batch) {
            return batch;
        }

        /** Returns whether lists take {@code after} and {@code limit}. */
        boolean hasPages() {
            return true;
        }

        JsonNode page(ObjectNode page) {
            return page;
        }

        /** Returns a line of an output or error file. */
        ObjectNode line(ObjectNode line) {
            return line;
        }

        private boolean changesLines() {
            return this == KLUSTER || this == AZURE || this == VOYAGE;
        }

        private static boolean isBatch(String purpose) {
            return Stream.of(values()).anyMatch(dialect -> dialect.purpose().equals(purpose));
        }

        private static Duration window(String window) {
            if (!window.matches("\\d{1,4}[hd]"))
                return Duration.ofDays(1);       // the batch will fail
            long number = Long.parseLong(window.substring(0, window.length() - 1));
            return window.endsWith("d") ? Duration.ofDays(number) : Duration.ofHours(number);
        }

        private static ObjectNode times(ObjectNode resource, Function<JsonNode, String> format) {
            for (Map.Entry<String, JsonNode> field : resource.properties())
                if (field.getKey().endsWith("_at") && field.getValue().isNumber())
                    field.setValue(TextNode.valueOf(format.apply(field.getValue())));
            return resource;
        }

        private static String asText(JsonNode seconds) {
            return seconds.asText();
        }

        private static String iso(JsonNode seconds) {
            return seconds.isNull() ? null
                : Instant.ofEpochSecond(seconds.asLong()).toString().replace("Z", ".000000Z");
        }

        @Override
        public String toString() {
            return name().toLowerCase(Locale.ROOT);
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

    /** Reads JSON; a number of more digits than fit into memory is none. */
    private static JsonNode parsed(byte[] json) throws IOException {
        try {
            return JSON.readTree(json);
        } catch (NumberFormatException outOfRange) {
            throw new JsonParseException(null, outOfRange.getMessage(), outOfRange);
        }
    }

    /** Returns what a client said, short enough to say it back. */
    private static String quoted(String said) {
        return "'" + (said.length() <= 100 ? said : said.substring(0, 100) + "...") + "'";
    }

    private static String newId(String prefix) {
        return prefix + UUID.randomUUID().toString().replace("-", "");
    }

    private static final class Service {
        private static final int MAX_THREADS = 64;
        private static final Duration IDLE = Duration.ofMinutes(1);   // before a silent connection is closed

        private interface Step {
            void take() throws Exception;
        }

        private final Options options;
        private final Store store;
        private final Engine engine;
        private final Script script = new Script();
        private final Runner runner;
        private final Api api;
        private final Webhooks webhooks;   // null if nobody is told
        private final Server jetty;
        private final Thread atExit = new Thread(this::stop, "sheaf-server-exit");

        private Service(Options options, Store store) {
            this.options = options;
            this.store = store;
            this.engine = options.engine.equals(ECHO) ? new Echo(script) : new Upstream(options);
            this.runner = new Runner(options, store, new DryRun(engine), script);
            this.api = new Api(options, store, new DryRun(engine), runner, script);
            this.webhooks = options.webhook == null ? null : new Webhooks(options.webhook, options.webhookKey, store);
            this.jetty = jetty(options, api);
        }

        /** Takes the port, then up the batches that are there, and only then any request: counts never go back. */
        private String start() {
            begin(connector()::open);
            if (webhooks != null)
                webhooks.start();
            begin(runner::continueUnfinished);
            begin(jetty::start);
            Runtime.getRuntime().addShutdownHook(atExit);
            return store.announce("http://" + reachable(options.host) + ":" + connector().getLocalPort()
                + options.dialect.prefix());
        }

        private void begin(Step step) {
            try {
                step.take();
            } catch (Exception e) {   // the signature of Jetty's LifeCycle
                stop();
                throw unusable(e);
            }
        }

        private UncheckedIOException unusable(Exception e) {
            boolean taken = e.getCause() instanceof BindException && e.getCause().getMessage().contains("in use");
            String remedy = taken ? " is taken; choose another port, or port 0 (--port 0) for a free one"
                : " cannot be used (" + e.getMessage() + "); choose another";
            return new UncheckedIOException("start: " + bracketed(options.host) + ":" + options.port + remedy,
                new IOException(e));
        }

        private ServerConnector connector() {
            return (ServerConnector) jetty.getConnectors()[0];
        }

        /** Returns a host by which this machine can reach the server: an address that stands for all is none. */
        private static String reachable(String host) {
            return host.equals("0.0.0.0") ? LOOPBACK : bracketed(host.equals("::") ? "::1" : host);
        }

        private static String bracketed(String host) {
            return host.contains(":") ? "[" + host + "]" : host;
        }

        private void close() {
            if (claimClose())
                stop();
        }

        /** Returns whether nobody has closed the server, and takes that task upon the caller. */
        private boolean claimClose() {
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
                if (webhooks != null)
                    webhooks.close();
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
            connector.setIdleTimeout(IDLE.toMillis());
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

        private static Refusal tooLong(String param, int most) {
            return invalid(param, "string_above_max_length", "Invalid '" + param
                + "': string too long. Expected a string with maximum length " + most + ".");
        }

        private static Refusal unsupported(String param, String value, List<String> supported) {
            return invalid(param, "invalid_value", "Invalid value: " + quoted(String.valueOf(value))
                + ". Supported values are: "
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
        private static final List<String> UPLOAD_PURPOSES = List.of("assistants", "batch", "fine-tune", "vision");
        private static final int MAX_EXPIRY = 2_592_000;
        private static final int MAX_BODY = 1024 * 1024;
        private static final long MAX_SKIPPED = 1024L * 1024 * 1024;
        private static final int MAX_FIELD = 1024;
        private static final int MAX_KEY = 255;           // characters of an Idempotency-Key
        private static final int MAX_WRITING = 48;        // of the HTTP threads, so that the others can be read
        private static final int MAX_PASSED = 32;         // the same
        private static final int MAX_HELD = 64;           // megabytes of requests that are passed on
        private static final int MAX_RECORDED = 10_000;

        private interface Endpoint {
            void serve(Call call) throws IOException, InterruptedException;
        }

        private record Route(String method, Pattern path, Endpoint endpoint) {
        }

        private final List<Route> routes;
        private final Deque<String> recorded = new ArrayDeque<>();
        private final Semaphore writing = new Semaphore(MAX_WRITING);
        private final Semaphore passing = new Semaphore(MAX_PASSED);
        private final Semaphore held = new Semaphore(MAX_HELD);
        private final Optional<WebPage> webPage = WebPage.read();
        private final Options options;
        private final Store store;
        private final Engine engine;
        private final Runner runner;
        private final Script script;
        private final Dialect dialect;
        private final Uploads uploads;

        private Api(Options options, Store store, Engine engine, Runner runner, Script script) {
            this.options = options;
            this.store = store;
            this.engine = engine;
            this.runner = runner;
            this.script = script;
            this.dialect = options.dialect;
            this.uploads = new Uploads(store);
            this.routes = routes();
        }

        private List<Route> routes() {
            return List.of(
                route("GET", "/", this::webPage),
                route("POST", dialect.uploads(), this::createFile),
                route("GET", "/v1/files", this::listFiles),
                route("GET", "/v1/files/{id}", this::retrieveFile),
                route("DELETE", "/v1/files/{id}", this::deleteFile),
                route("GET", "/v1/files/{id}/content", this::fileContent),
                route("POST", "/v1/uploads", this::createUpload),
                route("POST", "/v1/uploads/{id}/parts", this::addUploadPart),
                route("POST", "/v1/uploads/{id}/complete", this::completeUpload),
                route("POST", "/v1/uploads/{id}/cancel", this::cancelUpload),
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
        }

        private static Route route(String method, String path, Endpoint endpoint) {
            String regex = path.replace("{id}", "([^/]+)").replace("{model}", "(.+?)") + "/?";
            return new Route(method, Pattern.compile(regex), endpoint);
        }

        @Override
        public boolean handle(Request request, Response response, Callback callback) throws Exception {
            Call call = new Call(request, response, callback, path(request));
            response.getHeaders().put("x-request-id", newId("req_"));
            Browsers.protect(response);
            record(call);
            Fault fault = script.next(call.toString());
            if (fault == null)
                serve(call);
            else if (fault.acts)
                serve(new Call(request, new Faulty(call, fault), callback, call.path));
            else
                fault.refuse(call);
            return true;
        }

        /** Returns the path of a request as the routes have it, whatever the dialect puts before it. */
        private String path(Request request) {
            String path = Optional.ofNullable(request.getHttpURI().getPath()).orElse("/");
            boolean prefixed = path.startsWith(dialect.prefix() + "/");
            return prefixed ? "/v1" + path.substring(dialect.prefix().length()) : path.replaceFirst("^/v1/", "/none/");
        }

        private void serve(Call call) throws IOException, InterruptedException {
            try {
                Browsers.refuseStrangers(call, options);
                authorize(call);
                if (call.method().equals("POST"))
                    limited(writing, 1, () -> dispatch(call));
                else
                    dispatch(call);
            } catch (Refusal refusal) {
                boolean stranger = refusal.status == 401 || refusal.status == 403;
                boolean whole = call.skipBody(stranger || refusal.status == 429 ? 0 : MAX_SKIPPED);
                if (refusal.status == 409)               // which OpenAI's clients would repeat
                    call.response.getHeaders().put("x-should-retry", "false");
                if (!whole || refusal.status == 413)     // or Jetty gave the body up: no other request can follow
                    call.response.getHeaders().put("Connection", "close");
                call.send(refusal.status, refusal.body());
            }
        }

        private void record(Call call) {
            synchronized (recorded) {
                if (recorded.size() == MAX_RECORDED)
                    recorded.removeFirst();
                recorded.addLast(cut(call.toString()));
            }
        }

        private static String cut(String request) {
            return request.substring(0, Math.min(request.length(), 200));
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
            boolean bearer = given.regionMatches(true, 0, "Bearer ", 0, "Bearer ".length());
            String key = bearer ? given.substring("Bearer ".length()).strip() : "";
            if (!MessageDigest.isEqual(options.apiKey.getBytes(UTF_8), key.getBytes(UTF_8)))
                throw new Refusal(401, "Incorrect API key provided.", null, "invalid_api_key");
        }

        /** Serves a call, and returns it. */
        private Call dispatch(Call call) throws IOException, InterruptedException {
            StringJoiner allowed = new StringJoiner(", ");
            for (Route route : routes) {
                Matcher path = route.path.matcher(call.path);
                if (!path.matches() || !dialect.has(route.method, call.path))
                    continue;
                if (route.method.equals(call.method()) || call.method().equals("HEAD") && route.method.equals("GET")) {
                    route.endpoint.serve(path.groupCount() == 0 ? call : call.on(path.group(1)));
                    return call;
                }
                allowed.add(route.method);
            }
            throw allowed.length() == 0 ? unknownRoute(call) : wrongMethod(call, allowed.toString());
        }

        private static Refusal unknownRoute(Call call) {
            String message = "Unknown request URL: " + call.method() + " " + call.path + ".";
            return new Refusal(404, message, null, "unknown_url");
        }

        private static Refusal wrongMethod(Call call, String allowed) {
            call.response.getHeaders().put(HttpHeader.ALLOW, allowed);
            String message = "Not allowed to " + call.method() + " on " + call.path + ".";
            return new Refusal(405, message, null, "method_not_supported");
        }

        /** Answers what Jetty itself refuses or what broke, in the shape of every other error. */
        private static boolean unhandled(Request request, Response response, Callback callback) {
            int status = response.getStatus();
            Object cause = request.getAttribute(ErrorHandler.ERROR_EXCEPTION);
            Object message = status < 500 ? request.getAttribute(ErrorHandler.ERROR_MESSAGE)
                : cause instanceof UncheckedIOException store ? store.getMessage()
                : "The server could not do this (" + (cause == null ? status : cause.getClass().getSimpleName()) + ").";
            response.getHeaders().put("x-request-id", newId("req_"));
            Browsers.protect(response);
            new Call(request, response, callback, "")
                .send(status, Refusal.envelope(status, String.valueOf(message), null, null));
            return true;
        }

        private void webPage(Call call) {
            if (dialect != Dialect.OPENAI || webPage.isEmpty())   // the page reads no other dialect
                throw unknownRoute(call);
            call.send(webPage.get());
        }

        private void createFile(Call call) throws IOException {
            store.deleteExpiredFiles();
            try (MultiPartFormData.Parts parts = parts(call, options.maxBytes(), tooLarge())) {
                MultiPart.Part content = parts.getFirst("file");
                if (content == null)
                    throw Refusal.missing("file");
                String purpose = purpose(parts);
                if (dialect == Dialect.TOGETHER && field(parts, "file_name") == null)
                    throw Refusal.missing("file_name");
                Long seconds = seconds("expires_after", field(parts, "expires_after[anchor]"),
                    field(parts, "expires_after[seconds]"), dialect.minExpiry());
                call.send(dialect.file(keep(content, purpose, seconds)));
            }
        }

        /** Reads a form to disk, and refuses one with more than {@code most} bytes in a part as {@code tooLarge}. */
        private MultiPartFormData.Parts parts(Call call, long most, Refusal tooLarge) {
            String type = call.header("Content-Type");
            if (type == null || !type.toLowerCase(Locale.ROOT).startsWith("multipart/form-data"))
                throw Refusal.invalid(null, null, "Invalid Content-Type header; expected multipart/form-data.");
            if (call.request.getLength() > most + MAX_BODY)
                throw tooLarge;
            try {
                return MultiPartFormData.getParts(call.evenly(), call.request, type, new MultiPartConfig.Builder()
                    .location(store.uploads()).maxParts(16).maxMemoryPartSize(MAX_FIELD).maxPartSize(most)
                    .maxSize(most + MAX_BODY).useFilesForPartsWithoutFileName(true).build());
            } catch (RuntimeException malformed) {   // Jetty has no narrower type for it
                throw malformed(malformed, tooLarge);
            }
        }

        private static Refusal malformed(RuntimeException e, Refusal tooLarge) {
            Throwable cause = e.getCause() == null ? e : e.getCause();
            String why = String.valueOf(cause.getMessage());
            if (!(cause instanceof RuntimeException || cause instanceof EOFException))   // a full disk, or a stop
                return new Refusal(500, "The file could not be kept: " + why + ".", null, null);
            return why.contains("exceeded") ? tooLarge
                : Refusal.invalid(null, null, "Could not parse multipart form: " + why + ".");
        }

        private Refusal tooLarge() {
            return new Refusal(413, "File is too large: at most " + options.maxBytes() + " bytes.", "file", null);
        }

        private String purpose(MultiPartFormData.Parts parts) {
            String purpose = field(parts, "purpose");
            if (purpose == null)
                throw Refusal.missing("purpose");
            List<String> purposes = PURPOSES.contains(dialect.purpose()) ? PURPOSES : List.of(dialect.purpose());
            if (!purposes.contains(purpose))
                throw Refusal.unsupported("purpose", purpose, purposes);
            return purpose;
        }

        private static String field(MultiPartFormData.Parts parts, String name) {
            MultiPart.Part part = parts.getFirst(name);
            if (part != null && part.getLength() > MAX_FIELD)
                throw Refusal.invalid(name, "invalid_value", "Value of '" + name + "' is too long.");
            return part == null ? null : part.getContentAsString(UTF_8);
        }

        /** Returns the seconds of an {@code expires_after}, or null if there is none. */
        private static Long seconds(String param, String anchor, String seconds, int least) {
            if (anchor == null && seconds == null)
                return null;
            if (!"created_at".equals(anchor))
                throw Refusal.unsupported(param + ".anchor", anchor, List.of("created_at"));
            return integer(param + ".seconds", seconds, least, MAX_EXPIRY);
        }

        /** Returns the same of a JSON body. */
        private static Long seconds(ObjectNode asked, String param, int least) {
            JsonNode expiry = asked.path(param);
            if (expiry.isMissingNode() || expiry.isNull())
                return null;
            if (!expiry.isObject())
                throw Refusal.invalid(param, "invalid_type", BatchError.wrongType(param, "an object", expiry));
            return seconds(param, expiry.path("anchor").asText(""), expiry.path("seconds").asText(null), least);
        }

        private ObjectNode keep(MultiPart.Part content, String purpose, Long seconds) throws IOException {
            String id = newId("file-");
            Path path = store.file(id);
            try {
                content.writeTo(path);
                checkFormat(path, purpose);
                store.force(path);
                ObjectNode file =
                    store.fileObject(id, Files.size(path), baseName(content.getFileName()), purpose, seconds);
                store.insertFile(file);
                script.uploaded(id, store.millis());
                return file;
            } catch (IOException | RuntimeException e) {
                Files.deleteIfExists(path);
                throw e;
            }
        }

        private static void checkFormat(Path path, String purpose) throws IOException {
            if (Dialect.isBatch(purpose) && !startsWithJson(path))
                throw Refusal.invalid("file", null, "Invalid file format for Batch API. Must be .jsonl"
                    + (Files.size(path) == 0 ? "; it is empty." : "; its first line is no JSON object."));
        }

        private static boolean startsWithJson(Path path) throws IOException {
            try (Lines lines = new Lines(path, Lines.MAX_BYTES)) {
                byte[] first = lines.next();
                return first != null && (Lines.isBlank(first) || parsed(first).isContainerNode());
            } catch (JsonProcessingException notJson) {
                return false;
            }
        }

        private static String baseName(String fileName) {
            if (fileName == null)
                return "upload.jsonl";
            return fileName.substring(Math.max(fileName.lastIndexOf('/'), fileName.lastIndexOf('\\')) + 1);
        }

        private void listFiles(Call call) {
            String order = call.query("order", "desc");
            if (!List.of("asc", "desc").contains(order))
                throw Refusal.unsupported("order", order, List.of("asc", "desc"));
            int limit = limit(call, 10_000, 10_000);
            List<ObjectNode> found = store.files(call.query("purpose", null), after(call), order, limit + 1);
            call.send(page(found.stream().filter(this::isVisible).toList(), limit, dialect::file));
        }

        private static long integer(String param, String value, long least, long most) {
            if (value == null)
                throw Refusal.missing(param);
            if (value.matches("-?\\d{1,18}") && Long.parseLong(value) >= least && Long.parseLong(value) <= most)
                return Long.parseLong(value);
            throw Refusal.invalid(param, "invalid_value", "Invalid '" + param + "': expected an integer from " + least
                + " to " + most + ", but got '" + value + "' instead.");
        }

        private int limit(Call call, int otherwise, int most) {
            return dialect.hasPages() ? (int) integer("limit", call.query("limit", "" + otherwise), 1, most) : most;
        }

        /** Returns the id after which a list goes on, or null at its start. */
        private String after(Call call) {
            return dialect.hasPages() && !script.ignoresAfter ? call.query("after", null) : null;
        }

        /** Returns a list of at most {@code limit} resources; one more was asked for, to know if there is more. */
        private JsonNode page(List<ObjectNode> found, int limit, Function<ObjectNode, JsonNode> shape) {
            List<ObjectNode> shown = found.subList(0, Math.min(limit, found.size()));
            ObjectNode page = object().put("object", "list");
            page.putArray("data").addAll(shown.stream().map(shape).toList());
            page.set("first_id", shown.isEmpty() ? null : shown.get(0).get("id"));
            page.set("last_id", shown.isEmpty() ? null : shown.get(shown.size() - 1).get("id"));
            return dialect.page(page.put("has_more", found.size() > limit || script.ignoresAfter));
        }

        private void retrieveFile(Call call) {
            call.send(dialect.file(file(call.id)));
        }

        private ObjectNode file(String id) {
            return store.find("file", id).filter(this::isVisible)
                .orElseThrow(() -> new Refusal(404, "No such File object: " + id, "id", null));
        }

        private boolean isVisible(ObjectNode file) {
            return script.isVisible(file, store.millis());
        }

        private void deleteFile(Call call) {
            store.deleteFile(file(call.id).get("id").textValue());
            call.send(object().put("id", call.id).put("object", "file").put("deleted", true));
        }

        private void fileContent(Call call) throws IOException {
            ObjectNode file = file(call.id);
            Path content = store.content(file.get("id").textValue());
            long bytes = file.get("bytes").longValue();
            long left = Files.exists(content) ? Files.size(content) : 0;
            if (left != bytes)
                throw new Refusal(500, "The file is damaged: it has " + left + " of " + bytes + " bytes.", null, null);
            call.response.getHeaders().put("Content-Disposition", Browsers.attachment(file.get("filename").asText()));
            call.sendFile(content);
        }

        private void createUpload(Call call) throws IOException {
            ObjectNode asked = call.object(call.body(MAX_BODY));
            requireStrings(asked, "filename", "purpose", "mime_type");
            String purpose = asked.get("purpose").textValue();
            if (!UPLOAD_PURPOSES.contains(purpose))
                throw Refusal.unsupported("purpose", purpose, UPLOAD_PURPOSES);
            String name = baseName(asked.get("filename").textValue());
            if (name.isEmpty())
                throw Refusal.invalid("filename", "invalid_value", "Invalid 'filename': it names no file.");
            if (name.length() > MAX_FIELD)
                throw Refusal.tooLong("filename", MAX_FIELD);
            long bytes = bytes(asked, purpose.equals("batch") ? options.maxBytes() : Uploads.MAX_BYTES);
            call.send(uploads.create(name, bytes, purpose, seconds(asked, "expires_after", dialect.minExpiry())));
        }

        private static long bytes(ObjectNode asked, long most) {
            if (!asked.hasNonNull("bytes"))
                throw Refusal.missing("bytes");
            JsonNode bytes = asked.get("bytes");
            if (!bytes.isIntegralNumber())
                throw Refusal.invalid("bytes", "invalid_type", BatchError.wrongType("bytes", "an integer", bytes));
            return integer("bytes", bytes.asText(), 1, most);
        }

        private void addUploadPart(Call call) throws IOException {
            long room = uploads.room(call.id);
            if (room == 0 || call.request.getLength() > room + MAX_BODY)
                throw Uploads.tooLarge(Math.min(room, Uploads.MAX_PART));
            try (MultiPartFormData.Parts parts = parts(call, Uploads.MAX_PART, Uploads.tooLarge(Uploads.MAX_PART))) {
                MultiPart.Part data = parts.getFirst("data");
                if (data == null)
                    throw Refusal.missing("data");
                call.send(uploads.add(call.id, data));
            }
        }

        private void completeUpload(Call call) throws IOException {
            byte[] body = call.body(MAX_BODY);
            ObjectNode asked = call.object(body);
            String digest = UUID.nameUUIDFromBytes(body).toString();
            call.send(uploads.complete(call.id, partIds(asked.path("part_ids")), md5(asked.path("md5")), digest));
        }

        private static Set<String> partIds(JsonNode partIds) {
            if (partIds.isMissingNode() || partIds.isNull())
                throw Refusal.missing("part_ids");
            if (!partIds.isArray())
                throw Refusal.invalid("part_ids", "invalid_type",
                    BatchError.wrongType("part_ids", "an array of strings", partIds));
            Set<String> ids = new LinkedHashSet<>();
            for (JsonNode id : partIds) {
                requireString("part_ids[" + ids.size() + "]", id);
                if (!ids.add(id.textValue()))
                    throw Refusal.invalid("part_ids[" + ids.size() + "]", "invalid_value",
                        "Part '" + id.textValue() + "' is listed twice.");
            }
            return ids;
        }

        /** Returns an MD5 checksum in lower-case hexadecimal digits, or null if none was given. */
        private static String md5(JsonNode md5) {
            if (md5.isMissingNode() || md5.isNull())
                return null;
            requireString("md5", md5);
            if (!md5.textValue().matches("[0-9a-fA-F]{32}"))
                throw Refusal.invalid("md5", "invalid_value", "Invalid 'md5': expected 32 hexadecimal digits.");
            return md5.textValue().toLowerCase(Locale.ROOT);
        }

        private void cancelUpload(Call call) throws IOException {
            call.send(uploads.cancel(call.id));
        }

        private void createBatch(Call call) throws IOException {
            byte[] body = call.body(MAX_BODY);
            ObjectNode asked = call.object(body);
            requireStrings(asked, "input_file_id", "endpoint", "completion_window");
            requireOneOf("endpoint", asked, dialect.endpoints());
            if (dialect.refusesWindows())
                requireOneOf("completion_window", asked, dialect.windows());
            checkMetadata(asked.path("metadata"));
            seconds(asked, "output_expires_after", dialect.minExpiry());
            if (script.forgetsMetadata)
                asked.remove("metadata");
            ObjectNode batch = runner.create(asked, idempotencyKey(call), body, this::checkInput);
            call.send(dialect.createdStatus(), dialect.created(script.batch(batch)));
        }

        /** Returns an endpoint as an engine has it; Azure's lack the version. */
        private static String canonical(String endpoint) {
            return endpoint.startsWith("/v1/") ? endpoint : "/v1" + endpoint;
        }

        private void checkInput(String id) {
            if (dialect.refusesUnknownFiles() || !script.invisible.isZero())
                file(id);
        }

        private static String idempotencyKey(Call call) {
            String key = Optional.ofNullable(call.header("Idempotency-Key")).orElse("").strip();
            if (key.length() > MAX_KEY)
                throw Refusal.invalid(null, "invalid_value", "The Idempotency-Key is longer than " + MAX_KEY
                    + " characters.");
            return key.isEmpty() ? null : key;
        }

        private static void requireOneOf(String param, ObjectNode asked, List<String> supported) {
            String value = asked.get(param).textValue();
            if (!supported.contains(value))
                throw Refusal.unsupported(param, value, supported);
        }

        private JsonNode shown(ObjectNode batch) {
            return dialect.batch(script.batch(batch));
        }

        private static void requireStrings(ObjectNode asked, String... params) {
            for (String param : params) {
                if (!asked.hasNonNull(param))
                    throw Refusal.missing(param);
                requireString(param, asked.get(param));
                if (asked.get(param).textValue().length() > MAX_FIELD)
                    throw Refusal.tooLong(param, MAX_FIELD);
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

        private void listBatches(Call call) {
            int limit = limit(call, 20, dialect.hasPages() ? 100 : 10_000);
            call.send(page(runner.list(after(call), limit + 1), limit, this::shown));
        }

        private void retrieveBatch(Call call) {
            call.send(shown(runner.find(call.id)));
        }

        private void cancelBatch(Call call) {
            call.send(shown(runner.cancel(call.id)));
        }

        private void listModels(Call call) throws IOException, InterruptedException {
            call.send(models(call));
        }

        private Answer models(Call call) throws IOException, InterruptedException {
            return limited(passing, 1, () -> {
                call.waitForEngine();
                return engine.models();
            });
        }

        private void retrieveModel(Call call) throws IOException, InterruptedException {
            Answer models = models(call);
            if (!models.succeeded()) {
                call.send(models);
                return;
            }
            call.send(models.body().path("data").valueStream()
                .filter(model -> model.path("id").asText().equals(call.id)).findFirst().orElseThrow(() ->
                    new Refusal(404, "The model '" + call.id + "' does not exist", "model", "model_not_found")));
        }

        private void pass(Call call) throws IOException, InterruptedException {
            int megabytes = (int) Math.min(Lines.MAX_BYTES, Math.max(0, call.request.getLength())) / MAX_BODY + 1;
            int most = call.request.getLength() < 0 ? Lines.MAX_BYTES / MAX_BODY : megabytes;
            call.send(limited(passing, 1, () -> limited(held, most, () -> {
                ObjectNode body = call.object(call.body(Lines.MAX_BYTES));
                if (body.path("stream").asBoolean())
                    throw Refusal.invalid("stream", "streaming_unsupported",
                        "Streaming is not supported by this server.");
                call.waitForEngine();
                return engine.answer(call.path.replaceFirst("/$", ""), body);
            })));
        }

        private interface Work<T> {
            T done() throws IOException, InterruptedException;
        }

        /** Does what takes so many permits, or refuses to if there are not that many left. */
        private static <T> T limited(Semaphore permits, int taken, Work<T> work) throws IOException,
            InterruptedException {
            if (!permits.tryAcquire(taken))
                throw Refusal.busy("Too many requests at once; send this one again in a moment.");
            try {
                return work.done();
            } finally {
                permits.release(taken);
            }
        }
    }

    /** Which bytes of a file are wanted, both ends included (RFC 9110, section 14). */
    private record Range(boolean partial, long first, long last) {
        private static final Pattern BYTES = Pattern.compile("(?i)bytes=(?:(\\d{1,18})-(\\d{0,18})|-(\\d{1,18}))");

        private static Range of(String header, long size) {
            Matcher asked = BYTES.matcher(header == null ? "" : header.strip());
            if (!asked.matches())
                return new Range(false, 0, size - 1);
            if (asked.group(3) != null)
                return new Range(true, Math.max(0, size - Long.parseLong(asked.group(3))), size - 1);
            long first = Long.parseLong(asked.group(1));
            long last = asked.group(2).isEmpty() ? size - 1 : Long.parseLong(asked.group(2));
            boolean valid = asked.group(2).isEmpty() || last >= first;    // else it counts as not said
            return valid ? new Range(true, first, Math.min(last, size - 1)) : new Range(false, 0, size - 1);
        }

        private boolean isBeyond(long size) {
            return partial && first >= size;
        }

        private long length() {
            return last - first + 1;
        }
    }

    /** One HTTP request and its response; {@code id} is what the path names, if it names something. */
    private record Call(Request request, Response response, Callback callback, String path, String id) {

        private Call(Request request, Response response, Callback callback, String path) {
            this(request, response, callback, path, null);
        }

        private Call on(String rawId) {
            return new Call(request, response, callback, path, URIUtil.decodePath(rawId));
        }

        private String method() {
            return request.getMethod();
        }

        private String header(String name) {
            return request.getHeaders().get(name);
        }

        private String query(String name, String otherwise) {
            String value = Request.extractQueryParameters(request).getValue(name);
            return value == null || value.isEmpty() ? otherwise : value;
        }

        /**
         * Returns the body in pieces of one size. Jetty's parser takes a piece that is only the beginning of a
         * boundary, such as a hyphen, for one byte more where it is the first of a part.
         */
        private Content.Source evenly() {
            ByteBufferPool pool = request.getComponents().getByteBufferPool();
            return Content.Source.from(new ByteBufferPool.Sized(pool, false, 64 * 1024),
                new FilterInputStream(Content.Source.asInputStream(request)) {
                    @Override
                    public int read(byte[] bytes, int offset, int length) throws IOException {
                        int read = in.readNBytes(bytes, offset, length);
                        return read == 0 && length > 0 ? -1 : read;
                    }
                });
        }

        private byte[] body(int limit) throws IOException {
            byte[] body = Content.Source.asInputStream(request).readNBytes(limit + 1);
            if (body.length > limit)
                throw new Refusal(413, "Request body is too large: at most " + limit + " bytes.", null, null);
            return body;
        }

        /**
         * Reads what is left of a body, unless it is too much, and returns whether there is nothing more: a client that
         * is cut off while it sends hears nothing, but one that asks first has not begun.
         */
        private boolean skipBody(long limit) {
            if (request.getLength() == 0)
                return true;
            if (request.getLength() > limit || request.getHeaders().contains(HttpHeader.EXPECT))
                return false;
            InputStream body = Content.Source.asInputStream(request);
            byte[] buffer = new byte[64 * 1024];
            try {
                for (long left = limit; left > 0; ) {
                    int read = body.read(buffer);
                    if (read < 0)
                        return true;
                    left -= read;
                }
            } catch (IOException gone) {
                // nobody is left to hear the answer, or Jetty has given the body up
            }
            return false;
        }

        /** Lets the connection be silent while an engine thinks. */
        private void waitForEngine() {
            request.addIdleTimeoutListener(late -> false);
        }

        private ObjectNode object(byte[] body) throws IOException {
            try {
                if (parsed(body) instanceof ObjectNode object)
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
            if (answer.retryAfterMillis() >= 0)
                response.getHeaders().put(HttpHeader.RETRY_AFTER, (answer.retryAfterMillis() + 999) / 1000);
            send(answer.status() == 0 ? 502 : answer.status(), answer.status() == 0
                ? Refusal.envelope(502, answer.message(), null, answer.code()) : answer.body());
        }

        private void send(int status, JsonNode body) {
            send(status, "application/json", bytes(body));
        }

        private void send(int status, String type, byte[] bytes) {
            response.setStatus(status);
            response.getHeaders().put(HttpHeader.CONTENT_TYPE, type);
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
            Range range = Range.of(header("Range"), size);
            if (range.isBeyond(size)) {
                response.getHeaders().put(HttpHeader.CONTENT_RANGE, "bytes */" + size);
                throw new Refusal(416, "The file has only " + size + " bytes.", null, null);
            }
            if (range.partial)
                response.getHeaders().put(HttpHeader.CONTENT_RANGE,
                    "bytes " + range.first + "-" + range.last + "/" + size);
            response.setStatus(range.partial ? 206 : 200);
            response.getHeaders().put(HttpHeader.ACCEPT_RANGES, "bytes");
            response.getHeaders().put(HttpHeader.CONTENT_TYPE, "application/octet-stream");
            response.getHeaders().put(HttpHeader.CONTENT_LENGTH, range.length());
            Content.copy(Content.Source.from(path, range.first, range.length()), response, callback);
        }

        private void hangUp() {
            request.getConnectionMetaData().getConnection().getEndPoint().close();
            callback.failed(new IOException("hung up, as a test wants it"));
        }

        @Override
        public String toString() {
            return method() + " " + path.replaceFirst("(?<=.)/$", "");
        }

        private static byte[] bytes(JsonNode body) {
            try {
                return JSON.writeValueAsBytes(body);
            } catch (JsonProcessingException impossible) {
                throw new UncheckedIOException(impossible);
            }
        }
    }

    // ---- Uploads: files that come in parts ----

    /**
     * Uploads, and their parts on disk. What counts is what the store has recorded: a file in the folder of parts that
     * it does not know was never finished, and goes at the next start. One request at a time completes or ends an
     * upload; parts may come at once.
     *
     * @see <a href="https://platform.openai.com/docs/api-reference/uploads">Uploads API</a>
     */
    private static final class Uploads {
        private static final long MAX_BYTES = 8L * 1024 * 1024 * 1024;   // as at OpenAI, as are the next two
        private static final long MAX_PART = 64L * 1024 * 1024;
        private static final long LIFETIME = Duration.ofHours(1).toSeconds();
        private static final int MAX_PARTS = 10_000;
        private static final int MAX_PENDING = 256;
        private static final String UPLOADS = """
            CREATE TABLE IF NOT EXISTS upload (
                id TEXT PRIMARY KEY,
                status TEXT NOT NULL,
                expires_at INTEGER NOT NULL,
                file_seconds INTEGER,    -- what expires_after gives the file
                completion TEXT,         -- the digest of the request that completed it
                json TEXT NOT NULL)""";
        private static final String PARTS = "CREATE TABLE IF NOT EXISTS upload_part"
            + " (id TEXT PRIMARY KEY, upload TEXT NOT NULL, bytes INTEGER NOT NULL)";
        private static final List<String> INDEXES = List.of(
            "CREATE INDEX IF NOT EXISTS upload_status ON upload (status, expires_at)",
            "CREATE INDEX IF NOT EXISTS parts_of_upload ON upload_part (upload)");

        private record Upload(ObjectNode json, Long fileSeconds, String completion) {
            private static Upload read(ResultSet row) throws SQLException, IOException {
                long seconds = row.getLong("file_seconds");
                Long fileSeconds = row.wasNull() ? null : seconds;   // of the column read last
                return new Upload((ObjectNode) JSON.readTree(row.getString("json")), fileSeconds,
                    row.getString("completion"));
            }

            private String id() {
                return json.get("id").textValue();
            }

            private String purpose() {
                return json.get("purpose").textValue();
            }

            private long bytes() {
                return json.get("bytes").longValue();
            }

            private String status(long now) {
                String status = json.get("status").textValue();
                return status.equals("pending") && now >= json.get("expires_at").longValue() ? "expired" : status;
            }

            /** Follows from the upload's id, so that what a crash leaves can be found. */
            private String fileId() {
                return id().replaceFirst("upload_", "file-");
            }
        }

        private final Set<String> claimed = ConcurrentHashMap.newKeySet();   // those being completed or ended
        private final Store store;
        private final Path folder;

        private Uploads(Store store) {
            this.store = store;
            this.folder = store.folder.resolve("parts");
            store.execute(UPLOADS);
            store.execute(PARTS);
            INDEXES.forEach(store::execute);
            store.execute("DELETE FROM upload WHERE status <> 'pending' AND expires_at < ?",
                store.now() - Store.MEMORY);
            try {
                Files.createDirectories(folder);
                endOverdue();
                deleteUnrecorded();
            } catch (IOException e) {
                throw Store.unusable(e);
            }
        }

        private void deleteUnrecorded() throws IOException {
            Set<String> recorded = Set.copyOf(store.select("SELECT id FROM upload_part", row -> row.getString(1)));
            try (DirectoryStream<Path> parts = Files.newDirectoryStream(folder)) {
                for (Path part : parts)
                    if (!recorded.contains(part.getFileName().toString()))
                        Files.delete(part);
            }
            for (Upload pending : select("status = 'pending'"))
                Files.deleteIfExists(store.file(pending.fileId()));   // put together, but not recorded
        }

        private List<Upload> select(String condition, Object... values) {
            return store.select("SELECT file_seconds, completion, json FROM upload WHERE " + condition, Upload::read,
                values);
        }

        private synchronized ObjectNode create(String name, long bytes, String purpose, Long fileSeconds)
            throws IOException {
            endOverdue();
            if (select("status = 'pending'").size() >= MAX_PENDING)
                throw Refusal.busy("Too many pending uploads: at most " + MAX_PENDING + ".");
            long expires = store.now() + LIFETIME;
            ObjectNode upload = object().put("id", newId("upload_")).put("object", "upload").put("bytes", bytes)
                .put("created_at", expires - LIFETIME).put("filename", name).put("purpose", purpose)
                .put("status", "pending").put("expires_at", expires).putNull("file");
            store.execute("INSERT INTO upload VALUES (?, 'pending', ?, ?, NULL, ?)", upload.get("id").textValue(),
                expires, fileSeconds, upload.toString());
            return upload;
        }

        private Upload find(String id) {
            return select("id = ?", id).stream().findFirst()
                .orElseThrow(() -> new Refusal(404, "No such Upload object: " + id, "upload_id", null));
        }

        private Upload pending(String id, String act) {
            Upload upload = find(id);
            if (!upload.status(store.now()).equals("pending"))
                throw Refusal.invalid("upload_id", null, "Cannot " + act + " an upload with status '"
                    + upload.status(store.now()) + "'.");
            return upload;
        }

        /** Returns how many bytes an upload still takes. */
        private long room(String id) throws IOException {
            endOverdue();
            long declared = pending(id, "add a part to").bytes();
            Map<String, Long> parts = parts(id);
            if (parts.size() >= MAX_PARTS)
                throw Refusal.invalid("upload_id", null, "Too many parts: an upload has at most " + MAX_PARTS + ".");
            return declared - parts.values().stream().mapToLong(Long::longValue).sum();
        }

        private Map<String, Long> parts(String upload) {
            return store.select("SELECT id, bytes FROM upload_part WHERE upload = ?",
                    row -> Map.entry(row.getString(1), row.getLong(2)), upload)
                .stream().collect(Collectors.toMap(Map.Entry::getKey, Map.Entry::getValue));
        }

        private static Refusal tooLarge(long most) {
            String limit = most == MAX_PART ? "at most " + MAX_PART + " bytes."
                : "the upload takes " + most + " more bytes.";
            return new Refusal(413, "Part is too large: " + limit, "data", null);
        }

        private ObjectNode add(String upload, MultiPart.Part data) throws IOException {
            String id = newId("part_");
            Path path = folder.resolve(id);
            try {
                data.writeTo(path);
                force(path);
                record(id, upload, Files.size(path));
            } catch (IOException | RuntimeException e) {
                Files.deleteIfExists(path);
                throw e;
            }
            return object().put("id", id).put("object", "upload.part").put("created_at", store.now())
                .put("upload_id", upload);
        }

        private void force(Path path) throws IOException {
            try (FileChannel part = FileChannel.open(path, StandardOpenOption.WRITE)) {
                store.force(part);
            }
        }

        /** Checks once more: other parts, or the end of the upload, may have come while this one was read. */
        private synchronized void record(String id, String upload, long bytes) throws IOException {
            long room = room(upload);
            if (bytes > room)
                throw tooLarge(room);
            if (bytes == 0)
                throw Refusal.invalid("data", "invalid_value", "Invalid 'data': the part is empty.");
            store.execute("INSERT INTO upload_part VALUES (?, ?, ?)", id, upload, bytes);
        }

        /**
         * Makes the file of an upload. The same request once more has the same answer: a client that did not hear the
         * first one repeats it by itself.
         */
        private ObjectNode complete(String id, Set<String> partIds, String md5, String digest) throws IOException {
            claim(id);
            try {
                Upload upload = find(id);
                if (digest.equals(upload.completion))
                    return upload.json;
                pending(id, "complete");
                checkParts(upload, partIds);
                return complete(upload, partIds, md5, digest);
            } finally {
                claimed.remove(id);
            }
        }

        private void claim(String id) {
            if (!claimed.add(id))
                throw new Refusal(409, "Upload '" + id + "' is being completed or cancelled.", "upload_id", null);
        }

        private void checkParts(Upload upload, Set<String> partIds) {
            Map<String, Long> parts = parts(upload.id());
            long bytes = 0;
            int index = 0;
            for (String id : partIds) {
                if (!parts.containsKey(id))
                    throw Refusal.invalid("part_ids[" + index + "]", "invalid_value",
                        "No such part of this upload: '" + id + "'.");
                bytes += parts.get(id);
                index++;
            }
            if (bytes != upload.bytes())
                throw Refusal.invalid("part_ids", "invalid_value", "The parts have " + bytes
                    + " bytes, but the upload was created for " + upload.bytes() + ".");
        }

        private ObjectNode complete(Upload upload, Set<String> partIds, String md5, String digest) throws IOException {
            Path whole = store.uploads().resolve(upload.fileId());
            try {
                join(partIds, whole);
                if (md5 != null && !md5.equals(md5(whole)))
                    throw Refusal.invalid("md5", "invalid_value", "The parts have another MD5 checksum than '"
                        + md5 + "'.");
                Api.checkFormat(whole, upload.purpose());
                return publish(upload, whole, digest);
            } finally {
                Files.deleteIfExists(whole);
            }
        }

        private void join(Set<String> partIds, Path whole) throws IOException {
            try (FileChannel out = FileChannel.open(whole, StandardOpenOption.CREATE,
                StandardOpenOption.TRUNCATE_EXISTING, StandardOpenOption.WRITE)) {
                for (String id : partIds)
                    append(folder.resolve(id), out);
                store.force(out);
            }
        }

        private static void append(Path part, FileChannel out) throws IOException {
            try (FileChannel in = FileChannel.open(part)) {
                for (long done = 0; done < in.size(); )
                    done += in.transferTo(done, in.size() - done, out);
            }
        }

        private static String md5(Path path) throws IOException {
            try (InputStream in = Files.newInputStream(path)) {
                MessageDigest digest = MessageDigest.getInstance("MD5");
                byte[] buffer = new byte[64 * 1024];
                for (int read; (read = in.read(buffer)) >= 0; )
                    digest.update(buffer, 0, read);
                return HexFormat.of().formatHex(digest.digest());
            } catch (NoSuchAlgorithmException impossible) {   // every Java platform has MD5
                throw new AssertionError(impossible);
            }
        }

        /** Gives a file to the upload; after a crash there is either no file and a pending upload, or both are done. */
        private synchronized ObjectNode publish(Upload upload, Path whole, String digest) throws IOException {
            ObjectNode file = store.fileObject(upload.fileId(), Files.size(whole),
                upload.json.get("filename").textValue(), upload.purpose(), upload.fileSeconds);
            upload.json.put("status", "completed").set("file", file);
            Files.move(whole, store.file(upload.fileId()), StandardCopyOption.ATOMIC_MOVE);
            store.force(store.file(upload.fileId()));    // its new name too
            forgetParts(upload.id(), () -> {
                store.insertFile(file);
                store.execute("UPDATE upload SET status = 'completed', completion = ?, json = ? WHERE id = ?", digest,
                    upload.json.toString(), upload.id());
            });
            return upload.json;
        }

        /** Forgets the parts of an upload in one transaction with its new status, and then deletes them. */
        private void forgetParts(String upload, Runnable newStatus) throws IOException {
            Set<String> parts = parts(upload).keySet();
            store.atomically(() -> {
                newStatus.run();
                store.execute("DELETE FROM upload_part WHERE upload = ?", upload);
            });
            for (String id : parts)
                Files.deleteIfExists(folder.resolve(id));
        }

        private ObjectNode cancel(String id) throws IOException {
            claim(id);
            try {
                Upload upload = find(id);
                if (upload.status(store.now()).equals("cancelled"))
                    return upload.json;
                return end(pending(id, "cancel"), "cancelled");
            } finally {
                claimed.remove(id);
            }
        }

        private synchronized ObjectNode end(Upload upload, String status) throws IOException {
            upload.json.put("status", status);
            forgetParts(upload.id(), () -> store.execute("UPDATE upload SET status = ?, json = ? WHERE id = ?", status,
                upload.json.toString(), upload.id()));
            Files.deleteIfExists(store.file(upload.fileId()));
            return upload.json;
        }

        private synchronized void endOverdue() throws IOException {
            for (Upload upload : select("status = 'pending' AND expires_at <= ?", store.now()))
                if (claimed.add(upload.id()))
                    try {
                        end(upload, "expired");
                    } finally {
                        claimed.remove(upload.id());
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
            return call.method().equals("GET") && call.path.equals("/");
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
            JsonNode line = parsed(bytes);
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
        private static final String HAS_BOM =
            "The file starts with a byte order mark (BOM); save it as UTF-8 without one.";
        private static final int MAX_INPUTS = 50_000;   // https://platform.openai.com/docs/api-reference/batch/create
        private static final byte[] BOM = {(byte) 0xEF, (byte) 0xBB, (byte) 0xBF};
        private static final Map<String, String> CONTENT = Map.of("/v1/chat/completions", "messages",
            "/v1/completions", "prompt", "/v1/embeddings", "input", "/v1/responses", "input");

        private final String endpoint;
        private final Options options;
        private final Script script;
        private final List<BatchError> faults = new ArrayList<>();
        private final Set<UUID> customIds = new HashSet<>();   // digests, because ids may be of any length
        private String firstModel;                             // null before the first request
        private boolean mixed;
        private int total;
        private long inputs;                                   // to embed
        private long tokens;                                   // of all prompts, if a queue counts them

        private Validation(String endpoint, Options options, Script script) {
            this.endpoint = endpoint;
            this.options = options;
            this.script = script;
        }

        private static Validation of(Path input, String endpoint, Options options, Script script) throws IOException {
            Validation validation = new Validation(endpoint, options, script);
            try (Lines lines = new Lines(input, Lines.MAX_BYTES)) {
                validation.readAll(lines, options.maxRequests());
            }
            validation.faults.replaceAll(options.dialect::fault);
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
            if (inputs > MAX_INPUTS)
                faults.add(BatchError.of("too_many_tasks", null,
                    "The input file has more than " + MAX_INPUTS + " inputs to embed."));
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
                return BatchError.notJson(HAS_BOM);
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
                JsonNode request = parsed(line);
                return request.isObject() ? requestFault(request)
                    : BatchError.notJson("This line is not a JSON object.");
            } catch (IOException notJson) {
                return BatchError.notJson("This line is not parseable as valid JSON.");
            }
        }

        private BatchError requestFault(JsonNode request) {
            for (String param : options.dialect.lineParams())
                if (!request.hasNonNull(param) || "".equals(request.get(param).textValue()))
                    return BatchError.missing(param);
            JsonNode customId = request.get("custom_id");
            String method = request.path("method").asText("POST");
            if (!customId.isTextual())
                return BatchError.of("invalid_type", "custom_id",
                    BatchError.wrongType("custom_id", "a string", customId));
            if (!customIds.add(UUID.nameUUIDFromBytes(Call.bytes(customId))))
                return BatchError.of("duplicate_custom_id", "custom_id",
                    "The custom_id " + quoted(customId.textValue()) + " is used by another request of this file.");
            if (!method.equals("POST"))
                return BatchError.of("invalid_value", "method",
                    "Invalid value: '" + method + "'. Supported values are: 'POST'.");
            if (!request.path("url").asText(endpoint).equals(endpoint))
                return BatchError.of("invalid_url", "url",
                    "The URL provided for this request does not match the batch endpoint.");
            return bodyFault(request.get("body"));
        }

        private BatchError bodyFault(JsonNode body) {
            String content = CONTENT.get(Api.canonical(endpoint));
            if (!body.isObject())
                return BatchError.of("invalid_type", "body", BatchError.wrongType("body", "an object", body));
            if (body.path("model").asText("").isEmpty())
                return BatchError.invalid("body.model", "Model parameter is required.");
            if (!body.hasNonNull(content))
                return BatchError.invalid("body." + content, capitalized(content) + " parameter is required.");
            if (body.path("stream").asBoolean())
                return BatchError.of("streaming_unsupported", "body.stream", (content.equals("messages")
                    ? "Chat Completions: " : "") + "Streaming is not supported in the Batch API.");
            if (endpoint.endsWith("/embeddings"))
                inputs += body.get(content).path(0).isNumber() ? 1 : Math.max(1, body.get(content).size());
            if (script.queue.tokens() < Long.MAX_VALUE)
                tokens += Echo.words(Echo.text(body.get(content)));
            return modelFault(body.get("model").asText());
        }

        private BatchError modelFault(String model) {
            if (!script.models.isEmpty() && !script.models.contains(model))
                return BatchError.of("model_not_found", "body.model",
                    "The provided model " + quoted(model) + " is not supported by the Batch API.");
            if (firstModel == null)
                firstModel = model;
            mixed |= !model.equals(firstModel);
            if (!options.mixesModels() && !model.equals(firstModel))
                return BatchError.of("mismatched_model", "body.model", "The model " + quoted(model) + " is not "
                    + quoted(firstModel) + ", which the first request names; all requests of a batch must have one"
                    + " model.");
            return null;
        }

        private static String capitalized(String word) {
            return word.substring(0, 1).toUpperCase(Locale.ROOT) + word.substring(1);
        }

        /** Returns the model of every request, or null if they differ. */
        private String model() {
            return mixed ? null : firstModel;
        }
    }

    // ---- Runner: batches at work ----

    /** Runs batches: a thread leads each one, and together they have no more requests at the engine than allowed. */
    private static final class Runner {
        private static final int MAX_ACTIVE = 256;
        private static final int VALIDATIONS = 2;       // at once: each holds the custom ids of its file
        private static final Duration LAST_WORDS = Duration.ofSeconds(1);

        private final Map<String, ActiveBatch> active = new ConcurrentHashMap<>();
        private final ExecutorService leaders = Executors.newCachedThreadPool(daemon("sheaf-batch"));
        private final ExecutorService workers;
        private final Semaphore validations = new Semaphore(VALIDATIONS, true);
        private final Map<String, Long> queued = new ConcurrentHashMap<>();   // tokens by batch, if a queue counts them
        private final Options options;
        private final Store store;
        private final Engine engine;
        private final Script script;
        private int free;                                // turns that nobody has taken
        private boolean paused;
        private volatile boolean closing;
        private volatile Duration window;                // null unless a test sets it

        private Runner(Options options, Store store, Engine engine, Script script) {
            this.options = options;
            this.store = store;
            this.engine = engine;
            this.script = script;
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
            for (ObjectNode batch : store.unfinishedBatches()) {
                ActiveBatch unfinished =
                    new ActiveBatch(this, batch, deadline(batch.get("expires_at").longValue() * 1000));
                unfinished.recount();
                lead(unfinished);
            }
        }

        private void lead(ActiveBatch batch) {
            active.put(batch.id(), batch);
            leaders.execute(() -> {
                try {
                    batch.lead();
                } finally {
                    queued.remove(batch.id());
                    active.remove(batch.id());
                }
            });
        }

        private synchronized ObjectNode create(ObjectNode asked, String key, byte[] body, Consumer<String> checkInput)
            throws IOException {
            String digest = UUID.nameUUIDFromBytes(body).toString();
            Optional<Store.Intent> earlier = store.intent(key);
            if (earlier.isPresent())
                return find(earlier.get().batch(digest));
            if (active.size() >= MAX_ACTIVE)
                throw Refusal.busy("Too many batches in progress: at most " + MAX_ACTIVE + ".");
            checkInput.accept(asked.get("input_file_id").textValue());
            String id = options.dialect.newBatchId();
            if (script.queue.refuses())
                refuseOverQueue(id, asked.get("input_file_id").textValue(), asked.get("endpoint").textValue());
            Duration left = window != null ? window : Dialect.window(asked.get("completion_window").textValue());
            ObjectNode batch = ActiveBatch.object(id, asked, store.now(), left);
            store.insertBatch(batch, key, digest);
            lead(new ActiveBatch(this, batch, deadline(store.millis() + left.toMillis())));
            return batch;
        }

        private long deadline(long millis) {
            return options.dialect.expires() ? millis : Long.MAX_VALUE;
        }

        private void refuseOverQueue(String batch, String file, String endpoint) throws IOException {
            if (store.find("file", file).isEmpty())
                return;
            Validation validation = Validation.of(store.file(file), endpoint, options, script);
            if (!enqueue(batch, validation.tokens))
                throw Refusal.invalid(null, "token_limit_exceeded", script.queue.message(validation.firstModel));
        }

        /** Returns whether the queue has room for a batch, and takes it. */
        private synchronized boolean enqueue(String batch, long tokens) {
            long before = queued.entrySet().stream().filter(other -> !other.getKey().equals(batch))
                .mapToLong(Map.Entry::getValue).sum();
            if (before + tokens > script.queue.tokens())
                return false;
            queued.put(batch, tokens);
            return true;
        }

        /** Waits as long as a test keeps batches in the status that this one has. */
        private synchronized void stay(ActiveBatch batch) throws InterruptedException {
            while (!closing && batch.is(String.valueOf(script.stay)))
                wait();
            if (closing)
                throw new InterruptedException();
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
            while (!closing && batch.isOpen() && (paused || free == 0))
                wait(batch.millisLeft());
            if (closing)
                throw new InterruptedException();
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

        /** Starts no further request, and lets those under way have a moment: their answers may be paid for. */
        private void close() {
            closing = true;
            wake();
            leaders.shutdown();
            await(leaders);
            stop(leaders);
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
        private FileChannel output;                      // opened and closed by the leader alone
        private FileChannel errors;                      // the same
        private int running;
        private boolean expired;
        private Exception broken;                        // why no line can be written any more

        private ActiveBatch(Runner runner, ObjectNode state, long deadline) {
            this.runner = runner;
            this.state = state.deepCopy();
            this.deadline = deadline;
        }

        /** Returns the batch object at its creation. */
        private static ObjectNode object(String id, ObjectNode asked, long now, Duration window) {
            ObjectNode batch = BatchServer.object().put("id", id).put("object", "batch");
            batch.set("endpoint", asked.get("endpoint"));
            batch.putNull("model").putNull("errors");
            batch.set("input_file_id", asked.get("input_file_id"));
            batch.set("completion_window", asked.get("completion_window"));
            batch.put("status", "validating").putNull("output_file_id").putNull("error_file_id");
            batch.put("created_at", now);
            LATER.forEach(status -> batch.putNull(status + "_at"));
            batch.put("expires_at", now + window.toSeconds());
            batch.putObject("request_counts").put("total", 0).put("completed", 0).put("failed", 0);
            batch.putNull("usage").set("metadata", asked.get("metadata"));
            if (asked.hasNonNull("output_expires_after"))
                batch.set("output_expires_after", asked.get("output_expires_after"));
            return batch;
        }

        private void lead() {
            try {
                while (!runner.closing) {
                    if (tryWork()) {
                        runner.store.deleteUnused(text("input_file_id"));
                        return;
                    }
                    Thread.sleep(Store.PAUSE.toMillis());
                }
            } catch (InterruptedException closing) {
                Thread.currentThread().interrupt();
            } catch (UncheckedIOException e) {   // the next start deletes it
                complain(e);
            }
        }

        /** Goes on where the files end, and returns whether the batch is over: a store that fails does not end it. */
        private boolean tryWork() throws InterruptedException {
            try {
                work();
                return true;
            } catch (IOException | UncheckedIOException e) {
                complain(e);
                return false;
            } finally {
                awaitLastWords();
                closeFiles();
            }
        }

        private void work() throws IOException, InterruptedException {
            try {
                if (count("total") == 0 && !admitted())
                    return;
                if (output == null)
                    openFiles();
                runLines();
                finish();
            } catch (UncheckedIOException e) {
                throw e;
            } catch (NoSuchFileException e) {
                breakDown("a file of the batch is gone");
            } catch (JsonProcessingException | RuntimeException | AssertionError e) {
                breakDown(e.toString());         // nobody above could tell the batch's owner
            }
        }

        private void complain(Exception e) {
            if (!runner.closing)
                runner.store.complain(e);
        }

        /** Counts what an earlier server has done, before anybody can ask. */
        private void recount() {
            try {
                if (count("total") > 0)
                    openFiles();
            } catch (IOException e) {        // the leader tries it again
                closeFiles();
                complain(e);
            }
        }

        private boolean admitted() throws IOException, InterruptedException {
            runner.stay(this);
            Optional<ObjectNode> input = runner.store.find("file", text("input_file_id"));
            if (input.isEmpty() || !Dialect.isBatch(input.get().path("purpose").asText())) {
                fail(List.of(noInputFile()));
                return false;
            }
            runner.validations.acquire();
            try {
                return admit(Validation.of(input(), text("endpoint"), runner.options, runner.script));
            } finally {
                runner.validations.release();
            }
        }

        private Dialect dialect() {
            return runner.options.dialect;
        }

        private BatchError noInputFile() {
            return BatchError.invalid("file_id", "Cannot find file " + text("input_file_id")
                + ", or the organization does not have access to it.");
        }

        private boolean admit(Validation validation) {
            List<BatchError> faults = validation.faults;
            if (!dialect().windows().contains(text("completion_window")))
                faults.add(BatchError.invalid("completion_window", "The completion window must be one of "
                    + dialect().windows() + "."));
            if (faults.isEmpty() && !runner.enqueue(id(), validation.tokens))
                faults.add(BatchError.of("token_limit_exceeded", null,
                    runner.script.queue.message(validation.firstModel)));
            if (faults.isEmpty())
                change(() -> begin(validation));
            else
                fail(faults);
            return faults.isEmpty();
        }

        private void begin(Validation validation) {
            counts().put("total", validation.total);
            state.put("model", validation.model());
            if (is("validating"))
                enter("in_progress");
        }

        private Path input() {
            return runner.store.file(text("input_file_id"));
        }

        private synchronized void openFiles() throws IOException {
            broken = null;
            finished.clear();
            counts().put("completed", 0).put("failed", 0);
            state.putNull("usage");
            output = reopened(path("output"));
            errors = reopened(path("error"));
        }

        private Path path(String kind) {
            return runner.store.file(fileId(kind));
        }

        private String fileId(String kind) {
            return fileId(id(), kind);
        }

        private static String fileId(String batchId, String kind) {
            return batchId.startsWith("batch_") ? batchId.replaceFirst("batch_", "file-" + kind + "-")
                : batchId + "-" + kind;
        }

        /** Returns the names of the files that a batch needs until it is over. */
        private static List<String> files(ObjectNode batch) {
            String id = batch.get("id").textValue();
            return List.of(batch.get("input_file_id").textValue(), fileId(id, "output"), fileId(id, "error"));
        }

        /** Opens an output or error file behind its last whole line, and takes note of the lines that it has. */
        private FileChannel reopened(Path path) throws IOException {
            FileChannel file = FileChannel.open(path, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
            long whole = 0;
            try (Lines lines = new Lines(path, Integer.MAX_VALUE - 1)) {
                for (byte[] line; (line = lines.next()) != null && lines.terminated && isRecord(line); ) {
                    tally(parsed(line));
                    whole = lines.offset;
                }
                return file.truncate(whole).position(whole);
            } catch (IOException | RuntimeException e) {
                file.close();
                throw e;
            }
        }

        /** A power cut may leave zeros where a line was to be. */
        private static boolean isRecord(byte[] line) throws IOException {
            try {
                return parsed(line).path("id").asText().matches("(?s).*_\\d{1,9}");
            } catch (JsonProcessingException neverWritten) {
                return false;
            }
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
                write(line, unanswered());
            }
        }

        private Answer unanswered() {
            return is("cancelling") ? CANCELLED : EXPIRED;
        }

        private void answer(Line line) {
            try {
                Answer answer = asked(line);
                if (answer != null || !runner.closing)    // else it runs after the next start
                    write(line, answer != null ? answer : unanswered());
            } catch (InterruptedException closing) {
                Thread.currentThread().interrupt();
            } catch (IOException | RuntimeException e) {   // of any kind: a request must not vanish
                breakOff(e);
            } catch (OutOfMemoryError e) {                 // which passes, as a full disk does
                breakOff(new IOException(e));
            } finally {
                runner.returnTurn();
                ended();
            }
        }

        /** Returns null if the answer is not wanted any more. What breaks over a request is that request's error. */
        private Answer asked(Line line) throws InterruptedException {
            try {
                return runner.engine.answer(Api.canonical(text("endpoint")), line.body,
                    () -> !runner.closing && isOpen());
            } catch (RuntimeException | StackOverflowError e) {
                return Answer.none("engine_error", "The engine could not be asked: " + e + ".");
            }
        }

        private void write(Line line, Answer answer) throws IOException, InterruptedException {
            String id = id().replaceFirst("batch_", "batch_req_") + "_" + line.number;
            Answer kept = answer;
            ByteBuffer bytes;
            try {
                bytes = line(answer.line(id, line.customId));
            } catch (UncheckedIOException e) {            // JSON that can be read, but not written
                kept = Answer.none("bad_engine_answer", "The engine's answer is nested too deep.");
                bytes = line(kept.line(id, line.customId));
            }
            append(bytes, kept.line(id, line.customId), kept.succeeded());
        }

        private static ByteBuffer line(JsonNode json) {
            byte[] bytes = Call.bytes(json);
            return ByteBuffer.wrap(Arrays.copyOf(bytes, bytes.length + 1)).put(bytes.length, (byte) '\n');
        }

        /** Appends a line whole, when the disk has room for it: its answer may be paid for. */
        private synchronized void append(ByteBuffer line, ObjectNode written, boolean succeeded)
                throws IOException, InterruptedException {
            FileChannel file = succeeded ? output : errors;
            checkUnbroken();
            while (!tryAppend(line, file)) {
                wait(Store.PAUSE.toMillis());
                checkUnbroken();
            }
            tally(written);
        }

        private void checkUnbroken() throws IOException {
            if (broken instanceof IOException disk)
                throw disk;
            if (broken != null)
                throw new IllegalStateException(broken);
        }

        private boolean tryAppend(ByteBuffer line, FileChannel file) throws IOException {
            long end = file.position();
            try {
                while (line.hasRemaining())
                    file.write(line);
                return true;
            } catch (ClosedChannelException closing) {
                throw closing;
            } catch (IOException e) {
                complain(e);
                line.rewind();
                file.truncate(end);
                return false;
            }
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

        private synchronized void breakOff(Exception e) {
            broken = e;
        }

        /** Waits for the answers under way, unless the server is closing and out of patience. */
        private synchronized void awaitLastWords() {
            try {
                while (running > 0)
                    wait();
            } catch (InterruptedException closing) {
                Thread.currentThread().interrupt();
            }
        }

        private synchronized void awaitRunning() throws IOException, InterruptedException {
            while (running > 0)
                wait();
            checkUnbroken();
            if (finished.cardinality() != count("total"))
                throw new IllegalStateException("answers were lost");
        }

        private void finish() throws IOException, InterruptedException {
            runner.stay(this);
            runner.store.force(output);
            runner.store.force(errors);
            change(this::beginEnd);
            runner.stay(this);
            List<ObjectNode> files = new ArrayList<>();
            String outputId = publish("output", files);
            String errorId = publish("error", files);
            runner.queued.remove(id());
            change(() -> end(outputId, errorId), files);
        }

        private void beginEnd() {
            if (!is("cancelling") && !expired)
                enter("finalizing");
        }

        private void end(String outputId, String errorId) {
            state.put("output_file_id", outputId).put("error_file_id", errorId);
            enter(is("cancelling") ? "cancelled" : expired ? "expired" : "completed");
        }

        /** Adds an output or error file to those that there are now, and returns its id, or null if it has no lines. */
        private String publish(String kind, List<ObjectNode> files) throws IOException {
            if (dialect().changesLines() || runner.script.rewrite != null)
                rewrite(path(kind));
            else
                Files.deleteIfExists(Store.shown(path(kind)));   // of a server that spoke another dialect
            Path shown = runner.store.content(fileId(kind));
            if (Files.size(shown) == 0 && !(kind.equals("error") && dialect().hasEmptyErrorFile())) {
                runner.store.deleteContent(fileId(kind));
                return null;
            }
            long seconds = view().at("/output_expires_after/seconds").asLong(Store.BATCH_FILE_SECONDS);
            files.add(runner.store.fileObject(fileId(kind), Files.size(shown), id() + "_" + kind + ".jsonl",
                "batch_output", seconds));
            return fileId(kind);
        }

        /** Fails the batch for a reason of our own, with the answers that there are: they may be paid for. */
        private void breakDown(String reason) throws IOException {
            if (runner.closing)
                return;
            List<ObjectNode> files = new ArrayList<>();
            for (String kind : List.of("output", "error")) {
                Files.deleteIfExists(Store.shown(path(kind)));
                if (Files.exists(path(kind)) && Files.size(path(kind)) > 0)
                    files.add(runner.store.fileObject(fileId(kind), Files.size(path(kind)),
                        id() + "_" + kind + ".jsonl", "batch_output", Store.BATCH_FILE_SECONDS));
            }
            fail(List.of(BatchError.of("server_error", null, "The server could not go on: " + reason + ".")), files);
        }

        /** Writes what clients shall see of an output or error file beside it, which stays the record of what ran. */
        private void rewrite(Path record) throws IOException {
            try (Lines lines = new Lines(record, Integer.MAX_VALUE - 1);
                FileChannel file = FileChannel.open(Store.shown(record), StandardOpenOption.CREATE,
                    StandardOpenOption.TRUNCATE_EXISTING, StandardOpenOption.WRITE);
                Writer out = new BufferedWriter(Channels.newWriter(file, UTF_8))) {
                List<ObjectNode> all = new ArrayList<>();    // stays empty unless a test wants to see all lines at once
                for (byte[] line; (line = lines.next()) != null; )
                    if (runner.script.rewrite == null)
                        out.append(shown((ObjectNode) parsed(line))).append('\n');
                    else
                        all.add((ObjectNode) parsed(line));
                for (String line : runner.script.rewritten(inOrder(all)))
                    out.append(line).append('\n');
                out.flush();
                runner.store.force(file);
            }
        }

        private List<String> inOrder(List<ObjectNode> lines) {
            return lines.stream().sorted(Comparator.comparingInt(ActiveBatch::lineOf)).map(this::shown).toList();
        }

        private String shown(ObjectNode line) {
            return dialect().line(line).toString();
        }

        private void fail(List<BatchError> faults) {
            fail(faults, List.of());
        }

        private synchronized void fail(List<BatchError> faults, List<ObjectNode> files) {
            ObjectNode errors = BatchServer.object().put("object", "list");
            faults.forEach(fault -> errors.withArray("data").add(fault.json()));
            boolean cancelled = is("cancelling");        // which comes first
            boolean ran = count("total") > 0;
            change(() -> {
                state.set("errors", cancelled && !ran ? null : errors);
                for (ObjectNode file : files)
                    state.set(file.get("id").textValue().contains("output") ? "output_file_id" : "error_file_id",
                        file.get("id"));
                enter(cancelled ? "cancelled" : "failed");
            }, files);
        }

        private synchronized ObjectNode cancel() {
            if (is("validating") || is("in_progress"))
                change(() -> enter("cancelling"));
            return view();
        }

        private void change(Runnable change) {
            change(change, List.of());
        }

        /** Changes what clients see, together with the files that come with it, or nothing if it cannot be stored. */
        private synchronized void change(Runnable change, List<ObjectNode> files) {
            ObjectNode before = view();
            try {
                change.run();
                runner.store.updateBatch(state, files);
            } catch (RuntimeException e) {
                state.setAll(before);
                throw e;
            }
        }

        private void enter(String status) {
            state.put("status", status);
            if (state.get(status + "_at").isNull())
                state.put(status + "_at", runner.store.now());
        }

        private synchronized boolean isOpen() {
            return broken == null && is("in_progress") && runner.store.millis() < deadline;
        }

        private long millisLeft() {
            return Math.max(1, deadline - runner.store.millis());
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
        /** Returns the answer to a client that waits for it, and soon if the engine is down. */
        Answer answer(String endpoint, JsonNode body) throws InterruptedException;

        /**
         * Returns the answer to a batch's request. An engine that is down or overloaded is waited for; null if the
         * answer is not wanted any more before there is one.
         */
        default Answer answer(String endpoint, JsonNode body, BooleanSupplier wanted) throws InterruptedException {
            return answer(endpoint, body);
        }

        Answer models() throws InterruptedException;

        /** Returns which engine it is and what one quick look at it shows, for whoever starts the server. */
        String state() throws InterruptedException;
    }

    /**
     * What an engine said to a request. If the status is 0, there was no HTTP answer: code and message say why, or the
     * body is empty because nobody knows.
     */
    private record Answer(int status, JsonNode body, String code, String message, long retryAfterMillis) {
        private Answer(int status, JsonNode body, String code, String message) {
            this(status, body, code, message, -1);
        }

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
            if (status == 0 && body != null)
                line.putNull("error").putObject("response").put("status_code", 0).put("request_id", "")
                    .set("body", body);
            else if (status == 0)
                line.putNull("response").putObject("error").put("code", code).put("message", message);
            else
                line.putNull("error").putObject("response").put("status_code", status).put("request_id", newId("req_"))
                    .set("body", body);
            return line;
        }
    }

    /** An engine that answers requests to one model by itself, at once and always the same, to rehearse a run. */
    private record DryRun(Engine engine) implements Engine {
        private static final String MODEL = "batch-test-model";   // Alibaba's word for the same

        @Override
        public Answer answer(String endpoint, JsonNode body) throws InterruptedException {
            return isRehearsal(body) ? rehearsed(endpoint, body) : engine.answer(endpoint, body);
        }

        @Override
        public Answer answer(String endpoint, JsonNode body, BooleanSupplier wanted) throws InterruptedException {
            return isRehearsal(body) ? rehearsed(endpoint, body) : engine.answer(endpoint, body, wanted);
        }

        private static boolean isRehearsal(JsonNode body) {
            return body.path("model").asText().equals(MODEL);
        }

        private static Answer rehearsed(String endpoint, JsonNode body) {
            return Answer.ok(Echo.body(endpoint, body, Reply.text("This is a test result.")));
        }

        @Override
        public Answer models() throws InterruptedException {
            return engine.models();
        }

        @Override
        public String state() throws InterruptedException {
            return engine.state();
        }
    }

    /** An engine that needs no model: it says what the user said, or what a test makes it say. */
    private static final class Echo implements Engine {
        private final Script script;
        private volatile Function<JsonNode, Reply> answer;

        private Echo(Script script) {
            this.script = script;
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
            ArrayNode data = models.putArray("data");
            for (String id : script.models.isEmpty() ? List.of(ECHO) : script.models)
                data.addObject().put("id", id).put("object", "model").put("created", 0).put("owned_by", "sheaf");
            return Answer.ok(models);
        }

        @Override
        public Answer answer(String endpoint, JsonNode body) {
            try {
                Reply reply = Options.required("reply", answer.apply(body));
                return reply.error != null ? reply.error : Answer.ok(body(endpoint, body, reply));
            } catch (RuntimeException | AssertionError e) {   // the test's own code; its batch shall show what broke
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
                    .set("embedding", "base64".equals(asked.path("encoding_format").asText())
                        ? packed(vector(text)) : vector(text));
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

        /** Returns a vector as bytes of floats, which OpenAI's clients ask for unless their user says otherwise. */
        private static JsonNode packed(ArrayNode vector) {
            ByteBuffer floats = ByteBuffer.allocate(vector.size() * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
            vector.forEach(number -> floats.putFloat(number.floatValue()));
            return vector.binaryNode(floats.array());
        }

        private static ObjectNode head(String prefix, String kind, String created, JsonNode asked) {
            ObjectNode head = object().put("id", id(prefix, asked)).put("object", kind)
                .put(created, Instant.now().getEpochSecond());
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
            Reply whole = Reply.text(text);
            if (words(text) <= limit)
                return whole;
            String kept = Stream.of(text.strip().split("\\s+")).limit(limit).collect(Collectors.joining(" "));
            return Reply.text(kept).finishReason("length");
        }

        @Override
        public String state() {
            return ECHO + ", which says each question back; --engine puts a model in its place";
        }

        @Override
        public String toString() {
            return ECHO;
        }
    }

    /** An engine behind an OpenAI-compatible URL. */
    private static final class Upstream implements Engine {
        private static final Duration GLANCE = Duration.ofSeconds(3);      // at an engine, when the server starts
        private static final Duration LISTING = Duration.ofSeconds(30);    // of its models, with all tries
        private static final int FEW_TRIES = 3;
        private static final long CLIENTS_PATIENCE = 5_000;                // milliseconds; it can wait and try itself
        private static final Pattern NUMBER = Pattern.compile("\\d{1,9}(\\.\\d{1,9})?");
        private static final List<String> LIMITS = List.of("max_completion_tokens", "max_tokens");   // new, old
        private static final Pattern REFUSED_LIMIT = Pattern.compile("(?is)max_(completion_)?tokens.*(not supported"
            + "|unsupported|same time|both|instead|not permitted|forbidden|not allowed|unrecognized|unknown|unexpected"
            + ")");

        /** What stands in the way of an answer. */
        private enum Fault {
            NONE,           // nothing, or the request itself
            PASSING,        // something that a few more tries may get over
            SLOW,           // it took too long, and would again
            DOWN,           // the engine is not there: no request can be blamed for that
            OVERLOADED;     // it is, but takes no more at the moment, or still loads its model

            private static Fault of(int status) {
                return switch (status) {
                    case 429, 503, 529 -> OVERLOADED;
                    case 408, 409, 500, 502, 504 -> PASSING;
                    default -> NONE;
                };
            }

            private boolean isUnavailable() {
                return this == DOWN || this == OVERLOADED;
            }
        }

        /** One try, and how long the engine asks to wait before the next; -1 if it does not say. */
        private record Try(Answer answer, Fault fault, long retryAfterMillis) {
            private static final long FIRST_PAUSE = 200;              // milliseconds; doubles with each try
            private static final long LONGEST_PAUSE = 10_000;
            private static final long LONGEST_ASKED = 120_000;        // that the engine asks for: as OpenAI's clients

            private long pause(int tries) {
                long growing = Math.min(LONGEST_PAUSE, FIRST_PAUSE << Math.min(tries - 1, 10));
                long asked = Math.min(LONGEST_ASKED, Math.max(FIRST_PAUSE, retryAfterMillis));
                long base = retryAfterMillis < 0 ? growing : asked;
                return base + ThreadLocalRandom.current().nextLong(base / 4);   // so that not all come back at once
            }
        }

        private final HttpClient http = HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)        // small servers stumble over an upgrade to HTTP/2
            .connectTimeout(Duration.ofSeconds(10)).build();
        private final String base;
        private final Options options;
        private final Gate gate;
        private volatile String onlyLimit;               // null as long as the engine takes both words
        private boolean away;

        private Upstream(Options options) {
            this.base = options.engine.replaceFirst("/+$", "");
            this.options = options;
            this.gate = new Gate(options.concurrency);
        }

        @Override
        public Answer models() throws InterruptedException {
            Answer models = ask(request("/models").GET().build(), LISTING);
            if (models.succeeded() && models.body.path("data") instanceof ArrayNode data)
                options.models.forEach((name, engineName) -> alias(data, name, engineName));
            return models;
        }

        /** Lists a model under our name for it too, with what the engine says about it. */
        private static void alias(ArrayNode models, String name, String engineName) {
            for (JsonNode model : models)
                if (model.path("id").asText().equals(name))
                    return;
            ObjectNode unlisted = object().put("id", engineName).put("object", "model").put("created", 0)
                .put("owned_by", "engine");
            JsonNode known = models.valueStream().filter(model -> model.path("id").asText().equals(engineName))
                .findFirst().orElse(unlisted);
            models.add(((ObjectNode) known.deepCopy()).put("id", name));
        }

        @Override
        public Answer answer(String endpoint, JsonNode body) throws InterruptedException {
            long began = System.nanoTime();
            if (!gate.enter(() -> millisSince(began) < options.timeout.toMillis()))
                return Answer.error(429, "rate_limit_exceeded", "The engine is busy with other requests.");
            Answer answer = null;
            try {
                String saidWith;
                do {
                    saidWith = onlyLimit;
                    answer = ask(post(endpoint, body), options.timeout.minusMillis(millisSince(began)));
                } while (refusesLimit(body, saidWith, answer));
                return answer;
            } finally {
                gate.leave(began, answer != null && answer.succeeded() ? Fault.NONE : Fault.PASSING);
            }
        }

        @Override
        public Answer answer(String endpoint, JsonNode body, BooleanSupplier wanted) throws InterruptedException {
            long left = options.timeout.toMillis();              // without the time at the gate
            int few = 0;
            for (int tries = 1; gate.enter(wanted); tries++) {
                long began = System.nanoTime();
                String saidWith = onlyLimit;
                Try last = passGate(post(endpoint, body), left, began);
                if (refusesLimit(body, saidWith, last.answer))
                    continue;
                long pause = last.pause(tries);
                left -= millisSince(began) + pause;
                boolean again = last.fault.isUnavailable() || last.fault == Fault.PASSING && ++few < FEW_TRIES;
                if (!again || left <= 0)
                    return last.answer;
                sleep(pause, wanted);
            }
            return null;
        }

        private Try passGate(HttpRequest request, long millis, long began) throws InterruptedException {
            Fault fault = Fault.DOWN;
            try {
                Try made = send(request, millis);
                fault = made.fault;
                tell(fault == Fault.DOWN, made.answer.message);
                return made;
            } finally {
                gate.leave(began, fault);
            }
        }

        /** Says on stderr that the engine has gone or is back, once each. */
        private synchronized void tell(boolean away, String message) {
            if (this.away != away)
                System.err.println("engine: " + base + (away ? " " + message.replaceAll("^The engine |\\.$", "")
                    + "; its requests wait for it" : " answers again"));
            this.away = away;
        }

        private static void sleep(long millis, BooleanSupplier wanted) throws InterruptedException {
            long began = System.nanoTime();
            for (long left; wanted.getAsBoolean() && (left = millis - millisSince(began)) > 0; )
                Thread.sleep(Math.min(left, Gate.BLINK));
        }

        private static long millisSince(long nanoTime) {
            return (System.nanoTime() - nanoTime) / 1_000_000;
        }

        private HttpRequest post(String endpoint, JsonNode body) {
            byte[] sent = Call.bytes(withLimits(withEngineName(body)));
            return request(endpoint.substring("/v1".length())).header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofByteArray(sent)).build();
        }

        private HttpRequest.Builder request(String path) {
            HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(base + path));
            return options.engineKey == null ? request : request.header("Authorization", "Bearer " + options.engineKey);
        }

        private JsonNode withEngineName(JsonNode body) {
            String engineName = options.models.get(body.path("model").asText());
            return engineName == null ? body : ((ObjectNode) body.deepCopy()).put("model", engineName);
        }

        /** Says the limit of a chat completion in both of its words, unless the engine has refused that. */
        private JsonNode withLimits(JsonNode body) {
            boolean newWord = body.hasNonNull(LIMITS.get(0));
            JsonNode limit = body.path(newWord ? LIMITS.get(0) : LIMITS.get(1));
            if (!limit.isNumber() || !body.has("messages") || body.has(LIMITS.get(0)) && body.has(LIMITS.get(1)))
                return body;
            ObjectNode said = body.deepCopy();
            if (onlyLimit == null)
                LIMITS.forEach(word -> said.set(word, limit));
            else
                said.<ObjectNode>without(LIMITS).set(onlyLimit, limit);
            return said;
        }

        /**
         * Returns whether an engine has just refused one of the two words, and takes note of the other. OpenAI refuses
         * both at once, its newer models the older one, and strict engines the newer one.
         */
        private synchronized boolean refusesLimit(JsonNode asked, String saidWith, Answer answer) {
            String message = answer.status == 400 || answer.status == 422 ? answer.body.toString() : "";
            if (!asked.has("messages") || LIMITS.stream().noneMatch(asked::hasNonNull)
                || !REFUSED_LIMIT.matcher(message).find() || LIMITS.get(1).equals(saidWith))
                return false;
            if (Objects.equals(onlyLimit, saidWith))         // else another request has found out
                onlyLimit = saidWith == null ? LIMITS.get(0) : LIMITS.get(1);
            return true;
        }

        /** Asks for a client that waits: a few times, and no longer than it takes the client to ask again itself. */
        private Answer ask(HttpRequest request, Duration timeout) throws InterruptedException {
            long began = System.nanoTime();
            for (int tries = 1; ; tries++) {
                Try last = send(request, timeout.toMillis() - millisSince(began));
                long pause = last.pause(tries);
                if (last.fault == Fault.NONE || last.fault == Fault.SLOW || tries == FEW_TRIES
                    || pause > CLIENTS_PATIENCE || pause >= timeout.toMillis() - millisSince(began))
                    return last.answer;
                Thread.sleep(pause);
            }
        }

        private Try send(HttpRequest request, long millis) throws InterruptedException {
            CompletableFuture<HttpResponse<byte[]>> sent = http.sendAsync(request, answer -> new Bounded());
            try {
                return read(sent.get(millis, MILLISECONDS));
            } catch (TimeoutException e) {
                return failed("request_timeout", "The engine did not answer within " + brief(options.timeout) + ".",
                    Fault.SLOW);
            } catch (ExecutionException e) {
                return failed(e.getCause());
            } finally {
                sent.cancel(true);
            }
        }

        /** Returns a time as people write it, such as {@code 1m30s}. */
        private static String brief(Duration time) {
            return time.toString().substring("PT".length()).toLowerCase(Locale.ROOT);
        }

        private static Try failed(Throwable e) {
            if (e instanceof BadAnswer bad)
                return failed("bad_engine_answer", "The engine's answer " + bad.getMessage() + ".", bad.fault);
            boolean unsent = e instanceof ConnectException || e instanceof HttpConnectTimeoutException
                || e instanceof UnknownHostException || e.getCause() instanceof UnresolvedAddressException;
            return failed("connection_error", "The engine does not answer (" + reason(e) + ").",
                unsent ? Fault.DOWN : Fault.PASSING);        // what was sent may be what crashed it
        }

        private static Try failed(String code, String message, Fault fault) {
            return new Try(Answer.none(code, message), fault, -1);
        }

        private static String reason(Throwable e) {
            if (e instanceof HttpConnectTimeoutException)
                return "connection timed out";
            if (e instanceof UnknownHostException || e.getCause() instanceof UnresolvedAddressException)
                return "unknown host";
            if (e instanceof ConnectException)
                return "connection refused";
            return e instanceof SSLException ? "no secure connection: " + e.getMessage() : "connection closed";
        }

        private Try read(HttpResponse<byte[]> response) {
            JsonNode body = json(response.body());
            int status = response.statusCode();
            boolean good = status >= 200 && status < 300;
            if (good && body.isObject() && !isError(body))
                return new Try(new Answer(status, body, null, null), Fault.NONE, -1);
            int said = good ? body.at("/error/code").asInt() : status;
            int shown = good && (said < 400 || said > 599) ? 502 : said;
            ObjectNode error = normalized(shown, body, said(status, response.body()));
            Fault fault = isLasting(error, response.headers()) ? Fault.NONE : Fault.of(said);
            long wait = retryAfter(response.headers());
            return new Try(new Answer(shown, error, null, null, wait), fault, wait);
        }

        /** Returns whether an answer that claims success is an error in truth: some engines send them with 200. */
        private static boolean isError(JsonNode body) {
            return body.hasNonNull("error") && Stream.of("choices", "data", "output").noneMatch(body::has);
        }

        private static boolean isLasting(ObjectNode error, HttpHeaders headers) {
            return headers.firstValue("x-should-retry").orElse("").equals("false")
                || error.at("/error/code").asText().equals("insufficient_quota");
        }

        private static long retryAfter(HttpHeaders headers) {
            String millis = headers.firstValue("retry-after-ms").orElse("");
            String seconds = headers.firstValue("Retry-After").orElse("");
            if (NUMBER.matcher(millis).matches())
                return (long) Double.parseDouble(millis);
            return NUMBER.matcher(seconds).matches() ? (long) (1000 * Double.parseDouble(seconds)) : until(seconds);
        }

        private static long until(String date) {
            try {
                Instant then = ZonedDateTime.parse(date, DateTimeFormatter.RFC_1123_DATE_TIME).toInstant();
                return Math.max(0, Duration.between(Instant.now(), then).toMillis());
            } catch (DateTimeParseException noDate) {
                return -1;
            }
        }

        private static JsonNode json(byte[] bytes) {
            try {
                return parsed(bytes);
            } catch (IOException notJson) {
                return JSON.missingNode();
            }
        }

        /** Returns an error body in OpenAI's shape, whatever the engine's own: nested, flat, a string or plain text. */
        private ObjectNode normalized(int status, JsonNode body, String otherwise) {
            JsonNode error = body.path("error").isObject() ? body.get("error") : body;
            Optional<String> message = Stream.of(error.path("message"), body.path("error"), body.path("detail"))
                .filter(JsonNode::isTextual).findFirst().map(JsonNode::textValue);
            ObjectNode shaped = Refusal.envelope(status, message.orElse(otherwise), error.path("param").textValue(),
                message.isPresent() ? error.path("code").asText(null) : "bad_engine_answer");
            if (error.path("type").isTextual())
                shaped.withObject("/error").set("type", error.get("type"));
            shaped.get("error").properties().forEach(field -> field.setValue(withoutKey(field.getValue())));
            return shaped;
        }

        /** Hides the engine's key, which an engine may repeat when it refuses it. */
        private JsonNode withoutKey(JsonNode text) {
            return text.isTextual() ? TextNode.valueOf(withoutKey(text.textValue())) : text;
        }

        /** A short key is no secret, but a word such as ollama. */
        private String withoutKey(String text) {
            return options.engineKey == null || options.engineKey.length() < 8 ? text
                : text.replace(options.engineKey, "***");
        }

        /** Returns the beginning of an answer without its HTML, for a person to read. */
        private String said(int status, byte[] raw) {
            String text = withoutKey(new String(raw, 0, Math.min(raw.length, 64_000), UTF_8))
                .replaceAll("(?is)<(script|style)\\b.*?(</\\1>|\\z)|<[^>]*>", " ").replaceAll("\\s+", " ").strip();
            return "The engine answered " + status + (status < 300 ? " and no JSON object" : "")
                + (text.isEmpty() ? "." : ": " + text.substring(0, Math.min(text.length(), 300)));
        }

        @Override
        public String state() throws InterruptedException {
            return base + " " + glance();
        }

        private String glance() throws InterruptedException {
            Answer models = send(request("/models").GET().build(), GLANCE.toMillis()).answer;
            away = models.status == 0;
            if (models.succeeded())
                return "answers";
            if (away)
                return ("request_timeout".equals(models.code) ? "does not answer (nothing within " + brief(GLANCE) + ")"
                    : models.message.replaceAll("^The engine |\\.$", "")) + "; its requests wait for it";
            return "answers " + models.status + " to GET /models" + (models.status == 404 ? "; should it end in /v1?"
                : models.status == 401 ? "; its key is --engine-key or SHEAF_ENGINE_KEY" : "");
        }

        @Override
        public String toString() {
            return base;
        }
    }

    /**
     * Lets batches' requests through to an engine: half as many at once when it is overloaded, and one more again
     * after each round of answers.
     */
    private static final class Gate {
        private static final long BLINK = 100;           // milliseconds between looks at whether it is still wanted

        private final int most;
        private int allowed;
        private int inside;
        private int answers;                             // of this round
        private long narrowed = System.nanoTime();

        private Gate(int most) {
            this.most = most;
            this.allowed = most;
        }

        /** Waits until one more request may go to the engine, and returns whether it is still wanted. */
        private synchronized boolean enter(BooleanSupplier wanted) throws InterruptedException {
            while (wanted.getAsBoolean()) {
                if (inside < allowed) {
                    inside++;
                    return true;
                }
                wait(BLINK);
            }
            return false;
        }

        private synchronized void leave(long entered, Upstream.Fault fault) {
            inside--;
            if (fault == Upstream.Fault.OVERLOADED)
                narrow(entered);
            else if (fault == Upstream.Fault.NONE && allowed < most)
                widen();
            notifyAll();
        }

        /** Halves the way once for all requests that were at the engine together. */
        private void narrow(long entered) {
            if (entered - narrowed < 0)
                return;
            allowed = Math.max(1, allowed / 2);
            answers = 0;
            narrowed = System.nanoTime();
        }

        private void widen() {
            if (++answers < allowed)
                return;
            allowed++;
            answers = 0;
        }
    }

    /** An answer that came, but not as it should. */
    private static final class BadAnswer extends IOException {
        private final Upstream.Fault fault;

        private BadAnswer(String what, Upstream.Fault fault, Throwable cause) {
            super(what, cause);
            this.fault = fault;
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
            all.onError(new BadAnswer("is longer than " + Lines.MAX_BYTES + " bytes", Upstream.Fault.NONE, null));
        }

        @Override
        public void onError(Throwable e) {
            all.onError(new BadAnswer("broke off", Upstream.Fault.PASSING, e));
        }

        @Override
        public void onComplete() {
            all.onComplete();
        }
    }

    // ---- Webhooks: who hears that a batch is over ----

    /**
     * Tells a URL that a batch is over. An event is stored together with the status that it tells of, and stays until
     * the receiver has answered 2xx, so that it arrives at least once; a repeated one has the same webhook-id. One
     * thread sends them all, and no batch waits for it.
     *
     * @see <a href="https://platform.openai.com/docs/api-reference/webhook-events">Webhook events</a>
     * @see <a href="https://www.standardwebhooks.com">Standard Webhooks, which say how to sign and to repeat</a>
     */
    private static final class Webhooks {
        private static final String SECRET_PREFIX = "whsec_";
        private static final Set<String> TOLD = Set.of("completed", "failed", "expired", "cancelled");
        private static final Duration ANSWER = Duration.ofSeconds(15);
        private static final long LONGEST_PAUSE = Duration.ofHours(1).toSeconds();   // doubles from 1 s with each try
        private static final long PATIENCE = Duration.ofDays(3).toSeconds();         // from the event to its last try
        private static final long LOOK = Duration.ofSeconds(1).toNanos();            // a clock may be set anew
        private static final String EVENTS = """
            CREATE TABLE IF NOT EXISTS event (
                id TEXT PRIMARY KEY,
                created_at INTEGER NOT NULL,
                due_at INTEGER NOT NULL,     -- when to send it, or to send it again
                tries INTEGER NOT NULL,
                json TEXT NOT NULL)""";
        private static final String BY_TIME = "CREATE INDEX IF NOT EXISTS event_due ON event (due_at, created_at)";

        private record Event(String id, long createdAt, long dueAt, int tries, String json) {
            private static Event read(ResultSet row) throws SQLException {
                return new Event(row.getString("id"), row.getLong("created_at"), row.getLong("due_at"),
                    row.getInt("tries"), row.getString("json"));
            }

            private long pause() {
                return Math.min(LONGEST_PAUSE, 1L << Math.min(tries, 30));
            }
        }

        private final HttpClient http = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1)
            .followRedirects(HttpClient.Redirect.NEVER).connectTimeout(ANSWER).build();
        private final Thread sender = Runner.daemon("sheaf-webhook").newThread(this::sendAll);
        private final URI url;
        private final byte[] key;
        private final Store store;
        private volatile boolean closing;

        private Webhooks(URI url, byte[] key, Store store) {
            this.url = url;
            this.key = key;
            this.store = store;
            store.execute(EVENTS);
            store.execute(BY_TIME);
            store.updated = this::record;
        }

        private static byte[] key(String secret) {
            try {
                byte[] key = Base64.getDecoder().decode(secret.replaceFirst("^" + SECRET_PREFIX, ""));
                if (secret.startsWith(SECRET_PREFIX) && key.length > 0)
                    return key;
            } catch (IllegalArgumentException notBase64) {
                // the same sentence as for a secret without its prefix, and without the secret
            }
            throw new IllegalArgumentException("webhook: the secret is not " + SECRET_PREFIX
                + " and then Base64; make one with: echo " + SECRET_PREFIX + "$(openssl rand -base64 32)");
        }

        private void start() {
            sender.start();
        }

        /** Stores the event of a batch that is over, in the transaction that stores its status. */
        private void record(ObjectNode batch) {
            String status = batch.get("status").textValue();
            if (!TOLD.contains(status))
                return;
            String id = newId("evt_");
            ObjectNode event = object().put("id", id).put("object", "event").put("type", "batch." + status)
                .put("created_at", store.now());
            event.putObject("data").set("id", batch.get("id"));
            store.execute("INSERT INTO event VALUES (?, ?, ?, 0, ?)", id, store.now(), store.now(), event.toString());
            LockSupport.unpark(sender);
        }

        private void sendAll() {
            while (!closing)
                try {
                    sendNext();
                } catch (InterruptedException e) {
                    return;
                } catch (RuntimeException storeFails) {   // as on a full disk, which may pass
                    LockSupport.parkNanos(LOOK);
                }
        }

        private void sendNext() throws InterruptedException {
            Optional<Event> next = store.select("SELECT * FROM event ORDER BY due_at, created_at LIMIT 1", Event::read)
                .stream().findFirst();
            if (next.isEmpty())
                LockSupport.park();
            else if (next.get().dueAt > store.now())
                LockSupport.parkNanos(LOOK);
            else
                send(next.get());
        }

        private void send(Event event) throws InterruptedException {
            if (isTaken(event) || store.now() - event.createdAt >= PATIENCE)
                store.execute("DELETE FROM event WHERE id = ?", event.id);
            else
                store.execute("UPDATE event SET tries = tries + 1, due_at = ? WHERE id = ?",
                    store.now() + event.pause(), event.id);
        }

        private boolean isTaken(Event event) throws InterruptedException {
            CompletableFuture<HttpResponse<Void>> sent =
                http.sendAsync(request(event), HttpResponse.BodyHandlers.discarding());
            try {
                int status = sent.get(ANSWER.toMillis(), MILLISECONDS).statusCode();
                return status >= 200 && status < 300;
            } catch (TimeoutException | ExecutionException notTaken) {
                return false;
            } finally {
                sent.cancel(true);
            }
        }

        private HttpRequest request(Event event) {
            String time = String.valueOf(Instant.now().getEpochSecond());   // which the receiver has a clock for too
            return HttpRequest.newBuilder(url).header("Content-Type", "application/json")
                .header("webhook-id", event.id).header("webhook-timestamp", time)
                .header("webhook-signature", "v1," + signature(event.id + "." + time + "." + event.json))
                .POST(HttpRequest.BodyPublishers.ofString(event.json)).build();
        }

        private String signature(String signed) {
            try {
                Mac mac = Mac.getInstance("HmacSHA256");
                mac.init(new SecretKeySpec(key, "HmacSHA256"));
                return Base64.getEncoder().encodeToString(mac.doFinal(signed.getBytes(UTF_8)));
            } catch (GeneralSecurityException impossible) {   // every Java platform has HmacSHA256
                throw new AssertionError(impossible);
            }
        }

        private void close() {
            closing = true;
            sender.interrupt();
            try {
                sender.join(Runner.LAST_WORDS.toMillis());
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
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
        private static final long MEMORY = Duration.ofDays(1).toSeconds();   // for idempotency keys and past uploads
        private static final Duration PAUSE = Duration.ofSeconds(1);   // before a disk that is full is tried again
        private static final Duration SILENCE = Duration.ofMinutes(1); // between two complaints about it
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
        private static final String UNFINISHED =
            "kind = 'batch' AND label NOT IN ('completed', 'failed', 'expired', 'cancelled')";

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
        private final AtomicLong ahead = new AtomicLong();   // milliseconds that a test has put the clock forward
        private long silentUntil = System.nanoTime();
        private volatile Consumer<ObjectNode> updated = batch -> { };   // sees each state of a batch while it is stored

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
            deleteUnknownFiles();
            execute("DELETE FROM intent WHERE batch IN (SELECT id FROM resource WHERE kind = 'batch'"
                + " AND json_extract(json, '$.created_at') < ?)", now() - MEMORY);
        }

        private static Connection connect(Path file, boolean temporary) {
            SQLiteConfig config = new SQLiteConfig();
            config.setJournalMode(SQLiteConfig.JournalMode.WAL);
            config.setSynchronous(temporary ? SQLiteConfig.SynchronousMode.OFF : SQLiteConfig.SynchronousMode.FULL);
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
            FileChannel lock = null;
            try {
                lock = FileChannel.open(folder.resolve("lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
                if (lock.tryLock() != null)
                    return Optional.of(new Store(folder, lock, temporary));
            } catch (IOException | RuntimeException e) {
                letGo(folder, lock);
                throw e;
            }
            letGo(folder, lock);
            return Optional.empty();
        }

        private static void letGo(Path folder, FileChannel lock) throws IOException {
            HELD.remove(folder);
            if (lock != null)
                lock.close();
        }

        private static void createPrivate(Path folder) throws IOException {
            if (Files.exists(folder)) {
                checkOurs(folder);
                return;
            }
            Files.createDirectories(folder);
            if (folder.getFileSystem().supportedFileAttributeViews().contains("posix"))
                Files.setPosixFilePermissions(folder, PosixFilePermissions.fromString("rwx------"));
        }

        /** A store deletes what it does not know in its folders, so it had better not be somebody's project. */
        private static void checkOurs(Path folder) throws IOException {
            try (Stream<Path> inside = Files.list(folder)) {
                if (!Files.exists(folder.resolve("lock")) && inside.findAny().isPresent())
                    throw new IllegalStateException("start: " + folder
                        + " is not empty and no store of a server; choose another folder");
            }
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

        private long millis() {
            return System.currentTimeMillis() + ahead.get();
        }

        private long now() {
            return millis() / 1000;
        }

        private String live() {
            return "(gone_at IS NULL OR gone_at > " + now() + ")";
        }

        private Path uploads() {
            return folder.resolve("uploads");
        }

        private Path file(String id) {
            return folder.resolve("files").resolve(id);
        }

        /** Returns the file of what clients see, if it is not the same as the record. */
        private static Path shown(Path record) {
            return record.resolveSibling(record.getFileName() + ".shown");
        }

        private Path content(String id) {
            return Files.exists(shown(file(id))) ? shown(file(id)) : file(id);
        }

        private void deleteContent(String id) throws IOException {
            Files.deleteIfExists(shown(file(id)));
            Files.deleteIfExists(file(id));
        }

        private void force(Path file) throws IOException {
            if (temporary)
                return;
            try (FileChannel open = FileChannel.open(file, StandardOpenOption.WRITE)) {
                force(open);
            }
        }

        /** Brings a file and its name to the disk, so that even a power cut cannot take them away again. */
        private void force(FileChannel file) throws IOException {
            if (temporary)
                return;
            file.force(false);
            try (FileChannel names = FileChannel.open(folder.resolve("files"))) {
                names.force(true);
            } catch (AccessDeniedException windows) {
                // which opens no folder and needs none of this
            }
        }

        /** Says once in a while why batches do not go on. */
        private synchronized void complain(Exception e) {
            if (System.nanoTime() - silentUntil < 0)
                return;
            silentUntil = System.nanoTime() + SILENCE.toNanos();
            Throwable root = e;
            while (root.getCause() != null)
                root = root.getCause();
            System.err.println("store: " + folder + " cannot be used (" + root.getMessage()
                + "); make room, and its batches go on by themselves");
        }

        private ObjectNode fileObject(String id, long bytes, String name, String purpose, Long asked) {
            long created = now();
            Long seconds = asked == null && Dialect.isBatch(purpose) ? Long.valueOf(BATCH_FILE_SECONDS) : asked;
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

        private void insertBatch(ObjectNode batch, String key, String digest) {
            atomically(() -> {
                execute("INSERT INTO resource (id, kind, label, json) VALUES (?, 'batch', ?, ?)",
                    batch.get("id").textValue(), batch.get("status").textValue(), batch.toString());
                if (key != null)
                    execute("INSERT INTO intent VALUES (?, ?, ?)", key, digest, batch.get("id").textValue());
            });
        }

        private void updateBatch(ObjectNode batch, List<ObjectNode> files) {
            atomically(() -> {
                files.forEach(this::insertFile);
                execute("UPDATE resource SET label = ?, json = ? WHERE id = ?",
                    batch.get("status").textValue(), batch.toString(), batch.get("id").textValue());
                updated.accept(batch);
            });
        }

        /** Makes all of these changes or, should one fail or the process die, none. */
        private synchronized void atomically(Runnable changes) {
            execute("BEGIN");
            try {
                changes.run();
                execute("COMMIT");
            } catch (RuntimeException | Error e) {
                rollBack(e);
                throw e;
            }
        }

        private void rollBack(Throwable cause) {
            try {
                execute("ROLLBACK");
            } catch (UncheckedIOException alreadyDone) {   // by SQLite itself, as on a full disk
                cause.addSuppressed(alreadyDone);
            }
        }

        private Optional<ObjectNode> find(String kind, String id) {
            return objects("SELECT json FROM resource WHERE kind = ? AND id = ? AND " + live(), kind, id)
                .stream().findFirst();
        }

        private List<ObjectNode> files(String purpose, String after, String order, int limit) {
            return objects("SELECT json FROM resource WHERE kind = 'file' AND label = coalesce(?, label) AND " + live()
                + beyond(after, order) + " LIMIT ?", purpose, limit);
        }

        private List<ObjectNode> batches(String after, int limit) {
            return objects("SELECT json FROM resource WHERE kind = 'batch'" + beyond(after, "desc") + " LIMIT ?",
                limit);
        }

        private List<ObjectNode> unfinishedBatches() {
            return objects("SELECT json FROM resource WHERE " + UNFINISHED + " ORDER BY seq");
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
            deleteUnused(id);
        }

        /** Deletes the content of a deleted file, unless a batch that is under way still reads it. */
        private void deleteUnused(String id) {
            boolean unused = !select("SELECT 1 FROM resource WHERE id = ? AND kind = 'deleted' AND NOT EXISTS"
                + " (SELECT 1 FROM resource WHERE " + UNFINISHED + " AND json_extract(json, '$.input_file_id') = ?)",
                row -> true, id, id).isEmpty();
            try {
                if (unused)
                    deleteContent(id);
            } catch (IOException e) {
                throw unusable(e);
            }
        }

        private void deleteExpiredFiles() {
            select("SELECT id FROM resource WHERE kind = 'file' AND NOT " + live(), row -> row.getString(1))
                .forEach(this::deleteFile);
        }

        /** Deletes what a crash left behind: content that has no row, and that no unfinished batch reads or writes. */
        private void deleteUnknownFiles() throws IOException {
            Set<String> known =
                new HashSet<>(select("SELECT id FROM resource WHERE kind = 'file'", row -> row.getString(1)));
            for (ObjectNode batch : unfinishedBatches())
                known.addAll(ActiveBatch.files(batch));
            try (DirectoryStream<Path> all = Files.newDirectoryStream(folder.resolve("files"), Store::isOurs)) {
                for (Path file : all)
                    if (!known.contains(file.getFileName().toString().replaceFirst("\\.shown$", "")))
                        Files.delete(file);
            }
        }

        private static boolean isOurs(Path file) {
            return file.getFileName().toString()
                .matches("(file-(output-|error-)?[0-9a-f]{32}|[0-9a-f]{24}-(output|error))(\\.shown)?");
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
        System.exit(new CommandLine(new Serve())
            .registerConverter(Duration.class, Serve::time)
            .registerConverter(Dialect.class, Serve::dialect)
            .setParameterExceptionHandler((e, given) -> Serve.misused("serve: " + e.getMessage()))
            .setExecutionExceptionHandler((e, command, parsed) -> Serve.explain(e))
            .execute(args));
    }

    @Command(name = "serve", sortOptions = false, usageHelpWidth = 100, customSynopsis = "serve [OPTION]...",
        description = "Serves OpenAI's Files and Batches API on this machine, before any OpenAI-compatible engine.",
        footer = {"",
            "Environment:",
            "  SHEAF_ENGINE_KEY      as --engine-key",
            "  SHEAF_SERVER_KEY      as --api-key",
            "  SHEAF_WEBHOOK_SECRET  as --webhook-secret",
            "  SHEAF_HOME            where the folder server/ with files and batches is; else ~/.sheaf",
            "An option comes before the environment. Other users of this machine can see options, and with",
            "them a key; they cannot see the environment.",
            "",
            "Example: batches over the models of Ollama, with curl",
            "  serve --engine http://localhost:11434/v1 --model-name gpt-4o-mini=llama3.2",
            "  export OPENAI_BASE_URL=http://127.0.0.1:4141/v1",
            "  echo '{\"custom_id\": \"request-1\", \"method\": \"POST\", \"url\": \"/v1/chat/completions\", \"body\":",
            "      {\"model\": \"gpt-4o-mini\", \"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}}' |",
            "      tr -d '\\n' > requests.jsonl",
            "  curl $OPENAI_BASE_URL/files -F purpose=batch -F file=@requests.jsonl",
            "  curl $OPENAI_BASE_URL/batches -H 'Content-Type: application/json' -d '{\"completion_window\": \"24h\",",
            "      \"input_file_id\": \"file-...\", \"endpoint\": \"/v1/chat/completions\"}'",
            "  curl $OPENAI_BASE_URL/batches/batch_...                 until it is completed, and then",
            "  curl $OPENAI_BASE_URL/files/file-output-.../content",
            "OpenAI's own clients read OPENAI_BASE_URL too; they want an OPENAI_API_KEY, which may be any word.",
            "",
            "The first line on stdout is OPENAI_BASE_URL=...; all else goes to stderr.",
            "",
            "Exit codes: 0 for --help, 1 if the server cannot start, 2 for a wrong option, 130 after Ctrl-C, 143",
            "after a kill. Unfinished batches go on at the next start over the same store."})
    private static final class Serve implements Callable<Integer> {
        @Option(names = {"-h", "--help"}, usageHelp = true, description = "shows this text")
        private boolean help;

        @ArgGroup(validate = false, heading = "%nWhere it listens:%n", order = 1)
        private final Listening listening = new Listening();

        @ArgGroup(validate = false, heading = "%nWho answers:%n", order = 2)
        private final Answering answering = new Answering();

        @ArgGroup(validate = false, heading = "%nWhat it keeps and takes:%n", order = 3)
        private final Keeping keeping = new Keeping();

        @ArgGroup(validate = false, heading = "%nWhom it tells:%n", order = 4)
        private final Telling telling = new Telling();

        private static final class Listening {
            @Option(names = "--port", paramLabel = "PORT", defaultValue = "4141",
                description = "port to listen on; 0 is a free one (default: ${DEFAULT-VALUE})")
            private int port;

            @Option(names = "--host", paramLabel = "HOST", defaultValue = LOOPBACK,
                description = "address to listen on; one open to others needs a key (default: ${DEFAULT-VALUE})")
            private String host;

            @Option(names = "--api-key", paramLabel = "KEY", description = "key that clients must send (default: none)")
            private String apiKey;
        }

        private static final class Answering {
            @Option(names = "--engine", paramLabel = "URL", defaultValue = ECHO,
                description = "base URL of the OpenAI-compatible server that answers, mostly ending in /v1; or echo, "
                    + "which says each question back (default: ${DEFAULT-VALUE})")
            private String engine;

            @Option(names = "--engine-key", paramLabel = "KEY",
                description = "key for the engine; clients' keys are never sent to it (default: none)")
            private String engineKey;

            @Option(names = "--model-name", paramLabel = "FROM=TO",
                description = "sends requests for model FROM to the engine as TO; may be repeated")
            private Map<String, String> modelNames = new LinkedHashMap<>();

            @Option(names = "--concurrency", paramLabel = "N", defaultValue = "8",
                description = "requests at the engine at once, fewer if that is overloaded (default: ${DEFAULT-VALUE})")
            private int concurrency;

            @Option(names = "--timeout", paramLabel = "TIME", defaultValue = "10m",
                description = "for one request with all its tries, such as 90s or 1h30m; so long a batch waits for an "
                    + "engine that is down (default: ${DEFAULT-VALUE})")
            private Duration timeout;
        }

        private static final class Keeping {
            @Option(names = "--store", paramLabel = "DIR",
                description = "folder for files and batches (default: ~/.sheaf/server)")
            private Path store;

            @Option(names = "--dialect", paramLabel = "NAME", defaultValue = "openai",
                description = "provider whose manners it has: ${COMPLETION-CANDIDATES} (default: ${DEFAULT-VALUE})")
            private Dialect dialect;

            @Option(names = "--mixed-models",
                description = "lets the requests of a batch name different models, whatever the dialect")
            private boolean mixedModels;

            @Option(names = "--max-requests", paramLabel = "N",
                description = "most requests of a batch (default: as the dialect, 50000 for openai)")
            private Integer maxRequests;

            @Option(names = "--max-bytes", paramLabel = "N",
                description = "most bytes of a file (default: as the dialect, 209715200 for openai)")
            private Long maxBytes;
        }

        private static final class Telling {
            @Option(names = "--webhook", paramLabel = "URL",
                description = "is told when a batch is over, in the way of OpenAI's webhooks; needs a secret "
                    + "(default: none)")
            private URI webhook;

            @Option(names = "--webhook-secret", paramLabel = "SECRET",
                description = "signs what is told: whsec_ and then Base64, as made by "
                    + "echo whsec_$(openssl rand -base64 32)")
            private String secret;
        }

        @Override
        public Integer call() throws InterruptedException {
            Options options = withWebhook(asOptions());
            BatchServer server = options.start();
            System.out.println("OPENAI_BASE_URL=" + server.baseUrl());
            if (keeping.dialect == Dialect.OPENAI)
                System.err.println("page: " + server.baseUrl().replaceFirst("v1$", ""));
            System.err.println("engine: " + server.service.engine.state());
            System.err.println("store: " + options.store + "; Ctrl-C stops the server, and its next start goes on with "
                + "unfinished batches");
            new CountDownLatch(1).await();
            return 0;
        }

        private Options asOptions() {
            Options options = options().port(listening.port).host(listening.host).engine(answering.engine)
                .concurrency(answering.concurrency).timeout(answering.timeout).dialect(keeping.dialect)
                .store(keeping.store != null ? keeping.store : localStore());
            for (Map.Entry<String, String> name : answering.modelNames.entrySet())
                options = options.model(name.getKey(), name.getValue());
            if (keeping.mixedModels)
                options = options.mixedModels();
            if (keeping.maxRequests != null)
                options = options.maxRequests(keeping.maxRequests);
            if (keeping.maxBytes != null)
                options = options.maxBytes(keeping.maxBytes);
            options = key(answering.engineKey, "SHEAF_ENGINE_KEY").map(options::engineKey).orElse(options);
            return key(listening.apiKey, "SHEAF_SERVER_KEY").map(options::apiKey).orElse(options);
        }

        private Options withWebhook(Options options) {
            if (telling.webhook == null)
                return options;
            return options.webhook(telling.webhook, key(telling.secret, "SHEAF_WEBHOOK_SECRET").orElseThrow(() ->
                new IllegalArgumentException("webhook: no secret to sign with; set SHEAF_WEBHOOK_SECRET or give"
                    + " --webhook-secret")));
        }

        private static Optional<String> key(String given, String variable) {
            return given != null ? Optional.of(given) : setting(variable);
        }

        private static Dialect dialect(String name) {
            return Stream.of(Dialect.values()).filter(dialect -> dialect.toString().equalsIgnoreCase(name)).findFirst()
                .orElseThrow(() -> new TypeConversionException("'" + name + "' is none of "
                    + Stream.of(Dialect.values()).map(Dialect::toString).collect(Collectors.joining(", "))));
        }

        private static Duration time(String text) {
            try {
                return Duration.parse("PT" + text);
            } catch (DateTimeParseException noTime) {
                throw new TypeConversionException("'" + text + "' is no time such as 90s, 10m or 1h30m");
            }
        }

        private static int explain(Exception e) {
            if (e instanceof IllegalArgumentException)
                return misused(e.getMessage());
            System.err.println(e.getMessage());
            return 1;
        }

        private static int misused(String sentence) {
            System.err.println(sentence + "; try 'serve --help'");
            return 2;
        }
    }
}
