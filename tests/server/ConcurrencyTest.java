package sheaf.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.support.RawClient.await;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Test;
import sheaf.server.Attempt.Failure;
import sheaf.server.Concurrency.Gate;
import sheaf.server.Concurrency.Turns;

/** How much goes on at once: the turns of batches, and how many requests an engine gets. */
class ConcurrencyTest {
    final Turns turns = new Turns(1);
    Gate gate = new Gate(8, 8, System::nanoTime);
    long clock;

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
        int[] looks = {0};

        assertFalse(turns.take(() -> looks[0]++ < 5, () -> 10));
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

    @Test void anOpenNumberDoublesAsLongAsAnswersTakeNoLonger() throws InterruptedException {
        gate = new Gate(2, 16, () -> clock);

        assertEquals(2, round(10));
        assertEquals(4, round(10));
        assertEquals(8, round(10));
        assertEquals(16, round(10));
        assertEquals(16, enterAll().size());
    }

    @Test void whatOnlyWaitsAtTheEngineIsNotSent() throws InterruptedException {
        gate = new Gate(2, 16, () -> clock);

        round(10);
        assertEquals(4, round(10), "so far twice as many bring twice as much");
        assertEquals(8, round(20), "each takes twice as long");

        assertEquals(4, round(10));
        assertEquals(4, round(10));
        assertEquals(4, enterAll().size());
    }

    @Test void anEngineOfOneSlotGetsFewWhateverTheMachineDoes() throws InterruptedException {
        int most = 0;
        for (int seed = 0; seed < 100; seed++) most = Math.max(most, mostAtOneSlot(new Random(seed)));

        assertTrue(most <= 16, most + " at once");
    }

    /** Returns how many it gets at once, slow at first and on a machine that stands still for a while now and then. */
    private int mostAtOneSlot(Random random) throws InterruptedException {
        gate = new Gate(4, 32, () -> clock);
        var queue = new ArrayDeque<Long>();
        int most = 0;
        for (int answers = 0; answers < 300; answers++) {
            for (; queue.size() < gate.allowed() && gate.enter(() -> true); most = Math.max(most, queue.size()))
                queue.add(clock);
            clock += (long) (15e6 * (1 + 3 * Math.exp(-answers / 15.0)));
            if (random.nextInt(20) == 0) clock += random.nextInt(200) * 1_000_000L;
            gate.leave(queue.remove(), Failure.NONE);
        }
        return most;
    }

    @Test void anOverloadEndsTheDoubling() throws InterruptedException {
        gate = new Gate(4, 32, () -> clock);
        assertEquals(4, round(10));

        assertEquals(8, leave(Collections.nCopies(enterAll().size(), clock++), Failure.OVERLOADED));

        assertEquals(4, leave(enterAll(), Failure.NONE));
        assertEquals(5, leave(enterAll(), Failure.NONE));
        assertEquals(6, enterAll().size());
    }

    @Test void afterAnIdleMinuteTheEngineMayBeAnother() throws InterruptedException {
        gate = new Gate(2, 16, () -> clock);
        round(10);
        round(10);

        clock += 61_000_000_000L;

        assertEquals(2, enterAll().size());
    }

    @Test void nobodyEntersAsLongAsTheEngineAsksForAPause() throws InterruptedException {
        gate = new Gate(8, 8, () -> clock);

        assertTrue(gate.hold(400));
        assertFalse(gate.hold(100), "that is no longer");
        assertFalse(isOpen());
        assertTrue(gate.enter(() -> passes(100)));

        assertEquals(400, clock / 1_000_000);
    }

    /** Lets some milliseconds pass by the gate's clock. */
    private boolean passes(long millis) {
        clock += millis * 1_000_000;
        return true;
    }

    /** Has rounds of as many answers as may enter until their number is judged; each has taken so many seconds. */
    private int round(long seconds) throws InterruptedException {
        int most = 1;
        for (int answers = 0; answers < most + 2 * Math.max(12, most); answers += most) {
            most = enterAll().size();
            long entered = clock;
            clock += seconds * 1_000_000_000;
            for (int i = 0; i < most; i++) gate.leave(entered, Failure.NONE);
        }
        return most;
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
