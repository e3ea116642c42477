package sheaf;

import static java.util.concurrent.TimeUnit.MINUTES;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ThreadLocalRandom;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Result;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Reply;

/** A script that samples, whose process is killed while calls are under way. */
@Tag("apart")
class SampleKillTest {
    private static final int ROWS = 40;
    private static final int SAMPLED = 20;
    private static final int KILLS = 3;
    private static final int SLOW = 60;                        // milliseconds of an answer
    @TempDir Path home;
    final Map<String, Integer> asked = new ConcurrentHashMap<>();

    /** What is killed. */
    static final class Script {
        private Script() {}

        /** Samples at the server of this URL; with one more word it submits, and prints the answers. */
        public static void main(String... args) {
            if (args.length == 1) draft(args[0]).sample(SAMPLED);
            else draft(args[0]).submit().results().stream().map(Result::text).forEach(System.out::println);
        }

        static Draft draft(String url) {
            return Sheaf.batch().provider(url).model("m").name("letters").quiet().price(0, 1_000_000).maxTokens(5)
                .prompts("{{value}}", Sheaf.rows(IntStream.rangeClosed(1, ROWS).boxed().toList()));
        }
    }

    @Timeout(value = 3, unit = MINUTES)
    @Test void killedAtAnyMomentItAsksAgainOnlyWhatWasUnderWay() throws Exception {
        try (var server = BatchServer.start().answer(this::slowly)) {
            var kept = new ArrayList<Set<String>>();           // rows, by life
            for (int life = 1; life <= KILLS; life++) {
                killAfterSomeCalls(server);
                kept.add(answered());
            }

            assertEquals(0, run(server).waitFor());

            var said = script(server, "submit").start().inputReader().lines().toList();
            assertEquals(IntStream.rangeClosed(1, ROWS).mapToObj(i -> "re " + i).toList(), said);
            assertEquals(ROWS, asked.size());
            for (var row : asked.entrySet())
                assertTrue(row.getValue() <= 1 + kept.stream().filter(rows -> !rows.contains(row.getKey())).count(),
                    row + " times, kept in each life were " + kept);
        }
    }

    private Reply slowly(JsonNode body) {
        var row = body.at("/messages/0/content").asText();
        asked.merge(row, 1, Integer::sum);
        try {
            Thread.sleep(SLOW);
        } catch (InterruptedException stopped) {
            Thread.currentThread().interrupt();
        }
        return Reply.text("re " + row);
    }

    private void killAfterSomeCalls(BatchServer server) throws Exception {
        int before = asked.values().stream().mapToInt(Integer::intValue).sum();
        int calls = ThreadLocalRandom.current().nextInt(1, SAMPLED / KILLS);
        var process = run(server);
        while (process.isAlive() && asked.values().stream().mapToInt(Integer::intValue).sum() < before + calls)
            Thread.sleep(5);
        process.destroyForcibly();
        assertTrue(process.waitFor(1, MINUTES));
    }

    private Process run(BatchServer server) throws IOException { return script(server).inheritIO().start(); }

    private ProcessBuilder script(BatchServer server, String... words) {
        var command = Stream.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-cp",
            System.getProperty("java.class.path"), "-DSHEAF_HOME=" + home, Script.class.getName(), server.baseUrl());
        return new ProcessBuilder(Stream.concat(command, Stream.of(words)).toList())
            .redirectError(ProcessBuilder.Redirect.INHERIT);
    }

    /** Returns the rows whose answers are on the disk. */
    private Set<String> answered() throws IOException {
        try (var files = Files.walk(home)) {
            return files.filter(file -> file.getFileName().toString().endsWith(".output.jsonl"))
                .flatMap(file -> lines(file).stream()).filter(line -> line.endsWith("}"))
                .map(line -> Json.lenient(line).at("/response/body/choices/0/message/content").asText().substring(3))
                .collect(Collectors.toSet());
        }
    }

    private static List<String> lines(Path file) {
        try {
            return Files.readAllLines(file);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
