package sheaf;

import java.util.ArrayDeque;
import java.util.Iterator;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/**
 * Work in pieces, on as many threads as there are processors: what comes of each is taken in order, and no more than a
 * few are begun before that. It knows nothing of what is worked on.
 */
final class Pieces {
    private static final int BEGUN = 2;                    // for each processor

    private Pieces() {}

    interface Taker<T, E extends Exception> {
        void take(T done) throws E;
    }

    /** What fails in a piece is thrown when its turn has come, as if all had been done one after another. */
    static <T, E extends Exception> void inOrder(Iterator<Callable<T>> pieces, Taker<T, E> taker) throws E {
        int processors = Runtime.getRuntime().availableProcessors();
        var workers = Executors.newFixedThreadPool(processors, work -> {
            var thread = new Thread(work, "sheaf-worker");
            thread.setDaemon(true);
            return thread;
        });
        try {
            inOrder(pieces, taker, workers, BEGUN * processors);
        } finally {
            workers.shutdownNow();
        }
    }

    private static <T, E extends Exception> void inOrder(Iterator<Callable<T>> pieces, Taker<T, E> taker,
                                                         ExecutorService workers, int most) throws E {
        var begun = new ArrayDeque<Future<T>>();
        while (pieces.hasNext()) {
            begun.add(workers.submit(pieces.next()));
            if (begun.size() == most) taker.take(done(begun.remove()));
        }
        while (!begun.isEmpty()) taker.take(done(begun.remove()));
    }

    private static <T> T done(Future<T> piece) {
        try {
            return piece.get();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("results: interrupted", e);
        } catch (ExecutionException e) {
            if (e.getCause() instanceof RuntimeException fault) throw fault;
            throw new IllegalStateException(e.getCause());
        }
    }
}
