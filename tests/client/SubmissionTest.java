package sheaf;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.ScriptedProvider.success;
import static sheaf.Sheaf.batch;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Result;
import sheaf.Sheaf.Results;
import sheaf.Vocabulary.BatchException;
import sheaf.Vocabulary.Status;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Fault;
import sheaf.support.RawClient;
import sheaf.support.ScriptedServer.Answer;

/** What is uploaded and created: once, whatever becomes of the provider's answers. */
class SubmissionTest {
    @TempDir Path home;
    @AutoClose private final ScriptedProvider scripted = new ScriptedProvider();
    private BatchServer server;                    // of the tests that need a real one

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

    @AfterEach void close() { if (server != null) server.close(); }

    @Tag("C9")
    @ParameterizedTest
    @CsvSource({"/files, batch", "/files/upload, batch-api"})
    void anUploadHasANameInJsonlAPurposeAndAType(String path, String purpose) {
        scripted.on("POST " + path, GuideTest.FILE);

        ask("a").provider(scripted.provider().dialect(new Sheaf.Dialect(true, "max_tokens", path, purpose))).submit();

        var form = scripted.heard("POST " + path).get(0).body();
        assertTrue(part("file", form).matches("(?s).*; filename=\"[^\"/]+\\.jsonl\".*"), form);
        assertTrue(part("file", form).contains("Content-Type: application/jsonl\r\n"), form);
        assertTrue(part("purpose", form).endsWith("\r\n\r\n" + purpose), form);
    }

    private static String part(String name, String form) {
        return Stream.of(form.split("\r\n--")).filter(part -> part.contains("name=\"" + name + "\"")).findFirst()
            .orElseThrow();
    }

    @Tag("C11")
    @ParameterizedTest
    @ValueSource(strings = {"1h", "336h", "7d"})
    void aWindowIsAnyNumberOfHoursOrDays(String window) {
        ask("a").completionWindow(window).submit();

        assertEquals(window, scripted.sentBatch().path("completion_window").asText());
    }

    @Tag("C11")
    @Test void aWindowThatTheProviderLacksIsReportedWithThoseItHas() {
        server = BatchServer.options().dialect(BatchServer.Dialect.KLUSTER).start();

        var fault = assertThrows(BatchException.class,
            () -> ask("a").provider(served()).completionWindow("96h").submit());

        assertEquals("submit: POST " + server.baseUrl() + "/batches: 400 Invalid value: '96h'. Supported values are: "
            + "'1h', '24h', '48h', '72h'", fault.getMessage());
        assertEquals("completion_window", fault.param());
    }

    @Tag("C12")
    @Test void metadataOverTheLimitsIsRefusedHere() {
        var full = ask("a");
        for (int i = 10; i < 25; i++) full = full.metadata("k".repeat(62) + i, "v".repeat(512));

        assertSays("metadata: more than 15 pairs; drop one", refused(full, "one more", "v"));
        assertSays("metadata: \"" + "k".repeat(65) + "\" is over 64 characters, or its value over 512",
            refused(batch(), "k".repeat(65), "v"));
        assertSays("metadata: \"k\" is over 64 characters, or its value over 512",
            refused(batch(), "k", "v".repeat(513)));
        full.submit();
        assertEquals(16, scripted.sentBatch().path("metadata").size());
    }

    private static Executable refused(Draft draft, String key, String value) {
        return () -> draft.metadata(key, value);
    }

    @Tag("C12")
    @Test void metadataIsNeverSentEmpty() {
        ask("a").submit();

        assertEquals(Set.of("sheaf"), RawClient.names(scripted.sentBatch().path("metadata")));
    }

    @Tag("C13")
    @Test void aCreateWhoseAnswerIsLostIsFoundByItsTokenAndNotSentAgain() {
        server = BatchServer.start().on("POST /v1/batches", Fault.lost());

        var results = ask("a").provider(served()).submit().results();

        assertEquals(List.of("a"), texts(results, Result::text));
        assertEquals(1, sent("POST /v1/batches"));
    }

    @Tag("C13")
    @Test void aCreateThatFailedIsLookedForBeforeItIsSentAgain() {
        server = BatchServer.start().on("POST /v1/batches", Fault.status(500));

        ask("a").provider(served()).submit();

        var creates = server.requests().stream().filter(request -> request.endsWith(" /v1/batches")).toList();
        assertEquals(List.of("GET", "POST", "GET", "POST"), creates.stream().map(request -> request.split(" ")[0])
            .collect(ArrayList::new, SubmissionTest::addChange, ArrayList::addAll));
    }

    @Tag("C13")
    @Test void aCreateThatIsToBeSentAgainAtOnceIsLookedForFirstAllTheSame() {
        server = BatchServer.start().on("POST /v1/batches", Fault.status(503).retryAfter("0"));

        ask("a").provider(served()).submit();

        var creates = server.requests().stream().filter(request -> request.endsWith(" /v1/batches")).toList();
        assertEquals(2, sent("POST /v1/batches"));
        assertTrue(creates.subList(creates.indexOf("POST /v1/batches"), creates.lastIndexOf("POST /v1/batches"))
            .contains("GET /v1/batches"), creates::toString);
    }

    @Tag("C13")
    @ParameterizedTest(name = "a list of {0}")
    @CsvSource({"9, 2", "10, 1", "25, 1"})
    void aListThatMayGoOnStopsASecondCreate(int length, int creates) {
        scripted.on("POST /batches", Answer.status(0), GuideTest.CREATED).on("GET /batches", IntStream.range(0, length)
            .mapToObj(i -> "{\"id\":\"b" + i + "\",\"created_at\":1733832999}")
            .collect(Collectors.joining(",", "{\"data\":[", "]}")));
        assertThrows(RuntimeException.class, ask("a")::submit);

        if (creates == 2) ask("a").submit();
        else assertThrows(IllegalStateException.class, ask("a")::submit);

        assertEquals(creates, scripted.heard("POST /batches").size());
    }

    private static void addChange(List<String> changes, String next) {
        if (changes.isEmpty() || !changes.get(changes.size() - 1).equals(next)) changes.add(next);
    }

    @Tag("C13")
    @ParameterizedTest(name = "{0} {1}")
    @CsvSource({"402, pay your bill, ''", "429, Enqueued token limit reached, token_limit_exceeded",
        "400, Enqueued token limit reached, ''", "401, no, ''", "404, Input file not found, ''"})
    void aRefusalLeavesNothingToLookForWhereThereIsNoList(int status, String message, String code) {
        var refusal = new Answer(status, ("{\"error\":{\"message\":\"" + message + "\",\"code\":\"" + code + "\"}}")
            .getBytes(UTF_8), Map.of());
        scripted.completed(success("request-1", "Hello"), "");
        scripted.on("GET /batches", Answer.status(404)).on("GET /files", Answer.status(404)).on("POST /batches",
            Stream.generate(() -> refusal).limit(status == 404 ? 7 : 1).toArray());
        try {
            ask("a").submit();
        } catch (BatchException said) {
            assertEquals(status, said.status());
        }
        scripted.on("POST /batches", GuideTest.CREATED);

        assertEquals(List.of("Hello"), texts(ask("a").submit().results(), Result::text));
    }

    @Tag("C13")
    @ParameterizedTest
    @ValueSource(ints = {500, 409, 0})
    void whatMayHaveMadeABatchStopsWhereThereIsNoList(int status) {
        scripted.on("GET /batches", Answer.status(404)).on("POST /batches", Answer.status(status));

        for (int run = 1; run <= 2; run++) assertThrows(RuntimeException.class, ask("a")::submit);

        assertEquals(1, scripted.heard("POST /batches").size());
    }

    @Tag("C14")
    @Test void aFileThatIsSeenLateIsWaitedFor() {
        var creates = new AtomicInteger();
        server = BatchServer.start().showFilesAfter(Duration.ofHours(1));
        server.onEvery(request -> {
            boolean isThird = request.equals("POST /v1/batches") && creates.incrementAndGet() == 3;
            if (isThird) server.advance(Duration.ofHours(2));
            return null;
        });

        assertEquals(List.of("a"), texts(ask("a").provider(served()).submit().results(), Result::text));
        assertEquals(3, sent("POST /v1/batches"));
        assertEquals(1, sent("POST /v1/files"));
    }

    @Tag("C14")
    @Test void aFileThatIsNeverSeenIsWaitedForSomeTimesAndNoMore() {
        server = BatchServer.start().showFilesAfter(Duration.ofDays(1));

        var fault = assertThrows(BatchException.class, ask("a").provider(served())::submit);

        assertEquals(404, fault.status());
        assertTrue(sent("POST /v1/batches") > 3 && sent("POST /v1/batches") < 20, server.requests()::toString);
    }

    @Tag("C14")
    @Test void aFileThatIsSeenLateDoesNotMakeTheTriesEndless() {
        var missing = new Answer(404, "{\"error\":{\"message\":\"Input file not found\"}}".getBytes(UTF_8), Map.of());
        scripted.on("POST /batches", missing, missing, missing, Answer.status(500));

        assertEquals(500, assertThrows(BatchException.class, ask("a")::submit).status());
        assertEquals(3 + 3, scripted.heard("POST /batches").size());
    }

    @Tag("C15")
    @Test void aBatchThatTheQueueHasNoRoomForIsCreatedLaterOfTheSameFile() {
        server = BatchServer.start().refuseOver(3).pause();
        ask("two words").provider(served()).submit();
        var batch = ask("two more").provider(served()).submit();

        assertEquals(Status.WAITING, batch.status());
        assertThrows(IllegalStateException.class, () -> batch.await(Duration.ofMillis(100)));
        server.resume();

        assertEquals(List.of("two more"), texts(batch.results(), Result::text));
        assertEquals(2, sent("POST /v1/files"));
        assertTrue(sent("POST /v1/batches") > 2);
    }

    @Tag("C16")
    @Test void noStepThatWasFinishedIsMadeAgainAfterAKill() throws IOException {
        server = BatchServer.start().pause();
        var draft = ask("a", "b", "c").provider(served().limits(2, 10_000));
        var id = draft.submit().id();
        var steps = Files.readAllLines(journal().resolve("steps.jsonl"));

        for (int kept = steps.size(); kept >= 0; kept--) {
            Files.write(journal().resolve("steps.jsonl"), steps.subList(0, kept));
            assertEquals(id, draft.submit().id());
        }

        assertEquals(2, sent("POST /v1/files"));
        assertEquals(2, sent("POST /v1/batches"));
    }

    private Draft ask(String... texts) { return scripted.ask(texts); }

    private static void assertSays(String message, Executable call) {
        assertEquals(message, assertThrows(RuntimeException.class, call).getMessage());
    }

    private static <T> List<T> texts(Results results, Function<Result, T> property) {
        return results.stream().map(property).toList();
    }

    private Provider served() { return Provider.of(server.baseUrl()); }

    private int sent(String request) { return Collections.frequency(server.requests(), request); }

    private Path journal() throws IOException {
        try (var folders = Files.list(home.resolve("batches"))) {
            return folders.filter(folder -> !folder.getFileName().toString().startsWith(".")).findFirst().orElseThrow();
        }
    }
}
