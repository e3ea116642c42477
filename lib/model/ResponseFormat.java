package sheaf.model;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.databind.node.TextNode;
import de.kherud.llama.LlamaModel;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The grammar that holds an answer to a JSON schema. It does not know the rest of the request. */
final class ResponseFormat {
    private static final ObjectMapper JSON = new ObjectMapper();
    /** What llama.cpp makes a grammar of; it ignores any other keyword, or ends the process. */
    private static final Set<String> KEYWORDS = Set.of("$schema", "$id", "$defs", "definitions", "$ref", "title",
        "description", "default", "examples", "type", "properties", "required", "additionalProperties", "items",
        "prefixItems", "enum", "const", "anyOf", "oneOf",
        "minItems", "maxItems", "minLength", "maxLength", "minimum", "maximum");
    /** Between the tokens of JSON llama.cpp allows lines and tabs, and a small model writes them without end. */
    private static final Pattern SPACE = Pattern.compile("(?m)^space ::= .*$");
    private static final Set<String> TYPES =
        Set.of("object", "array", "string", "number", "integer", "boolean", "null");

    private ResponseFormat() { }

    /** Returns the grammar of a request's {@code response_format}; none for plain text. */
    static Optional<String> grammar(JsonNode format) {
        return switch (format.path("type").asText("text")) {
            case "text" -> Optional.empty();
            case "json_object" -> Optional.of(grammarOf(JSON.createObjectNode().put("type", "object")));
            case "json_schema" -> Optional.of(grammarOf(format.at("/json_schema/schema")));
            default -> throw unsupported("type " + format.get("type"));
        };
    }

    /** Returns all answers that fit a {@code response_format} whose only field lists its values; else none. */
    static List<String> answers(JsonNode format) {
        var fields = format.at("/json_schema/schema/properties");
        var answers = new ArrayList<String>();
        if (fields.size() != 1) return answers;
        var name = fields.fieldNames().next();
        for (var value : fields.get(name).path("enum"))
            answers.add("{" + TextNode.valueOf(name) + ": " + value + "}");
        return answers;
    }

    private static String grammarOf(JsonNode schema) {
        check(schema, schema);
        var escaped = new ArrayList<String>();
        var grammar = LlamaModel.jsonSchemaToGrammar(named(schema.deepCopy(), escaped).toString());
        for (int i = 0; i < escaped.size(); i++) grammar = grammar.replace(name(i), literal(escaped.get(i)));
        return SPACE.matcher(grammar).replaceAll(Matcher.quoteReplacement("space ::= | \" \""));
    }

    /** Puts a name for each text that JSON writes with a backslash: llama.cpp makes a grammar of it that it ignores. */
    private static JsonNode named(JsonNode schema, List<String> escaped) {
        if (schema.get("enum") instanceof ArrayNode values)
            for (int i = 0; i < values.size(); i++) values.set(i, nameOf(values.get(i), escaped));
        if (schema.path("const").isTextual())
            ((ObjectNode) schema).set("const", nameOf(schema.get("const"), escaped));
        schema.forEach(inner -> named(inner, escaped));
        return schema;
    }

    private static JsonNode nameOf(JsonNode value, List<String> escaped) {
        var json = value.toString();
        if (!value.isTextual() || !json.contains("\\")) return value;
        escaped.add(json.substring(1, json.length() - 1));
        return TextNode.valueOf(name(escaped.size() - 1));
    }

    private static String name(int number) { return "sheaf-" + number + "-text"; }

    /** Returns a piece of JSON as it stands in a literal of a grammar. */
    private static String literal(String json) { return json.replace("\\", "\\\\").replace("\"", "\\\""); }

    /** Refuses an answer that is no JSON, or does not begin so: llama.cpp ignores a grammar that it cannot read. */
    static void verify(String answer, boolean isComplete) {
        try (var parser = JSON.createParser(answer)) {
            if (isComplete) JSON.readTree(answer);
            else parser.nextToken();
        } catch (IOException e) {
            throw new Http.Refusal(500, "invalid_output", "response_format", "the answer is no JSON: " + answer);
        }
    }

    private static void check(JsonNode schema, JsonNode root) {
        if (!schema.isObject()) throw unsupported("a schema that is no object");
        schema.fieldNames().forEachRemaining(keyword -> checkKeyword(keyword, schema.get(keyword), root));
    }

    private static void checkKeyword(String keyword, JsonNode value, JsonNode root) {
        if (!KEYWORDS.contains(keyword)) throw unsupported("'" + keyword + "'");
        switch (keyword) {
            case "type" -> checkTypes(value);
            case "$ref" -> checkReference(value.asText(), root);
            case "properties", "$defs", "definitions" -> {
                checkEach(keyword, value, value.isObject(), root);
                value.fieldNames().forEachRemaining(ResponseFormat::checkName);
            }
            case "anyOf", "oneOf", "prefixItems" -> checkEach(keyword, value, value.isArray(), root);
            case "items" -> check(value, root);
            case "required", "enum" -> expect(value.isArray(), keyword);
            case "minItems", "maxItems", "minLength", "maxLength" -> expect(value.isInt(), keyword);
            default -> { }
        }
    }

    private static void checkEach(String keyword, JsonNode schemas, boolean wellFormed, JsonNode root) {
        expect(wellFormed, keyword);
        schemas.forEach(schema -> check(schema, root));
    }

    private static void checkName(String name) {
        if (TextNode.valueOf(name).toString().contains("\\")) throw unsupported("the name " + name);
    }

    private static void checkTypes(JsonNode types) {
        for (var type : types.isArray() ? types : List.of(types)) expect(TYPES.contains(type.asText()), "type");
    }

    private static void checkReference(String reference, JsonNode root) {
        expect(reference.startsWith("#/") && root.at(reference.substring(1)).isObject(), "$ref");
    }

    private static void expect(boolean wellFormed, String keyword) {
        if (!wellFormed) throw unsupported("this value of '" + keyword + "'");
    }

    private static Http.Refusal unsupported(String what) {
        return Http.Refusal.invalid("response_format",
            "the local model does not support " + what + " in 'response_format'");
    }
}
