package sheaf.support;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** A server in a JVM of its own, which can be killed. */
public final class ServerProcess {
    private final Process process;
    private final BufferedReader stdout;
    private final Path stderr;
    private String url;                      // null until the server has said it
    private volatile boolean ended;

    private ServerProcess(Process process, Path stderr) {
        this.process = process;
        this.stdout = process.inputReader();
        this.stderr = stderr;
    }

    /** Starts a server on a store and returns before it listens; {@code java} are options for its JVM. */
    public static ServerProcess start(Path store, String engine, String... java) {
        return start(List.of(), store, engine, java);
    }

    /** Starts a server by a command that ends in the one to execute, such as {@code sh -c 'exec "$@"' sh}. */
    public static ServerProcess start(List<String> wrapper, Path store, String engine, String... java) {
        var command = new ArrayList<String>(wrapper);
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        command.addAll(Arrays.asList(java));
        command.add("-Djava.io.tmpdir=" + store.getParent());       // where native code is left behind by a kill
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), "sheaf.server.BatchServer",
            "--port", "0", "--store", store.toString(), "--engine", engine));
        var stderr = store.resolveSibling(store.getFileName() + ".err");
        try {
            var builder = new ProcessBuilder(command)
                .redirectError(ProcessBuilder.Redirect.appendTo(stderr.toFile()));
            return new ServerProcess(builder.start(), stderr);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Returns where the server listens, once it does. */
    public synchronized String url() {
        try {
            if (url == null) {
                var line = stdout.readLine();
                if (line == null || !line.startsWith("OPENAI_BASE_URL="))
                    throw new AssertionError("the server did not start: " + line + " " + stderr());
                url = line.substring("OPENAI_BASE_URL=".length());
            }
            return url;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    public long pid() { return process.pid(); }

    public String stderr() {
        try {
            return Files.readString(stderr);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Returns whether somebody has ended the server, or is about to. */
    public boolean isEnded() { return ended; }

    /** Ends the server with SIGKILL, of which it learns nothing. */
    public void kill() {
        ended = true;
        process.destroyForcibly();
        awaitEnd();
    }

    /** Ends the server with SIGTERM, as Ctrl-C does. */
    public void stop() {
        ended = true;
        process.destroy();
        awaitEnd();
    }

    private void awaitEnd() {
        try {
            if (!process.waitFor(1, TimeUnit.MINUTES)) throw new AssertionError("the server did not end");
            stdout.close();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
    }
}
