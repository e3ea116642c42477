package sheaf;

import static sheaf.Messages.clip;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Supplier;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import sheaf.Vocabulary.BatchException;
import sheaf.Vocabulary.Part;

/**
 * What a provider says is wrong, with a request, a batch or a call: each shape of an error that is seen in the wild is
 * read here. It knows no outcome.
 * @param line of the input file, from 1; 0 where it is not said
 * @param message "" where there is none
 * @param code such as {@code content_filter}, or a number as text; "" where there is none
 * @param param the field at fault; "" where it is not said
 * @param words all that may say of what kind it is: codes, inner codes and types
 */
record Fault(long line, String message, String code, String param, List<String> words) {
    private static final Fault NONE = new Fault(0, "", "", "", List.of());
    /** Where an error stands inside of what came, the first that holds one. */
    private static final List<String> INSIDE = List.of("error", "errors", "detail", "fault", "exception", "Error");
    /** What it says, the first that is a text; "error" is often but the name of the status, and so comes late. */
    private static final List<String> SAYING = List.of("message", "msg", "detail", "error_description", "description",
        "error_message", "errorMessage", "error_msg", "Message", "faultstring", "reason", "error", "errors", "title");
    /** What holds no reason, though it is a text. */
    private static final Set<String> SILENT = Set.of("code", "type", "status", "status_code", "statusCode", "param",
        "object", "id", "request_id", "requestId", "timestamp", "path", "url", "model", "role", "line", "line_number");
    private static final List<String> OF_A_BATCH =
        List.of("errors", "error", "error_message", "failure_reason");
    private static final Pattern PAGE =
        Pattern.compile("(?is)\\s*<(!doctype|\\?xml|html|head|body|title|h1|error)\\b.*");
    private static final Pattern ELEMENT = Pattern.compile("(?is)<(title|message|h1)\\b[^>]*>\\s*(.*?)\\s*</\\1>");
    private static final Map<String, String> ENTITIES =
        Map.of("&lt;", "<", "&gt;", ">", "&quot;", "\"", "&#39;", "'", "&nbsp;", " ");
    private static final int DEPTH = 8;
    private static final int LISTED = 3;
    private static final int LONGEST = 2_000;             // characters of what is no error object, such as a page

    /** Reads an error, or what holds one; where none of the usual places does, it says nothing. */
    static Fault of(JsonNode said) { return of(said, 0); }

    /** Reads what came in the place of an answer: whatever text stands in it is the reason. */
    static Fault ofRefusal(JsonNode said) {
        var fault = of(said);
        return fault.message.isEmpty() ? fault.saying(anyText(said)) : fault;
    }

    /** Returns the faults that validation found: providers send a list, an object, a text or null, under some name. */
    static List<Fault> of(Part part) {
        return OF_A_BATCH.stream().map(part.json()::path).map(Fault::opened)
            .map(errors -> errors.path("data").isArray() ? errors.path("data") : errors).filter(Fault::holdsAnything)
            .limit(1).flatMap(errors -> errors.isArray() ? errors.valueStream() : Stream.of(errors))
            .map(Fault::ofRefusal).toList();
    }

    private static boolean saysAnything(JsonNode node) {
        return node.isContainerNode() ? !node.isEmpty() : node.isTextual() && !node.asText().isBlank();
    }

    private static boolean holdsAnything(JsonNode node) {
        return node.isContainerNode() ? node.valueStream().anyMatch(Fault::holdsAnything)
            : !node.isNull() && !node.asText().isBlank();
    }

    /** Whether a part failed only because there was no room for it: its file is as good as it was. */
    static boolean isNoRoom(Part part) {
        return !part.hasRun() && of(part).stream().anyMatch(fault -> fault.code.equals(BatchException.QUEUE_FULL)
            || BatchException.NO_ROOM.matcher(fault.message).find());
    }

    /** Whether a node says that something is wrong: a blank error, an empty one and {@code false} are none. */
    static boolean isError(JsonNode error) { return error.asBoolean() || saysAnything(error); }

    private static Fault of(JsonNode node, int depth) {
        var said = opened(node);
        if (depth > DEPTH) return NONE;
        if (node.isTextual()) return ofText(node.asText(), said, depth);
        if (said.isArray()) return ofList(said.valueStream().map(item -> of(item, depth + 1)).toList());
        if (!said.isObject()) return NONE;
        var inside = INSIDE.stream().map(said::path).map(Fault::opened).filter(JsonNode::isContainerNode)
            .map(inner -> of(inner, depth + 1)).filter(fault -> !fault.equals(NONE)).findFirst().orElse(NONE);
        return new Fault(first(inside.line, said.path("line").asLong(said.path("line_number").asLong())),
            first(inside.message, () -> message(said, depth)), first(inside.code, () -> scalar(said.path("code"))),
            first(inside.param, () -> scalar(said.path("param"))),
            Stream.concat(inside.words.stream(), ownWords(said)).toList());
    }

    /** A text that is JSON and holds no reason is one itself. */
    private static Fault ofText(String text, JsonNode said, int depth) {
        var inside = said.isContainerNode() ? of(said, depth + 1) : NONE;
        return inside.equals(NONE) ? NONE.saying(plain(said.isTextual() ? said.asText() : text)) : inside;
    }

    private static long first(long one, long other) { return one > 0 ? one : other; }

    private static String first(String one, Supplier<String> other) {
        return one.isEmpty() ? other.get() : one;
    }

    private static Fault ofList(List<Fault> faults) {
        if (faults.isEmpty()) return NONE;
        var messages = faults.stream().map(Fault::message).filter(message -> !message.isEmpty()).distinct()
            .limit(LISTED).collect(Collectors.joining("; "));
        return faults.get(0).saying(messages);
    }

    private static Stream<String> ownWords(JsonNode said) {
        return Stream.of(said.path("code"), said.at("/innererror/code"), said.path("type"), said.path("status"))
            .map(Fault::scalar).filter(word -> !word.isEmpty());
    }

    /** FastAPI says where beside what; a router says what another provider said to it. */
    private static String message(JsonNode said, int depth) {
        var message = SAYING.stream().map(said::path).map(node -> of(node, depth + 1).message)
            .filter(text -> !text.isEmpty()).findFirst().orElse("");
        var place = said.path("loc").isArray() ? said.path("loc").valueStream() : Stream.of(said.path("field"));
        var where = place.map(Fault::scalar).collect(Collectors.joining("."));
        var raw = of(said.at("/metadata/raw"), depth + 1).message;
        return (where.isEmpty() || message.isEmpty() ? "" : where + ": ") + message
            + (raw.isEmpty() || raw.equals(message) ? "" : ": " + raw);
    }

    private static String anyText(JsonNode node) {
        var said = opened(node);
        if (said.isTextual()) return plain(said.asText());
        var texts = said.isArray() ? said.valueStream().map(Fault::anyText)
            : said.properties().stream()
                .filter(field -> field.getValue().isContainerNode() || !SILENT.contains(field.getKey()))
                .map(field -> labelled(field.getKey(), anyText(field.getValue())));
        return clip(texts.filter(text -> !text.isEmpty()).limit(LISTED).collect(Collectors.joining("; ")), LONGEST);
    }

    private static String labelled(String name, String text) { return text.isEmpty() ? "" : name + ": " + text; }

    /** Some servers wrap JSON into a text, some of them twice. */
    private static JsonNode opened(JsonNode node) {
        if (!node.isTextual() || !node.asText().strip().matches("(?s)[\\[{\"].*[]}\"]")) return node;
        var inner = Json.lenient(node.asText());
        return inner.isContainerNode() || inner.isTextual() ? opened(inner) : node;
    }

    /** A text as it stands; of a page its title, or else what can be read of it. */
    private static String plain(String text) {
        if (!PAGE.matcher(text).matches()) return text.strip();
        var element = ELEMENT.matcher(text);
        var read = (element.find() ? element.group(2) : text).replaceAll("(?s)<[^>]*>", " ").replaceAll("\\s+", " ");
        for (var entity : ENTITIES.entrySet()) read = read.replace(entity.getKey(), entity.getValue());
        return read.isBlank() ? clip(text, LONGEST) : clip(read.replace("&amp;", "&").strip(), LONGEST);
    }

    private static String scalar(JsonNode node) { return node.isValueNode() && !node.isNull() ? node.asText() : ""; }

    private Fault saying(String message) { return new Fault(line, message.strip(), code, param, words); }

    /** Whether the provider gave a reason, in its own words. */
    boolean isExplained() { return !message.isEmpty(); }

    /** Returns what a user reads of it. */
    String describe() {
        if (message.isEmpty()) return code.isEmpty() ? "no reason given" : code;
        return code.isEmpty() ? message : message + " (" + code + ")";
    }
}
