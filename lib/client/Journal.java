package sheaf;

import static sheaf.Messages.cannot;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.DateTimeException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.function.Consumer;
import java.util.function.Predicate;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import sheaf.Vocabulary.Part;
import sheaf.Vocabulary.Status;

/**
 * One batch on disk, {@code ~/.sheaf/batches/<name>-<digest>/}: what was asked for, the rows, the input files, a log of
 * steps, and the files that came back. It writes down what others do, and sends nothing.
 */
final class Journal {
    static final String MANIFEST = "draft.json";
    static final List<String> KINDS = List.of("output", "error");
    private static final String STARTED_OVER = "again";        // the word on disk
    private static final String NOT_CREATED = "no room";       // likewise: the first such case
    private final Path dir;
    private final Manifest manifest;
    private final SentRequests requests;
    private final List<PartState> states = new ArrayList<>();   // one for each part
    private Instant submittedAt = Instant.EPOCH;
    private final StepLog steps;

    Journal(Path dir) {
        this.dir = dir;
        this.manifest = Json.read(dir.resolve(MANIFEST), Manifest.class);
        if (manifest.version() > Manifest.VERSION)
            throw new IllegalStateException("journal: a newer Sheaf wrote " + dir + "; use that one");
        if (manifest.partRequests().isEmpty() && manifest.reused() == 0)
            throw new IllegalStateException("journal: " + dir + " is damaged; delete it");
        requests = new SentRequests(dir, manifest);
        steps = new StepLog(dir.resolve("steps.jsonl"));
        reload();
    }

    static Path folder() { return Environment.home().resolve("batches"); }

    /** Returns all batches that are kept here; of one that cannot be read nobody knows what was paid. */
    static Stream<Journal> all() {
        return read(unreadable -> {
            throw new IllegalStateException(unreadable.getMessage().replaceFirst("; .*", "")
                + "; what was paid there is not known: mend it, or move it out of " + folder(), unreadable);
        });
    }

    /** Returns those that can be read: what is only looked at is not hidden by another. */
    static Stream<Journal> readable() { return read(unreadable -> {}); }

    private static Stream<Journal> read(Consumer<RuntimeException> unreadable) {
        if (!Files.isDirectory(folder())) return Stream.empty();
        try (var dirs = Files.list(folder())) {
            return dirs.filter(Files::isDirectory).toList().stream().flatMap(dir -> read(dir, unreadable).stream());
        } catch (IOException e) {
            throw cannot("batch", "read " + folder(), e);
        }
    }

    private static Optional<Journal> read(Path dir, Consumer<RuntimeException> unreadable) {
        try {
            boolean isStaged = dir.getFileName().toString().startsWith(".");
            return isStaged || Files.notExists(dir.resolve(MANIFEST)) ? Optional.empty()
                : Optional.of(new Journal(dir));
        } catch (UncheckedIOException | IllegalStateException | DateTimeException e) {
            if (Files.exists(dir)) unreadable.accept(e);                 // else it was deleted meanwhile
            return Optional.empty();
        }
    }

    /** Returns the newest batch of this id, name or folder name; one that was submitted here goes before a sample. */
    static Optional<Journal> find(String idOrName) { return find(idOrName, journal -> true); }

    /** Returns the newest such batch that is at this provider. */
    static Optional<Journal> find(String idOrName, Connection provider) {
        return find(idOrName, journal -> journal.isAt(provider));
    }

    private static Optional<Journal> find(String idOrName, Predicate<Journal> kind) {
        return readable().filter(journal -> journal.isCalled(idOrName)).filter(kind)
            .max(Comparator.comparing((Journal journal) -> !journal.manifest.isAdopted())
                .thenComparing(journal -> !journal.manifest.isAtOnce())
                .thenComparing(journal -> journal.submittedAt));
    }

    /** Returns who was met at this base URL, if that was always the same: no clock tells who was there last. */
    static Optional<Identity> metAt(String baseUrl) {
        var met = readable().map(of -> of.manifest.provider()).filter(there -> there.baseUrl().equals(baseUrl))
            .map(Manifest.Address::identity).distinct().toList();
        return met.size() == 1 ? Optional.of(met.get(0)) : Optional.empty();
    }

    /** Whether it was made here under this name, anew and not as a retry. */
    boolean wasMadeAs(String name, Connection provider) {
        return name().equals(name) && manifest.provider().isAnsweredBy(provider) && !manifest.isAdopted()
            && !manifest.isResend() && !mayBeOfOtherEngine();
    }

    /** Returns what other providers were asked of it in the place of its own. */
    Stream<Journal> others() {
        return !isElsewhere() ? Stream.empty() : all().filter(later ->
            later.manifest.insteadOf().equals(manifest.digest()) && later.isRetryOf(this));
    }

    /**
     * Whether it sent again, or may have, what was first sent in the same batch as the requests of another. What is to
     * be asked of another provider is that one's from then on, sent or not.
     */
    boolean isRetryOf(Journal other) {
        return manifest.isResendOf(other.manifest) && !dir.equals(other.dir)
            && (isHeldElsewhere() || mayHaveRun());
    }

    /** Whether another provider is to be asked it in the place of its own, sent or not, and has not refused it all. */
    boolean isHeldElsewhere() {
        return manifest.isInstead()
            && !parts().allMatch(part -> part.id().isEmpty() && part.status().equals(Status.FAILED));
    }

    Path dir() { return dir; }

    Manifest manifest() { return manifest; }

    SentRequests requests() { return requests; }

    String name() { return manifest.name(); }

    String folderName() { return dir.getFileName().toString(); }

    /** Returns its folder as people write it. */
    String shortPath() {
        var home = Path.of(System.getProperty("user.home"));
        return dir.startsWith(home) ? "~/" + home.relativize(dir) : dir.toString();
    }

    boolean isAt(Connection provider) { return manifest.provider().isAt(provider); }

    Instant submittedAt() { return submittedAt; }

    Instant writtenAt() { return Instant.ofEpochMilli(dir.resolve(MANIFEST).toFile().lastModified()); }

    /** Returns how much of the disk it takes, in bytes. */
    long bytes() {
        try (var files = Files.list(dir)) {
            return files.mapToLong(file -> file.toFile().length()).sum();
        } catch (NoSuchFileException deleted) {
            return 0;
        } catch (IOException e) {
            throw cannot("kept", "read " + dir, e);
        }
    }

    long sentCount() { return manifest.requests() - manifest.reused() - manifest.repeats(); }

    Path inputFile(int part) { return SentRequests.inputFile(dir, part); }

    /** Returns the name that a part's input file has at the provider; it tells whose it is. */
    String uploadName(int part) { return folderName() + ".part-" + part + ".jsonl"; }

    /**
     * Returns how the mark in the metadata of a part's batch begins: digest/part-requests/name/, for other limits cut
     * the same requests elsewhere. What follows tells one create from another.
     */
    String markPrefix(int part) {
        return manifest.digestOfSent() + "/" + part + "-" + manifest.partRequests().get(part - 1) + "/" + name() + "/";
    }

    Path answerFile(int part, String kind) { return dir.resolve("part-" + part + "." + kind + ".jsonl"); }

    Path reusedAnswers() { return dir.resolve("reused.output.jsonl"); }

    /** Whether some of its answers may be of another engine than that of its server when it was begun. */
    private boolean mayBeOfOtherEngine() { return Files.exists(otherEngineMark()); }

    void markOtherEngine() { AtomicFiles.stream("results", otherEngineMark(), out -> {}); }

    /** Whether other providers were asked, or are about to be, what its own does not answer. */
    boolean isElsewhere() { return Files.exists(elsewhereMark()); }

    boolean mayBeElsewhere() { return manifest.isSharedOut() || isElsewhere(); }

    void markElsewhere() {
        if (!isElsewhere()) AtomicFiles.stream("submit", elsewhereMark(), out -> {});
    }

    private Path elsewhereMark() { return dir.resolve("elsewhere"); }

    private Path otherEngineMark() { return dir.resolve("other-engine"); }

    /** Whether fewer answers of a part came than there should be: what is here is not final. */
    boolean isShort(int part) { return Files.exists(shortMark(part)); }

    void markShort(int part, boolean isShort) {
        if (!isShort) AtomicFiles.delete(shortMark(part));
        else if (!isShort(part)) AtomicFiles.stream("results", shortMark(part), out -> {});
    }

    private Path shortMark(int part) { return dir.resolve("part-" + part + ".short"); }

    /** The index of all answers; it is made anew if this file is gone. */
    Path answersIndex() { return dir.resolve("answers.idx"); }

    int partCount() { return states.size(); }

    IntStream partNumbers() { return IntStream.rangeClosed(1, states.size()); }

    Stream<Part> parts() { return states.stream().map(state -> state.part); }

    /** Returns what tells how a part was submitted last: the id of its batch, or how it stands without one. */
    List<String> partIds() {
        return parts().map(part -> part.id().isEmpty() ? part.status().text() : part.id()).toList();
    }

    Part part(int number) { return state(number).part; }

    private PartState state(int part) { return states.get(part - 1); }

    boolean hasBatch(int part) { return state(part).batch != null; }

    boolean hasFile(int part) { return state(part).file != null; }

    String fileId(int part) { return state(part).fileId(); }

    /** Returns a part's input file as its provider described it when it came there. */
    JsonNode file(int part) { return state(part).file; }

    /** Returns when a part's input file came to the provider, if that said so. */
    Optional<Instant> uploadedAt(int part) { return Json.instant(state(part).file.path("created_at")); }

    /** Whether an upload may have been finished unseen. */
    boolean isUploadUnsure(int part) { return state(part).uploading; }

    /** Whether a create was sent whose answer never came. */
    boolean isCreateUnsure(int part) { return state(part).createKey != null && state(part).batch == null; }

    /** Returns the key of a create whose answer never came. */
    String createKey(int part) { return state(part).createKey; }

    /** Whether a part may have been paid: it ran, runs, or was sent and never answered. */
    boolean isSent(int part) { return isCreateUnsure(part) || hasBatch(part) && part(part).hasRun(); }

    boolean hasSentCreate(int part) { return state(part).hasSentCreate; }

    boolean isCalled(String idOrName) {
        return wasBegun() && (name().equals(idOrName) || folderName().equals(idOrName)
            || states.stream().anyMatch(part -> part.id().equals(idOrName)
                || part.file != null && part.fileId().equals(idOrName)));
    }

    /** Whether anything of it was sent, be it an upload that waits for its batch. */
    boolean wasBegun() {
        return manifest.reused() > 0 || isElsewhere() || states.stream().anyMatch(part ->
            part.batch != null && manifest.shareOf(part.number).isEmpty()
                || part.createKey != null || part.file != null || part.uploading);
    }

    /** Whether nothing was sent that is of use, to nobody: no upload, and no batch that ran or may be running. */
    boolean isUntouched() {
        boolean isAllReused = states.isEmpty();
        return !isAllReused && !isElsewhere() && states.stream().allMatch(part -> part.batch == null
            ? part.file == null && part.createKey == null && !part.uploading : !part.part.hasRun());
    }

    /** Whether something of it runs or has run. */
    boolean hasRun() {
        return manifest.reused() > 0
            || hasSentCreate() && states.stream().anyMatch(part -> part.batch != null && part.part.hasRun());
    }

    /** Whether something of it runs, has run, or was sent and never answered, wherever. */
    boolean mayHaveRun() { return hasRun() || isElsewhere() || partNumbers().anyMatch(this::isCreateUnsure); }

    /** Whether a create was sent for some part, and not only an upload. */
    boolean hasSentCreate() { return states.isEmpty() || states.stream().anyMatch(part -> part.hasSentCreate); }

    /** Whether it waits for nothing but to be submitted. */
    boolean isOnlyUploaded() { return isWaiting() && !hasSentCreate(); }

    boolean isWaiting() { return states.stream().anyMatch(part -> part.batch == null); }

    /** Whether a part is over and all that came of it is on this disk. */
    private boolean isCollected(Part part) { return isFetched(part) && !isShort(part.number()); }

    /** Whether a part is over and its files are on this disk, whole or short. */
    boolean isFetched(Part part) {
        return part.status().isTerminal()
            && (part.outputFileId().isEmpty() || Files.exists(answerFile(part.number(), "output")))
            && (part.errorFileId().isEmpty() || Files.exists(answerFile(part.number(), "error")));
    }

    Stream<Part> collected() { return parts().filter(this::isCollected); }

    /** Returns where what came of it is, in a word. */
    String answers() {
        boolean hasFiles = parts().anyMatch(part -> !part.outputFileId().isEmpty() || !part.errorFileId().isEmpty());
        if (manifest.reused() == 0 && !hasFiles) return "none";
        return parts().allMatch(this::isCollected) ? "here" : "not here";
    }

    /** Reads the log of steps, if another process has gone on with it. */
    void reload() { steps.reload(this::restart, this::replay); }

    private void restart() {
        states.clear();
        submittedAt = Instant.EPOCH;
        for (int part = 1; part <= manifest.partRequests().size(); part++) states.add(new PartState(part));
    }

    /** Takes one step; a torn line never happened. */
    private void replay(JsonNode step) {
        var word = step.path("step").asText();
        int part = step.path("part").asInt();
        if (word.equals("reused")) submittedAt = at(step);
        if (!step.isObject() || part < 1 || part > states.size()) return;
        if (word.equals("created") && submittedAt.equals(Instant.EPOCH)) submittedAt = at(step);
        if (word.equals(STARTED_OVER)) takeStartOver(part);
        else state(part).take(word, step);
    }

    private void takeStartOver(int part) {
        states.set(part - 1, new PartState(part));
        if (manifest.reused() == 0 && states.stream().allMatch(other -> other.batch == null))
            submittedAt = Instant.EPOCH;
    }

    private static Instant at(JsonNode step) { return Instant.parse(step.path("at").asText()); }

    private void write(String step, int part, String field, Object value) {
        replay(steps.append(step, part, field, value));
    }

    /** An upload begins. */
    void uploading(int part) { write("uploading", part, "name", uploadName(part)); }

    /** An upload was finished. */
    void uploaded(int part, JsonNode file) { write("uploaded", part, "file", file); }

    /** A create begins; its key is in the metadata of the batch, if one comes of it. */
    void creating(int part, String createKey) { write("creating", part, "token", createKey); }

    /** A part is at the provider. */
    void created(int part, JsonNode batch) { write("created", part, "batch", batch); }

    /** No batch came of a create: it was refused, or the provider had no room for it. */
    void notCreated(int part, String batchId) { write(NOT_CREATED, part, "id", batchId); }

    /** A part has ended, or never was. */
    void ended(int part, JsonNode batch) { write("ended", part, "batch", batch); }

    /** Writes down how a part ended; one whose files are not yet named is looked at again by the next run. */
    void ended(Part part) {
        if (part.lacksItsFiles() || part(part.number()).status().isTerminal()) return;
        ended(part.number(), part.json());
    }

    /** What is known of a part at the provider does not count any more. */
    void startOver(int part) { write(STARTED_OVER, part, "id", part(part).id()); }

    /** The part is submitted anew: what came back of it before does not count; the file of a refused one does. */
    void forget(int part) {
        AtomicFiles.delete(answersIndex());
        for (var kind : KINDS) AtomicFiles.delete(answerFile(part, kind));
        markShort(part, false);
        var file = state(part).id().isEmpty() ? state(part).file : null;
        startOver(part);
        if (file != null) uploaded(part, file);
    }

    /** The answers of requests that are not sent were taken from an earlier batch. */
    void reusedAnswersTaken() {
        if (manifest.reused() > 0 && submittedAt.equals(Instant.EPOCH))
            write("reused", 0, "requests", manifest.reused());
    }

    /** Goes at once, so that a kill leaves no half of it; what is left then is swept up by the next submit. */
    void delete() throws IOException {
        var trash = dir.resolveSibling(".staging-" + UUID.randomUUID());
        Files.move(dir, trash, StandardCopyOption.ATOMIC_MOVE);
        AtomicFiles.deleteFolder(trash);
    }

    /** What the log of steps says of one part. */
    private final class PartState {
        private final int number;
        private boolean uploading;                 // an upload may have been finished unseen
        private JsonNode file;                     // as the provider described it
        private String createKey;                  // of a create whose answer may have been lost
        private JsonNode batch;                    // as last written down
        private boolean hasSentCreate;             // answered or not
        private Part part;                         // what all this says

        PartState(int number) {
            this.number = number;
            batch = manifest.shareOf(number).map(share -> share.refusal("")).orElse(null);
            part = Part.of(number, batch == null ? waiting() : batch);
        }

        void take(String word, JsonNode step) {
            switch (word) {
                case "uploading" -> uploading = true;
                case "uploaded" -> file = step.path("file");
                case "creating" -> {
                    hasSentCreate = true;
                    createKey = step.path("token").asText();
                }
                case "created" -> {
                    hasSentCreate = true;
                    if (BatchApi.hasId(step.path("batch"))) batch = step.path("batch");      // else it is looked for
                }
                case NOT_CREATED -> {
                    hasSentCreate = true;
                    createKey = null;
                    batch = null;
                }
                case "ended" -> batch = step.path("batch");
                default -> throw new IllegalStateException("journal: unknown step " + step
                    + "; a newer Sheaf wrote it");
            }
            part = Part.of(number, batch == null ? waiting() : batch);
        }

        String id() { return batch == null ? "" : batch.path("id").asText(); }

        String fileId() { return file.isTextual() ? file.asText() : file.path("id").asText(); }

        private JsonNode waiting() {
            var waiting = Json.MAPPER.createObjectNode().put("status", Status.WAITING.text());
            if (file != null) waiting.put("input_file_id", fileId());
            waiting.putObject("request_counts").put("total", manifest.partRequests().get(number - 1));
            return waiting;
        }
    }
}
