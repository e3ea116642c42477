package sheaf.support;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.StreamSupport;

/** What stands in a notebook of Jupyter's. */
public final class Notebook {
    private Notebook() {
    }

    public static JsonNode tour() throws IOException {
        return RawClient.JSON.readTree(Project.root().resolve("notebooks/tour.ipynb").toFile());
    }

    public static List<JsonNode> code(JsonNode notebook) {
        return StreamSupport.stream(notebook.path("cells").spliterator(), false)
            .filter(cell -> cell.path("cell_type").asText().equals("code")).toList();
    }

    /** A text in a notebook is one string, or one for each line. */
    public static String text(JsonNode node) {
        return node.isArray() ? StreamSupport.stream(node.spliterator(), false).map(JsonNode::asText)
            .collect(Collectors.joining()) : node.asText();
    }

    public static String shown(JsonNode cell, String kind, String place) {
        return StreamSupport.stream(cell.path("outputs").spliterator(), false)
            .filter(output -> output.path("output_type").asText().equals(kind)).map(output -> text(output.at(place)))
            .collect(Collectors.joining()).replace("\r\n", "\n");
    }
}
