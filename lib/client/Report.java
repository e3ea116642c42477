package sheaf;

import static sheaf.Messages.count;

import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import sheaf.Vocabulary.BatchException;
import sheaf.Vocabulary.Part;
import sheaf.Vocabulary.Status;
import sheaf.Vocabulary.StillRunningException;

/** What is said of a batch: after a submit or an upload, while it is waited for, when it failed, and in lists. */
final class Report {
    /** The columns of {@link #asListed}. */
    static final List<String> LISTED = List.of("id", "status", "requests", "created", "name", "kept");
    /** The columns of {@link #asKept}. */
    static final List<String> KEPT =
        List.of("folder", "status", "requests", "submitted", "answers", "size", "provider");
    private static final int SHOWN_FAULTS = 20;
    private static final Set<String> OF_THE_ENGINE = Set.of("model_not_found", "invalid_api_key");
    private static final Duration WORTH_WAITING = Duration.ofMinutes(15);
    private final BatchState state;
    private final Retry.QueuePauses queue;                 // knows why there was no room

    Report(BatchState state, Retry.QueuePauses queue) {
        this.state = state;
        this.queue = queue;
    }

    private String provider() { return state.provider().label(); }

    /** Returns its parts, but those that others were to have from the start. */
    private List<Part> own() {
        return state.parts().stream().filter(part -> !state.isKept()
            || state.journal().manifest().shareOf(part.number()).isEmpty()).toList();
    }

    private int partCount() { return own().size(); }

    private String keptIn() { return "; kept in " + state.journal().shortPath(); }

    /** Returns its id and status, what waits, and what holds it up. */
    String describe() {
        long waiting = state.waitingCount();
        return state.id() + " " + state.status() + (waiting == 0 || partCount() == 1 ? ""
            : " (" + waiting + " of " + partCount() + " parts wait)")
            + heldUp(Duration.ZERO).filter(limit -> stopped().isEmpty()).map(limit -> "; its engine" + limit)
                .orElse("");
    }

    /** Returns what a submit did: how many parts it created, and what waits. */
    String submitted(int created) {
        boolean isAttached = created == 0 && state.hasBegun() && !state.journal().submittedAt().equals(Instant.EPOCH);
        return (isAttached ? attached() : sent(created)) + waiting() + keptIn();
    }

    /** Of what its provider has refused whole, or could not be asked, it has nothing. */
    private String sent(int created) {
        var parts = created == partCount() ? "" : created + " of " + partCount() + " parts of ";
        boolean isNothing = created == 0 && state.hasBegun();
        return "submitted " + (isNothing ? "nothing of " : parts) + state.id() + " to " + provider() + " (" + size()
            + ")";
    }

    /** Returns what an upload did: how many files it uploaded. */
    String uploaded(int files) {
        if (!state.isOnlyUploaded()) return attached() + keptIn();
        var what = files == 0 ? state.id() + " was uploaded before" : "uploaded " + state.id();
        var file = partCount() == 1 ? " as " + own().get(0).inputFileId() : "";
        return what + " to " + provider() + " (" + size() + ")" + file + ", and no batch of it yet" + keptIn();
    }

    private String attached() {
        return "attached to " + state.id() + " (" + size() + ", submitted "
            + Messages.minute(state.journal().submittedAt()) + "), nothing was sent"
            + (unanswered().isEmpty() || state.journal().mayBeElsewhere() ? "" : "; it " + unanswered());
    }

    private String size() {
        var manifest = state.journal().manifest();
        return count(manifest.requests(), "request")
            + (manifest.reused() == 0 ? ""
                : String.format(Locale.ROOT, ", %,d of them answered before", manifest.reused()))
            + (manifest.repeats() == 0 ? "" : ", " + count(manifest.repeats(), "repeat") + " left out")
            + shared(manifest) + (partCount() < 2 ? "" : ", in " + partCount() + " parts");
    }

    private String shared(Manifest manifest) {
        long own = own().stream().mapToLong(part -> manifest.partRequests().get(part.number() - 1)).sum();
        long others = state.journal().sentCount() - own;
        return others > 0 && manifest.isSharedOut()
            ? String.format(Locale.ROOT, ", %,d of them shared out", others) : "";
    }

    private String waiting() {
        long waiting = state.waitingCount();
        if (waiting == 0) return "";
        return "; " + waiting + (waiting == 1 ? " part waits" : " parts wait") + " for room at " + provider()
            + (queue.reason().isEmpty() ? "" : " (" + queue.reason() + ")") + ", and " + Wording.GOING_ON + " submits "
            + (waiting == 1 ? "it" : "them");
    }

    /** Returns what a batch that was not run to its end lacks; "" if nothing. */
    String unanswered() {
        long unanswered = state.unansweredCount();
        if (unanswered == 0) return "";
        var status = state.status();
        var remedy = Wording.isStep() ? Wording.RETRY.of(state.id()) : Wording.REPAIR.of();
        var rest = state.journal().manifest().isSharedOut()
            ? "; the next run asks again who refused its share, and " + remedy + " sends again what else failed"
            : ", which " + remedy + " sends again";
        return (status.equals(Status.FAILED) ? "failed" : "has " + status) + " with " + count(unanswered, "request")
            + " unanswered" + rest;
    }

    /** Returns how to come back to a wait that was interrupted. */
    String interrupted() {
        if (state.provider().isLocal()) return Messages.GO_ON;
        return state.id() + " goes on at " + provider() + "; run again, or " + Wording.BATCH.of(state.id())
            + ", to come back to it" + (state.waitingCount() == 0 ? "" : " and submit what waits");
    }

    StillRunningException stillGoing(Duration timeout) {
        var reason = state.waitingCount() > 0 && !queue.reason().isEmpty() ? "; " + queue.reason() : "";
        return new StillRunningException("await: " + state.id() + " still " + state.status() + " after "
            + Progress.text(timeout) + " (" + state.counts() + reason + "); it goes on: "
            + Wording.COME_BACK.of(state.id()));
    }

    /** Returns that an engine takes no more for longer than a run of its own stays; nothing if it does. */
    Optional<StillRunningException> stopped() {
        if (!BaseUrl.isEngine(state.provider().baseUrl())) return Optional.empty();
        return heldUp(WORTH_WAITING).map(limit -> new StillRunningException("await: " + state.id() + " still "
            + state.status() + " (" + state.counts() + "); " + provider() + limit + "; " + Wording.GOING_ON
            + " asks the rest after that, and nothing twice"));
    }

    private Optional<String> heldUp(Duration atLeast) {
        var least = Instant.now().plus(atLeast);
        return state.parts().stream().filter(part -> part.isGoing() && heldUpUntil(part).isAfter(least)).findFirst()
            .map(part -> " takes no more until " + Messages.minute(heldUpUntil(part).plusSeconds(59)) + " ("
                + part.json().at("/held_up/reason").asText() + ")");
    }

    /** A server of ours says so of the engine behind it. */
    private static Instant heldUpUntil(Part part) {
        return Json.instant(part.json().at("/held_up/until")).orElse(Instant.EPOCH);
    }

    /** @param elsewhere what another provider said to it; "" if none was asked */
    BatchException failed(String elsewhere) {
        var faults = state.parts().stream().flatMap(part -> Fault.of(part).stream()).toList();
        var shown = state.parts().stream().flatMap(this::placed).limit(SHOWN_FAULTS).collect(Collectors.joining(", "));
        var more = faults.size() > SHOWN_FAULTS ? ", and " + (faults.size() - SHOWN_FAULTS) + " more" : "";
        var inFile = count(faults.size(), "fault") + " in the input file: " + shown + more;
        var reason = faults.isEmpty() ? "the provider gave no reason"
            : ofTheCall(faults).or(() -> ofTheEngine(faults)).orElse(inFile);
        var both = elsewhere.isEmpty() ? reason : reason + "; " + elsewhere;
        return new BatchException("await: " + state.id() + " failed; " + both,
            faults.isEmpty() ? "" : faults.get(0).code(), state.id());
    }

    /** Of what never was at its provider no file is to blame either. */
    private Optional<String> ofTheCall(List<Fault> faults) {
        boolean isUnsent = state.parts().stream().allMatch(part -> part.id().isEmpty());
        return isUnsent ? Optional.of(faults.stream().map(Fault::message).distinct().limit(SHOWN_FAULTS)
            .collect(Collectors.joining("; "))) : Optional.empty();
    }

    /** An engine that lacks the model, or takes no such key, says so; the file is not to blame. */
    private static Optional<String> ofTheEngine(List<Fault> faults) {
        var first = faults.get(0);
        return Optional.of(first.message())
            .filter(message -> faults.size() == 1 && first.line() == 0 && OF_THE_ENGINE.contains(first.code()));
    }

    /** A line of an input file is told as the row that it came from. */
    private Stream<String> placed(Part part) {
        var faults = Fault.of(part).stream().limit(SHOWN_FAULTS).toList();
        var lines = faults.stream().map(Fault::line).toList();
        var rows = state.isKept() ? state.journal().requests().rowsAt(part.number(), lines) : Map.<Long, Long>of();
        return faults.stream().map(fault -> where(fault.line(), rows.get(fault.line())) + fault.describe());
    }

    private static String where(long line, Long row) {
        if (row != null) return "row " + row + " ";
        return line > 0 ? "line " + line + " " : "";
    }

    /** Returns its cells in the list of a provider's batches. */
    List<String> asListed(boolean isHere) {
        var created = state.submittedAt().equals(Instant.EPOCH) ? "" : Messages.minute(state.submittedAt());
        return List.of(state.id(), state.status().text(), state.counts().toString(), created, state.name(),
            state.isKept() || isHere ? "here" : "");
    }

    /** Returns how many batches there are, and what they take of the disk. */
    static String sum(List<Journal> kept) {
        return kept.size() + (kept.size() == 1 ? " batch, " : " batches, ")
            + Messages.size(kept.stream().mapToLong(Journal::bytes).sum());
    }

    /** What stands in for parts of another batch belongs to that. */
    private static String insteadOf(Manifest manifest) {
        return manifest.isInstead() ? ", for " + DefaultName.root(manifest.name()) + "-"
            + Json.Digest.shortened(manifest.insteadOf()) : "";
    }

    /** Returns its cells in the list of what is kept here. */
    List<String> asKept() {
        var journal = state.journal();
        boolean isUnsent = state.isOver() && !state.status().isTerminal();
        return List.of(journal.folderName(), isUnsent ? "not sent" : state.status().text(),
            state.countsOfAll().toString(), Messages.day(state.submittedAt()), journal.answers(),
            Messages.size(journal.bytes()), provider() + insteadOf(journal.manifest()));
    }
}
