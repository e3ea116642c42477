package sheaf;

import static sheaf.Messages.number;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import sheaf.Vocabulary.Outcome;

/** Results as a table, of text or HTML: of each row the cells of its columns, then its answers; and a summary. */
final class Grid {
    private static final int CELL_LINES = 6;
    private static final int NAMED_MODELS = 4;
    /** A name, a number, an address or a path, which a broken line would spoil; a longer word is data. */
    private static final Pattern WORD = Pattern.compile("[!-~]{0,200}");
    /** Red for what went wrong, yellow for what was cut short, bright black for what never ran. */
    private static final Map<Outcome, String> INKS = Map.of(Outcome.ERRORED, "31", Outcome.INVALID, "31",
        Outcome.REFUSED, "31", Outcome.TRUNCATED, "33", Outcome.EXPIRED, "33", Outcome.CANCELLED, "90",
        Outcome.MISSING, "90");
    private final Exchanges exchanges;
    private final Manifest manifest;
    private final boolean isWide;                          // a row's answers stand side by side
    private final int answersPerLine;
    private final List<Exchange> shown;
    private final List<Column> columns;

    private record Column(String label, boolean isWhole, Function<Exchange, String> cell) {}

    private Grid(Exchanges exchanges, int limit) {
        this.exchanges = exchanges;
        manifest = exchanges.answers().manifest();
        isWide = exchanges.isWhole() && hasRows() && manifest.requestsPerRow() > 1;
        answersPerLine = isWide ? manifest.requestsPerRow() : 1;
        shown = exchanges.stream().limit((long) limit * answersPerLine).toList();
        columns = columns();
    }

    /** Draws the first rows as text. */
    static String text(Exchanges exchanges, int limit) {
        var grid = new Grid(exchanges, limit);
        var lines = grid.lines().stream().map(line -> Stream.concat(grid.cells(line),
            line.stream().flatMap(grid::answers)).toList()).toList();
        var columns = Stream.concat(
            grid.columns.stream().map(column -> new Tables.Column(column.label, column.isWhole)),
            grid.answerLabels().stream().map(label -> new Tables.Column(label, false))).toList();
        var inks = Terminal.isColoured() ? grid.inks() : List.<List<String>>of();
        return Tables.draw(columns, lines, inks, CELL_LINES) + grid.summary();
    }

    /** Returns the colour of each cell: what has no answer stands out. */
    private List<List<String>> inks() {
        return lines().stream().map(line -> Stream.concat(columns.stream().map(column -> ""),
            line.stream().flatMap(exchange -> answers(exchange)
                .map(cell -> INKS.getOrDefault(exchange.outcome(), "")))).toList()).toList();
    }

    /** Draws the first rows as HTML. */
    static String html(Exchanges exchanges, int limit) {
        var grid = new Grid(exchanges, limit);
        var lines = grid.lines().stream().map(line -> Stream.concat(grid.cells(line).map(Html::cell),
            line.stream().flatMap(grid::htmlAnswers)).toList()).toList();
        return Html.drawn(grid.header(), lines) + Html.lines(grid.summary());
    }

    private boolean hasRows() { return manifest.rows() > 0; }

    /** Whether each row names its own model, which then tells no two answers of a row apart. */
    private boolean hasModelOfRow() { return manifest.models().isEmpty(); }

    private List<Column> columns() {
        var columns = new ArrayList<Column>();
        columns.add(new Column("id", true, Exchange::customId));
        manifest.promptColumns().stream().filter(this::isColumn).forEach(name -> columns.add(columnOfRow(name)));
        if (!hasRows()) columns.add(new Column("prompt", false, Exchange::prompt));
        else if (!isWide && differ(Exchange::template)) columns.add(new Column("template", true, Exchange::template));
        if ((!isWide || hasModelOfRow()) && differ(Exchange::model))
            columns.add(new Column("model", true, Exchange::model));
        if (!isWide && exchanges.answeringModels().values().stream().anyMatch(models -> models.size() > 1))
            columns.add(new Column("answered by", true, Exchange::answeringModel));
        return columns;
    }

    private Column columnOfRow(String name) {
        Function<Exchange, String> cell = exchange -> Json.cell(Templates.value(name, exchange.row()));
        return new Column(name, shown.stream().map(cell).allMatch(text -> WORD.matcher(text).matches()), cell);
    }

    /** A section's own names are no columns of the row, nor is one that only says what else to write. */
    private boolean isColumn(String name) {
        var column = name.replaceFirst("\\..*", "");
        return shown.isEmpty() || shown.stream().anyMatch(exchange -> exchange.row().containsKey(column));
    }

    private boolean differ(Function<Exchange, String> property) {
        return shown.stream().map(property).distinct().count() > 1;
    }

    private List<List<Exchange>> lines() {
        return IntStream.range(0, shown.size() / answersPerLine)
            .mapToObj(line -> shown.subList(line * answersPerLine, (line + 1) * answersPerLine)).toList();
    }

    private List<String> header() {
        return Stream.concat(columns.stream().map(Column::label), answerLabels().stream()).toList();
    }

    private List<String> answerLabels() {
        if (isWide) return manifest.answerLabels();
        return manifest.format() == null ? List.of("result") : manifest.format().columns();
    }

    private Stream<String> cells(List<Exchange> line) {
        return columns.stream().map(column -> column.cell().apply(line.get(0)));
    }

    private Stream<String> answers(Exchange exchange) {
        return exchange.ok() ? values(exchange) : first(exchange.outcome() + why(exchange));
    }

    private Stream<String> htmlAnswers(Exchange exchange) {
        return exchange.ok() ? values(exchange).map(Html::cell)
            : first(Html.failed(exchange.outcome().toString(), why(exchange)));
    }

    /** Of an answer that has columns, what went wrong stands in the first. */
    private Stream<String> first(String cell) {
        int others = isWide ? 0 : answerLabels().size() - 1;
        return Stream.concat(Stream.of(cell), Stream.generate(() -> "").limit(others));
    }

    private Stream<String> values(Exchange exchange) {
        var format = manifest.format();
        if (format == null || isWide && !format.hasLabels()) return Stream.of(texts(exchange));
        if (isWide) return Stream.of(exchange.choice());
        var joined = exchange.joined();
        return format.columns().stream().map(column -> Json.cell(Templates.value(column, joined)));
    }

    /** Returns the text, or where several were asked for each with its number. */
    private static String texts(Exchange exchange) {
        var texts = exchange.texts();
        if (texts.size() < 2) return exchange.text();
        return IntStream.range(0, texts.size()).mapToObj(i -> i + 1 + ": " + texts.get(i))
            .collect(Collectors.joining("\n"));
    }

    private static String why(Exchange exchange) {
        return ": " + exchange.error() + (exchange.rawText().isEmpty() ? "" : "\n" + exchange.rawText());
    }

    private String summary() {
        var more = exchanges.size() - shown.size();
        return (more > 0 ? number(more) + " more; " + Wording.TO_CSV + " them all\n" : "")
            + answeredBy()
            + (exchanges.size() == 0 ? "no results" : exchanges.summary()) + "\n";
    }

    /** Says where another model answered than was asked for, or the one that an alias stands for. */
    private String answeredBy() {
        var others = exchanges.answeringModels();
        if (others.isEmpty()) return "";
        var said = others.entrySet().stream().limit(NAMED_MODELS)
            .map(other -> other.getKey() + " was answered by " + String.join(", ", other.getValue()))
            .collect(Collectors.joining("; "));
        return said + (others.size() > NAMED_MODELS ? "; and so on: result.answeredBy" : "") + "\n";
    }
}
