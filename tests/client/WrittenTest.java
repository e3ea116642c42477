package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Reply;
import sheaf.support.RawClient;

/** Files for a user: what batches of a name wrote is written again, and nothing else. */
class WrittenTest {
    @AutoClose final BatchServer server = BatchServer.start();
    @TempDir Path dir;
    Path file;

    @BeforeEach void ownHome() {
        System.setProperty("SHEAF_HOME", dir.resolve("home").toString());
        file = dir.resolve("out.csv");
    }

    @Test void aFileIsWrittenAgainByItsBatchAndByAGrownOneOfItsName() {
        ask("a").submit().results().toCsv(file, "result.text");
        ask("a").submit().results().toCsv(file, "result.text");
        ask("a", "b").submit().results().toCsv(file, "result.text");
        assertEquals("result.text\na\nb\n", text(file));

        ask("a").submit().results().toJsonl(file);
        assertEquals(1, text(file).lines().count());
    }

    @Test void requestLinesAreWrittenAgainToo() {
        ask("a").toJsonl(file);
        ask("a", "b").toJsonl(file);
        assertEquals(2, text(file).lines().count());

        var fault = assertThrows(IllegalStateException.class, () -> ask("a").name("films").toJsonl(file));

        assertEquals("toJsonl: " + file + " exists, and no batch named films wrote it; move it or give another name",
            fault.getMessage());
    }

    @Test void aUsersFileStaysAndSoDoesThatOfAnotherName() {
        var results = ask("a").submit().results();
        write(file, "my own\n");

        assertEquals("toCsv: " + file + " exists, and no batch named mine wrote it; move it or give another name",
            assertThrows(IllegalStateException.class, () -> results.toCsv(file)).getMessage());
        assertEquals("my own\n", text(file));

        results.overwriting().toCsv(file);
        var others = ask("a", "b").name("yours").submit().results();
        assertEquals("toJsonl: " + file + " exists, and no batch named yours wrote it; move it or give another name",
            assertThrows(IllegalStateException.class, () -> others.toJsonl(file)).getMessage());
        results.toCsv(file);
        assertEquals(List.of("out.csv"), names());
    }

    @Test void whatWasChangedSinceStays() {
        ask("a").submit().results().toCsv(file);
        write(file, text(file).replace("a", "A"));

        var fault = assertThrows(IllegalStateException.class, () -> ask("a", "b").submit().results().toCsv(file));

        assertEquals("toCsv: " + file + " was changed since it was written; move it or give another name",
            fault.getMessage());
        assertTrue(text(file).contains("A"), "of the same size");
    }

    @Test void whatIsTheSameAlreadyOrEmptyIsNoConflict() throws IOException {
        var results = ask("a").submit().results();
        results.toCsv(file, "result.text");
        var copy = Files.copy(file, dir.resolve("copy.csv"));
        var empty = Files.createFile(dir.resolve("empty.csv"));

        results.toCsv(copy, "result.text");
        results.toCsv(empty, "result.text");

        assertEquals(text(file), text(empty));
        ask("a", "b").submit().results().toCsv(copy);
    }

    /** The record goes ahead of the file, so a kill between the two leaves the file of before. */
    @Test void aKillBeforeTheFileTakesItsPlaceLocksNobodyOut() throws IOException {
        ask("a").submit().results().toCsv(file);
        var before = Files.copy(file, dir.resolve("before"));
        ask("a", "b").submit().results().toCsv(file);
        Files.move(before, file, StandardCopyOption.REPLACE_EXISTING);

        ask("a", "b", "c").submit().results().toCsv(file, "result.text");

        assertEquals("result.text\na\nb\nc\n", text(file));
    }

    @Test void aKilledWriterLeavesTheFileOfBeforeAndTheNextSweepsUp() throws Exception {
        ask("a").toJsonl(file);
        var before = text(file);
        var process = slowly();
        try {
            RawClient.await(() -> names().size() == 2);
        } finally {
            process.destroyForcibly().waitFor();
        }
        assertEquals(before, text(file));
        assertEquals(2, names().size());

        ask("a", "b").toJsonl(file);

        assertEquals(2, text(file).lines().count());
        assertEquals(List.of("out.csv"), names());
    }

    @Test void aWriterThatLivesIsNotSweptUp() throws Exception {
        var process = slowly();
        try {
            RawClient.await(() -> names().size() == 1);
            ask("a").toJsonl(file);
            ask("a", "b").toJsonl(file);
            assertEquals(2, names().size());

            process.getOutputStream().close();

            assertEquals(0, process.waitFor(), new String(process.getErrorStream().readAllBytes()));
            assertEquals(List.of("out.csv"), names());
            assertEquals(3, text(file).lines().count());
        } finally {
            process.destroyForcibly();
        }
    }

    @Test void manyAtOnceLeaveOneWholeFileThatIsTheirs() {
        var threads = Executors.newFixedThreadPool(8);
        var turns = IntStream.range(0, 16).mapToObj(each -> CompletableFuture.runAsync(() ->
            ask(IntStream.rangeClosed(0, each % 8).mapToObj(n -> "row " + n).toArray(String[]::new)).toJsonl(file),
            threads)).toList();

        turns.forEach(CompletableFuture::join);
        threads.shutdown();

        assertTrue(text(file).endsWith("}\n"));
        assertEquals(List.of("out.csv"), names());
        ask("a").toJsonl(file);
    }

    @Test void aWriteThatFailsLeavesTheFileAndWhoseItIs() {
        server.answer(body -> Reply.text(body.toString().contains("bad") ? "\uD800" : "fine"));
        ask("good").submit().results().toCsv(file, "result.text");

        assertThrows(IllegalStateException.class,
            () -> ask("good", "bad").submit().results().overwriting().toCsv(file, "result.text"));

        assertEquals("result.text\nfine\n", text(file));
        ask("other").submit().results().toCsv(file, "value");
    }

    @Test void aRetryWritesOverTheFileOfItsBatch() {
        var calls = new AtomicInteger();
        server.answer(body -> calls.getAndIncrement() == 0 ? Reply.error(500, "x", "broke") : Reply.text("fine"));
        var first = ask("a").submit().results();
        first.toCsv(file, "result.text");

        var retried = first.retry().provider(here()).quiet().submit().results();
        retried.toCsv(file, "result.text");
        first.merge(retried).toCsv(file, "value", "result.text");

        assertEquals("value,result.text\na,fine\n", text(file));
    }

    @Test void aFileIsTheSameHoweverItIsNamed() throws IOException {
        var results = ask("a").submit().results();
        results.toCsv(file);
        var link = dir.resolve("link.csv");
        assumeTrue(isLinked(link, file), "no links on this machine");

        results.toJsonl(link);
        ask("a", "b").submit().results().toCsv(dir.resolve("home/../out.csv"), "result.text");

        assertTrue(Files.isSymbolicLink(link));
        assertEquals("result.text\na\nb\n", text(link));
    }

    @Test void whoMayReadAFileStays() throws IOException {
        assumeTrue(FileSystems.getDefault().supportedFileAttributeViews().contains("posix"), "no modes here");
        var mine = PosixFilePermissions.fromString("rw-------");
        var results = ask("a").submit().results();
        results.toCsv(file);
        Files.setPosixFilePermissions(file, mine);

        results.toJsonl(file);

        assertEquals(mine, Files.getPosixFilePermissions(file));
    }

    @Test void whatIsNoFileIsRefused() throws IOException {
        var results = ask("a").submit().results();

        assertEquals("toCsv: " + dir + " is a folder; name a file in it",
            assertThrows(IllegalArgumentException.class, () -> results.toCsv(dir)).getMessage());
        assertEquals("toCsv: cannot write " + dir.resolve("no/out.csv") + " (no such file or folder)",
            assertThrows(UncheckedIOException.class, () -> results.toCsv(dir.resolve("no/out.csv"))).getMessage());
        var device = Path.of("/dev/null");
        assumeTrue(Files.exists(device), "no devices here");
        assertEquals("toJsonl: /dev/null is no file that can be replaced; name another",
            assertThrows(IllegalArgumentException.class, () -> results.toJsonl(device)).getMessage());
    }

    @Test void aDraftSaysBeforeAnythingIsSentWhetherAFileIsAnothers() {
        ask("a").checkOutput(file.toString());
        ask("a").submit().results().toCsv(file);
        int asked = server.requests().size();

        ask("a", "b").checkOutput(file);
        var fault = assertThrows(IllegalStateException.class, () -> ask("a").name("films").checkOutput(file));

        assertEquals("checkOutput: " + file + " exists, and no batch named films wrote it; move it or give another "
            + "name", fault.getMessage());
        assertEquals(asked, server.requests().size());
    }

    @Test void soDoesABatchWhoeverSubmittedIt() {
        var ours = ask("a").submit();
        ours.results().toCsv(file);
        var elsewhere = here().batch(new RawClient(server::baseUrl).create(RawClient.lines("a")));

        ours.checkOutput(file.toString());
        var fault = assertThrows(IllegalStateException.class, () -> elsewhere.checkOutput(file));

        assertEquals("checkOutput: " + file + " exists, and no batch named " + elsewhere.id() + " wrote it; move it or "
            + "give another name", fault.getMessage());
        elsewhere.results().overwriting().toCsv(file);
        elsewhere.checkOutput(file);
    }

    @Test void filesThatAreGoneAreForgotten() throws IOException {
        var results = ask("a").submit().results();
        var folder = Files.createDirectory(dir.resolve("mounted"));
        for (var other : List.of(dir.resolve("gone.csv"), folder.resolve("away.csv"))) results.toCsv(other);
        Files.delete(dir.resolve("gone.csv"));
        Files.move(folder, dir.resolve("elsewhere"));

        results.toCsv(file);

        assertEquals(2, list(dir.resolve("home/written")).size(), "out.csv and away.csv");
    }

    @Test void aDamagedRecordSaysNothing() {
        var results = ask("a").submit().results();
        results.toCsv(file);
        for (var damage : List.of("", "{}", "[", "{\"path\":\"" + file + "\"}")) {
            write(list(dir.resolve("home/written")).get(0), damage);

            assertThrows(IllegalStateException.class, () -> results.toJsonl(file), damage);
        }
        results.overwriting().toJsonl(file);
        results.toCsv(file);
    }

    @Test void aStreamGetsWhatAFileWould() {
        var results = ask("a").submit().results();
        var out = new ByteArrayOutputStream();

        results.toJsonl(out);
        results.toJsonl(file);

        assertEquals(text(file), out.toString());
    }

    /** Writes the request lines of three rows in another process, which waits for the end of its stdin at the last. */
    private Process slowly() throws IOException {
        return new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "-XX:TieredStopAtLevel=1", "-DSHEAF_HOME=" + dir.resolve("home"), "-cp",
            System.getProperty("java.class.path"), "sheaf.WrittenTest$Slowly", file.toString()).start();
    }

    static final class Slowly {
        public static void main(String... args) {
            var rows = rows(() -> Stream.of("a", "b", "c").peek(row -> {
                if (row.equals("c")) waitForStdin();
            }));
            batch().name("mine").model("m").prompts("{{value}}", rows).toJsonl(args[0]);
        }

        private static void waitForStdin() {
            try {
                System.in.readAllBytes();
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
    }

    private Draft ask(String... texts) {
        return batch().provider(here()).quiet().name("mine").model("echo").prompts("{{value}}", rows(List.of(texts)));
    }

    private Provider here() { return Provider.of(server.baseUrl()); }

    private static boolean isLinked(Path link, Path target) {
        try {
            Files.createSymbolicLink(link, target);
            return true;
        } catch (IOException | UnsupportedOperationException notHere) {
            return false;
        }
    }

    /** Returns the names of the files beside the one that is written. */
    private List<String> names() {
        return list(dir).stream().map(path -> path.getFileName().toString()).filter(name -> name.contains("out.csv"))
            .toList();
    }

    private static List<Path> list(Path folder) {
        try (var files = Files.list(folder)) {
            return files.sorted().toList();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static String text(Path file) {
        try {
            return Files.readString(file).replace("\r\n", "\n");
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static void write(Path file, String text) {
        try {
            Files.writeString(file, text);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
