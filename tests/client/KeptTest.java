package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.kept;
import static sheaf.Sheaf.rows;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.time.Instant;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Batch;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Vocabulary.BatchException;
import sheaf.Vocabulary.Status;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Fault;
import sheaf.support.Project;
import sheaf.support.RawClient;

/** What is kept of batches, here and at the provider, and how it goes. */
class KeptTest {
    static final String DIGEST = "-[0-9a-f]{12}";
    @AutoClose final BatchServer server = BatchServer.start();
    final RawClient client = new RawClient(server::baseUrl);
    @TempDir Path home;

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

    @Test void keptBatchesAreListedAsLastSeenAndNobodyIsAsked() {
        ask("a", "b").name("read").submit().results();
        ask("c").name("unread").submit().await();
        server.close();

        assertEquals("""
            folder  status  requests  submitted  answers  size  provider
            unread  completed  1/1  today  not here  some kB  URL
            read  completed  2/2  today  here  some kB  URL
            2 batches, some kB""".replace("URL", server.baseUrl()), plain(kept()));
    }

    @Test void theRequestsOfPartsThatWaitAreCountedToo() {
        server.pause();
        ask("a", "b", "c").name("parts").provider(inParts()).submit();

        assertTrue(plain(kept()).contains("parts  validating  0/3  today  none  some kB  " + server.baseUrl()),
            plain(kept()));
    }

    @Test void whatWasNeverSentIsListedAndCanBeDeleted() {
        fail("cut");

        var batch = kept().get(0);
        assertTrue(plain(kept()).contains("cut  not sent  0/1  today  none  "), plain(kept()));
        assertTrue(batch.isOver());
        assertTrue(batch.submittedAt().isAfter(Instant.now().minusSeconds(60)));

        batch.delete();
        assertEquals(List.of(), kept());
        assertEquals("a", ask("a").name("cut").submit().results().iterator().next().text());
    }

    @Test void aFolderInTheMakingIsNoBatch() throws IOException {
        ask("a").name("whole").submit();
        var staged = Files.createDirectory(home.resolve("batches/.staging-1"));
        Files.copy(kept().get(0).folder().resolve("draft.json"), staged.resolve("draft.json"));

        assertEquals(1, kept().size());
    }

    @Test void thoseOfAKindPrintAsATableWithItsOwnSum() {
        ask("a").name("one").submit().results();
        ask("b").name("two").submit().results();

        var one = kept().only(batch -> batch.name().equals("one"));

        assertEquals(1, one.size());
        assertTrue(plain(one).endsWith("1 batch, some kB"), plain(one));
        assertEquals("(none)", one.only(batch -> false).toString());
    }

    @Test void aDeletedBatchIsAttachedToAtTheProviderAndNotPaidAgain() {
        var batch = ask("a").name("gone").submit();
        batch.results();

        batch.delete();

        assertEquals(List.of(), kept());
        assertFalse(Files.exists(batch.folder()));
        assertEquals("a", ask("a").name("gone").submit().results().iterator().next().text());
        assertEquals(1, sent("POST /v1/batches"));
    }

    @Test void aBatchThatIsGoingIsNotDeleted() {
        server.pause();
        var batch = ask("a").name("going").submit();

        assertFalse(batch.isOver());
        assertTrue(sentence(batch::delete).matches("delete: going" + DIGEST
            + " is validating as last seen; await\\(\\) or cancel\\(\\) it first"), sentence(batch::delete));
        assertTrue(Files.isDirectory(batch.folder()));
    }

    @Test void aBatchOfWhichOnlyAnUploadWasSentIsFoundAndIsDeletedOnceItIsCancelled() {
        server.pause();
        var batch = ask("a", "b").name("waits").provider(inParts()).submit();
        keepSteps(batch, 2);                                   // the upload of the first part, and no create
        var kept = kept().get(0);

        assertFalse(kept.isOver());
        assertTrue(sentence(kept::delete).contains(" is waiting as last seen; "), sentence(kept::delete));
        assertTrue(Files.isDirectory(batch.folder()));

        here().batch("waits").cancel().delete();
        assertFalse(Files.exists(batch.folder()));
    }

    @Test void whoWaitsForTheLockOfADeletedBatchHasTheSameAsWhoComesLater() throws IOException {
        var batch = ask("a").name("gone").submit().await();
        var lock = batch.folder().resolveSibling("." + batch.folder().getFileName() + ".lock");

        try (var waits = FileChannel.open(lock, StandardOpenOption.WRITE)) {
            batch.delete();
            waits.lock();
            try (var comesLater = FileChannel.open(lock, StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
                assertThrows(OverlappingFileLockException.class, comesLater::tryLock);
            }
        }
    }

    @Test void onePartOfTheListDoesNotDeleteTheBatchWhileAnotherGoes() {
        server.pause();
        var batch = ask("a", "b").name("parts").provider(here().limits(1, 10_000)).submit();
        var first = here().batch(batch.parts().get(0).id()).parts().get(0).id();
        client.cancel(first);
        RawClient.await(() -> client.found(first).get("status").asText().equals("cancelled"));

        var listed = here().batches(2).stream().filter(one -> one.id().equals(first)).findFirst().orElseThrow();

        assertEquals(Status.CANCELLED, listed.status());
        assertTrue(sentence(listed::delete).contains(" as last seen; await() or cancel() it first"));
        assertTrue(Files.isDirectory(batch.folder()));
    }

    @Test void aBatchThatAnotherProcessHasSubmittedAgainIsNotDeleted() throws IOException {
        server.pause();
        fail("cut");
        var unsent = kept().get(0);
        ask("a").name("cut").submit();

        assertTrue(sentence(unsent::delete).contains(" is validating as last seen; "), sentence(unsent::delete));
    }

    @Test void oneOfTheListThatHasEndedCanBeDeletedWithoutAwaitingIt() {
        var batch = ask("a").name("ended").submit();
        client.finishedBatch(batch.id());

        here().batches(1).get(0).delete();

        assertEquals(List.of(), kept());
    }

    @Test void whatIsNotKeptCannotBeDeleted() {
        var id = client.create(RawClient.lines("a"));

        assertEquals("delete: " + id + " is not kept in " + home, sentence(() -> here().batch(id).delete()));
    }

    @Test void batchesOfTheProviderAndOfThisMachineStandInOneList() {
        server.pause();
        ask("a").name("both").submit();
        var foreign = client.create(RawClient.lines("x"));
        try (var other = BatchServer.start()) {
            ask("b").name("elsewhere").provider(Provider.of(other.baseUrl())).submit().await();
        }
        fail("unsent");

        var batches = here().batches(10);

        assertEquals(Map.of("both", "here", foreign, ""), batches.stream().collect(
            Collectors.toMap(batch -> batch.name().isEmpty() ? batch.id() : batch.name(), batch ->
                batches.toString().lines().filter(line -> line.startsWith(batch.id())).findFirst().orElseThrow()
                    .endsWith("here") ? "here" : "")));
        assertEquals(2, here().batches(2).size());
    }

    @Test void filesAreLeftOverOnceTheirBatchHasEndedAndItsAnswersAreHere() {
        server.answer(body -> body.toString().contains("bad") ? BatchServer.Reply.error(400, "odd", "odd")
            : BatchServer.Reply.text("fine")).pause();
        var batch = ask("good", "bad").name("one").submit();
        assertEquals(List.of(), kinds());

        server.resume();
        batch.await();
        assertEquals(List.of(), kinds());

        batch.results();
        assertEquals(List.of("error of one", "input of one", "output of one"), kinds());
        assertTrue(plain(here().leftovers(Duration.ZERO)).endsWith("3 files, some kB"));
    }

    @Test void aYoungFileIsNoneYet() {
        ask("a").submit().results();

        assertEquals(List.of(), here().leftovers());
        assertEquals(2, here().leftovers(Duration.ZERO).size());
    }

    @Test void anUploadIsLeftOverIfNoBatchWasMadeOfItAndNoneWillBe() throws IOException {
        server.on("POST /v1/batches", Fault.status(400));
        assertThrows(BatchException.class, () -> ask("a").name("orphan").submit());
        assertEquals(List.of(), kinds());

        Project.deleteTree(home.resolve("batches"));
        assertEquals(List.of("upload of orphan"), kinds());
    }

    @Test void anUploadWhoseAnswerWasLostIsNoneWhileItsPartWaits() throws IOException {
        server.pause();
        var batch = ask("a").name("killed").submit();
        keepSteps(batch, 1);                                   // killed before the answer to the upload
        client.upload(Files.readAllBytes(batch.folder().resolve("part-1.jsonl")),
            batch.folder().getFileName() + ".part-1.jsonl", "batch");

        assertEquals(List.of(), kinds());
    }

    @Test void theFilesOfAnotherToolAreNone() {
        var id = client.create(RawClient.lines("x"));
        client.finishedBatch(id);
        client.upload(RawClient.lines("y"));
        client.upload(RawClient.lines("z").getBytes(StandardCharsets.UTF_8), "x-0123456789ab.jsonl", "batch");
        client.fault(RawClient.lines("twice") + RawClient.lines("twice"));

        here().batch(id).results();

        assertEquals(List.of(), kinds());
    }

    @Test void theInputOfABatchThatFailedAtOnceIsLeftOver() throws IOException {
        try (var strict = BatchServer.options().maxRequests(1).store(home.resolve("store")).start()) {
            assertThrows(BatchException.class, () -> ask("a", "b").name("two").provider(Provider.of(strict.baseUrl()))
                .submit().await());
        }
        try (var lenient = BatchServer.options().store(home.resolve("store")).start()) {
            var there = Provider.of(lenient.baseUrl());
            assertEquals(List.of("input of two"), kinds(there));
            ask("a", "b").name("two").provider(there).submit().await();
            assertEquals(List.of("input of two"), kinds(there));

            batch("two").results();
            assertEquals(List.of("input of two", "input of two", "output of two"), kinds(there));
        }
    }

    @Test void aFileThatServesASecondBatchIsNone() {
        server.failOver(1);
        var batch = ask("two words").name("full").submit();
        client.finishedBatch(batch.id());
        assertEquals(List.of(), kinds());                      // it failed for want of room, unseen from here

        assertThrows(IllegalStateException.class, () -> batch.await(Duration.ofMillis(200)));
        assertEquals(List.of(), kinds());

        server.failOver(1_000_000);
        batch.results();
        assertEquals(List.of("input of full", "output of full"), kinds());
    }

    @Test void anUploadIsNoneWhereTheListOfBatchesBreaksOff() throws IOException {
        server.on("POST /v1/batches", Fault.status(400));
        assertThrows(BatchException.class, () -> ask("a").name("orphan").submit());
        Project.deleteTree(home.resolve("batches"));

        server.on("GET /v1/batches", sameHundred(), sameHundred());
        assertEquals(List.of(), kinds());
        assertEquals(List.of("upload of orphan"), kinds());
    }

    /** A page of a server that gives the same again when it is asked for more. */
    private static Fault sameHundred() {
        return Fault.status(200).body(IntStream.range(0, 100).mapToObj(i -> "{\"id\":\"batch_" + i
            + "\",\"status\":\"completed\"}").collect(Collectors.joining(",", "{\"has_more\":true,\"data\":[", "]}")));
    }

    @Test void leftoversCanBeDeletedAndTheAnswersAreStillHere() {
        ask("a").name("kept").submit().results();

        for (var file : here().leftovers(Duration.ZERO)) here().deleteFile((String) file.get("id"));

        assertEquals(List.of(), here().files());
        assertEquals("a", ask("a").name("kept").submit().results().iterator().next().text());
    }

    @Test void aFileThatIsGoneAlreadyIsNoErrorAndATroubleThatPassesIsWaitedFor() {
        var id = client.upload(RawClient.lines("a"));
        server.on("DELETE /v1/files/*", Fault.status(503), Fault.status(429).retryAfter("0"));

        here().deleteFile(id);
        here().deleteFile(id);

        assertEquals(List.of(), here().files());
        assertEquals(4, sent("DELETE /v1/files/" + id));
    }

    /** Leaves a folder of which nothing was sent. */
    private void fail(String name) {
        server.on("GET /v1/batches", Fault.status(400));
        assertThrows(BatchException.class, () -> ask("a").name(name).submit());
    }

    private List<String> kinds() { return kinds(here()); }

    private static List<String> kinds(Provider provider) {
        return provider.leftovers(Duration.ZERO).stream().map(file -> file.get("kind") + " of "
            + String.valueOf(file.get("folder")).replaceFirst(DIGEST, "")).sorted().toList();
    }

    /** Leaves out of a table what differs from run to run. */
    private static String plain(Object table) {
        return table.toString().replaceAll(DIGEST, "").replaceAll("(?m)^-+( .*)?\n", "")
            .replaceAll("[0-9]{4}-[0-9]{2}-[0-9]{2}", "today").replaceAll("[0-9.]+ k?B", "some kB")
            .replaceAll(" {2,}", "  ");
    }

    private static String sentence(Runnable call) {
        return assertThrows(IllegalStateException.class, call::run).getMessage();
    }

    private static void keepSteps(Batch batch, int count) {
        try {
            var steps = batch.folder().resolve("steps.jsonl");
            Files.write(steps, Files.readAllLines(steps).subList(0, count));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private int sent(String request) { return Collections.frequency(server.requests(), request); }

    private Provider here() { return Provider.of(server.baseUrl()); }

    /** One request a part, one part at a time. */
    private Provider inParts() { return here().limits(1, 10_000).queue(1, 1_000); }

    private Draft ask(String... texts) {
        return batch().provider(here()).quiet().model("echo").prompts("{{value}}", rows(List.of(texts)));
    }
}
