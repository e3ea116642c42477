package sheaf.server;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.List;
import java.util.Optional;

/** What a client asked for, checked: fields of a JSON body, of a form, of a query and of headers, but no endpoint. */
final class Parameters {
    static final int MAX_BODY = 1024 * 1024;                // bytes of a JSON body
    static final int MAX_FIELD = 1024;                      // characters of a string in one
    private static final int MAX_EXPIRY = 2_592_000;        // seconds
    private static final int MAX_KEY = 255;                 // characters of an Idempotency-Key

    private Parameters() { }

    /** Requires fields that are strings of a length that anybody could mean. */
    static void requireStrings(ObjectNode asked, String... params) {
        for (var param : params) {
            if (!asked.hasNonNull(param)) throw Refusal.missing(param);
            requireString(param, asked.get(param));
            if (asked.get(param).textValue().length() > MAX_FIELD) throw Refusal.tooLong(param, MAX_FIELD);
        }
    }

    static void requireString(String param, JsonNode value) {
        if (!value.isTextual()) throw Refusal.wrongType(param, "a string", value);
    }

    static void requireOneOf(String param, ObjectNode asked, List<String> supported) {
        var value = asked.get(param).textValue();
        if (!supported.contains(value)) throw Refusal.unsupported(param, value, supported);
    }

    static long integer(String param, String value, long least, long most) {
        if (value == null) throw Refusal.missing(param);
        if (value.matches("-?\\d{1,18}") && Long.parseLong(value) >= least && Long.parseLong(value) <= most)
            return Long.parseLong(value);
        throw Refusal.invalid(param, "invalid_value", "Invalid '" + param + "': expected an integer from " + least
            + " to " + most + ", but got '" + value + "' instead.");
    }

    /** Returns the seconds of an {@code expires_after}, or null if there is none. */
    static Long seconds(String param, String anchor, String seconds, int least) {
        if (anchor == null && seconds == null) return null;
        if (!"created_at".equals(anchor)) throw Refusal.unsupported(param + ".anchor", anchor, List.of("created_at"));
        return integer(param + ".seconds", seconds, least, MAX_EXPIRY);
    }

    /** Returns the seconds of such an object in a JSON body, or null if there is none. */
    static Long seconds(ObjectNode asked, String param, int least) {
        var expiry = asked.path(param);
        if (expiry.isMissingNode() || expiry.isNull()) return null;
        if (!expiry.isObject()) throw Refusal.wrongType(param, "an object", expiry);
        return seconds(param, expiry.path("anchor").asText(""), expiry.path("seconds").asText(null), least);
    }

    /** Returns a file name without the folders that a client may have put before it. */
    static String baseName(String fileName) {
        if (fileName == null) return "upload.jsonl";
        return fileName.substring(Math.max(fileName.lastIndexOf('/'), fileName.lastIndexOf('\\')) + 1);
    }

    /** Returns the idempotency key of a request, or null if it has none. */
    static String idempotencyKey(Call call) {
        var key = Optional.ofNullable(call.header("Idempotency-Key")).orElse("").strip();
        if (key.length() > MAX_KEY)
            throw Refusal.invalid(null, "invalid_value", "The Idempotency-Key is longer than " + MAX_KEY
                + " characters.");
        return key.isEmpty() ? null : key;
    }

    static void checkMetadata(JsonNode metadata) {
        if (metadata.isMissingNode() || metadata.isNull()) return;
        if (!metadata.isObject()) throw Refusal.wrongType("metadata", "an object", metadata);
        if (metadata.size() > 16)
            throw Refusal.invalid("metadata", "object_above_max_properties",
                "Invalid 'metadata': too many properties. Expected an object with at most 16 properties, but got "
                + metadata.size() + " instead.");
        metadata.properties().forEach(pair -> checkPair(pair.getKey(), pair.getValue()));
    }

    private static void checkPair(String key, JsonNode value) {
        var param = "metadata." + key;
        if (key.length() > 64)
            throw Refusal.invalid("metadata", "string_above_max_length", "Invalid 'metadata': key '" + key
                + "' is too long. Expected at most 64 characters, but got " + key.length() + " instead.");
        requireString(param, value);
        int length = value.textValue().length();
        if (length > 512)
            throw Refusal.invalid(param, "string_above_max_length", "Invalid '" + param
                + "': string too long. Expected a string with maximum length 512, but got a string with length "
                + length + " instead.");
    }
}
