package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;

import java.nio.file.Path;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Results;
import sheaf.server.BatchServer;
import sheaf.support.RawClient;

/** What one provider does not answer another one may. */
class FallbackTest {
    private final BatchServer first = BatchServer.start();
    private final BatchServer second = BatchServer.start();
    @TempDir Path home;

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

    @AfterEach void stop() {
        first.close();
        second.close();
    }

    @Test void whatTheFirstRefusesTheSecondAnswersUnderItsOwnModelAndIsPaidOnce() {
        first.answer(body -> body.at("/messages/0/content").asText().equals("b")
            ? BatchServer.Reply.error(503, "overloaded", "no room")
            : BatchServer.Reply.text("first"));
        second.answer(body -> BatchServer.Reply.text("second, by " + body.path("model").asText()));

        assertEquals("a: first, b: second, by other, c: first", answers(run()));
        assertEquals("a: first, b: second, by other, c: first", answers(run()));

        assertEquals(1, batches(first));
        assertEquals(1, batches(second));
    }

    private static String answers(Results results) {
        return results.stream().map(result -> result.row("value") + ": " + result.text())
            .collect(Collectors.joining(", "));
    }

    private Results run() {
        var results = batch().provider(first.baseUrl()).model("echo").name("both").quiet()
            .prompts("{{value}}", rows("a", "b", "c")).submit().await().results();
        var fallback = results.failed().retry().provider(second.baseUrl()).model("other").quiet();
        return results.merge(fallback.submit().await().results());
    }

    private static int batches(BatchServer server) {
        return RawClient.json(new RawClient(server::baseUrl).get("/batches")).get("data").size();
    }
}
