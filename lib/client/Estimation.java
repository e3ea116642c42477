package sheaf;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalLong;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.LongFunction;
import java.util.function.LongPredicate;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import sheaf.Outlook.Estimate;
import sheaf.Outlook.ModelEstimate;
import sheaf.Outlook.Preview;
import sheaf.Tokens.Count;
import sheaf.Vocabulary.BatchException;
import sheaf.Vocabulary.Usage;

/**
 * What submitting a draft would send: it is expanded and cut into parts by the same way, in a folder that goes at once.
 * Nothing is sent, and a server on this machine is only asked who it is: what was sent and answered before is what this
 * disk knows.
 */
final class Estimation {
    private final Settings settings;
    private final Connection provider;                     // its limits and its dialect
    private final Requests requests;
    private final boolean isChosen;                        // else nothing was sent there before
    private final Function<Manifest.Address, Connection> connect;
    private Function<String, Tokens> tokens = Tokens::of;

    /** @param connect makes the connection of an earlier batch, by which nobody is asked */
    Estimation(Settings settings, Connection provider, boolean isChosen,
               Function<Manifest.Address, Connection> connect) {
        this.settings = settings;
        this.provider = provider;
        this.isChosen = isChosen;
        this.connect = connect;
        requests = new Requests(settings, provider);
    }

    /** Which server of this machine it is decides what was answered before; who is not there is who always was. */
    private void meet() {
        try {
            new BatchApi(provider).meet("preview");
        } catch (BatchException | UncheckedIOException notToBeHad) {
            Journal.metAt(provider.baseUrl()).ifPresent(provider::hold);
        }
    }

    /**
     * Returns the first lines, and what all are or what is wrong with them. Of a model without a price tokens are
     * counted by length: a preview is to be there at once.
     */
    Preview preview(long shown, Consumer<String> note) {
        tokens = model -> settings.price(provider, model).isPresent() ? Tokens.of(model) : Tokens.byLength();
        var lines = first(shown);
        try {
            return new Preview(lines, estimate(note), "");
        } catch (IllegalArgumentException | IllegalStateException | UncheckedIOException fault) {
            return new Preview(lines, null, fault.getMessage());
        }
    }

    /** Returns the first lines; no row is read but those that they need. */
    List<String> first(long shown) {
        try (var first = requests.open()) {
            return first.limit(shown).map(Request::text).toList();
        }
    }

    /**
     * @param note told what is odd about the rows
     * @throws IllegalArgumentException if the data, a template or a setting is at fault, in whatever row
     */
    Estimate estimate(Consumer<String> note) {
        if (isChosen && provider.isLocal()) meet();
        return new Progress(settings.quiet).during(() -> "", progress -> {
            try (var staging = new Staging(provider, requests.endpoint(), settings.completionWindow)) {
                Preparation.fill(staging, requests, progress, note);
                staging.complete(settings.distinct);
                return estimate(staging, progress);
            } catch (IOException e) {
                throw Messages.cannotWrite("preview", Environment.home(), e);
            }
        });
    }

    private Estimate estimate(Staging staging, Progress progress) throws IOException {
        var repeats = staging.repeats();
        Predicate<Journal> isHere = old -> old.isAt(provider);
        var named = Preparation.named(settings, staging, isHere);
        var target = Preparation.target(staging, named.batchName(), isHere);
        if (isChosen && Preparation.isBegun(target)) return ofBegun(new Journal(target), repeats, progress);
        long all = staging.requests().size();
        long submitted = isChosen ? Reuse.leaveOut(named, staging, provider, connect) : 0;
        staging.leaveOutRepeats();
        var lines = staging.requests();
        return estimate(all, staging.reused() - submitted, submitted, staging.partCount(), repeats,
            i -> lines.file(i) != SentRequests.REUSED && !staging.isRepeat(i), lines::text, progress);
    }

    /** Of a batch that was begun only those parts are still to be sent that never were, or that never ran. */
    private Estimate ofBegun(Journal journal, Repeats repeats, Progress progress) {
        var manifest = journal.manifest();
        var waiting = journal.partNumbers().filter(part -> !journal.isSent(part)).boxed().collect(Collectors.toSet());
        long toSend = waiting.stream().mapToLong(part -> manifest.partRequests().get(part - 1)).sum();
        var requests = journal.requests();
        return estimate(manifest.requests(), manifest.reused(), journal.sentCount() - toSend, waiting.size(), repeats,
            i -> waiting.contains(requests.part(i)) && requests.isInAPart(i), requests::text, progress);
    }

    private Estimate estimate(long all, long answered, long submitted, int parts, Repeats repeats,
                              LongPredicate isToSend, LongFunction<String> line, Progress progress) {
        Map<String, Count> counts;
        try (var shown = progress.transfer("counting tokens")) {
            counts = Tokens.byModel(all, isToSend, line, tokens, characters -> shown.show(characters, 0));
        }
        var ofRepeats = repeats.count() == 0 ? Map.<String, Count>of()
            : Tokens.byModel(all, i -> repeats.isRepeat(i) && isToSend.test(i), line, tokens, characters -> {});
        var models = counts.entrySet().stream().map(count -> ofModel(count.getKey(), count.getValue())).toList();
        var saved = ofRepeats.entrySet().stream().map(count -> ofModel(count.getKey(), count.getValue()).mostDollars())
            .reduce(OptionalDouble.of(0), Estimation::sum);
        return new Estimate(all, answered, submitted, repeats.count(), saved, parts, models,
            counts.values().stream().mapToLong(Count::uncounted).sum(), settings.distinct, provider.isLocal());
    }

    private static OptionalDouble sum(OptionalDouble one, OptionalDouble other) {
        return one.isEmpty() || other.isEmpty() ? OptionalDouble.empty()
            : OptionalDouble.of(one.getAsDouble() + other.getAsDouble());
    }

    private ModelEstimate ofModel(String model, Count count) {
        var counted = tokens.apply(model);
        var price = settings.price(provider, model);
        var input = price.map(known -> known.of(new Usage(count.input(), 0, 0, 0), true));
        var most = price.filter(known -> count.unlimited() == 0)
            .map(known -> known.of(new Usage(count.input(), count.mostOutput(), 0, 0), true));
        return new ModelEstimate(model, count.requests(), count.input(),
            count.unlimited() == 0 ? OptionalLong.of(count.mostOutput()) : OptionalLong.empty(), counted.encoding(),
            !counted.isKnown(), optional(input), optional(most), price.map(known -> known.source(true)).orElse(""));
    }

    private static OptionalDouble optional(Optional<Double> amount) {
        return amount.map(OptionalDouble::of).orElse(OptionalDouble.empty());
    }
}
