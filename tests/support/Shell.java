package sheaf.support;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import java.util.stream.Stream;
import jdk.jshell.JShell;
import jdk.jshell.Snippet;

/** JShell in this process, where what is pasted has to run. */
public final class Shell implements AutoCloseable {
    private final JShell shell = JShell.builder().executionEngine("local").build();

    public Shell(String... imports) {
        shell.addToClasspath(System.getProperty("java.class.path"));
        Stream.of(imports).forEach(this::run);
    }

    /** Runs one piece of code after the other, as a prompt or a cell of a notebook does. */
    public void run(String code) {
        for (var rest = code; !rest.isBlank(); ) {
            var piece = shell.sourceCodeAnalysis().analyzeCompletion(rest);
            var source = piece.source() == null ? rest : piece.source();
            for (var event : shell.eval(source)) {
                assertEquals(Snippet.Status.VALID, event.status(), () -> source + ": "
                    + shell.diagnostics(event.snippet()).map(fault -> fault.getMessage(null)).toList());
                assertNull(event.exception(), source);
            }
            rest = piece.source() == null ? "" : piece.remaining();
        }
    }

    @Override public void close() { shell.close(); }
}
