package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.csv;
import static sheaf.Sheaf.jsonl;
import static sheaf.Sheaf.rows;
import static sheaf.Sheaf.template;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Data;
import sheaf.Sheaf.Provider;
import sheaf.Vocabulary.Limits;
import sheaf.server.BatchServer;

/** What each value says of itself at JShell's prompt and in a debugger. */
class ToStringTest {
    @TempDir Path dir;

    @AfterEach void noKey() { System.setProperty("OPENAI_API_KEY", ""); }

    @Test void dataNamesItsFileAndItsColumns() {
        assertEquals("Data[q.csv: persona, question]", csv(file("q.csv", "persona,question\na,b\n")).toString());
        assertEquals("Data[q.jsonl: id, tags]", jsonl(file("q.jsonl", "{\"id\":1,\"tags\":[]}\n")).toString());
        assertEquals("Data[q.csv]", csv(file("q.csv", "a\n1\n")).limit(1).toString());
        assertEquals("Data[rows]", rows("a", "b").toString());
    }

    @Test void dataThatCannotBeReadStillHasItsName() throws IOException {
        assertEquals("Data[e.csv: no rows]", csv(file("e.csv", "a,b\n")).toString());
        assertEquals("Data[bad.jsonl]", jsonl(file("bad.jsonl", "[1]\n")).toString());
        var gone = csv(file("gone.csv", "a\n1\n"));
        Files.delete(dir.resolve("gone.csv"));
        assertEquals("Data[gone.csv]", gone.toString());
    }

    @Test void aDraftSaysItsDataByName() {
        Data own = () -> Stream.of(Map.of("question", "a"));

        assertEquals("Draft[m, 1 prompt over q.csv]",
            batch().model("m").prompts("{{a}}", csv(file("q.csv", "a\n1\n"))).toString());
        assertEquals("Draft[x, y, 2 prompts over data]",
            batch().model("x", "y").prompts(List.of("{{question}}", "Why?"), own).toString());
        assertEquals("Draft[0 prompts]", batch().toString());
    }

    @Test void aTemplateNamesWhatARowHasToFill() {
        assertEquals("Template[label {{ticket}} {{kind}}]", template("label", "{{ticket}}? {{kind}}, {{ticket}}")
            .toString());
        assertEquals("Template[plain]", template("plain", "Hello").toString());
    }

    @Test void limitsLeaveOutWhatIsNotLimited() {
        assertEquals("Limits[50,000 requests and 200 MB a file]", new Limits(50_000, 200_000_000).toString());
        assertEquals("Limits[1 request and 10 B a file; 1 batch queued; 2,000 tokens queued]",
            new Limits(1, 10, 1, 2000).toString());
        assertEquals("Limits[10 B a file]", new Limits(Long.MAX_VALUE, 10).toString());
    }

    @Test void whatWasSubmittedIsOneLineEachAndNoneHoldsTheKey() {
        System.setProperty("SHEAF_HOME", dir.toString());
        System.setProperty("OPENAI_API_KEY", "sk-secret");
        try (var server = BatchServer.start()) {
            var provider = Provider.of(server.baseUrl()).keyVariable("OPENAI_API_KEY");
            var batch = batch().provider(provider).quiet().model("m").prompts("{{value}}", rows("a\nb", "c")).submit();
            var results = batch.results();
            var result = results.iterator().next();

            for (var value : List.of(provider, batch, results, result, results.usage(), batch.requestCounts(),
                batch.status(), batch.parts().get(0), provider.limits(), provider.dialect()))
                assertFalse(value.toString().matches("(?s).*(secret|\n|@[0-9a-f]{5}).*"), value.toString());
            assertTrue(batch.toString().matches("Batch\\[batch_\\w+ completed 2/2]"), batch.toString());
            assertEquals("Results[rows 2 succeeded]", results.toString());
            assertEquals("Result[request-1 succeeded a b]", result.toString());
            assertEquals("3 tokens in, 3 out", results.usage().toString());
            assertEquals("2/2", batch.requestCounts().toString());
            assertEquals("completed", batch.status().toString());
            assertEquals("Provider[local " + server.baseUrl() + "]", provider.toString());
        }
    }

    private Path file(String name, String text) {
        try {
            return Files.writeString(dir.resolve(name), text);
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }
}
