package sheaf.server;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeType;
import java.math.BigDecimal;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;

/**
 * Whether a value fits a JSON schema, as far as {@link SchemaInstance} knows schemas, which refuses others before. It
 * makes no value.
 */
final class SchemaFit {
    private static final int MAX_DEPTH = 100;                    // of references and schemas within each other

    private final JsonNode root;
    private int depth;

    private SchemaFit(JsonNode root) { this.root = root; }

    static boolean fits(JsonNode value, JsonNode schema) { return new SchemaFit(schema).check(value, schema); }

    private boolean check(JsonNode value, JsonNode schema) {
        if (schema.isMissingNode() || schema.isBoolean()) return schema.asBoolean(true);
        if (++depth > MAX_DEPTH) return false;
        boolean fits = isOfType(value, schema.path("type")) && isListed(value, schema) && isMade(value, schema)
            && isReferred(value, schema);
        depth--;
        return fits;
    }

    private static boolean isOfType(JsonNode value, JsonNode type) {
        if (type.isMissingNode()) return true;
        if (type.isArray()) return type.valueStream().anyMatch(each -> isOfType(value, each));
        return switch (type.asText()) {
            case "integer" -> value.isNumber() && value.decimalValue().stripTrailingZeros().scale() <= 0;
            case "number" -> value.isNumber();
            default -> value.getNodeType().name().equalsIgnoreCase(type.asText());
        };
    }

    private static boolean isListed(JsonNode value, JsonNode schema) {
        return (!schema.has("const") || schema.get("const").equals(value))
            && (!schema.has("enum") || schema.get("enum").valueStream().anyMatch(value::equals));
    }

    private boolean isReferred(JsonNode value, JsonNode schema) {
        var reference = schema.path("$ref").asText("#");
        if (schema.has("$ref") && (!reference.startsWith("#") || !check(value, root.at(reference.substring(1)))))
            return false;
        return schema.path("allOf").valueStream().allMatch(each -> check(value, each))
            && (!schema.has("anyOf") || schema.get("anyOf").valueStream().anyMatch(each -> check(value, each)))
            && (!schema.has("oneOf")
                || schema.get("oneOf").valueStream().filter(each -> check(value, each)).count() == 1);
    }

    private boolean isMade(JsonNode value, JsonNode schema) {
        if (value.isObject()) return isObject(value, schema);
        if (value.isArray()) return isArray(value, schema);
        if (value.isNumber()) return isNumber(value.decimalValue(), schema);
        return value.getNodeType() != JsonNodeType.STRING || isText(value.textValue(), schema);
    }

    private boolean isObject(JsonNode value, JsonNode schema) {
        var properties = schema.path("properties");
        return schema.path("required").valueStream().allMatch(name -> value.has(name.asText()))
            && value.properties().stream().allMatch(field -> check(field.getValue(),
                properties.has(field.getKey()) ? properties.get(field.getKey()) : schema.path("additionalProperties")));
    }

    private boolean isArray(JsonNode value, JsonNode schema) {
        int known = schema.path("prefixItems").size();
        for (int i = 0; i < value.size(); i++)
            if (!check(value.get(i), i < known ? schema.get("prefixItems").get(i) : schema.path("items"))) return false;
        return isWithin(value.size(), schema, "Items");
    }

    private static boolean isText(String text, JsonNode schema) {
        try {
            return isWithin(text.codePointCount(0, text.length()), schema, "Length")
                && Pattern.compile(schema.path("pattern").asText("")).matcher(text).find();
        } catch (PatternSyntaxException | StackOverflowError unreadable) {
            return false;
        }
    }

    private static boolean isWithin(int size, JsonNode schema, String what) {
        return size >= schema.path("min" + what).asInt(0) && size <= schema.path("max" + what).asInt(Integer.MAX_VALUE);
    }

    private static boolean isNumber(BigDecimal number, JsonNode schema) {
        return compared(number, schema, "minimum", 0) >= 0 && compared(number, schema, "maximum", 0) <= 0
            && compared(number, schema, "exclusiveMinimum", 1) > 0
            && compared(number, schema, "exclusiveMaximum", -1) < 0
            && (!schema.has("multipleOf") || schema.get("multipleOf").decimalValue().signum() > 0
                && number.remainder(schema.get("multipleOf").decimalValue()).signum() == 0);
    }

    private static int compared(BigDecimal number, JsonNode schema, String bound, int otherwise) {
        return schema.path(bound).isNumber() ? number.compareTo(schema.get(bound).decimalValue()) : otherwise;
    }
}
