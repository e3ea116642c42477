package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Vocabulary.BatchException;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Reply;
import sheaf.support.RawClient;

/** How long a provider keeps the answers, as a draft asks for it. */
@Tag("S7")
class OutputExpiryTest {
    static final String TWO_HOURS = "{\"anchor\":\"created_at\",\"seconds\":7200}";
    BatchServer server = BatchServer.start();
    final RawClient client = new RawClient(() -> server.baseUrl());
    @TempDir Path home;

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

    @AfterEach void stop() {
        server.close();
        System.clearProperty("SHEAF_HOME");
    }

    @Test void theProviderIsAskedToKeepTheAnswersSoLong() {
        var batch = ask("one").outputExpiresAfter(Duration.ofHours(2)).submit().await();

        var part = batch.parts().get(0);
        var file = RawClient.json(client.get("/files/" + part.outputFileId()));
        assertEquals(TWO_HOURS, part.json().path("output_expires_after").toString());
        assertEquals(7_200, file.path("expires_at").asLong() - file.path("created_at").asLong());
    }

    @Test void whereNothingIsSaidNothingIsAsked() {
        var batch = ask("one").submit().await();

        assertEquals("", batch.parts().get(0).json().path("output_expires_after").toString());
    }

    @Test void itMakesNoOtherBatch() {
        var batch = ask("one").submit().await();

        assertEquals(batch.id(), ask("one").outputExpiresAfter(Duration.ofDays(1)).submit().id());
    }

    @Test void whatAnotherProcessCreatesLaterHasItToo() {
        server.pause();
        var draft = ask("one", "two").provider(here().limits(1, 10_000).queue(1, Long.MAX_VALUE)).name("parts");
        draft.outputExpiresAfter(Duration.ofHours(2)).submit();
        server.resume();

        Sheaf.batch("parts").await();

        assertEquals(List.of(TWO_HOURS, TWO_HOURS), asked());
    }

    @Test void soHasWhatIsSentAgain() {
        var first = new AtomicBoolean(true);
        server.answer(body -> first.getAndSet(false) ? Reply.error(503, "x", "overloaded") : Reply.text("yes"));

        ask("one").outputExpiresAfter(Duration.ofHours(2)).repair(1).submit().results();

        assertEquals(List.of(TWO_HOURS, TWO_HOURS), asked());
    }

    @Test void whatTheProviderSaysToItIsPassedOn() {
        server.close();
        server = BatchServer.options().dialect(BatchServer.Dialect.AZURE).start();
        var draft = ask("one").outputExpiresAfter(Duration.ofDays(1));

        var refused = assertThrows(BatchException.class, draft::submit);

        assertEquals("output_expires_after.seconds", refused.param());
    }

    @ParameterizedTest
    @ValueSource(strings = {"PT59M59S", "PT0S", "PT-1H", "PT720H1S", "PT2562047788015H"})
    void aLifeThatOpenAiHasNotIsRefused(String time) {
        assertSays("outputExpiresAfter: " + time + " is not between 1 hour and 30 days",
            () -> ask("one").outputExpiresAfter(Duration.parse(time)));
    }

    @ParameterizedTest
    @CsvSource({"PT1H", "PT720H"})
    void theShortestAndTheLongestAreTaken(String time) { ask("one").outputExpiresAfter(Duration.parse(time)); }

    @Test void nullIsRefusedByName() {
        assertSays("outputExpiresAfter: the argument is null", () -> ask("one").outputExpiresAfter(null));
    }

    private List<String> asked() {
        return client.ids("/batches").stream().map(client::found)
            .map(batch -> batch.path("output_expires_after").toString()).toList();
    }

    private Provider here() { return Provider.of(server.baseUrl()); }

    private Draft ask(String first, String... more) {
        return Sheaf.batch().provider(here()).model("echo").prompts(first, more).quiet();
    }

    private static void assertSays(String message, org.junit.jupiter.api.function.Executable call) {
        assertEquals(message, assertThrows(RuntimeException.class, call).getMessage());
    }
}
