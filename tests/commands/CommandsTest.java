package sheaf.commands;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDate;
import java.time.LocalTime;
import java.time.ZoneOffset;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Provider;
import sheaf.server.BatchServer;
import sheaf.support.Guide;
import sheaf.support.Project;

/** The commands of the catalog, each run as a user runs it. */
@Tag("apart")
class CommandsTest {
    static final Path PROJECT = Project.root();
    @TempDir Path dir;

    private record Run(int status, String out, String err) {}

    @Test void quickstartShowsARowForEachQuestionAndSaysWhoAnswered() throws Exception {
        var run = run("quickstart");

        assertEquals(0, run.status(), run.err());
        assertTrue(Stream.of("request-1  Explain the", "request-2  When should I", "request-3  What is the ultimate")
            .allMatch(run.out()::contains), run.out());
        assertTrue(run.out().matches("(?s).*\n(Answered here by SmolLM2-135M-Instruct [(].{1,30}[)]\n"
            + "on .{1,50} of 2048 tokens[.]\n--model large answers better [(]"
            + "(986 or 1117 MB once, 1[.]7|it is here, 1[.][57]) GB of memory[)];\n"
            + "--provider NAME asks a hosted model[.]|No model was to be had: .*)\n"), run.out());
    }

    @Test void quickstartAsksTheProviderThatIsNamed() throws Exception {
        try (var server = BatchServer.start()) {
            var run = run("quickstart", "--provider", server.baseUrl(), "--model", "echo");

            assertEquals(0, run.status(), run.err());
            assertTrue(run.out().endsWith("3 succeeded; 53 tokens in, 38 out\n"), run.out());
        }
    }

    @Test void quickstartTakesTheModelOfThisMachineByName() throws Exception {
        var run = run("quickstart", "--model=gpt-9");

        assertEquals(2, run.status(), run.err());
        assertTrue(run.err().startsWith("start: there is no file gpt-9 and no known model of that name; known are "
            + "small, medium, large, "), run.err());
    }

    @Test void localListsTheModelsThatHaveANameAndFetchesOneOfThem() throws Exception {
        var list = run("local", "--list");

        assertEquals(0, list.status(), list.err());
        assertTrue(list.out().matches("(?s)model +size +download +memory +licence\nSmolLM2.*"), list.out());
        assertTrue(Pattern.compile("(?m)^Qwen2[.]5-0[.]5B-Instruct +medium +398 MB +0[.]8 GB +Apache-2[.]0( |$)")
            .matcher(list.out()).find(), list.out());
        var fetch = run("local", "--fetch", "small");
        if (fetch.status() == 0) assertTrue(fetch.out().endsWith(".gguf\n"), fetch.out());
        else assertTrue(fetch.err().contains("start: no weights for SmolLM2-135M-Instruct ("), fetch.err());
        assertEquals(new Run(2, "", "local: serves one model, not small and large; try 'local --help'\n"),
            run("local", "small", "--model", "large"));
        assertEquals(new Run(2, "", "local: lists, fetches or serves, and one of these at a time; try "
            + "'local --help'\n"),
            run("local", "--list", "--fetch", "small"));
        assertEquals(new Run(2, "", "port: 99999 is not within 0 and 65535; try 'local --help'\n"),
            run("local", "--port", "99999"));
    }

    @Test void aScriptNamesItsBatches() throws Exception {
        Files.writeString(dir.resolve("reviews.csv"), "text\nfine\n");
        var script = Files.writeString(dir.resolve("GoodOrBad.java"), """
            //SOURCES %s/lib/Sheaf.java
            class GoodOrBad {
                public static void main(String... args) {
                    sheaf.Sheaf.batch().model("echo").prompts("Is it {{text}}?", sheaf.Sheaf.csv(args[0])).submit();
                    sheaf.Sheaf.batch().model("echo").prompts("hello").submit();
                }
            }
            """.formatted(PROJECT));
        try (var server = BatchServer.start()) {
            var run = run(server, script.toString(), dir.resolve("reviews.csv").toString());

            assertEquals(0, run.status(), run.err());
            assertTrue(run.err().matches("(?s).*batches/good-or-bad-reviews-[0-9a-f]{12}\n.*"
                + "batches/good-or-bad-[0-9a-f]{12}\n"), run.err());
        }
    }

    @Test void cleanListsWhatIsLeftAndNeedsNoKeyForWhatIsHere() throws Exception {
        var run = run("clean");

        assertEquals(0, run.status(), run.err());
        assertEquals("Batches kept here that are over, submitted more than 30 days ago:\n(none)\n\n", run.out());
        assertTrue(run.err().startsWith("files: asked no provider: no key; looked for OPENAI_API_KEY, "), run.err());
    }

    @Test void withoutAKeyBatchesSaysTheSameAtATerminal() throws Exception {
        assumeTrue(Files.isExecutable(Path.of("/usr/bin/script")), "no terminal to be had on this machine");
        var piped = run("batches");
        var terminal = command();
        terminal.environment().remove("CI");
        terminal.command("/usr/bin/script", "-qec", PROJECT.resolve("jbang") + " --quiet batches", "/dev/null");

        assertTrue(piped.err().startsWith("batches: asked no provider: no key; looked for OPENAI_API_KEY, "),
            piped.err());
        assertEquals(new Run(0, piped.err() + piped.out(), ""), lines(run(terminal)));
    }

    private static Run lines(Run run) { return new Run(run.status(), run.out().replace("\r\n", "\n"), run.err()); }

    @Test void aMistakeIsASentenceAndNoStackTrace() throws Exception {
        var typo = run("quickstart", "--provider", "local", "--modle", "m");
        assertEquals(2, typo.status());
        assertTrue(typo.err().startsWith("quickstart: \"--modle\" is no option; did you mean --model?\n"), typo.err());
        assertEquals(new Run(2, "",
            "provider: \"gorq\" is neither a base URL like http://localhost:8080/v1 nor one of openai, groq, nebius, "
            + "parasail, doubleword, deepinfra, together, kluster, local\n"),
            run("quickstart", "--provider", "gorq", "--model", "m"));
        assertEquals(new Run(1, "",
            "quickstart: cannot reach http://localhost:9/v1 (connection refused); start a server or give another "
            + "--provider\n"),
            run("quickstart", "--provider", "http://localhost:9/v1", "--model", "m"));
    }

    @Test void aScriptEndsWithTheCodeThatCronUnderstands() throws Exception {
        try (var server = BatchServer.start()) {
            var given = new String[] {"nightly", "--provider", server.baseUrl(), "--model", "echo", "--quiet"};
            server.pause();
            assertEquals(new Run(75, "", ""), run(command(given).directory(dir.toFile())));
            server.resume();
            assertEquals(new Run(0, "", ""), again(given));
            var told = again("nightly", "--provider", server.baseUrl(), "--model", "echo").err();
            assertTrue(told.matches("(?s).*\nwrote tickets-\\d{4}-\\d\\d-\\d\\d[.]csv\n"), told);
            server.answer(body -> BatchServer.Reply.error(400, "no", "too bad"));
            assertEquals(new Run(3, "", ""), again("nightly", "--provider", server.baseUrl(), "--model", "other",
                "--quiet", "--force"));
            var titles = run(command("film", "--provider", server.baseUrl(), "--model", "m", "--quiet", "--limit", "1")
                .directory(dir.toFile()));
            assertEquals(new Run(3, "", "The Last Ferry: 400 too bad\n"), titles);
        }
        var help = run("nightly", "--help");
        assertEquals(0, help.status(), help.err());
        assertTrue(help.out().startsWith("Usage: nightly [OPTION]...\n"), help.out());
    }

    @Test void aRecipeWritesOneFileWhereverThatIsToBe() throws Exception {
        var folder = Files.createDirectory(dir.resolve("work"));
        try (var server = BatchServer.start()) {
            for (var recipe : List.of("translation --out mine.csv", "multitask", "report --out page.html")) {
                var given = Stream.concat(Stream.of(recipe.split(" ")), Stream.of("--provider", server.baseUrl(),
                    "--model", "echo"));
                var run = run(command(given.toArray(String[]::new)).directory(folder.toFile()));
                assertTrue(run.err().matches("(?s).*\nwrote \\S+ \\([^\n]*\\)\n"), run.err());
            }
        }
        assertEquals(Set.of("mine.csv", "multitask.csv", "page.html"), Set.of(folder.toFile().list()));
    }

    /** What is paid is shown, also where rows lack a column that the recipe's own rows have. */
    @Test void aRecipeShowsTheAnswersOfRowsThatHaveNoTitleAndNoLabel() throws Exception {
        var data = Files.writeString(dir.resolve("own.csv"), "question\nred\n");
        var template = Files.writeString(dir.resolve("own.mustache"), "Of {{question}}");
        var shown = List.of("keywords (?m)^Of red: request-1$", "summary (?m)^request-1\n    Of red$",
            "film (?m)^request-1: CRIME, Ana in Porto$", "report ^$", "cascade (?m)^1 succeeded; ",
            "compare-models the same answer: .*, 1 of 1", "judge (?m)^request-1: undecided$");
        try (var server = BatchServer.start().answer(CommandsTest::answer)) {
            for (var recipe : shown) {
                var words = recipe.split(" ", 2);
                var model = words[0].matches("compare-models|judge") ? "m,n" : "m";
                var run = run(command(words[0], "--provider", server.baseUrl(), "--model", model, "--data",
                    data.toString(), "--template", template.toString()).directory(dir.toFile()));
                assertEquals(0, run.status(), words[0] + ": " + run.err());
                assertTrue(Pattern.compile(words[1]).matcher(run.out()).find(), words[0] + ": " + run.out());
            }
        }
    }

    private static BatchServer.Reply answer(JsonNode body) {
        var schema = body.at("/response_format/json_schema");
        return BatchServer.Reply.text(switch (schema.path("name").asText()) {
            case "choice" -> schema.at("/schema/properties/choice/enum/0").asText();
            case "Plot" -> "{\"genre\":\"CRIME\",\"places\":[\"Porto\"],\"hero\":{\"name\":\"Ana\",\"trade\":null},"
                + "\"happyEnd\":null}";
            default -> body.at("/messages/0/content").asText();
        });
    }

    /** The clock is the zone's: three hours before a midnight, and three after it. */
    @Test void aNightCollectsWhatEndedAfterTheMidnightBefore() throws Exception {
        int untilMidnight = 24 * 60 - LocalTime.now(ZoneOffset.UTC).toSecondOfDay() / 60;
        int midnight = untilMidnight > 12 * 60 ? untilMidnight - 24 * 60 : untilMidnight;       // minutes from UTC
        ZoneOffset evening = zone(midnight - 180), morning = zone(midnight + 180);
        var first = dir.resolve("tickets-" + LocalDate.now(evening) + ".csv");
        var second = dir.resolve("tickets-" + LocalDate.now(morning) + ".csv");
        try (var server = BatchServer.start()) {
            server.pause();
            assertEquals(new Run(75, "", ""), nightly(server, evening, "--limit", "1", "--max-tokens", "9"));
            assertEquals(new Run(75, "", ""), nightly(server, evening));
            assertEquals(new Run(75, "", ""), nightly(server, morning));
            server.resume();
            for (var batch : Provider.of(server.baseUrl()).batches(3)) batch.await();

            Files.writeString(first, "another's");
            assertEquals(new Run(1, "", "out: " + first.getFileName() + " exists, and no batch named tickets-"
                + LocalDate.now(evening) + " wrote it; run again with another name or --force, nothing is sent "
                + "twice\n"), nightly(server, morning));
            Files.delete(first);
            assertEquals(new Run(0, "", ""), nightly(server, morning));
            assertEquals(Files.readString(second), Files.readString(first), "the same rows, of each night once");
            assertEquals(3, server.requests().stream().filter("POST /v1/batches"::equals).count(), "batches");
            Files.delete(first);
            assertEquals(new Run(0, "", ""), nightly(server, morning));
            assertFalse(Files.exists(first), "what was collected and then taken away came back");
        }
    }

    private static ZoneOffset zone(int minutes) { return ZoneOffset.ofTotalSeconds(60 * minutes); }

    private Run nightly(BatchServer server, ZoneOffset zone, String... more) throws Exception {
        var given = Stream.concat(Stream.of("nightly", "--provider", server.baseUrl(), "--model", "echo", "--quiet"),
            Stream.of(more));
        var command = command(given.toArray(String[]::new)).directory(dir.toFile());
        command.environment().put("TZ", "GMT" + zone.getId().replace("Z", "+00:00"));
        return run(command);
    }

    /** Runs it until it is no longer still running. */
    private Run again(String... words) throws Exception {
        for (int i = 0; ; i++) {
            var run = run(command(words).directory(dir.toFile()));
            if (run.status() != 75 || i == 20) return run;
        }
    }

    @Test void serveTakesTheGuidesCurlLines() throws Exception {
        assumeTrue(Files.isExecutable(Path.of("/usr/bin/curl")), "no curl on this machine");
        var serve = command("serve", "--port", "0").redirectError(ProcessBuilder.Redirect.DISCARD).start();
        try (var lines = new BufferedReader(new InputStreamReader(serve.getInputStream(), StandardCharsets.UTF_8))) {
            var url = lines.readLine().replaceFirst("^OPENAI_BASE_URL=", "");
            Files.writeString(dir.resolve("my_batch_request.jsonl"), Guide.LINE + "\n");

            var file = curl(url + "/files", "-H", "Content-Type: multipart/form-data", "-F",
                "file=@my_batch_request.jsonl", "-F", "purpose=batch");
            var batch = curl(url + "/batches", "-H", "Content-Type: application/json", "-d", "{\"input_file_id\": \""
                + file.path("id").asText()
                + "\", \"endpoint\": \"/v1/chat/completions\", \"completion_window\": \"24h\"}");
            while (!batch.path("status").asText().equals("completed")) batch = curl(url + "/batches/" + batch.path("id")
                .asText());
            var output = curl(url + "/files/" + batch.path("output_file_id").asText() + "/content");

            assertEquals("request-1", output.path("custom_id").asText());
            assertEquals("What is the ultimate breakfast sandwich?",
                output.at("/response/body/choices/0/message/content").asText());
            assertEquals(1, curl(url + "/batches").path("data").size());
        } finally {
            serve.descendants().forEach(ProcessHandle::destroy);
            serve.destroy();
            serve.waitFor(10, TimeUnit.SECONDS);
        }
    }

    @Test void localServesASmallModelUntilItIsStopped() throws Exception {
        var err = dir.resolve("stderr");
        var local = command("local", "--port", "0").redirectError(err.toFile()).start();
        try (var lines = new BufferedReader(new InputStreamReader(local.getInputStream(), StandardCharsets.UTF_8))) {
            var url = lines.readLine();
            if (url == null) {                                 // no weights are to be had here
                assertEquals(1, local.waitFor());
                assertTrue(Files.readString(err).matches("start: .*\n"), Files.readString(err));
                return;
            }
            assertTrue(Files.readString(err).contains("model: SmolLM2-135M-Instruct ("), Files.readString(err));
            var models = Provider.of(url.replaceFirst("^OPENAI_BASE_URL=", "")).models();
            assertEquals("SmolLM2-135M-Instruct", models.get(0).get("id"));
        } finally {
            local.descendants().forEach(ProcessHandle::destroy);
            local.destroy();
            local.waitFor(10, TimeUnit.SECONDS);
        }
    }

    /** Two runs of one script: what JBang and the shell make of quotes, files and pipes. */
    @Test void itRunsAsACommandWithAFileAndInAPipe() throws Exception {
        assumeTrue(Files.isExecutable(Path.of("/bin/sh")), "no shell on this machine");
        Files.writeString(dir.resolve("x.csv"), "q\n\"it's \"\"x\"\", $HOME\"\n");

        assertEquals(0, shell("$ask -m echo -p 'Say {{q}}' -d x.csv -o out.csv"), () -> text("err"));
        assertEquals("q," + AskTest.HEADER + "\n\"it's \"\"x\"\", $HOME\",request-1,prompt-1,echo,echo,succeeded,"
            + "\"Say it's \"\"x\"\", $HOME\",\n", text("out.csv"));
        assertEquals(0, shell("cat x.csv | $ask -m echo -p '{{q}}' -d - | cat > out"), () -> text("err"));
        assertEquals("{\"q\":\"it's \\\"x\\\", $HOME\",\"result\":{\"customId\":\"request-1\","
            + "\"template\":\"prompt-1\",\"model\":\"echo\",\"answeredBy\":\"echo\","
            + "\"outcome\":\"succeeded\",\"text\":\"it's \\\"x\\\", $HOME\"}}\n", text("out"));
        assertFalse(text("err").contains("\tat "), text("err"));
    }

    /** Runs a line in which $ask is the command. */
    private int shell(String line) throws Exception {
        var builder = new ProcessBuilder("/bin/sh", "-c", "ask='" + PROJECT + "/jbang --quiet " + PROJECT
            + "/scripts/commands/ask.java'; " + line).directory(dir.toFile())
            .redirectError(dir.resolve("err").toFile());
        try (var server = BatchServer.start()) {
            builder.environment().keySet().removeIf(name -> name.matches("(SHEAF|OPENAI)_.*|.*_(API_KEY|TOKEN)"));
            builder.environment().put("SHEAF_HOME", dir.resolve("home").toString());
            builder.environment().put("OPENAI_BASE_URL", server.baseUrl());
            var process = builder.start();
            process.getOutputStream().close();
            return process.waitFor();
        }
    }

    private String text(String name) {
        try {
            return Files.readString(dir.resolve(name)).replace("\r\n", "\n");
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    private JsonNode curl(String... arguments) throws Exception {
        var curl = new ProcessBuilder(Stream.concat(Stream.of("curl", "-s", "-H", "Authorization: Bearer none"),
            Stream.of(arguments)).toList())
            .directory(dir.toFile()).start();
        var answer = new ObjectMapper().readTree(curl.getInputStream());
        assertEquals(0, curl.waitFor());
        return answer;
    }

    private Run run(String... arguments) throws IOException, InterruptedException { return run(command(arguments)); }

    private Run run(BatchServer server, String... arguments) throws IOException, InterruptedException {
        var command = command(arguments);
        command.environment().put("OPENAI_BASE_URL", server.baseUrl());
        return run(command);
    }

    private Run run(ProcessBuilder command) throws IOException, InterruptedException {
        var err = dir.resolve("stderr");
        var process = command.redirectError(err.toFile()).start();
        process.getOutputStream().close();
        var out = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        return new Run(process.waitFor(), out, Files.readString(err));
    }

    /** A command in the project's folder, with an empty store and no keys. */
    private ProcessBuilder command(String... arguments) {
        var builder = new ProcessBuilder(Stream.concat(Stream.of(PROJECT.resolve("jbang").toString(), "--quiet"),
            Stream.of(arguments)).toList())
            .directory(PROJECT.toFile());
        builder.environment().keySet().removeIf(name -> name.endsWith("_API_KEY") || name.startsWith("SHEAF_")
            || name.startsWith("OPENAI_"));
        builder.environment().put("SHEAF_HOME", dir.resolve("home").toString());
        builder.environment().put("COLUMNS", "100");
        builder.environment().put("SHEAF_LOCAL_MODEL", "small");   // fetched already, if there is a network
        return builder;
    }
}
