package sheaf.server;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedWriter;
import java.io.ByteArrayOutputStream;
import java.io.Closeable;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.function.Consumer;
import sheaf.server.Json.Lines;

/**
 * The output and the error file of a batch that is not yet over: the only record of what has run. The id of each line
 * ends in the number of its request's line in the input file; a line that was not written whole does not count. They
 * know no status, and leave it to their batch to keep threads apart.
 */
final class ResultFiles implements Closeable {
    private static final List<String> KINDS = List.of("output", "error");

    private final String batchId;
    private final String linePrefix;      // of the id of each line
    private final Store store;
    private final Manners dialect;
    private final Script script;
    private FileChannel output;      // null while the files are closed
    private FileChannel errors;      // null while the files are closed

    ResultFiles(String batchId, Store store, Manners dialect, Script script) {
        this.batchId = batchId;
        this.linePrefix = batchId.replaceFirst("batch_", "batch_req_") + "_";
        this.store = store;
        this.dialect = dialect;
        this.script = script;
    }

    /** Returns the id of the line that answers the request in this line of the input file. */
    String lineId(int line) { return linePrefix + line; }

    /** Returns the line of the input file whose request a line answers. */
    static int lineOf(JsonNode written) {
        var id = written.get("id").textValue();
        return Integer.parseInt(id.substring(id.lastIndexOf('_') + 1));
    }

    private String id(String kind) { return Store.resultFileId(batchId, kind); }

    private Path path(String kind) { return store.file(id(kind)); }

    boolean isOpen() { return output != null; }

    /** Opens both files at the end of their last whole line, and gives each line that they have to a reader. */
    void open(Consumer<JsonNode> reader) throws IOException {
        output = reopened(path("output"), reader);
        errors = reopened(path("error"), reader);
    }

    private static FileChannel reopened(Path path, Consumer<JsonNode> reader) throws IOException {
        var file = FileChannel.open(path, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
        long whole = 0;
        try (var lines = new Lines(path, Integer.MAX_VALUE - 1)) {
            for (byte[] line; (line = lines.next()) != null && lines.terminated && isRecord(line); ) {
                reader.accept(Json.parsed(line));
                whole = lines.offset;
            }
            return file.truncate(whole).position(whole);
        } catch (IOException | RuntimeException e) {
            file.close();
            throw e;
        }
    }

    /** Returns whether a line was written whole: a power cut may leave zeros in its place. */
    private static boolean isRecord(byte[] line) throws IOException {
        try {
            return Json.parsed(line).path("id").asText().matches("(?s).*_\\d{1,9}");
        } catch (JsonProcessingException neverWritten) {
            return false;
        }
    }

    /** Lines for one of the two files, which are written together. */
    static final class Block {
        private final boolean succeeded;
        private final List<JsonNode> written = new ArrayList<>();
        private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();

        Block(boolean succeeded) { this.succeeded = succeeded; }

        /** Adds a line, or nothing of it if it is nested too deep to be written. */
        void add(JsonNode line) {
            bytes.writeBytes(Json.bytes(line));
            bytes.write('\n');
            written.add(line);
        }

        int size() { return bytes.size(); }

        void clear() {
            written.clear();
            bytes.reset();
        }

        boolean isEmpty() { return written.isEmpty(); }

        List<JsonNode> written() { return written; }
    }

    /** Appends lines whole and returns true, or tells why the disk failed, keeps nothing of them and returns false. */
    boolean append(Block lines, Consumer<Exception> complaint) throws IOException {
        var file = lines.succeeded ? output : errors;
        long end = file.position();
        var unwritten = ByteBuffer.wrap(lines.bytes.toByteArray());
        try {
            while (unwritten.hasRemaining())
                file.write(unwritten);
            return true;
        } catch (ClosedChannelException closing) {
            throw closing;
        } catch (IOException e) {
            complaint.accept(e);
            file.truncate(end);
            return false;
        }
    }

    /** Brings both files to the disk, so that a power cut cannot take their lines away. */
    void force() throws IOException {
        store.force(output);
        store.force(errors);
    }

    /** Writes what clients shall see of a file, and returns its file object, or null if it has no lines. */
    ObjectNode publish(String kind, long seconds) throws IOException {
        if (dialect.changesLines() || script.rewritesLines()) rewrite(path(kind));
        else Files.deleteIfExists(Store.shown(path(kind)));   // an earlier server may have had another dialect
        var shown = store.content(id(kind));
        if (Files.size(shown) == 0 && !(kind.equals("error") && dialect.hasEmptyErrorFile())) {
            store.deleteContent(id(kind));
            return null;
        }
        return fileObject(kind, Files.size(shown), seconds);
    }

    /** Returns the objects of the files that have lines when a batch cannot go on: answers that may be paid for. */
    List<ObjectNode> leftovers() throws IOException {
        var files = new ArrayList<ObjectNode>();
        for (var kind : KINDS) {
            Files.deleteIfExists(Store.shown(path(kind)));
            if (Files.exists(path(kind)) && Files.size(path(kind)) > 0)
                files.add(fileObject(kind, Files.size(path(kind)), Store.BATCH_FILE_SECONDS));
        }
        return files;
    }

    private ObjectNode fileObject(String kind, long bytes, long seconds) {
        return store.fileObject(id(kind), bytes, batchId + "_" + kind + ".jsonl", "batch_output", seconds);
    }

    /** Writes what clients shall see into a file beside the record of what ran, which stays. */
    private void rewrite(Path record) throws IOException {
        try (var lines = new Lines(record, Integer.MAX_VALUE - 1);
            var file = FileChannel.open(Store.shown(record), StandardOpenOption.CREATE,
                StandardOpenOption.TRUNCATE_EXISTING, StandardOpenOption.WRITE);
            var out = new BufferedWriter(Channels.newWriter(file, UTF_8))) {
            var all = new ArrayList<ObjectNode>();    // stays empty unless a test wants to see all lines at once
            for (byte[] line; (line = lines.next()) != null; ) {
                if (script.rewritesLines()) all.add((ObjectNode) Json.parsed(line));
                else out.append(shown((ObjectNode) Json.parsed(line))).append('\n');
            }
            for (var line : script.rewritten(inOrder(all)))
                out.append(line).append('\n');
            out.flush();
            store.force(file);
        }
    }

    private List<String> inOrder(List<ObjectNode> lines) {
        return lines.stream().sorted(Comparator.comparingInt(ResultFiles::lineOf)).map(this::shown).toList();
    }

    /** Returns a line as clients see it, in ASCII as the record is: what has a lone surrogate could not be written. */
    private String shown(ObjectNode line) { return new String(Json.bytes(dialect.line(line)), US_ASCII); }

    @Override public void close() throws IOException {
        try (var first = output; var second = errors) {
            output = null;
            errors = null;
        }
    }
}
