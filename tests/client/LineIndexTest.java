package sheaf;

import static java.nio.charset.StandardCharsets.UTF_8;
import static java.nio.file.StandardOpenOption.CREATE;
import static java.nio.file.StandardOpenOption.READ;
import static java.nio.file.StandardOpenOption.WRITE;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.management.UnixOperatingSystemMXBean;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Lines found by their number, in the file and at the place that the index names. */
class LineIndexTest {
    private static final int LENGTH = 5;                    // bytes of each line, and one for its end
    @TempDir Path folder;
    private final ExecutorService threads = Executors.newCachedThreadPool();
    private Path index;

    @BeforeEach void writeTheFiles() throws IOException {
        index = folder.resolve("lines.idx");
        Files.writeString(folder.resolve("0"), "zero\u00e9\u20ac\nline1\nline2\n");
        Files.writeString(folder.resolve("1"), "line3\nline4\n");
    }

    @AfterEach void stop() { threads.shutdownNow(); }

    @Test void linesThatWereNotedInOrderAreFoundByTheirNumber() throws IOException {
        try (var lines = new LineIndex.InOrder(index)) {
            lines.add(0, 9, 0);
            lines.add(0, LENGTH, 10);
            lines.add(1, LENGTH, 6);
        }

        var lines = read();

        assertEquals(3, lines.size());
        assertEquals(List.of("zero\u00e9\u20ac", "line1", "line4"), texts(lines));
        assertEquals(List.of(0, 0, 1), LongStream.range(0, 3).mapToObj(lines::file).toList());
    }

    @Test void linesBeyondTwoGigabytesOfIndexAreFound() throws IOException {
        long many = 140_000_000;
        try (var channel = FileChannel.open(index, CREATE, READ, WRITE);
             var lines = new LineIndex.AnyOrder(channel, many)) {
            assertTrue(lines.put(0, 1, LENGTH, 0));
            assertTrue(lines.put(many - 1, 1, LENGTH, 6));
            assertFalse(lines.put(many - 1, 0, LENGTH, 10));
        }

        var lines = read();

        assertEquals(many, lines.size());
        assertEquals("line3", lines.text(0));
        assertEquals("line4", lines.text(many - 1));
        assertEquals(1, lines.file(many - 1));
    }

    @Test void ofVeryManyFilesFewAreOpenAtOnce() throws IOException {
        int many = 500;
        try (var lines = new LineIndex.InOrder(index)) {
            for (int i = 0; i < many; i++) {
                Files.writeString(folder.resolve("" + i), "line%03d\n".formatted(i));
                lines.add(i, 7, 0);
            }
        }
        var system = (UnixOperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        long before = system.getOpenFileDescriptorCount();

        var lines = read();

        for (int i = 0; i < many; i++) assertEquals("line%03d".formatted(i), lines.text(i));
        assertEquals("line000", lines.text(0));
        assertTrue(system.getOpenFileDescriptorCount() < before + 50, "open: " + system.getOpenFileDescriptorCount());
    }

    @Test void linesThatWereNotedInAnyOrderAreFoundByTheirNumber() throws IOException {
        try (var channel = FileChannel.open(index, CREATE, READ, WRITE);
             var lines = new LineIndex.AnyOrder(channel, 4)) {
            lines.put(3, 1, LENGTH, 0);
            lines.put(0, 0, LENGTH, 16);
            lines.put(2, 0, LENGTH, 10);
        }

        var lines = read();

        assertEquals(4, lines.size());
        assertEquals(List.of("line2", "", "line1", "line3"), LongStream.range(0, 4)
            .mapToObj(line -> lines.bytes(line).map(String::new).orElse("")).toList());
        assertEquals(Optional.empty(), lines.bytes(1));
    }

    @Test void aLineThatIsNotedTwiceKeepsItsFirstPlace() throws IOException {
        try (var channel = FileChannel.open(index, CREATE, READ, WRITE);
             var lines = new LineIndex.AnyOrder(channel, 1)) {
            assertTrue(lines.put(0, 0, LENGTH, 10));
            assertFalse(lines.put(0, 1, LENGTH, 0));
        }

        assertEquals("line1", read().text(0));
    }

    @Test void anIndexOfNoLinesIsRead() throws IOException {
        new LineIndex.InOrder(index).close();

        assertEquals(0, read().size());
    }

    @Test void aFileThatIsShorterThanItsIndexSaysIsASentence() throws IOException {
        try (var lines = new LineIndex.InOrder(index)) {
            lines.add(1, LENGTH, 10);
        }

        var fault = assertThrows(UncheckedIOException.class, () -> read().text(0));

        assertEquals("journal: cannot read " + folder.resolve("1") + " (the file is shorter than its index says)",
            fault.getMessage());
    }

    @Test void aFileOrAnIndexThatIsGoneIsASentence() throws IOException {
        try (var lines = new LineIndex.InOrder(index)) {
            lines.add(7, LENGTH, 0);
        }

        assertEquals("journal: cannot read " + folder.resolve("7") + " (no such file or folder)",
            assertThrows(UncheckedIOException.class, () -> read().text(0)).getMessage());
        Files.delete(index);
        assertEquals("journal: cannot read " + index + " (no such file or folder)",
            assertThrows(UncheckedIOException.class, this::read).getMessage());
    }

    /** A thread that is interrupted while it reads closes the file for all, which the others must not feel. */
    @Test void anInterruptedReaderDoesNotEndTheReadingOfAnother() throws IOException {
        try (var lines = new LineIndex.InOrder(index)) {
            lines.add(0, LENGTH, 10);
            lines.add(0, LENGTH, 16);
        }
        var lines = read();
        var isOver = new AtomicBoolean();
        var interrupted = CompletableFuture.runAsync(() -> {
            for (int i = 0; i < 1_000; i++) {
                Thread.currentThread().interrupt();
                assertEquals("results: interrupted",
                    assertThrows(IllegalStateException.class, () -> lines.text(0)).getMessage());
                assertTrue(Thread.interrupted());
            }
        }, threads).whenComplete((nothing, fault) -> isOver.set(true));

        var others = IntStream.range(0, 2).mapToObj(each -> CompletableFuture.runAsync(() -> {
            do assertEquals("line2", lines.text(1));
            while (!isOver.get());
        }, threads)).toList();

        Stream.concat(Stream.of(interrupted), others.stream()).forEach(CompletableFuture::join);
        assertEquals("line1", lines.text(0));
    }

    @Test void manyReadersAtOnceReadTheirOwnLines() throws IOException {
        var content = IntStream.range(0, 1_000).mapToObj("%05d\n"::formatted).reduce("", String::concat);
        Files.write(folder.resolve("0"), content.getBytes(UTF_8));
        try (var channel = FileChannel.open(index, CREATE, READ, WRITE);
             var lines = new LineIndex.AnyOrder(channel, 1_000)) {
            for (int i = 999; i >= 0; i--) lines.put(i, 0, LENGTH, 6L * i);
        }
        var lines = read();

        assertEquals(1_000, IntStream.range(0, 1_000).parallel()
            .filter(i -> lines.text(i).equals("%05d".formatted(i))).count());
    }

    private LineIndex read() { return new LineIndex(index, file -> folder.resolve("" + file)); }

    private static List<String> texts(LineIndex lines) {
        return LongStream.range(0, lines.size()).mapToObj(lines::text).toList();
    }
}
