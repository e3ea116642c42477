package sheaf;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Where a line ends and where it stands, in bytes. */
@Tag("C28")
class LinesTest {
    @Test void aLineEndsAtANewlineAndNowhereElse() throws IOException {
        assertEquals(List.of("a\u2028b\u2029c\u0085d", "e\rf\u000bg\fh", "i"),
            texts("a\u2028b\u2029c\u0085d\ne\rf\u000bg\fh\ni\n"));
    }

    @Test void aLastLineNeedsNoNewlineAndANewlineBeginsNoLine() throws IOException {
        assertEquals(List.of("a", "b"), texts("a\nb"));
        assertEquals(List.of("a", "b"), texts("a\nb\n"));
        assertEquals(List.of("a", "", "b", ""), texts("a\n\nb\n\n"));
        assertEquals(List.of(""), texts("\n"));
        assertEquals(List.of(), texts(""));
    }

    @Test void oneCarriageReturnBeforeTheEndIsPassedOver() throws IOException {
        assertEquals(List.of("a", "b\r", "", "\rc", "d"), texts("a\r\nb\r\r\n\r\n\rc\nd\r"));
    }

    @Test void aByteOrderMarkIsPassedOverInTheFirstLineAlone() throws IOException {
        assertEquals(List.of("a", "\uFEFFb"), texts("\uFEFFa\n\uFEFFb"));
        assertEquals(List.of("", "a"), texts("\uFEFF\r\na"));
        assertEquals(List.of("\uFEFFa"), texts("\uFEFF\uFEFFa"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"a\nb\u00e9\u20ac\ud83d\ude00\n\nlast", "\uFEFFa\r\n\uFEFFb\r\nc\r\n", "\uFEFF\n\r\na"})
    void startAndLengthCutTheLineOutOfTheFile(String content) throws IOException {
        var bytes = content.getBytes(UTF_8);

        assertEquals(texts(content), read(content, lines ->
            new String(bytes, (int) lines.start(), lines.length(), UTF_8)));
    }

    @Test void linesAreNumberedFromOne() throws IOException {
        assertEquals(List.of(1L, 2L, 3L), read("a\n\nb", Lines::number));
    }

    @Test void aLineLongerThanTheBufferIsOneLine() throws IOException {
        var longer = "x".repeat(200_000);

        assertEquals(List.of(longer, "y", longer), texts(longer + "\ny\n" + longer));
        assertEquals(List.of(0L, 200_001L, 200_003L), read(longer + "\ny\n" + longer, Lines::start));
    }

    @Test void aStreamThatComesByteByByteHasTheSameLines() throws IOException {
        var content = "\uFEFFa\r\nb\u00e9\n\nlast";
        var slow = new ByteArrayInputStream(content.getBytes(UTF_8)) {
            @Override public synchronized int read(byte[] bytes, int from, int length) {
                return super.read(bytes, from, Math.min(1, length));
            }
        };

        assertEquals(texts(content), read(slow, Lines::text));
    }

    @Test void aLineOfSpacesIsBlankAndASeparatorIsText() throws IOException {
        assertEquals(List.of(true, true, true, false, false, false),
            read("\uFEFF\n \t\r\n\r\n\u2028\n\u00a0\na", Lines::isBlank));
    }

    @Test void aLineThatIsNoUtf8HidesNoOther() throws IOException {
        var bytes = "gr\u00fcn\ngreen\n\u00e9".getBytes(ISO_8859_1);

        assertEquals(List.of(false, true, false), read(new ByteArrayInputStream(bytes), Lines::isUtf8));
        assertEquals(List.of("gr\ufffdn", "green", "\ufffd"), read(new ByteArrayInputStream(bytes), Lines::text));
    }

    @Test void strictTextHasNoByteOrderMarkAndIsUtf8() throws IOException {
        assertEquals("a\u00e9", Lines.strictUtf8(ByteBuffer.wrap("\uFEFFa\u00e9".getBytes(UTF_8))));
        assertThrows(CharacterCodingException.class,
            () -> Lines.strictUtf8(ByteBuffer.wrap("a\u00e9".getBytes(ISO_8859_1))));
    }

    private static List<String> texts(String content) throws IOException { return read(content, Lines::text); }

    private static <T> List<T> read(String content, Function<Lines, T> property) throws IOException {
        return read(new ByteArrayInputStream(content.getBytes(UTF_8)), property);
    }

    private static <T> List<T> read(InputStream content, Function<Lines, T> property) throws IOException {
        try (var lines = new Lines(content)) {
            var read = new ArrayList<T>();
            while (lines.advance()) read.add(property.apply(lines));
            return read;
        }
    }
}
