package sheaf;

import static sheaf.Messages.cannot;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalLong;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.LongConsumer;
import java.util.function.LongFunction;
import java.util.function.LongPredicate;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import sheaf.Outlook.Estimate;
import sheaf.Outlook.ModelEstimate;
import sheaf.Outlook.Preview;
import sheaf.Prices.Price;
import sheaf.Shares.Asked;
import sheaf.Tokens.Count;
import sheaf.Vocabulary.BatchException;
import sheaf.Vocabulary.Usage;

/**
 * What submitting a draft, or asking a sample of it, would send: it is expanded and cut into parts by the same way, in
 * a folder that goes at once. Nothing is sent, and a server on this machine is only asked who it is: what was sent and
 * answered before is what this disk knows.
 */
final class Estimation {
    private final Settings settings;                       // of all, or of the rows of the sample
    private final Connection provider;                     // its limits and its dialect
    private final Requests requests;
    private final long sampleOf;                           // requests of the whole draft; 0: these are all
    private final boolean isChosen;                        // else nothing was sent there before
    private final Function<Manifest.Address, Connection> connect;

    /**
     * @param connect makes the connection of an earlier batch, by which nobody is asked
     * @throws IllegalArgumentException if there is to be a sample, and some row is at fault
     */
    Estimation(Settings draft, Connection provider, boolean isChosen, Function<Manifest.Address, Connection> connect) {
        var sampled = draft.sampled == null ? new Requests.Sampled(draft, 0)
            : new Requests(draft, provider).sample(draft.sampled);
        sampleOf = sampled.all();
        settings = sampled.settings();
        requests = new Requests(settings, provider);
        this.provider = provider;
        this.isChosen = isChosen;
        this.connect = connect;
    }

    /** Which server of this machine it is decides what was answered before; who is not there is who always was. */
    private void meet() {
        try {
            if (!provider.isMissing()) new BatchApi(provider).meet("preview");
            else Journal.metAt(provider.baseUrl()).ifPresent(provider::hold);
        } catch (BatchException | UncheckedIOException notToBeHad) {
            Journal.metAt(provider.baseUrl()).ifPresent(provider::hold);
        }
    }

    /**
     * Returns the first lines, and what all are or what is wrong with them. Of a model without a price tokens are
     * counted by length: a preview is to be there at once.
     */
    Preview preview(long shown, Consumer<String> note) {
        var lines = first(shown);
        try {
            return new Preview(lines, estimate(note, asked -> price(asked).isPresent() ? Tokens.of(asked.model())
                : Tokens.byLength()), "");
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
    Estimate estimate(Consumer<String> note) { return estimate(note, asked -> Tokens.of(asked.model())); }

    /** @param tokens counts those of a model */
    private Estimate estimate(Consumer<String> note, Function<Asked, Tokens> tokens) {
        boolean isShared = sampleOf == 0 && !settings.shares.isEmpty();
        if (isShared) Shares.check(settings.shares);
        if (isChosen && provider.isLocal()) meet();
        var window = sampleOf > 0 ? Manifest.AT_ONCE : settings.completionWindow;
        return new Progress(settings.quiet).during(() -> "", progress -> {
            try (var staging = new Staging(provider, requests.endpoint(), window)) {
                if (isShared) staging.share(settings.shares);
                Preparation.fill(staging, requests, progress, note);
                staging.complete(settings.distinct);
                return estimate(sending(staging), tokens, progress);
            } catch (IOException e) {
                throw cannot("preview", "write to " + Environment.home(), e);
            }
        });
    }

    /** All requests: those that are to be sent, and what became of the others. */
    private record Sending(long all, long answered, long submitted, int parts, Repeats repeats, LongPredicate isToSend,
                           LongFunction<String> line, Shares.Split split) {
        /** Returns what is to be sent to each model. */
        Map<Asked, Count> counts(Function<Asked, Tokens> tokens, LongConsumer characters) {
            return split.counts(all, isToSend, line, tokens, characters);
        }

        Map<Asked, Count> repeatCounts(Function<Asked, Tokens> tokens) {
            return repeats.count() == 0 ? Map.of()
                : split.counts(all, i -> repeats.isRepeat(i) && isToSend.test(i), line, tokens, none -> {});
        }
    }

    private Sending sending(Staging staging) throws IOException {
        var repeats = staging.repeats();
        Predicate<Journal> isHere = old -> old.isAt(provider);
        var named = Preparation.named(settings, staging, isHere);
        var target = Preparation.target(staging, named.batchName(), isHere);
        if (isChosen && Preparation.isBegun(target)) return ofBegun(new Journal(target), repeats);
        long all = staging.requests().size();
        long submitted = isChosen ? Reuse.leaveOut(named, staging, provider, connect) : 0;
        staging.leaveOutRepeats();
        var lines = staging.requests();
        return new Sending(all, staging.reused() - submitted, submitted, staging.partCount(), repeats,
            i -> lines.file(i) != SentRequests.REUSED && !staging.isRepeat(i), lines::text, staging.split());
    }

    /** Of a batch that was begun only those parts are still to be sent that never were, or that never ran. */
    private Sending ofBegun(Journal journal, Repeats repeats) {
        if (sampleOf > 0) return ofBegunSample(journal, repeats);
        var manifest = journal.manifest();
        var waiting = Preparation.unsentParts(journal);
        long toSend = waiting.stream().mapToLong(part -> manifest.partRequests().get(part - 1)).sum();
        var requests = journal.requests();
        return new Sending(manifest.requests(), manifest.reused(), journal.sentCount() - toSend, waiting.size(),
            repeats, i -> requests.isInAPart(i) && waiting.contains(requests.part(i)), requests::text,
            Shares.Split.of(manifest, requests::part));
    }

    private Sending ofBegunSample(Journal journal, Repeats repeats) {
        var manifest = journal.manifest();
        var unanswered = new SingleCalls(journal).unanswered();
        long answered = manifest.partRequests().stream().mapToLong(Long::longValue).sum() - unanswered.size();
        return new Sending(manifest.requests(), manifest.reused() + answered, 0, 0, repeats, unanswered::contains,
            journal.requests()::text, Shares.Split.none(provider));
    }

    private Estimate estimate(Sending sending, Function<Asked, Tokens> tokens, Progress progress) {
        Map<Asked, Count> counts;
        try (var shown = progress.transfer("counting tokens")) {
            counts = sending.counts(tokens, characters -> shown.show(characters, 0));
        }
        var models = ofModels(counts, tokens);
        var saved = ofModels(sending.repeatCounts(tokens), tokens).stream().map(ModelEstimate::mostDollars)
            .reduce(OptionalDouble.of(0), Estimation::sum);
        return new Estimate(sending.all, sending.answered, sending.submitted, sending.repeats.count(), saved,
            sending.parts, models, counts.values().stream().mapToLong(Count::uncounted).sum(), settings.distinct,
            provider.isFree() && sending.split.others().stream().allMatch(other -> other.provider().isFree()),
            sampleOf);
    }

    private static OptionalDouble sum(OptionalDouble one, OptionalDouble other) {
        return one.isEmpty() || other.isEmpty() ? OptionalDouble.empty()
            : OptionalDouble.of(one.getAsDouble() + other.getAsDouble());
    }

    private List<ModelEstimate> ofModels(Map<Asked, Count> counts, Function<Asked, Tokens> tokens) {
        return counts.entrySet().stream().map(count -> ofModel(count.getKey(), count.getValue(),
            tokens.apply(count.getKey()))).toList();
    }

    private Optional<Price> price(Asked asked) { return settings.price(asked.provider().name(), asked.model()); }

    private ModelEstimate ofModel(Asked asked, Count count, Tokens counted) {
        var price = price(asked);
        boolean isBatch = sampleOf == 0;
        var input = price.map(known -> known.of(new Usage(count.input(), 0, 0, 0), isBatch));
        var most = price.filter(known -> count.unlimited() == 0)
            .map(known -> known.of(new Usage(count.input(), count.mostOutput(), 0, 0), isBatch));
        return new ModelEstimate(asked.provider().label(), asked.model(), count.requests(), count.input(),
            count.unlimited() == 0 ? OptionalLong.of(count.mostOutput()) : OptionalLong.empty(), counted.encoding(),
            !counted.isKnown(), optional(input), optional(most), price.map(known -> known.source(isBatch)).orElse(""));
    }

    private static OptionalDouble optional(Optional<Double> amount) {
        return amount.map(OptionalDouble::of).orElse(OptionalDouble.empty());
    }
}
