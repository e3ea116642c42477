package sheaf;

import java.util.List;
import java.util.stream.Collectors;

/**
 * Tables for a page or a notebook. All style is inline, and no colour is solid: a notebook drops style
 * sheets, and its page may be dark.
 */
final class Html {
    private static final int CELL_CHARACTERS = 20_000;     // more are not read in a table, and burden a browser
    private static final String CELL = "style=\"border-bottom: 1px solid rgba(128,128,128,.35);"
        + " padding: .3em .8em .3em .4em; text-align: left; vertical-align: top;";
    private static final String FAILED = " background: rgba(224,64,48,.16);";
    private static final int WORD = 24;                    // what is no longer stays on one line, as an id
    private static final String TEXT = "<div style=\"max-width: 36em; max-height: 16em; overflow: auto;"
        + " overflow-wrap: break-word; text-align: start; unicode-bidi: plaintext; white-space: %s\">%s</div>";

    /** Draws a table of texts. */
    static String table(List<String> header, List<List<String>> rows) {
        return drawn(header, rows.stream().map(row -> row.stream().map(Html::cell).toList()).toList());
    }

    /** Returns text as it stands, line by line. */
    static String lines(String text) {
        return text.isBlank() ? "" : "<pre style=\"font-family: monospace; margin: .4em;"
            + " white-space: pre-wrap; overflow-wrap: anywhere\">" + escaped(text.stripTrailing()) + "</pre>\n";
    }

    /** Draws cells that are HTML already. */
    static String drawn(List<String> header, List<List<String>> rows) {
        var out = new StringBuilder("<div style=\"overflow-x: auto\">"
            + "<table style=\"border-collapse: collapse; margin: .4em 0\">\n<thead><tr>");
        for (var label : header)
            out.append("<th ").append(CELL).append("\">").append(escaped(label)).append("</th>");
        out.append("</tr></thead>\n<tbody>\n");
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
        return "<td " + CELL + FAILED + "\">" + text + "</td>";
    }

    static String escaped(String text) {
        var cut = text.length() <= CELL_CHARACTERS ? text
            : text.substring(0, text.offsetByCodePoints(CELL_CHARACTERS - 1, 1)) + "\u2026";
        return cut.strip().lines().map(Graphemes::printable).collect(Collectors.joining("\n"))
            .replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
            .replace("\"", "&quot;").replace("'", "&#39;");
    }
}
