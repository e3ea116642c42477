package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.compare;
import static sheaf.Sheaf.rows;
import static sheaf.Sheaf.template;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Findings.Change;
import sheaf.Findings.Share;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Result;
import sheaf.Sheaf.Results;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Reply;
import sheaf.support.Printed;

/** Two results of the same rows, beside each other. The rows say what is right: even numbers are yes. */
class CompareTest {
    @AutoClose final BatchServer server = BatchServer.start().answer(body -> {
        int number = Integer.parseInt(body.at("/messages/0/content").asText().replaceAll("\\D", ""));
        if (body.path("model").asText().equals("large")) return Reply.text(number % 2 == 0 ? "Yes." : "No");
        return number == 4 ? Reply.error(500, "x", "broke") : Reply.text("yes");
    });
    @TempDir Path home;

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

    @AfterEach void stop() { System.clearProperty("SHEAF_PRICES"); }

    @Test void itTellsWhatDiffersWhoWinsAndAtWhatPrice() throws IOException {
        var prices = home.resolve("prices.csv");
        Files.writeString(prices, "model,input,output\nsmall,0,1000000\nlarge,0,3000000\n");
        System.setProperty("SHEAF_PRICES", prices.toString());
        var models = ask(4).model("small", "large").submit().results().by(Result::model);

        var comparison = compare(models.get("small"), models.get("large"), "even");

        assertEquals("""
            id         right  small      large
            ---------  -----  ---------  -----
            request-1  no     yes        No
            request-5  no     yes        No
            request-7  yes    (errored)  Yes.

            the same answer: 0.250 (95%: 0.046 to 0.699), 1 of 4
            small: right: 0.250 (95%: 0.046 to 0.699), 1 of 4; $3.00
            large: right: 1.000 (95%: 0.510 to 1.000), 4 of 4; $12.00
            large wins for $9.00 more: it alone is right in 3 rows, small alone in 0, which may be chance""",
            comparison.toString());
        assertEquals(Optional.of("large"), comparison.winner().map(Findings.Side::name));
        assertFalse(comparison.isSure());
        assertEquals(comparison + "\n", Printed.stdout(comparison::show));
        assertTrue(comparison.toHtml().contains(">(errored)<"), comparison.toHtml());
        assertTrue(compare(models.get("large"), models.get("small"), "even").toString().contains(
            "\nlarge wins for $9.00 more: it alone"));
    }

    @Test void manyRowsTellItSurelyAndNotAllAreShown() {
        var models = ask(60).model("small", "large").submit().results().by(Result::model);

        var comparison = compare(models.get("small"), models.get("large"), "even");

        assertEquals(31, comparison.changes().size());
        assertTrue(comparison.isSure());
        assertTrue(comparison.toString().contains("\nand 11 more rows with other answers\nthe same answer: "),
            comparison.toString());
        assertTrue(comparison.toString().endsWith("large wins: it alone is right in 31 rows, small alone in 0"),
            comparison.toString());
    }

    @Test void withoutAColumnNobodyWins() {
        var comparison = compare(ask(2).model("small").submit().results(), ask(2).model("large").submit().results());

        assertEquals(List.of(new Change("request-1", "yes", "No", "")), comparison.changes());
        assertEquals(new Share(1, 2), comparison.agreement());
        assertEquals(Optional.empty(), comparison.winner());
        assertFalse(comparison.toString().contains("win"), comparison.toString());
    }

    @Test void whoeverIsRightInTheSameRowsDoesNotWin() {
        var large = ask(2).model("large").submit().results();
        var said = compare(large, large, "even").toString();

        assertTrue(said.startsWith("the same answer: 1.000 (95%: 0.342 to 1.000), 2 of 2\n"
            + "the first: right: 1.000"), said);
        assertTrue(said.endsWith("\nneither wins: where one is right, so is the other"));
    }

    @Test void rowsAreKnownByWhatTheyHoldAndNotByTheirPlace() {
        var rows = numbers(4);
        var some = draft(rows.subList(1, 4)).model("large").submit().results();
        Collections.reverse(rows);

        var comparison = compare(draft(rows).name("reversed").model("large").submit().results(), some);

        assertEquals(new Share(3, 3), comparison.agreement());
        assertTrue(comparison.toString().contains("\nleft out: 1 result of a row that only one has\n"),
            comparison.toString());
    }

    @Test void templatesAreComparedToo() {
        var templates = batch().provider(here()).quiet().model("small").prompts(List.of(template("plain", "{{n}}"),
            template("ten", "1{{n}}")), rows(Map.of("n", 4), Map.of("n", 5))).submit().results().by(Result::template);

        var comparison = compare(templates.get("plain"), templates.get("ten"));

        assertEquals(List.of("plain", "ten"), List.of(comparison.first().name(), comparison.second().name()));
        assertEquals(List.of(new Change("request-1", "(errored)", "yes", "")), comparison.changes());
    }

    @Test void promptsWithoutRowsAreKnownByTheirText() {
        Results one = batch().provider(here()).quiet().model("small").prompts("1", "2", "2").submit().results();
        Results other = batch().provider(here()).quiet().model("large").prompts("2", "1", "2").submit().results();

        assertEquals(new Share(2, 3), compare(one, other).agreement());
    }

    @Test void aFaultIsSaid() {
        var one = ask(1).model("small").submit().results();
        var other = draft(numbers(3).subList(1, 3)).model("large").submit().results();

        assertEquals("compare: small and large have no row in common; both are to be of the same data",
            assertThrows(IllegalStateException.class, () -> compare(one, other)).getMessage());
        assertEquals("row: no column evn; it has: even, n",
            assertThrows(IllegalArgumentException.class, () -> compare(one, one, "evn")).getMessage());
    }

    Draft ask(int many) { return draft(numbers(many)); }

    Draft draft(List<Map<String, Object>> rows) {
        return batch().provider(here()).quiet().prompts("{{n}}", rows(rows));
    }

    static List<Map<String, Object>> numbers(int many) {
        return new ArrayList<>(IntStream.rangeClosed(1, many).mapToObj(n ->
            Map.<String, Object>of("n", n, "even", n % 2 == 0 ? "yes" : "no")).toList());
    }

    Provider here() { return Provider.of(server.baseUrl()); }
}
