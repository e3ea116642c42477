package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.csv;
import static sheaf.Sheaf.kept;
import static sheaf.Sheaf.rows;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Batch;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Result;
import sheaf.Vocabulary.BatchException;
import sheaf.Vocabulary.Outcome;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Fault;
import sheaf.server.BatchServer.Reply;

/** What stays on disk: the second run of a script finds it, and pays nothing. */
class JournalTest {
    @AutoClose final BatchServer server = BatchServer.start();
    @TempDir Path home;

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

    @Test void aPartThatFailedIsSubmittedAgainAndItsAnswersAreRead() throws IOException {
        try (var strict = BatchServer.options().maxRequests(1).store(home.resolve("store")).start()) {
            var draft = ask("a", "b", "c").provider(Provider.of(strict.baseUrl()).limits(2, 10_000)).name("parts");
            assertEquals(Map.of(Outcome.SUCCEEDED, 1L, Outcome.ERRORED, 2L), draft.submit().results().counts());
        }
        try (var lenient = BatchServer.options().store(home.resolve("store")).start()) {
            var again = ask("a", "b", "c").provider(Provider.of(lenient.baseUrl()).limits(2, 10_000)).name("parts")
                .submit();

            assertEquals(List.of("a", "b", "c"), again.results().stream().map(Result::text).toList());
            assertEquals(1, Collections.frequency(lenient.requests(), "POST /v1/batches"));
        }
    }

    @Test void manyReadersAtOnceLoseNoRow() {
        var draft = ask(IntStream.range(0, 3_000).mapToObj(i -> "n" + i).toArray(String[]::new));
        draft.submit().await();

        var counts = IntStream.range(0, 4).parallel().mapToObj(i -> draft.submit().results().counts()).distinct()
            .toList();

        assertEquals(List.of(Map.of(Outcome.SUCCEEDED, 3_000L)), counts);
    }

    /** A wait with room for few of many parts looks at the log for each that it creates. */
    @Test @Timeout(60) void aLogOfVeryManyPartsIsNotReadAgainUnlessAnotherHasWrittenToIt() throws IOException {
        ask("a", "b").provider(here().limits(1, 10_000)).name("log").upload();
        var journal = Journal.find("log").orElseThrow();
        var log = journal.dir().resolve("steps.jsonl");
        Files.writeString(log, Files.readString(log).repeat(10_000));

        for (int i = 0; i < 5_000; i++) journal.reload();

        new Journal(journal.dir()).creating(2, "another's");
        journal.reload();
        assertEquals("another's", journal.createKey(2));
        journal.creating(1, "own");
        journal.reload();
        assertEquals("own", journal.createKey(1));
        Files.move(Files.writeString(home.resolve("l"), Files.readString(log).replace("another's", "a third's")), log,
            StandardCopyOption.REPLACE_EXISTING);
        journal.reload();
        assertEquals("a third's", journal.createKey(2));
    }

    @Test void aNameThatBeginsLikeAnotherIsAnotherBatch() {
        ask("a").name("daily.2026-03-01").submit();
        ask("a").name("daily").submit();

        assertEquals(2, Collections.frequency(server.requests(), "POST /v1/batches"));
    }

    @Test void whatStaysHereIsRenewedWhenTheRequestsAreTheSame() throws IOException {
        var file = Files.writeString(home.resolve("t.csv"), "id,text,label\n1,a,WRONG\n");
        var draft = batch().provider(here()).quiet().model("m").prompts("{{text}}", csv(file));
        draft.submit().await();
        Files.writeString(file, "id,text,label\n7,a,right\n");

        var result = draft.customId("{{id}}").submit().results().iterator().next();

        assertEquals("right", result.row("label"));
        assertEquals("7", result.customId());
        assertEquals(1, Collections.frequency(server.requests(), "POST /v1/batches"));
    }

    @Test void newLimitsCountAfterARefusal() {
        try (var strict = BatchServer.options().maxRequests(2).start()) {
            var draft = ask("a", "b", "c").provider(Provider.of(strict.baseUrl()));
            assertThrows(BatchException.class, () -> draft.submit().await());

            var smaller = draft.provider(Provider.of(strict.baseUrl()).limits(2, 10_000)).submit();

            assertEquals(2, smaller.parts().size());
            assertEquals(3, smaller.results().succeeded().size());
        }
    }

    @Test void aLocalServerThatForgotABatchGetsItAgain() {
        server.pause();
        ask("a").submit();
        try (var fresh = BatchServer.start()) {
            var again = ask("a").provider(Provider.of(fresh.baseUrl())).submit();

            assertEquals(List.of("a"), again.results().stream().map(Result::text).toList());
        }
    }

    @Test void aBatchOfTheListKnowsItsRows() {
        ask("a").customId("mine-{{value}}").submit().await();

        var result = here().batches(1).get(0).results().iterator().next();

        assertEquals("mine-a", result.customId());
        assertEquals("a", result.row("value"));
    }

    @Test void onePartOfTheListGivesTheWholeBatch() {
        ask("a", "b", "c").provider(here().limits(2, 10_000)).name("parts").submit().await();

        for (var part : here().batches(2))
            assertEquals(List.of("a", "b", "c"), part.results().stream().map(Result::text).toList());
    }

    @Test void otherLimitsAreOtherPartsAndNoPartOfTheOneIsTakenForTheOther() {
        ask("a", "b", "c").provider(here().limits(2, 10_000)).name("cut").submit();
        System.setProperty("SHEAF_HOME", home.resolve("elsewhere").toString());

        assertEquals(3, ask("a", "b", "c").name("cut").submit().results().succeeded().size());
    }

    @Test void aDamagedFolderHidesNoOther() throws IOException {
        ask("a").name("good").submit().results();
        damage("bad-0123456789ab");

        assertEquals("a", batch("good").results().iterator().next().text());
        assertEquals(List.of("good"), kept().stream().map(Batch::name).toList());
    }

    @Test void nothingIsSentWhileNobodyKnowsWhatWasPaid() throws IOException {
        ask("a").name("good").submit().results();
        var bad = damage("bad-0123456789ab");
        long sent = posts();

        var fault = assertThrows(IllegalStateException.class, () -> ask("a", "b").name("good").submit());

        assertEquals("journal: cannot read " + bad.resolve("draft.json") + " (it is something else); what "
            + "was paid there is not known: mend it, or move it out of " + home.resolve("batches"), fault.getMessage());
        assertEquals(sent, posts());
        Files.move(bad, home.resolve("bad"));
        assertEquals(2, ask("a", "b").name("good").submit().results().succeeded().size());
    }

    private long posts() { return server.requests().stream().filter(request -> request.startsWith("POST ")).count(); }

    private Path damage(String folder) throws IOException {
        var bad = Files.createDirectories(home.resolve("batches").resolve(folder));
        Files.writeString(bad.resolve("steps.jsonl"), "");
        return Files.writeString(bad.resolve("draft.json"), "").getParent();
    }

    /** With work that grows faster than the parts, this would take many minutes. */
    @Timeout(60)
    @Test void aBatchOfManyPartsThatWaitIsReadAtOnce() throws IOException {
        server.pause();
        ask("a", "b").provider(here().limits(1, 10_000).queue(1, 1_000)).name("many").submit();
        var draft = steps().resolveSibling("draft.json");
        Files.writeString(draft, Files.readString(draft).replaceFirst("\"cut\" : \\[[^]]*]", "\"cut\" : [1"
            + ",1".repeat(99_999) + "]"));

        assertTrue(kept().toString().contains("0/99,999"), () -> kept().toString());
    }

    @Tag("C16")
    @Test void anUploadThatWasFinishedIsNotMadeAgain() throws IOException {
        server.pause();
        ask("a").submit();
        keepSteps(2);                                                    // killed between the upload and the create

        ask("a").submit();

        assertEquals(1, Collections.frequency(server.requests(), "POST /v1/files"));
        assertEquals(1, Collections.frequency(server.requests(), "POST /v1/batches"));
    }

    @Tag("C16")
    @Test void anUploadThatWasFinishedUnseenIsNotMadeAgain() throws IOException {
        server.pause();
        ask("a").submit();
        keepSteps(1);                                                    // killed before the answer to the upload

        ask("a").submit();

        assertEquals(1, Collections.frequency(server.requests(), "POST /v1/files"));
        assertEquals(1, Collections.frequency(server.requests(), "POST /v1/batches"));
    }

    @Test void writersOfTheSameJournalDoNotTearEachOthersSteps() {
        ask("a").submit();

        var texts = IntStream.range(0, 4).parallel()
            .mapToObj(i -> batch("rows").results().iterator().next().text()).distinct().toList();

        assertEquals(List.of("a"), texts);
        assertTrue(lines(steps()).allMatch(line -> line.startsWith("{") && line.endsWith("}")));
    }

    @Tag("C16")
    @Test void aTornLastStepNeverHappenedAndHidesNoOther() throws IOException {
        var id = ask("a").submit().id();
        Files.writeString(steps(), "{\"at\":\"2026-", StandardOpenOption.APPEND);

        assertEquals(id, ask("a").submit().await().id());
        assertEquals(id, ask("a").submit().id());
        assertTrue(Files.readString(steps()).contains("\"step\":\"ended\""));
    }

    /** What a kill leaves between the two: the first file came, and neither the second nor the index. */
    @Tag("C16")
    @Test void aFileThatCameLateIsReadByTheNextRun() {
        server.answer(body -> body.toString().contains("bad") ? Reply.error(400, "odd", "odd") : Reply.text("fine"));
        var batch = ask("good", "bad").submit().await();
        server.on("GET /v1/files/*/content", Fault.status(410), Fault.status(410),
            Fault.late(Duration.ZERO), Fault.status(401), Fault.status(410));
        assertEquals(Map.of(Outcome.MISSING, 2L), batch.results().counts());
        assertThrows(BatchException.class, batch::results);

        assertEquals(Map.of(Outcome.SUCCEEDED, 1L, Outcome.MISSING, 1L), batch.results().counts());
    }

    @Test void finishedResultsNeedNeitherProviderNorKey() {
        ask("a").name("done").submit().results();
        server.close();

        assertEquals("a", batch("done").results().iterator().next().text());
        assertEquals("a", ask("a").name("done").submit().results().iterator().next().text());
    }

    @Test void dataOfTheUsersOwnIsKnownByAFixedName() {
        Sheaf.Data own = () -> Stream.of(Map.of("x", 1));

        batch().provider(here()).quiet().model("m").prompts("{{x}}", own).submit();

        assertTrue(Files.isDirectory(steps().getParent()) && steps().getParent().getFileName().toString()
            .startsWith("data-"));
    }

    @Test void aJudgesJudgeSeesTheNearestAnswerAndTheEarlierInside() {
        var first = ask("a").submit().results();
        var second = batch().provider(here()).quiet().model("m").prompts("2 {{result.text}}", first).submit().results();
        var third = batch().provider(here()).quiet().model("m").name("third")
            .prompts("3 {{result.text}} over {{result.row.result.text}}", second).submit().results();

        third.toCsv(home.resolve("out.csv"), "value", "result.text", "result.row.result.text");

        assertEquals("3 2 a over a", third.iterator().next().text());
        assertEquals("value,result.text,result.row.result.text\na,3 2 a over a,2 a\n", read("out.csv"));
    }

    @Test void aColumnWithTheNameOfAnAnswerIsRefused() {
        var fault = assertThrows(IllegalArgumentException.class,
            () -> batch().model("m").prompts("{{x}}", rows(Map.of("x", 1, "result.text", "old"))).preview(1));

        assertEquals("prompts: the column \"result.text\" of rows has the name of an answer; give the results "
            + "themselves as data, or what toJsonl(...) writes, or rename it",
            fault.getMessage());
    }

    @Test void anAbandonedStagingFolderIsRemoved() throws IOException {
        var left = Files.createDirectories(home.resolve("batches/.staging-1"));
        Files.writeString(left.resolve("rows.jsonl"), "private");
        Files.setLastModifiedTime(left, java.nio.file.attribute.FileTime.from(java.time.Instant.now()
            .minus(java.time.Duration.ofDays(3))));

        ask("a").submit();

        assertTrue(Files.notExists(left));
    }

    /** POSIX drops the locks of a process on a file where that closes any channel of the file. */
    @Test void theFolderOfARunningSubmitStaysLockedWhileAnotherThreadSubmits() throws Exception {
        var staged = new AtomicReference<Path>();
        var rows = rows(() -> Stream.of("a").peek(row -> {
            if (staged.get() != null) return;                     // the rows are looked at more than once
            staged.set(staging());
            CompletableFuture.runAsync(() -> ask("other").submit()).join();
            assertEquals(0, run(Locked.class, staged.get().resolveSibling("." + staged.get().getFileName()
                + ".lock")));
        }));

        var draft = batch().provider(here()).quiet().model("echo").prompts("{{value}}", rows);

        assertEquals("a", draft.submit().results().iterator().next().text());
    }

    /** Another process, which cannot have this lock. */
    static class Locked {
        public static void main(String... args) throws IOException {
            try (var channel = FileChannel.open(Path.of(args[0]), StandardOpenOption.WRITE)) {
                System.exit(channel.tryLock() == null ? 0 : 1);
            }
        }
    }

    private static int run(Class<?> main, Path argument) {
        try {
            return new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-cp", System.getProperty("java.class.path"),
                main.getName(), argument.toString()).inheritIO().start().waitFor();
        } catch (IOException | InterruptedException e) {
            throw new AssertionError(e);
        }
    }

    private Path staging() {
        try (var folders = Files.list(home.resolve("batches"))) {
            return folders.filter(folder -> folder.getFileName().toString().startsWith(".staging-")).findFirst()
                .orElseThrow();
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    private static Stream<String> lines(Path file) {
        try {
            return Files.readAllLines(file).stream();
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    private void keepSteps(int count) throws IOException {
        Files.write(steps(), Files.readAllLines(steps()).subList(0, count));
    }

    private Path steps() {
        try (var folders = Files.list(home.resolve("batches"))) {
            return folders.filter(Files::isDirectory).findFirst().orElseThrow().resolve("steps.jsonl");
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    private String read(String name) {
        try {
            return Files.readString(home.resolve(name)).replace("\r\n", "\n");
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    private Provider here() { return Provider.of(server.baseUrl()); }

    private Draft ask(String... texts) {
        return batch().provider(here()).quiet().model("echo").prompts("{{value}}", rows(List.of(texts)));
    }
}
