package sheaf;

import static java.nio.charset.StandardCharsets.US_ASCII;

import java.io.ByteArrayOutputStream;
import java.nio.charset.MalformedInputException;
import java.util.AbstractMap;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** A row of texts as the line of JSON that stands for it on disk: a value is only read if it is asked for. */
final class Row extends AbstractMap<String, Object> {
    private static final byte[] TAIL = {'"', '}'};
    private final Columns columns;
    private final byte[] line;                            // without its newline
    private final int[] ends;                             // of each value, where its quote stands

    private Row(Columns columns, byte[] line, int[] ends) {
        this.columns = columns;
        this.line = line;
        this.ends = ends;
    }

    /** Makes rows, one after another, in a buffer that grows with the longest. */
    static final class Maker {
        private byte[] line = new byte[1 << 12];

        /**
         * Makes a row of texts in UTF-8, each byte in a char, one behind the other.
         * @param ends where each text ends, by its place
         * @param places of the columns' values
         * @throws MalformedInputException if they are not UTF-8
         */
        Row row(Columns columns, char[] octets, int[] ends, int[] places) throws MalformedInputException {
            int length = 0;
            for (int place : places) length += ends[place] - start(ends, place);
            int most = Math.addExact(columns.size + TAIL.length, Math.multiplyExact(JsonText.MOST, length));
            if (most > line.length) line = new byte[Math.max(most, 2 * line.length)];
            var found = new int[places.length];
            int at = 0;
            for (int i = 0; i < places.length; i++) {
                int start = start(ends, places[i]);
                at = put(columns.heads[i], line, at);
                found[i] = at = JsonText.put(octets, start, ends[places[i]] - start, line, at);
            }
            return new Row(columns, Arrays.copyOf(line, put(TAIL, line, at)), found);
        }

        private static int start(int[] ends, int place) { return place == 0 ? 0 : ends[place - 1]; }

        private static int put(byte[] bytes, byte[] out, int at) {
            System.arraycopy(bytes, 0, out, at, bytes.length);
            return at + bytes.length;
        }
    }

    /** Finds the values in a line; empty if it has other columns, or values that are no texts. */
    static Optional<Row> read(Columns columns, byte[] line) {
        var ends = new int[columns.heads.length];
        int at = 0;
        for (int i = 0; i < ends.length; i++) {
            var head = columns.heads[i];
            if (!Arrays.equals(line, at, Math.min(line.length, at + head.length), head, 0, head.length))
                return Optional.empty();
            at += head.length;
            while (at < line.length && line[at] != '"') at += line[at] == '\\' ? 2 : 1;
            ends[i] = at;
        }
        boolean isWhole = ends.length > 0 && at + 2 == line.length && line[at + 1] == '}';
        return isWhole ? Optional.of(new Row(columns, line, ends)) : Optional.empty();
    }

    Columns columns() { return columns; }

    /** Returns the line, without its newline. */
    byte[] line() { return line; }

    /** Returns the line with one more value, which is JSON already. */
    byte[] lineWith(String name, byte[] json) {
        var head = Columns.head(",\"", name, "\":");
        var out = new ByteArrayOutputStream(line.length + head.length + json.length + 1);
        out.write(line, 0, line.length - 1);
        out.writeBytes(head);
        out.writeBytes(json);
        out.write('}');
        return out.toByteArray();
    }

    int start(int column) { return (column == 0 ? 0 : ends[column - 1]) + columns.heads[column].length; }

    int end(int column) { return ends[column]; }

    @Override public Object get(Object name) {
        var column = columns.places.get(name);
        return column == null ? null : JsonText.read(line, start(column), end(column));
    }

    /** Returns a value in UTF-8; null if there is none, or it is not to be had without being read. */
    byte[] utf8(String name) {
        int column = columns.place(name);
        return column < 0 ? null : JsonText.utf8(line, start(column), end(column));
    }

    @Override public boolean containsKey(Object name) { return columns.places.containsKey(name); }

    @Override public Set<String> keySet() { return columns.names; }

    @Override public Set<Entry<String, Object>> entrySet() { return copy().entrySet(); }

    /** Returns the row read, as a map of its own. */
    Map<String, Object> copy() {
        var copy = new LinkedHashMap<String, Object>(2 * ends.length);
        for (var name : columns.names) copy.put(name, get(name));
        return copy;
    }

    /** The names that all rows of a file have, and what stands in a line in front of each value. */
    static final class Columns {
        private final Set<String> names;
        private final Map<String, Integer> places = new HashMap<>();
        private final byte[][] heads;
        private final int size;                           // bytes of all heads

        /** Returns columns of these names; none at all if one of them has half a character. */
        static Columns of(List<String> names) {
            return new Columns(names.stream().anyMatch(JsonText::hasHalf) ? List.of() : names);
        }

        /** @param names of whole characters */
        Columns(List<String> names) {
            this.names = Collections.unmodifiableSet(new LinkedHashSet<>(names));
            heads = new byte[names.size()][];
            for (int i = 0; i < heads.length; i++) {
                places.put(names.get(i), i);
                heads[i] = head(i == 0 ? "{\"" : "\",\"", names.get(i), "\":\"");
            }
            size = Arrays.stream(heads).mapToInt(head -> head.length).sum();
        }

        private static byte[] head(String before, String name, String after) {
            var head = new ByteArrayOutputStream();
            head.writeBytes(before.getBytes(US_ASCII));
            head.writeBytes(JsonText.of(name));
            head.writeBytes(after.getBytes(US_ASCII));
            return head.toByteArray();
        }

        Set<String> names() { return names; }

        /** Returns where a column's value stands in a row; -1 if there is no such column. */
        int place(String name) { return places.getOrDefault(name, -1); }
    }
}
