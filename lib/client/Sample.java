package sheaf;

import static sheaf.Messages.cannot;
import static sheaf.Messages.count;
import static sheaf.Messages.dollars;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.util.HashMap;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.function.Function;
import sheaf.Tokens.Count;
import sheaf.Vocabulary.BatchException;
import sheaf.Vocabulary.RequestCounts;
import sheaf.Vocabulary.Status;
import sheaf.Vocabulary.Usage;

/**
 * A few rows of a draft, asked now and one by one over the provider's route for single requests. They are kept as a
 * batch of the draft's name, so that a submit takes the answers over and sends only the rest. Each answer is on disk
 * before it is counted, and what has one is not asked again.
 */
final class Sample {
    private static final String STEP = "sample";
    /** Says a gateway that got no answer from whom it asked, which may have answered or do so yet. */
    private static final Set<Integer> MAYBE_PAID = Set.of(502, 504, 520, 524);
    private final Settings settings;                           // of the whole draft
    private final Watch watch;
    private final Connection provider;
    private final Function<Manifest.Address, Connection> connect;
    private long all;                                          // requests of the whole draft
    private final Bill bill = new Bill();
    private Progress progress;                                 // while it asks

    Sample(Settings settings, Watch watch, Function<Manifest.Address, Connection> connect) {
        this.settings = settings;
        this.watch = watch;
        this.connect = connect;
        provider = watch.state().provider();
    }

    /** Asks so many rows; {@link Watch#collect} then has what came. */
    void ask(long few) {
        watch.sending(sending -> {
            progress = sending;
            var sampled = new Requests(settings, provider).sample(few);
            all = sampled.all();
            check();
            var requests = new Requests(sampled.settings(), provider);
            try (var staging = new Staging(provider, requests.endpoint(), Manifest.AT_ONCE)) {
                Preparation.fill(staging, requests, progress, watch::note);
                ask(sampled.settings(), staging);
            } catch (IOException e) {
                throw cannot(STEP, "write to " + Environment.home(), e);
            }
        });
    }

    private void check() {
        if (!settings.isNamed())
            throw new IllegalStateException("sample: the draft has no name under which " + Wording.WITHOUT_SAMPLE
                + " would find the answers; give it one by " + Wording.NAME);
        if (provider.hasOlderPaths())
            throw new IllegalStateException("sample: Azure answers single requests as OpenAI does only below "
                + "/openai/v1; give that base URL");
    }

    private void ask(Settings chosen, Staging staging) throws IOException {
        Preparation.meet(watch);
        staging.complete(settings.distinct);
        var named = Preparation.named(chosen, staging, old -> old.isAt(provider));
        var target = staging.folder(named.batchName());
        if (!Preparation.isBegun(target)) {
            Reuse.takeOver(named, staging, provider, connect, watch::note);
            staging.leaveOutRepeats();
        }
        var budget = settings.budget == null ? null : new Budget(named, provider);
        try (var purse = budget == null ? null : budget.lock(watch::note);
             var lock = FolderLock.on(target, watch::note)) {
            var journal = staging.settle(named, target);
            watch.state().setJournal(journal);
            var unanswered = new SingleCalls(journal).unanswered();
            if (budget != null)
                budget.check(journal.requests().count(), unanswered::contains, journal.requests()::text,
                    Shares.Split.none(provider), false);
            if (unanswered.isEmpty()) watch.note(nothingToAsk(journal.requests().count()));
            else ask(journal, unanswered);
            watch.state().takeParts();
        }
    }

    private static String nothingToAsk(long answers) {
        return "sample: " + count(answers, "answer") + (answers == 1 ? " is" : " are") + " here already; nothing is "
            + "asked";
    }

    private void ask(Journal journal, Set<Long> unanswered) {
        progress.note(announcement(journal, unanswered));
        begin(journal);
        var calls = new SingleCalls(journal);
        var asked = unanswered.stream().sorted()
            .<Callable<Boolean>>map(i -> () -> isAnswered(journal, calls, i)).toList();
        var counts = new long[2];                              // answered, and not
        try {
            Script.hasSent();
            Pieces.inOrder(asked.iterator(), isAnswered -> {
                counts[isAnswered ? 0 : 1]++;
                progress.show("sample of " + journal.name(), new RequestCounts(asked.size(), counts[0], counts[1]));
            });
        } finally {
            end(journal);
        }
        if (counts[1] > 0) progress.note("sample: " + count(counts[1], "request") + " got no answer; run again to ask "
            + "once more, or " + Wording.WITHOUT_SAMPLE + " sends " + (counts[1] == 1 ? "it" : "them"));
        progress.note("sample: " + count(counts[0], "answer") + bill.text(counts[0]));
    }

    /** Says what is asked now, and what that costs at most. */
    private String announcement(Journal journal, Set<Long> unanswered) {
        var counts = Tokens.byModel(journal.requests().count(), unanswered::contains, journal.requests()::text);
        Optional<Double> most = Optional.of(0.0);
        for (var of : counts.entrySet())
            most = most.flatMap(sum -> most(of.getKey(), of.getValue()).map(more -> sum + more));
        var price = most.map(sum -> ", up to " + dollars(sum) + " at the price of single requests").orElse("");
        return "sample: asking " + count(unanswered.size(), "request") + " now, one by one, at " + provider.label()
            + price;
    }

    private Optional<Double> most(String model, Count count) {
        return settings.price(provider.name(), model).filter(price -> count.unlimited() == 0 && count.uncounted() == 0)
            .map(price -> price.of(new Usage(count.input(), count.mostOutput(), 0, 0), false));
    }

    /** No part of it is ever at the provider, so whoever comes before its end finds it ended, with what came. */
    private void begin(Journal journal) {
        AtomicFiles.delete(journal.answersIndex());
        for (int part = 1; part <= journal.partCount(); part++) {
            var file = journal.answerFile(part, "output");
            if (!Files.exists(file)) AtomicFiles.stream(STEP, file, out -> {});
            if (!journal.hasBatch(part)) journal.created(part, batch(journal, part, Status.CANCELLED, 0));
        }
    }

    private static void end(Journal journal) {
        var left = new HashMap<Integer, Long>();               // without an answer, by part
        new SingleCalls(journal).unanswered().forEach(i -> left.merge(journal.requests().part(i), 1L, Long::sum));
        for (int part = 1; part <= journal.partCount(); part++) {
            long missing = left.getOrDefault(part, 0L);
            long answers = journal.manifest().partRequests().get(part - 1) - missing;
            journal.ended(part, batch(journal, part, missing == 0 ? Status.COMPLETED : Status.CANCELLED, answers));
        }
    }

    private static ObjectNode batch(Journal journal, int part, Status status, long answers) {
        var batch = Json.MAPPER.createObjectNode().put("id", "sample-" + journal.folderName() + "-" + part)
            .put("status", status.text()).put("output_file_id", Manifest.AT_ONCE);
        batch.putObject("request_counts").put("total", journal.manifest().partRequests().get(part - 1))
            .put("completed", answers).put("failed", 0);
        return batch;
    }

    /** Asks one; returns whether a line answers it, which is on disk then. */
    private boolean isAnswered(Journal journal, SingleCalls calls, long request) {
        var line = Json.lenient(journal.requests().text(request));
        var said = said(calls, line);
        if (said.isEmpty()) return false;
        var answer = Json.MAPPER.createObjectNode();
        answer.set("custom_id", line.path("custom_id"));
        answer.putObject("response").put("status_code", said.get().status()).set("body", said.get().body());
        synchronized (this) {
            bill.add(line.at("/body/model").asText(), new Body(said.get().body()).usage());
            AtomicFiles.append(journal.answerFile(journal.requests().part(request), "output"), Json.line(answer));
        }
        return true;
    }

    /**
     * Returns the provider's answer or its refusal of this very request; nothing if it is not to be had now. What was
     * sent and never answered may be paid, and is not sent a second time.
     * @throws BatchException if any request would be refused so
     */
    private Optional<Connection.Said> said(SingleCalls calls, JsonNode line) {
        var path = Settings.route(line.path("url").asText());
        var id = line.path("custom_id").asText();
        var pauses = Retry.ofCalls(provider.isLocal());
        for (int attempt = 1; ; attempt++) {
            calls.sending(id);
            try {
                var said = provider.post(STEP, path, Json.bytes(Json.text(line.path("body"))));
                boolean isAnswer = said.status() < 300 && said.body().isObject();
                if (isAnswer || isOfRequest(said.status())) return Optional.of(said);
                throw provider.refusal(STEP, path, said);
            } catch (BatchException e) {
                boolean mayBePaid = e.isGarbled() || MAYBE_PAID.contains(e.status());
                if (!mayBePaid) calls.refused(id);
                if (!Retry.isTransient(e)) throw e;
                if (mayBePaid || attempt > Retry.ATTEMPTS) return lost(id, e);
                pauses.pause(STEP, e);
            } catch (UncheckedIOException e) {
                if (!Retry.isUnsent(e)) return lost(id, e);
                calls.refused(id);
                if (Retry.isUntrusted(e) || attempt > Retry.ATTEMPTS) throw e;
                pauses.pause(STEP, e);
            }
        }
    }

    private Optional<Connection.Said> lost(String id, RuntimeException e) {
        progress.note(e.getMessage() + "; " + id + " has no answer, and may be paid");
        return Optional.empty();
    }

    /** Whether another request may be answered all the same: this one is at fault. */
    private static boolean isOfRequest(int status) { return Set.of(400, 413, 415, 422).contains(status); }

    /** What the answers cost, as far as they say. */
    private final class Bill {
        private double here;                                   // dollars
        private double inBatch;                                // of the same in a batch
        private boolean isKnown = true;

        void add(String model, Usage usage) {
            var price = settings.price(provider.name(), model);
            isKnown &= price.isPresent() && usage.total() > 0;
            if (!isKnown) return;
            here += price.get().of(usage, false);
            inBatch += price.get().of(usage, true);
        }

        /** Says what so many answers have cost, and from that what all requests of the draft would. */
        String text(long answers) {
            if (!isKnown || answers == 0) return "";
            return " for " + dollars(here) + "; all " + count(all, "request") + " would be about "
                + dollars(inBatch / answers * all) + " in a batch";
        }
    }
}
