package sheaf;

import static sheaf.Messages.clip;
import static sheaf.Messages.reason;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;
import java.util.stream.Stream;
import sheaf.Vocabulary.Dialect;
import sheaf.Vocabulary.Limits;

/**
 * A provider as the user's {@code ~/.sheaf/providers.json} has it: one that Sheaf has no name for, or what is different
 * of one that it has. A field that is not given is as elsewhere.
 */
record OwnProvider(String name, JsonNode fields) {
    static final String FILE = "providers.json";
    private static final Predicate<JsonNode> TEXT = value -> value.isTextual() && !value.asText().isBlank();
    private static final Predicate<JsonNode> COUNT = value -> value.isIntegralNumber() && value.asLong() > 0;
    private static final Map<String, Kind> KINDS = kinds();
    private static final String KNOWN = String.join(", ", KINDS.keySet());

    private record Kind(String what, Predicate<JsonNode> holds) {}

    private static Map<String, Kind> kinds() {
        var kinds = new LinkedHashMap<String, Kind>();
        for (var text : List.of("base_url", "key_variable", "max_tokens_field", "upload_path", "purpose"))
            kinds.put(text, new Kind("a text", TEXT));
        for (var count : List.of("requests", "bytes", "batches", "tokens"))
            kinds.put(count, new Kind("a whole number from 1 on", COUNT));
        for (var choice : List.of("mixed_models", "response_format"))
            kinds.put(choice, new Kind("true or false", JsonNode::isBoolean));
        kinds.put("prices", new Kind("an object of prices by model", JsonNode::isObject));
        return kinds;
    }

    private static Path file() { return Environment.home().resolve(FILE); }

    /**
     * Returns those of the user's file, in its order; none where there is no file.
     * @throws IllegalArgumentException if something in it is at fault, with the place
     */
    static Stream<OwnProvider> all() {
        if (!Files.exists(file())) return Stream.empty();
        var json = read();
        if (!json.isObject()) throw fault("it holds no object of providers by name");
        return json.properties().stream().map(named -> new OwnProvider(named.getKey(), named.getValue()).checked());
    }

    private static JsonNode read() {
        try {
            return Json.tree(InputFile.find("provider", file().toString()).text());
        } catch (JsonProcessingException e) {
            var place = e.getLocation() == null ? "" : " in line " + e.getLocation().getLineNr();
            throw fault("it is no JSON" + place + " (" + reason(e) + ")");
        }
    }

    private static IllegalArgumentException fault(String what) {
        return new IllegalArgumentException("provider: " + file() + ": " + what);
    }

    private OwnProvider checked() {
        if (!name.matches("[a-z][a-z0-9_-]*"))
            throw fault("\"" + clip(name, 30) + "\" is no name; write small letters, digits, - and _");
        if (!fields.isObject()) throw fault(name + " is no object; it may have " + KNOWN);
        fields.properties().forEach(field -> check(field.getKey(), field.getValue()));
        return this;
    }

    private void check(String field, JsonNode value) {
        var kind = KINDS.get(field);
        if (kind == null)
            throw fault(name + " has " + clip(field, 30) + "; " + Messages.near(field, KINDS.keySet())
                .map(near -> "did you mean " + near + "?").orElse("it may have " + KNOWN));
        if (!kind.holds.test(value))
            throw fault(name + "." + field + " is " + clip(value.toString(), 30) + "; write " + kind.what);
    }

    /**
     * Returns the base URL, of one that Sheaf has no name for.
     * @throws IllegalArgumentException if it has none
     */
    String baseUrl() {
        if (fields.has("base_url")) return text("base_url", "");
        throw fault(name + " has no base_url; write the one that OpenAI's clients would take");
    }

    /** Refuses another address for a name that everyone knows: batches are kept, and paid once, by that name. */
    String keeping(String baseUrl) {
        if (text("base_url", baseUrl).equals(baseUrl)) return baseUrl;
        throw fault(name + ".base_url is not " + baseUrl + "; give another provider a name of its own");
    }

    /** Returns where it stands, as messages say it. */
    String place() { return file() + ": " + name; }

    /** Returns what prices and folders call it: a name that everyone knows, else its address. */
    String address() { return fields.has("base_url") ? BaseUrl.of(baseUrl(), "", "").name() : name; }

    String keyVariable(String other) { return text("key_variable", other); }

    Limits limits(Limits other) {
        return new Limits(count("requests", other.requests()), count("bytes", other.bytes()),
            count("batches", other.batches()), count("tokens", other.tokens()));
    }

    Dialect dialect(Dialect other) {
        return new Dialect(fields.path("mixed_models").asBoolean(other.mixedModels()),
            text("max_tokens_field", other.maxTokensField()), text("upload_path", other.uploadPath()),
            text("purpose", other.purpose()), other.apiVersion(),
            fields.path("response_format").asBoolean(other.responseFormat()));
    }

    private String text(String field, String other) { return fields.path(field).asText(other); }

    private long count(String field, long other) { return fields.path(field).asLong(other); }

    /** Returns what its models cost, by model: the cells of a table of prices, which are checked there. */
    Stream<Map<String, Object>> prices() {
        return fields.path("prices").properties().stream().map(priced -> {
            if (!priced.getValue().isObject())
                throw fault(name + ".prices." + clip(priced.getKey(), 40) + " is no object; write {\"input\": 0.15, "
                    + "\"output\": 0.6}, dollars for a million tokens");
            var cells = new LinkedHashMap<String, Object>(Map.of("provider", "", "model", priced.getKey()));
            priced.getValue().properties().forEach(cell -> cells.put(cell.getKey(), cell.getValue().asText()));
            return cells;
        });
    }
}
