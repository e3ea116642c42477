package sheaf.server;

import java.io.ByteArrayOutputStream;
import java.io.Closeable;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;

/** The lines of a file, split on 0x0A only, one in memory at a time. They know nothing of what stands in them. */
final class Lines implements Closeable {
    static final int MAX_BYTES = 16 * 1024 * 1024;   // of one request

    private final InputStream in;
    private final ByteArrayOutputStream line = new ByteArrayOutputStream();
    private final byte[] buffer = new byte[64 * 1024];
    private final int maxBytes;
    private int position;
    private int end;
    int number;          // of the line returned last, from 1
    long offset;         // where that line ends
    boolean terminated;  // whether it ends in 0x0A

    /** Opens a file of which no more than {@code maxBytes + 1} bytes of each line matter. */
    Lines(Path path, int maxBytes) throws IOException {
        this.in = Files.newInputStream(path);
        this.maxBytes = maxBytes;
    }

    /** Returns the next line without its CR and LF, or null after the last one. */
    byte[] next() throws IOException {
        if (!filled()) return null;
        line.reset();
        number++;
        do take(); while (!terminated && filled());
        return withoutReturn(line.toByteArray());
    }

    private boolean filled() throws IOException {
        if (position < end) return true;
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

    static boolean isBlank(byte[] line) {
        for (byte each : line)
            if (each != ' ' && each != '\t' && each != '\r') return false;
        return true;
    }

    @Override public void close() throws IOException { in.close(); }
}
