package sheaf;

import static sheaf.Messages.cannot;

import java.io.IOException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.function.Consumer;

/** Keeps two processes, or threads, from changing the same folder at once. */
record FolderLock(HeldFile held) implements AutoCloseable {
    private static final Duration PAUSE = Duration.ofMillis(50);
    private static final int SILENT_TRIES = 40;             // two seconds

    /** Waits until no other process or thread has it, and says so if that takes long. */
    static FolderLock on(Path dir, Consumer<String> note) {
        try {
            for (int attempt = 1; ; attempt++) {
                var lock = ifFree(dir);
                if (lock != null) return lock;
                if (attempt == SILENT_TRIES)
                    note.accept("another process is at work on " + dir.getFileName() + "; waiting for it");
                Retry.sleep("submit", PAUSE);
            }
        } catch (IOException e) {
            throw cannot("submit", "lock " + file(dir), e);
        }
    }

    /** Stays when a journal goes: others may wait for it, and would not see that they lock another file. */
    static Path file(Path dir) { return dir.resolveSibling("." + dir.getFileName() + ".lock"); }

    /** Returns null if another process or thread has it. */
    static FolderLock ifFree(Path dir) throws IOException {
        var held = HeldFile.ifFree(file(dir), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
        return held == null ? null : new FolderLock(held);
    }

    @Override public void close() { held.close(); }
}
