package sheaf.server;

import static java.net.http.HttpRequest.BodyPublishers.ofString;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.support.RawClient.await;
import static sheaf.support.RawClient.body;
import static sheaf.support.RawClient.json;
import static sheaf.support.RawClient.lines;

import com.fasterxml.jackson.databind.JsonNode;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpHandler;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.time.Duration;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Supplier;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import sheaf.support.RawClient;

/** The server in front of an engine behind a URL, which may be busy, away, odd or hostile. */
class EngineTest {
    static final String HI = "{\"model\":\"its own\",\"choices\":[{\"message\":{\"content\":\"hi\"}}]}";

    final List<AutoCloseable> open = new ArrayList<>();
    final CountDownLatch over = new CountDownLatch(1);
    BatchServer server;
    final RawClient client = new RawClient(() -> server.baseUrl());

    @AfterEach void close() throws Exception {
        over.countDown();
        Collections.reverse(open);       // the server before its engine
        for (var each : open)
            each.close();
    }

    // ---- what goes to the engine ----

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

        var line = failed();

        assertEquals("wrong key ***", line.at("/response/body/error/message").asText());
        assertFalse((line + new String(client.get("/models").body(), UTF_8) + options + server).contains("sk-a"));
    }

    // ---- an engine that is busy or away ----

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

        engine(port, exchange -> answer(exchange, 200, HI));

        assertEquals(2, client.texts(client.finishedBatch(id)).size());
    }

    @Test void aRequestWaitsNoLongerThanItsTimeout() {
        serve(BatchServer.options().timeout(Duration.ofMillis(500)).engine("http://127.0.0.1:1/v1"));

        assertEquals("{\"code\":\"connection_error\",\"message\":\"The engine does not answer (connection refused).\"}",
            failed().get("error").toString());
    }

    @Test void anUnknownHostIsNamedAsOne() {
        serve(BatchServer.options().timeout(Duration.ofMillis(500)).engine("http://nowhere.invalid/v1"));

        assertEquals("The engine does not answer (unknown host).", failed().at("/error/message").asText());
    }

    @Test void anOverloadLongerThanTheTimeoutIsTheLinesError() {
        serve(BatchServer.options().timeout(Duration.ofSeconds(1)).engine(engine((path, body) -> "503 loading")));

        assertEquals("{\"message\":\"The engine answered 503: loading\",\"type\":\"server_error\",\"param\":null,"
            + "\"code\":\"bad_engine_answer\"}", failed().at("/response/body/error").toString());
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
        assertTrue(millis >= 800 && millis < 5_000, millis + " ms");
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

        engine(port, exchange -> answer(exchange, 200, HI));
        serve(options);

        assertEquals("{\"total\":2,\"completed\":2,\"failed\":0}",
            client.finishedBatch(id).get("request_counts").toString());
    }

    @Test void aClientIsToldSoonThatTheEngineIsAway() {
        serve("http://127.0.0.1:1/v1");
        long began = System.nanoTime();

        var response = client.send("POST", "/chat/completions",
            body("one").toString().getBytes(UTF_8));

        assertEquals(502, response.statusCode());
        assertEquals("connection_error", json(response).at("/error/code").asText());
        assertTrue(System.nanoTime() - began < 5_000_000_000L);
    }

    @Test void aClientIsNotKeptWaitingForAsLongAsTheEngineWants() {
        serve(engine(exchange -> answer(exchange, 429, "{\"error\":\"later\"}", "Retry-After", "60")));

        var answer = client.post("/chat/completions", body("one"));

        assertEquals("later", answer.at("/error/message").asText());
    }

    @Test void anOverloadedEngineGetsHalfAsManyRequestsAtOnceAndThenMoreAgain() {
        var eight = new CyclicBarrier(8);
        var refused = new AtomicInteger();
        var running = new AtomicInteger();
        var answered = new AtomicInteger();
        var early = new ConcurrentLinkedQueue<Integer>();
        var all = new ConcurrentLinkedQueue<Integer>();
        serve(engine(exchange -> {
            if (refused.incrementAndGet() <= 8) {
                passed(eight);
                answer(exchange, 429, "full", "retry-after-ms", "1");
                return;
            }
            boolean first = answered.get() < 4;
            (first ? early : all).add(running.incrementAndGet());
            LockSupport.parkNanos(first ? 800_000_000 : 50_000_000);       // its work
            running.decrementAndGet();
            answered.incrementAndGet();
            answer(exchange, 200, HI);
        }));

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

    // ---- an engine that answers oddly ----

    @Tag("S17")
    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "{'error':{'code':400,'message':'bad','type':'t'}} | {'message':'bad','type':'t','param':null,'code':'400'}",
        "{'object':'error','message':'bad','type':'t'} | {'message':'bad','type':'t','param':null,'code':null}",
        "{'error':'bad'} | {'message':'bad','type':'invalid_request_error','param':null,'code':null}",
        "bad | {'message':'The engine answered 400: bad','type':'invalid_request_error','param':null,"
            + "'code':'bad_engine_answer'}"})
    void anEnginesErrorGetsOpenAisShape(String said, String error) {
        var bad = "400 " + said.replace('\'', '"');
        serve(engine((path, body) -> body.contains("one") ? bad : "200 {}"));

        var batch = client.finished(client.upload(lines("one", "two")));

        assertEquals("{\"total\":2,\"completed\":1,\"failed\":1}", batch.get("request_counts").toString());
        assertEquals(error.replace('\'', '"'),
            client.output(batch, "error_file_id").get(0).at("/response/body/error").toString());
    }

    @Tag("S17")
    @Test void anUnknownModelIsALinesError() {
        serve(BatchServer.options().mixedModels().engine(engine((path, body) -> body.contains("\"nope\"")
            ? "404 {\"error\":{\"message\":\"no such model\",\"code\":\"model_not_found\"}}" : "200 " + HI)));

        var batch = client.finished(client.upload(lines("one").replace("\"m\"", "\"nope\"")
            + lines("two").replace("request-1", "request-2")));

        var line = client.output(batch, "error_file_id").get(0);
        assertEquals(404, line.at("/response/status_code").asInt());
        assertEquals("model_not_found", line.at("/response/body/error/code").asText());
        assertEquals(Set.of("request-2"), client.texts(batch).keySet());
    }

    @Tag("S17")
    @ParameterizedTest(name = "{0} {1}")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "502 | <html><style>b {}</style><h1>Bad</h1>  Gateway</html> | 502 | bad_engine_answer | "
            + "The engine answered 502: Bad Gateway",
        "200 | <html>Ollama is running</html> | 502 | bad_engine_answer | "
            + "The engine answered 200 and no JSON object: Ollama is running",
        "200 | [] | 502 | bad_engine_answer | The engine answered 200 and no JSON object: []",
        "200 | `` | 502 | bad_engine_answer | The engine answered 200 and no JSON object.",
        "200 | {\"error\":{\"message\":\"out of memory\",\"code\":\"oom\"}} | 502 | oom | out of memory",
        "200 | {\"error\":{\"message\":\"no such model\",\"code\":404}} | 404 | 404 | no such model",
        "301 | moved | 301 | bad_engine_answer | The engine answered 301: moved"})
    void anOddAnswerIsALinesError(int status, String said, int shown, String code, String message) {
        serve(engine((path, body) -> status + " " + said));

        var response = failed().get("response");

        assertEquals(shown, response.get("status_code").asInt());
        assertEquals(code, response.at("/body/error/code").asText());
        assertEquals(message, response.at("/body/error/message").asText());
    }

    @Tag("S17")
    @Test void anAnswerThatBreaksOffIsALinesError() {
        serve(engine(exchange -> {
            exchange.sendResponseHeaders(200, 1_000);
            exchange.getResponseBody().write("{\"choices\":".getBytes(UTF_8));
            exchange.getResponseBody().flush();
            exchange.close();
        }));

        assertEquals("{\"code\":\"bad_engine_answer\",\"message\":\"The engine's answer broke off.\"}",
            failed().get("error").toString());
    }

    @Tag("S17")
    @Test void anAnswerThatDripsForEverIsALinesError() {
        serve(BatchServer.options().timeout(Duration.ofSeconds(1)).engine(engine(exchange -> {
            exchange.sendResponseHeaders(200, 1_000);
            for (var out = exchange.getResponseBody(); over.getCount() > 0; out.flush()) {
                out.write(' ');
                LockSupport.parkNanos(20_000_000);
            }
        })));

        assertEquals("{\"code\":\"request_timeout\",\"message\":\"The engine did not answer within 1s.\"}",
            failed().get("error").toString());
    }

    @Tag("S17")
    @Test void aHugeAnswerIsALinesErrorAndNotAskedForAgain() {
        var asked = new AtomicInteger();
        serve(engine(exchange -> {
            asked.incrementAndGet();
            exchange.sendResponseHeaders(200, 0);
            var much = new byte[1024 * 1024];
            for (int i = 0; i < 20; i++)
                exchange.getResponseBody().write(much);
        }));

        assertEquals("{\"code\":\"bad_engine_answer\",\"message\":\"The engine's answer is longer than 16777216 bytes."
            + "\"}", failed().get("error").toString());
        assertEquals(1, asked.get());
    }

    // ---- settings ----

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "http://me:secret@host/v1 | engine: a URL with a password in it; say it as the engine key",
        "ollama | engine: ollama is neither echo nor an http URL such as http://localhost:11434/v1",
        "http://host/v1?a=b | engine: http://host/v1?a=b is neither echo nor an http URL such as "
            + "http://localhost:11434/v1",
        "http:// | engine: http:// is neither echo nor an http URL such as http://localhost:11434/v1"})
    void anEngineIsAPlainUrl(String engine, String message) {
        assertEquals(message, refused(() -> BatchServer.options().engine(engine)));
    }

    @Test void aWrongSettingIsASentence() {
        assertEquals("engineKey: holds a blank or another character that no header may",
            refused(() -> BatchServer.options().engineKey("secret\n")));
        assertEquals("timeout: PT0S is no time at all", refused(() -> BatchServer.options().timeout(Duration.ZERO)));
        assertEquals("modelName: no value given", refused(() -> BatchServer.options().model("a", "")));
        assertEquals("maxBytes: 0 is less than 1", refused(() -> BatchServer.options().maxBytes(0)));
        assertEquals("reply: no text given", refused(() -> BatchServer.Reply.text(null)));
    }

    @Test void aReplyWithoutTextIsALinesErrorThatSaysSo() {
        serve(BatchServer.options()).reply(text -> null);

        assertEquals("java.lang.IllegalArgumentException: reply: no text given",
            failed().at("/response/body/error/message").asText());
    }

    @Test void onlyTheEchoEngineCanBeScripted() {
        serve("http://127.0.0.1:1/v1");

        var refused = assertThrows(IllegalStateException.class, () -> server.reply(String::toUpperCase));

        assertEquals("this server asks http://127.0.0.1:1/v1; only the echo engine can be scripted",
            refused.getMessage());
    }

    // ---- helpers ----

    interface Stub {
        /** Returns a status, a blank and a body. */
        String answer(String path, String body);
    }

    BatchServer serve(String engine) { return serve(BatchServer.options().engine(engine)); }

    BatchServer serve(BatchServer.Options options) {
        server = options.start();
        open.add(server);
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
    String engine(Stub stub) {
        return engine(exchange -> {
            var body = new String(exchange.getRequestBody().readAllBytes(), UTF_8);
            String[] said = stub.answer(exchange.getRequestURI().getPath().substring(3), body).split(" ", 2);
            answer(exchange, Integer.parseInt(said[0]), said[1]);
        });
    }

    String engine(HttpHandler handler) { return engine(0, handler); }

    String engine(int port, HttpHandler handler) {
        try {
            var engine = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 0);
            var threads = Executors.newCachedThreadPool();
            engine.setExecutor(threads);
            engine.createContext("/v1/", handler);
            engine.start();
            open.add(() -> {
                engine.stop(0);
                threads.shutdownNow();
            });
            return "http://127.0.0.1:" + engine.getAddress().getPort() + "/v1/";
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    static void answer(HttpExchange exchange, int status, String body, String... header) throws IOException {
        exchange.getRequestBody().readAllBytes();
        var bytes = body.getBytes(UTF_8);
        if (header.length > 0) exchange.getResponseHeaders().set(header[0], header[1]);
        exchange.sendResponseHeaders(status, bytes.length == 0 ? -1 : bytes.length);
        exchange.getResponseBody().write(bytes);
        exchange.close();
    }

    static void passed(CyclicBarrier barrier) {
        try {
            barrier.await();
        } catch (Exception e) {   // broken: the test is over
            Thread.currentThread().interrupt();
        }
    }

    /** Returns a port on which nothing listens. */
    static int freePort() {
        try (var socket = new ServerSocket(0)) {
            return socket.getLocalPort();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    static String refused(Supplier<?> setting) {
        return assertThrows(IllegalArgumentException.class, setting::get).getMessage();
    }
}
