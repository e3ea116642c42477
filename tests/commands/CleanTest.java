package sheaf.commands;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.kept;
import static sheaf.Sheaf.rows;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import sheaf.Sheaf.Batch;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.server.BatchServer;
import sheaf.server.BatchServer.Fault;
import sheaf.support.Commands;
import sheaf.support.Commands.Run;
import sheaf.support.Ports;
import sheaf.support.Printed;

/** The command clean: it lists what is left of old batches, and deletes no more than that. */
class CleanTest {
    static final String MEANING = "runs: a deleted batch takes its answers along; its script, run again, attaches to "
        + "what the provider still has of it, and what is gone there too has to be paid for again\n";
    final BatchServer server = BatchServer.start();
    @TempDir Path home;
    @RegisterExtension final Commands environment = new Commands(() -> home, () -> server);

    @AfterEach void stop() {
        System.setProperty("SHEAF_PROVIDER", "");
    }

    @Test void withoutOptionsItListsAndDeletesNothing() {
        submitted("old", 40).results();
        submitted("young", 20).results();

        var run = clean();

        assertEquals(new Run(0, """
            Batches kept here that are over, submitted more than 30 days ago:
            folder status requests submitted answers size provider
            old completed 1/1 DAY here SIZE URL
            1 batch, SIZE

            Files at URL that no one needs any more, over 1 day old:
            (none)

            To delete 1 batch: ./jbang clean --delete
            """, MEANING), plain(run));
        assertEquals(2, kept().size());
        assertFalse(server.requests().stream().anyMatch(request -> request.startsWith("DELETE")));
    }

    @Test void theFilesOfBatchesWhoseAnswersAreHereAreListedToo() {
        submitted("old", 40).results();

        var run = clean("--older", "0h", "--files");

        assertEquals(new Run(0, """
            Files at URL that no one needs any more, over 0 days old:
            folder kind created size id
            old output DAY SIZE ID
            old input DAY SIZE ID
            2 files, SIZE

            To delete 2 files: ./jbang clean --older 0h --files --delete
            """, ""), plain(run));
    }

    @Test void whereNothingIsLeftItSaysNoMore() {
        assertEquals(new Run(0, "Batches kept here that are over, submitted more than 36 hours ago:\n(none)\n\n", ""),
            clean("--runs", "--older", "36h"));
    }

    @Test void aBatchThatHasNotEndedIsNamedAndStays() {
        server.pause();
        submitted("going", 40);

        var run = clean("--older", "7d", "--delete");

        assertEquals(new Run(0, "nothing deleted\n", "runs: 1 as old is not over, as last seen, and not "
            + "listed: going; run the script again, or cancel the batch\n"), plain(run));
        assertEquals(1, kept().size());
    }

    @Test void withoutAProviderItSaysThatNoneWasAskedAndListsTheBatches() {
        submitted("old", 40).results();
        System.setProperty("OPENAI_BASE_URL", "");
        System.setProperty("CI", "true");                      // no terminal to ask for a key

        var run = clean();

        assertEquals(0, run.status());
        assertTrue(run.err().startsWith("files: asked no provider: no key; looked for OPENAI_API_KEY, "), run.err());
        assertTrue(run.err().contains("; set one, or give --provider local, a small free model on this "
            + "machine\n"));
        assertTrue(run.out().endsWith("To delete 1 batch: ./jbang clean --delete\n"), run.out());
    }

    @Test void aProviderWithoutAKeyIsNotAskedUnlessItIsNamed() {
        System.setProperty("SHEAF_PROVIDER", "groq");
        System.setProperty("CI", "true");

        assertEquals("files: asked no provider: GROQ_API_KEY is not set; set it, or name another provider by "
            + "--provider\n", clean().err());
        assertEquals(new Run(2, "", "provider: no key for groq; set GROQ_API_KEY\n"), clean("--files"));
        assertEquals("provider: no key for nebius; set NEBIUS_API_KEY\n", clean("--provider", "nebius").err());
    }

    @Test void ofANamedProviderOnlyItsOwnAreListed() {
        submitted("old", 40).results();

        assertTrue(clean("--provider", server.baseUrl(), "--runs").out().contains("\n1 batch, "));
        assertTrue(clean("--provider", "groq", "--runs").out().contains("\n(none)\n"));
    }

    @Test void deleteRemovesWhatWasListedAndSaysEach() {
        submitted("old", 40).results();
        submitted("older", 50).results();
        submitted("young", 0);

        var run = clean("--older", "0h", "--files", "--delete");
        assertEquals(new Run(0, """
            deleted file ID (output of older)
            deleted file ID (input of older)
            deleted file ID (output of old)
            deleted file ID (input of old)
            4 files deleted
            """, ""), plain(run));

        assertEquals(new Run(0, """
            deleted batch old
            deleted batch older
            2 batches deleted
            """, MEANING), plain(clean("--delete")));
        assertEquals(List.of("young"), kept().stream().map(Batch::name).toList());
    }

    @Test void filesGoBeforeTheBatchThatKnowsThem() {
        submitted("old", 40).results();

        assertEquals(new Run(0, """
            deleted file ID (output of old)
            deleted file ID (input of old)
            deleted batch old
            1 batch and 2 files deleted
            """, MEANING), plain(clean("--delete", "--older", "0h")));
    }

    @Test void aRefusalIsSaidAndTheOthersGoAllTheSame() {
        submitted("old", 40).results();
        server.on("DELETE /v1/files/*", Fault.status(409));

        var run = plain(clean("--delete", "--older", "0h"));

        assertEquals(1, run.status());
        assertEquals("deleted file ID (input of old)\ndeleted batch old\n1 batch and 1 file deleted\n", run.out());
        assertTrue(run.err().matches("deleteFile: DELETE .*/files/ID: 409 .*\n" + MEANING), run.err());
    }

    @Test void aLineThatBreaksIsSaidAndTheOthersGoButNoBatchOfAFileThatStays() {
        submitted("old", 40).results();
        submitted("older", 50).results();
        var broken = new AtomicInteger(4);                     // as often as it is tried
        server.onEvery(request -> request.startsWith("DELETE") && broken.getAndDecrement() > 0 ? Fault.dropped()
            : null);

        var run = plain(clean("--delete", "--older", "0h"));

        assertEquals(1, run.status());
        assertEquals("""
            deleted file ID (input of older)
            deleted file ID (output of old)
            deleted file ID (input of old)
            deleted batch old
            1 batch and 3 files deleted
            """, run.out());
        assertTrue(run.err().matches("deleteFile: cannot reach .*\n" + MEANING), run.err());
        assertEquals(List.of("older"), kept().stream().map(Batch::name).toList());
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', value = {
        "--older soon | Invalid value for option '--older': 'soon' is no time such as 30s, 10m, 12h or 7d",
        "--older 30 | Invalid value for option '--older': '30' is no time such as 30s, 10m, 12h or 7d",
        "--older -1d | Invalid value for option '--older': '-1d' is no time such as 30s, 10m, 12h or 7d",
        "--older 99999999d | Invalid value for option '--older': '99999999d' is no time such as 30s, 10m, 12h "
            + "or 7d",
        "--nonsense | Unknown option: '--nonsense'",
        "tickets | Unmatched argument at index 0: 'tickets'"})
    void aWrongOptionIsASentenceAndExitCode2(String arguments, String sentence) {
        assertEquals(new Run(2, "", "clean: " + sentence + "; try 'clean --help'\n"), clean(arguments.split(" ")));
    }

    @Test void aProviderThatCannotBeReachedIsASentenceAfterTheBatches() {
        submitted("old", 40).results();
        System.setProperty("OPENAI_BASE_URL", "http://localhost:9/v1");

        var run = clean();

        assertEquals(1, run.status());
        assertTrue(run.out().contains("\n1 batch, "), run.out());
        assertEquals("leftovers: cannot reach http://localhost:9/v1 (connection refused); start a server "
            + "or give another --provider\n", run.err());
    }

    @Test void noModelIsStartedToLookAfterFiles() throws IOException {
        assumeTrue(Files.isExecutable(Path.of("/bin/sh")) && Ports.isFree(4141), "no sh, or something on port 4141");
        var launcher = Files.writeString(home.resolve("launcher"), "#!/bin/sh\ntouch '" + home + "/started'\n");
        assertTrue(launcher.toFile().setExecutable(true));
        System.setProperty("SHEAF_LAUNCHER", launcher.toString());
        System.setProperty("SHEAF_PROVIDER", "local");

        var run = clean("--files");
        System.setProperty("SHEAF_LAUNCHER", "");

        assertEquals(new Run(1, "", "leftovers: cannot reach http://127.0.0.1:4141/v1 (connection refused); start one "
            + "with ./jbang serve or ./jbang local\n"), run);
        assertFalse(Files.exists(home.resolve("started")));
    }

    @Test void helpNamesEveryOptionWithin80Columns() {
        var help = clean("--help");

        assertEquals(0, help.status());
        for (var option : List.of("--delete", "--older", "--runs", "--files", "--provider"))
            assertTrue(help.out().contains(option), option);
        assertEquals(List.of(), Printed.illegible(help.out(), 80));
    }

    private static Run clean(String... arguments) { return Run.of(() -> clean.run(arguments)); }

    /** Leaves out what differs from run to run. */
    private Run plain(Run run) { return new Run(run.status(), plain(run.out()), plain(run.err())); }

    private String plain(String text) {
        return text.replace(server.baseUrl(), "URL").replaceAll("(\\w+)-[0-9a-f]{12}\\b", "$1")
            .replaceAll("file-(output-)?[0-9a-f]{32}", "ID")
            .replaceAll("(?m)^-+( .*)?\n", "").replaceAll("[0-9]{4}-[0-9]{2}-[0-9]{2}", "DAY")
            .replaceAll("[0-9.]+ k?B", "SIZE").replaceAll(" {2,}", " ");
    }

    /** Submits a batch of one row as if it was so many days ago. */
    private Batch submitted(String name, int days) {
        var submitted = ask(name).submit();
        try {
            var steps = submitted.folder().resolve("steps.jsonl");
            var then = Instant.now().minus(Duration.ofDays(days)).toString().substring(0, 10);
            Files.writeString(steps, Files.readString(steps).replaceAll("(\"at\":\")[0-9-]+", "$1" + then));
        } catch (IOException e) {
            throw new AssertionError(e);
        }
        return submitted;
    }

    private Draft ask(String name) {
        return batch().provider(Provider.of(server.baseUrl())).quiet().name(name).model("echo")
            .prompts("{{value}}", rows(name));
    }
}
