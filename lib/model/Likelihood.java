package sheaf.model;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import de.kherud.llama.InferenceParameters;
import de.kherud.llama.LlamaModel;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.stream.IntStream;

/**
 * How likely each of some answers is, where a model may give no other: the chance that it is drawn, token by token, at
 * temperature 1. The binding of llama.cpp tells no probability; but the least bias by which a token comes before the
 * best one is how far its logit lies below that one's. It does not know what is asked.
 */
final class Likelihood {
    private static final float HELD = 60;        // the bias of what may be said: nothing else is so much likelier
    private static final float FARTHEST = 8;     // what lies farther below the best counts as if it lay so far
    private static final int HALVINGS = 8;       // of that range, to 0.03: a probability is right to 1 %
    private static final double LEAST = 0.001;   // the chance of a beginning from which on all ends are as likely

    private final LlamaModel llama;
    private final String prompt;
    private final int promptTokens;
    private final List<String> answers;
    private final List<int[]> tokens = new ArrayList<>();   // of the prompt and each answer
    private final double[] chances;                         // of each answer; together they are 1

    private Likelihood(LlamaModel llama, String prompt, List<String> answers) {
        this.llama = llama;
        this.prompt = prompt;
        this.promptTokens = llama.encode(prompt).length;
        this.answers = answers;
        this.chances = new double[answers.size()];
        for (var answer : answers) tokens.add(llama.encode(prompt + answer));
    }

    /** Some answers cannot be told apart by their tokens, as those that are pieces of a character. */
    private static final class Untold extends RuntimeException { }

    /**
     * Asks the model how likely it is to give each of these answers.
     * @param most tokens that an answer may have
     * @return empty if that cannot be told
     */
    static Optional<Likelihood> of(LlamaModel llama, String prompt, List<String> answers, int most) {
        var likelihood = new Likelihood(llama, prompt, answers);
        if (IntStream.range(0, answers.size()).anyMatch(i -> likelihood.length(i) > most)) return Optional.empty();
        try {
            likelihood.spread(IntStream.range(0, answers.size()).boxed().toList(), likelihood.promptTokens, 1);
            return Optional.of(likelihood);
        } catch (Untold e) {
            return Optional.empty();
        }
    }

    private int length(int answer) { return tokens.get(answer).length - promptTokens; }

    /** Returns one of the answers: at temperature 0 the likeliest, else one that is drawn. */
    Drawn draw(double temperature, Random random) {
        var order = byChance();
        if (temperature == 0) return new Drawn(order.get(0));
        double left = random.nextDouble() * order.stream().mapToDouble(i -> weight(i, temperature)).sum();
        for (int i : order) {
            left -= weight(i, temperature);
            if (left < 0) return new Drawn(i);
        }
        return new Drawn(order.get(0));
    }

    private double weight(int answer, double temperature) { return Math.pow(chances[answer], 1 / temperature); }

    private List<Integer> byChance() {
        return IntStream.range(0, chances.length).boxed().sorted(Comparator.comparingDouble(i -> -chances[i])).toList();
    }

    /** One of the answers. */
    final class Drawn {
        private final int number;

        private Drawn(int number) { this.number = number; }

        Generation.Answer answer(int promptTokens) {
            return new Generation.Answer(answers.get(number), promptTokens, length(number), "stop");
        }

        /**
         * Returns what OpenAI says of an answer's tokens, as if this one were of one token.
         * @param top how many of the likeliest answers are shown, with the chance of each
         */
        ObjectNode logprobs(long top) {
            var logprobs = JsonNodeFactory.instance.objectNode();
            var likeliest = describe(logprobs.putArray("content").addObject(), number).putArray("top_logprobs");
            byChance().stream().limit(top).forEach(other -> describe(likeliest.addObject(), other));
            return logprobs.putNull("refusal");
        }

        private ObjectNode describe(ObjectNode token, int answer) {
            var bytes = token.put("token", answers.get(answer)).put("logprob", Math.log(chances[answer]))
                .putArray("bytes");
            for (byte one : answers.get(answer).getBytes(UTF_8)) bytes.add(one & 0xff);
            return token;
        }
    }

    /** Spreads the chance of a beginning over the answers that begin so. */
    private void spread(List<Integer> these, int length, double chance) {
        if (these.size() == 1 || chance < LEAST) {
            for (int answer : these) chances[answer] = chance / these.size();
            return;
        }
        var next = new LinkedHashMap<Integer, List<Integer>>();
        for (int one : these) next.computeIfAbsent(token(one, length), token -> new ArrayList<>()).add(one);
        var shares = next.size() == 1 ? Map.of(token(these.get(0), length), 1.0)
            : shares(beginning(these.get(0), length), new ArrayList<>(next.keySet()));
        next.forEach((token, those) -> spread(those, length + 1, chance * shares.get(token)));
    }

    private int token(int answer, int place) {
        if (place >= tokens.get(answer).length) throw new Untold();
        return tokens.get(answer)[place];
    }

    /** Returns the beginning of an answer, which has to fall into the same tokens when it stands alone. */
    private String beginning(int answer, int length) {
        var wanted = Arrays.copyOf(tokens.get(answer), length);
        var beginning = prompt + llama.decode(Arrays.copyOfRange(wanted, promptTokens, length));
        if (!Arrays.equals(wanted, llama.encode(beginning))) throw new Untold();
        return beginning;
    }

    /** Returns the chances of these tokens to be the next, if it is one of them. */
    private Map<Integer, Double> shares(String text, List<Integer> these) {
        var rest = new HashSet<>(these);
        if (these.stream().map(this::piece).distinct().count() < these.size()) throw new Untold();
        int best = preferred(text, biased(these, 0));
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
