///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Measure server, client or local model, or disturb them: scale, slow, kills, chaos, client-kills
//JAVA 17+
//DEPS org.junit.jupiter:junit-jupiter:5.14.4
//SOURCES ServerBench.java
//SOURCES ClientBench.java
//SOURCES LocalBench.java
//SOURCES ScaleBench.java
//SOURCES ScaleClient.java
//SOURCES ScaleServer.java
//SOURCES Timed.java
//SOURCES SlowLine.java
//SOURCES ../tests/support/Chaos.java
//SOURCES ../tests/support/ClientKills.java
//SOURCES ../tests/support/Clocks.java
//SOURCES ../tests/support/HoldingProxy.java
//SOURCES ../tests/support/KilledClient.java
//SOURCES ../tests/support/Kills.java
//SOURCES ../tests/support/Ledger.java
//SOURCES ../tests/support/Project.java
//SOURCES ../tests/support/RawClient.java
//SOURCES ../tests/support/ServerProcess.java
//SOURCES ../tests/support/ShortAnswers.java
//SOURCES ../tests/support/Stranger.java
//SOURCES ../tests/support/Witness.java
//SOURCES ../lib/BatchServer.java
//SOURCES ../lib/LocalModel.java
//SOURCES ../lib/Sheaf.java

package sheaf.bench;

import java.io.ByteArrayOutputStream;
import java.io.FilterOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDate;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ThreadLocalRandom;
import sheaf.model.LocalBench;
import sheaf.support.Chaos;
import sheaf.support.ClientKills;
import sheaf.support.Kills;
import sheaf.support.Project;

/**
 * Runs the benchmark that the first argument names, or those of server and client. Its alias is not bench, because
 * JBang takes a word for the folder of that name before it looks into the catalog.
 * <pre>
 *     ./jbang benchmark                     server and client, into bench/RESULTS.md
 *     ./jbang benchmark server              lines, bytes, clients and memory
 *     ./jbang benchmark client 500000       starts, so many rows expanded, a tenth of them there and back; and Python
 *     ./jbang benchmark local               a model on this machine: tokens/s by slots, and Sheaf's part of the time
 *     ./jbang benchmark scale 10000000 256m  so many rows there and back, on 25 GB of disk, with such a heap
 *     ./jbang benchmark slow 80             so many megabytes up and down at 1 Mbit/s: 11 minutes each way
 *     ./jbang benchmark kills 200           a server killed so many times
 *     ./jbang benchmark chaos 1000          so many scripts against a server on which any call may go wrong
 *     ./jbang benchmark client-kills 200    clients killed so many times
 * </pre>
 */
class RunBench {
    private static final String USAGE = """
        Usage: benchmark [all|server|client ROWS|local MODEL|scale ROWS HEAP PART|slow MB|kills N|chaos N|
            client-kills N]
        server measures lines, bytes, clients and memory; client does the same work in Sheaf and in Python; local has a
        model on this machine answer, beside a llama-server if one is on the PATH; scale takes ten million rows there
        and back, in parts of 25,000 behind a short queue, on 25 GB of disk; slow uses a line of 1 Mbit/s; the others
        kill and disturb server and client so many times, and count what was lost or paid twice. Without an argument,
        or with all, server and client are measured, and bench/RESULTS.md is written anew.
        """;

    /** How many words what takes more than its own has at most. */
    private static final Map<String, Integer> MOST_WORDS = Map.of("client", 2, "local", 2, "scale", 4, "slow", 2,
        "kills", 2, "chaos", 2, "client-kills", 2);

    public static void main(String... args) throws Exception {
        if (List.of(args).contains("--help") || List.of(args).contains("-h")) {
            System.out.print(USAGE);
            return;
        }
        var words = args.length == 0 ? List.of("all") : List.of(args);
        var folder = Files.createTempDirectory("sheaf-bench");
        // else each answer of the JDK's server waits 40 ms for the client to acknowledge its headers
        System.setProperty("sun.net.httpserver.nodelay", "true");
        System.setProperty("SHEAF_HOME", folder.resolve("home").toString());
        int status = 0;
        try {
            run(words, folder);
        } catch (Unusable e) {
            System.err.println("benchmark: " + e.getMessage());
            status = e.status;
        }
        Project.deleteTree(folder);
        System.exit(status);   // whatever threads the clients left behind
    }

    /** What was asked for cannot be measured. */
    private static final class Unusable extends RuntimeException {
        private final int status;

        Unusable(int status, String message) {
            super(message);
            this.status = status;
        }

        static Unusable words(String message) { return new Unusable(2, message + "; try 'benchmark --help'"); }
    }

    private static void run(List<String> words, Path folder) throws Exception {
        if (words.size() > MOST_WORDS.getOrDefault(words.get(0), 1))
            throw Unusable.words("\"" + words.get(words.size() - 1) + "\" is one word too many");
        switch (words.get(0)) {
            case "all" -> all(folder);
            case "server" -> new ServerBench(folder, ServerBench.FULL).run(System.out);
            case "client" -> client(folder, count(words, 1, ClientBench.FULL.expanded()));
            case "local" -> local(words.size() < 2 ? "SmolLM2-135M-Instruct" : words.get(1));
            case "scale" -> scale(folder, words);
            case "kills" -> kills(folder, count(words, 1, 200));
            case "chaos" -> System.out.println(Chaos.run(count(words, 1, 1_000), folder));
            case "client-kills" -> System.out.println(ClientKills.run(count(words, 1, 200), folder));
            case "slow" -> new SlowLine(folder, count(words, 1, 80), SlowLine.MEGABIT).run(System.out);
            default -> throw Unusable.words("none is called \"" + words.get(0)
                + "\"; there are all, server, client, local, scale, slow, kills, chaos, client-kills");
        }
    }

    /** Measures what can be compared, and keeps it with what it was measured on. */
    private static void all(Path folder) throws Exception {
        var table = new ByteArrayOutputStream();
        var out = new PrintStream(new TeeOutputStream(table), true, StandardCharsets.UTF_8);
        new ClientBench(folder, ClientBench.FULL, out).run();
        out.println();
        new ServerBench(folder, ServerBench.FULL).run(out);
        Files.writeString(Project.root().resolve("bench/RESULTS.md"), "# What the benchmark measured\n\n"
            + "`./jbang benchmark` wrote this on " + LocalDate.now() + ": " + System.getProperty("os.name") + " "
            + System.getProperty("os.arch") + ", " + Runtime.getRuntime().availableProcessors() + " processors, JDK "
            + System.getProperty("java.version") + ". Only ratios say something of another machine.\n\n```text\n"
            + table.toString(StandardCharsets.UTF_8) + "```\n");
    }

    /** What is printed is kept too. */
    private static final class TeeOutputStream extends FilterOutputStream {
        private final OutputStream copy;

        TeeOutputStream(OutputStream copy) {
            super(System.out);
            this.copy = copy;
        }

        @Override public void write(int b) throws IOException {
            out.write(b);
            copy.write(b);
        }
    }

    private static void client(Path folder, int rows) throws Exception {
        new ClientBench(folder, new ClientBench.Size(rows, rows / 10, ClientBench.FULL.times()), System.out).run();
    }

    private static void local(String model) throws Exception {
        try {
            new LocalBench(model, LocalBench.FULL, System.out).run();
        } catch (IllegalArgumentException | IllegalStateException | UncheckedIOException noWeightsOrEngine) {
            throw new Unusable(1, noWeightsOrEngine.getMessage().replaceFirst("^start: ", ""));
        }
    }

    private static void scale(Path folder, List<String> words) throws Exception {
        var full = ScaleBench.FULL;
        var size = new ScaleBench.Size(count(words, 1, full.rows()), words.size() < 3 ? full.heap() : words.get(2),
            count(words, 3, full.part()));
        try {
            new ScaleBench(folder, size, System.out).run();
        } catch (IllegalStateException noRoom) {
            throw new Unusable(1, noRoom.getMessage());
        }
    }

    private static void kills(Path folder, int times) throws Exception {
        System.out.println(new Kills(ThreadLocalRandom.current().nextLong(), folder.resolve("store")).run(times));
    }

    private static int count(List<String> words, int place, int otherwise) {
        if (words.size() <= place) return otherwise;
        if (words.get(place).matches("[1-9][0-9]{0,8}")) return Integer.parseInt(words.get(place));
        throw Unusable.words("\"" + words.get(place) + "\" is no number, such as "
            + String.join(" ", words.subList(0, place)) + " " + otherwise);
    }
}
