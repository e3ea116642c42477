package sheaf.support;

import java.util.Deque;
import java.util.concurrent.ConcurrentLinkedDeque;

/** What a test has opened: closed at its end, what was opened last first, so that a server goes before its engine. */
public final class Opened implements AutoCloseable {
    private final Deque<AutoCloseable> all = new ConcurrentLinkedDeque<>();

    /** Returns what is to be closed. */
    public <T extends AutoCloseable> T add(T one) {
        all.push(one);
        return one;
    }

    @Override public void close() throws Exception {
        while (!all.isEmpty()) all.pop().close();
    }
}
