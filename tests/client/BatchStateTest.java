package sheaf;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.ScriptedProvider.BATCH;
import static sheaf.ScriptedProvider.ID;
import static sheaf.ScriptedProvider.collected;
import static sheaf.ScriptedProvider.ended;
import static sheaf.ScriptedProvider.success;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;
import static sheaf.support.RawClient.json;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
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
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Result;
import sheaf.Sheaf.Results;
import sheaf.server.BatchServer;
import sheaf.support.Printed;

/** What a provider says of a batch: times, counts and faults of any shape. */
class BatchStateTest {
    @TempDir Path home;
    @AutoClose private final ScriptedProvider scripted = new ScriptedProvider();
    private BatchServer server;                    // of the tests that need a real one

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

    @AfterEach void close() { if (server != null) server.close(); }

    @Tag("C22")
    @ParameterizedTest
    @ValueSource(strings = {"1733832777", "\"1733832777\"", "1733832777000", "\"1733832777123\"", "1733832777.5",
        "\"2024-12-10T12:12:57.123456Z\"", "\"2024-12-10T12:12:57+00:00\""})
    void aTimeOfAnyShapeIsShown(String time) {
        scripted.on("GET /batches", "{\"data\":[{\"id\":\"a\",\"created_at\":" + time + "}]}");

        assertTrue(scripted.provider().batches(1).toString().matches("(?s).* 2024-12-1. ..:..\\s*"),
            scripted.provider().batches(1).toString());
    }

    @Tag("C22")
    @ParameterizedTest
    @ValueSource(strings = {"null", "{}", "\"\"", "99999999999999999999", "\"soon\"", "-1"})
    void timesThatSayNothingOrStandInNoOrderAreNoObstacle(String time) {
        var batch = collected("completed").put("completed_at", 1).put("in_progress_at", 3).put("expires_at", 2);
        batch.set("created_at", json(time.getBytes(UTF_8)));
        batch.remove("finalizing_at");
        scripted.completed(success("request-1", "Hello"), "");
        scripted.on("GET " + BATCH, batch);

        assertEquals(1, ask("a").submit().results().succeeded().size());
        scripted.on("GET /batches", "{\"data\":[" + batch + "]}");
        assertTrue(scripted.provider().batches(1).toString().contains(ID));
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
            Printed.stderr(() -> scripted.provider().batch(ID).await()));
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
        "\"\"                                               | the provider gave no reason",
        "[\"odd\",\"even\"]                                 | 2 faults in the input file: odd, even",
        "{\"data\":[{\"code\":\"x\",\"message\":\"odd\",\"param\":null,\"line\":null}]}"
            + "                                             | 1 fault in the input file: odd (x)",
        "[{\"message\":\"odd\",\"line\":2}]                 | 1 fault in the input file: row 2 odd",
        "{\"data\":[{\"code\":\"x\",\"line\":\"3\"},{\"line\":1}]}"
            + "                             | 2 faults in the input file: row 3 x, row 1 no reason given"})
    void whyABatchFailedIsReadInAnyShape(String errors, String said) {
        scripted.on("GET " + BATCH, ended("failed").putNull("output_file_id").putNull("request_counts")
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
        scripted.completed(success("request-1", "Hello").replace("{\"id\"", "{\"odd\":" + odd + ",\"id\"")
            .replace("{\"choices\"", "{\"odd\":" + odd + ",\"choices\""), "");
        scripted.on("GET " + BATCH, collected("completed").set("odd", json(odd.getBytes(UTF_8))));
        scripted.on("GET /files", "{\"data\":[{\"id\":\"f\",\"odd\":" + odd + "}],\"odd\":" + odd + "}");

        var batch = ask("a").submit();

        assertEquals("Hello", batch.results().iterator().next().text());
        assertEquals(odd, batch.results().iterator().next().json().path("odd").toString());
        assertEquals(odd, batch.parts().get(0).json().path("odd").toString());
        assertTrue(scripted.provider().files().get(0).toString().contains("bigger=18446744073709551616"));
    }

    private Draft ask(String... texts) { return scripted.ask(texts); }

    private static void assertSays(String message, Executable call) {
        assertEquals(message, assertThrows(RuntimeException.class, call).getMessage());
    }

    private static <T> List<T> texts(Results results, Function<Result, T> property) {
        return results.stream().map(property).toList();
    }

    private Provider served() { return Provider.of(server.baseUrl()); }
}
