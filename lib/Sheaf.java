//JAVA 17+
// which says to ./jbang that classes may come from an archive; and rows only pass, so the heap begins small
//RUNTIME_OPTIONS -Xshare:auto -XX:InitialRAMPercentage=0.3
// and the optimizing compiler waits for 40 times its usual counts: at 50,000 rows it took more CPU than anything else
//RUNTIME_OPTIONS -XX:Tier4InvocationThreshold=200000 -XX:Tier4CompileThreshold=500000
//RUNTIME_OPTIONS -XX:Tier4BackEdgeThreshold=1600000
//DEPS com.openai:openai-java:4.101.0
//DEPS com.fasterxml.jackson.core:jackson-databind:2.22.4
//DEPS com.fasterxml.jackson.datatype:jackson-datatype-jdk8:2.22.4
//DEPS com.github.spullara.mustache.java:compiler:0.9.14
//DEPS de.siegmar:fastcsv:4.4.0
//DEPS com.knuddels:jtokkit:1.1.0
//DEPS org.jline:jline-terminal:4.6.0
// what models cost
//FILES data/prices.csv=../data/prices.csv
//SOURCES client/Messages.java client/Lines.java client/Environment.java client/DefaultName.java client/HeldFile.java
//SOURCES client/BaseUrl.java client/Encoding.java client/Identity.java client/Thinking.java client/Graphemes.java
//SOURCES client/JsonText.java client/Relay.java client/Pieces.java client/CsvLines.java client/Request.java
//SOURCES client/Resend.java client/Hashes.java
//SOURCES client/Json.java client/Vocabulary.java client/AtomicFiles.java client/LineIndex.java client/IdIndex.java
//SOURCES client/InputFile.java client/Terminal.java client/Wording.java client/Proxies.java client/Certificates.java
//SOURCES client/Arguments.java client/ExtraHeaders.java client/Row.java
//SOURCES client/StepLog.java client/ChildServer.java client/Tables.java client/Script.java client/CsvFile.java
//SOURCES client/Deadline.java client/Retry.java client/Progress.java client/PlainValues.java client/Templates.java
//SOURCES client/Html.java client/Fault.java client/Content.java client/ProviderClient.java client/PlainAnswer.java
//SOURCES client/Schema.java client/RecordSchema.java client/JsonInText.java client/Labels.java client/Logprobs.java
//SOURCES client/Turns.java client/RenderedRow.java client/OwnProvider.java client/Keys.java
//SOURCES client/Prices.java client/Listings.java client/Rows.java client/Connection.java client/FolderLock.java
//SOURCES client/Ending.java client/Form.java client/AnswerFormat.java client/Literals.java
//SOURCES client/Outlook.java client/Written.java client/Settings.java client/RequestFile.java client/Options.java
//SOURCES client/BatchApi.java client/Manifest.java client/Body.java
//SOURCES client/Findings.java client/Requests.java client/Download.java client/Answer.java client/UploadedFile.java
//SOURCES client/Tokens.java client/Repeats.java client/SentRequests.java
//SOURCES client/Shares.java client/Journal.java client/StagedRows.java
//SOURCES client/Staging.java client/SingleCalls.java client/BatchSearch.java client/AnswerFiles.java
//SOURCES client/BatchState.java client/Leftovers.java client/Submission.java client/Answers.java client/Report.java
//SOURCES client/Budget.java client/Timing.java client/Attempt.java client/Exchange.java
//SOURCES client/Exchanges.java client/Spending.java client/Timeline.java
//SOURCES client/Watch.java client/Grid.java client/ResultColumns.java client/RunReport.java client/ResultsPage.java
//SOURCES client/Pairing.java client/CsvExport.java client/Reuse.java client/Repair.java client/Preparation.java
//SOURCES client/Elsewhere.java client/Estimation.java client/Sample.java

package sheaf;

import static sheaf.Messages.given;
import static sheaf.Messages.notNegative;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.EnumSet;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.function.BiConsumer;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.function.Supplier;
import java.util.function.UnaryOperator;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import sheaf.Templates.Text;

/**
 * Batch inference for large language models: a dataset and Mustache templates in, one answer for every row out.
 * <pre>{@code
 * import static sheaf.Sheaf.*;
 *
 * class Explain {
 *     public static void main(String... args) {
 *         batch()
 *             .model("gpt-4.1-mini")
 *             .system("You are an experienced {{role}}.")
 *             .prompts(template("explain"), csv("questions.csv"))
 *             .submit()
 *             .await()
 *             .results()
 *             .show();
 *     }
 * }
 * }</pre>
 * A {@link Draft} is a batch not yet submitted: nothing is sent. {@link Draft#submit} expands the rows into request
 * lines, uploads them and creates the batch. {@link Batch#await} watches it. {@link Batch#results} fetches both of its
 * files and gives each request exactly one {@link Outcome}, in input order, joined to its row. What was submitted is
 * kept under {@code ~/.sheaf}, so the same script attaches to the same batch when it runs again, and pays nothing.
 * @see <a href="https://platform.openai.com/docs/guides/batch">OpenAI's batch guide</a>
 */
public final class Sheaf extends Findings {
    private static final int NEWEST = 20;

    static { Script.showUncaught(); }

    private Sheaf() {}

    /** Returns a new draft, for the provider that the environment names. */
    public static Draft batch() { return new Draft(null, new Settings()); }

    /**
     * Returns a batch already submitted, by its id at the provider or the name it was submitted under; one GET at most.
     * One that was only uploaded has a name, and the id of its input file.
     * @throws BatchException if neither {@code ~/.sheaf} nor the provider knows it
     */
    public static Batch batch(String idOrName) { return Batch.find(idOrName); }

    /** Returns the 20 newest batches, at the provider and under {@code ~/.sheaf}. They print as a table. */
    public static Listing<Batch> batches() { return batches(NEWEST); }

    /** Returns the batches kept under {@code ~/.sheaf}, newest first, as last seen, as a table; asks nobody. */
    public static Listing<Batch> kept() {
        var batches = Journal.readable().map(Batch::new)
            .sorted(Comparator.comparing(Batch::submittedAt).reversed()).toList();
        return new Listing<>(batches, Report.KEPT, batch -> batch.watch.report().asKept(),
            kept -> Report.sum(kept.stream().map(batch -> batch.state.journal()).toList()));
    }

    /** Returns the newest batches, newest first, at most so many. They print as a table. */
    public static Listing<Batch> batches(int limit) { return Provider.chosen().batches(limit); }

    /** Returns in how many rows two results have the same answer, which differ, and what both cost: a table. */
    public static Comparison compare(Results first, Results second) {
        return Pairing.of(given("compare", first).exchanges, given("compare", second).exchanges, null);
    }

    /** Returns also which of the two is right more often, and how surely, by what this column of the rows says. */
    public static Comparison compare(Results first, Results second, String column) {
        given("compare", column);
        return Pairing.of(given("compare", first).exchanges, given("compare", second).exchanges, column);
    }

    /** Returns the provider's models. They print as a table. */
    public static Listing<Map<String, Object>> models() { return Provider.chosen().models(); }

    /** Returns the files that the provider keeps. They print as a table. */
    public static Listing<Map<String, Object>> files() { return Provider.chosen().files(); }

    /** Returns the rows of a CSV file whose first line names the columns; RFC 4180, UTF-8, read anew each time. */
    public static Csv csv(String file) { return new Csv(CsvFile.of(InputFile.find("csv", file))); }

    /** Returns the rows of a CSV file whose first line names the columns. */
    public static Csv csv(Path file) { return csv(given("csv", file).toString()); }

    /** Returns the rows of a JSON Lines file: one object a line. */
    public static Data jsonl(String file) { return new Dataset(Rows.jsonl(InputFile.find("jsonl", file))); }

    /** Returns the rows of a JSON Lines file: one object a line. */
    public static Data jsonl(Path file) { return jsonl(given("jsonl", file).toString()); }

    /** Returns the rows of a JSON file that holds an array of objects. */
    public static Data json(String file) { return new Dataset(Rows.json(InputFile.find("json", file))); }

    /** Returns the rows of a JSON file that holds an array of objects. */
    public static Data json(Path file) { return json(given("json", file).toString()); }

    /** Returns maps or records as rows; a plain value is a row with the one column {@code value}. */
    public static Data rows(Collection<?> rows) {
        var copy = new ArrayList<>(given("rows", rows));
        return new Dataset(Rows.of("rows", copy::stream));
    }

    /** Returns maps or records as rows; a plain value is a row with the one column {@code value}. */
    public static Data rows(Object first, Object... more) {
        return rows(Stream.concat(Stream.of(first), Stream.of(more)).toList());
    }

    /** Returns the rows of a stream that is opened anew for each reading, for datasets larger than the memory. */
    public static Data rows(Supplier<? extends Stream<?>> rows) {
        given("rows", rows);
        return new Dataset(Rows.of("rows", () -> given("rows", rows.get())));
    }

    /**
     * Returns the template in a file: the path as it stands, else in {@code templates/}, with or without
     * {@code .mustache}; else the same on the class path.
     */
    public static Template template(String file) { return new Template(Text.find(file)); }

    /** Returns the template in a file. */
    public static Template template(Path file) { return template(given("template", file).toString()); }

    /** Returns a template with this text; the name labels its results. */
    public static Template template(String name, String text) { return new Template(Text.compiled(name, text)); }

    /** Returns the templates in these files, for one request per row and template. */
    public static List<Template> templates(String first, String... more) {
        return Stream.concat(Stream.of(first), Stream.of(more)).map(Sheaf::template).toList();
    }

    /** A dataset: opens a stream of rows, in the same order, as often as it is asked. */
    @FunctionalInterface
    public interface Data extends PlainValues.RowSource {
        /** Returns the rows from the first one on; close the stream after use. */
        @Override Stream<Map<String, Object>> open();

        /** Returns the first rows of this data, at most so many. */
        default Data limit(long rows) { return new Dataset(Dataset.rows(this).limit(notNegative("limit", rows))); }

        /** Returns the first 10 rows as an HTML table, for a page or a notebook, and reads no more. */
        default String toHtml() { return Html.rows(Dataset.rows(this).open()); }
    }

    /** Data that has a name: a file, or rows that a script holds. */
    record Dataset(Rows rows) implements Data {
        /** A user's own data has no name that another process would know it by, and may give what is no JSON. */
        static Rows rows(Data data) {
            if (data instanceof Dataset named) return named.rows;
            if (data instanceof Csv csv) return Rows.csv(csv.file);
            if (data instanceof Results results) return new Rows(results.exchanges.name(), results, results);
            return new Rows("data", data, () -> data.open().map(PlainValues::row));
        }

        @Override public Stream<Map<String, Object>> open() { return rows.open(); }

        @Override public String toString() { return rows.toString(); }
    }

    /**
     * The rows of a CSV file. A row of nothing but separators and white space is none, and a column that has neither a
     * name nor values is none; how many there were is said when the batch is submitted. Lines end in CR, LF or both.
     */
    public static final class Csv implements Data {
        private final CsvFile file;

        private Csv(CsvFile file) { this.file = file; }

        /**
         * Returns the rows whose columns are separated by this character. If not called, by a comma, or by what a first
         * line {@code sep=;} says.
         */
        public Csv separator(char separator) { return new Csv(file.separator(separator)); }

        /** Returns the rows whose columns are separated by this character, or by a {@code tab}. */
        public Csv separator(String separator) { return new Csv(file.separator(separator)); }

        /**
         * Returns the rows of a file in this charset, such as {@code windows-1252}, {@code ISO-8859-1} or {@code
         * UTF-16}. If not called, UTF-8. A byte order mark is passed over.
         * @throws IllegalArgumentException if Java knows no charset of this name
         */
        public Csv charset(String name) { return new Csv(file.charset(name)); }

        /** Returns the rows of a file that has no header line; its columns have these names. */
        public Csv header(String first, String... more) {
            return new Csv(file.header(Stream.concat(Stream.of(first), Stream.of(more)).toList()));
        }

        @Override public Stream<Map<String, Object>> open() { return Rows.csv(file).open(); }

        @Override public String toString() { return Rows.csv(file).toString(); }
    }

    /**
     * A Mustache text. Values are written as they are, without HTML escaping; a value that is missing is an error;
     * partials are refused, so a template reads no file.
     */
    public static final class Template {
        private final Text text;

        private Template(Text text) { this.text = text; }

        /** Returns the name that labels this template's results. */
        public String name() { return text.name(); }

        /** Returns the text with its tags. */
        public String text() { return text.text(); }

        /** Names the tags, which a row has to fill. */
        @Override public String toString() { return text.toString(); }
    }

    /**
     * A batch not yet submitted: an immutable value, nothing is sent. Every word returns a draft with that change, so a
     * common draft can be kept and reused.
     */
    public static final class Draft {
        final Provider provider;                               // null: the one that the environment names
        final Settings settings;

        private Draft(Provider provider, Settings settings) {
            this.provider = provider;
            this.settings = settings;
        }

        Draft with(Settings settings) { return new Draft(provider, settings); }

        private Draft with(Consumer<Settings> change) { return with(settings.with(change)); }

        /** Returns a draft for this provider. If not called, the environment names it: see {@link Provider#chosen}. */
        public Draft provider(Provider provider) { return new Draft(given("provider", provider), settings); }

        /** Returns a draft for the provider of this name or base URL. */
        public Draft provider(String nameOrUrl) { return provider(Provider.named(nameOrUrl)); }

        /**
         * Returns a draft that asks this provider, once, what the first has no room for, refuses or fails: parts at
         * once, and from {@link Batch#results} on what has no answer yet and {@link Results#retry} would send. What
         * {@link Batch#cancel} has stopped goes there too when the same draft is submitted again.
         */
        public Draft fallback(String nameOrUrl) { return fallback(Provider.named(nameOrUrl), null); }

        /** Returns such a draft, with this provider's name for the model; null: it is the same. */
        public Draft fallback(String nameOrUrl, String model) { return fallback(Provider.named(nameOrUrl), model); }

        /** Returns such a draft; {@code model} is this provider's name for it, null if that is the same. */
        public Draft fallback(Provider provider, String model) {
            return with(s -> s.fallback = new Settings.Other(given("fallback", provider)::connection, 0, model));
        }

        /**
         * Returns a draft whose requests are shared out among these providers, all at work at once: each request by a
         * hash of what it asks. A draft that was begun keeps its shares; other ones are for new rows.
         */
        public Draft providers(ProviderShare first, ProviderShare... more) {
            return shared(Stream.concat(Stream.of(first), Stream.of(given("providers", more))));
        }

        private Draft shared(Stream<ProviderShare> shares) {
            var all = shares.map(share -> new Settings.Other(Provider.named(share.provider())::connection,
                share.part(), share.model())).toList();
            return provider(all.get(0).provider().get().baseUrl()).with(s -> s.shares = all);
        }

        /** Returns a draft that sends each prompt to each of these models; a model may be a template over the row. */
        public Draft model(String first, String... more) { return with(settings.models(texts("model", first, more))); }

        /** Returns a draft with this system prompt, a template over the row; a row that makes it empty has none. */
        public Draft system(String text) {
            var template = Text.of("system", text);
            return with(s -> s.system = template);
        }

        /** Returns a draft that adds a turn before the prompt: what a user may say, and what to answer. */
        public Draft example(String user, String assistant) {
            var turns = Stream.of(Text.of("example", user), Text.of("example", assistant));
            return with(s -> s.examples = Stream.concat(s.examples.stream(), turns).toList());
        }

        /** Returns a draft that adds these prompts as they stand: without data nothing is expanded. */
        public Draft prompts(String first, String... more) {
            return with(settings.prompts(texts("prompts", first, more), null));
        }

        /** Returns a draft that adds these prompts, texts or templates, as they stand. */
        public Draft prompts(List<?> prompts) { return with(settings.prompts(mixed(prompts), null)); }

        /** Returns a draft that adds one prompt for each row: a Mustache text over its columns. */
        public Draft prompts(String text, Data data) { return over(List.of(Text.of("prompts", text)), data); }

        /** Returns a draft that adds one prompt for each row. */
        public Draft prompts(Template template, Data data) {
            return over(List.of(given("prompts", template).text), data);
        }

        /** Returns a draft that adds one prompt for each row and each of these templates or texts. */
        public Draft prompts(List<?> templates, Data data) { return over(mixed(templates), data); }

        private Draft over(List<Text> prompts, Data data) {
            return with(settings.prompts(prompts, Dataset.rows(given("prompts", data))));
        }

        private static List<Text> texts(String word, String first, String... more) {
            return Stream.concat(Stream.of(first), Stream.of(given(word, more)))
                .map(text -> Text.of(word, text)).toList();
        }

        private static List<Text> mixed(List<?> prompts) {
            return given("prompts", prompts).stream().map(prompt -> {
                if (prompt instanceof Template template) return template.text;
                if (prompt instanceof String text) return Text.of("prompts", text);
                throw new IllegalArgumentException("prompts: " + prompt + " is neither a text nor a template");
            }).toList();
        }

        /** Returns a draft that adds an image to each prompt: a URL or a local file, a template over the row. */
        public Draft image(String url) {
            var image = Text.of("image", url);
            return with(s -> s.images = Stream.concat(s.images.stream(), Stream.of(image)).toList());
        }

        /**
         * Returns a draft whose results carry this id, a template over the row; it must be unique per row. If not
         * called, it is {@code request-1} and so on. On the wire the id is always Sheaf's own, so this one may be of
         * any length.
         */
        public Draft customId(String template) {
            var id = Text.of("customId", template);
            return with(s -> s.customId = id);
        }

        /**
         * Returns a draft of this name, under which it is kept and found again. If not called, it is the script's and
         * the data's: class {@code Sentiment} over reviews.csv is {@code sentiment-reviews}, and {@code SHEAF_SCRIPT}
         * may say otherwise; where no script runs, as in JShell, the data's and the first prompt's. What batches of the
         * same name and provider have answered is not asked again; another name, such as one with the day's date, asks
         * anew.
         */
        public Draft name(String name) { return with(settings.name(name)); }

        /** Returns a draft with this sampling temperature; 0 is the most predictable. */
        public Draft temperature(double temperature) { return with("temperature", temperature); }

        /** Returns a draft that ends each answer after so many tokens, sent as the field that the provider wants. */
        public Draft maxTokens(int tokens) { return with(settings.maxTokens(tokens)); }

        /** Returns a draft that sends any other field in every request body: {@code with("top_p", 0.9)}. */
        public Draft with(String field, Object value) { return with(settings.field(field, value)); }

        /** Returns a draft whose answers are JSON of this record: {@code result.value}, in Java {@code as(type)}. */
        public Draft returning(Class<?> type) { return form(AnswerFormat.of(type)); }

        /** Returns a draft whose answers are JSON of a schema: its JSON as a text or a map, or the Path of a file. */
        public Draft returning(String name, Object schema) { return form(AnswerFormat.of(name, schema)); }

        /** Returns a draft whose answers are one of these labels, {@code result.choice}; any other is INVALID. */
        public Draft choice(String first, String... more) { return form(AnswerFormat.choice(first, more)); }

        /** Returns a draft whose answers are yes or no. */
        public Draft yesNo() { return form(AnswerFormat.yesNo()); }

        /** Returns a draft whose answers are a whole number of this scale, both ends of it included. */
        public Draft score(int from, int to) { return form(AnswerFormat.score(from, to)); }

        private Draft form(AnswerFormat format) { return with(settings.format(format)); }

        /** Returns a draft that asks how sure the model is of each label, where the provider gives logprobs. */
        public Draft confidence() { return with(s -> s.confidence = true); }

        /**
         * Returns a draft in which an answer that this does not hold of is INVALID; {@code why} is its error. Only who
         * holds the check knows that: another script that reads the batch is told that there is one.
         */
        public Draft validate(String why, Predicate<Result> check) {
            given("validate", check);
            return with(settings.check(why, exchange -> check.test(new Result((Exchange) exchange))));
        }

        /** Returns a draft for this time limit. If not called, {@code 24h}, which every provider has. */
        public Draft completionWindow(String window) { return with(settings.completionWindow(window)); }

        /**
         * Returns a draft whose answers the provider deletes so long after they are there: 1 hour to 30 days. If not
         * called, when the provider does. What came is under {@code ~/.sheaf}. Not every provider takes it.
         */
        public Draft outputExpiresAfter(Duration time) { return with(settings.outputExpiresAfter(time)); }

        /** Returns a draft that adds a pair to the batch's metadata: at most 15, of 64 and 512 characters. */
        public Draft metadata(String key, String value) { return with(settings.metadata(key, value)); }

        /**
         * Returns a draft for another endpoint: {@code /v1/responses}, {@code /v1/completions}, {@code /v1/embeddings}
         * or {@code /v1/moderations}. If not called, {@code /v1/chat/completions}.
         * @throws IllegalArgumentException for any other, whose requests only {@link #requests} brings
         */
        public Draft endpoint(String path) { return with(settings.endpoint(path)); }

        /** Returns a draft of an existing JSON Lines file of request lines, which is checked and submitted as it is. */
        public Draft requests(String file) {
            var input = InputFile.find("requests", file);
            return with(s -> s.requests = input);
        }

        /** Returns a draft of an existing JSON Lines file of request lines. */
        public Draft requests(Path file) { return requests(given("requests", file).toString()); }

        /**
         * Returns a draft whose models cost so many dollars for a million tokens, in and out. If not called, what the
         * file that {@code SHEAF_PRICES} names or data/prices.csv says: columns model, input, output and more.
         */
        public Draft price(double in, double out) { return with(settings.price(in, out)); }

        /**
         * Returns a draft that may cost so many dollars, with all batches of its name and what {@link #repair} sends
         * again: {@link #submit} refuses what could pass it, and what has no price or no limit of tokens.
         */
        public Draft budget(double dollars) { return with(settings.budget(dollars)); }

        /** Returns a draft that sends identical requests once; each row gets the answer. If not called, each is. */
        public Draft distinct() { return with(s -> s.distinct = true); }

        /**
         * Returns a draft whose {@link Batch#results} send again, up to so many times, the requests that may succeed
         * next time: expired, cancelled, missing, or broken at the provider, as they were; truncated ones with twice
         * the limit of tokens; unfit ones with the answer and what is wrong with it. What may be answered in a file
         * that has not come, or not whole, is not sent again, and what earlier runs have sent again counts. Each round
         * is a batch of its own, that is paid; with no rounds, 0, nothing is sent, and what earlier runs have sent
         * again still counts. If not called, none is sent again.
         */
        public Draft repair(int rounds) {
            notNegative("repair", rounds);
            return with(s -> {
                s.repairs = rounds;
                s.takesRetries = true;
            });
        }

        /**
         * Returns a draft whose {@link Batch#results} also send again, and pay for, what is missing, even where its
         * answer may be in a file that has not come, or not whole: each request once, whatever earlier runs have sent
         * of them. If not called, only {@link Results#retry} does.
         */
        public Draft resendMissing() {
            return with(s -> {
                s.resendsMissing = true;
                s.takesRetries = true;
            });
        }

        /** Returns a draft that shows no progress and no notes. */
        public Draft quiet() { return with(s -> s.quiet = true); }

        /**
         * Returns a draft in which the options of a command line take the place of what was set, so that whoever runs
         * a script can bring another model, dataset or template: {@code --model M[,M2] --data FILE --template T[,T2]
         * --out FILE} and more; {@code --help} prints all of them and ends the script, and {@code --preview} ends it
         * where it would send. Call it last. Of an option that is given twice the last one counts; {@code --with} adds.
         * @throws IllegalArgumentException if an argument is none of these
         */
        public Draft options(String... args) {
            if (given("options", args).length > 0) Script.optionsAreGiven();
            var draft = this;
            for (var given : Options.parse(args)) draft = draft.take(given);
            return draft;
        }

        private Draft take(Options.Given given) {
            return switch (given.option()) {
                case HELP -> throw new Script.End(Options.help());
                case PREVIEW -> with(s -> s.previewed = given.whole());
                case ESTIMATE -> with(s -> s.isEstimated = true);
                case SAMPLE -> with(s -> s.sampled = given.whole());
                case PROVIDER -> provider(given.value());
                case SHARE -> shared(given.shares());
                case FALLBACK -> fallback(Provider.named(given.first()), given.second());
                case ENGINE -> provider(BaseUrl.ENGINE + given.value());
                case MODEL -> model(given.first(), given.rest());
                case SYSTEM -> system(given.value());
                case TEMPLATE -> with(settings.over(mixed(templates(given.first(), given.rest()))));
                case DATA -> with(settings.over("--data", rows -> given.rows()));
                case SEPARATOR -> csv(given, file -> file.separator(given.value()));
                case CHARSET -> csv(given, file -> file.charset(given.value()));
                case HEADER -> csv(given, file -> file.header(List.of(given.value().split(",", -1))));
                case LIMIT -> with(settings.over("--limit", rows -> rows.limit(given.count())));
                case NAME -> name(given.value());
                case MAX_TOKENS -> maxTokens(given.whole());
                case TEMPERATURE -> temperature(given.number());
                case CHOICE -> choice(given.first(), given.rest());
                case RETURNING -> form(AnswerFormat.of(Path.of(given.value())));
                case CONFIDENCE -> confidence();
                case WITH -> with(given.field(), given.fieldValue());
                case DISTINCT -> distinct();
                case PRICE -> price(given.pair()[0], given.pair()[1]);
                case BUDGET -> budget(given.number());
                case REPAIR -> repair(given.whole());
                case RESEND_MISSING -> resendMissing();
                case OUT -> with(s -> s.out = given.output());
                case FORCE -> with(s -> s.overwrites = true);
                case QUIET -> quiet();
            };
        }

        private Draft csv(Options.Given given, UnaryOperator<CsvFile> change) {
            var option = given.option().word();
            return with(settings.over(option, rows -> rows.csv(option, change)));
        }

        /**
         * Returns the first request lines, exactly as they would be sent, and what submitting all of them would send.
         * It reads all rows and sends nothing: of earlier batches what is under {@code ~/.sheaf} counts.
         * @throws IllegalArgumentException if a setting or one of the first rows is at fault
         */
        public Preview preview(int n) { return withItsFirst().estimation().preview(notNegative("preview", n), note()); }

        /** Returns the first two request lines as HTML, for a page or a notebook; it reads no more rows than those. */
        public String toHtml() { return Html.lines(this + "\n" + String.join("\n", estimation().first(2))); }

        /**
         * Returns what submitting all requests would send and cost: a table. Tokens are counted, and nothing is sent.
         * @throws IllegalArgumentException if a setting or a row is at fault
         */
        public Estimate estimate() { return withItsFirst().estimation().estimate(note()); }

        private Estimation estimation() {
            var known = ifChosen().orElse(Provider.OPENAI);
            return new Estimation(checkedSettings(), known.connection(), ifChosen().isPresent(), known::connection);
        }

        /**
         * Writes every request line to a file, as a provider takes it. Nothing is sent. A file that is there is written
         * anew if a draft of this name wrote it and nobody changed it since.
         * @throws IllegalStateException if the file is another's
         */
        public void toJsonl(String file) { toJsonl(Path.of(given("toJsonl", file))); }

        /** Writes every request line to a file, as a provider takes it. Nothing is sent. */
        public void toJsonl(Path file) {
            showPreview();
            written().write(Wording.JSONL.of(), given("toJsonl", file), out -> {
                try (var requests = requests().open(note())) {
                    for (var i = requests.iterator(); i.hasNext(); ) out.write(i.next().line());
                }
            });
        }

        /**
         * Returns this draft, if {@link Results#toCsv} and {@link Results#toJsonl} of its results may write to this
         * file: before anything is paid.
         * @throws IllegalStateException if the file is another's, or was changed since a batch of this name wrote it
         */
        public Draft checkOutput(String file) { return checkOutput(Path.of(given("checkOutput", file))); }

        /** Returns this draft, if its results may be written to this file. */
        public Draft checkOutput(Path file) {
            written().check(Wording.OUTPUT.of(), given("checkOutput", file));
            return this;
        }

        private Written written() {
            return new Written(settings.batchName(), settings.formerName().orElse(""), settings.overwrites);
        }

        /** A server on this machine that has one model answers by that, if none is named. */
        Settings checkedSettings() {
            var settings = this.settings.sharedFrom(provider == null ? null : provider::connection);
            var local = settings.lacksModel() ? ifChosen().filter(Provider::isLocal) : Optional.<Provider>empty();
            var settled = local.map(server -> Requests.withOnlyModel(settings, server.connection())).orElse(settings);
            settled.check();
            return settled;
        }

        /** Ends the script that was asked for a preview, an estimate or a sample, where it would send. */
        private void showPreview() {
            showOutlook();
            if (settings.sampled == null) return;
            sample(settings.sampled).show();
            throw new Script.End("");
        }

        private void showOutlook() {
            if (settings.isEstimated) throw new Script.End(estimate() + "\n");
            if (settings.previewed == null) return;
            var preview = preview(settings.previewed);
            preview.lines().forEach(System.out::println);
            if (!preview.fault().isEmpty()) throw new IllegalArgumentException(preview.fault());
            System.err.println(preview.summary());
            throw new Script.End("");
        }

        private Requests requests() {
            return new Requests(checkedSettings(), ifChosen().orElse(Provider.OPENAI).connection());
        }

        private Optional<Provider> ifChosen() { return Optional.ofNullable(provider).or(Provider::ifChosen); }

        private Consumer<String> note() { return settings.quiet ? none -> {} : System.err::println; }

        /**
         * Expands the rows, uploads the input files and creates the batch. Returns before any request has run. A draft
         * that was submitted before is not sent again: the returned batch is that one. Nor are requests that earlier
         * batches of the same name and provider have answered: their answers are taken over.
         * @throws IllegalArgumentException if the data, a template or a setting is at fault; nothing was sent
         * @throws IllegalStateException if an earlier batch is still at work on some of the requests; nothing was sent
         * @throws BatchException if the provider refuses a file or the batch
         * @see <a href="https://platform.openai.com/docs/api-reference/batch/create">Create batch</a>
         */
        public Batch submit() { return begin(Watch::submitOrAttach, Watch::sendElsewhere); }

        /**
         * Returns the results of so many rows, evenly spread and the same each time, asked now and one by one, at the
         * price of that; they are kept, so that {@link #submit} takes them over and sends only the rest.
         * @throws IllegalStateException if a setting or some row is at fault, or the budget does not hold it
         */
        public Results sample(int rows) {
            with(s -> s.sampled = rows).showOutlook();
            var chosen = provider == null ? Provider.chosen() : provider;
            var settings = checkedSettings();
            var batch = new Batch(chosen, chosen.connection(), settings.asSample(), written());
            new Sample(settings, batch.watch, chosen::connection).ask(rows);
            return batch.results();
        }

        /**
         * Returns the results of the whole run at a server of {@code ./jbang serve}: the same parts and files, invented
         * answers, kept until the program ends. {@code Rehearsal.of(draft)} of lib/Rehearsal.java has one with faults.
         */
        public Results rehearse(String serverUrl) {
            var like = ifChosen().orElse(Provider.OPENAI).servedAt(serverUrl);
            var there = new Draft(like, Preparation.rehearsal(settings));
            return settings.sampled == null ? there.submit().results() : there.sample(settings.sampled);
        }

        /**
         * Expands the rows and uploads the input files, but creates no batch: {@link #submit} of the same draft does,
         * in this process or another, and uploads nothing again. So does {@link Batch#submit} of the returned batch,
         * whose parts wait and have the ids of their input files. If the draft was submitted before, it is that batch.
         * @throws IllegalArgumentException if the data, a template or a setting is at fault; nothing was sent
         * @throws BatchException if the provider refuses a file
         * @see <a href="https://platform.openai.com/docs/api-reference/files/create">Upload file</a>
         */
        public Batch upload() { return begin(Watch::uploadOrAttach, sent -> {}); }

        private Batch begin(BiConsumer<Watch, Progress> step, Consumer<Watch> then) {
            showPreview();
            return settings.shares.isEmpty() ? beginAlone(step, then)
                : Elsewhere.alone(settings, note(), () -> withItsFirst().beginAlone(step, then));
        }

        private Draft withItsFirst() {
            return settings.shares.isEmpty() ? this : Elsewhere.first(settings.batchName(), provider.connection())
                .map(first -> new Draft(Provider.of(first), settings)).orElse(this);
        }

        private Batch beginAlone(BiConsumer<Watch, Progress> step, Consumer<Watch> then) {
            var settings = checkedSettings();
            if (settings.out != null) checkOutput(settings.checkedOut());
            var chosen = provider == null ? Provider.chosen() : provider;
            var batch = new Batch(chosen, chosen.connection(), settings, written());
            if (settings.asksOthers()) Elsewhere.check(settings, batch.state.provider());
            Preparation.begin(settings, batch.watch, chosen::connection, sent -> step.accept(batch.watch, sent));
            then.accept(batch.watch);
            return batch;
        }

        @Override public String toString() { return settings.toString(); }
    }

    /** A batch that was submitted: a live handle. Its text shows what was last seen, without asking again. */
    public static final class Batch {
        private final Provider provider;
        private final Settings settings;                       // whether it is quiet, and how often it is repaired
        private final BatchState state;
        private final Watch watch;
        private final Written written;                         // by whose name files are written; null: the batch's own
        private volatile boolean isSaved;                      // where the command line says, once

        private Batch(Provider provider, Connection connection) { this(provider, connection, new Settings(), null); }

        private Batch(Provider provider, Connection connection, Settings settings, Written written) {
            this.provider = provider;
            this.settings = settings;
            this.written = written;
            state = new BatchState(connection);
            watch = new Watch(state, settings, batch -> new Elsewhere(batch, settings, provider::connection));
        }

        private Batch(Provider provider, Connection connection, JsonNode json) {
            this(provider, connection);
            state.remember(Part.of(1, json));
        }

        private Batch(Journal journal) { this(Provider.of(journal.manifest().provider()), journal); }

        private Batch(Provider provider, Journal journal) {
            this(provider, provider.connection(journal.manifest().provider()));
            state.attach(journal);
        }

        private Batch(Journal journal, Connection connection, Provider provider) {
            this(provider, connection.expecting(journal.manifest().provider().identity(), null));
            state.attach(journal);
        }

        private static Batch find(String idOrName) {
            if (given("batch", idOrName).isBlank())
                throw new IllegalArgumentException("batch: the id is empty; batch() is a new one");
            return Journal.find(idOrName).map(Batch::new).orElseGet(() -> Provider.chosen().batch(idOrName));
        }

        private static Batch at(Provider provider, BatchApi api, String idOrName) {
            if (Journal.find(idOrName).isPresent()) api.meet("batch");
            var kept = Journal.find(idOrName, api.connection());
            if (kept.isPresent()) return new Batch(kept.get(), api.connection(), provider);
            try {
                return new Batch(provider, api.connection(), api.retrieve("batch", idOrName));
            } catch (BatchException e) {
                if (e.status() != 404) throw e;
                throw new BatchException("batch: no batch \"" + idOrName + "\" at " + api.connection().label()
                    + " and none in " + Environment.home() + Wording.NEW_BATCH.of(idOrName), e);
            }
        }

        /**
         * Creates at the provider what was only uploaded, or waits for room there, and returns before any request has
         * run. What was created before is not sent again; what failed before any request ran is.
         * @throws BatchException if the provider refuses a file or the batch
         * @throws IllegalStateException if it is not kept under {@code ~/.sheaf}
         */
        public Batch submit() {
            watch.submitKept();
            return this;
        }

        /**
         * Returns the batch's id at the provider; with several parts, the name under {@code ~/.sheaf}. {@code
         * batch(id)} takes it.
         */
        public String id() { return state.id(); }

        /** Returns the name that it was submitted under; "" for one that was not submitted by Sheaf. */
        public String name() { return state.name(); }

        /** Returns who runs it. */
        public Provider provider() { return provider; }

        /**
         * Returns the folder under {@code ~/.sheaf} in which it is kept.
         * @throws IllegalStateException if it is not kept
         */
        public Path folder() { return state.keptAs("folder").dir(); }

        /** Returns when it was submitted, as far as is known; of one that was not, when it was written down. */
        public Instant submittedAt() { return state.submittedAt(); }

        /** Returns whether it is over, as last seen: it has ended, or nothing of it was ever sent. Asks nobody. */
        public boolean isOver() { return watch.isOver(); }

        /** Returns where the batch stands; one GET a part, unless it has ended. */
        public Status status() {
            watch.refresh("status");
            return state.status();
        }

        /** Returns how far the batch is, as the provider says; one GET a part, unless it has ended. */
        public RequestCounts requestCounts() {
            watch.refresh("requestCounts");
            return state.counts();
        }

        /** Returns the parts as their providers describe them; one GET a part, unless it has ended. */
        public List<Part> parts() {
            watch.refresh("parts");
            return state.all();
        }

        /**
         * Waits until the batch has ended, however it ended, and returns it. Errors of the network do not end the wait.
         * @throws BatchException if the batch failed before any request ran, or the provider no longer lets it be seen
         * @throws IllegalStateException if it was only uploaded
         */
        public Batch await() { return await(Deadline.FOREVER); }

        /**
         * Waits at most so long.
         * @throws StillRunningException if the batch has not ended by then; it goes on
         */
        public Batch await(Duration timeout) {
            watch.await(given("await", timeout), settings.repairs == 0);
            return this;
        }

        /** Asks the provider to stop; requests that run are finished, and what has finished stays. One POST a part. */
        public Batch cancel() {
            watch.cancel();
            return this;
        }

        /**
         * Deletes the folder under {@code ~/.sheaf} in which this batch is kept, with its answers. The same script then
         * attaches to what the provider still has of it, or pays again.
         * @throws IllegalStateException if it is not over, as last seen, or is not kept
         */
        public void delete() { watch.delete(); }

        /**
         * Returns this batch, if {@link Results#toCsv} and {@link Results#toJsonl} of its results may write to this
         * file: before a long wait.
         * @throws IllegalStateException if the file is another's, or was changed since a batch of this name wrote it
         */
        public Batch checkOutput(String file) { return checkOutput(Path.of(given("checkOutput", file))); }

        /** Returns this batch, if its results may be written to this file. */
        public Batch checkOutput(Path file) {
            var kept = state.isKept() ? Optional.of(state.journal()) : Journal.find(id(), state.provider());
            var name = kept.map(Journal::name).orElseGet(() -> Preparation.nameOf(id()));
            (written == null ? new Written(name) : written).check(Wording.OUTPUT.of(), given("checkOutput", file));
            return this;
        }

        /** Returns one result for each request, in input order; waits if need be, then fetches the files once. */
        public Results results() { return results(Deadline.FOREVER); }

        /**
         * Waits at most so long, for what is sent again too.
         * @throws StillRunningException if the batch has not ended by then; it goes on
         */
        public Results results(Duration timeout) {
            if (!state.isKept()) {
                var whole = Journal.find(id(), state.provider());   // of which this may be a part
                if (whole.isPresent()) return new Batch(whole.get(), state.provider(), provider).results(timeout);
            }
            var deadline = new Deadline(given("results", timeout));
            await(timeout);
            if (!state.isKept()) Preparation.adopt(watch);
            var repair = new Repair(watch, settings, deadline, provider::connection, resend ->
                new Draft(there(), settings.passedTo(resend)).submit().watch);
            var exchanges = watch.withOthers(watch.collect(), deadline, repair::of);
            var results = new Results(there(), exchanges, written);    // its server may just have been found elsewhere
            if (settings.out != null && !isSaved) results.save(settings.out, settings.quiet);
            isSaved = true;
            return results;
        }

        /**
         * Returns how a command that looks after this batch ends: still running, with a whole answer for every request
         * or not.
         * @throws BatchException if the batch failed before any request ran
         */
        public ExitCode exitCode() { return status().isTerminal() ? results().exitCode() : ExitCode.RUNNING; }

        /** Returns the provider where it answers now: its server may have moved. */
        private Provider there() { return provider.at(state.provider().baseUrl()); }

        @Override public String toString() { return "Batch[" + watch.report().describe() + " " + state.counts() + "]"; }
    }

    /**
     * The results of a batch in input order, read from disk as they are asked for. Used as data, each row keeps its
     * columns and gains {@code {{result.text}}}, {@code {{result.model}}}, {@code {{result.answeredBy}}}, {@code
     * {{result.outcome}}}.
     */
    public static final class Results implements Iterable<Result>, Data {
        /** What {@link #toCsv} adds to the columns of the rows. */
        public static final List<String> COLUMNS = ResultColumns.OWN;
        private static final int SHOWN = 20;
        private final Provider provider;
        final Exchanges exchanges;
        final Written written;                                 // by whose name files are written

        private Results(Provider provider, Exchanges exchanges, Written written) {
            this.provider = provider;
            this.exchanges = exchanges;
            this.written = written == null ? new Written(exchanges.answers().journal().name()) : written;
        }

        private Results with(Exchanges exchanges) { return new Results(provider, exchanges, written); }

        /** Returns the results in input order, read as the stream goes. */
        public Stream<Result> stream() { return exchanges.stream().map(Result::new); }

        @Override public Iterator<Result> iterator() { return stream().iterator(); }

        /** Returns each row with its answer; a row whose answer did not come has no {@code {{result.text}}}. */
        @Override public Stream<Map<String, Object>> open() { return exchanges.stream().map(Exchange::joined); }

        /** Returns how many results there are. */
        public long size() { return exchanges.size(); }

        /** Returns how many results ended in each outcome; outcomes that none ended in are left out. */
        public Map<Outcome, Long> counts() { return exchanges.counts(); }

        /** Returns the tokens of all, with those of what was sent again: as the provider says, else the answers. */
        public Usage usage() { return exchanges.usage(); }

        /** Returns what these cost by the prices known, sent again or sampled too; what was paid before is apart. */
        public Cost cost() { return Spending.of(exchanges.stream()); }

        /** Returns how long these and what was sent again were at work, by their provider's clock, if that says. */
        public Optional<Duration> duration() { return exchanges.duration(); }

        /**
         * Returns the share of the requests whose answer is what this column of the row says, and how surely: letter
         * case, white space around it and a final full stop do not count. One without a whole answer is wrong.
         * @throws IllegalArgumentException if a row has no such column
         * @throws IllegalStateException if there are no results
         */
        public Share accuracy(String column) { return exchanges.accuracy(column); }

        /** Returns which answers came for each value of this column, and how many are right, how surely. */
        public Confusion confusion(String column) { return exchanges.confusion(column); }

        /** Returns the results with a whole answer. */
        public Results succeeded() { return with(exchanges.filtered(Exchange::ok, "succeeded")); }

        /** Returns every result without a whole answer, whatever the reason. */
        public Results failed() { return with(exchanges.failed()); }

        /** Returns the results that ended in one of these outcomes. */
        public Results only(Outcome first, Outcome... more) {
            return with(exchanges.only(EnumSet.of(given("only", first), more)));
        }

        /** Returns the answers less sure of their label, 0 to 1, or unfit: {@code below(0.8).retry().model(...)}. */
        public Results below(double confidence) { return with(exchanges.below(confidence)); }

        /** Returns whether {@link Draft#repair} sends any of these again. */
        public boolean isRepairable() { return exchanges.stream().anyMatch(Exchange::isRepairable); }

        /**
         * Returns a draft of the requests that may succeed next time: expired, cancelled, missing, without a text, or
         * broken at the provider. {@code only(TRUNCATED).retry().maxTokens(4000)} sends those that were chosen,
         * whatever their outcome. Settings of the request body can be given anew; ids follow from the first,
         * {@code request-17-r2}. The same choice is paid once; another one is another draft, and pays again for those
         * that both hold. {@link Draft#repair} and {@link Draft#resendMissing} send only what was not sent again yet.
         * @throws IllegalStateException if there is none
         */
        public Draft retry() {
            return new Draft(provider, exchanges.retryable().resend(exchanges.failed(), "retry", false));
        }

        /**
         * Returns these results with those of a {@link #retry} in their place. A whole answer is only replaced by a
         * whole one, and what came of one is not by nothing.
         * @throws IllegalArgumentException if the later results are not of a retry of these
         */
        public Results merge(Results later) { return with(exchanges.merge(given("merge", later).exchanges)); }

        /**
         * Returns the results grouped by a property, such as {@code by(Result::model)}, in the order of first
         * appearance; the map prints as bars.
         */
        public <K> Map<K, Results> by(Function<Result, K> property) {
            return Groups.of(exchanges.by(exchange -> property.apply(new Result(exchange))), this::with, Results::size);
        }

        /** Returns how many were answered when, in local time, by their provider's clock; prints as bars. */
        public Map<LocalDateTime, Long> timeline() { return Timeline.of(exchanges.stream()); }

        /** Returns the whole answers, read as JSON into this class; those that do not fit are left out, and counted. */
        public <T> Stream<T> as(Class<T> type) { return exchanges.as(given("as", type)); }

        /** Prints the first 20 rows as a table as wide as the terminal, with what became of all of them. */
        public void show() { show(SHOWN); }

        /** Prints the first rows as a table as wide as the terminal, with what became of all of them. */
        public void show(int rows) { System.out.print(Grid.text(exchanges, (int) notNegative("show", rows))); }

        /** Returns what {@link #show()} prints as an HTML table, for a page or a notebook; texts are escaped. */
        public String toHtml() { return toHtml(SHOWN); }

        /** Returns the first rows as an HTML table, with what became of all of them. */
        public String toHtml(int rows) { return Grid.html(exchanges, (int) notNegative("toHtml", rows)); }

        /** Writes a page that opens from the disk: all rows, to be searched, compared and rated, with their figures. */
        public void toHtml(String file) { toHtml(Path.of(given("toHtml", file))); }

        /** Writes a page that opens from the disk. */
        public void toHtml(Path file) {
            written.write(Wording.HTML.of(), given("toHtml", file), new ResultsPage(exchanges)::writeTo);
        }

        /**
         * Writes the rows and their answers as CSV: the columns given, else all of the input's and {@link #COLUMNS}. A
         * cell that a spreadsheet would take for a formula begins with an apostrophe; a number never does. A file that
         * is there is written anew if a batch of this name wrote it and nobody changed it since. To be named are also
         * {@code result.rawText}, whatever text came, whole or not, and {@code result.reasoning}; where several answers
         * were asked for, there are {@code result.text2} and so on.
         * @throws IllegalStateException if the file is another's; {@link #overwriting} is for that
         */
        public void toCsv(String file, String... columns) { toCsv(file, Set.of(), columns); }

        /** Writes the rows and their answers as CSV. */
        public void toCsv(Path file, String... columns) { toCsv(file, Set.of(), columns); }

        /** Writes the rows and their answers as CSV in another way: {@code toCsv(file, Set.of(CsvOption.WIDE))}. */
        public void toCsv(String file, Set<CsvOption> options, String... columns) {
            toCsv(Path.of(given("toCsv", file)), options, columns);
        }

        /** Writes the rows and their answers as CSV in another way. */
        public void toCsv(Path file, Set<CsvOption> options, String... columns) {
            given("toCsv", file);
            CsvExport.export(exchanges, given("toCsv", options), columns, export ->
                written.write(Wording.CSV.of(), file, export::writeTo));
        }

        /**
         * Writes each row with its answer under {@code result}, one JSON object a line; of given columns only those,
         * each row once. A file that is there is written anew if a batch of this name wrote it and nobody changed it.
         * @throws IllegalStateException if the file is another's; {@link #overwriting} is for that
         */
        public void toJsonl(String file, String... columns) { toJsonl(Path.of(given("toJsonl", file)), columns); }

        /** Writes each row with its answer under {@code result}, one JSON object a line, or these columns of it. */
        public void toJsonl(Path file, String... columns) {
            written.write(Wording.JSONL.of(), given("toJsonl", file), out -> exchanges.writeJsonl(out, columns));
        }

        /** Writes each row with its answer under {@code result}, one JSON object a line; the stream stays open. */
        public void toJsonl(OutputStream out) {
            try {
                exchanges.writeJsonl(given("toJsonl", out));
            } catch (IOException e) {
                throw new UncheckedIOException("toJsonl: cannot write (" + Messages.reason(e) + ")", e);
            }
        }

        /**
         * Writes as JSON what this run was: whom it asked what, the digest of the requests, how many ended in which
         * outcome, tokens and times.
         * @throws IllegalStateException if the file is another's
         */
        public void toReport(Path file) {
            written.write(Wording.REPORT.of(), given("toReport", file), out ->
                out.write(Json.pretty(new RunReport(exchanges).fields())));
        }

        private void save(Path file, boolean isQuiet) {
            var name = file.toString().toLowerCase(Locale.ROOT);
            if (name.endsWith(".csv")) toCsv(file);
            else if (name.endsWith(".html")) toHtml(file);
            else toJsonl(file);
            if (!isQuiet) System.err.println("wrote " + file + " (" + exchanges.summary() + ")");
        }

        /** Returns how a command ends that has these results: with a whole answer for every request, or not. */
        public ExitCode exitCode() { return failed().size() == 0 ? ExitCode.ANSWERED : ExitCode.UNANSWERED; }

        /** Returns these results so that they write over any file, whoever wrote it. */
        public Results overwriting() { return new Results(provider, exchanges, written.overwriting()); }

        @Override public String toString() { return exchanges.toString(); }
    }

    /** One request's end: its answer or its error, joined to its row. */
    public static final class Result {
        private final Exchange exchange;

        private Result(Exchange exchange) { this.exchange = exchange; }

        /** Returns the id that {@code customId(...)} gave, or the one on the wire, {@code request-1}. */
        public String customId() { return exchange.customId(); }

        /** Returns the row that the request came from; for {@code requests(file)} the request's body. */
        public Map<String, Object> row() { return exchange.row(); }

        /**
         * Returns one value of the row as text, "" where it is null.
         * @throws IllegalArgumentException if the row has no such column
         */
        public String row(String column) { return exchange.row(column); }

        /** Returns the name of the template that made the prompt. */
        public String template() { return exchange.template(); }

        /** Returns the model that was asked for. */
        public String model() { return exchange.model(); }

        /**
         * Returns the model that the response names, such as the one that an alias stands for, or the only one of a
         * server that answers to any name; "" where no response came, or it names none.
         */
        public String answeredBy() { return exchange.answeringModel(); }

        /** Returns how the request ended. */
        public Outcome outcome() { return exchange.outcome(); }

        /** Returns whether a whole answer came. */
        public boolean ok() { return exchange.ok(); }

        /**
         * Returns the answer: a text; the arguments of the tool that it calls, an embedding or the verdict of a
         * moderation as JSON.
         * @throws IllegalStateException if no whole answer came, with this request's error
         */
        public String text() { return exchange.text(); }

        /** Returns whatever text came, whole or not; "" if none. */
        public String rawText() { return exchange.rawText(); }

        /** Returns the text of each answer, whole or not, where {@code with("n", 3)} asks for several. */
        public List<String> texts() { return exchange.texts(); }

        /** Returns what the model thought before it answered, which is no part of the text; "" if it says nothing. */
        public String reasoning() { return exchange.reasoning(); }

        /**
         * Returns an embedding, however it was encoded.
         * @throws IllegalStateException if no whole answer came, or it is none
         */
        public float[] vector() { return exchange.vector(); }

        /** Returns the body of the provider's response; a missing node where none came. */
        public JsonNode json() { return exchange.json(); }

        /**
         * Returns the answer read as JSON into this class, whatever stands around that.
         * @throws IllegalStateException if no whole answer came, or it does not fit
         */
        public <T> T as(Class<T> type) { return exchange.as(type); }

        /** Returns the label that the answer is, of a draft with labels; throws like {@link #text} if there is none. */
        public String choice() { return exchange.choice(); }

        /** Returns how sure the model was of the label, 0 to 1; empty if the provider does not say. */
        public OptionalDouble confidence() { return exchange.confidence(); }

        /** Returns why no whole answer came, in one sentence; "" if one did. */
        public String error() { return exchange.error(); }

        /** Returns the tokens of this request, with those of every time that it was sent again. */
        public Usage usage() { return exchange.usage(); }

        /** Returns why the model stopped, such as {@code stop} or {@code length}; "" if no answer came. */
        public String finishReason() { return exchange.finishReason(); }

        @Override public String toString() { return exchange.toString(); }
    }

    /**
     * A provider of the Files and Batches API: its base URL, the environment variable that holds its key, how much one
     * input file may hold, what it does in its own way, and the headers that each call to it bears besides.
     */
    public record Provider(String name, String baseUrl, String keyVariable, Limits limits, Dialect dialect,
                           Map<String, String> headers) {
        private static final long MB = 1_000_000;
        private static final Dialect STRICT = new Dialect(false, "max_completion_tokens");
        private static final Dialect MIXED = new Dialect(true, "max_completion_tokens");
        private static final Dialect VLLM = new Dialect(false, "max_tokens");
        private static final Dialect MIXED_VLLM = new Dialect(true, "max_tokens");
        private static final Dialect TOGETHERS = new Dialect(false, "max_tokens", "/files/upload", "batch-api");

        /** 50,000 requests, 200 MB, one model: https://platform.openai.com/docs/api-reference/batch/create */
        public static final Provider OPENAI = new Provider("openai", "https://api.openai.com/v1", "OPENAI_API_KEY",
            new Limits(50_000, 200 * MB), STRICT);
        /**
         * "Less than 1000" requests on the free tier, 100 MB, a model per request: kluster.ai's batch guide. The
         * service has closed.
         */
        public static final Provider KLUSTER = new Provider("kluster", "https://api.kluster.ai/v1",
            "KLUSTERAI_API_KEY", new Limits(999, 100 * MB), MIXED.withoutResponseFormat());
        /** 50,000 requests, 100 MB: https://console.groq.com/docs/batch */
        public static final Provider GROQ = new Provider("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY",
            new Limits(50_000, 100 * MB), STRICT);
        /**
         * 5,000,000 requests, 10 GB, 500 batches:
         * https://docs.tokenfactory.nebius.com/ai-models-inference/batch-inference
         */
        public static final Provider NEBIUS = new Provider("nebius", "https://api.tokenfactory.nebius.com/v1",
            "NEBIUS_API_KEY", new Limits(5_000_000, 10_000 * MB, 500, Long.MAX_VALUE), VLLM);
        /** 50,000 requests, 100 MB, a model per request: https://docs.parasail.io batch-file-format */
        public static final Provider PARASAIL = new Provider("parasail", "https://api.parasail.io/v1",
            "PARASAIL_API_KEY", new Limits(50_000, 100 * MB), MIXED_VLLM);
        /**
         * 100 MB and a model per request in the default configuration of its control layer; it names no number of
         * requests.
         */
        public static final Provider DOUBLEWORD = new Provider("doubleword", "https://api.doubleword.ai/v1",
            "DOUBLEWORD_API_KEY", new Limits(Long.MAX_VALUE, 100 * MB), MIXED_VLLM);
        /** Its pages name no limits (https://docs.deepinfra.com/batch/introduction): these are the smallest common. */
        public static final Provider DEEPINFRA = new Provider("deepinfra", "https://api.deepinfra.com/v1/openai",
            "DEEPINFRA_TOKEN", new Limits(50_000, 100 * MB), VLLM);
        /** 50,000 requests, 100 MB, uploads with a route and a purpose of their own: https://docs.together.ai */
        public static final Provider TOGETHER = new Provider("together", "https://api.together.ai/v1",
            "TOGETHER_API_KEY", new Limits(50_000, 100 * MB), TOGETHERS);
        /** Where {@code ./jbang serve} and {@code ./jbang local} listen on this machine, without a key. */
        public static final Provider LOCAL = new Provider("local", BaseUrl.LOCAL, "SHEAF_API_KEY",
            new Limits(50_000, 100 * MB), STRICT);
        private static final String AZURE_KEY = "AZURE_OPENAI_API_KEY";
        private static final int LISTED_FILES = 10_000;
        private static final List<Provider> PRESETS = List.of(OPENAI, GROQ, NEBIUS, PARASAIL, DOUBLEWORD, DEEPINFRA,
            TOGETHER, KLUSTER, LOCAL);

        static { Script.showUncaught(); }

        public Provider { headers = ExtraHeaders.checked(headers); }

        /** Has no headers of the user's. */
        public Provider(String name, String baseUrl, String keyVariable, Limits limits, Dialect dialect) {
            this(name, baseUrl, keyVariable, limits, dialect, Map.of());
        }

        /**
         * Returns the provider at any base URL, such as {@code http://localhost:8080/v1}; its key, if any, is {@code
         * SHEAF_API_KEY}. One of Azure may end in {@code ?api-version=...}; its key is {@code AZURE_OPENAI_API_KEY}, if
         * that is set. {@code engine:} and a name or URL as {@code BatchServer.before} takes it is one without batches,
         * before which a server is put for the run.
         */
        public static Provider of(String baseUrl) {
            var provider = of(baseUrl, "SHEAF_API_KEY");
            return preset(provider.baseUrl).orElse(provider);
        }

        /** A base URL that is a preset's has its limits and dialect; any other is known by its address. */
        private static Provider of(String baseUrl, String keyVariable) {
            var version = Environment.get("OPENAI_API_VERSION");
            var there = BaseUrl.of(given("provider", baseUrl), version, names()).checked();
            return preset(there.url()).map(preset -> preset.keyVariable(keyVariable))
                .orElseGet(() -> at(there, keyVariable));
        }

        private static Optional<Provider> preset(String url) {
            return offered().values().stream().filter(known -> known.baseUrl.equals(url)).findFirst();
        }

        /** By name: those that Sheaf knows, as the user's file may have them otherwise, and those of that file. */
        private static Map<String, Provider> offered() {
            var offered = new LinkedHashMap<String, Provider>();
            PRESETS.forEach(preset -> offered.put(preset.name, preset));
            OwnProvider.all().forEach(own -> offered.put(own.name(), of(own, offered.get(own.name()))));
            return offered;
        }

        private static Provider of(OwnProvider own, Provider preset) {
            var like = preset == null ? at(BaseUrl.of(own.baseUrl(), "", "").checked(), "SHEAF_API_KEY") : preset;
            return new Provider(like.name, preset == null ? like.baseUrl : own.keeping(like.baseUrl),
                own.keyVariable(like.keyVariable), own.limits(like.limits), own.dialect(like.dialect));
        }

        /** Azure: 100,000 requests, 200 MB: https://learn.microsoft.com/azure/ai-foundry/openai/how-to/batch */
        private static Provider at(BaseUrl there, String keyVariable) {
            boolean hasAzuresKey = there.isAzure() && !Environment.get(AZURE_KEY).isEmpty();
            return new Provider(there.name(), there.url(), hasAzuresKey ? AZURE_KEY : keyVariable,
                there.isAzure() ? new Limits(100_000, 200 * MB) : new Limits(50_000, 100 * MB),
                STRICT.apiVersion(there.apiVersion()));
        }

        /** Returns the preset of this name, or that of {@code ~/.sheaf/providers.json}; or the provider at this URL. */
        public static Provider named(String nameOrUrl) {
            var name = given("provider", nameOrUrl).strip().toLowerCase(Locale.ROOT);
            return Optional.ofNullable(offered().get(name)).orElseGet(() -> of(nameOrUrl));
        }

        /**
         * Returns the provider that the environment names: by {@code SHEAF_PROVIDER}, a name or a URL; else by
         * {@code SHEAF_ENGINE}; else by {@code OPENAI_BASE_URL}; else the only one whose key is set.
         * @throws IllegalStateException if several keys are set, or none and there is no terminal to ask for one
         */
        public static Provider chosen() { return fromEnvironment().orElseGet(() -> withAKey(true)); }

        /** Returns the same; where no key is set, fails at a terminal too: who can do without one is not asked. */
        public static Provider chosenUnasked() { return fromEnvironment().orElseGet(() -> withAKey(false)); }

        private static Optional<Provider> fromEnvironment() {
            var nameOrUrl = Environment.get("SHEAF_PROVIDER");
            if (!nameOrUrl.isEmpty()) return Optional.of(named(nameOrUrl));
            var engine = Environment.get("SHEAF_ENGINE");
            if (!engine.isEmpty()) return Optional.of(of(BaseUrl.ENGINE + engine));
            var url = Environment.get("OPENAI_BASE_URL");
            return url.isEmpty() ? Optional.empty() : Optional.of(of(url, OPENAI.keyVariable));
        }

        private static Provider withAKey(boolean mayAsk) {
            var elsewhere = offered();
            elsewhere.values().removeIf(Provider::isLocal);
            return Keys.theOnly(elsewhere, Provider::keyVariable, mayAsk).orElse(OPENAI);
        }

        /** A preview needs no provider; it shows OpenAI's dialect where none is chosen. */
        private static Optional<Provider> ifChosen() {
            try {
                return Optional.of(chosen());
            } catch (IllegalStateException noneOrTwo) {
                return Optional.empty();
            }
        }

        private static String names() { return String.join(", ", offered().keySet()); }

        /** With a server of ours in its place: its limits, and of its manners those that shape requests. */
        private Provider servedAt(String url) {
            return new Provider(name, of(url).baseUrl, "SHEAF_API_KEY", limits, dialect.served());
        }

        private Provider at(String url) { return new Provider(name, url, keyVariable, limits, dialect, headers); }

        /** Returns a copy whose key is in this environment variable. */
        public Provider keyVariable(String variable) {
            return new Provider(name, baseUrl, variable, limits, dialect, headers);
        }

        /**
         * Returns a copy whose every call bears this header, in the place of one of the same name. It is written down
         * nowhere, so a batch from another process is {@code provider.batch(id)}. With {@code Authorization} it needs
         * no key.
         * @throws IllegalArgumentException if no header may have this name or value
         */
        public Provider header(String name, String value) {
            return headers(ExtraHeaders.with(headers, name, value));
        }

        private Provider headers(Map<String, String> all) {
            return new Provider(name, baseUrl, keyVariable, limits, dialect, all);
        }

        /** Returns a copy with these limits per input file. */
        public Provider limits(long requests, long bytes) {
            return limits(new Limits(requests, bytes, limits.batches(), limits.tokens()));
        }

        /**
         * Returns a copy with these limits of its queue: of one batch of ours, at most so many parts are in flight, and
         * so many tokens in all of them. Tokens are estimated: four ASCII characters, or one other, are one.
         */
        public Provider queue(long batches, long tokens) {
            return limits(new Limits(limits.requests(), limits.bytes(), batches, tokens));
        }

        private Provider limits(Limits limits) {
            return new Provider(name, baseUrl, keyVariable, limits, dialect, headers);
        }

        /** Returns a copy with this dialect. */
        public Provider dialect(Dialect dialect) {
            return new Provider(name, baseUrl, keyVariable, limits, dialect, headers);
        }

        /** Returns whether its key is set, or it needs none; where it is not, the first call asks for it or fails. */
        public boolean hasKey() {
            return isLocal() || ExtraHeaders.authorize(headers) || !Environment.get(keyVariable).isEmpty();
        }

        /** Returns whether it runs on this machine, where asking often costs nothing and no key is needed. */
        public boolean isLocal() { return address().name().equals("local"); }

        /** Returns what messages call it: one on this machine by its base URL, for there may be several. */
        public String label() { return isLocal() ? BaseUrl.engine(baseUrl) : name; }

        /** Returns a batch here, by its id or the name it was submitted under. */
        public Batch batch(String idOrName) { return Batch.at(this, api(), given("batch", idOrName)); }

        /**
         * Returns the newest batches, newest first, at most so many: those that the provider lists, and those kept
         * under {@code ~/.sheaf} that it does not. They print as a table.
         */
        public Listing<Batch> batches(int limit) {
            var api = api();
            var listed = api.batches("batches", (int) notNegative("batches", limit)).items();
            var ids = listed.stream().map(json -> json.path("id").asText()).collect(Collectors.toSet());
            var journals = Journal.readable().filter(journal -> journal.wasBegun() && journal.isAt(api.connection()))
                .toList();
            var here = journals.stream().flatMap(Journal::parts).map(Part::id).collect(Collectors.toSet());
            var unlisted = journals.stream().filter(journal -> journal.parts().map(Part::id).noneMatch(ids::contains));
            var batches = Stream.concat(listed.stream().map(json -> new Batch(this, api.connection(), json)),
                unlisted.map(journal -> new Batch(journal, api.connection(), this)))
                .sorted(Comparator.comparing((Batch batch) -> batch.submittedAt().getEpochSecond()).reversed())
                .limit(limit).toList();
            return new Listing<>(batches, Report.LISTED,
                batch -> batch.watch.report().asListed(here.contains(batch.id())));
        }

        /** Returns the models here. They print as a table. */
        public Listing<Map<String, Object>> models() { return Listing.of(api().models(), "id", "owned_by"); }

        /** Returns the files stored there. They print as a table. */
        public Listing<Map<String, Object>> files() {
            return Listing.of(api().files("files", LISTED_FILES), "id", "filename", "purpose", "bytes");
        }

        /** Returns the files stored there that no one needs any more, and that are more than a day old. */
        public Listing<Map<String, Object>> leftovers() { return leftovers(Duration.ofDays(1)); }

        /**
         * Returns the files stored there that no one needs any more, and that are more than so old; a young one may be
         * another machine's that is just submitting. They are the files of Sheaf's batches that have ended and whose
         * answers are under {@code ~/.sheaf}, and Sheaf's uploads of which no batch was made, or only one that failed
         * before anything ran. To what the provider says of a file are added its {@code folder} under {@code ~/.sheaf},
         * which may be gone, and its {@code kind}. They print as a table.
         */
        public Listing<Map<String, Object>> leftovers(Duration age) {
            return new Listing<>(Leftovers.of(api(), given("leftovers", age)), Leftovers.COLUMNS, Leftovers::cells,
                Leftovers::sum);
        }

        /** Deletes a file here; one that is gone already is no error. */
        public void deleteFile(String id) { api().deleteFile(given("deleteFile", id)); }

        private BatchApi api() { return new BatchApi(connection()); }

        private BaseUrl address() { return BaseUrl.of(baseUrl, dialect.apiVersion(), names()); }

        Connection connection() {
            var there = address();                             // refuses what is no base URL, or holds a key
            var usual = preset(there.url()).map(Provider::name).orElse(there.name());
            boolean isCalledByUrl = !isLocal() && usual.equals(name);
            return new Connection(name, isCalledByUrl ? name : baseUrl, baseUrl, keyVariable, limits, dialect, headers);
        }

        /**
         * Returns one to where a batch was submitted, or its server listens by now, if the environment names that. What
         * was written down has no headers; at the same base URL they are this provider's.
         */
        private Connection connection(Manifest.Address address) {
            var identity = address.identity();
            var elsewhere = fromEnvironment().filter(now -> !now.baseUrl.equals(address.baseUrl()))
                .map(now -> now.connection().expecting(identity, null)).filter(Connection::mayTell).orElse(null);
            var there = of(address);
            if (there.baseUrl.equals(baseUrl)) there = there.headers(headers);
            return there.connection().expecting(identity, identity.isTold() ? elsewhere : null);
        }

        private static Provider of(Manifest.Address address) {
            return new Provider(address.name(), address.baseUrl(), address.keyVariable(), address.limits(),
                address.dialect());
        }

        @Override public String toString() { return "Provider[" + name + " " + baseUrl + "]"; }
    }
}
