package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;
import static sheaf.support.Browser.await;
import static sheaf.support.RawClient.JSON;
import static sheaf.support.RawClient.json;
import static sheaf.support.RawClient.lines;
import static sheaf.support.RawClient.names;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.sun.net.httpserver.HttpServer;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.URI;
import java.net.URL;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import sheaf.Sheaf;
import sheaf.support.Browser;
import sheaf.support.RawClient;

class PageTest {
    static final String HOSTILE =
        "<img src=x onerror=window.hit=1><script>window.hit=1</script> \u202egnp.exe \ud83c\udf3e";
    static Optional<Browser> browser;

    final List<AutoCloseable> open = new ArrayList<>();
    BatchServer server = opened(BatchServer.options().concurrency(2));
    final RawClient client = new RawClient(() -> server.baseUrl());

    @AfterEach void close() throws Exception {
        for (int i = open.size(); i-- > 0; )
            open.get(i).close();
    }

    @AfterAll static void closeBrowser() throws Exception {
        if (browser != null && browser.isPresent()) browser.get().close();
        browser = null;
    }

    // ---- on the wire: the page ----

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
        server = opened(BatchServer.options().apiKey("secret"));

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

    // ---- on the wire: other sites ----

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
        server = opened(BatchServer.options().apiKey("secret"));

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
        server = opened(BatchServer.options().apiKey("secret"));

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

    // ---- in a browser ----

    @Test void aBatchAppearsAndItsCountsChangeByThemselves() {
        var tab = tab();
        tab.awaitText("#no-batches", "There is no batch yet.");
        tab.awaitText("#models", "echo");

        server.pause();
        var id = client.create(lines("one", "two", "three"));
        tab.awaitText("#batches .id", id);
        tab.awaitText("#batches .status", "in progress");
        tab.awaitText("#batches .counts", "0 completed, 0 failed of 3 requests");
        server.resume();

        tab.awaitText("#batches .status", "completed");
        tab.awaitText("#batches .counts", "3 completed, 0 failed of 3 requests");
        tab.awaitText("#batches .usage", "3 tokens in, 3 out");
        tab.awaitText("#files .name", id + "_output.jsonl");
        tab.awaitThat("document.getElementById('news').textContent.includes('" + id + " is completed')");
        assertEquals(List.of(), tab.complaints);
    }

    @Test void anUpdateKeepsWhatIsOpenFocusedAndInView() {
        client.finishedBatch(client.create(lines("one")));
        var tab = tab();
        tab.click("#batches .answers summary");
        tab.awaitText("#batches .said", "one");
        tab.value("window.kept = document.querySelector('#batches .answers summary'); kept.focus()");
        tab.value("scrollTo(0, 50), window.top0 = kept.getBoundingClientRect().top");

        client.create(lines("two"));
        tab.awaitThat("document.querySelectorAll('#batches > li').length === 2");

        assertTrue(tab.is("document.activeElement === kept && kept.parentNode.open"));
        assertEquals("one", tab.text("#batches > li:nth-child(2) .said"));
        assertTrue(tab.is("scrollY > 0"));
    }

    @Test void errorsOfRequestsAreShownWithTheirIds() {
        server.answer(body -> body.toString().contains("two") ? BatchServer.Reply.error(429, "busy", "Slow down.")
            : BatchServer.Reply.text("fine").finishReason("length"));
        client.finishedBatch(client.create(lines("one", "two")));
        var tab = tab();

        tab.click("#batches .errors summary");
        tab.click("#batches .answers summary");

        tab.awaitText("#batches .errors li", "request-2 429 busy");
        tab.awaitText("#batches .errors .said", "Slow down.");
        tab.awaitText("#batches .answers li", "request-1 length");
        tab.awaitText("#batches .counts", "1 completed, 1 failed of 2 requests");
    }

    @Test void onlyTheBeginningOfALargeFileIsRead() {
        server.reply(text -> text.repeat(2_000));
        client.finishedBatch(client.create(lines(Collections.nCopies(200, "word").toArray(String[]::new))));
        var tab = tab();

        tab.click("#batches .answers summary");

        tab.awaitText("#batches .answers", "The file has more lines than these.");
        assertEquals(65_536, tab.value("performance.getEntriesByType('resource')"
            + ".find(each => each.name.endsWith('/content')).encodedBodySize").asInt());
    }

    @Test void aRefusedInputFileIsExplainedByItsFirstErrors() {
        client.finishedBatch(client.create("{\"custom_id\":\"a\"}\n".repeat(150)));
        var tab = tab();

        tab.awaitText("#batches .status", "failed");
        tab.awaitText("#batches .first", "line 3: Missing required parameter: 'method'. (missing_required_parameter)");
        tab.awaitText("#batches .faults summary", "and 97 more");
        tab.click("#batches .faults summary");
        tab.awaitText("#batches .rest", "line 100: ");
    }

    @Test void hostileTextsAreShownAsTextAndRunNothing() {
        var long5000 = HOSTILE + "x".repeat(5_000);
        server.reply(text -> "</script>" + HOSTILE + text);
        var file = json(client.upload(line(long5000, HOSTILE), "<img src=x onerror=hit()>.jsonl", "batch"));
        var asked = RawClient.batch(file.get("id").asText());
        asked.putObject("metadata").put(HOSTILE.substring(0, 60), HOSTILE).put("long", "y".repeat(512));
        client.finishedBatch(json(client.create(asked)).get("id").asText());
        client.finishedBatch(client.create("{\"custom_id\":" + JSON.valueToTree(HOSTILE) + ",\"method\":"
            + JSON.valueToTree(HOSTILE) + ",\"url\":\"x\",\"body\":{}}\n"));
        var tab = tab().width(360);

        tab.click("#batches .answers:not([hidden]) summary");

        var harmless = HOSTILE.replace('\u202e', '\ufffd');
        tab.awaitText("#batches .answers .said", "</script>" + harmless);
        tab.awaitText("#batches .custom-id", harmless + "xxx");
        tab.awaitText("#batches .metadata", harmless);
        tab.awaitText("#batches .first", harmless);
        tab.awaitText("#files .name", "<img src=x onerror=hit()>.jsonl");
        assertFalse(tab.is("window.hit || document.querySelector('main img, main script')"));
        assertTrue(tab.is("document.documentElement.scrollWidth <= 360"));
        assertEquals(List.of(), tab.complaints);
    }

    @ParameterizedTest
    @CsvSource({"1280, light", "360, dark"})
    void thePageIsAsWideAsTheScreen(int width, String scheme, @TempDir Path folder) throws IOException {
        client.finishedBatch(client.create(lines("one")));
        var tab = tab().width(width).scheme(scheme);
        tab.awaitText("#files .name", "in.jsonl");

        tab.picture(folder.resolve("page.png"));

        var picture = ImageIO.read(folder.resolve("page.png").toFile());
        assertTrue(picture.getWidth() <= width && picture.getWidth() > width - 30, "" + picture.getWidth());
        assertEquals(scheme.equals("light"), (picture.getRGB(1, 1) & 0xff) > 128);
    }

    @Test void aBatchIsCancelledOnceThatIsConfirmed() {
        server.pause();
        var id = client.create(lines("one", "two"));
        var tab = tab();

        tab.click("#batches .cancel");
        tab.awaitText("#sure-question", "Cancel " + id + "?");
        tab.click("#sure-no");
        assertEquals("in_progress", client.found(id).get("status").asText());
        tab.click("#batches .cancel");
        tab.click("#sure-yes");

        tab.awaitText("#batches .status", "cancel");
        server.resume();
        tab.awaitText("#batches .status", "cancelled");
        assertEquals("cancelled", client.finishedBatch(id).get("status").asText());
        assertEquals(List.of(), tab.complaints);
    }

    @Test void aFileIsDeletedOnceThatIsConfirmed() {
        var id = client.upload(lines("one"));
        var tab = tab();

        tab.click("#files .delete");
        tab.awaitText("#sure-question", "in.jsonl");
        tab.click("#sure-yes");

        tab.awaitText("#no-files", "There is no file yet.");
        assertEquals(404, client.get("/files/" + id).statusCode());
    }

    @Test void olderBatchesAreShownWhenAskedFor() {
        for (int i = 0; i < 23; i++)
            client.create(lines("one"));
        var tab = tab();
        tab.awaitThat("document.querySelectorAll('#batches > li').length === 20");

        tab.click("#older-batches");

        tab.awaitThat("document.querySelectorAll('#batches > li').length === 23");
        tab.awaitThat("document.getElementById('older-batches').hidden");
        assertEquals(client.ids("/batches?limit=100"), List.of(tab.text("#batches .id").split("\n")));
    }

    @Test void withAKeyThePageAsksForItAndKeepsItInTheTab(@TempDir Path folder) {
        server = opened(BatchServer.options().apiKey("secret"));
        var file = uploadWithKey("[1]", "na\u00efve list.json");
        var tab = tab();

        tab.awaitText("#key-wanted", "You didn't provide an API key.");
        giveKey(tab, "wrong");
        tab.awaitText("#key-wanted", "Incorrect API key provided.");
        giveKey(tab, "secret");
        tab.awaitText("#files .id", file);
        assertTrue(tab.is("document.getElementById('key').hidden"));
        tab.show(root());
        tab.awaitText("#files .id", file);

        assertEquals("secret", tab.value("sessionStorage.getItem('sheaf-key')").asText());
        assertTrue(tab.is("localStorage.length === 0 && !document.cookie && !location.href.includes('secret')"));
        assertEquals("[1]", downloaded(tab, folder, "na\u00efve list.json"));
    }

    @Test void aDownloadHasTheFilesName(@TempDir Path folder) {
        client.upload("<script>window.hit=1</script>".getBytes(UTF_8), "page.html", "user_data");

        assertEquals("<script>window.hit=1</script>", downloaded(tab(), folder, "page.html"));
    }

    @Test void aServerThatIsGoneIsMissedUntilItIsBack(@TempDir Path store) {
        var first = BatchServer.options().store(store).start();
        server = first;
        var id = client.create(lines("one"));
        client.finishedBatch(id);
        var tab = tab();
        tab.awaitText("#batches .id", id);

        int port = URI.create(first.baseUrl()).getPort();
        first.close();
        tab.awaitText("#trouble", "The server does not answer; trying again.");
        assertEquals(id, tab.text("#batches .id"));
        opened(BatchServer.options().store(store).port(port));

        tab.awaitThat("document.getElementById('trouble').hidden");
    }

    @Test void aPageOfAnotherSiteReadsNothingAndChangesNothing() throws IOException {
        server.pause();
        var id = client.create(lines("one"));
        var other = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
        other.createContext("/", exchange -> exchange.sendResponseHeaders(200, -1));
        other.start();
        open.add(() -> other.stop(0));
        var tab = tab().show("http://localhost:" + other.getAddress().getPort() + "/");
        tab.awaitThat("location.hostname === 'localhost'");
        var cancel = server.baseUrl() + "/batches/" + id + "/cancel";

        assertEquals("blocked", fetched(tab, server.baseUrl() + "/batches", ""));
        assertEquals("blocked", fetched(tab, cancel, "method: 'POST'"));
        assertEquals("blocked", fetched(tab, cancel, "method: 'POST', mode: 'no-cors'"));

        assertEquals("in_progress", client.found(id).get("status").asText());
    }

    @Test void aNameThatIsMadeToLeadHereLeadsNowhere() {
        int port = URI.create(server.baseUrl()).getPort();
        var tab = tab().show("http://rebound.test:" + port + "/");

        tab.awaitText("body", "Host 'rebound.test:" + port + "' is not a name of this machine");
        assertEquals("basic 403", fetched(tab, "/v1/batches", ""));
    }

    @Test void theInstructionsWorkAsTheyStand(@TempDir Path folder) throws Exception {
        var tab = tab();
        tab.awaitText("#sheaf", ".model(\"echo\")");
        assertEquals("batch().provider(Provider.of(\"" + server.baseUrl() + "\")).model(\"echo\")"
            + ".prompts(\"Why is {{value}}?\",rows(\"the sky blue\",\"grass green\"))"
            + ".submit().await().results().show();", tab.text("#sheaf").replaceAll("\\s*\\n\\s*|(?<=,) ", ""));

        var results = batch().provider(Sheaf.Provider.of(server.baseUrl())).model("echo")
            .prompts("Why is {{value}}?", rows("the sky blue", "grass green")).quiet().submit().await().results();
        assertEquals(List.of("Why is the sky blue?", "Why is grass green?"),
            results.stream().map(Sheaf.Result::text).toList());

        assumeTrue(isInstalled("bash") && isInstalled("curl"), "no bash or no curl");
        new ProcessBuilder("bash", "-c", tab.text("#curl")).directory(folder.toFile()).redirectErrorStream(true)
            .redirectOutput(folder.resolve("said").toFile()).start().waitFor();
        var id = json(Files.readAllBytes(folder.resolve("said"))).get("id").asText();
        assertEquals(2, client.finishedBatch(id).at("/request_counts/completed").asInt());
    }

    // ---- helpers ----

    BatchServer opened(BatchServer.Options options) {
        var started = options.start();
        open.add(started);
        return started;
    }

    String root() { return server.baseUrl().replaceFirst("v1$", ""); }

    String host() { return URI.create(root()).getAuthority(); }

    /** Opens the page in the browser of this machine; without one, the test is skipped. */
    Browser.Tab tab() {
        try {
            if (browser == null) browser = Browser.start();
            assumeTrue(browser.isPresent(), "no Chromium");
            var tab = browser.get().open();
            open.add(tab);
            return tab.width(1280).show(root());
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    /** Returns what a page gets when its script sends a request. */
    static String fetched(Browser.Tab tab, String url, String options) {
        return tab.value("fetch('" + url + "', {" + options + "})"
            + ".then(got => got.type + ' ' + got.status, () => 'blocked')").asText();
    }

    static void giveKey(Browser.Tab tab, String key) {
        tab.value("document.getElementById('key-given').value = '" + key + "'");
        tab.click("#key button");
    }

    static String downloaded(Browser.Tab tab, Path folder, String name) {
        tab.command("Browser.setDownloadBehavior", "behavior", "allow", "downloadPath", folder.toString());
        tab.click("#files .content");
        await("the download of " + name, () -> Files.exists(folder.resolve(name)));
        try {
            return Files.readString(folder.resolve(name));
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    String uploadWithKey(String content, String name) {
        var form = "--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nuser_data\r\n--b\r\n"
            + "Content-Disposition: form-data; name=\"file\"; filename=\"" + name + "\"\r\n\r\n" + content
            + "\r\n--b--\r\n";
        return json(RawClient.send(client.request("/files").header("Authorization", "Bearer secret")
            .header("Content-Type", "multipart/form-data; boundary=b").POST(HttpRequest.BodyPublishers.ofString(form))))
            .get("id").asText();
    }

    static byte[] line(String customId, String text) {
        var line = JSON.createObjectNode().put("custom_id", customId).put("method", "POST")
            .put("url", "/v1/chat/completions");
        line.set("body", RawClient.body(text));
        return (line + "\n").getBytes(UTF_8);
    }

    String raw(String method, String path, String headers) throws IOException {
        return raw(method, path, headers, host());
    }

    /** Sends a request with any Host header and returns all that comes back. */
    String raw(String method, String path, String headers, String host) throws IOException {
        var to = URI.create(server.baseUrl());
        try (var socket = new Socket(to.getHost(), to.getPort())) {
            socket.setSoTimeout(20_000);
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

    static boolean isInstalled(String program) {
        return Stream.of(System.getenv("PATH").split(File.pathSeparator))
            .anyMatch(folder -> Files.isExecutable(Path.of(folder, program)));
    }

    /** Loads the server anew, as it is where its page was left out. */
    private static final class Pageless extends ClassLoader {
        @Override protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
            var loaded = findLoadedClass(name);
            return loaded != null ? loaded : name.startsWith("sheaf.server.") ? findClass(name)
                : super.loadClass(name, resolve);
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
