package sheaf.sharing;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.batches;
import static sheaf.Sheaf.csv;
import static sheaf.Sheaf.files;
import static sheaf.Sheaf.jsonl;
import static sheaf.Sheaf.models;
import static sheaf.Sheaf.rows;
import static sheaf.Sheaf.template;
import static sheaf.Sheaf.templates;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Result;
import sheaf.Vocabulary.Outcome;
import sheaf.server.BatchServer;
import sheaf.support.Guide;
import sheaf.support.Printed;

/** Scripts that users want to write, as they would write them, against the server that the environment names. */
class WantedScriptsTest {
    @AutoClose final BatchServer server = BatchServer.start();
    @TempDir Path dir;

    @BeforeEach void environment() {
        System.setProperty("SHEAF_HOME", dir.resolve("home").toString());
        System.setProperty("OPENAI_BASE_URL", server.baseUrl());
    }

    @AfterEach void stop() { System.setProperty("OPENAI_BASE_URL", ""); }

    @Test void threeLiteralPrompts() {
        var text = Printed.stdout(() -> batch()
            .model("deepseek-ai/DeepSeek-V3")
            .system("You are an experienced cook.")
            .prompts("Best breakfast sandwich?", "How do I poach an egg?", "What is {{umami}}?")
            .submit().await().results()
            .show());

        assertTrue(text.contains("request-3  What is {{umami}}?        What is {{umami}}?\n"), text);
    }

    @Test void aCsvAndATemplate() throws IOException {
        batch()
            .model("gpt-4.1-mini")
            .prompts(template(file("explain.mustache", "Explain {{question}}\n")),
            csv(file("questions.csv", "id,question\n7,tides\n8,wind\n")))
            .submit().results()
            .toCsv(dir.resolve("answers.csv").toString());

        assertTrue(Files.readString(dir.resolve("answers.csv")).replace("\r\n", "\n").contains(
            "8,wind,request-2,explain,gpt-4.1-mini,gpt-4.1-mini,succeeded,Explain wind,\n"));
    }

    @Test void fiveTemplatesOverRowsAreATableByTemplate() {
        var names = List.of("sentiment", "translation", "summary", "topic", "keywords");
        names.forEach(name -> file(name + ".mustache", name + " of {{text}}"));

        var text = Printed.stdout(() -> batch()
            .model("gpt-4.1-mini")
            .prompts(templates(at("sentiment"), at("translation"), at("summary"), at("topic"), at("keywords")),
            csv(file("reviews.csv", "text\nx\n")))
            .submit().results()
            .show());

        assertTrue(text.lines().findFirst().orElse("")
            .matches("id +text +sentiment +translation +summary +topic +keywords"), text);
    }

    @Test void twoModelsOnLabelledDataAreCompared() {
        server.answer(body -> BatchServer.Reply.text(body.path("model").asText().equals("good") ? "World" : "Sports"));

        var results = batch()
            .model("good", "bad")
            .system("Answer with one word: World, Sports, Business or Sci/Tech.")
            .prompts("{{title}}", csv(file("news.csv", "title,label\na,World\nb,World\nc,Sports\n")))
            .temperature(0).maxTokens(5)
            .submit().results();

        var right = new java.util.TreeMap<String, Long>();
        results.by(Result::model).forEach((model, r) ->
            right.put(model, r.stream().filter(x -> x.ok() && x.text().strip().equalsIgnoreCase(x.row("label")))
                .count()));
        assertEquals(Map.of("good", 2L, "bad", 1L), right);
    }

    @Test void oneBatchJudgesAnother() {
        var answers = batch().model("small").prompts("{{question}}",
            jsonl(file("q.jsonl", "{\"question\":\"1+1?\",\"answer\":\"2\"}\n"))).submit().results();
        var grades = batch().model("large")
            .prompts(template("judge", "Question: {{question}} Reference: {{answer}} Given: {{result.text}}"),
            answers.succeeded())
            .submit().results();

        assertEquals("Question: 1+1? Reference: 2 Given: 1+1?", grades.iterator().next().text());
    }

    @Test void imagesByUrl() {
        server.answer(body -> BatchServer.Reply.text(body.at("/messages/0/content/1/image_url/url").asText()));

        var results = batch().model("google/gemma-3-27b-it")
            .prompts("What is in this picture?", csv(file("images.csv", "url\nhttps://example.com/cat.jpg\n")))
            .image("{{url}}")
            .submit().results();

        assertEquals("https://example.com/cat.jpg", results.iterator().next().text());
    }

    enum Kind { BILLING, BUG, OTHER }

    record Label(String reason, Kind kind, Optional<String> product) {}

    @Test void typedRecordsWithAnEnum() {
        server.answer(body -> BatchServer.Reply.text("```json\n{\"reason\": \"it says so\", \"kind\": \""
            + (body.toString().contains("bill") ? "BILLING\"" : "BUG\", \"product\": \"app\"") + "}\n```"));

        var results = batch().model("gpt-4.1-mini")
            .prompts(template("label", "As JSON with reason, kind (BILLING, BUG or OTHER) and product: {{text}}"),
            csv(file("tickets.csv", "id,text\n7,my bill\n8,it crashes\n")))
            .submit().results();

        var labels = results.succeeded().stream().collect(Collectors.toMap(r -> r.row("id"), r -> r.as(Label.class)));
        assertEquals(Map.of("7", new Label("it says so", Kind.BILLING, Optional.empty()),
            "8", new Label("it says so", Kind.BUG, Optional.of("app"))), labels);
    }

    /** Runs the script of cron as often as it comes; returns the line of its result, or "" while there is none. */
    private String nightly(String day) {
        var b = batch().name("tickets-" + day)
            .model("gpt-4.1-mini").prompts("{{text}}", csv(at(day + ".csv")))
            .submit();
        if (!b.status().isTerminal()) return "";
        b.results().toCsv(at(day + "-out.csv"), "result.text");
        return lines(day + "-out.csv").get(1);
    }

    @Test void aCronJobComesBackToItsBatchAndPaysForADayOnce() {
        file("2026-03-01.csv", "text\na\n");
        file("2026-03-02.csv", "text\na\n");
        server.pause();
        assertEquals("", nightly("2026-03-01"));
        var again = Printed.stderr(() -> assertEquals("", nightly("2026-03-01")));
        assertTrue(again.startsWith("attached to batch_"), again);

        server.resume();
        batch("tickets-2026-03-01").await();

        assertEquals("a", nightly("2026-03-01"));
        assertEquals(1, batches().size());
        nightly("2026-03-02");                                 // the same rows on another day are another batch
        assertEquals(2, batches().size());
    }

    @Test void onlyTheTruncatedOnesAgainWithALargerLimit() {
        server.answer(body -> {
            if (body.toString().contains("bad")) return BatchServer.Reply.error(400, "odd", "odd");
            boolean isCut = body.path("max_completion_tokens").asInt() < 400 && body.toString().contains("long");
            return isCut ? BatchServer.Reply.text("cut").finishReason("length") : BatchServer.Reply.text("whole");
        });
        batch().name("tickets-2026-03-01").model("m").prompts("{{value}}", rows("a", "long", "bad")).maxTokens(40)
            .submit();

        var first = batch("tickets-2026-03-01").results();
        var second = first.only(Outcome.TRUNCATED).retry().maxTokens(4000).submit().results();
        first.merge(second).toCsv(at("all.csv"), "value", "result.text", "result.outcome");

        assertEquals(Map.of(Outcome.SUCCEEDED, 1L, Outcome.TRUNCATED, 1L, Outcome.ERRORED, 1L), first.counts());
        assertEquals(1, second.size());
        assertEquals(List.of("a,whole,succeeded", "long,whole,succeeded", "bad,,errored"),
            lines("all.csv").subList(1, 4));
    }

    @Test void aPreviewAndAFirstRunOnAFewRows() {
        var tickets = csv(file("tickets.csv", "text\na\nb\nc\nd\n"));
        var draft = batch().model("gpt-4.1-mini").prompts("Label {{text}}", tickets.limit(2));

        var lines = Printed.stdout(() -> draft.preview(1).show());
        var texts = draft.submit().results().stream().map(Result::text).toList();

        assertTrue(lines.matches("\\{\"custom_id\":\"request-1\".*Label a.*}\n"), lines);
        assertEquals(List.of("Label a", "Label b"), texts);
    }

    @Test void examplesComeBeforeThePrompt() {
        server.answer(body -> BatchServer.Reply.text(body.path("messages").findValuesAsText("role").toString()));

        var results = batch().model("llama-3.1-8b")
            .system("Classify the sentiment.")
            .example("Great phone!", "positive")
            .example("Broke in a day.", "negative")
            .prompts("{{review}}", csv(file("reviews.csv", "review\nfine\n")))
            .submit().results();

        assertEquals("[system, user, assistant, user, assistant, user]", results.iterator().next().text());
    }

    @Test void anExistingFileOfRequests() throws IOException {
        var requests = file("requests.jsonl", Guide.LINE + "\n"
            + Guide.LINE.replace("request-1", "request-4") + "\n");

        batch().requests(requests).submit().results().toJsonl(dir.resolve("answers.jsonl").toString());

        assertEquals(2, Files.readAllLines(dir.resolve("answers.jsonl")).size());
        assertEquals(List.of("request-1", "request-4"), batch("requests").results().stream().map(Result::customId)
            .toList());
    }

    @Test void manyRowsToCsvInALineEach() throws IOException {
        var results = batch().model("llama-3.1-8b").prompts("{{value}}", rows(() -> IntStream.range(0, 2_000).boxed()))
            .maxTokens(8).quiet()
            .submit().results();

        results.toCsv(dir.resolve("topics.csv").toString(), "value", "result.text");

        assertEquals(2_001, Files.readAllLines(dir.resolve("topics.csv")).size());
        assertEquals(Map.of(Outcome.SUCCEEDED, 2_000L), results.counts());
    }

    @Test void oldBatchesAreListedLookedAtAndCancelled() {
        server.pause();
        var id = batch().model("m").prompts("a").submit().id();

        assertTrue(batches().toString().contains(id));
        var b = batch(id);
        assertTrue(b.toString().startsWith("Batch[" + id), b.toString());
        b.cancel();
        b.results().show(1);
        assertEquals(Map.of(Outcome.CANCELLED, 1L), b.results().counts());
        assertTrue(models().toString().contains("echo"));
        assertTrue(files().toString().contains("part-1.jsonl"));
    }

    private String at(String name) { return dir.resolve(name).toString(); }

    private List<String> lines(String name) {
        try {
            return Files.readAllLines(dir.resolve(name));
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    private String file(String name, String content) {
        try {
            return Files.writeString(dir.resolve(name), content).toString();
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }
}
