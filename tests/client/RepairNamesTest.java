package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.kept;
import static sheaf.Sheaf.rows;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Result;
import sheaf.Sheaf.Results;
import sheaf.Vocabulary.Outcome;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Reply;
import sheaf.support.RawClient;

/** Another name asks anew: what was sent again of a batch counts for that one, and not for the same of another name. */
@Tag("C33")
class RepairNamesTest {
    @AutoClose final BatchServer server = BatchServer.start();
    final Map<String, Integer> tries = new ConcurrentHashMap<>();      // by model and prompt
    @TempDir Path home;

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

    @Test void aBatchOfAnotherNameIsRepairedAnew() {
        breaking(1);
        assertEquals(List.of("a 1", "b 2"), texts(ask("monday").repair(1)));
        tries.clear();

        assertEquals(List.of("a 1", "b 2"), texts(ask("tuesday").repair(1)));
        assertEquals(Map.of("echo a", 1, "echo b", 2), tries);
    }

    @Test void whatWasSentAgainUnderAnotherNameCountsForNothing() {
        breaking(1);
        ask("monday").repair(1).submit().results();
        tries.clear();

        var unrepaired = ask("tuesday").repair(0).submit().results();

        assertEquals(Map.of(Outcome.SUCCEEDED, 1L, Outcome.ERRORED, 1L), unrepaired.counts());
    }

    @Test void aLaterBatchTakesOverWhatItsOwnNameHasRepaired() {
        breaking(1);
        ask("monday").repair(1).submit().results();
        tries.clear();
        ask("tuesday").repair(1).submit().results();
        tries.clear();

        var later = texts(batch().provider(here()).quiet().name("tuesday").model("echo")
            .prompts("{{value}}", rows("a", "b", "c")));

        assertEquals(List.of("a 1", "b 2", "c 1"), later);
        assertEquals(Map.of("echo c", 1), tries);
    }

    @Test void aPartThatFailedIsSubmittedAnewWhateverAnotherNameHasSentAgain() {
        breaking(0);
        server.models("good");
        var monday = halfFailed("monday").submit().results();
        halfFailed("tuesday").submit().await();
        server.models("good", "bad");
        monday.retry().quiet().submit().await();
        tries.clear();

        assertEquals(4, halfFailed("tuesday").submit().results().succeeded().size());
        assertEquals(Map.of("bad a", 1, "bad b", 1), tries);
    }

    @Test void aRetryOfItsOwnNameIsRepairedAnewToo() {
        breaking(2);
        var first = ask("films").submit().results();
        better(first, "monday");
        tries.keySet().removeIf(asked -> asked.startsWith("better"));

        better(first, "tuesday");

        assertEquals(3, tries.get("better b"));
    }

    @Test void whatARetryOfItsOwnNameHasRepairedCountsForTheFirst() {
        breaking(2);
        var first = ask("films").submit().results();
        first.retry().name("again").quiet().repair(1).submit().results();
        tries.clear();

        assertEquals(List.of("a 1", "b 3"), texts(ask("films").repair(2)));
        assertEquals(Map.of(), tries);
    }

    @Test void aRetryOfAnEarlierSheafBelongsToTheNameThatItBears() throws IOException {
        breaking(1);
        ask("monday").repair(1).submit().results();
        forgetWhose("monday-retry");
        tries.clear();

        assertEquals(List.of("a 1", "b 2"), texts(ask("monday").repair(1)));
        assertEquals(Map.of(), tries);
        assertEquals(List.of("a 1", "b 2"), texts(ask("tuesday").repair(1)));
        assertEquals(Map.of("echo a", 1, "echo b", 2), tries);
    }

    @Test void aRetryOfAnEarlierSheafUnderANameOfItsOwnMayBeOfAny() throws IOException {
        breaking(1);
        ask("monday").submit().results().retry().name("again").quiet().submit().await();
        forgetWhose("again");
        tries.clear();

        assertEquals(List.of("a 1", "b 2"), texts(ask("monday").repair(1)));
        assertEquals(Map.of(), tries);
    }

    /** An earlier Sheaf did not write it down. */
    private void forgetWhose(String name) throws IOException {
        var file = kept().stream().filter(batch -> batch.name().equals(name)).findFirst().orElseThrow().folder()
            .resolve("draft.json");
        var manifest = (ObjectNode) RawClient.json(Files.readAllBytes(file));
        assertEquals(manifest.remove("again_as").asText().replaceFirst("/.*", ""), "monday");
        Files.writeString(file, manifest.toString());
    }

    /** What a better model is asked is broken at first too. */
    private static void better(Results first, String name) {
        first.retry().model("better").name(name).quiet().repair(2).submit().results();
    }

    /** Breaks the prompt "b" of each model, so many times; an answer tells how often it was asked. */
    private void breaking(int times) {
        server.answer(body -> {
            var prompt = body.at("/messages/0/content").asText();
            int attempt = tries.merge(body.path("model").asText() + " " + prompt, 1, Integer::sum);
            return prompt.equals("b") && attempt <= times ? Reply.error(500, "x", "broken")
                : Reply.text(prompt + " " + attempt);
        });
    }

    private Draft ask(String name) {
        return batch().provider(here()).quiet().name(name).model("echo").prompts("{{value}}", rows("a", "b"));
    }

    /** A part for each model, of which the server has only one at first. */
    private Draft halfFailed(String name) {
        return batch().provider(here()).quiet().name(name).model("good", "bad")
            .prompts("{{value}}", rows("a", "b"));
    }

    private Provider here() { return Provider.of(server.baseUrl()); }

    private static List<String> texts(Draft draft) {
        return draft.submit().results().stream().map(Result::rawText).toList();
    }
}
