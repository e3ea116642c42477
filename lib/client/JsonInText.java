package sheaf;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectReader;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/** The JSON that stands in a text of a model: alone, in a fence of Markdown, or between what it says besides. */
final class JsonInText {
    private static final ObjectReader VALUES = Json.MAPPER.readerFor(JsonNode.class)
        .without(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);
    private static final int TRIES = 1_000;                // braces that open something else

    private JsonInText() {}

    /** Returns the objects that stand in no other one, in the text's order. */
    static List<JsonNode> objects(String text) {
        var found = new ArrayList<JsonNode>();
        int tries = 0;
        for (int at = text.indexOf('{'); at >= 0 && tries < TRIES; tries++)
            at = text.indexOf('{', addFrom(text, at, found));
        return found;
    }

    /** Returns where what begins there ends, or the next character if it is no JSON. */
    private static int addFrom(String text, int at, List<JsonNode> found) {
        try (JsonParser json = Json.MAPPER.createParser(text.substring(at))) {
            found.add(VALUES.readTree(json));
            return at + (int) json.currentLocation().getCharOffset();
        } catch (IOException | NumberFormatException e) {      // an exponent that no number of Java's has
            return at + 1;
        }
    }

    /**
     * Reads a text into a class: all of it, else the last of what stands in it.
     * @throws JsonProcessingException if that does not fit, or there is none
     */
    static <T> T as(String text, Class<T> type) throws JsonProcessingException {
        try {
            return Json.as(Json.tree(unfenced(text)), type);
        } catch (JsonProcessingException e) {
            var found = objects(text);
            if (found.isEmpty()) throw e;
            return Json.as(found.get(found.size() - 1), type);
        }
    }

    /** Returns the text without the fence of Markdown around it, if it has one. */
    static String unfenced(String text) {
        return text.strip().replaceFirst("(?s)^```[a-zA-Z]*\\s*(.*?)\\s*```$", "$1");
    }
}
