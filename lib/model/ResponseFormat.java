package sheaf.model;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import de.kherud.llama.LlamaModel;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/** The grammar that holds an answer to a JSON schema. It does not know the rest of the request. */
final class ResponseFormat {
    private static final ObjectMapper JSON = new ObjectMapper();
    /** What llama.cpp makes a grammar of; it ignores any other keyword, or ends the process. */
    private static final Set<String> KEYWORDS = Set.of("$schema", "$id", "$defs", "definitions", "$ref", "title",
        "description", "default", "examples", "type", "properties", "required", "additionalProperties", "items",
        "prefixItems", "enum", "const", "anyOf", "oneOf",
        "minItems", "maxItems", "minLength", "maxLength", "minimum", "maximum");
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

    private static String grammarOf(JsonNode schema) {
        check(schema, schema);
        return LlamaModel.jsonSchemaToGrammar(schema.toString());
    }

    /** Refuses an answer that is no JSON: llama.cpp silently ignores a grammar that it cannot read. */
    static void verify(String answer) {
        try {
            JSON.readTree(answer);
        } catch (JsonProcessingException e) {
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
            case "properties", "$defs", "definitions" -> checkEach(keyword, value, value.isObject(), root);
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
