package sheaf;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;
import static sheaf.support.RawClient.json;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Result;
import sheaf.support.Project;

/** What real providers send, one line of answers.jsonl each, and what a user is to make of it. */
class AnswerTest {
    @TempDir static Path home;

    @TestFactory Stream<DynamicTest> everyLineIsReadAsAUserExpects() throws IOException {
        var cases = Files.readAllLines(Project.root().resolve("tests/client/answers.jsonl")).stream()
            .map(line -> json(line.getBytes(UTF_8))).toList();
        var read = read(cases);
        return IntStream.range(0, cases.size()).mapToObj(i -> dynamicTest(cases.get(i).path("case").asText(),
            () -> assertEquals(expected(cases.get(i)), read.get(i))));
    }

    /** Returns what the results say of these lines, all of one batch. */
    private static List<Map<String, Object>> read(List<JsonNode> cases) {
        System.setProperty("SHEAF_HOME", home.toString());
        try (var provider = new ScriptedProvider()) {
            provider.completed(IntStream.range(0, cases.size()).mapToObj(i -> line(i, cases.get(i)))
                .collect(Collectors.joining()), "");
            var results = provider.ask(cases.stream().map(one -> one.path("case").asText()).toArray(String[]::new))
                .submit().results();
            var retried = results.retry().preview(cases.size()).lines().stream()
                .map(line -> json(line.getBytes(UTF_8)).at("/messages/0/content").asText(
                    json(line.getBytes(UTF_8)).at("/body/messages/0/content").asText())).collect(Collectors.toSet());
            var said = new ArrayList<Map<String, Object>>();
            for (var result : results) said.add(said(result, cases.get(said.size()), retried));
            return said;
        }
    }

    private static String line(int number, JsonNode one) {
        return ((ObjectNode) one.path("line")).put("custom_id", "request-" + (number + 1)) + "\n";
    }

    /** What a case does not say is not asked, but for texts, which are then none. */
    private static Map<String, Object> said(Result result, JsonNode one, Set<String> retried) {
        var said = new LinkedHashMap<String, Object>();
        said.put("outcome", result.outcome().toString());
        said.put("text", result.rawText());
        said.put("reasoning", result.reasoning());
        said.put("error", result.error());
        if (result.ok()) assertEquals(result.rawText(), result.text());
        if (one.has("texts")) said.put("texts", result.texts());
        if (one.has("retry")) said.put("retry", retried.contains(one.path("case").asText()));
        if (one.has("vector")) assertArrayEquals(vector(one), result.vector());
        return said;
    }

    private static Map<String, Object> expected(JsonNode one) {
        var expected = new LinkedHashMap<String, Object>();
        for (var field : List.of("outcome", "text", "reasoning", "error"))
            expected.put(field, one.path(field).asText(""));
        if (one.has("texts")) expected.put("texts", Json.MAPPER.convertValue(one.path("texts"), List.class));
        if (one.has("retry")) expected.put("retry", one.path("retry").asBoolean());
        return expected;
    }

    private static float[] vector(JsonNode one) {
        return Json.MAPPER.convertValue(one.path("vector"), float[].class);
    }
}
