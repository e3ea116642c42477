package sheaf.support;

import java.time.Duration;
import java.util.List;

/** Times that a test sets to what it tests: longer ones, where the machine was too slow for those before. */
public final class Trials {
    private static final List<Integer> MILLIS = List.of(500, 3_000, 15_000);

    private Trials() {}

    /** What is to be seen with a limit, or where work takes so long; it prepares all that it needs itself. */
    public interface Trial {
        void with(Duration time) throws Exception;
    }

    /** Tries it with a short time and, as often as that fails, with a longer one: what is wrong fails with each. */
    public static void slower(Trial trial) throws Exception {
        for (int i = 0; ; i++)
            try {
                trial.with(Duration.ofMillis(MILLIS.get(i)));
                return;
            } catch (Exception | AssertionError failure) {
                if (i + 1 == MILLIS.size()) throw failure;
            }
    }
}
