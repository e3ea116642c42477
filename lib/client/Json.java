package sheaf;

import static sheaf.Messages.cannot;
import static sheaf.Messages.reason;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParseException;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.cfg.JsonNodeFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.MissingNode;
import com.fasterxml.jackson.datatype.jdk8.Jdk8Module;
import com.fasterxml.jackson.datatype.jsr310.JavaTimeModule;
import java.io.IOException;
import java.io.OutputStream;
import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.DigestOutputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.DateTimeException;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Collection;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;

/** JSON as Sheaf reads and writes it: canonical for the digest, lenient with what providers send. */
final class Json {
    /** Whatever length was written is read again: a limit would lose a row, not refuse it. */
    private static final StreamReadConstraints ANY_LENGTH = StreamReadConstraints.builder()
        .maxStringLength(Integer.MAX_VALUE).maxNameLength(Integer.MAX_VALUE).maxNumberLength(Integer.MAX_VALUE)
        .build();
    static final JsonMapper MAPPER = JsonMapper
        .builder(JsonFactory.builder().streamReadConstraints(ANY_LENGTH).build())
        .enable(DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS, DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
        .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
        .disable(JsonNodeFeature.STRIP_TRAILING_BIGDECIMAL_ZEROES)
        .addModule(new Jdk8Module())                       // a record may have an Optional
        .build();
    /** Writes the same value as the same bytes: a user's map has no order of its own. */
    static final JsonMapper CANONICAL = MAPPER.rebuild().enable(SerializationFeature.ORDER_MAP_ENTRIES_BY_KEYS)
        .build();
    private static final DateTimeFormatter ISO = DateTimeFormatter.ISO_DATE_TIME.withZone(ZoneOffset.UTC);
    static final TypeReference<LinkedHashMap<String, Object>> ROW = new TypeReference<>() {};
    static final ObjectReader ROWS = MAPPER.readerFor(ROW).without(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);

    static Map<String, Object> object(String text) throws JsonProcessingException {
        return MAPPER.readValue(text, ROW);
    }

    /** Reads any value; Jackson itself has no fault of the text for an exponent that no number of Java's has. */
    static JsonNode tree(String text) throws JsonProcessingException {
        try {
            return MAPPER.readTree(text);
        } catch (NumberFormatException e) {
            throw new JsonParseException(null, "a number is out of range", e);
        }
    }

    /** Reads what a server sent; what is no JSON is a missing node. */
    static JsonNode lenient(String text) {
        try {
            return tree(text);
        } catch (JsonProcessingException e) {
            return MissingNode.getInstance();
        }
    }

    /** Bytes that are no UTF-8 are replaced, as text would have them. */
    static JsonNode lenient(byte[] json) { return lenient(new String(json, StandardCharsets.UTF_8)); }

    /** Returns a field of an object of JSON as text, "" if there is none; null if these bytes are no such object. */
    static String field(String name, byte[] json, int offset, int length) {
        try (var parser = MAPPER.createParser(json, offset, length)) {
            if (parser.nextToken() != JsonToken.START_OBJECT) return null;
            var text = "";
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                boolean isNamed = parser.currentName().equals(name);
                var token = parser.nextToken();
                if (isNamed) text = token.isScalarValue() && token != JsonToken.VALUE_NULL ? parser.getText() : "";
                parser.skipChildren();
            }
            return parser.nextToken() == null ? text : null;
        } catch (IOException e) {
            return null;
        }
    }

    /** Reads a value into a class of the user's. */
    static <T> T as(JsonNode value, Class<T> type) throws JsonProcessingException {
        return Records.MAPPER.treeToValue(value, type);
    }

    /** A record may have a date; what reads one is only loaded where somebody asks for a record. */
    private static final class Records {
        static final JsonMapper MAPPER = Json.MAPPER.rebuild().addModule(new JavaTimeModule()).build();
    }

    static <T> T read(Path file, Class<T> type) {
        try {
            return MAPPER.readValue(Files.readString(file), type);
        } catch (IOException e) {
            throw cannot("journal", "read " + file, e);
        }
    }

    /** Hands on each line of a file. */
    static void eachLine(Path file, Consumer<JsonNode> taker) {
        try (var lines = new Lines(Files.newInputStream(file))) {
            while (lines.advance()) taker.accept(lenient(lines.text()));
        } catch (IOException e) {
            throw cannot("journal", "read " + file, e);
        }
    }

    static Map<String, Object> row(JsonNode object) {
        return object.isObject() ? MAPPER.convertValue(object, ROW) : Map.of();
    }

    /** One line as it goes out. */
    static byte[] line(Object value) { return bytes(text(value) + "\n"); }

    /** A value as it goes out: what would end the line for some reader, and what UTF-8 cannot say, is escaped. */
    static String text(Object value) {
        try {
            return escaped(MAPPER.writeValueAsString(value));
        } catch (JsonProcessingException e) {
            throw new IllegalArgumentException("submit: cannot be written as JSON: " + reason(e), e);
        }
    }

    /** Returns the bytes of a text, in which no half of a character is left. */
    static byte[] bytes(String text) { return text.getBytes(StandardCharsets.UTF_8); }

    static String escaped(String json) {
        boolean isPlain = true;
        for (int i = 0; isPlain && i < json.length(); i++)
            isPlain = !JsonText.endsLine(json.charAt(i)) && !Character.isSurrogate(json.charAt(i));
        if (isPlain) return json;
        var out = new StringBuilder(json.length() + 16);
        json.codePoints().forEach(c -> {
            if (JsonText.isHalf(c) || JsonText.endsLine(c))
                out.append("\\u").append(HexFormat.of().toHexDigits((char) c));
            else out.appendCodePoint(c);
        });
        return out.toString();
    }

    static byte[] pretty(Object value) throws IOException {
        return bytes(escaped(MAPPER.writerWithDefaultPrettyPrinter().writeValueAsString(value)) + "\n");
    }

    /** A value as one cell of a table: text as it is, anything else as JSON. */
    static String cell(Object value) {
        if (value == null) return "";
        if (value instanceof Map<?, ?> || value instanceof Collection<?>) return MAPPER.valueToTree(value).toString();
        return value instanceof BigDecimal number && Math.abs((long) number.scale()) < 100 ? number.toPlainString()
            : value.toString();
    }

    /** Providers write times as seconds, milliseconds, the same as text, or ISO-8601; some write none. */
    static Optional<Instant> instant(JsonNode time) {
        var text = time.asText("");
        try {
            if (!text.matches("[0-9]+([.][0-9]+)?"))
                return Optional.of(ISO.parse(text, Instant::from));
            var number = (long) Double.parseDouble(text);
            return Optional.of(Instant.ofEpochSecond(number > 100_000_000_000L ? number / 1000 : number));
        } catch (DateTimeException none) {
            return Optional.empty();
        }
    }

    /** A SHA-256 in the making: by it the same requests, rows and files are known again. */
    static final class Digest {
        private static final int SHORT = 12;                  // hex digits that stand in names
        private final MessageDigest sha256 = sha256();

        void add(byte[] bytes) { sha256.update(bytes); }

        void add(byte[] bytes, int offset, int length) { sha256.update(bytes, offset, length); }

        /** Returns a stream that adds what passes. */
        OutputStream over(OutputStream out) { return new DigestOutputStream(out, sha256); }

        /** Returns the digest of all that was added as 64 hex digits, and begins anew. */
        String hex() { return HexFormat.of().formatHex(sha256.digest()); }

        /** Returns as much of a digest as stands in the name of a folder or a file. */
        static String shortened(String hex) { return hex.substring(0, SHORT); }

        /** Returns the digest of a text as 64 hex digits. */
        static String hex(String text) { return HexFormat.of().formatHex(bytes(text)); }

        /** Returns the digest of a text, shortened. */
        static String shortHex(String text) { return shortened(hex(text)); }

        /** Returns the first eight bytes of the digest of a text. */
        static long hash(String text) { return ByteBuffer.wrap(bytes(text)).getLong(); }

        private static byte[] bytes(String text) { return sha256().digest(Json.bytes(text)); }

        private static MessageDigest sha256() {
            try {
                return MessageDigest.getInstance("SHA-256");
            } catch (NoSuchAlgorithmException e) {
                throw new IllegalStateException(e);
            }
        }
    }
}
