package sheaf.server;

import static java.util.concurrent.TimeUnit.SECONDS;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What those who read and those who change a database see of each other. */
class DatabaseTest {
    @TempDir static Path folder;
    @AutoClose final Database database = new Database(folder.resolve("state" + System.nanoTime() + ".db"), true);

    DatabaseTest() {
        database.execute("CREATE TABLE fact (value TEXT)");
        database.execute("INSERT INTO fact VALUES (?)", "old");
    }

    @Test void aReaderDoesNotWaitForAChangeAndSeesNoneThatIsNotWhole() {
        database.atomically(() -> {
            database.execute("UPDATE fact SET value = ?", "new");

            assertEquals(List.of("old"), aside());
            assertEquals(List.of("new"), values());
        });

        assertEquals(List.of("new"), aside());
    }

    @Test void ofChangesThatBreakOffNoneIsMade() {
        assertThrows(IllegalStateException.class, () -> database.atomically(() -> {
            database.execute("UPDATE fact SET value = ?", "new");
            throw new IllegalStateException();
        }));

        assertEquals(List.of("old"), values());
    }

    /** Returns what another thread finds. */
    List<String> aside() { return CompletableFuture.supplyAsync(this::values).orTimeout(60, SECONDS).join(); }

    List<String> values() { return database.select("SELECT value FROM fact", row -> row.getString(1)); }
}
