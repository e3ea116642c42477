package sheaf.server;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.security.DigestOutputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Duration;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Collectors;

/**
 * Uploads, and their parts on disk. A part is there once the database has it; a file in the folder of parts that the
 * database lacks was never finished, and is deleted at the next start. One request at a time completes or ends an
 * upload; several may add parts at once. They know nothing of how a client says what it wants.
 *
 * @see <a href="https://platform.openai.com/docs/api-reference/uploads">Uploads API</a>
 */
final class Uploads {
    static final long MAX_BYTES = 8L * 1024 * 1024 * 1024;   // as at OpenAI
    static final long MAX_PART = 64L * 1024 * 1024;          // bytes, as at OpenAI
    private static final long LIFETIME = Duration.ofHours(1).toSeconds();   // as at OpenAI
    private static final int MAX_PARTS = 10_000;
    private static final int MAX_PENDING = 256;
    private static final String UPLOADS = """
        CREATE TABLE IF NOT EXISTS upload (
            id TEXT PRIMARY KEY,
            status TEXT NOT NULL,
            expires_at INTEGER NOT NULL,
            file_seconds INTEGER,    -- what expires_after gives the file
            completion TEXT,         -- the digest of the request that completed it
            json TEXT NOT NULL)""";
    private static final String PARTS = "CREATE TABLE IF NOT EXISTS upload_part"
        + " (id TEXT PRIMARY KEY, upload TEXT NOT NULL, bytes INTEGER NOT NULL)";
    private static final List<String> INDEXES = List.of(
        "CREATE INDEX IF NOT EXISTS upload_status ON upload (status, expires_at)",
        "CREATE INDEX IF NOT EXISTS parts_of_upload ON upload_part (upload)");

    private record Upload(ObjectNode json, Long fileSeconds, String completion) {
        private static Upload read(ResultSet row) throws SQLException, IOException {
            long seconds = row.getLong("file_seconds");
            var fileSeconds = row.wasNull() ? null : seconds;   // wasNull speaks of the column read last
            return new Upload((ObjectNode) Json.MAPPER.readTree(row.getString("json")), fileSeconds,
                row.getString("completion"));
        }

        private String id() { return json.get("id").textValue(); }

        private String purpose() { return json.get("purpose").textValue(); }

        private long bytes() { return json.get("bytes").longValue(); }

        private String status(long now) {
            var status = json.get("status").textValue();
            return status.equals("pending") && now >= json.get("expires_at").longValue() ? "expired" : status;
        }

        /** Returns the id of its file, which follows from its own, so that what a crash leaves can be found. */
        private String fileId() { return id().replaceFirst("upload_", "file-"); }
    }

    private final Set<String> claimed = ConcurrentHashMap.newKeySet();   // ids of those being completed or ended
    private final Store store;
    private final Database database;
    private final Path folder;       // of parts

    Uploads(Store store) {
        this.store = store;
        this.database = store.database;
        this.folder = store.folder("parts");
        database.execute(UPLOADS);
        database.execute(PARTS);
        INDEXES.forEach(database::execute);
        database.execute("DELETE FROM upload WHERE status <> 'pending' AND expires_at < ?",
            store.now() - Store.MEMORY_SECONDS);
        try {
            Files.createDirectories(folder);
            endOverdue();
            deleteUnrecorded();
        } catch (IOException e) {
            throw HeldFolder.unusable(e);
        }
    }

    private void deleteUnrecorded() throws IOException {
        var recorded = Set.copyOf(database.select("SELECT id FROM upload_part", row -> row.getString(1)));
        try (var parts = Files.newDirectoryStream(folder)) {
            for (var part : parts)
                if (!recorded.contains(part.getFileName().toString())) Files.delete(part);
        }
        for (var pending : select("status = 'pending'"))
            Files.deleteIfExists(store.file(pending.fileId()));   // put together, but not recorded
    }

    private List<Upload> select(String condition, Object... values) {
        return database.select("SELECT file_seconds, completion, json FROM upload WHERE " + condition, Upload::read,
            values);
    }

    synchronized ObjectNode create(String name, long bytes, String purpose, Long fileSeconds) throws IOException {
        endOverdue();
        if (select("status = 'pending'").size() >= MAX_PENDING)
            throw Refusal.busy("Too many pending uploads: at most " + MAX_PENDING + ".");
        long expires = store.now() + LIFETIME;
        var upload = Json.object().put("id", Json.newId("upload_")).put("object", "upload").put("bytes", bytes)
            .put("created_at", expires - LIFETIME).put("filename", name).put("purpose", purpose)
            .put("status", "pending").put("expires_at", expires).putNull("file");
        database.execute("INSERT INTO upload VALUES (?, 'pending', ?, ?, NULL, ?)", upload.get("id").textValue(),
            expires, fileSeconds, upload.toString());
        return upload;
    }

    private Upload find(String id) {
        return select("id = ?", id).stream().findFirst()
            .orElseThrow(() -> new Refusal(404, "No such Upload object: " + id, "upload_id", null));
    }

    private Upload pending(String id, String act) {
        var upload = find(id);
        if (!upload.status(store.now()).equals("pending"))
            throw Refusal.invalid("upload_id", null, "Cannot " + act + " an upload with status '"
                + upload.status(store.now()) + "'.");
        return upload;
    }

    /** Returns how many bytes an upload still takes. */
    long room(String id) throws IOException {
        endOverdue();
        long declared = pending(id, "add a part to").bytes();
        var parts = parts(id);
        if (parts.size() >= MAX_PARTS)
            throw Refusal.invalid("upload_id", null, "Too many parts: an upload has at most " + MAX_PARTS + ".");
        return declared - parts.values().stream().mapToLong(Long::longValue).sum();
    }

    private Map<String, Long> parts(String upload) {
        return database.select("SELECT id, bytes FROM upload_part WHERE upload = ?",
                row -> Map.entry(row.getString(1), row.getLong(2)), upload)
            .stream().collect(Collectors.toMap(Map.Entry::getKey, Map.Entry::getValue));
    }

    static Refusal tooLarge(long most) {
        var limit = most == MAX_PART ? "at most " + MAX_PART + " bytes."
            : "the upload takes " + most + " more bytes.";
        return new Refusal(413, "Part is too large: " + limit, "data", null);
    }

    ObjectNode add(String upload, Arrival data) throws IOException {
        var id = Json.newId("part_");
        var path = folder.resolve(id);
        try {
            data.moveTo(path);
            store.force(path);
            record(id, upload, Files.size(path));
        } catch (IOException | RuntimeException e) {
            Files.deleteIfExists(path);
            throw e;
        }
        return Json.object().put("id", id).put("object", "upload.part").put("created_at", store.now())
            .put("upload_id", upload);
    }

    /** Records a part if it still fits, because other parts may have come, or the upload ended, while it was read. */
    private synchronized void record(String id, String upload, long bytes) throws IOException {
        long room = room(upload);
        if (bytes > room) throw tooLarge(room);
        if (bytes == 0) throw Refusal.invalid("data", "invalid_value", "Invalid 'data': the part is empty.");
        database.execute("INSERT INTO upload_part VALUES (?, ?, ?)", id, upload, bytes);
    }

    /**
     * Makes the file of an upload. The same request has the same answer once more, because a client that did not hear
     * the first answer repeats its request by itself.
     */
    ObjectNode complete(String id, Set<String> partIds, String md5, String digest) throws IOException {
        claim(id);
        try {
            var upload = find(id);
            if (digest.equals(upload.completion)) return upload.json;
            pending(id, "complete");
            checkParts(upload, partIds);
            return complete(upload, partIds, md5, digest);
        } finally {
            claimed.remove(id);
        }
    }

    private void claim(String id) {
        if (!claimed.add(id))
            throw new Refusal(409, "Upload '" + id + "' is being completed or cancelled.", "upload_id", null);
    }

    private void checkParts(Upload upload, Set<String> partIds) {
        var parts = parts(upload.id());
        long bytes = 0;
        int index = 0;
        for (var id : partIds) {
            if (!parts.containsKey(id))
                throw Refusal.invalid("part_ids[" + index + "]", "invalid_value",
                    "No such part of this upload: '" + id + "'.");
            bytes += parts.get(id);
            index++;
        }
        if (bytes != upload.bytes())
            throw Refusal.invalid("part_ids", "invalid_value", "The parts have " + bytes
                + " bytes, but the upload was created for " + upload.bytes() + ".");
    }

    private ObjectNode complete(Upload upload, Set<String> partIds, String md5, String digest) throws IOException {
        var whole = store.incoming().resolve(upload.fileId());
        try {
            join(partIds, whole);
            if (md5 != null && !md5.equals(md5(whole)))
                throw Refusal.invalid("md5", "invalid_value", "The parts have another MD5 checksum than '"
                    + md5 + "'.");
            Validation.checkStart(whole, upload.purpose());
            return publish(upload, whole, digest);
        } finally {
            Files.deleteIfExists(whole);
        }
    }

    private void join(Set<String> partIds, Path whole) throws IOException {
        try (var out = FileChannel.open(whole, StandardOpenOption.CREATE,
            StandardOpenOption.TRUNCATE_EXISTING, StandardOpenOption.WRITE)) {
            for (var id : partIds)
                append(folder.resolve(id), out);
            store.force(out);
        }
    }

    private static void append(Path part, FileChannel out) throws IOException {
        try (var in = FileChannel.open(part)) {
            for (long done = 0; done < in.size(); )
                done += in.transferTo(done, in.size() - done, out);
        }
    }

    private static String md5(Path path) throws IOException {
        try {
            var digest = MessageDigest.getInstance("MD5");
            Files.copy(path, new DigestOutputStream(OutputStream.nullOutputStream(), digest));
            return HexFormat.of().formatHex(digest.digest());
        } catch (NoSuchAlgorithmException impossible) {   // every Java platform has MD5
            throw new AssertionError(impossible);
        }
    }

    /** Completes an upload with its file; a crash leaves a pending upload without a file, or both complete. */
    private synchronized ObjectNode publish(Upload upload, Path whole, String digest) throws IOException {
        var file = store.fileObject(upload.fileId(), Files.size(whole),
            upload.json.get("filename").textValue(), upload.purpose(), upload.fileSeconds);
        upload.json.put("status", "completed").set("file", file);
        Files.move(whole, store.file(upload.fileId()), StandardCopyOption.ATOMIC_MOVE);
        store.force(store.file(upload.fileId()));    // its new name too
        forgetParts(upload.id(), () -> {
            store.insertFile(file);
            database.execute("UPDATE upload SET status = 'completed', completion = ?, json = ? WHERE id = ?", digest,
                upload.json.toString(), upload.id());
        });
        return upload.json;
    }

    /** Forgets the parts of an upload in one transaction with its new status, and then deletes them. */
    private void forgetParts(String upload, Runnable newStatus) throws IOException {
        var parts = parts(upload).keySet();
        database.atomically(() -> {
            newStatus.run();
            database.execute("DELETE FROM upload_part WHERE upload = ?", upload);
        });
        for (var id : parts)
            Files.deleteIfExists(folder.resolve(id));
    }

    ObjectNode cancel(String id) throws IOException {
        claim(id);
        try {
            var upload = find(id);
            if (upload.status(store.now()).equals("cancelled")) return upload.json;
            return end(pending(id, "cancel"), "cancelled");
        } finally {
            claimed.remove(id);
        }
    }

    private synchronized ObjectNode end(Upload upload, String status) throws IOException {
        upload.json.put("status", status);
        forgetParts(upload.id(), () -> database.execute("UPDATE upload SET status = ?, json = ? WHERE id = ?", status,
            upload.json.toString(), upload.id()));
        Files.deleteIfExists(store.file(upload.fileId()));
        return upload.json;
    }

    private synchronized void endOverdue() throws IOException {
        for (var upload : select("status = 'pending' AND expires_at <= ?", store.now()))
            if (claimed.add(upload.id()))
                try {
                    end(upload, "expired");
                } finally {
                    claimed.remove(upload.id());
                }
    }
}
