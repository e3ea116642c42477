package sheaf;

import static sheaf.Messages.reason;

import java.io.BufferedOutputStream;
import java.io.Closeable;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.MappedByteBuffer;
import java.nio.channels.ClosedByInterruptException;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Function;

/** Where lines stand: 16 bytes a line (file, length, offset), mapped, so that ten million lines need no heap. */
final class LineIndex {
    private static final int ENTRY = 16;
    private final ByteBuffer entries;
    private final Function<Integer, Path> files;
    /** Closed by the garbage collector: results have no end that a script would tell. */
    private final Map<Integer, FileChannel> open = new ConcurrentHashMap<>();

    LineIndex(Path index, Function<Integer, Path> files) {
        this.files = files;
        try (var channel = FileChannel.open(index)) {
            entries = channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size());
        } catch (IOException e) {
            throw new UncheckedIOException("journal: cannot read " + index + " (" + reason(e) + ")", e);
        }
    }

    long size() { return entries.capacity() / ENTRY; }

    int file(long line) { return entries.getInt((int) line * ENTRY); }

    /** Returns a line of an index that has an entry for each. */
    String text(long line) { return line(line).orElseThrow(); }

    /** Returns the line, or nothing if none has its entry here. */
    Optional<String> line(long line) {
        int at = (int) line * ENTRY;
        var bytes = ByteBuffer.allocate(entries.getInt(at + 4));
        if (bytes.capacity() == 0) return Optional.empty();
        int file = entries.getInt(at);
        try {
            while (!read(file, entries.getLong(at + 8), bytes.clear())) open.remove(file);
        } catch (ClosedByInterruptException e) {
            throw new IllegalStateException("results: interrupted", e);
        } catch (IOException e) {
            throw new UncheckedIOException("journal: cannot read " + files.apply(file) + " (" + reason(e) + ")", e);
        }
        return Optional.of(new String(bytes.array(), StandardCharsets.UTF_8));
    }

    /** Returns false if the file was closed meanwhile, because a thread that read it too was interrupted. */
    private boolean read(int file, long offset, ByteBuffer bytes) throws IOException {
        try {
            readFully(open.computeIfAbsent(file, this::open), offset, bytes);
            return true;
        } catch (ClosedByInterruptException e) {
            throw e;
        } catch (ClosedChannelException e) {
            return false;
        }
    }

    private static void readFully(FileChannel channel, long offset, ByteBuffer bytes) throws IOException {
        for (int read; bytes.hasRemaining(); offset += read) {
            read = channel.read(bytes, offset);
            if (read < 0) throw new EOFException("the file is shorter than its index says");
        }
    }

    private FileChannel open(int file) {
        try {
            return FileChannel.open(files.apply(file));
        } catch (IOException e) {
            throw new UncheckedIOException("journal: cannot read " + files.apply(file) + " (" + reason(e) + ")", e);
        }
    }

    /** Notes lines in order. */
    record InOrder(DataOutputStream out) implements Closeable {
        InOrder(Path index) throws IOException {
            this(new DataOutputStream(new BufferedOutputStream(Files.newOutputStream(index), 1 << 16)));
        }

        void add(int file, int length, long offset) throws IOException {
            out.writeInt(file);
            out.writeInt(length);
            out.writeLong(offset);
        }

        @Override public void close() throws IOException { out.close(); }
    }

    /** Notes lines in any order, each once. */
    record AnyOrder(MappedByteBuffer entries) implements Closeable {
        AnyOrder(FileChannel index, long lines) throws IOException {
            this(index.map(FileChannel.MapMode.READ_WRITE, 0, lines * ENTRY));
        }

        /** Returns false if the line has an entry already. */
        boolean put(long line, int file, int length, long offset) {
            int at = (int) line * ENTRY;
            if (entries.getInt(at + 4) != 0) return false;
            entries.putInt(at, file).putInt(at + 4, length).putLong(at + 8, offset);
            return true;
        }

        @Override public void close() { entries.force(); }
    }
}
