package sheaf;

import static sheaf.Messages.cannot;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.SocketException;
import java.net.SocketTimeoutException;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.UUID;
import java.util.function.Consumer;
import java.util.function.LongPredicate;
import java.util.stream.Collectors;
import java.util.stream.LongStream;
import sheaf.Vocabulary.BatchException;
import sheaf.Vocabulary.Part;
import sheaf.Vocabulary.Status;

/**
 * Sends what a journal holds: uploads its input files and creates its batches, each once, whatever happened before.
 * What was sent and never answered is looked for at the provider before it is sent again.
 */
final class Submission {
    private static final int CREATES = 3;
    private static final String GIVEN_UP = "given_up";        // on disk
    private final Journal journal;
    private final BatchApi api;
    private final Connection provider;
    private final Retry.QueuePauses queue;
    private final Consumer<String> note;
    private final BatchSearch search;
    private final boolean hasFallback;                        // another provider has what this one refuses
    private int created;                                      // batches, by this process
    private boolean saysNoMore;                               // of a file than that it was uploaded

    Submission(Journal journal, BatchApi api, Retry.QueuePauses queue, boolean hasFallback,
               Consumer<String> note) {
        this.journal = journal;
        this.api = api;
        this.provider = api.connection();
        this.queue = queue;
        this.hasFallback = hasFallback;
        this.note = note;
        this.search = new BatchSearch(journal, api, note);
    }

    BatchSearch search() { return search; }

    /**
     * Forgets the parts that are to be created anew: those that failed before anything ran, and on this machine those
     * that a server which was started on an empty store does not have.
     */
    void forgetWhatNeverRan() {
        if (provider.isLocal()) forgetWhatIsGone();
        boolean hasSentCreate = journal.hasSentCreate();
        boolean hasAllRun = hasSentCreate && journal.parts().allMatch(Part::hasRun);
        var resent = hasAllRun ? Set.<Integer>of() : resentParts(journal);
        for (var part : journal.parts().filter(part -> journal.manifest().shareOf(part.number()).isEmpty()).toList()) {
            boolean isCancelledUpload = !hasSentCreate && journal.hasBatch(part.number());
            boolean isOver = isCancelledUpload || !part.hasRun();
            if (isOver && !resent.contains(part.number())) forget(part.number());
        }
    }

    /** What was listed of the part does not count any more either. */
    private void forget(int part) {
        search.forgetListed(part);
        journal.forget(part);
    }

    private void forgetWhatIsGone() {
        var collected = journal.collected().map(Part::number).collect(Collectors.toSet());
        var asked = journal.parts().filter(part -> !part.id().isEmpty() && !collected.contains(part.number())).toList();
        var there = search.there(asked);
        boolean isStranger = !journal.manifest().provider().identity().isTold() && api.connection().hasTold();
        if (isStranger && there.size() < asked.size())
            throw new IllegalStateException("submit: another server than that of " + journal.folderName()
                + " may answer at " + provider.label() + ", for it knows no such batch; start that one, or delete "
                + journal.shortPath() + " and run again");
        asked.stream().map(Part::number).filter(part -> !there.containsKey(part)).forEach(this::forget);
    }

    /** Returns which requests of a batch a retry has sent already: those are not paid for again. */
    static LongPredicate resent(Journal journal) {
        var rounds = resentRounds(journal);
        var requests = journal.requests();
        return i -> !rounds.isEmpty() && rounds.getOrDefault(requests.firstId(i), 0) > requests.round(i);
    }

    /** Returns the last round of each request that a retry has sent, by its first id. */
    private static Map<String, Integer> resentRounds(Journal journal) {
        var rounds = new HashMap<String, Integer>();
        Journal.all().filter(later -> later.manifest().isResendOf(journal.manifest())
            && (later.isHeldElsewhere() || isBegun(later)))
            .map(Journal::requests).forEach(later -> LongStream.range(0, later.count())
                .forEach(i -> rounds.merge(later.firstId(i), later.round(i), Math::max)));
        return rounds;
    }

    /** Whether something of it was sent, or is being sent right now. */
    private static boolean isBegun(Journal journal) {
        try (var lock = FolderLock.ifFree(journal.dir())) {
            journal.reload();
            return lock == null || !journal.isUntouched();
        } catch (IOException e) {
            throw cannot("submit", "lock " + journal.dir(), e);
        }
    }

    /** Returns the parts of which a retry has sent requests already. */
    static Set<Integer> resentParts(Journal journal) {
        var requests = journal.requests();
        return LongStream.range(0, requests.count()).filter(resent(journal)).mapToObj(requests::part)
            .collect(Collectors.toSet());
    }

    /**
     * Creates the parts that are not yet at the provider, until its queue is full; returns how many that took. One that
     * is refused for good does not keep the others back, but is a part that failed.
     */
    int createParts(Progress progress) {
        int before = created;
        for (int part = 1; part <= journal.partCount(); part++) {
            if (journal.hasBatch(part)) continue;
            if (!hasRoomFor(part)) break;
            var known = search.known(part);
            try {
                journal.created(part, known == null ? createFromFile(part, progress) : known);
                if (known == null) created++;
                queue.moved();
            } catch (BatchException e) {
                if (e.isQueueFull()) {
                    queueIsFull(part, e);
                    break;
                }
                endRefused(part, e);
            }
        }
        return created - before;
    }

    /**
     * Creates them likewise. A provider that cannot be asked is left what it has, which surely is nothing of the rest,
     * if another one is named for that.
     */
    int createPartsOrLeaveThem(Progress progress) {
        int before = created;
        try {
            return createParts(progress);
        } catch (BatchException | UncheckedIOException e) {
            boolean isUnsure = journal.partNumbers().anyMatch(journal::isCreateUnsure);
            if (!hasFallback || isUnsure || !isAway(e)) throw e;
            var why = e instanceof BatchException ? e.getMessage() : withoutRemedy(e);
            journal.partNumbers().filter(part -> !journal.hasBatch(part)).forEach(part ->
                journal.ended(part, refusal(why, "")));
            return created - before;
        }
    }

    /** Whether it is no slip of the user's, such as a wrong key is, that the provider cannot be asked. */
    private static boolean isAway(RuntimeException e) {
        if (e instanceof BatchException refusal) return refusal.status() >= 500;
        return e.getCause() instanceof SocketException || e.getCause() instanceof SocketTimeoutException
            || Retry.isUnsent(e);
    }

    /** @throws BatchException if it is no final refusal, a batch may be there, or nothing else of this one runs */
    private void endRefused(int part, BatchException e) {
        boolean othersRun = hasFallback || journal.parts().anyMatch(other -> !other.isWaiting() && other.hasRun());
        if (!e.isFinal() || !othersRun || journal.isCreateUnsure(part)) throw e;
        journal.ended(part, refusal(e.getMessage(), e.code()));
    }

    private void queueIsFull(int part, BatchException e) {
        if (!journal.hasSentCreate()) journal.notCreated(part, "");     // there was no room even for the upload
        queue.refused(e, e.retryAfter(), goingCount() == 0);
    }

    /** Returns how a part stands that its provider surely does not have. */
    static ObjectNode refusal(String message, String code) {
        var batch = Json.MAPPER.createObjectNode().put("id", "").put("status", Status.FAILED.text());
        batch.putArray("errors").addObject().put("message", message).put("code", code);
        return batch;
    }

    /** Uploads the input files that are not yet at the provider; returns how many that took. */
    int upload(Progress progress) {
        int uploaded = 0;
        for (int part = 1; part <= journal.partCount(); part++) {
            if (journal.hasBatch(part) || journal.hasFile(part)) continue;
            var known = search.known(part);
            if (known != null) journal.created(part, known);
            else uploadFile(part, progress);
            if (known == null) uploaded++;
        }
        return uploaded;
    }

    /** Whether the next part that waits has room in the queue, as far as the provider's limits tell. */
    boolean hasRoom() {
        return journal.partNumbers().filter(part -> !journal.hasBatch(part)).limit(1).anyMatch(this::hasRoomFor);
    }

    private boolean hasRoomFor(int part) {
        var limits = provider.limits();
        if (limits.batches() == Long.MAX_VALUE && limits.tokens() == Long.MAX_VALUE) return true;
        long going = goingCount();
        long tokens = journal.parts().filter(Part::isGoing).mapToLong(other -> tokens(other.number())).sum();
        return going == 0 || going < limits.batches() && tokens + tokens(part) <= limits.tokens();
    }

    private long goingCount() { return journal.parts().filter(Part::isGoing).count(); }

    /** What its requests put into the provider's queue, as estimated; a folder of the first days does not say. */
    private long tokens(int part) {
        var tokens = journal.manifest().partTokens();
        return part <= tokens.size() ? tokens.get(part - 1) : 0;
    }

    /** What is not yet at the provider never will be. */
    void cancelWaiting() {
        journal.partNumbers().filter(part -> !journal.hasBatch(part)).forEach(part -> {
            var known = search.hasLooked() || journal.isCreateUnsure(part) ? search.known(part) : null;
            if (known != null) journal.created(part, known);
            else journal.ended(part, Json.MAPPER.createObjectNode().put("status", Status.CANCELLED.text()));
        });
    }

    /** Whether it waited for room until another provider was to have it. */
    static boolean isGivenUp(Part part) { return part.json().path(GIVEN_UP).asBoolean(); }

    /** What has found no room is not to wait for it; only what is surely not at the provider is given up. */
    void giveUpWaiting() {
        var reason = queue.reason().isEmpty() ? "" : ": " + queue.reason();
        journal.partNumbers().filter(part -> !journal.hasBatch(part)).forEach(part -> {
            var late = journal.isCreateUnsure(part) ? search.late(part) : null;
            if (late != null) journal.created(part, late);
            else journal.ended(part, refusal("no room at " + provider.label() + reason, "").put(GIVEN_UP, true));
        });
        queue.moved();
    }

    /** Uploads a part's input file, unless that was done. */
    private void uploadFile(int part, Progress progress) {
        if (journal.hasFile(part)) return;
        boolean isUnsure = journal.isUploadUnsure(part);
        if (!isUnsure) journal.uploading(part);
        journal.uploaded(part, api.upload(journal.inputFile(part), journal.uploadName(part), isUnsure,
            progress.transfer("uploading part " + part + " of " + journal.partCount())));
    }

    /** Creates a part; a file that was uploaded by an earlier run may be gone by now, and is uploaded anew. */
    private JsonNode createFromFile(int part, Progress progress) {
        boolean isOld = journal.hasFile(part);
        if (isOld && !journal.hasSentCreate(part) && api.isGone(journal.fileId(part))) journal.startOver(part);
        try {
            uploadFile(part, progress);
            return createBatch(part);
        } catch (BatchException e) {
            if (!isOld || !UploadedFile.isMissing(e)) throw e;
            journal.startOver(part);
            uploadFile(part, progress);
            return createBatch(part);
        }
    }

    /**
     * Creates the batch of a part, when its file is ready. After an answer that said 5xx the list is searched until a
     * late batch would have shown, and then the same is sent again; after one that never came that is left to the next
     * run.
     */
    private JsonNode createBatch(int part) {
        var file = new UploadedFile(journal.file(part), api, saysNoMore, note);
        file.awaitProcessed();
        saysNoMore |= file.isUploaded();
        provider.checkEngine();
        boolean isKeyUsed = journal.isCreateUnsure(part);
        if (!isKeyUsed) journal.creating(part, newCreateKey(part));
        for (int attempt = 1; ; attempt++) {
            try {
                var batch = file.whenReady(() -> sendCreate(part));
                if (!isKeyUsed || Part.of(part, batch).hasRun()) return batch;
                startKeyAnew(part, batch);
                isKeyUsed = false;
            } catch (UncheckedIOException | BatchException e) {
                boolean mayBeThere = isKeyUsed && api.honoursKeys();    // else it was looked for until it is too late
                boolean isFirst = attempt == 1 && !mayBeThere && !isConflict(e);
                isKeyUsed = true;
                if (madeNoBatch(e) && isFirst) journal.notCreated(part, "");
                if (madeNoBatch(e)) throw e;
                var late = search.after(e, part);
                if (late.isPresent()) return late.get();
                if (attempt == CREATES || BatchSearch.isAnswerLost(e)) throw withAdvice(e);
            }
        }
    }

    /** An earlier create with the key made this batch, and it failed before anything ran: that costs nothing. */
    private void startKeyAnew(int part, JsonNode failed) {
        journal.notCreated(part, failed.path("id").asText());
        journal.creating(part, newCreateKey(part));
    }

    private String newCreateKey(int part) {
        return journal.markPrefix(part) + UUID.randomUUID().toString().substring(0, 8);
    }

    /** Sends one create. */
    private JsonNode sendCreate(int part) {
        var manifest = journal.manifest();
        var pairs = new TreeMap<>(manifest.metadata());
        pairs.put(Settings.METADATA_KEY, journal.createKey(part));
        return api.create(journal.fileId(part), manifest.endpoint(), manifest.completionWindow(),
            manifest.outputSeconds(), pairs, journal.createKey(part));
    }

    /** Whether surely no batch was made: the provider said no, or heard nothing. */
    private static boolean madeNoBatch(RuntimeException e) {
        boolean isFull = e instanceof BatchException refusal && refusal.code().equals(BatchException.QUEUE_FULL);
        return !Retry.isTransient(e) || isFull || Retry.isUnsent(e);
    }

    /** Whether there may be a batch of that file already. */
    private static boolean isConflict(RuntimeException e) {
        return e instanceof BatchException refusal && refusal.status() == 409;
    }

    private static RuntimeException withAdvice(RuntimeException e) {
        if (!BatchSearch.isAnswerLost(e)) return e;
        var message = withoutRemedy(e)
            + "; the batch may have been created: run again in a minute, and it is looked for before anything is sent";
        return e instanceof UncheckedIOException io ? new UncheckedIOException(message, io.getCause())
            : new BatchException(message, (BatchException) e);
    }

    private static String withoutRemedy(RuntimeException e) { return e.getMessage().replaceFirst(";[^;]*$", ""); }
}
