package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.kept;
import static sheaf.Sheaf.rows;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Results;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Reply;
import sheaf.support.Printed;
import sheaf.support.RawClient;

/** How long a batch took is what its provider says, and where that says nothing there is no number. */
class TimingTest {
    private static final Instant START = Instant.parse("2026-03-01T08:00:00Z");
    @AutoClose final BatchServer server = BatchServer.start();
    @TempDir Path home;

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

    @Test void aBatchTookFromItsCreationToItsEnd() throws IOException {
        ask("films").submit().await();
        wasThere("films", 1, 0, 7_325);

        assertEquals(Optional.of(Duration.ofSeconds(7_325)), results("films").duration());
        assertTrue(Printed.stdout(() -> results("films").show()).endsWith("; took 2h2m5s\n"));
    }

    @Test void partsAtTheSameTimeCountOnceAndAPauseBetweenThemDoesNot() throws IOException {
        ask("films").provider(here().limits(1, 10_000)).submit().await();
        wasThere("films", 1, 0, 100);
        wasThere("films", 2, 50, 120);
        wasThere("films", 3, 1_000, 1_030);

        assertEquals(Optional.of(Duration.ofSeconds(150)), results("films").duration());
    }

    @Test void aRepairCountsAndTheNightBeforeItDoesNot() throws IOException {
        server.answer(body -> body.at("/messages/0/content").asText().equals("b") ? Reply.error(500, "x", "broken")
            : Reply.text("fine"));
        ask("films").submit().results();
        server.answer(body -> Reply.text("fine"));
        ask("films").repair(1).submit().results();
        wasThere("films", 1, 0, 100);
        wasThere("films-retry", 1, 40_000, 40_020);

        var repaired = ask("films").repair(0).submit().results();

        assertEquals(Optional.of(Duration.ofSeconds(120)), repaired.duration());
        assertEquals(Optional.of(Duration.ofSeconds(100)), results("films").duration());
    }

    @Test void whereAPartDoesNotSayThereIsNoNumber() throws IOException {
        ask("films").provider(here().limits(1, 10_000)).submit().await();
        for (int part = 1; part <= 3; part++) wasThere("films", part, 0, 100);
        change("films", 2, batch -> batch.remove("completed_at"));

        assertEquals(Optional.empty(), results("films").duration());
        assertFalse(Printed.stdout(() -> results("films").show()).contains("took"));
        assertFalse(report(results("films")).has("seconds"));
        assertEquals(List.of(true, false, true), report(results("films")).path("batches").valueStream()
            .map(batch -> batch.has("ended")).toList());
    }

    @Test void answersThatWereTakenOverTookNoTimeHere() throws IOException {
        ask("films").submit().results();
        var fewer = batch().provider(here()).quiet().name("films").model("echo").prompts("{{value}}", rows("a", "b"))
            .submit().results();

        assertEquals(2, fewer.succeeded().size());
        assertEquals(Optional.empty(), fewer.duration());
    }

    @Test void rowsAskedOneByOneAreInNoBatch() {
        assertEquals(Optional.empty(), ask("films").sample(2).duration());
    }

    @Test void aClockThatWentBackIsNoMeasure() throws IOException {
        ask("films").submit().await();
        wasThere("films", 1, 100, 40);

        assertEquals(Optional.empty(), results("films").duration());
    }

    @Test void theReportHasTheTimesOfEachPartAndThePageTheWhole() throws IOException {
        ask("films").submit().await();
        wasThere("films", 1, 0, 90);
        results("films").toHtml(home.resolve("page.html"));

        var report = report(results("films"));

        assertEquals(90, report.path("seconds").asInt());
        assertEquals(List.of("2026-03-01T08:00:00Z", "2026-03-01T08:01:30Z"),
            List.of(report.at("/batches/0/created").asText(), report.at("/batches/0/ended").asText()));
        assertTrue(Files.readString(home.resolve("page.html")).contains("\"took\":\"1m30s\""));
    }

    @Test void whatTookLessThanAMinuteIsNotSaidBelowATable() throws IOException {
        ask("films").submit().await();
        wasThere("films", 1, 0, 59);

        assertFalse(Printed.stdout(() -> results("films").show()).contains("took"));
    }

    private JsonNode report(Results results) {
        results.overwriting().toReport(home.resolve("report.json"));
        return Json.read(home.resolve("report.json"), JsonNode.class);
    }

    private static Results results(String name) { return batch(name).results(); }

    /** Has the provider say so, in seconds after the start. */
    private void wasThere(String name, int part, long created, long completed) throws IOException {
        change(name, part, batch -> batch.put("created_at", START.getEpochSecond() + created)
            .put("completed_at", START.getEpochSecond() + completed));
    }

    private interface Change {
        void to(ObjectNode batch);
    }

    /** Changes what the journal says of a part's end. */
    private static void change(String name, int part, Change change) throws IOException {
        var file = kept().stream().filter(batch -> batch.name().equals(name)).findFirst().orElseThrow().folder()
            .resolve("steps.jsonl");
        var lines = new ArrayList<String>();
        for (var line : Files.readAllLines(file)) {
            var step = (ObjectNode) RawClient.json(line.getBytes());
            if (step.path("part").asInt() == part && step.has("batch")) change.to((ObjectNode) step.get("batch"));
            lines.add(step.toString());
        }
        Files.write(file, lines);
    }

    private Provider here() { return Provider.of(server.baseUrl()); }

    private Draft ask(String name) {
        return batch().provider(here()).quiet().name(name).model("echo").prompts("{{value}}", rows("a", "b", "c"));
    }
}
