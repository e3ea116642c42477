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
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Result;
import sheaf.Vocabulary.Outcome;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Fault;
import sheaf.server.BatchServer.Reply;
import sheaf.support.Printed;
import sheaf.support.RawClient;

/** What may succeed next time is sent again, as often as was asked for, and what cannot is not. */
@Tag("C33")
class RepairTest {
    @AutoClose final BatchServer server = BatchServer.start();
    final Map<String, Integer> tries = new ConcurrentHashMap<>();
    final List<JsonNode> bodies = Collections.synchronizedList(new ArrayList<>());
    @TempDir Path home;

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

    @Test void aRequestThatBrokeAtTheProviderIsSentAgainAsItWas() {
        answering("b", 1, Reply.error(503, "x", "overloaded"));

        var results = ask("a", "b", "c").repair(2).submit().await().results();

        assertEquals(List.of("a", "b", "c"), results.stream().map(Result::text).toList());
        assertEquals(Map.of("a", 1, "b", 2, "c", 1), tries);
        assertEquals(bodies.stream().filter(body -> prompt(body).equals("b")).distinct().count(), 1);
    }

    @Test void itsIdFollowsFromTheFirst() {
        answering("b", 2, Reply.error(429, "x", "slow down"));
        var seen = new RawClient(() -> server.baseUrl());

        ask("a", "b").repair(2).submit().results();

        var ids = seen.ids("/batches").stream().map(seen::found).map(batch -> batch.get("input_file_id").asText())
            .map(file -> RawClient.json(seen.get("/files/" + file + "/content").body()).get("custom_id").asText())
            .toList();
        assertEquals(List.of("request-2-r3", "request-2-r2", "request-1"), ids);
    }

    @Test void noMoreRoundsAreMadeThanWereAskedFor() {
        answering("b", 9, Reply.error(500, "x", "broken"));

        var results = ask("a", "b").repair(2).submit().results();

        assertEquals(List.of(Outcome.SUCCEEDED, Outcome.ERRORED), results.stream().map(Result::outcome).toList());
        assertEquals(3, tries.get("b"));
    }

    @Test void whatCannotEndBetterIsNotSentAgain() {
        answering("b", 9, Reply.error(400, "x", "too long"));
        answering("c", 9, Reply.text("").refusal("no"));

        var results = ask("a", "b", "c").repair(3).submit().results();

        assertEquals(List.of(Outcome.SUCCEEDED, Outcome.ERRORED, Outcome.REFUSED), results.stream()
            .map(Result::outcome).toList());
        assertEquals(1, sent("POST /v1/batches"));
    }

    @Test void aTruncatedAnswerIsAskedForWithTwiceTheLimit() {
        server.answer(body -> {
            bodies.add(body);
            return body.get("max_completion_tokens").asInt() < 400 ? Reply.text("cut").finishReason("length")
                : Reply.text("whole");
        });

        var results = ask("a").maxTokens(100).repair(3).submit().results();

        assertEquals("whole", results.iterator().next().text());
        assertEquals(List.of(100, 200, 400), bodies.stream().map(body -> body.get("max_completion_tokens").asInt())
            .toList());
    }

    @Test void aLargerLimitThatIsRefusedIsNotTriedTwiceAndHidesNothing() {
        server.answer(body -> {
            bodies.add(body);
            return body.get("max_completion_tokens").asInt() == 100 ? Reply.text("half").finishReason("length")
                : Reply.error(400, "x", "max_completion_tokens is too large");
        });

        var results = ask("a").maxTokens(100).repair(5).submit().results();

        assertEquals("half", results.iterator().next().rawText());
        assertEquals(Outcome.TRUNCATED, results.iterator().next().outcome());
        assertEquals("cut off after 1 tokens; raise maxTokens(...); asked again: 400 max_completion_tokens is too "
            + "large", results.iterator().next().error());
        assertEquals(2, bodies.size());
    }

    @Test void whatStaysCutIsShownAsItCameLast() throws IOException {
        server.answer(body -> Reply.text("word ".repeat(body.get("max_completion_tokens").asInt()))
            .finishReason("length"));
        var results = ask("a").maxTokens(2).repair(2).submit().results();
        var csv = home.resolve("cut.csv");
        results.toCsv(csv, "result.outcome", "result.error", "result.rawText");

        assertEquals("result.outcome,result.error,result.rawText\r\ntruncated,cut off after 8 tokens; raise "
            + "maxTokens(...),word word word word word word word word \r\n", Files.readString(csv));
    }

    @Test void anExpiredRequestIsSentAgain() {
        server.expireAfter(Duration.ofMillis(1)).pause();
        ask("a", "b").submit().await();
        server.expireAfter(Duration.ofHours(24)).resume();

        assertEquals(List.of("a", "b"), ask("a", "b").repair(1).submit().results().stream().map(Result::text).toList());
    }

    /** Its provider counted an answer, which may come yet: only retry() pays for that again. */
    @Test void aRequestWhoseLineIsLostIsSentAgainByRetryAlone() {
        server.loseLine("request-2");

        var results = ask("a", "b").repair(1).submit().results();

        assertEquals(List.of("a", ""), results.stream().map(Result::rawText).toList());
        var merged = results.merge(results.retry().submit().results());
        assertEquals(List.of("a", "b"), merged.stream().map(Result::text).toList());
    }

    @Test void anAnswerThatCannotBeReadForAMomentIsNotPaidAgain() {
        answering("b", 0, Reply.text(""));
        server.on("GET /v1/files/*/content", Fault.status(404), Fault.status(404));

        var results = ask("a", "b").repair(1).submit().results();

        assertEquals(List.of("a", "b"), results.stream().map(Result::text).toList());
        assertEquals(Map.of("a", 1, "b", 1), tries);
    }

    @Test void whatMayStandInAFileThatStaysAwayIsPaidAgainByRetryOnly() {
        server.onEvery(request -> request.endsWith("/content") ? Fault.status(404) : null);
        server.expireAfter(Duration.ofMillis(1)).pause();
        ask("c").submit().await();
        server.expireAfter(Duration.ofHours(24)).resume();

        var missing = ask("a", "b").repair(1).submit().results();
        var expired = ask("c").repair(1).submit().results();

        assertEquals(Map.of(Outcome.MISSING, 2L), missing.counts());
        assertEquals(Map.of(Outcome.EXPIRED, 1L), expired.counts());
        assertEquals(2, sent("POST /v1/batches"));
        assertEquals("the file of its answer could not be fetched; run again, or pay for it anew by resendMissing()",
            missing.iterator().next().error());
        assertEquals(2, missing.retry().preview(9).lines().size());
    }

    @Test void eachPartMayNameItsFileLate() {
        answering("1", 0, Reply.text(""));
        var batch = ask("1", "2", "3", "4", "5", "6", "7").provider(here().limits(1, 10_000)).repair(1).submit();
        RawClient.await(() -> tries.size() == 7);
        var seen = ConcurrentHashMap.<String>newKeySet();
        server.onEvery(request -> !request.matches("GET /v1/batches/.*") || !seen.add(request) ? null
            : Fault.status(200).body("{\"id\":\"" + request.replaceFirst(".*/", "") + "\",\"status\":\"completed\","
                + "\"request_counts\":{\"total\":1,\"completed\":1,\"failed\":0}}"));

        assertEquals(Map.of(Outcome.SUCCEEDED, 7L), batch.results().counts());
        assertEquals(7, sent("POST /v1/batches"));
    }

    @Test void theSecondRunOfARepairedScriptPaysNothing() {
        answering("b", 2, Reply.error(500, "x", "broken"));
        var draft = ask("a", "b").repair(3);
        draft.submit().results();
        int before = server.requests().size();

        assertEquals(List.of("a", "b"), draft.submit().results().stream().map(Result::text).toList());
        assertEquals(3, sent("POST /v1/batches"));
        assertTrue(server.requests().stream().skip(before).noneMatch(request -> request.startsWith("POST")));
    }

    @Test void aPartThatFailedIsNotPaidByTheSecondRunOfTheScriptThatRepairedIt() {
        answering("neither", 0, Reply.text(""));
        var batch = halfFailed().submit().await();
        server.models("good", "bad").pause();
        var repair = batch.results().retry().submit();
        halfFailed().submit();                                 // another process, while this one repairs
        server.resume();
        repair.await();

        var results = halfFailed().repair(1).submit().results();

        assertEquals(4, results.succeeded().size());
        assertEquals(Map.of("a", 2, "b", 2), tries);
        assertEquals(3, sent("POST /v1/batches"));
    }

    @Test void aPartThatAnotherProcessSubmitsAnewIsNotSentAgain() {
        answering("neither", 0, Reply.text(""));
        var batch = halfFailed().submit();
        var results = batch.results();
        server.models("good", "bad");
        halfFailed().submit();

        var fault = assertThrows(IllegalStateException.class, () -> results.retry().submit());

        assertEquals("submit: part 2 of " + batch.folder().getFileName() + " was submitted anew meanwhile, so nothing "
            + "of it is sent again; run again", fault.getMessage());
        assertEquals(4, halfFailed().submit().results().succeeded().size());
        assertEquals(Map.of("a", 2, "b", 2), tries);
    }

    /** A part for each model, of which the server has only one at first. */
    private Draft halfFailed() {
        if (sent("POST /v1/batches") == 0) server.models("good");
        return batch().provider(here()).quiet().model("good", "bad").prompts("{{value}}", rows("a", "b"));
    }

    @Test void eachRoundSaysWhatItSendsAndWhatItLeavesOut() {
        answering("b", 1, Reply.error(500, "x", "broken"));
        answering("c", 9, Reply.error(400, "x", "too long"));

        var said = Printed.stderr(() -> batch().provider(here()).model("echo").prompts("{{value}}", rows("a", "b", "c"))
            .repair(2)
            .submit().results());

        assertTrue(said.contains("repair 1 of 2: 1 of 2 failed requests; left out, for the same request would end the "
            + "same: 1 errored\n"), said);
        assertTrue(!said.contains("repair 2 of 2"), said);
    }

    @Test void aRoundThatFailsWholeHidesNothing() {
        answering("b", 1, Reply.error(500, "x", "broken"));
        var draft = ask("a", "b").repair(1);
        draft.submit().await();
        server.models("another");

        assertEquals(Map.of(Outcome.SUCCEEDED, 1L, Outcome.ERRORED, 1L), draft.submit().results().counts());
    }

    @Test void aRoundThatIsRefusedHidesNothing() {
        answering("b", 1, Reply.error(500, "x", "broken"));
        var draft = ask("a", "b").repair(1);
        draft.submit().await();
        server.on("POST /v1/batches", Fault.status(400).body(QueueTest.NO_MODEL));

        assertEquals(Map.of(Outcome.SUCCEEDED, 1L, Outcome.ERRORED, 1L), draft.submit().results().counts());
        assertEquals(Map.of(Outcome.SUCCEEDED, 2L), draft.submit().results().counts());
    }

    @Test void theErrorIsThatOfTheLastTry() {
        answering("b", 1, Reply.error(500, "x", "broken"));
        var first = ask("a", "b").submit().results();
        server.loseLine("request-2-r2").pause();
        var again = first.retry().quiet().submit().cancel();

        var merged = first.merge(again.results());

        assertEquals(again.id() + " cancelled", merged.failed().iterator().next().error());
    }

    /** Answers this prompt so at first, so many times. */
    private void answering(String prompt, int times, Reply first) {
        faults.put(prompt, Map.entry(times, first));
        server.answer(body -> {
            bodies.add(body);
            int attempt = tries.merge(prompt(body), 1, Integer::sum);
            var fault = faults.get(prompt(body));
            return fault != null && attempt <= fault.getKey() ? fault.getValue() : Reply.text(prompt(body));
        });
    }

    private final Map<String, Map.Entry<Integer, Reply>> faults = new ConcurrentHashMap<>();

    private static String prompt(JsonNode body) { return body.at("/messages/0/content").asText(); }

    private long sent(String request) { return Collections.frequency(server.requests(), request); }

    private Provider here() { return Provider.of(server.baseUrl()); }

    private Draft ask(String... texts) {
        return batch().provider(here()).quiet().model("echo").prompts("{{value}}", rows(List.of(texts)));
    }
}
