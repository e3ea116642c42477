package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.OptionalLong;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.server.BatchServer;
import sheaf.support.Printed;

/** What a draft would cost, before anything is sent. */
class EstimateTest {
    @AutoClose final BatchServer server = BatchServer.start();
    @TempDir Path home;

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

    @Test void itPrintsAsATableThatSaysWhatItIsMadeOf() {
        var estimate = draft("gpt-4.1-mini", 30).maxTokens(100).provider(Provider.OPENAI).estimate();

        assertEquals("""
            model         requests  tokens in  most out  price in   price at most
            ------------  --------  ---------  --------  ---------  -------------
            gpt-4.1-mini  30        420        3,000     $0.000084  $0.0025

            30 requests in 1 part; up to $0.0025
            tokens: o200k_base
            price: https://platform.openai.com/docs/pricing, 2025-07-04""", estimate.toString());
        assertEquals(420 * 0.2e-6 + 3000 * 0.8e-6, estimate.mostDollars().getAsDouble(), 1e-12);
        assertEquals(420 * 0.2e-6, estimate.inputDollars().getAsDouble(), 1e-12);
        assertEquals("30 requests in 1 part; gpt-4.1-mini; about 420 tokens of prompts; up to $0.0025",
            estimate.summary());
        assertEquals(estimate + "\n", Printed.stdout(estimate::show));
    }

    @Test void whatIsNotKnownHasNoNumberAndIsSaid() {
        var estimate = draft("llama-9", 2).provider(Provider.GROQ).estimate();

        assertEquals("""
            model    requests  tokens in  most out  price in  price at most
            -------  --------  ---------  --------  --------  -------------
            llama-9  2         28         no limit  ?         ?

            2 requests in 1 part; no price is known for llama-9
            tokens: o200k_base, which is assumed of llama-9
            price: none is known for llama-9; price(in, out) or SHEAF_PRICES gives one
            most out: the answers have no limit; maxTokens(...) sets one""", estimate.toString());
        assertEquals(OptionalDouble.empty(), estimate.mostDollars());
        assertEquals(OptionalLong.empty(), estimate.models().get(0).mostOutput());
    }

    @Test void aModelOnThisMachineHasNotThePriceOfItsNameElsewhere() {
        var here = draft("gpt-4.1-mini", 2).maxTokens(100).provider(Provider.of(server.baseUrl()));

        assertEquals("""
            model         requests  tokens in  most out  price in  price at most
            ------------  --------  ---------  --------  --------  -------------
            gpt-4.1-mini  2         28         200       ?         ?

            2 requests in 1 part; no price on this machine
            tokens: o200k_base
            price: a server on this machine asks none; price(in, out) or SHEAF_PRICES gives one""",
            here.estimate().toString());
        assertEquals("2 requests in 1 part; gpt-4.1-mini; about 28 tokens of prompts; no price on this machine",
            here.estimate().summary());
        assertEquals("2 requests in 1 part; up to $0.00020", here.price(0, 1).estimate().toString().lines().toList()
            .get(4));
    }

    @Test void aPriceThatIsGivenGoesFirst() {
        var estimate = draft("gpt-4.1-mini", 1).maxTokens(1_000_000).provider(Provider.OPENAI).price(0, 3).estimate();

        assertEquals(3, estimate.mostDollars().getAsDouble(), 1e-9);
        assertTrue(estimate.toString().endsWith("price: price(0, 3)"), estimate.toString());
    }

    @Test void answersWithoutALimitHaveThePriceOfTheirPromptsAlone() {
        assertEquals("1 request in 1 part; gpt-4.1-mini; about 14 tokens of prompts; $0.0000028 and what the answers "
            + "cost, which have no limit", draft("gpt-4.1-mini", 1).provider(Provider.OPENAI).estimate().summary());
    }

    @Test void aPriceOfRequestsOneByOneIsSaidToBeOne() {
        var estimate = draft("meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo", 1).maxTokens(1)
            .provider(Provider.TOGETHER).estimate();

        assertTrue(estimate.toString().contains("price: https://www.together.ai/pricing, 2025-07-03, of requests one "
            + "by one, for nobody says what a batch costs"), estimate.toString());
    }

    @Test void eachModelHasItsOwnPrice() {
        var estimate = draft("gpt-4.1-mini", 2).model("gpt-4.1-mini", "gpt-4.1").maxTokens(10)
            .provider(Provider.OPENAI).estimate();

        assertEquals(List.of("gpt-4.1-mini", "gpt-4.1"), estimate.models().stream().map(model -> model.model())
            .toList());
        assertEquals(2 * (14 * 0.2e-6 + 10 * 0.8e-6) + 2 * (14 * 1e-6 + 10 * 4e-6),
            estimate.mostDollars().getAsDouble(), 1e-12);
        assertEquals(2, estimate.parts(), "openai takes one model a file");
    }

    @Test void anImageIsToldAndMakesThePriceUnknown() {
        var estimate = batch().model("gpt-4.1-mini").maxTokens(5).provider(Provider.OPENAI)
            .prompts("What is this?", rows(Map.of("url", "https://example.com/a.png"))).image("{{url}}").estimate();

        assertEquals(OptionalDouble.empty(), estimate.mostDollars());
        assertTrue(estimate.toString().contains("tokens: 1 image or other part that is no text has tokens that only "
            + "the provider counts"), estimate.toString());
    }

    @Test void repeatsAreToldWithWhatOnceWouldSave() {
        var twice = batch().model("gpt-4.1-mini").maxTokens(1_000_000).provider(Provider.OPENAI)
            .prompts("Which of these is {{value}}?", rows(List.of("1", "2", "1")));

        assertTrue(twice.estimate().toString().endsWith("repeats: each is paid for an answer of its own; if one "
            + "answer would do for all, distinct() sends each once, which saves up to $0.80"), twice.estimate().toString());
        assertEquals(3, twice.estimate().toSend());
        assertEquals(2, twice.distinct().estimate().toSend());
        assertEquals("3 requests (2 to send, 1 repeat left out) in 1 part; gpt-4.1-mini; about 28 tokens of prompts; "
            + "up to $1.60", twice.distinct().estimate().summary());
    }

    @Test void whatWasAnsweredBeforeCostsNothing() {
        var here = Provider.of(server.baseUrl());
        draft("echo", 3).provider(here).quiet().submit().results();

        var estimate = draft("echo", 4).provider(here).maxTokens(5).estimate();
        assertEquals(0, estimate.answered(), "another limit is another request");
        var same = draft("echo", 4).provider(here).price(1_000_000, 0).with("temperature", 1).estimate();
        assertEquals(4, same.toSend());
        assertEquals(1, draft("echo", 4).provider(here).estimate().toSend());
        assertEquals("3 requests (0 to send, 3 submitted before)",
            draft("echo", 3).provider(here).estimate().toString());
    }

    @Test void aFaultyRowIsAFaultAndNotAnEstimate() {
        var faulty = batch().model("m").provider(Provider.OPENAI)
            .prompts("{{a}}", rows(List.of(Map.of("a", "x"), Map.of("b", "y"))));

        assertThrows(IllegalArgumentException.class, faulty::estimate);
    }

    @Test void amountsAreReadable() {
        assertEquals(List.of("$0.00", "$0.0000028", "$0.0073", "$0.099", "$0.10", "$1,204.50"),
            IntStream.range(0, 6).mapToObj(i -> Messages.dollars(new double[] {0, 2.8e-6, 0.0073, 0.099, 0.1,
                1204.5}[i])).toList());
    }

    private static Draft draft(String model, int rows) {
        return batch().model(model).prompts("Which of these is {{value}}?",
            rows(IntStream.rangeClosed(1, rows).mapToObj(String::valueOf).toList()));
    }
}
