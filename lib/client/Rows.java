package sheaf;

import static sheaf.Messages.reason;
import static sheaf.Messages.visible;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import java.io.Closeable;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Collection;
import java.util.Iterator;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.Spliterator;
import java.util.Spliterators;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;
import java.util.function.Supplier;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import sheaf.PlainValues.RowSource;

/** A named dataset: rows of a CSV, JSON Lines or JSON file, or of whatever opens a stream of them. */
final class Rows implements RowSource {
    private static final Object RENDERED = new Object();
    private final String name;                            // of the file, or what the user calls it
    private final Object origin;                          // two datasets of equal origin have the same rows
    private final Source source;

    /** Opens the rows; what is odd about them is noted when their stream is closed. */
    interface Source {
        Stream<Map<String, Object>> open(Consumer<String> note);
    }

    private record Limited(Rows rows, long most) {}

    private Rows(String name, Object origin, Source source) {
        this.name = name;
        this.origin = origin;
        this.source = source;
    }

    /** @param source gives plain values: what JSON can say */
    Rows(String name, Object origin, RowSource source) { this(name, origin, note -> source.open()); }

    private Rows(InputFile file, Supplier<Reader<Map<String, Object>>> reader) {
        this(file.fileName(), file, note -> Reader.stream(reader.get()));
    }

    /** @param source gives plain values: what JSON can say, and says what is odd about them */
    static Rows from(String name, Object origin, Source source) { return new Rows(name, origin, source); }

    static Rows csv(CsvFile file) {
        return new Rows(file.input().fileName(), file, note -> Reader.stream(new CsvRows(file.open(note))));
    }

    static Rows jsonl(InputFile file) { return new Rows(file, () -> new JsonlRows(file)); }

    static Rows json(InputFile file) { return new Rows(file, () -> new JsonRows(file)); }

    /** Returns the rows of objects that may be maps, records or plain values. */
    static Rows of(String name, Supplier<? extends Stream<?>> objects) {
        return new Rows(name, objects, note -> objects.get().map(PlainValues::row));
    }

    /** Returns rows whose requests are made already: each is a {@link RenderedRow}. */
    static Rows rendered(String name, RowSource source) { return new Rows(name, RENDERED, source); }

    boolean areRendered() { return origin == RENDERED; }

    @Override public Stream<Map<String, Object>> open() {
        return open(none -> {}).map(row -> row instanceof Row kept ? kept.copy() : row);
    }

    /** @param note told what is odd about the rows that were read, when the stream is closed */
    Stream<Map<String, Object>> open(Consumer<String> note) { return source.open(note); }

    Rows limit(long most) { return new Rows(name, new Limited(this, most), note -> source.open(note).limit(most)); }

    /** Returns so many of these rows, of which there are {@code all}, evenly spread from the first on. */
    Rows spread(long few, long all) {
        return new Rows(name, origin, note -> {
            var number = new AtomicLong();
            return source.open(note).filter(row -> isOfSpread(number.getAndIncrement(), few, all));
        });
    }

    /** Whether a row, counted from 0, is one of few of all that are evenly spread: the k-th is all * k / few. */
    static boolean isOfSpread(long row, long few, long all) {
        long k = (row * few + all - 1) / all;
        return k < few && k * all / few == row;
    }

    /**
     * Returns the same rows of a CSV file that is read in another way.
     * @param option that asks for it
     */
    Rows csv(String option, UnaryOperator<CsvFile> change) {
        if (origin instanceof CsvFile file) return csv(change.apply(file));
        if (origin instanceof Limited limited) return limited.rows.csv(option, change).limit(limited.most);
        throw new IllegalArgumentException("options: " + option + " needs rows of a CSV file; these are " + name);
    }

    /** Whether they are read from this file. */
    boolean areIn(Path file) {
        if (origin instanceof Limited limited) return limited.rows.areIn(file);
        var input = origin instanceof InputFile.Format format ? format.input() : origin;
        return input instanceof InputFile own && own.isAt(file);
    }

    /** Returns what to do if a template names no column. */
    String headerAdvice(Collection<String> columns) {
        return origin instanceof CsvFile file ? file.headerAdvice(columns) : "";
    }

    String name() { return name; }

    /** Returns what they come from: two datasets of equal origin have the same rows. */
    Object origin() { return origin; }

    @Override public boolean equals(Object other) { return other instanceof Rows rows && rows.origin.equals(origin); }

    @Override public int hashCode() { return origin.hashCode(); }

    /** Names the columns of a file, which one wants to know next. */
    @Override public String toString() {
        if (!(origin instanceof InputFile || origin instanceof InputFile.Format)) return "Data[" + name + "]";
        try (var rows = open()) {
            return "Data[" + name + ": " + rows.findFirst().map(row -> visible(row.keySet()))
                .orElse("no rows") + "]";
        } catch (UncheckedIOException | IllegalArgumentException unreadable) {
            return "Data[" + name + "]";
        }
    }

    private static final class CsvRows extends Reader<Map<String, Object>> {
        private final CsvFile.Reading reading;

        CsvRows(CsvFile.Reading reading) { this.reading = reading; }

        @Override Map<String, Object> read() throws IOException { return reading.read(); }

        @Override public void close() throws IOException { reading.close(); }
    }

    /** Reads an object a line. */
    private static final class JsonlRows extends Reader<Map<String, Object>> {
        private final InputFile input;
        private final Lines lines;

        JsonlRows(InputFile input) {
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
    private static final class JsonRows extends Reader<Map<String, Object>> {
        private final InputFile input;
        private final JsonParser parser;
        private boolean opened;

        JsonRows(InputFile input) {
            this.input = input;
            try {
                parser = Json.MAPPER.createParser(new Encoding(input.open(), StandardCharsets.UTF_8).reader());
            } catch (CharacterCodingException e) {
                throw input.notUtf8(e);
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
                if (token != JsonToken.START_OBJECT)
                    throw input.fault(line(), "not an object; each element is a row", null);
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

    /** An iterator that reads one element ahead. */
    abstract static class Reader<T> implements Iterator<T>, Closeable {
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

        /** Returns the elements of a reader, which closes with the stream. */
        static <T> Stream<T> stream(Reader<T> rows) {
            var elements = Spliterators.spliteratorUnknownSize(rows, Spliterator.ORDERED);
            return StreamSupport.stream(elements, false).onClose(() -> {
                try {
                    rows.close();
                } catch (IOException e) {
                    throw new UncheckedIOException(e);
                }
            });
        }
    }
}
