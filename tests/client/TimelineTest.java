package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;

import java.nio.file.Path;
import java.time.LocalDateTime;
import java.time.ZoneId;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Listings.Groups;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Reply;

/** When rows were answered is what the answers say, in local time; where they say nothing there is no chart. */
class TimelineTest {
    private static final LocalDateTime START = LocalDateTime.parse("2026-03-01T13:30:00");
    @AutoClose final BatchServer server = BatchServer.start();
    @TempDir Path home;

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

    @Test void eachStepFromTheFirstAnswerToTheLastHasABar() {
        var timeline = answered(0, 3, 5, 5, 26);

        assertEquals(Map.of(at("13:30:00"), 2L, at("13:30:05"), 2L, at("13:30:10"), 0L, at("13:30:15"), 0L,
            at("13:30:20"), 0L, at("13:30:25"), 1L), timeline);
        assertEquals("13:30:00  " + "\u2588".repeat(40) + "  2 (40.0%)\n13:30:05  " + "\u2588".repeat(40)
            + "  2 (40.0%)\n13:30:10    0 (0.0%)\n13:30:15    0 (0.0%)\n13:30:20    0 (0.0%)\n13:30:25  "
            + "\u2588".repeat(20) + "  1 (20.0%)\nfrom 2026-03-01 13:30:00 to 13:30:26, by the provider's clock; a bar "
            + "is 5 seconds", timeline.toString());
    }

    @Test void aLongRunHasStepsAsThePeopleWhoWaitCountThem() {
        var hours = answered(0, 3_600, 36_000).toString();
        var days = answered(0, 86_400 * 60).toString();

        assertTrue(hours.startsWith("13:00  "), hours);
        assertTrue(hours.endsWith("\nfrom 2026-03-01 13:30:00 to 23:30:00, by the provider's clock; a bar is 1 "
            + "hour"), hours);
        assertTrue(days.endsWith("\nfrom 2026-03-01 13:30:00 to 2026-04-30 13:30:00, by the provider's clock; a bar is "
            + "6 days"), days);
        assertEquals(11, hours.lines().count() - 1, hours);
    }

    @Test void aNightHasItsDates() {
        var night = answered(0, 86_400).toString();

        assertTrue(night.startsWith("2026-03-01 12:00  \u2588"), night);
        assertTrue(night.contains("\n2026-03-02 00:00    0 (0.0%)\n"), night);
    }

    @Test void oneSecondForAllIsSaidToBeOne() {
        assertEquals("13:30:00  " + "\u2588".repeat(40) + "  3 (100.0%)\nall in the same second, 2026-03-01 13:30:00, "
            + "by the provider's clock", answered(0, 0, 0).toString());
    }

    @Test void whatSaysNoTimeIsLeftOutAndCounted() {
        server.answer(body -> body.toString().contains("row 1") ? Reply.error(400, "x", "no") : Reply.text("yes"));

        var timeline = answered(0, 9, 9).toString();

        assertTrue(timeline.endsWith("; a bar is 1 second\nleft out: 1 result without a time"), timeline);
    }

    @Test void ofAProviderWithoutTimesThereIsNoChart() {
        server.rewrite(lines -> lines.stream().map(line -> line.replaceFirst("\"created\":\\d+", "\"created\":null"))
            .toList());

        var timeline = ask(2).submit().results().timeline();

        assertEquals(Map.of(), timeline);
        assertEquals("no answer says when it was given\nleft out: 2 results without a time", timeline.toString());
        assertEquals("<pre style=\"font-family: monospace; margin: .4em; white-space: pre-wrap; word-break: normal; "
            + "overflow-wrap: anywhere\">no answer says when it was given\nleft out: 2 results without a time</pre>\n",
            ((Groups<?, ?>) timeline).toHtml());
    }

    @Test void answersOfEarlierBatchesAreNotOfThisRun() {
        ask(2).submit().await();

        var more = ask(3).submit().results().timeline().toString();

        assertTrue(more.endsWith("\nleft out: 2 answers of earlier batches"), more);
    }

    @Test void ourOwnServerSaysTheTimeOfEachAnswerAtEachEndpoint() {
        for (var endpoint : List.of("/v1/chat/completions", "/v1/responses", "/v1/completions")) {
            var before = LocalDateTime.now().minusSeconds(1);
            var timeline = ask(1).endpoint(endpoint).submit().results().timeline();

            var at = timeline.keySet().iterator().next();
            assertTrue(at.isAfter(before) && !at.isAfter(LocalDateTime.now()), endpoint + " " + timeline);
        }
    }

    @Test void aNotebookHasTheSameBars() {
        var html = ((Groups<?, ?>) answered(0, 1)).toHtml();

        assertTrue(html.contains("<title>13:30:01: 1 (50.0%)</title>"), html);
        assertTrue(html.contains(">from 2026-03-01 13:30:00 to 13:30:01, by the provider&#39;s clock; a bar is 1 "
            + "second</pre>"), html);
    }

    /** Returns the timeline of answers that were given so many seconds after the start. */
    private Map<LocalDateTime, Long> answered(int... seconds) {
        var times = IntStream.of(seconds).mapToLong(second ->
            START.plusSeconds(second).atZone(ZoneId.systemDefault()).toEpochSecond()).toArray();
        server.rewrite(lines -> IntStream.range(0, lines.size()).mapToObj(i ->
            lines.get(i).replaceFirst("\"created\":\\d+", "\"created\":" + times[i])).toList());
        return ask(seconds.length).name("n" + seconds.length + "-" + seconds[seconds.length - 1]).submit().results()
            .timeline();
    }

    private static LocalDateTime at(String time) { return LocalDateTime.parse("2026-03-01T" + time); }

    private Draft ask(int rows) {
        return batch().provider(Provider.of(server.baseUrl())).quiet().model("echo").prompts("row {{n}}",
            rows(IntStream.range(0, rows).mapToObj(n -> Map.of("n", n)).toList()));
    }
}
