package sheaf.model;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.Locale;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * How a model draws what it says, by those who made it; what a request says of it itself comes first. A penalty for
 * what was said before is not among it: answers often are to repeat words of their prompt.
 * @param topP the share of the likeliest tokens that are drawn from
 * @param topK so many of the likeliest at most; 0 are all
 */
record Sampling(double temperature, double topP, int topK) {
    /** As llama.cpp draws by itself, where nobody recommends anything. */
    private static final Sampling USUAL = new Sampling(0.8, 0.95, 40);

    /** What generation_config.json says beside the weights of a family; of SmolLM2 it is the card that does. */
    private enum Family {
        SMOLLM2("smollm2", 0.2, 0.9, 40),
        QWEN25("qwen2\\.5", 0.7, 0.8, 20),
        LLAMA3("llama[- ]?3", 0.6, 0.9, 40),
        GEMMA3("gemma[- ]?3", 1, 0.95, 64);

        private final Pattern name;
        private final Sampling sampling;

        Family(String name, double temperature, double topP, int topK) {
            this.name = Pattern.compile(name);
            this.sampling = new Sampling(temperature, topP, topK);
        }
    }

    /** Returns what the file of the weights recommends, else what is known of their family. */
    static Sampling of(Gguf header) {
        var names = String.join(" ", header.text("general.basename"), header.text("general.name"),
            header.architecture()).toLowerCase(Locale.ROOT);
        var known = Stream.of(Family.values()).filter(family -> family.name.matcher(names).find())
            .findFirst().map(family -> family.sampling).orElse(USUAL);
        return new Sampling(header.number("general.sampling.temp").orElse(known.temperature),
            header.number("general.sampling.top_p").orElse(known.topP),
            (int) Math.max(0, header.number("general.sampling.top_k").orElse(known.topK)));
    }

    /** Says in a request for text what that leaves open; of some labels the likeliest is to be chosen. */
    void fill(ObjectNode body) {
        if (!body.has("messages") && !body.has("prompt")) return;
        boolean isLabel = !ResponseFormat.answers(body.path("response_format")).isEmpty();
        if (!body.hasNonNull("temperature")) body.put("temperature", isLabel ? 0 : temperature);
        if (!body.hasNonNull("top_p")) body.put("top_p", topP);
        if (!body.hasNonNull("top_k")) body.put("top_k", topK);
    }
}
