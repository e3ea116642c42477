package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;
import static sheaf.support.RawClient.await;
import static sheaf.support.RawClient.json;
import static sheaf.support.RawClient.lines;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import sheaf.support.Kills;
import sheaf.support.Opened;
import sheaf.support.RawClient;
import sheaf.support.ServerProcess;

/** What a kill, a signal and a full disk do to files and batches: nothing. */
@Tag("apart")
class DurabilityTest {
    @TempDir Path folder;
    final AtomicInteger asked = new AtomicInteger();
    @AutoClose final Opened open = new Opened();
    volatile Runnable thinking = () -> {};              // of the engine, before each answer
    ServerProcess process;
    BatchServer server;
    final RawClient client = new RawClient(() -> server != null ? server.baseUrl() : process.url());

    @AfterEach void close() throws Exception {
        if (process != null && !process.isEnded()) process.kill();
        if (server != null) server.close();
    }

    @Tag("S24") @Tag("S4") @Tag("S14") @Tag("S15") @Tag("S16") @Tag("S22")
    @Test void killedAtAnyMomentItLosesNothingAndDoesNothingTwice() throws Exception {
        long seed = Long.getLong("sheaf.kills.seed", ThreadLocalRandom.current().nextLong());

        new Kills(seed, store()).run(Integer.getInteger("sheaf.kills", 12));
    }

    @DisabledOnOs(OS.WINDOWS)         // it has no SIGTERM
    @Tag("S24")
    @Test void aSignalLetsTheAnswersUnderWayBeWritten() throws IOException {
        var engine = engine("yes");
        process = ServerProcess.start(store(), engine);
        var id = client.create(manyLines(1_000));
        for (int enough : new int[] {100, 300}) {
            await(() -> client.counted(id, "completed") > enough);
            process.stop();
            process = ServerProcess.start(store(), engine);
            process.url();
        }

        var batch = client.finishedBatch(id);

        assertEquals("{\"total\":1000,\"completed\":1000,\"failed\":0}", batch.get("request_counts").toString());
        assertEquals(1_000, asked.get());
    }

    @DisabledOnOs(OS.WINDOWS)
    @Tag("S24")
    @Test void aSignalWaitsForAnswersThatComeLater() throws IOException {
        var answering = new CountDownLatch(1);
        open.add(answering::countDown);
        thinking = () -> await(() -> answering.getCount() == 0);
        var engine = engine("yes");
        process = ServerProcess.start(store(), engine);
        var id = client.create(manyLines(12));
        await(() -> asked.get() == 4);            // as many as are asked at once at first

        var stopping = CompletableFuture.runAsync(process::stop);
        await(() -> process.stderr().contains("stop: waits up to 8 s for 4 answers under way; those that come later"
            + " are asked for again at the next start\n"));
        answering.countDown();
        stopping.join();
        process = ServerProcess.start(store(), engine);

        var batch = client.finishedBatch(id);
        assertEquals("{\"total\":12,\"completed\":12,\"failed\":0}", batch.get("request_counts").toString());
        assertEquals(12, asked.get());
    }

    @DisabledOnOs(OS.WINDOWS)
    @Tag("S24")
    @Test void aFullDiskHaltsABatchAndDoesNotFailIt() throws Exception {
        var limited = List.of("sh", "-c", "ulimit -S -f 8192; exec \"$@\"", "sh");       // 4 or 8 MB a file
        process = ServerProcess.start(limited, store(), engine("long ".repeat(8_000)));
        var id = client.create(manyLines(300));
        await(() -> process.stderr().contains("cannot be used"));

        var halted = client.found(id);
        assertEquals("in_progress", halted.get("status").asText());
        assertTrue(process.stderr().contains("store: " + store().toRealPath() + " cannot be used (File too large);"
            + " make room, and its batches go on by themselves\n"), process.stderr());

        assumeTrue(lift(process.pid()), "no prlimit to make room with");
        var batch = client.finishedBatch(id);
        assertEquals("{\"total\":300,\"completed\":300,\"failed\":0}", batch.get("request_counts").toString());
        assertEquals(300, client.texts(batch).size());
        assertEquals(300, asked.get());
    }

    @DisabledOnOs(OS.WINDOWS)
    @Tag("S24")
    @Test void anUploadThatFindsNoRoomMayBeSentAgain() throws IOException {
        var limited = List.of("sh", "-c", "ulimit -S -f 8192; exec \"$@\"", "sh");
        process = ServerProcess.start(limited, store(), "echo");

        var refused = client.upload(new byte[10_000_000], "big", "user_data");

        assertEquals(500, refused.statusCode());
        assertEquals("The file could not be kept: File too large.", json(refused).at("/error/message").asText());
        assertEquals(List.of(), client.ids("/files"));
        assertEquals(List.of(), names(store().resolve("uploads")));
    }

    @Tag("S24")
    @Test void manyLargeAnswersNeedLittleMemory() throws IOException {
        process = ServerProcess.start(store(), "echo", "-Xmx48m");
        var line = lines("long ".repeat(800)).replace("\"messages\"", "\"n\":128,\"messages\"");
        var batch = client.finished(client.upload(IntStream.range(0, 128)
            .mapToObj(i -> line.replace("request-1", "request-" + i)).collect(Collectors.joining())));

        assertEquals("{\"total\":128,\"completed\":128,\"failed\":0}", batch.get("request_counts").toString());
        assertFalse(process.stderr().contains("cannot be used"), process.stderr());
    }

    @Tag("S24")
    @Test void whatACrashLeftIsDeletedAtTheNextStart() throws IOException {
        start().pause();
        var file = client.upload(lines("one"));
        var id = client.create(lines("two"));
        await(() -> client.found(id).get("status").asText().equals("in_progress"));
        server.close();
        Files.writeString(store().resolve("files").resolve(file.replaceAll("[0-9a-f]{4}$", "0000")), "without a row");
        Files.writeString(store().resolve("files/notes.txt"), "somebody's own");
        Files.writeString(store().resolve("uploads/MultiPart123"), "half of it");

        start();

        assertEquals("completed", client.finishedBatch(id).get("status").asText());
        var known = new ArrayList<String>(client.ids("/files"));
        known.add("notes.txt");
        assertEquals(known.stream().sorted().toList(), names(store().resolve("files")));
        assertEquals(List.of(), names(store().resolve("uploads")));
    }

    @Tag("S24") @Tag("S4")
    @Test void aBatchReadsItsInputToTheEndEvenIfThatIsDeleted() throws IOException {
        start().pause();
        var file = client.upload(lines("one", "two"));
        var id = json(client.create(RawClient.batch(file))).get("id").asText();
        await(() -> client.found(id).get("status").asText().equals("in_progress"));

        client.send("DELETE", "/files/" + file, new byte[0]);
        server.close();
        start();

        assertEquals(404, client.get("/files/" + file + "/content").statusCode());
        assertEquals(2, client.texts(client.finishedBatch(id)).size());
        assertFalse(Files.exists(store().resolve("files").resolve(file)));
    }

    @Tag("S24")
    @Test void aLineOfZerosAsAfterAPowerCutRunsAgain() throws IOException {
        start().pause();
        var id = client.create(lines("one", "two"));
        await(() -> client.found(id).get("status").asText().equals("in_progress"));
        server.close();
        Files.writeString(store().resolve("files").resolve(id.replace("batch_", "file-output-")), "\0\0\0\n\0");

        start();

        assertEquals(2, client.texts(client.finishedBatch(id)).size());
    }

    @Test void aFolderThatIsNoStoreIsLeftAlone() throws IOException {
        var uploads = Files.createDirectories(store().resolve("uploads"));
        var mine = "mine".getBytes(UTF_8);
        Files.write(uploads.resolve("photo.jpg"), mine);

        var refused = assertThrows(IllegalStateException.class, this::start);

        assertEquals("start: " + store() + " is not empty and no store of a server; choose another folder",
            refused.getMessage());
        assertArrayEquals(mine, Files.readAllBytes(uploads.resolve("photo.jpg")));
    }

    Path store() { return folder.resolve("store"); }

    BatchServer start() { return server = BatchServer.options().store(store()).start(); }

    static String manyLines(int count) {
        return lines(IntStream.range(0, count).mapToObj(i -> "text " + i).toArray(String[]::new));
    }

    static List<String> names(Path folder) throws IOException {
        try (var all = Files.list(folder)) {
            return all.map(path -> path.getFileName().toString()).sorted().toList();
        }
    }

    /** Lifts a process's limit on the size of a file, and returns whether that was possible. */
    static boolean lift(long pid) throws InterruptedException {
        try {
            var prlimit = new ProcessBuilder("prlimit", "--pid", String.valueOf(pid), "--fsize=unlimited").start();
            return prlimit.waitFor(10, TimeUnit.SECONDS) && prlimit.exitValue() == 0;
        } catch (IOException noSuchCommand) {
            return false;
        }
    }

    /** Starts an engine that says the same to everybody, and counts how often it was asked. */
    String engine(String text) throws IOException {
        var engine = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
        var threads = Executors.newCachedThreadPool();
        engine.setExecutor(threads);
        engine.createContext("/", exchange -> answer(exchange, text));
        engine.start();
        open.add(() -> engine.stop(0));
        open.add(threads::shutdownNow);
        return "http://127.0.0.1:" + engine.getAddress().getPort() + "/v1";
    }

    void answer(HttpExchange exchange, String text) throws IOException {
        exchange.getRequestBody().readAllBytes();
        if (exchange.getRequestMethod().equals("POST"))          // and not for its models
            asked.incrementAndGet();
        thinking.run();
        var body = ("{\"choices\":[{\"message\":{\"content\":\"" + text + "\"}}]}").getBytes(UTF_8);
        exchange.sendResponseHeaders(200, body.length);
        exchange.getResponseBody().write(body);
        exchange.close();
    }
}
