package sheaf;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** Lines of CSV in the making, as UTF-8: a cell stands in quotes where it must. */
final class CsvLines {
    private static final int MOST = Integer.MAX_VALUE - 8;      // bytes of an array
    private final boolean isAlone;                        // one cell a line, and a line of nothing is no row to most
    private byte[] bytes = new byte[1 << 16];
    private int size;
    private boolean isFirst = true;                       // cell of its line

    CsvLines(boolean isAlone) { this.isAlone = isAlone; }

    /** @param text of whole characters */
    void add(String text) { add(text.getBytes(StandardCharsets.UTF_8)); }

    /** @param cell in UTF-8 */
    void add(byte[] cell) {
        long most = size + 2L * cell.length + 4;           // a comma, two quotes, and one more for each quote
        if (most > bytes.length) bytes = Arrays.copyOf(bytes, (int) Math.min(Math.max(most, 2L * size), MOST));
        if (!isFirst) bytes[size++] = ',';
        if (isQuoted(cell)) quote(cell);
        else plain(cell);
        isFirst = false;
    }

    private boolean isQuoted(byte[] cell) {
        if (isAlone && new String(cell, StandardCharsets.UTF_8).isBlank()) return true;
        if (isFirst && cell.length > 0 && cell[0] == '#') return true;       // many pass over such a line
        for (var b : cell)
            if (b == '"' || b == ',' || b == '\n' || b == '\r') return true;
        return false;
    }

    private void plain(byte[] cell) {
        System.arraycopy(cell, 0, bytes, size, cell.length);
        size += cell.length;
    }

    private void quote(byte[] cell) {
        var out = bytes;                                   // a field would be loaded anew for each byte
        int at = size;
        out[at++] = '"';
        for (var b : cell) {
            if (b == '"') out[at++] = '"';
            out[at++] = b;
        }
        out[at++] = '"';
        size = at;
    }

    void end() {
        if (size + 2 > bytes.length) bytes = Arrays.copyOf(bytes, 2 * size);
        bytes[size++] = '\r';
        bytes[size++] = '\n';
        isFirst = true;
    }

    byte[] bytes() { return Arrays.copyOf(bytes, size); }
}
