package sheaf.model;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;

/** Hugging Face on the loopback: one file, in ranges; it may break off once, or redirect once. */
final class Hub {
    final List<String> ranges = new ArrayList<>();   // the headers and paths of the requests that came
    final List<String> paths = new ArrayList<>();
    final List<String> tokens = new ArrayList<>();
    final HttpServer server;
    private final byte[] content;
    private int breakOff = Integer.MAX_VALUE;
    private boolean redirect;

    Hub(byte[] content) {
        this.content = content;
        try {
            server = Ports.listen(0, this::serve);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    String url() { return "http://127.0.0.1:" + server.getAddress().getPort(); }

    void breakOffAfter(int bytes) { breakOff = bytes; }

    void redirectFirst() { redirect = true; }

    private void serve(HttpExchange exchange) throws IOException {
        ranges.add(exchange.getRequestHeaders().getFirst("Range"));
        paths.add(exchange.getRequestURI().getPath());
        tokens.add(exchange.getRequestHeaders().getOrDefault("Authorization", List.of("none")).get(0));
        if (redirect) {
            redirect = false;
            exchange.getResponseHeaders().set("Location", url().replace("127.0.0.1", "localhost") + "/elsewhere");
            Ports.respond(exchange, 302, new byte[0]);
            return;
        }
        int from = Integer.parseInt(ranges.get(ranges.size() - 1).replaceAll("\\D", ""));
        exchange.sendResponseHeaders(206, content.length - from);
        int length = Math.min(content.length - from, breakOff);
        breakOff = Integer.MAX_VALUE;
        exchange.getResponseBody().write(content, from, length);
        exchange.getResponseBody().flush();
        exchange.close();
    }
}
