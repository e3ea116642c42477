package sheaf;

import static sheaf.Messages.cannot;
import static sheaf.Messages.number;
import static sheaf.Messages.reason;

import com.openai.core.http.HttpResponse;
import java.io.Closeable;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.ClosedByInterruptException;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.regex.Pattern;
import sheaf.Vocabulary.BatchException;

/**
 * A file on its way here, in as many pieces as it takes, whole or not at all. What came before a break stays beside the
 * target, under a name that the next process finds too, and is not fetched again.
 */
final class Download implements Closeable {
    private static final int MB = 1 << 20;
    private static final Pattern RANGE = Pattern.compile("bytes ([0-9]{1,18})-[0-9]+/([0-9]{1,18}|[*])");
    private final BatchApi api;
    private final String id;
    private final Path partial;
    private final Progress.Transfer transfer;
    private final FileChannel channel;
    private long size;                     // of the whole; 0 if unknown
    private long came;
    private long most;                     // that ever came
    private long lastShort = -1;           // what came the last time that it looked whole and was too short
    private int shorts;                    // times in a row that it was that much

    /** Fetches a file to this place; {@code transfer} shows how far it is. */
    static void fetch(BatchApi api, String id, Path target, Progress.Transfer transfer) {
        var partial = target.resolveSibling("." + target.getFileName() + "." + Json.Digest.shortHex(id) + ".partial");
        try {
            try (transfer; var download = new Download(api, id, partial, transfer)) {
                download.untilWhole();
            }
            Files.move(partial, target, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE);
        } catch (ClosedByInterruptException e) {
            throw interrupted(e);
        } catch (IOException e) {
            throw cannot("results", "write " + target, e);
        } finally {
            if (partial.toFile().length() == 0) partial.toFile().delete();
        }
    }

    private static IllegalStateException interrupted(IOException e) {
        return new IllegalStateException("results: " + Messages.GO_ON, e);
    }

    /** Goes on where an earlier process was. After a power cut only what was forced to the disk is sure. */
    private Download(BatchApi api, String id, Path partial, Progress.Transfer transfer) throws IOException {
        this.api = api;
        this.id = id;
        this.partial = partial;
        this.transfer = transfer;
        channel = FileChannel.open(partial, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
        came = most = Math.max(0, channel.size() - 1) / MB * MB;
        channel.truncate(came).position(came);
        size = api.size(id);
    }

    /** Counts only attempts that bring nothing: a line that breaks every minute gets through in the end. */
    private void untilWhole() throws IOException {
        var retry = Retry.ofCalls(api.connection().isLocal());
        for (int failures = 0; ; ) {
            try {
                receive();
                channel.force(true);
                return;
            } catch (UncheckedIOException | BatchException e) {
                if (came > most) retry.reset();
                failures = came > most ? 0 : failures + 1;
                most = Math.max(most, came);
                if (isFinal(e) || failures > Retry.ATTEMPTS) throw brokenOff(e);
                retry.pause("results", e);
            }
        }
    }

    private boolean isFinal(RuntimeException e) {
        return !Retry.isTransient(e) || e.getCause() instanceof FileSystemException;
    }

    private void receive() throws IOException {
        long start = came;
        try {
            api.content(id, start, response -> take(response, start));
        } catch (BatchException e) {
            if (e.status() != 416 || start == 0) throw e;
            forget();
            receive();
        }
    }

    private void forget() throws IOException {
        channel.truncate(0);
        came = 0;
    }

    private Path take(HttpResponse response, long start) throws IOException {
        if (response.statusCode() != 206) forget();          // the whole, whatever was asked for
        else checkRange(String.join(",", response.headers().values("Content-Range")), start);
        copy(response.body());
        checkWhole();
        return partial;
    }

    private void checkRange(String text, long start) throws IOException {
        var range = RANGE.matcher(text);
        boolean right = range.matches() && Long.parseLong(range.group(1)) == start;
        if (right && !range.group(2).equals("*")) size = Math.max(size, Long.parseLong(range.group(2)));
        if (right) return;
        forget();
        throw new IOException("asked for bytes " + start + "-, got " + (text.isEmpty() ? "others" : text));
    }

    private void copy(InputStream body) throws IOException {
        var buffer = new byte[1 << 16];
        for (int count; (count = body.read(buffer, 0, (int) Math.min(buffer.length, MB - came % MB))) >= 0; ) {
            append(ByteBuffer.wrap(buffer, 0, count));
            transfer.show(came, size);
        }
    }

    /** Writes nothing beyond a boundary before all in front of it is on the disk. */
    private void append(ByteBuffer bytes) throws FileSystemException {
        try {
            while (bytes.hasRemaining()) came += channel.write(bytes);
            if (came % MB == 0) channel.force(false);
        } catch (ClosedByInterruptException e) {
            throw interrupted(e);
        } catch (IOException e) {
            var full = new FileSystemException(partial.toString(), null, e.getMessage());
            full.initCause(e);
            throw full;
        }
    }

    /**
     * An answer may end early and look whole: then it is short of its size, or its last line is no JSON.
     */
    private void checkWhole() throws IOException {
        var fault = fault();
        if (fault.isEmpty()) return;
        forget();
        throw new UncheckedIOException("results: " + fault
            + "; nothing is lost, run again and it is fetched anew", new IOException("the file was cut off"));
    }

    /** Returns what is wrong with what came; "" if it is whole. */
    private String fault() throws IOException {
        boolean isShort = came < size && !(isLastLineWhole(partial) && isShortAgain());
        if (isShort) return "only " + number(came) + " of " + number(size) + " bytes of " + id + " came";
        if (isPage(partial)) return "a page of HTML came in the place of " + id;
        return isLastLineWhole(partial) ? "" : "the last line of " + id + " is cut off";
    }

    /** Whether just as much came as the last times: then the size that the provider named is wrong. */
    private boolean isShortAgain() {
        shorts = came == lastShort ? shorts + 1 : 1;
        lastShort = came;
        return shorts == Retry.ATTEMPTS;
    }

    private RuntimeException brokenOff(RuntimeException e) {
        if (!(e instanceof UncheckedIOException io) || isFinal(e) || came == 0) return e;
        return new UncheckedIOException("results: " + number(came) + (size == 0 ? "" : " of " + number(size))
            + " bytes of " + id + " came, and then no more (" + reason(io.getCause())
            + "); nothing is lost, run again and the rest is fetched", io.getCause());
    }

    @Override public void close() throws IOException { channel.close(); }

    /** Proxies say in HTML that they are out of order, and some call that a success. */
    private static boolean isPage(Path file) throws IOException {
        try (var in = Files.newInputStream(file)) {
            return new String(in.readNBytes(64), StandardCharsets.ISO_8859_1).stripLeading().startsWith("<");
        }
    }

    private static boolean isLastLineWhole(Path file) throws IOException {
        try (var channel = FileChannel.open(file)) {
            if (channel.size() == 0 || AtomicFiles.last(channel) == '\n') return true;
        }
        try (var lines = new Lines(Files.newInputStream(file))) {
            while (lines.advance()) continue;
            return !Json.lenient(lines.text()).isMissingNode();
        }
    }
}
