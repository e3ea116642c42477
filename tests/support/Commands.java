package sheaf.support;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.function.IntSupplier;
import java.util.function.Supplier;
import org.junit.jupiter.api.extension.AfterEachCallback;
import org.junit.jupiter.api.extension.BeforeEachCallback;
import org.junit.jupiter.api.extension.ExtensionContext;
import sheaf.server.BatchServer;

/** The environment of commands that a test runs: a home and a server of its own. */
public final class Commands implements BeforeEachCallback, AfterEachCallback {
    private final Supplier<Path> home;
    private final Supplier<BatchServer> server;

    /** @param server which is closed in the end */
    public Commands(Supplier<Path> home, Supplier<BatchServer> server) {
        this.home = home;
        this.server = server;
    }

    @Override public void beforeEach(ExtensionContext test) {
        System.setProperty("SHEAF_HOME", home.get().toString());
        System.setProperty("OPENAI_BASE_URL", server.get().baseUrl());
    }

    @Override public void afterEach(ExtensionContext test) {
        server.get().close();
        System.setProperty("OPENAI_BASE_URL", "");
    }

    /** What a command was: its exit code, and what it printed. */
    public record Run(int status, String out, String err) {
        public static Run of(IntSupplier command) {
            var status = new int[1];
            var out = new String[1];
            var err = Printed.stderr(() -> out[0] = Printed.stdout(() -> status[0] = command.getAsInt()));
            return new Run(status[0], out[0], err);
        }

        /** The only line on stdout. */
        public String line() {
            assertTrue(status == 0 && out.matches(".+\n"), toString());
            return out.strip();
        }
    }
}
