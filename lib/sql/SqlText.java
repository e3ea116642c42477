package sheaf;

import java.util.Locale;
import java.util.regex.Pattern;

/** A query as it was typed: whether its rows come in an order, and what to call them. */
record SqlText(String text) {
    /** A quote within a text is two, so that it is two texts here. */
    private static final Pattern ASIDE =
        Pattern.compile("(?s)'[^']*+'|\"[^\"]*+\"|--[^\\n]*|/\\*.*?\\*/|\\$(\\w*)\\$.*?\\$\\1\\$");
    private static final Pattern INNERMOST = Pattern.compile("\\([^()]*\\)");
    private static final Pattern ORDERED = Pattern.compile("(?s).*\\bORDER\\s+BY\\b.*");
    /** A word by which the rows of one file, which have an order, become others. */
    private static final Pattern MADE =
        Pattern.compile("\\b(JOIN|GROUP|DISTINCT|UNION|INTERSECT|EXCEPT|SAMPLE|TABLESAMPLE|"
            + "PIVOT|UNPIVOT|WITH|OVER)\\b");
    private static final Pattern FROM_ONE = Pattern.compile(
        "(?s).*\\bFROM\\s+(?!\\()[^,]*?(\\b(WHERE|SELECT|LIMIT|OFFSET)\\b.*|;\\s*)?");
    private static final Pattern NAMED = Pattern.compile(
        "(?is)\\bfrom\\s+(?:\\w+\\s*\\(\\s*)?(?:'([^']+)'|\"([^\"]+)\"|([\\p{L}\\w.]+))");

    /** Whether it says at its end in which order its rows come; an order inside of a subquery is none of theirs. */
    boolean isOrdered() { return ORDERED.matcher(outermost()).matches(); }

    /** Whether it takes rows of one file or table as they stand there, in whose order DuckDB keeps them. */
    boolean isOfOneFile() {
        var outermost = outermost();
        return !MADE.matcher(outermost).find() && FROM_ONE.matcher(outermost).matches();
    }

    /** Returns the query in capitals without texts, comments and what stands in parentheses. */
    private String outermost() {
        var rest = ASIDE.matcher(text).replaceAll(aside -> aside.group().matches("(?s)[-/].*") ? " " : "x")
            .toUpperCase(Locale.ROOT);
        for (var before = ""; !before.equals(rest); ) {
            before = rest;
            rest = INNERMOST.matcher(rest.replace("()", "\u0001")).replaceAll("\u0001");
        }
        return rest.replace("\u0001", "()");
    }

    /** Returns what the first file or table is called that it reads: reviews of 'data/reviews.parquet'. */
    String name() {
        var named = NAMED.matcher(text);
        if (!named.find()) return "query";
        var file = named.group(1);
        if (file != null) return file.replaceFirst("(?s).*[/\\\\]", "").replaceAll("[*?\\[\\]]+", "");
        var table = named.group(2) == null ? named.group(3) : named.group(2);
        return table.replaceFirst("(?s).*[.](?=.)", "");
    }
}
