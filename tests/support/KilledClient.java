package sheaf.support;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import sheaf.Sheaf;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Results;
import sheaf.Vocabulary.Outcome;

/** The script that {@link ClientKills} kills. It says on stdout where it is, so that the moment can be chosen. */
public final class KilledClient {
    public static final int ROWS = 25;
    public static final int PARTS = 5;
    public static final int LARGE_PART = 3;
    public static final int INCOMPLETE = 3;                    // the status to exit with if answers are missing

    private KilledClient() {}

    /**
     * Runs one batch and writes its results; the arguments are the provider's URL, the file for the results, the bytes
     * of a large prompt, how many parts may be in the provider's queue, and how often failed requests are sent again.
     */
    public static void main(String... args) throws IOException {
        int bytes = Integer.parseInt(args[2]);
        var provider = Provider.of(args[0]).limits(ROWS / PARTS, 100_000_000)
            .queue(Long.parseLong(args[3]), Long.MAX_VALUE);
        var batch = Sheaf.batch().provider(provider).name("killed").model("echo").quiet()
            .repair(Integer.parseInt(args[4]))
            .prompts("{{text}}", Sheaf.rows(() -> rows(bytes)))
            .submit();
        say("submitted");
        batch.await();
        say("ended");
        var results = batch.results();
        if (results.counts().containsKey(Outcome.MISSING)) System.exit(INCOMPLETE);
        write(results, Path.of(args[1]));
        say("written");
    }

    private static Stream<Map<String, Object>> rows(int bytes) {
        return IntStream.rangeClosed(1, ROWS).mapToObj(n -> {
            say("row " + n);
            return Map.of("n", n, "text", text(n, bytes));
        });
    }

    /** Returns the prompt of a row; those of the third part have so many bytes more. */
    public static String text(int row, int bytes) {
        boolean isLarge = (row - 1) / (ROWS / PARTS) + 1 == LARGE_PART;
        return "row " + row + " gr\u00fc\u00dfe\u2028" + (isLarge ? "x".repeat(bytes) : "");
    }

    private static void write(Results results, Path file) throws IOException {
        try (var out = new PrintWriter(Files.newBufferedWriter(file))) {
            for (var result : results) {
                out.print(line(result.row("n"), result.text()));
                say("result " + result.row("n"));
            }
        }
    }

    /** Returns what stands in the file for one row. */
    public static String line(Object n, String text) { return n + "\t" + text + "\n"; }

    private static void say(String where) { System.out.println(where); }
}
