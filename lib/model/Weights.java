package sheaf.model;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.function.BiPredicate;

/**
 * The weights of a model: a GGUF file, what to call it, what tells it from others. It does not know what program runs
 * it.
 */
record Weights(String name, String details, Path file, Gguf header, String fingerprint) {
    private static final String DEFAULT = "medium";

    /** What is meant where nothing is named: what SHEAF_LOCAL_MODEL says, else a medium size. */
    static String usual() { return Machine.setting("SHEAF_LOCAL_MODEL").orElse(DEFAULT); }

    /** Gets the weights that a user names; somebody at a terminal is asked before they are fetched. */
    static Weights of(String wish) { return of(wish, Choice::ask); }

    /**
     * Gets the weights that a user names.
     * @param wish a size or the name of a known model, a GGUF file, or owner/repository/file.gguf at Hugging Face
     * @throws IllegalArgumentException if it is none of these
     * @throws IllegalStateException if this machine cannot run them
     */
    static Weights of(String wish, BiPredicate<ModelFile, Download> consent) {
        var wished = KnownModels.wished(wish);
        if (wished.isEmpty() && Files.isRegularFile(Path.of(wish))) return inFile(Path.of(wish).toAbsolutePath());
        if (wished.isEmpty()) wished = List.of(List.of(atHub(wish).find()));
        var found = new Choice(wished, Machine.freeMemory(), consent).take();
        return checked(new Weights(found.model().name(), found.model().details(), found.file(),
            Gguf.read(found.file()), found.model().sha256()));
    }

    private static HubFile atHub(String wish) {
        return HubFile.named(wish).orElseThrow(() -> new IllegalArgumentException("start: there is no file " + wish
            + " and no known model of that name; known are " + KnownModels.names()
            + ", and any owner/repository/file.gguf of Hugging Face"));
    }

    private static Weights inFile(Path file) {
        var header = Gguf.read(file);
        var details = Download.megabytes(file.toFile().length()) + ", " + header.licence();
        var name = file.getFileName().toString().replaceFirst("\\.gguf$", "");
        return checked(new Weights(name, details, file, header, Checksum.fingerprint(file)));
    }

    /** How its makers have it draw what it says. */
    Sampling sampling() { return Sampling.of(header); }

    private static Weights checked(Weights weights) {
        Architecture.of(weights.header).check(weights.name);
        return weights;
    }

    @Override public String toString() { return name + " (" + details + ")"; }
}
