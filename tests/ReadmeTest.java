package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Every script of the README is run as it stands there, and prints what the README says. */
class ReadmeTest {
    static final Pattern SCRIPT = Pattern.compile("(?s)```java\n(.*?)```.*?```text\n(.*?)```");
    static final Path PROJECT = RunTests.projectRoot();
    @TempDir Path dir;

    @Test void everyScriptPrintsWhatTheReadmeSays() throws Exception {
        var scripts = new ArrayList<String>();
        try (var server = BatchServer.start()) {
            for (Matcher script = SCRIPT.matcher(Files.readString(PROJECT.resolve("README.md"))); script.find(); ) {
                scripts.add(script.group(1));
                assertEquals(script.group(2), run(script.group(1), server.baseUrl()));
            }
        }
        assertEquals(2, scripts.size());
    }

    @Test void theFirstScreenIsWithinFortyLines() throws IOException {
        var lines = Files.readAllLines(PROJECT.resolve("README.md"));

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
        Files.createDirectories(to);
        try (var files = Files.newDirectoryStream(from, Files::isRegularFile)) {
            for (var file : files) Files.copy(file, to.resolve(file.getFileName()),
                StandardCopyOption.REPLACE_EXISTING);
        }
    }

    /** Runs a script in a folder that has what a clone has. */
    private String run(String script, String baseUrl) throws Exception {
        for (var name : List.of("lib", "data", "templates"))
            copy(PROJECT.resolve(name), dir.resolve(name));
        var file = dir.resolve(script.replaceAll("(?s).*?class (\\w+).*", "$1") + ".java");
        Files.writeString(file, script);
        var builder = new ProcessBuilder(PROJECT.resolve("jbang").toString(), "--quiet", file.toString())
            .directory(dir.toFile())
            .redirectError(dir.resolve("stderr").toFile());
        builder.environment().keySet().removeIf(name -> name.endsWith("_API_KEY") || name.startsWith("SHEAF_"));
        builder.environment().put("OPENAI_BASE_URL", baseUrl);
        builder.environment().put("SHEAF_HOME", dir.resolve("home").toString());
        builder.environment().put("COLUMNS", "100");
        var process = builder.start();
        process.getOutputStream().close();
        var text = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(0, process.waitFor(), () -> read(dir.resolve("stderr")));
        return text;
    }
}
