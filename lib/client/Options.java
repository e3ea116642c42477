package sheaf;

import static sheaf.Messages.clip;
import static sheaf.Messages.given;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectReader;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** What the command line of a script may change in a draft; the draft knows how. */
enum Options {
    PROVIDER("--provider P"),
    MODEL("--model M[,M2]"),
    SYSTEM("--system S"),
    TEMPLATE("--template T[,T2]"),
    DATA("--data FILE"),
    SEPARATOR("--separator C"),
    CHARSET("--charset NAME"),
    HEADER("--header NAME[,NAME2]"),
    LIMIT("--limit N"),
    NAME("--name N"),
    MAX_TOKENS("--max-tokens N"),
    TEMPERATURE("--temperature X"),
    WITH("--with FIELD=VALUE");

    private static final ObjectReader WHOLE_VALUE = Json.MAPPER.reader()
        .with(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);
    private final String shape;

    Options(String shape) { this.shape = shape; }

    String word() { return shape.substring(0, shape.indexOf(' ')); }

    /** One option and a value that was given for it. */
    record Given(Options option, String value) {
        String first() { return value.split(",", -1)[0]; }

        String[] rest() {
            var all = value.split(",", -1);
            return Arrays.copyOfRange(all, 1, all.length);
        }

        int whole() {
            if (value.matches("[0-9]{1,9}")) return Integer.parseInt(value);
            throw fault(" is no whole number", null);
        }

        double number() {
            try {
                return Double.parseDouble(value);
            } catch (NumberFormatException e) {
                throw fault(" is no number", e);
            }
        }

        Rows rows() {
            var ending = value.replaceFirst("(?s).*\\.", "").toLowerCase(Locale.ROOT);
            return switch (ending) {
                case "csv" -> Rows.csv(CsvFile.of(InputFile.find("csv", value)));
                case "jsonl" -> Rows.jsonl(InputFile.find("jsonl", value));
                case "json" -> Rows.json(InputFile.find("json", value));
                default -> throw new IllegalArgumentException("options: --data " + clip(value, 80)
                    + " ends in none of .csv, .jsonl and .json");
            };
        }

        String field() { return value.substring(0, equals()); }

        /** Returns what a field is to be: JSON where it can be, so that a number is sent as a number. */
        Object fieldValue() {
            var text = value.substring(equals() + 1);
            try {
                var json = WHOLE_VALUE.readTree(text);
                return json.isMissingNode() ? text : json;
            } catch (JsonProcessingException e) {
                return text;
            }
        }

        private int equals() {
            int equals = value.indexOf('=');
            if (equals >= 1) return equals;
            throw new IllegalArgumentException("options: --with " + clip(value, 60) + " is no FIELD=VALUE");
        }

        private IllegalArgumentException fault(String what, Throwable cause) {
            return new IllegalArgumentException("options: " + option.word() + " " + clip(value, 40) + what, cause);
        }
    }

    /** Returns what is given, in the order in which it is done: of an option given twice the last, of --with all. */
    static List<Given> parse(String... args) {
        Arguments.whole(args);
        var values = new EnumMap<Options, List<Given>>(Options.class);
        for (int i = 0; i < args.length; i++) {
            var word = given("options", args[i]).replaceFirst("(?s)=.*", "");
            var option = named(word);
            boolean isInside = word.length() < args[i].length();           // --name=films
            if (!isInside && (++i == args.length || args[i].startsWith("--")))
                throw new IllegalArgumentException("options: " + word + " has no value; write " + option.shape);
            var given = values.computeIfAbsent(option, none -> new ArrayList<>());
            if (option != WITH) given.clear();
            given.add(new Given(option, isInside ? args[i].substring(word.length() + 1) : args[i]));
        }
        return values.values().stream().flatMap(List::stream).toList();
    }

    private static Options named(String word) {
        return Stream.of(values()).filter(option -> option.word().equals(word)).findFirst().orElseThrow(() ->
            new IllegalArgumentException("options: \"" + clip(word, 60) + "\" is no option; there are: "
                + Stream.of(values()).map(option -> option.shape).collect(Collectors.joining(", "))));
    }
}
