package sheaf;

import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import sheaf.support.Chaos;

/** A server on which any call may go wrong; {@code -Dsheaf.seed} runs one again that failed. */
class ChaosTest {
    @TempDir Path folder;

    @AfterEach void forgetHome() { System.clearProperty("SHEAF_HOME"); }

    @Tag("C13") @Tag("C14") @Tag("C15") @Tag("C16") @Tag("C18") @Tag("C31") @Tag("C35")
    @Timeout(value = 10, unit = TimeUnit.MINUTES)      // on a machine that is busy
    @Test void whateverGoesWrongEachRowComesOutOnceAndIsPaidOnce() throws Exception {
        Chaos.run(Integer.getInteger("sheaf.chaos", 100), folder);
    }
}
