package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.kept;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Vocabulary.Status;
import sheaf.server.BatchServer;
import sheaf.support.HoldingProxy;
import sheaf.support.HoldingProxy.Hold;
import sheaf.support.Printed;
import sheaf.support.RawClient;

/** A create whose answer never came may land later; it is paid once. */
@Tag("C13")
class LateCreateTest {
    private static final Duration NEVER = Duration.ofMillis(-1);

    @TempDir Path home;
    @AutoClose private final BatchServer server = BatchServer.start();
    private final RawClient client = new RawClient(server::baseUrl);
    private HoldingProxy proxy;

    @BeforeEach void lookForSeconds() {
        System.setProperty("SHEAF_HOME", home.toString());
        System.setProperty("sheaf.late", "60");
    }

    @AfterEach void close() {
        System.setProperty("sheaf.late", "0.2");
        proxy.close();
    }

    @Test void aCreateThatIsStillOnItsWayIsWaitedForByTheNextRun() {
        proxy = new HoldingProxy(server.baseUrl(), Hold.UNTIL_TOLD, 0);
        assertThrows(UncheckedIOException.class, draft()::submit);

        landsAtLook(2);
        var said = Printed.stderr(() -> draft().submit().await());

        proxy.awaitLanding();
        assertEquals(1, batchesThere());
        assertTrue(said.contains("submit: a create of part 1 of " + kept().get(0).folder().getFileName()
            + " was sent, and no batch of it is known; looking for one at " + proxy.baseUrl()
            + " for 1m, for it may still arrive and a second one would be paid too\n"), said);
    }

    @Test void aClockThatJumpedMeanwhileShortensNothing() throws IOException {
        proxy = new HoldingProxy(server.baseUrl(), Hold.UNTIL_TOLD, 0);
        assertThrows(UncheckedIOException.class, draft().quiet()::submit);
        var steps = journal().dir().resolve("steps.jsonl");
        Files.writeString(steps, Files.readString(steps).replaceAll("\"at\":\"\\d{4}", "\"at\":\"1999"));

        landsAtLook(2);
        draft().quiet().submit().await();

        proxy.awaitLanding();
        assertEquals(1, batchesThere());
    }

    @Test void aCreateThatLandsAfterAnErrorOfAProxyIsNotSentAgain() {
        proxy = new HoldingProxy(server.baseUrl(), Hold.UNTIL_TOLD, 504);

        landsAtLook(6);
        draft().quiet().submit().await();

        proxy.awaitLanding();
        assertEquals(1, batchesThere());
    }

    @Test void aCreateThatNeverLandsIsSentAgainWithTheSameKey() {
        System.setProperty("sheaf.late", "0.2");
        proxy = new HoldingProxy(server.baseUrl(), NEVER, 0);
        assertThrows(UncheckedIOException.class, draft().quiet()::submit);

        draft().quiet().submit().await();

        assertEquals(1, batchesThere());
        assertEquals(2, proxy.keys().size());
        assertEquals(proxy.keys().get(0), proxy.keys().get(1));
    }

    @Test void whatIsCancelledWhileItsCreateIsOnItsWayIsCancelledThere() {
        proxy = new HoldingProxy(server.baseUrl(), Hold.UNTIL_TOLD, 0);
        server.pause();
        assertThrows(UncheckedIOException.class, draft().quiet()::submit);

        landsAtLook(2);
        batch("late").cancel();

        assertEquals(1, batchesThere());
        assertEquals(Status.CANCELLED, batch("late").await().status());
    }

    /** What is held reaches the server when its list is looked at for this time from now on. */
    private void landsAtLook(int last) {
        var looks = new AtomicInteger();
        server.onEvery(request -> {
            boolean isLast = request.equals("GET /v1/batches") && looks.incrementAndGet() == last;
            if (isLast) new Thread(proxy::land).start();
            return null;
        });
    }

    private Draft draft() {
        return batch().provider(Provider.of(proxy.baseUrl())).name("late").model("echo").prompts("hi");
    }

    private Journal journal() { return Journal.all().findFirst().orElseThrow(); }

    private int batchesThere() { return client.ids("/batches").size(); }
}
