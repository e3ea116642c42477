package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.kept;
import static sheaf.Sheaf.rows;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import sheaf.Sheaf.Data;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Vocabulary.Outcome;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Fault;
import sheaf.server.BatchServer.Reply;
import sheaf.support.Printed;
import sheaf.support.RawClient;

/** An answer file that comes with fewer lines than it should have, cut at a line's end with a fitting length. */
@Tag("C27")
class ShortAnswersTest {
    private static final int ROWS = 20;
    private static final int FIRST_LOOK = 9;               // downloads, until what came is taken
    private static final int LATER_LOOK = 3;

    @TempDir Path home;
    private final Data data = rows(IntStream.range(0, ROWS).mapToObj(n -> Map.of("n", "row " + n)).toList());
    @AutoClose private final BatchServer server = BatchServer.start();
    private final RawClient client = new RawClient(server::baseUrl);

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

    @Test void isAskedForAgainAtEachLaterLook() {
        cutDownloads(FIRST_LOOK);
        var said = Printed.stderr(() -> assertEquals(ROWS - 5, missing(draft())));

        assertTrue(said.contains("results: only 5 of 20 answers of part 1 of "), said);
        assertEquals(0, missing(draft()));
        assertEquals(1, batchesThere());
    }

    @Test void keepsWhatIsHereWhileNothingMoreComes() {
        cutDownloads(FIRST_LOOK);
        missing(draft());
        server.on("GET /v1/files/*/content", Collections.nCopies(FIRST_LOOK, Fault.status(404)).toArray(Fault[]::new));

        assertEquals(ROWS - 5, missing(draft()));
    }

    @Test void isNotPaidForAgainByRepair() {
        cutDownloads(FIRST_LOOK);

        assertEquals(ROWS - 5, missing(draft().repair(2)));

        assertEquals(1, batchesThere());
    }

    @Test void isNoReasonNotToRepairWhatSurelyFailed() {
        var broken = new AtomicInteger();
        server.answer(body -> body.toString().matches(".*row [27]\".*") && broken.incrementAndGet() <= 2
            ? Reply.error(500, "x", "broken") : Reply.text("fine"));
        cutDownloads(FIRST_LOOK + 3);                  // and those of the short error file

        var said = Printed.stderr(() -> assertEquals(ROWS - 5 - 2, missing(draft().repair(1))));

        assertTrue(said.contains("\nrepair 1 of 1: 2 of 2 failed requests\n"), said);
        assertTrue(said.contains("\nrepair: 13 requests left out, for not all answers have come and what may be "
            + "answered is not paid again; run again, or pay for it anew by resendMissing()\n"), said);
        assertEquals(ROWS, draft().repair(1).submit().results().succeeded().size());
        assertEquals(2, batchesThere());
        assertEquals(2, kept().stream().filter(batch -> batch.name().endsWith("-retry")).findFirst().orElseThrow()
            .requestCounts().total());
    }

    @Test void isNotMadeUpForByALineThatCameTwice() {
        server.rewrite(lines -> lines.stream().map(line -> line.replace("\"request-2\"", "\"request-1\"")).toList());

        assertEquals(1, missing(draft().repair(1)));

        assertEquals(1, batchesThere());
    }

    @Test void isNotMadeUpForByALineThatIsNoAnswer() {
        var one = batch().provider(provider()).model("echo").prompts("{{n}}", rows(Map.of("n", 1))).repair(1);
        server.on("GET /v1/files/*/content", Collections.nCopies(FIRST_LOOK,
            Fault.status(200).body("{\"error\":{\"message\":\"busy, come again\"}}\n")).toArray(Fault[]::new));

        assertEquals(1, missing(one));

        assertEquals(0, missing(one));
        assertEquals(1, batchesThere());
    }

    @Test void isNotMadeUpForByALineThatAnswersWhatWasNeverAsked() {
        server.rewrite(lines -> lines.stream().map(line -> line.replace("\"request-2\"", "\"request-99\"")).toList());

        assertEquals(1, missing(draft().repair(1)));

        assertEquals(1, batchesThere());
    }

    @Test void isNotMadeUpForByAStrangersLineToAFileOfRequests(@TempDir Path folder) throws IOException {
        var line = "{\"custom_id\":\"%s\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\","
            + "\"body\":{\"model\":\"echo\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}}\n";
        var file = Files.writeString(folder.resolve("own.jsonl"), line.formatted("mine") + line.formatted("yours"));
        server.rewrite(lines -> lines.stream().map(said -> said.replace("\"yours\"", "\"theirs\"")).toList());

        assertEquals(1, missing(batch().provider(provider()).requests(file).repair(1)));

        assertEquals(1, batchesThere());
    }

    @ParameterizedTest
    @ValueSource(ints = {0, ROWS})
    void isToldByItsRequestsWhereNoAnswersAreCounted(int total) {
        server.claimCounts(total, 0, 0);
        cutDownloads(FIRST_LOOK);

        assertEquals(ROWS - 5, missing(draft().repair(2)));

        assertEquals(0, missing(draft()));
        assertEquals(1, batchesThere());
    }

    /** A batch that expired has no answer to some of its requests, as it is. */
    @Test void isToldByItsSizeWhereABatchThatEndedEarlyCountsNothing() {
        var id = draft().submit().id();
        var ended = (ObjectNode) client.finishedBatch(id);
        ended.put("status", "expired").remove("request_counts");
        var file = "/files/" + ended.get("output_file_id").asText() + "/content";
        int fifth = end(5, client.get(file).body());
        var isCut = new AtomicBoolean(true);
        server.onEvery(request -> {
            if (request.equals("GET /v1/batches/" + id)) return Fault.status(200).body(ended.toString());
            return isCut.get() && request.equals("GET /v1" + file) ? Fault.shortened(fifth) : null;
        });

        var said = Printed.stderr(() -> assertEquals(5, draft().repair(1).submit().results().succeeded().size()));
        assertTrue(said.matches("(?s).*results: only 5 answers of part 1 of short-\\w+ came; run again, and the rest "
            + "is asked for anew\n.*"), said);
        isCut.set(false);

        assertEquals(ROWS, draft().repair(1).submit().results().succeeded().size());
        assertEquals(1, batchesThere());
    }

    @Test void isNotPaidForAgainByALargerDraft() {
        cutDownloads(FIRST_LOOK);
        missing(draft());
        cutDownloads(LATER_LOOK);
        var larger = draft().prompts("also {{n}}", data);

        var fault = assertThrows(IllegalStateException.class, larger::submit);

        assertTrue(fault.getMessage().matches("submit: not all answers of short-\\w+ have come, and what may be "
            + "answered would be paid twice; .*"), fault.getMessage());
        assertEquals(1, batchesThere());
        assertEquals(2 * ROWS, larger.submit().results().succeeded().size());
    }

    @Test void isPaidForAgainOnceByTheWordForItThoughMoreOfItComes() {
        cutDownloads(FIRST_LOOK);
        assertEquals(0, missing(draft().resendMissing()));
        assertEquals(ROWS + 15, requestsPaid());
        cutDownloads(LATER_LOOK, 10);

        assertEquals(0, missing(draft().resendMissing()));
        assertEquals(0, missing(draft().resendMissing().repair(1)));

        assertEquals(ROWS + 15, requestsPaid());
    }

    @Test void isPaidForAgainOnlyAsFarAsNoRetryByHandDid() {
        cutDownloads(FIRST_LOOK);
        draft().submit().results().only(Outcome.MISSING).by(result -> result.customId().length())
            .get("request-6".length()).retry().submit();
        cutDownloads(LATER_LOOK);

        assertEquals(0, missing(draft().resendMissing()));

        assertEquals(ROWS + 4 + 11, requestsPaid());
    }

    @Test void saysWhatItIs() {
        cutDownloads(FIRST_LOOK);
        var results = draft().submit().results();

        assertEquals("its file came with fewer lines than it should have; run again, or pay for it anew by "
            + "resendMissing()", results.only(Outcome.MISSING).iterator().next().error());
    }

    @Test void itsFileIsNoLeftover() {
        cutDownloads(FIRST_LOOK);
        missing(draft());

        assertEquals(List.of(), provider().leftovers(Duration.ofSeconds(-10)));
    }

    /** A process that was killed while it fetched a file, or fetched it anew, has left what had come. */
    @ParameterizedTest
    @ValueSource(strings = {".part-1.output.jsonl.01234567.partial", "..part-1.output.jsonl.anew.01234567.partial",
        ".part-1.output.jsonl.anew"})
    void whatAKilledProcessLeftIsSweptUpOnceAllIsHere(String leftover) throws IOException {
        var folder = draft().submit().await().folder();
        Files.writeString(folder.resolve(leftover), "half a li");

        assertEquals(0, missing(draft()));

        assertTrue(Files.notExists(folder.resolve(leftover)));
    }

    private void cutDownloads(int times) { cutDownloads(times, 5); }

    private void cutDownloads(int times, int lines) {
        var first = draft().submit().await();
        var whole = client.get("/files/" + first.parts().get(0).outputFileId() + "/content").body();
        server.on("GET /v1/files/*/content",
            Collections.nCopies(times, Fault.shortened(end(lines, whole))).toArray(Fault[]::new));
    }

    /** Returns where so many lines of a file end. */
    private static int end(int lines, byte[] file) {
        var ends = IntStream.range(0, file.length).filter(i -> file[i] == '\n');
        return 1 + ends.skip(lines - 1).findFirst().orElseThrow();
    }

    private Draft draft() {
        return batch().provider(provider()).name("short").model("echo")
            .prompts("{{n}}", data);
    }

    private Provider provider() { return Provider.of(server.baseUrl()); }

    private static long missing(Draft draft) {
        return draft.submit().results().counts().getOrDefault(Outcome.MISSING, 0L);
    }

    private long requestsPaid() {
        return client.ids("/batches").stream().mapToLong(id ->
            client.finishedBatch(id).at("/request_counts/total").asLong()).sum();
    }

    private int batchesThere() { return client.ids("/batches").size(); }
}
