package sheaf.commands;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** A file for what passes through, such as rows that come by a pipe: only its user can read it. */
final class Scratch {
    private Scratch() {}

    /** Returns a file of this name in a folder of its own, which is gone when the command ends. */
    static Path file(String name) throws IOException {
        var folder = Files.createTempDirectory("sheaf-ask");
        folder.toFile().deleteOnExit();
        folder.resolve(name).toFile().deleteOnExit();
        return folder.resolve(name);
    }
}
