package sheaf;

import java.nio.charset.MalformedInputException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HexFormat;

/** What stands between the quotes of a string of JSON, in UTF-8: it is written and read here without any tree. */
final class JsonText {
    /** How many bytes one byte of a text takes at most. */
    static final int MOST = 6;
    private static final byte[][] ESCAPES = new byte[128][];   // of what stands for itself: null
    private static final int[] LEAST = {0, 0, 0x80, 0x800, 0x10000};      // code point, by how many bytes it takes

    static {
        for (char c = 0; c < ' '; c++) ESCAPES[c] = ascii("\\u" + HexFormat.of().withUpperCase().toHexDigits(c));
        for (var pair : new String[] {"\bb", "\tt", "\nn", "\ff", "\rr", "\"\"", "\\\\"})
            ESCAPES[pair.charAt(0)] = ascii("\\" + pair.charAt(1));
    }

    private JsonText() {}

    /** Whether some reader takes it for the end of a line, though JSON does not. */
    static boolean endsLine(int c) { return c == 0x85 || c == 0x2028 || c == 0x2029; }

    /** Whether it is a lone surrogate: half a character, which UTF-8 cannot say. */
    static boolean isHalf(int codePoint) {
        return codePoint >= Character.MIN_SURROGATE && codePoint <= Character.MAX_SURROGATE;
    }

    static boolean hasHalf(String text) {
        for (int i = 0; i < text.length(); i++)
            if (Character.isSurrogate(text.charAt(i)) && isHalf(text.codePointAt(i++))) return true;
        return false;
    }

    private static byte[] ascii(String text) { return text.getBytes(StandardCharsets.US_ASCII); }

    /**
     * Writes a text of UTF-8, each byte in a char, and returns where it ends.
     * @param out has {@link #MOST} times as much room
     * @throws MalformedInputException if it is not UTF-8
     */
    static int put(char[] octets, int from, int length, byte[] out, int at) throws MalformedInputException {
        for (int i = from; i < from + length; ) {
            char c = octets[i];
            if (c < 0x80 && ESCAPES[c] == null) {
                out[at++] = (byte) c;
                i++;
            } else {
                int bytes = c < 0x80 ? 1 : sequence(octets, i, from + length);
                at = put(octets, i, bytes, c < 0x80 ? c : point(octets, i, bytes), out, at);
                i += bytes;
            }
        }
        return at;
    }

    private static int put(char[] octets, int from, int bytes, int point, byte[] out, int at) {
        if (point < 0x80) return put(ESCAPES[point], out, at);
        if (endsLine(point)) return put(escaped(point), out, at);
        for (int i = from; i < from + bytes; i++) out[at++] = (byte) octets[i];
        return at;
    }

    private static int put(byte[] escape, byte[] out, int at) {
        for (var b : escape) out[at++] = b;
        return at;
    }

    private static byte[] escaped(int point) { return ascii("\\u" + HexFormat.of().toHexDigits((char) point)); }

    /** Returns how many bytes the character has that begins here. */
    private static int sequence(char[] octets, int at, int end) throws MalformedInputException {
        int bytes = Integer.numberOfLeadingZeros(~octets[at] << 24);
        boolean isWhole = bytes >= 2 && bytes <= 4 && at + bytes <= end;
        for (int i = 1; isWhole && i < bytes; i++) isWhole = (octets[at + i] & 0xC0) == 0x80;
        int point = isWhole ? point(octets, at, bytes) : 0;
        if (!isWhole || point < LEAST[bytes] || isHalf(point) || point > Character.MAX_CODE_POINT)
            throw new MalformedInputException(1);
        return bytes;
    }

    private static int point(char[] octets, int at, int bytes) {
        int point = octets[at] & 0x7F >> bytes;
        for (int i = 1; i < bytes; i++) point = point << 6 | octets[at + i] & 0x3F;
        return point;
    }

    /** Returns the UTF-8 of a text, each byte in a char. */
    static char[] octets(String text) {
        return new String(text.getBytes(StandardCharsets.UTF_8), StandardCharsets.ISO_8859_1).toCharArray();
    }

    /** Returns a text as it stands between the quotes; null if it holds half a character, which depends on the next. */
    static byte[] of(String text) {
        if (hasHalf(text)) return null;
        try {
            var octets = octets(text);
            var out = new byte[octets.length * MOST];
            return Arrays.copyOf(out, put(octets, 0, octets.length, out, 0));
        } catch (MalformedInputException e) {
            throw new AssertionError(e);
        }
    }

    /** Returns what a text between quotes says. */
    static String read(byte[] json, int from, int to) {
        var utf8 = utf8(json, from, to);
        return utf8 != null ? new String(utf8, StandardCharsets.UTF_8)
            : unescaped(new String(json, from, to - from, StandardCharsets.UTF_8));
    }

    /** Returns what a text between quotes says, in UTF-8; null if a character stands by its number, as halves do. */
    static byte[] utf8(byte[] json, int from, int to) {
        var out = new byte[to - from];
        int at = 0;
        for (int i = from; i < to; i++) {
            if (json[i] != '\\') out[at++] = json[i];
            else if (json[++i] != 'u') out[at++] = (byte) unescaped((char) json[i]);
            else return null;
        }
        return at == out.length ? out : Arrays.copyOf(out, at);
    }

    /** Of a text in which characters stand by their numbers, some of which may be halves. */
    private static String unescaped(String text) {
        var out = new StringBuilder(text.length());
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (c != '\\') out.append(c);
            else if (text.charAt(++i) != 'u') out.append(unescaped(text.charAt(i)));
            else out.append((char) Integer.parseInt(text, i + 1, (i += 4) + 1, 16));
        }
        return out.toString();
    }

    private static char unescaped(char letter) {
        return switch (letter) {
            case 'b' -> '\b';
            case 'f' -> '\f';
            case 'n' -> '\n';
            case 'r' -> '\r';
            case 't' -> '\t';
            default -> letter;
        };
    }
}
