package sheaf;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.rows;

import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;

/** Arguments that lost letters on their way into Java are not sent, and what stands in data is data. */
class ArgumentsTest {
    static final String ASCII = "ANSI_X3.4-1968";

    @Test void aLetterThatTheCharsetLacksIsRefusedWithTheRemedy() {
        assertSays("arguments: \"\ufffd\ufffdber {{text}}\" has lost letters, for the charset here is "
            + "ANSI_X3.4-1968; set LC_ALL=C.UTF-8, or put the text into a file and give --template", ASCII, "-p",
            "\ufffd\ufffdber {{text}}");
    }

    /** JBang reads them first, and passes a letter that it could not read on as a question mark for each byte. */
    @Test void soIsOneThatJBangHasSpoiledBefore() {
        assertSays("arguments: \"--system=??ber\" has lost letters, for the charset here is ANSI_X3.4-1968; set "
            + "LC_ALL=C.UTF-8, or put the text into a file and give --template", ASCII, "--system=??ber");
        assertArrayEquals(new String[] {"Why?", "? {{text}}"}, Arguments.wholeIn(ASCII, "Why?", "? {{text}}"));
    }

    @Test void whereTheCharsetHasAllLettersTheTextWasInAnother() {
        assertSays("arguments: \"\ufffdber\" has lost letters, for the charset here is UTF-8; put the text into a "
            + "file and give --template", "UTF-8", "\ufffdber");
        assertArrayEquals(new String[] {"Really??", "\u00dcber", ""},
            Arguments.wholeIn("UTF-8", "Really??", "\u00dcber", ""));
    }

    @ParameterizedTest
    @ValueSource(strings = {"--system", "--model", "--data", "--name", "--with"})
    void anOptionOfAScriptIsRefusedBeforeAnythingElse(String option) {
        assertEquals("arguments: \"a=\ufffd\" has lost letters, for the charset here is "
            + System.getProperty("sun.jnu.encoding") + "; put the text into a file and give --template",
            assertThrows(IllegalArgumentException.class, () -> ask().options(option, "a=\ufffd")).getMessage());
    }

    @Test void whatStandsInDataIsData() {
        var lines = ask().prompts("{{text}}", rows(Map.of("text", "broken \ufffd?? before"))).preview(1).lines();

        assertTrue(lines.get(0).contains("broken \ufffd?? before"), lines.get(0));
    }

    private static Draft ask() { return Sheaf.batch().provider(Provider.OPENAI).model("m"); }

    private static void assertSays(String message, String charset, String... args) {
        assertEquals(message,
            assertThrows(IllegalArgumentException.class, () -> Arguments.wholeIn(charset, args)).getMessage());
    }
}
