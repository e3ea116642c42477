package sheaf;

import static java.nio.charset.StandardCharsets.UTF_8;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;
import static sheaf.support.RawClient.json;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.List;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.support.ScriptedServer;

/** A provider that says what a test wrote down, and knows one batch: that of the guide. */
final class ScriptedProvider extends ScriptedServer {
    static final String ID = "mybatch-123";
    static final String BATCH = "/batches/" + ID;
    static final String OUTPUT = "/files/out/content";
    static final String ERRORS = "/files/err/content";

    ScriptedProvider() {
        on("POST /files", GuideTest.FILE);
        on("GET /batches", "{\"object\":\"list\",\"data\":[]}");
        on("POST /batches", GuideTest.CREATED);
    }

    Provider provider() { return Provider.of(baseUrl("/v1")); }

    /** The smallest valid draft: one request per text. */
    Draft ask(String... texts) {
        return batch().provider(provider()).quiet().model("m").prompts("{{value}}", rows(List.of(texts)));
    }

    String sentFile() { return file(heard("POST /files").get(0)); }

    List<JsonNode> sentLines() { return sentFile().lines().map(line -> json(line.getBytes(UTF_8))).toList(); }

    JsonNode sentBatch() { return json(heard("POST /batches").get(0).body().getBytes(UTF_8)); }

    /** Says from now on that the batch is completed, and has these two files. */
    void completed(String output, String errors) {
        on("GET " + BATCH, collected("completed")).on("GET " + OUTPUT, output).on("GET " + ERRORS, errors);
    }

    /** The batch of the guide, over, with an output file: one that is completed without any is asked for it again. */
    static ObjectNode ended(String status) {
        var batch = (ObjectNode) json(GuideTest.COMPLETED.getBytes(UTF_8));
        return batch.put("status", status).put("output_file_id", "out");
    }

    /** The batch of the guide, over, with an output and an error file, and no word on how many lines they hold. */
    static ObjectNode collected(String status) {
        return ended(status).put("output_file_id", "out").put("error_file_id", "err").putNull("request_counts");
    }

    static String success(String id, String text) {
        return "{\"id\":\"r\",\"custom_id\":\"" + id + "\",\"response\":{\"status_code\":200,\"body\":"
            + "{\"choices\":[{\"message\":{\"content\":\"" + text + "\"},\"finish_reason\":\"stop\"}]}},"
            + "\"error\":null}\n";
    }

    static String failure(String id, int status) {
        return "{\"id\":\"r\",\"custom_id\":\"" + id + "\",\"response\":{\"status_code\":" + status
            + ",\"body\":{\"error\":{\"message\":\"bad\"}}},\"error\":null}\n";
    }
}
