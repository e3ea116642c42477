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
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Results;
import sheaf.Vocabulary.BatchException;
import sheaf.Vocabulary.Dialect;
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

        var said = Printed.stderr(() ->
            assertEquals("a: errored, b: first, by echo", answers(draft.submit().results())));

        assertTrue(said.contains("fallback: submit: POST " + second.baseUrl() + "/batches: 400 closed; what was to "
            + "go there keeps what " + first.baseUrl() + " said\n"), said);
    }

    @Test void aBatchThatBothRefuseWholeNamesBoth() {
        first.on(CREATE, Fault.status(400).body(NO_MODEL));
        second.on(CREATE, Fault.status(400).body(CLOSED));

        var refusal = assertThrows(BatchException.class, () -> fallingBack("a").submit().await());

        assertEquals("await: " + refusal.batchId() + " failed; submit: POST " + first.baseUrl()
            + "/batches: 400 no such model; fallback: submit: POST " + second.baseUrl()
            + "/batches: 400 closed", refusal.getMessage());
        assertEquals("a: first, by echo", answers(fallingBack("a").submit().results()));
        assertEquals(List.of(), askedSecond);
    }

    @Test void whatIsGivenUpWaitsForRoomAgainIfNobodyTakesIt() {
        second.on(CREATE, Fault.status(400).body(CLOSED));

        assertEquals("a: first, by echo, b: first, by echo", answers(fallingBack("a", "b").provider(oneAtATime())
            .submit().results()));
        assertEquals(List.of(), askedSecond);
    }

    @Test void whatIsWrongAtTheFallbackTooIsSaidOfBoth() {
        breaking("b");
        second.answer(body -> Reply.error(400, "long", "too long"));

        var results = fallingBack("a", "b").submit().results();

        assertEquals("503 too busy; asked at " + second.baseUrl() + ": 400 too long",
            results.failed().iterator().next().error());
    }

    @Test void grownDataAsksOnlyWhatIsNewOfBoth() {
        breaking("b");
        fallingBack("a", "b").submit().results();

        assertEquals("a: first, b: second, by other, c: first", answers(fallingBack("a", "b", "c").submit().results()));
        assertEquals(List.of("a", "b", "c"), sorted(askedFirst));
        assertEquals(List.of("b"), askedSecond);
    }

    @Test void grownDataAsksNothingAnewThatTheFallbackAnsweredAlone() {
        first.on(CREATE, Fault.status(400).body(NO_MODEL));
        fallingBack("a", "b").submit().results();

        assertEquals("a: second, by other, b: second, by other, c: first, by echo",
            answers(fallingBack("a", "b", "c").submit().results()));
        assertEquals(List.of("c"), askedFirst);
        assertEquals(List.of("a", "b"), sorted(askedSecond));
    }

    @Test void repairAsksTheFirstAgainAndTheFallbackWhatIsLeft() {
        breaking("b");
        var draft = fallingBack("a", "b").repair(2);

        for (int run = 1; run <= 2; run++)
            assertEquals("a: first, b: second, by other", answers(draft.submit().results()));

        assertEquals(List.of("a", "b", "b", "b"), sorted(askedFirst));
        assertEquals(List.of("b"), askedSecond);
    }

    @Test void repairSendsNothingToTheFirstThatTheFallbackHas() {
        second.answer(body -> Reply.error(503, "overloaded", "too busy"));
        first.on(CREATE, Fault.status(400).body(NO_MODEL));
        var draft = fallingBack("a", "b").provider(onePartEach()).repair(3);

        for (int run = 1; run <= 2; run++)
            assertEquals("a: errored, b: first, by echo", answers(draft.submit().results()));

        assertEquals(List.of("b"), askedFirst);
    }

    @Test void aBatchIsOverOnceBothAre() {
        second.pause();
        var batch = fallingBack("a", "b", "c").provider(oneAtATime()).submit();

        RawClient.await(() -> batch.requestCounts().completed() == 1);
        RawClient.await(() -> batch.status().equals(Status.IN_PROGRESS));

        assertEquals(new RequestCounts(3, 1, 0), batch.requestCounts());
        assertEquals(Status.IN_PROGRESS, Sheaf.batch("both").status());
        assertThrows(IllegalStateException.class, () -> Sheaf.batch("both").await(Duration.ofMillis(200)));
        assertThrows(IllegalStateException.class, batch::delete);
        second.resume();
        assertEquals("a: first, by echo, b: second, by other, c: second, by other",
            answers(Sheaf.batch(batch.id()).results()));
        assertEquals(Status.COMPLETED, batch.status());
    }

    @Test void cancelStopsBothAndNothingIsSentAfterIt() {
        first.pause();
        second.pause();
        var batch = fallingBack("a", "b", "c").provider(oneAtATime()).submit().cancel();
        first.resume();
        second.resume();

        batch.await();

        assertEquals(Status.CANCELLED, batch.status());
        assertEquals("a: cancelled, b: cancelled, c: cancelled", answers(batch.results()));
        assertEquals(List.of(), Stream.concat(askedFirst.stream(), askedSecond.stream()).toList());
    }

    @Test void whatWasOnlyUploadedIsAskedWhereThereIsRoomOnceItIsSubmitted() {
        var draft = fallingBack("a", "b").provider(oneAtATime());

        draft.upload();

        assertEquals(0, batches(first) + batches(second));
        assertEquals("a: first, by echo, b: second, by other", answers(draft.submit().results()));
        assertEquals(List.of("a", "b"), Stream.concat(askedFirst.stream(), askedSecond.stream()).toList());
    }

    @Test void aRunWithoutTheFallbackTakesWhatThatHasAnswered() {
        var draft = ask("a", "b").provider(oneAtATime());
        draft.fallback(second.baseUrl(), "other").submit().results();

        assertEquals("a: first, by echo, b: second, by other", answers(draft.submit().results()));
        assertEquals(List.of("a", "b"), Stream.concat(askedFirst.stream(), askedSecond.stream()).toList());
    }

    @Test void rowsThatSayTheSameAreAskedOnceAndAllAnswered() {
        first.on(CREATE, Fault.status(400).body(NO_MODEL));

        assertEquals("a: second, by other, b: second, by other, a: second, by other",
            answers(fallingBack("a", "b", "a").distinct().submit().results()));
        assertEquals(List.of("a", "b"), sorted(askedSecond));
    }

    @Test void theBudgetHoldsForBoth() {
        first.answer(body -> Reply.text("word ".repeat(100)));
        var draft = fallingBack("a", "b").maxTokens(100).choice("second, by other", "none").price(1, 10_000);

        assertEquals("a: invalid, b: invalid", answers(draft.budget(2.5).submit().results()));
        assertEquals(List.of(), askedSecond);
        assertEquals("a: second, by other, b: second, by other", answers(draft.budget(4.5).submit().results()));
    }

    @Test void theTokenLimitIsCalledAsEachProviderHasIt() {
        var bodies = Collections.synchronizedList(new ArrayList<JsonNode>());
        breaking("a");
        second.answer(body -> {
            bodies.add(body);
            return Reply.text("second");
        });
        var other = Provider.of(second.baseUrl()).dialect(new Dialect(false, "max_tokens"));

        ask("a").maxTokens(7).fallback(other, null).submit().results();

        assertEquals(List.of("max_tokens", "messages", "model"), RawClient.names(bodies.get(0)).stream().sorted(
            Comparator.comparing(String::length).reversed()).toList());
    }

    @Test void costTellsWhatWasPaidToEach() {
        breaking("b");

        var cost = ask("a", "b").fallback(second.baseUrl()).submit().results().cost();

        assertEquals(List.of(first.baseUrl() + " echo 1", second.baseUrl() + " echo 1"), cost.models().stream()
            .map(model -> model.provider() + " " + model.model() + " " + model.requests()).toList());
        assertTrue(cost.toString().startsWith("provider "), cost.toString());
    }

    @Test void whatTheFallbackWasPaidIsToldByItsOwnPriceWhereItsAnswersAreTakenOver() throws IOException {
        var prices = home.resolve("prices.csv");
        Files.writeString(prices, "model,input,output\necho,0,1000\nother,0,5000\n");
        System.setProperty("SHEAF_PRICES", prices.toString());
        try {
            breaking("b");
            var paid = fallingBack("a", "b").submit().results().cost().dollars().orElseThrow();
            fallingBack("a", "b", "c").submit().results();
            var twice = fallingBack("a", "b", "c", "d").submit().results().cost();

            assertEquals(3, twice.before());
            assertEquals(paid + 0.001, twice.dollarsBefore().orElseThrow(), 1e-9, "c is one token");
        } finally {
            System.clearProperty("SHEAF_PRICES");
        }
    }

    @Test void theListOfWhatIsKeptTellsWhatBelongsTogether() {
        breaking("b");
        var batch = fallingBack("a", "b").submit();
        batch.results();

        assertTrue(Sheaf.kept().toString().contains(second.baseUrl() + ", for " + batch.folder().getFileName()),
            Sheaf.kept().toString());
    }

    @Test void whoeverWaitsForTheSameBatchSendsNothingTwice() throws InterruptedException {
        first.pause();
        second.pause();
        var drafts = Stream.of(1, 2, 3).map(any -> fallingBack("a", "b", "c", "d").provider(oneAtATime())).toList();
        var said = Collections.synchronizedSet(new HashSet<String>());
        var waits = drafts.stream().map(draft -> new Thread(() ->
            said.add(answers(draft.submit().results())))).toList();
        waits.forEach(Thread::start);
        RawClient.await(() -> batches(second) > 0);
        first.resume();
        second.resume();
        for (var wait : waits) wait.join(60_000);

        assertEquals(Set.of("a: first, by echo, b: second, by other, c: second, by other, d: second, by other"), said);
        assertEquals(List.of("a"), askedFirst);
        assertEquals(List.of("b", "c", "d"), sorted(askedSecond));
    }

    @Test void whatWaitsForRoomAtTheFallbackTooIsItsOwn() {
        first.pause();
        second.on(CREATE, Fault.status(429).body(QueueTest.FULL));
        var draft = fallingBack("a", "b").provider(oneAtATime());
        draft.submit();
        first.resume();

        assertEquals("a: first, by echo, b: second, by other", answers(draft.submit().results()));
        assertEquals(List.of("a"), askedFirst);
        assertEquals(List.of("b"), askedSecond);
    }

    @Test void grownDataWaitsForWhatIsAtTheFallback() {
        second.pause();
        fallingBack("a", "b").provider(oneAtATime()).submit();
        RawClient.await(() -> askedFirst.size() == 1);

        var fault = assertThrows(IllegalStateException.class, () -> fallingBack("a", "b", "c").submit());

        assertTrue(fault.getMessage().contains("of these; await it first"), fault.getMessage());
        assertEquals(List.of("a"), askedFirst);
    }

    @Test void aFallbackWhoseAnswerToACreateIsLostIsNotAskedTwice() {
        first.on(CREATE, Fault.status(400).body(NO_MODEL));
        second.on(CREATE, Fault.lost());

        var draft = fallingBack("a");
        assertEquals("a: second, by other", answers(draft.submit().results()));
        assertEquals("a: second, by other", answers(draft.submit().results()));
        assertEquals(List.of("a"), Stream.concat(askedFirst.stream(), askedSecond.stream()).toList());
    }

    /** A refusal that gives no reason may hide a batch, so one is looked for until it would have shown. */
    @Test void whoIsTooBusyWithoutAWordIsLeftOnceSurelyNothingIsThere() {
        System.setProperty("sheaf.late", "0.3");
        first.onEvery(request -> request.equals(CREATE) ? Fault.status(429) : null);
        try {
            assertEquals("a: second, by other", answers(fallingBack("a").submit().results()));
        } finally {
            System.clearProperty("sheaf.late");
        }
        assertEquals(List.of(), askedFirst);
    }

    @Test void aFallbackThatCannotBeOneIsRefusedBeforeAnythingIsSent() {
        assertEquals("fallback: " + first.baseUrl() + " is who is asked first; name another provider, or another model "
            + "there", refusal(ask("a").fallback(first.baseUrl())));
        assertEquals("provider: no key for groq; set GROQ_API_KEY", refusal(ask("a").fallback("groq", "x")));
        assertEquals("fallback: the draft asks 2 models, and x would answer for each of them; leave its name out",
            refusal(ask("a").model("one", "two").fallback(second.baseUrl(), "x")));
        assertEquals(List.of(), first.requests());
    }

    private static String refusal(Draft draft) {
        return assertThrows(IllegalStateException.class, draft::submit).getMessage();
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
