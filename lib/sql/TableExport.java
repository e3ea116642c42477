package sheaf;

import static java.util.stream.Collectors.joining;
import static sheaf.ColumnType.Kind.TEXT;
import static sheaf.Messages.given;
import static sheaf.SqlDialect.WORD;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * Results in a table of a database, each in a row of its own that its custom id tells: what stands there of the same
 * id is written over, all of it or nothing.
 */
final class TableExport {
    static final String BATCH = "result.batch";
    private static final List<String> PER_REQUEST = List.of("result.template", "result.model");
    /** What SQLite, DuckDB and PostgreSQL say of a table with another key. */
    private static final Pattern NO_KEY = Pattern.compile("(?i)on conflict (clause|specification)|conflict target");
    private static final int SENT = 1000;                      // rows at once
    private final Exchanges exchanges;
    private final JdbcUrl database;
    private final SqlDialect dialect;
    private final String table;
    private final ResultColumns known;
    private final Map<String, ColumnType> columns = new LinkedHashMap<>();
    private final List<String> key = new ArrayList<>(List.of("result.customId"));

    /** @param table its name, of which a part before a dot is its schema */
    TableExport(Exchanges exchanges, JdbcUrl database, String table) {
        exchanges.counts();                                    // by which it is known how many texts an answer has
        this.exchanges = exchanges;
        this.database = database;
        dialect = SqlDialect.of(database);
        if (given(WORD, table).isBlank()) throw new IllegalArgumentException(WORD + ": the name of the table is empty");
        this.table = Stream.of(table.split("[.]")).map(DuckDb::name).collect(joining("."));
        known = new ResultColumns(exchanges);
        checkNames();
        if (exchanges.answers().manifest().requestsPerRow() > 1) key.addAll(PER_REQUEST);
        readTypes();
    }

    private void checkNames() {
        var names = new HashMap<String, String>();
        var all = new LinkedHashSet<>(known.all());
        all.add(BATCH);
        for (var column : all) {
            var same = names.putIfAbsent(dialect.folded(column), column);
            if (same != null) throw new IllegalArgumentException(WORD + ": the columns " + Messages.visible(same)
                + " and " + Messages.visible(column) + " differ only in case, which is nothing to SQLite and DuckDB; "
                + "write a file by toCsv or toParquet, or into PostgreSQL");
        }
    }

    /** What a column holds is known once all answers have been read; what a model says may be anything next time. */
    private void readTypes() {
        exchanges.stream().forEach(exchange -> {
            for (var column : known.all())
                columns.merge(column, ColumnType.of(value(column, exchange)), ColumnType::with);
        });
        ResultColumns.OWN.forEach(column -> columns.put(column, ColumnType.of(TEXT)));
        columns.put(BATCH, ColumnType.of(TEXT));
    }

    private Object value(String column, Exchange exchange) {
        return column.equals(BATCH) ? exchanges.answers().journal().name()
            : PlainValues.of(known.value(column, exchange));
    }

    void write() {
        try (var connection = database.open(WORD, new Properties())) {
            connection.setAutoCommit(false);
            try {
                create(connection);
                upsert(connection);
                connection.commit();
            } catch (SQLException | RuntimeException e) {
                connection.rollback();
                throw e;
            }
        } catch (SQLException e) {
            var row = e.getNextException();                    // of many that are sent together, each told whole
            var refused = database.refused(WORD, row == null ? e : row);
            if (!NO_KEY.matcher(refused.getMessage()).find()) throw refused;
            throw new IllegalArgumentException(WORD + ": the table " + table + " has no key of "
                + String.join(", ", key) + ", by which these results are told apart; give another table", refused);
        }
    }

    private void create(Connection connection) throws SQLException {
        var declared = columns.entrySet().stream().map(column -> DuckDb.name(column.getKey()) + " "
            + dialect.type(column.getValue())).collect(joining(", "));
        try (var statement = connection.createStatement()) {
            statement.execute("CREATE TABLE IF NOT EXISTS " + table + " (" + declared + ", PRIMARY KEY (" + names(key)
                + "))");
        }
        var there = there(connection);
        var lacking = new LinkedHashSet<>(columns.keySet());
        lacking.removeIf(column -> there.containsKey(dialect.folded(column)));
        if (!lacking.isEmpty()) throw new IllegalArgumentException(WORD + ": the table " + table + " has no column "
            + Messages.visible(lacking) + "; add it, or give another table");
        if (dialect.isTyped()) fit(there);
        checkIds(connection);
    }

    /** A database would round a number for a column of whole ones, and refuse a text for one of dates. */
    private void fit(Map<String, ColumnType> there) {
        var misfits = new ArrayList<String>();
        columns.replaceAll((column, type) -> {
            var held = there.get(dialect.folded(column));
            var all = held.with(type);
            if (!dialect.type(all).equals(dialect.type(held)))
                misfits.add(column + " is " + dialect.type(held) + " and would have to be " + dialect.type(all));
            return all;
        });
        if (!misfits.isEmpty()) throw new IllegalArgumentException(WORD + ": the table " + table + " does not hold "
            + "these results: " + String.join(", ", misfits) + "; change that there, or give another table");
    }

    /** Returns what its columns hold, by their names as the database tells them apart. */
    private Map<String, ColumnType> there(Connection connection) throws SQLException {
        try (var rows = connection.createStatement().executeQuery("SELECT * FROM " + table + " WHERE 1 = 0")) {
            var types = new LinkedHashMap<String, ColumnType>();
            var meta = rows.getMetaData();
            for (int i = 1; i <= meta.getColumnCount(); i++)
                types.put(dialect.folded(meta.getColumnName(i)), dialect.type(meta, i));
            return types;
        }
    }

    /** Each batch without ids of the user's numbers its requests from 1: they would write over one another's. */
    private void checkIds(Connection connection) throws SQLException {
        if (!exchanges.answers().manifest().customId().isEmpty()) return;
        try (var others = connection.prepareStatement("SELECT min(" + DuckDb.name(BATCH) + ") FROM " + table + " WHERE "
                + DuckDb.name(BATCH) + " <> ?")) {
            others.setString(1, exchanges.answers().journal().name());
            try (var rows = others.executeQuery()) {
                if (rows.next() && rows.getString(1) != null) throw new IllegalStateException(WORD + ": " + table
                    + " has answers of the batch " + rows.getString(1) + ", whose ids are request-1 and so on too; "
                    + "give ids of your own by " + Wording.CUSTOM_ID + ", or another table");
            }
        }
    }

    private void upsert(Connection connection) throws SQLException {
        var rest = columns.keySet().stream().filter(column -> !key.contains(column))
            .map(column -> DuckDb.name(column) + " = excluded." + DuckDb.name(column)).collect(joining(", "));
        var sql = "INSERT INTO " + table + " (" + names(columns.keySet()) + ") VALUES (?"
            + ", ?".repeat(columns.size() - 1) + ") ON CONFLICT (" + names(key) + ") DO UPDATE SET " + rest;
        try (var statement = connection.prepareStatement(sql)) {
            int waiting = 0;
            for (var i = exchanges.stream().iterator(); i.hasNext(); ) {
                fill(statement, i.next());
                statement.addBatch();
                if (++waiting % SENT == 0) statement.executeBatch();
            }
            if (waiting % SENT != 0) statement.executeBatch();
        }
    }

    private void fill(PreparedStatement statement, Exchange exchange) throws SQLException {
        int place = 0;
        for (var column : columns.entrySet())
            dialect.set(statement, ++place, column.getKey(), column.getValue(), value(column.getKey(), exchange));
    }

    private static String names(Iterable<String> names) {
        var quoted = new ArrayList<String>();
        names.forEach(name -> quoted.add(DuckDb.name(name)));
        return String.join(", ", quoted);
    }
}
