package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.csv;
import static sheaf.Sheaf.kept;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.jar.Attributes;
import java.util.jar.JarOutputStream;
import java.util.jar.Manifest;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import sheaf.Sheaf.Batch;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Result;
import sheaf.Vocabulary.BatchException;
import sheaf.server.BatchServer;
import sheaf.support.Printed;

/** What a batch is called whose draft has no name, and that nothing is paid again because it was called otherwise. */
class DefaultNameTest {
    private static final String X41 = "x".repeat(41);
    @AutoClose final BatchServer server = BatchServer.start();
    @TempDir Path dir;

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", dir.resolve("home").toString()); }

    @AfterEach void stop() { System.setProperty("SHEAF_SCRIPT", ""); }

    @ParameterizedTest(name = "{0} over {1}: {2}")
    @CsvSource({"sentiment, reviews.csv, sentiment-reviews", "films, films.csv, films", "films, Films.csv, Films",
        "label-films, films.csv, label-films", "films, films-2024.jsonl, films-2024", "film, films.csv, film-films",
        "sentiment, '', sentiment", "My Script, a b.csv, my-script-a-b", "'', films.csv, films", "'', '', prompts",
        "'', \u6570.csv, batch", "films, \u6570.csv, films"})
    void aScriptStandsBeforeItsData(String script, String data, String name) {
        assertEquals(name, new DefaultName(data, "Label {{text}}").under(Optional.of(script)));
    }

    @ParameterizedTest(name = "{0}, {1}: {2}")
    @CsvSource({"reviews.csv, In Spanish: {{text}}, reviews-in-spanish", "'', What is a sheaf?, what-is-a-sheaf",
        "questions.csv, {{question}}, questions", "films.csv, films, films", "requests.jsonl, '', requests",
        "stdin, '{{#a}}\u00dcber {{{b}}}{{/a}}!', stdin-uber", "'', \u6570, prompts", "a.csv, \u6570, a"})
    void withoutAScriptThePromptStandsAfterItsData(String data, String prompt, String name) {
        assertEquals(name, new DefaultName(data, prompt).under(Optional.empty()));
    }

    @Test void aLongNameIsCutBetweenWordsAndSaysBoth() {
        var question = "Which of the following colours is the one of the sky on a clear day in autumn?";

        assertEquals("which-of-the-following-colours-is-the", new DefaultName("", question).under(Optional.empty()));
        assertEquals("reviews-which-of-the-following-colours-is-the",
            new DefaultName("reviews.csv", question).under(Optional.empty()));
        assertEquals("x".repeat(40) + "-which-of-the-following",
            new DefaultName(X41 + ".csv", question).under(Optional.empty()));
        assertEquals("x".repeat(40) + "-" + "y".repeat(23),
            new DefaultName("y".repeat(99), "").under(Optional.of(X41)));
    }

    @Test void aNameThatIsTheDatasAloneIsTheOneOfBefore() {
        assertEquals("x".repeat(40), new DefaultName(X41 + ".csv", "{{x}}").under(Optional.empty()));
        assertEquals("x".repeat(40), new DefaultName(X41 + ".csv", "{{x}}").under(Optional.of("")));
        assertEquals("a.b_c-d", new DefaultName("a.b_c d.csv", "").under(Optional.empty()));
    }

    @ParameterizedTest(name = "{0}")
    @ValueSource(strings = {"sheaf.RunTests DefaultNameTest", "sheaf.commands.ask -m echo", "java.lang.String", " x",
        "jdk.jshell.execution.RemoteExecutionControl 4711", "org.junit.platform.launcher.core.LauncherFactory",
        "com.sun.tools.javac.launcher.Main Films.java", "no.Such", "no-such.jar x", "module/no.Such"})
    void aCommandOfSheafOrAShellIsNoScript(String command) {
        assertEquals(Optional.empty(), Script.name(command, "lib.jar:other.jar"));
        assertEquals(Optional.empty(), Script.name(command, "no-such.jar"));
    }

    @Test void aJarWithoutAScriptIsNone() throws IOException {
        for (var main : List.of("sheaf.RunTests", "")) {
            var manifest = new Manifest();
            manifest.getMainAttributes().put(Attributes.Name.MANIFEST_VERSION, "1.0");
            if (!main.isEmpty()) manifest.getMainAttributes().put(Attributes.Name.MAIN_CLASS, main);
            var jar = dir.resolve("a film" + main + ".jar");
            new JarOutputStream(Files.newOutputStream(jar), manifest).close();

            assertEquals(Optional.empty(), Script.name(jar + " x y", jar.toString()));
        }
    }

    @Test void twoScriptsWithDataOfOneNameAreNotCompared() {
        said("sentiment", ask("Good or bad: {{title}}", "Heat"));

        var said = said("genre", ask("Which genre: {{title}}", "Heat"));

        assertTrue(said.matches("submitted batch_\\w+ to \\S+ \\(1 request\\); kept in .*genre-films-[0-9a-f]{12}\n"),
            said);
        assertEquals(List.of("genre-films", "sentiment-films"), names());
    }

    @Test void literalPromptsOfAScriptTakePartInReuse() {
        said("sentiment", literals("a", "b"));

        assertTrue(said("sentiment", literals("a", "b", "c")).startsWith(
            "sentiment: 3 requests; 2 answered before, 1 to send; the prompts changed\n"));
        assertTrue(said("", literals("a", "b", "c", "d")).startsWith("submitted "), "nobody's prompts");
    }

    @Test void whatWasBegunUnderTheFormerNameGoesOnUnderIt() {
        var before = ask("{{title}}", "Heat", "Up").submit();

        var said = said("sentiment", ask("{{title}}", "Heat", "Up"));

        assertTrue(said.matches("attached to " + before.id() + " \\(.*\\), nothing was sent; kept in " + before.folder()
            + "\n"), said);
        assertEquals(List.of("films"), names());
        assertEquals(1, sent("POST /v1/batches"));
    }

    @Test void soDoesABatchThatStillRunsAndOneThatWasOnlyUploaded() {
        server.pause();
        var running = literals("a").submit();
        var uploaded = ask("{{title}}", "Heat").upload();

        System.setProperty("SHEAF_SCRIPT", "sentiment");
        var drafts = List.of(ask("{{title}}", "Heat"), literals("a"));
        var folders = drafts.stream().map(Draft::submit).map(Batch::folder).toList();

        assertEquals(List.of(uploaded.folder(), running.folder()), folders);
        assertEquals(List.of("films", "prompts"), names());
        assertEquals(2, sent("POST /v1/files"));
        assertEquals(2, sent("POST /v1/batches"));
    }

    @Test void whatNeverRanUnderTheFormerNameIsSentUnderTheNewOne() {
        server.models("another");
        var failed = ask("{{title}}", "Heat").submit();
        assertThrows(BatchException.class, failed::await);
        server.models("echo");

        said("sentiment", ask("{{title}}", "Heat"));

        assertTrue(names().contains("sentiment-films"), names().toString());
    }

    @Test void answersUnderTheFormerNameAreTakenOver() {
        ask("{{title}}", "Heat", "Up").model("small").submit().await();

        var said = said("sentiment", ask("{{title}}", "Heat", "Up", "Alien").model("small").temperature(0.0));
        var same = said("sentiment", ask("{{title}}", "Heat", "Up", "Alien").model("small"));

        assertTrue(said.startsWith("submitted "), said);
        assertTrue(same.startsWith("sentiment-films: 3 requests; 2 answered before, 1 to send; temperature is not given, "
            + "was 0.0\n"), same);
        assertEquals(List.of("Heat", "Up", "Alien"), ask("{{title}}", "Heat", "Up", "Alien").model("small").submit()
            .results().stream().map(Result::text).toList());
    }

    @Test void whatABatchOfTheFormerNameWroteIsWrittenAgain() throws IOException {
        var file = dir.resolve("out.csv");
        ask("{{title}}", "Heat").submit().results().toCsv(file, "result.text");
        System.setProperty("SHEAF_SCRIPT", "sentiment");

        var grown = ask("{{title}}", "Heat", "Up").checkOutput(file).submit().checkOutput(file);
        grown.results().toCsv(file, "result.text");
        assertEquals(3, Files.readAllLines(file).size());
        ask("{{title}}", "Heat").checkOutput(file).submit().checkOutput(file).results().toCsv(file, "result.text");
        assertEquals(2, Files.readAllLines(file).size());
        assertEquals(List.of("films", "sentiment-films"), names());
    }

    @Test void aNameThatIsGivenAsksAnew() {
        ask("{{title}}", "Heat").submit().await();

        said("sentiment", ask("{{title}}", "Heat").name("sentiment-films"));

        assertEquals(List.of("films", "sentiment-films"), names());
        assertEquals(2, sent("POST /v1/batches"));
    }

    private Draft literals(String first, String... more) {
        return batch().provider(Provider.of(server.baseUrl())).model("echo").prompts(first, more);
    }

    private Draft ask(String prompt, String... titles) {
        try {
            var lines = Stream.concat(Stream.of("title"), Stream.of(titles)).toList();
            var file = Files.write(dir.resolve("films.csv"), lines);
            return batch().provider(Provider.of(server.baseUrl())).model("echo").prompts(prompt, csv(file));
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    /** Submits a draft in a script of this name, awaits it, and returns what that said at first. */
    private static String said(String script, Draft draft) {
        System.setProperty("SHEAF_SCRIPT", script);
        var batch = new Batch[1];
        var said = Printed.stderr(() -> batch[0] = draft.submit());
        batch[0].await();
        System.setProperty("SHEAF_SCRIPT", "");
        return said;
    }

    private static List<String> names() { return kept().stream().map(Batch::name).sorted().toList(); }

    private long sent(String request) { return Collections.frequency(server.requests(), request); }
}
