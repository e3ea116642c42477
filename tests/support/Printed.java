package sheaf.support;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.util.List;
import java.util.function.Consumer;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** What some work prints. */
public final class Printed {
    private static final Pattern BROKEN_OFF = Pattern.compile("\\S*\\.\\R *\\p{Lower}\\S*");

    private Printed() {}

    public static String stdout(Runnable work) { return during(work, System.out, System::setOut); }

    public static String stderr(Runnable work) { return during(work, System.err, System::setErr); }

    /** Returns what of a help nobody reads with ease: lines that are too long, and names broken off at their dot. */
    public static List<String> illegible(String help, int columns) {
        var broken = BROKEN_OFF.matcher(help).results().map(MatchResult::group);
        return Stream.concat(help.lines().filter(line -> line.length() > columns), broken).toList();
    }

    private static String during(Runnable work, PrintStream before, Consumer<PrintStream> set) {
        var bytes = new ByteArrayOutputStream();
        set.accept(new PrintStream(bytes, true, UTF_8));
        try {
            work.run();
        } finally {
            set.accept(before);
        }
        return bytes.toString(UTF_8).replace("\r\n", "\n");
    }
}
