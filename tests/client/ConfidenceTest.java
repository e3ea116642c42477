package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.concurrent.ConcurrentHashMap;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Result;
import sheaf.Vocabulary.Outcome;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Reply;

/** How sure a model is of a label comes from the tokens of that label, or is not known; what is unsure goes further. */
class ConfidenceTest {
    @AutoClose final BatchServer server = BatchServer.start();
    final List<JsonNode> bodies = Collections.synchronizedList(new ArrayList<>());
    final Map<String, Double> said = new ConcurrentHashMap<>();   // how sure the answer to a request is
    @TempDir Path home;

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

    /** Tokens stand between bars, each with its probability. */
    @ParameterizedTest(name = "{0}: {2}")
    @CsvSource({
        "{\"choice\":\"|1 happy|0.5 \"}|1, happy, 0.5", "{\"choice|0.1 \":\"un|0.5 happy|0.5 \"}|0.1, unhappy, 0.25",
        "\"happy\"|0.5, happy, 0.5", "Answer|0.9 :|0.9 Happy|0.25 .|0.9, happy, 0.25", "happy|x, happy, ",
        "unhappy|0.5, happy, ", "happy|0.5 ~or~|1 happy|0.5, happy, ", "~happy|0.5, happy, 0.5"})
    void theTokensThatSpellTheLabelCount(String tokens, String label, String expected) {
        var response = Json.MAPPER.createObjectNode();
        var content = response.putObject("choices").putObject("logprobs").putArray("content");
        for (var token : tokens.split(" ")) {
            var logprob = token.replaceFirst(".*[|]", "");
            var entry = content.addObject().put("token", token.replaceFirst("[|].*", "").replace('~', ' '));
            if (!logprob.equals("x")) entry.put("logprob", Math.log(Double.parseDouble(logprob)));
        }

        var sure = Logprobs.of(response, label, List.of("happy", "unhappy"));

        assertEquals(expected == null ? "none" : expected, sure.isEmpty() ? "none" : "" + (float) sure.getAsDouble());
    }

    /** What a llama-server tells beside each token is from before its grammar left all but the labels out. */
    @ParameterizedTest(name = "{0} of {1}: {2}")
    @CsvSource({
        "mixed, mixed .4 Mixed .3 bad .1 The .1 good .05, 0.727", "bad, mixed .6 bad .3 go .1 x .0001, 0.3",
        "good, The .9 good .01 x .001, 0.833", "good, go .5 x .01, 0.161", "mixed, x .9, 0.1", "bad, '', 0.1"})
    void itIsTheShareOfTheTokensThatALabelGoesOnWith(String label, String beside, String expected) {
        var content = Json.MAPPER.createArrayNode();
        content.addObject().put("token", "{\"choice\": \"").put("logprob", Math.log(.01));
        var said = content.addObject().put("token", label).put("logprob", Math.log(.1));
        var words = beside.isEmpty() ? new String[0] : beside.split(" ");
        for (int i = 0; i < words.length; i += 2) {
            double chance = Double.parseDouble(words[i + 1]);
            if (words[i].equals(label)) said.put("logprob", Math.log(chance));
            said.withArray("top_logprobs").addObject().put("token", words[i]).put("logprob", Math.log(chance));
        }
        content.addObject().put("token", "\"}").put("logprob", Math.log(.01));
        var response = Json.MAPPER.createObjectNode().set("logprobs", content);

        var sure = Logprobs.of(response, label, List.of("good", "bad", "mixed")).getAsDouble();

        assertEquals(Double.parseDouble(expected), sure, 0.0006);
    }

    /** A token may end within a character; an endpoint of responses has the tokens without a content. */
    @Test void bytesCountBeforeTexts() throws IOException {
        var response = Json.MAPPER.readTree("{\"output\":[{\"content\":[{\"logprobs\":[{\"token\":\"gr\",\"bytes\":"
            + "null,"
            + "\"logprob\":-1},{\"token\":\"?\",\"bytes\":[195],\"logprob\":-1},{\"token\":\"?\",\"bytes\":[188,110],"
            + "\"logprob\":-1}]}]}]}");

        assertEquals(Math.exp(-3), Logprobs.of(response, "gr\u00fcn", List.of("gr\u00fcn", "rot")).getAsDouble(), 1e-12);
    }

    @Test void itStandsBesideTheLabel() throws IOException {
        server.rewrite(this::withLogprobs);

        var results = ask("happy 0.75", "mixed").submit().results();
        results.toCsv(home.resolve("out.csv"), "result.choice", "result.confidence");

        assertEquals(List.of(OptionalDouble.of(0.75), OptionalDouble.empty()), results.stream().map(Result::confidence)
            .map(sure -> sure.isEmpty() ? sure : OptionalDouble.of((float) sure.getAsDouble())).toList());
        assertEquals(List.of("result.choice,result.confidence", "mixed,"), List.of(lines().get(0), lines().get(2)));
        assertEquals(0.75, Double.parseDouble(lines().get(1).replaceFirst("happy,", "")), 1e-9);
    }

    private List<String> lines() throws IOException { return Files.readAllLines(home.resolve("out.csv")); }

    @Test void whatIsUnsureOrUnfitGoesToABetterModelAndIsPaidOnce() {
        server.rewrite(this::withLogprobs);

        for (int run = 1; run <= 2; run++) {
            var results = ask("happy 0.9", "mixed 0.5", "purple 0.9", "mixed").submit().results();
            var merged = results.merge(results.below(0.8).retry().model("better").submit().results());

            assertEquals(List.of("happy echo", "happy better", "happy better", "mixed echo"),
                merged.stream().map(result -> result.choice() + " " + result.model()).toList());
            assertEquals(6, bodies.size());
        }
        assertEquals(List.of("better"), bodies.stream().skip(4).map(body -> body.path("model").asText()).distinct()
            .toList());
        assertEquals(bodies.get(0).path("response_format"), bodies.get(5).path("response_format"));
    }

    @Test void aBetterModelThatDoesNotAnswerTakesNothingAway() {
        server.rewrite(this::withLogprobs);
        var results = ask("mixed 0.5").submit().results();
        server.answer(body -> Reply.error(400, "x", "no"));

        var merged = results.merge(results.below(0.8).retry().model("better").submit().results());

        assertEquals("mixed", merged.iterator().next().choice());
        assertEquals(Map.of(Outcome.SUCCEEDED, 1L), merged.counts());
    }

    @Test void whereNothingIsKnownNothingIsChosen() {
        server.rewrite(this::withLogprobs);
        var fault = assertThrows(IllegalStateException.class, () -> ask("happy").submit().results().below(0.8));

        assertEquals("below: no answer says how sure the model was; ask for it by confidence(), of a provider and a "
            + "model "
            + "that give logprobs", fault.getMessage());
    }

    /** Who is asked, and says its label at once; the better one is always happy. */
    private Draft ask(String... texts) {
        server.answer(body -> {
            bodies.add(body);
            return Reply.text(body.path("model").asText().equals("better") ? "happy"
                : body.at("/messages/1/content").asText().replaceFirst(" .*", ""));
        });
        for (int i = 0; i < texts.length; i++)
            if (texts[i].contains(" ")) said.put("request-" + (i + 1),
                Double.valueOf(texts[i].replaceFirst(".* ", "")));
        return batch().provider(Provider.of(server.baseUrl())).quiet().model("echo").choice("happy", "mixed")
            .confidence().prompts("{{value}}", rows(List.of(texts)));
    }

    /** An answer of the first model is as sure as its prompt says: "happy 0.9". */
    private List<String> withLogprobs(List<String> lines) { return lines.stream().map(this::withLogprobs).toList(); }

    private String withLogprobs(String line) {
        var answer = (ObjectNode) Json.lenient(line);
        var sure = said.get(answer.path("custom_id").asText());
        if (!answer.at("/response/body/choices/0").isObject()) return line;
        var choice = (ObjectNode) answer.at("/response/body/choices/0");
        choice.putNull("logprobs");
        if (sure != null) choice.putObject("logprobs").putArray("content").addObject()
            .put("logprob", Math.log(sure)).put("token", choice.at("/message/content").asText());
        return answer.toString();
    }
}
