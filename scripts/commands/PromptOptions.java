package sheaf.commands;

import static sheaf.Sheaf.*;

import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import sheaf.Sheaf;

/** Who answers, and what is asked: models, system prompt, and prompts as texts or as templates in files. */
final class PromptOptions {
    private static final int SHOWN = 5;                        // words in a sentence about them
    private static final int NAME_LENGTH = 40;

    @Option(names = {"-m", "--model"}, paramLabel = "MODEL", split = ",",
        description = "who answers; several, each answers each prompt; may name a {{column}} (default: the only "
            + "one of a server on this machine)")
    List<String> models = List.of();

    @Option(names = {"-s", "--system"}, paramLabel = "TEXT", description = "the system prompt")
    String system;

    @Option(names = {"-p", "--prompt"}, paramLabel = "TEXT", description = "a prompt over the rows; may be repeated")
    List<String> prompts = List.of();

    @Option(names = {"-t", "--template"}, paramLabel = "FILE", split = ",",
        description = "a prompt in a file, or by its name in templates/; may be repeated")
    List<String> templates = List.of();

    @Parameters(paramLabel = "PROMPT", description = "a prompt; one of several words stands in quotes")
    List<String> words = List.of();

    void check() {
        if (prompts.size() + templates.size() + words.size() == 0)
            throw new IllegalArgumentException(
                "prompts: none given; write one in quotes, or give --prompt TEXT or --template FILE");
        checkQuotes();
        Stream.of(prompts, words).flatMap(List::stream).filter(text -> text.matches("\\S+\\.(csv|jsonl|json)"))
            .findFirst().ifPresent(file -> {
                throw new IllegalArgumentException("prompts: \"" + file
                    + "\" would be sent as a prompt; did you mean --data " + file + "?");
            });
    }

    /** Without quotes the shell makes each word a prompt, each to be paid. */
    private void checkQuotes() {
        if (words.isEmpty() || prompts.size() + words.size() == 1 || words.stream().anyMatch(PromptOptions::hasBlank))
            return;
        var shown = words.stream().limit(SHOWN).map(word -> "\"" + word + "\"").collect(Collectors.joining(", "));
        throw new IllegalArgumentException("prompts: " + shown + (words.size() > SHOWN ? ", ..." : "")
            + (words.size() == 1 ? " is a prompt" : " are a prompt each")
            + "; put quotes around one of several words, or give each as --prompt");
    }

    private static boolean hasBlank(String prompt) { return prompt.strip().matches("(?s).*\\s.*"); }

    /** Refuses what only rows give a meaning to. */
    void checkWithoutRows() {
        prompts.stream().filter(prompt -> prompt.contains("{{")).findFirst().ifPresent(prompt -> {
            throw new IllegalArgumentException("prompt: \"" + prompt
                + "\" has no rows to be filled in from; give --data FILE");
        });
    }

    /** Says which prompts look as if they were to be filled in, and are sent as they stand. */
    void noteTags() {
        words.stream().filter(word -> word.contains("{{")).forEach(word -> System.err.println("prompt: \"" + word
            + "\" is sent as it stands, for it has no rows; to fill it in, give --data FILE"));
    }

    /** Returns a draft of all prompts over all rows. */
    Draft over(Data rows) { return draft().prompts(all(), rows); }

    /** Returns a draft of the prompts as they stand, named after the first. */
    Draft withoutRows() {
        if (!templates.isEmpty()) return draft().prompts(all());
        return draft().name(slug(texts().get(0))).prompts("{{prompt}}", literally(texts()));
    }

    private Draft draft() {
        var draft = models.isEmpty() ? batch()
            : batch().model(models.get(0), models.subList(1, models.size()).toArray(String[]::new));
        return system == null ? draft : draft.system(system);
    }

    private List<String> texts() { return Stream.concat(prompts.stream(), words.stream()).toList(); }

    private List<Object> all() {
        return Stream.<Object>concat(texts().stream(), templates.stream().map(Sheaf::template)).toList();
    }

    /** Returns a name that tells one question from another in a list of batches. */
    private static String slug(String prompt) {
        var name = prompt.toLowerCase(Locale.ROOT).replaceAll("[^a-z0-9]+", "-").replaceFirst("^-", "");
        if (name.isEmpty()) return "prompts";
        return name.substring(0, Math.min(name.length(), NAME_LENGTH)).replaceFirst("-$", "");
    }

    /** As a value in a row, a prompt is sent as it stands, and stands beside its answer. */
    private static Data literally(List<String> texts) {
        return rows(texts.stream().map(text -> Map.of("prompt", text)).toList());
    }
}
