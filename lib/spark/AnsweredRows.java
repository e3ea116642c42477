package sheaf;

import static org.apache.spark.sql.functions.col;
import static org.apache.spark.sql.types.DataTypes.DoubleType;
import static org.apache.spark.sql.types.DataTypes.IntegerType;
import static org.apache.spark.sql.types.DataTypes.LongType;
import static org.apache.spark.sql.types.DataTypes.StringType;

import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Stream;
import org.apache.spark.sql.Column;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.types.StructType;

/** Rows with their answers, in the order in which the rows stood: joined on many machines, by their keys. */
final class AnsweredRows {
    private static final String NUMBER = "n";                  // of an answer among those of its row
    private static final int FILE_ROWS = 50_000;
    private static final StructType ANSWERS = new StructType()
        .add(Rendering.KEY, StringType).add(NUMBER, IntegerType)
        .add("id", StringType).add("template", StringType).add("model", StringType).add("outcome", StringType)
        .add("answer", StringType).add("confidence", DoubleType).add("error", StringType).add("tokens", LongType);
    private final DraftShape shape;
    private final PartFiles files;                             // of the answers

    AnsweredRows(DraftShape shape, PartFiles files) {
        this.shape = shape;
        this.files = files;
    }

    /** Writes down what each row was answered. */
    void write(Exchanges results) {
        try (var stream = results.stream()) {
            var answers = stream.iterator();
            long number = 0;
            while (answers.hasNext())
                try (var writing = files.write(String.format(Locale.ROOT, "answers-%012d.jsonl", number))) {
                    do writing.out().write(Json.line(fields(answers.next(), (int) (number % shape.requestsPerRow()))));
                    while (++number % FILE_ROWS != 0 && answers.hasNext());
                    writing.finish();
                }
        } catch (IOException e) {
            throw files.cannotWrite(e);
        }
    }

    private Map<String, Object> fields(Exchange result, int number) {
        var fields = new LinkedHashMap<String, Object>();
        fields.put(Rendering.KEY, result.row(Rendering.KEPT_KEY));
        fields.put(NUMBER, number);
        fields.put("id", result.customId());
        fields.put("template", result.template());
        fields.put("model", result.model());
        fields.put("outcome", result.outcome().toString());
        if (result.ok()) fields.put("answer", answer(result));
        else fields.put("error", result.error());
        result.confidence().ifPresent(sure -> fields.put("confidence", sure));
        fields.put("tokens", result.usage().input() + result.usage().output());
        return fields;
    }

    private String answer(Exchange result) {
        if (shape.format() == null) return result.text();
        return shape.format().hasLabels() ? result.choice() : Json.text(result.as(Object.class));
    }

    /** Returns the rows with what was written down. */
    Dataset<Row> of(Dataset<Row> keyed) {
        var answers = keyed.sparkSession().read().schema(ANSWERS).json(files.path());
        var own = (StructType) keyed.schema().apply(Rendering.ROW).dataType();
        var columns = new ArrayList<>(Stream.of(own.fieldNames())
            .map(name -> col(Rendering.ROW).getField(name).as(name)).toList());
        columns(own).forEach((name, column) -> columns.add(col(column).as(name)));
        return keyed.join(answers, Rendering.KEY).orderBy(Rendering.POSITION, NUMBER)
            .select(columns.toArray(Column[]::new));
    }

    /**
     * Returns the columns of an answer by what they are called beside these.
     * @throws IllegalArgumentException if the rows have all names that one of them could have
     */
    Map<String, String> columns(StructType own) {
        var taken = Stream.of(own.fieldNames()).map(name -> name.toLowerCase(Locale.ROOT)).toList();
        var columns = new LinkedHashMap<String, String>();
        for (var column : answerColumns()) {
            var name = taken.contains(column) ? "result_" + column : column;
            if (taken.contains(name)) throw new IllegalArgumentException("spark: the rows have the columns " + column
                + " and " + name + ", and an answer needs one of these names; rename one");
            columns.put(name, column);
        }
        return columns;
    }

    /** What tells the answers of a row apart is only there where there are several. */
    private List<String> answerColumns() {
        var columns = new ArrayList<>(List.of("id", "template", "model", "outcome", "answer", "confidence", "error",
            "tokens"));
        if (shape.prompts().size() == 1) columns.remove("template");
        if (shape.models().size() == 1) columns.remove("model");
        if (shape.format() == null || !shape.format().confidence()) columns.remove("confidence");
        return columns;
    }
}
