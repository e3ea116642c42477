package sheaf.server;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.UnaryOperator;

/**
 * What a test has told the server to show or do unlike any good server, apart from HTTP requests that go wrong. It only
 * holds what was told; without a test it changes nothing.
 */
final class Script {
    volatile List<String> models = List.of();       // that the echo engine knows; none is any
    volatile ObjectNode counts;                     // null shows the true ones
    volatile String stay;                           // the status that batches keep; null lets them go on
    volatile Duration window;                       // of new batches, in place of what they ask for; null leaves it
    volatile Duration invisible = Duration.ZERO;    // how long nobody sees a new file
    volatile Queue queue = Queue.ENDLESS;
    volatile boolean blankIds;
    volatile boolean ignoresAfter;
    volatile boolean forgetsMetadata;
    private volatile UnaryOperator<List<String>> rewrite;   // null if nothing is rewritten
    private final Map<String, Long> uploaded = new ConcurrentHashMap<>();   // when, if files are shown later

    /** How many tokens may be queued, and whether more are refused at once or fail the batch. */
    record Queue(long tokens, boolean refuses) {
        private static final Queue ENDLESS = new Queue(Long.MAX_VALUE, false);

        boolean isEndless() { return tokens == Long.MAX_VALUE; }

        String message(String model) {
            return "Enqueued token limit reached for " + model + " in organization org-sheaf. Limit: "
                + String.format(Locale.ROOT, "%,d", tokens) + " enqueued tokens. Please try again once some"
                + " in_progress batches have been completed.";
        }
    }

    void uploaded(String file, long millis) {
        if (!invisible.isZero()) uploaded.put(file, millis);
    }

    boolean isVisible(ObjectNode file, long millis) {
        var since = uploaded.get(file.get("id").textValue());
        return since == null || millis - since > invisible.toMillis();
    }

    /** Returns a batch object as clients shall see it. */
    ObjectNode batch(ObjectNode batch) {
        if (counts != null) batch.set("request_counts", counts.deepCopy());
        for (var id : List.of("output_file_id", "error_file_id"))
            if (blankIds && batch.get(id).isNull()) batch.put(id, "");
        return batch;
    }

    boolean rewritesLines() { return rewrite != null; }

    List<String> rewritten(List<String> lines) { return rewrite == null ? lines : rewrite.apply(lines); }

    /** Rewrites the lines of output and error files by this function too, after those given before. */
    synchronized void rewrite(UnaryOperator<List<String>> next) {
        var before = rewrite;
        rewrite = before == null ? next : lines -> next.apply(before.apply(lines));
    }

    static List<String> reversed(List<String> lines) {
        var reversed = new ArrayList<String>(lines);
        Collections.reverse(reversed);
        return reversed;
    }

    /** Returns lines in which those of one request stand so many times, which may be none. */
    static List<String> repeated(String customId, int times, List<String> lines) {
        return lines.stream().flatMap(line -> Collections.nCopies(isOf(customId, line) ? times : 1, line).stream())
            .toList();
    }

    private static boolean isOf(String customId, String line) {
        try {
            return customId.equals(Json.MAPPER.readTree(line).path("custom_id").textValue());
        } catch (JsonProcessingException | NumberFormatException rewritten) {
            return false;
        }
    }
}
