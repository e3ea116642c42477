package sheaf;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_16;
import static java.nio.charset.StandardCharsets.UTF_16BE;
import static java.nio.charset.StandardCharsets.UTF_16LE;
import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PushbackInputStream;
import java.io.Reader;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.Charset;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.CoderResult;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.MalformedInputException;
import java.util.List;
import java.util.Optional;

/** Bytes as text, in the charset that is asked for or not at all. It knows byte order marks, and nothing of files. */
final class Encoding {
    private static final int START = 1 << 12;                  // bytes that are looked at first
    private static final List<Mark> MARKS = List.of(
        new Mark(UTF_8, 0xEF, 0xBB, 0xBF),
        new Mark(Charset.forName("UTF-32LE"), 0xFF, 0xFE, 0, 0),
        new Mark(Charset.forName("UTF-32BE"), 0, 0, 0xFE, 0xFF),
        new Mark(UTF_16LE, 0xFF, 0xFE),
        new Mark(UTF_16BE, 0xFE, 0xFF));
    private final PushbackInputStream in;                  // after the byte order mark
    private final Charset asked;
    private final Charset charset;                         // by which the bytes are read
    private final String family;                           // that the bytes themselves tell; "": they tell none
    private final boolean looksLikeUtf8;
    private final String start;                            // of the text, as far as it was looked at

    private record Mark(Charset charset, int... bytes) {
        boolean begins(byte[] start) {
            for (int i = 0; i < bytes.length; i++)
                if (i == start.length || (start[i] & 0xFF) != bytes[i]) return false;
            return true;
        }
    }

    Encoding(InputStream in, Charset asked) throws IOException {
        this.in = new PushbackInputStream(in, START);
        this.asked = asked;
        var start = this.in.readNBytes(START);
        var mark = MARKS.stream().filter(known -> known.begins(start)).findFirst();
        family = mark.map(known -> family(known.charset)).orElseGet(() -> looksLikeUtf16(start) ? "UTF-16" : "");
        boolean fits = mark.isPresent() && !isAnother();
        charset = fits ? mark.get().charset : ordered(start);
        int skipped = fits ? mark.get().bytes.length : 0;
        looksLikeUtf8 = !asked.name().startsWith("UTF-") && isUtf8BeyondAscii(start);
        this.start = new String(start, skipped, start.length - skipped, charset);
        this.in.unread(start, skipped, start.length - skipped);
    }

    /** UTF-16 for both orders of its bytes. */
    private static String family(Charset charset) { return charset.name().replaceFirst("[LB]E$", ""); }

    /** Half the bytes of a text in a Latin script are NUL then, and hardly one of any other text. */
    private boolean looksLikeUtf16(byte[] start) {
        return !family(asked).matches("UTF-(16|32)") && zeros(start, 0) + zeros(start, 1) > start.length / 4;
    }

    private static long zeros(byte[] bytes, int from) {
        long zeros = 0;
        for (int i = from; i < bytes.length; i += 2)
            if (bytes[i] == 0) zeros++;
        return zeros;
    }

    /** Without a mark UTF-16 tells no order; of a comma, a digit or the end of a line the high byte is NUL. */
    private Charset ordered(byte[] start) {
        if (!asked.equals(UTF_16)) return asked;
        return zeros(start, 0) > zeros(start, 1) ? UTF_16BE : UTF_16LE;
    }

    /** Letters in another charset are hardly ever UTF-8; the last one may be cut off. */
    private static boolean isUtf8BeyondAscii(byte[] start) {
        var text = CharBuffer.allocate(start.length);
        var result = strict(UTF_8).decode(ByteBuffer.wrap(start), text, false);
        return !result.isError() && text.flip().chars().anyMatch(c -> c > 0x7F);
    }

    /** Whether another charset is asked for than the one that the letters at the start seem to be in. */
    boolean looksLikeUtf8() { return looksLikeUtf8; }

    /** Returns the charset that the bytes themselves tell, where that is not the one asked for. */
    Optional<String> another() { return isAnother() ? Optional.of(family) : Optional.empty(); }

    private boolean isAnother() { return !family.isEmpty() && !family.equals(family(asked)); }

    /** Returns the text without a byte order mark; what is no text in this charset is refused, and not replaced. */
    Reader reader() throws IOException {
        if (isAnother()) throw new MalformedInputException(1);
        return new InputStreamReader(in, strict(charset));
    }

    /** Returns the start of the text, whether or not it is one in this charset. */
    String start() { return start; }

    boolean isUtf8() { return charset.equals(UTF_8); }

    /** Returns each byte as a char: decoding costs as much as parsing, and who looks for ASCII needs none. */
    Reader octets() throws IOException {
        if (isAnother()) throw new MalformedInputException(1);
        return new InputStreamReader(in, ISO_8859_1);
    }

    private static CharsetDecoder strict(Charset charset) {
        return charset.newDecoder().onMalformedInput(CodingErrorAction.REPORT)
            .onUnmappableCharacter(CodingErrorAction.REPORT);
    }

    /** Returns the line of the first byte that is no text, from 1; a line ends at CR, at LF, or at both together. */
    long faultyLine() throws IOException {
        var decoder = strict(charset);
        var bytes = ByteBuffer.allocate(START);
        var line = new LineCount();
        boolean hasEnded = isAnother();
        while (!hasEnded) {
            int read = in.read(bytes.array(), bytes.position(), bytes.remaining());
            hasEnded = read < 0;
            bytes.position(bytes.position() + Math.max(0, read)).flip();
            if (line.decode(decoder, bytes, hasEnded).isError()) return line.number;
            bytes.compact();
        }
        return line.number;
    }

    /** Counts the lines of what is decoded. */
    private static final class LineCount {
        private final CharBuffer chars = CharBuffer.allocate(START);
        private long number = 1;
        private char before;

        CoderResult decode(CharsetDecoder decoder, ByteBuffer bytes, boolean isLast) {
            CoderResult result;
            do {
                result = decoder.decode(bytes, chars, isLast);
                chars.flip();
                while (chars.hasRemaining()) add(chars.get());
                chars.clear();
            } while (result.isOverflow());
            return result;
        }

        private void add(char c) {
            if (c == '\r' || c == '\n' && before != '\r') number++;
            before = c;
        }
    }
}
