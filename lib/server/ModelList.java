package sheaf.server;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.List;
import java.util.Locale;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import sheaf.server.BatchObject.BatchError;
import sheaf.server.Engine.Answer;

/**
 * The models of an engine: its list of them with the names that clients have, and what is said of one that it does not
 * have. A list alone is no proof of that: llama-server answers by any name, and OpenRouter has more than it lists.
 */
final class ModelList {
    private static final int MOST = 20;            // names in a sentence
    private static final Pattern CODE = Pattern.compile("model_not_found|model_not_available|invalid_model");
    private static final Pattern UNKNOWN = Pattern.compile("(?is).*(not a valid|invalid|unknown|no such) model.*");
    private static final Pattern ABSENT = Pattern.compile("(?is).*model .{0,200}(not found|not exist).*");

    private ModelList() { }

    /** Lists a model under the name that clients have for it too, with what the engine says about it. */
    static void alias(ArrayNode models, String name, String engineName) {
        for (var model : models)
            if (model.path("id").asText().equals(name)) return;
        var unlisted = Json.object().put("id", engineName).put("object", "model").put("created", 0)
            .put("owned_by", "engine");
        var known = models.valueStream().filter(model -> model.path("id").asText().equals(engineName))
            .findFirst().orElse(unlisted);
        models.add(((ObjectNode) known.deepCopy()).put("id", name));
    }

    /** Returns the names in a list that an engine gave; none if it gave none. */
    static List<String> names(Answer models) {
        return models.succeeded() ? models.body().path("data").valueStream().map(model -> model.path("id").asText())
            .filter(name -> !name.isEmpty()).toList() : List.of();
    }

    /** Returns whether an engine refuses a request because it does not have its model. */
    static boolean lacks(Answer answer, String model) {
        var error = answer.body() == null ? Json.MAPPER.missingNode() : answer.body().path("error");
        if (answer.status() < 400 || answer.status() >= 500) return false;
        var message = error.path("message").asText();
        if (CODE.matcher(error.path("code").asText()).matches() || UNKNOWN.matcher(message).matches()) return true;
        boolean isNamed = message.toLowerCase(Locale.ROOT).contains(model.toLowerCase(Locale.ROOT));
        if (isNamed && ABSENT.matcher(message).matches()) return true;
        return answer.status() == 404 && (" " + message + " ").contains(" " + model) && !isRoute(error);
    }

    private static boolean isRoute(JsonNode error) { return error.path("code").asText().equals("unknown_url"); }

    /** Returns that an engine does not have a model, and those that it has, if it lists any; else its own words. */
    static String sentence(String who, String have, String model, List<String> names, String said) {
        var more = names.size() > MOST ? ", and " + (names.size() - MOST) + " more" : "";
        var has = names.isEmpty() ? " (" + said.replaceFirst("[.\\s]+$", "") + ")"
            : "; it has " + names.stream().limit(MOST).collect(Collectors.joining(", ")) + more;
        return who + " " + have + " the model " + Refusal.quoted(model) + has
            + NearName.of(model, names);
    }

    /** Returns the same as what is wrong with a batch, by what an engine lists and has answered. */
    static BatchError fault(String who, String have, String model, Answer models, Answer answer) {
        return BatchError.of("model_not_found", "body.model", sentence(who, have, model, names(models),
            answer.body().at("/error/message").asText()));
    }
}
