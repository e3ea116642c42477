package sheaf;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Provider;

/** What thousands of parts hold in memory. */
class ManyPartsTest {
    private static final int MANY = 2_000;

    @Test void onlyAnOpenPartHasABuffer(@TempDir Path home) throws IOException {
        System.setProperty("SHEAF_HOME", home.toString());
        var provider = Provider.of("http://localhost:1/v1").limits(1, 1_000).connection();
        long before = used();

        try (var staging = new Staging(provider, "/v1/chat/completions", "24h")) {
            for (int i = 0; i < MANY; i++) staging.add("m", ("{\"custom_id\":\"request-" + i + "\"}\n").getBytes(UTF_8));
            staging.complete();

            assertEquals(MANY, staging.partCount());
            long held = used() - before;
            assertTrue(held < 5_000L * MANY, held + " bytes");
        }
    }

    private static long used() {
        System.gc();
        return Runtime.getRuntime().totalMemory() - Runtime.getRuntime().freeMemory();
    }
}
