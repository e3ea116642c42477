package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Results;
import sheaf.server.BatchServer;

/** The whole chain over each endpoint that a batch may have, against the echo. */
class EndpointsTest {
    @TempDir Path folder;
    BatchServer server;

    @BeforeEach void start() { server = BatchServer.start(); }

    @AfterEach void stop() { server.close(); }

    @Test void embeddingsAreVectorsAndColumns() throws IOException {
        var results = asked("/v1/embeddings", Map.of("dimensions", 3), "one", "two");

        assertEquals(List.of(3, 3), results.stream().map(result -> result.vector().length).toList());
        assertEquals(2, results.stream().map(result -> result.vector()[0]).distinct().count());
        assertTrue(column(results, "result.text").get(0).matches("\\[-?[0-9.E-]+(,-?[0-9.E-]+){2}\\]"));
    }

    @Test void moderationsAreVerdictsAndColumns() throws IOException {
        var results = asked("/v1/moderations", Map.of(), "hello", "pure violence");

        var verdicts = column(results, "result.text").stream().map(Json::lenient).toList();
        assertEquals(List.of(false, true),
            verdicts.stream().map(verdict -> verdict.get("flagged").asBoolean()).toList());
        assertTrue(verdicts.get(1).at("/categories/violence").asBoolean(), verdicts.get(1)::toString);
    }

    @ParameterizedTest @CsvSource({"/v1/responses", "/v1/completions", "/v1/chat/completions"})
    void theOthersAreTexts(String endpoint) throws IOException {
        var results = asked(endpoint, Map.of(), "hello", "good bye");

        assertEquals(List.of("hello", "good bye"), column(results, "result.text"));
    }

    Results asked(String endpoint, Map<String, Object> fields, String... texts) {
        var draft = batch().provider(Provider.of(server.baseUrl())).quiet().model("echo").endpoint(endpoint);
        for (var field : fields.entrySet()) draft = draft.with(field.getKey(), field.getValue());
        return draft.prompts("{{text}}", rows(List.of(texts).stream().map(text -> Map.of("text", text)).toList()))
            .submit().results();
    }

    /** Returns a column of the results as JSON Lines have it, once each of them is found to be fine. */
    List<String> column(Results results, String column) throws IOException {
        assertTrue(results.stream().allMatch(result -> result.ok()), results::toString);
        var file = folder.resolve("out.jsonl");
        results.toJsonl(file.toString());
        results.toCsv(folder.resolve("out.csv"), column);
        assertEquals(1 + results.stream().count(), Files.readAllLines(folder.resolve("out.csv")).size());
        return Files.readAllLines(file).stream().map(line -> Json.lenient(line).at("/" + column.replace('.', '/')))
            .map(value -> value.isTextual() ? value.textValue() : value.toString()).toList();
    }
}
