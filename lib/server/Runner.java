package sheaf.server;

import static java.util.concurrent.TimeUnit.MILLISECONDS;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ThreadFactory;
import java.util.function.Consumer;
import sheaf.server.Concurrency.Turns;

/**
 * The batches at work: a thread leads each one, and together they have no more requests at the engine than is allowed.
 * It knows which batches there are, but not what one does.
 */
final class Runner {
    private static final int MAX_ACTIVE = 256;
    static final Duration CLOSING = Duration.ofSeconds(1);     // that threads have to end

    private final Map<String, ActiveBatch> active = new ConcurrentHashMap<>();
    private final ExecutorService leaders = Executors.newCachedThreadPool(daemon("sheaf-batch"));
    private final Store store;
    private final boolean expires;             // whether a batch ends when its window does
    private final ActiveBatch.Shared shared;

    Runner(Settings settings, Store store, Engine engine, Script script, Metrics metrics) {
        int atOnce = settings.answering().most();
        this.store = store;
        this.expires = settings.limits().expires();
        this.shared = new ActiveBatch.Shared(store, engine, settings.limits().dialect(), script,
            new Validation(store, settings.limits(), script), new Turns(atOnce),
            Executors.newFixedThreadPool(atOnce, daemon("sheaf-request")), metrics);
    }

    private static ThreadFactory daemon(String name) {
        return task -> {
            var thread = new Thread(task, name);
            thread.setDaemon(true);
            return thread;
        };
    }

    /** Takes up the batches that an earlier server left. */
    void continueUnfinished() {
        for (var batch : store.unfinishedBatches()) {
            var unfinished = new ActiveBatch(shared, batch, deadline(batch.get("expires_at").longValue() * 1000));
            unfinished.recount();
            lead(unfinished);
        }
    }

    private void lead(ActiveBatch batch) {
        active.put(batch.id(), batch);
        leaders.execute(() -> {
            try {
                batch.lead();
            } finally {
                shared.validation().leaveQueue(batch.id());
                active.remove(batch.id());
            }
        });
    }

    /**
     * Creates a batch as asked, or returns the one that the same request created under this idempotency key, which may
     * be null. The input file is checked by its id before anything is stored.
     */
    synchronized ObjectNode create(ObjectNode asked, String key, byte[] body, Consumer<String> checkInput)
            throws IOException {
        var digest = UUID.nameUUIDFromBytes(body).toString();
        var earlier = store.intent(key);
        if (earlier.isPresent()) return find(earlier.get().batchAskedBy(digest));
        if (active.size() >= MAX_ACTIVE)
            throw Refusal.busy("Too many batches in progress: at most " + MAX_ACTIVE + ".");
        var inputFileId = asked.get("input_file_id").textValue();
        checkInput.accept(inputFileId);
        var id = shared.dialect().newBatchId();
        shared.validation().refuseOverQueue(id, inputFileId, asked.get("endpoint").textValue());
        var asksFor = Manners.duration(asked.get("completion_window").textValue());
        var window = Optional.ofNullable(shared.script().window).orElse(asksFor);
        var batch = BatchObject.created(id, asked, store.now(), window);
        store.insertBatch(batch, key, digest);
        lead(new ActiveBatch(shared, batch, deadline(store.millis() + window.toMillis())));
        return batch;
    }

    /** Returns when the requests of a batch stop, in milliseconds since 1970. */
    private long deadline(long millis) { return expires ? millis : Long.MAX_VALUE; }

    ObjectNode find(String id) {
        var running = active.get(id);
        if (running != null) return running.shown();
        return store.find("batch", id)
            .orElseThrow(() -> new Refusal(404, "No batch found with id '" + id + "'.", null, null));
    }

    /** Returns batches, the newest first, after the one with this id, or from the start if it is null. */
    List<ObjectNode> list(String after, int limit) { return list(BatchObject.STATUSES, "", after, limit); }

    /** Returns those of them that have one of these statuses, and this text in what they are called. */
    List<ObjectNode> list(List<String> statuses, String text, String after, int limit) {
        var running = Map.copyOf(active);   // before the store is asked, or a batch that ends meanwhile would be stale
        return store.batches(statuses, text, after, limit).stream().map(batch -> current(batch, running)).toList();
    }

    /** Returns how many requests wait for an answer, and how many of those are at the engine. */
    Map<String, Integer> queue() {
        int unanswered = active.values().stream().mapToInt(ActiveBatch::unanswered).sum();
        int underWay = active.values().stream().mapToInt(ActiveBatch::underWay).sum();
        return Map.of("waiting", Math.max(0, unanswered - underWay), "running", underWay);
    }

    private static ObjectNode current(ObjectNode stored, Map<String, ActiveBatch> running) {
        var active = running.get(stored.get("id").textValue());
        return active == null ? stored : active.shown();
    }

    ObjectNode cancel(String id) {
        var running = active.get(id);
        var batch = running != null ? running.cancel() : find(id);
        shared.turns().wake();
        var status = batch.get("status").textValue();
        if (!status.equals("cancelling") && !status.equals("cancelled"))
            throw new Refusal(409, "Cannot cancel a batch with status '" + status + "'.", null, null);
        return batch;
    }

    void pause(boolean paused) { shared.turns().pause(paused); }

    /** Lets batches look again at the clock, and at the status in which a test holds them. */
    void wake() { shared.turns().wake(); }

    /** Starts no further request, and gives those under way some time, because their answers may be paid for. */
    void close(Duration patience) {
        shared.turns().close();
        leaders.shutdown();
        if (!await(leaders, CLOSING) && patience.compareTo(CLOSING) > 0) {
            System.err.println("stop: waits up to " + patience.toSeconds() + " s for " + queue().get("running")
                + " answers under way; those that come later are asked for again at the next start");
            await(leaders, patience.minus(CLOSING));
        }
        stop(leaders);
        stop(shared.workers());
    }

    private static void stop(ExecutorService threads) {
        threads.shutdownNow();
        await(threads, CLOSING);
    }

    /** Waits for the end of threads, and returns whether it came. */
    private static boolean await(ExecutorService threads, Duration patience) {
        try {
            return threads.awaitTermination(patience.toMillis(), MILLISECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return false;
        }
    }
}
