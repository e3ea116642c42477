package sheaf;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.csv;
import static sheaf.Sheaf.rows;
import static sheaf.Sheaf.template;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Result;
import sheaf.Sheaf.Results;
import sheaf.Vocabulary.CsvOption;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Reply;

/** What toCsv writes. */
class CsvExportTest {
    @AutoClose final BatchServer server = BatchServer.start();
    @TempDir Path home;

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

    @Test void whatASpreadsheetTakesForAFormulaIsText() {
        var texts = List.of("=1+1", "=", "@SUM(A1)", "+1+1", "-1+1", "- a list\n- of two", "--", "\t=1", "\r=1",
            "=cmd|' /C calc'!A0", "-5 apples", "+49 170 123", "\uff1d1+1", "-A1", "-1E5x", "+.", "-(1)");
        var results = results(texts);

        assertEquals(texts.stream().map(text -> "'" + text).toList(), back(results));
        assertEquals(texts, back(results, CsvOption.FORMULAS));
    }

    @Test void aNumberStaysANumberAndATextAText() {
        var texts = List.of("-5", "+5", "-1.5", "-1,5", "-1,234.56", "+.5", "-1e-7", "-20%", "-", "+", "'=1", " =1",
            "a=1", "1-1", "\n=1", "5", "x", "\t", "\r\n");

        assertEquals(texts, back(results(texts)));
    }

    @Test void aColumnsNameIsNoFormulaEither() throws IOException {
        batch().provider(here()).quiet().model("m").prompts("{{n}}", rows(Map.of("=A1", "1", "n", "-2"))).submit()
            .results().toCsv(out());

        assertEquals("'=A1,n,result.customId,result.template,result.model,result.answeredBy,result.outcome,"
            + "result.text,result.error\n"
            + "1,-2,request-1,prompt-1,m,m,succeeded,-2,\n", written());
    }

    @Test void excelKnowsUtf8ByAByteOrderMark() throws IOException {
        var results = results(List.of("gr\u00fc\u00df"));

        results.toCsv(out(), Set.of(CsvOption.BOM), "value");
        assertEquals("\uFEFFvalue\ngr\u00fc\u00df\n", written());
        assertEquals(List.of(Map.of("value", "gr\u00fc\u00df")), csv(out()).open().toList());
        results.toCsv(out(), "value");
        assertEquals("value\ngr\u00fc\u00df\n", written());
    }

    @Test void eachModelHasAColumn() throws IOException {
        server.answer(body -> body.path("model").asText().equals("b") && body.toString().contains("two")
            ? Reply.error(400, "no", "no") : Reply.text(body.path("model").asText() + " says"));

        var results = ask(batch().model("a", "b").prompts("{{q}}", rows(Map.of("q", "one"), Map.of("q", "two"))));

        results.toCsv(out(), Set.of(CsvOption.WIDE));
        assertEquals("q,result.customId,a,b,a.error,b.error\none,request-1,a says,b says,,\n"
            + "two,request-3,a says,,,400 no\n", written());
        results.toCsv(out(), Set.of(CsvOption.WIDE), "result.text", "q", "result.outcome");
        assertEquals("a,b,q,a.outcome,b.outcome\na says,b says,one,succeeded,succeeded\n"
            + "a says,,two,succeeded,errored\n", written());
    }

    @Test void eachPromptOfEachModelHasAColumn() throws IOException {
        var draft = batch().model("m", "n").prompts(List.of(template("short", "S {{q}}"), "L {{q}}"),
            rows(Map.of("q", "one")));

        ask(draft).toCsv(out(), Set.of(CsvOption.WIDE), "q", "result.text");

        assertEquals("q,\"short, m\",\"short, n\",\"prompt-2, m\",\"prompt-2, n\"\none,S one,S one,L one,L one\n",
            written());
    }

    /** A model of the row's tells no two answers apart, nor does a name that a column has. */
    @Test void noTwoColumnsHaveOneName() throws IOException {
        var row = Map.of("q", "one", "x", "m", "y", "n");

        ask(batch().model("{{x}}", "{{y}}").prompts("{{q}}", rows(row))).toCsv(out(), Set.of(CsvOption.WIDE), "q",
            "result.text");
        assertEquals("q,prompt-1,\"prompt-1, 2\"\none,one,one\n", written());
        ask(batch().model("q", "b").prompts("{{q}}", rows(row))).toCsv(out(), Set.of(CsvOption.WIDE), "q",
            "result.text");
        assertEquals("q,result.q,b\none,one,one\n", written());
    }

    @Test void whatAFilterLeftOutIsEmpty() throws IOException {
        server.answer(body -> body.toString().contains("bad") ? Reply.error(400, "no", "no") : Reply.text("fine"));
        var results = ask(batch().model("m").prompts(List.of("{{a}}", "{{b}}"), rows(Map.of("a", "good", "b", "bad"),
            Map.of("a", "good too", "b", "good three"), Map.of("a", "bad", "b", "bad two"))));

        results.succeeded().toCsv(out(), Set.of(CsvOption.WIDE), "a", "result.text");
        assertEquals("a,prompt-1,prompt-2\ngood,fine,\ngood too,fine,fine\n", written());
        results.failed().toCsv(out(), Set.of(CsvOption.WIDE), "a", "result.error");
        assertEquals("a,prompt-1.error,prompt-2.error\ngood,,400 no\nbad,400 no,400 no\n", written());
    }

    @Test void whereARowHasOneAnswerWideIsLong() throws IOException {
        var results = results(List.of("x"));

        results.toCsv(out(), Set.of());
        var asLong = written();
        results.toCsv(out(), Set.of(CsvOption.WIDE));

        assertEquals(asLong, written());
    }

    @Test void aWideFileIsReadAsData() throws IOException {
        ask(batch().model("a", "b").prompts("{{q}}", rows(Map.of("q", "one")))).toCsv(out(), Set.of(CsvOption.WIDE),
            "q", "result.text");

        var judged = ask(batch().model("judge").prompts("{{a}} or {{b}}", csv(out())));

        assertEquals(List.of("one or one"), judged.stream().map(Result::text).toList());
    }

    @Test void aColumnThatThereIsNotIsNamedVisibly() {
        var fault = assertThrows(IllegalArgumentException.class,
            () -> results(List.of("x")).toCsv(out(), Set.of(CsvOption.WIDE), "val\u00a0ue"));

        assertEquals("toCsv: no column val<U+00A0>ue; there are: value, result.customId, result.template, "
            + "result.model, result.answeredBy, result.outcome, result.text, result.error", fault.getMessage());
    }

    private Results results(List<String> texts) {
        return ask(batch().model("m").prompts("{{value}}", rows(texts)));
    }

    private Results ask(Draft draft) { return draft.provider(here()).quiet().submit().results(); }

    private List<String> back(Results results, CsvOption... options) {
        results.toCsv(out(), Set.of(options), "value", "result.outcome");
        return csv(out()).open().map(row -> (String) row.get("value")).toList();
    }

    private Provider here() { return Provider.of(server.baseUrl()); }

    private Path out() { return home.resolve("out.csv"); }

    private String written() throws IOException {
        return new String(Files.readAllBytes(out()), UTF_8).replace("\r\n", "\n");
    }
}
