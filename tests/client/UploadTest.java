package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.kept;
import static sheaf.Sheaf.rows;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Batch;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Result;
import sheaf.Vocabulary.Outcome;
import sheaf.Vocabulary.Part;
import sheaf.Vocabulary.Status;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Fault;
import sheaf.support.Printed;
import sheaf.support.Project;
import sheaf.support.RawClient;

/** upload(): the first half of submit(), after which nothing runs until someone submits it. */
class UploadTest {
    @AutoClose final BatchServer server = BatchServer.start();
    final RawClient client = new RawClient(server::baseUrl);
    @TempDir Path home;

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

    @Test void anUploadCreatesNoBatchAndSubmitCreatesItOfTheSameFiles() {
        var uploaded = ask("a", "b", "c").provider(inParts()).upload();
        var files = fileIds(uploaded);

        assertEquals(3, files.stream().filter(id -> id.startsWith("file-")).distinct().count());
        assertEquals(0, sent("POST /v1/batches"));

        var submitted = ask("a", "b", "c").provider(inParts()).submit();

        assertEquals(files, fileIds(submitted));
        assertEquals(List.of("a", "b", "c"), texts(submitted));
        assertEquals(List.of(3, 3), List.of(sent("POST /v1/files"), sent("POST /v1/batches")));
    }

    @Test void twoUploadsAreOneAndSayTheSameFile() {
        var first = Printed.stderr(() -> loud("a").upload());
        var second = Printed.stderr(() -> loud("a").upload());

        var file = here().files().get(0).get("id");
        assertEquals("uploaded letters-DIGEST to " + server.baseUrl() + " (1 request) as " + file
            + ", and no batch of it yet; "
            + "kept in FOLDER\n", plain(first));
        assertEquals("letters-DIGEST was uploaded before to " + server.baseUrl() + " (1 request) as "
            + file + ", and no batch of it "
            + "yet; kept in FOLDER\n", plain(second));
        assertEquals(1, sent("POST /v1/files"));
    }

    @Test void anUploadOfWhatWasSubmittedAttachesToIt() {
        var submitted = ask("a").submit();
        var said = Printed.stderr(() -> assertEquals(submitted.id(), loud("a").upload().id()));

        assertTrue(said.startsWith("attached to " + submitted.id() + " (1 request, submitted "), said);
        assertTrue(said.contains("), nothing was sent; kept in "), said);
        assertEquals(1, sent("POST /v1/files"));
    }

    @Test void whatAnotherMachineSubmittedIsNotUploadedAgain() {
        var id = ask("a").submit().id();
        Project.deleteTree(home.resolve("batches"));

        assertEquals(id, ask("a").upload().id());
        assertEquals(1, sent("POST /v1/files"));
    }

    @Test void theBatchOfAnUploadIsSubmittedByItsNameOrByItsFile() {
        var file = fileIds(ask("a").upload()).get(0);
        ask("b").name("others").upload();

        Printed.stderr(() -> {
            assertEquals(List.of("a"), texts(here().batch(file).submit()));
            assertEquals(List.of("b"), texts(here().batch("others").submit()));
        });
        assertEquals(List.of(2, 2), List.of(sent("POST /v1/files"), sent("POST /v1/batches")));
    }

    @Test void aHandleSeesThatAnotherHasSubmittedIt() {
        var uploaded = ask("a").upload();
        var id = ask("a").submit().id();

        assertEquals(List.of("a"), texts(uploaded));
        assertEquals(id, uploaded.id());
    }

    @Test void whatIsNotKeptCannotBeSubmitted() {
        var id = client.create(RawClient.lines("a"));

        assertEquals("submit: " + id + " is not kept in " + home, sentence(() -> here().batch(id).submit()));
    }

    @Test void whatIsOnlyUploadedWaitsAndIsShownAsThat() {
        var batch = ask("a").upload();
        var name = batch.folder().getFileName().toString();

        assertEquals(List.of(name, Status.UPLOADED, false), List.of(batch.id(), batch.status(), batch.isOver()));
        assertEquals(Status.WAITING, batch.parts().get(0).status());
        assertEquals("Batch[" + name + " uploaded 0/1]", here().batch("letters").toString());
        assertTrue(here().batches(9).toString().matches("(?s).*\n" + name + " +uploaded +0/1 .*letters +here"));
        assertTrue(kept().toString().matches("(?s).*\n" + name + " +uploaded +0/1 .*none .*" + server.baseUrl() + ".*"));
    }

    @Test void awaitingItIsASentenceBecauseThatWouldPay() {
        var batch = ask("a").upload();

        assertEquals("await: " + batch.id() + " was not submitted yet; batch(\"" + batch.id()
            + "\").submit() creates it", sentence(batch::await));
        assertEquals(sentence(batch::await), sentence(batch::results));
        assertEquals(0, sent("POST /v1/batches"));
    }

    @Test void itsFileIsNotLeftOverUntilItIsCancelledAndDeleted() {
        var batch = ask("a").upload();
        assertEquals(List.of(), here().leftovers(Duration.ZERO));
        assertThrows(IllegalStateException.class, batch::delete);

        batch.cancel().delete();

        assertEquals(List.of(), kept());
        assertEquals("upload", here().leftovers(Duration.ZERO).get(0).get("kind"));
    }

    @Test void whatWasCancelledBeforeItWasSubmittedIsSubmittedAnew() {
        ask("a").upload().cancel();
        assertEquals(Map.of(Outcome.CANCELLED, 1L), here().batch("letters").results().counts());

        var said = Printed.stderr(() -> assertEquals(List.of("a"), texts(loud("a").submit())));

        assertTrue(said.startsWith("submitted batch_"), said);
    }

    @Test void whatWasNeverSubmittedIsNothingToCompareWith() {
        ask("a").upload().cancel();

        var said = Printed.stderr(() -> loud("b").submit());

        assertTrue(said.startsWith("submitted batch_"), said);
    }

    @Test void anUploadWhoseAnswerWasLostIsFoundAndNotSentAgain() throws IOException {
        var file = fileIds(ask("a").upload()).get(0);
        keepSteps(1);                                          // killed between uploading and uploaded

        assertEquals(file, fileIds(ask("a").upload()).get(0));
        assertEquals(List.of("a"), texts(ask("a").submit()));
        assertEquals(1, sent("POST /v1/files"));
    }

    @Test void anUploadThatBrokeAfterItsFirstPartGoesOnWithTheNext() {
        server.on("POST /v1/files", Fault.late(Duration.ZERO), Fault.status(400));
        assertThrows(Sheaf.BatchException.class, () -> ask("a", "b").provider(inParts()).upload());

        ask("a", "b").provider(inParts()).upload();

        assertEquals(3, sent("POST /v1/files"));
        assertEquals(2, here().files().size());
    }

    @Test void aFileThatIsGoneByTheTimeItIsSubmittedIsUploadedAgain() {
        here().deleteFile(fileIds(ask("a").upload()).get(0));

        assertEquals(List.of("a"), texts(ask("a").submit()));
        assertEquals(List.of(2, 1), List.of(sent("POST /v1/files"), sent("POST /v1/batches")));
    }

    @Test void afterAServerWithAnEmptyStoreCameUpItIsUploadedThere() {
        ask("a").upload();
        try (var empty = BatchServer.start()) {
            var there = Provider.of(empty.baseUrl());

            assertEquals(List.of("a"), texts(ask("a").provider(there).submit()));
        }
    }

    private static List<String> fileIds(Batch batch) { return batch.parts().stream().map(Part::inputFileId).toList(); }

    private static List<String> texts(Batch batch) { return batch.results().stream().map(Result::text).toList(); }

    private static String sentence(Runnable call) {
        return assertThrows(IllegalStateException.class, call::run).getMessage();
    }

    private static String plain(String text) {
        return text.replaceAll("-[0-9a-f]{12}\\b", "-DIGEST").replaceAll("kept in .*", "kept in FOLDER");
    }

    /** Cuts the only log of steps, as a kill may. */
    private static void keepSteps(int count) throws IOException {
        var steps = kept().get(0).folder().resolve("steps.jsonl");
        Files.write(steps, Files.readAllLines(steps).subList(0, count));
    }

    private int sent(String request) { return Collections.frequency(server.requests(), request); }

    private Provider here() { return Provider.of(server.baseUrl()); }

    /** One request a part. */
    private Provider inParts() { return here().limits(1, 10_000); }

    private Draft ask(String... texts) { return loud(texts).quiet(); }

    private Draft loud(String... texts) {
        return batch().provider(here()).name("letters").model("echo").prompts("{{value}}", rows(List.of(texts)));
    }
}
