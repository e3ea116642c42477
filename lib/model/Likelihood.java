package sheaf.model;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.stream.IntStream;

/**
 * How likely each of some answers is, where a model may give no other: the chance that it is drawn, token by token, at
 * temperature 1. It does not know what is asked, or which program runs the model.
 */
final class Likelihood {
    static final float HELD = 60;                // the bias of what may be said: nothing else is so much likelier
    private static final double LEAST = 0.001;   // the chance of a beginning from which on all ends are as likely

    private final Prompt prompt;
    private final int promptTokens;
    private final List<String> answers;
    private final List<int[]> tokens = new ArrayList<>();   // of the prompt and each answer
    private final double[] chances;                         // of each answer; together they are 1

    /** What was said before an answer, to a model that tells what it would say next. */
    interface Prompt {
        /** Returns the tokens of the prompt with this answer, or a beginning of it, after it. */
        int[] with(String answer);

        /**
         * Returns the chance of each of these tokens to be the next after others, if it is one of them.
         * @param tokens of the prompt, and of a beginning of an answer
         */
        Map<Integer, Double> chances(int[] tokens, List<Integer> next);
    }

    /** Some answers cannot be told apart by their tokens, as those that are pieces of a character. */
    static final class Untold extends RuntimeException { }

    private Likelihood(Prompt prompt, List<String> answers) {
        this.prompt = prompt;
        this.answers = answers;
        this.chances = new double[answers.size()];
        var before = prompt.with("");
        this.promptTokens = before.length;
        for (var answer : answers) tokens.add(prompt.with(answer));
        for (var each : tokens)
            if (Arrays.mismatch(before, each) < promptTokens) throw new Untold();
    }

    /**
     * Asks the model how likely it is to give each of these answers.
     * @param most tokens that an answer may have
     * @return empty if that cannot be told
     */
    static Optional<Likelihood> of(Prompt prompt, List<String> answers, int most) {
        try {
            var likelihood = new Likelihood(prompt, answers);
            if (IntStream.range(0, answers.size()).anyMatch(i -> likelihood.length(i) > most)) return Optional.empty();
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

        String text() { return answers.get(number); }

        Generation.Answer answer(int promptTokens) {
            return new Generation.Answer(text(), promptTokens, length(number), "stop");
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
            : prompt.chances(Arrays.copyOf(tokens.get(these.get(0)), length), List.copyOf(next.keySet()));
        next.forEach((token, those) -> spread(those, length + 1, chance * shares.get(token)));
    }

    private int token(int answer, int place) {
        if (place >= tokens.get(answer).length) throw new Untold();
        return tokens.get(answer)[place];
    }
}
