package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;

import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Fault;
import sheaf.server.BatchServer.Reply;
import sheaf.support.Printed;
import sheaf.support.RawClient;

/** The fallback has what a first provider that cannot be asked surely has not. */
class FallbackAwayTest {
    private static final String UPLOAD = "POST /v1/files";
    private static final String CREATE = "POST /v1/batches";
    private static final String MODELS = "GET /v1/models";
    private final List<String> asked = Collections.synchronizedList(new ArrayList<>());
    private final BatchServer second = answering(BatchServer.start(), "second");
    private BatchServer first;
    private int port;
    @TempDir Path home;

    @BeforeEach void ownHome() {
        System.setProperty("SHEAF_HOME", home.toString());
        System.setProperty("sheaf.late", "0.3");
        first = answering(BatchServer.options().store(home.resolve("store")).start(), "first");
        port = Integer.parseInt(first.baseUrl().replaceAll(".*:(\\d+)/.*", "$1"));
    }

    @AfterEach void stop() {
        System.clearProperty("sheaf.late");
        first.close();
        second.close();
    }

    private BatchServer answering(BatchServer server, String name) {
        return server.answer(body -> {
            asked.add(body.at("/messages/0/content").asText() + " " + name);
            return Reply.text(name);
        });
    }

    @Test void whoIsNotThereIsAskedNoMoreForWhatTheFallbackHas() {
        assertEquals("z: first", answers(ask("z").name("before")));        // a server on this machine says who it is
        first.close();

        var said = Printed.stderr(() -> assertEquals("a: second, b: second", answers(loud("a", "b"))));

        assertTrue(said.contains("fallback: 2 of 2 requests go to " + second.baseUrl() + " (submit: cannot reach "
            + first.baseUrl() + " (connection refused))\n"), said);
        assertTrue(said.matches("(?s)submitted nothing of both-\\w+ to " + first.baseUrl() + " \\(2 requests, in 2 "
            + "parts\\); kept in \\S+\nfallback: .*"), said);
        assertEquals("a: second, b: second", answers(ask("a", "b")));
        first = answering(BatchServer.options().store(home.resolve("store")).port(port).start(), "first");
        assertEquals("a: second, b: second", answers(ask("a", "b")));
        assertEquals("a: second, b: second, c: first", answers(ask("a", "b", "c")));
        assertEquals(List.of("a second", "b second", "c first", "z first"), sorted());
    }

    @ParameterizedTest
    @CsvSource({"POST /v1/files", "GET /v1/batches"})
    void whoTakesNothingIsAskedNoMoreForWhatTheFallbackHas(String request) {
        first.onEvery(each -> each.equals(request) ? Fault.status(503) : null);

        assertEquals("a: second, b: second", answers(ask("a", "b")));
        first.onEvery(each -> null);
        assertEquals(0, ask("a", "b").estimate().toSend());
        assertEquals("a: second, b: second", answers(ask("a", "b")));

        assertEquals(List.of("a second", "b second"), sorted());
        assertEquals(1, batches(second), "one for all parts");
    }

    @Test void whoGoesAwayInTheMiddleKeepsWhatItHas() {
        first.on(UPLOAD, Fault.late(Duration.ZERO), Fault.status(503), Fault.status(503), Fault.status(503),
            Fault.status(503));

        for (int run = 1; run <= 2; run++) assertEquals("a: first, b: second", answers(ask("a", "b")));

        assertEquals(List.of("a first", "b second"), sorted());
    }

    @ParameterizedTest(name = "{0} {1}")
    @CsvSource({"GET /v1/batches, 401", "POST /v1/files, 401", "POST /v1/batches, 401", "GET /v1/batches, 403",
        "POST /v1/files, 403", "POST /v1/batches, 403"})
    void aKeyThatTheFirstDoesNotTakeEndsTheRun(String request, int status) {
        first.onEvery(each -> each.equals(request) ? Fault.status(status).body("{}") : null);

        assertEquals("submit: " + request.replace("/v1", first.baseUrl()) + ": " + status
            + (status == 401 ? "; check SHEAF_API_KEY" : ""), refusal());
        first.onEvery(each -> null);

        assertEquals("a: first", answers(ask("a")));
        assertEquals(List.of("a first"), asked);
    }

    @Test void aCreateThatMayHaveArrivedStaysWhereItWasSent() {
        var isAway = new AtomicBoolean();
        first.onEvery(each -> {
            if (each.equals(CREATE) && isAway.compareAndSet(false, true)) return Fault.lost();
            return isAway.get() && !each.equals(MODELS) ? Fault.status(503).body("{}") : null;
        });

        for (int run = 1; run <= 2; run++)
            assertEquals("submit: GET " + first.baseUrl() + "/batches: 503", refusal());
        first.onEvery(each -> null);

        assertEquals("a: first", answers(ask("a")));
        assertEquals(List.of("a first"), asked);
    }

    @Test void whereNobodyCanBeReachedBothAreNamedAndNothingIsLost() {
        assertEquals("z: first", answers(ask("z").name("before")));
        first.close();
        second.on(UPLOAD, Fault.status(400).body("{\"error\": {\"message\": \"closed\"}}"));

        var refusal = refusal();

        assertTrue(refusal.endsWith(" failed; submit: cannot reach " + first.baseUrl() + " (connection refused); "
            + "fallback: submit: POST " + second.baseUrl() + "/files: 400 closed"), refusal);
        first = answering(BatchServer.options().store(home.resolve("store")).port(port).start(), "first");
        assertEquals("a: first", answers(ask("a")));
        assertEquals(List.of("a first", "z first"), sorted());
    }

    @Test void whoWasNeverMetHandsNothingOnAndTheSentenceSaysWhy() {
        first.close();

        assertEquals("submit: cannot reach " + first.baseUrl() + " (connection refused); start a server or set "
            + "OPENAI_BASE_URL; the fallback was not asked, for nobody knows which server that is", refusal());
        assertEquals(List.of(), asked);
    }

    private String refusal() {
        return assertThrows(RuntimeException.class, () -> answers(ask("a"))).getMessage();
    }

    private Draft ask(String... values) { return loud(values).quiet(); }

    private Draft loud(String... values) {
        return batch().provider(Provider.of(first.baseUrl()).limits(1, 10_000)).model("echo").name("both")
            .fallback(second.baseUrl()).prompts("{{value}}", rows(List.of(values)));
    }

    private static String answers(Draft draft) {
        return draft.submit().results().stream().map(result -> result.row("value") + ": "
            + (result.ok() ? result.text() : result.outcome().toString())).collect(Collectors.joining(", "));
    }

    private List<String> sorted() { return asked.stream().sorted().toList(); }

    private static int batches(BatchServer server) {
        return RawClient.json(new RawClient(server::baseUrl).get("/batches")).get("data").size();
    }
}
