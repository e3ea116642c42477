package sheaf.model;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;

/** A request that gets an error instead of an answer, in OpenAI's words. It does not know how the error is sent. */
final class Refusal extends RuntimeException {
    private final int status;     // HTTP's: from 500 on the fault is ours
    private final String code;
    private final String param;   // the field at fault, such as messages[0].content; null if it is none

    Refusal(int status, String code, String param, String message) {
        super(message);
        this.status = status;
        this.code = code;
        this.param = param;
    }

    static Refusal invalid(String param, String message) { return new Refusal(400, "invalid_value", param, message); }

    static Refusal notFound(String method, String path) {
        return new Refusal(404, "not_found", null, "the local model does not serve " + method + " " + path);
    }

    int status() { return status; }

    /** Returns the error envelope, as JSON. */
    byte[] body() {
        var envelope = JsonNodeFactory.instance.objectNode();
        envelope.putObject("error")
            .put("message", getMessage())
            .put("type", status < 500 ? "invalid_request_error" : "server_error")
            .put("param", param)
            .put("code", code);
        return envelope.toString().getBytes(UTF_8);
    }
}
