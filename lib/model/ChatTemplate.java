package sheaf.model;

import static java.util.stream.Collectors.joining;

import java.util.List;
import java.util.function.Function;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * How a model was taught to see a chat, told by its Jinja template, which is recognised rather than run.
 * It does not know the tokenizer, which adds the BOS token by itself.
 */
record ChatTemplate(Style style, String defaultSystem) {
    private static final Pattern DEFAULT_SYSTEM =
        Pattern.compile("<\\|im_start\\|>system(?:\n|\\\\n)([^'\"{<]+)<\\|im_end\\|>");

    /** The family whose marks the template writes; plain if it writes none of them. */
    enum Style { CHATML, LLAMA3, GEMMA, PLAIN }

    /** One message of a chat. */
    record Message(String role, String content) {
        boolean isSystem() { return role.equals("system"); }
    }

    static ChatTemplate of(String jinja) {
        var system = DEFAULT_SYSTEM.matcher(jinja);
        return new ChatTemplate(style(jinja), system.find() ? system.group(1) : "");
    }

    private static Style style(String jinja) {
        if (jinja.contains("<|im_start|>")) return Style.CHATML;
        if (jinja.contains("<|start_header_id|>")) return Style.LLAMA3;
        return jinja.contains("<start_of_turn>") ? Style.GEMMA : Style.PLAIN;
    }

    /** Returns the prompt that ends where the answer begins. */
    String render(List<Message> messages) {
        return switch (style) {
            case CHATML -> join(withDefaultSystem(messages), ChatTemplate::chatml) + "<|im_start|>assistant\n";
            case LLAMA3 -> join(messages, ChatTemplate::llama3) + llama3Header("assistant");
            case GEMMA -> join(systemInFirstTurn(messages), ChatTemplate::gemma) + "<start_of_turn>model\n";
            case PLAIN -> messages.stream().map(Message::content).collect(joining("\n"));
        };
    }

    private static String join(List<Message> messages, Function<Message, String> form) {
        return messages.stream().map(form).collect(joining());
    }

    private List<Message> withDefaultSystem(List<Message> messages) {
        if (defaultSystem.isEmpty() || messages.get(0).isSystem()) return messages;
        return Stream.concat(Stream.of(new Message("system", defaultSystem)), messages.stream()).toList();
    }

    private static String chatml(Message message) {
        return "<|im_start|>" + message.role() + "\n" + message.content() + "<|im_end|>\n";
    }

    private static String llama3(Message message) {
        return llama3Header(message.role()) + message.content().strip() + "<|eot_id|>";
    }

    private static String llama3Header(String role) { return "<|start_header_id|>" + role + "<|end_header_id|>\n\n"; }

    private static String gemma(Message message) {
        var role = message.role().equals("assistant") ? "model" : "user";
        return "<start_of_turn>" + role + "\n" + message.content().strip() + "<end_of_turn>\n";
    }

    /** Gemma knows no system role: its template puts that text before the user's first. */
    private static List<Message> systemInFirstTurn(List<Message> messages) {
        if (messages.size() < 2 || !messages.get(0).isSystem()) return messages;
        var first = messages.get(1);
        var joined = new Message(first.role(), messages.get(0).content() + "\n\n" + first.content());
        return Stream.concat(Stream.of(joined), messages.stream().skip(2)).toList();
    }
}
