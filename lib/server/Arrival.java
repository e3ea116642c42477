package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;

/**
 * Content on its way from a client: in memory while it is short, then in a file of its own, which goes to the disk
 * while more comes. It knows neither forms nor what the content is for.
 */
final class Arrival implements AutoCloseable {
    private static final int SHORT = 64 * 1024;           // bytes that need no file before all have come
    private static final int STRIDE = 8 * 1024 * 1024;    // bytes that are brought to the disk at once

    private final Store store;
    private final ByteArrayOutputStream held = new ByteArrayOutputStream();
    private Path path;                   // null while the content is held in memory, like the file
    private FileChannel file;
    private long length;
    private long forced;                 // bytes that are on the disk, or on their way to it
    private CompletableFuture<Void> forcing = CompletableFuture.completedFuture(null);

    Arrival(Store store) { this.store = store; }

    void write(byte[] bytes, int offset, int count) throws IOException {
        length += count;
        if (file == null && length <= SHORT) {
            held.write(bytes, offset, count);
            return;
        }
        if (file == null) open();
        write(ByteBuffer.wrap(bytes, offset, count));
        if (length - forced >= STRIDE && forcing.isDone()) forceBeside();
    }

    private void open() throws IOException {
        path = Files.createTempFile(store.incoming(), "arrival", null);
        file = FileChannel.open(path, StandardOpenOption.WRITE);
        write(ByteBuffer.wrap(held.toByteArray()));
        held.reset();
    }

    private void write(ByteBuffer bytes) throws IOException {
        while (bytes.hasRemaining())
            file.write(bytes);
    }

    /** Brings to the disk what has come so far, on another thread: else a large file would wait for that at its end. */
    private void forceBeside() throws IOException {
        settle();
        forced = length;
        forcing = CompletableFuture.runAsync(() -> {
            try {
                store.forceContent(file);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        });
    }

    /** Waits for the disk, which tells each failure but once. */
    private void settle() throws IOException {
        try {
            forcing.join();
        } catch (CompletionException e) {
            throw new IOException(Refusal.reason(e.getCause().getCause()), e);
        }
    }

    long length() { return length; }

    String text() throws IOException { return file == null ? held.toString(UTF_8) : Files.readString(path); }

    /** Makes a file of the content, all of which has come; its end is not yet sure to be on the disk. */
    void moveTo(Path target) throws IOException {
        if (file == null) {
            Files.write(target, held.toByteArray());
            return;
        }
        settle();
        file.close();
        Files.move(path, target);
    }

    /** Drops what was not moved. */
    @Override public void close() throws IOException {
        if (file == null) return;
        forcing.handle((done, failed) -> null).join();
        file.close();
        Files.deleteIfExists(path);
    }
}
