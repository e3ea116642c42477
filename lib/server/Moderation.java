package sheaf.server;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.List;
import java.util.Locale;

/**
 * What the echo finds objectionable: a text is flagged for each category whose name it has in it, such as "violence",
 * so that a script can be tried with both. It judges nothing else.
 *
 * @see <a href="https://platform.openai.com/docs/api-reference/moderations/object">Moderation</a>
 */
final class Moderation {
    private static final List<String> CATEGORIES = List.of("harassment", "harassment/threatening", "hate",
        "hate/threatening", "illicit", "illicit/violent", "self-harm", "self-harm/intent", "self-harm/instructions",
        "sexual", "sexual/minors", "violence", "violence/graphic");
    private static final double FLAGGED = 0.9;
    private static final double PASSED = 0.01;

    private Moderation() { }

    /** Returns a verdict on each text. */
    static ObjectNode of(String model, List<String> texts) {
        var body = Json.object().put("id", Json.plainId("modr-")).put("model", model);
        var results = body.putArray("results");
        for (var text : texts) results.add(verdict(text.toLowerCase(Locale.ROOT)));
        return body;
    }

    private static ObjectNode verdict(String text) {
        var verdict = Json.object().put("flagged", CATEGORIES.stream().anyMatch(text::contains));
        var categories = verdict.putObject("categories");
        var scores = verdict.putObject("category_scores");
        var types = verdict.putObject("category_applied_input_types");
        for (var category : CATEGORIES) {
            boolean isFlagged = text.contains(category);
            categories.put(category, isFlagged);
            scores.put(category, isFlagged ? FLAGGED : PASSED);
            types.putArray(category).add("text");
        }
        return verdict;
    }
}
