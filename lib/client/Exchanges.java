package sheaf;

import static java.util.stream.Collectors.joining;
import static sheaf.Messages.given;
import static sheaf.Messages.number;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Path;
import java.util.BitSet;
import java.util.Collections;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.BiPredicate;
import java.util.function.Function;
import java.util.function.LongFunction;
import java.util.function.Predicate;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import sheaf.Vocabulary.Outcome;
import sheaf.Vocabulary.Part;
import sheaf.Vocabulary.Usage;

/** The exchanges of a batch in input order, read from disk as they are asked for: all, or those that a filter left. */
final class Exchanges {
    private static final int MOST_TEXTS = 128;            // that a provider sends
    private final Answers answers;
    private final LongFunction<Exchange> at;              // by the request's index
    private final BitSet selected;                            // the requests that a filter left; null: all
    private final boolean isChosen;                       // by only(...): then retry() takes them all
    private final String name;
    private Map<Outcome, Long> counts;
    private Map<String, Set<String>> answeringModels;      // by the model that was asked for
    private int mostTexts;                                // that one of them has
    private Usage usage;                                  // of all; null: not yet summed up

    Exchanges(Answers answers) {
        this(answers, index -> new Exchange(answers, index), null, false, answers.journal().name());
        usage = answers.batchUsage();
    }

    private Exchanges(Answers answers, LongFunction<Exchange> at, BitSet selected, boolean isChosen, String name) {
        this.answers = answers;
        this.at = at;
        this.selected = selected;
        this.isChosen = isChosen;
        this.name = name;
    }

    String name() { return name; }

    Answers answers() { return answers; }

    /** Whether no filter has left any out. */
    boolean isWhole() { return selected == null; }

    Exchange at(long index) { return at.apply(index); }

    Stream<Exchange> stream() {
        var indexes = selected == null ? LongStream.range(0, answers.count()) : selected.stream().asLongStream();
        return indexes.mapToObj(at);
    }

    long size() { return selected == null ? answers.count() : selected.cardinality(); }

    Map<Outcome, Long> counts() {
        if (counts == null) tally();
        return counts;
    }

    Usage usage() {
        if (usage == null) tally();
        return usage;
    }

    /** Returns which models answered in the place of which, as the responses name them; only names that differ. */
    Map<String, Set<String>> answeringModels() {
        if (answeringModels == null) tally();
        return answeringModels;
    }

    /** Returns how they ended, and what they cost: {@code 2 succeeded, 1 errored; 33 tokens in, 16 out}. */
    String summary() { return outcomes() + "; " + usage(); }

    /** Returns how many ended in which way: 3 succeeded, 1 errored. */
    String outcomes() {
        return counts().entrySet().stream().map(count -> number(count.getValue()) + " " + count.getKey())
            .collect(joining(", "));
    }

    private void tally() {
        var tally = new EnumMap<Outcome, Long>(Outcome.class);
        var models = new TreeMap<String, Set<String>>();
        var paid = new HashMap<Path, Paid>();
        for (var i = stream().iterator(); i.hasNext(); ) {
            var exchange = i.next();
            tally.merge(exchange.outcome(), 1L, Long::sum);
            mostTexts = Math.max(mostTexts, exchange.texts().size());
            if (!exchange.answeringModel().isEmpty())
                models.computeIfAbsent(exchange.model(), model -> new TreeSet<>()).add(exchange.answeringModel());
            for (var attempt : exchange.attempts())
                paid.computeIfAbsent(attempt.batch().journal().dir(), batch -> new Paid(attempt.batch())).add(attempt);
        }
        counts = Collections.unmodifiableMap(tally);
        models.entrySet().removeIf(answered -> answered.getValue().equals(Set.of(answered.getKey())));
        answeringModels = models;
        if (usage == null) usage = paid.values().stream().map(Paid::usage).reduce(Usage.NONE, Usage::plus);
    }

    /** What was paid for requests of one batch. */
    private static final class Paid {
        private final Answers batch;
        private long requests;
        private Usage sum = Usage.NONE;

        Paid(Answers batch) { this.batch = batch; }

        void add(Attempt attempt) {
            requests++;
            sum = sum.plus(attempt.usage());
        }

        /** Returns what the provider says, if that is of the same requests. */
        Usage usage() {
            var said = requests == batch.count() ? batch.batchUsage() : null;
            return said == null ? sum : said;
        }
    }

    double accuracy(String column) {
        if (size() == 0) throw new IllegalStateException("accuracy: there are no results");
        given("accuracy", column);
        return (double) stream().filter(exchange -> exchange.says(exchange.row(column))).count() / size();
    }

    Exchanges filtered(Predicate<Exchange> filter, String word) { return filtered(filter, word, isChosen); }

    /** Returns those of these outcomes; a retry takes all of them. */
    Exchanges only(Set<Outcome> outcomes) {
        return filtered(exchange -> outcomes.contains(exchange.outcome()), "only", true);
    }

    Exchanges failed() { return filtered(exchange -> !exchange.ok(), "failed"); }

    private Exchanges filtered(Predicate<Exchange> filter, String word, boolean isChosen) {
        var matching = new BitSet();
        stream().filter(filter).forEach(exchange -> matching.set((int) exchange.index()));
        return new Exchanges(answers, at, matching, isChosen, name + "-" + word);
    }

    <K> Map<K, Exchanges> by(Function<Exchange, K> property) {
        var groups = new LinkedHashMap<K, BitSet>();
        stream().forEach(exchange -> groups.computeIfAbsent(property.apply(exchange), key -> new BitSet())
            .set((int) exchange.index()));
        var exchanges = new LinkedHashMap<K, Exchanges>();
        groups.forEach((key, group) ->
            exchanges.put(key, new Exchanges(answers, at, group, isChosen, name + "-" + key)));
        return exchanges;
    }

    /** Returns these with a retry's answers instead of failed ones; what came is only replaced by a whole answer. */
    Exchanges merge(Exchanges retry) {
        var origin = answers.manifest().origin();
        if (!retry.answers.manifest().isResend() || !retry.answers.manifest().origin().equals(origin))
            throw new IllegalArgumentException("merge: " + retry.name + " is no retry of " + name
                + "; merge takes what retry() brought");
        return merge(retry, (before, index) -> true);
    }

    /** Returns these with what a retry brought of the same requests. */
    Exchanges mergeSame(Exchanges retry) {
        return merge(retry, (before, index) -> before.isRepeatedBy(retry.answers.requests(), index));
    }

    private Exchanges merge(Exchanges retry, BiPredicate<Exchange, Long> isRetried) {
        var retried = new HashMap<String, Long>();         // its index in the retry, by the id that it had at first
        retry.stream().forEach(exchange -> retried.put(exchange.firstId(), exchange.index()));
        return new Exchanges(answers, index -> {
            var before = at(index);
            var later = retried.get(before.firstId());
            return later == null || !isRetried.test(before, later) ? before : before.retriedAs(retry.at(later));
        }, selected, isChosen, name);
    }

    /** Returns what retry() sends: those that may succeed next time, or all that only(...) chose. */
    Exchanges retryable() {
        var retryable = isChosen ? this : filtered(Exchange::isRetryable, "retry");
        if (retryable.size() > 0) return retryable;
        var failed = failed();
        throw new IllegalStateException(failed.size() == 0 ? "retry: nothing failed, so there is nothing to send again"
            : "retry: none of " + number(failed.size()) + " failed requests may succeed next time ("
                + failed.outcomes() + "); only(outcome).retry() sends those all the same");
    }

    /**
     * Returns a draft's settings that send these once more.
     * @param failed those that these were chosen from
     * @param word says which retry it is
     */
    Settings resend(Exchanges failed, String word, boolean isGrowing) {
        var manifest = answers.manifest();
        var resend = new Settings.Resend(name, manifest.name(), manifest.origin(), batchIds(), manifest.endpoint(),
            manifest.rowColumns(), manifest.promptColumns(), size(), isGrowing, () -> stream().map(Exchange::sent));
        return new Settings().with(settings -> {
            settings.resend = resend;
            if (!manifest.completionWindow().isEmpty()) settings.completionWindow = manifest.completionWindow();
            settings.outputSeconds = manifest.outputSeconds();
            settings.metadata = manifest.metadata();
            settings.note = leftOut(failed, word);
        });
    }

    /** Returns the ids of the parts of all batches that these were sent in, by folder. */
    private Map<Path, List<String>> batchIds() {
        var ids = new LinkedHashMap<Path, List<String>>();
        stream().flatMap(exchange -> exchange.attempts().stream()).map(attempt -> attempt.batch().journal())
            .forEach(journal -> ids.computeIfAbsent(journal.dir(), dir -> journal.parts().map(Part::id).toList()));
        return ids;
    }

    private String leftOut(Exchanges failed, String word) {
        var rest = failed.filtered(exchange -> !selected.get((int) exchange.index()), "left");
        var said = word + ": " + number(size()) + " of " + number(failed.size()) + " failed requests";
        if (rest.size() == 0) return word.equals("retry") ? "" : said;
        return said + "; left out, for the same request would end the same: " + rest.outcomes();
    }

    void writeJsonl(OutputStream out) throws IOException {
        for (var i = stream().iterator(); i.hasNext(); ) out.write(Json.line(i.next().joined()));
    }

    /** Returns the columns of the rows. Rows of JSON need not have the same ones, so all are asked. */
    Set<String> rowColumns() {
        var columns = new LinkedHashSet<>(answers.manifest().rowColumns());
        if (columns.isEmpty()) stream().forEach(exchange -> columns.addAll(exchange.row().keySet()));
        columns.remove("result");
        return columns;
    }

    /**
     * Returns how many texts an answer has: as many as were asked for, whatever came. A server may send more, and what
     * a file of requests asks for is its own.
     */
    int textsPerAnswer() {
        counts();
        return Math.max(mostTexts, Math.min(MOST_TEXTS, answers.manifest().settings().path("n").asInt()));
    }

    @Override public String toString() { return "Results[" + name + " " + outcomes() + "]"; }
}
