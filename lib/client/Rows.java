package sheaf;

import static sheaf.Messages.cause;
import static sheaf.Messages.clip;
import static sheaf.Messages.reason;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import de.siegmar.fastcsv.reader.CsvParseException;
import de.siegmar.fastcsv.reader.CsvReader;
import de.siegmar.fastcsv.reader.CsvRecord;
import de.siegmar.fastcsv.reader.FieldMismatchStrategy;
import java.io.Closeable;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.CharacterCodingException;
import java.util.HashSet;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.Spliterator;
import java.util.Spliterators;
import java.util.function.Supplier;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import sheaf.PlainValues.RowSource;

/** A named dataset: rows of a CSV, JSON Lines or JSON file, or of whatever opens a stream of them. */
final class Rows implements RowSource {
    private final String name;                            // of the file, or what the user calls it
    private final Object origin;                          // two datasets of equal origin have the same rows
    private final RowSource source;

    /** @param source gives plain values: what JSON can say */
    Rows(String name, Object origin, RowSource source) {
        this.name = name;
        this.origin = origin;
        this.source = source;
    }

    private Rows(InputFile file, Supplier<Reader<Map<String, Object>>> reader) {
        this(file.fileName(), file, () -> Reader.stream(reader.get()));
    }

    static Rows csv(InputFile file) { return new Rows(file, () -> new CsvRows(file)); }

    static Rows jsonl(InputFile file) { return new Rows(file, () -> new JsonlRows(file)); }

    static Rows json(InputFile file) { return new Rows(file, () -> new JsonRows(file)); }

    /** Returns the rows of objects that may be maps, records or plain values. */
    static Rows of(String name, Supplier<? extends Stream<?>> objects) {
        return new Rows(name, objects, () -> objects.get().map(PlainValues::row));
    }

    @Override public Stream<Map<String, Object>> open() { return source.open(); }

    Rows limit(long rows) { return new Rows(name, new Object(), () -> source.open().limit(rows)); }

    String name() { return name; }

    @Override public boolean equals(Object other) { return other instanceof Rows rows && rows.origin.equals(origin); }

    @Override public int hashCode() { return origin.hashCode(); }

    /** Names the columns of a file, which one wants to know next. */
    @Override public String toString() {
        if (!(origin instanceof InputFile)) return "Data[" + name + "]";
        try (var rows = open()) {
            return "Data[" + name + ": " + rows.findFirst().map(row -> String.join(", ", row.keySet()))
                .orElse("no rows") + "]";
        } catch (UncheckedIOException | IllegalArgumentException unreadable) {
            return "Data[" + name + "]";
        }
    }

    /** FastCSV is asked for plain records: in its named mode it drops fields that have no header. */
    private static final class CsvRows extends Reader<Map<String, Object>> {
        private final InputFile input;
        private final CsvReader<CsvRecord> reader;
        private final Iterator<CsvRecord> records;
        private List<String> header;

        CsvRows(InputFile input) {
            this.input = input;
            reader = CsvReader.builder().allowUnclosedQuote(false).skipEmptyLines(false)
                .extraFieldStrategy(FieldMismatchStrategy.IGNORE)
                .missingFieldStrategy(FieldMismatchStrategy.IGNORE)
                .ofCsvRecord(Lines.strictReader(input.open()));
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
                throw input.fault(record.getStartingLineNumber(), misfit(record.getFieldCount()), null);
            var row = new LinkedHashMap<String, Object>();
            for (int i = 0; i < header.size(); i++) row.put(header.get(i), record.getField(i));
            return row;
        }

        private String misfit(int fields) {
            return fields + " fields where the header has " + header.size() + " (" + String.join(", ", header) + "); "
                + (fields > header.size() ? "quote a field that holds a comma" : "a comma is missing");
        }

        @Override public void close() throws IOException { reader.close(); }
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
                parser = Json.MAPPER.createParser(Lines.strictReader(input.open()));
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
