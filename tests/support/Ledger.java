package sheaf.support;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/** What a server holds of a client in the end: the input files that it stored, and the batches that it was paid for. */
public final class Ledger {
    private final Map<String, String> inputFiles = new HashMap<>();   // content by id
    private final List<JsonNode> paid = new ArrayList<>();            // batches
    private final List<JsonNode> turnedAway = new ArrayList<>();      // batches for which the queue had no room

    /** Reads all of it from a server of OpenAI's dialect. */
    public Ledger(RawClient client) {
        for (var file : all(client, "/files"))
            if (!file.get("purpose").asText().equals("batch_output"))
                inputFiles.put(file.get("id").asText(), content(client, file.get("id").asText()));
        for (var batch : all(client, "/batches")) (wasTurnedAway(batch) ? turnedAway : paid).add(batch);
    }

    private static String content(RawClient client, String file) {
        return new String(client.get("/files/" + file + "/content").body(), UTF_8);
    }

    private static List<JsonNode> all(RawClient client, String path) {
        var all = new ArrayList<JsonNode>();
        var after = "";
        while (true) {
            var page = RawClient.json(client.get(path + "?limit=100" + after));
            page.get("data").forEach(all::add);
            if (!page.get("has_more").asBoolean()) return all;
            after = "&after=" + page.get("last_id").asText();
        }
    }

    private static boolean wasTurnedAway(JsonNode batch) {
        return batch.get("status").asText().equals("failed")
            && batch.at("/errors/data/0/code").asText().equals("token_limit_exceeded");
    }

    public int batches() { return paid.size(); }

    /** Asserts that each part was stored once and paid once, and that the parts hold just the requests of these ids. */
    public void assertEachOnce(List<String> customIds) {
        assertEquals(contents(), inputFiles.size(), () -> "an input file was stored twice: " + this);
        assertPaidOnce(customIds);
    }

    /** Asserts the same, but lets a file be stored once more for each answer to an upload that got lost. */
    public void assertEachOnce(List<String> customIds, int lostUploads) {
        int spare = inputFiles.size() - contents();
        assertTrue(spare <= lostUploads, () -> spare + " input files were stored again, although only " + lostUploads
            + " answers to uploads were lost: " + this);
        assertPaidOnce(customIds);
    }

    /**
     * Asserts the same, but lets files go without a batch that hold only requests whose ids are of a kind: more of them
     * may have become known before the batch was created.
     */
    public void assertEachOnce(List<String> customIds, int lostUploads, String kind) {
        var id = Pattern.compile(kind).asPredicate();
        var inputs = paid.stream().map(this::input).toList();
        inputFiles.values().removeIf(file -> !inputs.contains(file) && idsIn(file).allMatch(id));
        assertEachOnce(customIds, lostUploads);
    }

    /** Returns the ids that a client gives to so many requests. */
    public static List<String> customIds(int requests) {
        return IntStream.rangeClosed(1, requests).mapToObj(i -> "request-" + i).toList();
    }

    private int contents() { return new HashSet<>(inputFiles.values()).size(); }

    private void assertPaidOnce(List<String> customIds) {
        var inputs = paid.stream().map(this::input).toList();
        assertEquals(new HashSet<>(inputs).size(), inputs.size(), () -> "a part was paid twice: " + this);
        assertEquals(sorted(customIds), sorted(inputs.stream().flatMap(Ledger::idsIn).toList()),
            () -> "the requests that were paid: " + this);
        assertEquals(new HashSet<>(inputFiles.values()), new HashSet<>(inputs), () -> "files without a batch: " + this);
        for (var batch : turnedAway)
            assertTrue(paid.stream().anyMatch(other -> file(other).equals(file(batch))),
                () -> "another file was sent than the one for which there was no room: " + this);
    }

    private static Stream<String> idsIn(String input) {
        return Arrays.stream(input.split("\n"))
            .map(line -> RawClient.json(line.getBytes(UTF_8)).get("custom_id").asText());
    }

    private static List<String> sorted(List<String> list) { return list.stream().sorted().toList(); }

    private String input(JsonNode batch) { return inputFiles.getOrDefault(file(batch), "no such file"); }

    private static String file(JsonNode batch) { return batch.get("input_file_id").asText(); }

    @Override public String toString() {
        return inputFiles.entrySet().stream()
            .map(file -> "file " + file.getKey() + " " + clipped(file.getValue())).collect(Collectors.joining(", "))
            + ", " + described("paid", paid) + described("turned away", turnedAway);
    }

    private static String clipped(String input) { return idsIn(input).collect(Collectors.joining(" ")); }

    private static String described(String what, List<JsonNode> batches) {
        return batches.stream().map(batch -> what + " " + batch.get("id").asText() + " over " + file(batch) + " "
            + batch.get("status").asText()).collect(Collectors.joining(", "));
    }
}
