///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Run a line of Java with Sheaf imported, and print its value
//SOURCES ../../lib/Sheaf.java

package sheaf.commands;

import static sheaf.Sheaf.*;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;
import jdk.jshell.Diag;
import jdk.jshell.EvalException;
import jdk.jshell.ExpressionSnippet;
import jdk.jshell.JShell;
import jdk.jshell.JShellException;
import jdk.jshell.Snippet;
import jdk.jshell.VarSnippet;
import jdk.jshell.execution.LocalExecutionControlProvider;
import sheaf.Arguments;

/** Public, because the code that it runs hands it the value. */
public class eval {
    private static final String USAGE = "eval: takes Java in quotes, such as 'models()', or - for standard input; "
        + "prints the value of the last statement";
    private static final List<String> IMPORTS = List.of("static sheaf.Sheaf.*", "sheaf.Sheaf.*", "java.io.*",
        "java.nio.file.*", "java.time.*", "java.util.*", "java.util.function.*", "java.util.stream.*");
    private final JShell shell;
    private String value = "null";                             // of the last statement, as Java

    private eval(JShell shell) { this.shell = shell; }

    public static void main(String... args) throws IOException { System.exit(run(args)); }

    static int run(String... args) throws IOException {
        if (args.length == 0 || args[0].matches("-h|--help")) {
            (args.length == 0 ? System.err : System.out).println(USAGE);
            return args.length == 0 ? 2 : 0;
        }
        try (var shell = shell()) {
            return run(shell, Arguments.whole(args));
        } catch (IllegalArgumentException spoiled) {
            return failed(2, spoiled.getMessage());
        }
    }

    static JShell shell() {
        var shell = JShell.builder().executionEngine(new LocalExecutionControlProvider(), Map.of())
            .compilerOptions("--class-path", System.getProperty("java.class.path")).build();
        IMPORTS.forEach(name -> shell.eval("import " + name + ";"));
        return shell;
    }

    static int run(JShell shell, String... args) throws IOException {
        var eval = new eval(shell);
        for (var code : args) {
            int status = eval.statements(code.equals("-") ? stdin() : code);
            if (status != 0) return status;
        }
        return eval.statement("", 0, "sheaf.commands.eval.print(" + eval.value + ");");
    }

    private static String stdin() throws IOException {
        return new String(System.in.readAllBytes(), StandardCharsets.UTF_8);
    }

    private int statements(String code) {
        int status = 0;
        for (var rest = code; status == 0 && !rest.isBlank(); ) {
            var next = shell.sourceCodeAnalysis().analyzeCompletion(rest);
            status = statement(code, code.length() - rest.length(), next.source() == null ? rest : next.source());
            rest = next.source() == null ? "" : next.remaining();
        }
        return status;
    }

    private int statement(String code, int start, String statement) {
        for (var event : shell.eval(statement)) {
            if (event.causeSnippet() != null) continue;        // an earlier one, seen anew
            if (event.exception() != null) return failed(1, sentence(event.exception()));
            if (event.status() == Snippet.Status.REJECTED) return failed(2, faults(code, start, event.snippet()));
            value = name(event.snippet());
        }
        return 0;
    }

    private static String name(Snippet snippet) {
        if (snippet instanceof VarSnippet variable) return variable.name();
        return snippet instanceof ExpressionSnippet expression ? expression.name() : "null";
    }

    private String faults(String code, int start, Snippet snippet) {
        return shell.diagnostics(snippet).filter(Diag::isError).map(fault -> {
            var before = code.substring(0, (int) Math.min(code.length(), start + fault.getPosition())) + "^";
            int column = before.length() - before.lastIndexOf('\n') - 1;
            return "eval: line " + before.lines().count() + ", column " + column + ": " + text(fault);
        }).collect(Collectors.joining("\n"));
    }

    private static String text(Diag fault) {
        return fault.getMessage(Locale.ROOT).replaceAll(" +", " ").lines().map(String::strip)
            .filter(line -> !line.equals("location: class")).collect(Collectors.joining(", "));
    }

    /** The library's errors are sentences; any other is named. */
    private static String sentence(JShellException e) {
        var message = String.valueOf(e.getMessage());
        if (!(e instanceof EvalException thrown)) return "eval: " + message;
        return message.matches("(?s)[a-zA-Z]+: .*") ? message : "eval: "
            + thrown.getExceptionClassName().replaceFirst(".*\\.", "") + ": " + message;
    }

    private static int failed(int status, String sentence) {
        System.err.println(sentence);
        return status;
    }

    /** Prints a value; results print as their table. */
    public static void print(Object value) {
        if (value instanceof Results results) results.show();
        else if (value != null) System.out.println(value);
    }
}
