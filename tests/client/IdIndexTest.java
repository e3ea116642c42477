package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;

/** Requests found by their ids. */
class IdIndexTest {
    @Test void eachIdIsFoundAndNoOther() {
        long count = 100_000;
        var read = new ArrayList<Long>();
        var index = new IdIndex(LongStream.range(0, count).filter(i -> i % 2 == 0), count, number -> {
            read.add(number);
            return "row-" + number;
        });
        assertEquals(count / 2, read.size());

        for (long i = 0; i < count; i++) assertEquals(i % 2 == 0 ? i : -1, index.find("row-" + i));

        assertTrue(read.size() < 1.01 * count, "read " + read.size());
    }

    @Test void idsOfOneHashAreToldApartAndOfOneIdTheFirstCounts() {
        var ids = List.of("a", "gdmstf\u1c2f", "a", "a");
        var index = new IdIndex(LongStream.range(0, ids.size()), ids.size(), i -> ids.get((int) i));

        assertEquals(-1, index.find("cuydkba"));
        assertEquals(1, index.find("gdmstf\u1c2f"));
        assertEquals(0, index.find("a"));
    }

    @Test void noneAreFoundAmongNone() {
        assertEquals(-1, new IdIndex(LongStream.empty(), 0, i -> "a").find("a"));
        assertEquals(0, new IdIndex(LongStream.of(0), 1, i -> "a").find("a"));
    }
}
