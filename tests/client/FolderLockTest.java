package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** One at a time in a folder; what a second process does is in JournalTest. */
class FolderLockTest {
    @TempDir Path home;
    private final ExecutorService threads = Executors.newCachedThreadPool();

    @AfterEach void stop() { threads.shutdownNow(); }

    @Test void aLockThatIsHeldIsNotGivenTwice() throws IOException {
        var dir = home.resolve("tickets-1");

        try (var held = FolderLock.on(dir, FolderLockTest::fail)) {
            assertNotNull(held);
            assertNull(FolderLock.ifFree(dir));
            assertNull(FolderLock.ifFree(home.resolve("other/../tickets-1")), "spelled otherwise");
            FolderLock.ifFree(home.resolve("tickets-2")).close();
        }

        FolderLock.ifFree(dir).close();
    }

    @Test void theFileOfALockStandsBesideItsFolderAndStays() {
        var file = home.resolve(".tickets-1.lock");

        FolderLock.on(home.resolve("tickets-1"), FolderLockTest::fail).close();

        assertEquals(file, FolderLock.file(home.resolve("tickets-1")));
        assertTrue(Files.exists(file));
        assertFalse(Files.exists(home.resolve("tickets-1")));
    }

    @Test void oneThreadAtATimeIsAtWork() {
        var inside = new AtomicInteger();
        var turns = IntStream.range(0, 4).mapToObj(each -> CompletableFuture.runAsync(() -> {
            try (var held = FolderLock.on(home.resolve("tickets-1"), FolderLockTest::fail)) {
                assertEquals(1, inside.incrementAndGet());
                for (int i = 0; i < 10_000; i++) Thread.onSpinWait();
                assertEquals(0, inside.decrementAndGet());
            }
        }, threads)).toList();

        turns.forEach(CompletableFuture::join);
    }

    @Test void whoWaitsLongSaysForWhatAndGetsIt() throws Exception {
        var said = new CopyOnWriteArrayList<String>();
        var isSaid = new CountDownLatch(1);
        var isFree = new AtomicBoolean();
        var held = FolderLock.on(home.resolve("tickets-1"), FolderLockTest::fail);

        var waiting = CompletableFuture.runAsync(() -> {
            FolderLock.on(home.resolve("tickets-1"), note -> {
                said.add(note);
                isSaid.countDown();
            }).close();
            assertTrue(isFree.get());
        }, threads);
        assertTrue(isSaid.await(1, TimeUnit.MINUTES));
        isFree.set(true);
        held.close();
        waiting.join();

        assertEquals(List.of("another process is at work on tickets-1; waiting for it"), said);
    }

    @Test void anInterruptEndsTheWait() {
        try (var held = FolderLock.on(home.resolve("tickets-1"), FolderLockTest::fail)) {
            Thread.currentThread().interrupt();

            var fault = assertThrows(IllegalStateException.class,
                () -> FolderLock.on(home.resolve("tickets-1"), FolderLockTest::fail));

            assertEquals("submit: interrupted; run again to go on", fault.getMessage());
            assertTrue(Thread.interrupted());
        }
    }

    @Test void aFolderThatIsNowhereIsASentence() {
        var fault = assertThrows(UncheckedIOException.class,
            () -> FolderLock.on(home.resolve("gone").resolve("tickets-1"), FolderLockTest::fail));

        assertEquals("submit: cannot lock " + home.resolve("gone").resolve(".tickets-1.lock")
            + " (no such file or folder)", fault.getMessage());
    }

    private static void fail(String note) { throw new AssertionError(note); }
}
