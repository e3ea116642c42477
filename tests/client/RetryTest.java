package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.time.temporal.ChronoUnit;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Supplier;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import sheaf.Vocabulary.BatchException;

/** How long a pause is, what is tried again, and when it is given up. */
class RetryTest {
    private static final Duration NO_WISH = Duration.ZERO;

    @Tag("C20")
    @ParameterizedTest(name = "{0}, local {1}")
    @CsvSource({"calls, false, 500, 600000, 2", "calls, true, 20, 600000, 2", "polls, false, 30000, 120000, 1.5",
        "polls, true, 15, 800, 1.2", "polls of one part, true, 15, 60, 1.2", "creates, false, 30000, 600000, 1.5",
        "creates, true, 25, 100, 1.5"})
    void pausesGrowToTheirMostAndHalfAsMuchAgainByChance(String of, boolean isLocal, long first, long most,
                                                         double growth) {
        var retry = switch (of) {
            case "calls" -> Retry.ofCalls(isLocal);
            case "polls" -> Retry.ofPolls(isLocal, 20);
            case "polls of one part" -> Retry.ofPolls(isLocal, 1);
            default -> Retry.ofCreates(isLocal);
        };

        for (int n = 0; n < 160; n++) {
            double least = Math.min(most, first * Math.pow(growth, n));
            double pause = retry.next(NO_WISH).toNanos() / 1e6;
            assertTrue(pause > least - 0.01 && pause < least * 1.5 + 0.01, n + ": " + pause + " of " + least);
        }
    }

    @Test void chanceTellsClientsApart() {
        var firsts = Stream.generate(() -> Retry.ofCalls(false).next(NO_WISH)).limit(100).distinct().toList();

        assertTrue(firsts.size() > 10, firsts::toString);
        assertTrue(firsts.stream().allMatch(pause -> pause.toMillis() >= 500 && pause.toMillis() <= 750),
            firsts::toString);
    }

    @Tag("C18")
    @Test void whatTheProviderAsksForIsWaitedForIfItIsMore() {
        var retry = Retry.ofCalls(false);

        assertEquals(Duration.ofSeconds(7), retry.next(Duration.ofSeconds(7)));
        assertTrue(retry.next(Duration.ofMillis(1)).toMillis() >= 1_000);
    }

    @Test void looksGrowRareInNoFixedStep() {
        for (boolean isLocal : new boolean[] {true, false}) {
            var polls = Retry.ofPolls(isLocal, 1);
            var pauses = Stream.generate(() -> polls.next(NO_WISH).toMillis()).limit(30).toList();

            assertTrue(pauses.get(0) <= (isLocal ? 22 : 45_000), pauses::toString);
            assertTrue(pauses.get(29) >= (isLocal ? 60 : 120_000), pauses::toString);
            assertTrue(pauses.subList(20, 30).stream().distinct().count() > 1, pauses::toString);
        }
    }

    @Test void afterAResetPausesAreShortAgain() {
        var retry = Retry.ofCalls(false);
        IntStream.range(0, 9).forEach(n -> retry.next(NO_WISH));

        retry.reset();

        assertTrue(retry.next(NO_WISH).toMillis() <= 750);
    }

    @Tag("C18")
    @ParameterizedTest(name = "Retry-After {0}")
    @CsvSource({"1, 1000", "0.3, 300", "' 2 ', 2000", "60, 60000", "61, 60000", "86400, 60000", "1e300, 60000",
        "Infinity, 60000", "NaN, 0", "0, 0", "-5, 0", "-1e300, 0", "soon, 0", "'', 0",
        "'Fri, 31 Dec 9999 23:59:59 GMT', 60000", "'Wed, 21 Oct 2015 07:28:00 GMT', 0"})
    void aPauseIsReadInSecondsOrAsADateAndAnAbsurdOneIsCut(String header, long millis) {
        assertEquals(Duration.ofMillis(millis), Retry.after(List.of(), List.of(header)));
    }

    @Tag("C18")
    @Test void aDateIsThePauseUntilThen() {
        var before = ZonedDateTime.now(ZoneOffset.UTC);
        var then = before.truncatedTo(ChronoUnit.SECONDS).plusSeconds(40);

        var pause = Retry.after(List.of(), List.of(DateTimeFormatter.RFC_1123_DATE_TIME.format(then)));

        assertTrue(pause.compareTo(Duration.between(before, then)) <= 0, pause::toString);
        assertTrue(pause.compareTo(Duration.between(ZonedDateTime.now(), then)) >= 0, pause::toString);
    }

    @Tag("C18")
    @Test void millisecondsGoBeforeSeconds() {
        assertEquals(Duration.ofMillis(300), Retry.after(List.of("300"), List.of("9")));
        assertEquals(Duration.ofSeconds(60), Retry.after(List.of("1e12"), List.of()));
        assertEquals(Duration.ZERO, Retry.after(List.of(), List.of()));
    }

    @Tag("C33")
    @ParameterizedTest
    @CsvSource({"408, true", "425, true", "429, true", "500, true", "502, true", "503, true", "504, true", "529, true",
        "200, true", "0, false", "400, false", "401, false", "403, false", "404, false", "409, false", "413, false",
        "422, false"})
    void aStatusTellsWhetherTheSameCallMaySucceedLater(int status, boolean isTransient) {
        assertEquals(isTransient, Retry.isTransient(refusal(status, "")));
    }

    @Test void aBrokenLineMayBeWholeLaterAndAnEmptyAccountIsNotFilled() {
        assertTrue(Retry.isTransient(broken()));
        assertFalse(Retry.isTransient(refusal(429, "insufficient_quota")));
        assertFalse(Retry.isTransient(refusal(402, "")));
        assertFalse(Retry.isTransient(new IllegalStateException("interrupted")));
    }

    @Test void aCallIsTriedAgainUntilItSucceeds() {
        var calls = new AtomicInteger();

        assertEquals("done", Retry.patiently(true, () -> {
            if (calls.incrementAndGet() == 1) throw broken();
            if (calls.get() == 2) throw refusal(503, "");
            return "done";
        }));
        assertEquals(3, calls.get());
    }

    @Test void aCallThatFailsForGoodIsTriedNoMore() {
        var refusal = refusal(400, "");
        var calls = new AtomicInteger();

        assertSame(refusal, assertThrows(BatchException.class, () -> Retry.patiently(true, failing(calls, refusal))));
        assertEquals(1, calls.get());
    }

    @Test void aCallThatFailsOnceMoreThanItIsRepeatedEndsWithItsLastFault() {
        var broken = broken();
        var calls = new AtomicInteger();

        assertSame(broken, assertThrows(UncheckedIOException.class,
            () -> Retry.patiently(true, failing(calls, broken))));
        assertEquals(1 + Retry.ATTEMPTS, calls.get());
    }

    @Tag("C13")
    @ParameterizedTest(name = "unsure {0}")
    @ValueSource(booleans = {true, false})
    void whatMayBeDoneIsLookedForBeforeItIsDoneAgain(boolean isUnsure) {
        var calls = new AtomicInteger();
        var looks = new AtomicInteger();

        var got = Retry.patiently(true, isUnsure, () -> {
            looks.incrementAndGet();
            return calls.get() == 0 ? Optional.empty() : Optional.of("found");
        }, failing(calls, broken()));

        assertEquals("found", got);
        assertEquals(1, calls.get());
        assertEquals(isUnsure ? 2 : 1, looks.get());
    }

    @Test void anInterruptedPauseIsASentence() {
        Thread.currentThread().interrupt();

        var fault = assertThrows(IllegalStateException.class, () -> Retry.sleep("await", Duration.ofDays(1)));

        assertEquals("await: interrupted; run again to go on", fault.getMessage());
        assertTrue(Thread.interrupted(), "who waits above is not told");
    }

    @Tag("C15")
    @Test void aQueueThatHadNoRoomAHundredTimesInARowIsGivenUp() {
        var queue = new Retry.QueuePauses(true);
        var full = refusal(429, "token_limit_exceeded");
        for (int n = 0; n < 100; n++) queue.refused(full, NO_WISH, true);

        var fault = assertThrows(BatchException.class, () -> queue.refused(full, NO_WISH, true));

        assertEquals("no; it had no room 100 times in a row: run again later, or make smaller parts by "
            + "limits(requests, bytes) of the provider", fault.getMessage());
        assertEquals("token_limit_exceeded", fault.code());
    }

    @Tag("C15")
    @Test void aQueueThatStillHoldsPartsOfThisBatchIsNotGivenUp() {
        var queue = new Retry.QueuePauses(true);

        for (int n = 1; n <= 300; n++) queue.refused(refusal(429, ""), NO_WISH, n % 101 > 0);

        assertEquals("no", queue.reason());
    }

    @Tag("C15")
    @Test void aQueueThatMovedIsNotGivenUpForWhatWasBefore() {
        var queue = new Retry.QueuePauses(true);
        for (int n = 0; n < 100; n++) queue.refused(refusal(429, ""), NO_WISH, true);

        queue.moved();

        assertEquals("", queue.reason());
        for (int n = 0; n < 100; n++) queue.refused(refusal(429, ""), NO_WISH, true);
        assertEquals("no", queue.reason());
    }

    @Tag("C15")
    @Test void aFullQueueIsAskedAgainWhenTheProviderSaysSo() {
        var queue = new Retry.QueuePauses(true);
        assertTrue(queue.untilDue().compareTo(Duration.ZERO) <= 0, "a new one is asked at once");

        queue.refused(refusal(429, ""), Duration.ofSeconds(50), true);

        assertFalse(queue.isDue());
        assertTrue(queue.untilDue().toSeconds() > 30 && queue.untilDue().toSeconds() <= 50);
    }

    private static BatchException refusal(int status, String code) {
        return new BatchException("no", status, code, "");
    }

    private static UncheckedIOException broken() { return new UncheckedIOException(new IOException("broken")); }

    private static Supplier<String> failing(AtomicInteger calls, RuntimeException fault) {
        return () -> {
            calls.incrementAndGet();
            throw fault;
        };
    }
}
