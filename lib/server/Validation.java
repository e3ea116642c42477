package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.UUID;

/**
 * What is wrong with an input file, and what its requests have in common, read once from its lines. It knows no batch
 * and changes nothing.
 */
final class Validation {
    private static final int MAX_FAULTS = 100;
    private static final int MAX_INPUTS = 50_000;   // https://platform.openai.com/docs/api-reference/batch/create
    private static final byte[] BOM = {(byte) 0xEF, (byte) 0xBB, (byte) 0xBF};
    private static final Map<String, String> CONTENT = Map.of("/v1/chat/completions", "messages",
        "/v1/completions", "prompt", "/v1/embeddings", "input", "/v1/responses", "input");

    final List<BatchError> faults = new ArrayList<>();
    String firstModel;                                     // null before the first request
    int total;                                             // of requests
    long tokens;                                           // of all prompts, if a queue counts them
    private final String endpoint;
    private final Settings.Limits limits;
    private final Script script;
    private final Set<UUID> customIds = new HashSet<>();   // digests, because ids may be of any length
    private boolean mixed;                                 // whether requests name different models
    private long inputs;                                   // to embed

    private Validation(String endpoint, Settings.Limits limits, Script script) {
        this.endpoint = endpoint;
        this.limits = limits;
        this.script = script;
    }

    static Validation of(Path input, String endpoint, Settings.Limits limits, Script script) throws IOException {
        var validation = new Validation(endpoint, limits, script);
        try (var lines = new Lines(input, Lines.MAX_BYTES)) {
            validation.readAll(lines, limits.maxRequests());
        }
        validation.faults.replaceAll(limits.dialect()::fault);
        return validation;
    }

    /** Refuses a file that is no input file by its first line, if its purpose says that it is one. */
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
        var bytes = ByteBuffer.wrap(line);
        try {
            UTF_8.newDecoder().decode(bytes);
            return null;
        } catch (CharacterCodingException e) {
            return BatchError.notJson("This line is not valid UTF-8 (byte " + (bytes.position() + 1) + ").");
        }
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
        if (!customIds.add(UUID.nameUUIDFromBytes(Json.bytes(customId))))
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

    private BatchError bodyFault(JsonNode body) {
        var content = CONTENT.get(Manners.canonical(endpoint));
        if (!body.isObject())
            return BatchError.of("invalid_type", "body", Refusal.typeMessage("body", "an object", body));
        if (body.path("model").asText("").isEmpty())
            return BatchError.invalid("body.model", "Model parameter is required.");
        if (!body.hasNonNull(content))
            return BatchError.invalid("body." + content, capitalized(content) + " parameter is required.");
        if (body.path("stream").asBoolean())
            return BatchError.of("streaming_unsupported", "body.stream",
                (content.equals("messages") ? "Chat Completions: " : "")
                + "Streaming is not supported in the Batch API.");
        if (endpoint.endsWith("/embeddings"))
            inputs += body.get(content).path(0).isNumber() ? 1 : Math.max(1, body.get(content).size());
        if (!script.queue.isEndless()) tokens += Echo.words(Echo.text(body.get(content)));
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
                + Refusal.quoted(firstModel) + ", which the first request names; all requests of a batch must have one"
                + " model.");
        return null;
    }

    private static String capitalized(String word) {
        return word.substring(0, 1).toUpperCase(Locale.ROOT) + word.substring(1);
    }

    /** Returns the model of every request, or null if they differ. */
    String model() { return mixed ? null : firstModel; }
}
