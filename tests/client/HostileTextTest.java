package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.HostileText.SEED;
import static sheaf.HostileText.clipped;
import static sheaf.HostileText.many;
import static sheaf.HostileText.some;
import static sheaf.HostileText.whole;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.csv;
import static sheaf.Sheaf.jsonl;
import static sheaf.Sheaf.rows;
import static sheaf.Sheaf.template;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.math.BigInteger;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Data;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Result;
import sheaf.Sheaf.Results;
import sheaf.Vocabulary.CsvOption;
import sheaf.server.BatchServer;
import sheaf.support.Guide;
import sheaf.support.Printed;

/**
 * Text that breaks tools goes out, comes back and stays on disk as it was. It is random: a failure names its seed, and
 * {@code -Dsheaf.seed=...} makes the same text again.
 */
class HostileTextTest {
    private static final ObjectMapper JSON = new ObjectMapper();
    private final Map<String, JsonNode> heard = new ConcurrentHashMap<>();     // request bodies, by the row's number
    @AutoClose private final BatchServer server = BatchServer.options().mixedModels().start();
    private final HostileText hostile = new HostileText();
    @TempDir Path home;

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

    @Tag("C2")
    @Test void whatGoesInIsWhatTheServerReadsAndWhatItSaysComesBack() {
        var rows = many(300, () -> hostile.row("user", "assistant", "system", "text", "id"));
        var answers = many(rows.size(), () -> some(hostile::text));
        hear(body -> answers.get(number(body)));

        var draft = draft("hostile", rows).example("{{user}}", "{{assistant}}");

        assertTold(rows, answers, draft.submit().results());
        assertTold(rows, answers, draft.submit().results());              // from the journal
        assertTold(rows, answers, batch("hostile").results());
        for (var row : rows)
            assertSame(List.of(row.get("n") + " " + row.get("system"), row.get("user"), row.get("assistant"),
                row.get("text")), contents(heard.get(row.get("n"))));
    }

    private static void assertTold(List<Map<String, Object>> rows, List<String> answers, Results results) {
        assertSame(answers, results.stream().map(Result::text).toList());
        assertSame(rows, results.stream().map(Result::row).toList());
        assertSame(rows.stream().map(row -> "" + row.get("n") + row.get("id")).toList(),
            results.stream().map(Result::customId).toList());
    }

    @Tag("C2")
    @Test void halvesOfACharacterSurviveInEveryPlace() {
        var halves = List.of("\ud83d", "\ude00", "\ud800", "\udfff", "a");
        var texts = Stream.iterate(halves, all -> all.stream()
            .flatMap(text -> halves.stream().map(half -> text + half)).toList())
            .limit(4).flatMap(List::stream).toList();
        hear(body -> contents(body).get(0));

        var results = batch().provider(here()).quiet().model("m\ud83d").with("user", "\ude00")
            .customId("\ud83d{{value}}").prompts(template("\udfff", "{{value}}"), rows(texts)).submit().results();

        assertSame(texts, results.stream().map(Result::text).toList());
        assertSame(texts, results.stream().map(result -> result.row("value")).toList());
        assertSame(texts.stream().map(text -> "\ud83d" + text).toList(),
            results.stream().map(Result::customId).toList());
        assertSame(List.of("\udfff", "m\ud83d"), Stream.of(results.iterator().next())
            .flatMap(result -> Stream.of(result.template(), result.model())).toList());
        assertTrue(heard.values().stream().allMatch(body -> body.path("user").asText().equals("\ude00")));
    }

    @Test void aNameWithHalfACharacterIsRefusedBeforeItsRowIsLost() {
        var message = "rows: the name \"a\ud83d\" holds half a character, a lone surrogate; rename it";

        for (var value : List.of(1, List.of(Map.of("a\ud83d", 1)))) {
            Data own = () -> Stream.of(Map.of(value.equals(1) ? "a\ud83d" : "a", value));
            assertEquals(message, assertThrows(IllegalArgumentException.class, () -> read(own.limit(1))).getMessage());
            assertEquals(message, assertThrows(IllegalArgumentException.class, () -> batch().model("m")
                .prompts("{{a}}", own).preview(1)).getMessage());
        }
    }

    @Test void everyControlCharacterGoesThroughAloneAndBetweenOthers() {
        var texts = IntStream.concat(IntStream.range(0, 0xa1), IntStream.of(0x2028, 0x2029, 0xfeff, 0xfffe, 0xffff))
            .filter(c -> c < 0x20 || c > 0x7e).mapToObj(Character::toString)
            .flatMap(c -> Stream.of(c, "a" + c + "b", c + "\n" + c)).toList();
        hear(body -> contents(body).get(0));

        var results = ask(texts).submit().results();

        assertSame(texts, results.stream().map(Result::text).toList());
        assertSame(texts, results.stream().map(result -> result.row("value")).toList());
    }

    @Test void dataIsNeverTakenForATemplate() {
        var tags = List.of("{{text}}", "{{{text}}}", "{{&text}}", "{{#text}}x{{/text}}", "{{^no}}x{{/no}}",
            "{{>text}}", "{{!x}}", "{{.}}", "{{%text}}", "{{=<% %>=}}<%text%>", "{{", "}}", "{{{",
            "{{#text}}", "{{/text}}", "{{no}}");
        hear(body -> contents(body).get(body.withArray("messages").size() - 1));
        var rows = tags.stream().map(tag -> Map.of("text", tag, "m", "m" + tag)).toList();

        var first = batch().provider(here()).quiet().model("{{m}}").system("{{text}}").example("{{text}}", "{{text}}")
            .customId("{{text}}").image("https://h/{{text}}").prompts("{{text}}", rows(rows)).submit().results();
        var sent = List.copyOf(heard.values());
        var second = batch().provider(here()).quiet().model("m").name("second")
            .prompts("{{result.text}}", first).submit().results();

        assertSame(tags, first.stream().map(Result::text).toList());
        assertSame(tags, first.stream().map(Result::customId).toList());
        assertSame(tags.stream().map(tag -> "m" + tag).toList(), first.stream().map(Result::model).toList());
        assertSame(tags, second.stream().map(Result::text).toList());
        for (var tag : tags)
            assertEquals(1, sent.stream().map(HostileTextTest::contents)
                .filter(List.of(tag, tag, tag, tag, "https://h/" + tag)::equals).count(), tag);
    }

    @Test void aLiteralIsSentAsItStands() {
        var texts = many(100, hostile::text).stream().distinct().toList();

        var draft = batch().model("m").system("s").prompts(texts);

        assertSame(texts, draft.preview(texts.size()).lines().stream().map(line -> contents(parse(line).path("body"))
            .get(1)).toList());
    }

    @Test void theTextOfATemplateIsKeptBetweenItsTags() {
        for (int i = 0; i < 500; i++) {
            var before = hostile.text().replaceAll("[{}]", "");
            var after = hostile.text().replaceAll("[{}]", "");
            var value = hostile.text();

            var line = batch().model("m").prompts(template("t", before + "{{text}}" + after + "{{{text}}}"),
                rows(Map.of("text", value))).preview(1).lines().get(0);

            assertSame(List.of(before + value + after + value), contents(parse(line).path("body")));
        }
    }

    @Test void aPragmaIsNotAnEmptyValue() {
        var fault = assertThrows(IllegalArgumentException.class,
            () -> batch().model("m").prompts("It rose by {{% change}}.", rows(Map.of("% change", "5"))));

        assertEquals("template: \"It rose by {{% change}}.\": pragmas, {{%name}}, are not read; give the column "
            + "another name (line 1)", fault.getMessage());
    }

    @Test void namesOfColumnsAreKeptHoweverOddOrLong() {
        var numbers = new BigInteger("9".repeat(1_500));
        var rows = many(10, () -> {
            var row = hostile.row("text");
            for (int i = 0; i < 10; i++) row.put(whole(hostile.text() + i), hostile.text());
            row.put("k".repeat(60_000 + hostile.random.nextInt(20_000)), numbers);
            row.put("a.b", row.get("text"));
            row.put("a", new TreeMap<>(Map.of("b", "not this", "c.d", row.get("text"))));
            return row;
        });
        hear(body -> "<" + contents(body).get(1));

        var draft = batch().provider(here()).quiet().model("m").name("odd").system("{{n}}")
            .prompts("{{a.b}}{{a.c.d}}", rows(rows));
        draft.submit().results();

        assertSame(rows, batch("odd").results().stream().map(Result::row).toList());
        assertSame(rows.stream().map(row -> "<" + row.get("text") + row.get("text")).toList(),
            draft.submit().results().stream().map(Result::text).toList());
    }

    @Test void aColumnOfALaterRowDoesNotTakeAnAnswersPlace() {
        var draft = batch().provider(here()).quiet().model("m")
            .prompts("{{text}}", rows(Map.of("text", "1"), Map.of("text", "2", "result.text", "old")));

        assertEquals("prompts: the column \"result.text\" of rows has the name of an answer; give the results "
            + "themselves as data, or what toJsonl(...) writes, or rename it",
            assertThrows(IllegalArgumentException.class, draft::submit).getMessage());
        assertEquals(List.of(), server.requests());
    }

    @Test void cellsOfACsvReachTheServerAsTheyStand() throws IOException {
        var rows = many(200, () -> whole(hostile.row("text", " odd \"name\",\r\n{{x}}")));
        hear(body -> "<" + contents(body).get(1));
        var file = Files.writeString(home.resolve("in.csv"), Stream.concat(Stream.of(rows.get(0).keySet()),
            rows.stream().map(Map::values)).map(HostileTextTest::quoted).collect(Collectors.joining()));

        var results = batch().provider(here()).quiet().model("m").system("{{n}}").prompts("{{text}}", csv(file))
            .submit().results();

        assertSame(rows, results.stream().map(Result::row).toList());
        assertSame(rows.stream().map(row -> "<" + row.get("text")).toList(),
            results.stream().map(Result::text).toList());
    }

    @Test void toCsvIsReadBackAsItWas() {
        var name = some(() -> whole(hostile.text())).replace('.', ' ');
        var rows = many(200, () -> whole(hostile.row("text", "a" + name, "a.b", " padded ")));
        var answers = many(rows.size(), () -> some(() -> whole(hostile.text())));
        hear(body -> answers.get(number(body)));

        batch().provider(here()).quiet().model("m").system("{{n}}").prompts("{{text}}", rows(rows)).submit().results()
            .toCsv(home.resolve("out.csv"), Set.of(CsvOption.FORMULAS));

        var back = read(csv(home.resolve("out.csv")));
        assertSame(answers, column(back, "result.text"));
        back.forEach(row -> row.keySet().removeIf(column -> column.startsWith("result.")));
        assertSame(rows, back);
    }

    @Test void toCsvOfOneColumnKeepsRowsThatAreEmptyOrBlank() {
        var texts = List.of("", " ", "\n", "\r", "\r\n", "\"", ",", "", "\ufeff", "#", "");
        hear(body -> "fine");

        ask(texts).submit().results().toCsv(home.resolve("out.csv"), "value");

        assertSame(texts, column(read(csv(home.resolve("out.csv"))), "value"));
    }

    @Test void toJsonlIsReadBackAsItWas() {
        var rows = many(200, () -> {
            var row = hostile.row("text", whole(hostile.text()) + "0", "a.b");
            row.put("inner", List.of(hostile.text(), Map.of(whole(hostile.text()), hostile.text())));
            return row;
        });
        var answers = many(rows.size(), () -> some(hostile::text));
        hear(body -> answers.get(number(body)));

        batch().provider(here()).quiet().model("m").system("{{n}}").prompts("{{text}}", rows(rows)).submit().results()
            .toJsonl(home.resolve("out.jsonl"));

        var back = read(jsonl(home.resolve("out.jsonl")));
        assertSame(answers, back.stream().map(row -> ((Map<?, ?>) row.remove("result")).get("text")).toList());
        assertSame(rows, back);
    }

    @Test void anAnswerIsTheSameTextInTheNextBatch() {
        var answers = many(200, () -> some(hostile::text));
        hear(body -> answers.get(number(body)));
        var first = batch().provider(here()).quiet().model("m").system("{{n}}")
            .prompts("{{text}}", rows(many(answers.size(), () -> hostile.row("text")))).submit().results();

        var lines = batch().model("m").prompts("{{result.text}}", first).preview(answers.size()).lines();

        assertSame(answers, lines.stream().map(line -> contents(parse(line).path("body")).get(0)).toList());
    }

    @Test void whatARepairBringsIsTheSameText() {
        var rows = many(100, () -> hostile.row("system", "text", "id"));
        var answers = many(rows.size(), () -> some(hostile::text));
        var asked = new AtomicInteger();
        server.answer(body -> asked.getAndIncrement() % 2 == 0 ? BatchServer.Reply.error(503, "busy", "busy")
            : BatchServer.Reply.text(answers.get(number(body))));

        var draft = draft("repaired", rows).repair(20);

        assertTold(rows, answers, draft.submit().results());
        assertTold(rows, answers, draft.submit().results());
    }

    @Test void whatIsTakenOverIsTheSameText() {
        var rows = many(100, () -> hostile.row("system", "text", "id"));
        var answers = many(rows.size(), () -> some(hostile::text));
        hear(body -> answers.get(number(body)));
        draft("daily", rows).submit().results();
        hear(body -> "paid again");

        var results = draft("daily", rows.subList(1, rows.size())).submit().results();

        assertTold(rows.subList(1, rows.size()), answers.subList(1, rows.size()), results);
    }

    @Test void aTableMovesNoCursor() {
        var texts = many(100, () -> some(hostile::text));
        hear(body -> contents(body).get(0));
        var results = ask(texts).submit().results();
        var shown = Printed.stdout(() -> results.show(100));
        assertEquals(List.of(), shown.codePoints().filter(c -> c != '\n' && Character.isISOControl(c) || c == 0x2028
            || c == 0x2029).mapToObj(Integer::toHexString).distinct().toList(), "sheaf.seed " + SEED);
    }

    @Test void aCsvSaysWhatItCannotHold() {
        hear(body -> "fine");
        var results = ask(List.of("a", "b\ud83d")).submit().results();

        assertThrows(IllegalStateException.class, () -> results.toCsv(home.resolve("out.csv")));
    }

    @Test void halfACharacterInMetadataIsRefusedBeforeAnythingIsSent() {
        assertThrows(IllegalArgumentException.class, () -> batch().metadata("k", "\ud83d"));
    }

    @Test void anImageOfHalfACharacterIsASentence() {
        var fault = assertThrows(IllegalArgumentException.class, () -> batch().model("m").image("{{value}}")
            .prompts("{{value}}", rows("\ud83d.png")).preview(1));

        assertTrue(fault.getMessage().startsWith("image: row 1: "), fault.getMessage());
    }

    @Test void theIdsOfAFileOfRequestsComeBack() throws IOException {
        var ids = many(100, () -> some(hostile::text)).stream().filter(id -> !id.isBlank()).distinct().toList();
        var lines = ids.stream().map(id -> Guide.LINE.replace("\"request-1\"", ascii(id))).toList();

        var results = batch().provider(here()).quiet().requests(Files.write(home.resolve("r.jsonl"), lines)).submit()
            .results();

        assertSame(ids, results.stream().map(Result::customId).toList());
        assertEquals(ids.size(), results.succeeded().size(), "seed " + SEED);
    }

    @Test void metadataReachesTheProviderAsItWas() {
        var pairs = new TreeMap<String, Object>();
        for (int i = 0; i < 15; i++)
            pairs.put(i + clipped(whole(hostile.text()), 60), clipped(whole(hostile.text()), 512));
        var draft = batch().provider(here()).quiet().model("m").prompts("a");
        for (var pair : pairs.entrySet()) draft = draft.metadata(pair.getKey(), (String) pair.getValue());

        var metadata = draft.submit().parts().get(0).json().path("metadata");

        pairs.forEach((key, value) -> assertSame(List.of(value), List.of(metadata.path(key).asText())));
    }

    @Test void imagesTravelAsTheyAreNamed() {
        var urls = new ArrayList<>(List.of("data:image/svg+xml,<svg>{{text}}\ud83d</svg>"));
        urls.addAll(many(200, () -> "https://h/" + hostile.text().replaceAll("[\\s\\p{Z}\\x85\\x1c-\\x1f]", "")));

        var lines = batch().model("m").image("{{value}}").prompts("{{value}}", rows(urls)).preview(urls.size()).lines();

        assertSame(urls, lines.stream().map(line -> contents(parse(line).path("body")).get(1)).toList());
    }

    @Test void aRowOfTenMegabytesGoesThrough() {
        var piece = some(hostile::text);
        var texts = List.of(piece + "x".repeat(5_000_000) + piece.repeat(300_000 / piece.length())
            + "y".repeat(5_000_000) + piece);
        hear(body -> contents(body).get(0));

        var results = ask(texts).submit().results();

        assertTrue(texts.equals(results.stream().map(Result::text).toList()), () -> "seed " + SEED);
        assertTrue(texts.equals(results.stream().map(result -> result.row("value")).toList()), () -> "seed " + SEED);
    }

    @Test void aLineLongerThanAParserLikesIsRead() throws IOException {
        var text = "x".repeat(20_100_000);
        var file = Files.writeString(home.resolve("long.jsonl"), "{\"text\":\"" + text + "\"}\n");

        var lines = batch().provider(Provider.NEBIUS).model("m").prompts("{{text}}", jsonl(file)).preview(1).lines();

        assertTrue(lines.get(0).endsWith(text + "\"}]}}"));
    }

    private static String quoted(Collection<?> cells) {
        return cells.stream().map(cell -> "\"" + cell.toString().replace("\"", "\"\"") + "\"")
            .collect(Collectors.joining(",", "", "\r\n"));
    }

    private void hear(Function<JsonNode, String> answer) {
        server.answer(body -> {
            heard.put(firstWord(body), body);
            return BatchServer.Reply.text(answer.apply(body));
        });
    }

    private static int number(JsonNode body) { return Integer.parseInt(firstWord(body)); }

    private static String firstWord(JsonNode body) { return contents(body).get(0).split(" ", 2)[0]; }

    /** The texts of all messages, an image's address among them. */
    private static List<String> contents(JsonNode body) {
        var contents = new ArrayList<String>();
        for (var message : body.path("messages"))
            if (message.path("content").isTextual()) contents.add(message.path("content").asText());
            else for (var part : message.path("content"))
                contents.add(part.path("text").asText(part.at("/image_url/url").asText()));
        return contents;
    }

    private static JsonNode parse(String json) {
        try {
            return JSON.readTree(json);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static List<Map<String, Object>> read(Data data) {
        try (var rows = data.open()) {
            return rows.toList();
        }
    }

    private static List<Object> column(List<Map<String, Object>> rows, String column) {
        return rows.stream().map(row -> row.get(column)).toList();
    }

    /** Compares one by one, rows in the order of their columns; the first that differs is told in plain ASCII. */
    private static void assertSame(List<?> expected, List<?> actual) {
        for (int i = 0; i < Math.min(expected.size(), actual.size()); i++)
            if (!inOrder(expected.get(i)).equals(inOrder(actual.get(i))))
                assertEquals(ascii(expected.get(i)), ascii(actual.get(i)), "number " + i + ", sheaf.seed " + SEED);
        assertEquals(expected.size(), actual.size(), "sheaf.seed " + SEED);
    }

    private static Object inOrder(Object value) {
        return value instanceof Map<?, ?> map ? List.copyOf(map.entrySet()) : value;
    }

    private static String ascii(Object value) {
        if (value instanceof Map<?, ?> map)
            return map.entrySet().stream().map(entry -> ascii(entry.getKey()) + ":" + ascii(entry.getValue()))
                .collect(Collectors.joining(",", "{", "}"));
        if (value instanceof List<?> list)
            return list.stream().map(HostileTextTest::ascii).collect(Collectors.joining(",", "[", "]"));
        return Objects.toString(value).chars().mapToObj(c -> c >= ' ' && c < 0x7f && c != '"' && c != '\\'
            ? "" + (char) c : String.format("\\u%04x", c)).collect(Collectors.joining("", "\"", "\""));
    }

    private Provider here() { return Provider.of(server.baseUrl()).dialect(new Sheaf.Dialect(true, "max_tokens")); }

    private Draft draft(String name, List<Map<String, Object>> rows) {
        return batch().provider(here()).quiet().name(name).model("m").system("{{n}} {{system}}").customId("{{n}}{{id}}")
            .prompts("{{text}}", rows(rows));
    }

    private Draft ask(List<String> texts) {
        return batch().provider(here()).quiet().model("echo").prompts("{{value}}", rows(texts));
    }
}
