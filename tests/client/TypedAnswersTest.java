package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;

import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.annotation.JsonPropertyDescription;
import com.fasterxml.jackson.databind.JsonNode;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDate;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Result;
import sheaf.Vocabulary.Outcome;
import sheaf.server.BatchServer;
import sheaf.support.Printed;

/** An answer is JSON of a record or a schema, is read as that, and else says where it does not fit. */
class TypedAnswersTest {
    @AutoClose final BatchServer server = BatchServer.start();
    @TempDir Path home;

    enum Mood { HAPPY, @JsonProperty("quite sad") SAD }

    record Person(String name, Optional<Integer> born) {}

    record Film(@JsonPropertyDescription("in English") String title, int year, Mood mood, List<String> genres,
                Optional<Person> director, @JsonProperty("run_time") double runTime, LocalDate day) {}

    record Short(Mood mood, int year) {}

    @BeforeEach void ownHome() { System.setProperty("SHEAF_HOME", home.toString()); }

    @Test void aRecordIsAStrictSchemaInItsOwnOrder() {
        var format = body(ask("a").returning(Film.class)).path("response_format");

        assertEquals(Json.lenient(("{'type':'json_schema','json_schema':{'name':'Film','strict':true,'schema':{"
            + "'type':'object','properties':{'title':{'type':'string','description':'in English'},"
            + "'year':{'type':'integer'},'mood':{'type':'string','enum':['HAPPY','quite sad']},"
            + "'genres':{'type':'array','items':{'type':'string'}},'director':{'type':['object','null'],"
            + "'properties':{'name':{'type':'string'},'born':{'type':['integer','null']}},'required':['name','born'],"
            + "'additionalProperties':false},'run_time':{'type':'number'},'day':{'type':'string','format':'date'}},"
            + "'required':['title','year','mood','genres','director','run_time','day'],'additionalProperties':false}}}")
            .replace('\'', '"')).toString(), format.toString());
    }

    @Test void anAnswerIsTheRecordAgain() {
        server.reply(text -> "Sure:\n```json\n{\"title\":\"M\",\"year\":1931,\"mood\":\"quite sad\",\"genres\":"
            + "[\"crime\"],"
            + "\"director\":{\"name\":\"Lang\",\"born\":null},\"run_time\":117.5,\"day\":\"1931-05-11\"}\n```\nDone.");

        var results = ask("a").returning(Film.class).submit().results();

        assertEquals(List.of(new Film("M", 1931, Mood.SAD, List.of("crime"), Optional.of(new Person("Lang",
            Optional.empty())), 117.5, LocalDate.of(1931, 5, 11))), results.as(Film.class).toList());
    }

    @Test void anAnswerThatDoesNotFitIsInvalidByItsPlaceAndValue() {
        server.reply(text -> text.equals("none") ? "I cannot say." : "{\"mood\":\"" + text + "\",\"year\":1931}");

        var results = ask("HAPPY", "purple", "none").returning(Short.class).submit().results();

        assertEquals(List.of("", "$.mood is \"purple\", not one of HAPPY, quite sad",
            "the answer is no JSON object: \"I cannot say.\""), results.stream().map(Result::error).toList());
        assertEquals(Map.of(Outcome.SUCCEEDED, 1L, Outcome.INVALID, 2L), results.counts());
        assertEquals(List.of(new Short(Mood.HAPPY, 1931)), results.as(Short.class).toList());
        assertEquals("{\"mood\":\"purple\",\"year\":1931}", results.failed().iterator().next().rawText());
        assertEquals("as: request-2 invalid: $.mood is \"purple\", not one of HAPPY, quite sad",
            assertThrows(IllegalStateException.class, () -> results.failed().iterator().next().as(Short.class))
                .getMessage());
    }

    /** The thoughts of a model may hold JSON that is not its answer. */
    @Test void whatAModelThinksBeforeIsNoAnswer() {
        server.reply(text -> "<think>{\"mood\":\"HAPPY\",\"year\":1}?</think>\n{\"mood\":\"quite sad\",\"year\":2}");

        assertEquals(List.of(new Short(Mood.SAD, 2)), ask("a").returning(Short.class).submit().results()
            .as(Short.class).toList());
    }

    @Test void valuesAreColumnsOfFilesTablesAndTheNextPrompt() throws IOException {
        server.reply(text -> text.startsWith("next") ? text : "{\"who\":{\"name\":\"" + text + "\"},\"tags\":"
            + "[\"a\",\"b\"]}");
        var results = ask("Lang", "Ozu").returning("people", Map.of("type", "object", "properties", Map.of(
            "who", Map.of("type", "object", "properties", Map.of("name", Map.of("type", "string", "maxLength", 3))),
            "tags", Map.of("type", "array")))).submit().results();

        results.toCsv(home.resolve("out.csv"), "value", "result.value.who.name", "result.value.tags", "result.error");
        results.toCsv(home.resolve("all.csv"));
        results.toJsonl(home.resolve("out.jsonl"));

        assertEquals("value,result.value.who.name,result.value.tags,result.error\r\n"
            + "Lang,,,\"$.who.name has 4 characters, more than 3\"\r\nOzu,Ozu,\"[\"\"a\"\",\"\"b\"\"]\",\r\n",
            Files.readString(home.resolve("out.csv")));
        assertEquals("value,result.customId,result.template,result.model,result.answeredBy,result.outcome,result.text,"
            + "result.value.tags,result.value.who.name,result.error",
            Files.readAllLines(home.resolve("all.csv")).get(0));
        assertEquals("{\"who\":{\"name\":\"Ozu\"},\"tags\":[\"a\",\"b\"]}", Json.lenient(Files.readAllLines(
            home.resolve("out.jsonl")).get(1)).at("/result/value").toString());
        assertEquals("next Ozu", here("next {{result.value.who.name}}", results.succeeded()).submit().results()
            .iterator().next().text());
        assertEquals("id         value  result.value.tags", Printed.stdout(results::show).lines().findFirst()
            .orElseThrow().replaceFirst(" +result.value.who.name$", ""));
    }

    @Test void aSchemaThatIsNotClosedIsNotCalledStrict() {
        var draft = ask("a").returning("open", "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}}}");

        assertFalse(body(draft).at("/response_format/json_schema/strict").asBoolean());
    }

    @Test void aSchemaIsReadFromAFile() throws IOException {
        Files.writeString(home.resolve("s.json"), "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}}}");

        assertEquals("s", body(ask("a").returning("s", home.resolve("s.json")))
            .at("/response_format/json_schema/name").asText());
    }

    @Test void aFormThatNoAnswerHasIsRefusedWhenTheDraftIsMade() {
        assertEquals("returning: String has no fields; give a record", refusal(() -> ask("a").returning(String.class)));
        assertEquals("returning: Tree: the object at #/properties/m can have no field; name its fields, in Java by a "
            + "record in the place of a map", refusal(() -> ask("a").returning(Tree.class)));
        assertEquals("returning: the name \"a b\" is not 1 to 64 letters, digits, '_' or '-'",
            refusal(() -> ask("a").returning("a b", "{}")));
        assertEquals("returning: the schema x is no JSON (Unrecognized token 'schema': was expecting (JSON String, "
            + "Number, Array, Object or token 'null', 'true' or 'false')); of a file, give its Path",
            refusal(() -> ask("a").returning("x", "schema.json")));
    }

    @Test void aFileThatIsNoJsonIsNamed() throws IOException {
        var file = Files.writeString(home.resolve("s.json"), "{");

        var said = refusal(() -> ask("a").returning("s", file));

        assertTrue(said.startsWith("returning: the schema " + file + " is no JSON (Unexpected end-of-input"), said);
        assertTrue(said.endsWith(")"), said);
    }

    @Test void aRecordIsReadWithoutAWordOfTheLoggerBelow(@TempDir Path dir) throws Exception {
        var said = dir.resolve("said.txt");
        var classes = Stream.of(System.getProperty("java.class.path").split(File.pathSeparator))
            .filter(path -> !path.contains("slf4j-nop")).collect(Collectors.joining(File.pathSeparator));
        var child = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-cp",
            classes, Reader.class.getName()).redirectErrorStream(true).redirectOutput(said.toFile()).start();

        assertEquals(0, child.waitFor());
        assertEquals("[\"mood\",\"year\"]", Files.readString(said));
    }

    /** A script that has the library, and no logger. */
    static final class Reader {
        public static void main(String... args) {
            System.out.print(RecordSchema.of(Short.class).path("required"));
        }
    }

    record Tree(Map<String, Integer> m) {}

    record Maybe(Optional<Mood> mood, Maybe next, List<Person> people, Person first) {}

    @Test void whatIsOptionalMayBeNullAndWhatIsUsedTwiceIsReadLikewise() {
        server.reply(text -> "{\"mood\":" + text + ",\"next\":{\"mood\":null},\"people\":[{\"name\":7}]}");

        assertEquals("{\"anyOf\":[{\"type\":\"null\"},{\"type\":\"string\",\"enum\":[\"HAPPY\",\"quite sad\"]}]}",
            body(ask("a").returning(Maybe.class)).at("/response_format/json_schema/schema/properties/mood").toString());
        var results = ask("null", "\"HAPPY\"", "\"x\"").returning(Maybe.class).submit().results();

        assertEquals(List.of("$.first is missing", "$.first is missing", "$.first is missing"), results.stream()
            .map(Result::error).toList());
        server.reply(text -> "{\"mood\":" + text + ",\"next\":null,\"people\":[],\"first\":{\"name\":7}}");
        assertEquals(List.of("$.next is null, not an object"), ask("null ").returning(Maybe.class).submit().results()
            .stream().map(Result::error).toList());
    }

    @Test void aProviderWithoutResponseFormatIsToldInThePrompt() {
        server.reply(text -> "<think>?</think>I say ```{\"mood\":\"HAPPY\",\"year\":1}```");
        var there = Provider.of(server.baseUrl());
        var draft = ask("a").provider(there.dialect(there.dialect().withoutResponseFormat())).system("You rate.")
            .returning(Short.class);

        assertEquals(Map.of(Outcome.SUCCEEDED, 1L), draft.submit().results().counts());
        assertFalse(body(draft).has("response_format"));
        assertEquals("You rate.\n\nAnswer with JSON alone, which fits this JSON schema: "
            + "{\"type\":\"object\",\"properties\":"
            + "{\"mood\":{\"type\":\"string\",\"enum\":[\"HAPPY\",\"quite sad\"]},\"year\":{\"type\":\"integer\"}},"
            + "\"required\":[\"mood\",\"year\"],\"additionalProperties\":false}",
            body(draft).at("/messages/0/content").asText());
        assertFalse(Provider.KLUSTER.dialect().responseFormat());
    }

    @Test void theResponsesEndpointHasItsOwnField() {
        var format = body(ask("a").endpoint("/v1/responses").choice("a", "b").confidence());

        assertEquals("json_schema choice true", format.at("/text/format/type").asText() + " "
            + format.at("/text/format/name").asText() + " " + format.at("/text/format/strict").asText());
        assertEquals("[\"message.output_text.logprobs\"]", format.path("include").toString());
    }

    @Test void anotherProcessReadsThemLikewise() {
        server.reply(text -> text.equals("a") ? "A." : "c");
        ask("a", "b").name("typed").choice("a", "b").submit().results();

        var results = batch("typed").results();

        assertEquals("a", results.iterator().next().choice());
        assertEquals(Map.of(Outcome.SUCCEEDED, 1L, Outcome.INVALID, 1L), results.counts());
    }

    @Test void aChoiceIsAnEnumAndTheModelIsToldTheLabels() {
        var body = body(ask("a").choice("happy", "not happy"));

        assertEquals("{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"choice\",\"strict\":true,\"schema\":"
            + "{\"type\":"
            + "\"object\",\"properties\":{\"choice\":{\"type\":\"string\",\"enum\":[\"happy\",\"not "
            + "happy\"]}},\"required\":"
            + "[\"choice\"],\"additionalProperties\":false}}}", body.path("response_format").toString());
        assertEquals("Choose one of these labels:\nhappy\nnot happy", body.at("/messages/0/content").asText());
        assertEquals("a", body.at("/messages/1/content").asText());
        assertFalse(body.has("logprobs"));
        assertTrue(body(ask("a").confidence().choice("a", "b")).path("logprobs").asBoolean());
    }

    @Test void theAnswerOfAnExampleIsInTheForm() {
        var there = Provider.of(server.baseUrl());
        var draft = ask("a").example("x", "happy").choice("happy", "mixed");

        assertEquals("{\"choice\":\"happy\"}", body(draft).at("/messages/2/content").asText());
        assertEquals("happy", body(draft.provider(there.dialect(there.dialect().withoutResponseFormat())))
            .at("/messages/2/content").asText());
    }

    @Test void aLabelIsReadFromJsonAndFromABareWord() {
        server.reply(text -> text);

        var results = ask("{\"choice\":\"Happy\"}", "Answer: mixed.", "purple", "{\"choice\":\"blue\"}")
            .choice("happy", "mixed").submit().results();

        assertEquals(List.of("happy", "mixed"), results.succeeded().stream().map(Result::choice).toList());
        assertEquals(List.of("the answer is \"purple\", not one of happy, mixed",
            "$.choice is \"blue\", not one of happy, mixed"), results.failed().stream().map(Result::error).toList());
        assertEquals("choice: request-3 invalid: the answer is \"purple\", not one of happy, mixed",
            assertThrows(IllegalStateException.class, () -> results.failed().iterator().next().choice()).getMessage());
    }

    @Test void yesAndNoAndScoresAreLabelsToo() {
        server.reply(text -> text);

        assertEquals(List.of("yes", "no", "yes"), ask("Yes, it is.", "{\"choice\":false}", "YES").yesNo().submit()
            .results().stream().map(Result::choice).toList());
        assertEquals(List.of("4", "4", "5", "1"), ask("4/5", "{\"score\":4}", "Score: 5", "1 out of 5").score(1, 5)
            .submit().results().stream().map(Result::choice).toList());
        assertEquals("$.score is 1E+999999999, not one of 1 to 5",
            AnswerFormat.score(1, 5).read("{\"score\":1e999999999}").fault());
        assertEquals("$.score is 9, not one of 1 to 5", ask("{\"score\":9}").score(1, 5).submit().results().iterator()
            .next().error());
        assertEquals("score: 5 to 1 is no scale; give the lowest and then the highest, at most 100 apart",
            refusal(() -> ask("a").score(5, 1)));
    }

    @Test void aLabelIsAColumnOfFilesTablesAndTheNextPrompt() throws IOException {
        server.reply(text -> text.equals("?") ? "purple" : text);
        var results = ask("happy", "?").choice("happy", "mixed").submit().results();

        results.toCsv(home.resolve("out.csv"), "value", "result.choice");

        assertEquals("value,result.choice\r\nhappy,happy\r\n?,\r\n", Files.readString(home.resolve("out.csv")));
        assertEquals("so happy", here("so {{result.choice}}", results.succeeded()).submit().results().iterator().next()
            .text());
        assertEquals(0.5, here("{{value}}", rows(results.stream().map(Result::row).toList())).choice("happy", "mixed")
            .submit().results().accuracy("value").value());
        assertEquals("request-1  happy  happy", Printed.stdout(results::show).lines().toList().get(2).strip());
    }

    @Test void whatGoesNotTogetherIsRefused() {
        assertEquals("with: response_format is what returning(...) or choice(...) sets; drop one of them",
            refusal(() -> ask("a").with("response_format", Map.of()).yesNo().submit()));
        assertEquals("endpoint: /v1/embeddings is not held to a schema or to labels; drop returning(...) or "
            + "choice(...)",
            refusal(() -> ask("a").endpoint("/v1/embeddings").yesNo().submit()));
        assertEquals("confidence: it is of a label, and there are none; give choice(...), yesNo() or score(...)",
            refusal(() -> ask("a").confidence().submit()));
        assertEquals("choice: request-1 was given no labels; ask with choice(...), yesNo() or score(...)",
            refusal(() -> ask("a").submit().results().iterator().next().choice()));
    }

    @Test void anAnswerThatFailsACheckOfTheUsersIsInvalidWithItsWhy() {
        var results = ask("a", "bb").validate("it is too long",
            result -> result.text().length() < 2).submit().results();

        assertEquals(List.of("", "it is too long"), results.stream().map(Result::error).toList());
        assertEquals(Map.of(Outcome.SUCCEEDED, 1L, Outcome.INVALID, 1L), results.counts());
    }

    @Test void aCheckThatFailsItselfFindsNothingWrong() {
        var results = ask("a").validate("odd", result -> result.row("no such").isEmpty()).submit().results();

        assertEquals("validate: the check \"odd\" failed at request-1 (java.lang.IllegalArgumentException: row: no "
            + "column "
            + "no such; it has: value)", assertThrows(IllegalStateException.class, results::counts).getMessage());
    }

    private static String refusal(org.junit.jupiter.api.function.Executable refused) {
        return assertThrows(RuntimeException.class, refused).getMessage();
    }

    private static JsonNode body(Draft draft) {
        return Json.lenient(draft.preview(1).lines().get(0)).path("body");
    }

    private Draft ask(String... texts) { return here("{{value}}", rows(List.of(texts))); }

    private Draft here(String prompt, Sheaf.Data data) {
        return batch().provider(Provider.of(server.baseUrl())).quiet().model("echo").prompts(prompt, data);
    }
}
