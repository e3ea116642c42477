package sheaf.server;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;

/** A request that is refused, and how: an HTTP status and OpenAI's error object. It knows nothing of the request. */
final class Refusal extends RuntimeException {
    private static final String EXCEPTION = "(?:\\b[a-z]\\w*\\.)*\\b[\\w$]+(?:Exception|Error)\\b";

    final int status;
    private final String param;
    private final String code;

    Refusal(int status, String message, String param, String code) {
        super(message, null, false, false);
        this.status = status;
        this.param = param;
        this.code = code;
    }

    static Refusal invalid(String param, String code, String message) { return new Refusal(400, message, param, code); }

    static Refusal busy(String message) { return new Refusal(429, message, null, "rate_limit_exceeded"); }

    static Refusal missing(String param) {
        return invalid(param, "missing_required_parameter", "Missing required parameter: '" + param + "'.");
    }

    static Refusal wrongType(String param, String expected, JsonNode value) {
        return invalid(param, "invalid_type", typeMessage(param, expected, value));
    }

    static Refusal unknownModel(String model) {
        return new Refusal(404, "The model " + quoted(model) + " does not exist", "model", "model_not_found");
    }

    static Refusal tooLong(String param, int most) {
        return invalid(param, "string_above_max_length", "Invalid '" + param
            + "': string too long. Expected a string with maximum length " + most + ".");
    }

    static Refusal unsupported(String param, String value, List<String> supported) {
        return invalid(param, "invalid_value", "Invalid value: " + quoted(String.valueOf(value))
            + ". Supported values are: "
            + supported.stream().map(each -> "'" + each + "'").collect(Collectors.joining(", ")) + ".");
    }

    ObjectNode body() { return envelope(status, getMessage(), param, code); }

    static ObjectNode envelope(int status, String message, String param, String code) {
        var body = Json.object();
        body.putObject("error").put("message", message)
            .put("type", status < 500 ? "invalid_request_error" : "server_error")
            .put("param", param).put("code", code);
        return body;
    }

    /** Says that a value has the wrong type, whatever it stands in. */
    static String typeMessage(String param, String expected, JsonNode value) {
        var given = value.isFloatingPointNumber() ? "decimal number"
            : value.getNodeType().name().toLowerCase(Locale.ROOT);
        var article = given.matches("[aeiou].*") ? "an " : "a ";
        return "Invalid type for '" + param + "': expected " + expected + ", but got " + article + given
            + " instead.";
    }

    /** Returns why something broke, as its message says it without the names of exceptions; stderr has the rest. */
    static String reason(Throwable e) {
        var message = e instanceof JsonProcessingException json ? json.getOriginalMessage() : e.getMessage();
        var said = String.valueOf(message).replaceAll(EXCEPTION + ":?\\s*", "").strip();
        if (message != null && !said.isEmpty()) return said;
        if (e instanceof IOException) return "reading or writing failed";     // as when a client has gone
        e.printStackTrace();
        return "for a reason that stderr tells";
    }

    /** Returns what a client said, short enough to say it back. */
    static String quoted(String said) {
        return "'" + (said.length() <= 100 ? said : said.substring(0, 100) + "...") + "'";
    }
}
