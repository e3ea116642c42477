package sheaf.model;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Pattern;

/** The last lines that an engine printed, and what they tell of its trouble. It does not know the process. */
final class EngineLog {
    private static final int KEPT_LINES = 40;
    private static final int SHOWN_LINES = 2;
    private static final Pattern TROUBLE =
        Pattern.compile("error|fail|cannot|unable|terminate called|what\\(\\)|SIG[A-Z]+", Pattern.CASE_INSENSITIVE);
    private static final Map<String, String> CURES = Map.of(
        "libgomp", "install the package libgomp1 (Debian, Ubuntu) or libgomp (Fedora, Alpine)",
        "libstdc++", "install the package libstdc++6 (Debian, Ubuntu) or libstdc++ (Fedora)",
        "dependent libraries", "install the Visual C++ redistributable of Microsoft",
        "SIGILL", "this CPU lacks AVX2, so put a llama-server built for it on the PATH",
        "unknown model architecture", "put a newer llama-server on the PATH");

    private final Deque<String> lines = new ArrayDeque<>();

    synchronized void add(String line) {
        lines.addLast(line.strip());
        if (lines.size() > KEPT_LINES) lines.removeFirst();
    }

    private synchronized List<String> lines() { return List.copyOf(lines); }

    /** Returns what sounds like trouble, the cause before its consequences; empty if nothing does. */
    Optional<String> trouble() {
        var trouble = lines().stream().filter(TROUBLE.asPredicate()).limit(SHOWN_LINES).toList();
        return trouble.isEmpty() ? Optional.empty() : Optional.of(String.join(" | ", trouble));
    }

    /** Returns what to do about it. */
    String cure() {
        var said = String.join(" ", lines());
        return CURES.entrySet().stream()
            .filter(cure -> said.contains(cure.getKey()))
            .map(Map.Entry::getValue)
            .findFirst()
            .orElse("name the URL of a running server instead");
    }
}
