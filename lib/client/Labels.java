package sheaf;

import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * The labels that an answer is to be one of, and which one a model means that says it in its own way: in other case,
 * quoted, with a full stop, after "Answer:", or on a line of its own. What names none of them, or two, means none.
 */
record Labels(List<String> all) {
    /** What stands before a label: a word or a few, and a colon or a verb. */
    private static final Pattern LEAD = Pattern.compile("(?i)^[\\p{L} *_-]{1,40}?(?:[*_]*[:=][*_]*| is| are)\\s+(.+)$");
    /** A label that a reason follows. */
    private static final Pattern REASONED =
        Pattern.compile("(?s)^(.{1,500}?)[*_\"]*\\s*(?:[.,;:!]\\s|\\s[-\u2013\u2014]\\s)(.+)$");
    private static final String AROUND = "\"'`*_()[]{}<>\u201c\u201d\u2018\u2019.,;:!";

    /** @throws IllegalArgumentException if they could not be told apart */
    static Labels checked(String word, List<String> given) {
        var labels = given.stream().map(String::strip).toList();
        if (labels.size() < 2)
            throw new IllegalArgumentException(word + ": one label leaves nothing to choose; give two or more");
        for (var label : labels)
            if (bare(label).isEmpty() || label.contains("\n"))
                throw new IllegalArgumentException(word + ": \"" + Messages.clip(label, 40)
                    + "\" is no label; one is a word, or a few on one line");
        labels.stream().collect(Collectors.groupingBy(Labels::bare)).values().stream().filter(same -> same.size() > 1)
            .findFirst().ifPresent(same -> {
                throw new IllegalArgumentException(word + ": \"" + same.get(0) + "\" and \"" + same.get(1)
                    + "\" are read as the same label; rename one");
            });
        return new Labels(labels);
    }

    /** Returns the label that is meant by an answer that is nothing else. */
    Optional<String> same(String text) {
        return all.stream().filter(text::equals).findFirst()
            .or(() -> all.stream().filter(label -> bare(label).equals(bare(text))).findFirst());
    }

    /** Returns the label that a whole answer means. */
    Optional<String> of(String text) {
        return same(text).or(() -> onOneOf(text.strip().lines().toList())).or(() -> reasoned(text.strip()));
    }

    private Optional<String> onOneOf(List<String> lines) {
        var said = lines.stream().flatMap(line -> same(line).or(() -> led(line)).stream()).distinct().toList();
        return said.size() == 1 ? Optional.of(said.get(0)) : Optional.empty();
    }

    private Optional<String> led(String line) {
        var lead = LEAD.matcher(line.strip());
        return lead.matches() ? same(lead.group(1)) : Optional.empty();
    }

    /** A reason that names another label may take the first one back. */
    private Optional<String> reasoned(String text) {
        var parts = REASONED.matcher(text);
        if (!parts.matches()) return Optional.empty();
        return same(parts.group(1)).filter(label ->
            all.stream().noneMatch(other -> !other.equals(label) && isNamed(other, parts.group(2))));
    }

    private static boolean isNamed(String label, String text) {
        return Pattern.compile("(?iu)(?<![\\p{L}\\p{N}])" + Pattern.quote(label) + "(?![\\p{L}\\p{N}])")
            .matcher(text).find();
    }

    private static String bare(String text) {
        int from = 0, to = text.length();
        while (from < to && isAround(text.charAt(from))) from++;
        while (from < to && isAround(text.charAt(to - 1))) to--;
        return text.substring(from, to).replaceAll("\\s+", " ").toLowerCase(Locale.ROOT);
    }

    private static boolean isAround(char one) { return Character.isWhitespace(one) || AROUND.indexOf(one) >= 0; }
}
