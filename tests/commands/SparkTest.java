package sheaf.commands;

import static java.util.stream.Collectors.groupingBy;
import static java.util.stream.Collectors.mapping;
import static java.util.stream.Collectors.toList;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import sheaf.house.HouseTest;
import sheaf.server.BatchServer;
import sheaf.support.Project;
import sheaf.support.Sources;

/**
 * Spark, in processes of their own with the class path of the script: its jars are not on that of the tests, and are
 * fetched where they are not here yet. Where they cannot be had nothing is tested.
 */
@Tag("apart")
@Timeout(value = 10, unit = TimeUnit.MINUTES)              // on a machine that is busy
class SparkTest {
    static final Path PROJECT = Project.root();
    static final String SCRIPT = "tests/spark/SparkFaults.java";
    static String classPath;
    @AutoClose final BatchServer server = BatchServer.start();
    final List<Process> processes = new ArrayList<>();
    @TempDir Path dir;

    private record Run(int status, String out, String err) {}

    @BeforeAll static void build() throws Exception {
        var built = new ProcessBuilder(PROJECT.resolve("jbang").toString(), "build", SCRIPT).directory(PROJECT.toFile())
            .redirectErrorStream(true).start();
        var said = new String(built.getInputStream().readAllBytes());
        assumeTrue(!said.contains("Could not resolve dependencies"), "Spark's jars are not to be had: " + said);
        assertEquals(0, built.waitFor(), said);
        var found = new ProcessBuilder(PROJECT.resolve("jbang").toString(), "info", "classpath", SCRIPT)
            .directory(PROJECT.toFile()).redirectError(ProcessBuilder.Redirect.DISCARD).start();
        classPath = new String(found.getInputStream().readAllBytes()).strip();
    }

    @AfterEach void close() { processes.forEach(Process::destroyForcibly); }

    @Test void itsFilesUseOnlyFilesOnLowerFloors() throws IOException {
        assertEquals(List.of(), HouseTest.ties(Path.of(classPath.split(File.pathSeparator)[0])));
    }

    @Test void aTaskThatFailsOrIsKilledPaysNothingAndLosesNoRow() throws Exception {
        Files.writeString(dir.resolve("mine.csv"), "precious");
        Files.writeString(dir.resolve("rows.csv"), "text\nhi\n");

        var run = run("sheaf.commands.SparkFaults", server.baseUrl(), dir.resolve("faulty").toString());

        assertEquals(0, run.status, run.err);
        var said = run.out.lines().map(line -> line.split(": ", 2))
            .collect(groupingBy(line -> line[0], mapping(line -> line[1], toList())));
        assertEquals(List.of("3"), said.get("failed while rendering"), run.out);
        assertEquals(List.of("1"), said.get("failed while joining"), run.out);
        for (var step : List.of("rendering", "joining"))
            assertFalse(said.get("killed while " + step).contains("0"), run.out);
        assertEquals("out: mine.csv exists, and was not written from rows.csv; give another name, or --force\n",
            run.err);
        assertEquals(List.of("2"), said.get("another's file"));
        assertEquals(List.of("number,text,price,ratio,day,at,local,tags,author,sizes,note,id,"
            + "result_id,outcome,answer,error,tokens"), said.get("columns"));
        for (var count : List.of("rows", "numbers", "own", "ids"))
            assertEquals(List.of("25000"), said.get(count), count);
        assertEquals(List.of("true"), said.get("in order"));
        assertEquals(List.of("true"), said.get("as on one machine"));
        assertEquals(List.of("text 7|1.75|7000000.0|2024-01-31|2024-01-31T10:00:00Z|2024-01-31T10:00:00.5|"
            + "[\"b\",null]|Ana|{\"name\":\"Ana\",\"born\":\"1980-02-03\"}|{\"a\":2,\"z\":1}|odd"), said.get("row 7"));
        assertEquals(said.get("batch"), said.get("batch again"));
        assertEquals(List.of("0"), said.get("left"));
        assertTrue(said.get("lacking").get(0).matches("prompts: the row \\{\"number\":\\d+,\"text\":null,.* has no "
            + "value for \\{\\{text}} \\(template line 1\\); it has: number, text \\(null\\), price, .*"), run.out);
        assertSeveral(said.get("several"));
        assertEquals(3, creates(), "one of each model, for a file holds one");
    }

    private static void assertSeveral(List<String> said) {
        var numbers = said.stream().map(line -> line.replaceFirst(" .*", "")).distinct().toList();
        assertEquals(numbers.stream().flatMap(number -> Stream.of("short one", "short two", "long one", "long two")
            .map(asked -> number + " no. " + number + " " + asked + " succeeded text")).toList(), said);
        assertEquals(2, numbers.size());
    }

    @Test void aDriverThatIsKilledWhileItWaitsComesBackToItsBatch() throws Exception {
        var rows = IntStream.range(0, 50).mapToObj(i -> i + ",\"say \"\"" + i % 40 + "\"\",\nplease \\\\\"\n").toList();
        Files.writeString(dir.resolve("rows.csv"), "id,text\n" + String.join("", rows) + "50,\n");
        server.pause();
        var killed = start("sheaf.commands.spark", command());
        while (creates() == 0 && killed.isAlive()) Thread.sleep(100);
        assertTrue(killed.isAlive(), () -> error(killed));
        killed.destroyForcibly().waitFor();
        server.resume();

        var run = run("sheaf.commands.spark", command());

        assertEquals(0, run.status, run.err);
        assertTrue(run.err.matches("(?s)attached to batch_\\w+ \\(51 requests, submitted .*\\), nothing was sent; kept "
            + "in .*/rows-q-\\w+\n(.*\n)?wrote answered.jsonl \\(51 succeeded; [0-9,]+ tokens in, [0-9,]+ out\\)\n"),
            run.err);
        assertEquals(1, creates());
        var answers = Files.readAllLines(dir.resolve("answered.jsonl")).stream().map(SparkTest::json).toList();
        assertEquals(IntStream.rangeClosed(0, 50).mapToObj(String::valueOf).toList(),
            answers.stream().map(row -> row.path("id").asText()).toList());
        for (var row : answers) assertEquals("q: " + row.path("text").asText(), row.path("answer").asText());
        assertEquals("say \"4\",\nplease \\\\", answers.get(4).path("text").asText());
        assertEquals("", answers.get(50).path("text").asText());
        assertEquals(List.of("answered.jsonl", "rows.csv"), names());
    }

    private String[] command() {
        return new String[] {"--provider", server.baseUrl(), "--model", "echo", "--prompt", "q: {{text}}", "--data",
            "rows.csv", "--out", "answered.jsonl", "--one-file", "--master", "local[2,3]"};
    }

    private List<String> names() throws IOException {
        try (var files = Files.list(dir)) {
            return files.map(file -> file.getFileName().toString()).filter(name -> name.matches("[a-z]+\\.[a-z]+"))
                .sorted().toList();
        }
    }

    private static JsonNode json(String line) {
        try {
            return new ObjectMapper().readTree(line);
        } catch (IOException e) {
            throw new AssertionError(line, e);
        }
    }

    private long creates() { return server.requests().stream().filter("POST /v1/batches"::equals).count(); }

    private Run run(String main, String... args) throws Exception {
        var process = start(main, args);
        int status = process.waitFor();
        return new Run(status, Files.readString(file(process, "out")), error(process));
    }

    private Process start(String main, String... args) throws IOException {
        var command = new ArrayList<>(List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString()));
        command.addAll(Sources.words(PROJECT.resolve("lib/SparkBatch.java"), "RUNTIME_OPTIONS"));
        command.addAll(List.of("-Xmx1g", "-XX:TieredStopAtLevel=1", "-cp", classPath, main));
        command.addAll(List.of(args));
        var builder = new ProcessBuilder(command).directory(dir.toFile());
        builder.environment().putAll(Map.of("SHEAF_HOME", dir.resolve("home").toString(), "LC_ALL", "C.UTF-8"));
        var number = processes.size();
        processes.add(builder.redirectOutput(dir.resolve("out-" + number).toFile())
            .redirectError(dir.resolve("err-" + number).toFile()).start());
        return processes.get(number);
    }

    private Path file(Process process, String stream) { return dir.resolve(stream + "-" + processes.indexOf(process)); }

    private String error(Process process) {
        try {
            return Files.readString(file(process, "err"));
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }
}
