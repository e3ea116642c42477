package sheaf.server;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import sheaf.server.Concurrency.Permits;
import sheaf.server.Parameters.Listing;

/**
 * What the server's page asks beyond OpenAI's API: batches of some status or name, and the requests of one beside
 * their answers, each a method. It is no API for others, and changes with the page.
 */
final class PageEndpoints {
    private static final List<String> ROW_OUTCOMES =
        Stream.concat(Stream.of("", RowSearch.NONE), BatchObject.OUTCOMES.stream()).toList();
    private static final long PATIENCE = 200_000_000;    // nanoseconds of reading, and of looking, for one answer
    private static final int MAX_LOOKING = 8;            // at once; the other HTTP threads stay free
    private static final int MAX_INDEXES = 4;            // of batches that somebody looks at

    /** Which batch is looked at, and which of its files are kept. */
    private record Viewed(String id, Path input, Path output, Path errors) {
    }

    private final Permits looking = new Permits(MAX_LOOKING);
    private final Map<Viewed, RowIndex> indexes = new LinkedHashMap<>(16, .75f, true) {
        @Override protected boolean removeEldestEntry(Map.Entry<Viewed, RowIndex> eldest) {
            return size() > MAX_INDEXES;
        }
    };
    private final Runner runner;
    private final Engine engine;
    private final Store store;
    private final Script script;
    private final Listing listing;

    PageEndpoints(Runner runner, Engine engine, Store store, Manners dialect, Script script) {
        this.runner = runner;
        this.engine = engine;
        this.store = store;
        this.script = script;
        this.listing = new Listing(dialect, script);
    }

    /** Lists batches as the API does, but only those of some statuses and with a text in id, model or metadata. */
    void batches(Call call) {
        int limit = listing.limit(call, 20, 100);
        var asked = call.query("status", "");
        var statuses = asked.isEmpty() ? BatchObject.STATUSES : List.of(asked.split(","));
        var found = runner.list(statuses, call.query("text", ""), listing.after(call), limit + 1);
        var page = listing.page(found, limit, script::shown);
        store.statuses().forEach(page.putObject("statuses")::put);
        engines().forEach(page.putArray("engines")::add);
        call.send(page);
    }

    /** Returns how the engines are, if there are several, or something is wrong with the only one. */
    private Stream<ObjectNode> engines() {
        var all = engine.conditions();
        boolean isPlain = all.size() == 1 && all.get(0).state().equals(Engine.Condition.WELL);
        return isPlain ? Stream.of() : all.stream().map(Engine.Condition::json);
    }

    void batch(Call call) { call.send(script.shown(runner.find(call.id()))); }

    /** Lists requests of a batch, from a line of its input file on or, where {@code back} is 1, back from it. */
    void rows(Call call) throws IOException, InterruptedException {
        var outcome = call.query("outcome", "");
        if (!ROW_OUTCOMES.contains(outcome)) throw Refusal.unsupported("outcome", outcome, ROW_OUTCOMES);
        int from = line(call, "from", "1");
        int limit = (int) Parameters.integer("limit", call.query("limit", "25"), 1, 100);
        boolean back = call.query("back", "0").equals("1");
        call.send(looking.with(1, () ->
            new RowSearch(index(call.id()), outcome, call.query("text", "")).page(from, back, limit, PATIENCE)));
    }

    private static int line(Call call, String name, String otherwise) {
        return (int) Parameters.integer(name, call.query(name, otherwise), 1, 999_999_999);
    }

    /** Sends all of one row. */
    void row(Call call) throws IOException, InterruptedException {
        int line = line(call, "line", null);
        call.send(looking.with(1, () -> new RowSearch(index(call.id()), "", "").whole(line, PATIENCE)));
    }

    private RowIndex index(String id) {
        var batch = runner.find(id);
        boolean isOver = BatchObject.OVER.contains(batch.get("status").textValue());
        var viewed = new Viewed(id, kept(batch, "input", true), kept(batch, "output", isOver),
            kept(batch, "error", isOver));
        synchronized (indexes) {
            return indexes.computeIfAbsent(viewed, files -> new RowIndex(files.input, files.output, files.errors));
        }
    }

    /** Returns a file of a batch, or null if it has none or that is deleted; one that grows is not listed yet. */
    private Path kept(ObjectNode batch, String kind, boolean isListed) {
        var id = isListed ? batch.get(kind + "_file_id").asText()
            : Store.resultFileId(batch.get("id").textValue(), kind);
        return isListed && store.find("file", id).isEmpty() ? null : store.file(id);
    }
}
