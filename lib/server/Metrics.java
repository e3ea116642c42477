package sheaf.server;

import io.prometheus.metrics.core.datapoints.CounterDataPoint;
import io.prometheus.metrics.core.metrics.Counter;
import io.prometheus.metrics.core.metrics.GaugeWithCallback;
import io.prometheus.metrics.core.metrics.Histogram;
import io.prometheus.metrics.expositionformats.ExpositionFormats;
import io.prometheus.metrics.model.registry.PrometheusRegistry;
import io.prometheus.metrics.model.snapshots.Unit;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Supplier;
import java.util.stream.Collectors;

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

    /** A number for each value of a label, asked for with each look; without a label (null) for "". */
    private record Gauge(String name, String help, String label, Supplier<Map<String, ? extends Number>> numbers) {
    }

    /** All figures in a text format, and the type of that. */
    record Report(String type, byte[] text) {
    }

    private final List<Gauge> gauges = new ArrayList<>();
    private final List<String> engines;
    private Series series;           // null before the first request, so that the start of a server need not wait

    /** @param engines that figures are told apart by; none if there is only one */
    Metrics(List<String> engines) { this.engines = engines; }

    /** Shows a number for each value of a label, asked for with each look. */
    void show(String name, String help, String label, Supplier<Map<String, ? extends Number>> numbers) {
        gauges.add(new Gauge(name, help, label, numbers));
    }

    private synchronized Series series() {
        if (series == null) series = new Series(gauges, engines);
        return series;
    }

    /** Counts a request of a batch that came to this outcome, with the tokens of its answer. */
    void countRequest(String outcome, long inputTokens, long outputTokens) {
        series().outcomes.get(outcome).inc();
        series().inputTokens.inc(inputTokens);
        series().outputTokens.inc(outputTokens);
    }

    void countUpload(long bytes) { series().uploadBytes.inc(bytes); }

    /** Counts a response, and how long it took; the route is the pattern of a path, never the path itself. */
    void countResponse(String method, String route, int status, long began) {
        series().http.labelValues(METHODS.contains(method) ? method : "_OTHER", route, String.valueOf(status))
            .observe(secondsSince(began));
    }

    /** Counts a try at the engine that began at this time of {@link System#nanoTime}. */
    void countTry(String engine, String outcome, long began) {
        var labels = engines.isEmpty() ? new String[] {outcome} : new String[] {engine, outcome};
        series().engine.labelValues(labels).observe(secondsSince(began));
    }

    private static double secondsSince(long nanoTime) { return (System.nanoTime() - nanoTime) / 1e9; }

    /** Returns all figures in the format that a client accepts: Prometheus' own, or OpenMetrics. */
    Report report(String accepted) throws IOException { return series().report(accepted); }

    /** The figures themselves. */
    private static final class Series {
        private static final double[] HTTP_SECONDS = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60, 600};
        private static final double[] ENGINE_SECONDS = {.05, .1, .25, .5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640};

        private final PrometheusRegistry registry = new PrometheusRegistry();
        private final ExpositionFormats formats = ExpositionFormats.init();
        private final Counter requests = counter("sheaf_requests",
            "requests of batches that have got their line in a file, by what became of them", "outcome");
        private final Counter tokens = counter("sheaf_tokens", "tokens that the engine has counted in batches", "type");
        private final Map<String, CounterDataPoint> outcomes = BatchObject.OUTCOMES.stream()
            .collect(Collectors.toMap(outcome -> outcome, requests::labelValues));
        private final CounterDataPoint inputTokens = tokens.labelValues("input");
        private final CounterDataPoint outputTokens = tokens.labelValues("output");
        private final CounterDataPoint uploadBytes = Counter.builder().name("sheaf_upload_bytes")
            .help("bytes of files and of parts of files that were taken").withoutExemplars().register(registry)
            .labelValues();
        private final Histogram http = seconds("http_server_request_duration_seconds",
            "time from an HTTP request to the end of its response", HTTP_SECONDS, "http_request_method", "http_route",
            "http_response_status_code");
        private final Histogram engine;

        private Series(List<Gauge> gauges, List<String> engines) {
            engine = seconds("sheaf_engine_request_duration_seconds",
                "time of each try to get an answer from the engine behind the server", ENGINE_SECONDS,
                engines.isEmpty() ? new String[] {"outcome"} : new String[] {"engine", "outcome"});
            if (engines.isEmpty()) TRIES.forEach(engine::initLabelValues);
            for (var each : engines) TRIES.forEach(outcome -> engine.initLabelValues(each, outcome));
            gauges.forEach(this::show);
        }

        private Counter counter(String name, String help, String label) {
            return Counter.builder().name(name).help(help).labelNames(label).withoutExemplars().register(registry);
        }

        private Histogram seconds(String name, String help, double[] bounds, String... labels) {
            return Histogram.builder().name(name).unit(Unit.SECONDS).help(help).labelNames(labels).classicOnly()
                .classicUpperBounds(bounds).withoutExemplars().register(registry);
        }

        private void show(Gauge gauge) {
            var labels = gauge.label == null ? new String[0] : new String[] {gauge.label};
            GaugeWithCallback.builder().name(gauge.name).help(gauge.help).labelNames(labels)
                .callback(callback -> gauge.numbers.get().forEach((value, number) ->
                    callback.call(number.doubleValue(), labels.length == 0 ? labels : new String[] {value})))
                .register(registry);
        }

        private Report report(String accepted) throws IOException {
            // of Prometheus' binary format, which a server may prefer, the library has no writer without another one
            var writer = formats.findWriter(accepted == null ? null : accepted.replace("protobuf", ""));
            var text = new ByteArrayOutputStream();
            writer.write(text, registry.scrape());
            return new Report(writer.getContentType(), text.toByteArray());
        }
    }
}
