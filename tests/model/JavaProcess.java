package sheaf.model;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** A main class of this class path in a JVM of its own, and the engines that a process has started. */
final class JavaProcess {
    private JavaProcess() { }

    static Process start(Class<?> main, String... arguments) throws IOException {
        var command = new ArrayList<>(List.of(command(main).replace("'", "").split(" ")));
        command.addAll(List.of(arguments));
        return new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.DISCARD).start();
    }

    /** Returns a command for the shell. */
    static String command(Class<?> main) {
        var java = Path.of(System.getProperty("java.home"), "bin", "java");
        return java + " -cp '" + System.getProperty("java.class.path") + "' '" + main.getName() + "'";
    }

    static List<ProcessHandle> engines(ProcessHandle parent) {
        return parent.children()
            .filter(child -> child.info().commandLine().orElse("").contains(Worker.class.getName())).toList();
    }

    static ProcessHandle engine(ProcessHandle parent) { return engines(parent).get(0); }
}
