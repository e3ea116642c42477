package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.rows;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;

/** Rows whose requests another machine has made. */
class RenderedRowTest {
    private final Draft draft = batch().provider(Provider.OPENAI).model("a", "b").customId("{{id}}")
        .prompts("Say {{text}}", rows(Map.of("id", "x", "text", "one \u2028 \"two\""), Map.of("id", "y", "text", "")));

    @Test void theirRequestsGetNumbersAndAreElseAsTheyWereMade() {
        var made = requests(draft.settings);

        var again = requests(rendered(made, "x", "y"));

        assertEquals(made.stream().map(Request::text).toList(), again.stream().map(Request::text).toList());
        assertEquals(List.of("a", "b", "a", "b"), again.stream().map(Request::model).toList());
        assertEquals(List.of(1L, 1L, 2L, 2L), again.stream().map(Request::row).toList());
        assertEquals("{\"row\":\"key 2\",\"id\":\"y\"}", Json.text(again.get(3).values()));
    }

    @Test void theirIdsAreUnique() {
        var made = requests(draft.settings);

        var fault = assertThrows(IllegalArgumentException.class, () -> requests(rendered(made, "x", "x")));

        assertEquals("customId: rows 1 and 2 both give \"x\"; an id is unique", fault.getMessage());
    }

    /** Each row has the requests of two models. */
    private Settings rendered(List<Request> made, String... ids) {
        var rows = IntStream.range(0, ids.length).mapToObj(i -> new RenderedRow(row("key " + (i + 1), ids[i]),
            made.subList(2 * i, 2 * i + 2).stream().map(request -> line(request, "key-" + i)).toList())).toList();
        return draft.settings.with(s ->
            s.data = Rows.rendered("data", () -> rows.stream().<Map<String, Object>>map(row -> row)));
    }

    private static Map<String, Object> row(String key, String id) {
        var row = new LinkedHashMap<String, Object>();
        row.put("row", key);
        row.put("id", id);
        return row;
    }

    private static RenderedRow.Line line(Request request, String id) {
        var line = request.text().replaceFirst("request-[0-9]+", id) + "\n";
        return RenderedRow.Line.of(request.model(), Json.bytes(line));
    }

    private static List<Request> requests(Settings settings) {
        return new Requests(settings, Provider.OPENAI.connection()).open().toList();
    }
}
