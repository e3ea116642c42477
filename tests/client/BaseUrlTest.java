package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import sheaf.Sheaf.Batch;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Result;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Dialect;
import sheaf.support.ForwardProxy;
import sheaf.support.ScriptedServer;

/** What a base URL tells of a provider: Azure's resources and versions, and who has no batches of this kind. */
class BaseUrlTest {
    static final List<String> SETTINGS = List.of("OPENAI_API_VERSION", "OPENAI_BASE_URL", "OPENAI_API_KEY",
        "SHEAF_API_KEY", "AZURE_OPENAI_API_KEY", "HTTP_PROXY");
    @AutoClose final BatchServer server = BatchServer.options().dialect(Dialect.AZURE).apiKey("azure-key").start();
    @AutoClose final ForwardProxy proxy =
        new ForwardProxy(Map.of("mine.openai.azure.com", URI.create(server.baseUrl()).getPort()), "");
    @TempDir Path home;

    @BeforeEach void environment() {
        System.setProperty("SHEAF_HOME", home.toString());
        System.setProperty("HTTP_PROXY", proxy.address());
    }

    @AfterEach void forget() throws IOException {
        System.clearProperty("SHEAF_HOME");
        SETTINGS.forEach(name -> System.setProperty(name, ""));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "Ollama | engine:ollama",
        "http://localhost:11434/v1/ | engine:http://localhost:11434/v1",
        "http://user:secret@example.com/v1 | provider: the base URL of example.com holds a key; put it into "
            + "SHEAF_ENGINE_KEY",
        "foo^bar | provider: \"foo^bar\" ARE_NONE",
        "http://[ | provider: \"http://[\" ARE_NONE",
        "ftp://x/v1 | provider: \"ftp://x/v1\" ARE_NONE",
        "'' | provider: \"\" ARE_NONE"})
    void anEngineIsANameOrAUrlWithoutAKey(String engine, String said) {
        assertEquals(said.replace("ARE_NONE", "is neither a base URL like http://localhost:8080/v1 nor one of ollama, "
            + "lmstudio, vllm, llama-server, openrouter, mistral, cerebras"), baseUrlOr("engine:" + engine));
    }

    private static String baseUrlOr(String given) {
        try {
            return Provider.of(given).baseUrl();
        } catch (IllegalArgumentException | IllegalStateException e) {
            return e.getMessage();
        }
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "https://mine.openai.azure.com | /openai | 2024-10-21",
        "https://mine.openai.azure.com/ | /openai | 2024-10-21",
        "https://mine.openai.azure.com/openai | /openai | 2024-10-21",
        "https://mine.openai.azure.com/openai/?api-version=2025-03-01-preview | /openai | 2025-03-01-preview",
        "https://mine.openai.azure.com?api-version=2024-10-21 | /openai | 2024-10-21",
        "https://mine.openai.azure.com/openai/deployments/gpt-4o/chat/completions?api-version=2025-01-01-preview "
            + "| /openai | 2025-01-01-preview",
        "https://mine.openai.azure.com/openai/batches?api-version=2024-10-21 | /openai | 2024-10-21",
        "https://mine.openai.azure.us/openai/files | /openai | 2024-10-21",
        "https://mine.cognitiveservices.azure.com/ | /openai | 2024-10-21",
        "https://mine.openai.azure.com/openai/v1/ | /openai/v1 | ''",
        "https://mine.openai.azure.com/openai/v1?api-version=preview | /openai/v1 | preview",
        "https://gateway.test/ai/openai?api-version=2024-10-21 | /ai/openai | 2024-10-21",
        "https://gateway.test/ai/files | /ai/files | ''",
        "https://gateway.test/v1 | /v1 | ''"})
    void anAzureResourceIsKnownByItsHostAndAVersionByItsParameter(String given, String path, String version) {
        var provider = Provider.of(given);

        assertEquals(path, URI.create(provider.baseUrl()).getRawPath());
        assertEquals(URI.create(given).getHost(), URI.create(provider.baseUrl()).getHost());
        assertEquals(version, provider.dialect().apiVersion());
        assertEquals(provider, Provider.of(given.replaceFirst("\\?$", "")));
    }

    @Test void theVersionIsNoPartOfWhoAProviderIs() {
        var one = Provider.of("https://mine.openai.azure.com/openai?api-version=2024-10-21");
        System.setProperty("OPENAI_API_VERSION", "2025-03-01-preview");
        var other = Provider.of("https://mine.openai.azure.com");

        assertEquals("2025-03-01-preview", other.dialect().apiVersion());
        assertEquals("mine.openai.azure.com/openai " + one.baseUrl(), other.name() + " " + other.baseUrl());
        assertEquals(one.name(), other.name());
        assertEquals("Limits[100,000 requests and 200 MB a file]", one.limits().toString());
    }

    @Test void azuresKeyIsTakenWhereItIsSet() {
        assertEquals("SHEAF_API_KEY", Provider.of("https://mine.openai.azure.com").keyVariable());
        System.setProperty("AZURE_OPENAI_API_KEY", "azure-key");

        assertEquals("AZURE_OPENAI_API_KEY", Provider.of("https://mine.openai.azure.com").keyVariable());
        assertEquals("SHEAF_API_KEY", Provider.of("https://gateway.test/openai?api-version=1").keyVariable());
        System.setProperty("OPENAI_BASE_URL", "https://mine.openai.azure.com/openai/v1");
        assertEquals("AZURE_OPENAI_API_KEY", Provider.chosen().keyVariable());
    }

    @Tag("S28")
    @Test void aBatchRunsOnAzuresOlderPathsAndIsFoundAgain() {
        System.setProperty("AZURE_OPENAI_API_KEY", "azure-key");
        var provider = Provider.of("http://mine.openai.azure.com/openai?api-version=2024-10-21");
        server.pause();

        var batch = submitted(provider);
        var again = submitted(Provider.of("http://mine.openai.azure.com"));
        var kept = Sheaf.batch(batch.name());
        server.resume();
        Provider.of(server.baseUrl()).keyVariable("AZURE_OPENAI_API_KEY").batch(batch.id()).await();

        assertEquals(batch.id(), again.id());
        assertEquals(List.of("one", "two"), texts(kept));
        assertEquals(1, proxy.asked().stream().filter(head -> head.startsWith(
            "POST http://mine.openai.azure.com/openai/batches?api-version=2024-10-21 ")).count());
        assertTrue(proxy.asked().stream().allMatch(head -> head.contains("api-version=2024-10-21")
            && head.contains("\r\napi-key: azure-key\r\n") && !head.contains("\r\nAuthorization")),
            proxy.asked().toString());
        assertEquals("/chat/completions", batch.parts().get(0).json().path("endpoint").asText());
    }

    @Test void azuresNewerPathsHaveNoVersionAndTakeTheKeyAsOpenAiDoes() {
        System.setProperty("SHEAF_API_KEY", "azure-key");

        var batch = submitted(Provider.of("http://mine.openai.azure.com/openai/v1"));
        Provider.of(server.baseUrl()).batch(batch.id()).await();

        assertEquals(List.of("one", "two"), texts(batch));
        assertTrue(proxy.asked().stream().allMatch(head -> head.contains(".com/openai/v1/")
            && head.contains("\r\nAuthorization: Bearer azure-key\r\n") && !head.contains("api-")),
            proxy.asked().toString());
    }

    @Test void wherePathsAreUnknownTheVersionIsAskedFor() {
        try (var scripted = new ScriptedServer().on("GET /models", ScriptedServer.Answer.status(404))) {
            var url = scripted.baseUrl("/openai");

            assertSays("models: GET " + url + "/models: 404 status 404; does it know the api-version 2024-10-21?",
                () -> Provider.of(url + "?api-version=2024-10-21").models());
        }
    }

    @Test void aTokenOfAzuresStandsInThePlaceOfTheKey() {
        var provider = Provider.of("http://mine.openai.azure.com").header("Authorization", "Bearer azure-key");

        provider.models();

        assertFalse(proxy.asked().get(0).contains("api-key"), proxy.asked().toString());
    }

    @Test void aServerOnThisMachineMayHaveVersionsToo() {
        System.setProperty("OPENAI_API_KEY", "azure-key");
        System.setProperty("OPENAI_BASE_URL", server.baseUrl().replace("/openai/v1", "/openai?api-version=2024-10-21"));

        assertEquals(List.of("one", "two"), texts(submitted(Provider.chosen())));
        assertTrue(server.requests().stream().noneMatch(request -> request.contains("Unknown")));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {"https://h.test/v1?key=hunter2 | key",
        "https://h.test/v1?api-version= | api-version",
        "https://h.test/v1?api-version=1&code=hunter2 | api-version", "https://h.test/v1?hunter | hunter"})
    void anotherParameterIsRefusedAndItsValueNotShown(String url, String parameter) {
        assertSays("provider: the base URL of h.test has the parameter \"" + parameter + "\"; only one api-version may "
            + "stand there, a key goes into its variable",
            () -> Provider.of(url));
    }

    @ParameterizedTest
    @ValueSource(strings = {"https://me:hunter2@h.test/v1", "https://me:hun@ter2@h.test:8080/v1",
        "https://me:hun/ter2@h.test", "https://me:hun ter2@h.test?x"})
    void aKeyInItIsRefusedAndNotShown(String url) {
        assertSays("provider: the base URL of h.test holds a key; put it into SHEAF_API_KEY", () -> Provider.of(url));
    }

    @Test void whatAnEarlierSheafKeptUnderSuchAUrlIsListedAllTheSame() throws IOException {
        System.setProperty("SHEAF_API_KEY", "azure-key");
        var batch = submitted(Provider.of("http://mine.openai.azure.com/openai/v1"));
        var manifest = batch.folder().resolve("draft.json");

        Files.writeString(manifest, Files.readString(manifest).replace("/openai/v1", "/openai/v1?key=old"));

        assertEquals(List.of(batch.id()), Sheaf.kept().stream().map(Batch::id).toList());
    }

    @Test void geminiIsSaidToTakeNoFilesBeforeAnythingIsSent() throws IOException {
        var url = "https://generativelanguage.googleapis.com/v1beta/openai";
        var draft = Sheaf.batch().provider(url + "/").model("gemini-2.5-flash").prompts("one").quiet();
        var sentence = "submit: Gemini makes batches, but takes no input file and gives no answers, over OpenAI's API"
            + oneByOne(url);

        assertSays(sentence, draft::submit);
        assertSays(sentence, draft::upload);
        assertFalse(Files.exists(home.resolve("batches")));
        assertEquals(1, draft.preview(1).lines().size());
    }

    @ParameterizedTest
    @CsvSource({"https://api.anthropic.com/v1, Anthropic has no batches",
        "https://api.mistral.ai/v1, Mistral has no batches",
        "https://api.fireworks.ai/inference/v1, Fireworks has no batches",
        "https://openrouter.ai/api/v1, OpenRouter takes no input file"})
    void whoHasBatchesOfAnotherKindOnlyIsNamed(String url, String lack) {
        assertSays("submit: " + lack + " over OpenAI's API" + oneByOne(url),
            () -> Sheaf.batch().provider(url).model("m").prompts("one").quiet().submit());
    }

    private static String oneByOne(String url) {
        return "; choose another provider, or provider(\"engine:" + url + "\") to ask one by one, at the full price";
    }

    @ParameterizedTest
    @ValueSource(strings = {"https://api.openai.com/v1", "https://api.groq.com/openai/v1", "https://example.com/v1",
        "https://not-openrouter.ai/v1"})
    void whoHasThemOrIsUnknownIsAsked(String url) { BaseUrl.checkBatches(url, "another"); }

    private static Batch submitted(Provider provider) {
        return Sheaf.batch().provider(provider).model("echo").prompts("one", "two").quiet().submit();
    }

    private static List<String> texts(Batch batch) { return batch.results().stream().map(Result::text).toList(); }

    private static void assertSays(String message, org.junit.jupiter.api.function.Executable call) {
        assertEquals(message, assertThrows(RuntimeException.class, call).getMessage());
    }
}
