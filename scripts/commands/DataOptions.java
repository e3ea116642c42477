//SOURCES FileFormat.java
//SOURCES Scratch.java
//SOURCES TableFiles.java

package sheaf.commands;

import static sheaf.Sheaf.*;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.function.BooleanSupplier;
import java.util.stream.Stream;
import picocli.CommandLine.Option;

/** The rows: a file, or standard input. */
final class DataOptions {
    @Option(names = {"-d", "--data"}, paramLabel = "FILE",
        description = "the rows: a .csv, .jsonl, .json, .parquet or .xlsx file; - for standard input, in any of the "
            + "first three; with --sql a database: jdbc:postgresql://HOST/NAME, jdbc:sqlite:FILE")
    String data;

    @Option(names = "--sql", paramLabel = "QUERY",
        description = "the rows of a query: of the database that --data names, else of the files that it names itself: "
            + "\"select id, text from 'reviews/*.parquet' order by id\"")
    String sql;

    @Option(names = "--separator", paramLabel = "C",
        description = "what separates the columns of a CSV file: a character, or tab (default: a comma)")
    String separator;

    @Option(names = "--charset", paramLabel = "NAME",
        description = "the charset of a CSV file, such as windows-1252 or UTF-16 (default: UTF-8)")
    String charset;

    @Option(names = "--header", paramLabel = "NAME", split = ",",
        description = "the columns of a CSV file that has no header line: label,text")
    List<String> header = List.of();

    @Option(names = "--sheet", paramLabel = "NAME", description = "the sheet of an .xlsx file (default: the first)")
    String sheet;

    @Option(names = "--limit", paramLabel = "N", description = "only the first N rows")
    Long limit;

    TableFiles tables = TableFiles.NONE;

    boolean isGiven() { return data != null || sql != null; }

    /** Returns what is read, if it is one file. */
    Optional<String> file() { return Optional.ofNullable(data).filter(file -> !isDatabase()); }

    private boolean isDatabase() { return data != null && data.startsWith("jdbc:"); }

    /**
     * Returns the command that reads these rows and writes this file; "" if this one does.
     * @param isRehearsed for which a server is needed too
     */
    String tableCommand(String out, boolean isRehearsed) {
        var endings = Stream.of(data, out).filter(Objects::nonNull).map(FileFormat::ending).toList();
        boolean needsSql = sql != null || isDatabase() || endings.contains("parquet");
        if (needsSql) return tables.takes("parquet") ? "" : "sql";
        if (!endings.contains("xlsx") || tables.takes("xlsx") && !isRehearsed) return "";
        return isRehearsed ? "sql" : "excel";
    }

    /** Refuses what only rows give a meaning to. */
    void checkWithoutRows() {
        var other = sheet == null ? csvOption() : Optional.of("sheet");
        var word = limit == null ? other : Optional.of("limit");
        word.ifPresent(given -> {
            throw new IllegalArgumentException(given + ": there are no rows; give --data FILE");
        });
    }

    /** Returns the rows; of those that are typed at a terminal it says how they end. */
    Data rows(BooleanSupplier isTyped) throws IOException {
        if (limit != null && limit < 1) throw new IllegalArgumentException("limit: " + limit + " is less than 1");
        var rows = read(isTyped);
        return limit == null ? rows : rows.limit(limit);
    }

    private Data read(BooleanSupplier isTyped) throws IOException {
        if (sheet != null && !FileFormat.ending(String.valueOf(data)).equals("xlsx"))
            throw new IllegalArgumentException("sheet: only an .xlsx file has one; give --data FILE.xlsx");
        if (sql != null || isDatabase()) return query();
        if (!data.equals("-"))
            return isPipe(data) ? piped(Files.newInputStream(Path.of(data))) : file(data, FileFormat.ending(data));
        if (isTyped.getAsBoolean()) System.err.println("data: type the rows, and then Ctrl-D");
        return piped(System.in);
    }

    private Data query() {
        var option = csvOption();
        if (option.isPresent()) throw new IllegalArgumentException(option.get() + ": only CSV has one; a query reads "
            + "such a file by read_csv(...)");
        if (sql == null) throw new IllegalArgumentException("data: a database has many rows; say which by --sql "
            + "'select ... order by ...'");
        if (data == null || isDatabase()) return tables.query(data, sql);
        checkUrl(data);
        throw new IllegalArgumentException("sql: --data is no database (jdbc:...); " + (isSqlite(data)
            ? "write jdbc:sqlite:" + data : "name the file in the query: from '" + data + "'"));
    }

    /** A pipe has a name too, as in {@code --data <(psql ...)}. */
    private static boolean isPipe(String file) {
        var path = Path.of(file);
        return Files.exists(path) && !Files.isRegularFile(path) && !Files.isDirectory(path);
    }

    /** Rows are read more than once, a pipe is not: it goes into a file. */
    private Data piped(InputStream in) throws IOException {
        var file = Scratch.file("stdin");
        Files.copy(in, file);
        var format = FileFormat.of(file);
        if (format.isEmpty())
            throw new IllegalArgumentException("data: standard input is empty; pipe rows into it, or name a file");
        System.setProperty("sheaf.stdin", file.toString());    // what messages call standard input
        return file(file.toString(), format);
    }

    private Data file(String file, String format) {
        if (Files.isDirectory(Path.of(file)))
            throw new IllegalArgumentException("data: " + file + " is a folder; name a file in it");
        checkUrl(file);
        boolean isTable = tables.takes(format);
        if (isTable || format.matches("jsonl?")) {
            csvOption().ifPresent(word -> {
                throw new IllegalArgumentException(word + ": only CSV has one, and " + file + " is none");
            });
            if (isTable) return tables.rows(file, sheet);
            return format.equals("json") ? json(file) : jsonl(file);
        }
        if (format.equals("csv") || csvOption().isPresent()) return asCsv(csv(file));
        throw new IllegalArgumentException("data: " + file
            + " ends in none of .csv, .jsonl, .json, .parquet and .xlsx; " + otherwise(file));
    }

    /** Whoever forgets jdbc: may have typed a password behind it, which is not said again. */
    private static void checkUrl(String data) {
        if (data.matches("(?is)(postgres(ql)?|mysql|mariadb|sqlite|duckdb):.*"))
            throw new IllegalArgumentException("data: the URL of a database begins with jdbc:, such as "
                + "jdbc:postgresql://HOST/NAME");
    }

    private static boolean isSqlite(String file) { return FileFormat.ending(file).matches("db|sqlite3?"); }

    private static String otherwise(String file) {
        if (isSqlite(file)) return "a database is --data jdbc:sqlite:" + file + ", with --sql";
        boolean isSheet = FileFormat.ending(file).matches("xls[bm]?|ods");
        return isSheet ? "save it as .xlsx" : "with --separator it is read as CSV";
    }

    /** Returns the first option that was given of those that only CSV has. */
    private Optional<String> csvOption() {
        if (separator != null) return Optional.of("separator");
        if (charset != null) return Optional.of("charset");
        return header.isEmpty() ? Optional.empty() : Optional.of("header");
    }

    private Data asCsv(Csv rows) {
        if (separator != null) rows = rows.separator(separator);
        if (charset != null) rows = rows.charset(charset);
        return header.isEmpty() ? rows
            : rows.header(header.get(0), header.subList(1, header.size()).toArray(String[]::new));
    }
}
