package sheaf.support;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.ArrayDeque;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/** Says to each route what a test wrote down, word for word, and keeps what it hears: any provider, however odd. */
public class ScriptedServer implements AutoCloseable {
    /** An answer of status 0 is none: the connection is closed. */
    public record Answer(int status, byte[] body, Map<String, String> headers) {
        public static Answer status(int status) {
            var error = "{\"error\":{\"message\":\"status " + status + "\"}}";
            return new Answer(status, error.getBytes(UTF_8), Map.of());
        }

        /** Anything but an answer is the body of one that is right. */
        public static Answer of(Object said) {
            return said instanceof Answer answer ? answer : new Answer(200, said.toString().getBytes(UTF_8), Map.of());
        }

        public Answer header(String name, String value) { return new Answer(status, body, Map.of(name, value)); }
    }

    /** One request; its body is text of one char a byte, so that no byte is lost. */
    public record Heard(String route, String query, String body, long nanos) {}

    private final Map<String, Queue<Answer>> script = new ConcurrentHashMap<>();
    private final List<Heard> heard = new CopyOnWriteArrayList<>();
    private final HttpServer server;

    public ScriptedServer() {
        try {
            server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        server.createContext("/", this::answer);
        server.start();
    }

    /** Answers a route such as {@code GET /files}, whatever stands before it, with these; the last one stays. */
    public ScriptedServer on(String route, Object... answers) {
        script.put(route, new ArrayDeque<>(Stream.of(answers).map(Answer::of).toList()));
        return this;
    }

    public String baseUrl(String path) { return "http://127.0.0.1:" + server.getAddress().getPort() + path; }

    public List<Heard> heard(String route) {
        return heard.stream().filter(request -> request.route().contains(route) || plain(request).equals(route))
            .toList();
    }

    /** Returns the milliseconds between the requests for a route. */
    public List<Long> gaps(String route) {
        var requests = heard(route);
        return IntStream.range(1, requests.size())
            .mapToObj(i -> (requests.get(i).nanos() - requests.get(i - 1).nanos()) / 1_000_000).toList();
    }

    /** Returns the content of the file in a form. */
    public static String file(Heard upload) {
        return new String(upload.body().split("name=\"file\"", 2)[1].split("\r\n\r\n", 2)[1].split("\r\n--", 2)[0]
            .getBytes(ISO_8859_1), UTF_8);
    }

    private static String plain(Heard request) {
        return request.route().replaceFirst(" .*?/(files|batches|models)", " /$1");
    }

    private void answer(HttpExchange exchange) throws IOException {
        var request = new Heard(exchange.getRequestMethod() + " " + exchange.getRequestURI().getPath(),
            exchange.getRequestURI().getRawQuery(),
            new String(exchange.getRequestBody().readAllBytes(), ISO_8859_1), System.nanoTime());
        heard.add(request);
        var answers = script.getOrDefault(plain(request), new ArrayDeque<>(List.of(Answer.status(404))));
        send(exchange, answers.size() > 1 ? answers.poll() : answers.peek());
    }

    private static void send(HttpExchange exchange, Answer answer) throws IOException {
        try (exchange) {
            if (answer.status() == 0) return;
            var body = answer.body();
            answer.headers().forEach(exchange.getResponseHeaders()::set);
            exchange.sendResponseHeaders(answer.status(), body.length == 0 ? -1 : body.length);
            if (body.length > 0) exchange.getResponseBody().write(body);       // else it throws, and the connection ends
        }
    }

    @Override public void close() { server.stop(0); }
}
