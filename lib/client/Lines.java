package sheaf;

import java.io.ByteArrayOutputStream;
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
    private final InputStream in;
    private final byte[] buffer = new byte[1 << 16];
    private int position;
    private int limit;
    private long next;                            // offset of the line after this one
    private long start;
    private long number;
    private ByteBuffer line = ByteBuffer.allocate(0);

    Lines(InputStream in) { this.in = in; }

    /** Reads the next line; a final newline begins none. */
    boolean advance() throws IOException {
        if (position == limit && !fill()) return false;
        var bytes = new ByteArrayOutputStream(256);
        boolean ended = false;
        while (!ended && (position < limit || fill())) ended = take(bytes);
        start = next;
        next += bytes.size() + (ended ? 1 : 0);
        number++;
        line = trimmed(bytes.toByteArray());
        return true;
    }

    private boolean fill() throws IOException {
        position = 0;
        limit = Math.max(0, in.read(buffer));
        return limit > 0;
    }

    private boolean take(ByteArrayOutputStream bytes) {
        int end = position;
        while (end < limit && buffer[end] != '\n') end++;
        bytes.write(buffer, position, end - position);
        position = Math.min(end + 1, limit);
        return end < limit;
    }

    /** Without the byte order mark of the first line, and the carriage return of a Windows file. */
    private ByteBuffer trimmed(byte[] bytes) {
        int skip = number == 1 && bytes.length >= 3 && Arrays.equals(bytes, 0, 3, BOM, 0, 3) ? 3 : 0;
        int end = bytes.length > skip && bytes[bytes.length - 1] == '\r' ? bytes.length - 1 : bytes.length;
        start += skip;
        return ByteBuffer.wrap(bytes, skip, end - skip).slice();
    }

    /** Returns the number of the line that was read last, from 1. */
    long number() { return number; }

    /** Returns its first byte's offset in the stream. */
    long start() { return start; }

    /** Returns its length in bytes. */
    int length() { return line.capacity(); }

    boolean isBlank() { return new String(bytes(), StandardCharsets.ISO_8859_1).isBlank(); }

    boolean isUtf8() {
        try {
            strictUtf8(line.duplicate());
            return true;
        } catch (CharacterCodingException e) {
            return false;
        }
    }

    String text() { return new String(bytes(), StandardCharsets.UTF_8); }

    private byte[] bytes() {
        var bytes = new byte[line.capacity()];
        line.duplicate().get(bytes);
        return bytes;
    }

    @Override public void close() throws IOException { in.close(); }

    /** Returns the text without a byte order mark; fails if it is not UTF-8. */
    static String strictUtf8(ByteBuffer bytes) throws CharacterCodingException {
        var decoder = StandardCharsets.UTF_8.newDecoder().onMalformedInput(CodingErrorAction.REPORT);
        var text = decoder.decode(bytes).toString();
        return text.startsWith("\uFEFF") ? text.substring(1) : text;
    }
}
