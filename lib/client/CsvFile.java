package sheaf;

import static sheaf.Messages.cause;
import static sheaf.Messages.clip;
import static sheaf.Messages.count;
import static sheaf.Messages.given;
import static sheaf.Messages.visible;

import de.siegmar.fastcsv.reader.AbstractBaseCsvCallbackHandler;
import de.siegmar.fastcsv.reader.CsvParseException;
import de.siegmar.fastcsv.reader.CsvReader;
import de.siegmar.fastcsv.reader.FieldMismatchStrategy;
import java.io.Closeable;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Collection;
import java.util.HashSet;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.Consumer;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/** A CSV file as people save it: its separator, its charset, who names its columns, and its rows. */
record CsvFile(InputFile input, Character separator, Charset charset, List<String> names)
        implements InputFile.Format {
    private static final Map<Character, String> SEPARATORS = Map.of(',', "comma", ';', "semicolon", '\t', "tab");
    private static final Pattern SEPARATOR_LINE = Pattern.compile("(?is)(\"?)sep=([^\"\r\n])\\1(?=[\r\n])");
    private static final char NO_CHARACTER = '\uFFFF';
    /** What rather stands in a row than in a header: a long text, a number or a date, a sentence. */
    private static final Pattern CELL = Pattern.compile("(?s).{41,}|[-+.,:/% ]*\\d[-+\\d.,:/%TZ ]*|.* .*[.!]");

    /** Returns the file as it is read if nothing is said: by commas, in UTF-8, its first line naming the columns. */
    static CsvFile of(InputFile input) { return new CsvFile(input, null, StandardCharsets.UTF_8, List.of()); }

    CsvFile separator(char separator) {
        if ("\"\r\n".indexOf(separator) < 0) return new CsvFile(input, separator, charset, names);
        throw new IllegalArgumentException("separator: a quote or the end of a line cannot separate columns");
    }

    CsvFile separator(String text) {
        if (given("separator", text).matches("(?i)tab|\\\\t")) return separator('\t');
        if (text.length() == 1) return separator(text.charAt(0));
        throw new IllegalArgumentException("separator: \"" + clip(text, 20) + "\" is not one character, nor tab");
    }

    CsvFile charset(String name) {
        given("charset", name);
        try {
            return new CsvFile(input, separator, Charset.forName(name.strip()), names);
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException("charset: \"" + clip(name, 40)
                + "\" is no charset that is known here; such as windows-1252, ISO-8859-1 or UTF-16", e);
        }
    }

    CsvFile header(List<String> names) {
        var seen = new HashSet<String>();
        for (var name : names) {
            if (given("header", name).isBlank()) throw new IllegalArgumentException("header: a name is empty");
            if (!seen.add(name)) throw new IllegalArgumentException("header: two columns are named \"" + name + "\"");
        }
        return new CsvFile(input, separator, charset, List.copyOf(names));
    }

    /** Returns what to do where a template names none of the columns: the first line may have been a row. */
    String headerAdvice(Collection<String> columns) {
        return names.isEmpty() && columns.stream().anyMatch(name -> CELL.matcher(name.strip()).matches())
            ? "; if line 1 of " + input.fileName() + " is a row, give " + Wording.HEADER
            : "; name one of these, or rename a column";
    }

    /** @param note told at the end what was passed over */
    Reading open(Consumer<String> note) { return new Reading(this, note); }

    private IllegalArgumentException notInCharset(CharacterCodingException e) {
        return input.notIn(charset, another -> {
            if (another.equals("UTF-8")) return "leave out " + Wording.ANY_CHARSET;
            if (!another.isEmpty()) return "give " + Wording.CHARSET.of(another);
            return charset.equals(StandardCharsets.UTF_8)
                ? "save the file as UTF-8, or give its charset, such as " + Wording.CHARSET.of("windows-1252")
                : "give another " + Wording.ANY_CHARSET;
        }, e);
    }

    /**
     * The fields of one record, until the next one is read: their bytes in UTF-8, each as a char. What is made of them
     * is made by others, for the parser's own loop is only compiled soon if little is done in it.
     */
    private static final class Fields extends AbstractBaseCsvCallbackHandler<Fields> {
        private final boolean isDecoded;               // else each char that comes is a byte of UTF-8
        private char[] octets = new char[1 << 12];     // of one behind the other
        private int[] ends = new int[16];              // of each in it
        private boolean isBlank;
        private boolean isQuoted;                      // at least one of them

        Fields(boolean isDecoded) { this.isDecoded = isDecoded; }

        @Override protected void handleBegin(long line) {
            isBlank = true;
            isQuoted = false;
        }

        @Override protected void handleField(int place, char[] chars, int offset, int length, boolean quoted) {
            if (isDecoded) add(place, JsonText.octets(new String(chars, offset, length)));
            else add(place, chars, offset, length);
            isQuoted = isQuoted || quoted;
        }

        private void add(int place, char[] field) { add(place, field, 0, field.length); }

        private void add(int place, char[] chars, int offset, int length) {
            int start = place == 0 ? 0 : ends[place - 1];
            int end = Math.addExact(start, length);
            if (place == ends.length) ends = Arrays.copyOf(ends, 2 * place);
            if (end > octets.length) octets = Arrays.copyOf(octets, Math.max(end, 2 * octets.length));
            System.arraycopy(chars, offset, octets, start, length);
            ends[place] = end;
            isBlank = isBlank && isBlank(start, end);
        }

        private boolean isBlank(int start, int end) {
            for (int i = start; i < end; i++)
                if (octets[i] > ' ' && octets[i] < 0x7F) return false;
            return start == end || new String(utf8(start, end), StandardCharsets.UTF_8).isBlank();
        }

        private byte[] utf8(int start, int end) {
            return new String(octets, start, end - start).getBytes(StandardCharsets.ISO_8859_1);
        }

        @Override protected Fields buildRecord() { return this; }

        int count() { return getFieldCount(); }

        long line() { return getStartingLineNumber(); }

        List<String> list() throws CharacterCodingException {
            var list = new ArrayList<String>();
            for (int place = 0; place < count(); place++) {
                var utf8 = utf8(place == 0 ? 0 : ends[place - 1], ends[place]);
                list.add(StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(utf8)).toString());
            }
            return list;
        }
    }

    /** One reading from the first row to the last; it passes over rows and columns in which there is nothing. */
    static final class Reading implements Closeable {
        private final CsvFile file;
        private final InputFile input;
        private final Consumer<String> note;
        private final InputStream in;
        private char separator = ',';
        private boolean hasSeparatorLine;
        private boolean looksLikeUtf8;                 // though another charset is given
        private Iterator<Fields> records;
        private String[] columns;                      // a name for each place, null where one is passed over
        private Row.Columns named;                     // those that have a name
        private int[] places;                          // of these in a record
        private final Row.Maker maker = new Row.Maker();
        private long rows;
        private long emptyRows;
        private long firstEmptyLine;
        private int emptyColumns;

        private Reading(CsvFile file, Consumer<String> note) {
            this.file = file;
            this.note = note;
            input = file.input;
            in = input.open();
        }

        /** Returns the next row, or null at the end. */
        Row read() throws IOException {
            try {
                if (columns == null) name(columns());
                var record = next();
                return record == null ? null : row(record);
            } catch (CharacterCodingException e) {
                throw file.notInCharset(e);
            }
        }

        private void name(String[] columns) {
            this.columns = columns;
            places = IntStream.range(0, columns.length).filter(i -> columns[i] != null).toArray();
            named = new Row.Columns(Stream.of(columns).filter(Objects::nonNull).toList());
        }

        private String[] columns() throws IOException {
            begin();
            if (!file.names.isEmpty()) return file.names.toArray(String[]::new);
            var header = next();
            if (header == null) throw input.fault(1, "no header; the first line names the columns", null);
            var names = header.list().toArray(String[]::new);
            long line = header.line();
            if (names.length == 1 && other(names[0]) != 0) throw input.fault(line, oneColumn(names[0]), null);
            passOverEmptyColumns(names, line);
            var seen = new HashSet<String>();
            for (var name : names)
                if (name != null && !seen.add(name)) throw input.fault(line, twice(name), null);
            return names;
        }

        private void begin() throws IOException {
            var encoding = new Encoding(in, file.charset);
            looksLikeUtf8 = encoding.looksLikeUtf8();
            int skipped = separatorLine(encoding.start());
            if (file.separator != null) separator = file.separator;
            boolean isDecoded = !encoding.isUtf8() || separator > 0x7F || skipped > 0;
            var text = isDecoded ? encoding.reader() : encoding.octets();
            text.skip(skipped);
            records = CsvReader.builder().fieldSeparator(separator).commentCharacter(NO_CHARACTER)
                .allowUnclosedQuote(false).skipEmptyLines(false)
                .extraFieldStrategy(FieldMismatchStrategy.IGNORE)
                .missingFieldStrategy(FieldMismatchStrategy.IGNORE).build(new Fields(isDecoded), text).iterator();
        }

        /**
         * To Excel a first line {@code sep=;} names the separator. Returns how much of it is passed over; its end is
         * read, so that lines count on.
         */
        private int separatorLine(String start) {
            var line = SEPARATOR_LINE.matcher(start);
            hasSeparatorLine = line.lookingAt();
            if (hasSeparatorLine) separator = line.group(2).charAt(0);
            return hasSeparatorLine ? line.end() : 0;
        }

        /** A spreadsheet writes a column without a name wherever a cell was once touched. */
        private void passOverEmptyColumns(String[] names, long line) throws IOException {
            var unnamed = new BitSet();
            for (int i = 0; i < names.length; i++) if (names[i].isBlank()) unnamed.set(i);
            if (unnamed.isEmpty()) return;
            var filled = filled(unnamed);
            if (filled.cardinality() > 1) throw input.fault(line, unnamed(filled), null);
            unnamed.andNot(filled);
            unnamed.stream().forEach(i -> names[i] = null);
            emptyColumns = unnamed.cardinality();
        }

        /** Returns which of these columns hold a value; the file is read ahead until all of them do. */
        private BitSet filled(BitSet unnamed) throws IOException {
            var filled = new BitSet();
            try (var ahead = file.open(none -> {})) {
                ahead.begin();
                ahead.next();
                for (var row = ahead.next(); row != null && !filled.equals(unnamed); row = ahead.next()) {
                    var fields = row.list();
                    unnamed.stream().filter(i -> i < fields.size() && !fields.get(i).isBlank()).forEach(filled::set);
                }
            }
            return filled;
        }

        /** Passes over rows of separators and white space; a quoted cell that is alone in its row is a value. */
        private Fields next() {
            var record = fetch();
            while (record != null && record.isBlank && !(record.isQuoted && columns != null && columns.length == 1)) {
                boolean isSeparatorLine = hasSeparatorLine && record.line() == 1;
                if (!isSeparatorLine && emptyRows++ == 0) firstEmptyLine = record.line();
                record = fetch();
            }
            return record;
        }

        private Fields fetch() {
            try {
                return records.hasNext() ? records.next() : null;
            } catch (CsvParseException e) {
                throw new IllegalArgumentException("csv: " + input.name() + ": " + cause(e), e);
            } catch (UncheckedIOException e) {
                throw e.getCause() instanceof CharacterCodingException c ? file.notInCharset(c) : e;
            }
        }

        private Row row(Fields record) throws CharacterCodingException {
            if (record.count() != columns.length) throw input.fault(record.line(), misfit(record.list()), null);
            if (rows++ == 0 && file.names.equals(record.list()))
                throw input.fault(record.line(), "the header that " + Wording.HEADER
                    + " gives once more; leave it out", null);
            return maker.row(named, record.octets, record.ends, places);
        }

        private String oneColumn(String header) {
            return "one column, \"" + clip(header, 40) + "\"; if " + called(other(header))
                + "s separate the columns, " + advice(other(header));
        }

        private static String twice(String name) {
            return "two columns are named \"" + visible(name)
                + "\"; rename one, or if the line is a row, give " + Wording.HEADER;
        }

        private static String unnamed(BitSet columns) {
            return "columns " + columns.stream().mapToObj(i -> String.valueOf(i + 1)).collect(Collectors.joining(", "))
                + " hold values and have no name; name them";
        }

        private String misfit(List<String> fields) {
            var names = Stream.of(columns).map(name -> name == null ? "" : name).toList();
            return count(fields.size(), "field") + " where " + (file.names.isEmpty() ? "the header" : Wording.HEADER)
                + " has " + names.size() + " (" + visible(names) + "); " + remedy(fields);
        }

        private String remedy(List<String> fields) {
            boolean isOneColumn = !file.names.isEmpty() && fields.size() == 1 && other(fields.get(0)) != 0;
            if (isOneColumn) return advice(other(fields.get(0)));
            return fields.size() > columns.length ? "quote a field that holds a " + called(separator)
                : "a " + called(separator) + " is missing";
        }

        /** Returns the character that may separate the columns in the place of this one; 0 if none may. */
        private char other(String line) {
            return (char) ";\t,".chars().filter(c -> c != separator && line.indexOf(c) >= 0).findFirst().orElse(0);
        }

        private static String called(char separator) {
            return SEPARATORS.getOrDefault(separator, "'" + separator + "'");
        }

        private static String advice(char separator) {
            return "give " + (separator == '\t' ? Wording.TAB : Wording.SEPARATOR.of(separator));
        }

        /** Says what was passed over, and what may have been misread. */
        @Override public void close() throws IOException {
            in.close();
            if (looksLikeUtf8)
                note.accept("csv: " + input.name() + ": seems to be UTF-8, and is read as " + file.charset.name()
                    + "; if letters look wrong, leave out " + Wording.ANY_CHARSET);
            var passedOver = new ArrayList<String>();
            if (emptyRows > 0)
                passedOver.add(count(emptyRows, "empty row") + (emptyRows == 1 ? " (line " : " (the first in line ")
                    + firstEmptyLine + ")");
            if (emptyColumns > 0) passedOver.add(count(emptyColumns, "column") + " without name and values");
            if (!passedOver.isEmpty())
                note.accept("csv: " + input.name() + ": passed over " + String.join(" and ", passedOver));
        }
    }
}
