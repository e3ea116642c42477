package sheaf;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.csv;
import static sheaf.Sheaf.json;
import static sheaf.Sheaf.jsonl;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.Charset;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import sheaf.Sheaf.Csv;
import sheaf.Sheaf.Data;
import sheaf.support.Printed;
import sheaf.support.Project;

/** CSV from spreadsheets and from the wild; the files stand in the folder csv beside this one. */
class CsvFileTest {
    @TempDir Path dir;

    @Test void excelWritesSemicolonsAndAByteOrderMark() {
        assertEquals(List.of(Map.of("id", "1", "text", "gr\u00fc\u00df dich"),
            Map.of("id", "2", "text", "s\u00ed, se\u00f1or")), read(given("semi_bom.csv").separator(';')));
        assertSays("csv: FILE line 1: one column, \"id;text\"; if semicolons separate the columns, give separator(';')",
            given("semi_bom.csv"));
    }

    @Test void aFileIsInTheCharsetThatIsSaid() {
        assertEquals(List.of(Map.of("id", "1", "text", "gr\u00fc\u00df dich"),
            Map.of("id", "2", "text", "s\u00ed se\u00f1or")), read(given("cp1252.csv").charset("windows-1252")));
        assertSays("csv: FILE line 2: not UTF-8; save the file as UTF-8, or give its charset, such as "
            + "charset(\"windows-1252\")", given("cp1252.csv"));
        assertEquals(List.of(Map.of("stadt", "K\u00f6ln", "text", "gr\u00fc\u00df dich \ud83d\udc4d")),
            read(given("koeln.csv")));
    }

    @Test void whatSeemsToBeUtf8IsReadAsItIsSaidAndNoted() {
        var file = given("koeln.csv").charset("ISO-8859-1");

        assertSays("csv: FILE line 2: UTF-8, not windows-1252; leave out charset(...)",
            given("koeln.csv").charset("windows-1252"));
        assertEquals("K\u00c3\u00b6ln", read(file).get(0).get("stadt"));
        assertEquals("csv: FILE: seems to be UTF-8, and is read as ISO-8859-1; if letters look wrong, leave out "
            + "charset(...)\n", Printed.stderr(() -> batch().model("m").prompts("{{text}}", file).preview(1))
            .replaceFirst("csv: \\S+", "csv: FILE:"));
        for (var name : List.of("cp1252.csv", "oldmac.csv", "acc.csv"))
            assertEquals("", Printed.stderr(() -> batch().model("m").prompts("{{a}}", given(name).charset("latin1")
                .header("a", "b")).preview(1)), name);
    }

    @Test void theOldMacEndsALineInAReturn() {
        var file = given("oldmac.csv");

        assertSays("csv: FILE line 2: not UTF-8; save the file as UTF-8, or give its charset, such as "
            + "charset(\"windows-1252\")", file);
        assertEquals(List.of("neutral|Sales stayed as they were .",
            "positive|Profit rose , said J\u00e4rvi of the company .", "negative|The order was lost ."),
            read(file.charset("ISO-8859-1").header("label", "text")).stream()
                .map(row -> row.get("label") + "|" + row.get("text")).toList());
        assertSays("prompts: row 1 has no value for {{text}} (template line 1); it has: neutral, Sales stayed as they "
            + "were .; if line 1 of oldmac.csv is a row, give header(...)", () -> batch().model("m")
            .prompts("{{text}}", file.charset("ISO-8859-1")).preview(1));
    }

    @Test void rowsOfNothingAreNoneAndAreCounted() {
        assertEquals(List.of(Map.of("id", "1", "text", "a")), read(given("commarows.csv")));
        assertEquals(List.of("csv: FILE: passed over 2 empty rows (the first in line 3)"), notes("commarows.csv"));
        assertEquals(List.of(Map.of("id", "1", "text", "a"), Map.of("id", "2", "text", "b")),
            read(given("blank_before.csv")));
        assertEquals(List.of("csv: FILE: passed over 4 empty rows (the first in line 1)"), notes("blank_before.csv"));
    }

    @Test void columnsOfNothingAreNoneAndAreCounted() {
        assertEquals(List.of(Map.of("id", "1", "text", "a"), Map.of("id", "2", "text", "b")),
            read(given("emptyheads.csv")));
        assertEquals(List.of("csv: FILE: passed over 2 columns without name and values"), notes("emptyheads.csv"));
        assertEquals(List.of(Map.of("", "0", "text", "a"), Map.of("", "1", "text", "b")), read(given("index.csv")));
        assertEquals(List.of("csv: FILE: passed over 1 column without name and values"), notes("index.csv"));
        assertEquals(List.of(), notes("acc.csv"));
    }

    /** A note is one for each submit or preview, however often the file is read for it. */
    @Test void whatIsPassedOverIsSaidOnceWhenItIsSent() {
        var file = write("a.csv", "id,text,\n1,a,\n,,\n2,b,\n");
        var draft = batch().model("m").prompts("{{text}}", csv(file));
        var note = "csv: " + file + ": passed over 1 empty row (line 3) and 1 column without name and values\n";

        assertEquals(note, Printed.stderr(() -> draft.preview(9)));
        assertEquals(note, Printed.stderr(() -> draft.toJsonl(dir.resolve("out.jsonl"))));
        assertEquals("", Printed.stderr(() -> draft.quiet().preview(9)));
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "a blank line of one column   | a~x~~y~       | x y",
        "a quoted empty cell alone    | a~x~\"\"~y~   | x  y",
        "white space                  | a,b~x,1~ , ~y,2~\t,\u3000~ | x y",
        "quoted empty cells           | a,b~x,1~\"\",\"\"~y,2~ | x y",
        "too many or too few of them  | a,b~x,1~,,,~~y,2~,~ | x y",
        "separators of another kind   | a,b~x,1~;;,~y,2~ | x ;; y"})
    void aRowOfNothingIsNone(String what, String content, String values) {
        var rows = read(csv(write("a.csv", content.replace('~', '\n'))));

        assertEquals(values, String.join(" ", rows.stream().map(row -> (String) row.get("a")).toList()));
    }

    @Test void aFirstLineMayNameTheSeparator() {
        assertEquals(List.of(Map.of("id", "1", "text", "a, b")), read(given("sep_line.csv")));
        assertEquals(List.of(), notes("sep_line.csv"));
        for (var line : List.of("SEP=\t", "\"sep=\t\"", "\uFEFFsep=\t"))
            assertEquals(List.of(Map.of("a", "1", "b", "2")), read(csv(write("a.csv", line + "\ra\tb\r1\t2\r"))));
        assertEquals(List.of(Map.of("a", "1", "b", ";")),
            read(csv(write("a.csv", "sep=;\na|b\n1|;\n")).separator('|')));
        assertEquals(List.of(Map.of("sep=", "1")), read(csv(write("a.csv", "sep=\n1\n"))));
        assertSays("csv: FILE line 3: 3 fields where the header has 2 (a, b); quote a field that holds a semicolon",
            csv(write("a.csv", "sep=;\na;b\n1;2;3\n")));
    }

    @Test void utf16IsReadWithAndWithoutAMark() {
        assertEquals(List.of(Map.of("id", "1", "text", "gr\u00fc\u00df, dich"), Map.of("id", "2", "text", "\u732b")),
            read(given("unicode_text.txt").charset("UTF-16").separator("tab")));
        assertEquals(List.of(Map.of("id", "1", "text", "gr\u00fc\u00df")),
            read(given("utf16_bare.csv").charset("utf-16")));
        for (var name : List.of("unicode_text.txt", "utf16_bare.csv"))
            assertSays("csv: FILE line 1: UTF-16, not UTF-8; give charset(\"UTF-16\")", given(name));
        assertSays("csv: FILE line 1: UTF-8, not windows-1252; leave out charset(...)",
            given("semi_bom.csv").charset("cp1252"));
    }

    @Test void aFileMayHaveNoHeader() {
        assertEquals(List.of(Map.of("id", "1", "text", "a"), Map.of("id", "2", "text", "b")),
            read(given("no_header.csv").header("id", "text")));
        assertSays("csv: FILE line 1: 2 fields where header(...) has 1 (id); quote a field that holds a comma",
            given("no_header.csv").header("id"));
        assertSays("csv: FILE line 1: 1 field where header(...) has 2 (id, text); give separator(';')",
            csv(write("a.csv", "1;a\n")).header("id", "text"));
        assertSays("csv: FILE line 1: the header that header(...) gives once more; leave it out",
            csv(write("a.csv", "id,text\n1,a\n")).header("id", "text"));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "Text Column,Gr\u00f6\u00dfe (cm),Nr. | false", "input_column,Q3 2024,2nd | false", "id,Is it good? | false",
        "17,abc | true", "abc,2024-05-01 | true", "abc,-3.5 | true", "abc,2024-05-01T10:00:00Z | true",
        "good,We were glad to come. | true",
        "good,a text without any mark that is longer than most names | true"})
    void aHeaderIsMissedOnlyWhereTheFirstLineLooksLikeARow(String line, boolean isRow) {
        var file = write("a.csv", line + "\n" + line.replaceAll("[^,]+", "x") + "\n");

        assertSays("prompts: row 1 has no value for {{absentname}} (template line 1); it has: "
            + line.replace(",", ", ") + (isRow ? "; if line 1 of a.csv is a row, give header(...)"
                : "; name one of these, or rename a column"),
            () -> batch().model("m").prompts("{{absentname}}", csv(file)).preview(1));
    }

    @Test void aNameShowsWhatNobodySees() {
        assertSays("prompts: row 1 has no value for {{text}} (template line 1); it has: id, text<U+00A0>; name one "
            + "of these, or rename a column",
            () -> batch().model("m").prompts("{{text}}", given("nbsphead.csv")).preview(1));
        assertSays("prompts: \"explain\" names no column of nbsphead.csv (id, text<U+00A0>); name a "
            + "column like {{id}}", () -> batch().model("m").prompts("explain", given("nbsphead.csv")).preview(1));
        assertEquals("Data[nbsphead.csv: id, text<U+00A0>]", given("nbsphead.csv").toString());
        assertSays("csv: FILE line 2: 1 field where the header has 2 (id, text<U+00A0>); a comma is missing",
            csv(write("a.csv", "id,text\u00a0\n1\n")));
    }

    @ParameterizedTest(name = "{1}")
    @CsvSource(quoteCharacter = '`', value = {"text, text", "k\u00f6ln \ud83d\udc4d, k\u00f6ln \ud83d\udc4d",
        "a\u200bb, a<U+200B>b", "\ufefftext, <U+FEFF>text", "` text`, `\" text\"`", "``, `\"\"`",
        "`a\nb\tc`, a<U+000A>b<U+0009>c", "a\u3164, a<U+3164>", "\u202ea, <U+202E>a"})
    void whatIsInvisibleIsShown(String name, String shown) { assertEquals(shown, Messages.visible(name)); }

    /** The file is read in blocks, and a line may end between two of them. */
    @ParameterizedTest
    @ValueSource(strings = {"\r", "\n", "\r\n"})
    void everyKindOfLineEndCounts(String end) {
        var rows = "1,\"a" + end + "b\"" + end;
        var content = "id,text" + end + rows.repeat(4000);
        var latin = (content + "9,caf\u00e9" + end).getBytes(Charset.forName("ISO-8859-1"));

        assertSays("csv: FILE line 8002: 1 field where the header has 2 (id, text); a comma is missing",
            csv(write("a.csv", content + "9")));
        assertSays("csv: FILE line 8002: not UTF-8; save the file as UTF-8, or give its charset, such as "
            + "charset(\"windows-1252\")", csv(write("a.csv", latin)));
        assertEquals(4001, read(csv(write("a.csv", latin)).charset("latin1")).size());
    }

    @ParameterizedTest(name = "{1}")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "a,,,b~1,2,3,4~ | csv: FILE line 1: columns 2, 3 hold values and have no name; name them",
        "a\tb~1\t2~     | csv: FILE line 1: one column, \"a b\"; if tabs separate the columns, give separator('\\t')",
        "a,b~1,2~3~     | csv: FILE line 3: 1 field where the header has 2 (a, b); a comma is missing",
        "a,b~1,2~3;4~   | csv: FILE line 3: 1 field where the header has 2 (a, b); a comma is missing",
        "a,b,~1,2,~3,4~ | csv: FILE line 3: 2 fields where the header has 3 (a, b, \"\"); a comma is missing",
        "~~a,b~1,2,3~   | csv: FILE line 4: 3 fields where the header has 2 (a, b); quote a field that holds a comma",
        "~,,~           | csv: FILE line 1: no header; the first line names the columns"})
    void whatIsStillRefused(String content, String sentence) {
        assertSays(sentence, csv(write("a.csv", content.replace('~', '\n'))));
    }

    @Test void aWrongWordIsASentence() {
        var file = given("acc.csv");

        assertSays("separator: \";;\" is not one character, nor tab", () -> file.separator(";;"));
        assertSays("separator: a quote or the end of a line cannot separate columns", () -> file.separator('"'));
        assertSays("charset: \"ansi\" is no charset that is known here; such as windows-1252, ISO-8859-1 or UTF-16",
            () -> file.charset("ansi"));
        assertSays("charset: the argument is null", () -> file.charset(null));
        assertSays("header: two columns are named \"a\"", () -> file.header("a", "b", "a"));
        assertSays("header: a name is empty", () -> file.header("a", ""));
        assertSays("csv: FILE line 1: not windows-1252; give another charset(...)",
            csv(write("a.csv", new byte[] {(byte) 0x81})).charset("windows-1252"));
    }

    @ParameterizedTest(name = "{0}")
    @ValueSource(strings = {"NaN", "Infinity", "-Infinity"})
    void whatIsNoNumberInJsonIsNamedWithItsLine(String value) {
        var line = "{\"text\":\"a\",\"scores\":[1," + value + "]}";

        assertSays("jsonl: FILE line 2: not a JSON object (" + value + " is no JSON; write null)",
            jsonl(write("a.jsonl", "{}\n" + line + "\n")));
        assertSays("json: FILE line 2: " + value + " is no JSON; write null",
            json(write("a.json", "[{},\n" + line + "]")));
    }

    @Test void pythonWritesNaN() {
        assertSays("jsonl: FILE line 1: not a JSON object (NaN is no JSON; write null)",
            jsonl(Project.root().resolve("tests/client/csv/nan.jsonl")));
    }

    @Test void aCsvIsTheSameDataOnlyIfItIsReadTheSameWay() {
        var file = given("no_header.csv");
        var draft = batch().model("m").prompts("a {{id}}", file.header("id", "text"));

        assertEquals(4, draft.prompts("b {{id}}", file.header("id", "text")).preview(9).lines().size());
        assertSays("prompts: the draft already has prompts over no_header.csv; all prompts of a batch share one "
            + "dataset", () -> draft.prompts("b {{id}}", file.header("id", "q")));
    }

    private static Csv given(String name) { return csv(Project.root().resolve("tests/client/csv").resolve(name)); }

    private static List<Map<String, Object>> read(Data data) {
        try (var rows = data.open()) {
            return rows.toList();
        }
    }

    /** Returns what is noted of the file when all of it has been read. */
    private static List<String> notes(String name) {
        var file = Project.root().resolve("tests/client/csv").resolve(name).toString();
        var notes = new ArrayList<String>();
        try (var rows = Rows.csv(CsvFile.of(InputFile.find("csv", file))).open(notes::add)) {
            rows.forEach(row -> {});
        }
        return notes.stream().map(note -> note.replace(file, "FILE")).toList();
    }

    private static void assertSays(String sentence, Data data) { assertSays(sentence, () -> read(data)); }

    private static void assertSays(String sentence, Executable work) {
        var message = assertThrows(IllegalArgumentException.class, work).getMessage();

        assertEquals(sentence, message.replaceFirst("^(\\w+: )\\S*[/\\\\]\\S*", "$1FILE"));
    }

    private Path write(String name, String content) { return write(name, content.getBytes(UTF_8)); }

    private Path write(String name, byte[] content) {
        try {
            return Files.write(dir.resolve(name), content);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
