package sheaf.support;

import static java.net.http.HttpRequest.BodyPublishers.ofByteArray;
import static java.net.http.HttpRequest.BodyPublishers.ofString;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import sheaf.server.BatchServer;

/** Speaks to a server in bytes and JSON trees, for tests of what stands on the wire. */
public final class RawClient {
    public static final ObjectMapper JSON = new ObjectMapper();
    public static final HttpClient HTTP = HttpClient.newHttpClient();
    private static final Duration PATIENCE = Duration.ofMinutes(1);     // of whoever would else wait for ever

    private final Supplier<String> baseUrl;

    public RawClient(Supplier<String> baseUrl) { this.baseUrl = baseUrl; }

    public static String lines(String... texts) {
        return IntStream.range(0, texts.length).mapToObj(i -> "{\"custom_id\":\"request-" + (i + 1)
            + "\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\",\"body\":{\"model\":\"m\",\"messages\":"
            + "[{\"role\":\"user\",\"content\":\"" + texts[i] + "\"}]}}\n").collect(Collectors.joining());
    }

    public static ObjectNode body(String text) {
        var body = JSON.createObjectNode().put("model", "m");
        body.putArray("messages").addObject().put("role", "user").put("content", text);
        return body;
    }

    public static ObjectNode batch(String file) {
        return JSON.createObjectNode().put("input_file_id", file).put("endpoint", "/v1/chat/completions")
            .put("completion_window", "24h");
    }

    public String upload(String content) {
        return json(upload(content.getBytes(UTF_8), "in.jsonl", "batch")).get("id").asText();
    }

    /** Sends a multipart form of texts, in the order of the map. */
    public HttpResponse<byte[]> form(String path, Map<String, String> fields) {
        var form = new StringBuilder();
        fields.forEach((name, value) -> form.append("--sheaf\r\nContent-Disposition: form-data; name=\"").append(name)
            .append("\"\r\n\r\n").append(value).append("\r\n"));
        return send(request(path).header("Content-Type", "multipart/form-data; boundary=sheaf")
            .POST(ofString(form + "--sheaf--\r\n")));
    }

    public HttpResponse<byte[]> upload(byte[] content, String name, String purpose) {
        var form = new ByteArrayOutputStream();
        form.writeBytes(("--sheaf\r\nContent-Disposition: form-data; name=\"file\""
            + (name.isEmpty() ? "" : "; filename=\"" + name + "\"") + "\r\n\r\n").getBytes(UTF_8));
        form.writeBytes(content);
        form.writeBytes(("\r\n--sheaf\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\n" + purpose
            + "\r\n--sheaf--\r\n").getBytes(UTF_8));
        return send(request("/files").header("Content-Type", "multipart/form-data; boundary=\"sheaf\"")
            .POST(ofByteArray(form.toByteArray())));
    }

    public HttpResponse<byte[]> cancel(String id) { return send("POST", "/batches/" + id + "/cancel", new byte[0]); }

    public HttpResponse<byte[]> create(JsonNode batch) {
        return send("POST", "/batches", batch.toString().getBytes(UTF_8));
    }

    /** Uploads lines, creates a batch over them, and returns its id. */
    public String create(String lines) { return json(create(batch(upload(lines)))).get("id").asText(); }

    public JsonNode finished(String file) { return finishedBatch(json(create(batch(file))).get("id").asText()); }

    public JsonNode finishedBatch(String id) {
        await(() -> Set.of("completed", "failed", "expired", "cancelled").contains(found(id).get("status").asText()));
        return found(id);
    }

    public JsonNode found(String id) { return json(get("/batches/" + id)); }

    public JsonNode fault(String lines) { return finished(upload(lines)).at("/errors/data/0"); }

    public int counted(String id, String outcome) { return found(id).get("request_counts").get(outcome).asInt(); }

    public List<JsonNode> output(JsonNode batch, String file) {
        var content = new String(get("/files/" + batch.get(file).asText() + "/content").body(), UTF_8);
        return Arrays.stream(content.split("\n")).map(line -> json(line.getBytes(UTF_8))).toList();
    }

    public Map<String, String> texts(JsonNode batch) {
        return output(batch, "output_file_id").stream().collect(Collectors.toMap(line -> line.get("custom_id").asText(),
            line -> line.at("/response/body/choices/0/message/content").asText()));
    }

    public List<String> ids(String path) { return json(get(path)).get("data").findValuesAsText("id"); }

    public static List<String> concat(JsonNode first, JsonNode second) {
        var ids = new ArrayList<String>(first.get("data").findValuesAsText("id"));
        ids.addAll(second.get("data").findValuesAsText("id"));
        return ids;
    }

    public static Set<String> names(JsonNode object) {
        return object.properties().stream().map(Map.Entry::getKey).collect(Collectors.toSet());
    }

    public JsonNode post(String path, JsonNode body) {
        return json(send("POST", path, body.toString().getBytes(UTF_8)));
    }

    public HttpResponse<byte[]> get(String path) { return send(request(path)); }

    public HttpResponse<byte[]> send(String method, String path, byte[] body) {
        return send(request(path).method(method, ofByteArray(body)));
    }

    public HttpRequest.Builder request(String path) { return HttpRequest.newBuilder(URI.create(baseUrl.get() + path)); }

    public static int status(BatchServer server, String authorization) {
        var request = HttpRequest.newBuilder(URI.create(server.baseUrl() + "/files"));
        return send(authorization == null ? request : request.header("Authorization", authorization)).statusCode();
    }

    public static HttpResponse<byte[]> send(HttpRequest.Builder request) {
        try {
            return HTTP.send(request.timeout(PATIENCE).build(), HttpResponse.BodyHandlers.ofByteArray());
        } catch (IOException | InterruptedException e) {
            throw new AssertionError(e);
        }
    }

    public static JsonNode json(HttpResponse<byte[]> response) { return json(response.body()); }

    public static JsonNode json(byte[] bytes) {
        try {
            return JSON.readTree(bytes);
        } catch (IOException e) {
            throw new AssertionError(new String(bytes, UTF_8), e);
        }
    }

    public static void await(BooleanSupplier condition) {
        long end = System.nanoTime() + PATIENCE.toNanos();
        while (!condition.getAsBoolean()) {
            assertTrue(System.nanoTime() < end, "not within " + PATIENCE.toSeconds() + " s");
            LockSupport.parkNanos(2_000_000);
        }
    }
}
