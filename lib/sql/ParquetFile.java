package sheaf;

import static sheaf.Messages.cannot;
import static sheaf.Messages.given;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Pattern;

/** A Parquet file that the user named: on disk, else on the class path. */
record ParquetFile(InputFile input) implements InputFile.Format {
    /** What is more than one file, or elsewhere: DuckDB finds it. */
    private static final Pattern OTHERS = Pattern.compile("(?s)[a-z][a-z0-9]+://.*|.*[*?\\[].*");

    static Rows rows(String name) {
        if (OTHERS.matcher(given("parquet", name)).matches() && InputFile.locate("parquet", name).isEmpty())
            return query(name).rows();
        var file = new ParquetFile(InputFile.find("parquet", name));
        return query(file.place().toString()).rows(file.input.fileName(), file);
    }

    private static Query query(String place) {
        return new Query("parquet", DuckDb.IN_MEMORY, "SELECT * FROM read_parquet(" + DuckDb.quoted(place) + ")");
    }

    /** DuckDB opens no file inside of an archive. */
    private Path place() {
        if (input.path() != null) return escaped(input.path());
        try (var in = input.open()) {
            var copy = Files.createTempFile("sheaf-", ".parquet");
            copy.toFile().deleteOnExit();
            Files.write(copy, in.readAllBytes());
            return copy;
        } catch (IOException e) {
            throw cannot("parquet", "read " + input.name(), e);
        }
    }

    /** A file whose name looks like a pattern is found by none but itself. */
    private static Path escaped(Path path) {
        return Path.of(path.toString().replaceAll("[*?\\[]", "[$0]"));
    }
}
