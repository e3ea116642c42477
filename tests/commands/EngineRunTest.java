package sheaf.commands;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.support.FakeEngine;
import sheaf.support.FakeEngine.Kind;
import sheaf.support.Signals;

/**
 * ask before an engine without batches, and with the local model where nobody listens: the server is a child for the
 * run, by the command that the launcher has for it. Here the launcher is a script that notes each start.
 */
class EngineRunTest {
    final FakeEngine engine = FakeEngine.start(Kind.OLLAMA, 100, 4, 20);
    final List<Process> processes = new ArrayList<>();
    @TempDir Path dir;
    Path launcher;

    private record Run(int status, String out, String err) {}

    @BeforeEach void launcher() throws IOException {
        assumeTrue(Files.isExecutable(Path.of("/bin/sh")), "no sh on this machine");
        launcher = dir.resolve("a launcher");
        Files.writeString(launcher, "#!/bin/sh\necho \"$$ $*\" >>'" + dir + "/starts'\n[ \"$1\" = local ] && "
            + "set -- \"$@\" --engine " + engine.url() + " --port 4141\nshift\n"
            + "[ -z \"$STARTED\" ] || echo \"$STARTED\" >&2\nexec '"
            + Path.of(System.getProperty("java.home"), "bin", "java") + "' -XX:TieredStopAtLevel=1 -cp '"
            + System.getProperty("java.class.path") + "' sheaf.server.BatchServer \"$@\"\n");
        assertTrue(launcher.toFile().setExecutable(true));
        Files.writeString(dir.resolve("rows.csv"), "q\n" + IntStream.range(0, 40).mapToObj(i -> "row " + i + "\n")
            .collect(Collectors.joining()));
    }

    @AfterEach void end() throws Exception {
        processes.forEach(Process::destroyForcibly);
        engine.close();
        for (long pid : servers()) ProcessHandle.of(pid).ifPresent(ProcessHandle::destroyForcibly);
    }

    @Test void aSecondRunAsksNothingAndStartsNothing() throws Exception {
        var first = run("--engine", engine.url());

        assertEquals(0, first.status, first.err);
        assertEquals(40, first.out.lines().count());
        assertTrue(first.out.contains("\"text\":\"re: row 39\""), first.out);
        assertTrue(first.err.matches("submitted batch_\\w+ to " + engine.url() + " \\(40 requests\\); kept in .*\n"
            + "(?s).* completed 40/40(, [0-9.]+/(s|min))?\n"), first.err);
        assertEquals(40, engine.prompts().size());
        awaitEnded();

        var second = run("--engine", engine.url());

        assertEquals(first.out, second.out);
        assertTrue(second.err.matches("attached to batch_\\w+ \\(40 requests, submitted .*\\), nothing was sent; "
            + "kept in .*\n"), second.err);
        assertEquals(1, starts().size(), starts().toString());
        assertEquals(40, engine.prompts().size());
    }

    @Test void aPreviewStartsNothing() throws Exception {
        var run = run("--engine", "ollama", "--preview", "1");

        assertEquals(0, run.status, run.err);
        assertEquals(List.of(), starts());
    }

    @Test void theEnvironmentNamesTheEngineToo() throws Exception {
        var run = ended(start(Map.of("SHEAF_ENGINE", engine.url())));

        assertEquals(0, run.status, run.err);
        assertTrue(starts().get(0).endsWith(" serve --engine " + engine.url() + " --own-store --port 0 --until-eof"),
            starts().toString());
    }

    @Test void aKeyGoesToItsEngineAloneAndOntoNoDisk() throws Exception {
        var key = "sk-of-the-engine";

        ended(start(Map.of("SHEAF_ENGINE", engine.url(), "SHEAF_ENGINE_KEY", key), "--limit", "2"));
        assertEquals(Set.of("Bearer " + key), Set.copyOf(engine.keys()));
        try (var other = FakeEngine.start(Kind.VLLM, 10, 10, 1)) {
            ended(start(Map.of("SHEAF_ENGINE", engine.url(), "SHEAF_ENGINE_KEY", key), "--limit", "2", "--engine",
                other.url()));
            assertEquals(Set.of("null"), Set.copyOf(other.keys()));
        }

        awaitEnded();
        try (var files = Files.walk(dir)) {
            for (var file : files.filter(Files::isRegularFile).toList())
                assertFalse(Files.readString(file, ISO_8859_1).contains(key), file.toString());
        }
    }

    /** Nothing is asked twice but what was under way when all was killed. */
    @Test void aKilledRunGoesOn() throws Exception {
        var killed = start(Map.of(), "--engine", engine.url());
        await(() -> engine.prompts().size() >= 8);
        killed.destroyForcibly().waitFor();
        awaitEnded();
        int before = engine.prompts().size();

        var run = run("--engine", engine.url());

        assertEquals(0, run.status, run.err);
        assertTrue(before < 40, before + " of 40 before the kill");
        assertEquals(40, Set.copyOf(engine.prompts()).size());
        assertEquals(40, engine.prompts().size(), "answers under way are waited for at the end of stdin");
        awaitEnded();
    }

    @Test void aKilledServerGoesOnToo() throws Exception {
        var killed = start(Map.of(), "--engine", engine.url());
        await(() -> engine.prompts().size() >= 8);
        for (long pid : servers()) ProcessHandle.of(pid).ifPresent(ProcessHandle::destroyForcibly);
        killed.destroyForcibly().waitFor();

        var run = run("--engine", engine.url());

        assertEquals(0, run.status, run.err);
        assertEquals(40, Set.copyOf(engine.prompts()).size());
        assertTrue(engine.prompts().size() <= 40 + 8, engine.prompts().size() + " asked");
    }

    @Test void aServerThatDiesAloneIsStartedAnewAndGoesOn() throws Exception {
        var going = start(Map.of(), "--engine", engine.url());
        await(() -> engine.prompts().size() >= 8);
        ProcessHandle.of(servers().get(0)).ifPresent(ProcessHandle::destroyForcibly);

        var run = ended(going);

        assertEquals(0, run.status, run.err);
        assertEquals(40, run.out.lines().count());
        assertEquals(2, starts().size(), starts().toString());
        assertTrue(engine.prompts().size() <= 40 + 8, engine.prompts().size() + " asked");
        awaitEnded();
    }

    @Test void theKeyOfTheUsersOwnServerIsNotWantedOfTheRun() throws Exception {
        var run = ended(start(Map.of("SHEAF_SERVER_KEY", "sk-of-my-server"), "--engine", engine.url(), "--limit", "2"));

        assertEquals(0, run.status, run.err);
    }

    @Test void twoRunsAtOnceShareAServerThatEndsWithTheLast() throws Exception {
        engine.slowDown(300);
        var first = start(Map.of(), "--engine", engine.url());
        await(() -> !engine.prompts().isEmpty());
        var second = start(Map.of(), "--engine", engine.url(), "--limit", "30", "--name", "other");

        assertEquals(0, ended(first).status);
        assertEquals(0, ended(second).status);

        assertEquals(70, engine.prompts().size());
        awaitEnded();
    }

    /** Ctrl-C goes to all that runs in a terminal, but others may use the server. */
    @Test void ctrlCLeavesTheServerToOtherRuns() throws Exception {
        engine.slowDown(300);
        var first = start(Map.of(), "--engine", engine.url());
        await(() -> !engine.prompts().isEmpty());
        var second = start(Map.of(), "--engine", engine.url(), "--limit", "39", "--name", "other");
        await(() -> starts().size() == 2);
        for (long pid : servers()) Signals.interrupt(pid);
        first.destroyForcibly();

        var run = ended(second);

        assertEquals(0, run.status, run.err);
        awaitEnded();
    }

    @Test void whatIsWrongIsASentence() throws Exception {
        assertEquals(new Run(2, "", "engine: no key for openrouter; set OPENROUTER_API_KEY\n"),
            run("--engine", "openrouter"));
        assertEquals(new Run(2, "", "engine: olama is neither an http URL such as http://localhost:11434/v1 nor one of "
            + "echo, ollama, lmstudio, vllm, llama-server, openrouter, mistral, cerebras\n"),
            run("--engine", "olama"));
        assertEquals(new Run(2, "", "ask: --provider and --engine both say who answers; give one\n"),
            run("--engine", "ollama", "--provider", "openai"));
        assertEquals(new Run(2, "", "ask: --engine and --share both say who answers; give one\n"),
            run("--engine", "ollama", "--share", "groq,0.5", "--share", "nebius,0.5"));
        assertEquals(new Run(2, "", "engine: the server that stands before ollama is no part of this script; run it by "
            + "Sheaf's own ./jbang, or begin it with BatchServer.before(\"ollama\") of lib/BatchServer.java\n"),
            ended(start(Map.of("SHEAF_LAUNCHER", ""), "--engine", "ollama")));
    }

    @Test void aDaysLimitIsOneSentenceAndTheNextRunAsksTheRest() throws Exception {
        engine.limit(10, new FakeEngine.Instead(429, "{\"error\":{\"message\":\"Rate limit exceeded: "
            + "free-models-per-day\",\"code\":429}}", "Retry-After", "20000"));

        var first = run("--engine", engine.url());

        assertEquals(75, first.status, first.err);
        assertEquals("", first.out);
        assertTrue(first.err.matches("submitted .*\n(?s).*\nask: batch_\\w+ still in_progress \\(\\d+/40\\); \\Q"
            + engine.url() + "\\E takes no more until [-0-9]{10} [0-9:]{5} \\(429 Rate limit exceeded: "
            + "free-models-per-day\\); this command asks the rest after that, and nothing twice\n"), first.err);
        assertEquals(1, first.err.split("takes no more", -1).length - 1, first.err);
        awaitEnded();
        var tooSoon = run("--engine", engine.url());
        assertEquals(75, tooSoon.status, tooSoon.err);
        awaitEnded();
        engine.limit(0, null);

        var last = run("--engine", engine.url());

        assertEquals(0, last.status, last.err);
        assertEquals(40, last.out.lines().count());
        assertEquals(40, engine.prompts().size(), "nothing is asked twice");
    }

    @Test void aModelThatTheEngineLacksIsOneSentence() throws Exception {
        var rows = dir.resolve("rows.csv").toString();

        var run = ended(start(List.of("--engine", engine.url(), "-m", "llama3", "-p", "{{q}}", "-d", rows)));

        assertEquals(1, run.status, run.err);
        assertEquals("", run.out);
        assertTrue(run.err.matches("(?s).*\nask: batch_\\w+ failed; \\Q" + engine.url() + "\\E does not have the model "
            + "'llama3'; it has llama3.2; did you mean llama3.2\\?\n"), run.err);
        assertEquals(List.of(), engine.prompts());
    }

    /** An option of serve's is none of ask's. */
    @Test void aKeyThatIsMissingIsNamedByItsVariable() throws Exception {
        engine.limit(0, new FakeEngine.Instead(401, "{\"error\":{\"message\":\"No auth credentials found\"}}"));

        var run = run("--engine", engine.url());

        assertTrue(run.err.startsWith("engine: " + engine.url() + " answers 401 to GET /models; set SHEAF_ENGINE_KEY "
            + "to its key\n"), run.err);
        assertTrue(run.err.matches("(?s).*\nask: batch_\\w+ failed; \\Q" + engine.url() + "\\E wants a key \\(401 No "
            + "auth credentials found\\); set SHEAF_ENGINE_KEY to its key\n"), run.err);
        assertEquals(1, run.status);
        var sample = run("--engine", engine.url(), "--sample", "1", "--name", "other");
        assertTrue(sample.err.contains("/chat/completions: 401 No auth credentials found; set SHEAF_ENGINE_KEY to its "
            + "key"), sample.err);
        engine.limit(0, null);
        var again = run("--engine", engine.url());
        assertEquals(0, again.status, again.err);
        assertEquals(40, engine.prompts().size());
    }

    @Test void anEngineThatIsNotThereIsSaidOnceAndHowToStartIt() throws Exception {
        var away = FakeEngine.start(Kind.VLLM, 10, 10, 1);
        away.close();

        var run = ended(start(Map.of(), "--engine", away.url()));

        assertEquals(1, run.status);
        assertEquals("ask: GET " + away.url() + "/models: 502 " + away.url() + " does not answer (connection refused); "
            + "start it there\n", run.err);
        awaitEnded();
    }

    @Test void theLocalModelIsStartedForTheRunAndShared() throws Exception {
        assumeTrue(isFree(4141), "something listens on port 4141");
        engine.slowDown(500);
        var first = start(Map.of(), "--provider", "local");
        await(() -> !engine.prompts().isEmpty());

        var second = run("--provider", "local", "--limit", "39", "--name", "other");
        assertEquals(0, second.status, second.err);
        assertEquals(0, ended(first).status);

        assertEquals(1, starts().size(), starts().toString());
        assertTrue(starts().get(0).endsWith(" local --until-eof"), starts().toString());
        awaitEnded();
        int asked = engine.prompts().size();

        assertEquals(0, run("--provider", "local").status);
        assertEquals(asked, engine.prompts().size());
        assertEquals(1, starts().size(), "all was here");
    }

    @Test void aLocalModelThatDiesIsStartedAnewAndGoesOn() throws Exception {
        assumeTrue(isFree(4141), "something listens on port 4141");
        engine.slowDown(200);
        var going = start(Map.of(), "--provider", "local");
        await(() -> engine.prompts().size() >= 8);
        ProcessHandle.of(servers().get(0)).ifPresent(ProcessHandle::destroyForcibly);

        var run = ended(going);

        assertEquals(0, run.status, run.err);
        assertEquals(40, run.out.lines().count());
        assertEquals(2, starts().size(), starts().toString());
        awaitEnded();
    }

    @Test void noModelIsStartedForWhatIsRefused() throws Exception {
        assumeTrue(isFree(4141), "something listens on port 4141");
        var rows = dir.resolve("rows.csv").toString();

        var lacking = ended(start(List.of("--provider", "local", "-p", "{{answer}}", "-d", rows)));
        var none = dir.resolve("none.csv").toString();
        var away = ended(start(List.of("--provider", "local", "-p", "{{q}}", "-d", none)));
        var good = ended(start(List.of("--provider", "local", "-p", "{{q}}", "-d", rows, "--limit", "1")));

        assertEquals(new Run(2, "", "prompts: row 1 has no value for {{answer}} (template line 1); it has: q; if "
            + "line 1 of rows.csv is a row, give --header\n"), lacking);
        assertTrue(away.err.contains("none.csv"), away.err);
        assertEquals(2, away.status, away.err);
        assertEquals(0, good.status, good.err);
        assertEquals(1, starts().size(), starts().toString());
    }

    @Test void whatIsStartedIsSaidButToWhoWantsQuiet() throws Exception {
        assumeTrue(isFree(4141), "something listens on port 4141");
        var started = "local: started for this run: a model; ./jbang local keeps one running";

        var run = ended(start(Map.of("STARTED", started), "--provider", "local"));
        var quiet = ended(start(Map.of("STARTED", started), "--provider", "local", "--quiet", "--name", "other"));

        assertTrue(run.err.startsWith(started + "\nsubmitted "), run.err);
        assertEquals("", quiet.err);
        assertEquals(2, starts().size(), starts().toString());
    }

    private static boolean isFree(int port) {
        try (var socket = new ServerSocket()) {
            socket.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), port));
            return true;
        } catch (IOException taken) {
            return false;
        }
    }

    private Process start(Map<String, String> environment, String... options) throws IOException {
        var words = new ArrayList<>(List.of("-m", FakeEngine.MODEL, "-p", "{{q}}", "-d", dir.resolve("rows.csv")
            .toString()));
        words.addAll(List.of(options));
        return start(words, environment);
    }

    private Process start(List<String> words) throws IOException { return start(words, Map.of()); }

    private Process start(List<String> words, Map<String, String> environment) throws IOException {
        var command = new ArrayList<>(List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "-XX:TieredStopAtLevel=1", "-cp", System.getProperty("java.class.path"), "sheaf.commands.ask"));
        command.addAll(words);
        var builder = new ProcessBuilder(command).directory(dir.toFile())
            .redirectOutput(dir.resolve("out" + (processes.size() + 1)).toFile())
            .redirectError(dir.resolve("err" + (processes.size() + 1)).toFile());
        builder.environment().keySet().removeIf(name -> name.matches("(OPENAI|SHEAF)_.*|.*_API_KEY"));
        builder.environment().putAll(Map.of("SHEAF_HOME", dir.resolve("home").toString(), "SHEAF_LAUNCHER",
            "'" + launcher + "'"));
        builder.environment().putAll(environment);
        var process = builder.start();
        processes.add(process);
        return process;
    }

    private Run run(String... options) throws Exception { return ended(start(Map.of(), options)); }

    private Run ended(Process process) throws InterruptedException {
        int number = processes.indexOf(process) + 1;
        assertTrue(process.waitFor(60, TimeUnit.SECONDS), () -> read(dir.resolve("err" + number)));
        return new Run(process.exitValue(), read(dir.resolve("out" + number)), read(dir.resolve("err" + number)));
    }

    private static String read(Path file) {
        try {
            return Files.exists(file) ? Files.readString(file, UTF_8) : "";
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    /** Returns what was started: the process id and the words of each command. */
    private List<String> starts() { return read(dir.resolve("starts")).lines().toList(); }

    private List<Long> servers() {
        return starts().stream().map(start -> Long.valueOf(start.replaceFirst(" .*", ""))).toList();
    }

    private void awaitEnded() {
        assertFalse(servers().isEmpty());
        await(() -> servers().stream().noneMatch(pid -> ProcessHandle.of(pid).filter(ProcessHandle::isAlive)
            .isPresent()));
    }

    private static void await(BooleanSupplier done) {
        long end = System.nanoTime() + TimeUnit.MINUTES.toNanos(2);
        while (!done.getAsBoolean()) {
            assertTrue(System.nanoTime() < end, "not within 2 minutes");
            try {
                Thread.sleep(20);
            } catch (InterruptedException e) {
                throw new AssertionError(e);
            }
        }
    }
}
