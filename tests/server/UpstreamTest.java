package sheaf.server;

import static java.net.http.HttpRequest.BodyPublishers.ofString;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.server.StubEngine.answer;
import static sheaf.support.RawClient.await;
import static sheaf.support.RawClient.body;
import static sheaf.support.RawClient.json;
import static sheaf.support.RawClient.lines;

import com.fasterxml.jackson.databind.JsonNode;
import com.sun.net.httpserver.HttpHandler;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.ServerSocket;
import java.net.URI;
import java.net.http.HttpRequest;
import java.nio.file.Path;
import java.time.Duration;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import sheaf.support.Opened;
import sheaf.support.RawClient;
import sheaf.support.Trials;

/** The server in front of an engine behind a URL, which may be busy or away. */
class UpstreamTest {
    static final String HI = "{\"model\":\"its own\",\"choices\":[{\"message\":{\"content\":\"hi\"}}]}";

    private static final String LOADING = "{\"message\":\"The engine answered 503: loading\",\"type\":\"server_error\","
        + "\"param\":null,\"code\":\"bad_engine_answer\"}";

    @AutoClose final Opened open = new Opened();
    final CountDownLatch over = new CountDownLatch(1);
    BatchServer server;
    final RawClient client = new RawClient(() -> server.baseUrl());

    @AfterEach void close() { over.countDown(); }

    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', value = {
        "http://localhost:11434/v1 | ; start it by 'ollama serve'",
        "http://127.0.0.1:1234/v1/ | ; start it by 'lms server start'",
        "http://localhost:8000/v1 | ; start it by 'vllm serve MODEL'",
        "http://localhost:8080/v1 | ; start it by 'llama-server -m FILE.gguf'",
        "http://localhost:11435/v1 | ; start it there",
        "https://openrouter.ai/api/v1 | ''"})
    void anEngineThatIsNotThereIsStartedByItsCommand(String url, String remedy) {
        assertEquals(remedy, KnownEngine.remedy(url));
    }

    @Test void requestsAreForwardedWithBothLimits() {
        var received = new ConcurrentLinkedQueue<String>();
        serve(engine((path, body) -> {
            received.add(path + " " + body);
            return "200 " + HI;
        }));
        var asked = lines("one").replace("\"model\"", "\"max_tokens\":7,\"temperature\":1.0,\"model\"");

        var batch = client.finished(client.upload(asked));

        assertEquals("hi", client.texts(batch).get("request-1"));
        assertEquals("/chat/completions {\"max_tokens\":7,\"temperature\":1.0,\"model\":\"m\",\"messages\":"
            + "[{\"role\":\"user\",\"content\":\"one\"}],\"max_completion_tokens\":7}", received.remove());
    }

    @Test void imagesNumbersAndUnknownFieldsPassUnchanged() {
        var received = new ConcurrentLinkedQueue<String>();
        serve(engine((path, body) -> {
            received.add(body);
            return "200 " + HI;
        }));
        var sent = "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\","
            + "\"image_url\":{\"url\":\"data:image/png;base64,iVBORw0KGgo+/AAA==\",\"detail\":\"low\"}},"
            + "{\"type\":\"text\",\"text\":\"a\\/b <\\u00e9>\"}]}],\"top_p\":0.10,\"seed\":12345678901234567890,"
            + "\"x\":{\"y\":[1.50,null,true,{}]},\"n\":1}";

        client.finished(client.upload("{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\","
            + "\"body\":" + sent + "}\n"));

        assertEquals(sent.replace("\\/", "/").replace("\\u00e9", "\\u00E9"), received.remove());
    }

    @Test void aModelGoesOutUnderTheEnginesName() {
        var received = new ConcurrentLinkedQueue<String>();
        serve(BatchServer.options().mixedModels().model("m", "meta-llama/Llama-3.1-8B").engine(engine((path, body) -> {
            received.add(json(body.getBytes(UTF_8)).path("model").asText());
            return "200 " + HI;
        })));

        var batch = client.finished(client.upload(lines("one") + lines("two").replace("\"m\"", "\"other\"")
            .replace("request-1", "request-2")));

        assertEquals(Set.of("meta-llama/Llama-3.1-8B", "other"), Set.copyOf(received));
        assertEquals("its own", client.output(batch, "output_file_id").get(0).at("/response/body/model").asText());
    }

    @Test void mappedModelsAreListedToo() {
        serve(BatchServer.options().model("llama3.1", "meta-llama/Llama-3.1-8B").model("new", "unlisted")
            .model("listed", "x").engine(engine((path, body) -> "200 {\"data\":[{\"id\":\"listed\"},"
                + "{\"id\":\"meta-llama/Llama-3.1-8B\",\"object\":\"model\",\"owned_by\":\"meta\"}]}")));

        assertEquals(List.of("listed", "meta-llama/Llama-3.1-8B", "llama3.1", "new"), client.ids("/models"));
        assertEquals("{\"id\":\"llama3.1\",\"object\":\"model\",\"owned_by\":\"meta\"}",
            json(client.get("/models/llama3.1")).toString());
        assertEquals(200, client.get("/models/new").statusCode());
    }

    @Test void modelNamesMayHoldSlashes() {
        serve(engine((path, body) -> "200 {\"data\":[{\"id\":\"deepseek-ai/DeepSeek-V3\"}]}"));

        assertEquals("deepseek-ai/DeepSeek-V3", json(client.get("/models/deepseek-ai%2FDeepSeek-V3")).get("id")
            .asText());
        assertEquals("deepseek-ai/DeepSeek-V3", json(client.get("/models")).at("/data/0/id").asText());
    }

    @Test void onlyTheEnginesKeyGoesToTheEngine() {
        var received = new ConcurrentLinkedQueue<String>();
        HttpHandler engine = exchange -> {
            received.add(String.valueOf(exchange.getRequestHeaders().get("Authorization")));
            answer(exchange, 200, HI);
        };

        serve(BatchServer.options().apiKey("theirs").engine(engine(engine)));
        client.send(client.request("/chat/completions").header("Authorization", "Bearer theirs")
            .POST(ofString(body("one").toString())));
        serve(BatchServer.options().engineKey("sk-engine").engine(engine(engine)));
        client.send(client.request("/chat/completions").header("Authorization", "Bearer theirs")
            .POST(ofString(body("one").toString())));

        assertEquals(List.of("null", "[Bearer sk-engine]"), List.copyOf(received));
    }

    @Test void theEnginesKeyIsInNoAnswerAndNoText() {
        var options = BatchServer.options().engineKey("sk-secret/b").engine(engine(exchange ->
            answer(exchange, 401, "{\"error\":{\"message\":\"wrong key sk-secret\\/b\",\"code\":\"sk-secret/b\"}}")));
        serve(options);

        var batch = client.finished(client.upload(lines("one")));

        assertTrue(batch.at("/errors/data/0/message").asText().endsWith("/v1 refuses the key (401 wrong key ***); set "
            + "SHEAF_ENGINE_KEY to its key"), batch.toString());
        assertFalse((batch + new String(client.get("/models").body(), UTF_8) + options + server).contains("sk-a"));
    }

    @Test void aBusyEngineIsAskedAgain() {
        var asked = new AtomicInteger();
        serve(engine((path, body) -> asked.incrementAndGet() < 3 ? "502 proxy" : "200 " + HI));

        assertEquals("hi", client.texts(client.finished(client.upload(lines("one")))).get("request-1"));
        assertEquals(3, asked.get());
    }

    @ParameterizedTest
    @ValueSource(ints = {429, 503})
    void aBatchWaitsForAnEngineThatIsAwayOrOverloaded(int status) {
        var asked = new AtomicInteger();
        serve(engine(exchange -> {
            if (asked.incrementAndGet() > 5)
                answer(exchange, 200, HI);
            else
                answer(exchange, status, "loading", "Retry-After", "0");
        }));

        assertEquals("hi", client.texts(client.finished(client.upload(lines("one")))).get("request-1"));
        assertEquals(6, asked.get());
    }

    /** It may be the one that crashes the engine. */
    @Test void aRequestThatTheEngineHangsUpOnIsTriedAFewTimesOnly() {
        var asked = new AtomicInteger();
        serve(engine(exchange -> {
            asked.incrementAndGet();
            exchange.close();
        }));

        var batch = client.finished(client.upload(lines("one")));

        assertEquals("connection_error", client.output(batch, "error_file_id").get(0).at("/error/code").asText());
        assertTrue(asked.get() >= 3 && asked.get() <= 6, "" + asked.get());   // the HTTP client may add one each
    }

    @ParameterizedTest(name = "{0} but not {1}")
    @CsvSource({"max_completion_tokens, max_tokens", "max_tokens, max_completion_tokens"})
    void anEngineThatTakesOneWordForTheLimitGetsThatOne(String known, String unknown) {
        var limits = new ConcurrentLinkedQueue<Integer>();
        serve(engine((path, body) -> {
            var asked = json(body.getBytes(UTF_8));
            if (asked.has(unknown))
                return "400 {\"error\":{\"message\":\"Unsupported parameter: '" + unknown + "' is not supported.\"}}";
            limits.add(asked.path(known).asInt());
            return "200 " + HI;
        }));

        var batch = client.finished(client.upload(lines("one", "two", "three")
            .replace("\"model\"", "\"max_tokens\":7,\"model\"")));

        assertEquals(3, batch.at("/request_counts/completed").asInt());
        assertEquals(List.of(7, 7, 7), List.copyOf(limits));
    }

    @Test void aClientHearsWhenToComeBack() {
        serve(engine(exchange -> answer(exchange, 429, "busy", "Retry-After", "60")));

        var response = client.send("POST", "/chat/completions", RawClient.body("one").toString().getBytes(UTF_8));

        assertEquals("429 60", response.statusCode() + " " + response.headers().firstValue("Retry-After").orElse(""));
    }

    @Test void anEngineThatIsAwayHasNoModels() {
        serve("http://127.0.0.1:1/v1");

        assertEquals(502, client.get("/models").statusCode());
        assertEquals(502, client.get("/models/any").statusCode());
    }

    @Test void aBatchWaitsForAnEngineThatIsNotYetStarted() {
        int port = freePort();
        serve("http://127.0.0.1:" + port + "/v1");
        var id = client.create(lines("one", "two"));
        await(() -> client.found(id).get("status").asText().equals("in_progress"));

        open.add(StubEngine.start(port, exchange -> answer(exchange, 200, HI)));

        assertEquals(2, client.texts(client.finishedBatch(id)).size());
    }

    @Test void aRequestWaitsNoLongerThanItsTimeout() throws Exception {
        Trials.slower(timeout -> {
            serve(BatchServer.options().timeout(timeout).engine("http://127.0.0.1:1/v1"));

            assertEquals("{\"code\":\"connection_error\",\"message\":\"The engine does not answer (connection refused)."
                + "\"}", failed().get("error").toString());
        });
    }

    @Test void anUnknownHostIsNamedAsOne() throws Exception {
        Trials.slower(timeout -> {
            serve(BatchServer.options().timeout(timeout).engine("http://nowhere.invalid/v1"));

            assertEquals("The engine does not answer (unknown host).", failed().at("/error/message").asText());
        });
    }

    @Test void anOverloadLongerThanTheTimeoutIsTheLinesError() throws Exception {
        Trials.slower(timeout -> {
            serve(BatchServer.options().timeout(timeout).engine(engine((path, body) -> "503 loading")));

            assertEquals(LOADING, failed().at("/response/body/error").toString());
        });
    }

    @Test void aLastTryThatIsCutShortHidesNoReason() throws Exception {
        Trials.slower(half -> {
            var began = new AtomicLong();
            var hung = new AtomicBoolean();
            serve(BatchServer.options().timeout(half.multipliedBy(2)).engine(engine(exchange -> {
                began.compareAndSet(0, System.nanoTime());
                hung.set(System.nanoTime() - began.get() > half.toNanos());
                if (hung.get()) await(() -> over.getCount() == 0);
                answer(exchange, 503, "loading");
            })));

            assertEquals(LOADING, failed().at("/response/body/error").toString());
            assertTrue(hung.get());
        });
    }

    @Test void anExhaustedQuotaIsNotWaitedFor() {
        serve(engine((path, body) -> "429 {\"error\":{\"message\":\"pay\",\"code\":\"insufficient_quota\"}}"));

        assertEquals(429, failed().at("/response/status_code").asInt());
    }

    @Test void anEngineThatForbidsIsNotAskedAgain() {
        var asked = new AtomicInteger();
        serve(engine(exchange -> {
            asked.incrementAndGet();
            answer(exchange, 500, "no", "x-should-retry", "false");
        }));

        failed();

        assertEquals(1, asked.get());
    }

    @ParameterizedTest
    @CsvSource({"Retry-After, 1", "Retry-After, 0.8", "retry-after-ms, 800", "Retry-After, date"})
    void theEngineSaysHowLongToWait(String header, String value) {
        var asked = new ConcurrentLinkedQueue<Long>();
        serve(engine(exchange -> {
            asked.add(System.nanoTime());
            var date = DateTimeFormatter.RFC_1123_DATE_TIME.format(ZonedDateTime.now(ZoneOffset.UTC).plusSeconds(2));
            answer(exchange, asked.size() == 1 ? 429 : 200, HI, header, value.replace("date", date));
        }));

        client.finished(client.upload(lines("one")));

        long millis = (-asked.remove() + asked.remove()) / 1_000_000;
        assertTrue(millis >= 800, millis + " ms");
    }

    @Tag("S19")
    @Test void cancellingEndsTheWaitForAnEngine() {
        serve("http://127.0.0.1:1/v1");
        var id = client.create(lines("one", "two"));
        await(() -> client.found(id).get("status").asText().equals("in_progress"));

        client.cancel(id);

        var batch = client.finishedBatch(id);
        assertEquals("cancelled", batch.get("status").asText());
        assertEquals(List.of("batch_cancelled", "batch_cancelled"), errorCodes(batch));
    }

    @Tag("S18")
    @Test void expiryEndsTheWaitForAnEngine() {
        serve("http://127.0.0.1:1/v1");
        server.expireAfter(Duration.ofMillis(700));

        var batch = client.finished(client.upload(lines("one")));

        assertEquals("expired", batch.get("status").asText());
        assertEquals(List.of("batch_expired"), errorCodes(batch));
    }

    @Tag("S24")
    @Test void aRequestThatWaitsForAnEngineRunsAfterTheRestart(@TempDir Path store) {
        int port = freePort();
        var options = BatchServer.options().store(store).engine("http://127.0.0.1:" + port + "/v1");
        serve(options);
        var id = client.create(lines("one", "two"));
        await(() -> client.found(id).get("status").asText().equals("in_progress"));
        server.close();

        open.add(StubEngine.start(port, exchange -> answer(exchange, 200, HI)));
        serve(options);

        assertEquals("{\"total\":2,\"completed\":2,\"failed\":0}",
            client.finishedBatch(id).get("request_counts").toString());
    }

    @ParameterizedTest(name = "{0}: {1} tries")
    @CsvSource({"http://127.0.0.1:1/v1, connection refused, 1", "http://nowhere.invalid/v1, unknown host, 3"})
    void aClientIsToldThatTheEngineIsAwayAndNotToAskAgain(String engine, String reason, int tries) {
        serve(engine);

        var response = client.send("POST", "/chat/completions", body("one").toString().getBytes(UTF_8));

        assertEquals(502, response.statusCode());
        assertEquals("connection_error: The engine does not answer (" + reason + ").",
            json(response).at("/error/code").asText() + ": " + json(response).at("/error/message").asText());
        assertEquals("false", response.headers().firstValue("x-should-retry").orElse(""));
        assertTrue(figures().contains("sheaf_engine_request_duration_seconds_count{outcome=\"unreachable\"} " + tries
            + "\n"), this::figures);
    }

    private String figures() {
        return new String(RawClient.send(HttpRequest.newBuilder(URI.create(server.baseUrl()
            .replaceFirst("/v1$", "/metrics")))).body(), UTF_8);
    }

    @Test void aClientIsNotKeptWaitingForAsLongAsTheEngineWants() {
        serve(engine(exchange -> answer(exchange, 429, "{\"error\":\"later\"}", "Retry-After", "600")));

        var answer = client.post("/chat/completions", body("one"));

        assertEquals("later", answer.at("/error/message").asText());
    }

    @Test void anOverloadedEngineGetsHalfAsManyRequestsAtOnceAndThenMoreAgain() {
        var eight = new CountDownLatch(8);
        var four = new CountDownLatch(4);
        var five = new CountDownLatch(5);
        var asked = new AtomicInteger();
        var running = new AtomicInteger();
        var answered = new AtomicInteger();
        var early = new ConcurrentLinkedQueue<Integer>();
        var all = new ConcurrentLinkedQueue<Integer>();
        serve(BatchServer.options().concurrency(8).engine(engine(exchange -> {
            if (asked.incrementAndGet() <= 8) {
                passed(eight);
                answer(exchange, 429, "full", "retry-after-ms", "1");
                return;
            }
            boolean first;
            synchronized (running) {
                first = answered.get() < 4;
                (first ? early : all).add(running.incrementAndGet());
            }
            passed(first ? four : five);
            if (first) LockSupport.parkNanos(300_000_000);       // for a fifth to be seen, if one were let in
            synchronized (running) {
                running.decrementAndGet();
                answered.incrementAndGet();
            }
            answer(exchange, 200, HI);
        })));

        var batch = client.finished(client.upload(lines(
            IntStream.range(0, 60).mapToObj(i -> "text " + i).toArray(String[]::new))));

        assertEquals(60, batch.at("/request_counts/completed").asInt());
        assertEquals(4, Collections.max(early), early.toString());
        assertTrue(Collections.max(all) > 4 && Collections.max(all) <= 8, all.toString());
    }

    @Test void noMoreRequestsRunAtOnceThanAllowed() {
        var running = new AtomicInteger();
        Set<Integer> seen = ConcurrentHashMap.newKeySet();
        var both = new CountDownLatch(2);
        serve(BatchServer.options().concurrency(2)).answer(body -> {
            seen.add(running.incrementAndGet());
            both.countDown();
            await(() -> both.getCount() == 0);
            running.decrementAndGet();
            return BatchServer.Reply.text("done");
        });

        client.finished(client.upload(lines("one", "two", "three", "four", "five")));

        assertEquals(Set.of(1, 2), seen);
    }

    BatchServer serve(String engine) { return serve(BatchServer.options().engine(engine)); }

    BatchServer serve(BatchServer.Options options) {
        server = open.add(options.start());
        return server;
    }

    /** Runs a batch of one request that fails, and returns its line. */
    JsonNode failed() {
        var batch = client.finished(client.upload(lines("one")));
        assertEquals("{\"total\":1,\"completed\":0,\"failed\":1}", batch.get("request_counts").toString());
        return client.output(batch, "error_file_id").get(0);
    }

    List<String> errorCodes(JsonNode batch) {
        return client.output(batch, "error_file_id").stream().map(line -> line.at("/error/code").asText()).toList();
    }

    /** Starts an engine and returns its base URL. */
    String engine(StubEngine.Answers answers) { return open.add(StubEngine.start(answers)).baseUrl(); }

    String engine(HttpHandler handler) { return open.add(StubEngine.start(0, handler)).baseUrl(); }

    /** Waits until as many have come here as the latch is for. */
    static void passed(CountDownLatch latch) {
        latch.countDown();
        await(() -> latch.getCount() == 0);
    }

    /** Returns a port on which nothing listens. */
    static int freePort() {
        try (var socket = new ServerSocket(0)) {
            return socket.getLocalPort();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
