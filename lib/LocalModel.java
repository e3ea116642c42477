///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Serve a small real model on this machine at an OpenAI-compatible URL
//JAVA 17+
// llama.cpp for the JVM in one jar, natives included; only ever loaded in a process of its own
//DEPS de.kherud:llama:4.2.0
// JSON: what goes over the wire
//DEPS com.fasterxml.jackson.core:jackson-databind:2.22.4
// the command line of main
//DEPS info.picocli:picocli:4.7.7
// the rooms, lowest floor first
//SOURCES model/Machine.java model/ChatTemplate.java model/Generation.java model/Serve.java
//SOURCES model/Http.java model/Download.java model/Gguf.java model/Checksum.java model/Caches.java
//SOURCES model/HuggingFace.java model/Packages.java model/Architecture.java model/ResponseFormat.java
//SOURCES model/Likelihood.java
//SOURCES model/LogitGaps.java model/Sampling.java model/ModelFile.java model/CompletionRequest.java
//SOURCES model/KnownModels.java model/Search.java model/Worker.java
//SOURCES model/Choice.java model/HubFile.java model/EngineProcess.java model/LlamaServer.java model/Weights.java
//SOURCES model/Engine.java model/Gateway.java

package sheaf.model;

import java.io.UncheckedIOException;
import java.net.URI;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;

/**
 * A small instruct model on this machine behind an OpenAI-compatible URL.
 *
 * <pre>{@code
 * try (LocalModel model = LocalModel.start()) {
 *     System.err.println(model.describe());
 *     System.out.println(model.baseUrl());      // http://127.0.0.1:40123/v1
 * }
 * }</pre>
 *
 * The engine is a child process: a {@code llama-server} if one is on the PATH, else a JVM of its own with llama.cpp in
 * it. It ends with this process. When it crashes it is started again behind the same URL; the requests that were in
 * flight run once more, each alone, and the one that crashes it alone gets an error of its own.
 * The weights are looked for in the caches on this machine, then fetched once and checked.
 */
public final class LocalModel implements AutoCloseable {
    private final String baseUrl;
    private final String model;
    private final String description;
    private final Runnable end;   // of the engine, if one was started

    private LocalModel(String baseUrl, String model, String description, Runnable end) {
        this.baseUrl = baseUrl;
        this.model = model;
        this.description = description;
        this.end = end;
    }

    /** Starts the default model and returns when it is ready; see {@link #options()} and {@link Options#start()}. */
    public static LocalModel start() { return options().start(); }

    /** Starts a model and returns when it is ready; see {@link Options#model(String)} and {@link Options#start()}. */
    public static LocalModel start(String model) { return options().model(model).start(); }

    /** Returns the default: the model of SHEAF_LOCAL_MODEL, else medium, 4 slots of 2048 tokens, a free port. */
    public static Options options() { return new Options(Weights.usual(), 4, 2048, 0); }

    /** Gets the weights of a model as {@link Options#start()} does, without a question, and starts nothing. */
    public static Path fetch(String model) { return Weights.of(model, Choice::announce).file(); }

    /** Returns the models that have a name here, smallest first, and what came from Hugging Face by its own name. */
    public static List<Known> known() {
        var known = new ArrayList<Known>();
        for (var size : KnownModels.Size.values())
            size.models.forEach(model -> known.add(Known.of(model.name(), size.toString(), model)));
        HubFile.allHere().forEach((name, model) -> known.add(Known.of(name, "", model)));
        return known;
    }

    /**
     * A model that can be named.
     * @param size small, medium or large, which stands for the first of it that can be had; "" is none of these
     * @param bytes of its file
     * @param memory the bytes that it takes at work, about
     * @param isHere whether a file of its size is in a cache on this machine
     * @param fits whether so much memory is free now
     */
    public record Known(String name, String size, String quantization, String licence, long bytes, long memory,
            boolean isHere, boolean fits) {
        private static Known of(String name, String size, ModelFile model) {
            return new Known(name, size, model.quantization(), model.licence(), model.bytes(), model.memory(),
                new Search(model).isLikelyHere(), model.memory() <= Machine.freeMemory());
        }
    }

    /** Returns the URL to give to an OpenAI client; it stays the same when the engine is restarted. */
    public String baseUrl() { return baseUrl; }

    /** Returns the name of the model, for people. A request may name any model: there is only one. */
    public String model() { return model; }

    /** Returns one line that names the model, its size and licence, and the engine. */
    public String describe() { return description; }

    /** Ends the engine. Requests in flight fail. */
    @Override public void close() { end.run(); }

    @Override public String toString() { return "LocalModel[" + describe() + ", " + baseUrl() + "]"; }

    /** Starts a model from the command line and serves it until Ctrl-C. */
    public static void main(String... args) {
        System.exit(Serve.run((name, slots, contextSize, port) -> {
            var model = new Options(name == null ? Weights.usual() : name, slots, contextSize, port).start();
            return new Serve.Served(model.baseUrl(), model.describe(), model::close);
        }, args));
    }

    /** What to start. Immutable: each step returns new options. */
    public record Options(String model, int slots, int contextSize, int port) {
        public Options {
            Objects.requireNonNull(model, "model");
            require(slots > 0, "slots", slots);
            require(contextSize > 0, "contextSize", contextSize);
            require(port >= 0 && port <= 65_535, "port", port);
        }

        /**
         * Returns options for another model: "small", "medium" or "large", which is the best of that size or below that
         * can be had; a known name ("Qwen2.5-1.5B"); a GGUF file; "owner/repository/file.gguf" at Hugging Face; or the
         * URL of a running server.
         */
        public Options model(String wish) { return new Options(wish, slots, contextSize, port); }

        /** Returns options for so many requests at once; with one, seed and temperature 0 repeat answers exactly. */
        public Options slots(int count) { return new Options(model, count, contextSize, port); }

        /** Returns options for so many tokens in a slot, prompt and answer; at most what the model was trained on. */
        public Options contextSize(int tokens) { return new Options(model, slots, tokens, port); }

        /** Returns options for a fixed port, at most 65535; 0 takes a free one. */
        public Options port(int number) { return new Options(model, slots, contextSize, number); }

        /**
         * Starts the engine and returns when it is ready. The first time this may download the weights: stderr says
         * what, how much and from where, and somebody at a terminal may decline, and gets a smaller model.
         * For a URL nothing is started: the server is asked for its model.
         * @throws IllegalArgumentException if the model is no size, no known name, no file and no URL
         * @throws UncheckedIOException if the weights cannot be had or the server of a URL cannot be reached
         * @throws IllegalStateException if the model or its engine cannot run on this machine
         */
        public LocalModel start() { return model.matches("https?://.*") ? ofRunningServer() : ofOwnEngine(); }

        private LocalModel ofRunningServer() {
            var url = model.replaceAll("/+$", "");
            var baseUrl = URI.create(url).getPath().isEmpty() ? url + "/v1" : url;
            var name = Http.Client.firstModel(baseUrl);
            return new LocalModel(baseUrl, name, name + " at " + baseUrl, () -> { });
        }

        private LocalModel ofOwnEngine() {
            var weights = Weights.of(model);
            var engine = Engine.find(weights, slots, contextSize);
            var gateway = Gateway.open(weights, slots, port, engine);
            var description = weights + " on " + engine.name();
            return new LocalModel(gateway.baseUrl(), weights.name(), description, gateway::close);
        }

        private static void require(boolean valid, String name, int value) {
            if (!valid) throw new IllegalArgumentException("options: " + name + " cannot be " + value);
        }
    }
}
