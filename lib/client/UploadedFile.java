package sheaf;

import com.fasterxml.jackson.databind.JsonNode;
import java.time.Duration;
import java.util.Locale;
import java.util.Set;
import java.util.function.Consumer;
import java.util.function.Supplier;
import java.util.regex.Pattern;
import sheaf.Vocabulary.BatchException;

/**
 * An input file at its provider, which may be seen a little late there, or be looked through before a batch can be made
 * of it: waits until it is ready. Where the provider says otherwise, what it answers to a create counts.
 */
final class UploadedFile {
    /** The words for a file that has come and is not ready yet. */
    private static final Set<String> AT_WORK = Set.of("pending", "uploading", "processing", "validating", "in_progress",
        "queued", "running", "importing", "created");
    /** OpenAI's for a file that has come; some never say more. */
    private static final String UPLOADED = "uploaded";
    private static final Set<String> UNUSABLE = Set.of("error", "failed", "invalid", "rejected", "corrupted");
    private static final Set<Integer> OF_A_FILE = Set.of(400, 404, 422, 423, 425);
    private static final int CONFLICT = 409;
    private static final Set<String> FILE_FIELDS = Set.of("input_file_id", "file_id", "file", "input_file");
    private static final Pattern MISSING_CODE =
        Pattern.compile("(?i).*file.*not.?found|.*no.?such.?file|.*file.*missing");
    private static final Pattern EARLY_CODE = Pattern.compile("(?i).*file.?(status|state).*|.*not.?(ready|processed)"
        + "|.*(still|file).?processing|.*file.?pending|.*processing.?file");
    private static final Pattern MISSING =
        Pattern.compile("(?i)\\bfile\\b.*(not found|not exist|no such)|(not find|no such) (input )?file");
    private static final Pattern EARLY = Pattern.compile("(?i)\\bfiles?\\b.*(\\bnot\\b.* (ready|processed|state)"
        + "|\\bstill\\b|being processed|\\bprocessing\\b|\\bpending\\b)|(not|still|yet).*\\bfile\\b.*\\bprocess");
    /** What a 404 names that is no file. */
    private static final Pattern ANOTHER = Pattern.compile("(?i)model|deployment|route|endpoint|unknown.?url|method");
    private static final int LOOKS = 7;                       // for a file that is not seen, over some thirty seconds
    private final String id;
    private final BatchApi api;
    private final boolean saysNoMore;                         // the provider of a file, than that it was uploaded
    private final Consumer<String> note;
    private JsonNode file;                                    // as last described

    /**
     * @param file as the upload was answered
     * @param saysNoMore whether another file was waited for here that stayed "uploaded"
     */
    UploadedFile(JsonNode file, BatchApi api, boolean saysNoMore, Consumer<String> note) {
        this.file = file;
        this.id = file.isTextual() ? file.asText() : file.path("id").asText();
        this.api = api;
        this.saysNoMore = saysNoMore;
        this.note = note;
    }

    /** Whether it is said to be uploaded, and nothing more. */
    boolean isUploaded() { return status(file).equals(UPLOADED); }

    private boolean isLocal() { return api.connection().isLocal(); }

    /** Makes a batch of it. A refusal for a file that is not ready makes none, so the same is sent again. */
    JsonNode whenReady(Supplier<JsonNode> create) {
        var retry = Retry.ofLooks(isLocal());
        long start = System.nanoTime();
        for (int look = 1; ; look++) {
            try {
                return create.get();
            } catch (BatchException e) {
                boolean isEarly = isWithin(Retry.longestCheck(isLocal()), start) && isForTheFile(e);
                if (!isEarly && (!isMissing(e) || look >= LOOKS)) throw e;
                if (isEarly && look == 1) sayWaiting(e.code().isEmpty() ? "not ready" : e.code());
                retry.pause("submit", e);
            }
        }
    }

    /** Waits for a provider that looks through it, for some time. */
    void awaitProcessed() {
        var retry = Retry.ofLooks(isLocal());
        long start = System.nanoTime();
        if (isNotReady()) sayWaiting(status(file));
        while (isNotReady() && isWithin(Retry.firstCheck(isLocal()), start)) {
            Retry.sleep("submit", retry.next(Duration.ZERO));
            file = api.file("submit", id);
        }
        if (!UNUSABLE.contains(status(file))) return;
        var why = Fault.of(file).message() + file.path("status_details").asText("");
        throw new BatchException("submit: " + api.connection().label() + " cannot use the input file " + id + ": "
            + status(file) + (why.isEmpty() ? "" : ", " + why), status(file), "");
    }

    private boolean isNotReady() { return AT_WORK.contains(status(file)) || isUploaded() && !saysNoMore; }

    private static boolean isWithin(Duration time, long start) { return System.nanoTime() - start < time.toNanos(); }

    /** Whether a refusal is for the file, by its own words or because the file is still looked through. */
    private boolean isForTheFile(BatchException e) {
        boolean mayBe = isOfAFile(e) && (e.param().isEmpty() || FILE_FIELDS.contains(e.param()));
        return isEarly(e)
            || mayBe && AT_WORK.contains(status(file)) && AT_WORK.contains(status(api.file("submit", id)));
    }

    private static String status(JsonNode file) { return file.path("status").asText("").toLowerCase(Locale.ROOT); }

    private void sayWaiting(String status) {
        note.accept("submit: " + api.connection().label() + " is not through with the input file " + id + " (" + status
            + "); waiting for it");
    }

    /** Whether a create was refused because its file cannot be seen, or is no longer there. */
    static boolean isMissing(BatchException e) {
        if (e.status() != 404 && e.status() != 400 || isEarly(e)) return false;
        boolean isNamed = FILE_FIELDS.contains(e.param()) && e.status() == 404;
        boolean isUnnamed = e.status() == 404 && !ANOTHER.matcher(e.code() + " " + e.param() + " " + said(e)).find();
        return isNamed || isUnnamed || MISSING_CODE.matcher(e.code()).matches() || MISSING.matcher(said(e)).find();
    }

    /** Whether a create was refused because its file is not ready yet. */
    static boolean isEarly(BatchException e) {
        return isOfAFile(e) && (EARLY_CODE.matcher(e.code()).matches() || EARLY.matcher(said(e)).find());
    }

    /** Whether it may be for the file; a conflict may be one of batches, whatever its words name. */
    private static boolean isOfAFile(BatchException e) {
        boolean namesIt = FILE_FIELDS.contains(e.param()) || e.code().toLowerCase(Locale.ROOT).contains("file");
        return OF_A_FILE.contains(e.status()) || e.status() == CONFLICT && namesIt;
    }

    /** Without the address, which may name anything. */
    private static String said(BatchException e) { return e.getMessage().replaceFirst("^submit: [A-Z]+ \\S+ ", ""); }
}
