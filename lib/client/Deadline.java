package sheaf;

import java.time.Duration;
import java.time.temporal.ChronoUnit;

/** Until when several waits may last, one after another: from now on, by a clock that does not jump. */
final class Deadline {
    static final Duration FOREVER = ChronoUnit.FOREVER.getDuration();
    private final Duration timeout;
    private final long start = System.nanoTime();

    Deadline(Duration timeout) { this.timeout = timeout; }

    /** Returns how much is left: zero if nothing is. */
    Duration left() {
        if (timeout.equals(FOREVER)) return FOREVER;
        var left = timeout.minusNanos(System.nanoTime() - start);
        return left.isNegative() ? Duration.ZERO : left;
    }
}
