package sheaf.sharing;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.opentest4j.TestAbortedException;
import sheaf.support.Project;

/** Starts ./jbang as a copy in a folder of its own, with a PATH that holds only what the test puts there. */
@DisabledOnOs(OS.WINDOWS)
@Tag("apart")
class LauncherTest {
    static final String JAR = "jbang-cli-0.132.1-all.jar";
    static final String RECORDS = "printf '[%s]' \"$@\"";       // a shell command that shows its arguments

    @TempDir Path temp;
    Path project, bin, home;
    Path launcher, folder;                                     // what is typed, and where; null: in the project
    Path jdk = Path.of(System.getProperty("java.home"));
    String path, stdin = "";
    Map<String, String> variables = Map.of();                  // set besides

    record Run(int status, String out, String err) {}

    @BeforeEach void layOut() throws IOException {
        project = Files.createDirectories(temp.resolve("a project"));
        bin = Files.createDirectories(temp.resolve("bin"));
        home = Files.createDirectories(temp.resolve("home"));
        path = bin.toString();
        Files.copy(Project.root().resolve("jbang"), project.resolve("jbang"));
        assertTrue(project.resolve("jbang").toFile().setExecutable(true));
        for (var tool : List.of("awk", "bash", "cat", "chmod", "cp", "df", "dirname", "find", "mkdir", "mktemp", "mv",
                "readlink", "rm", "sed", "sh", "sha256sum", "shasum", "touch"))
            onThePath(tool).forEach(file -> command(bin.resolve(tool), "exec '" + file + "' \"$@\""));
    }

    @Test void anInstalledJBangOnThePathIsTaken() {
        command(bin.resolve("jbang"), RECORDS);

        assertEquals(new Run(0, "[run][a b][*]", ""), jbang("run", "a b", "*"));
    }

    @Test void anInstalledJBangInTheHomeFolderIsTaken() {
        command(home.resolve(".jbang/bin/jbang"), RECORDS);

        assertEquals(new Run(0, "[version]", ""), jbang("version"));
    }

    @Test void itDoesNotTakeItselfForAnInstalledOne() {
        path = project + File.pathSeparator + bin;
        command(bin.resolve("jbang"), RECORDS);

        assertEquals("[version]", jbang("version").out());
    }

    @Test void mavenFetchesJBangOnce() {
        var jar = realJar();
        command(bin.resolve("mvn"), "echo chatter; cp '" + jar + "' .");

        assertEquals(new Run(0, "0.132.1\n", "fetching JBang 0.132.1 ...\n"), jbang("version"));
        assertEquals(new Run(0, "0.132.1\n", ""), jbang("version"));
        assertEquals(List.of(JAR, JAR.replace(".jar", ".ran")),
            listing(project.resolve(".jbang")).stream().sorted().toList());
    }

    @Test void aJarWithAnotherChecksumIsNotRun() {
        command(bin.resolve("mvn"), "printf abc > " + JAR);

        assertEquals(new Run(1, "", """
            fetching JBang 0.132.1 ...
            jbang: not run: what Maven fetched is not JBang 0.132.1 (SHA-256 \
            ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad)
            """), jbang("version"));
        assertEquals(List.of(), listing(project.resolve(".jbang")));
    }

    @Test void whatMavenSaysIsShownWhenItFails() {
        command(bin.resolve("mvn"), "echo no route to host; exit 1");

        assertEquals(new Run(1, "", """
            fetching JBang 0.132.1 ...
            no route to host
            jbang: found no JBang and could not fetch it (mvn, curl, wget); see https://www.jbang.dev
            """), jbang("version"));
    }

    @Test void withoutMavenJBangsOwnInstallerIsRun() {
        command(bin.resolve("curl"), """
            cat >"$3" <<'END'
            mkdir -p "$JBANG_DIR/bin"
            printf '#!/bin/sh\\necho %s installed, "$@"\\n' "$JBANG_DOWNLOAD_VERSION" >"$JBANG_DIR/bin/jbang"
            chmod +x "$JBANG_DIR/bin/jbang"
            END""");

        assertEquals(new Run(0, "0.132.1 installed, test\n",
            "installing JBang 0.132.1 in " + home + "/.jbang ...\n"), jbang("test"));
    }

    @Test void withNothingToFetchItWithItSaysSo() {
        assertEquals(new Run(1, "", "jbang: found no JBang and could not fetch it (mvn, curl, wget);"
            + " see https://www.jbang.dev\n"), jbang("version"));
    }

    @Test void aJavaWithoutACompilerIsNoJdk() {
        jdk = temp.resolve("jre");
        command(jdk.resolve("bin/java"), "echo java ran");

        assertEquals(new Run(1, "", "jbang: found no JDK (a Java with javac) and could not fetch one;"
            + " install JDK 17 or newer\n"), jbang("version"));
    }

    @ParameterizedTest(name = "{0} is handed on as {1}")
    @CsvSource(delimiter = '|', value = {
        "ask --data my.csv | ask@CATALOG --data my.csv",
        "llama-3.1-8b | llama-3.1-8b@CATALOG",
        "--quiet --fresh ask ask | --quiet --fresh ask@CATALOG ask",
        "-o -Da=b ask --quiet | -o -Da=b ask@CATALOG --quiet",
        "ask@owner/repo ask | ask@owner/repo ask",
        "Mine.java ask | Mine.java ask",
        "nonsense ask | nonsense ask",
        "model | model",                                       // a property of a template
        "run ask | run ask",
        "alias list | alias list",
        "init -t sheaf my.java | init -t sheaf my.java",
        "app install ask | app install ask",
        "--java 17 ask | --java 17 ask",
        "--version | --version"})
    void onlyAnAliasOfOursGetsTheAddressOfOurCatalog(String given, String handedOn) throws IOException {
        offering("ask", "llama-3.1-8b");
        command(bin.resolve("jbang"), RECORDS);
        folder = Files.createDirectories(temp.resolve("else where"));

        assertEquals(new Run(0, "[" + handedOn.replace(" ", "][").replace("CATALOG", catalog()) + "]", ""),
            jbang(given.split(" ")));
    }

    @Test void argumentsAfterAnAliasStayAsTheyAre() throws IOException {
        offering("ask");
        command(bin.resolve("jbang"), RECORDS);
        folder = Files.createDirectories(temp.resolve("else where"));

        assertEquals("[ask@" + catalog() + "][a b][*][][line\nline][ask]",
            jbang("ask", "a b", "*", "", "line\nline", "ask").out());
        assertEquals("[]", jbang("").out());
    }

    @ParameterizedTest
    @ValueSource(strings = {"far/near/jbang-catalog.json", "far/near/.jbang/jbang-catalog.json",
        "far/jbang-catalog.json", "home/.jbang/jbang-catalog.json"})
    void anAliasOfTheUsersOwnGoesFirst(String own) throws IOException {
        offering("ask", "clean");
        command(bin.resolve("jbang"), RECORDS);
        folder = Files.createDirectories(temp.resolve("far/near"));
        Files.createDirectories(temp.resolve(own).getParent());
        Files.writeString(temp.resolve(own), "{\"aliases\" : {\n\"ask\"\t:\n{\"description\": \"mine\"}}}");

        assertEquals("[ask]", jbang("ask").out());
        assertEquals("[clean@" + catalog() + "]", jbang("clean").out());
    }

    @Test void aFileOfTheUsersGoesFirstAndAFolderDoesNot() throws IOException {
        offering("ask", "models");
        command(bin.resolve("jbang"), RECORDS);
        folder = Files.createDirectories(temp.resolve("else where"));
        Files.createFile(folder.resolve("ask"));
        Files.createDirectory(folder.resolve("models"));

        assertEquals("[ask]", jbang("ask").out());
        assertEquals("[models@" + catalog() + "]", jbang("models").out());
    }

    /** JBang takes what stands behind an @ for an address as far as the next one. */
    @Test void aCloneInAFolderWithAnAtSignInItsNameIsFoundToo() throws IOException {
        Files.move(project, project.resolveSibling("me@home"));
        project = project.resolveSibling("me@home");
        offering("ask");
        command(bin.resolve("jbang"), RECORDS);
        folder = Files.createDirectories(temp.resolve("else where"));

        assertEquals("[--quiet][--catalog][" + catalog() + "][ask][x]", jbang("--quiet", "ask", "x").out());
    }

    @ParameterizedTest
    @ValueSource(strings = {"a project", "me@home"})
    void anAliasRunsInAnEmptyFolderThroughALinkAndFindsTheFilesThere(String name) throws IOException {
        Files.move(project, project.resolveSibling(name));
        project = project.resolveSibling(name);
        Files.createDirectories(project.resolve(".jbang"));
        Files.copy(realJar(), project.resolve(".jbang").resolve(JAR));
        offering("show");
        Files.writeString(project.resolve("show.java"), """
            import java.nio.file.*;

            class show {
                public static void main(String... args) throws Exception {
                    for (var arg : args) System.out.print(Files.readString(Path.of(arg)));
                }
            }
            """);
        launcher = Files.createSymbolicLink(temp.resolve("a link"), project.resolve("jbang"));
        folder = Files.createDirectories(temp.resolve("else where"));
        Files.writeString(folder.resolve("my own.csv"), "q\nx\n");

        var run = jbang("--quiet", "show", "my own.csv");

        assertEquals(new Run(0, "q\nx\n", ""), run);
        assertEquals(List.of("my own.csv"), listing(folder));
    }

    @Test void anAliasOfOursCostsNoSecondStartOfJava() throws IOException {
        fakeJava("echo \"started for $*\"");
        offering("ask");
        folder = Files.createDirectories(temp.resolve("else where"));

        assertEquals(new Run(0, "started for ask@" + catalog() + " hi\n", ""), jbang("ask", "hi"));
    }

    /** JBang spoils the JAR of a script that two build at once, for all that come later. */
    @Test void oneBuildWaitsForTheOther() throws Exception {
        onThePath("flock").forEach(file -> command(bin.resolve("flock"), "exec '" + file + "' \"$@\""));
        assumeTrue(Files.exists(bin.resolve("flock")), "no flock on this machine");
        onThePath("sleep").forEach(file -> command(bin.resolve("sleep"), "exec '" + file + "' \"$@\""));
        var log = temp.resolve("log");
        fakeJava("echo begin >>'" + log + "'; sleep 0.5; echo end >>'" + log + "'");
        offering("ask");

        var both = List.of(builder("ask", "a").start(), builder("ask", "b").start());
        for (var process : both) assertTrue(process.waitFor(60, TimeUnit.SECONDS), "jbang did not end");

        assertEquals("begin\nend\nbegin\nend\n", Files.readString(log));
    }

    @Test void argumentsStdinAndExitCodeReachTheScriptAndComeBack() throws IOException {
        Files.createDirectories(project.resolve(".jbang"));
        Files.copy(realJar(), project.resolve(".jbang").resolve(JAR));
        Files.writeString(project.resolve("Echo.java"), """
            class Echo {
                public static void main(String... args) throws Exception {
                    for (var arg : args) System.out.print("[" + arg + "]");
                    System.in.transferTo(System.out);
                    System.exit(7);
                }
            }
            """);
        String[] hostile = {"a b", "it's", "\"q\"", "$HOME", "`id`", "*", ";exit 3", "line\nline", "\\"};
        stdin = "from stdin";

        var run = jbang(Stream.concat(Stream.of("Echo.java"), Arrays.stream(hostile)).toArray(String[]::new));

        assertEquals("[" + String.join("][", hostile) + "]from stdin", run.out());
        assertEquals(7, run.status());
    }

    /** The second run of a short script makes the archive, and no run says a word of it. */
    @Test void aScriptThatIsRunAgainStartsWithItsClassesInAnArchive() throws IOException {
        assumeTrue(Runtime.version().feature() < 25, "a newer Java's is made by a process of its own");
        Files.createDirectories(project.resolve(".jbang"));
        Files.copy(realJar(), project.resolve(".jbang").resolve(JAR));
        for (var word : List.of("one", "other")) {
            Files.writeString(project.resolve("Brief.java"), "//RUNTIME_OPTIONS -Xshare:auto\n"
                + "class Brief { public static void main(String... args) { System.out.println(\"" + word + "\"); } }");
            var archives = new ArrayList<List<Path>>();
            for (int run = 0; run < 4; run++) {
                assertEquals(new Run(0, word + "\n", run == 0 ? "[jbang] Building jar for Brief.java...\n" : ""),
                    jbang("Brief.java"));
                archives.add(archives());
            }
            assertEquals(1, archives.get(1).size());
            assertEquals(archives.get(1), archives.get(3));
            if (word.equals("other")) assertEquals(List.of(), archives.get(0).stream()
                .filter(archives.get(1)::contains).toList(), "the older build's is gone");
        }
        var damaged = archives().get(0);
        damaged.toFile().setWritable(true);
        Files.writeString(damaged, "no archive");

        assertEquals(new Run(0, "other\n", ""), jbang("Brief.java"));
    }

    /** From 25 on, the second run writes down what it learnt, and the third has the archive made of that beside it. */
    @Test void aNewerJavaFindsWhatItLearntOfItsMethodsToo() throws Exception {
        jdk = newerJdk();
        Files.createDirectories(project.resolve(".jbang"));
        Files.copy(realJar(), project.resolve(".jbang").resolve(JAR));
        Files.writeString(project.resolve("Brief.java"), """
            //RUNTIME_OPTIONS -Xshare:auto
            class Brief {
                public static void main(String... args) {
                    System.out.println(java.lang.management.ManagementFactory.getRuntimeMXBean().getInputArguments()
                        .stream().anyMatch(option -> option.startsWith("-XX:AOTCache=")));
                    System.exit(3);
                }
            }
            """);
        for (int run = 0; run < 3; run++)
            assertEquals(new Run(3, "false\n", run == 0 ? "[jbang] Building jar for Brief.java...\n" : ""),
                jbang("Brief.java"));
        for (int wait = 0; wait < 900 && archives().isEmpty(); wait++) Thread.sleep(100);

        assertEquals(1, archives().size());
        assertEquals(new Run(3, "true\n", ""), jbang("Brief.java"));
        assertEquals(List.of(), files("Brief-.*[.]learnt.*"), "what the archive was made of is gone");

        for (var variable : List.of("JAVA_TOOL_OPTIONS", "JBANG_JAVA_OPTIONS")) {
            variables = Map.of(variable, "-Xshare:off -Duser.home=" + home);
            assertEquals("false\n", jbang("Brief.java").out(), "the two would end a Java");
        }
    }

    /** A JDK of 25 or newer that lies beside the one that runs. */
    private Path newerJdk() throws IOException {
        try (var beside = Files.list(jdk.toRealPath().getParent())) {
            return beside.filter(dir -> release(dir) >= 25).findFirst()
                .orElseThrow(() -> new TestAbortedException("there is no JDK of 25 or newer beside " + jdk));
        }
    }

    private static int release(Path jdk) {
        try (var lines = Files.lines(jdk.resolve("release"))) {
            return lines.filter(line -> line.startsWith("JAVA_VERSION=")).findFirst()
                .map(line -> Runtime.Version.parse(line.split("\"")[1]).feature()).orElse(0);
        } catch (IOException | RuntimeException noJdk) {
            return 0;
        }
    }

    /** What JBang made of an alias is run again without it, as long as nothing of the project has changed since. */
    @Test void anAliasThatHasNotChangedNeedsNoJBang() throws IOException {
        Files.createDirectories(project.resolve(".jbang"));
        var jar = Files.copy(realJar(), project.resolve(".jbang").resolve(JAR));
        for (var dir : List.of("lib", "scripts", "templates", "data", "tests", "bench"))
            Files.createDirectory(project.resolve(dir));
        offering("show");
        var script = project.resolve("scripts/show.java");
        Files.writeString(project.resolve("jbang-catalog.json"), Files.readString(project.resolve("jbang-catalog.json"))
            .replace("show.java", "scripts/show.java"));
        var source = "class show { public static void main(String... a) { "
            + "System.out.print(\"one\" + String.join(\"|\", a)); System.exit(3); } }";
        Files.writeString(script, source);
        for (int run = 0; run < 3; run++) assertEquals("one", jbang("show").out());

        Files.move(jar, temp.resolve(JAR));
        Files.createFile(jar);                                 // a JBang that cannot start
        assertEquals(new Run(3, "onea b|$HOME|'|", ""), jbang("show", "a b", "$HOME", "'", ""));
        folder = Files.createDirectories(temp.resolve("else where"));
        assertEquals("one", jbang("show").out(), "from any folder");
        folder = null;
        Files.move(temp.resolve(JAR), jar, StandardCopyOption.REPLACE_EXISTING);

        Files.writeString(script, source.replace("one", "two"));
        assertTrue(script.toFile().setLastModified(1_000_000_000_000L));
        assertEquals("twox", jbang("show", "x").out(), "whatever time the file says it has");
    }

    /** It names the classes of the checkout that it was made in. */
    @Test void whatAnotherCheckoutHasMadeIsMadeAnew() throws IOException {
        Files.createDirectories(project.resolve(".jbang"));
        Files.copy(realJar(), project.resolve(".jbang").resolve(JAR));
        for (var dir : List.of("lib", "scripts", "templates", "data", "tests", "bench"))
            Files.createDirectory(project.resolve(dir));
        offering("show");
        var source = "class show { public static void main(String... a) { System.out.print(\"one\"); } }";
        Files.writeString(project.resolve("show.java"), source);
        for (int run = 0; run < 3; run++) assertEquals("one", jbang("show").out());
        var here = project;
        var other = temp.resolve("other checkout");
        copyTree(here, other);
        Files.writeString(other.resolve("show.java"), source.replace("one", "two"));
        copyTree(here.resolve(".jbang"), other.resolve(".jbang"));      // after all else, so that it is the newest

        project = other;
        try {
            assertEquals("two", jbang("show").out());
        } finally {
            project = here;
        }
    }

    private static void copyTree(Path from, Path to) throws IOException {
        try (var files = Files.walk(from)) {
            for (var file : files.toList()) {
                var copy = to.resolve(from.relativize(file).toString());
                if (Files.isDirectory(file)) Files.createDirectories(copy);
                else Files.copy(file, copy, StandardCopyOption.REPLACE_EXISTING);
            }
        }
    }

    /** Some shells end where a redirection of theirs fails. */
    @Test void aCloneThatCannotBeWrittenToRunsAllTheSame() throws IOException {
        fakeJava("echo started");
        var ran = Files.createDirectory(project.resolve(".jbang").resolve(JAR.replace(".jar", ".ran")));
        assertTrue(ran.toFile().setLastModified(1_000_000_000_000L));      // nobody can write it, nor is it new

        assertEquals(new Run(0, "started\n", ""), jbang("version"));
    }

    /** A Java that cannot write the archive it is to make ends with 1, whatever it has done. */
    @Test void whereNoArchiveCanBeWrittenNoneIsMade() throws IOException {
        Files.createDirectories(project.resolve(".jbang"));
        Files.copy(realJar(), project.resolve(".jbang").resolve(JAR));
        Files.writeString(project.resolve("Brief.java"), "//RUNTIME_OPTIONS -Xshare:auto\n"
            + "class Brief { public static void main(String... args) { System.out.println(\"done\"); } }");
        command(bin.resolve("df"), "echo names; echo '/dev/a disk 900000 850000 50000 95% /'");

        for (int run = 0; run < 3; run++) assertEquals("done\n", jbang("Brief.java").out());
        assertEquals(List.of(), archives(), "the disk is almost full");

        command(bin.resolve("df"), "echo names; echo '/dev/a disk 900000 50000 850000 6% /'");
        Path ran;
        try (var files = Files.walk(home)) {
            ran = files.filter(file -> file.endsWith("Brief.ran")).findFirst().orElseThrow();
        }
        Files.delete(ran);
        Files.createDirectory(ran);                            // as in a folder where nothing can be written

        assertEquals(new Run(0, "done\n", ""), jbang("Brief.java"));
        assertEquals(List.of(), archives());
    }

    @Test void aJavaInAFolderWithABlankInItsNameStartsTheScript() throws IOException {
        fakeJava("echo \"'$HOME/a java' -Xshare:auto -classpath x.jar Brief\"; exit 255");
        command(home.resolve("a java"), RECORDS);

        assertEquals(new Run(0, "[-XX:+UseSerialGC][-classpath][x.jar][Brief]", ""), jbang("Brief.java"));
    }

    /** Of two collectors Java takes none, and some machines name one for all that runs there. */
    @Test void aCollectorThatTheMachineNamesIsTaken() throws IOException {
        Files.createDirectories(project.resolve(".jbang"));
        Files.copy(realJar(), project.resolve(".jbang").resolve(JAR));
        var options = Files.readAllLines(Project.root().resolve("lib/Sheaf.java")).stream()
            .filter(line -> line.startsWith("//RUNTIME_OPTIONS")).collect(Collectors.joining("\n"));
        Files.writeString(project.resolve("Brief.java"), options + "\nclass Brief { public static void main(String... "
            + "args) { System.out.println(\"done\"); } }");
        assertEquals("done\n", jbang("Brief.java").out());

        for (var name : List.of("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS")) {
            variables = Map.of(name, "-XX:+UseParallelGC");
            var run = jbang("Brief.java");
            assertEquals("done\n", run.out(), run.err());
        }
    }

    @Test void aRecipeThatIsNotThereIsNamedWithTheNearest() throws IOException {
        offering("ask", "models", "clean", "batches", "deepseek-r1", "deepseek-v3");
        var all = "'" + project.resolve("jbang") + "' lists them\n";

        assertEquals(new Run(2, "", "jbang: no recipe \"asks\"; did you mean ask? " + all), jbang("asks", "x"));
        assertEquals(new Run(2, "", "jbang: no recipe \"model\"; did you mean models? " + all), jbang("model"));
        assertEquals(new Run(2, "", "jbang: no recipe \"bacthes\"; did you mean batches? " + all), jbang("bacthes"));
        assertEquals(new Run(2, "", "jbang: no recipe \"deepseek\"; did you mean deepseek-r1, deepseek-v3? " + all),
            jbang("deepseek"));
        assertEquals(new Run(2, "", "jbang: no recipe \"nosuch\"; " + all), jbang("nosuch"));
    }

    @Test void withoutAWordItListsWhatThereIsToRun() throws IOException {
        command(bin.resolve("jbang"), RECORDS);
        Files.writeString(project.resolve("jbang-catalog.json"), """
            {
              "description": "Sheaf",
              "aliases": {
                "quickstart": {
                  "script-ref": "scripts/quickstart.java",
                  "description": "Run a real batch on a few rows, free and on this machine unless a provider is named"
                },
                "batches": {
                  "script-ref": "scripts/commands/steps.java",
                  "description": "List \\"batches\\"",
                  "arguments": [
                    "batches"
                  ]
                },
                "sheaf": {
                  "script-ref": "lib/Sheaf.java",
                  "description": "Use the library from a script of yours"
                }
              },
              "templates": {
                "mine": {
                  "description": "A script of yours"
                }
              }
            }
            """);

        assertEquals(new Run(0, """
            Usage: JBANG NAME [ARG]...

            Recipes, small scripts to run and to copy:
              quickstart        Run a real batch on a few rows, free and on this machine
                                unless a provider is named

            Commands:
              batches           List "batches"

            JBANG NAME --help says more of one; JBANG --help is JBang's own.
            """.replace("JBANG", "'" + project.resolve("jbang") + "'"), ""), jbang());

        Files.delete(project.resolve("jbang-catalog.json"));
        assertEquals("[]", jbang().out(), "JBang's own help");
    }

    @Test void aWordThatANewerJBangKnowsIsLeftToIt() throws IOException {
        offering("ask", "models", "clean");
        command(bin.resolve("jbang"), "echo out; echo err >&2; exit 7");
        assertEquals(new Run(7, "out\n", "err\n"), jbang("nosuch"));

        command(bin.resolve("jbang"), "echo \"Script or alias could not be found or read: '$1'\" >&2; exit 2");
        assertTrue(jbang("asks").err().startsWith("jbang: no recipe \"asks\"; did you mean ask? "));
        assertEquals("Script or alias could not be found or read: 'no/such'\n", jbang("no/such").err());
    }

    private List<Path> archives() throws IOException { return files("Brief-.*[.](jsa|aot)"); }

    private List<Path> files(String pattern) throws IOException {
        try (var files = Files.walk(home)) {
            return files.filter(file -> file.getFileName().toString().matches(pattern)).toList();
        }
    }

    /** Java would make two question marks of each umlaut, as JBang did of those that it passed on. */
    @Test void inALocaleOfPlainAsciiNoLetterIsLost() throws IOException {
        command(bin.resolve("locale"), "case $LC_ALL in C.UTF-8) echo UTF-8 ;; *) echo ANSI_X3.4-1968 ;; esac");
        fakeJava("echo \"$LC_ALL\"");
        assertEquals("C.UTF-8\n", jbang("version").out());

        command(bin.resolve("locale"), "echo ANSI_X3.4-1968");     // which has no other
        assertEquals("", jbang("version").out());
        command(bin.resolve("locale"), "echo ISO-8859-15");
        assertEquals("", jbang("version").out());
    }

    @Test void whatJBangPrintsItselfIsPrintedAndItsExitCodeKept() throws IOException {
        fakeJava("printf '%s' \"out 'of' $*\"; exit 2");

        assertEquals(new Run(2, "out 'of' run nowhere\n", ""), jbang("run", "nowhere"));
    }

    @Test void stdinIsLeftToTheProgramThatJBangNames() throws IOException {
        fakeJava("echo cat; exit 255");
        stdin = "all of it";

        assertEquals(new Run(0, "all of it", ""), jbang("run", "x"));
    }

    Run jbang(String... args) {
        try {
            var out = temp.resolve("out");
            var err = temp.resolve("err");
            var in = Files.writeString(temp.resolve("in"), stdin);
            var process = builder(args).redirectInput(in.toFile()).redirectOutput(out.toFile())
                .redirectError(err.toFile()).start();
            assertTrue(process.waitFor(60, TimeUnit.SECONDS), "jbang did not end");
            return new Run(process.exitValue(), Files.readString(out), Files.readString(err));
        } catch (IOException | InterruptedException e) {
            throw new AssertionError(e);
        }
    }

    private ProcessBuilder builder(String... args) {
        var start = launcher != null ? launcher : project.resolve("jbang");
        var command = Stream.concat(Stream.of(start.toString()), Arrays.stream(args)).toList();
        var builder = new ProcessBuilder(command).directory((folder != null ? folder : project).toFile());
        builder.environment().clear();
        builder.environment().putAll(Map.of("PATH", path, "HOME", home.toString(),
            "JAVA_HOME", jdk.toString(), "JBANG_JAVA_OPTIONS", "-Xshare:auto -Duser.home=" + home));
        builder.environment().putAll(variables);
        return builder;
    }

    /** Writes a shell script and makes it a command. */
    static void command(Path file, String script) {
        try {
            Files.createDirectories(file.getParent());
            Files.writeString(file, "#!/bin/sh\n" + script + "\n");
            assertTrue(file.toFile().setExecutable(true));
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    /** Writes the project's catalog, as it is laid out in ours. */
    void offering(String... aliases) throws IOException {
        Files.writeString(project.resolve("jbang-catalog.json"), """
            {
              "description": "ask",
              "aliases": {
            %s
              },
              "templates": {
                "sheaf": {
                  "file-refs": {"{basename}.java": "ask.java"},
                  "properties": {
                    "model": {
                      "default": "ask"
                    }
                  }
                }
              }
            }
            """.formatted(Stream.of(aliases).map(alias -> "    \"" + alias + "\": {\n      \"script-ref\": \"" + alias
                + ".java\"\n    }").collect(Collectors.joining(",\n"))));
    }

    String catalog() { return project.resolve("jbang-catalog.json").toString(); }

    /** A JDK whose java is a shell script, with the arguments for JBang in $*; and a jar, for it to ignore. */
    void fakeJava(String script) throws IOException {
        jdk = temp.resolve("jdk");
        command(jdk.resolve("bin/javac"), "");
        command(jdk.resolve("bin/java"), "while [ \"$1\" != -jar ]; do shift; done; shift 2; " + script);
        Files.createDirectories(project.resolve(".jbang"));
        Files.createFile(project.resolve(".jbang").resolve(JAR));
    }

    /** The jar that ./jbang has fetched for this checkout; where JBang is installed there is none. */
    static Path realJar() {
        var jar = Project.root().resolve(".jbang").resolve(JAR);
        assumeTrue(Files.exists(jar), ".jbang/" + JAR + " is not here: JBang is installed");
        return jar;
    }

    static Stream<Path> onThePath(String tool) {
        return Arrays.stream(System.getenv("PATH").split(File.pathSeparator)).map(dir -> Path.of(dir, tool))
            .filter(Files::isExecutable).limit(1);
    }

    static List<String> listing(Path dir) {
        return List.of(dir.toFile().list());
    }
}
