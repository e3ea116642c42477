package sheaf.server;

import com.fasterxml.jackson.core.JsonParseException;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.json.JsonWriteFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.cfg.JsonNodeFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.UUID;

/** JSON as the API writes and reads it, and the ids of its objects. It knows no field of theirs. */
final class Json {
    static final JsonMapper MAPPER = JsonMapper.builder()
        .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS, DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS)
        .disable(JsonNodeFeature.STRIP_TRAILING_BIGDECIMAL_ZEROES)
        .enable(JsonWriteFeature.ESCAPE_NON_ASCII)       // no U+2028 to split a line, no lone surrogate to break one
        .build();

    private Json() { }

    static ObjectNode object() { return MAPPER.createObjectNode(); }

    static String newId(String prefix) { return prefix + UUID.randomUUID().toString().replace("-", ""); }

    /** Reads JSON; a number of more digits than fit into memory is none. */
    static JsonNode parsed(byte[] json) throws IOException {
        try {
            return MAPPER.readTree(json);
        } catch (NumberFormatException outOfRange) {
            throw new JsonParseException(null, outOfRange.getMessage(), outOfRange);
        }
    }

    static byte[] bytes(JsonNode json) {
        try {
            return MAPPER.writeValueAsBytes(json);
        } catch (JsonProcessingException impossible) {
            throw new UncheckedIOException(impossible);
        }
    }

    /** Returns a JSON value as one line of a file. */
    static ByteBuffer line(JsonNode json) {
        var bytes = bytes(json);
        return ByteBuffer.wrap(Arrays.copyOf(bytes, bytes.length + 1)).put(bytes.length, (byte) '\n');
    }
}
