package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.Collectors;
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
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Reply;

/** Where other batch tools were seen to pay twice, or to give old answers for new ones, one test for each defect. */
class PeersPaymentTest {
    /** One request at a time, so that a test can stop the server after the first. */
    @AutoClose final BatchServer server = BatchServer.options().concurrency(1).start();
    @TempDir Path home;

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

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
        try (var other = BatchServer.start()) {
            var changed = List.of(draft, draft.provider(other.baseUrl()), draft.model("m2"), draft.temperature(0.5),
                draft.maxTokens(9), draft.with("seed", 1), draft.example("u", "a"), draft.endpoint("/v1/responses"),
                draft.image("data:image/png;base64,AQID"));

            assertEquals(changed.size(), changed.stream().map(each -> each.submit().id()).distinct().count());
        }
    }

    /** curator: requests cut at the token limit are sent again as they were, in up to ten more batches. */
    @Test void aTruncatedAnswerIsNotAskedForAgainUnchanged() {
        server.answer(body -> Reply.text("half").finishReason("length"));

        var results = ask("a").maxTokens(5).submit().results();

        assertEquals("retry: none of 1 failed requests may succeed next time (1 truncated); only(outcome).retry() "
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

        var results = ask("new", "same", "b", "a", "same", "same").name("daily").submit().results();

        assertEquals(List.of("new 5", "same 2", "b 3", "a 1", "same 4", "same 6"), texts(results));
    }

    /** curator: requests that were answered in a later round are paid again by the next run. */
    @Test void whatARepairAnsweredIsTakenOverToo() {
        var asked = new AtomicInteger();
        server.answer(body -> asked.getAndIncrement() == 0 ? Reply.error(503, "busy", "busy") : Reply.text("once"));
        ask("a", "b").name("daily").repair(1).submit().results();
        server.answer(body -> Reply.text("twice"));

        var results = ask("a", "b", "c").name("daily").submit().results();

        assertEquals(List.of("once", "once", "twice"), texts(results));
    }

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

        var after = contents();
        after.keySet().removeIf(file -> file.endsWith("hashes.idx"));      // what the next submit would compute too
        assertEquals(before, after);
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

    private static List<String> texts(Results results) { return results.stream().map(Result::text).toList(); }

    private static String prompt(JsonNode body) { return body.at("/messages/0/content").asText(); }

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
                .collect(Collectors.toMap(file -> file, PeersPaymentTest::read)));
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
