package sheaf.model;

import static java.nio.file.StandardCopyOption.ATOMIC_MOVE;
import static java.nio.file.StandardCopyOption.REPLACE_EXISTING;

import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.CodeSource;
import java.util.Optional;

/**
 * Finds the jar of llama.cpp, and unpacks the shared library in it once: its own loader would do so at every start,
 * into a folder that others use too. It loads nothing into this JVM, and does not know the process that does.
 */
final class Natives {
    private Natives() { }

    static Path folder() { return Environment.sheafCache().resolve("natives"); }

    /** An empty folder, because the loader deletes what looks like its library in there. */
    static Path scratch() { return create(folder().resolve("scratch")); }

    /** The class that stands for the jar; not initialized, which would load the library into this JVM. */
    static Class<?> llama() {
        try {
            return Class.forName("de.kherud.llama.LlamaModel", false, Natives.class.getClassLoader());
        } catch (ClassNotFoundException e) {
            throw new IllegalStateException("start: there is no engine; put llama-server on the PATH"
                + " or de.kherud:llama on the class path, or name the URL of a running server", e);
        }
    }

    /** Returns the jar or folder that a class comes from. */
    static Path jar(Class<?> type) {
        return Optional.ofNullable(type.getProtectionDomain().getCodeSource())
            .map(CodeSource::getLocation)
            .map(location -> Path.of(URI.create(location.toString())))
            .orElseThrow(() -> new IllegalStateException("start: " + type.getName()
                + " comes from no jar or folder that a child process could read; put llama-server on the PATH"));
    }

    /** Returns the folder with the library for this machine. */
    static Path unpacked() {
        var library = System.mapLibraryName("jllama");
        var version = jar(llama()).getFileName().toString().replaceFirst("\\.jar$", "");
        var target = create(folder().resolve(version)).resolve(library);
        if (!Files.exists(target)) unpack("/de/kherud/llama/" + platform() + "/" + library, target);
        return target.getParent();
    }

    private static String platform() {
        var system = System.getProperty("os.name").split(" ")[0];
        var processor = System.getProperty("os.arch").replace("amd64", "x86_64");
        return system + "/" + processor;
    }

    private static void unpack(String resource, Path target) {
        try (var in = llama().getResourceAsStream(resource)) {
            if (in == null)
                throw new IllegalStateException("start: de.kherud:llama has no library for " + platform()
                    + "; put llama-server on the PATH or name the URL of a running server");
            var temporary = Files.createTempFile(target.getParent(), "unpack", ".tmp");
            Files.copy(in, temporary, REPLACE_EXISTING);
            Files.move(temporary, target, ATOMIC_MOVE);
        } catch (IOException e) {
            throw Failures.cannotWrite(target, e);
        }
    }

    private static Path create(Path folder) {
        try {
            return Files.createDirectories(folder);
        } catch (IOException e) {
            throw Failures.cannotWrite(folder, e);
        }
    }
}
