package sheaf.server;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeType;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.math.BigDecimal;
import java.math.RoundingMode;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;
import java.util.stream.Stream;
import sheaf.server.Json.Lines;

/**
 * A small instance of a JSON schema, as a model that is held to it could say: the first label of an enum, and a given
 * text wherever any text will do. It knows no request.
 *
 * @see <a href="https://json-schema.org/draft/2020-12/json-schema-validation">JSON Schema Validation</a>
 */
final class SchemaInstance {
    private static final int MAX_STEPS = 100_000;    // values in an instance, and tries on the way to them
    private static final int MAX_DEPTH = 200;        // of schemas within each other
    private static final int MAX_DIGITS = 300;       // of a bound
    private static final int MAX_PATTERN = 4_000;    // characters
    private static final Map<String, String> FORMATS = Map.of("date-time", "2026-01-31T12:00:00Z", "date", "2026-01-31",
        "time", "12:00:00Z", "duration", "PT1H", "email", "someone@example.com", "hostname", "example.com",
        "ipv4", "192.0.2.1", "ipv6", "2001:db8::1", "uuid", "123e4567-e89b-12d3-a456-426614174000",
        "uri", "https://example.com/");
    private static final List<String> UNSUPPORTED = List.of("not", "if", "then", "else", "dependentRequired",
        "dependentSchemas", "patternProperties", "minProperties", "propertyNames", "contains");

    private static final Map<JsonNodeType, List<String>> KEYWORDS = Map.of(
        JsonNodeType.ARRAY, List.of("enum", "anyOf", "oneOf", "allOf", "prefixItems", "required"),
        JsonNodeType.OBJECT, List.of("properties"), JsonNodeType.STRING, List.of("$ref", "pattern", "format"),
        JsonNodeType.NUMBER, List.of("minItems", "maxItems", "minLength", "maxLength", "minimum", "maximum",
            "exclusiveMinimum", "exclusiveMaximum", "multipleOf"));
    private static final List<String> SIZES = List.of("minItems", "maxItems", "minLength", "maxLength");

    private final JsonNode root;
    private final String text;
    private final String param;                          // of the request, which the schema stands in
    private final Set<String> open = new HashSet<>();    // references on the way to the value that is looked for
    private int steps;
    private int depth;
    private long characters;                             // of all texts so far

    private SchemaInstance(JsonNode root, String text, String param) {
        this.root = root;
        this.text = text;
        this.param = param;
    }

    /** Returns an instance of a schema, or refuses the schema, which stands in this parameter of a request. */
    static JsonNode of(JsonNode schema, String text, String param) {
        var search = new SchemaInstance(schema, text, param);
        var found = search.instance(schema);
        if (found == null) throw search.refusal("it has no finite instance");
        return found;
    }

    private Refusal refusal(String why) {
        return Refusal.invalid(param, "invalid_json_schema", "Invalid schema for '" + param + "': " + why + ".");
    }

    /** Returns an instance, or null if there is none that is finite and does not lead back into an open reference. */
    private JsonNode instance(JsonNode schema) {
        step();
        if (++depth > MAX_DEPTH) throw refusal("it is nested deeper than " + MAX_DEPTH + " levels");
        var found = find(schema);
        depth--;
        return found;
    }

    private JsonNode find(JsonNode schema) {
        if (schema.isBoolean()) return schema.asBoolean() ? said(text) : null;
        if (!(schema instanceof ObjectNode object)) throw refusal("a schema is an object, not " + schema);
        for (var keyword : UNSUPPORTED)
            if (object.has(keyword)) throw refusal("'" + keyword + "' is not permitted");
        KEYWORDS.forEach((type, keywords) -> keywords.forEach(keyword -> check(keyword, object.path(keyword), type)));
        if (object.has("$ref")) return referred(object);
        if (object.has("const")) return object.get("const");
        if (object.has("enum")) return label(object, 0);
        if (object.has("allOf")) return instance(allOf(object));
        for (var choice : List.of("anyOf", "oneOf"))
            if (object.has(choice)) return anyOf(object, choice);
        return ofType(object);
    }

    private void check(String keyword, JsonNode value, JsonNodeType type) {
        if (value.isMissingNode()) return;
        if (value.getNodeType() != type)
            throw refusal("'" + keyword + "' is no " + type.name().toLowerCase(Locale.ROOT));
        if (SIZES.contains(keyword) && (!value.canConvertToInt() || value.intValue() < 0))
            throw refusal("'" + keyword + "' is no size");
    }

    private void step() {
        if (++steps > MAX_STEPS || characters > Lines.MAX_BYTES) throw refusal("its instances are too large");
    }

    private JsonNode said(String text) {
        characters += text.length();
        step();
        return Json.MAPPER.getNodeFactory().textNode(text);
    }

    private JsonNode label(JsonNode schema, int index) {
        var labels = schema.get("enum");
        if (labels.isEmpty()) throw refusal("an 'enum' lists at least one value");
        return labels.get(index % labels.size());
    }

    /** A least instance never holds itself, so one way back into a reference need not be tried. */
    private JsonNode referred(ObjectNode schema) {
        var reference = schema.get("$ref").asText();
        if (!open.add(reference)) return null;
        try {
            var target = target(schema);
            return instance(target.isObject() ? merged(schema.deepCopy().without("$ref"), target) : target);
        } finally {
            open.remove(reference);
        }
    }

    private JsonNode target(JsonNode schema) {
        var reference = schema.get("$ref").asText();
        var target = reference.matches("#(/.*)?") ? root.at(reference.substring(1)) : root.path("");
        if (target.isMissingNode()) throw refusal("'$ref' " + Refusal.quoted(reference) + " leads nowhere");
        return target;
    }

    private ObjectNode allOf(ObjectNode schema) {
        var all = schema.deepCopy().<ObjectNode>without("allOf");
        for (var each : schema.get("allOf")) {
            var one = each.has("$ref") ? target(each) : each;
            if (!one.isObject()) throw refusal("'allOf' lists what is no object");
            all = merged(all, one);
        }
        return all;
    }

    private JsonNode anyOf(ObjectNode schema, String choice) {
        var common = schema.deepCopy().<ObjectNode>without(choice);
        for (var each : schema.get(choice)) {
            var found = instance(each.isObject() ? merged(common, each) : each);
            if (found != null) return found;
        }
        return null;
    }

    /** Returns a schema that asks for what either asks for; where both name a keyword, the second holds. */
    private static ObjectNode merged(JsonNode first, JsonNode second) {
        ObjectNode both = first.deepCopy();
        for (var keyword : second.properties()) {
            var name = keyword.getKey();
            var more = keyword.getValue();
            if (name.equals("properties") && both.path(name) instanceof ObjectNode known && more.isObject())
                known.setAll((ObjectNode) more);
            else if (name.equals("required") && both.path(name) instanceof ArrayNode known) more.forEach(known::add);
            else both.set(name, more);
        }
        return both;
    }

    private JsonNode ofType(ObjectNode schema) {
        var type = schema.path("type");
        return switch (type.isArray() ? type.path(0).asText() : type.asText(guessedType(schema))) {
            case "object" -> object(schema);
            case "array" -> array(schema);
            case "string" -> said(string(schema));
            case "integer", "number" -> number(schema);
            case "boolean" -> Json.MAPPER.getNodeFactory().booleanNode(true);
            case "null" -> Json.MAPPER.nullNode();
            default -> throw refusal(type + " is no type");
        };
    }

    private static String guessedType(ObjectNode schema) {
        if (schema.has("properties") || schema.has("required")) return "object";
        if (schema.has("items") || schema.has("prefixItems")) return "array";
        return Stream.of("minimum", "maximum", "multipleOf").anyMatch(schema::has) ? "number" : "string";
    }

    /** Returns an object with the required properties, and with the others that can be had. */
    private JsonNode object(ObjectNode schema) {
        var object = Json.object();
        for (var property : schema.path("properties").properties()) {
            var value = instance(property.getValue());
            if (value != null) object.set(property.getKey(), value);
        }
        for (var name : schema.path("required"))
            if (!object.has(name.asText())) {
                if (schema.path("properties").has(name.asText())) return null;
                object.set(name.asText(), said(text));
            }
        return object;
    }

    /** Returns an array of as few elements as there may be, but one if there may be one. */
    private JsonNode array(ObjectNode schema) {
        var array = Json.MAPPER.createArrayNode();
        int least = schema.path("minItems").asInt(0);
        int wanted = Math.max(least, Math.min(1, schema.path("maxItems").asInt(1)));
        var first = schema.path("prefixItems");
        for (int i = 0; i < Math.max(wanted, first.size()); i++) {
            var element = element(i < first.size() ? first.get(i) : schema.path("items"), i);
            if (element == null) return i < least ? null : array;
            array.add(element);
        }
        return array;
    }

    private JsonNode element(JsonNode schema, int index) {
        step();
        if (schema.isMissingNode()) return said(text);
        return schema.path("enum").isArray() ? label(schema, index) : instance(schema);
    }

    private String string(ObjectNode schema) {
        if (schema.has("pattern")) return matching(schema.get("pattern").asText());
        var format = FORMATS.get(schema.path("format").asText());
        if (format != null) return format;
        int least = schema.path("minLength").asInt(0);
        int most = schema.path("maxLength").asInt(Integer.MAX_VALUE);
        if (least > MAX_STEPS) throw refusal("its instances are too large");
        var said = text + "-".repeat(Math.max(0, least - text.codePointCount(0, text.length())));
        return said.codePointCount(0, said.length()) <= most ? said
            : said.substring(0, said.offsetByCodePoints(0, Math.max(0, most)));
    }

    private String matching(String pattern) {
        if (pattern.length() > MAX_PATTERN) throw refusal("a pattern is longer than " + MAX_PATTERN + " characters");
        try {
            var sample = new PatternSample(pattern).text();
            if (Pattern.compile(pattern).matcher(sample).find()) return sample;
        } catch (PatternSyntaxException | StackOverflowError unreadable) {   // malformed, or too much for Java
            throw refusal("the pattern " + Refusal.quoted(pattern) + " cannot be read");
        }
        throw refusal("no text is found for the pattern " + Refusal.quoted(pattern));
    }

    /** Returns 0 if that is within the bounds, or else the multiple next to it, or else what is between the bounds. */
    private JsonNode number(ObjectNode schema) {
        var step = schema.has("multipleOf") ? decimal(schema, "multipleOf") : BigDecimal.ONE;
        if (step.signum() <= 0) throw refusal("'multipleOf' is not above 0");
        var least = bound(schema, "minimum", "exclusiveMinimum", step, RoundingMode.CEILING);
        var most = bound(schema, "maximum", "exclusiveMaximum", step.negate(), RoundingMode.FLOOR);
        var number = BigDecimal.ZERO;
        if (least != null) number = number.max(least);
        if (most != null) number = number.min(most);
        if (least == null || number.compareTo(least) >= 0) return Json.MAPPER.getNodeFactory().numberNode(number);
        if (schema.path("type").asText().equals("integer") || schema.has("multipleOf"))
            throw refusal("no number is within its bounds");
        return Json.MAPPER.getNodeFactory().numberNode(between(schema));
    }

    /** Returns the multiple next to a bound, or null if there is no bound. */
    private BigDecimal bound(ObjectNode schema, String included, String excluded, BigDecimal step, RoundingMode mode) {
        if (!schema.has(included) && !schema.has(excluded)) return null;
        var bound = decimal(schema, schema.has(excluded) ? excluded : included);
        var multiple = bound.divide(step.abs(), 0, mode).multiply(step.abs());
        return schema.has(excluded) && multiple.compareTo(bound) == 0 ? multiple.add(step) : multiple;
    }

    private BigDecimal between(ObjectNode schema) {
        var least = decimal(schema, schema.has("minimum") ? "minimum" : "exclusiveMinimum");
        var most = decimal(schema, schema.has("maximum") ? "maximum" : "exclusiveMaximum");
        if (least.compareTo(most) > 0) throw refusal("no number is within its bounds");
        return least.add(most).divide(BigDecimal.valueOf(2)).stripTrailingZeros();
    }

    private BigDecimal decimal(ObjectNode schema, String keyword) {
        var decimal = schema.get(keyword).decimalValue();
        if (Math.max(Math.abs((long) decimal.scale()), decimal.precision()) > MAX_DIGITS)
            throw refusal("'" + keyword + "' has more than " + MAX_DIGITS + " digits");
        return decimal;
    }
}
