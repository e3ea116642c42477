package sheaf;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.ConnectException;
import java.net.UnknownHostException;
import java.time.Duration;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.time.format.DateTimeParseException;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.Supplier;
import sheaf.Vocabulary.BatchException;

/**
 * When to try again: every pause, back-off, jitter and Retry-After stands here. A server on this machine is asked again
 * at once, where one far away is given time. It knows no route and no file.
 */
final class Retry {
    /** How long a create may be on its way whose answer never came: longer than proxies hold a request. */
    private static final Duration LATEST = Duration.ofMinutes(3);
    private static final Duration LATEST_HERE = Duration.ofSeconds(30);            // on this machine
    private static final Duration LOOKS = Duration.ofSeconds(10);                  // longest pause between looks
    static final int ATTEMPTS = 3;                        // of a call that may be made twice without harm
    static final Duration NEVER = Duration.ofMillis(-1);  // what a provider asks for that wants no other attempt
    private static final Duration LONGEST_PAUSE = Duration.ofSeconds(60);
    private static final Set<Integer> TRANSIENT = Set.of(408, 425, 429);
    private final Duration first;
    private final Duration longest;
    private final double growth;
    private Duration next;

    private Retry(Duration first, Duration longest, double growth) {
        this.first = first;
        this.longest = longest;
        this.growth = growth;
        this.next = first;
    }

    /** Between attempts of one call: 500 ms, and 20 on this machine, then twice as long each time. */
    static Retry ofCalls(boolean isLocal) {
        return new Retry(Duration.ofMillis(isLocal ? 20 : 500), Duration.ofMinutes(10), 2);
    }

    /**
     * Between looks at a batch: 30 seconds, growing to two minutes. On this machine each look takes of the cores that a
     * local model thinks with: 15 ms, growing to 60, or 40 a part.
     */
    static Retry ofPolls(boolean isLocal, int parts) {
        long most = Math.max(60, Math.min(2_000, 40L * parts));
        return isLocal ? new Retry(Duration.ofMillis(15), Duration.ofMillis(most), 1.2)
            : new Retry(Duration.ofSeconds(30), Duration.ofSeconds(120), 1.5);
    }

    /** Between creates for which a provider's queue had no room: 30 seconds, growing to ten minutes. */
    static Retry ofCreates(boolean isLocal) {
        return new Retry(isLocal ? Duration.ofMillis(25) : Duration.ofSeconds(30),
            isLocal ? Duration.ofMillis(100) : Duration.ofMinutes(10), 1.5);
    }

    /** Between looks for a create that may still arrive: 500 ms, growing to 10 seconds. */
    static Retry ofLooks(boolean isLocal) {
        return new Retry(Duration.ofMillis(isLocal ? 20 : 500), isLocal ? Duration.ofSeconds(1) : LOOKS, 2);
    }

    /** Returns for how long a create is looked for that was never answered; {@code -Dsheaf.late} is for tests. */
    static Duration latest(boolean isLocal) {
        var told = System.getProperty("sheaf.late", "");
        if (!told.isEmpty()) return Duration.ofMillis((long) (1000 * Double.parseDouble(told)));
        return isLocal ? LATEST_HERE : LATEST;
    }

    /** Returns for how long a provider may look through an input file before it is asked to make a batch of it. */
    static Duration firstCheck(boolean isLocal) { return Duration.ofSeconds(isLocal ? 3 : 30); }

    /** Returns for how long a provider may look through an input file, and refuse to make a batch of it. */
    static Duration longestCheck(boolean isLocal) { return isLocal ? Duration.ofSeconds(30) : Duration.ofMinutes(10); }

    /** Returns the next pause, each longer than the last: what the provider asked for, if that is more. */
    Duration next(Duration asked) {
        var pause = longer(asked, jittered(next));
        next = shorter(longest, Duration.ofNanos((long) (next.toNanos() * growth)));
        return pause;
    }

    /** Pauses after a failed attempt. */
    void pause(String step, RuntimeException e) { sleep(step, next(asked(e))); }

    /** Begins with short pauses again. */
    void reset() { next = first; }

    /** Clients that were cut off together do not come back together. */
    private static Duration jittered(Duration time) {
        return time.multipliedBy(ThreadLocalRandom.current().nextInt(100, 151)).dividedBy(100);
    }

    /** Repeats a call that may be made twice without harm. */
    static <T> T patiently(boolean isLocal, Supplier<T> call) {
        return patiently(isLocal, false, Optional::empty, call);
    }

    /** Repeats a call; before each attempt, but a first one that is sure, looks whether an earlier one got through. */
    static <T> T patiently(boolean isLocal, boolean isUnsure, Supplier<Optional<T>> done, Supplier<T> call) {
        var retry = ofCalls(isLocal);
        for (int attempt = 1; ; attempt++) {
            try {
                return (isUnsure || attempt > 1 ? done.get() : Optional.<T>empty()).orElseGet(call);
            } catch (UncheckedIOException | BatchException e) {
                if (!isTransient(e) || isUntrusted(e) || asked(e).equals(NEVER) || attempt > ATTEMPTS) throw e;
                retry.pause("submit", e);
            }
        }
    }

    /** Whether the same call may succeed a little later. */
    static boolean isTransient(RuntimeException e) {
        if (!(e instanceof BatchException refusal)) return e instanceof UncheckedIOException;
        return !refusal.isUnpaid()
            && (TRANSIENT.contains(refusal.status()) || refusal.status() >= 500 || refusal.isGarbled());
    }

    /** Whether nothing was sent, for who answers is not trusted; a wait may outlast that, on another network. */
    static boolean isUntrusted(RuntimeException e) {
        return e.getCause() instanceof IOException cause && Certificates.distrust(cause).isPresent();
    }

    /** Whether surely nothing was sent, for nobody listens there, or who does is not trusted. */
    static boolean isUnsent(RuntimeException e) {
        return e.getCause() instanceof ConnectException || e.getCause() instanceof UnknownHostException
            || isUntrusted(e);
    }

    /** Returns the pause that the provider asked for; zero if it asked for none, {@link #NEVER} if for no attempt. */
    static Duration asked(RuntimeException e) {
        return e instanceof BatchException refusal ? refusal.retryAfter() : Duration.ZERO;
    }

    /** Reads Retry-After, seconds or a date, and retry-after-ms; an absurd pause is cut to a minute. */
    static Duration after(List<String> millis, List<String> secondsOrDate) {
        if (!millis.isEmpty()) return seconds(millis.get(0), 0.001);
        return secondsOrDate.isEmpty() ? Duration.ZERO : seconds(secondsOrDate.get(0), 1);
    }

    private static Duration seconds(String text, double unit) {
        try {
            return capped(Duration.ofMillis((long) (Double.parseDouble(text.strip()) * unit * 1000)));
        } catch (NumberFormatException date) {
            return untilDate(text);
        }
    }

    private static Duration untilDate(String text) {
        try {
            return capped(Duration.between(ZonedDateTime.now(),
                ZonedDateTime.parse(text.strip(), DateTimeFormatter.RFC_1123_DATE_TIME)));
        } catch (DateTimeParseException e) {
            return Duration.ZERO;
        }
    }

    private static Duration capped(Duration pause) {
        return longer(Duration.ZERO, shorter(LONGEST_PAUSE, pause));
    }

    static void sleep(String step, Duration time) {
        try {
            Thread.sleep(time.toMillis());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException(step + ": " + Messages.GO_ON, e);
        }
    }

    static Duration longer(Duration a, Duration b) { return a.compareTo(b) > 0 ? a : b; }

    static Duration shorter(Duration a, Duration b) { return a.compareTo(b) < 0 ? a : b; }

    /** How long to wait before asking again, and which faults a wait survives. */
    static final class Patience {
        private static final int TOLERATED = 5;            // refusals in a row: a batch may be visible a little late
        private static final Set<Integer> HOPELESS = Set.of(0, 401, 403);
        private final Retry pauses;
        private Duration asked = Duration.ZERO;            // by the provider
        private int refusals;

        Patience(boolean isLocal, int parts) { pauses = Retry.ofPolls(isLocal, parts); }

        void answered() { refusals = 0; }

        boolean survives(RuntimeException e) {
            if (isTransient(e)) {
                asked = asked(e);
                return true;
            }
            return !HOPELESS.contains(((BatchException) e).status()) && ++refusals < TOLERATED;
        }

        void pause(Duration left) {
            sleep("await", shorter(pauses.next(asked), left));
            asked = Duration.ZERO;
        }
    }

    /** When to ask a provider again whose queue was full, and when to give up. */
    static final class QueuePauses {
        private static final int TRIES = 100;             // in a row, while nothing of this batch is in it
        private final Retry pauses;
        private long due = System.nanoTime();
        private int refusals;
        private String reason = "";                       // why there was no room the last time

        QueuePauses(boolean isLocal) { pauses = ofCreates(isLocal); }

        /** @param isAlone whether nothing of this batch is in the queue, so that no end of it can make room */
        void refused(BatchException e, Duration asked, boolean isAlone) {
            reason = e.getMessage();
            due = System.nanoTime() + pauses.next(asked).toNanos();
            refusals = isAlone ? refusals + 1 : 0;
            if (refusals > TRIES)
                throw new BatchException(reason + "; it had no room " + TRIES + " times in a row: run again later, or "
                    + "make smaller parts " + Wording.LIMITS, e.code(), e.batchId());
        }

        void moved() {
            reason = "";
            refusals = 0;
            pauses.reset();
        }

        String reason() { return reason; }

        boolean isDue() { return untilDue().isNegative(); }

        Duration untilDue() { return Duration.ofNanos(due - System.nanoTime()); }
    }
}
