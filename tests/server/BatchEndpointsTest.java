package sheaf.server;

import static java.net.http.HttpRequest.BodyPublishers.ofByteArray;
import static java.net.http.HttpRequest.BodyPublishers.ofString;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.support.RawClient.batch;
import static sheaf.support.RawClient.body;
import static sheaf.support.RawClient.concat;
import static sheaf.support.RawClient.json;
import static sheaf.support.RawClient.lines;
import static sheaf.support.RawClient.send;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import sheaf.support.Opened;
import sheaf.support.RawClient;

/** The Batch API, as a client sees it, but for what a batch does. */
class BatchEndpointsTest {
    @AutoClose final Opened open = new Opened();
    BatchServer server = open.add(BatchServer.start());
    final RawClient client = new RawClient(() -> server.baseUrl());

    @Tag("S8")
    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', value = {
        "{\"endpoint\": \"/v1/x\"} | endpoint | Invalid value: '/v1/x'. Supported values are: '/v1/chat/completions', "
            + "'/v1/embeddings', '/v1/completions', '/v1/responses', '/v1/moderations'.",
        "{\"completion_window\": \"7d\"} | completion_window | Invalid value: '7d'. Supported values are: '24h'.",
        "{\"input_file_id\": null} | input_file_id | Missing required parameter: 'input_file_id'.",
        "{\"metadata\": {\"tags\": []}} | metadata.tags | "
            + "Invalid type for 'metadata.tags': expected a string, but got an array instead."})
    void aFaultyBatchIsRefused(String change, String param, String message) {
        var batch = batch("file-none").setAll((ObjectNode) json(change.getBytes(UTF_8)));

        var response = client.create(batch);

        assertEquals(400, response.statusCode());
        assertEquals(param, json(response).at("/error/param").asText());
        assertEquals(message, json(response).at("/error/message").asText());
    }

    @Tag("S9") @Test void aNewBatchHasEveryKey() {
        server.pause();

        var batch = json(client.create(batch(client.upload(lines("one")))));

        assertEquals("validating", batch.get("status").asText());
        for (var key : List.of("in_progress_at", "finalizing_at", "completed_at", "failed_at", "expired_at",
            "cancelling_at", "cancelled_at", "output_file_id", "error_file_id", "errors", "usage", "metadata"))
            assertTrue(batch.has(key) && batch.get(key).isNull(), key);
        assertEquals(86_400, batch.get("expires_at").asInt() - batch.get("created_at").asInt());
    }

    @Tag("S8") @Test void aMissingInputFileFailsTheBatch() {
        var batch = client.finished("file-none");

        assertEquals("failed", batch.get("status").asText());
        assertEquals("file_id", batch.at("/errors/data/0/param").asText());
        assertTrue(batch.at("/errors/data/0/line").isNull());
    }

    @Tag("S21") @Test void metadataComesBack() {
        var asked = batch(client.upload(lines("one")));
        asked.putObject("metadata").put("sheaf", "a/1");

        var id = json(client.create(asked)).get("id").asText();

        assertEquals("{\"sheaf\":\"a/1\"}", client.found(id).get("metadata").toString());
    }

    @Tag("S8") @ParameterizedTest(name = "{0} pairs, keys of {1}, values of {2}: {4}")
    @CsvSource({"17, 4, 1, metadata, object_above_max_properties", "1, 65, 1, metadata, string_above_max_length",
        "1, 4, 513, metadata.k000, string_above_max_length"})
    void metadataHasItsBounds(int pairs, int key, int value, String param, String code) {
        var asked = batch("file-none");
        for (int i = 0; i < pairs; i++)
            asked.withObject("/metadata").put(("k%0" + (key - 1) + "d").formatted(i), "v".repeat(value));

        var error = json(client.create(asked)).get("error");

        assertEquals(param + " " + code, error.get("param").asText() + " " + error.get("code").asText());
    }

    @Tag("S22") @Test void anIdempotencyKeyGivesTheSameBatch() {
        var body = batch(client.upload(lines("one"))).toString().getBytes(UTF_8);
        var keyed = client.request("/batches").header("Idempotency-Key", "k").POST(ofByteArray(body));

        var first = json(send(keyed)).get("id").asText();

        assertEquals(first, json(send(keyed)).get("id").asText());
        assertEquals(409, send(keyed.POST(ofString(batch("file-none").toString()))).statusCode());
    }

    @Tag("S22") @Test void anIdempotencyKeyOutlivesAFailureAndARestartButNoRefusal(@TempDir Path store) {
        server = open.add(BatchServer.options().store(store).start());
        server.refuseOver(-1);
        var body = batch(client.upload(lines("one") + lines("twice the same id"))).toString().getBytes(UTF_8);
        var keyed = client.request("/batches").header("Idempotency-Key", "k").POST(ofByteArray(body));
        assertEquals(400, send(keyed).statusCode());
        server.refuseOver(Long.MAX_VALUE);
        var failed = client.finishedBatch(json(send(keyed)).get("id").asText());
        server.close();
        server = open.add(BatchServer.options().store(store).start());

        var again = send(client.request("/batches").header("Idempotency-Key", "k").POST(ofByteArray(body)));

        assertEquals("failed", failed.get("status").asText());
        assertEquals(failed, json(again));
    }

    @Tag("S20") @Test void batchesAreListedPageByPageNewestFirst() {
        var created = new ArrayList<String>();
        for (int i = 0; i < 5; i++)
            created.add(0, client.finished(client.upload(lines("one"))).get("id").asText());

        var first = json(client.get("/batches?limit=3"));
        var second = json(client.get("/batches?limit=3&after=" + first.get("last_id").asText()));

        assertEquals(created, StreamSupport.stream(concat(first, second).spliterator(), false).toList());
        assertEquals(created.get(0), first.get("first_id").asText());
        assertTrue(first.get("has_more").asBoolean());
        assertFalse(second.get("has_more").asBoolean());
    }

    @Tag("S20") @Test void pagesBringEachBatchOnceWhileOthersAreCreated() {
        var file = client.upload(lines("one"));
        var before = new HashSet<String>();
        for (int i = 0; i < 7; i++)
            before.add(json(client.create(batch(file))).get("id").asText());

        var walked = new ArrayList<String>();
        var page = json(client.get("/batches?limit=2"));
        while (true) {
            walked.addAll(page.get("data").findValuesAsText("id"));
            client.create(batch(file));
            if (!page.get("has_more").asBoolean()) break;
            page = json(client.get("/batches?limit=2&after=" + page.get("last_id").asText()));
        }

        assertEquals(7, walked.size());
        assertEquals(before, Set.copyOf(walked));
    }

    @Tag("S20") @Test void anEmptyListHasBlankIds() {
        var empty = "{\"object\":\"list\",\"data\":[],\"first_id\":\"\",\"last_id\":\"\",\"has_more\":false}";

        assertEquals(empty, json(client.get("/batches")).toString());
        assertEquals(empty, json(client.get("/files")).toString());
    }

    @Tag("S8") @Test void whatIsSaidBackIsShort() {
        var body = batch("f".repeat(2_000)).toString().getBytes(UTF_8);
        var endpoint = batch("file-none").put("endpoint", "/v1/" + "e".repeat(900)).toString().getBytes(UTF_8);

        assertEquals("string_above_max_length",
            json(client.send("POST", "/batches", body)).at("/error/code").asText());
        assertTrue(client.send("POST", "/batches", endpoint).body().length < 500);
    }
}
