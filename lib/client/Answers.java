package sheaf;

import static sheaf.Messages.clip;
import static sheaf.Messages.number;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.LongStream;
import sheaf.Vocabulary.Part;
import sheaf.Vocabulary.Status;
import sheaf.Vocabulary.Usage;

/** The files that came back, joined to the requests of a journal: each request has its line, or none. */
final class Answers {
    private static final Pattern OWN_ID = Pattern.compile(Requests.ID + "([1-9][0-9]{0,17})");
    private static final int SHOWN_ODDITIES = 10;
    private final Journal journal;
    private final SentRequests requests;
    private final LineIndex lines;                             // by request
    private final Set<Integer> collected;                      // parts of which all is here
    private final Map<Integer, Map<Long, String>> faults = new HashMap<>();   // by part and request
    private IdIndex ids;                                       // of a file's own requests; made when first needed
    private final List<String> oddities = new ArrayList<>();   // the first of them
    private long moreOddities;
    private long[] answered;                                   // requests by part, if they were indexed by this look

    /** Fetches what is not here yet, and finds each request's line in it. */
    Answers(Journal journal, BatchApi api, Progress progress, Consumer<String> note) {
        this.journal = journal;
        this.requests = journal.requests();
        try (var lock = FolderLock.on(journal.dir(), note)) {
            new AnswerFiles(journal, api, progress, note, this::request, this::indexed).fetch();
            if (!Files.exists(journal.answersIndex())) writeIndex();
        }
        oddities.forEach(note);
        if (moreOddities > 0) note.accept("results: and " + number(moreOddities) + " more such lines");
        lines = new LineIndex(journal.answersIndex(), this::file);
        collected = journal.collected().map(Part::number).collect(Collectors.toSet());
    }

    /** Takes what an earlier look has fetched, and indexed. */
    Answers(Journal journal) {
        this.journal = journal;
        requests = journal.requests();
        lines = new LineIndex(journal.answersIndex(), this::file);
        collected = journal.collected().map(Part::number).collect(Collectors.toSet());
    }

    private void writeIndex() {
        oddities.clear();
        moreOddities = 0;
        answered = new long[journal.partCount() + 1];
        var requests = new BitSet();                           // that the files of their parts answer
        AtomicFiles.write("results", journal.answersIndex(), staged -> {
            try (var index = new LineIndex.AnyOrder(staged, count())) {
                for (int file = 0; file <= 2 * journal.partCount(); file++) scan(file, index, requests);
            }
        });
    }

    /** Returns how many requests of a part its files answer, as they were indexed by this look; -1 if they were not. */
    private long indexed(Part part) {
        if (!Files.exists(journal.answersIndex())) writeIndex();
        return answered == null ? -1 : answered[part.number()];
    }

    /** Returns the file of a number in the index: of each part its output and its errors, then the reused answers. */
    private Path file(int number) {
        return number == 2 * journal.partCount() ? journal.reusedAnswers()
            : journal.answerFile(number / 2 + 1, Journal.KINDS.get(number % 2));
    }

    private void scan(int file, LineIndex.AnyOrder index, BitSet ofTheirParts) throws IOException {
        var path = file(file);
        if (!Files.exists(path)) return;
        try (var lines = new Lines(Files.newInputStream(path))) {
            while (lines.advance())
                if (!lines.isBlank()) join(file, path, lines, index, ofTheirParts);
        }
    }

    /** Finds the request that a line answers. */
    private void join(int file, Path path, Lines lines, LineIndex.AnyOrder index, BitSet ofTheirParts) {
        var id = Answer.id(lines);
        long request = id == null ? -1 : request(id);
        if (request >= 0 && requests.part(request) == file / 2 + 1 && !ofTheirParts.get((int) request)) {
            ofTheirParts.set((int) request);
            answered[file / 2 + 1]++;
        }
        if (id == null || !lines.isUtf8()) odd(path, lines, "is not a JSON object; its request counts as missing");
        else if (request < 0) odd(path, lines, "answers \"" + clip(id, 60) + "\", which was never asked");
        else if (!index.put(request, file, lines.length(), lines.start()))
            odd(path, lines, "answers \"" + clip(id, 60) + "\" a second time; the first answer stands");
    }

    private void odd(Path path, Lines lines, String what) {
        if (oddities.size() == SHOWN_ODDITIES) moreOddities++;
        else oddities.add("results: " + path.getFileName() + " line " + lines.number() + " " + what);
    }

    /** Returns the request of an id, or -1 if that was never asked. */
    private long request(String id) {
        if (manifest().ownIds()) return ownId(id);
        if (ids == null) ids = new IdIndex(LongStream.range(0, count()), count(), requests::idInLine);
        return ids.find(id);
    }

    private long ownId(String id) {
        var number = OWN_ID.matcher(id);
        long request = number.matches() ? Long.parseLong(number.group(1)) - 1 : -1;
        return request < count() ? request : -1;
    }

    Journal journal() { return journal; }

    Manifest manifest() { return journal.manifest(); }

    SentRequests requests() { return requests; }

    long count() { return requests.count(); }

    /** Returns the answer to a request, which counts from 0; empty if no line came for it. */
    Optional<Answer> answer(long index) { return line(index).map(Answer::new); }

    /** Returns the line that answers a request, as it came; empty if none did. */
    Optional<byte[]> line(long index) { return lines.bytes(requests.first(index)); }

    /** Returns what the provider says of the whole batch; null if it says nothing, or not all was sent in it. */
    Usage batchUsage() {
        var parts = journal.parts().map(part -> Usage.of(part.json().path("usage"))).toList();
        return manifest().reused() > 0 || parts.stream().anyMatch(usage -> usage.total() == 0) ? null
            : parts.stream().reduce(Usage.NONE, Usage::plus);
    }

    /** Returns where the batch stands that a request was sent in. */
    Status batchStatus(long index) { return requests.isReused(index) ? Status.COMPLETED : part(index).status(); }

    /** Whether it is in a part that never was at its provider. */
    boolean isUnsent(long index) { return !requests.isReused(index) && part(index).id().isEmpty(); }

    /** Whether another provider was to have it from the start. */
    boolean isSharedOut(long index) {
        return !requests.isReused(index) && manifest().shareOf(requests.part(index)).isPresent();
    }

    /** Whether all that its provider has of a request is here. */
    boolean isCollected(long index) { return requests.isReused(index) || collected.contains(requests.part(index)); }

    /** Returns why no line is here for a request that was not refused. */
    String missingError(long index) {
        if (isCollected(index)) return "the provider's files hold no line for this request";
        var file = journal.isShort(requests.part(index)) ? "its file came with fewer lines than it should have"
            : "the file of its answer could not be fetched";
        return file + "; run again, or pay for it anew by " + Wording.RESEND_MISSING;
    }

    private Part part(long index) { return journal.part(requests.part(index)); }

    /** Returns why a request of a part without answers has none. */
    synchronized String batchError(long index) {
        var part = part(index);
        var own = faults.computeIfAbsent(part.number(), number -> byRequest(part)).get(requests.first(index));
        if (own != null) return own;
        var first = Fault.of(part).stream().findFirst().map(fault -> ": " + fault.describe()).orElse("");
        if (part.id().isEmpty()) return "never submitted" + (first.isEmpty() ? "; the batch was cancelled" : first);
        boolean hasFailed = part.status().equals(Status.FAILED);
        return part.id() + " " + part.status() + (hasFailed ? " before any request ran" + first : "");
    }

    private Map<Long, String> byRequest(Part part) {
        var found = requests.at(part.number(), Fault.of(part).stream().map(Fault::line).toList());
        var byRequest = new HashMap<Long, String>();
        for (var fault : Fault.of(part))
            if (found.containsKey(fault.line())) byRequest.putIfAbsent(found.get(fault.line()), fault.describe());
        return byRequest;
    }
}
