package sheaf;

import static sheaf.Messages.clip;
import static sheaf.Messages.reason;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.stream.Stream;
import sheaf.Vocabulary.Outcome;
import sheaf.Vocabulary.Usage;

/** One request and what came of it, also where it was sent again: its answer or its error, joined to its row. */
final class Exchange {
    private final Answers answers;
    private final long index;                             // of the request, from 0
    private final List<Attempt> attempts;                 // the first, and then those of its retries that are known
    private final Attempt shown;                          // the one that counts
    private byte[] rowLine;                               // read when first asked for
    private Map<String, Object> row;                      // likewise

    /** @param checks what the user wants of a whole answer */
    Exchange(Answers answers, long index, List<Settings.Check> checks) {
        this(answers, index, List.of(new Attempt(answers, index, () -> fault(answers, index, checks))), null);
    }

    private static String fault(Answers answers, long index, List<Settings.Check> checks) {
        if (checks.isEmpty()) return "";
        var whole = new Exchange(answers, index, List.of());
        return checks.stream().filter(check -> !whole.holds(check)).findFirst().map(Settings.Check::why).orElse("");
    }

    /** A check that fails finds nothing wrong with an answer, which repair would pay for again. */
    private boolean holds(Settings.Check check) {
        try {
            return check.holds().test(this);
        } catch (RuntimeException e) {
            throw new IllegalStateException("validate: the check \"" + clip(check.why(), 60) + "\" failed at "
                + customId() + " (" + e + ")", e);
        }
    }

    private Exchange(Answers answers, long index, List<Attempt> attempts, Attempt shown) {
        this.answers = answers;
        this.index = index;
        this.attempts = attempts;
        this.shown = shown == null ? attempts.get(0) : shown;
    }

    /**
     * Returns the request as it was, with what came of it later: a whole answer is only replaced by a whole one, and
     * what came in part is not by nothing, nor by another provider's but by more. Rounds tell what is later, for clocks
     * jump.
     * @param isReplacing whether a whole answer is replaced by a later one too
     */
    Exchange retriedAs(Exchange retry, boolean isReplacing) {
        var more = retry.attempts.stream().filter(later -> attempts.stream().noneMatch(later::isSameAs)).toList();
        if (more.isEmpty()) return this;
        boolean isLater = retry.shown.round() > shown.round();
        boolean saysMore = !retry.rawText().isEmpty();
        boolean isFirst = shown.isUnsent() && !retry.shown.isUnsent();
        boolean isMore = isElsewhere(retry.shown) ? rawText().isEmpty() && (saysMore || isFirst)
            : rawText().isEmpty() || saysMore;
        boolean isBetter = ok() ? isReplacing && isLater && retry.ok() : retry.ok() || isLater && isMore;
        return new Exchange(answers, index, Stream.concat(attempts.stream(), more.stream()).toList(),
            isBetter ? retry.shown : shown);
    }

    /** Whether a request of a retry was sent later, and asks the same; how long the answer may be does not count. */
    boolean isRepeatedBy(SentRequests retry, long request) {
        var first = answers.requests();
        return retry.round(request) > first.round(index) && retry.question(request).equals(first.question(index));
    }

    long index() { return index; }

    /** Reads from the disk what came of it, and its row, so that another thread need not; returns how many bytes. */
    long fetch() {
        if (rowLine == null) rowLine = answers.requests().rowLine(index);
        return shown.fetch() + rowLine.length;
    }

    String customId() { return answers.requests().customId(index, this::row); }

    Map<String, Object> row() {
        if (rowLine == null) rowLine = answers.requests().rowLine(index);
        if (row == null) row = answers.requests().row(rowLine);
        return row;
    }

    /** Whether it was made from a row of the user's. */
    boolean hasRow() { return answers.manifest().rows() > 0 && !answers.manifest().isAdopted() && !row().isEmpty(); }

    /** @throws IllegalArgumentException if the row has no such column */
    String row(String column) {
        if (!row().containsKey(column))
            throw new IllegalArgumentException("row: no column " + column + "; " + Templates.has(row()));
        return Objects.toString(row().get(column), "");
    }

    String template() { return answers.requests().template(index); }

    String model() { return shown.model(); }

    /** Returns the model that the response names; "" where none came, or it names none. */
    String answeringModel() { return shown.body().model(); }

    String firstId() { return answers.requests().firstId(index); }

    /** Returns every time that it was sent, as far as is known here. */
    List<Attempt> attempts() { return attempts; }

    private Attempt last() {
        return attempts.stream().reduce((one, other) -> other.round() < one.round() ? one : other).orElseThrow();
    }

    /** Returns how often it was sent after the first time. */
    int retries() { return last().round() - attempts.get(0).round(); }

    Outcome outcome() { return shown.outcome(); }

    boolean ok() { return shown.ok(); }

    /** Whether the same request may be answered next time, for its end was not its own fault: retry() sends it. */
    boolean isRetryable() { return shown.isRetryable(); }

    /**
     * Whether it surely failed and may end better next time, as it was or with room for a longer answer: repair() sends
     * it.
     */
    boolean isRepairable() { return !ok() && !mayBeAnswered() && last().isRepairable(); }

    /** Whether another provider was asked in the place of its own. */
    boolean isElsewhere() { return attempts.stream().anyMatch(this::isElsewhere); }

    private boolean isElsewhere(Attempt attempt) {
        return attempt.batch().manifest().isInstead() != answers.manifest().isInstead();
    }

    /** Whether its answer may be in a file that has not come, or not whole: only retry() pays for that again. */
    boolean mayBeAnswered() { return !ok() && attempts.stream().anyMatch(Attempt::mayBeAnswered); }

    /** Whether it is missing, and was not sent again for that yet. */
    boolean isMissingOnce() {
        return outcome() == Outcome.MISSING
            && attempts.stream().filter(attempt -> attempt.outcome() == Outcome.MISSING).count() == 1;
    }

    String text() {
        requireWhole("text");
        return rawText();
    }

    private void requireWhole(String word) {
        if (!ok()) throw new IllegalStateException(word + ": " + customId() + " " + outcome() + ": " + error());
    }

    String rawText() { return shown.rawText(); }

    /** Returns the text of each answer that was asked for, whole or not. */
    List<String> texts() { return shown.body().texts(); }

    String reasoning() { return shown.body().reasoning(); }

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
    boolean says(String label) { return ok() && bare(label()).equalsIgnoreCase(bare(label)); }

    private String label() {
        if (hasLabels()) return choice();
        return format() == null ? text() : Json.text(shown.value());
    }

    boolean hasLabels() { return format() != null && format().hasLabels(); }

    private AnswerFormat format() { return answers.manifest().format(); }

    /** Returns the label that a whole answer is. */
    String choice() {
        if (!hasLabels()) throw new IllegalStateException("choice: " + customId() + " was given no labels; ask with "
            + Wording.CHOICE);
        requireWhole("choice");
        return shown.value().asText();
    }

    OptionalDouble confidence() { return shown.confidence(); }

    /** Whether its answer is less sure than that, by what its provider says, or is none that was asked for. */
    boolean isBelow(double confidence) {
        if (outcome() == Outcome.INVALID) return true;
        return confidence().isPresent() && confidence().getAsDouble() < confidence;
    }

    private static String bare(String text) { return text.strip().replaceFirst("\\.$", ""); }

    /** Returns the label or the text that a whole answer is, or else how it ended: {@code (errored)}. */
    String answer() { return ok() ? label() : "(" + outcome() + ")"; }

    /** Returns that in the one way in which all that is the same label is written. */
    String verdict() { return ok() ? folded(label()) : answer(); }

    /** Returns a label in the one way in which all that is the same label is written. */
    static String folded(String label) { return bare(label).toLowerCase(Locale.ROOT); }

    JsonNode json() { return shown.json(); }

    <T> T as(Class<T> type) {
        requireWhole("as");
        try {
            return shown.value() != null ? Json.as(shown.value(), type) : JsonInText.as(text(), type);
        } catch (JsonProcessingException e) {
            throw new IllegalStateException("as: " + customId() + " is no " + type.getSimpleName() + ": " + reason(e)
                + "; it says: " + clip(JsonInText.unfenced(text()), 80), e);
        }
    }

    /** Returns why no whole answer came, and what came of asking again, if that is not what is shown. */
    String error() {
        if (ok()) return "";
        var own = isElsewhere(shown) ? own() : shown;
        var last = isElsewhere(shown) ? shown : last();
        if (last.isSameAs(own) || isElsewhere(last) && own.isSharedOut()) return last.error();
        return own.error() + "; asked "
            + (isElsewhere(last) ? "at " + last.batch().manifest().provider().label() : "again") + ": " + last.error();
    }

    /** Returns the last time that its own provider was sent it. */
    private Attempt own() {
        return attempts.stream().filter(attempt -> !isElsewhere(attempt))
            .reduce((one, other) -> other.round() < one.round() ? one : other).orElseGet(this::last);
    }

    /** Returns the tokens of every time that it was sent, for each was paid. */
    Usage usage() { return attempts.stream().map(Attempt::usage).reduce(Usage.NONE, Usage::plus); }

    /** Returns when what is shown of it was given, if its provider says. */
    Optional<Instant> answeredAt() { return shown.body().created(); }

    /** Whether its answer was taken over from an earlier batch. */
    boolean isReused() { return shown.isReused(); }

    String finishReason() { return shown.finishReason(); }

    /** Returns the time that it was answered last, well or not. */
    Optional<Attempt> answered() {
        return Stream.concat(attempts.stream(), Stream.of(shown)).filter(Attempt::hasAnswer)
            .reduce((one, other) -> other);
    }

    /** Returns which request was answered first, in whatever batch. */
    String source() { return attempts.get(0).source(); }

    /** Returns all that the request said to the model at first: its messages, in an array, or one text. */
    JsonNode said() {
        var body = attempts.get(0).request().path("body");
        return Stream.of("messages", "input", "prompt").map(body::path).filter(field -> !field.isMissingNode())
            .findFirst().orElse(body);
    }

    /** Returns the last thing that the request said to the model at first. */
    String prompt() {
        var said = said();
        var last = said.isArray() ? said.path(said.size() - 1) : said;
        return Content.plain(last.has("content") ? last.path("content") : last);
    }

    /** Returns what it takes to send the request once more, as its own provider was sent it last. */
    Resend.Sent sent() {
        var last = own();
        if (!(last.request() instanceof ObjectNode line && line.path("body").isObject()))
            throw new IllegalStateException("retry: the input file of this batch is gone, so its requests are unknown");
        return new Resend.Sent(line, firstId(), last().round(), last.outcome() == Outcome.TRUNCATED,
            last.tokenLimit(), last.addedTurns(), last.turns(), customId(), template(), row());
    }

    /** Returns the row with its answer: what a second batch and files see. An earlier answer moves inside. */
    Map<String, Object> joined() {
        var result = result();
        var joined = new LinkedHashMap<>(row());
        if (joined.containsKey("result")) result.put("row", Map.of("result", joined.get("result")));
        joined.put("result", result);
        return joined;
    }

    private Map<String, Object> result() {
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
        if (ok() && format() != null) result.put(hasLabels() ? "choice" : "value", PlainValues.of(shown.value()));
        confidence().ifPresent(sure -> result.put("confidence", PlainValues.of(sure)));
        if (!reasoning().isEmpty()) result.put("reasoning", reasoning());
        return result;
    }

    /** Returns the row with its answer as JSON; a row of texts stands there as it does on disk. */
    byte[] joinedAsJson() {
        boolean isCopied = row() instanceof Row row && !row.containsKey("result");
        return isCopied ? ((Row) row).lineWith("result", Json.bytes(Json.text(result())))
            : Json.bytes(Json.text(joined()));
    }

    @Override public String toString() {
        return "Result[" + customId() + " " + outcome() + " " + clip(ok() ? text() : error(), 60) + "]";
    }
}
