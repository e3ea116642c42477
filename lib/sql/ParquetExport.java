package sheaf;

import java.io.BufferedOutputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * Results as a Parquet file with typed columns. What the types are is known once all answers have been read, so they
 * stand in a file of JSON Lines until then, from which DuckDB makes the other.
 */
final class ParquetExport {
    static final String WORD = "toParquet";
    private static final int LONGEST = 1 << 24;                // bytes of a line: DuckDB reads none longer unasked
    private final Exchanges exchanges;
    private final ResultColumns known;
    private final boolean isOfAll;                             // else the columns were named
    private final List<String> columns;
    private final ColumnType[] types;
    private long longest = LONGEST;

    /** @param columns those that are written; all, if none is named */
    ParquetExport(Exchanges exchanges, String... columns) {
        this.exchanges = exchanges;
        isOfAll = columns.length == 0;
        known = new ResultColumns(exchanges);
        this.columns = List.copyOf(known.named(WORD, columns));
        types = new ColumnType[this.columns.size()];
        Arrays.fill(types, ColumnType.NONE);
    }

    void writeTo(OutputStream out) throws IOException {
        try (var duckDb = DuckDb.open(WORD, new Properties())) {
            var lines = duckDb.file("lines.jsonl");
            Files.createDirectories(lines.getParent());
            try (var file = new BufferedOutputStream(Files.newOutputStream(lines), 1 << 16)) {
                exchanges.write(1, this::lines, file);
            }
            if (isOfAll && known.lacksTexts()) {
                new ParquetExport(exchanges).writeTo(out);     // for now it is known how many there are
                return;
            }
            var parquet = duckDb.file("answers.parquet");
            copy(duckDb, lines, parquet);
            Files.copy(parquet, out);
        }
    }

    /** Returns a line for each, and widens the types; several threads do. */
    private byte[] lines(List<Exchange> exchanges) {
        var lines = new ByteArrayOutputStream();
        var seen = new ColumnType[columns.size()];
        Arrays.fill(seen, ColumnType.NONE);
        long most = 0;
        for (var exchange : exchanges) {
            var line = line(exchange, seen);
            most = Math.max(most, line.length);
            lines.writeBytes(line);
        }
        add(seen, most);
        return lines.toByteArray();
    }

    private byte[] line(Exchange exchange, ColumnType[] seen) {
        var values = new LinkedHashMap<String, Object>();
        for (int i = 0; i < seen.length; i++) {
            var value = PlainValues.of(known.value(columns.get(i), exchange));
            seen[i] = seen[i].with(ColumnType.of(value));
            if (value != null) values.put("c" + i, value instanceof Number ? Json.cell(value) : told(value, i));
        }
        return Json.line(values);
    }

    /** Returns a value as DuckDB reads it whole: a number of JSON is a double to it, but a text has all digits. */
    private Object told(Object value, int column) {
        if (value instanceof String text) return ResultColumns.writable(WORD, "Parquet", columns.get(column), text);
        if (value instanceof Collection<?> items) return items.stream().map(item -> told(item, column)).toList();
        if (value instanceof Map<?, ?> fields) {
            var told = new LinkedHashMap<String, Object>();
            fields.forEach((name, field) -> told.put(String.valueOf(name), told(field, column)));
            return told;
        }
        return value instanceof Number && !ColumnType.of(value).isPrimitive() ? Json.cell(value) : value;
    }

    private synchronized void add(ColumnType[] seen, long most) {
        for (int i = 0; i < types.length; i++) types[i] = types[i].with(seen[i]);
        longest = Math.max(longest, 2 * most);
    }

    /** Returns a column's name; one without is called as DuckDB calls it in a CSV file. */
    private String name(int column) { return columns.get(column).isEmpty() ? "column" + column : columns.get(column); }

    private void copy(DuckDb duckDb, Path lines, Path parquet) {
        var names = new ArrayList<String>();
        for (int i = 0; i < types.length; i++) names.add("c" + i + " AS " + DuckDb.name(name(i)));
        var read = IntStream.range(0, types.length).mapToObj(i -> "c" + i + ": " + DuckDb.quoted(types[i].inDuckDb()))
            .collect(Collectors.joining(", ", "{", "}"));
        try {
            duckDb.execute("COPY (SELECT " + String.join(", ", names) + " FROM read_json("
                + DuckDb.quoted(lines.toString()) + ", format = 'newline_delimited', columns = " + read
                + ", maximum_object_size = " + longest + ")) TO " + DuckDb.quoted(parquet.toString())
                + " (FORMAT parquet, COMPRESSION zstd)");
        } catch (SQLException e) {
            throw DuckDb.IN_MEMORY.refused(WORD, e);
        }
    }
}
