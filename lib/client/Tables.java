package sheaf;

import static java.util.stream.Collectors.joining;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * Text tables as wide as the terminal. Columns that do not fit side by side stand below each other, in further lines of
 * each row. They know texts and widths, and nothing of what is shown.
 */
final class Tables {
    private static final int NARROWEST = 12;                   // a text beside all other columns
    private static final int READABLE = 18;                    // and where not all have room beside each other
    private static final int HEADER_LINES = 3;
    private static final int UNBOUNDED = Integer.MAX_VALUE;
    private static final int LONGEST = 20_000;                 // characters of a text: no table shows as many
    private static final String GAP = "  ";
    private final List<Column> columns;
    private final int[] widths;                                // of each column
    private int[] least;                                       // that each can be made
    private List<List<Integer>> bands;                         // of columns that stand side by side
    private final int width;
    private boolean isLive;                                    // the cursor can be moved to where a column begins
    private List<String> inks = List.of();                     // of the row that is drawn; none: it has no colours
    private final StringBuilder out = new StringBuilder();

    /** What stands in whole, such as an id or an address, is never broken, for people copy it; texts wrap. */
    record Column(String label, boolean isWhole) {}

    private Tables(List<Column> columns, List<List<String>> rows, int width) {
        this.columns = columns;
        this.width = width;
        widths = IntStream.range(0, columns.size()).map(column -> widest(column, rows)).toArray();
        arrange(NARROWEST);
        if (bands.size() > 1) arrange(READABLE);
        for (int column = 0; column < widths.length; column++)
            widths[column] = Math.max(least[column], Math.min(width, widths[column]));
        bands.forEach(this::fit);
    }

    /** Draws columns that are whole. */
    static String draw(List<String> header, List<List<String>> rows) {
        return draw(header.stream().map(label -> new Column(label, true)).toList(), rows, List.of(), HEADER_LINES);
    }

    /**
     * Draws a list, one line for each row: of its columns, first to last, those that the terminal has room for, and the
     * names of all others below. In a file or a pipe there is room for all.
     */
    static String list(List<String> header, List<List<String>> rows) {
        int room = Terminal.width(UNBOUNDED);
        var columns = header.stream().map(label -> new Column(label, true)).toList();
        var widths = new Tables(columns, rows, UNBOUNDED).widths;
        var shown = new ArrayList<>(List.of(0));
        var hidden = new ArrayList<String>();
        for (int column = 1; column < widths.length; column++) {
            shown.add(column);
            if (length(widths, shown) <= room) continue;
            shown.remove(shown.size() - 1);
            hidden.add(header.get(column));
        }
        var shownRows = rows.stream().map(row -> shown.stream().map(row::get).toList()).toList();
        var table = new Tables(shown.stream().map(columns::get).toList(), shownRows, UNBOUNDED);
        return table.drawn(shownRows, List.of(), 1)
            + (hidden.isEmpty() ? "" : "not shown in " + room + " columns: " + String.join(", ", hidden) + "\n");
    }

    /**
     * Draws columns as wide as they need, texts cut down until all fit; these wrap up to so many lines.
     * @param inks the colour of each cell, as {@code 31} is a terminal's red, or "": of all rows, or of none
     */
    static String draw(List<Column> columns, List<List<String>> rows, List<List<String>> inks, int cellLines) {
        return new Tables(columns, rows, Terminal.width()).drawn(rows, inks, cellLines);
    }

    private String drawn(List<List<String>> rows, List<List<String>> rowInks, int cellLines) {
        isLive = !rows.stream().flatMap(List::stream).allMatch(Graphemes::isAscii) && Terminal.isLive();
        drawRow(columns.stream().map(Column::label).toList(), HEADER_LINES);
        drawRule();
        for (int row = 0; row < rows.size(); row++) {
            inks = rowInks.isEmpty() ? List.of() : rowInks.get(row);
            drawRow(rows.get(row), cellLines);
        }
        return out.toString();
    }

    private int widest(int column, List<List<String>> rows) {
        return Stream.concat(Stream.of(columns.get(column).label()), rows.stream().map(row -> row.get(column)))
            .flatMap(Tables::lines).mapToInt(Graphemes::width).max().orElse(0);
    }

    private static Stream<String> lines(String cell) { return cell.strip().lines().map(Graphemes::printable); }

    /** Puts side by side as many columns as can be made to fit. */
    private void arrange(int narrowest) {
        least = IntStream.range(0, widths.length).map(column -> columns.get(column).isWhole() ? widths[column]
            : Math.min(Math.min(narrowest, width - GAP.length()), widths[column])).toArray();
        var band = new ArrayList<Integer>();
        bands = new ArrayList<>(List.of(band));
        for (int column = 0; column < widths.length; column++) {
            band.add(column);
            if (band.size() == 1 || length(least, band) <= width) continue;
            band.remove(band.size() - 1);
            band = new ArrayList<>(List.of(column));
            bands.add(band);
        }
    }

    /** Returns how long its lines are: the first begins at the margin, further ones after a gap. */
    private static int length(int[] widths, List<Integer> band) {
        return band.stream().mapToInt(column -> widths[column] + (column == 0 ? 0 : GAP.length())).sum();
    }

    /** Narrows the widest text until all fit, or none can be narrower. */
    private void fit(List<Integer> band) {
        Optional<Integer> widest = Optional.of(0);
        while (widest.isPresent() && length(widths, band) > width) {
            widest = band.stream().filter(column -> widths[column] > least[column])
                .max(Comparator.comparing(column -> widths[column]));
            widest.ifPresent(column -> widths[column]--);
        }
    }

    private void drawRule() {
        int longest = bands.stream().mapToInt(band -> length(widths, band)).max().orElse(0);
        if (bands.size() > 1) out.append("-".repeat(Math.min(width, longest))).append('\n');
        else drawRow(IntStream.of(widths).mapToObj("-"::repeat).toList(), 1);
    }

    /** The first line of a row begins at the margin, and no other. */
    private void drawRow(List<String> cells, int cellLines) {
        for (var band : bands) {
            var wrapped = band.stream().map(column -> wrap(cells.get(column), column, cellLines)).toList();
            int height = wrapped.stream().mapToInt(List::size).max().orElse(0);
            for (int line = 0; line < height; line++) drawLine(band, wrapped, line);
        }
    }

    private void drawLine(List<Integer> band, List<List<String>> wrapped, int line) {
        int end = 0;
        var text = new StringBuilder();
        for (int i = 0; i < band.size(); i++) {
            int column = band.get(i);
            var gap = column == 0 ? "" : GAP;
            end += gap.length() + widths[column];
            var piece = line < wrapped.get(i).size() ? wrapped.get(i).get(line) : "";
            text.append(gap).append(inked(piece, column));
            if (i < band.size() - 1) text.append(toEnd(end, widths[column], piece));
        }
        out.append(text.toString().stripTrailing()).append('\n');
    }

    private String inked(String piece, int column) {
        var ink = inks.isEmpty() || piece.isBlank() ? "" : inks.get(column);
        return ink.isEmpty() ? piece : "\u001b[" + ink + "m" + piece + "\u001b[0m";
    }

    /** Terminals differ in how wide an emoji is, but not in where a column is. */
    private String toEnd(int end, int width, String piece) {
        if (isLive && !Graphemes.isAscii(piece)) return "\u001b[" + (end + 1) + "G";
        return " ".repeat(Math.max(0, width - Graphemes.width(piece)));
    }

    private List<String> wrap(String cell, int column, int mostLines) {
        if (columns.get(column).isWhole()) return lines(cell).toList();
        int width = widths[column];
        var text = cell.length() <= LONGEST ? cell : cell.substring(0, LONGEST);
        var lines = lines(text).flatMap(line -> wrapLine(line, width)).limit(mostLines + 1).toList();
        if (lines.size() <= mostLines) return lines;
        var shown = new ArrayList<>(lines.subList(0, mostLines));
        shown.set(mostLines - 1, Graphemes.start(shown.get(mostLines - 1) + " ", width - 1).stripTrailing() + "\u2026");
        return shown;
    }

    private static Stream<String> wrapLine(String line, int width) {
        if (Graphemes.width(line) <= width) return Stream.of(line);
        var lines = new ArrayList<String>();
        var rest = Graphemes.of(line.stripTrailing());
        while (!rest.isEmpty()) {
            int end = end(rest, width);
            lines.add(rest.subList(0, end).stream().collect(joining()).stripTrailing());
            while (end < rest.size() && rest.get(end).isBlank()) end++;
            rest = rest.subList(end, rest.size());
        }
        return lines.stream();
    }

    /** Returns where a line ends: where a word does; of one that is longer than the line behind a dot, or anywhere. */
    private static int end(List<String> graphemes, int width) {
        int fits = 0;
        for (int used = 0; fits < graphemes.size(); fits++) {
            used += Graphemes.width(graphemes.get(fits));
            if (used > width && fits > 0) break;
        }
        if (fits == graphemes.size()) return fits;
        int word = 0;
        while (graphemes.get(word).isBlank()) word++;
        for (int end = fits; end > word; end--) if (isBetweenWords(graphemes, end)) return end;
        for (int end = fits; end > word; end--) if (isBetweenNames(graphemes, end)) return end;
        return fits;
    }

    /** What is written in wide characters has no spaces, and may be broken beside each. */
    private static boolean isBetweenWords(List<String> graphemes, int at) {
        var before = graphemes.get(at - 1);
        var after = graphemes.get(at);
        return before.equals(" ") || after.equals(" ") || Graphemes.isWide(before) || Graphemes.isWide(after);
    }

    /** As in {@code result.value.mood}; a number has its dot in its midst. */
    private static boolean isBetweenNames(List<String> graphemes, int at) {
        return graphemes.get(at - 1).equals(".") && Character.isLetter(graphemes.get(at).codePointAt(0));
    }
}
