package sheaf.server;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import sheaf.server.BatchObject.BatchError;
import sheaf.server.Engine.Answer;

/**
 * The models of an engine: its list of them with the names that clients have, and what is said of one that it does not
 * have. A list alone is no proof of that: llama-server answers by any name, and OpenRouter has more than it lists.
 */
final class ModelList {
    private static final int MOST = 20;            // names in a sentence
    private static final Pattern CODE = Pattern.compile("model_not_found|model_not_available|invalid_model");
    private static final Pattern UNKNOWN = Pattern.compile("(?is).*(not a valid model|(invalid|unknown|no such) model"
        + "|model .{0,200}(not found|does not exist|not exist)).*");

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
        if (CODE.matcher(error.path("code").asText()).matches()) return true;
        boolean isNamed = message.toLowerCase(Locale.ROOT).contains(model.toLowerCase(Locale.ROOT));
        if (isNamed && UNKNOWN.matcher(message).matches()) return true;
        return answer.status() == 404 && (" " + message + " ").contains(" " + model) && !isRoute(error);
    }

    private static boolean isRoute(JsonNode error) { return error.path("code").asText().equals("unknown_url"); }

    /** Returns that an engine does not have a model, and those that it has, if it lists any; else its own words. */
    static String sentence(String who, String have, String model, List<String> names, String said) {
        var more = names.size() > MOST ? ", and " + (names.size() - MOST) + " more" : "";
        var has = names.isEmpty() ? " (" + said.replaceFirst("[.\\s]+$", "") + ")"
            : "; it has " + names.stream().limit(MOST).collect(Collectors.joining(", ")) + more;
        return who + " " + have + " the model " + Refusal.quoted(model) + has
            + near(model, names).map(name -> "; did you mean " + name + "?").orElse("");
    }

    /** Returns the same as what is wrong with a batch, by what an engine lists and has answered. */
    static BatchError fault(String who, String have, String model, Answer models, Answer answer) {
        return BatchError.of("model_not_found", "body.model", sentence(who, have, model, names(models),
            answer.body().at("/error/message").asText()));
    }

    private static Optional<String> near(String slip, List<String> names) {
        var given = slip.toLowerCase(Locale.ROOT);
        return names.stream().filter(name -> isNear(given, name.toLowerCase(Locale.ROOT)))
            .min(Comparator.comparing(name -> distance(given, name.toLowerCase(Locale.ROOT))));
    }

    private static boolean isNear(String slip, String name) {
        return name.contains(slip) || slip.contains(name)
            || distance(slip, name) <= Math.min(3, Math.min(slip.length(), name.length()) / 2);
    }

    /** Levenshtein's: how many letters to add, drop or change. */
    private static int distance(String a, String b) {
        var row = IntStream.rangeClosed(0, b.length()).toArray();
        for (int i = 1; i <= a.length(); i++) {
            int before = row[0]++;
            for (int j = 1; j <= b.length(); j++) {
                int change = before + (a.charAt(i - 1) == b.charAt(j - 1) ? 0 : 1);
                before = row[j];
                row[j] = Math.min(change, Math.min(row[j - 1], row[j]) + 1);
            }
        }
        return row[b.length()];
    }
}
