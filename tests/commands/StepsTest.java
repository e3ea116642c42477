package sheaf.commands;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import picocli.CommandLine;
import sheaf.Sheaf;
import sheaf.Sheaf.Provider;
import sheaf.server.BatchServer;
import sheaf.support.Commands;
import sheaf.support.Commands.Run;
import sheaf.support.Printed;
import sheaf.support.Project;
import sheaf.support.RawClient;

/** The guide's steps as commands. */
class StepsTest {
    BatchServer server = BatchServer.start();
    final RawClient client = new RawClient(() -> server.baseUrl());
    @TempDir Path dir;
    @RegisterExtension final Commands environment = new Commands(() -> dir.resolve("home"), () -> server);

    /** No step has an option that sends again what a cancelled batch left. */
    @Test void whatIsLeftUnansweredIsSentAgainByWhatIsAdvised() throws IOException {
        server.pause();
        var id = steps("submit", guide()).line();
        steps("cancel", id);
        server.resume();
        steps("results", id);

        var err = steps("submit", guide()).err();

        var advice = "batch(\"" + id + "\").results().retry().submit()";
        assertTrue(err.contains("; it has cancelled with 3 requests unanswered, which ./jbang eval '" + advice
            + "' sends again; "), err);
        Printed.stderr(() -> Printed.stdout(() -> {
            try {
                assertEquals(0, eval.run(advice));
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }));
        assertEquals(2, sent("POST /v1/batches"));
    }

    @ParameterizedTest(name = "{0}")
    @EnumSource(value = BatchServer.Dialect.class, names = {"OPENAI", "KLUSTER"})
    void theGuidesStepsRunOneAfterTheOther(BatchServer.Dialect dialect) {
        speak(dialect);
        var guide = guide();

        var file = steps("upload", guide).line();
        var uploaded = steps("status", "guide").out();
        assertTrue(uploaded.endsWith("\nstatus       uploaded\nrequests     0/3\ninput file   " + file + "\n"),
            uploaded);
        assertEquals(0, sent("POST /v1/batches"));

        var id = steps("submit", guide).line();
        assertTrue(steps("results", id).out().endsWith("\n3 succeeded; 34 tokens in, 16 out\n"));
        var status = steps("status", id).out();
        assertTrue(status.matches("(?s)batch {8}" + id + "\nname {9}guide\nprovider {5}" + server.baseUrl()
            + "\nstatus {7}completed\n"
            + "requests {5}3/3\ncreated {6}20.{14}\nexpires {6}20.{14}\ncompleted {4}20.{14}\ninput file {3}" + file
            + "\noutput file  \\S+\n"), status);
        assertEquals(List.of(1, 1), List.of(sent("POST /v1/files"), sent("POST /v1/batches")));

        server.pause();
        var other = steps("submit", guide, "--name", "other").line();
        var listed = steps("batches", "1").out();
        assertTrue(listed.contains(other.substring(0, 24)) && !listed.contains(id.substring(0, 24)), listed);
        assertTrue(steps("cancel", other).line().matches(other + " cancell(ing|ed)"));
    }

    @Test void whatUploadPrintsIsEnoughToSubmitIt() throws IOException {
        var guide = guide();
        var file = steps("upload", guide).line();
        Files.delete(Path.of(guide));

        var id = steps("submit", file).line();

        assertEquals("guide", here().batch(id).name());
        assertEquals(id, steps("submit", "guide").line());
        assertEquals(List.of(1, 1), List.of(sent("POST /v1/files"), sent("POST /v1/batches")));
    }

    @Test void submittingAgainPrintsTheSameIdAndPaysNothing() {
        var first = steps("submit", guide());
        var second = steps("submit", guide());

        assertEquals(first.out(), second.out());
        assertTrue(second.err().startsWith("attached to " + first.line()), second.err());
        assertEquals(1, sent("POST /v1/batches"));
    }

    @Test void submitWaitsIfAskedTo() {
        var run = steps("submit", guide(), "--wait");

        assertEquals("completed", client.found(run.line()).get("status").asText());
        assertTrue(run.err().endsWith("to go on: ./jbang results " + run.line() + "\n"), run.err());
    }

    @Test void eachPartHasAFileAndTheBatchHasOneId() {
        var two = file("two.jsonl", RawClient.lines("a") + RawClient.lines("b").replace("\"m\"", "\"other\"")
            .replaceFirst("(custom_id\":\\s*\")[^\"]*", "$1second"));

        var uploaded = steps("upload", two);
        var submitted = steps("submit", uploaded.out().lines().skip(1).findFirst().orElseThrow());

        assertEquals(2, uploaded.out().lines().distinct().count(), uploaded.toString());
        assertTrue(submitted.line().matches("two-[0-9a-f]{12}"), submitted.out());
        assertTrue(steps("results", submitted.line()).out().endsWith("\n2 succeeded; 2 tokens in, 2 out\n"));
        var status = steps("status", submitted.line()).out();
        assertTrue(status.contains("requests     2/2\n") && status.matches("(?s).*\npart 1 {7}batch_\\w+ completed 1/1"
            + "\npart 2 {7}batch_\\w+ completed 1/1\n"), status);
    }

    @Test void windowAndNameGoWithTheBatch() {
        speak(BatchServer.Dialect.KLUSTER);

        var id = steps("submit", guide(), "--name", "today", "--window", "72h").line();

        assertEquals("72h", client.found(id).get("completion_window").asText());
        assertEquals(id, steps("submit", "today").line());
    }

    @Test void theNextCommandIsSaidWithItsProvider() {
        System.setProperty("OPENAI_BASE_URL", "");
        var here = List.of("--provider", server.baseUrl());

        var uploaded = steps("upload", guide(), here.get(0), here.get(1));
        var next = uploaded.err().replaceFirst("(?s).*to go on: ./jbang ", "").strip();

        assertEquals("submit " + uploaded.line() + " --provider " + server.baseUrl(), next);
        assertTrue(steps(next.split(" ")).line().startsWith("batch_"));
    }

    @ParameterizedTest(name = "{0}")
    @ValueSource(strings = {"answers.csv", "answers.jsonl"})
    void answersAreWrittenByTheEndingOfTheFile(String name) throws IOException {
        var out = dir.resolve(name).toString();
        var id = steps("submit", guide()).line();

        var run = steps("results", id, "-o", out);

        assertEquals("", run.out());
        assertTrue(run.err().endsWith("wrote " + out + " (3 succeeded; 34 tokens in, 16 out)\n"), run.err());
        var lines = Files.readAllLines(Path.of(out));
        assertEquals(name.endsWith("csv") ? 4 : 3, lines.size());
        assertTrue(lines.get(lines.size() - 1).contains("Pythagorean theorem in Spanish"));
    }

    @Test void aCsvFileIsWrittenInTheColumnsAskedFor() throws IOException {
        var out = dir.resolve("answers.csv").toString();

        steps("results", steps("submit", guide()).line(), "-o", out, "--bom", "--columns",
            "result.outcome,result.model");

        assertEquals("\uFEFFresult.outcome,result.model", Files.readAllLines(Path.of(out)).get(0));
        assertEquals(4, Files.readAllLines(Path.of(out)).size());
    }

    @Test void aFileThatIsThereIsRefusedBeforeAnyoneIsAsked() throws IOException {
        var out = file("answers.csv", "paid for\n");
        var id = steps("submit", guide()).line();
        int asked = server.requests().size();

        assertEquals(new Run(2, "", "out: " + out + " exists, and no batch named guide wrote it; give another "
            + "name, or --force\n"),
            steps("results", id, "-o", out));
        assertEquals("paid for\n", Files.readString(Path.of(out)));
        assertEquals(asked, server.requests().size());

        assertEquals(0, steps("results", id, "-o", out, "--force").status());
        assertTrue(Files.readString(Path.of(out)).startsWith("model,"));
        assertEquals(0, steps("results", id, "-o", out).status(), "its own by now");
    }

    @Test void aBatchThatSomeoneElseCreatedIsTakenToo() {
        var id = client.create(RawClient.lines("a", "b"));

        assertTrue(steps("results", id).out().endsWith("\n2 succeeded; 2 tokens in, 2 out\n"));
        assertTrue(steps("status", id).out().startsWith("batch        " + id + "\nprovider     " + server.baseUrl()
            + "\nstatus"));
        assertEquals("cancel: " + id + " is completed already; ./jbang results " + id + " fetches what there is\n",
            steps("cancel", id).err());
    }

    @Test void aBatchThatFailedSaysWhyAndWhere() {
        server.models("another");
        var id = steps("submit", guide()).line();
        client.finishedBatch(id);

        var status = steps("status", id).out();
        var results = steps("results", id);

        assertTrue(status.contains("\nstatus       failed\n"), status);
        assertTrue(status.matches("(?s).*\nerrors {7}3 faults in the input file:\n {13}line 1 .*\n {13}line 3 .*\n"),
            status);
        assertEquals(1, results.status());
        assertTrue(results.err().startsWith("results: " + id + " failed; 3 faults in the input file: line 1 "),
            results.err());
    }

    @Test void jsonIsWhatTheProviderSays() throws IOException {
        var id = steps("submit", guide(), "--wait").line();

        var json = new ObjectMapper().readTree(steps("status", id, "--json").out());

        assertEquals(client.found(id), json);
    }

    @Test void modelsAndFilesAreTables() {
        steps("submit", guide());

        assertTrue(steps("models").out().matches("(?s)id +owned_by\n-.*\necho +sheaf\n"));
        assertTrue(steps("files").out()
            .matches("id +filename +purpose +bytes\n-.*\n(?s).*file-\\S+ +guide-\\S+ +batch +923\n.*"));
        assertEquals("(none)\n", steps("batches", "0").out());
    }

    @Test void withoutAProviderTheNewestThatAreKeptAreListed() {
        for (var name : List.of("one", "two", "three")) steps("submit", guide(), "--name", name);
        System.setProperty("OPENAI_BASE_URL", "");

        var listed = steps("batches", "2");

        assertTrue(listed.err().startsWith("batches: asked no provider: "), listed.err());
        var newest = Sheaf.kept().stream().limit(2).map(batch -> batch.folder().getFileName() + " .*\\n");
        assertTrue(listed.out().matches("folder .*\\n-.*\\n" + newest.collect(Collectors.joining())
            + "3 batches, .*\\n"), listed.out());
    }

    @Test void whatIsKeptIsListedThoughItsProviderIsNotThere() {
        steps("submit", guide());
        server.close();

        var listed = steps("batches");

        assertEquals(new Run(1, listed.out(), "batches: cannot reach " + server.baseUrl()
            + " (connection refused); start a server or give another --provider\n"), listed);
        assertTrue(listed.out().matches("folder .*\n-.*\nguide-.*\n1 batch, .*\n"), listed.out());
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', value = {
        "status | status: Missing required parameter: 'ID'",
        "cancel a b | cancel: Unmatched argument at index 2: 'b'",
        "status a --jsn | status: Unknown option: '--jsn'; did you mean --json?",
        "batches three | batches: Invalid value for positional parameter at index 0 (N): 'three' is no number"})
    void aWrongCommandIsASentenceAndExitCode2(String command, String sentence) {
        var name = command.replaceFirst(" .*", "");
        assertEquals(new Run(2, "", sentence + "; try '" + name + " --help'\n"), steps(command.split(" ")));
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', value = {
        "2 | status none | status: no batch none at URL, and none is kept here; ./jbang batches lists what there is",
        "2 | results file-1 | results: no batch file-1 at URL, and none is kept here; that is the id of a file; "
            + "./jbang batches lists what there is",
        "2 | submit file-1 | submit: there is no file file-1 here, and no upload of this id is known here; give the "
            + "file itself: ./jbang submit requests.jsonl",
        "2 | results x --wide | wide: only a CSV file is written so; give --out FILE.csv",
        "2 | results x -o answers.txt | out: answers.txt ends in none of .csv, .jsonl and .html",
        "2 | results x -o answers.xlsx | out: answers.xlsx ends in none of .csv, .jsonl and .html; the ask that sent "
            + "the batch writes it, run again with this --out: nothing is sent or paid twice",
        "2 | results x --report x.txt | report: x.txt does not end in .json",
        "2 | results x -o a.csv --failed ./a.csv | out: two files of one name; give each its own",
        "1 | batches --provider http://localhost:9/v1 | batches: cannot reach http://localhost:9/v1 (connection "
            + "refused); start a server or give another --provider",
        "2 | models --provider gorq | provider: \"gorq\" is neither a base URL like http://localhost:8080/v1 nor one "
            + "of openai, groq, nebius, parasail, doubleword, deepinfra, together, kluster, local",
        "2 | models --provider groq | provider: no key for groq; set GROQ_API_KEY"})
    void whatCannotBeDoneIsASentence(int status, String command, String sentence) {
        System.setProperty("CI", "true");                      // no terminal to ask for a key

        assertEquals(new Run(status, "", sentence.replace(" URL,", " " + server.baseUrl() + ",") + "\n"),
            steps(command.split(" ")));
    }

    @Test void aFileOfNoRequestsIsToldByItsLineAndNothingIsSent() {
        var text = file("notes.jsonl", "Hello\n");

        var run = steps("upload", text);

        assertEquals(2, run.status());
        assertTrue(run.err().startsWith("upload: " + text + " line 1: not JSON ("), run.err());
        assertEquals(List.of(), server.requests());
    }

    @Test void aFileThatIsNotThereIsToldWithItsPlace() {
        assertEquals(new Run(2, "", "submit: no file none.jsonl (looked at " + Path.of("none.jsonl").toAbsolutePath()
            + ")\n"), steps("submit", "none.jsonl"));
    }

    @Test void withoutAKeyItSaysWhichWereLookedFor() {
        System.setProperty("OPENAI_BASE_URL", "");
        System.setProperty("CI", "true");

        assertTrue(steps("models").err().startsWith("provider: no key; looked for OPENAI_API_KEY, "));
    }

    @Test void anIdOfAnotherProviderIsToldWithThatProvider() {
        try (var other = BatchServer.start()) {
            batch().provider(other.baseUrl()).quiet().name("elsewhere").model("m").prompts("a").submit();

            assertEquals("status: no batch elsewhere at " + server.baseUrl() + "; it is one of " + other.baseUrl()
                + "; ./jbang batches --provider " + server.baseUrl() + " lists what there is\n",
                steps("status", "elsewhere", "--provider", server.baseUrl()).err());
        }
    }

    @Test void aBatchThatIsGoneAtItsProviderIsASentence() {
        server.pause();
        var id = steps("submit", guide()).line();
        try (var empty = BatchServer.start()) {
            var run = steps("status", id, "--provider", empty.baseUrl());

            assertEquals("status: no batch " + id + " at " + empty.baseUrl() + "; it is one of " + server.baseUrl()
                + "; ./jbang batches --provider " + empty.baseUrl() + " lists what there is\n", run.err());
        }
    }

    @Test void whatIsOnlyUploadedIsNotAwaitedButSaysHowToSubmitIt() {
        steps("upload", guide());

        var run = steps("results", "guide");

        assertEquals(2, run.status());
        assertTrue(run.err().matches("results: (guide-\\w+) was not submitted yet; ./jbang submit \\1 creates it\n"),
            run.err());
    }

    @Test void theNameOfAnUploadIsSettled() {
        var file = steps("upload", guide()).line();

        assertEquals("submit: --window was settled when " + file + " was uploaded; for another one give the file "
            + "itself\n", steps("submit", file, "--window", "72h").err());
        assertEquals("window: \"soon\" is not a number of hours or days, like 24h\n",
            steps("submit", guide(), "--window", "soon").err());
    }

    @Test void aListThatAProviderDoesNotHaveIsASentence() {
        speak(BatchServer.Dialect.KLUSTER);

        assertTrue(steps("files").err().matches("files: GET \\S+/files: 405.*\n"), steps("files").err());
    }

    @ParameterizedTest(name = "{0}")
    @ValueSource(strings = {"upload", "submit", "status", "results", "batches", "cancel", "models", "files"})
    void everyStepHasAnAliasThatNamesItAndHelpWithin80Columns(String step) throws IOException {
        var catalog = new ObjectMapper().readTree(Project.root().resolve("jbang-catalog.json").toFile());

        var help = steps(step, "--help");

        assertEquals("scripts/commands/steps.java [\"" + step + "\"]",
            catalog.at("/aliases/" + step + "/script-ref").asText()
                + " " + catalog.at("/aliases/" + step + "/arguments"));
        assertTrue(help.out().startsWith("Usage: " + step + " ") && help.out().contains("--provider"), help.out());
        assertEquals(List.of(), Printed.illegible(help.out(), 80));
        assertFalse(help.out().contains("steps"), help.out());
        assertTrue(new CommandLine(new steps()).getSubcommands().containsKey(step));
    }

    private static Run steps(String... arguments) { return Run.of(() -> steps.run(arguments)); }

    private void speak(BatchServer.Dialect dialect) {
        server.close();
        server = BatchServer.options().dialect(dialect).start();
        System.setProperty("OPENAI_BASE_URL", server.baseUrl());
    }

    private Provider here() { return Provider.of(server.baseUrl()); }

    private int sent(String request) { return Collections.frequency(server.requests(), request); }

    /** The file of the guide's curl example. */
    private String guide() {
        try {
            var script = Files.readString(Project.root().resolve("tests/foreign/guide.sh"));
            return file("guide.jsonl", script.replaceFirst("(?s).*?my_batch_request.jsonl\n(.*?)EOF.*", "$1"));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private String file(String name, String content) {
        try {
            return Files.writeString(dir.resolve(name), content).toString();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
