package sheaf;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_16;
import static java.nio.charset.StandardCharsets.UTF_16BE;
import static java.nio.charset.StandardCharsets.UTF_16LE;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.StringWriter;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.Charset;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Bytes as text. */
class EncodingTest {
    @ParameterizedTest
    @ValueSource(strings = {"", "a", "ab", "abc\u00e9", "\uFEFF", "\uFEFFabc\u00e9"})
    void aByteOrderMarkIsPassedOver(String text) throws IOException {
        for (var charset : new Charset[] {UTF_8, UTF_16LE, UTF_16BE, Charset.forName("UTF-32LE")})
            assertEquals(text.replace("\uFEFF", ""), read(text.getBytes(charset), charset), charset.name());
    }

    @ParameterizedTest
    @ValueSource(strings = {"UTF-16LE", "UTF-16BE"})
    void utf16IsReadInEitherOrderWithAndWithoutAMark(String order) throws IOException {
        for (var text : new String[] {"id,text\n1,gr\u00fc\u00df\n", "\u540d\u524d,\u6587\n\u732b,\u5409\n", "a\n"}) {
            assertEquals(text, read(text.getBytes(Charset.forName(order)), UTF_16));
            assertEquals(text, read(("\uFEFF" + text).getBytes(Charset.forName(order)), UTF_16));
            assertEquals(text, read(("\uFEFF" + text).getBytes(Charset.forName(order)), UTF_16LE));
        }
    }

    @Test void whatIsNoTextIsRefusedAndNotReplaced() {
        assertThrows(CharacterCodingException.class, () -> read("abc\u00e9".getBytes(ISO_8859_1), UTF_8));
        assertThrows(CharacterCodingException.class,
            () -> read(new byte[] {'a', (byte) 0x81}, Charset.forName("windows-1252")));
    }

    @ParameterizedTest(name = "{0} asked for as {1}")
    @CsvSource({"UTF-16LE, UTF-8, UTF-16", "UTF-16BE, windows-1252, UTF-16", "UTF-8, windows-1252, UTF-8",
        "UTF-8, UTF-16, UTF-8", "UTF-32LE, UTF-16, UTF-32", "UTF-8, UTF-8, ''", "UTF-16LE, UTF-16BE, ''"})
    void aMarkTellsAnotherCharset(String marked, String asked, String told) throws IOException {
        var encoding = encoding("\uFEFFid,text\n1,a\n".getBytes(Charset.forName(marked)), Charset.forName(asked));

        assertEquals(Optional.of(told).filter(name -> !name.isEmpty()), encoding.another());
        if (!told.isEmpty()) assertThrows(CharacterCodingException.class, encoding::reader);
    }

    @Test void utf16WithoutAMarkIsKnownByItsNuls() throws IOException {
        assertEquals(Optional.of("UTF-16"), encoding("id,text\n".getBytes(UTF_16LE), UTF_8).another());
        assertEquals(Optional.empty(), encoding("id,text\n1,a\0b\n".getBytes(UTF_8), UTF_8).another());
    }

    @ParameterizedTest(name = "{0}")
    @ValueSource(strings = {"a~b~c#", "a~b~#", "a~~#", "~~c d #~e"})
    void aLineEndsAtEitherCharacterOrBoth(String content) throws IOException {
        for (var end : new String[] {"\r", "\n", "\r\n"}) {
            var bytes = content.replace("~", end).getBytes(ISO_8859_1);
            for (int i = 0; i < bytes.length; i++) if (bytes[i] == '#') bytes[i] = (byte) 0xE9;

            assertEquals(3, encoding(bytes, UTF_8).faultyLine());
        }
    }

    /** The decoder reads in blocks; a return may be the last character of one. */
    @Test void linesAreCountedAcrossBlocks() throws IOException {
        for (int padding = 4080; padding < 4110; padding++) {
            var bytes = ("x".repeat(padding) + "\r\n\r\n\u00fc\u00fc\r\n\u00e9 ").getBytes(UTF_8);
            bytes[bytes.length - 2] = ' ';

            assertEquals(4, encoding(bytes, UTF_8).faultyLine(), () -> "after " + bytes.length);
        }
    }

    private static Encoding encoding(byte[] bytes, Charset charset) throws IOException {
        return new Encoding(new ByteArrayInputStream(bytes), charset);
    }

    private static String read(byte[] bytes, Charset charset) throws IOException {
        try (var reader = encoding(bytes, charset).reader()) {
            var text = new StringWriter();
            reader.transferTo(text);
            return text.toString();
        }
    }
}
