package sheaf.server;

import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * What those ask who watch over a server: whether it is well, and its figures. Whether it is well is told to everybody,
 * as a load balancer has no key; the figures only to who has the key, if there is one.
 */
final class Monitoring {
    private final Store store;
    private final Engine engine;
    private final Metrics metrics;

    Monitoring(Store store, Engine engine, Runner runner, Metrics metrics) {
        this.store = store;
        this.engine = engine;
        this.metrics = metrics;
        metrics.show("sheaf_batches", "batches in the store", "status", this::batches);
        metrics.show("sheaf_queued_requests", "requests of batches that have no answer yet", "state", runner::queue);
        metrics.show("sheaf_engine_up", "whether the engine was there when last asked: 1, 0, or NaN before that",
            engine.contacts().isEmpty() ? null : "engine", this::up);
    }

    private Map<String, Integer> batches() {
        var counts = new LinkedHashMap<String, Integer>();
        BatchObject.STATUSES.forEach(status -> counts.put(status, 0));
        counts.putAll(store.statuses());
        return counts;
    }

    private Map<String, Double> up() {
        var contacts = engine.contacts().isEmpty() ? Map.of("", engine.contact()) : engine.contacts();
        var up = new LinkedHashMap<String, Double>();
        contacts.forEach((name, contact) -> up.put(name, up(contact)));
        return up;
    }

    private static double up(String contact) {
        if (contact.equals("unknown")) return Double.NaN;
        return contact.equals("reachable") ? 1 : 0;
    }

    /** Answers 200 as long as files and batches can be kept; an engine that is away is waited for, and only told of. */
    void health(Call call) {
        boolean usable = store.isUsable();
        var health = Json.object().put("status", usable ? "ok" : "failing").put("store", store.id)
            .put("engine", engine.contact());
        if (!usable) health.put("reason", "The store cannot be written.");
        call.send(usable ? 200 : 503, health);
    }

    /** Answers in Prometheus' text format, or in OpenMetrics if that is asked for. */
    void metrics(Call call) throws IOException {
        var report = metrics.report(call.header("Accept"));
        call.send(200, report.type(), report.text());
    }
}
