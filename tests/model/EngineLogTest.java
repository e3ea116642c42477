package sheaf.model;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** What is made of the lines that an engine printed. */
class EngineLogTest {
    @Test void theCauseOfTroubleIsShownBeforeItsConsequences() {
        var log = log("loading", "  unknown model architecture: 'new'", "error: no model", "failed to start",
            "cannot go on");

        assertEquals(Optional.of("error: no model | failed to start"), log.trouble());
        assertEquals("put a newer llama-server on the PATH", log.cure());
    }

    @Test void whatIsWrongWithAFileIsSaidWithoutWhoSaysIt() {
        var log = log("llama_model_load: error loading model: error loading model hyperparameters: key not found",
            "llama_model_load_from_file_impl: failed to load model",
            "srv    load_model: failed to load model, 'a.gguf'");

        assertEquals(Optional.of("error loading model hyperparameters: key not found"), log.trouble());
        assertEquals("the file is broken, or newer than this llama.cpp: fetch it again, put a newer llama-server on the"
            + " PATH, or name another", log.cure());
    }

    @Test void anArchitectureThatIsNotKnownIsNoBrokenFile() {
        var log = log("llama_model_load: error loading model: unknown model architecture: 'new'");

        assertEquals("put a newer llama-server on the PATH", log.cure());
    }

    @Test void whereNothingSoundsLikeTroubleNothingIsShown() {
        assertEquals(Optional.empty(), log("loading", "ready").trouble());
        assertEquals("name the URL of a running server instead", log("loading").cure());
    }

    @Test void onlyTheLastFortyLinesCount() {
        var log = log("error: an old one");

        Stream.generate(() -> "all is well").limit(40).forEach(log::add);

        assertEquals(Optional.empty(), log.trouble());
    }

    static EngineProcess.Log log(String... lines) {
        var log = new EngineProcess.Log();
        Stream.of(lines).forEach(log::add);
        return log;
    }
}
