package sheaf.server;

import java.io.IOException;
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
     * round of as many answers.
     */
    static final class Gate {
        static final long LOOK = 100;                // milliseconds between looks whether a request is still wanted

        private final int most;
        private int allowed;                         // at once, at the moment
        private int inside;                          // requests that have entered and not left
        private int answers;                         // since the last change of what is allowed
        private long narrowedAt = System.nanoTime();

        Gate(int most) {
            this.most = most;
            this.allowed = most;
        }

        /** Waits until one more request may go to the engine, and lets it; returns false once it is not wanted. */
        synchronized boolean enter(BooleanSupplier wanted) throws InterruptedException {
            while (wanted.getAsBoolean()) {
                if (inside < allowed) {
                    inside++;
                    return true;
                }
                wait(LOOK);
            }
            return false;
        }

        /** Notes the return of a request that entered at this time of {@link System#nanoTime}. */
        synchronized void leave(long entered, Failure failure) {
            inside--;
            if (failure == Failure.OVERLOADED) narrow(entered);
            else if (failure == Failure.NONE && allowed < most) widen();
            notifyAll();
        }

        /** Halves what is allowed, but once for all requests that were let in before the last time. */
        private void narrow(long entered) {
            if (entered - narrowedAt < 0) return;
            allowed = Math.max(1, allowed / 2);
            answers = 0;
            narrowedAt = System.nanoTime();
        }

        private void widen() {
            if (++answers < allowed) return;
            allowed++;
            answers = 0;
        }
    }
}
