package sheaf;

import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import sheaf.Vocabulary.Part;

/**
 * When the batches were at their providers that requests were sent in, by the clocks of those, which count in seconds.
 * What one does not say is not guessed. Batches whose answers were taken over are none of these.
 */
final class Timing {
    private static final List<String> ENDS = List.of("completed_at", "failed_at", "expired_at", "cancelled_at");
    private final Map<Path, Answers> batches = new LinkedHashMap<>();      // by folder
    private Answers last;                                 // that was added: mostly it is the same again

    void add(Answers batch) {
        if (batch != last) batches.putIfAbsent(batch.journal().dir(), batch);
        last = batch;
    }

    void add(Timing other) { other.batches.values().forEach(this::add); }

    /** Returns their parts, those of repairs too. */
    Stream<Part> parts() { return batches.values().stream().map(Answers::journal).flatMap(Timing::parts); }

    /** Returns those that were its own provider's. */
    private static Stream<Part> parts(Journal journal) {
        return journal.parts().filter(part -> journal.manifest().shareOf(part.number()).isEmpty());
    }

    /** From when until when a part was at its provider. */
    record Span(Instant created, Instant ended) {
        private boolean isBefore(Span next) { return ended.isBefore(next.created); }

        private Span with(Span next) { return new Span(created, ended.isAfter(next.ended) ? ended : next.ended); }
    }

    /** Returns when a part was at its provider, if that says both. */
    static Optional<Span> of(Part part) {
        return Json.instant(part.json().path("created_at")).flatMap(created -> ended(part)
            .filter(ended -> !ended.isBefore(created)).map(ended -> new Span(created, ended)));
    }

    private static Optional<Instant> ended(Part part) {
        return ENDS.stream().map(part.json()::path).filter(time -> !time.isMissingNode() && !time.isNull())
            .flatMap(time -> Json.instant(time).stream()).max(Instant::compareTo);
    }

    /** Returns when the last of them ended, as far as that is said. */
    Optional<Instant> ended() { return parts().flatMap(part -> ended(part).stream()).max(Instant::compareTo); }

    /**
     * Returns how long some of them was at its provider: parts at the same time count once, and time between one batch
     * and its repair does not. Nothing if it is not said of each part that was there.
     */
    Optional<Duration> duration() {
        var there = parts().filter(part -> !part.id().isEmpty()).map(Timing::of).toList();
        if (there.isEmpty() || there.stream().anyMatch(Optional::isEmpty)) return Optional.empty();
        var spans = there.stream().map(Optional::get).sorted(Comparator.comparing(Span::created)).toList();
        var sum = Duration.ZERO;
        var open = spans.get(0);
        for (var span : spans) {
            if (open.isBefore(span)) sum = sum.plus(Duration.between(open.created, open.ended));
            open = open.isBefore(span) ? span : open.with(span);
        }
        return Optional.of(sum.plus(Duration.between(open.created, open.ended)));
    }

    /** Says how long, in units that people read. */
    static String text(Duration time) { return time.toSeconds() < 1 ? "less than a second" : Progress.text(time); }
}
