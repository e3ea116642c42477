package sheaf;

import static sheaf.Messages.clip;
import static sheaf.Messages.count;
import static sheaf.Messages.notNegative;
import static sheaf.Messages.number;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.AbstractList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.function.ToLongFunction;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/** Lists that print as tables, and groups that print as bars, for a terminal, a page or a notebook. */
public class Listings extends Vocabulary {
    private static final int LABEL = 30;                  // characters
    private static final int BARS = 50;                   // that a page or a notebook shows

    Listings() {}

    /** What a property tells apart, in the order of first appearance; it prints as bars. */
    public static final class Groups<K, V> extends LinkedHashMap<K, V> {
        private final transient ToLongFunction<V> size;
        private final transient Function<K, String> label;
        private final String note;                             // the lines below the bars; "" for none

        static <K, T, V> Groups<K, V> of(Map<K, T> groups, Function<T, V> value, ToLongFunction<V> size) {
            var all = new LinkedHashMap<K, V>();
            groups.forEach((key, group) -> all.put(key, value.apply(group)));
            return new Groups<>(all, size, String::valueOf, "");
        }

        Groups(Map<K, V> groups, ToLongFunction<V> size, Function<K, String> label, String note) {
            super(groups);
            this.size = size;
            this.label = label;
            this.note = note;
        }

        String note() { return note; }

        /** Returns how large each is, by its label. */
        Map<String, Long> labelled() {
            var sizes = new LinkedHashMap<String, Long>();
            forEach((key, value) -> sizes.put(label.apply(key), size.applyAsLong(value)));
            return sizes;
        }

        private List<String> names() {
            return keySet().stream().map(key -> Graphemes.printable(clip(label.apply(key), LABEL))).toList();
        }

        private List<Long> sizes() { return values().stream().map(size::applyAsLong).toList(); }

        private static long most(List<Long> sizes) { return sizes.stream().mapToLong(Long::longValue).max().orElse(1); }

        private static List<String> said(List<Long> sizes) {
            long all = Math.max(1, sizes.stream().mapToLong(Long::longValue).sum());
            return sizes.stream().map(size -> String.format(Locale.ROOT, "%,d (%.1f%%)", size, 100.0 * size / all))
                .toList();
        }

        /** Returns the bars for a page or a notebook, the first 50; texts are escaped. */
        public String toHtml() {
            var names = names();
            var sizes = sizes();
            var said = said(sizes);
            var rows = IntStream.range(0, Math.min(BARS, sizes.size())).mapToObj(i -> List.of(
                Html.cell(names.get(i)), Html.bar(names.get(i) + ": " + said.get(i), most(sizes), sizes.get(i)),
                Html.cell(said.get(i)))).toList();
            return (rows.isEmpty() ? "" : Html.drawn(List.of(), rows)) + Html.lines(note)
                + Html.lines(sizes.size() > BARS ? "and " + count(sizes.size() - BARS, "more group") : "");
        }

        /** Returns a bar for each group, as wide as the terminal at most, with how many are in it. */
        @Override public String toString() {
            var names = names();
            var sizes = sizes();
            var said = said(sizes);
            int wide = names.stream().mapToInt(Graphemes::width).max().orElse(0);
            int room = Math.max(1, Math.min(40, Terminal.width() - wide - 24));
            var bars = IntStream.range(0, sizes.size()).mapToObj(i -> names.get(i)
                + " ".repeat(wide - Graphemes.width(names.get(i))) + "  "
                + "\u2588".repeat((int) Math.ceil((double) room * sizes.get(i) / Math.max(1, most(sizes))))
                + "  " + said.get(i));
            return Stream.concat(bars, Stream.of(note).filter(text -> !text.isEmpty()))
                .collect(Collectors.joining("\n"));
        }
    }

    /** A list that prints as a table: in a narrow terminal the columns that have room, first to last. */
    public static final class Listing<T> extends AbstractList<T> {
        private final List<T> items;
        private final List<String> columns;
        private final Function<T, List<String>> cells;
        private final Function<List<T>, String> sum;           // the line below the table; "" for none

        Listing(List<T> items, List<String> columns, Function<T, List<String>> cells) {
            this(items, columns, cells, all -> "");
        }

        Listing(List<T> items, List<String> columns, Function<T, List<String>> cells,
                        Function<List<T>, String> sum) {
            this.items = items;
            this.columns = columns;
            this.cells = cells;
            this.sum = sum;
        }

        /** Returns what a provider lists, with these fields of it as columns. */
        static Listing<Map<String, Object>> of(List<JsonNode> items, String... columns) {
            var rows = items.stream().map(item -> PlainValues.map(PlainValues.of(item))).toList();
            return new Listing<>(rows, List.of(columns),
                row -> Stream.of(columns).map(column -> cell(row.get(column))).toList());
        }

        private static String cell(Object value) {
            return value instanceof Integer || value instanceof Long ? number(((Number) value).longValue())
                : Json.cell(value);
        }

        @Override public T get(int index) { return items.get(index); }

        @Override public int size() { return items.size(); }

        /** Returns those of this kind; they print as a table too. */
        public Listing<T> only(Predicate<? super T> kind) {
            return new Listing<>(items.stream().filter(kind).toList(), columns, cells, sum);
        }

        /** Returns the first of these, at most so many, above the sum of all; they print as a table too. */
        public Listing<T> first(int most) {
            return new Listing<>(items.stream().limit(notNegative("first", most)).toList(), columns, cells,
                shown -> sum.apply(items));
        }

        /** Prints the table to stdout. */
        public void show() { System.out.println(this); }

        /** Returns the table as HTML, for a page or a notebook; texts are escaped. */
        public String toHtml() {
            return items.isEmpty() ? Html.lines("(none)")
                : Html.table(columns, items.stream().map(cells).toList()) + Html.lines(sum.apply(items));
        }

        @Override public String toString() {
            return items.isEmpty() ? "(none)" : (Tables.list(columns, items.stream().map(cells).toList())
                + sum.apply(items)).stripTrailing();
        }
    }
}
