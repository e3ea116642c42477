//SOURCES FileFormat.java

package sheaf.commands;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.apache.spark.sql.functions.col;
import static org.apache.spark.sql.functions.to_json;

import java.io.IOException;
import java.util.Map;
import java.util.UUID;
import java.util.stream.Stream;
import org.apache.hadoop.fs.ChecksumFileSystem;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.spark.sql.Column;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.types.ArrayType;
import org.apache.spark.sql.types.MapType;
import org.apache.spark.sql.types.StructField;
import org.apache.spark.sql.types.StructType;

/** Files and folders that Spark reads and writes, in CSV, JSON Lines, JSON or Parquet as their names end. */
final class SparkFiles {
    /** CSV as RFC 4180 has it, and as the other commands read and write it. */
    private static final Map<String, String> CSV = Map.of("header", "true", "escape", "\"", "multiLine", "true",
        "mode", "FAILFAST", "emptyValue", "", "ignoreLeadingWhiteSpace", "false",
        "ignoreTrailingWhiteSpace", "false");
    private static final String MARK = "_sheaf";               // whose a folder is; Spark reads no file of such a name
    private final SparkSession spark;

    SparkFiles(SparkSession spark) { this.spark = spark; }

    /** Returns the rows; all cells of a CSV file are texts, and an empty one is a value. */
    Dataset<Row> read(String file, String format) {
        return switch (format == null ? FileFormat.ending(file) : format) {
            case "csv" -> spark.read().options(CSV).csv(file).na().fill("");
            case "jsonl" -> spark.read().json(file);
            case "json" -> spark.read().option("multiLine", true).json(file);
            case "parquet" -> spark.read().parquet(file);
            default -> throw new IllegalArgumentException("data: " + file
                + " ends in none of .csv, .jsonl, .json and .parquet; --format says what is in it");
        };
    }

    /** @throws IllegalArgumentException if that is no name for answers */
    static void checkEnding(String out) {
        if (!FileFormat.ending(out).matches("csv|jsonl|json|parquet"))
            throw new IllegalArgumentException("out: " + out + " ends in none of .csv, .jsonl and .parquet");
    }

    /** @throws IllegalStateException if something is there that was not written from this data */
    void checkOwner(String out, String data) throws IOException {
        var folder = new Path(out);
        var mark = new Path(folder, MARK);
        if (!files(folder).exists(folder)) return;
        if (files(folder).getFileStatus(folder).isDirectory() && files(folder).exists(mark))
            try (var in = files(mark).open(mark)) {
                if (new String(in.readAllBytes(), UTF_8).equals(data)) return;
            }
        throw new IllegalStateException("out: " + out + " exists, and was not written from " + data
            + "; give another name, or --force");
    }

    private FileSystem files(Path path) throws IOException {
        return path.getFileSystem(spark.sparkContext().hadoopConfiguration());
    }

    /** Writes a folder, or one file, under another name, which then takes the place of what is there. */
    void write(Dataset<Row> answers, String out, String data, boolean isOneFile) throws IOException {
        var target = new Path(out);
        var files = files(target);
        var unfinished = new Path(target.getParent() == null ? new Path(".") : target.getParent(),
            "." + target.getName() + "-" + UUID.randomUUID());
        try {
            save(isOneFile ? answers.coalesce(1) : answers, unfinished.toString(), FileFormat.ending(out));
            if (!isOneFile) mark(files, unfinished, data);
            var written = isOneFile ? files.globStatus(new Path(unfinished, "part-*"))[0].getPath() : unfinished;
            files.delete(target, true);
            if (!files.rename(written, target)) throw new IOException("cannot rename " + written);
            if (isOneFile && files instanceof ChecksumFileSystem summed)
                summed.getRawFileSystem().delete(summed.getChecksumFile(target), false);
        } finally {
            files.delete(unfinished, true);
        }
    }

    private static void mark(FileSystem files, Path folder, String data) throws IOException {
        try (var out = files.create(new Path(folder, MARK))) {
            out.write(data.getBytes(UTF_8));
        }
    }

    private static void save(Dataset<Row> answers, String folder, String format) {
        switch (format) {
            case "csv" -> answers.select(Stream.of(answers.schema().fields()).map(SparkFiles::cell)
                .toArray(Column[]::new)).write().options(CSV).csv(folder);
            case "parquet" -> answers.write().parquet(folder);
            default -> answers.write().json(folder);
        }
    }

    /** What CSV has no cell for is JSON in it. */
    private static Column cell(StructField field) {
        var value = col("`" + field.name().replace("`", "``") + "`");
        boolean isNested = field.dataType() instanceof StructType || field.dataType() instanceof ArrayType
            || field.dataType() instanceof MapType;
        return isNested ? to_json(value).as(field.name()) : value;
    }
}
