package sheaf.server;

import java.util.regex.Pattern;
import java.util.stream.IntStream;

/**
 * A short text for a regular expression of the kind that JSON schemas have: of each choice the first, of each
 * repetition the fewest. It knows neither looks nor references, so whoever asks must try what it returns.
 *
 * @see <a href="https://json-schema.org/draft/2020-12/json-schema-core#section-6.4">Regular expressions</a>
 */
final class PatternSample {
    private static final int MAX_LENGTH = 10_000;    // of what is repeated
    private static final String CHARACTERS = "aA0 -_.,:;@/+#*!?$%&=~<>|'\"()[]{}^\\`";   // to try for a class

    private final String pattern;
    private int position;

    PatternSample(String pattern) { this.pattern = pattern; }

    String text() {
        position = 0;
        return choices();
    }

    private boolean isAt(String what) { return pattern.startsWith(what, position); }

    private boolean isAtEnd() { return position >= pattern.length() || isAt(")"); }

    /** Reads alternatives up to the end of their group, and returns the first. */
    private String choices() {
        var first = sequence();
        while (isAt("|")) {
            position++;
            sequence();
        }
        return first;
    }

    private String sequence() {
        var sample = new StringBuilder();
        while (!isAtEnd() && !isAt("|"))
            sample.append(repeated(atom()));
        return sample.toString();
    }

    /** Reads what may be repeated. */
    private String atom() {
        char first = pattern.charAt(position++);
        return switch (first) {
            case '(' -> group();
            case '[' -> classSample();
            case '^', '$' -> "";
            case '.' -> "a";
            case '\\' -> escaped();
            default -> String.valueOf(first);
        };
    }

    private String group() {
        if (isAt("?:")) position += 2;
        else if (isAt("?<")) position = Math.max(position, pattern.indexOf('>', position) + 1);
        var sample = choices();
        position++;
        return sample;
    }

    private String escaped() {
        if (position >= pattern.length()) return "";
        char escape = pattern.charAt(position++);
        return switch (escape) {
            case 'b', 'A', 'z', 'Z' -> "";
            case 'u' -> String.valueOf((char) hexadecimal(4));
            case 'x' -> String.valueOf((char) hexadecimal(2));
            case 'p', 'P' -> ofClass("\\" + escape + property());
            default -> Character.isLetterOrDigit(escape) ? ofClass("\\" + escape) : String.valueOf(escape);
        };
    }

    private int hexadecimal(int digits) {
        var code = pattern.substring(position, Math.min(pattern.length(), position + digits));
        position += code.length();
        return code.matches("[0-9a-fA-F]+") ? Integer.parseInt(code, 16) : 0;
    }

    private String property() {
        int end = isAt("{") ? pattern.indexOf('}', position) + 1 : position + 1;
        var property = pattern.substring(position, Math.max(position, Math.min(end, pattern.length())));
        position += property.length();
        return property;
    }

    private String classSample() {
        int begin = position - 1;
        if (isAt("^")) position++;
        if (isAt("]")) position++;
        while (position < pattern.length() && !isAt("]"))
            position += isAt("\\") ? 2 : 1;
        position = Math.min(position + 1, pattern.length());
        return ofClass(pattern.substring(begin, position));
    }

    /** Returns the first character that is in a class, or none. */
    private static String ofClass(String expression) {
        return IntStream.concat(CHARACTERS.chars(), IntStream.range(1, Character.MIN_SURROGATE))
            .mapToObj(code -> String.valueOf((char) code)).filter(Pattern.compile(expression).asMatchPredicate())
            .findFirst().orElse("");
    }

    private String repeated(String atom) {
        int times = 1;
        if (isAt("*") || isAt("?")) times = 0;
        if (isAt("{")) times = leastTimes();
        else if (isAt("*") || isAt("?") || isAt("+")) position++;
        if (isAt("?") || isAt("+")) position++;      // reluctant or possessive
        return atom.repeat(Math.min(times, MAX_LENGTH / Math.max(1, atom.length())));
    }

    /** Reads {@code {2}}, {@code {2,}} or {@code {2,5}}, and returns the first number. */
    private int leastTimes() {
        int end = pattern.indexOf('}', position);
        var least = pattern.substring(position + 1, Math.max(position + 1, end)).replaceFirst(",.*", "");
        position = Math.max(position, end) + 1;
        return least.matches("\\d{1,9}") ? Integer.parseInt(least) : 0;
    }
}
