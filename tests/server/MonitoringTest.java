package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.support.RawClient.await;
import static sheaf.support.RawClient.json;
import static sheaf.support.RawClient.lines;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.support.RawClient;

/** What those hear who watch over a server. */
class MonitoringTest {
    @AutoClose BatchServer server = BatchServer.options().concurrency(1).start();
    final RawClient client = new RawClient(() -> server.baseUrl());

    @Test void aServerThatIsWellSaysSoWithoutAKey() {
        restart(BatchServer.options().apiKey("secret"));

        var health = get("/health", "");

        assertEquals(200, health.statusCode());
        var store = health.headers().firstValue("x-sheaf-store").orElseThrow();
        assertEquals("{\"status\":\"ok\",\"store\":\"" + store + "\",\"engine\":\"reachable\"}", text(health));
        assertEquals("", health.headers().firstValue("x-sheaf-engine").orElse(""));
    }

    @Test void aStoreThatCannotBeWrittenIsNotWell(@TempDir Path folder) throws IOException {
        var store = folder.resolve("store");
        restart(BatchServer.options().store(store));
        Files.delete(store.resolve("uploads"));

        var health = get("/health", "");

        assertEquals(503, health.statusCode());
        assertEquals("{\"status\":\"failing\",\"store\":\"" + json(health).get("store").asText()
            + "\",\"engine\":\"reachable\",\"reason\":\"The store cannot be written.\"}", text(health));
        Files.createDirectory(store.resolve("uploads"));
        assertEquals(200, get("/health", "").statusCode());
    }

    /** The server takes batches all the same, so a restart would help nobody. */
    @Test void anEngineThatIsAwayIsToldOfAndNoFault() throws Exception {
        try (var engine = StubEngine.start((path, body) -> "200 {}")) {
            restart(BatchServer.options().engine(engine.baseUrl()));
            await(() -> json(get("/health", "")).get("engine").asText().equals("reachable"));
        }
        restart(BatchServer.options().engine("http://127.0.0.1:1/v1"));

        assertEquals("unknown", json(get("/health", "")).get("engine").asText());
        await(() -> json(get("/health", "")).get("engine").asText().equals("unreachable"));

        assertEquals(200, get("/health", "").statusCode());
        assertEquals("0.0", figures().get("sheaf_engine_up"));
    }

    @Test void figuresAreThoseOfWhatHappened() {
        server.answer(body -> body.toString().contains("two") ? BatchServer.Reply.error(400, "bad", "No.")
            : BatchServer.Reply.text("one more word"));
        client.finishedBatch(client.create(lines("one", "two")));
        client.finishedBatch(client.create("{}\n"));
        server.pause();
        var waiting = client.create(lines("a", "b", "c"));
        await(() -> client.counted(waiting, "total") == 3);

        var figures = figures();

        assertEquals("1.0", figures.get("sheaf_batches{status=\"completed\"}"));
        assertEquals("1.0", figures.get("sheaf_batches{status=\"failed\"}"));
        assertEquals("1.0", figures.get("sheaf_batches{status=\"in_progress\"}"));
        assertEquals("0.0", figures.get("sheaf_batches{status=\"validating\"}"));
        assertEquals("1.0", figures.get("sheaf_requests_total{outcome=\"completed\"}"));
        assertEquals("1.0", figures.get("sheaf_requests_total{outcome=\"failed\"}"));
        assertEquals("0.0", figures.get("sheaf_requests_total{outcome=\"cancelled\"}"));
        assertEquals("3.0", figures.get("sheaf_queued_requests{state=\"waiting\"}"));
        assertEquals("3.0", figures.get("sheaf_tokens_total{type=\"output\"}"));
        int bytes = lines("one", "two").length() + "{}\n".length() + lines("a", "b", "c").length();
        assertEquals(bytes + ".0", figures.get("sheaf_upload_bytes_total"));
        assertEquals("3", figures.get("http_server_request_duration_seconds_count{http_request_method=\"POST\","
            + "http_response_status_code=\"200\",http_route=\"/v1/batches\"}"));

        client.cancel(waiting);
        server.resume();
        client.finishedBatch(waiting);
        figures = figures();
        assertEquals("3.0", figures.get("sheaf_requests_total{outcome=\"cancelled\"}"));
        assertEquals("1.0", figures.get("sheaf_batches{status=\"cancelled\"}"));
        assertEquals("0.0", figures.get("sheaf_queued_requests{state=\"waiting\"}"));
    }

    @Test void batchesOfAnEarlierServerAreCountedAndTheirRequestsAreNot(@TempDir Path folder) {
        restart(BatchServer.options().store(folder.resolve("store")));
        client.finishedBatch(client.create(lines("one")));

        restart(BatchServer.options().store(folder.resolve("store")));

        assertEquals("1.0", figures().get("sheaf_batches{status=\"completed\"}"));
        assertEquals("0.0", figures().get("sheaf_requests_total{outcome=\"completed\"}"));
    }

    @Test void triesAtTheEngineAreTimedByWhatCameOfThem() throws Exception {
        try (var engine = StubEngine.start((path, body) -> "200 {\"choices\":[]}")) {
            restart(BatchServer.options().engine(engine.baseUrl()));
            client.finishedBatch(client.create(lines("one")));
        }

        var name = "sheaf_engine_request_duration_seconds_count{outcome=";
        assertEquals("1", figures().get(name + "\"answered\"}"));
        assertEquals("0", figures().get(name + "\"unreachable\"}"));
    }

    @Test void noClientCanAddValuesToALabel() {
        for (int i = 0; i < 20; i++) {
            client.get("/files/file-" + i);
            client.get("/nothing/" + i);
            client.send("WORD" + i, "/files", new byte[0]);
        }
        var series = figures().keySet().stream().filter(name -> name.contains("_seconds_count{http"))
            .collect(Collectors.toCollection(TreeSet::new));

        var labels = "http_server_request_duration_seconds_count{http_request_method=\"%s\","
            + "http_response_status_code=\"%d\",http_route=\"%s\"}";
        assertTrue(series.contains(String.format(labels, "GET", 404, "/v1/files/{id}")), series.toString());
        assertTrue(series.contains(String.format(labels, "GET", 404, "none")), series.toString());
        assertTrue(series.contains(String.format(labels, "_OTHER", 405, "none")), series.toString());
        assertFalse(series.toString().contains("WORD") || series.size() > 4, series.toString());
    }

    @Test void figuresNeedTheKeyAndComeAsOpenMetricsIfThatIsAsked() {
        var plain = get("/metrics", "");
        assertEquals("text/plain; version=0.0.4; charset=utf-8", plain.headers().firstValue("Content-Type").get());
        var open = get("/metrics", "application/openmetrics-text;version=1.0.0");
        assertEquals("application/openmetrics-text; version=1.0.0; charset=utf-8",
            open.headers().firstValue("Content-Type").get());
        assertTrue(text(open).endsWith("# EOF\n"));
        var binary = get("/metrics", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"
            + "encoding=delimited;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3");
        assertEquals(200, binary.statusCode(), "who collects native histograms asks so");
        assertTrue(text(binary).endsWith("# EOF\n"));

        restart(BatchServer.options().apiKey("secret"));

        assertEquals(401, get("/metrics", "").statusCode());
    }

    @Test void everyDialectHasThem() {
        for (var dialect : BatchServer.Dialect.values()) {
            restart(BatchServer.options().dialect(dialect));
            assertEquals(200, get("/health", "").statusCode(), dialect.toString());
            assertEquals(200, get("/metrics", "").statusCode(), dialect.toString());
        }
    }

    void restart(BatchServer.Options options) {
        server.close();
        server = options.start();
    }

    HttpResponse<byte[]> get(String path, String accepted) {
        var url = URI.create(server.baseUrl()).resolve(path);
        return RawClient.send(HttpRequest.newBuilder(url).header("Accept", accepted));
    }

    static String text(HttpResponse<byte[]> response) { return new String(response.body(), UTF_8); }

    /** Returns each figure by its name and labels. */
    Map<String, String> figures() {
        var figures = new TreeMap<String, String>();
        text(get("/metrics", "")).lines().filter(line -> !line.startsWith("#")).forEach(line ->
            figures.put(line.substring(0, line.lastIndexOf(' ')), line.substring(line.lastIndexOf(' ') + 1)));
        return figures;
    }
}
