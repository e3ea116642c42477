package sheaf;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.stream.Stream;
import sheaf.Findings.Cost;
import sheaf.Findings.ModelCost;
import sheaf.Prices.Price;
import sheaf.Vocabulary.Outcome;
import sheaf.Vocabulary.Usage;

/**
 * What was paid for requests, every time that they were sent: by the tokens that the answers tell, in a batch or one by
 * one. What a sample of the draft had answered counts; what an earlier batch had answered was paid there, and is apart.
 */
final class Spending {
    private final Map<List<String>, Line> lines = new LinkedHashMap<>();   // by provider, model and template
    private final Line before = new Line();
    private final Set<String> priceSources = new LinkedHashSet<>();
    private final Map<String, Optional<Manifest>> earlier = new HashMap<>();       // by folder
    private final Map<Path, Map<String, Long>> calls = new HashMap<>();    // sent one by one, by folder
    private final Map<List<Object>, Optional<Price>> prices = new HashMap<>();

    static Cost of(Stream<Exchange> exchanges) {
        var spending = new Spending();
        exchanges.forEach(spending::add);
        return spending.cost();
    }

    /** What was paid to one model, as far as is known. */
    private static final class Line {
        private long requests, unmeasured, priced;
        private Usage usage = Usage.NONE;
        private double dollars;
        private boolean isLocal = true;

        void add(Usage more, Optional<Double> price, boolean isHere) {
            requests++;
            isLocal &= isHere;
            if (more.total() == 0) unmeasured++;
            usage = usage.plus(more);
            if (more.total() > 0 && price.isPresent()) priced++;
            dollars += price.orElse(0.0);
        }

        OptionalDouble dollars() {
            return priced > 0 && priced == requests - unmeasured ? OptionalDouble.of(dollars) : OptionalDouble.empty();
        }
    }

    void add(Exchange exchange) {
        for (var attempt : exchange.attempts()) if (mayCost(attempt)) add(exchange.template(), attempt);
    }

    private void add(String template, Attempt attempt) {
        var there = attempt.isReused() ? earlier(attempt) : Optional.of(attempt.batch().manifest());
        boolean isAtOnce = there.map(Manifest::isAtOnce).orElse(false);
        var own = attempt.batch().manifest();
        var manifest = there.orElse(own);
        var model = model(attempt, there);
        var given = isAtOnce && manifest.price().isEmpty() ? own : manifest;       // of a sample the draft's counts too
        var price = prices.computeIfAbsent(List.of(given.provider().name(), given.price(), model),
            any -> given.price(model));
        boolean isBefore = attempt.isReused() && !isAtOnce;
        var line = isBefore ? before : lines.computeIfAbsent(
            List.of(manifest.provider().label(), model, template), any -> new Line());
        line.add(attempt.usage(), price.map(known -> known.of(attempt.usage(), !isAtOnce)),
            BaseUrl.isFree(manifest.provider().baseUrl()));
        boolean isCounted = !isBefore && attempt.usage().total() > 0;
        if (isCounted) price.map(known -> known.source(!isAtOnce)).ifPresent(priceSources::add);
    }

    /** Returns the model that was paid: in the place of another provider's it may have had a name of its own. */
    private static String model(Attempt attempt, Optional<Manifest> there) {
        var own = there.filter(Manifest::isInstead).map(batch -> batch.settings().path("model").asText()).orElse("");
        return Stream.of(attempt.isReused() ? own : "", attempt.model()).filter(name -> !name.isEmpty()).findFirst()
            .orElseGet(() -> attempt.body().model());
    }

    /** Returns what is known of the batch that was paid for one that was taken over; empty if its folder is gone. */
    private Optional<Manifest> earlier(Attempt attempt) {
        return earlier.computeIfAbsent(attempt.paidIn(), name -> {
            var dir = Journal.folder().resolve(name);
            return Files.exists(dir.resolve(Journal.MANIFEST)) ? Optional.of(new Journal(dir).manifest())
                : Optional.empty();
        });
    }

    /** Whether it was paid, or nobody has said that it was not: what expired, was cancelled or broke costs nothing. */
    private boolean mayCost(Attempt attempt) {
        if (attempt.isRepeat()) return false;
        if (attempt.usage().total() > 0) return true;
        if (attempt.hasAnswer()) return attempt.outcome() != Outcome.ERRORED;
        return attempt.outcome() == Outcome.MISSING || wasCalled(attempt);
    }

    private boolean wasCalled(Attempt attempt) {
        var journal = attempt.batch().journal();
        return journal.manifest().isAtOnce() && calls.computeIfAbsent(journal.dir(), any ->
            new SingleCalls(journal).sent()).getOrDefault(attempt.firstId(), 0L) > 0;
    }

    Cost cost() {
        var models = new ArrayList<ModelCost>();
        lines.forEach((key, line) -> models.add(new ModelCost(key.get(0), key.get(1), key.get(2), line.requests,
            line.usage, line.unmeasured, line.dollars(), line.isLocal)));
        boolean isWhole = before.unmeasured == 0;
        return new Cost(models, List.copyOf(priceSources), before.requests,
            isWhole ? before.dollars() : OptionalDouble.empty());
    }
}
