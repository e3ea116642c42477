package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.support.RawClient.await;
import static sheaf.support.RawClient.json;
import static sheaf.support.RawClient.lines;

import com.fasterxml.jackson.databind.JsonNode;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpRequest;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.Test;
import sheaf.support.RawClient;

/** What the server's page asks: batches by status and name, and each request beside its answer. */
class PageEndpointsTest {
    @AutoClose BatchServer server = BatchServer.options().concurrency(1).start();
    final RawClient client = new RawClient(() -> server.baseUrl());

    @Test void eachRequestStandsBesideItsAnswer() {
        server.answer(body -> body.toString().contains("two") ? BatchServer.Reply.error(429, "busy", "Slow down.")
            : BatchServer.Reply.text("Fine.").finishReason("length"));
        var id = client.create(lines("one", "two"));
        client.finishedBatch(id);

        var page = rows(id, Map.of());

        assertEquals("[{\"line\":1,\"outcome\":\"completed\",\"custom_id\":\"request-1\",\"code\":\"length\","
            + "\"question\":\"one\",\"question_length\":3,\"answer\":\"Fine.\",\"answer_length\":5},"
            + "{\"line\":2,\"outcome\":\"failed\",\"custom_id\":\"request-2\",\"code\":\"429 busy\","
            + "\"question\":\"two\",\"question_length\":3,\"answer\":\"Slow down.\",\"answer_length\":10}]",
            page.get("data").toString());
        assertEquals("{\"cancelled\":0,\"completed\":1,\"expired\":0,\"failed\":1,\"none\":0}",
            page.get("outcomes").toString());
        assertEquals(2, page.get("requests").asInt());
        assertTrue(page.get("on").isNull() && !page.get("pending").asBoolean());
    }

    @Test void rowsComeAPageAtATimeAndBack() {
        var id = client.create(lines(IntStream.range(0, 60).mapToObj(i -> "text " + i).toArray(String[]::new)));
        client.finishedBatch(id);

        var first = rows(id, Map.of());
        var next = rows(id, Map.of("from", first.get("on").asText()));
        var last = rows(id, Map.of("from", next.get("on").asText()));
        var back = rows(id, Map.of("from", "50", "back", "1"));

        assertEquals(IntStream.rangeClosed(1, 25).boxed().toList(), numbers(first));
        assertEquals(IntStream.rangeClosed(26, 50).boxed().toList(), numbers(next));
        assertEquals(IntStream.rangeClosed(51, 60).boxed().toList(), numbers(last));
        assertTrue(last.get("on").isNull());
        assertEquals(IntStream.rangeClosed(26, 50).map(i -> 76 - i).boxed().toList(), numbers(back));
        assertEquals(25, back.get("on").asInt());
    }

    @Test void rowsAreFilteredByOutcomeAndByTextInWhateverStandsThere() {
        server.answer(body -> body.toString().contains("ZWEI") ? BatchServer.Reply.error(400, "bad_word", "Not so.")
            : BatchServer.Reply.text("\u00c4hnlich"));
        var id = client.create(lines("eins", "ZWEI", "drei"));
        client.finishedBatch(id);

        assertEquals(List.of(2), numbers(rows(id, Map.of("outcome", "failed"))));
        assertEquals(List.of(1, 3), numbers(rows(id, Map.of("outcome", "completed"))));
        assertEquals(List.of(2), numbers(rows(id, Map.of("text", "zwei"))));
        assertEquals(List.of(1, 3), numbers(rows(id, Map.of("text", "\u00e4HNLICH"))));
        assertEquals(List.of(2), numbers(rows(id, Map.of("text", "bad_word"))));
        assertEquals(List.of(3), numbers(rows(id, Map.of("text", "request-3"))));
        assertEquals(List.of(), numbers(rows(id, Map.of("text", "zwei", "outcome", "completed"))));
    }

    @Test void aLongTextIsCutAndWholeWhenAskedForAlone() {
        server.reply(text -> "\ud83c\udf3e".repeat(500));
        var id = client.create(lines("x".repeat(5_000)));
        client.finishedBatch(id);

        var row = rows(id, Map.of()).at("/data/0");
        var whole = page("/" + id + "/row?line=1");

        assertEquals("x".repeat(600), row.get("question").asText());
        assertEquals(5_000, row.get("question_length").asInt());
        assertEquals("\ud83c\udf3e".repeat(300), row.get("answer").asText());
        assertEquals("x".repeat(5_000), whole.get("question").asText());
        assertEquals("\ud83c\udf3e".repeat(500), whole.get("answer").asText());
        assertEquals("m", json(whole.get("request").asText().getBytes(UTF_8)).at("/body/model")
            .asText());
        assertEquals(200, json(whole.get("response").asText().getBytes(UTF_8))
            .at("/response/status_code").asInt());
    }

    @Test void aBatchThatRunsShowsWhatItHas() {
        server.pause();
        var id = client.create(lines("one", "two"));
        await(() -> client.counted(id, "total") == 2);
        assertEquals(List.of("none", "none"), outcomes(rows(id, Map.of())));
        assertEquals(List.of(1, 2), numbers(rows(id, Map.of("outcome", "none"))));

        server.resume();
        client.finishedBatch(id);

        assertEquals(List.of("completed", "completed"), outcomes(rows(id, Map.of())));
    }

    @Test void whatWasCancelledIsToldFromWhatFailed() {
        server.reply(text -> {
            if (text.equals("two")) throw new IllegalStateException("no");
            server.pause();
            return text;
        });
        var id = client.create(lines("two", "one", "three", "four"));
        await(() -> client.counted(id, "completed") + client.counted(id, "failed") == 2);
        client.cancel(id);
        server.resume();

        var batch = client.finishedBatch(id);

        assertEquals("{\"total\":4,\"completed\":1,\"failed\":3}", batch.get("request_counts").toString());
        assertFalse(batch.has("unanswered"), "OpenAI's clients know no such field");
        assertEquals("{\"cancelled\":2}", page("/" + id).get("unanswered").toString());
        assertEquals(List.of("failed", "completed", "cancelled", "cancelled"), outcomes(rows(id, Map.of())));
        assertEquals(2, rows(id, Map.of()).at("/outcomes/cancelled").asInt());
    }

    @Test void filesThatWereDeletedAreNotShown() {
        var id = client.create(lines("one"));
        var batch = client.finishedBatch(id);
        client.send("DELETE", "/files/" + batch.get("output_file_id").asText(), new byte[0]);

        var row = rows(id, Map.of()).at("/data/0");
        assertEquals("none", row.get("outcome").asText());
        assertEquals("one", row.get("question").asText());
        assertTrue(row.get("answer").isNull());

        client.send("DELETE", "/files/" + batch.get("input_file_id").asText(), new byte[0]);
        assertEquals(0, rows(id, Map.of()).get("requests").asInt());
    }

    @Test void linesThatAreNoRequestAreShownAsTheyStand() {
        var id = client.create("{\"custom_id\":\"a\"}\n\n[1]\nnot json\n");
        client.finishedBatch(id);

        var data = rows(id, Map.of()).get("data");

        assertEquals(List.of("{\"custom_id\":\"a\"}", "[1]", "not json"), data.findValuesAsText("question"));
        assertEquals(List.of(1, 3, 4), numbers(rows(id, Map.of())));
    }

    @Test void batchesAreFoundByStatusNameModelAndId() {
        var named = create(Map.of("sheaf", "0a/1-1/Tickets/token", "owner", "\u00c4nne"));
        var refused = client.create("{}\n");
        client.finishedBatch(named);
        client.finishedBatch(refused);

        assertEquals(List.of(refused, named), ids(""));
        assertEquals(List.of(refused), ids("?status=failed"));
        assertEquals(List.of(refused, named), ids("?status=failed,completed"));
        assertEquals(List.of(named), ids("?text=tickets"));
        assertEquals(List.of(named), ids("?text=" + URLEncoder.encode("\u00c4nne", UTF_8)));
        assertEquals(List.of(refused), ids("?text=" + refused.substring(10, 30)));
        assertEquals(List.of(), ids("?text=request_counts"));
        assertEquals(List.of(), ids("?status=nix"));
        assertEquals(List.of(named), ids("?limit=1&after=" + refused));
        assertEquals(1, page("?status=failed").at("/statuses/completed").asInt());
    }

    @Test void whatIsNotThereIsRefused() {
        var id = client.create(lines("one"));
        client.finishedBatch(id);

        assertEquals("No batch found with id 'nix'.", page("/nix/rows").at("/error/message").asText());
        assertEquals("No request in line 7.", page("/" + id + "/row?line=7").at("/error/message").asText());
        assertEquals("Invalid value: 'lost'. Supported values are: '', 'none', 'completed', 'failed', 'cancelled',"
            + " 'expired'.", rows(id, Map.of("outcome", "lost")).at("/error/message").asText());
        assertEquals("Invalid 'from': expected an integer from 1 to 999999999, but got '0' instead.",
            rows(id, Map.of("from", "0")).at("/error/message").asText());
    }

    @Test void withAKeyItIsNeeded() {
        server.close();
        server = BatchServer.options().apiKey("secret").start();

        assertEquals("You didn't provide an API key.", page("").at("/error/message").asText());
        assertEquals("You didn't provide an API key.", page("/x/rows").at("/error/message").asText());
    }

    JsonNode rows(String id, Map<String, String> asked) {
        var query = new StringBuilder("/" + id + "/rows?");
        asked.forEach((name, value) -> query.append("&").append(name).append("=")
            .append(URLEncoder.encode(value, UTF_8)));
        return page(query.toString());
    }

    JsonNode page(String rest) {
        var root = server.baseUrl().replaceFirst("/v1$", "");
        return json(RawClient.send(HttpRequest.newBuilder(URI.create(root + "/page/batches" + rest))));
    }

    List<String> ids(String query) { return page(query).get("data").findValuesAsText("id"); }

    String create(Map<String, String> metadata) {
        var asked = RawClient.batch(client.upload(lines("one")));
        metadata.forEach(asked.putObject("metadata")::put);
        return json(client.create(asked)).get("id").asText();
    }

    static List<Integer> numbers(JsonNode page) {
        return page.get("data").findValues("line").stream().map(JsonNode::asInt).toList();
    }

    static List<String> outcomes(JsonNode page) { return page.get("data").findValuesAsText("outcome"); }
}
