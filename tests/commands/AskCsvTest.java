package sheaf.commands;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import sheaf.server.BatchServer;
import sheaf.support.Commands;
import sheaf.support.Commands.Run;
import sheaf.support.Project;

/** The command ask with files of a spreadsheet, in and out; those that are read stand in the tests of the client. */
class AskCsvTest {
    final BatchServer server = BatchServer.start();
    @TempDir Path dir;
    @RegisterExtension final Commands environment = new Commands(() -> dir.resolve("home"), () -> server);

    @Test void aSpreadsheetsFileIsReadAndWritten() {
        var run = ask("-m", "echo", "-p", "{{text}}", "-d", given("cp1252.csv"), "--charset", "windows-1252",
            "-o", out(), "--columns", "id,result.text", "--bom");

        assertEquals(0, run.status(), run.err());
        assertEquals("\uFEFFid,result.text\n1,gr\u00fc\u00df dich\n2,s\u00ed se\u00f1or\n", written());
    }

    @Test void eachModelHasAColumn() {
        var run = ask("-m", "a,b", "-p", "{{text}}", "-d", given("oldmac.csv"), "--charset", "latin1", "--header",
            "label,text", "-o", out(), "--columns", "label,result.text", "--wide", "--limit", "1");

        assertEquals(0, run.status(), run.err());
        assertEquals("label,a,b\nneutral,Sales stayed as they were .,Sales stayed as they were .\n", written());
    }

    @Test void aLabelAndHowSureItIsAreColumns() {
        server.reply(text -> text.contains("stayed") ? "Neutral." : "purple");
        var run = ask("-m", "a", "-p", "{{text}}", "-d", given("oldmac.csv"), "--charset", "latin1", "--header",
            "label,text", "-o", out(), "--columns", "label,result.choice,result.confidence", "--choice", "happy, "
                + "neutral",
            "--confidence", "--limit", "1");

        assertEquals(0, run.status(), run.err());
        assertEquals("label,result.choice,result.confidence\nneutral,neutral,1.0\n", written());
    }

    @Test void theFieldsOfASchemaAreColumns() throws IOException {
        server.reply(text -> "{\"who\":{\"name\":\"" + text + "\"}}");
        var rows = Files.writeString(dir.resolve("in.csv"), "q\nOzu\n").toString();
        var schema = Files.writeString(dir.resolve("people.json"), "{\"type\":\"object\",\"properties\":{\"who\":"
            + "{\"type\":"
            + "\"object\",\"properties\":{\"name\":{\"type\":\"string\"}}}}}").toString();

        var run = ask("-m", "a", "-p", "{{q}}", "-d", rows, "-o", out(), "--columns", "q,result.value.who.name",
            "--returning", schema);

        assertEquals(0, run.status(), run.err());
        assertEquals("q,result.value.who.name\nOzu,Ozu\n", written());
    }

    @Test void aColumnThatNoAnswerHasIsRefusedBeforeAnythingIsSent() throws IOException {
        var rows = Files.writeString(dir.resolve("in.csv"), "q\nOzu\n").toString();

        var run = ask("-m", "a", "-p", "{{q}}", "-d", rows, "-o", out(), "--columns", "result.choice");

        assertEquals(2, run.status());
        assertEquals(0, server.requests().stream().filter(request -> request.startsWith("POST")).count());
    }

    @Test void noCellIsAFormulaUnlessItIsAskedFor() throws IOException {
        var rows = Files.writeString(dir.resolve("in.csv"), "q\n=1+1\n-5\n").toString();

        assertEquals(0, ask("-m", "echo", "-p", "{{q}}", "-d", rows, "-o", out(), "--columns", "result.text").status());
        assertEquals("result.text\n'=1+1\n-5\n", written());
        assertEquals(0, ask("-m", "echo", "-p", "{{q}}", "-d", rows, "-o", out(), "--columns", "result.text",
            "--formulas", "--force").status());
        assertEquals("result.text\n=1+1\n-5\n", written());
    }

    @Test void whatIsPassedOverIsSaidOnce() {
        var run = ask("-m", "echo", "-p", "{{text}}", "-d", given("commarows.csv"), "-o", out());

        assertEquals(List.of("csv: " + given("commarows.csv") + ": passed over 2 empty rows (the first in line 3)"),
            run.err().lines().filter(line -> line.contains("passed")).toList());
    }

    @Test void standardInputMayBeInAnyCharset() {
        var run = piping("\uFEFFid\ttext\r\n1\tgr\u00fc\u00df\r\n".getBytes(StandardCharsets.UTF_16LE),
            "-m", "echo", "-p", "{{text}}", "-d", "-", "--charset", "UTF-16", "--separator", "tab");

        assertTrue(run.out().startsWith("{\"id\":\"1\",\"text\":\"gr\u00fc\u00df\","), run.out() + run.err());
    }

    @Test void anyEndingIsCsvWhereAnOptionSaysSo() {
        var run = ask("-m", "m", "-p", "{{text}}", "-d", given("unicode_text.txt"), "--separator", "\\t", "--charset",
            "UTF-16", "--preview", "1");

        assertTrue(run.out().contains("\"gr\u00fc\u00df, dich\""), run.out() + run.err());
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "-d semi_bom.csv | csv: FILE line 1: one column, \"id;text\"; if semicolons separate the columns, give "
            + "--separator ';'",
        "-d cp1252.csv | csv: FILE line 2: not UTF-8; save the file as UTF-8, or give its charset, such as --charset "
            + "windows-1252",
        "-d oldmac.csv --charset cp1252 | prompts: row 1 has no value for {{text}} (template line 1); it has: neutral, "
            + "Sales stayed as they were .; if line 1 of oldmac.csv is a row, give --header",
        "-d unicode_text.txt | data: FILE ends in none of .csv, .jsonl, .json, .parquet and .xlsx; "
            + "with --separator it is read as CSV",
        "-d unicode_text.txt --separator tab | csv: FILE line 1: UTF-16, not UTF-8; give --charset UTF-16",
        "-d unicode_text.txt --charset UTF-16 | csv: FILE line 1: one column, \"id text\"; if tabs separate the "
            + "columns, give --separator tab",
        "-d nbsphead.csv | prompts: row 1 has no value for {{text}} (template line 1); it has: id, text<U+00A0>; "
            + "name one of these, or rename a column",
        "-d nan.jsonl | jsonl: FILE line 1: not a JSON object (NaN is no JSON; write null)",
        "-d nan.jsonl --separator ; | separator: only CSV has one, and FILE is none",
        "-d acc.csv --separator ;; | separator: \";;\" is not one character, nor tab",
        "-d koeln.csv --columns stadt,txt,result.text,result.txt -o out.csv | columns: there is no txt, result.txt; "
            + "there are: stadt, text, result.customId, result.template, result.model, result.answeredBy, "
            + "result.outcome, result.text, "
            + "result.error",
        "-d nbsphead.csv --columns text -o out.csv | columns: there is no text; there are: id, text<U+00A0>, "
            + "result.customId, result.template, result.model, result.answeredBy, result.outcome, result.text, "
            + "result.error",
        "-d koeln.csv --wide | wide: only a CSV file is written so; give --out FILE.csv",
        "-d koeln.csv --columns text -o out.jsonl | columns: only a CSV file is written so; give --out FILE.csv",
        "Hi --columns text -o out.csv | columns: there is no text; there are: prompt, result.customId, "
            + "result.template, result.model, result.answeredBy, result.outcome, result.text, "
            + "result.error",
        "Hi --header text | header: there are no rows; give --data FILE"})
    void aMistakeNamesTheOptionAndNothingIsSent(String arguments, String sentence) {
        var words = ("-m m " + (arguments.startsWith("Hi") ? "" : "-p {{text}} ") + arguments).split(" ");
        for (int i = 0; i < words.length; i++) {
            if (words[i].equals("-d")) words[i + 1] = given(words[i + 1]);
            if (words[i].equals("-o")) words[i + 1] = dir.resolve(words[i + 1]).toString();
        }

        var run = ask(words);

        assertEquals(new Run(2, "", sentence + "\n"),
            new Run(run.status(), run.out(), run.err().replaceAll("\\S*[/\\\\]csv[/\\\\]\\S+?(?= |:)", "FILE")));
        assertEquals(List.of(), server.requests());
    }

    private Run ask(String... arguments) {
        return Run.of(() -> sheaf.commands.ask.run(stream -> false, arguments));
    }

    private Run piping(byte[] input, String... arguments) {
        var before = System.in;
        System.setIn(new ByteArrayInputStream(input));
        try {
            return ask(arguments);
        } finally {
            System.setIn(before);
        }
    }

    private static String given(String name) { return Project.root().resolve("tests/client/csv/" + name).toString(); }

    private String out() { return dir.resolve("out.csv").toString(); }

    private String written() {
        try {
            return Files.readString(Path.of(out())).replace("\r\n", "\n");
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
