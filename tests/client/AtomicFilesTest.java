package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Files whole or not at all; what a second process does is in WrittenTest. */
class AtomicFilesTest {
    @TempDir Path dir;

    @Test void whatAKilledProcessLeftOfThisFileIsSweptUpAndNothingElse() throws IOException {
        var others = List.of(".out.csv.0123456", ".out.csv.012345678", ".out.csv.bak.01234567", ".two.csv.01234567",
            "out.csv.01234567");
        for (var name : others) Files.createFile(dir.resolve(name));
        Files.createFile(dir.resolve(".out.csv.01234567"));

        write("new");

        assertEquals(others.stream().sorted().toList(), names().stream().filter(n -> !n.equals("out.csv")).toList());
        assertEquals("new", Files.readString(dir.resolve("out.csv")));
    }

    @Test void whatAnotherThreadWritesIsNotSweptUp() throws IOException {
        AtomicFiles.stream("toCsv", dir.resolve("out.csv"), out -> {
            out.write("slow".getBytes(StandardCharsets.UTF_8));
            write("fast");
        });

        assertEquals("slow", Files.readString(dir.resolve("out.csv")));
        assertEquals(List.of("out.csv"), names());
    }

    @Test void aHeldFileIsHeldByNoOther() throws IOException {
        var file = dir.resolve("held");
        try (var held = HeldFile.ifFree(file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            assertEquals(null, HeldFile.ifFree(dir.resolve("../" + dir.getFileName() + "/held")));
        }
        HeldFile.ifFree(file, StandardOpenOption.WRITE).close();
    }

    @Test void aWriterMayCloseWhatItIsGiven() throws IOException {
        AtomicFiles.stream("toCsv", dir.resolve("out.csv"), out -> {
            out.write('a');
            out.close();
            write("meanwhile");
        });

        assertEquals("a", Files.readString(dir.resolve("out.csv")));
    }

    @Test void aWriteThatFailsLeavesWhatWasThere() throws IOException {
        write("old");

        var fault = assertThrows(UncheckedIOException.class, () ->
            AtomicFiles.stream("toCsv", dir.resolve("out.csv"), out -> {
                out.write(new byte[1 << 17]);
                throw new IOException("No space left on device");
            }));

        assertEquals("toCsv: cannot write " + dir.resolve("out.csv") + " (No space left on device)",
            fault.getMessage());
        assertEquals("old", Files.readString(dir.resolve("out.csv")));
        assertEquals(List.of("out.csv"), names());
    }

    private void write(String text) {
        AtomicFiles.stream("toCsv", dir.resolve("out.csv"), out -> out.write(text.getBytes(StandardCharsets.UTF_8)));
    }

    private List<String> names() throws IOException {
        try (var files = Files.list(dir)) {
            return files.map(file -> file.getFileName().toString()).sorted().toList();
        }
    }
}
