package sheaf;

import static sheaf.Messages.clip;
import static sheaf.Messages.given;

import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * What an answer is to be, JSON of a schema or one of some labels: how that is said to a provider and to a model, and
 * what an answer says that is read so.
 * @param name of the schema, on the wire; of labels also the field that they stand in
 * @param labels empty where it is JSON of any other schema
 * @param confidence whether the provider is asked how sure the model was of a label
 */
record AnswerFormat(String name, JsonNode schema, @JsonInclude(JsonInclude.Include.NON_EMPTY) List<String> labels,
                    @JsonInclude(JsonInclude.Include.NON_DEFAULT) boolean confidence) {
    private static final List<String> YES_NO = List.of("yes", "no");
    private static final int MOST_SCORES = 101;

    AnswerFormat { labels = labels == null ? List.of() : labels; }

    /** What an answer says: its value, or else where and why it does not fit. */
    record Reading(JsonNode value, String fault) {}

    /** Has JSON that fits a record. */
    static AnswerFormat of(Class<?> type) {
        boolean hasFields = !given("returning", type).isPrimitive() && !type.isArray();
        if (!hasFields || type.getName().startsWith("java."))
            throw new IllegalArgumentException("returning: " + type.getSimpleName()
                + " has no fields; give a record");
        return checked(type.getSimpleName(), RecordSchema.of(type));
    }

    /** Has JSON that fits a schema: a text of JSON, the path of a file that holds it, or what is written as JSON. */
    static AnswerFormat of(String name, Object schema) {
        if (!given("returning", name).matches("[A-Za-z0-9_-]{1,64}"))
            throw new IllegalArgumentException("returning: the name \"" + clip(name, 80)
                + "\" is not 1 to 64 letters, digits, '_' or '-'");
        return checked(name, schema(name, given("returning", schema)));
    }

    /** Has JSON that fits the schema in a file, which has the file's name. */
    static AnswerFormat of(Path file) {
        var name = file.getFileName().toString().replaceFirst("[.].*", "").replaceAll("[^A-Za-z0-9_-]", "_");
        return of(name.isEmpty() ? "answer" : name.substring(0, Math.min(64, name.length())), file);
    }

    private static JsonNode schema(String name, Object schema) {
        if (schema instanceof JsonNode json) return json;
        if (!(schema instanceof Path || schema instanceof String))
            return Json.MAPPER.valueToTree(PlainValues.of(schema));
        var text = schema instanceof Path file ? InputFile.find("returning", file.toString()).text() : (String) schema;
        try {
            return Json.tree(text);
        } catch (JsonProcessingException e) {
            var fault = " is no JSON (" + Messages.reason(e) + ")";
            throw new IllegalArgumentException("returning: the schema "
                + (schema instanceof Path ? schema + fault : name + fault + "; of a file, give its Path"), e);
        }
    }

    private static AnswerFormat checked(String name, JsonNode schema) {
        new Schema(schema).check("returning: " + name);
        return new AnswerFormat(name, schema, List.of(), false);
    }

    static AnswerFormat choice(String first, String... more) {
        var given = Stream.concat(Stream.of(first), Stream.of(given("choice", more)))
            .map(label -> given("choice", label)).toList();
        var labels = Labels.checked("choice", given).all();
        return labelled("choice", "string", labels, Json.MAPPER.valueToTree(labels));
    }

    static AnswerFormat yesNo() { return choice("yes", "no"); }

    static AnswerFormat score(int from, int to) {
        if (from >= to || (long) to - from >= MOST_SCORES)
            throw new IllegalArgumentException("score: " + from + " to " + to + " is no scale; give the lowest and "
                + "then the highest, at most " + (MOST_SCORES - 1) + " apart");
        var scores = IntStream.rangeClosed(from, to).boxed().toList();
        return labelled("score", "integer", scores.stream().map(String::valueOf).toList(),
            Json.MAPPER.valueToTree(scores));
    }

    private static AnswerFormat labelled(String name, String type, List<String> labels, JsonNode values) {
        var schema = Json.MAPPER.createObjectNode().put("type", "object");
        schema.putObject("properties").putObject(name).put("type", type).set("enum", values);
        schema.putArray("required").add(name);
        schema.put("additionalProperties", false);
        return new AnswerFormat(name, schema, labels, false);
    }

    AnswerFormat confidence(boolean isWanted) { return new AnswerFormat(name, schema, labels, isWanted); }

    /** Whether it is one of some labels. */
    boolean hasLabels() { return !labels.isEmpty(); }

    private boolean isScore() { return hasLabels() && name.equals("score"); }

    /**
     * Says it to the provider.
     * @param isKnown whether the provider holds an answer to a schema
     */
    void addTo(ObjectNode body, boolean isResponse, boolean isKnown) {
        if (isKnown && isResponse) addSchema(body.putObject("text").putObject("format").put("type", "json_schema"));
        else if (isKnown)
            addSchema(body.putObject("response_format").put("type", "json_schema").putObject("json_schema"));
        if (!confidence) return;
        if (isResponse) body.putArray("include").add("message.output_text.logprobs");
        else body.put("logprobs", true);
    }

    private void addSchema(ObjectNode format) {
        format.put("name", name).put("strict", new Schema(schema).isStrict()).set("schema", schema);
    }

    /** The fields of a request that it sets. */
    static List<String> fields() { return List.of("response_format", "text", "logprobs", "include"); }

    /** Returns what it says to the model; "" if the provider does. Many an engine holds to labels and shows none. */
    String instruction(boolean isKnown) {
        if (!hasLabels()) return isKnown ? "" : "Answer with JSON alone, which fits this JSON schema: " + schema;
        return task() + (isKnown ? "" : alone());
    }

    private String task() {
        if (isScore()) return "Answer with a whole number from " + first() + " to " + last() + ".";
        return labels.equals(YES_NO) ? "Answer yes or no."
            : "Choose one of these labels:\n" + String.join("\n", labels);
    }

    private String alone() {
        if (isScore()) return " Say nothing but the number.";
        return labels.equals(YES_NO) ? " Say nothing but that word." : "\nAnswer with the label alone.";
    }

    private String first() { return labels.get(0); }

    private String last() { return labels.get(labels.size() - 1); }

    /**
     * Returns what is said to the model of an answer that did not fit.
     * @param format null: it may be any text, and the user found something wrong with it
     */
    static String correction(AnswerFormat format, String fault) {
        return "This does not fit: " + fault + ". Answer again" + (format == null ? "." : format.again());
    }

    private String again() { return hasLabels() ? ". " + task() : ", with JSON alone that fits the schema."; }

    /** Returns an answer of an example as it is to be: a label stands in its field. */
    String example(String text, boolean isKnown) {
        return isKnown && labels.contains(text) ? Json.MAPPER.createObjectNode().put(name, text).toString() : text;
    }

    /** Reads an answer; whatever stands around it in it. */
    Reading read(String text) { return hasLabels() ? label(text) : value(text); }

    private Reading value(String text) {
        var found = JsonInText.objects(text);
        if (found.isEmpty())
            return new Reading(null, "the answer is no JSON object: \"" + clip(text, 60) + "\"");
        var schema = new Schema(this.schema);
        for (int i = found.size() - 1; i >= 0; i--)
            if (schema.fault(found.get(i)).isEmpty()) return new Reading(found.get(i), "");
        return new Reading(null, schema.fault(found.get(found.size() - 1)));
    }

    private Reading label(String text) {
        var said = JsonInText.objects(text).stream().map(object -> object.path(name))
            .filter(value -> !value.isMissingNode()).reduce((first, last) -> last);
        var label = said.isPresent() ? said.flatMap(this::ofField) : new Labels(labels).of(unscaled(text));
        if (label.isPresent())
            return new Reading(Json.MAPPER.valueToTree(isScore() ? Integer.valueOf(label.get()) : label.get()), "");
        var is = said.map(value -> "$." + name + " is " + clip(value.toString(), 60))
            .orElseGet(() -> "the answer is \"" + clip(text, 60) + "\"");
        return new Reading(null, is + ", not one of "
            + (isScore() ? first() + " to " + last() : Schema.oneOf(labels.stream())));
    }

    private Optional<String> ofField(JsonNode value) {
        if (value.isBoolean() && labels.equals(YES_NO)) return Optional.of(value.asBoolean() ? "yes" : "no");
        boolean isShort = value.isNumber() && Math.abs((long) value.decimalValue().scale()) < MOST_SCORES;
        return new Labels(labels).same(isShort
            ? value.decimalValue().stripTrailingZeros().toPlainString() : value.asText());
    }

    /** Of a score people say the highest one too: 4/5, 4 out of 5. */
    private String unscaled(String text) {
        return isScore() ? text.replaceAll("(?i)\\s*(/|\\bout of\\b)\\s*" + last() + "\\b", "") : text;
    }

    /** Returns the columns of an answer, named as in a file. */
    List<String> columns() {
        if (!hasLabels()) return new Schema(schema).leaves().stream().map(leaf -> "result.value." + leaf).toList();
        return confidence ? List.of("result.choice", "result.confidence") : List.of("result.choice");
    }
}
