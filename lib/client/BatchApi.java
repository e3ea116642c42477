package sheaf;

import static sheaf.Messages.cannot;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.MissingNode;
import com.openai.core.JsonValue;
import com.openai.core.MultipartField;
import com.openai.core.http.HttpResponse;
import com.openai.models.batches.BatchCreateParams;
import com.openai.models.batches.BatchCreateParams.OutputExpiresAfter;
import com.openai.models.batches.BatchListParams;
import com.openai.models.files.FileContentParams;
import com.openai.models.files.FileCreateParams;
import com.openai.models.files.FileListParams;
import com.openai.models.files.FilePurpose;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Supplier;
import java.util.stream.Stream;
import sheaf.Vocabulary.BatchException;

/** The provider's routes. Bodies are read as trees: providers leave fields out, and write numbers as text. */
final class BatchApi {
    private static final int SEARCHED = 1_000;                // batches or files of a list, newest first
    private static final int SMALLEST_PAGE = 10;              // of a provider that keeps to a size of its own
    private final Connection connection;

    BatchApi(Connection connection) { this.connection = connection; }

    /** Returns the routes to a server that keeps a batch, which may listen elsewhere by now. */
    static BatchApi of(Connection connection) {
        return connection.elsewhere().map(BatchApi::new).filter(BatchApi::isAsExpected)
            .orElseGet(() -> new BatchApi(connection));
    }

    private boolean isAsExpected() {
        try {
            meet("batch");
            return connection.hasTold();
        } catch (BatchException | UncheckedIOException | IllegalStateException anotherOrNobodyOrNoKey) {
            return false;
        }
    }

    Connection connection() { return connection; }

    /**
     * Asks a server that may be one of ours who it is, and holds it to that; any other is known by its URL.
     * @throws UncheckedIOException if nobody answers
     */
    void meet(String step) {
        if (!connection.mayTell()) return;
        try {
            patiently(() -> connection.call(step, "GET", "/models",
                () -> connection.client().models().withRawResponse().list()));
        } catch (BatchException noList) {                     // who it is stands in any answer to who has its key
            boolean isStrange = noList.status() == Connection.STRANGER || connection.identity().isHalfTold();
            if (isStrange || Retry.isTransient(noList) && !isNoRoute(noList)) throw noList;
        }
        connection.hold(connection.identity());
    }

    /** Whether a second create with the same key makes no second batch: OpenAI's API promises it, and few keep it. */
    boolean honoursKeys() { return connection.identity().isTold(); }

    /** Uploads a file under a name of its own; a try that may have got through unseen is looked for before the next. */
    JsonNode upload(Path file, String name, boolean isUnsure, Progress.Transfer shown) {
        try (shown) {
            return Retry.patiently(connection.isLocal(), isUnsure, () -> uploaded(file, name),
                () -> upload(file, name, shown));
        }
    }

    private Optional<JsonNode> uploaded(Path file, String name) {
        try {
            long bytes = Files.size(file);
            return files("submit", SEARCHED).stream()
                .filter(found -> found.path("filename").asText().equals(name) && found.path("bytes").asLong() == bytes)
                .findFirst();
        } catch (BatchException none) {
            if (!isNoRoute(none)) throw none;
            return Optional.empty();                      // a second upload costs nothing but its time
        } catch (IOException e) {
            throw cannot("submit", "read " + file, e);
        }
    }

    /** Whether the provider lists its files, and this is none of them: some find that out long after a create. */
    boolean isGone(String id) {
        try {
            var files = files("submit", SEARCHED);
            return files.size() < SEARCHED && files.stream().noneMatch(file -> file.path("id").asText().equals(id));
        } catch (BatchException none) {
            if (!isNoRoute(none)) throw none;
            return false;
        }
    }

    /** Whether the provider has no such route. */
    static boolean isNoRoute(BatchException e) { return Set.of(404, 405, 501).contains(e.status()); }

    private JsonNode upload(Path file, String name, Progress.Transfer shown) {
        return connection.call("submit", "POST", connection.dialect().uploadPath(), () -> {
            try {
                var part = MultipartField.<InputStream>builder().value(shown.counted(file))
                    .filename(name).contentType("application/jsonl").build();
                var params = FileCreateParams.builder().file(part)
                    .purpose(FilePurpose.of(connection.dialect().purpose()));
                if (!connection.dialect().uploadPath().equals("/files"))     // Together wants the name as a field too
                    params.putAdditionalBodyProperty("file_name", JsonValue.from(name));
                return connection.client().files().withRawResponse().create(params.build());
            } catch (IOException e) {
                throw cannot("submit", "read " + file, e);
            }
        });
    }

    /**
     * Sends one POST /batches, and no second one; a provider that knows the key makes one batch of two with it.
     * @param outputSeconds after which the files of its answers are deleted; null: as the provider has it
     */
    JsonNode create(String file, String endpoint, String window, Long outputSeconds, Map<String, String> metadata,
                    String key) {
        var pairs = BatchCreateParams.Metadata.builder();
        metadata.forEach((name, value) -> pairs.putAdditionalProperty(name, JsonValue.from(value)));
        var params = BatchCreateParams.builder().inputFileId(file).endpoint(BatchCreateParams.Endpoint.of(endpoint))
            .completionWindow(BatchCreateParams.CompletionWindow.of(window)).metadata(pairs.build())
            .putAdditionalHeader("Idempotency-Key", key);
        if (outputSeconds != null)
            params.outputExpiresAfter(OutputExpiresAfter.builder().seconds(outputSeconds).build());
        return batch("submit", "POST", "/batches",
            () -> connection.client().batches().withRawResponse().create(params.build()));
    }

    /** What has no id is no batch: some proxies call an error a success. */
    private JsonNode batch(String step, String method, String path, Supplier<? extends HttpResponse> call) {
        var said = connection.call(step, method, path, call);
        var batch = hasId(said) ? said : said.path("job");                   // Together's wrapper
        if (hasId(batch)) return batch;
        var reason = connection.withoutKey(Fault.of(said).message());
        throw new BatchException(step + ": " + method + " " + connection.shownUrl() + path + ": 200 but no batch"
            + (reason.isEmpty() ? "" : " (" + reason + ")"), 200, "", "");
    }

    static boolean hasId(JsonNode batch) { return !batch.path("id").asText("").isBlank(); }

    /** Asks for a batch, again if that fails for a moment. */
    JsonNode retrieve(String step, String id) { return patiently(() -> retrieveOnce(step, id)); }

    /** Asks once, for a wait that has a patience of its own. */
    JsonNode retrieveOnce(String step, String id) {
        return batch(step, "GET", "/batches/" + id, () -> connection.client().batches().withRawResponse().retrieve(id));
    }

    /** Deletes a file; one that is gone already is no error. */
    void deleteFile(String id) {
        try {
            patiently(() -> connection.call("deleteFile", "DELETE", "/files/" + id,
                () -> connection.client().files().withRawResponse().delete(id)));
        } catch (BatchException e) {
            if (e.status() != 404) throw e;
        }
    }

    /** A batch that is over already cannot be cancelled, and some providers only nod; what it is then counts. */
    JsonNode cancel(String id) {
        try {
            return batch("cancel", "POST", "/batches/" + id + "/cancel",
                () -> connection.client().batches().withRawResponse().cancel(id));
        } catch (BatchException e) {
            if (e.status() != 409 && e.status() != 400 && !e.isGarbled()) throw e;
            return retrieve("cancel", id);
        }
    }

    /** What a list brought, and whether that is all there is. */
    record Listed(List<JsonNode> items, boolean isWhole) {}

    Listed batches(String step, int limit) {
        return pages(limit, (after, size) -> connection.call(step, "GET", "/batches", () -> {
            var params = BatchListParams.builder().limit((long) size);
            after.ifPresent(params::after);
            return connection.client().batches().withRawResponse().list(params.build());
        }));
    }

    /** Returns those that were made last, and fails if what would answer a further one is not what is expected. */
    Listed recentBatches() {
        var recent = batches("submit", SEARCHED);
        connection.checkEngine();
        return recent;
    }

    List<JsonNode> files(String step, int limit) {
        return pages(limit, (after, size) -> connection.call(step, "GET", "/files", () -> {
            var params = FileListParams.builder();
            after.ifPresent(params::after);
            return connection.client().files().withRawResponse().list(params.build());
        })).items();
    }

    List<JsonNode> models() {
        return items(patiently(() -> connection.call("models", "GET", "/models",
            () -> connection.client().models().withRawResponse().list()))).toList();
    }

    private interface Page {
        JsonNode get(Optional<String> after, int size);
    }

    /**
     * Walks a list until a page brings nothing new: some servers ignore the cursor, some leave {@code has_more}
     * out. Who ignores the cursor has no more if fewer came than any page holds; else the rest may be unseen.
     */
    private Listed pages(int limit, Page page) {
        var found = new LinkedHashMap<String, JsonNode>();
        Optional<String> after = Optional.empty();
        boolean isWhole = false;
        boolean isNew = true;
        while (found.size() < limit && isNew && !isWhole) {
            int before = found.size();
            int size = Math.min(100, limit - before);
            var from = after;
            var answer = patiently(() -> page.get(from, size));
            var items = items(answer).toList();
            items.forEach(item -> found.putIfAbsent(item.path("id").asText(), item));
            isNew = found.size() > before;
            boolean isShort = !isNew && items.size() < Math.min(size, SMALLEST_PAGE);
            isWhole = items.isEmpty() || isShort || isLast(answer);
            if (!items.isEmpty()) after = Optional.of(items.get(items.size() - 1).path("id").asText());
        }
        return new Listed(found.values().stream().limit(limit).toList(), isWhole);
    }

    private static boolean isLast(JsonNode answer) {
        return answer.path("has_more").isBoolean() && !answer.path("has_more").asBoolean();
    }

    private static Stream<JsonNode> items(JsonNode answer) {
        return (answer.isArray() ? answer : answer.path("data")).valueStream();
    }

    /** How many bytes a file has; 0 if the provider does not say. */
    long size(String file) { return file("results", file).path("bytes").asLong(); }

    /** Returns what the provider says of a file; a missing node if it says nothing: some have no such route. */
    JsonNode file(String step, String file) {
        try {
            return patiently(() -> connection.call(step, "GET", "/files/" + file,
                () -> connection.client().files().withRawResponse().retrieve(file)));
        } catch (BatchException e) {
            if (Retry.isTransient(e)) throw e;
            return MissingNode.getInstance();
        }
    }

    /** Reads a file's content from this byte on, once; a provider may send the whole all the same. */
    <T> T content(String file, long from, Connection.Reading<T> reading) {
        var params = FileContentParams.builder().fileId(file);
        if (from > 0) params.putAdditionalHeader("Range", "bytes=" + from + "-");
        return connection.call("results", "GET", "/files/" + file + "/content",
            () -> connection.client().files().content(params.build()), reading);
    }

    private <T> T patiently(Supplier<T> call) { return Retry.patiently(connection.isLocal(), call); }
}
