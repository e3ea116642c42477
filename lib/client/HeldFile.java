package sheaf;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.OpenOption;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.Set;

/** A file that one process, and one thread of it, holds at a time; the end of a process lets go of it, a kill too. */
record HeldFile(Path file, FileChannel channel) implements AutoCloseable {
    /** Beyond all content: on Windows no one can read or write what is locked. */
    private static final long LOCKED_BYTE = Long.MAX_VALUE - 1;
    /** By this process. Closing a file drops all its locks on it (POSIX), so what it has it does not open again. */
    private static final Set<Path> HELD = new HashSet<>();

    /** Returns null if another process or thread has it. */
    static HeldFile ifFree(Path path, OpenOption... options) throws IOException {
        var file = path.toAbsolutePath().normalize();
        synchronized (HELD) {
            if (HELD.contains(file)) return null;
            var channel = FileChannel.open(file, options);
            boolean isTaken = false;
            try {
                isTaken = isTaken(channel);
            } finally {
                if (!isTaken) channel.close();
            }
            if (!isTaken) return null;
            HELD.add(file);
            return new HeldFile(file, channel);
        }
    }

    private static boolean isTaken(FileChannel channel) throws IOException {
        try {
            return channel.tryLock(LOCKED_BYTE, 1, false) != null;
        } catch (OverlappingFileLockException anotherThread) {
            return false;
        }
    }

    @Override public void close() {
        synchronized (HELD) {
            try {
                channel.close();
                HELD.remove(file);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
    }
}
