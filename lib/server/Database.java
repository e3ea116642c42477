package sheaf.server;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import org.sqlite.SQLiteConfig;

/**
 * The SQLite file of a store: one thread at a time changes it, and another reads it meanwhile, so that no reader waits
 * for the disk. It knows no table: each room that has one makes it.
 */
final class Database implements AutoCloseable {
    private final Connection changing;       // used by whoever holds this
    private final Connection reading;        // used by whoever holds it; it sees what is committed

    /** Makes a value of a row. */
    interface Row<T> {
        T read(ResultSet row) throws SQLException, IOException;
    }

    /** Opens a database; one that is not durable need not survive a power cut. */
    Database(Path file, boolean durable) {
        var config = new SQLiteConfig();
        config.setJournalMode(SQLiteConfig.JournalMode.WAL);
        config.setSynchronous(durable ? SQLiteConfig.SynchronousMode.FULL : SQLiteConfig.SynchronousMode.OFF);
        try {
            this.changing = config.createConnection("jdbc:sqlite:" + file);
            this.reading = config.createConnection("jdbc:sqlite:" + file);
        } catch (SQLException e) {
            throw HeldFolder.unusable(e);
        }
    }

    /** Returns the JSON objects in the first column of what a query finds. */
    List<ObjectNode> objects(String sql, Object... values) {
        return select(sql, row -> (ObjectNode) Json.MAPPER.readTree(row.getString(1)), values);
    }

    /** Returns what a query finds; one amid changes sees these too. */
    <T> List<T> select(String sql, Row<T> row, Object... values) {
        var connection = Thread.holdsLock(this) ? changing : reading;
        synchronized (connection) {
            return select(connection, sql, row, values);
        }
    }

    private static <T> List<T> select(Connection connection, String sql, Row<T> row, Object... values) {
        try (var query = prepared(connection, sql, values); var found = query.executeQuery()) {
            var all = new ArrayList<T>();
            while (found.next())
                all.add(row.read(found));
            return all;
        } catch (SQLException | IOException e) {
            throw HeldFolder.unusable(e);
        }
    }

    synchronized void execute(String sql, Object... values) {
        try (var change = prepared(changing, sql, values)) {
            change.execute();
        } catch (SQLException e) {
            throw HeldFolder.unusable(e);
        }
    }

    private static PreparedStatement prepared(Connection connection, String sql, Object... values)
            throws SQLException {
        var statement = connection.prepareStatement(sql);
        for (int i = 0; i < values.length; i++)
            statement.setObject(i + 1, values[i]);
        return statement;
    }

    /** Makes all of these changes or, should one fail or the process die, none. */
    synchronized void atomically(Runnable changes) {
        execute("BEGIN");
        try {
            changes.run();
            execute("COMMIT");
        } catch (RuntimeException | Error e) {
            rollBack(e);
            throw e;
        }
    }

    private void rollBack(Throwable cause) {
        try {
            execute("ROLLBACK");
        } catch (UncheckedIOException alreadyDone) {   // SQLite itself does so, as on a full disk
            cause.addSuppressed(alreadyDone);
        }
    }

    @Override public synchronized void close() {
        try (changing) {
            synchronized (reading) {
                reading.close();
            }
        } catch (SQLException e) {
            throw HeldFolder.unusable(e);
        }
    }
}
