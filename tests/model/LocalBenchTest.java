package sheaf.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.abort;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The benchmark of the local model, with next to nothing to do; left out where the weights cannot be had. */
class LocalBenchTest {
    final Settings settings = new Settings();

    @AfterEach void restore() { settings.restore(); }

    @Test void eachNumberOfSlotsAndSheafsOwnPartAreMeasured(@TempDir Path folder) throws Exception {
        try {
            Weights.of("small", Choice::announce);
        } catch (UncheckedIOException e) {
            abort(e.getMessage());
        }
        settings.set("SHEAF_HOME", folder);
        settings.set("PATH", "");
        var out = new ByteArrayOutputStream();

        new LocalBench("SmolLM2-135M-Instruct", new LocalBench.Size(4, 4, 1), new PrintStream(out)).run();

        var table = out.toString().lines().toList();
        assertEquals(8, table.size(), out::toString);
        assertTrue(table.get(5).matches("worker, slots: 4 +[0-9.]+  tokens/s *"), table.get(5));
        var whole = "through all of Sheaf, slots: 4 +[0-9.]+  tokens/s  [0-9.]+ % of the time, ([0-9.]+)"
            + " % of the CPU's, is not the engine's";
        assertTrue(table.get(6).matches(whole), table.get(6));
        assertTrue(table.get(7).matches("llama-server +none +there is none on the PATH"), table.get(7));
    }
}
