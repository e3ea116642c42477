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
    static int width() { return width(DEFAULT_WIDTH); }

    /** Returns the same, or a width of one's own where there is no terminal. */
    static int width(int otherwise) {
        var columns = Environment.get("COLUMNS");
        if (!columns.matches(WIDTH)) columns = size().replaceFirst(".* ", "");
        return columns.matches(WIDTH) ? Integer.parseInt(columns) : otherwise;
    }

    /** Whether what is printed is drawn by one, which knows how to move its cursor. */
    static boolean isLive() { return !Environment.get("TERM").equals("dumb") && !size().isEmpty(); }

    /** Whether colours are seen and wanted. @see <a href="https://no-color.org">NO_COLOR</a> */
    static boolean isColoured() { return Environment.get("NO_COLOR").isEmpty() && isLive(); }

    /** Says a line on stderr in the place of one that is rewritten there at the moment. */
    static void say(String line) {
        boolean isRewritten = System.console() != null && !"dumb".equals(System.getenv("TERM"));
        System.err.println((isRewritten ? "\r\u001b[K" : "") + line);
    }

    /** Returns its rows and columns, as it says itself; "" where standard output is none, or nobody can ask. */
    private static String size() {
        var terminal = Environment.get(PROPERTY);
        try {
            var stty = new ProcessBuilder("sh", "-c", "test -t 1 && stty size <&1 >&2")
                .redirectOutput(terminal.isEmpty() ? Redirect.INHERIT : Redirect.appendTo(new File(terminal))).start();
            return new String(stty.getErrorStream().readAllBytes(), StandardCharsets.US_ASCII).strip();
        } catch (IOException noShell) {
            return "";
        }
    }
}
