package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What ./jbang test WORD runs. */
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
}
