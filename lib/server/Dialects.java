package sheaf.server;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.NullNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.databind.node.TextNode;
import java.time.Instant;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import sheaf.server.BatchObject.BatchError;

/** The providers whose manners the server can have, each by what it does unlike OpenAI. They know nothing of routes. */
final class Dialects {
    static final Manners OPENAI = new Manners("openai");
    static final List<Manners> ALL =
        List.of(OPENAI, new Kluster(), new Azure(), new Groq(), new Together(), new Voyage());

    private Dialects() { }

    static Optional<Manners> named(String name) {
        return ALL.stream().filter(manners -> manners.toString().equalsIgnoreCase(name)).findFirst();
    }

    /** Returns whether files of this purpose are input files, at any of the providers. */
    static boolean isBatch(String purpose) {
        return ALL.stream().anyMatch(manners -> manners.purpose().equals(purpose));
    }

    /** The service of the batch guide: timestamps as strings except at creation, mixed models, few routes. */
    private static final class Kluster extends Manners {
        Kluster() { super("kluster"); }

        @Override boolean has(String method, String path) {
            return super.has(method, path) && (method.equals("POST") || !path.matches("/v1/files(/[^/]+)?/?"));
        }

        @Override boolean mixesModels() { return true; }

        @Override List<String> endpoints() { return List.of("/v1/chat/completions"); }

        @Override List<String> windows() { return List.of("1h", "24h", "48h", "72h"); }

        @Override int maxRequests() {
            return 999;                       // "fewer than 1000" for the free tier
        }

        @Override long maxBytes() { return 100L * 1024 * 1024; }

        @Override String newBatchId() { return Json.newId("").substring(0, 24); }

        @Override JsonNode file(ObjectNode file) {
            return times(file.without(List.of("status", "expires_at")), Dialects::asText);
        }

        @Override JsonNode created(ObjectNode batch) {
            batch.remove(List.of("model", "usage"));
            return batch.get("metadata").isNull() ? batch.set("metadata", Json.object()) : batch;
        }

        @Override JsonNode batch(ObjectNode batch) { return times((ObjectNode) created(batch), Dialects::asText); }

        @Override JsonNode page(ObjectNode page) {
            return page.put("count", page.get("data").size()).put("page", 1).put("page_count", -1)
                .put("items_per_page", Long.MAX_VALUE);
        }

        @Override boolean changesLines() { return true; }

        @Override ObjectNode line(ObjectNode line) {
            if (line.get("error").isNull()) line.remove("error");
            for (var choice : line.at("/response/body/choices")) {
                if (choice instanceof ObjectNode object) object.putIfAbsent("stop_reason", NullNode.getInstance());
                if (choice.get("message") instanceof ObjectNode message)
                    message.putIfAbsent("tool_calls", Json.MAPPER.createArrayNode());
            }
            if (line.at("/response/body") instanceof ObjectNode body && body.has("choices"))
                body.putIfAbsent("prompt_logprobs", NullNode.getInstance());
            return line;
        }
    }

    /** Azure OpenAI: blank ids and an empty error file, older paths and deployments; jobs never expire. */
    private static final class Azure extends Manners {
        Azure() { super("azure"); }

        @Override String prefix() { return "/openai/v1"; }

        @Override String path(String path) { return super.path(path.replaceFirst("^/openai/(?!v1/)", "/openai/v1/")); }

        @Override String keyHeader() { return "api-key"; }

        @Override boolean has(String method, String path) {
            return super.has(method, path.replaceFirst("^/v1/deployments/", "/v1/"));
        }

        @Override List<String> endpoints() {
            return List.of("/chat/completions", "/v1/chat/completions", "/v1/responses", "/v1/embeddings");
        }

        @Override boolean refusesWindows() {
            return false;                    // the job fails instead
        }

        @Override int maxRequests() { return 100_000; }

        @Override int minExpiry() { return 14 * 86_400; }

        @Override boolean expires() { return false; }

        @Override boolean hasEmptyErrorFile() { return true; }

        @Override BatchError fault(BatchError fault) {
            if (fault.message().equals(BatchError.BYTE_ORDER_MARK.message()))
                return new BatchError("invalid_request", "A valid model deployment name couldn't be extracted from"
                    + " the input file.", null, null);
            var code = Map.of("invalid_url", "url_mismatch", "mismatched_model", "model_mismatch",
                "empty_file", "empty_batch").getOrDefault(fault.code(), fault.code());
            return new BatchError(code, fault.message(), fault.param(), fault.line());
        }

        @Override JsonNode batch(ObjectNode batch) {
            batch.remove("usage");
            for (var id : List.of("output_file_id", "error_file_id"))
                if (batch.get(id).isNull()) batch.put(id, "");
            return batch;
        }

        @Override JsonNode page(ObjectNode page) { return page.without("object"); }

        @Override boolean changesLines() { return true; }

        @Override ObjectNode line(ObjectNode line) { return line.without("id"); }
    }

    /** Groq: a list without pages, files without a status. */
    private static final class Groq extends Manners {
        Groq() { super("groq"); }

        @Override String prefix() { return "/openai/v1"; }

        @Override List<String> endpoints() { return List.of("/v1/chat/completions"); }

        @Override List<String> windows() { return List.of("24h", "48h", "72h", "96h", "120h", "144h", "168h", "7d"); }

        @Override JsonNode file(ObjectNode file) {
            return file.without(List.of("status", "expires_at"));
        }

        @Override boolean hasPages() { return false; }

        @Override JsonNode page(ObjectNode page) { return page.retain("object", "data"); }
    }

    /** Together: a job in a wrapper, statuses in capitals, ISO times, other routes and purposes of uploads. */
    private static final class Together extends Manners {
        Together() { super("together"); }

        @Override boolean has(String method, String path) {
            return isPresigned(method, path) || path.endsWith("/preprocess") || super.has(method, path);
        }

        @Override boolean isPresigned(String method, String path) {
            return method.equals("PUT") && path.matches("/v1/files/[^/]+/content/?");
        }

        @Override String uploads() { return "/v1/files/upload"; }

        @Override boolean wantsFileName() { return true; }

        @Override String purpose() { return "batch-api"; }

        @Override List<String> endpoints() { return List.of("/v1/chat/completions"); }

        @Override long maxBytes() { return 100L * 1024 * 1024; }

        @Override List<String> lineParams() { return List.of("custom_id", "body"); }

        @Override boolean wantsWindow() { return false; }

        @Override boolean refusesUnknownFiles() { return true; }

        @Override int createdStatus() { return 201; }

        @Override JsonNode file(ObjectNode file) {
            file.remove(List.of("status", "expires_at"));
            return file.put("FileType", "jsonl").put("Processed", true);
        }

        @Override JsonNode created(ObjectNode batch) {
            return Json.object().<ObjectNode>set("job", batch(batch)).put("warning", "");
        }

        @Override JsonNode batch(ObjectNode batch) {
            var counts = batch.get("request_counts");
            int done = counts.get("completed").asInt() + counts.get("failed").asInt();
            var job = Json.object();
            for (var field : List.of("id", "input_file_id", "output_file_id", "error_file_id", "endpoint"))
                job.set(field, batch.get(field));
            job.set("model_id", batch.get("model"));
            job.put("status", status(batch.get("status").asText()));
            job.put("progress", 100.0 * done / Math.max(1, counts.get("total").asInt()));
            job.put("created_at", iso(batch.get("created_at"))).put("completed_at", iso(batch.get("completed_at")));
            job.put("job_deadline", iso(batch.get("expires_at")));
            return job.put("error", String.join("; ", batch.get("errors").findValuesAsText("message")));
        }

        private String status(String status) {
            boolean running = status.equals("finalizing") || status.equals("cancelling");
            return running ? "IN_PROGRESS" : status.toUpperCase(Locale.ROOT);
        }

        @Override boolean hasPages() { return false; }

        @Override JsonNode page(ObjectNode page) { return page.get("data"); }

        @Override JsonNode files(ObjectNode page) { return page.retain("data"); }
    }

    /** Voyage: ISO times with microseconds, output lines with other names, no expiry. */
    private static final class Voyage extends Manners {
        Voyage() { super("voyage"); }

        @Override List<String> windows() { return List.of("12h"); }

        @Override int maxRequests() { return 100_000; }

        @Override long maxBytes() { return 1024L * 1024 * 1024; }

        @Override boolean refusesUnknownFiles() { return true; }

        @Override boolean expires() { return false; }

        @Override JsonNode file(ObjectNode file) { return times(file, Dialects::iso); }

        @Override JsonNode batch(ObjectNode batch) {
            batch.set("expected_completion_at", batch.remove("expires_at"));
            batch.remove("expired_at");
            return times(batch, Dialects::iso);
        }

        @Override boolean changesLines() { return true; }

        @Override ObjectNode line(ObjectNode line) {
            line.set("batch_id", line.remove("id"));
            var message = line.at("/response/body/error/message");
            if (!message.isMissingNode())
                line.set("response", Json.object().put("status_code", line.at("/response/status_code").asInt())
                    .set("message", message));
            return line;
        }
    }

    /** Rewrites the times of an object that are set. */
    private static ObjectNode times(ObjectNode resource, Function<JsonNode, String> format) {
        for (var field : resource.properties())
            if (field.getKey().endsWith("_at") && field.getValue().isNumber())
                field.setValue(TextNode.valueOf(format.apply(field.getValue())));
        return resource;
    }

    private static String asText(JsonNode seconds) { return seconds.asText(); }

    private static String iso(JsonNode seconds) {
        if (seconds.isNull()) return null;
        return Instant.ofEpochSecond(seconds.asLong()).toString().replace("Z", ".000000Z");
    }
}
