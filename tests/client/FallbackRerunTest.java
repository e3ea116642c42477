package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Results;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Fault;
import sheaf.server.BatchServer.Reply;
import sheaf.support.RawClient;
import sheaf.support.Trials;

/** A batch with a fallback is run again: with the same one, another one, none, or more rows. */
class FallbackRerunTest {
    private static final String CREATE = "POST /v1/batches";
    private static final Fault REFUSED = Fault.status(400).body(QueueTest.NO_MODEL);
    private static final Fault FULL = Fault.status(429).body(QueueTest.FULL);
    private final List<String> asked = Collections.synchronizedList(new ArrayList<>());
    private final BatchServer first = server("first");
    private final BatchServer second = server("second");
    private final BatchServer third = server("third");
    @TempDir Path home;

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

    @AfterEach void stop() { Stream.of(first, second, third).forEach(BatchServer::close); }

    private BatchServer server(String name) {
        return BatchServer.start().answer(body -> {
            asked.add(body.at("/messages/0/content").asText() + " " + name);
            return Reply.text(name);
        });
    }

    @Test void whatBothHaveRefusedTheFirstIsAskedAgain() {
        first.on(CREATE, REFUSED);
        second.on(CREATE, REFUSED, REFUSED);

        assertEquals("a: errored, b: first", answers(ask("a", "b").fallback(second.baseUrl())));
        assertEquals("a: first, b: first", answers(ask("a", "b").fallback(second.baseUrl())));

        assertEquals(List.of("a first", "b first"), sorted());
    }

    @Test void whatBothHaveRefusedARunWithoutTheFallbackAsksTheFirst() {
        first.on(CREATE, REFUSED);
        second.on(CREATE, REFUSED);

        assertEquals("a: errored, b: first", answers(ask("a", "b").fallback(second.baseUrl())));
        assertEquals("a: first, b: first", answers(ask("a", "b")));

        assertEquals(List.of("a first", "b first"), sorted());
    }

    @Test void whatTheFirstHasRepairedTheFallbackIsNotAsked() {
        first.on(CREATE, Fault.late(Duration.ZERO), REFUSED);

        assertEquals("a: first, b: first", answers(ask("a", "b").repair(1)));
        assertEquals("a: first, b: first", answers(ask("a", "b").fallback(second.baseUrl())));

        assertEquals(List.of("a first", "b first"), sorted());
    }

    @Test void whatIsRefusedByItsUploadIsAskedAtTheFirstNoMoreOnceTheFallbackHasIt() {
        first.on("POST /v1/files", Fault.status(413).body("{\"error\": {\"message\": \"too large\"}}"));

        assertEquals("a: second", answers(ask("a").fallback(second.baseUrl())));
        assertEquals("a: second", answers(ask("a").fallback(second.baseUrl())));
        assertEquals("a: second", answers(ask("a")));

        assertEquals(List.of("a second"), asked);
    }

    @Test void whatWaitsAtOneFallbackIsAskedAtNoOther() {
        first.on(CREATE, FULL);
        second.on(CREATE, FULL, FULL, FULL, FULL);
        var batch = ask("a").fallback(second.baseUrl()).submit();

        assertEquals("a: second", answers(ask("a").fallback(third.baseUrl())));
        assertEquals("a: second", answers(batch.results()));

        assertEquals(List.of("a second"), asked);
    }

    @Test void whatWaitsAtTheFallbackARunWithoutItWaitsForToo() {
        first.on(CREATE, FULL);
        second.on(CREATE, FULL, FULL, FULL, FULL);
        ask("a").fallback(second.baseUrl()).submit();

        assertEquals("a: second", answers(ask("a")));

        assertEquals(List.of("a second"), asked);
    }

    @Test void grownDataSendsNothingThatWaitsAtTheFallback() {
        first.on(CREATE, FULL);
        second.on(CREATE, FULL, FULL, FULL, FULL);
        var batch = ask("a").fallback(second.baseUrl()).submit();

        var refusal = assertThrows(IllegalStateException.class, () -> ask("a", "b").submit());

        assertTrue(refusal.getMessage().contains(" is still waiting and has 1 request of these; await it first: "),
            refusal.getMessage());
        assertEquals("a: second", answers(batch.results()));
        assertEquals("a: second, b: first", answers(ask("a", "b")));
        assertEquals(List.of("a second", "b first"), sorted());
    }

    @Test void whatFindsNoRoomAndIsRefusedElsewhereWaitsForRoomAgain() {
        first.on(CREATE, FULL);
        second.on(CREATE, REFUSED);

        assertEquals("a: first, b: first", answers(ask("a", "b").fallback(second.baseUrl())));
        assertEquals(List.of("a first", "b first"), sorted());
    }

    @Test void whoeverWaitsAtTheFallbackSeesThatItHasRefusedAnotherProcess() {
        first.on(CREATE, REFUSED);
        second.on(CREATE, FULL, REFUSED);
        var waiting = ask("a").fallback(second.baseUrl()).submit();

        ask("a").fallback(second.baseUrl()).submit();

        assertEquals("await: " + waiting.id() + " failed; submit: POST " + first.baseUrl()
            + "/batches: 400 no such model", refusal(waiting));
        assertEquals("a: first", answers(ask("a")));
        assertEquals(List.of("a first"), asked);
    }

    @Test void aRequestThatWaitsThereForAnotherProcessSeesThatToo() throws Exception {
        first.answer(body -> Reply.error(503, "overloaded", "too busy"));
        Trials.slower(time -> waitsForAnotherProcess(time.multipliedBy(4)));
    }

    /** Another one comes and is refused before the first has waited for so long. */
    private void waitsForAnotherProcess(Duration time) throws InterruptedException {
        System.setProperty("SHEAF_HOME", home.resolve(time.toString()).toString());
        asked.clear();
        int before = creates();
        second.on(CREATE, FULL.retryAfter("" + time.toSeconds()), REFUSED);
        var waiting = ask("a").fallback(second.baseUrl()).submit();
        var said = new ArrayList<String>();
        var process = new Thread(() -> said.add(answers(waiting.results())));
        process.start();
        RawClient.await(() -> creates() > before);

        assertEquals("a: errored", answers(ask("a").fallback(second.baseUrl())));
        process.join(120_000);

        assertEquals(List.of("a: second"), said);
        assertEquals(List.of("a second"), asked);
    }

    private int creates() { return Collections.frequency(second.requests(), CREATE); }

    @Test void whatWasCancelledGoesToTheFallbackWhenItIsSubmittedAgain() {
        first.pause();
        ask("a").fallback(second.baseUrl()).submit().cancel();
        first.resume();

        assertEquals("a: second", answers(ask("a").fallback(second.baseUrl())));
        assertEquals(List.of("a second"), asked);
    }

    @Test void whatAKillLeavesBetweenTwoProvidersWaitsForRoomAgain() {
        first.on(CREATE, FULL);
        var killed = home.resolve("killed");
        second.onEvery(request -> {
            if (Files.notExists(killed)) copy(home.resolve("batches"), killed.resolve("batches"));
            return null;
        });
        assertEquals("a: second", answers(ask("a").fallback(second.baseUrl())));

        System.setProperty("SHEAF_HOME", killed.toString());
        assertEquals("a: first", answers(Sheaf.batch("both").results()));
    }

    private static void copy(Path from, Path to) {
        try (var files = Files.walk(from)) {
            for (var file : files.filter(Files::isRegularFile).toList()) {
                var target = to.resolve(from.relativize(file).toString());
                Files.createDirectories(target.getParent());
                Files.copy(file, target);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static String refusal(Sheaf.Batch waiting) {
        return assertTimeoutPreemptively(Duration.ofMinutes(1), () ->
            assertThrows(RuntimeException.class, waiting::await).getMessage());
    }

    @Test void aRowThatIsTooLongForTheFallbackKeepsWhatTheFirstSaid() {
        first.answer(body -> Reply.error(503, "overloaded", "too busy"));
        var small = Provider.of(second.baseUrl()).limits(10, 60);

        assertEquals("a: errored", answers(ask("a").fallback(small, null)));
        assertEquals(List.of(), asked);
    }

    private Draft ask(String... values) {
        return batch().provider(Provider.of(first.baseUrl()).limits(1, 10_000)).model("echo").name("both").quiet()
            .prompts("{{value}}", rows(List.of(values)));
    }

    private List<String> sorted() { return asked.stream().sorted().toList(); }

    private static String answers(Draft draft) { return answers(draft.submit().results()); }

    private static String answers(Results results) {
        return results.stream().map(result -> result.row("value") + ": "
            + (result.ok() ? result.text() : result.outcome().toString())).collect(Collectors.joining(", "));
    }
}
