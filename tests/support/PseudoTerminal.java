package sheaf.support;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** A terminal of its own for a command line of the shell, by {@code script} of util-linux; all it shows, as it came. */
public final class PseudoTerminal implements AutoCloseable {
    private final Process process;
    private final StringBuilder shown = new StringBuilder();
    private final Thread reader = new Thread(this::read, "terminal");

    /** Opens one of so many columns; skips the test if this machine has none. */
    public PseudoTerminal(int columns, String command, Path dir, Map<String, String> environment) throws Exception {
        assumeTrue(hasScript(), "no script of util-linux on this machine");
        var builder = new ProcessBuilder("script", "-qec", "stty rows 50 cols " + columns + "; " + command, "/dev/null")
            .directory(dir.toFile()).redirectErrorStream(true);
        builder.environment().keySet().removeIf(name -> name.matches("COLUMNS|.*_API_KEY|.*_TOKEN|(SHEAF|OPENAI)_.*"));
        builder.environment().putAll(Map.of("TERM", "xterm"));
        builder.environment().putAll(environment);
        process = builder.start();
        reader.setDaemon(true);
        reader.start();
    }

    private static boolean hasScript() throws InterruptedException {
        try {
            return new ProcessBuilder("script", "-qec", "true", "/dev/null").redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.DISCARD).start().waitFor() == 0;
        } catch (IOException noSuchProgram) {
            return false;
        }
    }

    private void read() {
        try (var in = process.getInputStream()) {
            copy(in);
        } catch (IOException closed) {
            // by its end
        }
    }

    /** A character may come in pieces, so bytes are kept as Latin-1 until they are asked for. */
    private void copy(InputStream in) throws IOException {
        for (int b = in.read(); b >= 0; b = in.read())
            synchronized (shown) {
                shown.append((char) b);
            }
    }

    public void type(String text) throws IOException {
        process.getOutputStream().write(text.getBytes(UTF_8));
        process.getOutputStream().flush();
    }

    /** Returns all that was shown. */
    public String text() {
        synchronized (shown) {
            return new String(shown.toString().getBytes(ISO_8859_1), UTF_8)
                .replace("\r\n", "\n");
        }
    }

    /** Waits until more than so many characters end in what the pattern says, and returns what came after these. */
    public String await(int before, String pattern) throws InterruptedException {
        long end = System.nanoTime() + TimeUnit.MINUTES.toNanos(2);
        while (!text().substring(before).matches("(?s).*" + pattern + ".*")) {
            assertTrue(System.nanoTime() < end && process.isAlive(), () -> pattern + " is not in " + text());
            Thread.sleep(20);
        }
        return text().substring(before);
    }

    /** Returns all that was shown until its end. */
    public String ended() throws InterruptedException {
        assertTrue(process.waitFor(60, TimeUnit.SECONDS), this::text);
        reader.join(60_000);
        assertEquals(0, process.exitValue(), this::text);
        return text();
    }

    @Override public void close() {
        process.descendants().forEach(ProcessHandle::destroyForcibly);
        process.destroyForcibly();
    }
}
