package sheaf.server;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.databind.node.TextNode;
import java.io.IOException;
import java.net.ConnectException;
import java.net.UnknownHostException;
import java.net.http.HttpConnectTimeoutException;
import java.net.http.HttpHeaders;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.channels.UnresolvedAddressException;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Flow;
import java.util.concurrent.ThreadLocalRandom;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import javax.net.ssl.SSLException;
import sheaf.server.Engine.Answer;
import sheaf.server.Json.Lines;

/**
 * One try at an engine: the answer in OpenAI's shape, what stood in the way of a better one, and how many milliseconds
 * the engine asks to wait before anything else is sent (-1 if it does not say). It knows neither the request nor who
 * sent it.
 */
record Attempt(Answer answer, Failure failure, long waitMillis) {
    private static final long FIRST_PAUSE = 200;              // milliseconds; doubles with each try
    private static final long LONGEST_PAUSE = 10_000;
    private static final long LONGEST_ASKED = 120_000;        // that an engine may ask for, as with OpenAI's clients
    private static final Pattern OVERFLOW = Pattern.compile("(?i)the request exceeds the available context size");
    private static final long LONGEST_LIMIT = 31 * 86_400_000L;

    /** What stands in the way of an answer. */
    enum Failure {
        NONE,           // nothing, or the request itself, so that no further try would help
        PASSING,        // something that a few more tries may get over
        SLOW,           // it took too long, and would again
        DOWN,           // the engine is not there, for which no request can be blamed
        OVERLOADED;     // the engine takes no more at the moment, or still loads its model

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

    /** Returns what came of a try that ended without any HTTP answer. */
    static Attempt failed(Throwable e) {
        if (e instanceof BadAnswer bad)
            return failed("bad_engine_answer", "The engine's answer " + bad.getMessage() + ".", bad.failure);
        boolean unsent = e instanceof ConnectException || e instanceof HttpConnectTimeoutException
            || e instanceof UnknownHostException || e.getCause() instanceof UnresolvedAddressException;
        return failed("connection_error", "The engine does not answer (" + reason(e) + ").",
            unsent ? Failure.DOWN : Failure.PASSING);        // a request that was sent may be what crashed it
    }

    /** Returns a try that reached another engine than the one to be asked. */
    static Attempt misdirected(String message) { return failed("engine_changed", message, Failure.DOWN); }

    private static Attempt failed(String code, String message, Failure failure) {
        return new Attempt(Answer.none(code, message), failure, -1);
    }

    private static String reason(Throwable e) {
        if (e instanceof HttpConnectTimeoutException) return "connection timed out";
        if (e instanceof UnknownHostException || e.getCause() instanceof UnresolvedAddressException)
            return "unknown host";
        if (e instanceof ConnectException) return "connection refused";
        return e instanceof SSLException ? "no secure connection: " + Refusal.reason(e) : "connection closed";
    }

    /** Returns what came of it, in one of the words of {@link Metrics#TRIES}. */
    String outcome() {
        return switch (failure) {
            case NONE -> answer.succeeded() ? "answered" : "refused";
            case PASSING -> "failed";
            case SLOW -> "timed_out";
            case DOWN -> "unreachable";
            case OVERLOADED -> "overloaded";
        };
    }

    /** Returns the milliseconds to wait before the next try, spread so that not all requests come back at once. */
    long pause(int tries) {
        long growing = Math.min(LONGEST_PAUSE, FIRST_PAUSE << Math.min(tries - 1, 10));
        long base = waitMillis < 0 ? growing : Math.max(FIRST_PAUSE, hold());
        return base + ThreadLocalRandom.current().nextLong(Math.min(base, LONGEST_ASKED) / 4);
    }

    /** Returns whether a limit of the engine is used up that begins anew only after hours, or tomorrow. */
    boolean isLimitUsedUp() { return failure == Failure.OVERLOADED && waitMillis > LONGEST_ASKED; }

    /**
     * Returns the milliseconds for which nothing else is sent, 0 if the engine does not ask for that. What stands far
     * off beside an answer may be another limit than that of the next request, which will hear of its own.
     */
    long hold() {
        if (isLimitUsedUp()) return Math.min(LONGEST_LIMIT, waitMillis);
        boolean isFarOff = failure == Failure.NONE && waitMillis > LONGEST_ASKED;
        return isFarOff ? 0 : Math.max(0, Math.min(LONGEST_ASKED, waitMillis));
    }

    /** An answer that came, but not as it should. */
    private static final class BadAnswer extends IOException {
        private final Failure failure;

        private BadAnswer(String what, Failure failure, Throwable cause) {
            super(what, cause);
            this.failure = failure;
        }
    }

    /** Collects a response body, and breaks off one that is longer than any answer. */
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

    /** Reads what an engine sent: an answer as it is, or an error in OpenAI's shape without the engine's key. */
    static final class ResponseReader {
        private final String key;       // of the engine, null if it has none; some engines repeat it in an error

        ResponseReader(String key) { this.key = key; }

        Attempt read(HttpResponse<byte[]> response) {
            var body = withoutWrapper(json(response.body()));
            int status = response.statusCode();
            boolean good = status >= 200 && status < 300;
            long wait = RateLimit.millis(response.headers(), body);
            if (good && body.isObject() && !isError(body))
                return new Attempt(new Answer(status, body, null, null), Failure.NONE, wait);
            int code = good ? codeWithin(body.at("/error/code")) : status;
            int shown = code == 0 ? 502 : code;
            var error = normalized(shown, body, excerpt(status, response.body()));
            var failure = isFinal(error, response.headers()) ? Failure.NONE : Failure.of(code);
            return new Attempt(new Answer(shown, error, null, null, wait), failure, wait);
        }

        /** Returns an error that stands in the place of a choice, as OpenRouter has it, as errors are. */
        private static JsonNode withoutWrapper(JsonNode body) {
            var error = body.at("/choices/0/error");
            return error.isObject() ? Json.object().set("error", error) : body;
        }

        /** Returns the HTTP status that an error has as its code, or 0 if that is none. */
        private static int codeWithin(JsonNode code) {
            int status = code.canConvertToInt() || code.isTextual() ? code.asInt() : 0;
            return status >= 400 && status <= 599 ? status : 0;
        }

        /** Returns whether an answer with status 200 is in truth an error, which some engines send so. */
        private static boolean isError(JsonNode body) {
            return body.hasNonNull("error") && Stream.of("choices", "data", "output").noneMatch(body::has);
        }

        /** Returns whether an error says that the same request would only meet it again. */
        private static boolean isFinal(ObjectNode error, HttpHeaders headers) {
            return headers.firstValue("x-should-retry").orElse("").equals("false")
                || error.at("/error/code").asText().equals("insufficient_quota");
        }

        private static JsonNode json(byte[] bytes) {
            try {
                return Json.parsed(bytes);
            } catch (IOException notJson) {
                return Json.MAPPER.missingNode();
            }
        }

        /** Returns an error body in OpenAI's shape; an engine's own is nested, flat, a string or plain text. */
        private ObjectNode normalized(int status, JsonNode body, String otherwise) {
            var error = body.path("error").isObject() ? body.get("error") : body;
            var message = Stream.of(error.path("message"), body.path("error"), body.path("detail"))
                .filter(JsonNode::isTextual).findFirst().map(JsonNode::textValue);
            if (message.isPresent() && OVERFLOW.matcher(message.get()).find()) return overflow(status, error);
            var shaped = Refusal.envelope(status, message.orElse(otherwise), error.path("param").textValue(),
                message.isPresent() ? error.path("code").asText(null) : "bad_engine_answer");
            if (error.path("type").isTextual()) shaped.withObject("/error").set("type", error.get("type"));
            shaped.get("error").properties().forEach(field -> field.setValue(withoutKey(field.getValue())));
            return shaped;
        }

        /** Returns what llama-server says of a request that is too long, as OpenAI has it, and what helps. */
        private static ObjectNode overflow(int status, JsonNode error) {
            var size = error.path("n_ctx").isNumber() ? " is " + error.get("n_ctx") + " tokens" : " is too short";
            var prompt = error.path("n_prompt_tokens").isNumber()
                ? "the prompt alone has " + error.get("n_prompt_tokens") : "the prompt is longer";
            return Refusal.envelope(status, "This model's maximum context length" + size + ", but " + prompt
                + "; shorten it, or start the model with a larger context (--ctx-size of llama-server, --context of "
                + "./jbang local)", "messages", "context_length_exceeded");
        }

        /** Hides the engine's key, which an engine may repeat when it refuses it. */
        private JsonNode withoutKey(JsonNode text) {
            return text.isTextual() ? TextNode.valueOf(withoutKey(text.textValue())) : text;
        }

        /** Returns a text without the key, unless that is short: then it is no secret, but a word such as ollama. */
        private String withoutKey(String text) {
            return key == null || key.length() < 8 ? text : text.replace(key, "***");
        }

        /** Returns the beginning of an answer without its HTML, for a person to read. */
        private String excerpt(int status, byte[] raw) {
            var text = withoutKey(new String(raw, 0, Math.min(raw.length, 64_000), UTF_8))
                .replaceAll("(?is)<(script|style)\\b.*?(</\\1>|\\z)|<[^>]*>", " ").replaceAll("\\s+", " ").strip();
            return "The engine answered " + status + (status < 300 ? " and no JSON object" : "")
                + (text.isEmpty() ? "." : ": " + text.substring(0, Math.min(text.length(), 300)));
        }
    }
}
