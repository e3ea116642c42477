package sheaf;

import static sheaf.Messages.cannot;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.Properties;

/** DuckDB in this process: what it may take of the machine, beside Java's heap, and what it leaves on the disk. */
final class DuckDb implements AutoCloseable {
    static final JdbcUrl IN_MEMORY = new JdbcUrl("jdbc:duckdb:");
    private static final String MOST_MEMORY = "400MB";         // what needs more, such as a sort, goes to the disk
    private static final int MOST_THREADS = 4;                 // each has a group of rows in memory
    private final Connection connection;
    private final Path folder;                                 // for what does not fit into memory

    private DuckDb(Connection connection, Path folder) {
        this.connection = connection;
        this.folder = folder;
    }

    /** Opens a database that has nothing but what queries read from files. */
    static DuckDb open(String word, Properties settings) {
        try {
            var folder = Files.createTempDirectory("sheaf-" + ProcessHandle.current().pid() + "-");
            folder.toFile().deleteOnExit();                    // if nobody closes it
            settings.setProperty("memory_limit", MOST_MEMORY);
            settings.setProperty("threads", String.valueOf(Math.min(MOST_THREADS,
                Runtime.getRuntime().availableProcessors())));
            settings.setProperty("preserve_insertion_order", "true");
            settings.setProperty("temp_directory", folder.toString());
            var opened = new DuckDb(IN_MEMORY.open(word, settings), folder);
            opened.execute("SET TimeZone = 'UTC'");            // the same rows on each machine
            return opened;
        } catch (SQLException e) {
            throw IN_MEMORY.refused(word, e);
        } catch (IOException e) {
            throw cannot(word, "write to " + System.getProperty("java.io.tmpdir"), e);
        }
    }

    /** Has the rows of a query come as they are read, and not all at once. */
    static Properties streaming() {
        var settings = new Properties();
        settings.setProperty("jdbc_stream_results", "true");
        return settings;
    }

    Connection connection() { return connection; }

    void execute(String sql) throws SQLException {
        try (var statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }

    /** Returns a file in its folder, which goes with it. */
    Path file(String name) { return folder.resolve(name); }

    /** Returns a text as SQL has it between quotes. */
    static String quoted(String text) { return "'" + text.replace("'", "''") + "'"; }

    /** Returns a name as SQL has it, whatever is in it. */
    static String name(String name) { return "\"" + name.replace("\"", "\"\"") + "\""; }

    @Override public void close() {
        try {
            connection.close();
            if (Files.exists(folder)) AtomicFiles.deleteFolder(folder);
        } catch (SQLException | IOException e) {
            throw new UncheckedIOException("sql: cannot clear " + folder, new IOException(e));
        }
    }
}
