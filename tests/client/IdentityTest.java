package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.kept;
import static sheaf.Sheaf.rows;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.HexFormat;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Vocabulary.BatchException;
import sheaf.Vocabulary.Status;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Fault;
import sheaf.support.HoldingProxy;
import sheaf.support.Printed;
import sheaf.support.RawClient;

/** A server is who it is: its store and what answers behind it, and not the port where it listens, nor that alone. */
class IdentityTest {
    @TempDir Path home;
    @TempDir Path folder;

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

    @AfterEach void forgetTheEnvironment() {
        System.setProperty("OPENAI_BASE_URL", "");
        System.setProperty("sheaf.late", "0.2");
    }

    @Test void theSameStoreOnAnotherPortIsTheSameServer() {
        try (var server = withStore().start()) {
            assertEquals(List.of("echo"), answers(ask(server).submit().results()));
        }
        try (var server = withStore().start()) {
            var said = Printed.stderr(() -> ask(server).submit().results());

            assertTrue(said.startsWith("attached to "), said);
            assertEquals(0, creates(server));
        }
    }

    @Test void theSameStoreWithAnotherEngineAnswersAnew() {
        try (var server = withStore().start()) {
            ask(server).submit().results();
        }
        try (var other = BatchServer.start().reply(text -> "no echo");
             var engine = new HoldingProxy(other.baseUrl(), () -> null);
             var server = withStore().engine(engine.baseUrl()).start()) {
            assertEquals(List.of("no echo"), answers(ask(server).submit().results()));
            assertEquals(List.of("no echo"), answers(ask(server).submit().results()));
            assertEquals(1, creates(server));
            assertEquals(2, kept().size());
        }
    }

    @Test void twoServersHaveABatchEachOfTheSameDraft() {
        try (var first = BatchServer.start().pause(); var second = BatchServer.start().reply(text -> "second")) {
            var slow = ask(first).submit();
            assertEquals(List.of("second"), answers(ask(second).submit().results()));

            assertEquals(slow.id(), ask(first).submit().id());
            assertFalse(batch(slow.id()).status().isTerminal());
            assertEquals(slow.id(), Provider.of(first.baseUrl()).batch("asked").id());
            assertNotEquals(slow.id(), Provider.of(second.baseUrl()).batch("asked").id());
            assertEquals(1, Provider.of(first.baseUrl()).batches(9).size());
            first.resume();
            assertEquals(List.of("echo"), answers(batch(slow.id()).results()));
            assertEquals(List.of(1L, 1L), List.of(creates(first), creates(second)));
        }
    }

    @Test void twoUrlsThatSayNothingAreTwoProviders() {
        try (var first = BatchServer.start(); var second = BatchServer.start().reply(text -> "second");
             var one = new HoldingProxy(first.baseUrl(), () -> null);
             var two = new HoldingProxy(second.baseUrl(), () -> null)) {
            assertEquals(List.of("echo"), answers(ask(one.baseUrl()).submit().results()));
            assertEquals(List.of("second"), answers(ask(two.baseUrl()).submit().results()));
            assertEquals(List.of("echo"), answers(ask(one.baseUrl()).submit().results()));
            assertEquals(List.of(1L, 1L), List.of(creates(first), creates(second)));
        }
    }

    @Test void aKeptBatchIsAskedForWhereItsServerListensNow() {
        String id;
        try (var server = withStore().start()) {
            server.pause();
            id = ask(server).submit().id();
        }
        try (var other = BatchServer.start(); var server = withStore().start()) {
            System.setProperty("OPENAI_BASE_URL", server.baseUrl());
            assertEquals(List.of("echo"), answers(batch(id).results()));
            assertEquals(List.of(), other.requests());
        }
    }

    @Test void aBatchWhoseServerListensNowhereIsASentenceThatNamesIt() {
        var server = withStore().start();
        server.pause();
        var slow = ask(server).submit();
        server.close();

        try (var other = BatchServer.start()) {
            System.setProperty("OPENAI_BASE_URL", other.baseUrl());
            assertEquals("status: cannot reach " + server.baseUrl() + " (connection refused); start the server with "
                + "the store STORE and the engine echo again, or set OPENAI_BASE_URL to where it listens",
                plain(assertThrows(RuntimeException.class, batch(slow.id())::status)));
        }
    }

    @Test void anotherServerBehindTheSamePortIsASentenceThatNamesBoth() {
        var server = BatchServer.start().pause();
        int port = URI.create(server.baseUrl()).getPort();
        var slow = ask(server).submit();
        server.close();

        try (var other = BatchServer.options().port(port).start()) {
            assertEquals("status: " + other.baseUrl() + " is answered by another server (store STORE and the engine echo), and not "
                + "by the server that was asked before (store STORE and the engine echo); start that one, or set OPENAI_BASE_URL to "
                + "where it listens", plain(assertThrows(BatchException.class, slow::status)));
            assertThrows(BatchException.class, batch(slow.id())::results);
            assertThrows(BatchException.class, () -> batch(slow.id()).await(Duration.ofMinutes(1)));
            assertEquals(List.of("echo"), answers(ask(other).submit().results()));
            assertEquals(Status.VALIDATING, Journal.find(slow.id()).orElseThrow().part(1).status());
        }
    }

    @Test void whoLacksTheKeyOfAServerIsToldThatAndNothingIsKept() {
        try (var server = withStore().apiKey("secret").start()) {
            assertEquals("submit: GET " + server.baseUrl() + "/models: 401 Incorrect API key provided; check "
                + "SHEAF_API_KEY", assertThrows(BatchException.class, ask(server)::submit).getMessage());
            assertEquals(List.of(), kept());
        }
    }

    @Test void whatIsWholeHereNeedsNoServer() {
        var server = withStore().start();
        ask(server).submit().results();
        server.close();

        assertEquals(List.of("echo"), answers(ask(server).submit().results()));
    }

    @Test void aServerThatNobodyHasMetIsNotTakenForAnother() {
        String gone;
        try (var server = withStore().start(); var never = BatchServer.start()) {
            ask(server).submit().results();
            gone = never.baseUrl();
        }

        assertEquals("submit: cannot reach " + gone + " (connection refused); start a server or set OPENAI_BASE_URL",
            assertThrows(RuntimeException.class, () -> ask(gone).submit()).getMessage());
        assertEquals(1, kept().size());
    }

    @Test void anEngineThatWasChangedBeforeTheCreateIsASentenceAndNothingIsCreated() {
        try (var server = withStore().start()) {
            ask(server).upload();
        }
        try (var other = BatchServer.start(); var engine = new HoldingProxy(other.baseUrl(), () -> null);
             var server = withStore().engine(engine.baseUrl()).start()) {
            System.setProperty("OPENAI_BASE_URL", server.baseUrl());
            var refused = assertThrows(BatchException.class, batch("asked")::submit);

            assertEquals("submit: " + engine.baseUrl() + " answers at " + server.baseUrl() + " now, and this batch was "
                + "begun with echo; start the server with that, or run the script anew", refused.getMessage());
            assertEquals(0, creates(server));
        }
    }

    @Test void aLostCreateIsNotWaitedForWhereItsKeyIsHonoured() {
        System.setProperty("sheaf.late", "600");
        try (var server = withStore().start()) {
            var none = Fault.status(200).body("{\"data\": [], \"has_more\": false}");
            server.on("POST /v1/batches", Fault.lost()).on("GET /v1/batches", none, none, none, none, none, none);
            assertThrows(RuntimeException.class, ask(server)::submit);

            var said = Printed.stderr(() -> ask(server).submit().await());

            assertFalse(said.contains("looking for one"), said);
            assertEquals(1, Provider.of(server.baseUrl()).batches(9).size());
        }
    }

    @Test void aFolderOfTheFirstDaysIsFoundWhereTheServerHasItsBatch() throws IOException {
        try (var server = withStore().start()) {
            var folder = ask(server).submit().await().folder();
            makeOld(folder);

            var said = Printed.stderr(() -> ask(server).submit().results());

            assertTrue(said.startsWith("attached to "), said);
            assertEquals(1, creates(server));
            assertEquals(1, kept().size());
        }
    }

    @Test void aFolderOfTheFirstDaysIsNotTakenForAnotherServers() throws IOException {
        try (var server = withStore().start(); var other = BatchServer.start().reply(text -> "other")) {
            makeOld(ask(server).submit().await().folder());

            assertEquals(List.of("other"), answers(ask(other).submit().results()));
            assertEquals(1, creates(other));
        }
    }

    /** Has the folder say what it would have said while all servers on this machine were one provider. */
    private static void makeOld(Path folder) throws IOException {
        var lines = Files.readString(folder.resolve("part-1.jsonl"));
        var digest = sha256("local\n/v1/chat/completions\n24h\n" + lines);
        var manifest = (ObjectNode) RawClient.JSON.readTree(folder.resolve("draft.json").toFile());
        manifest.put("digest", digest);
        ((ObjectNode) manifest.get("provider")).remove(List.of("store", "engine"));
        Files.writeString(folder.resolve("draft.json"), manifest.toString());
        Files.move(folder, folder.resolveSibling("asked-" + digest.substring(0, 12)));
    }

    private static String sha256(String text) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(text.getBytes()));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }

    private BatchServer.Options withStore() { return BatchServer.options().store(folder.resolve("store")); }

    private static Draft ask(BatchServer server) { return ask(server.baseUrl()); }

    private static Draft ask(String baseUrl) {
        return batch().provider(baseUrl).name("asked").model("m").prompts("{{value}}", rows("echo"));
    }

    private static List<String> answers(Sheaf.Results results) {
        return results.stream().map(Sheaf.Result::text).toList();
    }

    private static long creates(BatchServer server) {
        return server.requests().stream().filter("POST /v1/batches"::equals).count();
    }

    private static String plain(Throwable e) {
        return e.getMessage().replaceAll("store [0-9a-f]{8}\\b", "store STORE");
    }
}
