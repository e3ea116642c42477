package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Provider;
import sheaf.support.Guide;

/** Which ids came before, of very many: none that differs is refused, and none that is alike is missed. */
class HashesTest {
    private static final int MANY = 1_000_000;
    private static final String ONE = "cuydkba", OTHER = "gdmstf\u1c2f";       // two texts of one hash

    @Test void manyIdsTakeTenToThirteenBytesEach() {
        var hashes = new Hashes();
        for (int i = 0; i < MANY; i++) {
            assertTrue(hashes.add("survey-2026-" + i));
            if (i > MANY / 2 && i % 997 == 0) assertTrue(hashes.bytes() < 13L * i, i + ": " + hashes.bytes());
        }
        for (int i = 0; i < MANY; i++) assertFalse(hashes.add("survey-2026-" + i));
    }

    @Test void whatWasAddedIsWhatASetKnows() {
        var random = new Random(7);
        var hashes = new Hashes();
        var set = new HashSet<Long>();
        for (int i = 0; i < MANY / 5; i++) {
            long hash = Hashes.hash("" + random.nextInt(MANY / 5));
            assertEquals(set.add(hash), hashes.add(hash), Long.toHexString(hash));
        }
    }

    @Test void idsAsPeopleMakeThemHaveHashesOfTheirOwn() {
        var hashes = new Hashes();
        for (int i = 0; i < MANY / 4; i++)
            for (var id : List.of("" + i, "%09d".formatted(i), i % 500 + "/" + i / 500, "\u00fc" + i + "-\u8336"))
                assertTrue(hashes.add("all " + id), id);
    }

    @Test void idsThatDifferAreTakenThoughTheirHashesDoNot() {
        assertEquals(Hashes.hash(ONE), Hashes.hash(OTHER));

        assertEquals(List.of(ONE, "b", OTHER), ids(() -> Stream.of(ONE, "b", OTHER)));
    }

    @Test void anIdThatComesTwiceIsFoundBehindOneOfItsHash() {
        assertEquals("customId: rows 2 and 3 both give \"" + OTHER + "\"; an id is unique",
            fault(() -> Stream.of(ONE, OTHER, OTHER, ONE)));
        assertEquals("customId: rows 1 and 4 both give \"" + ONE + "\"; an id is unique",
            fault(() -> Stream.of(ONE, OTHER, "b", ONE)));
    }

    @Test void rowsThatAreNotTheSameAtASecondLookAreRefusedToo() {
        var once = Stream.of("a", "b", "a");
        var shuffled = List.of(List.of("a", "b", "a", "c"), List.of("c", "a", "b", "a")).iterator();
        var others = List.of(List.of("a", "a"), List.of("b", "c")).iterator();

        assertEquals("customId: row 3 and one before it give \"a\"; an id is unique", fault(() -> once));
        assertEquals("customId: rows 2 and 4 both give \"a\"; an id is unique", fault(() -> shuffled.next().stream()));
        assertEquals("customId: row 2 and one before it give \"a\"; an id is unique",
            fault(() -> others.next().stream()));
    }

    @Test void aFileOfRequestsMayHaveIdsOfOneHash(@TempDir Path folder) throws IOException {
        var file = folder.resolve("r.jsonl");
        var lines = Stream.of(ONE, OTHER, "b").map(id -> Guide.LINE.replace("request-1", id)).toList();

        Files.write(file, lines);
        assertEquals(3, requests(batch().requests(file).settings).size());

        Files.writeString(file, "\n" + lines.get(1) + "\n", StandardOpenOption.APPEND);
        assertEquals("requests: " + file + " line 5: custom_id \"" + OTHER + "\" stands in line 2 too; an id is unique",
            assertThrows(IllegalArgumentException.class, () -> requests(batch().requests(file).settings)).getMessage());
    }

    private static String fault(Supplier<Stream<String>> ids) {
        return assertThrows(IllegalArgumentException.class, () -> ids(ids)).getMessage();
    }

    private static List<Object> ids(Supplier<Stream<String>> ids) {
        return requests(batch().model("m").customId("{{value}}").prompts("{{value}}", rows(ids)).settings).stream()
            .map(request -> request.values().get("value")).toList();
    }

    private static List<Request> requests(Settings settings) {
        return new Requests(settings, Provider.OPENAI.connection()).open().toList();
    }
}
