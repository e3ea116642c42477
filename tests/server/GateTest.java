package sheaf.server;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import sheaf.server.Attempt.Failure;

/** How many requests an engine gets at once. */
class GateTest {
    final Gate gate = new Gate(8);

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
