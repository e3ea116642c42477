package sheaf.server;

import static java.util.concurrent.TimeUnit.MILLISECONDS;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeoutException;
import java.util.function.BooleanSupplier;
import sheaf.server.Attempt.Failure;
import sheaf.server.Engine.Answer;

/** An engine behind an OpenAI-compatible URL: when to ask it, how often and how long. It knows no batch. */
final class Upstream implements Engine {
    private static final Duration GLANCE = Duration.ofSeconds(3);      // at an engine, when the server starts
    private static final Duration LISTING = Duration.ofSeconds(30);    // of its models, with all tries
    private static final int FEW_TRIES = 3;
    private static final long CLIENTS_PATIENCE = 5_000;                // milliseconds; a client can try again by itself

    private final HttpClient http = HttpClient.newBuilder()
        .version(HttpClient.Version.HTTP_1_1)        // small servers stumble over an upgrade to HTTP/2
        .connectTimeout(Duration.ofSeconds(10)).build();
    private final String base;
    private final Settings.Answering settings;
    private final Gate gate;
    private final ResponseReader reader;
    private final TokenLimit limit = new TokenLimit();
    private boolean away;

    Upstream(Settings.Answering settings) {
        this.base = settings.engine().replaceFirst("/+$", "");
        this.settings = settings;
        this.gate = new Gate(settings.concurrency());
        this.reader = new ResponseReader(settings.key());
    }

    @Override public Answer models() throws InterruptedException {
        var models = ask(request("/models").GET().build(), LISTING);
        if (models.succeeded() && models.body().path("data") instanceof ArrayNode data)
            settings.models().forEach((name, engineName) -> alias(data, name, engineName));
        return models;
    }

    /** Lists a model under our name for it too, with what the engine says about it. */
    private static void alias(ArrayNode models, String name, String engineName) {
        for (var model : models)
            if (model.path("id").asText().equals(name)) return;
        var unlisted = Json.object().put("id", engineName).put("object", "model").put("created", 0)
            .put("owned_by", "engine");
        var known = models.valueStream().filter(model -> model.path("id").asText().equals(engineName))
            .findFirst().orElse(unlisted);
        models.add(((ObjectNode) known.deepCopy()).put("id", name));
    }

    @Override public Answer answer(String endpoint, JsonNode body) throws InterruptedException {
        if (Echo.isTest(body)) return Echo.tested(endpoint, body);
        long began = System.nanoTime();
        if (!gate.enter(() -> millisSince(began) < settings.timeout().toMillis()))
            return Answer.error(429, "rate_limit_exceeded", "The engine is busy with other requests.");
        Answer answer = null;
        try {
            String word;
            do {
                word = limit.word();
                answer = ask(post(endpoint, body), settings.timeout().minusMillis(millisSince(began)));
            } while (limit.isRefused(body, word, answer));
            return answer;
        } finally {
            gate.leave(began, answer != null && answer.succeeded() ? Failure.NONE : Failure.PASSING);
        }
    }

    @Override public Answer answer(String endpoint, JsonNode body, BooleanSupplier wanted) throws InterruptedException {
        if (Echo.isTest(body)) return Echo.tested(endpoint, body);
        long left = settings.timeout().toMillis();              // without the time at the gate
        int few = 0;
        for (int tries = 1; gate.enter(wanted); tries++) {
            long began = System.nanoTime();
            var word = limit.word();
            var last = passGate(post(endpoint, body), left, began);
            if (limit.isRefused(body, word, last.answer())) continue;
            long pause = last.pause(tries);
            left -= millisSince(began) + pause;
            boolean again = last.failure().isUnavailable() || last.failure() == Failure.PASSING && ++few < FEW_TRIES;
            if (!again || left <= 0) return last.answer();
            sleep(pause, wanted);
        }
        return null;
    }

    private Attempt passGate(HttpRequest request, long millis, long began) throws InterruptedException {
        var failure = Failure.DOWN;
        try {
            var made = send(request, millis);
            failure = made.failure();
            tell(failure == Failure.DOWN, made.answer().message());
            return made;
        } finally {
            gate.leave(began, failure);
        }
    }

    /** Says on stderr that the engine has gone or is back, once each. */
    private synchronized void tell(boolean away, String message) {
        if (this.away != away)
            System.err.println("engine: " + base + " "
                + (away ? withoutSubject(message) + "; its requests wait for it" : "answers again"));
        this.away = away;
    }

    private static void sleep(long millis, BooleanSupplier wanted) throws InterruptedException {
        long began = System.nanoTime();
        for (long left; wanted.getAsBoolean() && (left = millis - millisSince(began)) > 0; )
            Thread.sleep(Math.min(left, Gate.BLINK));
    }

    private static long millisSince(long nanoTime) { return (System.nanoTime() - nanoTime) / 1_000_000; }

    private HttpRequest post(String endpoint, JsonNode body) {
        var sent = Json.bytes(limit.said(withEngineName(body)));
        return request(endpoint.substring("/v1".length())).header("Content-Type", "application/json")
            .POST(HttpRequest.BodyPublishers.ofByteArray(sent)).build();
    }

    private HttpRequest.Builder request(String path) {
        var request = HttpRequest.newBuilder(URI.create(base + path));
        return settings.key() == null ? request : request.header("Authorization", "Bearer " + settings.key());
    }

    private JsonNode withEngineName(JsonNode body) {
        var engineName = settings.models().get(body.path("model").asText());
        return engineName == null ? body : ((ObjectNode) body.deepCopy()).put("model", engineName);
    }

    /** Asks for a client that waits: a few times, and no longer than it takes the client to ask again itself. */
    private Answer ask(HttpRequest request, Duration timeout) throws InterruptedException {
        long began = System.nanoTime();
        for (int tries = 1; ; tries++) {
            var last = send(request, timeout.toMillis() - millisSince(began));
            long pause = last.pause(tries);
            if (last.failure() == Failure.NONE || last.failure() == Failure.SLOW || tries == FEW_TRIES
                || pause > CLIENTS_PATIENCE || pause >= timeout.toMillis() - millisSince(began))
                return last.answer();
            Thread.sleep(pause);
        }
    }

    private Attempt send(HttpRequest request, long millis) throws InterruptedException {
        var sent = http.sendAsync(request, answer -> new Attempt.BoundedBody());
        try {
            return reader.read(sent.get(millis, MILLISECONDS));
        } catch (TimeoutException e) {
            return Attempt.timedOut(settings.timeout());
        } catch (ExecutionException e) {
            return Attempt.failed(e.getCause());
        } finally {
            sent.cancel(true);
        }
    }

    @Override public String state() throws InterruptedException { return base + " " + glance(); }

    private String glance() throws InterruptedException {
        var models = send(request("/models").GET().build(), GLANCE.toMillis()).answer();
        away = models.status() == 0;
        if (models.succeeded()) return "answers";
        if (away) return absence(models) + "; its requests wait for it";
        var hints = Map.of(404, "; should it end in /v1?", 401, "; its key is --engine-key or SHEAF_ENGINE_KEY");
        return "answers " + models.status() + " to GET /models" + hints.getOrDefault(models.status(), "");
    }

    private static String absence(Answer models) {
        if ("request_timeout".equals(models.code()))
            return "does not answer (nothing within " + Attempt.brief(GLANCE) + ")";
        return withoutSubject(models.message());
    }

    /** Returns what a message says of the engine, for a sentence that names it by its URL. */
    private static String withoutSubject(String message) { return message.replaceAll("^The engine |\\.$", ""); }

    @Override public String toString() { return base; }
}
