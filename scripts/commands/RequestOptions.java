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

    Draft setOn(Draft draft) {
        if (id != null) draft = draft.customId(id);
        if (endpoint != null) draft = draft.endpoint(endpoint);
        if (maxTokens != null) draft = draft.maxTokens(maxTokens);
        if (temperature != null) draft = draft.temperature(temperature);
        for (var image : images) draft = draft.image(image);
        for (var field : fields) draft = draft.options("--with", field);
        return draft;
    }
}
