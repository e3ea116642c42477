package sheaf;

import static sheaf.ColumnType.Kind.BOOLEAN;
import static sheaf.ColumnType.Kind.DATE;
import static sheaf.ColumnType.Kind.DECIMAL;
import static sheaf.ColumnType.Kind.DOUBLE;
import static sheaf.ColumnType.Kind.INSTANT;
import static sheaf.ColumnType.Kind.LIST;
import static sheaf.ColumnType.Kind.LONG;
import static sheaf.ColumnType.Kind.NOTHING;
import static sheaf.ColumnType.Kind.STRUCT;
import static sheaf.ColumnType.Kind.TEXT;
import static sheaf.ColumnType.Kind.TIMESTAMP;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.time.DateTimeException;
import java.time.LocalDate;
import java.time.LocalTime;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * What all values of a column are, as far as they have been seen: a type that holds each of them whole. A text whose
 * every value is a date or a time in ISO 8601 is one.
 * @param whole digits in front of the point that a decimal has at most, and behind it, fraction
 * @param item of a list
 * @param fields of a struct
 */
record ColumnType(Kind kind, int whole, int fraction, ColumnType item, Map<String, ColumnType> fields) {
    enum Kind { NOTHING, BOOLEAN, LONG, DOUBLE, DECIMAL, DATE, TIMESTAMP, INSTANT, TEXT, LIST, STRUCT }

    static final ColumnType NONE = of(NOTHING);
    private static final int MOST_DIGITS = 38;                 // of a decimal, in DuckDB
    private static final int DIGITS_OF_DOUBLE = 15;
    private static final int DAY = 10;                         // characters of a date
    /** Databases have no year 0, no second 60, and no more than millionths of one. */
    private static final Pattern TIME = Pattern.compile(
        "(?!0000)[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\\.[0-9]{1,6})?Z?)?)?");
    private static final BigInteger LEAST_LONG = BigInteger.valueOf(Long.MIN_VALUE);
    private static final BigInteger MOST_LONG = BigInteger.valueOf(Long.MAX_VALUE);

    static ColumnType of(Kind kind) { return new ColumnType(kind, 0, 0, null, Map.of()); }

    static ColumnType decimal(int digits, int fraction) {
        return new ColumnType(DECIMAL, digits - fraction, fraction, null, Map.of());
    }

    /** @param value plain: what JSON can say */
    static ColumnType of(Object value) {
        if (value == null) return NONE;
        if (value instanceof Boolean) return of(BOOLEAN);
        if (value instanceof Number number) return number(new BigDecimal(number.toString()));
        if (value instanceof Collection<?> items) return new ColumnType(LIST, 0, 0,
            items.stream().map(ColumnType::of).reduce(NONE, ColumnType::with), Map.of());
        if (!(value instanceof Map<?, ?> map)) return of(text(value.toString()));
        var fields = new LinkedHashMap<String, ColumnType>();
        map.forEach((name, field) -> fields.put(String.valueOf(name), of(field)));
        return new ColumnType(fields.isEmpty() ? TEXT : STRUCT, 0, 0, null, fields);
    }

    private static ColumnType number(BigDecimal number) {
        int fraction = Math.max(0, number.scale());
        int whole = Math.max(1, number.precision() - number.scale());
        if (number.scale() == 0 && whole < MOST_DIGITS) {
            var integer = number.toBigInteger();
            if (integer.compareTo(LEAST_LONG) >= 0 && integer.compareTo(MOST_LONG) <= 0)
                return new ColumnType(LONG, whole, 0, null, Map.of());
        }
        if (isDouble(number)) return new ColumnType(DOUBLE, whole, fraction, null, Map.of());
        return whole + fraction > MOST_DIGITS ? of(TEXT) : new ColumnType(DECIMAL, whole, fraction, null, Map.of());
    }

    private static boolean isDouble(BigDecimal number) {
        double near = number.doubleValue();
        return Double.isFinite(near) && new BigDecimal(Double.toString(near)).compareTo(number) == 0;
    }

    private static Kind text(String text) {
        if (!TIME.matcher(text).matches()) return TEXT;
        try {
            LocalDate.parse(text.substring(0, DAY));
            if (text.length() == DAY) return DATE;
            LocalTime.parse(text.substring(DAY + 1).replace("Z", ""));
            return text.endsWith("Z") ? INSTANT : TIMESTAMP;
        } catch (DateTimeException another) {
            return TEXT;
        }
    }

    /** Returns a type that holds the values of both. */
    ColumnType with(ColumnType other) {
        if (equals(other) || other.kind == NOTHING) return this;
        if (kind == NOTHING) return other;
        if (isNumber() && other.isNumber()) return withNumber(other);
        if (kind != other.kind) return of(TEXT);
        if (kind == LIST) return new ColumnType(LIST, 0, 0, item.with(other.item), Map.of());
        if (kind != STRUCT) return this;
        var all = new LinkedHashMap<>(fields);
        other.fields.forEach((name, field) -> all.merge(name, field, ColumnType::with));
        return new ColumnType(STRUCT, 0, 0, null, all);
    }

    /** Whether it is a number that Java itself has. */
    boolean isPrimitive() { return kind == LONG || kind == DOUBLE; }

    boolean isNumber() { return isPrimitive() || kind == DECIMAL; }

    /** A long beside fractions may have more digits than a double. */
    private ColumnType withNumber(ColumnType other) {
        int most = Math.max(whole, other.whole), behind = Math.max(fraction, other.fraction);
        boolean hasDecimal = kind == DECIMAL || other.kind == DECIMAL
            || kind != other.kind && Math.max(digitsOfLong(), other.digitsOfLong()) > DIGITS_OF_DOUBLE;
        if (hasDecimal && most + behind > MOST_DIGITS) return of(TEXT);
        var wider = hasDecimal ? DECIMAL : DOUBLE;
        return new ColumnType(kind == other.kind ? kind : wider, most, behind, null, Map.of());
    }

    private int digitsOfLong() { return kind == LONG ? whole : 0; }

    /** Returns its name in DuckDB. */
    String inDuckDb() {
        return switch (kind) {
            case NOTHING, TEXT -> "VARCHAR";
            case LONG -> "BIGINT";
            case DECIMAL -> "DECIMAL(" + (whole + fraction) + "," + fraction + ")";
            case INSTANT -> "TIMESTAMPTZ";
            case LIST -> item.inDuckDb() + "[]";
            case STRUCT -> fields.entrySet().stream()
                .map(field -> DuckDb.name(field.getKey()) + " " + field.getValue().inDuckDb())
                .collect(Collectors.joining(", ", "STRUCT(", ")"));
            default -> kind.name();
        };
    }
}
