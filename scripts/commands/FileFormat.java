package sheaf.commands;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;

/** What a file holds: csv, jsonl or json, told by the end of its name or by its first bytes. */
final class FileFormat {
    private static final int START = 1 << 16;                  // bytes that are looked at
    private static final String BYTE_ORDER_MARK = "\u00ef\u00bb\u00bf";

    private FileFormat() {}

    /** Returns what stands behind the last dot of a name, in lower case; "" if there is none. */
    static String ending(String file) {
        return file.contains(".") ? file.replaceFirst("(?s).*\\.", "").toLowerCase(Locale.ROOT) : "";
    }

    /** Returns the format of a file that has no name to tell it; "" if the file is blank. */
    static String of(Path file) throws IOException {
        try (var in = Files.newInputStream(file)) {
            var start = new String(in.readNBytes(START), StandardCharsets.ISO_8859_1)
                .replaceFirst("^" + BYTE_ORDER_MARK, "").strip();
            if (start.isEmpty()) return "";
            return switch (start.charAt(0)) {
                case '{' -> "jsonl";
                case '[' -> "json";
                default -> "csv";
            };
        }
    }
}
