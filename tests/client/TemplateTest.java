package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;
import static sheaf.Sheaf.template;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class TemplateTest {
    @TempDir Path dir;

    @ParameterizedTest(name = "{0} with {1} is {2}")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "{{a}}                       | {\"a\":\"x < y & 'z' = \\\"q\\\"\"} | x < y & 'z' = \"q\"",
        "{{{a}}}{{&a}}               | {\"a\":\"<b>\"}                     | <b><b>",
        "{{a.b}}                     | {\"a\":{\"b\":1}}                   | 1",
        "{{a.b}}                     | {\"a.b\":2}                         | 2",
        "{{#l}}<{{.}}>{{/l}}         | {\"l\":[1,2]}                       | <1><2>",
        "{{#l}}{{n}}{{x}};{{/l}}     | {\"l\":[{\"n\":1},{\"n\":2}],\"x\":\"y\"} | 1y;2y;",
        "{{^no}}none{{/no}}          | {\"a\":1}                           | none",
        "{{#no}}some{{/no}}.         | {\"a\":1}                           | .",
        "{{a}}                       | {\"a\":\"{{b}}\"}                   | {{b}}",
        "{{first name}}              | {\"first name\":\"Ada\"}            | Ada",
        "[{{a}}]                     | {\"a\":\"\"}                        | []"})
    void rendersARow(String text, String row, String expected) throws Exception {
        assertEquals(expected, render(text, new ObjectMapper().readValue(row, Map.class)));
    }

    @Test void everyMissingValueOfARowIsNamedWithItsLineAndWhatThereIs() {
        var draft = batch().model("m").prompts("{{name}}\nin {{city}},\n{{street}}",
            rows(Map.of("name", "Ada", "city", "Bonn", "street", "x"),
                row("name", "Bob", "country", "DE", "street", null)));

        var fault = assertThrows(IllegalArgumentException.class, () -> draft.preview(9));

        assertEquals("prompts: row 2 has no value for {{city}} (template line 2), {{street}} (template line 3); "
            + "it has: name, country, street (null)", fault.getMessage());
    }

    @Test void aNullInsideASectionIsMissingAndNotTheOuterValue() {
        var row = row("name", "Outer", "items", List.of(row("name", null)));

        assertThrows(IllegalArgumentException.class, () -> render("{{#items}}{{name}}{{/items}}", row));
    }

    @Test void aTemplateReadsNoFiles() throws Exception {
        var secret = Files.writeString(dir.resolve("secret.mustache"), "secret");

        for (var name : List.of(secret.toString(), "file://" + secret, "META-INF/MANIFEST.MF", "*name")) {
            var fault = assertThrows(IllegalArgumentException.class, () -> template("spy", "{{>" + name + "}}"));
            assertEquals("template: spy: partials, {{>name}}, are not read; put the text into the template",
                fault.getMessage());
        }
    }

    @Test void aTemplateCallsNoMethods() {
        assertThrows(IllegalArgumentException.class, () -> render("{{a.length}}", Map.of("a", "text")));
        assertThrows(IllegalArgumentException.class, () -> render("{{getClass}}", Map.of("a", "text")));
    }

    @Test void anUnclosedSectionIsRefused() {
        var fault = assertThrows(IllegalArgumentException.class, () -> template("half", "{{#a}} no end"));

        assertEquals("template: half: Failed to close 'a' tag (line 1)", fault.getMessage());
    }

    @Test void aFileIsFoundWithoutItsEndingAndLosesItsLastNewline() throws Exception {
        var file = Files.writeString(dir.resolve("explain.mustache"), "Explain {{x}}.\n");

        assertEquals("Explain {{x}}.", template(file).text());
        assertEquals("explain", template(dir.resolve("explain").toString()).name());
    }

    @Test void aFileThatIsNotThereIsNamedWithAllPlaces() {
        var fault = assertThrows(IllegalArgumentException.class, () -> template("explane"));

        assertEquals("template: no file explane (looked for explane, explane.mustache, templates/explane, "
            + "templates/explane.mustache at "
            + Path.of("").toAbsolutePath() + ")", fault.getMessage());
    }

    @Test void textIsNotTakenForAFileName() {
        var fault = assertThrows(IllegalArgumentException.class, () -> template("Explain {{x}}"));

        assertEquals("template: takes a file name; for text write prompts(\"Explain {{x}}\", data) or template(name, "
            + "text)",
            fault.getMessage());
    }

    private static Map<String, Object> row(Object... pairs) {
        var row = new java.util.LinkedHashMap<String, Object>();
        for (int i = 0; i < pairs.length; i += 2) row.put((String) pairs[i], pairs[i + 1]);
        return row;
    }

    private static String render(String text, Map<?, ?> values) throws Exception {
        var row = new java.util.LinkedHashMap<Object, Object>(values);
        row.put("named by the id", "always");
        var line = batch().model("m").prompts(text, rows(List.of(row))).customId("{{named by the id}}").preview(1)
            .lines().get(0);
        return new ObjectMapper().readTree(line).at("/body/messages/0/content").asText();
    }
}
