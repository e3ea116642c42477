package sheaf;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;
import sheaf.Vocabulary.Outcome;
import sheaf.Vocabulary.Status;

/** One line of an output or error file. Which of the two it stood in says nothing: servers differ. */
final class Answer {
    /** Of an error inside of a success: the request is at fault, and will be the next time. */
    private static final String LASTING =
        "(?i)(invalid|unsupported|context|missing|bad.?request|permission|authentication).*|.*not.?found";
    private final Optional<PlainAnswer> plain;
    private final Body body;
    private JsonNode line;                                // of a plain one read when it is asked for

    Answer(byte[] bytes) {
        plain = PlainAnswer.read(bytes);
        if (plain.isEmpty()) line = Json.lenient(bytes);
        body = plain.map(Body::new).orElseGet(() -> new Body(said()));
    }

    /** Some send the body as a JSON text. */
    private JsonNode said() {
        var said = line.at("/response/body");
        return said.isTextual() ? Json.lenient(said.asText()) : said;
    }

    /** Returns the id of the request that a line answers, "" if it has none; null if it is no object of JSON. */
    static String id(Lines line) {
        if (line.isUtf8()) return line.read((bytes, offset, length) -> Json.field("custom_id", bytes, offset, length));
        return Json.lenient(line.text()).path("custom_id").asText("");
    }

    /** Returns how a request ended that no line came for, in a batch of this status. */
    static Outcome missing(Status batch) {
        if (batch.equals(Status.FAILED)) return Outcome.ERRORED;
        if (batch.equals(Status.EXPIRED)) return Outcome.EXPIRED;
        return batch.equals(Status.CANCELLED) ? Outcome.CANCELLED : Outcome.MISSING;
    }

    JsonNode line() {
        if (line == null) line = plain.orElseThrow().whole();
        return line;
    }

    Body body() { return body; }

    Outcome outcome() { return isError() ? Ending.of(fault()) : body.outcome(); }

    private boolean isError() {
        return plain.isEmpty() && (isRefused() || status() == 0 || hasError() || body.error().isPresent());
    }

    private boolean isRefused() { return status() >= 300 || status() > 0 && status() < 200; }

    private boolean hasError() { return Fault.isError(line().path("error")); }

    private int status() {
        return line().at("/response/status_code").asInt(line().path("response").has("body") ? 200 : 0);
    }

    /** Returns what it says is wrong, the first that gives a reason; the words of all tell what kind it is. */
    private Fault fault() {
        var response = line().path("response");
        boolean isNoAnswer = isRefused() || status() == 0;
        var inside = body.error().map(Fault::of)
            .orElseGet(() -> isNoAnswer ? Fault.ofRefusal(body.json()) : Fault.of(body.json()));
        var faults = Stream.of(Fault.of(line().path("error")), inside, Fault.of(response.path("message")),
            Fault.of(body.json().isContainerNode() ? Json.MAPPER.nullNode() : response.path("body"))).toList();
        var words = faults.stream().flatMap(fault -> fault.words().stream()).toList();
        var first = faults.stream().filter(Fault::isExplained).findFirst().orElse(faults.get(0));
        return new Fault(0, first.message(), words.isEmpty() ? "" : words.get(0), "", words);
    }

    /**
     * Whether the provider was at fault, and not the request; no status at all is a loss inside the provider. The code
     * of an error counts before the status of the response that brought it.
     */
    boolean isTransient() {
        var fault = fault();
        int status = fault.words().stream().filter(word -> word.matches("[45][0-9]{2}")).findFirst()
            .map(Integer::parseInt).orElse(status());
        if (Ending.isPassing(fault)) return true;
        if (status >= 200 && status < 300) return fault.words().stream().noneMatch(word -> word.matches(LASTING));
        return status == 0 || Set.of(408, 409, 425, 429).contains(status) || status >= 500;
    }

    String error() {
        var fault = fault();
        return (isRefused() ? status() + " " : "") + (fault.isExplained() ? fault.message() : unexplained(fault));
    }

    private String unexplained(Fault fault) {
        if (!isError()) return "the answer ended in \"" + body.finishReason() + "\"";
        if (!fault.code().isEmpty()) return fault.code();
        return status() == 0 ? "the provider lost the request (status 0)" : "no reason given";
    }

    /** Returns who declined to answer, in their words: a filter's error, or the model's refusal. */
    String refusal() { return isError() ? error() : body.refusal(); }
}
