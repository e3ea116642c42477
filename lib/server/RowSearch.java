package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.MissingNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.databind.node.TextNode;
import java.io.IOException;
import java.util.Locale;
import java.util.stream.Stream;

/**
 * The requests of a batch beside their answers, and which of them a reader wants: those of one outcome ("" for any)
 * that have a text, whatever its case, in their id, question, answer or code. It looks for them no longer than a
 * reader likes to wait, and then says where to look on.
 */
record RowSearch(RowIndex index, String outcome, String text) {
    static final String NONE = "none";                        // the outcome of a request without an answer
    private static final int EXCERPT = 600;                   // characters of a question or an answer among others
    private static final int MOST = 1_000_000;                // of one that is shown alone

    /** A request and its answer as texts; what is not known of them is null. */
    private record Row(int line, String outcome, String customId, String question, String answer, String code) {
        static Row of(int line, String outcome, JsonNode request, JsonNode answer) {
            var id = request.path("custom_id").asText(answer.path("custom_id").asText(null));
            boolean asks = request.path("body").isObject();
            var question = asks ? Transcript.question(request.get("body")) : asItStands(request);
            if (!answer.isObject()) return new Row(line, outcome, id, question, null, null);
            return new Row(line, outcome, id, question, Transcript.answer(answer), Transcript.code(answer));
        }

        /** Returns a line that is no request, as it stands, or null if it is not known. */
        private static String asItStands(JsonNode line) {
            if (line.isMissingNode()) return null;
            return line.isTextual() ? line.textValue() : line.toString();
        }

        boolean has(String lowerCase) {
            return lowerCase.isEmpty() || Stream.of(customId, question, answer, code)
                .anyMatch(each -> each != null && each.toLowerCase(Locale.ROOT).contains(lowerCase));
        }

        ObjectNode json(int most) {
            var row = Json.object().put("line", line).put("outcome", outcome).put("custom_id", customId)
                .put("code", code);
            put(row, "question", question, most);
            put(row, "answer", answer, most);
            return row;
        }

        private static void put(ObjectNode row, String name, String text, int most) {
            row.put(name, text == null ? null : cut(text, most));
            row.put(name + "_length", text == null ? 0 : text.length());
        }
    }

    RowSearch {
        text = text.toLowerCase(Locale.ROOT);
    }

    private static String cut(String text, int most) {
        if (text.length() <= most) return text;
        return text.substring(0, Character.isHighSurrogate(text.charAt(most - 1)) ? most - 1 : most);
    }

    /**
     * Returns so many rows at most, from a line of the input file on, or back from it. {@code on} is the line from
     * which to look on, null if there are no more; while {@code pending}, it is worth to do so for this page.
     */
    ObjectNode page(int from, boolean back, int limit, long nanos) throws IOException {
        double read = index.read(nanos);
        var counts = Json.object();
        index.counts().forEach(counts::put);
        counts.put(NONE, index.requests() - index.counts().values().stream().mapToInt(each -> each).sum());
        var page = Json.object().put("read", read).put("requests", index.requests());
        page.putArray("data");
        page.set("outcomes", counts);
        boolean mayLook = read == 1 || outcome.isEmpty() && text.isEmpty();    // else it would miss what is not read
        int on = mayLook ? collect(page, from, back, limit, System.nanoTime() + nanos) : from;
        boolean isEnd = read == 1 && (on < 1 || on > index.last());
        page.put("pending", read < 1 || !isEnd && page.get("data").size() < limit);
        return isEnd ? page.putNull("on") : page.put("on", on);
    }

    /** Adds rows to a page until it is full or time is over, and returns the line of the next one, or to look at. */
    private int collect(ObjectNode page, int from, boolean back, int limit, long until) throws IOException {
        var data = page.withArray("data");
        int line = from;
        try (var lines = index.open()) {
            for (; line >= 1 && line <= index.last() && System.nanoTime() - until < 0; line += back ? -1 : 1) {
                var row = isOfOutcome(line) ? row(line, lines) : null;
                if (row == null || !row.has(text)) continue;
                if (data.size() == limit) break;
                data.add(row.json(EXCERPT));
            }
        }
        return line;
    }

    private boolean isOfOutcome(int line) {
        return index.has(line) && (outcome.isEmpty() || outcome.equals(outcomeOf(line)));
    }

    private String outcomeOf(int line) { return index.outcome(line).orElse(NONE); }

    private Row row(int line, RowIndex.Texts lines) throws IOException {
        return Row.of(line, outcomeOf(line), parsed(lines.request(line)), parsed(lines.answer(line)));
    }

    /** Returns all of one row, with both lines as they are, laid out for a reader. */
    ObjectNode whole(int line, long nanos) throws IOException {
        index.read(nanos);
        if (!index.has(line)) throw new Refusal(404, "No request in line " + line + ".", "line", null);
        try (var lines = index.open()) {
            return row(line, lines).json(MOST).put("request", laidOut(parsed(lines.request(line))))
                .put("response", laidOut(parsed(lines.answer(line))));
        }
    }

    private static String laidOut(JsonNode line) {
        return line.isMissingNode() ? null : cut(line.toPrettyString(), MOST);
    }

    /** Returns a line as JSON, or as a text if it is none; an unknown one is missing. */
    private static JsonNode parsed(byte[] line) {
        try {
            return line == null ? MissingNode.getInstance() : Json.parsed(line);
        } catch (IOException notJson) {
            return TextNode.valueOf(new String(line, UTF_8));
        }
    }
}
