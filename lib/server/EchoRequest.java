package sheaf.server;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeType;
import java.math.BigDecimal;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.StringTokenizer;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * A request for the echo, which refuses what a real model's server refuses: its fields, checked one by one, and what
 * they ask for. It knows no answer.
 *
 * @see <a href="https://platform.openai.com/docs/api-reference/chat/create">Create chat completion</a>
 * @see <a href="https://platform.openai.com/docs/api-reference/responses/create">Create response</a>
 */
record EchoRequest(String endpoint, JsonNode body) {
    private static final int MAX_INPUTS = 2_048;    // https://platform.openai.com/docs/api-reference/embeddings/create
    private static final Map<String, String> CONTENT = Map.of("/v1/chat/completions", "messages",
        "/v1/completions", "prompt", "/v1/embeddings", "input", "/v1/responses", "input", "/v1/moderations", "input");
    private static final List<String> LIMITS = List.of("max_completion_tokens", "max_tokens", "max_output_tokens");
    private static final Map<String, Bounds> NUMBERS = Stream.of(
        Bounds.whole("max_completion_tokens", 1, Integer.MAX_VALUE), Bounds.whole("max_tokens", 1, Integer.MAX_VALUE),
        Bounds.whole("max_output_tokens", 1, Integer.MAX_VALUE), Bounds.whole("n", 1, 128),
        Bounds.whole("best_of", 1, 20), Bounds.whole("top_logprobs", 0, 20), Bounds.whole("dimensions", 1, 4_096),
        Bounds.whole("max_tool_calls", 1, Integer.MAX_VALUE),
        Bounds.whole("seed", Long.MIN_VALUE, Long.MAX_VALUE), new Bounds("temperature", false, 0, 2),
        new Bounds("top_p", false, 0, 1), new Bounds("frequency_penalty", false, -2, 2),
        new Bounds("presence_penalty", false, -2, 2)).collect(Collectors.toMap(Bounds::param, bounds -> bounds));

    private static final Map<String, JsonNodeType> TYPES = types(Map.of(
        JsonNodeType.BOOLEAN, List.of("parallel_tool_calls", "store", "background"),
        JsonNodeType.STRING, List.of("instructions", "user", "service_tier", "previous_response_id", "truncation"),
        JsonNodeType.OBJECT, List.of("metadata", "reasoning", "text", "logit_bias"),
        JsonNodeType.ARRAY, List.of("tools")));

    private static Map<String, JsonNodeType> types(Map<JsonNodeType, List<String>> params) {
        var types = new HashMap<String, JsonNodeType>();
        params.forEach((type, names) -> names.forEach(name -> types.put(name, type)));
        return types;
    }

    /** A number that a request may have, and its bounds, both included. */
    private record Bounds(String param, boolean isWhole, long least, long most) {
        private static Bounds whole(String param, long least, long most) {
            return new Bounds(param, true, least, most);
        }

        private void check(JsonNode number) {
            if (Json.isAbsent(number)) return;
            if (!number.isNumber() || isWhole && !number.isIntegralNumber())
                throw Refusal.wrongType(param, isWhole ? "an integer" : "a number", number);
            var value = number.decimalValue();
            if (value.compareTo(BigDecimal.valueOf(least)) < 0) throw beyond("below minimum", ">= " + least, value);
            if (value.compareTo(BigDecimal.valueOf(most)) > 0) throw beyond("above maximum", "<= " + most, value);
        }

        private Refusal beyond(String side, String expected, BigDecimal value) {
            var kind = isWhole ? "integer" : "decimal";
            var code = kind + "_" + side.replaceFirst(" (...).*", "_$1") + "_value";
            return Refusal.invalid(param, code, "Invalid '" + param + "': " + kind + " " + side + " value. Expected a"
                + " value " + expected + ", but got " + Refusal.quoted(value.toString()) + " instead.");
        }
    }

    /** Returns a request that has everything which its endpoint wants. */
    static EchoRequest checked(String endpoint, JsonNode body) {
        var request = new EchoRequest(endpoint, body);
        requireText("model", body.path("model"));
        if (request.model().isEmpty()) throw Refusal.missing("model");
        body.properties().forEach(field -> checkField(field.getKey(), field.getValue()));
        request.checkContent();
        request.checkFormat();
        return request;
    }

    private static void checkField(String param, JsonNode value) {
        if (NUMBERS.containsKey(param)) NUMBERS.get(param).check(value);
        else if (TYPES.containsKey(param)) checkType(param, value, TYPES.get(param));
    }

    private static void checkType(String param, JsonNode value, JsonNodeType type) {
        if (Json.isAbsent(value) || value.getNodeType() == type) return;
        var name = type.name().toLowerCase(Locale.ROOT);
        throw Refusal.wrongType(param, (name.matches("[ao].*") ? "an " : "a ") + name, value);
    }

    /** Returns the field in which the requests to an endpoint have what they ask. */
    static String contentField(String endpoint) { return CONTENT.get(Engine.canonical(endpoint)); }

    String model() { return body.get("model").textValue(); }

    private JsonNode content() { return body.path(contentField(endpoint)); }

    private void checkContent() {
        var param = contentField(endpoint);
        if (Json.isAbsent(content())) throw Refusal.missing(param);
        if (param.equals("messages")) Messages.CHAT.check(param, content());
        else if (isResponse() && !content().isTextual()) Messages.RESPONSES.check(param, content());
        else if (!isResponse()) checkTexts(param);
    }

    private boolean isResponse() { return endpoint.equals("/v1/responses"); }

    private boolean isEmbedding() { return endpoint.equals("/v1/embeddings"); }

    /** Requires a text, the ids of its tokens, or a list of either. */
    private void checkTexts(String param) {
        var texts = content().isArray() ? content().valueStream() : Stream.of(content());
        if (isEmbedding() && texts.anyMatch(text -> "".equals(text.textValue())))
            throw Refusal.invalid(param, "invalid_value", "Invalid '" + param + "': a text to embed is empty.");
        checkEncoding();
        if (isText(content())) return;
        if (!content().isArray() || !content().valueStream().allMatch(EchoRequest::isText))
            throw Refusal.wrongType(param, "a string, an array of strings, or token ids", content());
        requireElements(param, content());
        if (content().size() > MAX_INPUTS && !content().get(0).isNumber())
            throw Refusal.invalid(param, "array_above_max_length", "Invalid '" + param
                + "': array too long. Expected an array with maximum length " + MAX_INPUTS + ", but got an array with"
                + " length " + content().size() + " instead.");
    }

    private void checkEncoding() {
        var encodings = List.of("float", "base64");
        var encoding = body.path("encoding_format");
        if (!Json.isAbsent(encoding) && !encodings.contains(encoding.asText()))
            throw Refusal.unsupported("encoding_format", encoding.asText(), encodings);
    }

    /** Returns whether this is a text, or the ids of its tokens. */
    private static boolean isText(JsonNode text) {
        return text.isTextual() || text.isArray() && !text.isEmpty()
            && text.valueStream().allMatch(JsonNode::isIntegralNumber);
    }

    /** Requires the format of the answer, if one is asked for, to be one that there is. */
    private void checkFormat() {
        var param = formatParam();
        var format = format();
        if (Json.isAbsent(format)) return;
        if (!format.isObject()) throw Refusal.wrongType(param, "an object", format);
        var types = List.of("text", "json_object", "json_schema");
        requireText(param + ".type", format.path("type"));
        if (!types.contains(format.path("type").asText()))
            throw Refusal.unsupported(param + ".type", format.path("type").asText(), types);
        if (!format.path("type").asText().equals("json_schema")) return;
        var place = isResponse() ? param : param + ".json_schema";
        if (Json.isAbsent(named(format))) throw Refusal.missing(place);
        requireText(place + ".name", named(format).path("name"));
        requireObject(place + ".schema", named(format).path("schema"));
    }

    /** Returns where a request says in which format it wants its answer. */
    String formatParam() { return isResponse() ? "text.format" : "response_format"; }

    private JsonNode format() { return isResponse() ? body.path("text").path("format") : body.path("response_format"); }

    /** Returns what has the name and the schema of a format. */
    private JsonNode named(JsonNode format) { return isResponse() ? format : format.path("json_schema"); }

    /** Returns the JSON schema to which the answer is held, or what is missing if there is none. */
    JsonNode schema() { return named(format()).path("schema"); }

    /** Returns the choice that the schema asks for, if that is all it asks, as the prompt decides it. */
    Optional<Choice> choice() { return schema().isObject() ? Choice.of(schema(), prompts().get(0)) : Optional.empty(); }

    /** Returns how many tokens the logprobs show for each place, or nothing if none are wanted. */
    Optional<Integer> logprobs() {
        return body.path("logprobs").asBoolean(false) ? Optional.of(body.path("top_logprobs").asInt(0))
            : Optional.empty();
    }

    /** Returns whether the answer shall be a JSON object, whatever that holds. */
    boolean wantsObject() { return format().path("type").asText().equals("json_object"); }

    /** Returns how many choices each prompt gets. */
    int choices() { return isResponse() || isEmbedding() ? 1 : body.path("n").asInt(1); }

    /** Returns the most words of an answer, or null if the request says nothing of it. */
    Integer mostWords() {
        return LIMITS.stream().filter(body::hasNonNull).findFirst().map(limit -> body.get(limit).intValue())
            .orElse(null);
    }

    /** Returns each text that is asked about: all prompts, or the last that the user said. */
    List<String> prompts() {
        if (isText(content())) return List.of(text(content()));
        if (List.of("/v1/completions", "/v1/moderations").contains(endpoint) || isEmbedding())
            return content().valueStream().map(EchoRequest::text).toList();
        return List.of(content().valueStream().filter(message -> message.path("role").asText("user").equals("user"))
            .reduce((earlier, later) -> later).map(EchoRequest::text).orElse(""));
    }

    /** Returns how many words were said altogether. */
    int words() { return words(text(content())); }

    static int words(String text) { return new StringTokenizer(text).countTokens(); }

    /** Returns the text of a string, of a message, of a content part, or of a list of any of them. */
    static String text(JsonNode said) {
        if (said.isArray()) {
            var between = said.path(0).isNumber() ? " " : "\n";
            return said.valueStream().map(EchoRequest::text).filter(text -> !text.isEmpty())
                .collect(Collectors.joining(between));
        }
        if (said.isObject()) return text(said.has("content") ? said.get("content") : said.path("text"));
        return said.asText("");
    }

    private static void requireText(String param, JsonNode value) {
        if (Json.isAbsent(value)) throw Refusal.missing(param);
        if (!value.isTextual()) throw Refusal.wrongType(param, "a string", value);
    }

    private static void requireObject(String param, JsonNode value) {
        if (Json.isAbsent(value)) throw Refusal.missing(param);
        if (!value.isObject()) throw Refusal.wrongType(param, "an object", value);
    }

    private static void requireElements(String param, JsonNode array) {
        if (array.isEmpty())
            throw Refusal.invalid(param, "empty_array", "Invalid '" + param
                + "': empty array. Expected an array with minimum length 1, but got an empty array instead.");
    }

    /**
     * What messages must have: the types of content parts by who says them, and where each type has its text, or ""
     * for one that has none or may have it elsewhere.
     */
    private record Messages(List<String> roles, Map<String, String> users, Map<String, String> assistants) {
        private static final Messages CHAT = new Messages(
            List.of("system", "developer", "user", "assistant", "tool", "function"),
            Map.of("text", "text", "image_url", "image_url.url", "input_audio", "input_audio.data", "file", ""),
            Map.of("text", "text", "refusal", "refusal"));
        private static final Messages RESPONSES = new Messages(List.of("system", "developer", "user", "assistant"),
            Map.of("input_text", "text", "input_image", "", "input_file", "", "input_audio", "input_audio.data"),
            Map.of("output_text", "text", "refusal", "refusal"));

        private static final List<String> PLAIN = List.of("user", "system", "assistant", "developer");

        private void check(String param, JsonNode messages) {
            if (!messages.isArray()) throw Refusal.wrongType(param, "an array of objects", messages);
            requireElements(param, messages);
            for (int i = 0; i < messages.size(); i++)
                if (!isPlain(messages.get(i))) checkMessage(param + "[" + i + "]", messages.get(i));
        }

        /** Returns whether a message is a text that somebody says, as most are: then no place of a fault is built. */
        private boolean isPlain(JsonNode message) {
            return !message.has("type") && message.path("content").isTextual()
                && PLAIN.contains(message.path("role").asText());
        }

        private void checkMessage(String place, JsonNode message) {
            requireObject(place, message);
            boolean isMessage = message.path("type").asText("message").equals("message");
            if (this == RESPONSES && !isMessage) return;     // such as a call of a tool, or what came of it
            var role = message.path("role");
            requireText(place + ".role", role);
            if (!roles.contains(role.asText())) throw Refusal.unsupported(place + ".role", role.asText(), roles);
            if (role.asText().equals("tool")) requireText(place + ".tool_call_id", message.path("tool_call_id"));
            checkContent(place + ".content", message.path("content"), role.asText(), message);
        }

        private void checkContent(String place, JsonNode content, String role, JsonNode message) {
            if (Json.isAbsent(content) && mayBeSilent(role, message) || content.isTextual()) return;
            if (content.isMissingNode()) throw Refusal.missing(place);
            if (!content.isArray()) throw Refusal.wrongType(place, "a string or an array of content parts", content);
            requireElements(place, content);
            var types = role.equals("assistant") ? assistants : users;
            for (int i = 0; i < content.size(); i++)
                checkPart(place + "[" + i + "]", content.get(i), types);
        }

        /** Returns whether a message needs no content, because it calls a tool or says no in its place. */
        private static boolean mayBeSilent(String role, JsonNode message) {
            return role.equals("function") || role.equals("assistant")
                && Stream.of("tool_calls", "function_call", "refusal", "audio").anyMatch(message::hasNonNull);
        }

        private static void checkPart(String place, JsonNode part, Map<String, String> types) {
            requireObject(place, part);
            var type = part.path("type");
            requireText(place + ".type", type);
            var text = types.get(type.asText());
            if (text == null)
                throw Refusal.unsupported(place + ".type", type.asText(), types.keySet().stream().sorted().toList());
            if (!text.isEmpty()) requireText(place + "." + text, part.at("/" + text.replace('.', '/')));
        }
    }
}
