package sheaf.model;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Schemas that would end llama.cpp or that it would ignore: they are refused before it reads them. */
class ResponseFormatTest {
    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', quoteCharacter = '~', value = {
        "{'type': 'string', 'format': 'date'}             | 'format'",
        "{'type': ['string', 'date']}                     | this value of 'type'",
        "{'$ref': '#/$defs/missing'}                      | this value of '$ref'",
        "{'$ref': 'https://example.org/schema'}           | this value of '$ref'",
        "{'properties': []}                               | this value of 'properties'",
        "{'anyOf': {}}                                    | this value of 'anyOf'",
        "{'minLength': 'one'}                             | this value of 'minLength'",
        "{'properties': {'a': {'items': {'not': {}}}}}    | 'not'",
        "{'properties': {'a\\\\b': {'type': 'null'}}}      | the name a\\b",
        "{'items': true}                                  | a schema that is no object"})
    void aSchemaThatNoGrammarCanHoldIsRefused(String schema, String what) {
        var format = "{'type': 'json_schema', 'json_schema': {'schema': " + schema + "}}";

        var refusal = assertThrows(Http.Refusal.class, () -> grammar(format));

        assertEquals(400, refusal.status());
        assertEquals("the local model does not support " + what + " in 'response_format'", refusal.getMessage());
    }

    @Test void anUnknownFormatIsRefusedByItsName() {
        var refusal = assertThrows(Http.Refusal.class, () -> grammar("{'type': 'xml'}"));

        assertEquals("the local model does not support type \"xml\" in 'response_format'", refusal.getMessage());
    }

    @Test void plainTextNeedsNoGrammar() throws IOException {
        assertEquals(Optional.empty(), grammar("{'type': 'text'}"));
        assertEquals(Optional.empty(), grammar("{}"));
    }

    @Test void anAnswerThatIsNoJsonIsTheServersFault() {
        assertDoesNotThrow(() -> ResponseFormat.verify("{\"a\": 1}", true));
        assertThrows(Http.Refusal.class, () -> ResponseFormat.verify("{\"a\": 1", true));
        var refusal = assertThrows(Http.Refusal.class, () -> ResponseFormat.verify("Sure!", true));

        assertEquals(500, refusal.status());
        assertEquals("the answer is no JSON: Sure!", refusal.getMessage());
    }

    /** One that is cut off is no JSON yet, but begins so if a grammar held it. */
    @Test void anAnswerThatIsCutOffBeginsAsJson() {
        assertDoesNotThrow(() -> ResponseFormat.verify("{\"a\": tr", false));
        assertDoesNotThrow(() -> ResponseFormat.verify("", false));
        assertThrows(Http.Refusal.class, () -> ResponseFormat.verify("In a land far away", false));
    }

    static Optional<String> grammar(String format) throws IOException {
        return ResponseFormat.grammar(new ObjectMapper().readTree(format.replace('\'', '"')));
    }
}
