package sheaf;

import static java.util.Calendar.DAY_OF_MONTH;
import static java.util.Calendar.ERA;
import static java.util.Calendar.HOUR_OF_DAY;
import static java.util.Calendar.MINUTE;
import static java.util.Calendar.MONTH;
import static java.util.Calendar.SECOND;
import static java.util.Calendar.YEAR;
import static java.util.GregorianCalendar.BC;

import com.fasterxml.jackson.core.JsonProcessingException;
import java.sql.Array;
import java.sql.Blob;
import java.sql.Clob;
import java.sql.Date;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.SQLXML;
import java.sql.Time;
import java.sql.Timestamp;
import java.sql.Types;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.time.OffsetDateTime;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.GregorianCalendar;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.duckdb.DuckDBStruct;

/** What a database holds as what JSON can say and a person reads: times in ISO 8601, lists and structs as JSON. */
final class SqlValues {
    private static final List<Integer> BINARY =
        List.of(Types.BLOB, Types.BINARY, Types.VARBINARY, Types.LONGVARBINARY);
    private static final Map<String, Class<?>> TIMES =         // as PostgreSQL calls them
        Map.of("date", LocalDate.class, "timestamp", LocalDateTime.class, "timestamptz", OffsetDateTime.class);
    private final String word;
    private final List<String> names = new ArrayList<>();
    private final List<Cell> cells = new ArrayList<>();

    /** Reads a value of a row. */
    private interface Cell {
        Object read(ResultSet rows, int column) throws SQLException;
    }

    /** @throws IllegalArgumentException if two columns have one name, or one holds what is no text */
    SqlValues(String word, ResultSet rows, boolean hasTypes) throws SQLException {
        this.word = word;
        var meta = rows.getMetaData();
        for (int i = 1; i <= meta.getColumnCount(); i++) {
            var name = meta.getColumnLabel(i);
            if (names.contains(name)) throw new IllegalArgumentException(word + ": two columns are named " + name
                + "; name one of them by AS");
            if (BINARY.contains(meta.getColumnType(i)) && hasTypes) throw binary(name);
            names.add(name);
            cells.add(hasTypes ? cell(meta.getColumnType(i), meta.getColumnTypeName(i)) : this::plain);
        }
    }

    List<String> names() { return names; }

    Map<String, Object> row(ResultSet rows) throws SQLException {
        var row = new LinkedHashMap<String, Object>(2 * names.size());
        for (int i = 0; i < names.size(); i++) row.put(names.get(i), cells.get(i).read(rows, i + 1));
        return row;
    }

    private Cell cell(int type, String typeName) {
        var named = typeName.toLowerCase(Locale.ROOT);
        if (type == Types.TIMESTAMP_WITH_TIMEZONE || named.equals("timestamptz"))
            return (rows, column) -> plain(rows.getObject(column, OffsetDateTime.class), column);
        if (named.equals("timetz")) return ResultSet::getString;
        return switch (type) {
            case Types.TIMESTAMP -> (rows, column) -> plain(rows.getObject(column, LocalDateTime.class), column);
            case Types.DATE -> (rows, column) -> plain(date(rows, column), column);
            case Types.TIME -> (rows, column) -> plain(rows.getObject(column, LocalTime.class), column);
            default -> named.matches("jsonb?") ? (rows, column) -> json(rows.getString(column)) : this::plain;
        };
    }

    /** Asked for a local date, DuckDB's driver leaves out that it is before Christ. */
    private static Object date(ResultSet rows, int column) throws SQLException {
        return rows.getObject(column) instanceof LocalDate date ? date : rows.getObject(column, LocalDate.class);
    }

    private static Object json(String text) {
        try {
            return text == null ? null : PlainValues.of(Json.tree(text));
        } catch (JsonProcessingException e) {
            return text;
        }
    }

    private Object plain(ResultSet rows, int column) throws SQLException {
        return plain(rows.getObject(column), column);
    }

    private Object plain(Object value, int column) throws SQLException {
        if (value == null || value instanceof String || value instanceof Number || value instanceof Boolean)
            return PlainValues.of(value);
        if (value instanceof byte[] || value instanceof Blob) throw binary(names.get(column - 1));
        if (value instanceof Array array) return list(items(array), column);
        if (value instanceof Object[] array) return list(array, column);
        if (value instanceof List<?> list) return list(list.toArray(), column);
        if (value instanceof DuckDBStruct struct) return map(struct.getMap(), column);
        if (value instanceof Map<?, ?> map) return map(map, column);
        if (value instanceof Clob text) return text.getSubString(1, Math.toIntExact(text.length()));
        if (value instanceof SQLXML xml) return xml.getString();
        var time = time(value);
        return time == null ? other(value) : time;
    }

    private static Object other(Object value) {
        return value.getClass().getSimpleName().equals("JsonNode") ? json(value.toString())
            : PlainValues.of(value.toString());
    }

    /** Java itself leaves seconds out that are zero. */
    private static String time(Object value) {
        if (value instanceof OffsetDateTime time) return DateTimeFormatter.ISO_INSTANT.format(time);
        if (value instanceof Timestamp time) return time(local(time).withNano(time.getNanos()));
        if (value instanceof LocalDateTime time) return DateTimeFormatter.ISO_LOCAL_DATE_TIME.format(time);
        if (value instanceof Time time) return time(time.toLocalTime());
        if (value instanceof LocalTime time) return DateTimeFormatter.ISO_LOCAL_TIME.format(time);
        if (value instanceof Date date) return local(date).toLocalDate().toString();
        return value instanceof LocalDate date ? date.toString() : null;
    }

    /** Returns what this machine's clock shows; what Java has for that forgets which years are before Christ. */
    private static LocalDateTime local(java.util.Date time) {
        var shown = new GregorianCalendar();
        shown.setTime(time);
        int year = shown.get(YEAR);
        return LocalDateTime.of(shown.get(ERA) == BC ? 1 - year : year, shown.get(MONTH) + 1, shown.get(DAY_OF_MONTH),
            shown.get(HOUR_OF_DAY), shown.get(MINUTE), shown.get(SECOND));
    }

    /** Of several times PostgreSQL's driver makes what this machine's clock shows, unless it is asked for each. */
    private static Object[] items(Array array) throws SQLException {
        var time = TIMES.get(array.getBaseTypeName());
        if (time == null) return (Object[]) array.getArray();
        var items = new ArrayList<>();
        try (var rows = array.getResultSet()) {
            while (rows.next()) items.add(rows.getObject(2) instanceof Array row ? row : rows.getObject(2, time));
        }
        return items.toArray();
    }

    private List<Object> list(Object[] values, int column) throws SQLException {
        var list = new ArrayList<>(values.length);
        for (var value : values) list.add(plain(value, column));
        return list;
    }

    private Map<String, Object> map(Map<?, ?> values, int column) throws SQLException {
        var map = new LinkedHashMap<String, Object>();
        for (var entry : values.entrySet()) map.put(String.valueOf(entry.getKey()), plain(entry.getValue(), column));
        return map;
    }

    private IllegalArgumentException binary(String column) {
        return new IllegalArgumentException(word + ": column " + column + " holds bytes (a BLOB), which are no text; "
            + "leave it out, or have the query make a text of it, as base64 or hex");
    }
}
