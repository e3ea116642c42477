package sheaf.bench;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;
import static sheaf.support.RawClient.HTTP;
import static sheaf.support.RawClient.JSON;
import static sheaf.support.RawClient.json;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import sheaf.Sheaf.Provider;
import sheaf.server.BatchServer;
import sheaf.support.Project;
import sheaf.support.RawClient;
import sheaf.support.ServerProcess;

/**
 * Measures a server in a JVM of its own with a heap of 256 MB. What it does is checked, byte by byte and line by line;
 * how long it takes is set against something plain in the same run, because no two machines are alike.
 */
final class ServerBench {
    static final Size FULL = new Size(100_000, 200, 50, 4);
    private static final String HEAP = "-Xmx256m";
    private static final String[] JAVA = {HEAP, "-XX:TieredStopAtLevel=1", "-XX:+NeverActAsServerClassMachine"};
    private static final String BOUNDARY = "6f1d0c3b9a8e4f27b5c1d2e3f4a5b6c7";     // as long as that of Python's httpx
    private static final int BATCH = 50_000;               // lines: more a batch may not have
    private static final int ENDS = 10;                    // batches that are waited for
    private static final int MEGABYTE = 1_000_000;

    /** How much is measured: lines, megabytes of one file, clients at once, and megabytes of each one's file. */
    record Size(int lines, int megabytes, int clients, int each) {}

    private interface Work {
        void run() throws Exception;
    }

    private final Path folder;
    private final Size size;
    private final List<String> rows = new ArrayList<>();
    private ServerProcess server;
    private final RawClient client = new RawClient(() -> server.url());

    ServerBench(Path folder, Size size) {
        this.folder = folder;
        this.size = size;
    }

    /** Runs all of it, and prints a table. */
    void run(PrintStream out) throws Exception {
        with(this::lines);
        with(this::file);
        with(this::clients);
        end();
        out.printf(Locale.ROOT, "%-34s %10s  %-8s  %s%n", "server, " + HEAP, "measured", "unit", "compared");
        rows.forEach(out::println);
    }

    private void row(String what, double value, String unit, String compared) {
        rows.add(String.format(Locale.ROOT, "%-34s %10.1f  %-8s  %s", what, value, unit, compared));
    }

    /** Gives a piece of work a new server, so that its memory is its own. */
    private void with(Work work) throws Exception {
        var store = Files.createTempDirectory(folder, "store").resolve("store");
        server = ServerProcess.start(store, "echo", JAVA);
        try {
            server.url();
            work.run();
        } finally {
            server.stop();
            Project.deleteTree(store.getParent());
        }
    }

    private void lines() throws Exception {
        var input = inputFile(size.lines);
        parse(input);                                      // once before, for the compilers of both sides
        finish(List.of(uploaded(parts(input).get(0), "batch")));
        double parsing = seconds(() -> parse(input));
        var ids = new ArrayList<String>();
        for (var part : parts(input)) ids.add(uploaded(part, "batch"));
        var batches = new ArrayList<JsonNode>();
        double running = seconds(() -> batches.addAll(finish(ids)));
        int lines = 0;
        for (var batch : batches) lines += checkedLines(batch);
        assertEquals(size.lines, lines);
        row("lines through the echo engine", size.lines / running, "lines/s",
            ratio(parsing / running) + " of one thread that parses and writes the same JSON");
        memory("  memory at its peak");
    }

    private Path inputFile(int lines) throws IOException {
        var input = folder.resolve("input.jsonl");
        try (var out = Files.newBufferedWriter(input)) {
            for (int i = 1; i <= lines; i++)
                out.write("{\"custom_id\":\"request-" + i + "\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\","
                    + "\"body\":" + RawClient.body("Summarize review " + i + ": the soup was cold, gr\u00fc\u00dfe")
                    + "}\n");
        }
        return input;
    }

    /** Cuts a file into as many as the batches that its lines need. */
    private List<Path> parts(Path input) throws IOException {
        var parts = new ArrayList<Path>();
        try (var in = Files.newBufferedReader(input)) {
            for (var line = in.readLine(); line != null; ) {
                var part = folder.resolve("part-" + parts.size() + ".jsonl");
                try (var out = Files.newBufferedWriter(part)) {
                    for (int i = 0; i < BATCH && line != null; i++, line = in.readLine())
                        out.append(line).append('\n');
                }
                parts.add(part);
            }
        }
        return parts;
    }

    private void parse(Path input) throws IOException {
        try (var in = Files.newBufferedReader(input);
                var out = Files.newOutputStream(folder.resolve("parsed"))) {
            for (String line; (line = in.readLine()) != null; ) out.write(JSON.writeValueAsBytes(JSON.readTree(line)));
        }
    }

    private List<JsonNode> finish(List<String> files) {
        var batches = files.stream()
            .map(file -> json(client.create(RawClient.batch(file))).get("id").asText()).toList();
        return batches.stream().map(this::finished).toList();
    }

    private JsonNode finished(String id) {
        while (true) {
            var batch = client.found(id);
            if (!batch.get("completed_at").isNull()) return batch;
            assertTrue(batch.get("failed_at").isNull(), batch::toString);
            LockSupport.parkNanos(Duration.ofMillis(20).toNanos());
        }
    }

    private int checkedLines(JsonNode batch) throws IOException, InterruptedException {
        var request = content(batch.get("output_file_id").asText());
        int lines;
        try (var output = HTTP.send(request, HttpResponse.BodyHandlers.ofLines()).body()) {
            lines = (int) output.count();
        }
        assertEquals("{\"total\":" + lines + ",\"completed\":" + lines + ",\"failed\":0}",
            batch.get("request_counts").toString());
        return lines;
    }

    private HttpRequest content(String id) { return client.request("/files/" + id + "/content").build(); }

    private void file() throws Exception {
        var file = randomFile("large", size.megabytes);
        download(uploaded(randomFile("small", size.each), "user_data"), folder.resolve("once"));   // for the compiler
        double copying = seconds(() -> copy(file, folder.resolve("copy")));
        var id = new ArrayList<String>();
        double up = seconds(() -> id.add(uploaded(file, "user_data")));
        var back = folder.resolve("back");
        double down = seconds(() -> download(id.get(0), back));
        assertEquals(-1, Files.mismatch(file, back), "the file has changed");
        row("upload of " + size.megabytes + " MB", size.megabytes / up, "MB/s",
            ratio(copying / up) + " of a copy with fsync");
        row("download of it", size.megabytes / down, "MB/s", ratio(copying / down) + " of the same");
        memory("  memory at its peak");
    }

    private Path randomFile(String name, int megabytes) throws IOException {
        var file = folder.resolve(name);
        var bytes = new byte[MEGABYTE];
        var random = new Random(name.hashCode());
        try (var out = Files.newOutputStream(file)) {
            for (int i = 0; i < megabytes; i++) {
                random.nextBytes(bytes);
                out.write(bytes);
            }
        }
        return file;
    }

    private static void copy(Path from, Path to) throws IOException {
        Files.copy(from, to);
        try (var copy = FileChannel.open(to, StandardOpenOption.WRITE)) {
            copy.force(true);
        }
    }

    private String uploaded(Path file, String purpose) throws IOException {
        var form = "--" + BOUNDARY + "\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\n" + purpose
            + "\r\n--" + BOUNDARY + "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"in.jsonl\"\r\n\r\n";
        var end = "\r\n--" + BOUNDARY + "--\r\n";
        try (var socket = asked("POST", "/files", "Content-Type: multipart/form-data; boundary=" + BOUNDARY + "\r\n"
            + "Content-Length: " + (form.length() + Files.size(file) + end.length()) + "\r\n")) {
            send(socket, form);
            try (var content = FileChannel.open(file)) {
                for (long sent = 0; sent < content.size(); )
                    sent += content.transferTo(sent, content.size() - sent, socket);
            }
            send(socket, end);
            var in = socket.socket().getInputStream();
            assertEquals(200, status(in));
            var answer = JSON.readTree(in);
            assertEquals(Files.size(file), answer.get("bytes").asLong());
            return answer.get("id").asText();
        }
    }

    private void download(String id, Path to) throws IOException {
        try (var socket = asked("GET", "/files/" + id + "/content", "");
                var file = FileChannel.open(to, StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
            assertEquals(200, status(socket.socket().getInputStream()));
            var buffer = ByteBuffer.allocateDirect(MEGABYTE / 4);
            while (socket.read(buffer.clear()) >= 0) file.write(buffer.flip());
        }
    }

    /** Sends the head of a request. Files go by plain sockets: the JDK's client would take longer than the server. */
    private SocketChannel asked(String method, String path, String headers) throws IOException {
        var url = URI.create(server.url());
        var socket = SocketChannel.open(new InetSocketAddress(url.getHost(), url.getPort()));
        send(socket, method + " " + url.getPath() + path + " HTTP/1.1\r\nHost: " + url.getAuthority()
            + "\r\nConnection: close\r\n" + headers + "\r\n");
        return socket;
    }

    private static void send(SocketChannel socket, String text) throws IOException {
        socket.write(ByteBuffer.wrap(text.getBytes(UTF_8)));
    }

    /** Reads the head of a response, byte by byte to take nothing of what follows, and returns its status. */
    private static int status(InputStream in) throws IOException {
        var head = new StringBuilder();
        for (int next; head.indexOf("\r\n\r\n") < 0 && (next = in.read()) >= 0; ) head.append((char) next);
        return Integer.parseInt(head.substring("HTTP/1.1 ".length(), "HTTP/1.1 200".length()));
    }

    private void clients() throws Exception {
        for (int i = 0; i < 3; i++)
            smallBatch();                                  // for the compilers of both sides
        double alone = seconds(this::smallBatch);
        double together = seconds(() -> atOnce(this::smallBatch));
        row(size.clients + " clients, a batch each", size.clients / together, "batch/s",
            ratio(size.clients * alone / together) + " of one client that goes on alone");
        var file = randomFile("each", size.each);
        double copying = seconds(() -> {
            for (int i = 0; i < size.clients; i++) copy(file, folder.resolve("copy-" + i));
        });
        double uploading = seconds(() -> atOnce(() -> checkUpload(file)));
        row(size.clients + " uploads of " + size.each + " MB at once", size.clients * size.each / uploading, "MB/s",
            ratio(copying / uploading) + " of copies with fsync, one by one; each was downloaded again");
        memory("  memory at its peak");
    }

    /** Uploads, creates, polls and downloads. */
    private void smallBatch() throws IOException, InterruptedException {
        var id = client.create(RawClient.lines("one", "two", "three", "four", "five"));
        assertEquals(5, checkedLines(finished(id)));
    }

    private void checkUpload(Path file) throws IOException, InterruptedException {
        var id = uploaded(file, "user_data");
        var back = HTTP.send(content(id), HttpResponse.BodyHandlers.ofByteArray()).body();
        assertTrue(MessageDigest.isEqual(Files.readAllBytes(file), back), "the file has changed");
    }

    /** How long a script that waits for a batch of this machine takes to have its results, once the last is answered. */
    private void end() {
        var random = new Random(7);
        var answered = new AtomicLong();
        var millis = new ArrayList<Double>();
        try (var slow = BatchServer.start().reply(text -> {
            LockSupport.parkNanos(Duration.ofMillis(random.nextInt(200, 700)).toNanos());
            answered.set(System.nanoTime());
            return text;
        })) {
            for (int i = 0; i < ENDS; i++) {
                batch().provider(Provider.of(slow.baseUrl())).quiet().model("m").prompts("hi " + System.nanoTime())
                    .submit().results();
                millis.add((System.nanoTime() - answered.get()) / 1e6);
            }
        }
        Collections.sort(millis);
        row("end of a local batch to results", millis.get(ENDS / 2), "ms",
            String.format(Locale.ROOT, "the slowest of %d took %.0f ms", ENDS, millis.get(ENDS - 1)));
    }

    private void atOnce(Work work) throws Exception {
        var threads = Executors.newFixedThreadPool(size.clients);
        Callable<Void> call = () -> {
            work.run();
            return null;
        };
        for (var each : threads.invokeAll(Collections.nCopies(size.clients, call))) each.get();
        threads.shutdown();
    }

    private static double seconds(Work work) throws Exception {
        long start = System.nanoTime();
        work.run();
        return (System.nanoTime() - start) / 1e9;
    }

    private static String ratio(double ratio) { return String.format(Locale.ROOT, "%.2f", ratio); }

    /** Adds what the server's process ever held in memory, where the system tells. */
    private void memory(String what) throws IOException {
        var status = Path.of("/proc", String.valueOf(server.pid()), "status");
        if (!Files.exists(status)) {
            rows.add(what + ": this system does not tell");
            return;
        }
        var peak = Files.readAllLines(status).stream().filter(line -> line.startsWith("VmHWM")).findFirst()
            .orElseThrow().replaceAll("\\D", "");
        row(what, Long.parseLong(peak) / 1024.0, "MiB", "");
    }
}
