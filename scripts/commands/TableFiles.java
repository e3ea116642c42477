package sheaf.commands;

import java.nio.file.Path;
import sheaf.Sheaf.Data;
import sheaf.Sheaf.Results;

/** What reads and writes tables that the library itself does not: each command that has it says which. */
interface TableFiles {
    TableFiles NONE = new TableFiles() {
        @Override public boolean takes(String ending) { return false; }

        @Override public Data rows(String file, String sheet) { throw new IllegalStateException(file); }

        @Override public Data query(String database, String query) { throw new IllegalStateException(query); }

        @Override public void write(Results results, Path file, String... columns) {
            throw new IllegalStateException(file.toString());
        }
    };

    /** Whether it takes files that end so; whatever takes parquet takes queries too. */
    boolean takes(String ending);

    /** @param sheet of an Excel file; null: the first */
    Data rows(String file, String sheet);

    /** @param database the JDBC URL; null: the query names files */
    Data query(String database, String query);

    void write(Results results, Path file, String... columns);
}
