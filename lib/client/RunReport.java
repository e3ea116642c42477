package sheaf;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeMap;
import sheaf.Findings.Cost;
import sheaf.Findings.ModelCost;
import sheaf.Vocabulary.Part;
import sheaf.Vocabulary.Usage;

/** What a run was: whom it asked what, and what came of it, as JSON for whoever keeps records. */
final class RunReport {
    private final Exchanges exchanges;
    private final Journal journal;
    private final Timing timing = new Timing();
    private final Spending spending = new Spending();
    private final Map<String, Long> answeredBy = new TreeMap<>();
    private long answeredBefore, sentAgain;
    private Usage paid = Usage.NONE, paidBefore = Usage.NONE;

    RunReport(Exchanges exchanges) {
        this.exchanges = exchanges;
        journal = exchanges.answers().journal();
    }

    /** Returns the fields in the order in which they are written, times in ISO 8601; what nobody says is absent. */
    Map<String, Object> fields() {
        exchanges.stream().forEach(this::add);
        var manifest = journal.manifest();
        var fields = new LinkedHashMap<String, Object>();
        fields.put("name", journal.name());
        fields.put("provider", manifest.provider().name());
        fields.put("baseUrl", manifest.provider().baseUrl());
        fields.put("digest", manifest.digest());
        fields.put("settings", manifest.settings());
        fields.put("rows", manifest.rows());
        fields.put("requests", exchanges.size());
        fields.put("answeredBefore", answeredBefore);
        fields.put("sentAgain", sentAgain);
        fields.put("outcomes", outcomes());
        fields.put("answeredBy", answeredBy);
        putTokens(fields, "tokens", paid);
        putTokens(fields, "tokensBefore", paidBefore);
        putCost(fields, spending.cost());
        fields.put("submitted", journal.submittedAt().toString());
        timing.ended().ifPresent(time -> fields.put("ended", time.toString()));
        timing.duration().ifPresent(time -> fields.put("seconds", time.toSeconds()));
        fields.put("batches", timing.parts().map(RunReport::batch).toList());
        return fields;
    }

    /** Whether it was another provider's from the start, which was sent it as it sends again. */
    private boolean isShared(Exchange exchange) {
        int part = journal.requests().part(exchange.index());
        return part > 0 && journal.manifest().shareOf(part).isPresent();
    }

    private void add(Exchange exchange) {
        spending.add(exchange);
        sentAgain += isShared(exchange) ? Math.max(0, exchange.retries() - 1) : exchange.retries();
        if (!exchange.answeringModel().isEmpty()) answeredBy.merge(exchange.answeringModel(), 1L, Long::sum);
        boolean isReused = exchange.attempts().get(0).isReused();
        if (isReused) answeredBefore++;
        for (var attempt : exchange.attempts()) {
            if (isReused && attempt == exchange.attempts().get(0)) paidBefore = paidBefore.plus(attempt.usage());
            else paid = paid.plus(attempt.usage());
            timing.add(attempt.batch());
        }
    }

    private Map<String, Long> outcomes() {
        var outcomes = new LinkedHashMap<String, Long>();
        exchanges.counts().forEach((outcome, count) -> outcomes.put(outcome.toString(), count));
        return outcomes;
    }

    /** Dollars are absent where they are not known, in all or of a model. */
    private static void putCost(Map<String, Object> fields, Cost cost) {
        cost.dollars().ifPresent(dollars -> fields.put("dollars", dollars));
        if (cost.before() > 0) cost.dollarsBefore().ifPresent(dollars -> fields.put("dollarsBefore", dollars));
        fields.put("cost", cost.models().stream().map(RunReport::cost).toList());
    }

    private static Map<String, Object> cost(ModelCost cost) {
        var model = new LinkedHashMap<String, Object>();
        model.put("provider", cost.provider());
        model.put("model", cost.model());
        model.put("template", cost.template());
        model.put("paid", cost.requests());
        putTokens(model, "tokens", cost.usage());
        if (cost.unmeasured() > 0) model.put("unmeasured", cost.unmeasured());
        cost.dollars().ifPresent(dollars -> model.put("dollars", dollars));
        return model;
    }

    /** What nobody counted is absent. */
    private static void putTokens(Map<String, Object> fields, String name, Usage usage) {
        if (usage.total() == 0) return;
        var tokens = new LinkedHashMap<String, Object>();
        tokens.put("input", usage.input());
        tokens.put("output", usage.output());
        tokens.put("cached", usage.cached());
        tokens.put("reasoning", usage.reasoning());
        fields.put(name, tokens);
    }

    private static Map<String, Object> batch(Part part) {
        var batch = new LinkedHashMap<String, Object>();
        batch.put("id", part.id());
        batch.put("status", part.status().text());
        batch.put("inputFile", part.inputFileId());
        batch.put("outputFile", part.outputFileId());
        batch.put("errorFile", part.errorFileId());
        Timing.of(part).ifPresent(span -> {
            batch.put("created", span.created().toString());
            batch.put("ended", span.ended().toString());
        });
        return batch;
    }
}
