package sheaf;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import java.util.stream.Stream;

/**
 * Requests of an earlier batch that are sent once more: which they are, and what that batch has to say of them.
 * @param title what the user chose, such as {@code films-retry}
 * @param batchName the earlier batch's name
 * @param names those that the requests were sent under before: films, films/better
 * @param origin the digest of the batch in which these requests were first sent
 * @param batchIds those that the parts of the batches had in which they were sent, when the requests were chosen,
 *     by folder; null for a part that has none of them
 * @param isRepair whether truncated ones get twice the limit of tokens, and unfit ones two more turns
 */
record Resend(String title, String batchName, String names, String origin, Map<Path, List<String>> batchIds,
              String endpoint, List<String> rowColumns, List<String> promptColumns, long size, boolean isRepair,
              Supplier<Stream<Sent>> requests) {
    /** Returns the names that they are sent under now; one that was not given is that of before. */
    String names(String given) { return given == null ? names : names + "/" + given; }

    /**
     * One request as it was sent last.
     * @param firstId the id that it had when it was first sent
     * @param round how often it has been sent
     * @param tokenLimit where a truncated answer was cut; 0 if nobody says
     * @param turns how many messages earlier repairs have added to it
     * @param nextTurns what a repair adds: an answer that did not fit, and what is said to that; empty if it did
     */
    record Sent(ObjectNode line, String firstId, int round, boolean isTruncated, long tokenLimit, int turns,
                List<String> nextTurns, String customId, String template, Map<String, Object> row) {}
}
