package sheaf.bench;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The benchmarks, with next to nothing to do: they check what is done, and print a table. */
class BenchTest {
    @Tag("apart")
    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', value = {
        "local nope.gguf | 1 | benchmark: there is no file nope.gguf and no known model of that name; known are small, "
            + "medium, large, SmolLM2-135M-Instruct, Qwen2.5-0.5B-Instruct, Qwen2.5-Coder-0.5B-Instruct, "
            + "Qwen2.5-1.5B-Instruct, Qwen2.5-Coder-1.5B-Instruct, and any owner/repository/file.gguf of Hugging Face",
        "client abc | 2 | benchmark: \"abc\" is no number, such as client 500000; try 'benchmark --help'",
        "kills 0 | 2 | benchmark: \"0\" is no number, such as kills 200; try 'benchmark --help'",
        "server 5 | 2 | benchmark: \"5\" is one word too many; try 'benchmark --help'",
        "fast | 2 | benchmark: none is called \"fast\"; there are all, server, client, local, scale, slow, kills, "
            + "chaos, client-kills; try 'benchmark --help'"}, quoteCharacter = '`')
    void whatCannotBeMeasuredIsSaidInOneSentence(String words, int status, String sentence) throws Exception {
        var command = new ArrayList<>(List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-cp",
            System.getProperty("java.class.path"), "sheaf.bench.RunBench"));
        command.addAll(List.of(words.split(" ")));

        var process = new ProcessBuilder(command).redirectErrorStream(true).start();

        assertEquals(sentence + "\n", new String(process.getInputStream().readAllBytes(), UTF_8));
        assertEquals(status, process.waitFor());
    }

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

    @Test void theBenchOfVeryManyRowsLooksForEachAndForEachBatch(@TempDir Path folder) throws Exception {
        var out = new ByteArrayOutputStream();

        new ScaleBench(folder, new ScaleBench.Size(200, "48m", 10), new PrintStream(out)).run();

        var table = out.toString().lines().toList();
        var steps = table.stream().filter(line -> line.matches("(first|again) +[a-z]+( +[0-9.]+){5}"))
            .map(line -> line.replaceFirst("^(\\S+) +(\\S+).*", "$1 $2"))
            .filter(step -> !step.endsWith(" retry")).toList();
        assertEquals(List.of("first lines", "first submit", "first await", "first results", "first counts", "first csv",
            "first jsonl", "again submit", "again results", "again kept"), steps, out::toString);
        assertTrue(table.contains("200 rows are back, each once, in order, with its own answer"), out::toString);
        assertTrue(table.get(table.size() - 1).matches("at the server: \\{completed=[0-9]+(, expired=[0-9]+)?}; [0-9]+ "
            + "requests, of which [0-9]+ expired and were sent again"), out::toString);
    }

    @Test void theBenchOfVeryManyRowsSaysWhatDiskItLacks(@TempDir Path folder) {
        var bench = new ScaleBench(folder, new ScaleBench.Size(Integer.MAX_VALUE, "48m", 10), System.out);

        var refusal = assertThrows(IllegalStateException.class, bench::run);

        assertTrue(refusal.getMessage().matches("scale: 2,147,483,647 rows need 5368[.]7 GB in .*, which has [0-9.]+ "
            + "GB; take fewer, or another disk by -R-Djava.io.tmpdir"), refusal.getMessage());
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
