package sheaf;

import java.io.IOException;
import java.util.Locale;
import java.util.Optional;
import java.util.jar.Attributes;
import java.util.jar.JarFile;
import java.util.stream.Stream;
import sheaf.Vocabulary.ExitCode;

/** The program that runs Sheaf: a script or a command, what it is called, and how it ends. */
final class Script {
    private static volatile boolean hasSent;              // or attached to what was sent before

    private Script() {}

    /**
     * Returns what the script that runs is called: what {@code SHEAF_SCRIPT} says, be it "", else its main class in
     * kebab-case; nothing where none of the user's own runs, as in JShell or by a command of Sheaf's.
     */
    static Optional<String> name() {
        var told = System.getProperty("SHEAF_SCRIPT", System.getenv("SHEAF_SCRIPT"));
        return told != null ? Optional.of(told.strip())
            : name(System.getProperty("sun.java.command", ""), System.getProperty("java.class.path", ""));
    }

    /** A script is compiled together with Sheaf; a shell, a notebook or a launcher of whatever else is not. */
    static Optional<String> name(String command, String classPath) {
        boolean isJar = !classPath.isEmpty() && (command + " ").startsWith(classPath + " ");
        try {
            var name = isJar ? mainClass(classPath) : command.replaceFirst("(?s) .*", "");
            var main = Class.forName(name, false, Script.class.getClassLoader());
            var ours = Script.class.getProtectionDomain().getCodeSource();
            boolean isScript = ours != null && ours.equals(main.getProtectionDomain().getCodeSource())
                && !main.getPackageName().matches("sheaf(\\..*)?");
            return isScript ? Optional.of(kebabCase(main.getSimpleName())) : Optional.empty();
        } catch (ClassNotFoundException | IOException | LinkageError noProgramOfTheirs) {
            return Optional.empty();
        }
    }

    private static String mainClass(String jar) throws IOException {
        try (var file = new JarFile(jar)) {
            var manifest = file.getManifest();
            var name = manifest == null ? null : manifest.getMainAttributes().getValue(Attributes.Name.MAIN_CLASS);
            return name == null ? "" : name;
        }
    }

    private static String kebabCase(String type) {
        return type.replaceAll("(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-").toLowerCase(Locale.ROOT);
    }

    /** From now on an error is no longer one before which nothing was sent. */
    static void hasSent() { hasSent = true; }

    /** From now on messages name options: who runs this script gave it some. */
    static void optionsAreGiven() {
        name().filter(name -> !name.isEmpty()).ifPresent(name -> System.setProperty(Wording.TYPED, name));
    }

    /**
     * Lets a script that ends in one of Sheaf's errors show its sentence, not a stack trace, and end with its exit
     * code; {@code -Dsheaf.trace} brings the trace back.
     */
    static void showUncaught() {
        if (Thread.getDefaultUncaughtExceptionHandler() != null
            || System.getProperty("sheaf.trace") != null) return;
        Thread.setDefaultUncaughtExceptionHandler((thread, error) -> {
            if (error instanceof End) System.out.print(error.getMessage());
            else if (isOurs(error)) System.err.println(sentence(error));
            else printTrace(thread, error);
            boolean isScripts = thread.getName().equals("main") && name().isPresent();
            if (isScripts && error instanceof End) System.exit(0);
            if (isScripts && isOurs(error)) System.exit(ExitCode.of(error, hasSent).number());
        });
    }

    /** Whoever typed a script's name knows no words of Java. */
    private static String sentence(Throwable error) {
        var typed = Environment.get(Wording.TYPED);
        return typed.isEmpty() ? error.getMessage() : error.getMessage()
            .replaceFirst("^(await|parts|submit|requests|batch|options): ", typed + ": ");
    }

    private static boolean isOurs(Throwable error) {
        return error instanceof RuntimeException && error.getMessage() != null && error.getStackTrace().length > 0
            && error.getMessage().matches("(?s)[a-zA-Z]+: .*") && Stream.of(error.getStackTrace())
                .filter(frame -> !frame.getClassName().startsWith("java.")).findFirst()
                .filter(frame -> frame.getClassName().startsWith("sheaf.")).isPresent();
    }

    private static void printTrace(Thread thread, Throwable error) {
        System.err.print("Exception in thread \"" + thread.getName() + "\" ");
        error.printStackTrace();
    }

    /** Ends a script whose options ask for no more than this text. */
    static final class End extends RuntimeException {
        End(String text) { super(text); }
    }
}
