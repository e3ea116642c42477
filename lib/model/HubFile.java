package sheaf.model;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.regex.MatchResult;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Any file of Hugging Face, named {@code owner/repository/file.gguf}. What it has to be, its SHA-256 and its size, the
 * hub says the first time; that is noted, so that later nobody is asked.
 */
record HubFile(String repository, String fileName) {
    private static final Pattern NAME = Pattern.compile("([\\w.-]+/[\\w.-]+)/((?:[\\w.-]+/)*[\\w.-]+\\.gguf)");
    private static final Pattern QUANTIZATION = Pattern.compile("(?i)[.-]((?:IQ|Q|MXFP|BF|F)\\d\\w*)\\.gguf$");
    private static final Pattern NOTE = Pattern.compile("([0-9a-f]{64}) (\\d+) (.*)\\R(.*)\\R");   // the name last

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

    /** Returns the files that were asked for before and are here, by their names. */
    static Map<String, ModelFile> allHere() {
        var files = new TreeMap<String, ModelFile>();
        for (var name : Optional.ofNullable(Search.folder().toFile().list()).orElse(new String[0]))
            if (name.endsWith(".note"))
                read(Search.folder().resolve(name)).flatMap(note -> named(note.group(4)))
                    .ifPresent(hub -> hub.noted().ifPresent(file -> files.put(hub.toString(), file)));
        return files;
    }

    private ModelFile file(String sha256, long bytes, String licence) {
        var quantization = QUANTIZATION.matcher(fileName);
        return new ModelFile(Path.of(fileName).getFileName().toString().replaceFirst("\\.gguf$", ""),
            quantization.find() ? quantization.group(1).toUpperCase(Locale.ROOT) : "GGUF",
            licence.replaceFirst("^licence (?!unknown)", ""), bytes, sha256,
            List.of(new HuggingFace(repository, "main", fileName)));
    }

    private Path note() {
        return Search.folder().resolve(toString().replace("/", "--") + ".note");
    }

    private Optional<ModelFile> noted() {
        return read(note()).map(note -> file(note.group(1), Long.parseLong(note.group(2)), note.group(3)))
            .filter(file -> new Search(file).isLikelyHere());   // what is to be fetched may be another by now
    }

    private static Optional<MatchResult> read(Path note) {
        try {
            return Optional.of(NOTE.matcher(Files.readString(note))).filter(Matcher::matches)
                .map(Matcher::toMatchResult);
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
            Files.writeString(note(), file.sha256() + " " + file.bytes() + " " + file.licence() + "\n" + this + "\n");
            return file;
        } catch (IOException e) {
            throw cannot(hub.name() + ": " + Machine.reason(e));
        }
    }

    @Override public String toString() { return repository + "/" + fileName; }

    private UncheckedIOException cannot(String why) {
        return new UncheckedIOException("start: there is no file " + this + ", neither here nor"
            + " where it could be asked for (" + why + "); check the name", new IOException(why));
    }
}
