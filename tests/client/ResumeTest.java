package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;
import static sheaf.Sheaf.template;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Result;
import sheaf.Vocabulary.Outcome;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Fault;
import sheaf.server.BatchServer.Reply;
import sheaf.support.Printed;
import sheaf.support.RawClient;

/** A script that runs again: it says what it found and what has changed, and pays for nothing twice. */
class ResumeTest {
    @AutoClose final BatchServer server = BatchServer.start();
    final RawClient client = new RawClient(() -> server.baseUrl());
    final List<String> asked = Collections.synchronizedList(new ArrayList<>());
    @TempDir Path home;

    @BeforeEach void ownHome() {
        System.setProperty("SHEAF_HOME", home.toString());
        server.answer(body -> {
            var messages = body.get("messages");
            var prompt = messages.get(messages.size() - 1).get("content").asText();
            asked.add(prompt);
            return Reply.text(messages.get(0).get("content").asText().length() + " " + prompt);
        });
    }

    @Test void anotherSystemPromptIsSaidBeforeItIsPaid() {
        ask("a", "b").submit().await();

        var said = Printed.stderr(() -> ask("a", "b").system("Be brief.").submit());

        assertTrue(said.matches("(?s)tickets: 2 requests; 0 answered before, 2 to send; the system prompt changed\n"
            + "submitted batch_\\w+ to " + server.baseUrl() + " \\(2 requests\\); kept in .*"), said);
    }

    @Test void rowsAreComparedByWhatIsInThemAndNotByTheirPlace() {
        ask("a", "b", "c").submit().await();

        var said = Printed.stderr(() -> ask("new", "a", "b").submit());

        assertTrue(said.startsWith("tickets: 3 requests; 2 answered before, 1 to send\n"), said);
    }

    @Test void settingsAreNamedWithBothValues() {
        ask("a").temperature(0).submit().await();

        var said = Printed.stderr(() -> ask("a").temperature(0.2).model("large").maxTokens(9).submit());

        assertTrue(said.startsWith("tickets: 1 request; 0 answered before, 1 to send; model is large, was echo; "
            + "temperature is 0.2, was 0.0; maxTokens is 9, was not given\n"), said);
    }

    @Test void aChangedTemplateIsSaid() {
        ask().prompts(template("t", "Old {{value}}"), rows("a")).submit().await();

        var said = Printed.stderr(() -> ask().prompts(template("t", "New {{value}}"), rows("a")).submit());

        assertTrue(said.startsWith("tickets: 1 request; 0 answered before, 1 to send; the prompts changed\n"), said);
    }

    @Test void anotherNameOrNothingBeforeSaysNothingOfChanges() {
        ask("a").submit().await();

        assertTrue(Printed.stderr(() -> ask("b").name("others").submit()).startsWith("submitted batch_"));
    }

    @Test void onlyTheRequestsThatDifferAreSent() {
        ask("a", "b", "c", "d").submit().await();
        asked.clear();

        var said = Printed.stderr(() -> ask("a", "x", "c", "d", "y").submit().await());

        assertTrue(said.startsWith("tickets: 5 requests; 3 answered before, 2 to send\n"), said);
        assertEquals(List.of("x", "y"), asked.stream().sorted().toList());
        assertEquals(List.of("1 a", "1 x", "1 c", "1 d", "1 y"), texts(ask("a", "x", "c", "d", "y")));
        assertEquals(2, sent("POST /v1/batches"));
    }

    @Test void aDatasetThatGrowsShrinksOrIsReorderedPaysForNewRowsAlone() {
        texts(ask("a", "b"));
        texts(ask("a", "b", "c", "d"));
        texts(ask("d", "b", "e"));
        texts(ask("e", "d", "c", "b", "a"));

        assertEquals(List.of("a", "b", "c", "d", "e"), asked.stream().sorted().toList());
        assertEquals(List.of("1 c", "1 a", "1 e"), texts(ask("c", "a", "e")));
        assertEquals(3, sent("POST /v1/batches"));
    }

    @Test void answersThatWereTakenOverOutliveTheBatchTheyCameFrom() {
        var first = ask("a").submit().await();
        texts(ask("a", "b"));
        first.results();
        first.delete();

        assertEquals(List.of("1 b", "1 a", "1 c"), texts(ask("b", "a", "c")));
        assertEquals(List.of("a", "b", "c"), asked.stream().sorted().toList());
    }

    /** Requests run two at once. */
    private static synchronized int numbered(List<String> asked) {
        asked.add("");
        return asked.size();
    }

    @Test void theNthRepeatTakesTheNthAnswerOfAllBatchesTogether() {
        server.answer(body -> Reply.text("answer " + numbered(asked)));
        texts(ask("x"));
        var two = texts(ask("x", "x"));

        var four = texts(ask("x", "x", "x", "x"));

        assertEquals(two, four.subList(0, 2));
        assertEquals(4, four.stream().distinct().count());
        assertEquals(4, asked.size());
    }

    @Test void whatALaterBatchTookOverAndRetriedIsTakenAsItWasRetried() {
        server.answer(body -> Reply.error(400, "x", "no"));
        ask("x").submit().await();
        server.answer(body -> Reply.text("yes"));
        ask("x", "y").submit().results().only(Outcome.ERRORED).retry().quiet().submit().await();
        long before = server.requests().stream().filter("POST /v1/batches"::equals).count();

        assertEquals(List.of("yes", "yes"), texts(ask("y", "x")));

        assertEquals(before, server.requests().stream().filter("POST /v1/batches"::equals).count());
    }

    @Test void anAnswerThatDidNotSucceedIsSentAgainByRepairAlone() {
        server.answer(body -> body.toString().contains("\"b\"") ? Reply.error(500, "x", "broken")
            : Reply.text("first"));
        ask("a", "b").submit().await();
        server.answer(body -> Reply.text("second"));

        var results = ask("a", "b", "c").submit().results();

        assertEquals(List.of("first", "", "second"), results.stream().map(Result::rawText).toList());
        assertEquals(List.of("a", "b", "c"), results.stream().map(result -> result.row("value")).toList());
        assertEquals("500 broken", results.failed().iterator().next().error());
        assertEquals(List.of("first", "second", "second"), texts(ask("a", "b", "c").repair(1)));
    }

    @Test void aDatasetThatOnlyShrankSendsNothing() {
        ask("a", "b", "c").submit().await();

        var results = ask("c", "a").submit().await().results();

        assertEquals(List.of("1 c", "1 a"), results.stream().map(Result::text).toList());
        assertEquals(Map.of(Outcome.SUCCEEDED, 2L), results.counts());
        assertEquals(1, sent("POST /v1/batches"));
        assertEquals(List.of("1 c", "1 a"), here().batch("tickets").results().stream().map(Result::text).toList());
        assertEquals(List.of("1 a"), texts(ask("a")));
    }

    @Test void aBatchOfWhichAPartIsRefusedAgainIsStillTheLastOne() {
        var parts = here().limits(1, 10_000);
        ask("a", "b").provider(parts).submit().await();
        server.pause().onEvery(request -> request.equals("POST /v1/batches") && sent(request) > 3
            ? Fault.status(400) : null);
        var newer = ask("a", "b").model("new").provider(parts);
        for (int i = 0; i < 2; i++) newer.quiet().submit();
        server.resume().onEvery(request -> null);
        batch("tickets").await();
        asked.clear();

        var said = Printed.stderr(() -> ask("a", "c").model("new").submit().await());

        assertTrue(said.startsWith("tickets: 2 requests; 1 answered before, 1 to send\n"), said);
        assertEquals(List.of("c"), asked);
    }

    @Test void aBatchOfReusedAnswersIsTheLastOneThoughItWasKilledAtOnce() throws IOException {
        ask("a", "b").submit().await();
        var folder = ask("b", "a").submit().folder();
        Files.delete(folder.resolve("steps.jsonl"));

        var said = Printed.stderr(() -> ask("b", "a").submit());

        assertTrue(said.matches("attached to .* submitted 2.*\\), nothing was sent; kept in .*\n"), said);
        assertTrue(Files.exists(folder.resolve("steps.jsonl")));
    }

    @Test void identicalRequestsAreReusedOnceEach() {
        server.answer(body -> Reply.text("answer " + numbered(asked)));
        var before = texts(ask("a", "a"));

        var after = texts(ask("a", "a", "a"));

        assertEquals(before, after.subList(0, 2));
        assertEquals(3, after.stream().distinct().count());
    }

    @Test void aBatchThatIsStillGoingIsNotReused() {
        server.pause();
        ask("a", "b").submit();

        var fault = assertThrows(IllegalStateException.class, () -> ask("a", "c").submit());

        var name = batch("tickets").folder().getFileName();
        assertTrue(fault.getMessage().matches("submit: " + name + " is still \\w+ and has 1 request of these; await it "
            + "first: batch\\(\"" + name + "\"\\)\\.await\\(\\), or ask anew under another name\\(\\.\\.\\.\\)"),
            fault.getMessage());
        assertEquals(1, sent("POST /v1/batches"));
        ask("c", "d").submit();
        assertEquals(2, sent("POST /v1/batches"));
    }

    @Test void aRepairWhoseEndNobodySawIsReusedOnceItHasEnded() {
        server.answer(body -> asked.add(body.toString()) && asked.size() == 2 ? Reply.error(500, "x", "broken")
            : Reply.text("fine"));
        var first = ask("a", "b").submit().results();
        server.pause();
        var repair = first.retry().quiet().submit();

        var fault = assertThrows(IllegalStateException.class, () -> ask("a", "b", "c").submit());
        server.resume();
        client.finishedBatch(repair.id());
        ask("a", "b", "c").submit().results();

        var name = repair.folder().getFileName();
        assertTrue(fault.getMessage().matches("submit: " + name + " is still \\w+ and has 2 requests of these; .*"),
            fault.getMessage());
        assertEquals(4, asked.size());
    }

    @Test void whatIsReusedIsPartedAndRetriedLikeTheRest() {
        texts(ask("a", "b", "c"));

        var draft = ask("c", "x", "b", "y", "z").provider(here().limits(1, 10_000));

        assertEquals(3, draft.submit().parts().size());
        assertEquals(List.of("1 c", "1 x", "1 b", "1 y", "1 z"), texts(draft));
        assertEquals(List.of("1 c", "1 b"), draft.submit().results().only(Outcome.SUCCEEDED).stream()
            .filter(result -> "bc".contains(result.row("value"))).map(Result::text).toList());
    }

    @Test void thePartsOfAReuseAreNotMistakenForThoseOfTheWhole() {
        texts(ask("a", "b"));
        server.pause();
        ask("a", "x").submit();
        System.setProperty("SHEAF_HOME", home.resolve("elsewhere").toString());

        server.resume();

        assertEquals(List.of("1 a", "1 x"), texts(ask("a", "x")));
    }

    /** The server takes no other window than 24h, and says so only of a batch that is new to it. */
    @Test void aReuseWithAnotherWindowIsNotMistakenForTheOneThatExpired() {
        texts(ask("a"));
        server.expireAfter(Duration.ofMillis(1)).pause();
        ask("a", "b").quiet().submit().await();

        var fault = assertThrows(Sheaf.BatchException.class,
            () -> ask("a", "b").completionWindow("48h").quiet().submit());

        assertTrue(fault.getMessage().endsWith("400 Invalid value: '48h'. Supported values are: '24h'"),
            fault.getMessage());
    }

    @Test void anExpiredBatchIsAttachedWithTheNumberOfRequestsItLacks() {
        server.expireAfter(Duration.ofMillis(1)).pause();
        ask("a", "b").submit().await();

        var said = Printed.stderr(() -> ask("a", "b").submit());

        assertTrue(said.contains("nothing was sent; it has expired with 2 requests unanswered, which "
            + "results().retry() or repair(1) sends again; kept in "), said);
        assertEquals(1, sent("POST /v1/batches"));
    }

    @Test void aBatchThatFailedBeforeAnythingRanIsANewIntent() {
        server.models("other");
        assertThrows(Sheaf.BatchException.class, () -> ask("a").submit().await());
        server.models("echo");

        assertEquals(List.of("1 a"), texts(ask("a")));
        assertEquals(2, sent("POST /v1/batches"));
    }

    @Tag("C13")
    @Test void aLostCreateIsFoundByItsFileWhereMetadataIsDropped() {
        server.forgetMetadata().on("POST /v1/batches", Fault.lost());

        assertEquals(List.of("1 a"), texts(ask("a")));
        assertEquals(1, client.ids("/batches").size());
    }

    @Tag("C13")
    @Test void aListThatPagesBadlyStopsASecondCreate() throws IOException {
        for (int i = 0; i < 3; i++) client.create(RawClient.lines("another"));
        var batch = ask("a").submit();
        client.finishedBatch(batch.id());
        forgetTheCreate();
        for (int i = 0; i < 120; i++) client.create(RawClient.lines("later"));
        server.ignoreAfter();

        var fault = assertThrows(IllegalStateException.class, () -> ask("a").submit());

        assertTrue(fault.getMessage().matches("submit: a create of part 1 was never answered, and " + server.baseUrl()
            + " lists only 100 batches, so it may be there unseen; look there: batch\\(\"its id\"\\) takes it; if "
            + "there is none, delete .* and run again"), fault.getMessage());
        assertEquals(List.of("1 a"), here().batch(batch.id()).results().stream().map(Result::text).toList());
    }

    @Tag("C14")
    @Test void anInputFileThatIsGoneIsUploadedAgain() throws IOException {
        server.on("POST /v1/batches", Fault.status(400).body("{\"error\": {\"message\": \"bad day\"}}"));
        assertThrows(Sheaf.BatchException.class, () -> ask("a").submit());
        server.on("POST /v1/batches", Stream.generate(() -> Fault.status(404)
            .body("{\"error\": {\"message\": \"Input file not found\"}}")).limit(7).toArray(Fault[]::new));

        assertEquals(List.of("1 a"), texts(ask("a")));
        assertEquals(2, sent("POST /v1/files"));
    }

    @Test void aClockThatJumpsHarmsNothing() throws IOException {
        var draft = ask("a");
        var id = draft.submit().await().id();
        Files.writeString(steps(), Files.readString(steps()).replaceAll("\"at\":\"20..", "\"at\":\"2999"));

        var said = Printed.stderr(() -> assertEquals(id, ask("a").submit().id()));
        assertTrue(said.contains(", submitted 2999-"), said);
        assertEquals(List.of("1 b"), texts(ask("b")));
    }

    @Test void aFolderThatCannotBeWrittenIsASentenceAndNothingIsSent() throws IOException {
        var file = Files.writeString(home.resolve("file"), "in the way");
        System.setProperty("SHEAF_HOME", file.toString());

        var fault = assertThrows(java.io.UncheckedIOException.class, () -> ask("a").submit());

        assertTrue(fault.getMessage().startsWith("submit: cannot write to " + file + " ("), fault.getMessage());
        assertEquals(List.of(), server.requests());
    }

    /** A file cannot grow here, as on a full disk. */
    @Test void aFullDiskIsASentenceAndNothingIsSent() throws Exception {
        var java = Path.of(System.getProperty("java.home"), "bin", "java").toString();
        var script = new ProcessBuilder("sh", "-c", "ulimit -S -f 2000; exec \"$@\"", "sh", java, "-XX:-UsePerfData",
            "-XX:TieredStopAtLevel=1", "-DSHEAF_HOME=" + home, "-cp", System.getProperty("java.class.path"),
            Script.class.getName(), server.baseUrl()).redirectErrorStream(true).start();

        var said = new String(script.getInputStream().readAllBytes(), StandardCharsets.UTF_8);

        assertTrue(script.waitFor(1, TimeUnit.MINUTES) && script.exitValue() == 1, said);
        assertEquals("submit: cannot write to " + home + " (File too large)\n", said);
        assertEquals(List.of(), server.requests());
        try (var left = Files.list(home.resolve("batches"))) {
            assertEquals(0, left.count());
        }
        assertEquals(40, texts(Script.draft(server.baseUrl())).size());
    }

    /** What a user runs: 4 MB of prompts. */
    static class Script {
        static Draft draft(String baseUrl) {
            return batch().provider(baseUrl).model("echo").prompts("{{value}}",
                rows(IntStream.range(0, 40).mapToObj(i -> i + "x".repeat(100_000)).toList()));
        }

        public static void main(String... args) { draft(args[0]).submit(); }
    }

    @Test void aJournalOfALaterVersionIsLeftAlone() throws IOException {
        ask("a").submit().await();
        var draft = steps().resolveSibling("draft.json");
        Files.writeString(draft, Files.readString(draft).replace("\"version\" : 1", "\"version\" : 9"));

        var fault = assertThrows(IllegalStateException.class, () -> ask("a").submit());

        assertEquals("journal: a newer Sheaf wrote " + draft.getParent() + "; use that one", fault.getMessage());
    }

    /** As after a kill before the answer to the create was written down. */
    private void forgetTheCreate() throws IOException {
        var lines = Files.readAllLines(steps());
        Files.write(steps(), lines.stream().takeWhile(line -> !line.contains("\"step\":\"created\"")).toList(),
            StandardOpenOption.TRUNCATE_EXISTING);
    }

    private Path steps() throws IOException {
        try (var folders = Files.list(home.resolve("batches"))) {
            return folders.filter(Files::isDirectory).findFirst().orElseThrow().resolve("steps.jsonl");
        }
    }

    private long sent(String request) { return Collections.frequency(server.requests(), request); }

    private static List<String> texts(Draft draft) {
        return draft.quiet().submit().results().stream().map(Result::text).toList();
    }

    private Provider here() { return Provider.of(server.baseUrl()); }

    private Draft ask(String... texts) {
        var draft = batch().provider(here()).name("tickets").model("echo");
        return texts.length == 0 ? draft : draft.prompts("{{value}}", rows(List.of(texts)));
    }
}
