package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.ScriptedProvider.BATCH;
import static sheaf.ScriptedProvider.ID;
import static sheaf.ScriptedProvider.collected;
import static sheaf.ScriptedProvider.ended;
import static sheaf.ScriptedProvider.success;
import static sheaf.Sheaf.batch;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.time.temporal.ChronoUnit;
import java.util.List;
import java.util.Locale;
import java.util.function.Function;
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
import sheaf.Sheaf.Result;
import sheaf.Sheaf.Results;
import sheaf.Vocabulary.BatchException;
import sheaf.Vocabulary.Status;
import sheaf.support.ScriptedServer.Answer;
import sheaf.support.Trials;

/** The wait for a batch: how often the provider is asked, and what ends it. */
class WatchTest {
    @TempDir Path home;
    @AutoClose private final ScriptedProvider scripted = new ScriptedProvider();

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

    @AfterEach void close() { System.setProperty("SHEAF_API_KEY", ""); }

    @Tag("C17")
    @ParameterizedTest
    @ValueSource(strings = {"completed", "COMPLETED", "expired", "Expired", "cancelled", "CANCELED", "canceled",
        "FAILED"})
    void aBatchHasEndedInAnySpelling(String status) {
        scripted.completed("", "");
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
        scripted.completed(success("request-1", "Hello"), "");
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

    /** A busy machine only makes it longer; that it is asked for exactly is a test of Retry. */
    @Tag("C18")
    @ParameterizedTest(name = "{0}: {1}")
    @CsvSource({"Retry-After, 1, 990", "Retry-After, 0.3, 290", "retry-after-ms, 300, 290"})
    void thePauseThatAProviderAsksForIsMade(String header, String value, long millis) {
        scripted.on("GET " + BATCH, Answer.status(429).header(header, value), ended("completed"));

        ask("a").submit().await();

        long gap = scripted.gaps("GET " + BATCH).get(0);
        assertTrue(gap >= millis, gap + " ms");
    }

    @Tag("C18")
    @Test void theDateThatAProviderNamesIsWaitedFor() {
        var date = ZonedDateTime.now(ZoneOffset.UTC).truncatedTo(ChronoUnit.SECONDS).plusSeconds(2);
        scripted.on("GET " + BATCH, Answer.status(429).header("Retry-After",
            DateTimeFormatter.RFC_1123_DATE_TIME.format(date)), ended("completed"));

        ask("a").submit().await();

        assertFalse(ZonedDateTime.now().plusNanos(10_000_000).isBefore(date), "a look before " + date);
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
        scripted.completed(success("request-1", "Hello"), "");
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
        scripted.completed(success("request-1", "Hello"), "");
        assertEquals(List.of("Hello"), texts(batch(ID).results(), Result::text));
    }

    @Tag("C20")
    @Test void aRemoteProviderIsAskedSeldomAndALocalOneAtOnce() throws Exception {
        System.setProperty("SHEAF_API_KEY", "k");
        scripted.on("GET " + BATCH, GuideTest.CREATED);
        var local = ask("a").submit();
        var remote = ask("a").provider(scripted.baseUrl("/v1").replace("127.0.0.1", "[::ffff:127.0.0.1]")).submit();

        assertThrows(IllegalStateException.class, () -> remote.await(Duration.ofSeconds(2)));
        assertEquals(2, scripted.heard("GET " + BATCH).size());     // at once, and when the time was up
        Trials.slower(time -> {
            assertThrows(IllegalStateException.class, () -> local.await(time));
            assertTrue(scripted.heard("GET " + BATCH).size() > 5);
        });
    }

    @Tag("C20")
    @Test void pollsGrowRare() {
        scripted.on("GET " + BATCH, GuideTest.CREATED);

        assertThrows(IllegalStateException.class, () -> ask("a").submit().await(Duration.ofMillis(2_200)));

        int looks = scripted.heard("GET " + BATCH).size();
        assertTrue(looks > 1 && looks <= 45, looks + " looks, where 15 ms each would be 146");
    }

    @Tag("C21")
    @Test void aWaitThatReachedItsDeadlineIsTakenUpAgainById() {
        scripted.on("GET " + BATCH, GuideTest.CREATED);
        var batch = ask("a").submit();

        assertSays("await: " + ID + " still validating after 50ms (0/0); it goes on: batch(\"" + ID + "\").await()",
            () -> batch.await(Duration.ofMillis(50)));

        scripted.completed(success("request-1", "Hello"), "");
        assertEquals(List.of("Hello"), texts(batch(ID).await().results(), Result::text));
        assertEquals(1, scripted.heard("POST /batches").size());
    }

    @Tag("C39")
    @ParameterizedTest(name = "status {0}")
    @ValueSource(ints = {409, 400})
    void cancellingWhatIsOverReadsHowItEnded(int status) {
        scripted.completed(success("request-1", "Hello"), "");
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

    private Draft ask(String... texts) { return scripted.ask(texts); }

    private static void assertSays(String message, Executable call) {
        assertEquals(message, assertThrows(RuntimeException.class, call).getMessage());
    }

    private static <T> List<T> texts(Results results, Function<Result, T> property) {
        return results.stream().map(property).toList();
    }

    private Path journal() throws IOException {
        try (var folders = Files.list(home.resolve("batches"))) {
            return folders.filter(folder -> !folder.getFileName().toString().startsWith(".")).findFirst().orElseThrow();
        }
    }
}
