package sheaf;

import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Objects;
import java.util.Optional;
import java.util.stream.Stream;

/** What the environment says; a system property of the same name goes first. */
final class Environment {
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
}
