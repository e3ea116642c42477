package sheaf;

import com.fasterxml.jackson.core.JsonProcessingException;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import sheaf.Templates.Text;

/** What makes requests of rows, as a draft was told it, in a text that another machine reads; no key is in it. */
record DraftShape(Manifest.Address provider, String data, List<List<String>> prompts, List<String> models,
                  String system, List<String> examples, List<String> images, String customId,
                  Map<String, Object> body, Integer maxTokens, AnswerFormat format, String endpoint) {

    static DraftShape of(Settings settings, Connection provider) {
        return new DraftShape(Manifest.Address.of(provider), settings.data.name(),
            settings.prompts.stream().map(prompt -> List.of(prompt.name(), prompt.text())).toList(),
            texts(settings.models), text(settings.system), texts(settings.examples), texts(settings.images),
            text(settings.customId), settings.body, settings.maxTokens, settings.format(), settings.endpoint);
    }

    private static String text(Text template) { return template == null ? null : template.text(); }

    private static List<String> texts(List<Text> templates) { return templates.stream().map(Text::text).toList(); }

    String asJson() { return Json.text(this); }

    static DraftShape read(String json) {
        try {
            return Json.MAPPER.readValue(json, DraftShape.class);
        } catch (JsonProcessingException e) {
            throw new IllegalStateException("spark: not the shape of a draft: " + Messages.reason(e), e);
        }
    }

    int requestsPerRow() { return prompts.size() * models.size(); }

    /** Returns the requests of some rows, as one machine makes them. */
    Stream<Request> requests(Stream<Map<String, Object>> rows) {
        var there = new Connection(provider.name(), provider.name(), provider.baseUrl(), provider.keyVariable(),
            provider.limits(), provider.dialect(), Map.of());
        return new Requests(settings(rows), there).open();
    }

    private Settings settings(Stream<Map<String, Object>> rows) {
        return new Settings().with(s -> {
            s.data = new Rows(data, rows, () -> rows);
            s.prompts = prompts.stream().map(prompt -> Text.compiled(prompt.get(0), prompt.get(1))).toList();
            s.models = texts("model", models);
            s.system = system == null ? null : Text.of("system", system);
            s.examples = texts("example", examples);
            s.images = texts("image", images);
            s.body = body;
            s.maxTokens = maxTokens;
            s.format = format;
            s.confidence = format != null && format.confidence();
            s.endpoint = endpoint;
        });
    }

    private static List<Text> texts(String word, List<String> texts) {
        return texts.stream().map(text -> Text.of(word, text)).toList();
    }

    /** Returns what the user's ids are made of; null if they have none. */
    Text customIdTemplate() { return customId == null ? null : Text.compiled("customId", customId); }
}
