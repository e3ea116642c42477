package sheaf;

import static java.util.stream.Collectors.joining;
import static sheaf.Messages.given;
import static sheaf.Messages.number;
import static sheaf.Messages.visible;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.Collections;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.function.BiPredicate;
import java.util.function.Function;
import java.util.function.LongFunction;
import java.util.function.Predicate;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import sheaf.Findings.Confusion;
import sheaf.Findings.Share;
import sheaf.Vocabulary.Outcome;
import sheaf.Vocabulary.Usage;

/** The exchanges of a batch in input order, read from disk as they are asked for: all, or those that a filter left. */
final class Exchanges {
    private static final int PIECE = 1 << 18;             // bytes on disk
    private static final int MOST_TEXTS = 128;            // that a provider sends
    private static final Duration SHORT = Duration.ofMinutes(1);      // of which nobody asks how long it was
    private final Answers answers;
    private final LongFunction<Exchange> at;              // by the request's index
    private final BitSet selected;                            // the requests that a filter left; null: all
    private final boolean isChosen;                       // by only(...): then retry() takes them all
    private final String name;
    private final List<Settings.Check> checks;            // of their answers, by the user
    private Map<Outcome, Long> counts;
    private Map<String, Set<String>> answeringModels;      // by the model that was asked for
    private int mostTexts;                                // that one of them has
    private Usage usage;                                  // of all; null: not yet summed up
    private Timing timing;                                // of the batches that they were sent in; likewise

    Exchanges(Answers answers, List<Settings.Check> checks) {
        this(answers, index -> new Exchange(answers, index, checks), null, false, answers.journal().name(), checks);
        usage = answers.batchUsage();
    }

    private Exchanges(Answers answers, LongFunction<Exchange> at, BitSet selected, boolean isChosen, String name,
                      List<Settings.Check> checks) {
        this.answers = answers;
        this.at = at;
        this.selected = selected;
        this.isChosen = isChosen;
        this.name = name;
        this.checks = checks;
    }

    String name() { return name; }

    Answers answers() { return answers; }

    /** Whether no filter has left any out. */
    boolean isWhole() { return selected == null; }

    Exchange at(long index) { return at.apply(index); }

    Stream<Exchange> stream() { return indexes().mapToObj(at); }

    private LongStream indexes() {
        return selected == null ? LongStream.range(0, answers.count()) : selected.stream().asLongStream();
    }

    /**
     * Has several threads work on these, a few at once, which are read from the disk; what comes of it is taken in
     * order.
     * @param perRow how many requests a row makes, which are not parted
     */
    <T, E extends Exception> void inPieces(int perRow, Function<List<Exchange>, T> work, Pieces.Taker<T, E> taker)
            throws E {
        var rest = stream().iterator();
        Pieces.inOrder(new Iterator<Callable<T>>() {
            private Exchange next = rest.hasNext() ? rest.next() : null;

            @Override public boolean hasNext() { return next != null; }

            @Override public Callable<T> next() {
                var some = new ArrayList<Exchange>();
                long row = -1;
                for (long bytes = 0; next != null && (bytes < PIECE || next.index() / perRow == row); ) {
                    row = next.index() / perRow;
                    bytes += next.fetch();
                    some.add(next);
                    next = rest.hasNext() ? rest.next() : null;
                }
                return () -> work.apply(some);
            }
        }, taker);
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

    /** Returns how long they were at their providers, if those say. */
    Optional<Duration> duration() {
        if (timing == null) tally();
        return timing.duration();
    }

    /** Returns which models answered in the place of which, as the responses name them; only names that differ. */
    Map<String, Set<String>> answeringModels() {
        if (answeringModels == null) tally();
        return answeringModels;
    }

    /** Returns how they ended, and what that took: {@code 2 succeeded, 1 errored; 33 tokens in, 16 out; took 2h5m}. */
    String summary() {
        var took = duration().filter(time -> time.compareTo(SHORT) >= 0);
        return outcomes() + "; " + usage() + took.map(time -> "; took " + Timing.text(time)).orElse("");
    }

    /** Returns how many ended in which way: 3 succeeded, 1 errored. */
    String outcomes() {
        return counts().entrySet().stream().map(count -> number(count.getValue()) + " " + count.getKey())
            .collect(joining(", "));
    }

    private void tally() {
        var tally = new Tally();
        inPieces(1, some -> new Tally().of(some, usage == null), tally::add);
        take(tally);
    }

    /** Writes what work makes of these, and counts them on the way, for they are read but once. */
    void write(int perRow, Function<List<Exchange>, byte[]> work, OutputStream out) throws IOException {
        var tally = new Tally();
        boolean isCounted = counts != null;
        inPieces(perRow, some -> {
            var counted = isCounted ? tally : new Tally().of(some, usage == null);
            return new Piece(work.apply(some), counted);
        }, piece -> {
            out.write(piece.bytes);
            if (!isCounted) tally.add(piece.tally);
        });
        if (!isCounted) take(tally);
    }

    private record Piece(byte[] bytes, Tally tally) {}

    private void take(Tally tally) {
        counts = Collections.unmodifiableMap(tally.outcomes);
        tally.models.entrySet().removeIf(answered -> answered.getValue().equals(Set.of(answered.getKey())));
        answeringModels = tally.models;
        mostTexts = tally.mostTexts;
        timing = tally.timing;
        if (usage == null) usage = tally.paid.values().stream().map(Paid::usage).reduce(Usage.NONE, Usage::plus);
    }

    /** What became of some. */
    private static final class Tally {
        private final Map<Outcome, Long> outcomes = new EnumMap<>(Outcome.class);
        private final Map<String, Set<String>> models = new TreeMap<>();
        private final Map<Path, Paid> paid = new HashMap<>();
        private final Timing timing = new Timing();
        private int mostTexts;

        Tally of(List<Exchange> exchanges, boolean isPaidCounted) {
            for (var exchange : exchanges) {
                outcomes.merge(exchange.outcome(), 1L, Long::sum);
                mostTexts = Math.max(mostTexts, exchange.texts().size());
                if (!exchange.answeringModel().isEmpty()) add(exchange.model(), Set.of(exchange.answeringModel()));
                for (var attempt : exchange.attempts()) {
                    timing.add(attempt.batch());
                    if (isPaidCounted) paid(attempt.batch()).add(1, attempt.usage());
                }
            }
            return this;
        }

        void add(Tally other) {
            other.outcomes.forEach((outcome, count) -> outcomes.merge(outcome, count, Long::sum));
            other.models.forEach(this::add);
            other.paid.values().forEach(more -> paid(more.batch).add(more.requests, more.sum));
            timing.add(other.timing);
            mostTexts = Math.max(mostTexts, other.mostTexts);
        }

        private void add(String model, Set<String> answering) {
            models.computeIfAbsent(model, any -> new TreeSet<>()).addAll(answering);
        }

        private Paid paid(Answers batch) {
            return paid.computeIfAbsent(batch.journal().dir(), any -> new Paid(batch));
        }
    }

    /** What was paid for requests of one batch. */
    private static final class Paid {
        private final Answers batch;
        private long requests;
        private Usage sum = Usage.NONE;

        Paid(Answers batch) { this.batch = batch; }

        void add(long more, Usage usage) {
            requests += more;
            sum = sum.plus(usage);
        }

        /** Returns what the provider says, if that is of the same requests. */
        Usage usage() {
            var said = requests == batch.count() ? batch.batchUsage() : null;
            return said == null ? sum : said;
        }
    }

    Share accuracy(String column) {
        checkRightAnswers("accuracy", column);
        return new Share(stream().filter(exchange -> exchange.says(exchange.row(column))).count(), size());
    }

    /** @param word asks for what this column says is right */
    private void checkRightAnswers(String word, String column) {
        if (size() == 0) throw new IllegalStateException(word + ": there are no results");
        given(word, column);
    }

    Confusion confusion(String column) {
        checkRightAnswers("confusion", column);
        var counts = new TreeMap<String, Map<String, Long>>();
        stream().forEach(exchange -> counts.computeIfAbsent(Exchange.folded(exchange.row(column)),
            any -> new TreeMap<>()).merge(exchange.verdict(), 1L, Long::sum));
        return new Confusion(column, counts);
    }

    Exchanges filtered(Predicate<Exchange> filter, String word) { return filtered(filter, word, isChosen); }

    /** Returns those of these outcomes; a retry takes all of them. */
    Exchanges only(Set<Outcome> outcomes) {
        return filtered(exchange -> outcomes.contains(exchange.outcome()), "only", true);
    }

    /**
     * Returns those that are not sure enough of their label, or do not fit; a retry takes all of them.
     * @throws IllegalStateException if none says how sure it is, for then it is not known which those are
     */
    Exchanges below(double confidence) {
        if (stream().noneMatch(exchange -> exchange.confidence().isPresent()))
            throw new IllegalStateException("below: no answer says how sure the model was; ask for it by "
                + Wording.CONFIDENCE + ", of a provider and a model that give logprobs");
        return filtered(exchange -> exchange.isBelow(confidence), "below", true);
    }

    Exchanges failed() { return filtered(exchange -> !exchange.ok(), "failed"); }

    private Exchanges filtered(Predicate<Exchange> filter, String word, boolean isChosen) {
        var matching = new BitSet();
        stream().filter(filter).forEach(exchange -> matching.set((int) exchange.index()));
        return new Exchanges(answers, at, matching, isChosen, name + "-" + word, checks);
    }

    <K> Map<K, Exchanges> by(Function<Exchange, K> property) {
        var groups = new LinkedHashMap<K, BitSet>();
        stream().forEach(exchange -> groups.computeIfAbsent(property.apply(exchange), key -> new BitSet())
            .set((int) exchange.index()));
        var exchanges = new LinkedHashMap<K, Exchanges>();
        groups.forEach((key, group) ->
            exchanges.put(key, new Exchanges(answers, at, group, isChosen, name + "-" + key, checks)));
        return exchanges;
    }

    /** Returns these with a retry's answers instead of their own, unless that would be less. */
    Exchanges merge(Exchanges retry) {
        var origin = answers.manifest().origin();
        if (!retry.answers.manifest().isResend() || !retry.answers.manifest().origin().equals(origin))
            throw new IllegalArgumentException("merge: " + retry.name + " is no retry of " + name
                + "; merge takes what retry() brought");
        return merge(retry, (before, index) -> true, true);
    }

    /** Returns these with what a retry brought of the same requests, or another provider in the place of the first. */
    Exchanges mergeSame(Exchanges retry) {
        boolean isInstead = retry.answers.manifest().isInstead();
        return merge(retry, (before, index) -> isInstead || before.isRepeatedBy(retry.answers.requests(), index),
            false);
    }

    private Exchanges merge(Exchanges retry, BiPredicate<Exchange, Long> isRetried, boolean isReplacing) {
        var requests = retry.answers.requests();
        var retried = new IdIndex(retry.indexes(), requests.count(), requests::firstId);
        return new Exchanges(answers, index -> {
            var before = at(index);
            long later = retried.find(before.firstId());
            return later < 0 || !isRetried.test(before, later) ? before
                : before.retriedAs(retry.at(later), isReplacing);
        }, selected, isChosen, name, checks);
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
     * @param isRepair whether what went wrong with each is said with it
     */
    Settings resend(Exchanges failed, String word, boolean isRepair) {
        var manifest = answers.manifest();
        var resend = new Resend(name, manifest.name(), manifest.names(), manifest.origin(), batchIds(),
            manifest.endpoint(), manifest.rowColumns(), manifest.promptColumns(), size(), isRepair,
            () -> stream().map(Exchange::sent));
        return again(resend, manifest, leftOut(failed, word), checks);
    }

    /** Returns a draft's settings that send requests of a batch once more. */
    static Settings again(Resend resend, Manifest manifest, String note, List<Settings.Check> checks) {
        return new Settings().with(settings -> {
            settings.resend = resend;
            boolean hasWindow = !manifest.completionWindow().isEmpty() && !manifest.isAtOnce();
            if (hasWindow) settings.completionWindow = manifest.completionWindow();
            settings.outputSeconds = manifest.outputSeconds();
            settings.metadata = manifest.metadata();
            settings.note = note;
            settings.format = manifest.format();
            settings.checks = checks;
        });
    }

    /** Returns the ids of the parts of all batches that these were sent in, by folder. */
    private Map<Path, List<String>> batchIds() {
        var ids = new LinkedHashMap<Path, List<String>>();
        stream().flatMap(exchange -> exchange.attempts().stream()).map(attempt -> attempt.batch().journal())
            .forEach(journal -> ids.computeIfAbsent(journal.dir(), dir -> journal.partIds()));
        return ids;
    }

    private String leftOut(Exchanges failed, String word) {
        var rest = failed.filtered(exchange -> !selected.get((int) exchange.index()), "left");
        var said = word + ": " + number(size()) + " of " + number(failed.size()) + " failed requests";
        if (rest.size() == 0) return word.equals("retry") ? "" : said;
        return said + "; left out, for the same request would end the same: " + rest.outcomes();
    }

    private static byte[] lines(List<Exchange> exchanges) {
        var lines = new ByteArrayOutputStream();
        for (var exchange : exchanges) {
            lines.writeBytes(exchange.joinedAsJson());
            lines.write('\n');
        }
        return lines.toByteArray();
    }

    /** @param columns of the rows, each of which is then written once, without answers; none: all, with the answer */
    void writeJsonl(OutputStream out, String... columns) throws IOException {
        var unknown = new LinkedHashSet<>(List.of(columns));
        unknown.remove("result");                          // that a row had before
        unknown.removeAll(unknown.isEmpty() ? Set.of() : rowColumns());
        if (!unknown.isEmpty())
            throw new IllegalArgumentException("toJsonl: no column " + visible(unknown) + "; there are: "
                + visible(rowColumns()));
        if (columns.length == 0) inPieces(1, Exchanges::lines, out::write);
        else writeRows(out, Set.of(columns));
    }

    private void writeRows(OutputStream out, Set<String> columns) throws IOException {
        long last = -1;
        for (var i = stream().iterator(); i.hasNext(); ) {
            var exchange = i.next();
            long number = exchange.index() / answers.manifest().requestsPerRow();
            var row = new LinkedHashMap<>(exchange.row());
            row.keySet().retainAll(columns);
            if (number != last) out.write(Json.line(row));
            last = number;
        }
    }

    /** Returns the whole answers as values of a class; says at the end how many others do not fit it. */
    <T> Stream<T> as(Class<T> type) {
        var unfit = new ArrayList<String>();
        var fitting = stream().filter(Exchange::ok).flatMap(exchange -> {
            try {
                return Stream.of(exchange.as(type));
            } catch (IllegalStateException e) {
                unfit.add(e.getMessage());
                return Stream.of();
            }
        });
        return Stream.concat(fitting, Stream.of(unfit).flatMap(all -> {
            if (!all.isEmpty()) System.err.println(all.get(0) + "; " + number(all.size()) + " of " + number(size())
                + " left out");
            return Stream.of();
        }));
    }

    /** Returns the columns of the rows. Rows of JSON need not have the same ones, so all are asked. */
    Set<String> rowColumns() {
        var columns = new LinkedHashSet<>(answers.manifest().rowColumns());
        if (columns.isEmpty()) stream().forEach(exchange -> columns.addAll(exchange.row().keySet()));
        columns.remove("result");
        return columns;
    }

    /**
     * Returns how many texts an answer has, as far as is known: as many as were asked for, whatever came. A server may
     * send more, and what a file of requests asks for is its own: that is known once they are counted.
     */
    int textsPerAnswer() {
        return Math.max(mostTexts, Math.min(MOST_TEXTS, answers.manifest().settings().path("n").asInt()));
    }

    @Override public String toString() { return "Results[" + name + " " + outcomes() + "]"; }
}
