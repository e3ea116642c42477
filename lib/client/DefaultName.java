package sheaf;

import java.text.Normalizer;
import java.util.Locale;
import java.util.Optional;

/**
 * What a batch is called whose draft was given no name: after the script and its data or, where no script runs, after
 * the data and the first prompt. So the batches of two projects that both have a films.csv are told apart.
 * @param data the name of the data or of the file of requests; "" for literal prompts
 * @param prompt the first prompt's name or its text; "" for none
 */
record DefaultName(String data, String prompt) {
    /** What all literal prompts are called of which nothing else is known. */
    static final String PROMPTS = "prompts";
    private static final int LONGEST = 64;
    private static final int LONGEST_PART = 40;

    /** Returns the name for a script of this name; "": only the data's counts; nothing: no script runs. */
    String under(Optional<String> script) {
        var rows = trimmed(plain());
        var name = script.map(own -> joined(words(own), rows)).orElseGet(() -> joined(rows, words(prompt)));
        return name.isEmpty() || name.equals(rows) ? former() : cut(name, LONGEST);
    }

    /** Returns the name that Sheaf gave before scripts and prompts counted; batches of that time are found by it. */
    String former() { return plainName(data.isEmpty() ? PROMPTS : plain(), LONGEST_PART); }

    /** Returns what a retry of a batch of this name is called; one of a retry is called the same. */
    static String ofRetry(String name) { return root(name) + "-retry"; }

    /** Returns what of a batch of this name is called that another provider is asked. */
    static String ofElsewhere(String name) { return root(name) + "-elsewhere"; }

    /** Returns the name of the batch whose retry may be called so, or what another provider is asked of it. */
    static String root(String name) { return name.replaceFirst("-(retry|elsewhere)$", ""); }

    private String plain() { return data.replaceFirst("\\.[A-Za-z]+$", "").replaceAll("[^A-Za-z0-9._-]+", "-"); }

    /** Returns what of a text may stand in the name of a folder. */
    static String plainName(String text, int longest) {
        var plain = text.replaceAll("[^A-Za-z0-9._-]", "-").replaceFirst("^[^A-Za-z0-9]+", "");
        return plain.isEmpty() ? "batch" : plain.substring(0, Math.min(longest, plain.length()));
    }

    private static String trimmed(String plain) { return plain.replaceAll("^[^A-Za-z0-9]+|[^A-Za-z0-9]+$", ""); }

    /** Returns the words of a text without its tags, in kebab-case. */
    private static String words(String text) {
        var ascii = Normalizer.normalize(text.replaceAll("(?s)\\{\\{.*?\\}\\}+", " "), Normalizer.Form.NFD)
            .replaceAll("\\p{M}", "").toLowerCase(Locale.ROOT);
        return cut(trimmed(ascii.replaceAll("[^a-z0-9]+", "-")), LONGEST_PART);
    }

    /** Puts two names together; one whose words the other has is not said twice. */
    private static String joined(String first, String second) {
        if (first.isEmpty() || holds(second, first)) return second;
        if (second.isEmpty() || holds(first, second)) return first;
        var start = cut(first, LONGEST_PART);
        return start + "-" + cut(second, LONGEST - 1 - start.length());
    }

    private static boolean holds(String name, String words) {
        return ("-" + name + "-").toLowerCase(Locale.ROOT).contains("-" + words.toLowerCase(Locale.ROOT) + "-");
    }

    /** Cuts between two words, if that leaves more than half. */
    private static String cut(String name, int longest) {
        if (name.length() <= longest) return name;
        int border = name.lastIndexOf('-', longest);
        return name.substring(0, border > longest / 2 ? border : longest);
    }
}
