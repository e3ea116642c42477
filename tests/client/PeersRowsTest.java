package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;
import static sheaf.support.RawClient.await;

import com.fasterxml.jackson.databind.JsonNode;
import java.lang.ref.WeakReference;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Result;
import sheaf.Sheaf.Results;
import sheaf.Vocabulary.Outcome;
import sheaf.Vocabulary.Status;
import sheaf.Vocabulary.Usage;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Fault;
import sheaf.server.BatchServer.Reply;

/** Where other batch tools were seen to lose rows or to mix them up, one test for each defect. */
class PeersRowsTest {
    /** One request at a time, so that a test can stop the server after the first. */
    @AutoClose final BatchServer server = BatchServer.options().concurrency(1).start();
    @TempDir Path home;

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

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

    /** batchling: identical requests share one hash, and so one answer. */
    @Test void identicalRequestsKeepTheirOwnAnswers() {
        var answers = new AtomicInteger();
        server.answer(body -> Reply.text("answer " + answers.incrementAndGet()));

        var results = ask("same", "same", "same").submit().results();

        assertEquals(3, results.stream().map(Result::text).distinct().count());
        assertEquals(texts(results), texts(ask("same", "same", "same").submit().results()));
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

    private static List<Outcome> outcomes(Results results) { return results.stream().map(Result::outcome).toList(); }

    private static List<String> texts(Results results) { return results.stream().map(Result::text).toList(); }

    private static String prompt(JsonNode body) { return body.at("/messages/0/content").asText(); }

    private int sent(String request) { return Collections.frequency(server.requests(), request); }

    private Provider here() { return Provider.of(server.baseUrl()); }

    /** The smallest valid draft: one request per text. */
    private Draft ask(String... texts) {
        return batch().provider(here()).quiet().model("m").prompts("{{value}}", rows(List.of(texts)));
    }
}
