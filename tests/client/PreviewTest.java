package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Vocabulary.Outcome;
import sheaf.Vocabulary.RequestCounts;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Reply;
import sheaf.support.Printed;

/** What a preview says that submitting would send, held against what submitting then does send. */
class PreviewTest {
    static final String HERE = "; no price on this machine";
    @AutoClose final BatchServer server = BatchServer.start();
    @TempDir Path home;

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

    @Test void itSaysWhatIsThenSent() {
        var preview = ask(30).preview(2);

        assertEquals(2, preview.lines().size());
        assertEquals("30 requests in 1 part; echo; about 381 tokens of prompts" + HERE, preview.summary());
        assertSent(ask(30));
    }

    @Test void ofAFewAnsweredBeforeTheRestIsSent() {
        ask(5).submit().results();

        assertEquals("30 requests (25 to send, 5 answered before) in 1 part; echo; about 321 tokens of prompts" + HERE,
            ask(30).preview(1).summary());
        assertSent(ask(30));
    }

    @Test void partsAreCutByTheLimitsAndByTheModel() {
        var limited = here().limits(4, 100_000_000);
        ask(5).submit().results();

        assertEquals("11 requests (6 to send, 5 answered before) in 2 parts; echo; about 74 tokens of prompts" + HERE,
            ask(11).provider(limited).preview(0).summary());
        assertSent(ask(11).provider(limited));

        var models = ask(3).model("small", "large").name("models");
        assertEquals("6 requests in 2 parts; small (3), large (3); about 72 tokens of prompts" + HERE,
            models.preview(0).summary());
        assertSent(models);
    }

    @Test void manyModelsOfTheRowsAreNotAllNamed() {
        var rows = rows(IntStream.rangeClosed(1, 7).mapToObj(n -> Map.of("m", "m" + n, "q", "Why?")).toList());

        assertEquals("7 requests in 7 parts; m1 (1), m2 (1), m3 (1), m4 (1), m5 (1) and 2 more models; about 56 tokens "
            + "of prompts" + HERE, batch().provider(here()).model("{{m}}").prompts("{{q}}", rows).preview(0).summary());
    }

    @Test void repeatsAreCountedAndPaid() {
        ask("a", "b").submit().results();

        assertEquals("5 requests (3 to send, 2 answered before, 2 repeats) in 1 part; echo; about 36 tokens of prompts"
            + HERE,
            ask("a", "a", "a", "b", "c").preview(0).summary());
        assertEquals("2 requests (1 repeat) in 1 part; echo; about 24 tokens of prompts" + HERE,
            ask("x", "x").preview(0).summary());
        assertSent(ask("a", "a", "a", "b", "c"));
    }

    @Test void whatIsInThisVeryBatchIsNotSentAgain() {
        server.pause();
        ask(3).submit();

        assertEquals("3 requests (0 to send, 3 submitted before)", ask(3).preview(0).summary());
        server.resume();
        ask(3).submit().results();
        assertEquals("3 requests (0 to send, 3 submitted before)", ask(3).preview(0).summary());
        assertEquals(0, ask(3).preview(0).estimate().toSend());
    }

    @Test void aBatchThatOnlyItsFileWasUploadedOfIsStillToBeSent() {
        ask(3).upload();

        assertEquals("3 requests in 1 part; echo; about 36 tokens of prompts" + HERE, ask(3).preview(0).summary());
        assertSent(ask(3));
    }

    @Test void whatAnEarlierBatchMayAnswerCountsAsSubmitted() {
        var two = here().limits(2, 100_000_000);
        server.pause();
        var earlier = ask("a", "b", "c").provider(two).submit();

        assertEquals("4 requests (1 to send, 3 submitted before) in 1 part; echo; about 12 tokens of prompts" + HERE,
            ask("a", "b", "c", "d").preview(0).summary());
        server.resume();
        earlier.await();
        assertEquals(3, ask("a", "b", "c", "d").preview(0).estimate().submitted(), "the answers are not here");
        earlier.results();
        assertEquals(3, ask("a", "b", "c", "d").preview(0).estimate().answered());
        assertSent(ask("a", "b", "c", "d"));
    }

    @Test void whatFailedIsSentAndWhatARepairAnsweredIsNot() {
        var refused = Collections.synchronizedList(new ArrayList<>(List.of("Which of these is b?",
            "Which of these is c?", "Which of these is c?")));
        server.answer(body -> refused.remove(body.at("/messages/0/content").asText())
            ? Reply.error(500, "x", "broke") : Reply.text("ok")).loseLine("request-1");
        var first = ask("a", "b", "c").submit().results();
        assertEquals(Map.of(Outcome.MISSING, 1L, Outcome.ERRORED, 2L), first.counts());

        assertEquals(2, ask("a", "b", "c", "d").preview(0).estimate().answered(), "well or not");
        first.retry().submit().results();

        var now = ask("a", "b", "c", "d").preview(0).estimate();
        assertEquals(now.answered(), ask("a", "b", "c", "d").submit().results().stream()
            .filter(result -> !result.row("value").equals("d")).count());
        assertEquals(1, now.toSend());
    }

    @Test void aRetryOfWhichNothingIsHereMayStillAnswer() {
        var expired = "{\"custom_id\":\"request-1\",\"response\":null,\"error\":{\"code\":\"batch_expired\"}}";
        server.rewrite(lines -> lines.stream().map(line -> line.contains("request-1\"") ? expired : line).toList());
        var first = ask("a", "b").submit().results();
        var before = ask("a", "b", "c").preview(0).estimate();
        server.pause();
        first.retry().submit();

        var now = ask("a", "b", "c").preview(0).estimate();

        assertEquals(List.of(1L, 0L, 2L), List.of(before.answered(), before.submitted(), before.toSend()));
        assertEquals(List.of(1L, 1L, 1L), List.of(now.answered(), now.submitted(), now.toSend()));
    }

    @Test void nothingIsSentOrKeptAndAServerHereIsOnlyAskedWhoItIs() throws IOException {
        var requests = server.requests().size();

        ask(3).preview(1);

        assertEquals(List.of("GET /v1/models"), server.requests().stream().skip(requests).toList());
        try (var kept = Files.list(home.resolve("batches"))) {
            assertEquals(List.of(), kept.toList());
        }
    }

    @Test void withoutAProviderNothingWasAnsweredBefore() {
        ask(2).submit().results();

        assertEquals("2 requests in 1 part; echo; about 24 tokens of prompts; no price is known for "
            + "echo", questions("1", "2").preview(0).summary());
    }

    @Test void aFaultOfALaterRowIsSaidBelowTheFirstLines() {
        var values = new ArrayList<Map<String, Object>>(Collections.nCopies(49, Map.of("value", "x")));
        values.add(Map.of("other", "x"));
        var draft = batch().provider(here()).model("echo").prompts("{{value}}", rows(values));
        var fault = "prompts: row 50 has no value for {{value}} (template line 1); it has: other";

        var preview = draft.preview(2);

        assertEquals(2, preview.lines().size());
        assertEquals(fault, preview.fault());
        assertTrue(preview.toString().endsWith("}}\n" + fault), preview.toString());
        assertEquals(fault, assertThrows(IllegalStateException.class, preview::estimate).getMessage());
        assertEquals(fault, assertThrows(IllegalArgumentException.class, () -> draft.preview(50)).getMessage());
    }

    @Test void theLinesGoToStdoutAndTheSummaryToStderr() {
        var preview = ask("a", "b").preview(1);
        var line = preview.lines().get(0);
        var err = new String[1];

        assertEquals(line + "\n", Printed.stdout(() -> err[0] = Printed.stderr(preview::show)));
        assertEquals(preview.summary() + "\n", err[0]);
        assertEquals(line + "\n" + preview.summary(), preview.toString());
        assertTrue(preview.toHtml().contains("echo; about 24 tokens of prompts" + HERE + "</pre>"), preview.toHtml());
    }

    @Test void aFileOfRequestsAndARetryAreCountedToo() throws IOException {
        var file = home.resolve("requests.jsonl");
        ask("a", "a", "b").toJsonl(file);
        server.loseLine("request-2");

        var draft = batch().provider(here()).requests(file);
        assertEquals("3 requests (1 repeat) in 1 part; echo; about 36 tokens of prompts" + HERE,
            draft.preview(1).summary());
        assertEquals("1 request in 1 part; echo; about 12 tokens of prompts" + HERE,
            draft.submit().results().retry().preview(1).summary());
    }

    /** Submits it, and holds what was said against the parts at the server. */
    private static void assertSent(Draft draft) {
        var estimate = draft.preview(0).estimate();
        var batch = draft.quiet().submit().await();
        var sent = batch.parts().stream().map(part -> part.requestCounts()).reduce(new RequestCounts(0, 0, 0),
            RequestCounts::plus);

        assertEquals(estimate.toSend(), sent.total());
        assertEquals(estimate.parts(), batch.parts().size());
        assertEquals(estimate.requests(), batch.results().size());
    }

    private Provider here() { return Provider.of(server.baseUrl()); }

    private Draft ask(int rows) {
        return ask(IntStream.rangeClosed(1, rows).mapToObj(String::valueOf).toArray(String[]::new));
    }

    private Draft ask(String... values) { return questions(values).provider(here()); }

    private static Draft questions(String... values) {
        return batch().model("echo").prompts("Which of these is {{value}}?", rows(List.of(values)));
    }
}
