package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.support.RawClient.JSON;
import static sheaf.support.RawClient.batch;
import static sheaf.support.RawClient.body;
import static sheaf.support.RawClient.json;
import static sheaf.support.RawClient.lines;
import static sheaf.support.RawClient.names;
import static sheaf.support.RawClient.status;

import java.io.IOException;
import java.net.Socket;
import java.net.URI;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import sheaf.support.Opened;
import sheaf.support.RawClient;

/** Every request, whatever its endpoint: paths, methods, keys and errors. */
class RouterTest {
    @AutoClose final Opened open = new Opened();
    BatchServer server = open.add(BatchServer.start());
    final RawClient client = new RawClient(() -> server.baseUrl());

    @Tag("S1")
    @ParameterizedTest(name = "{0} {1} is {2}")
    @CsvSource({"GET, /nope, 404", "GET, /files/file-none, 404", "GET, /files/file-none/content, 404",
        "GET, /batches/batch_none, 404", "POST, /batches/batch_none/cancel, 404", "GET, /models/none, 404",
        "DELETE, /files, 405", "PUT, /batches, 405", "POST, /batches/batch_none, 405", "POST, /batches, 400",
        "POST, /files, 400", "GET, /batches?limit=101, 400", "GET, /batches?after=none, 400",
        "GET, /files/..%2Fstate.db, 404"})
    void errorsHaveFourKeysAndARequestId(String method, String path, int status) {
        var response = client.send(method, path, "not json".getBytes(UTF_8));

        assertEquals(status, response.statusCode());
        assertEquals(Set.of("message", "type", "param", "code"), names(json(response).get("error")));
        assertTrue(response.headers().firstValue("x-request-id").isPresent());
    }

    @Tag("S1")
    @Test void eightyClientsThatUploadAtOnceAreAllServed() throws IOException {
        var file = "--x\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nuser_data\r\n--x\r\n"
            + "Content-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nhello\r\n--x--\r\n";
        var uploads = new ArrayList<Socket>();
        for (int i = 0; i < 80; i++) uploads.add(begun(file));

        for (var upload : uploads) upload.getOutputStream().write(file.substring(20).getBytes(UTF_8));
        for (var upload : uploads)
            assertEquals("HTTP/1.1 200 OK", new String(upload.getInputStream().readNBytes(15), UTF_8));

        assertEquals(80, client.ids("/files").size());
    }

    /** Sends the head of an upload and the first bytes of its form. */
    Socket begun(String form) throws IOException {
        var url = URI.create(server.baseUrl());
        var socket = new Socket(url.getHost(), url.getPort());
        open.add(socket);
        socket.getOutputStream().write(("POST /v1/files HTTP/1.1\r\nHost: " + url.getAuthority()
            + "\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: " + form.length() + "\r\n\r\n"
            + form.substring(0, 20)).getBytes(UTF_8));
        return socket;
    }

    @ParameterizedTest
    @ValueSource(strings = {"/images/generations", "/audio/speech"})
    void anEndpointThatIsNotThereNamesThoseThatAre(String path) {
        var refused = client.post(path, body("hi"));
        var file = client.upload(lines("one"));
        var batch = json(client.create(batch(file).put("endpoint", "/v1" + path)));

        assertEquals("unknown_url Unknown request URL: POST /v1" + path + ". The engine is asked by POST at"
            + " /v1/chat/completions, /v1/embeddings, /v1/completions, /v1/responses, /v1/moderations.",
            refused.at("/error/code").asText() + " " + refused.at("/error/message").asText());
        assertEquals("Invalid value: '/v1" + path + "'. Supported values are: '/v1/chat/completions',"
            + " '/v1/embeddings', '/v1/completions', '/v1/responses', '/v1/moderations'.",
            batch.at("/error/message").asText());
    }

    @Tag("S1") @Test void everyRouteAnswersWithATrailingSlashToo() {
        var file = client.upload(lines("one"));

        for (var path : List.of("/files", "/files/" + file, "/files/" + file + "/content", "/batches", "/models",
            "/models/echo"))
            assertArrayEquals(client.get(path).body(), client.get(path + "/").body(), path);
    }

    @Tag("S23") @Test void aWrongOrMissingKeyIsRefused() {
        var guarded = open.add(BatchServer.options().apiKey("secret").start());

        assertEquals(401, status(guarded, null));
        assertEquals(401, status(guarded, "Bearer wrong"));
        assertEquals(200, status(guarded, "Bearer secret"));
    }

    @Test void chatCompletionsAreEchoedAtOnce() {
        var answer = client.post("/chat/completions", body("four words are here").put("max_tokens", 2));

        assertEquals("four words", answer.at("/choices/0/message/content").asText());
        assertEquals("length", answer.at("/choices/0/finish_reason").asText());
        assertEquals(6, answer.at("/usage/total_tokens").asInt());
    }

    @ParameterizedTest
    @CsvSource({"/embeddings, /data/0/embedding/7", "/completions, /choices/0/text",
        "/responses, /output/0/content/0/text"})
    void theOtherEndpointsAreAnsweredToo(String endpoint, String answer) {
        var asked = JSON.createObjectNode().put("model", "m").put("input", "hello").put("prompt", "hello");

        var body = client.post(endpoint, asked);

        assertFalse(body.at(answer).isMissingNode(), body.toString());
    }

    @Test void requestsAreRecorded() {
        client.finished(client.upload(lines("one")));

        assertEquals(1, server.requests().stream().filter("POST /v1/batches"::equals).count());
        assertEquals("POST /v1/files", server.requests().get(0));
    }

    @Tag("S1") @Test void headIsAnsweredLikeGetWithoutABody() {
        var file = client.upload(lines("one"));

        var head = client.send("HEAD", "/files/" + file + "/content", new byte[0]);

        assertEquals(200, head.statusCode());
        assertEquals("" + lines("one").length(), head.headers().firstValue("Content-Length").orElse(""));
    }

    @Test void clientsThatStallHoldUpNobodyElse() throws IOException {
        var url = URI.create(server.baseUrl());
        for (int i = 0; i < 80; i++) {
            var stalled = new Socket(url.getHost(), url.getPort());
            open.add(stalled);
            stalled.getOutputStream().write(("POST /v1/batches HTTP/1.1\r\nHost: localhost\r\nContent-Type:"
                + " application/json\r\nContent-Length: 500\r\n\r\n{").getBytes(UTF_8));
        }

        assertEquals(200, client.get("/batches").statusCode());
    }
}
