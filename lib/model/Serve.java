package sheaf.model;

import java.util.concurrent.Callable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** The command line: serves a model until Ctrl-C. It does not know how one is started. */
@Command(name = "local-model", sortOptions = false,
    description = "Serves a small real model on this machine at an OpenAI-compatible URL, until Ctrl-C.")
final class Serve implements Callable<Integer> {
    private final Starter starter;

    @Parameters(arity = "0..1", paramLabel = "MODEL",
        description = "small, medium or large, a known name, a GGUF file, or one of Hugging Face by"
            + " owner/repository/file.gguf; default: SHEAF_LOCAL_MODEL, else medium")
    private String model;

    @Option(names = "--slots", defaultValue = "4", description = "requests at once; default: ${DEFAULT-VALUE}")
    private int slots;

    @Option(names = "--context", defaultValue = "2048", description = "tokens in a slot; default: ${DEFAULT-VALUE}")
    private int contextSize;

    @Option(names = "--port", defaultValue = "0", description = "the port; default: a free one")
    private int port;

    @Option(names = {"-h", "--help"}, usageHelp = true, description = "show this and end")
    private boolean help;

    private Serve(Starter starter) { this.starter = starter; }

    /** Starts what the command line names, and returns when it can be asked. */
    interface Starter {
        /** For null, the default model. */
        Served start(String model, int slots, int contextSize, int port);
    }

    /** A model that can be asked at a URL, described in one line, until it is ended. */
    record Served(String baseUrl, String description, Runnable end) { }

    /** Returns the exit code; if all goes well only Ctrl-C ends it. */
    static int run(Starter starter, String... args) {
        return new CommandLine(new Serve(starter)).setExecutionExceptionHandler(Serve::complain).execute(args);
    }

    @Override public Integer call() throws InterruptedException {
        var served = starter.start(model, slots, contextSize, port);
        try {
            System.out.println("OPENAI_BASE_URL=" + served.baseUrl());
            System.err.println("sheaf: " + served.description() + "; end it with Ctrl-C");
            Thread.currentThread().join();
            return 0;
        } finally {
            served.end().run();
        }
    }

    private static int complain(Exception e, CommandLine command, CommandLine.ParseResult parsed) {
        System.err.println(e.getMessage());
        return 1;
    }
}
