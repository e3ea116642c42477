package sheaf.support;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** Checks answers against the definitions of a JSON schema, of which it knows the keywords that stand in that. */
public final class AnswerSchema {
    private final JsonNode root;

    public AnswerSchema(Path file) throws IOException { this.root = RawClient.JSON.readTree(file.toFile()); }

    /** Returns the faults of an answer, each with its place, as this definition or its variant sees them. */
    public List<String> faults(JsonNode answer, String name, String variant) {
        var varied = root.path("$defs").path(name + "@" + variant);
        var faults = new ArrayList<String>();
        check(name, answer, varied.isMissingNode() ? root.path("$defs").required(name) : varied, faults);
        return faults;
    }

    private void check(String place, JsonNode value, JsonNode schema, List<String> faults) {
        if (schema.has("$ref")) {
            check(place, value, root.requiredAt(schema.get("$ref").asText().substring(1)), faults);
            return;
        }
        if (schema.has("anyOf") && schema.get("anyOf").valueStream().noneMatch(each -> fits(value, each)))
            faults.add(place + " is " + value);
        if (schema.has("type") && types(schema).noneMatch(type -> isOfType(value, type)))
            faults.add(place + " is no " + schema.get("type") + " but " + value);
        if (schema.has("const") && !schema.get("const").equals(value)) faults.add(place + " is " + value);
        if (schema.has("enum") && schema.get("enum").valueStream().noneMatch(value::equals))
            faults.add(place + " is " + value);
        if (schema.has("pattern") && value.isTextual()
            && !Pattern.compile(schema.get("pattern").asText()).matcher(value.asText()).find())
            faults.add(place + " is " + value);
        if (schema.has("minimum") && value.isNumber() && value.asDouble() < schema.get("minimum").asDouble())
            faults.add(place + " is " + value);
        checkParts(place, value, schema, faults);
    }

    private void checkParts(String place, JsonNode value, JsonNode schema, List<String> faults) {
        if (value.isArray() && schema.has("items"))
            for (int i = 0; i < value.size(); i++)
                check(place + "[" + i + "]", value.get(i), schema.get("items"), faults);
        if (!value.isObject()) return;
        for (var name : schema.path("required"))
            if (!value.has(name.asText())) faults.add(place + "." + name.asText() + " is missing");
        for (var field : value.properties()) {
            var known = schema.path("properties").path(field.getKey());
            var rule = known.isMissingNode() ? schema.path("additionalProperties") : known;
            if (rule.isObject()) check(place + "." + field.getKey(), field.getValue(), rule, faults);
            else if (rule.isBoolean() && !rule.asBoolean()) faults.add(place + "." + field.getKey() + " is unknown");
        }
    }

    private boolean fits(JsonNode value, JsonNode schema) {
        var faults = new ArrayList<String>();
        check("", value, schema, faults);
        return faults.isEmpty();
    }

    private static Stream<String> types(JsonNode schema) {
        var type = schema.get("type");
        return type.isArray() ? type.valueStream().map(JsonNode::asText) : Stream.of(type.asText());
    }

    private static boolean isOfType(JsonNode value, String type) {
        return switch (type) {
            case "string" -> value.isTextual();
            case "integer" -> value.isIntegralNumber();
            case "number" -> value.isNumber();
            default -> type.equalsIgnoreCase(value.getNodeType().name());
        };
    }
}
