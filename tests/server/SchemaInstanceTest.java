package sheaf.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.fasterxml.jackson.core.JsonProcessingException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What the echo says where a request holds it to a JSON schema. */
class SchemaInstanceTest {
    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "{'type':'string'} | 'hi'",
        "{} | 'hi'",
        "{'enum':['bug','billing']} | 'bug'",
        "{'const':7} | 7",
        "{'type':['integer','null']} | 0",
        "{'type':'boolean'} | true",
        "{'type':'null'} | null",
        "{'type':'integer','minimum':3} | 3",
        "{'type':'integer','exclusiveMinimum':3} | 4",
        "{'type':'integer','maximum':-3,'multipleOf':2} | -4",
        "{'type':'integer','minimum':7,'multipleOf':5} | 10",
        "{'type':'number','exclusiveMinimum':0,'exclusiveMaximum':1} | 0.5",
        "{'type':'number','minimum':0.25,'maximum':0.75} | 0.5",
        "{'type':'string','minLength':4} | 'hi--'",
        "{'type':'string','maxLength':1} | 'h'",
        "{'type':'string','format':'date'} | '2026-01-31'",
        "{'type':'string','pattern':'^h'} | 'h'",
        "{'type':'string','pattern':'^\\\\p{L}[\\\\u4e00-\\\\u9fff]{2}$'} | 'a\u4e00\u4e00'",
        "{'type':'string','pattern':'^[A-Z]{3}-\\\\d+$'} | 'AAA-0'",
        "{'type':'string','pattern':'^[^a-zA-Z]?x\\\\.\\\\w{2,5}$'} | 'x.aa'",
        "{'type':'array','items':{'enum':['a','b']}} | ['a']",
        "{'type':'array','items':{'enum':['a','b']},'minItems':3} | ['a','b','a']",
        "{'type':'array','maxItems':0} | []",
        "{'type':'array','prefixItems':[{'type':'integer'},{'type':'null'}]} | [0,null]",
        "{'type':'object','properties':{'a':{'type':'integer'},'b':{}},'required':['a']} | {'a':0,'b':'hi'}",
        "{'properties':{'a':{'anyOf':[{'type':'integer'},{'type':'null'}]}}} | {'a':0}",
        "{'allOf':[{'properties':{'a':{'type':'integer'}}},{'properties':{'b':{'const':1}}}]} | {'a':0,'b':1}",
        "{'$ref':'#/$defs/l','$defs':{'l':{'enum':['x']}}} | 'x'",
        "{'properties':{'v':{'type':'integer'},'next':{'anyOf':[{'$ref':'#'},{'type':'null'}]}},'required':['next']}"
            + " | {'v':0,'next':{'v':0,'next':null}}",
        "{'$ref':'#/$defs/t','$defs':{'t':{'type':'object','properties':{'sub':{'type':'array','items':"
            + "{'$ref':'#/$defs/t'}}},'required':['sub']}}} | {'sub':[]}"})
    void theInstanceOfASchema(String schema, String instance) throws JsonProcessingException {
        assertEquals(instance.replace('\'', '"'), instance(schema));
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "{'not':{}} | 'not' is not permitted",
        "{'type':'text'} | \"text\" is no type",
        "{'prefixItems':{}} | 'prefixItems' is no array",
        "{'type':'array','minItems':1000000000000} | 'minItems' is no size",
        "{'type':'string','maxLength':-1} | 'maxLength' is no size",
        "{'properties':[]} | 'properties' is no object",
        "{'allOf':[true]} | 'allOf' lists what is no object",
        "{'enum':[]} | an 'enum' lists at least one value",
        "{'$ref':'#/$defs/none'} | '$ref' '#/$defs/none' leads nowhere",
        "{'$ref':'#'} | it has no finite instance",
        "{'type':'integer','minimum':3,'maximum':2} | no number is within its bounds",
        "{'type':'number','minimum':1e400000000} | 'minimum' has more than 300 digits",
        "{'type':'string','pattern':'^((a{9999}){9999}){9999}$'} | no text is found for the pattern"
            + " '^((a{9999}){9999}){9999}$'",
        "{'type':'string','pattern':'('} | the pattern '(' cannot be read",
        "{'type':'array','minItems':2147483647} | its instances are too large"})
    void aSchemaWithoutAnInstanceIsRefused(String schema, String why) {
        var refused = assertThrows(Refusal.class, () -> instance(schema));

        assertEquals("Invalid schema for 'response_format': " + why + ".", refused.getMessage());
    }

    @Test void aPatternsFirstChoiceIsTaken() throws JsonProcessingException {
        assertEquals("\"yes!\"", instance("{'type':'string','pattern':'^(?:yes|no)!$'}"));
    }

    @Test void aSchemaThatIsNestedTooDeepIsRefused() {
        aSchemaWithoutAnInstanceIsRefused("{'type':'array','items':".repeat(250) + "{}" + "}".repeat(250),
            "it is nested deeper than 200 levels");
    }

    /** There are 2^60 values, which nobody can wait for. */
    @Test @Timeout(60) void definitionsThatDoubleEachOtherAreRefusedSoon() {
        var schema = new StringBuilder("{'$ref':'#/$defs/d0','$defs':{");
        for (int i = 0; i < 60; i++)
            schema.append("'d" + i + "':{'type':'object','properties':{'a':{'$ref':'#/$defs/d" + (i + 1) + "'},"
                + "'b':{'$ref':'#/$defs/d" + (i + 1) + "'}},'required':['a','b']},");
        schema.append("'d60':{'type':'null'}}}");

        aSchemaWithoutAnInstanceIsRefused(schema.toString(), "its instances are too large");
    }

    static String instance(String schema) throws JsonProcessingException {
        return SchemaInstance.of(Json.MAPPER.readTree(schema.replace('\'', '"')), "hi", "response_format").toString();
    }
}
