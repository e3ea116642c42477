package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.Semaphore;
import sheaf.server.BatchObject.BatchError;
import sheaf.server.Json.Lines;

/**
 * Which batches may begin: those whose input file has no fault, whose completion window the dialect has, and for whose
 * tokens the queue has room. It reads a batch and never changes it.
 */
final class Validation {
    private static final int AT_ONCE = 2;       // files: each has the digests of its custom ids in memory

    private final Semaphore reading = new Semaphore(AT_ONCE, true);
    private final Map<String, Long> queued = new HashMap<>();   // tokens by the id of their batch
    private final Store store;
    private final Settings.Limits limits;
    private final Script script;

    /** The faults of a batch, or else how many requests it has and which model they all name (null if several). */
    record Verdict(List<BatchError> faults, int total, String model) {
    }

    Validation(Store store, Settings.Limits limits, Script script) {
        this.store = store;
        this.limits = limits;
        this.script = script;
    }

    /** Refuses a file with the purpose of an input file, but not its first line. */
    static void checkStart(Path file, String purpose) throws IOException {
        if (Dialects.isBatch(purpose) && !startsWithJson(file))
            throw Refusal.invalid("file", null, "Invalid file format for Batch API. Must be .jsonl"
                + (Files.size(file) == 0 ? "; it is empty." : "; its first line is no JSON object."));
    }

    private static boolean startsWithJson(Path file) throws IOException {
        try (var lines = new Lines(file, Lines.MAX_BYTES)) {
            var first = lines.next();
            return first != null && (Lines.isBlank(first) || Json.parsed(first).isContainerNode());
        } catch (JsonProcessingException notJson) {
            return false;
        }
    }

    /** Reads the input file of a batch, which may take its time, and takes room in the queue if there is no fault. */
    Verdict verdict(ObjectNode batch) throws IOException, InterruptedException {
        var fileId = batch.get("input_file_id").textValue();
        var file = store.find("file", fileId);
        if (file.isEmpty() || !Dialects.isBatch(file.get().path("purpose").asText()))
            return new Verdict(List.of(BatchError.invalid("file_id", "Cannot find file " + fileId
                + ", or the organization does not have access to it.")), 0, null);
        reading.acquire();
        try {
            return verdict(batch, read(fileId, batch.get("endpoint").textValue()));
        } finally {
            reading.release();
        }
    }

    private InputFile read(String fileId, String endpoint) throws IOException {
        return InputFile.read(store.file(fileId), endpoint, limits, script);
    }

    private Verdict verdict(ObjectNode batch, InputFile input) {
        var faults = new ArrayList<BatchError>(input.faults);
        var windows = limits.dialect().windows();
        if (!windows.contains(batch.get("completion_window").textValue()))
            faults.add(BatchError.invalid("completion_window", "The completion window must be one of "
                + windows + "."));
        if (faults.isEmpty() && !enqueue(batch.get("id").textValue(), input.tokens))
            faults.add(BatchError.of("token_limit_exceeded", null, script.queue.message(input.firstModel)));
        return new Verdict(faults, input.total, input.model());
    }

    /** Refuses a batch that is about to be created, if the queue has no room for it and a test wants that refused. */
    void refuseOverQueue(String batchId, String fileId, String endpoint) throws IOException {
        if (!script.queue.refuses() || store.find("file", fileId).isEmpty()) return;
        var input = read(fileId, endpoint);
        if (!enqueue(batchId, input.tokens))
            throw Refusal.invalid(null, "token_limit_exceeded", script.queue.message(input.firstModel));
    }

    /** Takes room in the queue for a batch, and returns whether there was enough. */
    private synchronized boolean enqueue(String batchId, long tokens) {
        long before = queued.entrySet().stream().filter(other -> !other.getKey().equals(batchId))
            .mapToLong(Map.Entry::getValue).sum();
        if (before + tokens > script.queue.tokens()) return false;
        queued.put(batchId, tokens);
        return true;
    }

    /** Gives back the room that a batch has in the queue. */
    synchronized void leaveQueue(String batchId) { queued.remove(batchId); }

    /** What is wrong with an input file, and what its requests have in common, read once from its lines. */
    private static final class InputFile {
        private static final int MAX_FAULTS = 100;
        private static final int MAX_INPUTS = 50_000;   // https://platform.openai.com/docs/api-reference/batch/create
        private static final int MAX_KEPT = 64;         // characters of a custom id
        private static final byte[] BOM = {(byte) 0xEF, (byte) 0xBB, (byte) 0xBF};

        private final List<BatchError> faults = new ArrayList<>();
        private String firstModel;                             // null before the first request
        private int total;                                     // requests
        private long tokens;                                   // words of all prompts, if the queue has an end
        private final String endpoint;
        private final Settings.Limits limits;
        private final Script script;
        private final Set<Object> customIds = new HashSet<>();   // of long ones the digests, for any length is allowed
        private boolean mixed;                                 // requests name different models
        private long inputs;                                   // texts to embed

        InputFile(String endpoint, Settings.Limits limits, Script script) {
            this.endpoint = endpoint;
            this.limits = limits;
            this.script = script;
        }

        static InputFile read(Path path, String endpoint, Settings.Limits limits, Script script) throws IOException {
            var input = new InputFile(endpoint, limits, script);
            try (var lines = new Lines(path, Lines.MAX_BYTES)) {
                input.readAll(lines, limits.maxRequests());
            }
            input.faults.replaceAll(limits.dialect()::fault);
            return input;
        }

        private void readAll(Lines lines, int maxRequests) throws IOException {
            for (byte[] line; (line = lines.next()) != null && faults.size() < MAX_FAULTS && total <= maxRequests; )
                if (!Lines.isBlank(line)) read(line, lines.number);
            if (total == 0) faults.add(BatchError.of("empty_file", null, "The input file has no requests."));
            if (total > maxRequests)
                faults.add(BatchError.of("too_many_tasks", null,
                    "The input file has more than " + maxRequests + " requests."));
            if (inputs > MAX_INPUTS)
                faults.add(BatchError.of("too_many_tasks", null,
                    "The input file has more than " + MAX_INPUTS + " inputs to embed."));
        }

        private void read(byte[] line, int number) {
            total++;
            var fault = textFault(line, number);
            if (fault == null) fault = jsonFault(line);
            if (fault != null) faults.add(fault.at(number));
        }

        private static BatchError textFault(byte[] line, int number) {
            if (line.length > Lines.MAX_BYTES)
                return BatchError.invalid(null, "This line is longer than " + Lines.MAX_BYTES + " bytes.");
            if (number == 1 && Arrays.mismatch(line, BOM) == BOM.length) return BatchError.BYTE_ORDER_MARK;
            if (isAscii(line)) return null;
            var bytes = ByteBuffer.wrap(line);
            try {
                UTF_8.newDecoder().decode(bytes);
                return null;
            } catch (CharacterCodingException e) {
                return BatchError.notJson("This line is not valid UTF-8 (byte " + (bytes.position() + 1) + ").");
            }
        }

        private static boolean isAscii(byte[] line) {
            int all = 0;
            for (byte each : line) all |= each;
            return all >= 0;
        }

        private BatchError jsonFault(byte[] line) {
            try {
                var request = Json.parsed(line);
                return request.isObject() ? requestFault(request)
                    : BatchError.notJson("This line is not a JSON object.");
            } catch (IOException notJson) {
                return BatchError.notJson("This line is not parseable as valid JSON.");
            }
        }

        private BatchError requestFault(JsonNode request) {
            for (var param : limits.dialect().lineParams())
                if (!request.hasNonNull(param) || "".equals(request.get(param).textValue()))
                    return BatchError.missing(param);
            var customId = request.get("custom_id");
            var method = request.path("method").asText("POST");
            if (!customId.isTextual())
                return BatchError.of("invalid_type", "custom_id",
                    Refusal.typeMessage("custom_id", "a string", customId));
            if (!customIds.add(brief(customId)))
                return BatchError.of("duplicate_custom_id", "custom_id",
                    "The custom_id " + Refusal.quoted(customId.textValue())
                    + " is used by another request of this file.");
            if (!method.equals("POST"))
                return BatchError.of("invalid_value", "method",
                    "Invalid value: '" + method + "'. Supported values are: 'POST'.");
            if (!request.path("url").asText(endpoint).equals(endpoint))
                return BatchError.of("invalid_url", "url",
                    "The URL provided for this request does not match the batch endpoint.");
            return bodyFault(request.get("body"));
        }

        private static Object brief(JsonNode customId) {
            var text = customId.textValue();
            return text.length() <= MAX_KEPT ? text : UUID.nameUUIDFromBytes(Json.bytes(customId));
        }

        private BatchError bodyFault(JsonNode body) {
            var content = EchoRequest.contentField(endpoint);
            if (!body.isObject())
                return BatchError.of("invalid_type", "body", Refusal.typeMessage("body", "an object", body));
            if (body.path("model").asText("").isEmpty())
                return BatchError.invalid("body.model", "Model parameter is required.");
            if (!body.hasNonNull(content))
                return BatchError.invalid("body." + content, capitalized(content) + " parameter is required.");
            var stream = body.path("stream");
            if (!Json.isAbsent(stream) && !stream.isBoolean())
                return BatchError.of("invalid_type", "body.stream",
                    Refusal.typeMessage("body.stream", "a boolean", stream));
            if (stream.asBoolean())
                return BatchError.of("streaming_unsupported", "body.stream",
                    (content.equals("messages") ? "Chat Completions: " : "")
                    + "Streaming is not supported in the Batch API.");
            if (endpoint.endsWith("/embeddings"))
                inputs += body.get(content).path(0).isNumber() ? 1 : Math.max(1, body.get(content).size());
            if (!script.queue.isEndless()) tokens += EchoRequest.words(EchoRequest.text(body.get(content)));
            return modelFault(body.get("model").asText());
        }

        private BatchError modelFault(String model) {
            if (!script.models.isEmpty() && !script.models.contains(model))
                return BatchError.of("model_not_found", "body.model",
                    "The provided model " + Refusal.quoted(model) + " is not supported by the Batch API.");
            if (firstModel == null) firstModel = model;
            mixed |= !model.equals(firstModel);
            if (!limits.mixesModels() && !model.equals(firstModel))
                return BatchError.of("mismatched_model", "body.model", "The model " + Refusal.quoted(model) + " is not "
                    + Refusal.quoted(firstModel) + ", which the first request names; all requests of a batch must have"
                    + " one model.");
            return null;
        }

        private static String capitalized(String word) {
            return word.substring(0, 1).toUpperCase(Locale.ROOT) + word.substring(1);
        }

        /** Returns the model of every request, or null if they differ. */
        String model() { return mixed ? null : firstModel; }
    }
}
