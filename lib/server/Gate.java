package sheaf.server;

import java.util.function.BooleanSupplier;
import sheaf.server.Attempt.Failure;

/**
 * How many requests may be at an engine at once: half as many when it is overloaded, and one more again after each
 * round of answers. It knows nothing of the requests.
 */
final class Gate {
    static final long BLINK = 100;           // milliseconds between looks at whether it is still wanted

    private final int most;
    private int allowed;                             // at once, at the moment
    private int inside;
    private int answers;                             // of this round
    private long narrowed = System.nanoTime();

    Gate(int most) {
        this.most = most;
        this.allowed = most;
    }

    /** Waits until one more request may go to the engine, and returns whether it is still wanted. */
    synchronized boolean enter(BooleanSupplier wanted) throws InterruptedException {
        while (wanted.getAsBoolean()) {
            if (inside < allowed) {
                inside++;
                return true;
            }
            wait(BLINK);
        }
        return false;
    }

    /** Notes that a request has come back, which entered at this time of {@link System#nanoTime}. */
    synchronized void leave(long entered, Failure failure) {
        inside--;
        if (failure == Failure.OVERLOADED) narrow(entered);
        else if (failure == Failure.NONE && allowed < most) widen();
        notifyAll();
    }

    /** Halves what is allowed, unless the request entered before that was last done: it was one of too many then. */
    private void narrow(long entered) {
        if (entered - narrowed < 0) return;
        allowed = Math.max(1, allowed / 2);
        answers = 0;
        narrowed = System.nanoTime();
    }

    private void widen() {
        if (++answers < allowed) return;
        allowed++;
        answers = 0;
    }
}
