package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;
import static sheaf.support.RawClient.await;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Result;
import sheaf.Sheaf.Results;
import sheaf.Vocabulary.BatchException;
import sheaf.Vocabulary.Status;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Fault;
import sheaf.server.BatchServer.Reply;

/** Where other batch tools were seen to wait without end, or to end too soon, one test for each defect. */
class PeersWaitTest {
    /** One request at a time, so that a test can stop the server after the first. */
    @AutoClose final BatchServer server = BatchServer.options().concurrency(1).start();
    @TempDir Path home;

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

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
        waiting.join(60_000);
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
        server.stayIn("in_progress");
        var batch = ask("a").submit();

        assertThrows(IllegalStateException.class, () -> batch.await(Duration.ofMillis(1_200)));

        long looks = server.requests().stream().filter(request -> request.startsWith("GET /v1/batches/")).count();
        assertTrue(looks > 1 && looks <= 30, looks + " looks, where 15 ms each would be 80");
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

    private static List<String> texts(Results results) { return results.stream().map(Result::text).toList(); }

    private Path steps() {
        try (var folders = Files.list(home.resolve("batches"))) {
            return folders.filter(Files::isDirectory).findFirst().orElseThrow().resolve("steps.jsonl");
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
