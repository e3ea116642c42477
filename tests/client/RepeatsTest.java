package sheaf;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.HashSet;
import java.util.Random;
import org.junit.jupiter.api.Test;
import sheaf.Repeats.Counter;

class RepeatsTest {
    @Test void asManyAreCountedAsThereAre() {
        var counter = new Counter();
        var random = new Random(5);
        var seen = new HashSet<Integer>();
        long repeats = 0;
        for (int i = 0; i < 20_000; i++) {
            int text = random.nextInt(15_000);
            if (!seen.add(text)) repeats++;
            counter.add(line(i, text));
        }

        assertEquals(repeats, counter.count());
        assertEquals(false, counter.isAtLeast());
    }

    /** However many there are, they take no more memory. */
    @Test void ofThoseThatCameFirstRepeatsAreCountedToTheEnd() {
        var counter = new Counter(100);
        for (int i = 0; i < 1_000; i++) counter.add(line(i, i));
        assertEquals(true, counter.isAtLeast());

        for (int i = 0; i < 1_000; i++) counter.add(line(1_000 + i, i));

        assertEquals(100, counter.count());
    }

    @Test void allOfOneTextAreRepeatsOfTheFirst() {
        var counter = new Counter(2);
        for (int i = 0; i < 1_000; i++) counter.add(line(i, 7));

        assertEquals(999, counter.count());
        assertEquals(false, counter.isAtLeast());
    }

    @Test void afterItIsClearedNothingIsKnown() {
        var counter = new Counter();
        counter.add(line(1, 7));
        counter.clear();
        counter.add(line(2, 7));

        assertEquals(0, counter.count());
    }

    private static byte[] line(int id, int text) {
        return ("{\"custom_id\":\"request-" + id + "\",\"body\":{\"text\":\"" + text + "\"}}\n").getBytes(UTF_8);
    }
}
