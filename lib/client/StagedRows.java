package sheaf;

import java.io.Closeable;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Set;

/** The rows that requests came from, written beside these under a name that tells what is in them. */
final class StagedRows implements Closeable {
    private final Path dir;
    private final LineIndex.InOrder index;
    private final OutputStream file;
    private final Relay lines;
    private final Json.Digest digest = new Json.Digest();
    private final Set<String> columns = new LinkedHashSet<>();  // that some row has
    private Set<String> last;                                   // columns, which rows of a file share
    private long count;
    private long bytes;
    private String name;                                        // without its ending

    StagedRows(Path dir) throws IOException {
        this.dir = dir;
        index = new LineIndex.InOrder(dir.resolve("rows.idx"));
        file = Files.newOutputStream(dir.resolve("rows.jsonl"));
        lines = new Relay(digest.over(file));
    }

    void add(Map<String, Object> values) throws IOException {
        var line = values instanceof Row row ? row.line() : Json.bytes(Json.text(values));
        if (values.keySet() != last) columns.addAll(last = values.keySet());
        lines.write(line);
        lines.write('\n');
        index.add(0, line.length, bytes);
        bytes += line.length + 1;
        count++;
    }

    void complete() throws IOException {
        name = "rows-" + Json.Digest.shortened(digest.hex());
        Files.move(dir.resolve("rows.jsonl"), dir.resolve(name + ".jsonl"));
        Files.move(dir.resolve("rows.idx"), dir.resolve(name + ".idx"));
    }

    long count() { return count; }

    /** Returns the name of their file without its ending, once they are complete. */
    String name() { return name; }

    Set<String> columns() { return columns; }

    @Override public void close() throws IOException {
        try (file; index) {
            lines.close();
        }
    }
}
