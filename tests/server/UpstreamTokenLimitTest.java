package sheaf.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import sheaf.server.Upstream.TokenLimit;

/** The limit of a chat completion, in the word that an engine takes. */
class UpstreamTokenLimitTest {
    final TokenLimit limit = new TokenLimit();

    @ParameterizedTest
    @ValueSource(strings = {"max_tokens", "max_completion_tokens"})
    void bothWordsAreSaidUntilAnEngineRefusesThat(String word) throws IOException {
        assertEquals(json("{'messages':[],'max_completion_tokens':7,'max_tokens':7}"),
            limit.adapted(json("{'messages':[],'" + word + "':7}")));
    }

    @ParameterizedTest
    @ValueSource(strings = {"{'messages':[]}", "{'prompt':'a','max_tokens':7}", "{'messages':[],'max_tokens':'7'}",
        "{'messages':[],'max_tokens':7,'max_completion_tokens':8}"})
    void whatSaysNoLimitOrBothItselfIsLeftAlone(String body) throws IOException {
        var asked = json(body);

        assertSame(asked, limit.adapted(asked));
    }

    @Test void theNewWordIsTriedFirstAndThenTheOldOne() throws IOException {
        var asked = json("{'messages':[],'max_tokens':7}");
        var refusal = Engine.Answer.error(400, null, "max_tokens is not supported");

        assertTrue(limit.isRefused(asked, null, refusal));
        assertEquals(json("{'messages':[],'max_completion_tokens':7}"), limit.adapted(asked));

        assertTrue(limit.isRefused(asked, limit.onlyWord(), refusal));
        assertEquals(json("{'messages':[],'max_tokens':7}"), limit.adapted(asked));
        assertFalse(limit.isRefused(asked, limit.onlyWord(), refusal));
    }

    @Test void aRefusalOfAWordThatAnotherRequestGaveUpChangesNothing() throws IOException {
        var asked = json("{'messages':[],'max_tokens':7}");
        var refusal = Engine.Answer.error(422, null, "max_completion_tokens: unknown field");

        limit.isRefused(asked, null, refusal);

        assertTrue(limit.isRefused(asked, null, refusal));
        assertEquals("max_completion_tokens", limit.onlyWord());
    }

    @Test void anotherErrorIsNoRefusalOfTheLimit() throws IOException {
        var asked = json("{'messages':[],'max_tokens':7}");

        assertFalse(limit.isRefused(asked, null, Engine.Answer.error(400, null, "max_tokens is too large")));
        assertFalse(limit.isRefused(asked, null, Engine.Answer.error(500, null, "max_tokens is not supported")));
        assertNull(limit.onlyWord());
    }

    private static JsonNode json(String text) throws IOException {
        return Json.MAPPER.readTree(text.replace('\'', '"'));
    }
}
