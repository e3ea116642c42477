package sheaf.server;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;

/**
 * The processes that use the server of a store, which ends no sooner than the last of them: each shares the lock of a
 * file beside the store, and the end of a process, a kill too, gives its share back. A JVM is one process, however
 * often it uses the server, and opens the file once: closing a second channel would give back the lock of both.
 */
final class Guests implements AutoCloseable {
    private static final Duration LOOK = Duration.ofMillis(200);

    private final FileChannel channel;

    private Guests(FileChannel channel) { this.channel = channel; }

    /** Returns the file beside a store; one inside it would be the store's to delete. */
    static Path file(Path store) { return store.resolveSibling(store.getFileName() + ".guests").toAbsolutePath(); }

    /** Joins those who use the server of a store, after waiting for one that is about to end. */
    static Guests join(Path store) {
        var file = file(store);
        var joined = new Guests(opened(file));
        joined.share(file);
        return joined;
    }

    private static FileChannel opened(Path file) {
        try {
            Files.createDirectories(file.getParent());
            return FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE);
        } catch (IOException e) {
            throw HeldFolder.unusable(e);
        }
    }

    private void share(Path file) {
        try {
            channel.lock(0, Long.MAX_VALUE, true);
        } catch (OverlappingFileLockException ending) {   // a server of this JVM is
            close();
            throw new IllegalStateException("start: the server of " + file + " ends at this moment; start again");
        } catch (IOException e) {
            throw HeldFolder.unusable(e);
        }
    }

    /**
     * Waits until no other process uses the store's server; none joins before what is returned is closed. Ends sooner
     * once it is not to be waited for any more.
     */
    static Guests awaitNone(Path store, BooleanSupplier isWaiting, Runnable waits) {
        var channel = opened(file(store));
        for (boolean isTold = false; isWaiting.getAsBoolean() && !isTaken(channel); isTold = true) {
            if (!isTold) waits.run();
            LockSupport.parkNanos(LOOK.toNanos());
        }
        return new Guests(channel);
    }

    private static boolean isTaken(FileChannel channel) {
        try {
            return channel.tryLock(0, Long.MAX_VALUE, false) != null;
        } catch (IOException e) {
            throw HeldFolder.unusable(e);
        }
    }

    @Override public void close() {
        try {
            channel.close();
        } catch (IOException e) {
            throw HeldFolder.unusable(e);
        }
    }
}
