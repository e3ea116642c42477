package sheaf.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.file.Path;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The benchmarks, with next to nothing to do: they check what the server does, and print a table. */
class BenchTest {

    @Tag("S4") @Tag("S14") @Tag("S16")
    @Test void theServersBenchChecksAndPrintsWhatItMeasures(@TempDir Path folder) throws Exception {
        var out = new ByteArrayOutputStream();

        new ServerBench(folder, new ServerBench.Size(50, 1, 4, 1)).run(new PrintStream(out));

        var table = out.toString().lines().toList();
        assertEquals(9, table.size(), out::toString);
        assertTrue(table.get(1).matches("lines through the echo engine +[0-9.]+  lines/s +[0-9.]+ of .*"),
            table.get(1));
    }
}
