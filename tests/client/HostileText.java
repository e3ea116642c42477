package sheaf;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.Supplier;
import java.util.stream.Stream;

/** Rows and texts that break tools, made by a seed, which makes the same again. */
final class HostileText {
    static final long SEED = Long.getLong("sheaf.seed", new Random().nextInt(1_000_000));
    /** What some reader, writer, template, terminal or regular expression takes for its own. */
    private static final List<String> PIECES = List.of("\u2028", "\u2029", "\u0085", "\ufeff", "\0", "\r", "\n", "\r\n",
        "\t", "\f", "\u000b", " ", "   ", "\u00a0", "\u3000", "\u200b", "\u007f", "\u001b[31m", "\u009b31m", "\u0007",
        "\ud83d\ude00", "\ud83d\udc68\u200d\ud83d\udc69\u200d\ud83d\udc67", "e\u0301\u0327", "\u0130\u0131\u00df\ufb01",
        "\u202e", "\u2066", "\u2069", "\u200f", "\u061c", "\ufffd", "\ufffe", "\uffff", "\ue000", "\udbff\udfff",
        "{{", "}}", "{{{", "}}}", "{{text}}", "{{{text}}}", "{{&text}}", "{{#text}}", "{{^text}}", "{{/text}}",
        "{{>text}}", "{{!text}}", "{{.}}", "{{%text}}", "{{=<% %>=}}", "{", "}", "[", "]", "\\", "\\\\", "\\u0041",
        "\\ud83d", "\\n", "\"", "\"\"", "'", "`", "```json\n", "</script>", "<!--", "-->", "&amp;", "<b>", "&", ",",
        ";", "|", "=1+1", "#", "%s", "%", "$1", "${text}", "\\$", "request-1", "null", "true", "NaN", "1e999", "-0",
        "..", "../", "a", "Z", "0");
    final Random random = new Random(SEED);
    private int numbered;

    /** Returns a row with its number and these columns of hostile text. */
    Map<String, Object> row(String... columns) {
        var row = new LinkedHashMap<String, Object>();
        row.put("n", "" + numbered++);
        for (var column : columns) row.put(column, text());
        return row;
    }

    String text() {
        var text = new StringBuilder();
        for (int pieces = random.nextInt(12); pieces > 0; pieces--) text.append(piece());
        return text.toString();
    }

    private String piece() {
        return switch (random.nextInt(4)) {
            case 0 -> Character.toString(random.nextInt(17) << 16 | random.nextInt(1 << 16));      // of any plane
            case 1 -> "" + (char) (Character.MIN_SURROGATE + random.nextInt(2_048));
            default -> PIECES.get(random.nextInt(PIECES.size()));
        };
    }

    /** A text that is empty would be no answer. */
    static String some(Supplier<String> texts) {
        return Stream.generate(texts).filter(text -> !text.isEmpty()).findFirst().orElseThrow();
    }

    static <T> List<T> many(int count, Supplier<T> one) { return Stream.generate(one).limit(count).toList(); }

    /** UTF-8 cannot say half a character, so a CSV holds none. */
    static String whole(String text) {
        return text.codePoints().filter(c -> c < Character.MIN_SURROGATE || c > Character.MAX_SURROGATE)
            .collect(StringBuilder::new, StringBuilder::appendCodePoint, StringBuilder::append).toString();
    }

    static Map<String, Object> whole(Map<String, Object> row) {
        row.replaceAll((column, value) -> whole((String) value));
        return row;
    }

    static String clipped(String text, int most) {
        return text.length() <= most ? text : whole(text.substring(0, most));
    }
}
