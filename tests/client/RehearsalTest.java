package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Result;
import sheaf.Vocabulary.Outcome;
import sheaf.rehearsal.Rehearsal;
import sheaf.server.BatchServer;
import sheaf.support.Printed;

/** The whole run at a server with faults, of a draft whose provider is never asked. */
class RehearsalTest {
    @TempDir Path home;

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

    @Test void faultsAreSurvivedAndWhatExpiredIsAResult() {
        var results = Rehearsal.of(ask(20));

        assertEquals(Map.of(Outcome.SUCCEEDED, 18L, Outcome.EXPIRED, 2L), results.counts());
        assertEquals(IntStream.rangeClosed(1, 20).mapToObj(String::valueOf).toList(),
            results.stream().map(result -> result.row("value")).toList());
    }

    @Test void whereItRunsAndWhatFailsThereIsNotShown() {
        var loud = batch().provider(Provider.GROQ).model("m").name("letters").prompts("{{value}}", rows("a", "b"));

        assertEquals("", Printed.stderr(() -> Rehearsal.of(loud)));
    }

    @Test void aRepairIsRehearsedToo() {
        assertEquals(20, Rehearsal.of(ask(20).repair(1)).succeeded().size());
    }

    @Test void thePartsAreThoseOfTheProvider() {
        var limited = Provider.GROQ.limits(4, 100_000_000);

        try (var server = BatchServer.start()) {
            ask(10).provider(limited).rehearse(server.baseUrl());

            assertEquals(3, server.requests().stream().filter("POST /v1/batches"::equals).count());
        }
        var folder = Journal.all().filter(journal -> journal.name().equals("rehearsal-letters")).findFirst()
            .orElseThrow();
        assertEquals(List.of(4L, 4L, 2L), folder.manifest().partRequests());
        assertEquals("groq", folder.manifest().provider().name());
        assertEquals("SHEAF_API_KEY", folder.manifest().provider().keyVariable(), "no key of a provider's is needed");
    }

    @Test void answersAreInventedInTheShapeThatIsAskedFor() {
        var schema = Map.of("type", "json_schema", "json_schema", Map.of("name", "mood", "strict", true, "schema",
            Map.of("type", "object", "properties", Map.of("mood", Map.of("type", "string", "enum", List.of("glad"))),
                "required", List.of("mood"), "additionalProperties", false)));

        var results = Rehearsal.of(ask(2).with("response_format", schema));

        assertEquals(List.of("{\"mood\":\"glad\"}", "{\"mood\":\"glad\"}"),
            results.stream().map(Result::text).map(text -> text.replaceAll("\\s", "")).toList());
    }

    @Test void ofLabelsOneIsInvented() {
        var results = Rehearsal.of(ask(3).choice("glad", "sad"));

        assertEquals(3, results.succeeded().size());
        assertTrue(results.stream().allMatch(result -> result.choice().equals("glad")), results.toString());
    }

    @Test void aSampleIsRehearsedAsOne() {
        try (var server = BatchServer.start()) {
            var results = ask(9).options("--sample", "3").rehearse(server.baseUrl());

            assertEquals(List.of("1", "4", "7"), results.stream().map(result -> result.row("value")).toList());
            assertEquals(0, server.requests().stream().filter("POST /v1/batches"::equals).count());
        }
    }

    @Test void nothingOfItCountsLaterAndTheLastOneIsKept() {
        Rehearsal.of(ask(3));
        Rehearsal.of(ask(3));

        assertEquals(1, Journal.all().count());
        try (var server = BatchServer.start()) {
            var real = ask(3).provider(server.baseUrl());
            assertEquals(3, real.estimate().toSend());
            assertEquals(3, real.price(0, 1).maxTokens(5).budget(0.00002).submit().results().succeeded().size());
            assertTrue(server.requests().contains("POST /v1/batches"));
        }
    }

    @Test void whatWasPaidElsewhereUnderItsNameStays() {
        try (var server = BatchServer.start()) {
            var elsewhere = Provider.of(server.baseUrl().replace("127.0.0.1", "[::ffff:127.0.0.1]"))
                .header("Authorization", "Bearer k");
            var paid = ask(2).name("rehearsal-letters").provider(elsewhere).submit().results();

            Rehearsal.of(ask(2));

            assertEquals(2, Journal.all().count());
            assertEquals(2, paid.succeeded().size());
        }
    }

    private static Draft ask(int rows) {
        return batch().provider(Provider.GROQ).model("m").name("letters").quiet().prompts("{{value}}",
            rows(IntStream.rangeClosed(1, rows).mapToObj(String::valueOf).toList()));
    }
}
