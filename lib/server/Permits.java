package sheaf.server;

import java.io.IOException;
import java.util.concurrent.Semaphore;

/** How much of one kind may go on at once; what comes while it is full is refused, not queued. It knows no request. */
final class Permits {
    private final Semaphore free;

    /** Work that a request is served by. */
    interface Work<T> {
        T done() throws IOException, InterruptedException;
    }

    Permits(int atOnce) { this.free = new Semaphore(atOnce); }

    /** Does what takes so many permits, or refuses to if there are not that many left. */
    <T> T with(int taken, Work<T> work) throws IOException, InterruptedException {
        if (!free.tryAcquire(taken)) throw Refusal.busy("Too many requests at once; send this one again in a moment.");
        try {
            return work.done();
        } finally {
            free.release(taken);
        }
    }
}
