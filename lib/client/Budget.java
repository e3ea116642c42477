package sheaf;

import static sheaf.Messages.count;
import static sheaf.Messages.dollars;
import static sheaf.Messages.number;

import com.fasterxml.jackson.databind.JsonNode;
import java.net.URI;
import java.nio.file.Files;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.function.LongFunction;
import java.util.function.LongPredicate;
import java.util.function.LongToDoubleFunction;
import java.util.function.LongUnaryOperator;
import java.util.stream.LongStream;
import sheaf.Prices.Price;
import sheaf.Tokens.Count;
import sheaf.Vocabulary.Outcome;
import sheaf.Vocabulary.Status;
import sheaf.Vocabulary.Usage;

/**
 * The dollars that a draft may cost with all its rounds: nothing is to be sent that could pass them. What came is
 * counted as it was, what is under way as the most that it may be. It knows the batches of the draft's name, and no
 * others.
 */
final class Budget {
    private static final double ROUNDING = 1e-9;              // that sums of fractions may be off
    private final Settings settings;
    private final Connection provider;
    private final String name;                            // of the draft, and of its rounds
    private final Map<List<String>, Price> prices = new HashMap<>();      // by provider and model

    Budget(Settings settings, Connection provider) {
        this.settings = settings;
        this.provider = provider;
        name = DefaultName.root(settings.batchName());
    }

    /** What a budget does not let through. */
    static final class Exceeded extends IllegalStateException {
        Exceeded(String what) { super("budget: " + what); }
    }

    /** Lets one draft of the name at a time see what the others have spent, and then spend. */
    FolderLock lock(Consumer<String> note) {
        var key = "budget-of-" + Json.Digest.shortHex(name);
        return FolderLock.on(Journal.folder().resolve(key), note);
    }

    /**
     * Refuses what could pass the budget.
     * @param isToSend which of the requests are to be sent
     * @param split to whom, each at its own price
     * @throws Exceeded if it could, or nobody knows
     */
    void check(long requests, LongPredicate isToSend, LongFunction<String> line, Shares.Split split, boolean isBatch) {
        var counts = split.counts(requests, isToSend, line, asked -> Tokens.of(asked.model()), characters -> {});
        if (counts.isEmpty()) return;
        var spent = Journal.all().filter(this::isOfDraft).map(this::spent).reduce(new Spent(0, 0), Spent::plus);
        double left = settings.budget - spent.dollars;
        double most = counts.entrySet().stream()
            .mapToDouble(of -> most(of.getKey().provider().name(), of.getKey().model(), of.getValue(), isBatch)).sum();
        if (most <= left + ROUNDING) return;
        LongToDoubleFunction each = i -> isToSend.test(i) ? most(i, Json.lenient(line.apply(i)), split, isBatch) : 0;
        var fits = fitting(LongStream.range(0, requests), each, left, isBatch);
        throw new Exceeded(count(counts.values().stream().mapToLong(Count::requests).sum(), "request") + " may cost "
            + dollars(most) + ", " + spent.text(name) + "and " + dollars(settings.budget) + " is given; " + fits);
    }

    /**
     * What of a draft was paid, or may be.
     * @param lost calls of a sample that broke off: whether they are paid only the provider knows, so they count
     */
    private record Spent(double dollars, long lost) {
        Spent plus(Spent other) { return new Spent(dollars + other.dollars, lost + other.lost); }

        String text(String name) {
            if (dollars == 0) return "";
            return Messages.dollars(dollars) + " is spent or under way as " + name + (lost == 0 ? ""
                : " (with " + count(lost, "call") + " that broke off and may be paid)") + ", ";
        }
    }

    /** Says how many rows fit, or requests where there are no rows. */
    private String fitting(LongStream requests, LongToDoubleFunction most, double left, boolean isBatch) {
        double sum = 0;
        long fits = 0;
        for (var i = requests.iterator(); i.hasNext() && sum <= left + ROUNDING; fits++)
            sum += most.applyAsDouble(i.next());
        if (sum > left + ROUNDING) fits--;
        if (settings.data == null) return fits == 0 ? "none fits" : "the first " + number(fits) + " fit";
        long rows = fits / (settings.prompts.size() * settings.models.size());
        if (rows == 0) return isBatch ? "not even the first row fits" : "not even one row fits";
        if (!isBatch)
            return "about " + count(rows, "row") + (rows == 1 ? " fits" : " fit") + ", by " + Wording.SAMPLE.of(rows);
        return (rows == 1 ? "the first row fits" : "the first " + count(rows, "row") + " fit") + ", by "
            + Wording.LIMIT.of(rows);
    }

    private double most(long request, JsonNode line, Shares.Split split, boolean isBatch) {
        var asked = split.asked(request, line.at("/body/model").asText());
        return most(asked.provider().name(), asked.model(), Tokens.of(asked.model()).count(line), isBatch);
    }

    /** What a server on this machine has tried out before costs nothing at a provider elsewhere. */
    private boolean isOfDraft(Journal journal) {
        boolean wasHere = BaseUrl.isLoopback(URI.create(journal.manifest().provider().baseUrl()));
        boolean isCalledSo = DefaultName.root(journal.name()).equals(name);
        return isCalledSo && journal.mayHaveRun() && (provider.isLocal() || !wasHere);
    }

    /** Returns what was spent in a batch and is under way in it. */
    private Spent spent(Journal journal) {
        var requests = journal.requests();
        var there = journal.manifest().provider().name();
        boolean isBatch = !journal.manifest().isAtOnce();
        var answers = Files.exists(journal.answersIndex()) ? Optional.of(new Answers(journal))
            : Optional.<Answers>empty();
        var calls = isBatch ? Map.<String, Long>of() : new SingleCalls(journal).sent();
        LongUnaryOperator unknown = i -> isSent(journal, i) ? unknown(journal, answers, calls, i) : 0;
        double dollars = LongStream.range(0, requests.count()).filter(i -> isSent(journal, i))
            .mapToDouble(i -> known(there, requests.model(i), usage(answers, i), isBatch)).sum();
        var each = LongStream.range(0, isBatch ? 0 : requests.count()).map(unknown).summaryStatistics();
        dollars += LongStream.rangeClosed(1, isBatch ? 1 : each.getMax()).mapToDouble(times -> most(there,
            Tokens.byModel(requests.count(), i -> unknown.applyAsLong(i) >= times, requests::text), isBatch)).sum();
        return new Spent(dollars, isBatch ? 0 : each.getSum());
    }

    private static boolean isSent(Journal journal, long request) {
        return journal.requests().isInAPart(request) && journal.isSent(journal.requests().part(request));
    }

    private static Usage usage(Optional<Answers> answers, long request) {
        return answers.flatMap(all -> all.answer(request)).map(answer -> answer.body().usage()).orElse(Usage.NONE);
    }

    private double known(String there, String model, Usage usage, boolean isBatch) {
        return usage.total() == 0 ? 0 : price(there, model).of(usage, isBatch);
    }

    /** Returns how often a request was sent of which nobody has said what it costs. */
    private static long unknown(Journal journal, Optional<Answers> answers, Map<String, Long> calls, long request) {
        var answer = answers.flatMap(all -> all.answer(request));
        boolean isUnmeasured = answer.isPresent() && usage(answers, request).total() == 0
            && answer.get().outcome() != Outcome.ERRORED;
        if (journal.manifest().isAtOnce()) {
            long sent = calls.getOrDefault(journal.requests().firstId(request), 0L);
            if (isUnmeasured) return Math.max(1, sent);
            return answer.isEmpty() ? sent : Math.max(0, sent - 1);
        }
        if (answer.isPresent()) return isUnmeasured ? 1 : 0;
        var part = journal.part(journal.requests().part(request));
        boolean isOver = part.status().isTerminal() && journal.isFetched(part);
        return !isOver || part.status().equals(Status.COMPLETED) ? 1 : 0;
    }

    private double most(String there, Map<String, Count> counts, boolean isBatch) {
        return counts.entrySet().stream().mapToDouble(of -> most(there, of.getKey(), of.getValue(), isBatch)).sum();
    }

    /** @throws Exceeded if nobody knows what these cost at most */
    private double most(String there, String model, Count count, boolean isBatch) {
        if (count.uncounted() > 0)
            throw new Exceeded("what images, hosted tools and other parts that are no text cost only the "
                + "provider knows; leave out " + Wording.BUDGET);
        if (count.unlimited() > 0)
            throw new Exceeded(count(count.unlimited(), "answer") + " of " + model + " may be of any length; "
                + Wording.MAX_TOKENS + " limits " + (count.unlimited() == 1 ? "it" : "them"));
        return price(there, model).of(new Usage(count.mostInput(), count.mostOutput(), 0, 0), isBatch);
    }

    /** A table of the user's own is read anew each time that it is asked. */
    private Price price(String there, String model) {
        return prices.computeIfAbsent(List.of(there, model), key -> asked(there, model));
    }

    private Price asked(String there, String model) {
        return Optional.ofNullable(settings.price).or(() -> Prices.of(there, model)).orElseThrow(() ->
            new Exceeded("no price is known for " + model + " at " + there + "; " + Wording.PRICE));
    }
}
