package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Result;
import sheaf.Sheaf.Results;
import sheaf.Vocabulary.Outcome;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Reply;
import sheaf.support.Printed;

/** Identical requests are sent once where a draft says so, and each row gets the answer. */
class DistinctTest {
    final AtomicInteger answers = new AtomicInteger();
    @AutoClose final BatchServer server = BatchServer.start().answer(body ->
        Reply.text(body.at("/messages/0/content").asText() + " #" + answers.incrementAndGet()));
    @TempDir Path home;

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

    @Test void eachRowGetsTheAnswerOfTheFirstAndOneIsSent() {
        var results = ask("a", "b", "a", "a").distinct().submit().results();

        assertEquals(2, answers.get());
        assertEquals(4, results.size());
        assertEquals(List.of("a", "b", "a", "a"), rowsOf(results));
        assertEquals(1, texts(results, "a").stream().distinct().count());
        assertEquals(Map.of(Outcome.SUCCEEDED, 4L), results.counts());
    }

    @Test void withoutTheWordEachIsSentAndThatIsSaid() {
        var said = Printed.stderr(() -> loud("a", "b", "a", "a").submit().results());

        assertEquals(4, answers.get());
        assertTrue(said.contains("submit: 2 of 4 requests say the same as one before them, and each is paid for an "
            + "answer of its own; if one answer would do for all, distinct() sends each once\n"), said);
        assertTrue(!Printed.stderr(() -> loud("a", "b").name("none").submit().results()).contains("distinct"));
    }

    @Test void aRepairDoesNotSayItOnceMore() {
        server.answer(body -> answers.incrementAndGet() > 2 ? Reply.text("fine") : Reply.error(500, "x", "broken"));

        var said = Printed.stderr(() -> loud("a", "a").repair(1).submit().results());

        assertEquals(4, answers.get());
        assertEquals(2, said.split("say the same", -1).length, said);
    }

    @Test void theTokensOfAnAnswerThatStandsForSeveralArePaidOnce() {
        var once = ask("a").name("once").submit().results().usage();
        var results = ask("a", "a", "a").distinct().submit().results();

        assertEquals(once, results.usage());
        assertEquals(once, results.stream().map(Result::usage).reduce(new Vocabulary.Usage(0, 0, 0, 0),
            Vocabulary.Usage::plus));
    }

    @Test void theSameScriptRunAgainPaysNothing() {
        ask("a", "a", "b").distinct().submit().results();

        var again = ask("a", "a", "b").distinct().submit().results();

        assertEquals(2, answers.get());
        assertEquals(List.of("a", "a", "b"), rowsOf(again));
    }

    @Test void withoutTheWordAnAnswerThatStandsForSeveralIsOne() {
        ask("a", "a", "b").distinct().submit().results();

        var each = ask("a", "a", "b").submit().results();

        assertEquals(3, answers.get(), "the second a is asked");
        assertEquals(2, texts(each, "a").stream().distinct().count());
    }

    @Test void whatIsLeftOutIsNotSaidToBeSent() {
        loud("a", "b").submit().results();

        var said = Printed.stderr(() -> loud("a", "a", "b", "c", "c").distinct().submit().results());

        assertTrue(said.contains(": 5 requests; 2 answered before, 1 to send"), said);
    }

    @Test void answersOfBeforeAreTakenAndOnlyOnePerRequestIsNeeded() {
        ask("a", "b").submit().results();

        var results = ask("a", "a", "b", "c", "c").distinct().submit().results();

        assertEquals(3, answers.get());
        assertEquals(List.of("a", "a", "b", "c", "c"), rowsOf(results));
        assertEquals(1, texts(results, "c").stream().distinct().count());
        assertEquals(5, results.succeeded().size());
    }

    @Test void allMayHaveBeenAnsweredBefore() {
        ask("a", "b").submit().results();

        assertEquals(3, ask("a", "b", "a").distinct().submit().results().succeeded().size());
        assertEquals(2, answers.get());
    }

    @Test void aRepairSendsARepeatOnceToo() {
        var broken = Collections.synchronizedList(new ArrayList<>(List.of("a")));
        server.answer(body -> {
            answers.incrementAndGet();
            return broken.remove(body.at("/messages/0/content").asText()) ? Reply.error(500, "x", "broke")
                : Reply.text("ok");
        });

        var results = ask("a", "a", "b", "a").distinct().repair(1).submit().results();

        assertEquals(4, results.succeeded().size(), results.counts().toString());
        assertEquals(3, answers.get());
    }

    @Test void twoPartsAndManyRepeatsAreJoined() {
        var values = IntStream.range(0, 500).mapToObj(i -> "v" + i % 7).toArray(String[]::new);

        var results = ask(values).provider(Provider.of(server.baseUrl()).limits(3, 100_000_000)).distinct().submit()
            .results();

        assertEquals(7, answers.get());
        assertEquals(500, results.succeeded().size());
        assertTrue(results.stream().allMatch(result -> result.text().startsWith(result.row("value") + " #")));
    }

    @Test void whatDiffersInAnythingIsNoRepeat() {
        ask("a", "A", "a ", "a").model("one", "two").distinct().submit().results();

        assertEquals(6, answers.get());
    }

    /** Ids are the file's own there, and the line of a repeat is not sent. */
    @Test void theRequestsOfAFileKeepTheirIds() throws IOException {
        var broken = Collections.synchronizedList(new ArrayList<>(List.of("a")));
        server.answer(body -> broken.remove(body.at("/messages/0/content").asText())
            ? Reply.error(500, "x", "broke") : Reply.text("re " + body.at("/messages/0/content").asText()));
        var file = file(request("x", "a", ""), request("y", "b", ""), request("z", "a", ""));

        var results = batch().requests(file).provider(Provider.of(server.baseUrl())).quiet().distinct().repair(1)
            .submit().results();

        assertEquals(List.of("x re a", "y re b", "z re a"),
            results.stream().map(result -> result.customId() + " " + result.text()).toList());
    }

    /** An id may look like ours, and a word like the one behind ours. */
    @Test void linesOfAFileInAnyOrderAreToldApart() throws IOException {
        var metadata = "\"metadata\":{\"app\":\"x\",\"method\":\"y\"},";
        var file = file(request("request-1", "a", metadata), request("request-2", "b", metadata),
            request("request-3", "a", metadata));

        var results = batch().requests(file).provider(Provider.of(server.baseUrl())).quiet().distinct().submit()
            .results();

        assertEquals(2, answers.get());
        assertEquals(List.of("request-1", "request-2", "request-3"),
            results.stream().map(Result::customId).toList());
        assertEquals(results.stream().toList().get(0).text(), results.stream().toList().get(2).text());
    }

    private Path file(String... lines) throws IOException {
        return Files.writeString(home.resolve("requests.jsonl"), String.join("\n", lines));
    }

    private static String request(String id, String content, String fields) {
        return "{\"custom_id\":\"" + id + "\",\"body\":{" + fields + "\"model\":\"m\",\"messages\":[{\"role\":\"user\","
            + "\"content\":\"" + content + "\"}]},\"method\":\"POST\",\"url\":\"/v1/chat/completions\"}";
    }

    private static List<String> rowsOf(Results results) {
        return results.stream().map(result -> result.row("value")).toList();
    }

    private static List<String> texts(Results results, String value) {
        return results.stream().filter(result -> result.row("value").equals(value)).map(Result::text).toList();
    }

    private Draft ask(String... values) { return loud(values).quiet(); }

    private Draft loud(String... values) {
        return batch().model("m").provider(Provider.of(server.baseUrl())).name("letters")
            .prompts("{{value}}", rows(List.of(values)));
    }
}
