package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What requests and answers say, in the shapes that clients and engines send. */
class TranscriptTest {
    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '~', textBlock = """
        {"messages":[{"role":"system","content":"S"},{"role":"user","content":"Q"}]}                    | Q
        {"messages":[{"role":"user","content":"Q"},{"role":"assistant","content":"A"}]}                 | Q
        {"messages":[{"role":"system","content":"S"}]}                                                  | S
        {"messages":[{"role":"user","content":[{"type":"text","text":"Q"},{"type":"image_url"}]}]} | Q\\n\\n[image_url]
        {"messages":[{"role":"user","content":null}]}                          | {"role":"user","content":null}
        {"messages":[]}                                                        | {"messages":[]}
        {"input":"Q"}                                                          | Q
        {"input":["one","two"]}                                                | one\\n\\ntwo
        {"input":[[1,2],[3]]}                                                  | [[1,2],[3]]
        {"input":[{"role":"user","content":[{"type":"input_text","text":"Q"}]}]}                        | Q
        {"prompt":"Q"}                                                         | Q
        {"prompt":["P","Q"]}                                                   | P\\n\\nQ
        {"other":1}                                                            | {"other":1}
        """)
    void theQuestionIsTheLastThatTheUserSaid(String body, String question) throws Exception {
        assertEquals(question.replace("\\n", "\n"), Transcript.question(Json.parsed(body.getBytes(UTF_8))));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '~', textBlock = """
        {"choices":[{"message":{"content":"A"},"finish_reason":"stop"}]}                      | A             | -
        {"choices":[{"message":{"content":"A"},"finish_reason":"length"}]}                    | A             | length
        {"choices":[{"message":{"content":"A"}},{"message":{"content":"B"}}]}                 | A\\n\\nB      | -
        {"choices":[{"message":{"content":null,"refusal":"No."},"finish_reason":"stop"}]}     | No.           | -
        {"choices":[{"message":{"content":null,"tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}}]} | f({}) | -
        {"choices":[{"message":{"content":[{"type":"text","text":"A"}]}}]}                    | A             | -
        {"choices":[{"text":"A"}]}                                                            | A             | -
        {"output":[{"type":"reasoning"},{"type":"message","content":[{"type":"output_text","text":"A"}]}]} \
                                                                                              | A             | -
        {"output":[{"type":"function_call","name":"f","arguments":"{}"}]}                     | f({})         | -
        {"output":[],"incomplete_details":{"reason":"max_output_tokens"}}                     | ~~ | max_output_tokens
        {"data":[{"embedding":[1,2,3]}]}                                      | a vector of 3 numbers         | -
        {"data":[{"embedding":"AAA="},{"embedding":"AAA="}]}              | 2 vectors, the first a vector in Base64 | -
        {"results":[{"flagged":true}]}                                        | {"results":[{"flagged":true}]} | -
        """)
    void anAnswerIsItsTextAndWhatIsUnusualAboutIt(String body, String text, String code) throws Exception {
        var line = Json.parsed(("{\"error\":null,\"response\":{\"status_code\":200,\"body\":" + body + "}}")
            .getBytes(UTF_8));

        assertEquals(text.replace("\\n", "\n"), Transcript.answer(line));
        assertEquals(code, String.valueOf(Transcript.code(line)).replace("null", "-"));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '~', textBlock = """
        {"error":{"code":"batch_expired","message":"Late."},"response":null} | Late. | batch_expired
        {"error":null,"response":{"status_code":400,"body":{"error":{"message":"No.","code":"bad"}}}}  | No. | 400 bad
        {"error":null,"response":{"status_code":500,"body":{"error":{"message":"No.","code":null}}}}   | No. | 500
        {"error":null,"response":{"status_code":0,"request_id":"","body":{}}}                          | {}  | ~~
        """)
    void anErrorIsItsMessageAndItsCode(String line, String message, String code) throws Exception {
        var parsed = Json.parsed(line.getBytes(UTF_8));

        assertEquals(message, Transcript.answer(parsed));
        assertEquals(code, Transcript.code(parsed));
    }
}
