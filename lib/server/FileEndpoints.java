package sheaf.server;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.UUID;
import org.eclipse.jetty.http.HttpHeader;
import sheaf.server.Parameters.Listing;

/**
 * What clients do with files, whole or in parts: the requests of the Files and the Uploads API, each a method. It
 * checks what they ask, and knows no batch.
 *
 * @see <a href="https://platform.openai.com/docs/api-reference/files">Files API</a>
 * @see <a href="https://platform.openai.com/docs/api-reference/uploads">Uploads API</a>
 */
final class FileEndpoints {
    private static final List<String> PURPOSES =
        List.of("assistants", "batch", "fine-tune", "vision", "user_data", "evals");
    private static final List<String> UPLOAD_PURPOSES = List.of("assistants", "batch", "fine-tune", "vision");

    private final Store store;
    private final Uploads uploads;
    private final AnnouncedFiles announced;
    private final Settings.Limits limits;
    private final Manners dialect;
    private final Script script;
    private final Metrics metrics;
    private final Listing listing;

    private interface Writer {
        void writeTo(Path path) throws IOException;
    }

    FileEndpoints(Store store, Settings.Limits limits, Script script, Metrics metrics) {
        this.store = store;
        this.uploads = new Uploads(store);
        this.announced = new AnnouncedFiles(store.incoming());
        this.limits = limits;
        this.dialect = limits.dialect();
        this.script = script;
        this.metrics = metrics;
        this.listing = new Listing(dialect, script);
    }

    void create(Call call) throws IOException {
        store.deleteExpiredFiles();
        try (var form = Form.read(call, store, limits.maxBytes(), tooLarge())) {
            var content = form.part("file");
            var purpose = purpose(form);
            if (dialect.wantsFileName() && form.field("file_name") == null) throw Refusal.missing("file_name");
            var seconds = form.seconds("expires_after", dialect.minExpiry());
            var name = Parameters.baseName(content.fileName());
            call.send(dialect.file(keep(Json.newId("file-"), content.content()::moveTo, name, purpose, seconds)));
        }
    }

    private Refusal tooLarge() {
        return new Refusal(413, "File is too large: at most " + limits.maxBytes() + " bytes.", "file", null);
    }

    private String purpose(Form form) throws IOException {
        var purpose = form.field("purpose");
        if (purpose == null) throw Refusal.missing("purpose");
        var purposes = PURPOSES.contains(dialect.purpose()) ? PURPOSES : List.of(dialect.purpose());
        if (!purposes.contains(purpose)) throw Refusal.unsupported("purpose", purpose, purposes);
        return purpose;
    }

    private ObjectNode keep(String id, Writer content, String name, String purpose, Long seconds) throws IOException {
        var path = store.file(id);
        try {
            content.writeTo(path);
            Validation.checkStart(path, purpose);
            store.force(path);
            var file = store.fileObject(id, Files.size(path), name, purpose, seconds);
            store.insertFile(file);
            script.noteUpload(id, store.millis());
            metrics.countUpload(file.get("bytes").longValue());
            return file;
        } catch (IOException | RuntimeException e) {
            Files.deleteIfExists(path);
            throw e;
        }
    }

    /** Answers where the content of a file is to be put, of which a form says only the name and the purpose. */
    void announce(Call call) throws IOException {
        try (var form = Form.read(call, store, limits.maxBytes(), tooLarge())) {
            var purpose = purpose(form);
            if (form.field("file_name") == null) throw Refusal.missing("file_name");
            var id = announced.announce(Parameters.baseName(form.field("file_name")), purpose);
            var uri = call.request().getHttpURI();
            var headers = call.response().getHeaders();
            headers.put("X-Together-File-Id", id);
            headers.put(HttpHeader.LOCATION,
                uri.getScheme() + "://" + uri.getAuthority() + dialect.prefix() + "/files/" + id + "/content");
            call.send(302, Json.object());
        }
    }

    void putContent(Call call) throws IOException {
        announced.find(call.id());
        if (call.request().getLength() > limits.maxBytes()) throw tooLarge();
        if (announced.put(call.id(), call.content(), limits.maxBytes()) > limits.maxBytes()) throw tooLarge();
        call.send(Json.object());
    }

    /** Makes a file of what was announced and put, or answers with it once more, for clients repeat their requests. */
    void preprocess(Call call) throws IOException {
        var earlier = store.find("file", call.id());
        if (earlier.isPresent()) {
            call.send(dialect.file(earlier.get()));
            return;
        }
        var file = announced.arrived(call.id());
        call.send(dialect.file(keep(file.id(), path -> Files.move(file.content(), path), file.name(), file.purpose(),
            null)));
    }

    void list(Call call) {
        var order = call.query("order", "desc");
        if (!List.of("asc", "desc").contains(order)) throw Refusal.unsupported("order", order, List.of("asc", "desc"));
        int limit = listing.limit(call, 10_000, 10_000);
        var purpose = call.query("purpose", "");
        var found = store.files(purpose.isEmpty() ? null : purpose, listing.after(call), order, limit + 1);
        call.send(dialect.files(listing.page(found.stream().filter(this::isVisible).toList(), limit, dialect::file)));
    }

    void retrieve(Call call) { call.send(dialect.file(file(call.id()))); }

    /** Returns the file of this id, if clients can see it. */
    ObjectNode file(String id) {
        return store.find("file", id).filter(this::isVisible)
            .orElseThrow(() -> new Refusal(404, "No such File object: " + id, "id", null));
    }

    private boolean isVisible(ObjectNode file) { return script.isVisible(file, store.millis()); }

    void delete(Call call) {
        store.deleteFile(file(call.id()).get("id").textValue());
        call.send(Json.object().put("id", call.id()).put("object", "file").put("deleted", true));
    }

    void content(Call call) throws IOException {
        var file = file(call.id());
        var content = store.content(file.get("id").textValue());
        long bytes = file.get("bytes").longValue();
        long left = Files.exists(content) ? Files.size(content) : 0;
        if (left != bytes)
            throw new Refusal(500, "The file is damaged: it has " + left + " of " + bytes + " bytes.", null, null);
        call.response().getHeaders().put("Content-Disposition", Browsers.attachment(file.get("filename").asText()));
        call.sendFile(content);
    }

    void createUpload(Call call) throws IOException {
        var asked = call.object(call.body(Parameters.MAX_BODY));
        Parameters.requireStrings(asked, "filename", "purpose", "mime_type");
        var purpose = asked.get("purpose").textValue();
        if (!UPLOAD_PURPOSES.contains(purpose)) throw Refusal.unsupported("purpose", purpose, UPLOAD_PURPOSES);
        var name = Parameters.baseName(asked.get("filename").textValue());
        if (name.isEmpty()) throw Refusal.invalid("filename", "invalid_value", "Invalid 'filename': it names no file.");
        if (name.length() > Parameters.MAX_FIELD) throw Refusal.tooLong("filename", Parameters.MAX_FIELD);
        long bytes = bytes(asked, purpose.equals("batch") ? limits.maxBytes() : Uploads.MAX_BYTES);
        var seconds = Parameters.seconds(asked, "expires_after", dialect.minExpiry());
        call.send(uploads.create(name, bytes, purpose, seconds));
    }

    private static long bytes(ObjectNode asked, long most) {
        if (!asked.hasNonNull("bytes")) throw Refusal.missing("bytes");
        var bytes = asked.get("bytes");
        if (!bytes.isIntegralNumber()) throw Refusal.wrongType("bytes", "an integer", bytes);
        return Parameters.integer("bytes", bytes.asText(), 1, most);
    }

    void addPart(Call call) throws IOException {
        long room = uploads.room(call.id());
        if (room == 0 || call.request().getLength() > room + Parameters.MAX_BODY)
            throw Uploads.tooLarge(Math.min(room, Uploads.MAX_PART));
        try (var form = Form.read(call, store, Uploads.MAX_PART, Uploads.tooLarge(Uploads.MAX_PART))) {
            var part = form.part("data");
            call.send(uploads.add(call.id(), part.content()));
            metrics.countUpload(part.content().length());
        }
    }

    void completeUpload(Call call) throws IOException {
        var body = call.body(Parameters.MAX_BODY);
        var asked = call.object(body);
        var digest = UUID.nameUUIDFromBytes(body).toString();
        call.send(uploads.complete(call.id(), partIds(asked.path("part_ids")), md5(asked.path("md5")), digest));
    }

    /** Returns the ids of the parts in the order in which they are to be joined. */
    private static Set<String> partIds(JsonNode partIds) {
        if (Json.isAbsent(partIds)) throw Refusal.missing("part_ids");
        if (!partIds.isArray()) throw Refusal.wrongType("part_ids", "an array of strings", partIds);
        var ids = new LinkedHashSet<String>();
        for (var id : partIds) {
            Parameters.requireString("part_ids[" + ids.size() + "]", id);
            if (!ids.add(id.textValue()))
                throw Refusal.invalid("part_ids[" + ids.size() + "]", "invalid_value",
                    "Part '" + id.textValue() + "' is listed twice.");
        }
        return ids;
    }

    /** Returns an MD5 checksum in lower-case hexadecimal digits, or null if none was given. */
    private static String md5(JsonNode md5) {
        if (Json.isAbsent(md5)) return null;
        Parameters.requireString("md5", md5);
        if (!md5.textValue().matches("[0-9a-fA-F]{32}"))
            throw Refusal.invalid("md5", "invalid_value", "Invalid 'md5': expected 32 hexadecimal digits.");
        return md5.textValue().toLowerCase(Locale.ROOT);
    }

    void cancelUpload(Call call) throws IOException { call.send(uploads.cancel(call.id())); }
}
