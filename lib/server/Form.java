package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.net.URLDecoder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.regex.Pattern;
import org.eclipse.jetty.http.MultiPart;

/**
 * A multipart form, read as it comes, whatever its parts are for. It stands here because Jetty's parser takes a file
 * twice the time, and may take a byte too much where a piece of the network ends in a boundary.
 *
 * @see <a href="https://www.rfc-editor.org/rfc/rfc7578">RFC 7578</a>
 */
final class Form implements AutoCloseable {
    private static final int MAX_PARTS = 16;
    private static final int MAX_HEAD = 8 * 1024;               // bytes of the headers of a part
    private static final int AROUND = 1024 * 1024;              // bytes of a form beside its largest part
    /** Bytes that are read at once: with 64 KB a large file takes a quarter more time. */
    static final int WINDOW = 256 * 1024;
    private static final Pattern PARAMETER = Pattern.compile(
        ";\\s*([\\w*-]++)\\s*=\\s*(?:\"([^\"\\\\]*+(?:\\\\.[^\"\\\\]*+)*+)\"|([^;]*+))", Pattern.DOTALL);

    private final List<Part> parts = new ArrayList<>();

    /** One part: its name, the name of its file or null, and its content. */
    record Part(String name, String fileName, Arrival content) {
        private static Part of(String disposition, Arrival content) {
            String name = null, fileName = null, extended = null;
            var parameters = PARAMETER.matcher(disposition);
            while (parameters.find()) {
                var value = parameters.group(2) == null ? parameters.group(3).strip()
                    : parameters.group(2).replaceAll("\\\\([\"\\\\])", "$1");
                switch (parameters.group(1).toLowerCase(Locale.ROOT)) {
                    case "name" -> name = value;
                    case "filename" -> fileName = value;
                    case "filename*" -> extended = decoded(value);
                    default -> { }
                }
            }
            return new Part(name, extended == null ? fileName : extended, content);   // RFC 6266, section 4.3
        }

        /** Returns a name as RFC 5987 writes it: utf-8''gr%C3%BC%C3%9Fe.jsonl. */
        private static String decoded(String value) {
            try {
                return URLDecoder.decode(value.replaceFirst("^[^']*'[^']*'", "").replace("+", "%2B"), UTF_8);
            } catch (IllegalArgumentException e) {
                throw malformed("invalid filename*");
            }
        }
    }

    private Form() { }

    /** Reads a form; one with more than {@code most} bytes in a part is refused as given. */
    static Form read(Call call, Store store, long most, Refusal tooLarge) throws IOException {
        var type = call.header("Content-Type");
        if (type == null || !type.toLowerCase(Locale.ROOT).startsWith("multipart/form-data"))
            throw Refusal.invalid(null, null, "Invalid Content-Type header; expected multipart/form-data.");
        if (call.request().getLength() > most + AROUND) throw tooLarge;
        var boundary = MultiPart.extractBoundary(type);
        if (boundary == null || boundary.isEmpty() || boundary.length() > MAX_HEAD)
            throw malformed("its Content-Type has no boundary");
        var form = new Form();
        try {
            new Reader(call, boundary, most, tooLarge).readInto(form.parts, store);
            return form;
        } catch (EOFException cut) {
            form.close();
            throw malformed("unexpected EOF");
        } catch (IOException e) {                                // a full disk, or a stop
            form.close();
            throw new Refusal(500, "The file could not be kept: " + Refusal.reason(e) + ".", null, null);
        } catch (RuntimeException e) {
            form.close();
            throw e;
        }
    }

    private static Refusal malformed(String why) {
        return Refusal.invalid(null, null, "Could not parse multipart form: " + why + ".");
    }

    private Optional<Part> find(String name) {
        return parts.stream().filter(part -> name.equals(part.name)).findFirst();
    }

    /** Returns a part that must be there. */
    Part part(String name) { return find(name).orElseThrow(() -> Refusal.missing(name)); }

    /** Returns the text of a part, or null if there is none. */
    String field(String name) throws IOException {
        var part = find(name);
        if (part.isEmpty()) return null;
        if (part.get().content.length() > Parameters.MAX_FIELD)
            throw Refusal.invalid(name, "invalid_value", "Value of '" + name + "' is too long.");
        return part.get().content.text();
    }

    /** Returns the seconds of an {@code expires_after}: a field for each of its keys, or one with both. */
    Long seconds(String param, int least) throws IOException {
        var whole = field(param);
        if (whole != null) return Parameters.seconds(param, whole, least);
        return Parameters.seconds(param, field(param + "[anchor]"), field(param + "[seconds]"), least);
    }

    @Override public void close() throws IOException {
        for (var part : parts) part.content.close();
    }

    /** Reads a body, a window of bytes at a time. */
    private static final class Reader {
        private final InputStream in;
        private final byte[] delimiter;                          // with the newline before it, which is no content
        private final int[] skips = new int[256];                // Horspool's: how far a byte lets a search go on
        private final byte[] window;
        private final long most;
        private final Refusal tooLarge;
        private long left;                                       // bytes that the body may still have
        private int from;                                        // of what was not yet taken, in the window
        private int to;

        Reader(Call call, String boundary, long most, Refusal tooLarge) {
            long length = call.request().getLength();            // -1 if it is not said
            this.window = new byte[(int) (length < 0 ? WINDOW : Math.min(length, WINDOW)) + 2 * MAX_HEAD];
            this.in = call.content();
            this.delimiter = ("\n--" + boundary).getBytes(UTF_8);
            this.most = most;
            this.tooLarge = tooLarge;
            this.left = most + AROUND;
            Arrays.fill(skips, delimiter.length);
            for (int i = 0; i < delimiter.length - 1; i++) skips[delimiter[i] & 0xff] = delimiter.length - 1 - i;
            window[to++] = '\n';                                 // the first boundary may have none before it
        }

        void readInto(List<Part> parts, Store store) throws IOException {
            passBoundary(null);                                  // what comes before the first is for nobody
            while (!isLast()) {
                if (parts.size() == MAX_PARTS) throw malformed("it has more than " + MAX_PARTS + " parts");
                var part = Part.of(disposition(), new Arrival(store));
                parts.add(part);
                from--;                                          // the newline of the empty line may be a boundary's
                passBoundary(part.content);
            }
            while (fill()) from = to;
        }

        /** Goes past what follows a boundary, and returns whether that was the last one. */
        private boolean isLast() throws IOException {
            while (to - from < 2) require();
            if (window[from] == '-' && window[from + 1] == '-') {
                from = to;
                return true;
            }
            if (!line().isBlank()) throw malformed("bad boundary");
            return false;
        }

        /** Reads the headers of a part, and returns the one that says what the part is. */
        private String disposition() throws IOException {
            var disposition = "";
            int length = 0;
            for (var line = line(); !line.isEmpty(); line = line()) {
                length += line.length();
                if (length > MAX_HEAD) throw malformed("its headers are too long");
                int colon = line.indexOf(':');
                if (colon < 1) throw malformed("invalid header");
                if (line.substring(0, colon).strip().equalsIgnoreCase("Content-Disposition"))
                    disposition = line.substring(colon + 1);
            }
            return disposition;
        }

        private String line() throws IOException {
            int length = 0;
            while (true) {
                while (from + length == to) require();
                if (window[from + length] == '\n') break;
                if (++length > MAX_HEAD) throw malformed("its headers are too long");
            }
            var line = new String(window, from, length, UTF_8).stripTrailing();
            from += length + 1;
            return line;
        }

        /** Hands on what stands before the next boundary, but for the newline where it begins, and goes past both. */
        private void passBoundary(Arrival content) throws IOException {
            int newline = 1;
            while (true) {
                int found = find();
                int end = found >= 0 ? found : Math.max(from, to - delimiter.length);
                if (end > from && window[end - 1] == '\r') end--;
                int begin = Math.min(from + newline, end);
                if (content != null) content.write(window, begin, end - begin);
                if (content != null && content.length() > most) throw tooLarge;
                if (end > from) newline = 0;
                from = found >= 0 ? found + delimiter.length : end;
                if (found >= 0) return;
                require();
            }
        }

        private int find() {
            int last = delimiter.length - 1;
            for (int at = from + last; at < to; at += skips[window[at] & 0xff])
                if (window[at] == delimiter[last]
                    && Arrays.equals(window, at - last, at + 1, delimiter, 0, delimiter.length)) return at - last;
            return -1;
        }

        private void require() throws IOException {
            if (!fill()) throw new EOFException();
        }

        /** Reads what comes next behind what was not yet taken, and returns false where the body ends. */
        private boolean fill() throws IOException {
            System.arraycopy(window, from, window, 0, to - from);
            to -= from;
            from = 0;
            int read = in.read(window, to, window.length - to);
            if (read < 0) return false;
            to += read;
            left -= read;
            if (left < 0) throw tooLarge;
            return true;
        }
    }
}
