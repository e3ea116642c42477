package sheaf;

import static sheaf.Messages.clip;
import static sheaf.Messages.count;
import static sheaf.Messages.given;

import com.fasterxml.jackson.databind.JsonNode;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Consumer;
import java.util.function.Predicate;
import java.util.function.Supplier;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import sheaf.Prices.Price;
import sheaf.Templates.Text;

/**
 * All that a draft was told, as one value: expansion, digest, comparison and the manifest read it. Nobody changes one
 * that others have: {@link #with} copies, in the one place where fields are copied.
 */
final class Settings implements Cloneable {
    static final String CHAT = "/v1/chat/completions";
    /** The key in a batch's metadata that tells whose it is. */
    static final String METADATA_KEY = "sheaf";
    private static final Set<String> OWN_FIELDS = Set.of("model", "messages", "input", "prompt");
    /** The endpoints whose requests are made of prompts. */
    private static final List<String> ROUTES =
        List.of("/chat/completions", "/responses", "/completions", "/embeddings", "/moderations");
    private static final Set<String> MESSAGES = Set.of("/chat/completions", "/responses");
    private static final Duration SHORTEST_LIFE = Duration.ofHours(1);   // of a file that is to expire, at OpenAI
    private static final Duration LONGEST_LIFE = Duration.ofDays(30);
    private static final int PAIRS = 15;                  // of metadata; OpenAI takes 16, of which one is ours
    String name;                                          // null: the data's
    List<Text> models = List.of();
    Text system;                                  // null: none
    List<Text> examples = List.of();              // user, assistant, user, assistant, ...
    List<Text> prompts = List.of();
    Rows data;                                            // null: the prompts are literals
    List<Text> images = List.of();
    Text customId;                                // null: the id on the wire
    Map<String, Object> body = Map.of();                  // fields that every request body shares
    Integer maxTokens;                                    // null: the provider's own limit
    AnswerFormat format;                                  // null: an answer may be any text
    boolean confidence;                                   // of which it is asked how sure the model was
    List<Check> checks = List.of();                       // of answers that came, by the user
    String endpoint = CHAT;
    String completionWindow = "24h";
    Long outputSeconds;                                   // after which answers expire; null: as the provider has it
    Map<String, String> metadata = Map.of();
    InputFile requests;                                   // an existing file of request lines, instead of prompts
    Resend resend;                                        // requests that are sent once more, instead of prompts
    String note = "";                                     // said when it is submitted
    int repairs;
    boolean resendsMissing;
    boolean takesRetries;                                 // what was sent again before counts, as an answer too
    List<Other> shares = List.of();                       // who answers how much of it; none: the provider all
    Other fallback;                                       // asked what the provider does not answer; null: nobody is
    Instead instead;                                      // of what part of another batch this is; null: of none
    boolean quiet;
    Price price;                                          // of whatever model; null: as tables know it
    Double budget;                                        // dollars, for all rounds; null: whatever it costs
    boolean distinct;                                     // repeats are sent once
    boolean isEstimated;                                  // and not sent
    Integer sampled;                                      // null: it is sent, else so many rows are asked and shown
    Integer previewed;                                    // null: it is sent, else so many lines are shown
    Path out;                                             // null: results are written where the script says
    boolean overwrites;

    Settings with(Consumer<Settings> change) {
        var copy = clone();
        change.accept(copy);
        return copy;
    }

    @Override protected Settings clone() {
        try {
            return (Settings) super.clone();
        } catch (CloneNotSupportedException e) {
            throw new AssertionError(e);
        }
    }

    Settings models(List<Text> models) {
        if (models.stream().map(Text::text).distinct().count() < models.size())
            throw new IllegalArgumentException("model: the same model twice would be paid twice; name each once");
        if (models.stream().anyMatch(model -> model.text().isBlank()))
            throw new IllegalArgumentException("model: the name is empty; " + Wording.MODELS + " lists what there is");
        return with(s -> s.models = models);
    }

    /** Adds prompts over these rows; null for literals. */
    Settings prompts(List<Text> more, Rows rows) {
        if (rows != null) more.forEach(Text::compile);
        if (more.isEmpty())
            throw new IllegalArgumentException("prompts: the list is empty; give at least one text or template");
        if (!prompts.isEmpty() && !Objects.equals(data, rows))
            throw new IllegalArgumentException("prompts: the draft already has prompts over "
                + (data == null ? "no data" : data.name()) + "; all prompts of a batch share one dataset");
        var named = named(Stream.concat(prompts.stream(), more.stream()).toList());
        return with(s -> {
            s.prompts = named;
            s.data = rows;
        });
    }

    /** A prompt given as text is called by its place: prompt-1. Two prompts of one name could not be told apart. */
    private static List<Text> named(List<Text> prompts) {
        var named = new ArrayList<Text>();
        for (var prompt : prompts)
            named.add(prompt.name().isEmpty() ? prompt.called("prompt-" + (named.size() + 1)) : prompt);
        var names = new HashSet<String>();
        for (var prompt : named)
            if (!names.add(prompt.name()))
                throw new IllegalArgumentException("prompts: two templates are named \"" + prompt.name()
                    + "\"; " + Wording.RENAME);
        return List.copyOf(named);
    }

    /** Has other rows in the place of those that the prompts have; {@code word} is the option that brought them. */
    Settings over(String word, UnaryOperator<Rows> change) {
        if (data == null)
            throw new IllegalArgumentException("options: " + word + " needs prompts over rows; this script has none");
        return with(s -> s.data = change.apply(data));
    }

    /** Has other prompts over the same rows. */
    Settings over(List<Text> templates) { return with(s -> s.prompts = List.of()).prompts(templates, data); }

    Settings name(String name) {
        if (!given("name", name).matches("[A-Za-z0-9][A-Za-z0-9._-]{0,63}"))
            throw new IllegalArgumentException("name: \"" + clip(name, 80)
                + "\" is not 1 to 64 letters, digits, '.', '_' or '-'");
        return with(s -> s.name = name);
    }

    Settings maxTokens(int tokens) {
        if (tokens < 1) throw new IllegalArgumentException("maxTokens: " + tokens + " is less than 1");
        return with(s -> s.maxTokens = tokens);
    }

    Settings field(String field, Object value) {
        if (given("with", field).isBlank()) throw new IllegalArgumentException("with: the field has no name");
        if (field.equals("stream"))
            throw new IllegalArgumentException("with: a batch cannot stream; leave stream out");
        if (OWN_FIELDS.contains(field))
            throw new IllegalArgumentException("with: " + field
                + " has " + Wording.OWN_WORDS);
        if (value instanceof Number number && !Double.isFinite(number.doubleValue()))
            throw new IllegalArgumentException("with: " + field + " is " + number + ", which JSON cannot say");
        var fields = new TreeMap<>(body);
        fields.put(field, PlainValues.of(value));
        return with(s -> s.body = Collections.unmodifiableMap(fields));
    }

    Settings price(double in, double out) {
        var price = Price.given(in, out);
        return with(s -> s.price = price);
    }

    /** Returns the price that the user gave, in and out; empty if none. */
    List<Double> givenPrice() {
        return price == null ? List.of() : List.of(price.here().input(), price.here().output());
    }

    Settings budget(double dollars) {
        if (!(dollars > 0 && Double.isFinite(dollars)))
            throw new IllegalArgumentException("budget: " + Messages.plain(dollars) + " is no amount of dollars");
        return with(s -> s.budget = dollars);
    }

    /** Whether any provider is named besides the one that is asked first. */
    boolean asksOthers() { return fallback != null || !shares.isEmpty(); }

    /** Has this provider stand first of those that share it, and asked by its own name for the model. */
    Settings sharedFrom(Supplier<Connection> own) {
        if (shares.isEmpty()) return this;
        var first = shares.stream().filter(share -> share.provider().get().baseUrl().equals(own.get().baseUrl()))
            .findFirst().orElse(new Other(own, 0, null));
        return with(s -> {
            s.shares = Stream.concat(Stream.of(first), shares.stream().filter(share -> share != first)).toList();
            if (first.model() != null) s.models = List.of(Text.of("model", first.model()));
        });
    }

    /** Has nothing sent again and no file written, for these are not all. */
    Settings asSample() {
        return with(s -> {
            s.repairs = 0;
            s.resendsMissing = s.takesRetries = false;
            s.fallback = null;
            s.shares = List.of();
            s.out = null;
        });
    }

    /** Has a repair of this draft keep to what this one was told beside its requests. */
    Settings passedTo(Settings repair) {
        return repair.with(s -> {
            s.quiet = quiet;
            s.price = price;
            s.budget = budget;
            s.distinct = distinct;
        });
    }

    /** Returns what a model costs at this provider, if anybody says. */
    Optional<Price> price(String provider, String model) {
        return price != null ? Optional.of(price) : Prices.of(provider, model);
    }

    /** @throws IllegalStateException if the requests are made already */
    Settings format(AnswerFormat format) {
        if (resend != null) throw new IllegalStateException(
            "retry: the requests are made already; " + Wording.FORMAT + " would be ignored");
        return with(s -> s.format = format);
    }

    /** Returns what an answer is to be; null if it may be any text. */
    AnswerFormat format() { return format == null || resend != null ? format : format.confidence(confidence); }

    Settings check(String why, Predicate<Object> holds) {
        if (given("validate", why).isBlank()) throw new IllegalArgumentException("validate: say what is wrong then");
        return with(s -> s.checks = Stream.concat(checks.stream(), Stream.of(new Check(why, holds))).toList());
    }

    Settings completionWindow(String window) {
        if (!given("completionWindow", window).matches("[1-9][0-9]*[hd]"))
            throw new IllegalArgumentException(Wording.WINDOW + ": \"" + window
                + "\" is not a number of hours or days, like 24h");
        return with(s -> s.completionWindow = window);
    }

    Settings outputExpiresAfter(Duration time) {
        boolean isShort = given("outputExpiresAfter", time).compareTo(SHORTEST_LIFE) < 0;
        if (isShort || time.compareTo(LONGEST_LIFE) > 0)
            throw new IllegalArgumentException("outputExpiresAfter: " + time + " is not between 1 hour and 30 days");
        return with(s -> s.outputSeconds = time.toSeconds());
    }

    Settings metadata(String key, String value) {
        if (given("metadata", key).length() > 64 || given("metadata", value).length() > 512)
            throw new IllegalArgumentException("metadata: \"" + clip(key, 80)
                + "\" is over 64 characters, or its value over 512");
        if ((key + " " + value).codePoints().anyMatch(JsonText::isHalf))
            throw new IllegalArgumentException("metadata: \"" + clip(key, 80)
                + "\" holds half a character, a lone surrogate; drop it");
        if (key.equals(METADATA_KEY))
            throw new IllegalArgumentException("metadata: \"" + key + "\" is Sheaf's own key");
        var pairs = new TreeMap<>(metadata);
        pairs.put(key, value);
        if (pairs.size() > PAIRS) throw new IllegalArgumentException("metadata: more than 15 pairs; drop one");
        return with(s -> s.metadata = Collections.unmodifiableMap(pairs));
    }

    Settings endpoint(String path) {
        if (!given("endpoint", path).startsWith("/"))
            throw new IllegalArgumentException("endpoint: \"" + path + "\" is not a path like /v1/embeddings");
        if (!ROUTES.contains(route(path)))
            throw new IllegalArgumentException("endpoint: " + clip(path, 60)
                + " takes no prompts that Sheaf could write; there are /v1" + String.join(", /v1", ROUTES)
                + "; for any other, " + Wording.REQUESTS);
        return with(s -> s.endpoint = path);
    }

    /** Returns the name that it is kept under. */
    String batchName() {
        if (name != null) return name;
        if (instead != null) return DefaultName.ofElsewhere(resend.batchName());
        if (resend != null) return DefaultName.ofRetry(resend.batchName());
        return defaultName().under(Script.name());
    }

    private DefaultName defaultName() {
        var source = data == null ? "" : data.name();
        var first = prompts.stream().findFirst().map(prompt -> prompt.isNamed() ? prompt.name() : prompt.text());
        return new DefaultName(requests != null ? requests.fileName() : source, first.orElse(""));
    }

    /** Returns the name that an earlier Sheaf kept it under, if it was given none. */
    Optional<String> formerName() {
        return name != null || resend != null ? Optional.empty()
            : Optional.of(defaultName().former()).filter(former -> !former.equals(batchName()));
    }

    /** Whether the name says what it is: literal prompts of which nothing else is known are all called alike. */
    boolean isNamed() {
        return name != null || data != null || requests != null || !batchName().equals(DefaultName.PROMPTS);
    }

    /** Whether prompts are given, and nobody who answers them. */
    boolean lacksModel() { return models.isEmpty() && hasOwnIds() && !prompts.isEmpty(); }

    /** Whether the ids on the wire are our own, in the order of the requests. */
    boolean hasOwnIds() { return requests == null && resend == null; }

    /** Returns the columns that the prompts name. */
    List<String> promptColumns() {
        if (resend != null) return resend.promptColumns();
        return data == null ? List.of()
            : prompts.stream().flatMap(prompt -> prompt.names().stream()).distinct().toList();
    }

    /** Returns what shapes the requests, by the word that sets it, to tell later what has changed. */
    JsonNode shape() {
        var shape = new LinkedHashMap<String, Object>();
        shape.put("model", String.join(", ", texts(models)));
        if (system != null) shape.put("system", system.text());
        shape.put("example", texts(examples));
        shape.put("prompts", prompts.stream().map(prompt -> List.of(prompt.name(), prompt.text())).toList());
        shape.put("image", texts(images));
        if (maxTokens != null) shape.put("maxTokens", maxTokens);
        if (format() != null) shape.put("returning", format());
        shape.put("endpoint", endpoint);
        shape.put("completionWindow", completionWindow);
        shape.putAll(body);
        return Json.MAPPER.valueToTree(shape);
    }

    private static List<String> texts(List<Text> templates) {
        return templates.stream().map(Text::text).toList();
    }

    /**
     * Refuses what cannot be sent, and what says something that would be ignored.
     * @throws IllegalStateException with the word that is missing or too much
     */
    void check() {
        var secondModel = word("a second model", models.size() > 1);
        if (resend != null) refuse("retry: the requests are made already", beside(secondModel));
        else if (requests != null) refuse("requests: the file says it all", beside(fields()));
        else checkPrompts();
    }

    private void checkPrompts() {
        if (prompts.isEmpty())
            throw new IllegalStateException("submit: no prompts; call prompts(text, data) first");
        if (models.isEmpty())
            throw new IllegalStateException("model: none given; name one by " + Wording.MODEL + ", and "
                + Wording.MODELS + " lists them");
        if (data == null)
            new Literals(prompts).check(customId, Stream.of(models, examples, images, system == null ? List.<Text>of()
                : List.of(system)).flatMap(List::stream));
        checkFormat();
        if (!MESSAGES.contains(route(endpoint)))
            messages().findFirst().ifPresent(word -> {
                throw new IllegalStateException("endpoint: " + endpoint + " takes no messages; drop " + word);
            });
    }

    private void checkFormat() {
        if (confidence && (format == null || !format.hasLabels()))
            throw new IllegalStateException("confidence: it is of a label, and there are none; give " + Wording.CHOICE);
        if (format == null) return;
        if (!MESSAGES.contains(route(endpoint)))
            throw new IllegalStateException("endpoint: " + endpoint + " is not held to a schema or to labels; drop "
                + Wording.FORMAT);
        AnswerFormat.fields().stream().filter(body::containsKey).findFirst().ifPresent(field -> {
            throw new IllegalStateException("with: " + field + " is what " + Wording.FORMAT
                + " sets; drop one of them");
        });
    }

    private static void refuse(String why, Stream<String> words) {
        words.findFirst().ifPresent(word -> {
            throw new IllegalStateException(why + "; " + word + " would be ignored");
        });
    }

    /** Returns the words that make prompts, as far as they were said, and then more. */
    private Stream<String> beside(Stream<String> more) {
        var others = Stream.of(word("customId(...)", customId != null),
            word("endpoint(...)", !endpoint.equals(Settings.CHAT)));
        return Stream.of(word("prompts(...)", !prompts.isEmpty()), messages(), others.flatMap(s -> s), more)
            .flatMap(words -> words);
    }

    private Stream<String> messages() {
        return Stream.of(word(Wording.SYSTEM, system != null), word("example(...)", !examples.isEmpty()),
            word(Wording.IMAGE, !images.isEmpty())).flatMap(words -> words);
    }

    private Stream<String> fields() {
        return Stream.of(models.stream().limit(1).map(model -> "model(\"" + model.text() + "\")"),
            word("maxTokens(" + maxTokens + ")", maxTokens != null),
            word(Wording.FORMAT, format != null),
            body.keySet().stream().limit(1).map(field -> "with(\"" + field + "\", ...)"))
            .flatMap(words -> words);
    }

    private static Stream<String> word(Object word, boolean isSaid) {
        return isSaid ? Stream.of(word.toString()) : Stream.of();
    }

    /** Returns the file of the answers, which is not to take the place of the rows or the requests. */
    Path checkedOut() {
        if (data != null && data.areIn(out) || requests != null && requests.isAt(out))
            throw new IllegalArgumentException("out: " + out + " is what is read; give another name");
        return out;
    }

    /** Azure leaves the version out of an endpoint. */
    static String route(String endpoint) { return endpoint.replaceFirst("^/v[0-9]+/", "/"); }

    @Override public String toString() {
        if (requests != null) return "Draft[" + requests.fileName() + "]";
        if (resend != null) return "Draft[" + count(resend.size(), "request") + " of " + resend.title() + " again]";
        return "Draft[" + String.join(", ", texts(models)) + (models.isEmpty() ? "" : ", ") + prompts.size()
            + (prompts.size() == 1 ? " prompt" : " prompts") + (data == null ? "" : " over " + data.name()) + "]";
    }

    /**
     * A provider that is asked too.
     * @param part of the requests, from the start; 0: only what others do not answer
     * @param model its name for the model; null: the same
     */
    record Other(Supplier<Connection> provider, double part, String model) {}

    /**
     * What requests that are sent again at another provider stand in for.
     * @param batch the digest of the batch that has them too
     * @param parts the parts of it that its provider has not taken; none: requests that failed there
     */
    record Instead(String batch, List<Integer> parts) {}

    /**
     * What the user wants of an answer that came.
     * @param holds is given what a room on a higher floor knows the answer as
     */
    record Check(String why, Predicate<Object> holds) {}
}
