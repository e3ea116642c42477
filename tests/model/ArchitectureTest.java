package sheaf.model;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** What is said of a file that the engine here cannot load, before it is started. */
class ArchitectureTest {
    final Settings settings = new Settings();
    @TempDir Path temp;

    @AfterEach void restore() { settings.restore(); }

    @Test void aFileOfAnArchitectureThatTheEngineDoesNotKnowIsRefused() throws IOException {
        settings.set("PATH", "");
        var file = Files.write(temp.resolve("new.gguf"), new GgufBytes().text("general.architecture", "lfm2").bytes());

        var refusal = assertThrows(IllegalStateException.class, () -> Weights.of(file.toString()));

        assertEquals("start: new is of the architecture lfm2, which the engine in de.kherud:llama does not know; put a "
            + "newer llama-server on the PATH, or name another model", refusal.getMessage());
    }

    @DisabledOnOs(OS.WINDOWS)
    @Test void aLlamaServerMayKnowMore() throws IOException {
        settings.set("PATH", temp);
        assertTrue(Files.writeString(temp.resolve("llama-server"), "").toFile().setExecutable(true));

        assertDoesNotThrow(() -> new Architecture("lfm2").check("new"));
    }

    @Test void aFileThatDoesNotSayIsTried() {
        settings.set("PATH", "");

        assertDoesNotThrow(() -> new Architecture("").check("old"));
        assertDoesNotThrow(() -> new Architecture("gemma3").check("known"));
    }
}
