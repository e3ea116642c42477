package sheaf.model;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** Writes the head of a GGUF file, version 3. */
final class GgufBytes {
    private final ByteArrayOutputStream entries = new ByteArrayOutputStream();
    private long count;

    GgufBytes text(String key, String value) { return entry(key, 8).raw(value); }

    GgufBytes int32(String key, int value) { return entry(key, 4).raw(4, value); }

    GgufBytes bool(String key, boolean value) { return entry(key, 7).raw(1, value ? 1 : 0); }

    GgufBytes array(String key, String... values) {
        entry(key, 9).raw(4, 8).raw(8, values.length);
        for (var value : values) raw(value);
        return this;
    }

    byte[] bytes() {
        var file = new GgufBytes().raw(4, 0x46554747).raw(4, 3).raw(8, 0).raw(8, count);
        file.entries.writeBytes(entries.toByteArray());
        return file.entries.toByteArray();
    }

    private GgufBytes entry(String key, int type) {
        count++;
        return raw(key).raw(4, type);
    }

    private GgufBytes raw(String text) {
        byte[] utf8 = text.getBytes(UTF_8);
        raw(8, utf8.length).entries.writeBytes(utf8);
        return this;
    }

    private GgufBytes raw(int size, long value) {
        byte[] all = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(value).array();
        entries.write(all, 0, size);
        return this;
    }
}
