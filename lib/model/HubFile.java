package sheaf.model;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.regex.Pattern;

/**
 * Any file of Hugging Face, named {@code owner/repository/file.gguf}. What it has to be, its SHA-256 and its size, the
 * hub says the first time; that is noted, so that later nobody is asked.
 */
record HubFile(String repository, String fileName) {
    private static final Pattern NAME = Pattern.compile("([\\w.-]+/[\\w.-]+)/((?:[\\w.-]+/)*[\\w.-]+\\.gguf)");
    private static final Pattern QUANTIZATION = Pattern.compile("(?i)[.-]((?:IQ|Q|MXFP|BF|F)\\d\\w*)\\.gguf$");
    private static final Pattern NOTE = Pattern.compile("([0-9a-f]{64}) (\\d+) (.*)\\R?");

    /** Returns the file of that name; empty if no file of the hub is called so. */
    static Optional<HubFile> named(String name) {
        return Optional.of(NAME.matcher(name)).filter(match -> match.matches())
            .map(match -> new HubFile(match.group(1), match.group(2)));
    }

    /**
     * Returns what the file is: as noted, as the cache of huggingface_hub has it, or as the hub says.
     * @throws UncheckedIOException if neither does
     * @throws IllegalStateException if the engine cannot load it
     */
    ModelFile find() {
        return noted().or(this::inCache).orElseGet(this::look);
    }

    private ModelFile file(String sha256, long bytes, String licence) {
        var quantization = QUANTIZATION.matcher(fileName);
        return new ModelFile(Path.of(fileName).getFileName().toString().replaceFirst("\\.gguf$", ""),
            quantization.find() ? quantization.group(1).toUpperCase(Locale.ROOT) : "GGUF", licence, bytes, sha256,
            List.of(new HuggingFace(repository, "main", fileName)));
    }

    private Path note() {
        return Search.folder().resolve((repository + "/" + fileName).replace("/", "--") + ".note");
    }

    private Optional<ModelFile> noted() {
        try {
            return Optional.of(NOTE.matcher(Files.readString(note()))).filter(match -> match.matches())
                .map(match -> file(match.group(1), Long.parseLong(match.group(2)), match.group(3)));
        } catch (IOException none) {
            return Optional.empty();
        }
    }

    /** A content is called by its SHA-256 there; whether it is that, the search finds out. */
    private Optional<ModelFile> inCache() {
        return Caches.snapshots(repository, fileName).map(HubFile::content)
            .filter(content -> content.getFileName().toString().matches("[0-9a-f]{64}")).findFirst()
            .map(content -> file(content.getFileName().toString(), content.toFile().length(),
                Gguf.read(content).licence()));
    }

    private static Path content(Path link) {
        try {
            return link.toRealPath();
        } catch (IOException gone) {
            return link;
        }
    }

    private ModelFile look() {
        if (Search.isOffline()) throw cannot(Search.OFFLINE);
        var hub = new HuggingFace(repository, "main", fileName);
        try {
            var facts = hub.look();
            var file = file(facts.sha256(), facts.bytes(), facts.header().licence());
            Architecture.of(facts.header()).check(file.name());
            Files.createDirectories(Search.folder());
            Files.writeString(note(), file.sha256() + " " + file.bytes() + " " + file.licence() + "\n");
            return file;
        } catch (IOException e) {
            throw cannot(hub.name() + ": " + Machine.reason(e));
        }
    }

    private UncheckedIOException cannot(String why) {
        return new UncheckedIOException("start: there is no file " + repository + "/" + fileName + ", neither here nor"
            + " where it could be asked for (" + why + "); check the name", new IOException(why));
    }
}
