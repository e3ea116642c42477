package sheaf;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import java.util.List;
import java.util.stream.Stream;

/** The messages of a request, in turn, by whichever field it has them. It knows no endpoint. */
final class Turns {
    private Turns() {}

    /** Returns the messages of a request; a missing node if it has none. */
    static JsonNode of(JsonNode body) {
        return Stream.of("messages", "input").map(body::path).filter(JsonNode::isArray).findFirst()
            .orElseGet(() -> body.path("messages"));
    }

    static void add(ArrayNode messages, String role, String content) {
        messages.addObject().put("role", role).put("content", content);
    }

    /** Goes on with a talk: what the model answered, and what is said to that. */
    static void goOn(JsonNode body, List<String> answerAndReply) {
        for (int i = 0; i < answerAndReply.size(); i++)
            add((ArrayNode) of(body), i % 2 == 0 ? "assistant" : "user", answerAndReply.get(i));
    }

    /** Takes the last so many messages from a request. */
    static void takeBack(JsonNode body, int count) {
        for (int i = 0; i < count; i++) ((ArrayNode) of(body)).remove(of(body).size() - 1);
    }
}
