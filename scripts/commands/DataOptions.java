//SOURCES FileFormat.java
//SOURCES Scratch.java

package sheaf.commands;

import static sheaf.Sheaf.*;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.function.BooleanSupplier;
import picocli.CommandLine.Option;

/** The rows: a file, or standard input. */
final class DataOptions {
    @Option(names = {"-d", "--data"}, paramLabel = "FILE",
        description = "the rows: a .csv, .jsonl or .json file; - for standard input, in any of the three")
    String data;

    @Option(names = "--limit", paramLabel = "N", description = "only the first N rows")
    Long limit;

    boolean isGiven() { return data != null; }

    /** Refuses what only rows give a meaning to. */
    void checkWithoutRows() {
        if (limit != null) throw new IllegalArgumentException("limit: there are no rows; give --data FILE");
    }

    /** Returns the rows; of those that are typed at a terminal it says how they end. */
    Data rows(BooleanSupplier isTyped) throws IOException {
        if (limit != null && limit < 1) throw new IllegalArgumentException("limit: " + limit + " is less than 1");
        var rows = read(isTyped);
        return limit == null ? rows : rows.limit(limit);
    }

    private Data read(BooleanSupplier isTyped) throws IOException {
        if (!data.equals("-"))
            return isPipe(data) ? piped(Files.newInputStream(Path.of(data))) : file(data, FileFormat.ending(data));
        if (isTyped.getAsBoolean()) System.err.println("data: type the rows, and then Ctrl-D");
        return piped(System.in);
    }

    /** A pipe has a name too, as in {@code --data <(psql ...)}. */
    private static boolean isPipe(String file) {
        var path = Path.of(file);
        return Files.exists(path) && !Files.isRegularFile(path) && !Files.isDirectory(path);
    }

    /** Rows are read more than once, a pipe is not: it goes into a file. */
    private static Data piped(InputStream in) throws IOException {
        var file = Scratch.file("stdin");
        Files.copy(in, file);
        var format = FileFormat.of(file);
        if (format.isEmpty())
            throw new IllegalArgumentException("data: standard input is empty; pipe rows into it, or name a file");
        return file(file.toString(), format);
    }

    private static Data file(String file, String format) {
        return switch (format) {
            case "csv" -> csv(file);
            case "jsonl" -> jsonl(file);
            case "json" -> json(file);
            default -> throw new IllegalArgumentException("data: " + file + " ends in none of .csv, .jsonl and .json");
        };
    }
}
