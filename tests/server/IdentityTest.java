package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.support.RawClient.await;
import static sheaf.support.RawClient.body;
import static sheaf.support.RawClient.json;
import static sheaf.support.RawClient.lines;
import static sheaf.support.RawClient.send;

import java.io.IOException;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import sheaf.support.Opened;
import sheaf.support.RawClient;

/** Whom a client hears that it has reached: a store, and who answers behind it. */
class IdentityTest {
    static final String HI = "{\"data\":[],\"choices\":[{\"message\":{\"content\":\"hi\"}}]}";

    @TempDir Path folder;
    @AutoClose final Opened open = new Opened();
    final AtomicInteger asked = new AtomicInteger();       // POSTs that have reached an engine
    BatchServer server;
    final RawClient client = new RawClient(() -> server.baseUrl());

    @ParameterizedTest(name = "{0} {1} is {2}")
    @CsvSource({"GET, /models, 200", "GET, /files, 200", "GET, /nope, 404", "PUT, /batches, 405", "POST, /batches, 400",
        "HEAD, /batches, 200", "GET, /batches/batch_none, 404"})
    void everyAnswerSaysIt(String method, String path, int status) {
        serve(BatchServer.options());

        var answer = client.send(method, path, "no JSON".getBytes(UTF_8));

        assertEquals(status, answer.statusCode());
        assertTrue(store(answer).matches("[0-9a-f]{32}"), store(answer));
        assertEquals("echo", engine(answer));
    }

    @Test void aDownloadSaysItAndAFaultThatATestWants() {
        serve(BatchServer.options());
        var file = client.upload(lines("one"));
        server.on("GET /v1/batches", BatchServer.Fault.status(500));

        assertEquals("echo", engine(client.get("/files/" + file + "/content")));
        assertEquals("echo", engine(client.get("/batches")));
    }

    @Test void whatHttpItselfRefusesIsSignedToo() throws IOException {
        serve(BatchServer.options());
        var url = URI.create(server.baseUrl());
        try (var socket = new Socket(url.getHost(), url.getPort())) {
            socket.getOutputStream().write("GET /v1/files HTTP/1.1\r\nHost: a b\r\n\r\n".getBytes(UTF_8));

            var answer = new String(socket.getInputStream().readAllBytes(), UTF_8);

            assertTrue(answer.startsWith("HTTP/1.1 400 "), answer);
            assertTrue(answer.contains("x-sheaf-store: " + store(client.get("/models"))), answer);
            assertTrue(answer.contains("x-sheaf-engine: echo"), answer);
        }
    }

    @Test void theListOfModelsSaysItToo() {
        serve(BatchServer.options().dialect(BatchServer.Dialect.GROQ));

        var models = client.get("/models");

        assertEquals(store(models), json(models).at("/server/store").asText());
        assertEquals("echo", json(models).at("/server/engine").asText());
        assertEquals(List.of("echo"), client.ids("/models"));
    }

    @Test void aStoreIsTheSameAtEachStartAndATemporaryOneIsNew() {
        serve(BatchServer.options().store(folder.resolve("store")));
        var first = store(client.get("/models"));
        server.close();
        serve(BatchServer.options().store(folder.resolve("store")).dialect(BatchServer.Dialect.GROQ));
        var second = store(client.get("/models"));
        serve(BatchServer.options());
        var temporary = store(client.get("/models"));

        assertEquals(first, second);
        serve(BatchServer.options());
        assertNotEquals(temporary, store(client.get("/models")));
    }

    @Test void aStoreOfAnOlderVersionIsGivenOne() throws SQLException {
        serve(BatchServer.options().store(folder.resolve("store")));
        server.close();
        try (var database = DriverManager.getConnection("jdbc:sqlite:" + folder.resolve("store/state.db"))) {
            database.createStatement().execute("DROP TABLE fact");
        }

        serve(BatchServer.options().store(folder.resolve("store")));

        assertTrue(store(client.get("/models")).matches("[0-9a-f]{32}"));
    }

    @Test void anEngineThatSaysNothingIsItsUrlAndTheNamesOfItsModels() {
        var url = engine(0, null);

        serve(BatchServer.options().engine(url + "//").model("b", "x").model("a \u00e9=1", "meta/l:3"));

        assertEquals(url + " a%20%C3%A9%3D1=meta/l:3 b=x", engine(client.get("/models")));
    }

    @Test void anEngineElsewhereIsNotAskedWhoItIs() {
        serve(BatchServer.options().engine("http://engine.invalid/t\u00e9l/v1/").engineKey("sk-0123456789"));

        assertEquals("http://engine.invalid/t%C3%A9l/v1", engine(client.get("/files")));
    }

    @Test void aLongListOfNamesIsCutAndStillItsOwn() {
        var options = BatchServer.options();
        for (int i = 0; i < 200; i++)
            options = options.model("a model with a long name " + i, "m");
        serve(options.engine("http://engine.invalid/v1").model("last", "m"));
        var one = engine(client.get("/files"));
        serve(options.engine("http://engine.invalid/v1").model("last", "n"));

        assertEquals(1_000, one.length());
        assertNotEquals(one, engine(client.get("/files")));
    }

    @Test void anEngineOnThisMachineIsWhoItSaysItIsWhateverItsPort() {
        serve(BatchServer.options().store(folder.resolve("store")).engine(engine(0, "tiny f00d")).model("m", "tiny"));
        var first = engine(client.get("/models"));
        server.close();
        serve(BatchServer.options().store(folder.resolve("store")).engine(engine(0, "tiny f00d")).model("m", "tiny"));

        assertEquals("tiny f00d m=tiny", first);
        assertEquals("tiny f00d m=tiny", engine(client.get("/files")));
    }

    @Test void aServerBehindAServerIsWhoAnswersThere() {
        serve(BatchServer.options());
        var behind = server;
        serve(BatchServer.options().engine(behind.baseUrl()));

        assertEquals("echo", engine(client.get("/models")));
        assertNotEquals(store(send(HttpRequest.newBuilder(URI.create(behind.baseUrl() + "/models")))),
            json(client.get("/models")).at("/server/store").asText());
    }

    @Test void anEngineThatStartsAfterTheServerIsStillAsked() throws IOException {
        int port = freePort();
        serve(BatchServer.options().engine("http://127.0.0.1:" + port + "/v1"));
        engine(port, "tiny f00d");

        assertEquals("tiny f00d", engine(client.get("/files")));
    }

    @Test void whatClientsHaveHeardStaysWhileTheServerRuns() throws IOException {
        int port = freePort();
        var url = "http://127.0.0.1:" + port + "/v1";
        serve(BatchServer.options().store(folder.resolve("store")).engine(url));
        var before = engine(client.get("/files"));
        engine(port, "tiny f00d");
        var after = engine(client.get("/models"));
        server.close();
        serve(BatchServer.options().store(folder.resolve("store")).engine(url));

        assertEquals(List.of(url, url, "tiny f00d"), List.of(before, after, engine(client.get("/files"))));
    }

    @Test void anEngineThatIsAwayIsTheOneThatTheStoreKnows() throws IOException {
        int port = freePort();
        var options = BatchServer.options().store(folder.resolve("store")).engine("http://127.0.0.1:" + port + "/v1");
        try (var engine = stub(port, "tiny f00d"); var first = options.start()) {
            server = first;
            assertEquals("tiny f00d", engine(client.get("/files")));
        }
        serve(options);
        var away = engine(client.get("/files"));
        engine(port, "tiny f00d");

        assertEquals("tiny f00d", away);
        assertEquals(200, client.send("POST", "/chat/completions", body("hi").toString().getBytes(UTF_8)).statusCode());
    }

    @ParameterizedTest(name = "{0}: {1}")
    @CsvSource({"other beef, but other beef", ", but one that does not say its name"})
    void anotherEngineInItsPlaceIsNotHeard(String name, String who) throws IOException {
        int port = freePort();
        var url = "http://127.0.0.1:" + port + "/v1";
        try (var engine = stub(port, "tiny f00d")) {
            serve(BatchServer.options().store(folder.resolve("store")).engine(url));
            client.get("/files");
        }
        engine(port, name);

        var refused = client.send("POST", "/chat/completions", body("hi").toString().getBytes(UTF_8));
        var batch = client.create(lines("one"));
        int before = asked.get();
        await(() -> asked.get() > before);

        assertEquals(502, refused.statusCode());
        assertEquals("tiny f00d", engine(refused));
        assertEquals("engine_changed The engine is no longer tiny f00d " + who + "; start the server again to use that"
            + " one.", json(refused).at("/error/code").asText() + " " + json(refused).at("/error/message").asText());
        assertEquals(0, client.counted(batch, "completed") + client.counted(batch, "failed"));    // it waits
        server.close();
        serve(BatchServer.options().store(folder.resolve("store")).engine(url));
        assertEquals("hi", client.texts(client.finishedBatch(batch)).get("request-1"));
        assertEquals(name == null ? url : name, engine(client.get("/files")));
    }

    @Test void aProxyWithoutItsEngineIsNoOtherEngine() throws IOException {
        int port = freePort();
        serve(BatchServer.options().engine("http://127.0.0.1:" + port + "/v1"));
        try (var engine = stub(port, "tiny f00d")) {
            client.get("/files");
        }
        open.add(StubEngine.start(port, exchange -> StubEngine.answer(exchange, 502, "<title>Bad Gateway</title>")));

        var refused = client.send("POST", "/chat/completions", body("hi").toString().getBytes(UTF_8));

        assertEquals("bad_engine_answer", json(refused).at("/error/code").asText());
    }

    @Test void whoIsNotLetInHearsNothingOfTheEngineAndNobodyHearsAKey() {
        serve(BatchServer.options().apiKey("sk-server").engineKey("sk-engine").engine(engine(0, null)));

        var stranger = client.get("/files");
        var friend = send(client.request("/models").header("Authorization", "Bearer sk-server"));

        assertEquals(401, stranger.statusCode());
        assertEquals(store(friend), store(stranger));
        assertEquals("", engine(stranger));
        assertTrue(engine(friend).startsWith("http://127.0.0.1:"), engine(friend));
        assertTrue(!friend.headers().toString().contains("sk-") && !new String(friend.body(), UTF_8).contains("sk-"));
    }

    static String store(HttpResponse<byte[]> answer) { return answer.headers().firstValue("x-sheaf-store").orElse(""); }

    static String engine(HttpResponse<byte[]> answer) {
        return answer.headers().firstValue("x-sheaf-engine").orElse("");
    }

    void serve(BatchServer.Options options) {
        server = open.add(options.start());
    }

    /** Starts an engine on this port that says of itself that it is so, if not null, and returns its URL. */
    String engine(int port, String name) {
        var engine = stub(port, name);
        open.add(engine);
        return engine.baseUrl().replaceFirst("/$", "");
    }

    StubEngine stub(int port, String name) {
        return StubEngine.named(name, port, exchange -> {
            if (exchange.getRequestMethod().equals("POST")) asked.incrementAndGet();
            StubEngine.answer(exchange, 200, HI);
        });
    }

    static int freePort() throws IOException {
        try (var socket = new ServerSocket(0)) {
            return socket.getLocalPort();
        }
    }
}
