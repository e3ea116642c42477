package sheaf.model;

import static java.nio.charset.StandardCharsets.UTF_8;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.PrintStream;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import sheaf.Sheaf.Provider;
import sheaf.server.BatchServer;

/**
 * Measures a model on this machine: the worker fed directly, the same through all of Sheaf, and a llama-server where
 * one is on the PATH. It does as Sheaf does, and asks each engine the same; the best of some rounds counts, because
 * whatever else the machine does only ever adds.
 */
public final class LocalBench {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final String SYSTEM = "You read reviews of a shop that sells tea and kitchen ware. Be brief and"
        + " kind, say what the customer liked, say what went wrong, and never promise a refund. Write one sentence of at"
        + " most twenty words for the owner of the shop, without a greeting.";
    private static final List<String> REVIEWS = List.of("The tea arrived late but tasted lovely.",
        "Broken on arrival, and nobody answers.", "Good value, my mother loves it.", "It smells of plastic and leaks.",
        "Works as described, fast delivery.", "Never again, the lid does not close.",
        "The colour is lovely and it keeps warm.", "Two weeks of waiting for the wrong size.");
    public static final Size FULL = new Size(32, 32, 3);
    private static final int CONTEXT = 512;    // tokens in a slot
    private static final int SLOTS = 4;        // as many as Sheaf's own default

    private final Weights weights;
    private final Size size;
    private final PrintStream out;
    private int round;                         // no two of them ask the same: nothing is there already
    private double ownShare = 1;               // of the CPU's time, in the best round; neighbours do not count in it

    public LocalBench(String model, Size size, PrintStream out) {
        this.weights = Weights.of(model);
        this.size = size;
        this.out = out;
    }

    /** How many requests are measured, how many tokens an answer has at most, and how often all is done. */
    public record Size(int requests, int tokens, int rounds) {}

    /** Answers, as so many tokens in so many seconds. */
    private record Speed(long tokens, double seconds) {
        double perSecond() { return tokens / seconds; }

        static Speed better(Speed one, Speed other) { return one.perSecond() > other.perSecond() ? one : other; }
    }

    /** Runs all of it, and prints a line for each work as it is done. */
    public void run() throws Exception {
        var path = Machine.setting("PATH");
        System.setProperty("PATH", "");        // hides a llama-server
        out.printf("%s, %d requests with one system prompt, at most %d tokens each%n",
            weights, size.requests, size.tokens);
        out.printf("%-34s %9s  %-9s %s%n", "engine", "measured", "unit", "compared");
        for (int slots : List.of(1, 2, 8)) print("worker, slots: " + slots, alone(slots), "");
        var worker = alone(SLOTS);
        print("worker, slots: " + SLOTS, worker, "");
        whole();
        path.ifPresent(folders -> System.setProperty("PATH", folders));
        if (Machine.program("llama-server").isEmpty()) {
            out.printf("%-34s %9s  %-9s %s%n", "llama-server", "none", "", "there is none on the PATH");
            return;
        }
        var server = alone(SLOTS);
        print("llama-server, slots: " + SLOTS, server, String.format(Locale.ROOT,
            "the worker reaches %.2f of it", worker.perSecond() / server.perSecond()));
    }

    private void print(String what, Speed speed, String compared) {
        out.printf(Locale.ROOT, "%-34s %9.1f  %-9s %s%n", what, speed.perSecond(), "tokens/s", compared);
    }

    /** Feeds the engine that Sheaf would take, without what Sheaf puts in front of it. */
    private Speed alone(int slots) throws Exception {
        var engine = Engine.find(weights, slots, CONTEXT).start();
        try {
            return best(() -> fed(engine, slots));
        } finally {
            engine.end();
        }
    }

    private Speed best(Callable<Speed> work) throws Exception {
        work.call();                           // each slot has read the system prompt then
        var best = work.call();
        for (int i = 1; i < size.rounds; i++) best = Speed.better(best, work.call());
        return best;
    }

    private Speed fed(EngineProcess engine, int slots) throws Exception {
        round++;
        var threads = Executors.newFixedThreadPool(slots);
        long start = System.nanoTime(), tokens = 0;
        try {
            var answers = threads.invokeAll(IntStream.range(0, size.requests)
                .<Callable<Long>>mapToObj(i -> () -> tokens(engine, body(review(i)))).toList());
            for (var answer : answers) tokens += answer.get();
            return new Speed(tokens, (System.nanoTime() - start) / 1e9);
        } finally {
            threads.shutdown();
        }
    }

    private String review(int number) {
        return "Review " + (round * size.requests + number) + ": " + REVIEWS.get(number % REVIEWS.size())
            + " Sum it up.";
    }

    private byte[] body(String review) {
        var body = JSON.createObjectNode().put("model", "local").put("temperature", 0).put("max_tokens", size.tokens);
        var messages = body.putArray("messages");
        messages.addObject().put("role", "system").put("content", SYSTEM);
        messages.addObject().put("role", "user").put("content", review);
        return body.toString().getBytes(UTF_8);
    }

    private static long tokens(EngineProcess engine, byte[] body) throws IOException {
        var reply = engine.trySend(new Http.Call("POST", Worker.Protocol.CHAT, body))
            .orElseThrow(() -> new IllegalStateException("benchmark: the engine ended (" + engine.lastWords() + ")"));
        if (reply.status() != 200)
            throw new IllegalStateException("benchmark: the engine answered " + new String(reply.body(), UTF_8));
        return JSON.readTree(reply.body()).at("/usage/completion_tokens").asLong();
    }

    /** Has the worker and all of Sheaf before it answer in turn, so that what else goes on here meets both. */
    private void whole() throws Exception {
        var engine = Engine.find(weights, SLOTS, CONTEXT).start();
        var options = LocalModel.options().model(weights.file().toString()).slots(SLOTS).contextSize(CONTEXT);
        try (var model = options.start();
             var server = BatchServer.start(model.baseUrl())) {
            fed(engine, SLOTS);
            asked(server);
            Speed alone = fed(engine, SLOTS), whole = asked(server);
            for (int i = 1; i < size.rounds; i++) {
                alone = Speed.better(alone, fed(engine, SLOTS));
                whole = Speed.better(whole, asked(server));
            }
            double share = Math.max(0, 1 - whole.perSecond() / alone.perSecond());
            print("through all of Sheaf, slots: " + SLOTS, whole, String.format(Locale.ROOT,
                "%.1f %% of the time, %.1f %% of the CPU's, is not the engine's", 100 * share, 100 * ownShare));
        } finally {
            engine.end();
        }
    }

    private Speed asked(BatchServer server) {
        round++;
        var reviews = IntStream.range(0, size.requests).mapToObj(i -> Map.of("text", review(i))).toList();
        double ours = cpu(Stream.of(ProcessHandle.current())), engines = cpu(ProcessHandle.current().children());
        long start = System.nanoTime();
        var results = batch().provider(Provider.of(server.baseUrl())).model("local").system(SYSTEM)
            .prompts("{{text}}", rows(reviews)).temperature(0).maxTokens(size.tokens).quiet()
            .submit().await().results();
        long tokens = results.stream().mapToLong(result -> result.usage().output()).sum();
        double seconds = (System.nanoTime() - start) / 1e9;
        ours = cpu(Stream.of(ProcessHandle.current())) - ours;
        engines = cpu(ProcessHandle.current().children()) - engines;
        ownShare = Math.min(ownShare, ours / (ours + engines));
        for (var result : results.failed())            // one that is cut off was asked for
            if (result.finishReason().isEmpty()) throw new IllegalStateException("benchmark: " + result.error());
        return new Speed(tokens, seconds);
    }

    /** Returns the seconds of a core that these processes have had. */
    private static double cpu(Stream<ProcessHandle> processes) {
        return processes.mapToDouble(one -> one.info().totalCpuDuration().orElse(Duration.ZERO).toNanos() / 1e9).sum();
    }
}
