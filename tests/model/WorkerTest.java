package sheaf.model;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.abort;
import static sheaf.model.Chat.ask;
import static sheaf.model.Chat.chat;
import static sheaf.model.Chat.post;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** SmolLM2 in a JVM of its own, started once; left out where its weights cannot be had. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class WorkerTest {
    static final ObjectMapper JSON = new ObjectMapper();
    final Settings settings = new Settings();
    LocalModel model;

    @BeforeAll void start() {
        try {
            Weights.of("small", Choice::announce);
        } catch (UncheckedIOException e) {
            abort(e.getMessage());
        }
        settings.set("PATH", "");   // hides a llama-server that this machine may have
        model = LocalModel.options().model("small").slots(2).contextSize(256).start();
    }

    @AfterAll void stop() {
        if (model != null) model.close();
        settings.restore();
    }

    @Test void itSaysItsNameAndTheChecksumOfItsWeights() {
        assertEquals("SmolLM2-135M-Instruct " + KnownModels.SMOLLM2.sha256(), Chat.identity(model.baseUrl()));
    }

    @Test void aQuestionIsAnswered() {
        var answer = ask(model, chat("What is the capital of France?").put("model", "any-name"));

        assertEquals(200, answer.status());
        assertTrue(answer.text().contains("Paris"), answer.text());
        assertEquals(model.model(), answer.at("/model"), "the model that answers, whatever it was called");
        assertEquals("stop", answer.at("/choices/0/finish_reason"));
        assertTrue(answer.number("/usage/completion_tokens") < 40, answer.toString());
        assertEquals(answer.number("/usage/prompt_tokens") + answer.number("/usage/completion_tokens"),
            answer.number("/usage/total_tokens"));
    }

    @Test void theDescriptionNamesModelSizeLicenceAndEngine() {
        assertEquals("SmolLM2-135M-Instruct (Q4_1, 98 MB, Apache-2.0) on llama.cpp in a JVM of its own"
            + ", 2 slots of 256 tokens", model.describe());
    }

    @Test void anAnswerEndsAtTheTokensAllowed() {
        var answer = ask(model, chat("Tell me a long story.").put("max_completion_tokens", 5));

        assertEquals("length", answer.at("/choices/0/finish_reason"));
        assertEquals(5, answer.number("/usage/completion_tokens"));
    }

    @Test void anAnswerThatFillsTheSlotEndsByLength() {
        var answer = post(model, "/completions", "{\"prompt\": \"1 2 3 4 5 6 7 8\", \"temperature\": 0}");

        assertEquals("length", answer.at("/choices/0/finish_reason"));
        assertEquals(255, answer.number("/usage/total_tokens"));
    }

    @Test void anAnswerEndsBeforeAStopText() {
        var answer = ask(model, chat("Count from 1 to 9.").put("stop", "3"));

        assertEquals("stop", answer.at("/choices/0/finish_reason"));
        assertTrue(answer.text().contains("2") && !answer.text().contains("3"), answer.text());
    }

    /** In one slot: in another the same sums stand elsewhere, and round a little differently. */
    @Test void theSameSeedGivesTheSameAnswer() {
        var body = chat("Invent a name for a boat.").put("temperature", 1.5).put("seed", 42).put("max_tokens", 12);

        try (var one = LocalModel.options().model("small").slots(1).contextSize(256).start()) {
            assertEquals(ask(one, body).text(), ask(one, body).text());
        }
    }

    /** The model copies what it reads; only intact characters come out as they went in. */
    @Test void emojiArriveIntactAndComeBackIntact() {
        var smile = "\u6F22\u5B57 \uD83D\uDE00\u00E9\u6F22\u5B57";
        var lion = "\u65E5\u672C \uD83E\uDD81\u00FC\u65E5\u672C";
        var shown = "Repeat.\n" + smile + " -> " + smile + "\n" + lion + " -> " + lion + "\n";
        var body = JSON.createObjectNode().put("temperature", 0).put("stop", "\n").put("max_tokens", 24)
            .put("prompt", shown + lion + " ->");

        var answer = post(model, "/completions", body.toString());

        assertEquals(" " + lion, answer.at("/choices/0/text"));
    }

    @Test void aJsonSchemaHoldsTheAnswerToItsShape() throws IOException {
        var body = chat("Make up a person.").put("max_tokens", 120);
        body.set("response_format", JSON.readTree("""
            {"type": "json_schema", "json_schema": {"name": "person", "schema": {"type": "object",
             "required": ["name", "age"], "additionalProperties": false,
             "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"enum": [30, 40]}}}}}"""));

        var person = JSON.readTree(ask(model, body).text());

        assertTrue(person.get("name").isTextual(), person.toString());
        assertTrue(List.of(30, 40).contains(person.get("age").asInt()), person.toString());
    }

    /** The chances are those that a llama-server of autumn 2026 tells from its own logits of the same tokens. */
    @ParameterizedTest(name = "{0}")
    @CsvSource({"Which colour has snow?, white red black, 0.41 0.36 0.23", "How is the tea?, very_good very_bad good,"
        + "0.09 0.00 0.91", "Score it from 1 to 10: a bad film, 1 2 10 7, 0.18 0.08 0.73 0.01"})
    void howSureItIsOfALabelIsItsShareOfWhatMayBeSaid(String question, String labels, String chances)
            throws IOException {
        var values = Stream.of(labels.split(" ")).<Object>map(label -> label.matches("[0-9]+")
            ? Integer.valueOf(label) : label.replace('_', ' ')).toList();
        var body = chat(question).put("logprobs", true).put("top_logprobs", 9);
        body.set("response_format", choice(values));

        var answer = ask(model, body);

        var said = answer.json().at("/choices/0/logprobs/content/0");
        var likeliest = said.path("top_logprobs");
        assertEquals(values.size(), likeliest.size(), answer.toString());
        assertEquals(answer.text(), said.path("token").asText());
        assertEquals(answer.text(), likeliest.get(0).path("token").asText(), "at temperature 0, what is likeliest");
        double sum = 0;
        for (var one : likeliest) {
            double chance = Math.exp(one.path("logprob").asDouble());
            var label = JSON.readTree(one.path("token").asText()).get("choice");
            int place = values.indexOf(label.isInt() ? (Object) label.asInt() : label.asText());
            assertEquals(Double.parseDouble(chances.split(" ")[place]), chance, 0.06, label.toString());
            sum += chance;
        }
        assertEquals(1, sum, 1e-9);
        assertEquals("stop", answer.at("/choices/0/finish_reason"));
    }

    @ParameterizedTest
    @MethodSource("labels")
    void aLabelIsOneOfThoseGivenHoweverWildTheModel(List<Object> labels) throws IOException {
        for (int seed = 0; seed < 4; seed++) {
            var body = chat("Tell me a story of a fox.").put("temperature", 2).put("seed", seed).put("max_tokens", 40);
            body.set("response_format", choice(labels));
            if (seed > 1) body.put("logprobs", true);

            var answer = ask(model, body);

            var choice = JSON.readTree(answer.text()).get("choice");
            assertTrue(labels.contains(choice.isInt() ? (Object) choice.asInt() : choice.asText()), answer.toString());
            assertEquals("stop", answer.at("/choices/0/finish_reason"), answer.toString());
        }
    }

    /** Has the answer be one of these values of a field. */
    private static ObjectNode choice(List<Object> labels) {
        var format = JSON.createObjectNode().put("type", "json_schema");
        var schema = format.putObject("json_schema").put("name", "choice").put("strict", true).putObject("schema")
            .put("type", "object").put("additionalProperties", false);
        schema.putArray("required").add("choice");
        schema.putObject("properties").putObject("choice")
            .put("type", labels.get(0) instanceof Integer ? "integer" : "string").set("enum", JSON.valueToTree(labels));
        return format;
    }

    static Stream<List<Object>> labels() {
        return Stream.of(List.of("yes", "no"), List.of("World", "Sports", "Business", "Sci/Tech"), List.of(1, 2, 3, 10),
            List.of("\"quoted\" \\ 5 %", "gr\u00FCn \u6F22\u5B57", "\uD83D\uDE00 happy", "two words, [a|b]*"));
    }

    /** A prompt that a slot holds to its last token is read by other sums than a new one. */
    @Test void atTemperatureZeroOneSlotGivesTheSameAnswerAgain() {
        try (var one = LocalModel.options().slots(1).contextSize(512).start()) {
            for (var review : List.of("Broken and nobody answers.", "Never again, the lid does not close.")) {
                var body = chat("Review: " + review + " Sum it up.").put("max_tokens", 40);
                assertEquals(ask(one, body).text(), ask(one, body).text());
            }
        }
    }

    @Test void aTemplateThatIsLikeAKnownOneAndYetAnotherIsNotGuessed(@TempDir Path temp) throws IOException {
        var file = Files.copy(Weights.of("small", Choice::announce).file(), temp.resolve("other.gguf"));
        try (var bytes = new RandomAccessFile(file.toFile(), "rw")) {
            byte[] head = new byte[1 << 23];
            bytes.readFully(head);
            bytes.seek(new String(head, ISO_8859_1).indexOf("<|im_start|>assistant"));
            bytes.writeBytes("<|im_start|>ASSISTANT");
        }

        var refusal = assertThrows(IllegalStateException.class, () -> LocalModel.start(file.toString()));

        assertEquals("start: the engine ended before it was ready (cannot render chats: the model's template is like"
            + " ChatML's and yet another); put llama-server on the PATH, which renders any template",
            refusal.getMessage());
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("refusals")
    void whatTheModelCannotDoIsRefused(String what, String body, String param, String message) {
        var answer = post(model, "/chat/completions", body.replace('\'', '"'));

        assertEquals(400, answer.status());
        assertEquals(List.of("message", "type", "param", "code"), answer.errorKeys());
        assertEquals(param, answer.at("/error/param"));
        assertEquals(message, answer.at("/error/message"));
    }

    static Stream<Arguments> refusals() {
        var hi = "'messages': [{'role': 'user', 'content': 'Hi'}]";
        var schema = "'response_format': {'type': 'json_schema', 'json_schema': {'schema': {'pattern': '^a'}}}";
        return Stream.of(
            Arguments.of("an image", "{'messages': [{'role': 'user', 'content': [{'type': 'image_url'}]}]}",
                "messages[0].content", "the local model reads text only, not 'image_url'"),
            Arguments.of("two choices", "{" + hi + ", 'n': 2}",
                "n", "the local model gives one choice to a request; leave 'n' out"),
            Arguments.of("a stream", "{" + hi + ", 'stream': true}",
                "stream", "the local model does not support 'stream'"),
            Arguments.of("how sure it is", "{" + hi + ", 'logprobs': true}",
                "logprobs", "the local model tells how sure it is of a label alone, which a 'response_format' has it"
                    + " choose; leave 'logprobs' out, or put llama-server on the PATH, which tells it of each token"),
            Arguments.of("a wild temperature", "{" + hi + ", 'temperature': 7}",
                "temperature", "'temperature' must be a number from 0 to 2"),
            Arguments.of("no tokens at all", "{" + hi + ", 'max_tokens': 0}",
                "max_tokens", "'max_tokens' must be a whole number of at least 1"),
            Arguments.of("a schema that would end llama.cpp", "{" + hi + ", " + schema + "}",
                "response_format", "the local model does not support 'pattern' in 'response_format'"),
            Arguments.of("no messages", "{'messages': []}",
                "messages", "'messages' must be a list of at least one message"));
    }

    @Test void aPromptLargerThanTheSlotIsRefusedByOpenAisCode() {
        var answer = ask(model, chat("word ".repeat(300)));

        assertEquals(400, answer.status());
        assertEquals("context_length_exceeded", answer.at("/error/code"));
        assertEquals("This model's maximum context length is 256 tokens, but the prompt alone has 321"
            + "; start it with a larger --context, in Java contextSize, up to 8192",
            answer.at("/error/message"));
    }

    @Test void moreRequestsThanSlotsAreAllAnswered() {
        var answers = IntStream.range(0, 6).parallel()
            .mapToObj(i -> ask(model, chat("Say the number " + i + ".").put("max_tokens", 8))).toList();

        assertEquals(List.of(200), answers.stream().map(Chat.Answer::status).distinct().toList());
    }

    @Test void aRequestOutlivesTheProcessThatWasKilledUnderIt() throws Exception {
        var engine = JavaProcess.engine(ProcessHandle.current());
        var story = chat("Tell me a story.").put("max_tokens", 60);
        var running = CompletableFuture.supplyAsync(() -> ask(model, story));
        ask(model, chat("Hi").put("max_tokens", 1));   // takes about as long as the other one's first word

        engine.destroyForcibly();

        assertEquals(200, running.get(60, TimeUnit.SECONDS).status());
        assertTrue(ask(model, chat("What is the capital of France?")).text().contains("Paris"));
    }

    @Test void anotherLocalModelCanStandOnItsUrl() {
        try (var second = LocalModel.start(model.baseUrl())) {
            assertEquals(model.baseUrl(), second.baseUrl());
            assertEquals("SmolLM2-135M-Instruct", second.model());
        }
    }

    @Test void closingEndsTheProcess() {
        var before = JavaProcess.engines(ProcessHandle.current());

        LocalModel.options().model("small").slots(1).contextSize(64).start().close();

        assertEquals(before, JavaProcess.engines(ProcessHandle.current()));
    }

    @Test void theProcessEndsWithItsParentHoweverThatEnds() throws Exception {
        var parent = JavaProcess.start(LocalModel.class, "small", "--slots", "1", "--context", "64");
        assertTrue(parent.inputReader().readLine().startsWith("OPENAI_BASE_URL=http://127.0.0.1:"));
        var engine = JavaProcess.engine(parent.toHandle());

        parent.destroyForcibly();

        engine.onExit().get(1, TimeUnit.MINUTES);
    }
}
