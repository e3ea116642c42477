package sheaf;

import java.util.List;
import java.util.StringJoiner;
import java.util.stream.Collectors;

/**
 * A model's text, split into what it thought before it answered and the answer. It thinks between tags at the start of
 * a text; where a template has opened the tag already, only its end comes, and where the text was cut, only its start.
 * @param reasoning without the tags and the white space around it; "" where there is none
 * @param answer as it stands where there is no reasoning
 */
record Thinking(String reasoning, String answer) {
    private record Tags(String open, String close) {}

    /** Of DeepSeek, Qwen and most others; Gemini; Magistral; Kimi; Seed; Command A; open thought; gpt-oss. */
    private static final List<Tags> TAGS = List.of(new Tags("<think>", "</think>"),
        new Tags("<thinking>", "</thinking>"), new Tags("<thought>", "</thought>"), new Tags("[think]", "[/think]"),
        new Tags("\u25c1think\u25b7", "\u25c1/think\u25b7"), new Tags("<seed:think>", "</seed:think>"),
        new Tags("<|start_thinking|>", "<|end_thinking|>"),
        new Tags("<|begin_of_thought|>", "<|end_of_thought|>"),
        new Tags("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"));
    private static final String STARTS = TAGS.stream().map(tags -> tags.open.substring(0, 1)).distinct()
        .collect(Collectors.joining());
    /** What gpt-oss writes around the parts of a message. */
    private static final String MARKS = "<\\|(start|end|return)\\|>(assistant)?";

    static Thinking of(String text) {
        if (!hasAny(text)) return new Thinking("", text);
        var thoughts = new StringJoiner("\n");
        var rest = text;
        for (var tags = opening(rest); tags != null; tags = opening(rest)) {
            var inside = rest.stripLeading().substring(tags.open.length());
            int end = find(inside, tags.close);
            add(thoughts, end < 0 ? inside : inside.substring(0, end));
            rest = end < 0 ? "" : after(inside, end, tags);
        }
        return rest.equals(text) ? ofEndAlone(text) : new Thinking(thoughts.toString(), rest);
    }

    /** Whether a tag may begin somewhere. */
    private static boolean hasAny(String text) {
        for (int i = 0; i < STARTS.length(); i++)
            if (text.indexOf(STARTS.charAt(i)) >= 0) return true;
        return false;
    }

    private static Tags opening(String text) {
        var start = text.stripLeading();
        return TAGS.stream().filter(tags -> start.regionMatches(true, 0, tags.open, 0, tags.open.length())).findFirst()
            .orElse(null);
    }

    private static Thinking ofEndAlone(String text) {
        return TAGS.stream().filter(tags -> loneEnd(text, tags) >= 0).findFirst().map(tags -> {
            int end = loneEnd(text, tags);
            return new Thinking(unmarked(text.substring(0, end)), after(text, end, tags));
        }).orElse(new Thinking("", text));
    }

    /** Returns where an end stands that has no start before it and is no part of what is said; -1 if nowhere. */
    private static int loneEnd(String text, Tags tags) {
        int start = find(text, tags.open);
        int end = find(text, tags.close);
        while (end >= 0 && isSaid(text, end, tags)) end = find(text, tags.close, end + 1);
        return start < 0 || start > end ? end : -1;
    }

    /** Whether a tag is spoken of: it is quoted, or its line goes on. What is one token is not spoken of. */
    private static boolean isSaid(String text, int end, Tags tags) {
        boolean isQuoted = end > 0 && "`'\"".indexOf(text.charAt(end - 1)) >= 0;
        var rest = text.substring(end + tags.close.length());
        return isQuoted || !tags.close.startsWith("<|") && !rest.lines().findFirst().orElse("").isBlank();
    }

    private static int find(String text, String tag) { return find(text, tag, 0); }

    private static int find(String text, String tag, int from) {
        int at = text.indexOf(tag.charAt(0), from);
        while (at >= 0 && !text.regionMatches(true, at, tag, 0, tag.length())) at = text.indexOf(tag.charAt(0), at + 1);
        return at;
    }

    private static String after(String text, int end, Tags tags) {
        var answer = text.substring(end + tags.close.length()).stripLeading();
        return tags.close.startsWith("<|channel") ? unmarked(answer) : answer;
    }

    private static void add(StringJoiner thoughts, String thought) {
        if (!unmarked(thought).isEmpty()) thoughts.add(unmarked(thought));
    }

    private static String unmarked(String text) { return text.replaceAll(MARKS, "").strip(); }
}
