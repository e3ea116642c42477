package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.kept;
import static sheaf.Sheaf.rows;

import com.openai.core.http.Headers;
import com.openai.core.http.HttpResponse;
import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Vocabulary.BatchException;
import sheaf.Vocabulary.Limits;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Reply;
import sheaf.support.HoldingProxy;
import sheaf.support.Printed;
import sheaf.support.RawClient;
import sheaf.support.ScriptedServer.Answer;

/** Servers that move, that are replaced, and that say nothing of themselves, while a batch of theirs is kept. */
class StrangersTest {
    @TempDir Path home;
    @TempDir Path folder;

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

    @AfterEach void forget() {
        System.setProperty("OPENAI_BASE_URL", "");
        System.setProperty("SHEAF_PROVIDER", "");
        System.setProperty("sheaf.late", "0.2");
    }

    static Draft ask(String url, int rows) {
        return batch().quiet().provider(Provider.of(url)).name("asked").model("echo").prompts("{{n}}",
            rows(IntStream.range(0, rows).mapToObj(n -> Map.of("n", "row " + n)).toList()));
    }

    static long requestsPaid(BatchServer server) {
        var client = new RawClient(server::baseUrl);
        return client.ids("/batches").stream().mapToLong(id ->
            client.finishedBatch(id).at("/request_counts/total").asLong()).sum();
    }

    @Test void aLocalBatchIsSeenWhileTheEnvironmentNamesAnotherProvider() {
        try (var server = BatchServer.start()) {
            var id = ask(server.baseUrl(), 1).submit().id();
            System.setProperty("OPENAI_BASE_URL", "https://127.0.0.1:9/v1");
            assertEquals(1, batch(id).results().size());
        }
    }

    @Test void aLocalBatchIsSeenWhileTheEnvironmentNamesAServerWithoutKey() {
        try (var server = BatchServer.start()) {
            var id = ask(server.baseUrl(), 1).submit().id();
            System.setProperty("OPENAI_BASE_URL", "http://10.255.255.1:9/v1");
            assertEquals(1, batch(id).results().size());
        }
    }

    @Test void aRetryGoesToTheServerThatHasMovedAndToNoStranger() {
        int port;
        String id;
        try (var server = BatchServer.options().store(folder.resolve("store")).start()) {
            server.answer(body -> Reply.error(500, "x", "broken"));
            port = URI.create(server.baseUrl()).getPort();
            id = ask(server.baseUrl(), 2).submit().await().id();
        }
        try (var stranger = BatchServer.options().port(port).start();
             var server = BatchServer.options().store(folder.resolve("store")).start()) {
            System.setProperty("OPENAI_BASE_URL", server.baseUrl());
            batch(id).results().failed().retry().submit().await();
            assertEquals(0, requestsPaid(stranger));
        }
    }

    @Test void aServerBehindTlsIsTheSameBeforeAndAfterItsFirstAnswer() {
        var before = tls();
        var after = tls();
        var mark = after.mark();
        after.call("x", "GET", "/models", StrangersTest::told);
        assertEquals(mark, after.mark());
        assertTrue(Manifest.Address.of(after).isAt(before));
    }

    private static Connection tls() {
        return new Connection("mine", "https://mine/v1", "https://mine/v1", "K", new Limits(1, 1),
            Provider.OPENAI.dialect(), Map.of());
    }

    private static HttpResponse told() {
        return new HttpResponse() {
            @Override public int statusCode() { return 200; }
            @Override public Headers headers() {
                return Headers.builder().put("x-sheaf-store", "abc").put("x-sheaf-engine", "echo")
                    .build();
            }
            @Override public InputStream body() { return new ByteArrayInputStream("{}".getBytes()); }
            @Override public void close() {}
        };
    }

    @Test void aLocalBatchIsSeenWhileTheEnvironmentNamesOpenAi() {
        System.setProperty("OPENAI_API_KEY", "sk-something");
        try (var server = BatchServer.start()) {
            var id = ask(server.baseUrl(), 1).submit().id();
            System.setProperty("OPENAI_BASE_URL", "https://nowhere.invalid/v1");
            assertEquals(1, batch(id).results().size());
        } finally {
            System.clearProperty("OPENAI_API_KEY");
        }
    }

    @Test void answersOfAnotherEngineAreNotTakenForThoseOfTheOneAsked() {
        var server = BatchServer.options().store(folder.resolve("store")).start();
        int port = URI.create(server.baseUrl()).getPort();
        server.pause();
        ask(server.baseUrl(), 2).submit();
        server.close();
        try (var other = BatchServer.start().reply(text -> "another");
             var engine = new HoldingProxy(other.baseUrl(), () -> null);
             var now = BatchServer.options().store(folder.resolve("store")).port(port).engine(engine.baseUrl())
                 .start()) {
            var said = Printed.stderr(() -> batch("asked").results());
            assertTrue(said.contains("results: " + engine.baseUrl() + " answers there now, and "
                + kept().get(0).folder().getFileName() + " was begun with another engine; whose answer each is stands "
                + "in result.answeredBy\n"), said);
        }
        try (var again = BatchServer.options().store(folder.resolve("store")).port(port).start()) {
            var texts = ask(again.baseUrl(), 3).submit().results().stream().map(Sheaf.Result::text).toList();
            assertEquals(List.of("row 0", "row 1", "row 2"), texts);
        }
    }

    @Test void whoWasLastAtAUrlIsNotToldByTheClock() throws Exception {
        var first = BatchServer.start().reply(text -> "first");
        int port = URI.create(first.baseUrl()).getPort();
        var url = first.baseUrl();
        var batch = ask(url, 1).submit();
        batch.results();
        first.close();
        var steps = batch.folder().resolve("steps.jsonl");
        Files.writeString(steps, Files.readString(steps).replaceAll("\"at\":\"\\d{4}",
            "\"at\":\"2099"));
        var second = BatchServer.options().port(port).start().reply(text -> "second");
        ask(url, 1).submit().results();
        second.close();
        var fault = assertThrows(UncheckedIOException.class, ask(url, 1)::submit);
        assertEquals("submit: cannot reach " + url + " (connection refused); start a server or set OPENAI_BASE_URL",
            fault.getMessage());
    }

    @Test void aBatchOfAServerThatSaidNothingIsNotSubmittedAtAStranger() throws Exception {
        var first = BatchServer.start().pause();
        int port = URI.create(first.baseUrl()).getPort();
        var batch = ask(first.baseUrl(), 5).submit();
        first.close();
        var draft = batch.folder().resolve("draft.json");
        Files.writeString(draft, Files.readString(draft)
            .replaceAll(",\\s*\"(store|engine)\" : \"[^\"]*\"", ""));
        try (var stranger = BatchServer.options().port(port).start()) {
            assertEquals("submit: another server than that of " + batch.folder().getFileName() + " may answer at "
                + stranger.baseUrl() + ", for it knows no such batch; start that one, or delete " + batch.folder()
                + " and run again", assertThrows(IllegalStateException.class, batch("asked")::submit).getMessage());
            assertEquals(0, requestsPaid(stranger));
        }
    }

    @Test void aPageOfAProxyDoesNotEndAWait() {
        try (var provider = signing()) {
            provider.on("GET " + ScriptedProvider.BATCH, "<html>maintenance</html>",
                signed(ScriptedProvider.ended("completed").toString()));
            provider.ask("hi").submit().await();
        }
    }

    @Test void aProxyThatIsOutOfOrderIsNotTakenForTheServer() {
        try (var provider = signing()) {
            var down = Answer.status(502);
            provider.on("GET /models", down, down, down, down, signed("{\"object\":\"list\",\"data\":[]}"));
            assertEquals(502, assertThrows(BatchException.class, provider.ask("hi")::submit).status());
            provider.ask("hi").submit();
        }
    }

    private static Answer signed(String said) {
        return Answer.of(said).header("x-sheaf-store", "abc").header("x-sheaf-engine", "echo");
    }

    private static ScriptedProvider signing() {
        var provider = new ScriptedProvider();
        provider.on("GET /models", signed("{\"object\":\"list\",\"data\":[]}"))
            .on("POST /files", signed(GuideTest.FILE)).on("GET /batches", signed("{\"object\":\"list\",\"data\":[]}"))
            .on("POST /batches", signed(GuideTest.CREATED));
        return provider;
    }
}
