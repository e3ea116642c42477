package sheaf;

import static sheaf.Messages.clip;
import static sheaf.Messages.given;
import static sheaf.Messages.visible;

import java.util.Collection;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;

/** The columns that results have as a table: those of the rows, and what each answer adds. */
final class ResultColumns {
    /** What is added to the columns of the rows. */
    static final List<String> OWN = List.of("result.customId", "result.template", "result.model",
        "result.answeredBy", "result.outcome", "result.text", "result.error");
    static final String RAW_TEXT = "result.rawText";
    /** What else may be named: what came, whole or not, how it was thought of, and each further text of several. */
    private static final Pattern FURTHER = Pattern.compile("result[.](rawText|reasoning|text([1-9][0-9]{0,4}))");
    private final Exchanges exchanges;
    private final Set<String> rowColumns;
    private final boolean hasNamesOfResults;              // whether a row hides what an answer has
    private final List<String> formColumns;               // of an answer in a form that was asked for
    private final int texts;                              // for which there are columns

    ResultColumns(Exchanges exchanges) {
        this.exchanges = exchanges;
        rowColumns = exchanges.rowColumns();
        hasNamesOfResults = rowColumns.stream().anyMatch(name -> name.startsWith("result"));
        texts = Math.max(1, exchanges.textsPerAnswer());
        var format = exchanges.answers().manifest().format();
        formColumns = format == null ? List.of() : format.columns();
    }

    /** Returns all columns of which there is none to be told by name. */
    Set<String> all() { return all(OWN); }

    /** @param own what is added to the columns of the rows */
    Set<String> all(List<String> own) {
        var all = new LinkedHashSet<>(rowColumns);
        for (var column : own) {
            all.add(column);
            if (!column.equals("result.text")) continue;
            for (int number = 2; number <= texts; number++) all.add(column + number);
            all.addAll(formColumns);
        }
        return all;
    }

    /**
     * Returns these columns, or all if none is named.
     * @param word the step, for messages
     */
    Collection<String> named(String word, String... names) {
        if (names.length == 0) return all();
        for (var name : names) checkKnown(word, given(word, name));
        return List.of(names);
    }

    private void checkKnown(String word, String column) {
        if (rowColumns.contains(column) || isOfAResult(column) || column.startsWith("result.row.")) return;
        if (isInside(column)) return;
        throw new IllegalArgumentException(word + ": no column " + visible(column) + "; there are: " + visible(all()));
    }

    /** Whether each answer of a row has one of its own. */
    boolean isOfAnAnswer(String column) {
        return (isOfAResult(column) || isInside(column)) && !column.equals("result.customId");
    }

    private static boolean isOfAResult(String column) {
        return OWN.contains(column) || FURTHER.matcher(column).matches();
    }

    /** Whether it is a column of an answer's form, or holds some of them. */
    private boolean isInside(String column) {
        return column.startsWith("result.")
            && formColumns.stream().anyMatch(form -> form.equals(column) || form.startsWith(column + "."));
    }

    /** Whether an answer turned out to have more texts than there are columns: known once all have been read. */
    boolean lacksTexts() { return exchanges.textsPerAnswer() > texts; }

    /** Returns what stands under this name in a row with its answer, which is only made if it is not to be had so. */
    Object value(String column, Exchange exchange) {
        if (hasNamesOfResults) return value(column, exchange.joined());
        return switch (column) {
            case "result.customId" -> exchange.customId();
            case "result.template" -> exchange.template();
            case "result.model" -> exchange.model();
            case "result.answeredBy" -> exchange.answeringModel();
            case "result.outcome" -> exchange.outcome().toString();
            case "result.text" -> exchange.ok() ? exchange.text() : null;
            case "result.error" -> exchange.ok() ? null : exchange.error();
            default -> column.startsWith("result") ? value(column, exchange.joined())
                : Templates.value(column, exchange.row());
        };
    }

    private static Object value(String column, Map<String, Object> joined) {
        var further = FURTHER.matcher(column);
        if (further.matches() && further.group(2) != null) return text(Integer.parseInt(further.group(2)), joined);
        var value = Templates.value(column, joined);
        return value == null && column.equals(RAW_TEXT) ? Templates.value("result.text", joined) : value;
    }

    private static Object text(int number, Map<String, Object> joined) {
        return Templates.value("result.texts", joined) instanceof List<?> texts && number <= texts.size()
            ? texts.get(number - 1) : null;
    }

    /** Returns a text that what is written can hold, or refuses it. */
    static String writable(String word, String format, String column, String text) {
        if (!JsonText.hasHalf(text)) return text;
        throw new IllegalStateException(word + ": \"" + clip(text, 40) + "\" in column " + column + " holds half a "
            + "character, a lone surrogate, which " + format + " cannot; " + Wording.TO_JSONL);
    }
}
