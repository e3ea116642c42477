package sheaf.server;

import java.io.IOException;
import java.net.ConnectException;
import java.net.UnknownHostException;
import java.net.http.HttpConnectTimeoutException;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.channels.UnresolvedAddressException;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Flow;
import java.util.concurrent.ThreadLocalRandom;
import javax.net.ssl.SSLException;
import sheaf.server.Engine.Answer;

/**
 * One try at an engine: its answer, what stood in the way of one, and how long the engine asks to wait before the next
 * try (-1 if it does not say). It tells errors by how they came, and knows neither request nor engine.
 */
record Attempt(Answer answer, Failure failure, long retryAfterMillis) {
    private static final long FIRST_PAUSE = 200;              // milliseconds; doubles with each try
    private static final long LONGEST_PAUSE = 10_000;
    private static final long LONGEST_ASKED = 120_000;        // that an engine may ask for, as with OpenAI's clients

    /** What stands in the way of an answer. */
    enum Failure {
        NONE,           // nothing, or the request itself
        PASSING,        // something that a few more tries may get over
        SLOW,           // it took too long, and would again
        DOWN,           // the engine is not there: no request can be blamed for that
        OVERLOADED;     // it is, but takes no more at the moment, or still loads its model

        static Failure of(int status) {
            return switch (status) {
                case 429, 503, 529 -> OVERLOADED;
                case 408, 409, 500, 502, 504 -> PASSING;
                default -> NONE;
            };
        }

        boolean isUnavailable() { return this == DOWN || this == OVERLOADED; }
    }

    static Attempt timedOut(Duration timeout) {
        return failed("request_timeout", "The engine did not answer within " + brief(timeout) + ".", Failure.SLOW);
    }

    /** Returns a time as people write it, such as {@code 1m30s}. */
    static String brief(Duration time) { return time.toString().substring("PT".length()).toLowerCase(Locale.ROOT); }

    static Attempt failed(Throwable e) {
        if (e instanceof BadAnswer bad)
            return failed("bad_engine_answer", "The engine's answer " + bad.getMessage() + ".", bad.failure);
        boolean unsent = e instanceof ConnectException || e instanceof HttpConnectTimeoutException
            || e instanceof UnknownHostException || e.getCause() instanceof UnresolvedAddressException;
        return failed("connection_error", "The engine does not answer (" + reason(e) + ").",
            unsent ? Failure.DOWN : Failure.PASSING);        // a request that was sent may be what crashed it
    }

    private static Attempt failed(String code, String message, Failure failure) {
        return new Attempt(Answer.none(code, message), failure, -1);
    }

    private static String reason(Throwable e) {
        if (e instanceof HttpConnectTimeoutException) return "connection timed out";
        if (e instanceof UnknownHostException || e.getCause() instanceof UnresolvedAddressException)
            return "unknown host";
        if (e instanceof ConnectException) return "connection refused";
        return e instanceof SSLException ? "no secure connection: " + e.getMessage() : "connection closed";
    }

    /** Returns the milliseconds to wait before the next try, spread so that not all requests come back at once. */
    long pause(int tries) {
        long growing = Math.min(LONGEST_PAUSE, FIRST_PAUSE << Math.min(tries - 1, 10));
        long asked = Math.min(LONGEST_ASKED, Math.max(FIRST_PAUSE, retryAfterMillis));
        long base = retryAfterMillis < 0 ? growing : asked;
        return base + ThreadLocalRandom.current().nextLong(base / 4);
    }

    /** An answer that came, but not as it should. */
    private static final class BadAnswer extends IOException {
        private final Failure failure;

        private BadAnswer(String what, Failure failure, Throwable cause) {
            super(what, cause);
            this.failure = failure;
        }
    }

    /** Collects a response body, and breaks off one that no request could need. */
    static final class BoundedBody implements HttpResponse.BodySubscriber<byte[]> {
        private final HttpResponse.BodySubscriber<byte[]> all = HttpResponse.BodySubscribers.ofByteArray();
        private Flow.Subscription subscription;
        private long left = Lines.MAX_BYTES;

        @Override public CompletionStage<byte[]> getBody() { return all.getBody(); }

        @Override public void onSubscribe(Flow.Subscription subscription) {
            this.subscription = subscription;
            all.onSubscribe(subscription);
        }

        @Override public void onNext(List<ByteBuffer> buffers) {
            left -= buffers.stream().mapToLong(ByteBuffer::remaining).sum();
            if (left >= 0) {
                all.onNext(buffers);
                return;
            }
            subscription.cancel();
            all.onError(new BadAnswer("is longer than " + Lines.MAX_BYTES + " bytes", Failure.NONE, null));
        }

        @Override public void onError(Throwable e) { all.onError(new BadAnswer("broke off", Failure.PASSING, e)); }

        @Override public void onComplete() { all.onComplete(); }
    }
}
