package sheaf;

import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Stream;

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

    /** Returns how JBang was called: what a next command begins with. */
    static String launcher() {
        var launcher = get("SHEAF_LAUNCHER");
        return launcher.isEmpty() ? "./jbang" : launcher;
    }

    /** Returns the program that runs Sheaf's commands: the one that ran this, or else the one of the folder here. */
    static Optional<Path> program() {
        var told = System.getProperty("SHEAF_LAUNCHER", System.getenv("SHEAF_LAUNCHER"));
        if (told != null)
            return Optional.of(told.strip().replaceAll("^'|'$", "")).filter(said -> !said.isEmpty()).map(Path::of);
        var name = File.separatorChar == '/' ? "jbang" : "jbang.cmd";
        return Stream.iterate(Path.of("").toAbsolutePath(), Objects::nonNull, Path::getParent)
            .filter(dir -> Files.exists(dir.resolve("lib/BatchServer.java"))).map(dir -> dir.resolve(name))
            .filter(Files::isExecutable).findFirst();
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
