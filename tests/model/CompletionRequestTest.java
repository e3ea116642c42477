package sheaf.model;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import sheaf.model.ChatTemplate.Message;

/** The body of a request, read without a model. */
class CompletionRequestTest {
    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', quoteCharacter = '~', value = {
        "[1]                   |       | the body is no JSON object",
        "{'n': 2}              | n     | the local model gives one choice to a request; leave 'n' out",
        "{'tools': []}         | tools | the local model does not support 'tools'",
        "{'n': 'two'}          | n     | 'n' must be a whole number of at least 1"})
    void aBodyThatAsksTooMuchIsRefusedAtOnce(String body, String param, String message) {
        assertRefused(param, message, () -> request(body));
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', quoteCharacter = '~', value = {
        "'Hi'                       |                     | 'messages' must be a list of at least one message",
        "[{'role': 'tool'}]         | [0].role            | the role must be system, developer, user or assistant",
        "[{'role': 'user'}]         | [0].content         | the content must be a text or a list of parts"})
    void aChatThatIsNoneIsRefusedByThePlaceAtFault(String messages, String place, String message) {
        var request = request("{'messages': " + messages + "}");

        assertRefused("messages" + (place == null ? "" : place), message, request::messages);
    }

    @Test void partsOfAMessageAreJoinedAndADeveloperIsTheSystem() {
        var request = request("{'messages': [{'role': 'developer', 'content': 'Be brief.'},"
            + " {'role': 'user', 'content': [{'type': 'text', 'text': 'a'}, {'type': 'text', 'text': 'b'}]}]}");

        assertEquals(List.of(new Message("system", "Be brief."), new Message("user", "ab")), request.messages());
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', quoteCharacter = '~', value = {
        "{}                     | ~~", "{'stop': null}    | ~~", "{'stop': ''}       | ~~",
        "{'stop': 'a'}          | a",  "{'stop': ['a', '', 'b']} | a b"})
    void stopIsOneTextOrAListOfThem(String body, String stops) {
        assertEquals(stops, String.join(" ", request(body).stops()));
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', quoteCharacter = '~', value = {
        "{'choice': {'type': 'string', 'enum': ['a', 'b \\'c\\'']}}  | {'choice': 'a'} {'choice': 'b \\'c\\''}",
        "{'score': {'type': 'integer', 'enum': [1, 10]}}           | {'score': 1} {'score': 10}",
        "{'text': {'type': 'string'}}                              | ~~",
        "{'a': {'enum': ['x']}, 'b': {'enum': ['y']}}              | ~~"})
    void theAnswersThatAChoiceAllowsAreKnown(String properties, String answers) {
        var request = request("{'messages': [], 'response_format': {'type': 'json_schema', 'json_schema': {'schema':"
            + " {'properties': " + properties + "}}}}");

        assertEquals(answers.replace('\'', '"'), String.join(" ", request.answers()));
    }

    @Test void theNewerNameOfTheTokensAllowedComesFirst() {
        assertEquals(Optional.of(5L), request("{'max_tokens': 9, 'max_completion_tokens': 5}").maxTokens());
        assertEquals(Optional.of(9L), request("{'max_tokens': 9}").maxTokens());
        assertEquals(Optional.empty(), request("{'max_tokens': null}").maxTokens());
    }

    @Test void aSeedAndTemperatureZeroAskForTheSameAnswerAgain() {
        assertTrue(request("{'seed': 7}").isRepeatable());
        assertTrue(request("{'temperature': 0}").isRepeatable());
        assertFalse(request("{'temperature': 0.1}").isRepeatable());
        assertFalse(request("{}").isRepeatable());
    }

    @Test void whatIsSwitchedOffIsNotRefused() {
        assertDoesNotThrow(() -> request("{'stream': false, 'tools': null, 'n': 1, 'logprobs': false}"));
    }

    static void assertRefused(String param, String message, Executable act) {
        var refusal = assertThrows(Http.Refusal.class, act);

        var expected = "{'error':{'message':'%s','type':'invalid_request_error','param':%s,'code':'invalid_value'}}";
        assertEquals(expected.replace('\'', '"').formatted(message, param == null ? "null" : '"' + param + '"'),
            new String(refusal.body(), UTF_8));
    }

    static CompletionRequest request(String body) {
        return CompletionRequest.of(body.replace('\'', '"').getBytes(UTF_8));
    }
}
