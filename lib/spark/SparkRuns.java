package sheaf;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.time.Instant;
import java.util.stream.Stream;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;

/** Where the files of runs are, and why one failed. */
final class SparkRuns {
    /** After so long nobody waits for the answers of a run any more whose driver was killed. */
    private static final Duration ABANDONED = Duration.ofDays(30);
    private static final String OWN_SENTENCE = "(?s)[a-zA-Z]+: .*";

    private SparkRuns() {}

    /** Returns what rows are called: after their file, or the folder that all their files are in. */
    static String name(Dataset<Row> frame) {
        var files = Stream.of(frame.inputFiles()).map(Path::new).toList();
        var folders = files.stream().map(Path::getParent).distinct().toList();
        if (folders.size() != 1 || folders.get(0) == null) return "data";
        boolean isOfFolder = files.size() > 1 || files.get(0).getName().startsWith("part-");
        return (isOfFolder ? folders.get(0) : files.get(0)).getName();
    }

    /** Returns the folder of all runs; what was left there by drivers that were killed long ago is deleted. */
    static PartFiles folder(SparkSession spark, String named) {
        var context = spark.sparkContext();
        try {
            var folder = named != null ? named : usual(context.master(), FileSystem.get(context.hadoopConfiguration()));
            sweep(new Path(folder).getFileSystem(context.hadoopConfiguration()), new Path(folder));
            return new PartFiles(folder, context.hadoopConfiguration());
        } catch (IOException e) {
            throw new UncheckedIOException("spark: cannot reach the folder " + named + " ("
                + Messages.reason(e) + ")", e);
        }
    }

    private static String usual(String master, FileSystem files) throws IOException {
        if (master.matches("local(\\[.*)?"))
            return new Path(AtomicFiles.privateFolder(Environment.home().resolve("spark")).toUri()).toString();
        if (!files.getScheme().equals("file")) return new Path(files.getHomeDirectory(), ".sheaf/spark").toString();
        throw new IllegalArgumentException("spark: the executors are on other machines, which do not see "
            + files.getHomeDirectory().toUri().getPath() + " of this one; give a folder that all of them see, such as "
            + "hdfs:///tmp/sheaf or s3a://bucket/sheaf");
    }

    private static void sweep(FileSystem files, Path folder) throws IOException {
        if (!files.exists(folder)) return;
        long before = Instant.now().minus(ABANDONED).toEpochMilli();
        for (var run : files.listStatus(folder, path -> path.getName().startsWith("run-")))
            if (run.getModificationTime() < before) files.delete(run.getPath(), true);
    }

    /** Returns the sentence that a task or the driver has failed with, if it is one of Sheaf's. */
    static RuntimeException fault(Exception failure) {
        for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
            boolean isOurs = String.valueOf(cause.getMessage()).matches(OWN_SENTENCE)
                && cause.getStackTrace().length > 0 && !cause.getClass().getName().startsWith("org.apache.");
            if (isOurs && cause instanceof RuntimeException sentence) return sentence;
        }
        return failure instanceof RuntimeException unchecked ? unchecked
            : new IllegalStateException("spark: " + Messages.clip(String.valueOf(failure.getMessage()), 400), failure);
    }
}
