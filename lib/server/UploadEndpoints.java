package sheaf.server;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.UUID;

/**
 * What clients do with uploads, which are files that come in parts: the requests of the Uploads API, each a method. It
 * checks what they ask, and knows nothing of how parts are kept.
 */
final class UploadEndpoints {
    private static final List<String> PURPOSES = List.of("assistants", "batch", "fine-tune", "vision");

    private final Uploads uploads;
    private final Path folder;               // where a part is read to
    private final Settings.Limits limits;

    UploadEndpoints(Store store, Settings.Limits limits) {
        this.uploads = new Uploads(store);
        this.folder = store.uploads();
        this.limits = limits;
    }

    void create(Call call) throws IOException {
        var asked = call.object(call.body(Parameters.MAX_BODY));
        Parameters.requireStrings(asked, "filename", "purpose", "mime_type");
        var purpose = asked.get("purpose").textValue();
        if (!PURPOSES.contains(purpose)) throw Refusal.unsupported("purpose", purpose, PURPOSES);
        var name = Parameters.baseName(asked.get("filename").textValue());
        if (name.isEmpty()) throw Refusal.invalid("filename", "invalid_value", "Invalid 'filename': it names no file.");
        if (name.length() > Parameters.MAX_FIELD) throw Refusal.tooLong("filename", Parameters.MAX_FIELD);
        long bytes = bytes(asked, purpose.equals("batch") ? limits.maxBytes() : Uploads.MAX_BYTES);
        var seconds = Parameters.seconds(asked, "expires_after", limits.dialect().minExpiry());
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
        try (var form = Form.read(call, folder, Uploads.MAX_PART, Uploads.tooLarge(Uploads.MAX_PART))) {
            call.send(uploads.add(call.id(), form.part("data")));
        }
    }

    void complete(Call call) throws IOException {
        var body = call.body(Parameters.MAX_BODY);
        var asked = call.object(body);
        var digest = UUID.nameUUIDFromBytes(body).toString();
        call.send(uploads.complete(call.id(), partIds(asked.path("part_ids")), md5(asked.path("md5")), digest));
    }

    private static Set<String> partIds(JsonNode partIds) {
        if (partIds.isMissingNode() || partIds.isNull()) throw Refusal.missing("part_ids");
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
        if (md5.isMissingNode() || md5.isNull()) return null;
        Parameters.requireString("md5", md5);
        if (!md5.textValue().matches("[0-9a-fA-F]{32}"))
            throw Refusal.invalid("md5", "invalid_value", "Invalid 'md5': expected 32 hexadecimal digits.");
        return md5.textValue().toLowerCase(Locale.ROOT);
    }

    void cancel(Call call) throws IOException { call.send(uploads.cancel(call.id())); }
}
