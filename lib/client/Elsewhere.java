package sheaf;

import static sheaf.Messages.cannot;
import static sheaf.Messages.count;
import static sheaf.Messages.number;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import java.util.stream.Stream;
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
    private final Map<String, Watch> known = new ConcurrentSkipListMap<>();          // by folder
    private final Set<Watch> goneOn = ConcurrentHashMap.newKeySet();                 // of those, submitted from here
    private final Map<String, String> refusals = new ConcurrentSkipListMap<>();      // by the base URL of who refused
    private final Set<Integer> resent = ConcurrentHashMap.newKeySet();               // parts that retries have whole
    private volatile Set<Integer> homeless = Set.of();         // parts that nobody had when they were last looked for
    private volatile boolean hasLooked;

    /** @param connect finds the provider of what is kept here */
    Elsewhere(Watch watch, Settings settings, Function<Manifest.Address, Connection> connect) {
        this.watch = watch;
        this.settings = settings;
        this.connect = connect;
    }

    /**
     * Refuses providers that cannot be asked, before anything is sent.
     * @throws IllegalStateException also if there is no key for one
     */
    static void check(Settings settings, Connection first) {
        var shares = settings.shares;
        if (!shares.isEmpty() && settings.fallback != null)
            throw new IllegalStateException("fallback: the draft is shared out among several providers already; drop "
                + "one of them");
        if (!shares.isEmpty()) Shares.check(shares);
        shares.stream().skip(1).forEach(other -> check("providers", other, settings, first));
        if (settings.fallback == null) return;
        var there = settings.fallback.provider().get();
        if (settings.fallback.model() == null && there.baseUrl().equals(first.baseUrl()))
            throw new IllegalStateException("fallback: " + there.label() + " is who is asked first; name another "
                + "provider, or another model there");
        check("fallback", settings.fallback, settings, first);
    }

    private static void check(String word, Settings.Other other, Settings settings, Connection first) {
        var there = other.provider().get();
        if (other.model() != null && settings.models.size() > 1)
            throw new IllegalStateException(word + ": the draft asks " + settings.models.size() + " models, and "
                + other.model() + " would answer for each of them; leave its name out");
        if (!there.dialect().responseFormat() && first.dialect().responseFormat() && settings.format() != null)
            throw new IllegalStateException(word + ": " + there.label() + " holds no answer to a schema, which "
                + Wording.FORMAT + " has the first provider do; name another provider");
        there.key();
    }

    /** Lets one process at a time begin what is shared out under a name: the next takes the shares of the first. */
    static <T> T alone(Settings settings, Consumer<String> note, Supplier<T> work) {
        var key = "shares-of-" + Json.Digest.shortHex(settings.batchName());
        try (var lock = FolderLock.on(AtomicFiles.privateFolder(Journal.folder()).resolve(key), note)) {
            return work.get();
        } catch (IOException e) {
            throw cannot("submit", "write to " + Environment.home(), e);
        }
    }

    /** Returns who was the first of a draft's providers until now, and stays it; empty if that is this one anyway. */
    static Optional<Manifest.Address> first(String name, Connection listed) {
        return Journal.all().filter(journal -> journal.name().equals(name) && !journal.manifest().isResend()
            && journal.manifest().isSharedOut() && journal.mayHaveRun())
            .max(Comparator.comparing(Journal::submittedAt)).map(journal -> journal.manifest().provider())
            .filter(first -> !first.baseUrl().equals(listed.baseUrl()));
    }

    private Journal journal() { return watch.state().journal(); }

    @Override public String refusal() { return String.join("; ", refusals.values()); }

    @Override public List<Watch> known() {
        known.values().removeIf(other -> !isHeld(other));
        var now = unanswered();
        if (!hasLooked || !now.equals(homeless)) find();
        homeless = unanswered();
        return known.values().stream().filter(Elsewhere::hasParts).toList();
    }

    /** Another process may have been refused what this one waits for there. */
    private static boolean isHeld(Watch other) { return other.state().journal().isHeldElsewhere(); }

    private static boolean hasParts(Watch other) { return !parts(other).isEmpty(); }

    private static List<Integer> parts(Watch other) { return other.state().journal().manifest().insteadParts(); }

    /** Takes what other processes have sent meanwhile, too. */
    private void find() {
        hasLooked = true;
        if (!watch.state().isKept()) return;
        journal().others().filter(later -> !known.containsKey(later.folderName()))
            .sorted(Comparator.comparing(Journal::submittedAt)).forEach(later -> known.put(later.folderName(),
                watch.other(later, connection(later.manifest().provider()))));
    }

    /** What was written down of one that is named has no headers. */
    private Connection connection(Manifest.Address address) {
        return Stream.concat(Stream.ofNullable(settings.fallback), settings.shares.stream())
            .map(other -> other.provider().get()).filter(there -> there.baseUrl().equals(address.baseUrl()))
            .map(there -> there.expecting(address.identity(), null)).findFirst()
            .orElseGet(() -> connect.apply(address));
    }

    /** Returns the numbers of the parts that failed before any request ran, and that nobody else has. */
    private Set<Integer> unanswered() {
        var elsewhere = known.values().stream().map(Elsewhere::parts).flatMap(List::stream)
            .collect(Collectors.toSet());
        return watch.state().parts().stream().filter(part -> part.status().equals(Status.FAILED) && !part.hasRun())
            .map(Part::number).filter(part -> !elsewhere.contains(part) && !resent.contains(part))
            .collect(Collectors.toCollection(TreeSet::new));
    }

    @Override public void send(boolean isSubmit) {
        if (!watch.state().isKept()) return;
        boolean isSharedAndWaits = journal().manifest().isSharedOut() && watch.state().waitingCount() > 0;
        if (isSharedAndWaits) journal().markElsewhere();       // it keeps its shares, though nothing was created yet
        boolean isGivingUp = settings.fallback != null && refusals.isEmpty() && watch.state().waitingCount() > 0;
        boolean isBegun = known().stream().anyMatch(other -> isToGoOn(other, isSubmit));
        boolean isTaken = unanswered().stream().anyMatch(part -> taker(part).isPresent());
        if (isGivingUp || isBegun || isTaken || !leftWithoutRoom().isEmpty()) sendNow(isGivingUp, isSubmit);
    }

    private void sendNow(boolean isGivingUp, boolean isSubmit) {
        try (var lock = lock()) {
            if (isGivingUp) {
                journal().markElsewhere();                     // a run without the fallback looks here, too
                watch.giveUpWaiting();
            }
            find();
            goOn(isSubmit);
            var takers = new LinkedHashMap<Taker, List<Integer>>();
            for (int part : unanswered()) taker(part).ifPresent(taker ->
                takers.computeIfAbsent(taker, any -> new ArrayList<>()).add(part));
            takers.forEach(this::send);
            find();                                            // a create may have got through whose answer was lost
            watch.waitAgain(leftWithoutRoom());
        }
    }

    /** Returns the parts that were given up for want of room, and that nobody is to have: those wait again. */
    private Set<Integer> leftWithoutRoom() {
        return unanswered().stream().filter(part -> taker(part).isEmpty()
            && Submission.isGivenUp(watch.state().part(part))).collect(Collectors.toSet());
    }

    private void goOn(boolean isSubmit) {
        List.copyOf(known.values()).stream().filter(other -> isToGoOn(other, isSubmit)).forEach(this::goOn);
    }

    /**
     * Each is gone on with once from here: a process may have been killed before it sent all.
     * @param isSubmit whether what failed before any request ran is tried again too
     */
    private boolean isToGoOn(Watch other, boolean isSubmit) {
        return !goneOn.contains(other) && other.state().parts().stream().anyMatch(part -> part.isWaiting()
            || isSubmit && !part.hasRun());
    }

    private void goOn(Watch other) {
        goneOn.add(other);
        var address = other.state().journal().manifest().provider();
        orRefused(role(other), address, parts(other), other, other::submitKept);
    }

    /** As what another provider is asked. */
    private enum Role {
        SHARE("providers"), FALLBACK("fallback");

        private final String word;                             // of the user's

        Role(String word) { this.word = word; }
    }

    /**
     * Who takes what the batch's own provider does not.
     * @param model its name for the model; "": the same
     */
    private record Taker(Role role, Manifest.Address address, String model) {}

    /** Returns who is to have a part that its own provider has not taken; empty if nobody is, or he has refused. */
    private Optional<Taker> taker(int part) {
        var share = journal().manifest().shareOf(part).map(of ->
            new Taker(Role.SHARE, of.provider(), of.model()));
        return share.or(this::fallback).filter(taker -> !refusals.containsKey(taker.address.baseUrl()));
    }

    private Optional<Taker> fallback() {
        return Optional.ofNullable(settings.fallback).map(other -> new Taker(Role.FALLBACK,
            Manifest.Address.of(other.provider().get()), Objects.requireNonNullElse(other.model(), "")));
    }

    /** Lets one process at a time see what the others have sent, and then send. */
    private FolderLock lock() { return FolderLock.on(Repair.lock(journal().manifest()), watch::note); }

    /** Sends what is in these parts, but what a retry has sent already. */
    private void send(Taker taker, List<Integer> parts) {
        var requests = journal().requests();
        var isResent = Submission.resent(journal());
        var chosen = LongStream.range(0, requests.count()).filter(i -> !requests.isReused(i)
            && parts.contains(requests.part(i)) && !isResent.test(i)).toArray();
        if (chosen.length == 0) resent.addAll(parts);
        else send(again(taker, parts, chosen), taker, parts);
    }

    /** Returns a draft's settings that send these requests of some parts once more. */
    private Settings again(Taker taker, List<Integer> parts, long[] chosen) {
        var manifest = journal().manifest();
        var requests = journal().requests();
        var ids = new ArrayList<>(journal().partIds());
        IntStream.rangeClosed(1, ids.size()).filter(part -> !parts.contains(part)).forEach(part ->
            ids.set(part - 1, null));
        var resend = new Resend(manifest.name(), manifest.name(), manifest.names(), manifest.origin(),
            Map.of(journal().dir(), ids), manifest.endpoint(), manifest.rowColumns(), manifest.promptColumns(),
            chosen.length, false, () -> LongStream.of(chosen).mapToObj(i -> sent(requests, i)));
        var why = Fault.of(watch.state().part(parts.get(0))).stream().limit(1).map(Fault::describe)
            .filter(said -> taker.role == Role.FALLBACK);
        var note = taker.role.word + ": " + number(chosen.length) + " of " + count(requests.count(), "request")
            + " go to " + taker.address.label() + why.map(said -> " (" + said + ")").collect(Collectors.joining());
        return Exchanges.again(resend, manifest, note, settings.checks);
    }

    private static Resend.Sent sent(SentRequests requests, long i) {
        return new Resend.Sent((ObjectNode) requests.json(i), requests.firstId(i), requests.round(i), false, 0,
            requests.turns(i), List.of(), requests.customId(i, () -> requests.row(i)), requests.template(i),
            requests.row(i));
    }

    /** Returns whether it was sent. */
    private boolean send(Settings resend, Taker taker, List<Integer> parts) {
        journal().markElsewhere();
        var other = watch.other(connection(taker.address));
        goneOn.add(other);
        boolean isSent = orRefused(taker.role, taker.address, parts, other, () ->
            submit(resend, other, parts, taker.model));
        if (isSent) known.put(other.state().journal().folderName(), other);
        return isSent;
    }

    private void submit(Settings resend, Watch other, List<Integer> parts, String model) {
        var draft = settings.passedTo(resend).with(s -> {
            s.instead = new Settings.Instead(journal().manifest().digest(), parts);
            if (!model.isEmpty()) s.models = List.of(Text.of("model", model));
        });
        Preparation.begin(draft, other, connect, other::submitOrAttach);
    }

    /** Takes a step there; whoever refuses in the place of another is no reason to lose what that one answers. */
    private boolean orRefused(Role role, Manifest.Address address, List<Integer> parts, Watch other, Runnable step) {
        try {
            step.run();
            return true;
        } catch (Preparation.SentAnew e) {
            journal().reload();                                // another process asks its own provider once more
            watch.state().takeParts();
        } catch (BatchException | UncheckedIOException | Budget.Exceeded | Keys.Missing | IllegalArgumentException e) {
            var said = role.word + ": " + e.getMessage();
            refusals.put(address.baseUrl(), said);
            watch.note(said + (role == Role.SHARE
                ? "; its share has no answers until the next run asks it again"
                : "; what was to go there keeps what " + watch.state().provider().label() + " said"));
            if (other.state().isKept()) release(other.state().journal(), e.getMessage());
            if (role == Role.SHARE) watch.refused(parts, e.getMessage());
        }
        return false;
    }

    /** Of what surely is not there, others may be asked; its folder stays, for who waits there is to see that. */
    private void release(Journal refused, String why) {
        try (var lock = FolderLock.on(refused.dir(), watch::note)) {
            refused.reload();
            if (refused.mayHaveRun()) return;
            refused.partNumbers().forEach(part -> {
                refused.startOver(part);
                refused.ended(part, Submission.refusal(why, ""));
            });
        }
        known.remove(refused.folderName());
    }

    @Override public Exchanges answered(Exchanges first, Deadline deadline) {
        find();
        goOn(false);
        var all = first;
        for (var other : known.values()) {
            await(other, deadline);
            if (isHeld(other)) all = all.mergeSame(collected(other, deadline));
        }
        return all;
    }

    private void await(Watch other, Deadline deadline) {
        try {
            other.await(deadline.left(), true);
        } catch (BatchException e) {
            if (e.batchId().isEmpty() && !e.isFinal()) throw e;
            watch.note(role(other).word + ": " + e.getMessage());
        }
    }

    private Exchanges collected(Watch other, Deadline deadline) {
        var all = other.collect();
        if (role(other) != Role.SHARE) return all;
        return new Repair(other, settings, deadline, connect, resend -> repaired(other, resend)).of(all);
    }

    private Watch repaired(Watch other, Settings resend) {
        var again = watch.other(other.state().provider());
        submit(resend, again, List.of(), "");
        return again;
    }

    /** Who was to have its parts from the start has a share of them: what fails there is asked again there. */
    private Role role(Watch other) {
        boolean isShare = parts(other).stream().anyMatch(part -> journal().manifest().shareOf(part).isPresent());
        return isShare ? Role.SHARE : Role.FALLBACK;
    }

    @Override public Exchanges withFallback(Exchanges tried, Deadline deadline) {
        if (settings.fallback == null || !refusals.isEmpty()) return tried;
        for (var all = tried; ; all = answered(all, deadline)) {
            var due = all.failed().filtered(exchange -> exchange.isRetryable() && !exchange.mayBeAnswered()
                && !exchange.isElsewhere(), "fallback");
            if (due.size() == 0) return all;
            int before = known.size();
            if (!isSent(all, due) && known.size() == before) return all;
        }
    }

    /** Returns whether these were sent: not if others have sent some meanwhile, or they were refused. */
    private boolean isSent(Exchanges all, Exchanges due) {
        try (var lock = lock()) {
            int before = known.size();
            find();
            var taker = fallback().orElseThrow();
            return known.size() == before
                && send(due.resend(all.failed(), "fallback to " + taker.address.label(), false), taker, List.of());
        }
    }
}
