package sheaf.server;

import java.util.function.BooleanSupplier;
import java.util.function.LongSupplier;

/**
 * Whose turn it is to ask the engine: so many requests at once, none while a test pauses them, none once the server
 * closes. It knows no batch, only who waits and for how long.
 */
final class Turns {
    private int free;                        // turns that nobody has taken
    private boolean paused;
    private volatile boolean closing;

    Turns(int atOnce) { this.free = atOnce; }

    /** Waits until one more request may run, and returns whether there is still one that wants to. */
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

    /** Waits as long as a test holds somebody up; {@link #wake} makes it look again. */
    synchronized void awaitWhile(BooleanSupplier held) throws InterruptedException {
        while (!closing && held.getAsBoolean())
            wait();
        if (closing) throw new InterruptedException();
    }

    synchronized void pause(boolean paused) {
        this.paused = paused;
        notifyAll();
    }

    /** Lets all who wait look again whether they have to. */
    synchronized void wake() { notifyAll(); }

    /** Gives no further turn; whoever waits for one is interrupted. */
    void close() {
        closing = true;
        wake();
    }

    boolean isClosing() { return closing; }
}
