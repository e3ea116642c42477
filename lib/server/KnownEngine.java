package sheaf.server;

import java.util.Locale;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * An engine without a batch API that many people have, the name that stands for its URL, which variable holds its
 * key, and how it is started. It knows nothing of what is asked there.
 */
enum KnownEngine {
    /** https://docs.ollama.com/api/openai-compatibility */
    OLLAMA("http://localhost:11434/v1", "", "ollama serve"),
    /** https://lmstudio.ai/docs/developer/openai-compat */
    LMSTUDIO("http://localhost:1234/v1", "", "lms server start"),
    /** https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html */
    VLLM("http://localhost:8000/v1", "", "vllm serve MODEL"),
    /** https://github.com/ggml-org/llama.cpp/tree/master/tools/server */
    LLAMA_SERVER("http://localhost:8080/v1", "", "llama-server -m FILE.gguf"),
    /** https://openrouter.ai/docs/api-reference/overview */
    OPENROUTER("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY", ""),
    /** https://docs.mistral.ai/api */
    MISTRAL("https://api.mistral.ai/v1", "MISTRAL_API_KEY", ""),
    /** https://inference-docs.cerebras.ai/resources/openai */
    CEREBRAS("https://api.cerebras.ai/v1", "CEREBRAS_API_KEY", "");

    final String url;
    final String keyVariable;    // without which it answers nobody; "" on this machine, where none is needed
    private final String start;  // the command by which it listens there; "" where that is not the user's to do

    KnownEngine(String url, String keyVariable, String start) {
        this.url = url;
        this.keyVariable = keyVariable;
        this.start = start;
    }

    static Optional<KnownEngine> named(String name) {
        return Stream.of(values()).filter(engine -> engine.toString().equals(name.toLowerCase(Locale.ROOT)))
            .findFirst();
    }

    /** Returns the one at this URL, however many slashes it ends in. */
    static Optional<KnownEngine> at(String url) {
        return Stream.of(values()).filter(engine -> engine.url.equals(url.replaceFirst("/+$", ""))).findFirst();
    }

    /** Returns the variable that holds the key of an engine at this URL. */
    static String keyVariable(String url) {
        return at(url).filter(KnownEngine::isHosted).map(engine -> engine.keyVariable).orElse("SHEAF_ENGINE_KEY");
    }

    /** Returns what to do where nothing listens at a URL, as the end of a sentence; nothing if others look after it. */
    static String remedy(String url) {
        var known = at(url.replace("//127.0.0.1:", "//localhost:"));
        if (known.filter(KnownEngine::isHosted).isPresent()) return "";
        return "; start it " + known.map(engine -> "by '" + engine.start + "'").orElse("there");
    }

    /** Returns all names, in the order in which people may look for them. */
    static String names() { return Stream.of(values()).map(KnownEngine::toString).collect(Collectors.joining(", ")); }

    boolean isHosted() { return !keyVariable.isEmpty(); }

    @Override public String toString() { return name().toLowerCase(Locale.ROOT).replace('_', '-'); }
}
