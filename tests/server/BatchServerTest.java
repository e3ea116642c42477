package sheaf.server;

import static java.net.http.HttpRequest.BodyPublishers.ofByteArray;
import static java.net.http.HttpRequest.BodyPublishers.ofString;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.support.RawClient.JSON;
import static sheaf.support.RawClient.await;
import static sheaf.support.RawClient.batch;
import static sheaf.support.RawClient.body;
import static sheaf.support.RawClient.concat;
import static sheaf.support.RawClient.json;
import static sheaf.support.RawClient.lines;
import static sheaf.support.RawClient.names;
import static sheaf.support.RawClient.send;
import static sheaf.support.RawClient.status;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import sheaf.support.RawClient;

class BatchServerTest {
    final List<AutoCloseable> open = new ArrayList<>();
    BatchServer server = opened(BatchServer.options());
    final RawClient client = new RawClient(() -> server.baseUrl());

    @AfterEach void close() throws Exception {
        for (AutoCloseable each : open)
            each.close();
    }

    // ---- routes ----

    @Tag("S1")
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

    @Tag("S1") @Test void everyRouteAnswersWithATrailingSlashToo() {
        String file = client.upload(lines("one"));

        for (String path : List.of("/files", "/files/" + file, "/files/" + file + "/content", "/batches", "/models",
            "/models/echo"))
            assertArrayEquals(client.get(path).body(), client.get(path + "/").body(), path);
    }

    @Tag("S23") @Test void aWrongOrMissingKeyIsRefused() {
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

    @Tag("S4") @Test void contentIsByteIdentical() {
        byte[] bytes = (lines("one").replace("\n", "\r\n") + "\u2028\r\n--boundary\r\n\0\n\n").getBytes(UTF_8);

        JsonNode file = json(client.upload(bytes, "a.jsonl", "batch"));

        assertArrayEquals(bytes, client.get("/files/" + file.get("id").asText() + "/content").body());
        assertEquals(bytes.length, file.get("bytes").asInt());
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource({"bytes=2-4, 206, bytes 2-4/10, 234", "BYTES=2-4, 206, bytes 2-4/10, 234",
        "bytes=7-, 206, bytes 7-9/10, 789", "bytes=7-99, 206, bytes 7-9/10, 789", "bytes=-3, 206, bytes 7-9/10, 789",
        "bytes=-99, 206, bytes 0-9/10, 0123456789", "bytes=5-3, 200, '', 0123456789",
        "lines=1-2, 200, '', 0123456789", "bytes=10-, 416, bytes */10, ", "bytes=-0, 416, bytes */10, "})
    void aRangeOfContentCanBeRead(String range, int status, String contentRange, String content) {
        JsonNode file = json(client.upload("0123456789".getBytes(UTF_8), "a.txt", "user_data"));

        HttpResponse<byte[]> part = send(client.request("/files/" + file.get("id").asText() + "/content")
            .header("Range", range));

        assertEquals(status, part.statusCode());
        assertEquals(contentRange, part.headers().firstValue("Content-Range").orElse(""));
        if (content != null)
            assertEquals(content, new String(part.body(), UTF_8));
    }

    @Tag("S4") @Test void aFileIsListedUntilDeleted() {
        String file = client.upload(lines("one"));

        assertEquals(List.of(file), client.ids("/files?purpose=batch"));
        assertEquals("{\"id\":\"" + file + "\",\"object\":\"file\",\"deleted\":true}",
            new String(client.send("DELETE", "/files/" + file, new byte[0]).body(), UTF_8));
        assertEquals(List.of(), client.ids("/files"));
        assertEquals(404, client.get("/files/" + file + "/content").statusCode());
    }

    @Tag("S6") @Test void filesAreListedNewestFirstOrOldestFirst() {
        List<String> files = List.of(client.upload(lines("one")), client.upload(lines("two")),
            client.upload(lines("three")));

        assertEquals(List.of(files.get(2), files.get(1), files.get(0)), client.ids("/files"));
        assertEquals(files, client.ids("/files?order=asc"));
        assertEquals(List.of(files.get(1)), client.ids("/files?limit=1&after=" + files.get(2)));
    }

    @Tag("S3")
    @ParameterizedTest(name = "{2}")
    @CsvSource(delimiter = '|', quoteCharacter = '"', value = {
        "\"\" | batch | Invalid file format for Batch API. Must be .jsonl; it is empty.",
        "not json | batch | Invalid file format for Batch API. Must be .jsonl; its first line is no JSON object.",
        "{} | nonsense | Invalid value: 'nonsense'. Supported values are: 'assistants', 'batch', 'fine-tune', "
            + "'vision', 'user_data', 'evals'."})
    void anUnusableUploadIsRefused(String content, String purpose, String message) {
        HttpResponse<byte[]> response = client.upload(content.getBytes(UTF_8), "a.jsonl", purpose);

        assertEquals(400, response.statusCode());
        assertEquals(message, json(response).at("/error/message").asText());
    }

    @Tag("S3") @Test void aFileOverTheLimitIsRefused() {
        server = opened(BatchServer.options().maxBytes(1_000));

        assertEquals(413, client.upload(new byte[1_001], "a.bin", "user_data").statusCode());
        assertEquals(200, client.upload(new byte[1_000], "a.bin", "user_data").statusCode());
    }

    @Tag("S3") @ParameterizedTest(name = "{0} bytes more")
    @ValueSource(ints = {2_000_000, 50_000_000})
    void aClientThatSendsFarTooMuchHearsWhy(int more) {
        server = opened(BatchServer.options().maxBytes(20_000_000));
        byte[] bytes = new byte[20_000_000 + more];

        assertEquals(413, client.upload(bytes, "a.bin", "user_data").statusCode());
    }

    @Test void aFileNameIsNeverAPath() throws IOException {
        JsonNode file = json(client.upload(lines("one").getBytes(UTF_8), "../../etc/evil.jsonl", "batch"));

        assertEquals("evil.jsonl", file.get("filename").asText());
    }

    @Tag("S5") @Test void aPartWithoutAFileNameIsAFileToo() {
        HttpResponse<byte[]> response = client.upload(lines("one".repeat(10_000)).getBytes(UTF_8), "", "batch");

        assertEquals(200, response.statusCode());
    }

    @Test void batchFilesExpireAfterAMonth() {
        JsonNode batch = client.finished(client.upload(lines("one")));

        JsonNode file = json(client.get("/files/" + batch.get("output_file_id").asText()));

        assertEquals("batch_output", file.get("purpose").asText());
        assertEquals(30 * 86_400, file.get("expires_at").asInt() - file.get("created_at").asInt());
    }

    @Tag("S5") @Test void anUploadOf50MegabytesIsKept() {
        byte[] bytes = new byte[50_000_000];
        Arrays.fill(bytes, (byte) 'x');

        JsonNode file = json(client.upload(bytes, "big.txt", "user_data"));

        assertEquals(bytes.length, file.get("bytes").asInt());
        assertArrayEquals(bytes, client.get("/files/" + file.get("id").asText() + "/content").body());
    }

    @Tag("S2") @Test void anUploadedFileHasOpenAisShape() {
        byte[] bytes = lines("one").getBytes(UTF_8);

        JsonNode file = json(client.upload(bytes, "in.jsonl", "batch"));

        assertEquals(Set.of("id", "object", "bytes", "created_at", "expires_at", "filename", "purpose", "status",
            "status_details"), names(file));
        assertEquals("file in.jsonl batch processed " + bytes.length, Stream.of("object", "filename", "purpose",
            "status", "bytes").map(key -> file.get(key).asText()).collect(Collectors.joining(" ")));
        assertTrue(file.get("created_at").isInt());
    }

    @Tag("S3") @ParameterizedTest(name = "{0} is missing")
    @ValueSource(strings = {"file", "purpose"})
    void aMissingFieldIsNamed(String missing) {
        String other = missing.equals("file") ? "purpose" : "file";

        HttpResponse<byte[]> response = client.form("/files", Map.of(other, "batch"));

        assertEquals(400, response.statusCode());
        assertEquals(missing, json(response).at("/error/param").asText());
        assertEquals("Missing required parameter: '" + missing + "'.", json(response).at("/error/message").asText());
    }

    @Tag("S5") @ParameterizedTest(name = "beginning {index}")
    @ValueSource(strings = {"-", "--", "--s", "-\r\n", "\r", "\r\n--", "\n"})
    void aPieceThatLooksLikeABoundaryIsContent(String content) throws IOException {
        String head = "--sheaf\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nuser_data\r\n--sheaf\r\n"
            + "Content-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n";
        StringBuilder chunks = new StringBuilder();
        for (String piece : List.of(head, content.substring(0, 1), content.substring(1) + "\r\n--sheaf--\r\n", ""))
            chunks.append(Integer.toHexString(piece.length())).append("\r\n").append(piece).append("\r\n");

        URI url = URI.create(server.baseUrl());
        try (Socket socket = new Socket(url.getHost(), url.getPort())) {
            socket.getOutputStream().write(("POST /v1/files HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                + "Content-Type: multipart/form-data; boundary=sheaf\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
                .getBytes(UTF_8));
            socket.getInputStream().readAllBytes();
        }

        String id = client.ids("/files").get(0);
        assertEquals(content, new String(client.get("/files/" + id + "/content").body(), UTF_8));
    }

    @Tag("S5") @Test void fieldsMayComeInAnyOrder() {
        Map<String, String> fields = new LinkedHashMap<>();
        fields.put("purpose", "batch");
        fields.put("file", lines("one"));

        assertEquals(200, client.form("/files", fields).statusCode());
    }

    @Tag("S6") @ParameterizedTest(name = "{0}")
    @CsvSource({"limit=0, limit", "limit=10001, limit", "limit=x, limit", "order=up, order", "after=none, after"})
    void aListOfFilesChecksWhatItIsAsked(String query, String param) {
        HttpResponse<byte[]> response = client.get("/files?" + query);

        assertEquals(400, response.statusCode());
        assertEquals(param, json(response).at("/error/param").asText());
    }

    @Tag("S4") @Test void anExpiredFileIsGone() {
        String file = client.upload(lines("one"));

        server.advance(Duration.ofDays(31));

        assertEquals(404, client.get("/files/" + file).statusCode());
        assertEquals(404, client.get("/files/" + file + "/content").statusCode());
        assertEquals(List.of(), client.ids("/files"));
    }

    @Tag("S7") @Test void aFileLivesAsLongAsIsAsked() {
        Map<String, String> fields = Map.of("file", lines("one"), "purpose", "batch",
            "expires_after[anchor]", "created_at", "expires_after[seconds]", "3600");

        JsonNode file = json(client.form("/files", fields));

        assertEquals(3_600, file.get("expires_at").asInt() - file.get("created_at").asInt());
    }

    @Tag("S7") @Test void anOutputFileLivesAsLongAsIsAsked() {
        ObjectNode asked = batch(client.upload(lines("one")));
        asked.putObject("output_expires_after").put("anchor", "created_at").put("seconds", 7_200);

        JsonNode done = client.finishedBatch(json(client.create(asked)).get("id").asText());

        JsonNode file = json(client.get("/files/" + done.get("output_file_id").asText()));
        assertEquals(7_200, file.get("expires_at").asInt() - file.get("created_at").asInt());
    }

    @Tag("S7") @ParameterizedTest(name = "{0} {1}")
    @CsvSource({"created_at, 3599, expires_after.seconds", "created_at, 2592001, expires_after.seconds",
        "created_at, soon, expires_after.seconds", "now, 3600, expires_after.anchor"})
    void aLifeOfAnotherLengthIsRefused(String anchor, String seconds, String param) {
        ObjectNode asked = batch("file-none");
        asked.putObject("output_expires_after").put("anchor", anchor).put("seconds", seconds);

        HttpResponse<byte[]> uploaded = client.form("/files", Map.of("file", lines("one"), "purpose", "batch",
            "expires_after[anchor]", anchor, "expires_after[seconds]", seconds));

        assertEquals(400, uploaded.statusCode());
        assertEquals(param, json(uploaded).at("/error/param").asText());
        assertEquals("output_" + param, json(client.create(asked)).at("/error/param").asText());
    }

    // ---- creating a batch ----

    @Tag("S8")
    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', value = {
        "{\"endpoint\": \"/v1/x\"} | endpoint | Invalid value: '/v1/x'. Supported values are: '/v1/chat/completions', "
            + "'/v1/embeddings', '/v1/completions', '/v1/responses'.",
        "{\"completion_window\": \"7d\"} | completion_window | Invalid value: '7d'. Supported values are: '24h'.",
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

    @Tag("S9") @Test void aNewBatchHasEveryKey() {
        server.pause();

        JsonNode batch = json(client.create(batch(client.upload(lines("one")))));

        assertEquals("validating", batch.get("status").asText());
        for (String key : List.of("in_progress_at", "finalizing_at", "completed_at", "failed_at", "expired_at",
            "cancelling_at", "cancelled_at", "output_file_id", "error_file_id", "errors", "usage", "metadata"))
            assertTrue(batch.has(key) && batch.get(key).isNull(), key);
        assertEquals(86_400, batch.get("expires_at").asInt() - batch.get("created_at").asInt());
    }

    @Tag("S8") @Test void aMissingInputFileFailsTheBatch() {
        JsonNode batch = client.finished("file-none");

        assertEquals("failed", batch.get("status").asText());
        assertEquals("file_id", batch.at("/errors/data/0/param").asText());
        assertTrue(batch.at("/errors/data/0/line").isNull());
    }

    @Tag("S21") @Test void metadataComesBack() {
        ObjectNode asked = batch(client.upload(lines("one")));
        asked.putObject("metadata").put("sheaf", "a/1");

        String id = json(client.create(asked)).get("id").asText();

        assertEquals("{\"sheaf\":\"a/1\"}", client.found(id).get("metadata").toString());
    }

    @Tag("S8") @ParameterizedTest(name = "{0} pairs, keys of {1}, values of {2}: {4}")
    @CsvSource({"17, 4, 1, metadata, object_above_max_properties", "1, 65, 1, metadata, string_above_max_length",
        "1, 4, 513, metadata.k000, string_above_max_length"})
    void metadataHasItsBounds(int pairs, int key, int value, String param, String code) {
        ObjectNode asked = batch("file-none");
        for (int i = 0; i < pairs; i++)
            asked.withObject("/metadata").put(("k%0" + (key - 1) + "d").formatted(i), "v".repeat(value));

        JsonNode error = json(client.create(asked)).get("error");

        assertEquals(param + " " + code, error.get("param").asText() + " " + error.get("code").asText());
    }

    @Tag("S22") @Test void anIdempotencyKeyGivesTheSameBatch() {
        byte[] body = batch(client.upload(lines("one"))).toString().getBytes(UTF_8);
        HttpRequest.Builder keyed = client.request("/batches").header("Idempotency-Key", "k").POST(ofByteArray(body));

        String first = json(send(keyed)).get("id").asText();

        assertEquals(first, json(send(keyed)).get("id").asText());
        assertEquals(409, send(keyed.POST(ofString(batch("file-none").toString()))).statusCode());
    }

    @Tag("S20") @Test void batchesAreListedPageByPageNewestFirst() {
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

    @Tag("S20") @Test void pagesBringEachBatchOnceWhileOthersAreCreated() {
        String file = client.upload(lines("one"));
        Set<String> before = new HashSet<>();
        for (int i = 0; i < 7; i++)
            before.add(json(client.create(batch(file))).get("id").asText());

        List<String> walked = new ArrayList<>();
        JsonNode page = json(client.get("/batches?limit=2"));
        while (true) {
            walked.addAll(page.get("data").findValuesAsText("id"));
            client.create(batch(file));
            if (!page.get("has_more").asBoolean())
                break;
            page = json(client.get("/batches?limit=2&after=" + page.get("last_id").asText()));
        }

        assertEquals(7, walked.size());
        assertEquals(before, Set.copyOf(walked));
    }

    @Tag("S20") @Test void anEmptyListHasNoIds() {
        assertEquals("{\"object\":\"list\",\"data\":[],\"first_id\":null,\"last_id\":null,\"has_more\":false}",
            json(client.get("/batches")).toString());
    }

    // ---- validation ----

    @Tag("S11")
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

    @Tag("S10") @Test void everyBadLineIsNamedUpToAHundred() {
        JsonNode batch = client.finished(client.upload(lines("one") + "nonsense\n".repeat(150)));

        assertEquals(100, batch.at("/errors/data").size());
        assertEquals(101, batch.at("/errors/data/99/line").asInt());
    }

    @Tag("S11") @Test void aByteOrderMarkIsNamed() {
        assertTrue(client.fault("\uFEFF" + lines("one")).get("message").asText().contains("BOM"));
    }

    @Tag("S11") @Test void aFileOfBlankLinesIsEmpty() {
        assertEquals("empty_file", client.fault("\n\n").get("code").asText());
    }

    @Tag("S11") @Test void invalidUtf8IsNamedByItsPlace() {
        byte[] bytes = lines("one", "two").getBytes(UTF_8);
        bytes[lines("one").length() + 4] = (byte) 0xFF;

        JsonNode fault = client.finished(json(client.upload(bytes, "a.jsonl", "batch")).get("id").asText())
            .at("/errors/data/0");

        assertEquals("This line is not valid UTF-8 (byte 5).", fault.get("message").asText());
        assertEquals(2, fault.get("line").asInt());
    }

    @Tag("S11") @Test void tooManyRequestsFailTheBatch() {
        server = opened(BatchServer.options().maxRequests(2));

        assertEquals("completed", client.finished(client.upload(lines("one", "two"))).get("status").asText());
        assertEquals("too_many_tasks", client.fault(lines("one", "two", "three")).get("code").asText());
    }

    @Tag("S12") @Test void allRequestsOfABatchHaveOneModelUnlessToldOtherwise() {
        String lines = lines("one", "two").replaceFirst("\"m\"", "\"other\"");

        JsonNode fault = client.fault(lines);
        server = opened(BatchServer.options().mixedModels());

        assertEquals("mismatched_model 2 body.model The model 'm' is not 'other', which the first request names;"
            + " all requests of a batch must have one model.", Stream.of("code", "line", "param", "message")
            .map(key -> fault.get(key).asText()).collect(Collectors.joining(" ")));
        JsonNode mixed = client.finished(client.upload(lines));
        assertEquals("completed", mixed.get("status").asText());
        assertTrue(mixed.get("model").isNull());
    }

    @Tag("S11") @Test void anUnknownModelIsNamedWithItsLine() {
        server.models("m1", "m2");

        JsonNode fault = client.fault(lines("one"));

        assertEquals("model_not_found", fault.get("code").asText());
        assertEquals("The provided model 'm' is not supported by the Batch API.", fault.get("message").asText());
        assertEquals(1, fault.get("line").asInt());
        assertEquals(List.of("m1", "m2"), client.ids("/models"));
    }

    @Tag("S11") @Test void fiftyThousandInputsAreEmbeddedAndNoMore() {
        String line = "{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"/v1/embeddings\",\"body\":{\"model\":\"m\","
            + "\"input\":[" + "\"x\",".repeat(50_000) + "\"x\"]}}";

        JsonNode created = json(client.create(batch(client.upload(line)).put("endpoint", "/v1/embeddings")));

        assertEquals("too_many_tasks",
            client.finishedBatch(created.get("id").asText()).at("/errors/data/0/code").asText());
    }

    @Test void carriageReturnsAndAMissingLastNewlineAreFine() {
        JsonNode batch = client.finished(client.upload(lines("one", "two").strip().replace("\n", "\r\n")));

        assertEquals("{\"total\":2,\"completed\":2,\"failed\":0}", batch.get("request_counts").toString());
    }

    @Tag("S11") @Test void idsThatDifferInALoneSurrogateDiffer() {
        JsonNode batch = client.finished(client.upload(lines("one", "two").replace("request-1", "\\ud800")
            .replace("request-2", "\\ud801")));

        assertEquals(2, batch.at("/request_counts/completed").asInt());
    }

    @Tag("S8") @Test void whatIsSaidBackIsShort() {
        byte[] body = batch("f".repeat(2_000)).toString().getBytes(UTF_8);
        byte[] endpoint = batch("file-none").put("endpoint", "/v1/" + "e".repeat(900)).toString().getBytes(UTF_8);

        assertEquals("string_above_max_length",
            json(client.send("POST", "/batches", body)).at("/error/code").asText());
        assertTrue(client.send("POST", "/batches", endpoint).body().length < 500);
    }

    @Tag("S1") @Test void headIsAnsweredLikeGetWithoutABody() {
        String file = client.upload(lines("one"));

        HttpResponse<byte[]> head = client.send("HEAD", "/files/" + file + "/content", new byte[0]);

        assertEquals(200, head.statusCode());
        assertEquals("" + lines("one").length(), head.headers().firstValue("Content-Length").orElse(""));
    }

    @Tag("S4") @Test void aFileThatIsCutOnDiskIsNotPassedOffAsWhole(@TempDir Path store) throws IOException {
        server = opened(BatchServer.options().store(store));
        String file = client.upload(lines("one"));
        Files.writeString(store.resolve("files").resolve(file), "{");

        HttpResponse<byte[]> response = client.get("/files/" + file + "/content");

        assertEquals("500 The file is damaged: it has 1 of " + lines("one").length() + " bytes.",
            response.statusCode() + " " + json(response).at("/error/message").asText());
    }

    @Test void clientsThatStallHoldUpNobodyElse() throws IOException {
        URI url = URI.create(server.baseUrl());
        for (int i = 0; i < 80; i++) {
            Socket stalled = new Socket(url.getHost(), url.getPort());
            open.add(stalled);
            stalled.getOutputStream().write(("POST /v1/batches HTTP/1.1\r\nHost: localhost\r\nContent-Type:"
                + " application/json\r\nContent-Length: 500\r\n\r\n{").getBytes(UTF_8));
        }

        assertEquals(200, client.get("/batches").statusCode());
    }

    @Tag("S11") @Test void aNumberBeyondMeasureIsNoJson() {
        JsonNode fault = client.fault(lines("one") + lines("two").replace("request-1", "request-2")
            .replace("\"model\"", "\"temperature\":1e99999999999,\"model\""));

        assertEquals("invalid_json_line 2", fault.get("code").asText() + " " + fault.get("line").asInt());
        assertEquals(400, client.send("POST", "/batches", "{\"a\":1e99999999999}".getBytes(UTF_8)).statusCode());
        assertEquals(400, client.upload("{\"a\":1e99999999999}".getBytes(UTF_8), "a.jsonl", "batch").statusCode());
    }

    // ---- running ----

    @Tag("S17") @Test void whatBreaksOverARequestIsItsOwnError() {
        server.answer(body -> {
            String text = body.at("/messages/0/content").asText();
            if (text.equals("two"))
                throw new AssertionError("two");
            if (text.equals("three"))
                throw new StackOverflowError();
            return BatchServer.Reply.text(text);
        });

        JsonNode batch = client.finished(client.upload(lines("one", "two", "three")));

        assertEquals("completed", batch.get("status").asText());
        assertEquals("{\"total\":3,\"completed\":1,\"failed\":2}", batch.get("request_counts").toString());
    }

    @Tag("S16") @Test void whatHasRunIsThereEvenIfTheServerCannotGoOn() {
        server.rewrite(lines -> {
            throw new IllegalStateException("a test's own fault");
        });

        JsonNode batch = client.finished(client.upload(lines("one")));

        assertEquals("failed", batch.get("status").asText());
        assertEquals("server_error", batch.at("/errors/data/0/code").asText());
        assertEquals(Map.of("request-1", "one"), client.texts(batch));
    }

    @Tag("S21") @Test void answersCountsUsageAndModelAreExact() {
        JsonNode batch = client.finished(client.upload(lines("one", "two words", "and three words")));

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
        String id = client.create(lines("one"));
        assertEquals("validating", client.found(id).get("status").asText());

        server.stayIn("in_progress");
        await(() -> client.found(id).get("status").asText().equals("in_progress"));
        server.advance(Duration.ofSeconds(10)).stayIn("finalizing");
        await(() -> client.found(id).get("status").asText().equals("finalizing"));
        JsonNode finalizing = client.found(id);
        server.advance(Duration.ofSeconds(10)).resume();
        JsonNode done = client.finishedBatch(id);

        assertTrue(finalizing.get("output_file_id").isNull() && finalizing.get("completed_at").isNull());
        assertFalse(done.get("output_file_id").isNull());
        assertEquals(finalizing.get("in_progress_at"), done.get("in_progress_at"));
        assertTrue(done.get("in_progress_at").asInt() >= done.get("created_at").asInt());
        assertTrue(done.get("finalizing_at").asInt() >= done.get("in_progress_at").asInt() + 10);
        assertTrue(done.get("completed_at").asInt() >= done.get("finalizing_at").asInt() + 10);
        for (String never : List.of("failed_at", "expired_at", "cancelling_at", "cancelled_at"))
            assertTrue(done.get(never).isNull(), never);
    }

    @Tag("S14") @Test void countsOnlyGrowAndEqualTheFilesAtTheEnd() {
        server.answer(body -> body.toString().contains("text 7") ? BatchServer.Reply.error(500, null, "no")
            : BatchServer.Reply.text("yes"));
        String id = client.create(lines(IntStream.range(0, 500).mapToObj(i -> "text " + i).toArray(String[]::new)));

        List<JsonNode> seen = new ArrayList<>();
        await(() -> {
            seen.add(client.found(id));
            return seen.get(seen.size() - 1).get("status").asText().equals("completed");
        });

        int before = 0;
        for (JsonNode batch : seen) {
            JsonNode counts = batch.get("request_counts");
            int done = counts.get("completed").asInt() + counts.get("failed").asInt();
            assertEquals(batch.get("status").asText().equals("validating") ? 0 : 500, counts.get("total").asInt());
            assertTrue(done >= before && done <= 500);
            before = done;
        }
        JsonNode done = seen.get(seen.size() - 1);
        assertEquals(done.at("/request_counts/completed").asInt(), client.output(done, "output_file_id").size());
        assertEquals(done.at("/request_counts/failed").asInt(), client.output(done, "error_file_id").size());
        assertEquals(11, done.at("/request_counts/failed").asInt());
    }

    @Tag("S16") @Test void aCustomIdComesBackByteForByte() {
        String id = " \u00e9\u2028\ud83d\ude00 ".concat("x".repeat(600));

        JsonNode batch = client.finished(client.upload(lines("one").replace("request-1", id)));

        assertEquals(id, client.output(batch, "output_file_id").get(0).get("custom_id").asText());
    }

    @Tag("S30") @Test void theTestModelAnswersWithoutAnEngine() {
        server = opened(BatchServer.options().engine("http://127.0.0.1:1/v1"));

        JsonNode batch = client.finished(client.upload(lines("one").replace("\"m\"", "\"batch-test-model\"")));

        assertEquals(Map.of("request-1", "This is a test result."), client.texts(batch));
    }

    @Tag("S16") @Test void outputLinesHaveOpenAisShape() {
        JsonNode line = client.output(client.finished(client.upload(lines("one"))), "output_file_id").get(0);

        assertEquals(Set.of("id", "custom_id", "response", "error"), names(line));
        assertEquals(Set.of("status_code", "request_id", "body"), names(line.get("response")));
        assertTrue(line.get("id").asText().startsWith("batch_req_") && line.get("error").isNull());
    }

    @Test void aSeparatorInATextSplitsNoLine() {
        JsonNode batch = client.finished(client.upload(lines("a\\u2028b\\ud800c")));

        assertEquals("a\u2028b\ud800c", client.texts(batch).get("request-1"));
    }

    @Tag("S15") @Test void aBatchWhoseRequestsAllFailIsCompleted() {
        server.answer(body -> BatchServer.Reply.error(400, "context_length_exceeded", "too long"));

        JsonNode batch = client.finished(client.upload(lines("one", "two")));

        assertEquals("completed", batch.get("status").asText());
        assertTrue(batch.get("output_file_id").isNull());
        assertEquals("{\"total\":2,\"completed\":0,\"failed\":2}", batch.get("request_counts").toString());
        assertEquals("{\"message\":\"too long\",\"type\":\"invalid_request_error\",\"param\":null,"
            + "\"code\":\"context_length_exceeded\"}",
            client.output(batch, "error_file_id").get(0).at("/response/body/error").toString());
    }

    @Tag("S17") @Test void aRequestWithoutAnyHttpAnswerHasNoResponse() {
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

    @Tag("S19") @Test void aCancelledBatchKeepsWhatIsDone() {
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

    @Tag("S19") @Test void aFinishedBatchCannotBeCancelled() {
        String id = client.finished(client.upload(lines("one"))).get("id").asText();

        HttpResponse<byte[]> response = client.cancel(id);

        assertEquals(409, response.statusCode());
        assertEquals("false", response.headers().firstValue("x-should-retry").orElse(""));
        assertEquals("{\"error\":{\"message\":\"Cannot cancel a batch with status 'completed'.\","
            + "\"type\":\"invalid_request_error\",\"param\":null,\"code\":null}}", new String(response.body(), UTF_8));
    }

    @Tag("S18") @Test void aBatchExpiresWhenItsWindowEnds() {
        server = opened(BatchServer.options().concurrency(1)).answer(this::pausingAtTwo);
        String id = client.create(lines("one", "two", "three"));
        await(() -> client.counted(id, "completed") == 2);

        server.advance(Duration.ofHours(24));
        JsonNode batch = client.finishedBatch(id);

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
        String id = client.create(lines("one", "two"));

        HttpResponse<byte[]> cancelled = client.cancel(id);
        JsonNode batch = client.finishedBatch(id);

        assertEquals("cancelling", json(cancelled).get("status").asText());
        assertEquals(200, client.cancel(id).statusCode());
        assertEquals("cancelled", batch.get("status").asText());
        assertTrue(batch.get("output_file_id").isNull());
        assertEquals(2, client.output(batch, "error_file_id").size());
    }

    @Tag("S13") @Tag("S19") @Test void aFaultyBatchThatIsCancelledDoesNotFail() {
        server.stayIn("validating");
        String id = client.create(lines("one") + "nonsense\n");

        client.cancel(id);
        JsonNode batch = client.finishedBatch(id);

        assertEquals("cancelled", batch.get("status").asText());
        assertTrue(batch.get("failed_at").isNull() && batch.get("errors").isNull());
    }

    @Tag("S19") @Test void aFailedBatchCannotBeCancelled() {
        String id = client.finished("file-none").get("id").asText();

        assertEquals(409, client.cancel(id).statusCode());
        assertEquals(404, client.cancel("batch_none").statusCode());
    }

    // ---- restart ----

    @Tag("S24") @Test void afterARestartNothingIsLostAndNothingRunsTwice(@TempDir Path store) {
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

    @Tag("S24") @Test void aTornLineRunsAgain(@TempDir Path store) throws IOException {
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
