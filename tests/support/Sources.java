package sheaf.support;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;

/** The lines at the head of a source that tell JBang what comes along with it. */
public final class Sources {
    private Sources() {}

    /** Returns a script and all the sources that it takes in, each once, whether or not there is such a file. */
    public static Set<Path> closure(Path script) {
        var found = new LinkedHashSet<Path>();
        add(script.normalize(), found);
        return found;
    }

    private static void add(Path source, Set<Path> found) {
        if (!found.add(source) || Files.notExists(source)) return;
        for (var word : words(source, "SOURCES|DEPS"))
            if (word.matches(".*\\.(java|jsh)")) add(source.resolveSibling(word).normalize(), found);
    }

    /** Returns the files of a source: where each is found at run time, and where it comes from. */
    public static Map<String, Path> files(Path source) {
        var files = new LinkedHashMap<String, Path>();
        for (var word : words(source, "FILES")) {
            var file = source.resolveSibling(word.replaceFirst(".*=", "")).normalize();
            var target = word.contains("=") ? word.replaceFirst("=.*", "") : file.getFileName().toString();
            files.put(target.endsWith("/") ? target + file.getFileName() : target, file);
        }
        return files;
    }

    /** Returns what stands behind a directive, such as SOURCES, or one of several: SOURCES|DEPS. */
    public static List<String> words(Path source, String directives) {
        return Pattern.compile("(?m)^//(?:" + directives + ") +(.+)$").matcher(text(source)).results()
            .flatMap(line -> Arrays.stream(line.group(1).trim().split("\\s+"))).toList();
    }

    public static String text(Path source) {
        try {
            return Files.readString(source).replace("\r\n", "\n");
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
