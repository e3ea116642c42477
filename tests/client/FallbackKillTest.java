package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Reply;
import sheaf.support.KilledPair;

/** A process that is killed while it asks two providers goes on when it is run again, and pays nothing at two. */
class FallbackKillTest {
    private final BatchServer first = BatchServer.start();
    private final BatchServer second = BatchServer.start();
    private final List<String> asked = Collections.synchronizedList(new ArrayList<>());
    private volatile Process life;
    @TempDir Path home;

    @AfterEach void stop() {
        first.close();
        second.close();
    }

    @ParameterizedTest(name = "{0}: {1} {2}")
    @CsvSource({
        "fallback, first, POST /v1/batches",
        "fallback, second, POST /v1/files",
        "fallback, second, POST /v1/batches",
        "shares, second, POST /v1/batches",
        "shares, first, GET /v1/files"})
    void whatWasSentBeforeAKillIsNotSentAgain(String how, String name, String request) throws Exception {
        first.answer(body -> answer("first", body.at("/messages/0/content").asText()));
        second.answer(body -> answer("second", body.at("/messages/0/content").asText()));
        killAt(name.equals("first") ? first : second, request);

        assertNotEquals(0, run(how), "the first life");
        assertEquals(0, run(how), () -> said());

        var rows = IntStream.rangeClosed(1, KilledPair.ROWS).mapToObj(n -> "row " + n).toList();
        assertEquals(rows, asked.stream().sorted().toList());
        assertEquals(rows, Files.readAllLines(home.resolve("out")).stream().flatMap(line -> List.of(line.split(
            "(?<=first|second) ")).stream()).map(answer -> answer.replaceFirst("=.*", "")).toList());
    }

    private Reply answer(String name, String prompt) {
        asked.add(prompt);
        return Reply.text(name);
    }

    private void killAt(BatchServer server, String request) {
        var seen = new AtomicInteger();
        server.onEvery(each -> {
            if (each.startsWith(request) && seen.incrementAndGet() == 1) life.destroyForcibly();
            return null;
        });
    }

    private int run(String how) throws Exception {
        var builder = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "-XX:TieredStopAtLevel=1", "-Xmx128m", "-Dsheaf.late=1", "-cp", System.getProperty("java.class.path"),
            "sheaf.support.KilledPair", first.baseUrl(), second.baseUrl(), how);
        builder.environment().keySet().removeIf(name -> name.matches("(OPENAI|SHEAF)_.*|.*_API_KEY"));
        builder.environment().put("SHEAF_HOME", home.resolve("home").toString());
        life = builder.redirectOutput(home.resolve("out").toFile()).redirectError(home.resolve("err").toFile()).start();
        assertTrue(life.waitFor(60, TimeUnit.SECONDS), "no end");
        return life.exitValue();
    }

    private String said() {
        try {
            return Files.readString(home.resolve("err"));
        } catch (IOException e) {
            return e.toString();
        }
    }
}
