package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;
import static java.util.stream.Collectors.toList;
import static java.util.stream.Collectors.toMap;
import static java.util.stream.Collectors.toSet;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.openai.client.OpenAIClient;
import com.openai.client.okhttp.OpenAIOkHttpClient;
import com.openai.core.JsonValue;
import com.openai.errors.BadRequestException;
import com.openai.errors.NotFoundException;
import com.openai.errors.OpenAIServiceException;
import com.openai.errors.UnauthorizedException;
import com.openai.errors.UnexpectedStatusCodeException;
import com.openai.models.batches.Batch;
import com.openai.models.batches.BatchCreateParams;
import com.openai.models.batches.BatchListParams;
import com.openai.models.chat.completions.ChatCompletionCreateParams;
import com.openai.models.completions.CompletionCreateParams;
import com.openai.models.embeddings.EmbeddingCreateParams;
import com.openai.models.files.FileCreateParams;
import com.openai.models.files.FileListParams;
import com.openai.models.files.FileObject;
import com.openai.models.files.FilePurpose;
import com.openai.models.models.Model;
import com.openai.models.responses.Response;
import com.openai.models.responses.ResponseCreateParams;
import com.openai.models.responses.ToolChoiceOptions;
import com.openai.models.uploads.Upload;
import com.openai.models.uploads.UploadCompleteParams;
import com.openai.models.uploads.UploadCreateParams;
import com.openai.models.uploads.parts.PartCreateParams;
import java.io.File;
import java.net.URI;
import java.net.http.HttpRequest;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.UnaryOperator;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import sheaf.server.BatchServer.Dialect;
import sheaf.server.BatchServer.Reply;
import sheaf.support.Project;
import sheaf.support.RawClient;

/**
 * OpenAI's own clients against the server, as their users have them: openai-java in this JVM, the openai package of
 * PyPI and of npm in foreign/, and what kluster.ai's batch guide does with curl and Python, word for word.
 */
@Tag("S27")
@Tag("apart")
class RealClientsTest {
    static final String KEY = "sk-real-clients";
    static final String PYTHON_CLIENT = "openai==3.54.0";
    static final String NODE_CLIENT = "openai@6.49.0";      // 7 asks for Node 22
    static final long MONTH = 30 * 24 * 60 * 60;
    static final Path CLIENTS = Project.root().resolve("tests/foreign");
    static final Set<String> JOURNEY = Set.of("POST /v1/files", "GET /v1/files", "GET /v1/files/*",
        "GET /v1/files/*/content", "DELETE /v1/files/*", "POST /v1/batches", "GET /v1/batches", "GET /v1/batches/*",
        "POST /v1/batches/*/cancel", "GET /v1/models", "GET /v1/models/*", "POST /v1/chat/completions",
        "POST /v1/embeddings");

    @TempDir Path dir;
    BatchServer server = speaking(Dialect.OPENAI);
    @AutoClose final OpenAIClient client = openai(KEY);

    private record Run(int status, String out, String err) {}

    @AfterEach void stop() { server.close(); }

    @Test void openaiOfPyPIMakesTheWholeJourney() throws Exception {
        var run = python(script("openai_client.py"));

        assertEquals(0, run.status(), run.err());
        assertEquals(JOURNEY, routes());
        assertEquals(1, cancels(step(run, "cancel too late").get("id").asText()));
    }

    @Test void openaiOfNpmMakesTheWholeJourney() throws Exception {
        var run = node(script("openai_client.mjs"));

        assertEquals(0, run.status(), run.err());
        assertEquals(JOURNEY, routes());
        assertEquals(1, cancels(step(run, "cancel too late").get("id").asText()));
    }

    @Test void openaiOfPyPIUploadsInParts() throws Exception {
        var run = python(script("openai_uploads.py"));

        assertEquals(0, run.status(), run.err());
    }

    @Test void openaiOfNpmUploadsInParts() throws Exception {
        var run = node(script("openai_uploads.mjs"));

        assertEquals(0, run.status(), run.err());
    }

    @Test void openaiOfPyPIFindsAzuresOlderPaths() throws Exception {
        server.close();
        server = speaking(Dialect.AZURE);

        var run = python(script("azure_client.py"));

        assertEquals(0, run.status(), run.err());
    }

    @ParameterizedTest
    @EnumSource(names = {"OPENAI", "KLUSTER"})
    void theGuidesCurlScriptPrintsTheResults(Dialect dialect) throws Exception {
        server.close();
        server = speaking(dialect);

        var run = bash(ofTheGuide("guide.sh"));

        assertEquals(0, run.status(), run.err());
        assertEquals(Map.of("request-1", "What is the ultimate breakfast sandwich?", "request-2",
            "Explain the Pythagorean theorem.", "request-4", "Explain the Pythagorean theorem in Spanish"),
            answers(run.out().lines().filter(line -> line.startsWith("{"))), run.out());
    }

    @Test void theGuidesCurlLinesListAndCancelABatch() throws Exception {
        var id = submitted(held()).id();

        var run = bash(ofTheGuide("guide_list_and_cancel.sh").replace("$BATCH_ID", id));

        var printed = RawClient.JSON.readerFor(JsonNode.class).<JsonNode>readValues(run.out()).readAll();
        assertEquals(id, printed.get(0).at("/data/0/id").asText(), run.out());
        assertEquals("cancelling", printed.get(1).get("status").asText(), run.out());
        assertEquals(Batch.Status.CANCELLED, ended(id).status());
    }

    @ParameterizedTest
    @EnumSource(names = {"OPENAI", "KLUSTER"})
    void theGuidesPythonScriptSavesTheResults(Dialect dialect) throws Exception {
        server.close();
        server = speaking(dialect);

        var run = python(ofTheGuide("guide.py"));

        assertEquals(0, run.status(), run.err());
        assertTrue(run.out().contains("Batch status: completed"), run.out());
        assertEquals(Map.of("request-1", "What is the ultimate breakfast sandwich?", "request-2",
            "Explain the Pythagorean theorem.", "request-3", "Who can park in the area?"),
            answers(Files.readString(dir.resolve("batch_results.jsonl")).lines()), run.out());
    }

    @Test void theGuidesPythonLinesListAndCancelABatch() throws Exception {
        var id = submitted(held()).id();

        var run = python(ofTheGuide("guide_list_and_cancel.py").replace("mybatch-123", id));

        assertEquals(0, run.status(), run.err());
        assertTrue(run.out().contains("'id': '" + id + "'"), run.out());
        assertEquals(Batch.Status.CANCELLED, ended(id).status());
    }

    @SuppressWarnings("deprecation")    // status() and statusDetails(); servers send them all the same
    @Test void openaiJavaReadsEveryFieldOfAFile() throws Exception {
        var content = RawClient.lines("one").getBytes(UTF_8);
        var path = Files.write(dir.resolve("requests.jsonl"), content);

        var file = client.files().create(upload().file(path).build());

        assertEquals(file.validate(), client.files().retrieve(file.id()));
        assertEquals(Map.of(), file._additionalProperties());
        assertEquals(List.of("requests.jsonl", (long) content.length, FileObject.Purpose.BATCH,
            FileObject.Status.PROCESSED, Optional.empty()),
            List.of(file.filename(), file.bytes(), file.purpose(), file.status(), file.statusDetails()));
        assertEquals(file.createdAt() + MONTH, file.expiresAt().orElseThrow());
        assertArrayEquals(content, content(file.id()));
    }

    @Test void openaiJavaUploadsBytesAndSaysWhenTheyExpire() {
        var hour = FileCreateParams.ExpiresAfter.builder().seconds(3600).build();

        var file = client.files().create(upload().file(RawClient.lines("one").getBytes(UTF_8))
            .expiresAfter(hour).build());

        assertEquals(file.createdAt() + 3600, file.validate().expiresAt().orElseThrow());
    }

    @Test void openaiJavaReadsEveryFieldOfABatchAtEachOfItsEnds() {
        var completed = ended(submitted(RawClient.lines("one", "two", "break")).id());
        var failed = ended(submitted("{}\n").id());
        var held = submitted(held()).id();
        client.batches().cancel(held);
        var cancelled = ended(held);

        assertEquals(List.of(Batch.Status.COMPLETED, Batch.Status.FAILED, Batch.Status.CANCELLED),
            Stream.of(completed, failed, cancelled).map(Batch::validate).map(Batch::status).toList());
        assertTrue(completed.createdAt() <= completed.completedAt().orElseThrow());
        assertEquals(List.of(3L, 2L, 1L), counts(completed));
        assertEquals(4, completed.usage().orElseThrow().totalTokens());
        assertEquals(Optional.of("m"), completed.model());
        assertEquals(1, failed.errors().flatMap(Batch.Errors::data).orElseThrow().get(0).line().orElseThrow());
        assertEquals(100, counts(cancelled).get(1) + counts(cancelled).get(2));
    }

    @Test void openaiJavaSendsMetadataAndTheExpiryOfTheOutput() {
        var batch = client.batches().create(batch(RawClient.lines("one"))
            .metadata(BatchCreateParams.Metadata.builder().putAdditionalProperty("run", JsonValue.from("7")).build())
            .outputExpiresAfter(BatchCreateParams.OutputExpiresAfter.builder().seconds(3600).build()).build());

        var output = client.files().retrieve(ended(batch.id()).outputFileId().orElseThrow());

        assertEquals(Map.of("run", JsonValue.from("7")), batch.metadata().orElseThrow()._allProperties());
        assertEquals(output.createdAt() + 3600, output.validate().expiresAt().orElseThrow());
        assertEquals(FileObject.Purpose.BATCH_OUTPUT, output.purpose());
    }

    @Test void openaiJavaPagesThroughFilesAndBatchesAndMeetsEachOnce() {
        var batches = IntStream.range(0, 7).mapToObj(i -> submitted(RawClient.lines("one"))).collect(toList());
        batches.forEach(batch -> ended(batch.id()));
        Collections.reverse(batches);

        assertEquals(batches.stream().map(Batch::id).toList(), client.batches()
            .list(BatchListParams.builder().limit(3).build()).autoPager().stream().map(Batch::id).toList());
        assertEquals(batches.stream().map(Batch::inputFileId).toList(), client.files()
            .list(FileListParams.builder().limit(2).purpose("batch").build()).autoPager().stream().map(FileObject::id)
            .toList());
    }

    @Test void openaiJavaDoesNotRepeatACancelThatCameTooLate() {
        var id = submitted(RawClient.lines("one")).id();
        ended(id);

        var refused = assertThrows(UnexpectedStatusCodeException.class, () -> client.batches().cancel(id));

        assertEquals(409, refused.statusCode());
        assertEquals(1, cancels(id));
    }

    @Test void openaiJavaParsesRefusals() {
        var file = submitted(RawClient.lines("one")).inputFileId();
        assertTrue(client.files().delete(file).validate().deleted());

        assertEquals("invalid_api_key", refused(UnauthorizedException.class, () -> openai("sk-wrong").files().list()));
        assertEquals("model_not_found",
            refused(NotFoundException.class, () -> client.models().retrieve("deepseek-ai/DeepSeek-V3")));
        assertEquals("invalid_value", refused(BadRequestException.class, () -> client.batches().create(
            batch(RawClient.lines("one")).endpoint(BatchCreateParams.Endpoint.of("/v1/nothing")).build())));
        assertThrows(NotFoundException.class, () -> client.files().content(file));
    }

    @Test void openaiJavaReadsModelsCompletionsAndEmbeddings() {
        var asked = EmbeddingCreateParams.builder().model("echo").input("one");

        var completion = client.chat().completions().create(ChatCompletionCreateParams.builder().model("echo")
            .addUserMessage("Say this").build()).validate();
        var packed = client.embeddings().create(asked.build()).validate();
        var plain = client.embeddings()
            .create(asked.encodingFormat(EmbeddingCreateParams.EncodingFormat.FLOAT).build()).validate();

        assertEquals("echo", client.models().retrieve("echo").validate().id());
        assertEquals(List.of("echo"), client.models().list().autoPager().stream().map(Model::id).toList());
        assertEquals(Optional.of("Say this"), completion.choices().get(0).message().content());
        assertEquals(4, completion.usage().orElseThrow().totalTokens());
        assertEquals(plain.data().get(0).embedding(), packed.data().get(0).embedding());
    }

    @Test void openaiJavaReadsEveryFieldOfAResponse() {
        server.reply(UnaryOperator.identity());
        var asked = ResponseCreateParams.builder().model("echo").input("Say this").instructions("Be brief.")
            .temperature(0.5).metadata(ResponseCreateParams.Metadata.builder()
                .putAdditionalProperty("run", JsonValue.from("7")).build());

        var response = client.responses().create(asked.build()).validate();
        var cut = client.responses().create(ResponseCreateParams.builder().model("echo").input("one two three")
            .maxOutputTokens(2).build()).validate();

        var text = response.output().get(0).asMessage().content().get(0).asOutputText();
        assertEquals(List.of("Say this", List.of(), Optional.of(List.of())),
            List.of(text.text(), text.annotations(), text.logprobs()));
        assertEquals(List.of(true, Optional.of(0.5), Optional.of(1.0), List.of(), Map.of("run", JsonValue.from("7")),
            Optional.of("Be brief.")), List.of(response.parallelToolCalls(), response.temperature(), response.topP(),
            response.tools(), response.metadata().orElseThrow()._additionalProperties(), response.instructions()
            .map(Response.Instructions::asString)));
        assertEquals(ToolChoiceOptions.AUTO, response.toolChoice().asOptions());
        assertEquals(List.of(0L, 0L, 4L), List.of(response.usage().orElseThrow().inputTokensDetails().cachedTokens(),
            response.usage().orElseThrow().outputTokensDetails().reasoningTokens(),
            response.usage().orElseThrow().totalTokens()));
        assertEquals(Optional.of(Response.IncompleteDetails.Reason.MAX_OUTPUT_TOKENS),
            cut.incompleteDetails().orElseThrow().reason());
        assertEquals(Map.of(), response._additionalProperties());
    }

    @Test void openaiJavaGetsAChoiceForEachPrompt() {
        server.reply(UnaryOperator.identity());
        var answer = client.completions().create(CompletionCreateParams.builder().model("echo")
            .promptOfArrayOfStrings(List.of("one", "two")).n(2).build()).validate();

        assertEquals(List.of("0 one", "1 one", "2 two", "3 two"), answer.choices().stream()
            .map(choice -> choice.index() + " " + choice.text()).toList());
    }

    @Test void openaiJavaUploadsInParts() throws Exception {
        var one = RawClient.lines("one").getBytes(UTF_8);
        var two = Files.writeString(dir.resolve("two"), RawClient.lines("two"));
        var upload = client.uploads().create(UploadCreateParams.builder().filename("big.jsonl")
            .bytes(2 * one.length).mimeType("application/jsonl").purpose(FilePurpose.BATCH).build()).validate();

        var part = PartCreateParams.builder().uploadId(upload.id());
        var second = client.uploads().parts().create(part.data(two).build()).validate().id();
        var first = client.uploads().parts().create(part.data(one).build()).validate().id();
        var completed = client.uploads().complete(upload.id(),
            UploadCompleteParams.builder().addPartId(first).addPartId(second).build()).validate();

        assertEquals(Upload.Status.COMPLETED, completed.status());
        assertEquals(RawClient.lines("one") + RawClient.lines("two"),
            new String(content(completed.file().orElseThrow().id()), UTF_8));
    }

    /** Answers as the scripts in foreign/ expect it: "break" fails, and "hold" waits until somebody cancels. */
    private BatchServer speaking(Dialect dialect) {
        return BatchServer.options().apiKey(KEY).mixedModels().dialect(dialect).start().answer(this::reply);
    }

    private Reply reply(JsonNode body) {
        var text = lastText(body);
        if (text.equals("break")) return Reply.error(400, "broken_on_purpose", "This request fails.");
        if (text.equals("hold")) awaitCancel();
        return Reply.text(text);
    }

    private static String lastText(JsonNode body) {
        var content = body.path("messages").path(body.path("messages").size() - 1).path("content");
        return content.isArray() ? content.path(0).path("text").asText() : content.asText();
    }

    private void awaitCancel() {
        RawClient.await(() -> server.requests().stream().anyMatch(this::isObeyedCancel));
    }

    private boolean isObeyedCancel(String request) {
        if (!request.endsWith("/cancel")) return false;
        var batch = URI.create(server.baseUrl() + request.replaceAll("POST /v1|/cancel$", ""));
        var got = RawClient.send(HttpRequest.newBuilder(batch).header("Authorization", "Bearer " + KEY));
        return !RawClient.json(got).get("status").asText().equals("in_progress");
    }

    /** Returns enough requests that most of them have not begun when the first ones end. */
    private static String held() { return RawClient.lines(Collections.nCopies(100, "hold").toArray(String[]::new)); }

    /** Returns what the server was asked for, ids and names left out. */
    private Set<String> routes() {
        return server.requests().stream().map(request -> request.replaceFirst("(/v1/\\w+/)(?!completions)[^/]+", "$1*"))
            .collect(toSet());
    }

    private int cancels(String id) {
        return Collections.frequency(server.requests(), "POST /v1/batches/" + id + "/cancel");
    }

    private OpenAIClient openai(String key) {
        return OpenAIOkHttpClient.builder().baseUrl(server.baseUrl()).apiKey(key).build();
    }

    private static FileCreateParams.Builder upload() { return FileCreateParams.builder().purpose(FilePurpose.BATCH); }

    private BatchCreateParams.Builder batch(String lines) {
        var file = client.files().create(upload().file(lines.getBytes(UTF_8)).build()).id();
        return BatchCreateParams.builder().inputFileId(file)
            .endpoint(BatchCreateParams.Endpoint.V1_CHAT_COMPLETIONS)
            .completionWindow(BatchCreateParams.CompletionWindow._24H);
    }

    private Batch submitted(String lines) { return client.batches().create(batch(lines).build()).validate(); }

    private Batch ended(String id) {
        RawClient.await(() -> Set.of("completed", "failed", "expired", "cancelled")
            .contains(client.batches().retrieve(id).status().asString()));
        return client.batches().retrieve(id);
    }

    private byte[] content(String file) throws Exception {
        try (var response = client.files().content(file)) {
            return response.body().readAllBytes();
        }
    }

    private static List<Long> counts(Batch batch) {
        var counts = batch.requestCounts().orElseThrow();
        return List.of(counts.total(), counts.completed(), counts.failed());
    }

    private static <T extends OpenAIServiceException> String refused(Class<T> type, Executable call) {
        return assertThrows(type, call).code().orElseThrow();
    }

    private static String script(String name) throws Exception { return Files.readString(CLIENTS.resolve(name)); }

    /** Returns a script as it stands in the guide, but for the base URL, the key, and how long it sleeps. */
    private String ofTheGuide(String name) throws Exception {
        return script(name).replace("https://api.kluster.ai/v1", server.baseUrl())
            .replace("getpass(\"Enter your kluster.ai API key: \")", "\"" + KEY + "\"")
            .replace("time.sleep(10)", "time.sleep(0.02)").replace("sleep 10", "sleep 0.02");
    }

    private static Map<String, String> answers(Stream<String> lines) {
        return lines.map(line -> RawClient.json(line.getBytes(UTF_8))).collect(toMap(
            line -> line.get("custom_id").asText(),
            line -> line.at("/response/body/choices/0/message/content").asText()));
    }

    private static JsonNode step(Run run, String name) {
        return run.out().lines().map(line -> RawClient.json(line.getBytes(UTF_8)))
            .filter(line -> line.get("step").asText().equals(name)).findFirst().orElseThrow();
    }

    private Run bash(String script) throws Exception {
        onThePath("curl");
        onThePath("jq");
        return run(script, "script.sh", Map.of("API_KEY", KEY), onThePath("bash"));
    }

    private Run python(String script) throws Exception {
        var python = onThePath("python3");
        var abi = run("import sys; print(sys.implementation.cache_tag)", "abi.py", Map.of(), python).out().strip();
        var packages = installed(abi + "-" + PYTHON_CLIENT, python, "-m", "pip", "install", "--quiet",
            "--disable-pip-version-check", "--no-input", "--timeout", "15", "--retries", "1", PYTHON_CLIENT,
            "--target");
        return run(script, "script.py", Map.of("PYTHONPATH", packages.toString(), "PYTHONUTF8", "1"), python);
    }

    private Run node(String script) throws Exception {
        var node = onThePath("node");
        var version = run("console.log(process.versions.node)", "version.mjs", Map.of(), node).out().strip();
        assumeTrue(Integer.parseInt(version.replaceFirst("\\..*", "")) >= 20, "Node " + version + " is too old");
        var packages = installed(NODE_CLIENT, onThePath("npm"), "install", "--loglevel", "error", "--ignore-scripts",
            "--no-audit", "--no-fund", "--fetch-retries", "1", NODE_CLIENT, "--prefix");
        var link = Files.createSymbolicLink(dir.resolve("node_modules"), packages.resolve("node_modules"));
        try {
            return run(script, "script.mjs", Map.of(), node);
        } finally {
            Files.delete(link);
        }
    }

    /** Returns the folder of a package, which the command puts into the folder that it is told, once for all runs. */
    private Path installed(String name, String... command) throws Exception {
        var folder = cache().resolve(name);
        if (Files.exists(folder)) return folder;
        Files.createDirectories(folder.getParent());
        var unfinished = Files.createTempDirectory(folder.getParent(), "unfinished");
        var run = run(Map.of(), Stream.concat(Stream.of(command), Stream.of(unfinished.toString())).toList());
        if (run.status() == 0 && !Files.exists(folder))
            Files.move(unfinished, folder, StandardCopyOption.ATOMIC_MOVE);
        else
            Project.deleteTree(unfinished);
        assumeTrue(run.status() == 0, () -> name + " is not to be had (" + complaint(run) + ")");
        return folder;
    }

    private static String complaint(Run run) {
        return run.err().lines().filter(line -> line.matches("(?i)(npm )?error.*")).findFirst().orElse(run.err());
    }

    private static Path cache() {
        var given = System.getenv("XDG_CACHE_HOME");
        var cache = given == null || given.isEmpty() ? Path.of(System.getProperty("user.home"), ".cache")
            : Path.of(given);
        return cache.resolve("sheaf-tests");
    }

    private static String onThePath(String tool) {
        var found = Stream.of(System.getenv("PATH").split(File.pathSeparator))
            .map(folder -> Path.of(folder, tool)).filter(Files::isExecutable).findFirst();
        assumeTrue(found.isPresent(), "no " + tool + " on this machine");
        return found.get().toString();
    }

    private Run run(String script, String name, Map<String, String> settings, String tool) throws Exception {
        Files.writeString(dir.resolve(name), script);
        return run(settings, List.of(tool, name));
    }

    private Run run(Map<String, String> settings, List<String> command) throws Exception {
        var out = dir.resolve("out");
        var err = dir.resolve("err");
        var builder = new ProcessBuilder(command).directory(dir.toFile()).redirectInput(nothing())
            .redirectOutput(out.toFile()).redirectError(err.toFile());
        builder.environment().keySet().removeIf(name -> name.startsWith("OPENAI_"));
        builder.environment().putAll(Map.of("OPENAI_BASE_URL", server.baseUrl(), "OPENAI_API_KEY", KEY,
            "NO_PROXY", "127.0.0.1", "no_proxy", "127.0.0.1"));
        builder.environment().putAll(settings);
        var process = builder.start();
        try {
            assertTrue(process.waitFor(100, TimeUnit.SECONDS), () -> command + " does not end");
        } finally {
            process.destroyForcibly();
        }
        return new Run(process.exitValue(), Files.readString(out), Files.readString(err));
    }

    private File nothing() throws Exception {
        var empty = dir.resolve("in");
        return (Files.exists(empty) ? empty : Files.createFile(empty)).toFile();
    }
}
