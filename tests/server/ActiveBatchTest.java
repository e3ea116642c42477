package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.support.RawClient.await;
import static sheaf.support.RawClient.batch;
import static sheaf.support.RawClient.body;
import static sheaf.support.RawClient.json;
import static sheaf.support.RawClient.lines;
import static sheaf.support.RawClient.names;

import com.fasterxml.jackson.databind.JsonNode;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.BrokenBarrierException;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import sheaf.support.Opened;
import sheaf.support.RawClient;

/** The life of a batch that was admitted, from its first request to its end. */
class ActiveBatchTest {
    @AutoClose final Opened open = new Opened();
    BatchServer server = open.add(BatchServer.start());
    final RawClient client = new RawClient(() -> server.baseUrl());

    @Tag("S17") @Test void whatBreaksOverARequestIsItsOwnError() {
        server.answer(body -> {
            var text = body.at("/messages/0/content").asText();
            if (text.equals("two")) throw new AssertionError("two");
            if (text.equals("three")) throw new StackOverflowError();
            return BatchServer.Reply.text(text);
        });

        var batch = client.finished(client.upload(lines("one", "two", "three")));

        assertEquals("completed", batch.get("status").asText());
        assertEquals("{\"total\":3,\"completed\":1,\"failed\":2}", batch.get("request_counts").toString());
    }

    @Tag("S16") @Test void whatHasRunIsThereEvenIfTheServerCannotGoOn() {
        server.rewrite(lines -> {
            throw new IllegalStateException("a test's own fault");
        });

        var batch = client.finished(client.upload(lines("one")));

        assertEquals("failed", batch.get("status").asText());
        assertEquals("server_error", batch.at("/errors/data/0/code").asText());
        assertEquals(Map.of("request-1", "one"), client.texts(batch));
    }

    @Tag("S21") @Test void answersCountsUsageAndModelAreExact() {
        var batch = client.finished(client.upload(lines("one", "two words", "and three words")));

        assertEquals("completed", batch.get("status").asText());
        assertEquals("{\"total\":3,\"completed\":3,\"failed\":0}", batch.get("request_counts").toString());
        assertEquals(Map.of("request-1", "one", "request-2", "two words", "request-3", "and three words"),
            client.texts(batch));
        assertEquals(12, batch.at("/usage/total_tokens").asInt());
        assertEquals("m", batch.get("model").asText());
        assertTrue(batch.get("error_file_id").isNull());
    }

    @Tag("S13") @Tag("S15") @Test void everyStatusIsStampedOnceAndFilesAppearLast() {
        server.stayIn("validating");
        var id = client.create(lines("one"));
        assertEquals("validating", client.found(id).get("status").asText());

        server.stayIn("in_progress");
        await(() -> client.found(id).get("status").asText().equals("in_progress"));
        server.advance(Duration.ofSeconds(10)).stayIn("finalizing");
        await(() -> client.found(id).get("status").asText().equals("finalizing"));
        var finalizing = client.found(id);
        server.advance(Duration.ofSeconds(10)).resume();
        var done = client.finishedBatch(id);

        assertTrue(finalizing.get("output_file_id").isNull() && finalizing.get("completed_at").isNull());
        assertFalse(done.get("output_file_id").isNull());
        assertEquals(finalizing.get("in_progress_at"), done.get("in_progress_at"));
        assertTrue(done.get("in_progress_at").asInt() >= done.get("created_at").asInt());
        assertTrue(done.get("finalizing_at").asInt() >= done.get("in_progress_at").asInt() + 10);
        assertTrue(done.get("completed_at").asInt() >= done.get("finalizing_at").asInt() + 10);
        for (var never : List.of("failed_at", "expired_at", "cancelling_at", "cancelled_at"))
            assertTrue(done.get(never).isNull(), never);
    }

    @Tag("S16") @Tag("S21") @Test void requestsThatAreAnsweredTogetherEachGetTheirLineInTheirFile() {
        var good = IntStream.range(0, 300).filter(i -> i % 3 != 0).mapToObj(i -> "request-" + i).toList();
        var input = new StringBuilder();
        for (int i = 0; i < 300; i++)
            input.append(lines("text " + i).replace("request-1", "request-" + i)
                .replace("\"messages\"", (i % 3 == 0 ? "\"temperature\":9," : "") + "\"messages\"")).append("\n");

        var batch = client.finished(client.upload(input.toString()));

        assertEquals("{\"total\":300,\"completed\":200,\"failed\":100}", batch.get("request_counts").toString());
        assertEquals(good.stream().collect(Collectors.toMap(id -> id, id -> id.replace("request-", "text "))),
            client.texts(batch));
        assertEquals(100, client.output(batch, "error_file_id").stream()
            .filter(line -> line.at("/response/body/error/param").asText().equals("temperature")).count());
    }

    @Tag("S21") @Test void anEngineThatTakesItsTimeIsAskedInAllTurnsAtOnce() {
        var all = new CyclicBarrier(8);
        server.reply(text -> {
            try {
                all.await(1, TimeUnit.MINUTES);
                return text;
            } catch (InterruptedException | BrokenBarrierException | TimeoutException e) {
                throw new AssertionError(e);
            }
        });

        var batch = client.finished(client.upload(lines("1", "2", "3", "4", "5", "6", "7", "8")));

        assertEquals("{\"total\":8,\"completed\":8,\"failed\":0}", batch.get("request_counts").toString());
    }

    @Tag("S14") @Test void countsOnlyGrowAndEqualTheFilesAtTheEnd() {
        server.answer(body -> body.toString().contains("text 7") ? BatchServer.Reply.error(500, null, "no")
            : BatchServer.Reply.text("yes"));
        var id = client.create(lines(IntStream.range(0, 500).mapToObj(i -> "text " + i).toArray(String[]::new)));

        var seen = new ArrayList<JsonNode>();
        await(() -> {
            seen.add(client.found(id));
            return seen.get(seen.size() - 1).get("status").asText().equals("completed");
        });

        int before = 0;
        for (var batch : seen) {
            var counts = batch.get("request_counts");
            int done = counts.get("completed").asInt() + counts.get("failed").asInt();
            assertEquals(batch.get("status").asText().equals("validating") ? 0 : 500, counts.get("total").asInt());
            assertTrue(done >= before && done <= 500);
            before = done;
        }
        var done = seen.get(seen.size() - 1);
        assertEquals(done.at("/request_counts/completed").asInt(), client.output(done, "output_file_id").size());
        assertEquals(done.at("/request_counts/failed").asInt(), client.output(done, "error_file_id").size());
        assertEquals(11, done.at("/request_counts/failed").asInt());
    }

    @Tag("S16") @Test void aCustomIdComesBackByteForByte() {
        var id = " \u00e9\u2028\ud83d\ude00 ".concat("x".repeat(600));

        var batch = client.finished(client.upload(lines("one").replace("request-1", id)));

        assertEquals(id, client.output(batch, "output_file_id").get(0).get("custom_id").asText());
    }

    @Tag("S30") @Test void theTestModelAnswersWithoutAnEngine() {
        server = open.add(BatchServer.options().engine("http://127.0.0.1:1/v1").start());

        var batch = client.finished(client.upload(lines("one").replace("\"m\"", "\"batch-test-model\"")));

        assertEquals(Map.of("request-1", "This is a test result."), client.texts(batch));
    }

    @Tag("S16") @Test void outputLinesHaveOpenAisShape() {
        var line = client.output(client.finished(client.upload(lines("one"))), "output_file_id").get(0);

        assertEquals(Set.of("id", "custom_id", "response", "error"), names(line));
        assertEquals(Set.of("status_code", "request_id", "body"), names(line.get("response")));
        assertTrue(line.get("id").asText().startsWith("batch_req_") && line.get("error").isNull());
    }

    @Test void aSeparatorInATextSplitsNoLine() {
        var batch = client.finished(client.upload(lines("a\\u2028b\\ud800c")));

        assertEquals("a\u2028b\ud800c", client.texts(batch).get("request-1"));
    }

    @Tag("S15") @Test void aBatchWhoseRequestsAllFailIsCompleted() {
        server.answer(body -> BatchServer.Reply.error(400, "context_length_exceeded", "too long"));

        var batch = client.finished(client.upload(lines("one", "two")));

        assertEquals("completed", batch.get("status").asText());
        assertTrue(batch.get("output_file_id").isNull());
        assertEquals("{\"total\":2,\"completed\":0,\"failed\":2}", batch.get("request_counts").toString());
        assertEquals("{\"message\":\"too long\",\"type\":\"invalid_request_error\",\"param\":null,"
            + "\"code\":\"context_length_exceeded\"}",
            client.output(batch, "error_file_id").get(0).at("/response/body/error").toString());
    }

    @Tag("S17") @Test void aRequestWithoutAnyHttpAnswerHasNoResponse() {
        server.answer(body -> BatchServer.Reply.error(0, "request_timeout", "no answer"));

        var line = client.output(client.finished(client.upload(lines("one"))), "error_file_id").get(0);

        assertTrue(line.get("response").isNull());
        assertEquals("{\"code\":\"request_timeout\",\"message\":\"no answer\"}", line.get("error").toString());
    }

    @Tag("S19") @Test void aCancelledBatchKeepsWhatIsDone() {
        server = open.add(BatchServer.options().concurrency(1).start()).answer(this::pausingAtTwo);
        var id = client.create(lines("one", "two", "three"));
        await(() -> client.counted(id, "completed") == 2);

        var cancelled = client.cancel(id);
        var batch = client.finishedBatch(id);

        assertEquals("cancelling", json(cancelled).get("status").asText());
        assertEquals("cancelled", batch.get("status").asText());
        assertEquals(Set.of("request-1", "request-2"), client.texts(batch).keySet());
        assertEquals("batch_cancelled", client.output(batch, "error_file_id").get(0).at("/error/code").asText());
        assertEquals("{\"total\":3,\"completed\":2,\"failed\":1}", batch.get("request_counts").toString());
        assertEquals(200, client.cancel(id).statusCode());
    }

    @Tag("S19") @Test void aFinishedBatchCannotBeCancelled() {
        var id = client.finished(client.upload(lines("one"))).get("id").asText();

        var response = client.cancel(id);

        assertEquals(409, response.statusCode());
        assertEquals("false", response.headers().firstValue("x-should-retry").orElse(""));
        assertEquals("{\"error\":{\"message\":\"Cannot cancel a batch with status 'completed'.\","
            + "\"type\":\"invalid_request_error\",\"param\":null,\"code\":null}}", new String(response.body(), UTF_8));
    }

    @Tag("S18") @Test void aBatchExpiresWhenItsWindowEnds() {
        server = open.add(BatchServer.options().concurrency(1).start()).answer(this::pausingAtTwo);
        var id = client.create(lines("one", "two", "three"));
        await(() -> client.counted(id, "completed") == 2);

        server.advance(Duration.ofHours(24));
        var batch = client.finishedBatch(id);

        assertEquals("expired", batch.get("status").asText());
        assertFalse(batch.get("expired_at").isNull());
        assertEquals(Set.of("request-1", "request-2"), client.texts(batch).keySet());
        assertEquals("{\"code\":\"batch_expired\",\"message\":"
            + "\"This request could not be executed before the completion window expired.\"}",
            client.output(batch, "error_file_id").get(0).get("error").toString());
        assertEquals("{\"total\":3,\"completed\":2,\"failed\":1}", batch.get("request_counts").toString());
        assertEquals(409, client.cancel(id).statusCode());
    }

    @Tag("S19") @Test void aBatchThatIsValidatedCanBeCancelled() {
        server.stayIn("validating");
        var id = client.create(lines("one", "two"));

        var cancelled = client.cancel(id);
        var batch = client.finishedBatch(id);

        assertEquals("cancelling", json(cancelled).get("status").asText());
        assertEquals(200, client.cancel(id).statusCode());
        assertEquals("cancelled", batch.get("status").asText());
        assertTrue(batch.get("output_file_id").isNull());
        assertEquals(2, client.output(batch, "error_file_id").size());
    }

    @Tag("S13") @Tag("S19") @Test void aFaultyBatchThatIsCancelledDoesNotFail() {
        server.stayIn("validating");
        var id = client.create(lines("one") + "nonsense\n");

        client.cancel(id);
        var batch = client.finishedBatch(id);

        assertEquals("cancelled", batch.get("status").asText());
        assertTrue(batch.get("failed_at").isNull() && batch.get("errors").isNull());
    }

    @Tag("S19") @Test void aFailedBatchCannotBeCancelled() {
        var id = client.finished("file-none").get("id").asText();

        assertEquals(409, client.cancel(id).statusCode());
        assertEquals(404, client.cancel("batch_none").statusCode());
    }

    /** Answers two requests; the second pauses the server. */
    BatchServer.Reply pausingAtTwo(JsonNode body) { return pausingAt(2, body, pausing); }

    final Queue<String> pausing = new ConcurrentLinkedQueue<>();

    synchronized BatchServer.Reply pausingAt(int count, JsonNode body, Queue<String> asked) {
        var reply = answered(body, asked);
        if (asked.size() == count) server.pause();
        return reply;
    }

    BatchServer.Reply answered(JsonNode body, Queue<String> asked) {
        asked.add(body.at("/messages/0/content").asText());
        return BatchServer.Reply.text("done");
    }
}
