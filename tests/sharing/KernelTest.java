package sheaf.sharing;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;
import static sheaf.support.Notebook.code;
import static sheaf.support.Notebook.shown;
import static sheaf.support.Notebook.tour;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.support.Project;
import sheaf.support.RawClient;

/** The kernel is installed by one command, and shows in Jupyter, where there is one, what the notebook shows. */
@Tag("apart")
class KernelTest {
    static final Path PROJECT = Project.root();
    /** Runs each argument as a cell; one that begins with a ? is completed, and inspected at its end. */
    private static final String PROBE = """
        import io.github.spencerpark.jupyter.kernel.BaseKernel;
        import io.github.spencerpark.jupyter.kernel.display.mime.MIMEType;

        class Probe {
            public static void main(String... cells) throws Exception {
                var constructor = Class.forName("sheaf.commands.NotebookKernel").getDeclaredConstructor();
                constructor.setAccessible(true);
                var kernel = (BaseKernel) constructor.newInstance();
                for (int i = 0; i < cells.length; i++) {
                    var asked = cells[i].startsWith("?");
                    var code = cells[i].substring(asked ? 1 : 0);
                    var opening = Character.isUpperCase(code.charAt(0)) ? "" : "(";
                    if (asked) System.out.println(i + " " + kernel.complete(code, code.length()).getReplacements());
                    var shown = asked ? kernel.inspect(code + opening, code.length(), false) : kernel.eval(code);
                    if (shown != null) System.out.println(i + " " + shown.getData(MIMEType.TEXT_PLAIN) + "\\n"
                        + shown.getData(MIMEType.TEXT_HTML));
                }
                System.exit(0);
            }
        }
        """;
    private static Path installed;                             // the data folder of Jupyter's, once the kernel is there
    @TempDir static Path dir;

    @Test void oneCommandInstallsAKernelThatStarts() throws Exception {
        var folder = installed().resolve("kernels/sheaf");

        var spec = RawClient.JSON.readTree(folder.resolve("kernel.json").toFile());
        var command = commandOf(installed());

        assertEquals("Java + Sheaf", spec.path("display_name").asText());
        assertEquals("{connection_file}", command.get(command.size() - 1));
        var classPath = command.get(command.indexOf("-cp") + 1).split(File.pathSeparator);
        for (var entry : classPath) assertTrue(Files.exists(Path.of(entry)), entry);
        assertTrue(List.of(classPath).contains(folder.resolve("kernel.jar").toString()), String.join("\n", classPath));
        assertTrue(command.contains("-XX:TieredStopAtLevel=1"), "starts slowly");
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
        assertEquals(7, tables);
    }

    /** What Jupyter would ask of the kernel, asked without Jupyter. */
    @Test void magicsValuesAndQuestionsAreAnswered() throws Exception {
        Files.writeString(dir.resolve("rows.csv"), "n\n1\n2\n");
        Files.writeString(dir.resolve("hi.jsh"), "var loaded = 6 * 7;");
        var probe = Files.writeString(dir.resolve("Probe.java"), PROBE);
        var command = commandOf(installed());

        var said = ended(0, List.of(command.get(0), "-cp", command.get(command.indexOf("-cp") + 1), probe.toString(),
            "render(\"<b>1</b>\", \"text/html\")",
            "%load " + dir.resolve("hi.jsh"),
            "%classpath " + dir.resolve("rows.csv"),
            "loaded",
            "csv(\"" + dir.resolve("rows.csv") + "\")",
            "batch().model(\"m\").prompts(\"{{n}}\", csv(\"" + dir.resolve("rows.csv") + "\"))",
            "batch().model(\"m\").prompts(\"{{x}}\", csv(\"" + dir.resolve("rows.csv") + "\"))",
            "?batch().mod", "?batch().model", "?Outcome"));

        for (var line : List.of("0 <b>1</b>", "3 42", "4 Data[rows.csv: n]", "5 Draft[m, 1 prompt over rows.csv]"))
            assertTrue(said.contains(line + "\n"), said);
        for (var part : List.of(">n</th>", "2 rows</pre>", "&quot;content&quot;:&quot;2&quot;",
            "row 1 has no value for {{x}} (template line 1); it has: n; name one of these, or rename a column",
            "7 [model(]",
            "8 Draft Draft.model(String first, String... more)\n    Returns a draft that sends each prompt to each",
            "9 Outcome\n    How one request ended;")) assertTrue(said.contains(part), part + " in\n" + said);
        assertFalse(said.contains("Exception"), said);
    }

    private static List<String> commandOf(Path data) throws Exception {
        var spec = RawClient.JSON.readTree(data.resolve("kernels/sheaf/kernel.json").toFile());
        return StreamSupport.stream(spec.path("argv").spliterator(), false).map(JsonNode::asText).toList();
    }

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
}
