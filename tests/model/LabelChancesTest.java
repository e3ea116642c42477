package sheaf.model;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/** How sure a llama-server is of a label: not by its own logprobs, which know nothing of the grammar. */
class LabelChancesTest {
    private static final ObjectMapper JSON = new ObjectMapper();
    /** What a llama-server of autumn 2026 says under a grammar: that it would rather have said something else. */
    private static final String OWN = """
        {"choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": "{\\n \\"label\\": \\"bad\\"}"},
         "logprobs": {"content": [{"token": "bad", "logprob": -7.5, "top_logprobs": []}]}}], "created": 1}""";
    private final List<String> asked = new ArrayList<>();

    /** A model whose tokens are letters, and which likes that much of each to be the next. */
    private Optional<Http.Reply> tiny(Http.Call call, Map<String, Double> likes) {
        try {
            var body = JSON.readTree(call.body());
            asked.add(call.path());
            return Optional.of(Http.Reply.ok(switch (call.path()) {
                case "/apply-template" -> Map.of("prompt", "<s>" + body.at("/messages/0/content").asText());
                case "/tokenize" -> Map.of("tokens", body.path("content").asText().codePoints().toArray());
                default -> Map.of("completion_probabilities", List.of(Map.of("top_probs", told(body, likes))));
            }));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static List<Map<String, Object>> told(JsonNode body, Map<String, Double> likes) {
        assertEquals("[\"temperature\"] true 1", body.path("samplers") + " " + body.path("post_sampling_probs") + " "
            + body.path("n_predict"));
        return body.path("logit_bias").valueStream().map(bias -> bias.path(0).asInt()).<Map<String, Object>>map(id ->
            Map.of("id", id, "prob", likes.getOrDefault(Character.toString(id), 0.0))).toList();
    }

    private static Http.Call choice(String... labels) throws IOException {
        var body = JSON.createObjectNode().put("temperature", 0).put("logprobs", true).put("top_logprobs", 3);
        body.putArray("messages").addObject().put("role", "user").put("content", "Is it good?");
        var field = body.putObject("response_format").put("type", "json_schema").putObject("json_schema")
            .putObject("schema").putObject("properties").putObject("label");
        field.set("enum", JSON.valueToTree(labels));
        return new Http.Call("POST", "/v1/chat/completions", JSON.writeValueAsBytes(body));
    }

    private static Http.Reply own() { return new Http.Reply(200, OWN.getBytes(UTF_8)); }

    @Test void itIsTheShareOfWhatMayBeSaid() throws IOException {
        var server = new LlamaServer(call -> tiny(call, Map.of("g", .6, "b", .2, "o", .5, "r", .3)));

        var choice = JSON.readTree(server.sure(choice("good", "bad", "great"), own()).body()).at("/choices/0");

        assertEquals("{\"label\": \"good\"}", choice.at("/message/content").asText());
        var first = choice.at("/logprobs/content/0");
        assertEquals("{\"label\": \"good\"}", first.path("token").asText());
        assertEquals(.75 * .625, Math.exp(first.path("logprob").asDouble()), 1e-9);
        assertEquals(List.of("good 0.469", "great 0.281", "bad 0.250"), first.path("top_logprobs").valueStream()
            .map(one -> "%s %.3f".formatted(one.path("token").asText().replaceAll(".* \"|\"}", ""),
                Math.exp(one.path("logprob").asDouble()))).toList());
    }

    @Test void whatIsNeverSaidHasAChanceAllTheSame() throws IOException {
        var server = new LlamaServer(call -> tiny(call, Map.of("g", 1.0)));

        var first = JSON.readTree(server.sure(choice("good", "bad"), own()).body()).at("/choices/0/logprobs/content/0");

        assertEquals(1, Math.exp(first.path("logprob").asDouble()), 1e-5);
        assertTrue(first.at("/top_logprobs/1/logprob").isNumber(), first.toString());
    }

    @Test void aServerThatDoesNotTellLeavesTheAnswerWithoutASureness() throws IOException {
        var server = new LlamaServer(call -> Optional.of(new Http.Reply(404, new byte[0])));

        var choice = JSON.readTree(server.sure(choice("good", "bad"), own()).body()).at("/choices/0");

        assertEquals("{\n \"label\": \"bad\"}", choice.at("/message/content").asText());
        assertTrue(choice.path("logprobs").isNull(), choice.toString());
    }

    @Test void aCutAnswerIsNotMadeWhole() throws IOException {
        var server = new LlamaServer(call -> tiny(call, Map.of("g", 1.0)));
        var cut = new Http.Reply(200, OWN.replace("\"stop\"", "\"length\"").getBytes(UTF_8));

        var choice = JSON.readTree(server.sure(choice("good", "bad"), cut).body()).at("/choices/0");

        assertEquals("{\n \"label\": \"bad\"}", choice.at("/message/content").asText());
        assertTrue(choice.path("logprobs").isNull(), choice.toString());
    }

    @Test void whoDoesNotAskForItGetsTheReplyAsItStands() throws IOException {
        var server = new LlamaServer(call -> tiny(call, Map.of()));
        var call = choice("good", "bad");
        var body = (ObjectNode) JSON.readTree(call.body());
        var silent = new Http.Call("POST", call.path(), JSON.writeValueAsBytes(body.without("logprobs")));
        var free = new Http.Call("POST", call.path(), JSON.writeValueAsBytes(((ObjectNode) JSON.readTree(call.body()))
            .without("response_format")));

        assertEquals(List.of(OWN, OWN), List.of(new String(server.sure(silent, own()).body(), UTF_8),
            new String(server.sure(free, own()).body(), UTF_8)));
        assertEquals(List.of(), asked);
    }
}
