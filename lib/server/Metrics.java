package sheaf.server;

import io.prometheus.metrics.core.datapoints.CounterDataPoint;
import io.prometheus.metrics.core.metrics.Counter;
import io.prometheus.metrics.core.metrics.GaugeWithCallback;
import io.prometheus.metrics.core.metrics.Histogram;
import io.prometheus.metrics.expositionformats.ExpositionFormatWriter;
import io.prometheus.metrics.expositionformats.ExpositionFormats;
import io.prometheus.metrics.model.registry.PrometheusRegistry;
import io.prometheus.metrics.model.snapshots.Unit;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Supplier;

/**
 * What a server has done since its start and has still to do, as Prometheus reads it. Each label has few values, which
 * no client can add to. It knows neither requests nor batches, and a look at it asks no store.
 *
 * @see <a href="https://opentelemetry.io/docs/specs/semconv/http/http-metrics/">The names of HTTP metrics</a>
 */
final class Metrics {
    static final List<String> TRIES =
        List.of("answered", "refused", "failed", "timed_out", "unreachable", "overloaded");
    private static final Set<String> METHODS = Set.of("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH");
    private static final double[] HTTP_SECONDS = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60, 600};
    private static final double[] ENGINE_SECONDS = {.05, .1, .25, .5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640};

    private final PrometheusRegistry registry = new PrometheusRegistry();
    private final ExpositionFormats formats = ExpositionFormats.init();
    private final Counter requests = counter("sheaf_requests", "requests of batches that were answered, or never will",
        "outcome", BatchObject.OUTCOMES);
    private final Counter tokens = counter("sheaf_tokens", "tokens that the engine counted in requests of batches",
        "type", List.of("input", "output"));
    private final CounterDataPoint uploadBytes = Counter.builder().name("sheaf_upload_bytes")
        .help("bytes of files and of parts of files that were taken").withoutExemplars().register(registry)
        .labelValues();
    private final Histogram http = Histogram.builder().name("http_server_request_duration_seconds").unit(Unit.SECONDS)
        .help("time from an HTTP request to the end of its response")
        .labelNames("http_request_method", "http_route", "http_response_status_code")
        .classicOnly().classicUpperBounds(HTTP_SECONDS).withoutExemplars().register(registry);
    private final Histogram engine = Histogram.builder().name("sheaf_engine_request_duration_seconds")
        .unit(Unit.SECONDS).help("time of each try to get an answer of the engine behind the server")
        .labelNames("outcome").classicOnly().classicUpperBounds(ENGINE_SECONDS).withoutExemplars().register(registry);

    Metrics() { TRIES.forEach(engine::initLabelValues); }

    private Counter counter(String name, String help, String label, List<String> values) {
        var counter = Counter.builder().name(name).help(help).labelNames(label).withoutExemplars().register(registry);
        values.forEach(counter::initLabelValues);
        return counter;
    }

    /** Shows a number for each value of a label, asked for with each look. */
    void show(String name, String help, String label, Supplier<Map<String, ? extends Number>> numbers) {
        GaugeWithCallback.builder().name(name).help(help).labelNames(label).callback(callback ->
            numbers.get().forEach((value, number) -> callback.call(number.doubleValue(), value))).register(registry);
    }

    /** Shows one number, asked for with each look. */
    void show(String name, String help, Supplier<? extends Number> number) {
        GaugeWithCallback.builder().name(name).help(help)
            .callback(callback -> callback.call(number.get().doubleValue())).register(registry);
    }

    /** Counts a request of a batch that came to this outcome, with the tokens of its answer. */
    void countRequest(String outcome, long inputTokens, long outputTokens) {
        requests.labelValues(outcome).inc();
        tokens.labelValues("input").inc(inputTokens);
        tokens.labelValues("output").inc(outputTokens);
    }

    void countUpload(long bytes) { uploadBytes.inc(bytes); }

    /** Counts a response, and how long it took; the route is the pattern of a path, never the path itself. */
    void countResponse(String method, String route, int status, long began) {
        http.labelValues(METHODS.contains(method) ? method : "_OTHER", route, String.valueOf(status))
            .observe(secondsSince(began));
    }

    /** Counts a try at the engine that began at this time of {@link System#nanoTime}. */
    void countTry(String outcome, long began) { engine.labelValues(outcome).observe(secondsSince(began)); }

    private static double secondsSince(long nanoTime) { return (System.nanoTime() - nanoTime) / 1e9; }

    /** Returns who writes what a client accepts: Prometheus' text format, or OpenMetrics. */
    ExpositionFormatWriter writer(String accepted) { return formats.findWriter(accepted); }

    PrometheusRegistry registry() { return registry; }
}
