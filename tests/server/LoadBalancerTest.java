package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.support.RawClient.await;
import static sheaf.support.RawClient.lines;

import com.fasterxml.jackson.databind.JsonNode;
import com.sun.net.httpserver.HttpHandler;
import java.net.URI;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.support.FakeEngine.Instead;
import sheaf.support.FakeEngine.Kind;
import sheaf.support.FakeEngine;
import sheaf.support.RawClient;
import sheaf.support.Trials;

/** The server before several engines. */
class LoadBalancerTest {
    private static final String NO_MODEL = "{\"error\":{\"message\":\"no\",\"code\":\"model_not_found\"}}";
    private static final String BROKEN = "{\"error\":{\"message\":\"out of memory\"}}";
    final Deque<AutoCloseable> open = new ArrayDeque<>();
    BatchServer server;
    final RawClient client = new RawClient(() -> server.baseUrl());
    @TempDir Path dir;

    @AfterEach void close() throws Exception {
        while (!open.isEmpty()) open.pop().close();
    }

    @Test void linesGoWhereTheyAreAnsweredSooner() throws Exception {
        Trials.slower(time -> {
            var slow = engine(time.toMillis() / 4);
            var fast = engine(time.toMillis() / 32);
            serve(slow.url(), fast.url());

            assertEquals(100, completed(100, FakeEngine.MODEL));

            assertEquals(100, slow.prompts().size() + fast.prompts().size(), "none was asked twice");
            assertTrue(slow.prompts().size() >= 1, slow.prompts().size() + " at the slow one");
            assertTrue(fast.prompts().size() > 3 * slow.prompts().size(), fast.prompts().size() + " at the fast one");
        });
    }

    @Test void oneThatWasSlowOnceIsAskedAgain() {
        var first = new AtomicBoolean(true);
        var asked = new AtomicInteger();
        var once = StubEngine.start(UpstreamTest.freePort(), exchange -> {
            if (exchange.getRequestMethod().equals("POST")) asked.incrementAndGet();
            if (exchange.getRequestMethod().equals("POST") && first.getAndSet(false))
                LockSupport.parkNanos(300_000_000);
            StubEngine.answer(exchange, 200, UpstreamTest.HI);
        });
        open.push(once);
        serve(engine(30).url(), once.baseUrl());

        await(() -> completed(20, FakeEngine.MODEL) == 20 && asked.get() >= 20);
    }

    @Test void anEngineThatGoesAwayFailsNoRow() throws Exception {
        var stays = engine(20);
        var asked = new AtomicInteger();
        var gone = new CountDownLatch(1);
        var goes = StubEngine.start(0, exchange -> {
            if (asked.incrementAndGet() > 10) await(() -> gone.getCount() == 0);
            StubEngine.answer(exchange, 200, UpstreamTest.HI);
        });
        open.push(goes);
        serve(stays.url(), goes.baseUrl());
        var id = client.create(batch(200, FakeEngine.MODEL));
        await(() -> asked.get() > 10);

        goes.close();
        gone.countDown();

        var batch = client.finishedBatch(id);
        assertEquals("{\"total\":200,\"completed\":200,\"failed\":0}", batch.get("request_counts").toString());
        assertTrue(stays.prompts().size() >= 180, stays.prompts().size() + " at the other");
    }

    @Test void oneThatIsWellAgainIsAskedAgain() {
        var first = engine(20);
        int port = UpstreamTest.freePort();
        serve(first.url(), "http://127.0.0.1:" + port + "/v1");
        assertEquals(40, completed(40, FakeEngine.MODEL));
        var asked = new ConcurrentLinkedQueue<String>();

        open.push(StubEngine.start(port, exchange -> {
            asked.add(exchange.getRequestURI().getPath());
            StubEngine.answer(exchange, 200, UpstreamTest.HI);
        }));
        await(() -> completed(8, FakeEngine.MODEL) == 8 && asked.contains("/v1/chat/completions"));
    }

    @Test void aModelThatOnlyOneHasGoesThere() {
        var first = engine(1);
        var asked = new ConcurrentLinkedQueue<String>();
        var second = onlyHere(exchange -> {
            boolean isHere = new String(exchange.getRequestBody().readAllBytes(), UTF_8).contains("only-here");
            if (isHere) asked.add(exchange.getRequestURI().getPath());
            StubEngine.answer(exchange, isHere ? 200 : 404, isHere ? UpstreamTest.HI : NO_MODEL);
        });
        serve(first.url(), second.baseUrl());

        assertEquals(20, completed(20, "only-here"));
        assertEquals(20, completed(20, FakeEngine.MODEL));

        assertEquals(20, asked.size());
        assertEquals(20, first.prompts().size());
        assertEquals(List.of(FakeEngine.MODEL, "only-here"), client.ids("/models"));
        var none = client.finished(client.upload(batch(2, "nowhere")));
        assertEquals("none of " + first.url() + ", " + second.baseUrl().replaceFirst("/$", "") + " have the model "
            + "'nowhere'; it has llama3.2, only-here", none.at("/errors/data/0/message").asText());
    }

    /** What does not list the model is not asked for it, and is not believed that nobody has it. */
    @Test void aModelOfOneThatFailsIsLackedByNone() {
        var first = engine(1);
        serve(first.url(), onlyHere(exchange -> StubEngine.answer(exchange, 500, BROKEN)).baseUrl());

        var batch = client.finished(client.upload(batch(2, "only-here")));

        assertEquals("completed", batch.get("status").asText(), batch.toString());
        assertEquals(2, batch.at("/request_counts/failed").asInt());
        for (var line : client.output(batch, "error_file_id"))
            assertEquals("out of memory", line.at("/response/body/error/message").asText(), line.toString());
    }

    @Test void requestsForOneThatIsAwayWaitAtRest() throws Exception {
        var only = onlyHere(exchange -> StubEngine.answer(exchange, 200, UpstreamTest.HI));
        var service = Service.start(Settings.DEFAULTS.engine(engine(1).url()).anotherEngine(only.baseUrl(), null));
        open.push(service::close);
        var chat = Json.object().put("model", "only-here");
        assertEquals(200, service.engine.answer("/v1/chat/completions", chat, () -> true).status());
        only.close();
        int[] looks = {0};
        long began = System.nanoTime();

        assertNull(service.engine.answer("/v1/chat/completions", chat, () -> ++looks[0] < 30));

        assertTrue(System.nanoTime() - began >= 1_000_000_000, "it looked whether it is wanted without a rest");
    }

    /** An engine that lists the model only-here. */
    private StubEngine onlyHere(HttpHandler chat) {
        var engine = StubEngine.start(0, exchange -> {
            if (exchange.getRequestURI().getPath().endsWith("/models"))
                StubEngine.answer(exchange, 200, "{\"data\":[{\"id\":\"only-here\"}]}");
            else chat.handle(exchange);
        });
        open.push(engine);
        return engine;
    }

    @Test void oneThatAnswersWithFailuresIsLeftToItself() {
        var well = engine(5);
        var ill = engine(5);
        ill.limit(0, new Instead(500, BROKEN));
        serve(ill.url(), well.url());

        assertEquals(60, completed(60, FakeEngine.MODEL));
        assertEquals(60, well.prompts().size());
    }

    @Test void oneThatTakesNoKeyFailsNoRow() {
        var well = engine(20);
        var closed = engine(1);
        closed.limit(0, new Instead(401, "{\"error\":{\"message\":\"who are you?\"}}"));
        serve(closed.url(), well.url());

        assertEquals(60, completed(60, FakeEngine.MODEL));
        assertTrue(closed.keys().size() < 10, closed.keys().size() + " asked of the other");
    }

    @Test void noneThatTakesTheKeyFailsTheBatch() {
        var first = engine(1);
        var second = engine(1);
        for (var engine : List.of(first, second))
            engine.limit(0, new Instead(401, "{\"error\":{\"message\":\"who are you?\"}}"));
        serve(first.url(), second.url());

        var batch = client.finished(client.upload(batch(3, FakeEngine.MODEL)));

        assertEquals("failed none of " + first.url() + ", " + second.url() + " takes its key (401 who are you?); set "
            + "SHEAF_ENGINE_KEY to its key", batch.get("status").asText() + " "
            + batch.at("/errors/data/0/message").asText());
    }

    @Test void theKeyOfTheOnlyOneWithAModelIsNamed() {
        var other = engine(1);
        var only = onlyHere(exchange -> StubEngine.answer(exchange, 401, "{\"error\":{\"message\":\"who are you?\"}}"));
        serve(other.url(), only.baseUrl());

        var batch = client.finished(client.upload(batch(3, "only-here")));

        assertEquals(only.baseUrl().replaceFirst("/$", "") + " wants a key (401 who are you?); set SHEAF_ENGINE_KEY to "
            + "its key", batch.at("/errors/data/0/message").asText());
    }

    @Test void aLimitOfOneIsNoneOfTheOther() {
        var limited = engine(5);
        limited.limit(3, new Instead(429, "{\"error\":{\"message\":\"today no more\"}}", "Retry-After", "20000"));
        var other = engine(5);
        serve(limited.url(), other.url());

        assertEquals(60, completed(60, FakeEngine.MODEL));
        assertTrue(other.prompts().size() >= 50, other.prompts().size() + " at the other");
    }

    @Test void oneAtAWrongUrlTakesNoRows() {
        var there = engine(20);
        serve(there.url().replaceFirst("/v1$", ""), there.url());

        assertEquals(20, completed(20, FakeEngine.MODEL));
    }

    @Test void eachIsShownByItself() throws Exception {
        var there = engine(1);
        serve(there.url(), "http://127.0.0.1:1/v1");

        completed(4, FakeEngine.MODEL);

        var figures = new String(RawClient.send(java.net.http.HttpRequest.newBuilder(URI.create(server.baseUrl()
            .replaceFirst("/v1$", "/metrics")))).body(), UTF_8);
        assertTrue(figures.contains("sheaf_engine_up{engine=\"" + there.url() + "\"} 1.0"), figures);
        assertTrue(figures.contains("sheaf_engine_up{engine=\"http://127.0.0.1:1/v1\"}"), figures);
        assertTrue(figures.contains("sheaf_engine_request_duration_seconds_count{engine=\"" + there.url()
            + "\",outcome=\"answered\"} 4"), figures);
        assertTrue(client.get("/models").headers().firstValue("x-sheaf-engine").orElse("").equals(
            "http://127.0.0.1:1/v1 and " + there.url()), "who answers is told by all of them");
    }

    @Test void whatCannotStandTogetherIsASentence() {
        assertEquals("engine: http://localhost:8000/v1 is given twice", refusal("vllm", "http://localhost:8000/v1/"));
        assertEquals("engine: the echo answers all; no other engine stands beside it", refusal("echo", "vllm"));
        assertEquals("engine: the echo answers all; no other engine stands beside it", refusal("vllm", "echo"));
        var one = Settings.DEFAULTS.engine("vllm").anotherEngine("ollama", null).ownStore().store();
        assertEquals(Set.of(one), Set.of(Settings.DEFAULTS.engine("vllm").anotherEngine("ollama", null).ownStore()
            .store()));
    }

    private static String refusal(String first, String second) {
        return assertThrows(IllegalArgumentException.class, () ->
            BatchServer.options().engine(first).anotherEngine(second)).getMessage();
    }

    private FakeEngine engine(long millis) {
        var engine = FakeEngine.start(Kind.VLLM, 1_000, 4, millis);
        open.push(engine);
        return engine;
    }

    private void serve(String first, String second) {
        open.push(server = BatchServer.options().concurrency(4).engine(first).anotherEngine(second).start());
    }

    private int completed(int requests, String model) {
        JsonNode batch = client.finished(client.upload(batch(requests, model)));
        assertEquals(0, batch.at("/request_counts/failed").asInt(), batch.toString());
        return batch.at("/request_counts/completed").asInt();
    }

    private static String batch(int requests, String model) {
        var texts = IntStream.range(0, requests).mapToObj(i -> "text " + i).toArray(String[]::new);
        return lines(texts).replace("\"m\"", "\"" + model + "\"");
    }
}
