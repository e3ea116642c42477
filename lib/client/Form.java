package sheaf;

import java.nio.charset.MalformedInputException;
import java.nio.charset.StandardCharsets;
import java.util.AbstractMap;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import sheaf.Row.Columns;

/**
 * A request line with blanks, which the values of a row fill: it is made once by whatever makes a line of one row, from
 * a row of marks, and what stands between these is copied from then on.
 */
final class Form {
    /** Around the number of a blank: two characters that Unicode has set aside, so that no text has them. */
    private static final char OPEN = '\uFDD0';
    private static final char CLOSE = '\uFDD1';
    private static final Pattern MARK = Pattern.compile(OPEN + "([0-9]{1,4})" + CLOSE);
    private final byte[][] texts;                         // before, between and after the blanks
    private final List<String> blanks;                    // the name of each; the first is the number of the request
    private final Columns own;                            // of the blanks
    private final int[] places;                           // of the blanks in a row of these columns
    private Columns columns;
    private final int size;                               // bytes of all texts

    /** Makes a line of a row and the number of the request. */
    interface Maker {
        byte[] line(String number, Map<String, Object> row);
    }

    /** @param line has a mark for each blank */
    private Form(String line, List<String> names) {
        var marks = MARK.matcher(line);
        var between = MARK.split(line, -1);
        texts = new byte[between.length][];
        blanks = new ArrayList<>();
        int bytes = 0;
        for (int i = 0; i < texts.length; i++) bytes += (texts[i] = Json.bytes(between[i])).length;
        size = bytes;
        while (marks.find()) blanks.add(names.get(Integer.parseInt(marks.group(1))));
        own = new Columns(blanks.stream().skip(1).distinct().toList());
        places = new int[blanks.size() - 1];
    }

    /**
     * Returns what a maker makes of any row that has all values; empty if that depends on whether a value is empty, or
     * a text of the maker's own has what marks a blank.
     */
    static Optional<Form> of(Maker maker) {
        var names = new ArrayList<String>();
        var number = mark("", names);
        var marked = text(maker.line(number, new Marks(names)));
        var blank = text(maker.line("", new Blanks()));
        boolean isPlain = blank.indexOf(OPEN) < 0 && names.stream().noneMatch(JsonText::hasHalf)
            && MARK.matcher(marked).replaceAll("").equals(blank);
        return isPlain ? Optional.of(new Form(marked, names)) : Optional.empty();
    }

    private static String text(byte[] line) { return new String(line, StandardCharsets.UTF_8); }

    private static String mark(String name, List<String> names) {
        int number = names.indexOf(name);
        if (number < 0) names.add(name);
        return "" + OPEN + (number < 0 ? names.size() - 1 : number) + CLOSE;
    }

    /** Returns the line of a row; null if the row lacks a value, or one has half a character. */
    byte[] filled(long number, Map<String, Object> values) {
        var row = values instanceof Row known ? known : row(values);
        if (row == null || row.columns() != columns && !isPlaced(row.columns())) return null;
        var digits = Json.bytes(Long.toString(number));
        int length = size + digits.length;
        for (int place : places) length += row.end(place) - row.start(place);
        var line = new byte[length];
        int at = put(texts[0], 0, texts[0].length, line, 0);
        at = put(digits, 0, digits.length, line, at);
        at = put(texts[1], 0, texts[1].length, line, at);
        for (int i = 0; i < places.length; i++) {
            at = put(row.line(), row.start(places[i]), row.end(places[i]), line, at);
            at = put(texts[i + 2], 0, texts[i + 2].length, line, at);
        }
        return line;
    }

    private static int put(byte[] bytes, int from, int to, byte[] out, int at) {
        System.arraycopy(bytes, from, out, at, to - from);
        return at + to - from;
    }

    /** Whether rows of these columns have all values; then it is known where they stand. */
    private boolean isPlaced(Columns columns) {
        this.columns = null;
        for (int i = 0; i < places.length; i++)
            if ((places[i] = columns.place(blanks.get(i + 1))) < 0) return false;
        this.columns = columns;
        return true;
    }

    /** Returns the values of the blanks; null if one is missing, or has half a character. */
    private Row row(Map<String, Object> values) {
        var ends = new int[own.names().size()];
        var all = new StringBuilder();
        int place = 0;
        for (var name : own.names()) {
            var value = Templates.value(name, values);
            if (value == null || JsonText.hasHalf(Json.cell(value))) return null;
            all.append(JsonText.octets(Json.cell(value)));
            ends[place++] = all.length();
        }
        try {
            return new Row.Maker().row(own, all.toString().toCharArray(), ends, IntStream.range(0, place).toArray());
        } catch (MalformedInputException e) {
            throw new AssertionError(e);
        }
    }

    /** A row that has a mark for each name that is looked up. */
    private static final class Marks extends Blanks {
        private final List<String> names;

        Marks(List<String> names) { this.names = names; }

        @Override public Object get(Object name) { return mark((String) name, names); }
    }

    /** A row that has an empty value for each name that is looked up. */
    private static class Blanks extends AbstractMap<String, Object> {
        @Override public Object get(Object name) { return ""; }

        @Override public boolean containsKey(Object name) { return true; }

        @Override public Set<Entry<String, Object>> entrySet() { return Set.of(); }
    }
}
