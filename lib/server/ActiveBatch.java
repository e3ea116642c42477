package sheaf.server;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.file.NoSuchFileException;
import java.util.BitSet;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.ExecutorService;
import java.util.stream.Stream;
import sheaf.server.BatchObject.BatchError;
import sheaf.server.Concurrency.Turns;
import sheaf.server.Engine.Answer;
import sheaf.server.Json.Lines;

/**
 * A batch that is not yet over: one thread leads it from its validation to its end, and others ask the engine for its
 * requests. It knows what it shares with other batches, but none of them.
 */
final class ActiveBatch {
    private static final Answer EXPIRED = Answer.none("batch_expired",
        "This request could not be executed before the completion window expired.");
    private static final Answer CANCELLED = Answer.none("batch_cancelled",
        "This request could not be executed because the batch was cancelled.");

    /** What all batches of a server share. */
    record Shared(Store store, Engine engine, Manners dialect, Script script, Validation validation, Turns turns,
        ExecutorService workers) {
    }

    /** One request of the input file, and at which physical line of it. */
    private record Request(int line, String customId, JsonNode body) {
        static Request read(int line, byte[] bytes) throws IOException {
            var request = Json.parsed(bytes);
            return new Request(line, request.get("custom_id").textValue(), request.get("body"));
        }
    }

    private final Shared shared;
    private final Store store;
    private final long deadline;                     // milliseconds since 1970
    private final String id;
    private final String inputFileId;
    private final BatchObject state;                 // guarded by this batch, like each field from here on
    private final ResultFiles files;                 // opened and closed by the leader alone
    private final BitSet finished = new BitSet();    // by physical line
    private int running;
    private boolean expired;
    private Exception broken;                        // why no line can be written any more

    ActiveBatch(Shared shared, ObjectNode batch, long deadline) {
        this.shared = shared;
        this.store = shared.store;
        this.deadline = deadline;
        this.state = new BatchObject(batch);
        this.id = state.id();
        this.inputFileId = state.text("input_file_id");
        this.files = new ResultFiles(id, store, shared.dialect, shared.script);
    }

    String id() { return id; }

    /** Leads the batch until it is over or the server closes; a store that fails is waited for. */
    void lead() {
        try {
            while (!shared.turns.isClosing()) {
                if (tryWork()) {
                    store.deleteUnused(inputFileId);
                    return;
                }
                Thread.sleep(Store.PAUSE.toMillis());
            }
        } catch (InterruptedException closing) {
            Thread.currentThread().interrupt();
        } catch (UncheckedIOException e) {   // the file stays until the next start deletes it
            complain(e);
        }
    }

    /** Goes on where the files end, and returns whether the batch is over: a store that fails does not end it. */
    private boolean tryWork() throws InterruptedException {
        try {
            work();
            return true;
        } catch (IOException | UncheckedIOException e) {
            complain(e);
            return false;
        } finally {
            awaitLastWords();
            closeFiles();
        }
    }

    private void work() throws IOException, InterruptedException {
        try {
            if (count("total") == 0 && !isAdmitted()) return;
            if (!files.isOpen()) openFiles();
            runLines();
            finish();
        } catch (UncheckedIOException e) {
            throw e;
        } catch (NoSuchFileException e) {
            breakDown("a file of the batch is gone");
        } catch (JsonProcessingException | RuntimeException | AssertionError e) {
            breakDown(e.toString());         // else its owner would never hear of it
        }
    }

    private void complain(Exception e) {
        if (!shared.turns.isClosing()) store.complain(e);
    }

    /** Counts what an earlier server has done, before anybody can ask. */
    void recount() {
        try {
            if (count("total") > 0) openFiles();
        } catch (IOException e) {        // the leader opens them again
            closeFiles();
            complain(e);
        }
    }

    private boolean isAdmitted() throws IOException, InterruptedException {
        stay();
        var verdict = shared.validation.verdict(view());
        if (!verdict.faults().isEmpty()) {
            fail(verdict.faults(), List.of());
            return false;
        }
        change(() -> state.admit(verdict.total(), verdict.model(), store.now()), List.of());
        return true;
    }

    /** Waits as long as a test keeps batches in the status that this one has. */
    private void stay() throws InterruptedException {
        shared.turns.awaitWhile(() -> is(String.valueOf(shared.script.heldStatus)));
    }

    private synchronized void openFiles() throws IOException {
        broken = null;
        finished.clear();
        state.forgetCounts();
        files.open(this::count);
    }

    private synchronized void count(JsonNode written) {
        finished.set(ResultFiles.lineOf(written));
        expired |= written.at("/error/code").asText().equals("batch_expired");
        state.count(written);
    }

    private void runLines() throws IOException, InterruptedException {
        try (var lines = new Lines(store.file(inputFileId), Lines.MAX_BYTES)) {
            for (byte[] line; (line = lines.next()) != null; )
                if (!Lines.isBlank(line) && !isFinished(lines.number)) run(Request.read(lines.number, line));
        }
        awaitRunning();
    }

    private synchronized boolean isFinished(int line) { return finished.get(line); }

    private void run(Request request) throws IOException, InterruptedException {
        if (!shared.turns.take(this::isOpen, this::millisLeft)) {
            write(request, unanswered());
            return;
        }
        began();
        shared.workers.execute(() -> answer(request));
    }

    private Answer unanswered() { return is("cancelling") ? CANCELLED : EXPIRED; }

    private void answer(Request request) {
        try {
            var answer = asked(request);
            if (answer != null) write(request, answer);
            else if (!shared.turns.isClosing()) write(request, unanswered());    // a server that closes leaves it open
        } catch (InterruptedException closing) {
            Thread.currentThread().interrupt();
        } catch (IOException | RuntimeException e) {   // of any kind, because a request must not vanish
            breakOff(e);
        } catch (OutOfMemoryError e) {                 // it passes, so the leader tries again
            breakOff(new IOException(e));
        } finally {
            shared.turns.giveBack();
            ended();
        }
    }

    /** Asks the engine; null if the answer is not wanted any more. Whatever breaks becomes the request's own error. */
    private Answer asked(Request request) throws InterruptedException {
        try {
            return shared.engine.answer(Engine.canonical(text("endpoint")), request.body,
                () -> !shared.turns.isClosing() && isOpen());
        } catch (RuntimeException | StackOverflowError e) {
            return Answer.none("engine_error", "The engine could not be asked: " + e + ".");
        }
    }

    private void write(Request request, Answer answer) throws IOException, InterruptedException {
        var lineId = files.lineId(request.line);
        var written = answer.line(lineId, request.customId);
        boolean succeeded = answer.succeeded();
        ByteBuffer line;
        try {
            line = Json.line(written);
        } catch (UncheckedIOException e) {            // JSON that can be read, but not written
            written = Answer.none("bad_engine_answer", "The engine's answer is nested too deep.")
                .line(lineId, request.customId);
            succeeded = false;
            line = Json.line(written);
        }
        append(line, written, succeeded);
    }

    /** Appends a line, and waits for room on the disk if need be: its answer may be paid for. */
    private synchronized void append(ByteBuffer line, JsonNode written, boolean succeeded)
            throws IOException, InterruptedException {
        checkUnbroken();
        while (!files.append(line, succeeded, this::complain)) {
            wait(Store.PAUSE.toMillis());
            checkUnbroken();
        }
        count(written);
    }

    private void checkUnbroken() throws IOException {
        if (broken instanceof IOException disk) throw disk;
        if (broken != null) throw new IllegalStateException(broken);
    }

    private synchronized void began() { running++; }

    private synchronized void ended() {
        running--;
        notifyAll();
    }

    private synchronized void breakOff(Exception e) { broken = e; }

    /** Waits for the answers under way, unless the server is closing and out of patience. */
    private synchronized void awaitLastWords() {
        try {
            while (running > 0)
                wait();
        } catch (InterruptedException closing) {
            Thread.currentThread().interrupt();
        }
    }

    private synchronized void awaitRunning() throws IOException, InterruptedException {
        while (running > 0)
            wait();
        checkUnbroken();
        if (finished.cardinality() != count("total")) throw new IllegalStateException("answers were lost");
    }

    private void finish() throws IOException, InterruptedException {
        stay();
        files.force();
        change(this::beginEnd, List.of());
        stay();
        long seconds = view().at("/output_expires_after/seconds").asLong(Store.BATCH_FILE_SECONDS);
        var output = files.publish("output", seconds);
        var errors = files.publish("error", seconds);
        shared.validation.leaveQueue(id);
        change(() -> state.end(ending(), idOf(output), idOf(errors), store.now()),
            Stream.of(output, errors).filter(Objects::nonNull).toList());
    }

    private void beginEnd() {
        if (!is("cancelling") && !expired) state.enter("finalizing", store.now());
    }

    private String ending() {
        if (is("cancelling")) return "cancelled";
        return expired ? "expired" : "completed";
    }

    private static String idOf(ObjectNode file) { return file == null ? null : file.get("id").textValue(); }

    /** Fails the batch for a reason of our own, with the answers that there are: they may be paid for. */
    private void breakDown(String reason) throws IOException {
        if (shared.turns.isClosing()) return;
        fail(List.of(BatchError.of("server_error", null, "The server could not go on: " + reason + ".")),
            files.leftovers());
    }

    private void fail(List<BatchError> faults, List<ObjectNode> files) {
        change(() -> state.fail(faults, files, store.now()), files);
    }

    synchronized ObjectNode cancel() {
        if (is("validating") || is("in_progress")) change(() -> state.enter("cancelling", store.now()), List.of());
        return view();
    }

    /** Changes what clients see, together with the files that come with it, or nothing if it cannot be stored. */
    private synchronized void change(Runnable change, List<ObjectNode> files) {
        var before = view();
        try {
            change.run();
            store.updateBatch(view(), files);
        } catch (RuntimeException e) {
            state.restore(before);
            throw e;
        }
    }

    /** Returns whether its requests may still run. */
    private synchronized boolean isOpen() { return broken == null && is("in_progress") && store.millis() < deadline; }

    private long millisLeft() { return Math.max(1, deadline - store.millis()); }

    /** Returns the batch object as it is now. */
    synchronized ObjectNode view() { return state.copy(); }

    private synchronized boolean is(String status) { return state.is(status); }

    private synchronized String text(String field) { return state.text(field); }

    private synchronized int count(String outcome) { return state.count(outcome); }

    private synchronized void closeFiles() {
        try {
            files.close();
        } catch (IOException e) {
            breakOff(e);
        }
    }
}
