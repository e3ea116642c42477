package sheaf.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Any file of a hub on the loopback, which says its checksum and what stands at its beginning. */
class HubFileTest {
    static final String NAME = "some-one/Tiny_1.5-GGUF/q4/tiny-1.5-Q4_K_M.gguf";
    final Settings settings = new Settings();
    @TempDir Path temp;
    Hub hub;

    @BeforeEach void nothingIsNear() {
        for (var name : ("HF_HUB_CACHE HUGGINGFACE_HUB_CACHE HF_HOME LLAMA_CACHE OLLAMA_MODELS SHEAF_OFFLINE "
                + "HF_HUB_OFFLINE HF_TOKEN PATH").split(" "))
            settings.set(name, "");
        settings.set("user.home", temp);
        settings.set("XDG_CACHE_HOME", temp.resolve("cache"));
        settings.set("SHEAF_CACHE", temp.resolve("sheaf"));
    }

    @AfterEach void stop() {
        hub.server.stop(0);
        settings.restore();
    }

    @Test void anyFileOfTheHubIsFetchedAndCheckedAgainstTheHubsChecksum() throws IOException {
        byte[] content = serve("llama");
        hub.redirectFirst();

        var weights = find();

        assertArrayEquals(content, Files.readAllBytes(weights.file()));
        assertEquals("tiny-1.5-Q4_K_M (Q4_K_M, 1 MB, mit)", weights.toString());
        assertEquals(hub.sha256(), weights.fingerprint());
        assertEquals(List.of("/some-one/Tiny_1.5-GGUF/resolve/main/q4/tiny-1.5-Q4_K_M.gguf", "/elsewhere",
            "/some-one/Tiny_1.5-GGUF/resolve/main/q4/tiny-1.5-Q4_K_M.gguf"), hub.paths);
        assertEquals(List.of("bytes=0-65535", "bytes=0-65535", "bytes=0-"), hub.ranges);
    }

    @Test void theSecondTimeNobodyIsAsked() throws IOException {
        serve("llama");
        var first = find();
        hub.paths.clear();
        settings.set("SHEAF_OFFLINE", "1");

        assertEquals(first, find());
        assertEquals(Set.of(NAME), HubFile.allHere().keySet());
        assertEquals(List.of(), hub.paths);
    }

    @Test void aFileThatWasRemovedIsAskedForAnew() throws IOException {
        serve("llama");
        Files.delete(find().file());
        hub.server.stop(0);
        byte[] newer = serve("gemma3");

        assertArrayEquals(newer, Files.readAllBytes(find().file()));
    }

    @Test void whatTheEngineDoesNotKnowIsNotFetched() throws IOException {
        serve("qwen3");

        var refusal = assertThrows(IllegalStateException.class, () -> find());

        assertEquals("start: tiny-1.5-Q4_K_M is of the architecture qwen3, which the engine in de.kherud:llama does"
            + " not know; put a newer llama-server on the PATH, or name another model", refusal.getMessage());
        assertEquals(List.of("bytes=0-65535"), hub.ranges);
    }

    @Test void aFileInTheCacheOfHuggingFaceIsFoundByItsNameWithoutTheHub() throws IOException {
        byte[] content = serve("llama");
        var model = Files.createDirectories(temp.resolve("cache/huggingface/hub/models--some-one--Tiny_1.5-GGUF"));
        var blob = Files.createDirectories(model.resolve("blobs")).resolve(hub.sha256());
        Files.write(blob, content);
        Files.createSymbolicLink(Files.createDirectories(model.resolve("snapshots/c0ffee/q4"))
            .resolve("tiny-1.5-Q4_K_M.gguf"), blob);
        settings.set("SHEAF_OFFLINE", "1");

        assertEquals(blob, find().file());
        assertEquals(List.of(), hub.paths);
    }

    @Test void aFileThatIsNowhereIsNamedWithWhyItCannotBeHad() throws IOException {
        serve("llama");
        settings.set("SHEAF_OFFLINE", "1");

        assertCannotBeHad("the network is switched off by SHEAF_OFFLINE or HF_HUB_OFFLINE");
    }

    @Test void aHubThatNamesNoChecksumIsNotTrusted() throws IOException {
        serve("llama");
        hub.namesNoChecksum();

        assertCannotBeHad("127.0.0.1: it names no SHA-256 of q4/tiny-1.5-Q4_K_M.gguf");
    }

    @Test void whatIsNoGgufIsNotFetched() {
        open("once upon a time".repeat(10_000).getBytes());

        assertCannotBeHad("127.0.0.1: it does not begin with GGUF");
    }

    static Weights find() { return Weights.of(NAME, Choice::announce); }

    void assertCannotBeHad(String why) {
        var refusal = assertThrows(UncheckedIOException.class, () -> find());

        assertEquals("start: there is no file " + NAME + ", neither here nor where it could be asked for (" + why
            + "); check the name", refusal.getMessage());
    }

    /** The head of a model longer than what is looked at, whose tokens are cut off there. */
    byte[] serve(String architecture) {
        var tokens = "token ".repeat(20_000).split("(?<= )");
        byte[] content = new GgufBytes().text("general.architecture", architecture).text("general.license", "mit")
            .int32(architecture + ".context_length", 512).array("tokenizer.ggml.tokens", tokens).bytes();
        open(content);
        return content;
    }

    void open(byte[] content) {
        hub = new Hub(content);
        settings.set("HF_ENDPOINT", hub.url());
    }
}
