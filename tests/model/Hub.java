package sheaf.model;

import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.net.httpserver.Headers;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.regex.Pattern;
import sheaf.support.Ports;

/**
 * Hugging Face on the loopback: one file, in ranges, with its checksum; it may break off once, or redirect once to a
 * host that says nothing of the file.
 */
final class Hub {
    final List<String> ranges = new ArrayList<>();   // the headers and paths of the requests that came
    final List<String> paths = new ArrayList<>();
    final List<String> tokens = new ArrayList<>();
    final HttpServer server;
    private static final Pattern RANGE = Pattern.compile("bytes=(\\d+)-(\\d*)");
    private final byte[] content;
    private String sha256;
    private int breakOff = Integer.MAX_VALUE;
    private boolean redirect;

    Hub(byte[] content) {
        this.content = content;
        this.sha256 = sha256(content);
        try {
            server = Ports.listen(0, this::serve);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    String url() { return "http://127.0.0.1:" + server.getAddress().getPort(); }

    void breakOffAfter(int bytes) { breakOff = bytes; }

    void redirectFirst() { redirect = true; }

    /** Returns what the hub serves, as its own words for it have it. */
    String sha256() { return sha256; }

    void namesNoChecksum() { sha256 = "0123456789"; }

    private void describe(Headers headers) {
        headers.set("X-Linked-Etag", "\"" + sha256 + "\"");
        headers.set("X-Linked-Size", "" + content.length);
    }

    static String sha256(byte[] content) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(content));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }

    private void serve(HttpExchange exchange) throws IOException {
        ranges.add(exchange.getRequestHeaders().getFirst("Range"));
        paths.add(exchange.getRequestURI().getPath());
        tokens.add(exchange.getRequestHeaders().getOrDefault("Authorization", List.of("none")).get(0));
        if (!exchange.getRequestURI().getPath().equals("/elsewhere")) describe(exchange.getResponseHeaders());
        if (redirect) {
            redirect = false;
            exchange.getResponseHeaders().set("Location", url().replace("127.0.0.1", "localhost") + "/elsewhere");
            Ports.respond(exchange, 302, new byte[0]);
            return;
        }
        var range = RANGE.matcher(ranges.get(ranges.size() - 1));
        assertTrue(range.matches());
        int from = Integer.parseInt(range.group(1));
        int to = range.group(2).isEmpty() ? content.length : Math.min(content.length,
            Integer.parseInt(range.group(2)) + 1);
        exchange.sendResponseHeaders(206, to - from);
        int length = Math.min(to - from, breakOff);
        breakOff = Integer.MAX_VALUE;
        exchange.getResponseBody().write(content, from, length);
        exchange.getResponseBody().flush();
        exchange.close();
    }
}
