package sheaf;

import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Texts as a workbook has them: what XML cannot say stands there as {@code _x0001_}. */
final class ExcelText {
    /** UTF-16 units that a cell holds. https://support.microsoft.com/office/excel-specifications-and-limits */
    static final int LONGEST = 32_767;
    private static final Pattern ESCAPED = Pattern.compile("_x([0-9A-Fa-f]{4})_");

    private ExcelText() {}

    /** Returns what stands in the file; a text that looks like an escape has its first character escaped. */
    static String escaped(String text) {
        var looks = ESCAPED.matcher(text).replaceAll("_x005F_x$1_");
        StringBuilder out = null;
        for (int i = 0; i < looks.length(); i++) {
            char c = looks.charAt(i);
            boolean isPair = Character.isHighSurrogate(c) && i + 1 < looks.length()
                && Character.isLowSurrogate(looks.charAt(i + 1));
            boolean isSayable = c >= ' ' && c != '\uFFFE' && c != '\uFFFF' && !Character.isSurrogate(c)
                || c == '\t' || c == '\n' || isPair;
            if (isSayable && out == null && !isPair) continue;
            if (out == null) out = new StringBuilder(looks.substring(0, i));
            if (isPair) out.append(c).append(looks.charAt(++i));
            else if (isSayable) out.append(c);
            else out.append(String.format(Locale.ROOT, "_x%04X_", (int) c));
        }
        return out == null ? looks : out.toString();
    }

    static String unescaped(String text) {
        return text.indexOf("_x") < 0 ? text : ESCAPED.matcher(text).replaceAll(escape ->
            Matcher.quoteReplacement(Character.toString((char) Integer.parseInt(escape.group(1), 16))));
    }

    /** Returns the start of a text that fits into a cell, and ends with no half of a character. */
    static String start(String text, int most) {
        if (text.length() <= most) return text;
        return text.substring(0, Character.isHighSurrogate(text.charAt(most - 1)) ? most - 1 : most);
    }
}
