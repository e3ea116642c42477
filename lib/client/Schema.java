package sheaf;

import static sheaf.Messages.clip;
import static sheaf.Messages.count;

import com.fasterxml.jackson.databind.JsonNode;
import java.math.BigDecimal;
import java.time.DateTimeException;
import java.time.LocalDate;
import java.time.OffsetDateTime;
import java.time.OffsetTime;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.function.Consumer;
import java.util.function.Supplier;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * A JSON schema of the keywords that OpenAI's strict mode has: whether a value fits it, and else which place does not.
 * @see <a href="https://platform.openai.com/docs/guides/structured-outputs">Structured outputs</a>
 */
final class Schema {
    private static final Set<String> TYPES =
        Set.of("object", "array", "string", "number", "integer", "boolean", "null");
    /** They say something to the model, and ask for nothing. */
    private static final Set<String> REMARKS = Set.of("$schema", "$id", "title", "description", "default", "examples");
    private static final Set<String> SCHEMAS_BY_NAME = Set.of("properties", "$defs", "definitions");
    private static final Set<String> NUMBERS = Set.of("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
        "multipleOf", "minItems", "maxItems", "minLength", "maxLength");
    private static final Set<String> OTHERS = Set.of("type", "$ref", "anyOf", "items", "additionalProperties",
        "required", "enum", "const", "pattern", "format");
    /** Of ISO 8601, with years, months and weeks, which Java's own has not. */
    private static final String DURATION = "P(?!$)([0-9]+W|([0-9]+Y)?([0-9]+M)?([0-9]+D)?"
        + "(T(?!$)([0-9]+H)?([0-9]+M)?([0-9]+([.,][0-9]+)?S)?)?)";
    /** Those of strict mode; a hostname is nearly any text, and what is meant by an email nobody agrees on. */
    private static final Map<String, Consumer<String>> FORMATS = Map.of("date-time", OffsetDateTime::parse,
        "date", LocalDate::parse, "time", OffsetTime::parse, "duration", text -> match(DURATION, text),
        "uuid", UUID::fromString,
        "email", text -> match("[^@\\s]+@[^@\\s]+", text), "hostname", text -> match("[^\\s/]+", text),
        "ipv4", text -> match("([0-9]{1,3}[.]){3}[0-9]{1,3}", text),
        "ipv6", text -> match("[0-9a-fA-F:.]*:[0-9a-fA-F:.]*", text), "uri", text -> match("\\w[\\w+.-]*:\\S+", text));
    private static final int MOST_PLACES = 1_000;          // between two numbers that are divided
    private static final int SHOWN = 60;                   // characters of a value, or of what it may be
    private final JsonNode root;

    Schema(JsonNode root) { this.root = root; }

    private static void match(String pattern, String text) {
        if (!text.matches(pattern)) throw new IllegalArgumentException(text);
    }

    /**
     * Refuses a schema that asks for what is not checked here, or for what no value can be.
     * @throws IllegalArgumentException with the place, and this name before it
     */
    void check(String name) {
        if (!type(root).equals(List.of("object")) || !root.path("properties").isObject())
            throw new IllegalArgumentException(name
                + ": an answer is an object with fields; put what it shall be into a field of one");
        try {
            check("#", root);
        } catch (IllegalArgumentException fault) {
            throw new IllegalArgumentException(name + ": " + fault.getMessage(), fault);
        }
    }

    private void check(String at, JsonNode schema) {
        if (!schema.isObject()) throw new IllegalArgumentException("the schema at " + at + " is no object");
        if (type(schema).contains("object") && !schema.has("properties") && isClosed(schema))
            throw new IllegalArgumentException("the object at " + at
                + " can have no field; name its fields, in Java by a record in the place of a map");
        schema.properties().forEach(field -> checkKeyword(at, field.getKey(), field.getValue()));
        if (isEndless(schema, new HashSet<>()))
            throw new IllegalArgumentException("the schema at " + at + " leads back to itself");
    }

    private void checkKeyword(String at, String keyword, JsonNode value) {
        var here = at + "/" + keyword;
        if (REMARKS.contains(keyword)) return;
        if (SCHEMAS_BY_NAME.contains(keyword)) {
            expect(value.isObject(), here);
            value.properties().forEach(field -> check(here + "/" + field.getKey(), field.getValue()));
        } else if (NUMBERS.contains(keyword)) expect(value.isNumber(), here);
        else if (OTHERS.contains(keyword)) checkOther(here, keyword, value);
        else throw new IllegalArgumentException("\"" + keyword + "\" at " + at
            + " cannot be checked; leave it out, or say it by type, enum, anyOf, pattern or a limit");
    }

    private void checkOther(String here, String keyword, JsonNode value) {
        switch (keyword) {
            case "type" -> expect(!types(value).isEmpty() && TYPES.containsAll(types(value)), here);
            case "$ref" -> expect(value.isTextual() && target(value.asText()).isObject(), here);
            case "anyOf" -> {
                expect(value.isArray() && !value.isEmpty(), here);
                for (int i = 0; i < value.size(); i++) check(here + "/" + i, value.get(i));
            }
            case "items" -> check(here, value);
            case "additionalProperties" -> {
                if (!value.isBoolean()) check(here, value);
            }
            case "required" -> expect(value.isArray(), here);
            case "enum" -> expect(value.isArray() && !value.isEmpty(), here);
            case "pattern" -> expect(isPattern(value.asText()), here);
            case "format" -> expect(FORMATS.containsKey(value.asText()), here);
            default -> { }
        }
    }

    private static void expect(boolean isSo, String here) {
        if (!isSo) throw new IllegalArgumentException("the value at " + here + " is none that can be checked");
    }

    private static boolean isPattern(String regex) {
        try {
            Pattern.compile(regex);
            return true;
        } catch (PatternSyntaxException e) {
            return false;
        }
    }

    /** Whether following references and alternatives alone comes back to a schema that is being followed. */
    private boolean isEndless(JsonNode schema, Set<JsonNode> open) {
        if (!open.add(schema)) return true;
        var next = schema.has("$ref") ? Stream.of(target(schema.path("$ref").asText()))
            : schema.path("anyOf").valueStream();
        boolean isEndless = next.anyMatch(other -> isEndless(other, open));
        open.remove(schema);
        return isEndless;
    }

    private JsonNode target(String reference) {
        return reference.startsWith("#/") ? root.at(reference.substring(1))
            : reference.equals("#") ? root : root.path("");
    }

    /** Whether each object has all of its fields, and no others: else OpenAI's strict mode refuses the schema. */
    boolean isStrict() { return isStrict(root); }

    private static boolean isStrict(JsonNode schema) {
        boolean isObject = schema.has("properties") || type(schema).contains("object");
        var required = schema.path("required").valueStream().map(JsonNode::asText).collect(Collectors.toSet());
        boolean isWhole = names(schema.path("properties")).allMatch(required::contains);
        if (isObject && !(isClosed(schema) && isWhole)) return false;
        return Stream.concat(SCHEMAS_BY_NAME.stream().flatMap(keyword -> schema.path(keyword).valueStream()),
                Stream.concat(schema.path("anyOf").valueStream(), Stream.of(schema.path("items"))))
            .filter(JsonNode::isObject).allMatch(Schema::isStrict);
    }

    private static boolean isClosed(JsonNode schema) {
        return schema.path("additionalProperties").isBoolean() && !schema.path("additionalProperties").asBoolean();
    }

    /** Returns the dotted names of all that is no object itself, in the schema's order. */
    List<String> leaves() {
        var leaves = new ArrayList<String>();
        addLeaves("", root, new HashSet<>(), leaves);
        return leaves;
    }

    private void addLeaves(String prefix, JsonNode schema, Set<JsonNode> open, List<String> leaves) {
        schema.path("properties").properties().forEach(field -> {
            var object = object(field.getValue());
            if (object == null || !open.add(object)) leaves.add(prefix + field.getKey());
            else {
                addLeaves(prefix + field.getKey() + ".", object, open, leaves);
                open.remove(object);
            }
        });
    }

    /** Returns the schema of an object, which may also be null; null if it is of something else. */
    private JsonNode object(JsonNode schema) {
        if (schema.has("$ref")) return object(target(schema.path("$ref").asText()));
        if (schema.path("properties").isObject()) return schema;
        var others = others(schema);
        return others.size() == 1 ? object(others.get(0)) : null;
    }

    /** Returns the alternatives besides null. */
    private static List<JsonNode> others(JsonNode schema) {
        return schema.path("anyOf").valueStream().filter(any -> !type(any).equals(List.of("null"))).toList();
    }

    /** Returns which place of a value does not fit and why, the first; "" if it fits. */
    String fault(JsonNode value) {
        try {
            return fault("$", value, root);
        } catch (StackOverflowError tooDeep) {
            return "$ is nested too deeply";
        }
    }

    private String fault(String at, JsonNode value, JsonNode schema) {
        if (schema.has("$ref")) return fault(at, value, target(schema.path("$ref").asText()));
        if (schema.has("anyOf")) return faultOfAny(at, value, schema);
        return Stream.<Supplier<String>>of(() -> faultOfType(at, value, schema),
                () -> faultOfChoice(at, value, schema), () -> faultOfObject(at, value, schema),
                () -> faultOfArray(at, value, schema), () -> faultOfText(at, value, schema),
                () -> faultOfNumber(at, value, schema))
            .map(Supplier::get).filter(fault -> !fault.isEmpty()).findFirst().orElse("");
    }

    /** What may be null or something else is to be something else. */
    private String faultOfAny(String at, JsonNode value, JsonNode schema) {
        if (schema.path("anyOf").valueStream().anyMatch(any -> fault(at, value, any).isEmpty())) return "";
        var others = others(schema);
        return others.size() == 1 ? fault(at, value, others.get(0))
            : at + " is " + shown(value) + ", none of " + schema.path("anyOf").size() + " alternatives";
    }

    private static String faultOfType(String at, JsonNode value, JsonNode schema) {
        var types = type(schema);
        if (types.isEmpty() || types.stream().anyMatch(type -> isOf(type, value))) return "";
        return at + " is " + shown(value) + ", not " + types.stream().map(Schema::withArticle)
            .collect(Collectors.joining(" or "));
    }

    private static String withArticle(String type) {
        return type.equals("null") ? type : (type.matches("[aio].*") ? "an " : "a ") + type;
    }

    private static boolean isOf(String type, JsonNode value) {
        return switch (type) {
            case "object" -> value.isObject();
            case "array" -> value.isArray();
            case "string" -> value.isTextual();
            case "number" -> value.isNumber();
            case "integer" -> value.isIntegralNumber()
                || value.isNumber() && value.decimalValue().stripTrailingZeros().scale() <= 0;
            case "boolean" -> value.isBoolean();
            default -> value.isNull();
        };
    }

    private static String faultOfChoice(String at, JsonNode value, JsonNode schema) {
        if (schema.has("const") && !isSame(schema.get("const"), value))
            return at + " is " + shown(value) + ", not " + shown(schema.get("const"));
        if (!schema.has("enum") || schema.get("enum").valueStream().anyMatch(one -> isSame(one, value))) return "";
        return at + " is " + shown(value) + ", not one of "
            + oneOf(schema.get("enum").valueStream().map(JsonNode::asText));
    }

    /** Returns names as a sentence has them, the first of many. */
    static String oneOf(Stream<String> names) {
        var all = names.toList();
        return all.stream().limit(20).map(name -> clip(name, SHOWN)).collect(Collectors.joining(", "))
            + (all.size() > 20 ? " and " + (all.size() - 20) + " more" : "");
    }

    private static boolean isSame(JsonNode one, JsonNode other) {
        return one.isNumber() && other.isNumber() ? one.decimalValue().compareTo(other.decimalValue()) == 0
            : one.equals(other);
    }

    private String faultOfObject(String at, JsonNode value, JsonNode schema) {
        if (!value.isObject()) return "";
        var properties = schema.path("properties");
        var missing = schema.path("required").valueStream().map(JsonNode::asText).filter(name -> !value.has(name))
            .findFirst();
        if (missing.isPresent()) return at + "." + missing.get() + " is missing";
        return value.properties().stream().map(field -> {
            var here = at + "." + field.getKey();
            var known = properties.path(field.getKey());
            var other = known.isMissingNode() ? schema.path("additionalProperties") : known;
            if (other.isObject()) return fault(here, field.getValue(), other);
            return other.isBoolean() && !other.asBoolean() ? here + " is no field that was asked for" : "";
        }).filter(fault -> !fault.isEmpty()).findFirst().orElse("");
    }

    private String faultOfArray(String at, JsonNode value, JsonNode schema) {
        if (!value.isArray()) return "";
        var size = faultOfSize(at, value.size(), "item", schema.path("minItems"), schema.path("maxItems"));
        if (!size.isEmpty() || !schema.path("items").isObject()) return size;
        for (int i = 0; i < value.size(); i++) {
            var fault = fault(at + "[" + i + "]", value.get(i), schema.get("items"));
            if (!fault.isEmpty()) return fault;
        }
        return "";
    }

    private static String faultOfSize(String at, long size, String noun, JsonNode least, JsonNode most) {
        boolean isShort = least.isNumber() && size < least.asLong();
        boolean isLong = most.isNumber() && size > most.asLong();
        if (!isShort && !isLong) return "";
        return at + " has " + count(size, noun)
            + (isShort ? ", fewer than " + least.asLong() : ", more than " + most.asLong());
    }

    private static String faultOfText(String at, JsonNode value, JsonNode schema) {
        if (!value.isTextual()) return "";
        var text = value.asText();
        var is = at + " is " + shown(value);
        if (schema.has("pattern") && !isMatch(schema.get("pattern").asText(), text))
            return is + ", which does not match " + schema.get("pattern").asText();
        if (schema.has("format") && !isFormatted(schema.get("format").asText(), text))
            return is + ", no " + schema.get("format").asText();
        return faultOfSize(at, text.codePointCount(0, text.length()), "character", schema.path("minLength"),
            schema.path("maxLength"));
    }

    /** What is too long for this pattern is not known to be wrong, and a repair would pay for it. */
    private static boolean isMatch(String pattern, String text) {
        try {
            return Pattern.compile(pattern).matcher(text).find();
        } catch (StackOverflowError tooLong) {
            return true;
        }
    }

    private static boolean isFormatted(String format, String text) {
        try {
            FORMATS.get(format).accept(text);
            return true;
        } catch (DateTimeException | IllegalArgumentException e) {
            return false;
        }
    }

    private static String faultOfNumber(String at, JsonNode value, JsonNode schema) {
        if (!value.isNumber()) return "";
        var number = value.decimalValue();
        return Stream.of(bound(number, schema, "minimum", true, "less than"),
                bound(number, schema, "exclusiveMinimum", true, "not more than"),
                bound(number, schema, "maximum", false, "more than"),
                bound(number, schema, "exclusiveMaximum", false, "not less than"),
                isMultiple(number, schema) ? "" : "no multiple of " + schema.get("multipleOf").asText())
            .filter(fault -> !fault.isEmpty()).findFirst().map(fault -> at + " is " + shown(value) + ", " + fault)
            .orElse("");
    }

    private static String bound(BigDecimal number, JsonNode schema, String keyword, boolean isLower, String word) {
        if (!schema.has(keyword)) return "";
        int over = number.compareTo(schema.get(keyword).decimalValue());
        int least = keyword.startsWith("exclusive") ? 1 : 0;
        return (isLower ? over : -over) >= least ? "" : word + " " + schema.get(keyword).asText();
    }

    private static boolean isMultiple(BigDecimal number, JsonNode schema) {
        var step = schema.path("multipleOf").isNumber() ? schema.get("multipleOf").decimalValue() : BigDecimal.ZERO;
        if (step.signum() == 0 || number.signum() == 0) return true;
        long places = (long) step.scale() - number.scale();      // 1e999999999 would take a gigabyte to divide
        return Math.abs(places) > MOST_PLACES ? places > 0 : number.remainder(step).signum() == 0;
    }

    private static String shown(JsonNode value) { return clip(value.toString(), SHOWN); }

    private static List<String> type(JsonNode schema) { return types(schema.path("type")); }

    private static List<String> types(JsonNode type) {
        if (type.isMissingNode()) return List.of();
        return type.isArray() ? type.valueStream().map(JsonNode::asText).toList() : List.of(type.asText());
    }

    private static Stream<String> names(JsonNode object) {
        return object.properties().stream().map(Map.Entry::getKey);
    }
}
