package sheaf.server;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.Comparator;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.locks.LockSupport;

/**
 * A folder that one server at a time holds, and in which it says where it listens. It knows nothing of what else the
 * server keeps there.
 */
final class HeldFolder implements AutoCloseable {
    private static final Duration PATIENCE = Duration.ofSeconds(5);    // with a server that is about to listen
    /** Those that this JVM holds, because closing a lock file that is open twice would free it for both. */
    private static final Set<Path> HELD = ConcurrentHashMap.newKeySet();

    final Path path;
    final boolean isTemporary;       // the folder is deleted when the server closes
    private final FileChannel lock;

    private HeldFolder(Path path, boolean isTemporary, FileChannel lock) {
        this.path = path;
        this.isTemporary = isTemporary;
        this.lock = lock;
    }

    /** Takes hold of a folder, or returns nothing if another server holds it already. */
    static Optional<HeldFolder> open(Path path) {
        try {
            createPrivate(path);
            return open(path.toRealPath(), false);
        } catch (IOException e) {
            throw unusable(e);
        }
    }

    static HeldFolder temporary() {
        try {
            return open(Files.createTempDirectory("sheaf-server").toRealPath(), true).orElseThrow();
        } catch (IOException e) {
            throw unusable(e);
        }
    }

    private static Optional<HeldFolder> open(Path path, boolean isTemporary) throws IOException {
        if (!HELD.add(path)) return Optional.empty();
        FileChannel lock = null;
        try {
            lock = FileChannel.open(path.resolve("lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
            if (lock.tryLock() != null) {
                Files.deleteIfExists(path.resolve("url"));
                return Optional.of(new HeldFolder(path, isTemporary, lock));
            }
        } catch (IOException | RuntimeException e) {
            letGo(path, lock);
            throw e;
        }
        letGo(path, lock);
        return Optional.empty();
    }

    private static void letGo(Path path, FileChannel lock) throws IOException {
        HELD.remove(path);
        if (lock != null) lock.close();
    }

    private static void createPrivate(Path path) throws IOException {
        if (Files.exists(path)) {
            checkOurs(path);
            return;
        }
        Files.createDirectories(path);
        if (path.getFileSystem().supportedFileAttributeViews().contains("posix"))
            Files.setPosixFilePermissions(path, PosixFilePermissions.fromString("rwx------"));
    }

    /** Refuses a folder with anything but a store in it, because a store deletes what it does not know. */
    private static void checkOurs(Path path) throws IOException {
        try (var inside = Files.list(path)) {
            if (!Files.exists(path.resolve("lock")) && inside.findAny().isPresent())
                throw new IllegalStateException("start: " + path
                    + " is not empty and no store of a server; choose another folder");
        }
    }

    /** Writes where the server listens for other processes that want this folder, and returns it. */
    String announce(String url) {
        try {
            var draft = Files.writeString(path.resolve("url.new"), url);
            Files.move(draft, path.resolve("url"), StandardCopyOption.ATOMIC_MOVE);
            return url;
        } catch (IOException e) {
            throw unusable(e);
        }
    }

    /** Returns where the server that holds a folder listens, and waits if that one is about to start. */
    static String awaitUrl(Path path) {
        long end = System.nanoTime() + PATIENCE.toNanos();
        while (true) {
            try {
                return Files.readString(path.resolve("url"));
            } catch (IOException notYet) {
                if (System.nanoTime() > end)
                    throw new IllegalStateException("start: the server that holds " + path
                        + " does not say where it listens; end its process");
                LockSupport.parkNanos(PATIENCE.toNanos() / 100);
            }
        }
    }

    /** Takes back what {@link #announce} wrote. */
    void withdraw() {
        try {
            Files.deleteIfExists(path.resolve("url"));
        } catch (IOException e) {
            throw unusable(e);
        }
    }

    @Override public void close() {
        try {
            lock.close();
        } catch (IOException e) {
            throw unusable(e);
        }
        if (isTemporary) deleteTree(path);
        HELD.remove(path);
    }

    static void deleteTree(Path path) {
        if (!Files.exists(path)) return;
        try (var tree = Files.walk(path)) {
            for (var each : tree.sorted(Comparator.reverseOrder()).toList())
                Files.deleteIfExists(each);
        } catch (IOException e) {
            throw unusable(e);
        }
    }

    static UncheckedIOException unusable(Exception e) {
        return new UncheckedIOException("store: cannot be used (" + e.getMessage() + ")", new IOException(e));
    }
}
