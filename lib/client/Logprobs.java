package sheaf;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.OptionalDouble;
import java.util.regex.Pattern;

/**
 * The logarithms of the probabilities that a response gives for its tokens, and what they say of one word in it.
 * @see <a href="https://platform.openai.com/docs/api-reference/chat/object">choices, logprobs</a>
 */
final class Logprobs {
    private Logprobs() {}

    /**
     * Returns how sure the model was of a label, 0 to 1: the product of the probabilities of all tokens that spell it;
     * empty where the response has none, or the label does not stand in it exactly once.
     */
    static OptionalDouble of(JsonNode response, String label) {
        var given = response.findValue("logprobs");
        if (given == null) return OptionalDouble.empty();
        var tokens = given.isArray() ? given : given.path("content");
        var ends = new int[tokens.size()];                 // of each token, in bytes
        var bytes = new ByteArrayOutputStream();
        for (int i = 0; i < ends.length; i++) {
            bytes.writeBytes(bytes(tokens.get(i)));
            ends[i] = bytes.size();
        }
        return of(tokens, ends, bytes.toString(StandardCharsets.UTF_8), label);
    }

    private static OptionalDouble of(JsonNode tokens, int[] ends, String text, String label) {
        var word = Pattern.compile("(?iu)(?<![\\p{L}\\p{N}])" + Pattern.quote(label) + "(?![\\p{L}\\p{N}])")
            .matcher(text);
        if (!word.find()) return OptionalDouble.empty();
        int start = size(text.substring(0, word.start()));
        int end = start + size(word.group());
        if (word.find()) return OptionalDouble.empty();
        double sum = 0;
        for (int i = 0; i < ends.length; i++) {
            boolean isOfTheLabel = ends[i] > start && (i == 0 ? 0 : ends[i - 1]) < end;
            if (!isOfTheLabel) continue;
            if (!tokens.get(i).path("logprob").isNumber()) return OptionalDouble.empty();
            sum += tokens.get(i).get("logprob").asDouble();
        }
        return OptionalDouble.of(Math.min(1, Math.exp(sum)));
    }

    /** A token may end within a character, so its bytes count before its text. */
    private static byte[] bytes(JsonNode token) {
        var bytes = token.path("bytes");
        if (!bytes.isArray()) return token.path("token").asText("").getBytes(StandardCharsets.UTF_8);
        var all = new byte[bytes.size()];
        for (int i = 0; i < all.length; i++) all[i] = (byte) bytes.get(i).asInt();
        return all;
    }

    private static int size(String text) { return text.getBytes(StandardCharsets.UTF_8).length; }
}
