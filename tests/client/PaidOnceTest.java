package sheaf;

import static java.util.stream.Collectors.joining;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;

import java.net.URI;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.function.Supplier;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Vocabulary.BatchException;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Fault;
import sheaf.support.HoldingProxy;
import sheaf.support.HoldingProxy.Hold;
import sheaf.support.RawClient;

/** No request is paid twice: not by a larger draft, and not for a batch that its provider does not show at once. */
class PaidOnceTest {
    @TempDir Path home;
    @TempDir Path folder;

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

    @Test void whatWasNeverSentForAnOutageHoldsUpNoLargerDraft() {
        try (var server = BatchServer.start()) {
            ask(server.baseUrl(), 5).submit().results();
            server.on("GET /v1/batches", Fault.status(400));
            assertThrows(BatchException.class, ask(server.baseUrl(), 6)::submit);

            assertEquals(7, ask(server.baseUrl(), 7).submit().results().succeeded().size());
            assertEquals(6, ask(server.baseUrl(), 6).submit().results().succeeded().size());

            assertEquals(7, requestsPaid(server));
        }
    }

    @Test void aLargerDraftWaitsForWhatAnUnansweredCreateAsks() {
        try (var server = BatchServer.start();
             var proxy = new HoldingProxy(server.baseUrl(), Hold.UNTIL_TOLD, 0)) {
            assertThrows(RuntimeException.class, ask(proxy.baseUrl(), 5)::submit);

            var fault = assertThrows(IllegalStateException.class, ask(proxy.baseUrl(), 30)::submit);

            var kept = Journal.find("asked").orElseThrow().folderName();
            assertEquals("submit: " + kept + " is still waiting and has 5 requests of these; await it first: batch(\""
                + kept + "\").await(), or ask anew under another name(...)", fault.getMessage());
            proxy.land();
            System.setProperty("OPENAI_BASE_URL", proxy.baseUrl());
            batch(kept).await();
            assertEquals(30, ask(proxy.baseUrl(), 30).submit().results().succeeded().size());
            assertEquals(30, requestsPaid(server));
        }
    }

    @Test void aLargerDraftWaitsForWhatIsJustBeingCreated() throws Exception {
        try (var server = BatchServer.start().pause();
             var proxy = new HoldingProxy(server.baseUrl(), oneWaits())) {
            var first = CompletableFuture.supplyAsync(() -> ask(proxy.baseUrl(), 5).submit());
            RawClient.await(() -> !proxy.keys().isEmpty());

            assertThrows(IllegalStateException.class, ask(proxy.baseUrl(), 30)::submit);

            proxy.land();
            server.resume();
            first.join().await();
            ask(proxy.baseUrl(), 30).submit().await();
            assertEquals(30, requestsPaid(server));
        }
    }

    @Test void aLargerDraftWaitsForWhatIsJustBeingUploaded() throws Exception {
        try (var server = BatchServer.start().pause()) {
            server.on("POST /v1/files", Fault.late(Duration.ofSeconds(1)));
            var first = CompletableFuture.supplyAsync(() -> ask(server.baseUrl(), 5).submit());
            RawClient.await(() -> server.requests().contains("POST /v1/files"));

            assertThrows(IllegalStateException.class, ask(server.baseUrl(), 30)::submit);

            server.resume();
            first.join().await();
            assertEquals(5, requestsPaid(server));
        }
    }

    @Test void aLargerDraftDoesNotWaitForWhatWasOnlyUploaded() {
        try (var server = BatchServer.start()) {
            ask(server.baseUrl(), 5).upload();

            ask(server.baseUrl(), 30).submit().await();

            assertEquals(30, requestsPaid(server));
        }
    }

    @Test void theSameDraftWaitsForItselfAndAttaches() throws Exception {
        try (var server = BatchServer.start()) {
            server.on("POST /v1/files", Fault.late(Duration.ofSeconds(1)));
            var first = CompletableFuture.supplyAsync(() -> ask(server.baseUrl(), 5).submit().id());
            RawClient.await(() -> server.requests().contains("POST /v1/files"));

            assertEquals(ask(server.baseUrl(), 5).submit().id(), first.join());
            assertEquals(5, requestsPaid(server));
        }
    }

    private static Supplier<Hold> oneWaits() {
        var holds = List.of(new Hold(Hold.UNTIL_TOLD, Hold.WAITS)).iterator();
        return () -> holds.hasNext() ? holds.next() : null;
    }

    @Test void aBatchThatIsShownLateIsNotForgottenByALargerDraft() {
        try (var server = BatchServer.start().pause(); var proxy = new HoldingProxy(server.baseUrl(), () -> null)) {
            var id = ask(proxy.baseUrl(), 5).submit().id();
            server.on("GET /v1/batches/" + id, Fault.status(404));

            assertThrows(IllegalStateException.class, ask(proxy.baseUrl(), 30)::submit);

            server.resume();
            assertEquals(5, requestsPaid(server));
        }
    }

    @Test void aBatchThatIsShownLateIsNotSubmittedAnew() {
        try (var server = BatchServer.start().forgetMetadata().pause();
             var proxy = new HoldingProxy(server.baseUrl(), () -> null)) {
            var id = ask(proxy.baseUrl(), 5).submit().id();
            server.on("GET /v1/batches/" + id, Fault.status(404));

            ask(proxy.baseUrl(), 5).submit();

            server.resume();
            assertEquals(5, requestsPaid(server));
        }
    }

    /** Its own route says that there is none, however often that is asked. */
    @ParameterizedTest
    @ValueSource(ints = {5, 30})
    void aBatchThatOnlyTheListShowsIsNotSubmittedAnew(int rows) {
        try (var server = BatchServer.start().forgetMetadata().pause()) {
            var id = ask(server.baseUrl(), 5).submit().id();
            server.onEvery(request -> request.equals("GET /v1/batches/" + id) ? Fault.status(404) : null);

            if (rows == 5) assertEquals(id, ask(server.baseUrl(), rows).submit().id());
            else assertThrows(IllegalStateException.class, ask(server.baseUrl(), rows)::submit);

            server.onEvery(request -> null).resume();
            assertEquals(5, requestsPaid(server));
        }
    }

    @Test void aBatchBeyondTheEndOfAListIsNotTakenForGone() {
        try (var server = BatchServer.start().pause()) {
            var batch = ask(server.baseUrl(), 5).submit();
            var others = Fault.status(200).body("{\"data\": [" + IntStream.range(0, 20).mapToObj(n ->
                "{\"id\": \"batch-" + n + "\", \"created_at\": 4000000000}").collect(joining(",")) + "]}");
            server.onEvery(Map.of("GET /v1/batches", others, "GET /v1/batches/" + batch.id(), Fault.status(404))::get);

            assertEquals("submit: " + server.baseUrl() + " shows no batch " + batch.id() + ", and lists only 20 "
                + "batches, so it may be there unseen; if it is gone for good, delete " + batch.folder()
                + " and run again",
                assertThrows(IllegalStateException.class, ask(server.baseUrl(), 30)::submit).getMessage());
        }
    }

    @Test void aRefusalDoesNotForgetACreateThatIsStillOnItsWay() {
        try (var server = BatchServer.start()) {
            var none = Fault.status(200).body("{\"data\": [], \"has_more\": false}");
            server.onEvery(request -> request.equals("GET /v1/batches") ? none : null);
            server.on("POST /v1/batches", Fault.lost(), Fault.status(400).body("{\"error\":{\"message\":\"no\"}}"));
            assertThrows(RuntimeException.class, ask(server.baseUrl(), 1)::submit);
            assertThrows(RuntimeException.class, ask(server.baseUrl(), 1)::submit);

            ask(server.baseUrl(), 1).submit();

            server.onEvery(request -> null);
            assertEquals(1, requestsPaid(server));
        }
    }

    @Test void whatWaitsForRoomIsNotSentToAnotherEngine() throws Exception {
        var server = BatchServer.options().store(folder).start().pause();
        int port = URI.create(server.baseUrl()).getPort();
        var provider = Provider.of(server.baseUrl()).limits(1, 10_000).queue(1, Long.MAX_VALUE);
        var batch = ask(server.baseUrl(), 2).provider(provider).submit();
        server.close();
        try (var other = BatchServer.start().reply(text -> "another");
             var engine = new HoldingProxy(other.baseUrl(), () -> null);
             var now = BatchServer.options().store(folder).port(port).engine(engine.baseUrl()).start()) {
            var fault = assertThrows(BatchException.class, batch::results);

            assertTrue(fault.getMessage().startsWith("submit: " + engine.baseUrl() + " answers at "),
                fault.getMessage());
            assertEquals(0, now.requests().stream().filter("POST /v1/batches"::equals).count());
        }
    }

    @AfterEach void forgetTheEnvironment() { System.setProperty("OPENAI_BASE_URL", ""); }

    private static Draft ask(String url, int rows) {
        return batch().quiet().provider(Provider.of(url)).name("asked").model("echo").prompts("{{n}}",
            rows(IntStream.range(0, rows).mapToObj(n -> Map.of("n", "row " + n)).toList()));
    }

    private static long requestsPaid(BatchServer server) {
        var client = new RawClient(server::baseUrl);
        return client.ids("/batches").stream().mapToLong(id ->
            client.finishedBatch(id).at("/request_counts/total").asLong()).sum();
    }
}
