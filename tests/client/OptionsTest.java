package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.csv;
import static sheaf.Sheaf.rows;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import sheaf.Sheaf.Draft;
import sheaf.server.BatchServer;
import sheaf.support.Guide;
import sheaf.support.Printed;

/** What whoever runs a script may change by its command line. */
class OptionsTest {
    final Draft script = batch().provider("http://localhost:8080/v1").model("m").system("s").temperature(1)
        .prompts("{{text}}", rows(Map.of("text", "a"), Map.of("text", "b")));
    @TempDir Path dir;

    @Test void noOptionsLeaveTheScriptAsItIs() { assertEquals(script.preview(9), script.options().preview(9)); }

    @Test void optionsTakeThePlaceOfWhatTheScriptSet() throws IOException {
        var data = Files.writeString(dir.resolve("own.jsonl"), "{\"q\":\"x\"}\n{\"q\":\"y\"}\n").toString();
        var template = Files.writeString(dir.resolve("own.mustache"), "Q {{q}}\n").toString();

        var draft = script.options("--limit", "1", "--data", data, "--template=" + template, "--model", "n,o",
            "--system", "S", "--temperature", "0", "--max-tokens", "7", "--with", "top_p=0.5", "--with", "user=12 x",
            "--with", "stop=[\"a\"]", "--with", "x=1e9999999999", "--provider", "groq", "--name", "mine");

        assertEquals(Stream.of("n", "o").map(model -> "{\"model\":\"" + model + "\",\"messages\":["
            + "{\"role\":\"system\",\"content\":\"S\"},{\"role\":\"user\",\"content\":\"Q x\"}],"
            + "\"stop\":[\"a\"],\"temperature\":0.0,\"top_p\":0.5,\"user\":\"12 x\",\"x\":\"1e9999999999\","
            + "\"max_completion_tokens\":7}").toList(), draft.preview(9).lines().stream()
            .map(line -> line.replaceFirst(".*\"body\":(.*)}$", "$1")).toList());
    }

    /** The arguments of an alias come first, the user's own after them. */
    @Test void theLastOfAnOptionCounts() {
        assertEquals(script.model("z").options("--limit", "2").preview(9),
            script.options("--model", "y", "--limit", "1", "--model", "z", "--limit", "2").preview(9));
    }

    @Test void aSpreadsheetsFileIsReadAsItsOptionsSay() throws IOException {
        var file = Files.write(dir.resolve("own.csv"), "a;gr\u00fc\u00df\rb;x\r".getBytes("windows-1252")).toString();
        var options = Stream.of("--data", file, "--separator", ";", "--charset", "windows-1252", "--header", "id,text");

        assertEquals(List.of("gr\u00fc\u00df"), prompts(script.options(Stream.concat(options, Stream.of("--limit", "1"))
            .toArray(String[]::new))));
    }

    /** Whoever brings no other file may have saved the script's own in another way. */
    @Test void theScriptsOwnFileMayBeReadAnotherWay() throws IOException {
        var file = Files.writeString(dir.resolve("a.csv"), "id\ttext\n1\tx\n2\ty\n");

        assertEquals(List.of("x"), prompts(batch().model("m").prompts("{{text}}", csv(file).limit(1))
            .options("--separator", "tab")));
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', value = {
        "--modle x | options: \"--modle\" is no option; did you mean --model?",
        "--tint x | options: \"--tint\" is no option; try --help",
        "extra | options: \"extra\" is no option; try --help",
        "--price 3 | options: --price 3 is no IN,OUT, such as 0.2,0.8",
        "--price 1.2.3,4 | options: --price 1.2.3,4 is no number",
        "--model | options: --model has no value; write --model M[,M2]",
        "--model --limit 3 | options: --model has no value; write --model M[,M2]",
        "--model x, | model: the name is empty; models() lists what there is",
        "--separator ; | options: --separator needs rows of a CSV file; these are rows",
        "--limit many | options: --limit many is no whole number",
        "--limit 0 | limit: 0 is less than 1",
        "--limit -1 | limit: -1 is less than 1",
        "--max-tokens -1 | maxTokens: -1 is less than 1",
        "--repair -1 | repair: -1 is less than 0",
        "--temperature hot | options: --temperature hot is no number",
        "--share groq,0.5 --share nebius,half | options: --share nebius,half is no number",
        "--share groq,0.5 --share nebius | options: --share nebius is no NAME,PART, such as groq,0.5",
        "--share groq,0.5 --share nebius,0.5 --provider openai | options: --provider and --share both say who answers; "
            + "give one",
        "--engine ollama --provider openai | options: --provider and --engine both say who answers; give one",
        "--repair twice | options: --repair twice is no whole number",
        "--out answers.txt | options: --out answers.txt ends in none of .csv, .jsonl and .html",
        "--out a/answers.parquet | options: --out a/answers.parquet ends in none of .csv, .jsonl and .html; ./jbang "
            + "ask writes it, and in a script toParquet(...)",
        "--out films.XLSX | options: --out films.XLSX ends in none of .csv, .jsonl and .html; ./jbang ask writes it, "
            + "and in a script toExcel(...)",
        "--data films.xlsx | options: --data films.xlsx ends in none of .csv, .jsonl and .json; ./jbang ask reads it, "
            + "and in a script excel(...)",
        "--data rows.parquet | options: --data rows.parquet ends in none of .csv, .jsonl and .json; ./jbang ask reads "
            + "it, and in a script parquet(...)",
        "--force=false | options: --force takes no value; leave it out or write --force",
        "--choice happy | choice: one label leaves nothing to choose; give two or more",
        "--with top_p | options: --with top_p is no FIELD=VALUE",
        "--data rows.xml | options: --data rows.xml ends in none of .csv, .jsonl and .json"})
    void aMistakeIsASentence(String args, String sentence) {
        var fault = assertThrows(IllegalArgumentException.class, () -> script.options(args.split(" ")));

        assertEquals(sentence, fault.getMessage());
    }

    @Test void helpNamesEachOptionAndEndsTheScript() {
        var help = assertThrows(Script.End.class, () -> script.options("--model", "x", "--help")).getMessage();

        for (var option : Options.values())
            assertTrue(help.contains("\n  " + option.word()), option.word());
        assertEquals(List.of(), help.lines().filter(line -> line.length() > 120).toList());
        assertEquals(help, assertThrows(Script.End.class, () -> script.options("-h")).getMessage());
    }

    @Test void aPreviewIsShownWhereItWouldBeSent() {
        for (var options : List.of(List.of("--preview", "1"), List.of("--preview=1"))) {
            var draft = script.options(options.toArray(String[]::new));
            var out = Printed.stdout(() -> assertThrows(Script.End.class, draft::submit));
            assertEquals(script.preview(1).lines().get(0) + "\n", out);
        }
        var three = script.options("--preview", "--model", "n");
        assertEquals(2, Printed.stdout(() -> assertThrows(Script.End.class, () -> three.toJsonl("no-such/x.jsonl")))
            .lines().count());
    }

    @Test void anEstimateIsShownWhereItWouldBeSent() {
        var draft = script.options("--estimate", "--price", "1,2", "--max-tokens", "1000000", "--distinct");

        assertEquals(script.price(1, 2).maxTokens(1_000_000).distinct().estimate() + "\n",
            assertThrows(Script.End.class, draft::submit).getMessage());
    }

    @Test void aSampleIsAskedAndShownWhereAllWouldBeSent() {
        System.setProperty("SHEAF_HOME", dir.toString());
        try (var server = BatchServer.start()) {
            var draft = batch().provider(server.baseUrl()).model("echo").quiet()
                .prompts("{{text}}", rows(List.of(Map.of("text", "a"), Map.of("text", "b")))).options("--sample", "1");

            var out = Printed.stdout(() -> assertThrows(Script.End.class, draft::submit));

            assertTrue(out.endsWith("1 succeeded; 1 tokens in, 1 out\n"), out);
            assertTrue(server.requests().contains("POST /v1/chat/completions"));
            assertTrue(!server.requests().contains("POST /v1/batches"));
        }
    }

    @Test void aPreviewOfAFaultyRowIsItsFault() {
        var draft = batch().model("m").prompts("{{text}}", rows(Map.of("text", "a"), Map.of("other", "b")))
            .options("--preview", "1");

        Printed.stdout(() -> assertEquals("prompts: row 2 has no value for {{text}} (template line 1); it has: other",
            assertThrows(IllegalArgumentException.class, draft::submit).getMessage()));
    }

    @Test void answersAreWrittenToAFileTooAndOthersFilesOnlyByForce() throws IOException {
        var out = dir.resolve("answers.csv");
        try (var server = BatchServer.start()) {
            var draft = batch().provider(server.baseUrl()).model("echo").prompts("{{text}}", rows(Map.of("text", "a")));

            var said = Printed.stderr(() -> draft.options("--out", out.toString()).submit().results());

            assertTrue(said.endsWith("\nwrote " + out + " (1 succeeded; 1 tokens in, 1 out)\n"), said);
            assertEquals("a,request-1,prompt-1,echo,echo,succeeded,a,", Files.readAllLines(out).get(1));
            Files.writeString(out, "another's");
            var refused = assertThrows(IllegalStateException.class, () -> draft.options("--out", out.toString())
                .quiet().submit());
            assertEquals("checkOutput: " + out + " was changed since it was written; move it or give another name",
                refused.getMessage());
            assertEquals("", Printed.stderr(() -> draft.options("--out", out.toString(), "--force", "--quiet").submit()
                .results()));
            assertEquals(2, Files.readAllLines(out).size());
        }
    }

    @Test void answersNeverTakeThePlaceOfTheRows() throws IOException {
        var data = Files.writeString(dir.resolve("rows.csv"), "text\na\n");
        var same = dir.resolve("x/../rows.csv");
        Files.createDirectory(dir.resolve("x"));
        try (var server = BatchServer.start()) {
            var draft = batch().provider(server.baseUrl()).model("m").prompts("{{text}}", csv(data))
                .options("--limit", "1", "--force", "--out", same.toString());

            assertEquals("out: " + same + " is what is read; give another name",
                assertThrows(IllegalArgumentException.class, draft::submit).getMessage());
        }
        assertEquals("text\na\n", Files.readString(data));
    }

    @Test void answersNeverTakeThePlaceOfTheRequests() throws IOException {
        var file = Files.writeString(dir.resolve("requests.jsonl"), Guide.LINE + "\n");
        try (var server = BatchServer.start()) {
            var draft = batch().provider(server.baseUrl()).requests(file).options("--force", "--out", file.toString());

            assertEquals("out: " + file + " is what is read; give another name",
                assertThrows(IllegalArgumentException.class, draft::submit).getMessage());
        }
        assertEquals(Guide.LINE + "\n", Files.readString(file));
    }

    @Test void answersAreWrittenOnceHoweverOftenAScriptAsksForThem() {
        try (var server = BatchServer.start()) {
            var batch = batch().provider(server.baseUrl()).name("once").model("m").prompts("{{text}}",
                rows(Map.of("text", "a"))).options("--out", dir.resolve("out.csv").toString()).submit();

            assertEquals(1, Printed.stderr(() -> {
                batch.results();
                batch.exitCode();
            }).lines().filter(line -> line.startsWith("wrote ")).count());
        }
    }

    @Test void dataNeedsPromptsThatNameIts() {
        var fault = assertThrows(IllegalArgumentException.class, () -> batch().model("m").prompts("Hi")
            .options("--limit", "1"));

        assertEquals("options: --limit needs prompts over rows; this script has none", fault.getMessage());
    }

    private static List<String> prompts(Draft draft) {
        return draft.preview(9).lines().stream()
            .map(line -> line.replaceFirst(".*\"user\",\"content\":\"(.*?)\".*", "$1")).toList();
    }
}
