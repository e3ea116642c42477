package sheaf;

import static sheaf.Messages.clip;
import static sheaf.Messages.reason;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.MissingNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.stream.Stream;
import sheaf.Vocabulary.Outcome;
import sheaf.Vocabulary.Usage;

/** One request and what came of it: its answer or its error, joined to its row. */
final class Exchange {
    private final Answers answers;
    private final long index;                             // of the request, from 0
    private final Exchange replacement;                         // whose answer takes the place of this one's, or null
    private Optional<Answer> answer;                      // read when first asked for; empty: no line came
    private Outcome outcome;
    private Map<String, Object> row;

    Exchange(Answers answers, long index) { this(answers, index, null); }

    private Exchange(Answers answers, long index, Exchange replacement) {
        this.answers = answers;
        this.index = index;
        this.replacement = replacement;
    }

    /** Returns the request as it was, with the answer that came later. */
    Exchange answeredBy(Exchange replacement) { return new Exchange(answers, index, replacement); }

    long index() { return index; }

    private Optional<Answer> answer() {
        if (answer == null) answer = replacement == null ? answers.answer(index) : replacement.answer();
        return answer;
    }

    String customId() { return answers.requests().customId(index, this::row); }

    Map<String, Object> row() {
        if (row == null) row = answers.requests().row(index);
        return row;
    }

    /** @throws IllegalArgumentException if the row has no such column */
    String row(String column) {
        if (!row().containsKey(column))
            throw new IllegalArgumentException("row: no column " + column + "; " + Templates.has(row()));
        return Objects.toString(row().get(column), "");
    }

    String template() { return answers.requests().template(index); }

    String model() { return replacement == null ? answers.requests().model(index) : replacement.model(); }

    /** Returns the model that the response names; "" where none came, or it names none. */
    String answeringModel() { return answer().map(answer -> answer.body().model()).orElse(""); }

    String firstId() { return answers.requests().firstId(index); }

    Outcome outcome() {
        if (outcome == null) outcome = replacement == null ? ownOutcome() : replacement.outcome();
        return outcome;
    }

    private Outcome ownOutcome() {
        return answer().map(Answer::outcome).orElseGet(() -> Answer.missing(answers.batchStatus(index)));
    }

    boolean ok() { return outcome() == Outcome.SUCCEEDED; }

    /** Whether the same request may be answered next time, for its end was not its own fault: retry() sends it. */
    boolean isRetryable() {
        return switch (outcome()) {
            case EXPIRED, CANCELLED, MISSING, INVALID -> true;
            case ERRORED -> answer().map(Answer::isTransient).orElse(true);
            case SUCCEEDED, TRUNCATED, REFUSED -> false;
        };
    }

    /**
     * Whether repair() sends it: the request may end better next time, as it was or with room for a longer answer.
     * Where a file of its part could not be fetched, its answer may be in there: only retry() pays for that again.
     */
    boolean isRepairable() {
        if (outcome() == Outcome.TRUNCATED) return tokenLimit() > 0;
        return outcome() != Outcome.INVALID && isRetryable() && (answer().isPresent() || answers.isCollected(index));
    }

    /** Returns where a truncated answer was cut; 0 if nobody says. */
    private long tokenLimit() {
        var body = request().path("body");
        return Requests.LIMITS.stream().mapToLong(field -> body.path(field).asLong()).filter(limit -> limit > 0)
            .findFirst().orElseGet(() -> usage().output());
    }

    String text() {
        if (!ok()) throw new IllegalStateException("text: " + customId() + " " + outcome() + ": " + error());
        return rawText();
    }

    String rawText() { return answer().map(answer -> answer.body().text()).orElse(""); }

    /** Returns the text of each answer that was asked for, whole or not. */
    List<String> texts() { return answer().map(answer -> answer.body().texts()).orElse(List.of()); }

    String reasoning() { return answer().map(answer -> answer.body().reasoning()).orElse(""); }

    /** Returns an embedding. */
    float[] vector() {
        try {
            return Json.MAPPER.readValue(text(), float[].class);
        } catch (JsonProcessingException e) {
            throw new IllegalStateException("vector: " + customId() + " is no embedding; it says: "
                + clip(text(), 80), e);
        }
    }

    /** Whether the answer is this label; letter case, white space around it and a final full stop do not count. */
    boolean says(String label) { return ok() && bare(text()).equalsIgnoreCase(bare(label)); }

    private static String bare(String text) { return text.strip().replaceFirst("\\.$", ""); }

    JsonNode json() { return answer().map(answer -> answer.body().json()).orElse(MissingNode.getInstance()); }

    <T> T as(Class<T> type) {
        var json = text().strip().replaceFirst("(?s)^```[a-z]*\\s*(.*?)\\s*```$", "$1");
        try {
            return Json.MAPPER.readValue(json, type);
        } catch (JsonProcessingException e) {
            throw new IllegalStateException("as: " + customId() + " is no " + type.getSimpleName() + ": " + reason(e)
                + "; it says: " + clip(json, 80), e);
        }
    }

    String error() {
        if (replacement != null) return replacement.error();
        return switch (outcome()) {
            case SUCCEEDED -> "";
            case TRUNCATED -> "cut off after " + usage().output() + " tokens; raise maxTokens(...)";
            case REFUSED -> clip("the model declined: " + answer().map(Answer::refusal).orElse(""), 300);
            case INVALID -> answer().map(answer -> answer.body().invalidity()).orElse("");
            case MISSING -> answers.missingError(index);
            case ERRORED, EXPIRED, CANCELLED -> answer().map(Answer::error)
                .orElseGet(() -> answers.batchError(index));
        };
    }

    Usage usage() { return Usage.of(json().path("usage")); }

    String finishReason() { return answer().map(answer -> answer.body().finishReason()).orElse(""); }

    private int round() { return replacement == null ? answers.requests().round(index) : replacement.round(); }

    /** Returns the line that was sent, the last time that it was. */
    private JsonNode request() { return replacement == null ? answers.requests().json(index) : replacement.request(); }

    /** Whether a line answered it, well or not; what expired or was cancelled has none, whatever a file says of it. */
    boolean hasAnswer() {
        return answer().isPresent() && outcome() != Outcome.EXPIRED && outcome() != Outcome.CANCELLED;
    }

    /** Whether its answer may be in a file of which only a part has come. */
    boolean mayBeInAShortFile() {
        return replacement == null && answer().isEmpty() && answers.isShort(index);
    }

    /** Returns the line that answered. */
    ObjectNode answerLine() { return (ObjectNode) answer().orElseThrow().line(); }

    /** Returns which request was answered first, in whatever batch: one that was taken over tells that. */
    String source() {
        var own = answers.journal().folderName() + "#" + answers.requests().firstId(index);
        if (!answers.requests().isReused(index)) return own;
        return answers.answer(index).map(answer -> answer.line().path(SentRequests.SOURCE).asText(own)).orElse(own);
    }

    /** Returns the last thing that the request says to the model. */
    String prompt() {
        var body = request().path("body");
        var said = Stream.of("messages", "input", "prompt").map(body::path).filter(field -> !field.isMissingNode())
            .findFirst().orElse(body);
        var last = said.isArray() ? said.path(said.size() - 1) : said;
        return Content.plain(last.has("content") ? last.path("content") : last);
    }

    /** Returns what it takes to send the request once more. */
    Settings.Sent sent() {
        if (!(request() instanceof ObjectNode line && line.path("body").isObject()))
            throw new IllegalStateException("retry: the input file of this batch is gone, so its requests are unknown");
        return new Settings.Sent(line, firstId(), round(), outcome() == Outcome.TRUNCATED, tokenLimit(), customId(),
            template(), row());
    }

    /** Returns the row with its answer: what a second batch and files see. An earlier answer moves inside. */
    Map<String, Object> joined() {
        var result = new LinkedHashMap<String, Object>();
        result.put("customId", customId());
        result.put("template", template());
        result.put("model", model());
        result.put("answeredBy", answeringModel());
        result.put("outcome", outcome().toString());
        if (ok()) result.put("text", text());
        else result.put("error", error());
        if (!ok() && !rawText().isEmpty()) result.put("rawText", rawText());
        if (texts().size() > 1) result.put("texts", texts());
        if (!reasoning().isEmpty()) result.put("reasoning", reasoning());
        var joined = new LinkedHashMap<>(row());
        if (joined.containsKey("result")) result.put("row", Map.of("result", joined.get("result")));
        joined.put("result", result);
        return joined;
    }

    @Override public String toString() {
        return "Result[" + customId() + " " + outcome() + " " + clip(ok() ? text() : error(), 60) + "]";
    }
}
