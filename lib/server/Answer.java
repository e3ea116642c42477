package sheaf.server;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;

/**
 * What an engine said to a request. If the status is 0, there was no HTTP answer: code and message say why, or the
 * body is empty because nobody knows.
 */
record Answer(int status, JsonNode body, String code, String message, long retryAfterMillis) {
    Answer(int status, JsonNode body, String code, String message) {
        this(status, body, code, message, -1);
    }

    static Answer ok(JsonNode body) { return new Answer(200, body, null, null); }

    static Answer error(int status, String code, String message) {
        return new Answer(status, Refusal.envelope(status, message, null, code), null, null);
    }

    static Answer none(String code, String message) { return new Answer(0, null, code, message); }

    boolean succeeded() { return status >= 200 && status < 300; }

    /** Returns the line of an output or error file. */
    ObjectNode line(String id, String customId) {
        var line = Json.object().put("id", id).put("custom_id", customId);
        if (status == 0 && body != null)
            line.putNull("error").putObject("response").put("status_code", 0).put("request_id", "")
                .set("body", body);
        else if (status == 0)
            line.putNull("response").putObject("error").put("code", code).put("message", message);
        else
            line.putNull("error").putObject("response").put("status_code", status).put("request_id", Json.newId("req_"))
                .set("body", body);
        return line;
    }
}
