package sheaf.model;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.CompletableFuture;
import sheaf.support.Ports;

/** Answers with its arguments; "crash" ends it, and "wait" waits for that when the engine is new. */
final class FakeLlamaServer {
    private static final ObjectMapper JSON = new ObjectMapper();

    private FakeLlamaServer() { }

    public static void main(String[] args) throws IOException {
        var arguments = String.join(" ", args);
        int port = Integer.parseInt(arguments.replaceFirst(".*--port (\\d+).*", "$1"));
        var crash = new CompletableFuture<Void>();
        var log = Path.of(arguments.replaceFirst("--model (\\S+).*", "$1") + ".started");
        boolean restarted = Files.exists(log);
        Files.writeString(log, "");
        Ports.listen(port, exchange -> {
            var body = new String(exchange.getRequestBody().readAllBytes(), UTF_8);
            if (body.contains("wait") && !restarted) crash.join();
            if (body.contains("crash")) crash();
            var answer = JSON.createObjectNode().put("arguments", arguments).put("body", body)
                .put("spins", System.getenv("GOMP_SPINCOUNT"));
            Ports.respond(exchange, 200, answer.toString().getBytes(UTF_8));
        });
    }

    private static void crash() {
        System.err.println("terminate called");
        Runtime.getRuntime().halt(134);
    }
}
