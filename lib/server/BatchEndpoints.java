package sheaf.server;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;

/** What clients do with batches: the requests of the Batch API, each a method. It knows nothing of how one runs. */
final class BatchEndpoints {
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
        Parameters.requireStrings(asked, "input_file_id", "endpoint", "completion_window");
        Parameters.requireOneOf("endpoint", asked, dialect.endpoints());
        if (dialect.refusesWindows()) Parameters.requireOneOf("completion_window", asked, dialect.windows());
        Parameters.checkMetadata(asked.path("metadata"));
        Parameters.seconds(asked, "output_expires_after", dialect.minExpiry());
        if (script.forgetsMetadata) asked.remove("metadata");
        var batch = runner.create(asked, Parameters.idempotencyKey(call), body, this::checkInput);
        call.send(dialect.createdStatus(), dialect.created(script.batch(batch)));
    }

    private void checkInput(String id) {
        if (dialect.refusesUnknownFiles() || !script.invisible.isZero()) files.file(id);
    }

    void list(Call call) {
        int limit = listing.limit(call, 20, dialect.hasPages() ? 100 : 10_000);
        call.send(listing.page(runner.list(listing.after(call), limit + 1), limit, this::shown));
    }

    void retrieve(Call call) { call.send(shown(runner.find(call.id()))); }

    void cancel(Call call) { call.send(shown(runner.cancel(call.id()))); }

    private JsonNode shown(ObjectNode batch) { return dialect.batch(script.batch(batch)); }
}
