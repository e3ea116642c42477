package sheaf.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import sheaf.support.PseudoTerminal;

/** Somebody at a terminal is asked before a model is fetched. */
@DisabledOnOs(OS.WINDOWS)
class ConsentTest {
    static final String NAME = "some-one/tiny-GGUF/tiny-Q8_0.gguf";
    static final String QUESTION = "sheaf: fetch tiny-Q8_0 (Q8_0, 1 MB, mit) from 127.0.0.1? [Y/n] ";
    final Hub hub = new Hub(new GgufBytes().text("general.architecture", "llama").text("general.license", "mit")
        .array("tokenizer.ggml.tokens", "token ".repeat(20_000).split("(?<= )")).bytes());
    @TempDir Path temp;

    @AfterEach void stop() { hub.server.stop(0); }

    @Test void whoSaysNoFetchesNothing() throws Exception {
        var shown = answer("n\n");

        assertTrue(shown.startsWith(QUESTION), shown);
        assertTrue(shown.contains("start: no weights for tiny-Q8_0 (declined); name a GGUF file, or the URL of a "
            + "running server, or let one be fetched\nended 1\n"), shown);
        assertEquals(List.of("tiny-Q8_0.gguf.note"), notes());
    }

    @Test void whoOnlyPressesEnterGetsIt() throws Exception {
        var shown = answer("\n");

        assertTrue(shown.startsWith(QUESTION), shown);
        assertTrue(shown.contains("##] 100 % of 1 MB\n"), shown);
        assertEquals("bytes=0-", hub.ranges.get(hub.ranges.size() - 1));
    }

    String answer(String text) throws Exception {
        var environment = Map.of("HF_ENDPOINT", hub.url(), "SHEAF_CACHE", temp.toString(), "XDG_CACHE_HOME",
            temp.resolve("none").toString(), "HF_HOME", temp.resolve("none").toString());
        var command = JavaProcess.command(LocalModel.class) + " " + NAME + "; echo ended $?";
        try (var terminal = new PseudoTerminal(100, command, temp, environment)) {
            terminal.await(0, "\\[Y/n\\] ");
            terminal.type(text);
            return terminal.ended();
        }
    }

    List<String> notes() {
        return List.of(temp.resolve("models").toFile().list((folder, name) -> !name.endsWith(".lock"))).stream()
            .map(name -> name.replaceFirst(".*--", "")).toList();
    }
}
