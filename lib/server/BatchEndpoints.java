package sheaf.server;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.util.Optional;
import sheaf.server.Parameters.Listing;

/**
 * What clients do with batches: the requests of the Batch API, each a method. It checks what they ask, and knows
 * nothing of how a batch runs.
 *
 * @see <a href="https://platform.openai.com/docs/api-reference/batch">Batch API</a>
 */
final class BatchEndpoints {
    private static final int MAX_KEY = 255;                 // characters of an Idempotency-Key

    private final Runner runner;
    private final FileEndpoints files;
    private final Manners dialect;
    private final Script script;
    private final Listing listing;

    BatchEndpoints(Runner runner, FileEndpoints files, Manners dialect, Script script) {
        this.runner = runner;
        this.files = files;
        this.dialect = dialect;
        this.script = script;
        this.listing = new Listing(dialect, script);
    }

    void create(Call call) throws IOException {
        var body = call.body(Parameters.MAX_BODY);
        var asked = call.object(body);
        if (!dialect.wantsWindow() && !asked.hasNonNull("completion_window"))
            asked.put("completion_window", dialect.windows().get(0));
        Parameters.requireStrings(asked, "input_file_id", "endpoint", "completion_window");
        Parameters.requireOneOf("endpoint", asked, dialect.endpoints());
        if (dialect.refusesWindows()) Parameters.requireOneOf("completion_window", asked, dialect.windows());
        checkMetadata(asked.path("metadata"));
        Parameters.seconds(asked, "output_expires_after", dialect.minExpiry());
        if (script.forgetsMetadata) asked.remove("metadata");
        var batch = runner.create(asked, idempotencyKey(call), body, this::checkInput);
        call.send(dialect.createdStatus(), dialect.created(script.shown(BatchObject.forClients(batch))));
    }

    /** Refuses a batch over a file that nobody sees, where the dialect or a test wants that before it is created. */
    private void checkInput(String id) {
        if (dialect.refusesUnknownFiles() || !script.hidden.isZero()) files.file(id);
    }

    /** Returns the idempotency key of a request, or null if it has none. */
    private static String idempotencyKey(Call call) {
        var key = Optional.ofNullable(call.header("Idempotency-Key")).orElse("").strip();
        if (key.length() > MAX_KEY)
            throw Refusal.invalid(null, "invalid_value", "The Idempotency-Key is longer than " + MAX_KEY
                + " characters.");
        return key.isEmpty() ? null : key;
    }

    private static void checkMetadata(JsonNode metadata) {
        if (Json.isAbsent(metadata)) return;
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
        Parameters.requireString(param, value);
        int length = value.textValue().length();
        if (length > 512)
            throw Refusal.invalid(param, "string_above_max_length", "Invalid '" + param
                + "': string too long. Expected a string with maximum length 512, but got a string with length "
                + length + " instead.");
    }

    void list(Call call) {
        int limit = listing.limit(call, 20, dialect.hasPages() ? 100 : 10_000);
        call.send(dialect.page(listing.page(runner.list(listing.after(call), limit + 1), limit, this::shown)));
    }

    void retrieve(Call call) { call.send(shown(runner.find(call.id()))); }

    void cancel(Call call) { call.send(shown(runner.cancel(call.id()))); }

    private JsonNode shown(ObjectNode batch) {
        return dialect.batch(script.shown(BatchObject.forClients(batch)));
    }
}
