package sheaf;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** Text tables as wide as the terminal. They know texts and widths, and nothing of what is shown. */
final class Tables {
    private static final int DEFAULT_WIDTH = 100;
    private static final int NARROWEST = 8;
    private static final int HEADER_LINES = 3;
    private static final String GAP = "  ";

    static int width() {
        var columns = Environment.get("COLUMNS");
        if (columns.matches("[1-9][0-9]{1,3}")) return Integer.parseInt(columns);
        return System.console() == null ? DEFAULT_WIDTH : terminalWidth();
    }

    private static int terminalWidth() {
        try {
            var stty = new ProcessBuilder("stty", "size").redirectInput(Path.of("/dev/tty").toFile()).start();
            var output = new String(stty.getInputStream().readAllBytes(), StandardCharsets.US_ASCII);
            var size = output.strip().split(" ");
            return size.length == 2 && !size[1].equals("0") ? Integer.parseInt(size[1]) : DEFAULT_WIDTH;
        } catch (IOException | NumberFormatException e) {
            return DEFAULT_WIDTH;
        }
    }

    /** Draws columns as wide as they need, the widest cut down until all fit; cells wrap up to so many lines. */
    static String draw(List<String> header, List<List<String>> rows, int cellLines) {
        var widths = widths(header, rows);
        var out = new StringBuilder();
        drawRow(out, header, widths, HEADER_LINES);
        drawRow(out, widths.stream().map("-"::repeat).toList(), widths, 1);
        for (var row : rows) drawRow(out, row, widths, cellLines);
        return out.toString();
    }

    private static List<Integer> widths(List<String> header, List<List<String>> rows) {
        var widths = new ArrayList<Integer>();
        for (int column = 0; column < header.size(); column++) {
            int widest = columns(header.get(column));
            for (var row : rows) widest = Math.max(widest, widestLine(row.get(column)));
            widths.add(widest);
        }
        int room = width() - GAP.length() * (widths.size() - 1);
        while (sum(widths) > room && Collections.max(widths) > NARROWEST) {
            int widest = Collections.max(widths);
            int widestColumn = widths.indexOf(widest);
            int second = widths.stream().filter(width -> width < widest).max(Integer::compare).orElse(0);
            long ties = widths.stream().filter(width -> width == widest).count();
            widths.set(widestColumn, Math.max(NARROWEST, Math.max(ties > 1 ? widest - 1 : second,
                widest - (sum(widths) - room))));
        }
        return widths;
    }

    private static int sum(List<Integer> widths) { return widths.stream().mapToInt(Integer::intValue).sum(); }

    private static int widestLine(String text) {
        return text.lines().map(Tables::printable).mapToInt(Tables::columns).max().orElse(0);
    }

    private static void drawRow(StringBuilder out, List<String> cells, List<Integer> widths, int cellLines) {
        var wrapped = new ArrayList<List<String>>();
        for (int i = 0; i < cells.size(); i++) wrapped.add(wrap(cells.get(i), widths.get(i), cellLines));
        int height = wrapped.stream().mapToInt(List::size).max().orElse(0);
        for (int line = 0; line < height; line++) {
            var text = new StringBuilder();
            for (int i = 0; i < wrapped.size(); i++) {
                var piece = line < wrapped.get(i).size() ? wrapped.get(i).get(line) : "";
                text.append(i == 0 ? "" : GAP).append(piece)
                    .append(" ".repeat(Math.max(0, widths.get(i) - columns(piece))));
            }
            out.append(text.toString().stripTrailing()).append('\n');
        }
    }

    private static List<String> wrap(String text, int width, int mostLines) {
        var lines = new ArrayList<String>();
        for (var line : text.strip().lines().toList()) lines.addAll(wrapLine(printable(line), width));
        if (lines.isEmpty()) lines.add("");
        if (lines.size() <= mostLines) return lines;
        var shown = new ArrayList<>(lines.subList(0, mostLines));
        shown.set(mostLines - 1, cut(shown.get(mostLines - 1) + " ", width - 1).stripTrailing() + "\u2026");
        return shown;
    }

    private static List<String> wrapLine(String line, int width) {
        var lines = new ArrayList<String>();
        var rest = line.stripTrailing();
        while (columns(rest) > width) {
            var head = cut(rest, width);
            int space = rest.charAt(head.length()) == ' ' ? head.length() : head.lastIndexOf(' ');
            if (space > width / 3) head = rest.substring(0, space);
            lines.add(head.stripTrailing());
            rest = rest.substring(head.length()).strip();
        }
        if (!rest.isEmpty() || lines.isEmpty()) lines.add(rest);
        return lines;
    }

    /** Returns as much of the text as fits, at least one character. */
    private static String cut(String text, int width) {
        int end = 0;
        for (int used = 0; end < text.length(); end = text.offsetByCodePoints(end, 1)) {
            used += columns(text.codePointAt(end));
            if (used > width && end > 0) break;
        }
        return text.substring(0, end);
    }

    /** An answer must not move the cursor, nor turn the text around it. */
    static String printable(String line) {
        return line.replace("\t", "    ").replaceAll("[\\p{Cc}\\p{Zl}\\p{Zp}]", "")
            .replaceAll("[\u200e\u200f\u202a-\u202e\u2066-\u2069]", "");
    }

    private static int columns(String text) { return text.codePoints().map(Tables::columns).sum(); }

    private static int columns(int c) {
        var type = Character.getType(c);
        if (type == Character.NON_SPACING_MARK || type == Character.ENCLOSING_MARK
            || type == Character.FORMAT) return 0;
        return isWide(c) ? 2 : 1;
    }

    /** The wide ranges of https://www.unicode.org/reports/tr11/, by blocks. */
    private static boolean isWide(int c) {
        return c >= 0x1100 && c <= 0x115F || c >= 0x2E80 && c <= 0xA4CF && c != 0x303F || c >= 0xAC00 && c <= 0xD7A3
            || c >= 0xF900 && c <= 0xFAFF || c >= 0xFE30 && c <= 0xFE6F || c >= 0xFF00 && c <= 0xFF60
            || c >= 0xFFE0 && c <= 0xFFE6
            || c >= 0x1F300 && c <= 0x1F64F || c >= 0x1F680 && c <= 0x1F6FF || c >= 0x1F900 && c <= 0x1FAFF
            || c >= 0x20000 && c <= 0x3FFFD;
    }
}
