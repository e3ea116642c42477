package sheaf.model;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.Test;

/** The URL in front of an engine that ends as soon as it has started, and starts only once. */
class GatewayTest {
    final AtomicInteger starts = new AtomicInteger();
    @AutoClose final Gateway gateway = Gateway.open(
        new Weights("tiny one", "", Path.of("tiny.gguf"), new Gguf(Map.of()), "f00d"), 3, 0,
        new Engine("mortal", false, this::start));

    @Test void anEngineThatFailsToStartThreeTimesInARowIsGivenUp() {
        var messages = IntStream.range(0, 4).mapToObj(i -> send("POST", "/chat/completions"))
            .map(response -> response.statusCode() + " " + json(response).at("/error/message").asText()).toList();

        var failed = "503 start: it does not start again";
        assertEquals(List.of(failed, failed, failed, "503 the engine failed to start 3 times in a row"), messages);
        assertEquals(4, starts.get());
    }

    @Test void whatWasTriedAgainHereIsNotToBeTriedAgain() {
        assertEquals("false", send("POST", "/chat/completions").headers().firstValue("x-should-retry").orElse(""));
    }

    @Test void modelsAreNamedWithoutTheEngine() {
        assertEquals("tiny one", json(send("GET", "/models")).at("/data/0/id").asText());
        assertEquals(1, starts.get());
    }

    @Test void everyAnswerSaysWhichModelAndWeights() {
        var said = Stream.of(send("GET", "/models"), send("POST", "/chat/completions"), send("GET", "/batches"))
            .map(response -> response.headers().firstValue("x-sheaf-engine").orElse("")).toList();

        assertEquals(List.of("tiny%20one f00d", "tiny%20one f00d", "tiny%20one f00d"), said);
    }

    @Test void aPathThatNobodyServesIsNotFound() {
        var response = send("GET", "/batches");

        assertEquals(404, response.statusCode());
        assertEquals("the local model does not serve GET /v1/batches", json(response).at("/error/message").asText());
    }

    EngineProcess start() {
        if (starts.getAndIncrement() > 0) throw new IllegalStateException("start: it does not start again");
        var process = EngineProcess.start(List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "-version"));
        while (process.isAlive()) Thread.onSpinWait();
        return process;
    }

    HttpResponse<String> send(String method, String path) {
        try {
            var request = HttpRequest.newBuilder(URI.create(gateway.baseUrl() + path))
                .method(method, HttpRequest.BodyPublishers.ofString("{}")).build();
            return HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
        } catch (IOException | InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    static JsonNode json(HttpResponse<String> response) {
        try {
            return new ObjectMapper().readTree(response.body());
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }
}
