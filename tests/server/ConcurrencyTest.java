package sheaf.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.support.RawClient.await;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Test;
import sheaf.server.Attempt.Failure;
import sheaf.server.Concurrency.Gate;
import sheaf.server.Concurrency.Turns;

/** How much goes on at once: the turns of batches, and how many requests an engine gets. */
class ConcurrencyTest {
    final Turns turns = new Turns(1);
    final Gate gate = new Gate(8);

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

    @Test void noMoreThanTheMostMayEnter() throws InterruptedException { assertEquals(8, enterAll().size()); }

    @Test void requestsThatFindAnEngineOverloadedTogetherHalveItOnce() throws InterruptedException {
        leave(enterAll(), Failure.OVERLOADED);

        assertEquals(4, enterAll().size());
    }

    @Test void everyRoundOfAnswersLetsOneMoreIn() throws InterruptedException {
        leave(enterAll(), Failure.OVERLOADED);

        leave(enterAll(), Failure.NONE);
        assertEquals(5, leave(enterAll(), Failure.NONE));
        assertEquals(6, enterAll().size());
    }

    @Test void oneAlwaysMayEnter() throws InterruptedException {
        for (int i = 0; i < 5; i++)
            leave(enterAll(), Failure.OVERLOADED);

        assertEquals(1, enterAll().size());
    }

    @Test void anEngineThatIsAwayIsNotOverloaded() throws InterruptedException {
        leave(enterAll(), Failure.DOWN);

        assertEquals(8, enterAll().size());
    }

    /** Lets requests in until one would have to wait, and returns when each entered. */
    private List<Long> enterAll() throws InterruptedException {
        var entered = new ArrayList<Long>();
        while (isOpen())
            entered.add(System.nanoTime());
        return entered;
    }

    private boolean isOpen() throws InterruptedException {
        int[] looks = {0};
        return gate.enter(() -> looks[0]++ == 0);
    }

    private int leave(List<Long> entered, Failure failure) {
        entered.forEach(time -> gate.leave(time, failure));
        return entered.size();
    }
}
