///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Ask over the rows of an Excel file, or write one; takes what ask takes, which begins it
//SOURCES ../../lib/Excel.java
//SOURCES ask.java

package sheaf.commands;

import java.nio.file.Path;
import java.util.function.IntPredicate;
import sheaf.Excel;
import sheaf.Sheaf.Data;
import sheaf.Sheaf.Results;

/** What reads and writes workbooks is a download of its own. */
class excel implements TableFiles {
    public static void main(String... args) { System.exit(run(ask::isTerminal, args)); }

    static int run(IntPredicate terminal, String... args) { return ask.run(terminal, null, new excel(), args); }

    @Override public boolean takes(String ending) { return ending.equals("xlsx"); }

    @Override public Data rows(String file, String sheet) { return Excel.excel(file, sheet == null ? "" : sheet); }

    @Override public Data query(String database, String query) { return NONE.query(database, query); }

    @Override public void write(Results results, Path file, String... columns) {
        Excel.toExcel(results, file, columns);
    }
}
