package sheaf;

import static java.nio.file.StandardOpenOption.CREATE_NEW;
import static java.nio.file.StandardOpenOption.READ;
import static java.nio.file.StandardOpenOption.WRITE;
import static sheaf.Messages.cannot;

import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.UUID;

/**
 * Changes files whole or not at all, and has them on the disk; what a killed process left of a change is swept up by
 * the next one. It knows nothing of what is in them.
 */
final class AtomicFiles {
    interface Content<T> {
        void writeTo(T target) throws IOException;
    }

    private static final int UNIQUE = 8;                   // hex digits
    private static final boolean HAS_MODES = FileSystems.getDefault().supportedFileAttributeViews().contains("posix");

    /** Writes beside the file, under a name that no other process uses, and renames. */
    static void write(String word, Path file, Content<FileChannel> content) {
        var target = file.toAbsolutePath();
        sweep(target);
        try (var staged = stage(target)) {
            try {
                content.writeTo(staged.channel());
                staged.channel().force(true);
                keepMode(target, staged.file());
                Files.move(staged.file(), target, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE);
                force(target.getParent());
            } finally {
                staged.file().toFile().delete();
            }
        } catch (IOException e) {
            throw cannot(word, "write " + file, e);
        }
    }

    static void stream(String word, Path file, Content<OutputStream> content) {
        write(word, file, staged -> {
            var out = new BufferedOutputStream(Channels.newOutputStream(staged), 1 << 16) {
                @Override public void close() throws IOException { flush(); }      // the lock goes with the file
            };
            content.writeTo(out);
            out.flush();
        });
    }

    /** Makes a file that is held while it is written: whoever finds it free may delete it. */
    private static HeldFile stage(Path target) throws IOException {
        while (true) {
            var unique = UUID.randomUUID().toString().substring(0, UNIQUE);
            var staged = hold(target.resolveSibling("." + target.getFileName() + "." + unique));
            if (staged != null && Files.exists(staged.file())) return staged;
            if (staged != null) staged.close();            // deleted before it was held
        }
    }

    private static HeldFile hold(Path file) throws IOException {
        try {
            return HeldFile.ifFree(file, CREATE_NEW, READ, WRITE);
        } catch (IOException e) {
            if (!Files.exists(file)) throw e;
            return new HeldFile(file, FileChannel.open(file, READ, WRITE));      // no locks here, and so no sweep
        }
    }

    /** Deletes what was to become this file, and that no one writes any more. */
    private static void sweep(Path target) {
        var start = "." + target.getFileName() + ".";
        try (var files = Files.newDirectoryStream(target.getParent(), file -> isStaged(file, start))) {
            for (var file : files) sweepOne(file);
        } catch (IOException | DirectoryIteratorException notHere) {
            // nothing is found in a folder that cannot be read
        }
    }

    private static boolean isStaged(Path file, String start) {
        var name = file.getFileName().toString();
        return name.startsWith(start) && name.substring(start.length()).matches("[0-9a-f]{" + UNIQUE + "}");
    }

    private static void sweepOne(Path file) {
        try (var held = HeldFile.ifFree(file, WRITE, LinkOption.NOFOLLOW_LINKS)) {
            if (held != null) Files.deleteIfExists(file);
        } catch (IOException anothers) {
            // it stays
        }
    }

    /** A file that its user keeps private stays so. */
    private static void keepMode(Path before, Path after) {
        if (!HAS_MODES || !Files.exists(before)) return;
        try {
            Files.setPosixFilePermissions(after, Files.getPosixFilePermissions(before));
        } catch (IOException | UnsupportedOperationException notHere) {
            // some disks have no modes
        }
    }

    /** Makes a folder, if it is not there, that only its user may read: prompts are private. */
    static Path privateFolder(Path folder) throws IOException {
        if (Files.isDirectory(folder)) return folder;
        return HAS_MODES ? Files.createDirectories(folder, PosixFilePermissions.asFileAttribute(
            PosixFilePermissions.fromString("rwx------"))) : Files.createDirectories(folder);
    }

    /** Adds a line that is on disk when this returns; after a torn line it begins a new one. */
    static void append(Path file, byte[] line) {
        boolean isNew = !Files.exists(file);
        try (var channel = FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.APPEND)) {
            var bytes = ByteBuffer.allocate(line.length + 1);
            if (isTorn(file)) bytes.put((byte) '\n');
            bytes.put(line).flip();
            while (bytes.hasRemaining()) channel.write(bytes);
            channel.force(true);
            if (isNew) force(file.toAbsolutePath().getParent());
        } catch (IOException e) {
            throw cannot("journal", "write " + file, e);
        }
    }

    private static boolean isTorn(Path file) throws IOException {
        try (var channel = FileChannel.open(file)) {
            return channel.size() > 0 && last(channel) != '\n';
        }
    }

    static byte last(FileChannel channel) throws IOException {
        var last = ByteBuffer.allocate(1);
        channel.read(last, channel.size() - 1);
        return last.get(0);
    }

    /** Has what a folder holds on the disk, so that a power cut leaves no file of it empty. */
    static void forceAll(Path folder) throws IOException {
        try (var files = Files.newDirectoryStream(folder)) {
            for (var file : files)
                try (var channel = FileChannel.open(file, WRITE)) {
                    channel.force(true);
                }
        }
        force(folder);
    }

    /** Has the names in a folder on the disk; not every system lets a folder be opened. */
    static void force(Path folder) {
        try (var channel = FileChannel.open(folder)) {
            channel.force(true);
        } catch (IOException notHere) {
            // the names reach the disk a little later
        }
    }

    static void delete(Path file) {
        try {
            Files.deleteIfExists(file);
        } catch (IOException e) {
            throw cannot("journal", "delete " + file, e);
        }
    }

    static void deleteFolder(Path folder) throws IOException {
        try (var files = Files.newDirectoryStream(folder)) {
            for (var file : files) Files.deleteIfExists(file);
        } catch (NoSuchFileException another) {
            return;
        }
        Files.deleteIfExists(folder);
    }
}
