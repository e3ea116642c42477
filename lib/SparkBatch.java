//SOURCES Sheaf.java
//SOURCES spark/SparkValues.java spark/PartFiles.java spark/DraftShape.java spark/Rendering.java
//SOURCES spark/RenderedParts.java spark/AnsweredRows.java spark/SparkRuns.java
// 278 MB, that only who takes this file in downloads
//DEPS org.apache.spark:spark-sql_2.13:4.2.0
// Jackson in the one version that the client has: Spark names an older one
//DEPS com.fasterxml.jackson.core:jackson-core:2.22.4
//DEPS com.fasterxml.jackson.core:jackson-annotations:2.22
//DEPS com.fasterxml.jackson.datatype:jackson-datatype-jsr310:2.22.4
//DEPS com.fasterxml.jackson.module:jackson-module-scala_2.13:2.22.4
// Spark says little
//FILES log4j2.properties=spark/log4j2.properties
// what Spark has each JVM of its own open for it
//RUNTIME_OPTIONS -XX:+IgnoreUnrecognizedVMOptions
//RUNTIME_OPTIONS --add-opens=java.base/java.lang=ALL-UNNAMED --add-opens=java.base/java.lang.invoke=ALL-UNNAMED
//RUNTIME_OPTIONS --add-opens=java.base/java.lang.reflect=ALL-UNNAMED --add-opens=java.base/java.io=ALL-UNNAMED
//RUNTIME_OPTIONS --add-opens=java.base/java.net=ALL-UNNAMED --add-opens=java.base/java.nio=ALL-UNNAMED
//RUNTIME_OPTIONS --add-opens=java.base/java.util=ALL-UNNAMED --add-opens=java.base/java.util.concurrent=ALL-UNNAMED
//RUNTIME_OPTIONS --add-opens=java.base/java.util.concurrent.atomic=ALL-UNNAMED
//RUNTIME_OPTIONS --add-opens=java.base/jdk.internal.ref=ALL-UNNAMED --add-opens=java.base/sun.nio.ch=ALL-UNNAMED
//RUNTIME_OPTIONS --add-opens=java.base/sun.nio.cs=ALL-UNNAMED --add-opens=java.base/sun.security.action=ALL-UNNAMED
//RUNTIME_OPTIONS --add-opens=java.base/sun.util.calendar=ALL-UNNAMED
//RUNTIME_OPTIONS --enable-native-access=ALL-UNNAMED --sun-misc-unsafe-memory-access=allow

package sheaf;

import static org.apache.spark.sql.functions.col;
import static org.apache.spark.sql.functions.monotonically_increasing_id;
import static org.apache.spark.sql.functions.struct;
import static sheaf.Messages.given;

import java.time.Duration;
import java.util.UUID;
import java.util.stream.StreamSupport;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import sheaf.Sheaf.Batch;
import sheaf.Sheaf.Data;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Results;
import sheaf.Templates.Text;

/**
 * A draft over a DataFrame, whose requests are made and whose answers are joined where Spark has its rows.
 * <pre>{@code
 * import static sheaf.Sheaf.*;
 *
 * var draft = batch().model("gpt-4.1-mini").prompts("In Spanish: {{text}}", SparkBatch.rows(reviews));
 * try (var batch = SparkBatch.submit(draft)) {
 *     batch.answers().write().parquet("answered.parquet");
 * }
 * }</pre>
 * The driver alone uploads, creates, waits and downloads, by the journal under {@code ~/.sheaf} of its machine: a task
 * that is retried, speculated or recomputed pays nothing. The requests stand in the order of their content, whatever
 * the order of the rows, so the same rows are the same batch, to which a driver that is started anew attaches.
 */
public final class SparkBatch implements AutoCloseable {
    private static final String ROWS = "rows";
    private static final String KEYED = "keyed";
    private static final String PARTS = "parts";
    private final PartFiles files;                             // of this run
    private final Dataset<Row> keyed;
    private final DraftShape shape;
    private final Batch batch;
    private Results results;                                   // null: not yet waited for
    private Dataset<Row> answers;                              // likewise

    private SparkBatch(PartFiles files, Dataset<Row> keyed, DraftShape shape, Batch batch) {
        this.files = files;
        this.keyed = keyed;
        this.shape = shape;
        this.batch = batch;
    }

    /** Returns the rows of a DataFrame, for the prompts of a draft: {@code {{column}}}, {@code {{struct.field}}}. */
    public static Data rows(Dataset<Row> frame) {
        given("rows", frame);
        return new Sheaf.Dataset(new Rows(SparkRuns.name(frame), frame, () -> {
            var rows = (Iterable<Row>) frame::toLocalIterator;
            return StreamSupport.stream(rows.spliterator(), false).map(SparkValues::of);
        }));
    }

    /**
     * Submits a draft over the rows of a DataFrame; in local mode its files are under {@code ~/.sheaf/spark}, else in
     * {@code .sheaf/spark} of the home folder in Hadoop's file system.
     */
    public static SparkBatch submit(Draft draft) { return submit(draft, null); }

    /**
     * Makes the requests of a draft over {@link #rows}, uploads them and creates the batch. Returns before any request
     * has run. The DataFrame is computed once; what was submitted before is not sent again.
     * @param folder for the files of the run, which all machines see: {@code hdfs://}, {@code s3a://}, {@code file://}
     * @throws IllegalArgumentException if the rows, a template or a setting is at fault; nothing was sent
     */
    public static SparkBatch submit(Draft draft, String folder) {
        var provider = given("submit", draft).provider == null ? Provider.chosen() : draft.provider;
        var settings = draft.provider(provider).checkedSettings();
        var frame = frame(settings);
        var shape = DraftShape.of(settings, provider.connection());
        new AnsweredRows(shape, null).columns(frame.schema());
        var files = SparkRuns.folder(frame.sparkSession(), folder).in("run-" + UUID.randomUUID());
        try {
            var keyed = keyed(frame, shape, files);
            int parts = Rendering.parts(keyed.count());
            var batch = draft.provider(provider).with(rendered(settings, files.in(PARTS), parts)).submit();
            files.in(PARTS).delete();
            return new SparkBatch(files, keyed, shape, batch);
        } catch (Exception e) {                                // Spark throws checked ones that it does not declare
            files.delete();
            throw SparkRuns.fault(e);
        }
    }

    @SuppressWarnings("unchecked")
    private static Dataset<Row> frame(Settings settings) {
        if (settings.out != null) throw new IllegalStateException("out: Spark writes the answers, as by "
            + "answers().write().parquet(\"answered.parquet\")");
        if (settings.data == null || !(settings.data.origin() instanceof Dataset<?> frame))
            throw new IllegalArgumentException("spark: the draft is not over a DataFrame; call prompts(text, "
                + "SparkBatch.rows(frame)) of it");
        return (Dataset<Row>) frame;
    }

    /** What is computed anew could be other rows, so they are written down before anything is made of them. */
    private static Dataset<Row> keyed(Dataset<Row> frame, DraftShape shape, PartFiles files) {
        var spark = frame.sparkSession();
        frame.select(struct(col("*")).as(Rendering.ROW), monotonically_increasing_id().as(Rendering.POSITION))
            .write().parquet(files.path(ROWS));
        var rows = spark.read().parquet(files.path(ROWS));
        Rendering.keyed(rows, shape, Rendering.parts(rows.count()), files.in(PARTS))
            .write().parquet(files.path(KEYED));
        files.in(ROWS).delete();
        return spark.read().parquet(files.path(KEYED));
    }

    /** The same draft, but of rows whose requests are made already. */
    private static Settings rendered(Settings settings, PartFiles files, int parts) {
        return settings.with(s -> {
            s.data = Rows.rendered(settings.data.name(), () -> RenderedParts.open(files, parts));
            if (s.customId != null) s.customId = Text.compiled("customId", "{{" + Rendering.KEPT_ID + "}}");
        });
    }

    /** Returns the batch at the provider, which is kept like any other. */
    public Batch batch() { return batch; }

    /** Waits, and returns the results as the driver has them: each row is no more than its key. */
    public Results results() { return results(Deadline.FOREVER); }

    /**
     * Waits at most so long.
     * @throws sheaf.Vocabulary.StillRunningException if the batch has not ended by then; it goes on
     */
    public synchronized Results results(Duration timeout) {
        if (results == null) results = batch.results(timeout);
        return results;
    }

    /**
     * Waits, and returns the rows in their order, each with {@code id}, {@code outcome}, {@code answer}, {@code error}
     * and {@code tokens}; where the draft has several prompts or models a row stands there for each, with {@code
     * template} or {@code model}. Where the rows have a column of that name, ours begins with {@code result_}. An
     * answer of {@code choice} is a label, one of {@code returning} JSON.
     */
    public synchronized Dataset<Row> answers() {
        if (answers != null) return answers;
        var rows = new AnsweredRows(shape, files.in("answers"));
        rows.write(results().exchanges);
        return answers = rows.of(keyed);
    }

    /** Deletes the files of this run, so {@link #answers()} are to be written before; the batch itself stays kept. */
    @Override public void close() { files.delete(); }

    @Override public String toString() { return "SparkBatch[" + batch + "]"; }
}
