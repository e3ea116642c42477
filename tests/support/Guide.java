package sheaf.support;

/** What the batch guide shows. */
public final class Guide {
    /** A line of its input file. */
    public static final String LINE = "{\"custom_id\":\"request-1\",\"method\":\"POST\","
        + "\"url\":\"/v1/chat/completions\",\"body\":"
        + "{\"model\":\"deepseek-ai/DeepSeek-V3\",\"messages\":[{\"role\":\"system\",\"content\":\"You are an "
        + "experienced cook.\"},"
        + "{\"role\":\"user\",\"content\":\"What is the ultimate breakfast sandwich?\"}],"
        + "\"max_completion_tokens\":1000}}";

    private Guide() {}
}
