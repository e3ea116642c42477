package sheaf.model;

import static java.util.stream.Collectors.joining;

import java.util.List;
import java.util.Optional;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * How a model was taught to see a chat, told by its Jinja template, which is recognised by its marks rather than run,
 * and can be held against what a Jinja renders. It does not know the tokenizer, which adds the BOS token by itself.
 * @param defaultSystem the system prompt of a chat without one; "" if the template has none
 */
record ChatTemplate(Family family, String defaultSystem) {
    private static final Pattern DEFAULT_SYSTEM =
        Pattern.compile("<\\|im_start\\|>system(?:\n|\\\\n)([^'\"{<]+)<\\|im_end\\|>");
    /** What the template of Llama 3.1 and later puts before each system prompt, on the day that it names itself. */
    private static final String DATES = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n";
    private static final Pattern TODAY = Pattern.compile("Today Date: [^\n]*");
    private static final Pattern BOS = Pattern.compile("\\S{0,40}");

    /** What the templates of a family write, and by which of it one is told; those with more marks come first. */
    enum Family {
        PHI4("Phi 4", "<|im_start|>system<|im_sep|>%s<|im_end|>", "<|im_start|>user<|im_sep|>%s<|im_end|>",
            "<|im_start|>assistant<|im_sep|>%s<|im_end|>", "<|im_start|>assistant<|im_sep|>", "<|im_sep|>"),
        CHATML("ChatML", "<|im_start|>system\n%s<|im_end|>\n", "<|im_start|>user\n%s<|im_end|>\n",
            "<|im_start|>assistant\n%s<|im_end|>\n", "<|im_start|>assistant\n", "<|im_start|>"),
        LLAMA3_DATED("Llama 3.1", header("system") + DATES + "%s<|eot_id|>", header("user") + "%s<|eot_id|>",
            header("assistant") + "%s<|eot_id|>", header("assistant"), "<|start_header_id|>", "Cutting Knowledge Date"),
        LLAMA3("Llama 3", header("system") + "%s<|eot_id|>", header("user") + "%s<|eot_id|>",
            header("assistant") + "%s<|eot_id|>", header("assistant"), "<|start_header_id|>"),
        GEMMA("Gemma", "", "<start_of_turn>user\n%s<end_of_turn>\n",
            "<start_of_turn>model\n%s<end_of_turn>\n", "<start_of_turn>model\n", "<start_of_turn>"),
        PHI3("Phi 3", "<|system|>\n%s<|end|>\n", "<|user|>\n%s<|end|>\n", "<|assistant|>\n%s<|end|>\n",
            "<|assistant|>\n", "<|assistant|>", "<|end|>", "system"),
        MISTRAL_TEKKEN("Mistral", "", "[INST]%s[/INST]", "%s</s>", "", "\"[INST]\"", "[AVAILABLE_TOOLS]"),
        MISTRAL("Mistral", "", "[INST] %s[/INST]", " %s</s>", "", "\"[INST] \"", "[AVAILABLE_TOOLS]");

        private final String label;
        private final String system;      // %s stands for what a message says; "": it stands in a turn of the user's
        private final String user;
        private final String assistant;
        private final String answer;      // where the model begins to write
        private final List<String> marks;

        Family(String label, String system, String user, String assistant, String answer, String... marks) {
            this.label = label;
            this.system = system;
            this.user = user;
            this.assistant = assistant;
            this.answer = answer;
            this.marks = List.of(marks);
        }

        private static String header(String role) { return "<|start_header_id|>" + role + "<|end_header_id|>\n\n"; }

        private boolean isMistral() { return label.equals("Mistral"); }

        private boolean strips(Message message) {
            return label.startsWith("Llama") || this == GEMMA || this == MISTRAL && message.role().equals("assistant");
        }

        private String turn(Message message, String intro) {
            var content = strips(message) ? message.content().strip() : message.content();
            var form = switch (message.role()) {
                case "assistant" -> assistant;
                case "system" -> system.isEmpty() ? user : system;
                default -> user;
            };
            return form.replace("%s", intro + content);
        }
    }

    /** One message of a chat. */
    record Message(String role, String content) {
        boolean isSystem() { return role.equals("system"); }

        private boolean isUser() { return role.equals("user"); }
    }

    /**
     * Recognises a template; empty if the model has none, as one that was not taught to chat.
     * @throws IllegalStateException if it is of no family that is known here
     */
    static Optional<ChatTemplate> of(String jinja) {
        if (jinja.isBlank()) return Optional.empty();
        var family = Stream.of(Family.values()).filter(one -> one.marks.stream().allMatch(jinja::contains)).findFirst()
            .orElseThrow(() -> new IllegalStateException("start: the chat template of this model is of no family that"
                + " is known here (" + Stream.of(Family.values()).map(one -> one.label).distinct().sorted()
                    .collect(joining(", ")) + "); put llama-server on the PATH, which renders any"));
        var system = DEFAULT_SYSTEM.matcher(jinja);
        return Optional.of(new ChatTemplate(family, system.find() ? system.group(1) : ""));
    }

    /** Returns the prompt that ends where the answer begins. */
    String render(List<Message> messages) {
        boolean hasSystem = messages.get(0).isSystem();
        if (!hasSystem && family == Family.LLAMA3_DATED) return render(withSystem("", messages));
        if (!hasSystem && !defaultSystem.isEmpty()) return render(withSystem(defaultSystem, messages));
        boolean joins = hasSystem && family.system.isEmpty() && messages.stream().anyMatch(Message::isUser);
        if (!joins) return turns(messages, "");
        return turns(messages.subList(1, messages.size()), messages.get(0).content() + "\n\n");
    }

    private static List<Message> withSystem(String content, List<Message> messages) {
        return Stream.concat(Stream.of(new Message("system", content)), messages.stream()).toList();
    }

    /** @param intro the system prompt that stands in a turn of the user's: the last one with Mistral, else the first */
    private String turns(List<Message> messages, String intro) {
        var users = IntStream.range(0, messages.size()).filter(i -> messages.get(i).isUser());
        int introduced = (family.isMistral() ? users.reduce((earlier, later) -> later) : users.findFirst()).orElse(-1);
        var prompt = new StringBuilder();
        for (int i = 0; i < messages.size(); i++)
            prompt.append(family.turn(messages.get(i), i == introduced ? intro : ""));
        return prompt.append(family.answer).toString();
    }

    /**
     * Holds this rendering of a chat against what the model's own template renders of it: the BOS token and the day
     * may differ.
     * @throws IllegalStateException if more does
     */
    void check(List<Message> messages, String rendered) {
        var ours = undated(render(messages));
        var theirs = undated(rendered);
        boolean isSame = ours.endsWith(theirs) && isBos(ours, theirs) || theirs.endsWith(ours) && isBos(theirs, ours);
        if (!isSame)
            throw new IllegalStateException("cannot render chats: the model's template is like " + family.label
                + "'s and yet another");
    }

    private static boolean isBos(String longer, String shorter) {
        return BOS.matcher(longer.substring(0, longer.length() - shorter.length())).matches();
    }

    private static String undated(String text) { return TODAY.matcher(text).replaceAll("Today Date:"); }
}
