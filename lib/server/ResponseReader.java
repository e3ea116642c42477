package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.databind.node.TextNode;
import java.io.IOException;
import java.net.http.HttpHeaders;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.time.Instant;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.time.format.DateTimeParseException;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import sheaf.server.Attempt.Failure;
import sheaf.server.Engine.Answer;

/**
 * Reads what an engine sent: an answer as it is, an error in OpenAI's shape whatever its own, and no key in either. It
 * knows nothing of how it was sent.
 */
final class ResponseReader {
    private static final Pattern NUMBER = Pattern.compile("\\d{1,9}(\\.\\d{1,9})?");

    private final String key;       // which an error may repeat; null if the engine has none

    ResponseReader(String key) { this.key = key; }

    Attempt read(HttpResponse<byte[]> response) {
        var body = json(response.body());
        int status = response.statusCode();
        boolean good = status >= 200 && status < 300;
        if (good && body.isObject() && !isError(body))
            return new Attempt(new Answer(status, body, null, null), Failure.NONE, -1);
        int said = good ? body.at("/error/code").asInt() : status;
        int shown = good && (said < 400 || said > 599) ? 502 : said;
        var error = normalized(shown, body, said(status, response.body()));
        var failure = isLasting(error, response.headers()) ? Failure.NONE : Failure.of(said);
        long wait = retryAfter(response.headers());
        return new Attempt(new Answer(shown, error, null, null, wait), failure, wait);
    }

    /** Returns whether an answer that claims success is an error in truth: some engines send them with 200. */
    private static boolean isError(JsonNode body) {
        return body.hasNonNull("error") && Stream.of("choices", "data", "output").noneMatch(body::has);
    }

    private static boolean isLasting(ObjectNode error, HttpHeaders headers) {
        return headers.firstValue("x-should-retry").orElse("").equals("false")
            || error.at("/error/code").asText().equals("insufficient_quota");
    }

    private static long retryAfter(HttpHeaders headers) {
        var millis = headers.firstValue("retry-after-ms").orElse("");
        var seconds = headers.firstValue("Retry-After").orElse("");
        if (NUMBER.matcher(millis).matches()) return (long) Double.parseDouble(millis);
        return NUMBER.matcher(seconds).matches() ? (long) (1000 * Double.parseDouble(seconds)) : until(seconds);
    }

    private static long until(String date) {
        try {
            var then = ZonedDateTime.parse(date, DateTimeFormatter.RFC_1123_DATE_TIME).toInstant();
            return Math.max(0, Duration.between(Instant.now(), then).toMillis());
        } catch (DateTimeParseException noDate) {
            return -1;
        }
    }

    private static JsonNode json(byte[] bytes) {
        try {
            return Json.parsed(bytes);
        } catch (IOException notJson) {
            return Json.MAPPER.missingNode();
        }
    }

    /** Returns an error body in OpenAI's shape, whatever the engine's own: nested, flat, a string or plain text. */
    private ObjectNode normalized(int status, JsonNode body, String otherwise) {
        var error = body.path("error").isObject() ? body.get("error") : body;
        var message = Stream.of(error.path("message"), body.path("error"), body.path("detail"))
            .filter(JsonNode::isTextual).findFirst().map(JsonNode::textValue);
        var shaped = Refusal.envelope(status, message.orElse(otherwise), error.path("param").textValue(),
            message.isPresent() ? error.path("code").asText(null) : "bad_engine_answer");
        if (error.path("type").isTextual()) shaped.withObject("/error").set("type", error.get("type"));
        shaped.get("error").properties().forEach(field -> field.setValue(withoutKey(field.getValue())));
        return shaped;
    }

    /** Hides the engine's key, which an engine may repeat when it refuses it. */
    private JsonNode withoutKey(JsonNode text) {
        return text.isTextual() ? TextNode.valueOf(withoutKey(text.textValue())) : text;
    }

    /** A short key is no secret, but a word such as ollama. */
    private String withoutKey(String text) { return key == null || key.length() < 8 ? text : text.replace(key, "***"); }

    /** Returns the beginning of an answer without its HTML, for a person to read. */
    private String said(int status, byte[] raw) {
        var text = withoutKey(new String(raw, 0, Math.min(raw.length, 64_000), UTF_8))
            .replaceAll("(?is)<(script|style)\\b.*?(</\\1>|\\z)|<[^>]*>", " ").replaceAll("\\s+", " ").strip();
        return "The engine answered " + status + (status < 300 ? " and no JSON object" : "")
            + (text.isEmpty() ? "." : ": " + text.substring(0, Math.min(text.length(), 300)));
    }
}
