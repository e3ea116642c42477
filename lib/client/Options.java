package sheaf;

import static sheaf.Messages.clip;
import static sheaf.Messages.given;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import sheaf.Vocabulary.ProviderShare;

/** What the command line of a script may change in a draft; the draft knows how. */
enum Options {
    HELP("--help", Takes.NOTHING, "shows this text"),
    PREVIEW("--preview [N]", Takes.A_NUMBER_OR_NOTHING,
        "prints the first N request lines (default: 3) and what all would be; sends nothing"),
    ESTIMATE("--estimate", Takes.NOTHING, "prints what all would send and cost; sends nothing"),
    SAMPLE("--sample N", Takes.A_VALUE, "asks N rows now, one by one, and shows them; without it the rest is sent"),
    PROVIDER("--provider NAME", Takes.A_VALUE, "who runs it: a name, such as openai, or a base URL"),
    SHARE("--share NAME,PART[,M]", Takes.A_VALUE, "a part of 1 that it answers, beside others; to be repeated"),
    FALLBACK("--fallback NAME[,M]", Takes.A_VALUE, "who is asked what that one has no room for, refuses or fails"),
    ENGINE("--engine NAME", Takes.A_VALUE, "who answers, one by one: ollama, openrouter, ... or a base URL"),
    MODEL("--model M[,M2]", Takes.A_VALUE, "who answers; several, each answers each prompt"),
    SYSTEM("--system TEXT", Takes.A_VALUE, "the system prompt, over the rows"),
    TEMPLATE("--template T[,T2]", Takes.A_VALUE, "the prompts: files, or names in templates/"),
    DATA("--data FILE", Takes.A_VALUE, "the rows: a .csv, .jsonl or .json file"),
    SEPARATOR("--separator C", Takes.A_VALUE, "what separates the columns of a CSV file: a character, or tab"),
    CHARSET("--charset NAME", Takes.A_VALUE, "the charset of a CSV file, such as windows-1252"),
    HEADER("--header NAME[,NAME2]", Takes.A_VALUE, "the columns of a CSV file that has no header line"),
    LIMIT("--limit N", Takes.A_VALUE, "only the first N rows"),
    NAME("--name NAME", Takes.A_VALUE, "what the batch is kept under; another name asks anew"),
    MAX_TOKENS("--max-tokens N", Takes.A_VALUE, "ends each answer after N tokens"),
    TEMPERATURE("--temperature X", Takes.A_VALUE, "0 is the most predictable"),
    CHOICE("--choice A,B[,C]", Takes.A_VALUE, "an answer is one of these labels"),
    RETURNING("--returning FILE", Takes.A_VALUE, "an answer is JSON that fits the schema in this file"),
    CONFIDENCE("--confidence", Takes.NOTHING, "asks how sure the model is of each label"),
    WITH("--with FIELD=VALUE", Takes.A_VALUE, "any other field of the request; may be repeated"),
    DISTINCT("--distinct", Takes.NOTHING, "sends identical requests once; each row gets the answer"),
    PRICE("--price IN,OUT", Takes.A_VALUE, "what the models cost: dollars for a million tokens, in and out"),
    BUDGET("--budget DOLLARS", Takes.A_VALUE, "refuses what could cost more, with all that was sent before"),
    REPAIR("--repair N", Takes.A_VALUE, "sends again, at most N times, what may end better"),
    RESEND_MISSING("--resend-missing", Takes.NOTHING, "sends again, and pays for, what is missing"),
    OUT("--out FILE", Takes.A_VALUE, "writes the answers to a .csv, .jsonl or .html file too"),
    FORCE("--force", Takes.NOTHING, "writes over files, whoever wrote them"),
    QUIET("--quiet", Takes.NOTHING, "shows no progress and no notes");

    private enum Takes { NOTHING, A_NUMBER_OR_NOTHING, A_VALUE }

    private static final String SHOWN = "3";               // lines of a preview
    private final String shape;
    private final Takes takes;
    private final String description;

    Options(String shape, Takes takes, String description) {
        this.shape = shape;
        this.takes = takes;
        this.description = description;
    }

    String word() { return shape.replaceFirst(" .*", ""); }

    /** Returns what {@code --help} prints. */
    static String help() {
        var name = Script.name().filter(given -> !given.isEmpty()).orElse("script");
        return "Usage: " + name + " [OPTION]...\nWhat is given takes the place of what the script says.\n\n"
            + Stream.of(values()).map(option -> String.format(Locale.ROOT, "  %-22s  %s%n", option.shape,
                option.description)).collect(Collectors.joining())
            + "\nExit codes: 0 if it ran to its end; 1 if the provider refused or could not be reached; 2 if an "
            + "option, the data or\nthe key is at fault, and nothing was sent; where the script says so by exitCode(), "
            + "3 if rows lack an answer\nand 75 if the batch goes on.\n"
            + "No key yet? --provider local is a small free model on this machine, which is started for the run.\n";
    }

    /** One option and a value that was given for it. */
    record Given(Options option, String value) {
        String first() { return value.split(",", -1)[0]; }

        String[] rest() {
            var all = value.split(",", -1);
            return Arrays.copyOfRange(all, 1, all.length);
        }

        /** Returns the shares of several providers, each as {@code NAME,PART} or {@code NAME,PART,MODEL}. */
        Stream<ProviderShare> shares() {
            return Stream.of(value.split(" ")).map(share -> new Given(option, share).share());
        }

        private ProviderShare share() {
            var of = value.split(",", 3);
            if (of.length < 2) throw fault(" is no NAME,PART, such as groq,0.5", null);
            return new ProviderShare(of[0], number(of[1]), of.length == 3 ? of[2] : null);
        }

        /** Returns what follows the first comma; null if nothing does. */
        String second() { return value.contains(",") ? value.substring(value.indexOf(',') + 1) : null; }

        int whole() {
            if (value.matches("-?[0-9]{1,9}")) return Integer.parseInt(value);
            throw fault(" is no whole number", null);
        }

        /** Returns a whole number of what there is at least one of. */
        int count() {
            int count = whole();
            if (count >= 1) return count;
            throw new IllegalArgumentException(option.word().substring(2) + ": " + count + " is less than 1");
        }

        /** Returns two numbers, such as dollars for tokens in and out. */
        double[] pair() {
            var two = value.split(",");
            if (value.matches("[0-9.]+,[0-9.]+")) return Stream.of(two).mapToDouble(this::number).toArray();
            throw fault(" is no IN,OUT, such as 0.2,0.8", null);
        }

        double number() { return number(value); }

        private double number(String value) {
            try {
                return Double.parseDouble(value);
            } catch (NumberFormatException e) {
                throw fault(" is no number", e);
            }
        }

        /** Returns the file of the answers, by its ending of a kind that can be written. */
        Path output() {
            if (value.matches("(?is).+[.](csv|jsonl|html)") && InputFile.isPath(value)) return Path.of(value);
            throw fault(" ends in none of .csv, .jsonl and .html" + elsewhere("writes", "toParquet", "toExcel"), null);
        }

        /** What is read and written with a large dependency is so by a command of its own, or by a door beside this. */
        private String elsewhere(String does, String parquet, String excel) {
            var word = Map.of("parquet", parquet, "xlsx", excel).get(ending());
            return word == null ? "" : "; " + Environment.launcher() + " ask " + does + " it, and in a script " + word
                + "(...)";
        }

        private String ending() { return value.replaceFirst("(?s).*\\.", "").toLowerCase(Locale.ROOT); }

        Rows rows() {
            return switch (ending()) {
                case "csv" -> Rows.csv(CsvFile.of(InputFile.find("csv", value)));
                case "jsonl" -> Rows.jsonl(InputFile.find("jsonl", value));
                case "json" -> Rows.json(InputFile.find("json", value));
                default -> throw fault(" ends in none of .csv, .jsonl and .json"
                    + elsewhere("reads", "parquet", "excel"), null);
            };
        }

        String field() { return value.substring(0, equals()); }

        /** Returns what a field is to be: JSON where it can be, so that a number is sent as a number. */
        Object fieldValue() {
            var text = value.substring(equals() + 1);
            var json = Json.lenient(text);
            return json.isMissingNode() ? text : json;
        }

        private int equals() {
            int equals = value.indexOf('=');
            if (equals >= 1) return equals;
            throw new IllegalArgumentException("options: --with " + clip(value, 60) + " is no FIELD=VALUE");
        }

        private IllegalArgumentException fault(String what, Throwable cause) {
            return new IllegalArgumentException("options: " + option.word() + " " + clip(value, 80) + what, cause);
        }
    }

    /** Returns what is given, in the order in which it is done: of one given twice the last, of --with, --share all. */
    static List<Given> parse(String... args) {
        Arguments.whole(args);
        var values = new EnumMap<Options, List<Given>>(Options.class);
        for (int i = 0; i < args.length; i++) {
            var word = given("options", args[i]).replaceFirst("(?s)=.*", "");
            var option = named(word);
            var next = i + 1 < args.length ? args[i + 1] : "--";
            boolean isInside = word.length() < args[i].length();           // --name=films
            if (isInside && option.takes == Takes.NOTHING)
                throw new IllegalArgumentException("options: " + word
                    + " takes no value; leave it out or write " + word);
            var value = isInside ? args[i].substring(word.length() + 1) : option.value(next);
            if (!isInside && option.takes(next)) i++;
            var given = values.computeIfAbsent(option, none -> new ArrayList<>());
            var all = option == SHARE && !given.isEmpty() ? given.get(0).value + " " + value : value;
            if (option != WITH) given.clear();
            given.add(new Given(option, all));
        }
        answersOnce(values.keySet());
        return values.values().stream().flatMap(List::stream).toList();
    }

    private static void answersOnce(Set<Options> given) {
        var who = Stream.of(PROVIDER, SHARE, ENGINE).filter(given::contains).map(Options::word).limit(2).toList();
        if (who.size() > 1)
            throw new IllegalArgumentException("options: " + String.join(" and ", who)
                + " both say who answers; give one");
    }

    private boolean takes(String next) {
        return takes == Takes.A_VALUE || takes == Takes.A_NUMBER_OR_NOTHING && next.matches("[0-9]+");
    }

    private String value(String next) {
        if (takes == Takes.A_VALUE && next.startsWith("--"))
            throw new IllegalArgumentException("options: " + word() + " has no value; write " + shape);
        return takes(next) ? next : SHOWN;
    }

    private static Options named(String word) {
        if (word.equals("-h")) return HELP;
        return Stream.of(values()).filter(option -> option.word().equals(word)).findFirst().orElseThrow(() ->
            new IllegalArgumentException("options: \"" + clip(word, 60) + "\" is no option; " + meant(word)));
    }

    private static String meant(String word) {
        var words = Stream.of(values()).map(Options::word).toList();
        return Messages.near(word, words).map(near -> "did you mean " + near + "?")
            .orElse("try --help");
    }
}
