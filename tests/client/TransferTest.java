package sheaf;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static sheaf.Sheaf.batch;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import sheaf.Sheaf.Draft;
import sheaf.Sheaf.Provider;
import sheaf.Sheaf.Result;
import sheaf.Vocabulary.BatchException;
import sheaf.Vocabulary.Outcome;
import sheaf.support.Printed;

/** Files on their way to a provider and back, over lines that break and servers that cut. */
class TransferTest {
    static final int MB = 1 << 20;
    static final List<String> TEXTS = IntStream.range(0, 6).mapToObj(i -> String.valueOf(i).repeat(500_000)).toList();

    /** How the provider answers one request for the content. */
    interface Answer {
        void to(HttpExchange exchange) throws IOException;
    }

    final Queue<Answer> script = new ArrayDeque<>();                            // then whole, or the rest
    final List<String> ranges = Collections.synchronizedList(new ArrayList<>());  // asked for; "" is all
    final List<byte[]> uploads = Collections.synchronizedList(new ArrayList<>());
    byte[] content = lines(TEXTS);
    String size;                                                                // what the file's bytes are said to be
    final ExecutorService threads = Executors.newCachedThreadPool();
    HttpServer stub;
    @TempDir Path home;

    @BeforeEach void start() throws IOException {
        System.setProperty("SHEAF_HOME", home.toString());
        stub = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        stub.setExecutor(threads);
        stub.createContext("/v1/files", this::upload);
        var batch = "{\"id\":\"b\",\"status\":\"completed\",\"output_file_id\":\"out\"}";
        stub.createContext("/v1/batches", exchange -> send(exchange, 200, exchange.getRequestMethod().equals("GET")
            ? "{\"data\":[]}" : batch));
        stub.createContext("/v1/batches/b", exchange -> send(exchange, 200, batch));
        stub.createContext("/v1/files/out", exchange -> send(exchange, size == null ? 404 : 200,
            "{\"bytes\":" + size + "}"));
        stub.createContext("/v1/files/out/content", this::content);
        stub.start();
    }

    @AfterEach void stop() {
        stub.stop(0);
        threads.shutdownNow();
    }

    @Tag("C35")
    @Test void aDownloadThatBreaksOffGoesOnWhereItBroke() {
        script.add(broken(1_500_000));

        assertEquals(TEXTS, texts());
        assertEquals(List.of("", "bytes=1500000-"), ranges);
        assertEquals(List.of("part-1.jsonl", "part-1.output.jsonl"), names("part-1"));
    }

    @Tag("C35")
    @Test void aLineThatBreaksAgainAndAgainGetsThrough() {
        IntStream.range(0, 6).forEach(i -> script.add(broken(200_000)));

        assertEquals(TEXTS, texts());
        assertEquals("bytes=1200000-", ranges.get(6));
    }

    @Tag("C35")
    @Test void aLineThatBringsNothingMoreEndsInASentenceAndTheNextRunGoesOn() {
        script.add(broken(1_500_000));
        IntStream.range(0, 4).forEach(i -> script.add(broken(0)));

        var fault = assertThrows(UncheckedIOException.class, this::texts);

        assertTrue(fault.getMessage().matches("results: 1500000 of " + content.length
            + " bytes of out came, and then no more \\(.+\\);"
            + " nothing is lost, run again and the rest is fetched"), fault.getMessage());
        assertEquals(5, ranges.size());
        assertEquals(List.of("part-1.jsonl"), names("part-1"));
        assertEquals(TEXTS, texts());
        assertEquals("bytes=" + MB + "-", ranges.get(5));
    }

    @Tag("C35")
    @Test void afterAPowerCutOnlyWhatWasForcedToTheDiskCounts() throws IOException {
        content = lines(IntStream.range(0, 6).mapToObj(i -> (char) ('a' + i) + "z".repeat(500_000)).toList());
        script.add(broken(2 * MB + 700_000));
        script.add(exchange -> send(exchange, 401, "{}"));
        assertThrows(BatchException.class, this::texts);
        var partial = home.resolve("batches").resolve(folder()).resolve(names(".part-1").get(0));
        var torn = Files.readAllBytes(partial);
        Arrays.fill(torn, 2 * MB, torn.length, (byte) 0);
        Files.write(partial, torn);

        texts();

        assertEquals("bytes=" + 2 * MB + "-", ranges.get(2));
        assertEquals(List.of(), names(".part-1"));
    }

    @Tag("C35")
    @Test void aBoundaryItselfMayNotYetBeOnTheDisk() {
        script.add(broken(2 * MB));
        script.add(exchange -> send(exchange, 401, "{}"));
        assertThrows(BatchException.class, this::texts);

        assertEquals(TEXTS, texts());
        assertEquals("bytes=" + MB + "-", ranges.get(2));
    }

    @Tag("C35")
    @Test void aServerThatKnowsNoRangesSendsAllOfItAnew() {
        script.add(broken(1_500_000));
        script.add(exchange -> send(exchange, 200, content, content.length));

        assertEquals(TEXTS, texts());
        assertEquals(2, ranges.size());
    }

    @Tag("C35")
    @Test void aRangeThatIsRefusedOrIsAnotherIsFetchedAnew() {
        script.add(broken(1_500_000));
        script.add(exchange -> send(exchange, 416, "{}"));
        script.add(broken(1_600_000));
        script.add(exchange -> {
            exchange.getResponseHeaders().set("Content-Range", "bytes 0-9/" + content.length);
            send(exchange, 206, Arrays.copyOf(content, 10), 10);
        });

        assertEquals(TEXTS, texts());
        assertEquals(List.of("", "bytes=1500000-", "", "bytes=1600000-", ""), ranges);
    }

    @Test void anInterruptIsASentenceAndTheNextRunGoesOn() {
        var me = Thread.currentThread();
        script.add(exchange -> {
            exchange.sendResponseHeaders(200, content.length);
            exchange.getResponseBody().write(content, 0, 1_500_000);
            exchange.getResponseBody().flush();
            me.interrupt();
            LockSupport.parkNanos(10_000_000_000L);                       // until the test is over
        });

        var fault = assertThrows(IllegalStateException.class, this::texts);

        assertEquals("results: interrupted; run again to go on", fault.getMessage());
        assertTrue(Thread.interrupted());
        assertEquals(TEXTS, texts());
    }

    @Tag("C35")
    @Test void aBadGatewayOnTheContentIsTriedAgain() {
        script.add(exchange -> send(exchange, 502, "<html>Bad Gateway</html>"));

        assertEquals(TEXTS, texts());
    }

    @Tag("C35")
    @Test void anAnswerShorterThanItsFileIsFetchedAnew() {
        size = String.valueOf(content.length);
        script.add(shortened(1_500_000));
        script.add(shortened(length(TEXTS.subList(0, 2))));              // at a line's end

        assertEquals(TEXTS, texts());
        assertEquals(List.of("", "", ""), ranges);
    }

    @Tag("C35")
    @Test void anAnswerThatStaysShortIsASentenceAndNoResult() {
        size = "\"" + content.length + "\"";                              // as kluster writes numbers
        int came = length(TEXTS.subList(0, 2));
        IntStream.of(2, 2, 3, 2).forEach(i -> script.add(shortened(length(TEXTS.subList(0, i)))));

        var fault = assertThrows(UncheckedIOException.class, this::texts);

        assertEquals("results: only " + came + " of " + content.length + " bytes of out came;"
            + " nothing is lost, run again and it is fetched anew", fault.getMessage());
        assertEquals(List.of("part-1.jsonl"), names("part-1"));
        assertEquals(TEXTS, texts());
    }

    @Tag("C35")
    @Test void aSizeThatIsWrongKeepsNoAnswersBack() {
        size = "999999999";

        assertEquals(TEXTS, texts());
        assertEquals(List.of("", "", ""), ranges);
    }

    @Tag("C35")
    @Test void anAnswerCutInALineIsNotTakenHoweverOftenItComes() {
        size = String.valueOf(content.length);
        IntStream.range(0, 4).forEach(i -> script.add(shortened(1_500_000)));

        assertThrows(UncheckedIOException.class, this::texts);
        assertEquals(TEXTS, texts());
    }

    @Tag("C35")
    @Test void aLastLineCutOffIsNoticedWithoutASize() {
        script.add(exchange -> {                                          // only the end of the connection ends it
            exchange.getResponseHeaders().set("Connection", "close");
            send(exchange, 200, Arrays.copyOf(content, 1_500_000), 0);
        });

        assertEquals(TEXTS, texts());
    }

    @Tag("C28")
    @Test void aMissingLastNewlineAndASizeTooSmallCutNothingOff() {
        content = Arrays.copyOf(content, content.length - 1);
        size = "10";

        assertEquals(TEXTS, texts());
        assertEquals(1, ranges.size());
    }

    @Tag("C27")
    @Test void aFileOfNoBytesIsNoResults() {
        content = new byte[0];
        size = "0";

        assertEquals(Map.of(Outcome.MISSING, 6L), ask().submit().results().counts());
        assertEquals(1, ranges.size());
    }

    @DisabledOnOs(OS.WINDOWS)
    @Tag("C35")
    @Test void aFullDiskIsASentenceAndTheNextRunGoesOn() throws Exception {
        var java = Path.of(System.getProperty("java.home"), "bin", "java").toString();
        var child = new ProcessBuilder("sh", "-c", "ulimit -S -f 3000; exec \"$@\"", "sh", java, "-XX:-UsePerfData",
            "-XX:TieredStopAtLevel=1", "-DSHEAF_HOME=" + home, "-cp", System.getProperty("java.class.path"),
            "sheaf.TransferTest", here().baseUrl()).redirectErrorStream(true).start();       // 1.5 or 3 MB a file

        var said = new String(child.getInputStream().readAllBytes(), UTF_8);

        assertTrue(child.waitFor(20, TimeUnit.SECONDS) && child.exitValue() == 1, said);
        assertTrue(said.contains("results: cannot write to " + home + " (file too large)"), said);
        assertEquals(1, ranges.size());
        assertEquals(List.of("part-1.jsonl"), names("part-1"));
        assertEquals(TEXTS, texts());
        assertTrue(ranges.get(1).matches("bytes=[1-9][0-9]+-"), ranges.toString());
    }

    /** Runs in a process of its own. */
    public static void main(String... args) { ask(args[0]).quiet().submit().results(); }

    @Test void anUploadThatBreaksOffIsSentAgainWhole() {
        stub.removeContext("/v1/files");
        stub.createContext("/v1/files", exchange -> {
            stub.removeContext("/v1/files");
            stub.createContext("/v1/files", this::upload);
            exchange.getRequestBody().readNBytes(500_000);
            exchange.close();
        });
        var big = batch().provider(here()).quiet().model("m").prompts("x".repeat(3_000_000));

        big.submit();

        var sent = new String(uploads.get(0), UTF_8);
        var kept = new String(read("part-1.jsonl"), UTF_8);
        assertEquals(kept, sent.substring(sent.indexOf("\r\n\r\n") + 4, sent.indexOf("\n\r\n--") + 1));
    }

    @Test void aSlowTransferShowsTenthsAndAQuietOneNothing() {
        content = lines(List.of("a".repeat(20_000)));
        size = String.valueOf(content.length);
        script.add(this::slowly);
        script.add(this::slowly);
        var loud = ask(here().baseUrl()).name("loud").submit();
        var quiet = ask().name("quiet").submit();

        var said = Printed.stderr(() -> CompletableFuture.allOf(CompletableFuture.runAsync(loud::results),
            CompletableFuture.runAsync(quiet::results)).join()).lines().toList();

        assertTrue(said.size() >= 2, said.toString());
        assertTrue(said.stream().allMatch(line -> line.matches("downloading the answers of part 1 of 1,"
            + " [0-9]+ of 20 kB(, [0-9]s left)?")), said.toString());
        assertEquals(said.size(), said.stream().map(TransferTest::tenth).distinct().count(), said.toString());
    }

    static int tenth(String line) { return Integer.parseInt(line.replaceFirst(".*, ([0-9]+) of 20 kB.*", "$1")) / 2; }

    void content(HttpExchange exchange) throws IOException {
        var range = exchange.getRequestHeaders().getFirst("Range");
        ranges.add(range == null ? "" : range);
        var next = script.poll();
        if (next == null) whole(exchange, content.length);
        else next.to(exchange);
    }

    void upload(HttpExchange exchange) throws IOException {
        boolean lists = exchange.getRequestMethod().equals("GET");
        if (!lists) uploads.add(exchange.getRequestBody().readAllBytes());
        send(exchange, 200, lists ? "{\"data\":[]}" : "{\"id\":\"in\"}");
    }

    /** Breaks off after so many more bytes. */
    Answer broken(int bytes) { return exchange -> whole(exchange, bytes); }

    /** Ends after so many bytes as if that was all. */
    Answer shortened(int bytes) { return exchange -> send(exchange, 200, Arrays.copyOf(content, bytes), bytes); }

    void whole(HttpExchange exchange, int most) throws IOException {
        var range = exchange.getRequestHeaders().getFirst("Range");
        int start = range == null ? 0 : Integer.parseInt(range.replaceAll("[^0-9]", ""));
        if (start > 0) exchange.getResponseHeaders().set("Content-Range",
            "bytes " + start + "-" + (content.length - 1) + "/" + content.length);
        int end = Math.min(content.length, start + most);
        send(exchange, start > 0 ? 206 : 200, Arrays.copyOfRange(content, start, end),
            content.length == 0 ? -1 : content.length - start);
    }

    void slowly(HttpExchange exchange) throws IOException {
        exchange.sendResponseHeaders(200, content.length);
        for (int at = 0; at < content.length; at += 500) {
            exchange.getResponseBody().write(content, at, Math.min(500, content.length - at));
            exchange.getResponseBody().flush();
            LockSupport.parkNanos(90_000_000);
        }
        exchange.close();
    }

    static void send(HttpExchange exchange, int status, String body) throws IOException {
        exchange.getRequestBody().readAllBytes();
        send(exchange, status, body.getBytes(UTF_8), body.length());
    }

    /** Sends bytes; fewer than the length that is announced break off. */
    static void send(HttpExchange exchange, int status, byte[] body, int length) throws IOException {
        exchange.sendResponseHeaders(status, length);
        if (length >= 0) exchange.getResponseBody().write(body);
        exchange.getResponseBody().flush();
        exchange.close();
    }

    static byte[] lines(List<String> texts) {
        var lines = new StringBuilder();
        for (int i = 0; i < texts.size(); i++)
            lines.append("{\"custom_id\":\"request-").append(i + 1)
                .append("\",\"response\":{\"status_code\":200,\"body\":{\"choices\":[{\"message\":{\"content\":\"")
                .append(texts.get(i)).append("\"},\"finish_reason\":\"stop\"}]}}}\n");
        return lines.toString().getBytes(UTF_8);
    }

    static int length(List<String> texts) { return lines(texts).length; }

    Provider here() { return Provider.of("http://127.0.0.1:" + stub.getAddress().getPort() + "/v1"); }

    /** Six requests, which the provider answers at once. */
    static Draft ask(String url) {
        return batch().provider(Provider.of(url)).model("m").name("six").prompts("1", "2", "3", "4", "5", "6");
    }

    Draft ask() { return ask(here().baseUrl()).quiet(); }

    /** What a run of the script says, after a look at what it keeps. */
    List<String> texts() {
        var results = ask().submit().results();
        assertArrayEquals(content, read("part-1.output.jsonl"));
        return results.stream().map(Result::text).toList();
    }

    byte[] read(String name) {
        try {
            return Files.readAllBytes(home.resolve("batches").resolve(folder()).resolve(name));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    String folder() {
        return Stream.of(home.resolve("batches").toFile().list()).filter(name -> !name.startsWith(".")).findFirst()
            .orElseThrow();
    }

    List<String> names(String start) {
        return Stream.of(home.resolve("batches").resolve(folder()).toFile().list())
            .filter(name -> name.startsWith(start)).sorted().toList();
    }
}
