package sheaf;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.node.MissingNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Vocabulary.Dialect;
import sheaf.Vocabulary.Limits;
import sheaf.support.RawClient;

/** What is written in draft.json is read again, and what a folder of the first days lacks has a meaning. */
class ManifestTest {
    private static final Manifest WHOLE = new Manifest(Manifest.VERSION, "tickets", "d".repeat(64),
        new Manifest.Address("groq", "https://example.com/v1", "GROQ_API_KEY", 2, 300, 4L, 500L, true, "max_tokens",
            "/files/upload", "batch-api", "2024-10-21", "5f0c", "echo", null),
        "/v1/chat/completions", "24h", 7_200L, Map.of("who", "me"),
        RawClient.JSON.createObjectNode().put("system", "You cook."), 12, 6, List.of(7L, 3L), List.of(70L, 30L), 2, 4,
        "e".repeat(64), "rows-0123456789ab", true, true, true, "f".repeat(64), "tickets/better",
        RawClient.JSON.createArrayNode().add("nebius"), List.of(0, 1), "a".repeat(64), List.of(2, 3),
        List.of("explain", "judge"), 3, List.of("a", "b", "c"), "ticket-{{id}}", List.of("text"), List.of("id", "text"),
        AnswerFormat.choice("bug", "other").confidence(true),
        List.of(0.15, 0.6), List.of("too long"));
    private static final String LEAST = "{\"version\":1,\"name\":\"tickets\",\"digest\":\"d\",\"provider\":"
        + "{\"name\":\"local\",\"base_url\":\"http://localhost/v1\",\"requests\":2,\"bytes\":300}}";
    @TempDir Path folder;

    @Test void whatIsWrittenIsReadAgain() throws IOException { assertEquals(WHOLE, read(written(WHOLE))); }

    @Test void whatIsNotThereIsNotThereAfterItIsWrittenAgain() throws IOException {
        var old = read(LEAST.replaceFirst("\\{", "{\"settings\":{\"system\":\"You cook.\"},"));

        assertEquals(old, read(written(old)));
    }

    @Test void theNamesOnTheDiskAreTheseAndStay() throws IOException {
        assertEquals(Set.of("version", "name", "digest", "provider", "endpoint", "completion_window",
            "output_expires_after", "metadata",
            "settings", "requests", "rows", "cut", "tokens", "reused", "repeats", "sent", "rows_file", "own_ids",
            "again", "adopted", "again_of", "again_as", "shares", "shared", "instead_of", "instead_of_parts",
            "templates", "models_per_row", "models", "custom_id", "prompt_columns", "row_columns", "format", "price",
            "checks"), RawClient.names(tree(written(WHOLE))));
        assertEquals(Set.of("name", "base_url", "key_variable", "requests", "bytes", "batches", "tokens",
            "mixed_models", "max_tokens_field", "upload_path", "purpose", "api_version", "store", "engine"),
            RawClient.names(tree(written(WHOLE)).path("provider")));
    }

    @Test void textsAndListsThatAreNotThereAreEmpty() throws IOException {
        var least = read(LEAST);

        assertEquals(List.of("", "", "", "", "", "", "", ""), List.of(least.endpoint(), least.completionWindow(),
            least.sentDigest(), least.rowsFile(), least.resendOf(), least.resendNames(), least.customId(),
            least.insteadOf()));
        assertEquals(Collections.nCopies(9, List.of()),
            List.of(least.partRequests(), least.partTokens(), least.templates(), least.models(), least.promptColumns(),
                least.rowColumns(), least.price(), least.insteadParts(), least.partShares()));
        assertEquals(Map.of(), least.metadata());
        assertEquals(MissingNode.getInstance(), least.settings());
        assertFalse(least.ownIds() || least.isResend() || least.isAdopted());
    }

    @Test void aFolderOfTheFirstDaysHasOneModelForEachRow() throws IOException {
        assertEquals(1, read(LEAST).modelsPerRow());
        assertEquals(1, read(LEAST).requestsPerRow());
        assertEquals(2 * 3, WHOLE.requestsPerRow());
    }

    @Test void limitsThatAreNotThereAreNone() throws IOException {
        assertEquals(new Limits(2, 300), read(LEAST).provider().limits());
        assertEquals(new Limits(2, 300, 4, 500), WHOLE.provider().limits());
    }

    @Test void mannersThatAreNotThereAreOpenAis() throws IOException {
        assertEquals(new Dialect(false, null), read(LEAST).provider().dialect());
        assertEquals(new Dialect(true, "max_tokens", "/files/upload", "batch-api", "2024-10-21"),
            WHOLE.provider().dialect());
    }

    @Test void theDigestsOfWhatWasFirstSentAndIsSentNowFallBackOnItsOwn() throws IOException {
        assertEquals(List.of("d", "d"), List.of(read(LEAST).origin(), read(LEAST).digestOfSent()));
        assertEquals(List.of("f".repeat(64), "e".repeat(64)), List.of(WHOLE.origin(), WHOLE.digestOfSent()));
    }

    @Test void anAddressIsThatOfItsConnection() {
        var limits = new Limits(2, 300, 4, 500);
        var dialect = new Dialect(true, "max_tokens", "/files/upload", "batch-api", "2024-10-21");

        var connection = new Connection("groq", "groq", "https://example.com/v1", "GROQ_API_KEY", limits, dialect,
            Map.of());
        connection.hold(new Identity("5f0c", "echo"));

        assertEquals(WHOLE.provider(), Manifest.Address.of(connection));
    }

    @Test void whatALaterVersionAddsIsPassedOver() throws IOException {
        assertEquals(read(LEAST), read(LEAST.replaceFirst("\\{", "{\"later\":[1],")));
    }

    @Test void aManifestThatIsTornIsASentence() {
        var fault = assertThrows(UncheckedIOException.class, () -> read(LEAST.substring(0, 40)));

        assertTrue(fault.getMessage().startsWith("journal: cannot read " + folder.resolve("draft.json") + " ("),
            fault.getMessage());
    }

    private Manifest read(String json) throws IOException {
        return Json.read(Files.writeString(folder.resolve("draft.json"), json), Manifest.class);
    }

    private static String written(Manifest manifest) throws IOException {
        return new String(Json.pretty(manifest), UTF_8);
    }

    private static ObjectNode tree(String json) { return (ObjectNode) RawClient.json(json.getBytes(UTF_8)); }
}
