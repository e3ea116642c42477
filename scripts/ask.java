///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Ask a model one prompt, or one for each row of a file, and write the answers as a table or a file
//SOURCES ../lib/Sheaf.java
//DEPS info.picocli:picocli:4.7.7

package sheaf;

import static sheaf.Sheaf.*;

import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Stack;
import java.util.concurrent.Callable;
import java.util.function.BiFunction;
import java.util.function.IntPredicate;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.IParameterPreprocessor;
import picocli.CommandLine.Model.ArgSpec;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.TypeConversionException;
import picocli.CommandLine.UnmatchedArgumentException;

@Command(name = "ask", sortOptions = false, usageHelpWidth = 100,
    customSynopsis = "ask --model MODEL [OPTION]... [PROMPT]...",
    description = {"Sends prompts as a batch, waits, and writes each answer beside its row.", "",
        "With --data, each prompt and each template is sent for every row, {{column}} standing for the row's value. "
            + "Without it, the prompts are sent as they stand. The same command, run again, comes back to the same "
            + "batch and pays nothing.", ""},
    footer = {"",
        "Examples:",
        "  ./jbang ask -m gpt-4.1-mini 'What is a sheaf?' 'What is a batch?'",
        "  ./jbang ask -m gpt-4.1-mini -s '{{persona}}' -p '{{question}}' -d data/questions.csv -o out.csv",
        "  cat data/reviews.csv | ./jbang ask -m gpt-4.1-mini -p 'In Spanish: {{text}}' -d - > out.jsonl",
        "",
        "No key yet? Run ./jbang local in another window, a small free model, and give --provider local here.",
        "",
        "Without --out a terminal gets a table of the first 20 rows, and a pipe or a file JSON Lines of all; "
            + "progress goes to stderr. Ctrl-C does not end the batch: the same command comes back to it.",
        "",
        "Exit codes: 0 if every request has a whole answer; 1 if one has not, or the provider refused or could not be "
            + "reached; 2 if an option, a prompt, the data or the key is at fault, and nothing was sent."})
class ask implements Callable<Integer> {
    @Option(names = {"-m", "--model"}, paramLabel = "MODEL", split = ",",
        description = "who answers; several, each answers each prompt; may name a {{column}}")
    List<String> models = List.of();

    @Option(names = {"-s", "--system"}, paramLabel = "TEXT", description = "the system prompt")
    String system;

    @Option(names = {"-p", "--prompt"}, paramLabel = "TEXT", description = "a prompt over the rows; may be repeated")
    List<String> prompts = List.of();

    @Option(names = {"-t", "--template"}, paramLabel = "FILE", split = ",",
        description = "a prompt in a file, or by its name in templates/; may be repeated")
    List<String> templates = List.of();

    @Parameters(paramLabel = "PROMPT", description = "a prompt; one of several words stands in quotes")
    List<String> words = List.of();

    @Option(names = {"-d", "--data"}, paramLabel = "FILE",
        description = "the rows: a .csv, .jsonl or .json file; - for standard input, in any of the three")
    String data;

    @Option(names = "--limit", paramLabel = "N", description = "only the first N rows")
    Long limit;

    @Option(names = {"-o", "--out"}, paramLabel = "FILE",
        description = "where the answers go: a .csv or .jsonl file; - for JSON Lines on standard output")
    String out;

    @Option(names = "--force", description = "overwrites the file of --out")
    boolean force;

    @Option(names = "--preview", paramLabel = "N", arity = "0..1", preprocessor = Count.class,
        description = "prints the first N request lines (default: 3) and sends nothing")
    Integer preview;

    @Option(names = "--max-tokens", paramLabel = "N", description = "ends each answer after N tokens")
    Integer maxTokens;

    @Option(names = "--temperature", paramLabel = "X", description = "0 is the most predictable")
    Double temperature;

    @Option(names = "--with", paramLabel = "FIELD=VALUE",
        description = "any other field of the request, its value as JSON or text: --with top_p=0.9; may be repeated")
    List<String> fields = List.of();

    @Option(names = "--image", paramLabel = "IMAGE",
        description = "an image to each prompt: an address or a file, such as {{url}}; may be repeated")
    List<String> images = List.of();

    @Option(names = "--id", paramLabel = "TEXT", description = "a name of your own for each row, such as {{order}}")
    String id;

    @Option(names = "--name", paramLabel = "NAME",
        description = "what the batch is kept under, such as tickets-2026-03-01 (default: the data's name, or "
            + "the prompt's first words)")
    String name;

    @Option(names = "--reuse",
        description = "sends only requests that the batch last kept under the name has no answer to")
    boolean reuse;

    @Option(names = "--repair", paramLabel = "N",
        description = "sends again, at most N times, what may end better: cut off, expired, broken or missing")
    Integer repair;

    @Option(names = "--provider", paramLabel = "NAME",
        description = "who runs it: a name, such as openai, or a base URL (default: SHEAF_PROVIDER, OPENAI_BASE_URL "
            + "or the only key that is set)")
    Provider provider;

    @Option(names = {"-h", "--help"}, usageHelp = true, description = "shows this text")
    boolean help;

    private final IntPredicate terminal;                       // whether this stream, 0 or 1, is one
    private boolean isSent;

    ask(IntPredicate terminal) { this.terminal = terminal; }

    public static void main(String... args) { System.exit(run(ask::isTerminal, args)); }

    static int run(IntPredicate terminal, String... args) {
        var stdout = System.out;
        var stderr = System.err;
        System.setOut(new Reworded(stdout, TABLE));
        System.setErr(new Reworded(stderr, ADVICE));
        try {
            var command = new ask(terminal);
            return new CommandLine(command)
                .setExpandAtFiles(false)                       // a prompt may begin with @
                .registerConverter(Provider.class, ask::provider)
                .setParameterExceptionHandler((e, given) -> failed(2, misused(e)))
                .setExecutionExceptionHandler((e, line, parsed) -> {
                    if (!String.valueOf(e.getMessage()).matches("(?s)[a-zA-Z]+: .*")) throw e;
                    boolean isRefused = e instanceof UncheckedIOException || e instanceof BatchException;
                    return failed(command.isSent || isRefused ? 1 : 2, e.getMessage());
                })
                .execute(args);
        } finally {
            System.setOut(stdout);
            System.setErr(stderr);
        }
    }

    @Override public Integer call() throws IOException {
        checkPrompts();
        if (preview == null) checkOut();
        var draft = draft();
        if (preview != null) {
            draft.preview(preview).show();
            return 0;
        }
        var batch = draft.submit();
        isSent = true;
        return write(batch.results());
    }

    // ---- what is asked ----

    private void checkPrompts() {
        refuseIf(models.isEmpty(), "model: none given; name one by --model, and ./jbang models lists them");
        refuseIf(prompts.size() + templates.size() + words.size() == 0,
            "prompts: none given; write one in quotes, or give --prompt TEXT or --template FILE");
        refuseIf(words.size() > 0 && prompts.size() + words.size() > 1 && words.stream().noneMatch(ask::hasBlank),
            "prompts: " + words.stream().limit(5).map(word -> "\"" + word + "\"").collect(Collectors.joining(", "))
                + (words.size() > 5 ? ", ..." : "") + (words.size() == 1 ? " is a prompt" : " are a prompt each")
                + "; put quotes around one of several words, or give each as --prompt");
        Stream.of(prompts, words).flatMap(List::stream).filter(text -> text.matches("\\S+\\.(csv|jsonl|json)"))
            .findFirst().ifPresent(file -> refuseIf(true, "prompts: \"" + file
                + "\" would be sent as a prompt; did you mean --data " + file + "?"));
        if (data != null) return;
        refuseIf(limit != null, "limit: there are no rows; give --data FILE");
        refuseIf(id != null, "id: there are no rows to name; give --data FILE");
        prompts.stream().filter(prompt -> prompt.contains("{{")).findFirst().ifPresent(prompt ->
            refuseIf(true, "prompt: \"" + prompt + "\" has no rows to be filled in from; give --data FILE"));
    }

    /** Without quotes the shell makes each word a prompt, each to be paid. */
    private static boolean hasBlank(String prompt) { return prompt.strip().matches("(?s).*\\s.*"); }

    private Draft draft() throws IOException {
        var draft = prompted(batch().model(models.get(0), models.subList(1, models.size()).toArray(String[]::new)));
        draft = set(draft, provider, Draft::provider);
        draft = set(draft, system, Draft::system);
        draft = set(draft, name, Draft::name);
        draft = set(draft, id, Draft::customId);
        draft = set(draft, maxTokens, Draft::maxTokens);
        draft = set(draft, temperature, Draft::temperature);
        draft = set(draft, repair, Draft::repair);
        if (reuse) draft = draft.reuse();
        for (var image : images) draft = draft.image(image);
        for (var field : fields) draft = draft.options("--with", field);
        return draft;
    }

    private Draft prompted(Draft draft) throws IOException {
        var texts = Stream.concat(prompts.stream(), words.stream()).toList();
        var all = Stream.concat(texts.stream(), templates.stream().map(Sheaf::template)).toList();
        return data != null ? draft.prompts(all, rows()) : !templates.isEmpty() ? draft.prompts(all)
            : draft.name(slug(texts.get(0))).prompts("{{prompt}}", literally(texts));
    }

    /** Returns a name that tells one question from another in a list of batches. */
    private static String slug(String prompt) {
        var words = prompt.toLowerCase(Locale.ROOT).replaceAll("[^a-z0-9]+", "-").replaceFirst("^-", "");
        return words.isEmpty() ? "prompts" : words.substring(0, Math.min(words.length(), 40)).replaceFirst("-$", "");
    }

    /** As a value in a row, a prompt is sent as it stands, and stands beside its answer. */
    private static Data literally(List<String> texts) {
        return Sheaf.rows(texts.stream().map(text -> Map.of("prompt", text)).toList());
    }

    private static <T> Draft set(Draft draft, T value, BiFunction<Draft, T, Draft> step) {
        return value == null ? draft : step.apply(draft, value);
    }

    // ---- rows ----

    private Data rows() throws IOException {
        refuseIf(limit != null && limit < 1, "limit: " + limit + " is less than 1");
        var rows = data.equals("-") ? piped(System.in) : isPipe(data) ? piped(Files.newInputStream(Path.of(data)))
            : file(data, ending(data));
        return limit == null ? rows : rows.limit(limit);
    }

    private static Data file(String file, String format) {
        return switch (format) {
            case "csv" -> csv(file);
            case "jsonl" -> jsonl(file);
            case "json" -> json(file);
            default -> throw new IllegalArgumentException("data: " + file + " ends in none of .csv, .jsonl and .json");
        };
    }

    /** A pipe has a name too, as in {@code --data <(psql ...)}. */
    private static boolean isPipe(String file) {
        var path = Path.of(file);
        return Files.exists(path) && !Files.isRegularFile(path) && !Files.isDirectory(path);
    }

    /** Rows are read more than once, a pipe is not: it goes into a file that only its user can read. */
    private Data piped(InputStream in) throws IOException {
        if (in == System.in && terminal.test(0)) System.err.println("data: type the rows, and then Ctrl-D");
        var file = scratch("stdin");
        Files.copy(in, file);
        return file(file.toString(), format(file));
    }

    private static String format(Path file) throws IOException {
        try (var in = Files.newInputStream(file)) {
            var start = new String(in.readNBytes(1 << 16), StandardCharsets.ISO_8859_1)
                .replaceFirst("^\u00ef\u00bb\u00bf", "").strip();
            refuseIf(start.isEmpty(), "data: standard input is empty; pipe rows into it, or name a file");
            return start.startsWith("{") ? "jsonl" : start.startsWith("[") ? "json" : "csv";
        }
    }

    /** Returns a file of this name in a folder of its own, which is gone when the command ends. */
    private static Path scratch(String name) throws IOException {
        var folder = Files.createTempDirectory("sheaf-ask");
        folder.toFile().deleteOnExit();
        folder.resolve(name).toFile().deleteOnExit();
        return folder.resolve(name);
    }

    // ---- where the answers go ----

    private boolean isFile() { return out != null && !out.equals("-"); }

    /** What is wrong with the file is said while nothing has been sent. */
    private void checkOut() throws IOException {
        if (!isFile()) return;
        refuseIf(!ending(out).matches("csv|jsonl"), "out: " + out + " ends in neither .csv nor .jsonl");
        var file = Path.of(out).toAbsolutePath().normalize();
        refuseIf(Files.isDirectory(file), "out: " + out + " is a folder; name a file in it");
        refuseIf(Files.exists(file) && !force, "out: " + out + " exists; give another name, or --force");
        refuseIf(!Files.isDirectory(file.getParent()), "out: no folder " + file.getParent() + "; make it first");
        refuseIf(!Files.isWritable(file.getParent()), "out: cannot write to " + file.getParent());
        for (var input : Stream.concat(Stream.ofNullable(data), templates.stream()).map(Path::of).toList())
            refuseIf(Files.exists(file) && Files.exists(input) && Files.isSameFile(file, input),
                "out: " + out + " is what is read; give another name");
    }

    private int write(Results results) throws IOException {
        if (isFile()) writeFile(results);
        else if (out == null && terminal.test(1)) show(results);
        else print(results);
        var failed = results.failed();
        if (failed.size() == 0) return 0;
        System.err.println("ask: " + failed.size() + " of " + results.size() + " requests "
            + (failed.size() == 1 ? "has" : "have") + " no whole answer (" + text(failed.counts())
            + "); result.error says why" + (repair != null ? "" : ", and --repair 1 sends again what may end better"));
        return 1;
    }

    private void writeFile(Results results) {
        if (Files.exists(Path.of(out)) && !force)
            throw new IllegalStateException("out: " + out + " was made meanwhile; run again with another name, "
                + "nothing is sent twice");
        if (ending(out).equals("csv")) results.toCsv(out);
        else results.toJsonl(out);
        System.err.println("wrote " + out + " (" + text(results.counts()) + "; " + results.usage() + ")");
    }

    /** The library knows how wide a terminal is unless rows come by a pipe. */
    private static void show(Results results) {
        if (System.console() == null && System.getenv("COLUMNS") == null && System.getProperty("COLUMNS") == null)
            try {
                var stty = new ProcessBuilder("stty", "size").redirectInput(Path.of("/dev/tty").toFile()).start();
                var size = new String(stty.getInputStream().readAllBytes(), StandardCharsets.US_ASCII).strip();
                System.setProperty("COLUMNS", size.replaceFirst(".* ", ""));
            } catch (IOException noTerminal) {
                // then it is as wide as the library thinks
            }
        results.show();
    }

    private static void print(Results results) throws IOException {
        var lines = scratch("stdout");
        results.toJsonl(lines);
        Files.copy(lines, System.out);
        System.out.flush();
    }

    private static String text(Map<Outcome, Long> counts) {
        return counts.entrySet().stream().map(entry -> entry.getValue() + " " + entry.getKey())
            .collect(Collectors.joining(", "));
    }

    /** Java itself knows only whether all streams are a terminal, and rows may come by a pipe. */
    private static boolean isTerminal(int stream) {
        try {
            return new ProcessBuilder("test", "-t", String.valueOf(stream)).inheritIO().start().waitFor() == 0;
        } catch (IOException noSuchProgram) {
            return System.console() != null;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return false;
        }
    }

    // ---- words ----

    private static String ending(String file) {
        return file.contains(".") ? file.replaceFirst("(?s).*\\.", "").toLowerCase(Locale.ROOT) : "";
    }

    private static void refuseIf(boolean fault, String sentence) {
        if (fault) throw new IllegalArgumentException(sentence);
    }

    private static Provider provider(String nameOrUrl) {
        try {
            return Provider.named(nameOrUrl);
        } catch (IllegalArgumentException | IllegalStateException neither) {
            throw new TypeConversionException(neither.getMessage().replaceFirst("^provider: ", ""));
        }
    }

    private static String misused(ParameterException e) {
        var near = e instanceof UnmatchedArgumentException unmatched ? unmatched.getSuggestions() : List.<String>of();
        var fault = e.getMessage().replaceFirst("is not an? (int|long|double)$", "is no number");
        return "ask: " + fault + (near.isEmpty() ? "; try 'ask --help'"
            : "; did you mean " + String.join(" or ", near) + "?");
    }

    private static int failed(int status, String sentence) {
        System.err.println(sentence);
        return status;
    }

    /** A number after --preview is its own; anything else is the next argument. */
    static final class Count implements IParameterPreprocessor {
        @Override public boolean preprocess(Stack<String> args, CommandSpec command, ArgSpec option,
                                            Map<String, Object> info) {
            if (args.isEmpty() || !args.peek().matches("[0-9]{1,9}")) args.push("3");
            return false;
        }
    }

    // ---- what the library advises in Java, said in options ----

    /** An answer may hold anything, so nothing but the line below the table is touched. */
    private static final Map<String, String> TABLE =
        Map.of("(?m)^([0-9,]+ more); toCsv\\(file\\) writes", "$1; --out FILE.csv writes");
    private static final Map<String, String> ADVICE = Map.ofEntries(
        Map.entry("did you mean template\\(\"(.*?)\"\\)\\?", "did you mean --template $1?"),
        Map.entry("give it as prompts\\(\\w+, csv\\(\\.\\.\\.\\)\\)", "give --data FILE"),
        Map.entry("for text write prompts\\(.*\\) or template\\(name, text\\)", "for text write --prompt"),
        Map.entry("name one by template\\(name, text\\)", "rename one of the files"),
        Map.entry("a word of its own: model\\(.*system\\(\\.\\.\\.\\)",
            "an option of its own: --model, --prompt or --system"),
        Map.entry("models\\(\\) lists", "./jbang models lists"),
        Map.entry("choose with provider\\(\"(.*?)\"\\)", "choose with --provider $1"),
        Map.entry("which results\\(\\)\\.retry\\(\\) or repair\\(1\\) sends", "which --repair 1 sends"),
        Map.entry("where reuse\\(\\) would send", "where --reuse would send"),
        Map.entry("or batch\\(\"(.*?)\"\\), to come back", "or ./jbang results $1, to come back"),
        Map.entry("and await\\(\\) submits", "and this command submits"),
        Map.entry("use toJsonl\\(\\.\\.\\.\\)", "give --out FILE.jsonl"),
        Map.entry("\\S*sheaf-ask[0-9]+\\Wstdin\\b", "standard input"));

    private static final class Reworded extends PrintStream {
        private final PrintStream to;
        private final Map<String, String> words;

        Reworded(PrintStream to, Map<String, String> words) {
            super(to, true);
            this.to = to;
            this.words = words;
        }

        @Override public void print(String text) {
            for (var word : words.entrySet()) text = text.replaceAll(word.getKey(), word.getValue());
            to.print(text);
        }
    }
}
