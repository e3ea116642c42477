package sheaf;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.LongNode;
import com.fasterxml.jackson.databind.node.MissingNode;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.time.Instant;
import java.util.Base64;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import sheaf.Vocabulary.Outcome;
import sheaf.Vocabulary.Usage;

/**
 * The body of a response, of whatever endpoint, and of a provider who calls things otherwise: which answers stand in
 * it, and how they ended.
 */
final class Body {
    static final Body NONE = new Body(MissingNode.getInstance());
    private final PlainAnswer plain;                      // null: the answer is none
    private final List<Choice> choices;
    private JsonNode json;                                // of a plain answer read when it is asked for

    /** One answer of those that a request asked for: what it says, and the word that it ended in. */
    private record Choice(Content content, String ending) {
        private static Choice of(String text) {
            return new Choice(new Content(text, "", "", List.of()), "");
        }

        /** Returns the text, or else the arguments of the tools that it calls; of several an array. */
        String text() {
            var calls = content.calls();
            if (calls.isEmpty() || !content.text().isBlank() && !Ending.isCalls(ending)) return content.text();
            return (calls.size() == 1 ? calls.get(0) : Json.MAPPER.createArrayNode().addAll(calls)).toString();
        }

        Outcome outcome() {
            if (!content.refusal().isEmpty()) return Outcome.REFUSED;
            var outcome = Ending.of(ending).orElse(Outcome.INVALID);
            return outcome == Outcome.SUCCEEDED && text().isEmpty() ? Outcome.INVALID : outcome;
        }
    }

    Body(PlainAnswer plain) {
        this.plain = plain;
        choices = List.of(new Choice(Content.ofText(plain.text()), plain.ending()));
    }

    Body(JsonNode json) {
        plain = null;
        this.json = json.size() == 1 && json.isArray() ? json.get(0) : json;
        this.choices = choices(this.json);
    }

    /** Some have all of it inside of an output that is no list. */
    private static List<Choice> choices(JsonNode json) {
        var core = json.path("output").isObject() ? json.path("output") : json;
        if (core.path("choices").isArray()) return core.path("choices").valueStream().map(Body::choice).toList();
        var candidates = core.path("candidates");
        if (candidates.isArray()) return candidates.valueStream().map(Body::candidate).toList();
        if (core.path("output").isArray()) return List.of(ofResponse(core));
        if (core.path("message").isObject() || core.path("content").isArray()) return List.of(ofMessage(core, json));
        var data = core.path("data");
        if (data.isArray()) return data.valueStream().map(Body::datum).map(Choice::of).toList();
        if (core.path("results").isArray()) return List.of(Choice.of(verdict(core.path("results"))));
        if (core.path("embeddings").isArray())
            return core.path("embeddings").valueStream().map(JsonNode::toString).map(Choice::of).toList();
        return Stream.of("text", "output_text", "response").map(core::path).filter(JsonNode::isTextual).limit(1)
            .map(text -> new Choice(Content.ofMessage(beside(core, text)), ending(core))).toList();
    }

    /** Of a chat, or of a completion, whose text stands in the choice itself. */
    private static Choice choice(JsonNode choice) {
        var message = choice.path("message").isObject() ? choice.path("message") : beside(choice, choice.path("text"));
        return new Choice(Content.ofMessage(message), word(choice.path("finish_reason")));
    }

    private static JsonNode beside(JsonNode holder, JsonNode text) {
        var message = Json.MAPPER.createObjectNode();
        holder.properties().forEach(field -> message.set(field.getKey(), field.getValue()));
        return message.set("content", text);
    }

    /** Gemini's own; a prompt that was blocked has no candidate. */
    private static Choice candidate(JsonNode candidate) {
        return new Choice(Content.ofMessage(candidate.path("content")), ending(candidate));
    }

    /** Of the Responses API: items, and a status that says whether they are all. */
    private static Choice ofResponse(JsonNode response) {
        var status = response.path("status").asText("");
        var why = response.at("/incomplete_details/reason").asText("");
        var cut = why.equals("max_output_tokens") ? "length" : why;
        return new Choice(Content.ofItems(response.path("output")), cut.isEmpty() ? status : cut);
    }

    /** Of Anthropic, Cohere, Ollama or Bedrock: one message, and beside it or around it why it ended. */
    private static Choice ofMessage(JsonNode core, JsonNode json) {
        var message = core.path("message").isObject() ? core.path("message") : core;
        return new Choice(Content.ofMessage(message), ending(core).isEmpty() ? ending(json) : ending(core));
    }

    private static String ending(JsonNode holder) {
        return Stream.of("finish_reason", "finishReason", "stop_reason", "stopReason", "done_reason").map(holder::path)
            .map(Body::word).filter(word -> !word.isEmpty()).findFirst().orElse("");
    }

    /** SGLang's own has a type beside what matched. */
    private static String word(JsonNode reason) {
        return reason.isObject() ? reason.path("type").asText("") : reason.asText("");
    }

    /** An embedding as a JSON array, a score, or where an image is. */
    private static String datum(JsonNode datum) {
        return Stream.of("embedding", "score", "url", "b64_json").map(datum::path)
            .filter(value -> !value.isMissingNode() && !value.isNull()).limit(1)
            .map(value -> value == datum.path("embedding") ? vector(value).toString() : value.asText())
            .findFirst().orElse("");
    }

    /** What base64 holds are floats of four bytes, the lowest first. */
    private static JsonNode vector(JsonNode embedding) {
        if (!embedding.isTextual()) return embedding;
        try {
            var bytes = ByteBuffer.wrap(Base64.getDecoder().decode(embedding.asText())).order(ByteOrder.LITTLE_ENDIAN);
            var vector = Json.MAPPER.createArrayNode();
            while (bytes.remaining() >= Float.BYTES) vector.add(bytes.getFloat());
            return bytes.hasRemaining() ? embedding : vector;
        } catch (IllegalArgumentException e) {
            return embedding;
        }
    }

    /** What a moderation says of one input, or of each. */
    private static String verdict(JsonNode results) {
        return (results.size() == 1 ? results.get(0) : results).toString();
    }

    JsonNode json() {
        if (json == null) json = plain.whole().at("/response/body");
        return json;
    }

    /** Returns the model that answered: what was asked for may be an alias, or taken for another. */
    String model() { return plain != null ? plain.model() : json.path("model").asText("").strip(); }

    /** Returns when it was given, by its provider's clock, if that says. */
    Optional<Instant> created() {
        var time = plain != null ? LongNode.valueOf(plain.created())
            : json.path(json.hasNonNull("created") ? "created" : "created_at");
        return Json.instant(time).filter(at -> at.getEpochSecond() > 0);
    }

    /** Returns what it says of its tokens. */
    Usage usage() { return plain != null ? plain.usage() : Usage.of(json.path("usage")); }

    /** Returns what it says is wrong; empty where it is an answer. */
    Optional<JsonNode> error() {
        if (plain != null) return Optional.empty();
        if (Fault.isError(json.path("error"))) return Optional.of(json);
        if (json.path("object").asText().equals("error") || json.path("type").asText().equals("error"))
            return Optional.of(json);
        return json.path("choices").valueStream().filter(choice -> Fault.isError(choice.path("error"))).findFirst();
    }

    /** Returns how it ended: well if each of its answers did. */
    Outcome outcome() {
        if (choices.isEmpty() && isBlocked()) return Outcome.REFUSED;
        return choices.stream().map(Choice::outcome).filter(outcome -> outcome != Outcome.SUCCEEDED).findFirst()
            .orElse(choices.isEmpty() ? Outcome.INVALID : Outcome.SUCCEEDED);
    }

    private boolean isBlocked() { return !json().at("/promptFeedback/blockReason").asText("").isEmpty(); }

    /** Returns the text of the first answer, whole or not; "" where there is none. */
    String text() { return texts().stream().findFirst().orElse(""); }

    /** Returns the text of each answer, whole or not. */
    List<String> texts() { return choices.stream().map(Choice::text).toList(); }

    String reasoning() { return choices.stream().map(choice -> choice.content.reasoning()).findFirst().orElse(""); }

    /** Returns the words of who declined; some filters say theirs in the place of the text, and some only that. */
    String refusal() {
        return Stream.concat(choices.stream().map(choice -> choice.content.refusal()), Stream.of(
                json().at("/promptFeedback/blockReasonMessage").asText(""), text(), finishReason()))
            .filter(text -> !text.isBlank()).findFirst().orElse("no reason given");
    }

    /** Returns the word that the first answer that did not end well ended in, or else the first. */
    String finishReason() {
        return choices.stream().filter(choice -> choice.outcome() != Outcome.SUCCEEDED).findFirst()
            .or(() -> choices.stream().findFirst()).map(Choice::ending)
            .orElseGet(() -> json().at("/promptFeedback/blockReason").asText(""));
    }

    /** Returns why it is no answer. */
    String invalidity() {
        if (Ending.of(finishReason()).isEmpty())
            return "the answer ended in \"" + finishReason() + "\", and nobody knows whether it is whole";
        if (!reasoning().isEmpty()) return "the answer is only reasoning, and holds no text";
        var said = Fault.of(json()).message();
        return "the answer holds no text" + (said.isEmpty() ? "" : ": " + Messages.clip(said, 200));
    }
}
