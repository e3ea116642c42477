package sheaf.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;
import sheaf.server.BatchObject.BatchError;

/** What clients see of a batch, from its creation to its end. */
class BatchObjectTest {
    final BatchObject batch = new BatchObject(BatchObject.created("batch_1",
        json("{'endpoint':'/v1/chat/completions','input_file_id':'file-1','completion_window':'24h'}"), 100,
        Duration.ofDays(1)));

    @Test void aStatusIsStampedWhenItIsEnteredFirst() {
        batch.enter("finalizing", 200);
        batch.enter("finalizing", 300);

        assertTrue(batch.is("finalizing"));
        assertEquals(200, batch.copy().get("finalizing_at").asInt());
        assertEquals(86_500, batch.copy().get("expires_at").asInt());
    }

    @Test void aBatchThatWasCancelledIsAdmittedAllTheSame() {
        batch.enter("cancelling", 200);
        batch.admit(3, "m", 300);

        assertEquals(3, batch.count("total"));
        assertTrue(batch.is("cancelling") && batch.copy().get("in_progress_at").isNull());
    }

    @Test void usageAddsUpInEitherWords() {
        batch.countLine(json("{'response':{'status_code':200,'body':{'usage':{'prompt_tokens':3,'completion_tokens':4,"
            + "'total_tokens':7,'prompt_tokens_details':{'cached_tokens':2}}}}}"));
        batch.countLine(json("{'response':{'status_code':200,'body':{'usage':{'input_tokens':10,'output_tokens':20,"
            + "'total_tokens':30,'output_tokens_details':{'reasoning_tokens':5}}}}}"));
        batch.countLine(json("{'response':null,'error':{'code':'batch_expired'}}"));

        assertEquals(json("{'input_tokens':13,'input_tokens_details':{'cached_tokens':2},'output_tokens':24,"
            + "'output_tokens_details':{'reasoning_tokens':5},'total_tokens':37}").toString(),
            batch.copy().get("usage").toString());
        assertEquals("{\"total\":0,\"completed\":2,\"failed\":1}", batch.copy().get("request_counts").toString());
    }

    @Test void faultsAreShownUnlessItWasCancelledBeforeItBegan() {
        var faults = List.of(BatchError.notJson("no").at(2));
        var cancelled = new BatchObject(batch.copy());
        cancelled.enter("cancelling", 200);

        batch.fail(faults, List.of(), 300);
        cancelled.fail(faults, List.of(), 300);

        assertEquals("failed no 2", batch.text("status") + " " + batch.copy().at("/errors/data/0/message").asText()
            + " " + batch.copy().at("/errors/data/0/line"));
        assertTrue(cancelled.is("cancelled") && cancelled.copy().get("errors").isNull());
    }

    @Test void whatRanBeforeAFailureKeepsItsFiles() {
        batch.admit(2, "m", 200);
        batch.fail(List.of(BatchError.of("server_error", null, "no")), List.of(json("{'id':'file-output-1'}"),
            json("{'id':'file-error-1'}")), 300);

        assertEquals("file-output-1 file-error-1", batch.text("output_file_id") + " " + batch.text("error_file_id"));
    }

    private static ObjectNode json(String text) {
        try {
            return (ObjectNode) Json.MAPPER.readTree(text.replace('\'', '"'));
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }
}
