package sheaf.model;

import static java.nio.charset.StandardCharsets.UTF_8;
import static java.util.concurrent.TimeUnit.MILLISECONDS;
import static java.util.concurrent.TimeUnit.SECONDS;

import java.io.IOException;
import java.net.http.HttpTimeoutException;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeoutException;

/** A child process that serves a model, from its start to its end. It does not know who chose the program. */
final class EngineProcess {
    private static final Duration START = Duration.ofMinutes(2);   // a large model on a slow disk
    private static final Duration LOOK = Duration.ofMillis(50);
    private static final Duration EXIT = Duration.ofSeconds(5);
    private static final Duration LAST_WORDS = Duration.ofSeconds(5);

    private final Process process;
    private final Thread ender;   // a shutdown hook, because llama-server does not notice that its parent ends
    private final Thread listener = Loopback.daemon(this::listen);
    private final EngineLog log = new EngineLog();
    private final CompletableFuture<Integer> port = new CompletableFuture<>();

    private EngineProcess(Process process) {
        this.process = process;
        this.ender = new Thread(process::destroyForcibly);
    }

    static EngineProcess start(List<String> command) {
        try {
            var builder = new ProcessBuilder(command).redirectErrorStream(true);
            builder.environment().keySet().removeAll(Set.of("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS"));
            var engine = new EngineProcess(builder.start());
            engine.listener.start();
            engine.endWithThisJvm();
            return engine;
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
            dropHook();
        }
    }

    private void hear(String line) {
        WorkerProtocol.portIn(line).ifPresent(port::complete);
        log.add(line);
    }

    /** Waits until the process says that it is ready, as a worker does. */
    EngineProcess awaitReadyLine() {
        try {
            port.get(START.toSeconds(), SECONDS);
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

    /** Waits until the process answers GET /health on the port that it was given, as llama-server does. */
    EngineProcess awaitHealth(int chosenPort) {
        var limit = Instant.now().plus(START);
        while (!Client.isHealthy(chosenPort)) {
            if (hasEndedWithin(LOOK)) throw failed("ended before it was ready", null);
            if (Instant.now().isAfter(limit)) throw failed("was not ready after " + START.toSeconds() + " s", null);
        }
        port.complete(chosenPort);
        return this;
    }

    private IllegalStateException failed(String what, Exception cause) {
        end();
        hearOut();
        return new IllegalStateException("start: the engine " + what + " (" + lastWords() + "); " + log.cure(), cause);
    }

    /** The reason may still be on its way through the pipe when the process is gone. */
    private void hearOut() {
        try {
            listener.join(LAST_WORDS.toMillis());
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
    Optional<Loopback.Reply> trySend(Loopback.Call call) {
        try {
            return Optional.of(Client.send(port.join(), call));
        } catch (IOException e) {
            settle(e);
            return Optional.empty();
        }
    }

    /** Waits until a dying process is dead, so that nobody sends to it again; ends one that hangs. */
    private void settle(IOException failure) {
        if (failure instanceof HttpTimeoutException) end();
        else hasEndedWithin(EXIT);
    }

    /** Ends the process at once: it has nothing to save, and llama.cpp crashes if told to exit during a step. */
    void end() {
        process.destroyForcibly();
        hasEndedWithin(EXIT);
    }

    private boolean hasEndedWithin(Duration limit) {
        try {
            return process.waitFor(limit.toMillis(), MILLISECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return false;
        }
    }
}
