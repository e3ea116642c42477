package sheaf.server;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.locks.LockSupport;

/**
 * Those in other processes that use the server of a store, which ends no sooner than the last of them: each shares the
 * lock of a file beside the store, and the end of a process, a kill too, gives its share back.
 */
final class Guests implements AutoCloseable {
    private static final Duration LOOK = Duration.ofMillis(200);
    /** Of this JVM, by file: closing one that is open twice would give back the lock of both. */
    private static final Map<Path, Guests> HERE = new HashMap<>();

    private final Path file;
    private final FileChannel channel;
    private int count = 1;       // in this JVM; guarded by HERE

    private Guests(Path file, FileChannel channel) {
        this.file = file;
        this.channel = channel;
    }

    /** Returns the file beside a store; one inside it would be the store's to delete. */
    static Path file(Path store) { return store.resolveSibling(store.getFileName() + ".guests").toAbsolutePath(); }

    /** Joins those who use the server of a store, after waiting for one that is about to end. */
    static Guests join(Path store) {
        synchronized (HERE) {
            var file = file(store);
            var here = HERE.get(file);
            if (here != null) {
                here.count++;
                return here;
            }
            var joined = new Guests(file, opened(file));
            joined.share();
            HERE.put(file, joined);
            return joined;
        }
    }

    private static FileChannel opened(Path file) {
        try {
            Files.createDirectories(file.getParent());
            return FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE);
        } catch (IOException e) {
            throw HeldFolder.unusable(e);
        }
    }

    private void share() {
        try {
            channel.lock(0, Long.MAX_VALUE, true);
        } catch (OverlappingFileLockException ending) {   // a server of this JVM is
            throw new IllegalStateException("start: the server of " + file + " ends at this moment; start again");
        } catch (IOException e) {
            throw HeldFolder.unusable(e);
        }
    }

    /** Waits until no other process uses the store's server; none joins before what is returned is closed. */
    static Guests awaitNone(Path store, Runnable waits) {
        var channel = opened(file(store));
        for (boolean isTold = false; !isTaken(channel) && !Thread.currentThread().isInterrupted(); isTold = true) {
            if (!isTold) waits.run();
            LockSupport.parkNanos(LOOK.toNanos());
        }
        return new Guests(file(store), channel);
    }

    /** Returns whether all of the file is this process's, also where another server of it, or a guest, has it. */
    private static boolean isTaken(FileChannel channel) {
        try {
            return channel.tryLock(0, Long.MAX_VALUE, false) != null;
        } catch (OverlappingFileLockException ours) {
            return true;
        } catch (IOException e) {
            throw HeldFolder.unusable(e);
        }
    }

    @Override public void close() {
        synchronized (HERE) {
            if (--count > 0) return;
            HERE.remove(file, this);
            try {
                channel.close();
            } catch (IOException e) {
                throw HeldFolder.unusable(e);
            }
        }
    }
}
