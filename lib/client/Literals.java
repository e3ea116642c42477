package sheaf;

import static sheaf.Messages.clip;

import java.util.List;
import java.util.stream.Stream;
import sheaf.Templates.Text;

/**
 * Prompts without data, which are sent as they stand. Nothing is expanded there: a tag in a prompt may be meant,
 * elsewhere it never is.
 */
final class Literals {
    private final List<Text> prompts;

    Literals(List<Text> prompts) { this.prompts = prompts; }

    /**
     * Refuses what only data could fill.
     * @param customId null: none
     * @param others that go out with the prompts
     */
    void check(Text customId, Stream<Text> others) {
        prompts.forEach(Literals::refuseFileName);
        prompts.stream().filter(Text::isNamed).filter(Text::hasTags).findFirst().ifPresent(prompt -> {
            throw new IllegalStateException("prompts: template " + prompt.name()
                + " has no data; " + Wording.DATA.of("template"));
        });
        if (customId != null)
            throw new IllegalStateException(Wording.CUSTOM_ID + ": there is no data to make ids from");
        others.filter(Text::hasTags).findFirst().ifPresent(template -> {
            throw new IllegalStateException("submit: \"" + clip(template.text(), 60)
                + "\" has no data; " + Wording.DATA.of("text"));
        });
    }

    /** Catches {@code prompts("Translate {{text}}", "reviews.csv")}, which compiles as two literals. */
    private static void refuseFileName(Text prompt) {
        var text = prompt.text();
        if (text.matches("\\S+\\.(csv|jsonl|json)"))
            throw new IllegalArgumentException("prompts: \"" + text + "\" is sent as a prompt; did you mean "
                + Wording.ROWS.of(text.replaceFirst(".*\\.", ""), text) + "?");
    }

    /** Returns a warning for each prompt that looks as if it were to be filled in. */
    Stream<String> warnings() {
        return prompts.stream().filter(Text::hasTags).map(prompt -> "prompts: \""
            + clip(prompt.text(), 60) + "\" is sent as it stands, for there is no data; "
            + Wording.FILL_IN);
    }
}
