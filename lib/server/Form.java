package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.EOFException;
import java.nio.file.Path;
import java.util.Locale;
import org.eclipse.jetty.http.MultiPart;
import org.eclipse.jetty.http.MultiPartConfig;
import org.eclipse.jetty.http.MultiPartFormData;

/** A multipart form, read to disk as it comes. It knows neither what its parts are for nor where they go. */
final class Form implements AutoCloseable {
    private static final int MAX_PARTS = 16;

    private final MultiPartFormData.Parts parts;

    private Form(MultiPartFormData.Parts parts) { this.parts = parts; }

    /** Reads a form into a folder, and refuses one with more than {@code most} bytes in a part as {@code tooLarge}. */
    static Form read(Call call, Path folder, long most, Refusal tooLarge) {
        var type = call.header("Content-Type");
        if (type == null || !type.toLowerCase(Locale.ROOT).startsWith("multipart/form-data"))
            throw Refusal.invalid(null, null, "Invalid Content-Type header; expected multipart/form-data.");
        if (call.request().getLength() > most + Parameters.MAX_BODY) throw tooLarge;
        var config = new MultiPartConfig.Builder().location(folder).maxParts(MAX_PARTS)
            .maxMemoryPartSize(Parameters.MAX_FIELD).maxPartSize(most).maxSize(most + Parameters.MAX_BODY)
            .useFilesForPartsWithoutFileName(true).build();
        try {
            return new Form(MultiPartFormData.getParts(call.evenly(), call.request(), type, config));
        } catch (RuntimeException malformed) {   // Jetty has no narrower type for it
            throw malformed(malformed, tooLarge);
        }
    }

    private static Refusal malformed(RuntimeException e, Refusal tooLarge) {
        var cause = e.getCause() == null ? e : e.getCause();
        var why = String.valueOf(cause.getMessage());
        if (!(cause instanceof RuntimeException || cause instanceof EOFException))   // a full disk, or a stop
            return new Refusal(500, "The file could not be kept: " + why + ".", null, null);
        if (why.contains("exceeded")) return tooLarge;
        return Refusal.invalid(null, null, "Could not parse multipart form: " + why + ".");
    }

    /** Returns a part that must be there. */
    MultiPart.Part part(String name) {
        var part = parts.getFirst(name);
        if (part == null) throw Refusal.missing(name);
        return part;
    }

    /** Returns the text of a part, or null if there is none. */
    String field(String name) {
        var part = parts.getFirst(name);
        if (part != null && part.getLength() > Parameters.MAX_FIELD)
            throw Refusal.invalid(name, "invalid_value", "Value of '" + name + "' is too long.");
        return part == null ? null : part.getContentAsString(UTF_8);
    }

    @Override public void close() { parts.close(); }
}
