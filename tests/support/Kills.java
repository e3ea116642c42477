package sheaf.support;

import static java.net.http.HttpRequest.BodyPublishers.ofByteArray;
import static java.nio.charset.StandardCharsets.UTF_8;
import static java.util.concurrent.TimeUnit.MILLISECONDS;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.SequenceInputStream;
import java.io.UncheckedIOException;
import java.net.InetSocketAddress;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Stream;

/**
 * Kills a server many times, at moments that a seed chooses, while clients upload, create, cancel, delete and look;
 * then lets it finish, and asserts that nothing was lost and nothing happened twice.
 */
public final class Kills {
    private static final int CLIENTS = 3;
    private static final int ENOUGH_LINES = 6_000;         // on their way, so that the last server has an end
    private static final Duration END = Duration.ofMinutes(3);
    private static final String[] C1 = {"-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Xmx256m"};

    /** When a server is killed: soon after its start, after some time, or within moments of an event. */
    public enum Moment { START, TIME, UPLOAD, CREATE, VALIDATION, LAST_LINE, TERM }

    private final long seed;
    private final Path store;
    private final RawClient client = new RawClient(() -> this.server.url());
    private final Witness seen;
    private final Map<String, Integer> kills = new TreeMap<>();
    private final Queue<Witness.Intent> unanswered = new ConcurrentLinkedQueue<>();  // creations with a key
    private final Map<String, AtomicInteger> asked = new ConcurrentHashMap<>();     // by intent, for LAST_LINE
    private final Queue<Throwable> faults = new ConcurrentLinkedQueue<>();
    private final AtomicInteger names = new AtomicInteger();
    private final AtomicInteger requests = new AtomicInteger();
    private volatile ServerProcess server;
    private volatile Moment moment;
    private volatile CountDownLatch come = new CountDownLatch(1);            // the moment

    public Kills(long seed, Path store) {
        this.seed = seed;
        this.store = store;
        this.seen = new Witness(client, store);
    }

    /** Kills so many servers, and returns a sentence about what they went through. */
    public String run(int count) throws Exception {
        var engine = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
        var threads = Executors.newCachedThreadPool();
        engine.setExecutor(threads);
        engine.createContext("/", this::answer);
        engine.start();
        try {
            var url = "http://127.0.0.1:" + engine.getAddress().getPort() + "/v1";
            var random = new Random(seed);
            for (int i = 0; i < count; i++) live(url, random);
            return lastLife(url, count);
        } catch (Exception | AssertionError e) {
            throw new AssertionError("seed " + seed + " after " + kills + ": " + e.getMessage(), e);
        } finally {
            if (server != null && !server.isEnded()) server.kill();
            engine.stop(0);
            threads.shutdownNow();
        }
    }

    private void live(String engine, Random random) throws Exception {
        moment = Moment.values()[random.nextInt(Moment.values().length)];
        come = new CountDownLatch(1);
        server = ServerProcess.start(store, engine, C1);
        if (moment == Moment.START) LockSupport.parkNanos(random.nextInt(900) * 1_000_000L);
        else work(random);
        if (moment == Moment.TERM) server.stop();
        else server.kill();
        kills.merge(moment.name(), 1, Integer::sum);
        seen.noteWhatIsOnDisk();
        rethrowFaults();
    }

    private void work(Random random) throws InterruptedException {
        server.url();
        var clients = new ArrayList<Thread>();
        for (int i = 0; i < CLIENTS; i++) {
            var own = new Random(random.nextLong());
            clients.add(new Thread(() -> act(own), "client-" + i));
        }
        clients.forEach(Thread::start);
        boolean timed = moment == Moment.TIME || moment == Moment.TERM;
        if (!timed) come.await(1_500, MILLISECONDS);
        LockSupport.parkNanos((long) (random.nextDouble() * (timed ? 800_000_000L : 12_000_000L)));
        if (moment == Moment.TERM) server.stop();
        else server.kill();
        for (var thread : clients) thread.join(60_000);
    }

    /** Acts until the server is gone. */
    private void act(Random random) {
        try {
            while (!server.isEnded()) actOnce(random);
        } catch (AssertionError | RuntimeException e) {
            if (!(server.isEnded() && Stream.<Throwable>iterate(e, t -> t != null, Throwable::getCause)
                    .anyMatch(t -> t instanceof IOException)))
                faults.add(e);
        }
    }

    private void actOnce(Random random) {
        switch (random.nextInt(10)) {
            case 0, 1 -> upload(random);
            case 2, 3, 4 -> submit(random);
            case 5 -> cancelOne(random);
            case 6 -> deleteOne(random);
            case 7 -> download(random);
            default -> look(random);
        }
        var again = unanswered.poll();
        if (again != null) create(again);
    }

    private void come(Moment which) {
        if (moment == which) come.countDown();
    }

    private void upload(Random random) {
        var bytes = new byte[(int) Math.pow(2, random.nextDouble() * 22)];
        random.nextBytes(bytes);
        seen.deletable.add(uploaded(bytes, "user_data"));
    }

    /** Uploads, with the moment in the middle. */
    private String uploaded(byte[] bytes, String purpose) {
        var digest = sha256(bytes);
        seen.attempts.add(digest);
        var head = ("--sheaf\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\n" + purpose
            + "\r\n--sheaf\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.jsonl\"\r\n\r\n")
            .getBytes(UTF_8);
        var answer = RawClient.send(client.request("/files")
            .header("Content-Type", "multipart/form-data; boundary=sheaf")
            .POST(HttpRequest.BodyPublishers.ofInputStream(() -> inTwoHalves(head, bytes))));
        var file = accepted(answer);
        assertEquals(bytes.length, file.get("bytes").asInt());
        seen.uploads.put(file.get("id").asText(), digest);
        return file.get("id").asText();
    }

    /** Returns what a server said, unless it is just going down and said that. */
    private JsonNode accepted(HttpResponse<byte[]> answer) {
        assertEquals(200, said(answer).statusCode(), () -> new String(answer.body(), UTF_8));
        return RawClient.json(answer);
    }

    private HttpResponse<byte[]> said(HttpResponse<byte[]> answer) {
        if (answer.statusCode() >= 500 && server.isEnded())
            throw new UncheckedIOException(new IOException(new String(answer.body(), UTF_8)));
        return answer;
    }

    private InputStream inTwoHalves(byte[] head, byte[] bytes) {
        int half = bytes.length / 2;
        return new SequenceInputStream(Collections.enumeration(List.of(new ByteArrayInputStream(head),
            new ByteArrayInputStream(bytes, 0, half), new InputStream() {
                @Override public int read() {
                    come(Moment.UPLOAD);
                    return -1;
                }
            }, new ByteArrayInputStream(bytes, half, bytes.length - half),
            new ByteArrayInputStream("\r\n--sheaf--\r\n".getBytes(UTF_8)))));
    }

    private void submit(Random random) {
        if (seen.linesOnTheirWay() > ENOUGH_LINES) return;
        var name = "b" + names.incrementAndGet();
        int lines = random.nextInt(8) == 0 ? 500 + random.nextInt(2_500) : 1 + random.nextInt(300);
        boolean faulty = random.nextInt(10) == 0;
        var file = uploaded(input(name, lines, faulty).getBytes(UTF_8), "batch");
        var key = random.nextBoolean() ? "key-" + name : null;
        var intent = new Witness.Intent(name, key, file, lines, faulty);
        seen.intents.put(name, intent);
        come(Moment.CREATE);
        create(intent);
        come(Moment.VALIDATION);
    }

    private static String input(String name, int lines, boolean faulty) {
        var input = new StringBuilder();
        for (int i = 1; i <= lines; i++)
            input.append(RawClient.JSON.createObjectNode().put("custom_id", name + "/" + i + "/\u2028\u00e9")
                .put("method", "POST").put("url", "/v1/chat/completions")
                .<ObjectNode>set("body", RawClient.body(Witness.text(name, i)))).append('\n');
        return faulty ? input + "{\"custom_id\":" : input.toString();
    }

    private void create(Witness.Intent intent) {
        var batch = RawClient.batch(intent.file());
        batch.putObject("metadata").put("intent", intent.name());
        var request = client.request("/batches").POST(ofByteArray(batch.toString().getBytes(UTF_8)));
        if (intent.key() != null) request.header("Idempotency-Key", intent.key());
        boolean answered = false;
        try {
            var answer = RawClient.send(request);
            seen.created.put(accepted(answer).get("id").asText(), intent);
            answered = true;
        } finally {
            if (!answered && intent.key() != null) unanswered.add(intent);
        }
    }

    private void cancelOne(Random random) {
        var id = any(seen.created.keySet(), random);
        if (id == null || random.nextInt(3) > 0) return;
        seen.cancelled.add(id);
        int status = said(client.cancel(id)).statusCode();
        assertTrue(status == 200 || status == 409, "cancel: " + status);
    }

    private void deleteOne(Random random) {
        var id = any(seen.deletable, random);
        if (id == null || !seen.deletable.remove(id)) return;
        seen.uploads.remove(id);                          // whether it is gone is not known until the answer
        if (client.send("DELETE", "/files/" + id, new byte[0]).statusCode() == 200) seen.deleted.add(id);
    }

    private void download(Random random) {
        var id = any(seen.uploads.keySet(), random);
        var digest = id == null ? null : seen.uploads.get(id);
        if (digest == null) return;
        var content = said(client.get("/files/" + id + "/content"));
        if (seen.uploads.containsKey(id))
            assertEquals(digest, sha256(content.body()), () -> id + " with status " + content.statusCode());
    }

    /** Looks at a batch: what it says must never go back. */
    private void look(Random random) {
        var id = any(seen.created.keySet(), random);
        if (id == null) return;
        int before = seen.ran.getOrDefault(id, 0);
        var batch = accepted(client.get("/batches/" + id));
        int now = batch.at("/request_counts/completed").asInt() + batch.at("/request_counts/failed").asInt();
        assertTrue(now >= before, () -> id + " went back from " + before + " to " + now);
        seen.ran.merge(id, now, Math::max);
        if (Witness.OVER.contains(batch.get("status").asText())) seen.over.add(id);
        else assertFalse(seen.over.contains(id), () -> id + " was over and goes on");
    }

    private static String any(Set<String> set, Random random) {
        var all = List.copyOf(set);
        return all.isEmpty() ? null : all.get(random.nextInt(all.size()));
    }

    private void answer(HttpExchange exchange) throws IOException {
        var text = RawClient.json(exchange.getRequestBody().readAllBytes()).at("/messages/0/content").asText();
        requests.incrementAndGet();
        if (seen.settled.contains(text)) faults.add(new AssertionError("asked again: " + text));
        LockSupport.parkNanos(ThreadLocalRandom.current().nextLong(5_000_000));
        var body = RawClient.JSON.createObjectNode();
        if (text.endsWith("refuse")) body.putObject("error").put("message", "no: " + text);
        else body.putArray("choices").addObject().putObject("message").put("content", "yes: " + text);
        body.putObject("usage").put("prompt_tokens", 1).put("completion_tokens", 1).put("total_tokens", 2);
        var bytes = body.toString().getBytes(UTF_8);
        exchange.sendResponseHeaders(text.endsWith("refuse") ? 400 : 200, bytes.length);
        exchange.getResponseBody().write(bytes);
        exchange.close();
        var name = text.substring(0, text.indexOf(' '));
        int count = asked.computeIfAbsent(name, each -> new AtomicInteger()).incrementAndGet();
        if (count >= seen.intents.get(name).lines()) come(Moment.LAST_LINE);
    }

    private void rethrowFaults() {
        var first = faults.poll();
        if (first != null)
            throw new AssertionError(first.getMessage() + (faults.isEmpty() ? "" : " and " + faults.size() + " more"),
                first);
    }

    private String lastLife(String engine, int count) throws Exception {
        moment = null;
        server = ServerProcess.start(store, engine, C1);
        for (Witness.Intent again; (again = unanswered.poll()) != null; ) create(again);
        var batches = finishedBatches();
        rethrowFaults();
        seen.check(batches);
        server.stop();
        rethrowFaults();
        int lines = batches.values().stream().mapToInt(batch -> batch.at("/request_counts/total").asInt()).sum();
        return count + " kills " + kills + ", " + batches.size() + " batches with " + lines + " lines, "
            + requests.get() + " requests at the engine, " + seen.uploads.size() + " uploads";
    }

    private Map<String, JsonNode> finishedBatches() {
        long end = System.nanoTime() + END.toNanos();
        while (true) {
            var all = allBatches();
            var open = all.values().stream()
                .filter(batch -> !Witness.OVER.contains(batch.get("status").asText())).map(JsonNode::toString).toList();
            if (open.isEmpty()) return all;
            assertTrue(System.nanoTime() < end, "no end of " + open);
            LockSupport.parkNanos(50_000_000);
        }
    }

    private Map<String, JsonNode> allBatches() {
        var all = new TreeMap<String, JsonNode>();
        var after = "";
        while (true) {
            var page = RawClient.json(client.get("/batches?limit=100" + after));
            page.get("data").forEach(batch -> all.put(batch.get("id").asText(), batch));
            if (!page.get("has_more").asBoolean()) return all;
            after = "&after=" + page.get("last_id").asText();
        }
    }

    public static String sha256(byte[] bytes) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError(e);
        }
    }
}
