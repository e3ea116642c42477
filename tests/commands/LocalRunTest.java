package sheaf.commands;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;
import static sheaf.commands.EngineRuns.await;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.support.Commands.Run;
import sheaf.support.FakeEngine;
import sheaf.support.FakeEngine.Kind;
import sheaf.support.Ports;

/** ask with the local model where nobody listens: its server is a child for the run, on the one port that it has. */
class LocalRunTest {
    @AutoClose final FakeEngine engine = FakeEngine.start(Kind.OLLAMA, 100, 4, 20);
    @TempDir Path dir;
    EngineRuns runs;

    @BeforeEach void launcher() throws IOException {
        assumeTrue(Files.isExecutable(Path.of("/bin/sh")), "no sh on this machine");
        assumeTrue(Ports.isFree(4141), "something listens on port 4141");
        runs = new EngineRuns(dir, engine);
    }

    @AfterEach void end() { if (runs != null) runs.close(); }

    @Test void theLocalModelIsStartedForTheRunAndShared() throws Exception {
        engine.slowDown(500);
        var first = runs.start(Map.of(), "--provider", "local");
        await(() -> !engine.prompts().isEmpty());

        var second = runs.run("--provider", "local", "--limit", "39", "--name", "other");
        assertEquals(0, second.status(), second.err());
        assertEquals(0, runs.ended(first).status());

        assertEquals(1, runs.starts().size(), runs.starts().toString());
        assertTrue(runs.starts().get(0).endsWith(" local --until-eof"), runs.starts().toString());
        runs.awaitEnded();
        int asked = engine.prompts().size();

        assertEquals(0, runs.run("--provider", "local").status());
        assertEquals(asked, engine.prompts().size());
        assertEquals(1, runs.starts().size(), "all was here");
    }

    @Test void aLocalModelThatDiesIsStartedAnewAndGoesOn() throws Exception {
        engine.slowDown(200);
        var going = runs.start(Map.of(), "--provider", "local");
        await(() -> engine.prompts().size() >= 8);
        ProcessHandle.of(runs.servers().get(0)).ifPresent(ProcessHandle::destroyForcibly);

        var run = runs.ended(going);

        assertEquals(0, run.status(), run.err());
        assertEquals(40, run.out().lines().count());
        assertEquals(2, runs.starts().size(), runs.starts().toString());
        runs.awaitEnded();
    }

    @Test void noModelIsStartedForWhatIsRefused() throws Exception {
        var rows = runs.rows().toString();

        var lacking = runs.ended(runs.start(List.of("--provider", "local", "-p", "{{answer}}", "-d", rows)));
        var none = dir.resolve("none.csv").toString();
        var away = runs.ended(runs.start(List.of("--provider", "local", "-p", "{{q}}", "-d", none)));
        var good = runs.ended(runs.start(List.of("--provider", "local", "-p", "{{q}}", "-d", rows, "--limit", "1")));

        assertEquals(new Run(2, "", "prompts: row 1 has no value for {{answer}} (template line 1); it has: q; "
            + "name one of these, or rename a column\n"), lacking);
        assertTrue(away.err().contains("none.csv"), away.err());
        assertEquals(2, away.status(), away.err());
        assertEquals(0, good.status(), good.err());
        assertEquals(1, runs.starts().size(), runs.starts().toString());
    }

    @Test void whatIsStartedIsSaidButToWhoWantsQuiet() throws Exception {
        var started = "local: started for this run: a model; ./jbang local keeps one running";

        var run = runs.ended(runs.start(Map.of("STARTED", started), "--provider", "local"));
        var quiet = runs.ended(runs.start(Map.of("STARTED", started), "--provider", "local", "--quiet", "--name",
            "other"));

        assertTrue(run.err().startsWith(started + "\nsubmitted "), run.err());
        assertEquals("", quiet.err());
        assertEquals(2, runs.starts().size(), runs.starts().toString());
    }
}
