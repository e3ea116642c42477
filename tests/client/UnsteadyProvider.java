package sheaf;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.locks.LockSupport;

/** A provider of one output file, over a line that breaks and from a server that cuts, as a test says. */
final class UnsteadyProvider implements AutoCloseable {
    /** How the provider answers one request for the content. */
    interface Answer {
        void to(HttpExchange exchange) throws IOException;
    }

    private final Queue<Answer> script = new ArrayDeque<>();                    // then whole, or the rest
    final List<String> ranges = Collections.synchronizedList(new ArrayList<>());  // asked for; "" is all
    final List<byte[]> uploads = Collections.synchronizedList(new ArrayList<>());
    byte[] content;                                                             // of the file, as it should come
    String size;                                                                // what the file's bytes are said to be
    private final ExecutorService threads = Executors.newCachedThreadPool();
    private final HttpServer stub;

    UnsteadyProvider(byte[] content) throws IOException {
        this.content = content;
        stub = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        stub.setExecutor(threads);
        stub.createContext("/v1/files", this::upload);
        stub.createContext("/v1/batches", exchange -> send(exchange, 200, exchange.getRequestMethod().equals("GET")
            ? "{\"data\":[]}" : batch()));
        stub.createContext("/v1/batches/b", exchange -> send(exchange, 200, batch()));
        stub.createContext("/v1/files/out", exchange -> send(exchange, size == null ? 404 : 200,
            "{\"bytes\":" + size + "}"));
        stub.createContext("/v1/files/out/content", this::content);
        stub.start();
    }

    /** Counts as many answers as the file has. */
    private String batch() {
        var lines = new String(content, UTF_8).lines().count();
        return "{\"id\":\"b\",\"status\":\"completed\",\"output_file_id\":\"out\",\"request_counts\":{\"total\":"
            + lines + ",\"completed\":" + lines + "}}";
    }

    String baseUrl() { return "http://127.0.0.1:" + stub.getAddress().getPort() + "/v1"; }

    /** Breaks off the next upload. */
    void breakUpload() {
        stub.removeContext("/v1/files");
        stub.createContext("/v1/files", exchange -> {
            stub.removeContext("/v1/files");
            stub.createContext("/v1/files", this::upload);
            exchange.getRequestBody().readNBytes(500_000);
            exchange.close();
        });
    }

    private void content(HttpExchange exchange) throws IOException {
        var range = exchange.getRequestHeaders().getFirst("Range");
        ranges.add(range == null ? "" : range);
        var next = script.poll();
        if (next == null) whole(exchange, content.length);
        else next.to(exchange);
    }

    private void upload(HttpExchange exchange) throws IOException {
        boolean lists = exchange.getRequestMethod().equals("GET");
        if (!lists) uploads.add(exchange.getRequestBody().readAllBytes());
        send(exchange, 200, lists ? "{\"data\":[]}" : "{\"id\":\"in\"}");
    }

    /** Answers so the next time, after what was said before. */
    void answer(Answer answer) { script.add(answer); }

    /** Breaks off after so many more bytes. */
    void breakAfter(int bytes) { answer(exchange -> whole(exchange, bytes)); }

    /** Ends after so many bytes as if that was all. */
    void endAfter(int bytes) { answer(exchange -> send(exchange, 200, Arrays.copyOf(content, bytes), bytes)); }

    void answerSlowly() { answer(this::slowly); }

    private void whole(HttpExchange exchange, int most) throws IOException {
        var range = exchange.getRequestHeaders().getFirst("Range");
        int start = range == null ? 0 : Integer.parseInt(range.replaceAll("[^0-9]", ""));
        if (start > 0) exchange.getResponseHeaders().set("Content-Range",
            "bytes " + start + "-" + (content.length - 1) + "/" + content.length);
        int end = Math.min(content.length, start + most);
        send(exchange, start > 0 ? 206 : 200, Arrays.copyOfRange(content, start, end),
            content.length == 0 ? -1 : content.length - start);
    }

    private void slowly(HttpExchange exchange) throws IOException {
        exchange.sendResponseHeaders(200, content.length);
        for (int at = 0; at < content.length; at += 500) {
            exchange.getResponseBody().write(content, at, Math.min(500, content.length - at));
            exchange.getResponseBody().flush();
            LockSupport.parkNanos(90_000_000);
        }
        exchange.close();
    }

    static void send(HttpExchange exchange, int status, String body) throws IOException {
        exchange.getRequestBody().readAllBytes();
        send(exchange, status, body.getBytes(UTF_8), body.length());
    }

    /** Sends bytes; fewer than the length that is announced break off. */
    static void send(HttpExchange exchange, int status, byte[] body, int length) throws IOException {
        exchange.sendResponseHeaders(status, length);
        if (length >= 0) exchange.getResponseBody().write(body);
        exchange.getResponseBody().flush();
        exchange.close();
    }

    static byte[] lines(List<String> texts) {
        var lines = new StringBuilder();
        for (int i = 0; i < texts.size(); i++)
            lines.append("{\"custom_id\":\"request-").append(i + 1)
                .append("\",\"response\":{\"status_code\":200,\"body\":{\"choices\":[{\"message\":{\"content\":\"")
                .append(texts.get(i)).append("\"},\"finish_reason\":\"stop\"}]}}}\n");
        return lines.toString().getBytes(UTF_8);
    }

    @Override public void close() {
        stub.stop(0);
        threads.shutdownNow();
    }
}
