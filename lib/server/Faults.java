package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.ConcurrentLinkedDeque;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Function;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.eclipse.jetty.http.HttpHeader;
import org.eclipse.jetty.io.Content;
import org.eclipse.jetty.server.Response;
import org.eclipse.jetty.util.BufferUtil;
import org.eclipse.jetty.util.Callback;

/**
 * How HTTP requests go wrong, as a test has told the server: refused or hung up, or with an answer that is late, slow
 * or cut. It knows no endpoint; a request is told by its text, such as {@code GET /v1/files}.
 */
final class Faults {
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
     * The server does what it is asked. Its answer comes after a delay, at so many bytes a second (0 for all at once).
     * Of its body only the first bytes arrive (-1 for not even its status), and its headers admit that length or not.
     */
    record Spoiled(Duration delay, int rate, long length, boolean admitted) implements Fault {
        /** Returns a call whose response is spoiled on its way. */
        Call spoil(Call call) {
            return new Call(call.request(), new SpoiledResponse(call, this), call.callback(), call.path());
        }
    }

    private record Rule(Pattern request, Deque<Fault> faults) {
    }

    private final List<Rule> rules = new CopyOnWriteArrayList<>();
    private volatile Function<String, Fault> every = request -> null;

    /** Lets the next requests that match go wrong, one fault each; a star stands for an id. */
    void on(String request, List<Fault> faults) {
        var regex = Stream.of(request.split("\\*", -1)).map(Pattern::quote).collect(Collectors.joining("[^/]+"));
        rules.add(new Rule(Pattern.compile(regex), new ConcurrentLinkedDeque<>(faults)));
    }

    /** Lets requests go wrong by a function that returns null where nothing shall. */
    void onEvery(Function<String, Fault> faults) { every = faults; }

    /** Returns how this request goes wrong, or null if it does not. */
    Fault next(String request) {
        for (var rule : rules) {
            var fault = rule.request.matcher(request).matches() ? rule.faults.poll() : null;
            if (fault != null) return fault;
        }
        return every.apply(request);
    }

    /** A response that is spoiled on its way out. */
    private static final class SpoiledResponse extends Response.Wrapper {
        private static final int STEPS = 20;     // a second, at a slow rate

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
