//SOURCES ../../scripts/commands/spark.java

package sheaf.commands;

import static org.apache.spark.sql.functions.col;
import static org.apache.spark.sql.functions.lit;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.template;

import java.io.FilterOutputStream;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.apache.hadoop.fs.FSDataInputStream;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.RawLocalFileSystem;
import org.apache.hadoop.util.Progressable;
import org.apache.spark.TaskContext;
import org.apache.spark.scheduler.SparkListener;
import org.apache.spark.scheduler.SparkListenerTaskEnd;
import org.apache.spark.scheduler.SparkListenerTaskStart;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.SparkBatch;

/**
 * What SparkTest runs in a process of its own, for Spark's 173 jars are not on the class path of the tests: rows whose
 * tasks fail, and are killed, while requests are made and while answers are joined. It says on stdout what came of it.
 */
public class SparkFaults {
    private static final int ROWS = 25_000;                    // in three parts
    /** A name that is more than its columns: with what JSON writes otherwise, and what has no order. */
    private static final String PROMPT =
        "{{text}}|{{price}}|{{ratio}}|{{day}}|{{at}}|{{local}}|{{tags}}|{{author.name}}|{{author}}|{{sizes}}"
        + "{{#note}}|{{note}}{{/note}}";
    private static final Set<String> FAILED = ConcurrentHashMap.newKeySet();   // files that have failed once
    private static final Set<Integer> KILLED = ConcurrentHashMap.newKeySet();  // stages of which a task was killed
    private static final Set<Long> TASKS = ConcurrentHashMap.newKeySet();      // those tasks
    private static final AtomicInteger KILLS = new AtomicInteger();

    private SparkFaults() {}

    /** The arguments are the provider's URL and a folder. */
    public static void main(String... args) throws IOException, TimeoutException {
        try (var session = SparkSession.builder().master("local[2,3]").config("spark.ui.enabled", "false")
                .config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1")
                .config("spark.sql.shuffle.partitions", "4")
                .config("spark.hadoop.fs.faulty.impl", Faulty.class.getName()).getOrCreate()) {
            session.sparkContext().addSparkListener(new Killer(session));
            var rows = rows(session).cache();
            answer(draft(args[0], rows), rows, "faulty://" + args[1]);
            again(draft(args[0], rows.repartition(5, col("text"))));
            lacking(draft(args[0], rows.limit(1).withColumn("text", lit(null).cast("string"))));
            several(args[0], rows.limit(2));
            say("another's file", spark.run("--provider", args[0], "--model", "echo", "--prompt", "{{text}}", "--data",
                "rows.csv", "--out", "mine.csv"));
        }
    }

    private static Dataset<Row> rows(SparkSession spark) {
        return spark.range(ROWS).repartition(3).selectExpr("id as number", "concat('text ', id % 20000) as text",
            "cast(id / 4 as decimal(12,2)) as price", "id * 1e6 as ratio", "date'2024-01-31' as day",
            "timestamp'2024-01-31 10:00:00Z' as at", "timestamp_ntz'2024-01-31 10:00:00.5' as local",
            "array('b', null) as tags", "named_struct('name', 'Ana', 'born', date'1980-02-03') as author",
            "map('z', 1, 'a', 2) as sizes", "if(id = 7, 'odd', null) as note", "concat('id ', id) as id");
    }

    private static Draft draft(String url, Dataset<Row> rows) {
        return batch().provider(url).model("echo").name("faults").quiet().prompts(PROMPT, SparkBatch.rows(rows));
    }

    /** Says how often each row is there, and that its answer is what its prompt was. */
    private static void answer(Draft draft, Dataset<Row> rows, String folder) throws IOException, TimeoutException {
        try (var answered = SparkBatch.submit(draft, folder)) {
            say("failed while rendering", FAILED.size());
            say("killed while rendering", kills(rows));
            FAILED.clear();
            var answers = answered.answers().cache();
            say("columns", String.join(",", answers.columns()));
            say("rows", answers.count());
            say("failed while joining", FAILED.size());
            say("killed while joining", kills(rows));
            say("numbers", answers.select("number").distinct().count());
            say("own", answers.filter("answer like concat(text, '|%') and outcome = 'succeeded' and error is null "
                + "and tokens > 0").count());
            say("in order", numbers(answers).equals(numbers(rows)));
            say("ids", answers.select("result_id").distinct().count());
            say("batch", answered.batch().id());
            say("row 7", answers.filter("number = 7").first().<String>getAs("answer"));
            say("as on one machine", asked(draft).equals(asked(answered.batch().folder())));
        }
        try (var left = Files.list(Path.of(folder.replace("faulty://", "")))) {
            say("left", left.count());
        }
    }

    private static List<Long> numbers(Dataset<Row> rows) {
        return rows.select("number").collectAsList().stream().map(row -> row.getLong(0)).toList();
    }

    /** Returns what a draft asks where all is done on one machine, without ids and in no order. */
    private static List<String> asked(Draft draft) throws IOException {
        var file = Files.createTempFile("asked", ".jsonl");
        Files.delete(file);
        draft.toJsonl(file);
        return asked(Stream.of(file));
    }

    private static List<String> asked(Path folder) throws IOException {
        try (var files = Files.list(folder)) {
            return asked(files.filter(file -> file.getFileName().toString().matches("part-[0-9]+\\.jsonl")));
        }
    }

    private static List<String> asked(Stream<Path> files) {
        return files.flatMap(SparkFaults::lines).map(line -> line.replaceFirst("\"custom_id\":\"[^\"]*\",", ""))
            .sorted().toList();
    }

    private static Stream<String> lines(Path file) {
        try {
            return Files.readAllLines(file).stream();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** The same rows in another order and other partitions. */
    private static void again(Draft draft) {
        try (var answered = SparkBatch.submit(draft)) {
            say("batch again", answered.batch().id());
        }
    }

    private static void lacking(Draft draft) {
        try (var answered = SparkBatch.submit(draft)) {
            say("lacking", answered);
        } catch (IllegalArgumentException e) {
            say("lacking", e.getMessage());
        }
    }

    /** Two prompts and two models, labels and ids of the user's. */
    private static void several(String url, Dataset<Row> rows) {
        var draft = batch().provider(Provider.of(url)).model("one", "two").name("several").quiet().choice("text", "no")
            .customId("no. {{number}}").prompts(List.of(template("short", "text"), template("long", "Say {{text}}")),
                SparkBatch.rows(rows.orderBy("number").select("number", "text")));
        try (var answered = SparkBatch.submit(draft)) {
            answered.answers().select("number", "id", "template", "model", "outcome", "answer").collectAsList()
                .forEach(row -> say("several", row.mkString(" ")));
        }
    }

    /** Returns how many tasks have been killed since the last time, once their ends have all been heard. */
    private static int kills(Dataset<Row> rows) throws TimeoutException {
        rows.sparkSession().sparkContext().listenerBus().waitUntilEmpty(60_000);
        return KILLS.getAndSet(0);
    }

    private static void say(String what, Object value) { System.out.println(what + ": " + value); }

    /** Kills the first task of each stage of several, once. */
    private static final class Killer extends SparkListener {
        private final SparkSession spark;

        Killer(SparkSession spark) { this.spark = spark; }

        @Override public void onTaskStart(SparkListenerTaskStart start) {
            if (KILLED.contains(start.stageId())) return;
            TASKS.add(start.taskInfo().taskId());
            KILLED.add(start.stageId());
            spark.sparkContext().killTaskAttempt(start.taskInfo().taskId(), true, "a test");
        }

        /** Keeps the task that calls until the first of its stage is known, and that one until it is killed. */
        static void await() throws IOException {
            var task = TaskContext.get();
            try {
                while (task != null && (!KILLED.contains(task.stageId()) || TASKS.contains(task.taskAttemptId())))
                    Thread.sleep(5);
            } catch (InterruptedException killed) {
                throw new InterruptedIOException("killed");
            }
        }

        @Override public void onTaskEnd(SparkListenerTaskEnd end) {
            if (end.taskInfo().killed()) KILLS.incrementAndGet();
        }
    }

    /** The files of this machine, each of which fails once while it is written or read. */
    public static final class Faulty extends RawLocalFileSystem {
        private static final int WRITTEN = 100_000;            // bytes, before it fails

        @Override public URI getUri() { return URI.create("faulty:///"); }

        @Override public String getScheme() { return "faulty"; }

        private static boolean fails(org.apache.hadoop.fs.Path path, String name) {
            var file = path.getName().replaceFirst("^[.]([a-z]+-[0-9]+[.]jsonl).*", "$1");
            return file.matches(name) && FAILED.add(file);
        }

        @Override public FSDataOutputStream create(org.apache.hadoop.fs.Path path, boolean overwrite, int buffer,
                short replication, long block, Progressable progress) throws IOException {
            Killer.await();
            var out = super.create(path, overwrite, buffer, replication, block, progress);
            return fails(path, "part-[0-9]+[.]jsonl") ? new FSDataOutputStream(new FilterOutputStream(out) {
                private int written;

                @Override public void write(byte[] bytes, int offset, int length) throws IOException {
                    if ((written += length) > WRITTEN) throw new IOException("a fault");
                    out.write(bytes, offset, length);
                }
            }, null) : out;
        }

        @Override public FSDataInputStream open(org.apache.hadoop.fs.Path path, int buffer) throws IOException {
            Killer.await();
            if (fails(path, "answers-[0-9]+[.]jsonl")) throw new IOException("a fault");
            return super.open(path, buffer);
        }
    }
}
