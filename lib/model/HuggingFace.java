package sheaf.model;

import static java.nio.file.StandardOpenOption.APPEND;
import static java.nio.file.StandardOpenOption.CREATE;
import static java.nio.file.StandardOpenOption.TRUNCATE_EXISTING;

import java.io.IOException;
import java.net.HttpURLConnection;
import java.net.InetSocketAddress;
import java.net.Proxy;
import java.net.URI;
import java.net.URLConnection;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Objects;
import java.util.Optional;

/**
 * A file at Hugging Face, or at the mirror that HF_ENDPOINT names; the commit may be {@code main}, the newest.
 * A broken download is resumed, also by a later process.
 */
record HuggingFace(String repository, String commit, String fileName) implements Download {
    private static final int CONNECT_MILLIS = 4_000;     // on many machines the host cannot be reached at all
    private static final int SILENCE_MILLIS = 20_000;    // then the connection counts as broken
    private static final int REDIRECTS = 5;
    private static final int HEAD = 1 << 16;             // bytes, in which a GGUF says what it is

    /** What the hub says of a file: its checksum, its size, and what stands at its beginning. */
    record Facts(String sha256, long bytes, Gguf header) { }

    /** A response, and the headers of the hub on the way to it. */
    private record Response(HttpURLConnection connection, Optional<String> etag, Optional<String> size) { }

    @Override public String name() { return endpoint().getHost(); }

    @Override public String suffix() { return ".part"; }

    private static URI endpoint() {
        return URI.create(Machine.setting("HF_ENDPOINT").orElse("https://huggingface.co").replaceAll("/+$", ""));
    }

    /**
     * Asks for the checksum, the size and the head of the file, and no more of it.
     * @throws IOException also if the hub names no SHA-256 for the file
     */
    Facts look() throws IOException {
        var response = open("bytes=0-" + (HEAD - 1));
        try (var in = response.connection().getInputStream()) {
            var sha256 = response.etag().map(etag -> etag.replace("\"", "")).filter(tag -> tag.matches("[0-9a-f]{64}"))
                .orElseThrow(() -> new IOException("it names no SHA-256 of " + fileName));
            long bytes = response.size().map(Long::valueOf)
                .orElseThrow(() -> new IOException("it names no size of " + fileName));
            return new Facts(sha256, bytes, Gguf.ofHead(in));
        }
    }

    @Override public void fetch(Path file, long bytes, Runnable begins) throws IOException {
        if (size(file) > bytes) Files.delete(file);
        for (var first = begins; size(file) < bytes; first = () -> { }) extend(file, bytes, first);
    }

    /** Reads on from where the file ends; throws only if nothing more came. */
    private void extend(Path file, long bytes, Runnable begins) throws IOException {
        long before = size(file);
        var failure = new IOException("the file ended after " + before + " of " + bytes + " bytes");
        try {
            read(file, before, bytes, begins);
        } catch (IOException e) {
            failure = e;
        }
        if (size(file) <= before) throw failure;
    }

    private void read(Path file, long offset, long bytes, Runnable begins) throws IOException {
        var connection = open("bytes=" + offset + "-").connection();
        boolean resumed = connection.getResponseCode() == HttpURLConnection.HTTP_PARTIAL;
        begins.run();
        try (var in = connection.getInputStream();
                var out = Files.newOutputStream(file, CREATE, resumed ? APPEND : TRUNCATE_EXISTING)) {
            new Progress(bytes, resumed ? offset : 0).copy(in, out);
        }
    }

    private Response open(String range) throws IOException {
        var uri = URI.create(endpoint() + "/" + String.join("/", repository, "resolve", commit, fileName));
        var etag = Optional.<String>empty();
        var size = Optional.<String>empty();
        for (int hop = 0; hop < REDIRECTS; hop++) {
            var connection = request(uri, range);
            int status = connection.getResponseCode();
            etag = etag.or(() -> Optional.ofNullable(connection.getHeaderField("X-Linked-Etag")));
            size = size.or(() -> Optional.ofNullable(connection.getHeaderField("X-Linked-Size")));
            if (status == 200 || status == 206) return new Response(connection, etag, size);
            var location = connection.getHeaderField("Location");
            if (status / 100 != 3 || location == null) throw new IOException("GET " + uri + " answered " + status);
            uri = uri.resolve(location);
        }
        throw new IOException("more than " + REDIRECTS + " redirects");
    }

    private static HttpURLConnection request(URI uri, String range) throws IOException {
        var connection = (HttpURLConnection) connect(uri);
        connection.setConnectTimeout(CONNECT_MILLIS);
        connection.setReadTimeout(SILENCE_MILLIS);
        connection.setInstanceFollowRedirects(false);   // it would send the token on to another host
        connection.setRequestProperty("Range", range);
        if (Objects.equals(uri.getAuthority(), endpoint().getAuthority()))
            Machine.setting("HF_TOKEN").ifPresent(token ->
                connection.setRequestProperty("Authorization", "Bearer " + token));
        return connection;
    }

    /** Java reads a proxy from system properties only; other tools take it from a variable, so that counts too. */
    private static URLConnection connect(URI uri) throws IOException {
        var proxy = Machine.setting("HTTPS_PROXY").or(() -> Machine.setting("https_proxy")).map(URI::create)
            .filter(address -> uri.getScheme().equals("https") && address.getHost() != null);
        if (proxy.isEmpty()) return uri.toURL().openConnection();
        int port = proxy.get().getPort() < 0 ? 80 : proxy.get().getPort();
        var address = new InetSocketAddress(proxy.get().getHost(), port);
        return uri.toURL().openConnection(new Proxy(Proxy.Type.HTTP, address));
    }

    private static long size(Path file) { return file.toFile().length(); }
}
