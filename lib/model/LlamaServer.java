package sheaf.model;

import static sheaf.model.Likelihood.HELD;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.function.Function;
import sheaf.model.Likelihood.Untold;

/**
 * A llama-server, asked how sure it is of a label. The logprobs that it gives by itself are those from before a grammar
 * has left out what may not be said, and so far too low; but of given tokens alone it tells what the chance of each is.
 * @see <a href="https://github.com/ggml-org/llama.cpp/tree/master/tools/server">its API beside OpenAI's</a>
 */
final class LlamaServer {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final double LEAST = 1e-6;    // what is less likely counts as if it were so likely

    private final Function<Http.Call, Optional<Http.Reply>> sender;      // empty if the process has died over it

    LlamaServer(Function<Http.Call, Optional<Http.Reply>> sender) { this.sender = sender; }

    /** Returns the server's reply to a choice of labels with how likely each is; one to anything else as it stands. */
    Http.Reply sure(Http.Call call, Http.Reply reply) throws IOException {
        if (reply.status() != 200 || !call.path().equals("/v1/chat/completions")) return reply;
        var request = JSON.readTree(call.body());
        var answers = ResponseFormat.answers(request.path("response_format"));
        if (!request.path("logprobs").asBoolean() || answers.isEmpty()) return reply;
        var completion = JSON.readTree(reply.body());
        if (!(completion.at("/choices/0") instanceof ObjectNode choice)) return reply;
        choice.putNull("logprobs");
        if (choice.path("finish_reason").asText().equals("stop"))
            likelihood(request, answers).ifPresent(told -> put(told, request, choice));
        return Http.Reply.ok(completion);
    }

    private Optional<Likelihood> likelihood(JsonNode request, List<String> answers) {
        try {
            return Likelihood.of(prompt(request), answers, Integer.MAX_VALUE);
        } catch (Untold anotherApi) {
            return Optional.empty();
        }
    }

    private static void put(Likelihood told, JsonNode request, ObjectNode choice) {
        var random = request.hasNonNull("seed") ? new Random(request.get("seed").asLong()) : new Random();
        var drawn = told.draw(request.path("temperature").asDouble(1), random);
        ((ObjectNode) choice.path("message")).put("content", drawn.text());
        choice.set("logprobs", drawn.logprobs(request.path("top_logprobs").asLong()));
    }

    private Likelihood.Prompt prompt(JsonNode request) {
        var text = post("/apply-template", request).path("prompt").asText();
        return new Likelihood.Prompt() {
            @Override public int[] with(String answer) { return tokens(text + answer); }

            @Override public Map<Integer, Double> chances(int[] tokens, List<Integer> next) {
                return LlamaServer.this.chances(tokens, next);
            }
        };
    }

    private int[] tokens(String text) {
        var tokens = post("/tokenize", JSON.createObjectNode().put("content", text).put("add_special", true)
            .put("parse_special", true)).path("tokens");
        return tokens.valueStream().mapToInt(JsonNode::asInt).toArray();
    }

    /** With a bias that leaves nothing else, what it tells after the draw is the share of each of these. */
    private Map<Integer, Double> chances(int[] tokens, List<Integer> next) {
        var body = JSON.createObjectNode().put("n_predict", 1).put("temperature", 1).put("post_sampling_probs", true)
            .put("n_probs", next.size()).put("cache_prompt", true);
        body.set("prompt", JSON.valueToTree(tokens));
        body.putArray("samplers").add("temperature");
        var biases = body.putArray("logit_bias");
        for (int token : next) biases.addArray().add(token).add(HELD);
        var chances = new HashMap<Integer, Double>();
        for (var each : post("/completion", body).at("/completion_probabilities/0/top_probs"))
            chances.put(each.path("id").asInt(), Math.max(LEAST, each.path("prob").asDouble()));
        if (!chances.keySet().containsAll(next)) throw new Untold();
        double sum = next.stream().mapToDouble(chances::get).sum();
        chances.replaceAll((token, chance) -> chance / sum);
        return chances;
    }

    private JsonNode post(String path, JsonNode body) {
        try {
            var reply = sender.apply(new Http.Call("POST", path, JSON.writeValueAsBytes(body)));
            if (reply.isEmpty() || reply.get().status() != 200) throw new Untold();
            return JSON.readTree(reply.get().body());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
