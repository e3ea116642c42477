package sheaf.server;

import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.IntStream;

/** The name that a slip of one was meant to be. */
final class NearName {
    private NearName() {}

    /** Returns the name that was meant, as the end of a sentence; nothing if none of these is near. */
    static String of(String slip, List<String> names) {
        return nearest(slip, names).map(name -> "; did you mean " + name + "?").orElse("");
    }

    private static Optional<String> nearest(String slip, List<String> names) {
        var given = slip.toLowerCase(Locale.ROOT);
        return names.stream().filter(name -> !given.isEmpty() && isNear(given, name.toLowerCase(Locale.ROOT)))
            .min(Comparator.comparing(name -> distance(given, name.toLowerCase(Locale.ROOT))));
    }

    private static boolean isNear(String slip, String name) {
        return name.contains(slip) || slip.contains(name)
            || distance(slip, name) <= Math.min(3, Math.min(slip.length(), name.length()) / 2);
    }

    /** Levenshtein's: how many letters to add, drop or change. */
    private static int distance(String a, String b) {
        var row = IntStream.rangeClosed(0, b.length()).toArray();
        for (int i = 1; i <= a.length(); i++) {
            int before = row[0]++;
            for (int j = 1; j <= b.length(); j++) {
                int change = before + (a.charAt(i - 1) == b.charAt(j - 1) ? 0 : 1);
                before = row[j];
                row[j] = Math.min(change, Math.min(row[j - 1], row[j]) + 1);
            }
        }
        return row[b.length()];
    }
}
