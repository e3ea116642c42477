package sheaf.server;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Duration;
import java.util.List;
import java.util.Set;

/**
 * The batch object that clients see: its statuses and when they began, its counts, its usage and its errors. It knows
 * no file and no thread; whoever has it keeps others from it while it changes.
 */
final class BatchObject {
    static final List<String> STATUSES = List.of("validating", "in_progress", "finalizing", "completed", "failed",
        "expired", "cancelling", "cancelled");
    static final Set<String> OVER = Set.of("completed", "failed", "expired", "cancelled");     // that are the last
    private static final List<String> TIMED = STATUSES.subList(1, STATUSES.size());   // with a field for their begin

    /** What becomes of a request; clients see the last two counted as failed, for so does OpenAI. */
    static final List<String> OUTCOMES = List.of("completed", "failed", "cancelled", "expired");
    private static final String UNANSWERED = "unanswered";      // how many were cancelled or expired, for our page

    private final ObjectNode json;

    BatchObject(ObjectNode json) { this.json = json.deepCopy(); }

    /** Returns the object of a batch at its creation. */
    static ObjectNode created(String id, ObjectNode asked, long now, Duration window) {
        var batch = Json.object().put("id", id).put("object", "batch");
        batch.set("endpoint", asked.get("endpoint"));
        batch.putNull("model").putNull("errors");
        batch.set("input_file_id", asked.get("input_file_id"));
        batch.set("completion_window", asked.get("completion_window"));
        batch.put("status", "validating").putNull("output_file_id").putNull("error_file_id");
        batch.put("created_at", now);
        TIMED.forEach(status -> batch.putNull(status + "_at"));
        batch.put("expires_at", now + window.toSeconds());
        batch.putObject("request_counts").put("total", 0).put("completed", 0).put("failed", 0);
        batch.putNull("usage").set("metadata", asked.get("metadata"));
        if (asked.hasNonNull("output_expires_after"))
            batch.set("output_expires_after", asked.get("output_expires_after"));
        return batch;
    }

    ObjectNode copy() { return json.deepCopy(); }

    void restore(ObjectNode copy) { json.setAll(copy); }

    String id() { return text("id"); }

    String text(String field) { return json.get(field).textValue(); }

    boolean is(String status) { return text("status").equals(status); }

    /** Returns one of the request counts: total, completed or failed. */
    int count(String outcome) { return counts().get(outcome).intValue(); }

    private ObjectNode counts() { return (ObjectNode) json.get("request_counts"); }

    /** Enters a status, and notes when, unless it was entered before. */
    void enter(String status, long now) {
        json.put("status", status);
        if (json.get(status + "_at").isNull()) json.put(status + "_at", now);
    }

    /** Enters what its input file holds, and the status in_progress unless the batch was cancelled meanwhile. */
    void admit(int total, String model, long now) {
        counts().put("total", total);
        json.put("model", model);
        if (is("validating")) enter("in_progress", now);
    }

    /** Forgets what has run, before the lines of its files are counted from the start. */
    void forgetCounts() {
        counts().put("completed", 0).put("failed", 0);
        json.putNull("usage").remove(UNANSWERED);
    }

    /** Counts a line of the output or error file, and adds its usage. */
    void countLine(JsonNode written) {
        var outcome = outcome(written);
        var counted = outcome.equals("completed") ? outcome : "failed";
        counts().put(counted, count(counted) + 1);
        if (OUTCOMES.indexOf(outcome) > 1) add(child(json, UNANSWERED), outcome, 1);
        var usage = usage(written);
        if (usage.isObject()) addUsage(usage);
    }

    /** Returns what the engine counted of the answer that a line has, or what is missing. */
    static JsonNode usage(JsonNode written) { return written.path("response").path("body").path("usage"); }

    private static ObjectNode child(ObjectNode parent, String field) {
        return parent.get(field) instanceof ObjectNode child ? child : parent.putObject(field);
    }

    /** Returns what became of the request that a line of the output or error file is for. */
    static String outcome(JsonNode written) {
        int status = written.path("response").path("status_code").asInt();
        if (status >= 200 && status < 300) return "completed";
        var code = written.path("error").path("code").asText();
        return code.equals("batch_cancelled") || code.equals("batch_expired") ? code.substring(6) : "failed";
    }

    /** Returns a batch as OpenAI's clients know it. */
    static ObjectNode forClients(ObjectNode batch) { return batch.without(UNANSWERED); }

    /** Adds the usage of one answer, in the words of either chat completions or responses. */
    private void addUsage(JsonNode usage) {
        var sum = child(json, "usage");
        add(sum, "input_tokens", inputTokens(usage));
        add(child(sum, "input_tokens_details"), "cached_tokens", detail(usage, "cached_tokens"));
        add(sum, "output_tokens", outputTokens(usage));
        add(child(sum, "output_tokens_details"), "reasoning_tokens", detail(usage, "reasoning_tokens"));
        add(sum, "total_tokens", tokens(usage.path("total_tokens")));
    }

    static long inputTokens(JsonNode usage) {
        return tokens(usage.path("input_tokens")) + tokens(usage.path("prompt_tokens"));
    }

    static long outputTokens(JsonNode usage) {
        return tokens(usage.path("output_tokens")) + tokens(usage.path("completion_tokens"));
    }

    private static void add(ObjectNode sum, String field, long more) {
        sum.put(field, sum.path(field).asLong() + more);
    }

    private static long detail(JsonNode usage, String field) { return tokens(usage.findPath(field)); }

    /** Returns how many tokens an engine counts, or 0 for a number that can be no count. */
    private static long tokens(JsonNode count) {
        return count.canConvertToInt() ? Math.max(0, count.intValue()) : 0;
    }

    /** Ends in a status, with the ids of its files, null for one without lines. */
    void end(String status, String outputId, String errorId, long now) {
        json.put("output_file_id", outputId).put("error_file_id", errorId);
        enter(status, now);
    }

    /**
     * Ends because of these faults, with the files of what ran before. A batch that was cancelled before is cancelled
     * all the same, and shows no faults if it had not begun.
     */
    void fail(List<BatchError> faults, List<ObjectNode> files, long now) {
        boolean wasCancelled = is("cancelling");
        var errors = Json.object().put("object", "list");
        faults.forEach(fault -> errors.withArray("data").add(fault.json()));
        json.set("errors", wasCancelled && count("total") == 0 ? null : errors);
        for (var file : files)
            json.set(file.get("id").textValue().contains("output") ? "output_file_id" : "error_file_id",
                file.get("id"));
        enter(wasCancelled ? "cancelled" : "failed", now);
    }

    /** Why a batch fails, as OpenAI has it; {@code line} is null if the fault is not one of a single line. */
    record BatchError(String code, String message, String param, Integer line) {
        static final BatchError BYTE_ORDER_MARK =
            notJson("The file starts with a byte order mark (BOM); save it as UTF-8 without one.");

        static BatchError of(String code, String param, String message) {
            return new BatchError(code, message, param, null);
        }

        static BatchError missing(String param) {
            return of("missing_required_parameter", param, "Missing required parameter: '" + param + "'.");
        }

        static BatchError invalid(String param, String message) { return of("invalid_request", param, message); }

        static BatchError notJson(String message) { return of("invalid_json_line", null, message); }

        BatchError at(int number) { return new BatchError(code, message, param, number); }

        ObjectNode json() {
            return Json.object().put("code", code).put("message", message).put("param", param).put("line", line);
        }
    }
}
