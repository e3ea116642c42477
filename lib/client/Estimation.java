package sheaf;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import sheaf.Vocabulary.BatchException;
import sheaf.Vocabulary.Estimate;

/**
 * What submitting a draft would send: it is expanded and cut into parts by the same way, in a folder that goes at once.
 * Nothing is sent, and a server on this machine is only asked who it is: what was sent and answered before is what this
 * disk knows.
 */
final class Estimation {
    private final Settings settings;
    private final Connection provider;                     // its limits and its dialect
    private final boolean isChosen;                        // else nothing was sent there before
    private final Function<Manifest.Address, Connection> connect;

    /** @param connect makes the connection of an earlier batch, by which nobody is asked */
    Estimation(Settings settings, Connection provider, boolean isChosen,
               Function<Manifest.Address, Connection> connect) {
        this.settings = settings;
        this.provider = provider;
        this.isChosen = isChosen;
        this.connect = connect;
        if (isChosen && provider.isLocal()) meet();
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
     * @param note told what is odd about the rows
     * @throws IllegalArgumentException if the data, a template or a setting is at fault, in whatever row
     */
    Estimate estimate(Requests requests, Consumer<String> note) {
        return new Progress(settings.quiet).during(() -> "", progress -> {
            try (var staging = new Staging(provider, requests.endpoint(), settings.completionWindow)) {
                Preparation.fill(staging, requests, progress, note);
                staging.complete();
                return estimate(staging);
            } catch (IOException e) {
                throw Messages.cannotWrite("preview", Environment.home(), e);
            }
        });
    }

    private Estimate estimate(Staging staging) throws IOException {
        long repeats = repeats(staging.requests());
        Predicate<Journal> isHere = old -> old.isAt(provider);
        var named = Preparation.named(settings, staging, isHere);
        var target = Preparation.target(staging, named.batchName(), isHere);
        if (isChosen && Preparation.isBegun(target)) return ofBegun(new Journal(target), repeats);
        long all = staging.requests().size();
        long submitted = isChosen ? Reuse.leaveOut(named, staging, provider, connect) : 0;
        return new Estimate(all, staging.reused() - submitted, submitted, repeats, staging.partCount(),
            staging.models(), staging.tokens());
    }

    /** Counts requests that are the same as one before them; two of one hash are taken for the same here. */
    private static long repeats(LineIndex requests) {
        var hashes = LongStream.range(0, requests.size())
            .map(i -> Json.Digest.hash(SentRequests.body(requests.text(i)))).sorted().toArray();
        return IntStream.range(1, hashes.length).filter(i -> hashes[i] == hashes[i - 1]).count();
    }

    /** Of a batch that was begun only those parts are still to be sent that never were, or that never ran. */
    private static Estimate ofBegun(Journal journal, long repeats) {
        var manifest = journal.manifest();
        var waiting = journal.partNumbers().filter(part -> !isSent(journal, part)).boxed().collect(Collectors.toSet());
        long toSend = waiting.stream().mapToLong(part -> manifest.partRequests().get(part - 1)).sum();
        long tokens = waiting.stream().filter(part -> part <= manifest.partTokens().size())
            .mapToLong(part -> manifest.partTokens().get(part - 1)).sum();
        return new Estimate(manifest.requests(), manifest.reused(), journal.sentCount() - toSend, repeats,
            waiting.size(), models(journal.requests(), waiting), tokens);
    }

    private static boolean isSent(Journal journal, int part) {
        return journal.isCreateUnsure(part) || journal.hasBatch(part) && journal.part(part).hasRun();
    }

    private static Map<String, Long> models(SentRequests requests, Set<Integer> parts) {
        var models = new LinkedHashMap<String, Long>();
        if (parts.isEmpty()) return models;
        for (long i = 0; i < requests.count(); i++)
            if (parts.contains(requests.part(i))) models.merge(requests.model(i), 1L, Long::sum);
        return models;
    }
}
