package sheaf.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What the head of a model's file says. */
class GgufTest {
    @Test void metadataOfAGgufFileIsReadAndItsArraysAreSkipped(@TempDir Path temp) throws IOException {
        var file = Files.write(temp.resolve("tiny.gguf"), new GgufBytes()
            .text("general.architecture", "llama").array("tokenizer.ggml.tokens", "a", "\uD83D\uDE00", "c")
            .int32("llama.context_length", 512).text("general.license", "mit")
            .bool("tokenizer.ggml.add_bos_token", true).text("tokenizer.chat_template", "{{ \u6F22 }}").bytes());

        var header = Gguf.read(file);

        assertEquals("{{ \u6F22 }}", header.text("tokenizer.chat_template"));
        assertEquals(512, header.contextLength());
        assertEquals("licence mit", header.licence());
        assertTrue(header.addsBosToken());
    }

    @Test void anEmptyFileIsNone(@TempDir Path temp) throws IOException {
        var file = Files.createFile(temp.resolve("tiny.gguf"));

        var failure = assertThrows(UncheckedIOException.class, () -> Gguf.read(file));

        assertEquals("start: " + file + " is no readable GGUF file (it ends too early); name another",
            failure.getMessage());
    }

    @Test void aBosTokenThatIsNeitherTrueNorFalseIsNotAdded(@TempDir Path temp) throws IOException {
        var file = Files.write(temp.resolve("tiny.gguf"), new GgufBytes()
            .text("tokenizer.ggml.model", "llama").text("tokenizer.ggml.add_bos_token", "true").bytes());

        assertFalse(Gguf.read(file).addsBosToken());
    }
}
