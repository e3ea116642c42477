package sheaf.server;

import java.io.IOException;
import java.io.OutputStream;
import java.net.URI;
import java.nio.file.Path;
import java.time.Duration;
import java.time.format.DateTimeParseException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.stream.Collectors;
import picocli.CommandLine;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.TypeConversionException;

/** The command line of the server. It knows options and what to print, and leaves the rest to the service. */
@Command(name = "serve", sortOptions = false, customSynopsis = "serve [OPTION]...",
    description = "Serves OpenAI's Files and Batches API on this machine, before any OpenAI-compatible engine.",
    footer = {"",
        "Environment:",
        "  SHEAF_ENGINE_KEY      as --engine-key; where SHEAF_ENGINE is set, for that one",
        "  SHEAF_SERVER_KEY      as --api-key",
        "  SHEAF_WEBHOOK_SECRET  as --webhook-secret",
        "  SHEAF_HOME            holds server/ with files and batches; else ~/.sheaf",
        "An option comes before the environment. Other users of this machine can see",
        "options, and with them a key; they cannot see the environment.",
        "",
        "Example: batches over the models of Ollama, with curl",
        "  serve --engine http://localhost:11434/v1 --model-name gpt-4o-mini=llama3.2",
        "  export OPENAI_BASE_URL=http://127.0.0.1:4141/v1",
        "  echo '{\"custom_id\": \"request-1\", \"method\": \"POST\",",
        "      \"url\": \"/v1/chat/completions\", \"body\": {\"model\": \"gpt-4o-mini\",",
        "      \"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}}' |",
        "      tr -d '\\n' > requests.jsonl",
        "  curl $OPENAI_BASE_URL/files -F purpose=batch -F file=@requests.jsonl",
        "  curl $OPENAI_BASE_URL/batches -H 'Content-Type: application/json' -d '{",
        "      \"completion_window\": \"24h\", \"input_file_id\": \"file-...\",",
        "      \"endpoint\": \"/v1/chat/completions\"}'",
        "  curl $OPENAI_BASE_URL/batches/batch_...       until it is completed, and then",
        "  curl $OPENAI_BASE_URL/files/file-output-.../content",
        "OpenAI's own clients read OPENAI_BASE_URL too; they want an OPENAI_API_KEY,",
        "which may be any word.",
        "",
        "A browser at the server shows all batches, each answer beside its question.",
        "For who watches over it:",
        "  GET /health   200, or 503 while its store cannot be written; needs no key",
        "  GET /metrics  what Prometheus reads of batches, tokens, times, the queue",
        "",
        "The first line on stdout is OPENAI_BASE_URL=...; all else goes to stderr.",
        "",
        "Exit codes: 0 for --help, 1 if the server cannot start, 2 for a wrong option,",
        "130 after Ctrl-C, 143 after a kill, which both wait up to 8 s for answers",
        "under way. Unfinished batches go on at the next start over the same store."})
final class Serve implements Callable<Integer> {
    @Option(names = {"-h", "--help"}, usageHelp = true, description = "shows this text")
    private boolean help;

    @ArgGroup(validate = false, heading = "%nWhere it listens:%n", order = 1)
    private final Listening listening = new Listening();

    @ArgGroup(validate = false, heading = "%nWho answers:%n", order = 2)
    private final Answering answering = new Answering();

    @ArgGroup(validate = false, heading = "%nWhat it keeps and takes:%n", order = 3)
    private final Keeping keeping = new Keeping();

    @ArgGroup(validate = false, heading = "%nWhom it tells:%n", order = 4)
    private final Telling telling = new Telling();

    private static final class Listening {
        @Option(names = "--port", paramLabel = "PORT", defaultValue = "4141",
            description = "port to listen on; 0 is a free one (default: ${DEFAULT-VALUE})")
        private int port;

        @Option(names = "--host", paramLabel = "HOST", defaultValue = Settings.LOOPBACK,
            description = "address to listen on; one open to others needs a key (default: ${DEFAULT-VALUE})")
        private String host;

        @Option(names = "--api-key", paramLabel = "KEY", description = "key that clients must send (default: none)")
        private String apiKey;
    }

    private static final class Answering {
        @Option(names = "--engine", paramLabel = "URL", defaultValue = Settings.ECHO,
            description = "base URL of the OpenAI-compatible server that answers, mostly ending in /v1; or ollama, "
                + "lmstudio, vllm, llama-server, openrouter, mistral, cerebras; or echo, which says each question "
                + "back (default: ${DEFAULT-VALUE}); given more than once, each request goes to the one that answers "
                + "first")
        private List<String> engines = new ArrayList<>();

        @Option(names = "--engine-key", paramLabel = "KEY",
            description = "key for the engine, of several for each without a variable of its own (of openrouter that is "
                + "OPENROUTER_API_KEY, and so on); clients' keys are never sent to it (default: SHEAF_ENGINE_KEY)")
        private String engineKey;

        @Option(names = "--model-name", paramLabel = "FROM=TO",
            description = "sends requests for model FROM to the engine as TO; may be repeated; echo then knows no "
                + "other model")
        private Map<String, String> modelNames = new LinkedHashMap<>();

        @Option(names = "--concurrency", paramLabel = "N",
            description = "requests at the engine at once, fewer if that is overloaded (default: as many as bring "
                + "more answers, from 4 to 32)")
        private Integer concurrency;

        @Option(names = "--timeout", paramLabel = "TIME", defaultValue = "10m",
            description = "for one request with all its tries, such as 90s or 1h30m; so long a batch waits for an "
                + "engine that is down (default: ${DEFAULT-VALUE})")
        private Duration timeout;
    }

    private static final class Keeping {
        @Option(names = "--store", paramLabel = "DIR",
            description = "folder of what it keeps (default: ~/.sheaf/server)")
        private Path store;

        @Option(names = "--own-store",
            description = "keeps files and batches in a folder of this engine alone, under ~/.sheaf/engines")
        private boolean ownStore;

        @Option(names = "--until-eof",
            description = "ends with its stdin, as the child of a program, but with the last of several that use its "
                + "store; joins a server that runs there")
        private boolean untilEof;

        @Option(names = "--dialect", paramLabel = "NAME", defaultValue = "openai",
            completionCandidates = DialectNames.class,
            description = "provider whose manners it has: ${COMPLETION-CANDIDATES} (default: ${DEFAULT-VALUE})")
        private Manners dialect;

        @Option(names = "--mixed-models",
            description = "lets the requests of a batch name different models, whatever the dialect")
        private boolean mixedModels;

        @Option(names = "--max-requests", paramLabel = "N",
            description = "most requests of a batch (default: as the dialect, 50000 for openai)")
        private Integer maxRequests;

        @Option(names = "--max-bytes", paramLabel = "N",
            description = "most bytes of a file (default: as the dialect, 209715200 for openai)")
        private Long maxBytes;
    }

    private static final class Telling {
        @Option(names = "--webhook", paramLabel = "URL",
            description = "is told when a batch is over, in the way of OpenAI's webhooks; needs a secret "
                + "(default: none)")
        private URI webhook;

        @Option(names = "--webhook-secret", paramLabel = "SECRET",
            description = "signs what is told: whsec_ and then Base64, as made by "
                + "echo whsec_$(openssl rand -base64 32)")
        private String secret;
    }

    private static final class DialectNames extends ArrayList<String> {
        DialectNames() { super(Dialects.ALL.stream().map(Manners::toString).toList()); }
    }

    /** Runs a server until Ctrl-C, and returns the exit code if it ends before. */
    static int run(String... args) {
        return new CommandLine(new Serve())
            .registerConverter(Duration.class, Serve::time)
            .registerConverter(Manners.class, Serve::dialect)
            .setParameterExceptionHandler((e, given) -> misused("serve: " + e.getMessage()))
            .setExecutionExceptionHandler((e, command, parsed) -> explain(e))
            .execute(args);
    }

    @Override public Integer call() throws InterruptedException, IOException {
        var settings = withWebhook(asSettings());
        if (keeping.untilEof) return serveUntilEof(settings);
        var service = Service.start(settings);
        System.out.println("OPENAI_BASE_URL=" + service.baseUrl());
        if (keeping.dialect.isOpenAi()) System.err.println("page: " + service.baseUrl().replaceFirst("v1$", ""));
        System.err.println("engine: " + service.engine.state(true));
        System.err.println("store: " + settings.store() + " (" + service.store.id.substring(0, 8)
            + "); Ctrl-C stops the server, and its next start goes on with unfinished batches");
        new CountDownLatch(1).await();
        return 0;
    }

    /** Serves whoever started this process, and says but what is wrong. */
    private static int serveUntilEof(Settings settings) throws InterruptedException, IOException {
        try (var shared = SharedService.open(settings)) {
            System.out.println("OPENAI_BASE_URL=" + shared.baseUrl);
            if (shared.service.isPresent()) tellTrouble(shared.service.get());
            System.in.transferTo(OutputStream.nullOutputStream());
        }
        return 0;
    }

    /** Says what is wrong with the engine; that it is away only if a batch waits for it: others hear it when they ask. */
    private static void tellTrouble(Service service) throws InterruptedException {
        var state = service.engine.state(false);
        boolean isAway = service.engine.contact().equals("unreachable");
        if (state.matches("(?s).* answers|echo, .*") || isAway && service.store.unfinishedBatches().isEmpty()) return;
        System.err.println("engine: " + state);
    }

    private Settings asSettings() {
        var settings = Settings.DEFAULTS.port(listening.port).host(listening.host).engine(answering.engines.get(0))
            .timeout(answering.timeout).dialect(keeping.dialect);
        settings = answering.engineKey != null ? settings.engineKey(answering.engineKey)
            : settings.keyOf(answering.engines.get(0));
        for (var another : answering.engines.subList(1, answering.engines.size()))
            settings = settings.anotherEngine(another, answering.engineKey);
        settings = keeping.ownStore ? settings.ownStore()
            : settings.store(keeping.store != null ? keeping.store : Settings.localStore());
        if (answering.concurrency != null) settings = settings.concurrency(answering.concurrency);
        for (var name : answering.modelNames.entrySet())
            settings = settings.model(name.getKey(), name.getValue());
        if (keeping.mixedModels) settings = settings.mixedModels();
        if (keeping.maxRequests != null) settings = settings.maxRequests(keeping.maxRequests);
        if (keeping.maxBytes != null) settings = settings.maxBytes(keeping.maxBytes);
        return key(listening.apiKey, "SHEAF_SERVER_KEY").map(settings::apiKey).orElse(settings);
    }

    private Settings withWebhook(Settings settings) {
        if (telling.webhook == null) return settings;
        return settings.webhook(telling.webhook, key(telling.secret, "SHEAF_WEBHOOK_SECRET").orElseThrow(() ->
            new IllegalArgumentException("webhook: no secret to sign with; set SHEAF_WEBHOOK_SECRET or give"
                + " --webhook-secret")));
    }

    private static Optional<String> key(String given, String variable) {
        return given != null ? Optional.of(given) : Settings.variable(variable);
    }

    private static Manners dialect(String name) {
        return Dialects.named(name).orElseThrow(() -> new TypeConversionException("'" + name + "' is none of "
            + Dialects.ALL.stream().map(Manners::toString).collect(Collectors.joining(", "))));
    }

    private static Duration time(String text) {
        try {
            return Duration.parse("PT" + text);
        } catch (DateTimeParseException noTime) {
            throw new TypeConversionException("'" + text + "' is no time such as 90s, 10m or 1h30m");
        }
    }

    private static int explain(Exception e) {
        if (e instanceof IllegalArgumentException) return misused(e.getMessage());
        System.err.println(e.getMessage());
        return 1;
    }

    private static int misused(String sentence) {
        System.err.println(sentence + "; try 'serve --help'");
        return 2;
    }
}
