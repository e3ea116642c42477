package sheaf;

import static sheaf.Messages.clip;
import static sheaf.Messages.reason;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Optional;

/** The lines of an existing file of requests, each checked, its bytes unchanged. */
final class RequestFile extends Rows.Reader<Request> {
    private final InputFile input;
    private final Connection provider;                     // its limits
    private final Lines lines;
    private final Hashes ids = new Hashes();
    private String url;                                    // of the lines so far; null before the first

    RequestFile(InputFile input, Connection provider) {
        this.input = input;
        this.provider = provider;
        lines = new Lines(input.open());
    }

    /** Returns the endpoint of the first line; empty if there is none. */
    static Optional<String> endpoint(InputFile input, Connection provider) {
        try (var file = new RequestFile(input, provider)) {
            return file.hasNext() ? Optional.of(file.url) : Optional.empty();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Override Request read() throws IOException {
        while (lines.advance())
            if (!lines.isBlank()) return request();
        if (url == null) throw new IllegalArgumentException("requests: " + input.name() + " has no lines");
        return null;
    }

    private Request request() throws IOException {
        if (!lines.isUtf8()) throw fault("not UTF-8; save the file as UTF-8");
        var text = lines.text();
        var line = parse(text);
        check(line);
        return new Request(lines.number(), null, line.at("/body/model").asText(), provider.fitting(bytes(text),
            () -> "requests: line " + lines.number() + " (" + clip(line.path("custom_id").asText(), 60) + ")"));
    }

    /** The line as it is, but for what would end it for some reader; a lone return stands between tokens. */
    private static byte[] bytes(String text) {
        return Json.bytes(Json.escaped(text.replace('\r', ' ')) + "\n");
    }

    private JsonNode parse(String text) {
        try {
            return Json.tree(text);
        } catch (JsonProcessingException e) {
            throw fault("not JSON (" + reason(e) + ")");
        }
    }

    private void check(JsonNode line) throws IOException {
        var id = line.path("custom_id").asText();
        if (line.path("custom_id").isNumber())
            throw fault("custom_id " + id + " is a number; write \"" + id + "\"");
        if (!line.path("custom_id").isTextual() || id.isBlank())
            throw fault("no custom_id; each line needs its own");
        long earlier = ids.add(id) ? lines.number() : firstLine(id);
        if (earlier < lines.number())
            throw fault("custom_id \"" + clip(id, 60) + "\" stands in line " + earlier + " too; an id is unique");
        if (!line.path("method").asText().equals("POST")) throw fault("method is not \"POST\"");
        checkUrl(line.path("url").asText());
        if (!line.path("body").isObject()) throw fault("no body; it holds the request");
        if (line.at("/body/model").asText("").isBlank()) throw fault("no body.model");
        if (line.at("/body/stream").asBoolean()) throw fault("stream is true; a batch cannot stream");
    }

    /** Looks through the file anew for the first line with this id, which is this one if another has its hash. */
    private long firstLine(String id) throws IOException {
        try (var before = new Lines(input.open())) {
            while (before.advance() && before.number() < lines.number())
                if (!before.isBlank() && parse(before.text()).path("custom_id").asText().equals(id)) break;
            return before.number();
        }
    }

    private void checkUrl(String found) {
        if (!found.startsWith("/"))
            throw fault("url \"" + clip(found, 60) + "\" is not a path like /v1/chat/completions");
        if (url == null) url = found;
        if (!url.equals(found))
            throw fault("url " + found + " differs from " + url + " above; a batch has one endpoint");
    }

    private IllegalArgumentException fault(String what) { return input.fault(lines.number(), what, null); }

    @Override public void close() throws IOException { lines.close(); }
}
