package sheaf.model;

import static java.nio.file.StandardOpenOption.APPEND;
import static java.nio.file.StandardOpenOption.CREATE;
import static java.nio.file.StandardOpenOption.TRUNCATE_EXISTING;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.InetSocketAddress;
import java.net.Proxy;
import java.net.URI;
import java.net.URLConnection;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Objects;

/**
 * Fetches a known model from Hugging Face, or from the mirror that HF_ENDPOINT names. A broken download is resumed,
 * also by a later process. It does not know what becomes of the file.
 */
final class HuggingFace implements KnownModel.Source {
    private static final int CONNECT_MILLIS = 4_000;     // on many machines the host cannot be reached at all
    private static final int SILENCE_MILLIS = 20_000;
    private static final int REDIRECTS = 5;

    private final KnownModel model;
    private final URI endpoint =
        URI.create(Environment.setting("HF_ENDPOINT").orElse("https://huggingface.co").replaceAll("/+$", ""));

    HuggingFace(KnownModel model) { this.model = model; }

    @Override public String name() { return endpoint.getHost(); }

    @Override public String suffix() { return ".part"; }

    @Override public void fetch(Path part) throws IOException {
        if (size(part) > model.bytes()) Files.delete(part);
        while (size(part) < model.bytes()) extend(part);
    }

    /** Reads on from where the file ends; throws only if that got nothing. */
    private void extend(Path part) throws IOException {
        long before = size(part);
        var failure = new IOException("the file ended after " + before + " of " + model.bytes() + " bytes");
        try {
            read(part, before);
        } catch (IOException e) {
            failure = e;
        }
        if (size(part) <= before) throw failure;
    }

    private void read(Path part, long offset) throws IOException {
        var connection = open(offset);
        boolean resumed = connection.getResponseCode() == HttpURLConnection.HTTP_PARTIAL;
        try (var in = connection.getInputStream();
                var out = Files.newOutputStream(part, CREATE, resumed ? APPEND : TRUNCATE_EXISTING)) {
            new Progress(model, resumed ? offset : 0).copy(in, out);
        }
    }

    private HttpURLConnection open(long offset) throws IOException {
        var uri = URI.create(String.join("/", endpoint.toString(),
            model.repository(), "resolve", model.commit(), model.fileName()));
        for (int hop = 0; hop < REDIRECTS; hop++) {
            var connection = request(uri, offset);
            int status = connection.getResponseCode();
            if (status == 200 || status == 206) return connection;
            var location = connection.getHeaderField("Location");
            if (status / 100 != 3 || location == null) throw new IOException("GET " + uri + " answered " + status);
            uri = uri.resolve(location);
        }
        throw new IOException("more than " + REDIRECTS + " redirects");
    }

    private HttpURLConnection request(URI uri, long offset) throws IOException {
        var connection = (HttpURLConnection) connect(uri);
        connection.setConnectTimeout(CONNECT_MILLIS);
        connection.setReadTimeout(SILENCE_MILLIS);
        connection.setInstanceFollowRedirects(false);   // it would send the token on to another host
        connection.setRequestProperty("Range", "bytes=" + offset + "-");
        if (Objects.equals(uri.getAuthority(), endpoint.getAuthority()))
            Environment.setting("HF_TOKEN").ifPresent(token ->
                connection.setRequestProperty("Authorization", "Bearer " + token));
        return connection;
    }

    /** Java has its own settings for a proxy; the variable that other tools read counts too. */
    private static URLConnection connect(URI uri) throws IOException {
        var proxy = Environment.setting("HTTPS_PROXY").or(() -> Environment.setting("https_proxy")).map(URI::create)
            .filter(address -> uri.getScheme().equals("https") && address.getHost() != null);
        if (proxy.isEmpty()) return uri.toURL().openConnection();
        int port = proxy.get().getPort() < 0 ? 80 : proxy.get().getPort();
        var address = new InetSocketAddress(proxy.get().getHost(), port);
        return uri.toURL().openConnection(new Proxy(Proxy.Type.HTTP, address));
    }

    private static long size(Path file) { return file.toFile().length(); }

    /** Shows how far the download of a model is: a bar on a terminal, else a line for every tenth. */
    private static final class Progress {
        private static final int WIDTH = 30;   // of the bar, in characters

        private final boolean terminal = System.console() != null;
        private final KnownModel model;
        private long done;         // bytes
        private long shown = -1;   // tenths, or per cent on a terminal

        Progress(KnownModel model, long done) {
            this.model = model;
            this.done = done;
        }

        void copy(InputStream in, OutputStream out) throws IOException {
            byte[] buffer = new byte[1 << 16];
            for (int n = in.read(buffer); n >= 0; n = in.read(buffer)) {
                out.write(buffer, 0, n);
                done += n;
                show();
            }
        }

        private void show() {
            long step = done * (terminal ? 100 : 10) / model.bytes();
            if (step == shown) return;
            shown = step;
            if (terminal) System.err.print(bar(step) + (done == model.bytes() ? "\n" : ""));
            else System.err.println("sheaf: " + step * 10 + " % of " + model.size());
        }

        private String bar(long percent) {
            int filled = (int) percent * WIDTH / 100;
            return "\rsheaf: [" + "#".repeat(filled) + " ".repeat(WIDTH - filled) + "] " + percent + " % of "
                + model.size();
        }
    }
}
