///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Ask over the rows of a query, a Parquet file or a database; takes what ask takes, which begins it
//SOURCES ../../lib/Sql.java
//SOURCES excel.java
//SOURCES rehearse.java
//DEPS org.postgresql:postgresql:42.7.14

package sheaf.commands;

import static sheaf.Sql.*;

import java.nio.file.Path;
import java.util.function.IntPredicate;
import sheaf.Sheaf.Data;
import sheaf.Sheaf.Results;

/** DuckDB and the drivers of databases weigh more than all the rest of ask. */
class sql implements TableFiles {
    private final excel excel = new excel();

    public static void main(String... args) { System.exit(run(ask::isTerminal, args)); }

    static int run(IntPredicate terminal, String... args) { return rehearse.runOrRehearse(terminal, new sql(), args); }

    @Override public boolean takes(String ending) { return ending.equals("parquet") || excel.takes(ending); }

    @Override public Data rows(String file, String sheet) {
        return FileFormat.ending(file).equals("parquet") ? parquet(file) : excel.rows(file, sheet);
    }

    @Override public Data query(String database, String query) {
        return database == null ? sql(query) : table(database, query);
    }

    @Override public void write(Results results, Path file, String... columns) {
        if (FileFormat.ending(file.toString()).equals("parquet")) toParquet(results, file, columns);
        else excel.write(results, file, columns);
    }
}
