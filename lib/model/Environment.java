package sheaf.model;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.stream.Stream;

/** What this machine says of itself: its settings, folders and programs. It does not know what they are used for. */
final class Environment {
    private Environment() { }

    /** Reads a setting; a system property comes before the variable of the same name, and blank counts as not set. */
    static Optional<String> setting(String name) {
        return Optional.ofNullable(System.getProperty(name, System.getenv(name))).filter(value -> !value.isBlank());
    }

    /** Whether a setting says yes, in one of the words that huggingface_hub takes for it. */
    static boolean isOn(String name) {
        return setting(name).filter(value -> value.matches("(?i)1|on|yes|true")).isPresent();
    }

    /** The user's own folder. */
    static Path home() { return Path.of(System.getProperty("user.home")); }

    /** The folder where programs keep what they can fetch again. */
    static Path userCache() {
        return setting("XDG_CACHE_HOME").map(Path::of).orElseGet(() -> home().resolve(".cache"));
    }

    /** Sheaf's own part of the user's cache: weights, and the engine's library. */
    static Path sheafCache() {
        return setting("SHEAF_CACHE").map(Path::of).orElseGet(() -> userCache().resolve("sheaf"));
    }

    /** Finds a program on the PATH. */
    static Optional<Path> program(String name) {
        boolean windows = System.getProperty("os.name").startsWith("Windows");
        return Stream.of(setting("PATH").orElse("").split(System.getProperty("path.separator")))
            .filter(folder -> !folder.isEmpty())
            .map(folder -> Path.of(folder, windows ? name + ".exe" : name))
            .filter(Files::isExecutable)
            .findFirst();
    }
}
