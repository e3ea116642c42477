package sheaf.support;

import static java.util.concurrent.TimeUnit.MICROSECONDS;
import static java.util.concurrent.TimeUnit.MILLISECONDS;
import static java.util.concurrent.TimeUnit.SECONDS;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Fault;
import sheaf.server.BatchServer.Reply;
import sheaf.support.HoldingProxy.Hold;

/**
 * Runs a script in a JVM of its own and kills that, at moments of its whole life that a seed chooses, and again and
 * again over the same batch; then lets it end, and asserts that no row was lost and nothing was paid twice. In some
 * worlds a create is held for longer than the script is dead, in some the answers come short for longer than one look,
 * in some another server stands behind the port for a while, and in some clocks are set between two lives.
 */
public final class ClientKills {
    private static final Duration END = Duration.ofMinutes(1);
    private static final int LARGE = 1_000_000;                // bytes of a prompt: no socket swallows a part at once
    private static final int AT_ONCE = 2;                      // batches
    private static final int MOMENTS = 8;                      // of a batch
    private static final int WORLDS = 4;                       // late creates, short answers, another server, none
    private static final int MOST_LIVES = 12;                  // in a row that end well, but lack answers
    private static final Map<String, Phase> STEPS = Map.of("row", Phase.STAGING, "submitted", Phase.WAITING,
        "ended", Phase.DOWNLOADING, "result", Phase.RESULTS, "written", Phase.RESULTS);
    private static final String REPAIRED = "-r2";
    private static final String CREATE = "POST /v1/batches";
    private static final AtomicLong START = new AtomicLong(300);   // milliseconds until the first row, as last seen

    /** Where a script is, as its last words or its last HTTP request tell. */
    public enum Phase { BEFORE_SUBMIT, STAGING, UPLOADING, CREATING, WAITING, DOWNLOADING, RESULTS }

    private final long seed;
    private final Random random;
    private final Path folder;
    private final int bytes;
    private final int latency;                                 // of an answer, in milliseconds
    private final int queue;                                   // parts that the script has in the provider's queue
    private final boolean landsLate;                           // whether something before the server holds creates
    private final ShortAnswers shortAnswers;                   // null: none
    private final boolean repairs;                             // whether some rows break when they are first asked
    private final Set<String> broken = ConcurrentHashMap.newKeySet();     // their prompts
    private final boolean isReplaced;                          // by another server, for a while
    private final boolean jumps;                               // whether clocks do
    private final List<String> story = new ArrayList<>();      // the kills
    private final Map<Phase, Integer> kills = new EnumMap<>(Phase.class);
    private BatchServer server;
    private HoldingProxy proxy;                                // null: nothing is between
    private boolean wasReplaced;
    private volatile Life life;

    public ClientKills(long seed, Path folder) {
        this.seed = seed;
        this.random = new Random(seed);
        this.folder = folder.resolve("kills-" + Long.toHexString(seed));
        this.bytes = random.nextBoolean() ? LARGE : 0;
        this.latency = random.nextInt(20);
        this.queue = random.nextBoolean() ? KilledClient.PARTS : 2;
        this.landsLate = Math.floorMod(seed, WORLDS) == 0;
        this.shortAnswers = Math.floorMod(seed, WORLDS) == 1 ? new ShortAnswers(store(), new Random(seed)) : null;
        this.repairs = Math.floorMod(seed, 2) == 1;
        this.isReplaced = Math.floorMod(seed, WORLDS) == 2;
        this.jumps = Math.floorMod(seed, 2 * WORLDS) < WORLDS;
    }

    /** Returns a seed for the batch of that number: any few that come one after another go through all worlds. */
    private static long seed(int number) {
        long any = ThreadLocalRandom.current().nextLong();
        return any - Math.floorMod(any, 2 * WORLDS) + number % (2 * WORLDS);
    }

    private Path store() { return folder.resolve("store"); }

    /**
     * Kills at least so many clients, or those of the one batch of {@code sheaf.seed}, and returns a sentence about
     * where they were.
     */
    public static String run(int count, Path folder) throws Exception {
        var seed = Long.getLong("sheaf.seed");
        if (seed != null) return described(new ClientKills(seed, folder).run(), 1);
        var kills = new EnumMap<Phase, Integer>(Phase.class);
        int batches = 0;
        for (int more; (more = (count - sum(kills) + MOMENTS - 1) / MOMENTS) > 0; batches += more)
            killAtOnce(batches, more, folder)
                .forEach(each -> each.forEach((phase, n) -> kills.merge(phase, n, Integer::sum)));
        if (batches > 2)               // with fewer, a kill that comes late may leave one out
            assertEquals(Set.of(Phase.values()), kills.keySet(), "phases in which a client was killed");
        return described(kills, batches) + "; creates landed late in " + (batches + WORLDS - 1) / WORLDS
            + " batches, answers came short in " + (batches + WORLDS - 2) / WORLDS
            + ", another server stood behind the port in " + (batches + WORLDS - 3) / WORLDS
            + ", and some were repaired in " + batches / 2;
    }

    private static List<Map<Phase, Integer>> killAtOnce(int first, int batches, Path folder) throws Exception {
        var threads = Executors.newFixedThreadPool(AT_ONCE);
        var running = new ArrayList<Future<Map<Phase, Integer>>>();
        for (int i = 0; i < batches; i++) {
            var each = new ClientKills(seed(first + i), folder);
            running.add(threads.submit(() -> each.run()));
        }
        threads.shutdown();
        var kills = new ArrayList<Map<Phase, Integer>>();
        for (var each : running) kills.add(each.get());
        return kills;
    }

    private static String described(Map<Phase, Integer> kills, int batches) {
        return sum(kills) + " kills of clients over " + batches + " batches: " + Stream.of(Phase.values())
            .map(phase -> kills.getOrDefault(phase, 0) + " " + phase.name().toLowerCase(Locale.ROOT).replace('_', ' '))
            .collect(Collectors.joining(", "));
    }

    private static int sum(Map<Phase, Integer> kills) { return kills.values().stream().mapToInt(n -> n).sum(); }

    /** Kills the script in each of its phases over one batch, lets it end, and returns where it was at the kills. */
    public Map<Phase, Integer> run() throws Exception {
        Files.createDirectories(folder);
        server = server(0);
        if (landsLate) proxy = new HoldingProxy(server.baseUrl(), () -> life.hold());
        try {
            boolean goesOn = true;
            for (var moment : moments()) goesOn = goesOn && live(moment);
            if (goesOn) live(null);
            check();
            return kills;
        } catch (Exception | AssertionError e) {
            throw new AssertionError("seed " + seed + " (" + bytes + " bytes, " + queue + " in the queue"
                + (landsLate ? ", creates land late" : "") + (shortAnswers != null ? ", answers come short" : "")
                + (isReplaced ? ", another server for a while" : "") + (jumps ? ", clocks jump" : "")
                + (repairs ? ", repair" : "") + ", " + story + "): " + e.getMessage(), e);
        } finally {
            life.kill();
            if (landsLate) proxy.close();
            server.close();
            Project.deleteTree(folder);
        }
    }

    private BatchServer server(int port) {
        return BatchServer.options().store(store()).port(port).start()
            .answer(body -> late(body.at("/messages/0/content").asText())).onEvery(this::fault);
    }

    /** A create that may be held goes wrong where that is done, and the list of batches tells what came of it. */
    private Fault fault(String request) {
        var fault = landsLate && request.endsWith("/v1/batches") ? null : life.ask(request);
        return fault == null && shortAnswers != null ? shortAnswers.fault(request) : fault;
    }

    private Reply late(String text) {
        LockSupport.parkNanos(latency * 1_000_000L);
        return breaks(text) && broken.add(text) ? Reply.error(503, "overloaded", "come again") : Reply.text(text);
    }

    private boolean breaks(String text) { return repairs && text.startsWith("row 1"); }

    /** When a script is killed: at the nth event of a phase, or at a time if there is no phase. */
    private record Moment(Phase phase, int nth, long seed) {}

    /** Returns one moment of each phase in an order that a script can reach, and one at any time. */
    private List<Moment> moments() {
        int uploads = bytes > 0 ? KilledClient.LARGE_PART : 1 + random.nextInt(KilledClient.PARTS - 1);
        var moments = new ArrayList<Moment>(List.of(moment(Phase.UPLOADING, uploads),
            moment(Phase.CREATING, 1 + random.nextInt(KilledClient.PARTS + 1 - uploads)),
            moment(Phase.WAITING, 1 + random.nextInt(KilledClient.PARTS))));
        if (repairs) moments.addAll(List.of(moment(Phase.UPLOADING, 1), moment(Phase.CREATING, 1 + random.nextInt(3))));
        moments.addAll(List.of(moment(Phase.DOWNLOADING, 1 + random.nextInt(KilledClient.PARTS)),
            moment(Phase.RESULTS, 1 + random.nextInt(KilledClient.ROWS))));
        moments.add(random.nextInt(moments.size()), moment(Phase.BEFORE_SUBMIT, 0));
        moments.add(random.nextInt(moments.size()), moment(Phase.STAGING, 1 + random.nextInt(KilledClient.ROWS)));
        moments.add(random.nextInt(moments.size()), moment(null, 0));
        return moments;
    }

    private Moment moment(Phase phase, int nth) { return new Moment(phase, nth, random.nextLong()); }

    /** Runs the script until the moment, or to its end with all answers; returns whether it has to run again. */
    private boolean live(Moment moment) throws Exception {
        if (isReplaced && kills.size() == 1 && !wasReplaced) replace();
        if (jumps) Clocks.jump(home(), "killed", random);
        for (int lives = 1; lives <= MOST_LIVES; lives++) {
            life = new Life(moment);
            if (!life.hasEndedBy(END)) throw new AssertionError("no end of " + this);
            if (life.isKilled()) {
                kills.merge(life.phase, 1, Integer::sum);
                story.add(life.toString());
                return true;
            }
            int status = life.process.exitValue();
            if (status == 0) return false;
            if (shortAnswers == null || status != KilledClient.INCOMPLETE)
                throw new AssertionError("the script failed: " + said());
        }
        throw new AssertionError("answers are missing after " + MOST_LIVES + " runs");
    }

    /** Has the script run to its end with another server behind the port, whose answers it gets. */
    private void replace() throws Exception {
        wasReplaced = true;
        int port = URI.create(server.baseUrl()).getPort();
        server.close();
        var store = folder.resolve("strangers-store");
        try (var stranger = new Stranger(BatchServer.options().store(store).port(port))) {
            life = new Life(null);
            if (!life.hasEndedBy(END)) throw new AssertionError("no end of " + life);
            assertEquals(0, life.process.exitValue(), () -> "the script with a stranger: " + said());
            Stranger.assertAnswers(Files.readAllLines(output()).stream(), KilledClient.ROWS);
            stranger.assertEachOnce(KilledClient.ROWS);
        }
        Files.delete(output());
        server = server(port);
    }

    private Path home() { return folder.resolve("home"); }

    private Path output() { return folder.resolve("results"); }

    private Path errors() { return folder.resolve("stderr"); }

    private String said() {
        try {
            return Files.readString(errors());
        } catch (IOException e) {
            return e.toString();
        }
    }

    /** One process of the script, from its start to its end, or to the moment at which it is killed. */
    private final class Life {
        private final Moment moment;               // null if it is let live
        private final Random chance;
        private final Process process;
        private final long started = System.nanoTime();
        private volatile Phase phase = Phase.BEFORE_SUBMIT;
        private volatile String last = "";         // event
        private String how = "";
        private volatile boolean killed;
        private int events;                        // of the moment's phase

        private Life(Moment moment) throws IOException {
            this.moment = moment;
            this.chance = new Random(moment == null ? 0 : moment.seed);
            this.process = start();
            if (moment != null && moment.phase == Phase.BEFORE_SUBMIT)
                killAfter("time", chance.nextDouble() * START.get());
            if (moment != null && moment.phase == null) killAfter("time", chance.nextDouble() * 4 * START.get());
            var listener = new Thread(this::listen, "client-listener");
            listener.setDaemon(true);
            listener.start();
        }

        private Process start() throws IOException {
            var builder = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Xmx128m", "-Dsheaf.late=" + (landsLate ? 6 : 1),
                "-cp", System.getProperty("java.class.path"), "sheaf.support.KilledClient",
                landsLate ? proxy.baseUrl() : server.baseUrl(), output().toString(), "" + bytes, "" + queue,
                repairs ? "1" : "0");
            builder.environment().keySet().removeIf(name -> name.matches("(OPENAI|SHEAF)_.*|.*_API_KEY"));
            builder.environment().put("SHEAF_HOME", home().toString());
            return builder.redirectError(errors().toFile()).start();
        }

        private void listen() {
            try (var words = process.inputReader()) {
                for (String line; (line = words.readLine()) != null; )
                    if (isTheMoment(STEPS.get(line.split(" ")[0]), line))
                        killAfter("at", chance.nextInt(3) * chance.nextDouble());
            } catch (IOException killed) {
                // and so it says no more
            }
        }

        /** Takes what the script has just come to, and returns whether this is the moment to kill it. */
        private synchronized boolean isTheMoment(Phase now, String event) {
            if (phase == Phase.BEFORE_SUBMIT) START.set((System.nanoTime() - started) / 1_000_000);
            phase = now;
            last = event;
            return moment != null && now == moment.phase && ++events == moment.nth;
        }

        /** Takes an HTTP request of the script before it is served, and returns how it goes wrong, if it does. */
        private Fault ask(String request) {
            return process.isAlive() && isTheMoment(phase(request), request) ? strike() : null;
        }

        /** Takes a create on its way to the server; one that is the moment is held while the script is killed. */
        private synchronized Hold hold() {
            boolean isIt = process.isAlive() && isTheMoment(Phase.CREATING, CREATE);
            if (!isIt && chance.nextInt(4) > 0) return null;
            var time = Duration.ofMillis(isIt ? 1_000 + chance.nextInt(2_000) : 500 + chance.nextInt(500));
            if (isIt) killAfter("held for " + time.toMillis() + " ms:", 60 * chance.nextDouble());
            return new Hold(time, isIt ? Hold.WAITS : 504);
        }

        private static Phase phase(String request) {
            boolean batches = request.contains("/v1/batches");
            boolean one = request.matches("GET .*/(files|batches)/.*");
            if (batches) return one ? Phase.WAITING : Phase.CREATING;
            return one ? Phase.DOWNLOADING : Phase.UPLOADING;
        }

        private Fault strike() {
            switch (chance.nextInt(5)) {
                case 0 -> kill("sent, and never arrived:");
                case 1 -> kill("sent, and served to nobody:");
                case 2 -> killAfter("served, but not answered:", 60 * chance.nextDouble());
                case 3 -> killAfter("served, and cut off:", 10 * chance.nextDouble());
                default -> killAfter("answered:", 20 * chance.nextDouble());
            }
            if (how.startsWith("sent, and never")) return Fault.dropped();
            if (how.startsWith("served, but")) return Fault.late(Duration.ofSeconds(1));
            return how.startsWith("served, and cut") ? Fault.lost() : null;
        }

        private void killAfter(String how, double millis) {
            this.how = how;
            CompletableFuture.delayedExecutor((long) (millis * 1_000), MICROSECONDS)
                .execute(this::kill);
        }

        private void kill(String how) {
            this.how = how;
            kill();
        }

        /** Ends the script with SIGKILL, and returns when it is gone. */
        private void kill() {
            try {
                killed = process.isAlive();
                process.destroyForcibly().waitFor(END.toMillis(), MILLISECONDS);
            } catch (InterruptedException e) {
                throw new AssertionError(e);
            }
        }

        private boolean hasEndedBy(Duration limit) throws InterruptedException {
            return process.waitFor(limit.toSeconds(), SECONDS);
        }

        private boolean isKilled() { return killed && process.exitValue() != 0; }

        @Override public String toString() {
            return (moment.phase == null ? "any time" : moment.phase + " " + moment.nth) + " -> " + phase + " " + how
                + " " + last;
        }
    }

    private void check() throws IOException {
        if (landsLate) proxy.awaitLanding();
        server.onEvery(request -> null);
        assertEquals(IntStream.rangeClosed(1, KilledClient.ROWS)
            .mapToObj(n -> KilledClient.line(n, KilledClient.text(n, bytes))).collect(Collectors.joining()),
            Files.readString(output()));
        var ledger = new Ledger(new RawClient(server::baseUrl));
        var ids = new ArrayList<>(Ledger.customIds(KilledClient.ROWS));
        IntStream.rangeClosed(1, KilledClient.ROWS).filter(n -> breaks(KilledClient.text(n, 0)))
            .forEach(n -> ids.add("request-" + n + REPAIRED));
        if (repairs && shortAnswers != null) ledger.assertEachOnce(ids, 0, REPAIRED + "$");
        else ledger.assertEachOnce(ids);
        if (!repairs) assertEquals(KilledClient.PARTS, ledger.batches());
    }
}
