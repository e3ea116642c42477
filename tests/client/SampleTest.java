package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Result;
import sheaf.Sheaf.Results;
import sheaf.Vocabulary.BatchException;
import sheaf.Vocabulary.Outcome;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Fault;
import sheaf.server.BatchServer.Reply;
import sheaf.support.Printed;

/** A few rows are asked at once, and are a part of what submit() brings. */
class SampleTest {
    final List<String> asked = Collections.synchronizedList(new ArrayList<>());
    @AutoClose final BatchServer server = BatchServer.start().answer(body -> {
        asked.add(body.at("/messages/0/content").asText());
        return Reply.text("re " + body.at("/messages/0/content").asText());
    });
    @TempDir Path home;

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

    @Test void theRowsAreEvenlySpreadAndTheSameEachTime() {
        assertEquals(List.of("1", "4", "7"), values(ask(10).sample(3)));
        assertEquals(List.of("1", "4", "7"), values(ask(10).sample(3)));
        assertEquals(3, asked.size(), "what is answered is not asked again");
        assertEquals(List.of("1", "3", "5", "7", "9"), values(ask(10).name("other").sample(5)));
        assertEquals(IntStream.rangeClosed(1, 4).mapToObj(String::valueOf).toList(),
            values(ask(4).name("all").sample(9)));
    }

    @Test void itGoesOverTheRouteForSingleRequestsAndMakesNoBatch() {
        ask(10).sample(3);

        assertEquals(3, posts("/chat/completions"));
        assertEquals(0, posts("/batches") + posts("/files"));
    }

    @Test void aSubmitSendsOnlyTheRestAndTheResultsHoldAll() {
        ask(10).sample(3);

        var results = ask(10).submit().results();

        assertEquals(10, asked.size());
        assertEquals(10, results.succeeded().size());
        assertEquals(IntStream.rangeClosed(1, 10).mapToObj(i -> "re " + i).toList(),
            results.stream().map(Result::text).toList());
        assertEquals(10, batch("letters").results().size());
        ask(10).sample(3);
        assertEquals(10, asked.size());
        assertEquals(10, batch("letters").results().size(), "the name is the batch's");
    }

    private static Sheaf.Batch batch(String name) { return Sheaf.batch(name); }

    @Test void aLargerSampleAsksOnlyWhatTheSmallerHasNot() {
        ask(12).sample(3);
        ask(12).sample(6);

        assertEquals(6, asked.size());
        assertEquals(6, asked.stream().distinct().count());
    }

    @Test void aSecondOneSaysThatNothingWasAsked() {
        ask(10).sample(3);

        assertEquals("sample: 3 answers are here already; nothing is asked\n",
            Printed.stderr(() -> loud(10).sample(3)));
        assertTrue(Printed.stderr(() -> loud(10).sample(6)).startsWith("letters: 6 requests; "));
        assertEquals(6, asked.size());
    }

    @Test void itsPreviewAndEstimateAreOfTheRowsThatItWouldAsk() {
        var sampled = ask(10).price(0, 1_000_000).maxTokens(5).options("--sample", "3");

        var preview = sampled.preview(2);

        assertEquals(List.of("1", "4"), preview.lines().stream().map(line -> Json.lenient(line)
            .at("/body/messages/0/content").asText()).toList());
        assertEquals("a sample of 3 of 10 requests now, one by one; m; about 24 tokens of prompts; up to $15.00",
            preview.summary());
        assertEquals("a sample of 3 of 10 requests now, one by one; up to $15.00", sampled.estimate().toString().lines()
            .toList().get(4));
        assertEquals(0, posts("/chat/completions"));

        ask(10).maxTokens(5).sample(3);
        assertEquals("a sample of 3 of 10 requests (0 to send, 3 answered before)", sampled.preview(2).summary());
        assertEquals("a sample of 6 of 10 requests (3 to send, 3 answered before) now, one by one; up to $15.00",
            ask(10).price(0, 1_000_000).maxTokens(5).options("--sample", "6").estimate().toString().lines().toList()
            .get(4));
    }

    @Test void aPreviewOfASampleAsksNothing() {
        var out = Printed.stdout(() -> assertThrows(Script.End.class,
            () -> ask(4).options("--preview", "1", "--sample", "2").submit()));
        assertEquals(1, out.lines().count(), out);
        assertThrows(Script.End.class, () -> ask(4).options("--estimate").sample(2));

        assertEquals(List.of(), asked);
    }

    @Test void aSampleOfAllRowsIsTakenOverWhole() {
        ask(3).sample(3);

        assertEquals(3, ask(3).submit().results().succeeded().size());
        assertEquals(3, asked.size());
        assertEquals(0, posts("/batches"));
    }

    @Test void whatWasKilledInTheMiddleGoesOnWhereItWas() throws IOException {
        ask(6).sample(6);
        var file = only("part-1.output.jsonl");
        Files.write(file, Files.readAllLines(file).subList(0, 2));
        var steps = file.resolveSibling("steps.jsonl");
        Files.write(steps, Files.readAllLines(steps).subList(0, 1));   // as of one that never came to its end
        Files.delete(file.resolveSibling("answers.idx"));
        asked.clear();

        assertEquals(6, ask(6).sample(6).succeeded().size());
        assertEquals(4, asked.size());
    }

    @Test void whatWasKilledInTheMiddleIsNotPaidAgainBySubmitEither() throws IOException {
        ask(6).sample(6);
        var file = only("part-1.output.jsonl");
        Files.write(file, Files.readAllLines(file).subList(0, 2));
        var steps = file.resolveSibling("steps.jsonl");
        Files.write(steps, Files.readAllLines(steps).subList(0, 1));
        Files.delete(file.resolveSibling("answers.idx"));
        asked.clear();

        assertEquals(6, ask(6).submit().results().succeeded().size());
        assertEquals(4, asked.size());
    }

    @Test void oneThatWasKilledBeforeItAskedTakesOverWhatWasAnsweredBefore() throws IOException {
        ask(4).submit().results();
        ask(10).sample(10);
        var folder = Journal.all().filter(journal -> journal.manifest().isAtOnce()).findFirst().orElseThrow().dir();
        for (var file : List.of("steps.jsonl", "part-1.output.jsonl", "calls.jsonl", "answers.idx"))
            Files.delete(folder.resolve(file));
        asked.clear();

        assertEquals(10, ask(10).sample(10).succeeded().size());
        assertEquals(6, asked.size());
    }

    @Test void aSubmitWaitsForTheProcessThatIsStillAsking() throws Exception {
        ask(6).sample(3);
        var folder = Journal.all().findFirst().orElseThrow().dir();
        Thread submit;
        try (var asking = FolderLock.on(folder, none -> {})) {
            submit = new Thread(() -> ask(6).submit().results());
            submit.start();
            submit.join(500);
            assertEquals(0, posts("/batches"));
        }
        submit.join();

        assertEquals(6, asked.size());
    }

    @Test void whatOneRequestDidWrongIsItsResultAndTheOthersAreAsked() {
        server.answer(body -> body.at("/messages/0/content").asText().equals("3")
            ? Reply.error(400, "invalid_value", "not this one") : Reply.text("ok"));

        var results = ask(5).sample(5);

        assertEquals(Map.of(Outcome.SUCCEEDED, 4L, Outcome.ERRORED, 1L), results.counts());
        assertTrue(results.failed().iterator().next().error().contains("not this one"));
    }

    @Test void aProviderThatIsBusyIsAskedAgainAndABrokenAnswerIsNotPaidTwice() {
        server.on("POST /v1/chat/completions", Fault.status(429), Fault.status(503));

        assertEquals(3, ask(3).sample(3).succeeded().size());
        assertEquals(5, posts("/chat/completions"));
        assertEquals(3, asked.size());
    }

    @Test void anAnswerThatIsLostIsNotAskedForTwiceInOneRun() {
        server.on("POST /v1/chat/completions", Fault.lost());

        var lost = new Results[1];
        var said = Printed.stderr(() -> lost[0] = loud(1).sample(1));

        assertEquals(1, asked.size());
        assertEquals(Map.of(Outcome.CANCELLED, 1L), lost[0].counts());
        assertTrue(said.contains("sample: 1 request got no answer; run again to ask once more, or submit() "
            + "sends it\n"), said);
        assertEquals(1, ask(1).sample(1).succeeded().size());
    }

    @Test void aRefusalOfAllEndsIt() {
        server.on("POST /v1/chat/completions", Fault.status(401), Fault.status(401), Fault.status(401),
            Fault.status(401));

        assertEquals(401, assertThrows(BatchException.class, () -> ask(4).sample(4)).status());
        assertEquals(0, asked.size());
    }

    @Test void aFaultOfAnyRowIsSaidBeforeAnythingIsPaid() {
        var faulty = Sheaf.batch().model("m").provider(here()).name("x").quiet().prompts("{{a}}",
            rows(List.of(Map.of("a", "1"), Map.of("b", "2"), Map.of("a", "3"))));

        var fault = assertThrows(IllegalArgumentException.class, () -> faulty.sample(1));

        assertEquals("prompts: row 2 has no value for {{a}} (template line 1); it has: b", fault.getMessage());
        assertEquals(0, asked.size());
    }

    @Test void itsPriceIsSaidAndWhatAllWouldCost() {
        var said = Printed.stderr(() -> loud(10).price(0, 1_000_000).maxTokens(5).sample(2));

        assertTrue(said.contains("sample: asking 2 requests now, one by one, at " + server.baseUrl() + ", up to $10.00 "
            + "at the price of single requests\n"), said);
        assertTrue(said.contains("sample: 2 answers for $4.00; all 10 requests would be about $20.00 in a batch\n"),
            said);
    }

    @Test void aBudgetHoldsForASampleTooAndCountsIt() {
        var draft = ask(10).price(0, 1_000_000).maxTokens(5);

        assertEquals("budget: 2 requests may cost $10.00, and $9.00 is given; about 1 row fits, by sample(1)",
            assertThrows(IllegalStateException.class, () -> draft.budget(9).sample(2)).getMessage());
        assertEquals("budget: 2 requests may cost $10.00, and $4.00 is given; not even one row fits",
            assertThrows(IllegalStateException.class, () -> draft.budget(4).sample(2)).getMessage());
        assertEquals(0, asked.size());
        draft.budget(10).sample(2);
        assertEquals("budget: 8 requests may cost $40.00, $4.00 is spent or under way as letters, and $43.00 is given; "
            + "the first 9 rows fit, by limit(9) of the data",
            assertThrows(IllegalStateException.class, () -> draft.budget(43).submit()).getMessage());
        assertEquals(10, draft.budget(44).submit().results().size());
    }

    @Test void anAnswerThatWasLostMayBePaidAndCounts() {
        server.on("POST /v1/chat/completions", Fault.lost());
        var draft = ask(1).price(0, 1_000_000).maxTokens(5);
        draft.budget(5).sample(1);

        assertEquals("budget: 1 request may cost $5.00, $5.00 is spent or under way as letters (with 1 call that broke "
            + "off and may be paid), and $9.00 is given; not even the first row fits", assertThrows(IllegalStateException.class,
            () -> draft.budget(9).submit()).getMessage());
        assertEquals(1, draft.budget(10).submit().results().succeeded().size());
    }

    /** A gateway waits less long than a model thinks. */
    @ParameterizedTest @ValueSource(ints = {502, 504, 524})
    void aRequestThatAGatewayGaveUpIsNotAskedForTwiceAndMayBePaid(int status) {
        server.on("POST /v1/chat/completions", Fault.status(status));
        var draft = ask(1).price(0, 1_000_000).maxTokens(5);

        assertEquals(Map.of(Outcome.CANCELLED, 1L), draft.budget(5).sample(1).counts());
        assertEquals(1, posts("/chat/completions"));
        assertThrows(IllegalStateException.class, () -> draft.budget(9).submit());
    }

    @Test void eachCallThatBrokeOffCountsAlsoOfWhatIsAnsweredByNow() {
        server.on("POST /v1/chat/completions", Fault.status(502), Fault.status(502));
        var draft = ask(1).price(0, 1_000_000).maxTokens(5);

        assertTrue(Printed.stderr(() -> loud(1).maxTokens(5).sample(1)).contains("; request-1 has no answer, and may be "
            + "paid\n"));
        draft.sample(1);
        draft.sample(1);

        assertEquals("budget: 9 requests may cost $45.00, $12.00 is spent or under way as letters (with 2 calls that "
            + "broke off and may be paid), and $56.00 is given; the first 9 rows fit, by limit(9) of the data",
            assertThrows(IllegalStateException.class, () -> ask(10).price(0, 1_000_000).maxTokens(5).budget(56)
                .submit()).getMessage());
    }

    @Test void whatWasRefusedCostNothing() {
        server.on("POST /v1/chat/completions", Fault.status(401));
        var draft = ask(1).price(0, 1_000_000).maxTokens(5).budget(5);

        assertThrows(BatchException.class, () -> draft.sample(1));
        assertEquals(1, draft.submit().results().succeeded().size());
    }

    @Test void whatHasNoRowsOrNoNameIsRefused() throws IOException {
        var file = home.resolve("requests.jsonl");
        ask(2).toJsonl(file);

        assertRefused("sample: a file of requests has no rows of which a few could be chosen",
            Sheaf.batch().provider(here()).requests(file));
        assertRefused("sample: the draft has no name under which submit() would find the answers; give it one by "
            + "name(...)", Sheaf.batch().provider(here()).model("m").prompts("a", "b"));
        assertEquals("sample: 0 is less than 1",
            assertThrows(IllegalArgumentException.class, () -> ask(2).sample(0)).getMessage());
    }

    private static void assertRefused(String sentence, Draft draft) {
        assertEquals(sentence, assertThrows(IllegalStateException.class, () -> draft.sample(1)).getMessage());
    }

    @Test void promptsWithoutRowsAreChosenAmongToo() {
        var results = Sheaf.batch().provider(here()).name("letters").model("m").prompts("a", "b", "c", "d").quiet()
            .sample(2);

        assertEquals(List.of("re a", "re c"), results.stream().map(Result::text).toList());
    }

    @Test void aRowKeepsAllItsTemplatesAndModels() {
        var draft = ask(6).model("one", "two");

        assertEquals(4, draft.sample(2).succeeded().size());
        assertEquals(12, draft.submit().results().succeeded().size());
        assertEquals(12, asked.size());
    }

    @Test void whatASampleFailedAtIsRetriedInABatch() {
        server.answer(body -> asked.size() < 1 && asked.add("x") ? Reply.error(500, "x", "broke") : Reply.text("ok"));
        var results = ask(3).sample(3);

        assertEquals(3, results.size());
        assertEquals(3, ask(3).repair(1).submit().results().succeeded().size());
    }

    private Path only(String name) throws IOException {
        try (var files = Files.walk(home)) {
            return files.filter(file -> file.getFileName().toString().equals(name)).reduce((one, other) -> {
                throw new AssertionError(one + " and " + other);
            }).orElseThrow();
        }
    }

    private static List<String> values(Results results) {
        return results.stream().map(result -> result.row("value")).toList();
    }

    private long posts(String route) {
        return server.requests().stream().filter(request -> request.equals("POST /v1" + route)).count();
    }

    private Provider here() { return Provider.of(server.baseUrl()); }

    private Draft ask(int rows) { return loud(rows).quiet(); }

    private Draft loud(int rows) {
        return Sheaf.batch().model("m").provider(here()).name("letters").prompts("{{value}}",
            rows(IntStream.rangeClosed(1, rows).mapToObj(String::valueOf).toList()));
    }
}
