package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;
import static sheaf.Sheaf.template;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.Collections;
import java.util.List;
import java.util.Map;
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
import sheaf.Vocabulary.BatchException;
import sheaf.Vocabulary.Outcome;
import sheaf.Vocabulary.Status;
import sheaf.server.BatchServer;
import sheaf.support.Guide;

class BatchTest {
    /** Of the draft below, as long as there have been digests; that of a server here goes on from it. */
    private static final String GOLDEN = "6107ceab903d9251a8a949ffdc998fbf76cdc88834f13a12b14de827d4a0c9cc";
    @AutoClose final BatchServer server = BatchServer.start();
    @TempDir Path home;

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

    @Tag("C36")
    @Test void resultsKeepPromptOrderWhateverTheOutputFileOrder() {
        server.reply(text -> text.toUpperCase()).shuffleOutput();

        var results = ask("one", "two", "three").submit().await().results();

        assertEquals(List.of("ONE", "TWO", "THREE"), texts(results));
        assertEquals(List.of("one", "two", "three"), results.stream().map(result -> result.row("value")).toList());
    }

    @Tag("C31")
    @Test void everyRequestEndsInExactlyOneOutcome() {
        server.answer(body -> reply(body.at("/messages/0/content").asText())).loseLine("request-6");

        var results = ask("fine", "cut", "declined", "filtered", "wrong", "lost", "silent", "broken").submit()
            .results();

        assertEquals(List.of(Outcome.SUCCEEDED, Outcome.TRUNCATED, Outcome.REFUSED, Outcome.REFUSED, Outcome.ERRORED,
            Outcome.MISSING, Outcome.INVALID, Outcome.ERRORED), results.stream().map(Result::outcome).toList());
        assertEquals("{succeeded=1, errored=2, invalid=1, truncated=1, refused=2, missing=1}", results.counts()
            .toString());
        assertEquals(8, results.size());
        assertEquals(List.of("", "cut off after 1 tokens; raise maxTokens(...)", "the model declined: no",
            "the model declined: filtered",
            "400 too odd", "its file came with fewer lines than it should have; run again, or pay for it "
                + "anew by resendMissing()", "the answer holds no text",
                "engine gone"),
            results.stream().map(Result::error).toList());
    }

    private static BatchServer.Reply reply(String text) {
        return switch (text) {
            case "cut" -> BatchServer.Reply.text("cut").finishReason("length");
            case "declined" -> BatchServer.Reply.text("").refusal("no");
            case "filtered" -> BatchServer.Reply.text("filtered").finishReason("content_filter");
            case "wrong" -> BatchServer.Reply.error(400, "odd", "too odd");
            case "silent" -> BatchServer.Reply.text("");
            case "broken" -> BatchServer.Reply.error(0, "engine_error", "engine gone");
            default -> BatchServer.Reply.text(text);
        };
    }

    @Tag("C34")
    @Test void aBatchInWhichEveryRequestFailedGivesResultsNotAnException() {
        server.answer(body -> BatchServer.Reply.error(500, "server_error", "down"));

        var results = ask("a", "b").submit().results();

        assertEquals(Map.of(Outcome.ERRORED, 2L), results.counts());
        assertEquals("text: request-1 errored: 500 down", assertThrows(IllegalStateException.class,
            () -> results.iterator().next().text()).getMessage());
    }

    @Tag("C5")
    @Test void aDatasetLargerThanAFileIsSeveralPartsAndOneBatch() {
        var batch = numbers(25).provider(here().limits(10, 1_000_000)).submit();

        assertEquals(3, batch.parts().size());
        assertEquals(IntStream.range(0, 25).mapToObj(i -> "n" + i).toList(), texts(batch.results()));
        assertEquals(25, batch.requestCounts().total());
        assertEquals(3, sent("POST /v1/batches"));
    }

    @Tag("C5")
    @Test void aPartObeysTheLimitOfBytesOfItsEncodedLines() throws IOException {
        batch().provider(here().limits(1_000, 700)).quiet().model("m")
            .prompts("\u00e9{{value}}", rows(IntStream.range(0, 20).boxed().toList())).submit();

        try (var files = Files.walk(home)) {
            assertTrue(files.filter(file -> file.getFileName().toString().matches("part-[0-9]+\\.jsonl"))
                .allMatch(file -> file.toFile().length() <= 700));
        }
    }

    @Tag("C6")
    @Test void twoModelsAreTwoPartsWhereAProviderForbidsMixing() {
        var draft = ask("a", "b").model("m1", "m2");

        assertEquals(2, draft.submit().parts().size());
        assertEquals(1, draft.provider(here().dialect(new Sheaf.Dialect(true, "max_tokens"))).name("mixed").submit()
            .parts().size());
        assertEquals(List.of("m1", "m2", "m1", "m2"), draft.submit().results().stream().map(Result::model).toList());
    }

    @Test void aModelForEachRowComesBackInTheResult() {
        var results = batch().provider(here()).quiet().model("{{m}}")
            .prompts("{{t}}", rows(Map.of("m", "x", "t", 1), Map.of("m", "y", "t", 2)))
            .submit().results();

        assertEquals(List.of("x", "y"), results.stream().map(Result::model).toList());
        assertEquals(List.of("1", "2"), texts(results));
    }

    @Tag("C4")
    @Test void theUsersIdStaysHereAndComesBack() {
        var id = "\u00dcn\u00efcode ".repeat(30);

        var result = ask("a").customId(id + "{{value}}").submit().results().iterator().next();

        assertEquals(id + "a", result.customId());
    }

    @Tag("C16")
    @Test void submittingTheSameDraftAgainAttachesAndSendsNothing() {
        var first = ask("a", "b").submit().await();

        var second = ask("a", "b").submit();

        assertEquals(first.id(), second.id());
        assertEquals(List.of("a", "b"), texts(second.results()));
        assertEquals(1, sent("POST /v1/files"));
        assertEquals(1, sent("POST /v1/batches"));
    }

    @Test void anotherNameIsAnotherBatchOverTheSameRows() {
        ask("a").name("monday").submit();
        ask("a").name("tuesday").submit();

        assertEquals(2, sent("POST /v1/batches"));
    }

    @Test void aBatchIsFoundByItsNameAndByItsId() {
        var submitted = ask("a").name("tickets").submit();

        assertEquals(submitted.id(), batch("tickets").id());
        assertEquals(List.of("a"), texts(batch(submitted.id()).results()));
    }

    @Test void aBatchSubmittedElsewhereIsReadFromTheProvider() {
        var id = ask("a", "b").submit().await().id();
        System.setProperty("SHEAF_HOME", home.resolve("elsewhere").toString());

        var results = here().batch(id).results();

        assertEquals(List.of("a", "b"), texts(results));
        assertEquals("a", ((Map<?, ?>) ((List<?>) results.iterator().next().row().get("messages")).get(0))
            .get("content"));
    }

    @Tag("C13")
    @Test void aBatchSubmittedFromAnotherMachineIsNotSubmittedAgain() {
        var id = ask("a").submit().id();
        System.setProperty("SHEAF_HOME", home.resolve("elsewhere").toString());

        assertEquals(id, ask("a").submit().id());
        assertEquals(1, sent("POST /v1/batches"));
    }

    @Test void anUnknownBatchIsASentence() {
        var fault = assertThrows(BatchException.class, () -> here().batch("gpt-4.1"));

        assertEquals("batch: no batch \"gpt-4.1\" at " + server.baseUrl() + " and none in " + home
            + "; a new one is batch().model(\"gpt-4.1\")", fault.getMessage());
        assertEquals(404, fault.status());
    }

    @Tag("C34")
    @Test void aBatchThatFailsValidationNamesTheRows() {
        var small = BatchServer.options().maxRequests(2).start();
        try (small) {
            var fault = assertThrows(BatchException.class, () -> ask("a", "b", "c")
                .provider(Provider.of(small.baseUrl())).submit().await());

            assertTrue(fault.getMessage().matches("await: batch_\\w+ failed; 1 fault in the input file: .*"),
                fault.getMessage());
        }
    }

    @Tag("C24")
    @Test void aFaultOfOneLineNamesItsRow() throws IOException {
        var lines = Guide.LINE + "\n" + Guide.LINE.replace("request-1", "request-2")
            .replace("\"messages\"", "\"msgs\"");
        var file = Files.writeString(home.resolve("r.jsonl"), lines);

        var fault = assertThrows(BatchException.class, () -> batch().provider(here()).quiet().requests(file).submit()
            .await());

        assertTrue(fault.getMessage().matches("await: batch_\\w+ failed; 1 fault in the input file: "
            + "line 2 Messages parameter is required\\. \\(invalid_request\\)"), fault.getMessage());
        assertEquals("invalid_request", fault.code());
        assertTrue(fault.batchId().startsWith("batch_"));
    }

    @Tag("C24")
    @Test void aFailedPartDoesNotHideTheOthers() throws IOException {
        var lines = Guide.LINE + "\n" + Guide.LINE.replace("request-1", "request-2")
            .replace("\"messages\"", "\"msgs\"");
        var file = Files.writeString(home.resolve("r.jsonl"), lines);

        var results = batch().provider(here().limits(1, 10_000)).quiet().requests(file).submit().results();

        assertEquals(List.of(Outcome.SUCCEEDED, Outcome.ERRORED), results.stream().map(Result::outcome).toList());
        assertEquals("Messages parameter is required. (invalid_request)", results.failed().iterator().next().error());
    }

    @Test void anExpiredBatchKeepsWhatItFinished() {
        server.expireAfter(Duration.ofMillis(1)).pause();

        var batch = ask("a", "b").submit().await();

        assertEquals(Status.EXPIRED, batch.status());
        assertEquals(Map.of(Outcome.EXPIRED, 2L), batch.results().counts());
        assertEquals("This request could not be executed before the completion window expired.", batch.results()
            .iterator().next().error());
    }

    @Tag("C39")
    @Test void aCancelledBatchKeepsWhatItFinished() {
        server.pause();
        var batch = ask("a", "b").submit();

        batch.cancel();

        assertEquals(Map.of(Outcome.CANCELLED, 2L), batch.results().counts());
        assertEquals(Status.CANCELLED, batch.status());
        assertEquals(Status.CANCELLED, batch.cancel().status());
    }

    @Tag("C21")
    @Test void awaitWithATimeLimitLeavesTheBatchGoing() {
        server.pause();
        var batch = ask("a").submit();

        var fault = assertThrows(IllegalStateException.class, () -> batch.await(Duration.ofMillis(300)));

        assertEquals("await: " + batch.id() + " still " + "in_progress after 300ms (0/1); it goes on: batch(\""
            + batch.id() + "\").await()",
            fault.getMessage().replace("validating", "in_progress").replace("0/0", "0/1"));
        server.resume();
        assertEquals(List.of("a"), texts(batch.results()));
    }

    @Test void theTextOfABatchAsksNobody() {
        server.pause();
        var batch = ask("a").submit();
        int before = server.requests().size();

        assertTrue(batch.toString().matches("Batch\\[batch_\\w+ validating 0/0]"), batch.toString());
        assertEquals(before, server.requests().size());
    }

    @Test void aWrongKeyIsASentenceAndNothingIsSubmitted() {
        try (var locked = BatchServer.options().apiKey("right").start()) {
            var fault = assertThrows(BatchException.class, () -> ask("a").provider(Provider.of(locked.baseUrl()))
                .submit());

            assertEquals("submit: GET " + locked.baseUrl() + "/models: 401"
                + " Incorrect API key provided; check SHEAF_API_KEY", fault.getMessage());
            assertEquals(401, fault.status());
        }
    }

    @Test void anUnreachableServerIsASentence() {
        var fault = assertThrows(java.io.UncheckedIOException.class, () -> ask("a").provider("http://localhost:9/v1")
            .submit());

        assertEquals("submit: cannot reach http://localhost:9/v1 (connection refused); start a server or set "
            + "OPENAI_BASE_URL", fault.getMessage());
    }

    @Test void metadataReachesTheProviderBesideOurOwn() {
        var part = ask("a").metadata("team", "blue").submit().parts().get(0);

        assertEquals("blue", part.json().at("/metadata/team").asText());
        assertTrue(part.json().at("/metadata/sheaf").asText().matches("[0-9a-f]{64}/1-1/rows/[0-9a-f]{8}"));
    }

    @Tag("C40")
    @Test void theJournalIsPrivateAndHoldsNoKey() throws IOException {
        System.setProperty("SHEAF_API_KEY", "sk-secret");
        try (var locked = BatchServer.options().apiKey("sk-secret").start()) {
            ask("a").provider(Provider.of(locked.baseUrl())).submit().results();
        } finally {
            System.setProperty("SHEAF_API_KEY", "");
        }

        assertEquals("rwx------",
            PosixFilePermissions.toString(Files.getPosixFilePermissions(home.resolve("batches"))));
        try (var files = Files.walk(home).filter(Files::isRegularFile)) {
            for (var file : files.toList()) assertFalse(Files.readString(file,
                java.nio.charset.StandardCharsets.ISO_8859_1).contains("sk-secret"));
        }
    }

    /** The digest decides what was submitted before: a change here makes every user pay again. */
    @Test void theSameDraftHasTheSameDigestOnAnyMachine() {
        var draft = batch().provider(here()).quiet().name("golden").model("m").system("You are {{role}}.")
            .temperature(0.5).maxTokens(7)
            .with("logit_bias", Map.of("b", 1, "a", 2)).prompts(template("t", "Say {{x}} \u2028 \ud83d\ude00"),
            rows(Map.of("role", "a cook", "x", "\u00e9")));

        var manifest = new Journal(draft.submit().folder()).manifest();

        var address = manifest.provider();
        assertEquals(Json.Digest.hex(GOLDEN + " " + address.store() + " " + address.engine()),
            manifest.digest());
        assertEquals("golden-" + manifest.digest().substring(0, 12), folders().get(0));
    }

    @Test void aDraftThatCannotBeExpandedLeavesNothingBehind() {
        assertThrows(IllegalArgumentException.class, () -> batch().provider(here()).model("m")
            .prompts("{{value}} {{nope}}", rows("b")).submit());

        assertEquals(List.of(), folders());
        assertEquals(List.of(), server.requests());
    }

    @Test void twoThreadsThatSubmitTheSameDraftMakeOneBatch() {
        var ids = IntStream.range(0, 4).parallel().mapToObj(i -> ask("a").submit().id()).distinct().toList();

        assertEquals(1, ids.size());
        assertEquals(1, sent("POST /v1/batches"));
    }

    private List<String> folders() {
        if (!Files.exists(home.resolve("batches"))) return List.of();
        try (var folders = Files.list(home.resolve("batches"))) {
            return folders.map(folder -> folder.getFileName().toString()).filter(name -> !name.startsWith("."))
                .toList();
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    private int sent(String request) { return Collections.frequency(server.requests(), request); }

    private Provider here() { return Provider.of(server.baseUrl()); }

    private Draft numbers(int count) {
        return ask(IntStream.range(0, count).mapToObj(i -> "n" + i).toArray(String[]::new));
    }

    /** The smallest valid draft: one request per text. */
    private Draft ask(String... texts) {
        return batch().provider(here()).quiet().model("echo").prompts("{{value}}", rows(Stream.of(texts).toList()));
    }

    private static List<String> texts(Results results) { return results.stream().map(Result::text).toList(); }
}
