package sheaf.commands;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.github.spencerpark.jupyter.kernel.DisplayStream;
import io.github.spencerpark.jupyter.kernel.display.DisplayData;
import java.io.ByteArrayOutputStream;
import java.io.OutputStream;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.UUID;

/**
 * What a cell says on stderr, in one grey block that is rewritten: Jupyter shows a stream in red, and every line of
 * a long wait. Of lines that begin alike, as those of a batch on its way do, the last stays.
 */
final class Notes extends OutputStream {
    private static final int SHOWN = 12;
    private final String id = UUID.randomUUID().toString();
    private final ByteArrayOutputStream line = new ByteArrayOutputStream();
    private final Map<String, String> lines = new LinkedHashMap<>();
    private final DisplayStream display;

    Notes(DisplayStream display) { this.display = display; }

    @Override public synchronized void write(int b) {
        if (b != '\n') line.write(b);
        else add(line.toString(UTF_8));
    }

    private void add(String text) {
        line.reset();
        var first = !lines.isEmpty();
        var isProgress = text.matches("\\S+ [a-z_]+( \\(.*\\))? \\d+/\\d+.*");
        var start = isProgress ? text.substring(0, text.indexOf(' ')) : text;
        lines.remove(start);
        lines.put(start, text);
        if (lines.size() > SHOWN) lines.remove(lines.keySet().iterator().next());
        if (first) display.updateDisplay(id, block());
        else display.display(block());
    }

    private DisplayData block() {
        var text = String.join("\n", lines.values());
        var block = new DisplayData(text);
        block.putHTML(html(text));
        block.setDisplayId(id);
        return block;
    }

    static String html(String text) {
        return "<pre style=\"opacity: .65; font-size: 85%; white-space: pre-wrap\">"
            + text.replace("&", "&amp;").replace("<", "&lt;") + "</pre>";
    }

    @Override public synchronized void close() {
        if (line.size() > 0) add(line.toString(UTF_8));
    }
}
