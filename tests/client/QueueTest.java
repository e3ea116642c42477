package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;

import com.fasterxml.jackson.databind.JsonNode;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Batch;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Result;
import sheaf.Vocabulary.BatchException;
import sheaf.Vocabulary.Limits;
import sheaf.Vocabulary.Outcome;
import sheaf.Vocabulary.Part;
import sheaf.Vocabulary.Status;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Fault;
import sheaf.support.RawClient;
import sheaf.support.Trials;

/** A batch of many parts goes through a queue that has room for few of them. */
class QueueTest {
    static final String FULL = "{\"error\": {\"message\": \"Enqueued token limit reached\", "
        + "\"code\": \"token_limit_exceeded\"}}";
    static final String NO_MONEY = "{\"error\": {\"message\": \"no money\", \"code\": \"insufficient_quota\"}}";
    static final String NO_MODEL = "{\"error\": {\"message\": \"no such model\", \"code\": \"model_not_found\"}}";
    @AutoClose final BatchServer server = BatchServer.start();
    final RawClient client = new RawClient(() -> server.baseUrl());
    @TempDir Path home;

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

    @Test void noMorePartsAreInFlightThanTheProviderTakes() {
        var most = new AtomicInteger();
        server.answer(body -> {
            most.accumulateAndGet((int) batches()
                .filter(batch -> batch.get("status").asText().matches("validating|in_progress|finalizing")).count(),
                Math::max);
            return BatchServer.Reply.text(body.at("/messages/0/content").asText());
        });

        var results = ask(6).provider(here().limits(1, 10_000).queue(2, Long.MAX_VALUE)).submit().await().results();

        assertEquals(texts(6), results.stream().map(Result::text).toList());
        assertTrue(most.get() <= 2, most + " at once");
        assertEquals(6, sent("POST /v1/batches"));
    }

    @Test void noMoreTokensAreInFlightThanTheProviderTakes() {
        server.pause();
        var draft = ask(4).provider(here().limits(1, 10_000).queue(Long.MAX_VALUE, 25));

        var batch = draft.submit();

        assertEquals(List.of(Status.WAITING, Status.WAITING), last(statuses(batch), 2));
        server.resume();
        assertEquals(texts(4), batch.results().stream().map(Result::text).toList());
    }

    @Test void aPartHoldsNoMoreTokensThanTheQueue() {
        server.pause();

        var batch = ask(4).provider(here().queue(Long.MAX_VALUE, 25)).submit();

        assertEquals(2, batch.parts().size());
    }

    @Test void aRequestOfMoreTokensThanTheQueueIsTriedAlone() {
        assertEquals(texts(2), ask(2).provider(here().queue(9, 1)).submit().results().stream().map(Result::text)
            .toList());
    }

    @Test void anotherProcessSubmitsThePartsThatWait() {
        server.pause();
        var draft = ask(3).provider(here().limits(1, 10_000).queue(1, Long.MAX_VALUE)).name("many");
        draft.submit();

        server.resume();
        var results = here().batch("many").results();

        assertEquals(texts(3), results.stream().map(Result::text).toList());
        assertEquals(3, sent("POST /v1/batches"));
    }

    @Test void twoProcessesThatWatchSubmitEachPartOnce() {
        var draft = ask(5).provider(here().limits(1, 10_000).queue(1, Long.MAX_VALUE));

        var all = IntStream.range(0, 3).parallel().mapToObj(i -> draft.submit().results().stream().map(Result::text)
            .toList()).collect(Collectors.toSet());

        assertEquals(Set.of(texts(5)), all);
        assertEquals(5, sent("POST /v1/batches"));
        assertEquals(5, sent("POST /v1/files"));
    }

    @Test void aLimitBelowOneIsRefused() {
        assertEquals("limits: each is at least 1",
            assertThrows(IllegalArgumentException.class, () -> new Limits(0, 1)).getMessage());
        assertThrows(IllegalArgumentException.class, () -> here().queue(0, 1));
    }

    @Tag("C15")
    @Test void aCreateThatFindsNoRoomWaitsAndSendsTheSameFileAgain() {
        server.on("POST /v1/batches", Fault.status(400).body(FULL), Fault.status(429).body(FULL));

        var batch = ask(1).submit();

        assertEquals(List.of(Status.WAITING), statuses(batch));
        assertEquals(texts(1), batch.results().stream().map(Result::text).toList());
        assertEquals(1, sent("POST /v1/files"));
        assertEquals(3, sent("POST /v1/batches"));
        assertEquals(1, client.ids("/batches").size());
    }

    @Tag("C15")
    @Test void aBatchThatFailsForWantOfRoomIsCreatedAgainOfTheSameFile() {
        server.failOver(3).pause();
        client.create(RawClient.lines("two words"));
        var batch = ask(1).submit();
        RawClient.await(() -> batches().anyMatch(each -> each.get("status").asText().equals("failed")));

        assertThrows(IllegalStateException.class, () -> batch.await(Duration.ofMillis(300)));
        server.resume();

        assertEquals(texts(1), batch.results().stream().map(Result::text).toList());
        assertEquals(2, batches().map(each -> each.get("input_file_id")).distinct().count());
        assertEquals(2, sent("POST /v1/files"));
    }

    @Test void aFullQueueIsSaidWhileItLasts() {
        server.onEvery(request -> request.equals("POST /v1/batches") ? Fault.status(429).body(FULL) : null);
        var batch = ask(1).submit();

        var fault = assertThrows(IllegalStateException.class, () -> batch.await(Duration.ofMillis(200)));

        assertEquals("await: " + batch.id() + " still waiting after 200ms (0/1; submit: POST " + server.baseUrl()
            + "/batches: 429 Enqueued token limit reached); it goes on: batch(\"" + batch.id() + "\").await()",
            fault.getMessage());
    }

    @Test void aQueueThatWasFullNeitherHurriesTheNextPollsNorIsSaid() throws Exception {
        var create = new AtomicInteger();
        server.pause().onEvery(request -> !request.equals("POST /v1/batches") ? null
            : switch (create.incrementAndGet()) {
                case 1 -> null;
                case 2 -> Fault.status(429).body(FULL);
                default -> Fault.status(400).body(NO_MODEL);
            });
        var batch = ask(2).provider(here().limits(1, 10_000)).submit();

        Trials.slower(time -> {
            long before = polls();

            var fault = assertThrows(IllegalStateException.class, () -> batch.await(time));

            assertTrue(fault.getMessage().matches(".* still in_progress after \\w+ \\(0/1\\); it goes on.*"),
                fault.getMessage());
            long polls = polls() - before;
            assertTrue(polls < 15 + (time.toMillis() - 500) / 40, polls + " polls in " + time);
        });
    }

    @Test void aPartThatAnotherProcessGotInDoesNotHurryTheNextPolls() {
        var create = new AtomicInteger();
        server.pause().onEvery(request -> !request.equals("POST /v1/batches") || create.incrementAndGet() == 1
            || create.get() > 3 ? null : Fault.status(429).body(FULL));
        var draft = ask(3).provider(here().limits(1, 10_000).queue(2, Long.MAX_VALUE));
        var one = draft.submit();
        var other = draft.submit();
        assertThrows(IllegalStateException.class, () -> one.await(Duration.ofMillis(100)));
        long before = polls();

        assertThrows(IllegalStateException.class, () -> other.await(Duration.ofMillis(600)));

        assertTrue(polls() - before < 2 * 15, polls() - before + " polls");
    }

    @Test void aQueueThatIsAlwaysFullEndsTheWait() {
        server.onEvery(request -> request.equals("POST /v1/batches") ? Fault.status(429).body(FULL) : null);

        var fault = assertThrows(BatchException.class, () -> ask(1).submit().await());

        assertTrue(fault.getMessage().endsWith("429 Enqueued token limit reached; it had no room 100 times in a row: "
            + "run again later, or make smaller parts by limits(requests, bytes) of the provider"), fault.getMessage());
        server.onEvery(request -> null);
        assertEquals(texts(1), ask(1).submit().results().stream().map(Result::text).toList());
        assertEquals(1, client.ids("/batches").size());
    }

    @Test void anUploadThatFindsNoRoomIsWaitedForToo() {
        server.on("POST /v1/files", Fault.status(429), Fault.status(429), Fault.status(429), Fault.status(429));

        var results = batch().provider(Provider.of(server.baseUrl())).quiet().model("m").prompts("a").submit().await()
            .results();

        assertEquals(Map.of(Outcome.SUCCEEDED, 1L), results.counts());
    }

    @Test void anEmptyAccountIsNoFullQueue() {
        server.on("POST /v1/batches", Fault.status(429).body(NO_MONEY));

        assertEquals("insufficient_quota", assertThrows(BatchException.class, () -> ask(1).submit()).code());
        assertEquals(texts(1), ask(1).submit().results().stream().map(Result::text).toList());
    }

    @Test void anAccountThatIsEmptiedWhileAPartWaitsEndsTheWait() {
        server.on("POST /v1/batches", Fault.status(429).body(FULL));
        var batch = ask(1).submit();
        server.onEvery(request -> request.equals("POST /v1/batches") ? Fault.status(429).body(NO_MONEY) : null);

        assertEquals("insufficient_quota", assertThrows(BatchException.class, batch::await).code());
    }

    @Test void anEmptyAccountHidesNoAnswerOfThePartsBefore() {
        server.on("POST /v1/batches", Fault.late(Duration.ZERO), Fault.status(429).body(NO_MONEY));
        var draft = ask(2).provider(here().limits(1, 10_000).queue(1, Long.MAX_VALUE));

        var results = draft.submit().results();

        assertEquals(List.of(Outcome.SUCCEEDED, Outcome.ERRORED), results.stream().map(Result::outcome).toList());
        assertTrue(results.failed().iterator().next().error().endsWith(": 429 no money (insufficient_quota)"));
        assertEquals(texts(2), draft.submit().results().stream().map(Result::text).toList());
    }

    @Test void aPartThatIsRefusedForGoodDoesNotKeepTheOthersBack() {
        refusing(2);

        var results = ask(3).provider(here().limits(1, 10_000)).submit().results();

        assertEquals(List.of(Outcome.SUCCEEDED, Outcome.ERRORED, Outcome.SUCCEEDED), results.stream()
            .map(Result::outcome).toList());
        assertEquals("never submitted: submit: POST " + server.baseUrl() + "/batches: 400 no such model "
            + "(model_not_found)", results.failed().iterator().next().error());
        assertEquals(texts(3), ask(3).provider(here().limits(1, 10_000)).submit().results().stream().map(Result::text)
            .toList());
        assertEquals(3, client.ids("/batches").size());
    }

    @Test void theAnswersOfTheOthersAreThereHoweverOftenAPartIsRefused() {
        refusing(2, 4, 5);
        var draft = ask(3).provider(here().limits(1, 10_000));

        for (int run = 1; run <= 3; run++)
            assertEquals(Map.of(Outcome.SUCCEEDED, 2L, Outcome.ERRORED, 1L), draft.submit().results().counts());

        assertEquals(texts(3), draft.submit().results().stream().map(Result::text).toList());
        assertEquals(List.of(3, 6), List.of(sent("POST /v1/files"), sent("POST /v1/batches")));
    }

    @Test void aPartThatIsRefusedAfterTheOthersHaveEndedIsSubmittedByTheNextRun() {
        refusing(2, 3);
        var draft = ask(3).provider(here().limits(1, 10_000).queue(1, Long.MAX_VALUE));

        assertEquals(Map.of(Outcome.SUCCEEDED, 1L, Outcome.ERRORED, 2L), draft.submit().results().counts());
        assertEquals(texts(3), draft.submit().results().stream().map(Result::text).toList());
    }

    @Test void cancellingABatchEndsThePartsThatWait() {
        server.pause();
        var batch = ask(3).provider(here().limits(1, 10_000).queue(1, Long.MAX_VALUE)).submit();

        batch.cancel();

        assertEquals(Map.of(Outcome.CANCELLED, 3L), batch.results().counts());
        assertEquals("never submitted; the batch was cancelled", last(batch.results().stream().toList(), 1).get(0)
            .error());
        assertEquals(1, sent("POST /v1/batches"));
    }

    /** Refuses these creates for good. */
    private void refusing(Integer... creates) {
        var create = new AtomicInteger();
        server.onEvery(request -> request.equals("POST /v1/batches") && List.of(creates)
            .contains(create.incrementAndGet()) ? Fault.status(400).body(NO_MODEL) : null);
    }

    private Stream<JsonNode> batches() {
        return StreamSupport.stream(RawClient.json(client.get("/batches")).get("data").spliterator(), false);
    }

    private long polls() {
        return server.requests().stream().filter(request -> request.startsWith("GET /v1/batches/")).count();
    }

    private List<Status> statuses(Batch batch) { return batch.parts().stream().map(Part::status).toList(); }

    private static <T> List<T> last(List<T> list, int count) { return list.subList(list.size() - count, list.size()); }

    private static List<String> texts(int count) {
        return IntStream.range(0, count).mapToObj(i -> "text " + i).toList();
    }

    private int sent(String request) { return Collections.frequency(server.requests(), request); }

    private Provider here() { return Provider.of(server.baseUrl()); }

    private Draft ask(int count) {
        return batch().provider(here()).quiet().model("echo").prompts("{{value}}", rows(texts(count)));
    }
}
