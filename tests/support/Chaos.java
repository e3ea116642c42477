package sheaf.support;

import static org.junit.jupiter.api.Assertions.assertIterableEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.IntStream;
import sheaf.Sheaf;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Result;
import sheaf.Vocabulary.BatchException;
import sheaf.Vocabulary.Outcome;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Dialect;
import sheaf.server.BatchServer.Fault;
import sheaf.server.BatchServer.Reply;
import sheaf.support.HoldingProxy.Hold;

/**
 * Runs a script against a server on which any call may go wrong, in a way that a seed chooses, and again after every
 * exception, until its results come; then asserts that each row came out once, and that nothing was paid twice. In some
 * worlds creates land later than any plain look, in some the answers come short for longer than one look, and in some
 * of those the script repairs what it knows to have failed meanwhile; in some a second server is asked the same, beside
 * the first or behind its port, and in some clocks are set between two runs.
 */
public final class Chaos {
    private static final int AT_ONCE = 4;
    private static final int LATE_AT_ONCE = 10;          // where even more of the time is pauses
    private static final int LATE = 10;                  // one run in so many has creates that land late
    private static final int SHORT = 4;                  // one run in so many has answers that come short
    private static final int REPAIRED = 2;               // one run in so many of those also asks again for what broke
    private static final int ROUNDS = 2;                 // of a repair
    private static final int STRANGE = 8;                // two runs in so many have a second server
    private static final int JUMPS = 3;                  // one run in so many has clocks that jump
    private static final int WORLDS = 120;               // seeds after which all of these come again
    private static final int MAX_HELD = 3;               // creates of a run
    private static final int MAX_LOST = 3;               // calls for creates that may go wrong where some land late
    private static final String LATEST = "sheaf.late";   // the setting of seconds
    private static final int MAX_PARTS = 8;              // for each model
    private static final int MAX_CUTS = 2;               // of a file between two lines, which one look outlives
    private static final Set<String> UNHEARD = Set.of("lost", "truncated", "shortened");   // done, but not known to be
    private static final List<Dialect> DIALECTS = List.of(Dialect.values());
    private static final String HTML = "<html>\n<body>Bad Gateway</body>\n</html>\n";
    private static final int[] STATUSES = {408, 409, 425, 429, 500, 502, 503, 504};
    private static final int[] HEARD = {0, 502, 504};    // of a create that is held; 0: the connection is closed
    private static final String[] RETRY_AFTER = {"0", "0.02", "Wed, 21 Oct 2015 07:28:00 GMT", "soon"};

    private final long seed;
    private final String name;
    private final Path store;
    private final Random random;
    private final Dialect dialect;
    private final boolean mixed;
    private final List<String> models;
    private final int rows;
    private final int perPart;               // requests
    private final long queue;                // parts that the script has in the provider's queue
    private final boolean repairs;           // whether some requests break at first, once or twice, and are sent again
    private final int latency;               // of the engine, in microseconds
    private final double rate;               // faults for each call
    private final boolean landsLate;         // whether something between script and server holds creates
    private final ShortAnswers shortAnswers;     // null: none
    private final Map<String, Integer> asked = new ConcurrentHashMap<>();    // how often, by model and prompt
    private final boolean isBeside;          // a second server, which is asked the same in each run
    private final boolean isReplaced;        // for a while, a second server behind the port of the first
    private final boolean jumps;             // whether clocks do
    private final Map<String, Integer> worst = new ConcurrentHashMap<>();    // calls of a kind that may go wrong
    private final Map<String, Random> chances = new ConcurrentHashMap<>();   // by kind of call
    private final Map<String, Integer> calls = new HashMap<>();              // the same
    private final Map<String, Integer> faults = new TreeMap<>();             // how many of which
    private final Map<String, Integer> cuts = new HashMap<>();               // between two lines, by request
    private final AtomicInteger lostUploads = new AtomicInteger();
    private final Set<String> settings = new LinkedHashSet<>();
    private final List<String> endings = new ArrayList<>();                  // of the script, but for the last
    private final List<String> story = new ArrayList<>();                    // what went wrong, in order
    private String last;                     // fault
    private boolean hidesFiles;              // so that nobody can look for one

    public Chaos(long seed, Path folder) {
        this.seed = seed;
        this.name = "chaos-" + Long.toHexString(seed);
        this.store = folder.resolve(name);
        this.random = new Random(seed);
        this.dialect = DIALECTS.get(random.nextInt(DIALECTS.size()));
        this.mixed = dialect == Dialect.KLUSTER || random.nextInt(3) == 0;
        this.models = random.nextBoolean() ? List.of("one") : List.of("one", "two");
        this.rows = 1 + random.nextInt(40);
        this.perPart = (rows * models.size() + MAX_PARTS - 1) / MAX_PARTS + random.nextInt(rows);
        this.queue = random.nextBoolean() ? Long.MAX_VALUE : 1 + random.nextInt(3);
        this.landsLate = Math.floorMod(seed, LATE) == 0;
        this.shortAnswers = Math.floorMod(seed, SHORT) == 0 ? new ShortAnswers(store, new Random(seed)) : null;
        this.isReplaced = Math.floorMod(seed, STRANGE) == 3;
        boolean repairs = random.nextInt(4) == 0;
        this.repairs = shortAnswers == null ? repairs && !isReplaced : Math.floorMod(seed, REPAIRED * SHORT) == 0;
        this.isBeside = Math.floorMod(seed, STRANGE) == 1;
        this.jumps = Math.floorMod(seed, JUMPS) == 0;
        this.latency = random.nextInt(4) * 500;
        this.rate = 0.1 + random.nextDouble() * 0.5;
        if (landsLate) settings.add("creates land late");
        if (shortAnswers != null) settings.add("answers come short");
        if (isBeside) settings.add("a second server");
        if (isReplaced) settings.add("another server behind the port");
        if (jumps) settings.add("clocks jump");
    }

    /** Runs so many, or the one of {@code sheaf.seed}, and returns a sentence about what they went through. */
    public static String run(int count, Path folder) throws Exception {
        System.setProperty("SHEAF_HOME", folder.resolve("home").toString());
        var seed = Long.getLong("sheaf.seed");
        var runs = IntStream.range(0, seed == null ? count : 1)
            .mapToObj(i -> new Chaos(seed == null ? seed(i) : seed, folder)).toList();
        int batches = runAll(runs.stream().filter(run -> !run.landsLate).toList(), AT_ONCE, "0.2")
            + runAll(runs.stream().filter(run -> run.landsLate).toList(), LATE_AT_ONCE, "6");
        var faults = new TreeMap<String, Integer>();
        runs.forEach(run -> run.faults.forEach((fault, times) -> faults.merge(fault, times, Integer::sum)));
        return runs.size() + " runs with " + batches + " batches and " + faults.values().stream().mapToInt(n -> n).sum()
            + " faults " + faults + ", after which the script ran again "
            + runs.stream().mapToInt(run -> run.endings.size()).sum() + " times; creates landed late in "
            + runs.stream().filter(run -> run.landsLate).count() + " runs, answers came short in "
            + runs.stream().filter(run -> run.shortAnswers != null).count() + ", with repairs in "
            + runs.stream().filter(run -> run.shortAnswers != null && run.repairs).count()
            + ", a second server was asked in "
            + runs.stream().filter(run -> run.isBeside || run.isReplaced).count() + ", and clocks jumped in "
            + runs.stream().filter(run -> run.jumps).count();
    }

    /** Returns a seed for the run of that number: any few of them that come one after another go through all worlds. */
    private static long seed(int number) {
        long any = ThreadLocalRandom.current().nextLong();
        return any - Math.floorMod(any, WORLDS) + number % WORLDS;
    }

    /**
     * Runs some at once, because most of their time is pauses, and returns the number of batches.
     * @param latest seconds that a script looks for a create that was never answered
     */
    private static int runAll(List<Chaos> runs, int atOnce, String latest) throws Exception {
        var before = System.setProperty(LATEST, latest);
        var threads = Executors.newFixedThreadPool(atOnce);
        try {
            int batches = 0;
            for (var each : runs.stream().map(run -> threads.submit(() -> run.run())).toList()) batches += each.get();
            return batches;
        } finally {
            threads.shutdownNow();
            if (before == null) System.clearProperty(LATEST);
            else System.setProperty(LATEST, before);
        }
    }

    /** Runs the script until it has its results, and returns how many batches that took: as many as it has parts. */
    private int run() throws IOException {
        try {
            runWithFaults();
            if (isBeside || isReplaced) checkStranger();
            return checkServer();
        } catch (RuntimeException | AssertionError e) {
            throw new AssertionError(this + ": " + e, e);
        } finally {
            for (var folder : List.of(store, strangersStore()))
                if (Files.exists(folder)) Project.deleteTree(folder);
        }
    }

    private void runWithFaults() {
        int port = isReplaced ? replaced() : 0;
        try (var server = server(port); var proxy = landsLate ? proxy(server) : null;
             var stranger = isBeside ? stranger(0) : null) {
            check(results(landsLate ? proxy.baseUrl() : server.baseUrl(), stranger));
            if (landsLate) proxy.awaitLanding();
        }
    }

    /** Submits, and then has a stranger answer behind the same port for a while; returns the port. */
    private int replaced() {
        var server = server(0);
        int port = URI.create(server.baseUrl()).getPort();
        try (server) {
            draft(server.baseUrl()).submit();
        } catch (BatchException | UncheckedIOException e) {
            endings.add(e.getMessage());
        }
        try (var stranger = stranger(port)) {
            stranger.answers(draft(stranger.baseUrl()), rows * models.size());
        }
        return port;
    }

    private Path strangersStore() { return store.resolveSibling(name + "-2"); }

    private Stranger stranger(int port) { return new Stranger(options(strangersStore()).port(port)); }

    private HoldingProxy proxy(BatchServer server) {
        var chance = new Random(~seed);
        return new HoldingProxy(server.baseUrl(), () -> hold(chance));
    }

    /** Holds some of the first creates for longer than a plain look lasts, and not as long as they are looked for. */
    private synchronized Hold hold(Random chance) {
        if (faults.getOrDefault("held", 0) == MAX_HELD || chance.nextBoolean()) return null;
        counted("held", null);
        var hold = new Hold(Duration.ofMillis(500 + chance.nextInt(1_000)), HEARD[chance.nextInt(HEARD.length)]);
        story.add("POST /v1/batches held " + hold);
        return hold;
    }

    /** Counts on a server that speaks plainly and makes no faults: not every dialect tells all. */
    private int checkServer() {
        try (var server = BatchServer.options().store(store).start()) {
            var ledger = new Ledger(new RawClient(server::baseUrl));
            if (repairs && shortAnswers != null) ledger.assertEachOnce(paid(), lostUploads.get(), "-r[0-9]+$");
            else if (hidesFiles) ledger.assertEachOnce(paid(), lostUploads.get());
            else ledger.assertEachOnce(paid());
            return ledger.batches();
        }
    }

    private void checkStranger() {
        try (var server = BatchServer.options().store(strangersStore()).start()) {
            new Ledger(new RawClient(server::baseUrl)).assertEachOnce(Ledger.customIds(rows * models.size()));
        }
    }

    /** Returns the ids of all requests: of those that broke, there is one more for each time. */
    private List<String> paid() {
        var ids = new ArrayList<String>(Ledger.customIds(rows * models.size()));
        for (int n = 0; n < rows; n++)
            for (int m = 0; m < models.size(); m++)
                for (int times = breaks(prompt(n), models.get(m)); times > 0; times--)
                    ids.add("request-" + (n * models.size() + m + 1) + "-r" + (times + 1));
        return ids;
    }

    private List<Result> results(String url, Stranger stranger) {
        while (true) {
            if (stranger != null) stranger.answers(draft(stranger.baseUrl()), rows * models.size());
            if (jumps) Clocks.jump(store.resolveSibling("home"), name, random);
            try {
                var results = draft(url).submit().await().results();
                long missing = results.counts().getOrDefault(Outcome.MISSING, 0L);
                if (missing == 0 || shortAnswers == null) return results.stream().toList();
                endings.add(missing + " answers missing");
            } catch (BatchException | UncheckedIOException e) {
                endings.add(e.getMessage());
            }
            int most = 20 + faultCount();
            assertTrue(endings.size() <= most, () -> "no end after " + endings);
        }
    }

    private synchronized int faultCount() { return faults.values().stream().mapToInt(n -> n).sum(); }

    private Draft draft(String url) {
        var draft = Sheaf.batch().provider(provider(url)).name(name).quiet().repair(repairs ? ROUNDS : 0)
            .model(models.get(0), models.subList(1, models.size()).toArray(String[]::new))
            .prompts("row {{n}} says {{word}}", Sheaf.rows(IntStream.range(0, rows).mapToObj(this::row).toList()));
        return dialect == Dialect.VOYAGE ? draft.completionWindow("12h") : draft;
    }

    private Map<String, Object> row(int n) { return Map.of("n", n, "word", "gr\u00fc\u00dfe\u2028" + seed); }

    private String prompt(int n) { return "row " + n + " says gr\u00fc\u00dfe\u2028" + seed; }

    private Provider provider(String url) {
        var manners = dialect == Dialect.TOGETHER ? Provider.TOGETHER.dialect() : Provider.OPENAI.dialect();
        return Provider.of(url).limits(perPart, 1_000_000).queue(queue, Long.MAX_VALUE).dialect(new Sheaf.Dialect(mixed,
            manners.maxTokensField(), manners.uploadPath(), manners.purpose()));
    }

    private void check(List<Result> results) {
        assertIterableEquals(expected(), results.stream()
            .map(result -> result.row("n") + " " + result.model() + " " + (result.ok() ? result.text()
                : result.outcome() + " " + result.error())).toList());
    }

    private List<String> expected() {
        return IntStream.range(0, rows).boxed().flatMap(n -> models.stream()
            .map(model -> n + " " + model + " " + text(model, prompt(n)))).toList();
    }

    private BatchServer.Options options(Path store) {
        var options = BatchServer.options().dialect(dialect).store(store);
        return mixed ? options.mixedModels() : options;
    }

    /** Starts the server, with the same oddities each time. */
    private BatchServer server(int port) {
        var server = options(store).port(port).start();
        var chance = new Random(seed);
        server.answer(this::answer).onEvery(this::fault);
        hidesFiles = dialect == Dialect.KLUSTER;
        maybe(chance, 4, "forgetMetadata", server::forgetMetadata);
        maybe(chance, 4, "ignoreAfter", server::ignoreAfter);
        maybe(chance, 3, "shuffleOutput", server::shuffleOutput);
        maybe(chance, 4, "blankIds", server::blankIds);
        maybe(chance, 3, "queue", () -> {
            if (chance.nextBoolean()) server.failOver(tokens(chance));
            else server.refuseOver(tokens(chance));
        });
        maybe(chance, 10, "showFilesAfter", () -> {
            server.showFilesAfter(Duration.ofMillis(1 + chance.nextInt(200)));
            hidesFiles = true;
        });
        return server;
    }

    private void maybe(Random chance, int oneIn, String name, Runnable setting) {
        if (chance.nextInt(oneIn) > 0) return;
        setting.run();
        settings.add(name);
    }

    /** Returns how many tokens may be queued: those of one part, or of a few. */
    private long tokens(Random chance) {
        return 4L * perPart * (1 + chance.nextInt(3));       // a prompt has four words
    }

    /** Returns what the engine answers; a server that was started anew may take its batches up as a mere echo. */
    private String text(String model, String prompt) { return isReplaced ? prompt : model + ": " + prompt; }

    private Reply answer(JsonNode body) {
        LockSupport.parkNanos(latency * 1_000L);
        var model = body.get("model").asText();
        var prompt = body.at("/messages/0/content").asText();
        return asked.merge(model + prompt, 1, Integer::sum) <= breaks(prompt, model)
            ? Reply.error(503, "overloaded", "come again") : Reply.text(text(model, prompt));
    }

    /** Returns how often a request breaks at the engine when it is first sent. */
    private int breaks(String prompt, String model) {
        int hash = Math.floorMod((model + prompt).hashCode(), 10);
        return repairs && hash <= ROUNDS ? hash : 0;
    }

    /** Decides by the kind of call and how many of it came before, and by no clock: a seed is the same faults again. */
    private synchronized Fault fault(String request) {
        var kind = kind(request);
        var chance = chances.computeIfAbsent(kind, each -> new Random(seed + each.hashCode()));
        var cut = shortAnswers == null ? null : shortAnswers.fault(request);
        if (cut != null) return counted("short", cut);
        int most = worst.computeIfAbsent(kind, each -> 2 + chance.nextInt(25));
        if (landsLate && kind.equals("POST /v1/batches")) most = Math.min(most, MAX_LOST);
        if (calls.merge(kind, 1, Integer::sum) > most || chance.nextDouble() >= rate) return null;
        var fault = fault(request, chance);
        story.add(kind + " #" + calls.get(kind) + " " + last);
        if (kind.startsWith("POST /v1/files") && UNHEARD.contains(last)) lostUploads.incrementAndGet();
        return fault;
    }

    private static String kind(String request) {
        return request.replaceFirst("^(\\w+ /v1/(?:files|batches))/(?!upload$)[^/]+", "$1/*");
    }

    private Fault fault(String request, Random chance) {
        return switch (chance.nextInt(12)) {
            case 0 -> counted("dropped", Fault.dropped());
            case 1, 2 -> counted("lost", Fault.lost());
            case 3 -> counted("late", Fault.late(Duration.ofMillis(chance.nextInt(40))));
            case 4 -> counted("slow", Fault.slow(50_000 + chance.nextInt(500_000)));
            case 5 -> counted("truncated", Fault.truncated(cut(request, chance)));
            case 6 -> counted("shortened", Fault.shortened(cut(request, chance)));
            case 7 -> counted("no JSON", Fault.status(200).body(HTML));
            default -> refusal(chance);
        };
    }

    private Fault refusal(Random chance) {
        int status = STATUSES[chance.nextInt(STATUSES.length)];
        var fault = Fault.status(status);
        if (chance.nextInt(3) == 0) fault = fault.body(chance.nextBoolean() ? HTML : "");
        if (chance.nextBoolean()) fault = fault.retryAfter(RETRY_AFTER[chance.nextInt(RETRY_AFTER.length)]);
        return counted(String.valueOf(status), fault);
    }

    /** Returns where an answer breaks off: anywhere, or between two lines of a file, where nobody sees it at once. */
    private long cut(String request, Random chance) {
        int anywhere = 1 + chance.nextInt(400);
        boolean between = chance.nextBoolean();
        int line = chance.nextInt(10);
        if (!between || !request.endsWith("/content") || cuts.merge(request, 1, Integer::sum) > MAX_CUTS)
            return anywhere;
        long end = ShortAnswers.end(ShortAnswers.content(store, request.split("/")[3]), line);
        return end < 0 ? anywhere : end;
    }

    private Fault counted(String name, Fault fault) {
        faults.merge(name, 1, Integer::sum);
        last = name;
        return fault;
    }

    @Override public String toString() {
        return "seed " + seed + " (" + dialect + (mixed ? " mixed" : "") + ", " + rows + " rows, " + models
            + ", " + perPart + " requests a part, queue " + queue + (repairs ? ", repair" : "") + ", " + settings + ", "
            + story + ", again after " + endings + ")";
    }
}
