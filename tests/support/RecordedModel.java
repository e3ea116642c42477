package sheaf.support;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.stream.Collectors;

/** A model behind a URL that says again what a real one has said to the same prompts, in as many tokens. */
public final class RecordedModel implements AutoCloseable {
    private static final ObjectMapper JSON = new ObjectMapper();
    private final Map<String, JsonNode> said;   // by prompt
    private final HttpServer server;

    /** Takes lines of prompt, text and the tokens of both. */
    public RecordedModel(Path lines) {
        try {
            said = Files.readAllLines(lines).stream().map(RecordedModel::read)
                .collect(Collectors.toMap(line -> line.path("prompt").asText(), line -> line));
            server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        server.createContext("/", this::answer);
        server.start();
    }

    public String baseUrl() { return "http://127.0.0.1:" + server.getAddress().getPort() + "/v1"; }

    private static JsonNode read(String line) {
        try {
            return JSON.readTree(line);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private void answer(HttpExchange exchange) throws IOException {
        var request = JSON.readTree(exchange.getRequestBody());
        var messages = request.path("messages");
        var line = said.get(messages.path(messages.size() - 1).path("content").asText());
        byte[] body = JSON.writeValueAsBytes(line == null ? Map.of("error", Map.of("message", "never said")) : Map.of(
            "id", "chatcmpl-1", "object", "chat.completion", "created", 0, "model", request.path("model").asText(),
            "choices", new Object[] {Map.of("index", 0, "finish_reason", "stop", "message",
                Map.of("role", "assistant", "content", line.path("text").asText()))},
            "usage", Map.of("prompt_tokens", line.at("/tokens/0").asInt(), "completion_tokens",
                line.at("/tokens/1").asInt(), "total_tokens", line.at("/tokens/0").asInt()
                    + line.at("/tokens/1").asInt())));
        exchange.sendResponseHeaders(line == null ? 404 : 200, body.length);
        exchange.getResponseBody().write(body);
        exchange.close();
    }

    @Override public void close() { server.stop(0); }
}
