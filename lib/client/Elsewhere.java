package sheaf;

import static sheaf.Messages.count;
import static sheaf.Messages.number;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import sheaf.Templates.Text;
import sheaf.Vocabulary.BatchException;
import sheaf.Vocabulary.Part;
import sheaf.Vocabulary.Status;

/**
 * What another provider is asked in the place of a batch's own: parts that this has no room for or refuses, and
 * requests that failed there. Each is a batch of its own, whose requests are those of the first, sent once more. What
 * earlier runs or other processes have sent there counts: it is waited for, and not sent anew.
 */
final class Elsewhere implements Watch.Others {
    private final Watch watch;                                 // of the batch
    private final Settings settings;
    private final Function<Manifest.Address, Connection> connect;
    private final Map<String, Watch> known = new LinkedHashMap<>();        // by folder
    private Set<Integer> homeless = Set.of();                  // parts that nobody had when they were last looked for
    private boolean hasLooked;
    private String refusal = "";                               // by the other provider

    /** @param connect finds the provider of what is kept here */
    Elsewhere(Watch watch, Settings settings, Function<Manifest.Address, Connection> connect) {
        this.watch = watch;
        this.settings = settings;
        this.connect = connect;
    }

    /**
     * Refuses a fallback that cannot be one, before anything is sent.
     * @throws IllegalStateException also if there is no key for it
     */
    static void check(Settings settings, Connection first) {
        var model = settings.fallback.model();
        var there = settings.fallback.provider().get();
        if (model != null && settings.models.size() > 1)
            throw new IllegalStateException("fallback: the draft asks " + settings.models.size() + " models, and "
                + model + " would answer for each of them; leave its name out");
        if (model == null && there.baseUrl().equals(first.baseUrl()))
            throw new IllegalStateException("fallback: " + there.label() + " is who is asked first; name another "
                + "provider, or another model there");
        if (!there.dialect().responseFormat() && first.dialect().responseFormat() && settings.format() != null)
            throw new IllegalStateException("fallback: " + there.label() + " holds no answer to a schema, which "
                + Wording.FORMAT + " has the first provider do; name another provider");
        there.key();
    }

    private Journal journal() { return watch.state().journal(); }

    @Override public String refusal() { return refusal; }

    @Override public List<Watch> known() {
        var now = unanswered();
        if (!hasLooked || !now.equals(homeless)) find();
        homeless = unanswered();
        return known.values().stream().filter(Elsewhere::hasParts).toList();
    }

    private static boolean hasParts(Watch other) {
        return !other.state().journal().manifest().insteadParts().isEmpty();
    }

    /** Takes what other processes have sent meanwhile, too. */
    private void find() {
        hasLooked = true;
        if (!watch.state().isKept() || !journal().isElsewhere()) return;
        Journal.all().filter(this::isOfThis).filter(later -> !known.containsKey(later.folderName()))
            .sorted(Comparator.comparing(Journal::submittedAt))
            .forEach(later -> known.put(later.folderName(), watch.instead(later, connection(later))));
    }

    private boolean isOfThis(Journal later) {
        return later.manifest().insteadOf().equals(journal().manifest().digest()) && later.isRetryOf(journal());
    }

    /** What was written down of the one that is named has no headers. */
    private Connection connection(Journal later) {
        var address = later.manifest().provider();
        var named = settings.fallback == null ? null : settings.fallback.provider().get();
        return named != null && named.baseUrl().equals(address.baseUrl()) ? named.expecting(address.identity(), null)
            : connect.apply(address);
    }

    /** Returns the numbers of the parts that failed before any request ran, and that nobody else has. */
    private Set<Integer> unanswered() {
        var elsewhere = known.values().stream().map(other -> other.state().journal().manifest().insteadParts())
            .flatMap(List::stream).collect(Collectors.toSet());
        return watch.state().parts().stream().filter(part -> part.status().equals(Status.FAILED) && !part.hasRun())
            .map(Part::number).filter(part -> !elsewhere.contains(part)).collect(Collectors.toCollection(TreeSet::new));
    }

    @Override public void send() {
        boolean isAny = watch.state().isKept() && !(watch.state().waitingCount() == 0 && unanswered().isEmpty());
        if (settings.fallback == null || !refusal.isEmpty() || !isAny) return;
        try (var lock = lock()) {
            var givenUp = watch.giveUpWaiting();
            find();
            var parts = unanswered();
            if (!parts.isEmpty()) send(again(parts), List.copyOf(parts));
            if (!refusal.isEmpty()) waitAgain(givenUp);
        }
        List.copyOf(known.values()).stream().filter(other -> other.state().waitingCount() > 0).forEach(this::goOn);
    }

    /** An earlier run was killed before the other provider took it, or it found no room there. */
    private void goOn(Watch other) {
        try {
            other.submitKept();
        } catch (BatchException | UncheckedIOException e) {
            var manifest = other.state().journal().manifest();
            refused(other, e, manifest.requests());
            try (var lock = lock()) {
                known.remove(other.state().journal().folderName());
                waitAgain(new TreeSet<>(manifest.insteadParts()));
            }
        }
    }

    /** There is nobody to take them, unless a create got through whose answer was lost. */
    private void waitAgain(Set<Integer> givenUp) {
        find();
        givenUp.retainAll(unanswered());
        watch.waitAgain(givenUp);
    }

    /** Lets one process at a time see what the others have sent, and then send. */
    private FolderLock lock() { return FolderLock.on(Repair.lock(journal().manifest()), watch::note); }

    /** Returns a draft's settings that send the requests of these parts once more. */
    private Settings again(Set<Integer> parts) {
        var manifest = journal().manifest();
        var requests = journal().requests();
        var chosen = LongStream.range(0, requests.count())
            .filter(i -> !requests.isReused(i) && parts.contains(requests.part(i))).toArray();
        var ids = new ArrayList<>(journal().partIds());
        IntStream.rangeClosed(1, ids.size()).filter(part -> !parts.contains(part)).forEach(part ->
            ids.set(part - 1, null));
        var resend = new Resend(manifest.name(), manifest.name(), manifest.names(), manifest.origin(),
            Map.of(journal().dir(), ids), manifest.endpoint(), manifest.rowColumns(), manifest.promptColumns(),
            chosen.length, false, () -> LongStream.of(chosen).mapToObj(i -> sent(requests, i)));
        var why = Fault.of(watch.state().part(parts.iterator().next())).stream().limit(1).map(Fault::describe);
        var note = "fallback: " + number(chosen.length) + " of " + count(requests.count(), "request") + " go to "
            + there().label() + why.map(said -> " (" + said + ")").collect(Collectors.joining());
        return Exchanges.again(resend, manifest, note, settings.checks);
    }

    private static Resend.Sent sent(SentRequests requests, long i) {
        return new Resend.Sent((ObjectNode) requests.json(i), requests.firstId(i), requests.round(i), false, 0,
            requests.turns(i), List.of(), requests.customId(i, () -> requests.row(i)), requests.template(i),
            requests.row(i));
    }

    private Connection there() { return settings.fallback.provider().get(); }

    /** Submits these; whoever is asked in the place of another is no reason to lose what that one answers. */
    private Watch send(Settings resend, List<Integer> parts) {
        var other = watch.other(there());
        var draft = settings.passedTo(resend).with(s -> {
            s.instead = new Settings.Instead(journal().manifest().digest(), parts);
            s.maxTokens = settings.maxTokens;
            if (settings.fallback.model() != null)
                s.models = List.of(Text.of("model", settings.fallback.model()));
        });
        journal().markElsewhere();
        try {
            Preparation.begin(draft, other, connect, other::submitOrAttach);
            known.put(other.state().journal().folderName(), other);
            return other;
        } catch (Preparation.SentAnew e) {
            journal().reload();                                // another process asks its own provider once more
            watch.state().takeParts();
        } catch (BatchException | UncheckedIOException | Budget.Exceeded | IllegalArgumentException e) {
            refused(other, e, resend.resend.size());           // one too long for the other, say
        }
        return null;
    }

    private void refused(Watch other, RuntimeException e, long requests) {
        refusal = "fallback: " + e.getMessage();
        watch.note(refusal + "; " + count(requests, "request") + (requests == 1 ? " keeps what " : " keep what ")
            + watch.state().provider().label() + " said");
        other.endUntaken(e.getMessage());
    }

    @Override public Exchanges answered(Exchanges first, Deadline deadline) {
        find();
        var all = first;
        for (var other : List.copyOf(known.values())) {
            if (other.state().waitingCount() > 0) goOn(other);
            if (known.containsValue(other)) all = all.mergeSame(collected(other, deadline));
        }
        return all;
    }

    private Exchanges collected(Watch other, Deadline deadline) {
        try {
            other.await(deadline.left(), true);
        } catch (BatchException e) {
            if (e.batchId().isEmpty() && !e.isFinal()) throw e;
            watch.note("fallback: " + e.getMessage());
        }
        return other.collect();
    }

    @Override public Exchanges withFallback(Exchanges tried, Deadline deadline) {
        if (settings.fallback == null || !refusal.isEmpty()) return tried;
        for (var all = tried; ; all = answered(all, deadline)) {
            var due = all.failed().filtered(exchange -> exchange.isRetryable() && !exchange.mayBeAnswered()
                && !exchange.isElsewhere(), "fallback");
            if (due.size() == 0) return all;
            int before = known.size();
            var sent = sent(all, due);
            if (sent == null && known.size() == before) return all;
        }
    }

    /** Returns what was sent; null if others have sent some meanwhile, or it was refused. */
    private Watch sent(Exchanges all, Exchanges due) {
        try (var lock = lock()) {
            int before = known.size();
            find();
            return known.size() > before ? null
                : send(due.resend(all.failed(), "fallback to " + there().label(), false), List.of());
        }
    }
}
