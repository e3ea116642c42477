package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;
import java.util.function.UnaryOperator;
import sheaf.server.Engine.Answer;

/**
 * An engine that needs no model: it says what the user said, or what a test makes it say, and is as strict as a real
 * one. For every engine it answers the requests for the test model, at once and always in the same words, so that a
 * run can be rehearsed. It knows no batch.
 */
final class Echo implements Engine {
    private static final int EXCERPT = 40;                   // characters
    private static final String TEST_MODEL = "batch-test-model";   // as Alibaba calls it

    private final Script script;
    private volatile Function<EchoRequest, List<EchoReply>> answer = request -> replies(request, text ->
        formatted(request, text));
    private volatile boolean instant = true;   // until a test's code answers, which may take its time

    Echo(Script script) { this.script = script; }

    /** Makes it answer each prompt with a function of its text. */
    void reply(UnaryOperator<String> reply) { answerBy(request -> replies(request, reply)); }

    void answer(Function<JsonNode, EchoReply> answer) {
        answerBy(request -> Collections.nCopies(request.prompts().size(),
            Settings.required("reply", answer.apply(request.body()))));
    }

    private void answerBy(Function<EchoRequest, List<EchoReply>> answer) {
        instant = false;
        this.answer = answer;
    }

    @Override public boolean isInstant() { return instant; }

    @Override public Answer models() {
        var models = Json.object().put("object", "list");
        var data = models.putArray("data");
        for (var id : script.models.isEmpty() ? List.of(Settings.ECHO) : script.models)
            data.addObject().put("id", id).put("object", "model").put("created", 0).put("owned_by", "sheaf");
        return Answer.ok(models);
    }

    @Override public Answer answer(String endpoint, JsonNode body) {
        if (isForTestModel(body)) return testAnswer(endpoint, body);
        try {
            var request = EchoRequest.checked(endpoint, body);
            if (!script.models.isEmpty() && !script.models.contains(request.model()))
                throw Refusal.unknownModel(request.model());
            return EchoReply.answer(request, answer.apply(request));
        } catch (Refusal refusal) {
            return Answer.refused(refusal);
        } catch (RuntimeException | AssertionError | StackOverflowError e) {   // of a test's code; its batch shows how
            return Answer.error(500, "engine_error", Refusal.reason(e));
        }
    }

    /** Returns whether a request is for the test model. */
    static boolean isForTestModel(JsonNode body) { return body.path("model").asText().equals(TEST_MODEL); }

    /** Returns the answer of the test model. */
    static Answer testAnswer(String endpoint, JsonNode body) {
        try {
            var request = EchoRequest.checked(endpoint, body);
            return EchoReply.answer(request, replies(request, text -> formatted(request, "This is a test result.")));
        } catch (Refusal refusal) {
            return Answer.refused(refusal);
        }
    }

    private static List<EchoReply> replies(EchoRequest request, UnaryOperator<String> reply) {
        return request.prompts().stream().map(text -> EchoReply.text(reply.apply(text)).cutToLimit(request)).toList();
    }

    /** Returns a text in the format that a request wants: as it is, or within JSON. */
    private static String formatted(EchoRequest request, String text) {
        if (request.schema().isObject()) return fitting(request, text).toString();
        return request.wantsObject() && !isObject(text) ? Json.object().put("text", text).toString() : text;
    }

    /** Returns the label of a choice, or the text itself if it is JSON that fits the schema, or else an instance. */
    private static JsonNode fitting(EchoRequest request, String text) {
        var schema = request.schema();
        var instance = SchemaInstance.of(schema, excerpt(text), request.formatParam());  // refuses what is no schema
        var choice = request.choice();
        if (choice.isPresent()) return choice.get().said(schema);
        return json(text).filter(said -> SchemaFit.fits(said, schema)).orElse(instance);
    }

    /** Returns what tells a prompt from others, its last line, short enough to stand in several places of an answer. */
    private static String excerpt(String text) {
        var last = text.stripTrailing().replaceFirst("(?s)^.*\n", "").strip();
        if (last.codePointCount(0, last.length()) <= EXCERPT) return last;
        return last.substring(0, last.offsetByCodePoints(0, EXCERPT - 1)).stripTrailing() + "\u2026";
    }

    private static boolean isObject(String text) { return json(text).filter(JsonNode::isObject).isPresent(); }

    private static Optional<JsonNode> json(String text) {
        try {
            return Optional.of(Json.parsed(text.getBytes(UTF_8)));
        } catch (IOException | NumberFormatException notJson) {
            return Optional.empty();
        }
    }

    @Override public String state(boolean hasOptions) {
        return Settings.ECHO + ", which says each question back; --engine puts a model in its place";
    }

    @Override public String toString() { return Settings.ECHO; }
}
