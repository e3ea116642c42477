package sheaf.model;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executors;

/**
 * HTTP in OpenAI's manner: a server that only this machine reaches, the error that it answers with, and a client.
 * It does not know what is asked.
 */
final class Http {
    private static final ObjectMapper JSON = new ObjectMapper();

    private Http() { }

    /** A request: its method, path and body. */
    record Call(String method, String path, byte[] body) { }

    /** A response: HTTP's status, and a body that is JSON. */
    record Reply(int status, byte[] body) {
        static Reply ok(Object json) throws IOException { return new Reply(200, JSON.writeValueAsBytes(json)); }

        /** Returns the same reply with this field of its body. */
        Reply with(String field, String value) throws IOException {
            return JSON.readTree(body) instanceof ObjectNode object ? ok(object.put(field, value)) : this;
        }

        static Reply of(Refusal refusal) { return new Reply(refusal.status(), refusal.body()); }
    }

    /** What answers a call, or throws a {@link Refusal}. */
    interface Handler {
        Reply answer(Call call) throws IOException;
    }

    /** A request that gets an error instead of an answer, in OpenAI's words. */
    static final class Refusal extends RuntimeException {
        private final int status;     // HTTP's: from 500 on the fault is ours
        private final String code;
        private final String param;   // the field at fault, such as messages[0].content; null if it is none

        Refusal(int status, String code, String param, String message) {
            super(message);
            this.status = status;
            this.code = code;
            this.param = param;
        }

        static Refusal invalid(String param, String message) {
            return new Refusal(400, "invalid_value", param, message);
        }

        static Refusal notFound(Call call) {
            return new Refusal(404, "not_found", null,
                "the local model does not serve " + call.method() + " " + call.path());
        }

        int status() { return status; }

        /** Returns the error envelope, as JSON. */
        byte[] body() {
            var envelope = JsonNodeFactory.instance.objectNode();
            envelope.putObject("error")
                .put("message", getMessage())
                .put("type", status < 500 ? "invalid_request_error" : "server_error")
                .put("param", param)
                .put("code", code);
            return envelope.toString().getBytes(UTF_8);
        }
    }

    /** Takes a port, 0 for a free one. Calls wait until {@link #serve}. */
    static HttpServer bind(int port) throws IOException {
        return HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 0);
    }

    /**
     * Serves on daemon threads only: the server's dispatcher inherits that from the thread that starts it. Each
     * response bears these headers too.
     */
    static void serve(HttpServer server, Map<String, String> headers, Handler handler) {
        var threads = Executors.newCachedThreadPool(Machine::daemon);
        server.createContext("/", exchange -> {
            headers.forEach(exchange.getResponseHeaders()::set);
            respond(exchange, handler);
        });
        server.setExecutor(threads);
        CompletableFuture.runAsync(server::start, threads).join();
    }

    private static void respond(HttpExchange exchange, Handler handler) throws IOException {
        try (exchange) {
            byte[] body = exchange.getRequestBody().readAllBytes();
            var call = new Call(exchange.getRequestMethod(), exchange.getRequestURI().getPath(), body);
            var reply = reply(call, handler);
            exchange.getResponseHeaders().set("Content-Type", "application/json");
            if (reply.status() >= 500)   // keeps OpenAI's clients from asking again: that was done here already
                exchange.getResponseHeaders().set("x-should-retry", "false");
            exchange.sendResponseHeaders(reply.status(), reply.body().length);
            exchange.getResponseBody().write(reply.body());
        }
    }

    private static Reply reply(Call call, Handler handler) throws IOException {
        try {
            return handler.answer(call);
        } catch (Refusal refusal) {
            return Reply.of(refusal);
        } catch (RuntimeException e) {
            return Reply.of(new Refusal(500, "server_error", null, e.toString()));
        }
    }

    /** Asks servers that speak OpenAI's protocol, whoever started them. */
    static final class Client {
        private static final Duration CONNECT_LIMIT = Duration.ofSeconds(5);
        private static final Duration GET_LIMIT = Duration.ofSeconds(10);
        private static final Duration ANSWER_LIMIT = Duration.ofMinutes(15);   // a long answer on a slow machine
        private static final HttpClient HTTP =
            HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).connectTimeout(CONNECT_LIMIT).build();

        private Client() { }

        static boolean isHealthy(int port) {
            try {
                return get("http://127.0.0.1:" + port + "/health").statusCode() == 200;
            } catch (IOException e) {
                return false;
            }
        }

        /** Passes a call on as it came. */
        static Reply send(int port, Call call) throws IOException {
            var response = exchange(HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + port + call.path()))
                .timeout(ANSWER_LIMIT)
                .header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofByteArray(call.body()))
                .build());
            return new Reply(response.statusCode(), response.body());
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
                throw new UncheckedIOException("start: no model at GET " + url + " (" + Machine.reason(e) + ")"
                    + "; start that server or name another", e);
            }
        }

        private static HttpResponse<byte[]> get(String url) throws IOException {
            return exchange(HttpRequest.newBuilder(URI.create(url)).timeout(GET_LIMIT).build());
        }

        private static HttpResponse<byte[]> exchange(HttpRequest request) throws IOException {
            try {
                return HTTP.send(request, HttpResponse.BodyHandlers.ofByteArray());
            } catch (InterruptedException e) {
                throw Machine.interrupted();
            }
        }
    }
}
