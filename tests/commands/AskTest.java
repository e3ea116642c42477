package sheaf.commands;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import sheaf.Sheaf;
import sheaf.server.BatchServer;
import sheaf.support.Commands;
import sheaf.support.Commands.Run;
import sheaf.server.BatchServer.Reply;
import sheaf.support.Printed;
import sheaf.support.Project;
import sheaf.support.RawClient;
import sheaf.support.Signals;

/** The command ask: what can be done without Java. */
class AskTest {
    static final Path PROJECT = Project.root();
    static final String HEADER = "result.customId,result.template,result.model,result.answeredBy,"
        + "result.outcome,result.text,result.error";
    final BatchServer server = BatchServer.start();
    @TempDir Path dir;
    @RegisterExtension final Commands environment = new Commands(() -> dir.resolve("home"), () -> server);
    boolean isTerminal;

    @BeforeEach void environment() {
        System.setProperty("COLUMNS", "100");
    }

    @AfterEach void stop() {
        System.clearProperty("COLUMNS");
        System.clearProperty("CI");
        System.setProperty("SHEAF_SCRIPT", "");
    }

    @Test void aPageIsWrittenToAnHtmlFile() throws Exception {
        var run = ask("-m", "echo", "-p", "one", "-p", "<two>", "-o", at("out.html"));

        assertEquals(0, run.status(), run.err());
        var page = Files.readString(Path.of(at("out.html")));
        assertTrue(run.err().contains("wrote " + at("out.html") + " (2 succeeded; "), run.err());
        assertTrue(page.startsWith("<!DOCTYPE html>") && page.contains("\"p\":\"\\u003ctwo>\""), page);
    }

    @Test void promptsWithoutRowsAreSentAsTheyStandAndStandBesideTheirAnswers() {
        var run = ask("-m", "echo", "What is {{umami}}?", "@home, \"really\"", "-o", at("out.csv"));

        assertEquals(0, run.status(), run.err());
        assertEquals("prompt," + HEADER + "\n"
            + "What is {{umami}}?,request-1,prompt-1,echo,echo,succeeded,What is {{umami}}?,\n"
            + "\"'@home, \"\"really\"\"\",request-2,prompt-1,echo,echo,succeeded,\"'@home, \"\"really\"\"\",\n",
            text("out.csv"));
        assertTrue(run.err().endsWith("wrote " + at("out.csv") + " (2 succeeded; 5 tokens in, 5 out)\n"), run.err());
        var note = "prompt: \"What is {{umami}}?\" is sent as it stands, for it has no rows; to fill it in, give --data "
            + "FILE\n";
        assertTrue(run.err().startsWith(note) && !run.err().contains("@home"), run.err());
        assertTrue(Files.exists(only(dir.resolve("home/batches"), "what-is-umami-")));
        assertEquals("", ask("-m", "echo", "What is {{umami}}?", "-q").err());
    }

    @Test void answersAreAskedAboutInTurnAsJsonLines() {
        ask("-m", "echo", "-d", file("rows.csv", "q\nx\n"), "-p", "{{q}}?", "-o", at("first.csv"));
        ask("-m", "echo", "-d", at("rows.csv"), "-p", "{{q}}?", "-o", at("first.jsonl"));

        assertEquals(new Run(2, "", "prompts: the column \"result.customId\" of first.csv has the name of an answer; "
            + "give as --data what --out FILE.jsonl writes, or rename it\n"),
            ask("-m", "echo", "-d", at("first.csv"), "-p", "Really {{q}}", "-o", at("second.csv")));
        var run = ask("-m", "echo", "-d", at("first.jsonl"), "-p", "Really {{result.text}}", "-o", at("second.csv"));
        assertEquals(0, run.status(), run.err());
        assertTrue(text("second.csv").contains(",Really x?,"), text("second.csv"));
    }

    @Test void itIsKeptUnderItsDataAndItsFirstPrompt() {
        System.clearProperty("SHEAF_SCRIPT");
        var rows = file("reviews.csv", "text\nfine\n");
        var template = file("sort.mustache", "Sort {{text}}\n");
        var spanish = List.of("-m", "echo", "-d", rows, "-p", "In Spanish: {{text}}");

        ask(spanish.toArray(String[]::new));
        ask(Stream.concat(spanish.stream(), Stream.of("-p", "In Welsh: {{text}}")).toArray(String[]::new));
        ask("-m", "echo", "-d", rows, "-t", template);
        piping("text\nfine\n", "-m", "echo", "-p", "{{text}}?", "-d", "-");
        ask("-m", "echo", "In Spanish: fine", "In Welsh: fine");

        assertEquals(List.of("in-spanish-fine", "reviews-in-spanish", "reviews-in-spanish", "reviews-sort", "stdin"),
            kept());
    }

    @Test void whatWasAskedWhenOnlyTheDataGaveTheNameIsNotPaidAgain() {
        var given = new String[] {"-m", "echo", "-p", "In Spanish: {{q}}", "-d", file("rows.csv", "q\nx\n")};
        ask(given);
        System.clearProperty("SHEAF_SCRIPT");

        var run = ask(given);

        assertTrue(run.err().startsWith("attached to "), run.err());
        assertEquals(List.of("rows"), kept());
    }

    @Test void templatesTimesRowsTimesModels() {
        file("a.mustache", "A {{q}}\n");
        file("b.mustache", "B {{q}}\n");
        file("rows.csv", "q,id\n\"x, \"\"y\"\"\nz\",7\nw,8\n");

        var lines = ask("-m", "m,n", "-t", at("a.mustache"), "-t", at("b"), "-p", "C {{q}}", "-d", at("rows.csv"),
            "--preview", "99").out().lines().toList();

        assertEquals(2 * 3 * 2, lines.size());
        assertTrue(lines.get(0).contains("\"model\":\"m\"") && lines.get(0).contains("\"C x, \\\"y\\\"\\nz\""));
        assertTrue(lines.get(3).contains("\"model\":\"n\"") && lines.get(3).contains("\"A x, \\\"y\\\"\\nz\""));
        assertTrue(lines.get(10).contains("\"model\":\"m\"") && lines.get(10).contains("\"B w\""));
    }

    @Test void everySettingReachesTheRequest() {
        file("rows.jsonl", "{\"q\":\"x\",\"role\":\"cook\",\"url\":\"http://localhost/x.png\"}\n{\"q\":\"y\"}\n");

        assertEquals("{\"custom_id\":\"request-1\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\",\"body\":"
            + "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"A cook.\"},{\"role\":\"user\","
            + "\"content\":[{\"type\":\"text\",\"text\":\"x\"},{\"type\":\"image_url\",\"image_url\":"
            + "{\"url\":\"http://localhost/x.png\"}}]}],\"seed\":7,\"stop\":[\"a\",\"b=c\"],\"temperature\":0,"
            + "\"top_p\":0.90,\"user\":\"1 me\",\"max_completion_tokens\":9}}\n",
            ask("-m", "m", "-s", "A {{role}}.", "-p", "{{q}}", "-d", at("rows.jsonl"), "--image", "{{url}}", "--limit",
                "1", "--max-tokens", "9", "--with", "temperature=0", "--with", "top_p=0.90", "--with", "user=1 me",
                "--with", "stop=[\"a\",\"b=c\"]", "--with=seed=7", "--name", "n", "--id", "{{q}}", "--preview").out());
    }

    @Test void previewSendsNothingAndTakesANumberOrNone() {
        assertEquals(1, ask("-m", "m", "--preview", "one prompt").out().lines().count());
        assertTrue(ask("-m", "m", "--preview", "@" + file("at", "not this")).out().contains("\"@" + dir));
        assertEquals(2, ask("-m", "m", "--preview", "2", "one prompt", "and two", "and three").out().lines().count());
        assertEquals(1, ask("-m", "m", "one prompt", "and two", "--preview=1", "-o", at("no/x.csv")).out().lines()
            .count());
        assertEquals(List.of("GET /v1/models"), server.requests().stream().distinct().toList());
    }

    @Test void previewSaysOnStderrWhatAllRowsWouldBe() {
        var given = List.of("-m", "echo", "-p", "{{q}}?", "-d", file("rows.csv", "q\na\nb\na\n"));
        ask(Stream.concat(given.stream(), Stream.of("--limit", "1")).toArray(String[]::new));

        var run = ask(Stream.concat(given.stream(), Stream.of("--preview", "1")).toArray(String[]::new));

        assertEquals(0, run.status());
        assertTrue(run.out().matches("\\{\"custom_id\":\"request-1\".*\\}\n"), run.out());
        assertEquals("3 requests (2 to send, 1 answered before, 1 repeat) in 1 part; echo; about 16 tokens of "
            + "prompts; no price on this machine\n", run.err());
    }

    @Test void estimateIsATableOnStdoutAndSendsNothing() {
        var run = ask("-m", "gpt-4.1-mini", "-p", "{{q}}?", "-d", file("rows.csv", "q\na\nb\na\n"), "--estimate",
            "--price", "1,2", "--max-tokens", "1000000", "-o", at("no/x.csv"), "--distinct");

        assertEquals(new Run(0, """
            model         requests  tokens in  most out   price in   price at most
            ------------  --------  ---------  ---------  ---------  -------------
            gpt-4.1-mini  2         18         2,000,000  $0.000018  $4.00

            3 requests (2 to send, 1 repeat left out) in 1 part; up to $4.00
            tokens: o200k_base
            price: --price 1,2
            """, ""), run);
        assertTrue(server.requests().stream().noneMatch(request -> request.startsWith("POST")));
    }

    @Test void aSampleIsShownWithTheCommandForTheRest() {
        var rows = file("rows.csv", "q\na\nb\nc\nd\n");
        var run = ask("-m", "echo", "-p", "What's {{q}}?", "-d", rows, "--sample", "2", "-o", at("out.csv"));

        assertEquals(0, run.status(), run.err());
        assertTrue(run.out().contains("What's a?") && run.out().contains("What's c?"), run.out());
        assertTrue(run.err().endsWith("ask: for all: ./jbang ask -m echo -p 'What'\\''s {{q}}?' -d " + rows
            + " -o " + at("out.csv") + "\n"), run.err());
        assertTrue(Files.notExists(dir.resolve("out.csv")));

        var rest = ask("-m", "echo", "-p", "What's {{q}}?", "-d", rows, "-o", at("out.csv"));

        assertTrue(rest.err().contains(": 4 requests; 2 answered before, 2 to send"), rest.err());
        assertEquals(5, text("out.csv").lines().count());
    }

    @Test void aRehearsalAsksNobodyElseAndWritesFilesThatNobodyTakesForAnswers() {
        var given = new String[] {"-m", "m", "-p", "{{q}}", "-d", file("rows.csv", "q\na\nb\n"), "-o", at("out.csv"),
            "--report", at("run.json"), "--provider", "groq"};
        var run = rehearsed(given);

        assertEquals(0, run.status(), run.err());
        assertTrue(run.out().contains("succeeded"), run.out());
        assertEquals("ask: a rehearsal, of which nothing is sent: answers are invented; an upload, a create, looks and "
            + "a download fail at first, and each seventh answer expires\n"
            + "wrote " + at("out.rehearsal.csv") + " (2 succeeded; 2 tokens in, 2 out)\n"
            + "ask: for the real run: ./jbang ask -m m -p '{{q}}' -d " + at("rows.csv") + " -o " + at("out.csv")
            + " --report " + at("run.json") + " --provider groq\n", run.err());
        assertTrue(Files.notExists(dir.resolve("out.csv")) && Files.exists(dir.resolve("run.rehearsal.json")));
        assertEquals(3, text("out.rehearsal.csv").lines().count());
        assertEquals(List.of(), server.requests());
        assertEquals(0, rehearsed(given).status(), "the file is its own");
    }

    @Test void aRehearsalTakesASampleAndAPipeAsTheRealRunDoes() {
        var rows = file("rows.csv", "q\na\nb\nc\nd\n");
        var sample = rehearsed("-m", "m", "-p", "{{q}}", "-d", rows, "--sample", "2", "--provider", "groq");
        var piped = rehearsed("-m", "m", "-p", "{{q}}", "-d", rows, "-o", "-", "--provider", "groq");

        assertTrue(sample.out().contains("\n2 succeeded; "), sample.out());
        assertEquals("ask: a rehearsal, of which nothing is sent: answers are invented\n"
            + "ask: for the real run: ./jbang ask -m m -p '{{q}}' -d " + rows + " --sample 2 "
            + "--provider groq\n", sample.err());
        assertEquals(4, piped.out().lines().filter(line -> line.startsWith("{\"q\":")).count(), piped.out());
    }

    @Test void nothingIsLeftOfARehearsal() throws Exception {
        var builder = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-cp",
            System.getProperty("java.class.path"), "sheaf.commands.rehearse", "-m", "m", "hello");
        builder.environment().put("SHEAF_HOME", at("home"));
        var process = builder.redirectErrorStream(true).start();

        var said = new String(process.getInputStream().readAllBytes(), UTF_8);

        assertTrue(process.waitFor() == 0 && said.contains("\n1 succeeded; "), said);
        var kept = dir.resolve("home/batches").toFile().list((folder, name) -> !name.endsWith(".lock"));
        assertEquals(List.of(), List.of(kept));
    }

    private static Run rehearsed(String... args) {
        return Run.of(() -> rehearse.run(stream -> false, args));
    }

    @Test void aPreviewOfASampleSaysWhatThatWouldSend() {
        var rows = file("rows.csv", "q\na\nb\nc\nd\n");
        var run = ask("-m", "m", "-p", "{{q}}", "-d", rows, "--preview", "--sample", "2");

        assertEquals(2, run.out().lines().count(), run.out());
        assertEquals("a sample of 2 of 4 requests now, one by one; m; about 16 tokens of prompts; no price on this "
            + "machine\n", run.err());
        assertTrue(server.requests().stream().noneMatch(request -> request.startsWith("POST")));
    }

    /** The server weighs more than all the rest of the command, so another one has it. */
    @Test void theOptionStartsTheCommandThatHasTheServer() throws Exception {
        var launcher = dir.resolve("a launcher");
        Files.writeString(launcher, "#!/bin/sh\nprintf '[%s]' \"$@\"\nexit 3\n");
        assertTrue(launcher.toFile().setExecutable(true));
        var builder = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-cp",
            System.getProperty("java.class.path"), "sheaf.commands.ask", "-m", "m", "--rehearse", "a b");
        builder.environment().put("SHEAF_LAUNCHER", "'" + launcher + "'");
        var process = builder.start();

        assertEquals("[rehearse][-m][m][a b]", new String(process.getInputStream().readAllBytes(), UTF_8));
        assertEquals(3, process.waitFor());
    }

    @Test void previewShowsTheFirstLinesAlsoIfALaterRowIsAtFault() {
        var run = ask("-m", "m", "-p", "{{q}}", "-d", file("rows.jsonl", "{\"q\":1}\n{\"p\":2}\n"), "--preview", "1");

        assertEquals(2, run.status());
        assertTrue(run.out().startsWith("{\"custom_id\":\"request-1\""), run.out());
        assertEquals("prompts: row 2 has no value for {{q}} (template line 1); it has: p\n", run.err());
    }

    @ParameterizedTest(name = "{0}")
    @ValueSource(strings = {"q\nx\n", "\uFEFFq\nx\n", "{\"q\":\"x\"}\n", "\uFEFF\n {\"q\":\"x\"}",
        " [\n{\"q\":\"x\"}]", "\"q\"\n\"x\"\n"})
    void standardInputIsReadAsWhatItIs(String rows) {
        var run = piping(rows, "-m", "echo", "-p", "{{q}}", "-d", "-");

        assertEquals("{\"q\":\"x\",\"result\":{\"customId\":\"request-1\",\"template\":\"prompt-1\","
            + "\"model\":\"echo\",\"answeredBy\":\"echo\","
            + "\"outcome\":\"succeeded\",\"text\":\"x\"}}\n", run.out());
        assertEquals(0, run.status());
        assertTrue(run.err().contains("; kept in " + only(dir.resolve("home/batches"), "stdin-")), run.err());
    }

    @Test void aFaultOfStandardInputIsNotThatOfAFile() {
        assertEquals(new Run(2, "", "data: standard input is empty; pipe rows into it, or name a file\n"),
            piping(" \n", "-m", "m", "-p", "{{q}}", "-d", "-"));
        assertEquals(new Run(2, "", "csv: standard input line 2: 1 field where the header has 2 (a, b); a comma is "
            + "missing\n"), piping("a,b\n1\n", "-m", "m", "-p", "{{a}}", "-d", "-"));
        assertEquals(new Run(2, "", "prompts: \"hello you\" names no column of stdin (a, b); name a column like "
            + "{{a}}\n"),
            piping("a,b\n1,2\n", "-m", "m", "-p", "hello you", "-d", "-"));
    }

    @Test void rowsThatAreTypedAreAskedFor() {
        isTerminal = true;

        assertTrue(piping("q\nx\n", "-m", "m", "-p", "{{q}}", "-d", "-", "--preview").err()
            .equals("data: type the rows, and then Ctrl-D\n1 request in 1 part; m; about 8 tokens of prompts; "
                + "no price on this machine\n"));
    }

    @Test void aTableIsForATerminalAndJsonLinesAreForAPipe() {
        isTerminal = true;
        assertEquals("""
            id         prompt     result
            ---------  ---------  ---------
            request-1  Say hello  Say hello
            1 succeeded; 2 tokens in, 2 out
            """, ask("-m", "echo", "Say hello").out());
        assertTrue(ask("-m", "echo", "Say hello", "-o", "-").out().startsWith("{\"prompt\":\"Say hello\""));
        isTerminal = false;
        assertTrue(ask("-m", "echo", "Say hello").out().startsWith("{\"prompt\":\"Say hello\""));
        assertEquals(1, server.requests().stream().filter("POST /v1/batches"::equals).count(), "paid once");
    }

    @Test void aLongTableSaysHowToGetTheRest() {
        isTerminal = true;
        file("rows.csv", "q\n" + "3 more; toCsv(file) writes them all\n".repeat(21));

        var lines = ask("-m", "echo", "-p", "{{q}}", "-d", at("rows.csv")).out().lines().toList();

        assertEquals("1 more; --out FILE.csv writes them all", lines.get(22));
        assertTrue(lines.get(2).contains("toCsv(file)"), "an answer stays as it is");
    }

    @Test void aRequestWithoutAnAnswerIsSaidAndIsExitCode3() {
        server.answer(body -> body.toString().contains("bad") ? Reply.error(400, "no", "too bad") : Reply.text("ok"));
        file("rows.csv", "q\ngood\nbad\n");

        var run = ask("-m", "m", "-p", "{{q}}", "-d", at("rows.csv"), "-o", at("out.CSV"));

        assertEquals(3, run.status());
        assertTrue(run.err().endsWith("wrote " + at("out.CSV") + " (1 succeeded, 1 errored; 1 tokens in, 1 out)\n"
            + "ask: 1 of 2 requests has no whole answer (1 errored): 400 too bad\n"), run.err());
        assertTrue(text("out.CSV").endsWith("\nbad,request-2,prompt-1,m,,errored,,400 too bad\n"), text("out.CSV"));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
        a, b, c | 3 of 3 requests have no whole answer (3 errored), all: 400 too bad
        a, cut  | 2 of 2 requests have no whole answer (1 errored, 1 truncated); result.error says why, and --repair 1 \
        sends again what may end better
        cut     | 1 of 1 requests has no whole answer (1 truncated): cut off after 1 tokens; raise --max-tokens; \
        --repair 1 sends again what may end better
        a, b cd | 2 of 2 requests have no whole answer (2 errored); result.error says why
        """)
    void whyNoneIsAnsweredIsSaidAndARepairAdvisedOnlyWhereItSendsSomething(String asked, String said) {
        server.answer(body -> {
            var text = body.at("/messages/0/content").asText();
            if (text.equals("cut")) return Reply.text("half").finishReason("length");
            return Reply.error(400, "no", text.length() > 1 ? "worse" : "too bad");
        });
        file("rows.csv", "q\n" + asked.replace(", ", "\n") + "\n");

        var run = ask("-m", "m", "-p", "{{q}}", "-d", at("rows.csv"), "-o", at("out.csv"));

        assertTrue(run.err().endsWith("\nask: " + said + "\n"), run.err());
    }

    @Test void whatCameOfACutAnswerIsInAColumnOfItsOwn() {
        server.answer(body -> Reply.text("half").finishReason("length"));

        var run = ask("-m", "m", "Hi", "-o", at("raw.csv"), "--raw");

        assertEquals(3, run.status());
        assertEquals(List.of("prompt," + HEADER + ",result.rawText", "Hi,request-1,prompt-1,m,m,truncated,,"
            + "cut off after 1 tokens; raise --max-tokens,half"), text("raw.csv").lines().toList());
    }

    @Test void whatIsMissingIsPaidAgainByAnOptionThatSaysSo() {
        server.onEvery(request -> request.endsWith("/content") ? BatchServer.Fault.status(404) : null);
        var given = List.of("-m", "echo", "Hi", "-o", at("gone.csv"), "--force");
        var gone = ask(given.toArray(String[]::new));
        assertEquals(3, gone.status());
        assertTrue(gone.err().endsWith("ask: 1 of 1 requests has no whole answer (1 missing): the file of its "
            + "answer could not be fetched; run again, or pay for it anew by --resend-missing\n"), gone.err());
        server.onEvery(request -> request.contains(outputOf(server.requests())) ? BatchServer.Fault.status(404) : null);

        for (var repair : List.of("0", "1"))
            assertEquals(0, ask(Stream.concat(given.stream(), Stream.of("--resend-missing", "--repair", repair))
                .toArray(String[]::new)).status());

        assertTrue(text("gone.csv").contains(",succeeded,Hi,"), text("gone.csv"));
        assertEquals(2, server.requests().stream().filter(request -> request.startsWith("POST /v1/batches")).count());
    }

    @Test void whatIsMissingIsPaidAgainOnceThoughMoreOfItsFileComesLater() {
        file("short.csv", "q\na\nb\nc\n");
        var given = new String[] {"-m", "echo", "-p", "{{q}}", "-d", at("short.csv"), "-o", at("whole.csv"), "--force",
            "--resend-missing"};
        var came = new AtomicInteger();
        server.onEvery(request -> request.endsWith("/content") && request.endsWith(outputOf(server.requests()))
            ? BatchServer.Fault.shortened(came.get()) : null);
        assertEquals(0, ask(given).status());
        var output = outputOf(server.requests());
        server.onEvery(request -> null);
        var whole = new RawClient(server::baseUrl).get(output.replaceFirst("^/v1", "")).body();
        came.set(new String(whole, StandardCharsets.UTF_8).indexOf('\n') + 1);
        server.onEvery(request -> request.endsWith(output) ? BatchServer.Fault.shortened(came.get()) : null);

        assertEquals(0, ask(given).status());

        assertTrue(text("whole.csv").contains("\nc,request-3,prompt-1,echo,echo,succeeded,c,"), text("whole.csv"));
        assertEquals(2, server.requests().stream().filter("POST /v1/batches"::equals).count());
    }

    /** The first file that was asked for: of the first batch. */
    private static String outputOf(List<String> requests) {
        return requests.stream().filter(request -> request.endsWith("/content")).findFirst().orElseThrow()
            .replaceFirst("^GET ", "");
    }

    @Test void anEndpointIsChosenAndOneThatTakesNoPromptsIsRefused() {
        var vector = ask("-m", "m", "Hi", "--endpoint", "/v1/embeddings", "-o", "-").out();
        assertTrue(vector.contains("\"outcome\":\"succeeded\",\"text\":\"["), vector);
        assertEquals(new Run(2, "", "endpoint: /v1/videos takes no prompts that Sheaf could write; there are "
            + "/v1/chat/completions, /v1/responses, /v1/completions, /v1/embeddings, /v1/moderations; for any other, "
            + "./jbang submit FILE sends a file of requests\n"), ask("-m", "m", "Hi", "--endpoint", "/v1/videos"));
    }

    @Test void repairSendsAgainWhatBroke() {
        var broken = new AtomicInteger(1);
        server.answer(body -> broken.getAndDecrement() > 0 ? Reply.error(500, "x", "broke") : Reply.text("ok"));

        var run = ask("-m", "m", "Say hello", "--repair", "1");

        assertEquals(0, run.status(), run.err());
        assertTrue(run.out().contains("\"text\":\"ok\""), run.out());
    }

    @Test void theTokensOfARepairAreInTheTotal() {
        var cut = new AtomicInteger(1);
        server.answer(body -> cut.getAndDecrement() > 0 ? Reply.text("half an").finishReason("length")
            : Reply.text("half an answer"));

        var run = ask("-m", "m", "Say hello", "--repair", "1", "-o", at("out.csv"));

        assertTrue(run.err().endsWith("wrote " + at("out.csv") + " (1 succeeded; 4 tokens in, 5 out)\n"), run.err());
    }

    @Test void whatARepairLeavesOutIsSaidInOptions() {
        server.loseLine("request-1");

        var run = ask("-m", "m", "Say hello", "--repair", "1");

        assertTrue(run.err().contains("repair: 1 request left out, for not all answers have come and what may be "
            + "answered is not paid again; run again, or pay for it anew by --resend-missing\n"), run.err());
    }

    @Test void howToComeByTheRestOfAnEarlierAskIsSaidInOptions() {
        server.loseLine("request-1");
        file("rows.csv", "q\na\nb\nc\n");
        ask("-m", "m", "-p", "{{q}}", "-d", at("rows.csv"), "--limit", "2");

        var run = ask("-m", "m", "-p", "{{q}}", "-d", at("rows.csv"));

        assertTrue(run.err().matches("(?s).*ask: not all answers of rows-\\w+ have come, and what may be answered "
            + "would be paid twice; ask for them: ./jbang results rows-\\w+, or ask anew under another --name\n"),
            run.err());
    }

    @Test void onlyTheRowsThatAreNewAreSent() {
        file("rows.csv", "q\na\nb\nc\n");
        var given = List.of("-m", "echo", "-p", "{{q}}", "-d", at("rows.csv"));
        ask(Stream.concat(given.stream(), Stream.of("--limit", "1")).toArray(String[]::new));

        var run = ask(given.toArray(String[]::new));

        assertEquals(3, run.out().lines().count());
        assertTrue(run.err().startsWith("rows: 3 requests; 1 answered before, 2 to send\n"), run.err());
    }

    @Test void afterAFaultOfTheFileNothingHasBeenSent() throws IOException {
        file("rows.csv", "q\nx\n");
        file("old.csv", "paid for");
        Files.createDirectory(dir.resolve("folder.csv"));
        var faults = new ArrayList<Run>();
        for (var out : List.of("old.csv", "new.txt", "new", "no/new.csv", "folder.csv", "rows.csv/new.csv"))
            faults.add(ask("-m", "m", "-p", "{{q}}", "-d", at("rows.csv"), "-o", at(out)));
        faults.add(ask("-m", "m", "-p", "{{q}}", "-d", at("rows.csv"), "-o", at("rows.csv"), "--force"));

        assertEquals(Stream.of("old.csv exists, and no batch named rows wrote it; give another name, or --force",
                "new.txt ends in none of .csv, .jsonl, .html, .parquet and .xlsx",
                "new ends in none of .csv, .jsonl, .html, .parquet and .xlsx",
                "no folder no; make it first", "folder.csv is a folder; name a file in it",
                "no folder rows.csv; make it first",
                "rows.csv is what is read; give another name")
            .map(sentence -> new Run(2, "", "out: " + sentence + "\n")).toList(),
            faults.stream().map(run -> new Run(run.status(), run.out(), run.err().replace(dir + "/", ""))).toList());
        assertEquals(List.of(), server.requests());
        assertEquals("paid for", text("old.csv"));
    }

    @Test void theSameCommandWritesItsFileAgain() {
        file("rows.csv", "q\na\n");
        var given = new String[] {"-m", "echo", "-p", "{{q}}", "-d", at("rows.csv"), "-o", at("out.csv")};
        var first = ask(given);
        var second = ask(given);
        file("rows.csv", "q\na\nb\n");
        var grown = ask(given);

        assertEquals(List.of(0, 0, 0), List.of(first.status(), second.status(), grown.status()), grown.err());
        assertTrue(second.err().endsWith("\nwrote " + at("out.csv") + " (1 succeeded; 1 tokens in, 1 out)\n"));
        assertTrue(text("out.csv").endsWith("\nb,request-2,prompt-1,echo,echo,succeeded,b,\n"), text("out.csv"));
        assertEquals(2, server.requests().stream().filter("POST /v1/batches"::equals).count());
    }

    @Test void whatWasEditedSinceIsKeptAndNothingIsSent() {
        file("rows.csv", "q\na\n");
        var given = List.of("-m", "echo", "-p", "{{q}}", "-d", at("rows.csv"), "-o", at("out.csv"));
        ask(given.toArray(String[]::new));
        file("out.csv", text("out.csv") + "my own line\n");
        file("rows.csv", "q\na\nb\n");
        int asked = server.requests().size();

        assertEquals(new Run(2, "", "out: " + at("out.csv") + " was changed since it was written; give another name, "
            + "or --force\n"), ask(given.toArray(String[]::new)));
        assertTrue(text("out.csv").endsWith("my own line\n"));
        assertEquals(asked, server.requests().size());

        assertEquals(0, ask(Stream.concat(given.stream(), Stream.of("--force")).toArray(String[]::new)).status());
        assertEquals(3, text("out.csv").lines().count());
        assertEquals(0, ask(given.toArray(String[]::new)).status(), "its own again");
    }

    @Test void aFileOfAnotherNameIsKept() {
        file("rows.csv", "q\na\n");
        ask("-m", "echo", "-p", "{{q}}", "-d", at("rows.csv"), "-o", at("out.csv"), "--name", "mine");
        int asked = server.requests().size();

        assertEquals(new Run(2, "", "out: " + at("out.csv") + " exists, and no batch named yours wrote it; give "
            + "another name, or --force\n"),
            ask("-m", "echo", "-p", "{{q}}", "-d", at("rows.csv"), "-o", at("out.csv"), "--name", "yours"));
        assertEquals(asked, server.requests().size());
    }

    @Test void forceOverwritesAndPaysNothingTwice() {
        var given = List.of("-m", "echo", "Say hello", "-o", at("out.jsonl"));
        ask(given.toArray(String[]::new));
        file("out.jsonl", "old");

        var run = ask(Stream.concat(given.stream(), Stream.of("--force")).toArray(String[]::new));

        assertEquals(0, run.status(), run.err());
        assertTrue(text("out.jsonl").startsWith("{\"prompt\":\"Say hello\""));
        assertEquals(1, server.requests().stream().filter("POST /v1/batches"::equals).count());
    }

    @Test void aFileThatAppearsMeanwhileIsNotOverwritten() {
        server.answer(body -> {
            file("out.csv", "another's");
            return Reply.text("ok");
        });

        var run = ask("-m", "m", "Say hello", "-o", at("out.csv"));

        assertEquals(1, run.status());
        assertTrue(run.err().endsWith("out: " + at("out.csv") + " exists, and no batch named say-hello wrote it; run "
            + "again with another name or --force, nothing is sent twice\n"), run.err());
        assertEquals("another's", text("out.csv"));
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', value = {
        "Hi --provider groq | model: none given; name one by --model, and ./jbang models lists them",
        " | prompts: none given; write one in quotes, or give --prompt TEXT or --template FILE",
        "-m m | prompts: none given; write one in quotes, or give --prompt TEXT or --template FILE",
        "-m m What is this? | prompts: \"What\", \"is\", \"this?\" are a prompt each; put quotes around one of several "
            + "words, or give each as --prompt",
        "-m m -p To Spanish: {{q}} -d FILE | prompts: \"Spanish:\", \"{{q}}\" are a prompt each; put quotes around one "
            + "of several words, or give each as --prompt",
        "-m m,m Hi | model: the same model twice would be paid twice; name each once",
        "-m m rows.csv | prompts: \"rows.csv\" would be sent as a prompt; did you mean --data rows.csv?",
        "-m m -p {{q}} | prompt: \"{{q}}\" has no rows to be filled in from; give --data FILE",
        "-m m Hi -s {{q}} | system: row 1 has no value for {{q}} (template line 1); it has: prompt",
        "-m m -t TEMPLATE | prompts: template t has no data; give --data FILE",
        "-m m -t {{q}} -d FILE | template: takes a file name; for text write --prompt",
        "-m m -t TEMPLATE -t TEMPLATE -d FILE | prompts: two templates are named \"t\"; rename one of the files",
        "-m m -p explain -d FILE | prompts: \"explain\" names no column of rows.csv (q); name a column like {{q}}",
        "-m m -p {{city}} -d FILE | prompts: row 1 has no value for {{city}} (template line 1); it has: q; if "
            + "line 1 of rows.csv is a row, give --header",
        "-m m -p {{q}} -d EMPTY | csv: EMPTY line 1: no header; the first line names the columns",
        "-m m -p {{q} -d FILE | template: \"{{q}\": a {{ is not closed by }} (line 1)",
        "-m m -p {{q}} -d . | data: . is a folder; name a file in it",
        "-m m -p {{q}} -d rows.txt | data: rows.txt ends in none of .csv, .jsonl, .json, .parquet and .xlsx; "
            + "with --separator it is read as CSV",
        "-m m -p {{q}} -d old.xls | data: old.xls ends in none of .csv, .jsonl, .json, .parquet and .xlsx; "
            + "save it as .xlsx",
        "-m m -p {{q}} -d shop.db | data: shop.db ends in none of .csv, .jsonl, .json, .parquet and .xlsx; "
            + "a database is --data jdbc:sqlite:shop.db, with --sql",
        "-m m -p {{q}} -d postgres://ana:hunter2@localhost/shop | data: the URL of a database begins with jdbc:, such "
            + "as jdbc:postgresql://HOST/NAME",
        "-m m -p {{q}} -d FILE --limit 0 | limit: 0 is less than 1",
        "-m m -p {{q}} -d FILE --limit -2 | limit: -2 is less than 1",
        "-m m Hi --limit 1 | limit: there are no rows; give --data FILE",
        "-m m Hi --id x | id: there are no rows to name; give --data FILE",
        "-m m Hi --with temperature | options: --with temperature is no FIELD=VALUE",
        "-m m Hi --with model=x | with: model has an option of its own: --model, --template or --system",
        "-m m Hi --provider groq | provider: no key for groq; set GROQ_API_KEY",
        "-m m Hi --modle x | ask: Unknown option: '--modle'; did you mean --model?; try 'ask --help'",
        "-m m Hi --tint | ask: Unknown option: '--tint'; try 'ask --help'",
        "-m m Hi --limit x | ask: Invalid value for option '--limit': 'x' is no number; try 'ask --help'",
        "-m m Hi -d | ask: Missing required parameter for option '--data' (FILE); try 'ask --help'",
        "-m m Hi -d - -d - | ask: option '--data' (FILE) should be specified only once; try 'ask --help'",
        "-m m Hi --provider gorq | provider: \"gorq\" is neither a base URL like http://localhost:8080/v1 nor one of "
            + "openai, groq, nebius, parasail, doubleword, deepinfra, together, kluster, local"})
    void aMistakeIsASentenceAndNothingIsSent(String arguments, String sentence) {
        System.setProperty("CI", "true");                      // no terminal to ask for a key
        file("rows.csv", "q\nx\n");
        file("empty.csv", "");
        file("t.mustache", "{{q}}");
        var given = Stream.of(String.valueOf(arguments).split(" ")).filter(word -> !word.equals("null"))
            .map(word -> word.replace("FILE", at("rows.csv")).replace("TEMPLATE", at("t.mustache"))
                .replace("EMPTY", at("empty.csv"))).toArray(String[]::new);

        assertEquals(new Run(2, "", sentence.replace("EMPTY", at("empty.csv")) + "\n"), ask(given));
        assertEquals(List.of(), server.requests());
    }

    @Test void aFaultInTheFileOfProvidersIsSaidByItsPlaceAlone() {
        var file = file("providers.json", "{\"acme\": {\"base_ur\": \"x\"}}");
        System.setProperty("SHEAF_HOME", dir.toString());

        assertEquals(new Run(2, "", "provider: " + file + ": acme has base_ur; did you mean base_url?\n"),
            ask("-m", "m", "Hi", "--provider", "acme"));
    }

    @Test void withoutAKeyItSaysWhereItLookedAndWithTwoHowToChoose() {
        System.setProperty("CI", "true");
        System.setProperty("OPENAI_BASE_URL", "");

        assertTrue(ask("-m", "m", "Hi").err().startsWith("provider: no key; looked for OPENAI_API_KEY, "));
        System.setProperty("GROQ_API_KEY", "x");
        System.setProperty("NEBIUS_API_KEY", "x");
        try {
            assertEquals(new Run(2, "", "provider: GROQ_API_KEY and NEBIUS_API_KEY are both set; choose with "
                + "--provider groq or SHEAF_PROVIDER=groq\n"), ask("-m", "m", "Hi"));
        } finally {
            System.setProperty("GROQ_API_KEY", "");
            System.setProperty("NEBIUS_API_KEY", "");
        }
    }

    @Test void aProviderThatCannotBeReachedIsExitCode1() {
        assertEquals(new Run(1, "", "ask: cannot reach http://localhost:9/v1 (connection refused); start a server "
            + "or give another --provider\n"), ask("-m", "m", "Hi", "--provider", "http://localhost:9/v1"));
    }

    @Test void helpSaysEachOptionInALineOrTwoOf80Columns() {
        var help = ask("--help").out();

        assertEquals(List.of(), Printed.illegible(help, 80));
        assertEquals(List.of(), help.lines().dropWhile(line -> !line.equals("Examples:")).skip(1)
            .takeWhile(line -> !line.isEmpty()).filter(line -> !line.startsWith("  ")).toList());   // to be copied
        for (var option : List.of("--model", "--system", "--prompt", "--template", "--data", "--limit", "--out",
                "--force", "--preview", "--max-tokens", "--temperature", "--with", "--image", "--id", "--name",
                "--repair", "--provider", "--separator", "--charset", "--header", "--columns", "--wide", "--bom",
                "--formulas", "--raw", "--endpoint", "--resend-missing", "--wait", "--quiet", "--failed", "--report",
                "--estimate", "--sample", "--rehearse", "--price", "--budget", "--distinct"))
            assertTrue(Pattern.compile("(?m)^  (-.,|   ) " + option + "\\b").matcher(help).find(), option);
    }

    @Test void helpSaysWhenTheBatchGoesOn() {
        var codes = ask("--help").out().replaceAll("\\s+", " ").replaceFirst(".*Exit codes: ", "");

        assertEquals("0 if every request has a whole answer; 1 if the provider refused or could not be reached; 2 if "
            + "an option, a prompt, the data or the key is at fault, and nothing was sent; 3 if some requests have no "
            + "whole answer; 75 if the batch goes on: --wait is over, or a limit of the engine is used up.",
            codes.strip());
    }

    @Test void theExamplesOfTheHelpWork() {
        var examples = ask("--help").out().replaceAll("(?<=[|]| )\\\\?\\R {6}", " ").lines()
            .filter(line -> line.contains("./jbang ask ")).toList();
        assertEquals(4, examples.size());
        for (var example : examples) {
            var words = Pattern.compile("'([^']*)'|(\\S+)").matcher(example.replaceFirst(".*/jbang ask ", "")
                .replaceFirst(" > .*", "")).results().map(word -> word.group(1) == null ? word.group(2)
                    .replaceFirst("^data/", PROJECT + "/data/").replaceFirst("^out", dir + "/out") : word.group(1));
            var input = example.replaceFirst(" *cat (\\S+).*", "$1");

            assertEquals(0, piping(read(PROJECT.resolve(input)), words.toArray(String[]::new)).status(), example);
        }
        assertEquals(4, text("out.csv").lines().count());
    }

    @Test void ctrlCSaysHowToComeBackAndLeavesNoFileBehind() throws Exception {
        server.pause();
        var process = start();
        try {
            RawClient.await(() -> text("err").contains(" 0/1"));
            assertEquals(1, count(dir.resolve("tmp"), "sheaf-"));

            Signals.interrupt(process);

            assertTrue(process.waitFor(20, TimeUnit.SECONDS));
            assertTrue(text("err").strip().matches("(?s).*\n(batch_\\w+) goes on at \\S+; run again, or ./jbang "
                + "results \\1, to come back to it"), text("err"));
            assertEquals(0, count(dir.resolve("tmp"), "sheaf-"));
        } finally {
            process.destroyForcibly();
        }
    }

    @Test void whatAKilledCommandLeftIsSweptUpByTheNext() throws Exception {
        server.pause();
        var killed = start();
        try {
            RawClient.await(() -> text("err").contains(" 0/1"));
        } finally {
            killed.destroyForcibly().waitFor();
        }
        assertEquals(1, count(dir.resolve("tmp"), "sheaf-"));
        server.resume();

        var next = start("-o", at("out.csv"));

        assertTrue(next.waitFor(20, TimeUnit.SECONDS));
        assertEquals(0, next.exitValue(), text("err"));
        assertEquals(0, count(dir.resolve("tmp"), "sheaf-"));
    }

    /** Starts the command in a process of its own, for a provider elsewhere; its rows come by a pipe. */
    private Process start(String... more) throws Exception {
        var temporary = Files.createDirectories(dir.resolve("tmp"));
        var command = Stream.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "-XX:TieredStopAtLevel=1", "-Djava.io.tmpdir=" + temporary, "-cp", System.getProperty("java.class.path"),
            "sheaf.commands.ask", "-m", "m", "-p", "{{q}}", "-d", "-", "--provider",
            server.baseUrl().replace("127.0.0.1", "[::ffff:127.0.0.1]"));
        var builder = new ProcessBuilder(Signals.interruptible(Stream.concat(command, Stream.of(more)).toList()))
            .redirectInput(Path.of(file("rows.csv", "q\nx\n")).toFile()).redirectError(dir.resolve("err").toFile());
        builder.environment().put("SHEAF_HOME", dir.resolve("home").toString());
        builder.environment().put("SHEAF_API_KEY", "k");
        return builder.start();
    }

    private Run ask(String... arguments) {
        return Run.of(() -> sheaf.commands.ask.run(stream -> isTerminal, arguments));
    }

    private Run piping(String input, String... arguments) {
        var before = System.in;
        System.setIn(new ByteArrayInputStream(input.getBytes(StandardCharsets.UTF_8)));
        try {
            return ask(arguments);
        } finally {
            System.setIn(before);
        }
    }

    private String at(String name) { return dir.resolve(name).toString(); }

    private String file(String name, String text) {
        try {
            return Files.writeString(dir.resolve(name), text).toString();
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    private String text(String name) { return read(dir.resolve(name)); }

    private static String read(Path file) {
        try {
            return Files.exists(file) ? Files.readString(file).replace("\r\n", "\n") : "";
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    private static List<String> kept() { return Sheaf.kept().stream().map(Sheaf.Batch::name).sorted().toList(); }

    private static Path only(Path folder, String start) {
        try (var files = Files.list(folder)) {
            return files.filter(file -> file.getFileName().toString().startsWith(start)).findFirst().orElseThrow();
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    private static long count(Path folder, String start) throws IOException {
        try (var files = Files.list(folder)) {
            return files.filter(file -> file.getFileName().toString().startsWith(start)).count();
        }
    }
}
