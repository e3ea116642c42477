package sheaf.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.time.Duration;
import java.util.function.Supplier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What a server may be told before it starts. */
class SettingsTest {
    static final String NAMES = "echo, ollama, lmstudio, vllm, llama-server, openrouter, mistral, cerebras";

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "http://me:secret@host/v1 | engine: a URL with a password in it; say it as the engine key",
        "olama | engine: olama is neither an http URL such as http://localhost:11434/v1 nor one of " + NAMES
            + "; did you mean ollama?",
        "http://host/v1?a=b | engine: http://host/v1?a=b is neither an http URL such as http://localhost:11434/v1 "
            + "nor one of " + NAMES,
        "http:// | engine: http:// is neither an http URL such as http://localhost:11434/v1 nor one of " + NAMES})
    void anEngineIsAPlainUrl(String engine, String message) {
        assertEquals(message, refused(() -> BatchServer.options().engine(engine)));
    }

    @Test void aWrongSettingIsASentence() {
        assertEquals("engineKey: holds a blank or another character that no header may",
            refused(() -> BatchServer.options().engineKey("secret\n")));
        assertEquals("timeout: PT0S is no time at all", refused(() -> BatchServer.options().timeout(Duration.ZERO)));
        assertEquals("modelName: no value given", refused(() -> BatchServer.options().model("a", "")));
        assertEquals("maxBytes: 0 is less than 1", refused(() -> BatchServer.options().maxBytes(0)));
        assertEquals("reply: no text given", refused(() -> BatchServer.Reply.text(null)));
    }

    static String refused(Supplier<?> setting) {
        return assertThrows(IllegalArgumentException.class, setting::get).getMessage();
    }
}
