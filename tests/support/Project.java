package sheaf.support;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;

/** The folder of the project, and folders that tests leave. */
public final class Project {
    private Project() {}

    /** Returns the folder of the project: the nearest one upward from the current directory with its catalog. */
    public static Path root() {
        for (var dir = Path.of("").toAbsolutePath(); dir != null; dir = dir.getParent())
            if (Files.exists(dir.resolve("jbang-catalog.json")) && Files.exists(dir.resolve("tests/RunTests.java")))
                return dir;
        throw new IllegalStateException("tests: " + Path.of("").toAbsolutePath() + " is not in the project; cd there");
    }

    public static void deleteTree(Path dir) {
        try (var paths = Files.walk(dir)) {
            for (var path : paths.sorted(Comparator.reverseOrder()).toList()) Files.deleteIfExists(path);
        } catch (IOException | UncheckedIOException e) {
            System.err.println("test: could not delete all of " + dir + " (" + e.getMessage() + ")");
        }
    }
}
