package sheaf.model;

import java.util.Set;

/** The architecture of a model, and whether the engine of this machine knows it. */
record Architecture(String name) {
    /** What the llama.cpp in de.kherud:llama 4.2.0 lists; of these it generates text. */
    private static final Set<String> KNOWN = Set.of("llama", "deci", "falcon", "grok", "gpt2", "gptj", "gptneox", "mpt",
        "baichuan", "starcoder", "refact", "bloom", "stablelm", "qwen", "qwen2", "qwen2moe", "qwen2vl", "phi2", "phi3",
        "phimoe", "plamo", "codeshell", "orion", "internlm2", "minicpm", "minicpm3", "gemma", "gemma2", "gemma3",
        "starcoder2", "mamba", "xverse", "command-r", "cohere2", "dbrx", "olmo", "olmo2", "olmoe", "openelm", "arctic",
        "deepseek", "deepseek2", "chatglm", "bitnet", "jais", "nemotron", "exaone", "rwkv6", "rwkv6qwen2", "arwkv7",
        "granite", "granitemoe", "chameleon");

    static Architecture of(Gguf header) { return new Architecture(header.architecture()); }

    /**
     * Refuses a model before it is fetched or loaded; a llama-server on the PATH may know more, so that is left to say.
     * @throws IllegalStateException if the engine surely cannot load it
     */
    void check(String model) {
        if (name.isEmpty() || KNOWN.contains(name) || Machine.program("llama-server").isPresent()) return;
        throw new IllegalStateException("start: " + model + " is of the architecture " + name + ", which the engine in"
            + " de.kherud:llama does not know; put a newer llama-server on the PATH, or name another model");
    }
}
