package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static sheaf.support.RawClient.JSON;
import static sheaf.support.RawClient.batch;
import static sheaf.support.RawClient.json;
import static sheaf.support.RawClient.lines;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import sheaf.server.BatchServer.Dialect;
import sheaf.support.AnswerSchema;
import sheaf.support.Project;
import sheaf.support.RawClient;

/** Every answer of the server, in each dialect, against the schema beside this file. */
class AnswerSchemaTest {
    static final Set<String> OVER = Set.of("completed", "failed", "expired", "cancelled");

    final AnswerSchema schema = new AnswerSchema(Project.root().resolve("tests/server/answers.schema.json"));
    final List<String> faults = new ArrayList<>();
    Dialect dialect = Dialect.OPENAI;
    BatchServer server;
    final RawClient client = new RawClient(() -> server.baseUrl());

    AnswerSchemaTest() throws IOException { }

    @AfterEach void close() { server.close(); }

    @ParameterizedTest
    @EnumSource(Dialect.class)
    void aBatchsWholeWayIsAsTheSchemaHasIt(Dialect dialect) {
        speak(dialect);
        seen("FilePage", filesMissing() ? null : json(client.get("/files")));
        seen("Page", json(client.get("/batches")));

        var done = ended(lines("one", "two") + lines("x", "x", "three").replaceFirst("(?s)^.*\n.*\n(?=.)", "")
            .replace("\"user\"", "\"human\""));
        ended(lines("one").replace("\"messages\"", "\"msgs\""));
        server.pause();
        var held = created(upload(lines("one", "two")));
        seen("Batch", json(client.cancel(held)));
        server.resume();
        seen("Batch", over(held));

        seen("OutputLine", client.output(done, "output_file_id").get(0));
        seen("ErrorLine", client.output(done, "error_file_id").get(0));
        pages(done.get("output_file_id").asText());
        assertEquals(List.of(), faults);
    }

    /** Sees the lists that now have something, and the end of a file. */
    void pages(String output) {
        var list = json(client.get("/batches"));
        seen("Page", list);
        (list.isArray() ? list : list.get("data")).forEach(each -> seen("Batch", each));
        if (!filesMissing()) {
            var files = json(client.get("/files"));
            seen("FilePage", files);
            files.get("data").forEach(each -> seen("File", each));
            seen("File", json(client.get("/files/" + output)));
            seen("Deleted", json(client.send("DELETE", "/files/" + output, new byte[0])));
        }
        seen("Error", json(client.get("/files/" + output + "x/content")));
        seen("Error", json(client.get("/batches/none")));
        seen("Error", json(client.create(JSON.createObjectNode())));
        seen("Models", json(client.get("/models")));
        seen("Model", json(client.get("/models/echo")));
    }

    @Test void anUploadInPartsIsAsTheSchemaHasIt() {
        speak(Dialect.OPENAI);
        var asked = JSON.createObjectNode().put("filename", "a.jsonl").put("purpose", "batch")
            .put("bytes", lines("one").length()).put("mime_type", "application/jsonl");

        var upload = client.post("/uploads", asked);
        var part = json(client.form("/uploads/" + upload.get("id").asText() + "/parts", Map.of("data", lines("one"))));
        var order = JSON.createObjectNode();
        order.putArray("part_ids").add(part.path("id").asText());

        seen("Upload", upload);
        seen("Part", part);
        seen("Upload", client.post("/uploads/" + upload.get("id").asText() + "/complete", order));
        var other = client.post("/uploads", asked).get("id").asText();
        seen("Upload", client.post("/uploads/" + other + "/cancel", JSON.createObjectNode()));
        assertEquals(List.of(), faults);
    }

    @ParameterizedTest(name = "{0} {2}")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "ChatCompletion | /chat/completions | {'messages':[{'role':'user','content':'one two'}],'n':2,'max_tokens':1}",
        "Completion | /completions | {'prompt':['a','b']}",
        "Completion | /completions | {'prompt':[1,2,3],'max_tokens':2}",
        "Embeddings | /embeddings | {'input':[[1,2],[3]],'dimensions':12}",
        "Embeddings | /embeddings | {'input':'a','encoding_format':'base64'}",
        "Response | /responses | {'input':'one two'}",
        "Response | /responses | {'input':'one two','max_output_tokens':1,'temperature':0.1,'top_p':null,'metadata':"
            + "{'a':'b'},'instructions':'i','tools':[{'type':'web_search'}],'tool_choice':'none','store':false,"
            + "'parallel_tool_calls':false,'text':{'verbosity':'low'},'reasoning':{'effort':'low'}}",
        "Response | /responses | {'input':'a','id':7,'status':'x','output':[],'usage':null,'error':{},'object':'o'}",
        "Error | /chat/completions | {'messages':[]}",
        "Error | /images/generations | {'prompt':'a'}",
        "Moderations | /moderations | {'input':['a','violence']}"})
    void anEnginesAnswerIsAsTheSchemaHasIt(String name, String path, String body) throws IOException {
        speak(Dialect.OPENAI);

        seen(name, client.post(path, ((ObjectNode) JSON.readTree(body.replace('\'', '"'))).put("model", "m")));

        assertEquals(List.of(), faults);
    }

    @Test void theSchemaSeesWhatIsWrong() throws IOException {
        speak(Dialect.OPENAI);
        var file = (ObjectNode) json(client.upload(lines("one").getBytes(UTF_8), "a.jsonl", "batch"));

        for (var wrong : List.of("{\"bytes\":\"7\"}", "{\"object\":\"batch\"}", "{\"created_at\":1}",
            "{\"filename\":\"\"}", "{\"purpose\":null}", "{\"more\":1}"))
            assertNotEquals(List.of(), schema.faults(file.deepCopy().setAll((ObjectNode) JSON.readTree(wrong)), "File",
                ""), wrong);
        assertEquals(List.of("File.id is missing"), schema.faults(file.without("id"), "File", ""));
    }

    void speak(Dialect dialect) {
        this.dialect = dialect;
        server = BatchServer.options().dialect(dialect).start();
    }

    /** Returns whether the dialect shows no files, as kluster.ai does not. */
    boolean filesMissing() { return dialect == Dialect.KLUSTER; }

    void seen(String name, JsonNode answer) {
        if (answer != null) faults.addAll(schema.faults(answer, name, dialect.toString()));
    }

    /** Runs a batch over these lines to its end, and returns it. */
    JsonNode ended(String lines) { return over(created(upload(lines))); }

    String upload(String lines) {
        var file = dialect != Dialect.TOGETHER ? json(client.upload(lines.getBytes(UTF_8), "in.jsonl", "batch"))
            : json(client.form("/files/upload", Map.of("purpose", "batch-api", "file_name", "in.jsonl", "file",
                lines)));
        seen("File", file);
        return file.get("id").asText();
    }

    String created(String file) {
        var asked = batch(file).put("completion_window", dialect == Dialect.VOYAGE ? "12h" : "24h");
        asked.putObject("metadata").put("run", "7");
        var created = json(client.create(asked));
        seen("Created", created);
        return (created.has("job") ? created.get("job") : created).get("id").asText();
    }

    JsonNode over(String id) {
        RawClient.await(() -> {
            var batch = client.found(id);
            seen("Batch", batch);
            return OVER.contains(batch.get("status").asText().toLowerCase());
        });
        return client.found(id);
    }
}
