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
import java.util.Set;
import java.util.function.Consumer;
import java.util.function.LongFunction;
import java.util.function.LongPredicate;
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
        name = root(settings.resend != null ? settings.resend.batchName() : settings.batchName());
    }

    private static String root(String name) { return name.replaceFirst("-retry$", ""); }

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
     * @throws Exceeded if it could, or nobody knows
     */
    void check(long requests, LongPredicate isToSend, LongFunction<String> line, boolean isBatch) {
        var counts = Tokens.byModel(requests, isToSend, line);
        if (counts.isEmpty()) return;
        double spent = Journal.all().filter(this::isOfDraft).mapToDouble(this::spent).sum();
        double left = settings.budget - spent;
        double most = most(provider.name(), counts, isBatch);
        if (most <= left + ROUNDING) return;
        var fits = fitting(LongStream.range(0, requests), isToSend, line, left, isBatch);
        throw new Exceeded(count(counts.values().stream().mapToLong(Count::requests).sum(), "request") + " may cost "
            + dollars(most) + ", " + (spent == 0 ? "" : dollars(spent) + " is spent or under way as " + name + ", ")
            + "and " + dollars(settings.budget) + " is given; " + fits);
    }

    /** Says how many rows fit, or requests where there are no rows. */
    private String fitting(LongStream requests, LongPredicate isToSend, LongFunction<String> line, double left,
                           boolean isBatch) {
        double sum = 0;
        long fits = 0;
        for (var i = requests.iterator(); i.hasNext() && sum <= left + ROUNDING; fits++) {
            long next = i.next();
            if (isToSend.test(next)) sum += most(Json.lenient(line.apply(next)), isBatch);
        }
        if (sum > left + ROUNDING) fits--;
        if (settings.data == null) return fits == 0 ? "none fits" : "the first " + number(fits) + " fit";
        long rows = fits / (settings.prompts.size() * settings.models.size());
        if (rows == 0) return "not even the first row fits";
        return (rows == 1 ? "the first row fits" : "the first " + count(rows, "row") + " fit") + ", by "
            + Wording.LIMIT.of(rows);
    }

    private double most(JsonNode line, boolean isBatch) {
        var model = line.at("/body/model").asText();
        return most(provider.name(), model, Tokens.of(model).count(line), isBatch);
    }

    /** What a server on this machine has tried out before costs nothing at a provider elsewhere. */
    private boolean isOfDraft(Journal journal) {
        boolean wasHere = BaseUrl.isLoopback(URI.create(journal.manifest().provider().baseUrl()));
        return root(journal.name()).equals(name) && journal.mayHaveRun() && (provider.isLocal() || !wasHere);
    }

    /** Returns what was spent in a batch and is under way in it, in dollars. */
    private double spent(Journal journal) {
        var requests = journal.requests();
        var there = journal.manifest().provider().name();
        boolean isBatch = !journal.manifest().isAtOnce();
        var answers = Files.exists(journal.answersIndex()) ? Optional.of(new Answers(journal))
            : Optional.<Answers>empty();
        var asked = isBatch ? Set.<String>of() : new SingleCalls(journal).ids();
        double known = LongStream.range(0, requests.count()).filter(i -> isSent(journal, i))
            .mapToDouble(i -> known(there, requests.model(i), usage(answers, i), isBatch)).sum();
        return known + most(there, Tokens.byModel(requests.count(), i -> isSent(journal, i)
            && mayCost(journal, answers, asked, i), requests::text), isBatch);
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

    /** Whether nobody has said what a request that was sent costs: it runs, or its answer is not here or says none. */
    private static boolean mayCost(Journal journal, Optional<Answers> answers, Set<String> asked, long request) {
        var answer = answers.flatMap(all -> all.answer(request));
        if (answer.isPresent())
            return usage(answers, request).total() == 0 && answer.get().outcome() != Outcome.ERRORED;
        if (journal.manifest().isAtOnce()) return asked.contains(journal.requests().firstId(request));
        var part = journal.part(journal.requests().part(request));
        boolean isOver = part.status().isTerminal() && journal.isFetched(part);
        return !isOver || part.status().equals(Status.COMPLETED);
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
