package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.support.RawClient.await;
import static sheaf.support.RawClient.json;
import static sheaf.support.RawClient.lines;

import com.openai.client.OpenAIClient;
import com.openai.client.okhttp.OpenAIOkHttpClient;
import com.openai.core.http.Headers;
import com.openai.errors.InvalidWebhookSignatureException;
import com.openai.models.webhooks.WebhookVerificationParams;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.URI;
import java.nio.file.Path;
import java.sql.DriverManager;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import sheaf.support.Opened;
import sheaf.support.RawClient;

/** Who hears that a batch is over. */
@Tag("S26")
class WebhooksTest {
    static final String SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    static final String NO_SECRET = "webhook: the secret is not whsec_ and then Base64; make one with: "
        + "echo whsec_$(openssl rand -base64 32)";

    /** What a receiver got. */
    record Delivery(String request, Map<String, String> headers, String body) {
        String id() { return headers.get("webhook-id"); }

        long time() { return Long.parseLong(headers.get("webhook-timestamp")); }

        String type() { return json(body.getBytes(UTF_8)).get("type").asText(); }
    }

    final List<Delivery> heard = new CopyOnWriteArrayList<>();
    @AutoClose final Opened open = new Opened();
    @TempDir Path store;
    BatchServer server;
    final RawClient client = new RawClient(() -> server.baseUrl());
    final OpenAIClient openai = OpenAIOkHttpClient.builder().apiKey("none").build();

    @AfterEach void close() {
        if (server != null) server.close();
    }

    @Test void eachEndOfABatchIsToldOnce() throws IOException {
        start(receiver(0, 200));

        var completed = ended(lines("one"));
        var failed = ended("{}\n");
        server.pause();
        var cancelled = client.create(lines("one"));
        client.cancel(cancelled);
        server.expireAfter(Duration.ofMillis(10));
        var expired = ended(lines("one"));

        await(() -> heard.size() == 4);
        assertEquals(Map.of(completed, "batch.completed", failed, "batch.failed", cancelled, "batch.cancelled", expired,
            "batch.expired"), heard.stream().collect(Collectors.toMap(this::batchOf, Delivery::type)));
        assertEquals(4, heard.stream().map(Delivery::id).distinct().count());
    }

    @Test void openAIsClientTrustsTheSignature() throws IOException {
        start(receiver(0, 200));

        var batch = ended(lines("one"));

        await(() -> heard.size() == 1);
        var delivery = heard.get(0);
        var event = json(delivery.body.getBytes(UTF_8));
        assertEquals(Set.of("id", "object", "type", "created_at", "data"), RawClient.names(event));
        assertEquals(delivery.id() + " event batch.completed", String.join(" ", event.get("id").asText(),
            event.get("object").asText(), event.get("type").asText()));
        assertEquals(batch, openai.webhooks().unwrap(verification(delivery, SECRET)).asBatchCompleted().validate()
            .data().id());
        assertThrows(InvalidWebhookSignatureException.class, () -> openai.webhooks()
            .verifySignature(verification(delivery, "whsec_b3RoZXI=")));
    }

    @Test void whatIsNotTakenIsToldAgainWithTheSameIdAndAFreshTime() throws IOException {
        start(receiver(0, 500, 302, 200));

        ended(lines("one"));

        await(() -> heard.size() == 3);
        heard.forEach(each -> assertEquals("POST /hook", each.request));
        heard.forEach(each -> openai.webhooks().verifySignature(verification(each, SECRET)));
        assertEquals(1, heard.stream().map(Delivery::id).distinct().count());
        assertTrue(heard.get(0).time() < heard.get(1).time() && heard.get(1).time() < heard.get(2).time());
        awaitNoEvents();
    }

    @Test void aReceiverThatIsAwayIsToldOnceItIsBack() throws IOException {
        int port = freePort();
        start(URI.create("http://127.0.0.1:" + port + "/hook"));
        ended(lines("one"));
        assertEquals(1, events());

        receiver(port, 200);

        await(() -> heard.size() == 1);
        awaitNoEvents();
    }

    @Test void tellingGoesOnAfterARestart() throws IOException {
        start(receiver(0, 503));
        ended(lines("one"));
        await(() -> heard.size() == 1);
        server.close();

        start(receiver(0, 200));

        await(() -> heard.size() > 1 && events() == 0);
        assertEquals(1, heard.stream().map(Delivery::id).distinct().count());
    }

    @Test void aReceiverThatNeverAnswersHoldsUpNoBatch() throws IOException {
        var silent = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
        open.add(silent);
        start(URI.create("http://127.0.0.1:" + silent.getLocalPort() + "/hook"));

        for (int i = 0; i < 5; i++)
            ended(lines("one", "two"));

        assertEquals(5, events());
    }

    @Test void anEventIsStoredWithTheStatusThatItTellsOf() throws IOException {
        start(URI.create("http://127.0.0.1:" + freePort() + "/hook"));
        var batch = client.create(lines("one"));

        while (!client.found(batch).get("status").asText().equals("completed"))
            Thread.onSpinWait();

        assertEquals(1, events());
    }

    @Test void afterThreeDaysAnEventIsDropped() throws Exception {
        start(receiver(0, 500));
        ended(lines("one"));
        await(() -> heard.size() > 0);
        server.close();
        change("UPDATE event SET created_at = created_at - 259200, due_at = 0");

        start(receiver(0, 500));

        awaitNoEvents();
    }

    @ParameterizedTest(name = "{0} {1}")
    @CsvSource(delimiter = '|', value = {
        "ftp://example.com | whsec_c2VjcmV0 | webhook: ftp://example.com is no http URL",
        "/hook | whsec_c2VjcmV0 | webhook: /hook is no http URL",
        "http://localhost/ | c2VjcmV0 | " + NO_SECRET, "http://localhost/ | whsec_ | " + NO_SECRET,
        "http://localhost/ | whsec_no base64 | " + NO_SECRET})
    void anUnusableWebhookIsRefusedAtOnce(URI url, String secret, String message) {
        var refused = assertThrows(IllegalArgumentException.class, () -> BatchServer.options().webhook(url, secret));

        assertEquals(message, refused.getMessage());
    }

    @Test void serveTakesTheSecretFromTheEnvironment() throws Exception {
        var serve = serve(SECRET, receiver(0, 200));
        try (var out = serve.inputReader()) {
            var url = out.readLine().replaceFirst("OPENAI_BASE_URL=", "");

            new RawClient(() -> url).create(lines("one"));

            await(() -> heard.size() == 1);
            openai.webhooks().verifySignature(verification(heard.get(0), SECRET));
        } finally {
            serve.destroy();
            serve.waitFor();
        }
    }

    @Test void serveSaysThatTheSecretIsMissingOrWrong() throws Exception {
        var url = URI.create("http://127.0.0.1:9/hook");

        assertEquals("2 webhook: no secret to sign with; set SHEAF_WEBHOOK_SECRET or give --webhook-secret"
            + "; try 'serve --help'\n", said(serve("", url)));
        assertEquals("2 " + NO_SECRET + "; try 'serve --help'\n", said(serve("secret", url)));
        assertEquals("2 " + NO_SECRET + "; try 'serve --help'\n",
            said(serve(SECRET, url, "--webhook-secret", "whsec_?")));
    }

    private void start(URI webhook) { server = BatchServer.options().store(store).webhook(webhook, SECRET).start(); }

    /** Starts a receiver that answers with these statuses, and then with the last one for ever. */
    private URI receiver(int port, int... statuses) throws IOException {
        var receiver = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 0);
        int before = heard.size();
        receiver.createContext("/", exchange -> {
            heard.add(delivery(exchange));
            int status = statuses[Math.min(heard.size() - before, statuses.length) - 1];
            exchange.getResponseHeaders().add("Location", "/elsewhere");
            exchange.sendResponseHeaders(status, -1);
            exchange.close();
        });
        receiver.start();
        open.add(() -> receiver.stop(0));
        return URI.create("http://127.0.0.1:" + receiver.getAddress().getPort() + "/hook");
    }

    private static Delivery delivery(HttpExchange exchange) throws IOException {
        var body = new String(exchange.getRequestBody().readAllBytes(), UTF_8);
        var headers = exchange.getRequestHeaders().entrySet().stream()
            .collect(Collectors.toMap(header -> header.getKey().toLowerCase(), header -> header.getValue().get(0)));
        return new Delivery(exchange.getRequestMethod() + " " + exchange.getRequestURI(), headers, body);
    }

    private static WebhookVerificationParams verification(Delivery delivery, String secret) {
        var headers = Headers.builder();
        delivery.headers.forEach(headers::put);
        return WebhookVerificationParams.builder().payload(delivery.body).headers(headers.build()).secret(secret)
            .build();
    }

    private String batchOf(Delivery delivery) { return json(delivery.body.getBytes(UTF_8)).at("/data/id").asText(); }

    private String ended(String lines) { return client.finished(client.upload(lines)).get("id").asText(); }

    private static int freePort() throws IOException {
        try (var any = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return any.getLocalPort();
        }
    }

    private void awaitNoEvents() { await(() -> events() == 0); }

    /** Returns how many events the store has yet to tell. */
    private int events() {
        try (var database = DriverManager.getConnection("jdbc:sqlite:" + store.resolve("state.db"));
            var statement = database.createStatement();
            var count = statement.executeQuery("SELECT count(*) FROM event")) {
            return count.getInt(1);
        } catch (Exception e) {
            throw new AssertionError(e);
        }
    }

    private void change(String sql) throws Exception {
        try (var database = DriverManager.getConnection("jdbc:sqlite:" + store.resolve("state.db"));
            var statement = database.createStatement()) {
            assertTrue(statement.executeUpdate(sql) > 0);
        }
    }

    private Process serve(String secret, URI url, String... more) throws IOException {
        var serve = new ProcessBuilder(Stream.concat(Stream.of(
            Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-cp",
            System.getProperty("java.class.path"), "sheaf.server.BatchServer", "--port", "0", "--store",
            store.resolve("served").toString(), "--webhook", url.toString()), Arrays.stream(more)).toList());
        serve.environment().keySet().removeIf(name -> name.startsWith("SHEAF_"));
        serve.environment().put("SHEAF_WEBHOOK_SECRET", secret);
        return serve.start();
    }

    private static String said(Process serve) throws Exception {
        var said = new String(serve.getErrorStream().readAllBytes(), UTF_8);
        return serve.waitFor() + " " + said;
    }
}
