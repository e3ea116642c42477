package sheaf.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.file.Path;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The benchmarks, with next to nothing to do: they check what is done, and print a table. */
class BenchTest {
    @Tag("apart")
    @Test void theClientsBenchMeasuresWholeProcessesBesidePythonsOrSaysThatThereIsNone(@TempDir Path folder)
            throws Exception {
        var out = new ByteArrayOutputStream();

        new ClientBench(folder, new ClientBench.Size(40, 20, 1), new PrintStream(out)).run();

        var table = out.toString().lines().toList();
        assertEquals(6, table.size(), out::toString);
        var row = " +[0-9.]+ +([0-9.]+ +[0-9.]+ +[0-9.]+ +[0-9.]+|none +[0-9.]+) .*";
        for (var line : table.subList(1, 6)) assertTrue(line.matches("[a-z0-9].*?" + row), line);
    }

    @Tag("S4") @Tag("S14") @Tag("S16")
    @Test void theServersBenchChecksAndPrintsWhatItMeasures(@TempDir Path folder) throws Exception {
        var out = new ByteArrayOutputStream();

        new ServerBench(folder, new ServerBench.Size(50, 1, 4, 1)).run(new PrintStream(out));

        var table = out.toString().lines().toList();
        assertEquals(10, table.size(), out::toString);
        assertTrue(table.get(9).matches("end of a local batch to results +[0-9.]+  ms +the slowest of 10 took .*"),
            table.get(9));
        assertTrue(table.get(1).matches("lines through the echo engine +[0-9.]+  lines/s +[0-9.]+ of .*"),
            table.get(1));
    }
}
