package sheaf.commands;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicInteger;
import jdk.jshell.JShell;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import sheaf.server.BatchServer;
import sheaf.support.Printed;

/** The command eval: a line of Java without a file. */
class EvalTest {
    static final JShell SHELL = sheaf.commands.eval.shell();            // shared, for each takes a second to start
    @AutoClose final BatchServer server = BatchServer.start();
    @TempDir Path home;

    private record Run(int status, String out, String err) {}

    @BeforeEach void environment() {
        System.setProperty("SHEAF_HOME", home.toString());
        System.setProperty("OPENAI_BASE_URL", server.baseUrl());
        System.setProperty("COLUMNS", "100");
    }

    @AfterEach void stop() {
        System.setProperty("OPENAI_BASE_URL", "");
        System.clearProperty("COLUMNS");
    }

    @Test void accuracySaysHowSureItIs() {
        var run = eval("batch().model(\"echo\").prompts(\"{{a}}\", rows(Map.of(\"a\", \"x\", \"label\", \"X\"), "
            + "Map.of(\"a\", \"y\", \"label\", \"z\"))).submit().results().accuracy(\"label\")");

        assertEquals("0.500 (95%: 0.095 to 0.905), 1 of 2\n", run.out(), run.err());
    }

    @Test void resultsAreShownAsATableWhereverTheDotsStand() {
        var run = eval("""
            batch()
                .model("echo")
                .prompts("{{value}}?", rows("one", "two"))
                .submit()
                .results()
            """);

        assertEquals("""
            id         value  result
            ---------  -----  ------
            request-1  one    one?
            request-2  two    two?
            2 succeeded; 2 tokens in, 2 out
            """, run.out(), run.err());
        assertEquals(0, run.status());
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', quoteCharacter = '\0', value = {
        "1 + 1 | 2\\n",
        "int twice(int n) { return 2 * n; } var n = 4; twice(n); | 8\\n",
        "batch().model(\"m\").prompts(\"Hi\") | Draft[m, 1 prompt]\\n",
        "models() | id    owned_by\\n----  --------\\necho  sheaf\\n",
        "List.of(Path.of(\"a\"), Duration.ofHours(1)) | [a, PT1H]\\n",
        "Batch none = null; none | ",
        "for (int i = 0; i < 2; i++) System.out.println(i) | 0\\n1\\n",
        "// nothing | "})
    void theLastValueIsPrinted(String code, String printed) {
        assertEquals(new Run(0, printed == null ? "" : printed.replace("\\n", "\n"), ""), eval(code));
    }

    @Test void severalArgumentsAndStandardInputAreOneProgram() {
        var before = System.in;
        System.setIn(new ByteArrayInputStream("var b = a + 1;\nb\n".getBytes(StandardCharsets.UTF_8)));
        try {
            assertEquals(new Run(0, "42\n", ""), eval("var a = 20;", "-", "2 * b"));
        } finally {
            System.setIn(before);
        }
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', quoteCharacter = '\0', value = {
        "1 + 1; batch().submit() | 1 | submit: no prompts; call prompts(text, data) first",
        "1 / 0 | 1 | eval: ArithmeticException: / by zero",
        "throw new Error() | 1 | eval: Error: null",
        "batch().modle(\"m\") | 2 | eval: line 1, column 8: cannot find symbol, symbol: method "
            + "modle(java.lang.String), location: class sheaf.Sheaf.Draft",
        "1;\\n  n + 1 | 2 | eval: line 2, column 3: cannot find symbol, symbol: variable n",
        "batch(\\n.model(\"m\") | 2 | eval: line 2, column 1: illegal start of expression",
        "batch().model(\"m\" | 2 | eval: line 1, column 18: reached end of file while parsing"})
    void aMistakeIsASentenceWithItsPlace(String code, int status, String sentence) {
        assertEquals(new Run(status, "", sentence + "\n"), eval(code.replace("\\n", "\n")));
    }

    @Test void withoutCodeItSaysWhatItTakes() {
        assertEquals(2, eval().status());
        assertTrue(eval().err().startsWith("eval: takes Java in quotes, such as 'models()'"));
        assertTrue(eval("--help").out().startsWith("eval: takes Java in quotes"));
    }

    private static Run eval(String... code) {
        var status = new AtomicInteger();
        var out = new String[1];
        var err = Printed.stderr(() -> out[0] = Printed.stdout(() -> {
            try {
                status.set(code.length == 0 || code[0].startsWith("--") ? sheaf.commands.eval.run(code)
                    : sheaf.commands.eval.run(SHELL, code));
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }));
        return new Run(status.get(), out[0], err.replaceAll("(?m)^(submitted|attached|batch_).*\n", ""));
    }
}
