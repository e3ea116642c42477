//JAVA 17+
//DEPS com.openai:openai-java:4.101.0
//DEPS com.fasterxml.jackson.core:jackson-databind:2.22.4
//DEPS com.github.spullara.mustache.java:compiler:0.9.14
//DEPS de.siegmar:fastcsv:4.4.0

package sheaf;

import java.io.BufferedOutputStream;
import java.io.ByteArrayOutputStream;
import java.io.Closeable;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.FilterInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PushbackInputStream;
import java.io.Reader;
import java.io.StringReader;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.io.Writer;
import java.lang.reflect.Array;
import java.lang.reflect.RecordComponent;
import java.math.BigDecimal;
import java.net.ConnectException;
import java.net.URI;
import java.net.URL;
import java.net.UnknownHostException;
import java.nio.ByteBuffer;
import java.nio.MappedByteBuffer;
import java.nio.channels.ClosedByInterruptException;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.FileChannel;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.DateTimeException;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneId;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.time.format.DateTimeParseException;
import java.time.temporal.ChronoUnit;
import java.util.AbstractList;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.BitSet;
import java.util.Collection;
import java.util.Collections;
import java.util.Comparator;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.SortedMap;
import java.util.SortedSet;
import java.util.Spliterator;
import java.util.Spliterators;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.LongFunction;
import java.util.function.Predicate;
import java.util.function.Supplier;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.cfg.JsonNodeFeature;
import com.fasterxml.jackson.databind.exc.MismatchedInputException;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.MissingNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.github.mustachejava.Binding;
import com.github.mustachejava.Code;
import com.github.mustachejava.DefaultMustacheFactory;
import com.github.mustachejava.DefaultMustacheVisitor;
import com.github.mustachejava.Mustache;
import com.github.mustachejava.MustacheException;
import com.github.mustachejava.MustacheResolver;
import com.github.mustachejava.MustacheVisitor;
import com.github.mustachejava.TemplateContext;
import com.github.mustachejava.codes.DynamicPartialCode;
import com.github.mustachejava.codes.PartialCode;
import com.github.mustachejava.codes.ValueCode;
import com.github.mustachejava.reflect.MapObjectHandler;
import com.openai.client.OpenAIClient;
import com.openai.client.okhttp.OpenAIOkHttpClient;
import com.openai.core.JsonValue;
import com.openai.core.MultipartField;
import com.openai.core.Timeout;
import com.openai.core.http.HttpResponse;
import com.openai.errors.OpenAIIoException;
import com.openai.errors.OpenAIServiceException;
import com.openai.models.batches.BatchCreateParams;
import com.openai.models.batches.BatchListParams;
import com.openai.models.files.FileContentParams;
import com.openai.models.files.FileCreateParams;
import com.openai.models.files.FileListParams;
import com.openai.models.files.FilePurpose;
import de.siegmar.fastcsv.reader.CsvParseException;
import de.siegmar.fastcsv.reader.CsvReader;
import de.siegmar.fastcsv.reader.CsvRecord;
import de.siegmar.fastcsv.reader.FieldMismatchStrategy;
import de.siegmar.fastcsv.writer.CsvWriter;
import okhttp3.Interceptor;

/**
 * Batch inference for large language models: a dataset and Mustache templates in, one answer for every row out.
 * <pre>{@code
 * import static sheaf.Sheaf.*;
 *
 * class Explain {
 *     public static void main(String... args) {
 *         batch()
 *             .model("gpt-4.1-mini")
 *             .system("You are an experienced {{role}}.")
 *             .prompts(template("explain"), csv("questions.csv"))
 *             .submit()
 *             .await()
 *             .results()
 *             .show();
 *     }
 * }
 * }</pre>
 * A {@link Draft} is a batch not yet submitted: nothing is sent. {@link Draft#submit} expands the rows into request
 * lines, uploads them and creates the batch. {@link Batch#await} watches it. {@link Batch#results} fetches both of its
 * files and gives each request exactly one {@link Outcome}, in input order, joined to its row. What was submitted is
 * kept under {@code ~/.sheaf}, so the same script attaches to the same batch when it runs again, and pays nothing.
 * @see <a href="https://platform.openai.com/docs/guides/batch">OpenAI's batch guide</a>
 */
public final class Sheaf {
    private Sheaf() {}

    static { UncaughtErrors.install(); }

    /** Returns a new draft, for the provider that the environment names. */
    public static Draft batch() { return new Draft(); }

    /**
     * Returns a batch already submitted, by its id at the provider or the name it was submitted under; one GET at most.
     * @throws BatchException if neither {@code ~/.sheaf} nor the provider knows it
     */
    public static Batch batch(String idOrName) { return Batch.find(idOrName, null); }

    /**
     * Returns the 20 newest batches, at the provider and under {@code ~/.sheaf}, newest first. They print as a table.
     */
    public static Listing<Batch> batches() { return batches(20); }

    /**
     * Returns the batches kept under {@code ~/.sheaf}, newest first, as last seen; asks nobody. They print as a table.
     */
    public static Listing<Batch> kept() {
        var batches = Journal.all().map(Batch::new).sorted(Comparator.comparing(Batch::submittedAt).reversed())
            .toList();
        return new Listing<>(batches, List.of("folder", "provider", "status", "requests", "submitted", "answers",
            "size"), Batch::asKept, Sheaf::sum);
    }

    private static String sum(List<Batch> kept) {
        return kept.size() + (kept.size() == 1 ? " batch, " : " batches, ")
            + Tables.size(kept.stream().mapToLong(batch -> batch.journal.bytes()).sum());
    }

    /** Returns the newest batches, newest first, at most so many. They print as a table. */
    public static Listing<Batch> batches(int limit) { return Provider.chosen().batches(limit); }

    /** Returns the provider's models. They print as a table. */
    public static Listing<Map<String, Object>> models() { return Provider.chosen().models(); }

    /** Returns the files that the provider keeps. They print as a table. */
    public static Listing<Map<String, Object>> files() { return Provider.chosen().files(); }

    /** Returns the rows of a CSV file whose first line names the columns; RFC 4180, UTF-8, read anew each time. */
    public static Data csv(String file) { return new Table(Input.find("csv", file), CsvRows::new); }

    /** Returns the rows of a CSV file whose first line names the columns. */
    public static Data csv(Path file) { return csv(given("csv", file).toString()); }

    /** Returns the rows of a JSON Lines file: one object a line. */
    public static Data jsonl(String file) { return new Table(Input.find("jsonl", file), JsonlRows::new); }

    /** Returns the rows of a JSON Lines file: one object a line. */
    public static Data jsonl(Path file) { return jsonl(given("jsonl", file).toString()); }

    /** Returns the rows of a JSON file that holds an array of objects. */
    public static Data json(String file) { return new Table(Input.find("json", file), JsonRows::new); }

    /** Returns the rows of a JSON file that holds an array of objects. */
    public static Data json(Path file) { return json(given("json", file).toString()); }

    /** Returns maps or records as rows; a plain value is a row with the one column {@code value}. */
    public static Data rows(Collection<?> rows) {
        var copy = new ArrayList<>(given("rows", rows));
        return new Source("rows", () -> copy.stream().map(Row::of));
    }

    /** Returns maps or records as rows; a plain value is a row with the one column {@code value}. */
    public static Data rows(Object first, Object... more) {
        return rows(Stream.concat(Stream.of(first), Stream.of(more)).toList());
    }

    /** Returns the rows of a stream that is opened anew for each reading, for datasets larger than the memory. */
    public static Data rows(Supplier<? extends Stream<?>> rows) {
        return new Source("rows", () -> given("rows", given("rows", rows).get()).map(Row::of));
    }

    /**
     * Returns the template in a file: the path as it stands, else in {@code templates/}, with or without
     * {@code .mustache}; else the same on the class path.
     */
    public static Template template(String file) { return Template.find(file); }

    /** Returns the template in a file. */
    public static Template template(Path file) { return Template.find(given("template", file).toString()); }

    /** Returns a template with this text; the name labels its results. */
    public static Template template(String name, String text) { return Template.compiled(name, text); }

    /** Returns the templates in these files, for one request per row and template. */
    public static List<Template> templates(String first, String... more) {
        return Stream.concat(Stream.of(first), Stream.of(more)).map(Sheaf::template).toList();
    }

    // ---- Data and Template: what goes in ----

    /** A dataset: opens a stream of rows, in the same order, as often as it is asked. */
    @FunctionalInterface
    public interface Data {
        /** Returns the rows from the first one on; close the stream after use. */
        Stream<Map<String, Object>> open();

        /** Returns the first rows of this data, at most so many. */
        default Data limit(long rows) {
            notNegative("limit", rows);
            return new Source(Source.nameOf(this), () -> open().limit(rows).map(Row::of));
        }
    }

    private record Source(String name, Supplier<Stream<Map<String, Object>>> rows) implements Data {
        /** A user's own data has no name that another process would know it by. */
        static String nameOf(Data data) {
            return data instanceof Results results ? results.name : data instanceof Source source ? source.name
                : data instanceof Table table ? table.input.fileName() : "data";
        }

        @Override public Stream<Map<String, Object>> open() { return rows.get(); }
        @Override public String toString() { return "Data[" + name + "]"; }
    }

    /** A file of rows; equal to another reading of the same file. */
    private record Table(Input input, Function<Input, RowReader<Map<String, Object>>> format) implements Data {
        @Override public Stream<Map<String, Object>> open() { return stream(format.apply(input)); }

        @Override public boolean equals(Object other) {
            return other instanceof Table table && table.input.equals(input);
        }

        @Override public int hashCode() { return input.hashCode(); }

        /** Names the columns, which one wants to know next. */
        @Override public String toString() {
            try (var rows = open()) {
                return "Data[" + input.fileName() + ": " + rows.findFirst().map(row -> String.join(", ", row.keySet()))
                    .orElse("no rows") + "]";
            } catch (UncheckedIOException | IllegalArgumentException unreadable) {
                return "Data[" + input.fileName() + "]";
            }
        }
    }

    /** One row from whatever a user holds; the values become what JSON can say. */
    private static final class Row {
        static Map<String, Object> of(Object value) {
            var odd = value instanceof Data ? "data" : value instanceof Stream ? "a Stream" : value instanceof Path
                ? "a Path" : value instanceof Iterable ? "a list"
                : value != null && value.getClass().isArray() ? "an array" : null;
            if (odd != null)
                throw new IllegalArgumentException("rows: " + odd
                    + " is not a row; give rows(List.of(...)), or rows(() -> stream)");
            if (value instanceof Map<?, ?> || value instanceof Record) return map(plain(value));
            return Collections.singletonMap("value", plain(value));
        }

        @SuppressWarnings("unchecked")
        static Map<String, Object> map(Object plain) { return (Map<String, Object>) plain; }

        static Object plain(Object value) {
            if (value instanceof Double || value instanceof Float) return number((Number) value);
            if (value == null || value instanceof String || value instanceof Number
                || value instanceof Boolean) return value;
            if (value instanceof JsonNode node) return Json.MAPPER.convertValue(node, Object.class);
            if (value instanceof Optional<?> optional) return plain(optional.orElse(null));
            if (value instanceof Enum<?> constant) return constant.name();
            if (value instanceof Map<?, ?> map) return ofEntries(map);
            if (value instanceof Record record) return ofComponents(record);
            if (value instanceof Collection<?> values) return ofValues(values);
            if (value.getClass().isArray()) return ofArray(value);
            return text(value);
        }

        /** The text of an object that has none of its own is its address, another in each run. */
        private static String text(Object value) {
            try {
                if (value.getClass().getMethod("toString").getDeclaringClass() != Object.class) return value.toString();
            } catch (NoSuchMethodException e) {
                throw new AssertionError(e);
            }
            throw new IllegalArgumentException("rows: a " + value.getClass().getSimpleName()
                + " is neither a map, a record nor a plain value; make it a record");
        }

        /** A decimal reads the same in a prompt and in JSON: 12345678, and not 1.2345678E7. */
        private static Object number(Number value) {
            return Double.isFinite(value.doubleValue()) ? new BigDecimal(value.toString()) : value.toString();
        }

        private static Map<String, Object> ofEntries(Map<?, ?> map) {
            Map<String, Object> row = hasOrder(map) ? new LinkedHashMap<>() : new TreeMap<>();
            map.forEach((key, value) -> row.put(name(String.valueOf(key)), plain(value)));
            return row;
        }

        /** In a text half a character is escaped; in a name readers of JSON refuse it, and the row would be lost. */
        private static String name(String name) {
            if (name.codePoints().noneMatch(Json::isHalf)) return name;
            throw new IllegalArgumentException("rows: the name \"" + clip(name, 40)
                + "\" holds half a character, a lone surrogate; rename it");
        }

        private static List<Object> ofValues(Collection<?> values) {
            var plain = values.stream().map(Row::plain);
            return (values instanceof Set && !hasOrder(values) ? plain.sorted(Comparator.comparing(Objects::toString))
                : plain).collect(Collectors.toList());
        }

        /** Map.of and Set.of come in another order in each run, and another order would be another batch to pay. */
        private static boolean hasOrder(Object values) {
            return values instanceof LinkedHashMap || values instanceof SortedMap || values instanceof LinkedHashSet
                || values instanceof SortedSet;
        }

        private static Map<String, Object> ofComponents(Record record) {
            var row = new LinkedHashMap<String, Object>();
            for (RecordComponent component : record.getClass().getRecordComponents())
                row.put(component.getName(), plain(component(record, component)));
            return row;
        }

        /** A record nested in a script's class is not public, so its accessors are opened first. */
        private static Object component(Record record, RecordComponent component) {
            try {
                component.getAccessor().setAccessible(true);
                return component.getAccessor().invoke(record);
            } catch (ReflectiveOperationException e) {
                throw new IllegalArgumentException("rows: cannot read " + component + " of " + record, e);
            }
        }

        private static List<Object> ofArray(Object array) {
            return LongStream.range(0, Array.getLength(array)).mapToObj(i -> plain(Array.get(array, (int) i)))
                .collect(Collectors.toList());
        }
    }

    /** A file that the user named: on disk, else on the class path, where a recipe from a URL carries its own. */
    private record Input(String word, String name, Path path, URL resource) {
        static Input find(String word, String name) {
            return locate(word, name).orElseThrow(() -> new IllegalArgumentException(word + ": no file " + name
                + " (looked at "
                + absolute(name) + " and on the class path)"));
        }

        static Optional<Input> locate(String word, String name) {
            if (given(word, name).isBlank() || !isPath(name)) return Optional.empty();
            var path = Path.of(name);
            if (Files.exists(path) && !Files.isDirectory(path)) return Optional.of(new Input(word, name, path, null));
            var resource = path.isAbsolute() || Files.isDirectory(path) ? null
                : Sheaf.class.getResource("/" + name.replace('\\', '/'));
            return resource == null || resource.getPath().endsWith("/") ? Optional.empty()
                : Optional.of(new Input(word, name, null, resource));
        }

        private static boolean isPath(String name) {
            try {
                return Path.of(name).getFileName() != null;
            } catch (InvalidPathException e) {
                return false;
            }
        }

        private static String absolute(String name) {
            return isPath(name) ? Path.of(name).toAbsolutePath().normalize().toString() : "it as a path";
        }

        InputStream open() {
            try {
                return path == null ? resource.openStream() : Files.newInputStream(path);
            } catch (IOException e) {
                throw new UncheckedIOException(word + ": cannot read " + name + " (" + reason(e) + ")", e);
            }
        }

        String text() {
            try (var in = open()) {
                return strictUtf8(ByteBuffer.wrap(in.readAllBytes()));
            } catch (CharacterCodingException e) {
                throw notUtf8(e);
            } catch (IOException e) {
                throw new UncheckedIOException(word + ": cannot read " + name + " (" + reason(e) + ")", e);
            }
        }

        String fileName() { return Path.of(name).getFileName().toString(); }

        IllegalArgumentException fault(long line, String what, Throwable cause) {
            return new IllegalArgumentException(word + ": " + name + " line " + line + ": " + what, cause);
        }

        /** Names the first line that is not UTF-8; the decoder itself knows no lines. */
        IllegalArgumentException notUtf8(Throwable cause) {
            long bad = 0;
            try (var lines = new Lines(open())) {
                while (bad == 0 && lines.advance())
                    if (!lines.isUtf8()) bad = lines.number();
            } catch (IOException e) {
                cause.addSuppressed(e);
            }
            return fault(bad, "not UTF-8; save the file as UTF-8", cause);
        }
    }

    private static <T, R extends Iterator<T> & Closeable> Stream<T> stream(R rows) {
        return StreamSupport.stream(Spliterators.spliteratorUnknownSize(rows, Spliterator.ORDERED), false)
            .onClose(() -> {
            try {
                rows.close();
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        });
    }

    /** An iterator that reads one element ahead. */
    private abstract static class RowReader<T> implements Iterator<T>, Closeable {
        private T next;
        private boolean done;

        /** Returns the next element, or null at the end. */
        abstract T read() throws IOException;

        @Override public boolean hasNext() {
            if (next == null && !done) {
                try {
                    next = read();
                } catch (IOException e) {
                    throw new UncheckedIOException(e);
                }
                done = next == null;
            }
            return next != null;
        }

        @Override public T next() {
            if (!hasNext()) throw new NoSuchElementException();
            var result = next;
            next = null;
            return result;
        }
    }

    /** FastCSV is asked for plain records: in its named mode it drops fields that have no header. */
    private static final class CsvRows extends RowReader<Map<String, Object>> {
        private final Input input;
        private final CsvReader<CsvRecord> reader;
        private final Iterator<CsvRecord> records;
        private List<String> header;

        CsvRows(Input input) {
            this.input = input;
            reader = CsvReader.builder().allowUnclosedQuote(false).skipEmptyLines(false)
                .extraFieldStrategy(FieldMismatchStrategy.IGNORE)
                .missingFieldStrategy(FieldMismatchStrategy.IGNORE)
                .ofCsvRecord(strictReader(input.open()));
            records = reader.iterator();
        }

        @Override Map<String, Object> read() {
            if (header == null) header = header();
            var record = nextRecord();
            while (record != null && isBlank(record)) record = nextRecord();
            return record == null ? null : row(record);
        }

        private List<String> header() {
            var first = nextRecord();
            if (first == null) throw input.fault(1, "no header; the first line names the columns", null);
            var names = first.getFields();
            var seen = new HashSet<String>();
            if (names.size() == 1 && names.get(0).matches(".*[;\t].*"))
                throw input.fault(1, "one column, \"" + clip(names.get(0), 40) + "\"; separate columns by commas",
                    null);
            for (var name : names)
                if (!seen.add(name)) throw input.fault(1, "two columns are named \"" + name + "\"; rename one", null);
            return names;
        }

        /** With one column, an empty line is a row whose value is empty. */
        private boolean isBlank(CsvRecord record) {
            return header.size() > 1 && record.getFieldCount() == 1 && record.getField(0).isEmpty();
        }

        private CsvRecord nextRecord() {
            try {
                return records.hasNext() ? records.next() : null;
            } catch (CsvParseException e) {
                throw new IllegalArgumentException("csv: " + input.name() + ": " + cause(e), e);
            } catch (UncheckedIOException e) {
                throw e.getCause() instanceof CharacterCodingException c ? input.notUtf8(c) : e;
            }
        }

        private Map<String, Object> row(CsvRecord record) {
            if (record.getFieldCount() != header.size())
                throw input.fault(record.getStartingLineNumber(), record.getFieldCount()
                    + " fields where the header has "
                    + header.size() + " (" + String.join(", ", header) + "); "
                    + (record.getFieldCount() > header.size() ? "quote a field that holds a comma"
                    : "a comma is missing"), null);
            var row = new LinkedHashMap<String, Object>();
            for (int i = 0; i < header.size(); i++) row.put(header.get(i), record.getField(i));
            return row;
        }

        @Override public void close() throws IOException { reader.close(); }
    }

    private static final class JsonlRows extends RowReader<Map<String, Object>> {
        private final Input input;
        private final Lines lines;

        JsonlRows(Input input) {
            this.input = input;
            lines = new Lines(input.open());
        }

        @Override Map<String, Object> read() throws IOException {
            while (lines.advance())
                if (!lines.isBlank()) return row();
            return null;
        }

        private Map<String, Object> row() {
            if (!lines.isUtf8()) throw input.fault(lines.number(), "not UTF-8; save the file as UTF-8", null);
            try {
                var row = Json.object(lines.text());
                if (row != null) return row;
                throw input.fault(lines.number(), "null is not a JSON object; each line is a row", null);
            } catch (JsonProcessingException e) {
                throw input.fault(lines.number(), "not a JSON object (" + reason(e) + ")", e);
            }
        }

        @Override public void close() throws IOException { lines.close(); }
    }

    /** Reads an array of objects one at a time. */
    private static final class JsonRows extends RowReader<Map<String, Object>> {
        private final Input input;
        private final JsonParser parser;
        private boolean opened;

        JsonRows(Input input) {
            this.input = input;
            try {
                parser = Json.MAPPER.createParser(strictReader(input.open()));
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }

        @Override Map<String, Object> read() throws IOException {
            try {
                if (!opened && parser.nextToken() != JsonToken.START_ARRAY) throw notAnArray();
                opened = true;
                var token = parser.nextToken();
                if (token == JsonToken.END_ARRAY) return end();
                if (token != JsonToken.START_OBJECT) throw input.fault(line(), "not an object; each element is a row",
                    null);
                return Json.ROWS.readValue(parser);
            } catch (JsonProcessingException e) {
                throw input.fault(e.getLocation() == null ? line() : e.getLocation().getLineNr(), reason(e), e);
            } catch (CharacterCodingException e) {
                throw input.notUtf8(e);
            }
        }

        private Map<String, Object> end() throws IOException {
            if (parser.nextToken() != null) throw input.fault(line(), "more after the array; a file holds one", null);
            return null;
        }

        private long line() { return parser.currentLocation().getLineNr(); }

        private IllegalArgumentException notAnArray() {
            return input.fault(line(), "not an array of objects; for one object a line use jsonl(...)", null);
        }

        @Override public void close() throws IOException { parser.close(); }
    }

    /**
     * A Mustache text. Values are written as they are, without HTML escaping; a value that is missing is an error;
     * partials are refused, so a template reads no file.
     */
    public static final class Template {
        private static final List<String> PLACES = List.of("%s", "%s.mustache", "templates/%s",
            "templates/%s.mustache");
        private final String name;
        private final String text;
        private final boolean isNamed;                // by the user; else it is a text in prompts(...)
        private Mustache mustache;

        private Template(String name, String text, boolean isNamed) {
            this.name = name;
            this.text = text;
            this.isNamed = isNamed;
        }

        private Template(String name, String text) { this(name, text, !name.isEmpty()); }

        private static Template compiled(String name, String text) {
            return new Template(given("template", name), given("template", text)).compiled();
        }

        /** A literal need not be Mustache, so a text is compiled only where there are rows. */
        private Template compiled() {
            if (mustache == null) mustache = Templates.compile(name, text);
            return this;
        }

        private Set<String> names() { return Templates.names(compiled().mustache); }

        private static Template find(String file) {
            if (given("template", file).contains("{{") || file.contains("\n"))
                throw new IllegalArgumentException("template: takes a file name; for text write prompts(\""
                    + clip(file, 40)
                    + "\", data) or template(name, text)");
            return PLACES.stream().flatMap(place -> Input.locate("template", place.formatted(file)).stream())
                .findFirst()
                .map(input -> compiled(nameOf(file), chomp(input.text())))
                .orElseThrow(() -> new IllegalArgumentException("template: no file " + file + " (looked for "
                    + PLACES.stream().map(place -> place.formatted(file)).collect(Collectors.joining(", "))
                    + " at " + Path.of("").toAbsolutePath() + " and on the class path)"));
        }

        private static String nameOf(String file) {
            return Path.of(file).getFileName().toString().replaceFirst("\\.mustache$", "");
        }

        /** An editor ends a file with a newline that no prompt wants. */
        private static String chomp(String text) { return text.replaceFirst("\\r?\\n\\z", ""); }

        /** Returns the name that labels this template's results. */
        public String name() { return name; }

        /** Returns the text with its tags. */
        public String text() { return text; }

        private boolean hasTags() { return text.contains("{{"); }

        private boolean namesAny(Set<String> columns) {
            return names().stream().anyMatch(name -> columns.contains(name)
                || columns.contains(name.replaceFirst("\\..*", "")));
        }

        private String render(String word, long row, Map<String, Object> values) {
            var missing = new LinkedHashMap<String, Integer>();
            var result = Templates.render(compiled().mustache, values, missing);
            if (missing.isEmpty()) return result;
            throw new IllegalArgumentException(word + ": row " + row + " has no value for "
                + Templates.describe(missing) + "; "
                + Templates.has(values));
        }

        /** Names the tags, which a row has to fill. */
        @Override public String toString() {
            var tags = hasTags() ? names() : Set.<String>of();
            return "Template[" + name + tags.stream().map(tag -> " {{" + tag + "}}").collect(Collectors.joining())
                + "]";
        }
    }

    // ---- Draft: a batch not yet submitted ----

    /**
     * A batch not yet submitted: an immutable value, nothing is sent. Every word returns a draft with that change, so a
     * common draft can be kept and reused.
     */
    public static final class Draft implements Cloneable {
        private static final Set<String> OWN_FIELDS = Set.of("model", "messages", "input", "prompt");
        private Provider provider;
        private String name;
        private List<Template> models = List.of();
        private Template system;
        private List<Template> examples = List.of();          // user, assistant, user, assistant, ...
        private List<Template> prompts = List.of();
        private Data data;                                     // null: the prompts are literals
        private List<Template> images = List.of();
        private Template customId;
        private Map<String, Object> body = Map.of();           // fields that every request body shares
        private Integer maxTokens;
        private String endpoint = "/v1/chat/completions";
        private String completionWindow = "24h";
        private Map<String, String> metadata = Map.of();
        private Input requests;                                // an existing file of request lines, instead of prompts
        // results whose requests are sent once more, instead of prompts
        private Results again;
        private boolean growing;                               // their truncated ones with twice the limit of tokens
        private String note = "";                              // said when it is submitted
        private int repairs;
        private boolean reuse;
        private boolean quiet;

        private Draft() {}

        private Draft copy(Consumer<Draft> change) {
            var copy = clone();
            change.accept(copy);
            return copy;
        }

        @Override protected Draft clone() {
            try {
                return (Draft) super.clone();
            } catch (CloneNotSupportedException e) {
                throw new AssertionError(e);
            }
        }

        /** Returns a draft for this provider. If not called, the environment names it: see {@link Provider#chosen}. */
        public Draft provider(Provider provider) {
            given("provider", provider);
            return copy(d -> d.provider = provider);
        }

        /** Returns a draft for the provider of this name or base URL. */
        public Draft provider(String nameOrUrl) { return provider(Provider.named(nameOrUrl)); }

        /** Returns a draft that sends each prompt to each of these models; a model may be a template over the row. */
        public Draft model(String first, String... more) {
            var models = texts("model", first, more);
            if (models.stream().map(Template::text).distinct().count() < models.size())
                throw new IllegalArgumentException("model: the same model twice would be paid twice; name each once");
            if (models.stream().anyMatch(model -> model.text.isBlank()))
                throw new IllegalArgumentException("model: the name is empty; models() lists what there is");
            return copy(d -> d.models = models);
        }

        /** Returns a draft with this system prompt, a template over the row. */
        public Draft system(String text) { return copy(d -> d.system = text("system", text)); }

        /**
         * Returns a draft that adds a turn before the prompt: what a user may say, and what the model should answer.
         */
        public Draft example(String user, String assistant) {
            return copy(d -> d.examples = plus(examples, text("example", user), text("example", assistant)));
        }

        /** Returns a draft that adds these prompts as they stand: without data nothing is expanded. */
        public Draft prompts(String first, String... more) { return adding(texts("prompts", first, more), null); }

        /** Returns a draft that adds these prompts, texts or templates, as they stand. */
        public Draft prompts(List<?> prompts) { return adding(mixed(prompts), null); }

        /** Returns a draft that adds one prompt for each row: a Mustache text over its columns. */
        public Draft prompts(String text, Data data) {
            return adding(List.of(text("prompts", text)), given("prompts", data));
        }

        /** Returns a draft that adds one prompt for each row. */
        public Draft prompts(Template template, Data data) {
            return adding(List.of(given("prompts", template)), given("prompts", data));
        }

        /** Returns a draft that adds one prompt for each row and each of these templates or texts. */
        public Draft prompts(List<?> templates, Data data) { return adding(mixed(templates), given("prompts", data)); }

        private Draft adding(List<Template> more, Data rows) {
            if (rows != null) more.forEach(Template::compiled);
            if (more.isEmpty()) throw new IllegalArgumentException("prompts: the list is empty; give at least one "
                + "text or template");
            if (!prompts.isEmpty() && !Objects.equals(data, rows))
                throw new IllegalArgumentException("prompts: the draft already has prompts over "
                    + (data == null ? "no data" : Source.nameOf(data)) + "; all prompts of a batch share one dataset");
            var named = numbered(plus(prompts, more.toArray(Template[]::new)));
            return copy(d -> {
                d.prompts = named;
                d.data = rows;
            });
        }

        /** A prompt given as text is called by its place: prompt-1. Two prompts of one name could not be told apart. */
        private static List<Template> numbered(List<Template> prompts) {
            var named = new ArrayList<Template>();
            for (var prompt : prompts)
                named.add(prompt.name.isEmpty() ? new Template("prompt-" + (named.size() + 1), prompt.text, false)
                    : prompt);
            var names = new HashSet<String>();
            for (var prompt : named)
                if (!names.add(prompt.name))
                    throw new IllegalArgumentException("prompts: two templates are named \"" + prompt.name
                        + "\"; name one by template(name, text)");
            return List.copyOf(named);
        }

        /**
         * Returns a draft that adds an image to each prompt: an http(s) or data URL or a local file, a template over
         * the row.
         */
        public Draft image(String url) { return copy(d -> d.images = plus(images, text("image", url))); }

        /**
         * Returns a draft whose results carry this id, a template over the row; it must be unique per row. If not
         * called, it is {@code request-1} and so on. On the wire the id is always Sheaf's own, so this one may be of
         * any length.
         */
        public Draft customId(String template) { return copy(d -> d.customId = text("customId", template)); }

        /**
         * Returns a draft of this name, under which it is kept and found again. If not called, the data's name. A name
         * with a date in it tells one day's batch from the next day's over the same rows.
         */
        public Draft name(String name) {
            if (!given("name", name).matches("[A-Za-z0-9][A-Za-z0-9._-]{0,63}"))
                throw new IllegalArgumentException("name: \"" + clip(name, 80)
                    + "\" is not 1 to 64 letters, digits, '.', '_' or '-'");
            return copy(d -> d.name = name);
        }

        /** Returns a draft with this sampling temperature; 0 is the most predictable. */
        public Draft temperature(double temperature) { return with("temperature", temperature); }

        /** Returns a draft that ends each answer after so many tokens, sent as the field that the provider wants. */
        public Draft maxTokens(int tokens) {
            if (tokens < 1) throw new IllegalArgumentException("maxTokens: " + tokens + " is less than 1");
            return copy(d -> d.maxTokens = tokens);
        }

        /** Returns a draft that sends any other field in every request body: {@code with("top_p", 0.9)}. */
        public Draft with(String field, Object value) {
            if (given("with", field).isBlank()) throw new IllegalArgumentException("with: the field has no name");
            if (field.equals("stream")) throw new IllegalArgumentException("with: a batch cannot stream; leave "
                + "stream out");
            if (OWN_FIELDS.contains(field))
                throw new IllegalArgumentException("with: " + field
                    + " has a word of its own: model(...), prompts(...) or system(...)");
            if (value instanceof Number number && !Double.isFinite(number.doubleValue()))
                throw new IllegalArgumentException("with: " + field + " is " + number + ", which JSON cannot say");
            var fields = new TreeMap<>(body);
            fields.put(field, Row.plain(value));
            return copy(d -> d.body = Collections.unmodifiableMap(fields));
        }

        /**
         * Returns a draft for this time limit, such as {@code 24h}. If not called, {@code 24h}, which every provider
         * has.
         */
        public Draft completionWindow(String window) {
            if (!given("completionWindow", window).matches("[1-9][0-9]*[hd]"))
                throw new IllegalArgumentException("completionWindow: \"" + window
                    + "\" is not a number of hours or days, like 24h");
            return copy(d -> d.completionWindow = window);
        }

        /**
         * Returns a draft that adds a pair to the batch's metadata at the provider: at most 15, 64 and 512 characters
         * long.
         */
        public Draft metadata(String key, String value) {
            if (given("metadata", key).length() > 64 || given("metadata", value).length() > 512)
                throw new IllegalArgumentException("metadata: \"" + clip(key, 80)
                    + "\" is over 64 characters, or its value over 512");
            if ((key + " " + value).codePoints().anyMatch(Json::isHalf))
                throw new IllegalArgumentException("metadata: \"" + clip(key, 80)
                    + "\" holds half a character, a lone surrogate; drop it");
            if (key.equals(Wire.TOKEN)) throw new IllegalArgumentException("metadata: \"" + Wire.TOKEN
                + "\" is Sheaf's own key");
            var pairs = new TreeMap<>(metadata);
            pairs.put(key, value);
            if (pairs.size() > 15) throw new IllegalArgumentException("metadata: more than 15 pairs; drop one");
            return copy(d -> d.metadata = Collections.unmodifiableMap(pairs));
        }

        /**
         * Returns a draft for another endpoint, such as {@code /v1/embeddings}. If not called, {@code
         * /v1/chat/completions}.
         */
        public Draft endpoint(String path) {
            if (!given("endpoint", path).startsWith("/")) throw new IllegalArgumentException("endpoint: \"" + path
                + "\" is not a path like /v1/embeddings");
            return copy(d -> d.endpoint = path);
        }

        /** Returns a draft of an existing JSON Lines file of request lines, which is checked and submitted as it is. */
        public Draft requests(String file) {
            var input = Input.find("requests", file);
            return copy(d -> d.requests = input);
        }

        /** Returns a draft of an existing JSON Lines file of request lines. */
        public Draft requests(Path file) { return requests(given("requests", file).toString()); }

        /**
         * Returns a draft whose {@link Batch#results} send again, up to so many times, the requests that may succeed
         * next time: expired, cancelled, missing, or broken at the provider, as they were; truncated ones with twice
         * the limit of tokens. Each round is a batch of its own, that is paid. If not called, none is sent again.
         */
        public Draft repair(int rounds) {
            notNegative("repair", rounds);
            return copy(d -> d.repairs = rounds);
        }

        /**
         * Returns a draft that sends only the requests that differ from those last submitted under the same name; of
         * the others the answers of then are taken. If not called, all requests are sent.
         */
        public Draft reuse() { return copy(d -> d.reuse = true); }

        /** Returns a draft that shows no progress and no notes. */
        public Draft quiet() { return copy(d -> d.quiet = true); }

        /** Returns the first request lines, exactly as they would be sent. Nothing is sent. */
        public Preview preview(int n) {
            notNegative("preview", n);
            var lines = new ArrayList<String>();
            try (var requests = expansion().requests()) {
                requests.limit(n).forEach(request -> lines.add(request.text()));
            }
            return new Preview(List.copyOf(lines));
        }

        /** Writes every request line to a file, as a provider takes it. Nothing is sent. */
        public void toJsonl(String file) { toJsonl(Path.of(given("toJsonl", file))); }

        /** Writes every request line to a file, as a provider takes it. Nothing is sent. */
        public void toJsonl(Path file) {
            Atomic.stream("toJsonl", file, out -> {
                try (var requests = expansion().requests()) {
                    for (var i = requests.iterator(); i.hasNext(); ) out.write(i.next().line());
                }
            });
        }

        /**
         * Expands the rows, uploads the input files and creates the batch. Returns before any request has run. A draft
         * that was submitted before is not sent again: the returned batch is that one.
         * @throws IllegalArgumentException if the data, a template or a setting is at fault; nothing was sent
         * @throws BatchException if the provider refuses a file or the batch
         * @see <a href="https://platform.openai.com/docs/api-reference/batch/create">Create batch</a>
         */
        public Batch submit() {
            check();
            var chosen = provider == null ? Provider.chosen() : provider;
            if (!quiet && !note.isEmpty()) System.err.println(note);
            if (!quiet && data == null) prompts.stream().filter(Template::hasTags).forEach(Draft::warnOfTags);
            return new Batch(chosen, quiet).submit(this, new Expansion(this, chosen));
        }

        private Expansion expansion() {
            check();
            return new Expansion(this, provider == null ? Provider.chosenOrAny() : provider);
        }

        private void check() {
            if (again != null) refuse("retry: the requests are made already", againWord());
            else if (requests != null) refuse("requests: the file says it all", requestsWord());
            else if (prompts.isEmpty()) throw new IllegalStateException("submit: no prompts; call prompts(text, "
                + "data) first");
            else if (models.isEmpty()) throw new IllegalStateException("submit: no model; call model(\"...\"), and "
                + "models() lists them");
            if (requests == null && again == null && data == null) checkLiterals();
            if (requests == null && !Set.of("/chat/completions", "/responses").contains(route(endpoint)))
                checkPlainEndpoint();
        }

        /** Without data nothing is expanded: a tag in a prompt may be meant, elsewhere it never is. */
        private void checkLiterals() {
            prompts.forEach(Draft::refuseFileName);
            prompts.stream().filter(prompt -> prompt.isNamed && prompt.hasTags()).findFirst().ifPresent(prompt -> {
                throw new IllegalStateException("prompts: template " + prompt.name
                    + " has no data; give it as prompts(template, csv(...))");
            });
            if (customId != null) throw new IllegalStateException("customId: there is no data to make ids from");
            Stream.of(models, examples, images, system == null ? List.<Template>of() : List.of(system))
                .flatMap(List::stream)
                .filter(Template::hasTags).findFirst().ifPresent(template -> {
                    throw new IllegalStateException("submit: \"" + clip(template.text, 60)
                        + "\" has no data; give it as prompts(text, csv(...))");
                });
        }

        /** Azure leaves the version out of an endpoint. */
        private static String route(String endpoint) { return endpoint.replaceFirst("^/v[0-9]+/", "/"); }

        private void checkPlainEndpoint() {
            var word = system != null ? "system(...)" : !examples.isEmpty() ? "example(...)" : !images.isEmpty()
                ? "image(...)" : null;
            if (word != null) throw new IllegalStateException("endpoint: " + endpoint + " takes no messages; drop "
                + word);
        }

        private static void refuse(String why, String word) {
            if (word != null) throw new IllegalStateException(why + "; " + word + " would be ignored");
        }

        private String requestsWord() {
            return againWord() != null ? againWord() : !models.isEmpty() ? "model(\"" + models.get(0).text + "\")"
                : maxTokens != null ? "maxTokens(" + maxTokens + ")"
                : body.isEmpty() ? null : "with(\"" + body.keySet().iterator().next() + "\", ...)";
        }

        private String againWord() {
            return !prompts.isEmpty() ? "prompts(...)" : system != null ? "system(...)"
                : !examples.isEmpty() ? "example(...)" : !images.isEmpty() ? "image(...)"
                : customId != null ? "customId(...)" : !endpoint.equals("/v1/chat/completions") ? "endpoint(...)"
                : again != null && models.size() > 1 ? "a second model" : null;
        }

        /** Catches {@code prompts("Translate {{text}}", "reviews.csv")}, which compiles as two literals. */
        private static void refuseFileName(Template prompt) {
            if (prompt.text.matches("\\S+\\.(csv|jsonl|json)"))
                throw new IllegalArgumentException("prompts: \"" + prompt.text
                    + "\" is sent as a prompt; did you mean prompts(text, "
                    + prompt.text.replaceFirst(".*\\.", "") + "(\"" + prompt.text + "\"))?");
        }

        private static void warnOfTags(Template prompt) {
            System.err.println("prompts: \"" + clip(prompt.text, 60)
                + "\" is sent as it stands, for there is no data; to fill it in, "
                + "prompts(text, csv(...))");
        }

        private static Template text(String word, String text) {
            return new Template("", given(word, text));
        }

        private static List<Template> texts(String word, String first, String... more) {
            return Stream.concat(Stream.of(text(word, first)), Stream.of(given(word, more))
                .map(text -> text(word, text))).toList();
        }

        private static List<Template> mixed(List<?> prompts) {
            return given("prompts", prompts).stream().map(prompt -> {
                if (prompt instanceof Template template) return template;
                if (prompt instanceof String text) return text("prompts", text);
                throw new IllegalArgumentException("prompts: " + prompt + " is neither a text nor a template");
            }).toList();
        }

        private static List<Template> plus(List<Template> list, Template... more) {
            return Stream.concat(list.stream(), Stream.of(more)).toList();
        }

        /** What shapes the requests, to tell later what has changed. */
        private ObjectNode settings() {
            var settings = new LinkedHashMap<String, Object>();
            settings.put("model", String.join(", ", models.stream().map(Template::text).toList()));
            if (system != null) settings.put("system", system.text);
            settings.put("example", examples.stream().map(Template::text).toList());
            settings.put("prompts", prompts.stream().map(prompt -> List.of(prompt.name, prompt.text)).toList());
            settings.put("image", images.stream().map(Template::text).toList());
            if (maxTokens != null) settings.put("maxTokens", maxTokens);
            settings.put("endpoint", endpoint);
            settings.put("completionWindow", completionWindow);
            settings.putAll(body);
            return Json.MAPPER.valueToTree(settings);
        }

        private String givenName() {
            if (name != null) return name;
            if (again != null) return again.answers.journal.name().replaceFirst("-retry$", "") + "-retry";
            var source = requests != null ? requests.fileName() : data == null ? "prompts" : Source.nameOf(data);
            var plain = source.replaceFirst("\\.[A-Za-z]+$", "").replaceAll("[^A-Za-z0-9._-]+", "-")
                .replaceFirst("^[^A-Za-z0-9]+", "");
            return plain.isEmpty() ? "batch" : plain.substring(0, Math.min(plain.length(), 40));
        }

        @Override public String toString() {
            if (requests != null) return "Draft[" + requests.fileName() + "]";
            if (again != null) return "Draft[" + again.size() + " requests of " + again.name + " again]";
            var what = prompts.size() + (prompts.size() == 1 ? " prompt" : " prompts")
                + (data == null ? "" : " over " + Source.nameOf(data));
            return "Draft[" + models.stream().map(Template::text).collect(Collectors.joining(", "))
                + (models.isEmpty() ? "" : ", ")
                + what + "]";
        }
    }

    /** The first request lines of a draft. Prints as JSON Lines. */
    public record Preview(List<String> lines) {
        /** Prints the lines to stdout. */
        public void show() { System.out.println(this); }

        /** Returns the lines as HTML, for a page or a notebook; they are escaped. */
        public String toHtml() { return Html.lines(toString()); }

        @Override public String toString() { return String.join("\n", lines); }
    }

    /** One request as it goes out: its line, and what stays here to join the answer to its row. */
    private record Request(long number, long row, Map<String, Object> values, String model, byte[] line) {
        String text() { return new String(line, 0, line.length - 1, StandardCharsets.UTF_8); }
    }

    /**
     * Expands a draft for a provider: row outermost, then template, then model. The same draft is the same bytes on any
     * JVM.
     */
    private static final class Expansion {
        /** What a literal prompt has for a row; an empty row of the user's is another one. */
        private static final Map<String, Object> NO_ROW = Collections.unmodifiableMap(new LinkedHashMap<>());
        private static final int SEARCHED_ROWS = 1_000;
        private static final List<String> LIMITS = List.of("max_completion_tokens", "max_tokens", "max_output_tokens");
        private static final Set<String> PLAIN_INPUT = Set.of("/embeddings", "/moderations");
        /** Several providers take 64 characters of ASCII; what tells the rounds apart comes after these. */
        private static final String SHORT_ID = "[!-~]{1,50}";
        private final Draft draft;
        private final Provider provider;
        // a custom id of the user's, and the row or line it came from
        private final Map<String, Long> ids = new HashMap<>();
        private final String endpoint;
        private final String route;
        private long row;
        private long number;
        private String customId;                               // that the user gave the row; null: none

        Expansion(Draft draft, Provider provider) {
            this.draft = draft;
            this.provider = provider;
            this.endpoint = draft.again != null ? draft.again.answers.journal.draft.path("endpoint").asText()
                : draft.requests == null ? draft.endpoint : firstUrl();
            this.route = Draft.route(endpoint);
        }

        String endpoint() { return endpoint; }

        /** Opens the requests; each call starts anew. */
        Stream<Request> requests() {
            ids.clear();
            row = number = 0;
            if (draft.again != null) return draft.again.stream().map(this::again);
            if (draft.requests != null) return stream(new RequestLines());
            if (draft.data == null) return expand(NO_ROW);
            checkData();
            return rows().flatMap(this::expand);
        }

        /** A user's own data may give what is no JSON, or in no order. */
        private Stream<Map<String, Object>> rows() {
            var rows = draft.data.open();
            return draft.data instanceof Source || draft.data instanceof Table || draft.data instanceof Results ? rows
                : rows.map(Row::of);
        }

        /** An optional section may name a column that the first rows lack, so many are asked. */
        private void checkData() {
            try (var rows = rows()) {
                var first = rows.limit(SEARCHED_ROWS).toList();
                if (first.isEmpty()) throw new IllegalArgumentException("prompts: " + Source.nameOf(draft.data)
                    + " has no rows; a batch needs at least one");
                if (first.stream().noneMatch(row -> templates().anyMatch(template -> template.namesAny(row.keySet()))))
                    throw namesNoColumn(first.get(0));
            }
        }

        /** An answer used as data stands under {@code result}; a column of that name would hide it. */
        private void checkColumn(String name, Object value) {
            if (name.startsWith("result.") || name.equals("result")
                && !(value instanceof Map<?, ?> result && result.containsKey("outcome")))
                throw new IllegalArgumentException("prompts: the column \"" + name + "\" of "
                    + Source.nameOf(draft.data) + " has the name of an answer; rename it");
        }

        private Stream<Template> templates() {
            return Stream.of(draft.prompts, draft.models, draft.examples, draft.images,
                    Stream.of(Optional.ofNullable(draft.system), Optional.ofNullable(draft.customId))
                        .flatMap(Optional::stream).toList())
                .flatMap(List::stream);
        }

        private IllegalArgumentException namesNoColumn(Map<String, Object> first) {
            var prompt = draft.prompts.get(0);
            if (prompt.hasTags()) prompt.render("prompts", 1, first);
            var advice = prompt.text.matches("[\\w./-]+") ? "did you mean template(\"" + prompt.text + "\")?"
                : "name a column like {{" + first.keySet().stream().findFirst().orElse("column") + "}}";
            return new IllegalArgumentException("prompts: \"" + clip(prompt.text, 40) + "\" names no column of "
                + Source.nameOf(draft.data)
                + " (" + String.join(", ", first.keySet()) + "); " + advice);
        }

        private Stream<Request> expand(Map<String, Object> values) {
            row++;
            values.forEach(this::checkColumn);
            if (draft.customId != null) claim(customId = render("customId", draft.customId, values));
            var requests = new ArrayList<Request>(draft.prompts.size() * draft.models.size());
            for (var prompt : draft.prompts)
                for (var model : draft.models) requests.add(request(prompt, render("model", model, values), values));
            return requests.stream();
        }

        private void claim(String id) {
            if (id.isBlank()) throw new IllegalArgumentException("customId: row " + row + " gives an empty id");
            var earlier = ids.putIfAbsent(id, row);
            if (earlier != null)
                throw new IllegalArgumentException("customId: rows " + earlier + " and " + row + " both give \""
                    + clip(id, 60)
                    + "\"; an id is unique");
        }

        private String render(String word, Template template, Map<String, Object> values) {
            return draft.data == null ? template.text : template.render(word, row, values);
        }

        /** The same request under its next id, and what the draft says anew; what stays here travels beside it. */
        private Request again(Result result) {
            if (!(result.request() instanceof ObjectNode line && line.path("body") instanceof ObjectNode body))
                throw new IllegalStateException("retry: the input file of this batch is gone, so its requests are "
                    + "unknown");
            number++;
            var first = result.answers.firstId(result.index);
            int round = result.round() + 1;
            line.put("custom_id", unused(first.matches(SHORT_ID) ? first + "-r" + round
                : Answers.WIRE_ID + number + "-r" + round));
            if (!draft.models.isEmpty()) body.put("model", draft.models.get(0).text);
            if (draft.growing && result.outcome() == Outcome.TRUNCATED)
                body.put(limitField(body), 2 * result.tokenLimit());
            settings(body);
            var kept = new LinkedHashMap<String, Object>();
            kept.put("first", first);
            kept.put("round", round);
            kept.put("customId", result.customId());
            kept.put("template", result.template());
            kept.put("row", result.row());
            return new Request(number, number, kept, body.path("model").asText(),
                fitting(Json.line(line), "retry: " + clip(result.customId(), 60)));
        }

        /** A file's own ids may look like those of a later round. */
        private String unused(String id) { return ids.putIfAbsent(id, number) == null ? id : unused(id + "x"); }

        private void settings(ObjectNode body) {
            draft.body.forEach((field, value) -> body.set(field, Json.CANONICAL.valueToTree(value)));
            if (draft.maxTokens == null) return;
            body.remove(LIMITS);
            body.put(maxTokensField(), draft.maxTokens);
        }

        private String limitField(JsonNode body) {
            return LIMITS.stream().filter(body::has).findFirst().orElseGet(this::maxTokensField);
        }

        private Request request(Template prompt, String model, Map<String, Object> values) {
            if (model.isBlank()) throw new IllegalArgumentException("model: row " + row + " gives an empty model");
            number++;
            var line = Json.MAPPER.createObjectNode();
            line.put("custom_id", Answers.WIRE_ID + number);
            line.put("method", "POST");
            line.put("url", endpoint);
            line.set("body", body(prompt, model, values));
            return new Request(number, row, values, model, fitting(Json.line(line), "prompts: row " + row + " ("
                + (customId == null ? Answers.WIRE_ID + number : clip(customId, 60)) + ")"));
        }

        private ObjectNode body(Template prompt, String model, Map<String, Object> values) {
            var body = Json.MAPPER.createObjectNode().put("model", model);
            var text = render("prompts", prompt, values);
            if (PLAIN_INPUT.contains(route)) body.put("input", text);
            else if (route.equals("/completions")) body.put("prompt", text);
            else body.set(route.equals("/responses") ? "input" : "messages", messages(text, values));
            settings(body);
            return body;
        }

        private String maxTokensField() {
            return switch (route) {
                case "/responses" -> "max_output_tokens";
                case "/completions" -> "max_tokens";
                default -> provider.dialect().maxTokensField();
            };
        }

        private ArrayNode messages(String text, Map<String, Object> values) {
            var messages = Json.MAPPER.createArrayNode();
            if (draft.system != null) message(messages, "system", render("system", draft.system, values));
            for (int i = 0; i < draft.examples.size(); i++)
                message(messages, i % 2 == 0 ? "user" : "assistant", render("example", draft.examples.get(i), values));
            var urls = draft.images.stream().map(image -> render("image", image, values)).filter(url -> !url.isBlank())
                .toList();
            if (urls.isEmpty()) message(messages, "user", text);
            else messages.addObject().put("role", "user").set("content", parts(text, urls));
            return messages;
        }

        private static void message(ArrayNode messages, String role, String content) {
            messages.addObject().put("role", role).put("content", content);
        }

        private ArrayNode parts(String text, List<String> urls) {
            var parts = Json.MAPPER.createArrayNode();
            boolean responses = route.equals("/responses");
            parts.addObject().put("type", responses ? "input_text" : "text").put("text", text);
            for (var url : urls) {
                var part = parts.addObject().put("type", responses ? "input_image" : "image_url");
                (responses ? part : part.putObject("image_url"))
                    .put(responses ? "image_url" : "url", Images.url(url.strip(), row));
            }
            return parts;
        }

        private byte[] fitting(byte[] line, String place) {
            if (line.length > provider.limits().bytes())
                throw new IllegalArgumentException(String.format(Locale.ROOT,
                    "%s makes a request of %,d bytes; %s takes %,d in one file; shorten the row", place, line.length,
                    provider.name(), provider.limits().bytes()));
            return line;
        }

        private String firstUrl() {
            try (var lines = new RequestLines()) {
                return lines.hasNext() ? lines.url : draft.endpoint;
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }

        /** The lines of an existing file, each checked, its bytes kept. */
        private final class RequestLines extends RowReader<Request> {
            private final Input input = draft.requests;
            private final Lines lines = new Lines(input.open());
            private String url;

            @Override Request read() throws IOException {
                while (lines.advance())
                    if (!lines.isBlank()) return request();
                if (url == null) throw new IllegalArgumentException("requests: " + input.name() + " has no lines");
                return null;
            }

            private Request request() throws IOException {
                if (!lines.isUtf8()) throw fault("not UTF-8; save the file as UTF-8");
                var text = lines.text();
                var line = parse(text);
                check(line);
                number++;
                row = lines.number();
                return new Request(number, number, null, line.at("/body/model").asText(), fitting(bytes(text),
                    "requests: line " + row + " (" + clip(line.path("custom_id").asText(), 60) + ")"));
            }

            /** The line as it is, but for what would end it for some reader; a lone return stands between tokens. */
            private static byte[] bytes(String text) {
                return (Json.escaped(text.replace('\r', ' ')) + "\n").getBytes(StandardCharsets.UTF_8);
            }

            private JsonNode parse(String text) {
                try {
                    return Json.MAPPER.readTree(text);
                } catch (JsonProcessingException e) {
                    throw fault("not JSON (" + reason(e) + ")");
                }
            }

            private void check(JsonNode line) {
                var id = line.path("custom_id").asText();
                if (!line.path("custom_id").isTextual()
                    || id.isBlank()) throw fault("no custom_id; each line needs its own");
                var earlier = ids.putIfAbsent(id, lines.number());
                if (earlier != null) throw fault("custom_id \"" + clip(id, 60) + "\" stands in line " + earlier
                    + " too; an id is unique");
                if (!line.path("method").asText().equals("POST")) throw fault("method is not \"POST\"");
                checkUrl(line.path("url").asText());
                if (!line.path("body").isObject()) throw fault("no body; it holds the request");
                if (line.at("/body/model").asText().isBlank()) throw fault("no body.model");
                if (line.at("/body/stream").asBoolean()) throw fault("stream is true; a batch cannot stream");
            }

            private void checkUrl(String found) {
                if (!found.startsWith("/")) throw fault("url \"" + clip(found, 60)
                    + "\" is not a path like /v1/chat/completions");
                if (url == null) url = found;
                if (!url.equals(found)) throw fault("url " + found + " differs from " + url
                    + " above; a batch has one endpoint");
            }

            private IllegalArgumentException fault(String what) { return input.fault(lines.number(), what, null); }

            @Override public void close() throws IOException { lines.close(); }
        }
    }

    /** What an image may be: an address that the provider fetches, or a file here, which travels inside the request. */
    private static final class Images {
        private static final Map<String, String> TYPES = Map.of("png", "image/png", "jpg", "image/jpeg", "jpeg",
            "image/jpeg",
            "gif", "image/gif", "webp", "image/webp");

        static String url(String image, long row) {
            if (image.matches("(?i)https?://[^/\\s]+.*") || image.matches("(?i)data:image/[^,]+,.+")) return image;
            var type = TYPES.get(image.replaceFirst(".*\\.", "").toLowerCase(Locale.ROOT));
            if (type == null || !Input.isPath(image) || !Files.isRegularFile(Path.of(image)))
                throw new IllegalArgumentException("image: row " + row + ": \"" + clip(image, 80)
                    + "\" is neither an http(s) or data URL nor a png, jpg, gif or webp file here");
            return dataUrl(Path.of(image), type);
        }

        private static String dataUrl(Path file, String type) {
            try {
                return "data:" + type + ";base64," + Base64.getEncoder().encodeToString(Files.readAllBytes(file));
            } catch (IOException e) {
                throw new UncheckedIOException("image: cannot read " + file + " (" + reason(e) + ")", e);
            }
        }
    }

    // ---- Batch: what was submitted ----

    /** Where a batch stands, in the provider's own word; one that OpenAI does not know counts as still going. */
    public record Status(String text) {
        public static final Status VALIDATING = new Status("validating");
        public static final Status FAILED = new Status("failed");
        public static final Status IN_PROGRESS = new Status("in_progress");
        public static final Status FINALIZING = new Status("finalizing");
        public static final Status COMPLETED = new Status("completed");
        public static final Status EXPIRED = new Status("expired");
        public static final Status CANCELLING = new Status("cancelling");
        public static final Status CANCELLED = new Status("cancelled");
        /** Of a part that is not yet at the provider, because its queue has no room. */
        public static final Status WAITING = new Status("waiting");
        private static final Set<Status> TERMINAL = Set.of(FAILED, COMPLETED, EXPIRED, CANCELLED);
        private static final Set<Status> KNOWN = Set.of(VALIDATING, FAILED, IN_PROGRESS, FINALIZING, COMPLETED, EXPIRED,
            CANCELLING, CANCELLED, WAITING);

        /** Some servers write COMPLETED, some one l in cancelled; what is neither stays as it is. */
        private static Status of(String wire) {
            var text = wire.strip().toLowerCase(Locale.ROOT);
            var known = new Status(text.equals("canceled") ? "cancelled" : text.equals("canceling") ? "cancelling" : text);
            return KNOWN.contains(known) ? known : new Status(wire.strip());
        }

        /** Returns whether nothing more will happen. */
        public boolean isTerminal() { return TERMINAL.contains(this); }

        @Override public String toString() { return text; }
    }

    /** How far a batch is, as its provider says. Progress only: the results are counted from the files. */
    public record RequestCounts(long total, long completed, long failed) {
        private static RequestCounts of(JsonNode batch) {
            var counts = batch.path("request_counts");
            return new RequestCounts(counts.path("total").asLong(counts.isNumber() ? counts.asLong()
                : batch.path("total").asLong()),
                counts.path("completed").asLong(batch.path("completed").asLong()),
                counts.path("failed").asLong(batch.path("failed").asLong()));
        }

        /** While it validates, a provider knows no total. */
        private RequestCounts of(long requests) {
            return new RequestCounts(Math.max(total, requests), completed, failed);
        }

        private RequestCounts plus(RequestCounts other) {
            return new RequestCounts(total + other.total, completed + other.completed, failed + other.failed);
        }

        @Override public String toString() {
            return (completed + failed) + "/" + total + (failed == 0 ? "" : ", " + failed + " failed");
        }
    }

    /**
     * One input file and the batch at the provider that runs it; a dataset larger than a provider takes in one file has
     * several. A file id is "" where there is none; {@code json} is all that the provider said.
     */
    public record Part(int number, String id, String inputFileId, String outputFileId, String errorFileId,
        Status status,
                       RequestCounts requestCounts, JsonNode json) {
        private static Part of(int number, JsonNode batch) {
            return new Part(number, batch.path("id").asText(), id(batch, "input_file_id"), id(batch, "output_file_id"),
                id(batch, "error_file_id"), Status.of(batch.path("status").asText()), RequestCounts.of(batch), batch);
        }

        /** Null, absent and "" all mean that there is no file. */
        private static String id(JsonNode batch, String field) {
            return batch.path(field).isTextual() ? batch.path(field).asText() : "";
        }

        private boolean hasRun() {
            return !status.equals(Status.FAILED) || !outputFileId.isEmpty() || !errorFileId.isEmpty();
        }

        private List<String> files() {
            return Stream.of(inputFileId, outputFileId, errorFileId).filter(id -> !id.isEmpty()).toList();
        }

        /** Whether it says that it is over, and not yet where its answers are: some providers name the file late. */
        private boolean lacksItsFiles() {
            return status.equals(Status.COMPLETED) && outputFileId.isEmpty() && errorFileId.isEmpty()
                && requestCounts.completed() + requestCounts.failed() > 0;
        }

        private Part as(Status other) {
            return new Part(number, id, inputFileId, outputFileId, errorFileId, other, requestCounts, json);
        }

        private boolean isWaiting() { return status.equals(Status.WAITING); }

        /** Whether the provider has it, and has not ended it. */
        private boolean isGoing() { return !status.isTerminal() && !isWaiting(); }

        /** Whether it failed only because there was no room for it: its file is as good as it was. */
        private boolean foundNoRoom() {
            return !hasRun() && faults().stream().anyMatch(fault -> fault.code().equals(BatchException.QUEUE_FULL)
                || BatchException.NO_ROOM.matcher(fault.message()).find());
        }

        /**
         * The faults that validation found; providers send a list, an object, a text or null, one of them elsewhere.
         */
        private List<Fault> faults() {
            var errors = json.hasNonNull("errors") ? json.path("errors") : json.path("error");
            var list = errors.isObject() ? errors.path("data") : errors;
            if (list.isTextual()) return List.of(new Fault(0, list.asText(), ""));
            if (list.isMissingNode() && !errors.isEmpty()) return List.of(Fault.of(errors));
            return StreamSupport.stream(list.spliterator(), false).map(Fault::of).toList();
        }

        @Override public String toString() {
            return "Part[" + number + " " + id + " " + status + " " + requestCounts + "]";
        }
    }

    private record Fault(long line, String message, String code) {
        static Fault of(JsonNode error) {
            if (error.isTextual()) return new Fault(0, error.asText(), "");
            return new Fault(error.path("line").asLong(), error.path("message").asText(""),
                error.path("code").asText(""));
        }

        String describe() {
            if (message.isBlank()) return code.isBlank() ? "no reason given" : code;
            return (code.isBlank() ? message : message + " (" + code + ")").strip();
        }
    }

    /** A batch that was submitted: a live handle. Its text shows what was last seen, without asking again. */
    public static final class Batch {
        private static final int SHOWN_FAULTS = 20;
        private static final Duration FOREVER = ChronoUnit.FOREVER.getDuration();
        private static final Duration MOMENT = Duration.ofMillis(1);
        private static final int FILE_POLLS = 5;
        private final Provider provider;
        private final boolean quiet;
        private final Queue queue;
        private final List<Part> parts = new ArrayList<>();
        private Journal journal;                   // null until needed, for a batch that was not submitted from here
        private int repairs;
        private int lateFiles;                     // polls that said completed and named no file

        private Batch(Provider provider, boolean quiet) {
            this.provider = provider;
            this.quiet = quiet;
            this.queue = new Queue(provider.isLocal());
        }

        private Batch(Provider provider, JsonNode batch) {
            this(provider, false);
            parts.add(Part.of(1, batch));
        }

        private Batch(Journal journal) { this(journal, journal.provider()); }

        private Batch(Journal journal, Provider provider) {
            this(provider, false);
            this.journal = journal;
            journal.lastSeen().forEach(this::remember);
        }

        private static Batch find(String idOrName, Provider named) {
            if (given("batch", idOrName).isBlank())
                throw new IllegalArgumentException("batch: the id is empty; batch() is a new one");
            var known = Journal.find(idOrName)
                .filter(journal -> named == null || journal.provider().name().equals(named.name()));
            if (known.isPresent()) return new Batch(known.get(), named == null ? known.get().provider() : named);
            var provider = named == null ? Provider.chosen() : named;
            try {
                return new Batch(provider, provider.wire().retrieve("batch", idOrName));
            } catch (BatchException e) {
                if (e.status() != 404) throw e;
                throw new BatchException("batch: no batch \"" + idOrName + "\" at " + provider.name() + " and none in "
                    + Journal.home()
                    + "; a new one is batch().model(\"" + idOrName + "\")", e);
            }
        }

        private Batch submit(Draft draft, Expansion expansion) {
            return new Progress(quiet).during(() -> "interrupted; run again to go on, and nothing is sent twice",
                progress -> stageAndSubmit(draft, expansion));
        }

        private Batch stageAndSubmit(Draft draft, Expansion expansion) {
            repairs = draft.repairs;
            try (var staging = new Staging(provider, expansion.endpoint(), draft.completionWindow)) {
                try (var requests = expansion.requests()) {
                    for (var i = requests.iterator(); i.hasNext(); ) staging.add(i.next());
                }
                var target = staging.target(draft);
                staging.compare(draft, target, this::note);
                try (var lock = Lock.on(target, this::note)) {
                    journal = staging.settle(draft, target);
                    journal.quiet = quiet;
                    submitOrAttach();
                }
                return this;
            } catch (IOException e) {
                throw new UncheckedIOException("submit: cannot write to " + Journal.home() + " (" + reason(e) + ")", e);
            }
        }

        private void submitOrAttach() {
            if (provider.isLocal()) journal.forgetWhatIsGone(provider.wire());
            journal.forgetWhatFailed();
            int created = journal.submit(provider, queue);
            journal.lastSeen().forEach(this::remember);
            note((created == 0 && hasBegun() ? attached() : submitted(created)) + waiting() + "; kept in "
                + journal.shortPath());
        }

        private boolean hasBegun() { return parts.isEmpty() || parts.stream().anyMatch(part -> !part.isWaiting()); }

        private String submitted(int created) {
            return "submitted " + (created == parts.size() ? id() : created + " of " + parts.size() + " parts of "
                + id())
                + " to " + provider.name() + " (" + size() + ")";
        }

        private String attached() {
            return "attached to " + id() + " (" + size() + ", submitted "
                + Journal.MINUTE.format(journal.submittedAt) + "), nothing was sent"
                + (unanswered().isEmpty() ? "" : "; it " + unanswered());
        }

        /** What a batch that was not run to its end lacks, as its provider counts. */
        private String unanswered() {
            var status = seenStatus();
            long unanswered = journal == null ? 0 : journal.sentCount() - seenCounts().completed();
            return !status.isTerminal() || status.equals(Status.COMPLETED) || unanswered <= 0 ? ""
                : (status.equals(Status.FAILED) ? "failed" : "has " + status) + " with "
                    + count(unanswered, "request") + " unanswered, which results().retry() or repair(1) sends again";
        }

        private String waiting() {
            long waiting = parts.stream().filter(Part::isWaiting).count();
            if (waiting == 0) return "";
            return "; " + waiting + (waiting == 1 ? " part waits" : " parts wait") + " for room at " + provider.name()
                + (queue.reason.isEmpty() ? "" : " (" + queue.reason + ")") + ", and await() submits "
                + (waiting == 1 ? "it" : "them");
        }

        private String size() {
            return count(journal.requestCount(), "request")
                + (journal.reusedCount() == 0 ? "" : String.format(Locale.ROOT, ", %,d of them answered before",
                    journal.reusedCount()))
                + (parts.size() < 2 ? "" : ", in " + parts.size() + " parts");
        }

        private void note(String text) {
            if (!quiet) System.err.println(text);
        }

        private synchronized void remember(Part part) {
            while (parts.size() < part.number()) parts.add(null);
            parts.set(part.number() - 1, part);
        }

        /**
         * Returns the batch's id at the provider; with several parts, the name under {@code ~/.sheaf}. {@code
         * batch(id)} takes it.
         */
        public String id() {
            return parts.size() == 1 && !parts.get(0).id().isEmpty() ? parts.get(0).id()
                : journal.dir.getFileName().toString();
        }

        /** Returns the name that it was submitted under; "" for one that was not submitted by Sheaf. */
        public String name() {
            if (journal != null) return journal.isAdopted() ? "" : journal.name();
            var mark = parts.get(0).json().path("metadata").path(Wire.TOKEN).asText("").split("/");
            return mark.length == 4 ? mark[2] : "";
        }

        private String submitted() {
            return submittedAt().equals(Instant.EPOCH) ? "" : Journal.MINUTE.format(submittedAt());
        }

        /** Returns who runs it. */
        public Provider provider() { return provider; }

        /**
         * Returns the folder under {@code ~/.sheaf} in which it is kept.
         * @throws IllegalStateException if it is not kept
         */
        public Path folder() { return keptAs("folder").dir; }

        /** Returns when it was submitted, as far as is known; of one that was not, when it was written down. */
        public Instant submittedAt() {
            var known = journal != null && !journal.isAdopted() ? journal.submittedAt
                : Json.instant(parts.get(0).json().path("created_at")).orElse(Instant.EPOCH);
            return known.equals(Instant.EPOCH) && journal != null ? journal.writtenAt() : known;
        }

        /** Returns whether it is over, as last seen: it has ended, or nothing of it was ever sent. Asks nobody. */
        public boolean isOver() { return seenStatus().isTerminal() || journal != null && journal.isUntouched(); }

        /** Returns where the batch stands; one GET a part, unless it has ended. */
        public Status status() {
            refresh("status");
            return seenStatus();
        }

        /** Returns how far the batch is, as the provider says; one GET a part, unless it has ended. */
        public RequestCounts requestCounts() {
            refresh("requestCounts");
            return seenCounts();
        }

        /** Returns the parts as the provider describes them; one GET a part, unless it has ended. */
        public List<Part> parts() {
            refresh("parts");
            return List.copyOf(parts);
        }

        private Status seenStatus() {
            var statuses = parts.stream().map(Part::status).toList();
            return statuses.stream().filter(status -> !status.isTerminal() && !status.equals(Status.WAITING))
                .findFirst()
                .or(() -> statuses.stream().filter(Status.WAITING::equals).findFirst())
                .or(() -> statuses.stream().filter(status -> !status.equals(Status.COMPLETED)).findFirst())
                .orElse(Status.COMPLETED);
        }

        private RequestCounts seenCounts() {
            return parts.stream().map(Part::requestCounts).reduce(new RequestCounts(0, 0, 0), RequestCounts::plus);
        }

        private void refresh(String step) {
            for (var part : List.copyOf(parts))
                if (part.isGoing()) rememberEnd(Part.of(part.number(), step.equals("await")
                    ? provider.wire().retrieveOnce(step, part.id()) : provider.wire().retrieve(step, part.id())));
        }

        private void rememberEnd(Part part) {
            if (journal != null && part.foundNoRoom()) {
                waitForRoom(part);
                return;
            }
            if (part.lacksItsFiles() && lateFiles++ < FILE_POLLS) part = part.as(Status.FINALIZING);
            remember(part);
            if (journal == null || !part.status().isTerminal()) return;
            journal.ended(part);
            queue.moved();
        }

        /** The provider took the part and failed it later, because its queue was full. */
        private void waitForRoom(Part part) {
            var alone = parts.stream().noneMatch(other -> other.isGoing() && other.number() != part.number());
            queue.refused(new BatchException(part.faults().get(0).describe(), BatchException.QUEUE_FULL, part.id()),
                Duration.ZERO, alone);
            try (var lock = Lock.on(journal.dir, this::note)) {
                journal.reload();
                journal.foundNoRoom(part);
            }
            remember(journal.part(part.number()));
        }

        /** Submits what waited, as far as there is room by now. */
        private void submitWaiting() {
            if (journal == null || parts.stream().noneMatch(Part::isWaiting) || !queue.isDue()
                || !journal.hasRoom(provider.limits())) return;
            try (var lock = Lock.on(journal.dir, this::note)) {
                journal.reload();
                journal.submit(provider, queue);
            }
            journal.lastSeen().filter(part -> parts.get(part.number() - 1).isWaiting()).forEach(this::remember);
        }

        /**
         * Waits until the batch has ended, however it ended, and returns it. Errors of the network do not end the wait.
         * @throws BatchException if the batch failed before any request ran, or the provider no longer lets it be seen
         */
        public Batch await() { return await(FOREVER); }

        /**
         * Waits at most so long.
         * @throws IllegalStateException if the batch has not ended by then; it goes on
         */
        public Batch await(Duration timeout) {
            boolean hasEnded = seenStatus().isTerminal();
            if (!hasEnded) watch(given("await", timeout));
            if (!parts.isEmpty() && parts.stream().noneMatch(Part::hasRun)) throw failed();
            if (!hasEnded && !unanswered().isEmpty() && repairs == 0) note("await: " + id() + " " + unanswered());
            return this;
        }

        private void watch(Duration timeout) {
            new Progress(quiet).during(this::interrupted, progress -> {
                long start = System.nanoTime();               // a clock on the wall may jump
                var backoff = new Backoff(provider.isLocal());
                while (!poll(backoff, progress)) {
                    var left = timeout.minusNanos(System.nanoTime() - start);
                    if (left.isNegative()) throw stillGoing(timeout);
                    backoff.pause(queue.reason.isEmpty() ? left : shorter(left, longer(queue.untilDue(), MOMENT)));
                }
                return this;
            });
        }

        private boolean poll(Backoff backoff, Progress progress) {
            try {
                refresh("await");
                submitWaiting();
                backoff.answered();
            } catch (BatchException | UncheckedIOException e) {
                if (!backoff.survives(e)) throw withRemedy(e);
                progress.trouble(e.getMessage());
            }
            progress.show(describe(), seenCounts().of(journal == null ? 0 : journal.sentCount()));
            return seenStatus().isTerminal();
        }

        private RuntimeException withRemedy(RuntimeException e) {
            if (!(e instanceof BatchException refusal) || refusal.status() != 404 || journal == null) return e;
            return new BatchException(e.getMessage() + "; if it is gone for good, delete " + journal.shortPath()
                + " and run again", refusal);
        }

        private String interrupted() {
            long waiting = parts.stream().filter(Part::isWaiting).count();
            return provider.isLocal() ? "interrupted; run again to go on"
                : id() + " goes on at " + provider.name() + "; run again, or batch(\"" + id()
                + "\"), to come back to it" + (waiting == 0 ? "" : " and submit what waits");
        }

        private IllegalStateException stillGoing(Duration timeout) {
            return new IllegalStateException("await: " + id() + " still " + seenStatus() + " after "
                + Progress.text(timeout) + " (" + seenCounts() + (queue.reason.isEmpty() ? "" : "; " + queue.reason)
                + "); it goes on: batch(\"" + id() + "\").await()");
        }

        private BatchException failed() {
            var faults = parts.stream().mapToInt(part -> part.faults().size()).sum();
            var shown = parts.stream().flatMap(this::placed).limit(SHOWN_FAULTS).collect(Collectors.joining(", "));
            var more = faults > SHOWN_FAULTS ? ", and " + (faults - SHOWN_FAULTS) + " more" : "";
            var code = parts.stream().flatMap(part -> part.faults().stream()).map(Fault::code).findFirst().orElse("");
            return new BatchException("await: " + id() + " failed; " + (faults == 0 ? "the provider gave no reason"
                : faults + (faults == 1 ? " fault" : " faults") + " in the input file: " + shown + more), code, id());
        }

        /** A line of an input file is told as the row it came from. */
        private Stream<String> placed(Part part) {
            var faults = part.faults().stream().limit(SHOWN_FAULTS).toList();
            var rows = journal == null || !journal.hasRows() ? Map.<Long, Long>of()
                : journal.rowsAt(part.number(), faults.stream().map(Fault::line).toList());
            return faults.stream().map(fault -> (rows.containsKey(fault.line()) ? "row " + rows.get(fault.line()) + " "
                : fault.line() > 0 ? "line " + fault.line() + " " : "") + fault.describe());
        }

        /** Asks the provider to stop; requests that run are finished, and what has finished stays. One POST a part. */
        public Batch cancel() {
            cancelGoing();
            if (parts.stream().noneMatch(Part::isWaiting)) return this;
            cancelWaiting();
            cancelGoing();                                     // what another process has submitted meanwhile
            return this;
        }

        private void cancelGoing() {
            for (var part : List.copyOf(parts))
                if (part.isGoing()) rememberEnd(Part.of(part.number(), provider.wire().cancel(part.id())));
        }

        /**
         * Deletes the folder under {@code ~/.sheaf} in which this batch is kept, with its answers. The same script then
         * attaches to what the provider still has of it, or pays again.
         * @throws IllegalStateException if it is not over, as last seen, or is not kept
         */
        public void delete() {
            var kept = keptAs("delete");
            try (var lock = Lock.on(kept.dir, this::note)) {
                kept.reload();                                 // another process may have gone on with it
                if (!kept.isUntouched()) kept.lastSeen().filter(part -> !hasSeenTheEnd(part)).findFirst()
                    .ifPresent(part -> { throw notOver(kept, part); });
                kept.delete();
                Files.deleteIfExists(Lock.file(kept.dir));
            } catch (IOException e) {
                throw new UncheckedIOException("delete: cannot delete " + kept.dir + " (" + reason(e) + ")", e);
            }
        }

        /** One of the provider's list may have ended since it was last looked at from here. */
        private boolean hasSeenTheEnd(Part known) {
            return known.status().isTerminal() || parts.stream().anyMatch(part -> part.status().isTerminal()
                && part.id().equals(known.id()));
        }

        private static IllegalStateException notOver(Journal kept, Part part) {
            return new IllegalStateException("delete: " + kept.folderName() + " is " + part.status()
                + " as last seen; await() or cancel() it first");
        }

        private Journal keptAs(String step) {
            return Optional.ofNullable(journal).or(() -> Journal.find(id(), provider)).orElseThrow(() ->
                new IllegalStateException(step + ": " + id() + " is not kept in " + Journal.home()));
        }

        private List<String> asKept() {
            var counts = seenCounts().of(journal.sentCount()).toString();
            return List.of(journal.folderName(), provider.name(), isOver() && !seenStatus().isTerminal() ? "not sent"
                : seenStatus().text(), counts, Journal.DAY.format(submittedAt()), journal.answers(),
                Tables.size(journal.bytes()));
        }

        private void cancelWaiting() {
            try (var lock = Lock.on(journal.dir, this::note)) {
                journal.reload();
                journal.cancelWaiting(provider.wire());
            }
            journal.lastSeen().filter(part -> parts.get(part.number() - 1).isWaiting()).forEach(this::remember);
        }

        /** Returns one result for each request, in input order; waits if need be, then fetches the files once. */
        public Results results() {
            if (journal == null) {
                var whole = Journal.find(id(), provider);
                if (whole.isPresent()) return new Batch(whole.get(), provider).results();
            }
            await();
            if (journal == null) journal = Staging.adopt(provider, parts.get(0), this::note);
            parts.forEach(journal::ended);
            var answers = new Progress(quiet).during(() -> "interrupted; run again to go on",
                progress -> new Answers(journal, provider, this::note));
            return new Results(answers, journal.name()).repaired(repairs, quiet);
        }

        private String describe() {
            long waiting = parts.stream().filter(Part::isWaiting).count();
            return id() + " " + seenStatus() + (waiting == 0 || parts.size() == 1 ? ""
                : " (" + waiting + " of " + parts.size() + " parts wait)");
        }

        @Override public String toString() { return "Batch[" + describe() + " " + seenCounts() + "]"; }
    }

    /** How long to wait before asking again, and which faults may pass. */
    private static final class Backoff {
        private static final int TOLERATED = 5;              // refusals in a row: a batch may be visible a little late
        private final Duration most;
        private Duration delay;
        private Duration asked = Duration.ZERO;               // Retry-After
        private int refusals;

        Backoff(boolean local) {
            delay = Duration.ofMillis(local ? 25 : 30_000);
            most = Duration.ofSeconds(local ? 2 : 120);
        }

        void answered() { refusals = 0; }

        boolean survives(RuntimeException e) {
            if (isPassing(e)) {
                asked = asked(e);
                return true;
            }
            return !Set.of(0, 401, 403).contains(((BatchException) e).status()) && ++refusals < TOLERATED;
        }

        void pause(Duration left) {
            var wait = longer(asked, jittered(delay));
            asked = Duration.ZERO;
            delay = shorter(most, delay.multipliedBy(3).dividedBy(2));
            sleep("await", shorter(wait, left));
        }

        static void pause(String step, boolean local, int attempt, RuntimeException e) {
            sleep(step, longer(asked(e), jittered(Duration.ofMillis((local ? 10L : 250L) << attempt))));
        }

        /** Clients that were cut off together do not come back together. */
        static Duration jittered(Duration time) {
            return time.multipliedBy(ThreadLocalRandom.current().nextInt(100, 151)).dividedBy(100);
        }

        private static Duration asked(RuntimeException e) {
            return e instanceof BatchException refusal ? refusal.retryAfter : Duration.ZERO;
        }

        /** Whether the same call may succeed a little later. */
        static boolean isPassing(RuntimeException e) {
            return e instanceof UncheckedIOException || e instanceof BatchException refusal
                && (Set.of(408, 425, 429).contains(refusal.status()) || refusal.status() >= 500 || refusal.isGarbled());
        }
    }

    // ---- Results: one outcome for every request ----

    /** How one request ended; every request ends in exactly one of these. */
    public enum Outcome {
        /** An answer came, whole. */
        SUCCEEDED,
        /** The request was refused or broke: an HTTP error, a fault of the provider, or of the input file. */
        ERRORED,
        /** The answer is not what was asked for: it holds no text. */
        INVALID,
        /** The answer was cut at the token limit. */
        TRUNCATED,
        /** The model, or a filter in front of it, declined to answer. */
        REFUSED,
        /** The completion window closed first. */
        EXPIRED,
        /** The batch was cancelled first. */
        CANCELLED,
        /** The provider's files hold no line for it. */
        MISSING;

        private static final Map<String, Outcome> BY_CODE = Map.of("batch_expired", EXPIRED, "batch_cancelled",
            CANCELLED);

        private static Outcome of(Answer answer, Status batch) {
            if (answer == null)
                return batch.equals(Status.FAILED) ? ERRORED : batch.equals(Status.EXPIRED) ? EXPIRED
                    : batch.equals(Status.CANCELLED) ? CANCELLED : MISSING;
            if (answer.hasError()) return BY_CODE.getOrDefault(answer.errorCode(), ERRORED);
            if (answer.status() < 200 || answer.status() > 299) return ERRORED;
            if (answer.isRefusal()) return REFUSED;
            if (answer.finishReason().equals("length")) return TRUNCATED;
            return answer.hasText() ? SUCCEEDED : INVALID;
        }

        /** Returns the name in lower case, as it stands in files and tables. */
        @Override public String toString() { return name().toLowerCase(Locale.ROOT); }
    }

    /**
     * Tokens, as the provider counted them. {@code cached} is part of {@code input}, {@code reasoning} of {@code
     * output}.
     */
    public record Usage(long input, long output, long cached, long reasoning) {
        private static final Usage NONE = new Usage(0, 0, 0, 0);

        private static Usage of(JsonNode usage) {
            return new Usage(first(usage, "prompt_tokens", "input_tokens"),
                first(usage, "completion_tokens", "output_tokens"),
                first(usage, "prompt_tokens_details", "input_tokens_details", "cached_tokens"),
                first(usage, "completion_tokens_details", "output_tokens_details", "reasoning_tokens"));
        }

        private static long first(JsonNode usage, String one, String other) {
            return usage.path(one).asLong(usage.path(other).asLong());
        }

        private static long first(JsonNode usage, String one, String other, String field) {
            return usage.path(one).path(field).asLong(usage.path(other).path(field).asLong());
        }

        private Usage plus(Usage other) {
            return new Usage(input + other.input, output + other.output, cached + other.cached, reasoning
                + other.reasoning);
        }

        /** Returns input and output together. */
        public long total() { return input + output; }

        @Override public String toString() {
            return String.format(Locale.ROOT, "%,d tokens in, %,d out", input, output);
        }
    }

    /** One line of an output or error file. Which of the two it stood in says nothing: servers differ. */
    private record Answer(JsonNode line) {
        /** A blank error is none. */
        boolean hasError() { return !line.path("error").asText("").isBlank() || line.path("error").size() > 0; }

        String errorCode() { return line.at("/error/code").asText(""); }

        int status() { return line.at("/response/status_code").asInt(line.path("response").has("body") ? 200 : 0); }

        /** Whether the provider, and not the request, was at fault; no status at all is an internal loss. */
        boolean isPassing() {
            return status() == 0 || Set.of(408, 409, 425, 429).contains(status()) || status() >= 500;
        }

        /** Some servers send the body as a JSON text. */
        JsonNode body() {
            var body = line.at("/response/body");
            return body.isTextual() ? Json.lenient(body.asText()) : body;
        }

        private JsonNode choice() { return body().at("/choices/0"); }

        String finishReason() {
            var body = body();
            var incomplete = body.at("/incomplete_details/reason").asText("");
            return incomplete.equals("max_output_tokens") ? "length"
                : choice().path("finish_reason").asText(incomplete);
        }

        boolean isRefusal() {
            return !choice().at("/message/refusal").asText("").isEmpty() || finishReason().equals("content_filter")
                || outputs().anyMatch(part -> part.has("refusal"));
        }

        private Stream<JsonNode> outputs() {
            return stream(body().path("output")).flatMap(item -> stream(item.path("content")));
        }

        private static Stream<JsonNode> stream(JsonNode array) {
            return StreamSupport.stream(array.spliterator(), false);
        }

        boolean hasText() {
            return !text().isEmpty() || body().path("data").size() > 0 || choice().at("/message/tool_calls").size() > 0;
        }

        /** The text of a chat, a completion or a response; "" where there is none. */
        String text() {
            var content = choice().at("/message/content");
            if (content.isArray() || content.isTextual()) return content(content);
            if (body().at("/data/0/embedding").isArray()) return body().at("/data/0/embedding").toString();
            return choice().has("text") ? choice().path("text").asText() : texts(outputs());
        }

        /** A message's content is a text, or parts of which some are text. */
        static String content(JsonNode content) {
            return content.isArray() ? texts(stream(content)) : content.asText("");
        }

        private static String texts(Stream<JsonNode> parts) {
            return parts.map(part -> part.path("text").asText("")).collect(Collectors.joining());
        }

        String error() {
            var error = line.path("error");
            if (error.isTextual() && hasError()) return error.asText();
            var inner = body().path("error").isMissingNode() ? line.path("response") : body().path("error");
            var said = Stream.of(error.path("message"), error.at("/error/message"), inner.path("message"), inner,
                body().path("message"), error.path("code"), line.at("/response/body"))
                .filter(JsonNode::isTextual).map(JsonNode::asText).filter(text -> !text.isBlank()).findFirst();
            var status = status() >= 300 || status() > 0 && status() < 200 ? status() + " " : "";
            return status + said.orElse(status() == 0 && !hasError() ? "the provider lost the request (status 0)"
                : "no reason given");
        }
    }

    /** One request's end: its answer or its error, joined to its row. */
    public static final class Result {
        private final Answers answers;
        private final long index;                             // of the request, from 0
        private final Result later;                           // whose answer takes the place of this one's, or null
        private Optional<Answer> answer;                      // read when first asked for; empty: no line came
        private Outcome outcome;
        private Map<String, Object> row;

        private Result(Answers answers, long index) { this(answers, index, null); }

        /** The request as it was, with the answer that came later. */
        private Result(Answers answers, long index, Result later) {
            this.answers = answers;
            this.index = index;
            this.later = later;
        }

        private Optional<Answer> answer() {
            if (answer == null) answer = later == null ? answers.answer(index) : later.answer();
            return answer;
        }

        /** Returns the id that {@code customId(...)} gave, or the one on the wire, {@code request-1}. */
        public String customId() { return answers.customId(index, this::row); }

        /** Returns the row that the request came from; for {@code requests(file)} the request's body. */
        public Map<String, Object> row() {
            if (row == null) row = answers.row(index);
            return row;
        }

        /**
         * Returns one value of the row as text, "" where it is null.
         * @throws IllegalArgumentException if the row has no such column
         */
        public String row(String column) {
            if (!row().containsKey(column))
                throw new IllegalArgumentException("row: no column " + column + "; " + Templates.has(row()));
            return Objects.toString(row().get(column), "");
        }

        /** Returns the name of the template that made the prompt. */
        public String template() { return answers.template(index); }

        /** Returns the model that was asked for; the one that answered stands in {@code json()}. */
        public String model() { return later == null ? answers.model(index) : later.model(); }

        /** Returns how the request ended. */
        public Outcome outcome() {
            if (outcome == null)
                outcome = later == null ? Outcome.of(answer().orElse(null), answers.batchStatus(index))
                    : later.outcome();
            return outcome;
        }

        /** Whether the same request may be answered next time: its end was not its own fault. */
        private boolean mayPass() {
            return switch (outcome()) {
                case EXPIRED, CANCELLED, MISSING, INVALID -> true;
                case ERRORED -> answer().map(Answer::isPassing).orElse(true);
                case SUCCEEDED, TRUNCATED, REFUSED -> false;
            };
        }

        /** Whether the request may end better next time, as it was or with room for a longer answer. */
        private boolean mayImprove() {
            return outcome() == Outcome.TRUNCATED ? tokenLimit() > 0 : outcome() != Outcome.INVALID && mayPass();
        }

        /** Where a truncated answer was cut; 0 if nobody says. */
        private long tokenLimit() {
            var body = request().path("body");
            return Expansion.LIMITS.stream().mapToLong(field -> body.path(field).asLong()).filter(limit -> limit > 0)
                .findFirst().orElseGet(() -> usage().output());
        }

        /** Returns whether a whole answer came. */
        public boolean ok() { return outcome() == Outcome.SUCCEEDED; }

        /**
         * Returns the answer.
         * @throws IllegalStateException if no whole answer came, with this request's error
         */
        public String text() {
            if (!ok()) throw new IllegalStateException("text: " + customId() + " " + outcome() + ": " + error());
            return rawText();
        }

        /** Returns whatever text came, whole or not; "" if none. */
        public String rawText() { return answer().map(Answer::text).orElse(""); }

        /** Returns the body of the provider's response; a missing node where none came. */
        public JsonNode json() { return answer().map(Answer::body).orElse(MissingNode.getInstance()); }

        /**
         * Returns the answer read as JSON into this class; a fence of Markdown around it is ignored.
         * @throws IllegalStateException if no whole answer came, or it does not fit
         */
        public <T> T as(Class<T> type) {
            var json = text().strip().replaceFirst("(?s)^```[a-z]*\\s*(.*?)\\s*```$", "$1");
            try {
                return Json.MAPPER.readValue(json, type);
            } catch (JsonProcessingException e) {
                throw new IllegalStateException("as: " + customId() + " is no " + type.getSimpleName() + ": "
                    + reason(e)
                    + "; it says: " + clip(json, 80), e);
            }
        }

        /** Returns why no whole answer came, in one sentence; "" if one did. */
        public String error() {
            return switch (outcome()) {
                case SUCCEEDED -> "";
                case TRUNCATED -> "cut off after " + usage().output() + " tokens; raise maxTokens(...)";
                case REFUSED -> clip("the model declined: " + Stream.of(json().at("/choices/0/message/refusal")
                    .asText(""), rawText())
                    .filter(text -> !text.isEmpty()).findFirst().orElse(finishReason()), 300);
                case INVALID -> "the answer holds no text";
                case MISSING -> "the provider's files hold no line for this request";
                case ERRORED, EXPIRED, CANCELLED -> answer().map(Answer::error)
                    .orElseGet(() -> answers.batchError(index));
            };
        }

        /** Returns the tokens of this request. */
        public Usage usage() { return Usage.of(json().path("usage")); }

        /** Returns why the model stopped, such as {@code stop} or {@code length}; "" if no answer came. */
        public String finishReason() { return answer().map(Answer::finishReason).orElse(""); }

        private int round() { return later == null ? answers.round(index) : later.round(); }

        /** The line that was sent, the last time that it was. */
        private JsonNode request() { return later == null ? answers.request(index) : later.request(); }

        /** The last thing that the request says to the model. */
        private String prompt() {
            var messages = request().at("/body/messages");
            return Answer.content(messages.path(messages.size() - 1).path("content"));
        }

        /**
         * The row with its answer: what a second batch, a CSV and a JSON Lines file see. An earlier answer moves
         * inside.
         */
        private Map<String, Object> joined() {
            var result = new LinkedHashMap<String, Object>();
            result.put("customId", customId());
            result.put("template", template());
            result.put("model", model());
            result.put("outcome", outcome().toString());
            if (ok()) result.put("text", text());
            else result.put("error", error());
            var joined = new LinkedHashMap<>(row());
            if (joined.containsKey("result")) result.put("row", Map.of("result", joined.get("result")));
            joined.put("result", result);
            return joined;
        }

        @Override public String toString() {
            return "Result[" + customId() + " " + outcome() + " " + clip(ok() ? text() : error(), 60) + "]";
        }
    }

    /**
     * The results of a batch in input order, read from disk as they are asked for. Used as data, each row keeps its
     * columns and gains {@code {{result.text}}}, {@code {{result.model}}}, {@code {{result.outcome}}}.
     */
    public static final class Results implements Iterable<Result>, Data {
        private static final List<String> OWN_COLUMNS = List.of("result.customId", "result.template", "result.model",
            "result.outcome", "result.text", "result.error");
        private static final int SHOWN = 20;
        private final Answers answers;
        private final LongFunction<Result> at;                // a request's result, by its index
        private final BitSet kept;                            // the requests that a filter left; null: all
        private final boolean chosen;                         // by only(...): then retry() takes them all
        private final String name;
        private Map<Outcome, Long> counts;
        private Usage usage;                                  // of all; null: not yet summed up

        private Results(Answers answers, String name) {
            this(answers, index -> new Result(answers, index), null, false, name);
            usage = answers.batchUsage();
        }

        private Results(Answers answers, LongFunction<Result> at, BitSet kept, boolean chosen, String name) {
            this.answers = answers;
            this.at = at;
            this.kept = kept;
            this.chosen = chosen;
            this.name = name;
        }

        /** Returns the results in input order, read as the stream goes. */
        public Stream<Result> stream() {
            return (kept == null ? LongStream.range(0, answers.count()) : kept.stream().asLongStream()).mapToObj(at);
        }

        @Override public Iterator<Result> iterator() { return stream().iterator(); }

        /** Returns each row with its answer; a row whose answer did not come has no {@code {{result.text}}}. */
        @Override public Stream<Map<String, Object>> open() { return stream().map(Result::joined); }

        /** Returns how many results there are. */
        public long size() { return kept == null ? answers.count() : kept.cardinality(); }

        /** Returns how many results ended in each outcome; outcomes that none ended in are left out. */
        public Map<Outcome, Long> counts() {
            if (counts == null) tally();
            return counts;
        }

        /** Returns the tokens of all results together: as the provider summed them up, else as the answers say. */
        public Usage usage() {
            if (usage == null) tally();
            return usage;
        }

        private void tally() {
            var tally = new EnumMap<Outcome, Long>(Outcome.class);
            var sum = Usage.NONE;
            for (var result : this) {
                tally.merge(result.outcome(), 1L, Long::sum);
                sum = sum.plus(result.usage());
            }
            counts = Collections.unmodifiableMap(tally);
            if (usage == null) usage = sum;
        }

        /** Returns the results with a whole answer. */
        public Results succeeded() { return filtered(Result::ok, "succeeded"); }

        /** Returns every result without a whole answer, whatever the reason. */
        public Results failed() { return filtered(result -> !result.ok(), "failed"); }

        /** Returns the results that ended in one of these outcomes. */
        public Results only(Outcome first, Outcome... more) {
            var wanted = EnumSet.of(given("only", first), more);
            return filtered(result -> wanted.contains(result.outcome()), "only", true);
        }

        private Results filtered(Predicate<Result> filter, String word) { return filtered(filter, word, chosen); }

        private Results filtered(Predicate<Result> filter, String word, boolean chosen) {
            var left = new BitSet();
            stream().filter(filter).forEach(result -> left.set((int) result.index));
            return new Results(answers, at, left, chosen, name + "-" + word);
        }

        /**
         * Returns a draft of the requests that may succeed next time: expired, cancelled, missing, without a text, or
         * broken at the provider. {@code only(TRUNCATED).retry().maxTokens(4000)} sends those that were chosen,
         * whatever their outcome. Settings of the request body can be given anew; ids follow from the first,
         * {@code request-17-r2}.
         * @throws IllegalStateException if there is none
         */
        public Draft retry() {
            var again = chosen ? this : filtered(Result::mayPass, "retry");
            if (again.size() == 0)
                throw new IllegalStateException(failed().size() == 0
                    ? "retry: nothing failed, so there is nothing to send again"
                    : "retry: none of " + failed().size() + " failed requests may succeed next time (" + failed()
                    .counts()
                    + "); only(outcome).retry() sends those all the same");
            return again(again, "retry");
        }

        private Draft again(Results again, String word) {
            var journal = answers.journal;
            var window = journal.draft.path("completion_window").asText();
            return batch().provider(answers.provider).copy(draft -> {
                draft.again = again;
                draft.completionWindow = window.isEmpty() ? draft.completionWindow : window;
                draft.metadata = journal.metadata();
                draft.note = again.leftOut(failed(), word);
            });
        }

        /** Sends again what may end better, up to so many times, and returns these results with what came of it. */
        private Results repaired(int rounds, boolean quiet) {
            var merged = this;
            var last = this;
            for (int round = 1; round <= rounds; round++) {
                var again = last.filtered(Result::mayImprove, "repair");
                if (again.size() == 0) break;
                var draft = last.again(again, "repair " + round + " of " + rounds).copy(d -> {
                    d.growing = true;
                    d.quiet = quiet;
                });
                try {
                    last = draft.submit().results();
                } catch (BatchException e) {
                    if (e.batchId().isEmpty()) throw e;
                    if (!quiet) System.err.println("repair: " + e.getMessage());
                    break;                                     // what was answered before is not lost for it
                }
                merged = merged.merge(last);
            }
            return merged;
        }

        private String leftOut(Results failed, String word) {
            var rest = failed.filtered(result -> !kept.get((int) result.index), "left").counts();
            var said = word + ": " + size() + " of " + failed.size() + " failed requests";
            if (rest.isEmpty()) return word.equals("retry") ? "" : said;
            return said + "; left out, for the same request would end the same: "
                + rest.toString().replaceAll("[{}]", "").replace("=", " ");
        }

        /**
         * Returns these results with those of a {@link #retry} in the place of those that failed. What came of an
         * answer is only replaced by a whole one.
         * @throws IllegalArgumentException if the later results are not of a retry of these
         */
        public Results merge(Results later) {
            if (!given("merge", later).answers.isAgain() || !later.answers.origin().equals(answers.origin()))
                throw new IllegalArgumentException("merge: " + later.name + " is no retry of " + name
                    + "; merge takes what retry() brought");
            var places = new HashMap<String, Long>();
            later.stream().forEach(result -> places.put(result.answers.firstId(result.index), result.index));
            return new Results(answers, index -> {
                var before = at.apply(index);
                var place = places.get(answers.firstId(index));
                var after = place == null ? before : later.at.apply(place);
                boolean better = place != null && !before.ok() && (after.ok() || before.rawText().isEmpty());
                return better ? new Result(answers, index, after) : before;
            }, kept, chosen, name);
        }

        /**
         * Returns the results grouped by a property, such as {@code by(Result::model)}, in the order of first
         * appearance.
         */
        public <K> Map<K, Results> by(Function<Result, K> property) {
            var groups = new LinkedHashMap<K, BitSet>();
            stream().forEach(result -> groups.computeIfAbsent(property.apply(result), key -> new BitSet())
                .set((int) result.index));
            var results = new LinkedHashMap<K, Results>();
            groups.forEach((key, left) -> results.put(key, new Results(answers, at, left, chosen, name + "-" + key)));
            return results;
        }

        /**
         * Returns every answer read as JSON into this class; fails at the first that has none: use {@code
         * succeeded().as(...)}.
         */
        public <T> Stream<T> as(Class<T> type) { return stream().map(result -> result.as(type)); }

        /** Prints the first 20 rows as a table as wide as the terminal, with what became of all of them. */
        public void show() { show(SHOWN); }

        /** Prints the first rows as a table as wide as the terminal, with what became of all of them. */
        public void show(int rows) { System.out.print(Tables.results(this, (int) notNegative("show", rows))); }

        /** Returns what {@link #show()} prints as an HTML table, for a page or a notebook; texts are escaped. */
        public String toHtml() { return toHtml(SHOWN); }

        /** Returns the first rows as an HTML table, with what became of all of them. */
        public String toHtml(int rows) { return Html.results(this, (int) notNegative("toHtml", rows)); }

        /**
         * Writes the rows and their answers as CSV: the columns given, else all of the input's and {@code result.text}
         * and so on.
         */
        public void toCsv(String file, String... columns) { toCsv(Path.of(given("toCsv", file)), columns); }

        /** Writes the rows and their answers as CSV. */
        public void toCsv(Path file, String... columns) {
            var wanted = columns.length > 0 ? Stream.of(columns).map(this::known).toList() : allColumns();
            Atomic.stream("toCsv", file, out -> {
                try (var csv = CsvWriter.builder().build(out)) {
                    csv.writeRecord(wanted);
                    for (var row = open().iterator(); row.hasNext(); ) csv.writeRecord(cells(row.next(), wanted));
                }
            });
        }

        /** Writes each row with its answer under {@code result}, one JSON object a line. */
        public void toJsonl(String file) { toJsonl(Path.of(given("toJsonl", file))); }

        /** Writes each row with its answer under {@code result}, one JSON object a line. */
        public void toJsonl(Path file) {
            Atomic.stream("toJsonl", file, out -> {
                for (var row = open().iterator(); row.hasNext(); ) out.write(Json.line(row.next()));
            });
        }

        /** Rows of JSON need not have the same columns, so all are asked. */
        private List<String> allColumns() {
            var columns = new LinkedHashSet<>(answers.rowColumns());
            if (columns.isEmpty()) stream().forEach(result -> columns.addAll(result.row().keySet()));
            columns.remove("result");
            columns.addAll(OWN_COLUMNS);
            return List.copyOf(columns);
        }

        private static List<String> cells(Map<String, Object> row, List<String> columns) {
            return columns.stream().map(column -> writable(column, cell(row, column))).toList();
        }

        private static String writable(String column, String cell) {
            if (cell.codePoints().noneMatch(Json::isHalf)) return cell;
            throw new IllegalStateException("toCsv: \"" + clip(cell, 40) + "\" in column " + column
                + " holds half a character, a lone surrogate, which CSV cannot; use toJsonl(...)");
        }

        private static String cell(Map<String, Object> row, String column) {
            return Json.cell(Templates.value(column, row));
        }

        private String known(String column) {
            var columns = allColumns();
            if (columns.contains(given("toCsv", column)) || column.startsWith("result.row.")) return column;
            throw new IllegalArgumentException("toCsv: no column " + column + "; there are: "
                + String.join(", ", columns));
        }

        @Override public String toString() { return "Results[" + name + " " + counts() + "]"; }
    }

    // ---- Provider: who runs the batch ----

    /**
     * A provider of the Files and Batches API: its base URL, the environment variable that holds its key, how much one
     * input file may hold, and what it does in its own way.
     */
    public record Provider(String name, String baseUrl, String keyVariable, Limits limits, Dialect dialect) {
        private static final long MB = 1_000_000;
        private static final Dialect STRICT = new Dialect(false, "max_completion_tokens");
        private static final Dialect MIXED = new Dialect(true, "max_completion_tokens");
        private static final Dialect VLLM = new Dialect(false, "max_tokens");
        private static final Dialect MIXED_VLLM = new Dialect(true, "max_tokens");
        private static final Dialect TOGETHERS = new Dialect(false, "max_tokens", "/files/upload", "batch-api");

        /** 50,000 requests, 200 MB, one model: https://platform.openai.com/docs/api-reference/batch/create */
        public static final Provider OPENAI =
            new Provider("openai", "https://api.openai.com/v1", "OPENAI_API_KEY", new Limits(50_000, 200 * MB), STRICT);
        /**
         * "Less than 1000" requests on the free tier, 100 MB, a model per request: kluster.ai's batch guide. The
         * service has closed.
         */
        public static final Provider KLUSTER =
            new Provider("kluster", "https://api.kluster.ai/v1", "KLUSTERAI_API_KEY", new Limits(999, 100 * MB), MIXED);
        /** 50,000 requests, 100 MB: https://console.groq.com/docs/batch */
        public static final Provider GROQ =
            new Provider("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY", new Limits(50_000, 100 * MB),
                STRICT);
        /**
         * 5,000,000 requests, 10 GB, 500 batches:
         * https://docs.tokenfactory.nebius.com/ai-models-inference/batch-inference
         */
        public static final Provider NEBIUS = new Provider("nebius", "https://api.tokenfactory.nebius.com/v1",
            "NEBIUS_API_KEY",
            new Limits(5_000_000, 10_000 * MB, 500, Long.MAX_VALUE), VLLM);
        /** 50,000 requests, 100 MB, a model per request: https://docs.parasail.io batch-file-format */
        public static final Provider PARASAIL =
            new Provider("parasail", "https://api.parasail.io/v1", "PARASAIL_API_KEY", new Limits(50_000, 100 * MB),
                MIXED_VLLM);
        /**
         * 100 MB and a model per request in the default configuration of its control layer; it names no number of
         * requests.
         */
        public static final Provider DOUBLEWORD = new Provider("doubleword", "https://api.doubleword.ai/v1",
            "DOUBLEWORD_API_KEY",
            new Limits(Long.MAX_VALUE, 100 * MB), MIXED_VLLM);
        /**
         * Its pages name no limits (https://docs.deepinfra.com/batch/introduction), so the smallest common ones are
         * kept.
         */
        public static final Provider DEEPINFRA = new Provider("deepinfra", "https://api.deepinfra.com/v1/openai",
            "DEEPINFRA_TOKEN",
            new Limits(50_000, 100 * MB), VLLM);
        /** 50,000 requests, 100 MB, uploads with a route and a purpose of their own: https://docs.together.ai */
        public static final Provider TOGETHER = new Provider("together", "https://api.together.ai/v1",
            "TOGETHER_API_KEY", new Limits(50_000, 100 * MB), TOGETHERS);
        static { UncaughtErrors.install(); }

        private static final int SEARCHED_FILES = 10_000;
        private static final List<Provider> PRESETS = List.of(OPENAI, GROQ, NEBIUS, PARASAIL, DOUBLEWORD, DEEPINFRA,
            TOGETHER, KLUSTER);

        /**
         * Returns the provider at any base URL, such as {@code http://localhost:8080/v1}; its key, if any, is {@code
         * SHEAF_API_KEY}.
         */
        public static Provider of(String baseUrl) {
            var provider = of(baseUrl, "SHEAF_API_KEY");
            return PRESETS.stream().filter(preset -> preset.name.equals(provider.name)).findFirst().orElse(provider);
        }

        /** A base URL that is a preset's has its limits and dialect; any other is known by its address. */
        private static Provider of(String baseUrl, String keyVariable) {
            var url = given("provider", baseUrl).strip().replaceFirst("/+$", "");
            return PRESETS.stream().filter(preset -> preset.baseUrl.equals(url)).findFirst()
                .map(preset -> preset.keyVariable(keyVariable))
                .orElseGet(() -> new Provider(nameOf(url), url, keyVariable, new Limits(50_000, 100 * MB), STRICT));
        }

        private static String nameOf(String baseUrl) {
            var uri = uri(baseUrl);
            return isLoopback(uri) ? "local" : uri.getAuthority() + uri.getPath().replaceFirst("/v1$", "");
        }

        private static URI uri(String baseUrl) {
            try {
                var uri = URI.create(baseUrl);
                if (uri.getUserInfo() != null)
                    throw new IllegalStateException("provider: the base URL of " + uri.getHost()
                        + " holds a key; put it into SHEAF_API_KEY");
                if (uri.getHost() != null && uri.getScheme() != null && uri.getScheme().matches("https?")) return uri;
            } catch (IllegalArgumentException e) {
                // told below
            }
            throw new IllegalArgumentException("provider: \"" + baseUrl
                + "\" is neither a base URL like http://localhost:8080/v1 nor one of "
                + names());
        }

        private static boolean isLoopback(URI uri) {
            return uri.getHost().equals("localhost") || uri.getHost().equals("[::1]") || uri.getHost()
                .matches("127(\\.[0-9]+){3}");
        }

        /** Returns the preset of this name, or the provider at this base URL. */
        public static Provider named(String nameOrUrl) {
            return PRESETS.stream().filter(preset -> preset.name.equals(given("provider", nameOrUrl).strip()
                .toLowerCase(Locale.ROOT))).findFirst()
                .orElseGet(() -> of(nameOrUrl));
        }

        /**
         * Returns the provider that the environment names: by {@code SHEAF_PROVIDER}, a name or a URL; else by
         * {@code OPENAI_BASE_URL}; else the only one whose key is set.
         * @throws IllegalStateException if several keys are set, or none and there is no terminal to ask for one
         */
        public static Provider chosen() {
            if (!Environment.get("SHEAF_PROVIDER").isEmpty()) return named(Environment.get("SHEAF_PROVIDER"));
            if (!Environment.get("OPENAI_BASE_URL").isEmpty()) return of(Environment.get("OPENAI_BASE_URL"),
                OPENAI.keyVariable);
            var withKey = PRESETS.stream().filter(preset -> !Environment.get(preset.keyVariable).isEmpty()).toList();
            if (withKey.size() == 1) return withKey.get(0);
            if (withKey.isEmpty() && Environment.canAsk()) return OPENAI;
            throw new IllegalStateException(withKey.isEmpty() ? noKey() : twoKeys(withKey));
        }

        private static String noKey() {
            return "provider: no key; looked for " + PRESETS.stream().map(Provider::keyVariable)
                .collect(Collectors.joining(", "))
                + "; set one, or run ./jbang serve and set OPENAI_BASE_URL to what it prints";
        }

        private static String twoKeys(List<Provider> providers) {
            return "provider: " + providers.stream().map(Provider::keyVariable).collect(Collectors.joining(" and "))
                + " are "
                + (providers.size() == 2 ? "both" : "all") + " set; choose with provider(\"" + providers.get(0).name
                + "\") or SHEAF_PROVIDER=" + providers.get(0).name;
        }

        /** A preview needs no provider; it shows OpenAI's dialect where none is chosen. */
        private static Provider chosenOrAny() {
            try {
                return chosen();
            } catch (IllegalStateException noneOrTwo) {
                return OPENAI;
            }
        }

        private static String names() { return PRESETS.stream().map(Provider::name).collect(Collectors.joining(", ")); }

        /** Returns a copy whose key is in this environment variable. */
        public Provider keyVariable(String variable) { return new Provider(name, baseUrl, variable, limits, dialect); }

        /** Returns a copy with these limits per input file. */
        public Provider limits(long requests, long bytes) {
            return limits(new Limits(requests, bytes, limits.batches, limits.tokens));
        }

        /**
         * Returns a copy with these limits of its queue: of one batch of ours, at most so many parts are in flight, and
         * so many tokens in all of them. Tokens are estimated: four ASCII characters, or one other, are one.
         */
        public Provider queue(long batches, long tokens) {
            return limits(new Limits(limits.requests, limits.bytes, batches, tokens));
        }

        private Provider limits(Limits limits) { return new Provider(name, baseUrl, keyVariable, limits, dialect); }

        /** Returns a copy with this dialect. */
        public Provider dialect(Dialect dialect) { return new Provider(name, baseUrl, keyVariable, limits, dialect); }

        /** Returns whether its key is set, or it needs none; where it is not, the first call asks for it or fails. */
        public boolean hasKey() { return isLocal() || !Environment.get(keyVariable).isEmpty(); }

        /** Returns whether it runs on this machine, where asking often costs nothing and no key is needed. */
        public boolean isLocal() { return isLoopback(uri(baseUrl)); }

        /** Returns a batch here, by its id or the name it was submitted under. */
        public Batch batch(String idOrName) { return Batch.find(idOrName, this); }

        /**
         * Returns the newest batches, newest first, at most so many: those that the provider lists, and those kept
         * under {@code ~/.sheaf} that it does not. They print as a table.
         */
        public Listing<Batch> batches(int limit) {
            var listed = wire().batches("batches", (int) notNegative("batches", limit)).items();
            var ids = listed.stream().map(json -> json.path("id").asText()).collect(Collectors.toSet());
            var journals = Journal.all().filter(journal -> journal.isCalled(journal.name())
                && journal.provider().name().equals(name)).toList();
            var here = journals.stream().flatMap(Journal::lastSeen).map(Part::id).collect(Collectors.toSet());
            var unlisted = journals.stream().filter(journal -> journal.lastSeen().map(Part::id)
                .noneMatch(ids::contains));
            var batches = Stream.concat(listed.stream().map(json -> new Batch(this, json)),
                unlisted.map(journal -> new Batch(journal, this)))
                .sorted(Comparator.comparing(Batch::submittedAt).reversed()).limit(limit).toList();
            return new Listing<>(batches, List.of("id", "name", "status", "requests", "created", "kept"), batch ->
                List.of(batch.id(), batch.name(), batch.seenStatus().text(), batch.seenCounts().toString(),
                    batch.submitted(), batch.journal != null || here.contains(batch.id()) ? "here" : ""));
        }

        /** Returns the models here. They print as a table. */
        public Listing<Map<String, Object>> models() { return listing(wire().models(), "id", "owned_by"); }

        /** Returns the files kept here. They print as a table. */
        public Listing<Map<String, Object>> files() {
            return listing(wire().files("files", SEARCHED_FILES), "id", "purpose", "bytes", "filename");
        }

        /** Returns the files kept here that no one needs any more, and that are more than a day old. */
        public Listing<Map<String, Object>> leftovers() { return leftovers(Duration.ofDays(1)); }

        /**
         * Returns the files kept here that no one needs any more, and that are more than so old; a young one may be
         * another machine's that is just submitting. They are the files of Sheaf's batches that have ended and whose
         * answers are under {@code ~/.sheaf}, and Sheaf's uploads of which no batch was made, or only one that failed
         * before anything ran. To what the provider says of a file are added its {@code folder} under {@code ~/.sheaf},
         * which may be gone, and its {@code kind}. They print as a table.
         */
        public Listing<Map<String, Object>> leftovers(Duration age) {
            var before = Instant.now().minus(given("leftovers", age));
            var files = wire().files("leftovers", SEARCHED_FILES);           // first: their batches are known by then
            var use = new FileUse(this, wire().batches("leftovers", SEARCHED_FILES));
            var left = files.stream().filter(file -> FileUse.isOlder(file, before))
                .flatMap(file -> use.leftover(file).stream()).toList();
            return new Listing<>(left, List.of("folder", "kind", "id", "created", "size"), FileUse::cells,
                FileUse::sum);
        }

        /** Deletes a file here; one that is gone already is no error. */
        public void deleteFile(String id) { wire().deleteFile(given("deleteFile", id)); }

        private static Listing<Map<String, Object>> listing(List<JsonNode> items, String... columns) {
            var rows = items.stream().map(item -> Row.map(Row.plain(item))).toList();
            return new Listing<>(rows, List.of(columns),
                row -> Stream.of(columns).map(column -> Json.cell(row.get(column))).toList());
        }

        private Wire wire() { return Wire.of(this); }

        private JsonNode json() {
            return Json.MAPPER.createObjectNode().put("name", name).put("base_url", baseUrl)
                .put("key_variable", keyVariable).put("requests", limits.requests).put("bytes", limits.bytes)
                .put("batches", limits.batches).put("tokens", limits.tokens)
                .put("mixed_models", dialect.mixedModels).put("max_tokens_field", dialect.maxTokensField)
                .put("upload_path", dialect.uploadPath).put("purpose", dialect.purpose);
        }

        /** A local server has another port each time: the one that the environment names stands for the one of then. */
        private static Provider of(JsonNode json) {
            var stored = new Provider(json.path("name").asText(), json.path("base_url").asText(),
                json.path("key_variable").asText(),
                new Limits(json.path("requests").asLong(), json.path("bytes").asLong(),
                    json.path("batches").asLong(Long.MAX_VALUE), json.path("tokens").asLong(Long.MAX_VALUE)),
                new Dialect(json.path("mixed_models").asBoolean(), json.path("max_tokens_field").asText(),
                    json.path("upload_path").asText("/files"), json.path("purpose").asText("batch")));
            var url = Environment.get("OPENAI_BASE_URL");
            if (!stored.isLocal() || url.isEmpty() || !isLoopback(uri(url))) return stored;
            return new Provider(stored.name, url, OPENAI.keyVariable, stored.limits, stored.dialect);
        }

        @Override public String toString() { return "Provider[" + name + " " + baseUrl + "]"; }
    }

    /** What a provider takes: in one input file so many requests and bytes, in its queue so many batches and tokens. */
    public record Limits(long requests, long bytes, long batches, long tokens) {
        public Limits {
            if (Math.min(Math.min(requests, bytes), Math.min(batches, tokens)) < 1)
                throw new IllegalArgumentException("limits: each is at least 1");
        }

        /** Has no limits of the queue. */
        public Limits(long requests, long bytes) { this(requests, bytes, Long.MAX_VALUE, Long.MAX_VALUE); }

        @Override public String toString() {
            return "Limits[" + (requests == Long.MAX_VALUE ? "" : count(requests, "request") + " and ")
                + Tables.size(bytes) + " a file"
                + (batches == Long.MAX_VALUE ? "" : "; " + batches + (batches == 1 ? " batch" : " batches") + " queued")
                + (tokens == Long.MAX_VALUE ? "" : "; " + count(tokens, "token") + " queued") + "]";
        }
    }

    /**
     * What a provider does in its own way: whether one file may hold several models, what it calls the token limit,
     * where it takes an input file, and what it calls the purpose of one.
     */
    public record Dialect(boolean mixedModels, String maxTokensField, String uploadPath, String purpose) {

        /** Has OpenAI's {@code /files} and {@code batch}. */
        public Dialect(boolean mixedModels, String maxTokensField) {
            this(mixedModels, maxTokensField, "/files", "batch");
        }
    }

    /** A list that prints as a table. */
    public static final class Listing<T> extends AbstractList<T> {
        private static final int CELL_LINES = 3;               // half an id is of no use
        private final List<T> items;
        private final List<String> columns;
        private final Function<T, List<String>> cells;
        private final Function<List<T>, String> sum;           // the line below the table; "" for none

        private Listing(List<T> items, List<String> columns, Function<T, List<String>> cells) {
            this(items, columns, cells, all -> "");
        }

        private Listing(List<T> items, List<String> columns, Function<T, List<String>> cells,
                        Function<List<T>, String> sum) {
            this.items = items;
            this.columns = columns;
            this.cells = cells;
            this.sum = sum;
        }

        @Override public T get(int index) { return items.get(index); }

        @Override public int size() { return items.size(); }

        /** Returns those of this kind; they print as a table too. */
        public Listing<T> only(Predicate<? super T> kind) {
            return new Listing<>(items.stream().filter(kind).toList(), columns, cells, sum);
        }

        /** Prints the table to stdout. */
        public void show() { System.out.println(this); }

        /** Returns the table as HTML, for a page or a notebook; texts are escaped. */
        public String toHtml() {
            return items.isEmpty() ? Html.lines("(none)")
                : Html.table(columns, items.stream().map(cells).toList()) + Html.lines(sum.apply(items));
        }

        @Override public String toString() {
            return items.isEmpty() ? "(none)" : (Tables.draw(columns, items.stream().map(cells).toList(), CELL_LINES)
                + sum.apply(items)).stripTrailing();
        }
    }

    /** Who uses the files of a provider, and which of them no one needs any more. */
    private static final class FileUse {
        private static final Pattern UPLOAD = Pattern.compile("(.+-[0-9a-f]{12})\\.part-[0-9]+\\.jsonl");
        private final boolean isWhole;                                     // whether all batches are known
        private final Map<String, Part> batches = new HashMap<>();         // by id
        private final Map<String, List<Part>> users = new HashMap<>();     // by file
        private final Map<String, String> folders = new HashMap<>();       // of the batches whose answers are here
        private final Set<String> awaited = new HashSet<>();               // files by id or name that may yet be used

        FileUse(Provider provider, Wire.Listed listed) {
            isWhole = listed.isWhole();
            listed.items().forEach(batch -> batches.put(batch.path("id").asText(), Part.of(1, batch)));
            Journal.all().filter(journal -> !journal.isAdopted() && journal.isAt(provider)).forEach(this::add);
            for (var batch : batches.values())
                for (var file : batch.files()) users.computeIfAbsent(file, any -> new ArrayList<>()).add(batch);
        }

        private void add(Journal journal) {
            journal.collected().forEach(part -> folders.put(part.id(), journal.folderName()));
            journal.lastSeen().filter(part -> !part.isWaiting()).forEach(part -> batches.putIfAbsent(part.id(), part));
            journal.lastSeen().filter(part -> !part.status().isTerminal()).forEach(part -> {
                awaited.addAll(part.files());
                awaited.add(journal.uploadName(part.number()));
            });
        }

        /** Returns the file, with what it was for, if no one needs it any more. */
        Optional<Map<String, Object>> leftover(JsonNode file) {
            var id = file.path("id").asText();
            var name = file.path("filename").asText();
            var users = this.users.getOrDefault(id, List.of());
            if (awaited.contains(id) || awaited.contains(name) || !isDone(users, UPLOAD.matcher(name).matches()))
                return Optional.empty();
            var row = Row.map(Row.plain(file));
            row.put("folder", users.stream().map(part -> folders.get(part.id())).filter(Objects::nonNull).findFirst()
                .orElseGet(() -> UPLOAD.matcher(name).replaceFirst("$1")));
            row.put("kind", kind(id, users));
            return Optional.of(row);
        }

        /** The files of others stay. So does an upload while a batch of it may be in the rest of a long list. */
        private boolean isDone(List<Part> users, boolean isOurs) {
            return users.isEmpty() ? isOurs && isWhole : users.stream().allMatch(part -> part.status().isTerminal()
                && (folders.containsKey(part.id()) || isOurs && !part.hasRun()));
        }

        private static String kind(String file, List<Part> users) {
            if (users.isEmpty()) return "upload";
            if (users.stream().anyMatch(part -> part.inputFileId().equals(file))) return "input";
            return users.stream().anyMatch(part -> part.outputFileId().equals(file)) ? "output" : "error";
        }

        /** One of unknown age is young. */
        static boolean isOlder(JsonNode file, Instant time) {
            return Json.instant(file.path("created_at")).filter(time::isAfter).isPresent();
        }

        static List<String> cells(Map<String, Object> file) {
            var created = Json.instant(Json.MAPPER.valueToTree(file.get("created_at"))).map(Journal.DAY::format);
            return List.of(Json.cell(file.get("folder")), Json.cell(file.get("kind")), Json.cell(file.get("id")),
                created.orElse(""), Tables.size(bytes(file)));
        }

        static String sum(List<Map<String, Object>> files) {
            return files.size() + (files.size() == 1 ? " file, " : " files, ")
                + Tables.size(files.stream().mapToLong(FileUse::bytes).sum());
        }

        private static long bytes(Map<String, Object> file) {
            return Json.MAPPER.valueToTree(file.get("bytes")).asLong();
        }
    }

    /** The provider refused, or the batch failed. */
    public static final class BatchException extends RuntimeException {
        private static final String QUEUE_FULL = "token_limit_exceeded";
        private static final Pattern NO_ROOM = Pattern.compile("(?i)enqueued token");
        private static final Pattern NO_FILE =
            Pattern.compile("(?i)\\bfile\\b.*(not found|not exist|no such)|(not find|no such) (input )?file");
        private final int status;
        private final String code;
        private final String param;
        private final String batchId;
        private final Duration retryAfter;
        private final boolean explained;                      // by the provider's own words

        private BatchException(String message, String code, String batchId) { this(message, 0, code, batchId); }

        private BatchException(String message, int status, String code, String batchId) {
            super(message);
            this.status = status;
            this.code = code;
            this.param = "";
            this.batchId = batchId;
            this.retryAfter = Duration.ZERO;
            this.explained = false;
        }

        private BatchException(String message, BatchException cause) {
            super(message, cause);
            status = cause.status;
            code = cause.code;
            param = cause.param;
            batchId = cause.batchId;
            retryAfter = cause.retryAfter;
            explained = cause.explained;
        }

        /** A cause that says what must not be said is left out. */
        private BatchException(String message, OpenAIServiceException cause, boolean isSecret, JsonNode error,
                               Duration retryAfter) {
            super(message, isSecret ? null : cause);
            this.status = cause.statusCode();
            this.code = error.path("code").asText("");
            this.param = error.path("param").asText("");
            this.batchId = "";
            this.retryAfter = retryAfter;
            this.explained = error.isTextual() || error.path("message").isTextual();
        }

        /** Whether the provider has no room for another batch now. */
        private boolean isQueueFull() {
            return code.equals(QUEUE_FULL) || status == 429 && !code.equals("insufficient_quota")
                || status == 400 && NO_ROOM.matcher(getMessage()).find();
        }

        /** Whether the file just uploaded cannot be seen, or is no longer there. */
        private boolean isFileMissing() {
            return (status == 404 || status == 400) && NO_FILE.matcher(getMessage()).find();
        }

        /** Whether something between here and the provider spoiled its answer. */
        private boolean isGarbled() { return status >= 200 && status < 300; }

        /** Whether the provider read what it was sent and, for a reason that it gave, will not have it. */
        private boolean isFinal() {
            return explained && Set.of(400, 404, 413, 422).contains(status) && !isQueueFull();
        }

        /** Returns the HTTP status of a refusal; else 0. */
        public int status() { return status; }

        /** Returns the provider's code, such as {@code model_not_found}; "" if it gave none. */
        public String code() { return code; }

        /** Returns the field at fault; "" if the provider named none. */
        public String param() { return param; }

        /** Returns the batch that failed; "" if it was a call that was refused. */
        public String batchId() { return batchId; }
    }

    // ---- Journal: what is kept on disk ----

    /**
     * One submitted batch on disk, {@code ~/.sheaf/batches/<name>-<digest>/}: the draft, the rows, the input files, a
     * log of steps, the files that came back, and the places of all lines. No key ever enters it.
     */
    private static final class Journal {
        private static final int VERSION = 1;
        private static final DateTimeFormatter MINUTE =
            DateTimeFormatter.ofPattern("yyyy-MM-dd HH:mm").withZone(ZoneId.systemDefault());
        private static final DateTimeFormatter DAY =
            DateTimeFormatter.ofPattern("yyyy-MM-dd").withZone(ZoneId.systemDefault());
        private final Path dir;
        private final JsonNode draft;
        private final List<PartLog> log = new ArrayList<>();      // one for each part
        private Instant submittedAt = Instant.EPOCH;
        private LineIndex requests;
        private LineIndex rows;
        private Map<Integer, JsonNode> found;                     // at the provider, by part; null: not looked yet
        private boolean quiet;                     // says nothing of uploads and downloads

        private Journal(Path dir) {
            this.dir = dir;
            this.draft = Json.read(dir.resolve("draft.json"));
            if (draft.path("version").asInt() > VERSION)
                throw new IllegalStateException("journal: a newer Sheaf wrote " + dir + "; use that one");
            if (draft.path("cut").isEmpty() && reusedCount() == 0)
                throw new IllegalStateException("journal: " + dir + " is damaged; delete it");
            reload();
        }

        /** Reads the log of steps; another process may have gone on with it. */
        void reload() {
            log.clear();
            submittedAt = Instant.EPOCH;
            for (int part = 1; part <= draft.path("cut").size(); part++) log.add(new PartLog());
            readSteps();
        }

        static Path home() {
            var home = Environment.get("SHEAF_HOME");
            return home.isEmpty() ? Path.of(System.getProperty("user.home"), ".sheaf") : Path.of(home);
        }

        private static Path folder() { return home().resolve("batches"); }

        /** How much of the disk it takes. */
        long bytes() {
            try (var files = Files.list(dir)) {
                return files.mapToLong(file -> file.toFile().length()).sum();
            } catch (NoSuchFileException deleted) {
                return 0;
            } catch (IOException e) {
                throw new UncheckedIOException("kept: cannot read " + dir + " (" + reason(e) + ")", e);
            }
        }

        /**
         * Returns the newest submitted batch of this id, name or folder name; one that was submitted here goes first.
         */
        static Optional<Journal> find(String idOrName) {
            return all().filter(journal -> journal.isCalled(idOrName))
                .max(Comparator.comparing((Journal journal) -> !journal.isAdopted())
                    .thenComparing(journal -> journal.submittedAt));
        }

        static Optional<Journal> find(String idOrName, Provider provider) {
            return find(idOrName).filter(journal -> journal.isAt(provider));
        }

        /** Returns the newest batch that was submitted here under this name, and of which something ran. */
        static Optional<Journal> lastCalled(String name, Provider provider) {
            return all().filter(journal -> journal.name().equals(name) && journal.hasRun() && !journal.isAdopted()
                && !journal.draft.path("again").asBoolean() && journal.provider().name().equals(provider.name()))
                .max(Comparator.comparing(journal -> journal.submittedAt));
        }

        /** Returns all batches that are kept here. */
        static Stream<Journal> all() {
            if (!Files.isDirectory(folder())) return Stream.empty();
            try (var dirs = Files.list(folder())) {
                return dirs.toList().stream().flatMap(dir -> read(dir).stream());
            } catch (IOException e) {
                throw new UncheckedIOException("batch: cannot read " + folder() + " (" + reason(e) + ")", e);
            }
        }

        /** One folder that cannot be read does not hide the others. */
        private static Optional<Journal> read(Path dir) {
            try {
                boolean isStaged = dir.getFileName().toString().startsWith(".");
                return isStaged || Files.notExists(dir.resolve("draft.json")) ? Optional.empty()
                    : Optional.of(new Journal(dir));
            } catch (UncheckedIOException | IllegalStateException | DateTimeException unreadable) {
                return Optional.empty();
            }
        }

        private boolean isCalled(String idOrName) {
            return wasBegun() && (name().equals(idOrName) || folderName().equals(idOrName)
                || log.stream().anyMatch(part -> part.id().equals(idOrName)));
        }

        /** Whether anything of it was sent, be it an upload that waits for its batch. */
        private boolean wasBegun() {
            return reusedCount() > 0 || log.stream().anyMatch(part -> part.batch != null || part.token != null
                || part.file != null || part.uploading);
        }

        /** Whether something of it runs or has run. */
        boolean hasRun() {
            return reusedCount() > 0 || log.stream().anyMatch(part -> part.batch != null && Part.of(1, part.batch)
                .hasRun());
        }

        private boolean isAdopted() { return draft.path("adopted").asBoolean(); }

        String name() { return draft.path("name").asText(); }

        Provider provider() { return Provider.of(draft.path("provider")); }

        boolean isAt(Provider provider) { return provider().name().equals(provider.name()); }

        String folderName() { return dir.getFileName().toString(); }

        Instant writtenAt() { return Instant.ofEpochMilli(dir.resolve("draft.json").toFile().lastModified()); }

        Map<String, String> metadata() {
            var pairs = new TreeMap<String, String>();
            draft.path("metadata").properties().forEach(pair -> pairs.put(pair.getKey(), pair.getValue().asText()));
            return pairs;
        }

        long requestCount() { return draft.path("requests").asLong(); }

        long sentCount() { return requestCount() - reusedCount(); }

        /** How many requests are not sent, because an earlier batch has their answers. */
        long reusedCount() { return draft.path("reused").asLong(); }

        boolean hasRows() { return draft.path("rows").asLong() > 0; }

        /** How many requests each row makes: one for each template and model. */
        int variants() { return Math.max(1, draft.path("templates").size()) * draft.path("models_per_row").asInt(1); }

        /** How many requests each part holds. */
        List<Long> cut() {
            return StreamSupport.stream(draft.path("cut").spliterator(), false).map(JsonNode::asLong).toList();
        }

        String shortPath() {
            var home = Path.of(System.getProperty("user.home"));
            return dir.startsWith(home) ? "~/" + home.relativize(dir) : dir.toString();
        }

        Path answerFile(int part, String kind) { return dir.resolve("part-" + part + "." + kind + ".jsonl"); }

        Path reusedAnswers() { return dir.resolve("reused.output.jsonl"); }

        /** Whether a part is over and all that came of it is on this disk. */
        private boolean isCollected(Part part) {
            return part.status().isTerminal()
                && (part.outputFileId().isEmpty() || Files.exists(answerFile(part.number(), "output")))
                && (part.errorFileId().isEmpty() || Files.exists(answerFile(part.number(), "error")));
        }

        Stream<Part> collected() { return lastSeen().filter(this::isCollected); }

        /** Where what came of it is, in a word. */
        String answers() {
            if (reusedCount() == 0 && lastSeen().allMatch(part -> part.outputFileId().isEmpty()
                && part.errorFileId().isEmpty())) return "none";
            return lastSeen().allMatch(this::isCollected) ? "here" : "not here";
        }

        /** Goes at once, so that a kill leaves no half of it; what is left then is swept up by the next submit. */
        void delete() throws IOException {
            var trash = dir.resolveSibling(".staging-" + UUID.randomUUID());
            Files.move(dir, trash, StandardCopyOption.ATOMIC_MOVE);
            Atomic.deleteFolder(trash);
        }

        Path inputFile(int part) { return dir.resolve("part-" + part + ".jsonl"); }

        /** Shows how far a file of a part is; {@code what} says which way it goes. */
        private Progress.Transfer transfer(String what, int part) {
            return new Progress.Transfer(what + "part " + part + " of " + log.size(), quiet);
        }

        LineIndex requests() {
            if (requests == null) requests = new LineIndex(dir.resolve("requests.idx"),
                file -> file == Staging.REUSED ? dir.resolve("reused.jsonl") : inputFile(file + 1));
            return requests;
        }

        LineIndex rows() {
            var name = draft.path("rows_file").asText();
            if (rows == null) rows = new LineIndex(dir.resolve(name + ".idx"), file -> dir.resolve(name + ".jsonl"));
            return rows;
        }

        private IntStream numbers() { return IntStream.rangeClosed(1, log.size()); }

        Stream<Part> lastSeen() { return numbers().mapToObj(this::part); }

        Part part(int number) {
            var part = log.get(number - 1);
            if (part.batch != null) return Part.of(number, part.batch);
            var waiting = Json.MAPPER.createObjectNode().put("status", Status.WAITING.text());
            if (part.file != null) waiting.put("input_file_id", part.fileId());
            waiting.putObject("request_counts").put("total", cut().get(number - 1));
            return Part.of(number, waiting);
        }

        /** What the log of steps says of one part. */
        private static final class PartLog {
            private boolean uploading;                 // an upload may have been finished unseen
            private JsonNode file;                     // as the provider described it
            private String token;                      // of a create whose answer may have been lost
            private JsonNode batch;                    // as last written down

            String id() { return batch == null ? "" : batch.path("id").asText(); }

            String fileId() { return file.isTextual() ? file.asText() : file.path("id").asText(); }
        }

        private void readSteps() {
            var file = dir.resolve("steps.jsonl");
            if (!Files.exists(file)) return;
            try (var lines = new Lines(Files.newInputStream(file))) {
                while (lines.advance()) replay(Json.lenient(lines.text()));
            } catch (IOException e) {
                throw new UncheckedIOException("journal: cannot read " + file + " (" + reason(e) + ")", e);
            }
        }

        /** Takes one step; a torn line never happened. */
        private void replay(JsonNode step) {
            if (step.path("step").asText().equals("reused")) submittedAt = Instant.parse(step.path("at").asText());
            if (!step.isObject() || step.path("part").asInt() < 1 || step.path("part").asInt() > log.size()) return;
            var part = log.get(step.path("part").asInt() - 1);
            switch (step.path("step").asText()) {
                case "uploading" -> part.uploading = true;
                case "uploaded" -> part.file = step.path("file");
                case "creating" -> part.token = step.path("token").asText();
                case "created" -> {
                    part.batch = step.path("batch");
                    if (submittedAt.equals(Instant.EPOCH)) submittedAt = Instant.parse(step.path("at").asText());
                }
                case "ended" -> part.batch = step.path("batch");
                case "no room" -> {
                    part.token = null;
                    part.batch = null;
                }
                case "again" -> {
                    log.set(log.indexOf(part), new PartLog());
                    submittedAt = Instant.EPOCH;
                }
                default -> throw new IllegalStateException("journal: unknown step " + step
                    + "; a newer Sheaf wrote it");
            }
        }

        private void step(String step, int part, String field, Object value) {
            var line = Json.MAPPER.createObjectNode();
            line.put("at", Instant.now().truncatedTo(ChronoUnit.MILLIS).toString());
            line.put("step", step).put("part", part).set(field, Json.MAPPER.valueToTree(value));
            Atomic.append(dir.resolve("steps.jsonl"), Json.line(line));
            replay(line);
        }

        /** Writes down how a part ended; one whose files are not yet named is looked at again by the next run. */
        void ended(Part part) {
            if (part.lacksItsFiles() || part(part.number()).status().isTerminal()) return;
            step("ended", part.number(), "batch", part.json());
        }

        // submitting

        /** Whether nothing was sent that is of use: no upload, and no batch that ran or may be running. */
        boolean isUntouched() {
            return reusedCount() == 0 && log.stream().allMatch(part -> part.batch == null
                ? part.file == null && part.token == null && !part.uploading : !Part.of(1, part.batch).hasRun());
        }

        boolean isWaiting() { return log.stream().anyMatch(part -> part.batch == null); }

        /** Finds the rows whose requests stand in these lines of a part's input file. */
        Map<Long, Long> rowsAt(int part, Collection<Long> lines) {
            var rows = Answers.requestsAt(this, part, lines);
            rows.replaceAll((line, request) -> request / variants() + 1);
            return rows;
        }

        /** A part that failed before anything ran cost nothing, and is submitted anew. */
        void forgetWhatFailed() {
            for (int part = 1; part <= log.size(); part++)
                if (!part(part).hasRun()) forget(part);
        }

        /** A local server may have been started anew on an empty store: then its batches never were. */
        void forgetWhatIsGone(Wire wire) {
            for (int part = 1; part <= log.size(); part++) {
                if (log.get(part - 1).id().isEmpty() || isCollected(part(part))) continue;
                try {
                    wire.retrieve("submit", part(part).id());
                } catch (BatchException e) {
                    if (e.status() != 404) throw e;
                    forget(part);
                }
            }
        }

        /** The part is submitted again: what came back of it before does not count. */
        private void forget(int part) {
            Atomic.delete(dir.resolve("answers.idx"));
            for (var kind : Answers.KINDS) Atomic.delete(answerFile(part, kind));
            step("again", part, "id", part(part).id());
        }

        /** The provider failed the part for want of room: its file is submitted again as it is. */
        void foundNoRoom(Part part) {
            if (!log.get(part.number() - 1).id().equals(part.id())) return;    // another process has seen to it
            if (found != null) found.remove(part.number());
            step("no room", part.number(), "id", part.id());
        }

        /**
         * Creates the parts that are not yet at the provider, until its queue is full; returns how many that took. One
         * that is refused for good does not keep the others back, but is a part that failed.
         */
        int submit(Provider provider, Queue queue) {
            int created = 0;
            for (int part = 1; part <= log.size(); part++) {
                if (log.get(part - 1).batch != null) continue;
                if (!hasRoomFor(part, provider.limits())) break;
                var known = known(provider.wire(), part);
                try {
                    step("created", part, "batch", known == null ? create(provider.wire(), part) : known);
                    if (known == null) created++;
                    queue.moved();
                } catch (BatchException e) {
                    if (e.isQueueFull()) {
                        queue.refused(e, e.retryAfter, goingCount() == 0);
                        break;
                    }
                    if (!e.isFinal() || goingCount() == 0) throw e;
                    step("ended", part, "batch", refusal(e));
                }
            }
            return created;
        }

        boolean hasRoom(Limits limits) {
            return numbers().filter(part -> log.get(part - 1).batch == null).limit(1)
                .anyMatch(part -> hasRoomFor(part, limits));
        }

        private boolean hasRoomFor(int part, Limits limits) {
            long going = goingCount();
            long tokens = lastSeen().filter(Part::isGoing).mapToLong(other -> tokens(other.number())).sum();
            return going == 0 || going < limits.batches() && tokens + tokens(part) <= limits.tokens();
        }

        private long goingCount() { return lastSeen().filter(Part::isGoing).count(); }

        /** What its requests put into the provider's queue, as estimated. */
        private long tokens(int part) { return draft.path("tokens").path(part - 1).asLong(); }

        private static JsonNode refusal(BatchException e) {
            var batch = Json.MAPPER.createObjectNode().put("id", "").put("status", Status.FAILED.text());
            batch.putArray("errors").addObject().put("message", e.getMessage()).put("code", e.code());
            return batch;
        }

        /** Returns a part's batch if it is at the provider already; null if not. */
        private JsonNode known(Wire wire, int part) {
            if (found == null || isUnsure(part)) found = search(wire);
            return found.get(part);
        }

        /**
         * Looks among the provider's batches for parts of this one: from a lost answer, a killed process, another
         * machine.
         */
        private Map<Integer, JsonNode> search(Wire wire) {
            var found = new HashMap<Integer, JsonNode>();
            var listed = recentBatches(wire);
            for (var batch : listed.items()) {
                var mark = batch.path("metadata").path(Wire.TOKEN).asText("");
                for (int part = 1; part <= log.size(); part++) {
                    var file = log.get(part - 1).file;
                    boolean ours = mark.startsWith(mark(part)) || file != null
                        && log.get(part - 1).fileId().equals(batch.path("input_file_id").asText());
                    if (ours && Part.of(part, batch).hasRun()) found.putIfAbsent(part, batch);
                }
            }
            numbers().filter(part -> isUnsure(part) && !found.containsKey(part))
                .forEach(part -> checkReach(listed, part));
            return found;
        }

        /** Whether a create was sent whose answer never came. */
        private boolean isUnsure(int part) {
            return log.get(part - 1).token != null && log.get(part - 1).batch == null;
        }

        /** A list that breaks off before the file's upload does not say that no batch was made of it. */
        private void checkReach(Wire.Listed listed, int part) {
            var uploaded = Json.instant(log.get(part - 1).file.path("created_at"));
            boolean isOlder = uploaded.isPresent() && listed.items().stream()
                .flatMap(batch -> Json.instant(batch.path("created_at")).stream()).anyMatch(uploaded.get()::isAfter);
            if (!listed.isWhole() && !isOlder)
                throw new IllegalStateException("submit: a create of part " + part + " was never answered, and "
                    + provider().name() + " lists only " + listed.items().size()
                    + " batches, so it may be there unseen;"
                    + " look there: batch(\"its id\") takes it; if there is none, delete " + shortPath()
                    + " and run again");
        }

        /** A provider without a list is an obstacle only once an answer to a create has been lost. */
        private Wire.Listed recentBatches(Wire wire) {
            try {
                return wire.recentBatches();
            } catch (BatchException e) {
                if (!Wire.isNoRoute(e) || numbers().anyMatch(this::isUnsure)) throw e;
                return new Wire.Listed(List.of(), true);
            }
        }

        /** The part by what is in it: other limits cut the same requests into other parts. */
        private String mark(int part) {
            var sent = draft.path("sent").asText(draft.path("digest").asText());
            return sent + "/" + part + "-" + draft.path("cut").path(part - 1).asLong() + "/" + name() + "/";
        }

        /** Creates a part; a file that was uploaded by an earlier run may be gone by now. */
        private JsonNode create(Wire wire, int part) {
            boolean isOld = log.get(part - 1).file != null;
            try {
                return create(wire, part, upload(wire, part));
            } catch (BatchException e) {
                if (!isOld || !e.isFileMissing()) throw e;
                step("again", part, "id", "");
                return create(wire, part, upload(wire, part));
            }
        }

        private JsonNode create(Wire wire, int part, String file) {
            var token = mark(part) + UUID.randomUUID().toString().substring(0, 8);
            step("creating", part, "token", token);
            var pairs = metadata();
            pairs.put(Wire.TOKEN, token);
            return wire.create(file, draft.path("endpoint").asText(), draft.path("completion_window").asText(), pairs,
                () -> Optional.ofNullable(search(wire).get(part)));
        }

        /** Uploads a part's input file, unless that was done; its name tells whose it is. */
        private String upload(Wire wire, int part) {
            var log = this.log.get(part - 1);
            if (log.file == null) {
                boolean isUnsure = log.uploading;
                if (!isUnsure) step("uploading", part, "name", uploadName(part));
                step("uploaded", part, "file", wire.upload(inputFile(part), uploadName(part), isUnsure,
                    transfer("uploading ", part)));
            }
            return log.fileId();
        }

        String uploadName(int part) { return folderName() + ".part-" + part + ".jsonl"; }

        /** What is not yet at the provider never will be. */
        void cancelWaiting(Wire wire) {
            if (numbers().anyMatch(this::isUnsure)) found = search(wire);
            numbers().filter(part -> log.get(part - 1).batch == null).forEach(part -> {
                var known = found == null ? null : found.get(part);
                if (known != null) step("created", part, "batch", known);
                else step("ended", part, "batch", Json.MAPPER.createObjectNode()
                    .put("status", Status.CANCELLED.text()));
            });
        }
    }

    /** When to ask a provider again whose queue was full, and when to give up. */
    private static final class Queue {
        private static final int TRIES = 100;                 // in a row, while nothing of this batch is in it
        private final Duration first;
        private final Duration most;
        private Duration delay;
        private long next = System.nanoTime();
        private int refusals;
        private String reason = "";

        Queue(boolean local) {
            first = Duration.ofMillis(local ? 25 : 30_000);
            most = local ? Duration.ofMillis(100) : Duration.ofMinutes(10);
            delay = first;
        }

        void refused(BatchException e, Duration asked, boolean alone) {
            reason = e.getMessage();
            next = System.nanoTime() + longer(asked, Backoff.jittered(delay)).toNanos();
            delay = shorter(most, delay.multipliedBy(3).dividedBy(2));
            refusals = alone ? refusals + 1 : 0;
            if (refusals > TRIES)
                throw new BatchException(reason + "; it had no room " + TRIES + " times in a row: run again later, or "
                    + "make smaller parts by limits(requests, bytes) of the provider", e.code(), e.batchId());
        }

        void moved() {
            reason = "";
            refusals = 0;
            delay = first;
        }

        boolean isDue() { return untilDue().isNegative(); }

        Duration untilDue() { return Duration.ofNanos(next - System.nanoTime()); }
    }

    /** Keeps two processes, or threads, from changing the same journal at once. */
    private record Lock(FileChannel channel) implements AutoCloseable {
        private static final int SILENT_TRIES = 40;             // two seconds

        /** Waits until no other process has it, and says so if that takes long. */
        static Lock on(Path dir, Consumer<String> note) {
            var file = file(dir);
            try {
                var channel = FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
                for (int tries = 1; !isTaken(channel); tries++) {
                    if (tries == SILENT_TRIES)
                        note.accept("another process is at work on " + dir.getFileName() + "; waiting for it");
                    sleep("submit", Duration.ofMillis(50));
                }
                return new Lock(channel);
            } catch (IOException e) {
                throw new UncheckedIOException("submit: cannot lock " + file + " (" + reason(e) + ")", e);
            }
        }

        static Path file(Path dir) { return dir.resolveSibling("." + dir.getFileName() + ".lock"); }

        /** Returns null if another process has it. */
        static Lock ifFree(Path dir) throws IOException {
            var channel = FileChannel.open(file(dir), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
            if (isTaken(channel)) return new Lock(channel);
            channel.close();
            return null;
        }

        private static boolean isTaken(FileChannel channel) throws IOException {
            try {
                return channel.tryLock() != null;
            } catch (OverlappingFileLockException anotherThread) {
                return false;
            }
        }

        @Override public void close() {
            try {
                channel.close();
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
    }

    /** The files that came back, joined to the requests and rows of a journal. */
    private static final class Answers {
        static final String WIRE_ID = "request-";
        private static final Pattern OWN_ID = Pattern.compile(WIRE_ID + "([1-9][0-9]{0,17})");
        private static final List<String> KINDS = List.of("output", "error");
        private static final int SHOWN_NOTES = 10;
        private static final int ATTEMPTS = 3;
        private final Journal journal;
        // who ran it: a local one may have another port by now
        private final Provider provider;
        private final Consumer<String> note;
        private final Template customId;                           // null: the id on the wire is the id
        private final LineIndex places;
        private final Map<Integer, Map<Long, String>> faults = new HashMap<>();
        private int notes;

        /** Fetches the files that are not here yet, and finds each request's line in them. */
        Answers(Journal journal, Provider provider, Consumer<String> note) {
            this.journal = journal;
            this.provider = provider;
            this.note = note;
            var id = journal.draft.path("custom_id");
            this.customId = id.isTextual() ? Template.compiled("customId", id.asText()) : null;
            var index = journal.dir.resolve("answers.idx");
            try (var lock = Lock.on(journal.dir, note)) {
                places = placed(index);
            }
        }

        /**
         * Counts say little, but where they claim more lines than came, the file is fetched again before that is so.
         */
        private LineIndex placed(Path index) {
            for (int attempt = 1; ; attempt++) {
                long fetched = journal.lastSeen().filter(this::fetch).count();
                if (fetched == 0 && Files.exists(index)) break;
                var cut = journal.collected().filter(this::isCut).toList();
                if (cut.isEmpty() || attempt == ATTEMPTS) {
                    write(index);
                    break;
                }
                for (var part : cut)
                    for (var kind : KINDS) Atomic.delete(file(part.number(), kind));
            }
            return new LineIndex(index, this::file);
        }

        private boolean isCut(Part part) {
            long lines = KINDS.stream().mapToLong(kind -> lines(file(part.number(), kind))).sum();
            return lines < part.requestCounts().completed() + part.requestCounts().failed();
        }

        private static long lines(Path file) {
            if (!Files.exists(file)) return 0;
            try (var lines = new Lines(Files.newInputStream(file))) {
                long count = 0;
                while (lines.advance()) count += lines.isBlank() ? 0 : 1;
                return count;
            } catch (IOException e) {
                throw new UncheckedIOException("results: cannot read " + file + " (" + reason(e) + ")", e);
            }
        }

        private Path file(int part, String kind) { return journal.answerFile(part, kind); }

        /**
         * The files by their number in the index: of each part its output and its errors, then what was there before.
         */
        private Path file(int number) {
            return number == 2 * journal.log.size() ? journal.reusedAnswers()
                : file(number / 2 + 1, KINDS.get(number % 2));
        }

        /** Returns whether a file came that was not here. */
        private boolean fetch(Part part) {
            return fetch(part.outputFileId(), file(part.number(), "output"),
                    journal.transfer("downloading the answers of ", part.number()))
                | fetch(part.errorFileId(), file(part.number(), "error"),
                    journal.transfer("downloading the errors of ", part.number()));
        }

        private boolean fetch(String id, Path file, Progress.Transfer shown) {
            if (id.isEmpty() || Files.exists(file)) return false;
            try {
                provider.wire().download(id, file, shown);
                return true;
            } catch (BatchException e) {
                if (e.status() != 404 && e.status() != 410) throw e;
                note.accept(e.getMessage() + "; its file is gone, and the requests in it count as missing");
                return false;
            }
        }

        private void write(Path index) {
            var ids = journal.draft.path("own_ids").asBoolean() ? null : idsOfTheFile();
            Atomic.write("results", index, staged -> {
                try (var out = new LineIndex.AnyOrder(staged, journal.requestCount())) {
                    for (int file = 0; file <= 2 * journal.log.size(); file++) scan(file, ids, out);
                }
            });
            if (notes > SHOWN_NOTES) note.accept("results: and " + (notes - SHOWN_NOTES) + " more such lines");
        }

        private Map<String, Long> idsOfTheFile() {
            var ids = new HashMap<String, Long>();
            for (long i = 0; i < journal.requestCount(); i++) ids.putIfAbsent(request(i).path("custom_id").asText(), i);
            return ids;
        }

        private void scan(int file, Map<String, Long> ids, LineIndex.AnyOrder out) throws IOException {
            var path = file(file);
            if (!Files.exists(path)) return;
            try (var lines = new Lines(Files.newInputStream(path))) {
                while (lines.advance())
                    if (!lines.isBlank()) place(file, path, lines, ids, out);
            }
        }

        private void place(int file, Path path, Lines lines, Map<String, Long> ids, LineIndex.AnyOrder out) {
            var line = lines.isUtf8() ? Json.lenient(lines.text()) : MissingNode.getInstance();
            var id = line.path("custom_id").asText("");
            long request = ids == null ? ownId(id) : ids.getOrDefault(id, -1L);
            if (!line.isObject()) odd(path, lines, "is not a JSON object; its request counts as missing");
            else if (request < 0) odd(path, lines, "answers \"" + clip(id, 60) + "\", which was never asked");
            else if (!out.put(request, file, lines.length(), lines.start()))
                odd(path, lines, "answers \"" + clip(id, 60) + "\" a second time; the first answer stands");
        }

        private void odd(Path path, Lines lines, String what) {
            if (notes++ < SHOWN_NOTES) note.accept("results: " + path.getFileName() + " line " + lines.number() + " "
                + what);
        }

        private long ownId(String id) {
            var number = OWN_ID.matcher(id);
            long request = number.matches() ? Long.parseLong(number.group(1)) - 1 : -1;
            return request < journal.requestCount() ? request : -1;
        }

        long count() { return journal.requestCount(); }

        JsonNode request(long index) { return Json.lenient(journal.requests().line(index).orElseThrow()); }

        Optional<String> line(long index) { return places.line(index); }

        Optional<Answer> answer(long index) { return line(index).map(Json::lenient).map(Answer::new); }

        int variants() { return journal.variants(); }

        private JsonNode templates() { return journal.draft.path("templates"); }

        private int modelsPerRow() { return journal.draft.path("models_per_row").asInt(1); }

        boolean hasModelForEachRow() { return journal.draft.path("models").isEmpty(); }

        Map<String, Object> row(long index) {
            if (isAgain()) return Json.row(kept(index).path("row"));
            if (!journal.draft.path("own_ids").asBoolean()) return Json.row(request(index).path("body"));
            return journal.hasRows() ? Json.row(Json.lenient(journal.rows().line(index / variants()).orElseThrow()))
                : Map.of();
        }

        String customId(long index, Supplier<Map<String, Object>> row) {
            if (isAgain()) return kept(index).path("customId").asText();
            if (!journal.draft.path("own_ids").asBoolean()) return request(index).path("custom_id").asText();
            return customId == null ? WIRE_ID + (index + 1) : customId.render("customId", index / variants() + 1,
                row.get());
        }

        /** Returns the id that a request had when it was first sent. */
        String firstId(long index) {
            if (isAgain()) return kept(index).path("first").asText();
            return journal.draft.path("own_ids").asBoolean() ? WIRE_ID + (index + 1)
                : request(index).path("custom_id").asText();
        }

        /** Returns how often a request has been sent, this time included. */
        int round(long index) { return isAgain() ? kept(index).path("round").asInt() : 1; }

        /** Returns the digest of the batch in which these requests were first sent. */
        String origin() { return journal.draft.path("again_of").asText(journal.draft.path("digest").asText()); }

        /** Whether the requests were sent before, so that each has its own row, id and template beside it. */
        private boolean isAgain() { return journal.draft.path("again").asBoolean(); }

        private JsonNode kept(long index) { return Json.lenient(journal.rows().line(index).orElseThrow()); }

        String template(long index) {
            if (isAgain()) return kept(index).path("template").asText();
            return templates().path((int) (index / modelsPerRow() % Math.max(1, templates().size()))).asText();
        }

        String model(long index) {
            var models = journal.draft.path("models");
            return models.isEmpty() ? request(index).at("/body/model").asText()
                : models.path((int) (index % models.size())).asText();
        }

        /** Returns every column that some row has; none where the requests were not made from rows. */
        List<String> rowColumns() { return Json.texts(journal.draft.path("row_columns")); }

        /** Returns the columns that the prompts name: what a reader of the table wants to see beside the answer. */
        List<String> promptColumns() { return Json.texts(journal.draft.path("prompt_columns")); }

        /** Returns what the provider says of the whole batch; null if it says nothing, or not all was sent in it. */
        Usage batchUsage() {
            var parts = journal.lastSeen().map(part -> Usage.of(part.json().path("usage"))).toList();
            return journal.reusedCount() > 0 || parts.stream().anyMatch(usage -> usage.total() == 0) ? null
                : parts.stream().reduce(Usage.NONE, Usage::plus);
        }

        Status batchStatus(long index) { return isReused(index) ? Status.COMPLETED : part(index).status(); }

        private boolean isReused(long index) { return journal.requests().file(index) == Staging.REUSED; }

        private Part part(long index) { return journal.part(journal.requests().file(index) + 1); }

        /** Why a request of a part without answers has none. */
        String batchError(long index) {
            var part = part(index);
            var own = faults.computeIfAbsent(part.number(), number -> byRequest(part)).get(index);
            if (own != null) return own;
            var first = part.faults().stream().findFirst().map(fault -> ": " + fault.describe()).orElse("");
            if (part.id().isEmpty()) return "never submitted" + (first.isEmpty() ? "; the batch was cancelled" : first);
            return part.id() + " " + part.status() + (part.status().equals(Status.FAILED) ? " before any request ran"
                + first : "");
        }

        private Map<Long, String> byRequest(Part part) {
            var requests = requestsAt(journal, part.number(), part.faults().stream().map(Fault::line).toList());
            var byRequest = new HashMap<Long, String>();
            for (var fault : part.faults())
                if (requests.containsKey(fault.line())) byRequest.putIfAbsent(requests.get(fault.line()),
                    fault.describe());
            return byRequest;
        }

        /** Finds the requests that stand in these lines of a part's input file. */
        static Map<Long, Long> requestsAt(Journal journal, int part, Collection<Long> lines) {
            var wanted = new HashSet<>(lines);
            var found = new HashMap<Long, Long>();
            long line = 0;
            for (long i = 0; i < journal.requestCount() && found.size() < wanted.size(); i++)
                if (journal.requests().file(i) == part - 1 && wanted.contains(++line)) found.put(line, i);
            return found;
        }
    }

    /**
     * A journal in the making: the lines are written to part files, and take their place once the digest of all is
     * known.
     */
    private static final class Staging implements Closeable {
        private static final int ENVELOPE = 100;                       // characters of a request besides its texts
        static final int REUSED = -1;                                  // in place of a part's number, from 0
        private final Path dir;
        private final Lock lock;
        private final Provider provider;
        private final String endpoint;
        private final String window;
        private final MessageDigest digest = sha256();
        private final Map<String, PartFile> open = new HashMap<>();     // by model, where a file may hold only one
        private final List<PartFile> parts = new ArrayList<>();
        private LineIndex.InOrder requests;
        private final LineIndex.InOrder rowPlaces;
        private final OutputStream rowLines;
        private final Set<String> rowColumns = new LinkedHashSet<>();
        private long rows;
        private long rowBytes;
        private boolean ownIds;
        private final MessageDigest rowDigest = sha256();
        private String hex;
        private String sent;                                            // the digest of what is sent, where not all is
        private long reused;
        private String rowsFile;

        Staging(Provider provider, String endpoint, String window) throws IOException {
            this.provider = provider;
            this.endpoint = endpoint;
            this.window = window;
            sweep(privateFolder(Journal.folder()));
            dir = Journal.folder().resolve(".staging-" + UUID.randomUUID());
            lock = Lock.on(dir, note -> {});
            privateFolder(dir);
            requests = new LineIndex.InOrder(dir.resolve("requests.idx"));
            rowPlaces = new LineIndex.InOrder(dir.resolve("rows.idx"));
            rowLines = new BufferedOutputStream(Files.newOutputStream(dir.resolve("rows.jsonl")), 1 << 16);
            for (var text : List.of(provider.name(), endpoint, window)) digest.update((text + "\n")
                .getBytes(StandardCharsets.UTF_8));
        }

        /** Prompts are private: only the user may read them. */
        private static Path privateFolder(Path folder) throws IOException {
            if (Files.isDirectory(folder)) return folder;
            if (!FileSystems.getDefault().supportedFileAttributeViews()
                .contains("posix")) return Files.createDirectories(folder);
            return Files.createDirectories(folder,
                PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
        }

        /** Removes what a killed process left: its folder is locked no more. */
        private static void sweep(Path folder) throws IOException {
            try (var abandoned = Files.newDirectoryStream(folder, ".staging-*")) {
                for (var dir : abandoned) sweepOne(dir);
            }
        }

        private static void sweepOne(Path dir) throws IOException {
            try (var lock = Lock.ifFree(dir)) {
                if (lock == null) return;
                Atomic.deleteFolder(dir);
                Files.deleteIfExists(Lock.file(dir));
            }
        }

        /**
         * Makes a journal of a batch that was submitted elsewhere, from its input file or, if that is gone, from its
         * answers.
         */
        static Journal adopt(Provider provider, Part part, Consumer<String> note) {
            var whole = provider.limits(Long.MAX_VALUE, Long.MAX_VALUE).dialect(new Dialect(true, ""));
            try (var staging = new Staging(whole, part.json().path("endpoint").asText(), "")) {
                var input = staging.dir.resolve("download");
                if (isHere(provider, part.inputFileId(), input)) staging.addLines(input, line -> line);
                else staging.addAnswered(provider, part, input, note);
                Files.deleteIfExists(input);
                var draft = Sheaf.batch().provider(provider).name(plainName(part.id()));
                var target = staging.target(draft);
                try (var lock = Lock.on(target, note)) {
                    var journal = staging.settle(draft, target);
                    if (journal.isWaiting()) journal.step("created", 1, "batch", part.json());
                    journal.ended(part);
                    return journal;
                }
            } catch (IOException e) {
                throw new UncheckedIOException("results: cannot write to " + Journal.home() + " (" + reason(e) + ")",
                    e);
            }
        }

        private static boolean isHere(Provider provider, String file, Path target) {
            try {
                var shown = new Progress.Transfer("downloading " + file, false);
                if (!file.isEmpty()) provider.wire().download(file, target, shown);
                return !file.isEmpty();
            } catch (BatchException e) {
                if (e.status() != 404 && e.status() != 410) throw e;
                return false;
            }
        }

        private void addAnswered(Provider provider, Part part, Path input, Consumer<String> note) throws IOException {
            note.accept("results: the input file of " + part.id()
                + " is gone, so its rows are unknown, and so are requests without an "
                + "answer (" + part.requestCounts().total() + " were sent)");
            for (var file : List.of(part.outputFileId(), part.errorFileId()))
                if (isHere(provider, file, input))
                    addLines(input, line -> Json.MAPPER.createObjectNode().set("custom_id", line.path("custom_id")));
        }

        private static String plainName(String id) {
            var plain = id.replaceAll("[^A-Za-z0-9._-]", "-").replaceFirst("^[^A-Za-z0-9]+", "");
            return plain.isEmpty() ? "batch" : plain.substring(0, Math.min(64, plain.length()));
        }

        void add(Request request) throws IOException {
            ownIds = request.values() != null;
            if (ownIds && request.values() != Expansion.NO_ROW && request.row() > rows) addRow(request.values());
            add(request.model(), request.line());
        }

        private void addRow(Map<String, Object> values) throws IOException {
            var line = Json.line(values);
            rowColumns.addAll(values.keySet());
            rowLines.write(line);
            rowDigest.update(line);
            rowPlaces.add(0, line.length - 1, rowBytes);
            rowBytes += line.length;
            rows++;
        }

        private void add(String model, byte[] line) throws IOException {
            var key = provider.dialect().mixedModels() ? "" : model;
            var part = open.get(key);
            long tokens = tokens(line);
            if (part == null || part.isFull(line.length, tokens, provider.limits())) open.put(key, part = next(part));
            requests.add(part.number - 1, line.length - 1, part.bytes);
            part.write(line, tokens);
            digest.update(line);
        }

        /**
         * Estimates: four ASCII characters are a token, or one of any other script; what is around the prompt is none.
         */
        private static long tokens(byte[] line) {
            long ascii = 0, others = 0;
            for (var b : line)
                if (b >= 0) ascii++;
                else if ((b & 0xC0) == 0xC0) others++;
            return Math.max(0, ascii - ENVELOPE) / 4 + others;
        }

        private PartFile next(PartFile full) throws IOException {
            if (full != null) full.out.close();
            int number = parts.size() + 1;
            var part = new PartFile(number, dir.resolve("part-" + number + ".jsonl"));
            parts.add(part);
            return part;
        }

        /** Adds the lines of a file whose requests were not made here. */
        void addLines(Path file, Function<JsonNode, JsonNode> change) throws IOException {
            try (var lines = new Lines(Files.newInputStream(file))) {
                while (lines.advance())
                    if (!lines.isBlank()) add("", Json.line(change.apply(Json.lenient(lines.text()))));
            }
        }

        /** Returns the folder that all of this belongs into. */
        Path target(Draft draft) throws IOException {
            if (parts.isEmpty()) next(null);
            closeFiles();
            requests.close();
            hex = HexFormat.of().formatHex(digest.digest());
            rowsFile = "rows-" + HexFormat.of().formatHex(rowDigest.digest()).substring(0, 12);
            Files.move(dir.resolve("rows.jsonl"), dir.resolve(rowsFile + ".jsonl"));
            Files.move(dir.resolve("rows.idx"), dir.resolve(rowsFile + ".idx"));
            return dir.resolveSibling(draft.givenName() + "-" + hex.substring(0, 12));
        }

        /** Says what has changed since the name was last used, and reuses the answers of then if asked to. */
        void compare(Draft draft, Path target, Consumer<String> note) throws IOException {
            if (draft.again != null || draft.name == null && draft.data == null && draft.requests == null) return;
            if (Files.exists(target) && !new Journal(target).isUntouched()) return;
            var earlier = Journal.lastCalled(draft.givenName(), provider);
            if (earlier.isPresent()) compare(draft, new Earlier(earlier.get(), provider), note);
            else if (draft.reuse) note.accept("reuse: nothing was submitted as " + draft.givenName()
                + " before, so all is sent");
        }

        private void compare(Draft draft, Earlier earlier, Consumer<String> note) throws IOException {
            if (draft.reuse) earlier.open();
            var all = new LineIndex(dir.resolve("requests.idx"), part -> dir.resolve("part-" + (part + 1) + ".jsonl"));
            long differing = LongStream.range(0, all.size()).filter(i -> earlier.take(all.text(i)) < 0).count();
            if (draft.reuse) reuse(earlier.anew());
            note.accept("submit: " + earlier.describe() + "; " + earlier.changes(draft.settings())
                + String.format(Locale.ROOT, "%,d of %,d requests differ", differing, all.size())
                + (draft.reuse ? String.format(Locale.ROOT, "; %,d are sent, and for %,d the answer of then is taken",
                    all.size() - reused, reused) : "; all are sent, where reuse() would send those"));
        }

        /** Leaves out of the parts what an earlier batch has answered, and keeps those answers. */
        private void reuse(Earlier earlier) throws IOException {
            for (var part : parts) Files.move(part.file, dir.resolve("all-" + part.number + ".jsonl"));
            Files.move(dir.resolve("requests.idx"), dir.resolve("all.idx"));
            var all = new LineIndex(dir.resolve("all.idx"), part -> dir.resolve("all-" + (part + 1) + ".jsonl"));
            parts.clear();
            open.clear();
            requests = new LineIndex.InOrder(dir.resolve("requests.idx"));
            try (var lines = new PartFile(REUSED + 1, dir.resolve("reused.jsonl"));
                 var answers = new PartFile(REUSED + 1, dir.resolve("reused.output.jsonl"))) {
                for (long i = 0; i < all.size(); i++) reuse(all.text(i), earlier, lines, answers);
            }
            closeFiles();
            requests.close();
            sent = HexFormat.of().formatHex(digest.digest());
            Files.delete(dir.resolve("all.idx"));
            for (int part = 1; Files.deleteIfExists(dir.resolve("all-" + part + ".jsonl")); ) part++;
        }

        private void reuse(String text, Earlier earlier, PartFile lines, PartFile answers) throws IOException {
            var line = (text + "\n").getBytes(StandardCharsets.UTF_8);
            var request = Json.lenient(text);
            var answer = earlier.answer(text);
            if (answer.isEmpty()) {
                add(request.at("/body/model").asText(), line);
                return;
            }
            requests.add(REUSED, line.length - 1, lines.bytes);
            lines.write(line, 0);
            answers.write(Json.line(answer.get().set("custom_id", request.path("custom_id"))), 0);
            reused++;
        }

        /**
         * Takes the folder's place, or joins what is there: the same request lines, so what was sent of them stays, and
         * the rows and settings that stay here are renewed. The rows have their digest in their name, so draft.json,
         * moved last, is the one switch, and who reads the old rows goes on.
         */
        Journal settle(Draft draft, Path target) throws IOException {
            var before = Files.exists(target) ? new Journal(target) : null;
            if (before != null && before.isUntouched()) before.delete();
            if (!Files.exists(target)) {
                write(draft, null);
                Atomic.forceAll(dir);
                Files.move(dir, target, StandardCopyOption.ATOMIC_MOVE);
                Atomic.force(Journal.folder());
                var journal = new Journal(target);
                if (reused > 0) journal.step("reused", 0, "requests", reused);
            } else if (rows > 0 || !before.hasRows()) {
                write(draft, before);
                Atomic.forceAll(dir);
                for (var file : List.of(rowsFile + ".jsonl", rowsFile + ".idx", "draft.json"))
                    Files.move(dir.resolve(file), target.resolve(file), StandardCopyOption.REPLACE_EXISTING,
                        StandardCopyOption.ATOMIC_MOVE);
                removeRows(target, before.draft.path("rows_file").asText());
            }
            return new Journal(target);
        }

        /** Removes rows of long ago; those that were the last until now may be being read. */
        private void removeRows(Path target, String last) throws IOException {
            try (var files = Files.newDirectoryStream(target, "rows-*")) {
                for (var file : files)
                    if (Stream.of(rowsFile, last).noneMatch(name -> file.getFileName().toString()
                        .startsWith(name + ".")))
                        Files.deleteIfExists(file);
            }
        }

        private void write(Draft draft, Journal before) {
            Atomic.stream("submit", dir.resolve("draft.json"), out -> out.write(Json.pretty(describe(draft, before))));
        }

        /** Describes the draft; how it was cut into parts, and what of it was reused, is as it was when it was sent. */
        private ObjectNode describe(Draft draft, Journal before) {
            var node = Json.MAPPER.createObjectNode().put("version", Journal.VERSION).put("name", draft.givenName())
                .put("digest", hex);
            node.set("provider", provider.json());
            node.put("endpoint", endpoint).put("completion_window", window);
            node.set("metadata", Json.MAPPER.valueToTree(draft.metadata));
            node.set("settings", draft.settings());
            node.put("requests", reused + parts.stream().mapToLong(part -> part.requests).sum()).put("rows", rows);
            cut(before).forEach(field -> node.set(field.getKey(), field.getValue()));
            node.put("rows_file", rowsFile).put("own_ids", ownIds && draft.again == null)
                .put("again", draft.again != null)
                .put("adopted", window.isEmpty());
            if (draft.again != null) node.put("again_of", draft.again.answers.origin());
            draft.prompts.forEach(prompt -> node.withArray("templates").add(prompt.name()));
            node.put("models_per_row", Math.max(1, draft.models.size()));
            if (draft.data == null || draft.models.stream().noneMatch(Template::hasTags))
                draft.models.forEach(model -> node.withArray("models").add(model.text()));
            if (draft.customId != null) node.put("custom_id", draft.customId.text());
            promptColumns(draft).forEach(column -> node.withArray("prompt_columns").add(column));
            (draft.again == null ? rowColumns : draft.again.answers.rowColumns())
                .forEach(column -> node.withArray("row_columns").add(column));
            return node;
        }

        private Set<Map.Entry<String, JsonNode>> cut(Journal before) {
            var cut = Json.MAPPER.createObjectNode();
            if (before != null) {
                Stream.of("cut", "tokens", "reused", "sent").filter(before.draft::has)
                    .forEach(field -> cut.set(field, before.draft.get(field)));
                return cut.properties();
            }
            parts.forEach(part -> cut.withArray("cut").add(part.requests));
            parts.forEach(part -> cut.withArray("tokens").add(part.tokens));
            if (reused > 0) cut.put("reused", reused).put("sent", sent);
            return cut.properties();
        }

        private static List<String> promptColumns(Draft draft) {
            if (draft.again != null) return draft.again.answers.promptColumns();
            return draft.data == null ? List.of() : draft.prompts.stream().flatMap(prompt -> prompt.names().stream())
                .distinct().toList();
        }

        private void closeFiles() throws IOException {
            for (var part : parts) part.out.close();
            rowLines.close();
            rowPlaces.close();
        }

        @Override public void close() throws IOException {
            try {
                closeFiles();
                requests.close();
            } finally {
                if (Files.exists(dir)) Atomic.deleteFolder(dir);
                lock.close();
                Files.deleteIfExists(Lock.file(dir));
            }
        }

        private static final class PartFile implements Closeable {
            final int number;
            final Path file;
            final OutputStream out;
            long requests;
            long bytes;
            long tokens;

            PartFile(int number, Path file) throws IOException {
                this.number = number;
                this.file = file;
                out = new BufferedOutputStream(Files.newOutputStream(file), 1 << 16);
            }

            /** A request that is larger than the queue's limit of tokens, as estimated, is tried alone. */
            boolean isFull(int more, long moreTokens, Limits limits) {
                return requests == limits.requests() || bytes + more > limits.bytes()
                    || requests > 0 && tokens + moreTokens > limits.tokens();
            }

            void write(byte[] line, long itsTokens) throws IOException {
                out.write(line);
                requests++;
                bytes += line.length;
                tokens += itsTokens;
            }

            @Override public void close() throws IOException { out.close(); }
        }
    }

    /** A batch submitted before under the same name: what has changed since, and which of its answers still hold. */
    private static final class Earlier {
        private static final int NUMBER_BITS = 28;
        private static final Map<String, String> NAMES = Map.of("system", "the system prompt changed", "prompts",
            "the prompts changed", "example", "the examples changed", "image", "the images changed");
        private final Journal journal;
        private final Provider provider;
        private final long[] requests;                        // sorted: a hash of each, and its number
        private final BitSet taken = new BitSet();            // by their place above
        private Results results;

        Earlier(Journal journal, Provider provider) {
            this.journal = journal;
            this.provider = provider;
            requests = LongStream.range(0, journal.requestCount()).map(i -> hash(body(i)) << NUMBER_BITS | i).sorted()
                .toArray();
        }

        /** Fetches its answers; one that is still going has not got them all. */
        void open() {
            var batch = new Batch(journal, provider);
            if (!batch.status().isTerminal())
                throw new IllegalStateException("reuse: " + journal.name() + " is still " + batch.seenStatus()
                    + "; await it first: batch(\"" + journal.name() + "\").await()");
            results = batch.results();
            Journal.all().filter(later -> later.draft.path("again_of").equals(journal.draft.path("digest"))
                && later.lastSeen().allMatch(part -> part.status().isTerminal()) && later.hasRun())
                .sorted(Comparator.comparing(later -> later.submittedAt))
                .forEach(later -> results = results.merge(new Batch(later, provider).results()));
        }

        /** Finds a request like this one, each only once; -1 if there is none. */
        int take(String line) {
            var body = body(line);
            long hash = hash(body);
            int place = Arrays.binarySearch(requests, hash << NUMBER_BITS);
            for (place = taken.nextClearBit(place < 0 ? -place - 1 : place); place < requests.length
                && requests[place] >>> NUMBER_BITS == hash; place = taken.nextClearBit(place + 1)) {
                int request = (int) requests[place] & (1 << NUMBER_BITS) - 1;
                if (!body(request).equals(body)) continue;
                taken.set(place);
                return request;
            }
            return -1;
        }

        /** Forgets which requests were taken. */
        Earlier anew() {
            taken.clear();
            return this;
        }

        /** Returns the line that answered a request like this one, if it was answered whole. */
        Optional<ObjectNode> answer(String line) {
            int request = take(line);
            var result = request < 0 ? null : results.at.apply(request);
            return result == null || !result.ok() ? Optional.empty()
                : Optional.of((ObjectNode) result.answer().orElseThrow().line());
        }

        String describe() {
            return journal.name() + " was submitted before (" + Journal.MINUTE.format(journal.submittedAt) + ", "
                + count(journal.requestCount(), "request") + ")";
        }

        /** Names the settings that differ, each followed by "; ". */
        String changes(JsonNode now) {
            var before = journal.draft.path("settings");
            var words = new LinkedHashSet<String>();
            before.fieldNames().forEachRemaining(words::add);
            now.fieldNames().forEachRemaining(words::add);
            return words.stream().filter(word -> before.isObject() && !before.path(word).equals(now.path(word)))
                .map(word -> NAMES.getOrDefault(word, word + " is " + shown(now.path(word)) + ", was "
                    + shown(before.path(word))) + "; ").collect(Collectors.joining());
        }

        private static String shown(JsonNode value) {
            return value.isMissingNode() ? "not given" : clip(value.isTextual() ? value.asText() : value.toString(),
                40);
        }

        private String body(long request) { return body(journal.requests().text(request)); }

        /** A request without its id. */
        private static String body(String line) {
            int rest = line.startsWith("{\"custom_id\":\"" + Answers.WIRE_ID) ? line.indexOf("\",\"method\"") : -1;
            return rest > 0 ? line.substring(rest)
                : Json.lenient(line) instanceof ObjectNode object ? object.without("custom_id").toString() : line;
        }

        private static long hash(String body) {
            return ByteBuffer.wrap(sha256().digest(body.getBytes(StandardCharsets.UTF_8))).getLong() >>> NUMBER_BITS;
        }
    }

    /** Where lines stand: 16 bytes a line (file, length, offset), mapped, so that ten million lines need no heap. */
    private static final class LineIndex {
        private static final int ENTRY = 16;
        private final ByteBuffer entries;
        private final Function<Integer, Path> files;
        private final Map<Integer, FileChannel> open = new ConcurrentHashMap<>();

        LineIndex(Path index, Function<Integer, Path> files) {
            this.files = files;
            try (var channel = FileChannel.open(index)) {
                entries = channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size());
            } catch (IOException e) {
                throw new UncheckedIOException("journal: cannot read " + index + " (" + reason(e) + ")", e);
            }
        }

        long size() { return entries.capacity() / ENTRY; }

        int file(long line) { return entries.getInt((int) line * ENTRY); }

        /** Returns a line of an index that has a place for each. */
        String text(long line) { return line(line).orElseThrow(); }

        /** Returns the line, or nothing if none has its place here. */
        Optional<String> line(long line) {
            int at = (int) line * ENTRY;
            var bytes = ByteBuffer.allocate(entries.getInt(at + 4));
            if (bytes.capacity() == 0) return Optional.empty();
            try {
                read(entries.getInt(at), entries.getLong(at + 8), bytes);
            } catch (ClosedByInterruptException e) {
                open.remove(entries.getInt(at));
                throw new IllegalStateException("results: interrupted", e);
            } catch (ClosedChannelException anotherThreadWasInterrupted) {
                open.remove(entries.getInt(at));
                return line(line);
            } catch (IOException e) {
                throw new UncheckedIOException("journal: cannot read " + files.apply(entries.getInt(at)) + " ("
                    + reason(e) + ")", e);
            }
            return Optional.of(new String(bytes.array(), StandardCharsets.UTF_8));
        }

        private void read(int file, long offset, ByteBuffer bytes) throws IOException {
            var channel = open.computeIfAbsent(file, this::open);
            for (int read; bytes.hasRemaining(); offset += read) {
                read = channel.read(bytes, offset);
                if (read < 0) throw new EOFException("the file is shorter than its index says");
            }
        }

        private FileChannel open(int file) {
            try {
                return FileChannel.open(files.apply(file));
            } catch (IOException e) {
                throw new UncheckedIOException("journal: cannot read " + files.apply(file) + " (" + reason(e) + ")", e);
            }
        }

        /** Notes lines in order. */
        private record InOrder(DataOutputStream out) implements Closeable {
            InOrder(Path index) throws IOException {
                this(new DataOutputStream(new BufferedOutputStream(Files.newOutputStream(index), 1 << 16)));
            }

            void add(int file, int length, long offset) throws IOException {
                out.writeInt(file);
                out.writeInt(length);
                out.writeLong(offset);
            }

            @Override public void close() throws IOException { out.close(); }
        }

        /** Notes lines in any order, each once. */
        private static final class AnyOrder implements Closeable {
            private final FileChannel channel;
            private final MappedByteBuffer entries;

            AnyOrder(Path index, long lines) throws IOException {
                channel = FileChannel.open(index, StandardOpenOption.CREATE, StandardOpenOption.READ,
                    StandardOpenOption.WRITE);
                entries = channel.map(FileChannel.MapMode.READ_WRITE, 0, lines * ENTRY);
            }

            /** Returns false if the line has a place already. */
            boolean put(long line, int file, int length, long offset) {
                int at = (int) line * ENTRY;
                if (entries.getInt(at + 4) != 0) return false;
                entries.putInt(at, file).putInt(at + 4, length).putLong(at + 8, offset);
                return true;
            }

            @Override public void close() throws IOException {
                entries.force();
                channel.close();
            }
        }
    }

    // ---- Back rooms: files, JSON, templates, the wire, the terminal ----

    /** Lines of a stream, split on 0x0A alone: in a JSON line U+2028 and a lone carriage return are text. */
    private static final class Lines implements Closeable {
        private static final byte[] BOM = {(byte) 0xEF, (byte) 0xBB, (byte) 0xBF};
        private final InputStream in;
        private final byte[] buffer = new byte[1 << 16];
        private int position;
        private int limit;
        private long next;                            // offset of the line after this one
        private long start;
        private long number;
        private ByteBuffer line = ByteBuffer.allocate(0);

        Lines(InputStream in) { this.in = in; }

        /** Reads the next line; a final newline begins none. */
        boolean advance() throws IOException {
            if (position == limit && !fill()) return false;
            var bytes = new ByteArrayOutputStream(256);
            boolean ended = false;
            while (!ended && (position < limit || fill())) ended = take(bytes);
            start = next;
            next += bytes.size() + (ended ? 1 : 0);
            number++;
            line = trimmed(bytes.toByteArray());
            return true;
        }

        private boolean fill() throws IOException {
            position = 0;
            limit = Math.max(0, in.read(buffer));
            return limit > 0;
        }

        private boolean take(ByteArrayOutputStream bytes) {
            int end = position;
            while (end < limit && buffer[end] != '\n') end++;
            bytes.write(buffer, position, end - position);
            position = Math.min(end + 1, limit);
            return end < limit;
        }

        /** Without the byte order mark of the first line, and the carriage return of a Windows file. */
        private ByteBuffer trimmed(byte[] bytes) {
            int skip = number == 1 && bytes.length >= 3 && Arrays.equals(bytes, 0, 3, BOM, 0, 3) ? 3 : 0;
            int end = bytes.length > skip && bytes[bytes.length - 1] == '\r' ? bytes.length - 1 : bytes.length;
            start += skip;
            return ByteBuffer.wrap(bytes, skip, end - skip).slice();
        }

        long number() { return number; }

        long start() { return start; }

        int length() { return line.capacity(); }

        boolean isBlank() { return new String(bytes(), StandardCharsets.ISO_8859_1).isBlank(); }

        boolean isUtf8() {
            try {
                strictUtf8(line.duplicate());
                return true;
            } catch (CharacterCodingException e) {
                return false;
            }
        }

        String text() { return new String(bytes(), StandardCharsets.UTF_8); }

        private byte[] bytes() {
            var bytes = new byte[line.capacity()];
            line.duplicate().get(bytes);
            return bytes;
        }

        @Override public void close() throws IOException { in.close(); }
    }

    private static String strictUtf8(ByteBuffer bytes) throws CharacterCodingException {
        var text = StandardCharsets.UTF_8.newDecoder().onMalformedInput(CodingErrorAction.REPORT).decode(bytes)
            .toString();
        return text.startsWith("\uFEFF") ? text.substring(1) : text;
    }

    /** Reads UTF-8, refuses what is none, and passes over a byte order mark. */
    private static Reader strictReader(InputStream in) {
        try {
            var bytes = new PushbackInputStream(in, Lines.BOM.length);
            var start = bytes.readNBytes(Lines.BOM.length);
            if (!Arrays.equals(start, Lines.BOM)) bytes.unread(start);
            return new InputStreamReader(bytes, StandardCharsets.UTF_8.newDecoder()
                .onMalformedInput(CodingErrorAction.REPORT));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static final class Json {
        /** Whatever length was written is read again: a limit would lose a row, not refuse it. */
        private static final StreamReadConstraints ANY_LENGTH = StreamReadConstraints.builder()
            .maxStringLength(Integer.MAX_VALUE).maxNameLength(Integer.MAX_VALUE).maxNumberLength(Integer.MAX_VALUE)
            .build();
        static final JsonMapper MAPPER = JsonMapper.builder(JsonFactory.builder().streamReadConstraints(ANY_LENGTH)
            .build())
            .enable(DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS, DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
            .disable(JsonNodeFeature.STRIP_TRAILING_BIGDECIMAL_ZEROES)
            .build();
        /** Writes the same value as the same bytes: a user's map has no order of its own. */
        static final JsonMapper CANONICAL = MAPPER.rebuild().enable(SerializationFeature.ORDER_MAP_ENTRIES_BY_KEYS)
            .build();
        private static final DateTimeFormatter ISO = DateTimeFormatter.ISO_DATE_TIME.withZone(ZoneOffset.UTC);
        static final TypeReference<LinkedHashMap<String, Object>> ROW = new TypeReference<>() {};
        static final ObjectReader ROWS = MAPPER.readerFor(ROW).without(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);

        static Map<String, Object> object(String text) throws JsonProcessingException { return MAPPER.readValue(text,
            ROW); }

        /** Reads what a server sent; what is no JSON is a missing node. */
        static JsonNode lenient(String text) {
            try {
                return MAPPER.readTree(text);
            } catch (JsonProcessingException e) {
                return MissingNode.getInstance();
            }
        }

        static JsonNode read(Path file) {
            try {
                return MAPPER.readTree(Files.readString(file));
            } catch (IOException e) {
                throw new UncheckedIOException("journal: cannot read " + file + " (" + reason(e) + ")", e);
            }
        }

        static Map<String, Object> row(JsonNode object) {
            return object.isObject() ? MAPPER.convertValue(object, ROW) : Map.of();
        }

        static List<String> texts(JsonNode array) {
            return StreamSupport.stream(array.spliterator(), false).map(JsonNode::asText).toList();
        }

        /** One line as it goes out. What would end the line for some reader, and what UTF-8 cannot say, is escaped. */
        static byte[] line(Object value) {
            try {
                return (escaped(MAPPER.writeValueAsString(value)) + "\n").getBytes(StandardCharsets.UTF_8);
            } catch (JsonProcessingException e) {
                throw new IllegalArgumentException("submit: cannot be written as JSON: " + reason(e), e);
            }
        }

        private static String escaped(String json) {
            if (json.chars().noneMatch(c -> c == 0x85 || c == 0x2028 || c == 0x2029
                || Character.isSurrogate((char) c))) return json;
            var out = new StringBuilder(json.length() + 16);
            json.codePoints().forEach(c -> {
                if (isHalf(c) || c == 0x85 || c == 0x2028 || c == 0x2029) out.append("\\u")
                    .append(HexFormat.of().toHexDigits((char) c));
                else out.appendCodePoint(c);
            });
            return out.toString();
        }

        static boolean isHalf(int codePoint) {
            return codePoint >= Character.MIN_SURROGATE && codePoint <= Character.MAX_SURROGATE;
        }

        static byte[] pretty(JsonNode node) throws IOException {
            return (escaped(MAPPER.writerWithDefaultPrettyPrinter().writeValueAsString(node)) + "\n")
                .getBytes(StandardCharsets.UTF_8);
        }

        /** A value as one cell of a table: text as it is, anything else as JSON. */
        static String cell(Object value) {
            if (value == null) return "";
            if (value instanceof Map<?, ?> || value instanceof Collection<?>) return MAPPER.valueToTree(value)
                .toString();
            return value instanceof BigDecimal number && Math.abs(number.scale()) < 100 ? number.toPlainString()
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
    }

    /** Changes files whole or not at all. */
    private static final class Atomic {
        interface Content<T> {
            void writeTo(T target) throws IOException;
        }

        /** Writes beside the file, under a name that no other process uses, and renames. */
        static void write(String word, Path file, Content<Path> content) {
            var target = file.toAbsolutePath();
            var staged = target.resolveSibling("." + target.getFileName() + "." + UUID.randomUUID().toString()
                .substring(0, 8));
            try {
                content.writeTo(staged);
                try (var channel = FileChannel.open(staged, StandardOpenOption.WRITE)) {
                    channel.force(true);
                }
                Files.move(staged, target, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE);
                force(target.getParent());
            } catch (IOException e) {
                throw new UncheckedIOException(word + ": cannot write " + file + " (" + reason(e) + ")", e);
            } finally {
                staged.toFile().delete();
            }
        }

        static void stream(String word, Path file, Content<OutputStream> content) {
            write(word, file, staged -> {
                try (var out = new BufferedOutputStream(Files.newOutputStream(staged), 1 << 16)) {
                    content.writeTo(out);
                }
            });
        }

        /** Adds a line that is on disk when this returns; after a torn line it begins a new one. */
        static void append(Path file, byte[] line) {
            boolean isNew = !Files.exists(file);
            try (var channel = FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.APPEND)) {
                var bytes = ByteBuffer.allocate(line.length + 1);
                if (isTorn(file)) bytes.put((byte) '\n');
                bytes.put(line).flip();
                while (bytes.hasRemaining()) channel.write(bytes);
                channel.force(true);
                if (isNew) force(file.toAbsolutePath().getParent());
            } catch (IOException e) {
                throw new UncheckedIOException("journal: cannot write " + file + " (" + reason(e) + ")", e);
            }
        }

        private static boolean isTorn(Path file) throws IOException {
            try (var channel = FileChannel.open(file)) {
                return channel.size() > 0 && last(channel) != '\n';
            }
        }

        static byte last(FileChannel channel) throws IOException {
            var last = ByteBuffer.allocate(1);
            channel.read(last, channel.size() - 1);
            return last.get(0);
        }

        /** Has what a folder holds on the disk, so that a power cut leaves no file of it empty. */
        static void forceAll(Path folder) throws IOException {
            try (var files = Files.newDirectoryStream(folder)) {
                for (var file : files)
                    try (var channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
                        channel.force(true);
                    }
            }
            force(folder);
        }

        /** Has the names in a folder on the disk; not every system lets a folder be opened. */
        static void force(Path folder) {
            try (var channel = FileChannel.open(folder)) {
                channel.force(true);
            } catch (IOException notHere) {
                // the names reach the disk a little later
            }
        }

        static void delete(Path file) {
            try {
                Files.deleteIfExists(file);
            } catch (IOException e) {
                throw new UncheckedIOException("journal: cannot delete " + file + " (" + reason(e) + ")", e);
            }
        }

        static void deleteFolder(Path folder) throws IOException {
            try (var files = Files.newDirectoryStream(folder)) {
                for (var file : files) Files.deleteIfExists(file);
            } catch (NoSuchFileException another) {
                return;
            }
            Files.deleteIfExists(folder);
        }
    }

    /** Mustache without escaping, without files, and without silence about what is missing. */
    private static final class Templates {
        private static final String NO_PARTIALS = "partials, {{>name}}, are not read; put the text into the template";
        private static final String NO_PRAGMAS = "pragmas, {{%name}}, are not read; give the column another name";
        // the parser drops a carriage return alone, and doubles one before two newlines
        private static final Pattern ODD_RETURN = Pattern.compile("\r(?!\n(?!\n))");
        // where a rendering collects the names that had no value
        private static final String MISSING = "\0missing";

        private static final class Factory extends DefaultMustacheFactory {
            private final char oddReturn;                  // stands for a carriage return that the parser would lose

            Factory(char oddReturn) {
                super((MustacheResolver) name -> null);
                setObjectHandler(new ScopeLookup());
                this.oddReturn = oddReturn;
            }

            /** The library's own writes nothing for a pragma. */
            @Override public MustacheVisitor createMustacheVisitor() {
                return new DefaultMustacheVisitor(this) {
                    @Override public void write(TemplateContext context, String text) {
                        super.write(context, text.replace(oddReturn, '\r'));
                    }

                    @Override public void pragma(TemplateContext context, String pragma, String rest) {
                        throw new MustacheException(NO_PRAGMAS, context);
                    }
                };
            }

            @Override public void encode(String value, Writer writer) {
                try {
                    writer.write(value);
                } catch (IOException e) {
                    throw new UncheckedIOException(e);
                }
            }
        }

        /** Looks names up in maps alone, so no template calls a method. */
        private static final class ScopeLookup extends MapObjectHandler {
            @Override public String stringify(Object value) { return Json.cell(value); }


            @Override public Binding createBinding(String name, TemplateContext context, Code code) {
                return scopes -> {
                    var value = lookup(name, scopes);
                    if (value == null && code instanceof ValueCode) missing(scopes).putIfAbsent(name, context.line());
                    return value;
                };
            }

            private static Object lookup(String name, List<Object> scopes) {
                for (int i = scopes.size() - 1; i >= 0; i--) {
                    if (name.equals(".")) return scopes.get(i) instanceof Map<?, ?> ? null : scopes.get(i);
                    var value = inside(scopes.get(i), name);
                    if (value != null || scopes.get(i) instanceof Map<?, ?> map && map.containsKey(name)) return value;
                }
                return null;
            }

            /** A column may have a dot in its name; else a dot leads into the value. */
            private static Object inside(Object scope, String name) {
                if (!(scope instanceof Map<?, ?> map)) return null;
                if (map.containsKey(name)) return map.get(name);
                int dot = name.indexOf('.');
                return dot < 0 ? null : inside(map.get(name.substring(0, dot)), name.substring(dot + 1));
            }

            @SuppressWarnings("unchecked")
            private static Map<String, Integer> missing(List<Object> scopes) {
                return (Map<String, Integer>) ((Map<?, ?>) scopes.get(0)).get(MISSING);
            }
        }

        private static boolean hasPartial(Code[] codes) {
            return codes != null && Stream.of(codes).anyMatch(code -> code instanceof PartialCode
                || code instanceof DynamicPartialCode
                || hasPartial(code.getCodes()));
        }

        static Mustache compile(String name, String text) {
            try {
                char unused = unusedIn(text);
                var parsed = ODD_RETURN.matcher(text).replaceAll(String.valueOf(unused));
                var mustache = new Factory(unused).compile(new StringReader(parsed), name.isEmpty() ? "text" : name);
                if (hasPartial(mustache.getCodes())) throw new MustacheException(NO_PARTIALS);
                return mustache;
            } catch (MustacheException e) {
                throw new IllegalArgumentException("template: "
                    + (name.isEmpty() ? "\"" + clip(text, 40) + "\"" : name) + ": "
                    + (text.contains("{{>") ? NO_PARTIALS : cause(e).replaceFirst(" @\\[.*:([0-9]+)]$", " (line $1)")),
                    e);
            }
        }

        private static char unusedIn(String text) {
            char unused = '\uE000';
            while (text.indexOf(unused) >= 0) unused++;
            return unused;
        }

        static String render(Mustache mustache, Map<String, Object> row, Map<String, Integer> missing) {
            var out = new StringWriter();
            mustache.execute(out, new Object[] {Map.of(MISSING, missing), row});
            return out.toString();
        }

        /** Returns every name that the template looks up, sections included. */
        static Set<String> names(Mustache mustache) {
            var names = new LinkedHashSet<String>();
            collect(mustache.getCodes(), names);
            return names;
        }

        private static void collect(Code[] codes, Set<String> names) {
            if (codes == null) return;
            for (var code : codes) {
                if (code.getName() != null) names.add(code.getName());
                collect(code.getCodes(), names);
            }
        }

        static Object value(String name, Map<String, Object> row) { return ScopeLookup.inside(row, name); }

        static String describe(Map<String, Integer> missing) {
            return missing.entrySet().stream().map(entry -> "{{" + entry.getKey() + "}} (template line "
                + entry.getValue() + ")")
                .collect(Collectors.joining(", "));
        }

        static String has(Map<String, Object> row) {
            if (row.get("result") instanceof Map<?, ?> result && !result.containsKey("text"))
                return "its outcome is " + result.get("outcome") + ": " + result.get("error") + "; feed succeeded()";
            return "it has: " + row.entrySet().stream().map(entry -> entry.getKey()
                + (entry.getValue() == null ? " (null)" : ""))
                .collect(Collectors.joining(", "));
        }
    }

    /** The provider's routes. Bodies are read as trees: providers leave fields out, and write numbers as text. */
    private static final class Wire {
        static final String TOKEN = "sheaf";
        private static final Map<String, Wire> OPEN = new ConcurrentHashMap<>();
        private static final int ATTEMPTS = 3;
        private static final int LOOKS = 4;                       // at the list, over some eight seconds
        private static final int FILE_LOOKS = 7;                  // for a file just uploaded, over some thirty seconds
        private static final int SEARCHED = 1_000;                // batches of the list, newest first
        private static final int ROUND = 10;
        private static final Duration LONGEST_PAUSE = Duration.ofSeconds(60);
        /** The whole of a large file may take long; a silent peer may not. */
        private static final Timeout PATIENT = Timeout.builder().connect(Duration.ofSeconds(30))
            .write(Duration.ofSeconds(60)).read(Duration.ofMinutes(5)).request(Duration.ZERO).build();
        private final Provider provider;
        private final String key;
        private final OpenAIClient client;

        private Wire(Provider provider, String key) {
            this.provider = provider;
            this.key = key;
            // no retries of its own: it would send POST /batches three times
            client = OpenAIOkHttpClient.builder().baseUrl(provider.baseUrl()).apiKey(key).maxRetries(0).timeout(PATIENT)
                .addInterceptor(this::toUploads).build();
        }

        /** The client has one route for uploads; some providers have another. */
        private okhttp3.Response toUploads(Interceptor.Chain chain) throws IOException {
            var request = chain.request();
            var url = request.url();
            boolean uploads = request.method().equals("POST") && url.encodedPath().endsWith("/files");
            var path = url.encodedPath().replaceFirst("/files$", provider.dialect().uploadPath());
            return chain.proceed(!uploads ? request
                : request.newBuilder().url(url.newBuilder().encodedPath(path).build()).build());
        }

        static Wire of(Provider provider) {
            var key = Environment.key(provider);
            return OPEN.computeIfAbsent(provider.baseUrl() + " " + provider.dialect() + " " + key,
                any -> new Wire(provider, key));
        }

        /**
         * Uploads a file under a name of its own; a try that may have got through unseen is looked for before the next.
         */
        JsonNode upload(Path file, String name, boolean isUnsure, Progress.Transfer shown) {
            try (shown) {
                return patiently(isUnsure, () -> uploaded(file, name), () -> upload(file, name, shown));
            }
        }

        private Optional<JsonNode> uploaded(Path file, String name) {
            try {
                long bytes = Files.size(file);
                return files("submit", SEARCHED).stream().filter(found -> found.path("filename").asText().equals(name)
                    && found.path("bytes").asLong() == bytes).findFirst();
            } catch (BatchException none) {
                if (!isNoRoute(none)) throw none;
                return Optional.empty();                      // a second upload costs nothing but its time
            } catch (IOException e) {
                throw new UncheckedIOException("submit: cannot read " + file + " (" + reason(e) + ")", e);
            }
        }

        static boolean isNoRoute(BatchException e) { return Set.of(404, 405, 501).contains(e.status()); }

        private JsonNode upload(Path file, String name, Progress.Transfer shown) {
            return call("submit", "POST", provider.dialect().uploadPath(), () -> {
                try {
                    var part = MultipartField.<InputStream>builder().value(shown.counted(file))
                        .filename(name).contentType("application/jsonl").build();
                    var params = FileCreateParams.builder().file(part)
                        .purpose(FilePurpose.of(provider.dialect().purpose()));
                    if (!provider.dialect().uploadPath().equals("/files"))     // Together wants the name as a field too
                        params.putAdditionalBodyProperty("file_name", JsonValue.from(name));
                    return client.files().withRawResponse().create(params.build());
                } catch (IOException e) {
                    throw new UncheckedIOException("submit: cannot read " + file + " (" + reason(e) + ")", e);
                }
            });
        }

        /**
         * Creates a batch. After an answer that never came, or said 429 or 5xx, the list is searched until a late batch
         * would have shown. What was answered is then sent again; what was not is left to the next run. A file just
         * uploaded may be seen a little late.
         */
        JsonNode create(String file, String endpoint, String window, Map<String, String> metadata,
                        Supplier<Optional<JsonNode>> search) {
            for (int attempt = 1; ; attempt++) {
                try {
                    return create(file, endpoint, window, metadata);
                } catch (UncheckedIOException | BatchException e) {
                    if (e instanceof BatchException refusal && refusal.isFileMissing() && attempt < FILE_LOOKS) {
                        Backoff.pause("submit", provider.isLocal(), attempt, e);
                        continue;
                    }
                    if (!Backoff.isPassing(e) || isUnsent(e) || isFull(e)) throw e;
                    var found = searched(search, e);
                    if (found.isPresent()) return found.get();
                    if (attempt == ATTEMPTS || isLost(e)) throw lost(e);
                }
            }
        }

        private static boolean isFull(RuntimeException e) {
            return e instanceof BatchException refusal && refusal.code().equals(BatchException.QUEUE_FULL);
        }

        /** A connection that was never made carried nothing. */
        private static boolean isUnsent(RuntimeException e) {
            return e.getCause() instanceof ConnectException || e.getCause() instanceof UnknownHostException;
        }

        private Optional<JsonNode> searched(Supplier<Optional<JsonNode>> search, RuntimeException e) {
            boolean isRefusal = e instanceof BatchException refusal && refusal.status() == 429;
            for (int look = 1; look <= (isRefusal ? 1 : LOOKS); look++) {
                Backoff.pause("submit", provider.isLocal(), look, e);
                var found = search.get();
                if (found.isPresent()) return found;
            }
            return Optional.empty();
        }

        private static boolean isLost(RuntimeException e) {
            return e instanceof UncheckedIOException || e instanceof BatchException refusal && refusal.isGarbled();
        }

        private static RuntimeException lost(RuntimeException e) {
            if (!isLost(e)) return e;
            var message = e.getMessage().replaceFirst(";[^;]*$", "")
                + "; the batch may have been created: run again in a minute, and it is looked for before "
                + "anything is sent";
            return e instanceof UncheckedIOException io ? new UncheckedIOException(message, io.getCause())
                : new BatchException(message, (BatchException) e);
        }

        private JsonNode create(String file, String endpoint, String window, Map<String, String> metadata) {
            var pairs = BatchCreateParams.Metadata.builder();
            metadata.forEach((key, value) -> pairs.putAdditionalProperty(key, JsonValue.from(value)));
            var params = BatchCreateParams.builder().inputFileId(file).endpoint(BatchCreateParams.Endpoint.of(endpoint))
                .completionWindow(BatchCreateParams.CompletionWindow.of(window)).metadata(pairs.build()).build();
            var created = call("submit", "POST", "/batches", () -> client.batches().withRawResponse().create(params));
            return created.has("job") ? created.get("job") : created;    // Together's wrapper
        }

        JsonNode retrieve(String step, String id) {
            return patiently(() -> retrieveOnce(step, id));
        }

        /** Asks once, for a wait that has a patience of its own. */
        JsonNode retrieveOnce(String step, String id) {
            return call(step, "GET", "/batches/" + id, () -> client.batches().withRawResponse().retrieve(id));
        }

        void deleteFile(String id) {
            try {
                patiently(() -> call("deleteFile", "DELETE", "/files/" + id, () -> client.files().withRawResponse()
                    .delete(id)));
            } catch (BatchException e) {
                if (e.status() != 404) throw e;
            }
        }

        /** A batch that is over already cannot be cancelled; what it is then is what counts. */
        JsonNode cancel(String id) {
            try {
                return call("cancel", "POST", "/batches/" + id + "/cancel", () -> client.batches().withRawResponse()
                    .cancel(id));
            } catch (BatchException e) {
                if (e.status() != 409 && e.status() != 400) throw e;
                return retrieve("cancel", id);
            }
        }

        /** What a list brought, and whether that is all there is. */
        record Listed(List<JsonNode> items, boolean isWhole) {}

        Listed batches(String step, int limit) {
            return pages(limit, (after, size) -> call(step, "GET", "/batches", () -> {
                var params = BatchListParams.builder().limit((long) size);
                after.ifPresent(params::after);
                return client.batches().withRawResponse().list(params.build());
            }));
        }

        Listed recentBatches() { return batches("submit", SEARCHED); }

        List<JsonNode> files(String step, int limit) {
            return pages(limit, (after, size) -> call(step, "GET", "/files", () -> {
                var params = FileListParams.builder();
                after.ifPresent(params::after);
                return client.files().withRawResponse().list(params.build());
            })).items();
        }

        List<JsonNode> models() {
            return items(patiently(() -> call("models", "GET", "/models", () -> client.models().withRawResponse()
                .list())))
                .toList();
        }

        private interface Page {
            JsonNode get(Optional<String> after, int size);
        }

        /**
         * Walks a list until a page brings nothing new: some servers ignore the cursor, some leave {@code has_more}
         * out. Who ignores the cursor and sends fewer than were asked for has no more, unless that is its own size of a
         * page, which is a round number.
         */
        private Listed pages(int limit, Page page) {
            var found = new LinkedHashMap<String, JsonNode>();
            Optional<String> after = Optional.empty();
            boolean isWhole = false;
            for (int before = -1; found.size() < limit && found.size() > before && !isWhole; ) {
                before = found.size();
                int size = Math.min(100, limit - before);
                var from = after;
                var answer = patiently(() -> page.get(from, size));
                items(answer).forEach(item -> found.putIfAbsent(item.path("id").asText(), item));
                long items = items(answer).count();
                boolean isLast = answer.path("has_more").isBoolean() && !answer.path("has_more").asBoolean();
                isWhole = items == 0 || isLast || found.size() == before && items < size && items % ROUND != 0;
                after = items(answer).reduce((first, last) -> last).map(item -> item.path("id").asText());
            }
            return new Listed(found.values().stream().limit(limit).toList(), isWhole);
        }

        private static Stream<JsonNode> items(JsonNode answer) {
            return StreamSupport.stream((answer.isArray() ? answer : answer.path("data")).spliterator(), false);
        }

        /**
         * Fetches a file whole or not at all. What came before a break stays beside the target, under a name that the
         * next process finds too, and is not fetched again.
         */
        void download(String id, Path target, Progress.Transfer shown) {
            var mark = HexFormat.of().formatHex(sha256().digest(id.getBytes(StandardCharsets.UTF_8))).substring(0, 12);
            var partial = target.resolveSibling("." + target.getFileName() + "." + mark + ".partial");
            try {
                try (shown; var download = new Download(id, partial, shown)) {
                    download.untilWhole();
                }
                Files.move(partial, target, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE);
            } catch (ClosedByInterruptException e) {
                throw interrupted(e);
            } catch (IOException e) {
                throw new UncheckedIOException("results: cannot write " + target + " (" + reason(e) + ")", e);
            } finally {
                if (partial.toFile().length() == 0) partial.toFile().delete();
            }
        }

        private static IllegalStateException interrupted(IOException e) {
            return new IllegalStateException("results: interrupted; run again to go on", e);
        }

        /** How many bytes a file has; 0 if the provider does not say: some have no such route. */
        private long size(String id) {
            try {
                return patiently(() -> call("results", "GET", "/files/" + id,
                    () -> client.files().withRawResponse().retrieve(id))).path("bytes").asLong();
            } catch (BatchException e) {
                if (Backoff.isPassing(e)) throw e;
                return 0;
            }
        }

        /** A file on its way here, in as many pieces as it takes. */
        private final class Download implements Closeable {
            private static final int MB = 1 << 20;
            private static final Pattern RANGE = Pattern.compile("bytes ([0-9]{1,18})-[0-9]+/([0-9]{1,18}|[*])");
            private final String id;
            private final Path partial;
            private final Progress.Transfer shown;
            private final FileChannel channel;
            private long size;                     // of the whole; 0 if unknown
            private long came;
            private long most;                     // that ever came

            /** Goes on where an earlier process was. After a power cut only what was forced to the disk is sure. */
            Download(String id, Path partial, Progress.Transfer shown) throws IOException {
                this.id = id;
                this.partial = partial;
                this.shown = shown;
                channel = FileChannel.open(partial, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
                came = most = Math.max(0, channel.size() - 1) / MB * MB;
                channel.truncate(came).position(came);
                size = size(id);
            }

            /** Counts only attempts that bring nothing: a line that breaks every minute gets through in the end. */
            void untilWhole() throws IOException {
                for (int failures = 0; ; ) {
                    try {
                        receive();
                        channel.force(true);
                        return;
                    } catch (UncheckedIOException | BatchException e) {
                        failures = came > most ? 0 : failures + 1;
                        most = Math.max(most, came);
                        if (isFinal(e) || failures > ATTEMPTS) throw brokenOff(e);
                        Backoff.pause("results", provider.isLocal(), failures, e);
                    }
                }
            }

            private boolean isFinal(RuntimeException e) {
                return !Backoff.isPassing(e) || e.getCause() instanceof FileSystemException;
            }

            private void receive() throws IOException {
                long start = came;
                var params = FileContentParams.builder().fileId(id);
                if (start > 0) params.putAdditionalHeader("Range", "bytes=" + start + "-");
                try {
                    call("results", "GET", "/files/" + id + "/content", () -> client.files().content(params.build()),
                        response -> take(response, start));
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
                    shown.show(came, size);
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

            /** An answer may end early and look whole: then it is short of its size, or its last line is no JSON. */
            private void checkWhole() throws IOException {
                var fault = came < size ? "only " + came + " of " + size + " bytes of " + id + " came"
                    : isPage(partial) ? "a page of HTML came in the place of " + id
                    : isLastLineWhole(partial) ? "" : "the last line of " + id + " is cut off";
                if (fault.isEmpty()) return;
                forget();
                throw new UncheckedIOException("results: " + fault
                    + "; nothing is lost, run again and it is fetched anew", new IOException("the file was cut off"));
            }

            private RuntimeException brokenOff(RuntimeException e) {
                if (!(e instanceof UncheckedIOException io) || isFinal(e) || came == 0) return e;
                return new UncheckedIOException("results: " + came + (size == 0 ? "" : " of " + size)
                    + " bytes of " + id + " came, and then no more (" + reason(io.getCause())
                    + "); nothing is lost, run again and the rest is fetched", io.getCause());
            }

            @Override public void close() throws IOException { channel.close(); }
        }

        /** Proxies say in HTML that they are out of order, and some call that a success. */
        private static boolean isPage(Path file) throws IOException {
            try (var in = Files.newInputStream(file)) {
                return new String(in.readNBytes(64), StandardCharsets.ISO_8859_1).stripLeading().startsWith("<");
            }
        }

        private static boolean isLastLineWhole(Path file) throws IOException {
            try (var channel = FileChannel.open(file)) {
                if (channel.size() == 0 || Atomic.last(channel) == '\n') return true;
            }
            try (var lines = new Lines(Files.newInputStream(file))) {
                while (lines.advance()) continue;
                return !Json.lenient(lines.text()).isMissingNode();
            }
        }

        // calls and their errors

        private interface Reading<T> {
            T from(HttpResponse response) throws IOException;
        }

        private JsonNode call(String step, String method, String path, Supplier<? extends HttpResponse> call) {
            return call(step, method, path, call, response -> {
                var body = Json.lenient(new String(response.body().readAllBytes(), StandardCharsets.UTF_8));
                if (body.isContainerNode()) return body;
                throw new BatchException(step + ": " + method + " " + provider.baseUrl() + path + ": "
                    + response.statusCode()
                    + " but no JSON; is this the base URL of an OpenAI-compatible API?", response.statusCode(), "", "");
            });
        }

        private <T> T call(String step, String method, String path, Supplier<? extends HttpResponse> call,
            Reading<T> reading) {
            try (var response = call.get()) {
                return reading.from(response);
            } catch (OpenAIServiceException e) {
                throw refused(step + ": " + method + " " + provider.baseUrl(), path, e);
            } catch (OpenAIIoException e) {
                throw unreachable(step, e.getCause() instanceof IOException cause ? cause : new IOException(e));
            } catch (IOException e) {
                throw unreachable(step, e);
            }
        }

        private BatchException refused(String call, String path, OpenAIServiceException e) {
            JsonNode body = e.body().isMissing() ? MissingNode.getInstance() : Json.MAPPER.valueToTree(e.body());
            var error = body.path("error").isMissingNode() ? body : body.path("error");
            var said = error.isTextual() ? error.asText() : error.path("message").asText("");
            var message = isSecret() ? said.replace(key, "(the key)") : said;
            return new BatchException(call + path + ": " + e.statusCode()
                + (message.isEmpty() ? "" : " " + message.replaceFirst("\\.$", ""))
                + advice(e.statusCode(), path), e, isSecret() && said.contains(key), error, retryAfter(e));
        }

        /** A short one is a stand-in, and may be a word of the message. */
        private boolean isSecret() { return key.length() >= 8; }

        private String advice(int status, String path) {
            if (status == 401) return "; check " + provider.keyVariable();
            return status == 404 && path.matches("/\\w+") && !provider.baseUrl().endsWith("/v1")
                ? "; does the base URL end in /v1?" : "";
        }

        private UncheckedIOException unreachable(String step, IOException e) {
            if (e instanceof FileSystemException || String.valueOf(e.getMessage()).contains("No space left"))
                return new UncheckedIOException(step + ": cannot write to " + Journal.home() + " (" + reason(e) + ")",
                    e);
            return new UncheckedIOException(step + ": cannot reach " + provider.baseUrl() + " (" + reason(e) + "); "
                + (provider.isLocal() ? "start a server or set OPENAI_BASE_URL" : "check the network and run again"),
                e);
        }

        private static Duration retryAfter(OpenAIServiceException e) {
            var millis = e.headers().values("retry-after-ms");
            if (!millis.isEmpty()) return seconds(millis.get(0), 0.001);
            var after = e.headers().values("retry-after");
            return after.isEmpty() ? Duration.ZERO : seconds(after.get(0), 1);
        }

        private static Duration seconds(String text, double unit) {
            try {
                return capped(Duration.ofMillis((long) (Double.parseDouble(text.strip()) * unit * 1000)));
            } catch (NumberFormatException date) {
                return untilDate(text);
            }
        }

        private static Duration untilDate(String text) {
            try {
                return capped(Duration.between(ZonedDateTime.now(),
                    ZonedDateTime.parse(text.strip(), DateTimeFormatter.RFC_1123_DATE_TIME)));
            } catch (DateTimeParseException e) {
                return Duration.ZERO;
            }
        }

        private static Duration capped(Duration pause) {
            return longer(Duration.ZERO, shorter(LONGEST_PAUSE, pause));
        }

        /** Repeats a call that may be made twice without harm. */
        private <T> T patiently(Supplier<T> call) { return patiently(false, Optional::empty, call); }

        /** Before each try but a first that is sure, looks whether an earlier one got through. */
        private <T> T patiently(boolean isUnsure, Supplier<Optional<T>> done, Supplier<T> call) {
            for (int attempt = 1; ; attempt++) {
                try {
                    return (isUnsure || attempt > 1 ? done.get() : Optional.<T>empty()).orElseGet(call);
                } catch (UncheckedIOException | BatchException e) {
                    if (!Backoff.isPassing(e) || attempt > ATTEMPTS) throw e;
                    Backoff.pause("submit", provider.isLocal(), attempt, e);
                }
            }
        }
    }

    /** What the environment says; a system property of the same name goes first. */
    private static final class Environment {
        // keys typed in, for this process only
        private static final Map<String, String> ASKED = new ConcurrentHashMap<>();

        static String get(String name) {
            var property = System.getProperty(name);
            var value = property == null ? System.getenv(name) : property;
            return value == null ? "" : value.strip();
        }

        static String key(Provider provider) {
            var key = get(provider.keyVariable());
            if (!key.matches("[\\x21-\\x7e]*"))
                throw new IllegalStateException("provider: " + provider.keyVariable()
                    + " holds a character that no key has");
            if (!key.isEmpty()) return key;
            if (provider.isLocal()) return "none";
            if (!canAsk() && !ASKED.containsKey(provider.keyVariable()))
                throw new IllegalStateException("provider: no key for " + provider.name() + "; set "
                    + provider.keyVariable());
            return ASKED.computeIfAbsent(provider.keyVariable(), variable -> ask(provider));
        }

        static boolean canAsk() { return System.console() != null && get("CI").isEmpty(); }

        private static String ask(Provider provider) {
            var typed = System.console().readPassword("Key for %s (hidden; %s is not set): ", provider.name(),
                provider.keyVariable());
            if (typed == null)                                 // JShell reads the terminal itself
                throw new IllegalStateException("provider: no key for " + provider.name() + ", and none can be typed "
                    + "in here; set " + provider.keyVariable() + " and start again");
            var key = new String(typed).strip();
            if (key.isEmpty())
                throw new IllegalStateException("provider: no key for " + provider.name() + "; set "
                    + provider.keyVariable());
            return key;
        }
    }

    /** The state of a wait on stderr: one line rewritten on a terminal, elsewhere a line for each change. */
    private static final class Progress {
        // after which an unchanged state is said again
        private static final Duration SILENCE = Duration.ofMinutes(1);
        private static final Duration BLINK = Duration.ofMillis(100);
        private final boolean quiet;
        private final boolean live = System.console() != null && !"dumb".equals(System.getenv("TERM"));
        private final int width = Tables.width();
        private final Instant start = Instant.now();
        private Instant said = Instant.EPOCH;
        private String last = "";
        private String trouble = "";
        private long first = -1;
        private boolean ended;

        private static volatile boolean interrupted;

        Progress(boolean quiet) { this.quiet = quiet; }

        /** Works on; if Ctrl-C ends that, leaves the terminal clean and says how to come back. */
        <T> T during(Supplier<String> farewell, Function<Progress, T> work) {
            var hook = new Thread(() -> {
                interrupted = true;
                end(quiet ? "" : farewell.get());
            });
            Runtime.getRuntime().addShutdownHook(hook);
            try {
                return work.apply(this);
            } finally {
                removeHook(hook);
                if (!interrupted) end("");
            }
        }

        private static void removeHook(Thread hook) {
            try {
                Runtime.getRuntime().removeShutdownHook(hook);
            } catch (IllegalStateException shuttingDown) {
                // the hook is running: that is what ended the work
            }
        }

        void trouble(String message) { trouble = message; }

        synchronized void show(String what, RequestCounts counts) {
            if (quiet || ended || interrupted) return;
            if (first < 0) first = counts.completed() + counts.failed();
            var line = what + " " + counts + (trouble.isEmpty() ? pace(counts) : "; " + trouble);
            if (live) System.err.print("\r\u001b[K" + clip(line, width - 1));
            else if (!step(what, counts).equals(last) || Instant.now().isAfter(said.plus(SILENCE))) say(line,
                step(what, counts));
            trouble = "";
        }

        private void say(String line, String step) {
            System.err.println(line);
            last = step;
            said = Instant.now();
        }

        /** A change worth a line of its own: another status, another tenth, another trouble. */
        private String step(String what, RequestCounts counts) {
            return what + " " + (counts.total() == 0 ? 0 : 10 * (counts.completed()
                + counts.failed()) / counts.total()) + trouble;
        }

        private String pace(RequestCounts counts) {
            long done = counts.completed() + counts.failed() - first;
            double seconds = Duration.between(start, Instant.now()).toMillis() / 1000.0;
            if (done <= 0 || seconds < 2) return "";
            double rate = done / seconds;
            long left = (long) ((counts.total() - counts.completed() - counts.failed()) / rate);
            var pace = rate >= 1 ? String.format(Locale.ROOT, ", %.1f/s", rate)
                : String.format(Locale.ROOT, ", %.1f/min", 60 * rate);
            return pace + (left < 1 ? "" : ", " + text(Duration.ofSeconds(left)) + " left");
        }

        synchronized void end(String message) {
            if (ended) return;
            ended = true;
            if (live && !quiet) System.err.print("\r\u001b[K");
            if (!message.isEmpty()) System.err.println(message);
        }

        private synchronized void rewrite(String line, String step) {
            if (quiet || ended || interrupted) return;
            if (!live && !step.equals(last)) say(line, step);
            if (!live || Instant.now().isBefore(said.plus(BLINK))) return;
            System.err.print("\r\u001b[K" + clip(line, width - 1));
            said = Instant.now();
        }

        /** The bytes of one file on their way; what takes a moment only is not worth a line. */
        static final class Transfer implements AutoCloseable {
            private static final Duration MOMENT = Duration.ofMillis(500);      // where a line is rewritten
            private static final Duration WHILE = Duration.ofSeconds(3);        // where it stays
            private final String what;
            private final boolean quiet;
            private final Instant start = Instant.now();
            private Progress progress;                     // null before there is something to show
            private long first = -1;

            Transfer(String what, boolean quiet) {
                this.what = what;
                this.quiet = quiet;
            }

            /** Returns the bytes of a file, and shows how many have been read. */
            InputStream counted(Path file) throws IOException {
                long total = Files.size(file);
                return new FilterInputStream(Files.newInputStream(file)) {
                    private long count;

                    @Override public int read(byte[] bytes, int offset, int length) throws IOException {
                        int read = super.read(bytes, offset, length);
                        show(count += Math.max(0, read), total);
                        return read;
                    }
                };
            }

            /** A total of 0 is one that nobody knows. */
            void show(long bytes, long total) {
                if (first < 0) first = bytes;
                var time = Duration.between(start, Instant.now());
                if (quiet || time.compareTo(MOMENT) < 0) return;
                if (progress == null) progress = new Progress(false);
                if (!progress.live && time.compareTo(WHILE) < 0) return;
                progress.rewrite(what + ", " + amount(bytes, total) + left(time, bytes, total),
                    total == 0 ? time.toMinutes() + "m" : String.valueOf(10 * bytes / total));
            }

            private static String amount(long bytes, long total) {
                boolean large = Math.max(bytes, total) >= 10_000_000;
                int unit = large ? 1_000_000 : 1_000;
                return bytes / unit + (total == 0 ? "" : " of " + total / unit) + (large ? " MB" : " kB");
            }

            private String left(Duration time, long bytes, long total) {
                if (bytes <= first || bytes >= total) return "";
                var left = Duration.ofMillis(time.toMillis() * (total - bytes) / (bytes - first));
                return left.toSeconds() < 1 ? "" : ", " + text(left) + " left";
            }

            @Override public void close() {
                if (progress != null) progress.end("");
            }
        }

        static String text(Duration time) {
            if (time.toSeconds() < 1) return time.toMillis() + "ms";
            return (time.toHours() > 0 ? time.toHours() + "h" : "")
                + (time.toMinutesPart() > 0 ? time.toMinutesPart() + "m" : "")
                + (time.toSecondsPart() > 0 ? time.toSecondsPart() + "s" : "");
        }
    }

    /** Text tables as wide as the terminal. */
    private static final class Tables {
        private static final int DEFAULT_WIDTH = 100;
        private static final int NARROWEST = 8;
        private static final int CELL_LINES = 6;
        private static final int HEADER_LINES = 3;
        private static final String GAP = "  ";

        static int width() {
            var columns = Environment.get("COLUMNS");
            if (columns.matches("[1-9][0-9]{1,3}")) return Integer.parseInt(columns);
            return System.console() == null ? DEFAULT_WIDTH : terminalWidth();
        }

        private static int terminalWidth() {
            try {
                var stty = new ProcessBuilder("stty", "size").redirectInput(Path.of("/dev/tty").toFile()).start();
                var size = new String(stty.getInputStream().readAllBytes(), StandardCharsets.US_ASCII).strip()
                    .split(" ");
                return size.length == 2 && !size[1].equals("0") ? Integer.parseInt(size[1]) : DEFAULT_WIDTH;
            } catch (IOException | NumberFormatException e) {
                return DEFAULT_WIDTH;
            }
        }

        private record Column(String label, Function<Result, String> cell) {}

        /** What is shown of some results, as text and as HTML: of each row the cells of its columns, then answers. */
        private record Grid(List<Column> columns, List<String> header, List<List<Result>> rows, String summary) {
            List<String> cells(List<Result> variants) {
                return columns.stream().map(column -> column.cell().apply(variants.get(0))).toList();
            }
        }

        static String results(Results results, int limit) {
            var grid = grid(results, limit);
            var lines = grid.rows().stream().map(row -> Stream.concat(grid.cells(row).stream(),
                row.stream().map(Tables::answer)).toList()).toList();
            return draw(grid.header(), lines, CELL_LINES) + grid.summary();
        }

        /** Several templates or models stand side by side, one line a row; else each result has its line. */
        private static Grid grid(Results results, int limit) {
            var answers = results.answers;
            var wide = results.kept == null && answers.journal.hasRows() && answers.variants() > 1;
            int step = wide ? answers.variants() : 1;
            var rows = results.stream().limit((long) limit * step).toList();
            var columns = new ArrayList<Column>();
            columns.add(new Column("id", Result::customId));
            for (var name : answers.promptColumns())
                columns.add(new Column(name, result -> Json.cell(Templates.value(name, result.row()))));
            if (!answers.journal.hasRows()) columns.add(new Column("prompt", Result::prompt));
            else if (!wide && differ(rows, Result::template)) columns.add(new Column("template", Result::template));
            if ((!wide || answers.hasModelForEachRow()) && differ(rows, Result::model)) columns.add(new Column("model",
                Result::model));
            var lines = IntStream.range(0, rows.size() / step)
                .mapToObj(line -> rows.subList(line * step, (line + 1) * step)).toList();
            var header = Stream.concat(columns.stream().map(Column::label),
                wide ? rows.stream().limit(step).map(first -> variant(first, rows)) : Stream.of("result")).toList();
            return new Grid(columns, header, lines, summary(results, rows.size()));
        }

        /** What tells this answer of a row from its neighbours. */
        private static String variant(Result result, List<Result> rows) {
            if (!differ(rows, Result::model) || result.answers.hasModelForEachRow()) return result.template();
            return differ(rows, Result::template) ? result.template() + ", " + result.model() : result.model();
        }

        private static boolean differ(List<Result> rows, Function<Result, String> property) {
            return rows.stream().map(property).distinct().count() > 1;
        }

        private static String answer(Result result) {
            return result.ok() ? result.text() : result.outcome() + why(result);
        }

        private static String why(Result result) {
            return ": " + result.error() + (result.rawText().isEmpty() ? "" : "\n" + result.rawText());
        }

        private static String summary(Results results, int shown) {
            var counts = results.counts().entrySet().stream().map(entry -> entry.getValue() + " " + entry.getKey())
                .collect(Collectors.joining(", "));
            var more = results.size() - shown;
            return (more > 0 ? more + " more; toCsv(file) writes them all\n" : "")
                + (counts.isEmpty() ? "no results" : counts + "; " + results.usage()) + "\n";
        }

        /** An amount of bytes in three digits or four. */
        static String size(long bytes) {
            if (bytes < 1000) return bytes + " B";
            int unit = bytes < 1_000_000 ? 0 : bytes < 1_000_000_000 ? 1 : 2;
            double amount = bytes / Math.pow(1000, unit + 1);
            return String.format(Locale.ROOT, amount < 100 ? "%.1f %s" : "%.0f %s", amount,
                List.of("kB", "MB", "GB").get(unit));
        }

        /** Draws columns as wide as they need, the widest cut down until all fit; cells wrap up to so many lines. */
        static String draw(List<String> header, List<List<String>> rows, int cellLines) {
            var widths = widths(header, rows);
            var out = new StringBuilder();
            drawRow(out, header, widths, HEADER_LINES);
            drawRow(out, widths.stream().map("-"::repeat).toList(), widths, 1);
            for (var row : rows) drawRow(out, row, widths, cellLines);
            return out.toString();
        }

        private static List<Integer> widths(List<String> header, List<List<String>> rows) {
            var widths = new ArrayList<Integer>();
            for (int column = 0; column < header.size(); column++) {
                int widest = columns(header.get(column));
                for (var row : rows) widest = Math.max(widest, widestLine(row.get(column)));
                widths.add(widest);
            }
            int room = width() - GAP.length() * (widths.size() - 1);
            while (sum(widths) > room && Collections.max(widths) > NARROWEST) {
                int widest = Collections.max(widths);
                int place = widths.indexOf(widest);
                int second = widths.stream().filter(width -> width < widest).max(Integer::compare).orElse(0);
                long ties = widths.stream().filter(width -> width == widest).count();
                widths.set(place, Math.max(NARROWEST, Math.max(ties > 1 ? widest - 1 : second,
                    widest - (sum(widths) - room))));
            }
            return widths;
        }

        private static int sum(List<Integer> widths) { return widths.stream().mapToInt(Integer::intValue).sum(); }

        private static int widestLine(String text) {
            return text.lines().map(Tables::printable).mapToInt(Tables::columns).max().orElse(0);
        }

        private static void drawRow(StringBuilder out, List<String> cells, List<Integer> widths, int cellLines) {
            var wrapped = new ArrayList<List<String>>();
            for (int i = 0; i < cells.size(); i++) wrapped.add(wrap(cells.get(i), widths.get(i), cellLines));
            int height = wrapped.stream().mapToInt(List::size).max().orElse(0);
            for (int line = 0; line < height; line++) {
                var text = new StringBuilder();
                for (int i = 0; i < wrapped.size(); i++) {
                    var piece = line < wrapped.get(i).size() ? wrapped.get(i).get(line) : "";
                    text.append(i == 0 ? "" : GAP).append(piece)
                        .append(" ".repeat(Math.max(0, widths.get(i) - columns(piece))));
                }
                out.append(text.toString().stripTrailing()).append('\n');
            }
        }

        private static List<String> wrap(String text, int width, int most) {
            var lines = new ArrayList<String>();
            for (var line : text.strip().lines().toList()) lines.addAll(wrapLine(printable(line), width));
            if (lines.isEmpty()) lines.add("");
            if (lines.size() <= most) return lines;
            var kept = new ArrayList<>(lines.subList(0, most));
            kept.set(most - 1, cut(kept.get(most - 1) + " ", width - 1).stripTrailing() + "…");
            return kept;
        }

        private static List<String> wrapLine(String line, int width) {
            var lines = new ArrayList<String>();
            var rest = line.stripTrailing();
            while (columns(rest) > width) {
                var head = cut(rest, width);
                int space = rest.charAt(head.length()) == ' ' ? head.length() : head.lastIndexOf(' ');
                if (space > width / 3) head = rest.substring(0, space);
                lines.add(head.stripTrailing());
                rest = rest.substring(head.length()).strip();
            }
            if (!rest.isEmpty() || lines.isEmpty()) lines.add(rest);
            return lines;
        }

        /** Returns as much of the text as fits, at least one character. */
        private static String cut(String text, int width) {
            int end = 0;
            for (int used = 0; end < text.length(); end = text.offsetByCodePoints(end, 1)) {
                used += columns(text.codePointAt(end));
                if (used > width && end > 0) break;
            }
            return text.substring(0, end);
        }

        /** An answer must not move the cursor, nor turn the text around it. */
        private static String printable(String line) {
            return line.replace("\t", "    ").replaceAll("[\\p{Cc}\\p{Zl}\\p{Zp}]", "")
                .replaceAll("[\u200e\u200f\u202a-\u202e\u2066-\u2069]", "");
        }

        private static int columns(String text) { return text.codePoints().map(Tables::columns).sum(); }

        private static int columns(int c) {
            var type = Character.getType(c);
            if (type == Character.NON_SPACING_MARK || type == Character.ENCLOSING_MARK
                || type == Character.FORMAT) return 0;
            return isWide(c) ? 2 : 1;
        }

        /** The wide ranges of https://www.unicode.org/reports/tr11/, by blocks. */
        private static boolean isWide(int c) {
            return c >= 0x1100 && c <= 0x115F || c >= 0x2E80 && c <= 0xA4CF && c != 0x303F || c >= 0xAC00 && c <= 0xD7A3
                || c >= 0xF900 && c <= 0xFAFF || c >= 0xFE30 && c <= 0xFE6F || c >= 0xFF00 && c <= 0xFF60
                || c >= 0xFFE0 && c <= 0xFFE6
                || c >= 0x1F300 && c <= 0x1F64F || c >= 0x1F680 && c <= 0x1F6FF || c >= 0x1F900 && c <= 0x1FAFF
                || c >= 0x20000 && c <= 0x3FFFD;
        }
    }

    /**
     * The same tables for a page or a notebook. All style is inline, and no colour is solid: a notebook drops style
     * sheets, and its page may be dark.
     */
    private static final class Html {
        private static final int CELL_CHARACTERS = 20_000;     // more are not read in a table, and burden a browser
        private static final String CELL = "style=\"border-bottom: 1px solid rgba(128,128,128,.35);"
            + " padding: .3em .8em .3em .4em; text-align: left; vertical-align: top;";
        private static final String FAILED = " background: rgba(224,64,48,.16);";
        private static final int WORD = 24;                    // what is no longer stays on one line, as an id
        private static final String TEXT = "<div style=\"max-width: 36em; max-height: 16em; overflow: auto;"
            + " overflow-wrap: break-word; text-align: start; unicode-bidi: plaintext; white-space: %s\">%s</div>";

        static String results(Results results, int limit) {
            var grid = Tables.grid(results, limit);
            var rows = grid.rows().stream().map(row -> Stream.concat(grid.cells(row).stream().map(Html::cell),
                row.stream().map(Html::answer)).toList()).toList();
            return drawn(grid.header(), rows) + lines(grid.summary());
        }

        static String table(List<String> header, List<List<String>> rows) {
            return drawn(header, rows.stream().map(row -> row.stream().map(Html::cell).toList()).toList());
        }

        /** Returns text as it stands, line by line. */
        static String lines(String text) {
            return text.isBlank() ? "" : "<pre style=\"font-family: monospace; margin: .4em;"
                + " white-space: pre-wrap; overflow-wrap: anywhere\">" + escaped(text.stripTrailing()) + "</pre>\n";
        }

        private static String drawn(List<String> header, List<List<String>> rows) {
            var out = new StringBuilder("<div style=\"overflow-x: auto\">"
                + "<table style=\"border-collapse: collapse; margin: .4em 0\">\n<thead><tr>");
            for (var label : header)
                out.append("<th ").append(CELL).append("\">").append(escaped(label)).append("</th>");
            out.append("</tr></thead>\n<tbody>\n");
            for (var row : rows) out.append("<tr>").append(String.join("", row)).append("</tr>\n");
            return out.append("</tbody>\n</table></div>\n").toString();
        }

        private static String cell(String text) {
            return "<td " + CELL + "\">" + TEXT.formatted(text.length() > WORD ? "pre-wrap" : "pre", escaped(text))
                + "</td>";
        }

        private static String answer(Result result) {
            return result.ok() ? cell(result.text()) : "<td " + CELL + FAILED + "\">" + TEXT.formatted("pre-wrap",
                "<b>" + result.outcome() + "</b>" + escaped(Tables.why(result))) + "</td>";
        }

        private static String escaped(String text) {
            var cut = text.length() <= CELL_CHARACTERS ? text
                : text.substring(0, text.offsetByCodePoints(CELL_CHARACTERS - 1, 1)) + "…";
            return cut.strip().lines().map(Tables::printable).collect(Collectors.joining("\n"))
                .replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
                .replace("\"", "&quot;").replace("'", "&#39;");
        }
    }

    /**
     * A script that ends in one of Sheaf's errors shows its sentence, not a stack trace; {@code -Dsheaf.trace} brings
     * the trace back.
     */
    private static final class UncaughtErrors {
        static void install() {
            if (Thread.getDefaultUncaughtExceptionHandler() != null
                || System.getProperty("sheaf.trace") != null) return;
            Thread.setDefaultUncaughtExceptionHandler((thread, error) -> {
                if (isOurs(error)) System.err.println(error.getMessage());
                else printTrace(thread, error);
            });
        }

        private static boolean isOurs(Throwable error) {
            return error instanceof RuntimeException && error.getMessage() != null && error.getStackTrace().length > 0
                && error.getMessage().matches("(?s)[a-zA-Z]+: .*") && Stream.of(error.getStackTrace())
                    .filter(frame -> !frame.getClassName().startsWith("java.")).findFirst()
                    .filter(frame -> frame.getClassName().startsWith("sheaf.")).isPresent();
        }

        private static void printTrace(Thread thread, Throwable error) {
            System.err.print("Exception in thread \"" + thread.getName() + "\" ");
            error.printStackTrace();
        }
    }

    private static <T> T given(String word, T value) {
        if (value == null) throw new IllegalArgumentException(word + ": the argument is null");
        return value;
    }

    private static long notNegative(String word, long number) {
        if (number < 0) throw new IllegalArgumentException(word + ": " + number + " is less than 0");
        return number;
    }

    private static String count(long number, String noun) {
        return String.format(Locale.ROOT, "%,d %s%s", number, noun, number == 1 ? "" : "s");
    }

    private static Duration longer(Duration a, Duration b) { return a.compareTo(b) > 0 ? a : b; }

    private static Duration shorter(Duration a, Duration b) { return a.compareTo(b) < 0 ? a : b; }

    /** Returns the start of a text, on one line. */
    private static String clip(String text, int most) {
        var line = text.strip().replaceAll("\\s+", " ");
        return line.length() <= most ? line : line.substring(0, Math.max(0, most - 1)) + "…";
    }

    /** Says what went wrong with a file or a connection, in a few words. */
    private static String reason(IOException e) {
        if (e instanceof MismatchedInputException mismatch)
            return mismatch.getOriginalMessage().startsWith("Trailing token") ? "more follows it"
                : "it is something else";
        if (e instanceof JsonProcessingException json) return firstLine(json.getOriginalMessage())
            .replaceFirst(" \\(.*REDACTED.*", "");
        if (e instanceof FileSystemException file && file.getReason() != null) return file.getReason()
            .toLowerCase(Locale.ROOT);
        if (e instanceof NoSuchFileException) return "no such file or folder";
        if (e instanceof AccessDeniedException) return "permission denied";
        if (e instanceof UnknownHostException) return "unknown host";
        if (e instanceof ConnectException) return "connection refused";
        return firstLine(e.getMessage()).isEmpty() ? "connection lost" : firstLine(e.getMessage());
    }

    private static String firstLine(String text) {
        return text == null ? "" : text.strip().lines().findFirst().orElse("").strip();
    }

    private static String cause(Throwable e) {
        var deepest = e;
        while (deepest.getCause() != null && deepest.getCause() != deepest) deepest = deepest.getCause();
        return deepest.getMessage() == null ? deepest.getClass().getSimpleName() : firstLine(deepest.getMessage());
    }

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }

    private static void sleep(String step, Duration time) {
        try {
            Thread.sleep(time.toMillis());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException(step + ": interrupted; run again to go on", e);
        }
    }
}
