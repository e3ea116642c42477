package sheaf.server;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.NullNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.time.Instant;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import sheaf.server.Engine.Answer;

/**
 * What the echo says to one prompt: a text, or in its place a refusal, or an error in place of both; and how each
 * endpoint of OpenAI's API puts that. It knows nothing of how the echo comes to it.
 *
 * @see <a href="https://platform.openai.com/docs/api-reference/responses/object">Response</a>
 */
record EchoReply(String text, String finishReason, String refusal, Answer error) {
    private static final int DIMENSIONS = 8;     // of a vector, unless a request wants another number

    static EchoReply text(String text) {
        if (text == null) throw new IllegalArgumentException("reply: no text given");
        return new EchoReply(text, "stop", null, null);
    }

    static EchoReply error(Answer error) { return new EchoReply(null, null, null, error); }

    /** Returns a reply of no more words than the request allows tokens. */
    EchoReply cutToLimit(EchoRequest request) {
        var most = request.mostWords();
        if (most == null || EchoRequest.words(text) <= most) return this;
        var kept = Stream.of(text.strip().split("\\s+")).limit(most).collect(Collectors.joining(" "));
        return new EchoReply(kept, "length", null, null);
    }

    /** Returns the answer to a request, given what is said to each of its prompts, in their order. */
    static Answer answer(EchoRequest request, List<EchoReply> replies) {
        var error = replies.stream().filter(reply -> reply.error != null).findFirst();
        return error.isPresent() ? error.get().error : Answer.ok(switch (request.endpoint()) {
            case "/v1/embeddings" -> embeddings(request);
            case "/v1/completions" -> completion(request, replies);
            case "/v1/moderations" -> Moderation.of(request.model(), request.prompts());
            case "/v1/responses" -> response(request, replies.get(0));
            default -> chatCompletion(request, replies);
        });
    }

    private static ObjectNode chatCompletion(EchoRequest request, List<EchoReply> replies) {
        var body = head("chatcmpl-", "chat.completion", "created", request);
        var choices = body.putArray("choices");
        var said = choices(request, replies);
        for (var reply : said) {
            var choice = choices.addObject().put("index", choices.size() - 1);
            choice.putObject("message").put("role", "assistant")
                .put("content", reply.refusal == null ? reply.text : null).put("refusal", reply.refusal);
            choice.set("logprobs", reply.logprobs(request));
            choice.put("finish_reason", reply.finishReason);
        }
        return body.set("usage", usage(request, said, "prompt", "completion"));
    }

    private JsonNode logprobs(EchoRequest request) {
        if (refusal != null || request.logprobs().isEmpty()) return NullNode.getInstance();
        return Logprobs.of(text, request.choice(), request.logprobs().get());
    }

    private static ObjectNode completion(EchoRequest request, List<EchoReply> replies) {
        var body = head("cmpl-", "text_completion", "created", request);
        var choices = body.putArray("choices");
        var said = choices(request, replies);
        for (var reply : said)
            choices.addObject().put("index", choices.size() - 1).put("text", reply.text).putNull("logprobs")
                .put("finish_reason", reply.finishReason);
        return body.set("usage", usage(request, said, "prompt", "completion"));
    }

    /** Returns each reply as often as a request wants. */
    private static List<EchoReply> choices(EchoRequest request, List<EchoReply> replies) {
        if (request.choices() == 1) return replies;
        return replies.stream().flatMap(reply -> Collections.nCopies(request.choices(), reply).stream()).toList();
    }

    private static ObjectNode response(EchoRequest request, EchoReply reply) {
        boolean whole = "stop".equals(reply.finishReason);
        var status = whole ? "completed" : "incomplete";
        var body = head("resp_", "response", "created_at", request)
            .put("status", status).putNull("error").putNull("incomplete_details");
        if (!whole)
            body.putObject("incomplete_details").put("reason", "content_filter".equals(reply.finishReason)
                ? reply.finishReason : "max_output_tokens");
        body.setAll(settings(request.body()));
        var message = body.putArray("output").addObject().put("type", "message")
            .put("id", Json.plainId("msg_")).put("status", status).put("role", "assistant");
        message.putArray("content").add(reply.part());
        return body.set("usage", usage(request, List.of(reply), "input", "output"));
    }

    /** Returns the one part of a response's message. */
    private ObjectNode part() {
        if (refusal != null) return Json.object().put("type", "refusal").put("refusal", refusal);
        var part = Json.object().put("type", "output_text").put("text", text);
        part.putArray("annotations");
        part.putArray("logprobs");
        return part;
    }

    /** Returns what a request set, or else what holds without it, as a response says it back. */
    private static ObjectNode settings(JsonNode asked) {
        var settings = Json.object().put("background", false).putNull("instructions").putNull("max_output_tokens")
            .putNull("max_tool_calls").put("parallel_tool_calls", true).putNull("previous_response_id")
            .put("service_tier", "default").put("temperature", 1).put("tool_choice", "auto")
            .put("top_logprobs", 0).put("top_p", 1).put("truncation", "disabled");
        settings.putArray("tools");
        settings.putObject("metadata");
        settings.putObject("reasoning").putNull("effort").putNull("summary");
        settings.putObject("text").putObject("format").put("type", "text");
        for (var field : settings.properties()) {
            var given = asked.path(field.getKey());
            if (field.getValue() instanceof ObjectNode object && given.isObject()) object.setAll((ObjectNode) given);
            else if (asked.hasNonNull(field.getKey())) field.setValue(given);
        }
        return settings;
    }

    private static ObjectNode embeddings(EchoRequest request) {
        var body = Json.object().put("object", "list");
        var data = body.putArray("data");
        int dimensions = request.body().path("dimensions").asInt(DIMENSIONS);
        boolean packed = request.body().path("encoding_format").asText().equals("base64");
        for (var text : request.prompts()) {
            var vector = vector(text, dimensions);
            data.addObject().put("object", "embedding").put("index", data.size() - 1)
                .set("embedding", packed ? packed(vector) : vector);
        }
        body.put("model", request.model());
        body.putObject("usage").put("prompt_tokens", request.words()).put("total_tokens", request.words());
        return body;
    }

    private static ArrayNode vector(String text, int dimensions) {
        var vector = Json.MAPPER.createArrayNode();
        new Random(text.hashCode()).doubles(dimensions, -1, 1).forEach(vector::add);
        return vector;
    }

    /** Returns a vector as bytes of floats, which OpenAI's clients ask for unless their user says otherwise. */
    private static JsonNode packed(ArrayNode vector) {
        var floats = ByteBuffer.allocate(vector.size() * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
        vector.forEach(number -> floats.putFloat(number.floatValue()));
        return vector.binaryNode(floats.array());
    }

    private static ObjectNode head(String prefix, String kind, String created, EchoRequest request) {
        return Json.object().put("id", Json.plainId(prefix)).put("object", kind)
            .put(created, Instant.now().getEpochSecond()).put("model", request.model());
    }

    private static ObjectNode usage(EchoRequest request, List<EchoReply> said, String input, String output) {
        int asking = request.words();
        int answering = said.stream().mapToInt(EchoReply::words).sum();
        var usage = Json.object().put(input + "_tokens", asking);
        var details = usage.putObject(input + "_tokens_details").put("cached_tokens", 0);
        if (input.equals("input")) details.put("cache_write_tokens", 0);
        usage.put(output + "_tokens", answering).putObject(output + "_tokens_details").put("reasoning_tokens", 0);
        return usage.put("total_tokens", asking + answering);
    }

    private int words() { return EchoRequest.words(refusal != null ? refusal : text); }
}
