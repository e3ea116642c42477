package sheaf;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.csv;
import static sheaf.Sheaf.rows;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Data;
import sheaf.Sheaf.Draft;

/** A line that rows fill is the line that is made of each row. */
class FormTest {
    /** Says nothing, and has the line made anew for each row. */
    private static final String SECTION = "{{#nothing}}{{/nothing}}";
    private final HostileText hostile = new HostileText();
    @TempDir Path dir;
    private int files;

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", dir.toString()); }

    @Test void hostileRowsFillALineAsTheyMakeOne() throws IOException {
        assertAlike(rows(HostileText.many(400, () -> hostile.row("text", "b"))));
    }

    @Test void hostileRowsOfAFileDoSoToo() throws IOException {
        var lines = HostileText.many(400, () -> Stream.of("text", "b").map(any -> "\""
            + HostileText.whole(hostile.text()).replace("\"", "\"\"") + "\"").collect(Collectors.joining(",")));
        var file = Files.writeString(dir.resolve("rows.csv"), "text,b\n" + String.join("\n", lines) + "\n");

        assertAlike(csv(file));
    }

    @Test void valuesThatAreNoTextsAreWrittenAsInAText() throws IOException {
        assertAlike(rows(Map.of("text", 1.5e20, "b", true), Map.of("text", List.of(1, "a\n"), "b", Map.of("c", "\"")),
            Map.of("text", "\ud83d", "b", "\ude00"), Map.of("text", "", "b", "")));
    }

    @Test void aSystemPromptThatIsEmptyForSomeRowsIsLeftOutOfThose() throws IOException {
        var lines = lines(batch().model("m").system("{{b}}").prompts("{{text}}", rows(row("one", "be brief"),
            row("two", " "))));

        assertTrue(lines.get(0).contains("{\"role\":\"system\",\"content\":\"be brief\"}"), lines.get(0));
        assertTrue(lines.get(1).contains("\"messages\":[{\"role\":\"user\",\"content\":\"two\"}]"), lines.get(1));
    }

    /** A text may hold what marks a blank. */
    @Test void aPromptMayHoldAnyCharacter() throws IOException {
        var lines = lines(batch().model("m").prompts("\uFDD01\uFDD1 {{text}}", rows(row("one", ""))));

        assertTrue(lines.get(0).contains("\"\uFDD01\uFDD1 one\""), lines.get(0));
    }

    @Test void aRowThatLacksAValueIsNamedWhereverItStands() {
        var draft = batch().model("m").prompts("{{text}}", rows(Map.of("text", "a"), Map.of("text", "b"),
            Map.of("other", "c")));

        assertEquals("prompts: row 3 has no value for {{text}} (template line 1); it has: other",
            assertThrows(IllegalArgumentException.class, () -> lines(draft)).getMessage());
    }

    /** The columns of maps need not be the same ones, nor in the same order. */
    @Test void eachRowIsFilledFromItsOwnColumns() throws IOException {
        var lines = lines(batch().model("m").prompts("{{b}}-{{text}}-{{b}}", rows(row("1", "2"),
            Map.of("x", "0", "b", "3", "text", "4"))));

        assertTrue(lines.get(0).contains("\"2-1-2\"") && lines.get(1).contains("\"3-4-3\""), lines.toString());
    }

    private void assertAlike(Data data) throws IOException {
        var draft = batch().model("m").system("You are {{{b}}}. \u2028").example("{{text}}", "yes")
            .example("\ud83d{{&b}}", "\ude00").temperature(0);

        var filled = lines(draft.prompts(List.of("{{text}} \u00e9 {{{text}}}\n", "{{b}}{{text}}"), data));
        var made = lines(draft.prompts(List.of("{{text}} \u00e9 {{{text}}}\n" + SECTION, SECTION + "{{b}}{{text}}"),
            data));

        for (int i = 0; i < made.size(); i++) assertEquals(made.get(i), filled.get(i), "seed " + HostileText.SEED);
    }

    private List<String> lines(Draft draft) throws IOException {
        var file = dir.resolve(files++ + ".jsonl");
        draft.toJsonl(file);
        return Arrays.asList(Files.readString(file, UTF_8).split("\n"));
    }

    private static Map<String, String> row(String text, String b) {
        var row = new LinkedHashMap<String, String>();
        row.put("text", text);
        row.put("b", b);
        return row;
    }
}
