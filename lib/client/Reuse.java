package sheaf;

import static sheaf.Messages.clip;
import static sheaf.Messages.count;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Comparator;
import java.util.Deque;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import sheaf.Vocabulary.BatchException;

/**
 * Takes over what earlier batches of the same provider and name have answered already: the answer to the same request,
 * endpoint and body to the byte, its id aside. The n-th repeat of a request takes the n-th answer; only the rest is
 * sent.
 */
final class Reuse {
    private static final int NUMBER_BITS = 28;            // of an entry: its number; the rest is a hash
    private static final Map<String, String> CHANGES = Map.of("system", "the system prompt changed", "prompts",
        "the prompts changed", "example", "the examples changed", "image", "the images changed");
    private final List<Earlier> earlier;                  // oldest first
    private final long[] entries;                         // requests that may be asked for again, sorted: hash, number
    private final long[] found;                           // by number: which of the earlier ones, and the index in it
    private final BitSet taken = new BitSet();            // by the index in entries
    private final Map<String, Deque<Exchange>> repeats = new HashMap<>();    // by body, where a hash has several

    private Reuse(List<Earlier> earlier, LineIndex staged) {
        this.earlier = earlier;
        var wanted = LongStream.range(0, staged.size()).map(i -> hash(SentRequests.body(staged.text(i)))).sorted()
            .toArray();
        var hashes = LongStream.builder();
        var places = LongStream.builder();
        for (int batch = 0; batch < earlier.size(); batch++) {
            var requests = earlier.get(batch).journal.requests();
            for (long i = 0; i < requests.count(); i++) {
                if (Arrays.binarySearch(wanted, requests.hash(i) >>> NUMBER_BITS) < 0) continue;
                hashes.add(requests.hash(i) >>> NUMBER_BITS);
                places.add((long) batch << Integer.SIZE | i);
                earlier.get(batch).wanted++;
            }
        }
        found = places.build().toArray();
        var hash = hashes.build().toArray();
        entries = IntStream.range(0, hash.length).mapToLong(i -> hash[i] << NUMBER_BITS | i).sorted().toArray();
    }

    /**
     * Leaves out of the staged requests what was answered before, and says how many that are.
     * @param target the folder that they belong into; requests that are there already are attached to
     * @param connect finds the provider of a retry, which may be another one
     * @throws IllegalStateException if an earlier batch is still at work on some of them
     */
    static void takeOver(Settings settings, Staging staging, Path target, Connection provider,
                         Function<Manifest.Address, Connection> connect, Consumer<String> note) throws IOException {
        if (settings.resend != null || !settings.isNamed()) return;
        if (Files.exists(target) && !new Journal(target).isUntouched()) return;
        var kept = Journal.all().toList();
        var earlier = kept.stream().filter(journal -> journal.wasSubmittedAs(settings.batchName(), provider))
            .sorted(Comparator.comparing(Journal::submittedAt))
            .map(journal -> new Earlier(journal, provider, kept, connect)).toList();
        if (earlier.isEmpty()) return;
        var all = staging.requests();
        long total = all.size();
        var reuse = new Reuse(earlier, all);
        earlier.stream().filter(batch -> batch.wanted > 0).forEach(Earlier::checkEnded);
        if (reuse.entries.length > 0) staging.leaveOut(reuse::answer);
        var last = earlier.get(earlier.size() - 1).journal;
        note.accept(String.format(Locale.ROOT, "%s: %s; %,d answered before, %,d sent%s", settings.batchName(),
            count(total, "request"), staging.reused(), total - staging.reused(), changes(last, settings.shape())));
    }

    private static long hash(String body) { return Json.Digest.hash(body) >>> NUMBER_BITS; }

    /** Returns the line that answered a request like this one, with where it came from; each only once. */
    private Optional<ObjectNode> answer(String line) {
        var body = SentRequests.body(line);
        long hash = hash(body);
        int from = first(hash);
        if (!isOf(hash, from)) return Optional.empty();
        if (isOf(hash, from + 1)) {
            var answers = repeats.computeIfAbsent(body, any -> answers(hash, from, body));
            return Optional.ofNullable(answers.poll()).map(Reuse::marked);
        }
        var exchange = exchange(from, body);
        if (taken.get(from) || exchange == null) return Optional.empty();
        taken.set(from);
        return Optional.of(marked(exchange));
    }

    /** Returns where the entries of a hash begin, or would. */
    private int first(long hash) {
        int at = Arrays.binarySearch(entries, hash << NUMBER_BITS);
        return at < 0 ? -at - 1 : at;
    }

    private boolean isOf(long hash, int entry) {
        return entry < entries.length && entries[entry] >>> NUMBER_BITS == hash;
    }

    /** Returns the answers to a request in the order in which they came; of one that was retried, the better. */
    private Deque<Exchange> answers(long hash, int from, String body) {
        var answers = new LinkedHashMap<String, Exchange>();
        for (int i = from; isOf(hash, i); i++) {
            var exchange = exchange(i, body);
            if (exchange == null) continue;
            answers.merge(exchange.source(), exchange, (first, second) -> first.ok() || !second.ok() ? first : second);
        }
        return new ArrayDeque<>(answers.values());
    }

    /** Returns what came of an earlier request, if that was this one and has an answer; else null. */
    private Exchange exchange(int entry, String body) {
        long where = found[(int) entries[entry] & (1 << NUMBER_BITS) - 1];
        var batch = earlier.get((int) (where >>> Integer.SIZE));
        long index = where & 0xFFFFFFFFL;
        if (!SentRequests.body(batch.journal.requests().text(index)).equals(body)) return null;
        var exchange = batch.exchange(index);
        if (exchange.hasAnswer()) return exchange;
        if (exchange.mayBeInAShortFile()) throw batch.comesShort();
        return null;
    }

    private static ObjectNode marked(Exchange exchange) {
        return exchange.answerLine().put(SentRequests.SOURCE, exchange.source());
    }

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
        private long wanted;                              // how many of its requests may be asked for again
        private Exchanges exchanges;                      // null: not yet fetched

        Earlier(Journal journal, Connection provider, List<Journal> all,
                Function<Manifest.Address, Connection> connect) {
            this.journal = journal;
            this.watch = watch(journal, provider);
            this.retries = all.stream()
                .filter(later -> later.manifest().resendOf().equals(journal.manifest().digest()) && later.mayHaveRun())
                .sorted(Comparator.comparing(Journal::submittedAt))
                .map(later -> watch(later, later.isAt(provider) ? provider
                    : connect.apply(later.manifest().provider()))).toList();
        }

        private static Watch watch(Journal journal, Connection provider) {
            var state = new BatchState(provider);
            state.attach(journal);
            return new Watch(state, false);
        }

        /** What is being answered would be paid twice. */
        void checkEnded() {
            checkEnded(watch);
            retries.forEach(this::checkEnded);
        }

        private void checkEnded(Watch watch) {
            if (!isThere(watch) || watch.state().status().isTerminal()) return;
            var name = watch.state().journal().folderName();
            throw new IllegalStateException("submit: " + name + " is still " + watch.state().status() + " and has "
                + count(wanted, "request") + " of these; await it first: batch(\"" + name
                + "\").await(), or ask anew under another name(...)");
        }

        /** A provider forgets batches, and a local server may have been started anew on an empty store. */
        private static boolean isThere(Watch watch) {
            try {
                watch.refresh("submit");
                return true;
            } catch (BatchException e) {
                if (e.status() != 404) throw e;
                return false;
            }
        }

        IllegalStateException comesShort() {
            var name = journal.folderName();
            return new IllegalStateException("submit: not all answers of " + name + " have come, and what may be "
                + "answered would be paid twice; ask for them: batch(\"" + name
                + "\").results(), or ask anew under another name(...)");
        }

        Exchange exchange(long index) {
            if (exchanges == null) exchanges = retries.stream().map(Watch::collect).filter(Exchanges::hasAnswers)
                .reduce(watch.collect(), Exchanges::merge);
            return exchanges.at(index);
        }
    }
}
