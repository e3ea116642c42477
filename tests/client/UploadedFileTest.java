package sheaf;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.ScriptedProvider.success;

import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import sheaf.Vocabulary.BatchException;
import sheaf.support.Printed;
import sheaf.support.ScriptedServer.Answer;

/** An input file that is not ready when a batch is to be made of it. */
class UploadedFileTest {
    @TempDir Path home;
    @AutoClose private final ScriptedProvider scripted = new ScriptedProvider();

    @BeforeEach void ownHome() {
        System.setProperty("SHEAF_HOME", home.toString());
        scripted.completed(success("request-1", "Hello"), "");
    }

    @ParameterizedTest
    @CsvSource({"pending, processed", "PROCESSING, ready", "uploaded, processed", "in_progress, ''"})
    void aFileThatIsNotProcessedIsWaitedForBeforeTheCreate(String status, String after) {
        scripted.on("POST /files", file(status)).on("GET /files/myfile-123", file(status), file(status), file(after));

        submit();

        assertEquals(3, scripted.heard("GET /files/myfile-123").size());
        assertEquals(1, scripted.heard("POST /batches").size());
    }

    @Test void theWaitIsSaid() {
        scripted.on("POST /files", file("pending")).on("GET /files/myfile-123", file("processed"));

        var said = Printed.stderr(() -> Sheaf.batch().provider(scripted.provider()).model("m").prompts("a").submit());

        assertTrue(said.contains("submit: " + scripted.provider().label()
            + " is not through with the input file myfile-123 (pending); waiting for it\n"), said);
    }

    @ParameterizedTest
    @CsvSource({"processed", "''"})
    void aFileThatIsReadyIsNotAskedFor(String status) {
        scripted.on("POST /files", file(status));

        submit();

        assertEquals(0, scripted.heard("GET /files/myfile-123").size());
    }

    @Test void aFileThatNeverSaysMoreThanUploadedIsTried() {
        scripted.on("POST /files", file("uploaded")).on("GET /files/myfile-123", file("uploaded"));

        submit();

        assertEquals(1, scripted.heard("POST /batches").size());
    }

    @Test void aProviderThatNeverSaysMoreIsWaitedForOnce() {
        scripted.on("POST /files", file("uploaded")).on("GET /files/myfile-123", file("uploaded"));
        var provider = scripted.provider().limits(1, 100_000);

        var said = Printed.stderr(() -> Sheaf.batch().provider(provider).model("m").prompts("a", "b", "c").submit());

        assertEquals(2, said.split("is not through with the input file", -1).length, said);
        assertEquals(3, scripted.heard("POST /batches").size());
    }

    @Test void aFileThatTheProviderCannotUseIsSaidWithItsReason() {
        scripted.on("POST /files", file("pending")).on("GET /files/myfile-123",
            file("error").replace("}", ",\"status_details\":\"line 3 is no JSON\"}"));

        assertEquals("submit: " + scripted.provider().label()
            + " cannot use the input file myfile-123: error, line 3 is no JSON",
            assertThrows(BatchException.class, this::submit).getMessage());
        assertEquals(0, scripted.heard("POST /batches").size());
    }

    /** By status and code, whatever language the message is in; else by the message. */
    @ParameterizedTest
    @CsvSource({"400, invalidFileStatus, Die Datei ist noch nicht da", "409, file_not_ready, no",
        "425, '', file: not ready yet", "422, file_processing, x",
        "400, '', The provided input file is not in a processed state.",
        "400, '', The file is still being processed", "404, file_not_found, x", "404, '', Datei nicht gefunden",
        "404, '', Input file not found", "400, '', Cannot find file file-1"})
    void aCreateThatIsRefusedForItsFileIsSentAgain(int status, String code, String message) {
        scripted.on("POST /batches", refusal(status, code, message), refusal(status, code, message),
            GuideTest.CREATED);

        submit();

        assertEquals(3, scripted.heard("POST /batches").size());
        assertEquals(1, scripted.heard("POST /files").size());
    }

    @Test void aCreateThatIsRefusedWhileTheFileIsLookedThroughIsSentAgain() {
        scripted.on("POST /files", file("pending")).on("GET /files/myfile-123", file("pending"));
        scripted.on("POST /batches", refusal(400, "x", "nein"), refusal(400, "x", "nein"), GuideTest.CREATED);

        submit();

        assertEquals(3, scripted.heard("POST /batches").size());
    }

    @ParameterizedTest
    @CsvSource({"404, model_not_found, no such model", "404, '', The model gpt-x does not exist",
        "404, unknown_url, no route", "400, invalid_value, no such window",
        "409, '', A batch for this file is still in progress"})
    void aCreateThatIsRefusedForAnythingElseIsNot(int status, String code, String message) {
        scripted.on("POST /batches", refusal(status, code, message), GuideTest.CREATED);

        assertEquals(status, assertThrows(BatchException.class, this::submit).status());
        assertEquals(1, scripted.heard("POST /batches").size());
    }

    @Test void aLookAtTheFileThatFailsIsNoCreateThatWasSent() {
        scripted.on("POST /files", file("processing")).on("GET /files/myfile-123", Answer.status(0));

        assertThrows(UncheckedIOException.class, this::submit);

        assertEquals(0, scripted.heard("POST /batches").size());
        assertFalse(Journal.all().findFirst().orElseThrow().isCreateUnsure(1));
    }

    private void submit() { scripted.ask("a").submit(); }

    private static String file(String status) {
        return GuideTest.FILE.replace("}", ",\"status\":\"" + status + "\"}");
    }

    private static Answer refusal(int status, String code, String message) {
        return new Answer(status, ("{\"error\":{\"message\":\"" + message + "\",\"code\":\"" + code + "\"}}")
            .getBytes(UTF_8), Map.of());
    }
}
