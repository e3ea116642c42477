package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The tour runs from its first cell to the last, and shows what is kept in it. */
class NotebookTest {
    static final Path TOUR = RunTests.projectRoot().resolve("notebooks/tour.ipynb");
    static final String EXECUTE = "SHEAF_JUPYTER or a jupyter on the PATH executes the notebook; there is neither";
    @TempDir Path dir;

    /** Without Jupyter; the kernel is JShell too. */
    @Test void everyCellRunsAfterTheOnesBefore() throws IOException {
        System.setProperty("SHEAF_HOME", dir.toString());
        try (var server = BatchServer.start();
             var shell = new Shell("import static sheaf.Sheaf.*;", "import java.util.*;", "import java.nio.file.*;")) {
            System.setProperty("OPENAI_BASE_URL", server.baseUrl());

            Printed.stdout(() -> cells(TOUR).filter(cell -> cell.path("cell_type").asText().equals("code"))
                .forEach(cell -> shell.run(source(cell).replace("../data/", RunTests.projectRoot() + "/data/"))));
        } finally {
            System.setProperty("OPENAI_BASE_URL", "");
        }
    }

    @Test void jupyterShowsWhatIsKeptInTheTour() throws Exception {
        assumeTrue(jupyter().isPresent(), EXECUTE);
        run(Stream.of(RunTests.projectRoot().resolve("jbang").toString(), "--quiet", "kernel", "--install", "--prefix",
            dir.toString()));

        run(Stream.of(jupyter().orElseThrow(), "nbconvert", "--to", "notebook", "--execute", "--output-dir",
            dir.toString(), TOUR.toString()));

        assertEquals(shown(TOUR), shown(dir.resolve("tour.ipynb")));
        assertTrue(shown(TOUR).size() > 10 && shown(TOUR).toString().contains("<table"), shown(TOUR).toString());
    }

    private static Optional<String> jupyter() {
        return Stream.concat(Stream.ofNullable(System.getenv("SHEAF_JUPYTER")),
                Stream.of(System.getenv("PATH").split(File.pathSeparator)).map(folder -> folder + "/jupyter"))
            .filter(file -> Files.isExecutable(Path.of(file))).findFirst();
    }

    private void run(Stream<String> command) throws IOException, InterruptedException {
        var builder = new ProcessBuilder(command.toList()).directory(RunTests.projectRoot().toFile())
            .redirectErrorStream(true).redirectOutput(dir.resolve("log").toFile());
        builder.environment().keySet().removeIf(name -> name.matches("(SHEAF|OPENAI)_.*|.*_API_KEY"));
        builder.environment().put("SHEAF_HOME", dir.resolve("home").toString());
        builder.environment().put("JUPYTER_PATH", dir.resolve("share/jupyter").toString());
        assertEquals(0, builder.start().waitFor(), () -> log());
    }

    private String log() {
        try {
            return Files.readString(dir.resolve("log"));
        } catch (IOException e) {
            return e.toString();
        }
    }

    /** What cells show, but for progress, where there are ids and times. */
    private static List<String> shown(Path notebook) {
        return cells(notebook).flatMap(cell -> stream(cell.path("outputs")))
            .filter(output -> !output.path("name").asText().equals("stderr"))
            .map(output -> output.path("output_type").asText() + " "
                + (output.has("text") ? source(output, "text") : source(output.path("data"), "text/html")
                    + source(output.path("data"), "text/plain")))
            .toList();
    }

    private static Stream<JsonNode> cells(Path notebook) {
        try {
            return stream(new ObjectMapper().readTree(notebook.toFile()).path("cells"));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static String source(JsonNode cell) { return source(cell, "source"); }

    /** A text, or its lines. */
    private static String source(JsonNode node, String field) {
        return node.path(field).isTextual() ? node.path(field).asText()
            : stream(node.path(field)).map(JsonNode::asText).collect(Collectors.joining());
    }

    private static Stream<JsonNode> stream(JsonNode array) {
        return array.valueStream();
    }
}
