package sheaf;

import static sheaf.Messages.reason;

import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.UUID;

/** Changes files whole or not at all, and has them on the disk. It knows nothing of what is in them. */
final class AtomicFiles {
    interface Content<T> {
        void writeTo(T target) throws IOException;
    }

    /** Writes beside the file, under a name that no other process uses, and renames. */
    static void write(String word, Path file, Content<Path> content) {
        var target = file.toAbsolutePath();
        var unique = UUID.randomUUID().toString().substring(0, 8);
        var staged = target.resolveSibling("." + target.getFileName() + "." + unique);
        try {
            content.writeTo(staged);
            try (var channel = FileChannel.open(staged, StandardOpenOption.WRITE)) {
                channel.force(true);
            }
            Files.move(staged, target, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE);
            force(target.getParent());
        } catch (IOException e) {
            throw new UncheckedIOException(word + ": cannot write " + file + " (" + reason(e) + ")", e);
        } finally {
            staged.toFile().delete();
        }
    }

    static void stream(String word, Path file, Content<OutputStream> content) {
        write(word, file, staged -> {
            try (var out = new BufferedOutputStream(Files.newOutputStream(staged), 1 << 16)) {
                content.writeTo(out);
            }
        });
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
            throw new UncheckedIOException("journal: cannot write " + file + " (" + reason(e) + ")", e);
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
                try (var channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
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
            throw new UncheckedIOException("journal: cannot delete " + file + " (" + reason(e) + ")", e);
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
