package sheaf;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.ScriptedProvider.success;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;
import static sheaf.support.RawClient.json;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Result;
import sheaf.Sheaf.Results;
import sheaf.server.BatchServer;
import sheaf.support.Guide;
import sheaf.support.RawClient;

/** The lines that a draft makes, and what is refused before anything is sent. */
class RequestsTest {
    @TempDir Path home;
    @AutoClose private final ScriptedProvider scripted = new ScriptedProvider();
    private BatchServer server;                    // of the tests that need a real one

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

    @AfterEach void close() { if (server != null) server.close(); }

    @Tag("C1")
    @Test void promptsAreSentAsOneJsonObjectALine() {
        ask("two\nlines\r\n", "\uFEFFmark", "tab\t", "\r").submit();

        assertTidy(4, scripted.sentFile());
    }

    @Tag("C1")
    @Test void anUntidyFileIsSentAsOneJsonObjectALine() throws IOException {
        var line = Guide.LINE;

        requests("\uFEFF" + line + "\r\n\n \t\n" + line.replace("request-1", "b").replace(",\"url", "\r,\"url"))
            .submit();

        assertTidy(2, scripted.sentFile());
    }

    private static void assertTidy(int lines, String file) {
        assertTrue(file.startsWith("{\"") && file.endsWith("}\n"), file);
        assertFalse(file.contains("\r"), file);
        assertEquals(lines, file.split("\n").length);
        for (var line : file.split("\n")) assertTrue(json(line.getBytes(UTF_8)).isObject(), line);
    }

    @Tag("C2")
    @Test void separatorsAndLoneSurrogatesSurviveTheRoundTrip() {
        var hostile = "a\u2028b\u2029c\u0085d \ud83d\ude00 \u00e9 \ud83d lone \ude00.";
        server = BatchServer.start();

        var result = ask(hostile).provider(served()).submit().results().iterator().next();

        assertEquals(hostile, result.row("value"));
        assertEquals(hostile, result.text());
    }

    @Tag("C2")
    @Test void separatorsInAFileAreEscapedOnTheirWay() throws IOException {
        requests(Guide.LINE.replace("ultimate", "\u2028\u2029\u0085\u00e9")).submit();

        var sent = scripted.sentFile();
        assertTrue(sent.contains("What is the \\u2028\\u2029\\u0085\u00e9 breakfast sandwich?"), sent);
    }

    @Tag("C3")
    @Test void anEmptyOrRepeatedIdIsRefusedBeforeAnythingIsSent() {
        assertSays("customId: rows 1 and 3 both give \"id a\"; an id is unique",
            ask("a", "b", "a").customId("id {{value}}")::submit);
        assertSays("customId: row 2 gives an empty id", ask("a", " ").customId("{{value}}")::submit);
        assertNothingSent();
    }

    @Tag("C3")
    @Test void aFileThatRepeatsOrLacksAnIdIsRefusedBeforeAnythingIsSent() throws IOException {
        var line = Guide.LINE;

        assertSays("requests: FILE line 3: custom_id \"request-1\" stands in line 1 too; an id is unique",
            requests(line + "\n\n" + line)::submit);
        assertSays("requests: FILE line 2: no custom_id; each line needs its own",
            requests(line + "\n" + line.replace("request-1", ""))::submit);
        assertNothingSent();
    }

    @Tag("C4")
    @Test void theIdOnTheWireIsShortWhateverTheUsersIs() {
        var longId = "\u00dcn\u00efcode ".repeat(30);
        scripted.completed(success("request-2", "two") + success("request-1", "one"), "");

        var results = ask("a", "b").customId(longId + "{{value}}").submit().results();

        assertEquals(List.of("request-1", "request-2"), scripted.sentLines().stream()
            .map(line -> line.path("custom_id").asText()).toList());
        assertEquals(List.of(longId + "a one", longId + "b two"),
            texts(results, result -> result.customId() + " " + result.text()));
    }

    @Tag("C4")
    @Test void aRetryKeepsWithinTheLengthOfIds() throws IOException {
        scripted.completed("", "");
        var first = requests(Guide.LINE.replace("request-1", "x".repeat(62))).submit().results();

        var again = first.retry().quiet();

        var wire = again.preview(1).lines().get(0).replaceFirst(".*?:\"(.*?)\".*", "$1");
        assertTrue(wire.matches("[a-z0-9-]{1,64}"), wire);
        scripted.completed(success(wire, "now"), "");
        assertEquals(List.of("x".repeat(62) + " now"),
            texts(first.merge(again.submit().results()), result -> result.customId() + " " + result.text()));
    }

    @Tag("C5")
    @Test void eachPartObeysBothLimitsInEncodedBytesAndTheAnswersComeBackInOrder() {
        server = BatchServer.start();
        var texts = IntStream.range(0, 20).mapToObj(i -> "\u00e9\u20ac\ud83d\ude00".repeat(i % 5 * 9) + i)
            .toArray(String[]::new);

        var results = ask(texts).provider(served().limits(3, 700)).submit().results();

        assertEquals(List.of(texts), texts(results, Result::text));
        var client = new RawClient(() -> server.baseUrl());
        var parts = client.ids("/files?purpose=batch").stream()
            .map(id -> client.get("/files/" + id + "/content").body()).toList();
        assertTrue(parts.stream().allMatch(part -> part.length <= 700));
        assertTrue(parts.stream().allMatch(part -> new String(part, UTF_8).split("\n").length <= 3));
        assertTrue(parts.size() > 20 / 3 + 1, "none was cut by its bytes");
    }

    @Tag("C7")
    @Test void aLineOverTheLimitIsRefusedWithItsIdAndItsSize() throws IOException {
        var rows = rows(Map.of("id", "a", "text", "x"), Map.of("id", "b", "text", "x".repeat(300)));

        assertSays("prompts: row 2 (ticket b) makes a request of 434 bytes; local takes 300 in one file; shorten the "
            + "row", batch().provider(scripted.provider().limits(10, 300)).quiet().model("m").prompts("{{text}}", rows)
                .customId("ticket {{id}}")::submit);
        assertSays("requests: line 1 (request-1) makes a request of 284 bytes; local takes 250 in one file; shorten "
            + "the row", requests(Guide.LINE).provider(scripted.provider().limits(10, 250))::submit);
        assertNothingSent();
    }

    @Tag("C8")
    @Test void aStreamIsRefusedBeforeAnythingIsSent() throws IOException {
        assertSays("with: a batch cannot stream; leave stream out", () -> batch().with("stream", true));
        assertSays("requests: FILE line 1: stream is true; a batch cannot stream",
            requests(Guide.LINE.replace("\"max_c", "\"stream\":true,\"max_c"))::submit);
        assertNothingSent();
    }

    @Tag("C10")
    @ParameterizedTest
    @ValueSource(strings = {"/v1/", "/openai/v1", "/v1beta/openai/"})
    void theBaseUrlDoesNotLeakIntoTheLines(String path) {
        ask("a").provider(Provider.of(scripted.baseUrl(path))).submit();

        assertEquals("/v1/chat/completions", scripted.sentLines().get(0).path("url").asText());
        assertEquals("/v1/chat/completions", scripted.sentBatch().path("endpoint").asText());
        assertEquals("POST " + path.replaceFirst("/+$", "") + "/batches", scripted.heard("POST /batches").get(0)
            .route());
    }

    @Tag("C10")
    @Test void theEndpointIsTheUrlOfAFilesLines() throws IOException {
        requests(Guide.LINE.replace("/v1/chat/completions", "/v1/embeddings")).submit();

        assertEquals("/v1/embeddings", scripted.sentBatch().path("endpoint").asText());
    }

    private Draft ask(String... texts) { return scripted.ask(texts); }

    private Draft requests(String content) throws IOException {
        var file = Files.writeString(home.resolve("r.jsonl"), content);
        return batch().provider(scripted.provider()).quiet().requests(file);
    }

    private void assertNothingSent() { assertEquals(List.of(), scripted.heard("")); }

    private void assertSays(String message, Executable call) {
        assertEquals(message.replace("FILE", home.resolve("r.jsonl").toString()),
            assertThrows(RuntimeException.class, call).getMessage());
    }

    private static <T> List<T> texts(Results results, Function<Result, T> property) {
        return results.stream().map(property).toList();
    }

    private Provider served() { return Provider.of(server.baseUrl()); }
}
