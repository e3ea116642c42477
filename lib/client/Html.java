package sheaf;

import static sheaf.Messages.count;

import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * Tables and bars for a page or a notebook. All style is inline, and every colour stands on black and on white: a
 * notebook drops style sheets, and its page may be dark. A bar is SVG in a cell of its own; where that is dropped, the
 * table still has its words and numbers.
 */
final class Html {
    private static final int CELL_CHARACTERS = 20_000;     // more are not read in a table, and burden a browser
    private static final String CELL = "style=\"border-bottom: 1px solid rgba(128,128,128,.35);"
        + " padding: .3em .8em .3em .4em; text-align: left; vertical-align: top;";
    private static final String GOOD = " background: rgba(38,142,80,%s);", BAD = " background: rgba(224,64,48,%s);";
    private static final List<String> INKS = List.of("#b8860b", "#4a86b5");        // of a bar's parts, in turn
    private static final int BAR_WIDTH = 192, BAR_HEIGHT = 14;                     // px
    private static final int ROWS = 10;                    // that are shown of a dataset
    private static final int WORD = 24;                    // what is no longer stays on one line, as an id
    private static final String TEXT = "<div style=\"max-width: 36em; max-height: 16em; overflow: auto;"
        + " overflow-wrap: break-word; text-align: start; unicode-bidi: plaintext; white-space: %s\">%s</div>";

    /** Draws a table of texts. */
    static String table(List<String> header, List<List<String>> rows) {
        return drawn(header, rows.stream().map(row -> row.stream().map(Html::cell).toList()).toList());
    }

    /** Draws the first of these rows as a table, and reads no more of them than that; closes the stream. */
    static String rows(Stream<Map<String, Object>> rows) {
        List<Map<String, Object>> first;
        try (rows) {
            first = rows.limit(ROWS + 1).toList();
        }
        var shown = first.subList(0, Math.min(ROWS, first.size()));
        var columns = new LinkedHashSet<String>();
        shown.forEach(row -> columns.addAll(row.keySet()));
        var cells = shown.stream().map(row -> columns.stream().map(name -> Json.cell(row.get(name))).toList()).toList();
        return (shown.isEmpty() ? "" : table(List.copyOf(columns), cells))
            + lines(first.size() > ROWS ? "the first " + ROWS + " rows" : count(shown.size(), "row"));
    }

    /** Returns text as it stands, line by line. */
    static String lines(String text) {
        return text.isBlank() ? "" : "<pre style=\"font-family: monospace; margin: .4em;"
            + " white-space: pre-wrap; word-break: normal; overflow-wrap: anywhere\">" + escaped(text.stripTrailing())
            + "</pre>\n";
    }

    /** Draws cells that are HTML already; without labels there is no header. */
    static String drawn(List<String> header, List<List<String>> rows) {
        var out = new StringBuilder("<div style=\"overflow-x: auto\">"
            + "<table style=\"border-collapse: collapse; margin: .4em 0\">\n");
        var labels = header.stream().map(label -> "<th " + CELL + "\">" + escaped(label) + "</th>");
        if (!header.isEmpty())
            out.append("<thead><tr>").append(labels.collect(Collectors.joining())).append("</tr></thead>\n");
        out.append("<tbody>\n");
        for (var row : rows) out.append("<tr>").append(String.join("", row)).append("</tr>\n");
        return out.append("</tbody>\n</table></div>\n").toString();
    }

    static String cell(String text) {
        return "<td " + CELL + "\">" + TEXT.formatted(text.length() > WORD ? "pre-wrap" : "pre", escaped(text))
            + "</td>";
    }

    /** Returns a cell for what has no answer: how it ended, and why. */
    static String failed(String outcome, String why) {
        var text = TEXT.formatted("pre-wrap", "<b>" + outcome + "</b>" + escaped(why));
        return "<td " + CELL + BAD.formatted(".16") + "\">" + text + "</td>";
    }

    /** Returns a cell that is the darker the larger its share of the row; green where it is right. */
    static String shaded(String text, double share, boolean isRight) {
        var strength = String.format(Locale.ROOT, "%.2f", share * .5);
        return "<td " + CELL + (isRight ? GOOD : BAD).formatted(strength) + "\">" + escaped(text) + "</td>";
    }

    /**
     * Returns a cell with a bar of these parts, end to end.
     * @param said what it says, for who points at it or does not see it
     * @param most what fills the cell
     */
    static String bar(String said, long most, long... parts) {
        var svg = new StringBuilder("<svg role=\"img\" width=\"" + BAR_WIDTH + "\" height=\"" + BAR_HEIGHT
            + "\" style=\"display: block; margin-top: .2em\"><title>" + escaped(said) + "</title>"
            + rect(0, BAR_WIDTH, "currentColor\" fill-opacity=\".08"));
        double from = 0;
        for (int i = 0; i < parts.length; i++) {
            double wide = most == 0 ? 0 : (double) BAR_WIDTH * parts[i] / most;
            if (parts[i] > 0) svg.append(rect(from, Math.max(1, wide), INKS.get(i % INKS.size())));
            from += wide;
        }
        return "<td " + CELL + "\">" + svg + "</svg></td>";
    }

    private static String rect(double from, double wide, String ink) {
        return String.format(Locale.ROOT, "<rect x=\"%.1f\" width=\"%.1f\" height=\"%d\" rx=\"2\" fill=\"%s\"/>", from,
            wide, BAR_HEIGHT, ink);
    }

    static String escaped(String text) {
        var cut = text.length() <= CELL_CHARACTERS ? text
            : text.substring(0, text.offsetByCodePoints(CELL_CHARACTERS - 1, 1)) + "\u2026";
        return cut.strip().lines().map(Graphemes::printable).collect(Collectors.joining("\n"))
            .replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
            .replace("\"", "&quot;").replace("'", "&#39;");
    }
}
