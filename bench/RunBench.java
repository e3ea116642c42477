///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Measure the server against this machine: server, kills; and the client over a slow line: slow
//JAVA 17+
//DEPS org.junit.jupiter:junit-jupiter:5.14.4
//SOURCES ServerBench.java
//SOURCES SlowLine.java
//SOURCES ../tests/Kills.java
//SOURCES ../tests/RawClient.java
//SOURCES ../tests/ServerProcess.java
//SOURCES ../lib/BatchServer.java
//SOURCES ../lib/Sheaf.java

package sheaf;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;

/**
 * Runs the benchmark that the first argument names, or that of the server. Its alias is not bench, because JBang takes
 * a word for the folder of that name before it looks into the catalog.
 * <pre>
 *     ./jbang benchmark server       lines, bytes, clients and memory
 *     ./jbang benchmark kills 200    a server killed so many times
 *     ./jbang benchmark slow 80      so many megabytes up and down at 1 Mbit/s: 11 minutes each way
 * </pre>
 */
class RunBench {

    public static void main(String... args) throws Exception {
        List<String> words = args.length == 0 ? List.of("server") : List.of(args);
        Path folder = Files.createTempDirectory("sheaf-bench");
        switch (words.get(0)) {
            case "server" -> new ServerBench(folder, ServerBench.FULL).run(System.out);
            case "kills" -> System.out.println(new Kills(ThreadLocalRandom.current().nextLong(),
                folder.resolve("store")).run(words.size() < 2 ? 200 : Integer.parseInt(words.get(1))));
            case "slow" -> new SlowLine(folder, words.size() < 2 ? 80 : Integer.parseInt(words.get(1)),
                SlowLine.MEGABIT).run(System.out);
            default -> {
                System.err.println("benchmark: none is called " + words.get(0) + "; there are: server, kills, slow");
                System.exit(2);
            }
        }
        ServerBench.deleteTree(folder);
        System.exit(0);        // whatever threads the clients left behind
    }
}
