package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.support.RawClient.lines;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Deque;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import sheaf.support.FakeEngine.Instead;
import sheaf.support.FakeEngine.Kind;
import sheaf.support.FakeEngine;
import sheaf.support.Printed;
import sheaf.support.RawClient;
import sheaf.support.Trials;

/** The server before engines that have no batches, each with its own manners. */
class EnginesTest {
    private static final String LIMITED = "{\"error\":{\"message\":\"Rate limit reached for model.\",\"code\":429}}";
    final Deque<AutoCloseable> open = new ArrayDeque<>();
    BatchServer server;
    final RawClient client = new RawClient(() -> server.baseUrl());
    @TempDir Path dir;

    @BeforeEach void environment() {
        System.setProperty("SHEAF_HOME", dir.resolve("home").toString());
        for (var name : List.of("SHEAF_ENGINE", "SHEAF_ENGINE_KEY", "OPENROUTER_API_KEY")) System.setProperty(name, "");
    }

    @AfterEach void close() throws Exception {
        while (!open.isEmpty()) open.pop().close();
        environment();
    }

    @Test void aFullQueueIsWaitedForAndFewerAreSent() {
        var engine = serve(Kind.OLLAMA, 3, 3, 20);

        assertEquals(40, completed(40));
        assertEquals(40, Set.copyOf(engine.prompts()).size());
        assertEquals(40, engine.prompts().size(), "none was answered twice");
    }

    @Test void anEngineThatDoesAllAtOnceGetsMore() throws Exception {
        Trials.slower(time -> {
            var engine = serve(Kind.VLLM, 1_000, 1_000, time.toMillis() / 5);

            assertEquals(200, completed(200));
            assertTrue(engine.most() >= 16, engine.most() + " at once");
        });
    }

    /** What waits for its turn here says nothing of how fast an engine is. */
    @Test void singleRequestsThatCrowdHereGetMoreOfAnEngineThatDoesAllAtOnce() throws Exception {
        Trials.slower(time -> crowd(serve(Kind.VLLM, 1_000, 1_000, time.toMillis() / 8)));
    }

    private void crowd(FakeEngine engine) throws Exception {
        var asked = RawClient.body("one").put("model", FakeEngine.MODEL).toString().getBytes(UTF_8);
        var threads = new ThreadPoolExecutor(4, 30, 1, TimeUnit.SECONDS, new LinkedBlockingQueue<>());
        Callable<Integer> ask = () -> client.send("POST", "/chat/completions", asked).statusCode();

        var answers = new ArrayList<>(threads.invokeAll(Collections.nCopies(16, ask)));
        threads.setCorePoolSize(30);
        answers.addAll(threads.invokeAll(Collections.nCopies(300, ask)));
        threads.shutdown();

        for (var answer : answers) assertEquals(200, answer.get());
        assertTrue(engine.most() >= 16, engine.most() + " at once");
    }

    @Test void anEngineOfOneSlotIsNotFlooded() throws Exception {
        Trials.slower(time -> {
            var engine = serve(Kind.OLLAMA, 1_000, 1, time.toMillis() / 32);

            assertEquals(120, completed(120));
            assertTrue(engine.most() <= 16, engine.most() + " at once");
        });
    }

    @ParameterizedTest
    @EnumSource(Kind.class)
    void aModelThatItDoesNotHaveFailsTheBatchAndNotEachRow(Kind kind) {
        var engine = serve(kind, 10, 10, 1);

        var batch = client.finished(client.upload(lines("one", "two", "three").replace("\"m\"", "\"lama3.2\"")));

        assertEquals("failed", batch.get("status").asText());
        assertEquals("{\"code\":\"model_not_found\",\"message\":\"" + engine.url() + " does not have the model "
            + "'lama3.2'; it has llama3.2; did you mean llama3.2?\",\"param\":\"body.model\",\"line\":null}",
            batch.at("/errors/data/0").toString());
        assertEquals(List.of(true, true), List.of(batch.get("output_file_id").isNull(),
            batch.get("error_file_id").isNull()));
    }

    @Test void aUrlWithoutItsEndFailsTheBatchAndNotEachRow() {
        var url = serve(Kind.OLLAMA, 10, 10, 1).url().replaceFirst("/v1$", "");
        open.push(server = BatchServer.start(url));

        var batch = client.finished(client.upload(lines("one", "two", "three")));

        assertEquals("failed", batch.get("status").asText());
        assertEquals("{\"code\":\"not_found\",\"message\":\"" + url + " answers 404 to its requests and to GET /models; "
            + "should it end in /v1?\",\"param\":null,\"line\":null}", batch.at("/errors/data/0").toString());
    }

    @ParameterizedTest
    @ValueSource(ints = {401, 403})
    void aKeyThatItDoesNotTakeFailsTheBatchAndNotEachRow(int status) {
        var engine = serve(BatchServer.options().mixedModels(), Kind.VLLM, 10, 10, 1);
        engine.limit(0, new Instead(status, "{\"error\":{\"message\":\"No auth credentials found\"}}"));

        var batch = client.finished(client.upload(lines("one", "two", "three")));

        assertEquals("failed", batch.get("status").asText());
        assertEquals("{\"code\":\"invalid_api_key\",\"message\":\"" + engine.url() + " wants a key (" + status
            + " No auth credentials found); set SHEAF_ENGINE_KEY to its key\",\"param\":null,\"line\":null}",
            batch.at("/errors/data/0").toString());
        assertEquals(List.of(true, true), List.of(batch.get("output_file_id").isNull(),
            batch.get("error_file_id").isNull()));
    }

    /** What a moderator flags, or a key that is withdrawn. */
    @Test void aRefusalAmongAnswersIsItsRowsError() {
        var refusal = new Instead(403, "{\"error\":{\"message\":\"Your input was flagged\"}}");
        var engine = serve(BatchServer.options().concurrency(1), Kind.OPENROUTER, 10, 10, 1);

        engine.next(refusal);
        assertEquals(2, completed(3));

        engine.limit(3, new Instead(401, "{\"error\":{\"message\":\"Key revoked\"}}"));
        assertEquals(1, completed(3));
    }

    @Test void anEngineThatListsNoModelsIsQuoted() {
        assertEquals("http://e/v1 does not have the model 'm' (model \"m\" not found, try pulling it first)",
            ModelList.sentence("http://e/v1", "does not have", "m", List.of(),
                "model \"m\" not found, try pulling it first."));
    }

    @ParameterizedTest(name = "{0} {1}: {2}")
    @CsvSource(delimiter = '|', value = {
        "400 | org/m:free is not a valid model ID | true",
        "400 | Invalid model: m | true",
        "404 | Model org/m:free does not exist or you do not have access to it. | true",
        "404 | No endpoints found for org/m:free. | true",
        "404 | No endpoints found matching your data policy | false",
        "404 | 404 page not found | false",
        "400 | The context length of model m is exceeded | false",
        "500 | model m not found | false"})
    void whatEnginesSayOfAModelThatTheyDoNotHave(int status, String message, boolean lacks) {
        assertEquals(lacks, ModelList.lacks(Engine.Answer.error(status, null, message), "org/m:free"));
    }

    @Test void whatOneRequestIsToldHoldsBackAll() {
        var engine = serve(Kind.OPENROUTER, 100, 100, 1);
        engine.next(new Instead(429, LIMITED, "Retry-After", "1"));
        long began = System.nanoTime();

        assertEquals(30, completed(30));

        assertTrue(System.nanoTime() - began >= 900_000_000L);
        assertEquals(30, engine.prompts().size());
    }

    @Test void aLimitOfWhichNothingIsLeftIsWaitedForBeforeItRefuses() {
        var engine = serve(BatchServer.options().concurrency(1), Kind.OPENROUTER, 100, 100, 1);
        engine.next(new Instead(200, "{\"choices\":[{\"message\":{\"content\":\"first\"}}]}",
            "x-ratelimit-remaining-requests", "0", "x-ratelimit-reset-requests", "1.2s"));
        long began = System.nanoTime();

        assertEquals(3, completed(3));

        assertTrue(System.nanoTime() - began >= 1_100_000_000L);
        assertEquals(2, engine.prompts().size());
    }

    @Test void aLongPauseIsASentence() {
        var engine = serve(BatchServer.options().concurrency(1), Kind.OPENROUTER, 100, 100, 1);
        engine.next(new Instead(429, LIMITED, "Retry-After", "6"));

        var said = Printed.stderr(() -> assertEquals(1, completed(1)));

        assertEquals("engine: " + engine.url() + " asks for a pause of 6s (429 Rate limit reached for model)\n", said);
    }

    @Test void aDaysLimitHoldsABatchUpAndFailsNoRow() throws Exception { Trials.slower(this::isHeldUpForLongerThan); }

    private void isHeldUpForLongerThan(Duration timeout) {
        var options = BatchServer.options().concurrency(1).timeout(timeout).store(dir.resolve(timeout.toString()));
        var engine = serve(options, Kind.OPENROUTER, 100, 100, 1)
            .limit(2, new Instead(429, LIMITED, "Retry-After", "20000"));

        var said = Printed.stderr(() -> {
            var id = client.create(lines("one", "two", "three", "four").replace("\"m\"", "\"" + FakeEngine.MODEL
                + "\""));
            RawClient.await(() -> client.found(id).has("held_up"));
            LockSupport.parkNanos(timeout.toNanos() + 100_000_000);
        });

        var batch = RawClient.json(client.get("/batches")).at("/data/0");
        assertEquals("in_progress {\"total\":4,\"completed\":2,\"failed\":0}",
            batch.get("status").asText() + " " + batch.get("request_counts"));
        assertEquals("429 Rate limit reached for model", batch.at("/held_up/reason").asText());
        assertEquals(20_000, batch.at("/held_up/until").asLong() - Instant.now().getEpochSecond(), 300);
        assertTrue(said.matches("engine: " + engine.url() + " takes no more until [0-9-]{10} [0-9]{2}:[0-9]{2} \\(429 "
            + "Rate limit reached for model\\); its requests wait for that\n"), said);
        var single = client.send("POST", "/chat/completions", RawClient.body("one").toString().getBytes(UTF_8));
        assertEquals(429, single.statusCode());
        assertTrue(Long.parseLong(single.headers().firstValue("Retry-After").orElse("0")) > 19_000);

        server.close();
        engine.limit(0, null);
        open.push(server = options.engine(engine.url()).start());
        client.finishedBatch(batch.get("id").asText());
        assertEquals(List.of("one", "two", "three", "four"), engine.prompts());
    }

    @Test void aLimitThatIsFarOffBesideAnAnswerStopsNothing() {
        var engine = serve(BatchServer.options().concurrency(1), Kind.OPENROUTER, 100, 100, 1);
        engine.next(new Instead(200, "{\"choices\":[{\"message\":{\"content\":\"first\"}}]}",
            "x-ratelimit-remaining-images", "0", "x-ratelimit-reset-images", "12h"));

        assertEquals(3, completed(3));
    }

    @Test void aBatchOfAnEnginesOwnStoreWaitsForAnotherDay() {
        open.push(engine(Kind.OLLAMA));
        open.push(server = BatchServer.before(((FakeEngine) open.peek()).url()));
        server.pause();
        var id = client.create(lines("one").replace("\"m\"", "\"" + FakeEngine.MODEL + "\""));
        server.advance(Duration.ofDays(3)).resume();

        assertEquals("completed", client.finishedBatch(id).get("status").asText());
    }

    /** OpenRouter has begun to answer, with 200 and blanks, when the provider behind it fails. */
    @Test void anErrorInThePlaceOfAChoiceIsTriedAgain() {
        var engine = serve(Kind.OPENROUTER, 100, 100, 1);
        engine.next(new Instead(200, "   {\"choices\":[{\"error\":{\"code\":502,\"message\":\"Upstream idle\"},"
            + "\"finish_reason\":\"error\",\"message\":{\"role\":\"assistant\",\"content\":\"ha\"}}]}"));

        assertEquals(1, completed(1));
        assertEquals(1, engine.prompts().size());
    }

    @Test void aSecondServerBeforeTheSameEngineHasTheSameBatches() {
        open.push(engine(Kind.OLLAMA));
        var url = ((FakeEngine) open.peek()).url();
        var first = BatchServer.before(url);
        server = first;
        var batch = client.finished(client.upload(lines("one").replace("\"m\"", "\"" + FakeEngine.MODEL + "\"")));
        first.close();

        open.push(server = BatchServer.before(url + "/"));

        assertEquals("re: one", client.texts(client.finishedBatch(batch.get("id").asText())).get("request-1"));
        assertTrue(Files.isDirectory(dir.resolve("home/engines")));
    }

    @Test void twoOfOneEngineAreOneServer() {
        open.push(engine(Kind.OLLAMA));
        var url = ((FakeEngine) open.peek()).url();
        open.push(server = BatchServer.before(url));

        try (var second = BatchServer.before(url)) {
            assertEquals(server.baseUrl(), second.baseUrl());
        }

        assertEquals(200, client.get("/models").statusCode(), "it is still there");
        assertNotEquals(server.baseUrl(), otherEngines());
    }

    @Test void aServerEndsWithTheLastOfItsHandles() {
        open.push(engine(Kind.OLLAMA));
        var url = ((FakeEngine) open.peek()).url();
        var first = BatchServer.before(url);
        open.push(server = BatchServer.before(url));
        open.push(BatchServer.before(url));

        first.close();
        first.close();

        assertEquals(200, client.get("/models").statusCode(), "it is still there");
        assertEquals("re: one", client.texts(client.finished(client.upload(lines("one").replace("\"m\"", "\""
            + FakeEngine.MODEL + "\"")))).get("request-1"));
        ((BatchServer) open.pop()).close();
        assertEquals(200, client.get("/models").statusCode(), "it is still there");
        server.close();
        assertThrows(AssertionError.class, () -> client.get("/models"), "it has ended");
    }

    private String otherEngines() {
        open.push(engine(Kind.VLLM));
        var other = BatchServer.before(((FakeEngine) open.peek()).url());
        open.push(other);
        return other.baseUrl();
    }

    @Test void aHostedEngineIsAskedWithItsOwnKeyAlone() {
        assertEquals("engine: no key for openrouter; set OPENROUTER_API_KEY",
            assertThrows(IllegalArgumentException.class, () -> BatchServer.before("openrouter")).getMessage());
        System.setProperty("OPENROUTER_API_KEY", "sk-or");
        System.setProperty("SHEAF_ENGINE_KEY", "sk-mine");

        assertEquals("sk-or", keyOf("openrouter"));
        assertEquals("sk-or", keyOf("https://openrouter.ai/api/v1/"));
        assertEquals("sk-mine", keyOf("https://example.com/v1"));
        assertEquals("sk-mine", keyOf("ollama"));
        assertEquals("sk-mine", keyOf("http://localhost:11434/v1"));
        System.setProperty("SHEAF_ENGINE", "https://example.com/v1");
        assertEquals("sk-mine", keyOf("https://example.com/v1"));
        assertEquals("sk-mine", keyOf("https://example.com/v1/"));
        assertEquals(null, keyOf("ollama"), "a key is for the engine that it was set for");
    }

    private static String keyOf(String engine) {
        return Settings.DEFAULTS.engine(engine).keyOf(engine).answering().key();
    }

    @Test void aNameStandsForAUrl() {
        assertEquals("http://localhost:11434/v1", Settings.DEFAULTS.engine("Ollama").answering().engine());
        assertEquals("http://localhost:8080/v1", Settings.DEFAULTS.engine("llama-server").answering().engine());
        assertEquals(Settings.DEFAULTS.engine("ollama").ownStore(),
            Settings.DEFAULTS.engine("http://localhost:11434/v1").ownStore());
        assertEquals(dir.resolve("home/engines/localhost-11434-1a97ab14"),
            Settings.DEFAULTS.engine("ollama").ownStore().store());
    }

    private FakeEngine engine(Kind kind) { return FakeEngine.start(kind, 100, 100, 1); }

    private FakeEngine serve(Kind kind, int room, int slots, long millis) {
        return serve(BatchServer.options(), kind, room, slots, millis);
    }

    private FakeEngine serve(BatchServer.Options options, Kind kind, int room, int slots, long millis) {
        var engine = FakeEngine.start(kind, room, slots, millis);
        open.push(engine);
        open.push(server = options.engine(engine.url()).start());
        return engine;
    }

    /** Runs a batch of so many requests, and returns how many have an answer. */
    private int completed(int requests) {
        var texts = IntStream.range(0, requests).mapToObj(i -> "text " + i).toArray(String[]::new);
        var batch = client.finished(client.upload(lines(texts).replace("\"m\"", "\"" + FakeEngine.MODEL + "\"")));
        return batch.at("/request_counts/completed").asInt();
    }
}
