package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Result;
import sheaf.Sheaf.Results;
import sheaf.Vocabulary.BatchException;
import sheaf.Vocabulary.Outcome;
import sheaf.Vocabulary.RequestCounts;
import sheaf.Vocabulary.Status;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Fault;
import sheaf.server.BatchServer.Reply;
import sheaf.support.Printed;
import sheaf.support.RawClient;

/** What one provider does not answer another one may. */
class FallbackTest {
    private static final String CREATE = "POST /v1/batches";
    private static final String NO_MODEL =
        "{\"error\": {\"message\": \"no such model\", \"code\": \"model_not_found\"}}";
    private static final String CLOSED = "{\"error\": {\"message\": \"closed\", \"code\": \"closed\"}}";
    private final BatchServer first = BatchServer.start();
    private final BatchServer second = BatchServer.start();
    private final List<String> askedFirst = Collections.synchronizedList(new ArrayList<>());
    private final List<String> askedSecond = Collections.synchronizedList(new ArrayList<>());
    @TempDir Path home;

    @BeforeEach void ownHome() {
        System.setProperty("SHEAF_HOME", home.toString());
        answering(first, askedFirst, "first");
        answering(second, askedSecond, "second");
    }

    @AfterEach void stop() {
        first.close();
        second.close();
    }

    private static void answering(BatchServer server, List<String> asked, String name) {
        server.answer(body -> {
            asked.add(prompt(body));
            return Reply.text(name + ", by " + body.path("model").asText());
        });
    }

    private void breaking(String broken) {
        first.answer(body -> {
            askedFirst.add(prompt(body));
            return broken.contains(prompt(body)) ? Reply.error(503, "overloaded", "too busy") : Reply.text("first");
        });
    }

    private static String prompt(JsonNode body) { return body.at("/messages/0/content").asText(); }

    @Test void whatTheFirstRefusesTheSecondAnswersUnderItsOwnModelAndIsPaidOnce() {
        breaking("b");

        assertEquals("a: first, b: second, by other, c: first", answers(merged()));
        assertEquals("a: first, b: second, by other, c: first", answers(merged()));

        assertEquals(1, batches(first));
        assertEquals(1, batches(second));
    }

    private Results merged() {
        var results = ask("a", "b", "c").submit().await().results();
        var fallback = results.failed().retry().provider(second.baseUrl()).model("other").quiet();
        return results.merge(fallback.submit().await().results());
    }

    @Test void whatFailsAtTheFirstIsAnsweredByTheFallbackAndPaidOnce() {
        breaking("b");

        for (int run = 1; run <= 3; run++)
            assertEquals("a: first, b: second, by other, c: first", answers(fallingBack("a", "b", "c")
                .submit().results()));

        assertEquals(List.of("a", "b", "c"), sorted(askedFirst));
        assertEquals(List.of("b"), askedSecond);
    }

    @Test void whatFindsNoRoomIsAskedThereAtOnceAndPaidOnce() {
        first.pause();
        var draft = fallingBack("a", "b", "c").provider(oneAtATime());

        var batch = draft.submit();

        assertEquals(1, batches(first));
        assertEquals(1, batches(second));
        RawClient.await(() -> askedSecond.size() == 2);
        first.resume();
        assertEquals("a: first, by echo, b: second, by other, c: second, by other", answers(batch.results()));
        assertEquals("a: first, by echo, b: second, by other, c: second, by other", answers(draft.submit().results()));
        assertEquals(List.of("a"), askedFirst);
        assertEquals(List.of("b", "c"), sorted(askedSecond));
    }

    @Test void aQueueThatFillsWhileItIsWaitedForGivesItsRestToTheFallback() {
        first.on(CREATE, Fault.status(429).body(QueueTest.FULL));

        var results = fallingBack("a", "b").provider(onePartEach()).submit().results();

        assertEquals("a: second, by other, b: second, by other", answers(results));
        assertEquals(List.of(), askedFirst);
    }

    @Test void whatItsProviderTookAndFailedForWantOfRoomGoesThereToo() {
        first.failOver(3).pause();
        new RawClient(first::baseUrl).create(RawClient.lines("two words"));

        assertEquals("a b: second, by other", answers(fallingBack("a b").submit().results()));
        assertEquals(List.of(), askedFirst);
    }

    @Test void aPartThatIsRefusedIsAskedThereAndTheRestIsNot() {
        var draft = fallingBack("a", "b", "c").provider(onePartEach());
        first.on(CREATE, Fault.status(400).body(NO_MODEL));

        assertEquals("a: second, by other, b: first, by echo, c: first, by echo", answers(draft.submit().results()));
        assertEquals(List.of("b", "c"), sorted(askedFirst));
        assertEquals(List.of("a"), askedSecond);
    }

    @Test void aBatchThatIsRefusedWholeIsAskedThereAndTriedAtTheFirstNoMore() {
        first.on(CREATE, Fault.status(400).body(NO_MODEL));

        assertEquals("a: second, by other, b: second, by other", answers(fallingBack("a", "b").submit().results()));
        assertEquals("a: second, by other, b: second, by other", answers(fallingBack("a", "b").submit().results()));

        assertEquals(0, batches(first));
        assertEquals(List.of("a", "b"), sorted(askedSecond));
    }

    @Test void whatValidationFindsWrongIsAskedThere() {
        first.models("another");

        assertEquals("a: second, by other", answers(fallingBack("a").submit().results()));
        assertEquals(List.of(), askedFirst);
    }

    @Test void aFallbackThatRefusesTooLeavesWhatTheFirstSaidAndBothAreNamed() {
        first.on(CREATE, Fault.status(400).body(NO_MODEL));
        second.on(CREATE, Fault.status(400).body(CLOSED), Fault.status(400).body(CLOSED));

        var draft = loud("a", "b").provider(onePartEach()).fallback(second.baseUrl(), "other");

        var said = Printed.stderr(() -> assertEquals("a: errored, b: first, by echo", answers(draft.submit().results())));

        assertTrue(said.contains("fallback: submit: POST " + second.baseUrl() + "/batches: 400 closed; 1 request "
            + "keeps what " + first.baseUrl() + " said\n"), said);
    }

    private Draft fallingBack(String... values) { return ask(values).fallback(second.baseUrl(), "other"); }

    private Draft ask(String... values) { return loud(values).quiet(); }

    private Draft loud(String... values) {
        return batch().provider(first.baseUrl()).model("echo").name("both")
            .prompts("{{value}}", rows(List.of(values)));
    }

    private Provider onePartEach() { return Provider.of(first.baseUrl()).limits(1, 10_000); }

    private Provider oneAtATime() { return onePartEach().queue(1, Long.MAX_VALUE); }

    private static String answers(Results results) {
        return results.stream().map(result -> result.row("value") + ": "
            + (result.ok() ? result.text() : result.outcome().toString())).collect(Collectors.joining(", "));
    }

    private static List<String> sorted(List<String> asked) { return asked.stream().sorted().toList(); }

    private static int batches(BatchServer server) {
        return RawClient.json(new RawClient(server::baseUrl).get("/batches")).get("data").size();
    }
}
