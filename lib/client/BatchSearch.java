package sheaf;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.time.Instant;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;
import sheaf.Vocabulary.BatchException;
import sheaf.Vocabulary.Part;

/** Finds what of a batch is at its provider, which may show it late, or show it in its list alone. */
final class BatchSearch {
    private static final int LOOKS = 4;                       // over some eight seconds
    private final Journal journal;
    private final BatchApi api;
    private final Connection provider;
    private final Consumer<String> note;
    private Map<Integer, JsonNode> listed;                    // by part, its batch at the provider; null: not asked

    BatchSearch(Journal journal, BatchApi api, Consumer<String> note) {
        this.journal = journal;
        this.api = api;
        this.provider = api.connection();
        this.note = note;
    }

    /** Returns a part's batch if it is at the provider already; null if not. */
    JsonNode known(int part) {
        boolean isUnsure = journal.isCreateUnsure(part);
        if (listed == null || isUnsure) listed = search();
        var known = listed.get(part);
        return known != null || !isUnsure || api.honoursKeys() ? known : searchUntilLatest(part);
    }

    /** Returns a part's batch, also if a create of it is still on its way: none is sent again with the same key. */
    JsonNode late(int part) {
        listed = search();
        var known = listed.get(part);
        return known != null ? known : searchUntilLatest(part);
    }

    boolean hasLooked() { return listed != null; }

    /** Does not take a part for what was listed of it earlier, for that has failed by now. */
    void forgetListed(int part) {
        if (listed != null) listed.remove(part);
    }

    /**
     * Returns these parts as their provider shows them, by number, without those that it surely has no more: it may
     * show a batch late, so one is gone only if it says so several times and its list lacks that batch too.
     */
    Map<Integer, JsonNode> there(List<Part> parts) {
        var there = new HashMap<Integer, JsonNode>();
        var retry = Retry.ofLooks(provider.isLocal());
        for (int look = 1; look <= LOOKS && there.size() < parts.size(); look++) {
            if (look > 1) Retry.sleep("submit", retry.next(Duration.ZERO));
            for (var part : parts)
                if (!there.containsKey(part.number())) retrieved(part).ifPresent(b -> there.put(part.number(), b));
        }
        if (there.size() < parts.size()) addListed(parts, there);
        return there;
    }

    private Optional<JsonNode> retrieved(Part part) {
        try {
            return Optional.of(api.retrieve("submit", part.id()));
        } catch (BatchException e) {
            if (e.status() != 404) throw e;
            return Optional.empty();
        }
    }

    private void addListed(List<Part> parts, Map<Integer, JsonNode> there) {
        var recent = recentBatches();
        for (var part : parts) {
            if (there.containsKey(part.number())) continue;
            recent.items().stream().filter(batch -> batch.path("id").asText().equals(part.id())).findFirst()
                .ifPresentOrElse(batch -> there.put(part.number(), batch), () -> checkReach(recent, part));
        }
    }

    /** A list that breaks off before a batch was made does not say that it is gone. */
    private void checkReach(BatchApi.Listed recent, Part part) {
        if (recent.isWhole() || isBefore(recent, Json.instant(part.json().path("created_at")))) return;
        throw new IllegalStateException("submit: " + provider.label() + " shows no batch " + part.id() + ", and lists "
            + "only " + recent.items().size() + " batches, so it may be there unseen; if it is gone for good, delete "
            + journal.shortPath() + " and run again");
    }

    /** Whether a list goes back beyond this instant. */
    private static boolean isBefore(BatchApi.Listed recent, Optional<Instant> instant) {
        return instant.isPresent() && recent.items().stream()
            .flatMap(batch -> Json.instant(batch.path("created_at")).stream()).anyMatch(instant.get()::isAfter);
    }

    /** Looks for the batch of a create that failed so, until a late one would have shown. */
    Optional<JsonNode> after(RuntimeException e, int part) {
        var retry = Retry.ofCalls(provider.isLocal());
        boolean isRefusal = e instanceof BatchException refusal && refusal.status() == 429;
        for (int look = 1; look <= (isRefusal ? 1 : LOOKS); look++) {
            retry.pause("submit", e);
            var late = search().get(part);
            if (late != null) return Optional.of(late);
        }
        return isRefusal || isAnswerLost(e) || api.honoursKeys() ? Optional.empty()
            : Optional.ofNullable(searchUntilLatest(part));
    }

    /**
     * A create without an answer may still be on its way: something between here and the provider holds it, and whoever
     * sends a second one before it lands pays twice. A user who pays would rather wait some minutes, once. So the list
     * is looked at for as long as such a request lives, from now on: clocks jump, so none tells when it was sent.
     */
    private JsonNode searchUntilLatest(int part) {
        long start = System.nanoTime();
        var latest = Retry.latest(provider.isLocal());
        note.accept("submit: a create of part " + part + " of " + journal.folderName()
            + " was sent, and no batch of it is known; looking for one at " + provider.label() + " for "
            + Progress.text(latest) + ", for it may still arrive and a second one would be paid too");
        for (var retry = Retry.ofLooks(provider.isLocal()); ; ) {
            var left = latest.minusNanos(System.nanoTime() - start);
            if (left.isNegative()) return null;
            Retry.sleep("submit", Retry.shorter(left.plusMillis(1), retry.next(Duration.ZERO)));
            var late = search().get(part);
            if (late != null) return late;
        }
    }

    /** Whether the provider's answer never came, or was spoiled on its way. */
    static boolean isAnswerLost(RuntimeException e) {
        return e instanceof UncheckedIOException || e instanceof BatchException refusal && refusal.isGarbled();
    }

    /** Looks among the provider's batches for parts of this one: after a lost answer, a kill, or on another machine. */
    private Map<Integer, JsonNode> search() {
        var matches = new HashMap<Integer, JsonNode>();
        var recent = recentBatches();
        for (var batch : recent.items())
            journal.partNumbers().filter(part -> isOf(batch, part) && Part.of(part, batch).hasRun())
                .forEach(part -> matches.putIfAbsent(part, batch));
        journal.partNumbers().filter(part -> journal.isCreateUnsure(part) && !matches.containsKey(part))
            .forEach(part -> checkReach(recent, part));
        return matches;
    }

    private boolean isOf(JsonNode batch, int part) {
        return batch.path("metadata").path(Settings.METADATA_KEY).asText("").startsWith(journal.markPrefix(part))
            || journal.hasFile(part) && journal.fileId(part).equals(batch.path("input_file_id").asText());
    }

    /** A list that breaks off before the file's upload does not say that no batch was made of it. */
    private void checkReach(BatchApi.Listed recent, int part) {
        if (!recent.isWhole() && !isBefore(recent, journal.uploadedAt(part)))
            throw new IllegalStateException("submit: a create of part " + part + " was never answered, and "
                + provider.label() + " lists only " + recent.items().size() + " batches, so it may be there unseen;"
                + " look there: batch(\"its id\") takes it; if there is none, delete " + journal.shortPath()
                + " and run again");
    }

    /** A provider without a list is an obstacle only once an answer to a create has been lost. */
    private BatchApi.Listed recentBatches() {
        try {
            return api.recentBatches();
        } catch (BatchException e) {
            if (!BatchApi.isNoRoute(e) || journal.partNumbers().anyMatch(journal::isCreateUnsure)) throw e;
            return new BatchApi.Listed(List.of(), true);
        }
    }
}
