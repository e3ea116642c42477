package sheaf;

import static sheaf.Messages.clip;

import com.fasterxml.jackson.databind.JsonNode;
import java.lang.reflect.Array;
import java.lang.reflect.RecordComponent;
import java.math.BigDecimal;
import java.nio.file.Path;
import java.util.Collection;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.SortedMap;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * What a user holds as what JSON can say: a row from a map, a record or one value, the same bytes in each run.
 * Jackson's own conversion would write a decimal as 1.2345678E7, and a Map.of in another order each time.
 */
final class PlainValues {
    static Map<String, Object> row(Object value) {
        var oddity = oddity(value);
        if (oddity != null)
            throw new IllegalArgumentException(
                "rows: " + oddity + " is not a row; give rows(List.of(...)), or rows(() -> stream)");
        if (value instanceof Map<?, ?> || value instanceof Record) return map(of(value));
        return Collections.singletonMap("value", of(value));
    }

    private static String oddity(Object value) {
        if (value instanceof RowSource) return "data";
        if (value instanceof Stream) return "a Stream";
        if (value instanceof Path) return "a Path";
        if (value instanceof Iterable) return "a list";
        return value != null && value.getClass().isArray() ? "an array" : null;
    }

    @SuppressWarnings("unchecked")
    static Map<String, Object> map(Object plain) { return (Map<String, Object>) plain; }

    static Object of(Object value) {
        if (value instanceof Double || value instanceof Float) return number((Number) value);
        if (value == null || value instanceof String || value instanceof Number || value instanceof Boolean)
            return value;
        if (value instanceof JsonNode node) return Json.MAPPER.convertValue(node, Object.class);
        if (value instanceof Optional<?> optional) return of(optional.orElse(null));
        if (value instanceof Enum<?> constant) return constant.name();
        if (value instanceof Map<?, ?> map) return ofEntries(map);
        if (value instanceof Record record) return ofComponents(record);
        if (value instanceof Collection<?> values) return ofValues(values);
        if (value.getClass().isArray()) return ofArray(value);
        return text(value);
    }

    /** The text of an object that has none of its own is its address, another in each run. */
    private static String text(Object value) {
        try {
            if (value.getClass().getMethod("toString").getDeclaringClass() != Object.class) return value.toString();
        } catch (NoSuchMethodException e) {
            throw new AssertionError(e);
        }
        throw new IllegalArgumentException("rows: a " + value.getClass().getSimpleName()
            + " is neither a map, a record nor a plain value; make it a record");
    }

    /** A decimal reads the same in a prompt and in JSON: 12345678, and not 1.2345678E7. */
    private static Object number(Number value) {
        return Double.isFinite(value.doubleValue()) ? new BigDecimal(value.toString()) : value.toString();
    }

    private static Map<String, Object> ofEntries(Map<?, ?> map) {
        Map<String, Object> row = hasOrder(map) ? new LinkedHashMap<>() : new TreeMap<>();
        map.forEach((key, value) -> row.put(name(String.valueOf(key)), of(value)));
        return row;
    }

    /** In a text half a character is escaped; in a name readers of JSON refuse it, and the row would be lost. */
    private static String name(String name) {
        if (name.codePoints().noneMatch(JsonText::isHalf)) return name;
        throw new IllegalArgumentException("rows: the name \"" + clip(name, 40)
            + "\" holds half a character, a lone surrogate; rename it");
    }

    private static List<Object> ofValues(Collection<?> values) {
        var plain = values.stream().map(PlainValues::of);
        boolean isUnordered = values instanceof Set && !hasOrder(values);
        return (isUnordered ? plain.sorted(Comparator.comparing(Objects::toString)) : plain)
            .collect(Collectors.toList());
    }

    /** Map.of and Set.of come in another order in each run, and another order would be another batch to pay. */
    private static boolean hasOrder(Object values) {
        return values instanceof LinkedHashMap || values instanceof SortedMap || values instanceof LinkedHashSet
            || values instanceof SortedSet;
    }

    private static Map<String, Object> ofComponents(Record record) {
        var row = new LinkedHashMap<String, Object>();
        for (RecordComponent component : record.getClass().getRecordComponents())
            row.put(component.getName(), of(component(record, component)));
        return row;
    }

    /** A record nested in a script's class is not public, so its accessors are opened first. */
    private static Object component(Record record, RecordComponent component) {
        try {
            component.getAccessor().setAccessible(true);
            return component.getAccessor().invoke(record);
        } catch (ReflectiveOperationException e) {
            throw new IllegalArgumentException("rows: cannot read " + component + " of " + record, e);
        }
    }

    private static List<Object> ofArray(Object array) {
        return IntStream.range(0, Array.getLength(array)).mapToObj(i -> of(Array.get(array, i)))
            .collect(Collectors.toList());
    }

    /** Opens a stream of rows, in the same order, as often as it is asked. */
    interface RowSource {
        Stream<Map<String, Object>> open();
    }
}
