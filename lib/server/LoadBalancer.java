package sheaf.server;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.BooleanSupplier;
import java.util.stream.Collectors;
import sheaf.server.BatchObject.BatchError;

/**
 * Several engines as one: a request goes to the one that is expected to answer it first, of those that have its model.
 * One that is away, fails or wants to be left alone gets none until it is well again, as long as another is. It knows
 * no batch.
 */
final class LoadBalancer implements Engine {
    private static final Set<Integer> FORBIDDEN = Set.of(401, 403);    // statuses of a key that is not taken

    private final List<Upstream> engines;

    LoadBalancer(List<Upstream> engines) { this.engines = List.copyOf(engines); }

    private interface Asking {
        Answer ask(Upstream engine, BooleanSupplier wanted) throws InterruptedException;
    }

    @Override public Answer answer(String endpoint, JsonNode body) throws InterruptedException {
        return answer(body, (engine, any) -> engine.answer(endpoint, body), () -> true);
    }

    @Override public Answer answer(String endpoint, JsonNode body, BooleanSupplier wanted) throws InterruptedException {
        return answer(body, (engine, there) -> engine.answer(endpoint, body, there), wanted);
    }

    /** Asks one engine after another, until one has an answer of which it is not itself the reason. */
    private Answer answer(JsonNode body, Asking asking, BooleanSupplier wanted) throws InterruptedException {
        var model = body.path("model").asText();
        var tried = new HashSet<Upstream>();
        Answer last = null;
        for (var able = able(model, tried); !able.isEmpty(); able = able(model, tried)) {
            var engine = soonest(able);
            engine.assign(1);
            Answer answer;
            try {
                answer = asking.ask(engine, () ->
                    wanted.getAsBoolean() && !isAnotherBetter(engine, able(model, tried)));
            } finally {
                engine.assign(-1);
            }
            if (answer == null && !wanted.getAsBoolean()) return null;
            if (answer == null) continue;        // it went away, and another is well
            boolean isElsewhere = engine.isElsewhere(answer);
            if (!isItsOwn(answer, model) && !isElsewhere) return answer;
            if (isElsewhere || answer.status() == 0 || answer.status() >= 500 || FORBIDDEN.contains(answer.status()))
                engine.rest(answer);
            tried.add(engine);
            last = answer;
        }
        return last;
    }

    private static boolean isAnotherBetter(Upstream engine, List<Upstream> able) {
        return engine.isOut() && able.stream().anyMatch(other -> other != engine && !other.isOut());
    }

    /** Returns whether another engine may answer where this one did not. */
    private static boolean isItsOwn(Answer answer, String model) {
        return answer.status() == 0 || answer.status() >= 500 || answer.status() == 429 || answer.status() == 408
            || FORBIDDEN.contains(answer.status()) || ModelList.lacks(answer, model);
    }

    private static Upstream soonest(List<Upstream> able) {
        var well = able.stream().filter(engine -> !engine.isOut()).toList();
        var asked = well.isEmpty() ? able : well;
        asked.forEach(Upstream::forget);
        double usual = asked.stream().mapToDouble(Upstream::millis).filter(millis -> millis > 0).min().orElse(1);
        return asked.stream().min(Comparator.comparingDouble((Upstream engine) -> engine.expectedMillis(usual))
            .thenComparingInt(Upstream::assigned)).orElseThrow();
    }

    /** Returns those that have a model, or may; of all if none lists it: some answer by names that they do not list. */
    private List<Upstream> able(String model, Set<Upstream> tried) {
        var able = engines.stream().filter(engine -> engine.mayHave(model)).toList();
        return (able.isEmpty() ? engines : able).stream().filter(engine -> !tried.contains(engine)).toList();
    }

    @Override public Answer models() throws InterruptedException {
        Answer all = null;
        for (var engine : engines) {
            var models = engine.models();
            boolean isFirst = all == null || !all.succeeded();
            if (isFirst) all = models;
            else if (models.succeeded()) add(models.body().path("data"), all.body().path("data"));
        }
        return all;
    }

    private static void add(JsonNode models, JsonNode all) {
        if (!(all instanceof ArrayNode list)) return;
        var known = list.valueStream().map(model -> model.path("id").asText()).collect(Collectors.toSet());
        models.valueStream().filter(model -> known.add(model.path("id").asText())).forEach(list::add);
    }

    @Override public Optional<BatchError> fault(String model, Answer answer) throws InterruptedException {
        if (model != null && ModelList.lacks(answer, model))
            return Optional.of(ModelList.fault("none of " + this, "have", model, models(), answer));
        var asked = model == null ? engines : able(model, Set.of());
        if (asked.size() == 1) return asked.get(0).fault(model, answer);
        for (var engine : asked)
            if (!engine.refusesKey(answer)) return Optional.empty();
        var variables = asked.stream().map(engine -> KnownEngine.keyVariable(engine.toString())).distinct();
        return Optional.of(Upstream.keyFault("none of " + names(asked) + " takes its key", answer,
            variables.collect(Collectors.joining(" and "))));
    }

    /** Returns the limit that ends first, once all of them have told of one. */
    @Override public Optional<Limit> limit() {
        var limits = new ArrayList<Limit>();
        for (var engine : engines) engine.limit().ifPresent(limits::add);
        return limits.size() < engines.size() ? Optional.empty()
            : limits.stream().min(Comparator.comparing(Limit::until));
    }

    /** Returns whether one of them was there when last asked. */
    @Override public String contact() {
        var states = contacts().values();
        if (states.contains("reachable")) return "reachable";
        return states.contains("unknown") ? "unknown" : "unreachable";
    }

    @Override public List<Condition> conditions() {
        return engines.stream().flatMap(engine -> engine.conditions().stream()).toList();
    }

    @Override public Map<String, String> contacts() {
        var states = new LinkedHashMap<String, String>();
        for (var engine : engines) states.put(engine.toString(), engine.contact());
        return states;
    }

    @Override public String state(boolean hasOptions) throws InterruptedException {
        var states = new ArrayList<String>();
        for (var engine : engines) states.add(engine.state(hasOptions));
        return String.join("\nengine: ", states);
    }

    private static String names(List<Upstream> engines) {
        return engines.stream().map(Upstream::toString).collect(Collectors.joining(", "));
    }

    @Override public String toString() { return names(engines); }
}
