package sheaf;

import java.util.List;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import org.jline.utils.WCWidth;

/**
 * Texts as a terminal draws them: the characters that people see, so many columns wide each. How wide a code point is
 * says JLine's table; what of an emoji sequence counts, the terminals that draw it as one.
 */
final class Graphemes {
    private static final Pattern GRAPHEME = Pattern.compile("\\X");
    private static final Pattern LINE_BREAK = Pattern.compile("[\u000b\f\u0085\u2028\u2029]");
    /** What nobody sees and terminals differ in: controls, direction, places to break a word, marks of bytes. */
    private static final Pattern INVISIBLE = Pattern.compile("[\\p{Cc}\u00ad\u061c\u180e\u200b\u200e\u200f"
        + "\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]");
    private static final int JOINER = 0x200d;
    private static final int AS_EMOJI = 0xfe0f;                // variation selector 16

    private Graphemes() {}

    /** Returns a line that moves no cursor, nor turns the text around it. */
    static String printable(String line) {
        if (isAscii(line)) return line;
        var spaced = LINE_BREAK.matcher(line.replace("\t", "    ")).replaceAll(" ");
        return INVISIBLE.matcher(spaced).replaceAll("");
    }

    /** Returns the start of a text, on one line of so many columns. */
    static String clip(String text, int columns) {
        var line = printable(text.strip().replaceAll("\\s+", " "));
        return width(line) <= columns ? line : start(line, columns - 1) + "\u2026";
    }

    /** Returns as much of a line as so many columns hold. */
    static String start(String line, int columns) {
        var start = new StringBuilder();
        int used = 0;
        for (var grapheme : of(line)) {
            used += width(grapheme);
            if (used > columns) break;
            start.append(grapheme);
        }
        return start.toString();
    }

    static List<String> of(String line) {
        return GRAPHEME.matcher(line).results().map(MatchResult::group).toList();
    }

    /** Returns how many columns a printable line takes. */
    static int width(String line) {
        return isAscii(line) ? line.length() : of(line).stream().mapToInt(Graphemes::widthOfOne).sum();
    }

    /** Whether its letter itself is wide; a narrow one may have marks that take room too. */
    static boolean isWide(String grapheme) { return WCWidth.wcwidth(grapheme.codePointAt(0)) > 1; }

    /** What is joined to an emoji, a half of a flag and a skin tone take no room of their own. */
    private static int widthOfOne(String grapheme) {
        int width = 0;
        int before = 0;
        for (int c : grapheme.codePoints().toArray()) {
            if (c == AS_EMOJI || isSkinTone(c)) width = Math.max(2, width);
            else if (!isJoined(before, c)) width += Math.max(0, WCWidth.wcwidth(c));
            before = c;
        }
        return width;
    }

    /** A joiner between letters shapes them only. */
    private static boolean isJoined(int before, int c) {
        return before == JOINER && !Character.isLetter(c) || isHalfOfFlag(before) && isHalfOfFlag(c);
    }

    private static boolean isHalfOfFlag(int c) { return c >= 0x1f1e6 && c <= 0x1f1ff; }

    private static boolean isSkinTone(int c) { return c >= 0x1f3fb && c <= 0x1f3ff; }

    /** Whether every terminal draws it alike. */
    static boolean isAscii(String line) { return line.chars().allMatch(c -> c >= ' ' && c < 0x7f); }
}
