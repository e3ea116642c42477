package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Excel.excel;
import static sheaf.Excel.toExcel;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;
import static sheaf.support.Xlsx.number;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import sheaf.Sheaf.Data;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Results;
import sheaf.server.BatchServer;
import sheaf.support.Xlsx;

/** Rows of Excel files, and answers as one. */
class ExcelTest {
    @AutoClose final BatchServer server = BatchServer.start();
    @TempDir Path dir;

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", dir.resolve("home").toString()); }

    @Test void theFirstRowNamesTheColumnsAndBlankRowsAreNone() {
        var file = films(Xlsx.row(2, "title", " year "), Xlsx.row(3, "Ran", number("1985", 0)), Xlsx.row(4),
            Xlsx.row(5, "", ""),
            Xlsx.row(6, "Ikiru"));

        assertEquals(List.of("{\"title\":\"Ran\",\"year\":1985}", "{\"title\":\"Ikiru\",\"year\":\"\"}"),
            lines(excel(file)));
        assertEquals("Data[films.xlsx: title, year]", excel(file).toString());
    }

    /** As the sheet shows it; a date is in ISO 8601. */
    @ParameterizedTest @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "General | 1.0 | 1", "General | 0.30000000000000004 | 0.3", "General | 1.0E-3 | 0.001",
        "General | 12345678901 | 12345678901", "General | 1234567890123456789 | 1234567890123456789",
        "0 | 9007199254740993 | 9007199254740993", "0.00 | 3.14159 | 3.14", "0.00 | 2 | 2", "#,##0 | 1234.5 | 1235",
        "#,##0.00 \"EUR\" | 1234.5 | 1234.5", "0% | 0.25 | \"25%\"", "0.0% | 0.2567 | \"25.7%\"",
        "10id | 0.5 | \"50.00%\"",
        "00000 | 1234 | \"01234\"", "14id | 45413 | \"2024-05-01\"", "dd.mm.yyyy | 45413 | \"2024-05-01\"",
        "22id | 45413.520833333336 | \"2024-05-01T12:30:00\"", "hh:mm | 0.5208333 | \"12:30:00\"",
        "[$-409]d-mmm-yy;@ | 45413 | \"2024-05-01\"", "yyyy | 45413 | \"2024-05-01\"",
        "[h]:mm | 1.1041666 | \"26:30:00\"",
        "\"day\" 0 | 5 | 5", "[Red]0.0 | 2.25 | 2.3", "d/m/yyyy | 59 | \"1900-02-28\"",
        "d/m/yyyy | 61 | \"1900-03-01\"",
        "yyyy-mm-dd | -1 | -1", "0.00E+00 | 12345 | 12345"})
    void aNumberIsWhatAPersonSees(String code, String stored, String shown) {
        var file = Xlsx.write(dir.resolve("films.xlsx"), List.of(code), Map.of("Films",
            Xlsx.row(1, "n") + Xlsx.row(2, number(stored, 1))));

        assertEquals("{\"n\":" + shown + "}", lines(excel(file)).get(0));
    }

    @Test void otherCellsAreWhatTheyShow() {
        var file = films(Xlsx.row(1, "zip", "ok", "sum", "word", "error", "text"),
            Xlsx.row(2, "01234", "<c t=\"b\"><v>1</v></c>",
            "<c><f>0.1+0.2</f><v>0.30000000000000004</v></c>", "<c t=\"str\"><f>A2</f><v>01234</v></c>",
            "<c t=\"e\"><f>1/0</f><v>#DIV/0!</v></c>", "one_x000D_\ntwo _x005F_x0041_"));

        assertEquals("{\"zip\":\"01234\",\"ok\":true,\"sum\":0.3,\"word\":\"01234\",\"error\":null,"
            + "\"text\":\"one\\r\\ntwo _x0041_\"}", lines(excel(file)).get(0));
    }

    @Test void aSheetIsChosenByItsName() {
        var sheets = new LinkedHashMap<String, String>();
        sheets.put("Films", Xlsx.row(1, "a") + Xlsx.row(2, "1"));
        sheets.put("Old films", Xlsx.row(1, "b") + Xlsx.row(2, "2"));
        var file = Xlsx.write(dir.resolve("films.xlsx"), List.of(), sheets);

        assertEquals(List.of("{\"a\":\"1\"}"), lines(excel(file)));
        assertEquals(List.of("{\"b\":\"2\"}"), lines(excel(file, "Old films")));
        assertRefused("excel: " + file + ": no sheet New; there are: Films, Old films", excel(file, "New"));
    }

    @Test void whatIsOddAboutTheNamesIsSaidByTheirCells() throws IOException {
        assertRefused("excel: " + dir.resolve("films.xlsx") + ": two columns are named title (A1, C1); rename one",
            excel(films(Xlsx.row(1, "title", "year", "title"))));
        assertRefused("excel: " + dir.resolve("films.xlsx") + ": B2 has a value, but B1 no name for its column; write "
            + "one there, or delete what stands above the names", excel(films(Xlsx.row(1, "title"),
                Xlsx.row(2, "Ran", "1985"))));
    }

    @Test void whatIsNoWorkbookIsToldByHowItBegins() throws IOException {
        var text = Files.writeString(dir.resolve("text.xlsx"), "title,year\n");
        var locked = Files.write(dir.resolve("locked.xlsx"), new byte[] {(byte) 0xD0, (byte) 0xCF, 0x11, (byte) 0xE0});
        var whole = Files.readAllBytes(films(Xlsx.row(1, "title"), Xlsx.row(2, "Ran")));
        var half = Files.write(dir.resolve("half.xlsx"), Arrays.copyOf(whole, whole.length / 2));

        assertRefused("excel: " + text + ": no Excel workbook (.xlsx); save it as one", excel(text));
        assertRefused("excel: " + locked + ": it has a password, or is a .xls; save it as .xlsx without a password",
            excel(locked));
        assertRefused("excel: " + half + ": the workbook is damaged, or has not come whole; get it anew, or have Excel "
            + "repair it", excel(half));
    }

    @Test void answersAreWrittenAndReadAgain() throws IOException {
        var results = results(row("text", "a", "n", 5, "day", "2024-05-01", "at", "2024-05-01T12:30:00", "zip", "01234",
            "id", 12345678901234567L, "yes", true, "none", null, "tags", List.of("x", 1)));
        toExcel(results, out());
        toExcel(results, out());

        assertEquals("{\"text\":\"a\",\"n\":5,\"day\":\"2024-05-01\",\"at\":\"2024-05-01T12:30:00\",\"zip\":\"01234\","
            + "\"id\":\"12345678901234567\",\"yes\":true,\"none\":\"\",\"tags\":\"[\\\"x\\\",1]\","
            + "\"result.customId\":\"request-1\",\"result.template\":\"prompt-1\",\"result.model\":\"m\","
            + "\"result.answeredBy\":\"m\",\"result.outcome\":\"succeeded\",\"result.text\":\"a\","
            + "\"result.error\":\"\"}", lines(excel(out())).get(0));
        Files.writeString(Path.of(out()), "edited");
        assertEquals("toExcel: " + out() + " was changed since it was written; move it or give another name",
            assertThrows(IllegalStateException.class, () -> toExcel(results, out())).getMessage());
    }

    /** A sheet of numbers is one to calculate with, and a formula in a text is a text. */
    @Test void aTextIsATextAndANumberANumber() throws IOException {
        toExcel(results(row("text", "=1+1", "n", 1.5)), out(), "text", "n");

        var sheet = Xlsx.part(Path.of(out()), "xl/worksheets/sheet1.xml");
        assertTrue(sheet.contains("<v>1.5</v>") && !sheet.contains("<f>"), sheet);
        assertEquals(List.of("{\"text\":\"=1+1\",\"n\":1.5}"), lines(excel(out())));
    }

    @Test void whatXmlCannotSayIsNotLost() {
        var texts = List.of("bell \u0007, \u0001", "half \ud83d of one", "whole \ud83d\ude00", "\r\n\ttab  two spaces ",
            "_x0041_", "<&>\"'", " leading", "\uffff");
        toExcel(results(texts.stream().map(text -> row("text", text)).toList()), out(), "text");

        assertEquals(texts, excel(out()).open().map(row -> row.get("text")).toList());
    }

    @Test void aTextThatIsTooLongGoesOnInASheet() {
        var text = "0123456789".repeat(7_000);
        server.reply(asked -> text);
        toExcel(results(row("text", "a")), out(), "result.text");

        var start = (String) excel(out()).open().findFirst().orElseThrow().get("result.text");
        var rest = new ArrayList<>(excel(out(), "continued").open().toList());
        var mark = "\u2026 (goes on in the sheet \"continued\", row 2)";
        assertTrue(start.length() <= 32_767 && start.endsWith(mark), start);
        assertEquals(text, start.replace(mark, "") + rest.get(0).get("text") + rest.get(1).get("text"));
        assertEquals("result.text in row 2", rest.get(0).get("cell"));
    }

    private Path films(String... rows) {
        return Xlsx.write(dir.resolve("films.xlsx"), List.of(), Map.of("Films", String.join("", rows)));
    }

    @SafeVarargs private Results results(Map<String, Object>... rows) { return results(List.of(rows)); }

    private Results results(List<Map<String, Object>> rows) {
        return batch().provider(Provider.of(server.baseUrl())).model("m").quiet().prompts("{{text}}", rows(rows))
            .submit().results();
    }

    private String out() { return dir.resolve("out.xlsx").toString(); }

    private static Map<String, Object> row(Object... pairs) {
        var row = new LinkedHashMap<String, Object>();
        for (int i = 0; i < pairs.length; i += 2) row.put((String) pairs[i], pairs[i + 1]);
        return row;
    }

    private void assertRefused(String sentence, Data data) {
        assertEquals(sentence, assertThrows(IllegalArgumentException.class, () -> lines(data)).getMessage());
    }

    private static List<String> lines(Data data) {
        try (var rows = data.open()) {
            return rows.map(Json::text).toList();
        }
    }
}
