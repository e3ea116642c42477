package sheaf.support;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.management.ManagementFactory;
import java.util.function.IntFunction;

/** How the work of a thread grows with what it is given, by its time of the CPU, in which nobody else works. */
public final class Growth {
    private static final int TIMES = 16;         // as much; work that grows with the square takes 256 times as long
    private static final int MOST = 64;          // times as long
    private static final int TRIES = 10;
    private static final long GRAIN = 16_000_000;      // nanoseconds in which Windows counts: less is as good as none

    private Growth() {}

    /** Compares the work of some size with that of much more, by the least that either took in several tries. */
    public static void assertLinear(int size, IntFunction<Runnable> work) {
        long small = Long.MAX_VALUE, large = Long.MAX_VALUE;
        for (int i = 0; i == 0 || i < TRIES && large / MOST >= small; i++) {
            large = Math.min(large, nanos(work.apply(TIMES * size)));      // first, for what is new to a JVM is slow
            small = Math.min(small, nanos(work.apply(size)));
        }
        assertTrue(large / MOST < small, TIMES + " times as much took " + large / small + " times as long");
    }

    private static long nanos(Runnable work) {
        var threads = ManagementFactory.getThreadMXBean();
        long began = threads.getCurrentThreadCpuTime();
        work.run();
        return Math.max(GRAIN, threads.getCurrentThreadCpuTime() - began);
    }
}
