package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import sheaf.support.Growth;

/** A label is known in whatever way a model says it, and nothing that is none is taken for one. */
class LabelsTest {
    static final Labels LABELS = new Labels(List.of("happy", "unhappy", "very happy", "Sci/Tech", "C++"));

    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', quoteCharacter = '~', value = {
        "happy | happy", "Happy | happy", "HAPPY. | happy", "'happy' | happy", "\"happy\" | happy",
        "**happy** | happy", "`unhappy` | unhappy", "(unhappy) | unhappy", "\u201cunhappy\u201d | unhappy",
        "very  Happy | very happy", "sci/tech | Sci/Tech", "c++ | C++", "Answer: happy | happy",
        "**Answer:** unhappy. | unhappy", "The sentiment is happy. | happy", "Label = unhappy | unhappy",
        "~Answer:\nhappy~ | happy", "~Let me see.\n\nunhappy\n~ | unhappy", "~happy\n\nThey praise the kettle.~ | "
            + "happy",
        "Very happy. They praise it. | very happy", "Happy, because it boils | happy", "Unhappy - it leaked | unhappy"})
    void aLabelIsReadAsItIsMeant(String said, String label) {
        assertEquals(label, LABELS.of(said.replace("\\n", "\n")).orElse(""));
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', quoteCharacter = '~', value = {
        "purple", "not happy", "The answer is not happy", "happy or unhappy", "~happy\nunhappy~", "I am happy to help",
        "Happy, but also unhappy", "happily", "~.~", "C", "happy unhappy"})
    void whatNamesNoneOrTwoMeansNone(String said) { assertEquals("", LABELS.of(said).orElse("")); }

    /** A model that does not come to an end says the same sign over and over. */
    @ParameterizedTest
    @CsvSource({"-, '( '", "a, **"})
    void howLongAnAnswerIsReadGrowsWithItsLength(String first, String sign) {
        Growth.assertLinear(2_000, length -> {
            var said = first + sign.repeat(length) + "x";
            return () -> assertEquals("", LABELS.of(said).orElse(""));
        });
    }

    @Test void labelsThatCannotBeToldApartAreRefused() {
        assertEquals("choice: one label leaves nothing to choose; give two or more", refusal("one"));
        assertEquals("choice: \"Yes\" and \"yes.\" are read as the same label; rename one",
            refusal("Yes", "yes.", "no"));
        assertEquals("choice: \"a b\" is no label; one is a word, or a few on one line", refusal("a\nb", "c"));
        assertEquals(List.of("a", "b"), Labels.checked("choice", List.of("a", " b")).all());
        assertEquals("choice: \"\" is no label; one is a word, or a few on one line", refusal("", "b"));
    }

    static String refusal(String... labels) {
        return assertThrows(IllegalArgumentException.class, () -> Labels.checked("choice",
            List.of(labels))).getMessage();
    }
}
