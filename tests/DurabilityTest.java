package sheaf;

import java.nio.file.Path;
import java.util.concurrent.ThreadLocalRandom;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a kill, a signal and a full disk do to a server: nothing. */
class DurabilityTest {
    @TempDir Path folder;

    @Tag("S24") @Tag("S4") @Tag("S14") @Tag("S15") @Tag("S16") @Tag("S22")
    @Test void killedAtAnyMomentItLosesNothingAndDoesNothingTwice() throws Exception {
        long seed = Long.getLong("sheaf.kills.seed", ThreadLocalRandom.current().nextLong());

        String survived = new Kills(seed, folder.resolve("store")).run(Integer.getInteger("sheaf.kills", 14));
        System.err.println(survived);
    }
}
