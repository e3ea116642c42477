package sheaf;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.jar.Attributes;
import java.util.jar.JarFile;

/** What the environment says; a system property of the same name goes first. */
final class Environment {
    private static final Map<String, String> ASKED = new ConcurrentHashMap<>();   // keys typed in, for this process

    static String get(String name) {
        var property = System.getProperty(name);
        var value = property == null ? System.getenv(name) : property;
        return value == null ? "" : value.strip();
    }

    /** Returns the folder that Sheaf keeps its own in: {@code SHEAF_HOME}, else {@code ~/.sheaf}. */
    static Path home() {
        var home = get("SHEAF_HOME");
        return home.isEmpty() ? Path.of(System.getProperty("user.home"), ".sheaf") : Path.of(home);
    }

    /**
     * Returns what the script that runs is called: what {@code SHEAF_SCRIPT} says, be it "", else its main class in
     * kebab-case; nothing where none of the user's own runs, as in JShell or by a command of Sheaf's.
     */
    static Optional<String> script() {
        var told = System.getProperty("SHEAF_SCRIPT", System.getenv("SHEAF_SCRIPT"));
        return told != null ? Optional.of(told.strip())
            : script(System.getProperty("sun.java.command", ""), System.getProperty("java.class.path", ""));
    }

    /** A script is compiled together with Sheaf; a shell, a notebook or a launcher of whatever else is not. */
    static Optional<String> script(String command, String classPath) {
        boolean isJar = !classPath.isEmpty() && (command + " ").startsWith(classPath + " ");
        try {
            var name = isJar ? mainClass(classPath) : command.replaceFirst("(?s) .*", "");
            var main = Class.forName(name, false, Environment.class.getClassLoader());
            var ours = Environment.class.getProtectionDomain().getCodeSource();
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

    /** Returns a provider's key; where none is set, one typed in, and where none is needed any. */
    static String key(String provider, String keyVariable, boolean needsNone) {
        var key = get(keyVariable);
        if (!key.matches("[\\x21-\\x7e]*"))
            throw new IllegalStateException("provider: " + keyVariable
                + " holds a character that no key has");
        if (!key.isEmpty()) return key;
        if (needsNone) return "none";
        if (!canAsk() && !ASKED.containsKey(keyVariable))
            throw new IllegalStateException("provider: no key for " + provider + "; set "
                + keyVariable);
        return ASKED.computeIfAbsent(keyVariable, variable -> ask(provider, variable));
    }

    static boolean canAsk() { return System.console() != null && get("CI").isEmpty(); }

    private static String ask(String provider, String keyVariable) {
        var typed = System.console().readPassword("Key for %s (hidden; %s is not set): ", provider,
            keyVariable);
        if (typed == null)                                 // JShell reads the terminal itself
            throw new IllegalStateException("provider: no key for " + provider + ", and none can be typed "
                + "in here; set " + keyVariable + " and start again");
        var key = new String(typed).strip();
        if (key.isEmpty())
            throw new IllegalStateException("provider: no key for " + provider + "; set "
                + keyVariable);
        return key;
    }
}
