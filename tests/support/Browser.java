package sheaf.support;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.WebSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Base64;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;

/**
 * A headless Chromium, for tests of what stands on a page, with a profile of its own that {@link #close} deletes.
 * @see <a href="https://chromedevtools.github.io/devtools-protocol/">DevTools protocol</a>
 */
public final class Browser implements AutoCloseable {
    private static final Duration PATIENCE = Duration.ofMinutes(1);

    private final Path profile;
    private final Process process;
    private final String devTools;

    private Browser(String program) throws IOException {
        profile = Files.createTempDirectory("sheaf-browser");
        var builder = new ProcessBuilder(program, "--headless=new", "--no-sandbox", "--disable-gpu",
            "--disable-dev-shm-usage", "--disable-background-networking", "--no-first-run",
            "--host-resolver-rules=MAP *.test 127.0.0.1", "--remote-debugging-port=0",
            "--user-data-dir=" + profile, "about:blank")
            .redirectErrorStream(true).redirectOutput(profile.resolve("log").toFile());
        for (var folder : List.of("HOME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"))
            builder.environment().put(folder, profile.toString());     // else it leaves traces there
        process = builder.start();
        var port = profile.resolve("DevToolsActivePort");     // written when it listens
        await("the browser starts", () -> !process.isAlive() || Files.exists(port) && !read(port).isBlank());
        assertTrue(process.isAlive(), () -> "the browser ended: " + read(profile.resolve("log")));
        devTools = "http://127.0.0.1:" + read(port).lines().findFirst().orElseThrow();
    }

    /** Starts the browser of this machine, or returns nothing if it has none. */
    public static Optional<Browser> start() throws IOException {
        for (var name : List.of("chromium", "chromium-browser", "google-chrome"))
            for (var folder : System.getenv("PATH").split(File.pathSeparator))
                if (Files.isExecutable(Path.of(folder, name)))
                    return Optional.of(new Browser(Path.of(folder, name).toString()));
        return Optional.empty();
    }

    /** Opens an empty tab. */
    public Tab open() {
        var made = RawClient.send(HttpRequest.newBuilder(URI.create(devTools + "/json/new?about:blank"))
            .PUT(HttpRequest.BodyPublishers.noBody()));
        return new Tab(RawClient.json(made).get("webSocketDebuggerUrl").asText());
    }

    @Override public void close() throws IOException, InterruptedException {
        var children = process.descendants().toList();
        process.destroy();
        if (!process.waitFor(10, TimeUnit.SECONDS)) process.destroyForcibly().waitFor();
        children.forEach(ProcessHandle::destroyForcibly);
        await("the profile is deleted", this::isDeleted);
    }

    /** Returns whether the profile is gone; a child that is about to end may still write to it. */
    private boolean isDeleted() {
        try (var tree = Files.walk(profile)) {
            for (var path : tree.sorted(Comparator.reverseOrder()).toList()) Files.deleteIfExists(path);
            return true;
        } catch (IOException | UncheckedIOException notYet) {
            return Files.notExists(profile);
        }
    }

    private static String read(Path file) {
        try {
            return Files.readString(file);
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    public static void await(String what, BooleanSupplier condition) {
        long end = System.nanoTime() + PATIENCE.toNanos();
        while (!condition.getAsBoolean()) {
            assertTrue(System.nanoTime() < end, "not within " + PATIENCE.toSeconds() + " s: " + what);
            LockSupport.parkNanos(20_000_000);
        }
    }

    /** One page of the browser. */
    public static final class Tab implements AutoCloseable, WebSocket.Listener {
        public final List<String> complaints = new CopyOnWriteArrayList<>();   // of console and policy
        private final Map<Integer, CompletableFuture<JsonNode>> asked = new ConcurrentHashMap<>();
        private final AtomicInteger ids = new AtomicInteger();
        private final StringBuilder message = new StringBuilder();
        private final WebSocket socket;

        private Tab(String url) {
            socket = RawClient.HTTP.newWebSocketBuilder().buildAsync(URI.create(url), this).join();
            for (var domain : List.of("Page", "Runtime", "Log")) command(domain + ".enable");
        }

        /** Sends a command, with names and values by turns, and returns its result. */
        public JsonNode command(String method, Object... params) {
            int id = ids.incrementAndGet();
            var command = RawClient.JSON.createObjectNode().put("id", id).put("method", method);
            for (int i = 0; i < params.length; i += 2)
                command.withObject("/params").putPOJO((String) params[i], params[i + 1]);
            var answer = new CompletableFuture<JsonNode>();
            asked.put(id, answer);
            synchronized (socket) {
                socket.sendText(command.toString(), true).join();
            }
            var got = answer.orTimeout(PATIENCE.toSeconds(), TimeUnit.SECONDS).join();
            assertTrue(got.has("result"), got::toString);
            return got.get("result");
        }

        public Tab show(String url) {
            command("Page.navigate", "url", url);
            awaitThat("document.readyState === 'complete' && location.href !== 'about:blank'");
            return this;
        }

        public Tab width(int width) {
            command("Emulation.setDeviceMetricsOverride", "width", width, "height", 800, "deviceScaleFactor", 1,
                "mobile", width < 600);
            return this;
        }

        public Tab scheme(String scheme) {
            command("Emulation.setEmulatedMedia", "features",
                List.of(Map.of("name", "prefers-color-scheme", "value", scheme)));
            return this;
        }

        /** Returns the value of a JavaScript expression. */
        public JsonNode value(String expression) {
            var got = command("Runtime.evaluate", "expression", expression, "returnByValue", true,
                "awaitPromise", true, "userGesture", true);
            assertTrue(!got.has("exceptionDetails"), () -> expression + ": " + got);
            return got.at("/result/value");
        }

        public boolean is(String expression) { return value("Boolean(" + expression + ")").asBoolean(); }

        /** Returns what a reader sees of all elements that a selector names. */
        public String text(String selector) { return value(visible(selector)).asText(); }

        private static String visible(String selector) {
            return "[...document.querySelectorAll(" + quoted(selector)
                + ")].filter(each => each.checkVisibility()).map(each => each.innerText).join('\\n')";
        }

        public void click(String selector) {
            awaitThat("document.querySelector(" + quoted(selector) + ")?.checkVisibility()");
            value("document.querySelector(" + quoted(selector) + ").click()");
        }

        public void awaitThat(String expression) { await(expression, () -> is(expression)); }

        public void awaitText(String selector, String part) {
            try {
                awaitThat("(" + visible(selector) + ").includes(" + quoted(part) + ")");
            } catch (AssertionError e) {
                throw new AssertionError(part + " is not in " + text(selector), e);
            }
        }

        /** Saves a picture of the whole page. */
        public void picture(Path file) throws IOException {
            var data = command("Page.captureScreenshot", "captureBeyondViewport", true).get("data").asText();
            Files.write(file, Base64.getDecoder().decode(data));
        }

        public static String quoted(String text) { return RawClient.JSON.valueToTree(text).toString(); }

        @Override public CompletionStage<?> onText(WebSocket from, CharSequence data, boolean last) {
            message.append(data);
            if (last) {
                receive(RawClient.json(message.toString().getBytes(UTF_8)));
                message.setLength(0);
            }
            from.request(1);
            return null;
        }

        private void receive(JsonNode got) {
            if (got.has("id")) asked.remove(got.get("id").asInt()).complete(got);
            else if (List.of("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
                .contains(got.path("method").asText()))
                complaints.add(got.toString());
        }

        @Override public void close() {
            command("Page.close");
            socket.abort();
        }
    }
}
