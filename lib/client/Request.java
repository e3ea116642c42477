package sheaf;

import java.nio.charset.StandardCharsets;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;

/** One request as it goes out: its line, and what stays here to join the answer to its row. */
record Request(long row, Map<String, Object> values, String model, byte[] line) {
    /** What a literal prompt has for a row; an empty row of the user's is another one. */
    static final Map<String, Object> NO_ROW = Collections.unmodifiableMap(new LinkedHashMap<>());

    /** Whether it came from a row that nobody else has written down; {@code requests(file)} has none. */
    boolean hasRow() { return values != null && values != NO_ROW; }

    String text() { return new String(line, 0, line.length - 1, StandardCharsets.UTF_8); }
}
