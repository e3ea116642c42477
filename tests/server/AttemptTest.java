package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.support.RawClient.body;
import static sheaf.support.RawClient.lines;

import com.fasterxml.jackson.databind.JsonNode;
import com.sun.net.httpserver.HttpHandler;
import java.io.IOException;
import java.net.ConnectException;
import java.net.UnknownHostException;
import java.net.http.HttpConnectTimeoutException;
import java.time.Duration;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.IntStream;
import javax.net.ssl.SSLException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import sheaf.server.Attempt.Failure;
import sheaf.support.Opened;
import sheaf.support.RawClient;

/** What an engine sent or what stood in the way of it, and how long to wait before the next try. */
class AttemptTest {
    static final String HI = "{\"model\":\"its own\",\"choices\":[{\"message\":{\"content\":\"hi\"}}]}";

    @AutoClose final Opened open = new Opened();
    final CountDownLatch over = new CountDownLatch(1);
    BatchServer server;
    final RawClient client = new RawClient(() -> server.baseUrl());

    @AfterEach void close() { over.countDown(); }

    @ParameterizedTest(name = "after try {0}, asked to wait {1} ms: from {2} ms on")
    @CsvSource({"1, -1, 200", "2, -1, 400", "3, -1, 800", "7, -1, 10000", "50, -1, 10000", "1, 0, 200", "9, 3000, 3000",
        "1, 999999, 999999"})
    void aPauseGrowsUnlessTheEngineSaysHowLong(int tries, long asked, long least) {
        var attempt = new Attempt(Engine.Answer.none("busy", "busy"), Failure.OVERLOADED, asked);

        IntStream.range(0, 100).mapToLong(i -> attempt.pause(tries))
            .forEach(pause -> assertTrue(pause >= least && pause < least * 5 / 4, "" + pause));
    }

    @ParameterizedTest
    @CsvSource({"429, OVERLOADED", "503, OVERLOADED", "529, OVERLOADED", "408, PASSING", "409, PASSING", "500, PASSING",
        "502, PASSING", "504, PASSING", "400, NONE", "401, NONE", "404, NONE", "200, NONE"})
    void aStatusSaysWhetherAnotherTryMayHelp(int status, Failure failure) { assertEquals(failure, Failure.of(status)); }

    @Test void onlyWhatWasSentMayHaveCrashedAnEngine() {
        assertEquals("DOWN The engine does not answer (connection refused).", said(new ConnectException()));
        assertEquals("DOWN The engine does not answer (connection timed out).",
            said(new HttpConnectTimeoutException("late")));
        assertEquals("DOWN The engine does not answer (unknown host).", said(new UnknownHostException("host")));
        assertEquals("PASSING The engine does not answer (connection closed).", said(new IOException("reset")));
        assertEquals("PASSING The engine does not answer (no secure connection: no).", said(new SSLException("no")));
        assertEquals("PASSING The engine does not answer (no secure connection: path building failed: no valid path).",
            said(new SSLException("path building failed: sun.security.provider.SunCertPathBuilderException: no valid"
                + " path")));
    }

    @Test void aTimeoutIsSaidAsPeopleWriteIt() {
        var attempt = Attempt.timedOut(Duration.ofSeconds(90));

        assertEquals("The engine did not answer within 1m30s.", attempt.answer().message());
        assertEquals(Failure.SLOW, attempt.failure());
    }

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
    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "'type':'exceed_context_size_error','n_prompt_tokens':5023,'n_ctx':4096 | is 4096 tokens, but the prompt alone "
            + "has 5023",
        "'type':'invalid_request_error' | is too short, but the prompt is longer"})
    void aPromptThatIsTooLongForLlamaServerIsOneSentenceWithTheRemedy(String said, String found) {
        serve(engine((path, body) -> "400 {\"error\":{\"code\":400,\"message\":\"the request exceeds the available "
            + "context size, try increasing it\"," + said.replace('\'', '"') + "}}"));

        assertEquals("{\"message\":\"This model's maximum context length " + found + "; shorten it, or start the model "
            + "with a larger context (--ctx-size of llama-server, --context of ./jbang local)\",\"type\":"
            + "\"invalid_request_error\",\"param\":\"messages\",\"code\":\"context_length_exceeded\"}",
            failed().at("/response/body/error").toString());
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
        "200 | {\"error\":{\"message\":\"no such voice\",\"code\":404}} | 404 | 404 | no such voice",
        "301 | moved | 301 | bad_engine_answer | The engine answered 301: moved"})
    void anOddAnswerIsALinesError(int status, String said, int shown, String code, String message) {
        serve(engine((path, body) -> path.endsWith("/models") ? "200 {\"data\":[]}" : status + " " + said));

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
            LockSupport.parkNanos(100_000_000);     // else the end may arrive before the beginning was read
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

    private static String said(Exception e) {
        var attempt = Attempt.failed(e);
        return attempt.failure() + " " + attempt.answer().message();
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

    /** Starts an engine and returns its base URL. */
    String engine(StubEngine.Answers answers) { return open.add(StubEngine.start(answers)).baseUrl(); }

    String engine(HttpHandler handler) { return open.add(StubEngine.start(0, handler)).baseUrl(); }
}
