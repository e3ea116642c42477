package sheaf;

import java.sql.Date;
import java.sql.Timestamp;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.spark.sql.Row;
import scala.jdk.javaapi.CollectionConverters;

/** A row of Spark as what JSON can say and a person reads: times in ISO 8601, arrays and structs as JSON. */
final class SparkValues extends LinkedHashMap<String, Object> {
    private final transient Row row;

    private SparkValues(Row row) { this.row = row; }

    /** @throws IllegalArgumentException if a column holds bytes, which are no text */
    static SparkValues of(Row row) { return of(row, row); }

    /** @param whole what {@link #row} is to return */
    static SparkValues of(Row row, Row whole) {
        var values = new SparkValues(whole);
        put(row, values);
        return values;
    }

    /** Returns the row as Spark gave it. */
    Row row() { return row; }

    private static void put(Row row, Map<String, Object> values) {
        var names = row.schema().fieldNames();
        for (int i = 0; i < names.length; i++) values.put(names[i], plain(row.get(i), names[i]));
    }

    private static Object plain(Object value, String column) {
        if (value == null || value instanceof String || value instanceof Number || value instanceof Boolean)
            return PlainValues.of(value);
        if (value instanceof byte[]) throw new IllegalArgumentException("spark: column " + column + " holds bytes, "
            + "which are no text; leave it out, or make a text of it, as by base64(" + column + ")");
        if (value instanceof Row struct) {
            var fields = new LinkedHashMap<String, Object>();
            put(struct, fields);
            return fields;
        }
        if (value instanceof scala.collection.Map<?, ?> map) return map(CollectionConverters.asJava(map), column);
        if (value instanceof scala.collection.Seq<?> array) return list(CollectionConverters.asJava(array), column);
        var time = time(value);
        return time == null ? PlainValues.of(value.toString()) : time;
    }

    private static List<Object> list(List<?> array, String column) {
        var values = new ArrayList<>(array.size());
        for (var value : array) values.add(plain(value, column));
        return values;
    }

    /** A map of Spark's has no order of its own, and another one would be another request to pay. */
    private static Map<String, Object> map(Map<?, ?> map, String column) {
        var values = new TreeMap<String, Object>();
        map.forEach((key, value) -> values.put(String.valueOf(plain(key, column)), plain(value, column)));
        return values;
    }

    /** Java itself leaves seconds out that are zero. */
    private static String time(Object value) {
        if (value instanceof Timestamp time) return time(time.toInstant());
        if (value instanceof Instant time) return DateTimeFormatter.ISO_INSTANT.format(time);
        if (value instanceof LocalDateTime time) return DateTimeFormatter.ISO_LOCAL_DATE_TIME.format(time);
        if (value instanceof LocalTime time) return DateTimeFormatter.ISO_LOCAL_TIME.format(time);
        return value instanceof Date date ? date.toLocalDate().toString() : null;
    }
}
