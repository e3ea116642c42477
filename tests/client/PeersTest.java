package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.support.RawClient.await;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.ref.WeakReference;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Vocabulary.BatchException;
import sheaf.Sheaf.Draft;
import sheaf.Vocabulary.Outcome;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Result;
import sheaf.Sheaf.Results;
import sheaf.Vocabulary.Status;
import sheaf.Vocabulary.Usage;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Fault;
import sheaf.server.BatchServer.Reply;

/** Where other batch tools were seen to lose rows, pay twice or never end, one test for each defect. */
class PeersTest {
    /** One request at a time, so that a test can stop the server after the first. */
    final BatchServer server = BatchServer.options().concurrency(1).start();
    @TempDir Path home;

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

    @AfterEach void stop() { server.close(); }

    // ---- every file is submitted ----

    /** curator: writes all files of an automatic split and returns the first. */
    @Test void notOnlyTheFirstFileIsSubmitted() {
        var batch = ask("a", "b", "c", "d", "e").provider(here().limits(2, 10_000)).submit();

        assertEquals(3, sent("POST /v1/files"));
        assertEquals(3, sent("POST /v1/batches"));
        assertEquals(List.of("a", "b", "c", "d", "e"), texts(batch.results()));
    }

    /** curator, distilabel: split by bytes not at all, or into files that are not all sent. */
    @Tag("C5")
    @Test void rowsAreSplitByBytesAsWellAsByNumber() {
        var texts = IntStream.range(0, 20).mapToObj(i -> "\u00e9".repeat(i * 10)).map(text -> text + "!").toList();

        var batch = ask(texts.toArray(String[]::new)).provider(here().limits(5, 900)).submit();

        assertTrue(batch.parts().size() > 4, batch.parts()::toString);
        assertTrue(here().files().stream().filter(file -> file.get("purpose").equals("batch"))
            .allMatch(file -> ((Number) file.get("bytes")).longValue() <= 900));
        assertEquals(texts, texts(batch.results()));
    }

    /** langchain4j: throws where two requests of a batch name two models. */
    @Test void aBatchMayNameTwoModels() {
        var results = batch().provider(here()).quiet().model("{{model}}")
            .prompts("{{text}}", rows(Map.of("model", "x", "text", "a"), Map.of("model", "y", "text", "b"),
                Map.of("model", "x", "text", "c"))).submit().results();

        assertEquals(List.of("x a", "y b", "x c"),
            results.stream().map(result -> result.model() + " " + result.text()).toList());
    }

    /** langchain4j: holds all requests in memory. */
    @Test void rowsAreNotHeldInMemory() {
        var made = new ArrayList<WeakReference<String>>();
        var held = new AtomicInteger();
        var rows = rows(() -> IntStream.rangeClosed(1, 2_000).peek(i -> {
            if (i < 2_000) return;
            System.gc();
            held.set((int) made.stream().filter(row -> row.get() != null).count());
        }).mapToObj(i -> {
            var row = new String("row " + i);
            made.add(new WeakReference<>(row));
            return row;
        }));

        batch().model("m").prompts("{{value}}", rows).toJsonl(home.resolve("requests.jsonl"));

        assertTrue(made.size() == 2_000 && held.get() < 100, held + " of " + made.size() + " rows are held");
    }

    // ---- both files are read, whatever the batch's end ----

    /** curator, autobatcher: download the error file and discard it, or never read it. */
    @Tag("C29")
    @Test void theErrorFileIsNotThrownAway() {
        server.answer(body -> Reply.error(400, "odd", "too odd"));

        var results = ask("a", "b").submit().results();

        assertEquals(List.of("400 too odd", "400 too odd"), results.stream().map(Result::error).toList());
    }

    /** batchling: reads the output file or, if there is none, the error file; instructor: only the output file. */
    @Tag("C26")
    @Test void aMixedBatchKeepsItsErrors() {
        server.answer(body -> prompt(body).equals("bad") ? Reply.error(500, "down", "no engine") : Reply.text("fine"));

        var results = ask("a", "bad", "c").submit().results();

        assertEquals(List.of("fine", "500 no engine", "fine"),
            results.stream().map(result -> result.ok() ? result.text() : result.error()).toList());
    }

    /** anthropic-sdk-java's example: takes every row for a success, so that one errored row throws. */
    @Test void oneErroredRowDoesNotThrow() {
        server.answer(body -> prompt(body).equals("bad") ? Reply.error(400, "odd", "too odd") : Reply.text("fine"));

        var seen = new ArrayList<Boolean>();
        for (var result : ask("a", "bad", "c").submit().results()) seen.add(result.ok());

        assertEquals(List.of(true, false, true), seen);
    }

    /** batchata: a request that the output file lacks leaves the list of those pending, and enters no other. */
    @Tag("C31")
    @Test void aRequestWithoutALineDoesNotVanish() {
        server.loseLine("request-2");

        var results = ask("a", "b", "c").submit().results();

        assertEquals(3, results.size());
        assertEquals(Map.of(Outcome.SUCCEEDED, 2L, Outcome.MISSING, 1L), results.counts());
        assertEquals("b", results.failed().iterator().next().row("value"));
        assertEquals(1, results.retry().preview(9).lines().size());
    }

    /** distilabel: skips an expired batch whole; autobatcher: fails every caller of it. */
    @Tag("C26")
    @Test void anExpiredBatchIsNotSkipped() {
        var batch = half();

        server.advance(Duration.ofHours(25));

        assertEquals(Status.EXPIRED, batch.await().status());
        assertEquals(List.of(Outcome.SUCCEEDED, Outcome.EXPIRED), outcomes(batch.results()));
        assertEquals("done", batch.results().succeeded().iterator().next().text());
    }

    /** instructor: raises unless the batch is completed. */
    @Test void aCancelledBatchGivesWhatItFinished() {
        var batch = half().cancel();

        assertEquals(List.of(Outcome.SUCCEEDED, Outcome.CANCELLED), outcomes(batch.results()));
    }

    /** A batch of two requests, of which the first has been answered. */
    private Sheaf.Batch half() {
        server.answer(body -> {
            server.pause();
            return Reply.text("done");
        });
        var batch = ask("a", "b").submit();
        await(() -> batch.requestCounts().completed() == 1);
        return batch;
    }

    /** OpenAI, Azure: the expired requests are in no count; ellmer's user: the failed ones neither. */
    @Tag("C31")
    @Test void resultsAreCountedFromTheFiles() {
        server.answer(body -> prompt(body).equals("lost") ? Reply.lost() : Reply.text("fine")).claimCounts(3, 3, 0);

        var results = ask("a", "lost", "c").submit().results();

        assertEquals(Map.of(Outcome.SUCCEEDED, 2L, Outcome.ERRORED, 1L), results.counts());
        assertEquals("the provider lost the request (status 0)", results.failed().iterator().next().error());
        assertEquals(1, results.retry().preview(9).lines().size());
    }

    /** artefactual's provider: a refused request stands in the output file, its error null. */
    @Tag("C29")
    @Test void aRefusedRequestInTheOutputFileIsNoAnswer() {
        var refused = "{\"custom_id\":\"request-2\",\"response\":{\"status_code\":422,"
            + "\"body\":{\"error\":{\"message\":\"too long\"}}},\"error\":null}";
        server.rewrite(lines -> lines.stream().map(line -> line.contains("request-2") ? refused : line).toList());

        var results = ask("a", "b").submit().results();

        assertEquals(List.of(Outcome.SUCCEEDED, Outcome.ERRORED), outcomes(results));
        assertEquals("422 too long", results.failed().iterator().next().error());
    }

    /** ellmer: a malformed line stops the reading, unless a regular expression still finds an id in it. */
    @Tag("C28")
    @Test void aMalformedLineLosesNoOther() {
        server.rewrite(lines -> lines.stream().map(line -> line.contains("request-2") ? line.substring(0, 60) : line)
            .toList());

        var results = ask("a", "b", "c").submit().results();

        assertEquals(List.of(Outcome.SUCCEEDED, Outcome.MISSING, Outcome.SUCCEEDED), outcomes(results));
    }

    // ---- answers belong to their requests ----

    /** batchling: identical requests share one hash, and so one answer. */
    @Test void identicalRequestsKeepTheirOwnAnswers() {
        var answers = new AtomicInteger();
        server.answer(body -> Reply.text("answer " + answers.incrementAndGet()));

        var results = ask("same", "same", "same").submit().results();

        assertEquals(3, results.stream().map(Result::text).distinct().count());
        assertEquals(texts(results), texts(ask("same", "same", "same").submit().results()));
    }

    /** curator: the fingerprint of a run leaves the system prompt out, and old answers come back. */
    @Test void aChangedSystemPromptGetsNewAnswers() {
        server.answer(body -> Reply.text(body.at("/messages/0/content").asText()));

        var cook = ask("a").system("You cook.").submit().results();
        var sing = ask("a").system("You sing.").submit().results();

        assertEquals(List.of("You cook.", "You sing."), List.of(texts(cook).get(0), texts(sing).get(0)));
    }

    /** curator: the fingerprint leaves out the base URL and the backend. */
    @Test void anotherProviderOrSettingGetsNewAnswers() {
        var draft = ask("a").name("one");
        var other = new Provider("other", server.baseUrl(), "SHEAF_API_KEY", here().limits(), here().dialect());
        var changed = List.of(draft, draft.provider(other), draft.model("m2"), draft.temperature(0.5),
            draft.maxTokens(9), draft.with("seed", 1), draft.example("u", "a"), draft.endpoint("/v1/responses"),
            draft.image("data:image/png;base64,AQID"));

        assertEquals(changed.size(), changed.stream().map(each -> each.submit().id()).distinct().count());
    }

    /** curator: requests cut at the token limit are sent again as they were, in up to ten more batches. */
    @Test void aTruncatedAnswerIsNotAskedForAgainUnchanged() {
        server.answer(body -> Reply.text("half").finishReason("length"));

        var results = ask("a").maxTokens(5).submit().results();

        assertEquals("retry: none of 1 failed requests may succeed next time ({truncated=1}); only(outcome).retry() "
            + "sends those all the same", assertThrows(IllegalStateException.class, results::retry).getMessage());
        assertEquals("half", results.iterator().next().rawText());
        assertEquals(1, sent("POST /v1/batches"));
    }

    /** curator: the same, in the rounds of repair. */
    @Test void aRepairNeverAsksForATruncatedAnswerUnchanged() {
        var limits = new CopyOnWriteArrayList<Integer>();
        server.answer(body -> {
            limits.add(body.path("max_completion_tokens").asInt());
            return Reply.text("half").finishReason(limits.size() < 3 ? "length" : "stop");
        });

        var results = ask("a").maxTokens(5).repair(9).submit().results();

        assertEquals(Map.of(Outcome.SUCCEEDED, 1L), results.counts());
        assertEquals(List.of(5, 10, 20), limits);
        assertEquals(3, sent("POST /v1/batches"));
    }

    /** hermes-agent: finds earlier answers by the row's place, so that one more row gives all others the wrong one. */
    @Test void reusedAnswersFollowTheirRequestAndNotItsPlace() {
        var answers = new AtomicInteger();
        server.answer(body -> Reply.text(prompt(body) + " " + answers.incrementAndGet()));
        ask("a", "same", "b", "same").name("daily").submit().results();

        var results = ask("new", "same", "b", "a", "same", "same").name("daily").reuse().submit().results();

        assertEquals(List.of("new 5", "same 2", "b 3", "a 1", "same 4", "same 6"), texts(results));
    }

    /** curator: three requests, four successes, and costs of nothing. */
    @Tag("C32")
    @Tag("C37")
    @Test void usageIsCountedOncePerRow() {
        server.repeatLine("request-1").shuffleOutput();
        var draft = ask("a b", "c d e", "f").provider(here().limits(2, 10_000));

        draft.submit().results();
        var results = draft.submit().results();

        assertEquals(new Usage(6, 6, 0, 0), results.usage());
        assertEquals(Map.of(Outcome.SUCCEEDED, 3L), results.counts());
    }

    /** Anthropic, Together: ids of more than 64 characters, or of others than these, are refused. */
    @Tag("C4")
    @Test void anIdOnTheWireFitsTheStrictestProvider() {
        server.answer(body -> Reply.error(503, "busy", "busy"));
        var first = ask("a", "b").customId("Schl\u00fcssel {{value}} ".repeat(9)).submit().results();

        var lines = Stream.concat(ask("a", "b").customId("\u00e9 {{value}}").preview(9).lines().stream(),
            first.retry().preview(9).lines().stream()).toList();

        assertEquals(4, lines.size());
        for (var line : lines) assertTrue(line.matches("\\{\"custom_id\":\"[a-zA-Z0-9_-]{1,64}\".*"), line);
    }

    // ---- what was begun is found again, and paid once ----

    /** batchata, autobatcher: the ids of running batches are in memory only, so that a crash pays twice. */
    @Tag("C16")
    @Test void aKilledProcessPaysOnce() throws IOException {
        server.pause();
        var id = ask("a").submit().id();
        var steps = Files.readAllLines(steps());

        for (int kept = 0; kept <= steps.size(); kept++) {
            Files.write(steps(), steps.subList(0, kept));                  // as if killed after so many steps
            assertEquals(id, ask("a").submit().id(), "after " + kept + " steps");
        }
        assertEquals(1, sent("POST /v1/batches"));
    }

    /** ellmer: the state is saved only once the batch has been created. */
    @Tag("C16")
    @Test void theStateIsOnDiskBeforeTheBatchIsCreated() {
        var before = new AtomicReference<String>("");
        server.onEvery(request -> {
            if (request.equals("POST /v1/batches")) before.set(read(steps()));
            return null;
        });

        var part = ask("a").submit().parts().get(0);

        assertTrue(before.get().contains(part.inputFileId()), before::get);
        assertTrue(before.get().contains(part.json().at("/metadata/sheaf").asText()), before::get);
    }

    /** batchata: state is written with a field that the reading of it refuses. */
    @Test void theStateOfACancelledBatchIsReadAgain() {
        server.pause();
        var id = ask("a", "b").name("tickets").submit().cancel().await().id();

        assertEquals(Map.of(Outcome.CANCELLED, 2L), batch("tickets").results().counts());
        assertEquals(id, ask("a", "b").name("tickets").submit().id());
        assertEquals(1, sent("POST /v1/batches"));
    }

    /** batchata: a dry run with the state of an earlier one fails, and without it deletes the earlier results. */
    @Test void previewingDeletesNothing() {
        ask("a").name("one").submit().results();
        var before = contents();

        ask("a").name("one").preview(9);
        ask("b").name("one").preview(9);
        ask("b").name("one").toJsonl(home.resolve("requests.jsonl"));

        assertEquals(before, contents());
        assertEquals(1, sent("POST /v1/files"));
    }

    /** batchata: a new run deletes the folder of results first. */
    @Test void anotherBatchOfTheSameNameDeletesNoAnswers() {
        ask("a").name("one").submit().results();
        var before = contents();

        ask("b").name("one").submit().results();

        assertTrue(contents().entrySet().containsAll(before.entrySet()));
        assertEquals(List.of("a"), texts(ask("a").name("one").submit().results()));
    }

    /** curator: the deletion of a batch reads a field that its own record of one has not. */
    @Test void aBatchOfTheListIsDeletedAsOneOfTheDraftIs() {
        var id = ask("a").submit().await().id();
        ask("b").submit().await().delete();

        here().batches(2).stream().filter(batch -> batch.id().equals(id)).forEach(Sheaf.Batch::delete);

        assertEquals(List.of(), Sheaf.kept());
        assertEquals(id, ask("a").submit().id());
        assertEquals(2, sent("POST /v1/batches"));
    }

    // ---- the wait ends when the batch does, and not before ----

    /** batchata: any exception of a poll makes the batch a failed one. */
    @Tag("C18")
    @Test void anErrorWhilePollingIsNoFailedBatch() {
        server.pause();
        var batch = ask("a").submit();
        server.on("GET /v1/batches/*", Fault.status(500), Fault.dropped(), Fault.status(429), Fault.lost(),
            Fault.shortened(20), Fault.status(502).body("<html>"), Fault.truncated(20)).resume();

        assertEquals(List.of("a"), texts(batch.await(Duration.ofSeconds(60)).results()));
    }

    /** batchata: an error of a poll is written down as the batch's end. */
    @Tag("C19")
    @Test void aRefusedPollIsNotWrittenDownAsTheEnd() {
        server.pause();
        var batch = ask("a").submit();
        server.on("GET /v1/batches/*", Fault.status(401));

        assertThrows(BatchException.class, batch::await);
        server.resume();

        assertFalse(read(steps()).contains("\"ended\""));
        assertEquals(List.of("a"), texts(ask("a").submit().results()));
        assertEquals(1, sent("POST /v1/batches"));
    }

    /** batchata: Ctrl-C marks the jobs as cancelled here, and leaves them running there. */
    @Tag("C39")
    @Test void anInterruptedWaitCancelsNothing() throws InterruptedException {
        server.stayIn("in_progress");
        var batch = ask("a").submit();
        var fault = new AtomicReference<Throwable>();
        var waiting = new Thread(batch::await);
        waiting.setUncaughtExceptionHandler((thread, thrown) -> fault.set(thrown));
        waiting.start();
        await(() -> server.requests().contains("GET /v1/batches/" + batch.id()));

        waiting.interrupt();
        waiting.join(30_000);
        server.resume();

        assertEquals("await: interrupted; run again to go on", fault.get().getMessage());
        assertEquals(List.of("a"), texts(ask("a").submit().results()));
        assertEquals(1, sent("POST /v1/batches"));
        assertTrue(server.requests().stream().noneMatch(request -> request.endsWith("/cancel")));
    }

    /** openai-java's example: waits for an output file, and for ever if every request failed. */
    @Tag("C34")
    @Test void theWaitEndsOnABatchWithoutAnOutputFile() {
        server.answer(body -> Reply.error(400, "odd", "too odd"));

        var batch = ask("a").submit().await(Duration.ofSeconds(60));

        assertEquals(Status.COMPLETED, batch.status());
        assertEquals("", batch.parts().get(0).outputFileId());
    }

    /** openai-java's example: waits for an output file, and for ever if the batch failed. */
    @Tag("C34")
    @Test void theWaitEndsOnABatchThatFailed() {
        server.models("another");

        var fault = assertThrows(BatchException.class, () -> ask("a").submit().await(Duration.ofSeconds(60)));

        assertEquals("model_not_found", fault.code());
    }

    /** ellmer: asks twice a second, for a day. */
    @Tag("C20")
    @Test void pollsGrowRare() {
        var polls = new CopyOnWriteArrayList<Long>();
        server.stayIn("in_progress").onEvery(request -> {
            if (request.startsWith("GET /v1/batches/")) polls.add(System.nanoTime());
            return null;
        });
        var batch = ask("a").submit();

        assertThrows(IllegalStateException.class, () -> batch.await(Duration.ofMillis(1_200)));

        var pauses = IntStream.range(1, polls.size()).mapToObj(i -> polls.get(i) - polls.get(i - 1)).toList();
        int few = pauses.size() / 3;
        assertTrue(Collections.max(pauses.subList(pauses.size() - few, pauses.size()))
            > 2 * Collections.min(pauses.subList(0, few)), pauses::toString);
    }

    /** tensorzero: a batch that its provider forgot is looked for without end. */
    @Tag("C19")
    @Test void aBatchThatVanishedIsASentence() {
        server.pause();
        var batch = ask("a").submit();
        server.onEvery(request -> request.startsWith("GET /v1/batches/") ? Fault.status(404) : null);

        var fault = assertThrows(BatchException.class, () -> batch.await(Duration.ofSeconds(60)));

        assertTrue(fault.getMessage().contains("; if it is gone for good, delete ")
            && fault.getMessage().endsWith(" and run again"), fault.getMessage());
    }

    /** LiteLLM: says completed, and names the output file a poll later. */
    @Test void anOutputFileThatIsNamedLateIsRead() {
        server.pause();
        var batch = ask("a").submit();
        server.on("GET /v1/batches/*", Fault.status(200).body("{\"id\":\"" + batch.id() + "\","
            + "\"status\":\"completed\",\"output_file_id\":null,\"error_file_id\":null,"
            + "\"request_counts\":{\"total\":1,\"completed\":1,\"failed\":0}}")).resume();

        assertEquals(Map.of(Outcome.SUCCEEDED, 1L), batch.results().counts());
    }

    /** LiteLLM: what was missing in the first run is read by the next. */
    @Test void anOutputFileThatIsNamedAfterTheWaitIsReadByTheNextRun() {
        server.pause();
        var batch = ask("a").submit();
        var completed = "{\"id\":\"" + batch.id() + "\",\"status\":\"completed\",\"output_file_id\":null,"
            + "\"error_file_id\":null,\"request_counts\":{\"total\":1,\"completed\":1,\"failed\":0}}";
        server.onEvery(request -> request.startsWith("GET /v1/batches/") ? Fault.status(200).body(completed) : null);
        batch.results();
        server.onEvery(request -> null).resume();

        assertEquals(Map.of(Outcome.SUCCEEDED, 1L), ask("a").submit().results().counts());
    }

    /** Azure: its endpoint is /chat/completions, and takes messages. */
    @Test void azuresEndpointTakesMessages() {
        try (var azure = BatchServer.options().dialect(BatchServer.Dialect.AZURE).start()) {
            var results = ask("a").provider(Provider.of(azure.baseUrl())).endpoint("/chat/completions").system("s")
                .submit().results();

            assertEquals(List.of("a"), texts(results));
        }
    }

    /** curator: requests that were answered in a later round are paid again by the next run. */
    @Test void whatARepairAnsweredIsTakenOverToo() {
        var asked = new AtomicInteger();
        server.answer(body -> asked.getAndIncrement() == 0 ? Reply.error(503, "busy", "busy") : Reply.text("once"));
        ask("a", "b").name("daily").repair(1).submit().results();
        server.answer(body -> Reply.text("twice"));

        var results = ask("a", "b", "c").name("daily").reuse().submit().results();

        assertEquals(List.of("once", "once", "twice"), texts(results));
    }

    /** kluster, SiliconFlow: a status of another name is taken for an end, or breaks the reading. */
    @Tag("C17")
    @Test void aStatusThatNobodyKnowsIsNoEnd() {
        server.pause();
        var batch = ask("a").submit();
        server.on("GET /v1/batches/*",
            Fault.status(200).body("{\"id\":\"" + batch.id() + "\",\"status\":\"pre_schedule\"}"));

        assertEquals("pre_schedule", batch.status().text());
        server.resume();
        assertEquals(List.of("a"), texts(batch.results()));
    }

    private static List<Outcome> outcomes(Results results) { return results.stream().map(Result::outcome).toList(); }

    private static List<String> texts(Results results) { return results.stream().map(Result::text).toList(); }

    private static String prompt(JsonNode body) {
        return body.at("/messages/0/content").asText();
    }

    private Path steps() {
        try (var folders = Files.list(home.resolve("batches"))) {
            return folders.filter(Files::isDirectory).findFirst().orElseThrow().resolve("steps.jsonl");
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** The files of all batches, with what is in them. */
    private Map<Path, String> contents() {
        try (var files = Files.walk(home.resolve("batches"))) {
            return new TreeMap<>(files.filter(Files::isRegularFile).filter(file -> !file.endsWith(".lock"))
                .collect(Collectors.toMap(file -> file, PeersTest::read)));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static String read(Path file) {
        try {
            return Files.readString(file, StandardCharsets.ISO_8859_1);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private int sent(String request) { return Collections.frequency(server.requests(), request); }

    private Provider here() { return Provider.of(server.baseUrl()); }

    /** The smallest valid draft: one request per text. */
    private Draft ask(String... texts) {
        return batch().provider(here()).quiet().model("m").prompts("{{value}}", rows(List.of(texts)));
    }
}
