package sheaf;

import static sheaf.Messages.visible;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.math.BigDecimal;
import java.util.HashMap;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.dhatim.fastexcel.reader.Cell;
import org.dhatim.fastexcel.reader.CellAddress;
import org.dhatim.fastexcel.reader.CellType;
import org.dhatim.fastexcel.reader.ExcelReaderException;
import org.dhatim.fastexcel.reader.ReadableWorkbook;
import org.dhatim.fastexcel.reader.ReadingOptions;
import org.dhatim.fastexcel.reader.Row;
import org.dhatim.fastexcel.reader.Sheet;

/**
 * A sheet of an Excel file: its first row that is not blank names the columns, and each further one is a row.
 * @param sheet its name; "" for the first
 */
record ExcelSheet(InputFile input, String sheet) implements InputFile.Format {
    static final String WORD = "excel";

    Rows rows() { return Rows.from(input.fileName(), this, note -> Rows.Reader.stream(new Reading())); }

    private IllegalArgumentException fault(String what, Throwable cause) {
        return new IllegalArgumentException(WORD + ": " + input.name() + ": " + what, cause);
    }

    /** Excel writes a workbook with a password into the container that .xls files are; all others are ZIP files. */
    private String whyNot() {
        try (var in = input.open()) {
            return switch (in.read()) {
                case 0xD0 -> "it has a password, or is a .xls; save it as .xlsx without a password";
                case 'P' -> "the workbook is damaged, or has not come whole; get it anew, or have Excel repair it";
                default -> "no Excel workbook (.xlsx); save it as one";
            };
        } catch (IOException e) {
            throw new UncheckedIOException(WORD + ": cannot read " + input.name(), e);
        }
    }

    private final class Reading extends Rows.Reader<Map<String, Object>> {
        private final ReadableWorkbook workbook;
        private final Stream<Row> stream;
        private final Iterator<Row> rows;
        private final Map<Integer, String> names = new TreeMap<>();   // of the columns, by their place
        private final Map<String, CellFormat> formats = new HashMap<>();
        private int header;                                    // the number of its row, from 1; 0: none yet

        Reading() {
            try {
                workbook = open(new ReadingOptions(true, true));
            } catch (IOException | ExcelReaderException e) {
                throw fault(whyNot(), e);
            }
            try {
                stream = sheet().openStream();
                rows = stream.iterator();
                readHeader();
            } catch (IOException e) {
                throw new UncheckedIOException(WORD + ": cannot read " + input.name(), e);
            } catch (RuntimeException e) {
                close();
                throw e;
            }
        }

        /** A file is read where it lies; what stands on the class path has to be in memory. */
        private ReadableWorkbook open(ReadingOptions options) throws IOException {
            return input.path() == null ? new ReadableWorkbook(input.open(), options)
                : new ReadableWorkbook(input.path().toFile(), options);
        }

        private Sheet sheet() {
            if (sheet.isEmpty()) return workbook.getFirstSheet();
            return workbook.findSheet(sheet).orElseThrow(() -> fault("no sheet " + visible(sheet) + "; there are: "
                + visible(workbook.getSheets().map(Sheet::getName).toList()), null));
        }

        private void readHeader() {
            while (header == 0 && rows.hasNext()) {
                var row = rows.next();
                for (var cell : row) {
                    var name = cell == null ? "" : Json.cell(value(cell)).strip();
                    if (!name.isEmpty()) name(cell.getColumnIndex(), name, row.getRowNum());
                }
                if (!names.isEmpty()) header = row.getRowNum();
            }
        }

        private void name(int column, String name, int row) {
            names.forEach((place, other) -> {
                if (other.equals(name)) throw fault("two columns are named " + visible(name) + " (" + at(row, place)
                    + ", " + at(row, column) + "); rename one", null);
            });
            names.put(column, name);
        }

        @Override Map<String, Object> read() {
            while (rows.hasNext()) {
                var values = values(rows.next());
                if (values.values().stream().anyMatch(value -> !"".equals(value))) return values;
            }
            return null;
        }

        /** An empty cell is a text without characters, as in CSV. */
        private Map<String, Object> values(Row row) {
            var values = new LinkedHashMap<String, Object>();
            names.values().forEach(name -> values.put(name, ""));
            for (var cell : row) {
                var value = cell == null ? "" : value(cell);
                if ("".equals(value)) continue;
                var name = names.get(cell.getColumnIndex());
                if (name == null) throw fault(at(row.getRowNum(), cell.getColumnIndex()) + " has a value, but "
                    + at(header, cell.getColumnIndex()) + " no name for its column; write one there, or delete what "
                    + "stands above the names", null);
                values.put(name, value);
            }
            return values;
        }

        /** Returns what a cell shows; null for an error such as #N/A, which is no value. */
        private Object value(Cell cell) {
            if (cell.getType() == CellType.ERROR) return null;
            var value = cell.getValue();
            if (value instanceof BigDecimal number) return format(cell.getDataFormatString()).shown(number);
            if (value instanceof Boolean) return value;
            var text = value == null ? "" : ExcelText.unescaped(value.toString());
            return cell.getType() == CellType.FORMULA && text.matches("#[A-Z/0!?]+") ? null : text;
        }

        private CellFormat format(String code) {
            return formats.computeIfAbsent(code == null ? "" : code, any -> new CellFormat(any, workbook.isDate1904()));
        }

        private static String at(int row, int column) { return new CellAddress(row - 1, column).toString(); }

        @Override public void close() {
            try (workbook) {
                if (stream != null) stream.close();
            } catch (IOException e) {
                throw new UncheckedIOException(WORD + ": cannot close " + input.name(), e);
            }
        }
    }
}
