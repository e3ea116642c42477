package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.support.RawClient.batch;
import static sheaf.support.RawClient.json;
import static sheaf.support.RawClient.lines;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import sheaf.support.Opened;
import sheaf.support.RawClient;

/** The echo: as strict as a real model's server, and as complete in its answers. */
class EchoTest {
    static final String HI = "'messages':[{'role':'user','content':'hi there'}]";

    @AutoClose final Opened open = new Opened();
    BatchServer server = open.add(BatchServer.start());
    final RawClient client = new RawClient(() -> server.baseUrl());

    @ParameterizedTest(name = "{0}: {1}")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "max_tokens | -5 | integer_below_min_value | integer below minimum value. Expected a value >= 1, but got '-5'"
            + " instead.",
        "max_tokens | 0 | integer_below_min_value | integer below minimum value. Expected a value >= 1, but got '0'"
            + " instead.",
        "max_completion_tokens | 1000000000000 | integer_above_max_value | integer above maximum value. Expected a"
            + " value <= 2147483647, but got '1000000000000' instead.",
        "max_tokens | 99999999999999999999999 | integer_above_max_value | integer above maximum value. Expected a"
            + " value <= 2147483647, but got '99999999999999999999999' instead.",
        "max_tokens | 2.5 | invalid_type | expected an integer, but got a decimal number instead.",
        "max_tokens | '7' | invalid_type | expected an integer, but got a string instead.",
        "max_tokens | 1e400000000 | invalid_type | expected an integer, but got a decimal number instead.",
        "n | 129 | integer_above_max_value | integer above maximum value. Expected a value <= 128, but got '129'"
            + " instead.",
        "seed | 9223372036854775808 | integer_above_max_value | integer above maximum value. Expected a value <="
            + " 9223372036854775807, but got '9223372036854775808' instead.",
        "temperature | 2.5 | decimal_above_max_value | decimal above maximum value. Expected a value <= 2, but got"
            + " '2.5' instead.",
        "temperature | 1e400000000 | decimal_above_max_value | decimal above maximum value. Expected a value <= 2, but"
            + " got '1E+400000000' instead.",
        "top_p | -0.1 | decimal_below_min_value | decimal below minimum value. Expected a value >= 0, but got '-0.1'"
            + " instead.",
        "presence_penalty | [] | invalid_type | expected a number, but got an array instead."})
    void aNumberThatCannotBeIsRefusedAtOnceAndInARow(String param, String number, String code, String message) {
        var body = "{'model':'m'," + HI + ",'" + param + "':" + number + "}";
        var type = code.equals("invalid_type") ? "Invalid type for '" : "Invalid '";

        var answer = asked("/chat/completions", body);
        var line = answeredInARow("/v1/chat/completions", body);

        assertEquals("400 " + code + " " + param + " " + type + param + "': " + message, answer);
        assertEquals(answer, error(line.get("status_code").asInt(), line.get("body")));
    }

    @Test void numbersThatAreNullOrAtTheirBoundsAreTaken() {
        assertEquals("200", asked("/chat/completions", "{'model':'m'," + HI + ",'max_tokens':null,'n':null,"
            + "'temperature':2,'top_p':0,'presence_penalty':-2.0,'seed':-9223372036854775808,'top_logprobs':20,"
            + "'max_completion_tokens':2147483647}"));
    }

    @ParameterizedTest(name = "{1}: {0}")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "{" + HI + "} | model | missing_required_parameter",
        "{'model':''," + HI + "} | model | missing_required_parameter",
        "{'model':7," + HI + "} | model | invalid_type",
        "{'model':'m'} | messages | missing_required_parameter",
        "{'model':'m','messages':[]} | messages | empty_array",
        "{'model':'m','messages':'hi'} | messages | invalid_type",
        "{'model':'m','messages':['hi']} | messages[0] | invalid_type",
        "{'model':'m','messages':[{'content':'a'}]} | messages[0].role | missing_required_parameter",
        "{'model':'m','messages':[{'role':'human','content':'a'}]} | messages[0].role | invalid_value",
        "{'model':'m','messages':[{'role':'user'}]} | messages[0].content | missing_required_parameter",
        "{'model':'m','messages':[{'role':'system','content':'s'},{'role':'user','content':null}]}"
            + " | messages[1].content | invalid_type",
        "{'model':'m','messages':[{'role':'user','content':[]}]} | messages[0].content | empty_array",
        "{'model':'m','messages':[{'role':'assistant','content':null}]} | messages[0].content | invalid_type",
        "{'model':'m','messages':[{'role':'tool','content':'a'}]} | messages[0].tool_call_id"
            + " | missing_required_parameter",
        "{'model':'m','messages':[{'role':'user','content':[{'text':'a'}]}]} | messages[0].content[0].type"
            + " | missing_required_parameter",
        "{'model':'m','messages':[{'role':'user','content':[{'type':'input_text','text':'a'}]}]}"
            + " | messages[0].content[0].type | invalid_value",
        "{'model':'m','messages':[{'role':'user','content':[{'type':'image_url','image_url':'u'}]}]}"
            + " | messages[0].content[0].image_url.url | missing_required_parameter",
        "{'model':'m'," + HI + ",'stream':'True'} | stream | invalid_type",
        "{'model':'m'," + HI + ",'stream':true} | stream | streaming_unsupported",
        "{'model':'m'," + HI + ",'response_format':{'type':'yaml'}} | response_format.type | invalid_value",
        "{'model':'m'," + HI + ",'response_format':{'type':'json_schema','json_schema':{'name':'x'}}}"
            + " | response_format.json_schema.schema | missing_required_parameter",
        "{'model':'m'," + HI + ",'response_format':{'type':'json_schema','json_schema':{'schema':{}}}}"
            + " | response_format.json_schema.name | missing_required_parameter"})
    void aRequestThatARealServerRefusesIsRefused(String body, String param, String code) {
        assertTrue(asked("/chat/completions", body).startsWith("400 " + code + " " + param + " "),
            asked("/chat/completions", body));
    }

    @ParameterizedTest(name = "{0}: {2}")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "/completions | {'model':'m'} | prompt | missing_required_parameter",
        "/completions | {'model':'m','prompt':[]} | prompt | empty_array",
        "/completions | {'model':'m','prompt':{}} | prompt | invalid_type",
        "/embeddings | {'model':'m'} | input | missing_required_parameter",
        "/embeddings | {'model':'m','input':['a',[]]} | input | invalid_type",
        "/embeddings | {'model':'m','input':''} | input | invalid_value",
        "/embeddings | {'model':'m','input':['a','']} | input | invalid_value",
        "/embeddings | {'model':'m','input':'a','encoding_format':'hex'} | encoding_format | invalid_value",
        "/embeddings | {'model':'m','input':'a','dimensions':0} | dimensions | integer_below_min_value",
        "/embeddings | {'model':'m','input':['a'],'encoding_format':'hex'} | encoding_format | invalid_value",
        "/responses | {'model':'m','input':[]} | input | empty_array",
        "/responses | {'model':'m','input':'a','parallel_tool_calls':'no'} | parallel_tool_calls | invalid_type",
        "/responses | {'model':'m','input':'a','tools':{}} | tools | invalid_type",
        "/responses | {'model':'m','input':'a','metadata':7} | metadata | invalid_type",
        "/responses | {'model':'m','input':[{'role':'tool','content':'a'}]} | input[0].role | invalid_value",
        "/responses | {'model':'m','input':[{'role':'user','content':[{'type':'text','text':'a'}]}]}"
            + " | input[0].content[0].type | invalid_value",
        "/responses | {'model':'m','input':'a','max_output_tokens':-1} | max_output_tokens | integer_below_min_value",
        "/responses | {'model':'m','input':'a','text':{'format':{'type':'json_schema','name':'x'}}}"
            + " | text.format.schema | missing_required_parameter"})
    void theOtherEndpointsAreAsStrict(String endpoint, String body, String param, String code) {
        assertTrue(asked(endpoint, body).startsWith("400 " + code + " " + param + " "), asked(endpoint, body));
    }

    @Test void tooManyInputsAreRefused() {
        var inputs = IntStream.range(0, 2_049).mapToObj(i -> "'a'").collect(Collectors.joining(","));

        assertEquals("400 array_above_max_length input Invalid 'input': array too long. Expected an array with maximum"
            + " length 2048, but got an array with length 2049 instead.",
            asked("/embeddings", "{'model':'m','input':[" + inputs + "]}"));
    }

    @ParameterizedTest(name = "{0}")
    @ValueSource(strings = {
        "{'role':'system','content':'s'},{'role':'user','content':'hi'}",
        "{'role':'developer','content':[{'type':'text','text':'s'}]},{'role':'user','content':'hi'}",
        "{'role':'user','content':[{'type':'text','text':'hi'},{'type':'image_url','image_url':{'url':'u'}}]}",
        "{'role':'user','content':'hi'},{'role':'assistant','content':null,'tool_calls':[{}]},"
            + "{'role':'tool','tool_call_id':'c','content':'x'}",
        "{'role':'user','content':'a'},{'role':'assistant','content':'b'},{'role':'user','content':'hi'}"})
    void whatARealServerTakesIsTaken(String messages) {
        var answer = json(client.send("POST", "/chat/completions", bytes("{'model':'m','messages':[" + messages
            + "]}")));

        assertEquals("hi", answer.at("/choices/0/message/content").asText());
    }

    @Test void aRowThatIsRefusedIsALineOfTheErrorFileAmongGoodOnes() {
        var bad = lines("x", "two").replaceFirst("(?s)^.*?\n", "").replace("\"user\"", "\"human\"");

        var batch = client.finished(client.upload(lines("one") + bad));

        assertEquals("completed {\"total\":2,\"completed\":1,\"failed\":1}", batch.get("status").asText() + " "
            + batch.get("request_counts"));
        assertEquals("400 invalid_value messages[0].role Invalid value: 'human'. Supported values are: 'system',"
            + " 'developer', 'user', 'assistant', 'tool', 'function'.", error(400, client.output(batch, "error_file_id")
            .get(0).at("/response/body")));
    }

    @Test void aModelThatIsNotNamedIsUnknownOnceSomeAre() {
        server = open.add(BatchServer.options().model("small", "x").model("large", "y").start());

        assertEquals("404 model_not_found model The model 'm' does not exist",
            asked("/chat/completions", "{'model':'m'," + HI + "}"));
        assertEquals("200", asked("/chat/completions", "{'model':'large'," + HI + "}"));
        assertEquals(List.of("small", "large"), client.ids("/models"));
        var fault = client.fault(lines("one"));
        assertEquals("model_not_found 1 The provided model 'm' is not supported by the Batch API.",
            fault.get("code").asText() + " " + fault.get("line") + " " + fault.get("message").asText());
    }

    @Test void streamAsTextFailsTheBatchBeforeARowIsPaid() {
        var fault = client.fault(lines("one").replace("\"model\"", "\"stream\":\"True\",\"model\""));

        assertEquals("invalid_type body.stream Invalid type for 'body.stream': expected a boolean, but got a string"
            + " instead.", Stream.of("code", "param", "message").map(key -> fault.get(key).asText())
            .collect(Collectors.joining(" ")));
    }

    @Test void noAnswerNamesAnException() {
        server.answer(body -> {
            throw new IllegalStateException("java.io.IOException: java.nio.file.NoSuchFileException: /a is gone");
        });

        assertEquals("500 engine_error null /a is gone", asked("/chat/completions", "{'model':'m'," + HI + "}"));
        server.answer(body -> { throw new UnsupportedOperationException(); });
        assertEquals("500 engine_error null for a reason that stderr tells",
            asked("/chat/completions", "{'model':'m'," + HI + "}"));
    }

    @ParameterizedTest(name = "{0}")
    @ValueSource(strings = {"/chat/completions", "/responses"})
    void aSchemaIsAnsweredWithAnInstance(String endpoint) {
        var schema = "'name':'label','schema':{'type':'object','properties':{'label':{'type':'string','enum':"
            + "['billing','bug']}},'required':['label'],'additionalProperties':false}";
        boolean isChat = endpoint.equals("/chat/completions");
        var body = isChat
            ? "{'model':'m'," + HI + ",'response_format':{'type':'json_schema','json_schema':{" + schema + "}}}"
            : "{'model':'m','input':'hi','text':{'format':{'type':'json_schema'," + schema + "}}}";

        var answer = json(client.send("POST", endpoint, bytes(body)));

        assertEquals("{\"label\":\"billing\"}",
            answer.at(isChat ? "/choices/0/message/content" : "/output/0/content/0/text").asText());
    }

    static final String MOOD = "{'type':'object','properties':{'mood':{'enum':['sad','very happy','happy',3]}}}";

    @ParameterizedTest(name = "{0}: {1}")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "nothing of them | {\"mood\":\"sad\"}", "I am Happy, not SAD | {\"mood\":\"happy\"}",
        "unhappy and saddened | {\"mood\":\"sad\"}", "very happy | {\"mood\":\"very happy\"}",
        "34 of 3 | {\"mood\":3}", "sad? | {\"mood\":\"sad\"}"})
    void aChoiceIsTheLabelThatStandsFirstInThePrompt(String prompt, String choice) {
        assertEquals(choice, content(held(prompt, MOOD)));
        assertEquals(choice, json(client.send("POST", "/responses", bytes("{'model':'m','input':'" + prompt
            + "','text':{'format':{'type':'json_schema','name':'mood','schema':" + MOOD + "}}}")))
            .at("/output/0/content/0/text").asText());
    }

    @Test void ofALongPromptAnInstanceHasTheBeginningOfTheLastLine() {
        var schema = "{'type':'object','properties':{'name':{'type':'string'}},'required':['name']}";

        assertEquals("{\"name\":\"Nine Keys: A locksmith in Porto finds t\u2026\"}",
            content(held("What is this film like?\\n\\nNine Keys: A locksmith in Porto finds that nine doors\\n", schema)));
        assertEquals("{\"name\":\"" + "x".repeat(40) + "\"}", content(held("x".repeat(40), schema)));
    }

    @Test void aBareEnumIsAChoiceToo() {
        assertEquals("\"bug\"", content(held("a Bug", "{'enum':['billing','bug']}")));
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "{^year^:1994,^tags^:[^a^]} | {^year^:1994,^tags^:[^a^]}",
        "{^year^:1994.5,^tags^:[]} | {^year^:0,^tags^:[^TEXT^]}",
        "{^year^:1994} | {^year^:0,^tags^:[^TEXT^]}",
        "{^year^:1994,^tags^:[^a^],^more^:1} | {^year^:0,^tags^:[^TEXT^]}",
        "{^year^:-1,^tags^:[]} | {^year^:0,^tags^:[^TEXT^]}", "{^year^:1,^tags^:[7]} | {^year^:0,^tags^:[^TEXT^]}"})
    void aPromptThatFitsTheSchemaIsTheAnswer(String prompt, String answer) {
        var schema = "{'type':'object','properties':{'year':{'type':'integer','minimum':0},'tags':{'type':'array',"
            + "'items':{'$ref':'#/$defs/tag'}}},'required':['year','tags'],'additionalProperties':false,"
            + "'$defs':{'tag':{'type':'string'}}}";
        var said = prompt.replace("^", "\"");

        assertEquals(answer.replace("TEXT", said.replace("\"", "\\\"")).replace("^", "\""),
            content(held(said.replace("\"", "\\\""), schema)));
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource({"so sad, 0.9, 3", "nothing, 0.25, 3"})
    void aChoiceIsAsLikelyAsThePromptMakesIt(String prompt, double likelihood, int others) {
        var asked = held(prompt, MOOD).replaceFirst("\\{", "{'logprobs':true,'top_logprobs':4,");

        var choice = json(client.send("POST", "/chat/completions", bytes(asked))).at("/choices/0");

        var tokens = choice.at("/logprobs/content");
        assertEquals(choice.at("/message/content").asText(),
            tokens.valueStream().map(token -> token.get("token").asText()).collect(Collectors.joining()));
        var label = tokens.valueStream().filter(token -> token.get("token").asText().equals("sad")).findFirst().get();
        assertEquals(likelihood, Math.exp(label.get("logprob").asDouble()), 1e-9);
        assertEquals("[115,97,100]", label.get("bytes").toString());
        assertEquals(1 + others, label.get("top_logprobs").size());
        assertEquals(1, label.get("top_logprobs").valueStream()
            .mapToDouble(token -> Math.exp(token.get("logprob").asDouble())).sum(), 1e-9);
    }

    @Test void noLogprobsComeUnasked() {
        var choice = json(client.send("POST", "/chat/completions", bytes(held("so sad", MOOD)))).at("/choices/0");

        assertTrue(choice.get("logprobs").isNull(), choice::toString);
    }

    @Test void logprobsWithoutAChoiceAreThoseOfWordsThatAreCertain() {
        var answer = json(client.send("POST", "/chat/completions",
            bytes("{'model':'m','messages':[{'role':'user','content':'hi,  gr\u00fc\u00dfe you'}],'logprobs':true}")));

        var tokens = answer.at("/choices/0/logprobs/content");
        assertEquals(List.of("hi", ",", "  gr\u00fc\u00dfe", " you"),
            tokens.valueStream().map(token -> token.get("token").asText()).toList());
        assertEquals("[0.0, 0.0, 0.0, 0.0]",
            tokens.valueStream().map(token -> token.get("logprob").asText()).toList().toString());
        assertEquals("[]", tokens.get(0).get("top_logprobs").toString());
    }

    @Test void aTextIsFlaggedForTheCategoriesThatItNames() {
        var answer = json(client.send("POST", "/moderations", 
            bytes("{'model':'m','input':['hello','pure Violence']}")));

        assertEquals("[false, true]", answer.get("results").findValuesAsText("flagged").toString());
        assertEquals("false true 0.9", Stream.of("categories/hate", "categories/violence", "category_scores/violence")
            .map(path -> answer.at("/results/1/" + path).asText()).collect(Collectors.joining(" ")));
    }

    /** A request whose answer is held to a schema. */
    static String held(String prompt, String schema) {
        return "{'model':'m','messages':[{'role':'user','content':'" + prompt + "'}],'response_format':{'type':"
            + "'json_schema','json_schema':{'name':'x','schema':" + schema + "}}}";
    }

    @Test void aJsonObjectIsAnsweredWithOne() {
        var asked = "{'model':'m','messages':[{'role':'user','content':'TEXT'}],'response_format':{'type':"
            + "'json_object'}}";

        assertEquals("{\"text\":\"say json\"}", content(asked.replace("TEXT", "say json")));
        assertEquals("{\\\"a\\\":1}".replace("\\", ""), content(asked.replace("TEXT", "{\\'a\\':1}")));
    }

    @Test void identicalRequestsGetAnswersOfTheirOwn() {
        var first = client.post("/chat/completions", RawClient.body("hi"));

        assertNotEquals(first.get("id"), client.post("/chat/completions", RawClient.body("hi")).get("id"));
    }

    @Test void eachPromptGetsAsManyChoicesAsAreWanted() {
        var chat = client.post("/chat/completions", RawClient.body("say it").put("n", 3));
        var texts = answered("/completions", "{'model':'m','prompt':['one two',[7,8]],'n':2,'max_tokens':1}");

        assertEquals("[0, 1, 2] [say it, say it, say it] 8", chat.findValues("index") + " "
            + chat.findValuesAsText("content") + " " + chat.at("/usage/total_tokens"));
        assertEquals("[one, one, 7, 7] [\"length\",\"length\",\"length\",\"length\"] 4 4".replace(",\"", ", \""),
            texts.findValuesAsText("text") + " " + texts.findValues("finish_reason") + " "
            + texts.at("/usage/prompt_tokens") + " " + texts.at("/usage/completion_tokens"));
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {"'a' | 1", "['a','b'] | 2", "[1,2,3] | 1",
        "[[1,2],[3]] | 2", "[' ','b'] | 2"})
    void eachTextHasAVectorHoweverItIsGiven(String input, int vectors) {
        assertEquals(vectors, answered("/embeddings", "{'model':'m','input':" + input + "}").get("data").size());
    }

    @Test void vectorsAreAsLongAsWantedAndTheSameInBase64() throws IOException {
        var asked = "{'model':'m','input':'a','dimensions':300,'encoding_format':'base64'}";

        var plain = answered("/embeddings", asked.replace("base64", "float")).at("/data/0/embedding");
        var packed = answered("/embeddings", asked).at("/data/0/embedding").binaryValue();

        var floats = ByteBuffer.wrap(packed).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer();
        assertEquals(300, plain.size());
        assertEquals(300, floats.remaining());
        assertEquals(plain.get(299).floatValue(), floats.get(299));
        assertEquals(8, answered("/embeddings", "{'model':'m','input':'a'}").at("/data/0/embedding").size());
    }

    JsonNode answered(String endpoint, String body) { return json(client.send("POST", endpoint, bytes(body))); }

    String content(String body) {
        return json(client.send("POST", "/chat/completions", bytes(body))).at("/choices/0/message/content").asText();
    }

    /** Returns the status of an answer, and what its error says. */
    String asked(String endpoint, String body) {
        var response = client.send("POST", endpoint, bytes(body));
        return response.statusCode() == 200 ? "200" : error(response.statusCode(), json(response));
    }

    static String error(int status, JsonNode body) {
        return status + " " + Stream.of("code", "param", "message").map(key -> body.at("/error/" + key).asText())
            .collect(Collectors.joining(" "));
    }

    /** Returns the response in the error file of a batch of one request. */
    JsonNode answeredInARow(String endpoint, String body) {
        var line = "{'custom_id':'a','method':'POST','url':'" + endpoint + "','body':" + body + "}";
        var created = client.create(batch(client.upload(line.replace('\'', '"'))).put("endpoint", endpoint));
        return client.output(client.finishedBatch(json(created).get("id").asText()), "error_file_id").get(0)
            .get("response");
    }

    static byte[] bytes(String json) { return json.replace('\'', '"').getBytes(UTF_8); }
}
