package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Result;
import sheaf.Vocabulary.Outcome;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Reply;
import sheaf.support.Printed;

/** An answer that does not fit is asked for again with what was wrong, and no round of that is paid twice. */
class UnfitAnswersTest {
    @AutoClose final BatchServer server = BatchServer.start();
    final List<JsonNode> bodies = Collections.synchronizedList(new ArrayList<>());
    @TempDir Path home;

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

    @Test void itIsSentAgainWithTheAnswerAndWhatWasWrong() {
        answering("purple", "happy");

        var results = ask("a").choice("happy", "mixed").repair(2).submit().results();

        assertEquals("happy", results.iterator().next().choice());
        assertEquals(2, bodies.size());
        assertEquals("[system: Choose one of these labels:\nhappy\nmixed, user: a, assistant: purple, user: This "
            + "does not "
            + "fit: the answer is \"purple\", not one of happy, mixed. Answer again. Choose one of these "
            + "labels:\nhappy\n"
            + "mixed]", messages(bodies.get(1)).toString());
        assertEquals(bodies.get(0).path("response_format"), bodies.get(1).path("response_format"));
    }

    @Test void eachRoundAddsItsOwnTurns() {
        answering("{\"n\":0}", "{\"n\":\"x\"}", "{\"n\":2}");

        var results = ask("a").returning("n", "{\"type\":\"object\",\"properties\":{\"n\":"
            + "{\"type\":\"integer\",\"minimum\":1}}}")
            .repair(3).submit().results();

        assertEquals("{\"n\":2}", results.iterator().next().text());
        assertEquals(List.of("user: a", "assistant: {\"n\":0}", "user: This does not fit: $.n is 0, less than 1. "
            + "Answer "
            + "again, with JSON alone that fits the schema.", "assistant: {\"n\":\"x\"}", "user: This does not fit: "
            + "$.n is "
            + "\"x\", not an integer. Answer again, with JSON alone that fits the schema."), messages(bodies.get(2)));
    }

    @Test void whatStaysUnfitAfterAllRoundsSaysWhatWasWrongLast() {
        answering("purple", "blue", "red", "green");

        var results = ask("a").choice("happy", "mixed").repair(2).submit().results();

        assertEquals("the answer is \"red\", not one of happy, mixed", results.iterator().next().error());
        assertEquals("red", results.iterator().next().rawText());
        assertEquals(3, bodies.size());
    }

    @Test void anAnswerStaysWhereAskingAgainBringsNoneAndTheErrorSaysBoth() {
        server.answer(body -> {
            bodies.add(body);
            return bodies.size() == 1 ? Reply.text("purple") : Reply.error(503, "x", "overloaded");
        });

        var result = ask("a").choice("happy", "mixed").repair(1).submit().results().iterator().next();

        assertEquals(List.of(Outcome.INVALID, "purple"), List.of(result.outcome(), result.rawText()));
        assertEquals("the answer is \"purple\", not one of happy, mixed; asked again: 503 overloaded", result.error());
    }

    /** What a repair added to the prompt is not what the row asks. */
    @Test void thePageShowsTheQuestionOfTheRowBesideTheAnswerThatFits() throws IOException {
        answering("purple", "happy");
        var page = home.resolve("page.html");

        ask("a").choice("happy", "mixed").repair(1).submit().results().toHtml(page);

        assertTrue(Files.readString(page).contains("\"p\":\"a\",\"a\":\"happy\""));
    }

    @Test void theSecondRunOfTheScriptPaysNothing() {
        answering("purple", "blue", "happy");
        var draft = ask("a").choice("happy", "mixed").repair(2);
        draft.submit().results();

        assertEquals("happy", draft.submit().results().iterator().next().choice());
        assertEquals(3, bodies.size());
    }

    /** The rounds before are found by their question, in which their turns do not count. */
    @Test void moreRoundsGoOnFromTheLast() {
        answering("purple", "blue", "happy");
        ask("a").choice("happy", "mixed").repair(1).submit().results();

        var results = ask("a").choice("happy", "mixed").repair(2).submit().results();

        assertEquals("happy", results.iterator().next().choice());
        assertEquals(3, bodies.size());
        assertEquals("assistant: blue", messages(bodies.get(2)).get(4));
    }

    @Test void aRoundThatBrokeIsSentAgainAsItWas() {
        server.answer(body -> {
            bodies.add(body);
            return bodies.size() == 2 ? Reply.error(503, "x", "overloaded")
                : Reply.text(bodies.size() == 1 ? "purple" : "happy");
        });

        ask("a").choice("happy", "mixed").repair(3).submit().results();

        assertEquals(bodies.get(1), bodies.get(2));
        assertEquals(3, bodies.size());
    }

    @Test void anAnswerThatFailsTheUsersOwnCheckIsRepairedAndPaidOnce() {
        answering("long", "s");
        var draft = ask("a").validate("more than one letter", result -> result.text().length() == 1).repair(1);

        assertEquals("s", draft.submit().results().iterator().next().text());
        assertEquals("s", draft.submit().results().iterator().next().text());
        assertEquals(List.of("user: a", "assistant: long", "user: This does not fit: more than one letter. Answer "
            + "again."),
            messages(bodies.get(1)));
        assertEquals(2, bodies.size());
    }

    @Test void whoReadsTheAnswersWithoutTheCheckIsToldThatThereIsOne() {
        answering("long", "long");
        ask("a").name("checked").validate("too long", result -> result.text().length() == 1).submit().results();
        ask("a").name("free").submit().results();

        assertEquals("results: the script that sent checked checks the answers (\"too long\"), which is not done here: "
            + "what it finds invalid is shown as it came; run that script for its verdicts\n",
            Printed.stderr(() -> assertEquals(1, Sheaf.batch("checked").results().succeeded().size())));
        assertEquals("", Printed.stderr(() -> Sheaf.batch("free").results()));
    }

    @Test void aGrownDatasetTakesOverWhatWasRepaired() {
        server.answer(body -> {
            bodies.add(body);
            return Reply.text(body.path("messages").size() > 2 ? "s" : "long");
        });
        var isShort = (java.util.function.Predicate<Result>) result -> result.text().length() == 1;
        ask("a").name("grown").validate("too long", isShort).repair(1).submit().results();

        var results = ask("a", "b").name("grown").validate("too long", isShort).repair(1).submit().results();

        assertEquals(List.of("s", "s"), results.stream().map(Result::text).toList());
        assertEquals(4, bodies.size());
    }

    @Test void retryAsksTheFirstQuestionAgain() {
        answering("purple", "blue", "happy");
        var results = ask("a").choice("happy", "mixed").repair(1).submit().results();

        var merged = results.merge(results.retry().submit().results());

        assertEquals("happy", merged.iterator().next().choice());
        assertEquals(bodies.get(0), bodies.get(2));
    }

    @Test void withoutRepairNothingIsSentAgain() {
        answering("purple");

        assertEquals(Map.of(Outcome.INVALID, 1L), ask("a").choice("happy", "mixed").submit().results().counts());
        assertEquals(1, bodies.size());
    }

    @Test void onlyTheUnfitOnesAreSentAgain() {
        var tries = new ConcurrentHashMap<String, Integer>();
        server.answer(body -> {
            var prompt = body.at("/messages/1/content").asText();
            return Reply.text(tries.merge(prompt, 1, Integer::sum) == 1 && prompt.equals("b") ? "purple" : "happy");
        });

        var results = ask("a", "b", "c").choice("happy", "mixed").repair(2).submit().results();

        assertEquals(Map.of("a", 1, "b", 2, "c", 1), tries);
        assertEquals(Map.of(Outcome.SUCCEEDED, 3L), results.counts());
        assertTrue(results.usage().total() > 0);
    }

    private void answering(String... texts) {
        server.answer(body -> {
            bodies.add(body);
            return Reply.text(texts[bodies.size() - 1]);
        });
    }

    private static List<String> messages(JsonNode body) {
        var messages = new ArrayList<String>();
        body.path("messages").forEach(message ->
            messages.add(message.path("role").asText() + ": " + message.path("content").asText()));
        return messages;
    }

    private Draft ask(String... texts) {
        return batch().provider(Provider.of(server.baseUrl())).quiet().model("echo")
            .prompts("{{value}}", rows(List.of(texts)));
    }
}
