package sheaf.model;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URLEncoder;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Semaphore;
import java.util.concurrent.locks.ReentrantReadWriteLock;

/**
 * One URL that outlives the engine behind it: requests are passed on to the engine's process, and when that dies
 * another is started. Of a request it knows how an answer is to be drawn, and no more.
 */
final class Gateway {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final int FAILED_STARTS = 3;   // so many in a row, and the engine is given up

    private final Weights weights;
    private final Sampling sampling;
    private final int slots;
    private final Engine engine;
    private final HttpServer server;
    private final Semaphore freeSlots;
    /** A call sent among others holds the read lock, one sent alone the write lock; in the order in which they came. */
    private final ReentrantReadWriteLock sending = new ReentrantReadWriteLock(true);
    private EngineProcess process;
    private int failedStarts;
    private boolean closed;

    private Gateway(Weights weights, int slots, Engine engine, HttpServer server) {
        this.weights = weights;
        this.sampling = weights.sampling();
        this.slots = slots;
        this.engine = engine;
        this.server = server;
        this.freeSlots = new Semaphore(slots);
    }

    /** Starts the engine and returns when it is ready behind a URL. */
    static Gateway open(Weights weights, int slots, int port, Engine engine) {
        try {
            var gateway = new Gateway(weights, slots, engine, Http.bind(port));
            gateway.start();
            return gateway;
        } catch (IOException e) {
            throw new UncheckedIOException("start: cannot listen on port " + port
                + " (" + Machine.reason(e) + "); name another", e);
        }
    }

    private void start() {
        try {
            liveProcess();
        } catch (RuntimeException e) {
            server.stop(0);
            throw e;
        }
        Http.serve(server, Map.of("x-sheaf-engine", identity()), this::answer);
    }

    /** Returns who answers, whatever the port and the program: a server in front tells its clients. */
    private String identity() {
        var name = URLEncoder.encode(weights.name(), UTF_8).replace("+", "%20");   // a file's name may hold all
        return name + " " + weights.fingerprint();
    }

    String baseUrl() { return "http://127.0.0.1:" + server.getAddress().getPort() + "/v1"; }

    private Http.Reply answer(Http.Call call) throws IOException {
        return switch (call.method() + " " + call.path()) {
            case "GET /health" -> Http.Reply.ok(Map.of("status", "ok"));
            case "GET /props" -> Http.Reply.ok(Map.of("total_slots", slots));   // as a llama-server says it
            case "GET /v1/models" -> Http.Reply.ok(models());
            default -> {
                if (!call.method().equals("POST")) throw Http.Refusal.notFound(call);
                yield forward(call);
            }
        };
    }

    private Map<String, Object> models() {
        var only = Map.of("id", weights.name(), "object", "model", "created", 0, "owned_by", "local");
        return Map.of("object", "list", "data", List.of(only));
    }

    private Http.Reply forward(Http.Call call) throws IOException {
        try {
            freeSlots.acquire();
        } catch (InterruptedException e) {
            throw Machine.interrupted();
        }
        try {
            var filled = new Http.Call(call.method(), call.path(), filled(call.body()));
            var reply = sendAmongOthers(filled).orElseGet(() -> sendAlone(filled));
            return named(engine.isLlamaServer() ? new LlamaServer(this::sendAmongOthers).sure(filled, reply) : reply);
        } catch (IllegalStateException e) {
            throw new Http.Refusal(503, "engine_unavailable", null, e.getMessage());
        } finally {
            freeSlots.release();
        }
    }

    /** Has an engine draw as the model's makers recommend, whichever it is; it refuses itself what is no object. */
    private byte[] filled(byte[] body) throws IOException {
        try {
            if (!(JSON.readTree(body) instanceof ObjectNode request)) return body;
            sampling.fill(request);
            return JSON.writeValueAsBytes(request);
        } catch (JsonProcessingException e) {
            return body;
        }
    }

    /** An engine repeats the name that it was asked by, or says a file's; an answer names the model that gave it. */
    private Http.Reply named(Http.Reply reply) throws IOException {
        return reply.status() == 200 ? reply.with("model", weights.name()) : reply;
    }

    /** Sends the call while others run; empty if the engine died meanwhile, whichever call was the cause. */
    private Optional<Http.Reply> sendAmongOthers(Http.Call call) {
        sending.readLock().lock();
        try {
            return liveProcess().trySend(call);
        } finally {
            sending.readLock().unlock();
        }
    }

    /** Sends the call while nothing else runs: if the engine dies again, this call is the cause. */
    private Http.Reply sendAlone(Http.Call call) {
        sending.writeLock().lock();
        try {
            var current = liveProcess();
            return current.trySend(call).orElseThrow(() -> new Http.Refusal(500, "engine_crashed", null,
                "this request crashed the engine, also when it ran alone (" + current.lastWords() + ")"));
        } finally {
            sending.writeLock().unlock();
        }
    }

    /** Returns the process to send to; starts one if there is none or the last one died. */
    private synchronized EngineProcess liveProcess() {
        if (closed) throw new IllegalStateException("the local model was closed");
        if (process == null || !process.isAlive()) process = startProcess();
        return process;
    }

    private EngineProcess startProcess() {
        if (failedStarts == FAILED_STARTS)
            throw new IllegalStateException("the engine failed to start " + FAILED_STARTS + " times in a row");
        failedStarts++;
        var started = engine.start();
        failedStarts = 0;
        return started;
    }

    synchronized void close() {
        closed = true;
        server.stop(0);
        process.end();
    }
}
