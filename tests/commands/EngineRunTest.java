package sheaf.commands;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;
import static sheaf.commands.EngineRuns.await;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.support.Commands.Run;
import sheaf.support.FakeEngine;
import sheaf.support.FakeEngine.Kind;
import sheaf.support.Signals;

/** ask before an engine without batches: the server is a child for the run, by the command that the launcher has. */
@Tag("apart")
class EngineRunTest {
    @AutoClose final FakeEngine engine = FakeEngine.start(Kind.OLLAMA, 100, 4, 20);
    @TempDir Path dir;
    EngineRuns runs;

    @BeforeEach void launcher() throws IOException {
        assumeTrue(Files.isExecutable(Path.of("/bin/sh")), "no sh on this machine");
        runs = new EngineRuns(dir, engine);
    }

    @AfterEach void end() { if (runs != null) runs.close(); }

    @Test void aSecondRunAsksNothingAndStartsNothing() throws Exception {
        var first = runs.run("--engine", engine.url());

        assertEquals(0, first.status(), first.err());
        assertEquals(40, first.out().lines().count());
        assertTrue(first.out().contains("\"text\":\"re: row 39\""), first.out());
        assertTrue(first.err().matches("submitted batch_\\w+ to " + engine.url() + " \\(40 requests\\); kept in .*\n"
            + "(?s).* completed 40/40(, [0-9.]+/(s|min))?\n"), first.err());
        assertEquals(40, engine.prompts().size());
        runs.awaitEnded();

        var second = runs.run("--engine", engine.url());

        assertEquals(first.out(), second.out());
        assertTrue(second.err().matches("attached to batch_\\w+ \\(40 requests, submitted .*\\), nothing was sent; "
            + "kept in .*\n"), second.err());
        assertEquals(1, runs.starts().size(), runs.starts().toString());
        assertEquals(40, engine.prompts().size());
    }

    @Test void aPreviewStartsNothing() throws Exception {
        var run = runs.run("--engine", "ollama", "--preview", "1");

        assertEquals(0, run.status(), run.err());
        assertEquals(List.of(), runs.starts());
    }

    @Test void theEnvironmentNamesTheEngineToo() throws Exception {
        var run = runs.ended(runs.start(Map.of("SHEAF_ENGINE", engine.url())));

        assertEquals(0, run.status(), run.err());
        assertTrue(runs.starts().get(0).endsWith(" serve --engine " + engine.url() + " --own-store --port 0 "
            + "--until-eof"), runs.starts().toString());
    }

    @Test void aKeyGoesToItsEngineAloneAndOntoNoDisk() throws Exception {
        var key = "sk-of-the-engine";

        runs.ended(runs.start(Map.of("SHEAF_ENGINE", engine.url(), "SHEAF_ENGINE_KEY", key), "--limit", "2"));
        assertEquals(Set.of("Bearer " + key), Set.copyOf(engine.keys()));
        try (var other = FakeEngine.start(Kind.VLLM, 10, 10, 1)) {
            runs.ended(runs.start(Map.of("SHEAF_ENGINE", engine.url(), "SHEAF_ENGINE_KEY", key), "--limit", "2",
                "--engine", other.url()));
            assertEquals(Set.of("null"), Set.copyOf(other.keys()));
        }

        runs.awaitEnded();
        try (var files = Files.walk(dir)) {
            for (var file : files.filter(Files::isRegularFile).toList())
                assertFalse(Files.readString(file, ISO_8859_1).contains(key), file.toString());
        }
    }

    /** Nothing is asked twice but what was under way when all was killed. */
    @Test void aKilledRunGoesOn() throws Exception {
        var killed = runs.start(Map.of(), "--engine", engine.url());
        await(() -> engine.prompts().size() >= 8);
        killed.destroyForcibly().waitFor();
        runs.awaitEnded();
        int before = engine.prompts().size();

        var run = runs.run("--engine", engine.url());

        assertEquals(0, run.status(), run.err());
        assertTrue(before < 40, before + " of 40 before the kill");
        assertEquals(40, Set.copyOf(engine.prompts()).size());
        assertEquals(40, engine.prompts().size(), "answers under way are waited for at the end of stdin");
        runs.awaitEnded();
    }

    @Test void aKilledServerGoesOnToo() throws Exception {
        var killed = runs.start(Map.of(), "--engine", engine.url());
        await(() -> engine.prompts().size() >= 8);
        for (long pid : runs.servers()) ProcessHandle.of(pid).ifPresent(ProcessHandle::destroyForcibly);
        killed.destroyForcibly().waitFor();

        var run = runs.run("--engine", engine.url());

        assertEquals(0, run.status(), run.err());
        assertEquals(40, Set.copyOf(engine.prompts()).size());
        assertTrue(engine.prompts().size() <= 40 + 8, engine.prompts().size() + " asked");
    }

    @Test void aServerThatDiesAloneIsStartedAnewAndGoesOn() throws Exception {
        var going = runs.start(Map.of(), "--engine", engine.url());
        await(() -> engine.prompts().size() >= 8);
        ProcessHandle.of(runs.servers().get(0)).ifPresent(ProcessHandle::destroyForcibly);

        var run = runs.ended(going);

        assertEquals(0, run.status(), run.err());
        assertEquals(40, run.out().lines().count());
        assertEquals(2, runs.starts().size(), runs.starts().toString());
        assertTrue(engine.prompts().size() <= 40 + 8, engine.prompts().size() + " asked");
        runs.awaitEnded();
    }

    @Test void theKeyOfTheUsersOwnServerIsNotWantedOfTheRun() throws Exception {
        var run = runs.ended(runs.start(Map.of("SHEAF_SERVER_KEY", "sk-of-my-server"), "--engine", engine.url(),
            "--limit", "2"));

        assertEquals(0, run.status(), run.err());
    }

    @Test void twoRunsAtOnceShareAServerThatEndsWithTheLast() throws Exception {
        engine.slowDown(300);
        var first = runs.start(Map.of(), "--engine", engine.url());
        await(() -> !engine.prompts().isEmpty());
        var second = runs.start(Map.of(), "--engine", engine.url(), "--limit", "30", "--name", "other");

        assertEquals(0, runs.ended(first).status());
        assertEquals(0, runs.ended(second).status());

        assertEquals(70, engine.prompts().size());
        runs.awaitEnded();
    }

    /** Ctrl-C goes to all that runs in a terminal, but others may use the server. */
    @Test void ctrlCLeavesTheServerToOtherRuns() throws Exception {
        engine.slowDown(300);
        var first = runs.start(Map.of(), "--engine", engine.url());
        await(() -> !engine.prompts().isEmpty());
        var second = runs.start(Map.of(), "--engine", engine.url(), "--limit", "39", "--name", "other");
        await(() -> runs.starts().size() == 2);
        for (long pid : runs.servers()) Signals.interrupt(pid);
        first.destroyForcibly();

        var run = runs.ended(second);

        assertEquals(0, run.status(), run.err());
        runs.awaitEnded();
    }

    @Test void whatIsWrongIsASentence() throws Exception {
        assertEquals(new Run(2, "", "engine: no key for openrouter; set OPENROUTER_API_KEY\n"),
            runs.run("--engine", "openrouter"));
        assertEquals(new Run(2, "", "engine: olama is neither an http URL such as http://localhost:11434/v1 nor one of "
            + "echo, ollama, lmstudio, vllm, llama-server, openrouter, mistral, cerebras; did you mean ollama?\n"),
            runs.run("--engine", "olama"));
        assertEquals(new Run(2, "", "ask: --provider and --engine both say who answers; give one\n"),
            runs.run("--engine", "ollama", "--provider", "openai"));
        assertEquals(new Run(2, "", "ask: --engine and --share both say who answers; give one\n"),
            runs.run("--engine", "ollama", "--share", "groq,0.5", "--share", "nebius,0.5"));
        assertEquals(new Run(2, "", "engine: the server that stands before ollama is no part of this script; run it by "
            + "Sheaf's own ./jbang, or begin it with BatchServer.before(\"ollama\") of lib/BatchServer.java\n"),
            runs.ended(runs.start(Map.of("SHEAF_LAUNCHER", ""), "--engine", "ollama")));
    }

    @Test void aDaysLimitIsOneSentenceAndTheNextRunAsksTheRest() throws Exception {
        engine.limit(10, new FakeEngine.Instead(429, "{\"error\":{\"message\":\"Rate limit exceeded: "
            + "free-models-per-day\",\"code\":429}}", "Retry-After", "20000"));

        var first = runs.run("--engine", engine.url());

        assertEquals(75, first.status(), first.err());
        assertEquals("", first.out());
        assertTrue(first.err().matches("submitted .*\n(?s).*\nask: batch_\\w+ still in_progress \\(\\d+/40\\); \\Q"
            + engine.url() + "\\E takes no more until [-0-9]{10} [0-9:]{5} \\(429 Rate limit exceeded: "
            + "free-models-per-day\\); this command asks the rest after that, and nothing twice\n"), first.err());
        assertEquals(1, first.err().split("takes no more", -1).length - 1, first.err());
        runs.awaitEnded();
        var tooSoon = runs.run("--engine", engine.url());
        assertEquals(75, tooSoon.status(), tooSoon.err());
        runs.awaitEnded();
        engine.limit(0, null);

        var last = runs.run("--engine", engine.url());

        assertEquals(0, last.status(), last.err());
        assertEquals(40, last.out().lines().count());
        assertEquals(40, engine.prompts().size(), "nothing is asked twice");
    }

    @Test void aModelThatTheEngineLacksIsOneSentence() throws Exception {
        var rows = runs.rows().toString();

        var run = runs.ended(runs.start(List.of("--engine", engine.url(), "-m", "llama3", "-p", "{{q}}", "-d", rows)));

        assertEquals(1, run.status(), run.err());
        assertEquals("", run.out());
        assertTrue(run.err().matches("(?s).*\nask: batch_\\w+ failed; \\Q" + engine.url() + "\\E does not have the "
            + "model 'llama3'; it has llama3.2; did you mean llama3.2\\?\n"), run.err());
        assertEquals(List.of(), engine.prompts());
    }

    /** An option of serve's is none of ask's. */
    @Test void aKeyThatIsMissingIsNamedByItsVariable() throws Exception {
        engine.limit(0, new FakeEngine.Instead(401, "{\"error\":{\"message\":\"No auth credentials found\"}}"));

        var run = runs.run("--engine", engine.url());

        assertTrue(run.err().startsWith("engine: " + engine.url() + " answers 401 to GET /models; set SHEAF_ENGINE_KEY "
            + "to its key\n"), run.err());
        assertTrue(run.err().matches("(?s).*\nask: batch_\\w+ failed; \\Q" + engine.url() + "\\E wants a key \\(401 No "
            + "auth credentials found\\); set SHEAF_ENGINE_KEY to its key\n"), run.err());
        assertEquals(1, run.status());
        var sample = runs.run("--engine", engine.url(), "--sample", "1", "--name", "other");
        assertTrue(sample.err().contains("/chat/completions: 401 No auth credentials found; set SHEAF_ENGINE_KEY to "
            + "its key"), sample.err());
        engine.limit(0, null);
        var again = runs.run("--engine", engine.url());
        assertEquals(0, again.status(), again.err());
        assertEquals(40, engine.prompts().size());
    }

    @Test void anEngineThatIsNotThereIsSaidOnceAndHowToStartIt() throws Exception {
        var away = FakeEngine.start(Kind.VLLM, 10, 10, 1);
        away.close();

        var run = runs.ended(runs.start(Map.of(), "--engine", away.url()));

        assertEquals(1, run.status());
        assertEquals("ask: GET " + away.url() + "/models: 502 " + away.url() + " does not answer (connection refused); "
            + "start it there\n", run.err());
        runs.awaitEnded();
    }
}
