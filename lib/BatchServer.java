///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Serve the OpenAI-compatible Files and Batches API on this machine
//JAVA 17+
// SQLite is native code, of which Java 24 and later would warn; the C1 compiler and the serial collector take half the
// CPU and two thirds of the memory for the same work, and leave the rest to the engine
//RUNTIME_OPTIONS --enable-native-access=ALL-UNNAMED -XX:TieredStopAtLevel=1 -XX:+NeverActAsServerClassMachine
// JSON; first, because the parent POMs below manage other versions of it
//DEPS com.fasterxml.jackson.core:jackson-databind:2.22.4
// HTTP
//DEPS org.eclipse.jetty:jetty-server:12.1.14
// files and batches that outlive the process
//DEPS org.xerial:sqlite-jdbc:3.54.1.0
// the command line of main
//DEPS info.picocli:picocli:4.7.7
// figures for Prometheus: 0.4 MB with all it needs, where Micrometer's is 3.7 MB
//DEPS io.prometheus:prometheus-metrics-core:1.10.0
//DEPS io.prometheus:prometheus-metrics-exposition-textformats:1.10.0
// keeps Jetty silent
//DEPS org.slf4j:slf4j-nop:2.0.20
// its rooms; lib/README.md says which stands on which
//SOURCES server/Json.java server/HeldFolder.java server/KnownEngine.java server/RateLimit.java server/NearName.java
//SOURCES server/PatternSample.java
//SOURCES server/Transcript.java server/Guests.java server/Refusal.java server/BatchObject.java server/Database.java
//SOURCES server/Call.java server/Engine.java server/Manners.java server/SchemaInstance.java server/SchemaFit.java
//SOURCES server/Moderation.java server/Choice.java server/Metrics.java server/RowIndex.java
//SOURCES server/Logprobs.java server/EchoRequest.java server/Dialects.java server/Attempt.java server/Script.java
//SOURCES server/RowSearch.java
//SOURCES server/EchoReply.java server/Settings.java server/Store.java server/Concurrency.java server/Parameters.java
//SOURCES server/Arrival.java server/AnnouncedFiles.java server/Browsers.java server/Echo.java server/ResultFiles.java
//SOURCES server/Identity.java server/ModelList.java server/Network.java
//SOURCES server/Form.java server/Upstream.java server/Webhooks.java server/EngineEndpoints.java server/Validation.java
//SOURCES server/LoadBalancer.java server/ActiveBatch.java server/Uploads.java
//SOURCES server/Runner.java server/FileEndpoints.java
//SOURCES server/BatchEndpoints.java server/PageEndpoints.java server/Monitoring.java server/Router.java
//SOURCES server/Service.java server/SharedService.java server/Serve.java

package sheaf.server;

import com.fasterxml.jackson.databind.JsonNode;
import java.net.URI;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.function.Function;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;

/**
 * A batch inference server that speaks OpenAI's Files, Uploads, Batches and Models API, on this machine.
 *
 * <pre>{@code
 * try (var server = BatchServer.start("http://localhost:11434/v1")) {
 *     System.out.println(server.baseUrl());      // where any OpenAI client can send its batches
 * }
 * }</pre>
 *
 * An uploaded file goes to disk, a batch over it is validated, and its requests go to an engine, some at a time.
 * The engine is any OpenAI-compatible URL, or {@code echo}, which answers with the user's own words, and refuses what a
 * real model's server refuses. Where a request has a JSON schema, that is an instance of it, or the prompt if that is
 * JSON that fits; of an enum, or an object with no other field, the label that stands first in the prompt, whose
 * {@code logprobs} say 0.9, else the first label, which is one guess out of all.
 * Each answer is appended to the batch's output or error file at once, and these two files are the only record of
 * what has run: after a crash the next server on the same store goes on with the requests that they lack.
 * A test can also say what the server answers, shows and does wrong: the methods for that return the server itself.
 *
 * @see <a href="https://platform.openai.com/docs/api-reference/batch">Batch API</a>
 * @see <a href="https://platform.openai.com/docs/api-reference/files">Files API</a>
 */
public final class BatchServer implements AutoCloseable {
    private final String baseUrl;
    private final Service service;   // null if the server runs in another process
    private final Runnable end;

    private BatchServer(Service service) { this(service.baseUrl(), service, service::close); }

    private BatchServer(String baseUrl, Service service, Runnable end) {
        this.baseUrl = baseUrl;
        this.service = service;
        this.end = end;
    }

    /** Starts a server for a test: the echo engine, a free port, and a temporary store that {@link #close} deletes. */
    public static BatchServer start() { return options().start(); }

    /** Starts a server in front of an engine, on a free port, with a temporary store that {@link #close} deletes. */
    public static BatchServer start(String engine) { return options().engine(engine).start(); }

    /**
     * Starts this user's own server, whose batches outlive the process: its store is {@code server} under
     * {@code SHEAF_HOME}, or under {@code ~/.sheaf}. If another process runs it already, returns a handle to that one,
     * with the engine that it has; closing the handle leaves it running.
     */
    public static BatchServer local(String engine) {
        var settings = Settings.DEFAULTS.engine(engine).store(Settings.localStore());
        return Service.startIfFree(settings).map(BatchServer::new)
            .orElseGet(() -> new BatchServer(HeldFolder.awaitUrl(settings.store()), null, () -> { }));
    }

    /**
     * Starts a server before an engine that has no batches of its own: {@code ollama}, {@code lmstudio}, {@code vllm},
     * {@code llama-server}, {@code openrouter}, {@code mistral}, {@code cerebras} or a URL. Its batches outlive the
     * process: it has a store for this engine alone under {@code SHEAF_HOME}, so that a second run asks nothing again.
     * The key is that of the engine's own variable, such as {@code OPENROUTER_API_KEY}, else {@code SHEAF_ENGINE_KEY}.
     * If another process runs this server already, returns a handle to that one; it ends with the last handle.
     */
    public static BatchServer before(String engine) {
        var shared = SharedService.open(Settings.DEFAULTS.engine(engine).keyOf(engine).ownStore());
        return new BatchServer(shared.baseUrl, shared.service.orElse(null), shared::close);
    }

    /** Returns the options of a server that is not yet started. */
    public static Options options() { return new Options(Settings.DEFAULTS); }

    /** Returns the URL that an OpenAI client needs, such as {@code http://127.0.0.1:49152/v1}. */
    public String baseUrl() { return baseUrl; }

    /** Makes the echo engine answer with a function of each prompt, which is the last user text among messages. */
    public BatchServer reply(UnaryOperator<String> reply) {
        scripted().reply(reply);
        return this;
    }

    /** Makes the echo engine answer with a function of the request body, called by several threads at once. */
    public BatchServer answer(Function<JsonNode, Reply> answer) {
        scripted().answer(body -> Settings.required("reply", answer.apply(body)).reply);
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
        service().script.on(request, Stream.of(faults).map(fault -> fault.fault).toList());
        return this;
    }

    /** Lets any request go wrong by a function of {@code GET /v1/files}, which returns null where nothing shall. */
    public BatchServer onEvery(Function<String, Fault> faults) {
        service().script.onEvery(faults.andThen(fault -> fault == null ? null : fault.fault));
        return this;
    }

    /** Rewrites the lines of each output and error file, from the next batch to finish. */
    public BatchServer rewrite(UnaryOperator<List<String>> rewrite) {
        service().script.rewrite(rewrite);
        return this;
    }

    /** Writes the lines of output and error files in the reverse order, from the next batch to finish. */
    public BatchServer shuffleOutput() { return rewrite(Script::reversed); }

    /** Leaves the line of this request out of its output or error file, as servers sometimes do. */
    public BatchServer loseLine(String customId) { return rewrite(lines -> Script.repeated(customId, 0, lines)); }

    /** Writes the line of this request twice, as servers sometimes do. */
    public BatchServer repeatLine(String customId) { return rewrite(lines -> Script.repeated(customId, 2, lines)); }

    /** Shows these request counts on every batch, whatever the truth. */
    public BatchServer claimCounts(int total, int completed, int failed) {
        service().script.counts = Json.object().put("total", total).put("completed", completed).put("failed", failed);
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
        service().script.hidden = delay;
        return this;
    }

    /** From now on fails a batch that would bring the prompts of those under way above so many tokens. */
    public BatchServer failOver(long tokens) {
        service().script.queue = new Script.Queue(tokens, false);
        return this;
    }

    /** From now on refuses a batch that would bring the prompts of those under way above so many tokens. */
    public BatchServer refuseOver(long tokens) {
        service().script.queue = new Script.Queue(tokens, true);
        return this;
    }

    /** Keeps batches in this status, such as {@code finalizing}, and in no other, until {@link #resume}. */
    public BatchServer stayIn(String status) {
        if (!List.of("validating", "in_progress", "finalizing", "cancelling").contains(status))
            throw new IllegalArgumentException("stayIn: no batch is " + status + " and then goes on");
        service().script.heldStatus = status;
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
        service().script.heldStatus = null;
        service().runner.pause(false);
        return this;
    }

    /** From now on gives a new batch this time instead of its completion window. */
    public BatchServer expireAfter(Duration window) {
        service().script.window = window;
        return this;
    }

    /** Puts the server's clock forward. */
    public BatchServer advance(Duration time) {
        service().store.advance(time);
        service().runner.wake();
        return this;
    }

    /** Returns the last 10,000 HTTP requests, oldest first, each as {@code POST /v1/batches}. */
    public List<String> requests() { return service().router.requests(); }

    /** Stops the server; unfinished batches of a store that is kept go on when it is next started. */
    @Override public void close() { end.run(); }

    @Override public String toString() { return "BatchServer[" + baseUrl + "]"; }

    private Service service() {
        if (service == null)
            throw new IllegalStateException(baseUrl + " runs in another process; only the server's own can steer it");
        return service;
    }

    private Echo scripted() {
        if (service().engine instanceof Echo echo) return echo;
        throw new IllegalStateException("this server asks " + service().engine
            + "; only the echo engine can be scripted");
    }

    /** The settings of a server that is not yet started; each method returns a copy. */
    public static final class Options {
        private final Settings settings;

        private Options(Settings settings) { this.settings = settings; }

        /** Returns options with this address to listen on. If not called, 127.0.0.1; any other needs an API key. */
        public Options host(String host) { return new Options(settings.host(host)); }

        /** Returns options with this port. If not called, or 0, a free one. */
        public Options port(int port) { return new Options(settings.port(port)); }

        /** Returns options with this engine: {@code echo}, a name as {@link #before} takes it, or a base URL. */
        public Options engine(String engine) { return new Options(settings.engine(engine)); }

        /**
         * Returns options with one more engine, a name or a base URL: each request goes to the one that answers first,
         * of those that have its model. One that fails is left out until it is well. Its key is the one given before.
         */
        public Options anotherEngine(String engine) {
            return new Options(settings.anotherEngine(engine, settings.answering().key()));
        }

        /** Returns options with this key, which is sent to the engine and to nobody else. If not called, none is. */
        public Options engineKey(String engineKey) { return new Options(settings.engineKey(engineKey)); }

        /**
         * Returns options by which requests for a model go to the engine under the name that it has there; call it
         * once for each. Other models keep their names, but echo then knows no other.
         */
        public Options model(String name, String engineName) { return new Options(settings.model(name, engineName)); }

        /**
         * Returns options with this time for the engine to answer a request, with all tries. A batch's request that
         * finds the engine down or overloaded is tried again until then. If not called, 10 minutes.
         */
        public Options timeout(Duration timeout) { return new Options(settings.timeout(timeout)); }

        /** Returns options with this folder for files and batches. If not called, a temporary one. */
        public Options store(Path store) { return new Options(settings.store(store)); }

        /** Returns options with this key, which every request must then bear. */
        public Options apiKey(String apiKey) { return new Options(settings.apiKey(apiKey)); }

        /**
         * Returns options with this many requests at the engine at once. If not called, as many as bring more answers
         * in the same time, from 4 to 32.
         */
        public Options concurrency(int concurrency) { return new Options(settings.concurrency(concurrency)); }

        /** Returns options with the manners of this provider. If not called, OpenAI's. */
        public Options dialect(Dialect dialect) {
            return new Options(settings.dialect(Settings.required("dialect", dialect).manners()));
        }

        /** Returns options that let the requests of a batch name different models. If not called, as the dialect. */
        public Options mixedModels() { return new Options(settings.mixedModels()); }

        /** Returns options with this limit to the requests of a batch. If not called, the dialect's. */
        public Options maxRequests(int maxRequests) { return new Options(settings.maxRequests(maxRequests)); }

        /** Returns options with this limit to a file, and to an upload for a batch. If not called, the dialect's. */
        public Options maxBytes(long maxBytes) { return new Options(settings.maxBytes(maxBytes)); }

        /**
         * Returns options with this URL, which is told when a batch is over, in the way of OpenAI's webhooks; the
         * secret, {@code whsec_} and then Base64, signs what it is told. If not called, nobody is told.
         */
        public Options webhook(URI url, String secret) { return new Options(settings.webhook(url, secret)); }

        /**
         * Starts the server and returns once it listens.
         * @throws IllegalStateException if another server uses the store, or others could reach it without an API key
         * @throws java.io.UncheckedIOException if the port is taken or the store cannot be written
         */
        public BatchServer start() { return new BatchServer(Service.start(settings)); }
    }

    /** What the echo engine says to one request, when a test writes its lines. */
    public static final class Reply {
        private final EchoReply reply;

        private Reply(EchoReply reply) { this.reply = reply; }

        /** Returns a reply with this text and the finish reason {@code stop}. */
        public static Reply text(String text) { return new Reply(EchoReply.text(text)); }

        /** Returns a failure with this HTTP status; 0 is a request that got no HTTP answer at all. */
        public static Reply error(int status, String code, String message) {
            return new Reply(EchoReply.error(
                status == 0 ? Engine.Answer.none(code, message) : Engine.Answer.error(status, code, message)));
        }

        /** Returns what OpenAI writes for a request that it lost: a response with status code 0 and nothing else. */
        public static Reply lost() {
            return new Reply(EchoReply.error(new Engine.Answer(0, Json.object(), null, null)));
        }

        /** Returns the same reply with another finish reason, such as {@code length}. */
        public Reply finishReason(String finishReason) {
            return new Reply(new EchoReply(reply.text(), finishReason, reply.refusal(), reply.error()));
        }

        /** Returns the same reply with a refusal in the place of its text. */
        public Reply refusal(String refusal) {
            return new Reply(new EchoReply(reply.text(), reply.finishReason(), refusal, reply.error()));
        }
    }

    /** How one HTTP request goes wrong. */
    public static final class Fault {
        private final Script.Fault fault;

        private Fault(Script.Fault fault) { this.fault = fault; }

        /** Refuses the request with this HTTP status. */
        public static Fault status(int status) { return new Fault(new Script.Refused(status, null, null)); }

        /** Closes the connection before anything is done. */
        public static Fault dropped() { return status(0); }

        /** Does what is asked, and closes the connection instead of answering. */
        public static Fault lost() { return truncated(-1); }

        /** Does what is asked, and closes the connection after so many bytes of the answer's body. */
        public static Fault truncated(long bytes) {
            return new Fault(new Script.Spoiled(Duration.ZERO, 0, bytes, false));
        }

        /** Does what is asked, and answers with the first bytes of the answer as if that was all. */
        public static Fault shortened(long bytes) {
            return new Fault(new Script.Spoiled(Duration.ZERO, 0, bytes, true));
        }

        /** Does what is asked, and answers after this time. */
        public static Fault late(Duration delay) {
            return new Fault(new Script.Spoiled(delay, 0, Long.MAX_VALUE, false));
        }

        /** Does what is asked, and answers at this speed. */
        public static Fault slow(int bytesPerSecond) {
            return new Fault(new Script.Spoiled(Duration.ZERO, bytesPerSecond, Long.MAX_VALUE, false));
        }

        /** Returns the same fault with a Retry-After header, seconds or a date, if it refuses the request. */
        public Fault retryAfter(String retryAfter) {
            if (!(fault instanceof Script.Refused refused)) return this;
            return new Fault(new Script.Refused(refused.status(), retryAfter, refused.body()));
        }

        /** Returns the same fault with this body, which need not be JSON, if it refuses the request. */
        public Fault body(String body) {
            if (!(fault instanceof Script.Refused refused)) return this;
            return new Fault(new Script.Refused(refused.status(), refused.retryAfter(), body));
        }
    }

    /** The manners of a provider, wherever its answers differ from OpenAI's, so that a client can be tried on them. */
    public enum Dialect {
        /** As the API reference says. */
        OPENAI,

        /** The service of the batch guide: timestamps as strings except at creation, mixed models, few routes. */
        KLUSTER,

        /** Azure OpenAI: blank ids and an empty error file, older paths and deployments; jobs never expire. */
        AZURE,

        /** Groq: a list without pages, files without a status. */
        GROQ,

        /** Together: a job in a wrapper, statuses in capitals, ISO times, other routes and purposes of uploads. */
        TOGETHER,

        /** Voyage: ISO times with microseconds, output lines with other names, no expiry. */
        VOYAGE;

        private Manners manners() { return Dialects.named(name()).orElseThrow(); }

        @Override public String toString() { return name().toLowerCase(Locale.ROOT); }
    }

    /** Runs a server until Ctrl-C; see {@code --help}. */
    public static void main(String... args) { System.exit(Serve.run(args)); }
}
