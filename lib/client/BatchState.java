package sheaf;

import static sheaf.Messages.count;
import static sheaf.Messages.reason;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import sheaf.Vocabulary.BatchException;
import sheaf.Vocabulary.Fault;
import sheaf.Vocabulary.Part;
import sheaf.Vocabulary.RequestCounts;
import sheaf.Vocabulary.Status;

/** What is known of a batch without asking anybody: its parts as last seen, its journal, and how to say it. */
final class BatchState {
    /** The columns of {@link #asListed}. */
    static final List<String> LISTED = List.of("id", "name", "status", "requests", "created", "kept");
    /** The columns of {@link #asKept}. */
    static final List<String> KEPT =
        List.of("folder", "provider", "status", "requests", "submitted", "answers", "size");
    private static final int SHOWN_FAULTS = 20;
    private final Connection provider;
    private final Retry.Queue queue;
    private final List<Part> parts = new ArrayList<>();
    private Journal journal;                   // null until needed, for a batch that was not submitted from here

    BatchState(Connection provider) {
        this.provider = provider;
        this.queue = new Retry.Queue(provider.isLocal());
    }

    Connection provider() { return provider; }

    Retry.Queue queue() { return queue; }

    /** Returns its journal; null if it was not submitted from here. */
    Journal journal() { return journal; }

    boolean isKept() { return journal != null; }

    /** Takes the journal that it is kept in. */
    void use(Journal journal) { this.journal = journal; }

    /** Takes the journal that it is kept in, and what that says of its parts. */
    void keep(Journal journal) {
        use(journal);
        recall();
    }

    /** Takes what the journal says of the parts. */
    void recall() { journal.parts().forEach(this::remember); }

    synchronized void remember(Part part) {
        while (parts.size() < part.number()) parts.add(null);
        parts.set(part.number() - 1, part);
    }

    List<Part> parts() { return List.copyOf(parts); }

    Part part(int number) { return parts.get(number - 1); }

    boolean isWaiting(Part part) { return part(part.number()).isWaiting(); }

    /** Returns the journal of this batch, also if it was found at the provider. */
    Journal keptAs(String step) {
        return Optional.ofNullable(journal).or(() -> Journal.find(id(), provider.name())).orElseThrow(() ->
            new IllegalStateException(step + ": " + id() + " is not kept in " + Environment.home()));
    }

    /** Returns the id at the provider; with several parts, or none yet, the name of the folder. */
    String id() {
        return parts.size() == 1 && !parts.get(0).id().isEmpty() ? parts.get(0).id() : journal.folderName();
    }

    /** Returns the name that it was submitted under; "" if not by Sheaf. */
    String name() {
        if (isKept()) return journal.manifest().isAdopted() ? "" : journal.name();
        var mark = parts.get(0).json().path("metadata").path(Settings.MARK).asText("").split("/");
        return mark.length == 4 ? mark[2] : "";           // digest/part/name/token
    }

    /** Returns when it was submitted, as far as is known; of one that was not, when it was written down. */
    Instant submittedAt() {
        var known = isKept() && !journal.manifest().isAdopted() ? journal.submittedAt()
            : Json.instant(parts.get(0).json().path("created_at")).orElse(Instant.EPOCH);
        return known.equals(Instant.EPOCH) && isKept() ? journal.writtenAt() : known;
    }

    /** Returns where the whole batch stands: a part that goes on says it before one that waits or has ended. */
    Status status() {
        var statuses = parts.stream().map(Part::status).toList();
        return statuses.stream().filter(status -> !status.isTerminal() && !status.equals(Status.WAITING)).findFirst()
            .or(() -> statuses.stream().filter(Status.WAITING::equals).findFirst()
                .map(waiting -> isOnlyUploaded() && !journal.isUntouched() ? Status.UPLOADED : waiting))
            .or(() -> statuses.stream().filter(status -> !status.equals(Status.COMPLETED)).findFirst())
            .orElse(Status.COMPLETED);
    }

    boolean isOnlyUploaded() { return isKept() && journal.isOnlyUploaded(); }

    /** Whether it has ended, or nothing of it was ever sent. */
    boolean isOver() { return status().isTerminal() || isKept() && journal.isUntouched(); }

    RequestCounts counts() {
        return parts.stream().map(Part::requestCounts).reduce(new RequestCounts(0, 0, 0), RequestCounts::plus);
    }

    /** Returns the counts; while it validates, a provider knows no total. */
    RequestCounts countsOfAll() { return counts().of(isKept() ? journal.sentCount() : 0); }

    /** Whether something of it runs or has run. */
    boolean hasRun() { return parts.stream().anyMatch(Part::hasRun); }

    /** Whether something of it was ever at the provider. */
    boolean hasBegun() { return parts.isEmpty() || parts.stream().anyMatch(part -> !part.isWaiting()); }

    long waitingCount() { return parts.stream().filter(Part::isWaiting).count(); }

    String describe() {
        long waiting = waitingCount();
        return id() + " " + status() + (waiting == 0 || parts.size() == 1 ? ""
            : " (" + waiting + " of " + parts.size() + " parts wait)");
    }

    /** Returns what a submit did: how many parts it created, and what waits. */
    String submitted(int created) {
        var what = created == 0 && hasBegun() ? attached() : sent(created);
        return what + waiting() + "; kept in " + journal.shortPath();
    }

    private String sent(int created) {
        var what = created == parts.size() ? id() : created + " of " + parts.size() + " parts of " + id();
        return "submitted " + what + " to " + provider.name() + " (" + size() + ")";
    }

    /** Returns what an upload did: how many files it uploaded. */
    String uploaded(int files) {
        if (!isOnlyUploaded()) return attached() + "; kept in " + journal.shortPath();
        return (files == 0 ? id() + " was uploaded before" : "uploaded " + id()) + " to " + provider.name() + " ("
            + size() + ")" + (parts.size() == 1 ? " as " + parts.get(0).inputFileId() : "")
            + ", and no batch of it yet; kept in " + journal.shortPath();
    }

    private String attached() {
        return "attached to " + id() + " (" + size() + ", submitted " + Journal.minute(journal.submittedAt())
            + "), nothing was sent" + (unanswered().isEmpty() ? "" : "; it " + unanswered());
    }

    private String size() {
        long reused = journal.manifest().reused();
        return count(journal.manifest().requests(), "request")
            + (reused == 0 ? "" : String.format(Locale.ROOT, ", %,d of them answered before", reused))
            + (parts.size() < 2 ? "" : ", in " + parts.size() + " parts");
    }

    private String waiting() {
        long waiting = waitingCount();
        if (waiting == 0) return "";
        return "; " + waiting + (waiting == 1 ? " part waits" : " parts wait") + " for room at " + provider.name()
            + (queue.reason().isEmpty() ? "" : " (" + queue.reason() + ")") + ", and await() submits "
            + (waiting == 1 ? "it" : "them");
    }

    /** Returns what a batch that was not run to its end lacks, as its provider counts; "" if nothing. */
    String unanswered() {
        var status = status();
        long unanswered = isKept() ? journal.sentCount() - counts().completed() : 0;
        if (!status.isTerminal() || status.equals(Status.COMPLETED) || unanswered <= 0) return "";
        return (status.equals(Status.FAILED) ? "failed" : "has " + status) + " with " + count(unanswered, "request")
            + " unanswered, which results().retry() or repair(1) sends again";
    }

    /** Returns how to come back to a wait that was interrupted. */
    String interrupted() {
        if (provider.isLocal()) return "interrupted; run again to go on";
        return id() + " goes on at " + provider.name() + "; run again, or batch(\"" + id() + "\"), to come back to it"
            + (waitingCount() == 0 ? "" : " and submit what waits");
    }

    IllegalStateException stillGoing(Duration timeout) {
        var reason = waitingCount() > 0 && !queue.reason().isEmpty() ? "; " + queue.reason() : "";
        return new IllegalStateException("await: " + id() + " still " + status() + " after " + Progress.text(timeout)
            + " (" + counts() + reason + "); it goes on: batch(\"" + id() + "\").await()");
    }

    BatchException failed() {
        var faults = parts.stream().flatMap(part -> part.faults().stream()).toList();
        var shown = parts.stream().flatMap(this::placed).limit(SHOWN_FAULTS).collect(Collectors.joining(", "));
        var more = faults.size() > SHOWN_FAULTS ? ", and " + (faults.size() - SHOWN_FAULTS) + " more" : "";
        var reason = faults.isEmpty() ? "the provider gave no reason"
            : faults.size() + (faults.size() == 1 ? " fault" : " faults") + " in the input file: " + shown + more;
        return new BatchException("await: " + id() + " failed; " + reason,
            faults.isEmpty() ? "" : faults.get(0).code(), id());
    }

    /** A line of an input file is told as the row it came from. */
    private Stream<String> placed(Part part) {
        var faults = part.faults().stream().limit(SHOWN_FAULTS).toList();
        var rows = isKept() ? journal.requests().rowsAt(part.number(), faults.stream().map(Fault::line).toList())
            : Map.<Long, Long>of();
        return faults.stream().map(fault -> place(fault.line(), rows.get(fault.line())) + fault.describe());
    }

    private static String place(long line, Long row) {
        if (row != null) return "row " + row + " ";
        return line > 0 ? "line " + line + " " : "";
    }

    /**
     * Deletes its folder.
     * @throws IllegalStateException if it is not over, as last seen
     */
    void delete(Consumer<String> note) {
        var kept = keptAs("delete");
        try (var lock = FolderLock.on(kept.dir(), note)) {
            kept.reload();                                 // another process may have gone on with it
            if (!kept.isUntouched()) kept.parts().filter(part -> !hasSeenTheEnd(part)).findFirst().ifPresent(part -> {
                throw new IllegalStateException("delete: " + kept.folderName() + " is " + part.status()
                    + " as last seen; await() or cancel() it first");
            });
            kept.delete();
        } catch (IOException e) {
            throw new UncheckedIOException("delete: cannot delete " + kept.dir() + " (" + reason(e) + ")", e);
        }
    }

    /** One of the provider's list may have ended since it was last looked at from here. */
    private boolean hasSeenTheEnd(Part known) {
        return known.status().isTerminal()
            || parts.stream().anyMatch(part -> part.status().isTerminal() && part.id().equals(known.id()));
    }

    /** Returns its cells in the list of a provider's batches. */
    List<String> asListed(boolean isHere) {
        var created = submittedAt().equals(Instant.EPOCH) ? "" : Journal.minute(submittedAt());
        return List.of(id(), name(), status().text(), counts().toString(), created, isKept() || isHere ? "here" : "");
    }

    /** Returns its cells in the list of what is kept here. */
    List<String> asKept() {
        return List.of(journal.folderName(), provider.name(),
            isOver() && !status().isTerminal() ? "not sent" : status().text(), countsOfAll().toString(),
            Journal.day(submittedAt()), journal.answers(), Messages.size(journal.bytes()));
    }
}
