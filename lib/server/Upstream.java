package sheaf.server;

import static java.util.concurrent.TimeUnit.MILLISECONDS;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import java.util.regex.Pattern;
import sheaf.server.Attempt.Failure;
import sheaf.server.Attempt.ResponseReader;
import sheaf.server.BatchObject.BatchError;
import sheaf.server.Concurrency.Gate;
import sheaf.server.Engine.Answer;

/**
 * An engine behind an OpenAI-compatible URL: what it is asked, how often, and how long it is waited for. It knows no
 * batch.
 */
final class Upstream implements Engine {
    private static final Duration GLANCE = Duration.ofSeconds(3);      // at the engine, when the server starts
    private static final Duration STALE = Duration.ofSeconds(10);      // what was last known of the engine, by then
    private static final Duration LISTING = Duration.ofSeconds(30);    // of its models, with all tries
    private static final Duration LISTED = Duration.ofMinutes(1);      // before a list of models is read again
    private static final int FEW_TRIES = 3;
    private static final long LONG = 5_000;                            // milliseconds of a pause, worth a sentence
    private static final int FORGETTING = 10;                          // times of what an answer took
    private static final long LONGEST_PAUSE = 5_000;                   // milliseconds, while a client waits

    private final HttpClient http = Network.client(Duration.ofSeconds(10)).build();
    private final String base;
    private final String shown;        // and the proxy on the way there
    private final Settings.Answering settings;
    private final Identity identity;
    private final Gate gate;
    private final ResponseReader reader;
    private final TokenLimit tokenLimit = new TokenLimit();
    private final Metrics metrics;
    private final AtomicBoolean glancing = new AtomicBoolean();
    private volatile Limit limit;      // that was told last, null if none ever was
    private volatile Contact contact = new Contact("unknown", System.nanoTime() - STALE.toNanos());
    private final AtomicInteger assigned = new AtomicInteger();   // requests that wait here, and those at the engine
    private volatile long answered;                               // last, as System.nanoTime has it
    private volatile double millis;                               // that an answer takes of late, 0 if none came yet
    private volatile long restsUntil = System.nanoTime();
    private volatile String ailment;                              // for which it rests
    private volatile Set<String> names = Set.of();                // of its models, as far as it lists any
    private volatile long namesUntil = System.nanoTime();
    private boolean away;              // as stderr was told last
    private final String meanwhile;    // what becomes of its requests while it is away

    /** Whether the engine was there when somebody last asked it anything, and when that was. */
    private record Contact(String state, long at) {
        static Contact now(boolean isThere) {
            return new Contact(isThere ? "reachable" : "unreachable", System.nanoTime());
        }
    }

    /** @param hasOthers whether others answer where this one is away */
    Upstream(Settings.Answering settings, boolean hasOthers, Identity identity, Metrics metrics) {
        this.base = settings.engine();
        this.shown = base + Network.through(URI.create(base));
        this.settings = settings;
        this.meanwhile = "; its requests " + (hasOthers ? "go to the others" : "wait for it");
        this.identity = identity;
        this.metrics = metrics;
        this.gate = new Gate(settings.first(), settings.most(), System::nanoTime);
        this.reader = new ResponseReader(settings.key());
    }

    @Override public Answer models() throws InterruptedException {
        var models = askForClient(request("/models").GET().build(), LISTING);
        if ("connection_error".equals(models.code()))
            return Answer.none(models.code(), shown + " " + absence(models) + remedy(models.message()) + ".");
        if (models.succeeded() && models.body().path("data") instanceof ArrayNode data)
            settings.models().forEach((name, engineName) -> ModelList.alias(data, name, engineName));
        return models;
    }

    @Override public Optional<BatchError> fault(String model, Answer answer) throws InterruptedException {
        if (model != null && ModelList.lacks(answer, settings.models().getOrDefault(model, model)))
            return Optional.of(ModelList.fault(base, "does not have", model, models(), answer));
        if (isElsewhere(answer))
            return Optional.of(BatchError.of("not_found", null, base + " answers 404 to its requests and to GET /models"
                + place()));
        if (!refusesKey(answer)) return Optional.empty();
        var who = base + (settings.key() == null ? " wants a key" : " refuses the key");
        return Optional.of(keyFault(who, answer, KnownEngine.keyVariable(base)));
    }

    /** Returns whether there is no such API at the URL: what answers knows no more of its models than of a request. */
    boolean isElsewhere(Answer answer) throws InterruptedException {
        return answer.status() == 404 && models().status() == 404;
    }

    private String place() { return base.matches(".*/v1/?") ? "; is that its URL?" : "; should it end in /v1?"; }

    /** Returns whether it takes no such key. A 403 may be of the request alone, unless it lists no models either. */
    boolean refusesKey(Answer answer) throws InterruptedException {
        return answer.status() == 401 || answer.status() == 403 && List.of(401, 403).contains(models().status());
    }

    static BatchError keyFault(String who, Answer answer, String variable) {
        return BatchError.of("invalid_api_key", null, who + " (" + reason(answer) + "); set " + variable
            + " to its key");
    }

    @Override public Answer answer(String endpoint, JsonNode body) throws InterruptedException {
        if (Echo.isForTestModel(body)) return Echo.testAnswer(endpoint, body);
        long began = System.nanoTime();
        var end = Instant.now().plus(settings.timeout());
        if (limit().filter(told -> told.until().isAfter(end)).isPresent()) return usedUp(limit);
        if (!gate.enter(() -> millisSince(began) < settings.timeout().toMillis()))
            return Answer.error(429, "rate_limit_exceeded", "The engine is busy with other requests.");
        long entered = System.nanoTime();
        Answer answer = null;
        try {
            String word;
            do {
                word = tokenLimit.onlyWord();
                answer = askForClient(post(endpoint, body), settings.timeout().minusMillis(millisSince(began)));
            } while (tokenLimit.isRefused(body, word, answer));
            return answer;
        } finally {
            gate.leave(entered, answer != null && answer.succeeded() ? Failure.NONE : Failure.PASSING);
        }
    }

    private static Answer usedUp(Limit limit) {
        return new Answer(429, Refusal.envelope(429, "The engine " + limit + ".", null, "rate_limit_exceeded"), null,
            null, Duration.between(Instant.now(), limit.until()).toMillis());
    }

    @Override public Answer answer(String endpoint, JsonNode body, BooleanSupplier wanted) throws InterruptedException {
        if (Echo.isForTestModel(body)) return Echo.testAnswer(endpoint, body);
        long left = settings.timeout().toMillis();              // the time at the gate does not count
        int passing = 0;                                        // tries that ended in a passing failure
        Attempt last = null;
        for (int tries = 1; gate.enter(wanted); tries++) {
            long began = System.nanoTime();
            var word = tokenLimit.onlyWord();
            var tried = sendInside(post(endpoint, body), left, began);
            if (tokenLimit.isRefused(body, word, tried.answer()) || tried.isLimitUsedUp()) continue;
            last = telling(tried, last, left);
            long pause = last.pause(tries);
            left -= millisSince(began) + pause;
            boolean again = last.failure().isUnavailable()
                || last.failure() == Failure.PASSING && ++passing < FEW_TRIES;
            if (!again || left <= 0) return last.answer();
            sleep(pause, wanted);
        }
        return null;
    }

    /** Sends a request that the gate has let in, and lets it out again. */
    private Attempt sendInside(HttpRequest request, long millis, long began) throws InterruptedException {
        var failure = Failure.DOWN;
        try {
            var attempt = send(request, millis);
            failure = attempt.failure();
            tellChange(failure == Failure.DOWN, attempt.answer().message());
            hold(attempt);
            return attempt;
        } finally {
            gate.leave(began, failure);
        }
    }

    /** Returns which of two tries tells what is wrong: the earlier one, if the later had only a rest of the time. */
    private Attempt telling(Attempt later, Attempt earlier, long millis) {
        boolean isCutShort = later.failure() == Failure.SLOW && millis < settings.timeout().toMillis() / 2;
        return isCutShort && earlier != null ? earlier : later;
    }

    /** Lets no other request in either as long as the engine asks for a pause, and says so if that is long. */
    private void hold(Attempt attempt) {
        long pause = attempt.hold();
        if (pause <= 0 || !gate.hold(pause) || pause < LONG) return;
        if (attempt.isLimitUsedUp()) {
            limit = new Limit(Instant.now().plusMillis(pause), reason(attempt.answer()));
            System.err.println("engine: " + shown + " " + limit + "; its requests wait for that");
            return;
        }
        var why = attempt.failure() == Failure.OVERLOADED ? " (" + reason(attempt.answer()) + ")" : "";
        System.err.println("engine: " + shown + " asks for a pause of "
            + Attempt.brief(Duration.ofSeconds(pause / 1000)) + why);
    }

    void assign(int more) { assigned.addAndGet(more); }

    int assigned() { return assigned.get(); }

    double millis() { return millis; }

    /** Forgets that it was slow, once it has not been asked for ten times as long: it may have been so once. */
    void forget() {
        if (assigned() == 0 && millisSince(answered) > FORGETTING * millis) millis = 0;
    }

    /** Returns in how many milliseconds one more request would be answered; if none was yet, by what is usual. */
    double expectedMillis(double usual) {
        return (millis > 0 ? millis : usual) * Math.max(1, (assigned() + 1.0) / gate.allowed());
    }

    /** Lets others be asked for a while: it answers, but with failures. */
    void rest(Answer failure) {
        ailment = failure.status() == 0 ? withoutSubject(String.valueOf(failure.message())) : reason(failure);
        restsUntil = System.nanoTime() + STALE.toNanos();
    }

    private boolean rests() { return System.nanoTime() - restsUntil < 0; }

    /** Returns whether others are to be asked rather: it is away, fails, or wants to be left alone. */
    boolean isOut() {
        return contact().equals("unreachable") || gate.isHeld() || rests();
    }

    @Override public List<Condition> conditions() {
        var told = limit();
        if (contact().equals("unreachable")) return List.of(condition("away", null, null));
        if (told.isPresent()) return List.of(condition("held_up", told.get().until(), told.get().reason()));
        if (rests()) return List.of(condition("left_out", null, ailment));
        return List.of(condition(gate.isHeld() ? "paused" : Condition.WELL, null, null));
    }

    private Condition condition(String state, Instant until, String reason) {
        return new Condition(base, state, until, reason, Math.round(millis), gate.inside());
    }

    /** Returns whether it lists a model, or lists none at all. */
    boolean mayHave(String model) {
        if (System.nanoTime() - namesUntil >= 0) lookForNames();
        var name = settings.models().getOrDefault(model, model);
        return names.isEmpty() || names.contains(name) || names.contains(name + ":latest");
    }

    /** Looks at the list anew, while others go by the old one. */
    private synchronized void lookForNames() {
        if (System.nanoTime() - namesUntil < 0) return;
        try {
            names = Set.copyOf(ModelList.names(send(request("/models").GET().build(), GLANCE.toMillis()).answer()));
        } catch (InterruptedException closing) {
            Thread.currentThread().interrupt();
        }
        namesUntil = System.nanoTime() + LISTED.toNanos();
    }

    @Override public Optional<Limit> limit() {
        return Optional.ofNullable(limit).filter(told -> !told.isOver());
    }

    private static String reason(Answer refusal) {
        var message = refusal.body().at("/error/message").asText().replaceFirst("[.\\s]+$", "");
        return refusal.status() + " " + message.substring(0, Math.min(message.length(), 120));
    }

    /** Says on stderr that the engine has gone or is back, once each. */
    private synchronized void tellChange(boolean away, String message) {
        if (this.away != away)
            System.err.println("engine: " + shown + " "
                + (away ? withoutSubject(message) + meanwhile + remedy(message) : "answers again"));
        this.away = away;
    }

    /** Sleeps so long, or until the answer is no longer wanted. */
    private static void sleep(long millis, BooleanSupplier wanted) throws InterruptedException {
        long began = System.nanoTime();
        for (long left; wanted.getAsBoolean() && (left = millis - millisSince(began)) > 0; )
            Thread.sleep(Math.min(left, Gate.LOOK));
    }

    private static long millisSince(long nanoTime) { return (System.nanoTime() - nanoTime) / 1_000_000; }

    private HttpRequest post(String endpoint, JsonNode body) {
        var sent = Json.bytes(tokenLimit.adapted(withEngineName(body)));
        return request(endpoint.substring("/v1".length())).header("Content-Type", "application/json")
            .POST(HttpRequest.BodyPublishers.ofByteArray(sent)).build();
    }

    private HttpRequest.Builder request(String path) {
        var request = Network.request(URI.create(base + path));
        return settings.key() == null ? request : request.header("Authorization", "Bearer " + settings.key());
    }

    private JsonNode withEngineName(JsonNode body) {
        var engineName = settings.models().get(body.path("model").asText());
        return engineName == null ? body : ((ObjectNode) body.deepCopy()).put("model", engineName);
    }

    /** Asks a few times for a client that waits, but leaves long pauses to the client, which can ask again itself. */
    private Answer askForClient(HttpRequest request, Duration timeout) throws InterruptedException {
        long began = System.nanoTime();
        Attempt last = null;
        for (int tries = 1; ; tries++) {
            long left = timeout.toMillis() - millisSince(began);
            last = telling(send(request, left), last, left);
            long pause = last.pause(tries);
            if (last.failure() == Failure.NONE || last.failure() == Failure.SLOW || isAbsent(last) || tries == FEW_TRIES
                || pause > LONGEST_PAUSE || pause >= timeout.toMillis() - millisSince(began))
                return last.answer();
            Thread.sleep(pause);
        }
    }

    /** Returns whether nothing listens at a port of this machine, which no network can be blamed for. */
    private boolean isAbsent(Attempt last) {
        return last.failure() == Failure.DOWN && Network.isOnThisMachine(URI.create(base));
    }

    private Attempt send(HttpRequest request, long millis) throws InterruptedException {
        long began = System.nanoTime();
        var attempt = sendOnce(request, millis);
        contact = Contact.now(attempt.failure() != Failure.DOWN);
        if (!request.method().equals("POST")) return attempt;
        metrics.countTry(base, attempt.outcome(), began);
        long took = Math.max(1, millisSince(began));
        if (attempt.failure() == Failure.NONE) this.millis = this.millis == 0 ? took : .8 * this.millis + .2 * took;
        answered = System.nanoTime();
        return attempt;
    }

    private Attempt sendOnce(HttpRequest request, long millis) throws InterruptedException {
        var sent = http.sendAsync(request, answer -> new Attempt.BoundedBody());
        try {
            var answer = sent.get(millis, MILLISECONDS);
            return identity.objectionTo(answer).map(Attempt::misdirected).orElseGet(() -> reader.read(answer));
        } catch (TimeoutException e) {
            return Attempt.timedOut(settings.timeout());
        } catch (ExecutionException e) {
            return Attempt.failed(e.getCause());
        } finally {
            sent.cancel(true);
        }
    }

    @Override public String contact() {
        var last = contact;
        if (System.nanoTime() - last.at >= STALE.toNanos() && glancing.compareAndSet(false, true)) glanceAside();
        return last.state;
    }

    /** Asks for the engine's models, whatever it says to that, while nobody waits. */
    private void glanceAside() {
        var glance = request("/models").timeout(GLANCE).GET().build();
        http.sendAsync(glance, HttpResponse.BodyHandlers.discarding()).whenComplete((answer, failure) -> {
            contact = Contact.now(answer != null);
            glancing.set(false);
        });
    }

    @Override public String state(boolean hasOptions) throws InterruptedException {
        var key = (hasOptions ? "; give --engine-key, or set " : "; set ") + KnownEngine.keyVariable(base)
            + " to its key";
        return shown + " " + glance(Map.of(404, place(), 401, key));
    }

    /** Returns what one quick look at the engine shows, as the end of a sentence that begins with its URL. */
    private String glance(Map<Integer, String> hints) throws InterruptedException {
        var models = send(request("/models").GET().build(), GLANCE.toMillis()).answer();
        away = models.status() == 0;
        if (models.succeeded()) return "answers";
        if (away) return absence(models) + meanwhile + remedy(models.message());
        return "answers " + models.status() + " to GET /models" + hints.getOrDefault(models.status(), "");
    }

    private static String absence(Answer models) {
        if ("request_timeout".equals(models.code()))
            return "does not answer (nothing within " + Attempt.brief(GLANCE) + ")";
        return withoutSubject(models.message());
    }

    private String remedy(String message) {
        return shown.equals(base) && message.contains("(connection refused)") ? KnownEngine.remedy(base) : "";
    }

    /** Returns a message about the engine as the end of a sentence that begins with its URL. */
    private static String withoutSubject(String message) { return message.replaceAll("^The engine |\\.$", ""); }

    @Override public String toString() { return base; }

    /**
     * The limit of a chat completion, in the word that the engine takes. There are an old word and a new one: OpenAI
     * refuses both at once, its newer models refuse the old one, and strict engines the new one. So both are sent until
     * the engine refuses that, and then only the one that it takes.
     */
    static final class TokenLimit {
        private static final String NEW = "max_completion_tokens";
        private static final String OLD = "max_tokens";
        private static final List<String> WORDS = List.of(NEW, OLD);
        private static final Pattern REFUSED = Pattern.compile("(?is)max_(completion_)?tokens.*(not supported"
            + "|unsupported|same time|both|instead|not permitted|forbidden|not allowed|unrecognized|unknown"
            + "|unexpected)");

        private volatile String onlyWord;        // null as long as the engine takes both words

        /** Returns the only word that the engine is known to take, or null if it is sent both. */
        String onlyWord() { return onlyWord; }

        /** Returns a body with its limit in the word that the engine takes; one with none or both stays as it is. */
        JsonNode adapted(JsonNode body) {
            var limit = body.path(body.hasNonNull(NEW) ? NEW : OLD);
            if (!limit.isNumber() || !body.has("messages") || body.has(NEW) && body.has(OLD)) return body;
            ObjectNode adapted = body.deepCopy();
            var word = onlyWord;
            if (word == null) WORDS.forEach(each -> adapted.set(each, limit));
            else adapted.<ObjectNode>without(WORDS).set(word, limit);
            return adapted;
        }

        /** Returns whether an answer refuses the word that was sent (null for both), and chooses the next one. */
        synchronized boolean isRefused(JsonNode body, String sent, Answer answer) {
            var message = answer.status() == 400 || answer.status() == 422 ? answer.body().toString() : "";
            if (!body.has("messages") || WORDS.stream().noneMatch(body::hasNonNull)
                || !REFUSED.matcher(message).find() || OLD.equals(sent)) return false;
            if (Objects.equals(onlyWord, sent))       // else another request has chosen it meanwhile
                onlyWord = sent == null ? NEW : OLD;
            return true;
        }
    }
}
