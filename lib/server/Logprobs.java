package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.regex.Pattern;

/**
 * How likely each token of an answer is said to be, the same each time: a label of a choice is one token, as likely as
 * the choice has it, and whatever else there is is certain. The tokens one after the other are the text.
 *
 * @see <a href="https://platform.openai.com/docs/api-reference/chat/object#choices-logprobs">Chat's logprobs</a>
 */
final class Logprobs {
    private static final Pattern TOKENS = Pattern.compile("\\s*(?:[\\p{L}\\p{N}]++|[^\\s\\p{L}\\p{N}]++)|\\s++");

    private final ArrayNode content = Json.MAPPER.createArrayNode();
    private final int top;                               // how many tokens are shown for each place

    private Logprobs(int top) { this.top = top; }

    /** Returns the logprobs of an answer's text, which may hold the label of a choice. */
    static ObjectNode of(String text, Optional<Choice> choice, int top) {
        var logprobs = new Logprobs(top);
        int label = choice.map(said -> text.lastIndexOf(inText(said.label()))).orElse(-1);
        if (label < 0) logprobs.addCertain(text);
        else logprobs.add(text, label, choice.get());
        return Json.object().<ObjectNode>set("content", logprobs.content).putNull("refusal");
    }

    /** Returns a label as it stands in JSON, without the quotes around it. */
    private static String inText(JsonNode label) {
        var json = new String(Json.bytes(label), UTF_8);
        return label.isTextual() ? json.substring(1, json.length() - 1) : json;
    }

    private void add(String text, int label, Choice choice) {
        var said = inText(choice.label());
        addCertain(text.substring(0, label));
        var token = content.add(token(said, choice.likelihood(choice.label()))).get(content.size() - 1);
        var likely = choice.labels().stream().filter(other -> !other.equals(choice.label()))
            .sorted(Comparator.comparingDouble(choice::likelihood).reversed()).limit(Math.max(0, top - 1))
            .map(other -> token(inText(other), choice.likelihood(other))).toList();
        show((ObjectNode) token, said, choice.likelihood(choice.label()), likely);
        addCertain(text.substring(label + said.length()));
    }

    private void addCertain(String text) {
        var tokens = TOKENS.matcher(text);
        while (tokens.find()) {
            var token = token(tokens.group(), 1);
            content.add(token);
            show(token, tokens.group(), 1, List.of());
        }
    }

    private void show(ObjectNode token, String said, double likelihood, List<ObjectNode> others) {
        var shown = token.putArray("top_logprobs");
        if (top > 0) shown.add(token(said, likelihood)).addAll(others);
    }

    private static ObjectNode token(String text, double likelihood) {
        var token = Json.object().put("token", text).put("logprob", Math.log(likelihood));
        var bytes = token.putArray("bytes");
        for (byte each : text.getBytes(UTF_8)) bytes.add(each & 0xff);
        return token;
    }
}
