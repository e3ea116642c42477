package sheaf.sharing;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.support.Catalog.PROJECT;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import sheaf.support.Catalog;
import sheaf.support.ScriptsReadme;
import sheaf.support.Sources;

/** What the catalog and the heads of the scripts say agrees with what is there. */
class CatalogTest {

    @Test void everyAliasHasAScriptAndADescriptionOfOneSentence() {
        Catalog.aliases().forEach((alias, entry) -> {
            assertTrue(Files.isRegularFile(PROJECT.resolve(entry.path("script-ref").asText("-"))), alias);
            assertTrue(entry.path("description").asText().matches("[A-Z][a-z]+ (?!.*[.!?]( |$)).{10,120}"), alias);
        });
    }

    @Test void everyFileOfATemplateExists() {
        for (var template : Catalog.json().path("templates"))
            for (var file : template.path("file-refs"))
                assertTrue(Files.isRegularFile(PROJECT.resolve(file.asText())), file.asText());
    }

    /** JBang lays down what a template lists, and does not look into the sources for more. */
    @Test void aTemplateBringsTheWholeLibraryAlong() {
        var laid = new TreeMap<String, String>();
        for (var file : Catalog.json().at("/templates/sheaf/file-refs").properties()) laid.put(file.getKey(),
            file.getValue().asText());
        laid.values().removeIf(file -> !file.startsWith("lib/"));

        var library = Sources.closure(PROJECT.resolve("lib/Sheaf.java")).stream()
            .map(source -> PROJECT.relativize(source).toString())
            .collect(Collectors.toMap(file -> file, file -> file, (one, other) -> one, TreeMap::new));
        assertEquals(library, laid, "the file-refs of jbang-catalog.json are not the //SOURCES of lib/Sheaf.java");
    }

    /** Of a chain that ends in show() somebody reads the end; what is kept may be the work of cron. */
    @Test void aRecipeThatKeepsItsResultsEndsWithTheirExitCode() throws IOException {
        var silent = new ArrayList<String>();
        for (var script : scripts()) {
            var code = Files.readString(PROJECT.resolve(script));
            boolean keepsResults = script.matches("scripts/[^/]*") && code.contains("results = ");
            if (keepsResults && !code.contains(".exitCode().number()")) silent.add(script);
        }

        assertEquals(List.of(), silent);
    }

    /** A pattern yields nothing from a URL, and a file that is not named does not come along. */
    @Test void everyScriptNamesTheFilesThatItUses() {
        var faults = new ArrayList<String>();
        for (var script : scripts()) {
            var files = new LinkedHashMap<String, Path>();
            for (var source : Sources.closure(PROJECT.resolve(script))) {
                if (Files.notExists(source)) faults.add(script + ": no such source: " + source);
                else files.putAll(Sources.files(source));
            }
            files.forEach((target, file) -> {
                if (!Files.isRegularFile(file)) faults.add(script + ": no such file: " + file);
            });
            for (var name : named(Sources.text(PROJECT.resolve(script))))
                if (places(name).noneMatch(files::containsKey)) faults.add(script + ": no //FILES line for " + name);
        }
        assertEquals(List.of(), faults);
    }

    @Test void noScriptNamesASourceByAPatternOrTwice() {
        var faults = new ArrayList<String>();
        for (var script : scripts())
            for (var source : Sources.closure(PROJECT.resolve(script))) {
                var words = Sources.words(source, "SOURCES");
                words.stream().filter(word -> word.contains("*")).forEach(word -> faults.add(source + ": " + word));
                if (Set.copyOf(words).size() < words.size()) faults.add(source + ": the same source twice");
            }
        assertEquals(List.of(), faults);
    }

    @Test void everySourceIsNamedByAScriptThatNeedsIt() throws IOException {
        var named = new TreeSet<Path>();
        for (var script : scripts()) named.addAll(Sources.closure(PROJECT.resolve(script)));

        for (var folder : List.of("lib", "scripts"))
            try (var files = Files.walk(PROJECT.resolve(folder))) {
                assertEquals(List.of(), files.filter(file -> file.toString().endsWith(".java"))
                    .filter(file -> !named.contains(file)).toList());
            }
    }

    @Test void theListOfScriptsIsWhatTheCatalogGives() throws IOException {
        assertTrue(ScriptsReadme.text(PROJECT).equals(Sources.text(PROJECT.resolve("scripts/README.md"))),
            "scripts/README.md is not what the catalog gives; run ./jbang tests/support/ScriptsReadme.java");
    }

    /** The scripts that a visitor may run. */
    private static Set<String> scripts() {
        return Catalog.aliases().values().stream().map(CatalogTest::script)
            .filter(script -> script.matches("(scripts|lib)/.*")).collect(Collectors.toCollection(TreeSet::new));
    }

    private static String script(JsonNode alias) { return alias.path("script-ref").asText(); }

    /** The names of files in a script's code: template("x"), templates("x", "y"), csv("data/x.csv"). */
    private static List<String> named(String script) {
        var code = script.replaceAll("(?m)^\\s*(//|/?\\*).*", "");
        var templates = matches("\\btemplates?\\(((?:\"[^\"{]*\"(?:,\\s*)?)+)\\)", code)
            .flatMap(call -> call.group().startsWith("template(") && call.group(1).contains(",") ? Stream.of()
                : matches("\"([^\"]*)\"", call.group(1)));
        return Stream.concat(templates, matches("\\b(?:csv|jsonl|json)\\(\"(data/[^\"]*)\"", code))
            .map(call -> call.group(1)).toList();
    }

    private static Stream<String> places(String name) {
        return Stream.of(name, name + ".mustache", "templates/" + name, "templates/" + name + ".mustache");
    }

    private static Stream<MatchResult> matches(String pattern, String text) {
        return Pattern.compile(pattern).matcher(text).results();
    }
}
