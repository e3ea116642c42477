package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.support.RawClient.await;
import static sheaf.support.RawClient.body;
import static sheaf.support.RawClient.json;
import static sheaf.support.RawClient.lines;
import static sheaf.support.RawClient.names;

import com.fasterxml.jackson.databind.JsonNode;
import com.sun.net.httpserver.HttpServer;
import java.io.BufferedInputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import sheaf.support.Printed;
import sheaf.support.RawClient;
import sheaf.support.Signals;

/** The command serve: each test runs it as a process of its own, and speaks to it as anybody may. */
@Tag("apart")
class ServeTest {
    @TempDir Path dir;
    final List<Process> started = new ArrayList<>();
    final RawClient client = new RawClient(this::baseUrl);

    private record Run(int status, String out, String err) {}

    @AfterEach void end() throws InterruptedException {
        for (var process : started)
            process.destroyForcibly().waitFor();
    }

    @Test void helpNamesEveryOptionWithin80Columns() throws Exception {
        var help = run("--help");

        assertEquals(0, help.status, help.err);
        for (var option : List.of("--port", "--host", "--engine", "--engine-key", "--model-name", "--store",
            "--api-key", "--concurrency", "--timeout", "--max-requests", "--max-bytes", "SHEAF_ENGINE_KEY",
            "--own-store", "--until-eof",
            "SHEAF_SERVER_KEY", "SHEAF_HOME", "OPENAI_BASE_URL"))
            assertTrue(help.out.contains(option), option);
        assertEquals(List.of(), Printed.illegible(help.out, 80));
        var example = "(?s).*Example: [^\n]+\n(  [^\n]+\n)+OpenAI's own clients .*";
        assertTrue(help.out.matches(example), "each line of the example is as it is typed");
        assertTrue(help.out.replaceAll("\\s+", " ").contains("key for the engine, of several for each without a "
            + "variable of its own (of openrouter that is OPENROUTER_API_KEY, and so on)"), help.out);
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', value = {
        "--port abc | serve: Invalid value for option '--port': 'abc' is not an int",
        "--port 70000 | port: 70000 is not within 0 and 65535",
        "--timeout soon | serve: Invalid value for option '--timeout': 'soon' is no time such as 90s, 10m or 1h30m",
        "--engine nope | engine: nope is neither an http URL such as http://localhost:11434/v1 nor one of echo, "
            + "ollama, lmstudio, vllm, llama-server, openrouter, mistral, cerebras",
        "--dialect nope | serve: Invalid value for option '--dialect': 'nope' is none of openai, kluster, azure, groq, "
            + "together, voyage",
        "--nonsense | serve: Unknown option: '--nonsense'"})
    void aWrongOptionIsASentenceAndExitCode2(String arguments, String sentence) throws Exception {
        assertEquals(new Run(2, "", sentence + "; try 'serve --help'\n"), run(arguments.split(" ")));
    }

    @Test void aServerThatOthersReachNeedsAKey() throws Exception {
        assertEquals(new Run(1, "", "start: others can reach 0.0.0.0; set an API key too (--api-key, "
            + "SHEAF_SERVER_KEY)\n"), run("--host", "0.0.0.0"));
    }

    @Test void aTakenPortIsASentenceAndExitCode1() throws Exception {
        try (var other = new ServerSocket(0, 1, InetAddress.getByName("127.0.0.1"))) {
            assertEquals(new Run(1, "", "start: 127.0.0.1:" + other.getLocalPort() + " is taken; choose another port, "
                + "or port 0 (--port 0) for a free one\n"), run("--port", "" + other.getLocalPort()));
        }
    }

    @Test void aStoreInUseIsASentenceAndExitCode1() throws Exception {
        serve();

        assertEquals(new Run(1, "", "start: " + dir.resolve("store") + " is in use by another server at " + baseUrl()
            + "; use that one, or give another store (--store DIR)\n"), run("--port", "0"));
    }

    @Test void aStartLoadsNothingOfJavasManagement() throws Exception {
        var command = command("--port", "0", "--until-eof");
        command.command().add(1, "-Xlog:class+load:file=" + dir.resolve("classes"));
        var server = start(command);
        server.getOutputStream().close();

        assertTrue(server.waitFor(1, TimeUnit.MINUTES));
        assertEquals(List.of(), text("classes").lines().filter(line -> line.contains(" javax.management.")).toList());
    }

    /** A second one joins the first, says the same URL, and ends with its own stdin. */
    @Test void untilItsStdinEndsItServesAsAChild() throws Exception {
        var first = child();
        var url = first.inputReader().readLine();
        var second = child();

        assertEquals(url, second.inputReader().readLine());
        first.getOutputStream().close();
        assertEquals("close: another run still uses " + url.replaceFirst("OPENAI_BASE_URL=", "")
            + ", and this one waits for it; Ctrl-C ends both", first.errorReader().readLine());
        assertTrue(first.isAlive(), "the second still uses it");
        second.getOutputStream().close();

        assertTrue(second.waitFor(1, TimeUnit.MINUTES) && first.waitFor(1, TimeUnit.MINUTES));
        assertEquals(List.of(0, 0), List.of(first.exitValue(), second.exitValue()));
        assertNull(first.errorReader().readLine());
    }

    /** An echo is no answer to who asks for a model. */
    @Test void aChildJoinsNoEchoInThePlaceOfAnEngine() throws Exception {
        var echo = child();
        echo.inputReader().readLine();

        assertEquals(new Run(1, "", "start: " + dir.resolve("store") + " is in use by a server at "
            + Files.readString(dir.resolve("store/url")) + " with the engine echo; end that server and run "
            + "again\n"), run("--port", "0", "--until-eof", "--engine", "ollama"));
    }

    private Process child() throws Exception {
        var process = command("--port", "0", "--until-eof").start();
        started.add(process);
        return process;
    }

    @Test void aStoreThatIsNoFolderIsASentenceAndExitCode1() throws Exception {
        Files.writeString(dir.resolve("store"), "a file");

        var run = run("--port", "0");

        assertEquals(1, run.status);
        assertTrue(run.err.matches("store: cannot be used \\(.*store.*\\)\n"), run.err);
    }

    @Test void itsFirstLineIsTheBaseUrlAndAllElseIsOnStderr() throws Exception {
        serve();

        await(() -> text("err").contains("Ctrl-C"));
        assertTrue(text("out").matches("OPENAI_BASE_URL=http://127\\.0\\.0\\.1:\\d+/v1\n"), text("out"));
        assertEquals("page: " + baseUrl().replaceFirst("v1$", "") + "\nengine: echo, which says each question back;"
            + " --engine puts a model in its place\nstore: " + dir.resolve("store") + " (ID); Ctrl-C stops the"
            + " server, and its next start goes on with unfinished batches\n",
            text("err").replaceFirst("\\([0-9a-f]{8}\\)", "(ID)"));
    }

    @Test void itSaysWhetherTheEngineAnswers() throws Exception {
        assertEquals("engine: http://127.0.0.1:1/v1 does not answer (connection refused); its requests wait for it; "
            + "start it there", ofEngine(command("--port", "0", "--engine", "http://127.0.0.1:1/v1")));
    }

    @Test void anEngineThatIsDownBesideOthersLeavesItsRequestsToThem() throws Exception {
        assertEquals("engine: http://127.0.0.1:1/v1 does not answer (connection refused); its requests go to the "
            + "others; start it there", ofEngine(command("--port", "0", "--engine", "http://127.0.0.1:1/v1",
                "--engine", "http://127.0.0.1:2/v1")));
    }

    @Test void aServerOfARunSaysThatTheEngineIsAwayOnlyToWhoWaits() throws Exception {
        serve("--engine", "http://127.0.0.1:1/v1", "--until-eof");

        await(() -> text("out").contains("OPENAI_BASE_URL="));
        var models = new String(client.get("/models").body(), UTF_8);
        assertTrue(models.contains("\"http://127.0.0.1:1/v1 does not answer (connection refused); start it there.\""),
            models);
        assertEquals("", text("err"));
    }

    @Test void keysComeFromTheEnvironmentAndAreNotPrinted() throws Exception {
        var engine = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
        engine.createContext("/", exchange -> {
            boolean known = "Bearer engine-secret".equals(exchange.getRequestHeaders().getFirst("Authorization"));
            exchange.sendResponseHeaders(known ? 404 : 401, -1);
            exchange.close();
        });
        engine.start();
        var url = "http://127.0.0.1:" + engine.getAddress().getPort();
        var builder = command("--port", "0", "--engine", url);
        builder.environment().put("SHEAF_ENGINE_KEY", "engine-secret");
        builder.environment().put("SHEAF_SERVER_KEY", "server-secret");

        var said = ofEngine(builder);
        engine.stop(0);

        assertEquals("engine: " + url + " answers 404 to GET /models; should it end in /v1?", said);
        assertEquals(401, client.get("/files").statusCode());
        assertEquals(200, RawClient.send(client.request("/files").header("Authorization", "Bearer server-secret"))
            .statusCode());
        assertFalse((text("out") + text("err")).contains("secret"));
    }

    @Test void aKeyThatIsMissingIsNamedAsWhoServesGivesIt() throws Exception {
        var engine = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
        engine.createContext("/", exchange -> {
            exchange.sendResponseHeaders(401, -1);
            exchange.close();
        });
        engine.start();
        var url = "http://127.0.0.1:" + engine.getAddress().getPort() + "/v1";

        var said = ofEngine(command("--port", "0", "--engine", url));
        engine.stop(0);

        assertEquals("engine: " + url + " answers 401 to GET /models; give --engine-key, or set SHEAF_ENGINE_KEY to "
            + "its key", said);
    }

    @Test void nothingThatAClientSendsIsPrinted() throws Exception {
        serve();

        client.finished(client.upload(lines("marker")));
        client.finished(client.upload(lines("one") + "{\"marker\":\n"));
        client.finished(client.upload(lines("marker").replace("\"messages\"", "\"marker\"")));
        client.upload("{marker".getBytes(UTF_8), "marker", "marker");
        client.send("POST", "/files", "marker".getBytes(UTF_8));
        client.send("POST", "/batches", "{\"marker".getBytes(UTF_8));
        client.send("POST", "/chat/completions", body("marker").toString().getBytes(UTF_8));
        client.send("POST", "/chat/completions", ("[".repeat(100_000) + "marker").getBytes(UTF_8));
        client.get("/marker?marker=marker");
        client.get("/files?after=marker&limit=marker");
        RawClient.send(client.request("/files").header("Authorization", "Bearer marker").header("x-marker", "marker"));
        for (var raw : List.of("marker\r\n\r\n", "GET /%marker HTTP/1.1\r\nmarker\r\n\r\n",
            "POST /v1/files HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: multipart/form-data; boundary=marker\r\n"
                + "Content-Length: 9\r\n\r\n--marker\n", "POST /v1/batches HTTP/1.1\r\nHost: localhost\r\n"
                + "Transfer-Encoding: chunked\r\n\r\nmarker\r\n"))
            exchanged(baseUrl(), raw);

        assertEquals(200, client.get("/files").statusCode());
        await(() -> text("err").contains("Ctrl-C"));
        assertFalse((text("out") + text("err")).contains("marker"), text("err"));
        assertEquals(4, (text("out") + text("err")).lines().count(), text("err"));
    }

    @Tag("S24")
    @DisabledOnOs(OS.WINDOWS)
    @ParameterizedTest
    @CsvSource({"INT, 130", "TERM, 143"})
    void aSignalEndsItAndItsBatchesGoOn(String signal, int status) throws Exception {
        var command = command("--port", "0", "--engine", "http://127.0.0.1:1/v1");
        command.command(Signals.interruptible(command.command()));
        var first = start(command);
        var id = client.create(lines("one", "two"));
        await(() -> client.found(id).get("status").asText().equals("in_progress"));
        await(() -> text("err").contains("Ctrl-C"));

        new ProcessBuilder("kill", "-" + signal, "" + first.pid()).start().waitFor();

        assertTrue(first.waitFor(1, TimeUnit.MINUTES), "still there");
        assertEquals(status, first.exitValue());
        assertEquals(3, text("err").lines().count(), text("err"));
        serve();
        assertEquals("{\"total\":2,\"completed\":2,\"failed\":0}",
            client.finishedBatch(id).get("request_counts").toString());
    }

    @Tag("S1")
    @ParameterizedTest(name = "{0} {1} is {2}")
    @CsvSource({"a header, 1000000, 431", "many headers, 1000000, 431", "a path, 10000, 414", "a path, 1000000, 414"})
    void aHeadThatIsTooLargeIsRefused(String part, int size, int status) throws IOException {
        var head = switch (part) {
            case "a path" -> "GET /v1/" + "a".repeat(size) + " HTTP/1.1\r\nHost: localhost\r\n\r\n";
            case "a header" -> "GET /v1/files HTTP/1.1\r\nHost: localhost\r\nx-large: " + "a".repeat(size) + "\r\n\r\n";
            default -> "GET /v1/files HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + "a: b\r\n".repeat(size / 6) + "\r\n";
        };

        var response = answered(head);

        assertTrue(response.startsWith("HTTP/1.1 " + status + " "), response.lines().findFirst().orElse("nothing"));
        assertEquals(Set.of("message", "type", "param", "code"), names(error(response)), response);
    }

    @Tag("S1")
    @ParameterizedTest
    @CsvSource({"/v1/batches, 1048577", "/v1/chat/completions, 16777217"})
    void aBodyThatIsTooLargeIsRefused(String path, int size) throws IOException {

        var response = answered("POST " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: " + size
            + "\r\n\r\n" + " ".repeat(size));

        assertTrue(response.startsWith("HTTP/1.1 413 "), response);
        assertEquals(Set.of("message", "type", "param", "code"), names(error(response)), response);
    }

    Process serve(String... arguments) throws IOException {
        return start(command(Stream.concat(Stream.of("--port", "0"), Stream.of(arguments)).toArray(String[]::new)));
    }

    /** Starts the server and returns when it has printed its URL. */
    Process start(ProcessBuilder builder) throws IOException {
        var process = builder.redirectOutput(dir.resolve("out").toFile()).redirectError(dir.resolve("err").toFile())
            .start();
        started.add(process);
        await(() -> text("out").contains("\n") || !process.isAlive());
        assertTrue(process.isAlive(), text("err"));
        return process;
    }

    String baseUrl() { return text("out").strip().replace("OPENAI_BASE_URL=", ""); }

    /** Serves, and returns what is said of the engine; anew where the machine was too slow for a quick look at it. */
    String ofEngine(ProcessBuilder builder) throws Exception {
        for (int times = 1; ; times++) {
            var server = start(builder);
            await(() -> text("err").contains("Ctrl-C"));
            var said = text("err").lines().filter(line -> line.startsWith("engine: ")).findFirst().orElse("");
            if (times == 9 || !said.contains("(nothing within 3s)")) return said;
            server.destroyForcibly().waitFor();
        }
    }

    String text(String stream) {
        try {
            return Files.readString(dir.resolve(stream));
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    Run run(String... arguments) throws Exception {
        var err = dir.resolve("run.err");
        var process = command(arguments).redirectError(err.toFile()).start();
        started.add(process);
        var out = new String(process.getInputStream().readAllBytes(), UTF_8);
        return new Run(process.waitFor(), out, Files.readString(err));
    }

    /** The command with a store of its own and no keys. */
    ProcessBuilder command(String... arguments) {
        var words = new ArrayList<String>(List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "-XX:TieredStopAtLevel=1", "-cp", System.getProperty("java.class.path"), "sheaf.server.BatchServer",
            "--store", dir.resolve("store").toString()));
        words.addAll(List.of(arguments));
        var builder = new ProcessBuilder(words);
        builder.environment().keySet().removeIf(name -> name.startsWith("SHEAF_"));
        return builder;
    }

    /** Returns what a server in this process says to these bytes. */
    static String answered(String sent) throws IOException {
        try (var server = BatchServer.start()) {
            return exchanged(server.baseUrl(), sent);
        }
    }

    /** Sends bytes, the last of their connection, and returns all that comes back until the server closes it. */
    static String exchanged(String baseUrl, String sent) throws IOException {
        var url = URI.create(baseUrl);
        try (var socket = new Socket(url.getHost(), url.getPort())) {
            socket.setSoTimeout(60_000);
            try {
                var out = socket.getOutputStream();
                out.write(sent.getBytes(UTF_8));
                out.flush();
            } catch (IOException closed) {
                // refused before all of it was sent; what was said is still to be read
            }
            return received(socket);
        }
    }

    static String received(Socket socket) {
        var received = new StringBuilder();
        try (var in = new BufferedInputStream(socket.getInputStream())) {
            for (int next; (next = in.read()) >= 0; )
                received.append((char) next);
        } catch (IOException reset) {
            // what came is what there is
        }
        return received.toString();
    }

    static JsonNode error(String response) {
        return json(response.substring(response.indexOf("\r\n\r\n") + 4).getBytes(UTF_8)).get("error");
    }
}
