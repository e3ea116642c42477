package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.server.Json.Lines;

/** The lines of a file, however it ends and however long they are. */
class JsonLinesTest {
    @TempDir Path dir;

    @Test void onlyALineFeedEndsALine() throws IOException {
        assertEquals(List.of("one", "t\rw\u2028o", "", "four"), read("one\r\nt\rw\u2028o\n\nfour", 100));
    }

    @Test void anEmptyFileHasNoLine() throws IOException { assertEquals(List.of(), read("", 100)); }

    @Test void ofALineThatIsTooLongOneByteMoreIsKept() throws IOException {
        assertEquals(List.of("1234", "12", "1234"), read("123456789\n12\n1234\n", 3));
    }

    @Test void aLineMayBeLongerThanTheBuffer() throws IOException {
        var line = "x".repeat(200_000);

        assertEquals(List.of(line, "y"), read(line + "\ny", 1_000_000));
    }

    @Test void aLineKnowsItsNumberWhereItEndsAndWhetherItIsWhole() throws IOException {
        try (var lines = new Lines(file("one\ntw"), 100)) {
            lines.next();
            assertTrue(lines.terminated && lines.number == 1 && lines.offset == 4);

            lines.next();
            assertFalse(lines.terminated);
            assertEquals(2, lines.number);
            assertEquals(6, lines.offset);
        }
    }

    private List<String> read(String content, int maxBytes) throws IOException {
        var all = new ArrayList<String>();
        try (var lines = new Lines(file(content), maxBytes)) {
            for (byte[] line; (line = lines.next()) != null; )
                all.add(new String(line, UTF_8));
        }
        return all;
    }

    private Path file(String content) throws IOException { return Files.writeString(dir.resolve("lines"), content); }
}
