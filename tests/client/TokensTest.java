package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import sheaf.Tokens.Count;

/** How many tokens a request has. */
class TokensTest {

    /** OpenAI's cookbook counts these six messages: 129 by gpt-4 and gpt-3.5-turbo, 124 by gpt-4o. */
    @ParameterizedTest(name = "{0}: {1} tokens")
    @CsvSource({"gpt-4-0613,129", "gpt-3.5-turbo-0125,129", "gpt-4o,124", "gpt-4o-mini,124"})
    void theExampleOfOpenAisCookbookHasAsManyTokensAsTheirApiSays(String model, long tokens) {
        var messages = Json.MAPPER.createArrayNode();
        message(messages.addObject(), "system", null, "You are a helpful, pattern-following assistant that translates "
            + "corporate jargon into plain English.");
        message(messages.addObject(), "system", "example_user", "New synergies will help drive top-line growth.");
        message(messages.addObject(), "system", "example_assistant", "Things working well together will increase "
            + "revenue.");
        message(messages.addObject(), "system", "example_user", "Let's circle back when we have more bandwidth to "
            + "touch base on opportunities for increased leverage.");
        message(messages.addObject(), "system", "example_assistant", "Let's talk later when we're less busy about how "
            + "to do better.");
        message(messages.addObject(), "user", null, "This late pivot means we don't have time to boil the ocean for "
            + "the client deliverable.");

        assertEquals(tokens, count(model, "{\"messages\":" + messages + "}").input());
    }

    private static void message(ObjectNode message, String role, String name,
                                String content) {
        message.put("role", role);
        if (name != null) message.put("name", name);
        message.put("content", content);
    }

    @Test void anEncodingThatIsAssumedSaysSo() {
        assertTrue(Tokens.of("gpt-5-mini").isKnown());
        assertTrue(Tokens.of("openai/gpt-oss-20b").isKnown());
        assertFalse(Tokens.of("llama-3.1-8b").isKnown());
        assertEquals("o200k_base", Tokens.of("llama-3.1-8b").encoding());
        assertEquals("cl100k_base", Tokens.of("text-embedding-3-small").encoding());
    }

    /** Twelve letters are three tokens, and each character of another script is one. */
    @Test void byLengthNoEncodingIsNeeded() {
        var line = Json.lenient("{\"url\":\"/v1/responses\",\"body\":{\"input\":\"abcdefghijkl\u4f60\u597d\"}}");

        assertEquals(5, Tokens.byLength().count(line).input());
        assertEquals("four characters each", Tokens.byLength().encoding());
    }

    /** What they bring in is paid, and stands in no request. */
    @ParameterizedTest
    @ValueSource(strings = {"\"previous_response_id\":\"resp_1\"", "\"conversation\":\"conv_1\"",
        "\"prompt\":{\"id\":\"pmpt_1\"}", "\"tools\":[{\"type\":\"function\"},{\"type\":\"web_search\"}]"})
    void whatTheProviderReadsElsewhereIsNotCounted(String field) {
        assertEquals(1, count("gpt-4.1", "/v1/responses", "{\"input\":\"hi\"," + field + "}").uncounted());
        assertEquals(0, count("gpt-4.1", "/v1/responses", "{\"input\":\"hi\"}").uncounted());
    }

    @Test void noTokenizerMakesMoreOfATextThanTheMostThatIsSaid() {
        var text = "\u4f60\u597d \ud83d\ude00 na\u00efve \ud83d\udc68\u200d\ud83d\udc69";
        var body = "{\"messages\":[{\"role\":\"user\",\"content\":\"" + text + "\"}]}";

        assertTrue(count("qwen", body).mostInput() >= text.getBytes(StandardCharsets.UTF_8).length + 5);
        assertEquals(count("gpt-4o", body).input(), count("gpt-4o", body).mostInput(), "it is known");
    }

    @Test void eachAnswerThatIsAskedForMayBeAsLongAsTheLimit() {
        assertEquals(60, count("m", "{\"messages\":[],\"max_tokens\":20,\"n\":3}").mostOutput());
        assertEquals(20, count("m", "{\"messages\":[],\"max_completion_tokens\":20}").mostOutput());
        assertEquals(1, count("m", "{\"messages\":[]}").unlimited());
        assertEquals(new Count(1, 2, 2, 0, 0, 0), count("text-embedding-3-small", "/v1/embeddings",
            "{\"input\":\"hello world\"}"), "an embedding has no tokens");
    }

    @Test void anImageIsNoTextAndIsToldApart() {
        var image = "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64," + "A".repeat(9000)
            + "\"}}";
        var body = "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"Why?\"}," + image
            + "]}]}";

        assertEquals(1, count("gpt-4o", body).uncounted());
        assertTrue(count("gpt-4o", body).input() < 20);
    }

    @Test void aSchemaAndTheToolsAreReadByTheModelToo() {
        var plain = "\"messages\":[{\"role\":\"user\",\"content\":\"Why?\"}]";
        var tools = "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"weather\",\"parameters\":{}}}]";

        assertTrue(count("gpt-4o", "{" + plain + "," + tools + "}").input()
            > count("gpt-4o", "{" + plain + "}").input() + 10);
    }

    private static Count count(String model, String body) { return count(model, "/v1/chat/completions", body); }

    private static Count count(String model, String url, String body) {
        return Tokens.of(model).count(Json.lenient("{\"url\":\"" + url + "\",\"body\":" + body + "}"));
    }
}
