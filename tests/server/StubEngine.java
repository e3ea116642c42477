package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpHandler;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetSocketAddress;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicBoolean;

/** An engine whose every answer a test writes: an HTTP server that knows no model. */
final class StubEngine implements AutoCloseable {
    private final HttpServer http;
    private final ExecutorService threads = Executors.newCachedThreadPool();

    /** Answers a request with a status, a blank and a body. */
    interface Answers {
        String answer(String path, String body);
    }

    private StubEngine(int port, HttpHandler handler) throws IOException {
        this.http = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 0);
        http.setExecutor(threads);
        http.createContext("/v1/", handler);
        http.start();
    }

    static StubEngine start(Answers answers) {
        return start(0, exchange -> {
            var body = new String(exchange.getRequestBody().readAllBytes(), UTF_8);
            var said = answers.answer(exchange.getRequestURI().getPath().substring(3), body).split(" ", 2);
            answer(exchange, Integer.parseInt(said[0]), said[1]);
        });
    }

    /**
     * Starts an engine on this port, or on a free one if it is 0. The test does not see the first question for its
     * models, by which a server learns who it is.
     */
    static StubEngine start(int port, HttpHandler handler) {
        var known = new AtomicBoolean();
        return named(null, port, exchange -> {
            boolean isQuestion = exchange.getRequestURI().getPath().equals("/v1/models") && !known.getAndSet(true);
            if (isQuestion) answer(exchange, 200, "{}");
            else handler.handle(exchange);
        });
    }

    /** Starts an engine that says of itself that it is so, or says nothing if that is null. */
    static StubEngine named(String name, int port, HttpHandler handler) {
        return on(port, exchange -> {
            if (name != null) exchange.getResponseHeaders().set("x-sheaf-engine", name);
            handler.handle(exchange);
        });
    }

    private static StubEngine on(int port, HttpHandler handler) {
        try {
            return new StubEngine(port, handler);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    static void answer(HttpExchange exchange, int status, String body, String... header) throws IOException {
        exchange.getRequestBody().readAllBytes();
        var bytes = body.getBytes(UTF_8);
        if (header.length > 0) exchange.getResponseHeaders().set(header[0], header[1]);
        exchange.sendResponseHeaders(status, bytes.length == 0 ? -1 : bytes.length);
        exchange.getResponseBody().write(bytes);
        exchange.close();
    }

    String baseUrl() { return "http://127.0.0.1:" + http.getAddress().getPort() + "/v1/"; }

    @Override public void close() {
        http.stop(0);
        threads.shutdownNow();
    }
}
