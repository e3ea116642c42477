package sheaf;

import static sheaf.Messages.clip;
import static sheaf.Messages.given;

import java.nio.charset.Charset;

/** The arguments of a command line, which reach Java in the charset of the machine, and may have lost letters there. */
public final class Arguments {
    private static final String SPOILED = "\ufffd";
    /** What JBang makes of a letter that it could not read: a question mark for each byte, and a letter has several. */
    private static final String PASSED_ON = "??";

    private Arguments() {}

    /**
     * Returns the arguments.
     * @throws IllegalArgumentException if one of them has lost letters: it would be sent, and paid, so
     */
    public static String[] whole(String... args) {
        return wholeIn(System.getProperty("sun.jnu.encoding", "UTF-8"), given("arguments", args));
    }

    static String[] wholeIn(String charset, String... args) {
        boolean isAscii = !Charset.forName(charset).newEncoder().canEncode('\u00e9');
        for (var arg : args)
            if (arg != null && (arg.contains(SPOILED) || isAscii && arg.contains(PASSED_ON)))
                throw new IllegalArgumentException("arguments: \"" + clip(arg, 60) + "\" has lost letters, for the "
                    + "charset here is " + charset + "; " + (isAscii ? "set LC_ALL=C.UTF-8, or " : "")
                    + "put the text into a file and give --template");
        return args;
    }
}
