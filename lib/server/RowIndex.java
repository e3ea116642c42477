package sheaf.server;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import com.fasterxml.jackson.core.JsonProcessingException;
import java.io.Closeable;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.regex.Pattern;
import sheaf.server.Json.Lines;

/**
 * Where each request of a batch stands in its input file, and its answer in the output or error file. It is read a
 * piece at a time, so that a million lines keep nobody waiting, and grows with the files of a batch that runs. A file
 * that is not kept has no lines. It knows files, and no batch; 25 bytes in memory for each line.
 */
final class RowIndex {
    private static final int HEAD = 512;           // bytes of a line that tell whether it is blank, or which it answers
    private static final int LOOK = 256;           // lines between two looks at the time
    private static final Pattern ID = Pattern.compile("^\\{\"id\":\"[^\"\\\\]*_(\\d{1,9})\"");

    /** A file that is read on from where the last reading ended. */
    private static final class Source {
        private final Path path;        // null if it is not kept
        private final int most;         // bytes of a line that matter
        private long position;          // up to which its lines are known
        private int lines;

        private Source(Path path, int most) {
            this.path = path;
            this.most = most;
        }

        private long size() throws IOException { return path != null && Files.exists(path) ? Files.size(path) : 0; }
    }

    private interface Reader {
        void read(byte[] line, long start, int length) throws IOException;
    }

    private final Source input;
    private final Source output;
    private final Source errors;
    private long[] askedAt = new long[1];         // by line of the input file, from 1, like each array here
    private int[] askedLength = new int[1];       // without the line feed; 0 for a blank line
    private long[] answeredAt = new long[1];
    private int[] answeredLength = new int[1];
    private byte[] outcomes = new byte[1];        // 1 + their place in BatchObject.OUTCOMES, 0 without an answer
    private final int[] counts = new int[BatchObject.OUTCOMES.size()];
    private int requests;                         // lines of the input file that are not blank
    private int last;                             // line of which anything is known

    RowIndex(Path input, Path output, Path errors) {
        this.input = new Source(input, HEAD);
        this.output = new Source(output, HEAD);
        this.errors = new Source(errors, Lines.MAX_BYTES);
    }

    /** Reads on for so many nanoseconds at most, and returns the share of the files that is read: 1 if all is. */
    synchronized double read(long nanos) throws IOException {
        long began = System.nanoTime();
        boolean whole = read(input, began + nanos / 3, this::noteRequest)
            & read(errors, began + 2 * nanos / 3, this::noteError)
            & read(output, began + nanos, (line, start, length) -> noteAnswer(line, start, length, 0));
        double bytes = input.size() + output.size() + errors.size();
        double known = input.position + output.position + errors.position;
        return whole ? 1 : Math.min(.99, known / Math.max(1, bytes));
    }

    /** Reads lines until that time, and returns whether no whole line is left. */
    private boolean read(Source source, long until, Reader reader) throws IOException {
        if (source.size() == 0) return true;
        try (var lines = new Lines(source.path, source.most, source.position)) {
            long start = lines.offset;
            for (byte[] line; (line = lines.next()) != null && (lines.terminated || source == input); ) {
                source.lines++;
                source.position = lines.offset;
                reader.read(line, start, (int) (lines.offset - start) - (lines.terminated ? 1 : 0));
                start = lines.offset;
                if (source.lines % LOOK == 0 && System.nanoTime() - until > 0) return false;
            }
            return true;
        }
    }

    private void noteRequest(byte[] line, long start, int length) {
        int number = input.lines;
        makeRoom(number);
        askedAt[number] = start;
        if (length <= HEAD && Lines.isBlank(line)) return;
        askedLength[number] = length;
        requests++;
    }

    private void noteError(byte[] line, long start, int length) throws IOException {
        try {
            noteAnswer(line, start, length, BatchObject.OUTCOMES.indexOf(BatchObject.outcome(Json.parsed(line))));
        } catch (JsonProcessingException neverWritten) {
            // as a power cut leaves it
        }
    }

    private void noteAnswer(byte[] line, long start, int length, int outcome) {
        var id = ID.matcher(new String(line, 0, Math.min(line.length, HEAD), ISO_8859_1));
        if (!id.find()) return;
        int number = Integer.parseInt(id.group(1));
        makeRoom(number);
        if (outcomes[number] != 0) return;
        answeredAt[number] = start;
        answeredLength[number] = length;
        outcomes[number] = (byte) (1 + outcome);
        counts[outcome]++;
    }

    private void makeRoom(int number) {
        last = Math.max(last, number);
        if (number < outcomes.length) return;
        int size = Math.max(number + 1, outcomes.length + outcomes.length / 2);
        askedAt = Arrays.copyOf(askedAt, size);
        askedLength = Arrays.copyOf(askedLength, size);
        answeredAt = Arrays.copyOf(answeredAt, size);
        answeredLength = Arrays.copyOf(answeredLength, size);
        outcomes = Arrays.copyOf(outcomes, size);
    }

    /** Returns the last line of which anything is known. */
    synchronized int last() { return last; }

    /** Returns whether a line has a request, or at least an answer. */
    synchronized boolean has(int line) { return line <= last && (askedLength[line] > 0 || outcomes[line] > 0); }

    /** Returns the outcome of the request in a line, or nothing without an answer. */
    synchronized Optional<String> outcome(int line) {
        return outcomes[line] == 0 ? Optional.empty() : Optional.of(BatchObject.OUTCOMES.get(outcomes[line] - 1));
    }

    /** Returns how many requests came to each outcome, as far as is known. */
    synchronized Map<String, Integer> counts() {
        var all = new TreeMap<String, Integer>();
        for (int i = 0; i < counts.length; i++) all.put(BatchObject.OUTCOMES.get(i), counts[i]);
        return all;
    }

    /** Returns how many requests there are, as far as is known. */
    synchronized int requests() { return Math.max(requests, Arrays.stream(counts).sum()); }

    Texts open() { return new Texts(); }

    /** The lines themselves, from files that stay open meanwhile. */
    final class Texts implements Closeable {
        private FileChannel asked;      // null until it is needed, like the others
        private FileChannel answered;
        private FileChannel failed;

        /** Returns the line of a request, or null if the input file is not kept. */
        byte[] request(int line) throws IOException {
            if (askedLength[line] == 0) return null;
            if (asked == null) asked = FileChannel.open(input.path);
            return bytes(asked, askedAt[line], askedLength[line]);
        }

        /** Returns the line of an answer, or null without one. */
        byte[] answer(int line) throws IOException {
            if (outcomes[line] == 0) return null;
            boolean good = outcomes[line] == 1;
            if (good && answered == null) answered = FileChannel.open(output.path);
            if (!good && failed == null) failed = FileChannel.open(errors.path);
            return bytes(good ? answered : failed, answeredAt[line], answeredLength[line]);
        }

        private static byte[] bytes(FileChannel file, long start, int length) throws IOException {
            var bytes = ByteBuffer.allocate(length);
            while (bytes.hasRemaining() && file.read(bytes, start + bytes.position()) >= 0) { }
            return Arrays.copyOf(bytes.array(), bytes.position());
        }

        @Override public void close() throws IOException {
            try (var first = asked; var second = answered; var third = failed) {
                asked = null;
            }
        }
    }
}
