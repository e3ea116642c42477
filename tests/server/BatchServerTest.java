package sheaf.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.support.RawClient.await;
import static sheaf.support.RawClient.batch;
import static sheaf.support.RawClient.body;
import static sheaf.support.RawClient.lines;
import static sheaf.support.RawClient.status;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.support.Opened;
import sheaf.support.RawClient;

/** The door: a server that starts, says what a test wants, closes and goes on at the next start. */
class BatchServerTest {
    @AutoClose final Opened open = new Opened();
    BatchServer server = open.add(BatchServer.start());
    final RawClient client = new RawClient(() -> server.baseUrl());

    @Test void othersMayReachItOnlyWithAKey() {
        var refused = assertThrows(IllegalStateException.class, () -> BatchServer.options().host("0.0.0.0").start());

        assertEquals("start: others can reach 0.0.0.0; set an API key too (--api-key, SHEAF_SERVER_KEY)",
            refused.getMessage());
    }

    @Test void repliesCanBeScripted() {
        server.answer(body -> BatchServer.Reply.text("half an").finishReason("length").refusal("no"));

        var line = client.output(client.finished(client.upload(lines("one"))), "output_file_id").get(0);

        var choice = line.at("/response/body/choices/0");
        assertEquals("length", choice.get("finish_reason").asText());
        assertEquals("no", choice.at("/message/refusal").asText());
        assertTrue(choice.at("/message/content").isNull());
    }

    @Test void aReplyWithoutTextIsALinesErrorThatSaysSo() {
        server.reply(text -> null);

        var batch = client.finished(client.upload(lines("one")));

        assertEquals("{\"total\":1,\"completed\":0,\"failed\":1}", batch.get("request_counts").toString());
        assertEquals("reply: no text given",
            client.output(batch, "error_file_id").get(0).at("/response/body/error/message").asText());
    }

    @Test void onlyTheEchoEngineCanBeScripted() {
        server = open.add(BatchServer.options().engine("http://127.0.0.1:1/v1").start());

        var refused = assertThrows(IllegalStateException.class, () -> server.reply(String::toUpperCase));

        assertEquals("this server asks http://127.0.0.1:1/v1; only the echo engine can be scripted",
            refused.getMessage());
    }

    @Test void shuffledOutputIsInReverse() {
        server.reply(String::toUpperCase).shuffleOutput();

        var lines = client.output(client.finished(client.upload(lines("one", "two", "three"))),
            "output_file_id");

        assertEquals(List.of("request-3", "request-2", "request-1"),
            lines.stream().map(line -> line.get("custom_id").asText()).toList());
    }

    @Test void aLostLineIsInNeitherFile() {
        server.loseLine("request-2");

        var batch = client.finished(client.upload(lines("one", "two", "three")));

        assertEquals(Set.of("request-1", "request-3"), client.texts(batch).keySet());
        assertTrue(batch.get("error_file_id").isNull());
    }

    @Tag("S24") @Test void afterARestartNothingIsLostAndNothingRunsTwice(@TempDir Path store) {
        var asked = new ConcurrentLinkedQueue<String>();
        server = open.add(BatchServer.options().store(store).concurrency(1).start())
            .answer(body -> pausingAt(20, body, asked));
        var id = client.create(lines(IntStream.range(0, 50).mapToObj(i -> "text " + i).toArray(String[]::new)));
        await(() -> client.counted(id, "completed") == 20);
        server.close();

        server = open.add(BatchServer.options().store(store).start()).answer(body -> answered(body, asked));
        var batch = client.finishedBatch(id);

        assertEquals("{\"total\":50,\"completed\":50,\"failed\":0}", batch.get("request_counts").toString());
        assertEquals(50, client.texts(batch).size());
        assertEquals(asked.size(), asked.stream().distinct().count());   // a few ran before answer(...) was heard
    }

    @Tag("S24") @Test void aTornLineRunsAgain(@TempDir Path store) throws IOException {
        server = open.add(BatchServer.options().store(store).concurrency(1).start()).answer(this::pausingAtTwo);
        var id = client.create(lines("one", "two", "three"));
        await(() -> client.counted(id, "completed") == 2);
        server.close();
        Files.writeString(store.resolve("files").resolve(id.replace("batch_", "file-output-")), "{\"id\":\"batch_re",
            StandardOpenOption.APPEND);

        server = open.add(BatchServer.options().store(store).start());

        assertEquals(Set.of("request-1", "request-2", "request-3"), client.texts(client.finishedBatch(id)).keySet());
    }

    @Test void aStoreBelongsToOneServer(@TempDir Path store) {
        server = open.add(BatchServer.options().store(store).start());

        var refused = assertThrows(IllegalStateException.class, () -> BatchServer.options().store(store).start());

        assertEquals("start: " + store + " is in use by another server at " + server.baseUrl()
            + "; use that one, or give another store (--store DIR)", refused.getMessage());
    }

    @Test void theLocalServerIsShared(@TempDir Path home) {
        System.setProperty("SHEAF_HOME", home.toString());
        try (var first = BatchServer.local("echo")) {
            var second = BatchServer.local("echo");
            second.close();

            assertEquals(first.baseUrl(), second.baseUrl());
            assertThrows(IllegalStateException.class, second::pause);
            assertEquals(200, status(first, null));
        } finally {
            System.clearProperty("SHEAF_HOME");
        }
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
