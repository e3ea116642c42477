package sheaf.server;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Semaphore;

/**
 * Which batches may begin: those whose input file is whole, whose window there is, and for whose tokens the queue has
 * room. It reads a batch and never changes it.
 */
final class Admission {
    private static final int VALIDATIONS = 2;       // at once: each holds the custom ids of its file

    private final Semaphore validating = new Semaphore(VALIDATIONS, true);
    private final Map<String, Long> queued = new HashMap<>();   // tokens by batch, if a queue counts them
    private final Store store;
    private final Settings.Limits limits;
    private final Script script;

    /** What was found: faults, or else how many requests there are and which model they all name (null if several). */
    record Verdict(List<BatchError> faults, int total, String model) {
    }

    Admission(Store store, Settings.Limits limits, Script script) {
        this.store = store;
        this.limits = limits;
        this.script = script;
    }

    /** Reads the input file of a batch, which may take its time, and takes room in the queue if there is no fault. */
    Verdict judge(ObjectNode batch) throws IOException, InterruptedException {
        var fileId = batch.get("input_file_id").textValue();
        var file = store.find("file", fileId);
        if (file.isEmpty() || !Dialects.isBatch(file.get().path("purpose").asText()))
            return new Verdict(List.of(BatchError.invalid("file_id", "Cannot find file " + fileId
                + ", or the organization does not have access to it.")), 0, null);
        validating.acquire();
        try {
            return judge(batch, validated(fileId, batch.get("endpoint").textValue()));
        } finally {
            validating.release();
        }
    }

    private Validation validated(String fileId, String endpoint) throws IOException {
        return Validation.of(store.file(fileId), endpoint, limits, script);
    }

    private Verdict judge(ObjectNode batch, Validation validation) {
        var faults = new ArrayList<BatchError>(validation.faults);
        var windows = limits.dialect().windows();
        if (!windows.contains(batch.get("completion_window").textValue()))
            faults.add(BatchError.invalid("completion_window", "The completion window must be one of "
                + windows + "."));
        if (faults.isEmpty() && !enqueue(batch.get("id").textValue(), validation.tokens))
            faults.add(BatchError.of("token_limit_exceeded", null, script.queue.message(validation.firstModel)));
        return new Verdict(faults, validation.total, validation.model());
    }

    /** Refuses a batch that is about to be created, if a test wants that of one for which the queue has no room. */
    void refuseOverQueue(String batchId, String fileId, String endpoint) throws IOException {
        if (!script.queue.refuses() || store.find("file", fileId).isEmpty()) return;
        var validation = validated(fileId, endpoint);
        if (!enqueue(batchId, validation.tokens))
            throw Refusal.invalid(null, "token_limit_exceeded", script.queue.message(validation.firstModel));
    }

    /** Returns whether the queue has room for a batch, and takes it. */
    private synchronized boolean enqueue(String batchId, long tokens) {
        long before = queued.entrySet().stream().filter(other -> !other.getKey().equals(batchId))
            .mapToLong(Map.Entry::getValue).sum();
        if (before + tokens > script.queue.tokens()) return false;
        queued.put(batchId, tokens);
        return true;
    }

    /** Gives the room of a batch in the queue back. */
    synchronized void leave(String batchId) { queued.remove(batchId); }
}
