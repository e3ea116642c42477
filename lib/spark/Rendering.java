package sheaf;

import static org.apache.spark.sql.functions.col;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Spliterator;
import java.util.Spliterators;
import java.util.stream.StreamSupport;
import org.apache.spark.TaskContext;
import org.apache.spark.api.java.function.MapPartitionsFunction;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Encoders;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.util.TaskCompletionListener;

/**
 * Makes request lines of rows, on many machines, in an order and in parts that their content alone tells: however the
 * rows are spread, and however often a task runs, the parts hold the same bytes.
 */
final class Rendering {
    /** The columns of the rows that are kept: the user's own, in one, and where they stood. */
    static final String ROW = "row";
    static final String POSITION = "position";
    /** What tells a row from all others: a digest of its requests, and its number among those that ask the same. */
    static final String KEY = "key";
    /** Under which that stands in what the driver keeps of a row, and the user's id, if they have one. */
    static final String KEPT_KEY = "row";
    static final String KEPT_ID = "id";
    private static final String HASH = "hash";
    private static final String TIE = "tie";
    private static final String PART = "part";
    private static final int HASH_DIGITS = 32;
    private static final int PART_DIGITS = 4;
    private static final int PART_ROWS = 10_000;
    private static final int MOST_PARTS = 10_000;

    private Rendering() {}

    /** Returns in how many parts so many rows are written. */
    static int parts(long rows) { return (int) Math.max(1, Math.min(MOST_PARTS, (rows + PART_ROWS - 1) / PART_ROWS)); }

    static String partName(int part) { return String.format(Locale.ROOT, "part-%05d.jsonl", part); }

    /** Writes the parts, and gives the rows with their keys. */
    static Dataset<Row> keyed(Dataset<Row> rows, DraftShape shape, int parts, PartFiles files) {
        var own = rows.schema();
        var rendered = own.add(HASH, DataTypes.StringType).add(TIE, DataTypes.StringType)
            .add(PART, DataTypes.IntegerType).add("id", DataTypes.StringType)
            .add("models", DataTypes.createArrayType(DataTypes.StringType)).add("lines", DataTypes.BinaryType);
        return rows.mapPartitions(new Expansion(shape.asJson(), parts), Encoders.row(rendered))
            .repartition(parts, col(PART)).sortWithinPartitions(HASH, TIE, POSITION)
            .mapPartitions(new Parts(files), Encoders.row(own.add(KEY, DataTypes.StringType)));
    }

    /** The request lines of each row. */
    private record Expansion(String shape, int parts) implements MapPartitionsFunction<Row, Row> {
        @Override public Iterator<Row> call(Iterator<Row> rows) {
            return rows.hasNext() ? new Rendered(DraftShape.read(shape), parts, rows) : Collections.emptyIterator();
        }
    }

    private static final class Rendered implements Iterator<Row> {
        private final DraftShape shape;
        private final int parts;
        private final Templates.Text customId;
        private final Iterator<Request> requests;
        private SparkValues current;                           // the row that was read last

        Rendered(DraftShape shape, int parts, Iterator<Row> rows) {
            this.shape = shape;
            this.parts = parts;
            customId = shape.customIdTemplate();
            var read = Spliterators.spliteratorUnknownSize(rows, Spliterator.ORDERED);
            requests = named(() -> shape.requests(StreamSupport.stream(read, false).map(this::values)).iterator());
        }

        private Map<String, Object> values(Row row) {
            return current = SparkValues.of(row.getStruct(row.fieldIndex(ROW)), row);
        }

        private interface Step<T> {
            T take();
        }

        /** A row's number is one of its partition, which tells nobody anything. */
        private <T> T named(Step<T> step) {
            try {
                return step.take();
            } catch (IllegalArgumentException e) {
                if (current == null) throw e;
                var row = "the row " + Messages.clip(Json.text(current), 160).replace("\\", "\\\\").replace("$", "\\$");
                throw new IllegalArgumentException(e.getMessage().replaceFirst("\\brow [0-9]+\\b", row), e);
            }
        }

        @Override public boolean hasNext() { return named(requests::hasNext); }

        @Override public Row next() {
            var digest = new Json.Digest();
            var lines = new ByteArrayOutputStream();
            var models = new ArrayList<String>();
            SparkValues values = null;
            for (int i = 0; i < shape.requestsPerRow(); i++) {
                var request = named(requests::next);
                values = (SparkValues) request.values();
                digest.add(RenderedRow.Line.rest(request.line()));
                lines.writeBytes(request.line());
                models.add(request.model());
            }
            return row(values, digest.hex().substring(0, HASH_DIGITS), models, lines.toByteArray());
        }

        private Row row(SparkValues values, String hash, List<String> models, byte[] lines) {
            int part = (int) ((long) Integer.parseInt(hash.substring(0, PART_DIGITS), 16) * parts >> 4 * PART_DIGITS);
            var tie = Json.Digest.hex(Json.text(values)).substring(0, HASH_DIGITS);
            var id = customId == null ? null : named(() -> customId.render(Wording.CUSTOM_ID.of(), 0, values));
            var row = values.row();
            return RowFactory.create(row.get(0), row.get(1), hash, tie, part, id, models.toArray(), lines);
        }
    }

    /** The files of some parts, which come one after the other, each in the order of its keys. */
    private record Parts(PartFiles files) implements MapPartitionsFunction<Row, Row> {
        @Override public Iterator<Row> call(Iterator<Row> rows) { return new Keyed(files, rows); }
    }

    private static final class Keyed implements Iterator<Row> {
        private final PartFiles files;
        private final Iterator<Row> rows;
        private PartFiles.Writing file;                        // null: none is open
        private int part = -1;
        private String hash = "";
        private long repeat;                                   // of that hash, from 1

        Keyed(PartFiles files, Iterator<Row> rows) {
            this.files = files;
            this.rows = rows;
            TaskContext.get().addTaskCompletionListener((TaskCompletionListener) ended -> close());
        }

        @Override public boolean hasNext() {
            if (rows.hasNext()) return true;
            try {
                finish();
            } catch (IOException e) {
                throw files.cannotWrite(e);
            }
            return false;
        }

        @Override public Row next() {
            var row = rows.next();
            var found = row.<String>getAs(HASH);
            repeat = found.equals(hash) ? repeat + 1 : 1;
            hash = found;
            var key = hash + "-" + repeat;
            try {
                write(row, key);
            } catch (IOException e) {
                throw files.cannotWrite(e);
            }
            return RowFactory.create(row.get(0), row.get(1), key);
        }

        private void write(Row row, String key) throws IOException {
            int its = row.<Integer>getAs(PART);
            if (its != part) {
                finish();
                file = files.write(partName(part = its));
            }
            file.out().write(Json.line(head(row, key)));
            file.out().write(row.<byte[]>getAs("lines"));
        }

        private static Map<String, Object> head(Row row, String key) {
            var head = new LinkedHashMap<String, Object>();
            head.put(KEPT_KEY, key);
            if (row.getAs("id") != null) head.put(KEPT_ID, row.getAs("id"));
            head.put("models", row.getList(row.fieldIndex("models")));
            return head;
        }

        private void finish() throws IOException {
            if (file != null) file.finish();
            file = null;
        }

        /** Leaves what a task has begun that failed or was killed, which has said why. */
        private void close() {
            try {
                if (file != null) file.close();
            } catch (IOException known) {
                file = null;
            }
        }
    }
}
