package sheaf.model;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;

/** Asks servers that speak OpenAI's protocol. It does not know who started them. */
final class Client {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Duration CONNECT = Duration.ofSeconds(5);
    private static final Duration LOOK = Duration.ofSeconds(10);
    private static final Duration ANSWER = Duration.ofMinutes(15);   // a long answer on a slow machine
    private static final HttpClient HTTP =
        HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).connectTimeout(CONNECT).build();

    private Client() { }

    static boolean isHealthy(int port) {
        try {
            return get("http://127.0.0.1:" + port + "/health").statusCode() == 200;
        } catch (IOException e) {
            return false;
        }
    }

    /** Passes a call on as it came. */
    static Loopback.Reply send(int port, Loopback.Call call) throws IOException {
        var response = exchange(HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + port + call.path()))
            .timeout(ANSWER)
            .header("Content-Type", "application/json")
            .POST(HttpRequest.BodyPublishers.ofByteArray(call.body()))
            .build());
        return new Loopback.Reply(response.statusCode(), response.body());
    }

    /** Returns the id of the first model that a server lists. */
    static String firstModel(String baseUrl) {
        var url = baseUrl + "/models";
        try {
            var response = get(url);
            var id = JSON.readTree(response.body()).at("/data/0/id");
            if (response.statusCode() == 200 && id.isTextual()) return id.asText();
            throw new IOException("it answered " + response.statusCode() + " without a model");
        } catch (IOException e) {
            throw new UncheckedIOException("start: no model at GET " + url + " (" + Failures.reason(e) + ")"
                + "; start that server or name another", e);
        }
    }

    private static HttpResponse<byte[]> get(String url) throws IOException {
        return exchange(HttpRequest.newBuilder(URI.create(url)).timeout(LOOK).build());
    }

    private static HttpResponse<byte[]> exchange(HttpRequest request) throws IOException {
        try {
            return HTTP.send(request, HttpResponse.BodyHandlers.ofByteArray());
        } catch (InterruptedException e) {
            throw Failures.interrupted();
        }
    }
}
