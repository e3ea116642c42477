package sheaf;

import static java.util.concurrent.TimeUnit.MINUTES;
import static java.util.concurrent.TimeUnit.SECONDS;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
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

        /** Samples at the server of this URL; where a file is named too, submits all and writes the answers there. */
        public static void main(String... args) {
            var draft = Sheaf.batch().provider(args[0]).model("m").name("letters").quiet().price(0, 1_000_000)
                .maxTokens(5).prompts("{{value}}", Sheaf.rows(IntStream.rangeClosed(1, ROWS).boxed().toList()));
            if (args.length == 1) draft.sample(SAMPLED);
            else draft.submit().results().toCsv(args[1], "result.text");
        }
    }

    @Timeout(value = 3, unit = MINUTES)
    @Test void killedAtAnyMomentItAsksAgainOnlyWhatWasUnderWay() throws Exception {
        try (var server = BatchServer.start().answer(this::slowly)) {
            var again = new HashSet<String>();                 // sent in a life that was killed before they were answered
            for (int life = 1; life <= KILLS; life++) {
                var answered = answered();
                var before = Map.copyOf(asked);
                killAfterSomeCalls(server);
                for (var row : answered) assertEquals(before.get(row), asked.get(row), row + " was paid already");
                var underWay = new HashSet<>(asked.keySet());
                underWay.removeAll(answered());
                again.addAll(underWay);
            }

            assertEquals(0, run(server.baseUrl()).waitFor());
            for (var row : asked.entrySet())
                assertTrue(row.getValue() == 1 || again.contains(row.getKey()), row + ", under way were " + again);

            var answers = home.resolve("answers.csv");
            assertEquals(0, run(server.baseUrl(), answers.toString()).waitFor());
            assertEquals(IntStream.rangeClosed(1, ROWS).mapToObj(i -> "re " + i).toList(),
                lines(answers).subList(1, 1 + ROWS));
            assertEquals(ROWS, asked.size());
            assertTrue(asked.values().stream().mapToInt(Integer::intValue).sum() <= ROWS + KILLS * again.size());
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
        var process = run(server.baseUrl());
        while (process.isAlive() && asked.values().stream().mapToInt(Integer::intValue).sum() < before + calls)
            Thread.sleep(5);
        process.destroyForcibly();
        assertTrue(process.waitFor(30, SECONDS));
    }

    private Process run(String... args) throws IOException {
        var command = Stream.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-cp",
            System.getProperty("java.class.path"), "-DSHEAF_HOME=" + home, Script.class.getName());
        return new ProcessBuilder(Stream.concat(command, Stream.of(args)).toList()).inheritIO().start();
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
