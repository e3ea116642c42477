package sheaf;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import sheaf.support.Project;

/** A line that is read without a tree says what it says when it is read with one. */
class PlainAnswerTest {
    private static final String LINE = "{\"id\":\"1\",\"custom_id\":\"request-1\",\"error\":null,\"response\":"
        + "{\"status_code\":200,\"request_id\":\"r\",\"body\":{\"id\":\"c\",\"object\":\"chat.completion\",\"model\":"
        + "\" small \",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"a \\u00e9\\n\","
        + "\"refusal\":null,\"tool_calls\":[]},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":"
        + "{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7,\"prompt_tokens_details\":"
        + "{\"cached_tokens\":2},\"completion_tokens_details\":{\"reasoning_tokens\":1}}}}}";
    private static final List<String> VALUES = List.of("null", "\"\"", "\"error\"", "\"x\"", "0", "200", "500", "[]",
        "[{}]", "{}", "true", "{\"message\":\"m\"}", "{\"content\":\"c\"}", "\"<think>t</think>b\"", "\"length\"", "-1",
        "2.5", "\"7\"", "99999999999", "{\"cached_tokens\":9}", "{\"input_tokens\":9}");

    @Test void aLineAsNearlyAllAreIsPlain() {
        var plain = PlainAnswer.read(LINE.getBytes(UTF_8)).orElseThrow();

        assertEquals("small", plain.model());
        assertEquals("a \u00e9\n", plain.text());
        assertEquals(7, plain.usage().total());
        assertEquals("stop", plain.ending());
    }

    /** Anthropic's names for tokens, and whatever else may count some, are read with a tree. */
    @Test void aLineThatCountsOtherwiseIsNone() {
        assertTrue(PlainAnswer.read(LINE.replace("prompt_tokens\"", "input_tokens\"").getBytes(UTF_8)).isEmpty());
        assertTrue(PlainAnswer.read(LINE.replace("completion_tokens_details", "output_tokens_details")
            .getBytes(UTF_8)).isEmpty());
    }

    /** Groq's times, and what DeepSeek found in its cache. */
    @Test void whatElseStandsBesideTheTokensIsPassedOver() {
        var beside = "\"total_time\":0.25,\"prompt_cache_hit_tokens\":2,\"x\":{\"y\":[1]},\"total_tokens\"";
        var plain = PlainAnswer.read(LINE.replace("\"total_tokens\"", beside).getBytes(UTF_8)).orElseThrow();

        assertEquals(7, plain.usage().total());
    }

    @Test void aCutLineIsPlainToo() {
        var plain = PlainAnswer.read(LINE.replace("stop", "length").getBytes(UTF_8)).orElseThrow();

        assertEquals("length", plain.ending());
        assertEquals("truncated", new Body(plain).outcome().toString());
    }

    @Test void aFilteredLineIsNone() {
        assertTrue(PlainAnswer.read(LINE.replace("stop", "content_filter").getBytes(UTF_8)).isEmpty());
    }

    @Test void everyAnswerKnownIsReadAlike() throws IOException {
        var lines = Files.readAllLines(Project.root().resolve("tests/client/answers.jsonl"));

        for (var line : lines) check(Json.lenient(line).path("line").toString());
    }

    /** Every value is replaced, and every field stands there once more with another value. */
    @Test void aLineWithAnyOtherValueIsReadAlike() {
        var fields = LINE.split("(?<=[{,])(?=\"[a-z_]+\":)", -1);
        long read = Stream.of(fields).skip(1).flatMap(field -> VALUES.stream().flatMap(value -> {
            var name = field.substring(0, field.indexOf(':') + 1);
            var simple = field.replaceFirst(":(null|\\d+|\"[^\"]*\"|\\[])", ":" + value.replace("\\", "\\\\"));
            return Stream.of(LINE.replace(field, simple), LINE.replace(field, name + value + "," + field),
                LINE.substring(0, LINE.length() - 4) + "," + name + value + "}}}",
                LINE.substring(0, LINE.length() - 2) + "," + name + value + "}}");
        })).filter(line -> !Json.lenient(line).isMissingNode()).peek(PlainAnswerTest::check).count();

        assertTrue(read > 500, read + " lines");
    }

    @Test void whatIsCutOffOrGoesOnIsNone() {
        for (int end = 0; end < LINE.length(); end++)
            assertTrue(PlainAnswer.read(LINE.substring(0, end).getBytes(UTF_8)).isEmpty());
        assertTrue(PlainAnswer.read((LINE + "{}").getBytes(UTF_8)).isEmpty());
    }

    private static void check(String line) {
        var plain = PlainAnswer.read(line.getBytes(UTF_8));
        if (plain.isEmpty()) return;
        var quick = new Body(plain.get());
        var slow = new Body(Json.lenient(line).at("/response/body"));

        assertEquals(said(slow), said(quick), line);
        assertTrue(slow.error().isEmpty(), line);
        assertEquals(200, Json.lenient(line).at("/response/status_code").asInt(), line);
        assertTrue(!Fault.isError(Json.lenient(line).path("error")), line);
    }

    private static List<Object> said(Body body) {
        return List.of(body.outcome(), body.texts(), body.model(), body.reasoning(), body.usage(), body.created(),
            body.finishReason(), body.json());
    }
}
