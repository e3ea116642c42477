package sheaf;

import java.nio.file.Path;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import sheaf.Vocabulary.BatchException;

/**
 * Sends again what surely failed in a batch and may end better, each request up to so many times, and what is missing
 * once, if that is wanted. Who was asked first is asked again; what others have in his place is theirs. What earlier
 * runs or other processes have sent again counts: it is gone on with, waited for, and not sent anew.
 */
final class Repair {
    private final Watch watch;                                 // of the batch
    private final int rounds;
    private final boolean resendsMissing;                      // also what may be answered
    private final boolean takesRetries;                        // else nothing that was sent again counts
    private final Deadline deadline;
    private final Function<Manifest.Address, Connection> connect;
    private final Function<Settings, Watch> submit;
    private final Map<String, Exchanges> retries = new LinkedHashMap<>();      // that are over, by folder
    private Exchanges failed;                                  // with what those brought

    /**
     * Repairs a batch that has ended.
     * @param connect finds the provider of a retry, which may be another one
     * @param submit submits a draft of these settings
     */
    Repair(Watch watch, Settings settings, Deadline deadline,
           Function<Manifest.Address, Connection> connect, Function<Settings, Watch> submit) {
        this.watch = watch;
        this.rounds = settings.repairs;
        this.resendsMissing = settings.resendsMissing;
        this.takesRetries = settings.takesRetries || settings.asksOthers();     // else those would be paid beside them
        this.deadline = deadline;
        this.connect = connect;
        this.submit = submit;
    }

    /** Returns these with what came of all that was sent again. */
    Exchanges of(Exchanges first) {
        if (!takesRetries) return first;
        failed = first.failed().filtered(exchange -> !exchange.isElsewhere(), "here");
        if (rounds == 0 && !resendsMissing) kept(first, Journal.readable()).forEach(this::take);
        try {
            for (int round = 1; round <= rounds; )
                if (isDone(round, first)) round++;
            for (boolean isOver = !resendsMissing; !isOver; ) isOver = isMissingResent(first);
        } catch (Budget.Exceeded e) {
            watch.note("repair: " + e.getMessage());
        } catch (BatchException e) {
            if (e.batchId().isEmpty() && !e.isFinal()) throw e;
            watch.note("repair: " + e.getMessage());       // what was answered before is not lost for it
        }
        long unsure = failed.stream().filter(Exchange::mayBeAnswered).count();
        if (unsure > 0 && rounds > 0 && !resendsMissing)
            watch.note("repair: " + Messages.count(unsure, "request") + " left out, for not all answers have come and "
                + "what may be answered is not paid again; run again, or pay for it anew by " + Wording.RESEND_MISSING);
        return retries.values().stream().reduce(first, Exchanges::mergeSame);
    }

    /** Sends what was sent again in all rounds before and in no later one; not if others sent of it meanwhile. */
    private boolean isDone(int round, Exchanges first) {
        kept(first, Journal.all()).forEach(this::goOn);
        var due = failed.filtered(exchange -> !exchange.mayBeAnswered() && exchange.retries() == round - 1, "due");
        var repairable = due.filtered(Exchange::isRepairable, "repair");
        return isSent(first, repairable, due, "repair " + round + " of " + rounds);
    }

    /** Sends what is missing and was missing only once; not if others sent of it meanwhile. */
    private boolean isMissingResent(Exchanges first) {
        kept(first, Journal.all()).forEach(this::goOn);
        var missing = failed.filtered(Exchange::isMissingOnce, "missing");
        return isSent(first, missing, missing, "retry");
    }

    private boolean isSent(Exchanges first, Exchanges chosen, Exchanges due, String word) {
        if (chosen.size() == 0) return true;
        var sent = sent(first, chosen.resend(due, word, true));
        if (sent != null) collect(sent);
        return sent != null;
    }

    /** Returns what was sent, or null if what is known of the retries was not all. One process at a time decides. */
    private Watch sent(Exchanges first, Settings resend) {
        try (var lock = FolderLock.on(lock(first.answers().manifest()), watch::note)) {
            boolean isAllKnown = kept(first, Journal.all()).stream().map(Journal::folderName)
                .allMatch(retries::containsKey);
            return isAllKnown ? submit.apply(resend) : null;
        }
    }

    /** Returns what only one process at a time holds, which looks for what was sent again, and sends. */
    static Path lock(Manifest batch) {
        return Journal.folder().resolve("retries-of-" + Json.Digest.shortened(batch.origin()));
    }

    /** Returns those of some batches that sent some of these again, oldest first. */
    private static List<Journal> kept(Exchanges first, Stream<Journal> all) {
        return all.filter(later -> later.isRetryOf(first.answers().journal())
            && later.manifest().isInstead() == first.answers().manifest().isInstead() && isOfSome(first, later))
            .sorted(Comparator.comparing(Journal::submittedAt)).toList();
    }

    /** One with another model, say, is no repair. */
    private static boolean isOfSome(Exchanges first, Journal later) {
        var requests = later.requests();
        var sent = new HashMap<String, Long>();
        LongStream.range(0, requests.count()).forEach(i -> sent.put(requests.firstId(i), i));
        return first.stream().filter(exchange -> sent.containsKey(exchange.firstId()))
            .anyMatch(exchange -> exchange.isRepeatedBy(requests, sent.get(exchange.firstId())));
    }

    /** Takes what was sent again before, and sends nothing. */
    private void take(Journal retry) {
        if (retry.hasRun() && !retry.isWaiting()) collect(watch(retry));
    }

    /** A process may have been killed while it submitted the retry, or have waited for room. */
    private void goOn(Journal retry) {
        if (retries.containsKey(retry.folderName())) return;
        var going = watch(retry);
        going.submitKept();
        collect(going);
    }

    private Watch watch(Journal retry) {
        var provider = watch.state().provider();
        return watch.other(retry, retry.isAt(provider) ? provider : connect.apply(retry.manifest().provider()));
    }

    private void collect(Watch retry) {
        retry.await(deadline.left(), true);
        var exchanges = retry.collect();
        retries.put(retry.state().journal().folderName(), exchanges);
        failed = failed.mergeSame(exchanges).failed();
    }
}
