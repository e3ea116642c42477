package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;
import static sheaf.Sheaf.template;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Result;
import sheaf.Sheaf.Results;
import sheaf.Vocabulary.CsvOption;
import sheaf.Vocabulary.Outcome;
import sheaf.Vocabulary.Usage;
import sheaf.server.BatchServer;
import sheaf.support.Guide;
import sheaf.support.Printed;

class ResultsTest {
    record Label(String kind, int score) {}

    @AutoClose final BatchServer server = BatchServer.start();
    @TempDir Path home;

    @BeforeEach void ownHome() {
        System.setProperty("SHEAF_HOME", home.toString());
        System.setProperty("COLUMNS", "60");
    }

    @AfterEach void stop() { System.clearProperty("COLUMNS"); }

    @Test void resultsFeedAnotherBatch() {
        var answers = batch().provider(here()).quiet().model("m")
            .prompts("A {{q}}", rows(Map.of("q", "1", "answer", "x"))).submit().results();

        var grades = batch().provider(here()).quiet().model("judge").name("grades")
            .prompts("{{q}} {{answer}} {{result.text}} {{result.model}} {{result.outcome}}", answers.succeeded())
            .submit().results();

        assertEquals(List.of("1 x A 1 m succeeded"), grades.stream().map(Result::text).toList());
    }

    @Test void aFailedRowDoesNotFeedAnotherBatch() {
        server.answer(body -> BatchServer.Reply.text("half").finishReason("length"));
        var answers = ask("a").submit().results();

        var fault = assertThrows(IllegalArgumentException.class, () -> batch().model("m")
            .prompts("{{result.text}}", answers).preview(1));

        assertEquals("prompts: row 1 has no value for {{result.text}} (template line 1); its outcome is truncated: "
            + "cut off after 1 tokens; raise maxTokens(...); feed succeeded()", fault.getMessage());
    }

    @Test void toCsvWritesRowsAndAnswersAndReadsBack() throws Exception {
        var file = home.resolve("out.csv");

        ask("a, \"b\"\nc", "d").submit().results().toCsv(file);

        assertEquals("value,result.customId,result.template,result.model,result.answeredBy,result.outcome,result.text,"
            + "result.error\n"
            + "\"a, \"\"b\"\"\nc\",request-1,prompt-1,echo,echo,succeeded,\"a, \"\"b\"\"\nc\",\n"
            + "d,request-2,prompt-1,echo,echo,succeeded,d,\n", Files.readString(file).replace("\r\n", "\n"));
    }

    @Test void toCsvWritesTheColumnsAskedFor() throws Exception {
        var results = ask("a").submit().results();

        results.toCsv(home.resolve("two.csv").toString(), "result.text", "value");

        assertEquals("result.text,value\na,a\n", Files.readString(home.resolve("two.csv")).replace("\r\n", "\n"));
        var fault = assertThrows(IllegalArgumentException.class, () -> results.toCsv(home.resolve("x.csv"), "txt"));
        assertEquals("toCsv: no column txt; there are: value, result.customId, result.template, result.model, "
            + "result.answeredBy, result.outcome, result.text, result.error", fault.getMessage());
        assertTrue(Files.notExists(home.resolve("x.csv")));
    }

    @Test void toJsonlOfColumnsWritesThemOnceForEachRow() throws Exception {
        var results = batch().provider(here()).quiet().model("m").prompts(List.of("{{a}}", "again {{a}}"),
            rows(Map.of("a", "x", "n", List.of(1)), Map.of("a", "y"))).submit().results();

        results.toJsonl(home.resolve("columns.jsonl"), "n", "a");

        assertEquals(List.of("{\"a\":\"x\",\"n\":[1]}", "{\"a\":\"y\"}"),
            Files.readAllLines(home.resolve("columns.jsonl")));
        var fault = assertThrows(IllegalArgumentException.class, () -> results.toJsonl(home.resolve("x.jsonl"), "b"));
        assertEquals("toJsonl: no column b; there are: a, n", fault.getMessage());
    }

    @Test void toJsonlWritesEachRowWithItsAnswer() throws Exception {
        ask("a").submit().results().toJsonl(home.resolve("out.jsonl"));

        assertEquals("{\"value\":\"a\",\"result\":{\"customId\":\"request-1\",\"template\":\"prompt-1\","
            + "\"model\":\"echo\",\"answeredBy\":\"echo\","
            + "\"outcome\":\"succeeded\",\"text\":\"a\"}}\n", Files.readString(home.resolve("out.jsonl")));
    }

    @Test void usageIsTheSumOfTheLines() {
        assertEquals(new Usage(5, 5, 0, 0), ask("a b", "c d e").submit().results().usage());
    }

    @Test void resultsAreGroupedByAProperty() {
        var byModel = ask("a", "b").model("x", "y").submit().results().by(Result::model);

        assertEquals(List.of("x", "y"), List.copyOf(byModel.keySet()));
        assertEquals(2, byModel.get("y").size());
    }

    @Test void filtersNest() {
        server.answer(body -> BatchServer.Reply.text("t").finishReason(body.toString().contains("cut") ? "length"
            : "stop"));
        var results = ask("a", "cut", "b").submit().results();

        assertEquals(2, results.succeeded().size());
        assertEquals(1, results.failed().only(Outcome.TRUNCATED).size());
        assertEquals(0, results.only(Outcome.REFUSED, Outcome.EXPIRED).size());
        assertEquals("t", results.failed().iterator().next().rawText());
    }

    @Test void anAnswerIsReadAsARecordWithOrWithoutAFence() {
        server.reply(text -> text.equals("plain") ? "{\"kind\":\"bug\",\"score\":2}"
            : "```json\n{\"kind\":\"x\",\"score\":3,\"more\":1}\n```");
        var results = ask("plain", "fenced").submit().results();

        assertEquals(List.of(new Label("bug", 2), new Label("x", 3)), results.as(Label.class).toList());
    }

    @Test void whatIsNoRecordIsLeftOutAndCounted() {
        server.reply(text -> text.equals("bad") ? "{\"kind\":[]}" : "Here: {\"kind\":\"bug\",\"score\":2}. Bye.");
        var results = ask("a", "bad").submit().results();

        var said = Printed.stderr(() -> assertEquals(List.of(new Label("bug", 2)), results.as(Label.class).toList()));

        assertEquals("as: request-2 is no Label: it is something else; it says: {\"kind\":[]}; 1 of 2 left out\n",
            said);
    }

    @Test void anAnswerThatIsNoRecordSaysWhatItIs() {
        server.reply(text -> "no json");

        var fault = assertThrows(IllegalStateException.class, () -> ask("a").submit().results().iterator().next()
            .as(Label.class));

        assertTrue(fault.getMessage().startsWith("as: request-1 is no Label: ") && fault.getMessage()
            .endsWith("; it says: no json"),
            fault.getMessage());
    }

    @Tag("C33")
    @Test void retrySendsWhatMayPassAndMergePutsItInPlace() {
        server.answer(body -> switch (body.at("/messages/0/content").asText()) {
            case "down" -> BatchServer.Reply.error(503, "overloaded", "busy");
            case "bad" -> BatchServer.Reply.error(400, "bad", "no");
            case "cut" -> BatchServer.Reply.text("c").finishReason("length");
            default -> BatchServer.Reply.text("fine");
        }).loseLine("request-5");
        var first = ask("ok", "down", "bad", "cut", "lost").customId("id {{value}}").submit().results();
        server.answer(body -> BatchServer.Reply.text("now"));

        var later = first.retry().quiet().submit().results();
        var merged = first.merge(later);

        assertEquals(List.of("id down", "id lost"), later.stream().map(Result::customId).toList());
        assertEquals(List.of("down", "lost"), later.stream().map(result -> result.row("value")).toList());
        assertEquals(List.of("fine", "now", "400 no", "cut off after 1 tokens; raise maxTokens(...)", "now"),
            merged.stream().map(result -> result.ok() ? result.text() : result.error()).toList());
        assertEquals(Map.of(Outcome.SUCCEEDED, 3L, Outcome.ERRORED, 1L, Outcome.TRUNCATED, 1L), merged.counts());
        assertEquals(5, merged.size());
    }

    @Test void whatWasChosenIsSentAgainWithNewSettings() {
        server.answer(body -> BatchServer.Reply.text("t").finishReason(body.path("max_completion_tokens").asInt() < 9
            ? "length" : "stop"));
        var first = ask("a", "b").maxTokens(5).submit().results();

        var draft = first.only(Outcome.TRUNCATED).retry().maxTokens(50).quiet();

        var line = draft.preview(1).lines().get(0);
        assertTrue(line.startsWith("{\"custom_id\":\"request-1-r2\""), line);
        assertTrue(line.endsWith("\"max_completion_tokens\":50}}"), line);
        assertEquals(2, first.merge(draft.submit().results()).succeeded().size());
    }

    @Test void aFilesOwnIdsAreNotMistakenForRounds() throws Exception {
        server.answer(body -> BatchServer.Reply.error(503, "overloaded", "busy"));
        var lines = Stream.of("a", "a-r1", "a-r2").map(id -> Guide.LINE.replace("request-1", id)).toList();
        var first = batch().provider(here()).quiet().requests(Files.write(home.resolve("r.jsonl"), lines)).submit()
            .results();
        server.answer(body -> BatchServer.Reply.text("now"));

        var merged = first.merge(first.retry().quiet().submit().results());

        assertEquals(List.of("a now", "a-r1 now", "a-r2 now"),
            merged.stream().map(result -> result.customId() + " " + result.text()).toList());
    }

    @Test void aRetryOfAnotherBatchIsNotMerged() {
        server.answer(body -> BatchServer.Reply.error(503, "overloaded", "busy"));
        var one = ask("a").name("one").submit().results();
        var two = ask("b").name("two").submit().results();

        var fault = assertThrows(IllegalArgumentException.class,
            () -> two.merge(one.retry().quiet().submit().results()));

        assertEquals("merge: one-retry is no retry of two; merge takes what retry() brought", fault.getMessage());
    }

    @Test void anotherModelAnswersInItsOwnName() {
        server.answer(body -> body.path("model").asText().equals("big") ? BatchServer.Reply.text("yes")
            : BatchServer.Reply.error(503, "overloaded", "busy"));
        var first = ask("a").maxTokens(5).submit().results();

        var later = first.retry().quiet().model("big").maxTokens(50);

        assertTrue(later.preview(1).toString().contains("\"max_completion_tokens\":50") && !later.preview(1).toString()
            .contains(":5,"));
        assertEquals("big", first.merge(later.submit().results()).iterator().next().model());
    }

    @Test void unevenRowsHaveEmptyCells() throws Exception {
        var uneven = rows(List.of(Map.of("a", 1), new java.util.TreeMap<>(Map.of("a", 2, "b", 3))));

        batch().provider(here()).quiet().model("m").prompts("{{a}}", uneven).submit().results()
            .toCsv(home.resolve("u.csv").toString(), "a", "b", "result.text");

        assertEquals("a,b,result.text\n1,,1\n2,3,2\n", Files.readString(home.resolve("u.csv")).replace("\r\n", "\n"));
    }

    @Tag("C33")
    @Test void eachRoundHasIdsOfItsOwn() {
        server.answer(body -> BatchServer.Reply.error(503, "overloaded", "busy"));
        var first = ask("a").submit().results();
        var second = first.merge(first.retry().quiet().submit().results());
        server.answer(body -> BatchServer.Reply.text("at last"));

        var draft = second.retry().quiet();

        assertTrue(draft.preview(1).toString().startsWith("{\"custom_id\":\"request-1-r3\""), draft.preview(1)
            .toString());
        assertEquals("at last", second.merge(draft.submit().results()).iterator().next().text());
    }

    @Test void aRetryThatCannotHelpIsASentence() {
        server.answer(body -> BatchServer.Reply.text("").refusal("no"));
        var first = ask("a").submit().results();

        assertEquals("retry: none of 1 failed requests may succeed next time (1 refused); only(outcome).retry() "
            + "sends "
            + "those all the same",
            assertThrows(IllegalStateException.class, first::retry).getMessage());
        assertEquals("retry: the requests are made already; system(...) would be ignored",
            assertThrows(IllegalStateException.class,
            () -> first.only(Outcome.REFUSED).retry().system("s").preview(1)).getMessage());
        assertEquals("merge: rows is no retry of rows; merge takes what retry() brought",
            assertThrows(IllegalArgumentException.class, () -> first.merge(first)).getMessage());
    }

    @Test void aColumnThatIsNotThereIsNamedWithThoseThatAre() {
        var result = ask("a").submit().results().iterator().next();

        assertEquals("row: no column id; it has: value", assertThrows(IllegalArgumentException.class,
            () -> result.row("id")).getMessage());
    }

    @Test void showDrawsATableAsWideAsTheTerminal() {
        var results = ask("short", "a long text that goes on and on until it no longer fits on one line of it").submit()
            .results();

        assertEquals("""
            id         value                    result
            ---------  -----------------------  ------------------------
            request-1  short                    short
            request-2  a long text that goes    a long text that goes on
                       on and on until it no    and on until it no
                       longer fits on one line  longer fits on one line
                       of it                    of it
            2 succeeded; 19 tokens in, 19 out
            """, shown(results));
    }

    @Test void showPutsTemplatesSideBySide() {
        var results = batch().provider(here()).quiet().model("m")
            .prompts(List.of(template("loud", "{{w}}!"), template("shy", "{{w}}?")),
            rows(Map.of("w", "hi"), Map.of("w", "ho"))).submit().results();

        assertEquals("""
            id         w   loud  shy
            ---------  --  ----  ---
            request-1  hi  hi!   hi?
            request-3  ho  ho!   ho?
            4 succeeded; 4 tokens in, 4 out
            """, shown(results));
    }

    @Test void showKeepsWideCharactersAlignedAndEscapesHarmless() {
        var results = ask("\u6f22\u5b57", "\u001b[31mred", "e\u0301").submit().results();

        assertEquals("""
            id         value    result
            ---------  -------  -------
            request-1  \u6f22\u5b57     \u6f22\u5b57
            request-2  [31mred  [31mred
            request-3  e\u0301        e\u0301
            3 succeeded; 3 tokens in, 3 out
            """, shown(results));
    }

    @Test void showHasNoColumnForWhatNoRowHas() {
        var text = Printed.stdout(() -> batch().provider(here()).quiet().model("m")
            .prompts("{{text}} in {{#language}}{{.}}{{/language}}{{^language}}Spanish{{/language}}",
                rows(Map.of("text", "x")))
            .submit().results().show());

        assertTrue(text.startsWith("id         text  result\n"), text);
    }

    @Test void accuracyCountsARequestWithoutAnAnswerAsWrong() {
        server.answer(body -> body.toString().contains("c?") ? BatchServer.Reply.error(500, "x", "broke")
            : BatchServer.Reply.text(" World.\n"));

        var results = batch().provider(here()).quiet().model("m")
            .prompts("{{q}}", rows(List.of(Map.of("q", "a?", "label", "world"), Map.of("q", "b?", "label", "Sports"),
                Map.of("q", "c?", "label", "World"), Map.of("q", "d?", "label", "World"))))
            .submit().results();

        assertEquals("0.500 (95%: 0.150 to 0.850), 2 of 4", results.accuracy("label").toString());
        assertEquals(0.5, results.accuracy("label").value());
        assertEquals("row: no column lable; it has: label, q",
            assertThrows(IllegalArgumentException.class, () -> results.accuracy("lable")).getMessage());
        assertEquals("accuracy: there are no results", assertThrows(IllegalStateException.class,
            () -> results.only(Outcome.EXPIRED).accuracy("label")).getMessage());
    }

    @Test void confusionCountsEachAnswerByWhatIsRight() {
        server.answer(body -> switch (body.at("/messages/0/content").asText()) {
            case "a" -> BatchServer.Reply.text("Happy.");
            case "d" -> BatchServer.Reply.text("no idea");
            case "e" -> BatchServer.Reply.error(500, "x", "broke");
            default -> BatchServer.Reply.text("sad");
        });
        var labels = Map.of("a", "happy", "b", "happy", "c", "sad", "d", "Sad", "e", "sad");
        var results = batch().provider(here()).quiet().model("m").prompts("{{q}}",
            rows(labels.entrySet().stream().sorted(Map.Entry.comparingByKey())
                .map(row -> Map.of("q", row.getKey(), "label", row.getValue())).toList())).submit().results();

        var confusion = results.confusion("label");

        assertEquals("""
            label  happy  sad  (errored)  no idea
            -----  -----  ---  ---------  -------
            happy  1      1    .          .
            sad    .      1    1          1
            right: 0.400 (95%: 0.118 to 0.769), 2 of 5""", confusion.toString());
        assertEquals(results.accuracy("label"), confusion.accuracy());
        assertTrue(confusion.toHtml().contains(">no idea<"), confusion.toHtml());
        assertEquals("confusion: there are no results", assertThrows(IllegalStateException.class,
            () -> results.only(Outcome.EXPIRED).confusion("label")).getMessage());
    }

    @Test void groupsPrintAsBars() {
        server.reply(text -> text.matches("[ab]") ? "\u6f22" : text.equals("c") ? "sad" : "it depends on");

        var groups = ask("a", "b", "c", "d").submit().results().by(Result::text);

        assertEquals("\u6f22             " + "\u2588".repeat(23) + "  2 (50.0%)\nsad            " + "\u2588".repeat(12)
            + "  1 (25.0%)\nit depends on  " + "\u2588".repeat(12) + "  1 (25.0%)", groups.toString());
        assertEquals(2, groups.get("\u6f22").size());
    }

    @Test void showSaysHowManyMoreThereAre() {
        var text = Printed.stdout(() -> ask("a", "b", "c").submit().results().show(1));

        assertTrue(text.endsWith("2 more; toCsv(file) writes them all\n3 succeeded; 3 tokens in, 3 out\n"), text);
    }

    @Test void theModelThatTheResponseNamesIsSaidWhereItIsAnother() throws Exception {
        server.rewrite(named("m", "m-2026-01-01"));
        var results = batch().provider(here()).quiet().model("m").prompts("{{value}}", rows("a", "b")).submit()
            .results();

        assertEquals(List.of("m by m-2026-01-01", "m by m-2026-01-01"),
            results.stream().map(result -> result.model() + " by " + result.answeredBy()).toList());
        assertEquals("""
            id         value  result
            ---------  -----  ------
            request-1  a      a
            request-2  b      b
            m was answered by m-2026-01-01
            2 succeeded; 2 tokens in, 2 out
            """, shown(results));
        results.toCsv(home.resolve("m.csv").toString(), "result.model", "result.answeredBy");
        assertEquals(List.of("result.model,result.answeredBy", "m,m-2026-01-01", "m,m-2026-01-01"),
            Files.readAllLines(home.resolve("m.csv")));
    }

    @Test void whatAModelThoughtIsNoPartOfItsAnswer() {
        server.reply(text -> "<think>{\"kind\": \"x\"}, or so?</think>\n" + text);
        var json = ask("```json\n{\"kind\":\"bug\",\"score\":2}\n```").submit().results();
        var sums = batch().provider(here()).quiet().model("m").prompts("{{a}}",
            rows(Map.of("a", "four", "label", "Four"), Map.of("a", "five", "label", "six"))).submit().results();

        assertEquals(List.of(new Label("bug", 2)), json.as(Label.class).toList());
        assertEquals(0.5, sums.accuracy("label").value());
        assertTrue(batch().model("m").prompts("{{result.text}}!", sums).preview(1).toString().contains("\"four!\""));
        assertEquals("{\"kind\": \"x\"}, or so?", sums.iterator().next().reasoning());
    }

    @Test void aTextIsNoVector() {
        assertEquals("vector: request-1 is no embedding; it says: a", assertThrows(IllegalStateException.class,
            () -> ask("a").submit().results().iterator().next().vector()).getMessage());
    }

    /** It is known only once they have been read; the header stands before them. */
    @Test void moreAnswersThanWereAskedForHaveAColumnEachToo() throws Exception {
        server.rewrite(lines -> lines.stream().map(line -> line.contains("request-2") ? line.replaceAll(
            "\\{\"index\":0.*?(?=]),?", "{\"message\":{\"content\":\"one\"},\"finish_reason\":\"stop\"},"
                + "{\"message\":{\"content\":\"two\"},\"finish_reason\":\"stop\"}") : line).toList());
        var results = ask("a", "b").submit().results();

        results.toCsv(home.resolve("more.csv"));

        assertEquals(List.of("value,result.customId,result.template,result.model,result.answeredBy,result.outcome,"
            + "result.text,result.text2,result.error", "a,request-1,prompt-1,echo,echo,succeeded,a,,",
            "b,request-2,prompt-1,echo,echo,succeeded,one,two,"), Files.readAllLines(home.resolve("more.csv")));
        assertEquals(Map.of(Outcome.SUCCEEDED, 2L), results.counts());
    }

    @Test void eachOfSeveralAnswersHasAColumn() throws Exception {
        server.rewrite(lines -> lines.stream().map(line -> line.replaceAll("\\{\"index\":0.*?(?=]),?",
            "{\"message\":{\"content\":\"one\"},\"finish_reason\":\"stop\"},"
                + "{\"message\":{\"content\":\"two\"},\"finish_reason\":\"stop\"}")).toList());
        var results = ask("a").with("n", 2).submit().results();

        assertEquals(List.of(List.of("one", "two")), results.stream().map(Result::texts).toList());
        results.toCsv(home.resolve("n.csv"));
        assertEquals(List.of("value,result.customId,result.template,result.model,result.answeredBy,result.outcome,"
            + "result.text,result.text2,result.error", "a,request-1,prompt-1,echo,echo,succeeded,one,two,"),
            Files.readAllLines(home.resolve("n.csv")));
        results.toJsonl(home.resolve("n.jsonl"));
        assertTrue(Files.readString(home.resolve("n.jsonl")).endsWith(
            "\"outcome\":\"succeeded\",\"text\":\"one\",\"texts\":[\"one\",\"two\"]}}\n"));
        assertEquals("""
            id         value  result
            ---------  -----  ------
            request-1  a      1: one
                              2: two
            1 succeeded; 1 tokens in, 2 out
            """, shown(results));
    }

    @Test void whatCameOfAnAnswerThatIsNotWholeHasAColumn() throws Exception {
        server.answer(body -> body.toString().contains("cut") ? BatchServer.Reply.text("<think>hm</think>half")
            .finishReason("length") : BatchServer.Reply.text("whole"));
        var results = ask("a", "cut").submit().results();

        results.toCsv(home.resolve("raw.csv").toString(), "value", "result.text", "result.rawText", "result.reasoning");
        assertEquals(List.of("value,result.text,result.rawText,result.reasoning", "a,whole,whole,", "cut,,half,hm"),
            Files.readAllLines(home.resolve("raw.csv")));
        results.toCsv(home.resolve("all.csv"), Set.of(CsvOption.RAW));
        assertTrue(Files.readString(home.resolve("all.csv")).startsWith("value,result.customId,")
            && Files.readAllLines(home.resolve("all.csv")).get(0).endsWith(",result.error,result.rawText"));
        results.toJsonl(home.resolve("raw.jsonl"));
        assertTrue(Files.readString(home.resolve("raw.jsonl")).endsWith("\"outcome\":\"truncated\",\"error\":\"cut off "
            + "after 1 tokens; raise maxTokens(...)\",\"rawText\":\"half\",\"reasoning\":\"hm\"}}\n"));
    }

    @Test void severalModelsThatAnsweredForOneHaveAColumn() {
        server.rewrite(lines -> lines.stream().map(line -> line.contains("\"content\":\"b\"")
            ? line.replace("\"model\":\"echo\"", "\"model\":\"other\"") : line).toList());

        assertEquals("""
            id         value  answered by  result
            ---------  -----  -----------  ------
            request-1  a      echo         a
            request-2  b      other        b
            echo was answered by echo, other
            2 succeeded; 2 tokens in, 2 out
            """, shown(ask("a", "b").submit().results()));
    }

    @Test void modelsSideBySideSayOnceWhoAnsweredThem() {
        server.rewrite(named("[xy]", "one"));

        assertEquals("""
            id         value  x  y
            ---------  -----  -  -
            request-1  a      a  a
            x was answered by one; y was answered by one
            2 succeeded; 2 tokens in, 2 out
            """, shown(ask("a").model("x", "y").submit().results()));
    }

    @Test void whoAnsweredIsUnknownWhereNoResponseNamesAModel() {
        server.answer(body -> BatchServer.Reply.error(503, "overloaded", "busy"));

        var results = ask("a").submit().results();

        assertEquals("", results.iterator().next().answeredBy());
        assertTrue(shown(results).endsWith("busy\n1 errored; no tokens counted\n"), shown(results));
    }

    private static UnaryOperator<List<String>> named(String asked, String answers) {
        return lines -> lines.stream().map(line -> line.replaceAll("\"model\":\"" + asked + "\"",
            "\"model\":\"" + answers + "\"")).toList();
    }

    @Test void theTextOfResultsIsOneLine() {
        assertEquals("Results[rows 2 succeeded]", ask("a", "b").submit().results().toString());
    }

    private static String shown(Results results) { return Printed.stdout(results::show); }

    private Provider here() { return Provider.of(server.baseUrl()); }

    private Draft ask(String... texts) {
        return batch().provider(here()).quiet().model("echo").prompts("{{value}}", rows(List.of(texts)));
    }
}
