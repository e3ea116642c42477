package sheaf.server;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.FilterInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeoutException;
import java.util.regex.Pattern;
import org.eclipse.jetty.http.HttpHeader;
import org.eclipse.jetty.io.ByteBufferPool;
import org.eclipse.jetty.io.Content;
import org.eclipse.jetty.server.Request;
import org.eclipse.jetty.server.Response;
import org.eclipse.jetty.util.Callback;
import org.eclipse.jetty.util.URIUtil;

/**
 * One HTTP request and its response; {@code id} is that of the file, batch or model which the path names, or null. It
 * knows bodies and headers, but no endpoint.
 */
record Call(Request request, Response response, Callback callback, String path, String id) {
    static final int PIECE = 64 * 1024;                    // bytes of a file that are read or written at once
    static final long MAX_SKIPPED = 1024L * 1024 * 1024;   // bytes that are read to let the client hear why

    private static final Refusal SILENT = new Refusal(408, "The request timed out: no more of its body came.", null,
        null);

    /** Which bytes of a file are wanted, both ends included (RFC 9110, section 14). */
    record Range(boolean partial, long first, long last) {
        private static final Pattern BYTES = Pattern.compile("(?i)bytes=(?:(\\d{1,18})-(\\d{0,18})|-(\\d{1,18}))");

        private static Range of(String header, long size) {
            var asked = BYTES.matcher(header == null ? "" : header.strip());
            if (!asked.matches()) return new Range(false, 0, size - 1);
            if (asked.group(3) != null)
                return new Range(true, Math.max(0, size - Long.parseLong(asked.group(3))), size - 1);
            long first = Long.parseLong(asked.group(1));
            long last = asked.group(2).isEmpty() ? size - 1 : Long.parseLong(asked.group(2));
            boolean valid = asked.group(2).isEmpty() || last >= first;    // else the header does not count
            return valid ? new Range(true, first, Math.min(last, size - 1)) : new Range(false, 0, size - 1);
        }

        private boolean isBeyond(long size) { return partial && first >= size; }

        private long length() { return last - first + 1; }
    }

    Call(Request request, Response response, Callback callback, String path) {
        this(request, response, callback, path, null);
    }

    Call withId(String rawId) { return new Call(request, response, callback, path, URIUtil.decodePath(rawId)); }

    String method() { return request.getMethod(); }

    String header(String name) { return request.getHeaders().get(name); }

    String query(String name, String otherwise) {
        var value = Request.extractQueryParameters(request).getValue(name);
        return value == null ? otherwise : value;
    }

    /** Returns the body as it comes; a client that says no more before its end is refused. */
    InputStream content() {
        return new FilterInputStream(Content.Source.asInputStream(request)) {
            @Override public int read(byte[] bytes, int from, int most) throws IOException {
                try {
                    return super.read(bytes, from, most);
                } catch (IOException e) {
                    if (e.getCause() instanceof TimeoutException) throw SILENT;
                    throw e;
                }
            }
        };
    }

    byte[] body(int limit) throws IOException {
        var body = content().readNBytes(limit + 1);
        if (body.length > limit)
            throw new Refusal(413, "Request body is too large: at most " + limit + " bytes.", null, null);
        return body;
    }

    /**
     * Reads what is left of a body, unless that is more than the limit, and returns whether nothing is left. A client
     * that is cut off while it sends would not hear the answer; one that asks first by Expect has not begun to send.
     */
    boolean skipBody(long limit) {
        if (request.getLength() == 0) return true;
        if (request.getLength() > limit || request.getHeaders().contains(HttpHeader.EXPECT)) return false;
        var body = Content.Source.asInputStream(request);
        var buffer = new byte[64 * 1024];
        try {
            for (long left = limit; left > 0; ) {
                int read = body.read(buffer);
                if (read < 0) return true;
                left -= read;
            }
        } catch (IOException gone) {
            // the client has gone, or Jetty has given the body up
        }
        return false;
    }

    /** Returns the JSON object that a body must be. */
    ObjectNode object(byte[] body) throws IOException {
        try {
            if (Json.parsed(body) instanceof ObjectNode object) return object;
        } catch (JsonProcessingException notJson) {
            // it is refused below, like JSON that is no object
        }
        throw Refusal.invalid(null, null, "We could not parse the JSON body of your request.");
    }

    void send(JsonNode body) { send(200, body); }

    void send(int status, JsonNode body) { send(status, "application/json", Json.bytes(body)); }

    void send(int status, String type, byte[] bytes) {
        response.setStatus(status);
        response.getHeaders().put(HttpHeader.CONTENT_TYPE, type);
        response.getHeaders().put(HttpHeader.CONTENT_LENGTH, bytes.length);
        response.write(true, ByteBuffer.wrap(bytes), callback);
    }

    void sendFile(Path path) throws IOException {
        long size = Files.size(path);
        var range = Range.of(header("Range"), size);
        if (range.isBeyond(size)) {
            response.getHeaders().put(HttpHeader.CONTENT_RANGE, "bytes */" + size);
            throw new Refusal(416, "The file has only " + size + " bytes.", null, null);
        }
        if (range.partial)
            response.getHeaders().put(HttpHeader.CONTENT_RANGE,
                "bytes " + range.first + "-" + range.last + "/" + size);
        response.setStatus(range.partial ? 206 : 200);
        response.getHeaders().put(HttpHeader.ACCEPT_RANGES, "bytes");
        response.getHeaders().put(HttpHeader.CONTENT_TYPE, "application/octet-stream");
        response.getHeaders().put(HttpHeader.CONTENT_LENGTH, range.length());
        var pool = new ByteBufferPool.Sized(request.getComponents().getByteBufferPool(), true, PIECE);
        Content.copy(Content.Source.from(pool, path, range.first, range.length()), response, callback);
    }

    /** Closes the connection without an answer. */
    void hangUp() {
        request.getConnectionMetaData().getConnection().getEndPoint().close();
        callback.failed(new IOException("hung up, as a test wants it"));
    }

    @Override public String toString() { return method() + " " + path.replaceFirst("(?<=.)/$", ""); }
}
