///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Serve a small model on this machine, where --provider local finds it
//SOURCES ../../lib/BatchServer.java
//SOURCES ../../lib/LocalModel.java
//DEPS info.picocli:picocli:4.7.7

import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import sheaf.model.LocalModel;
import sheaf.server.BatchServer;

@Command(name = "local", sortOptions = false, usageHelpWidth = 100, customSynopsis = "local [OPTION]... [MODEL]",
    description = {"Serves a model on this machine, free of charge and without a key, where --provider local finds it.",
        "The first time it fetches the weights; after that it needs no network.", ""},
    footer = {"",
        "Examples:",
        "  ./jbang local                                      and in another terminal:",
        "  ./jbang ask --provider local -p 'In one word: {{text}}' -d data/reviews.csv",
        "  ./jbang local ~/models/qwen2.5-0.5b-instruct-q4_k_m.gguf",
        "",
        "The first line on stdout is OPENAI_BASE_URL=...; all else goes to stderr. For Ollama or another server that "
            + "runs already: ./jbang serve --engine URL.",
        "",
        "Exit codes: 0 for --help, 1 if the model cannot be had or started, 2 for a wrong option, 130 after Ctrl-C."})
class local implements Callable<Integer> {
    @Parameters(arity = "0..1", paramLabel = "MODEL", defaultValue = "SmolLM2-135M-Instruct",
        description = "a GGUF file, or a known name (default: ${DEFAULT-VALUE})")
    String model;

    @Option(names = "--slots", paramLabel = "N", defaultValue = "4",
        description = "requests at once (default: ${DEFAULT-VALUE})")
    int slots;

    @Option(names = "--context", paramLabel = "N", defaultValue = "2048",
        description = "tokens of a request, prompt and answer (default: ${DEFAULT-VALUE})")
    int context;

    @Option(names = "--port", paramLabel = "PORT", description = "port to listen on; 0 is a free one (default: 4141)")
    Integer port;

    @Option(names = "--host", paramLabel = "HOST",
        description = "address to listen on; one open to others needs a key (default: 127.0.0.1)")
    String host;

    @Option(names = "--api-key", paramLabel = "KEY", description = "key that clients must send (default: none)")
    String apiKey;

    @Option(names = "--store", paramLabel = "DIR",
        description = "folder for files and batches (default: ~/.sheaf/server)")
    String store;

    @Option(names = "--until-eof",
        description = "ends with its stdin, as the child of a program, but with the last of several that use its store")
    boolean untilEof;

    @Option(names = {"-h", "--help"}, usageHelp = true, description = "shows this text")
    boolean help;

    public static void main(String... args) { System.exit(run(args)); }

    static int run(String... args) {
        return new CommandLine(new local())
            .setParameterExceptionHandler((e, given) -> failed(2, "local: " + e.getMessage() + "; try 'local --help'"))
            .setExecutionExceptionHandler((e, command, parsed) -> {
                if (e instanceof IllegalArgumentException)
                    return failed(2, e.getMessage() + "; try 'local --help'");
                if (e instanceof UncheckedIOException || e instanceof IllegalStateException)
                    return failed(1, e.getMessage());
                throw e;
            })
            .execute(args);
    }

    @Override public Integer call() {
        var started = LocalModel.options().model(model).slots(slots).contextSize(context).start();
        System.err.println(untilEof
            ? "local: started for this run: " + started.describe() + "; ./jbang local keeps one running"
            : "model: " + started.describe() + "; --provider local asks it, whatever model is named");
        var options = new ArrayList<>(List.of("--engine", started.baseUrl()));
        add(options, "--port", port);
        add(options, "--host", host);
        add(options, "--api-key", apiKey);
        add(options, "--store", store);
        if (untilEof) options.add("--until-eof");
        BatchServer.main(options.toArray(String[]::new));
        return 0;
    }

    private static void add(List<String> options, String name, Object value) {
        if (value != null) options.addAll(List.of(name, value.toString()));
    }

    private static int failed(int status, String sentence) {
        System.err.println(sentence);
        return status;
    }
}
