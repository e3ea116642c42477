package sheaf.model;

import java.nio.file.Files;
import java.nio.file.Path;

/** A GGUF file, what it says of itself, and what to call it. It does not know what program runs it. */
record Weights(String name, String details, Path file, Gguf header) {
    /** Finds the weights that a user names: a known model, fetched if need be, else a file. */
    static Weights of(String nameOrFile) {
        return KnownModel.named(nameOrFile).map(Weights::known).orElseGet(() -> inFile(nameOrFile));
    }

    private static Weights known(KnownModel model) {
        var file = new Finder(model).find();
        return new Weights(model.name(), model.details(), file, Gguf.read(file));
    }

    private static Weights inFile(String fileName) {
        var file = Path.of(fileName).toAbsolutePath();
        if (!Files.isRegularFile(file))
            throw new IllegalArgumentException("start: there is no file " + fileName
                + " and no known model of that name; known is " + KnownModel.SMOLLM2.name());
        var header = Gguf.read(file);
        var details = KnownModel.megabytes(file.toFile().length()) + ", " + header.licence();
        return new Weights(file.getFileName().toString().replaceFirst("\\.gguf$", ""), details, file, header);
    }

    @Override public String toString() { return name + " (" + details + ")"; }
}
