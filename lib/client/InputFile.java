package sheaf;

import static sheaf.Messages.cannot;
import static sheaf.Messages.given;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.URL;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.Optional;
import java.util.function.UnaryOperator;

/** A file that the user named: on disk, else on the class path, where a recipe from a URL carries its own. */
record InputFile(String word, String name, Path path, URL resource) {
    /** A file, and how it is read. */
    interface Format {
        InputFile input();
    }

    static InputFile find(String word, String name) {
        return locate(word, name).orElseThrow(() -> new IllegalArgumentException(
            word + ": " + (isPath(name) && Files.isDirectory(Path.of(name)) ? name + " is a folder; name a file in it"
                : "no file " + name + " (looked at " + absolute(name) + ")")));
    }

    static Optional<InputFile> locate(String word, String name) {
        if (given(word, name).isBlank() || !isPath(name)) return Optional.empty();
        var path = Path.of(name);
        if (Files.exists(path) && !Files.isDirectory(path)) {
            var shown = name.equals(Environment.get("sheaf.stdin")) ? "standard input" : name;
            return Optional.of(new InputFile(word, shown, path, null));
        }
        var resource = path.isAbsolute() || Files.isDirectory(path) ? null
            : InputFile.class.getResource("/" + name.replace('\\', '/'));
        return resource == null || resource.getPath().endsWith("/") ? Optional.empty()
            : Optional.of(new InputFile(word, name, null, resource));
    }

    static boolean isPath(String name) {
        try {
            return Path.of(name).getFileName() != null;
        } catch (InvalidPathException e) {
            return false;
        }
    }

    private static String absolute(String name) {
        return isPath(name) ? Path.of(name).toAbsolutePath().normalize().toString() : "it as a path";
    }

    InputStream open() {
        try {
            return path == null ? resource.openStream() : Files.newInputStream(path);
        } catch (IOException e) {
            throw cannotRead(e);
        }
    }

    String text() {
        try (var in = open()) {
            return Lines.strictUtf8(ByteBuffer.wrap(in.readAllBytes()));
        } catch (CharacterCodingException e) {
            throw notUtf8(e);
        } catch (IOException e) {
            throw cannotRead(e);
        }
    }

    boolean isAt(Path other) {
        try {
            return path != null && Files.exists(other) && Files.isSameFile(path, other);
        } catch (IOException unknown) {
            return path.toAbsolutePath().normalize().equals(other.toAbsolutePath().normalize());
        }
    }

    String fileName() { return (path == null ? Path.of(name) : path).getFileName().toString(); }

    IllegalArgumentException fault(long line, String what, Throwable cause) {
        return new IllegalArgumentException(word + ": " + name + " line " + line + ": " + what, cause);
    }

    IllegalArgumentException notUtf8(Throwable cause) {
        return notIn(StandardCharsets.UTF_8, another -> "save the file as UTF-8", cause);
    }

    /**
     * Names the first line that is no text in this charset; the decoder itself knows no lines.
     * @param remedy what to do, by the charset that the file itself tells; "": it tells none
     */
    IllegalArgumentException notIn(Charset charset, UnaryOperator<String> remedy, Throwable cause) {
        try (var in = open()) {
            var encoding = new Encoding(in, charset);
            var another = encoding.looksLikeUtf8() ? "UTF-8" : encoding.another().orElse("");
            return fault(encoding.faultyLine(), (another.isEmpty() ? "" : another + ", ") + "not " + charset.name()
                + "; " + remedy.apply(another), cause);
        } catch (IOException e) {
            throw cannotRead(e);
        }
    }

    private UncheckedIOException cannotRead(IOException e) {
        return cannot(word, "read " + name, e);
    }
}
