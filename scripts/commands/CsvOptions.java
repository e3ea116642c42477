//SOURCES FileFormat.java

package sheaf.commands;

import static sheaf.Sheaf.*;

import java.util.EnumSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import picocli.CommandLine.Option;

/** How a CSV file of answers is written: its columns, and what spreadsheets and other readers want of it. */
final class CsvOptions {
    private static final Pattern UNSEEN = Pattern.compile("[\\p{C}\\p{Z}&&[^ ]]");

    @Option(names = "--columns", paramLabel = "NAME", split = ",",
        description = "columns of a .csv file, such as id,text,result.text (default: all); with --wide, "
            + "result.text is a column for each prompt and model")
    List<String> columns = List.of();

    @Option(names = "--wide", description = "in the .csv file a line for each row, a column for each prompt and model")
    boolean wide;

    @Option(names = "--bom", description = "begins the .csv file with the mark by which Excel knows UTF-8")
    boolean bom;

    @Option(names = "--formulas",
        description = "leaves cells of the .csv file as they are; without it, no text begins a formula")
    boolean formulas;

    @Option(names = "--raw",
        description = "adds the column result.rawText to the .csv file: what came, also of an answer that is not whole")
    boolean raw;

    /** Refuses what is said of a CSV file where none is written. */
    void check(String out) {
        if (out != null && FileFormat.ending(out).equals("csv")) return;
        var words = options().stream().map(option -> option.name().toLowerCase(Locale.ROOT));
        boolean hasColumns = out != null && FileFormat.ending(out).matches("parquet|xlsx");
        var named = columns.stream().filter(column -> !hasColumns).map(column -> "columns");
        Stream.concat(named, words).findFirst().ifPresent(word -> {
            throw new IllegalArgumentException(word + ": only a CSV file is written so; give --out FILE.csv");
        });
    }

    /**
     * Refuses a column that no row has, while nothing has been sent.
     * @param form matches those that an answer has by what it is asked to be
     */
    void checkColumns(Data rows, String form) {
        var unknown = new LinkedHashSet<>(columns);
        unknown.removeIf(column -> Results.COLUMNS.contains(column)
            || column.matches("result[.](row[.].*|rawText|reasoning|text[0-9]+)") || column.matches(form));
        if (unknown.isEmpty()) return;
        var known = new LinkedHashSet<String>();
        try (var all = rows.open()) {
            for (var i = all.iterator(); !known.containsAll(unknown) && i.hasNext(); ) known.addAll(i.next().keySet());
        }
        unknown.removeAll(known);
        if (unknown.isEmpty()) return;
        known.addAll(Results.COLUMNS);
        throw new IllegalArgumentException("columns: there is no " + visible(unknown) + "; there are: "
            + visible(known) + (wide ? "; result.text gives one for each prompt and model" : ""));
    }

    private static String visible(Set<String> names) {
        return UNSEEN.matcher(String.join(", ", names))
            .replaceAll(unseen -> String.format("<U+%04X>", unseen.group().codePointAt(0)));
    }

    void write(Results results, String file) { results.toCsv(file, options(), columns.toArray(String[]::new)); }

    private Set<CsvOption> options() {
        var options = EnumSet.noneOf(CsvOption.class);
        if (wide) options.add(CsvOption.WIDE);
        if (bom) options.add(CsvOption.BOM);
        if (raw) options.add(CsvOption.RAW);
        if (formulas) options.add(CsvOption.FORMULAS);
        return options;
    }
}
