package sheaf;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.FileTime;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Objects;
import java.util.function.Consumer;

/** The log of steps that processes append to in turn; of very many it is long, so it is read again only if it grew. */
final class StepLog {
    private final Path file;
    private Seen seen;                                     // whose steps are taken; null: another has written more

    StepLog(Path file) { this.file = file; }

    /** The log at some time: while it is the same nobody has written to it. */
    private record Seen(long size, FileTime at, Object key) {
        static Seen of(Path file) {
            try {
                var now = Files.readAttributes(file, BasicFileAttributes.class);
                return new Seen(now.size(), now.lastModifiedTime(), now.fileKey());
            } catch (IOException none) {
                return new Seen(0, FileTime.fromMillis(0), null);
            }
        }

        /** Compares by hand: what a record brings for that costs a start some milliseconds. */
        boolean isSame(Seen other) {
            return other != null && size == other.size && at.equals(other.at) && Objects.equals(key, other.key);
        }
    }

    /**
     * Hands on all steps from the first, if another process has written some.
     * @param restart is run before, if so
     */
    void reload(Runnable restart, Consumer<JsonNode> take) {
        var now = Seen.of(file);
        if (!now.isSame(seen)) {
            restart.run();
            if (Files.exists(file)) Json.eachLine(file, take);
        }
        seen = now;
    }

    /** Writes a step of a part, and returns it. */
    JsonNode append(String step, int part, String field, Object value) {
        var line = Json.MAPPER.createObjectNode();
        line.put("at", Instant.now().truncatedTo(ChronoUnit.MILLIS).toString());
        line.put("step", step).put("part", part).set(field, Json.MAPPER.valueToTree(value));
        var bytes = Json.line(line);
        var before = Seen.of(file);
        AtomicFiles.append(file, bytes);
        var now = Seen.of(file);
        seen = before.isSame(seen) && now.size == before.size + bytes.length ? now : null;
        return line;
    }
}
