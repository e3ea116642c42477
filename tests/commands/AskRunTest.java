package sheaf.commands;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;
import sheaf.server.BatchServer;
import sheaf.support.Commands;
import sheaf.support.Commands.Run;
import sheaf.server.BatchServer.Reply;

/** What ask leaves for a job that runs it: a time limit, silence, the rows that failed, a report. */
class AskRunTest {
    final BatchServer server = BatchServer.start();
    @TempDir Path dir;
    @RegisterExtension final Commands environment = new Commands(() -> dir.resolve("home"), () -> server);

    @BeforeEach void environment() throws IOException {
        Files.writeString(dir.resolve("rows.csv"), "id,q\n1,good\n2,bad\n3,=worse\n");
    }

    @Test void whatIsNotThereInTimeIsStillRunning() {
        server.pause();

        var run = ask("-m", "m", "-p", "{{q}}", "-d", at("rows.csv"), "--wait", "0s", "-o", at("out.csv"));

        assertEquals(75, run.status());
        assertTrue(run.err().matches("(?s).*\nask: (batch_\\w+) still (validating after 0ms \\(0/0\\)"
            + "|in_progress after 0ms \\(0/3\\)); it goes on: the same command comes back to it\n"), run.err());
        assertTrue(Files.notExists(dir.resolve("out.csv")));
        server.resume();
        assertEquals(0, ask("-m", "m", "-p", "{{q}}", "-d", at("rows.csv"), "--wait", "1m", "-o", at("out.csv"))
            .status());
        assertEquals(2, server.requests().stream().filter(request -> request.startsWith("POST ")).count(),
            "a file, a batch");
    }

    @Test void aQuietRunSaysNothingButItsAnswers() {
        server.answer(body -> Reply.error(400, "no", "too bad"));

        var run = ask("-m", "m", "Hi", "--quiet");

        assertEquals(new Run(3, "{\"prompt\":\"Hi\",\"result\":{\"customId\":\"request-1\",\"template\":\"prompt-1\","
            + "\"model\":\"m\",\"answeredBy\":\"\",\"outcome\":\"errored\",\"error\":\"400 too bad\"}}\n", ""), run);
    }

    @Test void theRowsThatFailedAreTheDataOfTheNextRun() throws IOException {
        server.answer(body -> body.toString().matches(".*(bad|worse).*") ? Reply.error(400, "no", "too bad")
            : Reply.text("ok"));
        var failed = at("failed.csv");

        var run = ask("-m", "m", "-p", "{{q}}", "-p", "again {{q}}", "-d", at("rows.csv"), "-o", at("out.csv"),
            "--failed", failed);

        assertEquals(3, run.status());
        assertEquals("id,q\n2,bad\n3,=worse\n", read("failed.csv"));
        server.answer(body -> Reply.text("ok"));
        assertEquals(0, ask("-m", "m", "-p", "{{q}}", "-d", failed, "-o", at("more.csv"), "--name", "more").status());
        assertEquals(0, ask("-m", "m", "-p", "{{q}}", "-d", at("rows.csv"), "-o", at("out.csv"), "--failed", failed,
            "--name", "all", "--force").status());
        assertEquals("id,q\n", read("failed.csv"), "none of an earlier run is left");
    }

    @Test void theRowsThatFailedAreWrittenAsTheEndingSays() throws IOException {
        server.answer(body -> body.toString().contains("bad") ? Reply.error(400, "no", "too bad") : Reply.text("ok"));
        Files.writeString(dir.resolve("rows.jsonl"), "{\"id\":1,\"q\":\"bad\",\"tags\":[\"a\"],\"result\":{\"outcome\":"
            + "\"errored\"}}\n{\"q\":\"good\"}\n");

        for (var failed : List.of("failed.csv", "failed.jsonl", "failed.html"))
            assertEquals(3, ask("-m", "m", "-p", "{{q}}", "-p", "again {{q}}", "-d", at("rows.jsonl"), "-o",
                at("out.jsonl"), "--failed", at(failed)).status());

        assertEquals("{\"id\":1,\"q\":\"bad\",\"tags\":[\"a\"],\"result\":{\"outcome\":\"errored\"}}\n",
            read("failed.jsonl"));
        assertTrue(read("failed.html").contains("\"e\":\"400 too bad\""));
        assertFalse(read("failed.html").contains("\"p\":\"good\""));
    }

    @Test void anEndingThatNobodyWritesIsRefusedBeforeAnythingIsSent() {
        var run = ask("-m", "m", "-p", "{{q}}", "-d", at("rows.csv"), "--failed", at("failed.xlsx"));

        assertEquals(new Run(2, "", "failed: " + at("failed.xlsx") + " ends in none of .csv, .jsonl and .html\n"), run);
        assertEquals(0, server.requests().stream().filter(request -> request.startsWith("POST")).count());
    }

    @Test void theReportSaysWhatWasAskedAndWhatCameOfIt() throws IOException {
        server.answer(body -> body.toString().contains("bad") ? Reply.error(400, "no", "too bad")
            : Reply.text("ok"));

        ask("-m", "m", "-p", "{{q}}", "-d", at("rows.csv"), "-o", at("out.csv"), "--report", at("run.json"));

        var report = new ObjectMapper().readTree(read("run.json"));
        assertEquals("rows", report.path("name").asText());
        assertEquals(server.baseUrl(), report.path("baseUrl").asText());
        assertEquals("m", report.at("/settings/model").asText());
        assertEquals("{{q}}", report.at("/settings/prompts/0/1").asText());
        assertTrue(report.path("digest").asText().matches("[0-9a-f]{64}"));
        assertEquals(List.of(3L, 3L), List.of(report.path("rows").asLong(), report.path("requests").asLong()));
        assertEquals("{\"succeeded\":2,\"errored\":1}", report.path("outcomes").toString());
        assertEquals("{\"input\":2,\"output\":2,\"cached\":0,\"reasoning\":0}", report.path("tokens").toString());
        var submitted = Instant.parse(report.path("submitted").asText());
        assertFalse(Instant.parse(report.path("ended").asText()).isBefore(submitted.truncatedTo(ChronoUnit.SECONDS)),
            report::toString);                                 // which a server tells in whole seconds
        assertTrue(report.at("/batches/0/id").asText().startsWith("batch_"));
    }

    @Test void theReportTellsWhatWasPaidNowFromWhatWasPaidBefore() throws IOException {
        var tries = new AtomicInteger();
        server.answer(body -> body.toString().contains("bad") && tries.getAndIncrement() == 0
            ? Reply.error(500, "x", "broken") : Reply.text("ok"));
        ask("-m", "m", "-p", "{{q}}", "-d", at("rows.csv"), "--limit", "1", "-o", at("out.csv"));

        ask("-m", "m", "-p", "{{q}}", "-d", at("rows.csv"), "--repair", "1", "-o", at("out.csv"), "--report",
            at("run.json"));

        var report = new ObjectMapper().readTree(read("run.json"));
        assertEquals("{\"succeeded\":3}", report.path("outcomes").toString());
        assertEquals("{\"m\":3}", report.path("answeredBy").toString());
        assertEquals(List.of(1, 1), List.of(report.path("answeredBefore").asInt(), report.path("sentAgain").asInt()));
        assertEquals(List.of(2, 1), List.of(report.at("/tokens/output").asInt(),
            report.at("/tokensBefore/output").asInt()));
        assertEquals(2, report.path("batches").size(), "one of two rows, and its repair");
    }

    @Test void aServerOfThisMachineWithOneModelIsAskedByThat() throws IOException {
        var run = ask("-p", "{{q}}", "-d", at("rows.csv"), "--provider", server.baseUrl(), "--limit", "1", "-o",
            at("out.csv"));

        assertEquals(0, run.status(), run.err());
        assertEquals("1,good,request-1,prompt-1,echo,echo,succeeded,good,", read("out.csv").lines().skip(1).findFirst()
            .orElseThrow());
    }

    @Test void whatFailsIsAskedAtTheFallbackAndTheReportTellsWhatWasPaidToEach() throws IOException {
        server.answer(body -> body.toString().contains("bad") ? Reply.error(503, "x", "busy") : Reply.text("first"));
        try (var other = BatchServer.start()) {
            var run = ask("-m", "m", "-p", "{{q}}", "-d", at("rows.csv"), "-o", at("out.csv"), "--fallback",
                other.baseUrl() + ",n", "--report", at("run.json"));

            assertEquals(0, run.status(), run.err());
            assertTrue(run.err().contains("fallback to " + other.baseUrl() + ": 1 of 1 failed requests\n"), run.err());
            var cost = new ObjectMapper().readTree(read("run.json")).path("cost");
            assertEquals(List.of(server.baseUrl() + " m 2", other.baseUrl() + " n 1"), List.of(line(cost.get(0)),
                line(cost.get(1))));
        }
    }

    private static String line(JsonNode cost) {
        return cost.path("provider").asText() + " " + cost.path("model").asText() + " " + cost.path("paid").asInt();
    }

    @Test void severalProvidersShareTheRows() throws IOException {
        try (var other = BatchServer.start()) {
            var run = ask("-m", "m", "-p", "{{q}} {{id}}", "-d", at("rows.csv"), "-o", at("out.csv"), "--share",
                server.baseUrl() + ",0.1", "--share", other.baseUrl() + ",0.9,n");

            assertEquals(0, run.status(), run.err());
            assertTrue(run.err().contains(" requests go to " + other.baseUrl() + "\n"), run.err());
            assertTrue(read("out.csv").contains(",n,"), read("out.csv"));
        }
    }

    private String at(String name) { return dir.resolve(name).toString(); }

    private String read(String name) throws IOException {
        return Files.readString(dir.resolve(name)).replace("\r", "");
    }

    private static Run ask(String... arguments) {
        return Run.of(() -> ask.run(stream -> false, arguments));
    }
}
