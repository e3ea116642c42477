package sheaf.commands;

import java.util.List;
import picocli.CommandLine.Option;
import sheaf.Sheaf.Draft;

/** What each request has besides its prompt. */
final class RequestOptions {
    @Option(names = "--max-tokens", paramLabel = "N", description = "ends each answer after N tokens")
    Integer maxTokens;

    @Option(names = "--temperature", paramLabel = "X", description = "0 is the most predictable")
    Double temperature;

    @Option(names = "--choice", paramLabel = "LABEL", split = ",",
        description = "an answer is one of these labels, in the column result.choice: --choice happy,unhappy,mixed")
    List<String> labels = List.of();

    @Option(names = "--returning", paramLabel = "FILE.json",
        description = "an answer is JSON that fits the schema in this file, in columns such as result.value.year")
    String schema;

    @Option(names = "--confidence",
        description = "with --choice: in the column result.confidence how sure the model is, 0 to 1")
    boolean confidence;

    @Option(names = "--with", paramLabel = "FIELD=VALUE",
        description = "any other field of the request, its value as JSON or text: --with top_p=0.9; may be repeated")
    List<String> fields = List.of();

    @Option(names = "--endpoint", paramLabel = "PATH",
        description = "what is asked: /v1/chat/completions, if not given, or /v1/responses, /v1/completions, "
            + "/v1/embeddings, /v1/moderations")
    String endpoint;

    @Option(names = "--image", paramLabel = "IMAGE",
        description = "an image to each prompt: an address or a file, such as {{url}}; may be repeated")
    List<String> images = List.of();

    @Option(names = "--id", paramLabel = "TEXT", description = "a name of your own for each row, such as {{order}}")
    String id;

    /** Refuses what only rows give a meaning to. */
    void checkWithoutRows() {
        if (id != null) throw new IllegalArgumentException("id: there are no rows to name; give --data FILE");
    }

    /** Returns what matches the columns that an answer has by what it is asked to be. */
    String formColumns() {
        if (schema != null) return "result[.]value([.].+)?";
        return "result[.](" + (labels.isEmpty() ? "" : "choice") + (confidence ? "|confidence" : "") + ")";
    }

    Draft setOn(Draft draft) {
        if (schema != null && !labels.isEmpty())
            throw new IllegalArgumentException("choice: an answer is a label or fits a schema; give --choice or "
                + "--returning");
        if (id != null) draft = draft.customId(id);
        if (endpoint != null) draft = draft.endpoint(endpoint);
        if (maxTokens != null) draft = draft.maxTokens(maxTokens);
        if (temperature != null) draft = draft.temperature(temperature);
        for (var image : images) draft = draft.image(image);
        if (!labels.isEmpty()) draft = draft.options("--choice", String.join(",", labels));
        if (schema != null) draft = draft.options("--returning", schema);
        if (confidence) draft = draft.confidence();
        for (var field : fields) draft = draft.options("--with", field);
        return draft;
    }
}
