package sheaf.model;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.function.BiPredicate;
import java.util.stream.Stream;

/** Where other tools keep models on this machine, each by its own rules; nothing is written there. */
final class Caches {
    private static final int FOLDERS_DEEP = 6;   // below the cache of a tool

    private Caches() { }

    /** Returns the files of exactly so many bytes; what cannot be looked into holds none. */
    static Stream<Path> filesOf(long bytes) {
        return folders().flatMap(folder -> files(folder, (file, attributes) ->
            attributes.isRegularFile() && attributes.size() == bytes));
    }

    /** Returns the files of that name that huggingface_hub has of a repository; each is a link to a content's own. */
    static Stream<Path> snapshots(String repository, String fileName) {
        var snapshots = huggingFace().resolve("models--" + repository.replace("/", "--")).resolve("snapshots");
        return files(snapshots, (file, attributes) -> file.endsWith(fileName) && Files.isRegularFile(file));
    }

    private static Stream<Path> files(Path folder, BiPredicate<Path, BasicFileAttributes> wanted) {
        try (var files = Files.find(folder, FOLDERS_DEEP, wanted)) {
            return files.toList().stream();
        } catch (IOException | UncheckedIOException absentOrClosed) {
            return Stream.empty();
        }
    }

    private static Stream<Path> folders() {
        var home = Machine.home();
        var localAppData = Machine.setting("LOCALAPPDATA").map(Path::of).orElse(home.resolve("AppData/Local"));
        var llama = Machine.setting("LLAMA_CACHE").map(Path::of).orElse(Machine.userCache().resolve("llama.cpp"));
        var ollama = Machine.setting("OLLAMA_MODELS").map(Path::of).orElse(home.resolve(".ollama/models"));
        return Stream.of(huggingFace(),
            llama, home.resolve("Library/Caches/llama.cpp"), localAppData.resolve("llama.cpp"),
            ollama.resolve("blobs"), Path.of("/usr/share/ollama/.ollama/models/blobs"),   // Linux's service
            home.resolve(".lmstudio/models"), home.resolve(".cache/lm-studio/models"));
    }

    /** The folder of huggingface_hub. */
    private static Path huggingFace() {
        return Machine.setting("HF_HUB_CACHE").or(() -> Machine.setting("HUGGINGFACE_HUB_CACHE")).map(Path::of)
            .orElseGet(() -> Machine.setting("HF_HOME").map(Path::of)
                .orElseGet(() -> Machine.userCache().resolve("huggingface")).resolve("hub"));
    }
}
