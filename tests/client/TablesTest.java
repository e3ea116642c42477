package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class TablesTest {
    private static final int CELL_LINES = 15;
    private static final String ID = "batch_69270f6e0bd48190a8d7d2b9f0a1c2e3";

    @AfterEach void forgetTheWidth() { System.clearProperty("COLUMNS"); }

    @Test void whatFitsStandsSideBySide() {
        assertEquals("""
            id                                      status       created
            --------------------------------------  -----------  ----------------
            batch_69270f6e0bd48190a8d7d2b9f0a1c2e3  in_progress  2026-11-26 21:41
            """, listed(69));
    }

    @Test void whatDoesNotFitStandsBelowAndIsWhole() {
        assertEquals("""
            id                                      status
              created
            ---------------------------------------------------
            batch_69270f6e0bd48190a8d7d2b9f0a1c2e3  in_progress
              2026-11-26 21:41
            """, listed(68));
        assertEquals("""
            id
              status       created
            --------------------------------------
            batch_69270f6e0bd48190a8d7d2b9f0a1c2e3
              in_progress  2026-11-26 21:41
            """, listed(40));
    }

    @Test void anIdThatIsWiderThanTheTerminalStandsAloneOnItsLine() {
        assertEquals("""
            id
              status
              created
            --------------------
            batch_69270f6e0bd48190a8d7d2b9f0a1c2e3
              in_progress
              2026-11-26 21:41
            """, listed(20));
    }

    @Test void textsGiveWayToAnIdUntilTheyWouldBeTooNarrow() {
        assertEquals("""
            id                                      question        answer
            --------------------------------------  --------------  --------------
            batch_69270f6e0bd48190a8d7d2b9f0a1c2e3  Who wrote down  Nobody knows;
                                                    the theorem?    old it is
            """, texts(70));
        assertEquals("""
            id
              question                  answer
            ---------------------------------------------------
            batch_69270f6e0bd48190a8d7d2b9f0a1c2e3
              Who wrote down the        Nobody knows; old it is
              theorem?
            """, texts(51));
    }

    @Test void aListIsALineForEachRowOfTheColumnsThatHaveRoomAndNamesAllOthers() {
        assertEquals("""
            id                                      status       requests  created
            --------------------------------------  -----------  --------  ----------------
            batch_69270f6e0bd48190a8d7d2b9f0a1c2e3  in_progress  40/200    2026-11-26 21:41
            not shown in 80 columns: name, kept""", list("80"));
        assertEquals("""
            id                                      status       requests  kept
            --------------------------------------  -----------  --------  ----
            batch_69270f6e0bd48190a8d7d2b9f0a1c2e3  in_progress  40/200    here
            not shown in 70 columns: created, name""", list("70"));
        assertEquals("""
            id
            --------------------------------------
            batch_69270f6e0bd48190a8d7d2b9f0a1c2e3
            not shown in 40 columns: status, requests, created, name, kept""", list("40"));
    }

    @Test void aListIsWholeInAWideTerminalAndWhereThereIsNone() {
        var whole = """
            id                                      status       requests  created           name               kept
            --------------------------------------  -----------  --------  ----------------  -----------------  ----
            batch_69270f6e0bd48190a8d7d2b9f0a1c2e3  in_progress  40/200    2026-11-26 21:41  sentiment-reviews  here""";

        assertEquals(whole, list("104"));
        assertEquals(whole, list(""));
    }

    private static String list(String width) {
        System.setProperty("COLUMNS", width);
        return new Findings.Listing<>(List.of(List.of(ID, "in_progress", "40/200", "2026-11-26 21:41",
            "sentiment-reviews", "here")), Report.LISTED, row -> row).toString();
    }

    private static String texts(int width) {
        System.setProperty("COLUMNS", "" + width);
        return Tables.draw(List.of(new Tables.Column("id", true), new Tables.Column("question", false),
            new Tables.Column("answer", false)),
            List.of(List.of(ID, "Who wrote down the theorem?", "Nobody knows; old it is")), List.of(), 6);
    }

    private static String listed(int width) {
        System.setProperty("COLUMNS", "" + width);
        return Tables.draw(List.of("id", "status", "created"), List.of(List.of(ID, "in_progress", "2026-11-26 21:41")));
    }

    @ParameterizedTest @ValueSource(ints = {12, 13, 17, 20, 31, 40})
    void aWordIsBrokenOnlyIfItIsLongerThanALine(int width) {
        var text = "a Pythagorean theorem, of a triangle with 1,000,000 sides or unproportionally many";

        var lines = wrapped(width, text);

        assertTrue(lines.stream().allMatch(line -> line.length() <= width), lines.toString());
        var words = lines.stream().flatMap(line -> Stream.of(line.split(" "))).toList();
        assertEquals(width < 16 ? 13 : 12, words.size(), lines.toString());
    }

    @Test void wideCharactersAreBrokenBesideEachAndNoCharacterIsBroken() {
        var flags = "\ud83c\udde9\ud83c\uddea".repeat(8);

        assertEquals(List.of("AI \u65e5\u672c\u8a9e\u65e5", "\u672c\u8a9e\u65e5\u672c\u8a9e"),
            wrapped(12, "AI " + "\u65e5\u672c\u8a9e".repeat(3)));
        assertEquals(List.of(flags.substring(0, 24), flags.substring(0, 8)), wrapped(12, flags));
        assertEquals(List.of("e\u0301".repeat(12), "e\u0301"), wrapped(12, "e\u0301".repeat(13)));
    }

    @Test void aNameThatIsTooLongIsBrokenBehindItsDotAndANumberAnywhere() {
        assertEquals(List.of("result.value.", "mood"), wrapped(16, "result.value.mood"));
        assertEquals(List.of("10.2856103494", "4"), wrapped(13, "10.28561034944"));
    }

    @Test void whatIsIndentedStaysSo() {
        assertEquals(List.of("x", "        unpro", "portionally", "  many"),
            wrapped(13, "x\n        unproportionally\n  many"));
    }

    @Test void aCellThatGoesOnSaysSo() {
        var lines = wrapped(12, "a b c d e f ".repeat(20));

        assertEquals(CELL_LINES, lines.size());
        assertEquals("a b c d e f", lines.get(0));
        assertEquals("a b c d e f\u2026", lines.get(CELL_LINES - 1));
    }

    private static List<String> wrapped(int width, String text) {
        System.setProperty("COLUMNS", "" + width);
        var table = Tables.draw(List.of(new Tables.Column("t", false)), List.of(List.of(text)), List.of(), CELL_LINES);
        return Arrays.stream(table.split("\n")).skip(2).toList();
    }
}
