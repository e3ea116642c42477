package sheaf;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.ByteArrayOutputStream;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.regex.Pattern;

/**
 * The logarithms of the probabilities that a response gives for its tokens, and what they say of one label in it. Bytes
 * stand in texts as characters of one byte here, for a token may end within a character.
 * @see <a href="https://platform.openai.com/docs/api-reference/chat/object">choices, logprobs</a>
 */
final class Logprobs {
    private final JsonNode tokens;
    private final int[] ends;                              // of each token, in bytes
    private final String text;
    private final List<String> labels;

    private Logprobs(JsonNode tokens, List<String> labels) {
        this.tokens = tokens;
        this.labels = labels.stream().map(Logprobs::bytes).toList();
        this.ends = new int[tokens.size()];
        var said = new StringBuilder();
        for (int i = 0; i < ends.length; i++) ends[i] = said.append(bytes(tokens.get(i))).length();
        this.text = said.toString();
    }

    /**
     * Returns how sure the model was of a label, 0 to 1: the product of the probabilities of all tokens that spell it;
     * empty where the response has none, or the label does not stand in it exactly once. Where others are told beside
     * a token, its probability is the share of those that go on as some label does: an engine that lets the model say
     * nothing else, as llama-server, tells how likely all of them were before.
     * @param labels that might have been said
     */
    static OptionalDouble of(JsonNode response, String label, List<String> labels) {
        var given = response.findValue("logprobs");
        if (given == null) return OptionalDouble.empty();
        return new Logprobs(given.isArray() ? given : given.path("content"), labels).of(label);
    }

    private OptionalDouble of(String label) {
        var said = new String(text.getBytes(ISO_8859_1), UTF_8);
        var word = Pattern.compile("(?iu)(?<![\\p{L}\\p{N}])" + Pattern.quote(label) + "(?![\\p{L}\\p{N}])")
            .matcher(said);
        if (!word.find()) return OptionalDouble.empty();
        int start = bytes(said.substring(0, word.start())).length();
        int end = start + bytes(word.group()).length();
        if (word.find()) return OptionalDouble.empty();
        double product = 1;
        for (int i = 0; i < ends.length; i++) {
            if (ends[i] <= start || start(i) >= end) continue;
            if (!tokens.get(i).path("logprob").isNumber()) return OptionalDouble.empty();
            product *= share(i, start);
        }
        return OptionalDouble.of(Math.min(1, product));
    }

    private int start(int token) { return token == 0 ? 0 : ends[token - 1]; }

    /** Returns the least that the share of a token can be: a label that is not told may be as likely as the last. */
    private double share(int token, int start) {
        var likely = new LinkedHashMap<String, Double>();
        for (var other : tokens.get(token).path("top_logprobs")) likely.merge(bytes(other), chance(other), Math::max);
        double chance = chance(tokens.get(token));
        if (likely.isEmpty()) return chance;
        double least = likely.values().stream().mapToDouble(each -> each).min().orElse(0);
        likely.put(text.substring(start(token), ends[token]), chance);
        var before = text.substring(start(token), Math.max(start, start(token)));
        var begun = text.substring(start, Math.max(start, start(token)));
        var rests = labels.stream().filter(label -> label.startsWith(begun))
            .map(label -> before + label.substring(begun.length())).toList();
        double sum = likely.entrySet().stream().filter(each -> rests.stream().anyMatch(rest ->
            isAlong(rest, each.getKey()))).mapToDouble(Map.Entry::getValue).sum();
        long untold = rests.stream().filter(rest -> likely.keySet().stream().noneMatch(each -> isAlong(rest, each)))
            .count();
        return Math.max(chance, chance / (Math.max(chance, sum) + untold * least));
    }

    private static boolean isAlong(String rest, String token) {
        return rest.startsWith(token) || token.startsWith(rest);
    }

    private static double chance(JsonNode token) { return Math.exp(token.path("logprob").asDouble()); }

    /** A token may end within a character, so its bytes count before its text. */
    private static String bytes(JsonNode token) {
        var bytes = token.path("bytes");
        if (!bytes.isArray()) return bytes(token.path("token").asText(""));
        var all = new ByteArrayOutputStream();
        for (var each : bytes) all.write(each.asInt());
        return all.toString(ISO_8859_1);
    }

    private static String bytes(String text) { return new String(text.getBytes(UTF_8), ISO_8859_1); }
}
