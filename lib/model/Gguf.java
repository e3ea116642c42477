package sheaf.model;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.BufferedInputStream;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.OptionalDouble;

/**
 * The metadata at the head of a GGUF file; arrays are skipped. It does not know the tensors behind them.
 * @see <a href="https://github.com/ggml-org/ggml/blob/master/docs/gguf.md">GGUF</a>
 */
record Gguf(Map<String, Object> metadata) {
    private static final int MAGIC = 0x46554747;          // "GGUF", little-endian
    private static final int LONGEST_STRING = 1 << 24;    // bytes

    static Gguf read(Path file) {
        try (var in = new DataInputStream(new BufferedInputStream(Files.newInputStream(file), 1 << 16))) {
            return new Gguf(new Reader(in, new LinkedHashMap<>()).read());
        } catch (IOException e) {
            throw new UncheckedIOException("start: " + file + " is no readable GGUF file (" + Machine.reason(e) + ")"
                + "; name another", e);
        }
    }

    /** Reads what stands in the first bytes of a file, as far as they go: what a model is comes before its tokens. */
    static Gguf ofHead(InputStream bytes) throws IOException {
        var reader = new Reader(new DataInputStream(bytes), new LinkedHashMap<>());
        try {
            return new Gguf(reader.read());
        } catch (EOFException end) {
            if (reader.metadata.isEmpty()) throw new IOException("it does not begin with GGUF", end);
            return new Gguf(reader.metadata);
        }
    }

    String text(String key) { return metadata.getOrDefault(key, "").toString(); }

    OptionalDouble number(String key) {
        return metadata.get(key) instanceof Number number ? OptionalDouble.of(number.doubleValue())
            : OptionalDouble.empty();
    }

    String licence() {
        return text("general.license").isEmpty() ? "licence unknown" : "licence " + text("general.license");
    }

    /** The family of models by whose plan the tensors are put together, such as {@code llama}; "" if it is not said. */
    String architecture() { return text("general.architecture"); }

    /** The tokens that the model was trained on at once; without limit if the file does not say. */
    int contextLength() {
        var length = metadata.get(architecture() + ".context_length");
        return length instanceof Number number ? number.intValue() : Integer.MAX_VALUE;
    }

    /** Whether the tokenizer puts a BOS token before every prompt; if the file does not say, as llama.cpp decides. */
    boolean addsBosToken() {
        boolean usual = text("tokenizer.ggml.model").equals("llama")
            || text("tokenizer.ggml.pre").equals("llama-bpe");
        return metadata.getOrDefault("tokenizer.ggml.add_bos_token", usual).equals(true);
    }

    /** Reads the head of a file, value after value; all numbers are little-endian. */
    private record Reader(DataInputStream in, Map<String, Object> metadata) {
        Map<String, Object> read() throws IOException {
            if (int32() != MAGIC) throw new IOException("it does not begin with GGUF");
            int version = int32();
            if (version < 2 || version > 3) throw new IOException("GGUF version " + version);
            in.skipNBytes(Long.BYTES);   // the number of tensors
            for (long left = int64(); left > 0; left--) metadata.put(string(), value(int32()));
            return metadata;
        }

        private Object value(int type) throws IOException {
            return switch (type) {
                case 0, 1 -> (int) in.readByte();
                case 2, 3 -> (int) Short.reverseBytes(in.readShort());
                case 4, 5 -> int32();
                case 6 -> Float.intBitsToFloat(int32());
                case 7 -> in.readByte() != 0;
                case 8 -> string();
                case 9 -> skippedArray();
                case 10, 11 -> int64();
                case 12 -> Double.longBitsToDouble(int64());
                default -> throw new IOException("metadata of unknown type " + type);
            };
        }

        /** Returns the length only, such as {@code [3]}. */
        private String skippedArray() throws IOException {
            int type = int32();
            long length = int64();
            for (long left = length; left > 0; left--) value(type);
            return "[" + length + "]";
        }

        private String string() throws IOException {
            long length = int64();
            if (length < 0 || length > LONGEST_STRING) throw new IOException("a text of " + length + " bytes");
            byte[] text = in.readNBytes((int) length);
            if (text.length < length) throw new EOFException("it ends within a text");
            return new String(text, UTF_8);
        }

        private int int32() throws IOException { return Integer.reverseBytes(in.readInt()); }

        private long int64() throws IOException { return Long.reverseBytes(in.readLong()); }
    }
}
