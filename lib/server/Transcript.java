package sheaf.server;

import static java.util.stream.Collectors.joining;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.TextNode;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * What a request and its answer say to a reader, whatever the endpoint: the question is the last thing that the user
 * said. What has no text is shown as its JSON. It checks nothing and knows no file.
 */
final class Transcript {
    private Transcript() { }

    /** Returns what the body of a request asks. */
    static String question(JsonNode body) {
        var messages = body.path(body.has("messages") ? "messages" : "input");
        if (isTurns(messages)) return content(lastOfUser(messages));
        return present(body.path("input"), body.path("prompt")).map(Transcript::texts).orElseGet(() -> shown(body));
    }

    /** Returns whether a list has turns of a conversation, and not texts. */
    private static boolean isTurns(JsonNode list) { return list.isArray() && list.path(0).isObject(); }

    private static JsonNode lastOfUser(JsonNode turns) {
        for (int i = turns.size(); i-- > 0; )
            if (turns.get(i).path("role").asText().equals("user")) return turns.get(i);
        return turns.get(turns.size() - 1);
    }

    private static String content(JsonNode turn) {
        var content = turn.path("content");
        return Json.isAbsent(content) ? shown(turn) : texts(content);
    }

    /** Returns a text, or several as paragraphs: those of parts, and what other parts are. */
    private static String texts(JsonNode content) {
        if (content.isTextual()) return content.textValue();
        boolean hasTexts = content.isArray() && content.valueStream().anyMatch(part -> part.isTextual()
            || part.path("type").isTextual());
        return hasTexts ? content.valueStream().map(Transcript::part).collect(joining("\n\n")) : shown(content);
    }

    private static String part(JsonNode part) {
        return present(part, part.path("text"), part.path("refusal"))
            .filter(JsonNode::isTextual).map(JsonNode::textValue)
            .orElseGet(() -> part.path("type").isTextual() ? "[" + part.get("type").textValue() + "]" : shown(part));
    }

    /** Returns the first of these that is a text or, without one, the first that is there. */
    private static Optional<JsonNode> present(JsonNode... nodes) {
        return Stream.of(nodes).filter(JsonNode::isTextual).findFirst()
            .or(() -> Stream.of(nodes).filter(node -> !Json.isAbsent(node)).findFirst());
    }

    private static String shown(JsonNode node) { return node.toString(); }

    /** Returns what a line of an output or error file says: the answer's text, or the error's message. */
    static String answer(JsonNode line) {
        var body = line.at("/response/body");
        var messages = Stream.of(line.at("/error/message"), body.at("/error/message"));
        return messages.filter(JsonNode::isTextual).findFirst().map(JsonNode::textValue)
            .orElseGet(() -> answerIn(body));
    }

    private static String answerIn(JsonNode body) {
        if (body.path("choices").isArray() && !body.path("choices").isEmpty())
            return body.get("choices").valueStream().map(Transcript::choice).collect(joining("\n\n"));
        if (body.path("output").isArray())
            return body.get("output").valueStream().filter(item -> !item.path("type").asText().equals("reasoning"))
                .map(item -> item.has("content") ? content(item) : call(item)).collect(joining("\n\n"));
        if (body.path("data").isArray() && body.at("/data/0").has("embedding")) return vectors(body.get("data"));
        return shown(body);
    }

    private static String choice(JsonNode choice) {
        var message = choice.path("message");
        var said = Stream.of(message.path("content"), message.path("refusal"), choice.path("text"))
            .filter(node -> node.isTextual() || node.isArray()).findFirst().map(Transcript::texts).orElse("");
        var calls = message.path("tool_calls").valueStream().map(each -> call(each.path("function")));
        var all = Stream.concat(Stream.of(said).filter(text -> !text.isEmpty()), calls).collect(joining("\n\n"));
        return all.isEmpty() && !choice.has("message") && !choice.has("text") ? shown(choice) : all;
    }

    /** Returns a call of a function as code has it. */
    private static String call(JsonNode function) {
        if (!function.path("name").isTextual()) return shown(function);
        return function.get("name").textValue() + "(" + function.path("arguments").asText() + ")";
    }

    private static String vectors(JsonNode data) {
        var first = data.get(0).get("embedding");
        var size = first.isArray() ? "a vector of " + first.size() + " numbers" : "a vector in Base64";
        return data.size() == 1 ? size : data.size() + " vectors, the first " + size;
    }

    /** Returns what is unusual about a line: the error's code or status, or why the answer ended; null if nothing. */
    static String code(JsonNode line) {
        var body = line.at("/response/body");
        int status = line.at("/response/status_code").asInt();
        boolean good = status >= 200 && status < 300;
        if (line.path("error").isObject()) return line.at("/error/code").asText();
        if (!good)
            return Stream.of(TextNode.valueOf(status == 0 ? "" : "" + status), body.at("/error/code"))
                .map(JsonNode::asText).filter(word -> !word.isEmpty() && !word.equals("null")).collect(joining(" "));
        var reason = present(body.at("/choices/0/finish_reason"), body.at("/incomplete_details/reason"))
            .map(JsonNode::asText).orElse("stop");
        return reason.equals("stop") ? null : reason;
    }
}
