package sheaf.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import sheaf.support.Ports;

/** What a user may ask for, and what is said when that cannot be had. */
class LocalModelTest {
    @Test void aFileThatIsNoModelIsRefusedInOneSentence(@TempDir Path temp) throws IOException {
        var file = Files.writeString(temp.resolve("notes.gguf"), "not a model at all");

        var refusal = assertThrows(UncheckedIOException.class, () -> LocalModel.start(file.toString()));

        assertEquals("start: " + file + " is no readable GGUF file (it does not begin with GGUF); name another",
            refusal.getMessage());
    }

    @Test void aModelThatIsNeitherFileNorNameIsRefusedWithTheNamesThereAre() {
        var refusal = assertThrows(IllegalArgumentException.class, () -> LocalModel.start("gpt-9"));

        assertEquals("start: there is no file gpt-9 and no known model of that name; known are small, medium, large, "
            + "SmolLM2-135M-Instruct, Qwen2.5-0.5B-Instruct, Qwen2.5-Coder-0.5B-Instruct, Qwen2.5-1.5B-Instruct, "
            + "Qwen2.5-Coder-1.5B-Instruct, and any owner/repository/file.gguf of Hugging Face", refusal.getMessage());
    }

    @Test void aServerThatDoesNotRunIsNamed() throws IOException {
        int port = Ports.closed();

        var refusal = assertThrows(UncheckedIOException.class, () -> LocalModel.start("http://127.0.0.1:" + port));

        assertEquals("start: no model at GET http://127.0.0.1:" + port + "/v1/models (connection refused)"
            + "; start that server or name another", refusal.getMessage());
    }

    @ParameterizedTest
    @ValueSource(ints = {-1, 65_536})
    void aPortThatNoMachineHasIsRefused(int port) {
        var refusal = assertThrows(IllegalArgumentException.class, () -> LocalModel.options().port(port));

        assertEquals("options: port cannot be " + port, refusal.getMessage());
    }
}
