package sheaf;

import java.io.ByteArrayOutputStream;
import java.util.AbstractMap;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** A row whose requests were made on another machine: what is kept of it here, and their lines. */
final class RenderedRow extends AbstractMap<String, Object> {
    private static final byte[] HEAD = Json.bytes("{\"custom_id\":\"");
    private final Map<String, Object> kept;
    private final List<Line> lines;

    /** @param kept stands for the row: what tells it from all others */
    RenderedRow(Map<String, Object> kept, List<Line> lines) {
        this.kept = kept;
        this.lines = lines;
    }

    /**
     * A request line without its id.
     * @param rest what follows the id, from its closing quote to the newline
     */
    record Line(String model, byte[] rest) {
        static Line of(String model, byte[] line) { return new Line(model, rest(line)); }

        /** Returns the line with this id, which needs no escape. */
        byte[] under(String id) {
            var line = new ByteArrayOutputStream(HEAD.length + id.length() + rest.length);
            line.writeBytes(HEAD);
            line.writeBytes(Json.bytes(id));
            line.writeBytes(rest);
            return line.toByteArray();
        }

        /** Returns what follows the id of a line, which has no escape: what it asks. */
        static byte[] rest(byte[] line) {
            int end = HEAD.length;
            while (line[end] != '"') end++;
            return Arrays.copyOfRange(line, end, line.length);
        }
    }

    List<Line> lines() { return lines; }

    @Override public Set<Entry<String, Object>> entrySet() { return kept.entrySet(); }
}
