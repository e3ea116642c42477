package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;
import static sheaf.Sheaf.template;

import java.io.StringReader;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import javax.xml.parsers.DocumentBuilderFactory;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.w3c.dom.Document;
import org.w3c.dom.Element;
import org.w3c.dom.NodeList;
import org.xml.sax.InputSource;
import sheaf.Listings.Groups;
import sheaf.Sheaf.Data;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Result;
import sheaf.Vocabulary.Outcome;
import sheaf.server.BatchServer;

/** What toHtml() returns, read back by a parser that knows nothing of it. */
class HtmlTest {
    @AutoClose final BatchServer server = BatchServer.start();
    @TempDir Path home;

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

    @Test void resultsAreATableWithWhatShowSaysBelow() throws Exception {
        var html = ask("one", "two words").submit().results().toHtml();

        assertEquals(List.of("id|value|result", "request-1|one|one", "request-2|two words|two words"), table(html));
        assertEquals("2 succeeded; 3 tokens in, 3 out", text(parsed(html), "pre").get(0));
    }

    @Test void everyTextIsEscaped() throws Exception {
        var hostile = "</td><script>alert('x')</script> & \"q\" <img src=x onerror=y>";
        var results = batch().provider(here()).quiet().model(hostile, "b").customId("{{a<b}}" + hostile)
            .prompts("{{a<b}}", rows(Map.of("a<b", hostile))).submit().results();

        var html = results.toHtml();

        assertEquals(List.of("id|a<b|" + hostile + "|b", hostile + hostile + "|" + hostile + "|" + hostile + "|"
            + hostile), table(html));
        assertFalse(html.matches("(?s).*<(script|img|style|link).*"), html);
        assertFalse(html.matches("(?s).*<[^>]*(src|href|on[a-z]+|url)[=(].*"), html);
    }

    @Test void groupsAreBarsAsLongAsTheyAreManyWithWordsAndNumbersBesideThem() throws Exception {
        var groups = (Groups<?, ?>) ask("a", "a", "<b>", "a").submit().results().by(Result::text);

        var html = groups.toHtml();

        assertEquals(List.of("a|a: 3 (75.0%)|3 (75.0%)", "<b>|<b>: 1 (25.0%)|1 (25.0%)"), table(html));
        assertEquals(List.of("192.0", "192.0", "192.0", "64.0"), widths(html), "each in front of its ground");
    }

    @Test void ofManyGroupsTheFirstFiftyAreShown() throws Exception {
        var texts = IntStream.range(0, 52).mapToObj(i -> "text " + i).toArray(String[]::new);

        var html = ((Groups<?, ?>) ask(texts).submit().results().by(Result::text)).toHtml();

        assertEquals(50, table(html).size());
        assertEquals(List.of("and 2 more groups"), text(parsed(html), "pre"));
    }

    @Test void aConfusionIsGreenWhereItIsRightAndDarkerTheLargerItsShare() {
        var data = rows(Map.of("said", "yes", "right", "yes"), Map.of("said", "no", "right", "yes"),
            Map.of("said", "yes", "right", "yes"), Map.of("said", "yes", "right", "yes"));

        var html = batch().provider(here()).quiet().model("echo").prompts("{{said}}", data).submit().results()
            .confusion("right").toHtml();

        assertTrue(html.contains("background: rgba(38,142,80,0.38);\">3</td>"), html);
        assertTrue(html.contains("background: rgba(224,64,48,0.13);\">1</td>"), html);
    }

    @Test void aCostHasABarOfTheTokensOfEachModel() throws Exception {
        var cost = batch().provider(here()).quiet().model("m").prompts("{{value}}", rows("one two three four"))
            .submit().results().cost();

        assertEquals(List.of("model|requests|tokens in|out|price|tokens in, then out", "m|1|4|4|?|4 in, 4 out"),
            table(cost.toHtml()));
        assertEquals(List.of("192.0", "96.0", "96.0"), widths(cost.toHtml()));
    }

    @Test void dataShowsItsFirstRowsAndReadsNoMoreOfThem() throws Exception {
        var read = new AtomicInteger();
        var closed = new AtomicInteger();
        Data endless = () -> Stream.iterate(1, i -> i + 1).peek(i -> read.incrementAndGet())
            .<Map<String, Object>>map(i -> i < 2 ? Map.of("n", i) : Map.of("n", i, "<more>", "&"))
            .onClose(closed::incrementAndGet);

        var html = endless.toHtml();

        assertEquals("n|<more>", table(html).get(0));
        assertEquals(List.of("1|", "2|&"), table(html).subList(1, 3));
        assertEquals(List.of("the first 10 rows"), text(parsed(html), "pre"));
        assertEquals(11, table(html).size());
        assertTrue(read.get() <= 12, read::toString);
        assertEquals(1, closed.get());
    }

    @Test void fewRowsAreCountedAndNoneHaveNoTable() throws Exception {
        assertEquals(List.of("1 row"), text(parsed(rows("one").toHtml()), "pre"));
        assertEquals(List.of("0 rows"), text(parsed(rows(List.of()).toHtml()), "pre"));
        assertEquals(List.of(), table(rows(List.of()).toHtml()));
    }

    @Test void aDraftShowsItsFirstLinesAndReadsNoMoreRows() throws Exception {
        Data endless = () -> Stream.iterate(1, i -> i + 1).map(i -> Map.of("n", i));
        var draft = batch().provider(here()).model("m").prompts("<{{n}}>", endless);

        var lines = text(parsed(draft.toHtml()), "pre").get(0).lines().toList();

        assertEquals(3, lines.size());
        assertEquals(draft.toString(), lines.get(0));
        assertTrue(lines.get(2).endsWith("\"content\":\"<2>\"}]}}"), lines.get(2));
    }

    @Test void charactersThatMoveOrTurnTheTextAreLeftOutAndLinesStay() throws Exception {
        var html = ask("a\u0000\u001b[31m\u202eb\n  c\td").submit().results().toHtml();

        assertEquals("request-1|a[31mb\n  c    d|a[31mb\n  c    d", table(html).get(1));
    }

    @Test void templatesAndModelsStandSideBySideAsInShow() throws Exception {
        var results = batch().provider(here()).quiet().model("x", "y")
            .prompts(List.of(template("short", "{{q}}?"), template("long", "Why {{q}}?")), rows(Map.of("q", "a")))
            .submit().results();

        assertEquals(List.of("id|q|short, x|short, y|long, x|long, y", "request-1|a|a?|a?|Why a?|Why a?"),
            table(results.toHtml()));
    }

    @Test void aFailedRowIsMarkedWithItsOutcomeItsErrorAndWhatCame() throws Exception {
        server.answer(body -> {
            var asked = body.toString();
            if (asked.contains("long")) return BatchServer.Reply.text("so <far>").finishReason("length");
            return asked.contains("bad") ? BatchServer.Reply.error(400, "odd", "no & never")
                : BatchServer.Reply.text("ok");
        });

        var html = ask("fine", "long", "bad").submit().results().toHtml();

        assertEquals(List.of("id|value|result", "request-1|fine|ok",
            "request-2|long|truncated: cut off after 2 tokens; raise maxTokens(...)\nso <far>",
            "request-3|bad|errored: 400 no & never"), table(html));
        assertEquals(List.of("truncated", "errored"), text(parsed(html), "b"));
        assertEquals(List.of(false, false, true, true), backgrounds(html));
        assertTrue(html.contains("1 succeeded, 1 errored, 1 truncated; "), html);
    }

    @Test void twentyRowsAreShownOrAsManyAsAsked() throws Exception {
        var results = ask(IntStream.range(0, 23).mapToObj(i -> "row " + i).toArray(String[]::new)).submit().results();

        assertEquals(21, table(results.toHtml()).size());
        assertEquals(3, table(results.toHtml(2)).size());
        assertTrue(results.toHtml(2).contains("21 more; toCsv(file) writes them all\n23 succeeded; "));
        assertEquals("toHtml: -1 is less than 0",
            assertThrows(IllegalArgumentException.class, () -> results.toHtml(-1)).getMessage());
    }

    @Test void noResultsAreATableWithoutRows() throws Exception {
        var html = ask("a").submit().results().only(Outcome.REFUSED).toHtml();

        assertEquals(List.of("id|value|result"), table(html));
        assertTrue(html.contains(">no results</pre>"), html);
    }

    @Test void aLongTextIsCutWhereNobodyReadsOn() throws Exception {
        var html = ask("a".repeat(19_999) + "\ud83d\ude00".repeat(100_000)).submit().results().toHtml();

        assertEquals("a".repeat(19_999) + "\ud83d\ude00\u2026", table(html).get(1).split("\\|")[1]);
        assertTrue(html.length() < 50_000, "" + html.length());
    }

    @Test void theStyleIsInlineAndFitsALightAndADarkPage() {
        var html = ask("a", "A text of several words, which may be wrapped.").submit().results().toHtml();

        assertTrue(html.contains("white-space: pre\">a</div>"), html);
        assertTrue(html.contains("white-space: pre-wrap\">A text"), html);
        assertFalse(html.matches("(?s).*(#[0-9a-f]{3}|[^-]color:|class=).*"), html);
    }

    @Test void aListingIsATableToo() throws Exception {
        server.models("a<b", "c");

        assertEquals(List.of("id|owned_by", "a<b|system", "c|system"), table(here().models().toHtml())
            .stream().map(row -> row.replaceAll("\\|[a-z-]+$", row.startsWith("id") ? "$0" : "|system")).toList());
        assertEquals("(none)", text(parsed(here().batches(5).toHtml()), "pre").get(0));
    }

    @Test void aPreviewIsItsLinesAndBelowThemItsSummary() throws Exception {
        var preview = ask("1 < 2", "b").preview(2);

        assertEquals(List.of(String.join("\n", preview.lines()), preview.summary()),
            text(parsed(preview.toHtml()), "pre"));
        assertTrue(preview.toHtml().contains("1 &lt; 2"));
    }

    private static Document parsed(String html) throws Exception {
        var factory = DocumentBuilderFactory.newInstance();
        return factory.newDocumentBuilder().parse(new InputSource(new StringReader("<body>" + html + "</body>")));
    }

    /** The rows of the only table, the header first, their cells between bars. */
    private static List<String> table(String html) throws Exception {
        return elements(parsed(html).getElementsByTagName("tr")).stream().map(row ->
            String.join("|", elements(row.getChildNodes()).stream().map(Element::getTextContent).toList())).toList();
    }

    private static List<String> text(Document page, String tag) {
        return elements(page.getElementsByTagName(tag)).stream().map(Element::getTextContent).toList();
    }

    private static List<String> widths(String html) throws Exception {
        return elements(parsed(html).getElementsByTagName("rect")).stream().map(rect -> rect.getAttribute("width"))
            .toList();
    }

    /** Of each row, whether it holds a cell with a background. */
    private static List<Boolean> backgrounds(String html) throws Exception {
        return elements(parsed(html).getElementsByTagName("tr")).stream().map(row -> elements(row.getChildNodes())
            .stream().anyMatch(cell -> cell.getAttribute("style").contains("background:"))).toList();
    }

    private static List<Element> elements(NodeList nodes) {
        var elements = new ArrayList<Element>();
        for (int i = 0; i < nodes.getLength(); i++) elements.add((Element) nodes.item(i));
        return elements;
    }

    private Provider here() { return Provider.of(server.baseUrl()); }

    private Draft ask(String... texts) {
        return batch().provider(here()).quiet().model("echo").prompts("{{value}}", rows(List.of(texts)));
    }
}
