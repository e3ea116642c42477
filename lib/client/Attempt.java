package sheaf;

import static sheaf.Messages.clip;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.Optional;
import sheaf.Vocabulary.Outcome;
import sheaf.Vocabulary.Usage;

/** One time that a request was sent, and what came of it: its answer or its error. */
final class Attempt {
    private final Answers answers;
    private final long index;                             // of the request in its batch, from 0
    private Optional<byte[]> line;                        // read when first asked for; empty: none came
    private Optional<Answer> answer;                      // likewise
    private Outcome outcome;

    Attempt(Answers answers, long index) {
        this.answers = answers;
        this.index = index;
    }

    /** Returns all answers of the batch that it was sent in. */
    Answers batch() { return answers; }

    /** Whether it was sent in an earlier batch, whose answer was taken over. */
    boolean isReused() { return answers.requests().isReused(index); }

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
        if (outcome == null) outcome = answer().map(Answer::outcome)
            .orElseGet(() -> Answer.missing(answers.batchStatus(index)));
        return outcome;
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

    /** Whether the request may end better next time, as it was or with room for a longer answer. */
    boolean isRepairable() {
        return outcome() == Outcome.TRUNCATED ? tokenLimit() > 0 : outcome() != Outcome.INVALID && isRetryable();
    }

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
    Usage usage() { return answers.requests().isRepeat(index) ? Usage.NONE : body().usage(); }

    /** Returns why no whole answer came, in one sentence; "" if one did. */
    String error() {
        return switch (outcome()) {
            case SUCCEEDED -> "";
            case TRUNCATED -> "cut off after " + body().usage().output() + " tokens; raise " + Wording.MAX_TOKENS;
            case REFUSED -> clip("the model declined: " + answer().map(Answer::refusal).orElse(""), 300);
            case INVALID -> body().invalidity();
            case MISSING -> answers.missingError(index);
            case ERRORED, EXPIRED, CANCELLED -> answer().map(Answer::error)
                .orElseGet(() -> answers.batchError(index));
        };
    }
}
