package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What does not fit a schema is named by its place and its value, and a schema that cannot be checked is refused. */
class SchemaTest {
    @ParameterizedTest(name = "{1}")
    @CsvSource(delimiter = '|', quoteCharacter = '~', value = {
        "{'type':'string'} | 7 | $.a is 7, not a string",
        "{'type':'integer'} | '1994' | $.a is \"1994\", not an integer",
        "{'type':'integer'} | 2.5 | $.a is 2.5, not an integer",
        "{'type':'integer'} | 2.0 | ~~",
        "{'type':'number'} | true | $.a is true, not a number",
        "{'type':['integer','null']} | 'x' | $.a is \"x\", not an integer or null",
        "{'type':['integer','null']} | null | ~~",
        "{'type':'string','enum':['HAPPY','SAD']} | 'purple' | $.a is \"purple\", not one of HAPPY, SAD",
        "{'enum':[1,2]} | 2.0 | ~~",
        "{'const':'film'} | 'book' | $.a is \"book\", not \"film\"",
        "{'type':'array','items':{'type':'string'}} | ['x',7] | $.a[1] is 7, not a string",
        "{'type':'array','maxItems':1} | ['x','y'] | $.a has 2 items, more than 1",
        "{'type':'array','minItems':1} | [] | $.a has 0 items, fewer than 1",
        "{'type':'string','maxLength':2} | 'abc' | $.a has 3 characters, more than 2",
        "{'type':'string','pattern':'^x'} | 'abc' | $.a is \"abc\", which does not match ^x",
        "{'type':'string','format':'date'} | 'tomorrow' | $.a is \"tomorrow\", no date",
        "{'type':'string','format':'date'} | '2026-02-30' | $.a is \"2026-02-30\", no date",
        "{'type':'string','format':'date'} | '2026-02-28' | ~~",
        "{'type':'string','format':'duration'} | 'P1Y6M4DT12H30M5.5S' | ~~",
        "{'type':'string','format':'duration'} | 'P2W' | ~~",
        "{'type':'string','format':'duration'} | 'PT' | $.a is \"PT\", no duration",
        "{'type':'string','format':'duration'} | 'P' | $.a is \"P\", no duration",
        "{'type':'number','multipleOf':0.01} | 1e999999999 | ~~",
        "{'type':'number','multipleOf':0.01} | 1e-999999999 | $.a is 1E-999999999, no multiple of 0.01",
        "{'type':'integer','minimum':1} | 0 | $.a is 0, less than 1",
        "{'type':'integer','exclusiveMinimum':1} | 1 | $.a is 1, not more than 1",
        "{'type':'integer','maximum':5} | 6 | $.a is 6, more than 5",
        "{'type':'integer','maximum':0} | 0 | ~~",
        "{'type':'integer','minimum':0,'maximum':5} | 0 | ~~",
        "{'type':'number','maximum':-1} | 0 | $.a is 0, more than -1",
        "{'type':'number','exclusiveMaximum':0} | 0 | $.a is 0, not less than 0",
        "{'type':'number','exclusiveMaximum':0.5} | 0.0 | ~~",
        "{'type':'integer','exclusiveMaximum':5} | 5 | $.a is 5, not less than 5",
        "{'type':'number','multipleOf':0.5} | 0.7 | $.a is 0.7, no multiple of 0.5",
        "{'anyOf':[{'type':'null'},{'type':'object','properties':{'b':{'type':'string'}}}]} | {'b':1} "
            + "| $.a.b is 1, not a string",
        "{'anyOf':[{'type':'string'},{'type':'integer'}]} | true | $.a is true, none of 2 alternatives",
        "{'$ref':'#/$defs/d'} | 'x' | $.a is \"x\", not a boolean"})
    void thePlaceAndTheValueAreSaid(String schema, String value, String fault) {
        var whole = "{'type':'object','properties':{'a':" + schema + "},'$defs':{'d':{'type':'boolean'}}}";

        schema(whole).check("x");

        assertEquals(fault, schema(whole).fault(Json.lenient(json("{'a':" + value + "}"))));
    }

    @Test void aFieldThatIsMissingOrTooMuchIsNamed() {
        var schema = schema("{'type':'object','properties':{'a':{}},'required':['a'],'additionalProperties':false}");

        assertEquals("$.a is missing", schema.fault(Json.lenient("{}")));
        assertEquals("$.b is no field that was asked for", schema.fault(Json.lenient("{\"a\":1,\"b\":2}")));
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', quoteCharacter = '~', value = {
        "{'type':'string'} | x: an answer is an object with fields; put what it shall be into a field of one",
        "{'type':'object','properties':{'a':{'oneOf':[]}}} | x: \"oneOf\" at #/properties/a cannot be checked; leave "
            + "it "
            + "out, or say it by type, enum, anyOf, pattern or a limit",
        "{'type':'object','properties':{'a':{'type':'text'}}} | x: the value at #/properties/a/type is none that can "
            + "be "
            + "checked",
        "{'type':'object','properties':{'a':{'$ref':'#/$defs/b'}}} | x: the value at #/properties/a/$ref is none that "
            + "can be checked",
        "{'type':'object','properties':{'a':{'format':'colour'}}} | x: the value at #/properties/a/format is none that "
            + "can be checked",
        "{'type':'object','properties':{'a':7}} | x: the schema at #/properties/a is no object",
        "{'type':'object','properties':{'a':{'$ref':'#/properties/a'}}} | x: the schema at #/properties/a leads back "
            + "to "
            + "itself"})
    void aSchemaThatCannotBeCheckedIsRefusedByItsPlace(String schema, String message) {
        assertEquals(message, assertThrows(IllegalArgumentException.class,
            () -> schema(schema).check("x")).getMessage());
    }

    @Test void aSchemaThatHoldsItselfIsCheckedAsDeepAsTheValueIs() {
        var schema = schema("{'type':'object','properties':{'a':{'type':'string'},'next':{'anyOf':[{'type':'null'},"
            + "{'$ref':'#'}]}}}");
        schema.check("x");

        assertEquals("$.next.next.a is 1, not a string",
            schema.fault(Json.lenient("{\"a\":\"x\",\"next\":{\"next\":{\"a\":1}}}")));
        assertEquals(List.of("a", "next.a", "next.next"), schema.leaves());
    }

    /** What a model says in a loop is no reason to show no row at all. */
    @Test void whatIsTooMuchForTheCheckEndsNoResults() {
        var tree = schema("{'type':'object','properties':{'a':{'$ref':'#'}}}");
        assertEquals("$ is nested too deeply",
            tree.fault(Json.lenient("{\"a\":".repeat(900) + "{}" + "}".repeat(900))));

        var words = schema("{'type':'object','properties':{'a':{'pattern':'^(a|b| )*$'}}}");
        assertEquals("", words.fault(Json.lenient("{\"a\":\"" + "ab ".repeat(20_000) + "\"}")));
    }

    @Test void onlyAClosedSchemaOfRequiredFieldsIsStrict() {
        assertTrue(schema("{'type':'object','properties':{'a':{}},'required':['a'],'additionalProperties':false}")
            .isStrict());
        assertFalse(schema("{'type':'object','properties':{'a':{}},'additionalProperties':false}").isStrict());
        assertFalse(schema("{'type':'object','properties':{'a':{}},'required':['a']}").isStrict());
    }

    static Schema schema(String json) { return new Schema(Json.lenient(json(json))); }

    static String json(String quoted) { return quoted.replace('\'', '"'); }
}
