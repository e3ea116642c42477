package sheaf;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedOutputStream;
import java.io.Closeable;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.function.Function;
import sheaf.Templates.Text;
import sheaf.Vocabulary.Limits;

/**
 * A journal in the making: request lines are written to part files under the provider's limits, and are moved to their
 * folder once the digest of all is known. It sends nothing; what a killed process left is swept up by the next.
 */
final class Staging implements Closeable {
    private static final int ENVELOPE = 100;                       // characters of a request besides its texts
    private static final VarHandle EIGHT = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.BIG_ENDIAN);
    private static final long HIGH_BITS = 0x8080808080808080L;      // of eight bytes
    private static final String PREFIX = ".staging-";
    private final Path dir;
    private final FolderLock lock;
    private final Connection provider;
    private final Limits limits;                                    // of a part
    private final boolean isMixed;                                  // whether a part may hold several models
    private final String endpoint;
    private final String window;                                    // "" for what was sent already
    private final Json.Digest digest = new Json.Digest();
    private Relay digested;                                         // every line that is added
    private final Map<String, PartFile> open = new HashMap<>();     // by model, where a file may hold only one
    private final List<PartFile> parts = new ArrayList<>();
    private final StagedRows rows;
    private final Repeats.Counter sent = new Repeats.Counter();
    private LineIndex.InOrder requests;
    private String oldDigest;                // of all requests, once they are complete, without the provider's mark
    private String sentDigest = "";                                 // of what is sent, where not all is
    private long reused;
    private Repeats repeats;                                        // that are left out; null: none is
    private Shares shares;                                          // of several providers; null: it is not shared out
    private Place last;                                             // where the line stands that was added last
    private boolean hasLeftOut;

    Staging(Connection provider, String endpoint, String window) throws IOException {
        this(provider, provider.limits(), provider.dialect().mixedModels(), endpoint, window);
    }

    /** Makes one for requests that were sent elsewhere, in one file, whatever its size. */
    static Staging ofSent(Connection provider, String endpoint) throws IOException {
        return new Staging(provider, new Limits(Long.MAX_VALUE, Long.MAX_VALUE), true, endpoint, "");
    }

    private Staging(Connection provider, Limits limits, boolean isMixed, String endpoint, String window)
            throws IOException {
        this.provider = provider;
        this.limits = limits;
        this.isMixed = isMixed;
        this.endpoint = endpoint;
        this.window = window;
        sweep(AtomicFiles.privateFolder(Journal.folder()));
        dir = Journal.folder().resolve(PREFIX + UUID.randomUUID());
        lock = FolderLock.on(dir, note -> {});
        AtomicFiles.privateFolder(dir);
        requests = new LineIndex.InOrder(SentRequests.index(dir));
        rows = new StagedRows(dir);
        digestSettings();
    }

    /** The same lines are another batch elsewhere, or with another window. */
    private void digestSettings() {
        digested = new Relay(digest.over(OutputStream.nullOutputStream()));
        for (var text : List.of(provider.name(), endpoint, window)) digest.add(bytes(text));
    }

    /** Removes what a killed process left: its folder is locked no more. */
    private static void sweep(Path folder) throws IOException {
        try (var abandoned = Files.newDirectoryStream(folder, PREFIX + "*")) {
            for (var dir : abandoned) sweepOne(dir);
        }
    }

    private static void sweepOne(Path dir) throws IOException {
        try (var lock = FolderLock.ifFree(dir)) {
            if (lock == null) return;
            AtomicFiles.deleteFolder(dir);
            Files.deleteIfExists(FolderLock.file(dir));
        }
    }

    /** Has some of the requests asked of others; before any is added. */
    void share(List<Settings.Other> providers) { shares = new Shares(providers); }

    /** Returns who is asked which of them, once they are complete. */
    Shares.Split split() {
        var lines = requests();
        return shares == null ? Shares.Split.none(provider) : new Shares.Split(Manifest.Address.of(provider),
            shares.others(), request -> parts.get(lines.file(request)).share);
    }

    /** Says that a draft that was begun keeps its shares, where it was to have others. */
    Optional<String> keptShares(Manifest begun) {
        return shares == null ? Optional.empty() : begun.sharesNote(shares.others());
    }

    void add(Request request) throws IOException {
        if (request.hasRow() && request.row() > rows.count()) rows.add(request.values());
        add(request.model(), request.line());
    }

    /** Adds a line to the part that is open for its model. */
    void add(String model, byte[] line) throws IOException {
        int share = shares == null ? 0 : shares.of(line);
        var key = share + " " + (isMixed ? "" : model);
        var part = open.get(key);
        long tokens = tokens(line);
        if (part == null || part.isFull(line.length, tokens, limits)) open.put(key, part = next(part, share));
        index(part.number - 1, line.length - 1, part.bytes);
        part.write(line, tokens);
        digested.write(line);
        sent.add(line);
    }

    /** Estimates: four ASCII characters are a token, or one of any other script; what is around the prompt is none. */
    static long tokens(byte[] line) {
        long ascii = line.length;
        long others = 0;
        int at = 0;
        for (; at + Long.BYTES <= line.length; at += Long.BYTES) {       // eight bytes at once
            long beyond = (long) EIGHT.get(line, at) & HIGH_BITS;
            if (beyond == 0) continue;
            ascii -= Long.bitCount(beyond);
            others += Long.bitCount(beyond & (long) EIGHT.get(line, at) << 1);      // no byte that goes on with one
        }
        for (; at < line.length; at++) {
            if (line[at] < 0) ascii--;
            if ((line[at] & 0xC0) == 0xC0) others++;
        }
        return Math.max(0, ascii - ENVELOPE) / 4 + others;
    }

    private PartFile next(PartFile full, int share) throws IOException {
        if (full != null) full.close();
        int number = parts.size() + 1;
        var part = new PartFile(number, share, SentRequests.inputFile(dir, number));
        parts.add(part);
        return part;
    }

    /** Returns a file beside the staged ones, for what is downloaded for a moment. */
    Path scratch() { return dir.resolve("download"); }

    /** Ends the adding: all requests are known by now. */
    void complete() throws IOException { complete(false); }

    /** @param isDistinct whether those that say the same as one before them are to be left out */
    void complete(boolean isDistinct) throws IOException {
        if (parts.isEmpty()) next(null, 0);
        closeFiles();
        oldDigest = digest.hex();
        if (isDistinct) repeats = repeats();
        if (repeats != null && repeats.count() > 0) oldDigest = Json.Digest.hex(oldDigest + " distinct");
        rows.complete();
    }

    /** Returns which of all requests say the same as one before them. */
    Repeats repeats() {
        if (repeats != null) return repeats;
        var all = requests();
        return new Repeats(all.size(), i -> SentRequests.body(all.text(i)));
    }

    /** Returns the folder that they belong into under this name, once they are complete. */
    Path folder(String name) { return folder(name, marked(oldDigest)); }

    /** Returns the folder that the same requests would be in if they were submitted in the first days. */
    Path oldFolder(String name) { return folder(name, oldDigest); }

    private Path folder(String name, String digest) {
        return dir.resolveSibling(name + "-" + Json.Digest.shortened(digest));
    }

    /** What a name does not tell from others has its own mark: the same lines are another batch at another server. */
    private String marked(String digest) {
        return provider.mark().equals(provider.name()) ? digest : Json.Digest.hex(digest + " " + provider.mark());
    }

    /** Opens the index of the requests that are to be sent. */
    LineIndex requests() {
        return new LineIndex(SentRequests.index(dir), part -> SentRequests.inputFile(dir, part + 1));
    }

    /**
     * Leaves out of the parts what was answered before, and writes those answers beside them; repeats too, if they are
     * to be left out.
     * @param answers gives the line that answered a request like this one
     */
    void leaveOut(Function<String, Optional<ObjectNode>> answers) throws IOException {
        for (var part : parts) Files.move(part.file, dir.resolve("all-" + part.number + ".jsonl"));
        Files.move(SentRequests.index(dir), dir.resolve("all.idx"));
        var all = new LineIndex(dir.resolve("all.idx"), part -> dir.resolve("all-" + (part + 1) + ".jsonl"));
        parts.clear();
        open.clear();
        sent.clear();
        digestSettings();
        requests = new LineIndex.InOrder(SentRequests.index(dir));
        var places = new HashMap<Long, Place>();            // of those that are repeated
        try (var lines = new PartFile(0, 0, SentRequests.reusedFile(dir));
             var answered = new PartFile(0, 0, dir.resolve("reused.output.jsonl"));
             var ids = new PartFile(0, 0, SentRequests.repeatIdsFile(dir))) {
            for (long i = 0; i < all.size(); i++) {
                var text = all.text(i);
                var answer = isRepeat(i) ? Optional.<ObjectNode>empty() : answers.apply(text);
                if (isRepeat(i)) repeat(i, text, places.get(repeats.first(i)), ids);
                else if (answer.isPresent()) reuse(text, answer.get(), lines, answered);
                else add(Json.lenient(text).at("/body/model").asText(), bytes(text));
                if (repeats != null && repeats.isRepeated(i)) places.put(i, last);
            }
        }
        closeFiles();
        hasLeftOut = true;
        writeFirsts(all.size());
        sentDigest = marked(digest.hex());
        Files.delete(dir.resolve("all.idx"));
        for (int part = 1; Files.deleteIfExists(dir.resolve("all-" + part + ".jsonl")); ) part++;
    }

    /** Leaves out the repeats that are to be, unless that was done with what was answered before. */
    void leaveOutRepeats() throws IOException {
        if (repeatCount() > 0 && !hasLeftOut) leaveOut(none -> Optional.empty());
    }

    /** Whether a request is left out, for its answer is that of one before it. */
    boolean isRepeat(long request) { return repeats != null && repeats.isRepeat(request); }

    /** Returns how many requests are left out so, or are to be. */
    long repeatCount() { return repeats == null ? 0 : repeats.count(); }

    private void writeFirsts(long requests) throws IOException {
        if (leftOut() == 0) return;
        try (var out = new DataOutputStream(new BufferedOutputStream(Files.newOutputStream(
            SentRequests.repeatsFile(dir))))) {
            for (long i = 0; i < requests; i++) out.writeLong(repeats.first(i));
        }
    }

    private long leftOut() { return hasLeftOut ? repeatCount() : 0; }

    /** Where a line stands. */
    private record Place(int file, int length, long offset) {}

    private void index(int file, int length, long offset) throws IOException { index(new Place(file, length, offset)); }

    private void index(Place place) throws IOException {
        requests.add(place.file, place.length, place.offset);
        last = place;
    }

    /** Leaves out a repeat of the request that stands there; an id that tells no number is kept. */
    private void repeat(long request, String text, Place first, PartFile ids) throws IOException {
        index(first);
        if (text.startsWith("{\"custom_id\":\"" + Requests.ID + (request + 1) + "\"")) return;
        var id = Json.MAPPER.createObjectNode().put("request", request);
        ids.write(Json.line(id.set("custom_id", Json.lenient(text).path("custom_id"))), 0);
    }

    private void reuse(String text, ObjectNode answer, PartFile lines, PartFile answered) throws IOException {
        var line = bytes(text);
        index(SentRequests.REUSED, line.length - 1, lines.bytes);
        lines.write(line, 0);
        answered.write(Json.line(answer.set("custom_id", Json.lenient(text).path("custom_id"))), 0);
        reused++;
    }

    private static byte[] bytes(String text) { return Json.bytes(text + "\n"); }

    long reused() { return reused; }

    int partCount() { return parts.size(); }

    /** Says how many of the requests to send say the same as one of them before; "" if none does. */
    String repeatNote() {
        long repeats = sent.count();
        long all = parts.stream().mapToLong(part -> part.requests).sum();
        return repeats == 0 ? "" : String.format(Locale.ROOT, "submit: %s%,d of %s say the same as one before %s, "
            + "and %s", sent.isAtLeast() ? "at least " : "", repeats, Messages.count(all, "request"),
            repeats == 1 ? "it" : "them", Outlook.ofRepeats());
    }

    /**
     * Becomes the folder, or renews one that is there: the same request lines, so what was sent of them stays, and the
     * rows and settings that stay here are renewed. The rows have their digest in their name, so the manifest, moved
     * last, is the one switch, and who reads the old rows goes on.
     */
    Journal settle(Settings settings, Path target) throws IOException {
        var before = Files.exists(target) ? new Journal(target) : null;
        if (before != null && before.isUntouched()) before.delete();
        if (!Files.exists(target)) {
            write(manifest(settings, null));
            AtomicFiles.forceAll(dir);
            Files.move(dir, target, StandardCopyOption.ATOMIC_MOVE);
            AtomicFiles.force(Journal.folder());
        } else if (rows.count() > 0 || before.manifest().rows() == 0) {
            renew(settings, target, before.manifest());
        }
        var journal = new Journal(target);
        journal.reusedAnswersTaken();
        return journal;
    }

    private void renew(Settings settings, Path target, Manifest before) throws IOException {
        write(manifest(settings, before));
        AtomicFiles.forceAll(dir);
        for (var file : List.of(rows.name() + ".jsonl", rows.name() + ".idx", Journal.MANIFEST))
            Files.move(dir.resolve(file), target.resolve(file), StandardCopyOption.REPLACE_EXISTING,
                StandardCopyOption.ATOMIC_MOVE);
        removeRows(target, List.of(rows.name(), before.rowsFile()));
    }

    /** Removes rows of long ago; those that were the last until now may be being read. */
    private static void removeRows(Path target, List<String> current) throws IOException {
        try (var files = Files.newDirectoryStream(target, "rows-*")) {
            for (var file : files)
                if (current.stream().noneMatch(name -> file.getFileName().toString().startsWith(name + ".")))
                    Files.deleteIfExists(file);
        }
    }

    private void write(Manifest manifest) {
        AtomicFiles.stream("submit", dir.resolve(Journal.MANIFEST), out -> out.write(Json.pretty(manifest)));
    }

    /** Describes the draft; how it was cut into parts, and what of it was reused, is as it was when it was sent. */
    private Manifest manifest(Settings settings, Manifest before) {
        boolean isAdopted = window.isEmpty();
        var resend = settings.resend;
        boolean hasFixedModels = settings.data == null || settings.models.stream().noneMatch(Text::hasTags);
        return new Manifest(Manifest.VERSION, settings.batchName(),
            before != null ? before.digest() : marked(oldDigest), Manifest.Address.of(provider),
            endpoint, window, settings.outputSeconds, settings.metadata, settings.shape(),
            reused + leftOut() + parts.stream().mapToLong(part -> part.requests).sum(),
            rows.count(),
            before != null ? before.partRequests() : parts.stream().map(part -> part.requests).toList(),
            before != null ? before.partTokens() : parts.stream().map(part -> part.tokens).toList(),
            before != null ? before.reused() : reused, before != null ? before.repeats() : leftOut(),
            before != null ? before.sentDigest() : sharedDigest(),
            rows.name(), settings.hasOwnIds() && !isAdopted, resend != null, isAdopted,
            resend == null ? "" : resend.origin(), resend == null ? "" : resend.names(settings.name),
            before != null ? before.sharedOut() : sharedOut(),
            before != null ? before.partShares() : partShares(),
            settings.instead == null ? "" : settings.instead.batch(),
            settings.instead == null ? List.of() : settings.instead.parts(),
            settings.prompts.stream().map(Text::name).toList(), Math.max(1, settings.models.size()),
            hasFixedModels ? settings.models.stream().map(Text::text).toList() : List.of(),
            settings.customId == null ? "" : settings.customId.text(), settings.promptColumns(),
            resend == null ? List.copyOf(rows.columns()) : resend.rowColumns(), settings.format(),
            settings.price != null || before == null ? settings.givenPrice() : before.price(),
            !settings.checks.isEmpty() || before == null ? settings.checks.stream().map(Settings.Check::why).toList()
                : before.checks());
    }

    private JsonNode sharedOut() { return shares == null ? null : shares.asJson(); }

    private List<Integer> partShares() {
        return shares == null ? List.of() : parts.stream().map(part -> part.share).toList();
    }

    /** The same part of the same requests has others of them, where they are shared out otherwise. */
    private String sharedDigest() {
        var whole = sentDigest.isEmpty() ? marked(oldDigest) : sentDigest;
        return shares == null ? sentDigest : Json.Digest.hex(whole + " " + shares);
    }

    private void closeFiles() throws IOException {
        digested.close();
        for (var part : parts) part.close();
        requests.close();
        rows.close();
    }

    @Override public void close() throws IOException {
        try {
            closeFiles();
        } finally {
            if (Files.exists(dir)) AtomicFiles.deleteFolder(dir);
            lock.close();
            Files.deleteIfExists(FolderLock.file(dir));
        }
    }

    private static final class PartFile implements Closeable {
        private final int number;                                   // from 1
        private final int share;                                    // 0: the own provider's
        private final Path file;
        private OutputStream out;                                   // with its buffer, so that only an open one has one
        private long requests;
        private long bytes;
        private long tokens;

        PartFile(int number, int share, Path file) throws IOException {
            this.number = number;
            this.share = share;
            this.file = file;
            out = new BufferedOutputStream(Files.newOutputStream(file), 1 << 16);
        }

        /** A request that is larger than the queue's limit of tokens, as estimated, is tried alone. */
        boolean isFull(int more, long moreTokens, Limits limits) {
            return requests == limits.requests() || bytes + more > limits.bytes()
                || requests > 0 && tokens + moreTokens > limits.tokens();
        }

        void write(byte[] line, long itsTokens) throws IOException {
            out.write(line);
            requests++;
            bytes += line.length;
            tokens += itsTokens;
        }

        @Override public void close() throws IOException {
            out.close();
            out = OutputStream.nullOutputStream();
        }
    }
}
