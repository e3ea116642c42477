package sheaf.support;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.time.Instant;
import java.util.Random;
import java.util.regex.Pattern;

/** Clocks that are set between two runs of a script: what was written down then seems long ago, or still to come. */
final class Clocks {
    private static final Pattern AT = Pattern.compile("\"at\":\"([^\"]+)\"");
    private static final int MOST_HOURS = 1_000;

    private Clocks() {}

    /** Sets the clock against all that the batches of this name have written down; nobody else writes meanwhile. */
    static void jump(Path home, String name, Random chance) {
        var batches = home.resolve("batches");
        if (!Files.isDirectory(batches)) return;
        var time = Duration.ofHours(chance.nextInt(2 * MOST_HOURS) - MOST_HOURS);
        try (var folders = Files.newDirectoryStream(batches, name + "-*")) {
            for (var folder : folders) shift(folder.resolve("steps.jsonl"), time);
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    private static void shift(Path steps, Duration time) throws IOException {
        if (!Files.exists(steps)) return;
        var shifted = AT.matcher(Files.readString(steps))
            .replaceAll(at -> "\"at\":\"" + Instant.parse(at.group(1)).plus(time) + "\"");
        var beside = Files.writeString(steps.resolveSibling("steps.shifted"), shifted);
        Files.move(beside, steps, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE);
    }
}
