package sheaf.model;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.BooleanNode;
import de.kherud.llama.InferenceParameters;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.Set;

/** The body of a request for a completion, checked field by field. It does not know the model that answers it. */
record CompletionRequest(JsonNode body) {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final float TEMPERATURE = 0.8f;   // this and what else is left open as llama.cpp has it
    private static final Set<String> ROLES = Set.of("system", "user", "assistant");
    private static final List<String> UNSUPPORTED =
        List.of("stream", "tools", "functions", "logit_bias", "audio", "echo", "suffix");

    /** Reads a body, and refuses what the local model cannot do; a field's value is checked when it is asked for. */
    static CompletionRequest of(byte[] bytes) {
        var request = new CompletionRequest(parse(bytes));
        for (var field : UNSUPPORTED)
            if (request.asksFor(field))
                throw Http.Refusal.invalid(field, "the local model does not support '" + field + "'");
        if (request.topLogprobs().isPresent() && request.answers().isEmpty())
            throw Http.Refusal.invalid("logprobs", "the local model tells how sure it is of a label alone, which a"
                + " 'response_format' has it choose; leave 'logprobs' out, or put llama-server on the PATH, which tells"
                + " it of each token");
        if (request.integer("n", 1).orElse(1L) > 1)
            throw Http.Refusal.invalid("n", "the local model gives one choice to a request; leave 'n' out");
        return request;
    }

    private static JsonNode parse(byte[] bytes) {
        try {
            var body = JSON.readTree(bytes);
            if (body.isObject()) return body;
            throw Http.Refusal.invalid(null, "the body is no JSON object");
        } catch (JsonProcessingException e) {
            throw Http.Refusal.invalid(null, "the body is no JSON: " + e.getOriginalMessage());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private boolean asksFor(String field) { return has(field) && !body.get(field).equals(BooleanNode.FALSE); }

    private boolean has(String field) { return body.hasNonNull(field); }

    private Optional<Float> number(String field, int least, int most) {
        if (!has(field)) return Optional.empty();
        float value = body.get(field).floatValue();
        if (body.get(field).isNumber() && value >= least && value <= most) return Optional.of(value);
        throw Http.Refusal.invalid(field, "'" + field + "' must be a number from " + least + " to " + most);
    }

    private Optional<Long> integer(String field, long least) {
        if (!has(field)) return Optional.empty();
        if (body.get(field).isIntegralNumber() && body.get(field).asLong() >= least)
            return Optional.of(body.get(field).asLong());
        throw Http.Refusal.invalid(field, "'" + field + "' must be a whole number of at least " + least);
    }

    String model() { return body.path("model").asText(""); }

    boolean wantsJson() { return body.at("/response_format/type").asText().startsWith("json"); }

    /** Returns all the answers that a label's choice allows, as JSON; none if there is no such choice. */
    List<String> answers() {
        return has("messages") ? ResponseFormat.answers(body.path("response_format")) : List.of();
    }

    /** Returns how many answers are shown with their chances, beside the one; empty if none is to be. */
    Optional<Long> topLogprobs() {
        return asksFor("logprobs") ? integer("top_logprobs", 0).or(() -> Optional.of(0L)) : Optional.empty();
    }

    /** The field that the prompt comes from, to be named in an error. */
    String promptField() { return has("messages") ? "messages" : "prompt"; }

    String prompt() {
        if (body.path("prompt").isTextual()) return body.get("prompt").asText();
        throw Http.Refusal.invalid("prompt", "'prompt' must be one text");
    }

    Optional<Long> maxTokens() { return integer("max_completion_tokens", 1).or(() -> integer("max_tokens", 1)); }

    /** The texts before which an answer ends: the field is one of them, or a list. */
    List<String> stops() {
        var stop = body.path("stop");
        var texts = new ArrayList<String>();
        for (var text : stop.isArray() ? stop : List.of(stop)) texts.add(text.asText(""));
        texts.removeIf(String::isEmpty);
        return texts;
    }

    List<ChatTemplate.Message> messages() {
        if (!body.path("messages").isArray() || body.get("messages").isEmpty())
            throw Http.Refusal.invalid("messages", "'messages' must be a list of at least one message");
        var messages = new ArrayList<ChatTemplate.Message>();
        for (var message : body.get("messages")) messages.add(message(message, "messages[" + messages.size() + "]"));
        return messages;
    }

    private static ChatTemplate.Message message(JsonNode message, String param) {
        var role = message.path("role").asText("").replace("developer", "system");
        if (!ROLES.contains(role))
            throw Http.Refusal.invalid(param + ".role", "the role must be system, developer, user or assistant");
        return new ChatTemplate.Message(role, content(message.path("content"), param + ".content"));
    }

    private static String content(JsonNode content, String param) {
        if (content.isTextual()) return content.asText();
        if (!content.isArray()) throw Http.Refusal.invalid(param, "the content must be a text or a list of parts");
        var text = new StringBuilder();
        for (var part : content) text.append(partText(part, param));
        return text.toString();
    }

    private static String partText(JsonNode part, String param) {
        var type = part.path("type").asText();
        if (type.equals("text")) return part.path("text").asText();
        throw Http.Refusal.invalid(param, "the local model reads text only, not '" + type + "'");
    }

    float temperature() { return number("temperature", 0, 2).orElse(TEMPERATURE); }

    /** Returns the chance that draws what is drawn; the same for the same seed. */
    Random random() { return integer("seed", Long.MIN_VALUE).map(Random::new).orElseGet(Random::new); }

    /** Whether the same request is to get the same answer. */
    boolean isRepeatable() { return has("seed") || temperature() == 0; }

    /**
     * Returns how llama.cpp is to answer a prompt.
     * @param limit tokens of the answer
     * @param cachesPrompt whether what a slot has read before is not read anew; that rounds a little differently
     */
    InferenceParameters sampling(String prompt, int limit, boolean cachesPrompt) {
        var parameters = new InferenceParameters(prompt)
            .setNPredict(limit)
            .setCachePrompt(cachesPrompt)
            .setTemperature(temperature())
            .setFrequencyPenalty(number("frequency_penalty", -2, 2).orElse(0f))
            .setPresencePenalty(number("presence_penalty", -2, 2).orElse(0f));
        number("top_p", 0, 1).ifPresent(parameters::setTopP);
        integer("top_k", 0).ifPresent(most -> parameters.setTopK(most.intValue()));
        integer("seed", Long.MIN_VALUE).ifPresent(seed -> parameters.setSeed(seed.intValue()));
        ResponseFormat.grammar(body.path("response_format")).ifPresent(parameters::setGrammar);
        return parameters;
    }
}
