package sheaf;

import com.fasterxml.jackson.databind.JsonNode;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;
import sheaf.Vocabulary.Part;

/** Finds the files of a provider that no one needs any more: who uses each, and whose it is. It deletes nothing. */
final class Leftovers {
    static final List<String> COLUMNS = List.of("folder", "kind", "created", "size", "id");
    private static final int SEARCHED = 10_000;                        // files, and batches
    private static final Pattern UPLOAD = Pattern.compile("(.+-[0-9a-f]{12})\\.part-[0-9]+\\.jsonl");
    private final boolean isWhole;                                     // whether all batches are known
    private final Map<String, Part> batches = new HashMap<>();         // by id
    private final Map<String, List<Part>> users = new HashMap<>();     // by file
    private final Map<String, String> folders = new HashMap<>();       // of the batches whose answers are here
    private final Set<String> awaited = new HashSet<>();               // files by id or name that may yet be used

    private Leftovers(Connection provider, BatchApi.Listed listed) {
        isWhole = listed.isWhole();
        listed.items().forEach(batch -> batches.put(batch.path("id").asText(), Part.of(1, batch)));
        Journal.all().filter(journal -> !journal.manifest().isAdopted() && journal.isAt(provider)).forEach(this::add);
        for (var batch : batches.values())
            for (var file : batch.files()) users.computeIfAbsent(file, any -> new ArrayList<>()).add(batch);
    }

    private void add(Journal journal) {
        journal.collected().forEach(part -> folders.put(part.id(), journal.folderName()));
        journal.parts().filter(part -> !part.isWaiting()).forEach(part -> batches.putIfAbsent(part.id(), part));
        journal.parts().filter(part -> !part.status().isTerminal()).forEach(part -> {
            awaited.addAll(part.files());
            awaited.add(journal.uploadName(part.number()));
        });
    }

    /** Returns those that are more than so old, with what each was for; a young one may be another machine's. */
    static List<Map<String, Object>> of(BatchApi api, Duration age) {
        api.connection().checkRuns("leftovers");
        var before = Instant.now().minus(age);
        var files = api.files("leftovers", SEARCHED);      // before the batches: those of each file are known by then
        var leftovers = new Leftovers(api.connection(), api.batches("leftovers", SEARCHED));
        return files.stream().filter(file -> isOlder(file, before))
            .flatMap(file -> leftovers.leftover(file).stream()).toList();
    }

    /** Returns the file, with what it was for, if no one needs it any more. */
    private Optional<Map<String, Object>> leftover(JsonNode file) {
        var id = file.path("id").asText();
        var name = file.path("filename").asText();
        var users = this.users.getOrDefault(id, List.of());
        if (awaited.contains(id) || awaited.contains(name) || !isDone(users, UPLOAD.matcher(name).matches()))
            return Optional.empty();
        var row = PlainValues.map(PlainValues.of(file));
        row.put("folder", users.stream().map(part -> folders.get(part.id())).filter(Objects::nonNull).findFirst()
            .orElseGet(() -> UPLOAD.matcher(name).replaceFirst("$1")));
        row.put("kind", kind(id, users));
        return Optional.of(row);
    }

    /** The files of others stay. So does an upload while a batch of it may be in the rest of a long list. */
    private boolean isDone(List<Part> users, boolean isOurs) {
        return users.isEmpty() ? isOurs && isWhole : users.stream().allMatch(part -> part.status().isTerminal()
            && (folders.containsKey(part.id()) || isOurs && !part.hasRun()));
    }

    private static String kind(String file, List<Part> users) {
        if (users.isEmpty()) return "upload";
        if (users.stream().anyMatch(part -> part.inputFileId().equals(file))) return "input";
        return users.stream().anyMatch(part -> part.outputFileId().equals(file)) ? "output" : "error";
    }

    /** One of unknown age is young. */
    private static boolean isOlder(JsonNode file, Instant time) {
        return Json.instant(file.path("created_at")).filter(time::isAfter).isPresent();
    }

    /** Returns the cells of a file in a table. */
    static List<String> cells(Map<String, Object> file) {
        var created = Json.instant(Json.MAPPER.valueToTree(file.get("created_at"))).map(Messages::day);
        return List.of(Json.cell(file.get("folder")), Json.cell(file.get("kind")), created.orElse(""),
            Messages.size(bytes(file)), Json.cell(file.get("id")));
    }

    /** Returns the line below a table of files. */
    static String sum(List<Map<String, Object>> files) {
        return Messages.count(files.size(), "file") + ", "
            + Messages.size(files.stream().mapToLong(Leftovers::bytes).sum());
    }

    private static long bytes(Map<String, Object> file) {
        return Json.MAPPER.valueToTree(file.get("bytes")).asLong();
    }
}
