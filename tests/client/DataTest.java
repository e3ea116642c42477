package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static sheaf.Sheaf.csv;
import static sheaf.Sheaf.json;
import static sheaf.Sheaf.jsonl;
import static sheaf.Sheaf.rows;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class DataTest {
    enum Kind { BUG }

    record Ticket(int id, Kind kind, Optional<String> note, List<Place> places) {}

    record Place(String city) {}

    @TempDir Path dir;

    @Test void csvKeepsQuotedCommasNewlinesAndEmptyCells() {
        var data = csv(file("a.csv", "id,text,note\n1,\"a, \"\"b\"\"\nc\",\n"));

        assertEquals(List.of(Map.of("id", "1", "text", "a, \"b\"\nc", "note", "")), read(data));
    }

    @Test void csvPassesOverAByteOrderMark() {
        assertEquals(List.of(Map.of("id", "1")), read(csv(file("a.csv", "\uFEFFid\n1\n"))));
    }

    @Test void csvIsReadAnewEachTime() {
        var data = csv(file("a.csv", "id\n1\n2\n"));

        assertEquals(read(data), read(data));
    }

    @Test void aColumnMayHaveNoName() {
        assertEquals(List.of(Map.of("", "0", "text", "a")), read(csv(file("a.csv", ",text\n0,a\n"))));
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "a field too many  | a,b~1,2~1,2,3~  | csv: FILE line 3: 3 fields where the header has 2 (a, b); quote a "
            + "field that holds a comma",
        "a field too few   | a,b~1~          | csv: FILE line 2: 1 field where the header has 2 (a, b); a comma is "
            + "missing",
        "semicolons        | a;b~1;2~        | csv: FILE line 1: one column, \"a;b\"; if semicolons separate the "
            + "columns, give separator(';')",
        "a column twice    | a,b,a~1,2,3~    | csv: FILE line 1: two columns are named \"a\"; rename one, or if the "
            + "line is a row, give header(...)",
        "an unclosed quote | a,b~1,2~3,\"4~  | csv: FILE: Unclosed quoted field at end of input (record starting at "
            + "line 3)",
        "nothing at all    | ``              | csv: FILE line 1: no header; the first line names the columns"})
    void malformedCsvIsRefusedWithItsLine(String what, String content, String message) {
        var file = file("a.csv", content.replace('~', '\n'));

        assertFault(message, () -> read(csv(file)), file);
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "no object in a line | jsonl | {\"a\":1}~[1]~       | jsonl: FILE line 2: not a JSON object",
        "a torn line         | jsonl | {\"a\":1}~~{\"a\":~   | jsonl: FILE line 3: not a JSON object",
        "null in a line      | jsonl | {\"a\":1}~null~      | jsonl: FILE line 2: null is not a JSON object; each "
            + "line is a row",
        "two arrays          | json  | [{\"a\":1}]~[]      | json: FILE line 2: more after the array; a file holds one",
        "no array            | json  | {\"a\":1}            | json: FILE line 1: not an array of objects; for one "
            + "object a line use jsonl(...)",
        "no object inside    | json  | [{\"a\":1},~2]       | json: FILE line 2: not an object; each element is a row",
        "a torn array        | json  | [{\"a\":1},~{\"a\":  | json: FILE line 2: Unexpected end-of-input"})
    void malformedJsonIsRefusedWithItsLine(String what, String kind, String content, String message) {
        var file = file("a." + kind, content.replace('~', '\n'));

        var fault = assertThrows(IllegalArgumentException.class,
            () -> read(kind.equals("json") ? json(file) : jsonl(file)));

        assertEquals(message.replace("FILE", file), fault.getMessage()
            .substring(0, message.length() - 4 + file.length()));
    }

    @Test void bytesThatAreNotUtf8AreRefusedWithTheirLine() {
        var latin1 = "text\nplain\ncaf\u00e9\n".getBytes(StandardCharsets.ISO_8859_1);

        assertFault("csv: FILE line 3: not UTF-8; save the file as UTF-8, or give its charset, such as "
            + "charset(\"windows-1252\")", () -> read(csv(file("a.csv", latin1))),
            file("a.csv", latin1));
        assertFault("jsonl: FILE line 2: not UTF-8; save the file as UTF-8",
            () -> read(jsonl(file("a.jsonl", "{\"a\":1}\n{\"a\":\"\u00e9\"}".getBytes(StandardCharsets.ISO_8859_1)))),
                dir + "/a.jsonl");
    }

    @Test void aFileThatIsNotThereIsNamedWithItsWholePath() {
        var fault = assertThrows(IllegalArgumentException.class, () -> csv("nowhere/tickets.csv"));

        assertEquals("csv: no file nowhere/tickets.csv (looked at " + Path.of("nowhere/tickets.csv").toAbsolutePath()
            + ")", fault.getMessage());
    }

    @Test void jsonLinesSplitOnNewlinesAlone() {
        var data = jsonl(file("a.jsonl", "\uFEFF{\"a\":\"x\u2028y\u0085z\"}\r\n\n{\"a\":2}"));

        assertEquals(List.of(Map.of("a", "x\u2028y\u0085z"), Map.of("a", 2)), read(data));
    }

    @Test void jsonReadsAnArrayOneObjectAtATime() {
        assertEquals(List.of(Map.of("a", 1), Map.of("a", List.of(2, 3))),
            read(json(file("a.json", "[{\"a\":1},{\"a\":[2,3]}]"))));
    }

    @Test void recordsMapsAndPlainValuesAreRows() {
        var ticket = new Ticket(7, Kind.BUG, Optional.of("late"), List.of(new Place("Bonn")));

        assertEquals(List.of(Map.of("id", 7, "kind", "BUG", "note", "late", "places",
            List.of(Map.of("city", "Bonn")))), read(rows(ticket)));
        assertEquals(List.of(Map.of("value", "a"), Map.of("value", "b")), read(rows("a", "b")));
        assertEquals(List.of(Map.of("value", 1), Map.of("value", 2)), read(rows(() -> Stream.of(1, 2))));
        assertEquals(List.of(Map.of("x", 1)), read(rows(List.of(Map.of("x", 1)))));
    }

    @Test void aStreamOrAPathIsNotTakenForOneRow() {
        var fault = assertThrows(IllegalArgumentException.class, () -> read(rows((Object) Stream.of(1))));

        assertEquals("rows: a Stream is not a row; give rows(List.of(...)), or rows(() -> stream)", fault.getMessage());
        assertThrows(IllegalArgumentException.class, () -> read(rows(Path.of("a.csv"))));
    }

    @Test void anObjectWithoutATextOfItsOwnIsRefused() {
        var fault = assertThrows(IllegalArgumentException.class, () -> read(rows(List.of(new Object()))));

        assertEquals("rows: a Object is neither a map, a record nor a plain value; make it a record",
            fault.getMessage());
    }

    @Test void limitKeepsTheFirstRowsAndTheName() {
        var data = csv(file("a.csv", "id\n1\n2\n3\n")).limit(2);

        assertEquals(List.of(Map.of("id", "1"), Map.of("id", "2")), read(data));
        assertEquals("Data[a.csv]", data.toString());
    }

    private void assertFault(String message, org.junit.jupiter.api.function.Executable reading, String file) {
        assertEquals(message.replace("FILE", file), assertThrows(IllegalArgumentException.class, reading).getMessage());
    }

    private static List<Map<String, Object>> read(Sheaf.Data data) {
        try (var rows = data.open()) {
            return rows.toList();
        }
    }

    private String file(String name, String content) { return file(name, content.getBytes(StandardCharsets.UTF_8)); }

    private String file(String name, byte[] content) {
        try {
            return Files.write(dir.resolve(name), content).toString();
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }
}
