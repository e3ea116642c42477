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
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.RunnableFuture;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Supplier;

/**
 * Something between a client and a server that holds creates, while the client hears what a test says. It drops
 * Idempotency-Key, as if the provider did not know it, and what tells that the server is one of ours.
 */
public final class HoldingProxy implements AutoCloseable {
    private static final HttpClient HTTP = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
    /** Headers of one connection, of a length that the next hop counts itself, and those that tell who answers. */
    private static final Set<String> OWN_HEADERS = Set.of("connection", "content-length", "date", "transfer-encoding",
        "x-sheaf-store", "x-sheaf-engine");
    private final HttpServer server;
    private final ExecutorService threads = Executors.newCachedThreadPool();
    private final ScheduledExecutorService clock = Executors.newScheduledThreadPool(4);
    private final String target;
    private final Supplier<Hold> holds;
    private final List<String> keys = new CopyOnWriteArrayList<>();
    private final List<Future<HttpResponse<byte[]>>> landings = new CopyOnWriteArrayList<>();

    /**
     * What becomes of a create.
     * @param time after which it reaches the server, if {@link #land} does not send it there before; negative: never
     * @param status that the client hears at once; 0: the connection is closed; {@link #WAITS}: nothing, and the
     *        server's answer when that comes
     */
    public record Hold(Duration time, int status) {
        public static final int WAITS = -1;
        public static final Duration UNTIL_TOLD = Duration.ofDays(1);
    }

    /** Holds the first create before a server of this URL for so long; its client hears the status at once. */
    public HoldingProxy(String baseUrl, Duration hold, int status) {
        this(baseUrl, onlyFirst(new Hold(hold, status)));
    }

    /** Asks for each create before a server of this URL whether it is held; null: it is passed on at once. */
    public HoldingProxy(String baseUrl, Supplier<Hold> holds) {
        target = baseUrl.replaceFirst("/v1$", "");
        this.holds = holds;
        try {
            server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        server.setExecutor(threads);
        server.createContext("/", this::take);
        server.start();
    }

    private static Supplier<Hold> onlyFirst(Hold hold) {
        Iterator<Hold> first = List.of(hold).iterator();
        return () -> first.hasNext() ? first.next() : null;
    }

    public String baseUrl() { return "http://127.0.0.1:" + server.getAddress().getPort() + "/v1"; }

    /** Returns the idempotency keys of the creates, in the order in which they came. */
    public List<String> keys() { return keys; }

    private void take(HttpExchange exchange) throws IOException {
        var request = request(exchange);
        boolean isCreate = exchange.getRequestMethod().equals("POST")
            && exchange.getRequestURI().getPath().endsWith("/batches");
        if (isCreate) keys.add(exchange.getRequestHeaders().getFirst("Idempotency-Key"));
        var hold = isCreate ? holds.get() : null;
        if (hold == null) pass(exchange, send(request));
        else hold(exchange, request, hold);
    }

    private void hold(HttpExchange exchange, HttpRequest request, Hold hold) throws IOException {
        if (!hold.time.isNegative()) {
            var landing = clock.schedule(() -> send(request), hold.time.toMillis(), TimeUnit.MILLISECONDS);
            landings.add(landing);
            if (hold.status == Hold.WAITS) pass(exchange, answer(landing));
        }
        if (hold.status > 0) exchange.sendResponseHeaders(hold.status, -1);
        exchange.close();
    }

    private static HttpResponse<byte[]> answer(Future<HttpResponse<byte[]>> landing) {
        try {
            return landing.get();
        } catch (ExecutionException | InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Sends the creates that are held to the server; waits for the first of them. */
    public void land() {
        RawClient.await(() -> !landings.isEmpty());
        for (var landing : landings) ((RunnableFuture<?>) landing).run();
    }

    /** Waits until each create that is held has reached the server. */
    public void awaitLanding() {
        for (var landing : landings) {
            try {
                landing.get(1, TimeUnit.MINUTES);
            } catch (ExecutionException hungUp) {
                // it has reached the server all the same
            } catch (InterruptedException | TimeoutException e) {
                throw new IllegalStateException("the create never landed", e);
            }
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
        response.headers().map().forEach((name, values) -> {
            if (!OWN_HEADERS.contains(name.toLowerCase(Locale.ROOT))) exchange.getResponseHeaders().put(name, values);
        });
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
