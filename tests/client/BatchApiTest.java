package sheaf;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.ScriptedProvider.BATCH;
import static sheaf.ScriptedProvider.ID;
import static sheaf.Sheaf.batch;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import sheaf.Sheaf.Draft;
import sheaf.Vocabulary.BatchException;
import sheaf.support.Printed;
import sheaf.support.ScriptedServer.Answer;

/** Lists that come page by page, and a key that is never said. */
class BatchApiTest {
    @TempDir Path home;
    @AutoClose private final ScriptedProvider scripted = new ScriptedProvider();

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

    @AfterEach void close() { System.setProperty("SHEAF_API_KEY", ""); }

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

        assertEquals(items, scripted.provider().batches(50).size());
        assertEquals(gets, scripted.heard("GET /batches").size());
    }

    @Tag("C38")
    @Test void theNextPageIsAfterTheLastItemSeen() {
        scripted.on("GET /batches", "{\"data\":[{\"id\":\"b\"},{\"id\":\"a\"}],\"last_id\":\"b\",\"has_more\":true}",
            "{\"data\":[]}");

        scripted.provider().batches(50);

        assertTrue(scripted.heard("GET /batches").get(1).query().matches("(.*&)?after=a(&.*)?"));
    }

    /** As a server does that has tried already whether its engine is there. */
    @ParameterizedTest(name = "x-should-retry: {0}")
    @CsvSource({"false, true", "true, false"})
    void aProviderThatWantsNoOtherAttemptIsAskedOnce(String header, boolean isOnce) {
        scripted.on("GET /models", Answer.status(502).header("x-should-retry", header));

        var fault = assertThrows(BatchException.class, scripted.provider()::models);

        assertEquals("models: GET " + scripted.baseUrl("/v1/models") + ": 502 status 502", fault.getMessage());
        assertEquals(isOnce, scripted.heard("GET /models").size() == 1);
    }

    @Tag("C40")
    @ParameterizedTest(name = "status {0}")
    @ValueSource(ints = {400, 401, 429, 0})
    void aKeyStandsInNoErrorAndNoLog(int status) {
        System.setProperty("SHEAF_API_KEY", "sk-secret");
        scripted.on("GET " + BATCH, Answer.status(status));

        var trace = new StringWriter();
        var said = Printed.stderr(() -> assertThrows(RuntimeException.class, () -> batch().provider(scripted.provider())
            .model("m").prompts("1").submit().await(Duration.ofMillis(1))).printStackTrace(new PrintWriter(trace)));

        assertTrue(said.contains("submitted " + ID) && trace.toString().contains("await: "), said + trace);
        assertFalse((said + trace + scripted.provider() + batch(ID)).contains("secret"), said + trace);
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

    private Draft ask(String... texts) { return scripted.ask(texts); }
}
