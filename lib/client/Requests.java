package sheaf;

import static sheaf.Messages.cannot;
import static sheaf.Messages.clip;
import static sheaf.Messages.visible;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.Spliterator;
import java.util.Spliterators;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import sheaf.Templates.Text;

/**
 * Expands a draft for a provider: row outermost, then template, then model. The same draft is the same bytes on any
 * JVM.
 */
final class Requests {
    /** The id on the wire is this and the request's number, from 1. */
    static final String ID = "request-";
    private static final int SEARCHED_ROWS = 1_000;
    /** The fields that limit the tokens of an answer, by whichever a provider calls it. */
    static final List<String> LIMITS = List.of("max_completion_tokens", "max_tokens", "max_output_tokens");
    private static final Map<String, String> IMAGE_TYPES = Map.of("png", "image/png", "jpg", "image/jpeg",
        "jpeg", "image/jpeg", "gif", "image/gif", "webp", "image/webp");
    private static final Set<String> PLAIN_INPUT = Set.of("/embeddings", "/moderations");
    /** Several providers take 64 characters of ASCII; what tells the rounds apart comes after these. */
    private static final String SHORT_ID = "[!-~]{1,50}";
    private final Settings settings;
    private final Connection provider;                     // its limits and its dialect
    private Hashes ids;                                     // of the custom ids so far; null: none was looked at
    private final String endpoint;
    private final String route;
    private long row;
    private long number;
    private String customId;                               // that the user gave the row; null: none
    private final Map<Text, Map<Text, Optional<Form>>> forms = new HashMap<>();      // by prompt and model
    private Set<String> checked;                           // columns of the last row

    Requests(Settings settings, Connection provider) {
        this.settings = settings;
        this.provider = provider;
        this.endpoint = endpoint(settings, provider);
        this.route = Settings.route(endpoint);
    }

    private static String endpoint(Settings settings, Connection provider) {
        if (settings.instead != null && Settings.route(settings.resend.endpoint()).equals("/chat/completions"))
            return provider.hasOlderPaths() ? "/chat/completions" : Settings.CHAT;
        if (settings.resend != null) return settings.resend.endpoint();
        if (settings.requests != null) return RequestFile.endpoint(settings.requests, provider).orElse(Settings.CHAT);
        boolean isShort = provider.hasOlderPaths() && settings.endpoint.equals(Settings.CHAT);
        return isShort ? "/chat/completions" : settings.endpoint;
    }

    String endpoint() { return endpoint; }

    /** Opens the requests; each call starts anew. */
    Stream<Request> open() { return open(none -> {}); }

    /** @param note told what is odd about the rows, when the stream is closed */
    Stream<Request> open(Consumer<String> note) {
        ids = null;
        row = number = 0;
        if (settings.resend != null) return settings.resend.requests().get().map(this::resent);
        if (settings.requests != null) return Rows.Reader.stream(new RequestFile(settings.requests, provider));
        if (settings.data == null) return expand(Request.NO_ROW);
        var rows = settings.data.open(note);
        try {
            return checked(rows.iterator()).onClose(rows::close).flatMap(this::expand);
        } catch (RuntimeException e) {
            rows.close();
            throw e;
        }
    }

    /** Has the one model that a server has, which answers if none is named. */
    static Settings withOnlyModel(Settings draft, Connection server) {
        checkBeforeStart(draft, server);
        var names = new BatchApi(server).models().stream().map(model -> model.path("id").asText()).toList();
        if (names.size() == 1) return draft.models(List.of(Text.of("model", names.get(0))));
        throw new IllegalStateException("model: none given; name one by " + Wording.MODEL + "; " + server.label()
            + (names.isEmpty() ? " lists none" : " has " + String.join(", ", names)));
    }

    /** Fails as the first row would, before a server is started only to be asked which model it has. */
    private static void checkBeforeStart(Settings draft, Connection provider) {
        if (!provider.isMissing()) return;
        var settled = draft.models(List.of(Text.of("model", "any")));
        settled.check();
        try (var requests = new Requests(settled, provider).open()) {
            requests.findFirst();
        }
    }

    /**
     * A draft of a few rows.
     * @param all requests that all of the rows make
     */
    record Sampled(Settings settings, long all) {}

    /**
     * Returns a draft of so many rows, evenly spread; where there are no rows, of so many prompts. All rows are read,
     * so that a fault of a later one is known before any is paid.
     */
    Sampled sample(long few) {
        if (few < 1) throw new IllegalArgumentException("sample: " + few + " is less than 1");
        if (!settings.hasOwnIds())
            throw new IllegalStateException("sample: " + (settings.requests != null ? "a file of requests" : "a retry")
                + " has no rows of which a few could be chosen");
        try (var requests = open()) {
            long all = requests.count();
            long rows = all / (settings.models.size() * (settings.data == null ? 1L : settings.prompts.size()));
            return new Sampled(few < rows ? spread(few, rows) : settings, all);
        }
    }

    /** Has as many rows, or prompts where there are none, as a sample is to have, evenly spread. */
    private Settings spread(long few, long all) {
        return settings.with(s -> {
            if (s.data != null) s.data = s.data.spread(few, all);
            else s.prompts = IntStream.range(0, s.prompts.size()).filter(i -> Rows.isOfSpread(i, few, all))
                .mapToObj(settings.prompts::get).toList();
        });
    }

    /** An optional section may name a column that the first rows lack, so many are asked. */
    private Stream<Map<String, Object>> checked(Iterator<Map<String, Object>> rows) {
        if (!rows.hasNext())
            throw new IllegalArgumentException("prompts: " + settings.data.name()
                + " has no rows; a batch needs at least one");
        var first = new ArrayList<Map<String, Object>>();
        boolean isNamed = false;
        while (!isNamed && first.size() < SEARCHED_ROWS && rows.hasNext()) {
            var columns = rows.next();
            first.add(columns);
            isNamed = settings.data.areRendered()
                || templates().anyMatch(template -> template.namesAny(columns.keySet()));
        }
        if (!isNamed) throw namesNoColumn(first.get(0));
        var rest = Spliterators.spliteratorUnknownSize(rows, Spliterator.ORDERED);
        return Stream.concat(first.stream(), StreamSupport.stream(rest, false));
    }

    /** An answer used as data stands under {@code result}; a column of that name would hide it. */
    private void checkColumn(String name, Object value) {
        boolean isOfAnAnswer = name.startsWith("result.");
        if (isOfAnAnswer || name.equals("result")
            && !(value instanceof Map<?, ?> result && result.containsKey("outcome")))
            throw new IllegalArgumentException("prompts: the column \"" + name + "\" of " + settings.data.name()
                + " has the name of an answer; " + (isOfAnAnswer ? Wording.ANSWERS + ", or " : "") + "rename it");
    }

    private Stream<Text> templates() {
        return Stream.of(settings.prompts, settings.models, settings.examples, settings.images,
                Stream.of(Optional.ofNullable(settings.system), Optional.ofNullable(settings.customId))
                    .flatMap(Optional::stream).toList())
            .flatMap(List::stream);
    }

    private IllegalArgumentException namesNoColumn(Map<String, Object> first) {
        var prompt = settings.prompts.get(0);
        try {
            if (prompt.hasTags()) prompt.render("prompts", 1, first);
        } catch (IllegalArgumentException e) {
            var hint = e.getMessage().endsWith("?") ? "" : settings.data.headerAdvice();
            return new IllegalArgumentException(e.getMessage() + hint, e);
        }
        var advice = Text.isFile(prompt.text()) ? "did you mean " + Wording.TEMPLATE.of(prompt.text()) + "?"
            : "name a column like {{" + columnFor(prompt.text(), first.keySet()) + "}}";
        return new IllegalArgumentException("prompts: \"" + clip(prompt.text(), 40) + "\" names no column of "
            + settings.data.name() + " (" + visible(first.keySet()) + "); " + advice);
    }

    /** Returns the column that a prompt has in single braces, as Python would; else the first. */
    private static String columnFor(String prompt, Set<String> columns) {
        return columns.stream().filter(column -> prompt.contains("{" + column + "}")).findFirst()
            .or(columns.stream()::findFirst).orElse("column");
    }

    private Stream<Request> expand(Map<String, Object> values) {
        row++;
        if (values.keySet() != checked || !(values instanceof Row)) values.forEach(this::checkColumn);
        checked = values.keySet();
        if (settings.customId != null) claim(customId = render(Wording.CUSTOM_ID.of(), settings.customId, values));
        if (settings.data != null && settings.data.areRendered())
            return ((RenderedRow) values).lines().stream().map(line -> numbered(line, values));
        var requests = new ArrayList<Request>(settings.prompts.size() * settings.models.size());
        for (var prompt : settings.prompts)
            for (var model : settings.models) requests.add(request(prompt, model, values));
        return requests.stream();
    }

    private Request numbered(RenderedRow.Line line, Map<String, Object> values) {
        number++;
        return new Request(row, values, line.model(), provider.fitting(line.under(ID + number), this::where));
    }

    private void claim(String id) {
        if (id.isBlank()) throw new IllegalArgumentException(Wording.CUSTOM_ID + ": row " + row + " gives an empty id");
        if (isNew(id)) return;
        var rows = rowsOf(id);
        if (rows.equals(List.of(row))) return;                 // another id has the same hash
        var which = rows.size() == 2 ? "rows " + rows.get(0) + " and " + rows.get(1) + " both give"
            : "row " + row + " and one before it give";
        throw new IllegalArgumentException(Wording.CUSTOM_ID + ": " + which + " \"" + clip(id, 60)
            + "\"; an id is unique");
    }

    /** Whether no id before it has its hash. */
    private boolean isNew(String id) {
        if (ids == null) ids = new Hashes();
        return ids.add(id);
    }

    /**
     * Looks through the rows anew for the first two that give this id, up to the current one if that gives it again.
     * Rows that cannot be read twice, or are others by then, are none.
     */
    private List<Long> rowsOf(String id) {
        var found = new ArrayList<Long>();
        long at = 0;
        try (var rows = settings.data.open(none -> {})) {
            for (var i = rows.iterator(); i.hasNext() && found.size() < 2 && !found.equals(List.of(row)); ) {
                at++;
                if (id.equals(settings.customId.render(Wording.CUSTOM_ID.of(), at, i.next()))) found.add(at);
            }
        } catch (RuntimeException unreadable) {
            found.clear();
        }
        return found;
    }

    private String render(String word, Text template, Map<String, Object> values) {
        return settings.data == null ? template.text() : template.render(word, row, values);
    }

    /** The same request under its next id, and what the draft says anew; what stays here travels beside it. */
    private Request resent(Resend.Sent sent) {
        number++;
        var line = sent.line();
        var body = (ObjectNode) line.get("body");
        int round = sent.round() + 1;
        var id = sent.firstId().matches(SHORT_ID) ? sent.firstId() : ID + number;
        line.put("custom_id", unused(id + "-r" + round));
        if (settings.instead != null) translate(line, body);
        if (!settings.models.isEmpty()) body.put("model", settings.models.get(0).text());
        int turns = repaired(body, sent);
        addFields(body);
        var values = new LinkedHashMap<String, Object>();
        values.put("first", sent.firstId());
        values.put("round", round);
        values.put("customId", sent.customId());
        values.put("template", sent.template());
        values.put("row", sent.row());
        if (turns > 0) values.put("turns", turns);
        return new Request(number, values, body.path("model").asText(),
            provider.fitting(Json.line(line), () -> "retry: " + clip(sent.customId(), 60)));
    }

    /** Has a request say it as this provider wants it, which is not the one that it was first made for. */
    private void translate(ObjectNode line, ObjectNode body) {
        line.put("url", endpoint);
        LIMITS.stream().filter(body::has).findFirst().ifPresent(field -> {
            var limit = body.get(field);
            body.remove(LIMITS);
            body.set(maxTokensField(), limit);
        });
    }

    /**
     * Gives a truncated one more room, and has an unfit one see its answer and what was wrong with it; what is not
     * repaired is asked as it was at first. Returns how many messages it has more than then.
     */
    private int repaired(ObjectNode body, Resend.Sent sent) {
        if (!settings.resend.isRepair()) {
            Turns.takeBack(body, sent.turns());
            return 0;
        }
        if (sent.isTruncated()) body.put(limitField(body), 2 * sent.tokenLimit());
        Turns.goOn(body, sent.nextTurns());
        return sent.turns() + sent.nextTurns().size();
    }

    /** A file's own ids may look like those of a later round. */
    private String unused(String id) { return isNew(id) ? id : unused(id + "x"); }

    private void addFields(ObjectNode body) {
        settings.body.forEach((field, value) -> body.set(field, Json.CANONICAL.valueToTree(value)));
        if (settings.maxTokens == null) return;
        body.remove(LIMITS);
        body.put(maxTokensField(), settings.maxTokens);
    }

    private String limitField(JsonNode body) {
        return LIMITS.stream().filter(body::has).findFirst().orElseGet(this::maxTokensField);
    }

    private Request request(Text prompt, Text model, Map<String, Object> values) {
        var name = render("model", model, values);
        if (name.isBlank()) throw new IllegalArgumentException("model: row " + row + " gives an empty model");
        number++;
        var form = forms.computeIfAbsent(prompt, any -> new HashMap<>())
            .computeIfAbsent(model, any -> form(prompt, model)).orElse(null);
        var filled = form == null ? null : form.filled(number, values);
        var line = filled != null ? filled : line(ID + number, prompt, name, values);
        return new Request(row, values, name, provider.fitting(line, this::where));
    }

    private String where() {
        return "prompts: row " + row + " (" + (customId == null ? ID + number : clip(customId, 60)) + ")";
    }

    /** Returns the line that any row of the data fills; empty if more is to be done than to copy its values. */
    private Optional<Form> form(Text prompt, Text model) {
        var texts = Stream.concat(Stream.of(settings.system, prompt), settings.examples.stream());
        boolean isPlain = settings.data != null && settings.images.isEmpty() && !model.hasTags()
            && texts.filter(Objects::nonNull).allMatch(Text::isPlain);
        return isPlain ? Form.of((number, values) -> line(ID + number, prompt, model.text(), values))
            : Optional.empty();
    }

    private byte[] line(String id, Text prompt, String model, Map<String, Object> values) {
        var line = Json.MAPPER.createObjectNode();
        line.put("custom_id", id);
        line.put("method", "POST");
        line.put("url", endpoint);
        line.set("body", body(prompt, model, values));
        return Json.line(line);
    }

    private ObjectNode body(Text prompt, String model, Map<String, Object> values) {
        var body = Json.MAPPER.createObjectNode().put("model", model);
        var text = render("prompts", prompt, values);
        if (PLAIN_INPUT.contains(route)) body.put("input", text);
        else if (route.equals("/completions")) body.put("prompt", text);
        else body.set(isResponse() ? "input" : "messages", messages(text, values));
        if (settings.format() != null) settings.format().addTo(body, isResponse(), provider.dialect().responseFormat());
        addFields(body);
        return body;
    }

    private boolean isResponse() { return route.equals("/responses"); }

    private String maxTokensField() {
        return switch (route) {
            case "/responses" -> "max_output_tokens";
            case "/completions" -> "max_tokens";
            default -> provider.dialect().maxTokensField();
        };
    }

    private ArrayNode messages(String text, Map<String, Object> values) {
        var messages = Json.MAPPER.createArrayNode();
        var system = Stream.of(settings.system == null ? "" : render("system", settings.system, values),
                settings.format() == null ? "" : settings.format().instruction(provider.dialect().responseFormat()))
            .filter(part -> !part.isBlank()).collect(Collectors.joining("\n\n"));
        if (!system.isEmpty()) Turns.add(messages, "system", system);
        for (int i = 0; i < settings.examples.size(); i++)
            Turns.add(messages, i % 2 == 0 ? "user" : "assistant", example(i, values));
        var urls = settings.images.stream().map(image -> render("image", image, values)).filter(url -> !url.isBlank())
            .toList();
        if (urls.isEmpty()) Turns.add(messages, "user", text);
        else messages.addObject().put("role", "user").set("content", parts(text, urls));
        return messages;
    }

    private String example(int turn, Map<String, Object> values) {
        var text = render("example", settings.examples.get(turn), values);
        return turn % 2 == 0 || settings.format() == null ? text
            : settings.format().example(text, provider.dialect().responseFormat());
    }

    private ArrayNode parts(String text, List<String> urls) {
        var parts = Json.MAPPER.createArrayNode();
        parts.addObject().put("type", isResponse() ? "input_text" : "text").put("text", text);
        for (var url : urls) {
            var part = parts.addObject().put("type", isResponse() ? "input_image" : "image_url");
            if (isResponse()) part.put("image_url", imageUrl(url.strip()));
            else part.putObject("image_url").put("url", imageUrl(url.strip()));
        }
        return parts;
    }

    /** What an image may be: an address that the provider fetches, or a file here, which travels inside the request. */
    private String imageUrl(String image) {
        if (image.matches("(?i)https?://[^/\\s]+.*") || image.matches("(?i)data:image/[^,]+,.+")) return image;
        var type = IMAGE_TYPES.get(image.replaceFirst(".*\\.", "").toLowerCase(Locale.ROOT));
        if (type == null || !InputFile.isPath(image) || !Files.isRegularFile(Path.of(image)))
            throw new IllegalArgumentException("image: row " + row + ": \"" + clip(image, 80)
                + "\" is neither an http(s) or data URL nor a png, jpg, gif or webp file here");
        return dataUrl(Path.of(image), type);
    }

    private static String dataUrl(Path file, String type) {
        try {
            return "data:" + type + ";base64," + Base64.getEncoder().encodeToString(Files.readAllBytes(file));
        } catch (IOException e) {
            throw cannot("image", "read " + file, e);
        }
    }
}
