package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import sheaf.Sheaf.Provider;
import sheaf.Vocabulary.Dialect;
import sheaf.Vocabulary.Limits;
import sheaf.server.BatchServer;
import sheaf.support.RawClient;

/** What a user's providers.json says counts as what Sheaf knows by itself. */
class OwnProviderTest {
    private static final String ACME = "{\"acme\": {\"base_url\": \"https://api.acme.example/v1\", "
        + "\"key_variable\": \"ACME_API_KEY\", \"requests\": 100, \"tokens\": 7, \"max_tokens_field\": \"max_tokens\", "
        + "\"mixed_models\": true, \"response_format\": false, \"upload_path\": \"/up\", \"purpose\": \"jobs\", "
        + "\"prices\": {\"acme-1\": {\"input\": 1, \"output\": 2, \"batch_input\": 0.5, \"batch_output\": 1}}}}";
    @TempDir Path home;

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

    @AfterEach void forget() {
        for (var name : new String[] {"ACME_API_KEY", "SHEAF_PROVIDER", "SHEAF_API_KEY", "GROQ_API_KEY"})
            System.setProperty(name, "");
    }

    private Path write(String json) throws IOException {
        return Files.writeString(home.resolve("providers.json"), json);
    }

    @Test void aProviderOfTheUsersHasItsLimitsItsMannersAndItsKey() throws IOException {
        write(ACME);
        var acme = Provider.named("Acme");

        assertEquals("https://api.acme.example/v1", acme.baseUrl());
        assertEquals("ACME_API_KEY", acme.keyVariable());
        assertEquals(new Limits(100, 100_000_000, Long.MAX_VALUE, 7), acme.limits());
        assertEquals(new Dialect(true, "max_tokens", "/up", "jobs", "", false), acme.dialect());
    }

    @Test void byItsUrlItIsTheSameOneSoThatABatchIsPaidOnceUnderWhateverName() throws IOException {
        var unnamed = Provider.of("https://api.acme.example/v1");
        write(ACME);

        assertEquals(Provider.named("acme"), Provider.of("https://api.acme.example/v1/"));
        assertEquals(unnamed.name(), Provider.named("acme").name());
    }

    @Test void theOnlyKeyThatIsSetMayBeIts() throws IOException {
        write(ACME);
        System.setProperty("ACME_API_KEY", "k");
        assertEquals("https://api.acme.example/v1", Provider.chosen().baseUrl());

        System.setProperty("ACME_API_KEY", "");
        System.setProperty("SHEAF_PROVIDER", "acme");
        assertEquals("ACME_API_KEY", Provider.chosen().keyVariable());
    }

    @Test void ofTwoWithOneKeyBothAreNamed() throws IOException {
        write("{\"acme\": {\"base_url\": \"https://acme.example/v1\"}, \"zeta\": {\"base_url\": "
            + "\"https://zeta.example/v1\"}}");
        System.setProperty("SHEAF_API_KEY", "k");

        var fault = assertThrows(IllegalStateException.class, Provider::chosen);
        assertEquals("provider: SHEAF_API_KEY is set, the key of acme and zeta; choose with provider(\"acme\") or "
            + "SHEAF_PROVIDER=acme", fault.getMessage());

        System.setProperty("GROQ_API_KEY", "k");
        fault = assertThrows(IllegalStateException.class, Provider::chosen);
        assertEquals("provider: GROQ_API_KEY and SHEAF_API_KEY are both set; choose with provider(\"groq\") or "
            + "SHEAF_PROVIDER=groq", fault.getMessage());
    }

    @Test void itsPricesCount() throws IOException {
        write(ACME);
        var here = Provider.named("acme");

        var estimate = batch().provider(here).model("acme-1").prompts("a b c").maxTokens(1_000_000).estimate();
        assertTrue(estimate.toString().contains("1.00"), estimate::toString);
        assertEquals(home.resolve("providers.json") + ": acme",
            Prices.of(here.name(), "acme-1").orElseThrow().source());
    }

    @Test void ofOneThatSheafKnowsOnlyWhatIsGivenIsOtherwise() throws IOException {
        write("{\"openai\": {\"tokens\": 2000000}, \"local\": {\"requests\": 2}}");

        assertEquals(Provider.OPENAI.queue(Long.MAX_VALUE, 2_000_000), Provider.named("openai"));
        assertEquals(2, Provider.named("local").limits().requests());
        assertEquals(50_000, Provider.of("http://localhost:8080/v1").limits().requests());
    }

    @Test void itsFilesHaveNoMoreRequestsThanItTakes() throws IOException {
        try (var server = BatchServer.start()) {
            write("{\"mine\": {\"base_url\": \"" + server.baseUrl() + "\", \"requests\": 2}}");

            var results = batch().provider("mine").model("echo").prompts("{{value}}", rows("a", "b", "c")).quiet()
                .submit().await().results();

            assertEquals(3, results.succeeded().size());
            var client = new RawClient(server::baseUrl);
            assertEquals(2, RawClient.json(client.get("/batches")).get("data").size());
        }
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "{\"a\": | it is no JSON in line 1 (Unexpected end-of-input within/between Object entries)",
        "[1] | it holds no object of providers by name",
        "{\"A b\": {}} | \"A b\" is no name; write small letters, digits, - and _",
        "{\"acme\": 1} | acme is no object; it may have base_url, key_variable, max_tokens_field, upload_path, "
            + "purpose, requests, bytes, batches, tokens, mixed_models, response_format, prices",
        "{\"acme\": {}} | acme has no base_url; write the one that OpenAI's clients would take",
        "{\"acme\": {\"base_ur\": \"x\"}} | acme has base_ur; did you mean base_url?",
        "{\"acme\": {\"requests\": 0}} | acme.requests is 0; write a whole number from 1 on",
        "{\"acme\": {\"mixed_models\": \"yes\"}} | acme.mixed_models is \"yes\"; write true or false",
        "{\"openai\": {\"base_url\": \"https://x/v1\"}} | openai.base_url is not https://api.openai.com/v1; give "
            + "another provider a name of its own"})
    void whatIsWrongIsSaidWithItsPlace(String json, String sentence) throws IOException {
        var file = write(json);

        var fault = assertThrows(IllegalArgumentException.class, () -> Provider.named("acme"));
        assertEquals("provider: " + file + ": " + sentence, fault.getMessage());
    }

    @Test void whereItIsNoJsonIsSaidByTheLine() throws IOException {
        var file = write("{\n  \"acme\": {\n    \"base_url\": \"https://x/v1\",\n  }\n}\n");

        var fault = assertThrows(IllegalArgumentException.class, () -> Provider.named("acme"));
        assertEquals("provider: " + file + ": it is no JSON in line 4 (Unexpected character ('}' (code 125)): was "
            + "expecting double-quote to start field name)", fault.getMessage());
    }

    @Test void aPriceThatIsNoneIsSaidWithItsPlace() throws IOException {
        var file = write(ACME.replace("\"output\": 2", "\"output\": \"free\""));

        var fault = assertThrows(IllegalArgumentException.class, () -> Prices.of("api.acme.example", "acme-1"));
        assertEquals("provider: " + file + ": acme.prices row 1: output \"free\" is no price; write dollars for a "
            + "million tokens, such as 0.15", fault.getMessage());
    }
}
