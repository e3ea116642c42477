package sheaf;

import static sheaf.Messages.clip;
import static sheaf.Messages.given;

import java.nio.charset.Charset;

/** The arguments of a command line, which reach Java in the charset of the machine, and may have lost letters there. */
public final class Arguments {
    private static final String SPOILED = "\ufffd";

    private Arguments() {}

    /**
     * Returns the arguments.
     * @throws IllegalArgumentException if one of them has lost letters: it would be sent, and paid, so
     */
    public static String[] whole(String... args) {
        var charset = System.getProperty("sun.jnu.encoding", "UTF-8");
        boolean isAscii = !Charset.forName(charset).newEncoder().canEncode('\u00e9');
        for (var arg : given("arguments", args))
            if (arg != null && (arg.contains(SPOILED) || isAscii && arg.contains("??")))   // as JBang passes it on
                throw new IllegalArgumentException("arguments: \"" + clip(arg, 60) + "\" has lost letters, for the "
                    + "charset here is " + charset + "; " + (isAscii ? "set LC_ALL=C.UTF-8, or " : "")
                    + "put the text into a file and give --template");
        return args;
    }
}
