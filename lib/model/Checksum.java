package sheaf.model;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/** What tells a large file from all others: the SHA-256 of all of it, or of enough of it. */
record Checksum(FileChannel file, MessageDigest digest) {
    static final long HEAD = 16L << 20;      // bytes
    static final int PAGES = 2048;
    static final long PAGE = 4096;           // bytes
    private static final int BUFFER = 1 << 16;

    private Checksum(FileChannel file) { this(file, newSha256()); }

    private static MessageDigest newSha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);   // every Java platform has it
        }
    }

    /** Returns the SHA-256 of a file, in hexadecimal. */
    static String sha256(Path file) throws IOException {
        try (var channel = FileChannel.open(file)) {
            var sum = new Checksum(channel);
            sum.add(0, channel.size());
            return sum.toString();
        }
    }

    /**
     * Returns what tells a file of weights from others in a moment, however large: the digest of its size, of its head,
     * with the tokenizer and the chat template, and of pages so close to each other that each large tensor has one.
     */
    static String fingerprint(Path file) {
        try (var channel = FileChannel.open(file)) {
            var sum = new Checksum(channel);
            sum.digest.update(ByteBuffer.allocate(Long.BYTES).putLong(channel.size()).flip());
            sum.add(0, HEAD);
            long step = Math.max(PAGE, (channel.size() - HEAD) / PAGES);
            for (long at = HEAD; at < channel.size(); at += step) sum.add(at, PAGE);
            return sum.toString();
        } catch (IOException e) {
            throw new UncheckedIOException("start: cannot read " + file + " (" + Machine.reason(e) + ")", e);
        }
    }

    private void add(long from, long length) throws IOException {
        var buffer = ByteBuffer.allocate((int) Math.min(BUFFER, length));
        long end = from + length;
        for (long at = from; at < end && file.read(buffer, at) >= 0; at += buffer.limit(), buffer.clear()) {
            buffer.flip().limit((int) Math.min(buffer.limit(), end - at));
            digest.update(buffer.duplicate());
        }
    }

    @Override public String toString() { return HexFormat.of().formatHex(digest.digest()); }
}
