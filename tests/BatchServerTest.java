package sheaf;

import static java.net.http.HttpRequest.BodyPublishers.ofByteArray;
import static java.net.http.HttpRequest.BodyPublishers.ofString;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.RawClient.JSON;
import static sheaf.RawClient.await;
import static sheaf.RawClient.batch;
import static sheaf.RawClient.body;
import static sheaf.RawClient.concat;
import static sheaf.RawClient.json;
import static sheaf.RawClient.lines;
import static sheaf.RawClient.names;
import static sheaf.RawClient.status;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.stream.IntStream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class BatchServerTest {
    final List<AutoCloseable> open = new ArrayList<>();
    BatchServer server = opened(BatchServer.options());
    final RawClient client = new RawClient(() -> server.baseUrl());

    @AfterEach void close() throws Exception {
        for (AutoCloseable each : open)
            each.close();
    }

    // ---- routes ----

    @ParameterizedTest(name = "{0} {1} is {2}")
    @CsvSource({"GET, /nope, 404", "GET, /files/file-none, 404", "GET, /files/file-none/content, 404",
        "GET, /batches/batch_none, 404", "POST, /batches/batch_none/cancel, 404", "GET, /models/none, 404",
        "DELETE, /files, 405", "PUT, /batches, 405", "POST, /batches/batch_none, 405", "POST, /batches, 400",
        "POST, /files, 400", "GET, /batches?limit=101, 400", "GET, /batches?after=none, 400",
        "GET, /files/..%2Fstate.db, 404"})
    void errorsHaveFourKeysAndARequestId(String method, String path, int status) {
        HttpResponse<byte[]> response = client.send(method, path, "not json".getBytes(UTF_8));

        assertEquals(status, response.statusCode());
        assertEquals(Set.of("message", "type", "param", "code"), names(json(response).get("error")));
        assertTrue(response.headers().firstValue("x-request-id").isPresent());
    }

    @Test void everyRouteAnswersWithATrailingSlashToo() {
        String file = client.upload(lines("one"));

        for (String path : List.of("/files", "/files/" + file, "/files/" + file + "/content", "/batches", "/models",
            "/models/echo"))
            assertArrayEquals(client.get(path).body(), client.get(path + "/").body(), path);
    }

    @Test void aWrongOrMissingKeyIsRefused() {
        BatchServer guarded = opened(BatchServer.options().apiKey("secret"));

        assertEquals(401, status(guarded, null));
        assertEquals(401, status(guarded, "Bearer wrong"));
        assertEquals(200, status(guarded, "Bearer secret"));
    }

    @Test void othersMayReachItOnlyWithAKey() {
        var refused = assertThrows(IllegalStateException.class, () -> BatchServer.options().host("0.0.0.0").start());

        assertEquals("start: others can reach 0.0.0.0; set an API key too (--api-key, SHEAF_SERVER_KEY)",
            refused.getMessage());
    }

    @Test void chatCompletionsAreEchoedAtOnce() {
        JsonNode answer = client.post("/chat/completions", body("four words are here").put("max_tokens", 2));

        assertEquals("four words", answer.at("/choices/0/message/content").asText());
        assertEquals("length", answer.at("/choices/0/finish_reason").asText());
        assertEquals(6, answer.at("/usage/total_tokens").asInt());
    }

    @ParameterizedTest
    @CsvSource({"/embeddings, /data/0/embedding/7", "/completions, /choices/0/text",
        "/responses, /output/0/content/0/text"})
    void theOtherEndpointsAreAnsweredToo(String endpoint, String answer) {
        ObjectNode asked = JSON.createObjectNode().put("model", "m").put("input", "hello").put("prompt", "hello");

        JsonNode body = client.post(endpoint, asked);

        assertFalse(body.at(answer).isMissingNode(), body.toString());
    }

    @Test void requestsAreRecorded() {
        client.finished(client.upload(lines("one")));

        assertEquals(1, server.requests().stream().filter("POST /v1/batches"::equals).count());
        assertEquals("POST /v1/files", server.requests().get(0));
    }

    // ---- files ----

    @Test void contentIsByteIdentical() {
        byte[] bytes = (lines("one").replace("\n", "\r\n") + "\u2028\r\n--boundary\r\n\0\n\n").getBytes(UTF_8);

        JsonNode file = json(client.upload(bytes, "a.jsonl", "batch"));

        assertArrayEquals(bytes, client.get("/files/" + file.get("id").asText() + "/content").body());
        assertEquals(bytes.length, file.get("bytes").asInt());
    }

    @Test void aRangeOfContentCanBeRead() {
        String file = client.upload(lines("one"));

        HttpResponse<byte[]> part = client.send(client.request("/files/" + file + "/content")
            .header("Range", "bytes=2-10"));

        assertEquals(206, part.statusCode());
        assertEquals("custom_id", new String(part.body(), UTF_8));
    }

    @Test void aFileIsListedUntilDeleted() {
        String file = client.upload(lines("one"));

        assertEquals(List.of(file), client.ids("/files?purpose=batch"));
        assertEquals("{\"id\":\"" + file + "\",\"object\":\"file\",\"deleted\":true}",
            new String(client.send("DELETE", "/files/" + file, new byte[0]).body(), UTF_8));
        assertEquals(List.of(), client.ids("/files"));
        assertEquals(404, client.get("/files/" + file + "/content").statusCode());
    }

    @Test void filesAreListedNewestFirstOrOldestFirst() {
        List<String> files = List.of(client.upload(lines("one")), client.upload(lines("two")),
            client.upload(lines("three")));

        assertEquals(List.of(files.get(2), files.get(1), files.get(0)), client.ids("/files"));
        assertEquals(files, client.ids("/files?order=asc"));
        assertEquals(List.of(files.get(1)), client.ids("/files?limit=1&after=" + files.get(2)));
    }

    @ParameterizedTest(name = "{2}")
    @CsvSource(delimiter = '|', quoteCharacter = '"', value = {
        "\"\" | batch | Invalid file format for Batch API. Must be .jsonl",
        "not json | batch | Invalid file format for Batch API. Must be .jsonl",
        "{} | nonsense | Invalid value: 'nonsense'. Supported values are: 'assistants', 'batch', 'fine-tune', "
            + "'vision', 'user_data', 'evals'."})
    void anUnusableUploadIsRefused(String content, String purpose, String message) {
        HttpResponse<byte[]> response = client.upload(content.getBytes(UTF_8), "a.jsonl", purpose);

        assertEquals(400, response.statusCode());
        assertEquals(message, json(response).at("/error/message").asText());
    }

    @Test void aFileOverTheLimitIsRefused() {
        server = opened(BatchServer.options().maxBytes(1_000));

        assertEquals(413, client.upload(new byte[1_001], "a.bin", "user_data").statusCode());
        assertEquals(200, client.upload(new byte[1_000], "a.bin", "user_data").statusCode());
    }

    @Test void aFileNameIsNeverAPath() throws IOException {
        JsonNode file = json(client.upload(lines("one").getBytes(UTF_8), "../../etc/evil.jsonl", "batch"));

        assertEquals("evil.jsonl", file.get("filename").asText());
    }

    @Test void aPartWithoutAFileNameIsAFileToo() {
        HttpResponse<byte[]> response = client.upload(lines("one".repeat(10_000)).getBytes(UTF_8), "", "batch");

        assertEquals(200, response.statusCode());
    }

    @Test void batchFilesExpireAfterAMonth() {
        JsonNode batch = client.finished(client.upload(lines("one")));

        JsonNode file = json(client.get("/files/" + batch.get("output_file_id").asText()));

        assertEquals("batch_output", file.get("purpose").asText());
        assertEquals(30 * 86_400, file.get("expires_at").asInt() - file.get("created_at").asInt());
    }

    @Test void anUploadOf50MegabytesIsKept() {
        byte[] bytes = new byte[50_000_000];
        Arrays.fill(bytes, (byte) 'x');

        JsonNode file = json(client.upload(bytes, "big.txt", "user_data"));

        assertEquals(bytes.length, file.get("bytes").asInt());
        assertArrayEquals(bytes, client.get("/files/" + file.get("id").asText() + "/content").body());
    }

    // ---- creating a batch ----

    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', value = {
        "{\"endpoint\": \"/v1/x\"} | endpoint | Invalid value: '/v1/x'. Supported values are: '/v1/chat/completions', "
            + "'/v1/embeddings', '/v1/completions', '/v1/responses'.",
        "{\"completion_window\": \"7d\"} | completion_window | Invalid value: '7d'. Supported values are: '1h', '24h', "
            + "'48h', '72h'.",
        "{\"input_file_id\": null} | input_file_id | Missing required parameter: 'input_file_id'.",
        "{\"metadata\": {\"tags\": []}} | metadata.tags | "
            + "Invalid type for 'metadata.tags': expected a string, but got an array instead."})
    void aFaultyBatchIsRefused(String change, String param, String message) {
        ObjectNode batch = batch("file-none").setAll((ObjectNode) json(change.getBytes(UTF_8)));

        HttpResponse<byte[]> response = client.create(batch);

        assertEquals(400, response.statusCode());
        assertEquals(param, json(response).at("/error/param").asText());
        assertEquals(message, json(response).at("/error/message").asText());
    }

    @Test void aNewBatchHasEveryKey() {
        server.pause();

        JsonNode batch = json(client.create(batch(client.upload(lines("one")))));

        assertEquals("validating", batch.get("status").asText());
        for (String key : List.of("in_progress_at", "finalizing_at", "completed_at", "failed_at", "expired_at",
            "cancelling_at", "cancelled_at", "output_file_id", "error_file_id", "errors", "usage", "metadata"))
            assertTrue(batch.has(key) && batch.get(key).isNull(), key);
        assertEquals(86_400, batch.get("expires_at").asInt() - batch.get("created_at").asInt());
    }

    @Test void aMissingInputFileFailsTheBatch() {
        JsonNode batch = client.finished("file-none");

        assertEquals("failed", batch.get("status").asText());
        assertEquals("file_id", batch.at("/errors/data/0/param").asText());
        assertTrue(batch.at("/errors/data/0/line").isNull());
    }

    @Test void metadataComesBack() {
        ObjectNode asked = batch(client.upload(lines("one")));
        asked.putObject("metadata").put("sheaf", "a/1");

        String id = json(client.create(asked)).get("id").asText();

        assertEquals("{\"sheaf\":\"a/1\"}", client.found(id).get("metadata").toString());
    }

    @Test void anIdempotencyKeyGivesTheSameBatch() {
        byte[] body = batch(client.upload(lines("one"))).toString().getBytes(UTF_8);
        HttpRequest.Builder keyed = client.request("/batches").header("Idempotency-Key", "k").POST(ofByteArray(body));

        String first = json(client.send(keyed)).get("id").asText();

        assertEquals(first, json(client.send(keyed)).get("id").asText());
        assertEquals(409, client.send(keyed.POST(ofString(batch("file-none").toString()))).statusCode());
    }

    @Test void batchesAreListedPageByPageNewestFirst() {
        List<String> created = new ArrayList<>();
        for (int i = 0; i < 5; i++)
            created.add(0, client.finished(client.upload(lines("one"))).get("id").asText());

        JsonNode first = json(client.get("/batches?limit=3"));
        JsonNode second = json(client.get("/batches?limit=3&after=" + first.get("last_id").asText()));

        assertEquals(created, StreamSupport.stream(concat(first, second).spliterator(), false).toList());
        assertEquals(created.get(0), first.get("first_id").asText());
        assertTrue(first.get("has_more").asBoolean());
        assertFalse(second.get("has_more").asBoolean());
    }

    // ---- validation ----

    @ParameterizedTest(name = "{0}: {1}")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "{nonsense | invalid_json_line | null",
        "[] | invalid_json_line | null",
        "{} {} | invalid_json_line | null",
        "{'method':'POST','url':URL,'body':{}} | missing_required_parameter | custom_id",
        "{'custom_id':'a','url':URL,'body':{}} | missing_required_parameter | method",
        "{'custom_id':'a','method':'POST','body':{}} | missing_required_parameter | url",
        "{'custom_id':'a','method':'POST','url':URL} | missing_required_parameter | body",
        "{'custom_id':'','method':'POST','url':URL,'body':{}} | missing_required_parameter | custom_id",
        "{'custom_id':7,'method':'POST','url':URL,'body':{}} | invalid_type | custom_id",
        "{'custom_id':'request-1','method':'POST','url':URL,'body':{}} | duplicate_custom_id | custom_id",
        "{'custom_id':'a','method':'GET','url':URL,'body':{}} | invalid_value | method",
        "{'custom_id':'a','method':'POST','url':'/v1/embeddings','body':{}} | invalid_url | url",
        "{'custom_id':'a','method':'POST','url':URL,'body':7} | invalid_type | body",
        "{'custom_id':'a','method':'POST','url':URL,'body':{}} | invalid_request | body.model",
        "{'custom_id':'a','method':'POST','url':URL,'body':{'model':'m'}} | invalid_request | body.messages",
        "{'custom_id':'a','method':'POST','url':URL,'body':{'model':'m','messages':[],'stream':true}}"
            + " | streaming_unsupported | body.stream"})
    void aBadLineFailsTheBatchAndIsNamed(String line, String code, String param) {
        String json = line.replace("URL", "'/v1/chat/completions'").replace('\'', '"');

        JsonNode batch = client.finished(client.upload(lines("one") + "\n" + json + "\n"));

        assertEquals("failed", batch.get("status").asText());
        assertEquals(1, batch.at("/errors/data").size());
        assertEquals(code, batch.at("/errors/data/0/code").asText());
        assertEquals(param, batch.at("/errors/data/0/param").asText());
        assertEquals(3, batch.at("/errors/data/0/line").asInt());
        assertEquals("{\"total\":0,\"completed\":0,\"failed\":0}", batch.get("request_counts").toString());
    }

    @Test void everyBadLineIsNamedUpToAHundred() {
        JsonNode batch = client.finished(client.upload(lines("one") + "nonsense\n".repeat(150)));

        assertEquals(100, batch.at("/errors/data").size());
        assertEquals(101, batch.at("/errors/data/99/line").asInt());
    }

    @Test void aByteOrderMarkIsNamed() {
        assertTrue(client.fault("\uFEFF" + lines("one")).get("message").asText().contains("BOM"));
    }

    @Test void aFileOfBlankLinesIsEmpty() {
        assertEquals("empty_file", client.fault("\n\n").get("code").asText());
    }

    @Test void invalidUtf8IsNamedByItsPlace() {
        byte[] bytes = lines("one", "two").getBytes(UTF_8);
        bytes[lines("one").length() + 4] = (byte) 0xFF;

        JsonNode fault = client.finished(json(client.upload(bytes, "a.jsonl", "batch")).get("id").asText())
            .at("/errors/data/0");

        assertEquals("This line is not valid UTF-8 (byte 5).", fault.get("message").asText());
        assertEquals(2, fault.get("line").asInt());
    }

    @Test void tooManyRequestsFailTheBatch() {
        server = opened(BatchServer.options().maxRequests(2));

        assertEquals("completed", client.finished(client.upload(lines("one", "two"))).get("status").asText());
        assertEquals("too_many_tasks", client.fault(lines("one", "two", "three")).get("code").asText());
    }

    @Test void carriageReturnsAndAMissingLastNewlineAreFine() {
        JsonNode batch = client.finished(client.upload(lines("one", "two").strip().replace("\n", "\r\n")));

        assertEquals("{\"total\":2,\"completed\":2,\"failed\":0}", batch.get("request_counts").toString());
    }

    // ---- running ----

    @Test void answersCountsUsageAndModelAreExact() {
        JsonNode batch = client.finished(client.upload(lines("one", "two words", "and three words")));

        assertEquals("completed", batch.get("status").asText());
        assertEquals("{\"total\":3,\"completed\":3,\"failed\":0}", batch.get("request_counts").toString());
        assertEquals(Map.of("request-1", "one", "request-2", "two words", "request-3", "and three words"),
            client.texts(batch));
        assertEquals(12, batch.at("/usage/total_tokens").asInt());
        assertEquals("m", batch.get("model").asText());
        assertTrue(batch.get("error_file_id").isNull());
    }

    @Test void outputLinesHaveOpenAisShape() {
        JsonNode line = client.output(client.finished(client.upload(lines("one"))), "output_file_id").get(0);

        assertEquals(Set.of("id", "custom_id", "response", "error"), names(line));
        assertEquals(Set.of("status_code", "request_id", "body"), names(line.get("response")));
        assertTrue(line.get("id").asText().startsWith("batch_req_") && line.get("error").isNull());
    }

    @Test void aSeparatorInATextSplitsNoLine() {
        JsonNode batch = client.finished(client.upload(lines("a\\u2028b\\ud800c")));

        assertEquals("a\u2028b\ud800c", client.texts(batch).get("request-1"));
    }

    @Test void aBatchWhoseRequestsAllFailIsCompleted() {
        server.answer(body -> BatchServer.Reply.error(400, "context_length_exceeded", "too long"));

        JsonNode batch = client.finished(client.upload(lines("one", "two")));

        assertEquals("completed", batch.get("status").asText());
        assertTrue(batch.get("output_file_id").isNull());
        assertEquals("{\"total\":2,\"completed\":0,\"failed\":2}", batch.get("request_counts").toString());
        assertEquals("{\"message\":\"too long\",\"type\":\"invalid_request_error\",\"param\":null,"
            + "\"code\":\"context_length_exceeded\"}",
            client.output(batch, "error_file_id").get(0).at("/response/body/error").toString());
    }

    @Test void aRequestWithoutAnyHttpAnswerHasNoResponse() {
        server.answer(body -> BatchServer.Reply.error(0, "request_timeout", "no answer"));

        JsonNode line = client.output(client.finished(client.upload(lines("one"))), "error_file_id").get(0);

        assertTrue(line.get("response").isNull());
        assertEquals("{\"code\":\"request_timeout\",\"message\":\"no answer\"}", line.get("error").toString());
    }

    @Test void repliesCanBeScripted() {
        server.answer(body -> BatchServer.Reply.text("half an").finishReason("length").refusal("no"));

        JsonNode line = client.output(client.finished(client.upload(lines("one"))), "output_file_id").get(0);

        JsonNode choice = line.at("/response/body/choices/0");
        assertEquals("length", choice.get("finish_reason").asText());
        assertEquals("no", choice.at("/message/refusal").asText());
        assertTrue(choice.at("/message/content").isNull());
    }

    @Test void shuffledOutputIsInReverse() {
        server.reply(String::toUpperCase).shuffleOutput();

        List<JsonNode> lines = client.output(client.finished(client.upload(lines("one", "two", "three"))),
            "output_file_id");

        assertEquals(List.of("request-3", "request-2", "request-1"),
            lines.stream().map(line -> line.get("custom_id").asText()).toList());
    }

    @Test void aLostLineIsInNeitherFile() {
        server.loseLine("request-2");

        JsonNode batch = client.finished(client.upload(lines("one", "two", "three")));

        assertEquals(Set.of("request-1", "request-3"), client.texts(batch).keySet());
        assertTrue(batch.get("error_file_id").isNull());
    }

    @Test void aCancelledBatchKeepsWhatIsDone() {
        server = opened(BatchServer.options().concurrency(1)).answer(this::pausingAtTwo);
        String id = client.create(lines("one", "two", "three"));
        await(() -> client.counted(id, "completed") == 2);

        HttpResponse<byte[]> cancelled = client.cancel(id);
        JsonNode batch = client.finishedBatch(id);

        assertEquals("cancelling", json(cancelled).get("status").asText());
        assertEquals("cancelled", batch.get("status").asText());
        assertEquals(Set.of("request-1", "request-2"), client.texts(batch).keySet());
        assertEquals("batch_cancelled", client.output(batch, "error_file_id").get(0).at("/error/code").asText());
        assertEquals("{\"total\":3,\"completed\":2,\"failed\":1}", batch.get("request_counts").toString());
        assertEquals(200, client.cancel(id).statusCode());
    }

    @Test void aFinishedBatchCannotBeCancelled() {
        String id = client.finished(client.upload(lines("one"))).get("id").asText();

        HttpResponse<byte[]> response = client.cancel(id);

        assertEquals(409, response.statusCode());
        assertEquals("false", response.headers().firstValue("x-should-retry").orElse(""));
        assertEquals("{\"error\":{\"message\":\"Cannot cancel a batch with status 'completed'.\","
            + "\"type\":\"invalid_request_error\",\"param\":null,\"code\":null}}", new String(response.body(), UTF_8));
    }

    @Test void anExpiredBatchKeepsWhatIsDone() {
        server = opened(BatchServer.options().concurrency(1)).answer(this::pausingAtTwo);
        server.expireAfter(Duration.ofMillis(700));

        JsonNode batch = client.finished(client.upload(lines("one", "two", "three")));

        assertEquals("expired", batch.get("status").asText());
        assertEquals(Set.of("request-1", "request-2"), client.texts(batch).keySet());
        assertEquals("{\"code\":\"batch_expired\",\"message\":"
            + "\"This request could not be executed before the completion window expired.\"}",
            client.output(batch, "error_file_id").get(0).get("error").toString());
    }

    // ---- restart ----

    @Test void afterARestartNothingIsLostAndNothingRunsTwice(@TempDir Path store) {
        Queue<String> asked = new ConcurrentLinkedQueue<>();
        server = opened(BatchServer.options().store(store).concurrency(1)).answer(body -> pausingAt(20, body, asked));
        String id = client.create(lines(IntStream.range(0, 50).mapToObj(i -> "text " + i).toArray(String[]::new)));
        await(() -> client.counted(id, "completed") == 20);
        server.close();

        server = opened(BatchServer.options().store(store)).answer(body -> answered(body, asked));
        JsonNode batch = client.finishedBatch(id);

        assertEquals("{\"total\":50,\"completed\":50,\"failed\":0}", batch.get("request_counts").toString());
        assertEquals(50, client.texts(batch).size());
        assertEquals(asked.size(), asked.stream().distinct().count());   // a few ran before answer(...) was heard
    }

    @Test void aTornLineRunsAgain(@TempDir Path store) throws IOException {
        server = opened(BatchServer.options().store(store).concurrency(1)).answer(this::pausingAtTwo);
        String id = client.create(lines("one", "two", "three"));
        await(() -> client.counted(id, "completed") == 2);
        server.close();
        Files.writeString(store.resolve("files").resolve(id.replace("batch_", "file-output-")), "{\"id\":\"batch_re",
            StandardOpenOption.APPEND);

        server = opened(BatchServer.options().store(store));

        assertEquals(Set.of("request-1", "request-2", "request-3"), client.texts(client.finishedBatch(id)).keySet());
    }

    @Test void aStoreBelongsToOneServer(@TempDir Path store) {
        server = opened(BatchServer.options().store(store));

        var refused = assertThrows(IllegalStateException.class, () -> BatchServer.options().store(store).start());

        assertEquals("start: " + store + " is in use by another server at " + server.baseUrl()
            + "; use that one or choose another store", refused.getMessage());
    }

    @Test void theLocalServerIsShared(@TempDir Path home) {
        System.setProperty("SHEAF_HOME", home.toString());
        try (BatchServer first = BatchServer.local("echo")) {
            BatchServer second = BatchServer.local("echo");
            second.close();

            assertEquals(first.baseUrl(), second.baseUrl());
            assertThrows(IllegalStateException.class, second::pause);
            assertEquals(200, status(first, null));
        } finally {
            System.clearProperty("SHEAF_HOME");
        }
    }

    // ---- helpers ----

    BatchServer opened(BatchServer.Options options) {
        BatchServer opened = options.start();
        open.add(opened);
        return opened;
    }

    /** Answers two requests; the second pauses the server. */
    BatchServer.Reply pausingAtTwo(JsonNode body) {
        return pausingAt(2, body, pausing);
    }

    final Queue<String> pausing = new ConcurrentLinkedQueue<>();

    synchronized BatchServer.Reply pausingAt(int count, JsonNode body, Queue<String> asked) {
        BatchServer.Reply reply = answered(body, asked);
        if (asked.size() == count)
            server.pause();
        return reply;
    }

    BatchServer.Reply answered(JsonNode body, Queue<String> asked) {
        asked.add(body.at("/messages/0/content").asText());
        return BatchServer.Reply.text("done");
    }
}
