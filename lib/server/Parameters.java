package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.util.List;
import java.util.function.Function;

/**
 * What a client asks for, checked: fields of a JSON body, and pages of a list. It knows no endpoint, and neither files
 * nor batches.
 */
final class Parameters {
    static final int MAX_BODY = 1024 * 1024;                // bytes of a JSON body
    static final int MAX_FIELD = 1024;                      // characters of a string in it, bytes of one in a form
    private static final int MAX_EXPIRY = 2_592_000;        // seconds

    private Parameters() { }

    /** Requires fields that are strings, each not longer than any sensible one. */
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

    /** Returns the seconds of an {@code expires_after} in a form, which has it as one field of JSON. */
    static Long seconds(String param, String json, int least) throws IOException {
        try {
            return seconds(Json.object().set(param, Json.parsed(json.getBytes(UTF_8))), param, least);
        } catch (JsonProcessingException notJson) {
            throw Refusal.invalid(param, "invalid_type", "Invalid type for '" + param
                + "': expected an object, but got " + Refusal.quoted(json) + " instead.");
        }
    }

    /** Returns after how many seconds a file shall expire, or null if a client does not say. */
    static Long seconds(String param, String anchor, String seconds, int least) {
        if (anchor == null && seconds == null) return null;
        if (!"created_at".equals(anchor)) throw Refusal.unsupported(param + ".anchor", anchor, List.of("created_at"));
        return integer(param + ".seconds", seconds, least, MAX_EXPIRY);
    }

    /** Returns the seconds of an {@code expires_after} in a JSON body, or null if there is none. */
    static Long seconds(ObjectNode asked, String param, int least) {
        var expiry = asked.path(param);
        if (Json.isAbsent(expiry)) return null;
        if (!expiry.isObject()) throw Refusal.wrongType(param, "an object", expiry);
        return seconds(param, expiry.path("anchor").asText(""), expiry.path("seconds").asText(null), least);
    }

    /** Returns a file name without the folders that a client may have put before it. */
    static String baseName(String fileName) {
        if (fileName == null) return "upload.jsonl";
        return fileName.substring(Math.max(fileName.lastIndexOf('/'), fileName.lastIndexOf('\\')) + 1);
    }

    /** Lists of files or batches, a page at a time, as the dialect has them. */
    static final class Listing {
        private final Manners dialect;
        private final Script script;

        Listing(Manners dialect, Script script) {
            this.dialect = dialect;
            this.script = script;
        }

        /** Returns how many entries a client asks for, or the most if the dialect has no pages. */
        int limit(Call call, int otherwise, int most) {
            if (!dialect.hasPages()) return most;
            return (int) integer("limit", call.query("limit", "" + otherwise), 1, most);
        }

        /** Returns the id after which the page begins, or null for the first page. */
        String after(Call call) {
            var after = call.query("after", "");
            return after.isEmpty() || !dialect.hasPages() || script.ignoresAfter ? null : after;
        }

        /**
         * Returns a page of {@code limit} entries; one more than that was looked for, to know if there are more. The
         * ids of an empty page are blank, for OpenAI's own description has no null there.
         */
        ObjectNode page(List<ObjectNode> found, int limit, Function<ObjectNode, JsonNode> shape) {
            var shown = found.subList(0, Math.min(limit, found.size()));
            var page = Json.object().put("object", "list");
            page.putArray("data").addAll(shown.stream().map(shape).toList());
            page.put("first_id", shown.isEmpty() ? "" : shown.get(0).get("id").textValue());
            page.put("last_id", shown.isEmpty() ? "" : shown.get(shown.size() - 1).get("id").textValue());
            return page.put("has_more", found.size() > limit || script.ignoresAfter);
        }
    }
}
