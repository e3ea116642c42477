package sheaf.model;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.List;

/** Asks a local model as a client would. */
final class Chat {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final HttpClient CLIENT = HttpClient.newHttpClient();

    private Chat() { }

    record Answer(int status, JsonNode json) {
        String at(String pointer) { return json.at(pointer).asText(); }

        int number(String pointer) { return json.at(pointer).asInt(); }

        String text() { return at("/choices/0/message/content"); }

        List<String> errorKeys() {
            var keys = new ArrayList<String>();
            json.get("error").fieldNames().forEachRemaining(keys::add);
            return keys;
        }
    }

    static ObjectNode chat(String text) {
        var body = JSON.createObjectNode().put("temperature", 0);
        var messages = body.putArray("messages");
        messages.addObject().put("role", "system").put("content", "You are a helpful assistant.");
        messages.addObject().put("role", "user").put("content", text);
        return body;
    }

    static Answer ask(LocalModel model, JsonNode body) { return post(model, "/chat/completions", body.toString()); }

    /** Returns who answers at a URL, as the server there says. */
    static String identity(String baseUrl) {
        try {
            var request = HttpRequest.newBuilder(URI.create(baseUrl + "/models")).build();
            return CLIENT.send(request, HttpResponse.BodyHandlers.discarding()).headers()
                .firstValue("x-sheaf-engine").orElse("");
        } catch (IOException | InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    static Answer post(LocalModel model, String path, String body) {
        try {
            var request = HttpRequest.newBuilder(URI.create(model.baseUrl() + path))
                .POST(HttpRequest.BodyPublishers.ofString(body)).build();
            var response = CLIENT.send(request, HttpResponse.BodyHandlers.ofByteArray());
            return new Answer(response.statusCode(), JSON.readTree(response.body()));
        } catch (IOException | InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }
}
