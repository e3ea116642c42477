package sheaf.server;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.time.Instant;
import java.util.List;
import java.util.Random;
import java.util.StringTokenizer;
import java.util.function.Function;
import java.util.function.UnaryOperator;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import sheaf.server.Engine.Answer;

/**
 * An engine that needs no model: it says what the user said, or what a test makes it say. For every engine it answers
 * the requests for the test model, always the same and at once, so that a run can be rehearsed. It knows no batch.
 */
final class Echo implements Engine {
    private static final String TEST_MODEL = "batch-test-model";   // as Alibaba calls it

    private final Script script;
    private volatile Function<JsonNode, Reply> answer;

    /** What is said to one request: a text, or in its place a refusal, or an error in place of both. */
    record Reply(String text, String finishReason, String refusal, Answer error) {
        static Reply text(String text) {
            if (text == null) throw new IllegalArgumentException("reply: no text given");
            return new Reply(text, "stop", null, null);
        }

        static Reply error(Answer error) { return new Reply(null, null, null, error); }
    }

    Echo(Script script) {
        this.script = script;
        reply(UnaryOperator.identity());
    }

    void reply(UnaryOperator<String> reply) { answer = body -> cutToLimit(reply.apply(lastUserText(body)), body); }

    void answer(Function<JsonNode, Reply> answer) { this.answer = answer; }

    @Override public Answer models() {
        var models = Json.object().put("object", "list");
        var data = models.putArray("data");
        for (var id : script.models.isEmpty() ? List.of(Settings.ECHO) : script.models)
            data.addObject().put("id", id).put("object", "model").put("created", 0).put("owned_by", "sheaf");
        return Answer.ok(models);
    }

    @Override public Answer answer(String endpoint, JsonNode body) {
        if (isForTestModel(body)) return testAnswer(endpoint, body);
        try {
            var reply = Settings.required("reply", answer.apply(body));
            return reply.error != null ? reply.error : Answer.ok(body(endpoint, body, reply));
        } catch (RuntimeException | AssertionError e) {   // the test's own code broke, and its batch shall show how
            return Answer.error(500, "engine_error", e.toString());
        }
    }

    /** Returns whether a request is for the test model. */
    static boolean isForTestModel(JsonNode body) { return body.path("model").asText().equals(TEST_MODEL); }

    /** Returns the answer of the test model. */
    static Answer testAnswer(String endpoint, JsonNode body) {
        return Answer.ok(body(endpoint, body, Reply.text("This is a test result.")));
    }

    private static ObjectNode body(String endpoint, JsonNode asked, Reply reply) {
        return switch (endpoint) {
            case "/v1/embeddings" -> embeddings(asked);
            case "/v1/completions" -> completion(asked, reply);
            case "/v1/responses" -> response(asked, reply);
            default -> chatCompletion(asked, reply);
        };
    }

    private static ObjectNode chatCompletion(JsonNode asked, Reply reply) {
        var body = head("chatcmpl-", "chat.completion", "created", asked);
        var choice = body.putArray("choices").addObject().put("index", 0);
        choice.putObject("message").put("role", "assistant")
            .put("content", reply.refusal == null ? reply.text : null).put("refusal", reply.refusal);
        choice.putNull("logprobs").put("finish_reason", reply.finishReason);
        return body.set("usage", usage(asked, reply, "prompt_tokens", "completion_tokens"));
    }

    private static ObjectNode completion(JsonNode asked, Reply reply) {
        var body = head("cmpl-", "text_completion", "created", asked);
        body.putArray("choices").addObject().put("index", 0).put("text", reply.text).putNull("logprobs")
            .put("finish_reason", reply.finishReason);
        return body.set("usage", usage(asked, reply, "prompt_tokens", "completion_tokens"));
    }

    private static ObjectNode response(JsonNode asked, Reply reply) {
        boolean whole = "stop".equals(reply.finishReason);
        var body = head("resp_", "response", "created_at", asked)
            .put("status", whole ? "completed" : "incomplete").putNull("error").putNull("incomplete_details");
        if (!whole) body.putObject("incomplete_details").put("reason", "max_output_tokens");
        var message = body.putArray("output").addObject().put("type", "message")
            .put("id", id("msg_", asked)).put("status", "completed").put("role", "assistant");
        var part = message.putArray("content").addObject();
        if (reply.refusal != null) part.put("type", "refusal").put("refusal", reply.refusal);
        else part.put("type", "output_text").put("text", reply.text).putArray("annotations");
        return body.set("usage", usage(asked, reply, "input_tokens", "output_tokens"));
    }

    private static ObjectNode embeddings(JsonNode asked) {
        var input = asked.path("input");
        var body = Json.object().put("object", "list");
        var data = body.putArray("data");
        for (var text : input.isArray() ? input : List.of(input))
            data.addObject().put("object", "embedding").put("index", data.size() - 1)
                .set("embedding", "base64".equals(asked.path("encoding_format").asText())
                    ? packed(vector(text)) : vector(text));
        body.set("model", asked.get("model"));
        int words = words(text(input));
        body.putObject("usage").put("prompt_tokens", words).put("total_tokens", words);
        return body;
    }

    private static ArrayNode vector(JsonNode text) {
        var vector = Json.MAPPER.createArrayNode();
        new Random(text.toString().hashCode()).doubles(8, -1, 1).forEach(vector::add);
        return vector;
    }

    /** Returns a vector as bytes of floats, which OpenAI's clients ask for unless their user says otherwise. */
    private static JsonNode packed(ArrayNode vector) {
        var floats = ByteBuffer.allocate(vector.size() * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
        vector.forEach(number -> floats.putFloat(number.floatValue()));
        return vector.binaryNode(floats.array());
    }

    private static ObjectNode head(String prefix, String kind, String created, JsonNode asked) {
        var head = Json.object().put("id", id(prefix, asked)).put("object", kind)
            .put(created, Instant.now().getEpochSecond());
        return head.set("model", asked.get("model"));
    }

    private static String id(String prefix, JsonNode asked) { return prefix + Integer.toHexString(asked.hashCode()); }

    private static ObjectNode usage(JsonNode asked, Reply reply, String input, String output) {
        int asking = words(text(content(asked)));
        int answering = words(reply.refusal != null ? reply.refusal : reply.text);
        return Json.object().put(input, asking).put(output, answering).put("total_tokens", asking + answering);
    }

    static int words(String text) { return new StringTokenizer(text).countTokens(); }

    /** Returns messages, input or prompt, whichever the request has. */
    private static JsonNode content(JsonNode asked) {
        return Stream.of("messages", "input", "prompt").filter(asked::has).findFirst().map(asked::get)
            .orElse(Json.object());
    }

    private static String lastUserText(JsonNode asked) {
        JsonNode last = Json.object();
        var content = content(asked);
        for (var each : content)
            if (each.path("role").asText("user").equals("user")) last = each;
        return text(content.isTextual() ? content : last);
    }

    /** Returns the text of a string, of a message, of a content part, or of a list of any of them. */
    static String text(JsonNode said) {
        if (said.isArray())
            return said.valueStream().map(Echo::text).filter(text -> !text.isEmpty())
                .collect(Collectors.joining("\n"));
        if (said.isObject()) return text(said.has("content") ? said.get("content") : said.path("text"));
        return said.asText("");
    }

    /** Returns a reply of no more words than the request allows tokens. */
    private static Reply cutToLimit(String text, JsonNode asked) {
        int limit = Stream.of("max_completion_tokens", "max_tokens", "max_output_tokens")
            .filter(asked::hasNonNull).findFirst().map(field -> asked.get(field).asInt()).orElse(Integer.MAX_VALUE);
        var whole = Reply.text(text);
        if (words(text) <= limit) return whole;
        var kept = Stream.of(text.strip().split("\\s+")).limit(limit).collect(Collectors.joining(" "));
        return new Reply(kept, "length", null, null);
    }

    @Override public String state() {
        return Settings.ECHO + ", which says each question back; --engine puts a model in its place";
    }

    @Override public String toString() { return Settings.ECHO; }
}
