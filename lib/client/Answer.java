package sheaf;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import sheaf.Vocabulary.Outcome;
import sheaf.Vocabulary.Status;

/** One line of an output or error file. Which of the two it stood in says nothing: servers differ. */
record Answer(JsonNode line) {
    private static final Map<String, Outcome> BY_CODE = Map.of(
        "batch_expired", Outcome.EXPIRED, "batch_cancelled", Outcome.CANCELLED);

    /** Returns how a request ended that no line came for, in a batch of this status. */
    static Outcome missing(Status batch) {
        if (batch.equals(Status.FAILED)) return Outcome.ERRORED;
        if (batch.equals(Status.EXPIRED)) return Outcome.EXPIRED;
        return batch.equals(Status.CANCELLED) ? Outcome.CANCELLED : Outcome.MISSING;
    }

    Outcome outcome() {
        if (hasError()) return BY_CODE.getOrDefault(errorCode(), Outcome.ERRORED);
        if (status() < 200 || status() > 299) return Outcome.ERRORED;
        if (isRefusal()) return Outcome.REFUSED;
        if (finishReason().equals("length")) return Outcome.TRUNCATED;
        return hasText() ? Outcome.SUCCEEDED : Outcome.INVALID;
    }

    /** A blank error is none. */
    private boolean hasError() { return !line.path("error").asText("").isBlank() || line.path("error").size() > 0; }

    private String errorCode() { return line.at("/error/code").asText(""); }

    private int status() { return line.at("/response/status_code").asInt(line.path("response").has("body") ? 200 : 0); }

    /** Whether the provider was at fault, and not the request; no status at all is a loss inside the provider. */
    boolean isTransient() {
        return status() == 0 || Set.of(408, 409, 425, 429).contains(status()) || status() >= 500;
    }

    /** Some servers send the body as a JSON text. */
    JsonNode body() {
        var body = line.at("/response/body");
        return body.isTextual() ? Json.lenient(body.asText()) : body;
    }

    /** The model that answered, as the body names it: what was asked for may be an alias, or taken for another. */
    String model() { return body().path("model").asText("").strip(); }

    private JsonNode choice() { return body().at("/choices/0"); }

    String finishReason() {
        var body = body();
        var incomplete = body.at("/incomplete_details/reason").asText("");
        return incomplete.equals("max_output_tokens") ? "length"
            : choice().path("finish_reason").asText(incomplete);
    }

    private boolean isRefusal() {
        return !choice().at("/message/refusal").asText("").isEmpty() || finishReason().equals("content_filter")
            || outputs().anyMatch(part -> part.has("refusal"));
    }

    private Stream<JsonNode> outputs() {
        return stream(body().path("output")).flatMap(item -> stream(item.path("content")));
    }

    private static Stream<JsonNode> stream(JsonNode array) {
        return StreamSupport.stream(array.spliterator(), false);
    }

    private boolean hasText() {
        return !text().isEmpty() || body().path("data").size() > 0 || choice().at("/message/tool_calls").size() > 0;
    }

    /** The text of a chat, a completion or a response; "" where there is none. */
    String text() {
        var content = choice().at("/message/content");
        if (content.isArray() || content.isTextual()) return content(content);
        if (body().at("/data/0/embedding").isArray()) return body().at("/data/0/embedding").toString();
        return choice().has("text") ? choice().path("text").asText() : texts(outputs());
    }

    /** A message's content is a text, or parts of which some are text. */
    static String content(JsonNode content) {
        return content.isArray() ? texts(stream(content)) : content.asText("");
    }

    private static String texts(Stream<JsonNode> parts) {
        return parts.map(part -> part.path("text").asText("")).collect(Collectors.joining());
    }

    String error() {
        var error = line.path("error");
        if (error.isTextual() && hasError()) return error.asText();
        var inner = body().path("error").isMissingNode() ? line.path("response") : body().path("error");
        var said = Stream.of(error.path("message"), error.at("/error/message"), inner.path("message"), inner,
            body().path("message"), error.path("code"), line.at("/response/body"))
            .filter(JsonNode::isTextual).map(JsonNode::asText).filter(text -> !text.isBlank()).findFirst();
        boolean isLost = status() == 0 && !hasError();
        boolean isRefused = status() >= 300 || status() > 0 && status() < 200;
        return (isRefused ? status() + " " : "")
            + said.orElse(isLost ? "the provider lost the request (status 0)" : "no reason given");
    }
}
