package sheaf.support;

import java.util.stream.Collectors;
import java.util.stream.IntStream;
import sheaf.Sheaf;
import sheaf.Sheaf.Provider;

/** The script of two providers that is killed: it prints each row's answer. */
public final class KilledPair {
    public static final int ROWS = 6;

    private KilledPair() {}

    /** Runs one batch; the arguments are the first provider's URL, the second's, and how many parts the first takes. */
    public static void main(String... args) {
        var first = Provider.of(args[0]).limits(1, 10_000).queue(Long.parseLong(args[2]), Long.MAX_VALUE);
        var results = Sheaf.batch().provider(first).fallback(args[1], "other").name("killed").model("echo").quiet()
            .prompts("{{value}}", Sheaf.rows(IntStream.rangeClosed(1, ROWS).mapToObj(n -> "row " + n).toList()))
            .submit().results();
        System.out.println(results.stream().map(result -> result.row("value") + "=" + result.text())
            .collect(Collectors.joining(" ")));
    }
}
