package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.kept;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Result;
import sheaf.Sheaf.Results;
import sheaf.Vocabulary.Outcome;
import sheaf.Vocabulary.Status;
import sheaf.support.Project;

/**
 * Folders that were written before the manifest was a typed record, one of each shape; that of the literal prompt has
 * no more fields than those of the first days had. Their server is gone: all that is asked for is on the disk.
 */
class OldFoldersTest {
    @TempDir Path home;

    @BeforeEach void copyTheFolders() throws IOException {
        var from = Project.root().resolve("tests/client/folders");
        try (var paths = Files.walk(from)) {
            for (var path : paths.toList()) {
                var copy = home.resolve("batches").resolve(from.relativize(path).toString());
                if (Files.isDirectory(path)) Files.createDirectories(copy);
                else Files.copy(path, copy);
            }
        }
        System.setProperty("SHEAF_HOME", home.toString());
    }

    @Test void allAreListed() {
        assertEquals(8, kept().size());
        assertEquals(Map.of("who", "me"), journal("rows").manifest().metadata());
    }

    @Test void rowsInTwoParts() {
        var results = results("rows");

        assertEquals(List.of("film-7", "film-8", "film-9"), results.stream().map(Result::customId).toList());
        assertEquals(List.of("Who made Heat?", "Who made Alien?", "Who made Up?"), texts(results));
        assertEquals("Up", results.stream().toList().get(2).row("title"));
        assertEquals(2, batch("rows").parts().size());
    }

    @Test void aFileOfRequestsKeepsItsIds() {
        assertEquals(List.of("a", "b"), results("file").stream().map(Result::customId).toList());
        assertEquals(List.of("one", "two"), texts(results("file")));
    }

    @Test void aLiteralPromptOfTheFirstDays() {
        var results = results("literal");

        assertEquals(List.of("hello"), texts(results));
        assertEquals("echo", results.iterator().next().model());
        assertEquals("prompt-1", results.iterator().next().template());
    }

    @Test void anUploadWaitsForItsBatch() {
        assertEquals(Status.UPLOADED, batch("uploaded").status());
        assertTrue(batch("uploaded").parts().get(0).inputFileId().startsWith("file-"));
    }

    @Test void aRetryFitsWhatFailed() {
        var failed = results("failing");

        assertEquals(Map.of(Outcome.ERRORED, 3L), failed.counts());
        assertEquals(List.of("ok", "ok", "ok"), texts(failed.merge(results("failing-retry"))));
    }

    @Test void reusedAnswersStandAmongNewOnes() {
        assertEquals(List.of("film-7", "film-8", "film-9", "film-10"),
            results("again").stream().map(Result::customId).toList());
        assertEquals(3, journal("again").manifest().reused());
        assertTrue(results("again").stream().allMatch(Result::ok));
    }

    @Test void aBatchFromElsewhere() {
        var folder = "batch_9d2a23a4a3e6414ba685da1b7a8582cd-9cf73137f30d";

        assertEquals(List.of("hello"), texts(results(folder)));
        assertTrue(journal(folder).manifest().isAdopted());
    }

    private static Results results(String name) { return batch(name).results(); }

    private static List<String> texts(Results results) { return results.stream().map(Result::text).toList(); }

    private static Journal journal(String name) { return Journal.find(name).orElseThrow(); }
}
