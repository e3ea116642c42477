package sheaf.support;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

/**
 * Something between a client and a server that holds the first create, while the client hears what a test says. It
 * drops Idempotency-Key, as if the provider did not know it.
 */
public final class HoldingProxy implements AutoCloseable {
    private static final HttpClient HTTP = HttpClient.newHttpClient();
    private final HttpServer server;
    private final ExecutorService threads = Executors.newCachedThreadPool();
    private final ScheduledExecutorService clock = Executors.newSingleThreadScheduledExecutor();
    private final String target;
    private final Duration hold;
    private final int status;
    private final List<String> keys = new CopyOnWriteArrayList<>();
    private final CountDownLatch landed = new CountDownLatch(1);

    /**
     * @param baseUrl of the server behind
     * @param hold after which the first create reaches it; negative: never
     * @param status that the client hears at once; 0: the connection is closed
     */
    public HoldingProxy(String baseUrl, Duration hold, int status) {
        target = baseUrl.replaceFirst("/v1$", "");
        this.hold = hold;
        this.status = status;
        try {
            server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        server.setExecutor(threads);
        server.createContext("/", this::take);
        server.start();
    }

    public String baseUrl() { return "http://127.0.0.1:" + server.getAddress().getPort() + "/v1"; }

    /** Returns the idempotency keys of the creates, in the order in which they came. */
    public List<String> keys() { return keys; }

    private void take(HttpExchange exchange) throws IOException {
        var request = request(exchange);
        boolean isCreate = exchange.getRequestMethod().equals("POST")
            && exchange.getRequestURI().getPath().endsWith("/batches");
        if (isCreate) keys.add(exchange.getRequestHeaders().getFirst("Idempotency-Key"));
        if (!isCreate || keys.size() > 1) {
            pass(exchange, send(request));
            return;
        }
        if (!hold.isNegative()) clock.schedule(() -> land(request), hold.toMillis(), TimeUnit.MILLISECONDS);
        if (status > 0) exchange.sendResponseHeaders(status, -1);
        exchange.close();
    }

    private void land(HttpRequest request) {
        send(request);
        landed.countDown();
    }

    /** Waits until the held create has reached the server. */
    public void awaitLanding() {
        try {
            if (!landed.await(1, TimeUnit.MINUTES)) throw new IllegalStateException("the create never landed");
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    private HttpRequest request(HttpExchange exchange) throws IOException {
        var request = HttpRequest.newBuilder(URI.create(target + exchange.getRequestURI()))
            .method(exchange.getRequestMethod(), BodyPublishers.ofByteArray(exchange.getRequestBody().readAllBytes()));
        for (var name : List.of("Content-Type", "Authorization", "Range")) {
            var value = exchange.getRequestHeaders().getFirst(name);
            if (value != null) request.header(name, value);
        }
        return request.build();
    }

    private static HttpResponse<byte[]> send(HttpRequest request) {
        try {
            return HTTP.send(request, BodyHandlers.ofByteArray());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    private static void pass(HttpExchange exchange, HttpResponse<byte[]> response) throws IOException {
        response.headers().firstValue("Content-Type")
            .ifPresent(type -> exchange.getResponseHeaders().set("Content-Type", type));
        exchange.sendResponseHeaders(response.statusCode(), response.body().length == 0 ? -1 : response.body().length);
        if (response.body().length > 0) exchange.getResponseBody().write(response.body());
        exchange.close();
    }

    @Override public void close() {
        server.stop(0);
        clock.shutdownNow();
        threads.shutdownNow();
    }
}
