package sheaf.server;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Duration;
import java.util.List;
import sheaf.server.BatchObject.BatchError;

/**
 * The manners of a provider: OpenAI's, which each dialect overrides where it differs. A method that is given an object
 * of the API may change it, and gets it as OpenAI has it. They know no other provider.
 */
class Manners {
    private final String name;

    Manners(String name) { this.name = name; }

    boolean isOpenAi() { return getClass() == Manners.class; }

    /** Returns what stands before the path of every route. */
    String prefix() { return "/v1"; }

    /** Returns a path as OpenAI has it, or one that no route has if it lacks the prefix. */
    String path(String path) {
        return path.startsWith(prefix() + "/") ? "/v1" + path.substring(prefix().length())
            : path.replaceFirst("^/v1/", "/none/");
    }

    /** Returns the header that may bear the key as it is, or null if only Authorization does. */
    String keyHeader() { return null; }

    /** Returns whether there is such a route, given its path as OpenAI has it. */
    boolean has(String method, String path) {
        return !method.equals("PUT") && !path.matches("/v1/(files/[^/]+/preprocess|deployments/.*)/?");
    }

    /** Returns whether a request needs no key, because its URL is known to nobody else. */
    boolean isPresigned(String method, String path) { return false; }

    /** Returns the path that takes a new file. */
    String uploads() { return "/v1/files"; }

    /** Returns the purpose of an input file. */
    String purpose() { return "batch"; }

    /** Returns whether an upload must say the name of its file in a field of its own. */
    boolean wantsFileName() { return false; }

    List<String> endpoints() {
        return List.of("/v1/chat/completions", "/v1/embeddings", "/v1/completions", "/v1/responses",
            "/v1/moderations");
    }

    /** Returns the completion windows: a number with h or d each. */
    List<String> windows() { return List.of("24h"); }

    /** Returns whether a batch must say its completion window; else the first holds. */
    boolean wantsWindow() { return true; }

    /** Returns whether another window is refused at once, rather than failing the batch. */
    boolean refusesWindows() { return true; }

    /** Returns a completion window as a time, and a day for one that is none: its batch fails before that. */
    static Duration duration(String window) {
        if (!window.matches("\\d{1,4}[hd]")) return Duration.ofDays(1);
        long number = Long.parseLong(window.substring(0, window.length() - 1));
        return window.endsWith("d") ? Duration.ofDays(number) : Duration.ofHours(number);
    }

    /** Returns whether a batch over an unknown file is refused at once, rather than failing. */
    boolean refusesUnknownFiles() { return false; }

    /** Returns whether the requests of a batch may name different models. */
    boolean mixesModels() { return false; }

    /** Returns the most requests of a batch. */
    int maxRequests() { return 50_000; }              // https://platform.openai.com/docs/api-reference/batch/create

    /** Returns the most bytes of an input file. */
    long maxBytes() { return 200L * 1024 * 1024; }    // https://platform.openai.com/docs/api-reference/batch/create

    /** Returns the least number of seconds after which an output file may expire. */
    int minExpiry() { return 3_600; }                 // https://platform.openai.com/docs/api-reference/files/create

    /** Returns whether a batch ends when its window does. */
    boolean expires() { return true; }

    /** Returns whether a batch without failed requests has an error file, with nothing in it. */
    boolean hasEmptyErrorFile() { return false; }

    /** Returns what every line of an input file must have. */
    List<String> lineParams() { return List.of("custom_id", "method", "url", "body"); }

    String newBatchId() { return Json.newId("batch_"); }

    /** Returns the HTTP status with which a batch is created. */
    int createdStatus() { return 200; }

    /** Returns a fault of an input file as the provider words it. */
    BatchError fault(BatchError fault) { return fault; }

    JsonNode file(ObjectNode file) { return file; }

    /** Returns a batch as its creation shows it. */
    JsonNode created(ObjectNode batch) { return batch(batch); }

    JsonNode batch(ObjectNode batch) { return batch; }

    /** Returns whether lists take {@code after} and {@code limit}. */
    boolean hasPages() { return true; }

    /** Returns a list of batches. */
    JsonNode page(ObjectNode page) { return page; }

    /** Returns a list of files. */
    JsonNode files(ObjectNode page) { return page(page); }

    /** Returns whether {@link #line} changes any. */
    boolean changesLines() { return false; }

    /** Returns a line of an output or error file. */
    ObjectNode line(ObjectNode line) { return line; }

    @Override public String toString() { return name; }
}
