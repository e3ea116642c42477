package sheaf.server;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.NoSuchFileException;
import java.util.ArrayList;
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

    private static final Answer TOO_DEEP = Answer.none("bad_engine_answer", "The engine's answer is nested too deep.");
    private static final int TOGETHER = 64;               // requests to an instant engine: a millisecond's work
    private static final int TOGETHER_BYTES = 256 * 1024;

    /** What all batches of a server share. */
    record Shared(Store store, Engine engine, Manners dialect, Script script, Validation validation, Turns turns,
        ExecutorService workers, Metrics metrics) {
    }

    /** One request, and its line in the input file, from 1, blank lines included. */
    private record Request(int line, String customId, JsonNode body) {
        static Request read(Unread unread) throws IOException {
            var request = Json.parsed(unread.bytes);
            return new Request(unread.line, request.get("custom_id").textValue(), request.get("body"));
        }
    }

    /** A request as its line has it, which who answers it reads. */
    private record Unread(int line, byte[] bytes) {
    }

    /** Why none of the requests can be answered, so that the batch fails rather than each of them. */
    private static final class Unanswerable extends RuntimeException {
        private final BatchError fault;

        private Unanswerable(BatchError fault) { this.fault = fault; }
    }

    private interface Answering {
        Answer answer(Request request) throws InterruptedException;
    }

    private final Shared shared;
    private final Store store;
    private final long deadline;                     // milliseconds since 1970
    private final String id;
    private final String inputFileId;
    private final String endpoint;                   // as engines have it
    private final BatchObject state;                 // guarded by this batch, like each field from here on
    private final ResultFiles files;                 // opened and closed by the leader alone
    private final BitSet finished = new BitSet();    // lines of the input file whose request has its answer
    private int running;                             // requests under way
    private boolean expired;                         // some requests have, and so the batch has
    private Exception broken;                        // why no line can be written any more

    ActiveBatch(Shared shared, ObjectNode batch, long deadline) {
        this.shared = shared;
        this.store = shared.store;
        this.deadline = deadline;
        this.state = new BatchObject(batch);
        this.id = state.id();
        this.inputFileId = state.text("input_file_id");
        this.endpoint = Engine.canonical(state.text("endpoint"));
        this.files = new ResultFiles(id, store, shared.dialect, shared.script);
    }

    String id() { return id; }

    /** Leads the batch until it is over or the server closes, and waits while the store fails. */
    void lead() {
        try {
            while (!shared.turns.isClosing()) {
                if (tryToRunToEnd()) {
                    store.deleteUnused(inputFileId);
                    return;
                }
                Thread.sleep(Store.FULL_DISK_PAUSE.toMillis());
            }
        } catch (InterruptedException closing) {
            Thread.currentThread().interrupt();
        } catch (UncheckedIOException e) {   // the file stays until the next start deletes it
            complain(e);
        }
    }

    /** Goes on where the files end, and returns whether the batch is over, which it is not while the store fails. */
    private boolean tryToRunToEnd() throws InterruptedException {
        try {
            runToEnd();
            return true;
        } catch (IOException | UncheckedIOException e) {
            complain(e);
            return false;
        } finally {
            awaitUnderWay();
            closeFiles();
        }
    }

    private void runToEnd() throws IOException, InterruptedException {
        try {
            if (count("total") == 0 && !validate()) return;
            if (!files.isOpen()) openFiles();
            runRequests();
            finish();
        } catch (UncheckedIOException e) {
            throw e;
        } catch (Unanswerable e) {
            fail(List.of(e.fault), files.leftovers());
        } catch (NoSuchFileException e) {
            failAsServerError("a file of the batch is gone");
        } catch (JsonProcessingException | RuntimeException | AssertionError e) {
            failAsServerError(Refusal.reason(e));    // else its owner would never hear of it
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

    /** Validates the input file, fails the batch if there are faults, and returns whether there are none. */
    private boolean validate() throws IOException, InterruptedException {
        stayWhileHeld();
        var verdict = shared.validation.verdict(view());
        if (!verdict.faults().isEmpty()) {
            fail(verdict.faults(), List.of());
            return false;
        }
        change(() -> state.admit(verdict.total(), verdict.model(), store.now()), List.of());
        return true;
    }

    /** Waits as long as a test holds batches in the status that this one has. */
    private void stayWhileHeld() throws InterruptedException {
        shared.turns.awaitWhile(() -> is(String.valueOf(shared.script.heldStatus)));
    }

    private synchronized void openFiles() throws IOException {
        broken = null;
        finished.clear();
        state.forgetCounts();
        files.open(this::countLine);
    }

    private synchronized void countLine(JsonNode written) {
        finished.set(ResultFiles.lineOf(written));
        expired |= BatchObject.outcome(written).equals("expired");
        state.countLine(written);
    }

    private void runRequests() throws IOException, InterruptedException {
        try (var lines = new Lines(store.file(inputFileId), Lines.MAX_BYTES)) {
            for (List<Unread> some; !(some = unanswered(lines)).isEmpty(); ) start(some);
        }
        awaitAll();
    }

    /** Reads requests without an answer: one, or as many as an engine that answers at once gets together. */
    private List<Unread> unanswered(Lines lines) throws IOException {
        int most = shared.engine.isInstant() ? TOGETHER : 1;
        int bytes = 0;
        var some = new ArrayList<Unread>();
        for (byte[] line; some.size() < most && bytes < TOGETHER_BYTES && (line = lines.next()) != null; ) {
            if (Lines.isBlank(line) || isFinished(lines.number)) continue;
            some.add(new Unread(lines.number, line));
            bytes += line.length;
        }
        return some;
    }

    private synchronized boolean isFinished(int line) { return finished.get(line); }

    /** Starts requests when it is their turn, in which one after the other is asked, or writes why none runs. */
    private void start(List<Unread> some) throws IOException, InterruptedException {
        if (!shared.turns.take(this::mayRun, this::millisLeft)) {
            var answer = noAnswer();
            write(some, request -> answer);
            return;
        }
        noteStart();
        shared.workers.execute(() -> answer(some));
    }

    /** Returns what is written for a request that gets no answer any more. */
    private Answer noAnswer() { return is("cancelling") ? CANCELLED : EXPIRED; }

    private void answer(List<Unread> some) {
        try {
            write(some, this::ask);
        } catch (InterruptedException closing) {
            Thread.currentThread().interrupt();
        } catch (IOException | RuntimeException e) {   // whatever it is, no request may vanish
            breakOff(e);
        } catch (OutOfMemoryError e) {                 // memory comes back, so the leader tries again
            breakOff(new IOException(e));
        } finally {
            shared.turns.giveBack();
            noteEnd();
        }
    }

    /** Returns the engine's answer, or why there is none, or null if the next start shall ask again. */
    private Answer ask(Request request) throws InterruptedException {
        try {
            var answer = shared.engine.answer(endpoint, request.body, () -> !shared.turns.isClosing() && mayRun());
            checkWhole(answer);
            return answer != null || shared.turns.isClosing() ? answer : noAnswer();
        } catch (Unanswerable e) {
            throw e;
        } catch (RuntimeException | StackOverflowError e) {
            return Answer.none("engine_error", "The engine could not be asked (" + Refusal.reason(e) + ").");
        }
    }

    /** Lets the batch fail where no other request of it would be answered either. */
    private void checkWhole(Answer answer) throws InterruptedException {
        if (answer == null || answer.succeeded() || count("completed") > 0) return;
        var fault = shared.engine.fault(view().path("model").textValue(), answer);
        if (fault.isPresent()) throw new Unanswerable(fault.get());
    }

    /** Finds the answer to each of these requests, and writes them all, together as far as they are small. */
    private void write(List<Unread> some, Answering answering) throws IOException, InterruptedException {
        var succeeded = new ResultFiles.Block(true);
        var failed = new ResultFiles.Block(false);
        for (var unread : some) {
            var request = Request.read(unread);
            var answer = answering.answer(request);
            if (answer != null) add(request, answer, answer.succeeded() ? succeeded : failed, failed);
            if (succeeded.size() + failed.size() < TOGETHER_BYTES) continue;
            append(succeeded);
            append(failed);
        }
        append(succeeded);
        append(failed);
    }

    private void add(Request request, Answer answer, ResultFiles.Block block, ResultFiles.Block failed) {
        var lineId = files.lineId(request.line);
        try {
            block.add(answer.line(lineId, request.customId));
        } catch (UncheckedIOException tooDeep) {
            failed.add(TOO_DEEP.line(lineId, request.customId));
        }
    }

    /** Appends lines, for which it waits while the disk is full: the answers may be paid for. */
    private synchronized void append(ResultFiles.Block lines) throws IOException, InterruptedException {
        if (lines.isEmpty()) return;
        checkUnbroken();
        while (!files.append(lines, this::complain)) {
            wait(Store.FULL_DISK_PAUSE.toMillis());
            checkUnbroken();
        }
        lines.written().forEach(this::count);
        lines.clear();
    }

    private void count(JsonNode written) {
        countLine(written);
        var usage = BatchObject.usage(written);
        shared.metrics.countRequest(BatchObject.outcome(written), BatchObject.inputTokens(usage),
            BatchObject.outputTokens(usage));
    }

    private void checkUnbroken() throws IOException {
        if (broken instanceof IOException disk) throw disk;
        if (broken instanceof Unanswerable whole) throw whole;
        if (broken != null) throw new IllegalStateException(broken);
    }

    private synchronized void noteStart() { running++; }

    private synchronized void noteEnd() {
        running--;
        notifyAll();
    }

    /** Lets no further line be written, for this reason. */
    private synchronized void breakOff(Exception e) { broken = e; }

    /** Waits for the answers under way, until the server closes and gives them up. */
    private synchronized void awaitUnderWay() {
        try {
            while (running > 0)
                wait();
        } catch (InterruptedException closing) {
            Thread.currentThread().interrupt();
        }
    }

    /** Waits until each request has its line. */
    private synchronized void awaitAll() throws IOException, InterruptedException {
        while (running > 0)
            wait();
        checkUnbroken();
        if (finished.cardinality() != count("total")) throw new IllegalStateException("answers were lost");
    }

    private void finish() throws IOException, InterruptedException {
        stayWhileHeld();
        files.force();
        change(this::enterFinalizing, List.of());
        stayWhileHeld();
        long seconds = view().at("/output_expires_after/seconds").asLong(Store.BATCH_FILE_SECONDS);
        var output = files.publish("output", seconds);
        var errors = files.publish("error", seconds);
        shared.validation.leaveQueue(id);
        change(() -> state.end(finalStatus(), idOf(output), idOf(errors), store.now()),
            Stream.of(output, errors).filter(Objects::nonNull).toList());
    }

    private void enterFinalizing() {
        if (!is("cancelling") && !expired) state.enter("finalizing", store.now());
    }

    private String finalStatus() {
        if (is("cancelling")) return "cancelled";
        return expired ? "expired" : "completed";
    }

    private static String idOf(ObjectNode file) { return file == null ? null : file.get("id").textValue(); }

    /** Fails the batch for a reason of the server's own, with the answers that there are: they may be paid for. */
    private void failAsServerError(String reason) throws IOException {
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

    /** Changes what clients see, and adds these files, or does neither if it cannot be stored. */
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
    private synchronized boolean mayRun() { return broken == null && is("in_progress") && store.millis() < deadline; }

    private long millisLeft() { return Math.max(1, deadline - store.millis()); }

    /** Returns how many of its requests have no answer yet, as far as they are counted. */
    synchronized int unanswered() { return count("total") - count("completed") - count("failed"); }

    synchronized int underWay() { return running; }

    /** Returns what is seen of the batch: its object and, while a limit of the engine holds it up, which that is. */
    ObjectNode shown() {
        var shown = view();
        if (shown.get("status").textValue().equals("in_progress"))
            shared.engine.limit().ifPresent(limit -> shown.putObject("held_up")
                .put("until", limit.until().getEpochSecond()).put("reason", limit.reason()));
        return shown;
    }

    /** Returns a copy of the batch object as it is now. */
    synchronized ObjectNode view() { return state.copy(); }

    private synchronized boolean is(String status) { return state.is(status); }

    private synchronized int count(String outcome) { return state.count(outcome); }

    private synchronized void closeFiles() {
        try {
            files.close();
        } catch (IOException e) {
            breakOff(e);
        }
    }
}
