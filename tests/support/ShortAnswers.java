package sheaf.support;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.Random;
import sheaf.server.BatchServer.Fault;

/**
 * Cuts every second answer file of a server at a line's end, with a length that fits: at the same place each time, and
 * more often in a row than one look asks for it.
 */
final class ShortAnswers {
    private static final int ONE_LOOK = 9;                 // downloads: three of three, which come alike
    private final Path store;
    private final Random chance;
    private final Map<String, Long> ends = new HashMap<>();      // by request, in bytes
    private final Map<String, Integer> left = new HashMap<>();   // downloads that are yet to be cut, likewise

    ShortAnswers(Path store, Random chance) {
        this.store = store;
        this.chance = chance;
    }

    /** Returns how a request goes wrong, or null if it does not. */
    synchronized Fault fault(String request) {
        if (!request.matches("GET /v1/files/[^/]+/content")) return null;
        if (!ends.containsKey(request)) choose(request);
        return left.merge(request, -1, Integer::sum) < 0 ? null : Fault.shortened(ends.get(request));
    }

    private void choose(String request) {
        var content = content(store, request.split("/")[3]);
        int lines = (int) content.chars().filter(c -> c == '\n').count();
        ends.put(request, end(content, chance.nextInt(Math.max(1, lines))));
        left.put(request, ends.size() % 2 * (ONE_LOOK + chance.nextInt(ONE_LOOK)));
    }

    /** Returns where the nth line of a text ends; 0 for none, -1 if there are not so many. */
    static long end(String content, int line) {
        int at = 0;
        for (int i = 0; i < line; i++)
            if ((at = content.indexOf('\n', at) + 1) == 0) return -1;
        return at;
    }

    /** Returns a file as it is sent, one character a byte; some dialects have lines of their own beside the record. */
    static String content(Path store, String id) {
        var path = store.resolve("files").resolve(id);
        var shown = path.resolveSibling(id + ".shown");
        try {
            return Files.readString(Files.exists(shown) ? shown : path, ISO_8859_1);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
