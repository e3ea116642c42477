package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;

import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Result;
import sheaf.Vocabulary.Outcome;
import sheaf.Vocabulary.RequestCounts;
import sheaf.Vocabulary.Status;

/**
 * The payloads of kluster.ai's batch guide, word for word, and what other providers are known to send in their place.
 */
class GuideTest {
    static final String FILE = """
        {
        "id": "myfile-123",
        "bytes": 2797,
        "created_at": "1733832768",
        "filename": "my_batch_request.jsonl",
        "object": "file",
        "purpose": "batch"
        }""";
    static final String CREATED = """
        {
        "id": "mybatch-123",
        "completion_window": "24h",
        "created_at": 1733832777,
        "endpoint": "/v1/chat/completions",
        "input_file_id": "myfile-123",
        "object": "batch",
        "status": "validating",
        "cancelled_at": null,
        "cancelling_at": null,
        "completed_at": null,
        "error_file_id": null,
        "errors": null,
        "expired_at": null,
        "expires_at": 1733919177,
        "failed_at": null,
        "finalizing_at": null,
        "in_progress_at": null,
        "metadata": {},
        "output_file_id": null,
        "request_counts": {
        "completed": 0,
        "failed": 0,
        "total": 0
        }
        }""";
    static final String COMPLETED = """
        {
        "id": "mybatch-123",
        "object": "batch",
        "endpoint": "/v1/chat/completions",
        "errors": null,
        "input_file_id": "myfile-123",
        "completion_window": "24h",
        "status": "completed",
        "output_file_id": "myfile-123-output",
        "error_file_id": null,
        "created_at": "1733832777",
        "in_progress_at": "1733832777",
        "expires_at": "1733919177",
        "finalizing_at": "1733832781",
        "completed_at": "1733832781",
        "failed_at": null,
        "expired_at": null,
        "cancelling_at": null,
        "cancelled_at": null,
        "request_counts": {
        "total": 4,
        "completed": 4,
        "failed": 0
        },
        "metadata": {}
        }""";
    static final String CANCELLING = COMPLETED.replace("\"completed\",", "\"cancelling\",")
        .replace("1733832781", "1730821906")
        .replace("\"total\": 4,\n\"completed\": 4", "\"total\": 3,\n\"completed\": 3");
    /** The guide elides the second batch as { ... }; everything around it is as it stands there. */
    static final String LIST = "{\"object\": \"list\", \"data\": [" + COMPLETED + ","
        + COMPLETED.replace("mybatch-123", "mybatch-789")
        + "], \"first_id\": \"mybatch-123\", \"last_id\": \"mybatch-789\", \"has_more\": false, \"count\": 1, "
        + "\"page\": 1, "
        + "\"page_count\": -1, \"items_per_page\": 9223372036854775807}";

    final Map<String, Queue<String>> script = new HashMap<>();
    final List<String> heard = Collections.synchronizedList(new ArrayList<>());
    HttpServer stub;
    @TempDir Path home;

    @BeforeEach void start() throws IOException {
        System.setProperty("SHEAF_HOME", home.toString());
        stub = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        stub.createContext("/", exchange -> {
            exchange.getRequestBody().readAllBytes();
            var route = exchange.getRequestMethod() + " " + exchange.getRequestURI().getPath();
            heard.add(route);
            var answers = script.getOrDefault(route, new ArrayDeque<>());
            if (answers.isEmpty()) answers.add("404 {\"error\":{\"message\":\"no\"}}");
            var answer = answers.size() > 1 ? answers.poll() : answers.peek();
            int status = answer.matches("(?s)[0-9]{3} .*") ? Integer.parseInt(answer.substring(0, 3)) : 200;
            var body = (status == 200 ? answer : answer.substring(4)).getBytes(StandardCharsets.UTF_8);
            exchange.sendResponseHeaders(status, body.length == 0 ? -1 : body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        stub.start();
        on("POST /v1/files", FILE);
        on("GET /v1/batches", "{\"object\":\"list\",\"data\":[]}");
        on("POST /v1/batches", CREATED);
    }

    @AfterEach void stop() { stub.stop(0); }

    @Tag("C22")
    @Test void theGuidesPayloadsAreRead() {
        on("GET /v1/batches/mybatch-123", CREATED, COMPLETED);
        on("GET /v1/files/myfile-123-output/content", answer("request-1", "Hello"));

        var sent = batch().provider(here()).quiet().model("deepseek-ai/DeepSeek-V3").prompts("Hi").submit();

        assertEquals("mybatch-123", sent.id());
        assertEquals(List.of("Hello"), sent.results().stream().map(Result::text).toList());
        assertEquals(new RequestCounts(4, 4, 0), sent.requestCounts());
        assertEquals(Status.COMPLETED, sent.status());
    }

    @Tag("C22")
    @Tag("C25")
    @Test void theGuidesListIsATable() {
        on("GET /v1/batches", LIST);

        // in any time zone
        var table = here().batches(3).toString().replaceAll("2024-12-1. ..:..", "2024-12-10 12:12");

        assertEquals("""
            id           status     requests  created           name  kept
            -----------  ---------  --------  ----------------  ----  ----
            mybatch-123  completed  4/4       2024-12-10 12:12
            mybatch-789  completed  4/4       2024-12-10 12:12""", table);
    }

    @Tag("C22")
    @Tag("C39")
    @Test void theGuidesCancelIsRead() {
        on("POST /v1/batches/mybatch-123/cancel", CANCELLING);
        on("GET /v1/batches/mybatch-123", CREATED);

        assertEquals("Batch[mybatch-123 cancelling 3/3]", here().batch("mybatch-123").cancel().toString());
    }

    @Tag("C39")
    @Test void cancellingWhatIsOverReadsWhatItIs() {
        on("GET /v1/batches/mybatch-123", CREATED, COMPLETED);
        on("POST /v1/batches/mybatch-123/cancel",
            "409 {\"error\":{\"message\":\"Cannot cancel a batch with status 'completed'.\"}}");

        assertEquals(Status.COMPLETED, here().batch("mybatch-123").cancel().status());
    }

    @Tag("C39")
    @Test void aCancelThatIsOnlyNoddedAtReadsWhatItIs() {
        on("GET /v1/batches/mybatch-123", CREATED, CANCELLING);
        on("POST /v1/batches/mybatch-123/cancel", "{\"message\":\"accepted\"}");

        assertEquals("Batch[mybatch-123 cancelling 3/3]", here().batch("mybatch-123").cancel().toString());
    }

    @Tag("C17")
    @Tag("C22")
    @Test void statusesAndTimesOfOtherSpellingsAreRead() {
        on("GET /v1/batches/mybatch-123", CREATED.replace("validating", "in_queue"),
            COMPLETED.replace("\"completed\",", "\"CANCELED\",")
            .replace("\"errors\": null", "\"errors\": []").replace("\"1733832777\"",
            "\"2025-01-01T10:00:00.123456Z\""));
        on("GET /v1/files/myfile-123-output/content", "");

        var sent = batch().provider(here()).quiet().model("m").prompts("Hi").submit();

        assertEquals("in_queue", sent.status().text());
        assertEquals(Map.of(Outcome.CANCELLED, 1L), sent.results().counts());
    }

    @Tag("C26")
    @Test void blankFileIdsMeanNoFile() {
        on("GET /v1/batches/mybatch-123", COMPLETED.replace("\"myfile-123-output\"", "\"\"")
            .replace("\"error_file_id\": null", "\"error_file_id\": \"\""));

        var results = batch().provider(here()).quiet().model("m").prompts("Hi").submit().results();

        assertEquals(Map.of(Outcome.MISSING, 1L), results.counts());
        assertTrue(heard.stream().noneMatch(route -> route.contains("content")), heard.toString());
    }

    @Tag("C23")
    @Test void countsThatAreMissingAreZero() {
        on("GET /v1/batches/mybatch-123", "{\"id\":\"mybatch-123\",\"request_counts\":{\"completed\":null}}");

        assertEquals(new RequestCounts(0, 0, 0), here().batch("mybatch-123").requestCounts());
    }

    @Tag("C28")
    @Tag("C30")
    @Test void linesOfOtherShapesAreRead() {
        on("GET /v1/batches/mybatch-123", COMPLETED.replace("\"error_file_id\": null", "\"error_file_id\": \"e\""));
        on("GET /v1/files/myfile-123-output/content", String.join("\r\n",
            "\uFEFF{\"custom_id\":\"request-3\",\"response\":{\"status_code\":200,"
                + "\"body\":\"{\\\"choices\\\":[{\\\"message\\\":{\\\"content\\\":\\\"text body\\\"}}]}\"}}",
            "", answer("request-1", "first").strip(), "{torn", answer("request-1", "second").strip(),
                answer("request-99", "?").strip(),
            "{\"custom_id\":\"request-2\",\"response\":{\"status_code\":0,\"request_id\":\"\",\"body\":{}},"
                + "\"error\":null}"));
        on("GET /v1/files/e/content", "{\"custom_id\":\"request-4\",\"error\":\"plain text\"}\n"
            + "{\"custom_id\":\"request-5\",\"response\":{\"status_code\":429,\"message\":\"slow down\"}}\n"
            + "{\"custom_id\":\"request-6\",\"response\":null,\"error\":{\"code\":\"batch_expired\","
            + "\"message\":\"too late\"}}");

        var results = batch().provider(here()).quiet().model("m").prompts("1", "2", "3", "4", "5", "6", "7").submit()
            .results();

        assertEquals(List.of("first", "the provider lost the request (status 0)", "text body", "plain text",
            "429 slow down", "too late",
            "the provider's files hold no line for this request"),
            results.stream().map(result -> result.ok() ? result.text() : result.error()).toList());
        assertEquals(Outcome.EXPIRED, results.stream().skip(5).findFirst().orElseThrow().outcome());
    }

    @Test void anEmptyListOfToolCallsIsNoAnswer() {
        on("GET /v1/batches/mybatch-123", COMPLETED);
        on("GET /v1/files/myfile-123-output/content", answer("request-1", "")
            .replace("\"content\":\"\"", "\"content\":\"\",\"tool_calls\":[]"));

        var results = batch().provider(here()).quiet().model("m").prompts("Hi").submit().results();

        assertEquals(Map.of(Outcome.INVALID, 1L), results.counts());
    }

    @Tag("C35")
    @Test void oneFileThatIsGoneDoesNotHideTheOther() {
        on("GET /v1/batches/mybatch-123", COMPLETED.replace("\"error_file_id\": null", "\"error_file_id\": \"gone\""));
        on("GET /v1/files/myfile-123-output/content", answer("request-1", "Hello"));

        var results = batch().provider(here()).quiet().model("m").prompts("Hi", "Ho").submit().results();

        assertEquals(Map.of(Outcome.SUCCEEDED, 1L, Outcome.MISSING, 1L), results.counts());
    }

    @Tag("C38")
    @Test void aListThatIgnoresTheCursorEnds() {
        on("GET /v1/batches", "{\"data\":[" + COMPLETED + "],\"has_more\":true}");

        assertEquals(1, here().batches(50).size());
        assertEquals(2, heard.size());
    }

    @Tag("C13")
    @Test void aLostAnswerToCreateIsLookedUpBeforeItIsSentAgain() {
        on("POST /v1/batches", "500 {\"error\":{\"message\":\"lost\"}}");
        on("GET /v1/batches", "{\"data\":[]}", "{\"data\":[" + COMPLETED + "]}");
        on("GET /v1/files/myfile-123-output/content", answer("request-1", "Hello"));

        var sent = batch().provider(here()).quiet().model("m").prompts("Hi").submit();

        assertEquals("mybatch-123", sent.id());
        assertEquals(1, Collections.frequency(heard, "POST /v1/batches"));
    }

    @Tag("C13")
    @Test void anAnswerToCreateThatStaysLostStopsBeforeItPaysTwice() {
        stub.removeContext("/");
        stub.createContext("/", exchange -> {
            var route = exchange.getRequestMethod() + " " + exchange.getRequestURI().getPath();
            exchange.getRequestBody().readAllBytes();
            heard.add(route);
            var body = (route.equals("POST /v1/files") ? FILE : "{\"data\":[]}").getBytes(StandardCharsets.UTF_8);
            if (!route.equals("POST /v1/batches")) exchange.sendResponseHeaders(200, body.length);
            if (!route.equals("POST /v1/batches")) exchange.getResponseBody().write(body);
            exchange.close();
        });

        var fault = assertThrows(java.io.UncheckedIOException.class, () -> batch().provider(here()).quiet().model("m")
            .prompts("Hi").submit());

        assertTrue(fault.getMessage()
            .matches("submit: cannot reach http://127.0.0.1:[0-9]+/v1 \\(.+\\); the batch may have been created: "
            + "run again in a minute, and it is looked for before anything is sent"), fault.getMessage());
        assertEquals(1, Collections.frequency(heard, "POST /v1/batches"));
    }

    @Tag("C13")
    @Test void anAnswerToCreateThatIsNoBatchIsALostOne() {
        on("POST /v1/batches", "{\"error\":{\"message\":\"overloaded\"}}", CREATED);
        on("GET /v1/batches/mybatch-123", COMPLETED);
        on("GET /v1/files/myfile-123-output/content", answer("request-1", "Hello"));
        var draft = batch().provider(here()).quiet().model("m").prompts("Hi");

        var fault = assertThrows(Sheaf.BatchException.class, draft::submit);

        assertEquals("submit: POST " + here().baseUrl() + "/batches: 200 but no batch (overloaded); the batch may have "
            + "been created: run again in a minute, and it is looked for before anything is sent", fault.getMessage());
        assertEquals("Hello", draft.submit().results().iterator().next().text());
        assertEquals(2, Collections.frequency(heard, "POST /v1/batches"));
    }

    @Test void aCreateThatAnEarlierVersionTookForABatchIsLookedFor() throws IOException {
        on("GET /v1/batches/mybatch-123", COMPLETED);
        var draft = batch().provider(here()).quiet().model("m").prompts("Hi");
        var steps = draft.submit().folder().resolve("steps.jsonl");
        Files.writeString(steps, Files.readString(steps).replaceFirst("\"batch\":.*", "\"batch\":{\"error\":{}}}"));
        on("GET /v1/batches", "{\"data\":[" + COMPLETED + "]}");

        assertEquals("mybatch-123", draft.submit().id());
        assertEquals(1, Collections.frequency(heard, "POST /v1/batches"));
    }

    @Tag("C18")
    @Test void aPollThatFailsDoesNotEndTheWait() {
        on("GET /v1/batches/mybatch-123", "503 {}", "429 {}", "404 {}", CREATED, "502 <html>", "{\"id\":null}",
            COMPLETED);
        on("GET /v1/files/myfile-123-output/content", "502 {}", answer("request-1", "Hello"));

        var results = batch().provider(here()).quiet().model("m").prompts("Hi").submit().await().results();

        assertEquals(1, results.succeeded().size());
    }

    @Tag("C19")
    @Test void aKeyThatIsRefusedEndsTheWait() {
        on("GET /v1/batches/mybatch-123", "401 {\"error\":{\"message\":\"key revoked\"}}");

        var fault = assertThrows(Sheaf.BatchException.class, () -> batch().provider(here()).quiet().model("m")
            .prompts("Hi").submit().await());

        assertEquals("await: GET " + here().baseUrl() + "/batches/mybatch-123: 401 key revoked; check SHEAF_API_KEY",
            fault.getMessage());
    }

    @Test void aPageThatIsNoJsonIsASentence() {
        on("GET /v1/batches/mybatch-123", "<html>Welcome</html>");

        var fault = assertThrows(Sheaf.BatchException.class, () -> here().batch("mybatch-123"));

        assertEquals("batch: GET " + here().baseUrl()
            + "/batches/mybatch-123: 200 but no JSON; is this the base URL of an "
            + "OpenAI-compatible API?", fault.getMessage());
    }

    @Tag("C24")
    @Test void aBatchThatFailedSaysWhyInWhateverShape() {
        on("GET /v1/batches/mybatch-123", COMPLETED.replace("\"completed\",", "\"failed\",")
            .replace("\"myfile-123-output\"", "null").replace("\"completed\": 4", "\"completed\": 0")
            .replace("\"errors\": null", "\"errors\": \"the file is odd\""));

        var fault = assertThrows(Sheaf.BatchException.class, () -> batch().provider(here()).quiet().model("m")
            .prompts("Hi").submit().await());

        assertEquals("await: mybatch-123 failed; 1 fault in the input file: the file is odd", fault.getMessage());
    }

    private void on(String route, String... answers) { script.put(route, new ArrayDeque<>(List.of(answers))); }

    private Provider here() { return Provider.of("http://127.0.0.1:" + stub.getAddress().getPort() + "/v1"); }

    private static String answer(String id, String text) {
        return "{\"id\":\"r\",\"custom_id\":\"" + id
            + "\",\"response\":{\"status_code\":200,\"body\":{\"choices\":[{\"message\":{\"content\":\""
            + text + "\"},\"finish_reason\":\"stop\"}]}}}\n";
    }
}
