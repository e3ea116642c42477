//SOURCES Sheaf.java
//SOURCES sql/JdbcUrl.java sql/SqlText.java sql/SqlValues.java sql/DuckDb.java sql/Query.java sql/ParquetFile.java
//SOURCES sql/ColumnType.java sql/ParquetExport.java sql/SqlDialect.java sql/TableExport.java
//DEPS org.duckdb:duckdb_jdbc:2.0.0.1

package sheaf;

import static sheaf.Messages.given;

import java.nio.file.Path;
import sheaf.Sheaf.Data;
import sheaf.Sheaf.Dataset;
import sheaf.Sheaf.Results;

/**
 * Rows from SQL, Parquet files and databases, and answers back into them; DuckDB, which does it, is 80 MB that only
 * who takes this file in downloads.
 * <pre>{@code
 * import static sheaf.Sheaf.*;
 * import static sheaf.Sql.*;
 *
 * var reviews = sql("select id, text from 'reviews/*.parquet' where stars < 3 order by id");
 * var results = batch().model("gpt-4.1-mini").customId("{{id}}").prompts("In Spanish: {{text}}", reviews)
 *     .submit().results();
 * toParquet(results, "answers.parquet");
 * toTable(results, "jdbc:postgresql://localhost/shop", "answers");
 * }</pre>
 * Rows are read as they come, whatever their number. NULL is a missing value. Times are ISO 8601, lists and structs
 * JSON; bytes are refused.
 */
public final class Sql {
    private Sql() {}

    /**
     * Returns the rows of a query, in DuckDB's SQL, over files: {@code select * from 'reviews.parquet' order by id};
     * CSV and JSON too. Without ORDER BY only the rows of one file have an order that stays.
     * @throws IllegalArgumentException when they are read, if the query is at fault
     * @see <a href="https://duckdb.org/docs/stable/sql/introduction">DuckDB's SQL</a>
     */
    public static Data sql(String query) { return new Dataset(Query.of("sql", DuckDb.IN_MEMORY, query).rows()); }

    /** Returns the rows of a Parquet file, or of several, {@code reviews/*.parquet}, in their order. */
    public static Data parquet(String file) { return new Dataset(ParquetFile.rows(file)); }

    /** Returns the rows of a Parquet file, in their order. */
    public static Data parquet(Path file) { return parquet(given("parquet", file).toString()); }

    /**
     * Returns the rows of a query that a database answers, whose JDBC driver is on the class path. Who connects may
     * stand in the URL, or in {@code SHEAF_DB_USER} and {@code SHEAF_DB_PASSWORD}; neither is ever written down.
     * @throws IllegalArgumentException when they are read, if the query is at fault
     */
    public static Data table(String jdbcUrl, String query) {
        return new Dataset(Query.of("table", JdbcUrl.of("table", jdbcUrl), query).rows());
    }

    /**
     * Writes the rows and their answers as a Parquet file with typed columns: those given, else all that toCsv writes.
     * A file that is there is written anew if a batch of this name wrote it and nobody changed it since.
     * @throws IllegalStateException if the file is another's; {@link Results#overwriting} is for that
     */
    public static void toParquet(Results results, String file, String... columns) {
        toParquet(results, Path.of(given(ParquetExport.WORD, file)), columns);
    }

    /** Writes the rows and their answers as a Parquet file. */
    public static void toParquet(Results results, Path file, String... columns) {
        var export = new ParquetExport(given(ParquetExport.WORD, results).exchanges, columns);
        results.written.write(Wording.PARQUET.of(), given(ParquetExport.WORD, file), export::writeTo);
    }

    /**
     * Writes the rows and their answers into a table of PostgreSQL, SQLite or DuckDB, which is made if it is not there,
     * in one transaction. What stands there of the same custom id is written over, so a second run doubles nothing;
     * where a row has several prompts or models, their names count too. The columns are those of toCsv, and {@code
     * result.batch}.
     * @throws IllegalStateException if it has another batch's answers, and neither has ids of its own
     */
    public static void toTable(Results results, String jdbcUrl, String table) {
        var exchanges = given(SqlDialect.WORD, results).exchanges;
        new TableExport(exchanges, JdbcUrl.of(SqlDialect.WORD, jdbcUrl), table).write();
    }
}
