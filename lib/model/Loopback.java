package sheaf.model;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executors;

/** An HTTP server that only this machine reaches, for a handler of calls. It does not know what is asked. */
final class Loopback {
    private static final ObjectMapper JSON = new ObjectMapper();

    private Loopback() { }

    /** A request: its method, path and body. */
    record Call(String method, String path, byte[] body) { }

    /** A response: HTTP's status, and a body that is JSON. */
    record Reply(int status, byte[] body) {
        static Reply ok(Object json) throws IOException { return new Reply(200, JSON.writeValueAsBytes(json)); }

        static Reply of(Refusal refusal) { return new Reply(refusal.status(), refusal.body()); }
    }

    /** What answers a call, or throws a {@link Refusal}. */
    interface Handler {
        Reply answer(Call call) throws IOException;
    }

    /** Takes a port, 0 for a free one. Calls wait until {@link #serve}. */
    static HttpServer bind(int port) throws IOException {
        return HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 0);
    }

    /** Serves on daemon threads only: the server's dispatcher inherits that from the thread that starts it. */
    static void serve(HttpServer server, Handler handler) {
        var threads = Executors.newCachedThreadPool(Loopback::daemon);
        server.createContext("/", exchange -> respond(exchange, handler));
        server.setExecutor(threads);
        CompletableFuture.runAsync(server::start, threads).join();
    }

    /** Returns a thread that keeps no JVM from ending. */
    static Thread daemon(Runnable task) {
        var thread = new Thread(task, "sheaf-local-model");
        thread.setDaemon(true);
        return thread;
    }

    private static void respond(HttpExchange exchange, Handler handler) throws IOException {
        try (exchange) {
            byte[] body = exchange.getRequestBody().readAllBytes();
            var call = new Call(exchange.getRequestMethod(), exchange.getRequestURI().getPath(), body);
            var reply = reply(call, handler);
            exchange.getResponseHeaders().set("Content-Type", "application/json");
            if (reply.status() >= 500)   // what could be tried again has been
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
}
