package sheaf;

import static sheaf.Messages.cannot;

import java.io.FilterOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * Writes files for a user, and knows which of them batches of this name wrote: those are written again as long as
 * nobody has changed them, and others are not. What is known stands in {@code ~/.sheaf/written}, a file for each.
 * @param formerName what an earlier Sheaf called the same draft, whose files it may write too; "" for none
 */
record Written(String name, String formerName, boolean overwrites) {
    Written(String name) { this(name, "", false); }

    /** Returns the same, but for any file, whoever wrote it. */
    Written overwriting() { return new Written(name, formerName, true); }

    /**
     * Writes a file whole or not at all; {@code word} is the step, for messages.
     * @throws IllegalStateException if it is another's, and is not the same already; then it stays
     */
    void write(String word, Path file, AtomicFiles.Content<OutputStream> content) {
        var target = target(word, file);
        try (var turn = new Turn(word)) {
            AtomicFiles.stream(word, target, out -> {
                var copy = new Summed(out);
                try (var relay = new Relay(copy)) {        // digested and written beside whoever makes it
                    content.writeTo(relay);
                }
                turn.begin();
                claim(word, file, target, copy.sum());
            });
        }
    }

    /**
     * Refuses a file that {@link #write} would refuse, unless it is just what would be written.
     * @throws IllegalStateException if it is another's
     */
    void check(String word, Path file) {
        try {
            var key = key(target(word, file));
            var now = now(key);
            if (!now.equals(Sum.NONE)) checkOwner(word, file, Entry.of(key), now, Wording.MOVE);
        } catch (IOException e) {
            throw cannot(word, "read " + file, e);
        }
    }

    /** A link stays one: what it leads to is written. */
    private static Path target(String word, Path file) {
        if (Files.isDirectory(file))
            throw new IllegalArgumentException(word + ": " + file + " is a folder; name a file in it");
        if (Files.exists(file) && !Files.isRegularFile(file))
            throw new IllegalArgumentException(word + ": " + file + " is no file that can be replaced; name another");
        try {
            return Files.isSymbolicLink(file) && Files.exists(file) ? file.toRealPath() : file;
        } catch (IOException e) {
            throw cannot(word, "read " + file, e);
        }
    }

    /** Returns the path that a file has, however it was named. */
    private static Path key(Path target) throws IOException {
        if (Files.exists(target)) return target.toRealPath();
        var path = target.toAbsolutePath().normalize();
        return path.getParent().toRealPath().resolve(path.getFileName());
    }

    /**
     * Writes down whose the file is, just before it takes its place. What stands there until then is named too, so that
     * it is known whether or not this process lives to see it replaced.
     */
    private void claim(String word, Path file, Path target, Sum next) throws IOException {
        var key = key(target);
        var now = now(key);
        var entry = Entry.of(key);
        if (!List.of(next, Sum.NONE).contains(now)) checkOwner(word, file, entry, now, Wording.MOVE_AND_RUN_AGAIN);
        if (entry.isEmpty()) Entry.sweep();
        new Entry(key.toString(), name, Stream.of(next, now).distinct().toList()).write(word);
    }

    private Sum now(Path key) throws IOException { return overwrites ? Sum.NONE : Sum.of(key); }

    private void checkOwner(String word, Path file, Optional<Entry> entry, Sum now, Wording remedy) {
        boolean isOurs = entry.map(known -> family(String.valueOf(known.name)))
            .filter(owner -> owner.equals(family(name)) || owner.equals(formerName)).isPresent();
        if (isOurs && entry.get().sums.contains(now)) return;
        throw new IllegalStateException(word + ": " + file + (isOurs ? " was changed since it was written"
            : " exists, and no batch named " + name + " wrote it") + "; " + remedy);
    }

    /** A retry's results stand for those of the batch that it is of, and so do another provider's. */
    private static String family(String name) { return name.replaceFirst("(-retry|-elsewhere)+$", ""); }

    /** What is known of a file: the content that it is to have, and the one before. */
    record Entry(String path, String name, List<Sum> sums) {
        Entry {
            sums = sums == null ? List.of() : sums;
        }

        private static Path folder() { return Environment.home().resolve("written"); }

        private static Path file(String path) { return folder().resolve(Json.Digest.shortHex(path) + ".json"); }

        static Optional<Entry> of(Path key) {
            return read(file(key.toString())).filter(entry -> key.toString().equals(entry.path));
        }

        /** One that is damaged says nothing. */
        private static Optional<Entry> read(Path file) {
            try {
                return Files.exists(file) ? Optional.of(Json.read(file, Entry.class)) : Optional.empty();
            } catch (UncheckedIOException damaged) {
                return Optional.empty();
            }
        }

        void write(String word) { AtomicFiles.stream(word, file(path), out -> out.write(Json.pretty(this))); }

        /** Forgets files that are gone; one whose folder is gone too may be on a disk that is not here now. */
        static void sweep() throws IOException {
            try (var files = Files.newDirectoryStream(folder(), "*.json")) {
                for (var file : files)
                    if (read(file).filter(entry -> !entry.isGone()).isEmpty()) Files.deleteIfExists(file);
            }
        }

        private boolean isGone() {
            return path == null || Files.notExists(Path.of(path)) && Files.exists(Path.of(path).getParent());
        }
    }

    /** How long a content is, in bytes, and its digest. */
    record Sum(long bytes, String sha256) {
        /** Of no file, or of one without content, which nobody would miss. */
        static final Sum NONE = new Sum(0, "");

        static Sum of(Path file) throws IOException {
            if (Files.notExists(file) || Files.size(file) == 0) return NONE;
            try (var in = Files.newInputStream(file)) {
                var copy = new Summed(OutputStream.nullOutputStream());
                in.transferTo(copy);
                return copy.sum();
            }
        }
    }

    /** Sums up what passes. */
    private static final class Summed extends FilterOutputStream {
        private final Json.Digest digest = new Json.Digest();
        private long bytes;

        Summed(OutputStream out) { super(out); }

        @Override public void write(byte[] buffer, int offset, int length) throws IOException {
            out.write(buffer, offset, length);
            digest.add(buffer, offset, length);
            bytes += length;
        }

        @Override public void write(int b) throws IOException { write(new byte[] {(byte) b}, 0, 1); }

        Sum sum() { return bytes == 0 ? Sum.NONE : new Sum(bytes, digest.hex()); }
    }

    /** From the look at what is there until it is replaced no other process, and no other thread, does the same. */
    private static final class Turn implements AutoCloseable {
        private final String word;
        private FolderLock lock;

        Turn(String word) { this.word = word; }

        void begin() {
            try {
                lock = FolderLock.on(AtomicFiles.privateFolder(Entry.folder()), note -> {});
            } catch (IOException e) {
                throw cannot(word, "write to " + Environment.home(), e);
            }
        }

        @Override public void close() {
            if (lock != null) lock.close();
        }
    }
}
