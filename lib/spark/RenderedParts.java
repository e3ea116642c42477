package sheaf;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/** The parts that were rendered, read one after the other: rows that only lack the numbers of their requests. */
final class RenderedParts extends Rows.Reader<Map<String, Object>> {
    private final PartFiles files;
    private final int parts;
    private int part;                                          // the next one
    private Lines lines;                                       // of the part that is open; null: none is

    private RenderedParts(PartFiles files, int parts) {
        this.files = files;
        this.parts = parts;
    }

    static Stream<Map<String, Object>> open(PartFiles files, int parts) {
        return stream(new RenderedParts(files, parts));
    }

    @Override Map<String, Object> read() throws IOException {
        while (lines == null || !lines.advance())
            if (!openNext()) return null;
        var head = Json.object(lines.text());
        var models = (List<?>) head.remove("models");
        var requests = new ArrayList<RenderedRow.Line>();
        for (var model : models) {
            if (!lines.advance()) throw new IOException("a part ends within a row");
            requests.add(RenderedRow.Line.of((String) model, lines.read(RenderedParts::line)));
        }
        return new RenderedRow(new LinkedHashMap<>(head), requests);
    }

    /** A part in which no row falls is not there. */
    private boolean openNext() throws IOException {
        close();
        while (part < parts) {
            var name = Rendering.partName(part++);
            if (!files.has(name)) continue;
            lines = new Lines(files.open(name));
            return true;
        }
        return false;
    }

    private static byte[] line(byte[] bytes, int offset, int length) {
        var line = Arrays.copyOfRange(bytes, offset, offset + length + 1);
        line[length] = '\n';
        return line;
    }

    @Override public void close() throws IOException {
        if (lines != null) lines.close();
        lines = null;
    }
}
