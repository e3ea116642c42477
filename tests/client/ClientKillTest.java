package sheaf;

import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import sheaf.support.ClientKills;

/** A script whose process is killed; {@code -Dsheaf.seed} runs one batch again that failed. */
@Tag("apart")
class ClientKillTest {
    @TempDir Path folder;

    @Tag("C16") @Tag("C13") @Tag("C31") @Tag("C35")
    @Timeout(value = 10, unit = TimeUnit.MINUTES)      // on a machine that is busy
    @Test void killedAtAnyMomentAScriptGoesOnWhereItWasAndPaysNothingTwice() throws Exception {
        ClientKills.run(Integer.getInteger("sheaf.client.kills", 30), folder);
    }
}
