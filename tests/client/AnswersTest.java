package sheaf;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.ScriptedProvider.BATCH;
import static sheaf.ScriptedProvider.ERRORS;
import static sheaf.ScriptedProvider.OUTPUT;
import static sheaf.ScriptedProvider.collected;
import static sheaf.ScriptedProvider.ended;
import static sheaf.ScriptedProvider.failure;
import static sheaf.ScriptedProvider.success;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;
import static sheaf.support.RawClient.json;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Result;
import sheaf.Sheaf.Results;
import sheaf.Vocabulary.Outcome;
import sheaf.Vocabulary.Usage;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Reply;
import sheaf.support.Printed;
import sheaf.support.ScriptedServer.Answer;

/** The files that came back: whatever stands in them, each request has one outcome. */
class AnswersTest {
    @TempDir Path home;
    @AutoClose private final ScriptedProvider scripted = new ScriptedProvider();
    private BatchServer server;                    // of the tests that need a real one

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

    @AfterEach void close() { if (server != null) server.close(); }

    @Tag("C26")
    @ParameterizedTest
    @ValueSource(strings = {"completed", "failed", "expired", "cancelled"})
    void bothFilesAreFetchedHoweverTheBatchEnded(String status) {
        scripted.completed(success("request-1", "Hello"), failure("request-2", 400));
        scripted.on("GET " + BATCH, collected(status));

        assertEquals(List.of("Hello", "400 bad"), texts(ask("a", "b").submit().results(), AnswersTest::said));
    }

    @Tag("C26")
    @ParameterizedTest
    @ValueSource(strings = {"null", "\"\"", ""})
    void aFileThatIsNotThereIsNotAskedFor(String id) {
        var batch = ended("completed");
        for (var file : List.of("output_file_id", "error_file_id")) batch.set(file, json(id.getBytes(UTF_8)));
        if (id.isEmpty()) batch.remove(List.of("output_file_id", "error_file_id"));
        scripted.on("GET " + BATCH, batch);

        assertEquals(Map.of(Outcome.MISSING, 1L), ask("a").submit().results().counts());
        assertEquals(List.of(), scripted.heard("content"));
    }

    @Tag("C26")
    @ParameterizedTest(name = "{0}, {1} looks too early")
    @CsvSource({"completed, 2", "expired, 2", "cancelled, 2", "failed, 2", "expired, 6", "failed, 6"})
    void aFileThatIsNamedLateIsFetchedByThisRunOrTheNext(String status, int early) {
        var unnamed = ended(status).putNull("output_file_id");
        var named = ended(status).set("request_counts", json("{\"completed\":1}".getBytes(UTF_8)));
        scripted.completed(success("request-1", "Hello"), "");
        scripted.on("GET " + BATCH, Stream.concat(Stream.generate(() -> unnamed).limit(early), Stream.of(named))
            .toArray());

        if (early > 5) assertEquals(Map.of(Outcome.MISSING, 1L), ask("a").repair(1).submit().results().counts());

        assertEquals("Hello", ask("a").repair(1).submit().results().iterator().next().text());
        assertEquals(1, scripted.heard("POST /batches").size());
    }

    /** The error file of a batch of which the output file was named at its end, and came whole. */
    @Tag("C26")
    @Test void aSecondFileThatIsNamedLateIsFetchedByTheNextRun() {
        scripted.completed(success("request-1", "Hello"), failure("request-2", 400));
        var counts = json("{\"total\":2,\"completed\":1,\"failed\":1}".getBytes(UTF_8));
        scripted.on("GET " + BATCH, ended("completed").set("request_counts", counts));
        assertEquals(List.of("Hello", "missing"), texts(ask("a", "b").submit().results(), AnswersTest::outcome));

        scripted.on("GET " + BATCH, collected("completed").set("request_counts", counts));

        assertEquals(List.of("Hello", "errored"), texts(ask("a", "b").submit().results(), AnswersTest::outcome));
    }

    @Tag("C27")
    @Test void noBytesAreNoResults() {
        scripted.completed("", "");

        assertEquals(Map.of(Outcome.MISSING, 2L), ask("a", "b").submit().results().counts());
    }

    @Tag("C28")
    @Test void linesEndAtANewlineAndNowhereElse() {
        scripted.completed("\uFEFF" + success("request-1", "a\u2028b\u2029c\u0085d") + "\r\n \n"
            + success("request-2", "two").replace("\n", "\r\n") + success("request-3", "three").replace(",", ",\r")
            + "{\"custom_id\":\n" + success("request-4", "last").strip(), "");

        var said = Printed.stderr(() -> assertEquals(List.of("a\u2028b\u2029c\u0085d", "two", "three", "last"),
            texts(batch().provider(scripted.provider()).model("m").prompts("1", "2", "3", "4").submit().results(),
                Result::text)));

        assertTrue(said.contains("results: part-1.output.jsonl line 6 is not a JSON object; its request counts as "
            + "missing\n"), said);
    }

    @Tag("C28")
    @Test void aLineThatIsNoUtf8HidesNoOther() {
        scripted.completed("", "");
        scripted.on("GET " + OUTPUT, new Answer(200, (success("request-1", "\u00e9") + success("request-2", "two"))
            .getBytes(ISO_8859_1), Map.of()));

        assertEquals(List.of(Outcome.MISSING, Outcome.SUCCEEDED),
            texts(ask("a", "b").submit().results(), Result::outcome));
    }

    @Tag("C29")
    @Test void aLineSaysItselfHowItsRequestEnded() {
        var output = line(1, 200, "null") + line(2, 200, "{\"code\":\"x\"}") + line(3, 400, "null")
            + line(4, 0, "null") + line(5, 199, "null");
        var errors = line(6, 200, "null") + line(7, 299, "\"\"") + line(8, 300, "null") + line(9, 200, "\"odd\"");
        scripted.completed(output, errors);

        var results = ask("1", "2", "3", "4", "5", "6", "7", "8", "9").submit().results();

        assertEquals(List.of("request-1", "request-6", "request-7"), texts(results.succeeded(), Result::customId));
        assertEquals(Map.of(Outcome.SUCCEEDED, 3L, Outcome.ERRORED, 6L), results.counts());
    }

    @Tag("C30")
    @Test void linesOfOtherServersAreRead() {
        scripted.completed(String.join("\n",
            "{\"custom_id\":\"request-1\",\"response\":{\"status_code\":200,\"body\":"
                + "\"{\\\"choices\\\":[{\\\"message\\\":{\\\"content\\\":\\\"body is text\\\"}}]}\"}}",
            "{\"custom_id\":\"request-2\",\"response\":{\"body\":{\"choices\":[{\"message\":{\"content\":"
                + "\"no status\"}}]}}}",
            "{\"custom_id\":\"request-3\",\"error\":\"error is text\"}",
            "{\"custom_id\":\"request-4\",\"response\":{\"status_code\":400,\"message\":\"no body\"}}",
            "{\"custom_id\":\"request-5\",\"response\":{\"status_code\":400,\"body\":null},\"error\":"
                + "{\"object\":\"error\",\"message\":\"body is null\",\"code\":400}}",
            "{\"custom_id\":\"request-6\",\"response\":{\"status_code\":400,\"body\":null},\"error\":"
                + "{\"error\":{\"message\":\"error in error\",\"code\":400}}}",
            "{\"custom_id\":\"request-7\",\"response\":{\"status_code\":500,\"body\":\"<html>\"}}",
            "{\"custom_id\":\"request-8\"}"), "");

        assertEquals(List.of("body is text", "no status", "error is text", "400 no body", "400 body is null",
            "400 error in error", "500 <html>", "the provider lost the request (status 0)"),
            texts(ask("1", "2", "3", "4", "5", "6", "7", "8").submit().results(), AnswersTest::said));
    }

    @Tag("C31")
    @ParameterizedTest
    @CsvSource({"completed, MISSING", "expired, EXPIRED", "cancelled, CANCELLED"})
    void everyRequestEndsInOneOutcomeHoweverTheBatchEnded(String status, Outcome rest) {
        scripted.completed(success("request-1", "Hello"), failure("request-2", 400)
            + "{\"custom_id\":\"request-3\",\"response\":null,\"error\":{\"code\":\"batch_expired\"}}\n"
            + "{\"custom_id\":\"request-4\",\"response\":null,\"error\":{\"code\":\"batch_cancelled\"}}\n");
        scripted.on("GET " + BATCH, collected(status));

        var results = ask("1", "2", "3", "4", "5").submit().results();

        assertEquals(List.of(Outcome.SUCCEEDED, Outcome.ERRORED, Outcome.EXPIRED, Outcome.CANCELLED, rest),
            texts(results, Result::outcome));
        assertEquals(5, results.counts().values().stream().mapToLong(Long::longValue).sum());
        assertFalse(texts(results.failed(), Result::error).contains(""));
    }

    @Tag("C32")
    @Test void anAnswerTooManyIsReportedAndReplacesNone() {
        scripted.completed(success("request-1", "first") + success("request-1", "second") + success("request-99", "?"),
            failure("request-1", 500) + success("stranger", "?"));

        var said = Printed.stderr(() -> assertEquals("first", batch().provider(scripted.provider()).model("m")
            .prompts("1").submit().results().iterator().next().text()));

        assertEquals(List.of(
            "results: part-1.output.jsonl line 2 answers \"request-1\" a second time; the first answer stands",
            "results: part-1.output.jsonl line 3 answers \"request-99\", which was never asked",
            "results: part-1.error.jsonl line 1 answers \"request-1\" a second time; the first answer stands",
            "results: part-1.error.jsonl line 2 answers \"stranger\", which was never asked"),
            said.lines().filter(line -> line.startsWith("results: ")).toList());
    }

    @Tag("C33")
    @Test void whatMayPassIsSentAgainUnderFreshIdsAndNothingElse() {
        var passing = List.of(0, 408, 409, 425, 429, 500, 502, 503, 504);
        var lasting = List.of(400, 401, 403, 404, 413, 422);
        var ids = new ArrayList<String>();
        var errors = new StringBuilder();
        for (var status : Stream.of(passing, lasting).flatMap(List::stream).toList()) {
            ids.add("" + status);
            errors.append(failure("request-" + ids.size(), status));
        }
        ids.addAll(List.of("expired", "cancelled", "missing"));
        errors.append("{\"custom_id\":\"request-16\",\"error\":{\"code\":\"batch_expired\"}}\n"
            + "{\"custom_id\":\"request-17\",\"error\":{\"code\":\"batch_cancelled\"}}\n");
        scripted.completed("", errors.toString());

        var again = ask(ids.toArray(String[]::new)).submit().results().retry().preview(99);

        assertEquals(Stream.concat(passing.stream().map(String::valueOf), ids.stream().skip(15)).toList(),
            again.lines().stream().map(line -> json(line.getBytes(UTF_8)).at("/body/messages/0/content").asText())
                .toList());
        assertTrue(again.lines().stream().allMatch(line -> line.matches("\\{\"custom_id\":\"request-[0-9]+-r2\".*")),
            again.toString());
    }

    @Tag("C35")
    @ParameterizedTest(name = "status {0}")
    @ValueSource(ints = {404, 410})
    void aFileThatIsGoneIsSaidToBeAndItsRequestsAreMissing(int status) {
        scripted.completed(success("request-1", "Hello"), "");
        scripted.on("GET " + ERRORS, Answer.status(status));

        var said = Printed.stderr(() -> assertEquals(Map.of(Outcome.SUCCEEDED, 1L, Outcome.MISSING, 1L),
            batch().provider(scripted.provider()).model("m").prompts("1", "2").submit().results().counts()));

        assertTrue(said.contains("results: GET " + scripted.baseUrl("/v1") + ERRORS + ": " + status + " status "
            + status + "; its file is gone, and the requests in it count as missing\n"), said);
    }

    @Test void whatIsGoneIsMissingAgainTheNextTime() {
        scripted.completed(success("request-1", "Hello"), "");
        scripted.on("GET " + OUTPUT, Answer.status(404));

        for (int run = 1; run <= 3; run++)
            assertEquals(Map.of(Outcome.MISSING, 1L), ask("1").submit().results().counts());
    }

    @Tag("C36")
    @Test void resultsLargerThanTheHeapAreReadInInputOrder() throws Exception {
        server = BatchServer.start().reply(text -> text + " " + "x".repeat(60_000)).shuffleOutput();

        assertEquals("600 in input order, 36 MB", script("-Xmx32m", 600));
    }

    @Tag("C37")
    @Test void tokensAreReadByEitherNameAndSummed() {
        scripted.completed(success("request-1", "one").replace("\"choices\"", "\"usage\":{\"prompt_tokens\":3,"
            + "\"completion_tokens\":2,\"prompt_tokens_details\":{\"cached_tokens\":1}},\"choices\"")
            + success("request-2", "two").replace("\"choices\"", "\"usage\":{\"input_tokens\":30,"
            + "\"output_tokens\":20,\"output_tokens_details\":{\"reasoning_tokens\":10}},\"choices\""), "");

        assertEquals(new Usage(33, 22, 1, 10), ask("a", "b").submit().results().usage());
    }

    @Tag("C37")
    @Test void tokensAreThoseOfTheBatchIfEveryPartSaysThem() {
        server = BatchServer.start().rewrite(lines -> lines.stream()
            .map(line -> line.replaceAll("_tokens\":[1-9]+", "_tokens\":1000")).toList());
        var parts = ask("a b", "c d e").provider(served().limits(1, 10_000));

        assertEquals(new Usage(5, 5, 0, 0), parts.submit().results().usage());
        assertEquals(new Usage(1_000, 1_000, 0, 0), parts.submit().results().succeeded().by(Result::customId)
            .get("request-1").usage());
    }

    @Tag("C37")
    @Test void tokensAreThoseOfAllThatWasPaidOnceEach() {
        server = BatchServer.start().answer(body -> body.path("max_completion_tokens").asInt() == 40
            ? Reply.text("one two").finishReason("length") : Reply.text("one two three").finishReason("length"));
        server.rewrite(lines -> lines.stream().map(line -> line.contains("request-2\"")
            ? line.replace("\"length\"", "\"stop\"") : line).toList());
        var draft = ask("a", "b").provider(served()).maxTokens(10);

        var repaired = draft.repair(1).submit().results();

        assertEquals(new Usage(1 + 1 + 1, 3 + 3 + 3, 0, 0), repaired.usage());
        assertEquals(new Usage(3, 9, 0, 0), draft.repair(1).submit().results().usage());
        assertEquals(new Usage(2, 6, 0, 0), repaired.failed().usage());
        assertEquals(new Usage(1, 3, 0, 0), repaired.succeeded().usage());
        assertEquals(new Usage(4, 11, 0, 0), draft.repair(2).submit().results().usage());
        assertEquals(new Usage(2, 6, 0, 0), draft.submit().results().usage());
        assertTrue(Printed.stdout(() -> repaired.show()).endsWith("; 3 tokens in, 9 out\n"));
    }

    @Tag("C37")
    @Test void tokensOfARetryAreAddedOnce() {
        server = BatchServer.start().answer(body -> Reply.text("no").refusal("not that"));
        var first = ask("a", "b").provider(served()).submit().results();
        var retry = first.only(Outcome.REFUSED).retry().quiet().submit().results();

        var merged = first.merge(retry).merge(retry);

        assertEquals(first.usage().plus(retry.usage()), merged.usage());
        assertEquals(merged.usage(), merged.failed().usage());
        assertEquals(first.usage().plus(retry.usage().plus(retry.usage())), merged.merge(
            merged.only(Outcome.REFUSED).retry().quiet().submit().results()).usage());
    }

    @Tag("C37")
    @Test void tokensOfABatchThatDoesNotSayThemAreSummed() {
        scripted.completed(success("request-1", "one").replace("\"choices\"",
            "\"usage\":{\"prompt_tokens\":3},\"choices\""), "");
        var batch = collected("completed");

        batch.putObject("usage").put("input_tokens", 7).put("output_tokens", 1);
        scripted.on("GET " + BATCH, batch.toString());
        assertEquals(new Usage(7, 1, 0, 0), ask("a").submit().results().usage());
        scripted.on("GET " + BATCH, batch.putNull("usage"));
        assertEquals(new Usage(3, 0, 0, 0), ask("a").name("another").submit().results().usage());
    }

    private static String outcome(Result result) { return result.ok() ? result.text() : result.outcome().toString(); }

    /** Submits many requests and reads the results. */
    static final class Script {
        public static void main(String... args) {
            var results = batch().provider(args[0]).quiet().model("m").prompts("{{value}}",
                rows(IntStream.range(0, Integer.parseInt(args[1])).mapToObj(i -> "n" + i).toList())).submit().results();
            int inOrder = 0;
            long characters = 0;
            for (var result : results) {
                if (result.text().startsWith("n" + inOrder + " ")) inOrder++;
                characters += result.text().length();
            }
            System.out.print(inOrder + " in input order, " + characters / 1_000_000 + " MB");
        }
    }

    private String script(String heap, int requests) throws IOException {
        var script = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(), heap,
            "-XX:TieredStopAtLevel=1", "-DSHEAF_HOME=" + home, "-cp", System.getProperty("java.class.path"),
            Script.class.getName(), server.baseUrl(), "" + requests).redirectErrorStream(true).start();
        return new String(script.getInputStream().readAllBytes(), UTF_8);
    }

    private Draft ask(String... texts) { return scripted.ask(texts); }

    /** A line with a text, whatever else it says. */
    private static String line(int number, int status, String error) {
        return success("request-" + number, "text").replace("200", "" + status).replace("null", error);
    }

    private static <T> List<T> texts(Results results, Function<Result, T> property) {
        return results.stream().map(property).toList();
    }

    private static String said(Result result) { return result.ok() ? result.text() : result.error(); }

    private Provider served() { return Provider.of(server.baseUrl()); }
}
