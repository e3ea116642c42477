package sheaf.support;

import java.time.Duration;
import java.util.List;

/** Limits of time that a test sets to what it tests: a longer one, where the machine was too slow for the one before. */
public final class Limits {
    private static final List<Integer> MILLIS = List.of(500, 5_000, 50_000);

    private Limits() {}

    /** What is to be seen within, or after, a limit; it prepares all that it needs itself. */
    public interface Trial {
        void with(Duration limit) throws Exception;
    }

    /** Tries it with a short limit and, as often as that fails, with a longer one: what is wrong fails with each. */
    public static void tried(Trial trial) throws Exception {
        for (int i = 0; ; i++)
            try {
                trial.with(Duration.ofMillis(MILLIS.get(i)));
                return;
            } catch (Exception | AssertionError failure) {
                if (i + 1 == MILLIS.size()) throw failure;
            }
    }
}
