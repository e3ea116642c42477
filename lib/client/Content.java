package sheaf;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.List;
import java.util.Set;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * What a message says: its text, apart from what the model thought, what it declined, and the tools that it calls.
 * Content is a text, or a list of parts each of which has a type; providers name both in their own ways.
 * @param calls the arguments of each call of a tool, as JSON
 */
record Content(String text, String reasoning, String refusal, List<JsonNode> calls) {
    static final Content NONE = new Content("", "", "", List.of());
    /** Where a message has its reasoning apart, the first that has some. */
    private static final List<String> REASONING = List.of("reasoning_content", "reasoning", "thinking",
        "thinking_blocks", "reasoning_details");

    /** How the type of a part begins that is a thought: reasoning_text, thinking, summary_text. */
    private static final Set<String> THOUGHTS = Set.of("thinking", "redacted", "thought", "reasoning", "summary");

    /** Reads a message of a chat, with whatever it has beside its content. */
    static Content ofMessage(JsonNode message) {
        if (isPlain(message)) return ofText(message.path("content").asText());
        var own = of(message.path("content").isMissingNode() ? message.path("parts") : message.path("content"));
        var beside = REASONING.stream().map(message::path).map(Content::thought).filter(text -> !text.isEmpty())
            .findFirst().orElse("");
        var calls = Stream.concat(stream(message.path("tool_calls")), Stream.of(message.path("function_call")))
            .flatMap(Content::arguments);
        return new Content(own.text, joined(Stream.of(beside, own.reasoning)),
            joined(Stream.of(text(message.path("refusal")), own.refusal)),
            Stream.concat(calls, own.calls.stream()).toList());
    }

    /** Whether it has a text and nothing else that says anything, as most have: then nothing is to be looked for. */
    private static boolean isPlain(JsonNode message) {
        if (!message.path("content").isTextual()) return false;
        for (var field : message.properties()) {
            boolean isKnown = field.getKey().equals("content") || field.getKey().equals("role");
            boolean isEmpty = field.getValue().isNull() || field.getValue().isArray() && field.getValue().isEmpty();
            if (!isKnown && !isEmpty) return false;
        }
        return true;
    }

    /** Reads a text, or a list of parts. */
    static Content of(JsonNode content) {
        if (content.isTextual()) return ofText(content.asText());
        var parts = content.isArray() ? stream(content).toList() : List.of(content);
        var thinking = Thinking.of(texts(parts, part -> isThought(part) ? "" : text(part)));
        var thoughts = joined(parts.stream().filter(Content::isThought).map(Content::thought));
        return new Content(thinking.answer(), joined(Stream.of(thoughts, thinking.reasoning())),
            texts(parts, part -> text(part.path("refusal"))), parts.stream().flatMap(Content::arguments).toList());
    }

    static Content ofText(String text) {
        var thinking = Thinking.of(text);
        return new Content(thinking.answer(), thinking.reasoning(), "", List.of());
    }

    /** Reads the items that a model put out one after another, of which some are messages. */
    static Content ofItems(JsonNode items) {
        var contents = stream(items).map(item -> item.path("type").asText("message").equals("message")
            && item.has("content") ? of(item.path("content")) : of(item)).toList();
        return new Content(contents.stream().map(Content::text).collect(Collectors.joining()),
            joined(contents.stream().map(Content::reasoning)), joined(contents.stream().map(Content::refusal)),
            contents.stream().flatMap(content -> content.calls.stream()).toList());
    }

    /** Returns the text of a prompt, in which no part is a thought. */
    static String plain(JsonNode content) {
        return content.isArray() ? texts(stream(content).toList(), Content::text) : text(content);
    }

    private static boolean isThought(JsonNode part) {
        var kind = part.path("type").asText().replaceFirst("[._].*", "");
        return THOUGHTS.contains(kind) || part.path("thought").asBoolean();
    }

    /** Returns what a thought says, which some have as a text and some as parts or as a summary and the whole. */
    private static String thought(JsonNode node) {
        if (node.isArray()) return joined(stream(node).map(Content::thought));
        if (!node.isObject()) return node.asText("");
        return joined(Stream.of("thinking", "text", "reasoning", "summary", "content").map(node::path)
            .map(Content::thought));
    }

    /** Returns the text of a part, or of what is a text by itself. */
    private static String text(JsonNode part) {
        if (part.isTextual()) return part.asText();
        var text = part.path("text");
        return text.isObject() ? text.path("value").asText("") : text.asText("");
    }

    /** Returns what a tool is called with, a JSON text or JSON; not of the calls that a provider makes itself. */
    private static Stream<JsonNode> arguments(JsonNode call) {
        var function = Stream.of("function", "custom", "functionCall", "toolUse").map(call::path)
            .filter(JsonNode::isObject).findFirst().orElse(call);
        boolean isOurs = !call.path("type").asText().matches("(mcp|server)_.*");
        if (!isOurs || !function.has("name")) return Stream.of();
        return Stream.of("arguments", "input", "args", "parameters").map(function::path)
            .filter(arguments -> !arguments.isMissingNode()).limit(1).map(Content::json);
    }

    private static JsonNode json(JsonNode arguments) {
        if (!arguments.isTextual()) return arguments.isNull() ? Json.MAPPER.createObjectNode() : arguments;
        if (arguments.asText().isBlank()) return Json.MAPPER.createObjectNode();
        var json = Json.lenient(arguments.asText());
        return json.isMissingNode() ? arguments : json;
    }

    private static String texts(List<JsonNode> parts, Function<JsonNode, String> text) {
        return parts.stream().map(text).collect(Collectors.joining());
    }

    private static String joined(Stream<String> texts) {
        return texts.filter(text -> !text.isBlank()).distinct().collect(Collectors.joining("\n"));
    }

    private static Stream<JsonNode> stream(JsonNode array) {
        return array.isArray() ? array.valueStream() : Stream.of();
    }
}
