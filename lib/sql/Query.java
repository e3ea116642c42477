package sheaf;

import static sheaf.Messages.given;

import java.io.IOException;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.Map;
import java.util.Properties;
import java.util.function.Consumer;
import java.util.regex.Pattern;

/** A query whose rows are data: asked anew each time, and read as they come. */
record Query(String word, JdbcUrl database, String text) {
    private static final int FETCHED = 1000;                   // rows at once, where a server sends them
    /** What DuckDB says of any failure when rows are to come as they are read; asked for all at once, it says why. */
    private static final Pattern UNTOLD = Pattern.compile("Invalid result set$");

    static Query of(String word, JdbcUrl database, String text) {
        if (given(word, text).isBlank()) throw new IllegalArgumentException(word + ": the query is empty");
        return new Query(word, database, text);
    }

    Rows rows() { return rows(new SqlText(text).name(), this); }

    /** @param origin two of which that are equal have the same rows */
    Rows rows(String name, Object origin) {
        return Rows.from(name, origin, note -> {
            var reading = new Reading();                       // what is refused has no order
            sayOrder(note);
            return Rows.Reader.stream(reading);
        });
    }

    /** Rows in another order are another batch; DuckDB keeps that of one file, and nobody else says so of a table. */
    private void sayOrder(Consumer<String> note) {
        var query = new SqlText(text);
        if (query.isOrdered() || database.equals(DuckDb.IN_MEMORY) && query.isOfOneFile()) return;
        note.accept(word + ": the query has no ORDER BY, so its rows may come in another order next time, and a second "
            + "run would be another batch; end it with ORDER BY");
    }

    private final class Reading extends Rows.Reader<Map<String, Object>> {
        private final DuckDb own;                              // null: the database is another's
        private final Connection connection;
        private ResultSet rows;
        private SqlValues values;

        Reading() { this(database.is("duckdb")); }

        private Reading(boolean streams) {
            database.checkFile(word);
            var settings = streams ? DuckDb.streaming() : new Properties();
            own = database.equals(DuckDb.IN_MEMORY) ? DuckDb.open(word, settings) : null;
            connection = own == null ? database.open(word, settings) : own.connection();
            try {
                begin();
            } catch (SQLException e) {
                close();
                if (streams && UNTOLD.matcher(String.valueOf(e.getMessage())).find()) new Reading(false).close();
                throw database.refused(word, e);
            } catch (RuntimeException e) {
                close();
                throw e;
            }
        }

        /** A server sends rows piece by piece only in a transaction; what it would change there does not stay. */
        private void begin() throws SQLException {
            if (own == null) connection.setAutoCommit(false);
            var statement = connection.createStatement();
            statement.setFetchSize(database.is("mysql") ? Integer.MIN_VALUE : FETCHED);
            if (!statement.execute(text))
                throw new IllegalArgumentException(word + ": the query brings no rows; it has to be a SELECT");
            rows = statement.getResultSet();
            values = new SqlValues(word, rows, !database.is("sqlite"));
        }

        @Override Map<String, Object> read() throws IOException {
            try {
                if (rows.next()) return values.row(rows);
                close();                                       // what is read to its end is done with
                return null;
            } catch (SQLException e) {
                throw database.refused(word, e);
            }
        }

        @Override public void close() {
            try {
                if (connection.isClosed()) return;
                if (own == null && !connection.getAutoCommit()) connection.rollback();
                connection.close();                            // and with it what it has begun
            } catch (SQLException e) {
                throw database.refused(word, e);
            } finally {
                if (own != null) own.close();
            }
        }
    }
}
