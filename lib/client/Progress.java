package sheaf;

import java.io.FilterInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.Locale;
import java.util.function.Function;
import java.util.function.Supplier;
import sheaf.Vocabulary.RequestCounts;

/** The state of a wait on stderr: one line rewritten on a terminal, elsewhere a line for each change. */
final class Progress {
    private static final Duration SILENCE = Duration.ofMinutes(1);      // after it an unchanged state is said again
    private static final Duration BLINK = Duration.ofMillis(100);
    private static final Duration GLANCE = Duration.ofSeconds(1);      // after it the terminal may be another width
    private final boolean quiet;
    private final boolean live = System.console() != null && !"dumb".equals(System.getenv("TERM"));
    private final Instant start = Instant.now();
    private Instant measured = Instant.EPOCH;
    private int width;                                     // of the terminal, when it was last measured
    private Instant said = Instant.EPOCH;
    private String last = "";
    private String trouble = "";
    private long first = -1;
    private boolean ended;
    private volatile boolean interrupted;                  // the process is ending

    Progress(boolean quiet) { this.quiet = quiet; }

    /** Works on; if Ctrl-C ends that, leaves the terminal clean and says how to come back. */
    <T> T during(Supplier<String> farewell, Function<Progress, T> work) {
        var hook = new Thread(() -> {
            interrupted = true;
            end(quiet ? "" : farewell.get());
        });
        Runtime.getRuntime().addShutdownHook(hook);
        try {
            return work.apply(this);
        } catch (Error e) {
            if (isCtrlC(e)) end(quiet ? "" : farewell.get());
            throw e;
        } finally {
            removeHook(hook);
            if (!interrupted) end("");
        }
    }

    /** In JShell it ends no process, but what runs in it: by an error that is JShell's own. */
    private static boolean isCtrlC(Error e) { return e.getClass().getName().startsWith("jdk.jshell."); }

    private static void removeHook(Thread hook) {
        try {
            Runtime.getRuntime().removeShutdownHook(hook);
        } catch (IllegalStateException shuttingDown) {
            // the hook is running: that is what ended the work
        }
    }

    /** Takes what went wrong with the last look; the next line says it. */
    void trouble(String message) { trouble = message; }

    synchronized void show(String what, RequestCounts counts) {
        if (quiet || ended || interrupted) return;
        if (first < 0) first = counts.completed() + counts.failed();
        var line = what + " " + counts + (trouble.isEmpty() ? pace(counts) : "; " + trouble);
        var step = step(what, counts);
        if (live) rewrite(line);
        else if (!step.equals(last) || Instant.now().isAfter(said.plus(SILENCE))) say(line, step);
        trouble = "";
    }

    private void say(String line, String step) {
        System.err.println(line);
        last = step;
        said = Instant.now();
    }

    /** A change worth a line of its own: another status, another tenth, another trouble. */
    private String step(String what, RequestCounts counts) {
        long tenth = counts.total() == 0 ? 0 : 10 * (counts.completed() + counts.failed()) / counts.total();
        return what + " " + tenth + trouble;
    }

    private String pace(RequestCounts counts) {
        long done = counts.completed() + counts.failed() - first;
        double seconds = Duration.between(start, Instant.now()).toMillis() / 1000.0;
        if (done <= 0 || seconds < 2) return "";
        double rate = done / seconds;
        long left = (long) ((counts.total() - counts.completed() - counts.failed()) / rate);
        var pace = rate >= 1 ? String.format(Locale.ROOT, ", %.1f/s", rate)
            : String.format(Locale.ROOT, ", %.1f/min", 60 * rate);
        return pace + (left < 1 ? "" : ", " + text(Duration.ofSeconds(left)) + " left");
    }

    synchronized void end(String message) {
        if (ended) return;
        ended = true;
        if (live && !quiet) clear();
        if (!message.isEmpty()) System.err.println(message);
    }

    private void rewrite(String line) {
        if (Instant.now().isAfter(measured.plus(GLANCE))) {
            width = Terminal.width();
            measured = Instant.now();
        }
        System.err.print("\r\u001b[K" + Graphemes.clip(line, width - 1));
    }

    /** Says what is to stay, above the line that is rewritten. */
    synchronized void note(String text) {
        if (quiet) return;
        if (live) clear();
        System.err.println(text);
    }

    private void clear() { System.err.print("\r\u001b[K"); }

    /** Returns what shows the bytes of one file on their way, such as {@code uploading part 1 of 2}. */
    Transfer transfer(String what) { return new Transfer(what); }

    /** The bytes of one file on their way; what takes a moment only is not worth a line. */
    final class Transfer implements AutoCloseable {
        private static final Duration MOMENT = Duration.ofMillis(500);      // where a line is rewritten
        private static final Duration WHILE = Duration.ofSeconds(3);        // where it stays
        private final String what;
        private final Instant start = Instant.now();
        private Instant said = Instant.EPOCH;
        private String last = "";
        private boolean isShown;
        private long first = -1;

        private Transfer(String what) { this.what = what; }

        /** Returns the bytes of a file, and shows how many have been read. */
        InputStream counted(Path file) throws IOException {
            long total = Files.size(file);
            return new FilterInputStream(Files.newInputStream(file)) {
                private long count;

                @Override public int read(byte[] bytes, int offset, int length) throws IOException {
                    int read = super.read(bytes, offset, length);
                    show(count += Math.max(0, read), total);
                    return read;
                }
            };
        }

        /** A total of 0 is one that nobody knows. */
        void show(long bytes, long total) {
            if (first < 0) first = bytes;
            var time = Duration.between(start, Instant.now());
            if (quiet || time.compareTo(live ? MOMENT : WHILE) < 0) return;
            var line = what + ", " + amount(bytes, total) + left(time, bytes, total);
            synchronized (Progress.this) {
                if (ended || interrupted) return;
                if (live) rewriteRarely(line);
                else sayOnce(line, total == 0 ? time.toMinutes() + "m" : String.valueOf(10 * bytes / total));
            }
        }

        private void rewriteRarely(String line) {
            if (Instant.now().isBefore(said.plus(BLINK))) return;
            rewrite(line);
            said = Instant.now();
            isShown = true;
        }

        private void sayOnce(String line, String step) {
            if (!step.equals(last)) System.err.println(line);
            last = step;
        }

        private static String amount(long bytes, long total) {
            return Messages.size(bytes) + (total == 0 ? "" : " of " + Messages.size(total));
        }

        private String left(Duration time, long bytes, long total) {
            if (bytes <= first || bytes >= total) return "";
            var left = Duration.ofMillis(time.toMillis() * (total - bytes) / (bytes - first));
            return left.toSeconds() < 1 ? "" : ", " + text(left) + " left";
        }

        @Override public void close() {
            synchronized (Progress.this) {
                if (isShown && !ended) clear();
            }
        }
    }

    /** Returns a time as people write it: 1h30m, 45s, 20ms. */
    static String text(Duration time) {
        if (time.toSeconds() < 1) return time.toMillis() + "ms";
        return (time.toHours() > 0 ? time.toHours() + "h" : "")
            + (time.toMinutesPart() > 0 ? time.toMinutesPart() + "m" : "")
            + (time.toSecondsPart() > 0 ? time.toSecondsPart() + "s" : "");
    }
}
