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
//SOURCES model/ChatTemplate.java
//SOURCES model/EngineLog.java
//SOURCES model/Environment.java
//SOURCES model/Failures.java
//SOURCES model/Generation.java
//SOURCES model/KnownModel.java
//SOURCES model/Refusal.java
//SOURCES model/WorkerProtocol.java
//SOURCES model/Gguf.java
//SOURCES model/HuggingFace.java
//SOURCES model/Loopback.java
//SOURCES model/Natives.java
//SOURCES model/Pip.java
//SOURCES model/ResponseFormat.java
//SOURCES model/Client.java
//SOURCES model/Finder.java
//SOURCES model/Question.java
//SOURCES model/EngineProcess.java
//SOURCES model/Weights.java
//SOURCES model/Worker.java
//SOURCES model/Engine.java
//SOURCES model/Front.java
//SOURCES model/ServedModel.java
//SOURCES model/Serve.java

package sheaf.model;

import java.io.UncheckedIOException;
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
    private final ServedModel served;

    private LocalModel(ServedModel served) { this.served = served; }

    /** Starts the default model, SmolLM2-135M-Instruct, and returns when it is ready; see {@link Options#start()}. */
    public static LocalModel start() { return options().start(); }

    /** Starts a model and returns when it is ready; see {@link Options#model(String)} and {@link Options#start()}. */
    public static LocalModel start(String model) { return options().model(model).start(); }

    /** Returns the default options: SmolLM2-135M-Instruct, 4 slots of 2048 tokens, a free port. */
    public static Options options() { return new Options(KnownModel.SMOLLM2.name(), 4, 2048, 0); }

    /** Returns the URL to give to an OpenAI client; it stays the same when the engine is restarted. */
    public String baseUrl() { return served.baseUrl(); }

    /** Returns the name of the model, for people. A request may name any model: there is only one. */
    public String model() { return served.model(); }

    /** Returns one line that names the model, its size and licence, and the engine. */
    public String describe() { return served.description(); }

    /** Ends the engine. Requests in flight fail. */
    @Override public void close() { served.close(); }

    @Override public String toString() { return "LocalModel[" + describe() + ", " + baseUrl() + "]"; }

    /** Starts a model from the command line and serves it until Ctrl-C. */
    public static void main(String... args) {
        System.exit(Serve.run((model, slots, contextSize, port) ->
            new Options(model, slots, contextSize, port).serve(), args));
    }

    /** What to start. Immutable: each step returns new options. */
    public record Options(String model, int slots, int contextSize, int port) {
        public Options {
            Objects.requireNonNull(model, "model");
            require(slots > 0, "slots", slots);
            require(contextSize > 0, "contextSize", contextSize);
            require(port >= 0, "port", port);
        }

        /** Returns options for a GGUF file, a known model ("SmolLM2-135M-Instruct"), or the URL of a running server. */
        public Options model(String fileNameOrUrl) { return new Options(fileNameOrUrl, slots, contextSize, port); }

        /** Returns options for so many requests at once; with one, the same seed gives exactly the same answer. */
        public Options slots(int count) { return new Options(model, count, contextSize, port); }

        /** Returns options for so many tokens in a slot, prompt and answer; at most what the model was trained on. */
        public Options contextSize(int tokens) { return new Options(model, slots, tokens, port); }

        /** Returns options for a fixed port; 0 takes a free one. */
        public Options port(int number) { return new Options(model, slots, contextSize, number); }

        /**
         * Starts the engine and returns when it is ready. The first time this may download the weights; stderr says so.
         * For a URL nothing is started: the server is asked for its model.
         * @throws IllegalArgumentException if the model is no file, no known name and no URL
         * @throws UncheckedIOException if the weights cannot be had or the server of a URL cannot be reached
         * @throws IllegalStateException if no engine starts on this machine
         */
        public LocalModel start() { return new LocalModel(serve()); }

        private ServedModel serve() { return ServedModel.of(model, slots, contextSize, port); }

        private static void require(boolean valid, String name, int value) {
            if (!valid) throw new IllegalArgumentException("options: " + name + " cannot be " + value);
        }
    }
}
