package sheaf;

import com.fasterxml.jackson.databind.JsonNode;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import sheaf.Vocabulary.Part;

/** What a run was: whom it asked what, and what came of it, as JSON for whoever keeps records. */
final class RunReport {
    private static final List<String> ENDS = List.of("completed_at", "failed_at", "expired_at", "cancelled_at");
    private final Exchanges exchanges;
    private final Journal journal;

    RunReport(Exchanges exchanges) {
        this.exchanges = exchanges;
        journal = exchanges.answers().journal();
    }

    /** Returns the fields in the order in which they are written; times are ISO 8601, absent where nobody says them. */
    Map<String, Object> fields() {
        var manifest = journal.manifest();
        var fields = new LinkedHashMap<String, Object>();
        fields.put("name", journal.name());
        fields.put("provider", manifest.provider().name());
        fields.put("baseUrl", manifest.provider().baseUrl());
        fields.put("digest", manifest.digest());
        fields.put("settings", manifest.settings());
        fields.put("rows", manifest.rows());
        fields.put("requests", exchanges.size());
        fields.put("answeredBefore", manifest.reused());
        fields.put("sentAgain", exchanges.stream().mapToLong(Exchange::retries).sum());
        fields.put("outcomes", outcomes());
        fields.put("answeredBy", exchanges.answeringModels());
        fields.put("tokens", tokens());
        fields.put("submitted", journal.submittedAt().toString());
        ended().ifPresent(time -> fields.put("ended", time.toString()));
        fields.put("batches", journal.parts().map(RunReport::batch).toList());
        return fields;
    }

    private Map<String, Long> outcomes() {
        var outcomes = new LinkedHashMap<String, Long>();
        exchanges.counts().forEach((outcome, count) -> outcomes.put(outcome.toString(), count));
        return outcomes;
    }

    private Map<String, Object> tokens() {
        var usage = exchanges.usage();
        var tokens = new LinkedHashMap<String, Object>();
        tokens.put("input", usage.input());
        tokens.put("output", usage.output());
        tokens.put("cached", usage.cached());
        tokens.put("reasoning", usage.reasoning());
        return tokens;
    }

    private Optional<Instant> ended() {
        return journal.parts().map(Part::json).flatMap(RunReport::ends).max(Instant::compareTo);
    }

    private static Stream<Instant> ends(JsonNode batch) {
        return ENDS.stream().map(batch::path).filter(time -> !time.isMissingNode() && !time.isNull())
            .flatMap(time -> Json.instant(time).stream());
    }

    private static Map<String, Object> batch(Part part) {
        var batch = new LinkedHashMap<String, Object>();
        batch.put("id", part.id());
        batch.put("status", part.status().text());
        batch.put("inputFile", part.inputFileId());
        batch.put("outputFile", part.outputFileId());
        batch.put("errorFile", part.errorFileId());
        return batch;
    }
}
