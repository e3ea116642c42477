package sheaf.server;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Instant;
import java.time.ZoneId;
import java.time.format.DateTimeFormatter;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.function.BooleanSupplier;
import sheaf.server.BatchObject.BatchError;

/**
 * Who answers requests: the echo, or a server behind a URL. It knows no batch; a request is an endpoint, such as
 * {@code /v1/chat/completions}, and a body.
 */
interface Engine {
    /**
     * What an engine said to a request, and after how many milliseconds to ask again (-1 if it does not say). If the
     * status is 0, there was no HTTP answer: code and message say why, or the body is empty because nobody knows.
     */
    record Answer(int status, JsonNode body, String code, String message, long retryAfterMillis) {
        Answer(int status, JsonNode body, String code, String message) { this(status, body, code, message, -1); }

        static Answer ok(JsonNode body) { return new Answer(200, body, null, null); }

        static Answer error(int status, String code, String message) {
            return new Answer(status, Refusal.envelope(status, message, null, code), null, null);
        }

        static Answer refused(Refusal refusal) { return new Answer(refusal.status, refusal.body(), null, null); }

        static Answer none(String code, String message) { return new Answer(0, null, code, message); }

        boolean succeeded() { return status >= 200 && status < 300; }

        /** Returns it as a line of an output or error file. */
        ObjectNode line(String id, String customId) {
            var line = Json.object().put("id", id).put("custom_id", customId);
            if (status == 0 && body == null) {
                line.putNull("response").putObject("error").put("code", code).put("message", message);
                return line;
            }
            var requestId = status == 0 ? "" : Json.plainId("req_");
            line.putNull("error").putObject("response").put("status_code", status).put("request_id", requestId)
                .set("body", body);
            return line;
        }
    }

    /** Until when an engine takes no more, and why, in its own words. */
    record Limit(Instant until, String reason) {
        private static final DateTimeFormatter MINUTE =
            DateTimeFormatter.ofPattern("uuuu-MM-dd HH:mm", Locale.ROOT).withZone(ZoneId.systemDefault());

        boolean isOver() { return !until.isAfter(Instant.now()); }

        @Override public String toString() {
            return "takes no more until " + MINUTE.format(until.plusSeconds(59)) + " (" + reason + ")";
        }
    }

    /**
     * How an engine is: one of the words of {@link #state}, until when that lasts and why as far as that is known, how
     * many milliseconds an answer takes of late (0 if none came yet), and how many requests are there.
     */
    record Condition(String url, String state, Instant until, String reason, long millis, int underWay) {
        static final String WELL = "well";

        ObjectNode json() {
            return Json.object().put("id", url).put("state", state)
                .put("until", until == null ? null : until.getEpochSecond()).put("reason", reason)
                .put("millis", millis).put("under_way", underWay);
        }
    }

    /** Returns an endpoint as engines have it, which in Azure's dialect may lack the version. */
    static String canonical(String endpoint) { return endpoint.startsWith("/v1/") ? endpoint : "/v1" + endpoint; }

    /** Returns the answer to a client that waits for it, and soon if the engine is down. */
    Answer answer(String endpoint, JsonNode body) throws InterruptedException;

    /**
     * Returns the answer to a request of a batch, for which an engine that is down or overloaded is waited for, or
     * null if the answer is no longer wanted before there is one.
     */
    default Answer answer(String endpoint, JsonNode body, BooleanSupplier wanted) throws InterruptedException {
        return answer(endpoint, body);
    }

    /** Returns whether it answers without any wait, so that the answers to several requests may be written together. */
    default boolean isInstant() { return false; }

    /** Returns the list of its models, as {@code GET /v1/models} answers it. */
    Answer models() throws InterruptedException;

    /** Returns the limit that it has told of, and for whose end requests of batches wait. */
    default Optional<Limit> limit() { return Optional.empty(); }

    /** Returns how each server is that answers; none if it is the echo, which is always well. */
    default List<Condition> conditions() { return List.of(); }

    /** Returns whether each was there when last asked, by its URL, where it is several. */
    default Map<String, String> contacts() { return Map.of(); }

    /**
     * Returns what would keep it from answering any request, if that is what an answer tells: it lacks the model, or
     * takes no such key.
     * @param model that all requests name, null if they do not name one
     */
    default Optional<BatchError> fault(String model, Answer answer) throws InterruptedException {
        return Optional.empty();
    }

    /** Returns whether it was there when last asked: reachable, unreachable or unknown. It keeps nobody waiting. */
    default String contact() { return "reachable"; }

    /**
     * Returns which engine it is and what one quick look at it shows, for whoever starts the server.
     * @param hasOptions whether who reads it can give the server another option
     */
    String state(boolean hasOptions) throws InterruptedException;
}
