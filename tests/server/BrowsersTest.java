package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.support.RawClient.json;
import static sheaf.support.RawClient.lines;
import static sheaf.support.RawClient.names;

import java.io.IOException;
import java.net.Socket;
import java.net.URI;
import java.net.URL;
import java.net.http.HttpRequest;
import java.security.MessageDigest;
import java.util.Base64;
import java.util.List;
import java.util.Set;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import sheaf.Sheaf;
import sheaf.support.Opened;
import sheaf.support.RawClient;

/** What browsers may and may not do, seen on the wire: the page itself, and the pages of other sites. */
class BrowsersTest {
    @AutoClose final Opened open = new Opened();
    BatchServer server = open.add(BatchServer.options().concurrency(2).start());
    final RawClient client = new RawClient(() -> server.baseUrl());

    @Test void thePolicyLetsOnlyThePagesOwnStyleAndScriptRun() throws Exception {
        var page = RawClient.send(HttpRequest.newBuilder(URI.create(root())));
        var html = new String(page.body(), UTF_8);
        var policy = page.headers().firstValue("Content-Security-Policy").orElse("");

        assertEquals("text/html; charset=utf-8", page.headers().firstValue("Content-Type").orElse(""));
        assertEquals("default-src 'none'; connect-src 'self'; img-src data:; style-src " + hash(html, "style")
            + "; script-src " + hash(html, "script") + "; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
            + " require-trusted-types-for 'script'; trusted-types 'none'", policy);
    }

    @Test void thePageHasNoAssetElsewhereAndNoMarkupInItsScript() throws Exception {
        var html = new String(RawClient.send(HttpRequest.newBuilder(URI.create(root()))).body(), UTF_8);

        assertEquals(List.of(), all("innerHTML|outerHTML|insertAdjacentHTML|document\\.write|eval\\(", html));
        assertEquals(List.of("http://www.w3.org/2000/svg"), all("https?://[^'\"\\s]+", html));
    }

    @ParameterizedTest
    @ValueSource(strings = {"/", "/v1/batches", "/v1/files/FILE/content", "/v1/nope", "/v1/%zz"})
    void everyAnswerSaysThatItIsNeitherSniffedNorStoredNorShared(String path) throws IOException {
        var answer = raw("GET", path.replace("FILE", client.upload(lines("one"))), "");

        for (var header : List.of("X-Content-Type-Options: nosniff", "Referrer-Policy: no-referrer",
            "Cache-Control: no-store", "Cross-Origin-Resource-Policy: same-origin"))
            assertTrue(answer.contains("\r\n" + header + "\r\n"), answer);
    }

    @Tag("S23")
    @Test void thePageNeedsNoKeyButAllElseDoes() throws IOException {
        server = open.add(BatchServer.options().apiKey("secret").start());

        assertTrue(raw("GET", "/", "").startsWith("HTTP/1.1 200"));
        assertTrue(raw("POST", "/", "").startsWith("HTTP/1.1 401"));
        assertTrue(raw("GET", "/v1/batches", "").startsWith("HTTP/1.1 401"));
    }

    @Test void withoutItsFileTheServerStillWorks() throws Exception {
        var pageless = new Pageless().loadClass("sheaf.server.BatchServer");
        try (var other = (AutoCloseable) pageless.getMethod("start").invoke(null)) {
            var baseUrl = (String) pageless.getMethod("baseUrl").invoke(other);
            var toOther = new RawClient(() -> baseUrl);

            var page = RawClient.send(HttpRequest.newBuilder(URI.create(baseUrl.replace("/v1", "/"))));

            assertEquals(404, page.statusCode());
            assertEquals("Unknown request URL: GET /.", json(page).at("/error/message").asText());
            assertEquals("completed", toOther.finished(toOther.upload(lines("one"))).get("status").asText());
        }
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "plain.jsonl | plain.jsonl | plain.jsonl",
        "my file.jsonl | my file.jsonl | my%20file.jsonl",
        "na\u00efve.jsonl | na_ve.jsonl | na%C3%AFve.jsonl",
        "a;b%41.jsonl | a_b_41.jsonl | a%3Bb%2541.jsonl",
        "x\u202egnp.exe | x_gnp.exe | x_gnp.exe",
        "<b>.html | _b_.html | _b_.html",
        ".. | file | file"})
    void contentIsSavedUnderASafeName(String given, String ascii, String encoded) {
        var file = json(client.upload("<script>alert(1)</script>".getBytes(UTF_8), given, "user_data"));

        var content = client.get("/files/" + file.get("id").asText() + "/content").headers();

        assertEquals("attachment; filename=\"" + ascii + "\"; filename*=UTF-8''" + encoded,
            content.firstValue("Content-Disposition").orElse(""));
        assertEquals("application/octet-stream", content.firstValue("Content-Type").orElse(""));
    }

    @Test void aLongNameIsCutAndKeepsItsEnding() {
        var file = json(client.upload("x".getBytes(UTF_8), "\u00fc".repeat(2_000) + ".jsonl", "user_data"));

        var content = client.get("/files/" + file.get("id").asText() + "/content");

        var named = content.headers().firstValue("Content-Disposition").orElse("");
        assertEquals(200, content.statusCode());
        assertTrue(named.endsWith("%C3%BC.jsonl") && named.length() < 1_000, named);
    }

    @ParameterizedTest
    @ValueSource(strings = {"evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example",
        "10.0.0.1", "0.0.0.0", "[::2]:80"})
    void aHostThatIsNotThisMachineIsRefused(String host) throws IOException {
        var answer = raw("GET", "/v1/batches", "", host);

        assertRefused("host_not_allowed", answer);
        assertTrue(answer.contains("Host '" + host + "' is not a name of this machine; call the server as localhost or"
            + " 127.0.0.1, or start it with an API key."), answer);
    }

    @ParameterizedTest
    @ValueSource(strings = {"localhost", "LOCALHOST:1", "127.0.0.1", "127.1.2.3:65535", "[::1]", "[::1]:8080"})
    void anyNameOfThisMachineWillDo(String host) throws IOException {
        assertTrue(raw("GET", "/v1/batches", "", host).startsWith("HTTP/1.1 200"));
    }

    @Test void withAKeyAnyHostWillDo() throws IOException {
        server = open.add(BatchServer.options().apiKey("secret").start());

        var answer = raw("GET", "/v1/batches", "Authorization: Bearer secret\r\n", "batches.example");

        assertTrue(answer.startsWith("HTTP/1.1 200"), answer);
    }

    @ParameterizedTest(name = "{0} from {1}")
    @CsvSource({"GET, https://evil.example", "POST, https://evil.example", "DELETE, https://evil.example",
        "OPTIONS, https://evil.example", "PUT, 'null'", "POST, 'null'", "GET, 'null'", "POST, http://127.0.0.1:1",
        "POST, http://127.0.0.1", "POST, ftp://HOST", "POST, HOST"})
    void anotherOriginIsRefusedWhateverTheMethod(String method, String origin) throws IOException {
        var answer = raw(method, "/v1/batches", "Origin: " + origin.replace("HOST", host()) + "\r\n");

        assertRefused("origin_not_allowed", answer);
        assertFalse(answer.contains("Access-Control"), answer);
    }

    @Test void anotherOriginIsRefusedWithAKeyToo() throws IOException {
        server = open.add(BatchServer.options().apiKey("secret").start());

        assertRefused("origin_not_allowed", raw("GET", "/v1/batches",
            "Authorization: Bearer secret\r\nOrigin: https://evil.example\r\n"));
    }

    @Test void thePagesOwnOriginIsWelcome() throws IOException {
        var answer = raw("GET", "/v1/batches", "Origin: http://" + host() + "\r\nSec-Fetch-Site: same-origin\r\n");

        assertTrue(answer.startsWith("HTTP/1.1 200"), answer);
    }

    @Test void aRequestOfAnotherSitesPageIsRefused() throws IOException {
        assertRefused("origin_not_allowed", raw("GET", "/v1/batches", "Sec-Fetch-Site: cross-site\r\n"));
        assertRefused("origin_not_allowed", raw("GET", "/", "Sec-Fetch-Site: cross-site\r\n"));
    }

    @Test void aLinkOnAnotherSiteMayLeadToThePageOnly() throws IOException {
        var visit = "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n";

        assertTrue(raw("GET", "/", visit).startsWith("HTTP/1.1 200"));
        assertRefused("origin_not_allowed", raw("GET", "/v1/batches", visit));
        assertRefused("origin_not_allowed", raw("GET", "/", visit.replace("document", "iframe")));
    }

    @Test void aPreflightGetsNoPermission() throws IOException {
        var answer = raw("OPTIONS", "/v1/batches", "Access-Control-Request-Method: POST\r\n");

        assertTrue(answer.startsWith("HTTP/1.1 405"), answer);
        assertFalse(answer.contains("Access-Control"), answer);
    }

    @Test void openAisOwnClientIsNoStranger() {
        assertTrue(Sheaf.Provider.of(server.baseUrl()).models().toString().contains("echo"));
    }

    String root() { return server.baseUrl().replaceFirst("v1$", ""); }

    String host() { return URI.create(root()).getAuthority(); }

    String raw(String method, String path, String headers) throws IOException {
        return raw(method, path, headers, host());
    }

    /** Sends a request with any Host header and returns all that comes back. */
    String raw(String method, String path, String headers, String host) throws IOException {
        var to = URI.create(server.baseUrl());
        try (var socket = new Socket(to.getHost(), to.getPort())) {
            socket.setSoTimeout(60_000);
            socket.getOutputStream().write((method + " " + path + " HTTP/1.1\r\nHost: " + host
                + "\r\nConnection: close\r\nContent-Length: 0\r\n" + headers + "\r\n").getBytes(UTF_8));
            return new String(socket.getInputStream().readAllBytes(), UTF_8);
        }
    }

    static void assertRefused(String code, String answer) {
        assertTrue(answer.startsWith("HTTP/1.1 403"), answer);
        var error = json(answer.substring(answer.indexOf("\r\n\r\n") + 4).getBytes(UTF_8)).get("error");
        assertEquals(Set.of("message", "type", "param", "code"), names(error));
        assertEquals(code, error.get("code").asText());
    }

    static String hash(String html, String element) throws Exception {
        var content = all("(?s)(?<=<" + element + ">).*?(?=</" + element + ">)", html).get(0);
        var digest = MessageDigest.getInstance("SHA-256").digest(content.getBytes(UTF_8));
        return "'sha256-" + Base64.getEncoder().encodeToString(digest) + "'";
    }

    static List<String> all(String regex, String text) {
        var matcher = Pattern.compile(regex).matcher(text);
        return matcher.results().map(found -> found.group()).toList();
    }

    /** Loads the server anew, as it is where its page was left out. */
    private static final class Pageless extends ClassLoader {
        @Override protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
            var loaded = findLoadedClass(name);
            if (loaded != null) return loaded;
            return name.startsWith("sheaf.server.") ? findClass(name) : super.loadClass(name, resolve);
        }

        @Override protected Class<?> findClass(String name) throws ClassNotFoundException {
            try (var file = getResourceAsStream(name.replace('.', '/') + ".class")) {
                var bytes = file.readAllBytes();
                return defineClass(name, bytes, 0, bytes.length);
            } catch (IOException e) {
                throw new ClassNotFoundException(name, e);
            }
        }

        @Override public URL getResource(String name) {
            return name.endsWith(".html") ? null : super.getResource(name);
        }
    }
}
