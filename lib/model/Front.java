package sheaf.model;

import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Semaphore;
import java.util.concurrent.locks.ReentrantReadWriteLock;

/**
 * One URL, whatever becomes of the engine behind it: passes requests on to the engine's process, and starts another
 * when that one dies. It does not know what the requests say.
 */
final class Front {
    private static final int FAILED_STARTS = 3;   // in a row, then the engine is given up

    private final String model;
    private final int slots;
    private final Engine engine;
    private final HttpServer server;
    private final Semaphore free;   // slots without a request
    private final ReentrantReadWriteLock crowd = new ReentrantReadWriteLock(true);   // write: a request alone
    private EngineProcess process;
    private int failedStarts;
    private boolean closed;

    private Front(String model, int slots, Engine engine, HttpServer server) {
        this.model = model;
        this.slots = slots;
        this.engine = engine;
        this.server = server;
        this.free = new Semaphore(slots);
    }

    /** Starts the engine and returns when it is ready behind a URL. */
    static Front open(String model, int slots, int port, Engine engine) {
        try {
            var front = new Front(model, slots, engine, Loopback.bind(port));
            front.start();
            return front;
        } catch (IOException e) {
            throw new UncheckedIOException("start: cannot listen on port " + port
                + " (" + Failures.reason(e) + "); name another", e);
        }
    }

    private void start() {
        try {
            running();
        } catch (RuntimeException e) {
            server.stop(0);
            throw e;
        }
        Loopback.serve(server, this::answer);
    }

    String baseUrl() { return "http://127.0.0.1:" + server.getAddress().getPort() + "/v1"; }

    private Loopback.Reply answer(Loopback.Call call) throws IOException {
        return switch (call.method() + " " + call.path()) {
            case "GET /health" -> Loopback.Reply.ok(Map.of("status", "ok"));
            case "GET /props" -> Loopback.Reply.ok(Map.of("total_slots", slots));
            case "GET /v1/models" -> Loopback.Reply.ok(models());
            default -> {
                if (!call.method().equals("POST")) throw Refusal.notFound(call.method(), call.path());
                yield forward(call);
            }
        };
    }

    private Map<String, Object> models() {
        var only = Map.of("id", model, "object", "model", "created", 0, "owned_by", "local");
        return Map.of("object", "list", "data", List.of(only));
    }

    private Loopback.Reply forward(Loopback.Call call) throws IOException {
        try {
            free.acquire();
        } catch (InterruptedException e) {
            throw Failures.interrupted();
        }
        try {
            return together(call).orElseGet(() -> alone(call));
        } catch (IllegalStateException e) {
            throw new Refusal(503, "engine_unavailable", null, e.getMessage());
        } finally {
            free.release();
        }
    }

    /** Sends the call along with others; empty if the engine died meanwhile, whichever call was the cause. */
    private Optional<Loopback.Reply> together(Loopback.Call call) {
        crowd.readLock().lock();
        try {
            return running().trySend(call);
        } finally {
            crowd.readLock().unlock();
        }
    }

    /** Sends the call when nothing else runs: if the engine dies again, this call is the cause. */
    private Loopback.Reply alone(Loopback.Call call) {
        crowd.writeLock().lock();
        try {
            var current = running();
            return current.trySend(call).orElseThrow(() -> new Refusal(500, "engine_crashed", null,
                "this request crashed the engine, also when it ran alone (" + current.lastWords() + ")"));
        } finally {
            crowd.writeLock().unlock();
        }
    }

    /** Returns the process that runs; starts one if there is none or the last one died. */
    private synchronized EngineProcess running() {
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
