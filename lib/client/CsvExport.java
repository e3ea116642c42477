package sheaf;

import java.io.IOException;
import java.io.OutputStream;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.function.Consumer;
import java.util.regex.Pattern;
import sheaf.Vocabulary.CsvOption;

/** Results as a CSV file: its columns, its lines, and no cell that a spreadsheet would take for a formula. */
final class CsvExport {
    private static final List<String> OWN_COLUMNS_IF_WIDE = List.of("result.customId", "result.text", "result.error");
    private static final byte[] BYTE_ORDER_MARK = {(byte) 0xEF, (byte) 0xBB, (byte) 0xBF};
    /**
     * What a formula begins with, the last four in a Japanese Excel.
     * @see <a href="https://owasp.org/www-community/attacks/CSV_Injection">OWASP, CSV Injection</a>
     */
    private static final String FORMULA_STARTS = "=+-@\t\r\uff1d\uff0b\uff0d\uff20";
    /** A number with its sign, or the sign alone: a spreadsheet shows it as it is, and whoever reads it calculates. */
    private static final Pattern SIGNED = Pattern.compile("[+-]([0-9.,]*[0-9]([eE][+-]?[0-9]+)?%?)?");
    private final Exchanges exchanges;
    private final Set<CsvOption> options;
    private final ResultColumns known;
    private final int answersPerLine;
    private final List<Column> columns;
    private final boolean isOfAll;                        // else the columns were named

    /** @param answer which one of the line, from 0; -1 for what all of them share */
    private record Column(String name, String value, int answer) {}

    /** @param columns those that are written; all, if none is named */
    CsvExport(Exchanges exchanges, Set<CsvOption> options, String... columns) {
        this.exchanges = exchanges;
        this.options = options;
        known = new ResultColumns(exchanges);
        var manifest = exchanges.answers().manifest();
        boolean isWide = options.contains(CsvOption.WIDE) && manifest.rows() > 0 && manifest.requestsPerRow() > 1;
        answersPerLine = isWide ? manifest.requestsPerRow() : 1;
        isOfAll = columns.length == 0;
        var own = isWide ? OWN_COLUMNS_IF_WIDE : ResultColumns.OWN;
        var wanted = isOfAll ? all(own) : known.named("toCsv", columns);
        this.columns = isWide ? wide(wanted, manifest.answerLabels())
            : wanted.stream().map(column -> new Column(column, column, -1)).toList();
    }

    private Set<String> all(List<String> own) {
        var all = known.all(own);
        if (options.contains(CsvOption.RAW)) all.add(ResultColumns.RAW_TEXT);
        return all;
    }

    /** What each answer has of its own stands once for each, under its label, which may be the name of a column. */
    private List<Column> wide(Collection<String> wanted, List<String> labels) {
        var names = new HashSet<>(wanted);
        var columns = new ArrayList<Column>();
        for (var value : wanted) {
            if (!known.isOfAnAnswer(value)) columns.add(new Column(value, value, -1));
            else for (int answer = 0; answer < labels.size(); answer++) {
                var name = labels.get(answer) + value.replaceFirst("^result([.]text$)?", "");
                columns.add(new Column(names.add(name) ? name : "result." + name, value, answer));
            }
        }
        return columns;
    }

    void writeTo(OutputStream out) throws IOException {
        if (options.contains(CsvOption.BOM)) out.write(BYTE_ORDER_MARK);
        out.write(csv(csv -> {
            columns.forEach(column -> csv.add(guarded(column.name)));
            csv.end();
        }));
        exchanges.write(answersPerLine, this::lines, out);
        if (isOfAll && known.lacksTexts()) throw new MoreTexts();
    }

    /** Only who has read all answers knows how many texts they have: once more, if more than were asked for. */
    static void export(Exchanges exchanges, Set<CsvOption> options, String[] columns, Consumer<CsvExport> writer) {
        try {
            writer.accept(new CsvExport(exchanges, options, columns));
        } catch (MoreTexts counted) {
            writer.accept(new CsvExport(exchanges, options, columns));
        }
    }

    private static final class MoreTexts extends RuntimeException {}

    private byte[] csv(Consumer<CsvLines> content) {
        var csv = new CsvLines(columns.size() == 1);
        content.accept(csv);
        return csv.bytes();
    }

    private byte[] lines(List<Exchange> exchanges) {
        return csv(csv -> {
            for (int i = 0; i < exchanges.size(); ) {
                var line = new ArrayList<Exchange>(answersPerLine);   // of a row; null where a filter left one out
                long row = exchanges.get(i).index() / answersPerLine;
                for (; i < exchanges.size() && exchanges.get(i).index() / answersPerLine == row; i++) {
                    while (line.size() < exchanges.get(i).index() % answersPerLine) line.add(null);
                    line.add(exchanges.get(i));
                }
                write(line, csv);
            }
        });
    }

    private void write(List<Exchange> line, CsvLines csv) {
        var shared = line.stream().filter(Objects::nonNull).findFirst().orElseThrow();
        for (var column : columns) {
            boolean isHere = column.answer < line.size();
            var exchange = column.answer < 0 || !isHere ? shared : line.get(column.answer);
            var plain = isHere && column.answer < 0 ? plain(column.value, exchange) : null;
            if (plain != null) csv.add(plain);
            else csv.add(isHere && exchange != null ? cell(column, exchange) : "");
        }
        csv.end();
    }

    /** Returns a cell of the row that is copied as it stands, for it begins with no formula; null if it is another. */
    private static byte[] plain(String column, Exchange exchange) {
        var cell = exchange.row() instanceof Row row ? row.utf8(column) : null;
        return cell == null || cell.length > 0 && (cell[0] < ' ' || FORMULA_STARTS.indexOf(cell[0]) >= 0) ? null : cell;
    }

    private String cell(Column column, Exchange exchange) {
        return guarded(ResultColumns.writable("toCsv", "CSV", column.name,
            Json.cell(known.value(column.value, exchange))));
    }

    private String guarded(String cell) {
        boolean isFormula = !cell.isBlank() && FORMULA_STARTS.indexOf(cell.charAt(0)) >= 0
            && !SIGNED.matcher(cell).matches();
        return isFormula && !options.contains(CsvOption.FORMULAS) ? "'" + cell : cell;
    }
}
