package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.net.BindException;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import sheaf.Sheaf.Provider;

class ProviderTest {
    static final List<String> SETTINGS = List.of("SHEAF_PROVIDER", "OPENAI_BASE_URL", "OPENAI_API_KEY", "GROQ_API_KEY",
        "NEBIUS_API_KEY", "SHEAF_API_KEY");

    @AfterEach void forget() { SETTINGS.forEach(name -> System.setProperty(name, "")); }

    @Test void theOnlyProviderWithAKeyIsChosen() {
        System.setProperty("GROQ_API_KEY", "k");

        assertEquals(Provider.GROQ, Provider.chosen());
    }

    @Test void aNameOrAUrlInTheEnvironmentGoesFirst() {
        System.setProperty("GROQ_API_KEY", "k");
        System.setProperty("OPENAI_BASE_URL", "http://localhost:8080/v1/");
        assertEquals("http://localhost:8080/v1", Provider.chosen().baseUrl());
        assertEquals("OPENAI_API_KEY", Provider.chosen().keyVariable());

        System.setProperty("SHEAF_PROVIDER", "Nebius");
        assertEquals(Provider.NEBIUS, Provider.chosen());
    }

    @Test void twoKeysAndNoChoiceIsASentenceWithBoth() {
        System.setProperty("OPENAI_API_KEY", "k");
        System.setProperty("GROQ_API_KEY", "k");

        assertSays("provider: OPENAI_API_KEY and GROQ_API_KEY are both set; choose with provider(\"openai\") or "
            + "SHEAF_PROVIDER=openai",
            Provider::chosen);
    }

    @Tag("C40")
    @Test void noKeyIsASentenceWithWhatWasLookedFor() {
        System.setProperty("CI", "true");

        assertSays("provider: no key; looked for OPENAI_API_KEY, GROQ_API_KEY, NEBIUS_API_KEY, PARASAIL_API_KEY, "
            + "DOUBLEWORD_API_KEY, DEEPINFRA_TOKEN, TOGETHER_API_KEY, KLUSTERAI_API_KEY; set one, or set "
            + "SHEAF_PROVIDER=local, a small free model on this machine", Provider::chosen);
        assertSays("provider: no key for groq; set GROQ_API_KEY", () -> Provider.GROQ.batches(1));
    }

    @Test void anUnknownNameIsASentenceWithTheKnownOnes() {
        assertSays("provider: \"gpt\" is neither a base URL like http://localhost:8080/v1 nor one of openai, groq, "
            + "nebius, parasail, "
            + "doubleword, deepinfra, together, kluster, local", () -> Provider.named("gpt"));
    }

    @Tag("C40")
    @Test void aKeyInAUrlOrAnImpossibleKeyIsRefusedAndNotShown() {
        assertSays("provider: the base URL of h holds a key; put it into SHEAF_API_KEY",
            () -> Provider.of("https://u:secret@h/v1"));
        System.setProperty("GROQ_API_KEY", "cl\u00e9");
        assertSays("provider: GROQ_API_KEY holds a character that no key has", () -> Provider.GROQ.batches(1));
    }

    @Test void twoAddressesAreTwoProviders() {
        assertEquals("gw:8443/openai", Provider.of("https://gw:8443/openai/v1").name());
        assertEquals("local", Provider.of("http://localhost:8080/v1").name());
    }

    @Test void aKnownBaseUrlIsThatProviderWithItsLimits() {
        assertEquals(Provider.GROQ, Provider.of("https://api.groq.com/openai/v1/"));
    }

    @Test void localIsWhereServeListensAndNeedsNoKey() {
        assertEquals("http://127.0.0.1:4141/v1", Provider.named("Local").baseUrl());
        assertEquals(Provider.LOCAL, Provider.of("http://127.0.0.1:4141/v1/"));
        assertTrue(Provider.LOCAL.hasKey());
        System.setProperty("SHEAF_API_KEY", "k");
        System.setProperty("GROQ_API_KEY", "k");
        assertEquals(Provider.GROQ, Provider.chosen());        // a key for any other URL does not choose it
    }

    @Test void whereNoServerListensTheSentenceSaysHowToStartOne() throws IOException {
        try (var taken = new ServerSocket()) {
            taken.bind(new InetSocketAddress("127.0.0.1", 4141));
        } catch (BindException someoneListens) {
            assumeTrue(false, "something listens on port 4141");
        }

        assertSays("batches: cannot reach http://127.0.0.1:4141/v1 (connection refused); start one with ./jbang serve "
            + "or ./jbang local", () -> Provider.LOCAL.batches(1));
    }

    @Test void onlyThisMachineIsLocal() {
        assertTrue(Provider.of("http://127.0.0.1:8080/v1").isLocal());
        assertTrue(Provider.of("http://localhost/v1").isLocal());
        assertFalse(Provider.of("http://localhost.example.com/v1").isLocal());
        assertFalse(Provider.OPENAI.isLocal());
    }

    private static void assertSays(String message, org.junit.jupiter.api.function.Executable call) {
        assertEquals(message, assertThrows(RuntimeException.class, call).getMessage());
    }
}
