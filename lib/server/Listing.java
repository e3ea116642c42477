package sheaf.server;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.List;
import java.util.function.Function;

/** Lists of files or batches, a page at a time, as the dialect has them. They do not know where those come from. */
final class Listing {
    private final Manners dialect;
    private final Script script;

    Listing(Manners dialect, Script script) {
        this.dialect = dialect;
        this.script = script;
    }

    /** Returns how many a client asks for, as far as the dialect lets it ask. */
    int limit(Call call, int otherwise, int most) {
        if (!dialect.hasPages()) return most;
        return (int) Parameters.integer("limit", call.query("limit", "" + otherwise), 1, most);
    }

    /** Returns the id after which a list goes on, or null at its start. */
    String after(Call call) { return dialect.hasPages() && !script.ignoresAfter ? call.query("after", null) : null; }

    /** Returns a list of at most {@code limit} resources; one more was asked for, to know if there is more. */
    JsonNode page(List<ObjectNode> found, int limit, Function<ObjectNode, JsonNode> shape) {
        var shown = found.subList(0, Math.min(limit, found.size()));
        var page = Json.object().put("object", "list");
        page.putArray("data").addAll(shown.stream().map(shape).toList());
        page.set("first_id", shown.isEmpty() ? null : shown.get(0).get("id"));
        page.set("last_id", shown.isEmpty() ? null : shown.get(shown.size() - 1).get("id"));
        return dialect.page(page.put("has_more", found.size() > limit || script.ignoresAfter));
    }
}
