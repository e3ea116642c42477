package sheaf;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Result;
import sheaf.server.BatchServer;
import sheaf.support.ForwardProxy;
import sheaf.support.ScriptedServer;

/** What each call bears of the user's: by a script, or by the environment, and to whom. */
class ExtraHeadersTest {
    static final List<String> SETTINGS = List.of("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_CUSTOM_HEADERS",
        "OPENAI_API_KEY", "OPENAI_BASE_URL", "GROQ_API_KEY", "SHEAF_API_KEY", "HTTP_PROXY");
    @AutoClose final BatchServer server = BatchServer.options().apiKey("sk-12345").start();
    @AutoClose final ForwardProxy proxy = new ForwardProxy(Map.of("api.openai.com", port(), "eu.api.openai.com", port(),
        "api.groq.com", port(), "my.test", port()), "");
    @TempDir Path home;

    @BeforeEach void environment() {
        System.setProperty("SHEAF_HOME", home.toString());
        System.setProperty("HTTP_PROXY", proxy.address());
        Stream.of("OPENAI_API_KEY", "GROQ_API_KEY", "SHEAF_API_KEY").forEach(key ->
            System.setProperty(key, "sk-12345"));
    }

    @AfterEach void forget() throws IOException {
        System.clearProperty("SHEAF_HOME");
        SETTINGS.forEach(name -> System.setProperty(name, ""));
    }

    @Test void everyCallOfABatchBearsTheHeadersOfItsProvider() {
        var provider = Provider.of("http://my.test/v1").header("X-Team", "kitchen").header("x-team", "cellar")
            .header("X-Secret", "hunter2-hunter2");

        var batch = Sheaf.batch().provider(provider).model("echo").prompts("one").quiet().submit();
        Provider.of(server.baseUrl()).batch(batch.id()).await();

        assertEquals(List.of("one"), batch.results().stream().map(Result::text).toList());
        assertTrue(proxy.asked().size() >= 5, proxy.asked().toString());
        assertTrue(proxy.asked().stream().allMatch(head -> has(head, "X-Team: cellar")
            && has(head, "X-Secret: hunter2-hunter2") && has(head, "Authorization: Bearer sk-12345")));
    }

    @Test void headersAreWrittenDownNowhereAndMakeNoOtherBatch() throws IOException {
        var provider = Provider.of("http://my.test/v1").header("X-Secret", "hunter2-hunter2");
        var draft = Sheaf.batch().model("echo").prompts("one").quiet();

        var batch = draft.provider(provider).submit();

        try (var files = Files.walk(home)) {
            for (var file : files.filter(Files::isRegularFile).toList())
                assertFalse(Files.readString(file, ISO_8859_1).contains("hunter2"),
                    file.toString());
        }
        assertEquals(batch.id(), draft.provider(provider.header("X-Secret", "new")).submit().id());
        assertEquals(batch.id(), provider.batch(batch.name()).id());
        assertEquals("Provider[my.test http://my.test/v1]", provider.toString());
    }

    @Test void whatAnEarlierBatchAnsweredIsFetchedWithTheHeadersOfThisOne() {
        var provider = Provider.of("http://my.test/v1").header("X-Team", "kitchen");
        var first = Sheaf.batch().provider(provider).name("n").model("echo").prompts("one").quiet().submit();
        Provider.of(server.baseUrl()).batch(first.id()).await();

        Sheaf.batch().provider(provider).name("n").model("echo").prompts("one", "two").quiet().submit();

        assertTrue(proxy.asked().stream().anyMatch(head -> head.contains("/content ")));
        assertTrue(proxy.asked().stream().allMatch(head -> has(head, "X-Team: kitchen")));
    }

    @Test void theOrganizationAndTheProjectAreToldToOpenAiAlone() {
        System.setProperty("OPENAI_ORG_ID", "org-1");
        System.setProperty("OPENAI_PROJECT_ID", "proj-1");

        assertEquals("org-1 proj-1", told("http://api.openai.com/v1"));
        assertEquals("org-1 proj-1", told("http://eu.api.openai.com/v1"));
        assertEquals(" ", told("http://api.groq.com/v1"));
        System.setProperty("OPENAI_BASE_URL", "http://my.test/v1");
        ask(Provider.chosen());
        assertFalse(last().contains("org-1"), "a server that is merely asked with OpenAI's key");
    }

    @Test void furtherHeadersOfTheEnvironmentGoToWhoHasOpenAisKey() {
        System.setProperty("OPENAI_CUSTOM_HEADERS", "X-Gateway: a:b \n\nX-Team: kitchen\n");
        System.setProperty("OPENAI_BASE_URL", "http://my.test/v1");

        ask(Provider.chosen().header("X-Team", "cellar"));
        assertTrue(has(last(), "X-Gateway: a:b") && has(last(), "X-Team: cellar"), last());
        ask(Provider.of("http://my.test/v1"));
        assertFalse(last().contains("X-Gateway"), last());
        System.setProperty("OPENAI_CUSTOM_HEADERS", "secret");
        assertSays("header: a line of OPENAI_CUSTOM_HEADERS is no \"name: value\"",
            () -> ask(Provider.chosen()));
    }

    @Test void withAuthorizationNoKeyIsNeeded() {
        System.setProperty("SHEAF_API_KEY", "");
        var provider = Provider.of("http://my.test/v1").header("authorization", "Bearer sk-12345");

        ask(provider);

        assertTrue(provider.hasKey());
        assertTrue(has(last(), "authorization: Bearer sk-12345"), last());
        assertFalse(last().contains("none"), last());
    }

    @Test void anAnswerThatRepeatsAHeaderIsShownWithoutIt() {
        try (var scripted = new ScriptedServer().on("GET /models", new ScriptedServer.Answer(403,
                "{\"error\":{\"message\":\"hunter2-hunter2 may not\"}}".getBytes(), Map.of()))) {
            var url = scripted.baseUrl("/v1");

            assertSays("models: GET " + url + "/models: 403 (the header X-Secret) may not",
                () -> Provider.of(url).header("X-Secret", "hunter2-hunter2").models());
            assertSays("models: GET " + url + "/models: 403 (the header Authorization) may not",
                () -> Provider.of(url).header("Authorization", "Bearer hunter2-hunter2").models());
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "X Team", "X-T\u00e9am", "X:", "X\n"})
    void whatIsNoNameOfAHeaderIsRefused(String name) {
        assertSays("header: \"" + name.strip() + "\" is no name of a header, such as X-Team",
            () -> Provider.OPENAI.header(name, "v"));
    }

    @Test void aValueThatNoHeaderHasIsRefusedAndNotShown() {
        var wrong = "header: the value of X-Key holds a character that no header has; ASCII can be sent";

        assertSays(wrong, () -> Provider.OPENAI.header("X-Key", "a\nb"));
        assertSays(wrong, () -> Provider.OPENAI.header("X-Key", "\u00fc"));
        assertSays("header: the value of X-Key is empty", () -> Provider.OPENAI.header("X-Key", " "));
        assertSays("header: Content-Type is set by each call itself; leave it out",
            () -> Provider.OPENAI.header("Content-Type", "text/plain"));
        assertSays("header: the argument is null", () -> Provider.OPENAI.header("X-Key", null));
    }

    @Test void aProviderWithAHeaderIsAnotherValue() {
        var provider = Provider.OPENAI.header("X-Team", "kitchen");

        assertEquals(Map.of(), Provider.OPENAI.headers());
        assertEquals(Map.of("X-Team", "kitchen"), provider.headers());
        assertNotEquals(Provider.OPENAI, provider);
        assertEquals(provider.headers(), provider.limits(1, 1).queue(1, 1).keyVariable("K").headers());
        assertThrows(UnsupportedOperationException.class, () -> provider.headers().put("a", "b"));
    }

    private String told(String url) {
        ask(Provider.of(url));
        return header(last(), "OpenAI-Organization") + " " + header(last(), "OpenAI-Project");
    }

    private static void ask(Provider provider) { provider.models(); }

    private String last() { return proxy.asked().get(proxy.asked().size() - 1); }

    private static boolean has(String head, String line) { return head.contains("\r\n" + line + "\r\n"); }

    private static String header(String head, String name) {
        return head.contains(name) ? head.replaceFirst("(?s).*\r\n" + name + ": ([^\r]*).*", "$1") : "";
    }

    private int port() { return URI.create(server.baseUrl()).getPort(); }

    private static void assertSays(String message, org.junit.jupiter.api.function.Executable call) {
        assertEquals(message, assertThrows(RuntimeException.class, call).getMessage());
    }
}
