package sheaf.server;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.List;
import java.util.Optional;
import java.util.regex.Pattern;

/**
 * One label out of several, where a schema wants no more than that: an enum, or an object of which an enum is the one
 * field. The echo takes the label that stands first in the prompt, as a whole word in any case, else the first of the
 * enum; where two stand at one place, the longer.
 */
record Choice(JsonNode label, boolean isFound, List<JsonNode> labels) {
    private static final double SURE = 0.9;                // how likely a label is that stood in the prompt

    /** Returns the choice that a schema asks for, if it asks for one. */
    static Optional<Choice> of(JsonNode schema, String prompt) {
        var labels = field(schema).map(name -> schema.at("/properties").get(name)).orElse(schema).path("enum");
        if (!(labels instanceof ArrayNode all) || all.isEmpty()) return Optional.empty();
        return Optional.of(among(all.valueStream().toList(), prompt));
    }

    /** Returns the name of the one field of an object. */
    private static Optional<String> field(JsonNode schema) {
        var properties = schema.path("properties");
        boolean isOne = properties.isObject() && properties.size() == 1 && !schema.has("enum");
        return isOne ? Optional.of(properties.fieldNames().next()) : Optional.empty();
    }

    private static Choice among(List<JsonNode> labels, String prompt) {
        JsonNode first = null;
        int start = Integer.MAX_VALUE, end = 0;
        for (var label : labels) {
            var found = word(label.asText()).matcher(prompt);
            if (!found.find() || found.start() > start || found.start() == start && found.end() <= end) continue;
            first = label;
            start = found.start();
            end = found.end();
        }
        return new Choice(first == null ? labels.get(0) : first, first != null, labels);
    }

    private static Pattern word(String label) {
        return Pattern.compile("(?<![\\p{L}\\p{N}_])" + Pattern.quote(label) + "(?![\\p{L}\\p{N}_])",
            Pattern.CASE_INSENSITIVE | Pattern.UNICODE_CASE);
    }

    /** Returns what is said: the label, within the object if the schema wants one. */
    JsonNode said(JsonNode schema) {
        return field(schema).<JsonNode>map(name -> ((ObjectNode) Json.object()).set(name, label)).orElse(label);
    }

    /** Returns how likely a label is: 0.9 for one that stood in the prompt, and for a guess as likely as any other. */
    double likelihood(JsonNode label) {
        if (!isFound || labels.size() == 1) return 1.0 / labels.size();
        return label.equals(this.label) ? SURE : (1 - SURE) / (labels.size() - 1);
    }
}
