package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.support.RawClient.batch;
import static sheaf.support.RawClient.json;
import static sheaf.support.RawClient.lines;

import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import sheaf.support.Opened;
import sheaf.support.RawClient;

/** What an input file must hold for its batch to begin. */
class ValidationTest {
    @AutoClose final Opened open = new Opened();
    BatchServer server = open.add(BatchServer.start());
    final RawClient client = new RawClient(() -> server.baseUrl());

    @Tag("S11")
    @ParameterizedTest(name = "{0}: {1}")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "{nonsense | invalid_json_line | null",
        "[] | invalid_json_line | null",
        "{} {} | invalid_json_line | null",
        "{'method':'POST','url':URL,'body':{}} | missing_required_parameter | custom_id",
        "{'custom_id':'a','url':URL,'body':{}} | missing_required_parameter | method",
        "{'custom_id':'a','method':'POST','body':{}} | missing_required_parameter | url",
        "{'custom_id':'a','method':'POST','url':URL} | missing_required_parameter | body",
        "{'custom_id':'','method':'POST','url':URL,'body':{}} | missing_required_parameter | custom_id",
        "{'custom_id':7,'method':'POST','url':URL,'body':{}} | invalid_type | custom_id",
        "{'custom_id':'request-1','method':'POST','url':URL,'body':{}} | duplicate_custom_id | custom_id",
        "{'custom_id':'a','method':'GET','url':URL,'body':{}} | invalid_value | method",
        "{'custom_id':'a','method':'POST','url':'/v1/embeddings','body':{}} | invalid_url | url",
        "{'custom_id':'a','method':'POST','url':URL,'body':7} | invalid_type | body",
        "{'custom_id':'a','method':'POST','url':URL,'body':{}} | invalid_request | body.model",
        "{'custom_id':'a','method':'POST','url':URL,'body':{'model':'m'}} | invalid_request | body.messages",
        "{'custom_id':'a','method':'POST','url':URL,'body':{'model':'m','messages':[],'stream':true}}"
            + " | streaming_unsupported | body.stream"})
    void aBadLineFailsTheBatchAndIsNamed(String line, String code, String param) {
        var json = line.replace("URL", "'/v1/chat/completions'").replace('\'', '"');

        var batch = client.finished(client.upload(lines("one") + "\n" + json + "\n"));

        assertEquals("failed", batch.get("status").asText());
        assertEquals(1, batch.at("/errors/data").size());
        assertEquals(code, batch.at("/errors/data/0/code").asText());
        assertEquals(param, batch.at("/errors/data/0/param").asText());
        assertEquals(3, batch.at("/errors/data/0/line").asInt());
        assertEquals("{\"total\":0,\"completed\":0,\"failed\":0}", batch.get("request_counts").toString());
    }

    @Tag("S10") @Test void everyBadLineIsNamedUpToAHundred() {
        var batch = client.finished(client.upload(lines("one") + "nonsense\n".repeat(150)));

        assertEquals(100, batch.at("/errors/data").size());
        assertEquals(101, batch.at("/errors/data/99/line").asInt());
    }

    @Tag("S11") @Test void aByteOrderMarkIsNamed() {
        assertTrue(client.fault("\uFEFF" + lines("one")).get("message").asText().contains("BOM"));
    }

    @Tag("S11") @Test void aFileOfBlankLinesIsEmpty() {
        assertEquals("empty_file", client.fault("\n\n").get("code").asText());
    }

    @Tag("S11") @Test void invalidUtf8IsNamedByItsPlace() {
        var bytes = lines("one", "two").getBytes(UTF_8);
        bytes[lines("one").length() + 4] = (byte) 0xFF;

        var fault = client.finished(json(client.upload(bytes, "a.jsonl", "batch")).get("id").asText())
            .at("/errors/data/0");

        assertEquals("This line is not valid UTF-8 (byte 5).", fault.get("message").asText());
        assertEquals(2, fault.get("line").asInt());
    }

    @Tag("S11") @Test void tooManyRequestsFailTheBatch() {
        server = open.add(BatchServer.options().maxRequests(2).start());

        assertEquals("completed", client.finished(client.upload(lines("one", "two"))).get("status").asText());
        assertEquals("too_many_tasks", client.fault(lines("one", "two", "three")).get("code").asText());
    }

    @Tag("S12") @Test void allRequestsOfABatchHaveOneModelUnlessToldOtherwise() {
        var lines = lines("one", "two").replaceFirst("\"m\"", "\"other\"");

        var fault = client.fault(lines);
        server = open.add(BatchServer.options().mixedModels().start());

        assertEquals("mismatched_model 2 body.model The model 'm' is not 'other', which the first request names;"
            + " all requests of a batch must have one model.", Stream.of("code", "line", "param", "message")
            .map(key -> fault.get(key).asText()).collect(Collectors.joining(" ")));
        var mixed = client.finished(client.upload(lines));
        assertEquals("completed", mixed.get("status").asText());
        assertTrue(mixed.get("model").isNull());
    }

    @Tag("S11") @Test void anUnknownModelIsNamedWithItsLine() {
        server.models("m1", "m2");

        var fault = client.fault(lines("one"));

        assertEquals("model_not_found", fault.get("code").asText());
        assertEquals("The provided model 'm' is not supported by the Batch API.", fault.get("message").asText());
        assertEquals(1, fault.get("line").asInt());
        assertEquals(List.of("m1", "m2"), client.ids("/models"));
    }

    @Tag("S11") @Test void fiftyThousandInputsAreEmbeddedAndNoMore() {
        var line = "{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"/v1/embeddings\",\"body\":{\"model\":\"m\","
            + "\"input\":[" + "\"x\",".repeat(50_000) + "\"x\"]}}";

        var created = json(client.create(batch(client.upload(line)).put("endpoint", "/v1/embeddings")));

        assertEquals("too_many_tasks",
            client.finishedBatch(created.get("id").asText()).at("/errors/data/0/code").asText());
    }

    @Test void carriageReturnsAndAMissingLastNewlineAreFine() {
        var batch = client.finished(client.upload(lines("one", "two").strip().replace("\n", "\r\n")));

        assertEquals("{\"total\":2,\"completed\":2,\"failed\":0}", batch.get("request_counts").toString());
    }

    @Tag("S11") @Test void idsThatDifferInALoneSurrogateDiffer() {
        var batch = client.finished(client.upload(lines("one", "two").replace("request-1", "\\ud800")
            .replace("request-2", "\\ud801")));

        assertEquals(2, batch.at("/request_counts/completed").asInt());
    }

    @Tag("S11") @Test void aNumberBeyondMeasureIsNoJson() {
        var fault = client.fault(lines("one") + lines("two").replace("request-1", "request-2")
            .replace("\"model\"", "\"temperature\":1e99999999999,\"model\""));

        assertEquals("invalid_json_line 2", fault.get("code").asText() + " " + fault.get("line").asInt());
        assertEquals(400, client.send("POST", "/batches", "{\"a\":1e99999999999}".getBytes(UTF_8)).statusCode());
        assertEquals(400, client.upload("{\"a\":1e99999999999}".getBytes(UTF_8), "a.jsonl", "batch").statusCode());
    }
}
