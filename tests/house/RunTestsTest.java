package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import sheaf.support.Project;

/** What ./jbang test WORD runs, and beside what. */
class RunTestsTest {

    @ParameterizedTest(name = "{0}: {1}#{2} {3}")
    @CsvSource({
        "client, sheaf.InterruptTest, aLocalBatchGoesOn, true",
        "client, sheaf.InterruptTest$Inner, aLocalBatchGoesOn, true",
        "client, sheaf.server.ServeTest, aclientIsServed, false",
        "server, sheaf.server.ServeTest, aSignalEndsIt, true",
        "house, sheaf.RunTestsTest, aWord, true",
        "clients, sheaf.InterruptTest, aLocalBatchGoesOn, false",
        "InterruptTest, sheaf.InterruptTest, aLocalBatchGoesOn, true",
        "InterruptTest#aLocal, sheaf.InterruptTest, aLocalBatchGoesOn, true",
        "Batch, sheaf.InterruptTest, aLocalBatchGoesOn, true",
        "sheaf, sheaf.InterruptTest, aLocalBatchGoesOn, false"})
    void aWordIsARoomOrAPartOfATestsName(String word, String type, String method, boolean isRun) {
        assertEquals(isRun, RunTests.isMeant(word, type, method));
    }

    /** They run beside others in one JVM; what a program of theirs does is done in a process of its own. */
    @Test void noTestsApartSetASystemProperty() throws IOException {
        try (var files = Files.walk(Project.root().resolve("tests"))) {
            assertEquals(List.of(), files.filter(file -> file.toString().endsWith("Test.java"))
                .filter(RunTestsTest::isApartAndSetsAProperty).toList());
        }
    }

    private static boolean isApartAndSetsAProperty(Path file) {
        try {
            var text = Files.readString(file).replaceAll("(?s)public static void main\\(.*?\n        }\n", "");
            return text.contains("\n@Tag(\"apart\")\n") && text.contains("System.setProperty(");
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
