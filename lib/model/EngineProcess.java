package sheaf.model;

import static java.nio.charset.StandardCharsets.UTF_8;
import static java.util.Map.entry;
import static java.util.concurrent.TimeUnit.MILLISECONDS;
import static java.util.concurrent.TimeUnit.SECONDS;

import java.io.IOException;
import java.net.http.HttpTimeoutException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeoutException;
import java.util.regex.Pattern;

/** A child process that serves a model, from its start to its end. It does not know who chose the program. */
final class EngineProcess {
    private static final Duration START_LIMIT = Duration.ofMinutes(2);   // a large model on a slow disk
    private static final String NOT_READY = "was not ready after " + START_LIMIT.toSeconds() + " s";
    private static final Duration HEALTH_INTERVAL = Duration.ofMillis(50);
    /**
     * How often a thread of llama.cpp looks for the others before it sleeps: some 15 us. By OpenMP's own default it
     * spins for milliseconds, and as soon as a neighbour takes a core all wait for each other: 20 times slower.
     */
    private static final String SPINS = "1000";
    private static final Duration EXIT_LIMIT = Duration.ofSeconds(5);
    private static final Duration LAST_WORDS_LIMIT = Duration.ofSeconds(5);

    private final Process process;
    private final Thread shutdownHook;   // llama-server does not notice by itself that its parent ends
    private final Thread listener = Machine.daemon(this::listen);
    private final Log log = new Log();
    private final CompletableFuture<Integer> port = new CompletableFuture<>();

    private EngineProcess(Process process) {
        this.process = process;
        this.shutdownHook = new Thread(process::destroyForcibly);
    }

    static EngineProcess start(List<String> command) {
        try {
            var builder = new ProcessBuilder(command).redirectErrorStream(true);
            builder.environment().keySet().removeAll(Set.of("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS"));
            builder.environment().putIfAbsent("GOMP_SPINCOUNT", SPINS);
            builder.environment().putIfAbsent("LLAMA_ARG_CACHE_RAM", "0");
            var engine = new EngineProcess(builder.start());
            engine.listener.start();
            engine.addShutdownHook();
            return engine;
        } catch (IOException e) {
            throw new IllegalStateException("start: cannot run " + command.get(0) + " (" + e.getMessage() + ")", e);
        }
    }

    private void addShutdownHook() {
        try {
            Runtime.getRuntime().addShutdownHook(shutdownHook);
        } catch (IllegalStateException e) {
            process.destroyForcibly();   // this JVM is ending already
            throw e;
        }
    }

    private void removeShutdownHook() {
        try {
            Runtime.getRuntime().removeShutdownHook(shutdownHook);
        } catch (IllegalStateException e) {
            log.add(e.getMessage());   // this JVM is ending, and the hook with it
        }
    }

    private void listen() {
        try (var output = process.inputReader(UTF_8)) {
            for (var line = output.readLine(); line != null; line = output.readLine()) hear(line);
        } catch (IOException e) {
            log.add(e.toString());
        } finally {
            port.completeExceptionally(new IOException("the engine ended"));
            removeShutdownHook();
        }
    }

    private void hear(String line) {
        Worker.Protocol.portIn(line).ifPresent(port::complete);
        log.add(line);
    }

    /** Waits until the process says that it is ready, as a worker does. */
    EngineProcess awaitReadyLine() {
        try {
            port.get(START_LIMIT.toSeconds(), SECONDS);
            return this;
        } catch (ExecutionException e) {
            throw failed("ended before it was ready", e);
        } catch (TimeoutException e) {
            throw failed(NOT_READY, e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw failed("was interrupted", e);
        }
    }

    /** Waits until the process answers GET /health on the port that it was given, as llama-server does. */
    EngineProcess awaitHealth(int chosenPort) {
        var limit = Instant.now().plus(START_LIMIT);
        while (!Http.Client.isHealthy(chosenPort)) {
            if (hasEndedWithin(HEALTH_INTERVAL)) throw failed("ended before it was ready", null);
            if (Instant.now().isAfter(limit)) throw failed(NOT_READY, null);
        }
        port.complete(chosenPort);
        return this;
    }

    private IllegalStateException failed(String what, Exception cause) {
        if (!isAlive()) awaitLastWords();      // to end it closes the pipe, with what is still in there
        end();
        awaitLastWords();
        return new IllegalStateException("start: the engine " + what + " (" + lastWords() + "); " + log.cure(), cause);
    }

    /** The reason may still be on its way through the pipe when the process is gone. */
    private void awaitLastWords() {
        try {
            listener.join(LAST_WORDS_LIMIT.toMillis());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** Returns what the process said about its trouble, else how it ended. */
    String lastWords() {
        return log.trouble().orElseGet(() -> isAlive() ? "it said nothing" : "exit code " + process.exitValue());
    }

    boolean isAlive() { return process.isAlive(); }

    /** Sends the call; empty if the process died over it or hung. */
    Optional<Http.Reply> trySend(Http.Call call) {
        try {
            return Optional.of(Http.Client.send(port.join(), call));
        } catch (IOException e) {
            awaitExit(e);
            return Optional.empty();
        }
    }

    /** Waits until a dying process is dead, so that nobody sends to it again; ends one that hangs. */
    private void awaitExit(IOException failure) {
        if (failure instanceof HttpTimeoutException) end();
        else hasEndedWithin(EXIT_LIMIT);
    }

    /** Ends the process at once: it has nothing to save, and llama.cpp crashes if told to exit during a step. */
    void end() {
        process.destroyForcibly();
        hasEndedWithin(EXIT_LIMIT);
    }

    private boolean hasEndedWithin(Duration limit) {
        try {
            return process.waitFor(limit.toMillis(), MILLISECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return false;
        }
    }

    /** The last lines that an engine printed, and what they tell of its trouble. */
    static final class Log {
        private static final int KEPT_LINES = 40;
        private static final int SHOWN_LINES = 2;
        private static final Pattern TROUBLE =
            Pattern.compile("error|fail|cannot|unable|terminate called|what\\(\\)|SIG[A-Z]+", Pattern.CASE_INSENSITIVE);
        /** What llama.cpp puts before what is wrong with a file, and what it adds to that. */
        private static final Pattern SPEAKER = Pattern.compile("^(llama|common)_\\w+: (error loading model: )*");
        private static final String ADDED = "failed to load model";
        /** The first that fits. */
        private static final List<Map.Entry<String, String>> CURES = List.of(
            entry("libgomp", "install the package libgomp1 (Debian, Ubuntu) or libgomp (Fedora, Alpine)"),
            entry("libstdc++", "install the package libstdc++6 (Debian, Ubuntu) or libstdc++ (Fedora)"),
            entry("dependent libraries", "install the Visual C++ redistributable of Microsoft"),
            entry("SIGILL", "this CPU lacks AVX2, so put a llama-server built for it on the PATH"),
            entry("unknown model architecture", "put a newer llama-server on the PATH"),
            entry("cannot render chats", "put llama-server on the PATH, which renders any template"),
            entry("error loading model", "the file is broken, or newer than this llama.cpp: fetch it again, put a newer"
                + " llama-server on the PATH, or name another"));

        private final Deque<String> lines = new ArrayDeque<>();

        synchronized void add(String line) {
            lines.addLast(line.strip());
            if (lines.size() > KEPT_LINES) lines.removeFirst();
        }

        private synchronized List<String> lines() { return List.copyOf(lines); }

        /** Returns what sounds like trouble, the cause before its consequences; empty if nothing does. */
        Optional<String> trouble() {
            var trouble = lines().stream().filter(TROUBLE.asPredicate())
                .map(line -> SPEAKER.matcher(line).replaceFirst("")).filter(line -> !line.contains(ADDED))
                .limit(SHOWN_LINES).toList();
            return trouble.isEmpty() ? Optional.empty() : Optional.of(String.join(" | ", trouble));
        }

        /** Returns what to do about it. */
        String cure() {
            var said = String.join(" ", lines());
            return CURES.stream()
                .filter(cure -> said.contains(cure.getKey()))
                .map(Map.Entry::getValue)
                .findFirst()
                .orElse("name the URL of a running server instead");
        }
    }
}
