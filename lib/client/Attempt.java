package sheaf;

import static sheaf.Messages.clip;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.function.Supplier;
import sheaf.Vocabulary.Outcome;
import sheaf.Vocabulary.Usage;

/** One time that a request was sent, and what came of it: its answer or its error. */
final class Attempt {
    private final Answers answers;
    private final long index;                             // of the request in its batch, from 0
    private Optional<byte[]> line;                        // read when first asked for; empty: none came
    private Optional<Answer> answer;                      // likewise
    private Outcome outcome;
    private final Supplier<String> check;                 // what the user finds wrong with a whole one; "": nothing
    private String misfit;                                // of a whole answer; read when first asked for
    private JsonNode value;                               // likewise; null if it has none

    Attempt(Answers answers, long index, Supplier<String> check) {
        this.answers = answers;
        this.index = index;
        this.check = check;
    }

    /** Returns all answers of the batch that it was sent in. */
    Answers batch() { return answers; }

    /** Whether it was sent in an earlier batch, whose answer was taken over. */
    boolean isReused() { return answers.requests().isReused(index); }

    /** Whether its answer is that of one before it, and was paid with that. */
    boolean isRepeat() { return answers.requests().isRepeat(index); }

    /** Returns the folder and the id of what was answered first, in whatever batch: one taken over tells that. */
    String source() {
        var own = answers.journal().folderName() + "#" + firstId();
        if (!isReused()) return own;
        return answers.answer(index).map(answer -> answer.line().path(SentRequests.SOURCE).asText(own)).orElse(own);
    }

    /** Returns the folder of the batch that was paid for it. */
    String paidIn() {
        if (!isReused()) return answers.journal().folderName();
        var source = source().replaceFirst("#.*", "");
        return answers.answer(index).map(answer -> answer.line().path(SentRequests.PAID_IN).asText(source))
            .orElse(source);
    }

    String firstId() { return answers.requests().firstId(index); }

    boolean isSameAs(Attempt other) {
        return index == other.index && answers.journal().dir().equals(other.answers.journal().dir());
    }

    private Optional<Answer> answer() {
        if (answer == null) answer = line().map(Answer::new);
        line = Optional.empty();
        return answer;
    }

    private Optional<byte[]> line() {
        if (line == null) line = answers.line(index);
        return line;
    }

    /** Reads what came from the disk, so that another thread need not; returns how many bytes it is. */
    int fetch() { return answer == null ? line().map(bytes -> bytes.length).orElse(0) : 0; }

    /** Returns how often the request had been sent by then, this time included. */
    int round() { return answers.requests().round(index); }

    /** Returns the line that was sent. */
    JsonNode request() { return answers.requests().json(index); }

    String model() { return answers.requests().model(index); }

    Outcome outcome() {
        if (outcome == null) outcome = misfit().isEmpty() ? ending() : Outcome.INVALID;
        return outcome;
    }

    /** How it ended, whatever the answer says. */
    private Outcome ending() {
        return answer().map(Answer::outcome).orElseGet(() -> Answer.missing(answers.batchStatus(index)));
    }

    /** Returns where and why a whole answer is not what was asked for; "" if it is, or is no whole one. */
    String misfit() {
        if (misfit == null) misfit = ending() == Outcome.SUCCEEDED ? read() : "";
        return misfit;
    }

    private String read() {
        var format = answers.manifest().format();
        if (format == null) return check.get();
        var readings = body().texts().stream().map(format::read).toList();
        value = readings.get(0).value();
        return readings.stream().map(AnswerFormat.Reading::fault).filter(fault -> !fault.isEmpty()).findFirst()
            .orElseGet(check);
    }

    /** Returns what a whole answer says in the form that was asked for, the first of several; null if in none. */
    JsonNode value() { return ok() ? value : null; }

    /** Returns how sure the model was of its label; empty where there is none, or the provider does not say. */
    OptionalDouble confidence() {
        var format = answers.manifest().format();
        boolean isAsked = format != null && format.confidence() && value() != null;
        return isAsked ? Logprobs.of(json(), value.asText(), format.labels()) : OptionalDouble.empty();
    }

    /** Returns what is said to the model of an answer that did not fit, after that: both turns; else nothing. */
    List<String> turns() {
        if (misfit().isEmpty() || !Turns.of(request().path("body")).isArray()) return List.of();
        return List.of(rawText(), AnswerFormat.correction(answers.manifest().format(), misfit()));
    }

    boolean ok() { return outcome() == Outcome.SUCCEEDED; }

    /** Whether the same request may be answered next time, for its end was not its own fault. */
    boolean isRetryable() {
        return switch (outcome()) {
            case EXPIRED, CANCELLED, MISSING, INVALID -> true;
            case ERRORED -> answer().map(Answer::isTransient).orElse(true);
            case SUCCEEDED, TRUNCATED, REFUSED -> false;
        };
    }

    /**
     * Whether the request may end better next time, as it was, with more room or with what was wrong. What another
     * provider was to have from the start is asked there.
     */
    boolean isRepairable() {
        return !isSharedOut() && switch (outcome()) {
            case TRUNCATED -> tokenLimit() > 0;
            case INVALID -> !turns().isEmpty();
            default -> isRetryable();
        };
    }

    /** Whether its provider never had it. */
    boolean isUnsent() { return answers.isUnsent(index); }

    boolean isSharedOut() { return answers.isSharedOut(index); }

    /** Returns how many messages the request has more than it had at first. */
    int addedTurns() { return answers.requests().turns(index); }

    /** Whether its answer may be in a file that has not come, or not whole. */
    boolean mayBeAnswered() { return answer().isEmpty() && !answers.isCollected(index); }

    /** Returns where a truncated answer was cut; 0 if nobody says. */
    long tokenLimit() {
        var body = request().path("body");
        return Requests.LIMITS.stream().mapToLong(field -> body.path(field).asLong()).filter(limit -> limit > 0)
            .findFirst().orElseGet(() -> body().usage().output());
    }

    /** Whether a line answered it, well or not; what expired or was cancelled has none, whatever a file says of it. */
    boolean hasAnswer() {
        return answer().isPresent() && outcome() != Outcome.EXPIRED && outcome() != Outcome.CANCELLED;
    }

    /** Returns the line that answered. */
    ObjectNode answerLine() { return (ObjectNode) answer().orElseThrow().line(); }

    /** Returns what came; one that says nothing where nothing did. */
    Body body() { return answer().map(Answer::body).orElse(Body.NONE); }

    String rawText() { return body().text(); }

    JsonNode json() { return body().json(); }

    String finishReason() { return body().finishReason(); }

    /** Returns the tokens that were paid for it: none, if its answer is that of one before it. */
    Usage usage() { return isRepeat() ? Usage.NONE : body().usage(); }

    /** Returns why no whole answer came, in one sentence; "" if one did. */
    String error() {
        return switch (outcome()) {
            case SUCCEEDED -> "";
            case TRUNCATED -> "cut off after " + body().usage().output() + " tokens; raise " + Wording.MAX_TOKENS;
            case REFUSED -> clip("the model declined: " + answer().map(Answer::refusal).orElse(""), 300);
            case INVALID -> misfit().isEmpty() ? body().invalidity() : misfit();
            case MISSING -> answers.missingError(index);
            case ERRORED, EXPIRED, CANCELLED -> answer().map(Answer::error)
                .orElseGet(() -> answers.batchError(index));
        };
    }
}
