package sheaf.server;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;

/**
 * Files and batches on disk, and the clock by which they expire. The content of a file lies under its id in a folder; a
 * SQLite table has one row for each file and batch, with the object that clients see. The row of a deleted file stays,
 * empty, so that a list can go on after it. The store knows nothing of how a batch runs.
 */
final class Store {
    static final long BATCH_FILE_SECONDS = Duration.ofDays(30).toSeconds();   // as at OpenAI
    static final long MEMORY_SECONDS = Duration.ofDays(1).toSeconds();        // of idempotency keys and past uploads
    static final Duration FULL_DISK_PAUSE = Duration.ofSeconds(1);            // before it is tried again
    private static final Duration SILENCE = Duration.ofMinutes(1);            // between two complaints about it
    private static final String SCHEMA = """
        CREATE TABLE IF NOT EXISTS resource (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            kind TEXT NOT NULL,      -- file, batch, deleted
            label TEXT NOT NULL,     -- the purpose of a file, the status of a batch
            gone_at INTEGER,         -- when a file expires
            json TEXT NOT NULL)""";
    private static final String INTENTS =
        "CREATE TABLE IF NOT EXISTS intent (key TEXT PRIMARY KEY, digest TEXT NOT NULL, batch TEXT NOT NULL)";
    private static final String FACTS =
        "CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, value TEXT NOT NULL)";
    private static final String UNFINISHED =
        "kind = 'batch' AND label NOT IN ('" + String.join("', '", BatchObject.OVER) + "')";

    /** A batch that was created under an idempotency key, and the digest of the request for it. */
    record Intent(String digest, String batch) {
        /** Returns the id of the batch, if it was asked for by the same request. */
        String batchAskedBy(String digest) {
            if (!this.digest.equals(digest))
                throw new Refusal(409, "This Idempotency-Key was used with another request body.", null,
                    "idempotency_key_reused");
            return batch;
        }
    }

    final Database database;             // other rooms have tables of their own in it
    final String id;                     // made once, and part of the store from then on
    private final HeldFolder held;
    private final Path folder;
    private final AtomicLong ahead = new AtomicLong();   // milliseconds that a test has put the clock forward
    private long silentUntil = System.nanoTime();        // no complaint before that
    private volatile Consumer<ObjectNode> updated = batch -> { };   // hears of each state of a batch
    private final Map<String, Integer> statuses = new TreeMap<>();  // how many batches have each, guarded by itself

    private Store(HeldFolder held) throws IOException {
        this.held = held;
        this.folder = held.path;
        Files.createDirectories(folder.resolve("files"));
        HeldFolder.deleteTree(incoming());
        Files.createDirectories(incoming());
        this.database = new Database(folder.resolve("state.db"), !held.isTemporary);
        database.execute(SCHEMA);
        database.execute(INTENTS);
        database.execute(FACTS);
        database.execute("INSERT OR IGNORE INTO fact VALUES ('store', ?)", Json.newId(""));
        this.id = recall("store").orElseThrow();
        deleteExpiredFiles();
        deleteUnknownFiles();
        database.execute("DELETE FROM intent WHERE batch IN (SELECT id FROM resource WHERE kind = 'batch'"
            + " AND json_extract(json, '$.created_at') < ?)", now() - MEMORY_SECONDS);
        database.select("SELECT label, count(*) FROM resource WHERE kind = 'batch' GROUP BY label",
            row -> statuses.put(row.getString(1), row.getInt(2)));
    }

    /** Opens the store in a folder, or returns nothing if another server holds it. */
    static Optional<Store> open(Path folder) { return HeldFolder.open(folder).map(Store::in); }

    static Store temporary() { return in(HeldFolder.temporary()); }

    private static Store in(HeldFolder held) {
        try {
            return new Store(held);
        } catch (IOException e) {
            held.close();
            throw HeldFolder.unusable(e);
        } catch (RuntimeException e) {
            held.close();
            throw e;
        }
    }

    /** Lets a listener see each state of a batch, in the transaction that stores it. */
    void onUpdate(Consumer<ObjectNode> listener) { updated = listener; }

    /** Says where the server listens to other processes that want this store. */
    String announce(String url) { return held.announce(url); }

    /** Puts the clock forward, as a test wants it. */
    void advance(Duration time) { ahead.addAndGet(time.toMillis()); }

    /** Returns a folder of this name in the store, for a room that keeps files of its own. */
    Path folder(String name) { return folder.resolve(name); }

    long millis() { return System.currentTimeMillis() + ahead.get(); }

    long now() { return millis() / 1000; }

    private String unexpired() { return "(gone_at IS NULL OR gone_at > " + now() + ")"; }

    /** Returns the folder to which forms are read. */
    Path incoming() { return folder.resolve("uploads"); }

    Path file(String id) { return folder.resolve("files").resolve(id); }

    /** Returns the file of what clients see in place of a record of what ran, where the two differ. */
    static Path shown(Path record) { return record.resolveSibling(record.getFileName() + ".shown"); }

    /** Returns the file of what clients see under an id. */
    Path content(String id) { return Files.exists(shown(file(id))) ? shown(file(id)) : file(id); }

    void deleteContent(String id) throws IOException {
        Files.deleteIfExists(shown(file(id)));
        Files.deleteIfExists(file(id));
    }

    void force(Path file) throws IOException {
        if (held.isTemporary) return;
        try (var open = FileChannel.open(file, StandardOpenOption.WRITE)) {
            force(open);
        }
    }

    /** Brings a file and its name to the disk, so that even a power cut cannot take them away again. */
    void force(FileChannel file) throws IOException {
        if (held.isTemporary) return;
        file.force(false);
        try (var names = FileChannel.open(folder.resolve("files"))) {
            names.force(true);
        } catch (AccessDeniedException onWindows) {
            // Windows opens no folder, and needs none of this
        }
    }

    /** Brings to the disk what a file holds so far, but not its name. */
    void forceContent(FileChannel file) throws IOException {
        if (!held.isTemporary) file.force(false);
    }

    /** Says on stderr, once a minute at most, why batches do not go on. */
    synchronized void complain(Exception e) {
        if (System.nanoTime() - silentUntil < 0) return;
        silentUntil = System.nanoTime() + SILENCE.toNanos();
        Throwable root = e;
        while (root.getCause() != null)
            root = root.getCause();
        System.err.println("store: " + folder + " cannot be used (" + root.getMessage()
            + "); make room, and its batches go on by themselves");
    }

    /** Returns the object of a new file; a client may have asked that it expire after so many seconds, or null. */
    ObjectNode fileObject(String id, long bytes, String name, String purpose, Long asked) {
        long created = now();
        var seconds = asked == null && Dialects.isBatch(purpose) ? Long.valueOf(BATCH_FILE_SECONDS) : asked;
        var file = Json.object().put("id", id).put("object", "file").put("bytes", bytes).put("created_at", created);
        if (seconds != null) file.put("expires_at", created + seconds);
        return file.put("filename", name).put("purpose", purpose).put("status", "processed");
    }

    void insertFile(ObjectNode file) {
        var expiry = file.path("expires_at");
        database.execute("INSERT OR REPLACE INTO resource (id, kind, label, gone_at, json) VALUES (?, 'file', ?, ?, ?)",
            file.get("id").textValue(), file.get("purpose").textValue(),
            expiry.isNumber() ? expiry.longValue() : null, file.toString());
    }

    void insertBatch(ObjectNode batch, String key, String digest) {
        database.atomically(() -> {
            database.execute("INSERT INTO resource (id, kind, label, json) VALUES (?, 'batch', ?, ?)",
                batch.get("id").textValue(), batch.get("status").textValue(), batch.toString());
            if (key != null)
                database.execute("INSERT INTO intent VALUES (?, ?, ?)", key, digest, batch.get("id").textValue());
        });
        count(batch, 1);
    }

    private void count(ObjectNode batch, int more) {
        synchronized (statuses) {
            statuses.merge(batch.get("status").textValue(), more, Integer::sum);
        }
    }

    /** Returns how many batches have each status, without a look at them. */
    Map<String, Integer> statuses() {
        synchronized (statuses) {
            return Map.copyOf(statuses);
        }
    }

    void updateBatch(ObjectNode batch, List<ObjectNode> files) {
        var before = find("batch", batch.get("id").textValue());
        database.atomically(() -> {
            files.forEach(this::insertFile);
            database.execute("UPDATE resource SET label = ?, json = ? WHERE id = ?",
                batch.get("status").textValue(), batch.toString(), batch.get("id").textValue());
            updated.accept(batch);
        });
        before.ifPresent(earlier -> count(earlier, -1));
        count(batch, 1);
    }

    Optional<ObjectNode> find(String kind, String id) {
        return database.objects("SELECT json FROM resource WHERE kind = ? AND id = ? AND " + unexpired(), kind, id)
            .stream().findFirst();
    }

    List<ObjectNode> files(String purpose, String after, String order, int limit) {
        return database.objects("SELECT json FROM resource WHERE kind = 'file' AND label = coalesce(?, label) AND "
            + unexpired() + after(after, order) + " LIMIT ?", purpose, limit);
    }

    /** Returns batches, the newest first, that have one of these statuses and this text in id, model or metadata. */
    List<ObjectNode> batches(List<String> statuses, String text, String after, int limit) {
        return database.objects("SELECT json FROM resource WHERE kind = 'batch' AND instr(?, label || ',') > 0"
            + " AND instr(lower(id || ' ' || coalesce(json_extract(json, '$.model'), '') || ' '"
            + " || coalesce(json_extract(json, '$.metadata'), '')), lower(?)) > 0" + after(after, "desc") + " LIMIT ?",
            String.join(",", statuses) + ",", text, limit);
    }

    /** Returns whether files and batches can be kept at the moment: a read-only or full disk keeps none. */
    boolean isUsable() {
        try {
            recall("store");
            var probe = Files.createTempFile(incoming(), "probe", "");
            Files.delete(Files.write(probe, new byte[1]));
            return true;
        } catch (IOException | UncheckedIOException e) {
            return false;
        }
    }

    List<ObjectNode> unfinishedBatches() {
        return database.objects("SELECT json FROM resource WHERE " + UNFINISHED + " ORDER BY seq");
    }

    /** Returns the end of a query for what comes after the resource of an id, or for all if that is null. */
    private String after(String after, String order) {
        var ordered = " ORDER BY seq " + order;
        if (after == null) return ordered;
        return " AND seq " + (order.equals("asc") ? "> " : "< ") + positionOf(after) + ordered;
    }

    private long positionOf(String id) {
        return database.select("SELECT seq FROM resource WHERE id = ?", row -> row.getLong(1), id).stream().findFirst()
            .orElseThrow(() ->
                Refusal.invalid("after", "invalid_value", "Invalid 'after': no such id '" + id + "'."));
    }

    Optional<Intent> intent(String key) {
        return database.select("SELECT digest, batch FROM intent WHERE key = ?",
            row -> new Intent(row.getString(1), row.getString(2)), key).stream().findFirst();
    }

    /** Returns what was last remembered under a name. */
    Optional<String> recall(String name) {
        return database.select("SELECT value FROM fact WHERE name = ?", row -> row.getString(1), name).stream()
            .findFirst();
    }

    void remember(String name, String value) {
        database.execute("INSERT OR REPLACE INTO fact VALUES (?, ?)", name, value);
    }

    void deleteFile(String id) {
        database.execute("UPDATE resource SET kind = 'deleted', json = '' WHERE id = ?", id);
        deleteUnused(id);
    }

    /** Deletes the content of a deleted file, unless a batch that is under way still reads it. */
    void deleteUnused(String id) {
        boolean unused = !database.select("SELECT 1 FROM resource WHERE id = ? AND kind = 'deleted' AND NOT EXISTS"
            + " (SELECT 1 FROM resource WHERE " + UNFINISHED + " AND json_extract(json, '$.input_file_id') = ?)",
            row -> true, id, id).isEmpty();
        try {
            if (unused) deleteContent(id);
        } catch (IOException e) {
            throw HeldFolder.unusable(e);
        }
    }

    void deleteExpiredFiles() {
        database.select("SELECT id FROM resource WHERE kind = 'file' AND NOT " + unexpired(), row -> row.getString(1))
            .forEach(this::deleteFile);
    }

    /** Deletes the content that a crash left without a row, unless an unfinished batch reads or writes it. */
    private void deleteUnknownFiles() throws IOException {
        var known =
            new HashSet<>(database.select("SELECT id FROM resource WHERE kind = 'file'", row -> row.getString(1)));
        for (var batch : unfinishedBatches())
            known.addAll(filesOf(batch));
        try (var all = Files.newDirectoryStream(folder.resolve("files"), Store::isOurs)) {
            for (var file : all)
                if (!known.contains(file.getFileName().toString().replaceFirst("\\.shown$", ""))) Files.delete(file);
        }
    }

    /** Returns the names of the files that a batch needs until it is over. */
    private static List<String> filesOf(ObjectNode batch) {
        var id = batch.get("id").textValue();
        return List.of(batch.get("input_file_id").textValue(), resultFileId(id, "output"), resultFileId(id, "error"));
    }

    /** Returns the id of the output or error file of a batch. */
    static String resultFileId(String batchId, String kind) {
        if (batchId.startsWith("batch_")) return batchId.replaceFirst("batch_", "file-" + kind + "-");
        return batchId + "-" + kind;
    }

    private static boolean isOurs(Path file) {
        return file.getFileName().toString()
            .matches("(file-(output-|error-)?[0-9a-f]{32}|[0-9a-f]{24}-(output|error))(\\.shown)?");
    }

    void close() {
        try (held; database) {
            held.withdraw();
        }
    }
}
