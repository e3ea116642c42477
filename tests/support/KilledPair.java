package sheaf.support;

import java.util.stream.Collectors;
import java.util.stream.IntStream;
import sheaf.Sheaf;
import sheaf.Sheaf.Provider;

/** The script of two providers that is killed: it prints each row's answer. */
public final class KilledPair {
    public static final int ROWS = 6;

    private KilledPair() {}

    /**
     * Runs one batch; the arguments are the first provider's URL, the second's, and how they share the work: {@code
     * fallback} or {@code shares}.
     */
    public static void main(String... args) {
        var draft = Sheaf.batch().name("killed").model("echo").quiet();
        var both = args[2].equals("shares")
            ? draft.providers(Sheaf.share(args[0], 0.5), Sheaf.share(args[1], 0.5).model("other"))
            : draft.provider(Provider.of(args[0]).limits(1, 10_000).queue(1, Long.MAX_VALUE))
                .fallback(args[1], "other");
        var results = both
            .prompts("{{value}}", Sheaf.rows(IntStream.rangeClosed(1, ROWS).mapToObj(n -> "row " + n).toList()))
            .submit().results();
        System.out.println(results.stream().map(result -> result.row("value") + "=" + result.text())
            .collect(Collectors.joining(" ")));
    }
}
