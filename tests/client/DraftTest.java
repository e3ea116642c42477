package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;
import static sheaf.Sheaf.template;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.support.Guide;

class DraftTest {
    @TempDir Path dir;

    @Test void previewIsTheGuidesRequestLine() {
        var draft = batch().model("deepseek-ai/DeepSeek-V3").system("You are an experienced {{role}}.").maxTokens(1000)
            .prompts("{{question}}", rows(Map.of("role", "cook", "question",
            "What is the ultimate breakfast sandwich?")));

        assertEquals(List.of(Guide.LINE), draft.preview(1).lines());
    }

    @Test void aStepLeavesTheDraftItCameFromAsItWas() {
        var base = batch().model("m").prompts("a");

        base.temperature(1).system("s").prompts("b").maxTokens(3);

        assertEquals("Draft[m, 1 prompt]", base.toString());
        assertEquals(1, base.preview(9).lines().size());
    }

    @Test void requestsAreNumberedByRowThenTemplateThenModel() {
        var draft = batch().model("m1", "m2").prompts(List.of("a {{x}}", template("second", "b {{x}}")),
            rows(Map.of("x", 1), Map.of("x", 2)));

        var order = bodies(draft).stream().map(body -> body.at("/messages/0/content").asText() + "/"
            + body.path("model").asText()).toList();

        assertEquals(List.of("a 1/m1", "a 1/m2", "b 1/m1", "b 1/m2", "a 2/m1", "a 2/m2", "b 2/m1", "b 2/m2"), order);
    }

    @Test void systemModelImageAndExamplesAreTemplatesToo() {
        var body = bodies(batch().model("{{m}}").system("S {{x}}").example("U {{x}}", "A {{x}}")
            .image("https://h/{{x}}.png")
            .prompts("P", rows(Map.of("m", "big", "x", 1)))).get(0);

        assertEquals("big", body.path("model").asText());
        assertEquals("[{\"role\":\"system\",\"content\":\"S 1\"},{\"role\":\"user\",\"content\":\"U 1\"},"
            + "{\"role\":\"assistant\",\"content\":\"A 1\"},"
            + "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"P\"},"
            + "{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://h/1.png\"}}]}]", body.path("messages")
            .toString());
    }

    @Test void aRowThatMakesTheSystemPromptEmptyHasNone() {
        var body = bodies(batch().model("m").system("{{s}}").prompts("P", rows(Map.of("s", "")))).get(0);

        assertEquals("[{\"role\":\"user\",\"content\":\"P\"}]", body.path("messages").toString());
    }

    @Test void aLiteralWithoutDataIsNotExpanded() {
        assertEquals("What is {{umami}}?", bodies(batch().model("m").prompts("What is {{umami}}?")).get(0)
            .at("/messages/0/content").asText());
    }

    @ParameterizedTest(name = "{0} has {1}")
    @CsvSource({"openai, max_completion_tokens", "groq, max_completion_tokens", "kluster, max_completion_tokens",
        "nebius, max_tokens",
        "parasail, max_tokens", "http://localhost:8080/v1, max_completion_tokens"})
    void theTokenLimitIsSentAsTheProviderWantsIt(String provider, String field) {
        var body = bodies(batch().provider(provider).model("m").prompts("a").maxTokens(5)).get(0);

        assertEquals(5, body.path(field).asInt());
    }

    @Test void anyFieldIsSentAndMapsAreInTheOrderOfTheirKeys() {
        var body = bodies(batch().model("m").prompts("a").with("top_p", 0.9).with("logit_bias", Map.of("b", 1, "a", 2))
            .temperature(0.5)).get(0);

        assertEquals("{\"a\":2,\"b\":1}", body.path("logit_bias").toString());
        assertEquals(List.of("model", "messages", "logit_bias", "temperature", "top_p"), names(body));
    }

    /** Map.of and Set.of come in another order in each run of a script; these two stand for two runs. */
    @Test void mapsAndSetsThatHaveNoOrderAreTheSameBytesInEveryRun() {
        var lines = Stream.of(List.of("a", "b", "c"), List.of("c", "a", "b")).map(keys -> {
            var map = new LinkedHashMap<String, Object>();
            keys.forEach(key -> map.put(key, key));
            var set = Collections.unmodifiableSet(new LinkedHashSet<>(keys));
            Sheaf.Data own = () -> Stream.of(Map.of("map", Collections.unmodifiableMap(map), "set", set));
            return batch().model("m").prompts("{{map}} {{#set}}{{.}}{{/set}}", own).with("stop", set).preview(1);
        }).toList();

        assertEquals(lines.get(0), lines.get(1));
        assertTrue(lines.get(0).toString().contains("\\\"c\\\":\\\"c\\\"} abc"), lines.get(0).toString());
    }

    @Test void aLinkedMapKeepsItsOrder() {
        var map = new LinkedHashMap<String, Object>(Map.of("b", 1));
        map.put("a", 2);

        assertEquals("{\"b\":1,\"a\":2}", bodies(batch().model("m").prompts("{{map}}", rows(Map.of("map", map)))).get(0)
            .at("/messages/0/content").asText());
    }

    @Test void aLocalImageTravelsInsideTheRequest() throws Exception {
        var file = Files.write(dir.resolve("dot.png"), new byte[] {1, 2, 3});

        var body = bodies(batch().model("m").prompts("?", rows(Map.of("f", file.toString()))).image("{{f}}")).get(0);

        assertEquals("data:image/png;base64,AQID", body.at("/messages/0/content/1/image_url/url").asText());
    }

    @Test void anEmptyImageMakesNoPart() {
        assertEquals("?", bodies(batch().model("m").prompts("?", rows(Map.of("f", ""))).image("{{f}}")).get(0)
            .at("/messages/0/content").asText());
    }

    @Test void aLiteralNeedNotBeMustache() {
        assertEquals("Explain {{/each}}", bodies(batch().model("m").prompts("Explain {{/each}}")).get(0)
            .at("/messages/0/content").asText());
    }

    @Test void numbersAndStructuresReadInAPromptAsInJson() {
        var row = Map.of("n", 1.2345678E7, "m", Map.of("a", List.of("x", 2)), "d", 0.1);

        assertEquals("12345678 {\"a\":[\"x\",2]} 0.1",
            bodies(batch().model("m").prompts("{{n}} {{m}} {{d}}", rows(row))).get(0).at("/messages/0/content")
                .asText());
    }

    @Test void responsesHaveImagesOfTheirOwnShape() {
        var body = bodies(batch().model("m").endpoint("/v1/responses").maxTokens(5)
            .prompts("?", rows(Map.of("u", "https://h/a.png"))).image("{{u}}")).get(0);

        assertEquals("[{\"type\":\"input_text\",\"text\":\"?\"},{\"type\":\"input_image\","
            + "\"image_url\":\"https://h/a.png\"}]",
            body.at("/input/0/content").toString());
        assertEquals(5, body.path("max_output_tokens").asInt());
    }

    @Test void theSameFileTwiceIsOneDataset() throws Exception {
        var file = Files.writeString(dir.resolve("a.csv"), "x\n1\n");

        var draft = batch().model("m").prompts("a {{x}}", Sheaf.csv(file)).prompts("b {{x}}", Sheaf.csv(file));

        assertEquals(2, draft.preview(9).lines().size());
    }

    @Test void embeddingsTakeTheirTextAsInput() {
        var body = bodies(batch().model("m").endpoint("/v1/embeddings").prompts("{{x}}", rows(Map.of("x", "a"))))
            .get(0);

        assertEquals("{\"model\":\"m\",\"input\":\"a\"}", body.toString());
    }

    @Tag("C1")
    @Tag("C2")
    @Test void hostileTextIsOneLineOfAscii7ControlsAndValidUtf8() throws Exception {
        var text = "\u2028\u2029\u0085 \u0000\u001b \ud83d lone \ude00 and \ud83d\ude00 {{x}} \r\n \ufeff \u202e";

        var line = batch().model("m").prompts("{{x}}", rows(Map.of("x", text))).preview(1).lines().get(0);

        assertTrue(line.lines().count() == 1 && line.indexOf('\u2028') < 0 && line.indexOf('\u0085') < 0, line);
        assertTrue(java.nio.charset.StandardCharsets.UTF_8.newEncoder().canEncode(line), line);
        assertEquals(text, new ObjectMapper().readTree(line).at("/body/messages/0/content").asText());
    }

    @Tag("C1")
    @Test void toJsonlWritesTheGuidesFile() throws Exception {
        batch().model("m").prompts("a", "b").toJsonl(dir.resolve("requests.jsonl"));

        var text = Files.readString(dir.resolve("requests.jsonl"));

        assertEquals(2, text.lines().count());
        assertTrue(text.endsWith("}\n"), text);
    }

    @Tag("C3")
    @Tag("C8")
    @Tag("C11")
    @Test void badInputIsOneSentence() {
        var m = batch().model("m");
        assertSays("submit: no prompts; call prompts(text, data) first", m::submit);
        assertSays("model: none given; name one by model(...), and models() lists them", () -> batch().prompts("a")
            .submit());
        assertSays("prompts: rows has no rows; a batch needs at least one", () -> m.prompts("{{a}}", rows(List.of()))
            .preview(1));
        assertSays("prompts: row 1 has no value for {{Titel}} (template line 1); it has: title; did you mean "
            + "{{title}}?", () -> m.prompts("{{Titel}}", rows(Map.of("title", "?"))).preview(1));
        assertSays("prompts: \"topic\" names no column of rows (question); did you mean template(\"topic\")?",
            () -> m.prompts("topic", rows(Map.of("question", "?"))).preview(1));
        assertSays("prompts: \"explain\" names no column of rows (question); name a column like {{question}}",
            () -> m.prompts("explain", rows(Map.of("question", "?"))).preview(1));
        assertSays("prompts: \"Explain it.\" names no column of rows (question); name a column like {{question}}",
            () -> m.prompts("Explain it.", rows(Map.of("question", "?"))).preview(1));
        assertSays("prompts: \"Sum up {text}\" names no column of rows (id, text); name a column like {{text}}",
            () -> m.prompts("Sum up {text}", rows(new TreeMap<>(Map.of("id", 1, "text", "?")))).preview(1));
        assertSays("prompts: \"reviews.csv\" is sent as a prompt; did you mean prompts(text, csv(\"reviews.csv\"))?",
            () -> m.prompts("Translate {{text}}", "reviews.csv").preview(1));
        assertSays("prompts: the draft already has prompts over rows; all prompts of a batch share one dataset",
            () -> m.prompts("{{a}}", rows(Map.of("a", 1))).prompts("b"));
        assertSays("prompts: 7 is neither a text nor a template", () -> m.prompts(List.of(7)));
        assertSays("customId: rows 1 and 3 both give \"x-1\"; an id is unique",
            () -> m.prompts("{{a}}", rows(Map.of("a", 1), Map.of("a", 2), Map.of("a", 1))).customId("x-{{a}}")
                .preview(9));
        assertSays("customId: row 1 gives an empty id", () -> m.prompts("{{a}}", rows(Map.of("a", "")))
            .customId("{{a}}").preview(1));
        assertSays("image: row 1: \"photos/1.jpg\" is neither an http(s) or data URL nor a png, jpg, gif or webp "
            + "file here",
            () -> m.prompts("?", rows(Map.of("n", 1))).image("photos/{{n}}.jpg").preview(1));
        assertSays("maxTokens: 0 is less than 1", () -> m.maxTokens(0));
        assertSays("with: a batch cannot stream; leave stream out", () -> m.with("stream", true));
        assertSays("with: temperature is NaN, which JSON cannot say", () -> m.temperature(Double.NaN));
        assertSays("completionWindow: \"soon\" is not a number of hours or days, like 24h",
            () -> m.completionWindow("soon"));
        assertSays("name: \"a/b\" is not 1 to 64 letters, digits, '.', '_' or '-'", () -> m.name("a/b"));
        assertSays("with: input has a word of its own: model(...), prompts(...) or system(...)",
            () -> m.with("input", "x"));
        assertSays("model: the same model twice would be paid twice; name each once", () -> m.model("a", "a"));
        assertSays("model: the name is empty; models() lists what there is", () -> m.model(" "));
        assertSays("model: the argument is null", () -> m.model(null));
        assertSays("prompts: the argument is null", () -> m.prompts((List<?>) null));
        assertSays("preview: -1 is less than 0", () -> m.prompts("a").preview(-1));
        assertSays("prompts: template t has no data; give it as prompts(template, csv(...))",
            () -> m.prompts(List.of(template("t", "{{x}}"))).preview(1));
        assertSays("submit: \"You are {{role}}.\" has no data; give it as prompts(text, csv(...))",
            () -> m.system("You are {{role}}.").prompts("a").preview(1));
        assertSays("customId: there is no data to make ids from", () -> m.customId("x").prompts("a").preview(1));
        assertSays("endpoint: /v1/images/generations takes no prompts that Sheaf could write; there are "
            + "/v1/chat/completions, /v1/responses, /v1/completions, /v1/embeddings, /v1/moderations; for any other, "
            + "requests(file) has whole lines", () -> m.endpoint("/v1/images/generations"));
        assertSays("endpoint: /v1/embeddings takes no messages; drop system(...)",
            () -> m.endpoint("/v1/embeddings").system("s").prompts("a").preview(1));
        assertSays("rows: a array is not a row; give rows(List.of(...)), or rows(() -> stream)".replace("a array",
            "an array"),
            () -> m.prompts("{{value}}", rows((Object) new String[] {"a"})).preview(1));
        assertSays("metadata: \"sheaf\" is Sheaf's own key", () -> m.metadata("sheaf", "x"));
    }

    @Tag("C7")
    @Test void aRequestLargerThanAFileMayBeIsRefusedWithItsRow() {
        var small = Provider.of("http://localhost:9/v1").limits(10, 200);

        assertSays("prompts: row 2 (request-2) makes a request of 434 bytes; local takes 200 in one file; shorten the "
            + "row", () -> batch().provider(small).model("m").prompts("{{a}}",
                rows(Map.of("a", 1), Map.of("a", "x".repeat(300)))).preview(9));
    }

    @Tag("C3")
    @Tag("C8")
    @Tag("C10")
    @Test void requestsAreCheckedLineByLine() throws Exception {
        assertSays("requests: FILE line 1: no custom_id; each line needs its own", requests("{\"custom_id\":\"\"}"));
        assertSays("requests: FILE line 2: not JSON (Unexpected end-of-input within/between Object entries)",
            requests(Guide.LINE + "\n{\"a\":"));
        assertSays("requests: FILE line 1: not JSON (a number is out of range)", requests("{\"a\":1e9999999999}"));
        assertSays("requests: FILE line 3: custom_id \"request-1\" stands in line 1 too; an id is unique",
            requests(Guide.LINE + "\n\n" + Guide.LINE));
        assertSays("requests: FILE line 1: method is not \"POST\"", requests(Guide.LINE.replace("POST", "GET")));
        assertSays("requests: FILE line 1: stream is true; a batch cannot stream",
            requests(Guide.LINE.replace("\"max_c", "\"stream\":true,\"max_c")));
        assertSays("requests: FILE line 2: url /v1/embeddings differs from /v1/chat/completions above; a batch has "
            + "one endpoint",
            requests(Guide.LINE + "\n" + Guide.LINE.replace("/v1/chat/completions", "/v1/embeddings")
                .replace("request-1", "b")));
        assertSays("requests: FILE line 1: no body.model", requests(Guide.LINE.replace("\"model\"", "\"m\"")));
        assertSays("requests: FILE line 1: no body.model",
            requests(Guide.LINE.replace("\"deepseek-ai/DeepSeek-V3\"", "null")));
        assertSays("requests: FILE has no lines", requests("\n"));
        var file = Files.writeString(dir.resolve("r.jsonl"), Guide.LINE);
        assertSays("requests: the file says it all; model(\"x\") would be ignored", () -> batch().requests(file)
            .model("x").preview(1));
    }

    @Tag("C1")
    @Test void requestsAreSentAsTheyAre() throws Exception {
        var file = Files.writeString(dir.resolve("r.jsonl"), "\uFEFF" + Guide.LINE.replace(",", " , ") + "\r\n\n");

        assertEquals(List.of(Guide.LINE.replace(",", " , ")), batch().requests(file).preview(9).lines());
    }

    private Supplier<Object> requests(String content) throws Exception {
        var file = Files.writeString(dir.resolve("r.jsonl"), content);
        return () -> {
            try {
                Files.writeString(file, content);
            } catch (java.io.IOException e) {
                throw new java.io.UncheckedIOException(e);
            }
            return batch().requests(file).preview(9);
        };
    }

    private void assertSays(String message, Supplier<Object> call) {
        var fault = assertThrows(RuntimeException.class, call::get);
        assertEquals(message.replace("FILE", dir.resolve("r.jsonl").toString()), fault.getMessage());
    }

    private static List<JsonNode> bodies(Draft draft) {
        return draft.preview(99).lines().stream().map(DraftTest::parse).map(line -> line.path("body")).toList();
    }

    private static JsonNode parse(String line) {
        try {
            return new ObjectMapper().readTree(line);
        } catch (java.io.IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    private static List<String> names(JsonNode object) {
        var names = new java.util.ArrayList<String>();
        object.fieldNames().forEachRemaining(names::add);
        return names;
    }
}
