package sheaf.sharing;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import jdk.jshell.ExpressionSnippet;
import jdk.jshell.JShell;
import jdk.jshell.Snippet;
import jdk.jshell.SnippetEvent;
import jdk.jshell.SourceCodeAnalysis.CompletionInfo;
import jdk.jshell.VarSnippet;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Listing;
import sheaf.Sheaf.Preview;
import sheaf.Sheaf.Results;
import sheaf.support.Printed;
import sheaf.support.Project;
import sheaf.support.RawClient;

/** The notebook shows what its cells give: in JShell always, and in Jupyter where there is one. */
class NotebookTest {
    static final Path PROJECT = Project.root();
    static final String LAST = "sheaf.tests.last";
    @TempDir static Path dir;

    @BeforeAll static void ownHome() { System.setProperty("SHEAF_HOME", dir.resolve("home").toString()); }

    @AfterAll static void forget() { System.getProperties().remove(LAST); }

    @Test void theTourIsANotebookOfTheKernelWithTextAroundItsCells() throws IOException {
        var tour = tour();

        assertEquals("sheaf", tour.at("/metadata/kernelspec/name").asText());
        assertTrue(tour.path("nbformat").asInt() == 4 && tour.path("cells").size() > 20);
        assertTrue(code(tour).size() >= 8 && code(tour).size() <= 12, "" + code(tour).size());
        assertFalse(tour.toString().matches("(?s).*(/tmp|/root|/home|sk-)[/a-z0-9].*"), "of the machine it ran on");
        for (var cell : code(tour))
            for (var line : text(cell.path("source")).lines().toList()) assertTrue(line.length() <= 100, line);
    }

    @Test void everyCellGivesInJShellWhatTheNotebookShows() throws IOException {
        try (var shell = JShell.builder().executionEngine("local").build()) {
            for (var name : List.of("java.io.*", "java.nio.file.*", "java.util.*", "java.util.stream.*", "sheaf.Sheaf",
                "static sheaf.Sheaf.*", "sheaf.server.BatchServer"))
                run(shell, "import " + name + ";");

            for (var cell : code(tour())) {
                var printed = Printed.stdout(() -> Printed.stderr(() -> run(shell, text(cell.path("source")))));
                var value = System.getProperties().remove(LAST);

                assertEquals(shown(cell, "stream", "/text"), printed);
                assertEquals(shown(cell, "execute_result", "/data/text~1plain"), value == null ? "" : value.toString());
                assertEquals(shown(cell, "execute_result", "/data/text~1html"), html(value));
            }
        }
    }

    /** Runs a cell as a kernel does, snippet by snippet, and keeps the value of the last one. */
    private static void run(JShell shell, String cell) {
        CompletionInfo next;
        SnippetEvent last = null;
        for (var rest = cell; !rest.isBlank(); rest = next.remaining()) {
            next = shell.sourceCodeAnalysis().analyzeCompletion(rest);
            assertTrue(next.completeness().isComplete(), rest);
            for (var event : shell.eval(next.source())) {
                assertTrue(event.exception() == null && event.status() == Snippet.Status.VALID,
                    () -> fault(event, shell));
                last = event;
            }
        }
        System.getProperties().remove(LAST);
        var hasValue = last != null && last.snippet().subKind().hasValue() && !cell.strip().endsWith(";");
        if (hasValue) shell.eval("System.getProperties().put(\"" + LAST + "\", " + name(last.snippet()) + ");");
    }

    private static String name(Snippet snippet) {
        return snippet instanceof VarSnippet variable ? variable.name() : ((ExpressionSnippet) snippet).name();
    }

    private static String fault(SnippetEvent event, JShell shell) {
        return event.snippet().source() + "\n" + event.exception() + shell.diagnostics(event.snippet())
            .map(fault -> fault.getMessage(null)).collect(Collectors.joining("; "));
    }

    private static String html(Object value) {
        if (value instanceof Results results) return results.toHtml();
        if (value instanceof Preview preview) return preview.toHtml();
        return value instanceof Listing<?> listing ? listing.toHtml() : "";
    }

    @Test void oneCommandInstallsAKernelThatStarts() throws Exception {
        var folder = installed().resolve("kernels/sheaf");

        var spec = RawClient.JSON.readTree(folder.resolve("kernel.json").toFile());
        var command = StreamSupport.stream(spec.path("argv").spliterator(), false).map(JsonNode::asText).toList();

        assertEquals("Java + Sheaf", spec.path("display_name").asText());
        assertEquals("{connection_file}", command.get(command.size() - 1));
        var classPath = command.get(command.indexOf("-cp") + 1).split(File.pathSeparator);
        for (var entry : classPath) assertTrue(Files.exists(Path.of(entry)), entry);
        assertTrue(List.of(classPath).contains(folder.resolve("kernel.jar").toString()), String.join("\n", classPath));
        var start = new ArrayList<>(command);
        start.set(command.size() - 1, dir.resolve("none.json").toString());
        assertEquals("kernel: cannot write or read " + dir.resolve("none.json") + "\n", ended(1, start));
    }

    @Test void theTourRunsInJupyterAndShowsTheSame() throws Exception {
        var jupyter = jupyter();
        assumeTrue(jupyter.isPresent(), "no Jupyter with nbconvert on the PATH; JUPYTER=/path/to/jupyter names one");
        Files.copy(PROJECT.resolve("notebooks/tour.ipynb"), dir.resolve("in.ipynb"));
        installed();

        ended(0, List.of(jupyter.get(), "nbconvert", "--to", "notebook", "--execute", "--output", "out.ipynb",
            dir.resolve("in.ipynb").toString()));
        var cells = code(RawClient.JSON.readTree(dir.resolve("out.ipynb").toFile()));

        int tables = 0;
        for (int i = 0; i < cells.size(); i++) {
            assertEquals("", shown(cells.get(i), "error", "/evalue"));
            for (var part : List.of("/data/text~1plain", "/data/text~1html"))
                assertEquals(shown(code(tour()).get(i), "execute_result", part),
                    shown(cells.get(i), "execute_result", part));
            assertEquals(shown(code(tour()).get(i), "stream", "/text"), shown(cells.get(i), "stream", "/text"));
            assertTrue(shown(cells.get(i), "display_data", "/data/text~1plain").lines().count() <= 2,
                cells.get(i)::toString);
            if (shown(cells.get(i), "execute_result", "/data/text~1html").contains("<table")) tables++;
        }
        assertEquals(3, tables);
    }

    private static Path installed;

    /** Installs the kernel once, for its build takes a while, into a data folder of Jupyter's of this test. */
    private static Path installed() throws Exception {
        if (installed != null) return installed;
        installed = dir.resolve("j\u00fcpyter data");
        var said = ended(0, List.of(PROJECT.resolve("jbang").toString(), "--quiet", "kernel", "--install"));
        assertTrue(said.startsWith("Installed the kernel \"Java + Sheaf\" in " + installed.resolve("kernels/sheaf")
            + "\n"), said);
        return installed;
    }

    private static Optional<String> jupyter() throws Exception {
        var named = System.getenv("JUPYTER");
        var places = named != null ? Stream.of(Path.of(named))
            : Stream.of(System.getenv("PATH").split(File.pathSeparator)).map(folder -> Path.of(folder, "jupyter"));
        var found = places.filter(Files::isExecutable).map(Path::toString).findFirst();
        return found.isPresent() && new ProcessBuilder(found.get(), "nbconvert", "--version").redirectErrorStream(true)
            .redirectOutput(ProcessBuilder.Redirect.DISCARD).start().waitFor() == 0 ? found : Optional.empty();
    }

    /** Runs a command without keys, and with Jupyter's folders here; returns what it said. */
    private static String ended(int status, List<String> command) throws Exception {
        var builder = new ProcessBuilder(command).directory(PROJECT.toFile()).redirectErrorStream(true);
        builder.environment().keySet().removeIf(name -> name.endsWith("_API_KEY") || name.startsWith("SHEAF_")
            || name.startsWith("OPENAI_") || name.startsWith("JUPYTER") || name.startsWith("IPYTHON"));
        builder.environment().put("SHEAF_HOME", dir.resolve("jupyter home").toString());
        builder.environment().put("JUPYTER_DATA_DIR", dir.resolve("j\u00fcpyter data").toString());
        for (var folder : List.of("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"))
            builder.environment().put(folder, dir.resolve(folder).toString());
        var process = builder.start();
        process.getOutputStream().close();
        var said = new String(process.getInputStream().readAllBytes(), UTF_8);
        assertEquals(status, process.waitFor(), said);
        return said;
    }

    private static JsonNode tour() throws IOException {
        return RawClient.JSON.readTree(PROJECT.resolve("notebooks/tour.ipynb").toFile());
    }

    private static List<JsonNode> code(JsonNode notebook) {
        return StreamSupport.stream(notebook.path("cells").spliterator(), false)
            .filter(cell -> cell.path("cell_type").asText().equals("code")).toList();
    }

    /** A text in a notebook is one string, or one for each line. */
    private static String text(JsonNode node) {
        return node.isArray() ? StreamSupport.stream(node.spliterator(), false).map(JsonNode::asText)
            .collect(Collectors.joining()) : node.asText();
    }

    private static String shown(JsonNode cell, String kind, String place) {
        return StreamSupport.stream(cell.path("outputs").spliterator(), false)
            .filter(output -> output.path("output_type").asText().equals(kind)).map(output -> text(output.at(place)))
            .collect(Collectors.joining()).replace("\r\n", "\n");
    }
}
