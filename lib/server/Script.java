package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Deque;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedDeque;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Function;
import java.util.function.UnaryOperator;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.eclipse.jetty.http.HttpHeader;
import org.eclipse.jetty.io.Content;
import org.eclipse.jetty.server.Response;
import org.eclipse.jetty.util.BufferUtil;
import org.eclipse.jetty.util.Callback;

/**
 * What a test has told the server to show or do unlike any good server: HTTP requests that go wrong, batches and files
 * that are not what they seem. Without a test it changes nothing, and it knows no endpoint.
 */
final class Script {
    volatile List<String> models = List.of();       // that the echo engine knows, or none if it knows any
    volatile ObjectNode counts;                     // shown on every batch; null shows the true ones
    volatile String heldStatus;                     // which batches do not leave; null lets them go on
    volatile Duration window;                       // of new batches; null lets them have what they ask for
    volatile Duration hidden = Duration.ZERO;       // how long nobody sees a new file
    volatile Queue queue = Queue.ENDLESS;
    volatile boolean blankIds;
    volatile boolean ignoresAfter;
    volatile boolean forgetsMetadata;
    private volatile UnaryOperator<List<String>> rewrite;   // null if nothing is rewritten
    private final Map<String, Long> uploaded = new ConcurrentHashMap<>();   // milliseconds by id of a hidden file
    private final List<Rule> rules = new CopyOnWriteArrayList<>();          // for the next requests of a kind
    private volatile Function<String, Fault> every = request -> null;       // for all requests that no rule is left for

    /** How many tokens may be queued, and whether a batch with more is refused at once, or else fails. */
    record Queue(long tokens, boolean refuses) {
        private static final Queue ENDLESS = new Queue(Long.MAX_VALUE, false);

        boolean isEndless() { return tokens == Long.MAX_VALUE; }

        String message(String model) {
            return "Enqueued token limit reached for " + model + " in organization org-sheaf. Limit: "
                + String.format(Locale.ROOT, "%,d", tokens) + " enqueued tokens. Please try again once some"
                + " in_progress batches have been completed.";
        }
    }

    /** How one request goes wrong. */
    sealed interface Fault permits Refused, Spoiled {
    }

    /** The server does not do what it is asked, and answers with this status, or hangs up if that is 0. */
    record Refused(int status, String retryAfter, String body) implements Fault {
        void refuse(Call call) {
            if (retryAfter != null) call.response().getHeaders().put(HttpHeader.RETRY_AFTER, retryAfter);
            if (status == 0) {
                call.hangUp();
                return;
            }
            call.skipBody(Call.MAX_SKIPPED);
            if (body != null) call.send(status, "text/html", body.getBytes(UTF_8));
            else call.send(status, Refusal.envelope(status, "A test wants status " + status + ".", null, null));
        }
    }

    /**
     * The server does what it is asked, and answers after a delay, at so many bytes a second (0 for all at once). Of
     * the body so many bytes arrive (-1 for not even the status), and the headers admit that length or the whole one.
     */
    record Spoiled(Duration delay, int rate, long length, boolean admitted) implements Fault {
        /** Returns a call whose response is spoiled on its way. */
        Call spoil(Call call) {
            return new Call(call.request(), new SpoiledResponse(call, this), call.callback(), call.path());
        }
    }

    /** The faults of the next requests that match. */
    private record Rule(Pattern request, Deque<Fault> faults) {
    }

    /** Lets the next requests such as {@code GET /v1/files/*} go wrong, one fault each; a star stands for an id. */
    void on(String request, List<Fault> faults) {
        var regex = Stream.of(request.split("\\*", -1)).map(Pattern::quote).collect(Collectors.joining("[^/]+"));
        rules.add(new Rule(Pattern.compile(regex), new ConcurrentLinkedDeque<>(faults)));
    }

    /** Lets requests go wrong by a function that returns null where nothing shall. */
    void onEvery(Function<String, Fault> faults) { every = faults; }

    /** Returns how this request goes wrong, or null if it does not. */
    Fault nextFault(String request) {
        for (var rule : rules) {
            var fault = rule.request.matcher(request).matches() ? rule.faults.poll() : null;
            if (fault != null) return fault;
        }
        return every.apply(request);
    }

    /** Notes when a file came, if new files are hidden for some time. */
    void noteUpload(String file, long millis) {
        if (!hidden.isZero()) uploaded.put(file, millis);
    }

    boolean isVisible(ObjectNode file, long millis) {
        var since = uploaded.get(file.get("id").textValue());
        return since == null || millis - since > hidden.toMillis();
    }

    /** Returns a batch object as clients shall see it. */
    ObjectNode shown(ObjectNode batch) {
        if (counts != null) batch.set("request_counts", counts.deepCopy());
        for (var id : List.of("output_file_id", "error_file_id"))
            if (blankIds && batch.get(id).isNull()) batch.put(id, "");
        return batch;
    }

    boolean rewritesLines() { return rewrite != null; }

    List<String> rewritten(List<String> lines) { return rewrite == null ? lines : rewrite.apply(lines); }

    /** Rewrites the lines of output and error files by this function too, after those given before. */
    synchronized void rewrite(UnaryOperator<List<String>> next) {
        var before = rewrite;
        rewrite = before == null ? next : lines -> next.apply(before.apply(lines));
    }

    static List<String> reversed(List<String> lines) {
        var reversed = new ArrayList<String>(lines);
        Collections.reverse(reversed);
        return reversed;
    }

    /** Returns lines in which those of one request stand so many times, which may be none. */
    static List<String> repeated(String customId, int times, List<String> lines) {
        return lines.stream().flatMap(line -> Collections.nCopies(isOf(customId, line) ? times : 1, line).stream())
            .toList();
    }

    private static boolean isOf(String customId, String line) {
        try {
            return customId.equals(Json.MAPPER.readTree(line).path("custom_id").textValue());
        } catch (JsonProcessingException | NumberFormatException notJson) {   // a test may write what it likes
            return false;
        }
    }

    /** A response that is spoiled on its way out. */
    private static final class SpoiledResponse extends Response.Wrapper {
        private static final int STEPS = 20;     // in which the bytes of a second are sent

        private final Spoiled fault;
        private final Call call;
        private long left;                       // bytes of the body that may still leave
        private boolean begun;

        SpoiledResponse(Call call, Spoiled fault) {
            super(call.request(), call.response());
            this.call = call;
            this.fault = fault;
            this.left = fault.length;
        }

        @Override public void write(boolean last, ByteBuffer bytes, Callback callback) {
            try {
                begin();
                var kept = bytes == null ? BufferUtil.EMPTY_BUFFER : bytes.slice();
                boolean cut = kept.remaining() > left || left < 0;
                kept.limit((int) Math.max(0, Math.min(kept.remaining(), left)));
                left -= kept.remaining();
                send(last || cut && fault.admitted, kept, cut);
                if (bytes != null) bytes.position(bytes.limit());
                callback.succeeded();
            } catch (IOException | InterruptedException e) {
                callback.failed(e);
            }
        }

        private void begin() throws InterruptedException {
            if (begun) return;
            begun = true;
            Thread.sleep(fault.delay.toMillis());
            long full = getHeaders().getLongField(HttpHeader.CONTENT_LENGTH);
            if (fault.admitted) getHeaders().put(HttpHeader.CONTENT_LENGTH, Math.min(full, fault.length));
        }

        private void send(boolean last, ByteBuffer bytes, boolean cut) throws IOException, InterruptedException {
            while (fault.rate > 0 && bytes.hasRemaining()) {
                int step = Math.min(bytes.remaining(), Math.max(1, fault.rate / STEPS));
                Content.Sink.write(getWrapped(), false, bytes.slice(bytes.position(), step));
                bytes.position(bytes.position() + step);
                Thread.sleep(1_000L * step / fault.rate);
            }
            if (!cut || fault.admitted) {
                Content.Sink.write(getWrapped(), last, bytes);
                return;
            }
            if (fault.length >= 0) Content.Sink.write(getWrapped(), false, bytes);
            call.hangUp();
            throw new IOException("cut off, as a test wants it");
        }
    }
}
