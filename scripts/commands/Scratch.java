package sheaf.commands;

import static java.nio.file.LinkOption.NOFOLLOW_LINKS;

import java.io.IOException;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Pattern;

/** A file for what passes through, such as rows that come by a pipe: only its user can read it. */
final class Scratch {
    private static final Pattern FOLDER = Pattern.compile("sheaf-([0-9]{1,18})-[0-9]+");     // with its process's id

    private Scratch() {}

    /** Returns a file of this name in a folder of its own, which is gone when the command ends. */
    static Path file(String name) throws IOException {
        var folder = Files.createTempDirectory("sheaf-" + ProcessHandle.current().pid() + "-");
        sweep(folder);
        folder.toFile().deleteOnExit();
        folder.resolve(name).toFile().deleteOnExit();
        return folder.resolve(name);
    }

    /** Deletes what killed commands left beside this folder; only what is its user's own, for a link may be a trap. */
    private static void sweep(Path ours) throws IOException {
        var user = Files.getOwner(ours);
        try (var folders = Files.newDirectoryStream(ours.getParent(), Scratch::isAbandoned)) {
            for (var folder : folders) if (Files.getOwner(folder, NOFOLLOW_LINKS).equals(user)) delete(folder);
        } catch (IOException | DirectoryIteratorException another) {
            // who sweeps at the same time
        }
    }

    private static boolean isAbandoned(Path folder) {
        var named = FOLDER.matcher(folder.getFileName().toString());
        return named.matches() && Files.isDirectory(folder, NOFOLLOW_LINKS)
            && ProcessHandle.of(Long.parseLong(named.group(1))).isEmpty();
    }

    private static void delete(Path folder) throws IOException {
        try (var files = Files.newDirectoryStream(folder)) {
            for (var file : files) Files.delete(file);
        }
        Files.delete(folder);
    }
}
