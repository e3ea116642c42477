package sheaf.server;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.Semaphore;
import java.util.function.BooleanSupplier;
import java.util.function.LongSupplier;
import sheaf.server.Attempt.Failure;

/**
 * How much goes on at once, and what becomes of the rest: {@link Permits} refuse it, {@link Turns} let it wait, and a
 * {@link Gate} lets in as much as an engine can take. It knows neither requests nor batches.
 */
final class Concurrency {
    private Concurrency() { }

    /** What needs a permit. */
    interface Work<T> {
        T done() throws IOException, InterruptedException;
    }

    /** How much of one kind may go on at once; what comes while there is no permit left is refused, not queued. */
    static final class Permits {
        private final Semaphore free;

        Permits(int atOnce) { this.free = new Semaphore(atOnce); }

        /** Does work that needs so many permits, or refuses it if fewer are left. */
        <T> T with(int needed, Work<T> work) throws IOException, InterruptedException {
            if (!free.tryAcquire(needed))
                throw Refusal.busy("Too many requests at once; send this one again in a moment.");
            try {
                return work.done();
            } finally {
                free.release(needed);
            }
        }
    }

    /**
     * The turns of the batches to ask the engine: so many requests at once, none while a test pauses them, and none
     * once the server closes.
     */
    static final class Turns {
        private int free;                // turns that nobody has taken
        private boolean paused;
        private volatile boolean closing;

        Turns(int atOnce) { this.free = atOnce; }

        /** Waits for a turn and takes it; returns false instead once it is no longer wanted. */
        synchronized boolean take(BooleanSupplier wanted, LongSupplier millisLeft) throws InterruptedException {
            while (!closing && wanted.getAsBoolean() && (paused || free == 0))
                wait(millisLeft.getAsLong());
            if (closing) throw new InterruptedException();
            if (!wanted.getAsBoolean()) return false;
            free--;
            return true;
        }

        synchronized void giveBack() {
            free++;
            notifyAll();
        }

        /** Waits as long as a test holds a batch; {@link #wake} makes it look again. */
        synchronized void awaitWhile(BooleanSupplier held) throws InterruptedException {
            while (!closing && held.getAsBoolean())
                wait();
            if (closing) throw new InterruptedException();
        }

        synchronized void pause(boolean paused) {
            this.paused = paused;
            notifyAll();
        }

        /** Lets all that wait look again whether they still have to. */
        synchronized void wake() { notifyAll(); }

        /** Gives no further turn: each wait for one ends with an {@link InterruptedException}. */
        void close() {
            closing = true;
            wake();
        }

        boolean isClosing() { return closing; }
    }

    /**
     * How many requests may be at an engine at once: half as many when it is overloaded, and one more again after each
     * round of as many answers. Where nobody has said how many, twice as many as long as that brings more answers in
     * the same time; of what only waits at the engine, none is sent. None enters while the engine asks for a pause.
     */
    static final class Gate {
        static final long LOOK = 100;                // milliseconds between looks whether a request is still wanted
        private static final long IDLE = 60_000_000_000L;   // nanoseconds, after which an engine may be another
        private static final int ROUND = 12;         // answers at least
        private static final int ROUNDS = 6;         // at most, until a number is judged
        private static final double FASTER = 1.1;    // times the pace of the rounds before: not yet at its best
        private static final double WORTH = 1.4;     // times the pace of half as many: midway from 1 to 2

        private final int first;
        private final int most;
        private int allowed;                         // at once, at the moment
        private int ceiling;                         // what may become allowed
        private boolean climbs;                      // whether it still looks for its ceiling
        private double pace;                         // answers in a nanosecond, when half as many were allowed
        private double best;                         // the same of the best round since the last change
        private int rounds;                          // since the last change
        private final List<Long> times = new ArrayList<>();   // nanoseconds of the answers of this round
        private int inside;                          // requests that have entered and not left
        private int answers;                         // since the last change of what is allowed
        private final LongSupplier now;              // nanoseconds, as of System.nanoTime
        private long changedAt;
        private long narrowedAt;
        private long leftAt;
        private long opensAt;

        Gate(int first, int most, LongSupplier now) {
            this.first = first;
            this.most = most;
            this.now = now;
            narrowedAt = leftAt = opensAt = now.getAsLong();
            reset();
        }

        private void reset() {
            allowed = Math.min(first, most);
            ceiling = most;
            climbs = first < most;
            pace = 0;
            change(allowed);
        }

        private void change(int number) {
            allowed = number;
            answers = rounds = 0;
            best = 0;
            times.clear();
            changedAt = now.getAsLong();
        }

        /** Waits until one more request may go to the engine, and lets it; returns false once it is not wanted. */
        synchronized boolean enter(BooleanSupplier wanted) throws InterruptedException {
            if (first < most && inside == 0 && now.getAsLong() - leftAt > IDLE) reset();
            while (wanted.getAsBoolean()) {
                if (inside < allowed && now.getAsLong() - opensAt >= 0) {
                    inside++;
                    return true;
                }
                wait(LOOK);
            }
            return false;
        }

        /** Lets nobody in for so many milliseconds; returns whether that is longer than it was to be. */
        synchronized boolean hold(long millis) {
            long until = now.getAsLong() + millis * 1_000_000;
            boolean isLonger = until - opensAt > LOOK * 1_000_000;
            if (isLonger) opensAt = until;
            return isLonger;
        }

        synchronized int allowed() { return allowed; }

        synchronized int inside() { return inside; }

        /** Returns whether nobody is let in at the moment. */
        synchronized boolean isHeld() { return now.getAsLong() - opensAt < 0; }

        /** Notes the return of a request that entered at this time of {@link System#nanoTime}. */
        synchronized void leave(long entered, Failure failure) {
            inside--;
            leftAt = now.getAsLong();
            if (failure == Failure.OVERLOADED) narrow(entered);
            else if (failure == Failure.NONE && climbs) climb(entered);
            else if (failure == Failure.NONE && allowed < ceiling) widen();
            notifyAll();
        }

        /** Halves what is allowed, but once for all requests that were let in before the last time. */
        private void narrow(long entered) {
            if (entered - narrowedAt < 0) return;
            climbs = false;
            change(Math.max(1, allowed / 2));
            narrowedAt = changedAt;
        }

        private void widen() {
            if (++answers >= allowed) change(allowed + 1);
        }

        /**
         * Looks whether what is allowed is at its best, round by round, as long as each is faster than those before:
         * an engine, or the machine, may be slow at first. Medians and the best round make little of a machine that
         * stands still for a moment. The first answers after a change find fewer beside them and do not count.
         */
        private void climb(long entered) {
            if (entered - changedAt < 0 || ++answers <= allowed) return;
            times.add(leftAt - entered);
            if (times.size() < Math.max(ROUND, allowed)) return;
            Collections.sort(times);
            double found = (double) allowed / times.get(times.size() / 2);
            times.clear();
            boolean isRising = ++rounds == 1 || found > FASTER * best && rounds < ROUNDS;
            best = Math.max(best, found);
            if (!isRising) judge();
        }

        /** Doubles what is allowed, or takes the last doubling back if it has made each answer only slower. */
        private void judge() {
            boolean isWorth = best >= WORTH * pace;
            if (!isWorth) ceiling = Math.max(1, allowed / 2);
            pace = best;
            change(isWorth ? Math.min(ceiling, 2 * allowed) : ceiling);
            climbs = allowed < ceiling;
        }
    }
}
