package sheaf.server;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.util.List;
import org.eclipse.jetty.http.MultiPart;

/** What clients do with files: the requests of the Files API, each a method. It knows no batch. */
final class FileEndpoints {
    private static final List<String> PURPOSES =
        List.of("assistants", "batch", "fine-tune", "vision", "user_data", "evals");

    private final Store store;
    private final Settings.Limits limits;
    private final Manners dialect;
    private final Script script;
    private final Listing listing;

    FileEndpoints(Store store, Settings.Limits limits, Script script) {
        this.store = store;
        this.limits = limits;
        this.dialect = limits.dialect();
        this.script = script;
        this.listing = new Listing(dialect, script);
    }

    void create(Call call) throws IOException {
        store.deleteExpiredFiles();
        try (var form = Form.read(call, store.uploads(), limits.maxBytes(), tooLarge())) {
            var content = form.part("file");
            var purpose = purpose(form);
            if (dialect.wantsFileName() && form.field("file_name") == null) throw Refusal.missing("file_name");
            var seconds = Parameters.seconds("expires_after", form.field("expires_after[anchor]"),
                form.field("expires_after[seconds]"), dialect.minExpiry());
            call.send(dialect.file(keep(content, purpose, seconds)));
        }
    }

    private Refusal tooLarge() {
        return new Refusal(413, "File is too large: at most " + limits.maxBytes() + " bytes.", "file", null);
    }

    private String purpose(Form form) {
        var purpose = form.field("purpose");
        if (purpose == null) throw Refusal.missing("purpose");
        var purposes = PURPOSES.contains(dialect.purpose()) ? PURPOSES : List.of(dialect.purpose());
        if (!purposes.contains(purpose)) throw Refusal.unsupported("purpose", purpose, purposes);
        return purpose;
    }

    private ObjectNode keep(MultiPart.Part content, String purpose, Long seconds) throws IOException {
        var id = Json.newId("file-");
        var path = store.file(id);
        try {
            content.writeTo(path);
            Validation.checkStart(path, purpose);
            store.force(path);
            var name = Parameters.baseName(content.getFileName());
            var file = store.fileObject(id, Files.size(path), name, purpose, seconds);
            store.insertFile(file);
            script.uploaded(id, store.millis());
            return file;
        } catch (IOException | RuntimeException e) {
            Files.deleteIfExists(path);
            throw e;
        }
    }

    void list(Call call) {
        var order = call.query("order", "desc");
        if (!List.of("asc", "desc").contains(order)) throw Refusal.unsupported("order", order, List.of("asc", "desc"));
        int limit = listing.limit(call, 10_000, 10_000);
        var found = store.files(call.query("purpose", null), listing.after(call), order, limit + 1);
        call.send(listing.page(found.stream().filter(this::isVisible).toList(), limit, dialect::file));
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
}
