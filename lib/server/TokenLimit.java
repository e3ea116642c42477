package sheaf.server;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.List;
import java.util.Objects;
import java.util.regex.Pattern;
import sheaf.server.Engine.Answer;

/**
 * The limit of a chat completion, in the word that an engine takes. There are an old word and a new one: OpenAI refuses
 * both at once, its newer models refuse the old one, and strict engines the new one. So both are said until an engine
 * refuses that, and then only the one that it takes. This knows bodies and answers, and sends nothing.
 */
final class TokenLimit {
    private static final String NEW = "max_completion_tokens";
    private static final String OLD = "max_tokens";
    private static final List<String> WORDS = List.of(NEW, OLD);
    private static final Pattern REFUSED = Pattern.compile("(?is)max_(completion_)?tokens.*(not supported|unsupported"
        + "|same time|both|instead|not permitted|forbidden|not allowed|unrecognized|unknown|unexpected)");

    private volatile String only;        // null as long as the engine takes both words

    /** Returns the only word that the engine is known to take, or null if it is said both. */
    String word() { return only; }

    /** Returns a body that says its limit as the engine takes it, or as it is if it says none, or both by itself. */
    JsonNode said(JsonNode body) {
        var limit = body.path(body.hasNonNull(NEW) ? NEW : OLD);
        if (!limit.isNumber() || !body.has("messages") || body.has(NEW) && body.has(OLD)) return body;
        ObjectNode said = body.deepCopy();
        var word = only;
        if (word == null) WORDS.forEach(each -> said.set(each, limit));
        else said.<ObjectNode>without(WORDS).set(word, limit);
        return said;
    }

    /** Returns whether an answer refuses the word with which it was asked (null for both), and notes the next. */
    synchronized boolean isRefused(JsonNode asked, String word, Answer answer) {
        var message = answer.status() == 400 || answer.status() == 422 ? answer.body().toString() : "";
        if (!asked.has("messages") || WORDS.stream().noneMatch(asked::hasNonNull)
            || !REFUSED.matcher(message).find() || OLD.equals(word)) return false;
        if (Objects.equals(only, word)) only = word == null ? NEW : OLD;   // unless another request found out first
        return true;
    }
}
