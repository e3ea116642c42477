package sheaf;

import java.io.File;
import java.io.IOException;
import java.lang.ProcessBuilder.Redirect;
import java.nio.charset.StandardCharsets;

/** The terminal that output is read on: how wide it is, asked anew each time, for people resize it. */
final class Terminal {
    /** A program that hands its output to another, which shows it on a terminal, is told by this property on which. */
    static final String PROPERTY = "sheaf.terminal";
    private static final int DEFAULT_WIDTH = 100;              // in a file or a pipe
    private static final String WIDTH = "[1-9][0-9]{1,3}";

    private Terminal() {}

    /** Returns how many columns a line has: by {@code COLUMNS}, else by the terminal, whatever the input is. */
    static int width() {
        var columns = Environment.get("COLUMNS");
        if (!columns.matches(WIDTH)) columns = asked();
        return columns.matches(WIDTH) ? Integer.parseInt(columns) : DEFAULT_WIDTH;
    }

    /** Returns what the terminal says that standard output is; "" where that is none, or nobody can ask. */
    private static String asked() {
        var terminal = Environment.get(PROPERTY);
        try {
            var stty = new ProcessBuilder("sh", "-c", "test -t 1 && stty size <&1 >&2")
                .redirectOutput(terminal.isEmpty() ? Redirect.INHERIT : Redirect.appendTo(new File(terminal))).start();
            var rowsAndColumns = new String(stty.getErrorStream().readAllBytes(), StandardCharsets.US_ASCII).strip();
            return rowsAndColumns.replaceFirst(".* ", "");
        } catch (IOException noShell) {
            return "";
        }
    }
}
