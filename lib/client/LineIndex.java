package sheaf;

import static sheaf.Messages.cannot;

import java.io.BufferedOutputStream;
import java.io.Closeable;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.MappedByteBuffer;
import java.nio.channels.ClosedByInterruptException;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;

/** Where lines stand: 16 bytes a line (file, length, offset), mapped, so that ten million lines need no heap. */
final class LineIndex {
    private static final int ENTRY = 16;
    private static final int MOST_OPEN = 16;               // files; lines are mostly asked for in order
    private final Entries entries;
    private final Function<Integer, Path> files;
    private final Map<Integer, Window> open = new LinkedHashMap<>(MOST_OPEN, 0.75f, true);   // read last is last

    LineIndex(Path index, Function<Integer, Path> files) {
        this.files = files;
        try (var channel = FileChannel.open(index)) {
            entries = new Entries(channel, FileChannel.MapMode.READ_ONLY, channel.size() / ENTRY);
        } catch (IOException e) {
            throw cannot("journal", "read " + index, e);
        }
    }

    long size() { return entries.lines; }

    int file(long line) { return entries.of(line).getInt(Entries.at(line)); }

    /** Returns a line of an index that has an entry for each. */
    String text(long line) { return new String(bytes(line).orElseThrow(), StandardCharsets.UTF_8); }

    /** Returns the bytes of a line, or nothing if none has its entry here. Threads may ask at once. */
    synchronized Optional<byte[]> bytes(long line) {
        var entry = entries.of(line);
        int at = Entries.at(line);
        int length = entry.getInt(at + 4);
        if (length == 0) return Optional.empty();
        int file = entry.getInt(at);
        try {
            if (Thread.currentThread().isInterrupted()) throw new ClosedByInterruptException();
            var bytes = read(file, entry.getLong(at + 8), length);
            while (bytes == null) bytes = read(file, entry.getLong(at + 8), length);
            return Optional.of(bytes);
        } catch (ClosedByInterruptException e) {
            throw new IllegalStateException("results: interrupted", e);
        } catch (IOException e) {
            throw cannot("journal", "read " + files.apply(file), e);
        }
    }

    /** Returns null if the file was closed, because a thread that read it was interrupted. */
    private byte[] read(int file, long offset, int length) throws IOException {
        try {
            var window = open.get(file);
            if (window == null) open.put(file, window = open(file));
            return window.read(offset, length);
        } catch (ClosedChannelException e) {
            open.remove(file);
            if (e instanceof ClosedByInterruptException) throw e;
            return null;
        }
    }

    /** Opens a file, in the place of the one that was read longest ago if that is one too many. */
    private Window open(int file) throws IOException {
        if (open.size() == MOST_OPEN) {
            var oldest = open.values().iterator();
            oldest.next().channel.close();
            oldest.remove();
        }
        try {
            return new Window(FileChannel.open(files.apply(file)));
        } catch (IOException e) {
            throw cannot("journal", "read " + files.apply(file), e);
        }
    }

    /** The entries of an index, mapped in pieces, for one of more than 134 million lines is larger than a buffer. */
    private static final class Entries {
        private static final int PIECE_BITS = 26;              // a gigabyte
        private static final int PIECE = 1 << PIECE_BITS;
        private final MappedByteBuffer[] pieces;
        private final long lines;

        Entries(FileChannel index, FileChannel.MapMode mode, long lines) throws IOException {
            this.lines = lines;
            pieces = new MappedByteBuffer[(int) ((lines + PIECE - 1) / PIECE)];
            for (int i = 0; i < pieces.length; i++) {
                long first = (long) i * PIECE;
                pieces[i] = index.map(mode, first * ENTRY, Math.min(PIECE, lines - first) * ENTRY);
            }
        }

        MappedByteBuffer of(long line) { return pieces[(int) (line >> PIECE_BITS)]; }

        static int at(long line) { return (int) (line & PIECE - 1) * ENTRY; }
    }

    /** A file that is being read, and what was read of it last: lines in order are read many at once. */
    private static final class Window {
        private static final int AHEAD = 1 << 16;              // bytes
        /** Closed by the garbage collector: results have no end that a script would tell. */
        private final FileChannel channel;
        private ByteBuffer bytes = ByteBuffer.allocate(0);
        private long start;                                    // where in the file these begin

        Window(FileChannel channel) { this.channel = channel; }

        byte[] read(long offset, int length) throws IOException {
            if (offset < start || offset + length > start + bytes.limit()) fill(offset, length);
            var line = new byte[length];
            bytes.get((int) (offset - start), line);
            return line;
        }

        /** Whoever goes on where the last reading ended, or a little behind, goes on so. */
        private void fill(long offset, int length) throws IOException {
            boolean isNear = offset >= start && offset - start - bytes.limit() < AHEAD;
            int size = isNear ? Math.max(AHEAD, length) : length;
            if (bytes.capacity() != size) bytes = ByteBuffer.allocate(size);
            bytes.clear();
            start = offset;
            while (bytes.hasRemaining() && channel.read(bytes, offset + bytes.position()) >= 0) continue;
            bytes.flip();
            if (bytes.limit() < length) throw new EOFException("the file is shorter than its index says");
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
    record AnyOrder(Entries entries) implements Closeable {
        AnyOrder(FileChannel index, long lines) throws IOException {
            this(new Entries(index, FileChannel.MapMode.READ_WRITE, lines));
        }

        /** Returns false if the line has an entry already. */
        boolean put(long line, int file, int length, long offset) {
            var entry = entries.of(line);
            int at = Entries.at(line);
            if (entry.getInt(at + 4) != 0) return false;
            entry.putInt(at, file).putInt(at + 4, length).putLong(at + 8, offset);
            return true;
        }

        @Override public void close() {
            for (var piece : entries.pieces) piece.force();
        }
    }
}
