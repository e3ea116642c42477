package sheaf.house;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import sheaf.support.Project;

/** javac reads a source in the charset of the machine, which in cron and in a container is often ASCII. */
class CharsetTest {

    @ParameterizedTest
    @ValueSource(strings = {"lib", "scripts", "templates", "tests", "bench"})
    void everySourceIsAscii(String folder) throws IOException {
        try (var files = Files.walk(Project.root().resolve(folder))) {
            var sources = files.filter(file -> file.toString().matches(".*[.](java|qute)")).toList();

            assertTrue(sources.size() > 0, folder);
            assertEquals(List.of(), sources.stream().flatMap(CharsetTest::faults).toList(), "write it as \\uXXXX");
        }
    }

    private static Stream<String> faults(Path source) {
        try {
            var lines = Files.readString(source).lines().toList();
            return Stream.iterate(1, line -> line <= lines.size(), line -> line + 1)
                .filter(line -> !StandardCharsets.US_ASCII.newEncoder().canEncode(lines.get(line - 1)))
                .map(line -> source + " line " + line + ": " + lines.get(line - 1));
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }
}
