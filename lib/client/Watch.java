package sheaf;

import static sheaf.Messages.cannot;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.UnaryOperator;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import sheaf.Vocabulary.BatchException;
import sheaf.Vocabulary.Part;
import sheaf.Vocabulary.Status;

/** Looks after a batch at its provider: submits what a journal holds, asks how it stands, waits, cancels, collects. */
final class Watch {
    private static final Duration MOMENT = Duration.ofMillis(1);          // a sleep is counted in whole ones
    private static final int MOST_LATE_POLLS = 5;
    private final BatchState state;
    private final Retry.QueuePauses queue;
    private final Report report;
    private final boolean isQuiet;
    private final List<Settings.Check> checks;                            // of the answers, by the user
    private final boolean hasFallback;                                    // somebody is named for what is not taken
    private final Function<Watch, Others> open;                           // null: it has none
    /** How often a part said that it has ended and named no file, by its number. */
    private final Map<Integer, Integer> lateFiles = new ConcurrentHashMap<>();
    private BatchApi api;                                                 // opened when first needed
    private Submission submission;                                        // likewise, of a batch that is kept
    private volatile boolean isCancelled;                                 // from here: nothing more goes elsewhere
    private Others others;                                                // likewise, where there may be some

    /** Looks after a batch that no other provider has anything of. */
    Watch(BatchState state, boolean isQuiet, List<Settings.Check> checks) {
        this(state, isQuiet, checks, false, null);
    }

    /** @param open opens what looks after what others have of it, once there is some */
    Watch(BatchState state, Settings settings, Function<Watch, Others> open) {
        this(state, settings.quiet, settings.checks, settings.fallback != null, open);
    }

    private Watch(BatchState state, boolean isQuiet, List<Settings.Check> checks, boolean hasFallback,
                  Function<Watch, Others> open) {
        this.state = state;
        this.queue = new Retry.QueuePauses(state.provider().isLocal());
        this.report = new Report(state, queue);
        this.isQuiet = isQuiet;
        this.checks = checks;
        this.hasFallback = hasFallback;
        this.open = open;
    }

    /** Looks after what other providers are asked in the place of a batch's own. */
    interface Others {
        /**
         * Sends there what the batch's own provider does not take; nobody holds the lock of its journal.
         * @param isSubmit whether what failed there before is tried again
         */
        void send(boolean isSubmit);

        /** Returns those that have parts of the batch. */
        List<Watch> known();

        /** Returns these with what others have answered. */
        Exchanges answered(Exchanges first, Deadline deadline);

        /** Returns these with what the fallback says to what has failed. */
        Exchanges withFallback(Exchanges tried, Deadline deadline);

        /** Returns why nothing more is sent there; "" if nobody has refused. */
        String refusal();
    }

    /** Looks after a batch that is kept here. */
    static Watch of(Journal journal, Connection provider, boolean isQuiet, List<Settings.Check> checks) {
        var state = new BatchState(provider);
        state.attach(journal);
        return new Watch(state, isQuiet, checks);
    }

    /** Looks after another one, as quietly. */
    Watch other(Journal journal, Connection provider) { return of(journal, provider, isQuiet, checks); }

    /** Looks after one that is to be, at another provider. */
    Watch other(Connection provider) { return new Watch(new BatchState(provider), isQuiet, checks); }

    BatchState state() { return state; }

    /** Returns what looks after what others have of it; null if there is none. */
    private Others others() {
        boolean mayBe = others == null && open != null;
        if (mayBe && (hasFallback || state.isKept() && state.journal().mayBeElsewhere())) others = open.apply(this);
        return others;
    }

    private List<Watch> known() {
        var known = others() == null ? List.<Watch>of() : others.known();
        state.setOthers(known.stream().map(Watch::state).toList());
        return known;
    }

    /** Sends elsewhere what the provider does not take, if somebody is named for that. */
    void sendElsewhere() { sendElsewhere(true); }

    private void sendElsewhere(boolean isSubmit) {
        if (others() != null && !isCancelled) others.send(isSubmit);
        known();
    }

    Report report() {
        known();
        return report;
    }

    boolean isOver() {
        known();
        return state.isOver();
    }

    void note(String text) {
        if (!isQuiet) System.err.println(text);
    }

    Progress progress() { return new Progress(isQuiet); }

    synchronized BatchApi api() {
        if (api != null) return api;
        api = BatchApi.of(state.provider());
        state.moveTo(api.connection());
        return api;
    }

    private synchronized Submission submission() {
        if (submission == null) submission = new Submission(state.journal(), api(), queue, hasFallback, this::note);
        return submission;
    }

    /** Does what sends something; if Ctrl-C ends that, says how to go on. */
    void sending(Consumer<Progress> work) {
        progress().during(() -> Messages.GO_ON + ", and nothing is sent twice", progress -> {
            work.accept(progress);
            return state;
        });
    }

    /** Returns these with what others answer: what they have before its own provider repairs, what is left after. */
    Exchanges withOthers(Exchanges first, Deadline deadline, UnaryOperator<Exchanges> repair) {
        if (others() == null) return repair.apply(first);
        var repaired = repair.apply(others.answered(first, deadline));
        return isCancelled ? repaired : others.withFallback(repaired, deadline);
    }

    /** Creates what is not at the provider yet, and says what that was; the journal's lock is held. */
    void submitOrAttach(Progress progress) {
        submission().forgetWhatNeverRan();
        int created = submission().createPartsOrLeaveThem(progress);
        state.takeParts();
        Script.hasSent();
        note(report.submitted(created));
    }

    /** Uploads what is not at the provider yet, and says what that was; the journal's lock is held. */
    void uploadOrAttach(Progress progress) {
        submission().forgetWhatNeverRan();
        int files = state.journal().isOnlyUploaded() ? submission().upload(progress) : 0;
        state.takeParts();
        note(report.uploaded(files));
    }

    /** Submits what was only uploaded, or waits for room. */
    void submitKept() {
        if (!state.isKept()) state.attach(state.keptAs("submit"));
        sending(progress -> {
            try (var lock = FolderLock.on(state.journal().dir(), this::note)) {
                state.journal().reload();
                submitOrAttach(progress);
            }
        });
        sendElsewhere();
    }

    /** Asks how each part stands that has not ended; {@code step} is the user's word. */
    void refresh(String step) {
        refresh(id -> api().retrieve(step, id));
        known().forEach(other -> other.refresh(step));
    }

    /**
     * Asks how each part stands before more is submitted.
     * @return the numbers of those that their provider surely has no more
     */
    Set<Integer> refreshWhatIsThere() {
        recallUploaded();
        var going = state.parts().stream().filter(Part::isGoing).toList();
        var there = submission().search().there(going);
        there.forEach((part, batch) -> rememberEnd(Part.of(part, batch)));
        return going.stream().map(Part::number).filter(part -> !there.containsKey(part)).collect(Collectors.toSet());
    }

    private void refresh(Function<String, JsonNode> retrieve) {
        recallUploaded();
        for (var part : state.parts())
            if (part.isGoing()) rememberEnd(Part.of(part.number(), retrieve.apply(part.id())));
    }

    /** What was only uploaded may have been submitted since, by this process or another. */
    private void recallUploaded() {
        if (!state.isOnlyUploaded()) return;
        state.journal().reload();
        state.takeParts();
    }

    private void rememberEnd(Part part) {
        if (state.isKept() && Fault.isNoRoom(part)) {
            waitForRoom(part);
            return;
        }
        boolean isEarly = part.lacksItsFiles() && lateFiles.merge(part.number(), 1, Integer::sum) <= MOST_LATE_POLLS;
        var seen = isEarly ? part.as(Status.FINALIZING) : part;
        state.remember(seen);
        if (!state.isKept() || !seen.status().isTerminal()) return;
        state.journal().ended(seen);
        queue.moved();
    }

    /** The provider took the part and failed it later, because its queue was full. */
    private void waitForRoom(Part part) {
        boolean isAlone = state.parts().stream()
            .noneMatch(other -> other.isGoing() && other.number() != part.number());
        var full = new BatchException(Fault.of(part).get(0).describe(), BatchException.QUEUE_FULL, part.id());
        queue.refused(full, Duration.ZERO, isAlone);
        var journal = state.journal();
        try (var lock = FolderLock.on(journal.dir(), this::note)) {
            journal.reload();
            boolean isSeenTo = !journal.part(part.number()).id().equals(part.id());   // by another process
            if (!isSeenTo) submission().search().forgetListed(part.number());
            if (!isSeenTo) journal.notCreated(part.number(), part.id());
        }
        state.remember(journal.part(part.number()));
    }

    /** Submits what waited, as far as there is room by now. */
    private void submitWaiting(Progress progress) {
        if (!state.isKept() || state.waitingCount() == 0 || !queue.isDue() || !submission().hasRoom()) return;
        try (var lock = FolderLock.on(state.journal().dir(), this::note)) {
            state.journal().reload();
            submission().createParts(progress);
        }
        recallWaiting();
    }

    /** What waits for room is not to wait any more, but to be asked elsewhere. */
    void giveUpWaiting() { changing(() -> submission().giveUpWaiting()); }

    /** What was given up waits again, unless another process has submitted it anew meanwhile. */
    void waitAgain(Set<Integer> parts) {
        var journal = state.journal();
        if (!parts.isEmpty()) changing(() -> journal.parts().filter(part -> Submission.isGivenUp(part)
            && parts.contains(part.number())).map(Part::number).toList().forEach(part -> {
                journal.forget(part);
                journal.notCreated(part, "");                 // else it would seem to be only uploaded
            }));
    }

    /** What was shared out and refused there says so, until it is asked again. */
    void refused(List<Integer> shared, String why) {
        var journal = state.journal();
        changing(() -> shared.forEach(part -> journal.manifest().shareOf(part).ifPresent(share ->
            journal.ended(part, share.refusal(why)))));
    }

    private void changing(Runnable step) {
        try (var lock = FolderLock.on(state.journal().dir(), this::note)) {
            state.journal().reload();
            step.run();
        }
        state.takeParts();
    }

    private void recallWaiting() { state.journal().parts().filter(state::isWaiting).forEach(state::remember); }

    /**
     * Waits until the batch has ended.
     * @param saysWhatIsMissing whether a batch that ended early is told
     */
    void await(Duration timeout, boolean saysWhatIsMissing) {
        recallUploaded();
        if (state.isOnlyUploaded())
            throw new IllegalStateException("await: " + state.id() + " was not submitted yet; "
                + Wording.SUBMIT.of(state.id()) + " creates it");
        sendElsewhere(false);
        boolean hadEnded = state.status().isTerminal();
        if (!hadEnded) watch(timeout);
        if (!state.parts().isEmpty() && !state.hasRun()) throw report.failed(others == null ? "" : others.refusal());
        if (!hadEnded && saysWhatIsMissing && !report.unanswered().isEmpty())
            note("await: " + state.id() + " " + report.unanswered());
    }

    private void watch(Duration timeout) {
        progress().during(report::interrupted, progress -> {
            var deadline = new Deadline(timeout);
            var patience = new Retry.Patience(state.provider().isLocal(), state.parts().size());
            while (!poll(patience, progress)) {
                var stopped = report.stopped();
                if (stopped.isPresent()) throw stopped.get();
                var left = deadline.left();
                if (left.isZero()) throw report.stillGoing(timeout);
                var due = queue.untilDue();
                patience.pause(due.isNegative() ? left : Retry.shorter(left, due.plus(MOMENT)));
            }
            return state;
        });
    }

    private boolean poll(Retry.Patience patience, Progress progress) {
        try {
            look(progress);
            patience.answered();
        } catch (BatchException | UncheckedIOException e) {
            if (!patience.survives(e)) throw withRemedy(e);
            progress.trouble(e.getMessage());
        }
        progress.show(report.describe(), state.countsOfAll());
        return state.status().isTerminal();
    }

    /** Asks each part once, everywhere, and has what waits go on. */
    private void look(Progress progress) {
        refresh(id -> api().retrieveOnce("await", id));
        submitWaiting(progress);
        sendElsewhere(false);
        known().forEach(other -> other.look(progress));
    }

    private RuntimeException withRemedy(RuntimeException e) {
        if (!(e instanceof BatchException refusal) || refusal.status() != 404 || !state.isKept()) return e;
        return new BatchException(e.getMessage() + "; if it is gone for good, delete " + state.journal().shortPath()
            + " and run again", refusal);
    }

    /** Asks the provider to stop; what waits there is never sent. */
    void cancel() {
        isCancelled = true;
        known().forEach(Watch::cancel);
        cancelGoing();
        if (state.waitingCount() == 0) return;
        changing(() -> submission().cancelWaiting());
        cancelGoing();                                     // what another process has submitted meanwhile
    }

    private void cancelGoing() {
        for (var part : state.parts())
            if (part.isGoing()) rememberEnd(Part.of(part.number(), api().cancel(part.id())));
    }

    /**
     * Deletes its folder.
     * @throws IllegalStateException if it is not over, as last seen
     */
    void delete() {
        var journal = state.keptAs("delete");
        known().forEach(Watch::checkOver);
        try (var lock = FolderLock.on(journal.dir(), this::note)) {
            journal.reload();                                 // another process may have gone on with it
            var parts = journal.isUntouched() ? Stream.<Part>of() : journal.parts();
            parts.filter(part -> !hasSeenTheEnd(part)).findFirst().ifPresent(part -> {
                throw isGoing(journal, part.status());
            });
            journal.delete();
        } catch (IOException e) {
            throw cannot("delete", "delete " + journal.dir(), e);
        }
    }

    private void checkOver() {
        if (!state.isOver()) throw isGoing(state.journal(), state.status());
    }

    private static IllegalStateException isGoing(Journal journal, Status status) {
        return new IllegalStateException("delete: " + journal.folderName() + " is " + status + " as last seen; "
            + Wording.CANCEL.of(journal.folderName()));
    }

    /** One of the provider's list may have ended since it was last looked at from here. */
    private boolean hasSeenTheEnd(Part known) {
        return known.status().isTerminal()
            || state.parts().stream().anyMatch(part -> part.status().isTerminal() && part.id().equals(known.id()));
    }

    /** Fetches both files of each part and joins them; the batch has ended and is kept. */
    Exchanges collect() {
        var journal = state.journal();
        state.parts().stream().filter(part -> part.status().isTerminal()).forEach(journal::ended);
        boolean isAllHere = journal.collected().count() == journal.partCount();
        var exchanges = new Exchanges(progress().during(() -> Messages.GO_ON,
            progress -> new Answers(journal, api(), progress, this::note)), checks);
        if (!isAllHere) api().connection().otherEngine().ifPresent(other -> {
            journal.markOtherEngine();
            note("results: " + other + " answers there now, and " + journal.folderName() + " was begun with another "
                + "engine; whose answer each is stands in result.answeredBy");
        });
        noteUnknownChecks(journal.manifest());
        return exchanges;
    }

    /** A check is code of the script's, and only there: whoever reads the answers without it sees them unchecked. */
    private void noteUnknownChecks(Manifest manifest) {
        if (!checks.isEmpty() || manifest.checks().isEmpty() || manifest.isResend()) return;
        note("results: the script that sent " + manifest.name() + " checks the answers (" + manifest.checks().stream()
            .map(why -> "\"" + Messages.clip(why, 60) + "\"").collect(Collectors.joining(", ")) + "), which is not "
            + "done here: what it finds invalid is shown as it came; run that script for its verdicts");
    }

    /** Returns what was fetched of it before, which may not be all; nothing if that is none. Asks nobody. */
    Optional<Exchanges> fetched() {
        return Files.exists(state.journal().answersIndex())
            ? Optional.of(new Exchanges(new Answers(state.journal()), checks)) : Optional.empty();
    }
}
