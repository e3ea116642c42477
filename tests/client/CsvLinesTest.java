package sheaf;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import de.siegmar.fastcsv.writer.CsvWriter;
import java.io.IOException;
import java.io.StringWriter;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** Lines of CSV, as another writer has them. */
class CsvLinesTest {
    private static final List<String> PIECES = List.of("", "a", "b c", ",", "\"", "\n", "\r", "#", "'", " ", "\u00e9",
        "\ud83d\ude00", "\u8336", "\t");

    @Test void cellsStandInQuotesWhereAnotherWriterPutsThemThere() {
        var random = new Random(7);
        for (int i = 0; i < 2_000; i++) {
            var cells = IntStream.range(0, 2 + random.nextInt(3)).mapToObj(cell -> text(random)).toList();

            assertEquals(written(cells), lines(false, cells), cells.toString());
        }
    }

    @Test void aCellAloneInItsLineIsNoLineOfNothing() {
        assertEquals("\"\"\r\n", lines(true, List.of("")));
        assertEquals("\" \"\r\n", lines(true, List.of(" ")));
        assertEquals("a\r\n", lines(true, List.of("a")));
    }

    @Test void aCellIsAsLongAsItIs() {
        var text = "\"\u00e9".repeat(100_000);

        assertTrue(written(List.of(text, text)).equals(lines(false, List.of(text, text))));
    }

    private static String text(Random random) {
        var text = new StringBuilder();
        for (int i = random.nextInt(4); i > 0; i--) text.append(PIECES.get(random.nextInt(PIECES.size())));
        return text.toString();
    }

    private static String lines(boolean isAlone, List<String> cells) {
        var lines = new CsvLines(isAlone);
        cells.forEach(lines::add);
        lines.end();
        return new String(lines.bytes(), UTF_8);
    }

    private static String written(List<String> cells) {
        var text = new StringWriter();
        try (var csv = CsvWriter.builder().build(text)) {
            csv.writeRecord(cells);
        } catch (IOException e) {
            throw new AssertionError(e);
        }
        return text.toString();
    }
}
