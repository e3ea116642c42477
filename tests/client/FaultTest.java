package sheaf;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static sheaf.support.RawClient.json;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import sheaf.Vocabulary.BatchException;
import sheaf.Vocabulary.Part;
import sheaf.support.ScriptedServer.Answer;

/** The reason that a provider gives for a call or a batch, in the shapes that are seen; those of a line: AnswerTest. */
class FaultTest {
    @TempDir Path home;
    @AutoClose private final ScriptedProvider scripted = new ScriptedProvider();

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "{\"error\":{\"message\":\"no such window\"}}|no such window",
        "{\"error\":\"no such window\"}|no such window",
        "{\"error\":\"{\\\"message\\\":\\\"no such window\\\"}\"}|no such window",
        "{\"detail\":\"no such window\"}|no such window",
        "{\"detail\":[{\"loc\":[\"body\",\"completion_window\"],\"msg\":\"field required\"}]}"
            + "|body.completion_window: field required",
        "{\"detail\":{\"message\":\"no such window\"}}|no such window",
        "{\"errors\":[{\"message\":\"one\"},{\"message\":\"two\"}]}|one; two",
        "{\"message\":\"no such window\"}|no such window",
        "{\"title\":\"Bad Request\",\"status\":400}|Bad Request",
        "[{\"error\":{\"message\":\"no such window\"}}]|no such window",
        "\"no such window\"|no such window",
        "no such window|no such window",
        "<!DOCTYPE html> <html><head><title>Blocked &amp; logged</title></head><body>x</body></html>|Blocked & logged",
        "<html><body><h1>Not here</h1></body></html>|Not here",
        "{\"window\":{\"why\":\"no such window\"}}|window: why: no such window"})
    void aCallThatIsRefusedSaysTheProvidersReason(String body, String reason) {
        scripted.on("POST /batches", new Answer(400, body.getBytes(UTF_8), Map.of()));

        assertEquals("submit: POST " + scripted.baseUrl("/v1") + "/batches: 400 " + reason,
            assertThrows(BatchException.class, () -> scripted.ask("a").submit()).getMessage());
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "{\"errors\":{\"object\":\"list\",\"data\":[{\"code\":\"x\",\"message\":\"bad\",\"line\":3}]}}|3 bad (x)",
        "{\"errors\":[{\"message\":\"bad\",\"line\":\"3\"}]}|3 bad",
        "{\"errors\":[\"bad\",\"worse\"]}|0 bad, 0 worse",
        "{\"errors\":\"bad\"}|0 bad",
        "{\"errors\":\"[{\\\"message\\\":\\\"bad\\\",\\\"line_number\\\":3}]\"}|3 bad",
        "{\"errors\":{\"message\":\"bad\"}}|0 bad",
        "{\"errors\":{\"data\":[]},\"error\":\"bad\"}|0 bad",
        "{\"errors\":[],\"error\":{\"detail\":\"bad\"}}|0 bad",
        "{\"errors\":null,\"failure_reason\":\"bad\"}|0 bad",
        "{\"errors\":{\"data\":[{\"code\":\"x\"}]}}|0 x",
        "{\"errors\":null}|``",
        "{}|``"})
    void aBatchThatFailedSaysItsFaults(String batch, String faults) {
        var said = Fault.of(Part.of(1, json(batch.getBytes(UTF_8)))).stream()
            .map(fault -> fault.line() + " " + fault.describe()).toList();

        assertEquals(faults.isEmpty() ? List.of() : List.of(faults.split(", ")), said);
    }

    @ParameterizedTest
    @CsvSource({"content_filter, filtered", "token_limit_exceeded, Enqueued token limit reached"})
    void aCodeInsideIsTheCode(String code, String message) {
        var fault = Fault.of(json(("{\"code\":400,\"error\":{\"message\":\"" + message + "\",\"code\":\"" + code
            + "\",\"param\":\"p\"}}").getBytes(UTF_8)));

        assertEquals(code + " p " + message, fault.code() + " " + fault.param() + " " + fault.message());
    }
}
