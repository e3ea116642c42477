package sheaf.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.ConnectException;
import java.net.UnknownHostException;
import java.net.http.HttpConnectTimeoutException;
import java.time.Duration;
import java.util.stream.IntStream;
import javax.net.ssl.SSLException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import sheaf.server.Attempt.Failure;

/** What stood in the way of an answer, and how long to wait before the next try. */
class AttemptTest {
    @ParameterizedTest(name = "after try {0}, asked to wait {1} ms: from {2} ms on")
    @CsvSource({"1, -1, 200", "2, -1, 400", "3, -1, 800", "7, -1, 10000", "50, -1, 10000", "1, 0, 200", "9, 3000, 3000",
        "1, 999999, 120000"})
    void aPauseGrowsUnlessTheEngineSaysHowLong(int tries, long asked, long least) {
        var attempt = new Attempt(Engine.Answer.none("busy", "busy"), Failure.OVERLOADED, asked);

        IntStream.range(0, 100).mapToLong(i -> attempt.pause(tries))
            .forEach(pause -> assertTrue(pause >= least && pause < least * 5 / 4, "" + pause));
    }

    @ParameterizedTest
    @CsvSource({"429, OVERLOADED", "503, OVERLOADED", "529, OVERLOADED", "408, PASSING", "409, PASSING", "500, PASSING",
        "502, PASSING", "504, PASSING", "400, NONE", "401, NONE", "404, NONE", "200, NONE"})
    void aStatusSaysWhetherAnotherTryMayHelp(int status, Failure failure) { assertEquals(failure, Failure.of(status)); }

    @Test void onlyWhatWasSentMayHaveCrashedAnEngine() {
        assertEquals("DOWN The engine does not answer (connection refused).", said(new ConnectException()));
        assertEquals("DOWN The engine does not answer (connection timed out).",
            said(new HttpConnectTimeoutException("late")));
        assertEquals("DOWN The engine does not answer (unknown host).", said(new UnknownHostException("host")));
        assertEquals("PASSING The engine does not answer (connection closed).", said(new IOException("reset")));
        assertEquals("PASSING The engine does not answer (no secure connection: no).", said(new SSLException("no")));
    }

    @Test void aTimeoutIsSaidAsPeopleWriteIt() {
        var attempt = Attempt.timedOut(Duration.ofSeconds(90));

        assertEquals("The engine did not answer within 1m30s.", attempt.answer().message());
        assertEquals(Failure.SLOW, attempt.failure());
    }

    private static String said(Exception e) {
        var attempt = Attempt.failed(e);
        return attempt.failure() + " " + attempt.answer().message();
    }
}
