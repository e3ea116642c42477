package sheaf.server;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.support.RawClient.await;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Test;

/** Whose turn it is to ask the engine. */
class TurnsTest {
    final Turns turns = new Turns(1);

    @Test void aTurnIsThereWhenAnotherIsGivenBack() throws InterruptedException {
        take();
        var next = CompletableFuture.supplyAsync(this::take);

        assertFalse(next.isDone());
        turns.giveBack();

        assertTrue(next.join());
    }

    @Test void whoStopsWantingGetsNone() {
        take();
        var wanted = new AtomicBoolean(true);
        var next = CompletableFuture.supplyAsync(() -> take(wanted));

        wanted.set(false);
        turns.wake();

        assertFalse(next.join());
    }

    @Test void aDeadlineEndsTheWaitWithoutAnyWake() throws InterruptedException {
        take();
        var end = System.nanoTime() + 50_000_000;

        assertFalse(turns.take(() -> System.nanoTime() < end, () -> 10));
    }

    @Test void whilePausedNobodyGetsATurn() {
        turns.pause(true);
        var next = CompletableFuture.supplyAsync(this::take);

        turns.giveBack();
        assertFalse(next.isDone());
        turns.pause(false);

        assertTrue(next.join());
    }

    @Test void whoWaitsIsInterruptedWhenTheServerCloses() {
        take();
        var next = CompletableFuture.supplyAsync(this::take);

        turns.close();

        await(next::isCompletedExceptionally);
        assertThrows(InterruptedException.class, () -> turns.awaitWhile(() -> false));
    }

    private boolean take() { return take(new AtomicBoolean(true)); }

    private boolean take(AtomicBoolean wanted) {
        try {
            return turns.take(wanted::get, () -> 60_000);
        } catch (InterruptedException closing) {
            throw new AssertionError(closing);
        }
    }
}
