package sheaf.model;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Path;

/** A place on the network that has the file of a model. It does not know what the file should be, or what for. */
interface Download {
    /** What people call the place. */
    String name();

    /** Ends the name of an unfinished file; each place has its own, so that none resumes what another began. */
    String suffix();

    /**
     * Fetches the whole file of so many bytes, or throws; its checksum is not looked at.
     * Says by {@code begins} when the place has answered, before anything large is read; what that throws is passed on.
     */
    void fetch(Path file, long bytes, Runnable begins) throws IOException;

    /** Returns a size as people read it, such as {@code 98 MB}. */
    static String megabytes(long bytes) { return Math.max(1, Math.round(bytes / 1e6)) + " MB"; }

    /** Shows on stderr how much of a file has come: a bar on a terminal, else a line for every tenth. */
    final class Progress {
        private static final int WIDTH = 30;   // of the bar, in characters

        private final boolean terminal = Machine.terminal().isPresent();
        private final long total;   // bytes
        private long done;          // bytes
        private long shown = -1;    // tenths, or per cent on a terminal

        Progress(long total, long done) {
            this.total = total;
            this.done = done;
        }

        void copy(InputStream in, OutputStream out) throws IOException {
            byte[] buffer = new byte[1 << 16];
            for (int n = in.read(buffer); n >= 0; n = in.read(buffer)) {
                out.write(buffer, 0, n);
                add(n);
            }
        }

        /** Shows that so many bytes more have come. */
        void add(long bytes) {
            done += bytes;
            long step = done * (terminal ? 100 : 10) / total;
            if (step == shown) return;
            shown = step;
            if (terminal) System.err.print(bar(step) + (done == total ? "\n" : ""));
            else System.err.println("sheaf: " + step * 10 + " % of " + megabytes(total));
        }

        private String bar(long percent) {
            int filled = (int) percent * WIDTH / 100;
            return "\rsheaf: [" + "#".repeat(filled) + " ".repeat(WIDTH - filled) + "] " + percent + " % of "
                + megabytes(total);
        }
    }
}
