package sheaf.server;

import com.fasterxml.jackson.core.JsonParseException;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.json.JsonWriteFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.cfg.JsonNodeFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.ByteArrayOutputStream;
import java.io.Closeable;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.UUID;
import java.util.concurrent.ThreadLocalRandom;

/** JSON as the API writes and reads it, one value or a file of lines, and the ids of its objects. It knows no field. */
final class Json {
    static final JsonMapper MAPPER = JsonMapper.builder()
        .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS, DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS)
        .disable(JsonNodeFeature.STRIP_TRAILING_BIGDECIMAL_ZEROES)
        .enable(JsonWriteFeature.ESCAPE_NON_ASCII)       // no U+2028 to split a line, no lone surrogate to break one
        .build();

    private static final ObjectReader READER = MAPPER.reader();    // which looks up no type for each value

    private Json() { }

    static ObjectNode object() { return MAPPER.createObjectNode(); }

    static String newId(String prefix) { return prefix + UUID.randomUUID().toString().replace("-", ""); }

    /** Returns an id that nobody need be unable to guess, such as an answer's: ten times as fast as the other. */
    static String plainId(String prefix) {
        var random = ThreadLocalRandom.current();
        return prefix + HexFormat.of().toHexDigits(random.nextLong()) + HexFormat.of().toHexDigits(random.nextLong());
    }

    /** Reads JSON; a number whose exponent is too large is an error like any other. */
    static JsonNode parsed(byte[] json) throws IOException {
        try {
            return READER.readTree(json);
        } catch (NumberFormatException outOfRange) {
            throw new JsonParseException(null, outOfRange.getMessage(), outOfRange);
        }
    }

    /** Returns whether an object lacks this field, or has null in its place, which says as little. */
    static boolean isAbsent(JsonNode field) { return field.isMissingNode() || field.isNull(); }

    static byte[] bytes(JsonNode json) {
        try {
            return MAPPER.writeValueAsBytes(json);
        } catch (JsonProcessingException tooDeep) {   // nested deeper than Jackson writes
            throw new UncheckedIOException(tooDeep);
        }
    }

    /** The lines of a file, split on 0x0A only, one in memory at a time, whatever stands in them. */
    static final class Lines implements Closeable {
        static final int MAX_BYTES = 16 * 1024 * 1024;   // of one request

        private final InputStream in;
        private final ByteArrayOutputStream line = new ByteArrayOutputStream();
        private final byte[] buffer = new byte[64 * 1024];
        private final int maxBytes;
        private int position;
        private int end;
        int number;          // of the line returned last, from 1, blank lines included
        long offset;         // where that line ends
        boolean terminated;  // whether it ends in 0x0A

        /** Opens a file of which no more than {@code maxBytes + 1} bytes of each line matter. */
        Lines(Path path, int maxBytes) throws IOException { this(path, maxBytes, 0); }

        /** Opens a file at a byte where a line begins, from which lines are counted. */
        Lines(Path path, int maxBytes, long from) throws IOException {
            this.in = Files.newInputStream(path);
            this.maxBytes = maxBytes;
            this.offset = in.skip(from);
        }

        /** Returns the next line without its CR and LF, or null after the last line. */
        byte[] next() throws IOException {
            if (!filled()) return null;
            line.reset();
            number++;
            do take(); while (!terminated && filled());
            return withoutReturn(line.toByteArray());
        }

        private boolean filled() throws IOException {
            if (position < end) return true;
            position = 0;
            end = in.read(buffer);
            return end > 0;
        }

        private void take() {
            int stop = position;
            while (stop < end && buffer[stop] != '\n')
                stop++;
            line.write(buffer, position, Math.min(stop - position, maxBytes + 1 - line.size()));
            terminated = stop < end;
            int next = terminated ? stop + 1 : stop;
            offset += next - position;
            position = next;
        }

        private static byte[] withoutReturn(byte[] line) {
            boolean crlf = line.length > 0 && line[line.length - 1] == '\r';
            return crlf ? Arrays.copyOf(line, line.length - 1) : line;
        }

        static boolean isBlank(byte[] line) {
            for (byte each : line)
                if (each != ' ' && each != '\t' && each != '\r') return false;
            return true;
        }

        @Override public void close() throws IOException { in.close(); }
    }
}
