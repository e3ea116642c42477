package sheaf.model;

import java.io.Console;
import java.io.EOFException;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.net.UnknownHostException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * This machine, as a program meets it: its settings, folders, programs, memory and terminal, and why reading or writing
 * failed. It does not know what any of them is used for.
 */
final class Machine {
    private static final Pattern MEM_AVAILABLE = Pattern.compile("(?m)^MemAvailable: +(\\d+) kB");

    private Machine() { }

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

    /** The terminal on which somebody reads and can answer, if there is one. */
    static Optional<Console> terminal() { return Optional.ofNullable(System.console()).filter(Machine::isTerminal); }

    /** From Java 22 on there may be a console without a terminal, and it says so. */
    private static boolean isTerminal(Console console) {
        try {
            return Console.class.getMethod("isTerminal").invoke(console).equals(true);
        } catch (ReflectiveOperationException before22) {
            return true;
        }
    }

    /** Returns the bytes of memory that are free for programs: as Linux says it, elsewhere half of what there is. */
    static long freeMemory() {
        var system = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        long all = system.getTotalMemorySize();   // of the container, if this is one
        return availableMemory().map(bytes -> Math.min(bytes, all)).orElse(all / 2);
    }

    private static Optional<Long> availableMemory() {
        try {
            return MEM_AVAILABLE.matcher(Files.readString(Path.of("/proc/meminfo"))).results().findFirst()
                .map(match -> Long.parseLong(match.group(1)) * 1024);
        } catch (IOException notLinux) {
            return Optional.empty();
        }
    }

    /** Returns a thread that keeps no JVM from ending. */
    static Thread daemon(Runnable task) {
        var thread = new Thread(task, "sheaf-local-model");
        thread.setDaemon(true);
        return thread;
    }

    /** Says why reading or writing failed: the messages of some exceptions are empty, or no more than a name. */
    static String reason(IOException e) {
        if (e instanceof UnknownHostException) return "unknown host " + e.getMessage();
        if (e instanceof EOFException && e.getMessage() == null) return "it ends too early";
        if (e instanceof FileSystemException) return e.getClass().getSimpleName() + " " + e.getMessage();
        return Optional.ofNullable(e.getMessage()).orElse("connection refused");
    }

    /** Returns the failure of a start that needs to write a file or folder, and could not. */
    static UncheckedIOException cannotWrite(Path file, IOException e) {
        return new UncheckedIOException("start: cannot write " + file + " (" + reason(e) + ")", e);
    }

    /** Makes an interrupt a failure that an I/O method may throw; the thread stays interrupted. */
    static InterruptedIOException interrupted() {
        Thread.currentThread().interrupt();
        return new InterruptedIOException("interrupted");
    }
}
