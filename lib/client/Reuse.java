package sheaf;

import static sheaf.Messages.clip;
import static sheaf.Messages.count;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Comparator;
import java.util.LinkedHashSet;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.LongStream;
import sheaf.Vocabulary.BatchException;

/**
 * Compares what is about to be sent with the batch last submitted under the same name: says what has changed since, and
 * takes over its answers to the same requests, where that was asked for.
 */
final class Reuse {
    private static final int NUMBER_BITS = 28;            // of an entry: a request's number; the rest is a hash
    private static final Map<String, String> CHANGES = Map.of("system", "the system prompt changed", "prompts",
        "the prompts changed", "example", "the examples changed", "image", "the images changed");
    private final Journal journal;                        // of the earlier batch
    private final long[] entries;                         // of its requests, sorted: hash and number
    private final BitSet taken = new BitSet();            // entries that were found already
    private Exchanges answers;                            // null: not asked for

    private Reuse(Journal journal) {
        this.journal = journal;
        entries = LongStream.range(0, journal.requests().count())
            .map(number -> hash(body(number)) << NUMBER_BITS | number).sorted().toArray();
    }

    /**
     * Says how the staged requests differ from the last ones of this name, and leaves out those that were answered, if
     * the settings say so.
     * @param target the folder that they belong into; requests that are there already are compared with nothing
     * @param connect finds the provider of an earlier batch
     */
    static void compare(Settings settings, Staging staging, Path target, Connection provider,
                        Function<Manifest.Address, Connection> connect, Consumer<String> note) throws IOException {
        if (settings.resend != null || !settings.isNamed()) return;
        if (Files.exists(target) && !new Journal(target).isUntouched()) return;
        var name = settings.batchName();
        var last = Journal.lastSubmitted(name, provider.name());
        if (last.isPresent()) new Reuse(last.get()).compare(settings, staging, provider, connect, note);
        else if (settings.reuse) note.accept("reuse: nothing was submitted as " + name + " before, so all is sent");
    }

    private void compare(Settings settings, Staging staging, Connection provider,
                         Function<Manifest.Address, Connection> connect, Consumer<String> note) throws IOException {
        if (settings.reuse) answers = answers(provider, connect);
        var all = staging.requests();
        long total = all.size();
        long differing = LongStream.range(0, total).filter(i -> take(all.text(i)) < 0).count();
        taken.clear();
        if (settings.reuse) staging.leaveOut(this::answer);
        long reused = staging.reused();
        var then = settings.reuse ? String.format(Locale.ROOT,
            "; %,d are sent, and for %,d the answer of then is taken", total - reused, reused)
            : "; all are sent, where reuse() would send those";
        note.accept("submit: " + journal.name() + " was submitted before (" + Messages.minute(journal.submittedAt())
            + ", " + count(journal.manifest().requests(), "request") + "); " + changes(settings.shape())
            + String.format(Locale.ROOT, "%,d of %,d requests differ", differing, total) + then);
    }

    /** Fetches the answers of the earlier batch and of its retries; one that is still going has not got them all. */
    private Exchanges answers(Connection provider, Function<Manifest.Address, Connection> connect) {
        var first = ended(watch(journal, provider), journal.name());
        first.await(Watch.FOREVER, false);
        var merged = first.collect();
        var retries = Journal.all()
            .filter(later -> later.manifest().resendOf().equals(journal.manifest().digest()) && later.mayHaveRun())
            .sorted(Comparator.comparing(Journal::submittedAt)).toList();
        for (var later : retries) {
            boolean isThere = later.isAt(provider.name());
            var watch = watch(later, isThere ? provider : connect.apply(later.manifest().provider()));
            if (hasAnswers(watch, later.folderName())) merged = merged.merge(watch.collect());
        }
        return merged;
    }

    private static Watch watch(Journal journal, Connection provider) {
        var state = new BatchState(provider);
        state.attach(journal);
        return new Watch(state, false);
    }

    /** A local server may have been started anew on an empty store: then its batches never were. */
    private static boolean hasAnswers(Watch later, String name) {
        try {
            return ended(later, name).state().hasRun();
        } catch (BatchException e) {
            if (e.status() != 404 || !later.state().provider().isLocal()) throw e;
            return false;
        }
    }

    private static Watch ended(Watch watch, String name) {
        watch.refresh("status");
        if (watch.state().status().isTerminal()) return watch;
        throw new IllegalStateException("reuse: " + name + " is still " + watch.state().status()
            + "; await it first: batch(\"" + name + "\").await()");
    }

    /** Finds an earlier request like this one, each only once; -1 if there is none. */
    private int take(String line) {
        var body = body(line);
        long hash = hash(body);
        int from = Arrays.binarySearch(entries, hash << NUMBER_BITS);     // of the hash and number 0
        if (from < 0) from = -from - 1;                                   // which is where it would stand
        for (int i = taken.nextClearBit(from); i < entries.length && hashOf(entries[i]) == hash;
             i = taken.nextClearBit(i + 1)) {
            if (!body(numberOf(entries[i])).equals(body)) continue;
            taken.set(i);
            return numberOf(entries[i]);
        }
        return -1;
    }

    private static long hashOf(long entry) { return entry >>> NUMBER_BITS; }

    private static int numberOf(long entry) { return (int) entry & (1 << NUMBER_BITS) - 1; }

    private static long hash(String body) { return Json.Digest.hash(body) >>> NUMBER_BITS; }

    /** Returns the line that answered a request like this one, if it was answered whole. */
    private Optional<ObjectNode> answer(String line) {
        int number = take(line);
        var exchange = number < 0 ? null : answers.at(number);
        return exchange == null || !exchange.ok() ? Optional.empty() : Optional.of(exchange.answerLine());
    }

    /** Names the settings that differ, each followed by "; ". */
    private String changes(JsonNode now) {
        var before = journal.manifest().settings();
        var words = new LinkedHashSet<String>();
        before.fieldNames().forEachRemaining(words::add);
        now.fieldNames().forEachRemaining(words::add);
        return words.stream().filter(word -> before.isObject() && !before.path(word).equals(now.path(word)))
            .map(word -> change(word, before.path(word), now.path(word)) + "; ").collect(Collectors.joining());
    }

    private static String change(String word, JsonNode before, JsonNode now) {
        return CHANGES.getOrDefault(word, word + " is " + shown(now) + ", was " + shown(before));
    }

    private static String shown(JsonNode value) {
        if (value.isMissingNode()) return "not given";
        return clip(value.isTextual() ? value.asText() : value.toString(), 40);
    }

    private String body(long number) { return body(journal.requests().text(number)); }

    /** Returns a request without its id. */
    private static String body(String line) {
        boolean isOurs = line.startsWith("{\"custom_id\":\"" + Requests.ID);
        int rest = isOurs ? line.indexOf("\",\"method\"") : -1;
        if (rest > 0) return line.substring(rest);
        return Json.lenient(line) instanceof ObjectNode object ? object.without("custom_id").toString() : line;
    }
}
