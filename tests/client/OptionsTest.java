package sheaf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static sheaf.Sheaf.batch;
import static sheaf.Sheaf.csv;
import static sheaf.Sheaf.rows;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import sheaf.Sheaf.Draft;

/** What whoever runs a script may change by its command line. */
class OptionsTest {
    final Draft script = batch().provider("http://localhost:8080/v1").model("m").system("s").temperature(1)
        .prompts("{{text}}", rows(Map.of("text", "a"), Map.of("text", "b")));
    @TempDir Path dir;

    @Test void noOptionsLeaveTheScriptAsItIs() { assertEquals(script.preview(9), script.options().preview(9)); }

    @Test void optionsTakeThePlaceOfWhatTheScriptSet() throws IOException {
        var data = Files.writeString(dir.resolve("own.jsonl"), "{\"q\":\"x\"}\n{\"q\":\"y\"}\n").toString();
        var template = Files.writeString(dir.resolve("own.mustache"), "Q {{q}}\n").toString();

        var draft = script.options("--limit", "1", "--data", data, "--template=" + template, "--model", "n,o",
            "--system", "S", "--temperature", "0", "--max-tokens", "7", "--with", "top_p=0.5", "--with", "user=12 x",
            "--with", "stop=[\"a\"]", "--provider", "groq", "--name", "mine");

        assertEquals(Stream.of("n", "o").map(model -> "{\"model\":\"" + model + "\",\"messages\":["
            + "{\"role\":\"system\",\"content\":\"S\"},{\"role\":\"user\",\"content\":\"Q x\"}],"
            + "\"stop\":[\"a\"],\"temperature\":0.0,\"top_p\":0.5,\"user\":\"12 x\","
            + "\"max_completion_tokens\":7}").toList(), draft.preview(9).lines().stream()
            .map(line -> line.replaceFirst(".*\"body\":(.*)}$", "$1")).toList());
    }

    /** The arguments of an alias come first, the user's own after them. */
    @Test void theLastOfAnOptionCounts() {
        assertEquals(script.model("z").options("--limit", "2").preview(9),
            script.options("--model", "y", "--limit", "1", "--model", "z", "--limit", "2").preview(9));
    }

    @Test void aSpreadsheetsFileIsReadAsItsOptionsSay() throws IOException {
        var file = Files.write(dir.resolve("own.csv"), "a;gr\u00fc\u00df\rb;x\r".getBytes("windows-1252")).toString();
        var options = Stream.of("--data", file, "--separator", ";", "--charset", "windows-1252", "--header", "id,text");

        assertEquals(List.of("gr\u00fc\u00df"), prompts(script.options(Stream.concat(options, Stream.of("--limit", "1"))
            .toArray(String[]::new))));
    }

    /** Whoever brings no other file may have saved the script's own in another way. */
    @Test void theScriptsOwnFileMayBeReadAnotherWay() throws IOException {
        var file = Files.writeString(dir.resolve("a.csv"), "id\ttext\n1\tx\n2\ty\n");

        assertEquals(List.of("x"), prompts(batch().model("m").prompts("{{text}}", csv(file).limit(1))
            .options("--separator", "tab")));
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', value = {
        "--modle x | options: \"--modle\" is no option; there are: --provider P, --model M[,M2], --system S, "
            + "--template T[,T2], --data FILE, --separator C, --charset NAME, --header NAME[,NAME2], --limit N, "
            + "--name N, --max-tokens N, --temperature X, --with FIELD=VALUE",
        "--model | options: --model has no value; write --model M[,M2]",
        "--model --limit 3 | options: --model has no value; write --model M[,M2]",
        "--model x, | model: the name is empty; models() lists what there is",
        "--separator ; | options: --separator needs rows of a CSV file; these are rows",
        "--limit many | options: --limit many is no whole number",
        "--temperature hot | options: --temperature hot is no number",
        "--with top_p | options: --with top_p is no FIELD=VALUE",
        "--data rows.xml | options: --data rows.xml ends in none of .csv, .jsonl and .json"})
    void aMistakeIsASentence(String args, String sentence) {
        var fault = assertThrows(IllegalArgumentException.class, () -> script.options(args.split(" ")));

        assertEquals(sentence, fault.getMessage());
    }

    @Test void dataNeedsPromptsThatNameIts() {
        var fault = assertThrows(IllegalArgumentException.class, () -> batch().model("m").prompts("Hi")
            .options("--limit", "1"));

        assertEquals("options: --limit needs prompts over rows; this script has none", fault.getMessage());
    }

    private static List<String> prompts(Draft draft) {
        return draft.preview(9).lines().stream()
            .map(line -> line.replaceFirst(".*\"user\",\"content\":\"(.*?)\".*", "$1")).toList();
    }
}
