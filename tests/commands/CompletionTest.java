package sheaf.commands;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;
import static sheaf.Sheaf.batch;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import sheaf.support.Printed;
import sheaf.support.Project;

/** What Tab offers in bash, with the script that ./jbang tab prints. */
class CompletionTest {
    static final Path PROJECT = Project.root();
    @TempDir Path dir;

    @BeforeEach void onlyWhereBashIs() {
        assumeTrue(Files.isExecutable(Path.of("/bin/bash")), "no bash on this machine");
    }

    @Test void everyAliasOfTheCatalogIsOffered() throws Exception {
        var names = new ObjectMapper().readTree(PROJECT.resolve("jbang-catalog.json").toFile()).path("aliases")
            .fieldNames();

        assertEquals(StreamSupport.stream(((Iterable<String>) () -> names).spliterator(), false)
            .collect(Collectors.toCollection(TreeSet::new)), new TreeSet<>(tab("./jbang", "")));
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', value = {
        "./jbang cle* | clean",
        "jbang cle* | clean",
        "jbang ask --pr* | --prompt --preview --price --provider",
        "/any/where/jbang clean --de* | --delete",
        "./jbang --quiet run ask --fo* | --force --formulas",
        "./jbang ask --provider g* | groq",
        "./jbang ask --engine o* | ollama openrouter",
        "./jbang upload --w* | --window",
        "./jbang results --o* | --out",
        "./jbang batches --w* | ",                             // an option of another step
        "./jbang llama-3.3-70b --te* | --template --temperature",
        "./jbang quickstart --m* | --model",
        "./jbang serve --dia* | --dialect",
        "./jbang ask@owner/repo --lim* | --limit",
        "ask --out* | --out",                                  // an installed one
        "./jbang nonsense --* | ",
        "./jbang ask --data data/q* | "})                      // bash then completes the name of the file
    void tabOffers(String line, String words) throws Exception {
        assertEquals(words == null ? List.of() : List.of(words.split(" ")),
            tab(line.replace("*", "").replace("@", " @ ").split(" ")));
    }

    /** As a user at a prompt: what readline makes of it. */
    @Test void whereNoOptionIsMeantFilesAreCompleted() throws Exception {
        Files.writeString(dir.resolve("jbang-catalog.json"), "{}");
        Files.createDirectories(dir.resolve("letters"));
        Files.writeString(dir.resolve("letters/mine.csv"), "");

        var typed = bash("set -o emacs; bind 'set bell-style none'; PS1=; . ./tab\n"
            + "./jbang ask --data let\tmi\t --out lett\t --tempe\t 0 -t letters/m\t\u0001echo \"GOT \u0005\"\n", "-i");

        assertTrue(typed.replaceAll(" +", " ").contains("\nGOT ./jbang ask --data letters/mine.csv --out letters/ "
            + "--temperature 0 -t letters/mine.csv"), typed);
    }

    @Test void withoutACatalogInSightOptionsAreOfferedAllTheSame() throws Exception {
        assertEquals(List.of("--data"), lines(bash("cd /; " + completing("jbang", "ask", "--da"))));
        assertEquals(List.of(), lines(bash("cd /; " + completing("jbang", "sen"))));
    }

    /** What JBang itself completes stays as it was. */
    @Test void jbangsOwnCompletionIsAskedToo() throws Exception {
        var own = "_complete_jbang() { COMPREPLY=(\"own-${COMP_WORDS[COMP_CWORD]}\"); }; compopt() { :; }; ";

        assertEquals(List.of("own-cache"), lines(bash(own + completing("jbang", "cache", "cache"))));
        assertTrue(lines(bash(own + "cd '" + PROJECT + "'; " + completing("jbang", ""))).containsAll(
            List.of("own-", "ask")));
    }

    @Test void recipesAreOfferedWhatTheLibraryTakes() throws Exception {
        var help = assertThrows(Throwable.class, () -> batch().options("--help")).getMessage();

        assertEquals(Pattern.compile("(?m)^  (--[a-z-]+)").matcher(help).results()
            .map(option -> option.group(1)).collect(Collectors.toSet()), Set.copyOf(tab("jbang", "sentiment", "--")));
    }

    private List<String> tab(String... words) throws Exception {
        return lines(bash("cd '" + PROJECT + "/scripts'; " + completing(words)));
    }

    /** What bash does at Tab, without a terminal. */
    private String completing(String... words) {
        return ". '" + dir + "/tab'; COMP_WORDS=(" + Arrays.stream(words).map(word -> "'" + word + "'")
            .collect(Collectors.joining(" ")) + "); COMP_CWORD=" + (words.length - 1)
            + "; _sheaf; [ ${#COMPREPLY[@]} = 0 ] || printf '%s\\n' \"${COMPREPLY[@]}\"";
    }

    private static List<String> lines(String text) { return text.lines().toList(); }

    private String bash(String input, String... options) throws Exception {
        Files.writeString(dir.resolve("tab"), Printed.stdout(() -> tab.run()));
        var command = new ProcessBuilder("/bin/bash", "--norc", "--noprofile").directory(dir.toFile())
            .redirectErrorStream(true);
        command.command().addAll(List.of(options));
        command.environment().put("HOME", dir.toString());
        command.environment().put("TERM", "dumb");
        var process = command.start();
        try (var out = process.getOutputStream()) {
            out.write(input.getBytes(StandardCharsets.UTF_8));
        }
        return new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    }
}
