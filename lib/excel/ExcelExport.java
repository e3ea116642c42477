package sheaf;

import static sheaf.Messages.number;

import java.io.IOException;
import java.io.OutputStream;
import java.math.BigDecimal;
import java.time.DateTimeException;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import org.dhatim.fastexcel.Workbook;
import org.dhatim.fastexcel.Worksheet;

/** Results as an Excel workbook, written as they are read; a text that is too long for a cell goes on in a sheet. */
final class ExcelExport {
    static final String WORD = "toExcel";
    private static final int MOST_ROWS = 1_048_575;            // of a sheet, below its header
    private static final int FLUSHED = 500;                    // rows that are in memory
    private static final int DIGITS = 15;                      // of a number; one with more is a text, and stays whole
    private static final int MARK = 80;                        // characters that say where a text goes on
    private static final Pattern TIME = Pattern.compile("(19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}(T[0-9:]{8})?");
    private final Exchanges exchanges;
    private final ResultColumns known;
    private final List<String> columns;
    private final List<Continued> continued = new ArrayList<>();

    /** A piece of a text that did not fit. */
    private record Continued(String cell, int piece, String text) {}

    /** @param columns those that are written; all, if none is named */
    ExcelExport(Exchanges exchanges, String... columns) {
        exchanges.counts();                                    // by which it is known how many texts an answer has
        this.exchanges = exchanges;
        known = new ResultColumns(exchanges);
        this.columns = List.copyOf(known.named(WORD, columns));
        if (exchanges.size() <= MOST_ROWS) return;
        throw new IllegalStateException(WORD + ": " + number(exchanges.size()) + " results, and a sheet holds "
            + number(MOST_ROWS) + "; " + Wording.TO_CSV + " any number");
    }

    void writeTo(OutputStream out) throws IOException {
        try (var workbook = new Workbook(out, "Sheaf", "1.0")) {
            var sheet = workbook.newWorksheet("answers");
            writeHeader(sheet, columns);
            int row = 0;
            for (var i = exchanges.stream().iterator(); i.hasNext(); ) {
                write(i.next(), sheet, ++row);
                if (row % FLUSHED == 0) sheet.flush();
            }
            sheet.finish();
            if (!continued.isEmpty()) writeContinued(workbook);
        }
    }

    private static void writeHeader(Worksheet sheet, List<String> names) {
        for (int i = 0; i < names.size(); i++) sheet.inlineString(0, i, ExcelText.escaped(names.get(i)));
        sheet.range(0, 0, 0, names.size() - 1).style().bold().set();
        sheet.freezePane(0, 1);
    }

    private void write(Exchange exchange, Worksheet sheet, int row) {
        for (int i = 0; i < columns.size(); i++) {
            var value = PlainValues.of(known.value(columns.get(i), exchange));
            if (value instanceof Boolean yes) sheet.value(row, i, yes);
            else if (value instanceof Number number && isWhole(number)) sheet.value(row, i, number);
            else if (value != null && !writeTime(columns.get(i), value, sheet, row, i)) writeText(value, sheet, row, i);
        }
    }

    private static boolean isWhole(Number number) {
        return new BigDecimal(number.toString()).stripTrailingZeros().precision() <= DIGITS;
    }

    /** What a row says is a date or a time is one again; an answer stays the text that it is. */
    private static boolean writeTime(String column, Object value, Worksheet sheet, int row, int place) {
        var text = value.toString();
        if (column.startsWith("result.") || !TIME.matcher(text).matches()) return false;
        try {
            boolean isDay = text.length() == 10;
            if (isDay) sheet.value(row, place, LocalDate.parse(text));
            else sheet.value(row, place, LocalDateTime.parse(text));
            sheet.style(row, place).format(isDay ? "yyyy-mm-dd" : "yyyy-mm-dd hh:mm:ss").set();
            return true;
        } catch (DateTimeException another) {
            return false;
        }
    }

    private void writeText(Object value, Worksheet sheet, int row, int place) {
        var text = Json.cell(value);
        if (text.isEmpty()) return;
        if (text.length() > ExcelText.LONGEST) text = withoutTheRest(text, columns.get(place) + " in row " + (row + 1));
        sheet.inlineString(row, place, ExcelText.escaped(text));
    }

    private String withoutTheRest(String text, String cell) {
        var start = ExcelText.start(text, ExcelText.LONGEST - MARK);
        var mark = "\u2026 (goes on in the sheet \"continued\", row " + (continued.size() + 2) + ")";
        var rest = text.substring(start.length());
        for (int piece = 2; !rest.isEmpty(); piece++) {
            var next = ExcelText.start(rest, ExcelText.LONGEST);
            continued.add(new Continued(cell, piece, next));
            rest = rest.substring(next.length());
        }
        return start + mark;
    }

    private void writeContinued(Workbook workbook) throws IOException {
        var sheet = workbook.newWorksheet("continued");
        writeHeader(sheet, List.of("cell", "piece", "text"));
        int row = 0;
        for (var each : continued) {
            sheet.inlineString(++row, 0, ExcelText.escaped(each.cell));
            sheet.value(row, 1, each.piece);
            sheet.inlineString(row, 2, ExcelText.escaped(each.text));
        }
        sheet.finish();
    }
}
