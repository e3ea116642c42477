package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Widths as tmux 3.3a and Python's wcwidth 0.9.4 have them; where these differ, of emoji, as wcwidth has. */
class GraphemesTest {
    @ParameterizedTest(name = "{0}") @CsvSource({
        "ASCII,                      plain text,                                               10, 10",
        "accent of its own,          e\u0301,                                                   1, 1",
        "stacked accents,            Z\u0337\u0322\u031ba\u0334,                                2, 2",
        "Japanese,                   \u65e5\u672c\u8a9e,                                        6, 3",
        "halfwidth kana,             \uff8a\uff9f,                                              2, 1",
        "Korean in parts,            \u1112\u1161\u11ab\u1100\u116e\u11a8,                      4, 2",
        "fullwidth Latin,            \uff21\uff22,                                              4, 2",
        "Devanagari vowel,           \u0915\u093e\u092e,                                        3, 2",
        "Tamil,                      \u0ba4\u0bae\u0bbf\u0bb4\u0bcd,                            4, 3",
        "Thai,                       \u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22,                7, 7",
        "Arabic with vowels,         \u0645\u064f\u062d\u064e\u0645\u0651\u064e\u062f,          4, 4",
        "Hebrew with vowels,         \u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd,                4, 4",
        "Persian with a non-joiner,  \u0646\u0645\u06cc\u200c\u062e,                            4, 4",
        "family,                     \ud83d\udc68\u200d\ud83d\udc69\u200d\ud83d\udc67,          2, 1",
        "thumb with a skin tone,     \ud83d\udc4d\ud83c\udffd,                                  2, 1",
        "couple with skin tones,     \ud83d\udc69\ud83c\udffd\u200d\u2764\ufe0f\u200d\ud83d\udc68\ud83c\udfff, 2, 1",
        "two flags,                  \ud83c\udde9\ud83c\uddea\ud83c\uddeb\ud83c\uddf7,          4, 2",
        "flag of England,            \ud83c\udff4\udb40\udc67\udb40\udc62\udb40\udc65\udb40\udc7f, 2, 1",
        "rainbow flag,               \ud83c\udff3\ufe0f\u200d\ud83c\udf08,                      2, 1",
        "keycap,                     1\ufe0f\u20e3,                                             2, 1",
        "heart as emoji,             \u2764\ufe0f,                                              2, 1",
        "heart as text,              \u2764\ufe0e,                                              1, 1",
        "check mark,                 \u2705,                                                    2, 1",
        "arrow and star,             \u2192\u2605,                                              2, 2",
    })
    void aTextIsAsWideAsItIsDrawn(String what, String text, int width, int characters) {
        assertEquals(width, Graphemes.width(text));
        assertEquals(characters, Graphemes.of(text).size());
    }

    /** The characters of one that a JDK knows to be one are a matter of its Unicode; the width is not. */
    @Test void aConjunctIsAsWideAsItsLetters() {
        assertEquals(4, Graphemes.width("\u0928\u092e\u0938\u094d\u0924\u0947"));
        assertEquals(2, Graphemes.width("\u0915\u094d\u200d\u0937"));
    }

    /** A shell moves its cursor for some of these, and others of these are drawn by some terminals only. */
    @ParameterizedTest @ValueSource(ints = {0, '\r', 7, 0x1b, 0x7f, 0x9b, 0xad, 0x61c, 0x200b, 0x200e, 0x200f, 0x202e,
        0x2060, 0x2066, 0x2069, 0xfeff})
    void whatNobodySeesIsLeftOut(int invisible) {
        assertEquals("ab", Graphemes.printable("a" + Character.toString(invisible) + "b"));
    }

    @Test void whatSeparatesWordsStillDoes() {
        assertEquals("a    b c d e", Graphemes.printable("a\tb\u2028c\u0085d\fe"));
    }

    @Test void aLineIsClippedBetweenCharactersAndFits() {
        assertEquals("short", Graphemes.clip(" short\n", 5));
        assertEquals("\u65e5\u672c\u2026", Graphemes.clip("\u65e5\u672c\u8a9e\u65e5", 6));
        assertEquals("a\ud83c\udde9\ud83c\uddea\u2026",
            Graphemes.clip("a\ud83c\udde9\ud83c\uddea\ud83c\uddeb\ud83c\uddf7", 4));
        assertEquals("", Graphemes.clip("", 0));
    }
}
