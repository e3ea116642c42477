package sheaf.model;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.net.UnknownHostException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.BiPredicate;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Which model this machine gets, of a large one, a medium one, one that stands in for that, and a small one. */
class ChoiceTest {
    final Settings settings = new Settings();
    final PrintStream stderr = System.err;
    final ByteArrayOutputStream said = new ByteArrayOutputStream();
    final List<String> questions = new ArrayList<>();
    final ModelFile large = new ModelFile("large", "Q4", "MIT", 4_000_000_000L, "0", List.of());
    final ModelFile medium = model("medium", new Place("medium"));
    final ModelFile standIn = model("stand-in", new Place("stand-in"));
    final ModelFile small = model("small", new Place("small"));
    @TempDir Path temp;

    @BeforeEach void nothingIsNear() throws IOException {
        for (var name : "HF_HUB_CACHE HUGGINGFACE_HUB_CACHE HF_HOME LLAMA_CACHE OLLAMA_MODELS SHEAF_OFFLINE".split(" "))
            settings.set(name, "");
        settings.set("user.home", temp);
        settings.set("XDG_CACHE_HOME", temp.resolve("cache"));
        settings.set("SHEAF_CACHE", temp.resolve("sheaf"));
        Files.createDirectories(temp.resolve("sheaf/models"));
        System.setErr(new PrintStream(said, true, UTF_8));
    }

    @AfterEach void restore() {
        System.setErr(stderr);
        settings.restore();
    }

    @Test void theBestOfTheSizeIsFetchedWhereNoneIsHere() {
        assertEquals("medium", take(Choice::announce, 8, List.of(medium, standIn), List.of(small)));
        assertEquals("sheaf: fetching medium (Q4, 1 MB, MIT) from its place\n", said.toString(UTF_8));
    }

    @Test void whatStandsInIsTakenIfItIsHereAndTheBetterIsNot() throws IOException {
        put(standIn);

        assertEquals("stand-in", take(Choice::announce, 8, List.of(medium, standIn), List.of(small)));
        assertEquals("", said.toString(UTF_8));
    }

    @Test void whatStandsInIsFetchedWhereTheBetterCannotBeHad() {
        var gone = model("medium", new Place(""));

        assertEquals("stand-in", take(Choice::announce, 8, List.of(gone, standIn), List.of(small)));
        assertEquals("sheaf: no medium (its place: unknown host its.place)\n"
            + "sheaf: fetching stand-in (Q4, 1 MB, MIT) from its place\n", said.toString(UTF_8));
    }

    @Test void whoDeclinesGetsTheNextSmallerThatIsHere() throws IOException {
        put(small);

        assertEquals("small", take(this::no, 8, List.of(medium, standIn), List.of(small)));
        assertEquals(List.of("medium"), questions, "what stands in is larger still, and not asked for");
        assertEquals("sheaf: no medium (declined)\n", said.toString(UTF_8));
    }

    @Test void whoDeclinesAllIsToldWhatElseThereIs() {
        var refusal = assertThrows(UncheckedIOException.class, () ->
            take(this::no, 8, List.of(medium, standIn), List.of(small)));

        assertEquals("start: no weights for medium (declined), small (declined); name a GGUF file, or the URL of a "
            + "running server, or let one be fetched", refusal.getMessage());
        assertEquals(List.of("medium", "small"), questions);
    }

    @Test void aModelThatTheMemoryIsTooSmallForIsNotFetched() {
        assertEquals("medium", take(Choice::announce, 3, List.of(large), List.of(medium)));
        assertEquals("sheaf: no large (it needs 5.3 GB of memory, and 3.0 GB are free)\n"
            + "sheaf: fetching medium (Q4, 1 MB, MIT) from its place\n", said.toString(UTF_8));
    }

    @Test void aNamedModelThatTheMemoryIsTooSmallForIsRefused() {
        var refusal = assertThrows(IllegalStateException.class, () -> take(Choice::announce, 3, List.of(large)));

        assertEquals("start: large cannot run here (it needs 5.3 GB of memory, and 3.0 GB are free); free some, or "
            + "name a smaller model", refusal.getMessage());
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource({"small, SmolLM2-135M-Instruct", "Qwen2.5-Coder-0.5B, Qwen2.5-Coder-0.5B-Instruct",
        "smollm2-135m-instruct, SmolLM2-135M-Instruct",
        "MEDIUM, Qwen2.5-0.5B-Instruct Qwen2.5-Coder-0.5B-Instruct | SmolLM2-135M-Instruct",
        "large, Qwen2.5-1.5B-Instruct Qwen2.5-Coder-1.5B-Instruct | Qwen2.5-0.5B-Instruct Qwen2.5-Coder-0.5B-Instruct "
            + "| SmolLM2-135M-Instruct", "Qwen2.5-3B, ''"})
    void aSizeStandsForWhatIsBelowItAndANameForItself(String wish, String models) {
        assertEquals(models, String.join(" | ", KnownModels.wished(wish).stream()
            .map(size -> String.join(" ", size.stream().map(ModelFile::name).toList())).toList()));
    }

    /** What can be fetched by a name is Apache's, from a place whose bytes are known, and the engine can load it. */
    @Test void theTableIsWhole() {
        for (var model : KnownModels.all()) {
            assertEquals("Apache-2.0", model.licence());
            assertEquals(64, model.sha256().length());
            assertEquals(1, model.places().stream().filter(HuggingFace.class::isInstance).count());
        }
        assertEquals(5, KnownModels.all().stream().map(ModelFile::sha256).distinct().count());
    }

    String take(BiPredicate<ModelFile, Download> consent, int gigabytes, List<?>... wished) {
        var sizes = Stream.of(wished).map(size -> size.stream().map(ModelFile.class::cast).toList()).toList();
        return new Choice(sizes, gigabytes * 1_000_000_000L, consent).take().model().name();
    }

    boolean no(ModelFile model, Download place) {
        questions.add(model.name());
        return false;
    }

    /** A model whose file says its name. */
    static ModelFile model(String name, Download place) {
        return new ModelFile(name, "Q4", "MIT", name.length(), Hub.sha256(name.getBytes(UTF_8)), List.of(place));
    }

    void put(ModelFile model) throws IOException {
        Files.writeString(temp.resolve("sheaf/models/" + model.sha256() + ".gguf"), model.name());
    }

    /** A place that has a file; "" cannot be reached. */
    private record Place(String content) implements Download {
        @Override public String name() { return "its place"; }

        @Override public String suffix() { return ".part"; }

        @Override public void fetch(Path file, long bytes, Runnable begins) throws IOException {
            if (content.isEmpty()) throw new UnknownHostException("its.place");
            begins.run();
            Files.writeString(file, content);
        }
    }
}
