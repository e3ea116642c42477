package sheaf;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.MalformedInputException;
import java.util.Arrays;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** Texts between the quotes of JSON, as Jackson writes and reads them. */
class JsonTextTest {
    @Test void everyCharacterIsWrittenAsInALineAndReadAgain() {
        IntStream.rangeClosed(0, Character.MAX_CODE_POINT).filter(point -> !JsonText.isHalf(point))
            .filter(point -> point < 0x3000 || point % 97 == 0).forEach(point -> {
                var text = "a" + Character.toString(point) + "b";
                var line = new String(Json.line(text), UTF_8);

                assertEquals(line.substring(1, line.length() - 2), new String(JsonText.of(text), UTF_8));
                assertEquals(text, JsonText.read(JsonText.of(text), 0, JsonText.of(text).length));
            });
    }

    @Test void halfACharacterDependsOnTheNext() {
        assertNull(JsonText.of("\ud83d"));
        assertNull(JsonText.of("a\ude00b"));
        assertNull(JsonText.of("\ud83d\ude00\ud83d"));
    }

    @Test void whatStandsByItsNumberIsRead() {
        var json = "\\ud83d and \\u00e9\\n\u00e9\\\\u0041".getBytes(UTF_8);

        assertEquals("\ud83d and \u00e9\n\u00e9\\u0041", JsonText.read(json, 0, json.length));
    }

    @Test void whatIsNoUtf8IsRefusedWhereverADecoderRefusesIt() {
        var random = new Random(7);
        for (int i = 0; i < 300_000; i++) {
            var bytes = new byte[1 + random.nextInt(5)];
            random.nextBytes(bytes);
            for (int k = 0; k < bytes.length; k++)
                if (random.nextInt(2) > 0) bytes[k] = (byte) (random.nextInt(4) == 0 ? 0xE0 + random.nextInt(24)
                    : 0x80 + random.nextInt(64));

            assertEquals(isDecoded(bytes), isWritten(bytes), Arrays.toString(bytes));
        }
    }

    @Test void bytesAreCopiedAsTheyStand() throws MalformedInputException {
        var octets = JsonText.octets("\u00e9\u8336\ud83d\ude00");
        var out = new byte[100];

        int end = JsonText.put(octets, 0, octets.length, out, 3);

        assertArrayEquals("\u00e9\u8336\ud83d\ude00".getBytes(UTF_8), Arrays.copyOfRange(out, 3, end));
    }

    private static boolean isDecoded(byte[] bytes) {
        try {
            UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes));
            return true;
        } catch (CharacterCodingException e) {
            return false;
        }
    }

    private static boolean isWritten(byte[] bytes) {
        var octets = new char[bytes.length];
        for (int i = 0; i < octets.length; i++) octets[i] = (char) (bytes[i] & 0xFF);
        try {
            JsonText.put(octets, 0, octets.length, new byte[octets.length * JsonText.MOST], 0);
            return true;
        } catch (MalformedInputException e) {
            return false;
        }
    }
}
