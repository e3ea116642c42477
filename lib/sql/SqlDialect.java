package sheaf;

import static sheaf.ColumnType.Kind.BOOLEAN;
import static sheaf.ColumnType.Kind.DATE;
import static sheaf.ColumnType.Kind.DOUBLE;
import static sheaf.ColumnType.Kind.INSTANT;
import static sheaf.ColumnType.Kind.LONG;
import static sheaf.ColumnType.Kind.TEXT;
import static sheaf.ColumnType.Kind.TIMESTAMP;

import java.math.BigDecimal;
import java.sql.PreparedStatement;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Types;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.util.List;
import java.util.Locale;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** The databases that answers can be written to, by what each calls the types and how it takes values. */
enum SqlDialect {
    POSTGRESQL("TEXT", "BIGINT", "DOUBLE PRECISION", "NUMERIC", "BOOLEAN", List.of("DATE", "TIMESTAMP", "TIMESTAMPTZ")),
    DUCKDB("VARCHAR", "BIGINT", "DOUBLE", "", "BOOLEAN", List.of("DATE", "TIMESTAMP", "TIMESTAMPTZ")),
    SQLITE("TEXT", "INTEGER", "REAL", "TEXT", "INTEGER", List.of("TEXT", "TEXT", "TEXT"));

    static final String WORD = "toTable";
    private static final Pattern CAPITALS = Pattern.compile("[A-Z]+");
    private final String text, integer, real, decimal, bool;
    private final List<String> times;                          // of a date, a local time and an instant

    SqlDialect(String text, String integer, String real, String decimal, String bool, List<String> times) {
        this.text = text;
        this.integer = integer;
        this.real = real;
        this.decimal = decimal;
        this.bool = bool;
        this.times = times;
    }

    static SqlDialect of(JdbcUrl database) {
        return Stream.of(values()).filter(dialect -> database.is(dialect.name().toLowerCase(Locale.ROOT))).findFirst()
            .orElseThrow(() -> new IllegalArgumentException(WORD + ": writes to PostgreSQL, SQLite and "
                + "DuckDB, and " + database.shown() + " is none of them; for another, write a CSV or Parquet file and "
                + "load that"));
    }

    /** Returns the name of a type; what has none here, such as a list, is JSON in a text. */
    String type(ColumnType type) {
        return switch (type.kind()) {
            case LONG -> integer;
            case DOUBLE -> real;
            case DECIMAL -> decimal.isEmpty() ? type.inDuckDb() : decimal;
            case BOOLEAN -> bool;
            case DATE -> times.get(0);
            case TIMESTAMP -> times.get(1);
            case INSTANT -> times.get(2);
            default -> text;
        };
    }

    /** Returns a name as this tells it from others: in all but PostgreSQL a letter from A to Z may be a capital. */
    String folded(String column) {
        return this == POSTGRESQL ? column
            : CAPITALS.matcher(column).replaceAll(some -> some.group().toLowerCase(Locale.ROOT));
    }

    /** Whether a column holds values of its type alone, and makes others into them as well as it can. */
    boolean isTyped() { return this != SQLITE; }

    /** Returns what a column of a table holds. */
    ColumnType type(ResultSetMetaData table, int column) throws SQLException {
        boolean isInstant = table.getColumnTypeName(column).equalsIgnoreCase("timestamptz");
        return switch (table.getColumnType(column)) {
            case Types.TINYINT, Types.SMALLINT, Types.INTEGER, Types.BIGINT -> ColumnType.of(LONG);
            case Types.REAL, Types.FLOAT, Types.DOUBLE -> ColumnType.of(DOUBLE);
            case Types.DECIMAL, Types.NUMERIC -> ColumnType.decimal(table.getPrecision(column), table.getScale(column));
            case Types.BIT, Types.BOOLEAN -> ColumnType.of(BOOLEAN);
            case Types.DATE -> ColumnType.of(DATE);
            case Types.TIMESTAMP -> ColumnType.of(isInstant ? INSTANT : TIMESTAMP);
            case Types.TIMESTAMP_WITH_TIMEZONE -> ColumnType.of(INSTANT);
            default -> ColumnType.of(TEXT);
        };
    }

    /** @param value plain: what JSON can say, of this type */
    void set(PreparedStatement statement, int place, String column, ColumnType type, Object value)
            throws SQLException {
        var text = ResultColumns.writable(WORD, "a database", column, Json.cell(value));
        if (this == POSTGRESQL && text.indexOf('\0') >= 0)
            throw new IllegalStateException(WORD + ": " + Messages.visible(Messages.clip(text, 40)) + " in column "
                + column + " holds a NUL character, which PostgreSQL cannot; " + Wording.TO_JSONL);
        if (value == null) statement.setNull(place, Types.NULL);
        else if (type(type).equals(this.text)) statement.setString(place, text);
        else switch (type.kind()) {
            case LONG -> statement.setLong(place, ((Number) value).longValue());
            case DOUBLE -> statement.setDouble(place, ((Number) value).doubleValue());
            case DECIMAL -> statement.setBigDecimal(place, new BigDecimal(value.toString()));
            case BOOLEAN -> statement.setBoolean(place, (Boolean) value);
            case DATE -> statement.setObject(place, LocalDate.parse(text));
            case TIMESTAMP -> statement.setObject(place, LocalDateTime.parse(text));
            default -> statement.setObject(place, Instant.parse(text).atOffset(ZoneOffset.UTC));
        }
    }
}
