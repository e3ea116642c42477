package sheaf.model;

import java.nio.file.Path;
import java.util.List;
import java.util.OptionalInt;

/**
 * What a worker JVM and the process that starts it agree on. It does not know how either does its part.
 * <ol>
 * <li>The parent runs {@link Worker} with three arguments: the file of the weights, the slots, the tokens in a slot.
 * <li>Once the worker can answer it prints a line that ends in {@code sheaf: ready on port 40123}. All else that it
 *     prints, on either stream, is for people.
 * <li>On that port of the loopback it answers POST to the two paths below, in OpenAI's JSON.
 * <li>If it cannot start, it prints why and ends with exit code 1.
 * <li>The parent writes nothing to the worker's standard input. Its end means that the parent has ended, however it
 *     did, and the worker ends at once with exit code 0.
 * <li>The parent ends a worker by killing it: there is nothing to save.
 * </ol>
 */
final class WorkerProtocol {
    static final String CHAT = "/v1/chat/completions";
    static final String COMPLETION = "/v1/completions";
    static final int COULD_NOT_START = 1;
    static final int PARENT_ENDED = 0;
    private static final String READY = "sheaf: ready on port ";

    private WorkerProtocol() { }

    /** What a worker is told on its command line. */
    record Arguments(Path weights, int slots, int context) {
        static Arguments of(String... args) {
            return new Arguments(Path.of(args[0]), Integer.parseInt(args[1]), Integer.parseInt(args[2]));
        }

        List<String> toList() { return List.of(weights.toString(), "" + slots, "" + context); }
    }

    /** Returns the line that says where the worker answers, after a break: llama.cpp may have left a line unended. */
    static String readyLine(int port) { return "\n" + READY + port; }

    /** Returns the port, if this is the line that says it. */
    static OptionalInt portIn(String line) {
        int at = line.indexOf(READY);
        return at < 0 ? OptionalInt.empty() : OptionalInt.of(Integer.parseInt(line.substring(at + READY.length())));
    }
}
