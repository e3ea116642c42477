//FILES sheaf/results-page.mustache=../../templates/results-page.mustache

package sheaf;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.OutputStream;
import java.io.OutputStreamWriter;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;

/** Results as one page that opens from a disk: a template, and in it the rows as JSON, which its script draws. */
final class ResultsPage {
    private static final String TEMPLATE = "sheaf/results-page.mustache";
    private final Exchanges exchanges;
    private final Manifest manifest;
    private final Numbers outcomes = new Numbers();
    private final Numbers models = new Numbers();
    private final Numbers templates = new Numbers();
    private final LinkedHashSet<String> columns = new LinkedHashSet<>();
    private final Spending spending = new Spending();
    private final Timing timing = new Timing();
    private final Timeline timeline = new Timeline();
    private List<List<String>> before;                    // the prompt of the first request, which most share

    ResultsPage(Exchanges exchanges) {
        this.exchanges = exchanges;
        manifest = exchanges.answers().manifest();
    }

    /** Names by the numbers that stand for them in the rows. */
    private static final class Numbers {
        private final Map<String, Integer> numbers = new LinkedHashMap<>();

        int of(String name) { return numbers.computeIfAbsent(name, any -> numbers.size()); }
    }

    /** A value that is known only once what stands before it is written. */
    private record Late(Function<ResultsPage, Object> value, ResultsPage page) {
        @Override public String toString() { return forScript(value.apply(page)); }
    }

    void writeTo(OutputStream out) throws IOException {
        var template = Templates.compile(TEMPLATE, template());
        var writer = new BufferedWriter(new OutputStreamWriter(out, UTF_8), 1 << 16);
        Iterable<String> rows = () -> exchanges.stream().map(this::row).map(row -> forScript(row) + "\n").iterator();
        Templates.write(template, Map.of("title", Html.escaped(exchanges.name()), "nonce", nonce(), "rows", rows,
            "head", new Late(ResultsPage::head, this)), new LinkedHashMap<>(), writer);
        writer.flush();
    }

    private static String template() {
        var resource = ResultsPage.class.getResource("/" + TEMPLATE);
        if (resource != null) return new InputFile("toHtml", TEMPLATE, null, resource).text();
        throw new IllegalStateException("toHtml: " + TEMPLATE + " is not on the class path; JBang lays it there by the "
            + "//FILES line of lib/client/ResultsPage.java");
    }

    /** What lets the page's own script run, and no other: no answer knows of what requests it is one. */
    private String nonce() { return Json.Digest.hex("page " + manifest.digest() + exchanges.name()); }

    /** Returns JSON in which nothing ends the script element that it stands in. */
    private static String forScript(Object value) { return Json.text(value).replace("<", "\\u003c"); }

    private Map<String, Object> head() {
        var head = new LinkedHashMap<String, Object>();
        head.put("name", exchanges.name());
        head.put("key", exchanges.answers().journal().folderName());
        head.put("provider", manifest.provider().name());
        head.put("submitted", exchanges.answers().journal().submittedAt().toString());
        timing.duration().ifPresent(took -> head.put("took", Timing.text(took)));
        costs().ifPresent(costs -> head.put("costs", costs));
        var answered = timeline.bars();
        if (answered.size() > 1) head.put("timeline", Map.of("bars", answered.labelled(), "note", answered.note()));
        head.put("outcomes", outcomes.numbers.keySet());
        head.put("models", models.numbers.keySet());
        head.put("templates", templates.numbers.keySet());
        head.put("columns", columns);
        head.put("before", before == null ? List.of() : before);
        return head;
    }

    /** Returns what is known of the cost; nothing where no dollar is. */
    private Optional<Map<String, Object>> costs() {
        var cost = spending.cost();
        var parts = cost.models().stream().filter(model -> model.dollars().isPresent())
            .map(model -> Map.of("name", cost.nameOf(model), "dollars", model.dollars().getAsDouble(), "said",
                model.price())).toList();
        return parts.isEmpty() ? Optional.empty() : Optional.of(Map.of("total", cost.summary(), "parts", parts, "notes",
            cost.notes()));
    }

    /** Returns one row by short names, what is empty left out; index, id, template, model, outcome, prompt, answer. */
    private Map<String, Object> row(Exchange exchange) {
        spending.add(exchange);
        timeline.add(exchange);
        exchange.attempts().forEach(attempt -> timing.add(attempt.batch()));
        var row = new LinkedHashMap<String, Object>();
        row.put("i", exchange.index());
        row.put("id", exchange.customId());
        row.put("t", templates.of(exchange.template()));
        row.put("m", models.of(exchange.model()));
        row.put("o", outcomes.of(exchange.outcome().toString()));
        putQuestion(exchange, row);
        putAnswer(exchange, row);
        if (manifest.ownIds() && !exchange.row().isEmpty()) row.put("row", exchange.row());
        if (manifest.ownIds()) columns.addAll(exchange.row().keySet());
        return row;
    }

    private void putQuestion(Exchange exchange, Map<String, Object> row) {
        var said = exchange.said();
        row.put("p", exchange.prompt());
        var earlier = earlier(said);
        if (before == null) before = earlier;
        if (!earlier.equals(before)) row.put("b", earlier);
        var images = images(said.isArray() ? said.path(said.size() - 1).path("content") : said);
        if (!images.isEmpty()) row.put("x", images);
    }

    private static void putAnswer(Exchange exchange, Map<String, Object> row) {
        if (exchange.ok() || !exchange.rawText().isEmpty()) row.put("a", exchange.rawText());
        if (!exchange.ok()) row.put("e", exchange.error());
        if (exchange.ok() && exchange.hasLabels()) row.put("c", exchange.choice());
        exchange.confidence().ifPresent(sure -> row.put("k", PlainValues.of(sure)));
        if (exchange.texts().size() > 1) row.put("s", exchange.texts());
        if (!exchange.reasoning().isEmpty()) row.put("th", exchange.reasoning());
        if (!exchange.answeringModel().isEmpty()) row.put("by", exchange.answeringModel());
        var usage = exchange.usage();
        if (usage.total() > 0) row.put("u", List.of(usage.input(), usage.output()));
        if (exchange.retries() > 0) row.put("n", exchange.retries() + 1);
    }

    /** Returns who said what before the prompt. */
    private static List<List<String>> earlier(JsonNode said) {
        var earlier = new ArrayList<List<String>>();
        for (int i = 0; said.isArray() && i < said.size() - 1; i++)
            earlier.add(List.of(said.path(i).path("role").asText(), Content.plain(said.path(i).path("content"))));
        return earlier;
    }

    /** Returns the addresses of the images among the parts of a prompt. */
    private static List<String> images(JsonNode parts) {
        if (!parts.isArray()) return List.of();
        return parts.valueStream().map(part -> part.path("image_url"))
            .map(image -> image.isTextual() ? image.asText() : image.path("url").asText())
            .filter(url -> !url.isEmpty()).toList();
    }
}
