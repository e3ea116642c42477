package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.csv;
import static sheaf.Sheaf.rows;
import static sheaf.Sheaf.template;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Results;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Reply;
import sheaf.support.Browser;

/** What toHtml(file) writes, in a browser that opens it from the disk; without one, nothing of it is seen. */
class ResultsPageTest {
    static final String HOSTILE = "</script><script>window.hit=1</script><!-- <img src=x onerror=window.hit=1>"
        + " \u2028\u2029\u0085 \"quotes\" 'too' & &amp; \\ {{x}} \u202egnp.exe \ud83c\udf3e";
    static final String SHOWN = HOSTILE.replace('\u202e', '\ufffd').replace('\u0085', '\ufffd');
    static Optional<Browser> browser;

    @AutoClose final BatchServer server = BatchServer.start();
    final List<Browser.Tab> tabs = new ArrayList<>();
    @TempDir Path home;

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

    @AfterEach void stop() { tabs.forEach(Browser.Tab::close); }

    @AfterAll static void closeBrowser() throws Exception {
        if (browser != null && browser.isPresent()) browser.get().close();
        browser = null;
    }

    @Test void aPromptAndItsAnswerStandSideBySide() {
        server.answer(body -> said(body).contains("two") ? Reply.error(429, "busy", "Slow down.") : Reply.text("fine"));

        var tab = opened(ask("one", "two").system("Be kind.").example("q1", "a1").example("q2", "a2").submit()
            .results());

        awaitWords(tab, "article:nth-child(1)", "succeeded\nrequest-1\none\nfine");
        awaitWords(tab, "article:nth-child(2)", "errored\nrequest-2\ntwo\n429 Slow down.");
        assertEquals("All 2 rows", tab.text("#count"));
        tab.click("article summary");
        awaitWords(tab, "article .row", "system\nBe kind.\nuser\nq1\nassistant\na1\nuser\nq2\nassistant\na2\ntokens");
        assertEquals(List.of(), tab.complaints);
    }

    @Test void aHostileRowIsShownAsTextAndRunsNothing() {
        server.answer(body -> Reply.text(HOSTILE));

        var results = batch().provider(here()).quiet().model("echo").prompts("{{a}}" + HOSTILE.replace("{{x}}", "x"),
            rows(Map.of("a", "x", "__proto__", HOSTILE, "constructor", "c"))).submit().results();
        var tab = opened(results);

        assertEquals(SHOWN, tab.value("document.querySelector('.answer .said').textContent").asText());
        tab.click("article summary");
        awaitWords(tab, "article .row", "__proto__");
        assertFalse(tab.is("window.hit || document.querySelector('#list img, #list script')"));
        assertEquals(List.of(), tab.complaints);
    }

    @Test void rowsAreFoundByOutcomeTextModelAndOrder() {
        server.answer(body -> said(body).contains("two") ? Reply.error(400, "bad", "No.")
            : Reply.text(body.path("model").asText() + " says " + "long ".repeat(said(body).contains("one") ? 1 : 5)));
        var tab = opened(ask("one", "two", "three").model("x", "y").submit().results());
        assertEquals("all 6\nsucceeded 4\nerrored 2", tab.text("#outcomes"));

        tab.click("#outcomes [value=errored]");
        assertEquals("request-3\nrequest-4", tab.text("article code"));
        choose(tab, "model", "y");
        assertEquals("request-4", tab.text("article code"));
        assertEquals("all 3\nsucceeded 2\nerrored 1", tab.text("#outcomes"));
        tab.click("#clear");
        assertEquals("All 6 results", tab.text("#count"));
        choose(tab, "sort", "longest");
        assertEquals("request-5\nrequest-6\nrequest-1\nrequest-2\nrequest-3\nrequest-4", tab.text("article code"));
        choose(tab, "find", "X SAYS");
        tab.awaitThat("document.querySelectorAll('article').length === 2");
        assertEquals("2 of 6 results", tab.text("#count"));
        assertEquals("#find=X+SAYS&sort=longest", tab.value("location.hash").asText());
        choose(tab, "find", "nowhere");
        tab.awaitText("#count", "No row is like that.");
        assertEquals(List.of(), tab.complaints);
    }

    @Test void modelsAreComparedSideBySideAndOnlyWhereTheyDiffer() {
        server.answer(body -> Reply.text(body.path("model").asText().equals("y") && said(body).contains("two")
            ? "Sad." : "happy"));
        var tab = opened(ask("one", "two", "two").model("x", "y").submit().results());

        choose(tab, "compare", "m");
        assertEquals("All 3 rows", tab.text("#count"));
        awaitWords(tab, "article:nth-child(2)", "request-3, request-4\ntwo\nx\nhappy\ny\nSad.");
        awaitWords(tab, "#figures", "The same answer in 1 of 3 rows: 0.333 (95%: 0.061 to 0.792)");
        tab.click("#differ");

        assertEquals("2 of 3 rows", tab.text("#count"));
        assertEquals("request-3, request-4\nrequest-5, request-6", tab.text("article code"));
        assertEquals(List.of(), tab.complaints);
    }

    @Test void templatesAreComparedBesideTheirRow() {
        var tab = opened(batch().provider(here()).quiet().model("echo").prompts(List.of(template("loud", "{{w}}!"),
            template("shy", "{{w}}?")), rows(Map.of("w", "hi"), Map.of("w", "ho"))).submit().results(), "#compare=t");

        awaitWords(tab, "article:nth-child(2)", "request-3, request-4\nw\nho\nloud\nho!\nshy\nho?");
    }

    @Test void labelsAreCountedAndSetAgainstWhatIsRight() {
        var answers = Map.of("a", "Happy.", "b", "happy", "c", "sad", "d", "SAD");
        server.answer(body -> Reply.text(answers.get(body.at("/messages/0/content").asText())));
        var results = batch().provider(here()).quiet().model("echo").prompts("{{text}}", rows(
            Map.of("text", "a", "label", "happy"), Map.of("text", "b", "label", "sad"),
            Map.of("text", "c", "label", "sad"), Map.of("text", "d", "label", "sad"))).submit().results();

        var tab = opened(results);

        awaitWords(tab, "#figures", "Answers by label\nright in 3 of 4, 0.750 (95%: 0.301 to 0.954)");
        assertEquals("happy: 2 (50.0%)\nsad: 2 (50.0%)", tab.value("[...document.querySelectorAll('.bars .pick title')]"
            + ".map(each => each.textContent).join('\\n')").asText());
        assertEquals("label \\ answer\thappy\tsad\nhappy\t1\t\nsad\t1\t2", tab.text("#figures table"));
        tab.click("#figures tbody tr:nth-child(2) button");
        assertEquals("request-2", tab.text("article code"));
        awaitWords(tab, "#figures", "right in 3 of 4");
        assertEquals("#answer=happy&was=sad", tab.value("location.hash").asText());
        assertEquals(List.of(), tab.complaints);
    }

    @Test void oneLongAnswerAmongLabelsHidesNoChartAndALongNameEndsInAnEllipsis() {
        server.answer(body -> Reply.text(said(body).contains("four") ? "I would say that this one is neither of them."
            : "a label of nearly forty characters, yes"));

        var tab = opened(ask("one", "two", "three", "four").submit().results()).width(390);

        assertEquals("a label of nearly forty characters, yes: 3 (75.0%)\n(longer): 1 (25.0%)", tab.value(
            "[...document.querySelectorAll('[aria-label=Answers] title')].map(each => each.textContent).join('\\n')")
            .asText());
        assertTrue(tab.is("[...document.querySelectorAll('.bars .name')].some(name => name.scrollWidth > "
            + "name.clientWidth && getComputedStyle(name).textOverflow === 'ellipsis')"));
        assertTrue(tab.is("document.documentElement.scrollWidth <= innerWidth"));
        assertEquals("4 requests", tab.text("#facts").split(" \u00b7 ")[0]);
    }

    @Test void tokensThatNobodyCountedAreNotShown() {
        server.rewrite(lines -> lines.stream().map(line -> line.replace("\"usage\"", "\"none\"")).toList());

        var tab = opened(ask("one", "two").submit().results());

        assertFalse(tab.text("#figures").contains("Tokens"), tab.text("#figures"));
    }

    @Test void anAnswerThatIsALabelStandsThereAsThat() {
        server.answer(body -> Reply.text(!said(body).contains("two") ? "{\"choice\":\"happy\"}" : "Answer: SAD."));

        var tab = opened(ask("one", "two").choice("happy", "sad").submit().results());

        awaitWords(tab, "article:nth-child(1)", "succeeded\nrequest-1\none\nhappy");
        awaitWords(tab, "article:nth-child(2)", "succeeded\nrequest-2\ntwo\nsad");
        tab.click("article:nth-child(2) summary");
        awaitWords(tab, "article:nth-child(2) .row", "as it came\nAnswer: SAD.");
        assertEquals("happy: 1 (50.0%)\nsad: 1 (50.0%)", tab.value(
            "[...document.querySelectorAll('[aria-label=Answers] "
            + "title')].map(each => each.textContent).join('\\n')").asText());
    }

    @Test void howSureTheModelWasIsSaidAndTheLeastSureComeFirst() {
        var sure = Map.of("request-1", -0.05, "request-2", -0.7);
        server.answer(body -> Reply.text("happy"));
        server.rewrite(lines -> lines.stream().map(line -> {
            var answer = (ObjectNode) Json.lenient(line);
            ((ObjectNode) answer.at("/response/body/choices/0")).putObject("logprobs").putArray("content").addObject()
                .put("token", "happy").put("logprob", sure.get(answer.path("custom_id").asText()));
            return answer.toString();
        }).toList());

        var tab = opened(ask("one", "two").choice("happy", "sad").confidence().submit().results(), "#sort=unsure");

        assertEquals("request-2\nrequest-1", tab.text("article code"));
        awaitWords(tab, "article:nth-child(1) .answer", "happy\nconfidence 0.497");
        assertFalse(opened(ask("three").submit().results()).is("document.querySelector('#sort [value=unsure]')"));
    }

    @Test void manyLongLabelsFitIntoTheirTable() {
        var labels = List.of("politics and society", "sports and leisure", "business and economy", "culture and arts",
            "weather and climate");
        server.answer(body -> Reply.text("culture and arts"));
        var results = batch().provider(here()).quiet().model("echo").prompts("{{label}}", rows(labels.stream()
            .map(label -> Map.of("label", label)).toList())).submit().results();

        assertTrue(opened(results).is("[...document.querySelectorAll('#figures figure')].every(figure => "
            + "figure.scrollWidth <= figure.clientWidth) && document.querySelector('#figures thead').offsetHeight < 90"));
    }

    @Test void theOptionOutWritesThePageToo() throws IOException {
        var file = home.resolve("x.html");

        ask("one").options("--out", file.toString()).submit().results();

        assertTrue(Files.readString(file).startsWith("<!DOCTYPE html>"), Files.readString(file));
        assertTrue(Files.readString(file).contains("\"id\":\"request-1\""), Files.readString(file));
    }

    @Test void whatItCostAndHowLongItTookStandThereIfTheyAreKnown() {
        var results = ask("one", "two").model("x", "y").price(0, 1_000_000).submit().results();

        var tab = opened(results);

        awaitWords(tab, "#figures", "Cost, all $4.00");
        assertEquals("x: $2.00\ny: $2.00", tab.value("[...document.querySelectorAll('[aria-label=Cost] title')]"
            + ".map(each => each.textContent).join('\\n')").asText());
        awaitWords(tab, "#figures", "price: price(0, 1000000)");
        assertTrue(tab.text("#facts").matches("(?s).* took (less than a second|[0-9]+s)"), tab.text("#facts"));
        assertEquals(List.of(), tab.complaints);
    }

    @Test void whenTheRowsWereAnsweredIsDrawn() {
        server.rewrite(lines -> lines.stream().map(line -> line.replaceFirst("\"created\":\\d+", "\"created\":177235200"
            + (line.contains("two") ? 2 : 0))).toList());

        var tab = opened(ask("one", "two").submit().results());

        awaitWords(tab, "#figures", "When answered, all");
        assertEquals("0: 1 (50.0%)\n1: \n2: 1 (50.0%)", tab.value("[...document.querySelectorAll("
            + "'[aria-label=\"When answered\"] title')].map(each => each.textContent.replace(/.*:.*:\\d/, ''))"
            + ".join('\\n')").asText());
        awaitWords(tab, "#figures", "by the provider's clock; a bar is 1 second");
    }

    @Test void whatNobodyKnowsIsNotDrawn() {
        var tab = opened(ask("one").submit().results());

        assertFalse(tab.text("#figures").contains("Cost"), tab.text("#figures"));
        assertFalse(tab.text("#figures").contains("When answered"), tab.text("#figures"));
    }

    @Test void ratingsAreKeptAndAreDataForTheNextDraft() throws Exception {
        server.answer(body -> Reply.text(said(body).contains("one") ? "=1+1" : "a \"b\",\nc"));
        var results = ask("one", "two", "three").submit().results();
        var tab = opened(results);
        assertTrue(tab.is("document.getElementById('save').disabled"));

        tab.click("article:nth-child(1) .down");
        tab.click("article:nth-child(1) .correct");
        tab.value("document.querySelector('article:nth-child(1) textarea').value = '-1 apples, or \"two\"'");
        tab.value("document.querySelector('article:nth-child(1) textarea').dispatchEvent(new Event('input'))");
        tab.click("article:nth-child(2) .up");
        assertEquals("Save 2 ratings as CSV", tab.text("#save"));
        choose(tab, "rated", "corrected");
        assertEquals("request-1", tab.text("article code"));
        tab.command("Page.reload");
        tab.awaitText("#save", "Save 2 ratings as CSV");
        tab.command("Page.setDownloadBehavior", "behavior", "allow", "downloadPath", home.toString());
        tab.click("#save");

        var file = home.resolve("rows-ratings.csv");
        Browser.await("the ratings are saved", () -> Files.exists(file));
        assertEquals("""
            value,customId,template,model,outcome,prompt,answer,rating,correction
            one,request-1,prompt-1,echo,succeeded,one,'=1+1,down,"'-1 apples, or ""two""\"
            two,request-2,prompt-1,echo,succeeded,two,"a ""b"",
            c",up,
            """, Files.readString(file).replace("\r\n", "\n"));
        var next = batch().provider(here()).quiet().model("echo")
            .prompts("{{value}} is {{correction}}, not {{answer}}", csv(file)).preview(1);
        assertTrue(next.lines().get(0).contains("one is '-1 apples, or \\\"two\\\", not '=1+1"), next.toString());
    }

    @Test void imagesAreShownBesideTheirPrompt() {
        var pixel = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7";

        var tab = opened(ask("one").image(pixel).submit().results());

        tab.awaitThat("document.querySelector('.question img')?.naturalWidth === 1");
        assertEquals(List.of(), tab.complaints);
    }

    @Test void tenThousandRowsAreQuickAndDrawnAsTheyAreSeen() {
        var texts = IntStream.rangeClosed(1, 10_000).mapToObj(i -> "Text number " + i + ". " + "word ".repeat(60))
            .toArray(String[]::new);
        var results = ask(texts).submit().results();

        var tab = opened(results);

        assertEquals("All 10,000 rows", tab.text("#count"));
        assertTrue(tab.is("document.querySelectorAll('article').length < 200"));
        assertTrue(tab.is("performance.getEntriesByType('navigation')[0].domComplete < 5000"));
        tab.value("scrollTo(0, document.body.scrollHeight)");
        tab.awaitText("article", "request-10000");
        assertTrue(tab.is("document.querySelectorAll('article').length < 200"));
        tab.value("window.begun = performance.now(), change({find: 'number 9876.'})");
        assertEquals("1 of 10,000 rows", tab.text("#count"));
        assertTrue(tab.is("performance.now() - begun < 1500"));
        assertEquals(List.of(), tab.complaints);
    }

    @Test void aPhoneReadsItAndAPrinterHasAllRows() {
        var tab = opened(ask(IntStream.range(0, 300).mapToObj(i -> "word " + i).toArray(String[]::new)).model("x", "y")
            .submit().results(), "#compare=m").width(360);

        tab.awaitThat("document.documentElement.scrollWidth <= 360");
        assertEquals(1, tab.value("getComputedStyle(document.querySelector('.pair')).gridTemplateColumns.split(' ')"
            + ".length").asInt());
        tab.value("window.dispatchEvent(new Event('beforeprint'))");
        assertEquals(300, tab.value("document.querySelectorAll('article').length").asInt());
        tab.command("Emulation.setEmulatedMedia", "media", "print");
        assertFalse(tab.is("document.getElementById('controls').checkVisibility()"));
    }

    /** Awaits that a reader sees this, whatever room there is between its lines. */
    static void awaitWords(Browser.Tab tab, String selector, String part) {
        Browser.await(selector + " has " + part, () ->
            tab.text(selector).replaceAll("\\n+", "\n").replace("\nCorrect", "").contains(part));
    }

    /** Sets a field as a reader does. */
    static void choose(Browser.Tab tab, String id, String value) {
        tab.value("find('" + id + "').value = " + Browser.Tab.quoted(value));
        for (var event : List.of("input", "change"))
            tab.value("find('" + id + "').dispatchEvent(new Event('" + event + "'))");
    }

    static String said(com.fasterxml.jackson.databind.JsonNode body) { return body.path("messages").toString(); }

    Draft ask(String... texts) {
        return batch().provider(here()).quiet().model("echo").prompts("{{value}}",
            rows(List.of(texts).stream().map(text -> Map.of("value", text)).toList()));
    }

    Provider here() { return Provider.of(server.baseUrl()); }

    Browser.Tab opened(Results results) { return opened(results, ""); }

    /** Writes the page and opens it; without a browser, the test is skipped. */
    Browser.Tab opened(Results results, String view) {
        var file = home.resolve("report.html");
        results.toHtml(file);
        try {
            if (browser == null) browser = Browser.start();
        } catch (IOException e) {
            throw new AssertionError(e);
        }
        assumeTrue(browser.isPresent(), "no Chromium");
        var tab = browser.get().open();
        tabs.add(tab);
        tab.width(1280).show(file.toUri() + view);
        tab.awaitThat("document.getElementById('count').textContent");
        return tab;
    }
}
