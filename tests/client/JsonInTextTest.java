package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.core.JsonProcessingException;
import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import sheaf.support.Growth;

/** JSON is found in whatever a model says around it. */
class JsonInTextTest {
    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', quoteCharacter = '~', value = {
        "{'a':1} | [{'a':1}]", "~```json\n{'a':1}\n```~ | [{'a':1}]", "~Sure!\n```\n{'a':1}\n```\nAnything else?~ | "
            + "[{'a':1}]",
        "Here: {'a':{'b':2}} Good? | [{'a':{'b':2}}]", "{'a':1}{'a':2} | [{'a':1}, {'a':2}]", "{a} {'a':1} | [{'a':1}]",
        "{'a':'}'} | [{'a':'}'}]", "none | []", "{'a':1 | []", "~{'a': '\u00e4\ud83d\ude00{'} {'b':2}~ | [{'a':"
            + "'\u00e4\ud83d\ude00{'}, {'b':2}]"})
    void objectsAreFoundWhole(String text, String found) {
        assertEquals(SchemaTest.json(found), JsonInText.objects(SchemaTest.json(text)).toString());
    }

    @Test void aNumberBeyondAllNumbersIsNoJson() {
        assertEquals("[]", JsonInText.objects("{\"a\":1e9999999999}").toString());
        assertEquals("", Json.lenient("{\"a\":1e9999999999}").toString());
        Assertions.assertThrows(JsonProcessingException.class, () -> JsonInText.as("1e9999999999", Double.class));
    }

    @Test void howLongATextOfBracesIsReadGrowsWithItsLength() {
        Growth.assertLinear(100_000, length -> {
            var braces = "{".repeat(length);
            return () -> JsonInText.objects(braces);
        });
    }
}
