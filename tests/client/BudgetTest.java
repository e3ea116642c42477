package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Vocabulary.Outcome;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Reply;
import sheaf.support.Printed;

/** Nothing is sent that could cost more than the draft may. A token out is a dollar here, and one in is free. */
class BudgetTest {
    @AutoClose final BatchServer server = BatchServer.start();
    @TempDir Path home;

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

    @Test void whatFitsIsSentAndWhatCouldPassIsRefusedWithWhatFits() {
        assertEquals(3, ask(3).budget(30).submit().results().succeeded().size());

        assertRefused("budget: 5 requests may cost $50.00, and $49.00 is given; the first 4 rows fit, by limit(4) of "
            + "the data", ask(5).name("other").budget(49));
        assertRefused("budget: 1 request may cost $10.00, and $9.99 is given; not even the first row fits",
            ask(1).name("third").budget(9.99));
        assertRefused("budget: 2 requests may cost $20.00, and $10.00 is given; the first 1 fit",
            batch().model("m").maxTokens(10).price(0, 1_000_000).provider(here()).prompts("a", "b").quiet().budget(10));
    }

    /** Whatever the tokenizer: no more tokens than bytes. */
    @Test void promptsOfAModelThatNobodyKnowsCountByTheirBytes() {
        assertRefused("budget: 1 request may cost $69.00, and $68.00 is given; not even the first row fits",
            ask(1).price(1_000_000, 0).budget(68));
        assertEquals(1, ask(1).price(1_000_000, 0).budget(69).submit().results().size());
    }

    @Test void withoutAPriceOrALimitNothingIsSent() {
        assertRefused("budget: no price is known for m at local; price(in, out) or SHEAF_PRICES gives one",
            unpriced(1).maxTokens(10).budget(5));
        assertRefused("budget: 2 answers of m may be of any length; maxTokens(...) limits them",
            unpriced(2).price(0, 1).budget(5));
        assertRefused("budget: what images, hosted tools and other parts that are no text cost only the provider "
            + "knows; leave out "
            + "budget(...)", ask(1).image("https://example.com/a.png").budget(99));
        for (var wrong : List.of(0.0, -1.0, Double.NaN)) {
            var fault = assertThrows(IllegalArgumentException.class, () -> ask(1).budget(wrong));
            assertEquals("budget: " + String.valueOf(wrong).replace(".0", "") + " is no amount of dollars",
                fault.getMessage());
        }
    }

    @Test void whatCameCountsAsItWasAndNotAsItMightHaveBeen() {
        var first = ask(3).budget(30).submit().results();
        long spent = first.usage().output();

        assertEquals(5, ask(5).budget(spent + 20).submit().results().size());
        assertRefused("budget: 1 request may cost $10.00, $" + (5 * spent / 3) + ".00 is spent or under way as letters"
            + ", and $" + (5 * spent / 3 + 9) + ".00 is given; the first 5 rows fit, by limit(5) of the data",
            ask(6).budget(5 * spent / 3 + 9));
    }

    @Test void whatIsUnderWayCountsAsTheMostThatItMayBe() {
        server.pause();
        var going = ask(2).budget(30).submit();

        assertRefused("budget: 2 requests may cost $20.00, $20.00 is spent or under way as letters, and $39.00 is given"
            + "; the first row fits, by limit(1) of the data", ask(2).with("seed", 1).budget(39));
        server.resume();
        going.await();
        assertRefused("budget: 2 requests may cost $20.00, $20.00 is spent or under way as letters, and $39.00 is given"
            + "; the first row fits, by limit(1) of the data", ask(2).with("seed", 1).budget(39));
        going.results();
        assertEquals(2, ask(2).with("seed", 1).budget(39).submit().results().size(), "now it is known");
    }

    @Test void theSameScriptRunAgainSendsNothingAndIsNotRefused() {
        ask(3).budget(30).submit().results();

        assertEquals(3, ask(3).budget(0.01).submit().results().succeeded().size());
    }

    @Test void aRepairThatCouldPassItIsNotSentAndWhatCameStays() {
        var calls = new AtomicInteger();
        server.answer(body -> {
            calls.incrementAndGet();
            return body.at("/messages/0/content").asText().contains("1") ? Reply.error(500, "x", "broke")
                : Reply.text("word ".repeat(15));
        });

        var said = Printed.stderr(() -> assertEquals(Map.of(Outcome.SUCCEEDED, 2L, Outcome.ERRORED, 1L),
            loud(3).repair(2).budget(30).submit().results().counts()));

        assertEquals(3, calls.get());
        assertTrue(said.contains("repair: budget: 1 request may cost $10.00, $30.00 is spent or under way as letters, "
            + "and $30.00 is given; none fits\n"), said);
        assertEquals(3, loud(3).quiet().repair(2).budget(41).submit().results().size());
        assertEquals(5, calls.get(), "what broke cost nothing, so both rounds fit");
    }

    @Test void twoDraftsOfANameShareItAndOthersDoNot() {
        server.pause();
        ask(2).budget(20).submit();

        assertThrows(IllegalStateException.class, () -> ask(2).with("seed", 1).budget(20).submit());
        ask(2).name("others").budget(20).submit();
    }

    @Test void aRetryOfItsOwnNameHasABudgetOfItsOwn() {
        server.answer(body -> Reply.error(500, "x", "broke"));
        var broken = ask(2).submit().results();
        server.pause();
        broken.retry().name("again").quiet().maxTokens(10).price(0, 1_000_000).budget(20).submit();

        assertRefused("budget: 2 requests may cost $20.00, $20.00 is spent or under way as again, and $39.00 is given"
            + "; the first 1 fit", broken.retry().name("again").quiet().maxTokens(10).with("seed", 1)
                .price(0, 1_000_000).budget(39));
    }

    @Test void whatAServerHereHasTriedOutCostsNothingElsewhere() {
        ask(1).submit().results();
        var elsewhere = Provider.of(server.baseUrl().replace("127.0.0.1", "[::ffff:127.0.0.1]"))
            .header("Authorization", "Bearer k");

        assertRefused("budget: 1 request may cost $10.00, and $9.00 is given; not even the first row fits",
            ask(1).with("seed", 1).provider(elsewhere).budget(9));
    }

    private void assertRefused(String sentence, Draft draft) {
        long before = posts();
        assertEquals(sentence, assertThrows(IllegalStateException.class, draft::submit).getMessage());
        assertEquals(before, posts());
    }

    private long posts() { return server.requests().stream().filter(request -> request.startsWith("POST")).count(); }

    private Provider here() { return Provider.of(server.baseUrl()); }

    private Draft ask(int rows) { return loud(rows).quiet(); }

    private Draft loud(int rows) { return unpriced(rows).price(0, 1_000_000).maxTokens(10); }

    private Draft unpriced(int rows) {
        return batch().model("m").provider(here()).name("letters").prompts("{{value}}",
            rows(IntStream.rangeClosed(1, rows).mapToObj(String::valueOf).toList()));
    }
}
