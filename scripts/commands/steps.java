///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Take one step of a batch: upload, submit, status, results, batches, cancel, models or files
// a life of half a second has no use for the second compiler
//RUNTIME_OPTIONS -XX:TieredStopAtLevel=1 -XX:+NeverActAsServerClassMachine
//SOURCES ../../lib/Sheaf.java
//SOURCES NameOption.java
//SOURCES OutputOptions.java
//SOURCES ProviderOption.java
//SOURCES Typed.java
//SOURCES TimeConverter.java
//DEPS info.picocli:picocli:4.7.7

package sheaf.commands;

import static sheaf.Sheaf.*;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.MissingNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneId;
import java.time.format.DateTimeFormatter;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.ListResourceBundle;
import java.util.Map;
import java.util.ResourceBundle;
import java.util.function.Function;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.ScopeType;
import picocli.CommandLine.Spec;

/** The steps of the guide, one command each; an alias of the catalog gives the first argument. */
@Command(name = "steps", sortOptions = false,
    customSynopsis = "steps upload|submit|status|results|batches|cancel|models|files [OPTION]...",
    description = "Takes one step of a batch; 'steps STEP --help' says more of it.")
class steps implements Runnable {
    /** What options that other commands have too do in these. */
    private static final ResourceBundle WORDS = new ListResourceBundle() {
        @Override protected Object[][] getContents() {
            return new Object[][] {
                {"provider", "who is asked: a name, such as openai, or a base URL (default: as in a script, "
                    + "SHEAF_PROVIDER, OPENAI_BASE_URL or the only key that is set)"},
                {"engine", "who is asked instead, if it has no batches: ollama, openrouter, ... or a base URL "
                    + "(default: SHEAF_ENGINE)"},
                {"name", "what it is kept and found under (default: the file's)"},
                {"out", "writes all to a file instead: .csv, .jsonl or .html"},
                {"force", "writes over files, whoever wrote them"}};
        }
    };
    private static final DateTimeFormatter MINUTE =
        DateTimeFormatter.ofPattern("yyyy-MM-dd HH:mm").withZone(ZoneId.systemDefault());

    @Mixin ProviderOption provider;

    @Option(names = {"-h", "--help"}, usageHelp = true, scope = ScopeType.INHERIT, order = 9,
        description = "shows this text")
    boolean help;

    @Spec CommandSpec spec;

    public static void main(String... args) { System.exit(run(args)); }

    static int run(String... args) {
        return Typed.run(new CommandLine(new steps()).setResourceBundle(WORDS), () -> false, args);
    }

    @Override public void run() {
        throw new ParameterException(spec.commandLine(), "no step; give one of "
            + String.join(", ", spec.subcommands().keySet()));
    }

    @Command(name = "upload", sortOptions = false, customSynopsis = "upload FILE [OPTION]...",
        description = {"Uploads a JSON Lines file of requests, each checked before, and creates no batch yet.",
            "The id of the input file goes to stdout; of a file too large for one batch, an id for each part."})
    void upload(
        @Parameters(paramLabel = "FILE", description = "a JSON Lines file of requests, as ./jbang jsonl writes one")
        String file,
        @Mixin NameOption name,
        @Option(names = "--window", paramLabel = "TIME",
            description = "how long the batch may take (default: 24h)") String window) {
        var batch = draft(file, name, window).upload();
        var ids = batch.parts().stream().map(Part::inputFileId).toList();
        ids.forEach(System.out::println);
        System.err.println("to go on: " + Typed.launcher() + " submit " + ids.get(0) + again());
    }

    @Command(name = "submit", sortOptions = false, customSynopsis = "submit FILE|ID [OPTION]...",
        description = {"Creates a batch of a JSON Lines file of requests, or of one that was uploaded.",
            "The batch's id goes to stdout, one line whatever its parts: id=$(./jbang submit requests.jsonl).",
            "What was submitted before is not sent again: its id is printed."})
    int submit(
        @Parameters(paramLabel = "FILE|ID", description = "a JSON Lines file of requests, or what upload printed")
        String fileOrId,
        @Mixin NameOption name,
        @Option(names = "--window", paramLabel = "TIME",
            description = "how long the batch may take (default: 24h)") String window,
        @Option(names = "--wait", description = "waits until the batch has ended") boolean wait) {
        boolean isFile = Files.exists(path("submit", fileOrId)) || fileOrId.matches("(?s).*([.]jsonl?|[/\\\\].*)");
        var batch = isFile ? draft(fileOrId, name, window).submit() : uploaded(fileOrId, name, window).submit();
        System.out.println(batch.id());
        if (wait) batch.await();
        System.err.println("to go on: " + Typed.launcher() + (wait ? "" : " status " + batch.id() + again() + ", or "
            + Typed.launcher())
            + " results " + batch.id() + again());
        return wait ? batch.exitCode().number() : 0;
    }

    private Draft draft(String file, NameOption name, String window) {
        var draft = name.setOn(provider.setOn(batch().requests(file)));
        return window == null ? draft : draft.completionWindow(window);
    }

    private Batch uploaded(String id, NameOption name, String window) {
        var uploaded = find(id, provider -> "submit: there is no file " + id + " here, and no upload of this id is "
            + "known here; give the file itself: " + Typed.launcher() + " submit requests.jsonl");
        if (!name.isGiven() && window == null) return uploaded;
        throw new IllegalArgumentException("submit: " + (name.isGiven() ? "--name" : "--window") + " was settled when "
            + id + " was uploaded; for another one give the file itself");
    }

    @Command(name = "status", sortOptions = false, customSynopsis = "status ID [OPTION]...",
        description = {"Says where a batch stands, without waiting.", ""})
    void status(
        @Parameters(paramLabel = "ID", description = "the batch's id, or the name it was submitted under") String id,
        @Option(names = "--json", description = "prints what the provider says, an object for each part")
        boolean json) {
        var batch = batchOf("status", id);
        var parts = batch.parts();
        if (json) parts.forEach(part -> System.out.println(part.json().toPrettyString()));
        else print(describe(batch, parts));
    }

    private static Map<String, Object> describe(Batch batch, List<Part> parts) {
        var json = parts.isEmpty() ? MissingNode.getInstance() : parts.get(0).json();
        var lines = new LinkedHashMap<String, Object>();
        lines.put("batch", batch.id());
        lines.put("name", batch.name());
        lines.put("provider", batch.provider().label());
        lines.put("status", batch.status());
        lines.put("requests", batch.requestCounts());
        for (var time : List.of("created", "expires", "completed", "failed", "expired", "cancelled"))
            lines.put(time, time(json.path(time + "_at")));
        if (parts.size() > 1) parts.forEach(part -> lines.put("part " + (parts.indexOf(part) + 1), part.id() + " "
            + part.status() + " " + part.requestCounts()));
        else parts.forEach(part -> addFiles(part, lines));
        lines.put("errors", errors(batch));
        return lines;
    }

    private static void addFiles(Part part, Map<String, Object> lines) {
        lines.put("input file", part.inputFileId());
        lines.put("output file", part.outputFileId());
        lines.put("error file", part.errorFileId());
    }

    /** Some providers say the seconds as text. */
    private static String time(JsonNode seconds) {
        return seconds.asLong() == 0 ? "" : MINUTE.format(Instant.ofEpochSecond(seconds.asLong()));
    }

    /** Why a batch failed before anything ran; "" if it did not. */
    private static String errors(Batch batch) {
        try {
            if (batch.isOver()) batch.await();
            return "";
        } catch (BatchException failed) {
            return failed.getMessage().replaceFirst("^await: .* failed; ", "")
                .replaceAll("[:,] (?=(line|row) [0-9]+ )", "$0\n             ").replaceAll(" (?=\n)", "");
        }
    }

    private static void print(Map<String, Object> lines) {
        lines.forEach((word, value) -> {
            if (!value.toString().isEmpty()) System.out.printf("%-11s  %s%n", word, value);
        });
    }

    @Command(name = "results", sortOptions = false, customSynopsis = "results ID [OPTION]...",
        description = {"Waits until a batch has ended, fetches its answers and prints the first as a table.", ""})
    int results(
        @Parameters(paramLabel = "ID", description = "the batch's id, or the name it was submitted under") String id,
        @Option(names = "--wait", paramLabel = "TIME", converter = TimeConverter.class,
            description = "waits at most so long, such as 10m (default: until the end)") Duration wait,
        @Option(names = "--resend-missing", description = "sends again, and pays for, what has no answer in the "
            + "provider's files or in files that are gone") boolean resendMissing,
        @Mixin OutputOptions output) throws IOException {
        output.check(List.of());                               // before a wait of hours
        var batch = batchOf("results", id);
        output.checkOwner(batch::checkOutput);
        var results = wait == null ? batch.results() : batch.results(wait);
        var missing = results.only(Outcome.MISSING);
        if (resendMissing && missing.size() > 0) results = results.merge(missing.retry().submit().results());
        output.write(results, true, () -> true);
        return results.exitCode().number();
    }

    @Command(name = "batches", sortOptions = false, customSynopsis = "batches [N] [OPTION]...",
        description = {"Lists the newest batches, at the provider and kept here.", ""})
    int batches(
        @Parameters(paramLabel = "N", arity = "0..1", defaultValue = "20",
            description = "at most so many (default: ${DEFAULT-VALUE})") int limit) {
        try {
            provider.askable("batches").map(asked -> asked.batches(limit)).orElseGet(() -> kept().first(limit)).show();
            return 0;
        } catch (UncheckedIOException unreachable) {
            var kept = kept().first(limit);
            if (kept.isEmpty()) throw unreachable;
            kept.show();
            return failed(unreachable.getMessage());
        }
    }

    @Command(name = "models", sortOptions = false, customSynopsis = "models [OPTION]...",
        description = {"Lists the provider's models.", ""})
    void models() { provider.chosen().models().show(); }

    @Command(name = "files", sortOptions = false, customSynopsis = "files [OPTION]...",
        description = {"Lists the files that the provider keeps.", ""})
    void files() { provider.chosen().files().show(); }

    @Command(name = "cancel", sortOptions = false, customSynopsis = "cancel ID [OPTION]...",
        description = {"Asks the provider to stop a batch; what has been answered by then stays.", ""})
    int cancel(
        @Parameters(paramLabel = "ID", description = "the batch's id, or the name it was submitted under") String id) {
        var batch = batchOf("cancel", id).cancel();
        var status = batch.status();
        if (status.isTerminal() && !status.equals(Status.CANCELLED))
            return failed("cancel: " + batch.id() + " is " + status + " already; " + Typed.launcher() + " results "
                + batch.id() + again() + " fetches what there is");
        System.out.println(batch.id() + " " + status);
        return 0;
    }

    private static int failed(String sentence) {
        System.err.println(sentence);
        return ExitCode.FAILED.number();
    }

    private Batch batchOf(String step, String id) {
        return find(id, provider -> step + ": no batch " + id + " at " + provider + elsewhere(id)
            + (id.matches("file-.*") ? "; that is the id of a file" : "")
            + "; " + Typed.launcher() + " batches" + again() + " lists what there is");
    }

    private Batch find(String id, Function<String, String> unknown) {
        try {
            return provider.find(id);
        } catch (BatchException e) {
            if (e.status() != 404) throw e;
            throw new IllegalArgumentException(unknown.apply(provider.chosen().label()), e);
        }
    }

    /** One that is kept here may be another provider's than was named. */
    private static String elsewhere(String id) {
        return kept().stream().filter(batch -> List.of(batch.id(), batch.name()).contains(id)).findFirst()
            .map(batch -> "; it is one of " + batch.provider().label()).orElse(", and none is kept here");
    }

    private static Path path(String step, String file) {
        try {
            return Path.of(file);
        } catch (InvalidPathException e) {
            throw new IllegalArgumentException(step + ": " + file + " is no name of a file", e);
        }
    }

    /** What a next command has to say too. */
    private String again() {
        var given = spec.commandLine().getParseResult().subcommand().matchedOption("--provider");
        return given == null ? "" : " --provider " + given.originalStringValues().get(0);
    }
}
