package sheaf;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.rows;
import static sheaf.support.RawClient.await;
import static sheaf.support.RawClient.batch;
import static sheaf.support.RawClient.json;
import static sheaf.support.RawClient.lines;
import static sheaf.support.RawClient.names;

import com.fasterxml.jackson.databind.node.ObjectNode;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import sheaf.Sheaf.Batch;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Result;
import sheaf.Vocabulary.Outcome;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Dialect;
import sheaf.support.RawClient;

/** The manners of other providers: what the server says in each, and what Sheaf makes of it. */
@Tag("S28")
class DialectTest {
    @TempDir Path home;
    BatchServer server;
    final RawClient client = new RawClient(() -> server.baseUrl());

    @BeforeEach void setHome() { System.setProperty("SHEAF_HOME", home.toString()); }

    @AfterEach void close() {
        server.close();
        System.clearProperty("SHEAF_HOME");
    }

    @Test void klusterSaysTimesAsTextExceptAtCreation() {
        speak(Dialect.KLUSTER);

        var file = json(client.upload(lines("one").getBytes(UTF_8), "in.jsonl", "batch"));
        var created = json(client.create(batch(file.get("id").asText())));
        var done = client.finishedBatch(created.get("id").asText());

        assertEquals(Set.of("id", "bytes", "created_at", "filename", "object", "purpose"), names(file));
        assertTrue(file.get("created_at").isTextual());
        assertEquals(Set.of("id", "completion_window", "created_at", "endpoint", "input_file_id", "object", "status",
            "cancelled_at", "cancelling_at", "completed_at", "error_file_id", "errors", "expired_at", "expires_at",
            "failed_at", "finalizing_at", "in_progress_at", "metadata", "output_file_id", "request_counts"),
            names(created));
        assertTrue(created.get("created_at").isInt() && created.get("expires_at").isInt());
        assertEquals("{}", created.get("metadata").toString());
        assertTrue(done.get("created_at").isTextual() && done.get("completed_at").isTextual());
        assertTrue(done.get("failed_at").isNull());
        assertTrue(done.get("id").asText().matches("[0-9a-f]{24}"));
        assertEquals(done.get("id").asText() + "-output", done.get("output_file_id").asText());
    }

    @Test void klusterCountsThePagesOfItsOneList() {
        speak(Dialect.KLUSTER);
        client.finished(client.upload(lines("one")));

        var list = json(client.get("/batches?limit=3"));

        assertEquals("1 1 -1 9223372036854775807", list.get("count") + " " + list.get("page") + " "
            + list.get("page_count") + " " + list.get("items_per_page"));
        assertTrue(list.at("/data/0/created_at").isTextual());
        assertEquals(405, client.get("/files").statusCode());
        assertEquals(404, client.get("/files/" + list.at("/data/0/input_file_id").asText()).statusCode());
    }

    @Test void klusterMixesModelsAndLeavesTheErrorOut() {
        speak(Dialect.KLUSTER);
        var lines = lines("one", "two").replaceFirst("\"m\"", "\"other\"");

        var line = client.output(client.finished(client.upload(lines)), "output_file_id").get(0);

        assertEquals(Set.of("id", "custom_id", "response"), names(line));
        assertTrue(line.at("/response/body/choices/0").has("stop_reason"));
        assertTrue(line.at("/response/body/choices/0/message/tool_calls").isArray());
        assertTrue(line.at("/response/body").has("prompt_logprobs"));
    }

    @Test void klusterTakesFewerThanAThousandRequestsInOneOfThreeWindows() {
        speak(Dialect.KLUSTER);
        var file = client.upload(lines("x ".repeat(1_000).split(" ")));

        assertEquals("too_many_tasks", client.finished(file).at("/errors/data/0/code").asText());
        assertEquals(200, client.create(batch(file).put("completion_window", "72h")).statusCode());
        assertEquals(400, client.create(batch(file).put("completion_window", "96h")).statusCode());
    }

    @Test void azureLeavesBlanksAndAnEmptyErrorFile() {
        speak(Dialect.AZURE);
        server.stayIn("validating");

        var created = json(client.create(batch(client.upload(lines("one")))));
        server.resume();
        var done = client.finishedBatch(created.get("id").asText());

        assertTrue(server.baseUrl().endsWith("/openai/v1"));
        assertEquals("\"\" \"\" \"/v1/chat/completions\" 0 null", created.get("output_file_id") + " "
            + created.get("error_file_id") + " " + created.get("endpoint") + " "
            + created.at("/request_counts/completed") + " " + created.get("errors"));
        var errors = done.get("error_file_id").asText();
        assertEquals(0, client.get("/files/" + errors + "/content").body().length);
        assertFalse(client.output(done, "output_file_id").get(0).has("id"));
        assertFalse(json(client.get("/batches")).has("object"));
    }

    @Test void azureHasItsOlderPathsToo() {
        server = BatchServer.options().dialect(Dialect.AZURE).apiKey("secret").start();
        var classic = new RawClient(() -> server.baseUrl().replace("/openai/v1", "/openai"));
        var version = "?api-version=2024-10-21";
        var asked = RawClient.body("hi").<ObjectNode>without("model").toString().getBytes(UTF_8);
        var path = "/deployments/gpt/chat/completions" + version;

        var files = RawClient.send(classic.request("/files" + version).header("api-key", "secret"));
        var answer = json(RawClient.send(classic.request(path).header("api-key", "secret")
            .POST(BodyPublishers.ofByteArray(asked))));

        assertEquals(200, files.statusCode());
        assertEquals("gpt hi", answer.get("model").asText() + " " + answer.at("/choices/0/message/content").asText());
        assertEquals(401, classic.get("/files" + version).statusCode());
        assertEquals(401, RawClient.send(classic.request("/batches").header("api-key", "wrong")).statusCode());
    }

    @Test void azureFailsABatchWithAnotherWindowAndHasItsOwnCodes() {
        speak(Dialect.AZURE);
        var file = client.upload(lines("one"));

        var window = json(client.create(batch(file).put("completion_window", "48h")));
        var mixed = client.finished(client.upload(lines("one", "two").replaceFirst("\"m\"", "\"other\"")));
        var url = client.finished(client.upload(lines("one").replace("/v1/chat", "/chat")));
        var bom = client.finished(client.upload("\uFEFF" + lines("one")));

        assertEquals("failed", client.finishedBatch(window.get("id").asText()).get("status").asText());
        assertEquals("model_mismatch url_mismatch", mixed.at("/errors/data/0/code").asText() + " "
            + url.at("/errors/data/0/code").asText());
        assertEquals("A valid model deployment name couldn't be extracted from the input file.",
            bom.at("/errors/data/0/message").asText());
    }

    @Test void azureTakesEndpointsWithoutAVersionAndNeverExpires() {
        speak(Dialect.AZURE);
        server.pause();
        var file = client.upload(lines("one").replace("/v1/chat", "/chat"));
        var id = json(client.create(batch(file).put("endpoint", "/chat/completions"))).get("id").asText();

        server.advance(Duration.ofDays(3)).resume();

        assertEquals("one", client.texts(client.finishedBatch(id)).get("request-1"));
    }

    @Test void groqHasOneListAndNoStatusOfFiles() {
        speak(Dialect.GROQ);
        var file = json(client.upload(lines("one").getBytes(UTF_8), "in.jsonl", "batch"));
        var id = client.finished(file.get("id").asText()).get("id").asText();

        var list = json(client.get("/batches?limit=1&after=" + id));

        assertFalse(file.has("status"));
        assertEquals(Set.of("object", "data"), names(list));
        assertEquals(id, list.at("/data/0/id").asText());
        assertEquals(200, client.create(batch(file.get("id").asText()).put("completion_window", "7d")).statusCode());
    }

    @Test void togetherWrapsAJobWithCapitalsIsoTimesAndProgress() {
        speak(Dialect.TOGETHER);
        var line = "{\"custom_id\":\"a\",\"body\":{\"model\":\"m\",\"messages\":[]}}\n";

        var file = json(client.form("/files/upload", Map.of("purpose", "batch-api", "file_name", "in.jsonl", "file",
            line))).get("id").asText();
        var created = client.create(batch(file));
        var id = json(created).at("/job/id").asText();
        await(() -> client.found(id).get("status").asText().equals("COMPLETED"));
        var job = client.found(id);

        assertEquals(201, created.statusCode());
        assertEquals("VALIDATING", json(created).at("/job/status").asText());
        assertEquals(Set.of("id", "input_file_id", "output_file_id", "error_file_id", "endpoint", "model_id", "status",
            "progress", "created_at", "completed_at", "job_deadline", "error"), names(job));
        assertEquals(100.0, job.get("progress").asDouble());
        assertTrue(job.get("created_at").asText().matches("\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{6}Z"));
        assertEquals(id, json(client.get("/batches")).at("/0/id").asText());
        assertEquals(404, client.create(batch("file-none")).statusCode());
    }

    @Test void togetherRedirectsAnUploadAndNeedsNoWindow() {
        server = BatchServer.options().dialect(Dialect.TOGETHER).apiKey("secret").start();
        var named = RawClient.send(signed("/files").header("Content-Type", "multipart/form-data; boundary=b")
            .POST(BodyPublishers.ofString("--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch-api\r\n"
                + "--b\r\nContent-Disposition: form-data; name=\"file_name\"\r\n\r\nin.jsonl\r\n--b--\r\n")));
        var id = named.headers().firstValue("X-Together-File-Id").orElseThrow();
        var url = named.headers().firstValue("Location").orElseThrow();
        var early = RawClient.send(signed("/files/" + id + "/preprocess").POST(BodyPublishers.noBody()));

        var put = RawClient.send(HttpRequest.newBuilder(URI.create(url)).PUT(BodyPublishers.ofString(lines("one"))));
        var file = json(RawClient.send(signed("/files/" + id + "/preprocess").POST(BodyPublishers.noBody())));
        var again = json(RawClient.send(signed("/files/" + id + "/preprocess").POST(BodyPublishers.noBody())));
        var created = RawClient.send(signed("/batches").POST(BodyPublishers.ofString("{\"input_file_id\":\"" + id
            + "\",\"endpoint\":\"/v1/chat/completions\"}")));

        assertEquals("302 400 200 201", Stream.of(named, early, put, created).map(HttpResponse::statusCode)
            .map(String::valueOf).collect(Collectors.joining(" ")));
        assertEquals(List.of(id, "in.jsonl", "batch-api", "" + lines("one").length()),
            Stream.of("id", "filename", "purpose", "bytes").map(key -> file.get(key).asText()).toList());
        assertEquals(file, again);
        assertEquals(Set.of("data"), names(json(RawClient.send(signed("/files")))));
        assertEquals(404, RawClient.send(HttpRequest.newBuilder(URI.create(url)).PUT(BodyPublishers.ofString("x")))
            .statusCode());
    }

    HttpRequest.Builder signed(String path) { return client.request(path).header("Authorization", "Bearer secret"); }

    @Test void voyageSaysIsoTimesAndOtherNamesInItsLines() {
        speak(Dialect.VOYAGE);
        server.answer(body -> body.toString().contains("bad") ? BatchServer.Reply.error(400, "x", "too long")
            : BatchServer.Reply.text("good"));
        var file = client.upload(lines("one", "bad"));

        var id = json(client.create(batch(file).put("completion_window", "12h"))).get("id").asText();
        var done = client.finishedBatch(id);

        assertTrue(done.get("created_at").asText().endsWith(".000000Z"));
        assertTrue(done.has("expected_completion_at") && !done.has("expires_at") && !done.has("expired_at"));
        assertTrue(client.output(done, "output_file_id").get(0).has("batch_id"));
        assertEquals("{\"status_code\":400,\"message\":\"too long\"}",
            client.output(done, "error_file_id").get(0).get("response").toString());
    }

    @Test void whatAServerOfAnotherDialectLeftHalfWrittenIsNotShown(@TempDir Path store) throws IOException {
        server = BatchServer.options().store(store).dialect(Dialect.VOYAGE).start();
        server.stayIn("finalizing");
        var id = json(client.create(batch(client.upload(lines("one"))).put("completion_window", "12h"))).get("id")
            .asText();
        await(() -> client.found(id).get("status").asText().equals("finalizing"));
        server.close();
        Files.writeString(store.resolve("files").resolve(id.replace("batch_", "file-output-") + ".shown"), "{\"torn");

        server = BatchServer.options().store(store).start();

        assertEquals(Map.of("request-1", "one"), client.texts(client.finishedBatch(id)));
    }

    @ParameterizedTest
    @EnumSource(names = {"KLUSTER", "AZURE"})
    void aLoneSurrogateEndsNoBatchNorHoldsItUp(Dialect dialect) {
        speak(dialect);

        var texts = client.texts(client.finished(client.upload(lines("\\ud800x"))));

        assertEquals(Map.of("request-1", "\ud800x"), texts);
    }

    @Test void klusterKeepsWhatTheEngineSaid() throws IOException {
        var engine = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
        engine.createContext("/", exchange -> {
            var body = ("{\"choices\":[null,{\"message\":\"plain\"},{\"stop_reason\":\"x\",\"message\":"
                + "{\"tool_calls\":[7]}}]}").getBytes(UTF_8);
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        engine.start();
        server = BatchServer.options().dialect(Dialect.KLUSTER)
            .engine("http://127.0.0.1:" + engine.getAddress().getPort() + "/v1").start();

        var line = client.output(client.finished(client.upload(lines("one"))), "output_file_id").get(0);
        engine.stop(0);

        assertEquals("[7]", line.at("/response/body/choices/2/message/tool_calls").toString());
        assertEquals("x", line.at("/response/body/choices/2/stop_reason").asText());
    }

    @Test void aDialectWithAPrefixAnswersOnlyThere() {
        speak(Dialect.GROQ);
        var bare = new RawClient(() -> server.baseUrl().replace("/openai/v1", "/v1"));

        assertEquals(200, client.get("/files").statusCode());
        assertEquals(404, bare.get("/files").statusCode());
    }

    @Tag("C31")
    @ParameterizedTest
    @EnumSource(Dialect.class)
    void sheafGetsEveryRowInEveryDialect(Dialect dialect) {
        speak(dialect);
        server.shuffleOutput().loseLine("request-4").answer(body ->
            switch (body.at("/messages/0/content").asText()) {
                case "two" -> BatchServer.Reply.error(400, "context_length_exceeded", "too long");
                case "three" -> BatchServer.Reply.error(0, "request_timeout", "no answer");
                default -> BatchServer.Reply.text("yes");
            });

        var results = submitted(dialect, "one", "two", "three", "four", "five").await().results();

        assertEquals(List.of(Outcome.SUCCEEDED, Outcome.ERRORED, Outcome.ERRORED, Outcome.MISSING, Outcome.SUCCEEDED),
            results.stream().map(Result::outcome).toList());
        assertTrue(results.stream().toList().get(1).error().toString().contains("too long"));
        assertEquals("yes", results.stream().toList().get(4).text());
    }

    @Tag("C16")
    @ParameterizedTest
    @EnumSource(Dialect.class)
    void sheafComesBackToABatchInEveryDialect(Dialect dialect) {
        speak(dialect);
        server.pause();
        var id = submitted(dialect, "one", "two").id();

        var again = submitted(dialect, "one", "two");
        var listed = provider(dialect).batches(10);
        server.resume();

        assertEquals(id, again.id());
        assertTrue(listed.toString().contains(id), listed.toString());
        assertEquals(2, again.results().succeeded().size());
        assertEquals(1, server.requests().stream().filter("POST /v1/batches"::equals).count());
    }

    @Tag("C39")
    @ParameterizedTest
    @EnumSource(Dialect.class)
    void sheafCancelsInEveryDialect(Dialect dialect) {
        speak(dialect);
        server.pause();
        var batch = submitted(dialect, "one", "two");

        batch.cancel().await();

        assertEquals("cancelled", batch.status().text());
        assertEquals(Map.of(Outcome.CANCELLED, 2L), batch.results().stream()
            .collect(Collectors.groupingBy(Result::outcome, Collectors.counting())));
    }

    void speak(Dialect dialect) { server = BatchServer.options().dialect(dialect).start(); }

    Batch submitted(Dialect dialect, String... texts) {
        var rows = Stream.of(texts).map(text -> Map.of("text", text)).toList();
        return Sheaf.batch().provider(provider(dialect)).model("m").prompts("{{text}}", rows(rows)).quiet()
            .completionWindow(dialect == Dialect.VOYAGE ? "12h" : "24h").submit();
    }

    Provider provider(Dialect dialect) {
        var here = Provider.of(server.baseUrl());
        return switch (dialect) {
            case KLUSTER -> here.dialect(Provider.KLUSTER.dialect());
            case TOGETHER -> here.dialect(Provider.TOGETHER.dialect());
            default -> here;
        };
    }
}
