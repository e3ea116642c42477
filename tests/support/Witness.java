package sheaf.support;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** What the clients of a server saw of it, and what must hold of it in the end, however often it was killed. */
final class Witness {
    static final Set<String> OVER = Set.of("completed", "failed", "cancelled");

    /** A batch as its client meant it; {@code key} is null if it has no idempotency key. */
    record Intent(String name, String key, String file, int lines, boolean faulty) {}

    private final RawClient client;
    private final Path store;
    final Map<String, String> uploads = new ConcurrentHashMap<>();   // SHA-256 by id, of those answered
    final Set<String> attempts = ConcurrentHashMap.newKeySet();      // SHA-256 of all that were tried
    final Set<String> deletable = ConcurrentHashMap.newKeySet();     // uploads that no batch needs
    final Set<String> deleted = ConcurrentHashMap.newKeySet();
    final Map<String, Intent> created = new ConcurrentHashMap<>();   // by batch id
    final Map<String, Intent> intents = new ConcurrentHashMap<>();   // by name
    final Set<String> cancelled = ConcurrentHashMap.newKeySet();
    final Map<String, Integer> ran = new ConcurrentHashMap<>();      // most lines that a batch ever showed
    final Set<String> over = ConcurrentHashMap.newKeySet();          // batches that were seen at their end
    final Set<String> settled = ConcurrentHashMap.newKeySet();       // texts whose lines lay on disk at a kill

    Witness(RawClient client, Path store) {
        this.client = client;
        this.store = store;
    }

    int linesOnTheirWay() {
        return created.entrySet().stream()
            .filter(each -> !over.contains(each.getKey()))
            .mapToInt(each -> each.getValue().lines - ran.getOrDefault(each.getKey(), 0)).sum();
    }

    static String text(String name, int line) {
        return name + " line " + line + (line % 9 == 0 ? " refuse" : " gr\u00fc\u00dfe \ud83c\udf3e\u2028");
    }

    /** Reads the record of progress of the dead server: whole lines of output and error files. */
    void noteWhatIsOnDisk() throws IOException {
        var files = store.resolve("files");
        if (!Files.exists(files)) return;
        try (var all = Files.list(files)) {
            for (var path : all.filter(each -> each.toString().matches(".*file-(output|error)-[^/\\\\]*")).toList())
                for (var line : wholeLines(path))
                    settled.add(textOf(RawClient.json(line.getBytes(UTF_8)).get("custom_id").asText()));
        }
    }

    private static List<String> wholeLines(Path path) throws IOException {
        var content = Files.readString(path);
        return content.substring(0, content.lastIndexOf('\n') + 1).lines().toList();
    }

    private static String textOf(String customId) {
        var parts = customId.split("/");
        return text(parts[0], Integer.parseInt(parts[1]));
    }

    /** Asserts all that must hold when no batch goes on any more. */
    void check(Map<String, JsonNode> batches) throws IOException {
        checkCreations(batches);
        for (var batch : batches.values()) check(batch);
        checkFiles();
    }

    private void checkCreations(Map<String, JsonNode> batches) {
        var found = batches.values().stream().map(Witness::intent).toList();
        assertEquals(new HashSet<>(found).size(), found.size(), "an intent became two batches");
        assertTrue(batches.keySet().containsAll(created.keySet()), "a created batch is lost");
        created.forEach((id, intent) -> assertEquals(intent.name, intent(batches.get(id))));
    }

    private static String intent(JsonNode batch) { return batch.at("/metadata/intent").asText(); }

    private void check(JsonNode batch) {
        var id = batch.get("id").asText();
        var intent = intents.get(intent(batch));
        if (intent.faulty) {             // and a cancel may come before the fault is found
            var status = batch.get("status").asText();
            assertTrue(status.equals("failed") || status.equals("cancelled") && cancelled.contains(id),
                batch::toString);
            return;
        }
        boolean whole = batch.get("status").asText().equals("completed");
        assertTrue(whole || cancelled.contains(id) && batch.get("status").asText().equals("cancelled"),
            batch::toString);
        var output = lines(batch, "output_file_id");
        var errors = lines(batch, "error_file_id");
        assertEquals("{\"total\":" + intent.lines + ",\"completed\":" + output.size() + ",\"failed\":" + errors.size()
            + "}", batch.get("request_counts").toString(), id);
        var customIds = Stream.concat(output.stream(), errors.stream())
            .map(line -> line.get("custom_id").asText()).collect(Collectors.toSet());
        assertEquals(intent.lines, customIds.size(), id);
        assertEquals(intent.lines, output.size() + errors.size(), id);
        for (var line : output)
            assertEquals("yes: " + textOf(line.get("custom_id").asText()),
                line.at("/response/body/choices/0/message/content").asText());
        for (var line : errors)
            assertTrue(("no: " + textOf(line.get("custom_id").asText())).equals(
                line.at("/response/body/error/message").asText())
                || !whole && line.at("/error/code").asText().equals("batch_cancelled"), line::toString);
        assertEquals(2 * output.size(), batch.at("/usage/total_tokens").asInt(), id);
    }

    private List<JsonNode> lines(JsonNode batch, String file) {
        return batch.get(file).isNull() ? List.of() : client.output(batch, file);
    }

    /** What was answered is there, byte for byte; what lies on disk is listed; nothing is there by half. */
    private void checkFiles() throws IOException {
        var listed = new HashSet<String>();
        for (var file : RawClient.json(client.get("/files")).get("data")) {
            var id = file.get("id").asText();
            listed.add(id);
            var content = client.get("/files/" + id + "/content").body();
            assertEquals(file.get("bytes").asInt(), content.length, id);
            if (!file.get("purpose").asText().equals("batch_output"))
                assertTrue(attempts.contains(Kills.sha256(content)), id + " is not what was sent");
            if (uploads.containsKey(id)) assertEquals(uploads.get(id), Kills.sha256(content), id);
        }
        assertTrue(listed.containsAll(uploads.keySet()), "an upload is lost");
        assertTrue(Collections.disjoint(listed, deleted), "a deleted file is back");
        assertEquals(listed, names(store.resolve("files")), "files on disk");
        assertEquals(Set.of(), names(store.resolve("uploads")), "half uploads");
    }

    private static Set<String> names(Path folder) throws IOException {
        try (var all = Files.list(folder)) {
            return all.map(path -> path.getFileName().toString()).collect(Collectors.toSet());
        }
    }
}
