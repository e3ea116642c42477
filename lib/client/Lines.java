package sheaf;

import java.io.Closeable;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** Lines of a stream, split on 0x0A alone: in a JSON line U+2028 and a lone carriage return are text. */
final class Lines implements Closeable {
    private static final byte[] BOM = {(byte) 0xEF, (byte) 0xBB, (byte) 0xBF};
    private static final char REPLACED = '\uFFFD';
    private final InputStream in;
    private byte[] buffer = new byte[1 << 16];    // grows with a line that is longer
    private int position;                         // of the line after this one in it
    private int limit;
    private int from;                             // of this line
    private int to;
    private Boolean isUtf8;                       // null: nobody has asked
    private long next;                            // offset of the line after this one
    private long start;
    private long number;

    Lines(InputStream in) { this.in = in; }

    /** Reads the next line; a final newline begins none. */
    boolean advance() throws IOException {
        int end = newline(position);
        while (end == limit) {
            int searched = limit - position;
            boolean isMore = fill();
            end = newline(searched);              // it begins at the front now
            if (!isMore) break;
        }
        if (position == limit) return false;
        isUtf8 = null;
        from = position;
        to = end;
        position = Math.min(end + 1, limit);
        start = next;
        next += position - from;
        number++;
        trim();
        return true;
    }

    private int newline(int at) {
        while (at < limit && buffer[at] != '\n') at++;
        return at;
    }

    /** Reads on behind the line that is begun, which moves to the front. */
    private boolean fill() throws IOException {
        limit -= position;
        System.arraycopy(buffer, position, buffer, 0, limit);
        position = 0;
        if (limit == buffer.length) buffer = Arrays.copyOf(buffer, 2 * limit);
        int read = Math.max(0, in.read(buffer, limit, buffer.length - limit));
        limit += read;
        return read > 0;
    }

    /** Passes over the byte order mark of the first line, and the carriage return of a Windows file. */
    private void trim() {
        int skip = number == 1 && to - from >= 3 && Arrays.equals(buffer, from, from + 3, BOM, 0, 3) ? 3 : 0;
        from += skip;
        start += skip;
        if (to > from && buffer[to - 1] == '\r') to--;
    }

    /** Returns the number of the line that was read last, from 1. */
    long number() { return number; }

    /** Returns its first byte's offset in the stream. */
    long start() { return start; }

    /** Returns its length in bytes. */
    int length() { return to - from; }

    boolean isBlank() { return (from == to || buffer[from] <= ' ') && latin().isBlank(); }

    private String latin() { return new String(buffer, from, length(), StandardCharsets.ISO_8859_1); }

    boolean isUtf8() {
        if (isUtf8 == null) isUtf8 = text().indexOf(REPLACED) < 0 || isStrictUtf8();     // nothing was replaced
        return isUtf8;
    }

    private boolean isStrictUtf8() {
        try {
            strictUtf8(ByteBuffer.wrap(buffer, from, length()));
            return true;
        } catch (CharacterCodingException e) {
            return false;
        }
    }

    String text() { return new String(buffer, from, length(), StandardCharsets.UTF_8); }

    /** Returns what is found in the line's bytes, which are there until the next one is read. */
    <T> T read(Reading<T> reading) { return reading.of(buffer, from, length()); }

    interface Reading<T> {
        T of(byte[] bytes, int offset, int length);
    }

    @Override public void close() throws IOException { in.close(); }

    /** Returns the text without a byte order mark; fails if it is not UTF-8. */
    static String strictUtf8(ByteBuffer bytes) throws CharacterCodingException {
        var decoder = StandardCharsets.UTF_8.newDecoder().onMalformedInput(CodingErrorAction.REPORT);
        var text = decoder.decode(bytes).toString();
        return text.startsWith("\uFEFF") ? text.substring(1) : text;
    }
}
