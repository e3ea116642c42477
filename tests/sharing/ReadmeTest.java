package sheaf.sharing;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.server.BatchServer;
import sheaf.support.Project;
import sheaf.support.RecordedModel;
import sheaf.support.Shell;

/** What the README shows is run as it stands there, and does what the README says. */
class ReadmeTest {
    static final Pattern SCRIPT = Pattern.compile("(?s)```java\n(.*?)```.*?```text\n(.*?)```");
    static final Pattern COMMANDS = Pattern.compile("(?s)```sh\n(.*?)```");
    static final Pattern COMMAND = Pattern.compile("\\./jbang ([a-z][a-z0-9.-]*)(?![a-z./])");
    static final Path PROJECT = Project.root();
    @AutoClose final BatchServer server = BatchServer.start();
    @TempDir Path dir;

    @Tag("apart")
    @Test void everyScriptPrintsWhatTheReadmeSays() throws Exception {
        var script = SCRIPT.matcher(readme());

        assertTrue(script.find());
        try (var model = new RecordedModel(PROJECT.resolve("tests/sharing/experts.jsonl"));
                var answering = BatchServer.start(model.baseUrl())) {
            assertEquals(script.group(2), run(script.group(1), answering));
        }
        assertEquals(1, readme().split("```java").length - 1, "each script is run");
    }

    @Tag("apart")
    @Test void everyBlockOfCommandsRuns() throws Exception {
        var commands = COMMANDS.matcher(readme());

        assertTrue(commands.find());
        var printed = sh(commands.group(1), server);
        assertTrue(printed.contains("\"content\":\"Translate into Spanish: Boils in two minutes"), printed);
        assertTrue(Files.readString(dir.resolve("spanish.csv")).contains("Translate into Spanish: It is a notebook."));
        assertEquals(1, readme().split("```sh").length - 1, "each block of commands is run");
    }

    @Test void everyCommandAndRecipeThatIsNamedIsInTheCatalog() throws IOException {
        var aliases = new ObjectMapper().readTree(PROJECT.resolve("jbang-catalog.json").toFile()).path("aliases");
        var recipes = readme().split("## Recipes")[1].split("\n\n")[1].lines().skip(2)
            .flatMap(line -> Pattern.compile("`([^`]+)`").matcher(line.split("\\|")[2]).results());
        var named = Stream.concat(recipes, COMMAND.matcher(readme()).results()).map(match -> match.group(1)).toList();

        assertTrue(named.size() > 40, named.toString());
        var ofJBang = List.of("export");
        assertEquals(List.of(), named.stream().filter(name -> !aliases.has(name) && !ofJBang.contains(name)).toList());
    }

    @Test void everyLinkToAFileLeadsToOne() throws IOException {
        var link = Pattern.compile("\\]\\((?!https?:)([^)#]+)[^)]*\\)");
        try (var docs = Files.list(PROJECT.resolve("docs"))) {
            var pages = Stream.concat(docs, Stream.of("README.md", "lib/README.md").map(PROJECT::resolve)).toList();
            int links = 0;
            for (var page : pages) {
                var files = link.matcher(Files.readString(page)).results().map(found -> found.group(1)).toList();
                assertEquals(List.of(), files.stream().filter(file -> !Files.exists(page.resolveSibling(file)))
                    .toList(), page.toString());
                links += files.size();
            }
            assertTrue(links > 15, links + " links in " + pages);
        }
    }

    @Test void theScriptInTheJavadocCompiles() throws IOException {
        var script = Pattern.compile("(?s)<pre>\\{@code\n(.*?)\n \\* \\}</pre>")
            .matcher(Files.readString(PROJECT.resolve("lib/Sheaf.java")));
        assertTrue(script.find());

        try (var shell = new Shell()) {
            shell.run(script.group(1).replaceAll("(?m)^ \\* ?", ""));
        }
    }

    @Test void whatStandsBesideTheGuidesPythonRuns() {
        System.setProperty("SHEAF_HOME", dir.toString());
        System.setProperty("OPENAI_BASE_URL", server.baseUrl());
        try (var shell = new Shell("import static sheaf.Sheaf.*;")) {
            shell.run("var m = \"echo\"; var s = \"Be brief.\"; var text = \"{{question}}\"; var file = \""
                + PROJECT.resolve("data/questions.csv") + "\";");
            var cells = readme().split("## From the batch guide's Python")[1].split("##")[0].lines()
                .filter(line -> line.startsWith("| `")).map(line -> line.replaceFirst(".*\\| `(.*)` \\|$", "$1;"))
                .toList();
            assertEquals(5, cells.size());
            cells.forEach(cell -> shell.run(cell.replace("requests.jsonl", dir + "/requests.jsonl")));
        } finally {
            System.setProperty("OPENAI_BASE_URL", "");
        }
    }

    @Test void theFirstScreenIsWithinFortyLines() throws IOException {
        var lines = readme().lines().toList();

        assertTrue(lines.indexOf("```java") < 9, "the first code block begins by line 9");
        assertTrue(lines.indexOf("    ./jbang quickstart") < 40,
            "the command that needs no key is on the first screen");
        assertTrue(lines.size() <= 150, "the README is under 150 lines");
    }

    private static String read(Path file) {
        try {
            return Files.readString(file);
        } catch (IOException e) {
            return e.toString();
        }
    }

    private static void copy(Path from, Path to) throws IOException {
        try (var paths = Files.walk(from)) {
            for (var path : paths.toList()) {
                var copy = to.resolve(from.relativize(path).toString());
                if (Files.isDirectory(path)) Files.createDirectories(copy);
                else Files.copy(path, copy, StandardCopyOption.REPLACE_EXISTING);
            }
        }
    }

    private static String readme() throws UncheckedIOException {
        try {
            return Files.readString(PROJECT.resolve("README.md"));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private String run(String script, BatchServer answering) throws Exception {
        var name = script.replaceAll("(?s).*?class (\\w+).*", "$1") + ".java";
        Files.writeString(dir.resolve(name), script);
        return sh("./jbang --quiet " + name, answering);
    }

    /** Runs commands in a folder that has what a clone has, without a key. */
    private String sh(String commands, BatchServer answering) throws Exception {
        for (var name : List.of("lib", "data", "templates", "scripts"))
            copy(PROJECT.resolve(name), dir.resolve(name));
        Files.copy(PROJECT.resolve("jbang-catalog.json"), dir.resolve("jbang-catalog.json"));
        Files.writeString(dir.resolve("jbang"), "exec '" + PROJECT.resolve("jbang") + "' \"$@\"\n").toFile()
            .setExecutable(true);
        var builder = new ProcessBuilder("sh", "-ec", commands)
            .directory(dir.toFile())
            .redirectError(dir.resolve("stderr").toFile());
        builder.environment().keySet().removeIf(name -> name.endsWith("_API_KEY") || name.startsWith("SHEAF_"));
        builder.environment().put("OPENAI_BASE_URL", answering.baseUrl());
        builder.environment().put("SHEAF_HOME", dir.resolve("home").toString());
        builder.environment().put("COLUMNS", "140");
        var process = builder.start();
        process.getOutputStream().close();
        var text = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(0, process.waitFor(), () -> read(dir.resolve("stderr")));
        return text;
    }
}
