package sheaf.commands;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.support.Project;
import sheaf.support.PseudoTerminal;

/** JShell with everything imported, driven through a pipe from a folder that holds nothing of the project. */
@Tag("apart")
class ExploreTest {
    @TempDir Path dir;

    /** One session, for a start costs seconds: each paragraph is a claim. */
    @Test void theGreetingsLineWorksAndThePromptOutlivesMistakesAndLeavesNothingBehind() throws Exception {
        var session = explore().start();
        try (var out = new BufferedReader(new InputStreamReader(session.getInputStream(), UTF_8));
             var in = session.outputWriter(UTF_8)) {
            var greeting = new ArrayList<String>();
            for (var line = out.readLine(); line != null && !line.isBlank(); line = out.readLine()) greeting.add(line);
            assertEquals(6, greeting.size(), () -> greeting + read(dir.resolve("stderr")));
            assertTrue(greeting.stream().allMatch(line -> line.length() <= 125), greeting.toString());
            assertTrue(greeting.get(1).startsWith("No key is set, so an echo answers"), greeting.get(1));
            assertTrue(greeting.get(2).startsWith("To begin, paste   batch()"), greeting.get(2));

            in.write(greeting.get(2).replaceFirst("To begin, paste +", "") + "\n");
            in.flush();
            var table = new StringBuilder();
            while (!table.toString().contains(" succeeded; ")) table.append(out.readLine()).append('\n');
            assertTrue(table.toString().contains("request-2  Explain the Pythagorean theorem.            Explain the"),
                table.toString());
            assertTrue(table.toString().endsWith("3 succeeded; 16 tokens in, 16 out\n"), table.toString());

            var children = session.descendants().toList();     // the JVM that runs what is typed
            assertEquals(1, children.size());
            in.write("""
                questions
                batch().model("m").prompts("{{colour}}", questions).preview(1)
                List.of(BatchServer.class, LocalModel.class, Outcome.SUCCEEDED)
                batch().nonsense()
                batch().
                model("m").
                prompts("{{question}}", questions)
                Batch b = batch("questions"); Sheaf.Listing<Batch> all = batches();
                all
                /exit all.size() + 2
                """);
            in.close();
            var text = String.join("\n", out.lines().toList());

            assertTrue(session.waitFor(60, TimeUnit.SECONDS), text);
            assertTrue(text.contains("questions ==> Data[questions.csv: persona, question]"), text);

            assertTrue(text.contains("[class sheaf.server.BatchServer, class sheaf.model.LocalModel, succeeded]"),
                text);

            assertTrue(text.contains("|  Exception java.lang.IllegalArgumentException: prompts: row 1 has no value for "
                + "{{colour}} (template line 1); it has: persona, question; "), text);
            assertFalse(text.contains("|        at "), text);
            assertTrue(text.contains("symbol:   method nonsense()"), text);

            assertTrue(text.contains(" ==> Draft[m, 1 prompt over questions.csv]"), text);
            assertTrue(text.matches("(?s).*all ==>\nid +status +requests +created +name +kept\n-.*\nbatch_.*"), text);

            assertEquals(3, session.exitValue(), text);
            assertFalse(read(dir.resolve("stderr")).contains("WARNING"), read(dir.resolve("stderr")));
            for (var child : children) child.onExit().get(60, TimeUnit.SECONDS);
        } finally {
            session.descendants().forEach(ProcessHandle::destroyForcibly);
            session.destroyForcibly();
        }
    }

    @Test void aTableIsAsWideAsTheTerminalAndCtrlCLeavesOneLineAndNoNameWithoutValue() throws Exception {
        var project = Project.root();
        try (var terminal = new PseudoTerminal(70, "'" + project.resolve("jbang") + "' --quiet explore@'"
            + project.resolve("jbang-catalog.json") + "'", dir, Map.of("SHEAF_HOME", dir.resolve("home").toString()))) {
            terminal.await(0, "sheaf> ");
            run(terminal, "var server = BatchServer.start().pause(); var b = batch().provider(server.baseUrl())"
                + ".model(\"m\").prompts(\"{{question}}\", questions).submit()", "b ==> Batch");
            int before = terminal.text().length();
            terminal.type("b.await()\n");
            terminal.await(before, " 0/3\n");
            terminal.type("\u0003");
            var said = plain(terminal.await(before, "\ninterrupted; run again to go on\n.*sheaf> "));
            assertFalse(said.contains("==>") || said.contains("|  "), said);

            var table = run(terminal, "Provider.of(server.baseUrl()).batches(1)", " here\n");
            assertTrue(table.contains(" ==>\nid  "), table);
            assertTrue(table.contains("  requests  kept\n---"), table);
            assertTrue(table.contains("\nnot shown in 70 columns: created, name\n"), table);
            terminal.type("/exit\n");
            terminal.ended();
        }
    }

    private static String run(PseudoTerminal terminal, String code, String shown) throws Exception {
        int before = terminal.text().length();
        terminal.type(code + "\n");
        terminal.await(before, shown);
        return plain(terminal.await(before, shown + ".*sheaf> "));
    }

    /** Leaves out how a line that is typed is drawn. */
    private static String plain(String shown) { return shown.replaceAll("\u001b(\\[[0-9;?]*[a-zA-Z]|[=>])|\r", ""); }

    @Test void aProviderThatLacksItsKeyIsNamedAndNoEchoAnswersInItsPlace() throws Exception {
        var builder = explore();
        builder.environment().put("SHEAF_PROVIDER", "groq");

        var out = ended(builder, "models()\n");

        assertTrue(out.contains("\nAnswers come from groq, as soon as "
            + "GROQ_API_KEY is set; leave and set it.\nTo begin, paste   models()\n"), out);
        assertTrue(out.contains("|  Exception sheaf.Keys$Missing: provider: no key for groq; "
            + "set GROQ_API_KEY\n"), out);
    }

    private String ended(ProcessBuilder builder, String typed) throws Exception {
        var session = builder.start();
        try (var in = session.outputWriter(UTF_8)) {
            in.write(typed);
        }
        var out = new String(session.getInputStream().readAllBytes(), UTF_8);
        assertEquals(0, session.waitFor(), () -> out + read(dir.resolve("stderr")));
        return out;
    }

    private ProcessBuilder explore() throws IOException {
        var project = Project.root();
        var builder = new ProcessBuilder(project.resolve("jbang").toString(), "--quiet",
            "explore@" + project.resolve("jbang-catalog.json"))
            .directory(Files.createDirectories(dir.resolve("elsewhere")).toFile())
            .redirectError(dir.resolve("stderr").toFile());
        builder.environment().keySet().removeIf(name -> name.endsWith("_API_KEY") || name.endsWith("_TOKEN")
            || name.startsWith("SHEAF_") || name.startsWith("OPENAI_"));
        builder.environment().put("SHEAF_HOME", dir.resolve("home").toString());
        builder.environment().put("COLUMNS", "100");
        return builder;
    }

    private static String read(Path file) {
        try {
            return Files.readString(file);
        } catch (IOException e) {
            return e.toString();
        }
    }
}
