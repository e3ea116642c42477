package sheaf;

import com.fasterxml.jackson.databind.JsonNode;
import java.nio.charset.StandardCharsets;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Function;
import java.util.function.LongConsumer;
import java.util.function.LongFunction;
import java.util.function.LongPredicate;
import java.util.function.LongToIntFunction;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import sheaf.Tokens.Count;

/**
 * How the requests of a draft are shared out among providers: by a hash of what each asks, so that the same request is
 * always the same provider's, whatever rows stand before it.
 */
final class Shares {
    private static final double ROUNDING = 0.011;             // three thirds of 0.33 are all
    private static final double HASHES = 0x1p53;
    private final List<Settings.Other> providers;             // the draft's own first
    private final double[] upTo;                              // of the hash, 0 to 1, for each

    Shares(List<Settings.Other> providers) {
        this.providers = providers;
        upTo = new double[providers.size()];
        double all = sum(providers);
        double sum = 0;
        for (int i = 0; i < upTo.length; i++) upTo[i] = (sum += providers.get(i).part()) / all;
    }

    private static double sum(List<Settings.Other> providers) {
        return providers.stream().mapToDouble(Settings.Other::part).sum();
    }

    /**
     * Refuses shares that are none, before anything is sent.
     * @throws IllegalStateException if they do not add up to 1, or a provider has two
     */
    static void check(List<Settings.Other> providers) {
        var urls = new HashSet<String>();
        for (var each : providers) {
            var there = each.provider().get();
            if (!urls.add(there.baseUrl()))
                throw new IllegalStateException("providers: " + there.label() + " has two shares; give it one");
        }
        double sum = sum(providers);
        if (Math.abs(sum - 1) > ROUNDING)
            throw new IllegalStateException("providers: the shares add up to "
                + Messages.plain(Math.round(sum * 1e9) / 1e9) + ", not to 1");
    }

    /** Returns whose a request line is: 0 for the draft's own provider, else the number of the other one. */
    int of(byte[] line) {
        long hash = Json.Digest.hash(SentRequests.body(new String(line, StandardCharsets.UTF_8).stripTrailing()));
        double at = (hash >>> 11) / HASHES;
        return IntStream.range(0, upTo.length).filter(i -> at < upTo[i]).findFirst().orElse(upTo.length - 1);
    }

    /** Returns the providers besides the draft's own, in their order. */
    List<Manifest.Share> others() {
        return providers.stream().skip(1).map(other -> new Manifest.Share(Manifest.Address.of(other.provider().get()),
            other.part(), other.model() == null ? "" : other.model())).toList();
    }

    /** Returns those as a manifest has them. */
    JsonNode asJson() { return Json.MAPPER.valueToTree(others()); }

    /** A model, by its name at who is asked it. */
    record Asked(Manifest.Address provider, String model) {}

    /**
     * Who is asked which of some requests.
     * @param number of a request: 0 if the own provider is, else that of one of the others
     */
    record Split(Manifest.Address own, List<Manifest.Share> others, LongToIntFunction number) {
        /** Returns that all are asked of the own provider. */
        static Split none(Connection own) { return new Split(Manifest.Address.of(own), List.of(), request -> 0); }

        /** @param part of a request, from 1 */
        static Split of(Manifest manifest, LongToIntFunction part) {
            var numbers = manifest.partShares();
            return new Split(manifest.provider(), manifest.shares(),
                request -> numbers.isEmpty() ? 0 : numbers.get(part.applyAsInt(request) - 1));
        }

        /** Returns of whom a request is asked that is for this model. */
        Asked asked(long request, String model) { return askedOf(number.applyAsInt(request), model); }

        private Asked askedOf(int share, String model) {
            if (share == 0) return new Asked(own, model);
            var other = others.get(share - 1);
            return new Asked(other.provider(), other.model().isEmpty() ? model : other.model());
        }

        /**
         * Counts the tokens of the requests that are wanted, by who is asked them.
         * @param tokens those of a model
         * @param read told how many characters were counted
         */
        Map<Asked, Count> counts(long requests, LongPredicate isWanted, LongFunction<String> line,
                                 Function<Asked, Tokens> tokens, LongConsumer read) {
            var counts = new LinkedHashMap<Asked, Count>();
            var sum = new AtomicLong();
            for (int share = 0; share <= others.size(); share++) {
                int of = share;
                long before = sum.get();
                Tokens.byModel(requests, i -> isWanted.test(i) && number.applyAsInt(i) == of, line,
                    model -> tokens.apply(askedOf(of, model)), characters -> {
                        sum.set(before + characters);
                        read.accept(sum.get());
                    }).forEach((model, count) -> counts.merge(askedOf(of, model), count, Count::plus));
            }
            return counts;
        }
    }

    @Override public String toString() {
        return providers.stream().map(each -> each.provider().get().baseUrl() + " " + each.part())
            .collect(Collectors.joining(", "));
    }
}
