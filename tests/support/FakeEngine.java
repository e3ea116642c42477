package sheaf.support;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetSocketAddress;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicInteger;

/** An engine on this machine that has no batches, and the manners of one that many people have. */
public final class FakeEngine implements AutoCloseable {
    private static final ObjectMapper MAPPER = new ObjectMapper();
    public static final String MODEL = "llama3.2";

    /** What an engine says to a model that it does not have, and to a request for which there is no room. */
    public enum Kind {
        OLLAMA("{\"error\":{\"message\":\"model \\\"%s\\\" not found, try pulling it first\",\"type\":\"api_error\","
            + "\"param\":null,\"code\":null}}", "503 {\"error\":{\"message\":\"server busy, please try again.  maximum "
            + "pending requests exceeded\",\"type\":\"api_error\",\"param\":null,\"code\":null}}"),
        VLLM("{\"object\":\"error\",\"message\":\"The model `%s` does not exist.\",\"type\":\"NotFoundError\","
            + "\"param\":null,\"code\":404}", "503 {\"object\":\"error\",\"message\":\"queue full\",\"code\":503}"),
        OPENROUTER("{\"error\":{\"message\":\"No endpoints found for %s.\",\"code\":404},\"user_id\":\"user_1\"}",
            "429 {\"error\":{\"message\":\"Provider returned error\",\"code\":429,\"metadata\":{\"raw\":\"%s is "
            + "temporarily rate-limited upstream\",\"provider_name\":\"Fake\"}}}");

        private final String unknown;
        private final String full;

        Kind(String unknown, String full) {
            this.unknown = unknown;
            this.full = full;
        }
    }

    /** An answer to be given in the place of the next one: a status, a body, and headers as name, value, ... */
    public record Instead(int status, String body, String... headers) {}

    private final Kind kind;
    private final int room;                      // requests at once; more are refused
    private final Semaphore slots;               // that work at the same time; other requests wait for one
    private volatile long millis;                // of work for each request
    private final HttpServer http;
    private final ExecutorService threads = Executors.newCachedThreadPool();
    private final AtomicInteger inside = new AtomicInteger();
    private final AtomicInteger most = new AtomicInteger();
    private final Queue<Instead> instead = new ConcurrentLinkedQueue<>();
    private final Queue<String> prompts = new ConcurrentLinkedQueue<>();
    private volatile Instead limit;              // what it says to all once it has answered so many; null: nothing
    private volatile int limited;
    private final Queue<String> keys = new ConcurrentLinkedQueue<>();

    private FakeEngine(Kind kind, int room, int slots, long millis) throws IOException {
        this.kind = kind;
        this.room = room;
        this.slots = new Semaphore(slots, true);
        this.millis = millis;
        this.http = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
        http.setExecutor(threads);
        http.createContext("/v1/models", this::models);
        http.createContext("/v1/chat/completions", this::chat);
        http.start();
    }

    /** Starts one with room for so many requests, of which so many are worked on at once, each for some time. */
    public static FakeEngine start(Kind kind, int room, int slots, long millis) {
        try {
            return new FakeEngine(kind, room, slots, millis);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    public String url() { return "http://127.0.0.1:" + http.getAddress().getPort() + "/v1"; }

    /** Has the next requests answered otherwise. */
    public FakeEngine next(Instead... answers) {
        instead.addAll(List.of(answers));
        return this;
    }

    /** Has all answered otherwise, once so many are answered; null for no more. */
    public FakeEngine limit(int answers, Instead refusal) {
        limited = answers;
        limit = refusal;
        return this;
    }

    /** Has each request take so long. */
    public void slowDown(long millis) { this.millis = millis; }

    /** Returns the prompts that it has answered or works on. */
    public List<String> prompts() { return List.copyOf(prompts); }

    /** Returns what its chats bore as Authorization. */
    public List<String> keys() { return List.copyOf(keys); }

    /** Returns how many requests there were at once. */
    public int most() { return most.get(); }

    private void models(HttpExchange exchange) throws IOException {
        var refusal = limit;
        if (refusal != null && refusal.status == 401) say(exchange, 401, refusal.body);
        else if (refusal != null && refusal.status == 403 && limited == 0) say(exchange, 403, refusal.body);
        else say(exchange, 200, "{\"object\":\"list\",\"data\":[{\"id\":\"" + MODEL
            + "\",\"object\":\"model\",\"created\":1,\"owned_by\":\"library\"}]}");
    }

    private void chat(HttpExchange exchange) throws IOException {
        var body = MAPPER.readTree(exchange.getRequestBody());
        keys.add(String.valueOf(exchange.getRequestHeaders().getFirst("Authorization")));
        int now = inside.incrementAndGet();
        try {
            most.accumulateAndGet(now, Math::max);
            answer(exchange, body, now);
        } catch (InterruptedException closing) {
            exchange.close();
        } finally {
            inside.decrementAndGet();
        }
    }

    private void answer(HttpExchange exchange, JsonNode body, int now) throws IOException, InterruptedException {
        var model = body.path("model").asText();
        var other = instead.poll();
        var refusal = limit;
        if (refusal != null && prompts.size() >= limited) say(exchange, refusal.status, refusal.body, refusal.headers);
        else if (other != null) say(exchange, other.status, other.body, other.headers);
        else if (now > room) say(exchange, kind.full.replace("%s", model));
        else if (!model.equals(MODEL)) say(exchange, 404, kind.unknown.replace("%s", model));
        else work(exchange, body);
    }

    private void work(HttpExchange exchange, JsonNode body) throws IOException, InterruptedException {
        var prompt = body.at("/messages").path(body.at("/messages").size() - 1).path("content").asText();
        prompts.add(prompt);
        slots.acquire();
        try {
            Thread.sleep(millis);
        } finally {
            slots.release();
        }
        var answer = MAPPER.createObjectNode().put("id", "chatcmpl-1").put("object", "chat.completion")
            .put("model", body.path("model").asText());
        answer.putArray("choices").addObject().put("index", 0).put("finish_reason", "stop").putObject("message")
            .put("role", "assistant").put("content", "re: " + prompt);
        answer.putObject("usage").put("prompt_tokens", 3).put("completion_tokens", 2).put("total_tokens", 5);
        say(exchange, 200, answer.toString());
    }

    private static void say(HttpExchange exchange, String statusAndBody) throws IOException {
        say(exchange, Integer.parseInt(statusAndBody.substring(0, 3)), statusAndBody.substring(4));
    }

    private static void say(HttpExchange exchange, int status, String body, String... headers) throws IOException {
        for (int i = 0; i + 1 < headers.length; i += 2) exchange.getResponseHeaders().set(headers[i], headers[i + 1]);
        var bytes = body.getBytes(UTF_8);
        exchange.sendResponseHeaders(status, bytes.length);
        exchange.getResponseBody().write(bytes);
        exchange.close();
    }

    @Override public void close() {
        http.stop(0);
        threads.shutdownNow();
    }
}
