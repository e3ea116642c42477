package sheaf;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Result;
import sheaf.Sheaf.Results;

/** A script that {@link ClientKills} kills. It says on stdout where it is, so that the moment can be chosen. */
final class KilledClient {
    static final int ROWS = 25;
    static final int PARTS = 5;

    /** Runs one batch; the arguments are the provider's URL, the file for the results and the bytes of a prompt. */
    public static void main(String... args) throws IOException {
        int bytes = Integer.parseInt(args[2]);
        Provider provider = Provider.of(args[0]).limits(ROWS / PARTS, 100_000_000);
        var batch = Sheaf.batch().provider(provider).name("killed").model("echo").quiet()
            .prompts("{{text}}", Sheaf.rows(() -> rows(bytes)))
            .submit();
        say("submitted");
        batch.await();
        say("ended");
        write(batch.results(), Path.of(args[1]));
        say("written");
    }

    private static Stream<Map<String, Object>> rows(int bytes) {
        return IntStream.rangeClosed(1, ROWS).mapToObj(n -> {
            say("row " + n);
            return Map.of("n", n, "text", text(n, bytes));
        });
    }

    /** Returns the prompt of a row. */
    static String text(int row, int bytes) {
        return "row " + row + " grüße ".repeat(bytes / 9);
    }

    private static void write(Results results, Path file) throws IOException {
        try (PrintWriter out = new PrintWriter(Files.newBufferedWriter(file))) {
            for (Result result : results) {
                out.print(result.row("n") + "\t" + result.text() + "\n");
                say("result " + result.row("n"));
            }
        }
    }

    private static void say(String where) {
        System.out.println(where);
    }
}
