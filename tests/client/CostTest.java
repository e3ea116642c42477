package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;
import static sheaf.Sheaf.template;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.OptionalDouble;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Findings.Cost;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Result;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Reply;
import sheaf.support.Printed;

/** What results have cost, by the tokens that the answers tell. Two words are two tokens in, and one is one out. */
class CostTest {
    @AutoClose final BatchServer server = BatchServer.start();
    @TempDir Path home;

    @BeforeEach void ownHome() {
        System.setProperty("SHEAF_HOME", home.toString());
        System.clearProperty("SHEAF_PRICES");
    }

    @AfterEach void stop() { System.clearProperty("SHEAF_PRICES"); }

    @Test void itPrintsAsATableByModel() throws IOException {
        prices("m,1000,2000,500,800\nbetter,10000,20000,,\n");

        var results = ask(3).model("m", "better").submit().results();

        long in = results.usage().input() / 2, out = results.usage().output() / 2;
        double small = (in * 500 + out * 800) / 1e6, large = (in * 10_000 + out * 20_000) / 1e6;
        assertEquals(small + large, results.cost().dollars().getAsDouble(), 1e-12);
        assertEquals(("""
            model   requests  tokens in  out  price
            ------  --------  ---------  ---  -------
            m       3         %-9d  %-3d  %s
            better  3         %-9d  %-3d  %s

            %s for 6 requests
            price: SHEAF_PRICES=%s
            price: SHEAF_PRICES=%8$s, of requests one by one, for nobody says what a batch costs""").formatted(in, out,
                Messages.dollars(small), in, out, Messages.dollars(large), Messages.dollars(small + large),
                home.resolve("prices.csv")),
            results.cost().toString());
        assertEquals(results.cost() + "\n", Printed.stdout(results.cost()::show));
        assertTrue(results.cost().toHtml().contains("<table"), results.cost().toHtml());
    }

    @Test void templatesHaveLinesOfTheirOwnAndAFilterCountsWhatItLeft() {
        var results = batch().provider(here()).quiet().model("m").price(0, 1_000_000)
            .prompts(List.of(template("loud", "{{value}}!"), template("shy", "{{value}}?")), letters(2)).submit()
            .results();

        assertEquals(List.of("loud", "shy"), results.cost().models().stream().map(Findings.ModelCost::template)
            .toList());
        assertTrue(results.cost().toString().startsWith("model  template  requests  tokens in  out  price"),
            results.cost().toString());
        assertEquals(results.cost().dollars().getAsDouble() / 2,
            results.by(Result::template).get("shy").cost().dollars().getAsDouble(), 1e-9);
    }

    @Test void thePriceOfTheDraftIsKnownToALaterProcess() throws IOException {
        ask(2).price(0, 1_000_000).submit().results();
        var later = Sheaf.batch("letters").results();

        assertEquals(later.usage().output(), later.cost().dollars().getAsDouble());
        assertEquals("[0.0,1000000.0]", manifest().path("price").toString());

        ask(2).price(0, 2_000_000).submit();
        assertEquals(2.0 * later.usage().output(), Sheaf.batch("letters").results().cost().dollars().getAsDouble());
        ask(2).submit();
        assertEquals(2.0 * later.usage().output(), Sheaf.batch("letters").results().cost().dollars().getAsDouble());
    }

    @Test void aPriceDoesNotChangeWhatABatchIs() throws IOException {
        ask(2).submit().results();
        var before = manifest();
        ask(2).price(1, 2).submit().results();

        assertFalse(before.has("price"), before.toString());
        assertEquals(before.path("digest"), manifest().path("digest"));
        assertEquals(1, server.requests().stream().filter(call -> call.equals("POST /v1/batches")).count());
    }

    @Test void withoutAPriceItSaysSoAndIsNotZero() {
        var cost = ask(2).submit().results().cost();

        assertEquals(OptionalDouble.empty(), cost.dollars());
        assertEquals(List.of(OptionalDouble.empty()), cost.models().stream().map(Findings.ModelCost::dollars).toList());
        assertTrue(cost.toString().endsWith("""

            no price on this machine for 2 requests
            price: a server on this machine asks none; price(in, out) or SHEAF_PRICES gives one"""), cost.toString());
    }

    @Test void elsewhereItNamesTheModelsThatHaveNone() {
        var elsewhere = Provider.of(server.baseUrl().replace("127.0.0.1", "[::ffff:127.0.0.1]"))
            .header("Authorization", "Bearer k");

        var cost = ask(2).provider(elsewhere).submit().results().cost();

        assertTrue(cost.toString().endsWith("""

            price unknown for 2 requests
            price: none is known for m; price(in, out) or SHEAF_PRICES gives one"""), cost.toString());
    }

    @Test void answersThatTellNoTokensAreNotZero() {
        server.rewrite(lines -> lines.stream().map(line -> line.contains("request-1\"")
            ? line.replace("\"usage\"", "\"none\"") : line).toList());

        var results = ask(2).price(0, 1_000_000).submit().results();
        var cost = results.cost();

        assertEquals(OptionalDouble.empty(), cost.dollars());
        assertEquals(1, cost.models().get(0).unmeasured());
        assertTrue(cost.toString().contains("over $" + cost.models().get(0).usage().output() + ".00"), cost.toString());
        assertTrue(cost.toString().contains("\nmore than $" + cost.models().get(0).usage().output()
            + ".00 for 2 requests\n"), cost.toString());
        assertTrue(cost.toString().endsWith("\ntokens: 1 request may be paid and tells none, so what it cost is not "
            + "counted"), cost.toString());

        var none = results.by(Result::customId).get("request-1").cost();
        assertTrue(none.toString().contains("m      1         ?          ?    ?"), none.toString());
        assertTrue(none.toString().contains("price unknown for 1 request\ntokens: 1 request"), none.toString());
    }

    @Test void whatWasSentAgainCountsEachTimeAndWhatBrokeNothing() {
        var calls = new AtomicInteger();
        var hasBroken = new AtomicBoolean();
        server.answer(body -> {
            boolean isFirst = body.path("messages").size() < 3;
            calls.incrementAndGet();
            boolean breaks = body.toString().contains("letter 2") && !hasBroken.getAndSet(true);
            if (breaks) return Reply.error(500, "x", "broke");
            return Reply.text(isFirst && body.toString().contains("letter 1") ? "z" : "a");
        });

        var results = ask(2).price(0, 1_000_000).choice("a", "b").repair(3).submit().results();

        assertEquals(2, results.succeeded().size());
        assertEquals(4, calls.get(), "an unfit one and a broken one, each sent once more");
        assertEquals(3, results.cost().models().get(0).requests());
        assertEquals(results.usage().output(), results.cost().dollars().getAsDouble());
        assertTrue(results.usage().output() > 0);
    }

    @Test void aRepeatThatWasNotSentCostsNothing() {
        var once = batch().provider(here()).quiet().model("m").price(0, 1_000_000).distinct()
            .prompts("{{value}}", rows("one", "one", "one", "two")).submit().results();

        assertEquals(2, once.cost().models().get(0).requests());
        assertEquals(once.usage().output(), once.cost().dollars().getAsDouble());
    }

    @Test void aSampleCountsAtThePriceOfSingleRequestsAlsoInTheBatchThatTakesItOver() throws IOException {
        prices("m,0,2000000,0,1000000\n");
        var sample = ask(4).sample(2);
        long out = sample.usage().output() / 2;
        assertEquals(2 * 2.0 * out, sample.cost().dollars().getAsDouble());

        var all = ask(4).submit().results();

        assertEquals(2 * 2.0 * out + 2 * out, all.cost().dollars().getAsDouble());
        assertEquals(4, all.cost().models().get(0).requests());
        assertEquals(0, all.cost().before());
    }

    @Test void aPriceThatIsGivenAfterTheSampleIsItsPriceToo() {
        ask(4).sample(2);

        var all = ask(4).price(0, 1_000_000).submit().results();

        assertEquals(all.usage().output(), all.cost().dollars().getAsDouble());
    }

    @Test void whatEarlierBatchesHadAnsweredStandsApart() {
        ask(2).price(0, 1_000_000).submit().results();
        var all = ask(3).price(0, 1_000_000).submit().results();
        long each = all.usage().output() / 3;

        assertEquals(each, all.cost().dollars().getAsDouble());
        assertEquals(new Cost(all.cost().models(), List.of("price(0, 1000000)"), 2, OptionalDouble.of(2 * each)),
            all.cost());
        assertTrue(all.cost().toString().endsWith("\nbefore: 2 answers of earlier batches, paid there with $" + 2 * each
            + ".00 and not counted here"), all.cost().toString());
        assertEquals("nothing was paid\nbefore: 1 answer of earlier batches, paid there with $" + each
            + ".00 and not counted here", all.by(Result::customId).get("request-1").cost().toString());
    }

    @Test void theReportOfARunHasTheDollarsThatAreKnown() {
        ask(2).submit().results().toReport(home.resolve("unknown.json"));
        ask(3).price(0, 1_000_000).submit().results().toReport(home.resolve("known.json"));

        var unknown = Json.read(home.resolve("unknown.json"), JsonNode.class);
        var known = Json.read(home.resolve("known.json"), JsonNode.class);
        assertFalse(unknown.has("dollars") || unknown.at("/cost/0").has("dollars"), unknown.toString());
        assertEquals(List.of("m", "2"), List.of(unknown.at("/cost/0/model").asText(),
            unknown.at("/cost/0/paid").asText()));
        assertEquals(List.of(known.at("/tokens/output").asDouble(), known.at("/tokens/output").asDouble()),
            List.of(known.path("dollars").asDouble(), known.at("/cost/0/dollars").asDouble()));
        assertFalse(known.has("dollarsBefore"), "those of before had no price");
    }

    Draft ask(int letters) {
        return batch().provider(here()).quiet().name("letters").model("m").prompts("{{value}}", letters(letters));
    }

    static Sheaf.Data letters(int many) {
        return rows(IntStream.rangeClosed(1, many).mapToObj(i -> "letter " + i).toList());
    }

    Provider here() { return Provider.of(server.baseUrl()); }

    void prices(String lines) throws IOException {
        var file = home.resolve("prices.csv");
        Files.writeString(file, "model,input,output,batch_input,batch_output\n" + lines);
        System.setProperty("SHEAF_PRICES", file.toString());
    }

    JsonNode manifest() throws IOException {
        try (var files = Files.walk(home)) {
            var file = files.filter(path -> path.endsWith("draft.json")).findFirst().orElseThrow();
            return Json.read(file, JsonNode.class);
        }
    }
}
