package sheaf;

import static sheaf.Messages.cannot;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.LongBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.function.Supplier;
import sheaf.Templates.Text;

/** The requests of a batch in their order, as they were sent, and what stays here of each: row, id, template, model. */
final class SentRequests {
    /** Stands in the index for the part of a request that was answered before, and is not sent. */
    static final int REUSED = -1;
    /** The field of an answer that was taken over which says what it answered first. */
    static final String SOURCE = "sheaf_from";
    /** And the folder of the batch that was paid for it, if it is another than that. */
    static final String PAID_IN = "sheaf_paid_in";
    private static final byte[] NO_ROW = {};
    private static final String OWN_ID = "{\"custom_id\":\"" + Requests.ID;
    private final Path dir;
    private final Manifest manifest;
    private LineIndex lines;                               // opened when first needed
    private LineIndex rows;                                // likewise
    private LongBuffer hashes;                             // likewise
    private LongBuffer firsts;                             // likewise, where repeats are sent once
    private Map<Long, String> repeatIds;                   // likewise, where ids are a file's own
    private Text customId;                                 // likewise
    private final Row.Columns columns;                     // that most rows have

    SentRequests(Path dir, Manifest manifest) {
        this.dir = dir;
        this.manifest = manifest;
        columns = Row.Columns.of(manifest.rowColumns());
    }

    static Path inputFile(Path dir, int part) { return dir.resolve("part-" + part + ".jsonl"); }

    static Path reusedFile(Path dir) { return dir.resolve("reused.jsonl"); }

    static Path index(Path dir) { return dir.resolve("requests.idx"); }

    private synchronized LineIndex lines() {
        if (lines == null) lines = new LineIndex(index(dir),
            part -> part == REUSED ? reusedFile(dir) : inputFile(dir, part + 1));
        return lines;
    }

    private synchronized LineIndex rows() {
        if (rows == null) rows = new LineIndex(dir.resolve(manifest.rowsFile() + ".idx"),
            any -> dir.resolve(manifest.rowsFile() + ".jsonl"));
        return rows;
    }

    long count() { return manifest.requests(); }

    /** Returns a request without its id: the same body is the same question. */
    static String body(String line) {
        int end = line.startsWith(OWN_ID) ? line.indexOf('"', OWN_ID.length()) : -1;
        if (end > 0 && line.startsWith("\",\"method\":", end)) return line.substring(end);
        return Json.lenient(line) instanceof ObjectNode object ? object.without("custom_id").toString() : line;
    }

    /** Returns a hash of a request's body. All are computed once, and then stand in a file beside the requests. */
    long hash(long index) {
        if (hashes == null) hashes = hashes();
        return hashes.get((int) index);
    }

    private LongBuffer hashes() {
        var file = dir.resolve("hashes.idx");
        if (!Files.exists(file)) AtomicFiles.stream("submit", file, out -> {
            var data = new DataOutputStream(out);
            for (long i = 0; i < count(); i++) data.writeLong(Json.Digest.hash(body(text(i))));
        });
        return numbers(file);
    }

    private static LongBuffer numbers(Path file) {
        try (var channel = FileChannel.open(file)) {
            return channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size()).asLongBuffer();
        } catch (IOException e) {
            throw cannot("journal", "read " + file, e);
        }
    }

    /** Holds the ids of the repeats whose ids are a file's own, by the number of the request, from 0. */
    static Path repeatIdsFile(Path dir) { return dir.resolve("repeats.jsonl"); }

    static Path repeatsFile(Path dir) { return dir.resolve("repeats.idx"); }

    /** Returns the request that was sent for this one too: it itself, unless it repeats one and those are sent once. */
    synchronized long first(long index) {
        if (manifest.repeats() == 0) return index;
        if (firsts == null) firsts = numbers(repeatsFile(dir));
        return firsts.get((int) index);
    }

    /** Whether its answer is that of one before it. */
    boolean isRepeat(long index) { return first(index) != index; }

    /** Returns a request's line; {@code index} counts from 0. */
    String text(long index) { return lines().text(index); }

    /** Returns the id in a request's line, which of a repeat is that of the first. */
    String idInLine(long index) {
        var line = lines().bytes(index).orElseThrow();
        var id = Json.field("custom_id", line, 0, line.length);
        return id == null ? "" : id;
    }

    JsonNode json(long index) { return Json.lenient(text(index)); }

    /** Returns what a request asks, without its id, how long the answer may be and what a repair has added. */
    JsonNode question(long index) {
        var body = json(index).path("body");
        Turns.takeBack(body, turns(index));
        return body instanceof ObjectNode fields ? fields.without(Requests.LIMITS) : body;
    }

    /** Returns how many messages repairs have added to a request. */
    int turns(long index) { return manifest.isResend() ? beside(index).path("turns").asInt() : 0; }

    /** Returns the number of the part that it is in, from 1; 0 if it was answered before. */
    int part(long index) { return lines().file(index) + 1; }

    boolean isReused(long index) { return lines().file(index) == REUSED; }

    /** Whether it stands in a part itself: it was not answered before, nor with one before it. */
    boolean isInAPart(long index) { return !isReused(index) && !isRepeat(index); }

    /** Returns what stands beside a request that was sent before: its row, its ids, its round. */
    private JsonNode beside(long index) { return Json.lenient(rows().text(index)); }

    Map<String, Object> row(long index) { return row(rowLine(index)); }

    /** Returns the line that a request's row stands in. */
    byte[] rowLine(long index) {
        if (manifest.isResend()) return rows().bytes(index).orElseThrow();
        if (!manifest.ownIds()) return lines().bytes(index).orElseThrow();
        return manifest.rows() == 0 ? NO_ROW : rows().bytes(index / manifest.requestsPerRow()).orElseThrow();
    }

    /** Reads a row from the line that it stands in. */
    Map<String, Object> row(byte[] line) {
        if (manifest.isResend()) return Json.row(Json.lenient(line).path("row"));
        if (!manifest.ownIds()) return Json.row(Json.lenient(line).path("body"));
        if (line == NO_ROW) return Map.of();
        return Row.read(columns, line).<Map<String, Object>>map(row -> row)
            .orElseGet(() -> Json.row(Json.lenient(line)));
    }

    /** Returns the user's id of a request; {@code row} is asked for only if the id is made from it. */
    String customId(long index, Supplier<Map<String, Object>> row) {
        if (manifest.isResend()) return beside(index).path("customId").asText();
        if (!manifest.ownIds()) return fileId(index);
        if (manifest.customId().isEmpty()) return Requests.ID + (index + 1);
        return customId().render("customId", index / manifest.requestsPerRow() + 1, row.get());
    }

    private synchronized Text customId() {
        if (customId == null) customId = Text.compiled("customId", manifest.customId());
        return customId;
    }

    /** Returns the id that a request had when it was first sent. */
    String firstId(long index) {
        if (manifest.isResend()) return beside(index).path("first").asText();
        return manifest.ownIds() ? Requests.ID + (index + 1) : fileId(index);
    }

    /** Returns the id that a file of requests gives; the line of a repeat is not here. */
    private String fileId(long index) {
        return isRepeat(index) ? repeatIds().getOrDefault(index, Requests.ID + (index + 1))
            : json(index).path("custom_id").asText();
    }

    private synchronized Map<Long, String> repeatIds() {
        if (repeatIds != null) return repeatIds;
        var ids = new HashMap<Long, String>();
        Json.eachLine(repeatIdsFile(dir), line ->
            ids.put(line.path("request").asLong(), line.path("custom_id").asText()));
        return repeatIds = ids;
    }

    /** Returns how often a request has been sent, this time included. */
    int round(long index) { return manifest.isResend() ? beside(index).path("round").asInt() : 1; }

    String template(long index) {
        if (manifest.isResend()) return beside(index).path("template").asText();
        if (manifest.templates().isEmpty()) return "";
        return manifest.templates().get((int) (index / manifest.modelsPerRow() % manifest.templates().size()));
    }

    String model(long index) {
        var models = manifest.models();
        return models.isEmpty() ? json(index).at("/body/model").asText() : models.get((int) (index % models.size()));
    }

    /** Finds the requests that stand in these lines of a part's input file, from 1. */
    Map<Long, Long> at(int part, Collection<Long> inputLines) {
        var wanted = new HashSet<>(inputLines);
        var found = new HashMap<Long, Long>();
        long line = 0;
        for (long i = 0; i < count() && found.size() < wanted.size(); i++)
            if (part(i) == part && !isRepeat(i) && wanted.contains(++line)) found.put(line, i);
        return found;
    }

    /** Finds the rows whose requests stand in these lines of a part's input file, both from 1. */
    Map<Long, Long> rowsAt(int part, Collection<Long> inputLines) {
        if (manifest.rows() == 0) return Map.of();
        var rows = at(part, inputLines);
        rows.replaceAll((line, request) -> request / manifest.requestsPerRow() + 1);
        return rows;
    }
}
