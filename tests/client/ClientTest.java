package sheaf;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;
import static sheaf.support.RawClient.json;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
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
import sheaf.Vocabulary.Outcome;
import sheaf.Vocabulary.Status;
import sheaf.Vocabulary.Usage;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Fault;
import sheaf.support.Guide;
import sheaf.support.Printed;
import sheaf.support.RawClient;
import sheaf.support.ScriptedServer;
import sheaf.support.ScriptedServer.Answer;

/** What a robust client does, in the order of the conformance checklist; tests of the rooms bear its numbers too. */
class ClientTest {
    private static final String ID = "mybatch-123";
    private static final String BATCH = "/batches/" + ID;
    private static final String OUTPUT = "/files/out/content";
    private static final String ERRORS = "/files/err/content";

    @TempDir Path home;
    private final ScriptedServer scripted = new ScriptedServer()
        .on("POST /files", GuideTest.FILE)
        .on("GET /batches", "{\"object\":\"list\",\"data\":[]}")
        .on("POST /batches", GuideTest.CREATED);
    private BatchServer server;                    // of the tests that need a real one

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

    @AfterEach void close() {
        System.setProperty("SHEAF_API_KEY", "");
        scripted.close();
        if (server != null) server.close();
    }

    @Tag("C1")
    @Test void promptsAreSentAsOneJsonObjectALine() {
        ask("two\nlines\r\n", "\uFEFFmark", "tab\t", "\r").submit();

        assertTidy(4, sentFile());
    }

    @Tag("C1")
    @Test void anUntidyFileIsSentAsOneJsonObjectALine() throws IOException {
        var line = Guide.LINE;

        requests("\uFEFF" + line + "\r\n\n \t\n" + line.replace("request-1", "b").replace(",\"url", "\r,\"url"))
            .submit();

        assertTidy(2, sentFile());
    }

    private static void assertTidy(int lines, String file) {
        assertTrue(file.startsWith("{\"") && file.endsWith("}\n"), file);
        assertFalse(file.contains("\r"), file);
        assertEquals(lines, file.split("\n").length);
        for (var line : file.split("\n")) assertTrue(json(line.getBytes(UTF_8)).isObject(), line);
    }

    @Tag("C2")
    @Test void separatorsAndLoneSurrogatesSurviveTheRoundTrip() {
        var hostile = "a\u2028b\u2029c\u0085d \ud83d\ude00 \u00e9 \ud83d lone \ude00.";
        server = BatchServer.start();

        var result = ask(hostile).provider(served()).submit().results().iterator().next();

        assertEquals(hostile, result.row("value"));
        assertEquals(hostile, result.text());
    }

    @Tag("C2")
    @Test void separatorsInAFileAreEscapedOnTheirWay() throws IOException {
        requests(Guide.LINE.replace("ultimate", "\u2028\u2029\u0085\u00e9")).submit();

        assertTrue(sentFile().contains("What is the \\u2028\\u2029\\u0085\u00e9 breakfast sandwich?"), sentFile());
    }

    @Tag("C3")
    @Test void anEmptyOrRepeatedIdIsRefusedBeforeAnythingIsSent() {
        assertSays("customId: rows 1 and 3 both give \"id a\"; an id is unique",
            ask("a", "b", "a").customId("id {{value}}")::submit);
        assertSays("customId: row 2 gives an empty id", ask("a", " ").customId("{{value}}")::submit);
        assertNothingSent();
    }

    @Tag("C3")
    @Test void aFileThatRepeatsOrLacksAnIdIsRefusedBeforeAnythingIsSent() throws IOException {
        var line = Guide.LINE;

        assertSays("requests: FILE line 3: custom_id \"request-1\" stands in line 1 too; an id is unique",
            requests(line + "\n\n" + line)::submit);
        assertSays("requests: FILE line 2: no custom_id; each line needs its own",
            requests(line + "\n" + line.replace("request-1", ""))::submit);
        assertNothingSent();
    }

    @Tag("C4")
    @Test void theIdOnTheWireIsShortWhateverTheUsersIs() {
        var longId = "\u00dcn\u00efcode ".repeat(30);
        completed(success("request-2", "two") + success("request-1", "one"), "");

        var results = ask("a", "b").customId(longId + "{{value}}").submit().results();

        assertEquals(List.of("request-1", "request-2"), sentLines().stream()
            .map(line -> line.path("custom_id").asText()).toList());
        assertEquals(List.of(longId + "a one", longId + "b two"),
            texts(results, result -> result.customId() + " " + result.text()));
    }

    @Tag("C4")
    @Test void aRetryKeepsWithinTheLengthOfIds() throws IOException {
        completed("", "");
        var first = requests(Guide.LINE.replace("request-1", "x".repeat(62))).submit().results();

        var again = first.retry().quiet();

        var wire = again.preview(1).lines().get(0).replaceFirst(".*?:\"(.*?)\".*", "$1");
        assertTrue(wire.matches("[a-z0-9-]{1,64}"), wire);
        completed(success(wire, "now"), "");
        assertEquals(List.of("x".repeat(62) + " now"),
            texts(first.merge(again.submit().results()), result -> result.customId() + " " + result.text()));
    }

    @Tag("C5")
    @Test void eachPartObeysBothLimitsInEncodedBytesAndTheAnswersComeBackInOrder() {
        server = BatchServer.start();
        var texts = IntStream.range(0, 20).mapToObj(i -> "\u00e9\u20ac\ud83d\ude00".repeat(i % 5 * 9) + i)
            .toArray(String[]::new);

        var results = ask(texts).provider(served().limits(3, 700)).submit().results();

        assertEquals(List.of(texts), texts(results, Result::text));
        var client = new RawClient(() -> server.baseUrl());
        var parts = client.ids("/files?purpose=batch").stream()
            .map(id -> client.get("/files/" + id + "/content").body()).toList();
        assertTrue(parts.stream().allMatch(part -> part.length <= 700));
        assertTrue(parts.stream().allMatch(part -> new String(part, UTF_8).split("\n").length <= 3));
        assertTrue(parts.size() > 20 / 3 + 1, "none was cut by its bytes");
    }

    @Tag("C7")
    @Test void aLineOverTheLimitIsRefusedWithItsIdAndItsSize() throws IOException {
        var rows = rows(Map.of("id", "a", "text", "x"), Map.of("id", "b", "text", "x".repeat(300)));

        assertSays("prompts: row 2 (ticket b) makes a request of 434 bytes; local takes 300 in one file; shorten the "
            + "row", batch().provider(scripted().limits(10, 300)).quiet().model("m").prompts("{{text}}", rows)
                .customId("ticket {{id}}")::submit);
        assertSays("requests: line 1 (request-1) makes a request of 284 bytes; local takes 250 in one file; shorten "
            + "the row", requests(Guide.LINE).provider(scripted().limits(10, 250))::submit);
        assertNothingSent();
    }

    @Tag("C8")
    @Test void aStreamIsRefusedBeforeAnythingIsSent() throws IOException {
        assertSays("with: a batch cannot stream; leave stream out", () -> batch().with("stream", true));
        assertSays("requests: FILE line 1: stream is true; a batch cannot stream",
            requests(Guide.LINE.replace("\"max_c", "\"stream\":true,\"max_c"))::submit);
        assertNothingSent();
    }

    @Tag("C9")
    @ParameterizedTest
    @CsvSource({"/files, batch", "/files/upload, batch-api"})
    void anUploadHasANameInJsonlAPurposeAndAType(String path, String purpose) {
        scripted.on("POST " + path, GuideTest.FILE);

        ask("a").provider(scripted().dialect(new Sheaf.Dialect(true, "max_tokens", path, purpose))).submit();

        var form = scripted.heard("POST " + path).get(0).body();
        assertTrue(part("file", form).matches("(?s).*; filename=\"[^\"/]+\\.jsonl\".*"), form);
        assertTrue(part("file", form).contains("Content-Type: application/jsonl\r\n"), form);
        assertTrue(part("purpose", form).endsWith("\r\n\r\n" + purpose), form);
    }

    private static String part(String name, String form) {
        return Stream.of(form.split("\r\n--")).filter(part -> part.contains("name=\"" + name + "\"")).findFirst()
            .orElseThrow();
    }

    @Tag("C10")
    @ParameterizedTest
    @ValueSource(strings = {"/v1/", "/openai/v1", "/v1beta/openai/"})
    void theBaseUrlDoesNotLeakIntoTheLines(String path) {
        ask("a").provider(Provider.of(scripted.baseUrl(path))).submit();

        assertEquals("/v1/chat/completions", sentLines().get(0).path("url").asText());
        assertEquals("/v1/chat/completions", sentBatch().path("endpoint").asText());
        assertEquals("POST " + path.replaceFirst("/+$", "") + "/batches", scripted.heard("POST /batches").get(0)
            .route());
    }

    @Tag("C10")
    @Test void theEndpointIsTheUrlOfAFilesLines() throws IOException {
        requests(Guide.LINE.replace("/v1/chat/completions", "/v1/embeddings")).submit();

        assertEquals("/v1/embeddings", sentBatch().path("endpoint").asText());
    }

    @Tag("C11")
    @ParameterizedTest
    @ValueSource(strings = {"1h", "336h", "7d"})
    void aWindowIsAnyNumberOfHoursOrDays(String window) {
        ask("a").completionWindow(window).submit();

        assertEquals(window, sentBatch().path("completion_window").asText());
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
        assertEquals(16, sentBatch().path("metadata").size());
    }

    private static Executable refused(Draft draft, String key, String value) {
        return () -> draft.metadata(key, value);
    }

    @Tag("C12")
    @Test void metadataIsNeverSentEmpty() {
        ask("a").submit();

        assertEquals(Set.of("sheaf"), RawClient.names(sentBatch().path("metadata")));
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
            .collect(ArrayList::new, ClientTest::addChange, ArrayList::addAll));
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
        completed(success("request-1", "Hello"), "");
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
        server = BatchServer.start().showFilesAfter(Duration.ofMillis(200));

        assertEquals(List.of("a"), texts(ask("a").provider(served()).submit().results(), Result::text));
        assertTrue(sent("POST /v1/batches") > 1);
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

    @Tag("C17")
    @ParameterizedTest
    @ValueSource(strings = {"completed", "COMPLETED", "expired", "Expired", "cancelled", "CANCELED", "canceled",
        "FAILED"})
    void aBatchHasEndedInAnySpelling(String status) {
        completed("", "");
        scripted.on("GET " + BATCH, collected(status));

        var ended = ask("a").submit().await();

        assertTrue(ended.status().isTerminal());
        assertEquals(status.toLowerCase(Locale.ROOT).replace("canceled", "cancelled"), ended.status().text());
        assertEquals(1, scripted.heard("GET " + BATCH).size());
    }

    @Tag("C17")
    @ParameterizedTest
    @ValueSource(strings = {"in_queue", "pre_schedule", "PROGRESS", "done", ""})
    void anUnknownStatusIsShownAsItIsAndWaitedFor(String status) {
        scripted.on("GET " + BATCH, ended(status), ended(status), ended("completed"));
        var batch = ask("a").submit();

        assertEquals(new Status(status), batch.status());
        assertEquals(Status.COMPLETED, batch.await().status());
        assertEquals(3, scripted.heard("GET " + BATCH).size());
    }

    @Tag("C18")
    @ParameterizedTest(name = "status {0}")
    @ValueSource(ints = {408, 425, 429, 500, 502, 503, 504, 0})
    void aFaultOfAPollDoesNotEndTheWait(int status) {
        scripted.on("GET " + BATCH, Answer.status(status), Answer.status(status), ended("completed"));

        assertEquals(Status.COMPLETED, ask("a").submit().await().status());
    }

    @Tag("C18")
    @Test void aNameThatDoesNotResolveDoesNotEndTheWait() throws IOException {
        completed(success("request-1", "Hello"), "");
        System.setProperty("SHEAF_API_KEY", "k");
        ask("a").name("away").submit();
        var draft = journal().resolve("draft.json");
        var told = Files.readString(draft);

        Files.writeString(draft, told.replace(scripted.baseUrl(""), "http://nowhere.invalid"));
        assertSays("await: " + ID + " still validating after 50ms (0/0); it goes on: batch(\"" + ID + "\").await()",
            () -> batch("away").await(Duration.ofMillis(50)));

        Files.writeString(draft, told);
        assertEquals(List.of("Hello"), texts(batch("away").results(), Result::text));
    }

    @Tag("C18")
    @ParameterizedTest(name = "{0}: {1}")
    @CsvSource({"Retry-After, 1, 990", "Retry-After, 0.3, 290", "retry-after-ms, 300, 290", "Retry-After, DATE, 900"})
    void thePauseThatAProviderAsksForIsMade(String header, String value, long millis) {
        var inTwoSeconds = DateTimeFormatter.RFC_1123_DATE_TIME
            .format(ZonedDateTime.now(ZoneOffset.UTC).plusSeconds(2));
        scripted.on("GET " + BATCH, Answer.status(429).header(header, value.replace("DATE", inTwoSeconds)),
            ended("completed"));

        ask("a").submit().await();

        long gap = scripted.gaps("GET " + BATCH).get(0);
        assertTrue(gap >= millis && gap < 2_500, gap + " ms");
    }

    @Tag("C18")
    @ParameterizedTest
    @ValueSource(strings = {"86400", "1e300", "NaN", "-5", "soon", "Fri, 31 Dec 9999 23:59:59 GMT"})
    void anAbsurdPauseIsNotMadeToItsEnd(String value) {
        scripted.on("GET " + BATCH, Answer.status(503).header("Retry-After", value));
        var batch = ask("a").submit();

        assertThrows(IllegalStateException.class, () -> batch.await(Duration.ofMillis(20)));
    }

    @Tag("C19")
    @ParameterizedTest(name = "status {0}")
    @ValueSource(ints = {401, 403})
    void aKeyThatIsRefusedEndsTheWaitAndNotTheBatch(int status) {
        scripted.on("GET " + BATCH, Answer.status(status));
        var batch = ask("a").submit();

        assertSays("await: GET " + scripted.baseUrl("/v1") + BATCH + ": " + status + " status " + status
            + (status == 401 ? "; check SHEAF_API_KEY" : ""), batch::await);
        assertEquals(1, scripted.heard("GET " + BATCH).size());
        completed(success("request-1", "Hello"), "");
        assertEquals(List.of("Hello"), texts(batch(ID).results(), Result::text));
    }

    @Tag("C19")
    @Test void aBatchThatIsNotThereTimeAndAgainEndsTheWaitAndNotTheBatch() {
        scripted.on("GET " + BATCH, Answer.status(404));
        var batch = ask("a").submit();

        var fault = assertThrows(BatchException.class, batch::await);

        assertTrue(fault.getMessage().matches("await: GET .*" + BATCH + ": 404 status 404; if it is gone for good, "
            + "delete .*/batches/rows-[0-9a-f]{12} and run again"), fault.getMessage());
        assertTrue(scripted.heard("GET " + BATCH).size() > 2);
        completed(success("request-1", "Hello"), "");
        assertEquals(List.of("Hello"), texts(batch(ID).results(), Result::text));
    }

    @Tag("C20")
    @Test void aRemoteProviderIsAskedSeldomAndALocalOneAtOnce() {
        System.setProperty("SHEAF_API_KEY", "k");
        scripted.on("GET " + BATCH, GuideTest.CREATED);
        var local = ask("a").submit();
        var remote = ask("a").provider(scripted.baseUrl("/v1").replace("127.0.0.1", "[::ffff:127.0.0.1]")).submit();

        assertThrows(IllegalStateException.class, () -> remote.await(Duration.ofSeconds(2)));
        assertEquals(2, scripted.heard("GET " + BATCH).size());     // at once, and when the time was up
        assertThrows(IllegalStateException.class, () -> local.await(Duration.ofMillis(300)));
        assertTrue(scripted.heard("GET " + BATCH).size() > 5);
    }

    @Tag("C20")
    @Test void pollsGrowRareInNoFixedStep() {
        scripted.on("GET " + BATCH, GuideTest.CREATED);

        assertThrows(IllegalStateException.class, () -> ask("a").submit().await(Duration.ofMillis(2_200)));

        var gaps = scripted.gaps("GET " + BATCH);
        gaps = gaps.subList(0, gaps.size() - 1);                    // the last one ended when the time was up
        var growth = new TreeSet<Double>();
        for (int i = 4; i < gaps.size(); i++) growth.add(1.0 * gaps.get(i) / gaps.get(i - 1));
        assertTrue(gaps.get(gaps.size() - 1) > 4 * gaps.get(0), gaps::toString);
        assertTrue(growth.last() - growth.first() > 0.05, growth::toString);
    }

    @Tag("C21")
    @Test void aWaitThatReachedItsDeadlineIsTakenUpAgainById() {
        scripted.on("GET " + BATCH, GuideTest.CREATED);
        var batch = ask("a").submit();

        assertSays("await: " + ID + " still validating after 50ms (0/0); it goes on: batch(\"" + ID + "\").await()",
            () -> batch.await(Duration.ofMillis(50)));

        completed(success("request-1", "Hello"), "");
        assertEquals(List.of("Hello"), texts(batch(ID).await().results(), Result::text));
        assertEquals(1, scripted.heard("POST /batches").size());
    }

    @Tag("C22")
    @ParameterizedTest
    @ValueSource(strings = {"1733832777", "\"1733832777\"", "1733832777000", "\"1733832777123\"", "1733832777.5",
        "\"2024-12-10T12:12:57.123456Z\"", "\"2024-12-10T12:12:57+00:00\""})
    void aTimeOfAnyShapeIsShown(String time) {
        scripted.on("GET /batches", "{\"data\":[{\"id\":\"a\",\"created_at\":" + time + "}]}");

        assertTrue(scripted().batches(1).toString().matches("(?s).* 2024-12-1. ..:..\\s*"),
            scripted().batches(1).toString());
    }

    @Tag("C22")
    @ParameterizedTest
    @ValueSource(strings = {"null", "{}", "\"\"", "99999999999999999999", "\"soon\"", "-1"})
    void timesThatSayNothingOrStandInNoOrderAreNoObstacle(String time) {
        var batch = collected("completed").put("completed_at", 1).put("in_progress_at", 3).put("expires_at", 2);
        batch.set("created_at", json(time.getBytes(UTF_8)));
        batch.remove("finalizing_at");
        completed(success("request-1", "Hello"), "");
        scripted.on("GET " + BATCH, batch);

        assertEquals(1, ask("a").submit().results().succeeded().size());
        scripted.on("GET /batches", "{\"data\":[" + batch + "]}");
        assertTrue(scripted().batches(1).toString().contains(ID));
    }

    @Tag("C23")
    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "{}                                                         | 0/0",
        "{\"request_counts\":null}                                  | 0/0",
        "{\"request_counts\":{\"completed\":null}}                  | 0/0",
        "{\"request_counts\":7}                                     | 0/7",
        "{\"request_counts\":7,\"completed\":4,\"failed\":1}        | 5/7, 1 failed",
        "{\"total\":7,\"completed\":4,\"failed\":1}                 | 5/7, 1 failed",
        "{\"request_counts\":{\"total\":\"7\",\"completed\":\"4\"}} | 4/7",
        "{\"request_counts\":[],\"progress\":33.3}                  | 0/0",
        "{\"request_counts\":\"many\"}                              | 0/0"})
    void countsOfAnyShapeAreShownWithoutDividingByZero(String fields, String counts) {
        var batch = ended("in_progress");
        batch.remove("request_counts");
        batch.setAll((ObjectNode) json(fields.getBytes(UTF_8)));
        scripted.on("GET " + BATCH, batch, batch, ended("completed"));

        assertEquals(ID + " in_progress " + counts + "\n" + ID + " completed 4/4\n",
            Printed.stderr(() -> scripted().batch(ID).await()));
    }

    @Tag("C23")
    @Test void allRequestsDoneIsNotTheEnd() {
        scripted.on("GET " + BATCH, ended("finalizing"));
        var batch = ask("a").submit();

        assertSays("await: " + ID + " still finalizing after 50ms (4/4); it goes on: batch(\"" + ID + "\").await()",
            () -> batch.await(Duration.ofMillis(50)));
    }

    @Tag("C24")
    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "null                                               | the provider gave no reason",
        "{}                                                 | the provider gave no reason",
        "[]                                                 | the provider gave no reason",
        "{\"data\":null}                                    | the provider gave no reason",
        "\"too odd\"                                        | 1 fault in the input file: too odd",
        "\"\"                                               | 1 fault in the input file: no reason given",
        "[\"odd\",\"even\"]                                 | 2 faults in the input file: odd, even",
        "{\"data\":[{\"code\":\"x\",\"message\":\"odd\",\"param\":null,\"line\":null}]}"
            + "                                             | 1 fault in the input file: odd (x)",
        "[{\"message\":\"odd\",\"line\":2}]                 | 1 fault in the input file: row 2 odd",
        "{\"data\":[{\"code\":\"x\",\"line\":\"3\"},{\"line\":1}]}"
            + "                             | 2 faults in the input file: row 3 x, row 1 no reason given"})
    void whyABatchFailedIsReadInAnyShape(String errors, String said) {
        scripted.on("GET " + BATCH, ended("failed").putNull("output_file_id")
            .set("errors", json(errors.getBytes(UTF_8))));

        assertSays("await: " + ID + " failed; " + said, ask("a", "b", "c").submit()::await);
    }

    @Tag("C24")
    @Test void theFaultOfALineIsTheErrorOfTheRequestThatStandsThere() {
        server = BatchServer.start().models("good");
        var rows = rows(Map.of("id", 1, "m", "good"), Map.of("id", 2, "m", "bad"), Map.of("id", 3, "m", "good"));

        var failed = batch().provider(served()).quiet().model("{{m}}").customId("ticket {{id}}")
            .prompts("{{id}}", rows).submit().results().failed();

        assertEquals(List.of("ticket 2: The provided model 'bad' is not supported by the Batch API. (model_not_found)"),
            texts(failed, result -> result.customId() + ": " + result.error()));
    }

    @Tag("C25")
    @Test void whatNobodyKnowsIsPassedOver() {
        var odd = "{\"big\":9223372036854775807,\"bigger\":18446744073709551616,\"deep\":{\"x\":[null,{}]}}";
        completed(success("request-1", "Hello").replace("{\"id\"", "{\"odd\":" + odd + ",\"id\"")
            .replace("{\"choices\"", "{\"odd\":" + odd + ",\"choices\""), "");
        scripted.on("GET " + BATCH, collected("completed").set("odd", json(odd.getBytes(UTF_8))));
        scripted.on("GET /files", "{\"data\":[{\"id\":\"f\",\"odd\":" + odd + "}],\"odd\":" + odd + "}");

        var batch = ask("a").submit();

        assertEquals("Hello", batch.results().iterator().next().text());
        assertEquals(odd, batch.results().iterator().next().json().path("odd").toString());
        assertEquals(odd, batch.parts().get(0).json().path("odd").toString());
        assertTrue(scripted().files().get(0).toString().contains("bigger=18446744073709551616"));
    }

    @Tag("C26")
    @ParameterizedTest
    @ValueSource(strings = {"completed", "failed", "expired", "cancelled"})
    void bothFilesAreFetchedHoweverTheBatchEnded(String status) {
        completed(success("request-1", "Hello"), failure("request-2", 400));
        scripted.on("GET " + BATCH, collected(status));

        assertEquals(List.of("Hello", "400 bad"), texts(ask("a", "b").submit().results(), ClientTest::said));
    }

    @Tag("C26")
    @ParameterizedTest
    @ValueSource(strings = {"null", "\"\"", ""})
    void aFileThatIsNotThereIsNotAskedFor(String id) {
        var batch = ended("completed");
        for (var file : List.of("output_file_id", "error_file_id")) batch.set(file, json(id.getBytes(UTF_8)));
        if (id.isEmpty()) batch.remove(List.of("output_file_id", "error_file_id"));
        scripted.on("GET " + BATCH, batch);

        assertEquals(Map.of(Outcome.MISSING, 1L), ask("a").submit().results().counts());
        assertEquals(List.of(), scripted.heard("content"));
    }

    @Tag("C26")
    @ParameterizedTest(name = "{0}, {1} looks too early")
    @CsvSource({"completed, 2", "expired, 2", "cancelled, 2", "expired, 6"})
    void aFileThatIsNamedLateIsFetchedByThisRunOrTheNext(String status, int early) {
        var unnamed = ended(status).putNull("output_file_id");
        var named = ended(status).set("request_counts", json("{\"completed\":1}".getBytes(UTF_8)));
        completed(success("request-1", "Hello"), "");
        scripted.on("GET " + BATCH, Stream.concat(Stream.generate(() -> unnamed).limit(early), Stream.of(named))
            .toArray());

        if (early > 5) assertEquals(Map.of(Outcome.MISSING, 1L), ask("a").repair(1).submit().results().counts());

        assertEquals("Hello", ask("a").repair(1).submit().results().iterator().next().text());
        assertEquals(1, scripted.heard("POST /batches").size());
    }

    @Tag("C27")
    @Test void noBytesAreNoResults() {
        completed("", "");

        assertEquals(Map.of(Outcome.MISSING, 2L), ask("a", "b").submit().results().counts());
    }

    @Tag("C28")
    @Test void linesEndAtANewlineAndNowhereElse() {
        completed("\uFEFF" + success("request-1", "a\u2028b\u2029c\u0085d") + "\r\n \n"
            + success("request-2", "two").replace("\n", "\r\n") + success("request-3", "three").replace(",", ",\r")
            + "{\"custom_id\":\n" + success("request-4", "last").strip(), "");

        var said = Printed.stderr(() -> assertEquals(List.of("a\u2028b\u2029c\u0085d", "two", "three", "last"),
            texts(batch().provider(scripted()).model("m").prompts("1", "2", "3", "4").submit().results(),
                Result::text)));

        assertTrue(said.contains("results: part-1.output.jsonl line 6 is not a JSON object; its request counts as "
            + "missing\n"), said);
    }

    @Tag("C28")
    @Test void aLineThatIsNoUtf8HidesNoOther() {
        completed("", "");
        scripted.on("GET " + OUTPUT, new Answer(200, (success("request-1", "\u00e9") + success("request-2", "two"))
            .getBytes(ISO_8859_1), Map.of()));

        assertEquals(List.of(Outcome.MISSING, Outcome.SUCCEEDED),
            texts(ask("a", "b").submit().results(), Result::outcome));
    }

    @Tag("C29")
    @Test void aLineSaysItselfHowItsRequestEnded() {
        var output = line(1, 200, "null") + line(2, 200, "{\"code\":\"x\"}") + line(3, 400, "null")
            + line(4, 0, "null") + line(5, 199, "null");
        var errors = line(6, 200, "null") + line(7, 299, "\"\"") + line(8, 300, "null") + line(9, 200, "\"odd\"");
        completed(output, errors);

        var results = ask("1", "2", "3", "4", "5", "6", "7", "8", "9").submit().results();

        assertEquals(List.of("request-1", "request-6", "request-7"), texts(results.succeeded(), Result::customId));
        assertEquals(Map.of(Outcome.SUCCEEDED, 3L, Outcome.ERRORED, 6L), results.counts());
    }

    @Tag("C30")
    @Test void linesOfOtherServersAreRead() {
        completed(String.join("\n",
            "{\"custom_id\":\"request-1\",\"response\":{\"status_code\":200,\"body\":"
                + "\"{\\\"choices\\\":[{\\\"message\\\":{\\\"content\\\":\\\"body is text\\\"}}]}\"}}",
            "{\"custom_id\":\"request-2\",\"response\":{\"body\":{\"choices\":[{\"message\":{\"content\":"
                + "\"no status\"}}]}}}",
            "{\"custom_id\":\"request-3\",\"error\":\"error is text\"}",
            "{\"custom_id\":\"request-4\",\"response\":{\"status_code\":400,\"message\":\"no body\"}}",
            "{\"custom_id\":\"request-5\",\"response\":{\"status_code\":400,\"body\":null},\"error\":"
                + "{\"object\":\"error\",\"message\":\"body is null\",\"code\":400}}",
            "{\"custom_id\":\"request-6\",\"response\":{\"status_code\":400,\"body\":null},\"error\":"
                + "{\"error\":{\"message\":\"error in error\",\"code\":400}}}",
            "{\"custom_id\":\"request-7\",\"response\":{\"status_code\":500,\"body\":\"<html>\"}}",
            "{\"custom_id\":\"request-8\"}"), "");

        assertEquals(List.of("body is text", "no status", "error is text", "400 no body", "400 body is null",
            "400 error in error", "500 <html>", "the provider lost the request (status 0)"),
            texts(ask("1", "2", "3", "4", "5", "6", "7", "8").submit().results(), ClientTest::said));
    }

    @Tag("C31")
    @ParameterizedTest
    @CsvSource({"completed, MISSING", "expired, EXPIRED", "cancelled, CANCELLED"})
    void everyRequestEndsInOneOutcomeHoweverTheBatchEnded(String status, Outcome rest) {
        completed(success("request-1", "Hello"), failure("request-2", 400)
            + "{\"custom_id\":\"request-3\",\"response\":null,\"error\":{\"code\":\"batch_expired\"}}\n"
            + "{\"custom_id\":\"request-4\",\"response\":null,\"error\":{\"code\":\"batch_cancelled\"}}\n");
        scripted.on("GET " + BATCH, collected(status));

        var results = ask("1", "2", "3", "4", "5").submit().results();

        assertEquals(List.of(Outcome.SUCCEEDED, Outcome.ERRORED, Outcome.EXPIRED, Outcome.CANCELLED, rest),
            texts(results, Result::outcome));
        assertEquals(5, results.counts().values().stream().mapToLong(Long::longValue).sum());
        assertFalse(texts(results.failed(), Result::error).contains(""));
    }

    @Tag("C32")
    @Test void anAnswerTooManyIsReportedAndReplacesNone() {
        completed(success("request-1", "first") + success("request-1", "second") + success("request-99", "?"),
            failure("request-1", 500) + success("stranger", "?"));

        var said = Printed.stderr(() -> assertEquals("first", batch().provider(scripted()).model("m").prompts("1")
            .submit()
            .results().iterator().next().text()));

        assertEquals(List.of(
            "results: part-1.output.jsonl line 2 answers \"request-1\" a second time; the first answer stands",
            "results: part-1.output.jsonl line 3 answers \"request-99\", which was never asked",
            "results: part-1.error.jsonl line 1 answers \"request-1\" a second time; the first answer stands",
            "results: part-1.error.jsonl line 2 answers \"stranger\", which was never asked"),
            said.lines().filter(line -> line.startsWith("results: ")).toList());
    }

    @Tag("C33")
    @Test void whatMayPassIsSentAgainUnderFreshIdsAndNothingElse() {
        var passing = List.of(0, 408, 409, 425, 429, 500, 502, 503, 504);
        var lasting = List.of(400, 401, 403, 404, 413, 422);
        var ids = new ArrayList<String>();
        var errors = new StringBuilder();
        for (var status : Stream.of(passing, lasting).flatMap(List::stream).toList()) {
            ids.add("" + status);
            errors.append(failure("request-" + ids.size(), status));
        }
        ids.addAll(List.of("expired", "cancelled", "missing"));
        errors.append("{\"custom_id\":\"request-16\",\"error\":{\"code\":\"batch_expired\"}}\n"
            + "{\"custom_id\":\"request-17\",\"error\":{\"code\":\"batch_cancelled\"}}\n");
        completed("", errors.toString());

        var again = ask(ids.toArray(String[]::new)).submit().results().retry().preview(99);

        assertEquals(Stream.concat(passing.stream().map(String::valueOf), ids.stream().skip(15)).toList(),
            again.lines().stream().map(line -> json(line.getBytes(UTF_8)).at("/body/messages/0/content").asText())
                .toList());
        assertTrue(again.lines().stream().allMatch(line -> line.matches("\\{\"custom_id\":\"request-[0-9]+-r2\".*")),
            again.toString());
    }

    @Tag("C35")
    @ParameterizedTest(name = "status {0}")
    @ValueSource(ints = {404, 410})
    void aFileThatIsGoneIsSaidToBeAndItsRequestsAreMissing(int status) {
        completed(success("request-1", "Hello"), "");
        scripted.on("GET " + ERRORS, Answer.status(status));

        var said = Printed.stderr(() -> assertEquals(Map.of(Outcome.SUCCEEDED, 1L, Outcome.MISSING, 1L),
            batch().provider(scripted()).model("m").prompts("1", "2").submit().results().counts()));

        assertTrue(said.contains("results: GET " + scripted.baseUrl("/v1") + ERRORS + ": " + status + " status "
            + status + "; its file is gone, and the requests in it count as missing\n"), said);
    }

    @Tag("C36")
    @Test void resultsLargerThanTheHeapAreReadInInputOrder() throws Exception {
        server = BatchServer.start().reply(text -> text + " " + "x".repeat(60_000)).shuffleOutput();

        assertEquals("600 in input order, 36 MB", script("-Xmx32m", 600));
    }

    @Tag("C37")
    @Test void tokensAreReadByEitherNameAndSummed() {
        completed(success("request-1", "one").replace("\"choices\"", "\"usage\":{\"prompt_tokens\":3,"
            + "\"completion_tokens\":2,\"prompt_tokens_details\":{\"cached_tokens\":1}},\"choices\"")
            + success("request-2", "two").replace("\"choices\"", "\"usage\":{\"input_tokens\":30,"
            + "\"output_tokens\":20,\"output_tokens_details\":{\"reasoning_tokens\":10}},\"choices\""), "");

        assertEquals(new Usage(33, 22, 1, 10), ask("a", "b").submit().results().usage());
    }

    @Tag("C37")
    @Test void tokensAreThoseOfTheBatchIfEveryPartSaysThem() {
        server = BatchServer.start().rewrite(lines -> lines.stream()
            .map(line -> line.replaceAll("_tokens\":[0-9]+", "_tokens\":1000")).toList());
        var parts = ask("a b", "c d e").provider(served().limits(1, 10_000));

        assertEquals(new Usage(5, 5, 0, 0), parts.submit().results().usage());
        assertEquals(new Usage(1_000, 1_000, 0, 0), parts.submit().results().succeeded().by(Result::customId)
            .get("request-1").usage());
    }

    @Tag("C37")
    @Test void tokensOfABatchThatDoesNotSayThemAreSummed() {
        completed(success("request-1", "one").replace("\"choices\"", "\"usage\":{\"prompt_tokens\":3},\"choices\""),
            "");
        var batch = collected("completed");

        batch.putObject("usage").put("input_tokens", 7).put("output_tokens", 1);
        scripted.on("GET " + BATCH, batch.toString());
        assertEquals(new Usage(7, 1, 0, 0), ask("a").submit().results().usage());
        scripted.on("GET " + BATCH, batch.putNull("usage"));
        assertEquals(new Usage(3, 0, 0, 0), ask("a").name("another").submit().results().usage());
    }

    @Tag("C38")
    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "has_more false      | {\"data\":[{\"id\":\"a\"},{\"id\":\"b\"}],\"has_more\":false}               | 1 | 2",
        "an empty page       | {\"data\":[{\"id\":\"a\"}],\"has_more\":true}~{\"data\":[],\"has_more\":true} | 2 | 1",
        "an empty first page | {\"data\":[],\"has_more\":true}                                              | 1 | 0",
        "nothing new         | {\"data\":[{\"id\":\"a\"}],\"has_more\":true}                                | 2 | 1",
        "no has_more         | {\"data\":[{\"id\":\"a\"}]}~{\"data\":[{\"id\":\"b\"}]}~{\"data\":[]}        | 3 | 2",
        "has_more null       | {\"data\":[{\"id\":\"a\"}],\"has_more\":null}~{\"data\":[]}                  | 2 | 1",
        "no envelope         | [{\"id\":\"a\"},{\"id\":\"b\"}]                                              | 2 | 2"})
    void aListEndsAt(String what, String pages, int gets, int items) {
        scripted.on("GET /batches", (Object[]) pages.split("~"));

        assertEquals(items, scripted().batches(50).size());
        assertEquals(gets, scripted.heard("GET /batches").size());
    }

    @Tag("C38")
    @Test void theNextPageIsAfterTheLastItemSeen() {
        scripted.on("GET /batches", "{\"data\":[{\"id\":\"b\"},{\"id\":\"a\"}],\"last_id\":\"b\",\"has_more\":true}",
            "{\"data\":[]}");

        scripted().batches(50);

        assertTrue(scripted.heard("GET /batches").get(1).query().matches("(.*&)?after=a(&.*)?"));
    }

    @Tag("C39")
    @ParameterizedTest(name = "status {0}")
    @ValueSource(ints = {409, 400})
    void cancellingWhatIsOverReadsHowItEnded(int status) {
        completed(success("request-1", "Hello"), "");
        scripted.on("POST " + BATCH + "/cancel", Answer.status(status));
        var batch = ask("a").submit();

        assertEquals(Status.COMPLETED, batch.cancel().status());
        assertEquals(List.of("Hello"), texts(batch.results(), Result::text));
    }

    @Tag("C39")
    @Test void cancellingWhatGoesOnReadsHowItEnds() {
        scripted.on("POST " + BATCH + "/cancel", ended("cancelling"))
            .on("GET " + BATCH, ended("cancelling"), ended("cancelled"));
        var batch = ask("a").submit();

        assertEquals("Batch[mybatch-123 cancelling 4/4]", batch.cancel().toString());
        assertEquals(Status.CANCELLED, batch.await().status());
    }

    @Tag("C40")
    @ParameterizedTest(name = "status {0}")
    @ValueSource(ints = {400, 401, 429, 0})
    void aKeyStandsInNoErrorAndNoLog(int status) {
        System.setProperty("SHEAF_API_KEY", "sk-secret");
        scripted.on("GET " + BATCH, Answer.status(status));

        var trace = new StringWriter();
        var said = Printed.stderr(() -> assertThrows(RuntimeException.class, () -> batch().provider(scripted())
            .model("m")
            .prompts("1").submit().await(Duration.ofMillis(1))).printStackTrace(new PrintWriter(trace)));

        assertTrue(said.contains("submitted " + ID) && trace.toString().contains("await: "), said + trace);
        assertFalse((said + trace + scripted() + batch(ID)).contains("secret"), said + trace);
    }

    @Tag("C40")
    @Test void aKeyThatTheProviderRepeatsIsNotSaid() {
        System.setProperty("SHEAF_API_KEY", "sk-secret");
        scripted.on("GET " + BATCH, new Answer(401,
            "{\"error\": {\"message\": \"Incorrect API key: sk-secret\"}}".getBytes(UTF_8), Map.of()));

        var trace = new StringWriter();
        var fault = assertThrows(RuntimeException.class, () -> ask("a").submit().await());
        fault.printStackTrace(new PrintWriter(trace));

        assertTrue(fault.getMessage().contains("401 Incorrect API key: (the key)"), fault.getMessage());
        assertFalse(trace.toString().contains("sk-secret"), trace.toString());
    }

    /** Submits many requests and reads the results. */
    static final class Script {
        public static void main(String... args) {
            var results = batch().provider(args[0]).quiet().model("m").prompts("{{value}}",
                rows(IntStream.range(0, Integer.parseInt(args[1])).mapToObj(i -> "n" + i).toList())).submit().results();
            int inOrder = 0;
            long characters = 0;
            for (var result : results) {
                if (result.text().startsWith("n" + inOrder + " ")) inOrder++;
                characters += result.text().length();
            }
            System.out.print(inOrder + " in input order, " + characters / 1_000_000 + " MB");
        }
    }

    private String script(String heap, int requests) throws IOException {
        var script = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(), heap,
            "-XX:TieredStopAtLevel=1", "-DSHEAF_HOME=" + home, "-cp", System.getProperty("java.class.path"),
            Script.class.getName(), server.baseUrl(), "" + requests).redirectErrorStream(true).start();
        return new String(script.getInputStream().readAllBytes(), UTF_8);
    }

    private Provider scripted() { return Provider.of(scripted.baseUrl("/v1")); }

    /** An address of this machine that is not known as one, so that the provider counts as a remote one. */
    private String hosted() { return server.baseUrl().replace("127.0.0.1", "[::ffff:127.0.0.1]"); }

    private Provider served() { return Provider.of(server.baseUrl()); }

    /** The smallest valid draft: one request per text. */
    private Draft ask(String... texts) {
        return batch().provider(scripted()).quiet().model("m").prompts("{{value}}", rows(List.of(texts)));
    }

    private Draft requests(String content) throws IOException {
        return batch().provider(scripted()).quiet().requests(Files.writeString(home.resolve("r.jsonl"), content));
    }

    private String sentFile() { return ScriptedServer.file(scripted.heard("POST /files").get(0)); }

    private List<JsonNode> sentLines() { return sentFile().lines().map(line -> json(line.getBytes(UTF_8))).toList(); }

    private JsonNode sentBatch() { return json(scripted.heard("POST /batches").get(0).body().getBytes(UTF_8)); }

    private int sent(String request) { return Collections.frequency(server.requests(), request); }

    private void assertNothingSent() { assertEquals(List.of(), scripted.heard("")); }

    /** The batch of the guide, over, with an output file: one that is completed without any is asked for it again. */
    private static ObjectNode ended(String status) {
        var batch = (ObjectNode) json(GuideTest.COMPLETED.getBytes(UTF_8));
        return batch.put("status", status).put("output_file_id", "out");
    }

    /** The batch of the guide, over, with an output and an error file, and no word on how many lines they hold. */
    private static ObjectNode collected(String status) {
        return ended(status).put("output_file_id", "out").put("error_file_id", "err").putNull("request_counts");
    }

    private void completed(String output, String errors) {
        scripted.on("GET " + BATCH, collected("completed")).on("GET " + OUTPUT, output).on("GET " + ERRORS, errors);
    }

    private static String success(String id, String text) {
        return "{\"id\":\"r\",\"custom_id\":\"" + id + "\",\"response\":{\"status_code\":200,\"body\":"
            + "{\"choices\":[{\"message\":{\"content\":\"" + text + "\"},\"finish_reason\":\"stop\"}]}},"
            + "\"error\":null}\n";
    }

    private static String failure(String id, int status) {
        return "{\"id\":\"r\",\"custom_id\":\"" + id + "\",\"response\":{\"status_code\":" + status
            + ",\"body\":{\"error\":{\"message\":\"bad\"}}},\"error\":null}\n";
    }

    /** A line with a text, whatever else it says. */
    private static String line(int number, int status, String error) {
        return success("request-" + number, "text").replace("200", "" + status).replace("null", error);
    }

    private static <T> List<T> texts(Results results, Function<Result, T> property) {
        return results.stream().map(property).toList();
    }

    private static String said(Result result) { return result.ok() ? result.text() : result.error(); }

    private void assertSays(String message, Executable call) {
        assertEquals(message.replace("FILE", home.resolve("r.jsonl").toString()),
            assertThrows(RuntimeException.class, call).getMessage());
    }

    private Path journal() throws IOException {
        try (var folders = Files.list(home.resolve("batches"))) {
            return folders.filter(folder -> !folder.getFileName().toString().startsWith(".")).findFirst().orElseThrow();
        }
    }
}
