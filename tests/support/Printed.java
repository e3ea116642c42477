package sheaf.support;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.util.function.Consumer;

/** What some work prints. */
public final class Printed {
    private Printed() {}

    public static String stdout(Runnable work) { return during(work, System.out, System::setOut); }

    public static String stderr(Runnable work) { return during(work, System.err, System::setErr); }

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
