package sheaf.sharing;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.support.Notebook.code;
import static sheaf.support.Notebook.shown;
import static sheaf.support.Notebook.text;
import static sheaf.support.Notebook.tour;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;
import jdk.jshell.ExpressionSnippet;
import jdk.jshell.JShell;
import jdk.jshell.Snippet;
import jdk.jshell.SnippetEvent;
import jdk.jshell.SourceCodeAnalysis.CompletionInfo;
import jdk.jshell.VarSnippet;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Findings.Comparison;
import sheaf.Listings.Groups;
import sheaf.Listings.Listing;
import sheaf.Outlook.Preview;
import sheaf.Sheaf.Data;
import sheaf.support.Printed;

/** The notebook shows what its cells give, in JShell. */
class NotebookTest {
    static final String LAST = "sheaf.tests.last";
    @TempDir static Path dir;

    @BeforeAll static void ownHome() { System.setProperty("SHEAF_HOME", dir.resolve("home").toString()); }

    @AfterAll static void forget() { System.getProperties().remove(LAST); }

    @Test void theTourIsANotebookOfTheKernelWithTextAroundItsCells() throws IOException {
        var tour = tour();

        assertEquals("sheaf", tour.at("/metadata/kernelspec/name").asText());
        assertTrue(tour.path("nbformat").asInt() == 4 && tour.path("cells").size() > 20);
        assertTrue(code(tour).size() >= 8 && code(tour).size() <= 14, "" + code(tour).size());
        assertFalse(tour.toString().matches("(?s).*(/tmp|/root|/home|sk-)[/a-z0-9].*"), "of the machine it ran on");
        for (var cell : code(tour))
            for (var line : text(cell.path("source")).lines().toList()) assertTrue(line.length() <= 100, line);
    }

    @Test void everyCellGivesInJShellWhatTheNotebookShows() throws IOException {
        try (var shell = JShell.builder().executionEngine("local").build()) {
            for (var name : List.of("java.io.*", "java.nio.file.*", "java.util.*", "java.util.stream.*", "sheaf.Sheaf",
                "static sheaf.Sheaf.*", "sheaf.server.BatchServer"))
                run(shell, "import " + name + ";");

            for (var cell : code(tour())) {
                var printed = Printed.stdout(() -> Printed.stderr(() -> run(shell, text(cell.path("source")))));
                var value = System.getProperties().remove(LAST);

                assertEquals(shown(cell, "stream", "/text"), printed);
                assertEquals(shown(cell, "execute_result", "/data/text~1plain"), value == null ? "" : value.toString());
                assertEquals(shown(cell, "execute_result", "/data/text~1html"), html(value));
            }
        }
    }

    /** Runs a cell as a kernel does, snippet by snippet, and keeps the value of the last one. */
    private static void run(JShell shell, String cell) {
        CompletionInfo next;
        SnippetEvent last = null;
        for (var rest = cell; !rest.isBlank(); rest = next.remaining()) {
            next = shell.sourceCodeAnalysis().analyzeCompletion(rest);
            assertTrue(next.completeness().isComplete(), rest);
            for (var event : shell.eval(next.source())) {
                assertTrue(event.exception() == null && event.status() == Snippet.Status.VALID,
                    () -> fault(event, shell));
                last = event;
            }
        }
        System.getProperties().remove(LAST);
        var hasValue = last != null && last.snippet().subKind().hasValue() && !cell.strip().endsWith(";");
        if (hasValue) shell.eval("System.getProperties().put(\"" + LAST + "\", " + name(last.snippet()) + ");");
    }

    private static String name(Snippet snippet) {
        return snippet instanceof VarSnippet variable ? variable.name() : ((ExpressionSnippet) snippet).name();
    }

    private static String fault(SnippetEvent event, JShell shell) {
        return event.snippet().source() + "\n" + event.exception() + shell.diagnostics(event.snippet())
            .map(fault -> fault.getMessage(null)).collect(Collectors.joining("; "));
    }

    /** What the kernel has HTML of can say it. */
    private static String html(Object value) {
        if (value instanceof Data data) return data.toHtml();
        if (value instanceof Preview preview) return preview.toHtml();
        if (value instanceof Groups<?, ?> groups) return groups.toHtml();
        if (value instanceof Comparison comparison) return comparison.toHtml();
        return value instanceof Listing<?> listing ? listing.toHtml() : "";
    }
}
