package sheaf.support;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.stream.Stream;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Result;
import sheaf.server.BatchServer;

/** A server that is asked the same as another one, makes no faults, and has answers of its own. */
final class Stranger implements AutoCloseable {
    static final String ANSWER = "a stranger's";
    private final BatchServer server;

    Stranger(BatchServer.Options options) { server = options.start().reply(text -> ANSWER); }

    String baseUrl() { return server.baseUrl(); }

    /** Asks a draft of so many requests, and asserts that the answers are its own. */
    void answers(Draft draft, int requests) {
        assertAnswers(draft.submit().results().stream().map(Result::text), requests);
    }

    /** Asserts that each of so many requests was sent to it, and paid, once; it has to speak OpenAI's dialect. */
    void assertEachOnce(int requests) {
        new Ledger(new RawClient(server::baseUrl)).assertEachOnce(Ledger.customIds(requests));
    }

    static void assertAnswers(Stream<String> answers, int requests) {
        assertEquals(requests, answers.filter(answer -> answer.endsWith(ANSWER)).count(), "answers of the stranger");
    }

    @Override public void close() { server.close(); }
}
