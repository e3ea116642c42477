package sheaf.server;

import static java.net.http.HttpRequest.BodyPublishers.ofByteArray;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static sheaf.support.RawClient.JSON;
import static sheaf.support.RawClient.json;
import static sheaf.support.RawClient.lines;
import static sheaf.support.RawClient.names;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.openai.client.okhttp.OpenAIOkHttpClient;
import com.openai.models.files.FilePurpose;
import com.openai.models.uploads.Upload;
import com.openai.models.uploads.UploadCompleteParams;
import com.openai.models.uploads.UploadCreateParams;
import com.openai.models.uploads.parts.PartCreateParams;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.sql.DriverManager;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import sheaf.support.RawClient;

/** Files that come in parts. */
@Tag("S25")
class UploadsTest {
    final Path store;
    BatchServer server;
    final RawClient client = new RawClient(() -> server.baseUrl());

    UploadsTest(@TempDir Path store) {
        this.store = store;
        start();
    }

    @AfterEach void close() { server.close(); }

    @Test void partsBecomeAnOrdinaryFileInTheOrderOfTheirIds() throws IOException {
        var whole = lines("one", "two").getBytes(UTF_8);
        var upload = create(whole.length, "batch");
        var second = part(upload, Arrays.copyOfRange(whole, 100, whole.length));
        var first = part(upload, Arrays.copyOf(whole, 100));

        var completed = json(complete(upload, first, second));

        var file = completed.get("file");
        assertEquals("completed", completed.get("status").asText());
        assertEquals(file, json(client.get("/files/" + file.get("id").asText())));
        assertEquals(Set.of("id", "object", "bytes", "created_at", "expires_at", "filename", "purpose", "status"),
            names(file));
        assertEquals(2_592_000, file.get("expires_at").asLong() - file.get("created_at").asLong());
        assertArrayEquals(whole, content(completed));
        assertEquals("completed", client.finished(file.get("id").asText()).get("status").asText());
        assertEquals(List.of(), leftovers());
    }

    @Test void aPendingUploadHasTheFieldsOfOpenAIs() {
        var upload = client.post("/uploads", asked(5, "vision").put("filename", "../a/cat.png"));

        assertEquals(Set.of("id", "object", "bytes", "created_at", "filename", "purpose", "status", "expires_at",
            "file"), names(upload));
        assertEquals("upload cat.png vision pending 5 3600 null", String.join(" ", upload.get("object").asText(),
            upload.get("filename").asText(), upload.get("purpose").asText(), upload.get("status").asText(),
            upload.get("bytes").asText(), "" + (upload.get("expires_at").asLong() - upload.get("created_at").asLong()),
            upload.get("file").asText()));
    }

    @Test void openAIsClientUploadsInParts() {
        var whole = lines("one", "two").getBytes(UTF_8);
        var openai = OpenAIOkHttpClient.builder().baseUrl(server.baseUrl()).apiKey("none").maxRetries(0).build();

        var upload = openai.uploads().create(UploadCreateParams.builder().bytes(whole.length).filename("in.jsonl")
            .mimeType("application/jsonl").purpose(FilePurpose.BATCH).build()).validate();
        var parts = Stream.of(Arrays.copyOf(whole, 9), Arrays.copyOfRange(whole, 9, whole.length))
            .map(data -> openai.uploads().parts().create(
                PartCreateParams.builder().uploadId(upload.id()).data(data).build()).validate().id())
            .toList();
        var completed = openai.uploads().complete(
            UploadCompleteParams.builder().uploadId(upload.id()).partIds(parts).build()).validate();

        assertEquals(Upload.Status.COMPLETED, completed.status());
        assertEquals(whole.length, completed.file().orElseThrow().bytes());
    }

    @Test void partsMayComeAtOnce() throws IOException {
        var texts = IntStream.range(0, 16).mapToObj(i -> "part %02d;".formatted(i).repeat(40_000)
            .getBytes(UTF_8)).toList();
        var upload = create(16 * texts.get(0).length, "assistants");

        var sent = texts.stream()
            .map(text -> CompletableFuture.supplyAsync(() -> part(upload, text))).toList();
        String[] ids = sent.stream().map(CompletableFuture::join).toArray(String[]::new);

        assertArrayEquals(concat(texts), content(json(complete(upload, ids))));
    }

    @Test void aFileMayHaveAnExpiryOfItsOwn() {
        var asked = asked(2, "batch");
        asked.putObject("expires_after").put("anchor", "created_at").put("seconds", 3_600);
        var upload = client.post("/uploads", asked).get("id").asText();

        var file = json(complete(upload, part(upload, "{}".getBytes(UTF_8)))).get("file");

        assertEquals(3_600, file.get("expires_at").asLong() - file.get("created_at").asLong());
    }

    @ParameterizedTest(name = "{0} {1}")
    @CsvSource(delimiter = '|', quoteCharacter = '"', value = {
        "filename | null | Missing required parameter: 'filename'.",
        "filename | \"\"\"\"\"\" | Invalid 'filename': it names no file.",
        "mime_type | 7 | Invalid type for 'mime_type': expected a string, but got a number instead.",
        "purpose | \"\"\"evals\"\"\" | Invalid value: 'evals'. Supported values are: 'assistants', 'batch', "
            + "'fine-tune', 'vision'.",
        "bytes | null | Missing required parameter: 'bytes'.",
        "bytes | \"\"\"5\"\"\" | Invalid type for 'bytes': expected an integer, but got a string instead.",
        "bytes | 0 | Invalid 'bytes': expected an integer from 1 to 1000000, but got '0' instead.",
        "bytes | 1000001 | Invalid 'bytes': expected an integer from 1 to 1000000, but got '1000001' instead.",
        "expires_after | 5 | Invalid type for 'expires_after': expected an object, but got a number instead."})
    void anUnusableUploadIsRefused(String param, String value, String message) throws IOException {
        var asked = asked(5, "batch");
        asked.set(param, JSON.readTree(value));

        assertRefused(400, param, message, client.send("POST", "/uploads", asked.toString().getBytes(UTF_8)));
    }

    @Test void anUploadMayHaveEightGigabytesUnlessItIsForABatch() {
        long limit = 8L * 1024 * 1024 * 1024;

        assertEquals(limit, client.post("/uploads", asked(limit, "fine-tune")).get("bytes").asLong());
        assertRefused(400, "bytes", "Invalid 'bytes': expected an integer from 1 to 8589934592, but got '8589934593' "
            + "instead.", client.send("POST", "/uploads", asked(limit + 1, "vision").toString().getBytes(UTF_8)));
    }

    @Test void wrongPartIdsAreRefusedAndTheUploadStaysPending() {
        var upload = create(4, "vision");
        var part = part(upload, "abcd".getBytes(UTF_8));
        var other = create(4, "vision");
        var foreign = part(other, "abcd".getBytes(UTF_8));

        assertRefused(400, "part_ids[1]", "Part '" + part + "' is listed twice.", complete(upload, part, part));
        assertRefused(400, "part_ids[1]", "No such part of this upload: '" + foreign + "'.",
            complete(upload, part, foreign));
        assertRefused(400, "part_ids[0]", "No such part of this upload: 'part_x'.", complete(upload, "part_x", part));
        assertRefused(400, "part_ids", "Missing required parameter: 'part_ids'.",
            client.send("POST", "/uploads/" + upload + "/complete", "{}".getBytes(UTF_8)));
        assertEquals(200, complete(upload, part).statusCode());
    }

    @Test void aByteCountThatDiffersIsRefusedAndTheUploadStaysPending() {
        var upload = create(6, "vision");
        var first = part(upload, "abc".getBytes(UTF_8));

        assertRefused(400, "part_ids", "The parts have 3 bytes, but the upload was created for 6.",
            complete(upload, first));
        assertRefused(400, "part_ids", "The parts have 0 bytes, but the upload was created for 6.", complete(upload));
        assertEquals(200, complete(upload, part(upload, "def".getBytes(UTF_8)), first).statusCode());
    }

    @Test void aChecksumThatDiffersIsRefusedAndTheUploadStaysPending() throws Exception {
        var upload = create(4, "vision");
        var part = part(upload, "abcd".getBytes(UTF_8));
        var right = HexFormat.of().formatHex(MessageDigest.getInstance("MD5").digest("abcd".getBytes(UTF_8)));
        var wrong = "0".repeat(32);

        assertRefused(400, "md5", "The parts have another MD5 checksum than '" + wrong + "'.",
            complete(upload, completion(part).put("md5", wrong)));
        assertRefused(400, "md5", "Invalid 'md5': expected 32 hexadecimal digits.",
            complete(upload, completion(part).put("md5", "short")));
        assertEquals(200, complete(upload, completion(part).put("md5", right.toUpperCase())).statusCode());
    }

    @Test void aBatchFileOutOfPartsMustStartWithJsonToo() throws IOException {
        var upload = create(8, "batch");
        var part = part(upload, "not json".getBytes(UTF_8));

        assertRefused(400, "file", "Invalid file format for Batch API. Must be .jsonl; its first line is no JSON"
            + " object.", complete(upload, part));
        assertEquals(List.of("parts/" + part), leftovers());
    }

    @Test void moreBytesThanDeclaredAreRefused() throws IOException {
        var upload = create(5_000, "vision");
        var first = part(upload, new byte[3_000]);

        assertRefused(413, "data", "Part is too large: the upload takes 2000 more bytes.",
            add(upload, new byte[2_001]));
        assertRefused(413, "data", "Part is too large: the upload takes 2000 more bytes.",
            add(upload, new byte[3_000_000]));
        var second = part(upload, new byte[2_000]);
        assertRefused(413, "data", "Part is too large: the upload takes 0 more bytes.", add(upload, new byte[1]));
        assertEquals(200, complete(upload, first, second).statusCode());
        assertEquals(List.of(), leftovers());
    }

    @Test void partsThatComeAtOnceNeverExceedTheDeclaredBytesTogether() {
        var upload = create(300_000, "vision");

        var sent = IntStream.range(0, 10)
            .mapToObj(i -> CompletableFuture.supplyAsync(() -> add(upload, new byte[100_000]).statusCode())).toList();

        var statuses = sent.stream().map(CompletableFuture::join).sorted().toList();
        assertEquals(List.of(200, 200, 200, 413, 413, 413, 413, 413, 413, 413), statuses);
    }

    @Test void aPartHasAtMostSixtyFourMegabytes() {
        int limit = 64 * 1024 * 1024;
        var upload = create(limit + 1, "vision");

        assertRefused(413, "data", "Part is too large: at most 67108864 bytes.", add(upload, new byte[limit + 1]));
        assertEquals(200, add(upload, new byte[limit]).statusCode());
    }

    @Test void aPartWithoutDataIsRefused() {
        var upload = create(5, "vision");

        assertRefused(400, "data", "Missing required parameter: 'data'.", add(upload, "file", new byte[5]));
        assertRefused(400, "data", "Invalid 'data': the part is empty.", add(upload, new byte[0]));
    }

    @Test void anUnknownUploadIsNotFound() {
        for (var act : List.of("parts", "complete", "cancel"))
            assertRefused(404, "upload_id", "No such Upload object: upload_x",
                act.equals("parts") ? add("upload_x", new byte[1]) : client.send("POST", "/uploads/upload_x/" + act,
                    completion("part_x").toString().getBytes(UTF_8)));
    }

    @Test void noMoreThan256UploadsArePending() {
        var pending = IntStream.range(0, 256).mapToObj(i -> create(1, "vision")).toList();
        var another = asked(1, "vision").toString().getBytes(UTF_8);

        assertRefused(429, null, "Too many pending uploads: at most 256.", client.send("POST", "/uploads", another));
        cancel(pending.get(0));
        assertEquals(200, client.send("POST", "/uploads", another).statusCode());
    }

    @Test void aCompletionSaidTwiceHasTheSameAnswerAndAnyOtherIsRefused() {
        var upload = create(4, "vision");
        var part = part(upload, "abcd".getBytes(UTF_8));

        var first = complete(upload, part);

        assertArrayEquals(first.body(), complete(upload, part).body());
        assertRefused(400, "upload_id", "Cannot complete an upload with status 'completed'.",
            complete(upload, completion(part).put("md5", "0".repeat(32))));
        assertRefused(400, "upload_id", "Cannot cancel an upload with status 'completed'.", cancel(upload));
        assertRefused(400, "upload_id", "Cannot add a part to an upload with status 'completed'.",
            add(upload, new byte[1]));
        assertEquals(1, client.ids("/files").size());
    }

    @Test void aCancelledUploadTakesNothingAndLeavesNothing() throws IOException {
        var upload = create(10_000_000, "vision");
        var part = part(upload, new byte[10_000]);

        var cancelled = json(cancel(upload));

        assertEquals("cancelled", cancelled.get("status").asText());
        assertEquals(List.of(), leftovers());
        assertEquals(cancelled, json(cancel(upload)));
        assertRefused(400, "upload_id", "Cannot add a part to an upload with status 'cancelled'.",
            add(upload, new byte[9_000_000]));
        assertRefused(400, "upload_id", "Cannot complete an upload with status 'cancelled'.", complete(upload, part));
    }

    @Test void anExpiredUploadTakesNothingAndLeavesNothing() throws Exception {
        var upload = create(4, "vision");
        var part = part(upload, "abcd".getBytes(UTF_8));

        letAnHourPass();

        assertRefused(400, "upload_id", "Cannot complete an upload with status 'expired'.", complete(upload, part));
        assertRefused(400, "upload_id", "Cannot cancel an upload with status 'expired'.", cancel(upload));
        assertRefused(400, "upload_id", "Cannot add a part to an upload with status 'expired'.",
            add(upload, new byte[1]));
        assertEquals(List.of(), leftovers());
    }

    @Test void theNextStartEndsWhatHasExpired() throws Exception {
        part(create(4, "vision"), "abcd".getBytes(UTF_8));
        server.close();
        letAnHourPass();

        start();

        assertEquals(List.of(), leftovers());
    }

    @Test void aPendingUploadGoesOnAfterARestart() throws IOException {
        var upload = create(6, "vision");
        var second = part(upload, "def".getBytes(UTF_8));
        server.close();

        start();

        var completed = json(complete(upload, part(upload, "abc".getBytes(UTF_8)), second));
        assertEquals("abcdef", new String(content(completed), UTF_8));
        server.close();
        start();
        assertEquals("abcdef", new String(content(completed), UTF_8));
        assertEquals(List.of(), leftovers());
    }

    @Test void whatACrashLeftHalfWrittenGoesAtTheNextStart() throws IOException {
        var upload = create(6, "vision");
        var part = part(upload, "abcdef".getBytes(UTF_8));
        var file = upload.replace("upload_", "file-");
        server.close();
        Files.writeString(store.resolve("parts/part_half"), "ab");         // killed while a part was written
        Files.writeString(store.resolve("uploads/" + file), "abc");        // killed while the parts were joined
        Files.writeString(store.resolve("files/" + file), "abcdef");       // killed before the file was recorded

        start();

        assertEquals(List.of("parts/" + part), leftovers());
        assertEquals(List.of(), client.ids("/files"));
        assertEquals(file, json(complete(upload, part)).at("/file/id").asText());
    }

    private void start() { server = BatchServer.options().store(store).maxBytes(1_000_000).start(); }

    private void letAnHourPass() throws Exception {
        try (var database = DriverManager.getConnection("jdbc:sqlite:" + store.resolve("state.db"));
            var statement = database.createStatement()) {
            assertEquals(1, statement.executeUpdate("UPDATE upload SET expires_at = expires_at - 3600,"
                + " json = json_set(json, '$.expires_at', expires_at - 3600)"));
        }
    }

    private static ObjectNode asked(long bytes, String purpose) {
        return JSON.createObjectNode().put("filename", "in.jsonl").put("purpose", purpose).put("bytes", bytes)
            .put("mime_type", "application/octet-stream");
    }

    private String create(long bytes, String purpose) {
        return client.post("/uploads", asked(bytes, purpose)).get("id").asText();
    }

    private String part(String upload, byte[] data) {
        var part = json(add(upload, data));
        assertEquals("upload.part " + upload, part.path("object").asText() + " " + part.path("upload_id").asText(),
            part.toString());
        return part.get("id").asText();
    }

    private HttpResponse<byte[]> add(String upload, byte[] data) { return add(upload, "data", data); }

    private HttpResponse<byte[]> add(String upload, String field, byte[] data) {
        var head = ("--sheaf\r\nContent-Disposition: form-data; name=\"" + field + "\"; filename=\"part\"\r\n\r\n")
            .getBytes(UTF_8);
        return RawClient.send(client.request("/uploads/" + upload + "/parts")
            .header("Content-Type", "multipart/form-data; boundary=sheaf")
            .POST(ofByteArray(concat(List.of(head, data, "\r\n--sheaf--\r\n".getBytes(UTF_8))))));
    }

    private static byte[] concat(List<byte[]> arrays) {
        var all = new ByteArrayOutputStream();
        arrays.forEach(all::writeBytes);
        return all.toByteArray();
    }

    private static ObjectNode completion(String... partIds) {
        var completion = JSON.createObjectNode();
        Stream.of(partIds).forEach(completion.putArray("part_ids")::add);
        return completion;
    }

    private HttpResponse<byte[]> complete(String upload, String... partIds) {
        return complete(upload, completion(partIds));
    }

    private HttpResponse<byte[]> complete(String upload, ObjectNode completion) {
        return client.send("POST", "/uploads/" + upload + "/complete", completion.toString().getBytes(UTF_8));
    }

    private HttpResponse<byte[]> cancel(String upload) {
        return client.send("POST", "/uploads/" + upload + "/cancel", new byte[0]);
    }

    private byte[] content(JsonNode upload) {
        return client.get("/files/" + upload.at("/file/id").asText() + "/content").body();
    }

    /** Returns what lies in the store and is no file that clients know. */
    private List<String> leftovers() throws IOException {
        var known = client.ids("/files");
        var found = new ArrayList<String>();
        for (var folder : List.of("parts", "uploads", "files"))
            try (var files = Files.list(store.resolve(folder))) {
                files.map(file -> file.getFileName().toString()).filter(name -> !known.contains(name))
                    .filter(name -> !name.startsWith("file-output-")).forEach(name -> found.add(folder + "/" + name));
            }
        return found;
    }

    private static void assertRefused(int status, String param, String message, HttpResponse<byte[]> response) {
        var error = json(response).path("error");
        assertEquals(Set.of("message", "type", "param", "code"), names(error));
        assertEquals(status + " " + param + " " + message, response.statusCode() + " " + error.get("param").asText()
            + " " + error.get("message").asText());
    }
}
