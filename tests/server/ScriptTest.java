package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.support.RawClient.HTTP;
import static sheaf.support.RawClient.await;
import static sheaf.support.RawClient.batch;
import static sheaf.support.RawClient.json;
import static sheaf.support.RawClient.lines;

import java.io.IOException;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import sheaf.server.BatchServer.Fault;
import sheaf.support.RawClient;

/** What the server does wrong when a test wants it to. */
@Tag("S29")
class ScriptTest {
    @AutoClose BatchServer server = BatchServer.start();
    final RawClient client = new RawClient(() -> server.baseUrl());

    @Test void theNextRequestsOfAKindAreRefused() {
        server.on("GET /v1/files/*", Fault.status(503).retryAfter("7"), Fault.status(429));
        var file = client.upload(lines("one"));

        var first = client.get("/files/" + file);

        assertEquals(503, first.statusCode());
        assertEquals("7", first.headers().firstValue("Retry-After").orElse(""));
        assertEquals(200, client.get("/files").statusCode());
        assertEquals(429, client.get("/files/" + file).statusCode());
        assertEquals(200, client.get("/files/" + file).statusCode());
    }

    @Test void aRefusalMaySayAnything() {
        server.on("GET /v1/files", Fault.status(502).body("<html>Bad Gateway</html>"));

        assertEquals("<html>Bad Gateway</html>", new String(client.get("/files").body(), UTF_8));
    }

    @Test void aDroppedCreateMakesNoBatchAndALostOneDoes() {
        var file = client.upload(lines("one"));
        server.on("POST /v1/batches", Fault.dropped(), Fault.lost());

        assertThrows(IOException.class, () -> create(file));
        assertEquals(List.of(), client.ids("/batches"));
        assertThrows(IOException.class, () -> create(file));
        assertEquals(1, client.ids("/batches").size());
    }

    @Test void anAnswerBreaksOff() {
        var file = client.upload(lines("one"));
        server.on("GET /v1/files/*/content", Fault.truncated(10));

        assertThrows(IOException.class, () -> HTTP.send(client.request("/files/" + file + "/content").build(),
            HttpResponse.BodyHandlers.ofByteArray()));
    }

    @Test void anAnswerIsShortenedUnseen() {
        var file = client.upload(lines("one"));
        server.on("GET /v1/files/*/content", Fault.shortened(10));

        assertEquals("{\"custom_i", new String(client.get("/files/" + file + "/content").body(), UTF_8));
        assertEquals(lines("one"), new String(client.get("/files/" + file + "/content").body(), UTF_8));
    }

    @Test void anAnswerIsLateOrSlow() {
        var file = client.upload(lines("one"));
        server.on("GET /v1/files/*/content", Fault.late(Duration.ofMillis(300)), Fault.slow(500));

        for (int i = 0; i < 2; i++) {
            long start = System.nanoTime();
            assertEquals(lines("one"), new String(client.get("/files/" + file + "/content").body(), UTF_8));
            long millis = (System.nanoTime() - start) / 1_000_000;
            assertTrue(millis > 150, "answer " + i + " came within " + millis + " ms");
        }
    }

    @Test void anyRequestMayGoWrong() {
        server.onEvery(request -> request.equals("GET /v1/models") ? Fault.status(500) : null);

        assertEquals(500, client.get("/models").statusCode());
        assertEquals(200, client.get("/files").statusCode());
    }

    @Test void aFileIsVisibleLate() {
        server.showFilesAfter(Duration.ofMinutes(1));
        var file = client.upload(lines("one"));

        assertEquals(List.of(), client.ids("/files"));
        assertEquals(404, client.get("/files/" + file).statusCode());
        assertEquals(404, client.create(batch(file)).statusCode());
        server.advance(Duration.ofMinutes(2));
        assertEquals(200, client.get("/files/" + file).statusCode());
        assertEquals("completed", client.finished(file).get("status").asText());
    }

    @Test void aRefusalOfALargeUploadIsHeard() {
        server.on("POST /v1/files", Fault.status(503));

        assertEquals(503, client.upload(new byte[20_000_000], "a.bin", "user_data").statusCode());
    }

    @Test void aBatchIsStuck() {
        server.stayIn("finalizing");
        var id = client.create(lines("one"));
        await(() -> client.found(id).get("status").asText().equals("finalizing"));

        server.advance(Duration.ofHours(30));

        assertEquals("finalizing", client.found(id).get("status").asText());
        server.resume();
        assertEquals("completed", client.finishedBatch(id).get("status").asText());
    }

    @Test void countsLie() {
        server.claimCounts(1_000, 1_000, 0);

        assertEquals("{\"total\":1000,\"completed\":1000,\"failed\":0}",
            client.finished(client.upload(lines("one"))).get("request_counts").toString());
    }

    @Test void idsAreBlank() {
        server.blankIds();

        var batch = client.finished(client.upload(lines("one")));

        assertEquals("", batch.get("error_file_id").textValue());
        assertFalse(batch.get("output_file_id").asText().isEmpty());
    }

    @Test void metadataIsForgotten() {
        server.forgetMetadata();
        var asked = batch(client.upload(lines("one")));
        asked.putObject("metadata").put("sheaf", "a/1");

        assertTrue(json(client.create(asked)).get("metadata").isNull());
    }

    @Test void listsNeverEnd() {
        server.ignoreAfter();
        var id = client.finished(client.upload(lines("one"))).get("id").asText();

        var page = json(client.get("/batches?limit=1&after=" + id));

        assertEquals(id, page.at("/data/0/id").asText());
        assertTrue(page.get("has_more").asBoolean());
    }

    @Test void aFullQueueFailsTheBatch() {
        server.failOver(3).pause();
        var file = client.upload(lines("two words"));
        var first = json(client.create(batch(file))).get("id").asText();
        await(() -> client.found(first).get("status").asText().equals("in_progress"));

        var failed = client.finished(file);
        server.resume();
        client.finishedBatch(first);

        assertEquals("token_limit_exceeded", failed.at("/errors/data/0/code").asText());
        assertEquals("Enqueued token limit reached for m in organization org-sheaf. Limit: 3 enqueued tokens. Please"
            + " try again once some in_progress batches have been completed.",
            failed.at("/errors/data/0/message").asText());
        assertEquals("completed", client.finished(file).get("status").asText());
    }

    @Test void aFullQueueRefusesTheBatch() {
        server.refuseOver(1);

        var response = client.create(batch(client.upload(lines("two words"))));

        assertEquals(400, response.statusCode());
        assertEquals("token_limit_exceeded", json(response).at("/error/code").asText());
    }

    @Test void aLineIsRepeated() {
        server.repeatLine("request-2").shuffleOutput();

        var batch = client.finished(client.upload(lines("one", "two", "three")));

        assertEquals(List.of("request-3", "request-2", "request-2", "request-1"),
            client.output(batch, "output_file_id").stream().map(line -> line.get("custom_id").asText()).toList());
    }

    @Test void linesAreRewritten() {
        server.rewrite(lines -> lines.stream().map(line -> line.replace("\\u2028", "\u2028") + "\r").toList());

        var batch = client.finished(client.upload(lines("a\\u2028b")));

        var content = client.get("/files/" + batch.get("output_file_id").asText() + "/content").body();
        assertTrue(new String(content, UTF_8).contains("a\u2028b") && new String(content, UTF_8).endsWith("\r\n"));
        assertEquals(content.length,
            json(client.get("/files/" + batch.get("output_file_id").asText())).get("bytes").asInt());
    }

    @Test void aRequestIsLostWithStatusZero() {
        server.answer(body -> BatchServer.Reply.lost());

        var line = client.output(client.finished(client.upload(lines("one"))), "error_file_id").get(0);

        assertEquals("{\"status_code\":0,\"request_id\":\"\",\"body\":{}}", line.get("response").toString());
        assertTrue(line.get("error").isNull());
    }

    HttpResponse<byte[]> create(String file) throws IOException, InterruptedException {
        return HTTP.send(client.request("/batches").POST(java.net.http.HttpRequest.BodyPublishers
            .ofString(batch(file).toString())).build(), HttpResponse.BodyHandlers.ofByteArray());
    }
}
