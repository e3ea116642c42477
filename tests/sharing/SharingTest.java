package sheaf.sharing;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;
import static sheaf.support.Catalog.PROJECT;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;
import sheaf.server.BatchServer;
import sheaf.support.Catalog;
import sheaf.support.Catalog.Run;
import sheaf.support.Catalog.Visitor;
import sheaf.support.Guide;
import sheaf.support.RawClient;
import sheaf.support.Sources;

/** What others get from the catalog: all of it runs in an empty folder of theirs, by its address alone. */
@Tag("apart")
class SharingTest {
    @TempDir static Path temp;
    static final Set<String> asked = ConcurrentHashMap.newKeySet();       // bodies of requests that came to the model
    static BatchServer server, paused;
    static String going;                                       // the id of a batch there
    static Catalog catalog;
    static Visitor own;                                        // who writes a script, and has no jar of it yet

    /** How a visitor uses an alias, what is then printed, and which bodies of requests a model has got. */
    private record Use(String alias, String prints, List<String> arguments, String stdin, List<String> asks) {
        Use typing(String text) { return new Use(alias, prints, arguments, text, asks); }
    }

    private static Use use(String alias, String prints, String... arguments) {
        return new Use(alias, prints, List.of(arguments), "", List.of());
    }

    /** The guide's quickstart of a model, as its Python has it. */
    private static Use three(String alias, String model) {
        return new Use(alias, "\n3 succeeded; ", List.of(), "", List.of(
            body(model, "an experienced cook", "What is the ultimate breakfast sandwich?"),
            body(model, "a maths tutor", "Explain the Pythagorean theorem."),
            body(model, "a multilingual, experienced maths tutor", "Explain the Pythagorean theorem in Spanish")));
    }

    private static Use images(String alias, String model) {
        return new Use(alias, "\n3 succeeded; ", List.of(), "", List.of(picture(model, "What is this?", "cat"),
            picture(model, "What is this?", "emoji"), picture(model, "Who can park in the area?", "parking")));
    }

    private static String body(String model, String persona, String question) {
        return """
            {"model":"%s","messages":[{"role":"system","content":"You are %s."},{"role":"user","content":"%s"}],\
            "max_completion_tokens":1000}""".formatted(model, persona, question);
    }

    private static String picture(String model, String question, String name) {
        return """
            {"model":"%s","messages":[{"role":"user","content":[{"type":"text","text":"%s"},{"type":"image_url",\
            "image_url":{"url":"https://github.com/kluster-ai/docs/blob/main/images/get-started/start-building/\
            %s-image.jpg?raw=true"}}]}],"max_completion_tokens":1000}""".formatted(model, question, name);
    }

    private static String file(String name) { return temp.resolve(name).toString(); }

    /** A line for each alias; prints is a regular expression that is found in stdout. */
    private static List<Use> uses() {
        return List.of(
            use("quickstart", "\n3 succeeded; ", "--provider", server.baseUrl(), "--model", "echo"),
            use("sentiment", "\n12 succeeded; "),
            use("translation", "^$"),
            use("summary", "^One\n    In short: Two\n$", "--data", file("my.csv"), "--template", file("my.mustache")),
            use("topic", " succeeded; "),
            use("keywords", "."),
            use("multitask", " succeeded; "),
            use("compare-models", "(?s)^(?!.*mine: .*mine: ).*\nmine: right: .*\nyours: right: ", "--model",
                "mine,yours"),
            use("judge", "(?m)^first .* 24 \\(100.0%\\)(\n.+: undecided){4}$"),
            use("report", "(?m)^label +business +sci/tech +sports +world$"),
            use("film", "(?m)^Nine Keys: CRIME, Ana in Porto$"),
            use("cascade", "(?m)^right by the small model: 0.250 .*, 4 of 16\nwith 16 asked again: 0.250 .*, 4 of 16$"),
            images("images", "gpt-4.1-mini"),
            use("tickets", "(?m)^4711 Ticket\\[kind=BUG, urgent=false]$"),
            use("nightly", "^$"),
            three("deepseek-r1", "deepseek-ai/DeepSeek-R1"),
            three("deepseek-v3", "deepseek-ai/DeepSeek-V3"),
            three("deepseek-v3-0324", "deepseek-ai/DeepSeek-V3-0324"),
            three("llama-3.1-8b", "klusterai/Meta-Llama-3.1-8B-Instruct-Turbo"),
            three("llama-3.1-405b", "klusterai/Meta-Llama-3.1-405B-Instruct-Turbo"),
            three("llama-3.3-70b", "klusterai/Meta-Llama-3.3-70B-Instruct-Turbo"),
            images("gemma-3-27b", "google/gemma-3-27b-it"),
            images("qwen-2.5-7b", "Qwen/Qwen2.5-VL-7B-Instruct"),
            new Use("mixed-models", "\n3 succeeded; ", List.of(), "", List.of(
                body("deepseek-ai/DeepSeek-V3", "an experienced cook", "What is the ultimate breakfast sandwich?"),
                body("klusterai/Meta-Llama-3.3-70B-Instruct-Turbo", "a maths tutor",
                    "Explain the Pythagorean theorem."),
                picture("Qwen/Qwen2.5-VL-7B-Instruct", "Who can park in the area?", "parking"))),
            use("jsonl", "^requests.jsonl\n$"),
            use("upload", "^file-\\S+\n$", file("requests.jsonl"), "--name", "steps"),
            use("submit", "^batch_\\S+\n$", file("requests.jsonl"), "--name", "steps"),
            use("status", "(?m)^requests +(0|1)/1", "steps"),
            use("results", "\n1 succeeded; ", "steps"),
            use("batches", "(?m)^batch_\\S+ +completed .* steps +here$", "50"),
            use("cancel", "^batch_\\S+ cancel", going, "--provider", paused.baseUrl()),
            use("models", "(?m)^echo"),
            use("files", "(?m)^file-\\S+ "),
            use("local", "--slots", "--help"),
            use("ask", "^\\{\"prompt\":\"Say hello\",", "-m", "echo", "Say hello"),
            use("rehearse", "(?m)^request-1  Say hello .*\n1 succeeded; ", "-m", "m", "Say hello"),
            use("excel", "^[{]\"prompt\":\"Say hello\",", "-m", "echo", "Say hello"),
            use("sql", "^[{]\"text\":\"Say hello\",", "-m", "echo", "-p", "{{text}}", "--sql",
                "select 'Say hello' as text order by 1"),
            use("spark", "--one-file", "--help"),
            use("eval", "^42\n$", "6 * 7"),
            use("tab", "(?m)^complete -o default -F _sheaf jbang$"),
            use("serve", "--engine", "--help"),
            use("explore", "(?s)To begin, paste .*\n3 succeeded; .*no file nothing.csv.*==> 42").typing("""
                batch().model("echo").prompts("{{question}}", questions).submit().results().show()
                csv("nothing.csv")
                6 * 7
                """),
            use("kernel", "^Installed the kernel ", "--install", "--prefix", file("jupyter")),
            use("clean", "^Batches kept here that are over, submitted more than 30 days ago:\n", "--runs"));
    }

    /** Aliases that no visitor runs, and why. */
    static final Map<String, String> EXEMPT = Map.of(
        "test", "runs these tests",
        "benchmark", "measures a clone for minutes",
        "sheaf", "is a //SOURCES line's, below",
        "sheaf-excel", "is one too, of which the alias excel is made",
        "sheaf-sql", "is one too, of which the alias sql is made",
        "sheaf-spark", "is one too, of which the alias spark is made");

    @BeforeAll static void open() throws IOException {
        server = BatchServer.start().answer(body -> {
            asked.add(body.toString());
            var prompt = body.path("messages").path(body.path("messages").size() - 1).path("content");
            var text = prompt.isArray() ? prompt.path(0).path("text").asText() : prompt.asText();
            var schema = body.at("/response_format/json_schema");
            if (schema.path("name").asText().equals("choice"))
                return BatchServer.Reply.text(schema.at("/schema/properties/choice/enum/0").asText());
            if (schema.path("name").asText().equals("Plot"))
                return BatchServer.Reply.text("{\"genre\":\"CRIME\",\"places\":"
                + "[\"Porto\"],\"hero\":{\"name\":\"Ana\",\"trade\":null},\"happyEnd\":null}");
            return BatchServer.Reply.text(text.contains("JSON") ? "{\"kind\": \"BUG\", \"urgent\": false}" : text);
        });
        server.rewrite(lines -> lines.stream().map(SharingTest::unsure).toList());
        paused = BatchServer.start().pause();
        going = new RawClient(() -> paused.baseUrl()).create(RawClient.lines("hi"));
        catalog = new Catalog();
        own = visitor("own").with("JBANG_CACHE_DIR_JARS", temp.resolve("jars").toString());
        Files.writeString(temp.resolve("requests.jsonl"), Guide.LINE + "\n");
        Files.writeString(temp.resolve("my.csv"), "title,text\nOne,Two\n");
        Files.writeString(temp.resolve("my.mustache"), "In short: {{text}}");
    }

    /** The first topic is never a sure one. */
    private static String unsure(String line) {
        return line.replace("\"finish_reason\":", line.contains("\"content\":\"World\"")
            ? "\"logprobs\":{\"content\":[{\"token\":\"World\",\"logprob\":"
            + "-0.7}]},\"finish_reason\":" : "\"finish_reason\":");
    }

    @AfterAll static void close() {
        catalog.close();
        server.close();
        paused.close();
    }

    private static Visitor visitor(String name) {
        return catalog.visitor(temp.resolve(name)).with("OPENAI_BASE_URL", server.baseUrl());
    }

    @Test void everyAliasOfTheCatalogHasItsUse() {
        var used = uses().stream().map(Use::alias).collect(Collectors.toCollection(TreeSet::new));
        used.addAll(EXEMPT.keySet());

        assertEquals(new TreeSet<>(Catalog.aliases().keySet()), used, "add the alias to uses()");
    }

    @TestFactory Stream<DynamicTest> everyAliasRunsByItsAddressInAnEmptyFolder() {
        var runs = new LinkedHashMap<Use, CompletableFuture<Run>>();
        uses().stream().filter(use -> Catalog.aliases().containsKey(use.alias()))
            .forEach(use -> runs.put(use, new CompletableFuture<>()));
        // Uses of one script follow one another, lest two build it at once.
        var waiting = new ConcurrentLinkedQueue<List<Use>>(
            runs.keySet().stream().collect(Collectors.groupingBy(SharingTest::built, LinkedHashMap::new,
                Collectors.toList())).values());
        for (int i = Math.max(2, Math.min(4, Runtime.getRuntime().availableProcessors())); i > 0; i--) {
            var visitor = visitor("visitor-" + i);
            var thread = new Thread(() -> {
                for (List<Use> group; (group = waiting.poll()) != null; )
                    for (var use : group) runs.get(use).completeAsync(() -> run(visitor, use), Runnable::run);
            });
            thread.setDaemon(true);
            thread.start();
        }
        return runs.entrySet().stream().map(run -> dynamicTest(run.getKey().alias(),
            () -> {
                assertPrinted(run.getKey().prints(), run.getValue().get());
                assertEquals(List.of(), run.getKey().asks().stream().filter(body -> !asked.contains(body)).toList());
            }));
    }

    private static Run run(Visitor visitor, Use use) {
        var folder = visitor.emptyFolder();
        var run = visitor.jbang(folder, use.stdin(), Stream.concat(
            Stream.of(visitor.at(use.alias())), use.arguments().stream()).toList());
        var said = run.out() + run.err();
        var untold = Stream.of(folder.toFile().list()).filter(file -> !said.contains(file)).toList();
        assertEquals(List.of(), untold, "files that nobody is told of");
        return run;
    }

    private static void assertPrinted(String expected, Run run) {
        assertEquals(0, run.status(), run.err());
        assertEquals(List.of(), run.missing());
        assertTrue(Pattern.compile(expected).matcher(run.out()).find(), () -> run.out() + run.err());
    }

    /** What has to be built for a use: its script, or the library on its own where a script asks for that. */
    private static String built(Use use) {
        var script = Catalog.aliases().get(use.alias()).path("script-ref").asText();
        return Sources.text(PROJECT.resolve(script)).contains("\n//DEPS ../lib/") ? "lib" : script;
    }

    @Test void twoNamesThatOneModelAnsweredAreNotCompared() {
        try (var one = BatchServer.start().rewrite(lines -> lines.stream()
                .map(line -> line.replaceAll("\"model\":\"[a-z]+\"", "\"model\":\"only\"")).toList())) {
            var visitor = visitor("one").with("OPENAI_BASE_URL", one.baseUrl());

            var run = visitor.jbang(visitor.emptyFolder(), visitor.at("compare-models"), "--model", "mine,yours");

            assertEquals(1, run.status());
            assertEquals("", run.out());
            assertTrue(run.err().endsWith("compare-models: only answered as mine and as yours, so there is nothing to "
                + "compare; give --model two that this provider has\n"), run.err());
        }
    }

    @Test void aScriptOfOnesOwnTakesTheLibraryInByTheAddress() throws IOException {
        assertPrinted("\n2 succeeded; ", own.jbang(mine(), "Mine.java"));
    }

    @Test void aScriptOfOnesOwnIsExportedAsAProgramThatNeedsNoJBang() throws IOException {
        var folder = mine();

        assertPrinted("^$", own.jbang(folder, "export", "portable", "-O", "out/mine.jar", "Mine.java"));

        var java = Path.of(System.getProperty("java.home"), "bin", "java").toString();
        assertPrinted("\n2 succeeded; ", own.run(own.emptyFolder(), "",
            List.of(java, "-jar", folder.resolve("out/mine.jar").toString())));
    }

    @Test void aScriptOfOnesOwnIsExportedAsAMavenProjectWithEverySource() throws IOException {
        var folder = mine();

        assertPrinted("^$", own.jbang(folder, "export", "maven", "-O", "project", "--group", "mine", "Mine.java"));

        var main = folder.resolve("project/src/main/java");
        var library = Sources.closure(PROJECT.resolve("lib/Sheaf.java")).stream()
            .map(source -> "sheaf/" + source.getFileName());
        assertEquals(Stream.concat(Stream.of("Mine.java"), library).collect(Collectors.toSet()), files(main));
        assertTrue(Sources.text(folder.resolve("project/pom.xml")).contains("<artifactId>openai-java</artifactId>"));
        var options = Stream.of("-proc:none", "-d", folder + "/classes", "-cp", System.getProperty("java.class.path"));
        assertEquals(0, ToolProvider.getSystemJavaCompiler().run(null, null, null, Stream.concat(options,
            files(main).stream().map(source -> main.resolve(source).toString())).toArray(String[]::new)));
    }

    /** A folder with a script that has the library's address in it, built once for all. */
    private static Path mine() throws IOException {
        var folder = own.emptyFolder();
        Files.writeString(folder.resolve("Mine.java"), """
            ///usr/bin/env jbang "$0" "$@" ; exit $?
            //SOURCES %s

            import static sheaf.Sheaf.*;

            class Mine {
                public static void main(String... args) {
                    batch().model("echo").prompts("{{value}}", rows("one", "two")).submit().results().show();
                }
            }
            """.formatted(own.at("sheaf")));
        return folder;
    }

    @Test void initMakesAScriptThatRunsAtOnceAndOverwritesNothing() throws IOException {
        var visitor = visitor("init");
        var folder = visitor.emptyFolder();

        assertPrinted("^$", visitor.jbang(folder, "init", "-t", visitor.at("sheaf"), "-Dmodel=echo", "my.java"));
        var library = Sources.closure(PROJECT.resolve("lib/Sheaf.java"));
        var beside = Stream.of("my.java", "prompt.mustache", "questions.csv", "data/prices.csv",
            "templates/results-page.mustache");
        assertEquals(Stream.concat(beside, library.stream()
            .map(source -> PROJECT.relativize(source).toString())).collect(Collectors.toSet()), files(folder));
        for (var source : library)
            assertEquals(-1, Files.mismatch(source, folder.resolve(PROJECT.relativize(source))), source.toString());
        assertTrue(Sources.text(folder.resolve("my.java")).contains("class my {"));
        assertTrue(Sources.text(folder.resolve("my.java")).contains("\n            .model(\"echo\")\n"));

        assertPrinted("\n3 succeeded; ", visitor.jbang(folder, "my.java"));
        Files.writeString(folder.resolve("prompt.mustache"), "Mine: {{question}}");
        assertPrinted("Mine: Explain (?s).*\n3 succeeded; ", visitor.jbang(visitor.emptyFolder(), folder + "/my.java"));

        var second = visitor.jbang(folder, "init", "-t", visitor.at("sheaf"), "other.java");
        assertEquals(1, second.status());
        assertTrue(second.err().contains("prompt.mustache already exists. Will not initialize."), second.err());
        assertEquals("Mine: {{question}}", Sources.text(folder.resolve("prompt.mustache")));
        assertFalse(files(folder).contains("other.java"));
    }

    @Test void aRecipeInstalledAsACommandRuns() {
        var visitor = visitor("install");
        var folder = visitor.emptyFolder();

        assertPrinted("^$", visitor.jbang(folder, "app", "install", "--name", "ask-deepseek",
            visitor.at("deepseek-v3")));
        assertPrinted("\n3 succeeded; ", visitor.run(folder, "", List.of(visitor.bin() + "/ask-deepseek")));
    }

    @Test void aVisitorsOwnDataAndPromptGoBeforeThoseOfTheRecipe() throws IOException {
        var visitor = visitor("bring");
        var folder = visitor.emptyFolder();
        Files.createDirectories(folder.resolve("data"));
        Files.createDirectories(folder.resolve("templates"));
        Files.writeString(folder.resolve("data/experts.csv"), "persona,question\na cat,Where is the mouse?\n");
        Files.writeString(folder.resolve("templates/question.mustache"), "Softly: {{question}}");

        assertPrinted("Softly: Where is the mouse\\?.*(?s)\n1 succeeded; ", visitor.jbang(folder,
            visitor.at("quickstart"), "--provider", server.baseUrl(), "--model", "echo"));
    }

    /** jbang edit is JBang's own, and jbang data would be the folder: a script of that name could never be run. */
    @Test void noAliasBearsTheNameOfACommandOfJBangOrOfAFolderHere() {
        var help = visitor("help").jbang(temp, "--help");
        var commands = Pattern.compile("(?m)^  ([a-z]+)  +\\S").matcher(help.out() + help.err()).results()
            .map(command -> command.group(1)).collect(Collectors.toSet());
        assertTrue(commands.containsAll(Set.of("run", "build", "init", "edit", "app")), help.out() + help.err());
        commands.addAll(Set.of("help", "deps"));                           // hidden, and of newer ones

        for (var alias : Catalog.aliases().keySet()) {
            assertFalse(commands.contains(alias), alias);
            assertTrue(Files.notExists(PROJECT.resolve(alias)), alias);
        }
    }

    private static Set<String> files(Path folder) throws IOException {
        try (var files = Files.walk(folder)) {
            return files.filter(Files::isRegularFile).map(file -> folder.relativize(file).toString())
                .collect(Collectors.toSet());
        }
    }
}
