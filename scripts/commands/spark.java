///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Ask a model one prompt for each row of a DataFrame, by Spark (278 MB, once) on this machine or a cluster
//SOURCES ../../lib/SparkBatch.java
//SOURCES PromptOptions.java
//SOURCES RequestOptions.java
//SOURCES SendingOptions.java
//SOURCES ProviderOption.java
//SOURCES SparkFiles.java
//SOURCES Typed.java
//DEPS info.picocli:picocli:4.7.7

package sheaf.commands;

import java.io.IOException;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import org.apache.spark.SparkConf;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import sheaf.Sheaf.Draft;
import sheaf.SparkBatch;

@Command(name = "spark", sortOptions = false,
    customSynopsis = "spark --model MODEL --data DATA --out OUT [OPTION]... [PROMPT]...",
    description = {
        "Sends a prompt for each row of a DataFrame as a batch, waits, and writes each answer beside its row.",
        "",
        "Spark makes the requests and joins the answers, here or on a cluster; only this program sends anything, so a "
            + "task that runs twice pays nothing. The same command, run again, comes back to the same batch. On one "
            + "machine ask is faster: docs/scale.md. The first run fetches Spark, 278 MB.", ""},
    footer = {"",
        "Examples:",
        "  ./jbang spark -m gpt-4.1-mini -p 'In Spanish: {{text}}' -d reviews.parquet -o answered.parquet",
        "  ./jbang spark -m gpt-4.1-mini -p 'In Spanish: {{text}}' -d data/reviews.csv -o answered.csv --one-file",
        "",
        "The answers are the columns id, outcome, answer, error and tokens beside the rows' own; where the rows have "
            + "one of that name, ours begins with result_. Progress goes to stderr.",
        "",
        "Exit codes: 0 if every request has a whole answer; 1 if the provider refused or could not be reached; 2 if an "
            + "option, a prompt, the data or the key is at fault, and nothing was sent; 3 if some requests have no "
            + "whole answer; 75 if --wait is over and the batch goes on."})
public class spark implements Callable<Integer> {
    @Mixin PromptOptions prompt;

    @Option(names = {"-d", "--data"}, paramLabel = "DATA", required = true,
        description = "the rows: a file or a folder that Spark reads, such as reviews.parquet or s3a://bucket/reviews")
    String data;

    @Option(names = "--format", paramLabel = "FORMAT",
        description = "csv, jsonl, json or parquet (default: as the name of the data ends)")
    String format;

    @Option(names = {"-o", "--out"}, paramLabel = "OUT", required = true,
        description = "where the answers go: a folder that ends in .csv, .jsonl or .parquet, which Spark reads again")
    String out;

    @Option(names = "--one-file", description = "writes one file instead of a folder")
    boolean oneFile;

    @Option(names = "--force", description = "overwrites what is there, whoever wrote it (default: only a folder that "
        + "this command wrote from the same data)")
    boolean force;

    @Option(names = "--folder", paramLabel = "URI",
        description = "where the files of a run are until it ends; all machines of a cluster have to see it (default: "
            + "~/.sheaf/spark, on a cluster .sheaf/spark of the home folder in Hadoop's file system)")
    String folder;

    @Option(names = "--master", paramLabel = "MASTER",
        description = "where Spark runs (default: what spark-submit says, else all cores of this machine)")
    String master;

    @Option(names = "--conf", paramLabel = "KEY=VALUE", description = "a setting of Spark's; may be repeated")
    Map<String, String> conf = Map.of();

    @Option(names = "--distinct", description = "sends identical requests once; each row gets the answer")
    boolean distinct;

    @Option(names = "--budget", paramLabel = "DOLLARS",
        description = "refuses what could cost more, with all that was sent before under the same name")
    Double budget;

    @Mixin RequestOptions request;
    @Mixin SendingOptions sending;
    @Mixin ProviderOption provider;

    @Option(names = {"-h", "--help"}, usageHelp = true, order = 9, description = "shows this text")
    boolean help;

    private boolean isSent;

    /** YARN takes it for a failure if its driver exits by itself. */
    public static void main(String... args) {
        int status = run(args);
        if (status != 0 || new SparkConf().get("spark.master", "").isEmpty()) System.exit(status);
    }

    static int run(String... args) {
        var command = new spark();
        return Typed.run(new CommandLine(command).setExpandAtFiles(false), () -> command.isSent, args);
    }

    @Override public Integer call() throws IOException {
        prompt.check();
        SparkFiles.checkEnding(out);
        try (var session = session()) {
            var files = new SparkFiles(session);
            return answered(draft(read(files)), files);
        }
    }

    private SparkSession session() {
        var given = new SparkConf();
        var builder = SparkSession.builder().appName("sheaf");
        if (master != null) builder.master(master);
        if (master == null && !given.contains("spark.master")) builder.master("local[*,4]");
        if (master == null ? !given.contains("spark.master") : master.startsWith("local"))
            Map.of("spark.ui.enabled", "false", "spark.driver.host", "127.0.0.1", "spark.driver.bindAddress",
                "127.0.0.1", "spark.ui.showConsoleProgress", "false").forEach(builder::config);
        conf.forEach(builder::config);
        return builder.getOrCreate();
    }

    /** Spark says at length what is wrong with a file, and begins with that. */
    private Dataset<Row> read(SparkFiles files) {
        try {
            return files.read(data, format);
        } catch (IllegalArgumentException ours) {
            throw ours;
        } catch (Exception e) {                                // which Spark does not declare
            throw new IllegalArgumentException("data: cannot read " + data + " ("
                + String.valueOf(e.getMessage()).lines().findFirst().orElse("") + ")", e);
        }
    }

    private Draft draft(Dataset<Row> rows) {
        provider.checkAlone(sending.shares);
        var draft = request.setOn(sending.setOn(provider.setOn(prompt.over(SparkBatch.rows(rows)))));
        if (budget != null) draft = draft.budget(budget);
        return distinct ? draft.distinct() : draft;
    }

    private int answered(Draft draft, SparkFiles files) throws IOException {
        if (!force) files.checkOwner(out, data);
        try (var batch = SparkBatch.submit(draft, folder)) {
            isSent = true;
            var results = sending.wait == null ? batch.results() : batch.results(sending.wait);
            files.write(batch.answers(), out, data, oneFile);
            if (!sending.quiet) System.err.println("wrote " + out + " (" + results.counts().entrySet().stream()
                .map(count -> String.format(Locale.ROOT, "%,d %s", count.getValue(), count.getKey()))
                .collect(Collectors.joining(", ")) + "; " + results.usage() + ")");
            return results.exitCode().number();
        }
    }
}
