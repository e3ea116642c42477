package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;

import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import jdk.jshell.JShell;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Fault;
import sheaf.support.RawClient;
import sheaf.support.Signals;

/** Ctrl-C ends the script and not the batch. */
@Tag("C39")
class InterruptTest {
    @AutoClose final BatchServer server = BatchServer.start().pause();
    final RawClient client = new RawClient(() -> server.baseUrl());
    @TempDir Path dir;
    Process running;

    /** What a user runs. */
    static class Script {
        public static void main(String... args) {
            batch().provider(args[0]).name("tickets").model("echo").prompts("{{value}}", rows("a", "b")).submit()
                .await();
        }
    }

    @AfterEach void stop() { if (running != null) running.destroyForcibly(); }

    /** An address that Sheaf does not take for this machine. */
    @Test void aHostedBatchGoesOnAndOneLineSaysHowToComeBack() throws Exception {
        var script = start(server.baseUrl().replace("127.0.0.1", "[::ffff:127.0.0.1]"));
        awaitLine(" 0/2");

        interruptTwice(script);

        var id = client.ids("/batches").get(0);
        assertTrue(lastLine().matches(id + " goes on at \\S+; run again, or batch\\(\"" + id
            + "\"\\), to come back to it"), lastLine());
        assertTrue(client.found(id).get("status").asText().matches("validating|in_progress"));
    }

    @Test void aLocalBatchIsSaidToGoOnWhenItIsRunAgain() throws Exception {
        var script = start(server.baseUrl());
        awaitLine(" 0/2");

        interruptTwice(script);

        assertEquals("interrupted; run again to go on", lastLine());
        assertTrue(client.found(client.ids("/batches").get(0)).get("status").asText()
            .matches("validating|in_progress"));
    }

    @Test void whileItIsSubmittedNothingIsSentTwice() throws Exception {
        server.on("POST /v1/batches", Fault.lost());
        server.onEvery(request -> request.startsWith("GET /v1/batches") && server.requests()
            .contains("POST /v1/batches")
            ? Fault.status(503) : null);
        var script = start(server.baseUrl());
        RawClient.await(() -> server.requests().contains("POST /v1/batches"));

        interruptTwice(script);
        server.onEvery(request -> null);
        start(server.baseUrl());
        awaitLine(" 0/2");

        assertEquals(1, client.ids("/batches").size());
        assertTrue(Files.readString(stderr()).contains("interrupted; run again to go on, and nothing is sent twice\n"),
            Files.readString(stderr()));
    }

    /** There it ends no process: the shell stops what runs in another. */
    @Test void inJShellOneLineSaysHowToGoOnAndNothingIsThrown() throws Exception {
        try (var shell = JShell.builder().err(new PrintStream(stderr().toFile()))
            .remoteVMOptions("-DSHEAF_HOME=" + dir.resolve("home"), "-XX:TieredStopAtLevel=1").build()) {
            shell.addToClasspath(System.getProperty("java.class.path"));
            var stopping = new Thread(() -> {
                awaitLine(" 0/2");
                shell.stop();
            });
            stopping.start();

            var events = shell.eval("sheaf.Sheaf.batch().provider(\"" + server.baseUrl() + "\").model(\"echo\")"
                + ".prompts(\"{{value}}\", sheaf.Sheaf.rows(\"a\", \"b\")).submit().await();");

            stopping.join();
            assertEquals("interrupted; run again to go on", lastLine());
            assertNull(events.get(0).exception());
            assertEquals(1, client.ids("/batches").size());
        }
    }

    private Process start(String baseUrl) throws Exception {
        var java = Path.of(System.getProperty("java.home"), "bin", "java").toString();
        var command = new ProcessBuilder(Signals.interruptible(List.of(java, "-XX:TieredStopAtLevel=1", "-Xshare:auto",
            "-cp", System.getProperty("java.class.path"), Script.class.getName(), baseUrl)))
            .redirectError(ProcessBuilder.Redirect.appendTo(stderr().toFile()));
        command.environment().putAll(Map.of("SHEAF_HOME", dir.resolve("home").toString(), "SHEAF_API_KEY", "k"));
        running = command.start();
        return running;
    }

    private void interruptTwice(Process script) throws Exception {
        for (int i = 0; i < 2; i++) Signals.interrupt(script);
        assertTrue(script.waitFor(1, TimeUnit.MINUTES));
        assertEquals(130, script.exitValue());
    }

    private void awaitLine(String part) {
        RawClient.await(() -> {
            try {
                return Files.exists(stderr()) && Files.readString(stderr()).contains(part);
            } catch (IOException e) {
                throw new AssertionError(e);
            }
        });
    }

    private String lastLine() throws IOException {
        var lines = Files.readAllLines(stderr());
        return lines.get(lines.size() - 1);
    }

    private Path stderr() { return dir.resolve("stderr"); }
}
