///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Run the tests: all, those of a room such as client, or those whose Class#method contains an argument
//JAVA 17+
//RUNTIME_OPTIONS -XX:ReservedCodeCacheSize=192m
//DEPS org.junit.jupiter:junit-jupiter:5.14.4
//DEPS org.junit.platform:junit-platform-launcher:1.14.4
//DEPS org.postgresql:postgresql:42.7.14
//SOURCES client/*.java
//SOURCES server/*.java
//SOURCES model/*.java
//SOURCES commands/*.java
//SOURCES sharing/*.java
//SOURCES house/*.java
//SOURCES support/*.java
//SOURCES ../scripts/commands/ask.java
//SOURCES ../scripts/commands/clean.java
//SOURCES ../scripts/commands/eval.java
//SOURCES ../scripts/commands/excel.java
//SOURCES ../scripts/commands/rehearse.java
//SOURCES ../scripts/commands/sql.java
//SOURCES ../scripts/commands/steps.java
//SOURCES ../scripts/commands/tab.java
//SOURCES ../bench/ServerBench.java
//SOURCES ../bench/ClientBench.java
//SOURCES ../bench/LocalBench.java
//SOURCES ../bench/RunBench.java
//SOURCES ../bench/SlowLine.java
//SOURCES ../bench/ScaleBench.java
//SOURCES ../bench/ScaleClient.java
//SOURCES ../bench/ScaleServer.java
//SOURCES ../bench/Timed.java
//SOURCES ../lib/Sheaf.java
//SOURCES ../lib/BatchServer.java
//SOURCES ../lib/LocalModel.java
//SOURCES ../lib/Rehearsal.java
//SOURCES ../lib/Sql.java
//SOURCES ../lib/Excel.java

// The server's options leave 48 MB for compiled code, which the thousands of tests fill.
package sheaf;

import static org.junit.platform.engine.discovery.DiscoverySelectors.selectPackage;

import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import org.junit.platform.engine.FilterResult;
import org.junit.platform.engine.TestExecutionResult;
import org.junit.platform.engine.TestTag;
import org.junit.platform.engine.support.descriptor.ClassSource;
import org.junit.platform.engine.support.descriptor.MethodSource;
import org.junit.platform.launcher.PostDiscoveryFilter;
import org.junit.platform.launcher.TestExecutionListener;
import org.junit.platform.launcher.TestIdentifier;
import org.junit.platform.launcher.TestPlan;
import org.junit.platform.launcher.core.LauncherDiscoveryRequestBuilder;
import org.junit.platform.launcher.core.LauncherFactory;
import sheaf.support.Project;

/**
 * Runs the tests of this folder and closes with {@code N passed, N failed}; exits 1 if one failed or none ran.
 * Those with the tag "apart" drive processes, and neither read nor change what this JVM has but once, such as system
 * properties and stderr: they run one after the other, beside the others, which do so too. All that start JBang are
 * among them, for two that build the same script at once would spoil it.
 * <pre>
 *     ./jbang test
 *     ./jbang test client                  the tests in tests/client
 *     ./jbang test AwaitTest
 *     ./jbang test AwaitTest#resultsKeepPromptOrder
 * </pre>
 */
class RunTests {
    private static final Path TESTS = Project.root().resolve("tests");
    private static final String USAGE = """
        Usage: test [ROOM|CLASS[#METHOD]]...
        Runs all tests, those of a room such as client, or those whose Class#method contains an argument; the last line
        is N passed, N failed. Exit codes: 0 if all passed, 1 if one failed or none ran.
        """;
    private static final TestTag APART = TestTag.create("apart");

    public static void main(String... args) throws IOException, InterruptedException {
        if (List.of(args).contains("--help") || List.of(args).contains("-h")) {
            System.out.print(USAGE);
            return;
        }
        var home = Files.createTempDirectory("sheaf-tests");
        forgetTheUsersSettings();
        System.setProperty("SHEAF_HOME", home.toString());
        System.setProperty("SHEAF_SCRIPT", "");                         // a batch has its data's name alone
        System.setProperty("SHEAF_LAUNCHER", "");                       // no test starts a server unasked
        System.setProperty("TERM", "dumb");                             // what a test prints moves no cursor
        // else each answer of the JDK's server waits 40 ms for the client to acknowledge its headers
        System.setProperty("sun.net.httpserver.nodelay", "true");
        // seconds that a lost create is looked for, where no test says more
        System.setProperty("sheaf.late", "0.2");

        var words = List.of(args);
        var together = new Report();
        var apart = new Report();
        var other = new Thread(() -> run(true, words, apart));
        other.start();
        run(false, words, together);
        other.join();

        Project.deleteTree(home);
        System.exit(closed(together, apart, words) ? 0 : 1);            // whatever threads the tests left behind
    }

    private static void run(boolean isApart, List<String> words, Report report) {
        LauncherFactory.create().execute(LauncherDiscoveryRequestBuilder.request()
            .selectors(selectPackage("sheaf"))
            .filters(chosen(isApart, words))
            .configurationParameter("junit.jupiter.execution.timeout.default", "5 m")
            // In a thread of its own, a test that ignores interrupts is given up too.
            .configurationParameter("junit.jupiter.execution.timeout.thread.mode.default", "SEPARATE_THREAD")
            .build(), report);
    }

    /** Prints the closing line, which CI reads; returns whether all is well. */
    private static boolean closed(Report one, Report other, List<String> words) {
        int passed = one.passed + other.passed, failed = one.failed + other.failed;
        int skipped = one.skipped + other.skipped;
        if (passed + failed == 0)
            System.err.println("test: no test ran" + (words.isEmpty() ? "" : " for " + String.join(" ", words)));
        one.out.println(passed + " passed, " + failed + " failed"
            + (skipped == 0 ? "" : ", " + skipped + " skipped"));
        return passed > 0 && failed == 0;
    }

    /** A setting is read from the system property before the environment, and an empty one counts as not set. */
    private static void forgetTheUsersSettings() {
        for (var name : System.getenv().keySet())
            if (name.matches("(?i)(OPENAI|SHEAF)_.*|.*_API_KEY|(HTTPS?|NO)_PROXY|SSL_CERT_FILE")
                    && System.getProperty(name) == null)
                System.setProperty(name, "");
    }

    /** A class is kept, for one without tests is dropped anyway. */
    private static PostDiscoveryFilter chosen(boolean isApart, List<String> words) {
        return test -> FilterResult.includedIf(!(test.getSource().orElse(null) instanceof MethodSource method)
            || test.getTags().contains(APART) == isApart
                && (words.isEmpty() || words.stream().anyMatch(word -> isMeant(word, method))));
    }

    /** A word names a room, whose tests are the classes in the folder of that name, or stands in a test's own name. */
    private static boolean isMeant(String word, MethodSource method) {
        return isMeant(word, method.getClassName(), method.getMethodName());
    }

    static boolean isMeant(String word, String type, String method) {
        var room = TESTS.resolve(word);
        return word.matches("[a-z]+") && Files.isDirectory(room) ? Files.exists(room.resolve(file(type)))
            : name(type, method).contains(word);
    }

    private static String file(String type) {
        return type.replaceFirst(".*\\.", "").replaceFirst("\\$.*", "") + ".java";
    }

    private static String name(MethodSource method) {
        return name(method.getClassName(), method.getMethodName());
    }

    private static String name(String type, String method) { return shortName(type) + "#" + method; }

    /** Returns the name without its package. */
    private static String shortName(String type) {
        return type.substring(type.lastIndexOf('.') + 1).replace('$', '.');
    }

    private static final class Report implements TestExecutionListener {
        int passed, failed, skipped;
        private final PrintStream out = System.out;     // a test may replace that and be given up
        private TestPlan plan;
        private int before;             // tests that had run when the current class began
        private long started;           // in System.nanoTime()

        @Override public void testPlanExecutionStarted(TestPlan plan) {
            this.plan = plan;
        }

        @Override public void executionStarted(TestIdentifier test) {
            if (!isTopClass(test)) return;
            before = passed + failed;
            started = System.nanoTime();
        }

        @Override public void executionSkipped(TestIdentifier test, String reason) {
            skipped += tests(test);
            out.println("skipped " + title(test) + ": " + reason);
        }

        @Override public void executionFinished(TestIdentifier test, TestExecutionResult result) {
            switch (result.getStatus()) {
                case FAILED -> {        // a container fails by its own @BeforeAll or its like
                    failed++;
                    out.println("FAILED " + title(test) + "\n" + trimmed(result.getThrowable()));
                }
                case ABORTED -> executionSkipped(test, result.getThrowable().map(Throwable::getMessage).orElse(""));
                case SUCCESSFUL -> passed += test.isTest() ? 1 : 0;
            }
            if (isTopClass(test)) printLine(test);
        }

        private void printLine(TestIdentifier test) {
            double seconds = (System.nanoTime() - started) / 1e9;
            int tests = passed + failed - before;
            out.printf(Locale.ROOT, "%-28s %4d test%s %6.1f s%n", title(test), tests, tests == 1 ? " " : "s", seconds);
        }

        private boolean isTopClass(TestIdentifier test) {
            return plan.getParent(test).filter(engine -> engine.getParentId().isEmpty()).isPresent();
        }

        private int tests(TestIdentifier test) {
            return test.isTest() ? 1 : (int) plan.getDescendants(test).stream().filter(TestIdentifier::isTest).count();
        }

        private static String title(TestIdentifier test) {
            var source = test.getSource().orElse(null);
            if (source instanceof ClassSource type) return shortName(type.getClassName());
            if (!(source instanceof MethodSource method)) return test.getDisplayName();
            boolean plain = test.getDisplayName().equals(method.getMethodName() + "()");
            return name(method) + (plain ? "" : " " + test.getDisplayName());
        }

        /** Returns message and cause, with the frames of our own code only. */
        private static String trimmed(Optional<Throwable> thrown) {
            var text = new StringBuilder();
            for (Throwable t = thrown.orElse(null); t != null; t = t.getCause()) {
                text.append(text.length() == 0 ? "    " : "    caused by ").append(t).append('\n');
                for (var frame : t.getStackTrace())
                    if (frame.getClassName().startsWith("sheaf.") && !frame.getClassName().startsWith("sheaf.RunTests"))
                        text.append("        at ").append(frame.toString().replace("app//", "")).append('\n');
            }
            return text.toString();
        }
    }
}
