package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDate;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import sheaf.Prices.Price;
import sheaf.Vocabulary.Usage;
import sheaf.support.Project;

/** What a model costs: by the table that comes along, by the user's own, and by a draft. */
class PricesTest {
    @TempDir Path dir;

    @AfterEach void noOwnTable() { System.clearProperty("SHEAF_PRICES"); }

    @Test void aMillionTokensInABatchCostWhatTheTableSays() {
        var price = Prices.of("openai", "gpt-4.1-mini").orElseThrow();

        assertEquals(0.2, price.of(new Usage(1_000_000, 0, 0, 0), true), 1e-9);
        assertEquals(0.8, price.of(new Usage(0, 1_000_000, 0, 0), true), 1e-9);
        assertEquals(2.0, price.of(new Usage(1_000_000, 1_000_000, 0, 0), false), 1e-9);
        assertEquals("https://platform.openai.com/docs/pricing, 2025-07-04", price.source());
    }

    @Test void cachedInputIsAPartOfTheInputAndHasItsDiscount() {
        var price = Prices.of("openai", "gpt-5").orElseThrow();

        assertEquals(0.125, price.of(new Usage(1_000_000, 0, 1_000_000, 0), false), 1e-9);
        assertEquals(0.0625, price.of(new Usage(1_000_000, 0, 1_000_000, 0), true), 1e-9);
        assertEquals(1.0, Prices.of("openai", "gpt-4.1").orElseThrow()
            .of(new Usage(1_000_000, 0, 1_000_000, 0), true), 1e-9, "no discount is known in a batch");
    }

    @Test void whereNobodySaysWhatABatchCostsItIsNotHeldToBeCheaper() {
        var price = Prices.of("xai", "grok-3").orElseThrow();

        assertTrue(!price.saysBatch());
        assertEquals(price.of(new Usage(10, 10, 0, 0), false), price.of(new Usage(10, 10, 0, 0), true));
    }

    @ParameterizedTest(name = "{0} {1} costs {2}")
    @CsvSource({"openai,gpt-4o,2.5", "openai,gpt-4o-2024-08-06,2.5", "openai,gpt-4o-2024-05-13,5",
        "openai,GPT-4o,2.5", "api.anthropic.com,claude-haiku-4-5-20251001,1", "anthropic,claude-haiku-4-5,1",
        "generativelanguage.googleapis.com/v1beta/openai,gemini-2.5-flash-001,0.3", "api.x.ai,grok-3,3",
        "groq,openai/gpt-oss-20b,0.075", "deepinfra,openai/gpt-oss-20b,0.03"})
    void namesMatchByModelAndByADatedRelease(String provider, String model, double input) {
        assertEquals(input, Prices.of(provider, model).orElseThrow().here().input());
    }

    @ParameterizedTest(name = "{0} {1} has no price")
    @CsvSource({"openai,gpt-4o-audio-preview", "openai,ft:gpt-4o-2024-08-06:me::1", "openai,gpt-4o-2", "groq,gpt-4o",
        "local,gpt-4o", "openai,llama-3.1-8b-instant", "openai,gpt-4.1-mini-0125"})
    void whatIsNotKnownHasNoPrice(String provider, String model) {
        assertEquals(Optional.empty(), Prices.of(provider, model));
    }

    @Test void aTableOfTheUsersOwnGoesFirst() throws IOException {
        table("provider,model,input,output\nopenai,gpt-4o,1,2\n,mine,3,4\n");

        assertEquals(1, input("openai", "gpt-4o"));
        assertEquals(1, input("openai", "gpt-4o-2024-08-06"));
        assertEquals(0.15, input("openai", "gpt-4o-mini"), "what it lacks is known as ever");
        assertEquals(3, input("local", "mine"), "no provider is any");
        assertEquals("SHEAF_PRICES=" + dir.resolve("mine.csv"), Prices.of("any", "mine").orElseThrow().source());
    }

    private static double input(String provider, String model) {
        return Prices.of(provider, model).orElseThrow().here().input();
    }

    private void table(String text) throws IOException {
        var file = Files.writeString(dir.resolve("mine.csv"), text);
        System.setProperty("SHEAF_PRICES", file.toString());
    }

    @Test void whatIsWrongWithATableIsSaidWithItsPlace() throws IOException {
        var file = dir.resolve("mine.csv");

        table("model,input\na,1\n");
        assertFault(file + " has no column output (model, input); it needs model, input, output");
        table("model,input,output\na,1,2\nb,1,free\n");
        assertFault(file + " row 2: output \"free\" is no price; write dollars for a million tokens, such as 0.15");
        table("model,input,output\na,,2\n");
        assertFault(file + " row 1: input is empty; write dollars for a million tokens");
        table("model,input,output,currency\na,1,2,EUR\n");
        assertFault(file + " row 1: currency \"EUR\" is not USD; write dollars");
        Files.delete(file);
        assertFault("no file " + file + " (looked at " + file + ")");
    }

    private static void assertFault(String sentence) {
        var fault = assertThrows(IllegalArgumentException.class, () -> Prices.of("openai", "gpt-4o"));
        assertEquals("SHEAF_PRICES: " + sentence, fault.getMessage());
    }

    @Test void aPriceThatIsGivenIsOneOfDollars() {
        assertEquals(3.0, Price.given(1, 2).of(new Usage(1_000_000, 1_000_000, 0, 0), true), 1e-9);
        for (var wrong : List.of(-1.0, Double.NaN, Double.POSITIVE_INFINITY)) {
            var fault = assertThrows(IllegalArgumentException.class, () -> Price.given(wrong, 1));
            assertEquals("price: " + String.valueOf(wrong).replace(".0", "") + " and 1 are no dollars for a million tokens, in and out",
                fault.getMessage());
        }
    }

    /** Whoever reads the table is to be able to look up each line of it. */
    @Test void eachLineOfTheTableHasASourceAndADayAndStandsThereOnce() throws IOException {
        var keys = new HashSet<String>();
        try (var rows = Sheaf.csv(Project.root().resolve("data/prices.csv")).open()) {
            for (var row : rows.toList()) check(row, keys);
        }
        assertTrue(keys.size() > 50);
    }

    private static void check(Map<String, Object> row, HashSet<String> keys) {
        assertTrue(keys.add(row.get("provider") + " " + row.get("model")), row.toString());
        assertTrue(row.get("source").toString().matches("https://.+"), row.toString());
        assertTrue(!LocalDate.parse(row.get("date").toString()).isAfter(LocalDate.now()), row.toString());
        var price = Prices.of(row.get("provider").toString(), row.get("model").toString()).orElseThrow();
        assertTrue(price.here().input() > 0 && price.here().cached() <= price.here().input(), row.toString());
        if (price.saysBatch()) assertTrue(price.batch().input() < price.here().input(), row.toString());
    }
}
