package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;

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
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.server.BatchServer;
import sheaf.support.HoldingProxy;
import sheaf.support.HoldingProxy.Hold;
import sheaf.support.RawClient;

/** No request is paid twice: not by a larger draft, and not for a batch that its provider does not show at once. */
class PaidOnceTest {
    @TempDir Path home;
    @TempDir Path folder;

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

    @Test void aLargerDraftWaitsForWhatAnUnansweredCreateAsks() {
        try (var server = BatchServer.start();
             var proxy = new HoldingProxy(server.baseUrl(), Duration.ofMillis(500), 0)) {
            assertThrows(RuntimeException.class, ask(proxy.baseUrl(), 5)::submit);

            var fault = assertThrows(IllegalStateException.class, ask(proxy.baseUrl(), 30)::submit);

            var kept = Journal.find("asked").orElseThrow().folderName();
            assertEquals("submit: " + kept + " is still waiting and has 5 requests of these; await it first: batch(\""
                + kept + "\").await(), or ask anew under another name(...)", fault.getMessage());
            proxy.awaitLanding();
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
            while (proxy.keys().isEmpty()) Thread.sleep(10);

            assertThrows(IllegalStateException.class, ask(proxy.baseUrl(), 30)::submit);

            server.resume();
            first.join().await();
            ask(proxy.baseUrl(), 30).submit().await();
            assertEquals(30, requestsPaid(server));
        }
    }

    private static Supplier<Hold> oneWaits() {
        var holds = List.of(new Hold(Duration.ofSeconds(1), Hold.WAITS)).iterator();
        return () -> holds.hasNext() ? holds.next() : null;
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
