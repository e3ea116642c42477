package sheaf;

import static sheaf.Messages.cannot;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.LongStream;

/**
 * Which requests of a journal were sent as calls of their own: each is written down before it is, and after it if it
 * was refused, so that one whose answer was lost is known to be paid, or maybe.
 */
final class SingleCalls {
    private final Journal journal;
    private final Path file;

    SingleCalls(Journal journal) {
        this.journal = journal;
        file = journal.dir().resolve("calls.jsonl");
    }

    /** A call begins. */
    void sending(String id) { write(id, false); }

    /** A call was refused, or never got there: it cost nothing. */
    void refused(String id) { write(id, true); }

    private synchronized void write(String id, boolean isRefused) {
        var line = Json.MAPPER.createObjectNode().put("custom_id", id).put("refused", isRefused);
        AtomicFiles.append(file, Json.line(line));
    }

    /** Returns how often each id was sent and not refused: each time was paid, or may be. */
    Map<String, Long> sent() {
        var sent = new HashMap<String, Long>();
        if (Files.exists(file)) Json.eachLine(file, line ->
            sent.merge(line.path("custom_id").asText(), line.path("refused").asBoolean() ? -1L : 1L, Long::sum));
        return sent;
    }

    /** Returns the numbers of the requests that no line answers yet, from 0. */
    Set<Long> unanswered() {
        var requests = journal.requests();
        var answered = new HashSet<String>();
        for (int part = 1; part <= journal.partCount(); part++) {
            var answers = journal.answerFile(part, "output");
            if (Files.exists(answers)) addIds(answers, answered);
        }
        return LongStream.range(0, requests.count()).filter(requests::isInAPart)
            .filter(i -> !answered.contains(requests.firstId(i))).boxed().collect(Collectors.toSet());
    }

    private static void addIds(Path answers, Set<String> ids) {
        try (var lines = new Lines(Files.newInputStream(answers))) {
            while (lines.advance()) ids.add(String.valueOf(Answer.id(lines)));
        } catch (IOException e) {
            throw cannot("journal", "read " + answers, e);
        }
    }
}
