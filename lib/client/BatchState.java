package sheaf;

import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import sheaf.Vocabulary.Part;
import sheaf.Vocabulary.RequestCounts;
import sheaf.Vocabulary.Status;

/** What is known of a batch without asking anybody: its parts as last seen, and its journal if it is kept. */
final class BatchState {
    private final List<Part> parts = new ArrayList<>();
    private Connection provider;
    private List<BatchState> others = List.of();   // batches elsewhere, of the parts that this provider has not taken
    private Journal journal;                   // null until needed, for a batch that was not submitted from here

    BatchState(Connection provider) { this.provider = provider; }

    Connection provider() { return provider; }

    /** Its server has moved: it is reached there from now on. */
    void moveTo(Connection provider) { this.provider = provider; }

    /** Returns its journal; null if it was not submitted from here. */
    Journal journal() { return journal; }

    boolean isKept() { return journal != null; }

    void setJournal(Journal journal) { this.journal = journal; }

    /** Takes the journal that it is kept in, and what that says of its parts. */
    void attach(Journal journal) {
        setJournal(journal);
        takeParts();
    }

    /** Takes what the journal says of the parts. */
    void takeParts() { journal.parts().forEach(this::remember); }

    synchronized void remember(Part part) {
        while (parts.size() < part.number()) parts.add(null);
        parts.set(part.number() - 1, part);
    }

    List<Part> parts() { return List.copyOf(parts); }

    Part part(int number) { return parts.get(number - 1); }

    void setOthers(List<BatchState> others) { this.others = others; }

    /** Returns the parts that others have in the place of this one's provider. */
    Set<Integer> partsElsewhere() {
        return others.stream().flatMap(other -> other.journal.manifest().insteadParts().stream())
            .collect(Collectors.toSet());
    }

    /** Returns the parts that count, of all providers. */
    List<Part> all() {
        if (others.isEmpty()) return parts;
        var elsewhere = partsElsewhere();
        return Stream.concat(parts.stream().filter(part -> !elsewhere.contains(part.number())),
            others.stream().flatMap(other -> other.all().stream())).toList();
    }

    boolean isWaiting(Part part) { return part(part.number()).isWaiting(); }

    /** Returns the journal of this batch, also if it was found at the provider. */
    Journal keptAs(String step) {
        return Optional.ofNullable(journal).or(() -> Journal.find(id(), provider)).orElseThrow(() ->
            new IllegalStateException(step + ": " + id() + " is not kept in " + Environment.home()));
    }

    /** Returns the id at the provider; with several parts, or none yet, the name of the folder. */
    String id() {
        return parts.size() == 1 && !parts.get(0).id().isEmpty() ? parts.get(0).id() : journal.folderName();
    }

    /** Returns the name that it was submitted under; "" if not by Sheaf. */
    String name() {
        if (isKept()) return journal.manifest().isAdopted() ? "" : journal.name();
        var mark = parts.get(0).json().path("metadata").path(Settings.METADATA_KEY).asText("").split("/");
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
        return first(Part::isGoing).or(this::ofWaiting).or(() -> first(part -> !part.status().equals(Status.COMPLETED)))
            .orElse(Status.COMPLETED);
    }

    private Optional<Status> first(Predicate<Part> kind) {
        return all().stream().filter(kind).map(Part::status).findFirst();
    }

    private Optional<Status> ofWaiting() {
        return first(Part::isWaiting)
            .map(waiting -> isOnlyUploaded() && !journal.isUntouched() ? Status.UPLOADED : waiting);
    }

    boolean isOnlyUploaded() { return isKept() && journal.isOnlyUploaded(); }

    /** Whether it has ended, or nothing of it was ever sent. */
    boolean isOver() { return status().isTerminal() || isKept() && journal.isUntouched(); }

    RequestCounts counts() {
        return all().stream().map(Part::requestCounts).reduce(new RequestCounts(0, 0, 0), RequestCounts::plus);
    }

    /** Returns the counts; while it validates, a provider knows no total. */
    RequestCounts countsOfAll() { return counts().of(isKept() ? journal.sentCount() : 0); }

    /** Whether something of it runs or has run. */
    boolean hasRun() { return all().stream().anyMatch(Part::hasRun); }

    /** Whether something of it was ever at the provider. */
    boolean hasBegun() { return parts.isEmpty() || parts.stream().anyMatch(part -> !part.isWaiting()); }

    long waitingCount() { return parts.stream().filter(Part::isWaiting).count(); }

    /** Returns how many requests of a batch that ended early lack an answer, as its provider counts; 0 of any other. */
    long unansweredCount() {
        boolean endedEarly = status().isTerminal() && !status().equals(Status.COMPLETED);
        return endedEarly && isKept() ? Math.max(0, journal.sentCount() - counts().completed()) : 0;
    }
}
