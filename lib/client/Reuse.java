package sheaf;

import static sheaf.Messages.clip;
import static sheaf.Messages.count;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.LongStream;
import java.util.stream.Stream;

/**
 * Takes over what earlier batches of the same provider and name have answered already: the answer to the same request,
 * endpoint and body to the byte, its id aside. The n-th repeat of a request takes the n-th answer; only the rest is
 * sent.
 */
final class Reuse {
    private static final int NUMBER_BITS = 28;            // of an entry: its number; the rest is a hash
    private static final Map<String, String> CHANGES = Map.of("system", "the system prompt changed", "prompts",
        "the prompts changed", "example", "the examples changed", "image", "the images changed", "returning",
        "the form of the answers changed");
    private final List<Earlier> earlier;                  // oldest first
    private final long[] entries;                         // requests that may be asked for again, sorted: hash, number
    private final long[] found;                           // by number: which of the earlier ones, and the index in it
    private final BitSet taken = new BitSet();            // by the index in entries
    private final Set<String> sources = new HashSet<>();  // of what was taken, where a hash has several
    private final Map<Integer, Map<String, Found>> succeeded = new HashMap<>();   // of a hash, by source
    private long unanswered;                              // requests that were left out, and their answers are not here

    private Reuse(List<Earlier> earlier, LineIndex staged) {
        this.earlier = earlier;
        var wanted = LongStream.range(0, staged.size()).map(i -> hash(SentRequests.body(staged.text(i)))).sorted()
            .toArray();
        long all = earlier.stream().mapToLong(batch -> batch.wanted = batch.askedAgain(wanted).count()).sum();
        if (all >= 1 << NUMBER_BITS)
            throw new IllegalStateException("submit: batches of this name have asked " + count(all, "request")
                + " of these before, and fewer than " + (1 << NUMBER_BITS) + " can be compared; ask under another "
                + Wording.NAME);
        entries = new long[(int) all];                    // filled where they are: there may be very many
        found = new long[(int) all];
        int number = 0;
        for (int batch = 0; batch < earlier.size(); batch++) {
            var requests = earlier.get(batch).journal.requests();
            for (var i = earlier.get(batch).askedAgain(wanted).iterator(); i.hasNext(); number++) {
                long index = i.nextLong();
                entries[number] = requests.hash(index) >>> NUMBER_BITS << NUMBER_BITS | number;
                found[number] = (long) batch << Integer.SIZE | index;
            }
        }
        Arrays.sort(entries);
    }

    /**
     * Leaves out of the staged requests what was answered before, and says how many that are.
     * @param connect finds the provider of a retry, which may be another one
     * @throws IllegalStateException if an earlier batch is still at work on some of them
     */
    static void takeOver(Settings settings, Staging staging, Connection provider,
                         Function<Manifest.Address, Connection> connect, Consumer<String> note) throws IOException {
        var earlier = earlier(settings, staging, provider, connect, Optional.of(note));
        if (earlier.isEmpty()) return;
        var name = settings.batchName();
        var all = staging.requests();
        long total = all.size();
        var reuse = new Reuse(earlier, all);
        earlier.stream().filter(batch -> batch.wanted > 0).forEach(Earlier::checkEnded);
        if (reuse.entries.length > 0) staging.leaveOut(reuse::answer);
        var last = earlier.stream().map(batch -> batch.journal).filter(journal -> journal.name().equals(name))
            .reduce((former, later) -> later);
        if (last.isEmpty() && staging.reused() == 0) return;      // others were called so too, before scripts counted
        note.accept(String.format(Locale.ROOT, "%s: %s; %,d answered before, %,d to send%s", name,
            count(total, "request"), staging.reused(), total - staging.reused() - staging.repeatCount(),
            last.map(journal -> changes(journal, settings.shape())).orElse("")));
    }

    /**
     * Leaves out of the staged requests what was answered before, as far as this disk knows, and asks nobody.
     * @return how many of those left out were sent and have no answer here yet, in batches that may be going on
     */
    static long leaveOut(Settings settings, Staging staging, Connection provider,
                         Function<Manifest.Address, Connection> connect) throws IOException {
        var earlier = earlier(settings, staging, provider, connect, Optional.empty());
        if (earlier.isEmpty()) return 0;
        var reuse = new Reuse(earlier, staging.requests());
        if (reuse.entries.length > 0) staging.leaveOut(reuse::answer);
        return reuse.unanswered;
    }

    /**
     * Returns the earlier batches of the same provider and name that ran or may have, oldest first.
     * @param note told what is waited for; empty: only what is on this disk counts
     */
    private static List<Earlier> earlier(Settings settings, Staging staging, Connection provider,
                                         Function<Manifest.Address, Connection> connect,
                                         Optional<Consumer<String>> note) {
        if (settings.resend != null || !settings.isNamed()) return List.of();
        var names = Stream.concat(Stream.of(settings.batchName()), settings.formerName().stream()).toList();
        var kept = Journal.all().toList();
        return kept.stream()
            .filter(journal -> names.stream().anyMatch(name -> journal.wasMadeAs(name, provider)))
            .filter(journal -> !journal.dir().equals(staging.folder(journal.name())))     // this one, at work elsewhere
            .filter(journal -> journal.mayHaveRun() || note.isPresent() && hasBegunMeanwhile(journal, note.get()))
            .sorted(Comparator.comparing(Journal::submittedAt))
            .map(journal -> new Earlier(journal, provider, kept, connect, note.isPresent(), settings.checks))
            .toList();
    }

    /** Whether a process that is at work on it, which is waited for, creates something. */
    private static boolean hasBegunMeanwhile(Journal journal, Consumer<String> note) {
        try (var lock = FolderLock.on(journal.dir(), note)) {
            journal.reload();
            return journal.mayHaveRun();
        }
    }

    private static long hash(String body) { return Json.Digest.hash(body) >>> NUMBER_BITS; }

    /** Returns the line that answered a request like this one, with where it came from; each only once. */
    private Optional<ObjectNode> answer(String line) {
        var body = SentRequests.body(line);
        long hash = hash(body);
        int from = first(hash);
        boolean isOnly = !isOf(hash, from + 1);
        for (int i = taken.nextClearBit(from); isOf(hash, i); i = taken.nextClearBit(i + 1)) {
            if (!isSame(i, body)) continue;
            taken.set(i);
            var answer = found(i);
            if (answer == null || !isOnly && !sources.add(answer.source)) continue;
            return Optional.of(taken(isOnly || answer.ok ? answer : better(answer, hash, from)));
        }
        return Optional.empty();
    }

    /** Returns what came of the same request when it was retried in a later batch that had taken it over. */
    private Found better(Found answer, long hash, int from) {
        return succeeded.computeIfAbsent(from, any -> succeeded(hash, from)).getOrDefault(answer.source, answer);
    }

    private Map<String, Found> succeeded(long hash, int from) {
        var bySource = new HashMap<String, Found>();
        for (int i = from; isOf(hash, i); i++) {
            var answer = found(i);
            if (answer != null && answer.ok) bySource.putIfAbsent(answer.source, answer);
        }
        return bySource;
    }

    private ObjectNode taken(Found answer) {
        if (answer.line == null) unanswered++;
        var line = answer.line == null ? Json.MAPPER.createObjectNode() : answer.line;
        boolean isPaidElsewhere = answer.line != null && !answer.source.startsWith(answer.paidIn + "#");
        if (isPaidElsewhere) line.put(SentRequests.PAID_IN, answer.paidIn);
        return line.put(SentRequests.SOURCE, answer.source);
    }

    /** Returns where the entries of a hash begin, or would. */
    private int first(long hash) {
        int at = Arrays.binarySearch(entries, hash << NUMBER_BITS);
        return at < 0 ? -at - 1 : at;
    }

    private boolean isOf(long hash, int entry) {
        return entry < entries.length && entries[entry] >>> NUMBER_BITS == hash;
    }

    private boolean isSame(int entry, String body) {
        return SentRequests.body(batch(entry).journal.requests().text(index(entry))).equals(body);
    }

    /**
     * Returns what came of an earlier request, if it has an answer; else null.
     * @throws IllegalStateException if an answer may be in a file that has not come, or not whole
     */
    private Found found(int entry) { return batch(entry).found(index(entry)); }

    private Earlier batch(int entry) { return earlier.get((int) (place(entry) >>> Integer.SIZE)); }

    private long index(int entry) { return place(entry) & 0xFFFFFFFFL; }

    private long place(int entry) { return found[(int) entries[entry] & (1 << NUMBER_BITS) - 1]; }

    /**
     * What came of a request.
     * @param line that answered; null: it was sent, and what came of it is not here
     * @param source which request was answered first, in whatever batch
     * @param paidIn the folder of the batch that was paid for it
     */
    private record Found(ObjectNode line, String source, String paidIn, boolean ok) {}

    /** Names the settings that differ from the last batch's, each after "; ". */
    private static String changes(Journal last, JsonNode now) {
        var before = last.manifest().settings();
        var words = new LinkedHashSet<String>();
        before.fieldNames().forEachRemaining(words::add);
        now.fieldNames().forEachRemaining(words::add);
        return words.stream().filter(word -> before.isObject() && !before.path(word).equals(now.path(word)))
            .map(word -> "; " + change(word, before.path(word), now.path(word))).collect(Collectors.joining());
    }

    private static String change(String word, JsonNode before, JsonNode now) {
        return CHANGES.getOrDefault(word, word + " is " + shown(now) + ", was " + shown(before));
    }

    private static String shown(JsonNode value) {
        if (value.isMissingNode()) return "not given";
        return clip(value.isTextual() ? value.asText() : value.toString(), 40);
    }

    /** A batch that was submitted before under the same name, and what was sent of it again. */
    private static final class Earlier {
        private final Journal journal;
        private final Watch watch;
        private final List<Watch> retries;                // oldest first
        private final Set<Path> forgotten = new HashSet<>();  // folders of those that their provider knows no more
        private long wanted;                              // how many of its requests may be asked for again
        private final boolean mayAsk;                     // else only what is on this disk counts
        private Optional<Exchanges> exchanges;            // null: not yet looked for; empty: none is here

        Earlier(Journal journal, Connection provider, List<Journal> all,
                Function<Manifest.Address, Connection> connect, boolean mayAsk, List<Settings.Check> checks) {
            this.journal = journal;
            this.mayAsk = mayAsk;
            this.watch = Watch.of(journal, provider, false, checks);
            this.retries = all.stream().filter(later -> later.isRetryOf(journal))
                .sorted(Comparator.comparing(Journal::submittedAt))
                .map(later -> Watch.of(later, later.isAt(provider) ? provider
                    : connect.apply(later.manifest().provider()), false, checks)).toList();
        }

        /** Returns which of its requests have one of these hashes; an answer that stands for several is one. */
        private LongStream askedAgain(long[] hashes) {
            var requests = journal.requests();
            return LongStream.range(0, requests.count()).filter(i -> !requests.isRepeat(i)
                && Arrays.binarySearch(hashes, requests.hash(i) >>> NUMBER_BITS) >= 0);
        }

        /** What is being answered would be paid twice. */
        void checkEnded() {
            checkEnded(watch);
            retries.forEach(this::checkEnded);
        }

        /** A provider forgets batches, and a local server may have been started anew on an empty store. */
        private void checkEnded(Watch watch) {
            boolean isUnsent = watch.state().journal().isUntouched();       // but for what was taken over
            var gone = isUnsent ? Set.<Integer>of() : watch.refreshWhatIsThere();
            if (isUnsent || !gone.isEmpty()) forgotten.add(watch.state().journal().dir());
            if (isUnsent) return;
            if (watch.state().parts().stream().allMatch(part -> part.status().isTerminal()
                || gone.contains(part.number()))) return;
            var name = watch.state().journal().folderName();
            boolean isUploaded = watch.state().isOnlyUploaded();
            var step = isUploaded ? "submit" : "await";
            throw new IllegalStateException("submit: " + name + " is still " + watch.state().status() + " and has "
                + count(wanted, "request") + " of these; " + step + " it first: "
                + (isUploaded ? Wording.SUBMIT : Wording.AWAIT).of(name)
                + ", or ask anew under another " + Wording.NAME);
        }

        /** Whether a file that has not come, or not whole, may answer it. */
        private boolean mayAnswer(Exchange exchange) {
            return !exchange.ok() && exchange.attempts().stream().anyMatch(attempt -> attempt.mayBeAnswered()
                && !forgotten.contains(attempt.batch().journal().dir()));
        }

        IllegalStateException comesShort() {
            var name = journal.folderName();
            return new IllegalStateException("submit: not all answers of " + name + " have come, and what may be "
                + "answered would be paid twice; ask for them: "
                + Wording.RESULTS.of(name) + ", or ask anew under another " + Wording.NAME);
        }

        /** Returns what came of a request, if it has an answer or may have one that is not here; else null. */
        Found found(long index) {
            if (exchanges == null) exchanges = mayAsk ? asked() : here();
            if (exchanges.isEmpty()) return mayComeYet(index) ? unanswered(index) : null;
            var exchange = exchanges.get().at(index);
            if (mayAsk && mayAnswer(exchange)) throw comesShort();
            return exchange.answered().map(answered -> new Found(answered.answerLine(), exchange.source(),
                answered.paidIn(), exchange.ok())).orElseGet(() -> mayAsk || isAllHere() ? null : unanswered(index));
        }

        private Found unanswered(long index) {
            return new Found(null, journal.folderName() + "#" + journal.requests().firstId(index), "", false);
        }

        private Optional<Exchanges> asked() {
            return Optional.of(retries.stream().map(Watch::collect).reduce(watch.collect(), Exchanges::mergeSame));
        }

        /** Returns what was fetched by an earlier look. */
        private Optional<Exchanges> here() {
            return watch.fetched().map(first -> retries.stream().flatMap(retry -> retry.fetched().stream())
                .reduce(first, Exchanges::mergeSame));
        }

        private boolean isAllHere() {
            return Stream.concat(Stream.of(watch), retries.stream()).map(batch -> batch.state().journal())
                .allMatch(batch -> batch.collected().count() == batch.partCount());
        }

        /** What an earlier batch took over is its answer, and a part that left no file has none. */
        private boolean mayComeYet(long index) {
            if (journal.requests().isReused(index)) return false;
            var part = journal.part(journal.requests().part(index));
            return !part.status().isTerminal() || !part.outputFileId().isEmpty() || !part.errorFileId().isEmpty();
        }
    }
}
