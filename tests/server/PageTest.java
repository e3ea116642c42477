package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;
import static sheaf.support.Browser.await;
import static sheaf.support.RawClient.JSON;
import static sheaf.support.RawClient.json;
import static sheaf.support.RawClient.lines;

import com.sun.net.httpserver.HttpServer;
import java.io.File;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpRequest;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import sheaf.Sheaf;
import sheaf.support.Browser;
import sheaf.support.FakeEngine.Instead;
import sheaf.support.FakeEngine;
import sheaf.support.Opened;
import sheaf.support.RawClient;

/** The page, in a browser; where there is none, nothing of it is tested. */
class PageTest {
    static final String HOSTILE =
        "<img src=x onerror=window.hit=1><script>window.hit=1</script> \u202egnp.exe \ud83c\udf3e";
    static Optional<Browser> browser;

    @AutoClose final Opened open = new Opened();
    BatchServer server = open.add(BatchServer.options().concurrency(2).start());
    final RawClient client = new RawClient(() -> server.baseUrl());

    @AfterAll static void closeBrowser() throws Exception {
        if (browser != null && browser.isPresent()) browser.get().close();
        browser = null;
    }

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
        server.pause();
        var id = client.create(lines(Collections.nCopies(30, "word").toArray(String[]::new)));
        var tab = tab();
        tab.click("#batches .open");
        tab.awaitText("#rows > li:nth-child(20) .outcome", "waiting");
        tab.click("#rows > li:nth-child(20) summary");
        tab.awaitText("#rows > li:nth-child(20) .request", "request-20");
        tab.value("window.kept = document.querySelector('#rows > li:nth-child(20) summary'); kept.focus()");
        tab.value("kept.scrollIntoView(), window.top0 = scrollY");

        server.resume();
        client.finishedBatch(id);
        tab.awaitText("#rows > li:nth-child(20) .response", "status_code");

        assertTrue(tab.is("document.activeElement === kept && kept.parentNode.open && scrollY > top0 - 300"));
        assertEquals("completed", tab.text("#rows > li:nth-child(20) .outcome"));
        assertEquals(List.of(), tab.complaints);
    }

    @Test void eachAnswerStandsBesideItsQuestion() {
        server.answer(body -> body.toString().contains("two") ? BatchServer.Reply.error(429, "busy", "Slow down.")
            : BatchServer.Reply.text("fine").finishReason("length"));
        client.finishedBatch(client.create(lines("one", "two")));
        var tab = tab();
        tab.awaitText("#batches .counts", "1 completed, 1 failed of 2 requests");

        tab.click("#batches .open");

        tab.awaitText("#rows > li:nth-child(1)", "completed\nrequest-1\nlength\nline 1\n\none\n\nfine");
        tab.awaitText("#rows > li:nth-child(2)", "failed\nrequest-2\n429 busy\nline 2\n\ntwo\n\nSlow down.");
        assertFalse(tab.is("document.querySelector('#all').checkVisibility()"));
        assertEquals("one-head", tab.value("document.activeElement.id").asText());
        tab.value("history.back()");
        tab.awaitText("#batches-head", "Batches");
        assertEquals(List.of(), tab.complaints);
    }

    @Test void aBatchIsShownByItsNameAndItsMetadata() {
        create("sheaf", "0a/1-1/tickets/t0ken", "owner", "ann");
        create("sheaf", "0b/1-50/films/t0ken");
        create("sheaf", "0b/2-50/films/t0ken");
        create("description", "nightly evaluation");
        create("sheaf", "of somebody else");
        var id = client.create(lines("one"));
        var tab = tab();

        tab.awaitText("#batches .id", id);

        assertEquals("nightly evaluation\nfilms, part 2\nfilms, part 1\ntickets", tab.text("#batches .name"));
        assertEquals("sheafof somebody else\ndescriptionnightly evaluation\nownerann",
            tab.text("#batches .metadata"));
    }

    @Test void aLongTextIsCutAndShownWholeOnDemand() {
        server.reply(text -> "word ".repeat(1_000) + "end");
        client.finishedBatch(client.create(lines("one")));
        var tab = tab();
        tab.click("#batches .open");
        tab.awaitText("#rows summary", "All of it, 4,403 characters more");
        assertEquals("word ".repeat(120) + "\u2026", tab.text("#rows .answer"));

        tab.click("#rows summary");

        tab.awaitText("#rows .answer", "word end");
        tab.awaitText("#rows .response", "\"status_code\" : 200");
    }

    @Test void aLargeBatchOpensWithoutBeingLoaded() {
        var texts = IntStream.range(0, 5_000).mapToObj(i -> i % 100 == 7 ? "odd" : "even").toArray(String[]::new);
        server.answer(body -> body.toString().contains("odd") ? BatchServer.Reply.error(400, "odd", "No.")
            : BatchServer.Reply.text("word ".repeat(100)));
        var id = client.create(lines(texts));
        client.finishedBatch(id);
        var tab = tab();

        tab.click("#batches .open");
        tab.awaitText("#rows-place", "Lines 1\u201325 of 5,000");
        tab.awaitText("#outcomes", "All 5,000\nCompleted 4,950\nFailed 50");
        tab.click("#later");
        tab.awaitText("#rows-place", "Lines 26\u201350 of 5,000");
        assertTrue(tab.is("performance.getEntriesByType('resource')"
            + ".reduce((sum, each) => sum + each.encodedBodySize, 0) < 100000"));

        tab.click("#outcomes [value=failed]");
        tab.awaitText("#rows-place", "Lines 8\u20132,408 of 5,000");
        assertEquals("#batch=" + id + "&outcome=failed", tab.value("location.hash").asText());
        tab.click("#later");
        tab.awaitText("#rows-place", "Lines 2,508\u20134,908 of 5,000");
        assertTrue(tab.is("document.getElementById('later').disabled"));
        tab.click("#earlier");
        tab.awaitText("#rows-place", "Lines 8\u20132,408 of 5,000");
        assertEquals(List.of(), tab.complaints);
    }

    @Test void aLinkShowsWhatItsSenderSaw() {
        var id = client.create(lines(IntStream.range(0, 90).mapToObj(i -> "text " + i).toArray(String[]::new)));
        client.finishedBatch(id);

        var tab = tab("#status=completed&batch=" + id + "&find=TEXT+8&from=10");
        tab.awaitText("#rows .question", "text 80\ntext 81\ntext 82");
        assertEquals("TEXT 8", tab.value("document.getElementById('row-text').value").asText());
        type(tab, "row-text", "request-77");
        tab.awaitThat("document.querySelectorAll('#rows > li').length === 1");
        assertEquals("#status=completed&batch=" + id + "&find=request-77", tab.value("location.hash").asText());
        type(tab, "row-text", "nowhere");
        tab.awaitText("#rows-state", "No request is like that.");
        tab.click("#back");
        tab.awaitText("#batches .id", id);
        assertEquals("#status=completed", tab.value("location.hash").asText());
        assertEquals("All 1\nRunning 0\nCompleted 1\nFailed 0", tab.text("#statuses"));
        assertTrue(tab.is("document.querySelector('[value=completed]').ariaPressed === 'true'"));

        tab.show("about:blank#");
        tab = tab("#batch=batch_nix&from=-1&outcome=%3Cimg%3E");
        tab.awaitText("#one-name", "No batch found with id 'batch_nix'.");
    }

    @Test void batchesAreFilteredByStatusAndText() {
        var refused = client.create("{}\n");
        var named = create("sheaf", "0a/1-1/tickets/t0ken");
        client.finishedBatch(refused);
        client.finishedBatch(named);
        var tab = tab();
        tab.awaitText("#statuses", "All 2\nRunning 0\nCompleted 1\nFailed 1");

        tab.click("#statuses [value=failed]");
        tab.awaitThat("document.querySelectorAll('#batches > li').length === 1");
        tab.awaitText("#batches .id", refused);
        tab.click("#statuses [value='']");
        tab.awaitThat("document.querySelectorAll('#batches > li').length === 2");
        type(tab, "batch-text", "TICK");
        tab.awaitThat("document.querySelectorAll('#batches > li').length === 1");
        tab.awaitText("#batches .id", named);
        assertEquals("#text=TICK", tab.value("location.hash").asText());
        type(tab, "batch-text", "nowhere");
        tab.awaitText("#no-match", "No batch is like that. All batches");
        tab.click("#no-match a");
        tab.awaitThat("document.querySelectorAll('#batches > li').length === 2");
    }

    @Test void theKeyboardAloneLeadsToAnAnswerAndBack() {
        var id = client.create(lines("one"));
        client.finishedBatch(id);
        var tab = tab();
        tab.awaitText("#batches .id", id);

        press(tab, "#batches .open");
        tab.awaitText("#rows .answer", "one");
        press(tab, "#outcomes [value=failed]");
        tab.awaitText("#rows-state", "No request is like that.");
        press(tab, "#outcomes [value='']");
        press(tab, "#rows summary");
        tab.awaitText("#rows .response", "status_code");
        press(tab, "#back");
        tab.awaitText("#batches .id", id);
    }

    @Test void whatWasCancelledIsToldFromWhatFailed() {
        server.pause();
        var id = client.create(lines("one", "two"));
        await("it has begun", () -> client.counted(id, "total") == 2);
        client.cancel(id);
        server.resume();
        client.finishedBatch(id);
        var tab = tab();

        tab.awaitText("#batches .counts", "0 completed, 0 failed, 2 cancelled of 2 requests");
        assertEquals("0%0%0%100%", tab.value("[...document.querySelectorAll('#batches .bar span')]"
            + ".map(each => each.style.width).join('')").asText());
        tab.click("#batches .open");
        tab.awaitText("#rows > li:nth-child(2)", "cancelled\nrequest-2\nbatch_cancelled\nline 2\n\ntwo");
        assertFalse(tab.is("getComputedStyle(document.querySelector('#rows .mark')).color === "
            + "getComputedStyle(document.querySelector('.grave')).color"));
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
        asked.putObject("metadata").put(HOSTILE.substring(0, 60), HOSTILE)
            .put("long", "y".repeat(512)).put("name", HOSTILE);
        client.finishedBatch(json(client.create(asked)).get("id").asText());
        client.finishedBatch(client.create("{\"custom_id\":" + JSON.valueToTree(HOSTILE) + ",\"method\":"
            + JSON.valueToTree(HOSTILE) + ",\"url\":\"x\",\"body\":{}}\n"));
        var tab = tab().width(360);

        var harmless = HOSTILE.replace('\u202e', '\ufffd');
        tab.awaitText("#batches .metadata", harmless);
        tab.awaitText("#batches .first", harmless);
        tab.awaitText("#batches .name", harmless);
        tab.awaitText("#files .name", "<img src=x onerror=hit()>.jsonl");
        tab.click("#batches > li:nth-child(2) .open");
        tab.awaitText("#one-name", harmless);
        tab.awaitText("#rows .answer", "</script>" + harmless);
        tab.awaitText("#rows .question", harmless);
        tab.awaitText("#rows .custom-id", harmless + "xxx");
        tab.click("#rows summary");
        tab.awaitText("#rows .response", "</script>" + harmless);
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

    @ParameterizedTest
    @ValueSource(ints = {1280, 360})
    void eachOfSeveralEnginesIsShownByHowItIs(int width) {
        var well = engine(null);
        var limited = engine(new Instead(429, "{\"error\":{\"message\":\"today no more\"}}", "Retry-After", "20000"));
        var ill = engine(new Instead(500, "{\"error\":{\"message\":\"out of memory\"}}"));
        server = open.add(BatchServer.options().concurrency(4).engine(well.url()).anotherEngine(limited.url())
            .anotherEngine(ill.url()).anotherEngine("http://127.0.0.1:1/v1").start());
        well.slowDown(400);
        var id = client.create(lines(Collections.nCopies(4_000, "one").toArray(String[]::new))
            .replace("\"m\"", "\"" + FakeEngine.MODEL + "\""));
        var tab = tab().width(width);

        await("well", () -> tab.text("#engines > li:nth-child(1)").matches("(?s)well\n" + well.url() + "\n"
            + "[0-9.]+ s an answer\\W*\\d requests? under way"));
        tab.awaitText("#engines > li:nth-child(2)", "429 today no more");
        tab.awaitText("#engines > li:nth-child(3)", "left out for a moment\n" + ill.url() + "\n500 out of memory");
        tab.awaitText("#engines > li:nth-child(4)", "does not answer\nhttp://127.0.0.1:1/v1");

        assertTrue(tab.text("#engines > li:nth-child(2) .state").matches("takes no more until .*\\d:\\d\\d.*"));
        assertTrue(tab.is("document.documentElement.scrollWidth <= " + width));
        client.cancel(id);
        client.finishedBatch(id);
        assertEquals(List.of(), tab.complaints);
    }

    @Test void aKeyThatAnEngineDoesNotTakeIsNoFaultOfTheFile() {
        var engine = engine(new Instead(401, "{\"error\":{\"message\":\"who are you?\"}}"));
        server = open.add(BatchServer.options().engine(engine.url()).start());
        client.finishedBatch(client.create(lines("one")));
        var tab = tab();

        tab.awaitText("#batches .faults", "The engine answers none of its requests:\n\n" + engine.url()
            + " wants a key (401 who are you?); set SHEAF_ENGINE_KEY to its key (invalid_api_key)");
    }

    @Test void theOnlyEngineIsShownIfItIsNotWell() throws Exception {
        var engine = engine(null);
        server = open.add(BatchServer.options().engine(engine.url()).start());
        var tab = tab();
        tab.awaitText("#models", FakeEngine.MODEL);
        assertTrue(tab.is("document.getElementById('engines-shown').hidden"));

        engine.close();
        client.get("/models");

        tab.awaitText("#engines", "does not answer\n" + engine.url());
        assertEquals("Engine", tab.text("#engines-head"));
    }

    private FakeEngine engine(Instead refusal) {
        var engine = FakeEngine.start(FakeEngine.Kind.VLLM, 1_000, 4, 1).limit(0, refusal);
        open.add(engine);
        return engine;
    }

    @Test void aBatchIsCancelledOnceThatIsConfirmed() {
        server.pause();
        var id = client.create(lines("one", "two"));
        var tab = tab();

        tab.click("#batches .cancel");
        tab.awaitText("#sure-question", "Cancel " + id + "?");
        tab.click("#sure-no");
        await("still in progress", () -> client.found(id).get("status").asText().equals("in_progress"));
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
        server = open.add(BatchServer.options().apiKey("secret").start());
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
        open.add(BatchServer.options().store(store).port(port).start());

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

        await("still in progress", () -> client.found(id).get("status").asText().equals("in_progress"));
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

    String root() { return server.baseUrl().replaceFirst("v1$", ""); }

    /** Opens the page in the browser of this machine; without one, the test is skipped. */
    Browser.Tab tab() { return tab(""); }

    Browser.Tab tab(String address) {
        try {
            if (browser == null) browser = Browser.start();
            assumeTrue(browser.isPresent(), "no Chromium");
            var tab = browser.get().open();
            open.add(tab);
            return tab.width(1280).show(root() + address);
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    /** Returns what a page gets when its script sends a request. */
    static String fetched(Browser.Tab tab, String url, String options) {
        return tab.value("fetch('" + url + "', {" + options + "})"
            + ".then(got => got.type + ' ' + got.status, () => 'blocked')").asText();
    }

    /** Presses Enter on an element that can have the focus. */
    static void press(Browser.Tab tab, String selector) {
        tab.awaitThat("document.querySelector(\"" + selector + "\")?.checkVisibility()");
        tab.awaitThat("(document.querySelector(\"" + selector + "\").focus(), document.activeElement"
            + ".matches(\"" + selector + "\"))");
        for (var type : List.of("keyDown", "keyUp"))
            tab.command("Input.dispatchKeyEvent", "type", type, "key", "Enter", "code", "Enter",
                "windowsVirtualKeyCode", 13, "text", type.equals("keyDown") ? "\r" : "");
    }

    static void type(Browser.Tab tab, String input, String text) {
        tab.value("document.getElementById('" + input + "').value = '" + text + "'");
        tab.value("document.getElementById('" + input + "').dispatchEvent(new Event('input')) && 0");
    }

    /** Creates a batch of one request, with names and values of metadata by turns. */
    String create(String... metadata) {
        var asked = RawClient.batch(client.upload(lines("one")));
        for (int i = 0; i < metadata.length; i += 2)
            asked.withObject("/metadata").put(metadata[i], metadata[i + 1]);
        return json(client.create(asked)).get("id").asText();
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

    static boolean isInstalled(String program) {
        return Stream.of(System.getenv("PATH").split(File.pathSeparator))
            .anyMatch(folder -> Files.isExecutable(Path.of(folder, program)));
    }
}
