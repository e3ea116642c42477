package sheaf.model;

import static sheaf.model.Likelihood.HELD;

import de.kherud.llama.InferenceParameters;
import de.kherud.llama.LlamaModel;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import sheaf.model.Likelihood.Untold;

/**
 * How far the logits of tokens lie apart, and with that how likely each is to be the next. The binding of llama.cpp
 * tells no probability; but the least bias by which a token comes before the best is how far its logit lies below it.
 */
final class LogitGaps implements Likelihood.Prompt {
    private static final float FARTHEST = 8;     // what lies farther below the best counts as if it lay so far
    private static final int HALVINGS = 8;       // of that range, to 0.03: a probability is right to 1 %

    private final LlamaModel llama;
    private final String prompt;
    private final int promptTokens;

    LogitGaps(LlamaModel llama, String prompt) {
        this.llama = llama;
        this.prompt = prompt;
        this.promptTokens = llama.encode(prompt).length;
    }

    @Override public int[] with(String answer) { return llama.encode(prompt + answer); }

    @Override public Map<Integer, Double> chances(int[] tokens, List<Integer> next) {
        var rest = new HashSet<>(next);
        if (next.stream().map(this::piece).distinct().count() < next.size()) throw new Untold();
        var text = text(tokens);
        int best = preferred(text, biased(next, 0));
        rest.remove(best);
        var gaps = new HashMap<>(Map.of(best, 0.0));
        for (double gap = 0; !rest.isEmpty(); ) {
            var biases = biased(rest, FARTHEST);
            biases.put(best, HELD);
            int second = preferred(text, biases);
            if (second == best) break;
            gap = gap(text, best, second, gap);
            gaps.put(second, gap);
            rest.remove(second);
        }
        rest.forEach(far -> gaps.put(far, (double) FARTHEST));
        double sum = gaps.values().stream().mapToDouble(gap -> Math.exp(-gap)).sum();
        gaps.replaceAll((token, gap) -> Math.exp(-gap) / sum);
        return gaps;
    }

    /** Returns the text of the prompt and a beginning, which has to fall into the same tokens when it stands alone. */
    private String text(int[] tokens) {
        var text = prompt + llama.decode(Arrays.copyOfRange(tokens, promptTokens, tokens.length));
        if (!Arrays.equals(tokens, llama.encode(text))) throw new Untold();
        return text;
    }

    /** Returns how far the logit of a token lies below the best one's, which is no less than this. */
    private double gap(String text, int best, int other, double least) {
        double low = least, high = FARTHEST;
        for (int i = 0; i < HALVINGS; i++) {
            double middle = (low + high) / 2;
            boolean isLess = preferred(text, new HashMap<>(Map.of(best, HELD, other, HELD + (float) middle))) == best;
            if (isLess) low = middle;
            else high = middle;
        }
        return (low + high) / 2;
    }

    private static Map<Integer, Float> biased(Iterable<Integer> tokens, float bias) {
        var biases = new HashMap<Integer, Float>();
        tokens.forEach(token -> biases.put(token, HELD + bias));
        return biases;
    }

    /** Returns the token that the model puts next, of those with a bias. */
    private int preferred(String text, Map<Integer, Float> biases) {
        var said = new StringBuilder();
        llama.generate(new InferenceParameters(text).setNPredict(1).setCachePrompt(true).setTemperature(0)
            .setTokenIdBias(biases)).forEach(piece -> said.append(piece.text));
        return biases.keySet().stream().filter(token -> piece(token).contentEquals(said)).findFirst()
            .orElseThrow(Untold::new);
    }

    private String piece(int token) { return llama.decode(new int[] {token}); }
}
