package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Where each request and its answer stand, however the files end and however little time there is. */
class RowIndexTest {
    static final long PLENTY = 10_000_000_000L;
    @TempDir Path folder;
    RowIndex index;

    @Test void anAnswerIsFoundWhateverItsPlace() throws IOException {
        files("a\nb\n\nc", output(4) + output(1), error(2, "oops"));

        assertEquals(1, index.read(PLENTY));

        assertEquals(4, index.last());
        assertEquals(3, index.requests());
        assertFalse(index.has(3));
        assertEquals(Map.of("completed", 2, "failed", 1, "cancelled", 0, "expired", 0), index.counts());
        try (var texts = index.open()) {
            assertArrayEquals("c".getBytes(UTF_8), texts.request(4));
            assertArrayEquals(output(4).strip().getBytes(UTF_8), texts.answer(4));
            assertArrayEquals(error(2, "oops").strip().getBytes(UTF_8), texts.answer(2));
            assertNull(texts.request(3));
        }
    }

    @Test void theWordsOfAnErrorTellWhatBecameOfARequest() throws IOException {
        files("a\nb\nc\n", "", error(1, "batch_cancelled") + error(2, "batch_expired")
            + error(3, "batch_cancelled\\\",\\\"code\\\":\\\"batch_expired"));

        index.read(PLENTY);

        assertEquals(Optional.of("cancelled"), index.outcome(1));
        assertEquals(Optional.of("expired"), index.outcome(2));
        assertEquals(Optional.of("failed"), index.outcome(3));
    }

    @Test void anAnswerThatIsStillBeingWrittenIsFoundOnceItIsWhole() throws IOException {
        var half = output(2).substring(0, 20);
        files("a\nb\n", output(1) + half, "");
        assertEquals(1, index.read(PLENTY));
        assertEquals(Optional.empty(), index.outcome(2));

        Files.writeString(folder.resolve("output"), output(2).substring(20) + "\0\0\0\n", StandardOpenOption.APPEND);

        assertEquals(1, index.read(PLENTY));
        assertEquals(Optional.of("completed"), index.outcome(2));
        assertEquals(2, index.requests());
    }

    @Test void aLargeFileIsReadAPieceAtATime() throws IOException {
        var numbers = IntStream.rangeClosed(1, 2_000);
        files("line\n".repeat(2_000), numbers.mapToObj(RowIndexTest::output).collect(Collectors.joining()), "");

        double first = index.read(0);
        int pieces = 1;
        for (double read = first; read < 1; pieces++) {
            double next = index.read(0);
            assertTrue(next > read, read + " and then " + next);
            read = next;
        }

        assertTrue(first > 0 && first < .5, first + "");
        assertTrue(pieces > 5, pieces + "");
        assertEquals(2_000, index.counts().get("completed"));
    }

    @Test void aFileThatIsNotKeptHasNoLines() throws IOException {
        Files.writeString(folder.resolve("output"), output(5));
        index = new RowIndex(null, folder.resolve("output"), folder.resolve("none"));

        assertEquals(1, index.read(PLENTY));

        assertEquals(1, index.requests());
        assertTrue(index.has(5));
        assertFalse(index.has(4) || index.has(6));
    }

    void files(String input, String output, String errors) throws IOException {
        index = new RowIndex(Files.writeString(folder.resolve("input"), input),
            Files.writeString(folder.resolve("output"), output), Files.writeString(folder.resolve("error"), errors));
    }

    static String output(int line) {
        return "{\"id\":\"batch_req_0a_" + line + "\",\"custom_id\":\"x\",\"error\":null,\"response\":"
            + "{\"status_code\":200,\"request_id\":\"\",\"body\":{}}}\n";
    }

    static String error(int line, String code) {
        return "{\"id\":\"batch_req_0a_" + line + "\",\"custom_id\":\"x\",\"response\":null,\"error\":{\"code\":\""
            + code + "\",\"message\":\"m\"}}\n";
    }
}
