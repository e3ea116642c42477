package sheaf;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.kept;
import static sheaf.Sheaf.rows;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Predicate;
import java.util.stream.Stream;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import sheaf.Sheaf.Batch;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Result;
import sheaf.Sheaf.Results;
import sheaf.Vocabulary.Outcome;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Fault;
import sheaf.server.BatchServer.Reply;
import sheaf.support.Printed;
import sheaf.support.RawClient;

/** What comes to light bit by bit is repaired bit by bit, by whatever run or process, and nothing is paid twice. */
@Tag("C33")
class LaterRepairTest {
    private static final Reply BROKEN = Reply.error(503, "x", "broken");

    @TempDir Path home;
    @AutoClose private final BatchServer server = BatchServer.start();
    private final RawClient client = new RawClient(server::baseUrl);
    private final Map<String, Integer> tries = new ConcurrentHashMap<>();
    private final Map<String, Integer> failures = new ConcurrentHashMap<>();     // at first, by prompt
    private final Map<String, Integer> cuts = new ConcurrentHashMap<>();         // bytes that come, by request

    @BeforeEach void ownHome() {
        System.setProperty("SHEAF_HOME", home.toString());
        server.answer(body -> tries.merge(prompt(body), 1, Integer::sum) <= failures.getOrDefault(prompt(body), 0)
            ? BROKEN : Reply.text(prompt(body)));
        server.onEvery(request -> cuts.containsKey(request) ? Fault.shortened(cuts.get(request)) : null);
    }

    @Test void eachFailureIsSentAgainOnceItIsKnown() {
        failures.putAll(Map.of("a", 1, "b", 1));
        cutErrors(ask("a", "b", "c").submit(), 1);

        assertEquals(1, failed(ask("a", "b", "c").repair(1)));
        int known = server.requests().size();
        assertEquals(1, failed(ask("a", "b", "c").repair(1)));
        assertTrue(server.requests().stream().skip(known).noneMatch(request -> request.startsWith("POST")));
        cuts.clear();
        assertEquals(0, failed(ask("a", "b", "c").repair(1)));

        assertPaid(Map.of("a", 2, "b", 2, "c", 1));
        assertEquals(3, batchesThere());
    }

    @Test void whatWasSentAgainBeforeCountsInARunThatSendsNothing() {
        failures.putAll(Map.of("a", 1, "b", 2));
        assertEquals(1, failed(ask("a", "b", "c").repair(1)));

        int known = server.requests().size();
        assertEquals(2, failed(ask("a", "b", "c")));
        assertEquals(1, failed(ask("a", "b", "c").repair(0)));

        assertTrue(server.requests().stream().skip(known).noneMatch(request -> request.startsWith("POST")));
        assertPaid(Map.of("a", 2, "b", 2, "c", 1));
    }

    @Test void aLineThatIsLostForGoodHoldsUpNoOther() {
        failures.put("c", 1);
        server.loseLine("request-2");
        var draft = batch().provider(here()).model("m").prompts("{{value}}", rows("a", "b", "c")).repair(1);

        var said = Printed.stderr(() -> assertEquals(Map.of(Outcome.SUCCEEDED, 2L, Outcome.MISSING, 1L),
            draft.submit().results().counts()));

        assertTrue(said.contains("\nrepair 1 of 1: 1 of 1 failed requests\n"), said);
        assertTrue(said.contains("\nrepair: 1 request left out, for not all answers have come and what may be answered "
            + "is not paid again; run again, or pay for it anew by resendMissing()\n"), said);
        assertPaid(Map.of("a", 1, "b", 1, "c", 2));
    }

    @Test void whatOneRoundLeftOverIsSentInTheNextWithoutTheRest() {
        failures.putAll(Map.of("a", 2, "b", 2));
        cutErrors(ask("a", "b").submit(), 1);
        ask("a", "b").repair(1).submit().results();
        cuts.clear();

        assertEquals(0, failed(ask("a", "b").repair(2)));

        assertPaid(Map.of("a", 3, "b", 3));
        assertEquals(1 + 2 + 1, batchesThere());
    }

    @Test void whatFailedInAPartOfARepairThatIsShortIsSentAgainToo() {
        failures.putAll(Map.of("a", 2, "b", 2));
        ask("a", "b").repair(1).submit().results();
        var repair = kept().stream().filter(batch -> batch.name().endsWith("-retry")).findFirst().orElseThrow();
        cutErrors(repair, 1);
        forgetAnswers(repair);

        assertEquals(1, failed(ask("a", "b").repair(2)));
        cuts.clear();
        assertEquals(0, failed(ask("a", "b").repair(2)));

        assertPaid(Map.of("a", 3, "b", 3));
        assertEquals(4, batchesThere());
    }

    @Test void whichTimeWasTheLastIsToldByItsRoundAndNotByTheClock() throws IOException {
        failures.put("a", 2);
        assertEquals(0, failed(ask("a").repair(2)));
        var last = kept().stream().filter(batch -> input(batch).contains("request-1-r3")).findFirst().orElseThrow();
        var log = last.folder().resolve("steps.jsonl");
        Files.writeString(log, Files.readString(log).replaceAll("\"at\":\"\\d{4}", "\"at\":\"1999"));
        forgetAnswers(last);
        cuts.put("GET /v1/files/" + last.parts().get(0).outputFileId() + "/content", 0);

        assertEquals(Map.of(Outcome.MISSING, 1L), ask("a").repair(2).submit().results().counts());
        cuts.clear();
        assertEquals(0, failed(ask("a").repair(2)));

        assertPaid(Map.of("a", 3));
    }

    /** As if killed after so many steps, the create among them: before that nothing was paid. */
    @Tag("C16")
    @ParameterizedTest
    @ValueSource(ints = {3, 4, 5})
    void aRepairThatWasKilledIsFoundBeforeMoreIsSent(int steps) throws IOException {
        failures.putAll(Map.of("a", 1, "b", 1));
        cutErrors(ask("a", "b").submit(), 1);
        ask("a", "b").repair(1).submit().results();
        var repair = kept().stream().filter(batch -> batch.name().endsWith("-retry")).findFirst().orElseThrow();
        var log = repair.folder().resolve("steps.jsonl");
        Files.write(log, Files.readAllLines(log).subList(0, steps));
        if (steps < 5) forgetAnswers(repair);
        cuts.clear();

        assertEquals(0, failed(ask("a", "b").repair(1)));

        assertPaid(Map.of("a", 2, "b", 2));
    }

    @Tag("C16")
    @Test void aRepairWhoseCreateIsLostIsSentBeforeMoreIs() {
        failures.putAll(Map.of("a", 1, "b", 1));
        cutErrors(ask("a", "b").submit(), 1);
        server.on("POST /v1/batches", Fault.dropped());
        assertThrows(RuntimeException.class, () -> ask("a", "b").repair(1).submit().results());
        cuts.clear();

        assertEquals(0, failed(ask("a", "b").repair(1)));

        assertPaid(Map.of("a", 2, "b", 2));
        assertEquals(3, batchesThere());
    }

    /** One has seen one failure; the other comes while it sends that again, and sees two. */
    @Test void twoProcessesSendNothingTwice() throws Exception {
        failures.putAll(Map.of("a", 1, "b", 1));
        cutErrors(ask("a", "b").submit(), 1);
        var uploads = new AtomicInteger();
        var other = new CompletableFuture<Long>();
        server.onEvery(request -> {
            if (request.equals("POST /v1/files") && uploads.incrementAndGet() == 1) {
                cuts.clear();
                new Thread(() -> other.complete(failed(ask("a", "b").repair(1)))).start();
                return Fault.late(Duration.ofSeconds(1));
            }
            return cuts.containsKey(request) ? Fault.shortened(cuts.get(request)) : null;
        });

        ask("a", "b").repair(1).submit().results();

        assertEquals(0, other.get(1, TimeUnit.MINUTES));
        assertPaid(Map.of("a", 2, "b", 2));
    }

    @Test void aRetryByHandIsARoundOfIt() {
        failures.putAll(Map.of("a", 1, "b", 2));
        var first = ask("a", "b").submit().results();
        first.only(Outcome.ERRORED).retry().quiet().submit().results();

        assertEquals(List.of("a", "broken"), texts(ask("a", "b").repair(1).submit().results()));
        assertEquals(List.of("a", "b"), texts(ask("a", "b").repair(2).submit().results()));

        assertPaid(Map.of("a", 2, "b", 3));
    }

    @Test void aRetryIsRepairedInRoundsOfItsOwn() {
        failures.put("a", 2);
        var first = ask("a").submit().results();

        assertEquals(List.of("a"), texts(first.retry().quiet().repair(1).submit().results()));
        assertEquals(List.of("a"), texts(first.retry().quiet().repair(1).submit().results()));

        assertPaid(Map.of("a", 3));
    }

    @Test void aRepairThatWasRefusedIsSentWithWhatIsKnownByThen() {
        failures.putAll(Map.of("a", 1, "b", 1));
        cutErrors(ask("a", "b").submit(), 1);
        server.on("POST /v1/batches", Fault.status(400).body(QueueTest.NO_MODEL));
        assertEquals(2, failed(ask("a", "b").repair(1)));
        cuts.clear();

        assertEquals(0, failed(ask("a", "b").repair(1)));

        assertPaid(Map.of("a", 2, "b", 2));
        assertEquals(2, batchesThere());
    }

    @Test void anAnswerOfAnotherModelIsNoRepair() {
        server.answer(body -> body.get("model").asText().equals("other") || tries.merge("a", 1, Integer::sum) > 1
            ? Reply.text("by " + body.get("model").asText()) : BROKEN);
        ask("a").submit().results().retry().model("other").quiet().submit().results();

        assertEquals(List.of("by m"), texts(ask("a").repair(1).submit().results()));
        assertEquals(List.of("by m", "by m"), texts(ask("a", "b").submit().results()));
    }

    @Test void whatMayStandInARepairThatCameShortIsNotPaidByALargerDraft() {
        failures.put("a", 1);
        ask("a", "b").repair(1).submit().results();
        var repair = kept().stream().filter(batch -> batch.name().endsWith("-retry")).findFirst().orElseThrow();
        cuts.put("GET /v1/files/" + repair.parts().get(0).outputFileId() + "/content", 0);
        forgetAnswers(repair);

        var fault = assertThrows(IllegalStateException.class, () -> ask("a", "b", "c").submit());

        assertTrue(fault.getMessage().startsWith("submit: not all answers of later-"), fault.getMessage());
        cuts.clear();
        assertEquals(List.of("a", "b", "c"), texts(ask("a", "b", "c").submit().results()));
        assertPaid(Map.of("a", 2, "b", 1, "c", 1));
    }

    @Test void aRepairWhoseAnswerIsMissingIsSentAgainOnceByTheWordForIt() {
        failures.put("a", 1);
        ask("a", "b").repair(1).submit().results();
        var repair = kept().stream().filter(batch -> batch.name().endsWith("-retry")).findFirst().orElseThrow();
        cuts.put("GET /v1/files/" + repair.parts().get(0).outputFileId() + "/content", 0);
        forgetAnswers(repair);

        assertEquals(1, failed(ask("a", "b").repair(1)));
        assertEquals(0, failed(ask("a", "b").repair(1).resendMissing()));
        assertEquals(0, failed(ask("a", "b").repair(1).resendMissing()));

        assertPaid(Map.of("a", 3, "b", 1));
    }

    @Test void whatIsMissingOfWhatWasResentAsMissingIsNotPaidAThirdTime() {
        var batch = ask("a", "b").submit().await();
        cuts.put("GET /v1/files/" + batch.parts().get(0).outputFileId() + "/content", 0);
        ask("a", "b").resendMissing().submit().results();
        var retry = kept().stream().filter(kept -> kept.name().endsWith("-retry")).findFirst().orElseThrow();
        cuts.put("GET /v1/files/" + retry.parts().get(0).outputFileId() + "/content", 0);
        forgetAnswers(retry);

        assertEquals(2, failed(ask("a", "b").resendMissing()));
        cuts.clear();
        assertEquals(0, failed(ask("a", "b").resendMissing()));

        assertPaid(Map.of("a", 2, "b", 2));
    }

    /** Of the error file of the only part only so many lines come from now on. */
    private void cutErrors(Batch batch, int lines) {
        var file = "/files/" + batch.await().parts().get(0).errorFileId() + "/content";
        var whole = new String(client.get(file).body(), ISO_8859_1).split("(?<=\n)");
        cuts.put("GET /v1" + file, Stream.of(whole).limit(lines).mapToInt(String::length).sum());
    }

    private static String input(Batch batch) {
        try {
            return Files.readString(batch.folder().resolve("part-1.jsonl"));
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    private static void forgetAnswers(Batch batch) {
        var files = batch.folder().toFile().listFiles((dir, name) -> name.matches("part-.*(output|error).*|answers.*"));
        assertTrue(Arrays.stream(files).allMatch(file -> file.delete()));
    }

    private void assertPaid(Map<String, Integer> times) {
        assertEquals(new TreeMap<>(times), new TreeMap<>(tries));
        var ids = client.ids("/batches").stream().map(client::found)
            .map(batch -> client.get("/files/" + batch.get("input_file_id").asText() + "/content").body())
            .flatMap(file -> new String(file, ISO_8859_1).lines())
            .map(line -> RawClient.json(line.getBytes(ISO_8859_1)).get("custom_id").asText()).toList();
        assertEquals(List.of(), ids.stream().filter(isRepeated(ids)).toList());
    }

    private static Predicate<String> isRepeated(List<String> ids) { return id -> Collections.frequency(ids, id) > 1; }

    private static long failed(Draft draft) { return draft.submit().results().failed().size(); }

    private static List<String> texts(Results results) {
        return results.stream().map(result -> result.ok() ? result.text() : lastWord(result)).toList();
    }

    private static String lastWord(Result result) { return result.error().replaceFirst(".* ", ""); }

    private static String prompt(JsonNode body) { return body.at("/messages/0/content").asText(); }

    private int batchesThere() { return client.ids("/batches").size(); }

    private Provider here() { return Provider.of(server.baseUrl()); }

    private Draft ask(String... texts) {
        return batch().provider(here()).quiet().name("later").model("m").prompts("{{value}}", rows(List.of(texts)));
    }
}
