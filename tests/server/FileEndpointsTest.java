package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.support.RawClient.batch;
import static sheaf.support.RawClient.json;
import static sheaf.support.RawClient.lines;
import static sheaf.support.RawClient.names;
import static sheaf.support.RawClient.send;
import static sheaf.support.RawClient.status;

import java.io.IOException;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import sheaf.support.Opened;
import sheaf.support.RawClient;
import sheaf.support.Trials;

/** The Files API, as a client sees it. */
class FileEndpointsTest {
    @AutoClose final Opened open = new Opened();
    BatchServer server = open.add(BatchServer.start());
    final RawClient client = new RawClient(() -> server.baseUrl());

    @Tag("S4") @Test void contentIsByteIdentical() {
        var bytes = (lines("one").replace("\n", "\r\n") + "\u2028\r\n--boundary\r\n\0\n\n").getBytes(UTF_8);

        var file = json(client.upload(bytes, "a.jsonl", "batch"));

        assertArrayEquals(bytes, client.get("/files/" + file.get("id").asText() + "/content").body());
        assertEquals(bytes.length, file.get("bytes").asInt());
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource({"bytes=2-4, 206, bytes 2-4/10, 234", "BYTES=2-4, 206, bytes 2-4/10, 234",
        "bytes=7-, 206, bytes 7-9/10, 789", "bytes=7-99, 206, bytes 7-9/10, 789", "bytes=-3, 206, bytes 7-9/10, 789",
        "bytes=-99, 206, bytes 0-9/10, 0123456789", "bytes=5-3, 200, '', 0123456789",
        "lines=1-2, 200, '', 0123456789", "bytes=10-, 416, bytes */10, ", "bytes=-0, 416, bytes */10, "})
    void aRangeOfContentCanBeRead(String range, int status, String contentRange, String content) {
        var file = json(client.upload("0123456789".getBytes(UTF_8), "a.txt", "user_data"));

        var part = send(client.request("/files/" + file.get("id").asText() + "/content")
            .header("Range", range));

        assertEquals(status, part.statusCode());
        assertEquals(contentRange, part.headers().firstValue("Content-Range").orElse(""));
        if (content != null) assertEquals(content, new String(part.body(), UTF_8));
    }

    @Tag("S4") @Test void aFileIsListedUntilDeleted() {
        var file = client.upload(lines("one"));

        assertEquals(List.of(file), client.ids("/files?purpose=batch"));
        assertEquals("{\"id\":\"" + file + "\",\"object\":\"file\",\"deleted\":true}",
            new String(client.send("DELETE", "/files/" + file, new byte[0]).body(), UTF_8));
        assertEquals(List.of(), client.ids("/files"));
        assertEquals(404, client.get("/files/" + file + "/content").statusCode());
    }

    @Tag("S6") @Test void filesAreListedNewestFirstOrOldestFirst() {
        var files = List.of(client.upload(lines("one")), client.upload(lines("two")),
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
        var response = client.upload(content.getBytes(UTF_8), "a.jsonl", purpose);

        assertEquals(400, response.statusCode());
        assertEquals(message, json(response).at("/error/message").asText());
    }

    @Tag("S3") @Test void aFileOverTheLimitIsRefused() {
        server = open.add(BatchServer.options().maxBytes(1_000).start());

        assertEquals(413, client.upload(new byte[1_001], "a.bin", "user_data").statusCode());
        assertEquals(200, client.upload(new byte[1_000], "a.bin", "user_data").statusCode());
    }

    @Tag("S3") @ParameterizedTest(name = "{0} bytes more")
    @ValueSource(ints = {2_000_000, 50_000_000})
    void aClientThatSendsFarTooMuchHearsWhy(int more) {
        server = open.add(BatchServer.options().maxBytes(20_000_000).start());
        var bytes = new byte[20_000_000 + more];

        assertEquals(413, client.upload(bytes, "a.bin", "user_data").statusCode());
    }

    @Test void aFileNameIsNeverAPath() throws IOException {
        var file = json(client.upload(lines("one").getBytes(UTF_8), "../../etc/evil.jsonl", "batch"));

        assertEquals("evil.jsonl", file.get("filename").asText());
    }

    @Tag("S5") @Test void aPartWithoutAFileNameIsAFileToo() {
        var response = client.upload(lines("one".repeat(10_000)).getBytes(UTF_8), "", "batch");

        assertEquals(200, response.statusCode());
    }

    @Test void batchFilesExpireAfterAMonth() {
        var batch = client.finished(client.upload(lines("one")));

        var file = json(client.get("/files/" + batch.get("output_file_id").asText()));

        assertEquals("batch_output", file.get("purpose").asText());
        assertEquals(30 * 86_400, file.get("expires_at").asInt() - file.get("created_at").asInt());
    }

    @Tag("S5") @Test void anUploadOf50MegabytesIsKept() {
        var bytes = new byte[50_000_000];
        Arrays.fill(bytes, (byte) 'x');

        var file = json(client.upload(bytes, "big.txt", "user_data"));

        assertEquals(bytes.length, file.get("bytes").asInt());
        assertArrayEquals(bytes, client.get("/files/" + file.get("id").asText() + "/content").body());
    }

    @Tag("S2") @Test void anUploadedFileHasOpenAisShape() {
        var bytes = lines("one").getBytes(UTF_8);

        var file = json(client.upload(bytes, "in.jsonl", "batch"));

        assertEquals(Set.of("id", "object", "bytes", "created_at", "expires_at", "filename", "purpose", "status"),
            names(file));
        assertEquals("file in.jsonl batch processed " + bytes.length, Stream.of("object", "filename", "purpose",
            "status", "bytes").map(key -> file.get(key).asText()).collect(Collectors.joining(" ")));
        assertTrue(file.get("created_at").isInt());
    }

    @Tag("S3") @ParameterizedTest(name = "{0} is missing")
    @ValueSource(strings = {"file", "purpose"})
    void aMissingFieldIsNamed(String missing) {
        var other = missing.equals("file") ? "purpose" : "file";

        var response = client.form("/files", Map.of(other, "batch"));

        assertEquals(400, response.statusCode());
        assertEquals(missing, json(response).at("/error/param").asText());
        assertEquals("Missing required parameter: '" + missing + "'.", json(response).at("/error/message").asText());
    }

    @Tag("S5") @ParameterizedTest(name = "beginning {index}")
    @ValueSource(strings = {"-", "--", "--s", "-\r\n", "\r", "\r\n--", "\n"})
    void aPieceThatLooksLikeABoundaryIsContent(String content) throws IOException {
        var head = "--sheaf\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nuser_data\r\n--sheaf\r\n"
            + "Content-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n";
        var chunks = new StringBuilder();
        for (var piece : List.of(head, content.substring(0, 1), content.substring(1) + "\r\n--sheaf--\r\n", ""))
            chunks.append(Integer.toHexString(piece.length())).append("\r\n").append(piece).append("\r\n");

        var url = URI.create(server.baseUrl());
        try (var socket = new Socket(url.getHost(), url.getPort())) {
            socket.getOutputStream().write(("POST /v1/files HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                + "Content-Type: multipart/form-data; boundary=sheaf\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
                .getBytes(UTF_8));
            socket.getInputStream().readAllBytes();
        }

        var id = client.ids("/files").get(0);
        assertEquals(content, new String(client.get("/files/" + id + "/content").body(), UTF_8));
    }

    @Test void anUploadThatStallsIsRefusedAsAClientsFault() throws Exception {
        Trials.slower(FileEndpointsTest::refusesWhatStallsFor);
    }

    private static void refusesWhatStallsFor(Duration time) throws IOException {
        var service = Service.start(Settings.DEFAULTS);
        service.idle(time);
        var heads = Map.of("/v1/files", "multipart/form-data; boundary=sheaf", "/v1/batches", "application/json");
        try {
            for (var path : heads.keySet())
                try (var socket = new Socket("127.0.0.1", URI.create(service.baseUrl()).getPort())) {
                    socket.getOutputStream().write(("POST " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                        + heads.get(path) + "\r\nContent-Length: 999\r\n\r\n--sheaf\r\n").getBytes(UTF_8));
                    var answer = new String(socket.getInputStream().readAllBytes(), UTF_8);

                    assertTrue(answer.startsWith("HTTP/1.1 408 "), answer);
                    assertTrue(answer.endsWith("{\"error\":{\"message\":\"The request timed out: no more of its body "
                        + "came.\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":null}}"), answer);
                }
        } finally {
            service.close();
        }
    }

    /** Around where one window of the reader ends and the next begins. */
    @Tag("S5") @Test void aFormIsReadWhereverItIsCut() {
        var decoy = "\r\n--shea\n\r\r\n--sheaf".replace("sheaf", "shear");
        for (int bytes = Form.WINDOW - 400; bytes < Form.WINDOW + 60; bytes += 7) {
            var content = "x".repeat(bytes) + decoy + "\r";

            var file = json(form("form-data; name=\"file\"; filename=\"a\"", "\r\n", content));

            assertArrayEquals(content.getBytes(UTF_8),
                client.get("/files/" + file.get("id").asText() + "/content").body(), bytes + " bytes");
        }
    }

    @Tag("S5") @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "form-data; name=\"file\"; filename=\"a b.txt\" | a b.txt",
        "form-data; filename=plain.txt; name=file | plain.txt",
        "FORM-DATA;NAME=\"file\";FILENAME=\"a;b.txt\" | a;b.txt",
        "form-data; name=\"file\"; filename=\"a\\\"b.txt\" | a\"b.txt", "form-data; name=\"file\" | upload.jsonl",
        "form-data; name=\"file\"; filename*=utf-8''b%C3%A4r.txt; filename=\"bar.txt\" | b\u00e4r.txt",
        "form-data; name=\"file\"; filename*=utf-8''gr%C3%BC%C3%9Fe+.txt | gr\u00fc\u00dfe+.txt"})
    void aFileIsCalledAsTheFormSays(String disposition, String name) {
        assertEquals(name, json(form(disposition, "\r\n", "hello")).path("filename").asText());
        assertEquals(name, json(form(disposition, "\n", "hello")).path("filename").asText());
    }

    @Tag("S5") @ParameterizedTest(name = "{1}")
    @CsvSource({"no boundary at all, unexpected EOF", "--sheafx\\n, bad boundary",
        "--sheaf\\nnothing\\n, invalid header",
        "--sheaf\\nContent-Disposition: form-data; name=file; filename*=utf-8''%zz\\n\\n, invalid filename*",
        "--sheaf\\nContent-Disposition: form-data; name=purpose\\n\\nuser_data, unexpected EOF"})
    void aMalformedFormIsRefused(String form, String why) {
        var refused = RawClient.send(client.request("/files")
            .header("Content-Type", "multipart/form-data; boundary=\"sheaf\"")
            .POST(BodyPublishers.ofString(form.replace("\\n", "\n"))));

        assertEquals("400 Could not parse multipart form: " + why + ".",
            refused.statusCode() + " " + json(refused).at("/error/message").asText());
    }

    /** Uploads a form whose lines end so, and whose file is said to be this. */
    HttpResponse<byte[]> form(String disposition, String end, String content) {
        var form = String.join(end, "--sheaf", "Content-Disposition: form-data; name=\"purpose\"", "", "user_data",
            "--sheaf", "Content-Disposition: " + disposition, "", content, "--sheaf--", "");
        return RawClient.send(client.request("/files").header("Content-Type", "multipart/form-data; boundary=sheaf")
            .POST(BodyPublishers.ofString(form)));
    }

    @Tag("S5") @Test void fieldsMayComeInAnyOrder() {
        var fields = new LinkedHashMap<String, String>();
        fields.put("purpose", "batch");
        fields.put("file", lines("one"));

        assertEquals(200, client.form("/files", fields).statusCode());
    }

    @Tag("S6") @ParameterizedTest(name = "{0}")
    @CsvSource({"limit=0, limit", "limit=10001, limit", "limit=x, limit", "limit=, limit", "order=, order",
        "order=up, order", "after=none, after"})
    void aListOfFilesChecksWhatItIsAsked(String query, String param) {
        var response = client.get("/files?" + query);

        assertEquals(400, response.statusCode());
        assertEquals(param, json(response).at("/error/param").asText());
    }

    @Tag("S4") @Test void anExpiredFileIsGone() {
        var file = client.upload(lines("one"));

        server.advance(Duration.ofDays(31));

        assertEquals(404, client.get("/files/" + file).statusCode());
        assertEquals(404, client.get("/files/" + file + "/content").statusCode());
        assertEquals(List.of(), client.ids("/files"));
    }

    @Tag("S7") @Test void aFileLivesAsLongAsIsAsked() {
        var fields = Map.of("file", lines("one"), "purpose", "batch",
            "expires_after[anchor]", "created_at", "expires_after[seconds]", "3600");

        var file = json(client.form("/files", fields));

        assertEquals(3_600, file.get("expires_at").asInt() - file.get("created_at").asInt());
    }

    @Tag("S7") @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {"{\"anchor\":\"created_at\",\"seconds\":3600} | 200 |",
        "{\"anchor\":\"created_at\",\"seconds\":60} | 400 | expires_after.seconds", "{} | 400 | expires_after.anchor",
        "3600 | 400 | expires_after", "soon | 400 | expires_after"})
    void aLifeMayBeOneFieldOfJson(String expiry, int status, String param) {
        var response = client.form("/files", Map.of("file", lines("one"), "purpose", "batch", "expires_after", expiry));

        var file = json(response);
        assertEquals(status, response.statusCode());
        if (status == 200) assertEquals(3_600, file.get("expires_at").asInt() - file.get("created_at").asInt());
        else assertEquals(param, file.at("/error/param").asText());
    }

    @Tag("S7") @Test void anOutputFileLivesAsLongAsIsAsked() {
        var asked = batch(client.upload(lines("one")));
        asked.putObject("output_expires_after").put("anchor", "created_at").put("seconds", 7_200);

        var done = client.finishedBatch(json(client.create(asked)).get("id").asText());

        var file = json(client.get("/files/" + done.get("output_file_id").asText()));
        assertEquals(7_200, file.get("expires_at").asInt() - file.get("created_at").asInt());
    }

    @Tag("S7") @ParameterizedTest(name = "{0} {1}")
    @CsvSource({"created_at, 3599, expires_after.seconds", "created_at, 2592001, expires_after.seconds",
        "created_at, soon, expires_after.seconds", "now, 3600, expires_after.anchor"})
    void aLifeOfAnotherLengthIsRefused(String anchor, String seconds, String param) {
        var asked = batch("file-none");
        asked.putObject("output_expires_after").put("anchor", anchor).put("seconds", seconds);

        var uploaded = client.form("/files", Map.of("file", lines("one"), "purpose", "batch",
            "expires_after[anchor]", anchor, "expires_after[seconds]", seconds));

        assertEquals(400, uploaded.statusCode());
        assertEquals(param, json(uploaded).at("/error/param").asText());
        assertEquals("output_" + param, json(client.create(asked)).at("/error/param").asText());
    }

    @Tag("S4") @Test void aFileThatIsCutOnDiskIsNotPassedOffAsWhole(@TempDir Path store) throws IOException {
        server = open.add(BatchServer.options().store(store).start());
        var file = client.upload(lines("one"));
        Files.writeString(store.resolve("files").resolve(file), "{");

        var response = client.get("/files/" + file + "/content");

        assertEquals("500 The file is damaged: it has 1 of " + lines("one").length() + " bytes.",
            response.statusCode() + " " + json(response).at("/error/message").asText());
    }
}
